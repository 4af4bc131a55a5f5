/* SPDX-License-Identifier: MIT */
/* `why PEER` and `trace PEER`: the reason in words with the evidence, and the events behind it. */
#include <stdio.h>

#include "daemon/core/client/cause.h"
#include "daemon/core/engine_int.h"
#include "daemon/core/peer/attempts.h"
#include "daemon/core/peer/rediscovery.h"

static void line(json_t **lines, const char *fmt, ...) PV_PRINTF(2, 3);
static void line(json_t **lines, const char *fmt, ...)
{
    char text[PV_CTLAPI_ERROR_BUF];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (*lines != NULL && pv_ctlapi_lines_add(*lines, text) != PV_OK) {
        json_decref(*lines);
        *lines = NULL;
    }
}

static void why_path(struct pv_peer *p, json_t **lines, pv_ns now)
{
    char local[PV_ADDR_TEXT];
    char remote[PV_ADDR_TEXT];
    struct pv_ice_path path;
    unsigned for_s = (unsigned)((now - p->path_since) / PV_S(1));
    pv_addr_format(&p->path.remote, remote);
    if (p->is_static) {
        line(lines, "%s is a static peer, reached at %s", p->name, remote);
        return;
    }
    const char *doubt = p->doubted ? ", but it does not answer now" : "";
    if (pv_peer_is_relayed(p))
        line(lines, "%s has been reached through the relay %s for %u s%s: no direct path is proven",
             p->name, pv_addr_format(pv_carrier_dst(&p->path), p->via), for_s, doubt);
    else
        line(lines, "%s has been reached directly at %s for %u s%s", p->name, remote, for_s, doubt);
    if (p->session != NULL && pv_session_has_keys(p->session, now))
        line(lines, "  encrypted with %s", pv_suite_name(pv_session_suite(p->session)));
    if (p->ice != NULL && pv_ice_selected(p->ice, &path) == PV_OK)
        line(lines, "  our address, %s: %s; their address: %s; round trip %.1f ms, loss %.1f %%",
             pv_ice_cand_type_name(path.local_type), pv_addr_format(&path.carrier.local, local),
             pv_ice_cand_type_name(path.remote_type), (double)path.rtt / 1e6,
             (double)path.loss / 10.0);
}

/* By which means without the coordinator it was found. */
static void why_found(struct pv_engine *e, struct pv_peer *p, json_t **lines)
{
    char text[PV_ADDR_TEXT];
    struct pv_recall_item item;
    const struct pv_peer *via = pv_engine_peer_by_id(e, pv_peer_notes_of(p)->passed_by);
    bool cached = false;
    if (p->recalled.family != PV_AF_NONE) {
        pv_recall_get(pv_rediscovery_recall(e->node.rediscovery), p->pk, &item);
        for (size_t i = 0; i < item.n; i++)
            cached = cached || pv_addr_equal(&item.addrs[i].addr, &p->recalled);
        line(lines, "  found without the coordinator, at its %s %s",
             cached ? "cached address" : "new address", pv_addr_format(&p->recalled, text));
    } else if (via != NULL) {
        line(lines, "  found without the coordinator, through %s", via->name);
    }
}

/* Where it is being looked for. */
static void why_knocking(struct pv_engine *e, struct pv_peer *p, json_t **lines)
{
    char text[PV_ADDR_TEXT];
    struct pv_recall_item item;
    pv_recall_get(pv_rediscovery_recall(e->node.rediscovery), p->pk, &item);
    if (item.n == 0)
        line(lines, "  and no address is known at which it was reached directly before");
    for (size_t i = 0; i < item.n; i++)
        line(lines, "  %s %s",
             pv_recall_is_knocking(pv_rediscovery_recall(e->node.rediscovery), p->pk)
                 ? "handshakes go to its cached address"
                 : "it is looked for when it is wanted, at its cached address",
             pv_addr_format(&item.addrs[i].addr, text));
    if (e->env.n_in_sync > 0)
        line(lines, "  peers that are reached pass our signals on to it: %zu", e->env.n_in_sync);
}

static void why_no_path(struct pv_engine *e, struct pv_peer *p, json_t **lines)
{
    if (p->presence == PV_PRESENCE_OFFLINE)
        line(lines, "%s is offline: the coordinator has no connection from it", p->name);
    else if (!e->node.online)
        line(lines, "%s cannot be asked: cannot reach the coordinator (%s)", p->name,
             e->node.coord_info.error);
    else if (p->state == PV_PEER_IDLE)
        line(lines, "%s has no path because nothing wanted one: try `p2pvpnctl ping %s`", p->name,
             p->name);
    else
        line(lines, "%s has no path yet: %s", p->name, pv_peer_state_name(p->state));
    if (p->state == PV_PEER_REACHING && p->descx.theirs.gen == 0)
        line(lines, "  it has not answered our description");
    if (!p->is_static && !e->node.online)
        why_knocking(e, p, lines);
}

