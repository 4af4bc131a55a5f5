/* SPDX-License-Identifier: MIT */
/* info.c - gathers what the parts say of themselves into answers and into metrics. */
#include "daemon/core/client/info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/lan/lan.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/apphooks.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/route/phonewatch.h"
#include "daemon/core/terms/waiting.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

enum {
    MAX_ASKING = 16, /* ours: more clients at once are told what is known here */
};

struct info {
    struct pv_node *node;
    const char *sandbox;                /* borrowed; NULL: nothing was told */
    const char *stack, *stack_why;      /* as config.h has them */
    unsigned stack_restarts;            /* of lwIP's process */
    const char *directory;              /* the same */
    struct pv_datapath_counts datapath; /* as the shell told it last */
    struct pv_metrics_process process;
    uint64_t asking[MAX_ASKING]; /* clients of `peers` that wait for the coordinator's list */
    size_t n_asking;
    uint64_t held[MAX_ASKING]; /* clients of `peers` that wait for gateways of phones */
    size_t n_held;
    pv_ns held_until;
    uint64_t reload;  /* ours: the client whose reload the shell has not answered; 0: none */
    bool reload_told; /* to the shell */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct info *x = part;
    x->sandbox = cfg->sandbox;
    x->node->faults = cfg->faults;
    x->stack = cfg->stack;
    x->stack_why = cfg->stack_why;
    x->directory = cfg->directory;
    return PV_OK;
}

void pv_info_set_datapath(struct pv_node *n, const struct pv_datapath_counts *datapath)
{
    struct info *x = pv_node_part(n, &pv_part_info);
    x->datapath = *datapath;
}

void pv_info_set_process(struct pv_node *n, const struct pv_metrics_process *process)
{
    struct info *x = pv_node_part(n, &pv_part_info);
    x->process = *process;
}

void pv_info_set_stack_restarts(struct pv_node *n, unsigned restarts)
{
    struct info *x = pv_node_part(n, &pv_part_info);
    x->stack_restarts = restarts;
}

/* --- this part's own share -------------------------------------------------------------------- */

/* The word that sums a node up. */
static const char *state_name(const struct pv_node *n)
{
    if (n->roster == NULL)
        return pv_peers_count_statics(n->peers) > 0 ? "static" : "none";
    if (n->removed || pv_node_denied(n) != NULL)
        return "removed";
    const struct pv_member *self = pv_roster_enrolled(n->roster, n->identity->sign_pk);
    if (self != NULL && self->state == PV_MEMBER_EXPIRED)
        return "expired";
    if (self != NULL && self->state == PV_MEMBER_WAITING)
        return "waiting";
    if (!n->up)
        return "down";
    return n->iface.state == PV_IFACE_UP && n->online ? "up" : "connecting";
}

/* Packets are counted by threads that know no parts: their figures come from the shell, a little
 * older than the rest of the page. */
static void show_datapath(const struct pv_datapath_counts *d, struct pv_statuspage *st)
{
    json_t *off = json_array();
    /* A feature that is off says why, so that a slow node needs no second look at its kernel. */
    for (size_t i = 0; i < d->n_off; i++)
        pv_ctlapi_put(&off, NULL,
                      pv_ctlapi_pack("{s:s, s:s}", "what", d->off[i].what, "why", d->off[i].why));
    json_t *ns = json_array();
    for (int i = 0; i < PV_SUITES && d->aead_ns[i] != 0; i++)
        pv_ctlapi_put(&ns, NULL,
                      pv_ctlapi_pack("{s:s, s:i}", "suite", pv_suite_name((enum pv_suite)i), "ns",
                                     (int)d->aead_ns[i]));
    json_t *shown =
        pv_ctlapi_pack("{s:i, s:i, s:s?, s:o, s:b, s:b, s:o}", "workers", (int)d->workers,
                       "threads", (int)d->threads, "aead", d->aead, "aead_ns", ns, "tcp_offload",
                       d->tcp_offload, "udp_offload", d->udp_offload, "off", off);
    if (d->workers > 0)
        pv_statuspage_put(st, PV_STATUS_DATAPATH, shown);
    else
        json_decref(shown);
    /* Of all packets, also packets of nobody and of former peers. */
    for (unsigned r = 0; r < PV_FP_DROP_REASONS; r++)
        pv_statuspage_drop(st, pv_fp_drop_name((enum pv_fp_drop)r), d->drops[r]);
    pv_statuspage_drop(st, "not-received", d->udp_not_received);
    pv_statuspage_drop(st, "not-sent", d->udp_failed);
    pv_statuspage_drop(st, "not-written", d->tun_failed);
    pv_statuspage_drop(st, "not-handled", d->punts_lost);
    pv_statuspage_drop(st, "not-injected", d->injects_lost);
    pv_statuspage_drop(st, "not-relayed", d->not_relayed);
}

