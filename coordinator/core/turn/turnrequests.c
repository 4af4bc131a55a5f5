/* SPDX-License-Identifier: MIT */
/* turnrequests.c - the requests of clients (RFC 8656 s7 to s12). */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turns_int.h"
#include "proto/stun/turn.h"

/* --- requests -------------------------------------------------------------------------------- */

/* A request is authenticated before it comes here. The order of checks is the order of RFC 8656 (s7
 * to s12) throughout: it decides which error a request gets that is wrong in several ways. */

enum {
    FAMILY_BIT4 = 1,
    FAMILY_BIT6 = 2,
    UNKNOWN_MAX = 8, /* ours: attributes named in a 420; more of them say nothing new */
};

/* --- attributes ------------------------------------------------------------------------------ */

/* Answers 420 to a request with attributes that have to be understood (below 0x8000, RFC 8489
 * s14) and are not. This comes after authentication, so strangers cannot make this server list
 * anything. */
static bool refuse_unknown(struct pv_turns *t, const struct pv_turns_req *q)
{
    static const uint16_t known[] = {
        PV_STUN_ATTR_USERNAME,
        PV_STUN_ATTR_USERHASH,
        PV_STUN_ATTR_REALM,
        PV_STUN_ATTR_NONCE,
        PV_STUN_ATTR_MESSAGE_INTEGRITY,
        PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256,
        PV_STUN_ATTR_PASSWORD_ALGORITHM,
        PV_STUN_ATTR_PADDING,
        PV_TURN_ATTR_CHANNEL_NUMBER,
        PV_TURN_ATTR_LIFETIME,
        PV_TURN_ATTR_XOR_PEER_ADDRESS,
        PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY,
        PV_TURN_ATTR_EVEN_PORT,
        PV_TURN_ATTR_REQUESTED_TRANSPORT,
        PV_TURN_ATTR_DONT_FRAGMENT,
        PV_TURN_ATTR_RESERVATION_TOKEN,
    };
    uint16_t unknown[UNKNOWN_MAX];
    struct pv_stun_writer w;
    size_t n = pv_stun_list_unknown(q->msg, known, PV_ARRAY_LEN(known), unknown, UNKNOWN_MAX);
    if (n == 0)
        return false;
    struct pv_turns_out *out = pv_turns_auth_begin(t, q, PV_STUN_ERROR, &w);
    if (out == NULL)
        return true;
    pv_relaystat_add(&t->stats, PV_RELAYSTAT_REFUSED, 1);
    pv_stun_put_error(&w, PV_STUN_E_UNKNOWN_ATTRIBUTE, "");
    pv_stun_put_unknown(&w, unknown, n);
    pv_turns_auth_end(t, q, out, &w);
    return true;
}

/* Returns FAMILY_BIT4 or 6; 0: absent; -1: malformed or another family. The value is one byte and
 * three that are reserved (RFC 8656 s18.6). */
static int get_family(const struct pv_stun_msg *msg, uint16_t type)
{
    struct pv_view v;
    if (pv_stun_find(msg, type, &v) < 0)
        return 0;
    if (v.len != 4)
        return -1;
    return v.ptr[0] == PV_TURN_FAMILY_IPV4   ? FAMILY_BIT4
           : v.ptr[0] == PV_TURN_FAMILY_IPV6 ? FAMILY_BIT6
                                             : -1;
}

/* Returns seconds within the limits of this server; 0 only when the client asked for it, which ends
 * the allocation (RFC 8656 s7.2, s8.2). */
static uint32_t get_lifetime(const struct pv_stun_msg *msg)
{
    uint32_t s = 0;
    if (pv_stun_get_u32(msg, PV_TURN_ATTR_LIFETIME, &s) < 0)
        return PV_TURNS_LIFETIME_S;
    if (s == 0)
        return 0;
    if (s > PV_TURNS_LIFETIME_MAX_S)
        return PV_TURNS_LIFETIME_MAX_S;
    return s < PV_TURNS_LIFETIME_S ? PV_TURNS_LIFETIME_S : s;
}

