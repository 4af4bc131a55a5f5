/* SPDX-License-Identifier: MIT */
/* Which peer needs an attempt at a hard NAT, and when both sides are ready for it (DESIGN 5,
 * TRAVERSAL 3.6 and 3.8). */
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"

#define GRACE         PV_MS(150) /* ordinary checks go first; most paths answer within, DESIGN 14 */
#define TURN          PV_MS(500) /* another peer's attempt runs: asked again after this */
#define READY_FOR     PV_S(5)    /* the other side may take so long to be ready */
#define START_MARGIN  PV_MS(50)  /* beside the round trip that the announcement takes */
#define START_MAX     PV_S(2)    /* no start is waited for longer: a clock is wrong */
#define BACKOFF_FIRST PV_S(60)   /* TRAVERSAL 3.8 */
#define BACKOFF_MAX   PV_S(3600) /* TRAVERSAL 3.8 */
#define SECOND_LOOK   PV_S(2) /* ordinary checks had their time: what was not seen may be worse */

/* --- questions ------------------------------------------------------------------------------- */

static bool is_direct(const struct pv_peer *p)
{
    return p->has_path && !pv_peer_is_relayed(p);
}

static bool is_current(const struct pv_engine *e, const struct pv_peer *p)
{
    return pv_hardnat_phase(e->hard) != PV_HARDNAT_IDLE && pv_hardnat_peer(e->hard) == p->id;
}

/* Somebody talks to it, the path is new, or the other side tries: who is idle is left in peace. */
static bool is_worth_it(const struct pv_peer *p, pv_ns now)
{
    return p->state == PV_PEER_REACHING || p->remote.attempt.n > p->hard.n ||
           now < p->wanted_at + PV_PEER_WANTED_FOR || now < p->path_since + PV_PEER_WANTED_FOR;
}

/* Both sides know each other's candidates and credentials, and no direct path works. */
static bool needs_attempt(const struct pv_engine *e, const struct pv_peer *p, pv_ns now)
{
    if (p->is_static || p->ice == NULL || is_direct(p) || pv_udpwatch_is_blocked(&e->udp) ||
        p->descx.theirs.gen == 0 || p->presence == PV_PRESENCE_OFFLINE)
        return false;
    if (p->state != PV_PEER_REACHING && p->state != PV_PEER_UP)
        return false;
    if (pv_ice_state(p->ice) == PV_ICE_DORMANT)
        return false; /* on the relay because nobody talks */
    if (!is_current(e, p) && !is_worth_it(p, now))
        return false;
    return p->descx.acked || is_current(e, p); /* an announcement is a description as well */
}

