/* SPDX-License-Identifier: MIT */
/* gate.c - listeners of loopback and the file system, and whose a connection is. */
#include "sys/net/gate.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "sys/net/inside.h"
#include "sys/net/sockaddr.h"
#include "sys/net/sockowner.h"
#include "sys/net/stream.h"
#include "sys/net/unixsock.h"

/* --- opening ------------------------------------------------------------------------------- */

static int parse(const char *where, struct pv_addr *ret_addr, char why[static PV_GATE_WHY])
{
    uint64_t port = 0;
    if (pv_u64_parse(where, 0, UINT16_MAX, &port) == PV_OK)
        *ret_addr = pv_addr4(127, 0, 0, 1, (uint16_t)port);
    else if (pv_addr_parse(where, ret_addr) < 0) {
        snprintf(
            why, PV_GATE_WHY,
            "\"%.100s\" is no place to listen: give PORT, 127.0.0.1:PORT, [::1]:PORT or a PATH "
            "with a /",
            where);
        return PV_ERR_MALFORMED;
    }
    if (pv_addr_is_loopback(ret_addr))
        return PV_OK;
    snprintf(why, PV_GATE_WHY,
             "\"%.100s\" is not loopback: only this user's programs may come in, so give PORT or "
             "127.0.0.1:PORT",
             where);
    return PV_ERR_MALFORMED;
}

static int open_udp(const struct pv_addr *addr, const char *ifname, int *ret_fd)
{
    const int type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(addr, &ss);
    int fd =
        ifname == NULL ? socket(addr->family, type, 0) : pv_inside_socket(addr->family, type, 0);
    bool tied = ifname == NULL || (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname,
                                                         (socklen_t)strlen(ifname)) == 0);
    if (fd < 0 || !tied || bind(fd, (struct sockaddr *)&ss, len) < 0) {
        int r = errno == EADDRINUSE ? PV_ERR_EXISTS : -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    *ret_fd = fd;
    return PV_OK;
}

static int open_path(struct pv_gate *g, const char *path, char why[static PV_GATE_WHY])
{
    int r = pv_unix_listen(path, NULL, &g->fd);
    if (r == PV_OK) {
        g->path = path;
        return PV_OK;
    }
    if (r == -ENAMETOOLONG) {
        snprintf(why, PV_GATE_WHY,
                 "%.120s: a socket's path has at most 107 bytes: give a shorter one", path);
        return PV_ERR_MALFORMED;
    }
    snprintf(why, PV_GATE_WHY, "%.120s: %s", path,
             r == PV_ERR_EXISTS ? "another program listens there: end it, or give another path"
             : r == -ENOTSOCK   ? "there is a file of that name: remove it, or give another path"
                                : pv_strstatus(r));
    /* A directory of somebody else is mended by another path, not by more rights. */
    return r == -EACCES ? -EPERM : r;
}

int pv_gate_open(struct pv_gate *g, const char *where, bool udp, char ret_why[static PV_GATE_WHY])
{
    *g = (struct pv_gate){.fd = -1, .udp = udp, .uid = geteuid()};
    if (strchr(where, '/') != NULL) {
        if (!udp)
            return open_path(g, where, ret_why);
        snprintf(ret_why, PV_GATE_WHY, "\"%.100s\" is a path: -u needs a port", where);
        return PV_ERR_MALFORMED;
    }
    int r = parse(where, &g->addr, ret_why);
    if (r < 0)
        return r;
    r = udp ? open_udp(&g->addr, NULL, &g->fd) : pv_stream_listen(&g->addr, NULL, &g->fd);
    if (r == PV_OK)
        r = pv_stream_local(g->fd, &g->addr);
    if (r == PV_ERR_EXISTS)
        snprintf(ret_why, PV_GATE_WHY,
                 "port %u is in use on this machine: give another one, or 0 for any", g->addr.port);
    else if (r == -EACCES)
        snprintf(ret_why, PV_GATE_WHY, "port %u is for root: give one from 1024 on, or 0 for any",
                 g->addr.port);
    else if (r < 0)
        snprintf(ret_why, PV_GATE_WHY, "listen at %.100s: %s", where, pv_strstatus(r));
    return r;
}