/* The rest is rounded up, so an allocation that has just been made has all of its time. */
static uint32_t seconds_left(const struct pv_turns_alloc *a, pv_ns now)
{
    return a->until <= now ? 0 : (uint32_t)((a->until - now + PV_S(1) - 1) / PV_S(1));
}

/* The nonce of welcome has served: from now on it is good for this 5-tuple only. An attacker who
 * reads it from a log or the wire later cannot allocate with it. */
static void spend_nonce(const struct pv_turns_req *q)
{
    if (!q->unspent)
        return;
    q->member->spent = true;
    memcpy(q->member->spent_by, q->way->key, sizeof(q->member->spent_by));
}

/* --- Allocate: the answer -------------------------------------------------------------------- */

/* Writes the attributes of a granted allocation (RFC 8656 s7.2). When one of two families failed,
 * ADDRESS-ERROR-CODE says so; clients from before that RFC know it by another number. */
static void put_allocation(const struct pv_turns *t, struct pv_stun_writer *w,
                           const struct pv_turns_req *q, const struct pv_turns_alloc *a)
{
    if (a->member != NULL) {
        pv_stun_put_xor_addr(w, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &a->member->addr);
        pv_turns_phone_port_put(t, q, a, w);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++) {
        if (a->relays[i] != NULL)
            pv_stun_put_xor_addr(w, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &a->relays[i]->shown);
    }
    pv_stun_put_u32(w, PV_TURN_ATTR_LIFETIME, seconds_left(a, q->now));
    if (a->has_token)
        pv_stun_put(w, PV_TURN_ATTR_RESERVATION_TOKEN, pv_view(a->token, sizeof(a->token)));
    if (a->family_error != 0) {
        const uint8_t error[4] = {PV_TURN_FAMILY_IPV6, 0, (uint8_t)(a->family_error / 100),
                                  (uint8_t)(a->family_error % 100)};
        pv_stun_put(w,
                    a->old_numbers ? PV_TURN_ATTR_ADDRESS_ERROR_CODE_OLD
                                   : PV_TURN_ATTR_ADDRESS_ERROR_CODE,
                    pv_view(error, sizeof(error)));
    }
    pv_stun_put_xor_addr(w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &a->way.src);
}

static void answer_allocated(struct pv_turns *t, const struct pv_turns_req *q,
                             const struct pv_turns_alloc *a)
{
    struct pv_stun_writer w;
    struct pv_turns_out *out = pv_turns_auth_begin(t, q, PV_STUN_SUCCESS, &w);
    if (out == NULL)
        return;
    put_allocation(t, &w, q, a);
    pv_turns_auth_end(t, q, out, &w);
}

void pv_turns_request_allocated(struct pv_turns *t, struct pv_turns_alloc *a, unsigned code,
                                pv_ns now)
{
    uint8_t header[PV_STUN_HEADER_LEN] = {0};
    struct pv_stun_msg msg = {.method = PV_TURN_ALLOCATE, .raw = pv_view(header, sizeof(header))};
    pv_store_be32(header + 4, PV_STUN_COOKIE);
    memcpy(header + 8, a->txid, sizeof(a->txid));
    struct pv_turns_way way = a->way;
    struct pv_turns_req q = {.way = &way,
                             .msg = &msg,
                             .now = now,
                             .fingerprint = a->fingerprint,
                             .user = a->user,
                             .sha256 = a->sha256,
                             .sha_key = a->sha_key};
    a->pending = false;
    if (code == 0) {
        answer_allocated(t, &q, a);
        return;
    }
    pv_turns_alloc_free(t, a);
    pv_turns_auth_refuse(t, &q, code);
}

/* --- Allocate: members ----------------------------------------------------------------------- */

/* A node that asks again, from wherever it is now, gets its allocation moved there with all its
 * channels: ours, where RFC 8656 s7.2 would answer 437. Members have one relayed address, which is
 * an IPv6 one and no socket, so there is nothing to reserve. */