static void why_pairs(struct pv_peer *p, json_t **lines)
{
    struct pv_ice_path paths[12];
    size_t n = p->ice == NULL ? 0 : pv_ice_paths(p->ice, paths, PV_ARRAY_LEN(paths));
    for (size_t i = 0; i < n; i++) {
        char local[PV_ADDR_TEXT];
        char remote[PV_ADDR_TEXT];
        char last[48] = "", heard[48] = "";
        if (paths[i].unanswered > 0)
            snprintf(last, sizeof(last), ", the last %u not", paths[i].unanswered);
        if (paths[i].heard > 0)
            snprintf(heard, sizeof(heard), "; %u of theirs arrived meanwhile", paths[i].heard);
        line(lines, "  tried %s -> %s, %s: %u of %u checks answered%s%s%s",
             pv_addr_format(&paths[i].carrier.local, local),
             pv_addr_format(&paths[i].remote, remote), pv_ice_cand_type_name(paths[i].remote_type),
             paths[i].answers, paths[i].checks, last, heard, paths[i].selected ? "; in use" : "");
    }
}

/* What one side's NAT does, in words. */
static void nat_words(const struct pv_desc_nat *nat, char *buf, size_t cap)
{
    const char *words = "has not been measured";
    if (nat->mapping == PV_DESC_MAPPING_SAME)
        words = "uses the same public port for all destinations";
    else if (nat->mapping == PV_DESC_MAPPING_VARIES)
        words = "uses another public port for each destination";
    if (nat->ports == PV_DESC_PORTS_SEQUENTIAL)
        snprintf(buf, cap, "%s (one after the other, step %d)", words, nat->step);
    else if (nat->ports == PV_DESC_PORTS_BLOCK)
        snprintf(buf, cap, "%s (within %u to %u)", words, nat->lo, nat->hi);
    else
        snprintf(buf, cap, "%s%s%s", words,
                 nat->ports == PV_DESC_PORTS_RANDOM ? " (port chosen at random)" : "",
                 nat->early ? ", and a packet that comes in early takes the port" : "");
}

/* What our router does about it. */
static void why_portmap(struct pv_engine *e, const struct pv_peer *p, json_t **lines)
{
    const struct pv_mapper_view v = pv_mapper_view(pv_portmap_mapper(&e->node), PV_AF_INET);
    bool direct = p->has_path && p->path.kind == PV_CARRIER_UDP;
    char text[PV_ADDR_TEXT];
    if (p->is_static)
        return;
    if (v.state == PV_MAPPER_WORKING)
        line(lines, "  the router maps %s by %s, proven from outside",
             pv_addr_format(&v.external, text), pv_mapper_protocol_name(v.protocol));
    else if (!direct)
        line(lines, "  no port is mapped here: %s", v.why);
}

/* Which NAT stands in the way, what was done about it, and what would help. */
static void why_hard(struct pv_engine *e, struct pv_peer *p, json_t **lines, pv_ns now)
{
    const struct pv_peer_attempt attempt = pv_peer_attempt(p);
    const struct pv_desc_nat *own = pv_hardnat_nat(pv_attempts_hardnat(e->node.attempts)),
                             *theirs = &p->remote.nat;
    bool ours = own->mapping == PV_DESC_MAPPING_VARIES;
    bool other = theirs->mapping == PV_DESC_MAPPING_VARIES;
    bool direct = p->has_path && !pv_peer_is_relayed(p);
    char text[128];
    if (p->is_static || !attempt.any)
        return;
    nat_words(own, text, sizeof(text));
    line(lines, "  our NAT %s", text);
    nat_words(theirs, text, sizeof(text));
    line(lines, "  their NAT %s", text);
    if (attempt.packets > 0)
        line(lines, "  last attempt at these NATs: %s, %u packets%s",
             pv_hardnat_method_name(attempt.plan.method), attempt.packets,
             direct ? "" : ", no opening was found");
    if (direct)
        return;
    if (attempt.not_before > now)
        line(lines, "  the next attempt is in %u s, or at once when the network changes",
             (unsigned)((attempt.not_before - now) / PV_S(1)));
    if (ours && other)
        line(lines,
             "  both NATs stand in the way: PCP or UPnP switched on in one of the routers, a port "
             "forwarded to UDP %u here or to theirs there, or IPv6 on both sides, would make it "
             "direct",
             e->node.udp_port);
    else if (ours)
        line(lines,
             "  our NAT stands in the way: PCP or UPnP switched on in our router, a port forwarded "
             "to UDP %u here, or IPv6 on both sides, would make it direct",
             e->node.udp_port);
    else if (other)
        line(lines, "  their NAT stands in the way: a port forwarded there, or IPv6 on both sides, "
                    "would make it direct");
}

