/* SPDX-License-Identifier: MIT */
/*
 * Without the coordinator (DESIGN 5): recall's place in the engine. Members are looked for at the
 * addresses they had, and what peers see of us stands in for a STUN server.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/core/engine_int.h"

/* --- what is kept ---------------------------------------------------------------------------- */

void pv_engine_recall_load(struct pv_engine *e, const struct pv_saved *saved, pv_ns now)
{
    for (size_t i = 0; i < saved->n_endpoints; i++) {
        const struct pv_saved_endpoint *x = &saved->endpoints[i];
        pv_recall_load(e->recall, x->node, &x->addr);
        if (pv_engine_peer_by_pk(e, x->node) == NULL)
            pv_recall_forget(e->recall, x->node, now); /* it left while its row was not yet gone */
    }
}

void pv_engine_recall_path(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (p->is_static || !p->has_path || p->doubted || p->path.kind != PV_CARRIER_UDP)
        return;
    pv_recall_note(e->recall, p->pk, &p->path.remote, pv_engine_wall_s(e, now), now);
}

static void store(struct pv_engine *e, const struct pv_recall_item *item)
{
    struct pv_job *job = pv_job_new(PV_JOB_PUT_ENDPOINTS);
    if (job == NULL) {
        e->node.store_failed = true;
        return;
    }
    struct pv_job_put_endpoints *put = &job->u.put_endpoints;
    memcpy(put->node, item->pk, sizeof(put->node));
    put->n = item->n;
    memcpy(put->addrs, item->addrs, sizeof(put->addrs));
    pv_engine_job(e, job, PV_JP_STORE, 0);
}

/* --- what peers see of us -------------------------------------------------------------------- */

/* Through another NAT mapping than theirs an address may be wrong: what one peer told stands until
 * that peer is gone, so that two that see different ones do not make it change to and fro. */
static struct pv_told *slot_for(struct pv_engine *e, const struct pv_peer *p)
{
    struct pv_told *free_slot = NULL;
    for (size_t i = 0; i < PV_ENGINE_TOLD; i++) {
        struct pv_told *t = &e->told[i];
        const struct pv_peer *q = t->peer == 0 ? NULL : pv_engine_peer_by_id(e, t->peer);
        if (q == p)
            return t;
        if (q == NULL || !q->has_path)
            free_slot = t;
    }
    return free_slot;
}

static bool is_own_range(const struct pv_engine *e, const struct pv_addr *a)
{
    struct pv_prefix ula = pv_network_ula(pv_roster_network_id(e->node.roster));
    return pv_prefix_contains(&pv_roster_network(e->node.roster)->range, a) ||
           pv_prefix_contains(&ula, a);
}

static void learn_mapped(struct pv_engine *e, const struct pv_peer *p)
{
    struct pv_ice_path path;
    if (e->env.signalling || p->ice == NULL || !p->has_path || p->on_trial ||
        p->path.kind != PV_CARRIER_UDP || p->path.sock != 0 || e->node.roster == NULL ||
        pv_ice_selected(p->ice, &path) != PV_OK || path.mapped.family == PV_AF_NONE ||
        pv_addr_equal(&path.mapped, &path.carrier.local) ||
        !pv_addr_is_usable_remote(&path.mapped) || is_own_range(e, &path.mapped))
        return;
    struct pv_told *t = slot_for(e, p);
    if (t == NULL || (t->peer == p->id && pv_addr_equal(&t->mapped, &path.mapped)))
        return;
    for (size_t i = 0; i < PV_ENGINE_TOLD; i++) {
        if (e->told[i].peer != 0 && &e->told[i] != t &&
            pv_addr_equal(&e->told[i].mapped, &path.mapped))
            return;
    }
    *t = (struct pv_told){.peer = p->id, .local = path.carrier.local, .mapped = path.mapped};
    e->told_changed = true;
}

static size_t base_of(const struct pv_engine *e, const struct pv_addr *local)
{
    size_t i = 0;
    while (i < e->env.n_locals && (e->env.locals[i].type != PV_ICE_HOST ||
                                   !pv_addr_equal_ip(&e->env.locals[i].addr, local)))
        i++;
    return i;
}

static bool is_offered(const struct pv_engine *e, const struct pv_addr *addr)
{
    for (size_t i = 0; i < e->env.n_locals; i++) {
        if (pv_addr_equal(&e->env.locals[i].addr, addr))
            return true;
    }
    return false;
}

