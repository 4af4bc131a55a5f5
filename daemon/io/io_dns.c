/* SPDX-License-Identifier: MIT */
/* The sockets of the name server: two for each overlay address, of UDP and TCP, bound to it and to
 * the TUN by the helper (what this host sends to its own overlay address counts as coming from
 * there). */
#include "daemon/io/io_dns.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/io/dnsask.h"
#include "daemon/io/dnstcp.h"
#include "sys/proc/entropy.h"

enum {
    ROUNDS = 4, /* receive calls a turn */
};

struct pv_io_dns {
    struct pv_io *io;
    struct dns_socket {
        struct pv_io_dns *dns; /* back, for the watch */
        int fd;
        struct pv_watch *watch;
    } sockets[PV_HELPER_MAX_PREFIXES];
    size_t n;
    struct pv_dnsask *ask; /* for phones */
    struct pv_dnstcp *tcp;
};

static void serve(void *ctx, const struct pv_addr *src, struct pv_view query,
                  struct pv_dns_reply *ret_reply, pv_ns now)
{
    struct pv_io *io = ctx;
    pv_io_turn_begin(io, now);
    pv_engine_dns(io->engine, src, query, ret_reply, now);
}

int pv_io_dns_new(struct pv_io_dns **ret_dns, struct pv_io *io)
{
    const struct pv_dnsask_config ask = {
        .loop = io->loop, .rx = io->rx, .counts = &io->udp, .rng = pv_entropy()};
    struct pv_io_dns *dns = calloc(1, sizeof(*dns));
    const struct pv_dnstcp_config tcp = {
        .loop = io->loop, .rng = pv_entropy(), .serve = serve, .ctx = io};
    int r = dns == NULL ? PV_ERR_NOMEM : pv_dnsask_new(&dns->ask, &ask);
    if (r == PV_OK)
        r = pv_dnstcp_new(&dns->tcp, &tcp);
    if (r < 0) {
        pv_io_dns_free(dns);
        return r;
    }
    dns->io = io;
    *ret_dns = dns;
    return PV_OK;
}

/* A few rounds a turn: whoever asks without end gets slow answers, and the rest of the loop its
 * turn. */
static void on_query(void *ctx, unsigned ready, pv_ns now)
{
    struct dns_socket *d = ctx;
    struct pv_io *io = d->dns->io;
    pv_io_turn_begin(io, now);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct pv_udp_in *in = NULL;
        size_t n = 0;
        if (pv_udp_recv(io->rx, d->fd, &in, &n) < 0)
            return;
        for (size_t i = 0; i < n; i++) {
            struct pv_dns_reply reply;
            if (in[i].cut)
                continue;
            pv_engine_dns(io->engine, &in[i].src, pv_view(in[i].ptr, in[i].len), &reply, now);
            const struct pv_udp_out out = {
                .dst = in[i].src, .local = in[i].local, .data = pv_view(reply.bytes, reply.len)};
            if (reply.len > 0)
                pv_udp_send(d->fd, &out, 1, &io->udp);
            else if (reply.n_ask > 0)
                pv_dnsask_put(d->dns->ask, d->fd, &in[i], &reply, now);
        }
    }
}

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static int listen_at(struct pv_io_dns *dns, int fd)
{
    if (is_stream(fd))
        return pv_dnstcp_listen(dns->tcp, fd);
    struct dns_socket *d = &dns->sockets[dns->n];
    *d = (struct dns_socket){.dns = dns, .fd = fd};
    int r = pv_watch_new(&d->watch, dns->io->loop, fd, PV_LOOP_READ, on_query, d);
    if (r < 0)
        close(fd);
    else
        dns->n++;
    return r;
}

/* The old sockets go first: they are bound to addresses that the interface may have lost. */
void pv_io_dns_listen(struct pv_io_dns *dns, struct pv_io_dns_fds *sockets)
{
    pv_dnsask_forget(dns->ask);
    pv_dnstcp_forget(dns->tcp);
    while (dns->n > 0) {
        struct dns_socket *d = &dns->sockets[--dns->n];
        pv_watch_free(d->watch);
        close(d->fd);
    }
    for (size_t i = 0; sockets != NULL && i < sockets->n; i++) {
        if (sockets->fds[i] >= 0 && listen_at(dns, sockets->fds[i]) < 0)
            pv_log(dns->io->log, PV_LOG_WARN, "what=\"no name server\" why=\"out of memory\"");
    }
    if (sockets != NULL)
        sockets->n = 0;
}

pv_ns pv_io_dns_timeout(struct pv_io_dns *dns, pv_ns now)
{
    return pv_min_ns(pv_dnsask_timeout(dns->ask, now), pv_dnstcp_timeout(dns->tcp, now));
}

struct pv_io_dns *pv_io_dns_free(struct pv_io_dns *dns)
{
    if (dns != NULL && dns->tcp != NULL)
        pv_io_dns_listen(dns, NULL);
    if (dns != NULL) {
        pv_dnstcp_free(dns->tcp);
        pv_dnsask_free(dns->ask);
    }
    free(dns);
    return NULL;
}
