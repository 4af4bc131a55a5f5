/* SPDX-License-Identifier: MIT */
/*
 * natbox - a NAT box for the lab: natcore.h between two TUN devices.
 *
 * usage: natbox --inside [NETNS:]DEV --outside [NETNS:]DEV [--control PATH] [--seed N]
 * [KEY=VALUE]...
 *
 * NETNS is a path such as /run/netns/lan; without it the device is made in the namespace natbox was
 * started in. Addresses and routes are the caller's business. The devices have no vnet header, so
 * the kernel cuts and checksums everything before it comes here. "ready" on standard output says
 * that both devices and the control socket are there. The settings and commands: natcore_text.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/natcore/natcore_pkt.h"
#include "tests/natcore/natcore_text.h"

enum {
    CLIENTS = 8, /* control connections at once */
    LINE = 1024, /* bytes of a command */
    BATCH = 64,  /* packets read from a device before the other one gets its turn */
};

struct client {
    int fd; /* -1 = free */
    char line[LINE];
    size_t len;
};

struct box {
    struct pv_nat *nat;
    int tun[2]; /* by enum pv_nat_side */
    int control;
    struct client clients[CLIENTS];
    uint8_t packet[PV_NATPKT_MAX];
};

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
    stopping = 1;
}

static pv_ns read_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return PV_S(t.tv_sec) + (pv_ns)t.tv_nsec;
}

static int fail(const char *what)
{
    fprintf(stderr, "natbox: %s: %s\n", what, strerror(errno));
    return -1;
}

/* ---- devices ---- */

static int attach_tun(const char *name)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fail("/dev/net/tun");
    if (snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name) >= IFNAMSIZ ||
        ioctl(fd, TUNSETIFF, &ifr) < 0) {
        fail(name);
        close(fd);
        return -1;
    }
    return fd;
}

/* "[NETNS:]DEV". The process comes back to its own namespace. */
static int open_tun(const char *spec)
{
    const char *colon = strrchr(spec, ':');
    if (colon == NULL)
        return attach_tun(spec);
    char path[256];
    if (snprintf(path, sizeof(path), "%.*s", (int)(colon - spec), spec) >= (int)sizeof(path))
        return fail("namespace path too long");
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = open(path, O_RDONLY | O_CLOEXEC);
    int fd = -1;
    if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
        fail(path);
    else
        fd = attach_tun(colon + 1);
    if (home >= 0 && setns(home, CLONE_NEWNET) < 0 && fd >= 0) {
        fail("back to the own namespace");
        close(fd);
        fd = -1;
    }
    if (home >= 0)
        close(home);
    if (there >= 0)
        close(there);
    return fd;
}

static void read_tun(struct box *box, enum pv_nat_side side)
{
    for (unsigned i = 0; i < BATCH; i++) {
        ssize_t n = read(box->tun[side], box->packet, sizeof(box->packet));
        if (n <= 0)
            return;
        pv_nat_input(box->nat, side, box->packet, (size_t)n, read_clock());
    }
}

static void write_due(struct box *box)
{
    enum pv_nat_side side = PV_NAT_INSIDE;
    uint8_t *data = NULL;
    size_t len = 0;
    while (pv_nat_output(box->nat, read_clock(), &side, &data, &len) == PV_OK) {
        /* A device that is down or full loses the packet, as a wire would. */
        ssize_t n = write(box->tun[side], data, len);
        (void)n;
        free(data);
    }
}

/* ---- control socket ---- */

