/* SPDX-License-Identifier: MIT */
/*
 * helper.c - the daemon's end of the privileged helper: fork, requests, descriptors. The helper is
 * forked before any packet is read and before any thread starts, so a daemon that is taken over
 * later finds a process with rights that does six things and checks each of them.
 */
#include "sys/helper/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/remedy.h"
#include "sys/helper/helper_proto.h"
#include "sys/net/inside.h"
#include "sys/net/unixsock.h"
#include "sys/proc/child.h"
#include "sys/proc/clock.h"

#define STACK_EVERY PV_S(1) /* ours: between two starts of lwIP's process */

struct pv_helper {
    pthread_mutex_t lock; /* one request at a time */
    int fd;               /* requests and replies */
    int inside;           /* the same of the second helper; -1: there is none */
    int alive_fd;         /* read end of a pipe only the helper holds the other end of */
    pid_t pid;
    struct {
        int pid; /* 0: lwIP is not used */
        unsigned restarts;
        pv_ns started;
    } stack;
};

/* No death signal: it sees the daemon's end by its socket, and has to clean up after it. */
static void be_helper(int fd, pid_t parent, const void *ctx)
{
    pv_helper_serve(fd, parent, *(pv_helper_task *const *)ctx);
}

/* The pipe whose other end only the helper holds tells its death without SIGCHLD, which libraries
 * may use. */
int pv_helper_start(struct pv_helper **ret_helper, pv_helper_task *task)
{
    int alive[2];
    struct pv_helper *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return PV_ERR_NOMEM;
    int r = pipe2(alive, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : PV_OK;
    if (r == PV_OK) {
        r = pv_child_fork("p2pvpnd-helper", be_helper, &task, (const int[]){alive[1], -1}, &h->fd,
                          &h->pid);
        close(alive[1]);
        if (r < 0)
            close(alive[0]);
    }
    if (r < 0) {
        free(h);
        return r;
    }
    pthread_mutex_init(&h->lock, NULL);
    h->inside = -1;
    h->alive_fd = alive[0];
    *ret_helper = h;
    return PV_OK;
}

struct pv_helper *pv_helper_stop(struct pv_helper *h)
{
    if (h != NULL) {
        if (h->inside >= 0)
            close(h->inside);
        close(h->fd);
        while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        close(h->alive_fd);
        pthread_mutex_destroy(&h->lock);
        free(h);
    }
    return NULL;
}

int pv_helper_alive_fd(const struct pv_helper *h)
{
    return h->alive_fd;
}

/* --- calls --------------------------------------------------------------------------------- */

/* One request, and what comes back. */
struct call {
    struct pv_helper_request req;
    int pass; /* goes along; -1: nothing */
    struct pv_helper_reply reply;
    int fds[PV_HELPER_MAX_FDS]; /* reply.n_fds of them */
};

static void take_fds(struct msghdr *msg, int fds[static PV_HELPER_MAX_FDS], uint32_t *ret_n)
{
    *ret_n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), n * sizeof(int));
        *ret_n = (uint32_t)n;
    }
}

/* Sends the request and waits for its reply. There is one request at a time and SEQPACKET keeps the
 * boundaries, so a reply always belongs to the last request. */
static int call_locked(int fd, struct call *c)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(PV_HELPER_MAX_FDS * sizeof(int))];
    struct iovec iov = {.iov_base = &c->reply, .iov_len = sizeof(c->reply)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    uint32_t n_fds = 0;
    c->fds[0] = c->fds[1] = -1; /* what callers take of a reply that has none */
    ssize_t n = -1;
    if (pv_unix_hand(fd, pv_view(&c->req, sizeof(c->req)), c->pass, -1) == PV_OK) {
        do {
            n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
        } while (n < 0 && errno == EINTR);
    }
    if (n != (ssize_t)sizeof(c->reply)) {
        c->reply.n_fds = 0;
        snprintf(c->reply.error, PV_HELPER_ERROR_MAX, "ask the privileged helper: it is gone: %s",
                 PV_DO_STR(restart_p2pvpnd));
        return PV_ERR_CLOSED;
    }
    take_fds(&msg, c->fds, &n_fds);
    if (n_fds != c->reply.n_fds) { /* out of descriptors: the kernel dropped some */
        for (uint32_t i = 0; i < n_fds; i++)
            close(c->fds[i]);
        c->reply.n_fds = 0;
        snprintf(c->reply.error, PV_HELPER_ERROR_MAX, "take descriptors from the helper: %s",
                 pv_strstatus(-EMFILE));
        return PV_ERR_LIMIT;
    }
    return c->reply.status;
}

static int call_one(struct pv_helper *h, int fd, struct call *c,
                    char ret_error[static PV_HELPER_ERROR_MAX])
{
    pthread_mutex_lock(&h->lock);
    int r = call_locked(fd, c);
    pthread_mutex_unlock(&h->lock);
    memcpy(ret_error, c->reply.error, PV_HELPER_ERROR_MAX);
    return r;
}