static void allocate_member(struct pv_turns *t, struct pv_turns_req *q,
                            struct pv_turns_alloc *there)
{
    struct pv_turns_member *m = q->member;
    int family = get_family(q->msg, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY);
    int r = PV_OK;
    if (family != FAMILY_BIT6 || pv_stun_has(q->msg, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY)) {
        pv_turns_auth_refuse(t, q, PV_TURN_E_FAMILY_NOT_SUPPORTED);
        return;
    }
    if (pv_stun_has(q->msg, PV_TURN_ATTR_RESERVATION_TOKEN)) {
        pv_turns_auth_refuse(t, q, PV_STUN_E_BAD_REQUEST);
        return;
    }
    if (m->alloc == NULL)
        r = pv_turns_alloc_new(t, q->way, m, NULL, &m->alloc);
    else if (there == NULL)
        r = pv_turns_alloc_move(t, m->alloc, q->way, q->now);
    if (r < 0) {
        pv_turns_auth_refuse(t, q, PV_TURN_E_NO_CAPACITY);
        return;
    }
    /* A member that has forgotten its channels in a restart hears phones of before by Data
     * indications, until it binds them again; one that moved binds them at once. */
    if (memcmp(m->alloc->txid, q->msg->txid, PV_STUN_TXID_LEN) != 0)
        pv_turns_chan_leave_phone_port(t, m->alloc);
    uint32_t lifetime = get_lifetime(q->msg);
    memcpy(m->alloc->txid, q->msg->txid, PV_STUN_TXID_LEN);
    /* A lifetime of 0 makes no sense in an Allocate; it counts as the default. */
    m->alloc->until = q->now + PV_S(lifetime == 0 ? PV_TURNS_LIFETIME_S : lifetime);
    pv_turns_member_rearm(t, m);
    pv_turns_phone_port_wish(t, q, m->alloc);
    spend_nonce(q);
    answer_allocated(t, q, m->alloc);
}

/* --- Allocate: static users ------------------------------------------------------------------ */

/* The wishes in an Allocate of a static user. */
struct allocate_wish {
    unsigned families; /* FAMILY_BIT */
    bool additional;   /* IPv6 besides IPv4: the allocation counts without it too */
    bool old_numbers;  /* it asked by the attribute number from before RFC 8656 */
    bool even;         /* an even port */
    bool reserve;      /* the odd port above that is wanted, too, for later */
    bool has_token;    /* a port reserved before */
    uint8_t token[PV_TURNS_TOKEN_LEN];
};

/* Does the checks 5 to 9 of RFC 8656 s7.2. Returns 0 or an error code. */
static unsigned read_families(const struct pv_turns *t, const struct pv_turns_req *q,
                              struct allocate_wish *w)
{
    int one = get_family(q->msg, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY);
    int more = get_family(q->msg, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY);
    if (more == 0) {
        more = get_family(q->msg, PV_TURN_ATTR_ADDITIONAL_ADDRESS_FAMILY_OLD);
        w->old_numbers = more != 0;
    }
    if ((one != 0 && more != 0) || (more != 0 && more != FAMILY_BIT6))
        return PV_STUN_E_BAD_REQUEST;
    if (one < 0)
        return PV_TURN_E_FAMILY_NOT_SUPPORTED;
    w->additional = more != 0;
    w->families = w->additional ? FAMILY_BIT4 | FAMILY_BIT6
                  : one == 0    ? FAMILY_BIT4
                                : (unsigned)one;
    if (w->has_token && (one != 0 || more != 0))
        return PV_STUN_E_BAD_REQUEST;
    if (w->reserve && w->additional)
        return PV_STUN_E_BAD_REQUEST;
    if (w->has_token)
        return 0;
    bool can4 = pv_turns_relay_can(t, 0, &q->way->local);
    bool can6 = pv_turns_relay_can(t, 1, &q->way->local);
    if ((w->families == FAMILY_BIT6 && !can6) || ((w->families & FAMILY_BIT4) != 0 && !can4))
        return PV_TURN_E_FAMILY_NOT_SUPPORTED;
    return 0;
}

