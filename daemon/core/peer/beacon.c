/* SPDX-License-Identifier: MIT */
/* beacon.c - calls members in the LAN while the coordinator is away, and answers those that call
 * this node by a handshake. */
#include "daemon/core/peer/beacon.h"

#include <string.h>

#include "base/bucket.h"
#include "base/bytes.h"
#include "base/fifo.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/peer/recall.h"
#include "proto/control/beacon.h"

enum {
    OWN_KEYS = 2,        /* of ours that a member may know: the one in use, and the one before */
    FRESH_A_HEARD = 32,  /* ours: keys made for one datagram that is heard, each some 50 us */
    RESTART_EVERY = 30,  /* seconds */
    HANDSHAKE_BURST = 4, /* ours: handshakes to one member at once; then one a second */
    HANDSHAKES = 16,     /* ours: a second, to all members together */
    MAX_WAITING = 64,    /* ours: handshakes waiting to be sent; more are dropped */
};

/* How much a member needs to be called, the most first. */
enum need {
    NEED_WANTED,  /* no path, and somebody wants to talk to it */
    NEED_BEFORE,  /* no path, and it was reached directly before */
    NEED_UNKNOWN, /* no path */
    NEED_RELAYED, /* a path, which is not direct */
    NEED_NOTHING, /* a direct path: it is not called, but heard, for it may have lost its own end */
    NEEDS,
};

/* The keys of a pair under one of our transport keys. */
struct pair {
    uint8_t out[PV_BEACON_KEY_LEN], in[PV_BEACON_KEY_LEN];
};

/* A peer keeps this while it has a place among the mates. */
struct kept {
    struct beacon *beacon; /* NULL: it has none */
    struct pv_peer *peer;
    size_t place; /* in mates */
    uint64_t choice;
    bool keyed; /* pairs are there, of these transport keys: */
    uint64_t number;
    uint8_t transport[PV_DH_LEN];
    struct pair pairs[OWN_KEYS];
    struct pv_bucket handshakes;
};

/* A network of this host that is sent to. */
struct target {
    uint32_t ifindex;
    struct pv_addr addr; /* ours, with the port of the main socket */
    uint8_t bits;
    uint8_t pad[3]; /* zero: targets are compared as bytes */
};

struct budget {
    uint32_t ifindex;
    struct pv_bucket hashes;
};

/* A message 1 for a member that called. */
struct handshake {
    struct pv_addr dst;
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
};

struct beacon {
    struct pv_node *node;
    struct pv_lan_config lan;
    bool has_udp6;

    struct target targets[PV_BEACON_TARGETS];
    size_t n_targets;

    struct kept *mates[PV_BEACON_MATES];
    size_t n_mates;  /* some may be NULL: they are gone since */
    size_t n_called; /* the first of them lack a direct path */
    uint64_t choice; /* number of the last one */
    pv_ns chosen_at;
    bool stale; /* a peer has changed since */

    enum pv_beacon_state state;
    pv_ns next_at; /* the next round; CALLING only */
    pv_ns sent_at; /* the last one; 0: none yet */
    unsigned round;
    size_t from, until; /* mates that this round calls */
    size_t out;         /* targets that have its datagram */
    struct pv_bucket restarts;

    struct budget budgets[PV_BEACON_TARGETS]; /* of the targets' interfaces */
    size_t n_budgets;
    struct pv_bucket hashes, handshakes;
    uint64_t seen[PV_BEACON_SEEN]; /* nonces, as a ring */
    size_t seen_at;
    struct pv_fifo waiting; /* of struct handshake */

    uint64_t n_sent, n_heard, n_known, n_over; /* datagrams, for metrics */
};

static struct beacon *beacon_of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_beacon);
}

enum pv_beacon_state pv_beacon_state(const struct pv_node *n)
{
    const struct beacon *b = beacon_of(n);
    return b == NULL ? PV_BEACON_QUIET : b->state;
}

/* --- the networks of this host --------------------------------------------------------------- */

static bool is_excluded(const struct beacon *b, const char *ifname)
{
    for (size_t i = 0; i < b->lan.n_excluded; i++) {
        if (strcmp(b->lan.excluded[i], ifname) == 0)
            return true;
    }
    return strcmp(ifname, b->node->given.tun_name) == 0;
}