static int open_control(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path) >= (int)sizeof(sun.sun_path)) {
        errno = ENAMETOOLONG;
        return fail(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, CLIENTS) < 0) {
        fail(path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static void accept_client(struct box *box)
{
    int fd = accept4(box->control, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (box->clients[i].fd < 0) {
            box->clients[i].fd = fd;
            box->clients[i].len = 0;
            return;
        }
    }
    close(fd);
}

static bool answer(struct box *box, struct client *client, const char *line)
{
    struct pv_nattext reply = {.text = NULL};
    pv_nat_command(box->nat, line, read_clock(), &reply);
    pv_nattext_add(&reply, "\n");
    size_t done = 0;
    while (done < reply.len && !reply.failed) {
        ssize_t n = send(client->fd, reply.text + done, reply.len - done, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    bool ok = done == reply.len && !reply.failed;
    pv_nattext_done(&reply);
    return ok;
}

/* False when the connection is over. */
static bool serve_client(struct box *box, struct client *client)
{
    ssize_t n = recv(client->fd, client->line + client->len, LINE - 1 - client->len, 0);
    if (n <= 0)
        return false;
    client->len += (size_t)n;
    client->line[client->len] = '\0';
    char *end = NULL;
    while ((end = memchr(client->line, '\n', client->len)) != NULL) {
        *end = '\0';
        if (!answer(box, client, client->line))
            return false;
        size_t used = (size_t)(end - client->line) + 1;
        client->len -= used;
        memmove(client->line, client->line + used, client->len + 1);
    }
    return client->len < LINE - 1;
}

/* ---- the loop ---- */

static void wait_for_work(struct box *box, struct pollfd *fds, nfds_t n)
{
    struct timespec wait = {.tv_sec = 0};
    pv_ns next = pv_nat_next(box->nat);
    pv_ns now = read_clock();
    pv_ns left = next > now ? next - now : 0;
    wait.tv_sec = (time_t)(left / PV_S(1));
    wait.tv_nsec = (long)(left % PV_S(1));
    if (ppoll(fds, n, next == PV_NEVER ? NULL : &wait, NULL) < 0) {
        for (nfds_t i = 0; i < n; i++)
            fds[i].revents = 0;
    }
}

static void run(struct box *box)
{
    struct pollfd fds[3 + CLIENTS];
    while (!stopping) {
        fds[0] = (struct pollfd){.fd = box->tun[PV_NAT_INSIDE], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = box->tun[PV_NAT_OUTSIDE], .events = POLLIN};
        fds[2] = (struct pollfd){.fd = box->control, .events = POLLIN};
        for (unsigned i = 0; i < CLIENTS; i++)
            fds[3 + i] = (struct pollfd){.fd = box->clients[i].fd, .events = POLLIN};
        wait_for_work(box, fds, PV_ARRAY_LEN(fds));
        if (fds[0].revents != 0)
            read_tun(box, PV_NAT_INSIDE);
        if (fds[1].revents != 0)
            read_tun(box, PV_NAT_OUTSIDE);
        if (fds[2].revents != 0)
            accept_client(box);
        for (unsigned i = 0; i < CLIENTS; i++) {
            struct client *client = &box->clients[i];
            if (fds[3 + i].revents != 0 && !serve_client(box, client)) {
                close(client->fd);
                client->fd = -1;
            }
        }
        write_due(box);
    }
}

static int usage(void)
{
    fprintf(stderr, "usage: natbox --inside [NETNS:]DEV --outside [NETNS:]DEV [--control PATH] "
                    "[--seed N] [KEY=VALUE]...\n");
    return 2;
}

static int set_argument(struct pv_nat_config *config, char *arg)
{
    char *value = strchr(arg, '=');
    if (value == NULL)
        return usage();
    *value++ = '\0';
    int r = pv_nat_set(config, arg, value);
    if (r == PV_OK)
        return 0;
    fprintf(stderr, "natbox: %s=%s: %s\n", arg, value,
            r == PV_ERR_NOT_FOUND ? "unknown setting" : "bad value");
    return 2;
}

static int start(struct box *box, const char *const spec[static 2], const char *control)
{
    for (unsigned side = 0; side < 2; side++) {
        box->tun[side] = open_tun(spec[side]);
        if (box->tun[side] < 0)
            return 1;
    }
    box->control = -1;
    if (control != NULL && (box->control = open_control(control)) < 0)
        return 1;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    printf("ready\n");
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    static struct box box;
    struct pv_nat_config config;
    const char *spec[2] = {NULL, NULL};
    const char *control = NULL;
    uint64_t seed = 1;

    pv_nat_config_init(&config);
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        int r = 0;
        if (strcmp(argv[i], "--inside") == 0 && more)
            spec[PV_NAT_INSIDE] = argv[++i];
        else if (strcmp(argv[i], "--outside") == 0 && more)
            spec[PV_NAT_OUTSIDE] = argv[++i];
        else if (strcmp(argv[i], "--control") == 0 && more)
            control = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0 && more)
            seed = strtoull(argv[++i], NULL, 0);
        else
            r = set_argument(&config, argv[i]);
        if (r != 0)
            return r;
    }
    if (spec[0] == NULL || spec[1] == NULL)
        return usage();
    for (unsigned i = 0; i < CLIENTS; i++)
        box.clients[i].fd = -1;
    int r = start(&box, spec, control);
    if (r != 0)
        return r;
    box.nat = pv_nat_new(&config, seed);
    if (box.nat == NULL)
        return 1;
    run(&box);
    pv_nat_free(box.nat);
    if (control != NULL)
        unlink(control);
    return 0;
}
