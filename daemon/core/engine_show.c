/* SPDX-License-Identifier: MIT */
/* What the engine knows, as answers: status and peers. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "daemon/core/engine_cause.h"
#include "daemon/core/engine_int.h"
#include "daemon/core/peer/attempts.h"
#include "daemon/core/peer/rediscovery.h"

/* --- peers ------------------------------------------------------------------------------------ */

static int add_peer(json_t *list, struct pv_peer *p, pv_ns now)
{
    struct pv_ctlapi_peer x;
    pv_peer_show(p, &x, now);
    return pv_ctlapi_peers_add(list, &x);
}

void pv_engine_show_peers(struct pv_engine *e, uint64_t handle, pv_ns now)
{
    json_t *list = pv_ctlapi_peers_new();
    bool ok = list != NULL;
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;)
        ok = ok && add_peer(list, p, now) == PV_OK;
    for (p = NULL; (p = pv_peers_next_static(e->node.peers, p)) != NULL;)
        ok = ok && add_peer(list, p, now) == PV_OK;
    if (ok && e->node.roster != NULL && !e->node.online) /* what is shown is what was known */
        ok = json_object_set_new(list, "code", json_integer(PV_CTLAPI_UNREACHABLE)) == 0;
    if (!ok) {
        json_decref(list);
        list = NULL;
    }
    pv_ctlsrv_answer(e->node.ctl, handle, list);
}

/* --- status ----------------------------------------------------------------------------------- */

enum {
    MAX_PROBLEMS = PV_NODE_REPORTS + PV_FP_MAX_RELAYS + 12,
    PROBLEM_TEXT = PV_ROSTER_TEXT + 64,
};

struct problems {
    char text[MAX_PROBLEMS][PROBLEM_TEXT];
    const char *list[MAX_PROBLEMS];
    size_t n;
};

static void problem(struct problems *x, const char *what, const char *why)
{
    if (x->n == MAX_PROBLEMS)
        return;
    snprintf(x->text[x->n], sizeof(x->text[x->n]), "%s%s", what, why);
    x->list[x->n] = x->text[x->n];
    x->n++;
}

/* What the surroundings do to this node. */
static void find_outer_problems(const struct pv_engine *e, struct problems *x, pv_ns now)
{
    int64_t off = pv_engine_clock_off(e, now);
    char text[PROBLEM_TEXT / 2], name[PV_TURNSERVERS_NAME];
    char relay[PV_TURNSERVERS_NAME + 32];
    if (e->node.roster != NULL && e->node.up && !e->node.removed && e->env.n_locals == 0)
        problem(x, "this machine has no network: ", "no interface has an address: check the link");
    if (e->node.roster != NULL && e->node.up && !e->node.removed && !e->node.online &&
        e->coord_error[0] != '\0')
        problem(x, "cannot reach the coordinator: ", e->coord_error);
    if (pv_udpwatch_is_blocked(pv_relays_udpwatch(&e->node)) &&
        e->node.online) /* else nothing passes */
        problem(
            x, "UDP is blocked: ", "no server's answer comes in: a firewall here must let UDP out");
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_relayway *r = e->env.relays[i];
        if (r == NULL || pv_relayway_error(r)[0] == '\0' || (i == 0 && !e->node.online))
            continue;
        snprintf(relay, sizeof(relay),
                 "cannot reach the relay %s: ", pv_relays_name(&e->node, i, name));
        problem(x, relay, pv_relayway_error(r));
    }
    if (off == 0)
        return;
    snprintf(text, sizeof(text),
             "this machine's clock is %" PRId64 " s %s the coordinator's: ", off < 0 ? -off : off,
             off < 0 ? "behind" : "ahead of");
    problem(x, text, "set it (timedatectl set-ntp true)");
}

static void find_problems(const struct pv_engine *e, struct problems *x, pv_ns now)
{
    find_outer_problems(e, x, now);
    if (e->iface_error[0] != '\0')
        problem(x, "the interface is not up: ", e->iface_error);
    else if (e->node.iface == PV_IFACE_UP && e->iface_problem[0] != '\0')
        problem(x, e->iface_problem, "");
    else if (e->overlap[0] != '\0' && e->node.up)
        problem(x, e->overlap, "");
    if (e->node.removed)
        problem(x, "this node was removed from the network: ",
                "`p2pvpnctl leave --forget`, then join with a new token");
    if (e->node.store_error[0] != '\0')
        problem(x, "not everything is stored: ", e->node.store_error);
    size_t n = e->node.n_reports < PV_NODE_REPORTS ? e->node.n_reports : PV_NODE_REPORTS;
    for (size_t i = 0; i < n; i++)
        problem(x, e->node.reports[(e->node.n_reports - n + i) % PV_NODE_REPORTS].text, "");
}