/* Reads all wishes before anything is made. Returns 0 or an error code. A token and a wish for
 * ports exclude each other. */
static unsigned read_wish(const struct pv_turns *t, const struct pv_turns_req *q,
                          struct allocate_wish *w)
{
    struct pv_view v;
    *w = (struct allocate_wish){0};
    if (pv_stun_find(q->msg, PV_TURN_ATTR_RESERVATION_TOKEN, &v) == PV_OK) {
        if (v.len != sizeof(w->token) || pv_stun_has(q->msg, PV_TURN_ATTR_EVEN_PORT))
            return PV_STUN_E_BAD_REQUEST;
        w->has_token = true;
        memcpy(w->token, v.ptr, sizeof(w->token));
    }
    if (pv_stun_find(q->msg, PV_TURN_ATTR_EVEN_PORT, &v) == PV_OK) {
        if (v.len != 1)
            return PV_STUN_E_BAD_REQUEST;
        w->even = true;
        w->reserve = (v.ptr[0] & 0x80) != 0;
    }
    return read_families(t, q, w);
}

/* Asks for the sockets. Returns 0 or an error code; on an error the sockets end with the
 * allocation. An additional family that cannot be had is an error of its own in the answer, not of
 * the request. */
static unsigned want_sockets(struct pv_turns *t, const struct pv_turns_req *q,
                             struct pv_turns_alloc *a, const struct allocate_wish *w)
{
    if (w->has_token)
        return pv_turns_relay_redeem(t, a, w->token) == NULL ? PV_TURN_E_NO_CAPACITY : 0;
    if ((w->families & FAMILY_BIT4) != 0 && pv_turns_relay_want(t, a, 0, w->even, w->reserve) < 0)
        return PV_TURN_E_NO_CAPACITY;
    if ((w->families & FAMILY_BIT6) == 0)
        return 0;
    if (!pv_turns_relay_can(t, 1, &q->way->local)) {
        a->family_error = PV_TURN_E_FAMILY_NOT_SUPPORTED;
        return 0;
    }
    if (pv_turns_relay_want(t, a, 1, w->even, w->reserve) == PV_OK)
        return 0;
    a->family_error = PV_TURN_E_NO_CAPACITY;
    return w->additional ? 0 : PV_TURN_E_NO_CAPACITY;
}

/* Returns true if there is a relay socket for this user. Half of all sockets are kept for users
 * that have less than an even part of that half, so nobody finds all of them taken. */
static bool has_socket_for(const struct pv_turns *t, const struct pv_turns_account *user)
{
    size_t part = t->limits.relays / 2 / (t->n_users > 0 ? t->n_users : 1), kept = 0;
    if (user->n_socks < part)
        return true;
    for (size_t i = 0; i < t->n_users; i++)
        kept += t->users[i].n_socks < part ? part - t->users[i].n_socks : 0;
    return t->n_relays + kept < t->limits.relays;
}

/* Returns 0 if this user may have what it wishes for, or an error code. Ports that are reserved for
 * it count like allocations, or it could hold every socket with them. */
static unsigned judge_quota(const struct pv_turns *t, const struct pv_turns_account *user,
                            const struct allocate_wish *w)
{
    uint32_t held = user->n_allocs + user->n_reserved;
    uint32_t reserved_max = t->policy.per_user / PV_TURNS_RESERVED_PART;
    if (reserved_max < PV_TURNS_RESERVED_MIN)
        reserved_max = PV_TURNS_RESERVED_MIN;
    if (w->has_token && user->n_reserved > 0)
        held--; /* it becomes an allocation */
    if (held >= t->policy.per_user || (w->reserve && user->n_reserved >= reserved_max))
        return PV_TURN_E_QUOTA_REACHED;
    return w->has_token || has_socket_for(t, user) ? 0 : PV_TURN_E_NO_CAPACITY;
}

/* The allocation exists from now on, `pending`: it counts towards the user's quota and holds the
 * 5-tuple while sockets are being opened. Only a reserved socket is there already, and can be
 * answered at once. */
