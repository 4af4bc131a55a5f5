/* SPDX-License-Identifier: MIT */
#include "coordinator/core/stuns.h"

#include <stdlib.h>

#include "base/bucket.h"
#include "base/bytes.h"
#include "proto/stun.h"

enum {
    MAX_UNKNOWN = 6, /* attributes named in a 420: what fits PV_STUNS_MAX_ANSWER */
};

struct pv_stuns {
    struct pv_bucket total;
    struct pv_bucket_table *sources;
};

int pv_stuns_new(struct pv_stuns **ret_stuns, const struct pv_rng *rng)
{
    struct pv_stuns *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    int r = pv_bucket_table_new(&s->sources, PV_STUNS_SOURCES, PV_STUNS_SOURCE_RATE,
                                PV_STUNS_SOURCE_BURST, rng);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret_stuns = s;
    return PV_OK;
}

struct pv_stuns *pv_stuns_free(struct pv_stuns *stuns)
{
    if (stuns != NULL)
        pv_bucket_table_free(stuns->sources);
    free(stuns);
    return NULL;
}

/* The source's bucket first: one that floods must not empty the bucket of all. */
static bool may_answer(struct pv_stuns *s, const struct pv_addr *src, pv_ns now)
{
    if (pv_addr_ip_len(src) == 0 || src->port == 0 || pv_addr_is_unspecified(src) ||
        pv_addr_is_multicast(src) || pv_addr_is_broadcast(src))
        return false;
    return pv_bucket_table_take(s->sources, src, 1, now) &&
           pv_bucket_take(&s->total, PV_STUNS_TOTAL_RATE, PV_STUNS_TOTAL_BURST, 1, now);
}

/* Old clients send CHANGE-REQUEST without a flag set, which asks for nothing. */
static bool asks_no_change(const struct pv_stun_msg *msg)
{
    uint32_t flags;
    return pv_stun_get_u32(msg, PV_STUN_ATTR_CHANGE_REQUEST, &flags) == PV_OK && flags == 0;
}

static size_t list_unknown(const struct pv_stun_msg *msg, uint16_t types[static MAX_UNKNOWN])
{
    static const uint16_t KNOWN[] = {
        PV_STUN_ATTR_USERNAME,
        PV_STUN_ATTR_REALM,
        PV_STUN_ATTR_NONCE,
        PV_STUN_ATTR_MESSAGE_INTEGRITY,
        PV_STUN_ATTR_INTEGRITY_SHA256,
        PV_STUN_ATTR_PADDING,
        PV_STUN_ATTR_CHANGE_REQUEST, /* last: may be left out below */
    };
    size_t n_known = PV_ARRAY_LEN(KNOWN);
    if (!asks_no_change(msg))
        n_known--;
    size_t n = pv_stun_list_unknown(msg, KNOWN, n_known, types, MAX_UNKNOWN);
    /* RFC 3489 s11.2.10: attributes have no padding, so an odd list repeats one. */
    if (msg->classic && n % 2 == 1) {
        types[n] = types[n - 1];
        n++;
    }
    return n;
}

int pv_stuns_answer(struct pv_stuns *stuns, const struct pv_addr *src, struct pv_view datagram,
                    pv_ns now, uint8_t buf[static PV_STUNS_MAX_ANSWER], size_t *ret_len)
{
    struct pv_stun_msg msg;
    int r = pv_stun_decode(datagram, &msg);
    if (r == PV_ERR_MALFORMED)
        r = pv_stun_decode_classic(datagram, &msg);
    if (r < 0)
        return r;
    if (msg.cls != PV_STUN_REQUEST || msg.method != PV_STUN_BINDING)
        return PV_ERR_UNSUPPORTED;
    bool fingerprint = !msg.classic && pv_stun_has(&msg, PV_STUN_ATTR_FINGERPRINT);
    if (fingerprint && pv_stun_check_fingerprint(&msg) < 0)
        return PV_ERR_AUTH;
    struct pv_addr seen = pv_addr_unmap(*src);
    if (!may_answer(stuns, &seen, now))
        return PV_ERR_REFUSED;

    uint16_t unknown[MAX_UNKNOWN];
    size_t n_unknown = list_unknown(&msg, unknown);
    struct pv_stun_writer w;
    pv_stun_write_answer(&w, buf, PV_STUNS_MAX_ANSWER,
                         n_unknown > 0 ? PV_STUN_ERROR : PV_STUN_SUCCESS, &msg);
    if (n_unknown > 0) {
        pv_stun_put_error(&w, PV_STUN_E_UNKNOWN_ATTRIBUTE, "");
        pv_stun_put_unknown(&w, unknown, n_unknown);
    } else if (msg.classic) {
        pv_stun_put_addr(&w, PV_STUN_ATTR_MAPPED_ADDRESS, &seen);
    } else {
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &seen);
    }
    if (fingerprint)
        pv_stun_put_fingerprint(&w);
    return pv_stun_write_end(&w, ret_len);
}