/* Any user of this machine can take a port while the daemon is off. An interface without IPv6 has
 * no address to listen at. The family is named where the other one works. */
static void show_closed_port(const struct pv_node *n, const char *what, int port,
                             const int errors[static 2], struct pv_statuspage *st)
{
    const int of[2] = {errors[0], n->iface.ip6 == PV_IFACE_NO_IP6 ? 0 : errors[1]};
    const int error = of[0] != 0 ? of[0] : of[1];
    const char *family = of[0] == of[1] ? "" : of[0] != 0 ? " over IPv4" : " over IPv6";
    if (error == PV_ERR_EXISTS)
        pv_statuspage_minor_todo(
            st, PV_STR("no %s come in%s: another program listens at port %d", what, family, port),
            PV_DO(end_listener));
    else if (error < 0)
        pv_statuspage_minor(st,
                            PV_STR("no %s come in%s: listening at port %d: %s (it is tried again)",
                                   what, family, port, pv_strstatus(error)),
                            "");
}

/* Shows the features that are off because of what their settings name. */
static void show_faults(const struct pv_faults *faults, struct pv_statuspage *st)
{
    for (size_t i = 0; faults != NULL && i < faults->n; i++) {
        const struct pv_fault *f = &faults->list[i];
        const char *text = PV_STR("%s is off: %s; ", f->what, f->why);
        const struct pv_remedy todo = f->restart ? PV_DO(mend_and_restart) : PV_DO(mend_and_reload);
        if (f->minor)
            pv_statuspage_minor_todo(st, text, todo);
        else
            pv_statuspage_todo(st, text, todo);
    }
    if (faults != NULL && faults->more > 0)
        pv_statuspage_todo(st, PV_STR("%zu more [peer] are off; ", faults->more),
                           PV_DO(mend_and_restart));
}

/* Fills in the name, the addresses and the interface of this node, and counts members. */
static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct info *x = part;
    const struct pv_node *n = x->node;
    st->s.state = state_name(n);
    st->s.uptime_s = (now - n->given.started) / PV_S(1);
    st->s.key = n->identity->sign_pk;
    st->s.wg_key = n->identity->dh_pk;
    st->s.interface = n->iface.state == PV_IFACE_UP ? n->given.tun_name : NULL;
    st->s.mtu = n->given.mtu;
    st->s.udp_port = n->given.udp_port;
    st->s.sandbox = x->sandbox;
    st->s.inside = n->given.inside;
    st->s.stack = x->stack;
    st->s.stack_why = x->stack_why != NULL && x->stack_why[0] != '\0' ? x->stack_why : NULL;
    st->s.stack_restarts = x->stack_restarts;
    st->s.directory = x->directory != NULL && x->directory[0] != '\0' ? x->directory : NULL;
    show_faults(n->faults, st);
    show_datapath(&x->datapath, st);
    show_closed_port(n, "messages", PV_PORTS_CHAT, x->datapath.no_app[0], st);
    show_closed_port(n, "files", PV_PORTS_FILES, x->datapath.no_app[1], st);
    for (size_t i = 0; i < n->reports.n; i++) {
        char more[48] = "";
        if (n->reports.list[i].more > 0)
            snprintf(more, sizeof(more), " (and %" PRIu64 " more)", n->reports.list[i].more);
        pv_statuspage_problem(st, n->reports.list[i].text, more);
    }
}

static void gauge(struct pv_metrics *m, const char *name, const char *help, double value)
{
    pv_metrics_family(m, PV_METRICS_GAUGE, name, help);
    pv_metrics_real(m, value, NULL);
}

/* Words such as the cipher's name are labels of a sample that is always 1: samples are numbers
 * only, and dashboards join them by label. */
static void put_datapath(const struct pv_datapath_counts *d, struct pv_metrics *m)
{
    gauge(m, "p2pvpn_workers", "Pairs of threads, or one thread, that carry packets.", d->workers);
    gauge(m, "p2pvpn_threads", "Threads that carry packets.", d->threads);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_datapath_info",
                      "The library that seals packets, and the runs that the kernel takes.");
    if (d->workers > 0)
        pv_metrics_count(m, 1, "aead", d->aead, "tcp_offload", d->tcp_offload ? "yes" : "no",
                         "udp_offload", d->udp_offload ? "yes" : "no", NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_fallback_info",
                      "Features that are not used, and why.");
    for (size_t i = 0; i < d->n_off; i++)
        pv_metrics_count(m, 1, "what", d->off[i].what, "why", d->off[i].why, NULL);
}

