/* SPDX-License-Identifier: MIT */
/*
 * hardnat_part.c - which peer needs an attempt at a hard NAT, and when both sides are ready for it
 * (DESIGN 5, TRAVERSAL 6 and 8). hardnat.h is the attempt itself.
 *
 * One peer's attempt runs at a time. It begins when both sides know each other's description and no
 * direct path answered within the grace period; it waits until our NAT is measured, announces
 * itself in our description, starts once theirs has the same number, and ends with a direct path or
 * a back-off. Sockets that carry a path stay open after it.
 */
#include "daemon/core/peer/hardnat_part.h"

#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi_pack.h"

#define GRACE         PV_MS(150) /* ordinary checks go first; most paths answer within, DESIGN 14 */
#define TURN          PV_MS(500) /* another peer's attempt runs: asked again after this */
#define READY_FOR     PV_S(5)    /* the other side may take so long to be ready */
#define START_MARGIN  PV_MS(50)  /* beside the round trip that the announcement takes */
#define START_MAX     PV_S(2)    /* no start is waited for longer: a clock is wrong */
#define BACKOFF_FRESH PV_S(4)    /* ours: one socket and some packets load no NAT */
#define BACKOFF_FIRST PV_S(60)   /* TRAVERSAL 8 */
#define BACKOFF_MAX   PV_S(3600) /* TRAVERSAL 8 */
#define SECOND_LOOK   PV_S(2) /* ordinary checks had their time: what was not seen may be worse */

/* Ours: changes of their address that end a back-off, in a row, and then one in so many seconds. A
 * member that says that it is elsewhere has us send an attempt there; one that succeeds shows that
 * it is. */
enum {
    MOVES = 6,
    MOVE_S = 60,
};

struct hardnat_part {
    struct pv_node *node;
    struct pv_hardnat *hard;
    struct pv_addr seen; /* our public address, as it was last */
};

/* --- questions ------------------------------------------------------------------------------- */

static bool is_current(const struct hardnat_part *a, const struct pv_peer *p)
{
    return pv_hardnat_phase(a->hard) != PV_HARDNAT_IDLE && pv_hardnat_peer(a->hard) == p->id;
}

/* Somebody talks to it, the path is new, or the other side tries: who is idle is left in peace. */
static bool is_worth_it(const struct pv_peer *p, pv_ns now)
{
    return p->state == PV_PEER_REACHING || pv_peer_theirs(p)->attempt.n > p->hard.n ||
           now < p->wanted_at + PV_PEER_WANTED_FOR || now < p->path_since + PV_PEER_WANTED_FOR;
}

/* Our address behind that NAT: packets of an attempt leave where the server saw us. */
static struct pv_addr local_addr(const struct hardnat_part *a)
{
    struct pv_addr local = {.family = PV_AF_NONE};
    for (size_t i = 0; i < a->node->ways.n_locals; i++) {
        const struct pv_ice_cand *c = &a->node->ways.locals[i];
        if (c->addr.family != PV_AF_INET || c->type == PV_ICE_RELAY)
            continue;
        if (c->type == PV_ICE_SRFLX)
            return c->carrier.local;
        if (local.family == PV_AF_NONE)
            local = c->carrier.local;
    }
    return local;
}

/* Both sides know each other's candidates and credentials, and no direct path works. A host with
 * IPv6 alone has no address to begin from, whatever a NAT64 shows of it. */
static bool needs_attempt(const struct hardnat_part *a, const struct pv_peer *p, pv_ns now)
{
    if (local_addr(a).family != PV_AF_INET)
        return false;
    if (p->is_static || p->ice == NULL || pv_peer_is_direct(p) || a->node->ways.udp_blocked ||
        p->descx.theirs.gen == 0 || p->presence == PV_PRESENCE_OFFLINE)
        return false;
    if (p->state != PV_PEER_REACHING && p->state != PV_PEER_UP)
        return false;
    if (pv_ice_state(p->ice) == PV_ICE_DORMANT)
        return false; /* on the relay because nobody talks */
    if (!is_current(a, p) && !is_worth_it(p, now))
        return false;
    return p->descx.acked || is_current(a, p); /* an announcement is a description as well */
}