static void why_udp(const struct pv_engine *e, const struct pv_peer *p, json_t **lines)
{
    const struct pv_relayway *r = e->env.relays[0];
    if (p->is_static || (p->has_path && !pv_peer_is_relayed(p)))
        return;
    if (!pv_udpwatch_is_blocked(pv_relays_udpwatch(&e->node))) {
        if (!p->has_path && e->node.online && !pv_relayway_is_on(r))
            line(lines, "  the coordinator offers no relay that would carry it meanwhile");
        return;
    }
    if (!e->node.online)
        return; /* nothing gets through at all */
    if (pv_relayway_is_on(r))
        line(lines, "  UDP is blocked here: everything goes through %s on %u",
             pv_relayway_stream_to(r)->tls ? "TLS" : "TCP", pv_relayway_stream_to(r)->addr.port);
    else
        line(lines, "  UDP is blocked here, and the coordinator offers no relay");
}

/* Which relays do not carry it. */
static void why_relays(const struct pv_engine *e, const struct pv_peer *p, json_t **lines)
{
    char name[PV_TURNSERVERS_NAME];
    if (p->is_static || (p->has_path && !pv_peer_is_relayed(p)))
        return;
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_relayway *r = e->env.relays[i];
        if (r != NULL && pv_relayway_error(r)[0] != '\0')
            line(lines, "  cannot reach the relay %s: %s", pv_relays_name(&e->node, i, name),
                 pv_relayway_error(r));
    }
}

static void why_cause(struct pv_engine *e, struct pv_peer *p, json_t **lines, pv_ns now)
{
    struct pv_cause cause;
    struct pv_prefix range = {.bits = 0};
    const char *overlap = pv_membership_overlap(&e->node, &range);
    const struct pv_cause_own own = {.coord_error = e->node.coord_info.error,
                                     .iface_error = e->node.iface_error,
                                     .overlap = overlap,
                                     .overlap_net = range};
    pv_cause_find(&e->node, &own, p, now, &cause);
    line(lines, "  cause: %s", cause.text);
    if (cause.todo[0] != '\0')
        line(lines, "  to do: %s", cause.todo);
    if (*lines != NULL &&
        (json_object_set_new(*lines, "cause", json_string(cause.text)) != 0 ||
         json_object_set_new(*lines, "todo",
                             cause.todo[0] == '\0' ? json_null() : json_string(cause.todo)) != 0)) {
        json_decref(*lines);
        *lines = NULL;
    }
}

void pv_engine_show_why(struct pv_engine *e, struct pv_peer *p, uint64_t handle, pv_ns now)
{
    json_t *lines = pv_ctlapi_lines_new();
    if (p->has_path)
        why_path(p, &lines, now);
    else
        why_no_path(e, p, &lines);
    why_cause(e, p, &lines, now);
    if (p->has_path)
        why_found(e, p, &lines);
    if (p->session != NULL && !pv_session_has_keys(p->session, now))
        line(&lines, "  there are no session keys%s",
             pv_session_is_trying(p->session) ? "; a handshake is under way" : "");
    why_udp(e, p, &lines);
    why_relays(e, p, &lines);
    why_portmap(e, p, &lines);
    why_hard(e, p, &lines, now);
    why_pairs(p, &lines);
    pv_ctlsrv_answer(e->node.ctl, handle, lines);
}

void pv_engine_show_trace(struct pv_engine *e, struct pv_peer *p, uint64_t handle, pv_ns now)
{
    json_t *events = pv_ctlapi_events_new();
    for (size_t i = 0; events != NULL && i < pv_trace_len(&p->trace); i++) {
        const struct pv_trace_event *ev = pv_trace_at(&p->trace, i);
        double ago = now > ev->when ? (double)(now - ev->when) / 1e9 : 0;
        if (pv_ctlapi_events_add(events, ago, ev->text) != PV_OK) {
            json_decref(events);
            events = NULL;
        }
    }
    pv_ctlsrv_answer(e->node.ctl, handle, events);
}
