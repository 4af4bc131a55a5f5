/* SPDX-License-Identifier: MIT */
/*
 * Hybrid boxes and certificates. The input is u16 place, u8 mask, and the rest: a text that is
 * sealed, with one byte of the box changed by the mask, and also a box and a certificate that
 * somebody made up. A box that nobody changed opens to its text; nothing else does.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "proto/control/sealing.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/kem_double.h"

enum {
    TEXT_MAX = 4096,
};

static struct {
    bool made;
    uint8_t id_sk[PV_SIGN_SK_LEN], id_pk[PV_SIGN_PK_LEN], ek[PV_KEM_EK_LEN];
    uint8_t sk[2][PV_DH_LEN];
    struct pv_noise_static alice, bob;
} once;

static void make_keys(void)
{
    uint8_t seed[PV_SIGN_SEED_LEN] = {5}, counter = 1;
    const struct pv_rng rng = {.fill = fuzz_fill_count, .ctx = &counter};
    pv_sign_keypair(seed, once.id_sk, once.id_pk);
    pv_dh_keypair(&rng, once.sk[0], once.alice.pk);
    pv_dh_keypair(&rng, once.sk[1], once.bob.pk);
    once.alice.sk = once.sk[0];
    once.bob.sk = once.sk[1];
    must(pv_sealing_key(&kem_double, once.id_sk, once.ek) == PV_OK);
    once.made = true;
}

static int open_box(struct pv_view box, uint8_t *out)
{
    static const struct pv_view prologue = {(const uint8_t *)"here", 4};
    uint8_t psk[PV_NOISE_PSK_LEN], sender[PV_DH_LEN];
    int r = pv_sealing_secret(&kem_double, once.id_sk, box, psk);
    return r == PV_OK ? pv_sealing_open(psk, prologue, &once.bob, box, sender, out) : r;
}

static void seal_and_change(struct pv_view text, size_t at, uint8_t mask)
{
    static uint8_t box[TEXT_MAX + PV_SEALING_OVERHEAD], out[TEXT_MAX];
    const struct pv_sealing_to to = {.kem = &kem_double, .ek = once.ek};
    uint8_t counter = 77;
    const struct pv_rng rng = {.fill = fuzz_fill_count, .ctx = &counter};
    size_t len = text.len + PV_SEALING_OVERHEAD;
    const struct pv_noise_parties parties = {
        .prologue = pv_view("here", 4), .local = &once.alice, .remote = once.bob.pk};
    must(pv_sealing_seal(&to, &parties, &rng, text, box) == PV_OK);
    box[at % len] ^= mask;
    int r = open_box(pv_view(box, len), out);
    must((r == PV_OK) == (mask == 0));
    must(r != PV_OK || text.len == 0 || memcmp(out, text.ptr, text.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t out[TEXT_MAX], exact[TEXT_MAX];
    if (len < 3 || len - 3 > TEXT_MAX)
        return 0;
    must(pv_crypto_init() == PV_OK);
    if (!once.made)
        make_keys();
    memcpy(exact, data + 3, len - 3);
    const struct pv_view rest = pv_view(exact, len - 3);
    seal_and_change(rest, pv_load_be16(data), data[2]);
    must(open_box(rest, out) != PV_OK); /* nobody sealed it */
    return 0;
}
