/* SPDX-License-Identifier: MIT */
/* Membership: the roster and what follows from it, the interface, up and down. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"

#define IFACE_RETRY    PV_S(5)    /* ours: until an interface that did not come up is tried again */
#define TEARDOWN_AFTER PV_MS(100) /* ours: goodbyes leave before their paths go */

/* --- the roster's events -----------------------------------------------------------------------
 */

static bool is_self(const struct pv_engine *e, const struct pv_member *m)
{
    return memcmp(m->node, e->node.identity->sign_pk, sizeof(m->node)) == 0;
}

static void member_here(struct pv_engine *e, const struct pv_member *m, bool added, pv_ns now)
{
    pv_node_raise(&e->node, PV_FACT_ROSTER);
    if (is_self(e, m)) {
        e->node.removed = false;
        memcpy(e->node.node_name, m->name, sizeof(e->node.node_name));
        return;
    }
    int r = pv_peers_add_member(e->node.peers, m, now);
    if (r != PV_OK) {
        pv_log(e->node.log, PV_LOG_WARN, "peer=%s what=\"not added\" why=\"%s\"", m->name,
               pv_strstatus(r));
        return;
    }
    pv_log(e->node.log, PV_LOG_INFO, "peer=%s what=\"member %s\"", m->name,
           added ? "added" : "changed");
    if (added && pv_roster_count(e->node.roster) <= PV_ENGINE_SUBSCRIBE_ALL)
        pv_engine_subscribe(e, &m->node, 1);
}

static void member_gone(struct pv_engine *e, const struct pv_member *m, pv_ns now)
{
    pv_node_raise(&e->node, PV_FACT_ROSTER);
    if (is_self(e, m)) {
        if (m->state == PV_MEMBER_REVOKED) {
            e->node.removed = true;
            pv_log(e->node.log, PV_LOG_WARN, "what=\"this node was removed from the network\"");
        }
        return;
    }
    pv_log(e->node.log, PV_LOG_INFO, "peer=%s what=\"member gone\"", m->name);
    pv_engine_member_gone(e, m->node, now);
    struct pv_peer *p = pv_engine_peer_by_pk(e, m->node);
    if (p != NULL)
        pv_peers_drop(e->node.peers, p, now);
}

static void take_event(struct pv_engine *e, const struct pv_roster_event *ev, pv_ns now)
{
    switch (ev->type) {
    case PV_ROSTER_EV_STATEMENT:
        pv_engine_unsaved(e, ev->entry);
        break;
    case PV_ROSTER_EV_MEMBER_ADDED:
        member_here(e, ev->member, true, now);
        break;
    case PV_ROSTER_EV_MEMBER_CHANGED:
        member_here(e, ev->member, false, now);
        break;
    case PV_ROSTER_EV_MEMBER_GONE:
        member_gone(e, ev->member, now);
        break;
    case PV_ROSTER_EV_COORDINATORS:
        break; /* used when the connection is made next */
    case PV_ROSTER_EV_REFUSED:
    case PV_ROSTER_EV_BREAK:
        pv_node_report(&e->node, ev->text, now);
        break;
    }
}

void pv_engine_roster_pump(struct pv_engine *e, pv_ns now)
{
    struct pv_roster_event ev;
    bool was_removed = e->node.removed;
    while (e->node.roster != NULL && pv_roster_poll_event(e->node.roster, &ev) == PV_OK)
        take_event(e, &ev, now);
    if (e->n_unsaved > 0 && !e->node.online)
        pv_rostersync_changed_alone(e->sync, now);
    else if (e->n_unsaved > 0)
        pv_rostersync_changed(e->sync, now);
    pv_engine_flush_unsaved(e, PV_JP_STORE);
    if (e->node.removed != was_removed)
        pv_engine_apply_up(e, now);
}

size_t pv_engine_add_statements(struct pv_engine *e, const struct pv_ctl_item *items, size_t n,
                                pv_ns now)
{
    size_t refused = 0;
    for (size_t i = 0; e->node.roster != NULL && i < n; i++) {
        enum pv_roster_added added;
        int r = pv_roster_add(e->node.roster, items[i].statement, items[i].receipt, &added);
        if (r == PV_OK)
            continue;
        refused++;
        char text[PV_ROSTER_TEXT];
        snprintf(text, sizeof(text), "a statement was refused: %s", pv_strstatus(r));
        if (r == PV_ERR_NOMEM)
            pv_log(e->node.log, PV_LOG_ERROR, "what=\"%s\"", text);
        else
            pv_node_report(&e->node, text, now);
    }
    pv_engine_roster_pump(e, now);
    return refused;
}

/* --- the interface --------------------------------------------------------------------------- */