static void allocate_static(struct pv_turns *t, struct pv_turns_req *q)
{
    struct allocate_wish wish;
    struct pv_turns_alloc *a = NULL;
    unsigned code = read_wish(t, q, &wish);
    if (code == 0)
        code = judge_quota(t, q->user, &wish);
    if (code == 0 && pv_turns_alloc_new(t, q->way, NULL, q->user, &a) < 0)
        code = PV_TURN_E_NO_CAPACITY;
    if (code != 0) {
        pv_turns_auth_refuse(t, q, code);
        return;
    }
    uint32_t lifetime = get_lifetime(q->msg);
    memcpy(a->txid, q->msg->txid, PV_STUN_TXID_LEN);
    a->until = q->now + PV_S(lifetime == 0 ? PV_TURNS_LIFETIME_S : lifetime);
    pv_heap_set(&t->timers, &a->timer.node, a->until);
    a->sha256 = q->sha256;
    a->sha_key = q->sha_key;
    a->fingerprint = q->fingerprint;
    a->old_numbers = wish.old_numbers;
    a->pending = true;
    code = want_sockets(t, q, a, &wish);
    if (code != 0 || wish.has_token)
        pv_turns_request_allocated(t, a, code, q->now);
}

/* The 5-tuple is in use: a repeated request gets its answer again, all others are refused. */
static void answer_again(struct pv_turns *t, const struct pv_turns_req *q,
                         const struct pv_turns_alloc *there)
{
    if (there->user == NULL || there->user != q->user ||
        memcmp(there->txid, q->msg->txid, PV_STUN_TXID_LEN) != 0)
        pv_turns_auth_refuse(t, q, PV_TURN_E_ALLOCATION_MISMATCH);
    else if (!there->pending)
        answer_allocated(t, q, there);
}

/* Does the checks in the RFC's order, which decides the error of a request that fails several. */
static void handle_allocate(struct pv_turns *t, struct pv_turns_req *q)
{
    struct pv_view v;
    struct pv_turns_alloc *there = pv_turns_alloc_find(t, q->way);
    if (there != NULL && (q->member == NULL || there->member != q->member))
        answer_again(t, q, there);
    else if (pv_stun_find(q->msg, PV_TURN_ATTR_REQUESTED_TRANSPORT, &v) < 0 || v.len != 4)
        pv_turns_auth_refuse(t, q, PV_STUN_E_BAD_REQUEST);
    else if (v.ptr[0] != PV_TURN_TRANSPORT_UDP)
        pv_turns_auth_refuse(t, q, PV_TURN_E_TRANSPORT_NOT_SUPPORTED);
    else if (q->member != NULL)
        allocate_member(t, q, there);
    else
        allocate_static(t, q);
}

/* --- Refresh --------------------------------------------------------------------------------- */

/* Returns the families in which the allocation has a relayed address, FAMILY_BIT. */
static unsigned families_of(const struct pv_turns_alloc *a)
{
    if (a->member != NULL)
        return FAMILY_BIT6;
    return (a->relays[0] != NULL ? FAMILY_BIT4 : 0u) | (a->relays[1] != NULL ? FAMILY_BIT6 : 0u);
}

/* The answer is written before anything is freed, since it is signed with keys of the allocation's
 * user and goes to its way. A lifetime of 0 ends the allocation, or, with a family, the half of it
 * (RFC 8656 s8.2). */
