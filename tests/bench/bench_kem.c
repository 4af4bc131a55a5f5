/* SPDX-License-Identifier: MIT */
/*
 * bench_kem - what post-quantum sessions cost: each step of ML-KEM-768, and a meeting, which is the
 * exchange of two members (pqx.h) and their descriptions as text, with and without it; what a
 * coordinator and a node bear for a connection, and what a box costs, of both kinds.
 *
 * usage: bench_kem [MEETINGS]    default 1000; one line of JSON. Without ML-KEM in the crypto
 * library the tests' double stands in for it: the bytes are the same, the times say nothing
 * ("kem":"test").
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "daemon/core/peer/pqx.h"
#include "proto/control/control.h"
#include "proto/control/ctlmsg.h"
#include "proto/control/sealing.h"
#include "proto/control/signal.h"
#include "tests/unit/kem_double.h"

#define MUST(cond)                                                     \
    do {                                                               \
        if (!(cond)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            exit(1);                                                   \
        }                                                              \
    } while (0)

static uint64_t seed = 88172645463325252u;

/* xorshift64: what is measured takes as long with these keys as with others. */
static void fill(void *ctx, uint8_t *dst, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        dst[i] = (uint8_t)(seed >> 32);
    }
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* A description as it leaves, and as the other side reads it. Returns its bytes. */
static size_t carry(struct pv_signal *s, struct pv_signal_parsed *ret_parsed)
{
    static char text[PV_SIGNAL_TEXT_MAX];
    size_t len;
    MUST(pv_signal_write(s, text, sizeof(text), &len) == PV_OK);
    MUST(pv_signal_parse(pv_view(text, len), ret_parsed) == PV_OK);
    return len;
}

struct cost {
    double us;    /* of both sides together */
    size_t bytes; /* of JSON, before sealing */
};

/* Three descriptions: one that offers, one that answers, one that has the key. */
static struct cost meet(const struct pv_kem *kem, const struct pv_rng *rng)
{
    struct pv_pqx *x[2] = {NULL, NULL};
    struct pv_ice_creds creds[2];
    struct pv_pqx_own own[2];
    struct pv_pqx_key keys[2];
    static struct pv_signal s;
    static struct pv_signal_parsed got;
    struct cost c = {.bytes = 0};
    double began = now_us();
    for (int i = 0; i < 2; i++) {
        struct pv_pqx_config cfg = {.kem = kem, .rng = *rng};
        cfg.own_pk[0] = (uint8_t)i;
        cfg.peer_pk[0] = (uint8_t)(1 - i);
        MUST(kem == NULL || pv_pqx_new(&x[i], &cfg) == PV_OK);
        pv_ice_make_creds(rng, &creds[i]);
        own[i] = (struct pv_pqx_own){.id = {.gen = (uint64_t)i + 1, .rev = 1}, .creds = &creds[i]};
        if (kem != NULL)
            pv_pqx_begin(x[i], &own[i], true);
    }
    for (int turn = 0; turn < 3; turn++) {
        int from = turn == 1 ? 0 : 1;
        memset(&s, 0, sizeof(s));
        s.has_desc = true;
        s.desc.gen = own[from].id.gen;
        s.desc.rev = 1;
        s.desc.caps = kem == NULL ? 0 : PV_DESC_CAP_PQ;
        s.desc.creds = creds[from];
        s.desc.pq = kem == NULL ? NULL : pv_pqx_say(x[from]);
        c.bytes += carry(&s, &got);
        if (kem != NULL)
            (void)!pv_pqx_take(x[1 - from], &own[1 - from], &got.sig.desc, turn == 0, 1);
        pv_signal_parsed_done(&got);
    }
    for (int i = 0; kem != NULL && i < 2; i++)
        MUST(pv_pqx_poll_key(x[i], &keys[i]) == PV_OK);
    MUST(kem == NULL || memcmp(&keys[0].key, &keys[1].key, sizeof(keys[0].key)) == 0);
    for (int i = 0; i < 2; i++)
        pv_pqx_free(x[i]);
    c.us = now_us() - began;
    return c;
}

static struct cost meetings(const struct pv_kem *kem, const struct pv_rng *rng, unsigned n)
{
    struct cost sum = {.bytes = 0};
    for (unsigned i = 0; i < n; i++) {
        struct cost c = meet(kem, rng);
        sum.us += c.us;
        sum.bytes += c.bytes;
    }
    return sum;
}

