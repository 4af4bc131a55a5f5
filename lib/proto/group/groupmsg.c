/* SPDX-License-Identifier: MIT */
/* groupmsg.c - reads reports of IGMP and MLD, and builds their queries. */
#include "proto/group/groupmsg.h"

#include <string.h>

#include "base/bytes.h"

enum {
    /* RFC 2236 s2.1, RFC 3376 s4 */
    IGMP_QUERY = 0x11,
    IGMP1_REPORT = 0x12,
    IGMP2_REPORT = 0x16,
    IGMP2_LEAVE = 0x17,
    IGMP3_REPORT = 0x22,
    /* RFC 2710 s3, RFC 3810 s5 */
    MLD_QUERY = 130,
    MLD1_REPORT = 131,
    MLD1_DONE = 132,
    MLD2_REPORT = 143,

    REPORT_HEADER = 8, /* bytes of an IGMPv3 or MLDv2 report before its records */

    /* record types, RFC 3376 s4.2.12, RFC 3810 s5.2.12 */
    MODE_IS_INCLUDE = 1,
    MODE_IS_EXCLUDE = 2,
    CHANGE_TO_INCLUDE = 3,
    CHANGE_TO_EXCLUDE = 4,
    ALLOW_NEW_SOURCES = 5,
    BLOCK_OLD_SOURCES = 6,
};

/* Later fragments have no header to tell them by; no kernel sends reports in fragments. */
bool pv_groupmsg_is(const struct pv_ippkt *ip)
{
    if (ip->later_fragment)
        return false;
    if (ip->version == 4)
        return ip->proto == PV_IP_PROTO_IGMP;
    if (ip->proto != PV_IP_PROTO_ICMP6 || ip->l4.len == 0)
        return false;
    uint8_t type = ip->l4.ptr[0];
    return (type >= MLD_QUERY && type <= MLD1_DONE) || type == MLD2_REPORT;
}

/* An older message names one group, at the same place that a newer one counts its records before.
 */
int pv_groupmsg_read(const struct pv_ippkt *ip, struct pv_groupmsg *ret_msg)
{
    struct pv_groupmsg msg = {.version = ip->version};
    struct pv_view l4 = ip->l4;
    if (!pv_groupmsg_is(ip))
        return PV_ERR_UNSUPPORTED;
    if (l4.len < REPORT_HEADER)
        return PV_ERR_TRUNCATED;
    msg.type = l4.ptr[0];
    switch (msg.type) {
    case IGMP1_REPORT:
    case IGMP2_REPORT:
    case IGMP2_LEAVE:
        msg.single = ip->version == 4;
        msg.rest = pv_view(l4.ptr + 4, l4.len - 4);
        break;
    case MLD1_REPORT:
    case MLD1_DONE:
        msg.single = ip->version == 6;
        msg.rest = pv_view(l4.ptr + REPORT_HEADER, l4.len - REPORT_HEADER);
        break;
    case IGMP3_REPORT:
    case MLD2_REPORT:
        msg.records = pv_load_be16(l4.ptr + 6);
        msg.rest = pv_view(l4.ptr + REPORT_HEADER, l4.len - REPORT_HEADER);
        break;
    default:
        return PV_ERR_UNSUPPORTED;
    }
    if (msg.single != (msg.type != (ip->version == 4 ? IGMP3_REPORT : MLD2_REPORT)))
        return PV_ERR_UNSUPPORTED; /* a number of the other family */
    if (msg.records > PV_GROUPMSG_RECORDS)
        return PV_ERR_LIMIT;
    *ret_msg = msg;
    return PV_OK;
}

/* The meaning of a record with so many sources. INCLUDE of no source is "nothing". */
static enum pv_group_change change_of(uint8_t type, uint16_t sources)
{
    switch (type) {
    case MODE_IS_INCLUDE:
    case CHANGE_TO_INCLUDE:
        return sources == 0 ? PV_GROUP_LEFT : PV_GROUP_WANTED;
    case BLOCK_OLD_SOURCES:
        return PV_GROUP_DOUBTED;
    default: /* EXCLUDE of whatever sources, ALLOW_NEW_SOURCES */
        return PV_GROUP_WANTED;
    }
}

/* Reads the group that stands at this place of the rest; false: it is none. An address that is no
 * multicast address would become a group that no packet can be sent to. */
static bool take_group(const struct pv_groupmsg *msg, size_t at, struct pv_group *ret_group)
{
    const uint8_t *ip = msg->rest.ptr + at;
    size_t len = msg->version == 4 ? 4 : 16;
    if (msg->rest.len < at + len)
        return false;
    if (msg->version == 4 ? (ip[0] & 0xf0) != 0xe0 : ip[0] != 0xff)
        return false;
    *ret_group = pv_group_of(msg->version, ip);
    return true;
}

/* Messages before IGMPv3 and MLDv2 name one group each. */
static bool next_single(struct pv_groupmsg *msg, struct pv_group *ret_group,
                        enum pv_group_change *ret_change)
{
    bool left = msg->type == IGMP2_LEAVE || msg->type == MLD1_DONE;
    msg->single = false;
    *ret_change = left ? PV_GROUP_LEFT : PV_GROUP_WANTED;
    return take_group(msg, 0, ret_group);
}