/* The address that their NAT, or nothing, shows to the world. A reflexive address is what their NAT
 * shows; a public host address serves where there is no NAT. Private ones are beyond ours. */
static bool public_addr(const struct pv_peer *p, struct pv_addr *ret_addr)
{
    const struct pv_ice_cand *best = NULL;
    for (size_t i = 0; i < pv_peer_theirs(p)->n_cands; i++) {
        const struct pv_ice_cand *c = &pv_peer_theirs(p)->cands[i];
        if (c->addr.family != PV_AF_INET || pv_addr_is_private(&c->addr) ||
            (c->type != PV_ICE_SRFLX && c->type != PV_ICE_HOST))
            continue;
        if (best == NULL || (c->type == PV_ICE_SRFLX && best->type != PV_ICE_SRFLX))
            best = c;
    }
    if (best != NULL)
        *ret_addr = best->addr;
    return best != NULL;
}

/* Two destinations: two servers, or the two ports of one (docs/PROTOCOL-COORDINATOR.md "STUN"). */
static void find_servers(const struct hardnat_part *a, struct pv_addr servers[static 2])
{
    size_t n = 0;
    const struct pv_node *node = a->node;
    bool own = node->ways.n_stun > 0; /* the coordinator may be on this side of the NAT then */
    const struct pv_addr *list = own ? node->ways.stun : node->coord_info.servers;
    size_t count = own ? node->ways.n_stun : node->coord_info.n_servers;
    servers[0].family = servers[1].family = PV_AF_NONE;
    for (size_t i = 0; i < count && n < 2; i++) {
        if (list[i].family == PV_AF_INET)
            servers[n++] = list[i];
    }
    if (n == 1 && servers[0].port < UINT16_MAX) {
        servers[1] = servers[0];
        servers[1].port++;
    }
}

/* --- sockets that carry a path --------------------------------------------------------------- */

/* The agent first: it must not send over a socket that is closed. */
static void drop_sock(struct hardnat_part *a, struct pv_peer *p, size_t i, pv_ns now)
{
    uint16_t sock = p->hard.socks[i];
    p->hard.socks[i] = p->hard.socks[--p->hard.n_socks];
    if (p->ice != NULL)
        pv_ice_drop_carrier(p->ice, sock, now);
    pv_hardnat_release(a->hard, sock);
}

/* All that carry no path. */
static void drop_unused(struct hardnat_part *a, struct pv_peer *p, pv_ns now)
{
    for (size_t i = p->hard.n_socks; i-- > 0;)
        if (!pv_peer_is_direct(p) || p->path.sock != p->hard.socks[i])
            drop_sock(a, p, i, now);
}

/* A message on a socket of an attempt. Once the agent has that socket, its messages are the peer's,
 * so the first one that proves an opening goes on to the agent as well. */
static bool take_stun(void *part, const struct pv_carrier *from, struct pv_view data, pv_ns now)
{
    struct hardnat_part *a = part;
    uint16_t port;
    if (from->kind != PV_CARRIER_UDP || from->sock == 0 || from->sock >= PV_HARDNAT_END_ID)
        return false; /* not a socket of any attempt */
    struct pv_peer *p = pv_peers_by_id(a->node->peers, pv_hardnat_peer(a->hard));
    bool attempt = pv_hardnat_phase(a->hard) != PV_HARDNAT_IDLE && p != NULL;
    for (size_t i = 0; attempt && i < p->hard.n_socks; i++)
        if (p->hard.socks[i] == from->sock)
            return false;
    int r = pv_hardnat_handle_input(a->hard, from->sock, &from->remote, data, now, &port);
    if (attempt && pv_hardnat_phase(a->hard) == PV_HARDNAT_READY)
        pv_peers_touch(a->node->peers, p, now); /* the last answer of a measurement */
    if (!attempt)
        return false; /* a kept one: the agent knows it, or does not */
    if (r != PV_OK || p->ice == NULL || p->hard.n_socks == PV_ARRAY_LEN(p->hard.socks))
        return true;
    struct pv_ice_carrier c = {
        .kind = PV_ICE_CARRIER_UDP, .sock = from->sock, .local = from->local};
    c.local.port = port;
    if (pv_ice_add_carrier(p->ice, &c, now) != PV_OK)
        return true;
    p->hard.socks[p->hard.n_socks++] = from->sock;
    pv_trace_add(&p->trace, now, "an opening was found after %u packets",
                 pv_hardnat_counts(a->hard).packets);
    return false;
}

