/* SPDX-License-Identifier: MIT */
/* The STUN server: one function from a request to an answer. Each attribute that could make the
 * answer longer or send it elsewhere is granted only where that helps nobody to attack others. */
#include "coordinator/core/turn/stuns.h"

#include <stdlib.h>

#include "base/bucket.h"
#include "base/bytes.h"
#include "coordinator/core/turn/regulars.h"
#include "proto/stun/stun.h"

enum {
    MAX_UNKNOWN = 6, /* attributes named in a 420: as many as fit PV_STUNS_SHORT_ANSWER */
    CHANGE_IP = 4,   /* RFC 5780 s7.2 */
    CHANGE_PORT = 2, /* RFC 5780 s7.2 */
    ADDR_HEAD = 8,   /* bytes of an attribute with an address, but for that */
    FINGERPRINT_LEN = 8,
};

struct pv_stuns {
    struct pv_bucket total, members, of_regulars;
    struct pv_bucket_table *sources, *regular_sources;
    struct pv_regulars regulars;
};

int pv_stuns_new(struct pv_stuns **ret_stuns, const struct pv_rng *rng)
{
    struct pv_stuns *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    int r = pv_bucket_table_new(&s->sources, PV_STUNS_SOURCES, PV_STUNS_SOURCE_RATE,
                                PV_STUNS_SOURCE_BURST, rng);
    if (r == PV_OK)
        r = pv_bucket_table_new(&s->regular_sources, PV_STUNS_SOURCES, PV_STUNS_SOURCE_RATE,
                                PV_STUNS_SOURCE_BURST, rng);
    if (r == PV_OK)
        r = pv_regulars_init(&s->regulars, rng);
    if (r < 0)
        pv_stuns_free(s);
    else
        *ret_stuns = s;
    return r;
}

struct pv_stuns *pv_stuns_free(struct pv_stuns *stuns)
{
    if (stuns != NULL) {
        pv_bucket_table_free(stuns->sources);
        pv_bucket_table_free(stuns->regular_sources);
        pv_regulars_done(&stuns->regulars);
    }
    free(stuns);
    return NULL;
}

void pv_stuns_note_member(struct pv_stuns *s, const struct pv_addr *src, pv_ns now)
{
    const struct pv_addr seen = pv_addr_unmap(*src);
    pv_regulars_note(&s->regulars, &seen, now);
}

/* A stranger who forges the addresses of members uses up their share, and takes nothing from
 * others. */
static bool may_answer_regular(struct pv_stuns *s, const struct pv_addr *src, pv_ns now)
{
    return pv_regulars_has(&s->regulars, src, now) &&
           pv_bucket_table_take(s->regular_sources, src, 1, now) &&
           pv_bucket_take(&s->of_regulars, PV_STUNS_REGULARS_RATE, PV_STUNS_REGULARS_BURST, 1, now);
}

/* The source's bucket is asked first, so a source that floods does not empty the bucket of all.
 * Broadcast and multicast addresses are no source: an answer would reach many. */
bool pv_stuns_may_answer(struct pv_stuns *s, const struct pv_addr *src, pv_ns now)
{
    if (pv_addr_ip_len(src) == 0 || src->port == 0 || pv_addr_is_unspecified(src) ||
        pv_addr_is_multicast(src) || pv_addr_is_broadcast(src))
        return false;
    return may_answer_regular(s, src, now) ||
           (pv_bucket_table_take(s->sources, src, 1, now) &&
            pv_bucket_take(&s->total, PV_STUNS_TOTAL_RATE, PV_STUNS_TOTAL_BURST, 1, now));
}

bool pv_stuns_may_answer_member(struct pv_stuns *s, struct pv_bucket *own,
                                const struct pv_addr *src, pv_ns now)
{
    if (pv_bucket_take(own, PV_STUNS_MEMBER_RATE, PV_STUNS_MEMBER_BURST, 1, now) &&
        pv_bucket_take(&s->members, PV_STUNS_MEMBERS_RATE, PV_STUNS_MEMBERS_BURST, 1, now))
        return true;
    return pv_stuns_may_answer(s, src, now);
}