size_t pv_engine_count_problems(const struct pv_engine *e, pv_ns now)
{
    struct problems x = {.n = 0};
    find_problems(e, &x, now);
    return x.n;
}

const char *pv_engine_state_name(const struct pv_engine *e)
{
    if (e->node.roster == NULL)
        return pv_peers_count_statics(e->node.peers) > 0 ? "static" : "none";
    if (e->node.removed)
        return "removed";
    if (!e->node.up)
        return "down";
    return e->node.iface == PV_IFACE_UP && e->node.online ? "up" : "connecting";
}

static size_t public_addrs(const struct pv_engine *e, struct pv_addr *out, size_t cap)
{
    struct pv_ice_cand cands[PV_ICE_MAX_LOCAL];
    size_t n = pv_gatherer_candidates(e->node.gatherer, cands);
    size_t found = 0;
    for (size_t i = 0; i < n && found < cap; i++) {
        if (cands[i].type == PV_ICE_SRFLX || !pv_addr_is_private(&cands[i].addr))
            out[found++] = cands[i].addr;
    }
    return found;
}

static void fill_network(struct pv_engine *e, struct pv_ctlapi_status *s, uint8_t *head)
{
    const struct pv_member *self = pv_node_self(&e->node);
    if (e->node.roster == NULL)
        return;
    pv_roster_head(e->node.roster, head);
    s->network = pv_roster_network(e->node.roster)->name;
    s->network_id = pv_roster_network_id(e->node.roster);
    s->cidr = pv_roster_network(e->node.roster)->range;
    s->ula = pv_network_ula(s->network_id);
    s->head = head;
    s->members = (unsigned)pv_roster_count(e->node.roster);
    s->admin = pv_roster_rights(e->node.roster, e->node.identity->sign_pk) != 0;
    if (self != NULL) {
        s->name = self->name;
        s->ip4 = self->ip4;
        s->ip6 = self->ip6;
    }
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;)
        s->online += pv_peer_reach(p) != PV_REACH_NO ? 1 : 0;
    s->online += self != NULL && e->node.up ? 1 : 0;
}

/* Those that happened. */
static size_t fill_drops(const struct pv_engine *e, const char *names[static PV_ENGINE_DROPS],
                         uint64_t counts[static PV_ENGINE_DROPS])
{
    struct pv_engine_drop drops[PV_ENGINE_DROPS];
    size_t all = pv_engine_drops(e, drops), n = 0;
    for (size_t i = 0; i < all; i++) {
        if (drops[i].count == 0)
            continue;
        names[n] = drops[i].reason;
        counts[n++] = drops[i].count;
    }
    return n;
}

static json_t *with_hard(const struct pv_engine *e, json_t *status)
{
    const struct pv_hardnat_counts c = pv_hardnat_counts(pv_attempts_hardnat(e->node.attempts));
    const struct pv_desc_nat *nat = pv_hardnat_nat(pv_attempts_hardnat(e->node.attempts));
    const struct pv_ctlapi_hard hard = {
        .mapping = pv_desc_mapping_word(nat->mapping),
        .ports = pv_desc_ports_word(nat->ports),
        .predict = c.predict,
        .birthday = c.birthday,
        .running = pv_hardnat_phase(pv_attempts_hardnat(e->node.attempts)) != PV_HARDNAT_IDLE,
        .attempts = c.attempts,
        .sockets = c.mappings,
        .max_mappings = c.max_mappings,
        .packets = c.packets,
        .max_packets = PV_HARDNAT_MAX_PACKETS,
        .max_pps = c.max_pps,
        .kept = c.kept,
    };
    if (status == NULL || pv_ctlapi_status_add_hard(status, &hard) == PV_OK)
        return status;
    json_decref(status);
    return NULL;
}

static double seconds(pv_ns t)
{
    return t == 0 || t == PV_NEVER ? -1 : (double)t / 1e9;
}