/* An own address with the length of its range: on-link for the kernel. */
static void add_addr(struct pv_job_iface *i, const struct pv_addr *ip, uint8_t bits)
{
    if (i->n_addrs == PV_IFACE_MAX_PREFIXES)
        return;
    i->addrs[i->n_addrs].base = *ip;
    i->addrs[i->n_addrs].base.port = 0;
    i->addrs[i->n_addrs++].bits = bits;
}

static bool is_on_link(const struct pv_job_iface *i, const struct pv_prefix *route)
{
    for (size_t k = 0; k < i->n_addrs; k++) {
        if (route->bits >= i->addrs[k].bits && pv_prefix_contains(&i->addrs[k], &route->base))
            return true;
    }
    return false;
}

static void fill_iface(struct pv_engine *e, struct pv_job_iface *i)
{
    const struct pv_member *self = pv_node_self(&e->node);
    memcpy(i->name, e->node.tun_name, sizeof(i->name));
    i->mtu = e->node.mtu;
    if (self != NULL && !e->node.removed && e->node.up) {
        add_addr(i, &self->ip4, pv_roster_network(e->node.roster)->range.bits);
        add_addr(i, &self->ip6, 64);
    }
    if (i->n_addrs > 0)
        pv_engine_dns_domains(e, i);
    for (size_t k = 0; k < e->node.n_own_addrs; k++)
        add_addr(i, &e->node.own_addrs[k].base, e->node.own_addrs[k].bits);
    size_t n;
    const struct pv_prefix *routes = pv_peers_static_routes(e->node.peers, &n);
    for (size_t k = 0; k < n && i->n_routes < PV_IFACE_MAX_PREFIXES; k++) {
        if (!is_on_link(i, &routes[k]))
            i->routes[i->n_routes++] = routes[k];
    }
}

static void tell_fast_path(struct pv_engine *e, const struct pv_job_iface *i)
{
    struct pv_fp_interface f = {.mtu = e->node.mtu};
    for (size_t k = 0; k < i->n_addrs && f.n_own < PV_FP_MAX_OWN; k++)
        f.own[f.n_own++] = i->addrs[k].base;
    if (pv_node_self(&e->node) != NULL) {
        f.nets[0] = pv_roster_network(e->node.roster)->range;
        f.nets[1] = pv_network_ula(pv_roster_network_id(e->node.roster));
    }
    int r = pv_fp_builder_set_interface(e->fp, &f);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_ERROR, "what=\"interface not set\" why=\"%s\"", pv_strstatus(r));
}

static void raise_iface(struct pv_engine *e)
{
    struct pv_job *job = pv_job_new(PV_JOB_IFACE_UP);
    struct pv_job_iface *i = calloc(1, sizeof(*i));
    if (job == NULL || i == NULL) {
        free(i);
        pv_job_free(job);
        return;
    }
    fill_iface(e, i);
    tell_fast_path(e, i);
    job->u.iface = i;
    e->node.iface = PV_IFACE_RISING;
    pv_node_raise(&e->node, PV_FACT_INTERFACE);
    pv_engine_job(e, job, PV_JP_IFACE_UP, 0);
}

static void lower_iface(struct pv_engine *e)
{
    struct pv_job *job = pv_job_new(PV_JOB_IFACE_DOWN);
    const struct pv_job_iface none = {.n_addrs = 0};
    e->node.iface = PV_IFACE_DOWN;
    pv_node_raise(&e->node, PV_FACT_INTERFACE);
    e->iface_error[0] = '\0';
    tell_fast_path(e, &none);
    if (job != NULL)
        pv_engine_job(e, job, PV_JP_IFACE_DOWN, 0);
}

void pv_engine_iface_result(struct pv_engine *e, const struct pv_job_result *result, pv_ns now)
{
    if (e->node.iface != PV_IFACE_RISING)
        return;
    if (result->status == PV_OK) {
        e->node.iface = PV_IFACE_UP;
        pv_node_raise(&e->node, PV_FACT_INTERFACE);
        e->iface_error[0] = '\0';
        pv_log(e->node.log, PV_LOG_INFO, "what=\"interface up\" name=%s", e->node.tun_name);
        pv_enroll_iface_done(e, NULL, now);
        return;
    }
    e->node.iface = PV_IFACE_DOWN;
    e->iface_retry_at = now + IFACE_RETRY;
    if (strcmp(e->iface_error, result->error) != 0)
        pv_log(e->node.log, PV_LOG_ERROR, "what=\"interface not up\" why=\"%s\"", result->error);
    memcpy(e->iface_error, result->error, sizeof(e->iface_error));
    pv_enroll_iface_done(e, result->error, now);
}

