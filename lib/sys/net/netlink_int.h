/* SPDX-License-Identifier: MIT */
/*
 * netlink_int.h - messages of netlink sockets, cut into pieces; for netlink*.c and netroutes.c
 * only.
 */
#pragma once

#include <linux/netlink.h>

#include "base/pv.h"

struct pv_nl_attr {
    unsigned short type;
    struct pv_view value;
};

/* Cuts the next attribute off the front; false at the end or when it does not fit. */
bool pv_nl_attr_next(struct pv_view *rest, struct pv_nl_attr *ret);
/* The same with the next message. */
bool pv_nl_message_next(struct pv_view *rest, struct nlmsghdr *ret_hdr, struct pv_view *ret_body);
/* A socket of its own for each dump: answers of one are never mixed with messages of a monitor.
 * inside: of the interface's network (inside.h). -errno. */
PV_MUST_CHECK int pv_nl_route_socket(uint32_t groups, int flags, bool inside, int *ret_fd);
