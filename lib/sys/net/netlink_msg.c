/* SPDX-License-Identifier: MIT */
/*
 * netlink_msg.c - what all readers of netlink sockets share. Nothing is read behind what the kernel
 * has sent, whatever lengths stand in it.
 */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/inside.h"
#include "sys/net/netlink_int.h"

int pv_nl_route_socket(uint32_t groups, int flags, bool inside, int *ret_fd)
{
    const int type = SOCK_RAW | SOCK_CLOEXEC | flags;
    int fd = inside ? pv_inside_socket(AF_NETLINK, type, NETLINK_ROUTE)
                    : socket(AF_NETLINK, type, NETLINK_ROUTE);
    if (fd < 0)
        return -errno;
    struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_groups = groups};
    if (bind(fd, (struct sockaddr *)&nl, sizeof(nl)) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return PV_OK;
}

bool pv_nl_attr_next(struct pv_view *rest, struct pv_nl_attr *ret)
{
    struct rtattr rta;
    if (rest->len < sizeof(rta))
        return false;
    memcpy(&rta, rest->ptr, sizeof(rta));
    if (rta.rta_len < sizeof(rta) || rta.rta_len > rest->len)
        return false;
    ret->type = rta.rta_type & 0x3fff; /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */
    ret->value = pv_view(rest->ptr + sizeof(rta), rta.rta_len - sizeof(rta));
    size_t step = RTA_ALIGN((size_t)rta.rta_len);
    if (step > rest->len)
        step = rest->len;
    *rest = pv_view(rest->ptr + step, rest->len - step);
    return true;
}

bool pv_nl_message_next(struct pv_view *rest, struct nlmsghdr *ret_hdr, struct pv_view *ret_body)
{
    if (rest->len < sizeof(*ret_hdr))
        return false;
    memcpy(ret_hdr, rest->ptr, sizeof(*ret_hdr));
    size_t len = ret_hdr->nlmsg_len;
    if (len < NLMSG_HDRLEN || len > rest->len)
        return false;
    *ret_body = pv_view(rest->ptr + NLMSG_HDRLEN, len - NLMSG_HDRLEN);
    size_t step = NLMSG_ALIGN(len) < rest->len ? NLMSG_ALIGN(len) : rest->len;
    *rest = pv_view(rest->ptr + step, rest->len - step);
    return true;
}
