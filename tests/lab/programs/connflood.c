/* SPDX-License-Identifier: MIT */
/*
 * connflood - half-begun connections from many networks: opens them at a rate, says nothing or only
 * how a TLS handshake begins, and holds each as long as it is let.
 *
 * usage: connflood ADDR PORT NETWORKS RATE SECONDS plain|tls
 *
 * The sources are 100.64.0.1 to 100.64.(NETWORKS-1).8, which are this machine's own. Prints how
 * many were opened at the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HELD = 3000,   /* connections held at once: more than the other side has places */
    HOSTS = 8,     /* sources in each network */
    SPEAK_MS = 30, /* how long after it was opened a connection begins to speak */
};

/* The record and handshake headers of a ClientHello of 512 bytes, of which no more comes. */
static const unsigned char tls_hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0};

struct flood {
    struct sockaddr_in to;
    unsigned networks, rate;
    int tls;
    int fd[HELD];
    unsigned long opened;
};

static double clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Ends with a reset, so that no port waits. */
static void end(int fd)
{
    const struct linger now = {.l_onoff = 1};
    if (fd < 0)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void open_one(struct flood *f)
{
    const int on = 1;
    unsigned long i = f->opened++;
    struct sockaddr_in from = {.sin_family = AF_INET};
    unsigned network = (unsigned)(i % f->networks), host = 1 + (unsigned)(i / f->networks % HOSTS);
    int *slot = &f->fd[i % HELD];
    end(*slot);
    *slot = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*slot < 0)
        return;
    from.sin_addr.s_addr = htonl(0x64400000u + (network << 8) + host);
    (void)setsockopt(*slot, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(*slot, (const struct sockaddr *)&from, sizeof(from)) < 0 ||
        (connect(*slot, (const struct sockaddr *)&f->to, sizeof(f->to)) < 0 &&
         errno != EINPROGRESS)) {
        end(*slot);
        *slot = -1;
    }
}

/* Each millisecond that has gone by has its share of connections, also after a pause. */
static void run(struct flood *f, double seconds)
{
    unsigned long spoken = 0;
    double began = clock_s(), now = began;
    for (; now - began < seconds; now = clock_s()) {
        unsigned long due = (unsigned long)((now - began) * f->rate);
        unsigned long old = due > f->rate * SPEAK_MS / 1000 ? due - f->rate * SPEAK_MS / 1000 : 0;
        if (due > f->opened + HELD / 2)
            f->opened = due - HELD / 2; /* this machine does not keep up */
        while (f->opened < due)
            open_one(f);
        for (; f->tls && spoken < old; spoken++)
            if (f->fd[spoken % HELD] >= 0)
                (void)!send(f->fd[spoken % HELD], tls_hello, sizeof(tls_hello), MSG_NOSIGNAL);
        (void)poll(NULL, 0, 1);
    }
}

int main(int argc, char **argv)
{
    static struct flood f = {.to.sin_family = AF_INET};
    if (argc != 7 || inet_pton(AF_INET, argv[1], &f.to.sin_addr) != 1) {
        fprintf(stderr, "usage: connflood ADDR PORT NETWORKS RATE SECONDS plain|tls\n");
        return 2;
    }
    f.to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    f.networks = (unsigned)strtoul(argv[3], NULL, 10);
    f.rate = (unsigned)strtoul(argv[4], NULL, 10);
    f.tls = strcmp(argv[6], "tls") == 0;
    memset(f.fd, -1, sizeof(f.fd));
    run(&f, strtod(argv[5], NULL));
    printf("opened %lu\n", f.opened);
    return 0;
}
