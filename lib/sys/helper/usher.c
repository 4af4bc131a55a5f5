/* SPDX-License-Identifier: MIT */
/*
 * usher.c - accepts control clients and gives each a porter. The usher makes no call on a client's
 * socket by which a descriptor could arrive or be let go of: it neither reads one nor is the last
 * to close one. So nothing that a client does holds it up.
 */
#include "sys/helper/usher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/helper/helper_proto.h"
#include "sys/helper/porter.h"
#include "sys/proc/child.h"
#include "sys/proc/procinfo.h"

enum {
    PORTERS = PV_USHER_CLIENTS + PV_USHER_KEPT,
    REST_MS = 100,    /* ours: without descriptors or processes clients wait so long */
    HELD_MAX = 4096,  /* ours: refused connections that stay open, but a quarter of what there is */
    LEAVE_MS = 10000, /* ours: until each porter that was just forked has let go of them */
};

struct pv_usher {
    int fd; /* the usher's clients come by it */
    pid_t pid;
};

/* --- the usher's side ----------------------------------------------------------------------- */

/* One porter, or what is left of it. */
struct place {
    int life; /* its end tells that the porter and its readers have ended; -1: free */
    uint32_t uid;
};

struct ushering {
    const char *refusal;
    int daemon, listener; /* listener -1: not given yet */
    int end;              /* readable when the daemon has ended; -1: the kernel has none */
    int held[HELD_MAX];   /* connections that were refused, with descriptors in them */
    size_t n_held, most_held;
    struct place places[PORTERS];
    /* In memory shared with the porters: each sets its own when its client has gone. */
    _Atomic bool *keeping;
    bool resting; /* out of something: no client is taken for REST_MS */
};

/* Room for a client of this user? The slot, or PORTERS. A user who keeps his porters from ending
 * uses up his own share. */
static size_t find_place(const struct ushering *d, uint32_t uid)
{
    /* all, of others than root, of this user; with a client, and only keeping files */
    size_t all[2] = {0}, others[2] = {0}, own[2] = {0}, found = PORTERS;
    for (size_t i = 0; i < PORTERS; i++) {
        if (d->places[i].life < 0) {
            found = i;
            continue;
        }
        size_t k = d->keeping[i] ? 1 : 0;
        all[k]++;
        others[k] += d->places[i].uid != 0;
        own[k] += d->places[i].uid == uid;
    }
    bool full = all[0] >= PV_USHER_CLIENTS;
    if (uid != 0)
        full = full || others[0] >= PV_USHER_OF_OTHERS || own[0] >= PV_USHER_OF_USER ||
               own[1] >= PV_USHER_KEPT_USER;
    return full ? PORTERS : found;
}

/* Ends a connection that is refused. Nothing comes into it any more after the shutdown, and bytes
 * alone are harmless. False: there is a descriptor in it, so it must stay as it is. */
static bool close_refused(int client)
{
    char bytes[4096];
    shutdown(client, SHUT_RDWR);
    for (;;) {
        struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        /* Without room for them descriptors are only reported, and a peek lets go of none. */
        ssize_t n = recvmsg(client, &msg, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0 && (msg.msg_flags & MSG_CTRUNC) != 0)
            return false;
        if (n <= 0)
            break;
        /* Exactly these bytes: what is behind them was not looked at. */
        if (recv(client, bytes, (size_t)n, MSG_DONTWAIT) != n)
            return false;
    }
    close(client);
    return true;
}

/* Another process goes on as the usher, and this one ends with what it holds, however long that
 * takes: nobody needs it any more. The other has let go first, and so have all porters. */
static void hand_over(struct ushering *d)
{
    int gone[2];
    char byte;
    if (pipe2(gone, O_CLOEXEC) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        while (d->n_held > 0)
            close(d->held[--d->n_held]);
    }
    close(gone[1]);
    if (pid > 0) {
        (void)!read(gone[0], &byte, 1);
        close(d->daemon);
        close(d->listener);
        (void)poll(NULL, 0, LEAVE_MS);
        _exit(0);
    }
    close(gone[0]);
}

