/* SPDX-License-Identifier: MIT */
/* membership.c - the roster's events, the interface, and what up and down, entering and leaving a
 * network mean. */
#include "daemon/core/member/membership.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/member/stored.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/packets/fp_builder.h"
#include "daemon/core/peer/peers.h"

/* --- how the interface shall look ------------------------------------------------------------ */

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

/* Fills i, which is zeroed. dns: the name server listens on the addresses. routes: the allowed-ips
 * of static peers. A prefix that does not fit is left out (PV_IFACE_MAX_PREFIXES). A plain
 * WireGuard node has addresses of its own and no network: its interface is up regardless of what
 * the network does. */
static void iface_fill(struct pv_job_iface *i, const struct pv_node *n, bool dns,
                       const struct pv_prefix *routes, size_t n_routes)
{
    const struct pv_member *self = pv_node_self(n);
    memcpy(i->name, n->given.tun_name, sizeof(i->name));
    i->mtu = n->given.mtu;
    if (self != NULL && !n->removed && n->up) {
        add_addr(i, &self->ip4, pv_roster_network(n->roster)->range.bits);
        add_addr(i, &self->ip6, 64);
        if (dns)
            snprintf(i->zone, sizeof(i->zone), "%s", pv_roster_network(n->roster)->name);
    }
    for (size_t k = 0; k < n->given.n_own_addrs; k++)
        add_addr(i, &n->given.own_addrs[k].base, n->given.own_addrs[k].bits);
    for (size_t k = 0; k < n_routes && i->n_routes < PV_IFACE_MAX_PREFIXES; k++) {
        if (!is_on_link(i, &routes[k]))
            i->routes[i->n_routes++] = routes[k];
    }
}

/* --- made and restored ----------------------------------------------------------------------- */

#define IFACE_RETRY    PV_S(5)    /* ours: until an interface that did not come up is tried again */
#define IFACE_PATIENCE PV_S(3)    /* ours: the coordinator waits no longer for the interface */
#define MEMBER_RETRY   PV_S(1)    /* ours: until members that found no memory are added again */
#define TEARDOWN_AFTER PV_MS(100) /* ours: goodbyes leave before their paths go */

/* Ours: what the coordinator and members can tell again is written together with what comes so soon
 * after it. */
#define SAVE_WITHIN PV_MS(200)

enum {
    SAVE_MANY = 512, /* ours: statements that do not wait for more */
    UPS_MAX = 4,     /* ours: clients of `up` that wait for the interface at once */
};

struct membership {
    struct pv_node *node;
    struct pv_addr ip4; /* this node's */
    bool moved;         /* it is another one than the interface has */
    struct pv_unsaved unsaved;
    bool urgent;               /* some of unsaved must not wait */
    pv_ns save_at;             /* what waits is written then; PV_NEVER */
    size_t writing;            /* jobs that store statements and have not come back */
    struct pv_roster *retired; /* owned: of the network that was left; others may still hold it */
    bool stops;                /* p2pvpnd ends: the node is down by no word of the user */
    bool retired_told;         /* that PV_FACT_NETWORK reached everybody */
    bool news;                 /* statements came or went since the last settling */
    bool dns;                  /* the name server listens: the interface says of which network */
    pv_ns teardown_at;         /* going down: peers are told, then the interface goes; PV_NEVER */
    pv_ns retry_at;            /* the interface did not come up; PV_NEVER */
    pv_ns connect_at;          /* the coordinator is asked then, with or without it; PV_NEVER */
    pv_ns members_at;          /* a member found no memory for its peer; PV_NEVER */
    bool clashed; /* a member came before who had its name or address had given it up */
    enum pv_member_state standing;  /* this node's, when it was looked at last */
    char overlap[PV_JOB_ERROR_MAX]; /* an address here that is in the network's range; "": none */
    struct pv_prefix overlap_net;   /* its range */
    bool overlap_wins;              /* packets to members there leave by that interface */
    uint64_t ups[UPS_MAX];          /* ctl: who is answered when it is up, or not; 0 */
    char iface_problem[PV_JOB_ERROR_MAX]; /* what others did to it; "" = nothing */
};

static struct membership *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_membership);
}

static void statements_stored(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct membership *m = wait->self;
    if (m->writing > 0)
        m->writing--;
    pv_node_stored(m->node, result);
}

/* A statement that could not become a job is written with the whole roster later:
 * node.store.failed. */
static void save(struct membership *m)
{
    if (pv_unsaved_flush(&m->unsaved, m->node, statements_stored, m, 0))
        m->writing++;
    m->urgent = false;
    m->save_at = PV_NEVER;
    pv_coord_save_cursor(m->node); /* behind what it stands for */
}

/* A member more, or another key of one: at the next start the coordinator or any member tells it
 * again. A statement that takes something away, an admin's, and one about this node are not let out
 * of hand. */
