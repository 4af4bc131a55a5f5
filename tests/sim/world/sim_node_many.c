/* SPDX-License-Identifier: MIT */
/* Multicast of the host behind the TUN: what its programs joined, and its reports. */
#include "proto/group/groupmsg.h"
#include "sim_node_i.h"
#include "tests/unit/proto/group/group_packets.h"

static void report(struct sim_node *n, const struct pv_group *g, uint8_t type)
{
    char text[PV_ADDR_TEXT];
    struct pv_addr a = pv_group_addr(g);
    struct group_packet p = group_report(type, pv_addr_format_ip(&a, text), 0);
    sim_node_tun_in(n, p.bytes, p.len);
}

bool sim_node_take_query(struct sim_node *n, struct pv_view packet)
{
    struct pv_ippkt ip;
    if (pv_ippkt_parse(packet, &ip) != PV_OK || !pv_groupmsg_is(&ip))
        return false;
    for (size_t i = 0; i < SIM_MAX_GROUPS; i++) {
        if (n->joined[i].version == ip.version)
            report(n, &n->joined[i], IS_EX);
    }
    return true;
}

bool sim_node_is_for_many(const struct sim_node *n, const struct pv_addr *dst)
{
    bool v4 = dst->family == PV_AF_INET;
    if (v4 && (pv_addr_is_broadcast(dst) || (dst->ip[2] == 255 && dst->ip[3] == 255)))
        return true;
    struct pv_group g = pv_group_of(v4 ? 4 : 6, dst->ip);
    for (size_t i = 0; i < SIM_MAX_GROUPS; i++) {
        if (pv_group_equal(&n->joined[i], &g))
            return true;
    }
    return pv_addr_is_multicast(dst) && pv_group_is_everybodys(&g);
}

void sim_node_join(struct sim_node *n, const char *group, bool join)
{
    struct pv_group g = group_named(group);
    size_t i = 0;
    while (i < SIM_MAX_GROUPS && !pv_group_equal(&n->joined[i], &g))
        i++;
    for (size_t k = 0; k < SIM_MAX_GROUPS && i == SIM_MAX_GROUPS; k++)
        i = n->joined[k].version == 0 ? k : i;
    if (i == SIM_MAX_GROUPS)
        abort();
    n->joined[i] = join ? g : (struct pv_group){.version = 0};
    sim_node_begin(n);
    report(n, &g, join ? TO_EX : TO_IN);
    sim_node_end(n);
}

void sim_node_set_reflects(struct sim_node *n, bool reflects)
{
    n->reflects = reflects;
}
