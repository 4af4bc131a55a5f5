/* SPDX-License-Identifier: MIT */
/*
 * quick.c - makes runs of libFuzzer short; part of its targets only, never of a program.
 *
 * A harness takes its keys and "random" bytes from a generator that begins anew each run, so the
 * same multiplications on the curve are asked for again and again, and would take most of a run.
 * The linker puts the functions below before libsodium's (--wrap, tests/CMakeLists.txt): each
 * remembers what libsodium answered. One more stands before OpenSSL's HMAC. The results stay the
 * same bit for bit, so an input means the same here as in the replay of the kept corpus, where none
 * of this is. Two stand before SQLite's, and remember the statements that it has parsed. Two more
 * give secrets memory that ASan watches in the place of pages of their own.
 */
#include <stdlib.h>
#include <string.h>

#define OPENSSL_SUPPRESS_DEPRECATED /* the only hashes of OpenSSL's that allocate nothing */
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <sqlite3.h>

#include "base/pv.h"

enum {
    SLOTS = 32768, /* answers remembered; a new one takes the place of that with the same hash */
    ANSWER_MAX = 96,
};

struct answer {
    uint8_t question[16]; /* hash of the function's name and its arguments */
    uint8_t bytes[ANSWER_MAX];
    int status;
};

static struct answer answers[SLOTS];

/* The place for the answer; *ret_known: it is there. */
static struct answer *recall(uint8_t function, struct pv_view a, struct pv_view b, struct pv_view c,
                             bool *ret_known)
{
    uint8_t question[16];
    crypto_generichash_state s;
    const uint64_t shape[3] = {function, a.len, b.len};
    crypto_generichash_init(&s, NULL, 0, sizeof(question));
    crypto_generichash_update(&s, (const uint8_t *)shape, sizeof(shape));
    crypto_generichash_update(&s, a.ptr, a.len);
    crypto_generichash_update(&s, b.ptr, b.len);
    crypto_generichash_update(&s, c.ptr, c.len);
    crypto_generichash_final(&s, question, sizeof(question));
    size_t place = ((size_t)question[0] << 8 | question[1]) % SLOTS;
    *ret_known = memcmp(answers[place].question, question, sizeof(question)) == 0;
    memcpy(answers[place].question, question, sizeof(question));
    return &answers[place];
}

static const struct pv_view NONE;

/* The linker's names for a library's functions (__real_) and for those that stand before them. */
/* clang-format off */
#define WRAPPED(type, name, ...) type __real_##name(__VA_ARGS__); type __wrap_##name(__VA_ARGS__)
WRAPPED(int, crypto_scalarmult, uint8_t *q, const uint8_t *n, const uint8_t *p);
WRAPPED(int, crypto_scalarmult_base, uint8_t *q, const uint8_t *n);
WRAPPED(int, crypto_core_ed25519_is_valid_point, const uint8_t *p);
WRAPPED(int, crypto_sign_ed25519_pk_to_curve25519, uint8_t *x, const uint8_t *pk);
WRAPPED(int, crypto_sign_seed_keypair, uint8_t *pk, uint8_t *sk, const uint8_t *seed);
WRAPPED(int, crypto_sign_detached, uint8_t *sig, unsigned long long *len, const uint8_t *m,
        unsigned long long mlen, const uint8_t *sk);
WRAPPED(int, crypto_sign_verify_detached, const uint8_t *sig, const uint8_t *m, unsigned long long mlen,
        const uint8_t *pk);
WRAPPED(unsigned char *, HMAC, const EVP_MD *md, const void *key, int key_len,
        const unsigned char *data, size_t len, unsigned char *out, unsigned *out_len);
WRAPPED(void *, sodium_malloc, size_t len);
WRAPPED(void, sodium_free, void *p);
WRAPPED(int, sqlite3_prepare_v2, sqlite3 *db, const char *sql, int len, sqlite3_stmt **stmt, const char **tail);
WRAPPED(int, sqlite3_finalize, sqlite3_stmt *stmt);
/* clang-format on */

int __wrap_crypto_scalarmult(uint8_t *q, const uint8_t *n, const uint8_t *p)
{
    bool known = false;
    struct answer *a = recall(1, pv_view(n, 32), pv_view(p, 32), NONE, &known);
    if (!known)
        a->status = __real_crypto_scalarmult(a->bytes, n, p);
    memcpy(q, a->bytes, 32);
    return a->status;
}

int __wrap_crypto_scalarmult_base(uint8_t *q, const uint8_t *n)
{
    bool known = false;
    struct answer *a = recall(2, pv_view(n, 32), NONE, NONE, &known);
    if (!known)
        a->status = __real_crypto_scalarmult_base(a->bytes, n);
    memcpy(q, a->bytes, 32);
    return a->status;
}

int __wrap_crypto_core_ed25519_is_valid_point(const uint8_t *p)
{
    bool known = false;
    struct answer *a = recall(3, pv_view(p, 32), NONE, NONE, &known);
    if (!known)
        a->status = __real_crypto_core_ed25519_is_valid_point(p);
    return a->status;
}

int __wrap_crypto_sign_ed25519_pk_to_curve25519(uint8_t *x, const uint8_t *pk)
{
    bool known = false;
    struct answer *a = recall(4, pv_view(pk, 32), NONE, NONE, &known);
    if (!known)
        a->status = __real_crypto_sign_ed25519_pk_to_curve25519(a->bytes, pk);
    memcpy(x, a->bytes, 32);
    return a->status;
}