/* --- gathering -------------------------------------------------------------------------------- */

struct pv_statuspage *pv_info_page(const struct pv_node *n, pv_ns now)
{
    struct pv_statuspage *st = calloc(1, sizeof(*st));
    if (st == NULL)
        return NULL;
    /* These mean "not known", should no part say more. */
    st->s.coordinator_rtt_ms = -1;
    PV_EACH_PART(n, slot) {
        if (slot->part->status != NULL)
            slot->part->status(slot->self, st, now);
    }
    return st;
}

/* Numbers that only the whole page has. */
static void put_page(const struct pv_statuspage *st, struct pv_metrics *m)
{
    gauge(m, "p2pvpn_up", "1: the network is up, as status says, or only static peers are wanted.",
          strcmp(st->s.state, "up") == 0 || strcmp(st->s.state, "static") == 0);
    gauge(m, "p2pvpn_problems", "Problems that status names.", (double)st->n_problems);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_drops_total",
                      "Packets and messages thrown away, by reason.");
    /* Also those at 0: a rate needs the zero before the first. */
    for (size_t i = 0; i < st->n_drops; i++)
        pv_metrics_count(m, st->drops[i].count, "reason", st->drops[i].reason, NULL);
}

int pv_info_metrics(struct pv_node *n, pv_ns now, char **ret_text, size_t *ret_len)
{
    struct info *x = pv_node_part(n, &pv_part_info);
    struct pv_metrics m;
    struct pv_statuspage *st = pv_info_page(x->node, now);
    if (st == NULL)
        return PV_ERR_NOMEM;
    pv_metrics_init(&m);
    pv_metrics_family(&m, PV_METRICS_GAUGE, "p2pvpn_build_info", "The version that runs.");
    pv_metrics_count(&m, 1, "version", PV_VERSION, NULL);
    put_page(st, &m);
    pv_statuspage_free(st);
    put_datapath(&x->datapath, &m);
    PV_EACH_PART(n, slot) {
        if (slot->part->metrics != NULL)
            slot->part->metrics(slot->self, &m, now);
    }
    pv_metrics_process(&m, "p2pvpn", &x->process);
    return pv_metrics_take(&m, ret_text, ret_len);
}

/* --- commands --------------------------------------------------------------------------------- */

static void do_version(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct info *x = part;
    pv_ctlsrv_answer(x->node->ctl, handle, pv_ctlapi_pack("{s:s}", "version", PV_VERSION));
}

/* The answer lacks counts rather than coming late: people ask for the status exactly when
 * things fail. */
static void answer_status(void *self, uint64_t handle, const struct pv_app_counts *counts,
                          pv_ns now)
{
    struct info *x = self;
    struct pv_statuspage *st = pv_info_page(x->node, now);
    if (st != NULL && counts != NULL) {
        st->s.unread = counts->unread;
        st->s.queued = counts->queued;
    }
    pv_ctlsrv_answer(x->node->ctl, handle, st == NULL ? NULL : pv_statuspage_json(st));
    pv_statuspage_free(st);
}

/* Chat's store counts messages; all else is known here, and said when it has answered. */
static void do_status(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    struct info *x = part;
    if (x->node->app_hooks == NULL)
        answer_status(x, handle, NULL, now);
    else if (!x->node->app_hooks->count(x->node, answer_status, x, handle, now))
        pv_ctlsrv_fail(x->node->ctl, handle, PV_CTLAPI_FAILED, "status: out of memory");
}

/* The groups that its programs want on the LAN, by its word. */
static void show_groups(const struct pv_node *n, const struct pv_peer *p,
                        struct pv_addr ret_groups[static PV_GROUPTELL_MAX],
                        struct pv_ctlapi_peer *shown)
{
    const struct pv_groupsync_known k = pv_lan_known(n, p);
    shown->groups = ret_groups;
    shown->n_groups = k.n;
    for (size_t i = 0; i < k.n; i++)
        ret_groups[i] = pv_group_addr(&k.groups[i]);
}

