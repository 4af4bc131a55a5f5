/* SPDX-License-Identifier: MIT */
/*
 * quick.c - makes runs of libFuzzer short; part of its targets only, never of a program.
 *
 * A harness takes its keys and "random" bytes from a generator that begins anew each run, so the
 * same multiplications on the curve are asked for again and again, and would take most of a run.
 * The linker puts the functions below before libsodium's (--wrap, tests/CMakeLists.txt): each
 * remembers what libsodium answered. What is computed stays the same bit for bit, so an input means
 * the same here as in the replay of the kept corpus, where nothing is remembered.
 */
#include <string.h>

#include <sodium.h>

#include "base/pv.h"

enum {
    SLOTS = 8192, /* answers remembered; a new one takes the place of that with the same hash */
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

/* The linker's names for libsodium's functions (__real_) and for those that stand before them. */
/* clang-format off */
#define WRAPPED(name, ...) int __real_##name(__VA_ARGS__); int __wrap_##name(__VA_ARGS__)
WRAPPED(crypto_scalarmult, uint8_t *q, const uint8_t *n, const uint8_t *p);
WRAPPED(crypto_scalarmult_base, uint8_t *q, const uint8_t *n);
WRAPPED(crypto_core_ed25519_is_valid_point, const uint8_t *p);
WRAPPED(crypto_sign_ed25519_pk_to_curve25519, uint8_t *x, const uint8_t *pk);
WRAPPED(crypto_sign_seed_keypair, uint8_t *pk, uint8_t *sk, const uint8_t *seed);
WRAPPED(crypto_sign_detached, uint8_t *sig, unsigned long long *len, const uint8_t *m,
        unsigned long long mlen, const uint8_t *sk);
WRAPPED(crypto_sign_verify_detached, const uint8_t *sig, const uint8_t *m, unsigned long long mlen,
        const uint8_t *pk);
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

/* Short stacks of allocations and a small store of freed blocks: ASan spends half of its time on
 * these, and a block that is used after its end is used within its run. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "malloc_context_size=6:quarantine_size_mb=8:thread_local_quarantine_size_kb=64:"
           "allocator_release_to_os_interval_ms=-1";
}