static bool may_wait(const struct pv_node *n, const struct pv_statement *st)
{
    return (st->type == PV_ST_MEMBER || st->type == PV_ST_TRANSPORT) &&
           memcmp(pv_st_subject(st), n->identity->sign_pk, PV_SIGN_PK_LEN) != 0;
}

/* Ten thousand that join within a minute are few writes, and not ten thousand. */
static void save_in_time(struct membership *m, pv_ns now)
{
    if (m->unsaved.n == 0)
        return;
    if (m->urgent || m->unsaved.n + m->unsaved.n_later >= SAVE_MANY ||
        !pv_unsaved_postpone(&m->unsaved))
        save(m);
    else
        m->save_at = pv_min_ns(m->save_at, now + SAVE_WITHIN);
}

/* --- the roster's events ---------------------------------------------------------------------- */

/* Identity keys are compared, since names may change hands and addresses may be given anew. */
static bool is_self(const struct pv_node *n, const struct pv_member *m)
{
    return memcmp(m->node, n->identity->sign_pk, sizeof(m->node)) == 0;
}

/* Clients hear of who came after this node did, and not of everybody who was there before. */
static bool is_news(const struct pv_node *n, const struct pv_member *m)
{
    const struct pv_member *self = pv_node_self(n);
    return self != NULL && (m->joined != 0 ? m->joined : m->issued) >=
                               (self->joined != 0 ? self->joined : self->issued);
}

static void tell_member(struct pv_node *n, const char *name, const char *what, const char *fmt, ...)
    PV_PRINTF(4, 5);