/* --- one attempt ----------------------------------------------------------------------------- */

static void begin_attempt(struct hardnat_part *a, struct pv_peer *p, pv_ns now)
{
    struct pv_addr servers[2];
    find_servers(a, servers);
    if (pv_hardnat_begin(a->hard, p->id, servers, now) != PV_OK) {
        p->hard.wake = pv_hardnat_is_off(a->hard) ? PV_NEVER : now + TURN;
        return;
    }
    /* Attempts are numbered by both sides together: the larger number wins, so they agree without
     * another message. One that they missed is the one which they begin. */
    uint32_t theirs = pv_peer_theirs(p)->attempt.n;
    bool joins = theirs > p->hard.n || (theirs == p->hard.n && p->hard.unready);
    p->hard.n = joins ? theirs : p->hard.n + 1;
    p->hard.announced = p->hard.unready = false;
    p->hard.wake = PV_NEVER;
    pv_trace_add(&p->trace, now, "no direct path: looking at our NAT");
}

/* The socket that carries the found path stays open and all others go. After a failure the waiting
 * time doubles, for an attempt loads a NAT that others share. */
static void end_attempt(struct hardnat_part *a, struct pv_peer *p, const char *why, pv_ns now)
{
    bool found = pv_peer_is_direct(p);
    const struct pv_hardnat_counts c = pv_hardnat_counts(a->hard);
    if (c.plan.method != PV_HARDNAT_NONE)
        pv_peer_count_attempt(p, c.plan.method,
                              found                   ? PV_PATH_DIRECT
                              : pv_peer_is_relayed(p) ? PV_PATH_RELAYED
                                                      : PV_PATH_FAILED);
    p->hard.tried = true;
    p->hard.plan = c.plan;
    p->hard.packets = c.packets;
    p->hard.announced = false;
    p->hard.since = 0;
    pv_hardnat_end(a->hard, found ? p->path.sock : 0);
    drop_unused(a, p, now);
    if (found) {
        p->hard.backoff = 0;
        p->hard.moves = (struct pv_bucket){0};
        return;
    }
    const pv_ns first = c.plan.method == PV_HARDNAT_FRESH ? BACKOFF_FRESH : BACKOFF_FIRST;
    const pv_ns twice = pv_min_ns(2 * p->hard.backoff, BACKOFF_MAX);
    p->hard.backoff = twice > first ? twice : first;
    p->hard.not_before = now + p->hard.backoff;
    p->hard.wake = p->hard.not_before;
    pv_trace_add(&p->trace, now, "%s (%s, %u packets); again in %u s", why,
                 pv_hardnat_method_name(c.plan.method), c.packets,
                 (unsigned)(p->hard.backoff / PV_S(1)));
}

/* The coordinator's clock is the common one. The time lies as far ahead as the announcement needs
 * to arrive. */
static void announce_attempt(struct hardnat_part *a, struct pv_peer *p, pv_ns now)
{
    uint64_t clock = pv_node_coord_us(a->node, now);
    pv_ns trip = a->node->coord_info.rtt + START_MARGIN;
    p->hard.announced = true;
    p->hard.at_us = clock == 0 ? 0 : clock + trip / 1000;
    p->hard.give_up = now + READY_FOR;
    p->hard.wake = p->hard.give_up;
    pv_descx_changed(&p->descx);
}

