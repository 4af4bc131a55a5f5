/* SPDX-License-Identifier: MIT */
/* why.c - writes down, line by line, what is known of the way to one peer. */
#include "daemon/core/client/why.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/client/cause.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/member/sealkeys.h"
#include "daemon/core/nat/udpwatch.h"
#include "daemon/core/node/apphooks.h"
#include "daemon/core/node/node.h"
#include "daemon/core/path/mapper.h"
#include "daemon/core/path/relays.h"
#include "daemon/core/peer/beacon.h"
#include "daemon/core/peer/hardnat_part.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/peer/recall.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi_pack.h"

static void line(json_t **lines, const char *fmt, ...) PV_PRINTF(2, 3);
static void line(json_t **lines, const char *fmt, ...)
{
    char text[PV_CAUSE_TEXT + 16];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pv_ctlapi_put(lines, "lines", json_string(text));
}

/* A line, and a note: what keeps something from the peer although packets pass. */
static void note(json_t **lines, const char *fmt, ...) PV_PRINTF(2, 3);
static void note(json_t **lines, const char *fmt, ...)
{
    char text[PV_CAUSE_TEXT];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    line(lines, "  %s", text);
    pv_ctlapi_put(lines, "notes", json_string(text));
}

/* Says whether somebody who records the packets could read them later with a quantum computer. */
static void why_pq(const struct pv_peer *p, json_t **lines, pv_ns now)
{
    const struct pv_node *n = pv_peer_node(p);
    const struct pv_peer_pq_view v = pv_peer_pq(p, now);
    double since = v.since == 0 ? 0 : (double)(now - v.since) / 1e9;
    switch (v.state) {
    case PV_PEER_PQ_NONE:
        return;
    case PV_PEER_PQ_HYBRID:
        if (v.classical_for == 0)
            line(lines, "  post-quantum: hybrid keys for %.0f s, from the beginning", since);
        else
            line(lines, "  post-quantum: classical for %.0f ms, hybrid since, for %.0f s",
                 (double)v.classical_for / 1e6, since);
        return;
    case PV_PEER_PQ_UNABLE:
        if (n->given.pq == PV_PQ_OFF)
            line(lines, "  not post-quantum: switched off here ([security] pq)");
        else if (n->given.kem == NULL)
            line(lines, "  not post-quantum: %s", pv_peer_why_no_kem(n));
        else
            line(lines, "  not post-quantum: its p2pvpnd does not do it");
        return;
    case PV_PEER_PQ_EXCHANGE:
        line(lines, "  not post-quantum yet: the exchange is under way, for %.1f s%s%s", since,
             v.error[0] == '\0' ? "" : "; ", v.error);
        return;
    case PV_PEER_PQ_WITHHELD:
        line(lines, "  not post-quantum for %.0f s, although it announced it: packets wait%s%s",
             since, v.error[0] == '\0' ? "" : "; ", v.error);
        if (v.contradicts)
            line(lines, "  its signed statement announces it, and its descriptions do not");
        return;
    case PV_PEER_PQ_REQUIRED:
        line(lines, "  not post-quantum, which [security] pq requires here: packets wait");
        return;
    }
}

/* Where the path in use leads and since when; news: it has just come. */
static void path_words(struct pv_peer *p, bool news, char buf[static PV_CTLAPI_ERROR_BUF],
                       pv_ns now)
{
    char since[32] = "";
    const char *name = pv_peer_name(p), *is = news ? "is" : "has been", *silent = "";
    const char *remote = PV_ADDR_STR(&pv_peer_path(p)->remote);
    if (pv_peer_is_static(p)) {
        snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s is a %s, reached at %s", name,
                 pv_peer_is_phone(p) ? "phone of this node" : "static peer", remote);
        return;
    }
    if (!news)
        snprintf(since, sizeof(since), " for %u s",
                 (unsigned)((now - pv_peer_path_since(p)) / PV_S(1)));
    if (pv_peer_path_state(p) == PV_PATH_STATE_SUSPECT)
        silent = ", but it does not answer now";
    if (pv_peer_is_relayed(p))
        snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s %s reached through the relay at %s%s%s", name, is,
                 PV_ADDR_STR(pv_carrier_dst(pv_peer_path(p))), since, silent);
    else
        snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s %s reached directly at %s%s%s", name, is, remote,
                 since, silent);
}