bool pv_groupmsg_next(struct pv_groupmsg *msg, struct pv_group *ret_group,
                      enum pv_group_change *ret_change)
{
    if (msg->single)
        return next_single(msg, ret_group, ret_change);
    /* record: type, words of auxiliary data, number of sources, group, sources, auxiliary data */
    size_t addr = msg->version == 4 ? 4 : 16;
    while (msg->records > 0 && msg->rest.len >= 4 + addr) {
        const uint8_t *p = msg->rest.ptr;
        uint16_t sources = pv_load_be16(p + 2);
        size_t len = 4 + addr + sources * addr + (size_t)p[1] * 4;
        bool known = p[0] >= MODE_IS_INCLUDE && p[0] <= BLOCK_OLD_SOURCES;
        bool whole = len <= msg->rest.len && take_group(msg, 4, ret_group);
        *ret_change = change_of(p[0], sources);
        msg->records = len <= msg->rest.len ? msg->records - 1 : 0;
        if (msg->records > 0)
            msg->rest = pv_view(p + len, msg->rest.len - len);
        /* A type that is not known is passed over (RFC 3376 s4.2.12). */
        if (whole && known)
            return true;
    }
    return false;
}

/* --- queries ------------------------------------------------------------------------------- */

enum {
    IP4_LEN = 24, /* bytes: header and the router alert option, RFC 2113 */
    IGMP3_QUERY_LEN = 12,
    IP6_LEN = 48, /* bytes: header and a hop-by-hop header with the router alert, RFC 2711 */
    MLD2_QUERY_LEN = 28,
    ROBUSTNESS = 2,      /* QRV, RFC 3376 s8.1 */
    INTERVAL_CODE = 125, /* QQIC: seconds, RFC 3376 s8.2 */
};

static uint16_t checksum(struct pv_view bytes, uint32_t sum)
{
    return (uint16_t)~pv_ippkt_sum(bytes, sum);
}

/* TTL 1 and the router alert are what RFC 3376 s4 asks of every message; hosts may check them. */
static void query4(const struct pv_group *group, uint8_t wait_ds, uint8_t *p)
{
    static const uint8_t all[4] = {224, 0, 0, 1};
    memset(p, 0, IP4_LEN + IGMP3_QUERY_LEN);
    p[0] = 0x46;
    p[1] = 0xc0; /* internetwork control, RFC 3376 s4 */
    pv_store_be16(p + 2, IP4_LEN + IGMP3_QUERY_LEN);
    p[6] = 0x40; /* DF */
    p[8] = 1;
    p[9] = PV_IP_PROTO_IGMP;
    memcpy(p + 16, group == NULL ? all : group->ip, 4);
    memcpy(p + 20, "\x94\x04\x00\x00", 4); /* router alert */
    pv_store_be16(p + 10, checksum(pv_view(p, IP4_LEN), 0));
    uint8_t *q = p + IP4_LEN;
    q[0] = IGMP_QUERY;
    q[1] = wait_ds;
    if (group != NULL)
        memcpy(q + 4, group->ip, 4);
    q[8] = ROBUSTNESS;
    q[9] = INTERVAL_CODE;
    pv_store_be16(q + 2, checksum(pv_view(q, IGMP3_QUERY_LEN), 0));
}

/* Linux drops a query without hop limit 1, router alert or a link-local source (RFC 3810 s6.2). */
static void query6(const struct pv_group *group, uint8_t wait_ds, uint8_t *p)
{
    static const uint8_t all[16] = {0xff, 0x02, [15] = 0x01};
    /* A querier must have a link-local address. */
    static const uint8_t from[16] = {0xfe, 0x80, [14] = 0x70, [15] = 0x76};
    memset(p, 0, IP6_LEN + MLD2_QUERY_LEN);
    p[0] = 0x60;
    pv_store_be16(p + 4, 8 + MLD2_QUERY_LEN);
    p[7] = 1; /* hop limit; the next header, hop-by-hop options, is 0 */
    memcpy(p + 8, from, 16);
    memcpy(p + 24, group == NULL ? all : group->ip, 16);
    memcpy(p + 40, "\x3a\x00\x05\x02\x00\x00\x01\x00", 8); /* ICMPv6; router alert: MLD; PadN */
    uint8_t *q = p + IP6_LEN;
    q[0] = MLD_QUERY;
    pv_store_be16(q + 4, (uint16_t)(wait_ds * 100)); /* milliseconds */
    if (group != NULL)
        memcpy(q + 8, group->ip, 16);
    q[24] = ROBUSTNESS;
    q[25] = INTERVAL_CODE;
    uint32_t pseudo = pv_ippkt_sum(pv_view(p + 8, 32), MLD2_QUERY_LEN + PV_IP_PROTO_ICMP6);
    pv_store_be16(q + 2, checksum(pv_view(q, MLD2_QUERY_LEN), pseudo));
}

void pv_groupmsg_query(uint8_t version, const struct pv_group *group, uint8_t wait_ds,
                       uint8_t buf[static PV_GROUPMSG_QUERY_MAX], size_t *ret_len)
{
    if (version == 4)
        query4(group, wait_ds, buf);
    else
        query6(group, wait_ds, buf);
    *ret_len = version == 4 ? IP4_LEN + IGMP3_QUERY_LEN : IP6_LEN + MLD2_QUERY_LEN;
}
