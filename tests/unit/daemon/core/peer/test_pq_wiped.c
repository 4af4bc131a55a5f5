/* SPDX-License-Identifier: MIT */
/*
 * Post-quantum exchanges leave nothing in memory. Each seed, shared secret and preshared key is
 * noted where it is made, with every bit turned over, and this process's whole memory is searched
 * for it when it was used: heap, stack and what was freed. The KEM is one that keeps nothing
 * itself, and ML-KEM-768 where the crypto library has it.
 */
#include <fcntl.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "daemon/core/peer/pqx.h"
#include "proto/control/control.h"
#include "proto/control/sealing.h"
#include "tests/unit/test_util.h"

enum {
    NOTES = 32,
    LEN = 32,        /* bytes of each secret that are looked for */
    PAGE = 4096,     /* bytes */
    CHUNK = 1 << 20, /* bytes */
};

/* --- what is looked for ----------------------------------------------------------------------- */

static struct {
    uint8_t turned[LEN];
} notes[NOTES];
static size_t n_notes;

static void note(const uint8_t *secret)
{
    assert_true(n_notes < NOTES);
    for (size_t i = 0; i < LEN; i++)
        notes[n_notes].turned[i] = (uint8_t)~secret[i];
    n_notes++;
}

static bool is_at(const uint8_t *p, const uint8_t *turned)
{
    for (size_t i = 0; i < LEN; i++)
        if ((p[i] ^ turned[i]) != 0xff)
            return false;
    return true;
}

static size_t count_in(const uint8_t *data, size_t len, const uint8_t *turned)
{
    const uint8_t *p = data, *end = data + len;
    size_t n = 0;
    while (end - p >= LEN && (p = memchr(p, turned[0] ^ 0xff, (size_t)(end - p) - LEN + 1)) != NULL)
        n += is_at(p++, turned) ? 1 : 0;
    return n;
}

/* Is this page in memory? Of the sanitizer's shadow, terabytes are not. */
static bool is_present(int pagemap, uintptr_t at)
{
    uint64_t entry = 0;
    off_t where = (off_t)(at / PAGE * sizeof(entry));
    return pread(pagemap, &entry, sizeof(entry), where) == (ssize_t)sizeof(entry) &&
           entry >> 62 != 0;
}

/* How many copies of any note there are in what this process can write to; told: says where. Pages
 * are read as runs of at most CHUNK bytes; a copy across two runs would be overlooked, so they
 * overlap by one secret. */
static size_t copies(bool told)
{
    static uint8_t chunk[CHUNK];
    char line[512];
    size_t found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    assert_true(maps != NULL && mem >= 0 && pagemap >= 0);
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *end = NULL;
        uintptr_t from = strtoull(line, &end, 16), to = strtoull(end + 1, &end, 16);
        if (end[1] != 'r' || end[2] != 'w')
            continue;
        to = to - from > 1u << 28 ? from + (1u << 28) : to;
        while (from < to) {
            size_t len = 0;
            while (from + len < to && len < CHUNK && is_present(pagemap, from + len))
                len += PAGE;
            bool is_chunk = from < (uintptr_t)chunk + CHUNK && from + len > (uintptr_t)chunk;
            ssize_t got = len == 0 || is_chunk ? 0 : pread(mem, chunk, len, (off_t)from);
            for (size_t i = 0; got > 0 && i < n_notes; i++) {
                size_t n = count_in(chunk, (size_t)got, notes[i].turned);
                if (n > 0 && told)
                    printf("note %zu: %zu copies near %#zx: %s", i, n, (size_t)from, line);
                found += n;
            }
            from += len == CHUNK && !is_chunk ? len - PAGE : len > 0 ? len : PAGE;
        }
    }
    memset(chunk, 0, sizeof(chunk));
    close(pagemap);
    close(mem);
    fclose(maps);
    return found;
}

static void expect_none(const char *after)
{
    size_t n = copies(true);
    if (n != 0)
        fail_msg("%zu copies of secrets are left after %s", n, after);
}

/* --- KEMs that tell --------------------------------------------------------------------------- */

static const struct pv_kem *real; /* NULL: the plain one */