/* A Binding request, and its answer as far as it is decided. */
struct binding_request {
    const struct pv_stun_msg *msg;
    const struct pv_stuns_place *place; /* where it came to; NULL: by a stream */
    struct pv_addr seen;                /* its source */
    struct pv_addr from;                /* the answer leaves from there */
    struct pv_addr to;                  /* the answer goes there */
    bool fingerprint;                   /* the answer has FINGERPRINT, as the request has */
};

/* Returns true if the change that the request asks for can be made. Old clients send CHANGE-REQUEST
 * without a flag, which asks for nothing. */
static bool can_change(const struct binding_request *ask, uint32_t flags)
{
    const struct pv_stuns_place *p = ask->place;
    if (flags == 0)
        return true;
    return p != NULL && (flags & ~(uint32_t)(CHANGE_IP | CHANGE_PORT)) == 0 &&
           ((flags & CHANGE_IP) == 0 || p->other.family != PV_AF_NONE) &&
           ((flags & CHANGE_PORT) == 0 || p->other.port != 0);
}

/* Applies CHANGE-REQUEST. False: it is to be refused as unknown (RFC 5780 s6.1). */
static bool apply_change(struct binding_request *ask)
{
    uint32_t flags = 0;
    int r = pv_stun_get_u32(ask->msg, PV_STUN_ATTR_CHANGE_REQUEST, &flags);
    if (r == PV_ERR_NOT_FOUND)
        return true;
    if (r < 0 || !can_change(ask, flags))
        return false;
    if ((flags & CHANGE_IP) != 0) {
        ask->from = ask->place->other;
        ask->from.port = ask->place->local.port;
    }
    if ((flags & CHANGE_PORT) != 0)
        ask->from.port = ask->place->other.port;
    return true;
}

/* Applies RESPONSE-PORT; some write it without the padding. False: a bad request. */
static bool apply_port(struct binding_request *ask)
{
    struct pv_view v;
    if (pv_stun_find(ask->msg, PV_STUN_ATTR_RESPONSE_PORT, &v) < 0)
        return true;
    if ((v.len != 2 && v.len != 4) || pv_load_be16(v.ptr) == 0 ||
        pv_stun_has(ask->msg, PV_STUN_ATTR_PADDING))
        return false;
    ask->to.port = pv_load_be16(v.ptr);
    return true;
}

/* Lists attributes that have to be understood and are not (RFC 8489 s14), for a 420.
 * CHANGE-REQUEST and RESPONSE-PORT are known where they are granted, so their refusal looks as
 * RFC 5780 s6.1 says. */
static size_t list_unknown(const struct binding_request *ask, bool change,
                           uint16_t types[static MAX_UNKNOWN])
{
    uint16_t known[] = {
        PV_STUN_ATTR_USERNAME,
        PV_STUN_ATTR_REALM,
        PV_STUN_ATTR_NONCE,
        PV_STUN_ATTR_MESSAGE_INTEGRITY,
        PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256,
        PV_STUN_ATTR_PADDING,
        0, /* two more, where they are granted */
        0,
    };
    size_t n_known = PV_ARRAY_LEN(known) - 2;
    if (change)
        known[n_known++] = PV_STUN_ATTR_CHANGE_REQUEST;
    if (ask->place != NULL && !ask->place->stream && !ask->msg->classic)
        known[n_known++] = PV_STUN_ATTR_RESPONSE_PORT;
    size_t n = pv_stun_list_unknown(ask->msg, known, n_known, types, MAX_UNKNOWN);
    /* RFC 3489 s11.2.10: attributes have no padding, so an odd list repeats one. */
    if (ask->msg->classic && n % 2 == 1) {
        types[n] = types[n - 1];
        n++;
    }
    return n;
}

/* Puts an address that the client can do without. One whose source is forged gets more than it sent
 * otherwise. */
static void put_if_room(struct pv_stun_writer *w, const struct binding_request *ask, uint16_t type,
                        const struct pv_addr *addr)
{
    size_t len =
        w->len + ADDR_HEAD + pv_addr_ip_len(addr) + (ask->fingerprint ? FINGERPRINT_LEN : 0);
    if (addr->family != PV_AF_NONE &&
        (ask->place->stream || len <= PV_STUNS_GAIN * ask->msg->raw.len))
        pv_stun_put_addr(w, type, addr);
}