/* The second helper serves these where there is one. */
static bool is_of_inside(uint32_t kind)
{
    return kind == PV_HELPER_IFACE_UP || kind == PV_HELPER_IFACE_DOWN ||
           kind == PV_HELPER_OPEN_DNS || kind == PV_HELPER_NETPLAN || kind == PV_HELPER_ENTER;
}

/* Gives what pv_helper_go_stack() has got, which is the same each time. */
static void take_stack(struct pv_helper *h, const struct call *c, int *ret_giver)
{
    if (h->inside >= 0)
        close(h->inside);
    h->inside = c->fds[0];
    *ret_giver = c->fds[1];
    h->stack.pid = c->reply.pid;
    h->stack.started = pv_clock_now();
}

/* Starts lwIP's process again. It has to give up its rights before it answers anything else. */
static int start_stack_again(struct pv_helper *h, char ret_text[static PV_HELPER_ERROR_MAX])
{
    struct call again = {.req = {.kind = PV_HELPER_STACK_AGAIN}, .pass = -1},
                sandbox = {.req = {.kind = PV_HELPER_SANDBOX}, .pass = -1};
    char error[PV_HELPER_ERROR_MAX];
    const pv_ns now = pv_clock_now(), next = h->stack.started + STACK_EVERY;
    int giver = -1;
    if (now < next)
        (void)poll(NULL, 0, pv_poll_ms(next, now));
    int r = call_one(h, h->fd, &again, ret_text);
    if (r < 0)
        return r;
    pthread_mutex_lock(&h->lock);
    take_stack(h, &again, &giver);
    h->stack.restarts++;
    pthread_mutex_unlock(&h->lock);
    pv_inside_use_stack(giver, false);
    r = call_one(h, h->inside, &sandbox, error);
    if (r < 0)
        memcpy(ret_text, error, sizeof(error));
    return r;
}

static int call_helper(struct pv_helper *h, struct call *c,
                       char ret_error[static PV_HELPER_ERROR_MAX])
{
    char text[PV_HELPER_ERROR_MAX];
    bool inside = h->inside >= 0 && is_of_inside(c->req.kind);
    int r = call_one(h, inside ? h->inside : h->fd, c, ret_error);
    if (r != PV_ERR_CLOSED || !inside || h->stack.pid == 0)
        return r;
    r = start_stack_again(h, text);
    if (r == PV_OK) {
        r = call_one(h, h->inside, c, ret_error);
        if (r < 0)
            return r;
    }
    memcpy(ret_error, text, sizeof(text));
    return r;
}

/* A request that is answered by one descriptor. */
static int call_for_fd(struct pv_helper *h, struct call *c, int *ret_fd,
                       char ret_error[static PV_HELPER_ERROR_MAX])
{
    int r = call_helper(h, c, ret_error);
    if (r == PV_OK)
        *ret_fd = c->fds[0];
    return r;
}

/* The order of the descriptors is that of open_udp() on the other side: the receiving sockets, the
 * one for datagrams that may be cut, then the same for IPv6 where there is IPv6. */
int pv_helper_open_udp(struct pv_helper *h, uint16_t port, unsigned n,
                       struct pv_udp_group *ret_group, char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {
        .req = {.kind = PV_HELPER_OPEN_UDP, .udp_port = port, .udp_sockets = (uint16_t)n},
        .pass = -1};
    struct pv_udp_group group = {.n = n, .has_cut = true};
    const int *fds = c.fds;
    int r = call_helper(h, &c, ret_error);
    if (r < 0)
        return r;
    bool has_v6 = c.reply.n_fds > n + 1;
    for (unsigned i = 0; i < n; i++) {
        group.fd4[i] = fds[i];
        group.fd6[i] = has_v6 ? fds[n + 1 + i] : -1;
    }
    group.cut4 = fds[n];
    group.cut6 = has_v6 ? fds[2 * n + 1] : -1;
    *ret_group = group;
    return PV_OK;
}

int pv_helper_iface_up(struct pv_helper *h, const struct pv_helper_iface *iface,
                       struct pv_tun *ret_tun, char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {.req = {.kind = PV_HELPER_IFACE_UP, .iface = *iface}, .pass = -1};
    int r = call_helper(h, &c, ret_error);
    return r < 0 ? r : pv_tun_of_fds(c.fds, c.reply.n_fds, ret_tun);
}

int pv_helper_iface_down(struct pv_helper *h, char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {.req = {.kind = PV_HELPER_IFACE_DOWN}, .pass = -1};
    return call_helper(h, &c, ret_error);
}

int pv_helper_notify(struct pv_helper *h, const char *command, int *ret_fd,
                     char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {.req = {.kind = PV_HELPER_NOTIFY}, .pass = -1};
    snprintf(c.req.notify, sizeof(c.req.notify), "%s", command);
    return call_for_fd(h, &c, ret_fd, ret_error);
}

