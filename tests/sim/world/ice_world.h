/* SPDX-License-Identifier: MIT */
/*
 * ice_world.h - two ICE agents and the boxes between them, in virtual time and one process.
 *
 * A tree of realms: the internet, and behind every NAT a LAN, which may hold another NAT. NATs map
 * endpoint-independently or per destination, filter as RFC 4787 names it, and may hairpin; a box
 * that does not translate is a stateful firewall. Links delay, lose, repeat and reorder. Signals
 * arrive after a delay and are never lost. Everything follows from the seed. Header only, because
 * unit tests and simulations both use it.
 */
#pragma once

#include "base/bytes.h"
#include "crypto/ct.h"
#include "proto/ice/ice.h"
#include "tests/unit/test_util.h"

enum {
    W_INTERNET = -1,
    W_NONE = -2,
    W_NODES = 8,
    W_MAPPINGS = 64,
    W_PEERS = 32,
    W_FLIGHT = 192,
    W_HOSTS = 2,
    W_CANDS = 8,
};

enum w_filter {
    W_EIF,
    W_ADF,
    W_APDF
};

enum w_roles {
    W_FIRST_CONTROLS,
    W_BOTH_CONTROL,
    W_NONE_CONTROLS
};

struct w_peer {
    struct pv_addr addr;
    pv_ns expires;
};

struct w_mapping {
    bool used;
    struct pv_addr inner, outer;
    struct pv_addr dst; /* per-destination mapping: of whom */
    pv_ns expires;
    struct w_peer peers[W_PEERS];
    size_t n_peers;
};

/* A host's interface or a NAT box; `parent` is the realm it stands in: a NAT's index or the
 * internet. */
struct w_node {
    bool used;
    bool is_nat;
    int parent;
    int host; /* of an interface */
    struct pv_addr addr;
    enum w_filter filter;
    bool per_destination;
    bool hairpin;
    bool translate;
    bool kept; /* the host refreshes its mappings elsewhere: only the filters forget */
    pv_ns timeout;
    uint16_t next_port;
    struct w_mapping maps[W_MAPPINGS];
};

struct w_packet {
    bool used;
    pv_ns at;
    int to; /* host */
    struct pv_addr src;
    struct pv_addr dst; /* the interface's address */
    size_t len;
    uint8_t buf[PV_ICE_MTU];
};

struct w_host {
    struct pv_ice_agent *agent;
    struct pv_ice_creds creds;
    struct pv_ice_cand cands[W_CANDS];
    size_t n_cands;
    struct pv_trace trace;
    bool has_desc;
    pv_ns start_at; /* when this side begins and sends its description */
    pv_ns desc_at;  /* when the other side's description arrives */
    unsigned sent;  /* STUN datagrams */
    unsigned selects, losts, suspects;
    pv_ns first_path; /* time of the first SELECTED */
    pv_ns last_lost;
    bool sends_data;
    pv_ns data_every;
    pv_ns next_data;
    pv_ns next_note;
    pv_ns last_tx, last_rx;
    pv_ns last_got; /* last data received on any path */
    unsigned data_sent, data_got;
};

struct w_world {
    pv_ns now;
    struct test_rng seed;
    pv_ns delay;   /* of the internet, one way */
    pv_ns jitter;  /* added at random: reorders */
    unsigned loss; /* 1/1000, each way, internet only */
    unsigned dup;  /* 1/1000 */
    bool cut;      /* the internet drops everything */
    enum w_roles roles;
    struct pv_addr blocked; /* datagrams to it vanish, */
    struct pv_addr deaf;    /* and from it */
    struct w_node nodes[W_NODES];
    struct w_host hosts[W_HOSTS];
    struct w_packet flight[W_FLIGHT];
    unsigned overflow;
};

static inline unsigned w_draw(struct w_world *w, unsigned bound)
{
    return (unsigned)(test_rng_next(&w->seed) % bound);
}

static inline void w_init(struct w_world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->seed.state = seed;
    w->now = PV_S(1);
    w->delay = PV_MS(30);
}