/* Tunnels lead to no LAN, and members are not in the containers of this host. */
static bool is_lan(const struct beacon *b, const struct pv_link_addr *l)
{
    struct pv_addr addr = l->addr.base;
    addr.port = b->node->given.udp_port;
    return l->up && !l->loopback && !l->tunnel && !l->container && !is_excluded(b, l->ifname) &&
           (addr.family == PV_AF_INET || b->has_udp6) && pv_addr_is_usable_remote(&addr) &&
           !pv_node_is_own_range(b->node, &addr);
}

static struct pv_prefix prefix_of(const struct target *t)
{
    return (struct pv_prefix){.base = t->addr, .bits = t->bits};
}

/* One address of each network of an interface will do. */
static void add_target(struct target *targets, size_t *n, const struct target *t)
{
    for (size_t i = 0; i < *n; i++) {
        const struct pv_prefix prefix = prefix_of(&targets[i]);
        if (targets[i].ifindex == t->ifindex && targets[i].bits == t->bits &&
            pv_prefix_contains(&prefix, &t->addr))
            return;
    }
    if (*n < PV_BEACON_TARGETS)
        targets[(*n)++] = *t;
}

/* The interfaces that lead out come first: where there are too many, others are left out. */
static size_t list_targets(const struct beacon *b, struct target targets[static PV_BEACON_TARGETS])
{
    const struct pv_node *n = b->node;
    size_t count = 0;
    memset(targets, 0, PV_BEACON_TARGETS * sizeof(*targets));
    for (size_t i = 0; i < 2 * n->host.n_links; i++) {
        const struct pv_link_addr *l = &n->host.links[i % n->host.n_links];
        struct target t = {.ifindex = l->ifindex, .addr = l->addr.base, .bits = l->addr.bits};
        t.addr.port = n->given.udp_port;
        if (l->way_out == (i < n->host.n_links) && is_lan(b, l))
            add_target(targets, &count, &t);
    }
    return count;
}

static struct budget *budget_of(struct beacon *b, uint32_t ifindex)
{
    for (size_t i = 0; i < b->n_budgets; i++) {
        if (b->budgets[i].ifindex == ifindex)
            return &b->budgets[i];
    }
    return NULL;
}

/* Returns true if they are others than before. */
static bool take_targets(struct beacon *b)
{
    struct target fresh[PV_BEACON_TARGETS];
    size_t n = list_targets(b, fresh);
    if (n == b->n_targets && memcmp(fresh, b->targets, sizeof(fresh)) == 0)
        return false;
    memcpy(b->targets, fresh, sizeof(fresh));
    b->n_targets = b->out = n;
    b->n_budgets = 0;
    for (size_t i = 0; i < n; i++) {
        if (budget_of(b, fresh[i].ifindex) == NULL)
            b->budgets[b->n_budgets++] = (struct budget){.ifindex = fresh[i].ifindex};
    }
    return true;
}

/* --- whom to call ---------------------------------------------------------------------------- */

static void end_peer(void *slot)
{
    struct kept *k = slot;
    if (k->beacon != NULL)
        k->beacon->mates[k->place] = NULL;
    pv_wipe(k->pairs, sizeof(k->pairs));
}

static bool is_direct(const struct pv_peer *p)
{
    return pv_peer_path_works(p) && p->path.kind == PV_CARRIER_UDP;
}

static enum need need_of(const struct pv_peer *p, pv_ns now)
{
    const struct pv_recall_addr *addrs;
    if (pv_peer_path_works(p))
        return is_direct(p) ? NEED_NOTHING : NEED_RELAYED;
    if (pv_peer_is_wanted(p, now))
        return NEED_WANTED;
    return pv_recall_addrs(p, &addrs) > 0 ? NEED_BEFORE : NEED_UNKNOWN;
}

/* Without memory it is left out. */
static void add_mate(struct beacon *b, struct pv_peer *p)
{
    struct kept *k = pv_peer_slot(p, &pv_part_beacon);
    if (k == NULL)
        return;
    k->beacon = b;
    k->peer = p;
    k->place = b->n_mates;
    k->choice = b->choice;
    b->mates[b->n_mates++] = k;
}

/* Those that have no place any more forget their keys. */
static void drop_others(struct beacon *b)
{
    struct pv_peers *ps = b->node->peers;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(ps, p)) != NULL;) {
        struct kept *k = pv_peer_find_slot(p, &pv_part_beacon);
        if (k == NULL || k->choice == b->choice)
            continue;
        k->beacon = NULL;
        pv_peer_drop_slot(p, &pv_part_beacon);
    }
}

