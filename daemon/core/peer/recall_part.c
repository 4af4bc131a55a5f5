/* SPDX-License-Identifier: MIT */
/*
 * recall_part.c - finds members again while there is no coordinator to ask (DESIGN 5 "Without the
 * coordinator"): tries the addresses they had (recall.h says when), keeps those addresses on
 * disk, and takes what peers see of us for what a STUN server would say.
 */
#include "daemon/core/peer/recall_part.h"

#include <stdlib.h>
#include <string.h>

#include "base/fifo.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"

enum {
    /* Trials waiting to be sent; more are dropped, and come again. Ours: two rounds of all. */
    MAX_TRIALS = 2 * PV_RECALL_AT_ONCE * PV_RECALL_ADDRS,
};

/* A message 1 on its way to an address where a member once was. */
struct trial {
    struct pv_addr dst;
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
};

struct recall_part {
    struct pv_node *node;
    struct pv_recall *recall;
    struct pv_fifo trials; /* of struct trial */
    uint64_t away_since_s; /* no coordinator since then, wall clock; 0 = connected, or not wanted */
};

/* --- what is kept of a member ---------------------------------------------------------------- */

/* Remembers the address that a direct path leads to: the member is sought there later. */
static void note_path(struct recall_part *r, struct pv_peer *p, pv_ns now)
{
    if (p->is_static || !pv_peer_has_path(p) || p->path_state == PV_PATH_STATE_SUSPECT ||
        p->path.kind != PV_CARRIER_UDP)
        return;
    pv_recall_note(r->recall, p->pk, &p->path.remote, pv_node_wall_s(r->node, now), now);
}

/* --- what peers see of us -------------------------------------------------------------------- */

/* Through another NAT mapping than theirs an address may be wrong: what one peer told stands until
 * that peer is gone, so that two that see different ones do not make it change to and fro. */
static struct pv_told *slot_for(struct recall_part *r, const struct pv_peer *p)
{
    struct pv_told *free_slot = NULL;
    for (size_t i = 0; i < PV_NODE_TOLD; i++) {
        struct pv_told *t = &r->node->ways.told[i];
        const struct pv_peer *q = t->peer == 0 ? NULL : pv_peers_by_id(r->node->peers, t->peer);
        if (q == p)
            return t;
        if (q == NULL || !pv_peer_has_path(q))
            free_slot = t;
    }
    return free_slot;
}

static bool is_own_range(const struct recall_part *r, const struct pv_addr *a)
{
    struct pv_prefix ula = pv_network_ula(pv_roster_network_id(r->node->roster));
    return pv_prefix_contains(&pv_roster_network(r->node->roster)->range, a) ||
           pv_prefix_contains(&ula, a);
}

/* Only a peer reached directly and over the main socket tells something about the NAT binding that
 * others can use. Our own overlay ranges are refused, since such an address would lead into the
 * tunnel. */
static void learn_mapped(struct recall_part *r, const struct pv_peer *p)
{
    struct pv_ice_path path;
    if (r->node->common->signalling || p->ice == NULL || !pv_peer_has_path(p) ||
        p->path_state == PV_PATH_STATE_TRIAL || p->path.kind != PV_CARRIER_UDP ||
        p->path.sock != 0 || r->node->roster == NULL || pv_ice_selected(p->ice, &path) != PV_OK ||
        path.mapped.family == PV_AF_NONE || pv_addr_equal(&path.mapped, &path.carrier.local) ||
        !pv_addr_is_usable_remote(&path.mapped) || is_own_range(r, &path.mapped))
        return;
    struct pv_told *t = slot_for(r, p);
    if (t == NULL || (t->peer == p->id && pv_addr_equal(&t->mapped, &path.mapped)))
        return;
    for (size_t i = 0; i < PV_NODE_TOLD; i++) {
        if (r->node->ways.told[i].peer != 0 && &r->node->ways.told[i] != t &&
            pv_addr_equal(&r->node->ways.told[i].mapped, &path.mapped))
            return;
    }
    *t = (struct pv_told){.peer = p->id, .local = path.carrier.local, .mapped = path.mapped};
    pv_node_raise(r->node, PV_FACT_TOLD);
}

/* --- peers ----------------------------------------------------------------------------------- */

/* Is it reached, wanted, and what does it see of us? */
static void look_at_peer(struct recall_part *r, struct pv_peer *p, pv_ns now)
{
    if (p->is_static)
        return;
    bool reached = pv_peer_reach(p) == PV_REACH_PATH;
    if (reached != p->notes.reached) {
        p->notes.reached = reached;
        pv_recall_set_reached(r->recall, p->pk, reached, now);
    }
    if (!reached && pv_peer_is_wanted(p, now))
        pv_recall_want(r->recall, p->pk, now);
    learn_mapped(r, p);
}

/* --- trying -------------------------------------------------------------------------------- */

static void push_trial(struct recall_part *r, const struct pv_addr *dst, const uint8_t *msg)
{
    struct trial item = {.dst = *dst};
    memcpy(item.msg, msg, sizeof(item.msg));
    if (r->trials.n < MAX_TRIALS)
        (void)!pv_fifo_put(&r->trials, &item, sizeof(item));
}

/* One initiation to all addresses: whichever is right answers, and the response belongs to the same
 * handshake. */