/* It protects nothing, and computes each byte where it belongs. */
static int keypair(const uint8_t seed[static PV_KEM_SEED_LEN], uint8_t ret_ek[static PV_KEM_EK_LEN])
{
    note(seed);
    note(seed + LEN);
    if (real != NULL)
        return real->keypair(seed, ret_ek);
    for (size_t i = 0; i < PV_KEM_EK_LEN; i++)
        ret_ek[i] = (uint8_t)(seed[i % LEN] ^ 0xa5);
    return PV_OK;
}

static int encapsulate(struct pv_view ek, const uint8_t random[static PV_KEM_RANDOM_LEN],
                       uint8_t ret_ct[static PV_KEM_CT_LEN],
                       uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    int r = real == NULL ? PV_OK : real->encapsulate(ek, random, ret_ct, ret_secret);
    for (size_t i = 0; real == NULL && i < PV_KEM_CT_LEN; i++)
        ret_ct[i] = (uint8_t)(random[i % LEN] ^ 0x3c);
    for (size_t i = 0; real == NULL && i < LEN; i++)
        ret_secret[i] = (uint8_t)(random[i] * 7 + 13);
    note(random);
    note(ret_secret);
    return r;
}

static int decapsulate(const uint8_t seed[static PV_KEM_SEED_LEN], struct pv_view ct,
                       uint8_t ret_secret[static PV_KEM_SECRET_LEN])
{
    int r = real == NULL ? PV_OK : real->decapsulate(seed, ct, ret_secret);
    for (size_t i = 0; real == NULL && i < LEN; i++)
        ret_secret[i] = (uint8_t)((ct.ptr[i] ^ 0x3c) * 7 + 13);
    note(ret_secret);
    return r;
}

static const struct pv_kem telling = {"telling", keypair, encapsulate, decapsulate};

static struct test_rng rng_state;

static struct pv_rng start(const struct pv_kem *kem)
{
    real = kem;
    n_notes = 0;
    return test_rng_make(&rng_state, 21);
}

/* --- the exchanges ---------------------------------------------------------------------------- */

PV_TEST(members_leave_nothing_of_their_exchange)
{
    const struct pv_kem *const kems[] = {NULL, pv_kem_mlkem768()};
    for (size_t k = 0; k < PV_ARRAY_LEN(kems) && (k == 0 || kems[k] != NULL); k++) {
        struct pv_rng rng = start(kems[k]);
        struct pv_pqx *x[2];
        struct pv_ice_creds creds[2];
        struct pv_pqx_own own[2];
        struct pv_pqx_key key;
        for (int i = 0; i < 2; i++) {
            struct pv_pqx_config cfg = {.kem = &telling, .rng = rng};
            cfg.own_pk[0] = (uint8_t)i;
            cfg.peer_pk[0] = (uint8_t)(1 - i);
            assert_ok(pv_pqx_new(&x[i], &cfg));
            pv_ice_make_creds(&rng, &creds[i]);
            own[i] =
                (struct pv_pqx_own){.id = {.gen = (uint64_t)i + 1, .rev = 1}, .creds = &creds[i]};
            pv_pqx_begin(x[i], &own[i], true);
        }
        /* Its seed is kept until the answer comes: the search finds what is there. */
        assert_int_equal(copies(false), 2);
        for (int turn = 0; turn < 3; turn++) {
            int from = turn == 1 ? 0 : 1;
            struct pv_desc d = {.gen = own[from].id.gen, .rev = 1, .caps = PV_DESC_CAP_PQ};
            d.creds = creds[from];
            d.pq = pv_pqx_say(x[from]);
            (void)!pv_pqx_take(x[1 - from], &own[1 - from], &d, turn == 0, 1);
        }
        for (int i = 0; i < 2; i++) {
            assert_ok(pv_pqx_poll_key(x[i], &key));
            note(key.key.psk);
            pv_wipe(&key, sizeof(key));
        }
        expect_none("an exchange whose key was taken");
        for (int i = 0; i < 2; i++)
            pv_pqx_free(x[i]);
        expect_none("its end");
    }
}

