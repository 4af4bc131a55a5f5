/* SPDX-License-Identifier: MIT */
/*
 * groupmsg.h - IGMP (RFC 2236, RFC 3376) and MLD (RFC 2710, RFC 3810) as a querier needs them:
 * reading what a host reports, and building the questions.
 *
 * Sources are not told apart: a host that wants some sources of a group wants the group; its kernel
 * filters. Checksums of reports are not verified: they come from this machine's own kernel. Safe on
 * any input: fuzz target fuzz_group. Thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "proto/group/group.h"
#include "proto/ip/ippkt.h"

enum {
    PV_GROUPMSG_RECORDS = 255, /* ours: read of one report; an MTU of 1420 holds 172 */
    PV_GROUPMSG_QUERY_MAX = 76 /* bytes: IPv6 header, hop-by-hop options, MLDv2 query */
};

enum pv_group_change {
    PV_GROUP_WANTED,  /* it is a member, or becomes one */
    PV_GROUP_LEFT,    /* no more */
    PV_GROUP_DOUBTED, /* it wants fewer sources than before, perhaps none: ask */
};

/* The unread rest of one report. */
struct pv_groupmsg {
    uint8_t version; /* 4 or 6 */
    uint8_t type;
    uint16_t records; /* of an IGMPv3 or MLDv2 report; else 0, and group is the one */
    bool single;      /* an older report or leave: there is one group */
    struct pv_view rest;
};

/* Returns true if it is an IGMP or MLD packet of any type. */
bool pv_groupmsg_is(const struct pv_ippkt *ip);
/* PV_ERR_UNSUPPORTED: no report nor leave (a query, another protocol). PV_ERR_TRUNCATED,
 * PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_groupmsg_read(const struct pv_ippkt *ip, struct pv_groupmsg *ret_msg);
/* The next group of it, valid while the packet is; false: there is none, or the rest is damaged. */
bool pv_groupmsg_next(struct pv_groupmsg *msg, struct pv_group *ret_group,
                      enum pv_group_change *ret_change);

/*
 * Writes an IP packet that asks which groups this host wants; group NULL: all, else this group.
 * IGMPv3 from 0.0.0.0: RFC 3376 s4.1.12 lets a host without an address ask so, and the kernel takes
 * a packet from its own address for forged. MLDv2 from a link-local address that nobody has (RFC
 * 3810 s5.1.14). wait_ds: tenths of a second that the host may take, below 128.
 */
void pv_groupmsg_query(uint8_t version, const struct pv_group *group, uint8_t wait_ds,
                       uint8_t buf[static PV_GROUPMSG_QUERY_MAX], size_t *ret_len);