/* The tags of a node, for as long as the rules stay. NULL: it has none, or there is no memory. */
static const char **take_tags(const struct pv_node *n, const uint8_t *node, size_t *ret_n)
{
    const struct pv_policy *p = pv_rules_policy(n);
    const char *tag, **tags = NULL;
    *ret_n = 0;
    while (p != NULL && (tag = pv_policy_tag_of(p, node, *ret_n)) != NULL) {
        const char **more = reallocarray(tags, *ret_n + 1, sizeof(*tags));
        if (more == NULL)
            break;
        tags = more;
        tags[(*ret_n)++] = tag;
    }
    return tags;
}

static void add_with_tags(const struct pv_node *n, json_t **list, struct pv_ctlapi_peer *shown)
{
    const char **tags = NULL;
    if (shown->key != NULL)
        tags = take_tags(n, shown->key, &shown->n_tags);
    shown->tags = tags;
    pv_ctlapi_put(list, "peers", pv_ctlapi_peer_json(shown));
    free(tags);
}

/* A peer as clients see it; of one whose name or address changed hands they are told. */
static void add_peer(const struct pv_node *n, json_t **list, struct pv_peer *p, pv_ns now)
{
    struct pv_ctlapi_peer shown;
    pv_peer_show(p, &shown, now);
    /* Paths and keys outlive `down`, but nothing goes over them. */
    if (!n->up && !pv_peer_is_static(p)) {
        shown.online = false;
        shown.path = (struct pv_ctlapi_path){.type = PV_CTLAPI_PATH_NONE, .rtt_ms = -1, .loss = -1};
    }
    struct pv_addr groups[PV_GROUPTELL_MAX];
    show_groups(n, p, groups, &shown);
    struct pv_roster_former former, had_ip4;
    const struct pv_member *m = !pv_peer_is_member(p) || n->roster == NULL
                                    ? NULL
                                    : pv_roster_by_node(n->roster, pv_peer_pk(p));
    const struct pv_member *by = m == NULL ? NULL : pv_roster_gateway(n->roster, m);
    const uint8_t *lost = m == NULL ? NULL : pv_roster_lost_gateway(n->roster, m);
    shown.gateway = by != NULL ? by->name : lost != NULL ? PV_WHO_STR(n, lost) : NULL;
    shown.admin = m != NULL && m->rights != 0;
    shown.standing = "member";
    shown.expires_s = m != NULL ? m->expires : 0;
    shown.former = NULL;
    if (m != NULL && pv_roster_former(n->roster, m, &former) == PV_OK) {
        shown.former = former.node;
        shown.another_since_s = former.since;
    }
    shown.ip4_former = NULL;
    if (m != NULL && pv_roster_former_ip4(n->roster, m, &had_ip4) == PV_OK) {
        shown.ip4_former = had_ip4.node;
        shown.ip4_since_s = had_ip4.since;
    }
    add_with_tags(n, list, &shown);
}

/* One that was a member and may be one again; or one that waits to be admitted, of which an admin
 * is told where it asks from. */
static void add_aside(const struct pv_node *n, json_t **list, const struct pv_member *m)
{
    bool waits = m->state == PV_MEMBER_WAITING;
    struct pv_ctlapi_peer shown = {
        .name = m->name,
        .standing = waits ? "waiting" : "expired",
        .asks_from = waits ? pv_waiting_from(n, m->node) : NULL,
        .ip4 = m->ip4,
        .ip6 = m->ip6,
        .key = m->node,
        .wg_key = m->transport,
        .admin = m->rights != 0,
        .expires_s = waits ? 0 : m->expires,
        .path = {.type = PV_CTLAPI_PATH_NONE, .rtt_ms = -1, .loss = -1},
    };
    add_with_tags(n, list, &shown);
}

/* Without the coordinator the list is complete and may be out of date: the code tells clients so.
 */
static void answer_peers(struct pv_node *n, uint64_t handle, pv_ns now)
{
    json_t *list = pv_ctlapi_list("peers");
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;)
        add_peer(n, &list, p, now);
    for (p = NULL; (p = pv_peers_next_static(n->peers, p)) != NULL;)
        add_peer(n, &list, p, now);
    for (const struct pv_member *m = n->roster == NULL ? NULL
                                                       : pv_roster_next_aside(n->roster, NULL);
         m != NULL; m = pv_roster_next_aside(n->roster, m))
        add_aside(n, &list, m);
    if (n->roster != NULL && !n->online) /* what is shown is what was known */
        pv_jsonline_set(&list, "code", json_integer(PV_CTLAPI_UNREACHABLE));
    pv_ctlsrv_answer(n->ctl, handle, list);
}