/* The figures behind the path. A static peer has no agent that could say more than the address. */
static void why_path(struct pv_peer *p, json_t **lines, pv_ns now)
{
    struct pv_ice_path path;
    if (pv_peer_is_static(p))
        return;
    if (pv_peer_session(p) != NULL && pv_session_has_keys(pv_peer_session(p), now))
        line(lines, "  encrypted with %s", pv_suite_name(pv_session_suite(pv_peer_session(p))));
    why_pq(p, lines, now);
    if (pv_peer_agent(p) != NULL && pv_ice_selected(pv_peer_agent(p), &path) == PV_OK)
        line(lines, "  from %s to their address, %s; round trip %.1f ms, loss %.1f %%",
             PV_ADDR_STR(&path.carrier.local), pv_ice_cand_type_name(path.remote_type),
             (double)path.rtt / 1e6, (double)path.loss / 10.0);
}

/* By which means without the coordinator it was found. */
static void why_found(struct pv_node *n, struct pv_peer *p, json_t **lines)
{
    const struct pv_recall_addr *addrs;
    const struct pv_peer *via = pv_peers_by_id(n->peers, pv_peer_notes_of(p)->passed_by);
    bool cached = false;
    if (pv_peer_recalled(p)->family != PV_AF_NONE) {
        size_t n_addrs = pv_recall_addrs(p, &addrs);
        for (size_t i = 0; i < n_addrs; i++)
            cached = cached || pv_addr_equal(&addrs[i].addr, pv_peer_recalled(p));
        line(lines, "  found without the coordinator, at its %s %s",
             cached ? "cached address" : "new address", PV_ADDR_STR(pv_peer_recalled(p)));
    } else if (via != NULL) {
        line(lines, "  found without the coordinator, through %s", pv_peer_name(via));
    }
}

/* Where it is being looked for. */
static void why_trying(struct pv_node *n, struct pv_peer *p, json_t **lines)
{
    char text[PV_ADDR_TEXT];
    const struct pv_recall_addr *addrs;
    size_t n_addrs = pv_recall_addrs(p, &addrs);
    if (n_addrs == 0)
        line(lines, "  and no address is known at which it was reached directly before");
    for (size_t i = 0; i < n_addrs; i++)
        line(lines, "  %s %s",
             pv_recall_is_trying(p) ? "handshakes go to its cached address"
                                    : "it is looked for when it is wanted, at its cached address",
             pv_addr_format(&addrs[i].addr, text));
    if (pv_beacon_state(n) == PV_BEACON_CALLING)
        line(lines, "  beacons call it in the networks of this machine");
    if (n->common->n_in_sync > 0)
        line(lines, "  peers that are reached pass our signals on to it: %zu",
             n->common->n_in_sync);
}

/* Each reason hides those after it: a peer that is off cannot be asked, whatever else stands in the
 * way. */
static void no_path_words(const struct pv_node *n, const struct pv_peer *p,
                          char buf[static PV_CTLAPI_ERROR_BUF])
{
    const char *name = pv_peer_name(p);
    const struct pv_peer *by = pv_peers_by_id(n->peers, pv_peer_by(p));
    if (by != NULL)
        snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s is %s, a phone behind its gateway %s", name,
                 pv_peer_presence(p) == PV_PRESENCE_ONLINE ? "online" : "offline",
                 pv_peer_name(by));
    else if (pv_peer_presence(p) == PV_PRESENCE_OFFLINE)
        snprintf(buf, PV_CTLAPI_ERROR_BUF,
                 "%s is offline: the coordinator has no connection from it", name);
    else if (!n->online && n->coord_info.error[0] == '\0')
        snprintf(buf, PV_CTLAPI_ERROR_BUF,
                 "%s cannot be asked yet: the coordinator is being connected", name);
    else if (!n->online)
        /* A long name of a host is cut, the sentence before it is not. */
        snprintf(buf, PV_CTLAPI_ERROR_BUF,
                 "%s cannot be asked: cannot reach the coordinator (%.390s)", name,
                 n->coord_info.error);
    else if (pv_peer_state(p) == PV_PEER_IDLE)
        snprintf(buf, PV_CTLAPI_ERROR_BUF,
                 "%s has no path because nothing wanted one: try `p2pvpnctl ping %s`", name, name);
    else
        snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s has no path yet: %s", name,
                 pv_peer_state_name(pv_peer_state(p)));
}