static inline int w_add_node(struct w_world *w, int parent, struct pv_addr addr)
{
    for (int i = 0; i < W_NODES; i++) {
        if (w->nodes[i].used)
            continue;
        w->nodes[i] = (struct w_node){.used = true, .parent = parent, .addr = addr, .host = W_NONE};
        return i;
    }
    abort();
}

static inline int w_add_nat(struct w_world *w, int parent, struct pv_addr outer,
                            enum w_filter filter)
{
    int i = w_add_node(w, parent, outer);
    w->nodes[i].is_nat = true;
    w->nodes[i].filter = filter;
    w->nodes[i].translate = true;
    w->nodes[i].timeout = PV_S(60);
    w->nodes[i].next_port = (uint16_t)(20000 + w_draw(w, 20000));
    return i;
}

/* --- NAT boxes ----------------------------------------------------------------------------- */

static inline bool w_filter_passes(const struct w_node *nat, const struct w_mapping *m,
                                   const struct pv_addr *src, pv_ns now)
{
    if (nat->filter == W_EIF)
        return true;
    for (size_t i = 0; i < m->n_peers; i++) {
        const struct w_peer *p = &m->peers[i];
        if (now < p->expires &&
            (nat->filter == W_ADF ? pv_addr_equal_ip(&p->addr, src) : pv_addr_equal(&p->addr, src)))
            return true;
    }
    return false;
}

static inline void w_filter_open(struct w_node *nat, struct w_mapping *m, const struct pv_addr *dst,
                                 pv_ns now)
{
    m->expires = nat->kept ? PV_NEVER : now + nat->timeout;
    for (size_t i = 0; i < m->n_peers; i++) {
        if (pv_addr_equal(&m->peers[i].addr, dst)) {
            m->peers[i].expires = now + nat->timeout;
            return;
        }
    }
    size_t slot = m->n_peers < W_PEERS ? m->n_peers++ : (size_t)(now / PV_MS(1)) % W_PEERS;
    m->peers[slot] = (struct w_peer){.addr = *dst, .expires = now + nat->timeout};
}

/* The outer address a datagram from inner to dst leaves with. */
static inline struct pv_addr w_nat_out(struct w_world *w, int nat, struct pv_addr inner,
                                       struct pv_addr dst)
{
    struct w_node *n = &w->nodes[nat];
    struct w_mapping *found = NULL;

    for (int i = 0; i < W_MAPPINGS; i++) {
        struct w_mapping *m = &n->maps[i];
        if (m->used && w->now >= m->expires)
            m->used = false;
        if (m->used && pv_addr_equal(&m->inner, &inner) &&
            (!n->per_destination || pv_addr_equal(&m->dst, &dst)))
            found = m;
    }
    for (int i = 0; found == NULL && i < W_MAPPINGS; i++) {
        struct w_mapping *m = &n->maps[i];
        if (m->used)
            continue;
        *m = (struct w_mapping){.used = true, .inner = inner, .outer = inner, .dst = dst};
        if (n->translate) {
            m->outer = n->addr;
            m->outer.port = n->next_port;
            n->next_port = (uint16_t)(n->next_port + 1 + w_draw(w, 3));
        }
        found = m;
    }
    if (found == NULL)
        return (struct pv_addr){0};
    w_filter_open(n, found, &dst, w->now);
    return found->outer;
}

/* Lets a datagram in: gives the inner destination, or nothing. */
static inline bool w_nat_in(struct w_world *w, int nat, const struct pv_addr *src,
                            const struct pv_addr *outer, struct pv_addr *ret_inner)
{
    struct w_node *n = &w->nodes[nat];

    for (int i = 0; i < W_MAPPINGS; i++) {
        struct w_mapping *m = &n->maps[i];
        if (!m->used || w->now >= m->expires || !pv_addr_equal(&m->outer, outer) ||
            !w_filter_passes(n, m, src, w->now))
            continue;
        *ret_inner = m->inner;
        return true;
    }
    return false;
}