int pv_gate_open_overlay(struct pv_gate *g, const struct pv_addr *at, const char *ifname, bool udp)
{
    *g = (struct pv_gate){.fd = -1, .udp = udp, .members = true, .addr = *at};
    return udp ? open_udp(at, ifname, &g->fd) : pv_stream_listen(at, ifname, &g->fd);
}

bool pv_gate_stands(const struct pv_gate *g, const struct pv_addr *at)
{
    char name[IFNAMSIZ];
    socklen_t len = sizeof(name);
    /* The socket knows its interface by a number, which is nobody's when that has gone. */
    return g->fd >= 0 && pv_addr_equal(&g->addr, at) &&
           getsockopt(g->fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len) == 0 &&
           !pv_inside_is_broken(g->fd);
}

void pv_gate_close(struct pv_gate *g)
{
    if (g->path != NULL)
        unlink(g->path);
    if (g->fd >= 0)
        close(g->fd);
    *g = (struct pv_gate){.fd = -1};
}

const char *pv_gate_name(const struct pv_gate *g, char buf[static PV_ADDR_TEXT])
{
    return g->path != NULL ? g->path : pv_addr_format(&g->addr, buf);
}

/* --- who comes in -------------------------------------------------------------------------- */

/* A program of this machine reaches the gate for members, too, because the kernel routes it there.
 * It comes from an address of this machine, and no member has such an address: the kernel takes no
 * packet from elsewhere under an address of its own. */
static bool is_of_this_machine(const struct pv_addr *from)
{
    struct sockaddr_storage ss;
    struct pv_addr any_port = *from;
    if (pv_inside_is_stack()) /* which takes none from an own address */
        return false;
    any_port.port = 0;
    socklen_t len = pv_sockaddr_from(&any_port, &ss);
    int fd = pv_inside_socket(from->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool here = fd < 0 || bind(fd, (struct sockaddr *)&ss, len) == 0;
    if (fd >= 0)
        close(fd);
    return here;
}

static int accept_unix(const struct pv_gate *g, int *ret_fd)
{
    struct pv_unix_cred cred;
    int fd = -1, r = pv_unix_accept(g->fd, &fd, &cred);
    if (r < 0)
        return r;
    if (cred.uid != g->uid) {
        close(fd);
        return PV_ERR_REFUSED;
    }
    *ret_fd = fd;
    return PV_OK;
}

static bool lets_ended_in(const struct pv_gate *g)
{
    if (g->ended == PV_GATE_ENDED_SHARED && !pv_inside_is_apart())
        return true;
    return g->ended != PV_GATE_ENDED_REFUSED &&
           pv_sockowner_is_alone(g->uid, "/etc/passwd", "/proc");
}

static int judge_owner(const struct pv_gate *g, const struct pv_addr *from,
                       const struct pv_addr *to, unsigned flags)
{
    uint32_t uid = 0;
    int r = pv_sockowner_find(from, to, PV_SOCKOWNER_OUTSIDE | flags, &uid);
    if (r == PV_ERR_NOT_FOUND && lets_ended_in(g))
        return PV_OK;
    if (r < 0)
        return PV_ERR_NOT_FOUND;
    return uid == g->uid ? PV_OK : PV_ERR_REFUSED;
}

int pv_gate_accept(const struct pv_gate *g, int *ret_fd)
{
    struct pv_addr from, to;
    int fd = -1;
    if (g->path != NULL)
        return accept_unix(g, ret_fd);
    int r = pv_stream_accept(g->fd, &fd, &from, &to);
    if (r < 0)
        return r;
    if (g->members) {
        bool refused = is_of_this_machine(&from);
        if (refused)
            close(fd);
        else
            *ret_fd = fd;
        return refused ? PV_ERR_REFUSED : PV_OK;
    }
    /* A program of this machine may stop reading for as long as it likes. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(int){0}, sizeof(int));
    r = judge_owner(g, &from, &to, 0);
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

int pv_gate_judge(const struct pv_gate *g, const struct pv_addr *from)
{
    if (g->members)
        return is_of_this_machine(from) ? PV_ERR_REFUSED : PV_OK;
    return judge_owner(g, from, &g->addr, PV_SOCKOWNER_UDP);
}
