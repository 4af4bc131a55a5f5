/* SPDX-License-Identifier: MIT */
/*
 * fuzz_wgmsg.c - WireGuard messages 1 to 3 from the network, as a responder and as an initiator
 * reads them. Keys are fixed, so that the seeds are genuine messages which mutation starts from.
 * A message that the type check lets pass must be readable by all that comes after it.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/wireguard/cookie.h"
#include "tests/fuzz/fuzz_util.h"

/* Every draw is the same bytes: the ephemeral key in the seeds. */
struct pair {
    struct pv_wg_device init, resp;
    struct pv_wg_remote to_resp, to_init;
};

static void make_pair(struct pair *p)
{
    uint8_t sk[32], psk[32] = {0};
    memset(sk, 1, sizeof(sk));
    pv_wg_device_init(&p->init, fuzz_keep_key(sk));
    memset(sk, 2, sizeof(sk));
    pv_wg_device_init(&p->resp, fuzz_keep_key(sk));
    if (pv_wg_remote_init(&p->to_resp, &p->init, p->resp.keys.pk, psk) < 0 ||
        pv_wg_remote_init(&p->to_init, &p->resp, p->init.keys.pk, psk) < 0)
        abort();
}

static void read_initiation(const struct pair *p, const struct pv_rng *rng, struct pv_view msg)
{
    struct pv_wg_initiation in;
    struct pv_wg_keys keys;
    uint8_t tai64n[PV_TAI64N_LEN], answer[PV_WGMSG_RESPONSE_LEN];
    (void)pv_wgmsg_mac1_ok(&p->resp, msg);
    if (pv_wgmsg_identify(&p->resp, msg, &in) < 0 || memcmp(in.static_pk, p->init.keys.pk, 32) != 0)
        return;
    if (pv_wgmsg_accept(&in, &p->to_init, tai64n) == PV_OK &&
        pv_wgmsg_respond(&in, &p->to_init, rng, 9, answer, &keys) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t same = 3;
    const struct pv_rng rng = {.fill = fuzz_fill_same, .ctx = &same};
    struct pv_view msg = pv_view(data, len);
    struct pair p;
    struct pv_wg_pending pending = {.local_index = 7};
    struct pv_wg_keys keys;
    struct pv_cookie_jar jar = {.sent = false};
    uint8_t type = 0, own[PV_WGMSG_INITIATION_LEN], tai64n[PV_TAI64N_LEN] = {0x40};

    if (pv_crypto_init() < 0 || pv_wgmsg_type(msg, &type) < 0)
        return 0;
    make_pair(&p);
    if (type == PV_WGMSG_RESPONSE)
        pending.suite = (enum pv_suite)data[3]; /* an answer to what we asked for */
    if (type != PV_WGMSG_INITIATION)
        (void)pv_wgmsg_receiver(msg);
    if (pv_wgmsg_initiate(&pending, &p.init, &p.to_resp, &rng, tai64n, own) < 0)
        abort();
    pv_cookie_jar_stamp(&jar, own, sizeof(own), true, 1);
    if (type == PV_WGMSG_INITIATION)
        read_initiation(&p, &rng, msg);
    else if (type == PV_WGMSG_RESPONSE)
        (void)!pv_wgmsg_read_response(&pending, &p.init, &p.to_resp, msg, &keys);
    else if (type == PV_WGMSG_COOKIE)
        (void)!pv_cookie_jar_put(&jar, &p.to_resp, msg, 1);
    return 0;
}