/* Would there be a method if the NATs were as bad as they may be? */
static bool is_worse(const struct hardnat_part *a, const struct pv_peer *p)
{
    const struct pv_hardnat_plan plan = pv_hardnat_plan(
        pv_hardnat_nat(a->hard), &pv_peer_theirs(p)->nat, true, PV_HARDNAT_MAX_MAPPINGS);
    return plan.method != PV_HARDNAT_NONE;
}

/* Both have announced the same attempt: it starts at the later of the two times. */
static void start_attempt(struct hardnat_part *a, struct pv_peer *p, pv_ns now)
{
    struct pv_hardnat_target t = {
        .own = p->talk->creds,
        .theirs = pv_peer_theirs(p)->creds,
        .nat = pv_peer_theirs(p)->nat,
        .loose = p->hard.n > 1,
        .controlling = memcmp(a->node->identity->sign_pk, p->pk, sizeof(p->pk)) < 0,
    };
    uint64_t clock = pv_node_coord_us(a->node, now);
    uint64_t at = p->hard.at_us > pv_peer_theirs(p)->attempt.at_us
                      ? p->hard.at_us
                      : pv_peer_theirs(p)->attempt.at_us;
    pv_ns wait = clock == 0 || at <= clock ? 0 : (at - clock) * 1000;
    p->hard.wake = PV_NEVER;
    if (!public_addr(p, &t.addr)) {
        end_attempt(a, p, "their public address is not known", now);
    } else if (!pv_hardnat_run(a->hard, &t, now + pv_min_ns(wait, START_MAX), now)) {
        bool again = !t.loose && is_worse(a, p);
        end_attempt(a, p, "no method crosses these two NATs", now);
        /* A server with one address cannot see whether the NAT is symmetric. One more look takes
         * the worse for true before the long wait. */
        if (again) {
            p->hard.backoff = 0;
            p->hard.not_before = p->hard.wake = now + SECOND_LOOK;
        }
    } else {
        const struct pv_hardnat_plan plan = pv_hardnat_counts(a->hard).plan;
        pv_peer_count_checks(p, pv_peer_is_relayed(p) ? PV_PATH_RELAYED : PV_PATH_FAILED);
        pv_trace_add(&p->trace, now, "%s: %u sockets, in %u ms",
                     pv_hardnat_method_name(plan.method), plan.sockets,
                     (unsigned)(pv_min_ns(wait, START_MAX) / PV_MS(1)));
    }
    pv_wipe(&t, sizeof(t));
}

static void continue_attempt(struct hardnat_part *a, struct pv_peer *p, pv_ns now)
{
    if (pv_hardnat_phase(a->hard) == PV_HARDNAT_OVER) {
        end_attempt(a, p, "no opening was found", now);
        return;
    }
    if (pv_hardnat_phase(a->hard) != PV_HARDNAT_READY)
        return;
    /* The other side began a later one while we measured: ours becomes that one. */
    if (pv_peer_theirs(p)->attempt.n > p->hard.n) {
        p->hard.n = pv_peer_theirs(p)->attempt.n;
        p->hard.announced = false;
    }
    if (!p->hard.announced)
        announce_attempt(a, p, now);
    if (pv_peer_theirs(p)->attempt.n == p->hard.n)
        start_attempt(a, p, now);
    else if (now >= p->hard.give_up) {
        end_attempt(a, p, "the other side did not get ready", now);
        p->hard.unready = true;
    }
}

/* The grace period lets ordinary checks win, which find most paths and cost nothing. A long
 * back-off on one side gives way to the other's attempt, or the two would never try at the same
 * time. */