/* The list has last handshakes of phones, which their gateways know. */
static void finish_peers(struct info *x, uint64_t handle, pv_ns now)
{
    pv_phonewatch_ask(x->node, now);
    if (x->n_held == MAX_ASKING || !pv_phonewatch_is_asking(x->node, now)) {
        answer_peers(x->node, handle, now);
        return;
    }
    x->held_until = x->n_held == 0 ? now + PV_PHONEWATCH_PATIENCE : x->held_until;
    x->held[x->n_held++] = handle;
}

static void run(void *part, pv_ns now)
{
    struct info *x = part;
    if (x->n_held > 0 && (now >= x->held_until || !pv_phonewatch_is_asking(x->node, now))) {
        while (x->n_held > 0)
            answer_peers(x->node, x->held[--x->n_held], now);
    }
}

static void do_peers(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct info *x = part;
    struct pv_node *n = x->node;
    struct pv_ctl_msg msg = {.type = PV_CTL_LIST};
    if (pv_peers_count_statics(n->peers) == 0 && !pv_node_need_network(n, "peers", handle))
        return;
    /* In a small network the coordinator tells everybody's presence of its own accord. */
    bool known = n->roster == NULL || pv_roster_count(n->roster) <= PV_PRESENCE_ALL;
    if (known || !n->online || x->n_asking == MAX_ASKING ||
        pv_coord_ask(n, &pv_part_info, &msg, handle) != PV_OK)
        finish_peers(x, handle, now);
    else
        x->asking[x->n_asking++] = handle;
}

/* Returns false if nobody waits under this handle. */
static bool stop_asking(struct info *x, uint64_t handle)
{
    for (size_t i = 0; i < x->n_asking; i++) {
        if (x->asking[i] == handle) {
            x->asking[i] = x->asking[--x->n_asking];
            return true;
        }
    }
    return false;
}

static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct info *x = part;
    (void)stop_asking(x, handle);
    for (size_t i = x->n_held; i-- > 0;) {
        if (x->held[i] == handle)
            x->held[i] = x->held[--x->n_held];
    }
}

/* A coordinator that has gone answers nothing, so the answer is made of what is known. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct info *x = part;
    while ((facts & PV_FACT_OFFLINE) != 0 && x->n_asking > 0)
        finish_peers(x, x->asking[--x->n_asking], now);
}

/* The coordinator lists presence page by page, and its client is answered after the last one: a
 * list that is half known would show members as offline that are there. */
static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct info *x = part;
    bool waits = stop_asking(x, tag);
    if (msg->type == PV_CTL_PRESENCE) {
        const struct pv_ctl_presences *list = &msg->u.presence;
        pv_presence_take(x->node, list, now);
        /* An empty page that promises more would be asked for for ever. */
        if (list->more && list->n > 0 && waits) {
            struct pv_ctl_msg next = {.type = PV_CTL_LIST};
            next.u.list.has_after = true;
            memcpy(next.u.list.after, list->nodes[list->n - 1].node, sizeof(next.u.list.after));
            if (pv_coord_ask(x->node, &pv_part_info, &next, tag) == PV_OK) {
                x->asking[x->n_asking++] = tag; /* its place is free since this call began */
                return;
            }
        }
    }
    if (waits)
        finish_peers(x, tag, now);
}

static void answer_ip(const struct info *x, const struct pv_addr *ip4, const struct pv_addr *ip6,
                      const uint8_t *wg_key, uint64_t handle)
{
    pv_ctlsrv_answer(x->node->ctl, handle,
                     pv_ctlapi_pack("{s:o, s:o, s:s}", "ip4", pv_ctlapi_ip(ip4), "ip6",
                                    pv_ctlapi_ip(ip6), "wg_key", PV_WGKEY_STR(wg_key)));
}

/* A plain WireGuard node has no member's address, so it tells the first that its configuration
 * gives the interface. */
static void do_ip(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                  pv_ns now)
{
    struct info *x = part;
    struct pv_node *n = x->node;
    const struct pv_member *self = pv_node_self(n);
    const struct pv_addr none = {.family = PV_AF_NONE};
    if (req->peer[0] != '\0' && !pv_node_is_self(n, req->peer)) {
        p = pv_peer_need(n, req->peer, "ip", PV_NEEDS_PEER, handle);
        if (p != NULL)
            answer_ip(x, pv_peer_ip4(p), pv_peer_ip6(p), pv_peer_transport(p), handle);
    } else if (self != NULL) {
        answer_ip(x, &self->ip4, &self->ip6, n->identity->dh_pk, handle);
    } else if (n->given.n_own_addrs > 0) {
        answer_ip(x, &n->given.own_addrs[0].base, &none, n->identity->dh_pk, handle);
    } else {
        (void)pv_node_need_network(n, "ip", handle);
    }
}

