/* SPDX-License-Identifier: MIT */
/* sockowner.c - one question to the kernel by NETLINK_SOCK_DIAG (sock_diag(7)), and two files. */
#include "sys/net/sockowner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "sys/net/inside.h"

enum {
    WAIT_MS = 500,   /* ours: the kernel answers at once */
    ESTABLISHED = 1, /* TCP_ESTABLISHED and so on of the kernel's net/tcp_states.h */
    FIN_WAIT1 = 4,
    FIN_WAIT2 = 5,
    CLOSE_WAIT = 8,
    MAX_ACCOUNTS = 65536,  /* ours: entries of passwd that are read */
    FIRST_PERSON = 1000,   /* UID_MIN of login.defs(5) */
    FIRST_DYNAMIC = 61184, /* systemd's users for services, up to 65519 */
};

/* The machine's own PID namespace (PROC_PID_INIT_INO of the kernel's linux/proc_ns.h). */
#define FIRST_PID_NS "pid:[4026531836]"

/* --- the socket ---------------------------------------------------------------------------- */

struct question {
    struct nlmsghdr hdr;
    struct inet_diag_req_v2 req;
};

/* The kernel looks a UDP socket up as for a datagram that comes to it (udp_diag.c), so the ends
 * change places. */
static void make_question(const struct pv_addr *local, const struct pv_addr *remote, bool udp,
                          struct question *q)
{
    const struct pv_addr *src = udp ? remote : local, *dst = udp ? local : remote;
    size_t len = local->family == PV_AF_INET6 ? 16 : 4;
    memset(q, 0, sizeof(*q));
    q->hdr.nlmsg_len = sizeof(*q);
    q->hdr.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    q->hdr.nlmsg_flags = NLM_F_REQUEST;
    q->hdr.nlmsg_seq = 1;
    q->req.sdiag_family = local->family == PV_AF_INET6 ? AF_INET6 : AF_INET;
    q->req.sdiag_protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
    q->req.idiag_states = UINT32_MAX;
    q->req.id.idiag_sport = htons(src->port);
    q->req.id.idiag_dport = htons(dst->port);
    memcpy(q->req.id.idiag_src, src->ip, len);
    memcpy(q->req.id.idiag_dst, dst->ip, len);
    q->req.id.idiag_cookie[0] = q->req.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

/* Without such a connection the kernel shows a listener on that port; of one that was closed it has
 * no user left, and says 0. Neither is an answer. */
/* A program may speak IPv4 by a socket of IPv6, which the kernel shows with mapped addresses (RFC
 * 4291 s2.5.5.2). */
static bool is_that_address(const struct inet_diag_msg *msg, const __be32 has[4],
                            const __be32 asked[4], const struct question *q)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    if (q->req.sdiag_family == AF_INET6)
        return memcmp(has, asked, 16) == 0;
    if (msg->idiag_family == AF_INET6)
        return memcmp(has, mapped, sizeof(mapped)) == 0 && has[3] == asked[0];
    return has[0] == asked[0];
}

static bool is_that_stream(const struct inet_diag_msg *msg, const struct question *q)
{
    bool open = msg->idiag_state == ESTABLISHED || msg->idiag_state == FIN_WAIT1 ||
                msg->idiag_state == FIN_WAIT2 || msg->idiag_state == CLOSE_WAIT;
    return open && msg->id.idiag_sport == q->req.id.idiag_sport &&
           msg->id.idiag_dport == q->req.id.idiag_dport &&
           is_that_address(msg, msg->id.idiag_src, q->req.id.idiag_src, q) &&
           is_that_address(msg, msg->id.idiag_dst, q->req.id.idiag_dst, q);
}