static void tell_member(struct pv_node *n, const char *name, const char *what, const char *fmt, ...)
{
    char text[PV_EVENTS_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pv_node_tell(n, &(struct pv_event){.kind = "member", .what = what, .who = name, .text = text},
                 NULL);
}

/* p: as it was known until now; NULL: it was not. */
static void tell_here(struct pv_node *n, const struct pv_member *m, const struct pv_peer *p,
                      bool added)
{
    const char *text = PV_IP_STR(&m->ip4);
    if (added && is_news(n, m))
        tell_member(n, m->name, "joined", "%s joined the network, at %s", m->name, text);
    if (added || p == NULL)
        return;
    if (strcmp(pv_peer_name(p), m->name) != 0)
        tell_member(n, m->name, "renamed", "%s is called %s now", pv_peer_name(p), m->name);
    if (!pv_addr_equal_ip(pv_peer_ip4(p), &m->ip4))
        tell_member(n, m->name, "moved", "%s has the address %s now", m->name, text);
}

/* By the name that it had at last: who is gone has the one again that it joined with. */
static void tell_gone(struct pv_node *n, const struct pv_member *m)
{
    const struct pv_peer *p = pv_peers_by_pk(n->peers, m->node);
    const char *name = p != NULL ? pv_peer_name(p) : m->name;
    if (m->state == PV_MEMBER_EXPIRED)
        tell_member(n, name, "expired", "the membership of %s has expired", name);
    else if (m->state == PV_MEMBER_LEFT)
        tell_member(n, name, "left", "%s left the network", name);
    else
        tell_member(n, name, "removed", "%s was removed from the network", name);
}

/* This node's own record is not a peer: it shows that the node is a member, and under which name.
 */
static void member_here(struct pv_node *n, const struct pv_member *m, bool added, pv_ns now)
{
    pv_node_raise(n, PV_FACT_ROSTER);
    if (is_self(n, m)) {
        memcpy(n->node_name, m->name, sizeof(n->node_name));
        of(n)->moved = of(n)->moved || !pv_addr_equal_ip(&of(n)->ip4, &m->ip4);
        of(n)->ip4 = m->ip4;
        return;
    }
    tell_here(n, m, pv_peers_by_pk(n->peers, m->node), added);
    int r = pv_peers_add_member(n->peers, m, now);
    if (r == PV_ERR_NOMEM)
        of(n)->members_at = now + MEMBER_RETRY;
    of(n)->clashed = of(n)->clashed || r == PV_ERR_EXISTS;
    if (r != PV_OK)
        pv_log(n->log, PV_LOG_WARN, "peer=%s what=\"not added\" why=\"%s\"", m->name,
               pv_strstatus(r));
    else
        pv_log(n->log, PV_LOG_INFO, "peer=%s address=%s what=\"member %s\"", m->name,
               PV_IP_STR(&m->ip4), added ? "added" : "changed");
}

/* Parts forget the member before its peer goes: some of them look at the peer while they do. */
static void tell_member_gone(struct pv_node *n, const uint8_t *pk, pv_ns now)
{
    PV_EACH_PART(n, slot) {
        if (slot->part->on_member_gone != NULL)
            slot->part->on_member_gone(slot->self, pk, now);
    }
}

/* A node that left by its own wish is not told that it was removed. */
static void member_gone(struct pv_node *n, const struct pv_member *m, pv_ns now)
{
    pv_node_raise(n, PV_FACT_ROSTER);
    if (is_self(n, m)) {
        if (m->state == PV_MEMBER_EXPIRED)
            pv_log(n->log, PV_LOG_WARN, "what=\"this node's membership has expired\"");
        else if (m->state != PV_MEMBER_LEFT)
            pv_log(n->log, PV_LOG_WARN, "what=\"this node is no member of the network any more\"");
        return;
    }
    pv_log(n->log, PV_LOG_INFO, "peer=%s what=\"member gone\"", m->name);
    tell_gone(n, m);
    tell_member_gone(n, m->node, now);
    struct pv_peer *p = pv_peers_by_pk(n->peers, m->node);
    if (p != NULL && m->state == PV_MEMBER_LEFT)
        pv_peers_see_off(n->peers, p, now);
    else if (p != NULL)
        pv_peers_drop(n->peers, p, now);
}

/* The meaning of each event of the roster for the store, for peers and for the connection. */
static void take_event(struct membership *m, const struct pv_roster_event *ev, pv_ns now)
{
    switch (ev->type) {
    case PV_ROSTER_EV_STATEMENT:
        pv_unsaved_add(&m->unsaved, m->node, ev->entry);
        m->urgent = m->urgent || !may_wait(m->node, &ev->entry->st);
        m->news = true;
        break;
    case PV_ROSTER_EV_DROPPED:
        pv_unsaved_forget(&m->unsaved, m->node, ev->entry);
        save(m);
        m->news = true;
        break;
    case PV_ROSTER_EV_MEMBER_ADDED:
        member_here(m->node, ev->member, true, now);
        break;
    case PV_ROSTER_EV_MEMBER_CHANGED:
        member_here(m->node, ev->member, false, now);
        break;
    case PV_ROSTER_EV_MEMBER_GONE:
        member_gone(m->node, ev->member, now);
        break;
    case PV_ROSTER_EV_MEMBER_WAITS:
        pv_node_raise(m->node, PV_FACT_ROSTER);
        break;
    case PV_ROSTER_EV_COORDINATORS:
        pv_coord_follow(m->node, pv_roster_coordinators(m->node->roster), now);
        break;
    case PV_ROSTER_EV_REFUSED:
    case PV_ROSTER_EV_BREAK:
        /* Of a claim `status` asks the roster, which knows when it counts. */
        if (ev->type == PV_ROSTER_EV_REFUSED && ev->member != NULL)
            (void)pv_node_log_report(m->node, PV_FROM_STATEMENTS, ev->text, now);
        else
            pv_node_report(m->node, PV_FROM_STATEMENTS, ev->text, now);
        break;
    }
}

static void apply_up(struct membership *m, pv_ns now);
static pv_job_done iface_done;

static void raise_iface(struct membership *m, pv_ns now);

void pv_membership_cursor_moved(struct pv_node *n, pv_ns now)
{
    struct membership *m = of(n);
    m->save_at = pv_min_ns(m->save_at, now + SAVE_WITHIN);
}

bool pv_membership_is_stored(const struct pv_node *n)
{
    const struct membership *m = of(n);
    return m->writing == 0 && m->unsaved.n == 0 && !n->store.failed;
}

/* Once more, now that all have the names and addresses that the roster says. */
static void add_again(struct membership *m, pv_ns now)
{
    const struct pv_node *n = m->node;
    m->clashed = false;
    for (const struct pv_member *x = n->roster == NULL ? NULL : pv_roster_next(n->roster, NULL);
         x != NULL; x = pv_roster_next(n->roster, x)) {
        if (!is_self(n, x) && pv_peers_add_member(n->peers, x, now) == PV_ERR_NOMEM)
            m->members_at = now + MEMBER_RETRY;
    }
}

/* Is this node something else than before? A node that left by its own wish is not told that it was
 * removed. */
static bool look_at_self(struct membership *m)
{
    struct pv_node *n = m->node;
    const struct pv_member *self =
        n->roster == NULL ? NULL : pv_roster_known(n->roster, n->identity->sign_pk);
    enum pv_member_state before = m->standing;
    m->standing = self == NULL ? PV_MEMBER_NONE : self->state;
    if (m->standing == before)
        return false;
    n->removed = m->standing == PV_MEMBER_REVOKED ||
                 (m->standing == PV_MEMBER_NONE && before != PV_MEMBER_LEFT);
    return m->standing != PV_MEMBER_LEFT;
}

static void settle_roster(struct membership *m, pv_ns now)
{
    struct pv_node *n = m->node;
    struct pv_roster_event ev;
    /* All events are taken first: many statements that come together become one job of the store.
     */
    while (n->roster != NULL && pv_roster_poll_event(n->roster, &ev) == PV_OK)
        take_event(m, &ev, now);
    if (m->clashed)
        add_again(m, now);
    if (m->news) {
        pv_node_raise(n, PV_FACT_STATEMENTS);
        pv_rules_look(n, now);
    }
    m->news = false;
    save_in_time(m, now);
    /* The interface has the address of before. */
    if (m->moved && n->iface.state != PV_IFACE_DOWN)
        raise_iface(m, now);
    m->moved = false;
    if (look_at_self(m)) {
        pv_node_raise(n, PV_FACT_UP);
        apply_up(m, now);
    }
}

void pv_membership_settle(struct pv_node *n, pv_ns now)
{
    settle_roster(of(n), now);
}

static const char NEWER[] = "a statement is from a newer p2pvpn: upgrade p2pvpn on this machine";

size_t pv_membership_add(struct pv_node *n, const struct pv_ctl_item *items, size_t n_items,
                         pv_ns now)
{
    size_t refused = 0;
    for (size_t i = 0; n->roster != NULL && i < n_items; i++) {
        enum pv_roster_added added;
        int r = pv_roster_add(n->roster, items[i].statement, items[i].receipt, &added);
        if (r == PV_OK)
            continue;
        refused++;
        /* A sender that is behind the others, as a coordinator that was restored, brings what newer
         * statements have replaced: that is nobody's trouble. */
        if (r == PV_ERR_REPLAY)
            continue;
        if (r == PV_ERR_UNSUPPORTED) {
            (void)pv_node_log_report(n, PV_FROM_STATEMENTS, NEWER, now);
            continue; /* `status` asks the roster */
        }
        const char *text = PV_STR("a statement was refused: %s", pv_strstatus(r));
        /* Want of memory is this machine's trouble, not a sign of a liar: it stays out of the
         * reports. */
        if (r == PV_ERR_NOMEM) {
            pv_log(n->log, PV_LOG_ERROR, "what=\"%s\"", text);
            pv_node_raise(n, PV_FACT_MISSED);
        } else {
            pv_node_report(n, PV_FROM_STATEMENTS, text, now);
        }
    }
    settle_roster(of(n), now);
    return refused;
}

/* --- the interface --------------------------------------------------------------------------- */

static void set_iface(struct pv_node *n, enum pv_iface_state state, const char *error)
{
    n->iface.state = state;
    snprintf(n->iface.error, sizeof(n->iface.error), "%s", error);
    pv_node_raise(n, PV_FACT_INTERFACE);
}

/* Own addresses and the network's ranges decide which packets of the TUN are members' and which are
 * nobody's. A node that was removed has no ranges: nothing of it reaches members any more. */
static int tell_fast_path(struct pv_node *n, const struct pv_job_iface *i)
{
    struct pv_fp_interface f = {.mtu = n->given.mtu};
    for (size_t k = 0; k < i->n_addrs && f.n_own < PV_FP_MAX_OWN; k++)
        f.own[f.n_own++] = i->addrs[k].base;
    if (pv_node_self(n) != NULL) {
        f.nets[0] = pv_roster_network(n->roster)->range;
        f.nets[1] = pv_network_ula(pv_roster_network_id(n->roster));
    }
    int r = pv_fp_builder_set_interface(n->fp, &f);
    if (r != PV_OK)
        pv_log(n->log, PV_LOG_ERROR, "what=\"interface not set\" why=\"%s\"", pv_strstatus(r));
    return r;
}

/* The job of raise_iface(); NULL without memory. */
static struct pv_job *new_iface_job(void)
{
    struct pv_job *job = pv_job_new(PV_JOB_IFACE_UP);
    if (job == NULL)
        return NULL;
    job->u.iface = calloc(1, sizeof(*job->u.iface));
    return job->u.iface != NULL ? job : pv_job_free(job);
}

/* There is no memory: it is tried again, as after an interface that did not come up. */
static void postpone_iface(struct membership *m, pv_ns now)
{
    m->retry_at = now + IFACE_RETRY;
    set_iface(m->node, PV_IFACE_DOWN, "out of memory: it is tried again");
}

static void raise_iface(struct membership *m, pv_ns now)
{
    struct pv_node *n = m->node;
    struct pv_job *job = new_iface_job();
    if (job == NULL) {
        postpone_iface(m, now);
        return;
    }
    struct pv_job_iface *i = job->u.iface;
    size_t n_routes;
    const struct pv_prefix *routes = pv_peers_static_routes(n->peers, &n_routes);
    iface_fill(i, n, m->dns, routes, n_routes);
    /* The fast path knows the addresses before the kernel does: it is ready for the first packet.
     */
    if (tell_fast_path(n, i) == PV_ERR_NOMEM) {
        pv_job_free(job);
        postpone_iface(m, now);
        return;
    }
    n->iface.state = PV_IFACE_RISING;
    pv_node_raise(n, PV_FACT_INTERFACE);
    if (!pv_jobqueue_submit(&n->jobs, job, iface_done, m, 0))
        postpone_iface(m, now);
}

/* The fast path stops first: packets that the kernel still hands over meanwhile go nowhere. */
static void lower_iface(struct membership *m)
{
    struct pv_job *job = pv_job_new(PV_JOB_IFACE_DOWN);
    const struct pv_job_iface none = {.n_addrs = 0};
    set_iface(m->node, PV_IFACE_DOWN, "");
    (void)tell_fast_path(m->node, &none);
    (void)pv_jobqueue_submit(&m->node->jobs, job, NULL, NULL, 0);
}

/* Members reach out for a node as soon as the coordinator shows it to them: what they send then
 * must find the interface, or the first packet of each is lost. */
static void connect_member(struct membership *m, pv_ns now)
{
    struct pv_node *n = m->node;
    m->connect_at = PV_NEVER;
    pv_coord_connect(n, pv_roster_coordinators(n->roster), PV_CTL_MEMBER,
                     pv_roster_network_id(n->roster), now);
}

/* A result that comes after the user said `down` must not make the interface count as up. */
static void iface_done(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct membership *m = wait->self;
    struct pv_node *n = m->node;
    if (n->iface.state != PV_IFACE_RISING)
        return; /* it was taken down meanwhile */
    if (m->connect_at != PV_NEVER)
        connect_member(m, now);
    if (result->status == PV_OK) {
        set_iface(n, PV_IFACE_UP, "");
        pv_log(n->log, PV_LOG_INFO, "what=\"interface up\" name=%s", n->given.tun_name);
        return;
    }
    m->retry_at = now + IFACE_RETRY;
    /* Retries that fail for one and the same reason make one line in the log. */
    if (strcmp(n->iface.error, result->error) != 0)
        pv_log(n->log, PV_LOG_ERROR, "what=\"interface not up\" why=\"%s\"", result->error);
    set_iface(n, PV_IFACE_DOWN, result->error);
}

/* Is an address of another interface in the network's range? The longer prefix takes the packets;
 * of two equal ones ours does, which was there first: else our interface would not be up. */
static void note_overlap(struct membership *m)
{
    const struct pv_node *n = m->node;
    m->overlap[0] = '\0';
    if (n->roster == NULL)
        return;
    const struct pv_prefix nets[2] = {pv_roster_network(n->roster)->range,
                                      pv_network_ula(pv_roster_network_id(n->roster))};
    for (size_t k = 0; k < PV_ARRAY_LEN(nets); k++) {
        const struct pv_link_addr *link = pv_node_link_in(n, &nets[k]);
        if (link == NULL)
            continue;
        m->overlap_net = link->addr;
        m->overlap_wins = link->addr.bits > nets[k].bits;
        snprintf(m->overlap, sizeof(m->overlap), "%s on %s is in this network's range %s: %s",
                 PV_PREFIX_STR(&link->addr), link->ifname, PV_PREFIX_STR(&nets[k]),
                 m->overlap_wins ? "packets to members there go astray"
                                 : "neighbours there are not reached, a router's name server "
                                   "neither");
    }
}

const char *pv_membership_overlap(const struct pv_node *n, struct pv_prefix *ret_range)
{
    const struct membership *m = of(n);
    *ret_range = m->overlap_net;
    return m->overlap_wins ? m->overlap : "";
}

void pv_membership_set_iface_problem(struct pv_node *n, const char *problem)
{
    struct membership *m = of(n);
    snprintf(m->iface_problem, sizeof(m->iface_problem), "%s", problem);
}

/* --- up, down, in, out ------------------------------------------------------------------------ */

static void end_peers(const struct pv_node *n, pv_ns now)
{
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;) {
        pv_peer_goodbye(p, now);
        pv_peers_touch(n->peers, p, now);
    }
}