void pv_why_reached(struct pv_peer *p, char buf[static PV_CTLAPI_ERROR_BUF], pv_ns now)
{
    const struct pv_node *n = pv_peer_node(p);
    if (!n->up && !pv_peer_is_static(p))
        snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s is not reached: this machine is down",
                 pv_peer_name(p));
    else if (pv_peer_path(p) != NULL)
        path_words(p, true, buf, now);
    else
        no_path_words(n, p, buf);
}

/* Says in one sentence whether the peer is reached and how well. The cause stands below it. */
static void headline(struct pv_peer *p, char buf[static PV_CTLAPI_ERROR_BUF], pv_ns now)
{
    const struct pv_node *n = pv_peer_node(p);
    const char *name = pv_peer_name(p);
    struct pv_ice_path path;
    char loss[32] = "no loss";
    if (!n->up && !pv_peer_is_static(p)) {
        snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s is not reached", name);
    } else if (pv_peer_path(p) == NULL && pv_peer_presence(p) == PV_PRESENCE_OFFLINE) {
        snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s is offline", name);
    } else if (pv_peer_path(p) == NULL) {
        bool idle = n->online && pv_peer_state(p) == PV_PEER_IDLE;
        snprintf(buf, PV_CTLAPI_ERROR_BUF,
                 idle ? "%s is idle: nothing was sent to it lately" : "%s has no path", name);
    } else {
        path_words(p, true, buf, now);
        if (pv_peer_is_static(p) || pv_peer_path_state(p) == PV_PATH_STATE_SUSPECT ||
            pv_peer_agent(p) == NULL || pv_ice_selected(pv_peer_agent(p), &path) != PV_OK)
            return;
        if (path.loss > 0)
            snprintf(loss, sizeof(loss), "loss %.1f %%", (double)path.loss / 10.0);
        size_t len = strlen(buf);
        snprintf(buf + len, PV_CTLAPI_ERROR_BUF - len, ", round trip %.1f ms, %s",
                 (double)path.rtt / 1e6, loss);
    }
}

static void why_no_path(struct pv_node *n, struct pv_peer *p, json_t **lines)
{
    if (pv_peer_state(p) == PV_PEER_REACHING && pv_peer_remote(p) == NULL)
        line(lines, "  it has not answered our description");
    if (!pv_peer_is_static(p) && !n->online)
        why_trying(n, p, lines);
}

/* Both directions are counted: a pair whose checks arrive here while ours stay without an answer
 * shows a filter on the way there. */
static void why_pairs(const struct pv_node *n, struct pv_peer *p, json_t **lines)
{
    struct pv_ice_path paths[12]; /* best first: nobody reads more */
    const struct pv_ice_agent *agent = pv_peer_agent(p);
    size_t n_paths = agent == NULL ? 0 : pv_ice_paths(agent, paths, PV_ARRAY_LEN(paths));
    for (size_t i = 0; i < n_paths; i++) {
        char last[48] = "", heard[48] = "";
        if (paths[i].unanswered > 0)
            snprintf(last, sizeof(last), ", the last %u not", paths[i].unanswered);
        if (paths[i].heard > 0)
            snprintf(heard, sizeof(heard), "; %u of theirs arrived meanwhile", paths[i].heard);
        line(lines, "  tried %s -> %s, %s: %u of %u checks answered%s%s%s",
             PV_ADDR_STR(&paths[i].carrier.local), PV_ADDR_STR(&paths[i].remote),
             pv_ice_cand_type_name(paths[i].remote_type), paths[i].answers, paths[i].checks, last,
             heard, paths[i].selected && n->up ? "; in use" : "");
    }
}

/* The behaviour of one side's NAT, in words. */
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

