/* SPDX-License-Identifier: MIT */
/* The sockets of the name server: one for each overlay address, bound to it and to the TUN by the
 * helper (what this host sends to its own overlay address counts as coming from there). */
#include "daemon/io/io_dns.h"

#include <stdlib.h>
#include <unistd.h>

#include "daemon/io/dnsask.h"
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
};

int pv_io_dns_new(struct pv_io_dns **ret_dns, struct pv_io *io)
{
    const struct pv_dnsask_config ask = {
        .loop = io->loop, .rx = io->rx, .counts = &io->udp, .rng = pv_entropy()};
    struct pv_io_dns *dns = calloc(1, sizeof(*dns));
    int r = dns == NULL ? PV_ERR_NOMEM : pv_dnsask_new(&dns->ask, &ask);
    if (r < 0) {
        free(dns);
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

/* The old sockets go first: they are bound to addresses that the interface may have lost. */
void pv_io_dns_listen(struct pv_io_dns *dns, struct pv_io_dns_fds *sockets)
{
    pv_dnsask_forget(dns->ask);
    while (dns->n > 0) {
        struct dns_socket *d = &dns->sockets[--dns->n];
        pv_watch_free(d->watch);
        close(d->fd);
    }
    for (size_t i = 0; sockets != NULL && i < sockets->n; i++) {
        struct dns_socket *d = &dns->sockets[dns->n];
        *d = (struct dns_socket){.dns = dns, .fd = sockets->fds[i]};
        if (d->fd < 0)
            continue;
        if (pv_watch_new(&d->watch, dns->io->loop, d->fd, PV_LOOP_READ, on_query, d) == PV_OK) {
            dns->n++;
        } else {
            close(d->fd);
            pv_log(dns->io->log, PV_LOG_WARN, "what=\"no name server\" why=\"out of memory\"");
        }
    }
    if (sockets != NULL)
        sockets->n = 0;
}

pv_ns pv_io_dns_timeout(struct pv_io_dns *dns, pv_ns now)
{
    return pv_dnsask_timeout(dns->ask, now);
}

struct pv_io_dns *pv_io_dns_free(struct pv_io_dns *dns)
{
    if (dns != NULL) {
        pv_io_dns_listen(dns, NULL);
        dns->ask = pv_dnsask_free(dns->ask);
    }
    free(dns);
    return NULL;
}