static void try_addresses(void *part, const struct pv_recall_item *item, pv_ns now)
{
    struct recall_part *r = part;
    struct pv_peer *p = pv_peers_by_pk(r->node->peers, item->pk);
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    char text[PV_ADDR_TEXT];
    if (p == NULL || pv_peer_trial(p, now, msg) != PV_OK)
        return;
    for (size_t i = 0; i < item->n; i++)
        push_trial(r, &item->addrs[i].addr, msg);
    pv_trace_add(&p->trace, now, "no coordinator: handshake to its cached address %s%s",
                 pv_addr_format(&item->addrs[0].addr, text), item->n > 1 ? " and older ones" : "");
    pv_peers_touch(r->node->peers, p, now);
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct recall_part *r = part;
    struct trial item;
    if (pv_fifo_take(&r->trials, &item) != PV_OK)
        return false;
    (void)pv_transmit_to(ret_tx, &item.dst, item.msg, sizeof(item.msg));
    return true;
}

/* --- slots of members ------------------------------------------------------------------------- */

static struct pv_recall_peer *kept(void *part, const uint8_t *pk, bool make)
{
    const struct recall_part *r = part;
    return pv_peers_kept(r->node->peers, pk, &pv_part_recall, make);
}

static void end_peer(void *slot)
{
    pv_recall_gone(slot);
}

/* --- what is kept on disk -------------------------------------------------------------------- */

static void keep(void *part, const struct pv_recall_item *item)
{
    const struct recall_part *r = part;
    struct pv_job *job = pv_job_new(PV_JOB_PUT_ENDPOINTS);
    if (job == NULL) {
        r->node->store.failed = true;
        return;
    }
    struct pv_job_put_endpoints *put = &job->u.put_endpoints;
    memcpy(put->node, item->pk, sizeof(put->node));
    put->n = item->n;
    memcpy(put->addrs, item->addrs, sizeof(put->addrs));
    (void)pv_jobqueue_submit(&r->node->jobs, job, pv_node_job_stored, r->node, 0);
}

/* The addresses that were stored. Those of a node that was removed while this one was off must not
 * be asked, and go from the disk, too. */
static int load_addresses(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct recall_part *r = part;
    for (size_t i = 0; i < cfg->saved->n_endpoints; i++) {
        const struct pv_saved_endpoint *x = &cfg->saved->endpoints[i];
        struct pv_recall_item nothing = {.n = 0};
        memcpy(nothing.pk, x->node, sizeof(nothing.pk));
        if (pv_peers_by_pk(r->node->peers, x->node) != NULL)
            pv_recall_load(r->recall, x->node, &x->addr);
        else
            keep(r, &nothing);
    }
    return PV_OK;
}

/* --- as a part ------------------------------------------------------------------------------- */

static int make_recall(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                       void **ret_part)
{
    struct recall_part *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return PV_ERR_NOMEM;
    const struct pv_recall_hands hands = {
        .kept = kept, .attempt = try_addresses, .keep = keep, .owner = r};
    int status = pv_recall_new(&r->recall, &hands);
    if (status != PV_OK) {
        free(r);
        return status;
    }
    r->node = node;
    *ret_part = r;
    return PV_OK;
}

static void free_recall(void *part)
{
    struct recall_part *r = part;
    struct pv_engine_transmit tx;
    while (poll_transmit(r, &tx))
        continue;
    pv_peers_drop_slots(r->node->peers, &pv_part_recall);
    pv_recall_free(r->recall);
    free(r);
}

/* Servers tell the truth better: what peers said is forgotten. */
static void forget_told(struct recall_part *r)
{
    for (size_t i = 0; i < PV_NODE_TOLD; i++) {
        if (r->node->ways.told[i].peer != 0)
            pv_node_raise(r->node, PV_FACT_TOLD);
        r->node->ways.told[i].peer = 0;
    }
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct recall_part *r = part;
    if ((facts & PV_FACT_NETWORK) != 0 && r->node->roster == NULL)
        pv_recall_clear(r->recall);
    if ((facts & PV_FACT_ONLINE) != 0)
        forget_told(r);
    if ((facts & PV_FACT_MOVED) != 0)
        pv_recall_moved(r->recall, now);
    if ((facts & PV_FACT_STORE) != 0)
        pv_recall_store_all(r->recall, now);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    if ((facts & PV_PEER_FACT_PATH) != 0)
        note_path(part, p, now);
    look_at_peer(part, p, now);
}

static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    struct recall_part *r = part;
    pv_recall_forget(r->recall, pk);
}

/* Is the coordinator missed? A guest's connection is not for this network. */
static bool is_away(const struct pv_node *n)
{
    return n->up && !n->removed && n->coord_info.as_member && !n->online && pv_node_self(n) != NULL;
}

static void run(void *part, pv_ns now)
{
    struct recall_part *r = part;
    bool away = is_away(r->node);
    if (!away)
        r->away_since_s = 0;
    else if (r->away_since_s == 0)
        r->away_since_s = pv_node_wall_s(r->node, now);
    pv_recall_set_on(r->recall, away, now);
    pv_recall_handle_timeout(r->recall, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct recall_part *r = part;
    return pv_recall_next_timeout(r->recall);
}

const struct pv_recall *pv_recall_of(const struct pv_node *n)
{
    const struct recall_part *r = pv_node_part(n, &pv_part_recall);
    return r->recall;
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct recall_part *r = part;
    st->s.away_since_s = r->away_since_s;
    if (r->away_since_s != 0)
        st->s.reached_without = (unsigned)pv_peers_count_reached(r->node->peers);
}

const struct pv_part pv_part_recall = {
    .name = "recall",
    .after = {"membership"}, /* which restores the members whose addresses it takes up */
    .peer_size = sizeof(struct pv_recall_peer),
    .end_peer = end_peer,
    .make = make_recall,
    .free = free_recall,
    .restore = load_addresses,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_member_gone = on_member_gone,
    .run = run,
    .next_timeout = next_timeout,
    .poll_transmit = poll_transmit,
    .status = show,
};
