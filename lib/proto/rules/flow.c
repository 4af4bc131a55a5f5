/* SPDX-License-Identifier: MIT */
/* flow.c - reads flows out of packets, and remembers them. */
#include "proto/rules/flow.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum {
    PORTS_LEN = 4,     /* bytes: both ports, RFC 768, RFC 9293 s3.1 */
    TCP_FLAGS_AT = 13, /* RFC 9293 s3.1 */
    TCP_SYN = 2,
    TCP_ACK = 16,
    UDP_LEN = 8,        /* RFC 768 */
    TCP_LEN = 20,       /* RFC 9293 s3.1, without options */
    ICMP_LEN = 8,       /* RFC 792, RFC 4443 s2.1 */
    ECHO_REPLY = 0,     /* RFC 792 */
    ECHO_REPLY6 = 129,  /* RFC 4443 s4.2 */
    NEXT_FRAGMENT = 44, /* RFC 8200 s4.5 */
    NEXT_ROUTING = 43,  /* RFC 8200 s4.4 */
    IP4_MIN = 20,       /* bytes, RFC 791 s3.1 */
    IP6_LEN = 40,       /* RFC 8200 s3 */
    MARK_KEYS = PV_FLOW_WORDS + 1,
    ADDRESSES_AT = 3, /* in a key */
    CLASS_FLOW = 1,   /* in key[1]: what the rest of the key is about */
    CLASS_PIECE = 2,
    CLASS_MANY = 3,
    ICMP_TYPE_AT = 18, /* in key[1]: bit from which on ICMP's type stands, behind the class */
};

/* --- reading ------------------------------------------------------------------------------ */

/* Packets of IPv4 are told apart by fewer words of a key, and so in less time. */
static bool is_ip4(const uint32_t *key)
{
    return (key[1] >> 8 & 0xff) == 4;
}

static void put_words(uint32_t *dst, const uint8_t *ip, size_t words)
{
    for (size_t i = 0; i < words; i++)
        dst[i] = pv_load_be32(ip + 4 * i);
}

/* The address of this node, and that of the other side. */
static void put_addresses(uint32_t *key, const struct pv_ippkt *ip, bool incoming)
{
    const uint8_t *own = incoming ? ip->dst : ip->src, *other = incoming ? ip->src : ip->dst;
    if (ip->version == 4) {
        put_words(key + ADDRESSES_AT, own, 1);
        put_words(key + ADDRESSES_AT + 1, other, 1);
        return;
    }
    put_words(key + ADDRESSES_AT, own, 4);
    put_words(key + ADDRESSES_AT + 4, other, 4);
}

/* Unused words are zero, so that equal flows have equal keys. */
static void put_key(uint32_t *key, const struct pv_ippkt *ip, bool incoming, uint32_t class,
                    uint8_t proto, uint32_t middle)
{
    memset(key, 0, PV_FLOW_WORDS * sizeof(*key));
    key[1] = class << 16 | (uint32_t)ip->version << 8 | proto;
    key[2] = middle;
    put_addresses(key, ip, incoming);
}

/* This node's port comes first in both directions, so that both have one key. */
static void put_flow(struct pv_flow *f, const struct pv_ippkt *ip, bool incoming, uint16_t src,
                     uint16_t dst)
{
    f->own = incoming ? dst : src;
    put_key(f->key, ip, incoming, CLASS_FLOW, f->proto,
            (uint32_t)f->own << 16 | (incoming ? src : dst));
}

/* The extension headers of an IPv6 packet, which pv_ippkt_parse() has walked before. *ret_fragment:
 * the fragment header; NULL: it has none. False: what is read of it would not be what a kernel
 * reads in the end: it is sent on elsewhere, is in fragments twice, or has headers that later
 * fragments may write over. */
static bool walk6(const struct pv_ippkt *ip, const uint8_t **ret_fragment)
{
    const uint8_t *at = ip->whole.ptr + IP6_LEN;
    uint8_t next = ip->whole.ptr[6];
    *ret_fragment = NULL;
    for (int n = 0; n <= PV_IPPKT_MAX_EXTENSIONS && at + 8 <= ip->l4.ptr; n++) {
        if (*ret_fragment != NULL && (next == NEXT_FRAGMENT || ip->first_fragment))
            return false;
        if (next == NEXT_ROUTING && at[3] != 0) /* segments left */
            return false;
        if (next == NEXT_FRAGMENT)
            *ret_fragment = at;
        size_t len = pv_ippkt_extension_len(next, pv_view(at, (size_t)(ip->l4.ptr - at)));
        next = at[0];
        at += len;
    }
    return true;
}

