/* SPDX-License-Identifier: MIT */
/* netreport.c - what status and metrics say of the network, the coordinator and chat's drops. */
#include "daemon/core/client/netreport.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/core/chat/chatlink.h"
#include "daemon/core/chat/copies.h"
#include "daemon/core/chat/rooms.h"
#include "daemon/core/member/coordclient.h"
#include "daemon/core/member/coordinator.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/node/node.h"

static int make(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                void **ret_part)
{
    (void)cfg;
    (void)now;
    *ret_part = node; /* it has no state: it reads what others write */
    return PV_OK;
}

static void unmake(void *part)
{
    (void)part;
}

enum {
    CLOCK_OFF = 60, /* seconds; ours: rounding and a slow first answer stay far below */
};

/* How far this machine's clock is from the coordinator's: seconds, negative: behind it. 0: they
 * agree within a minute, or the coordinator's is not known. */
static int64_t clock_off(const struct pv_node *n, pv_ns now)
{
    uint64_t theirs = pv_coordclient_time_us(n->coord, now);
    if (theirs == 0)
        return 0;
    int64_t off = (int64_t)(pv_node_wall_us(n, now) - theirs) / 1000000;
    return off > CLOCK_OFF || off < -CLOCK_OFF ? off : 0;
}

static void show_coordinator_problems(const struct pv_node *n, struct pv_statuspage *st, pv_ns now)
{
    int64_t off = clock_off(n, now);
    char text[120];
    /* To be offline is a problem only where the user wants to be online. A removed node has a line
     * of its own. */
    if (n->roster != NULL && n->up && !n->removed && !n->online && n->coord_info.error[0] != '\0')
        pv_statuspage_problem(st, "cannot reach the coordinator: ", n->coord_info.error);
    if (off == 0)
        return;
    snprintf(text, sizeof(text),
             "this machine's clock is %" PRId64 " s %s the coordinator's: ", off < 0 ? -off : off,
             off < 0 ? "behind" : "ahead of");
    pv_statuspage_problem(st, text, "set it (timedatectl set-ntp true)");
}

static void show_network_problems(const struct pv_node *n, struct pv_statuspage *st)
{
    struct pv_prefix range;
    const char *overlap = pv_membership_overlap(n, &range);
    const char *iface_problem = pv_membership_iface_problem(n);
    /* One line is enough for the interface: each trouble hides those after it. */
    if (n->iface_error[0] != '\0')
        pv_statuspage_problem(st, "the interface is not up: ", n->iface_error);
    else if (n->iface == PV_IFACE_UP && iface_problem[0] != '\0')
        pv_statuspage_problem(st, iface_problem, "");
    else if (overlap[0] != '\0' && n->up)
        pv_statuspage_problem(st, overlap, "");
    if (n->removed)
        pv_statuspage_problem(st, "this node was removed from the network: ",
                              "`p2pvpnctl leave --forget`, then join with a new token");
}

static void show_network(const struct pv_node *n, struct pv_statuspage *st)
{
    const struct pv_member *self = pv_node_self(n);
    struct pv_roster *roster = n->roster;
    if (roster == NULL)
        return;
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

/* A name as it was given, of addresses the one in use: of several not all may be reached. */
static const char *coordinator_text(const struct pv_node *n, char buf[static PV_HOSTPORT_BUF])
{
    const struct pv_addr *used = pv_coordclient_addr(n->coord);
    struct pv_hostport hp = *pv_coord_host(n);
    struct pv_addr ip;
    if (used != NULL && n->online && !pv_coordclient_is_tls(n->coord) &&
        pv_addr_parse_ip(hp.host, &ip) == PV_OK) {
        hp = (struct pv_hostport){.port = used->port};
        pv_addr_format_ip(used, hp.host);
    }
    return pv_hostport_format(&hp, buf);
}

static void show_coordinator(const struct pv_node *n, struct pv_statuspage *st)
{
    st->s.connected = n->online;
    st->s.coordinator_error = n->coord_info.error[0] != '\0' ? n->coord_info.error : NULL;
    if (n->roster != NULL && pv_coord_host(n) != NULL)
        st->s.coordinator = coordinator_text(n, st->coordinator);
    if (pv_coordclient_rtt(n->coord) != 0)
        st->s.coordinator_rtt_ms = (double)pv_coordclient_rtt(n->coord) / 1e6;
}

/* Everything that was thrown away above the packets. */
static void show_drops(const struct pv_node *n, struct pv_statuspage *st)
{
    const struct pv_chatlink_counts chat = pv_chatlink_counts(n->chatlink);
    const struct pv_rooms_counts rooms = pv_rooms_counts(n->rooms);
    const struct pv_copies_counts copies = pv_copies_counts(pv_node_part(n, &pv_part_copies));
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
    const struct pv_node *n = part;
    show_network(n, st);
    show_coordinator(n, st);
    show_coordinator_problems(n, st, now);
    show_network_problems(n, st);
    show_drops(n, st);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct pv_node *n = part;
    (void)now;
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_connected",
                      "1: the control channel to the coordinator is up.");
    pv_metrics_count(m, n->online, NULL);
    pv_metrics_family(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_connects_total",
                      "How often the control channel came up: the first time and after each loss.");
    pv_metrics_count(m, n->coord_info.connects, NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_rtt_seconds",
                      "Round trip on the control channel.");
    if (n->online && pv_coordclient_rtt(n->coord) != 0)
        pv_metrics_real(m, (double)pv_coordclient_rtt(n->coord) / 1e9, NULL);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_members",
                      "Members of the network, this one included.");
    pv_metrics_count(m, n->roster == NULL ? 0 : pv_roster_count(n->roster), NULL);
}

const struct pv_part pv_part_netreport = {
    .name = "netreport",
    .make = make,
    .free = unmake,
    .status = show,
    .metrics = put_metrics,
};