static void handle_refresh(struct pv_turns *t, struct pv_turns_req *q, struct pv_turns_alloc *a)
{
    int family = get_family(q->msg, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY);
    uint32_t lifetime = get_lifetime(q->msg);
    struct pv_stun_writer w;
    if (family < 0 || (family != 0 && ((unsigned)family & families_of(a)) == 0)) {
        pv_turns_auth_refuse(t, q, PV_TURN_E_PEER_FAMILY_MISMATCH);
        return;
    }
    bool half = family != 0 && (unsigned)family != families_of(a);
    if (a->member != NULL)
        pv_turns_phone_port_wish(t, q, a);
    struct pv_turns_out *out = pv_turns_auth_begin(t, q, PV_STUN_SUCCESS, &w);
    if (out == NULL)
        return;
    pv_stun_put_u32(&w, PV_TURN_ATTR_LIFETIME, lifetime);
    if (a->member != NULL)
        pv_turns_phone_port_put(t, q, a, &w);
    pv_turns_auth_end(t, q, out, &w);
    if (lifetime > 0) {
        a->until = q->now + PV_S(lifetime);
        if (a->user != NULL)
            pv_heap_set(&t->timers, &a->timer.node, a->until);
        else
            pv_turns_member_rearm(t, a->member);
    } else if (half) {
        size_t i = family == FAMILY_BIT6 ? 1 : 0;
        struct pv_turns_relay *r = a->relays[i];
        a->relays[i] = NULL;
        pv_turns_relay_close(t, r);
    } else {
        struct pv_turns_member *m = a->member;
        pv_turns_alloc_free(t, a);
        if (m != NULL)
            pv_turns_member_rearm(t, m);
    }
}

/* --- permissions and channels ---------------------------------------------------------------- */

/* Returns 0 if this allocation may have that peer, or an error code. exact: at this port, else at
 * any port. A member's allocation reaches members, and by a phone port what static users may reach.
 * A static user reaches what turnpeer.h allows, and other clients of this relay. */
static unsigned judge_peer(const struct pv_turns *t, const struct pv_turns_alloc *a,
                           const struct pv_addr *peer, bool exact)
{
    unsigned bit = peer->family == PV_AF_INET6 ? FAMILY_BIT6 : FAMILY_BIT4;
    if (a->member != NULL && pv_turns_phone_port_may_reach(t, a, peer))
        return 0;
    if ((families_of(a) & bit) == 0)
        return PV_TURN_E_PEER_FAMILY_MISMATCH;
    bool allowed = a->member != NULL ? pv_turns_member_is_virtual(t, peer)
                                     : pv_turnpeer_is_allowed(peer, &t->rules) ||
                                           pv_turns_relay_is_neighbour(t, a, peer, exact);
    return allowed ? 0 : PV_TURN_E_FORBIDDEN;
}

/* Answers success without attributes. */
static void answer_done(struct pv_turns *t, const struct pv_turns_req *q)
{
    struct pv_stun_writer w;
    struct pv_turns_out *out = pv_turns_auth_begin(t, q, PV_STUN_SUCCESS, &w);
    if (out != NULL)
        pv_turns_auth_end(t, q, out, &w);
}

/* All peers of a CreatePermission are judged before the first is let in: the request counts wholly
 * or not at all (RFC 8656 s10.2). Repeated addresses are counted twice here, which only refuses a
 * request that is odd anyway. */
static unsigned judge_peers(struct pv_turns *t, const struct pv_turns_req *q,
                            struct pv_turns_alloc *a, size_t *ret_n)
{
    size_t fresh = 0;
    size_t n = 0;
    for (size_t i = 0; i < pv_stun_covered(q->msg); i++) {
        struct pv_addr peer;
        if (q->msg->attrs[i].type != PV_TURN_ATTR_XOR_PEER_ADDRESS)
            continue;
        if (pv_stun_attr_xor_addr(q->msg, i, &peer) < 0)
            return PV_STUN_E_BAD_REQUEST;
        unsigned code = judge_peer(t, a, &peer, false);
        if (code != 0)
            return code;
        n++;
        if (pv_turns_perm_of(a, &peer, q->now) == NULL)
            fresh++;
    }
    *ret_n = n;
    if (a->user != NULL && fresh > pv_turns_perm_room(t, a, q->now))
        return PV_TURN_E_NO_CAPACITY;
    return n == 0 ? PV_STUN_E_BAD_REQUEST : 0;
}