void pv_engine_recall_locals(struct pv_engine *e)
{
    for (size_t i = 0; i < PV_ENGINE_TOLD; i++) {
        const struct pv_told *t = &e->told[i];
        size_t base = t->peer == 0 ? e->env.n_locals : base_of(e, &t->local);
        if (base == e->env.n_locals || e->env.n_locals == PV_ICE_MAX_LOCAL ||
            is_offered(e, &t->mapped))
            continue;
        e->env.locals[e->env.n_locals++] = (struct pv_ice_cand){
            .type = PV_ICE_SRFLX,
            .addr = t->mapped,
            .priority = pv_ice_priority(PV_ICE_SRFLX, (uint16_t)(16383 - i)),
            .foundation = (uint8_t)(UINT8_MAX - 16 - i),
            .base = (uint8_t)base,
            .carrier = e->env.locals[base].carrier,
        };
    }
}

void pv_engine_recall_online(struct pv_engine *e)
{
    for (size_t i = 0; i < PV_ENGINE_TOLD; i++) {
        e->told_changed = e->told_changed || e->told[i].peer != 0;
        e->told[i].peer = 0;
    }
}

/* --- peers ----------------------------------------------------------------------------------- */

void pv_engine_recall_peer(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    if (p->is_static)
        return;
    bool reached = pv_peer_reach(p) == PV_REACH_PATH;
    if (reached != p->reached) {
        p->reached = reached;
        pv_recall_set_reached(e->recall, p->pk, reached, now);
    }
    if (!reached && p->wanted_at != 0 && now - p->wanted_at < PV_PEER_WANTED_FOR)
        pv_recall_want(e->recall, p->pk, now);
    learn_mapped(e, p);
}

unsigned pv_engine_recall_reached(const struct pv_engine *e)
{
    unsigned n = 0;
    for (const struct pv_peer *p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;)
        n += pv_peer_reach(p) == PV_REACH_PATH ? 1 : 0;
    return n;
}

/* --- knocking -------------------------------------------------------------------------------- */

static void push_knock(struct pv_engine *e, const struct pv_addr *dst, const uint8_t *msg)
{
    struct pv_knock_item *item = e->n_knocks == PV_ENGINE_MAX_KNOCKS ? NULL : malloc(sizeof(*item));
    if (item == NULL)
        return;
    item->next = NULL;
    item->dst = *dst;
    memcpy(item->msg, msg, sizeof(item->msg));
    *e->knocks_tail = item;
    e->knocks_tail = &item->next;
    e->n_knocks++;
}

static void knock(struct pv_engine *e, const struct pv_recall_item *item, pv_ns now)
{
    struct pv_peer *p = pv_engine_peer_by_pk(e, item->pk);
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    char text[PV_ADDR_TEXT];
    if (p == NULL || pv_peer_knock(p, now, msg) != PV_OK)
        return;
    for (size_t i = 0; i < item->n; i++)
        push_knock(e, &item->addrs[i].addr, msg);
    pv_trace_add(&p->trace, now, "no coordinator: handshake to its cached address %s%s",
                 pv_addr_format(&item->addrs[0].addr, text), item->n > 1 ? " and older ones" : "");
    pv_engine_touch(e, p, now);
}

bool pv_engine_recall_transmit(struct pv_engine *e, struct pv_engine_transmit *ret_tx)
{
    struct pv_knock_item *item = e->knocks;
    if (item == NULL)
        return false;
    e->knocks = item->next;
    if (e->knocks == NULL)
        e->knocks_tail = &e->knocks;
    e->n_knocks--;
    *ret_tx = (struct pv_engine_transmit){.dst = item->dst, .len = sizeof(item->msg)};
    memcpy(ret_tx->buf, item->msg, sizeof(item->msg));
    free(item);
    return true;
}

void pv_engine_run_recall(struct pv_engine *e, pv_ns now)
{
    struct pv_recall_item item;
    bool wanted =
        e->node.up && !e->node.removed && pv_node_self(&e->node) != NULL && !pv_enroll_is_guest(e);
    bool away = wanted && !e->node.online;
    if (!away)
        e->away_since_s = 0;
    else if (e->away_since_s == 0)
        e->away_since_s = pv_engine_wall_s(e, now);
    pv_recall_set_on(e->recall, away, now);
    pv_recall_handle_timeout(e->recall, now);
    while (pv_recall_poll_knock(e->recall, now, &item) == PV_OK)
        knock(e, &item, now);
    while (pv_recall_poll_store(e->recall, now, &item) == PV_OK)
        store(e, &item);
    if (e->told_changed) {
        e->told_changed = false;
        pv_engine_gather(e);
        pv_engine_env_changed(e, true, now);
    }
    if (e->can_forward) {
        e->can_forward = false;
        pv_engine_env_changed(e, false, now);
    }
}