/* The port that our router maps, or why it maps none. */
static void why_portmap(struct pv_node *n, const struct pv_peer *p, json_t **lines)
{
    const struct pv_mapper_view v = pv_mapper_view(n, PV_AF_INET);
    bool direct = pv_peer_path(p) != NULL && pv_peer_path(p)->kind == PV_CARRIER_UDP;
    if (pv_peer_is_static(p))
        return;
    if (v.state == PV_MAPPER_WORKING)
        line(lines, "  the router maps %s by %s, proven from outside", PV_ADDR_STR(&v.external),
             pv_mapper_protocol_name(v.protocol));
    else if (!direct)
        line(lines, "  no port is mapped here: %s", v.why);
}

/* As its description says; of a peer that never sent one nothing is known. */
static const struct pv_desc_nat *their_nat(const struct pv_peer *p)
{
    static const struct pv_desc_nat unknown;
    const struct pv_desc *remote = pv_peer_remote(p);
    return remote == NULL ? &unknown : &remote->nat;
}

/* Which NAT stands in the way, what was done about it, and what would help. */
static void why_hard(struct pv_node *n, struct pv_peer *p, json_t **lines, pv_ns now)
{
    const struct pv_peer_attempt attempt = pv_peer_attempt(p);
    const struct pv_desc_nat *own = pv_hardnat_nat(pv_hardnat_of(n)), *theirs = their_nat(p);
    bool ours = own->mapping == PV_DESC_MAPPING_VARIES;
    bool other = theirs->mapping == PV_DESC_MAPPING_VARIES;
    bool direct = pv_peer_path(p) != NULL && !pv_peer_is_relayed(p);
    char text[128];
    if (pv_peer_is_static(p) || !attempt.any)
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
             n->given.udp_port);
    else if (ours)
        line(lines,
             "  our NAT stands in the way: PCP or UPnP switched on in our router, a port forwarded "
             "to UDP %u here, or IPv6 on both sides, would make it direct",
             n->given.udp_port);
    else if (other)
        line(lines, "  their NAT stands in the way: a port forwarded there, or IPv6 on both sides, "
                    "would make it direct");
}

static void why_udp(const struct pv_node *n, const struct pv_peer *p, json_t **lines)
{
    const struct pv_relayway *r = n->ways.relays[0];
    /* Where packets go directly already, UDP plainly gets through. */
    if (pv_peer_is_static(p) || (pv_peer_path(p) != NULL && !pv_peer_is_relayed(p)))
        return;
    if (!pv_udpwatch_is_blocked(pv_relays_udpwatch(n))) {
        if (pv_peer_path(p) == NULL && n->online && !pv_relayway_is_on(r))
            line(lines, "  the coordinator offers no relay that would carry it meanwhile");
        return;
    }
    if (!n->online)
        return; /* nothing gets through at all */
    const char *where =
        pv_peers_udp_elsewhere(n->peers) ? "closed at the coordinator" : "blocked here";
    if (pv_relayway_is_on(r))
        line(lines, "  UDP is %s: everything goes through %s on %u%s%s", where,
             pv_relayway_stream_to(r)->tls ? "TLS" : "TCP", pv_relayway_stream_to(r)->addr.port,
             pv_relayway_stream_to(r)->to[0] != '\0' ? ", through the HTTP proxy " : "",
             pv_relayway_stream_to(r)->to[0] != '\0' ? n->coord_info.proxy_at : "");
    else
        line(lines, "  UDP is %s, and the coordinator offers no relay", where);
}

/* Which relays do not carry it. */
static void why_relays(const struct pv_node *n, const struct pv_peer *p, json_t **lines)
{
    if (pv_peer_is_static(p) || (pv_peer_path(p) != NULL && !pv_peer_is_relayed(p)))
        return;
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        const struct pv_relayway *r = n->ways.relays[i];
        if (r != NULL && pv_relayway_error(r)[0] != '\0')
            line(lines, "  cannot reach the relay %s: %s", PV_RELAY_STR(n, i),
                 pv_relayway_error(r));
    }
}