/* Members need no permissions; the request tells them whether the peer could have one. */
static void handle_create_permission(struct pv_turns *t, struct pv_turns_req *q,
                                     struct pv_turns_alloc *a)
{
    size_t n = 0;
    unsigned code = judge_peers(t, q, a, &n);
    for (size_t i = 0; code == 0 && a->user != NULL && i < pv_stun_covered(q->msg); i++) {
        struct pv_addr peer;
        if (q->msg->attrs[i].type == PV_TURN_ATTR_XOR_PEER_ADDRESS &&
            pv_stun_attr_xor_addr(q->msg, i, &peer) == PV_OK &&
            pv_turns_perm_add(t, a, &peer, q->now) < 0)
            code = PV_TURN_E_NO_CAPACITY;
    }
    if (code != 0)
        pv_turns_auth_refuse(t, q, code);
    else
        answer_done(t, q);
}

/* Returns 0 or an error code. A binding brings a permission with it (RFC 8656 s12.2), so the room
 * for that is looked for first: a channel without one would swallow data. Stock clients may use
 * numbers of RFC 5766, up to 0x7FFF. */
static unsigned handle_channel_bind(struct pv_turns *t, const struct pv_turns_req *q,
                                    struct pv_turns_alloc *a)
{
    uint32_t number;
    struct pv_addr peer;
    if (pv_stun_get_u32(q->msg, PV_TURN_ATTR_CHANNEL_NUMBER, &number) < 0 ||
        pv_stun_get_xor_addr(q->msg, PV_TURN_ATTR_XOR_PEER_ADDRESS, &peer) < 0)
        return PV_STUN_E_BAD_REQUEST;
    number >>= 16;
    if (number < PV_TURN_CHANNEL_MIN ||
        number >
            (a->member != NULL ? (uint32_t)PV_TURN_CHANNEL_MAX : (uint32_t)PV_TURNS_CHANNEL_MAX))
        return PV_STUN_E_BAD_REQUEST;
    unsigned code = judge_peer(t, a, &peer, true);
    if (code != 0)
        return code;
    if (a->user != NULL && pv_turns_perm_of(a, &peer, q->now) == NULL &&
        pv_turns_perm_room(t, a, q->now) == 0)
        return PV_TURN_E_NO_CAPACITY;
    int r = pv_turns_chan_bind(t, a, (uint16_t)number, &peer, q->now);
    if (r == PV_ERR_EXISTS)
        return PV_STUN_E_BAD_REQUEST; /* and no permission with it */
    if (r == PV_OK && a->user != NULL)
        r = pv_turns_perm_add(t, a, &peer, q->now);
    return r < 0 ? PV_TURN_E_NO_CAPACITY : 0;
}

/* --- dispatch -------------------------------------------------------------------------------- */

/* These requests need an allocation, answered and of the same credentials (441 else, RFC 8656 s4).
 * A member that came back has the same struct. */
static void with_allocation(struct pv_turns *t, struct pv_turns_req *q)
{
    struct pv_turns_alloc *a = pv_turns_alloc_find(t, q->way);
    if (a == NULL || a->pending) {
        pv_turns_auth_refuse(t, q, PV_TURN_E_ALLOCATION_MISMATCH);
        return;
    }
    if (a->member != q->member || a->user != q->user) {
        pv_turns_auth_refuse(t, q, PV_TURN_E_WRONG_CREDENTIALS);
        return;
    }
    if (q->msg->method == PV_TURN_REFRESH) {
        handle_refresh(t, q, a);
    } else if (q->msg->method == PV_TURN_CREATE_PERMISSION) {
        handle_create_permission(t, q, a);
    } else {
        unsigned code = handle_channel_bind(t, q, a);
        if (code != 0)
            pv_turns_auth_refuse(t, q, code);
        else
            answer_done(t, q);
    }
}

void pv_turns_request_handle(struct pv_turns *t, struct pv_turns_req *q)
{
    switch (q->msg->method) {
    case PV_TURN_ALLOCATE:
    case PV_TURN_REFRESH:
    case PV_TURN_CREATE_PERMISSION:
    case PV_TURN_CHANNEL_BIND:
        break;
    default:
        return;
    }
    if (!pv_turns_auth_check(t, q) || refuse_unknown(t, q))
        return;
    if (q->msg->method == PV_TURN_ALLOCATE)
        handle_allocate(t, q);
    else
        with_allocation(t, q);
}
