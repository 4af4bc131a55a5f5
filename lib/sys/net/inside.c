/* SPDX-License-Identifier: MIT */
/* inside.c - socket(2), here or by a process that is in the interface's network. */
#include "sys/net/inside.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"

enum {
    PATIENCE_S = 3,          /* ours: the giver answers at once unless somebody has stopped it */
    HAND_MS = 2000,          /* ours: for an asker to have room for what it gets */
    SEND_BUFFER = 208 << 10, /* bytes that wait for lwIP: net.core.wmem_default */
};

/* A process has one interface, so it has one giver. */
static struct {
    pthread_mutex_t lock; /* one question at a time */
    _Atomic int fd;       /* -1: none */
    _Atomic bool stack;   /* it is lwIP */
    bool strict;          /* as struct pv_inside_want has it */
} giver = {PTHREAD_MUTEX_INITIALIZER, -1, false, false};

static void use(int fd, bool stack, bool strict)
{
    pthread_mutex_lock(&giver.lock); /* a question under way has its answer first */
    if (giver.fd >= 0)
        close(giver.fd);
    giver.fd = fd;
    giver.stack = stack;
    giver.strict = strict;
    pthread_mutex_unlock(&giver.lock);
}

void pv_inside_use(int fd)
{
    use(fd, false, false);
}

void pv_inside_use_stack(int fd, bool strict)
{
    use(fd, fd >= 0, strict);
}

bool pv_inside_is_apart(void)
{
    return giver.fd >= 0;
}

bool pv_inside_is_stack(void)
{
    return giver.stack;
}

/* False: it has taken too long. */
static bool wait_for(short events, pv_ns deadline)
{
    struct pollfd p = {.fd = giver.fd, .events = events};
    pv_ns now = pv_clock_now();
    if (now >= deadline)
        return false;
    (void)poll(&p, 1, pv_poll_ms(deadline, now));
    return true;
}

/* An answer that comes later would be taken for that to another question. The giver ends when it
 * sees this, if it has not ended. */
static int give_up(void)
{
    (void)shutdown(giver.fd, SHUT_RDWR);
    return ENETDOWN;
}

/* 0, or an errno. */
static int ask_giver(const struct pv_inside_want *want, int *ret_fd)
{
    struct pv_inside_got got = {.error = ENETDOWN};
    const pv_ns deadline = pv_clock_now() + PV_S(PATIENCE_S);
    size_t n = 0;
    int r;
    do {
        r = pv_unix_write(giver.fd, pv_view(want, sizeof(*want)), -1, &n);
    } while (r == PV_ERR_AGAIN && wait_for(POLLOUT, deadline));
    while (r == PV_OK &&
           (r = pv_unix_read(giver.fd, &got, sizeof(got), &n, ret_fd)) == PV_ERR_AGAIN)
        r = wait_for(POLLIN, deadline) ? PV_OK : PV_ERR_TIMEOUT;
    if (r < 0 || n != sizeof(got))
        return give_up();
    /* The kernel drops a descriptor for which this process has no number left. */
    return got.error == 0 && *ret_fd < 0 ? EMFILE : got.error;
}

int pv_inside_ask(const struct pv_inside_want *want, int *ret_fd)
{
    struct pv_inside_want filled = *want;
    int fd = -1;
    pthread_mutex_lock(&giver.lock);
    filled.strict = giver.strict;
    int err = ask_giver(&filled, &fd);
    pthread_mutex_unlock(&giver.lock);
    if (err != 0 && fd >= 0)
        close(fd);
    if (err == 0)
        *ret_fd = fd;
    return -err;
}

int pv_inside_socket(int family, int type, int protocol)
{
    const struct pv_inside_want want = {
        .kind = PV_INSIDE_SOCKET, .family = family, .type = type, .protocol = protocol};
    int fd = -1;
    if (giver.fd < 0)
        return socket(family, type, protocol);
    int r = giver.stack ? -EAFNOSUPPORT : pv_inside_ask(&want, &fd);
    if (r < 0)
        errno = -r;
    return r < 0 ? -1 : fd;
}

/* --- ends of lwIP's connections ------------------------------------------------------------ */

int pv_inside_connected(int fd)
{
    int32_t outcome = 0;
    ssize_t n = recv(fd, &outcome, sizeof(outcome), MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? PV_ERR_AGAIN : -errno;
    if (n != sizeof(outcome))
        return -ENETDOWN; /* lwIP's process has ended */
    if (outcome == 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
    return -outcome;
}

int pv_inside_accept(int fd, int *ret_fd, struct pv_inside_came *ret_came)
{
    size_t n = 0;
    int passed = -1;
    int r = pv_unix_read(fd, ret_came, sizeof(*ret_came), &n, &passed);
    if (r == PV_OK && n == sizeof(*ret_came) && passed >= 0) {
        *ret_fd = passed;
        return PV_OK;
    }
    if (passed >= 0)
        close(passed);
    /* A connection for which there is no number has ended with its message. */
    return r == PV_OK ? PV_ERR_AGAIN : r;
}

bool pv_inside_is_broken(int fd)
{
    struct pollfd p = {.fd = fd};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0;
}

/* --- the giver ----------------------------------------------------------------------------- */

static bool is_given(const struct pv_inside_want *want)
{
    const int type = want->type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (want->kind != PV_INSIDE_SOCKET)
        return false;
    if (want->family == AF_NETLINK)
        return type == SOCK_RAW;
    return (want->family == AF_INET || want->family == AF_INET6) && want->protocol == 0 &&
           (type == SOCK_STREAM || type == SOCK_DGRAM);
}

static void give_one(int asker, const struct pv_inside_want *want)
{
    struct pv_inside_got got = {.error = EACCES};
    int fd = is_given(want) ? socket(want->family, want->type, want->protocol) : -1;
    if (is_given(want))
        got.error = fd < 0 ? errno : 0;
    /* An asker that does not read its answers does without. */
    (void)!pv_unix_hand(asker, pv_view(&got, sizeof(got)), fd, HAND_MS);
    if (fd >= 0)
        close(fd);
}

void pv_inside_serve(int asker)
{
    struct pv_inside_want want;
    for (;;) {
        struct pollfd p = {.fd = asker, .events = POLLIN};
        size_t n = 0;
        int passed = -1;
        (void)poll(&p, 1, -1);
        int r = pv_unix_read(asker, &want, sizeof(want), &n, &passed);
        if (passed >= 0)
            close(passed);
        if (r == PV_ERR_AGAIN)
            continue;
        if (r < 0)
            return;
        if (n == sizeof(want))
            give_one(asker, &want);
    }
}