static json_t *with_binding(const struct pv_engine *e, json_t *status)
{
    const struct pv_natlife_result *r = pv_bindings_result(&e->node);
    const struct pv_ctlapi_binding b = {
        .measuring = pv_bindings_is_measuring(&e->node),
        .idle_s = !r->known ? -1 : (double)r->idle_min / 1e9,
        .idle_max_s = !r->known ? -1 : seconds(r->idle_max),
        .absolute_s = seconds(r->absolute),
        .refresh_s = (double)e->env.binding_lifetime / 1e9,
    };
    if (status == NULL || pv_ctlapi_status_add_binding(status, &b) == PV_OK)
        return status;
    json_decref(status);
    return NULL;
}

static json_t *with_portmaps(const struct pv_engine *e, json_t *status, pv_ns now)
{
    static const uint16_t families[] = {PV_AF_INET, PV_AF_INET6};
    for (size_t i = 0; status != NULL && i < PV_ARRAY_LEN(families); i++) {
        const struct pv_mapper_view v = pv_mapper_view(pv_portmap_mapper(&e->node), families[i]);
        bool there = v.claimed.family != PV_AF_NONE;
        const struct pv_ctlapi_portmap map = {
            .family = families[i] == PV_AF_INET6 ? "ipv6" : "ipv4",
            .state = pv_mapper_state_name(v.state),
            .protocol = v.state == PV_MAPPER_OFF || v.state == PV_MAPPER_WAITING
                            ? NULL
                            : pv_mapper_protocol_name(v.protocol),
            .router = v.router,
            .claimed = v.claimed,
            .external = v.external,
            .lifetime_s = there && v.expires > now ? (double)((v.expires - now) / PV_S(1)) : -1,
            .why = v.why[0] != '\0' ? v.why : NULL,
        };
        if (pv_ctlapi_status_add_portmap(status, &map) == PV_OK)
            continue;
        json_decref(status);
        status = NULL;
    }
    return status;
}

static json_t *with_relays(const struct pv_engine *e, json_t *status)
{
    struct pv_ctlapi_relay list[PV_FP_MAX_RELAYS];
    char text[PV_FP_MAX_RELAYS][PV_ADDR_TEXT], name[PV_FP_MAX_RELAYS][PV_TURNSERVERS_NAME];
    size_t n = 0;
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_relayway *r = e->env.relays[i];
        if (r == NULL || !(pv_relayway_is_on(r) || pv_relayway_error(r)[0] != '\0'))
            continue;
        pv_ns rtt = pv_relayway_rtt(r);
        const struct pv_peer_relayed sum = pv_peers_relayed(e->node.peers, i);
        list[n] = (struct pv_ctlapi_relay){
            .name = pv_relays_name(&e->node, i, name[n]),
            .address = pv_relayway_is_on(r) ? pv_addr_format(pv_relayway_server(r), text[n]) : NULL,
            .transport = pv_relayway_transport(r),
            .state = pv_relayway_is_reached(r) ? "up" : "connecting",
            .relayed = *pv_relayway_relayed(r),
            .rtt_ms = rtt == 0 ? -1 : (double)rtt / 1e6,
            .error = pv_relayway_error(r)[0] != '\0' ? pv_relayway_error(r) : NULL,
            .tx_bytes = sum.tx,
            .rx_bytes = sum.rx,
        };
        n++;
    }
    /* Where nothing gets through at all, nobody can tell what stops UDP. */
    const char *udp = e->node.online || !pv_udpwatch_is_blocked(pv_relays_udpwatch(&e->node))
                          ? pv_udpwatch_word(pv_relays_udpwatch(&e->node))
                          : "unknown";
    if (status == NULL || pv_ctlapi_status_add_relays(status, udp, list, n) == PV_OK)
        return status;
    json_decref(status);
    return NULL;
}

static json_t *with_datapath(const struct pv_engine *e, json_t *status)
{
    const struct pv_engine_datapath *d = &e->datapath;
    const struct pv_ctlapi_datapath datapath = {.workers = d->workers,
                                                .threads = d->threads,
                                                .aead = d->aead,
                                                .tcp_offload = d->tcp_offload,
                                                .udp_offload = d->udp_offload,
                                                .off = d->off,
                                                .n_off = d->n_off};
    if (status == NULL || d->workers == 0 ||
        pv_ctlapi_status_add_datapath(status, &datapath) == PV_OK)
        return status;
    json_decref(status);
    return NULL;
}