/* One that is given up in the middle. */
PV_TEST(an_exchange_that_ends_early_leaves_nothing)
{
    for (int end = 0; end < 2; end++) {
        struct pv_rng rng = start(NULL);
        struct pv_pqx_config cfg = {.kem = &telling, .rng = rng, .own_pk = {1}};
        struct pv_ice_creds creds;
        struct pv_pqx *x;
        assert_ok(pv_pqx_new(&x, &cfg));
        pv_ice_make_creds(&rng, &creds);
        const struct pv_pqx_own own = {.id = {.gen = 1, .rev = 1}, .creds = &creds};
        pv_pqx_begin(x, &own, true);
        assert_int_equal(copies(false), 2);
        if (end == 0) /* a new generation without one */
            pv_pqx_begin(x, &own, false);
        else
            x = pv_pqx_free(x);
        expect_none("an exchange that was given up");
        pv_pqx_free(x);
    }
}

static void carry(struct pv_control *from, struct pv_control *to)
{
    size_t used;
    struct pv_view out = pv_control_out(from);
    assert_ok(pv_control_handle_bytes(to, out, &used));
    pv_control_wrote(from, used);
}

PV_TEST(both_ends_of_a_control_channel_leave_nothing)
{
    const struct pv_kem *const kems[] = {NULL, pv_kem_mlkem768()};
    for (size_t k = 0; k < 2 * PV_ARRAY_LEN(kems) && (k < 2 || kems[k / 2] != NULL); k++) {
        const bool answered = k % 2 == 0;
        struct pv_rng rng = start(kems[k / 2]);
        uint8_t csk[PV_DH_LEN], ssk[PV_DH_LEN], pk[PV_DH_LEN];
        uint8_t ek[PV_KEM_EK_LEN], ct[PV_KEM_CT_LEN];
        struct pv_control *client, *server;
        struct pv_control_keys keys;
        pv_dh_keypair(&rng, csk, pk);
        pv_dh_keypair(&rng, ssk, pk);
        assert_ok(pv_control_new_client(&client, csk, pk, &rng));
        assert_ok(pv_control_new_server(&server, ssk, NULL, &rng));
        carry(client, server);
        carry(server, client);
        assert_ok(pv_control_offer(client, &telling, &rng, ek));
        assert_int_equal(copies(false), 2);
        if (answered) {
            assert_ok(
                pv_control_answer(server, &telling, &rng, pv_view(ek, sizeof(ek)), ct, &keys));
            pv_control_rekey(server, &keys);
            assert_ok(pv_control_accept(client, pv_view(ct, sizeof(ct))));
            expect_none("the change to hybrid keys");
        }
        pv_control_free(client);
        pv_control_free(server);
        expect_none("the end of a connection");
    }
}

PV_TEST(boxes_leave_nothing)
{
    const struct pv_kem *const kems[] = {NULL, pv_kem_mlkem768()};
    for (size_t k = 0; k < PV_ARRAY_LEN(kems) && (k == 0 || kems[k] != NULL); k++) {
        struct pv_rng rng = start(kems[k]);
        uint8_t asf[PV_DH_LEN], bsf[PV_DH_LEN], sender[PV_DH_LEN], psk[PV_NOISE_PSK_LEN];
        uint8_t seed[PV_SIGN_SEED_LEN] = {6}, sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
        uint8_t ek[PV_KEM_EK_LEN], box[4 + PV_SEALING_OVERHEAD], out[4];
        struct pv_noise_static a = {.sk = asf}, b = {.sk = bsf};
        pv_dh_keypair(&rng, asf, a.pk);
        pv_dh_keypair(&rng, bsf, b.pk);
        pv_sign_keypair(seed, sk, pk);
        assert_ok(pv_sealing_key(&telling, sk, ek));
        expect_none("a sealing key");
        const struct pv_sealing_to to = {.kem = &telling, .ek = ek};
        const struct pv_noise_parties parties = {
            .prologue = pv_view("p", 1), .local = &a, .remote = b.pk};
        assert_ok(pv_sealing_seal(&to, &parties, &rng, pv_view("text", 4), box));
        expect_none("sealing a box");
        const struct pv_view whole = pv_view(box, sizeof(box));
        assert_ok(pv_sealing_secret(&telling, sk, whole, psk));
        assert_int_not_equal(copies(false), 0); /* psk */
        assert_ok(pv_sealing_open(psk, pv_view("p", 1), &b, whole, sender, out));
        pv_wipe(psk, sizeof(psk));
        expect_none("opening a box");
    }
}
