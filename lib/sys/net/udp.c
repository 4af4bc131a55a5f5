/* SPDX-License-Identifier: MIT */
/*
 * udp.c - opening UDP sockets: options, groups of one port, the program that steers them.
 */
#include "sys/net/udp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/sockaddr.h"

static int set_udp_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : PV_OK;
}

/* The privileged form ignores the system-wide limit; the plain one takes what it can get. */
static void set_buffers(int fd)
{
    if (set_udp_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, PV_UDP_SOCKBUF) < 0)
        (void)!set_udp_int(fd, SOL_SOCKET, SO_RCVBUF, PV_UDP_SOCKBUF);
    if (set_udp_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, PV_UDP_SOCKBUF) < 0)
        (void)!set_udp_int(fd, SOL_SOCKET, SO_SNDBUF, PV_UDP_SOCKBUF);
}

/*
 * The program that chooses among a group's sockets, which are counted in the order of bind; offset
 * 0 is the first byte of the datagram. It never returns n or more: the kernel would take any socket
 * then, also one that only sends. A load behind the end returns 0.
 */
static int attach_program(int fd, unsigned n)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 3), /* transport data, whitepaper s5.4.6 */
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 4),        /* the low byte of the receiver index */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, n, 1, 0),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog prog = {.len = PV_ARRAY_LEN(code), .filter = code};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)) < 0)
        return -errno;
    return PV_OK;
}

void pv_udp_set_gro(int fd)
{
    (void)!set_udp_int(fd, SOL_UDP, UDP_GRO,
                       1); /* Linux 5.0; without it datagrams come one by one */
}

bool pv_udp_has_gro(int fd)
{
    int value = 0;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_UDP, UDP_GRO, &value, &len) == 0 && value != 0;
}

/* PKTINFO tells to which address a datagram came, so that the answer leaves from there: NATs and
 * firewalls accept no other. RECVERR brings ICMP errors to the socket's error queue. */
static int set_udp_options(int fd, bool v6, const struct pv_udp_opts *opts)
{
    int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
    int r = v6 ? set_udp_int(fd, level, IPV6_V6ONLY, 1) : PV_OK;
    if (r >= 0)
        r = set_udp_int(fd, level, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1);
    if (r >= 0)
        r = set_udp_int(fd, level, v6 ? IPV6_RECVERR : IP_RECVERR, 1);
    if (r >= 0 && opts->df)
        r = set_udp_int(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
                        v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE);
    if (r >= 0 && opts->cut)
        r = set_udp_int(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
                        v6 ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_OMIT);
    if (r >= 0 && opts->ecn)
        r = set_udp_int(fd, level, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, 1);
    if (r >= 0 && opts->waited)
        r = set_udp_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    if (opts->mark != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &opts->mark, sizeof(opts->mark));
    if (r >= 0) {
        set_buffers(fd);
        if (opts->gro)
            pv_udp_set_gro(fd);
    }
    return r;
}

static int bind_udp(int fd, const struct pv_addr *addr)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(addr, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) == 0)
        return PV_OK;
    return errno == EADDRINUSE ? PV_ERR_EXISTS : -errno;
}

static int new_udp_socket(const struct pv_addr *addr, int *ret_fd)
{
    int fd = socket(addr->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return PV_OK;
}

/* With SO_REUSEPORT two daemons of one user could share a port without noticing: ask without. */
static int check_free(const struct pv_addr *addr)
{
    int fd = -1;
    int r = new_udp_socket(addr, &fd);
    if (r < 0)
        return r;
    if (addr->family == PV_AF_INET6)
        r = set_udp_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (r >= 0)
        r = bind_udp(fd, addr);
    close(fd);
    return r;
}

/* The role of a socket within the group of its port. */
struct membership {
    bool shares;       /* it is in a group */
    unsigned steer_to; /* how many sockets of the group receive; 0: it is not the first */
};

/* The program is attached before bind, so that no datagram is ever distributed without it. */
static int open_udp_socket(const struct pv_addr *addr, const struct pv_udp_opts *opts,
                           struct membership group, int *ret_fd)
{
    int fd = -1, r = new_udp_socket(addr, &fd);
    if (r < 0)
        return r;
    r = set_udp_options(fd, addr->family == PV_AF_INET6, opts);
    if (r >= 0 && group.shares)
        r = set_udp_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (r >= 0 && group.steer_to != 0)
        r = attach_program(fd, group.steer_to); /* before bind: never without */
    if (r >= 0 && opts->ifname != NULL &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, opts->ifname, (socklen_t)strlen(opts->ifname)) <
            0)
        r = -errno;
    if (r >= 0)
        r = bind_udp(fd, addr);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return PV_OK;
}

static bool is_ip(const struct pv_addr *addr)
{
    return addr->family == PV_AF_INET || addr->family == PV_AF_INET6;
}

int pv_udp_open(const struct pv_addr *addr, const struct pv_udp_opts *opts, int *ret_fd)
{
    if (!is_ip(addr))
        return -EAFNOSUPPORT;
    return open_udp_socket(addr, opts, (struct membership){.shares = false}, ret_fd);
}

int pv_udp_join(int fd, const struct pv_udp_opts *opts, int *ret_fd)
{
    struct pv_addr addr;
    int r = pv_udp_local(fd, &addr);
    if (r < 0)
        return r;
    return open_udp_socket(&addr, opts, (struct membership){.shares = true}, ret_fd);
}

/* The order of bind is the order by which the program counts, so sockets are bound one after the
 * other; with port 0 the first one gets the port for all. */
int pv_udp_open_group(const struct pv_addr *addr, const struct pv_udp_opts *opts, unsigned n,
                      int ret_fds[static PV_UDP_GROUP_MAX])
{
    int fds[PV_UDP_GROUP_MAX], r = PV_OK;
    unsigned open = 0;
    if (!is_ip(addr))
        return -EAFNOSUPPORT;
    if (n == 0 || n > PV_UDP_GROUP_MAX)
        return PV_ERR_LIMIT;
    if (addr->port != 0)
        r = check_free(addr);
    while (r >= 0 && open < n) {
        r = open == 0 ? open_udp_socket(addr, opts, (struct membership){true, n}, &fds[0])
                      : pv_udp_join(fds[0], opts, &fds[open]);
        open += r >= 0 ? 1 : 0;
    }
    if (r < 0) {
        while (open > 0)
            close(fds[--open]);
        return r;
    }
    memcpy(ret_fds, fds, n * sizeof(fds[0]));
    return PV_OK;
}

void pv_udp_group_close(struct pv_udp_group *group)
{
    for (unsigned i = 0; i < group->n; i++) {
        close(group->fd4[i]);
        if (group->fd6[i] >= 0)
            close(group->fd6[i]);
    }
    if (group->has_cut) {
        close(group->cut4);
        if (group->cut6 >= 0)
            close(group->cut6);
    }
    group->has_cut = false;
    group->n = 0;
}

/* PROBE ignores the kernel's cache of path MTUs: ours is measured for each path. */
int pv_udp_set_df(int fd, uint16_t family, bool df)
{
    if (family == PV_AF_INET6)
        return set_udp_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
                           df ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT);
    return set_udp_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, df ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
}

uint64_t pv_udp_not_received(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof(info);
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
        return 0; /* before Linux 4.12 */
    return info[SK_MEMINFO_DROPS];
}

int pv_udp_local(int fd, struct pv_addr *ret_addr)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return -errno;
    *ret_addr = pv_sockaddr_to(&ss);
    return PV_OK;
}