/* The box forgets everything, as after a restart: the next datagrams get new ports. */
static inline void w_nat_reset(struct w_world *w, int nat)
{
    memset(w->nodes[nat].maps, 0, sizeof(w->nodes[nat].maps));
}

/* --- links --------------------------------------------------------------------------------- */

/* Who in this realm answers to the address? */
static inline int w_owner(const struct w_world *w, int realm, const struct pv_addr *dst)
{
    for (int i = 0; i < W_NODES; i++) {
        const struct w_node *n = &w->nodes[i];
        if (!n->used || n->parent != realm)
            continue;
        if (pv_addr_equal_ip(&n->addr, dst))
            return i;
        if (n->is_nat && !n->translate && w_owner(w, i, dst) != W_NONE)
            return i;
    }
    return W_NONE;
}

static inline void w_deliver(struct w_world *w, int node, struct pv_addr src, struct pv_addr dst,
                             struct pv_view bytes, pv_ns delay)
{
    while (w->nodes[node].is_nat) {
        struct pv_addr inner;
        if (!w_nat_in(w, node, &src, &dst, &inner))
            return;
        dst = inner;
        int next = w_owner(w, node, &dst);
        if (next == W_NONE)
            return;
        node = next;
        delay += PV_US(300);
    }
    if (w->nodes[node].addr.port != dst.port)
        return;
    for (int i = 0; i < W_FLIGHT; i++) {
        struct w_packet *p = &w->flight[i];
        if (p->used)
            continue;
        *p = (struct w_packet){.used = true,
                               .at = w->now + delay,
                               .to = w->nodes[node].host,
                               .src = src,
                               .dst = w->nodes[node].addr,
                               .len = bytes.len};
        memcpy(p->buf, bytes.ptr, bytes.len);
        return;
    }
    w->overflow++;
}

static inline void w_send(struct w_world *w, struct pv_addr src, struct pv_addr dst,
                          const uint8_t *buf, size_t len)
{
    int from = W_NONE;
    pv_ns delay = PV_US(200);
    for (int i = 0; i < W_NODES; i++)
        if (w->nodes[i].used && !w->nodes[i].is_nat && pv_addr_equal(&w->nodes[i].addr, &src))
            from = i;
    if (from == W_NONE || pv_addr_equal(&dst, &w->blocked) || pv_addr_equal(&src, &w->deaf))
        return;

    int realm = w->nodes[from].parent;
    int via = W_NONE;
    for (;;) {
        int owner = w_owner(w, realm, &dst);
        if (owner != W_NONE && (owner != via || w->nodes[via].hairpin)) {
            unsigned copies = 1;
            if (realm == W_INTERNET && owner != via) {
                if (w->cut || w_draw(w, 1000) < w->loss)
                    return;
                copies += w_draw(w, 1000) < w->dup ? 1 : 0;
                delay += w->delay;
            }
            for (unsigned i = 0; i < copies; i++) {
                pv_ns extra =
                    w->jitter == 0 ? w_draw(w, 200000) : test_rng_next(&w->seed) % w->jitter;
                w_deliver(w, owner, src, dst, pv_view(buf, len), delay + extra);
            }
            return;
        }
        if (realm == W_INTERNET || owner != W_NONE)
            return;
        via = realm;
        src = w_nat_out(w, via, src, dst);
        if (src.family == PV_AF_NONE)
            return;
        realm = w->nodes[via].parent;
        delay += PV_US(300);
    }
}

/* --- hosts --------------------------------------------------------------------------------- */