/* Whether it is one of several fragments, and of which packet. *ret_offset: the fragment's, in
 * bytes. False: it must not enter. */
static bool read_pieces(const struct pv_ippkt *ip, bool incoming, struct pv_flow *f,
                        size_t *ret_offset)
{
    const uint8_t *h = ip->whole.ptr;
    *ret_offset = 0;
    if (ip->version == 4 ? ip->source_route : !walk6(ip, &h))
        return false;
    if (h == NULL)
        return true;
    uint16_t word = pv_load_be16(ip->version == 4 ? h + 6 : h + 2);
    uint32_t id = ip->version == 4 ? pv_load_be16(h + 4) : pv_load_be32(h + 4);
    size_t offset = ip->version == 4 ? (size_t)(word & 0x1fff) * 8 : word & 0xfff8;
    f->more = ip->version == 4 ? (word & 0x2000) != 0 : (word & 1) != 0;
    /* By the packet, and not by a protocol that only its first fragment tells. */
    put_key(f->piece, ip, incoming, CLASS_PIECE, 0, id);
    *ret_offset = offset;
    return true;
}

/* Pings are one thing in both families for people, and so for rules. */
static uint16_t icmp_port(const struct pv_ippkt *ip, uint8_t type)
{
    if (ip->version == 4)
        return type;
    return type == PV_PORTS_PING6 ? PV_PORTS_PING : (uint16_t)(PV_PORTS_OF_ICMP6 + type);
}

/* Errors are about a packet of ours: its own headers are quoted (RFC 792, RFC 4443 s2.1). */
static bool is_error(const struct pv_ippkt *ip, uint8_t type)
{
    if (ip->version == 6)
        return type >= 1 && type <= 4;
    return type == 3 || type == 11 || type == 12;
}

/* By the identifier, which a request and its reply share, on the side of who asks. Every type but
 * these two has flows of its own: rules allow one and deny another. */
static void put_echo(struct pv_flow *f, const struct pv_ippkt *ip, bool incoming, bool reply,
                     uint16_t id)
{
    bool we_ask = incoming == reply;
    put_flow(f, ip, incoming, we_ask != incoming ? id : 0, we_ask != incoming ? 0 : id);
    f->key[1] |= (uint32_t)(reply ? PV_PORTS_PING : f->port) << ICMP_TYPE_AT;
}

/* A reply never begins a flow, and its request stands on the other side. */
static bool is_reply(uint8_t version, uint8_t type)
{
    return type == (version == 4 ? ECHO_REPLY : ECHO_REPLY6);
}

/* Of no flow. */
static void make_bad(struct pv_flow *f)
{
    f->kind = PV_FLOW_BAD;
    memset(f->key, 0, sizeof(f->key));
}

/* The flow that an error is about: its packet went the other way. A quoted fragment tells no ports,
 * and an error about an error is none (RFC 1122 s3.2.2). */
static void read_error(const struct pv_ippkt *ip, bool incoming, struct pv_flow *f)
{
    struct pv_ippkt quoted = {.version = ip->version};
    const uint8_t *q = ip->l4.ptr + ICMP_LEN;
    size_t len = ip->l4.len - ICMP_LEN, head = IP6_LEN;
    make_bad(f);
    if (ip->version == 4 && len > 0)
        head = (q[0] & 15u) * 4u;
    if (head < IP4_MIN || len < head + ICMP_LEN || q[0] >> 4 != ip->version)
        return;
    quoted.src = q + (ip->version == 4 ? PV_IP4_ADDRS : PV_IP6_ADDRS);
    quoted.dst = quoted.src + (ip->version == 4 ? PV_IP4_LEN : PV_IP6_LEN);
    f->proto = ip->version == 4 ? q[9] : q[6];
    if (ip->version == 4 && (pv_load_be16(q + 6) & 0x1fff) != 0)
        return;
    q += head;
    if (f->proto == PV_PORTS_TCP || f->proto == PV_PORTS_UDP) {
        put_flow(f, &quoted, !incoming, pv_load_be16(q), pv_load_be16(q + 2));
        f->port = f->own;
    } else if (f->proto == (ip->version == 4 ? PV_PORTS_ICMP : PV_PORTS_ICMP6) &&
               (icmp_port(ip, q[0]) == PV_PORTS_PING || is_reply(ip->version, q[0]))) {
        f->proto = PV_PORTS_ICMP;
        f->port = PV_PORTS_PING;
        put_echo(f, &quoted, !incoming, is_reply(ip->version, q[0]), pv_load_be16(q + 4));
    } else {
        return;
    }
    f->kind = PV_FLOW_ERROR;
}

