/* SPDX-License-Identifier: MIT */
/*
 * captive.c - an intruder in the sandboxed control process of p2pvpnd: loaded beforehand
 * (LD_PRELOAD), it does nothing until there is a file "attack" in the state directory
 * (CAPTIVE_DIR). Then it asks the helper for what no daemon needs, reaches for the root key, and
 * opens sockets to others, and writes to "attack.said" what it could do and what not. For
 * lab/rights.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/helper/helper_proto.h"

static struct pv_helper_request req;
static FILE *said;

static struct pv_helper_request *ask_for(uint32_t kind)
{
    memset(&req, 0, sizeof(req));
    req.kind = kind;
    return &req;
}

/* The usher, whose socket is of the same kind, answers nothing. */
static bool is_answered(int fd)
{
    struct pv_helper_reply reply;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return send(fd, ask_for(0), sizeof(req), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(req) &&
           poll(&p, 1, 1000) == 1 &&
           recv(fd, &reply, sizeof(reply), MSG_DONTWAIT) == (ssize_t)sizeof(reply);
}

static int find_helper(void)
{
    for (int fd = 3; fd < 64; fd++) {
        int type = 0, domain = 0;
        socklen_t len = sizeof(type);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET &&
            getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
            is_answered(fd))
            return fd;
    }
    return -1;
}

static void tell(const char *what, bool could)
{
    fprintf(said, "%s: %s\n", could ? "could" : "could not", what);
}

static void attempt(int helper, const char *what)
{
    struct pv_helper_reply reply = {.status = -1};
    char control[CMSG_SPACE(PV_HELPER_MAX_FDS * sizeof(int))];
    struct iovec iov = {.iov_base = &reply, .iov_len = sizeof(reply)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    bool answered = send(helper, &req, sizeof(req), MSG_NOSIGNAL) == (ssize_t)sizeof(req) &&
                    recvmsg(helper, &msg, 0) == (ssize_t)sizeof(reply);
    tell(what, answered && reply.status == 0);
    fprintf(said, "# %s\n", answered ? reply.error : "no answer");
}

static struct pv_prefix prefix4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t bits)
{
    return (struct pv_prefix){.base = {.family = PV_AF_INET, .ip = {a, b, c, d}}, .bits = bits};
}

static struct pv_helper_iface *an_interface(void)
{
    struct pv_helper_iface *i = &ask_for(PV_HELPER_IFACE_UP)->iface;
    i->n_addrs = 1;
    i->addrs[0] = prefix4(10, 99, 0, 1, 16);
    i->mtu = 1420;
    i->queues = 1;
    return i;
}

static void ask_the_helper(int helper)
{
    /* It does answer: what a daemon may ask for is done. */
    snprintf((char *)ask_for(PV_HELPER_TASK)->args, sizeof(req.args), "localhost");
    req.args_len = sizeof(req.args);
    attempt(helper, "start a task");

    snprintf(ask_for(PV_HELPER_NOTIFY)->notify, sizeof(req.notify), "/bin/sh");
    attempt(helper, "choose a program for root");
    snprintf(ask_for(PV_HELPER_FILES)->socket, sizeof(req.socket), "/run/captive.file");
    snprintf(req.names, sizeof(req.names), "/etc/passwd");
    attempt(helper, "choose files");
    snprintf(ask_for(PV_HELPER_SANDBOX)->fixed.ifname, sizeof(req.fixed.ifname), "eth0");
    attempt(helper, "choose another interface");
    ask_for(PV_HELPER_OPEN_UDP)->udp_port = 53;
    req.udp_sockets = 1;
    attempt(helper, "open another port");
    an_interface()->addrs[0] = prefix4(9, 9, 9, 9, 32);
    attempt(helper, "have an address of the Internet");
    an_interface()->routes[0] = prefix4(128, 0, 0, 0, 1);
    req.iface.n_routes = 1;
    attempt(helper, "draw half of the Internet");
    an_interface()->addrs[0] = prefix4(127, 0, 0, 7, 8);
    attempt(helper, "have this machine's own address");
    ask_for(PV_HELPER_OPEN_DNS)->dns = prefix4(127, 0, 0, 1, 32).base;
    attempt(helper, "be the machine's name server");
    ask_for(1000);
    attempt(helper, "ask for something unknown");
}

static bool can_connect(int type, const char *name)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type, 0);
    memcpy(to.sun_path + (name[0] == '@' ? 1 : 0), name + (name[0] == '@' ? 1 : 0),
           strlen(name) - (name[0] == '@' ? 1 : 0));
    return fd >= 0 &&
           connect(fd, (const struct sockaddr *)&to,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) == 0;
}

static bool can_read(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The file is its own user's, by whatever name. */
static void take_the_root_key(const char *dir)
{
    char path[256], other[256], link[64];
    snprintf(path, sizeof(path), "%s/root.key", dir);
    snprintf(other, sizeof(other), "%s/attack.key", dir);
    tell("read the root key", can_read(path));
    tell("give the root key another mode", chmod(path, 0600) == 0 || can_read(path));
    tell("give it another mode from its directory",
         fchmodat(AT_FDCWD, path, 0600, 0) == 0 || can_read(path));
    int fd = open(path, O_PATH);
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    tell("give it another mode by a descriptor", fchmod(fd, 0600) == 0 || can_read(link));
    tell("read it by another name",
         rename(path, other) != 0 || can_read(other) || rename(other, path) != 0);
}

/* Its own namespace or one that it owns: a mark is for who has CAP_NET_ADMIN there. */
static bool can_mark(void)
{
    bool could = false;
    for (int fd = 3; fd < 256; fd++) {
        const int mark = 7;
        int domain = 0;
        socklen_t len = sizeof(domain);
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain != AF_UNIX &&
            setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0)
            could = true;
    }
    return could;
}

static void attack(const char *dir)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/attack.said", dir);
    said = fopen(path, "w");
    if (said == NULL)
        return;
    ask_the_helper(find_helper());
    take_the_root_key(dir);
    snprintf(path, sizeof(path), "%s/../../../secret", dir);
    tell("read another file of its user", can_read(path));
    tell("reach a bus by its path", can_connect(SOCK_STREAM, "/run/captive.bus"));
    tell("reach a bus by its name", can_connect(SOCK_STREAM, "@captive.bus"));
    tell("open a unix socket of datagrams", socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
    tell("mark what a socket sends", can_mark());
    fprintf(said, "end\n");
    fclose(said);
}

/* The call in which the control thread's loop waits; the helper and the usher have none. */
int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    static int (*next)(int, struct epoll_event *, int, int);
    const char *dir = getenv("CAPTIVE_DIR");
    char path[256];
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "epoll_wait");
    if (dir != NULL && gettid() == getpid()) {
        snprintf(path, sizeof(path), "%s/attack", dir);
        if (unlink(path) == 0)
            attack(dir);
    }
    return next(epfd, events, maxevents, timeout);
}
