/* SPDX-License-Identifier: MIT */
/*
 * hostwatch.c - listens to rtnetlink and nfnetlink. A message of the first kind means "look again",
 * whatever it says. Of the second kind those about our table are counted, since our own changes
 * come back as messages too.
 */
#include "sys/helper/hostwatch.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/netlink_int.h"

enum {
    READS = 64, /* at a time: a machine that makes containers all day must not keep us here */
};

#define GROUP(name) (1u << ((name)-1))

int pv_hostwatch_open(struct pv_hostwatch *w)
{
    const uint32_t groups =
        GROUP(RTNLGRP_LINK) | GROUP(RTNLGRP_IPV4_IFADDR) | GROUP(RTNLGRP_IPV6_IFADDR) |
        GROUP(RTNLGRP_IPV4_ROUTE) | GROUP(RTNLGRP_IPV6_ROUTE) | GROUP(RTNLGRP_IPV4_RULE) |
        GROUP(RTNLGRP_IPV6_RULE) | GROUP(RTNLGRP_IPV4_NETCONF) | GROUP(RTNLGRP_IPV6_NETCONF);
    if (w->route_fd >= 0)
        return PV_OK;
    return pv_nl_route_socket(groups, SOCK_NONBLOCK, false, &w->route_fd);
}

void pv_hostwatch_open_nft(struct pv_hostwatch *w)
{
    const struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
    const int group = NFNLGRP_NFTABLES;
    if (w->nft_fd >= 0)
        return;
    w->nft_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    if (w->nft_fd >= 0 &&
        (bind(w->nft_fd, (const struct sockaddr *)&nl, sizeof(nl)) < 0 ||
         setsockopt(w->nft_fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)) {
        close(w->nft_fd);
        w->nft_fd = -1;
    }
}

void pv_hostwatch_close(struct pv_hostwatch *w)
{
    if (w->route_fd >= 0)
        close(w->route_fd);
    if (w->nft_fd >= 0)
        close(w->nft_fd);
    w->route_fd = w->nft_fd = -1;
}

/* --- netfilter ----------------------------------------------------------------------------- */

/* Does the attribute of this type name our table? */
static bool names_table(const struct pv_hostwatch *w, struct pv_view attrs, unsigned short type)
{
    struct pv_nl_attr a;
    size_t len = strlen(w->table) + 1;
    while (pv_nl_attr_next(&attrs, &a))
        if (a.type == type && a.value.len == len && memcmp(a.value.ptr, w->table, len) == 0)
            return true;
    return false;
}

/* A rule's and a table's first attribute is the table's name in both. */
static void take_nft(struct pv_hostwatch *w, uint16_t type, struct pv_view body)
{
    struct nfgenmsg head;
    _Static_assert((int)NFTA_RULE_TABLE == (int)NFTA_TABLE_NAME, "the name is in one place");
    if ((type >> 8) != NFNL_SUBSYS_NFTABLES || body.len < sizeof(head))
        return;
    memcpy(&head, body.ptr, sizeof(head));
    if (head.nfgen_family != NFPROTO_INET ||
        !names_table(w, pv_view(body.ptr + sizeof(head), body.len - sizeof(head)), NFTA_TABLE_NAME))
        return;
    switch (type & 0xff) {
    case NFT_MSG_NEWTABLE:
        w->has_table = true;
        break;
    case NFT_MSG_DELTABLE:
        w->has_table = false;
        break;
    case NFT_MSG_NEWRULE:
        w->rules++;
        break;
    case NFT_MSG_DELRULE:
        w->rules--;
        break;
    default:
        break;
    }
}

/* --- both ---------------------------------------------------------------------------------- */

static void note(struct pv_hostwatch *w, pv_ns now)
{
    if (w->first == 0)
        w->first = now;
    w->last = now;
}

/* Messages were lost: anything may have happened to our table, so it counts as gone. */
static void lose(struct pv_hostwatch *w, bool nft)
{
    if (nft)
        w->has_table = false;
}

static bool drain(struct pv_hostwatch *w, int fd, bool nft)
{
    uint8_t buf[16384];
    bool any = false;
    for (int i = 0; fd >= 0 && i < READS; i++) {
        struct nlmsghdr hdr;
        struct pv_view body;
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0 && errno == ENOBUFS) {
            lose(w, nft);
            any = true;
            continue;
        }
        if (n <= 0)
            break;
        any = true;
        struct pv_view rest = pv_view(buf, (size_t)n);
        while (nft && pv_nl_message_next(&rest, &hdr, &body))
            take_nft(w, hdr.nlmsg_type, body);
    }
    return any;
}

bool pv_hostwatch_read(struct pv_hostwatch *w, pv_ns now)
{
    bool routes = drain(w, w->route_fd, false);
    bool nft = drain(w, w->nft_fd, true);
    if (routes || nft)
        note(w, now);
    return routes || nft;
}

void pv_hostwatch_settle(struct pv_hostwatch *w)
{
    (void)drain(w, w->nft_fd, true);
}