static void consider_attempt(struct hardnat_part *a, struct pv_peer *p, pv_ns now)
{
    if (p->hard.since == 0)
        p->hard.since = now;
    pv_ns when = p->hard.since + GRACE;
    if (when < p->hard.not_before)
        when = p->hard.not_before;
    /* They begin: their back-off is over, and ours runs beside it. That of an attempt which they
     * did not join has loaded no NAT, and would let them wait in vain in their turn. */
    uint32_t theirs = pv_peer_theirs(p)->attempt.n;
    if ((theirs > p->hard.n && now + p->hard.backoff / 2 >= p->hard.not_before) ||
        (theirs >= p->hard.n && p->hard.unready))
        when = now;
    p->hard.wake = when;
    if (now >= when)
        begin_attempt(a, p, now);
}

/* They begin at once behind another NAT, where nothing has failed yet: our back-off would have them
 * wait in vain. */
static void note_moved(struct hardnat_part *a, struct pv_peer *p, pv_ns now)
{
    struct pv_addr theirs;
    if (p->descx.theirs.gen == 0 || !public_addr(p, &theirs) ||
        pv_addr_u32(&theirs) == p->hard.theirs)
        return;
    bool first = p->hard.theirs == 0;
    p->hard.theirs = pv_addr_u32(&theirs);
    if (first)
        return;
    if (is_current(a, p) && pv_hardnat_phase(a->hard) == PV_HARDNAT_RUNNING)
        end_attempt(a, p, "their address is another", now);
    if (p->hard.backoff == 0 || !pv_bucket_take(&p->hard.moves, 1, MOVES * MOVE_S, MOVE_S, now))
        return;
    p->hard.backoff = 0;
    p->hard.not_before = 0;
}

/* A peer changed: begins, goes on with or ends its attempt. Called after anything that happens to
 * the peer, so it asks for the present state and not for what has changed. */
static void look_at_peer(struct hardnat_part *a, struct pv_peer *p, pv_ns now)
{
    note_moved(a, p, now);
    if (is_current(a, p) && !needs_attempt(a, p, now))
        end_attempt(a, p, "the attempt was ended", now);
    if (!is_current(a, p) && p->hard.n_socks > 0)
        drop_unused(a, p, now);
    if (!needs_attempt(a, p, now)) {
        p->hard.since = 0;
        p->hard.wake = PV_NEVER;
        return;
    }
    if (!is_current(a, p))
        consider_attempt(a, p, now);
    if (is_current(a, p))
        continue_attempt(a, p, now);
}

/* --- as a part ------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct hardnat_part *a = part;
    struct pv_node *n = a->node;
    int r = pv_hardnat_new(&a->hard, &n->rng, &cfg->hardnat, &n->ways.sock_ops);
    if (r == PV_OK)
        n->ways.nat = pv_hardnat_nat(a->hard);
    return r;
}

static void free_attempts(void *part)
{
    struct hardnat_part *a = part;
    a->node->ways.nat = NULL;
    pv_hardnat_free(a->hard);
}

const struct pv_hardnat *pv_hardnat_of(const struct pv_node *n)
{
    const struct hardnat_part *a = pv_node_part(n, &pv_part_hardnat);
    return a->hard;
}

/* An attempt that is under way sends from an address that is no more. */
static void end_by_move(struct hardnat_part *a, pv_ns now)
{
    struct pv_addr seen = {.family = PV_AF_NONE};
    for (size_t i = 0; i < a->node->ways.n_locals && seen.family == PV_AF_NONE; i++) {
        const struct pv_ice_cand *c = &a->node->ways.locals[i];
        if (c->addr.family == PV_AF_INET && c->type != PV_ICE_RELAY &&
            !pv_addr_is_private(&c->addr))
            seen = c->addr;
    }
    bool moved = !pv_addr_equal_ip(&seen, &a->seen);
    a->seen = seen;
    struct pv_peer *p = pv_peers_by_id(a->node->peers, pv_hardnat_peer(a->hard));
    if (moved && p != NULL && is_current(a, p))
        end_attempt(a, p, "our address is another", now);
}