/* Everything the network had on this machine goes. */
static void tear_down(struct membership *m, pv_ns now)
{
    struct pv_node *n = m->node;
    m->teardown_at = PV_NEVER;
    pv_node_raise(n, PV_FACT_TEARDOWN);
    if (n->given.n_own_addrs > 0)
        raise_iface(m, now); /* of a plain WireGuard node: with its own addresses only */
    else if (n->iface.state != PV_IFACE_DOWN)
        lower_iface(m);
    else
        set_iface(n, PV_IFACE_DOWN, ""); /* what kept it from coming up matters no more */
    end_peers(n, now);
}

/* A peer that hears of it gives up the path at once, instead of after checks without an answer. */
static void say_goodbye(struct pv_node *n, pv_ns now)
{
    for (struct pv_peer *p = NULL; (p = pv_peers_next_node(n->peers, p)) != NULL;) {
        if (pv_peer_can_talk(p, now))
            pv_peers_send(n->peers, p, PV_INBAND_GOODBYE, pv_view(NULL, 0));
    }
}

/* Brings connection and interface in line with what the user wants and what the roster allows. It
 * runs for each change of either, so every step must bear being done twice. */
static void apply_up(struct membership *m, pv_ns now)
{
    struct pv_node *n = m->node;
    m->connect_at = PV_NEVER;
    if (pv_node_takes_part(n)) {
        if (m->teardown_at != PV_NEVER)
            end_peers(n, now); /* they were told goodbye, and wait for another life */
        m->teardown_at = PV_NEVER;
        m->connect_at = now + IFACE_PATIENCE;
        raise_iface(m, now);
        if (n->iface.state != PV_IFACE_RISING)
            connect_member(m, now);
        return;
    }
    if (n->up && n->roster != NULL)
        connect_member(m, now); /* a removed node may be told that it was taken back */
    else
        pv_coord_disconnect(n);
    if (n->iface.state == PV_IFACE_DOWN) {
        tear_down(m, now); /* nothing is up that could carry a word */
        return;
    }
    /* The in-band goodbye needs the path a moment longer. */
    say_goodbye(n, now);
    m->teardown_at = now + TEARDOWN_AFTER;
}