/* Walks over all members once for each need: before a round, and once a second at most for what is
 * heard. */
static void choose(struct beacon *b, pv_ns now)
{
    struct pv_peers *ps = b->node->peers;
    b->n_mates = b->n_called = 0;
    b->choice++;
    b->chosen_at = now;
    b->stale = false;
    for (unsigned need = 0; need < NEEDS; need++) {
        for (struct pv_peer *p = NULL; (p = pv_peers_next_node(ps, p)) != NULL;) {
            if (need_of(p, now) == need && b->n_mates < PV_BEACON_MATES)
                add_mate(b, p);
        }
        if (need < NEED_NOTHING)
            b->n_called = b->n_mates;
    }
    drop_others(b);
}

/* --- keys ------------------------------------------------------------------------------------ */

/* A member that has not heard of our new transport key has the one before. */
static size_t own_keys(const struct pv_node *n, const struct pv_wg_device *ret_own[static OWN_KEYS])
{
    size_t count = 1;
    ret_own[0] = n->keys.device;
    if (n->keys.n_former > 0)
        ret_own[count++] = n->keys.former[0];
    return count;
}

static bool has_keys(const struct kept *k)
{
    return k->keyed && k->number == k->peer->node->keys.number &&
           memcmp(k->transport, k->peer->transport, sizeof(k->transport)) == 0;
}

/* A member whose key gives no shared secret has none with anybody: nobody knows these. */
static void make_keys(struct kept *k)
{
    const struct pv_node *n = k->peer->node;
    const struct pv_wg_device *own[OWN_KEYS];
    uint8_t ss[PV_DH_LEN];
    memset(k->pairs, 0, sizeof(k->pairs));
    for (size_t i = 0, count = own_keys(n, own); i < count; i++) {
        if (pv_dh(ss, own[i]->keys.sk, k->peer->transport) == PV_OK)
            pv_beacon_keys(ss, own[i]->keys.pk, k->peer->transport, k->pairs[i].out,
                           k->pairs[i].in);
        else
            pv_rng_fill(&n->rng, &k->pairs[i], sizeof(k->pairs[i]));
    }
    pv_wipe(ss, sizeof(ss));
    memcpy(k->transport, k->peer->transport, sizeof(k->transport));
    k->number = n->keys.number;
    k->keyed = true;
}

/* --- calling --------------------------------------------------------------------------------- */

/* Tags of the mates from b->from on, as many as fit; the rest are random numbers, as tags are to
 * others. */
static void fill(struct beacon *b, const struct target *t, struct pv_beacon *ret_beacon)
{
    const struct pv_wg_device *own[OWN_KEYS];
    const size_t n_own = own_keys(b->node, own);
    size_t n = 0;
    pv_rng_fill(&b->node->rng, ret_beacon, sizeof(*ret_beacon));
    b->until = b->from;
    for (; b->until < b->n_called && n + n_own <= PV_BEACON_TAGS; b->until++) {
        struct kept *k = b->mates[b->until];
        if (k == NULL)
            continue;
        if (!has_keys(k))
            make_keys(k);
        for (size_t i = 0; i < n_own; i++)
            ret_beacon->tags[n++] = pv_beacon_tag(k->pairs[i].out, ret_beacon->nonce, &t->addr);
    }
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct beacon *b = part;
    struct handshake h;
    if (pv_fifo_take(&b->waiting, &h) == PV_OK) {
        (void)pv_transmit_to(ret_tx, &h.dst, h.msg, sizeof(h.msg));
        return true;
    }
    if (b->out >= b->n_targets)
        return false;
    const struct target *t = &b->targets[b->out++];
    const struct pv_addr group = pv_beacon_group(t->addr.family);
    struct pv_beacon beacon;
    uint8_t buf[PV_BEACON_LEN];
    fill(b, t, &beacon);
    pv_beacon_write(&beacon, buf);
    (void)pv_transmit_to(ret_tx, &group, buf, sizeof(buf));
    ret_tx->local = t->addr;
    ret_tx->ifindex = t->ifindex;
    ret_tx->ttl = PV_BEACON_HOPS;
    b->n_sent++;
    return true;
}