/* An interface of a host in a realm; its server-reflexive address is learnt from the internet. */
static inline void w_add_if(struct w_world *w, int host, int realm, struct pv_addr addr,
                            uint16_t local_pref)
{
    struct w_host *h = &w->hosts[host];
    int node = w_add_node(w, realm, addr);
    w->nodes[node].host = host;
    struct pv_ice_cand c = {.type = PV_ICE_HOST,
                            .addr = addr,
                            .base = (uint8_t)h->n_cands,
                            .foundation = (uint8_t)h->n_cands,
                            .priority = pv_ice_priority(PV_ICE_HOST, local_pref),
                            .carrier = {.local = addr}};
    uint8_t base = (uint8_t)h->n_cands;
    h->cands[h->n_cands++] = c;

    struct pv_addr seen = addr;
    struct pv_addr stun = addr.family == PV_AF_INET ? pv_addr4(9, 9, 9, 9, 3478) : addr;
    if (addr.family == PV_AF_INET6)
        stun.ip[1] ^= 0xff;
    for (int r = realm; r != W_INTERNET; r = w->nodes[r].parent)
        seen = w_nat_out(w, r, seen, stun);
    if (pv_addr_equal(&seen, &addr))
        return;
    c.type = PV_ICE_SRFLX;
    c.addr = seen;
    c.base = base;
    c.foundation = (uint8_t)h->n_cands;
    c.priority = pv_ice_priority(PV_ICE_SRFLX, local_pref);
    h->cands[h->n_cands++] = c;
}

static inline struct pv_rng w_rng(struct w_world *w)
{
    return (struct pv_rng){.fill = test_rng_fill, .ctx = &w->seed};
}

static inline void w_start(struct w_world *w, int host, bool foreign)
{
    struct w_host *h = &w->hosts[host];
    struct pv_rng rng = w_rng(w);
    struct pv_ice_config cfg = {.controlling = w->roles == W_BOTH_CONTROL ||
                                               (w->roles == W_FIRST_CONTROLS && host == 0),
                                .foreign = foreign,
                                .rng = rng,
                                .trace = &h->trace};
    pv_ice_make_creds(&rng, &cfg.local);
    h->creds = cfg.local;
    if (pv_ice_new(&h->agent, &cfg, w->now) != PV_OK)
        abort();
    pv_ice_set_local(h->agent, h->cands, h->n_cands, w->now);
    h->desc_at = PV_NEVER;
}

static inline void w_describe(struct w_world *w, int to)
{
    const struct w_host *other = &w->hosts[1 - to];
    struct w_host *h = &w->hosts[to];
    h->desc_at = PV_NEVER;
    if (pv_ice_set_remote(h->agent, &other->creds, other->cands, other->n_cands, w->now) != PV_OK)
        abort();
}

static inline void w_drain(struct w_world *w, int host)
{
    struct w_host *h = &w->hosts[host];
    struct pv_ice_transmit tx;
    struct pv_ice_event ev;

    while (pv_ice_poll_transmit(h->agent, &tx) == PV_OK) {
        h->sent++;
        w_send(w, tx.carrier.local, tx.dst, tx.buf, tx.len);
    }
    while (pv_ice_poll_event(h->agent, &ev) == PV_OK) {
        if (ev.type == PV_ICE_EV_SELECTED) {
            h->selects++;
            if (h->first_path == 0)
                h->first_path = w->now;
        } else if (ev.type == PV_ICE_EV_LOST) {
            h->losts++;
            h->last_lost = w->now;
        } else if (ev.type == PV_ICE_EV_SUSPECT) {
            h->suspects++;
        }
    }
}

static inline void w_data_in(struct w_world *w, int host, const struct w_packet *p)
{
    struct w_host *h = &w->hosts[host];
    struct pv_ice_path path;
    struct pv_ice_carrier c = {.local = p->dst};

    h->data_got++;
    h->last_got = w->now;
    if (pv_ice_selected(h->agent, &path) == PV_OK && pv_addr_equal(&path.remote, &p->src))
        h->last_rx = w->now;
    else
        pv_ice_note_stray(h->agent, &c, &p->src, p->len, w->now);
}

static inline void w_data_out(struct w_world *w, int host)
{
    static const uint8_t DATA[64] = {4};
    struct w_host *h = &w->hosts[host];
    struct pv_ice_path path;

    h->next_data = w->now + h->data_every;
    h->last_tx = w->now;
    h->data_sent++;
    if (pv_ice_selected(h->agent, &path) == PV_OK)
        w_send(w, path.carrier.local, path.remote, DATA, sizeof(DATA));
}