/* The arguments are bytes that only the task understands; the helper passes them on unread. */
int pv_helper_run_task(struct pv_helper *h, struct pv_view args, int *ret_fd,
                       char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {.req = {.kind = PV_HELPER_TASK, .args_len = (uint16_t)args.len}, .pass = -1};
    if (args.len > sizeof(c.req.args)) {
        snprintf(ret_error, PV_HELPER_ERROR_MAX, "start a task: its arguments are too long");
        return PV_ERR_LIMIT;
    }
    memcpy(c.req.args, args.ptr, args.len);
    return call_for_fd(h, &c, ret_fd, ret_error);
}

int pv_helper_go_inside(struct pv_helper *h, int *ret_giver, int *ret_pid,
                        char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call second = {.req = {.kind = PV_HELPER_SECOND}, .pass = -1},
                enter = {.req = {.kind = PV_HELPER_ENTER}, .pass = -1};
    int r = call_one(h, h->fd, &second, ret_error);
    if (r == PV_OK) {
        h->inside = second.fds[0];
        r = call_one(h, h->inside, &enter, ret_error);
    }
    if (r < 0)
        return r;
    *ret_giver = enter.fds[0];
    *ret_pid = enter.reply.pid;
    return PV_OK;
}

int pv_helper_go_stack(struct pv_helper *h, int listener, int *ret_giver, int *ret_pid,
                       char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {.req = {.kind = PV_HELPER_STACK}, .pass = listener};
    int r = call_one(h, h->fd, &c, ret_error);
    if (r < 0)
        return r;
    take_stack(h, &c, ret_giver);
    *ret_pid = h->stack.pid;
    return PV_OK;
}

unsigned pv_helper_stack_restarts(struct pv_helper *h, int *ret_pid)
{
    pthread_mutex_lock(&h->lock);
    const unsigned restarts = h->stack.restarts;
    *ret_pid = h->stack.pid;
    pthread_mutex_unlock(&h->lock);
    return restarts;
}

int pv_helper_fix_files(struct pv_helper *h, const char *socket, const char *names, int usher,
                        char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {.req = {.kind = PV_HELPER_FILES}, .pass = usher};
    if (strlen(socket) >= sizeof(c.req.socket) || strlen(names) >= sizeof(c.req.names)) {
        snprintf(ret_error, PV_HELPER_ERROR_MAX, "--socket: the path is too long");
        return PV_ERR_LIMIT;
    }
    snprintf(c.req.socket, sizeof(c.req.socket), "%s", socket);
    snprintf(c.req.names, sizeof(c.req.names), "%s", names);
    return call_helper(h, &c, ret_error);
}

/* Any number of bytes fits a memory file, and neither side waits for the other. */
int pv_helper_write_names(struct pv_helper *h, struct pv_view bytes, bool recent,
                          char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {.req = {.kind = PV_HELPER_NAMES, .recent = recent}};
    int fd = -1;
    if (bytes.len > 0) {
        fd = memfd_create("p2pvpn-names", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || write(fd, bytes.ptr, bytes.len) != (ssize_t)bytes.len) {
            snprintf(ret_error, PV_HELPER_ERROR_MAX, "write the names: out of memory");
            if (fd >= 0)
                close(fd);
            return PV_ERR_NOMEM;
        }
    }
    c.pass = fd;
    int r = call_helper(h, &c, ret_error);
    if (fd >= 0)
        close(fd);
    return r;
}

int pv_helper_open_dns(struct pv_helper *h, const struct pv_addr *addr, bool tcp, int *ret_fd,
                       char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {.req = {.kind = PV_HELPER_OPEN_DNS, .dns = *addr, .tcp = tcp}, .pass = -1};
    return call_for_fd(h, &c, ret_fd, ret_error);
}

int pv_helper_sandbox(struct pv_helper *h, const struct pv_helper_fixed *fixed,
                      char ret_text[static PV_HELPER_ERROR_MAX])
{
    struct call c = {.req = {.kind = PV_HELPER_SANDBOX, .fixed = *fixed}, .pass = -1};
    char of_second[PV_HELPER_ERROR_MAX];
    int r = call_one(h, h->fd, &c, ret_text);
    if (r < 0 || h->inside < 0)
        return r;
    /* The second has the same but for capabilities, which are worth nothing outside. */
    r = call_one(h, h->inside, &c, of_second);
    if (r < 0)
        memcpy(ret_text, of_second, sizeof(of_second));
    return r;
}

int pv_helper_netplan(struct pv_helper *h, const struct pv_netplan *plan, int *ret_events,
                      char ret_error[static PV_HELPER_ERROR_MAX])
{
    struct call c = {
        .req = {.kind = PV_HELPER_NETPLAN, .events = ret_events != NULL, .plan = *plan},
        .pass = -1};
    if (ret_events != NULL)
        *ret_events = -1;
    int r = call_helper(h, &c, ret_error);
    if (ret_events != NULL && c.reply.n_fds > 0)
        *ret_events = c.fds[0];
    return r;
}

int pv_helper_netplan_event(int events_fd, struct pv_netplan_host *ret_host)
{
    ssize_t n = recv(events_fd, ret_host, sizeof(*ret_host), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return PV_ERR_AGAIN;
    if (n <= 0)
        return PV_ERR_CLOSED;
    return n == sizeof(*ret_host) ? PV_OK : PV_ERR_MALFORMED;
}