struct steps {
    double keypair, encapsulate, decapsulate; /* us */
};

static struct steps measure_steps(const struct pv_kem *kem, const struct pv_rng *rng, unsigned n)
{
    struct steps s = {.keypair = 0};
    uint8_t dk[PV_KEM_SEED_LEN], ek[PV_KEM_EK_LEN], ct[PV_KEM_CT_LEN], m[PV_KEM_RANDOM_LEN];
    uint8_t secret[PV_KEM_SECRET_LEN];
    for (unsigned i = 0; i < n; i++) {
        pv_rng_fill(rng, dk, sizeof(dk));
        pv_rng_fill(rng, m, sizeof(m));
        double t0 = now_us();
        MUST(kem->keypair(dk, ek) == PV_OK);
        double t1 = now_us();
        MUST(kem->encapsulate(pv_view(ek, sizeof(ek)), m, ct, secret) == PV_OK);
        double t2 = now_us();
        MUST(kem->decapsulate(dk, pv_view(ct, sizeof(ct)), secret) == PV_OK);
        s.keypair += t1 - t0;
        s.encapsulate += t2 - t1;
        s.decapsulate += now_us() - t2;
    }
    return s;
}

/* The work of each end of a control channel, and the part of it that makes the keys hybrid; us. */
struct channel {
    double server_handshake, server_hello, server_hybrid; /* until the welcome can be sent */
    double client_handshake, client_hybrid;
};

static void pass(struct pv_control *from, struct pv_control *to)
{
    size_t used;
    struct pv_view out = pv_control_out(from);
    MUST(pv_control_handle_bytes(to, out, &used) == PV_OK && used == out.len);
    pv_control_wrote(from, out.len);
}

static void connect_once(const struct pv_kem *kem, const struct pv_rng *rng, struct channel *sum)
{
    uint8_t csk[32], cpk[32], ssk[32], spk[32], id_seed[32], hash[32];
    uint8_t id_sk[PV_SIGN_SK_LEN], ek[PV_KEM_EK_LEN], ct[PV_KEM_CT_LEN];
    struct pv_control *client, *server;
    struct pv_control_keys keys;
    struct pv_ctl_hello hello = {.v = 1};
    pv_dh_keypair(rng, csk, cpk);
    pv_dh_keypair(rng, ssk, spk);
    pv_rng_fill(rng, id_seed, sizeof(id_seed));
    pv_sign_keypair(id_seed, id_sk, hello.node);
    double t0 = now_us();
    MUST(pv_control_new_client(&client, csk, spk, rng) == PV_OK);
    double t1 = now_us();
    MUST(pv_control_new_server(&server, ssk, spk, rng) == PV_OK);
    pass(client, server);
    double t2 = now_us();
    pass(server, client);
    double t3 = now_us();
    sum->client_handshake += t1 - t0 + t3 - t2;
    sum->server_handshake += t2 - t1;
    MUST(pv_control_handshake_hash(client, hash) == PV_OK);
    MUST(pv_ctl_hello_sign(hello.sig, hash, id_sk) == PV_OK);
    t0 = now_us();
    MUST(pv_ctl_hello_verify(&hello, hash) == PV_OK);
    t1 = now_us();
    MUST(pv_control_offer(client, kem, rng, ek) == PV_OK);
    t2 = now_us();
    MUST(pv_control_answer(server, kem, rng, pv_view(ek, sizeof(ek)), ct, &keys) == PV_OK);
    pv_control_rekey(server, &keys);
    t3 = now_us();
    MUST(pv_control_accept(client, pv_view(ct, sizeof(ct))) == PV_OK);
    sum->client_hybrid += t2 - t1 + now_us() - t3;
    sum->server_hello += t1 - t0;
    sum->server_hybrid += t3 - t2;
    pv_control_free(client);
    pv_control_free(server);
}

/* A box of TEXT_LEN bytes; us. [1]: a hybrid one. */
struct boxes {
    double seal[2], open[2];
};