static inline pv_ns w_next(const struct w_world *w)
{
    pv_ns next = PV_NEVER;
    for (int i = 0; i < W_FLIGHT; i++)
        if (w->flight[i].used)
            next = pv_min_ns(next, w->flight[i].at);
    for (int i = 0; i < W_HOSTS; i++) {
        const struct w_host *h = &w->hosts[i];
        if (h->agent == NULL)
            continue;
        next = pv_min_ns(next, pv_ice_next_timeout(h->agent));
        next = pv_min_ns(next, h->desc_at);
        if (h->sends_data)
            next = pv_min_ns(next, h->next_data);
        if (h->data_every != 0)
            next = pv_min_ns(next, h->next_note);
    }
    return next < w->now ? w->now : next;
}

static inline void w_host_turn(struct w_world *w, int host)
{
    struct w_host *h = &w->hosts[host];
    if (h->agent == NULL)
        return;
    if (w->now >= h->desc_at)
        w_describe(w, host);
    if (h->sends_data && w->now >= h->next_data)
        w_data_out(w, host);
    if (h->data_every != 0 && w->now >= h->next_note) {
        h->next_note = w->now + PV_MS(100);
        pv_ice_note_traffic(h->agent, h->last_tx, h->last_rx, w->now);
    }
    pv_ice_handle_timeout(h->agent, w->now);
    w_drain(w, host);
}

/* Runs until the time `until`. */
static inline void w_run(struct w_world *w, pv_ns until)
{
    unsigned spins = 0;
    for (int i = 0; i < W_HOSTS; i++)
        if (w->hosts[i].agent != NULL)
            w_drain(w, i);
    for (;;) {
        pv_ns next = w_next(w);
        if (next > until)
            break;
        spins = next == w->now ? spins + 1 : 0;
        assert_true(spins < 1000); /* a timer that is never served */
        w->now = next;
        for (int i = 0; i < W_FLIGHT; i++) {
            struct w_packet *p = &w->flight[i];
            if (!p->used || p->at > w->now)
                continue;
            p->used = false;
            struct w_packet copy = *p;
            struct pv_ice_carrier c = {.local = copy.dst};
            if (w->hosts[copy.to].agent == NULL)
                continue;
            if (copy.buf[0] == 4)
                w_data_in(w, copy.to, &copy);
            else
                (void)!pv_ice_handle_input(w->hosts[copy.to].agent, &c, &copy.src,
                                           pv_view(copy.buf, copy.len), w->now);
            w_drain(w, copy.to);
        }
        for (int i = 0; i < W_HOSTS; i++)
            w_host_turn(w, i);
    }
    w->now = until;
}

static inline void w_done(struct w_world *w)
{
    for (int i = 0; i < W_HOSTS; i++) {
        w->hosts[i].agent = pv_ice_free(w->hosts[i].agent);
        pv_trace_done(&w->hosts[i].trace);
    }
}

/* Do both sides use the same pair, each seeing the other's end of it? */
static inline bool w_agree(const struct w_world *w)
{
    struct pv_ice_path a;
    struct pv_ice_path b;
    return pv_ice_selected(w->hosts[0].agent, &a) == PV_OK &&
           pv_ice_selected(w->hosts[1].agent, &b) == PV_OK && pv_addr_equal(&a.mapped, &b.remote) &&
           pv_addr_equal(&b.mapped, &a.remote);
}

static inline void w_print(const struct w_world *w)
{
    for (int i = 0; i < W_HOSTS; i++) {
        const struct w_host *h = &w->hosts[i];
        print_message("%d %s sent %u picks %u lost %u suspects %u\n", i,
                      pv_ice_state_name(pv_ice_state(h->agent)), h->sent, h->selects, h->losts,
                      h->suspects);
        for (size_t j = 0; j < pv_trace_len(&h->trace); j++) {
            const struct pv_trace_event *e = pv_trace_at(&h->trace, j);
            print_message("  %9.3f %s\n", (double)(e->when - PV_S(1)) / 1e6, e->text);
        }
    }
}
