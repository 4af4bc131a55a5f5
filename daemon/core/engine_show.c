/* SPDX-License-Identifier: MIT */
/* What is no part yet has for status and metrics. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/core/chat/chatlink.h"
#include "daemon/core/chat/copies.h"
#include "daemon/core/chat/rooms.h"
#include "daemon/core/engine_int.h"

enum {
    CLOCK_OFF = 60, /* seconds; ours: rounding and a slow first answer stay far below */
};

/* How far this machine's clock is from the coordinator's: seconds, negative: behind it. 0: they
 * agree within a minute, or the coordinator's is not known. */
static int64_t clock_off(const struct pv_engine *e, pv_ns now)
{
    uint64_t theirs = pv_coordclient_time_us(e->node.coord, now);
    if (theirs == 0)
        return 0;
    int64_t off = (int64_t)(pv_peer_env_wall(&e->env, now) - theirs) / 1000000;
    return off > CLOCK_OFF || off < -CLOCK_OFF ? off : 0;
}

static void show_coordinator_problems(const struct pv_engine *e, struct pv_statuspage *st,
                                      pv_ns now)
{
    int64_t off = clock_off(e, now);
    char text[120];
    if (e->node.roster != NULL && e->node.up && !e->node.removed && !e->node.online &&
        e->node.coord_info.error[0] != '\0')
        pv_statuspage_problem(st, "cannot reach the coordinator: ", e->node.coord_info.error);
    if (off == 0)
        return;
    snprintf(text, sizeof(text),
             "this machine's clock is %" PRId64 " s %s the coordinator's: ", off < 0 ? -off : off,
             off < 0 ? "behind" : "ahead of");
    pv_statuspage_problem(st, text, "set it (timedatectl set-ntp true)");
}

static void show_network_problems(const struct pv_engine *e, struct pv_statuspage *st)
{
    struct pv_prefix range;
    const char *overlap = pv_membership_overlap(&e->node, &range);
    const char *iface_problem = pv_membership_iface_problem(&e->node);
    if (e->node.iface_error[0] != '\0')
        pv_statuspage_problem(st, "the interface is not up: ", e->node.iface_error);
    else if (e->node.iface == PV_IFACE_UP && iface_problem[0] != '\0')
        pv_statuspage_problem(st, iface_problem, "");
    else if (overlap[0] != '\0' && e->node.up)
        pv_statuspage_problem(st, overlap, "");
    if (e->node.removed)
        pv_statuspage_problem(st, "this node was removed from the network: ",
                              "`p2pvpnctl leave --forget`, then join with a new token");
}

static void show_network(const struct pv_engine *e, struct pv_statuspage *st)
{
    const struct pv_member *self = pv_node_self(&e->node);
    struct pv_roster *roster = e->node.roster;
    if (roster == NULL)
        return;
    pv_roster_head(roster, st->head);
    st->s.network = pv_roster_network(roster)->name;
    st->s.network_id = pv_roster_network_id(roster);
    st->s.cidr = pv_roster_network(roster)->range;
    st->s.ula = pv_network_ula(st->s.network_id);
    st->s.head = st->head;
    st->s.members = (unsigned)pv_roster_count(roster);
    st->s.admin = pv_roster_rights(roster, e->node.identity->sign_pk) != 0;
    if (self == NULL)
        return;
    st->s.name = self->name;
    st->s.ip4 = self->ip4;
    st->s.ip6 = self->ip6;
    st->s.online += e->node.up ? 1 : 0; /* the peers count the others */
}

/* A name as it was given, of addresses the one in use: of several not all may be reached. */
static const char *coordinator_text(const struct pv_engine *e, char buf[static PV_HOSTPORT_BUF])
{
    const struct pv_addr *used = pv_coordclient_addr(e->node.coord);
    struct pv_hostport hp = *pv_coord_host(&e->node);
    struct pv_addr ip;
    if (used != NULL && e->node.online && !pv_coordclient_is_tls(e->node.coord) &&
        pv_addr_parse_ip(hp.host, &ip) == PV_OK) {
        hp = (struct pv_hostport){.port = used->port};
        pv_addr_format_ip(used, hp.host);
    }
    return pv_hostport_format(&hp, buf);
}

static void show_coordinator(const struct pv_engine *e, struct pv_statuspage *st)
{
    st->s.connected = e->node.online;
    st->s.coordinator_error = e->node.coord_info.error[0] != '\0' ? e->node.coord_info.error : NULL;
    if (e->node.roster != NULL && pv_coord_host(&e->node) != NULL)
        st->s.coordinator = coordinator_text(e, st->coordinator);
    if (pv_coordclient_rtt(e->node.coord) != 0)
        st->s.coordinator_rtt_ms = (double)pv_coordclient_rtt(e->node.coord) / 1e6;
}

/* Everything that was thrown away above the packets. */
static void show_drops(const struct pv_engine *e, struct pv_statuspage *st)
{
    const struct pv_chatlink_counts chat = pv_chatlink_counts(e->node.chatlink);
    const struct pv_rooms_counts rooms = pv_rooms_counts(e->node.rooms);
    const struct pv_copies_counts copies =
        pv_copies_counts(pv_node_part(&e->node, &pv_part_copies));
    pv_statuspage_drop(st, "chat-frame", chat.bad_frames);
    pv_statuspage_drop(st, "chat-flood", chat.floods);
    pv_statuspage_drop(st, "room-forged", rooms.forged);
    pv_statuspage_drop(st, "room-frame", rooms.bad_frames);
    pv_statuspage_drop(st, "room-stranger", rooms.strangers);
    pv_statuspage_drop(st, "room-flood", rooms.floods);
    pv_statuspage_drop(st, "room-full", rooms.full);
    pv_statuspage_drop(st, "copy-refused", copies.refused);
    pv_statuspage_drop(st, "copy-forged", copies.forged);
    pv_statuspage_drop(st, "copy-frame", copies.bad_frames);
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_engine *e = part;
    show_network(e, st);
    show_coordinator(e, st);
    show_coordinator_problems(e, st, now);
    show_network_problems(e, st);
    show_drops(e, st);
}

void pv_engine_set_iface_problem(struct pv_engine *e, const char *problem)
{
    pv_membership_set_iface_problem(&e->node, problem);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct pv_engine *e = part;
    (void)now;
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_connected",
                      "1: the control channel to the coordinator is up.");
    pv_metrics_count(m, e->node.online, NULL);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_connects_total",
                      "How often the control channel came up: the first time and after each loss.");
    pv_metrics_count(m, e->node.coord_info.connects, NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_rtt_seconds",
                      "Round trip on the control channel.");
    if (e->node.online && pv_coordclient_rtt(e->node.coord) != 0)
        pv_metrics_real(m, (double)pv_coordclient_rtt(e->node.coord) / 1e9, NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_members",
                      "Members of the network, this one included.");
    pv_metrics_count(m, e->node.roster == NULL ? 0 : pv_roster_count(e->node.roster), NULL);
}

const struct pv_part pv_part_engine_show = {
    .name = "engine_show",
    .make = pv_engine_as_part,
    .free = pv_engine_not_freed,
    .status = show,
    .metrics = put_metrics,
};