static void seal_once(const struct pv_kem *kem, const struct pv_rng *rng, struct boxes *sum)
{
    enum {
        TEXT_LEN = 2500, /* bytes of a description with half an exchange in it */
    };
    static uint8_t text[TEXT_LEN], box[TEXT_LEN + PV_SEALING_OVERHEAD], out[TEXT_LEN];
    static uint8_t id_seed[PV_SIGN_SEED_LEN], id_sk[PV_SIGN_SK_LEN], id_pk[PV_SIGN_PK_LEN];
    static uint8_t ek[PV_KEM_EK_LEN];
    uint8_t ask[32], bsk[32], sender[32], psk[PV_NOISE_PSK_LEN];
    struct pv_noise_static a = {.sk = ask}, b = {.sk = bsk};
    const struct pv_view said = pv_view("bench", 5);
    pv_dh_keypair(rng, ask, a.pk);
    pv_dh_keypair(rng, bsk, b.pk);
    pv_sign_keypair(id_seed, id_sk, id_pk);
    MUST(pv_sealing_key(kem, id_sk, ek) == PV_OK);
    const struct pv_sealing_to to = {.kem = kem, .ek = ek};
    const struct pv_noise_parties parties = {.prologue = said, .local = &a, .remote = b.pk};
    double t0 = now_us();
    MUST(pv_noise_x_seal(rng, said, &a, b.pk, pv_view(text, TEXT_LEN), box) == PV_OK);
    double t1 = now_us();
    MUST(pv_noise_x_open(said, &b, pv_view(box, TEXT_LEN + PV_NOISE_X_OVERHEAD), sender, out) ==
         PV_OK);
    double t2 = now_us();
    MUST(pv_sealing_seal(&to, &parties, rng, pv_view(text, TEXT_LEN), box) == PV_OK);
    double t3 = now_us();
    MUST(pv_sealing_secret(kem, id_sk, pv_view(box, sizeof(box)), psk) == PV_OK);
    MUST(pv_sealing_open(psk, said, &b, pv_view(box, sizeof(box)), sender, out) == PV_OK);
    sum->open[1] += now_us() - t3;
    sum->seal[0] += t1 - t0;
    sum->open[0] += t2 - t1;
    sum->seal[1] += t3 - t2;
}

int main(int argc, char **argv)
{
    const struct pv_rng rng = {.fill = fill};
    const struct pv_kem *kem = pv_kem_mlkem768();
    uint64_t n = 1000;
    if (argc > 2 || (argc == 2 && pv_u64_parse(argv[1], 1, 1000000, &n) < 0)) {
        fprintf(stderr, "usage: bench_kem [MEETINGS]\n");
        return 2;
    }
    MUST(pv_crypto_init() == PV_OK);
    if (kem == NULL)
        kem = &kem_double;
    (void)meetings(kem, &rng, 10); /* the library's first calls are slower */
    struct steps s = measure_steps(kem, &rng, (unsigned)n);
    struct cost with = meetings(kem, &rng, (unsigned)n),
                without = meetings(NULL, &rng, (unsigned)n);
    struct channel ch = {.server_hello = 0};
    struct boxes bx = {.seal = {0}};
    for (uint64_t i = 0; i < n; i++) {
        connect_once(kem, &rng, &ch);
        seal_once(kem, &rng, &bx);
    }
    double per = (double)n;
    printf("{\"kem\":\"%s\",\"meetings\":%llu,\"keypair_us\":%.1f,\"encapsulate_us\":%.1f,"
           "\"decapsulate_us\":%.1f,\"meeting_us\":%.1f,\"meeting_bytes\":%.0f,"
           "\"classical_us\":%.1f,\"classical_bytes\":%.0f,",
           kem->name, (unsigned long long)n, s.keypair / per, s.encapsulate / per,
           s.decapsulate / per, with.us / per, (double)with.bytes / per, without.us / per,
           (double)without.bytes / per);
    printf("\"server_handshake_us\":%.1f,\"server_hello_us\":%.1f,\"server_hybrid_us\":%.1f,"
           "\"client_handshake_us\":%.1f,\"client_hybrid_us\":%.1f,\"seal_us\":%.1f,"
           "\"open_us\":%.1f,\"seal_hybrid_us\":%.1f,\"open_hybrid_us\":%.1f}\n",
           ch.server_handshake / per, ch.server_hello / per, ch.server_hybrid / per,
           ch.client_handshake / per, ch.client_hybrid / per, bx.seal[0] / per, bx.open[0] / per,
           bx.seal[1] / per, bx.open[1] / per);
    return 0;
}