/* The address that their NAT, or nothing, shows to the world. */
static bool public_addr(const struct pv_peer *p, struct pv_addr *ret_addr)
{
    const struct pv_ice_cand *best = NULL;
    for (size_t i = 0; i < p->remote.n_cands; i++) {
        const struct pv_ice_cand *c = &p->remote.cands[i];
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

/* Our address behind that NAT: packets of an attempt leave where the server saw us. */
static struct pv_addr local_addr(const struct pv_engine *e)
{
    struct pv_addr local = {.family = PV_AF_NONE};
    for (size_t i = 0; i < e->env.n_locals; i++) {
        const struct pv_ice_cand *c = &e->env.locals[i];
        if (c->addr.family != PV_AF_INET)
            continue;
        if (c->type == PV_ICE_SRFLX)
            return c->carrier.local;
        if (local.family == PV_AF_NONE)
            local = c->carrier.local;
    }
    return local;
}

/* Two destinations: two servers, or the two ports of one (docs/PROTOCOL.md "STUN"). */
static void find_servers(const struct pv_engine *e, struct pv_addr servers[static 2])
{
    size_t n = 0;
    servers[0].family = servers[1].family = PV_AF_NONE;
    for (size_t i = 0; i < e->n_stun_addrs && n < 2; i++) {
        if (e->stun_addrs[i].family == PV_AF_INET)
            servers[n++] = e->stun_addrs[i];
    }
    if (n == 1 && servers[0].port < UINT16_MAX) {
        servers[1] = servers[0];
        servers[1].port++;
    }
}

/* --- sockets that carry a path --------------------------------------------------------------- */

static void drop_sock(struct pv_engine *e, struct pv_peer *p, size_t i, pv_ns now)
{
    uint16_t sock = p->hard.socks[i];
    p->hard.socks[i] = p->hard.socks[--p->hard.n_socks];
    if (p->ice != NULL)
        pv_ice_drop_carrier(p->ice, sock, now);
    pv_hardnat_release(e->hard, sock);
}

/* All that carry no path. */
static void drop_unused(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    for (size_t i = p->hard.n_socks; i-- > 0;)
        if (!is_direct(p) || p->path.sock != p->hard.socks[i])
            drop_sock(e, p, i, now);
}

bool pv_engine_hard_input(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                          pv_ns now)
{
    uint16_t port;
    struct pv_peer *p = pv_engine_peer_by_id(e, pv_hardnat_peer(e->hard));
    bool attempt = pv_hardnat_phase(e->hard) != PV_HARDNAT_IDLE && p != NULL;
    for (size_t i = 0; attempt && i < p->hard.n_socks; i++)
        if (p->hard.socks[i] == from->sock)
            return true;
    int r = pv_hardnat_handle_input(e->hard, from->sock, &from->remote, data, now, &port);
    if (attempt && pv_hardnat_phase(e->hard) == PV_HARDNAT_READY)
        pv_engine_touch(e, p, now); /* the last answer of a measurement */
    if (!attempt)
        return true; /* a kept one: the agent knows it, or does not */
    if (r != PV_OK || p->ice == NULL || p->hard.n_socks == PV_ARRAY_LEN(p->hard.socks))
        return false;
    struct pv_ice_carrier c = {
        .kind = PV_ICE_CARRIER_UDP, .sock = from->sock, .local = from->local};
    c.local.port = port;
    if (pv_ice_add_carrier(p->ice, &c, now) != PV_OK)
        return false;
    p->hard.socks[p->hard.n_socks++] = from->sock;
    pv_trace_add(&p->trace, now, "an opening was found after %u packets",
                 pv_hardnat_counts(e->hard).packets);
    return true;
}

/* --- one attempt ----------------------------------------------------------------------------- */

static void begin(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    struct pv_addr servers[2];
    find_servers(e, servers);
    if (pv_hardnat_begin(e->hard, p->id, servers, now) != PV_OK) {
        p->hard.wake = pv_hardnat_is_off(e->hard) ? PV_NEVER : now + TURN;
        return;
    }
    uint32_t theirs = p->remote.attempt.n;
    p->hard.n = theirs > p->hard.n ? theirs : p->hard.n + 1;
    p->hard.announced = false;
    p->hard.wake = PV_NEVER;
    pv_trace_add(&p->trace, now, "no direct path: looking at our NAT");
}

static void finish(struct pv_engine *e, struct pv_peer *p, const char *why, pv_ns now)
{
    bool found = is_direct(p);
    const struct pv_hardnat_counts c = pv_hardnat_counts(e->hard);
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
    pv_hardnat_end(e->hard, found ? p->path.sock : 0);
    drop_unused(e, p, now);
    if (found) {
        p->hard.backoff = 0;
        return;
    }
    p->hard.backoff =
        p->hard.backoff == 0 ? BACKOFF_FIRST : pv_min_ns(2 * p->hard.backoff, BACKOFF_MAX);
    p->hard.not_before = now + p->hard.backoff;
    p->hard.wake = p->hard.not_before;
    pv_trace_add(&p->trace, now, "%s (%s, %u packets); again in %u min", why,
                 pv_hardnat_method_name(c.plan.method), c.packets,
                 (unsigned)(p->hard.backoff / PV_S(60)));
}

static void announce(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    uint64_t clock = pv_coordclient_time_us(e->node.coord, now);
    pv_ns trip = pv_coordclient_rtt(e->node.coord) + START_MARGIN;
    p->hard.announced = true;
    p->hard.at_us = clock == 0 ? 0 : clock + trip / 1000;
    p->hard.give_up = now + READY_FOR;
    p->hard.wake = p->hard.give_up;
    pv_descx_changed(&p->descx);
}

/* Would there be a method if the NATs were as bad as they may be? */
static bool is_worse(const struct pv_engine *e, const struct pv_peer *p)
{
    const struct pv_hardnat_plan plan =
        pv_hardnat_plan(pv_hardnat_nat(e->hard), &p->remote.nat, true, PV_HARDNAT_MAX_MAPPINGS);
    return plan.method != PV_HARDNAT_NONE;
}

/* Both have announced the same attempt: it starts at the later of the two times. */
static void run(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    struct pv_hardnat_target t = {
        .own = p->creds,
        .theirs = p->remote.creds,
        .nat = p->remote.nat,
        .loose = p->hard.n > 1,
        .controlling = memcmp(e->node.identity->sign_pk, p->pk, sizeof(p->pk)) < 0,
    };
    uint64_t clock = pv_coordclient_time_us(e->node.coord, now);
    uint64_t at = p->hard.at_us > p->remote.attempt.at_us ? p->hard.at_us : p->remote.attempt.at_us;
    pv_ns wait = clock == 0 || at <= clock ? 0 : (at - clock) * 1000;
    p->hard.wake = PV_NEVER;
    if (!public_addr(p, &t.addr)) {
        finish(e, p, "their public address is not known", now);
    } else if (!pv_hardnat_run(e->hard, &t, now + pv_min_ns(wait, START_MAX), now)) {
        bool again = !t.loose && is_worse(e, p);
        finish(e, p, "no method crosses these two NATs", now);
        if (again) {
            p->hard.backoff = 0;
            p->hard.not_before = p->hard.wake = now + SECOND_LOOK;
        }
    } else {
        const struct pv_hardnat_plan plan = pv_hardnat_counts(e->hard).plan;
        pv_peer_count_checks(p, pv_peer_is_relayed(p) ? PV_PATH_RELAYED : PV_PATH_FAILED);
        pv_trace_add(&p->trace, now, "%s: %u sockets, in %u ms",
                     pv_hardnat_method_name(plan.method), plan.sockets,
                     (unsigned)(pv_min_ns(wait, START_MAX) / PV_MS(1)));
    }
    pv_wipe(&t, sizeof(t));
}

static void go_on(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (pv_hardnat_phase(e->hard) == PV_HARDNAT_OVER) {
        finish(e, p, "no opening was found", now);
        return;
    }
    if (pv_hardnat_phase(e->hard) != PV_HARDNAT_READY)
        return;
    if (p->remote.attempt.n > p->hard.n) {
        p->hard.n = p->remote.attempt.n;
        p->hard.announced = false;
    }
    if (!p->hard.announced)
        announce(e, p, now);
    if (p->remote.attempt.n == p->hard.n)
        run(e, p, now);
    else if (now >= p->hard.give_up)
        finish(e, p, "the other side did not get ready", now);
}

static void consider(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (p->hard.since == 0)
        p->hard.since = now;
    pv_ns when = p->hard.since + GRACE;
    if (when < p->hard.not_before)
        when = p->hard.not_before;
    /* They begin: their back-off is over, and ours runs beside it. */
    if (p->remote.attempt.n > p->hard.n && now + p->hard.backoff / 2 >= p->hard.not_before)
        when = now;
    p->hard.wake = when;
    if (now >= when)
        begin(e, p, now);
}

void pv_engine_hard_touch(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (is_current(e, p) && !needs_attempt(e, p, now))
        finish(e, p, "the attempt was ended", now);
    if (!is_current(e, p) && p->hard.n_socks > 0)
        drop_unused(e, p, now);
    if (!needs_attempt(e, p, now)) {
        p->hard.since = 0;
        p->hard.wake = PV_NEVER;
        return;
    }
    if (!is_current(e, p))
        consider(e, p, now);
    if (is_current(e, p))
        go_on(e, p, now);
}

/* --- for all --------------------------------------------------------------------------------- */

void pv_engine_hard_timeout(struct pv_engine *e, pv_ns now)
{
    pv_hardnat_handle_timeout(e->hard, now);
    if (pv_hardnat_phase(e->hard) == PV_HARDNAT_IDLE)
        return;
    struct pv_peer *p = pv_engine_peer_by_id(e, pv_hardnat_peer(e->hard));
    if (p == NULL)
        pv_hardnat_end(e->hard, 0);
    else if (pv_hardnat_phase(e->hard) != PV_HARDNAT_RUNNING)
        pv_engine_touch(e, p, now);
}

void pv_engine_hard_moved(struct pv_engine *e)
{
    struct pv_peer *p;
    pv_hardnat_forget(e->hard);
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        p->hard.backoff = 0;
        p->hard.not_before = 0;
    }
}

void pv_engine_hard_gone(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (is_current(e, p))
        pv_hardnat_end(e->hard, 0);
    while (p->hard.n_socks > 0)
        drop_sock(e, p, p->hard.n_socks - 1, now);
}

bool pv_engine_hard_transmit(struct pv_engine *e, struct pv_engine_transmit *ret_tx)
{
    struct pv_hardnat_transmit tx;
    if (pv_hardnat_poll_transmit(e->hard, &tx) != PV_OK)
        return false;
    *ret_tx = (struct pv_engine_transmit){
        .sock = tx.sock, .ttl = tx.ttl, .local = local_addr(e), .dst = tx.dst, .len = tx.len};
    memcpy(ret_tx->buf, tx.buf, tx.len);
    return true;
}

int pv_engine_poll_sock_op(struct pv_engine *e, struct pv_hardnat_op *ret_op)
{
    return pv_engine_life_poll_op(e, ret_op) ? PV_OK : pv_hardnat_poll_op(e->hard, ret_op);
}

void pv_engine_sock_bounced(struct pv_engine *e, uint16_t sock, struct pv_view quoted, bool expired)
{
    pv_hardnat_bounced(e->hard, sock, quoted, expired);
}

void pv_engine_sock_opened(struct pv_engine *e, uint16_t sock, uint16_t port, pv_ns now)
{
    if (!pv_engine_life_opened(e, sock, port, now))
        pv_hardnat_opened(e->hard, sock, port, now);
}