void pv_membership_enter(struct pv_node *n, struct pv_roster *roster, bool up, pv_ns now)
{
    struct membership *m = of(n);
    const struct pv_member *self = pv_roster_known(roster, n->identity->sign_pk);
    n->roster = roster;
    n->up = up;
    m->standing = self == NULL ? PV_MEMBER_NONE : self->state;
    n->removed = m->standing == PV_MEMBER_REVOKED;
    pv_node_raise(n, PV_FACT_NETWORK | PV_FACT_UP);
    /* Its events were told while it was being filled: take what it says now. */
    for (const struct pv_member *x = pv_roster_next(roster, NULL); x != NULL;
         x = pv_roster_next(roster, x))
        member_here(n, x, true, now);
    settle_roster(m, now);
    apply_up(m, now);
}

void pv_membership_leave(struct pv_node *n, pv_ns now)
{
    struct membership *m = of(n);
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;)
        tell_member_gone(n, pv_peer_pk(p), now);
    pv_peers_drop_members(n->peers, now);
    pv_unsaved_clear(&m->unsaved);
    m->urgent = false;
    m->save_at = PV_NEVER;
    pv_coord_forget_cursor(n);
    /* Other parts hold the roster until PV_FACT_NETWORK reaches them. */
    pv_roster_free(m->retired);
    m->retired = n->roster;
    m->retired_told = false;
    n->roster = NULL;
    m->standing = PV_MEMBER_NONE;
    n->removed = false;
    n->reports.n = 0;
    n->coord_info.standing = PV_COORD_NO_COMPLAINT;
    n->coord_info.unknown_since = 0;
    n->coord_info.error[0] = '\0';
    n->coord_info.unserved = false;
    pv_node_raise(n, PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_UP);
    apply_up(m, now);
    tear_down(m, now);
}