/* On another network the NAT is another one, and every peer may be tried again at once. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct hardnat_part *a = part;
    if ((facts & PV_FACT_MOVED) == 0)
        return;
    end_by_move(a, now);
    pv_hardnat_forget(a->hard);
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(a->node->peers, p)) != NULL;) {
        p->hard.backoff = 0;
        p->hard.not_before = 0;
    }
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    look_at_peer(part, p, now);
    pv_peer_settle(p, now); /* what that did to the agent belongs into the next description */
}

/* The sockets belong to this attempt and not to the peer: nobody else would close them. */
static void on_peer_gone(void *part, struct pv_peer *p, pv_ns now)
{
    struct hardnat_part *a = part;
    if (is_current(a, p))
        pv_hardnat_end(a->hard, 0);
    while (p->hard.n_socks > 0)
        drop_sock(a, p, p->hard.n_socks - 1, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct hardnat_part *a = part;
    pv_hardnat_handle_timeout(a->hard, now);
    if (pv_hardnat_phase(a->hard) == PV_HARDNAT_IDLE)
        return;
    struct pv_peer *p = pv_peers_by_id(a->node->peers, pv_hardnat_peer(a->hard));
    if (p == NULL)
        pv_hardnat_end(a->hard, 0);
    else if (pv_hardnat_phase(a->hard) != PV_HARDNAT_RUNNING)
        pv_peers_touch(a->node->peers, p, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct hardnat_part *a = part;
    return pv_hardnat_next_timeout(a->hard);
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct hardnat_part *a = part;
    struct pv_hardnat_transmit tx;
    if (pv_hardnat_poll_transmit(a->hard, &tx) != PV_OK ||
        !pv_transmit_to(ret_tx, &tx.dst, tx.buf, tx.len))
        return false;
    ret_tx->sock = tx.sock;
    ret_tx->ttl = tx.ttl;
    ret_tx->opener = tx.opener;
    ret_tx->local = local_addr(a);
    return true;
}

static void take_opened(void *part, uint16_t sock, uint16_t port, pv_ns now)
{
    struct hardnat_part *a = part;
    if (sock < PV_HARDNAT_END_ID)
        pv_hardnat_opened(a->hard, sock, port, now);
}

static void take_bounced(void *part, uint16_t sock, struct pv_view quoted, bool expired)
{
    struct hardnat_part *a = part;
    pv_hardnat_bounced(a->hard, sock, quoted, expired);
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct hardnat_part *a = part;
    const struct pv_hardnat_counts c = pv_hardnat_counts(a->hard);
    const struct pv_desc_nat *nat = pv_hardnat_nat(a->hard);
    /* Whether it is on, and its limits, stand beside what it has used of them: a person who reads
     * that it failed wants to know first whether it was allowed to try. */
    pv_statuspage_put(
        st, PV_STATUS_HARD_NAT,
        pv_ctlapi_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i}",
                       "mapping", pv_desc_mapping_word(nat->mapping), "ports",
                       pv_desc_ports_word(nat->ports), "on", c.predict || c.birthday, "predict",
                       c.predict, "birthday", c.birthday, "running",
                       pv_hardnat_phase(a->hard) != PV_HARDNAT_IDLE, "attempts", (int)c.attempts,
                       "sockets", (int)c.mappings, "max_mappings", (int)c.max_mappings, "packets",
                       (int)c.packets, "max_packets", (int)PV_HARDNAT_MAX_PACKETS, "max_pps",
                       (int)c.max_pps, "kept", (int)c.kept));
}

const struct pv_part pv_part_hardnat = {
    .name = "hardnat",
    .size = PV_PART_SIZE(struct hardnat_part),
    .start = start,
    .free = free_attempts,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_peer_gone = on_peer_gone,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .handle_stun = take_stun,
    .poll_transmit = poll_transmit,
    .sock_opened = take_opened,
    .sock_bounced = take_bounced,
    .status = show,
};
