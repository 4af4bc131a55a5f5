/* SPDX-License-Identifier: MIT */
/*
 * wallclock - a library for LD_PRELOAD that gives a machine of the lab a wall clock of its own.
 *
 * The kernel has one for all namespaces. Programs that run with this library see it shifted by the
 * number (nanoseconds, int64_t) in the file that PV_LAB_CLOCK names; writing there sets the clock
 * of all of them at once. The file is mapped before main(), so no sandbox takes it away. The
 * kernel's time stamps of datagrams are shifted as well, since they come from the same clock.
 * Without the variable or the file nothing is shifted.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BILLION INT64_C(1000000000)

typedef ssize_t recvmsg_fn(int, struct msghdr *, int);
typedef int recvmmsg_fn(int, struct mmsghdr *, unsigned, int, struct timespec *);

static const _Atomic int64_t *shift; /* NULL: none */
static recvmsg_fn *next_recvmsg;
static recvmmsg_fn *next_recvmmsg;

/* System calls instead of the C library's functions: a sanitizer that stands before those may not
 * have begun yet. */
__attribute__((constructor)) static void map_the_shift(void)
{
    const char *path = getenv("PV_LAB_CLOCK");
    *(void **)&next_recvmsg = dlsym(RTLD_NEXT, "recvmsg");
    *(void **)&next_recvmmsg = dlsym(RTLD_NEXT, "recvmmsg");
    if (path == NULL)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (page != MAP_FAILED)
        shift = page;
}

static int64_t shift_now(void)
{
    return shift == NULL ? 0 : atomic_load_explicit(shift, memory_order_relaxed);
}

static void add_shift(struct timespec *t)
{
    int64_t ns = (int64_t)t->tv_sec * BILLION + t->tv_nsec + shift_now();
    t->tv_sec = ns / BILLION;
    t->tv_nsec = ns % BILLION;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, id, t);
    if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_TAI))
        add_shift(t);
    return r;
}

int timespec_get(struct timespec *t, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, t) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec t;
    if (clock_gettime(CLOCK_REALTIME, &t) < 0)
        return -1;
    *tv = (struct timeval){.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec t;
    if (clock_gettime(CLOCK_REALTIME_COARSE, &t) < 0)
        return (time_t)-1;
    if (ret != NULL)
        *ret = t.tv_sec;
    return t.tv_sec;
}

static void shift_stamps(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        struct timespec t;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&t, CMSG_DATA(c), sizeof(t));
        add_shift(&t);
        memcpy(CMSG_DATA(c), &t, sizeof(t));
    }
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    ssize_t n = next_recvmsg(fd, msg, flags);
    if (n >= 0)
        shift_stamps(msg);
    return n;
}

int recvmmsg(int fd, struct mmsghdr *msgs, unsigned n_msgs, int flags, struct timespec *timeout)
{
    int n = next_recvmmsg(fd, msgs, n_msgs, flags, timeout);
    for (int i = 0; i < n; i++)
        shift_stamps(&msgs[i].msg_hdr);
    return n;
}