/* The copies for it that the coordinator, or a member that keeps copies, holds. */
static void why_sealed(struct pv_node *n, const struct pv_peer *p, json_t **lines)
{
    if (pv_peer_is_static(p))
        return;
    if (pv_sealkeys_to(n, p) != NULL)
        line(lines, "  signals and stored copies for it are post-quantum");
}

void pv_why_cause(struct pv_peer *p, struct pv_cause *ret_cause, pv_ns now)
{
    const struct pv_node *n = pv_peer_node(p);
    struct pv_prefix range = {.bits = 0};
    const char *overlap = pv_membership_overlap(n, &range);
    struct pv_remedy proxy;
    const bool kept = pv_node_is_kept_by_proxy(n, &proxy);
    const struct pv_cause_own own = {.coord_error = n->coord_info.error,
                                     .coord_todo = kept ? proxy : PV_DO_NOTHING,
                                     .iface_error = n->iface.error,
                                     .overlap = overlap,
                                     .faults = n->faults,
                                     .overlap_net = range};
    pv_cause_find(n, &own, p, now, ret_cause);
}

static void why_cause(struct pv_peer *p, json_t **lines, pv_ns now)
{
    struct pv_cause cause;
    pv_why_cause(p, &cause, now);
    line(lines, "  cause: %s", cause.text);
    if (cause.todo[0] != '\0')
        line(lines, "  to do: %s", cause.todo);
    /* Programs read the cause as fields of their own, people read the lines. */
    pv_jsonline_set(lines, "cause", json_string(cause.text));
    pv_jsonline_set(lines, "cause_code", json_string(cause.code));
    pv_jsonline_set(lines, "todo", cause.todo[0] == '\0' ? json_null() : json_string(cause.todo));
    pv_jsonline_set(lines, "remedy",
                    cause.remedy == PV_REMEDY_NONE ? json_null()
                                                   : json_string(pv_remedy_id(cause.remedy)));
    pv_jsonline_set(lines, "reached",
                    json_boolean(pv_peer_is_node(p) && pv_peer_reach(p) == PV_REACH_PATH));
}

static void why_held(const struct pv_node *n, const struct pv_peer *p, json_t **lines)
{
    char held[PV_CTLAPI_ERROR_BUF];
    if (!pv_peer_is_static(p) && n->app_hooks != NULL && n->app_hooks->held(n, p, held))
        note(lines, "%s", held);
}

/* The part keeps nothing of its own: each answer is made from what the others know at that moment.
 */
struct why {
    struct pv_node *node;
};

/* Returns true if a rule from one node to the other denies something, or the default does. */
static bool denies_some(const struct pv_policy *policy, const uint8_t from[static PV_KEY_LEN],
                        const uint8_t to[static PV_KEY_LEN])
{
    struct pv_ruleline *lines = calloc(pv_policy_count(policy) + 1, sizeof(*lines));
    size_t n = lines == NULL ? 0 : pv_policy_lines(policy, from, to, lines);
    bool denies = pv_policy_denies_by_default(policy);
    for (size_t i = 0; i < n; i++)
        denies = denies || !lines[i].allow;
    free(lines);
    return denies;
}

/* The accounts of `to` that rules open for `from`. */
static void why_logins(const struct pv_node *n, const struct pv_policy *policy, const uint8_t *from,
                       const uint8_t *to, json_t **lines)
{
    char account[PV_LOGIN_MAX + 1];
    for (size_t i = 1; i <= pv_policy_count(policy); i++) {
        for (const char *at = pv_policy_at(policy, i)->logins.names;
             pv_logins_next(&at, account);) {
            const struct pv_verdict v = pv_policy_login(policy, from, to, account);
            if (v.allow && v.rule == i)
                line(lines,
                     "  %s opens account %s of %s for %s, if root of %s named it by `ssh enable`",
                     PV_RULE_STR(v.rule), account, PV_WHO_STR(n, to), PV_WHO_STR(n, from),
                     PV_WHO_STR(n, to));
        }
    }
}

/* The packets that the rules keep out, either way: the peer is reached and does not answer all the
 * same. */