int __wrap_crypto_sign_seed_keypair(uint8_t *pk, uint8_t *sk, const uint8_t *seed)
{
    bool known = false;
    struct answer *a = recall(5, pv_view(seed, 32), NONE, NONE, &known);
    if (!known)
        a->status = __real_crypto_sign_seed_keypair(a->bytes, a->bytes + 32, seed);
    memcpy(pk, a->bytes, 32);
    memcpy(sk, a->bytes + 32, 64);
    return a->status;
}

int __wrap_crypto_sign_detached(uint8_t *sig, unsigned long long *len, const uint8_t *m,
                                unsigned long long mlen, const uint8_t *sk)
{
    bool known = false;
    struct answer *a = recall(6, pv_view(m, mlen), pv_view(sk, 64), NONE, &known);
    if (!known)
        a->status = __real_crypto_sign_detached(a->bytes, NULL, m, mlen, sk);
    memcpy(sig, a->bytes, 64);
    if (len != NULL)
        *len = 64;
    return a->status;
}

int __wrap_crypto_sign_verify_detached(const uint8_t *sig, const uint8_t *m,
                                       unsigned long long mlen, const uint8_t *pk)
{
    bool known = false;
    struct answer *a = recall(7, pv_view(m, mlen), pv_view(sig, 64), pv_view(pk, 32), &known);
    if (!known)
        a->status = __real_crypto_sign_verify_detached(sig, m, mlen, pk);
    return a->status;
}

static void hmac_sha1(unsigned char *out, struct pv_view key, struct pv_view data)
{
    uint8_t block[SHA_CBLOCK];
    SHA_CTX s;
    memset(block, 0x36, sizeof(block));
    for (size_t i = 0; i < key.len; i++)
        block[i] ^= key.ptr[i];
    SHA1_Init(&s);
    SHA1_Update(&s, block, sizeof(block));
    SHA1_Update(&s, data.ptr, data.len);
    SHA1_Final(out, &s);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36 ^ 0x5c;
    SHA1_Init(&s);
    SHA1_Update(&s, block, sizeof(block));
    SHA1_Update(&s, out, SHA_DIGEST_LENGTH);
    SHA1_Final(out, &s);
}

/* OpenSSL's allocates a dozen objects each time, half of a run that signs STUN messages. This one
 * allocates none (RFC 2104), and what it says first is compared with the library's. */
unsigned char *__wrap_HMAC(const EVP_MD *md, const void *key, int key_len,
                           const unsigned char *data, size_t len, unsigned char *out,
                           unsigned *out_len)
{
    static unsigned n_compared;
    uint8_t theirs[EVP_MAX_MD_SIZE];
    if (md != EVP_sha1() || key_len > SHA_CBLOCK)
        return __real_HMAC(md, key, key_len, data, len, out, out_len);
    hmac_sha1(out, pv_view(key, (size_t)key_len), pv_view(data, len));
    *out_len = SHA_DIGEST_LENGTH;
    if (n_compared < 64) {
        n_compared++;
        if (__real_HMAC(md, key, key_len, data, len, theirs, out_len) == NULL ||
            memcmp(out, theirs, SHA_DIGEST_LENGTH) != 0)
            abort();
    }
    return out;
}

/* Guard pages are seven calls of the kernel for each secret. ASan sees what they would see. */
void *__wrap_sodium_malloc(size_t len)
{
    void *p = malloc(len);
    if (p != NULL)
        memset(p, 0xdb, len); /* as libsodium does */
    return p;
}

void __wrap_sodium_free(void *p)
{
    free(p);
}

/* A harness keeps its databases, and their statements are few. Parsing them was a third of a run.
 */
static struct statement {
    sqlite3 *db; /* NULL: free */
    sqlite3_stmt *stmt;
    uint64_t
        hash; /* of its text: ASan's strcmp() for each one before it took longer than the rest */
    bool used;
} statements[256];

/* FNV-1a */
static uint64_t hash_text(const char *text)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *text != '\0'; text++)
        h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return h;
}

int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int len, sqlite3_stmt **stmt,
                              const char **tail)
{
    const uint64_t hash = hash_text(sql);
    size_t i = 0;
    for (; i < PV_ARRAY_LEN(statements) && statements[i].db != NULL; i++) {
        if (statements[i].db == db && statements[i].hash == hash && !statements[i].used &&
            strcmp(sqlite3_sql(statements[i].stmt), sql) == 0) {
            statements[i].used = true;
            *stmt = statements[i].stmt;
            return SQLITE_OK;
        }
    }
    const int r = __real_sqlite3_prepare_v2(db, sql, len, stmt, tail);
    if (r == SQLITE_OK && i < PV_ARRAY_LEN(statements) && len < 0 && tail == NULL)
        statements[i] = (struct statement){.db = db, .stmt = *stmt, .hash = hash, .used = true};
    return r;
}

int __wrap_sqlite3_finalize(sqlite3_stmt *stmt)
{
    for (size_t i = 0; stmt != NULL && i < PV_ARRAY_LEN(statements); i++) {
        if (statements[i].stmt == stmt) {
            statements[i].used = false;
            const int r = sqlite3_reset(stmt);
            (void)sqlite3_clear_bindings(stmt);
            return r;
        }
    }
    return __real_sqlite3_finalize(stmt);
}

/* Short stacks of allocations and a small store of freed blocks: ASan spends half of its time on
 * these, and a block that is used after its end is used within its run. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "malloc_context_size=0:quarantine_size_mb=4:thread_local_quarantine_size_kb=64:"
           "max_malloc_fill_size=64:allocator_release_to_os_interval_ms=-1";
}
