/* SPDX-License-Identifier: MIT */
/*
 * cookie.c - tells whether a handshake message deserves a DH while this node is flooded (whitepaper
 * s5.3). A cookie is a MAC over the source address under a secret of two minutes, so the responder
 * keeps nothing for a source until that source has proven that it receives.
 */
#include "proto/wireguard/cookie.h"

#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/bytes.h"
#include "crypto/ct.h"
#include "crypto/hash.h"

enum {
    SECRET_LEN = 32, /* bytes, whitepaper s5.4.7 */
    PORT_LEN = 2,    /* bytes of a UDP port */
};

struct pv_cookie_checker {
    struct pv_rng rng;
    uint8_t secret[SECRET_LEN];
    pv_ns secret_expires; /* 0: none drawn yet */
    struct pv_bucket_table *sources;
};

int pv_cookie_checker_new(struct pv_cookie_checker **ret_checker, const struct pv_rng *rng)
{
    struct pv_cookie_checker *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->rng = *rng;
    int r = pv_bucket_table_new(&c->sources, PV_COOKIE_SLOTS, PV_COOKIE_RATE, PV_COOKIE_BURST, rng);
    if (r < 0) {
        pv_cookie_checker_free(c);
        return r;
    }
    *ret_checker = c;
    return PV_OK;
}

struct pv_cookie_checker *pv_cookie_checker_free(struct pv_cookie_checker *checker)
{
    if (checker == NULL)
        return NULL;
    pv_bucket_table_free(checker->sources);
    pv_wipe(checker->secret, sizeof(checker->secret));
    free(checker);
    return NULL;
}

/* The cookie of a source now: MAC(secret, address || port). IPv4-mapped addresses are unmapped
 * first, or one host would have two cookies depending on the socket it came through. */
static void make_cookie(struct pv_cookie_checker *c, const struct pv_addr *src, pv_ns now,
                        uint8_t ret_cookie[static PV_WGMSG_MAC_LEN])
{
    uint8_t source[PV_IP6_LEN + PORT_LEN];
    struct pv_addr a = pv_addr_unmap(*src);
    size_t n = pv_addr_ip_len(&a);

    if (now >= c->secret_expires) {
        pv_rng_fill(&c->rng, c->secret, sizeof(c->secret));
        c->secret_expires = now + PV_COOKIE_SECRET_AGE;
    }
    memcpy(source, a.ip, n);
    pv_store_be16(source + n, a.port);
    pv_blake2s_mac(ret_cookie, pv_view(c->secret, sizeof(c->secret)),
                   pv_view(source, n + PORT_LEN));
}

/* The order is the defence: mac1 costs one hash and needs our public key, the cookie proves the
 * source, and only then is the source's share counted. */
enum pv_cookie_verdict pv_cookie_check(struct pv_cookie_checker *checker,
                                       const struct pv_wg_device *dev, struct pv_view msg,
                                       const struct pv_addr *src, bool under_load, pv_ns now)
{
    uint8_t cookie[PV_WGMSG_MAC_LEN];
    if (!pv_wgmsg_mac1_ok(dev, msg))
        return PV_COOKIE_DROP;
    if (!under_load)
        return PV_COOKIE_ACCEPT;

    make_cookie(checker, src, now, cookie);
    if (!pv_wgmsg_mac2_ok(msg, cookie))
        return PV_COOKIE_REPLY;
    /* Only now is the source proven, so that nobody can use up the share of another. */
    return pv_bucket_table_take(checker->sources, src, 1, now) ? PV_COOKIE_ACCEPT : PV_COOKIE_DROP;
}

void pv_cookie_reply(struct pv_cookie_checker *checker, const struct pv_wg_device *dev,
                     struct pv_view msg, const struct pv_addr *src, pv_ns now,
                     uint8_t ret_msg[static PV_WGMSG_COOKIE_LEN])
{
    uint8_t cookie[PV_WGMSG_MAC_LEN];
    make_cookie(checker, src, now, cookie);
    pv_wgmsg_make_cookie(dev, &checker->rng, msg, cookie, ret_msg);
    pv_wipe(cookie, sizeof(cookie));
}

/* mac1 is remembered for every message, because it is the associated data of the cookie reply to
 * exactly that message. */
void pv_cookie_jar_stamp(struct pv_cookie_jar *jar, uint8_t *msg, size_t len, bool with_cookie,
                         pv_ns now)
{
    if (with_cookie && now < jar->expires)
        pv_wgmsg_put_mac2(msg, len, jar->cookie);
    memcpy(jar->mac1, pv_wgmsg_mac1(pv_view(msg, len)).ptr, PV_WGMSG_MAC_LEN);
    jar->sent = true;
}

int pv_cookie_jar_put(struct pv_cookie_jar *jar, const struct pv_wg_remote *remote,
                      struct pv_view msg, pv_ns now)
{
    if (!jar->sent)
        return PV_ERR_STATE;
    int r = pv_wgmsg_read_cookie(remote, msg, jar->mac1, jar->cookie);
    if (r < 0)
        return r;
    jar->sent = false; /* a second answer to the same message is a replay */
    jar->expires = now + PV_COOKIE_SECRET_AGE - PV_COOKIE_LATENCY;
    return PV_OK;
}
