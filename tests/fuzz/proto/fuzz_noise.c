/* SPDX-License-Identifier: MIT */
/*
 * fuzz_noise.c - the messages of IK and X from the network: byte 0 says who reads the rest.
 * Keys are fixed, so that the seeds are genuine messages which mutation starts from.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "crypto/dh.h"
#include "proto/wireguard/noise.h"
#include "tests/fuzz/fuzz_util.h"

/* Every draw is the same bytes: the ephemeral key in the seeds. */
static struct pv_noise_static keys(uint8_t name)
{
    struct pv_noise_static k = {0};
    uint8_t sk[32];
    memset(sk, name, sizeof(sk));
    k.sk = fuzz_keep_key(sk);
    pv_dh_public(k.sk, k.pk);
    return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t same = 3;
    const struct pv_rng rng = {.fill = fuzz_fill_same, .ctx = &same};
    const struct pv_view prologue = {(const uint8_t *)"P2PVPN/1\n", 9};
    struct pv_noise_static a = keys(1), b = keys(2);
    struct pv_noise_ik ik;
    uint8_t remote[32], msg[PV_NOISE_IK_MSG1_LEN];

    if (pv_crypto_init() < 0 || len < 1)
        return 0;
    struct pv_view rest = pv_view(data + 1, len - 1);
    if (data[0] % 3 == 0) {
        pv_noise_ik_init_responder(&ik, prologue, &b);
        if (pv_noise_ik_read1(&ik, rest, remote) == PV_OK && pv_noise_ik_write2(&ik, &rng, msg) < 0)
            abort();
    } else if (data[0] % 3 == 1) {
        pv_noise_ik_init_initiator(&ik, prologue, &a, b.pk);
        if (pv_noise_ik_write1(&ik, &rng, msg) < 0)
            abort();
        (void)!pv_noise_ik_read2(&ik, rest);
    } else if (rest.len >= PV_NOISE_X_OVERHEAD) {
        uint8_t *pt = malloc(rest.len - PV_NOISE_X_OVERHEAD + 1);
        if (pt != NULL)
            (void)!pv_noise_x_open(prologue, &b, rest, remote, pt);
        free(pt);
    } else if (pv_noise_x_open(prologue, &b, rest, remote, NULL) != PV_ERR_AUTH) {
        abort();
    }
    return 0;
}
