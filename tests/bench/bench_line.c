/* SPDX-License-Identifier: MIT */
/*
 * bench_line: a line with a delay between two network namespaces, for scripts/bench --delay.
 *
 * usage: bench_line NETNS DEV NETNS DEV MILLISECONDS LATE
 *
 * NETNS is a path such as /run/netns/a, DEV a TUN device that is made there. A packet waits for
 * half of the round trip, and LATE packets of a million 3 ms more, so that others overtake them.
 * "ready" on standard output says that both devices are there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/pv.h"
#include "sys/proc/clock.h"

enum {
    PACKET = 1600,  /* bytes */
    LINE = 1 << 15, /* packets on their way in one direction */
    LATE = 64,      /* of them those that come late */
    BATCH = 64,     /* packets read before the other direction has its turn */
    BIG = 1000,     /* bytes: only packets that are larger come late */
};
#define LATE_BY PV_MS(3)

struct packet {
    pv_ns due;
    uint16_t len; /* 0: none */
    uint8_t bytes[PACKET];
};

struct way {
    int from, to;
    struct packet *packets; /* a ring */
    unsigned first, n;
    struct packet late[LATE];
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_line: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static int open_tun(const char *netns, const char *name)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = open(netns, O_RDONLY | O_CLOEXEC);
    must(strlen(name) < sizeof(ifr.ifr_name), name);
    memcpy(ifr.ifr_name, name, strlen(name));
    must(home >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0, netns);
    /* A device is made in the namespace in which its descriptor was opened. */
    const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    must(fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) == 0, name);
    must(setns(home, CLONE_NEWNET) == 0, "back to the own namespace");
    close(home);
    close(there);
    return fd;
}

static void put_aside(struct way *w, const struct packet *p)
{
    for (unsigned i = 0; i < LATE; i++) {
        if (w->late[i].len == 0) {
            w->late[i] = *p;
            w->late[i].due += LATE_BY;
            return;
        }
    }
    must(false, "too many packets are late");
}

static void take(struct way *w, pv_ns delay, unsigned late)
{
    for (unsigned i = 0; i < BATCH; i++) {
        struct packet *p = &w->packets[(w->first + w->n) % LINE];
        const ssize_t n = read(w->from, p->bytes, PACKET);
        if (n <= 0)
            return;
        must(w->n + 1 < LINE, "too many packets are on their way");
        p->len = (uint16_t)n;
        p->due = pv_clock_now() + delay;
        if (n > BIG && (unsigned)(random() % 1000000) < late)
            put_aside(w, p);
        else
            w->n++;
    }
}

/* A device that is down loses the packet, as a wire would. */
static void give(struct way *w, struct packet *p)
{
    (void)!write(w->to, p->bytes, p->len);
    p->len = 0;
}

/* Returns when the next packet is due. */
static pv_ns give_due(struct way *w)
{
    const pv_ns now = pv_clock_now();
    pv_ns next = PV_NEVER;
    for (unsigned i = 0; i < LATE; i++) {
        if (w->late[i].len > 0 && w->late[i].due <= now)
            give(w, &w->late[i]);
        else if (w->late[i].len > 0)
            next = pv_min_ns(next, w->late[i].due);
    }
    for (; w->n > 0 && w->packets[w->first].due <= now; w->n--) {
        give(w, &w->packets[w->first]);
        w->first = (w->first + 1) % LINE;
    }
    return w->n > 0 ? pv_min_ns(next, w->packets[w->first].due) : next;
}

int main(int argc, char **argv)
{
    must(argc == 7, "usage: bench_line NETNS DEV NETNS DEV MILLISECONDS LATE");
    const int a = open_tun(argv[1], argv[2]), b = open_tun(argv[3], argv[4]);
    const pv_ns delay = PV_MS(1) * strtoul(argv[5], NULL, 10) / 2;
    const unsigned late = (unsigned)strtoul(argv[6], NULL, 10);
    static struct way there, back;
    there = (struct way){.from = a, .to = b, .packets = calloc(LINE, sizeof(struct packet))};
    back = (struct way){.from = b, .to = a, .packets = calloc(LINE, sizeof(struct packet))};
    must(there.packets != NULL && back.packets != NULL, "memory");
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd p[] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
        const pv_ns next = pv_min_ns(give_due(&there), give_due(&back)), now = pv_clock_now();
        const pv_ns wait = next > now ? pv_min_ns(next - now, PV_S(1)) : 0;
        const struct timespec t = {.tv_sec = (time_t)(wait / PV_S(1)),
                                   .tv_nsec = (long)(wait % PV_S(1))};
        (void)ppoll(p, 2, &t, NULL);
        take(&there, delay, late);
        take(&back, delay, late);
    }
}