void pv_engine_set_iface_problem(struct pv_engine *e, const char *problem)
{
    snprintf(e->iface_problem, sizeof(e->iface_problem), "%s", problem);
}

void pv_engine_set_datapath(struct pv_engine *e, const struct pv_engine_datapath *datapath)
{
    e->datapath = *datapath;
}

/* The first relay that stands ready. */
static const struct pv_relayway *shown_relay(const struct pv_engine *e)
{
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_relayway *r = e->env.relays[i];
        if (r != NULL && pv_relayway_relayed(r)->family != PV_AF_NONE)
            return r;
    }
    return NULL;
}

/* A name as it was given, of addresses the one in use: of several not all may be reached. */
static const char *coordinator_text(const struct pv_engine *e, char buf[static PV_HOSTPORT_BUF])
{
    const struct pv_addr *used = pv_coordclient_addr(e->node.coord);
    struct pv_hostport hp = e->hosts[0];
    struct pv_addr ip;
    if (used != NULL && e->node.online && !pv_coordclient_is_tls(e->node.coord) &&
        pv_addr_parse_ip(hp.host, &ip) == PV_OK) {
        hp = (struct pv_hostport){.port = used->port};
        pv_addr_format_ip(used, hp.host);
    }
    return pv_hostport_format(&hp, buf);
}

static void fill_relay(struct pv_engine *e, struct pv_ctlapi_status *s,
                       char text[static PV_ADDR_TEXT])
{
    const struct pv_relayway *r = shown_relay(e);
    s->relay = r == NULL ? NULL : pv_addr_format(pv_relayway_server(r), text);
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_peer_relayed sum = pv_peers_relayed(e->node.peers, i);
        s->relay_tx_bytes += sum.tx;
        s->relay_rx_bytes += sum.rx;
    }
}

void pv_engine_show_status(struct pv_engine *e, uint64_t handle, const struct pv_job_result *counts,
                           pv_ns now)
{
    struct pv_ctlapi_status s = {
        .state = pv_engine_state_name(e),
        .uptime_s = (now - e->node.started) / PV_S(1),
        .key = e->node.identity->sign_pk,
        .wg_key = e->node.identity->dh_pk,
        .interface = e->node.iface == PV_IFACE_UP ? e->node.tun_name : NULL,
        .mtu = e->node.mtu,
        .udp_port = e->node.udp_port,
        .connected = e->node.online,
        .coordinator_rtt_ms = -1,
        .coordinator_error = e->coord_error[0] != '\0' ? e->coord_error : NULL,
    };
    uint8_t head[PV_STATEMENT_HASH_LEN];
    struct problems problems = {.n = 0};
    struct pv_addr publics[PV_ICE_MAX_LOCAL];
    const char *drop_names[PV_ENGINE_DROPS];
    uint64_t drop_counts[PV_ENGINE_DROPS];
    char coordinator[PV_HOSTPORT_BUF];
    char relay[PV_ADDR_TEXT];

    fill_network(e, &s, head);
    fill_relay(e, &s, relay);
    s.away_since_s = pv_rediscovery_away_since_s(e->node.rediscovery);
    if (pv_rediscovery_away_since_s(e->node.rediscovery) != 0)
        s.reached_without = (unsigned)pv_peers_count_reached(e->node.peers);
    if (e->node.roster != NULL && e->n_hosts > 0)
        s.coordinator = coordinator_text(e, coordinator);
    if (pv_coordclient_rtt(e->node.coord) != 0)
        s.coordinator_rtt_ms = (double)pv_coordclient_rtt(e->node.coord) / 1e6;
    s.n_public = public_addrs(e, publics, PV_ARRAY_LEN(publics));
    s.public_addrs = publics;
    if (counts->status == PV_OK && counts->chat != NULL) {
        s.unread = counts->chat->unread;
        s.queued = counts->chat->queued;
    }
    find_problems(e, &problems, now);
    s.problems = problems.list;
    s.n_problems = problems.n;
    s.n_drops = fill_drops(e, drop_names, drop_counts);
    s.drop_names = drop_names;
    s.drop_counts = drop_counts;
    json_t *status = with_binding(e, with_hard(e, pv_ctlapi_status_json(&s)));
    status = with_datapath(e, with_relays(e, status));
    pv_ctlsrv_answer(e->node.ctl, handle, with_portmaps(e, status, now));
}