/* A path or an address that flaps must not make this node call without end. */
static void begin_anew(struct beacon *b, pv_ns now)
{
    if (b->state == PV_BEACON_QUIET || (b->state == PV_BEACON_CALLING && b->round == 0))
        return;
    const bool soon =
        pv_bucket_take(&b->restarts, 1, PV_BEACON_RESTARTS * RESTART_EVERY, RESTART_EVERY, now);
    if (!soon && b->state == PV_BEACON_CALLING)
        return;
    const pv_ns earliest = b->sent_at == 0 ? now : b->sent_at + PV_BEACON_FIRST;
    b->state = PV_BEACON_CALLING;
    b->round = 0;
    b->next_at = !soon ? now + PV_S(RESTART_EVERY) : now > earliest ? now : earliest;
}

/* Members that had no place in the last round are called in this one. */
static void begin_round(struct beacon *b, pv_ns now)
{
    choose(b, now);
    if (b->n_called == 0) {
        b->state = PV_BEACON_CONTENT;
        return;
    }
    b->from = b->round == 0 || b->until >= b->n_called ? 0 : b->until;
    b->out = 0;
    b->sent_at = now;
    b->next_at = now + (b->round < 16 ? pv_min_ns(PV_BEACON_FIRST << b->round, PV_BEACON_LONGEST)
                                      : PV_BEACON_LONGEST);
    b->round++;
}

/* The grace holds for all: often the coordinator is back at once. */
static void look_who_is_away(struct beacon *b, pv_ns now)
{
    const bool away = !b->lan.beacon_off && pv_recall_is_away(b->node);
    if (away == (b->state != PV_BEACON_QUIET))
        return;
    b->state = away ? PV_BEACON_CALLING : PV_BEACON_QUIET;
    b->round = 0;
    b->next_at = now + PV_BEACON_GRACE;
    b->out = b->n_targets;
}

static void run(void *part, pv_ns now)
{
    struct beacon *b = part;
    look_who_is_away(b, now);
    if (b->state == PV_BEACON_CALLING && now >= b->next_at)
        begin_round(b, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct beacon *b = part;
    return b->state == PV_BEACON_CALLING ? b->next_at : PV_NEVER;
}

/* --- hearing --------------------------------------------------------------------------------- */

/* Returns true if it was answered before; else it is from now on. */
static bool was_seen(struct beacon *b, const uint8_t *nonce)
{
    const uint64_t n = pv_load_be64(nonce);
    for (size_t i = 0; i < PV_BEACON_SEEN; i++) {
        if (b->seen[i] == n)
            return true;
    }
    b->seen[b->seen_at] = n;
    b->seen_at = (b->seen_at + 1) % PV_BEACON_SEEN;
    return false;
}

/* The address is the caller's own word, which its tag proves. A handshake there is all that the
 * datagram brings about. */
static void answer(struct beacon *b, struct kept *k, const struct pv_addr *src, pv_ns now)
{
    struct pv_peer *p = k->peer;
    struct handshake h = {.dst = *src};
    if ((is_direct(p) && pv_addr_equal(&p->path.remote, src)) || b->waiting.n >= MAX_WAITING ||
        !pv_bucket_take(&k->handshakes, 1, HANDSHAKE_BURST, 1, now) ||
        !pv_bucket_take(&b->handshakes, HANDSHAKES, HANDSHAKES, 1, now) ||
        pv_peer_trial(p, now, h.msg) != PV_OK)
        return;
    (void)!pv_fifo_put(&b->waiting, &h, sizeof(h));
    pv_trace_add(&p->trace, now, "its beacon in the LAN: handshake to %s", PV_ADDR_STR(src));
    pv_peers_touch(b->node->peers, p, now);
}

static bool is_of(const struct kept *k, const struct pv_beacon *beacon, size_t n_own,
                  const struct pv_addr *src)
{
    bool found = false;
    for (size_t i = 0; i < n_own; i++)
        found |= pv_beacon_has(beacon, pv_beacon_tag(k->pairs[i].in, beacon->nonce, src));
    return found;
}

/* The member whose tag for this node is in it; NULL: none. Keys are made for a few members only, so
 * that the next datagrams find the others. */
static struct kept *who_calls(struct beacon *b, const struct pv_beacon *beacon,
                              const struct pv_addr *src)
{
    const struct pv_wg_device *own[OWN_KEYS];
    const size_t n_own = own_keys(b->node, own);
    unsigned fresh = 0;
    for (size_t i = 0; i < b->n_mates; i++) {
        struct kept *k = b->mates[i];
        if (k == NULL || (!has_keys(k) && fresh == FRESH_A_HEARD))
            continue;
        if (!has_keys(k)) {
            make_keys(k);
            fresh++;
        }
        if (is_of(k, beacon, n_own, src))
            return k;
    }
    return NULL;
}

/* From another host of a network of ours that the interface leads to? No router was in between. */
static bool is_neighbour(const struct beacon *b, const struct pv_addr *src, uint32_t ifindex)
{
    bool found = false;
    for (size_t i = 0; i < b->n_targets; i++) {
        const struct target *t = &b->targets[i];
        const struct pv_prefix prefix = prefix_of(t);
        if (pv_addr_equal(&t->addr, src))
            return false; /* our own */
        found = found || (t->ifindex == ifindex && pv_prefix_contains(&prefix, src));
    }
    return found && pv_addr_is_usable_remote(src);
}

/* The budget of the interface comes first: one that is flooded takes no more than its half. */
static bool affords(struct beacon *b, uint32_t ifindex, pv_ns now)
{
    struct budget *of = budget_of(b, ifindex);
    const uint32_t cost = (uint32_t)(b->n_mates * OWN_KEYS) + 1;
    return of != NULL &&
           pv_bucket_take(&of->hashes, PV_BEACON_HASHES / 2, PV_BEACON_HASHES / 2, cost, now) &&
           pv_bucket_take(&b->hashes, PV_BEACON_HASHES, PV_BEACON_HASHES, cost, now);
}

void pv_beacon_hear(struct pv_node *n, const struct pv_addr *src, uint32_t ifindex, uint8_t hops,
                    struct pv_view datagram, pv_ns now)
{
    struct beacon *b = beacon_of(n);
    struct pv_beacon beacon;
    if (b == NULL || b->lan.beacon_off || !pv_node_takes_part(n) || hops != PV_BEACON_HOPS ||
        !is_neighbour(b, src, ifindex) || pv_beacon_parse(datagram, &beacon) != PV_OK)
        return;
    b->n_heard++;
    if (b->stale && now >= b->chosen_at + PV_S(1))
        choose(b, now);
    if (!affords(b, ifindex, now)) {
        b->n_over++;
        return;
    }
    struct kept *k = who_calls(b, &beacon, src);
    if (k == NULL)
        return;
    b->n_known++;
    if (!was_seen(b, beacon.nonce))
        answer(b, k, src, now);
}

/* --- as a part ------------------------------------------------------------------------------- */

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct beacon *b = part;
    const unsigned others = PV_FACT_LINKS | PV_FACT_NETWORK | PV_FACT_INTERFACE;
    if ((facts & (PV_FACT_NETWORK | PV_FACT_ROSTER)) != 0)
        b->stale = true;
    if (((facts & others) != 0 && take_targets(b)) || (facts & PV_FACT_RESUMED) != 0)
        begin_anew(b, now);
}