/* This process lets go of nothing that is in a connection, so that stays open. */
static void hold(struct ushering *d, int client)
{
    if (d->n_held == d->most_held)
        hand_over(d);
    if (d->n_held < d->most_held)
        d->held[d->n_held++] = client;
}

/* Tells the daemon of its client. The way to the porter is not needed here afterwards. */
static int tell_daemon(const struct ushering *d, int way, const struct pv_unix_cred *cred)
{
    /* The daemon starts, or has much to do: its clients wait in the listener's queue. */
    return pv_unix_hand(d->daemon, pv_view(cred, sizeof(*cred)), way, -1);
}

/* pair: the daemon's end and the porter's. The client's socket is closed here before the porter is
 * let go: so the porter is the last who has it. */
static int start_porter(struct ushering *d, size_t at, int client, const struct pv_unix_cred *cred,
                        const int pair[2])
{
    int life[2];
    if (pipe2(life, O_CLOEXEC) < 0)
        return -errno;
    d->keeping[at] = false;
    pid_t pid = fork();
    if (pid == 0)
        pv_porter_run(&(struct pv_porter){.client = client,
                                          .daemon = pair[1],
                                          .life = life[1],
                                          .cred = *cred,
                                          .keeping = &d->keeping[at]});
    close(life[1]);
    if (pid < 0) {
        close(life[0]);
        return PV_ERR_LIMIT;
    }
    d->places[at] = (struct place){.life = life[0], .uid = cred->uid};
    close(client);
    (void)!send(pair[0], "", 1, MSG_NOSIGNAL);
    return PV_OK;
}