/* Writes the answer of RFC 3489 s11.2; SOURCE-ADDRESS is for IPv4 only, as that RFC knows nothing
 * else. */
static void put_classic(struct pv_stun_writer *w, const struct binding_request *ask)
{
    pv_stun_put_addr(w, PV_STUN_ATTR_MAPPED_ADDRESS, &ask->seen);
    if (ask->place == NULL)
        return;
    if (ask->seen.family == PV_AF_INET && ask->from.family == PV_AF_INET)
        put_if_room(w, ask, PV_STUN_ATTR_SOURCE_ADDRESS, &ask->from);
    put_if_room(w, ask, PV_STUN_ATTR_CHANGED_ADDRESS, &ask->place->other);
}

/* Writes the answer of RFC 8489 and RFC 5780; s6.1 there wants RESPONSE-ORIGIN in every answer, but
 * OTHER-ADDRESS is what a client goes on with. */
static void put_modern(struct pv_stun_writer *w, const struct binding_request *ask)
{
    pv_stun_put_xor_addr(w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &ask->seen);
    if (ask->place == NULL)
        return;
    put_if_room(w, ask, PV_STUN_ATTR_OTHER_ADDRESS, &ask->place->other);
    put_if_room(w, ask, PV_STUN_ATTR_RESPONSE_ORIGIN, &ask->from);
}

/* An error goes back where the request came from, whatever the request wanted changed: nobody can
 * have errors sent from other sockets to other ports. */
static int write_reply(struct binding_request *ask, struct pv_stuns_reply *ret_reply)
{
    uint16_t unknown[MAX_UNKNOWN];
    struct pv_stun_writer w;
    bool change = apply_change(ask);
    size_t n_unknown = list_unknown(ask, change, unknown);
    unsigned error = 0;
    if (n_unknown > 0)
        error = PV_STUN_E_UNKNOWN_ATTRIBUTE;
    else if (!ask->msg->classic && !apply_port(ask))
        error = PV_STUN_E_BAD_REQUEST;

    pv_stun_write_answer(&w, ret_reply->buf, sizeof(ret_reply->buf),
                         error != 0 ? PV_STUN_ERROR : PV_STUN_SUCCESS, ask->msg);
    if (error != 0) {
        ask->from = ask->place == NULL ? (struct pv_addr){0} : ask->place->local;
        pv_stun_put_error(&w, error, "");
    }
    if (n_unknown > 0)
        pv_stun_put_unknown(&w, unknown, n_unknown);
    else if (error == 0 && ask->msg->classic)
        put_classic(&w, ask);
    else if (error == 0)
        put_modern(&w, ask);
    if (ask->fingerprint)
        pv_stun_put_fingerprint(&w);
    int r = pv_stun_write_end(&w, &ret_reply->len);
    ret_reply->from = ask->from;
    ret_reply->to = ask->to;
    return r;
}

/* Tokens are taken last, from requests that are right: malformed floods cost no token, and use none
 * up for others. */
int pv_stuns_answer(struct pv_stuns *stuns, const struct pv_addr *src,
                    const struct pv_stuns_place *place, struct pv_view request, pv_ns now,
                    struct pv_stuns_reply *ret_reply)
{
    struct pv_stun_msg msg;
    int r = pv_stun_decode(request, &msg);
    if (r == PV_ERR_MALFORMED)
        r = pv_stun_decode_classic(request, &msg);
    if (r < 0)
        return r;
    if (msg.cls != PV_STUN_REQUEST || msg.method != PV_STUN_BINDING)
        return PV_ERR_UNSUPPORTED;
    struct binding_request ask = {.msg = &msg, .place = place, .seen = pv_addr_unmap(*src)};
    ask.fingerprint = !msg.classic && pv_stun_has(&msg, PV_STUN_ATTR_FINGERPRINT);
    if (ask.fingerprint && pv_stun_check_fingerprint(&msg) < 0)
        return PV_ERR_AUTH;
    if (!pv_stuns_may_answer(stuns, &ask.seen, now))
        return PV_ERR_REFUSED;
    ask.to = ask.seen;
    if (place != NULL)
        ask.from = place->local;
    return write_reply(&ask, ret_reply);
}