/* Only the level of the running daemon changes: the next start takes the configured one again. */
static void do_log(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                   pv_ns now)
{
    struct info *x = part;
    enum pv_log_level level;
    if (pv_log_level_parse(req->u.log.level, &level) != PV_OK) {
        pv_ctlsrv_fail(x->node->ctl, handle, PV_CTLAPI_USAGE,
                       "log: no such level: use error, warn, info or debug");
        return;
    }
    x->node->given.log.level = level;
    pv_ctlsrv_done(x->node->ctl, handle);
}

/* The settings are the shell's. It may end this engine for new ones, after the answer. */
static void do_reload(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    struct info *x = part;
    if (x->reload != 0) {
        pv_ctlsrv_fail(x->node->ctl, handle, PV_CTLAPI_FAILED,
                       "reload: another one is under way: try again");
        return;
    }
    x->reload = handle;
    x->reload_told = false;
}

int pv_info_take_reload(struct pv_node *n)
{
    struct info *x = pv_node_part(n, &pv_part_info);
    if (x->reload == 0 || x->reload_told)
        return PV_ERR_AGAIN;
    x->reload_told = true;
    return PV_OK;
}

/* A daemon that ends reads no settings again: it would begin anew. */
static void on_stop(void *part, pv_ns now)
{
    struct info *x = part;
    x->reload_told = true;
}

/* "KEY, KEY" as a list. */
static json_t *words_json(const char *list)
{
    json_t *words = json_array();
    while (words != NULL && *list != '\0') {
        size_t len = strcspn(list, ",");
        pv_ctlapi_put(&words, NULL, json_stringn(list, len));
        list += len;
        list += strspn(list, ", ");
    }
    return words;
}

void pv_info_reloaded(struct pv_node *n, const struct pv_engine_reloaded *done)
{
    struct info *x = pv_node_part(n, &pv_part_info);
    uint64_t handle = x->reload;
    x->reload = 0;
    if (done->error != NULL) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "reload: nothing is changed: %s",
                        done->error);
        return;
    }
    pv_ctlsrv_answer(n->ctl, handle,
                     pv_ctlapi_pack("{s:i, s:s, s:b, s:o, s:o}", "version", PV_CTLAPI_FORMAT,
                                    "file", done->file, "no_file", done->no_file, "changed",
                                    words_json(done->changed), "restart",
                                    words_json(done->waiting)));
}

static void do_metrics(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct info *x = part;
    char *text = NULL;
    size_t len = 0;
    json_t *body = NULL;
    if (pv_info_metrics(x->node, now, &text, &len) == PV_OK)
        body = pv_ctlapi_pack("{s:i, s:s}", "version", PV_CTLAPI_FORMAT, "text", text);
    free(text);
    pv_ctlsrv_answer(x->node->ctl, handle, body);
}

/* Lines left out of the log are this part's business, as the reports are. */
static void handle_timeout(void *part, pv_ns now)
{
    struct info *x = part;
    pv_node_log_rest(x->node, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct info *x = part;
    pv_ns next = pv_node_next_rest(x->node);
    return x->n_held > 0 ? pv_min_ns(next, x->held_until) : next;
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_VERSION, PV_NEEDS_NOTHING, do_version},
    {PV_CTLAPI_STATUS, PV_NEEDS_NOTHING, do_status},
    {PV_CTLAPI_PEERS, PV_NEEDS_NOTHING, do_peers},
    {PV_CTLAPI_METRICS, PV_NEEDS_NOTHING, do_metrics},
    {PV_CTLAPI_IP, PV_NEEDS_NOTHING, do_ip},
    {PV_CTLAPI_LOG, PV_NEEDS_NOTHING, do_log},
    {PV_CTLAPI_RELOAD, PV_NEEDS_NOTHING, do_reload},
};

const struct pv_part pv_part_info = {
    .name = "info",
    .size = PV_PART_SIZE(struct info),
    .start = start,
    .on_facts = on_facts,
    .on_cancel = on_cancel,
    .on_answer = on_answer,
    .on_stop = on_stop,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
};