/* During the quick rounds a lost path changes nothing: the next of them calls its member, too. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct beacon *b = part;
    if (!pv_peer_is_node(p))
        return;
    const bool lost = (facts & PV_PEER_FACT_PATH) != 0 && !is_direct(p);
    const bool fresh = (facts & PV_PEER_FACT_MEMBER) != 0 && b->state == PV_BEACON_CONTENT;
    b->stale = true;
    if (fresh || (lost && (b->state == PV_BEACON_CONTENT || b->round >= PV_BEACON_QUICK)))
        begin_anew(b, now);
}

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct beacon *b = part;
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_lan_beacons_total",
                      "Beacons by which members in one LAN find each other.");
    pv_metrics_count(m, b->n_sent, "what", "sent", NULL);
    pv_metrics_count(m, b->n_heard, "what", "heard", NULL);
    pv_metrics_count(m, b->n_known, "what", "known", NULL);
    pv_metrics_count(m, b->n_over, "what", "over-budget", NULL);
}

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct beacon *b = part;
    b->lan = cfg->lan;
    b->has_udp6 = cfg->has_udp6;
    b->stale = true;
    return PV_OK;
}

static void end(void *part)
{
    struct beacon *b = part;
    pv_peers_drop_slots(b->node->peers, &pv_part_beacon);
    pv_fifo_clear(&b->waiting);
}

const struct pv_part pv_part_beacon = {
    .name = "beacon",
    .after = {"membership", "recall"}, /* the members, and which were reached before */
    .peer_size = sizeof(struct kept),
    .end_peer = end_peer,
    .size = PV_PART_SIZE(struct beacon),
    .start = start,
    .free = end,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .run = run,
    .next_timeout = next_timeout,
    .poll_transmit = poll_transmit,
    .metrics = put_metrics,
};