void pv_engine_note_overlap(struct pv_engine *e, const struct pv_link_addr *links, size_t n)
{
    char range[PV_ADDR_TEXT], other[PV_ADDR_TEXT];
    struct pv_prefix nets[2];
    e->overlap[0] = '\0';
    if (e->node.roster == NULL)
        return;
    nets[0] = pv_roster_network(e->node.roster)->range;
    nets[1] = pv_network_ula(pv_roster_network_id(e->node.roster));
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; links[i].up && k < PV_ARRAY_LEN(nets); k++) {
            if (!pv_prefix_overlaps(&links[i].addr, &nets[k]))
                continue;
            e->overlap_net = links[i].addr;
            snprintf(e->overlap, sizeof(e->overlap),
                     "%s on %s is in this network's range %s: packets to members there go "
                     "astray: remove it, or move to a network with another range (create "
                     "--cidr)",
                     pv_prefix_format(&links[i].addr, other), links[i].ifname,
                     pv_prefix_format(&nets[k], range));
        }
    }
}

/* What stood in its way may be gone. */
static void retry_iface(struct pv_engine *e, pv_ns now)
{
    if (now < e->iface_retry_at)
        return;
    e->iface_retry_at = PV_NEVER;
    if (pv_node_self(&e->node) != NULL && e->node.up && !e->node.removed &&
        e->node.iface == PV_IFACE_DOWN && e->iface_error[0] != '\0')
        raise_iface(e);
}

/* --- up, down, in, out -------------------------------------------------------------------------
 */

/* Everything the network had on this machine goes. */
static void tear_down(struct pv_engine *e, pv_ns now)
{
    struct pv_peer *p;
    e->teardown_at = PV_NEVER;
    pv_node_raise(&e->node, PV_FACT_TEARDOWN);
    if (e->node.n_own_addrs > 0)
        raise_iface(e);
    else if (e->node.iface != PV_IFACE_DOWN)
        lower_iface(e);
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        pv_peer_goodbye(p, now);
        pv_engine_touch(e, p, now);
    }
}

void pv_engine_apply_up(struct pv_engine *e, pv_ns now)
{
    if (e->node.up && e->node.roster != NULL) {
        /* A removed node stays in touch: it may be told that it was taken back. */
        pv_engine_connect(e, pv_roster_coordinators(e->node.roster), PV_CTL_MEMBER,
                          pv_roster_network_id(e->node.roster), now);
    } else {
        pv_engine_disconnect(e, now);
        e->env.signalling = false;
    }
    if (e->node.up && !e->node.removed && pv_node_self(&e->node) != NULL) {
        e->teardown_at = PV_NEVER;
        raise_iface(e);
        return;
    }
    if (e->node.iface == PV_IFACE_DOWN) {
        tear_down(e, now); /* nothing is up that could carry a word */
        return;
    }
    /* What is said in-band needs the path a moment longer. */
    pv_engine_say_goodbye(e, now);
    e->teardown_at = now + TEARDOWN_AFTER;
}

void pv_engine_run_iface(struct pv_engine *e, pv_ns now)
{
    if (e->teardown_at != PV_NEVER && now >= e->teardown_at)
        tear_down(e, now);
    retry_iface(e, now);
}

void pv_engine_enter(struct pv_engine *e, struct pv_roster *roster, bool up, pv_ns now)
{
    e->node.roster = roster;
    pv_rostersync_set_roster(e->sync, roster);
    pv_node_raise(&e->node, PV_FACT_NETWORK);
    e->node.up = up;
    e->node.removed = false;
    /* Its events were told while it was being filled: take what it says now. */
    for (const struct pv_member *m = pv_roster_next(roster, NULL); m != NULL;
         m = pv_roster_next(roster, m))
        member_here(e, m, true, now);
    pv_engine_roster_pump(e, now);
    pv_engine_apply_up(e, now);
}

void pv_engine_leave(struct pv_engine *e, pv_ns now)
{
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        pv_engine_member_gone(e, p->pk, now);
    }
    pv_peers_drop_members(e->node.peers, now);
    pv_node_raise(&e->node, PV_FACT_NETWORK);
    e->n_unsaved = 0;
    pv_rostersync_set_roster(e->sync, NULL);
    e->node.roster = pv_roster_free(e->node.roster);
    pv_node_raise(&e->node, PV_FACT_ROSTER);
    e->cursor = (struct pv_ctl_cursor){0};
    e->relisted = false;
    e->node.removed = false;
    e->unknown = false;
    e->node.n_reports = 0;
    e->coord_error[0] = '\0';
    pv_engine_apply_up(e, now);
    tear_down(e, now);
}