/* Is the interface rising for them? Then they are answered when that is over. */
static bool wait_for_iface(struct membership *m, uint64_t handle)
{
    if (!pv_node_takes_part(m->node) || m->node->iface.state != PV_IFACE_RISING)
        return false;
    for (size_t i = 0; i < UPS_MAX; i++) {
        if (m->ups[i] == 0) {
            m->ups[i] = handle;
            return true;
        }
    }
    return false;
}

/* It is tried again, so the message says that the wish holds. */
static void answer_up(struct membership *m, uint64_t handle)
{
    const struct pv_node *n = m->node;
    if (n->up && n->iface.state == PV_IFACE_DOWN && n->iface.error[0] != '\0')
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "up: the interface is not up: %s",
                        n->iface.error);
    else
        pv_ctlsrv_done(n->ctl, handle);
}

static void answer_ups(struct membership *m)
{
    for (size_t i = 0; i < UPS_MAX && m->node->iface.state != PV_IFACE_RISING; i++) {
        if (m->ups[i] != 0)
            answer_up(m, m->ups[i]);
        m->ups[i] = 0;
    }
}

/* The user's word. */
static void store_up(struct pv_node *n)
{
    pv_node_put_meta(n, "up", pv_view(n->up ? "1" : "0", 1));
}

static void set_up(struct membership *m, bool up, uint64_t handle, pv_ns now)
{
    struct pv_node *n = m->node;
    /* Also when it should be up already and is not: what stood in the way may be gone, and what
     * somebody set otherwise, such as `ip link set down`, is set again. */
    if (n->up != up || (up && (n->iface.state == PV_IFACE_DOWN || m->iface_problem[0] != '\0'))) {
        n->up = up;
        pv_node_raise(n, PV_FACT_UP);
        store_up(n);
        apply_up(m, now);
    }
    if (!up)
        pv_ctlsrv_done(n->ctl, handle);
    else if (!wait_for_iface(m, handle))
        answer_up(m, handle);
}