/* The ways to the porter: the daemon's end does not block. */
static int open_way(int pair[static 2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return PV_ERR_LIMIT;
    if (fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0)
        return PV_OK;
    close(pair[0]);
    close(pair[1]);
    return PV_ERR_LIMIT;
}

/* PV_ERR_CLOSED: the daemon has ended. A client that cannot be served is sent away. */
static int take_client(struct ushering *d)
{
    static const int yes = 1;
    struct pv_unix_cred cred;
    int client = -1, pair[2];
    int r = pv_unix_accept(d->listener, &client, &cred);
    d->resting = r == PV_ERR_LIMIT;
    if (r < 0)
        return PV_OK;
    /* Urgent data would be skipped by a peek, and let go of by the read after it. */
    (void)!setsockopt(client, SOL_SOCKET, SO_OOBINLINE, &yes, sizeof(yes));
    size_t at = find_place(d, cred.uid);
    r = at == PORTERS ? PV_ERR_REFUSED : open_way(pair);
    if (r == PV_OK) {
        r = start_porter(d, at, client, &cred, pair);
        close(pair[1]);
        if (r == PV_OK)
            r = tell_daemon(d, pair[0], &cred) < 0 ? PV_ERR_CLOSED : PV_OK;
        close(pair[0]);
        if (r == PV_OK || r == PV_ERR_CLOSED)
            return r;
    }
    d->resting = r != PV_ERR_REFUSED;
    (void)!send(client, d->refusal, strlen(d->refusal), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (!close_refused(client))
        hold(d, client);
    return PV_OK;
}

/* The daemon has one thing to say: the listener. Its helper gives another one when somebody removed
 * the socket's file, and nobody can come by the former. */
static int take_listener(struct ushering *d)
{
    uint8_t byte;
    size_t n = 0;
    int fd = -1;
    int r = pv_unix_read(d->daemon, &byte, sizeof(byte), &n, &fd);
    if (r == PV_OK && fd >= 0) {
        if (d->listener >= 0)
            close(d->listener);
        d->listener = fd;
    }
    return r == PV_ERR_AGAIN ? PV_OK : r;
}

/* Porters end at any time; the ends of their pipes are all that is known of them. */
static void serve_usher(struct ushering *d)
{
    static struct pollfd p[3 + PORTERS];
    static size_t place[PORTERS];
    for (;;) {
        nfds_t porters = 0; /* poll() takes no more than the process may have open */
        p[0] = (struct pollfd){.fd = d->daemon, .events = POLLIN};
        p[1] = (struct pollfd){.fd = d->resting ? -1 : d->listener, .events = POLLIN};
        p[2] = (struct pollfd){.fd = d->end, .events = POLLIN};
        for (size_t i = 0; i < PORTERS; i++) {
            if (d->places[i].life < 0)
                continue;
            place[porters] = i;
            p[3 + porters++] = (struct pollfd){.fd = d->places[i].life, .events = POLLIN};
        }
        int n = poll(p, 3 + porters, d->resting ? REST_MS : -1);
        d->resting = false;
        for (nfds_t k = 0; n > 0 && k < porters; k++) {
            if (p[3 + k].revents != 0) {
                close(d->places[place[k]].life);
                d->places[place[k]].life = -1;
            }
        }
        if (n > 0 && p[2].revents != 0)
            return;
        if (n > 0 && p[0].revents != 0 && take_listener(d) != PV_OK)
            return;
        if (n > 0 && p[1].revents != 0 && take_client(d) != PV_OK)
            return;
    }
}

/* Descriptors are for porters first. */
static size_t count_held(void)
{
    struct rlimit lim = {.rlim_cur = 0};
    (void)getrlimit(RLIMIT_NOFILE, &lim);
    return lim.rlim_cur / 4 < HELD_MAX ? (size_t)(lim.rlim_cur / 4) : HELD_MAX;
}

static void be_usher(int daemon, pid_t parent, const void *ctx)
{
    static struct ushering d;
    signal(SIGCHLD, SIG_IGN); /* nobody waits for porters */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    d.refusal = ctx;
    d.daemon = daemon;
    d.listener = -1;
    d.most_held = count_held();
    for (size_t i = 0; i < PORTERS; i++)
        d.places[i].life = -1;
    d.keeping = mmap(NULL, PORTERS * sizeof(*d.keeping), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pv_procinfo_watch_parent(parent, &d.end) == PV_OK && d.keeping != MAP_FAILED &&
        pv_helper_sandbox_as(PV_HELPER_ROLE_USHER, NULL) == PV_OK)
        serve_usher(&d);
}

/* --- the daemon's side --------------------------------------------------------------------- */

int pv_usher_start(struct pv_usher **ret_usher, const char *refusal)
{
    struct pv_usher *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return PV_ERR_NOMEM;
    int r = pv_child_fork("p2pvpnd-usher", be_usher, refusal, NULL, &d->fd, &d->pid);
    if (r < 0) {
        free(d);
        return r;
    }
    *ret_usher = d;
    return PV_OK;
}

int pv_usher_open(struct pv_usher *d, int listen_fd)
{
    int r = pv_unix_hand(d->fd, pv_view("", 1), listen_fd, -1);
    close(listen_fd);
    return r;
}

int pv_usher_fd(const struct pv_usher *d)
{
    return d->fd;
}

int pv_usher_accept(struct pv_usher *d, int *ret_fd, struct pv_unix_cred *ret_cred)
{
    size_t n = 0;
    int fd = -1;
    int r = pv_unix_read(d->fd, ret_cred, sizeof(*ret_cred), &n, &fd);
    if (r < 0)
        return r == PV_ERR_AGAIN ? r : PV_ERR_CLOSED;
    if (fd < 0)
        return PV_ERR_LIMIT;
    *ret_fd = fd;
    return PV_OK;
}

struct pv_usher *pv_usher_stop(struct pv_usher *d)
{
    if (d != NULL) {
        close(d->fd);
        (void)waitpid(d->pid, NULL, WNOHANG);
        free(d);
    }
    return NULL;
}