static int read_answer(const uint8_t *buf, size_t len, const struct question *q, uint32_t *ret_uid)
{
    struct nlmsghdr hdr;
    struct inet_diag_msg msg;
    if (len < sizeof(hdr))
        return PV_ERR_TRUNCATED;
    memcpy(&hdr, buf, sizeof(hdr));
    if (hdr.nlmsg_type == NLMSG_ERROR) {
        struct nlmsgerr e;
        if (len < NLMSG_HDRLEN + sizeof(e))
            return PV_ERR_TRUNCATED;
        memcpy(&e, buf + NLMSG_HDRLEN, sizeof(e));
        return e.error == -ENOENT ? PV_ERR_NOT_FOUND : e.error < 0 ? e.error : PV_ERR_MALFORMED;
    }
    if (hdr.nlmsg_type != SOCK_DIAG_BY_FAMILY || len < NLMSG_HDRLEN + sizeof(msg))
        return PV_ERR_MALFORMED;
    memcpy(&msg, buf + NLMSG_HDRLEN, sizeof(msg));
    /* A UDP socket may have a port and neither address nor other end. */
    bool same = q->req.sdiag_protocol == IPPROTO_UDP ? msg.id.idiag_sport == q->req.id.idiag_dport
                                                     : is_that_stream(&msg, q);
    if (!same || msg.idiag_inode == 0)
        return PV_ERR_NOT_FOUND;
    *ret_uid = msg.idiag_uid;
    return PV_OK;
}

int pv_sockowner_find(const struct pv_addr *local, const struct pv_addr *remote, unsigned flags,
                      uint32_t *ret_uid)
{
    const struct timeval wait = {.tv_usec = WAIT_MS * 1000};
    struct question q;
    uint8_t buf[4096];
    if (local->family != remote->family ||
        (local->family != PV_AF_INET && local->family != PV_AF_INET6))
        return PV_ERR_UNSUPPORTED;
    const int type = SOCK_RAW | SOCK_CLOEXEC;
    int fd = (flags & PV_SOCKOWNER_OUTSIDE) != 0
                 ? socket(AF_NETLINK, type, NETLINK_SOCK_DIAG)
                 : pv_inside_socket(AF_NETLINK, type, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return errno == EPROTONOSUPPORT || errno == ENOSYS ? PV_ERR_UNSUPPORTED : -errno;
    make_question(local, remote, (flags & PV_SOCKOWNER_UDP) != 0, &q);
    ssize_t n = -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
        send(fd, &q, sizeof(q), 0) == (ssize_t)sizeof(q))
        n = recv(fd, buf, sizeof(buf), 0);
    int r = n < 0 ? -errno : read_answer(buf, (size_t)n, &q, ret_uid);
    close(fd);
    return r;
}

/* --- other users --------------------------------------------------------------------------- */

/* Not root, a service (login.defs(5), systemd.exec(5) DynamicUser=) or nobody. */
static bool is_person(uint32_t uid)
{
    return uid >= FIRST_PERSON && (uid < FIRST_DYNAMIC || uid > UINT16_MAX);
}

static bool has_other_account(uint32_t uid, const char *passwd)
{
    FILE *f = fopen(passwd, "re");
    struct passwd pw, *found = NULL;
    char entry[4096];
    bool other = f == NULL;
    int r = 0;
    for (int i = 0; f != NULL && !other; i++) {
        r = fgetpwent_r(f, &pw, entry, sizeof(entry), &found);
        if (r == ENOENT)
            break;
        other = r != 0 || i == MAX_ACCOUNTS || (found->pw_uid != uid && is_person(found->pw_uid));
    }
    if (f != NULL)
        fclose(f);
    return other;
}

static bool has_other_process(uint32_t uid, int proc_fd)
{
    DIR *dir = fdopendir(proc_fd);
    bool other = false, sees_init = false;
    if (dir == NULL)
        close(proc_fd);
    for (struct dirent *e; dir != NULL && !other && (e = readdir(dir)) != NULL;) {
        struct stat st;
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || fstatat(proc_fd, e->d_name, &st, 0) < 0)
            continue; /* no process, or one that has ended */
        sees_init = sees_init || strcmp(e->d_name, "1") == 0;
        other = st.st_uid != uid && is_person(st.st_uid);
    }
    if (dir != NULL)
        closedir(dir);
    return other || !sees_init;
}

bool pv_sockowner_is_alone(uint32_t uid, const char *passwd, const char *proc)
{
    char ns[64] = {0};
    int fd = open(proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (readlinkat(fd, "self/ns/pid", ns, sizeof(ns) - 1) > 0 && strcmp(ns, FIRST_PID_NS) == 0)
        return !has_other_process(uid, fd) && !has_other_account(uid, passwd);
    close(fd);
    return false;
}