static void run_up(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                   pv_ns now)
{
    set_up(part, true, handle, now);
}

static void run_down(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    set_up(part, false, handle, now);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_UP, PV_NEEDS_NETWORK, run_up},
    {PV_CTLAPI_DOWN, PV_NEEDS_NETWORK, run_down},
};

/* --- life ------------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct membership *m = part;
    m->dns = cfg->dns != PV_DNS_NOBODY;
    m->teardown_at = m->retry_at = m->connect_at = m->members_at = m->save_at = PV_NEVER;
    return PV_OK;
}

static void free_membership(void *part)
{
    struct membership *m = part;
    pv_unsaved_done(&m->unsaved);
    pv_roster_free(m->retired);
    m->node->roster = pv_roster_free(m->node->roster);
}

static const char STRANGER[] = "identity.key is not the one by which this machine joined";
static int restore_membership(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct membership *m = part;
    struct pv_node *n = m->node;
    const struct pv_view up = pv_saved_value(cfg->saved, "up");
    struct pv_roster *roster;
    bool marked;
    /* Only a stored `down` keeps a node down: without a stored wish it is up. */
    n->up = up.len != 1 || up.ptr[0] != '0';
    if (!cfg->saved->has_network) {
        apply_up(m, now);
        return PV_OK;
    }
    int r = pv_stored_load(n, cfg->saved, &roster, &marked);
    if (r == PV_ERR_UNSUPPORTED)
        pv_log(
            n->log, PV_LOG_ERROR,
            "what=\"the stored network is from a newer p2pvpn: upgrade p2pvpn on this machine\"");
    else if (r != PV_OK)
        pv_log(n->log, PV_LOG_ERROR, "what=\"stored network does not verify\" why=\"%s\"",
               pv_strstatus(r));
    if (r != PV_OK)
        return r;
    pv_membership_enter(n, roster, n->up, now);
    /* All that follows, as a coordinator that knows no such member, has this reason. */
    if (pv_node_is_stranger(n))
        pv_log(n->log, PV_LOG_ERROR, "what=\"%s: %s\"", STRANGER, PV_DO_STR(former_identity));
    /* It was stored under another identity: the next start need not verify it again. */
    if (!marked && pv_unsaved_add_all(&m->unsaved, n, roster))
        save(m);
    return PV_OK;
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct membership *m = part;
    if ((facts & (PV_FACT_LINKS | PV_FACT_NETWORK)) != 0)
        note_overlap(m);
    if ((facts & PV_FACT_INTERFACE) != 0)
        answer_ups(m);
    m->retired_told = m->retired_told || (facts & PV_FACT_NETWORK) != 0;
    /* Nobody knows which writes failed, so every statement is written again, and the last word of
     * the user. */
    if ((facts & PV_FACT_STORE) != 0 && m->node->roster != NULL) {
        if (!m->stops)
            store_up(m->node);
        (void)pv_unsaved_add_all(&m->unsaved, m->node, m->node->roster);
        save(m);
    }
}

/* Members hear that this node stops and need not find out by checks without an answer. */
static void on_stop(void *part, pv_ns now)
{
    struct membership *m = part;
    save(m);
    say_goodbye(m->node, now);
    pv_coord_disconnect(m->node);
    m->stops = true;
    m->node->up = false; /* what routers map is given back */
    pv_node_raise(m->node, PV_FACT_UP);
}

/* Facts were delivered to all before: nobody holds the old roster any more. */
static void run_membership(void *part, pv_ns now)
{
    struct membership *m = part;
    if (m->retired_told)
        m->retired = pv_roster_free(m->retired);
}