static void why_rules(const struct pv_node *n, const struct pv_peer *p, json_t **lines)
{
    const struct pv_policy *policy = pv_rules_policy(n);
    const struct pv_member *me = pv_node_self(n);
    if (pv_peer_is_static(p) || me == NULL)
        return;
    for (int i = 0; i < 2 * PV_SERVICES; i++) {
        bool to = i < PV_SERVICES;
        enum pv_service service = (enum pv_service)(i % PV_SERVICES);
        struct pv_verdict v = pv_rules_serve(n, pv_peer_pk(p), service, to);
        if (!v.allow)
            note(lines, "%s %s %s %s denied by %s", pv_service_name(service), to ? "to" : "from",
                 pv_peer_name(p), pv_service_is(service), PV_RULE_STR(v.rule));
    }
    if (policy == NULL || pv_policy_is_empty(policy))
        return;
    why_logins(n, policy, n->identity->sign_pk, pv_peer_pk(p), lines);
    why_logins(n, policy, pv_peer_pk(p), n->identity->sign_pk, lines);
    if (denies_some(policy, n->identity->sign_pk, pv_peer_pk(p)) ||
        denies_some(policy, pv_peer_pk(p), n->identity->sign_pk))
        note(lines, "rules deny some packets between %s and %s: `p2pvpnctl can %s %s:PORT`",
             me->name, pv_peer_name(p), me->name, pv_peer_name(p));
    else
        line(lines, "  there are rules: `p2pvpnctl can %s %s:PORT` says what they let through",
             me->name, pv_peer_name(p));
}

/* First whether it is reached and how, then the cause and what would help, then the evidence. */
static void do_why(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                   pv_ns now)
{
    struct pv_node *n = ((struct why *)part)->node;
    char reached[PV_CTLAPI_ERROR_BUF];
    json_t *lines = pv_ctlapi_list("lines");
    bool counts = n->up || pv_peer_is_static(p);
    headline(p, reached, now);
    pv_jsonline_set(&lines, "path", json_string(reached));
    pv_jsonline_set(&lines, "notes", json_array());
    /* Of the others the cause below says why. */
    if (counts && pv_peer_path(p) != NULL)
        path_words(p, false, reached, now);
    else if (counts && n->online && pv_peer_presence(p) != PV_PRESENCE_OFFLINE)
        no_path_words(n, p, reached);
    line(&lines, "%s", reached);
    if (counts && pv_peer_path(p) != NULL)
        why_path(p, &lines, now);
    else if (counts)
        why_no_path(n, p, &lines);
    why_cause(p, &lines, now);
    why_rules(n, p, &lines);
    why_held(n, p, &lines);
    if (pv_peer_path(p) != NULL)
        why_found(n, p, &lines);
    if (pv_peer_session(p) != NULL && !pv_session_has_keys(pv_peer_session(p), now))
        line(&lines, "  there are no session keys%s",
             counts && pv_session_is_trying(pv_peer_session(p)) ? "; a handshake is under way"
                                                                : "");
    why_sealed(n, p, &lines);
    why_udp(n, p, &lines);
    why_relays(n, p, &lines);
    why_portmap(n, p, &lines);
    why_hard(n, p, &lines, now);
    why_pairs(n, p, &lines);
    pv_ctlsrv_answer(n->ctl, handle, lines);
}

/* A client learns how long ago an event was: its time is of the monotonic clock, which means
 * nothing outside this process. */
static void do_trace(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct pv_node *n = ((struct why *)part)->node;
    json_t *events = pv_ctlapi_list("events");
    for (size_t i = 0; events != NULL && i < pv_trace_len(pv_peer_trace(p)); i++) {
        const struct pv_trace_event *ev = pv_trace_at(pv_peer_trace(p), i);
        double ago = now > ev->when ? (double)(now - ev->when) / 1e9 : 0;
        pv_ctlapi_put(&events, "events", pv_ctlapi_pack("{s:f, s:s}", "t", ago, "text", ev->text));
    }
    pv_ctlsrv_answer(n->ctl, handle, events);
}

/* Both need a peer of any kind: static peers fail for reasons of their own. */
static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_WHY, PV_NEEDS_PEER, do_why},
    {PV_CTLAPI_TRACE, PV_NEEDS_PEER, do_trace},
};

const struct pv_part pv_part_why = {
    .name = "why",
    .size = PV_PART_SIZE(struct why),
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