/* Errors are about another flow than their own; all else has an identifier, or what stands in its
 * place. */
static void read_icmp(const struct pv_ippkt *ip, bool incoming, struct pv_flow *f)
{
    f->proto = PV_PORTS_ICMP;
    if (ip->l4.len < ICMP_LEN) {
        make_bad(f);
        return;
    }
    uint8_t type = ip->l4.ptr[0];
    if (is_error(ip, type)) {
        read_error(ip, incoming, f);
        return;
    }
    f->port = icmp_port(ip, type);
    if (is_reply(ip->version, type))
        f->kind = PV_FLOW_ANSWER;
    put_echo(f, ip, incoming, is_reply(ip->version, type), pv_load_be16(ip->l4.ptr + 4));
}

void pv_flow_read(const struct pv_ippkt *ip, bool incoming, struct pv_flow *ret_flow)
{
    struct pv_flow *f = ret_flow;
    size_t offset;
    f->kind = PV_FLOW_FIRST;
    f->proto = ip->proto;
    f->port = f->own = 0;
    f->more = false;
    f->piece[0] = 0;
    if (!read_pieces(ip, incoming, f, &offset)) {
        make_bad(f);
        return;
    }
    if (offset > 0) {
        /* One that reaches into the header of the first would change what was judged there (RFC
         * 1858 s3). */
        make_bad(f);
        if (offset >= TCP_LEN)
            f->kind = PV_FLOW_PIECE;
        return;
    }
    if (ip->proto == PV_IPPKT_UNKNOWN) {
        make_bad(f);
        return;
    }
    if (ip->proto == (ip->version == 4 ? PV_PORTS_ICMP : PV_PORTS_ICMP6)) {
        read_icmp(ip, incoming, f);
        return;
    }
    if (ip->proto != PV_PORTS_TCP && ip->proto != PV_PORTS_UDP) {
        put_flow(f, ip, incoming, 0, 0);
        return;
    }
    if (ip->l4.len < (ip->proto == PV_PORTS_TCP ? TCP_LEN : UDP_LEN)) {
        make_bad(f);
        return;
    }
    uint16_t src = pv_load_be16(ip->l4.ptr), dst = pv_load_be16(ip->l4.ptr + 2);
    f->port = dst;
    if (ip->proto == PV_PORTS_TCP && (ip->l4.ptr[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) != TCP_SYN)
        f->kind = PV_FLOW_LATER;
    put_flow(f, ip, incoming, src, dst);
}

/* Nobody is addressed by what goes to many, so nobody's address is in it: who answers, and by which
 * port, or which of its addresses was asked, comes out later. */
void pv_flow_to_many(const struct pv_flow *f, enum pv_flow_side asked,
                     uint32_t key[static PV_FLOW_WORDS])
{
    memcpy(key, f->key, sizeof(f->key));
    key[1] = (key[1] & ~(UINT32_C(3) << 16)) | CLASS_MANY << 16;
    size_t words = is_ip4(key) ? 1 : 4;
    memset(key + ADDRESSES_AT + (asked == PV_FLOW_OURS ? words : 0), 0, words * sizeof(*key));
    if (asked == PV_FLOW_OURS)
        key[2] &= 0xffff0000;
}

/* --- remembering -------------------------------------------------------------------------- */

enum {
    OWNER_BITS = 10,          /* of struct place.about */
    OWNERS = 1 << OWNER_BITS, /* ours: peers that are told apart; others share a number */
    FAIR = 2,                 /* ours: places of a set that one peer takes from others */
};

struct place {
    _Atomic uint64_t mark;  /* 0: free */
    _Atomic uint32_t used;  /* second of the last use */
    _Atomic uint32_t about; /* life in seconds, and the number of the peer in the lower bits */
};

struct set {
    _Alignas(64) struct place at[PV_FLOW_SIDES][PV_FLOW_WAYS];
};

struct pv_flowtable {
    struct set sets[PV_FLOW_SETS];
    uint64_t keys[2][MARK_KEYS];   /* random */
    _Atomic uint32_t lost[OWNERS]; /* second in which a flow of theirs was pushed out; 0: never */
    void *block;                   /* that it stands in */
};

/* On a cache line boundary: each side of a set is one line. calloc() has so much from the kernel,
 * page by page as flows come: a node that sees few of them has few pages. */
int pv_flowtable_new(const struct pv_rng *rng, struct pv_flowtable **ret_table)
{
    uint8_t *block = calloc(1, sizeof(struct pv_flowtable) + 63);
    if (block == NULL)
        return PV_ERR_NOMEM;
    struct pv_flowtable *t = (void *)(block + (64 - (uintptr_t)block % 64) % 64);
    t->block = block;
    pv_rng_fill(rng, t->keys, sizeof(t->keys));
    *ret_table = t;
    return PV_OK;
}

struct pv_flowtable *pv_flowtable_free(struct pv_flowtable *t)
{
    if (t != NULL)
        free(t->block);
    return NULL;
}

/* Multilinear hashing: two keys have one mark with a chance of 2^-64, whoever chooses them without
 * knowing ours (Lemire and Kaser, "Strongly universal string hashing is fast", 2014). The set is
 * part of the mark. Words that are zero add nothing. */
static inline uint64_t hash(const struct pv_flowtable *t, const uint32_t *key, size_t n)
{
    uint64_t a = t->keys[0][0], b = t->keys[1][0];
    for (size_t i = 0; i < n; i++) {
        a += t->keys[0][i + 1] * key[i];
        b += t->keys[1][i + 1] * key[i];
    }
    return (a & 0xffffffff00000000u) | b >> 32;
}

struct pv_flowspot pv_flowtable_spot(const struct pv_flowtable *t,
                                     const uint32_t key[static PV_FLOW_WORDS])
{
    uint64_t mark = is_ip4(key) ? hash(t, key, ADDRESSES_AT + 2) : hash(t, key, PV_FLOW_WORDS);
    return (struct pv_flowspot){.mark = mark == 0 ? 1 : mark,
                                .set = (uint32_t)mark % PV_FLOW_SETS,
                                .owner = key[0] % OWNERS};
}

/* Another thread's clock may be ahead. */
static bool is_within(uint32_t then_s, uint32_t now_s, uint32_t life_s)
{
    return (int32_t)(now_s - then_s) <= (int32_t)life_s;
}

static bool is_alive(const struct place *p, uint32_t now_s)
{
    uint32_t used = atomic_load_explicit(&p->used, memory_order_relaxed);
    return is_within(used, now_s,
                     atomic_load_explicit(&p->about, memory_order_relaxed) >> OWNER_BITS);
}

/* A thread that finds a mark finds the time that was written before it. With a branch for each
 * place the processor guesses on while the line is on its way; without one it waits for it. */
static const struct place *find(const struct place *at, uint64_t mark)
{
    for (size_t i = 0; i < PV_FLOW_WAYS; i++) {
        if (atomic_load_explicit(&at[i].mark, memory_order_acquire) == mark)
            return &at[i];
    }
    return NULL;
}

void pv_flowtable_prefetch(const struct pv_flowtable *t, enum pv_flow_side side,
                           struct pv_flowspot spot)
{
    __builtin_prefetch(t->sets[spot.set].at[side]);
}

bool pv_flowtable_has(const struct pv_flowtable *t, enum pv_flow_side side, struct pv_flowspot spot,
                      uint32_t now_s)
{
    const struct place *p = find(t->sets[spot.set].at[side], spot.mark);
    return p != NULL && is_alive(p, now_s);
}

/* A line that nobody writes stays in every processor's cache, so each second is written once. */
bool pv_flowtable_use(struct pv_flowtable *t, enum pv_flow_side side, struct pv_flowspot spot,
                      uint32_t now_s)
{
    struct place *at = t->sets[spot.set].at[side];
    const struct place *p = find(at, spot.mark);
    if (p == NULL || !is_alive(p, now_s))
        return false;
    if (atomic_load_explicit(&p->used, memory_order_relaxed) != now_s)
        atomic_store_explicit(&at[p - at].used, now_s, memory_order_relaxed);
    return true;
}

/* The place for a flow of this owner: one that is free, or whose flow is over; else of its own, if
 * it has its share here, else of all, the one that was used longest ago. */
static struct place *find_place(struct place *at, uint32_t owner, uint32_t now_s)
{
    struct place *oldest = NULL, *own = NULL;
    uint32_t oldest_used = 0, own_used = 0;
    size_t n = 0;
    for (size_t i = 0; i < PV_FLOW_WAYS; i++) {
        if (atomic_load_explicit(&at[i].mark, memory_order_relaxed) == 0 ||
            !is_alive(&at[i], now_s))
            return &at[i];
        uint32_t used = atomic_load_explicit(&at[i].used, memory_order_relaxed);
        if (oldest == NULL || used < oldest_used) {
            oldest = &at[i];
            oldest_used = used;
        }
        if (atomic_load_explicit(&at[i].about, memory_order_relaxed) % OWNERS != owner)
            continue;
        n++;
        if (own == NULL || used < own_used) {
            own = &at[i];
            own_used = used;
        }
    }
    return n >= FAIR ? own : oldest;
}

/* Of TCP it need not be known: its SYN says who begins. */
static void note_loss(struct pv_flowtable *t, const struct place *p, uint32_t now_s)
{
    uint32_t about = atomic_load_explicit(&p->about, memory_order_relaxed);
    if (about >> OWNER_BITS <= PV_FLOW_LIFE)
        atomic_store_explicit(&t->lost[about % OWNERS], now_s, memory_order_relaxed);
}

/* The facts about the flow go in before the mark: a thread that finds the mark finds them. */
void pv_flowtable_put(struct pv_flowtable *t, enum pv_flow_side side, struct pv_flowspot spot,
                      uint32_t now_s, uint32_t life_s)
{
    struct place *at = t->sets[spot.set].at[side];
    const struct place *known = find(at, spot.mark);
    struct place *p = known != NULL ? &at[known - at] : find_place(at, spot.owner, now_s);
    if (known != NULL) {
        atomic_store_explicit(&p->used, now_s, memory_order_relaxed);
        return;
    }
    if (side == PV_FLOW_THEIRS && atomic_load_explicit(&p->mark, memory_order_relaxed) != 0 &&
        is_alive(p, now_s))
        note_loss(t, p, now_s);
    atomic_store_explicit(&p->mark, 0, memory_order_release);
    atomic_store_explicit(&p->used, now_s, memory_order_release);
    atomic_store_explicit(&p->about, life_s << OWNER_BITS | spot.owner, memory_order_release);
    atomic_store_explicit(&p->mark, spot.mark, memory_order_release);
}

void pv_flowtable_forget(struct pv_flowtable *t, enum pv_flow_side side, struct pv_flowspot spot)
{
    struct place *at = t->sets[spot.set].at[side];
    for (size_t i = 0; i < PV_FLOW_WAYS; i++) {
        uint64_t mark = spot.mark;
        if (atomic_load_explicit(&at[i].mark, memory_order_relaxed) == mark)
            (void)atomic_compare_exchange_strong(&at[i].mark, &mark, 0);
    }
}

/* Peers that share a number share their losses, which makes this node too careful at most. */
bool pv_flowtable_lost(const struct pv_flowtable *t, uint32_t peer, uint32_t now_s)
{
    uint32_t lost = atomic_load_explicit(&t->lost[peer % OWNERS], memory_order_relaxed);
    return lost != 0 && is_within(lost, now_s, PV_FLOW_LIFE);
}