/* The roster tells of a member once, so those that found no memory then are added by its list. */
static void add_missing(struct membership *m, pv_ns now)
{
    struct pv_node *n = m->node;
    m->members_at = PV_NEVER;
    for (const struct pv_member *x = n->roster == NULL ? NULL : pv_roster_next(n->roster, NULL);
         x != NULL && m->members_at == PV_NEVER; x = pv_roster_next(n->roster, x))
        member_here(n, x, false, now);
    settle_roster(m, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct membership *m = part;
    const struct pv_node *n = m->node;
    if (now >= m->teardown_at)
        tear_down(m, now);
    if (now >= m->members_at)
        add_missing(m, now);
    if (now >= m->save_at)
        save(m);
    if (now >= m->connect_at)
        connect_member(m, now);
    if (now < m->retry_at)
        return;
    /* The fault that kept the interface from coming up may be gone by now, as another program's
     * address. */
    m->retry_at = PV_NEVER;
    if (pv_node_self(n) != NULL && n->up && !n->removed && n->iface.state == PV_IFACE_DOWN &&
        n->iface.error[0] != '\0')
        raise_iface(m, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct membership *m = part;
    pv_ns next = pv_min_ns(pv_min_ns(m->teardown_at, m->retry_at), m->connect_at);
    return pv_min_ns(next, pv_min_ns(m->members_at, m->save_at));
}

/* --- what it says of itself ------------------------------------------------------------------- */

static void show_problems(const struct membership *m, struct pv_statuspage *st)
{
    const struct pv_node *n = m->node;
    /* One line is enough for the interface: each trouble hides those after it. */
    if (n->iface.error[0] != '\0')
        pv_statuspage_problem(st, "the interface is not up: ", n->iface.error);
    else if (n->iface.state == PV_IFACE_UP && m->iface_problem[0] != '\0')
        pv_statuspage_problem(st, m->iface_problem, "");
    else if (m->overlap[0] != '\0' && n->up)
        pv_statuspage_todo(st, PV_STR("%s: ", m->overlap),
                           m->overlap_wins ? PV_DO(other_range) : PV_DO(down_there));
    if (n->removed)
        pv_statuspage_todo(st, "this node was removed from the network: ", PV_DO(join_anew));
    else if (pv_node_is_stranger(n))
        pv_statuspage_todo(st, PV_STR("%s: ", STRANGER), PV_DO(former_identity));
    /* One that was off at the time: one that waits has the part `waiting` for it. */
    else if (pv_node_denied(n) != NULL && !pv_node_waits(n))
        pv_statuspage_todo(st, PV_STR("%s: ", pv_node_denied(n)), PV_DO(ask_if_removed));
}

/* As the roster is now. A member that says much in vain hides no other problem. */
static void show_refused(const struct pv_node *n, struct pv_statuspage *st)
{
    const struct pv_roster_entry *e = NULL;
    char text[PV_ROSTER_REFUSED];
    size_t found = 0;
    while ((e = pv_roster_next_refused(n->roster, e, n->identity->sign_pk, text)) != NULL) {
        if (found++ < PV_NODE_SOURCE_REPORTS)
            pv_statuspage_problem(st, text, "");
    }
    if (found > PV_NODE_SOURCE_REPORTS)
        pv_statuspage_problem(
            st, PV_STR("%zu more like these", found - (size_t)PV_NODE_SOURCE_REPORTS), "");
}

static void show_newer(const struct pv_node *n, struct pv_statuspage *st)
{
    if (pv_roster_saw_newer(n->roster))
        pv_statuspage_problem(st, NEWER, "");
}

/* A node that was removed still shows its network, so that its user sees what it was removed from.
 */
static void show_network(const struct pv_node *n, struct pv_statuspage *st)
{
    const struct pv_member *self = pv_node_self(n);
    struct pv_roster *roster = n->roster;
    pv_roster_head(roster, st->head);
    st->s.network = pv_roster_network(roster)->name;
    st->s.network_id = pv_roster_network_id(roster);
    st->s.cidr = pv_roster_network(roster)->range;
    st->s.ula = pv_network_ula(st->s.network_id);
    st->s.head = st->head;
    st->s.members = (unsigned)pv_roster_count(roster);
    st->s.admin = pv_roster_rights(roster, n->identity->sign_pk) != 0;
    if (self == NULL)
        return;
    st->s.name = self->name;
    st->s.ip4 = self->ip4;
    st->s.ip6 = self->ip6;
    st->s.online += n->up ? 1 : 0; /* the peers count the others */
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct membership *m = part;
    if (m->node->roster != NULL)
        show_network(m->node, st);
    show_problems(m, st);
    if (m->node->roster == NULL)
        return;
    show_newer(m->node, st);
    show_refused(m->node, st);
}

static void put_metrics(void *part, struct pv_metrics *metrics, pv_ns now)
{
    const struct membership *m = part;
    const struct pv_roster *roster = m->node->roster;
    pv_metrics_one(metrics, PV_METRICS_GAUGE, "p2pvpn_members",
                   "Members of the network, this one included.",
                   roster == NULL ? 0 : pv_roster_count(roster));
}

const struct pv_part pv_part_membership = {
    .name = "membership",
    .size = PV_PART_SIZE(struct membership),
    .start = start,
    .free = free_membership,
    .restore = restore_membership,
    .on_facts = on_facts,
    .on_stop = on_stop,
    .run = run_membership,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
    .metrics = put_metrics,
};
