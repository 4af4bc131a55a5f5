/* SPDX-License-Identifier: MIT */
/* The sockets of the name server: one for each overlay address, bound to it and to the TUN (what
 * this host sends to its own overlay address counts as coming from there). */
#include <stdlib.h>
#include <unistd.h>

#include "daemon/io/io_int.h"

enum {
    ROUNDS = 4, /* receive calls a turn */
};

struct pv_io_dns {
    struct pv_io *io;
    struct pv_io_dns *next;
    int fd;
    struct pv_watch *watch;
};

static void on_query(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io_dns *d = ctx;
    struct pv_io *io = d->io;
    (void)ready;
    pv_io_begin(io, now);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct pv_udp_in *in = NULL;
        size_t n = 0;
        if (pv_udp_recv(io->sock_rx, d->fd, &in, &n) < 0)
            return;
        for (size_t i = 0; i < n; i++) {
            uint8_t buf[PV_DNS_MAX];
            size_t len = 0;
            if (in[i].cut || !pv_engine_dns(io->cfg.engine, &in[i].src,
                                            pv_view(in[i].ptr, in[i].len), buf, &len, now))
                continue;
            const struct pv_udp_out out = {
                .dst = in[i].src, .local = in[i].local, .data = pv_view(buf, len)};
            pv_udp_send(d->fd, &out, 1, &io->udp);
        }
    }
}

static int open_one(struct pv_io *io, const struct pv_addr *addr, const char *ifname)
{
    const struct pv_udp_opts opts = {.ifname = ifname};
    struct pv_io_dns *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return PV_ERR_NOMEM;
    *d = (struct pv_io_dns){.io = io, .fd = -1};
    int r = pv_udp_open(addr, &opts, &d->fd);
    if (r >= 0)
        r = pv_watch_new(&d->watch, io->loop, d->fd, PV_LOOP_READ, on_query, d);
    if (r < 0) {
        if (d->fd >= 0)
            close(d->fd);
        free(d);
        return r;
    }
    d->next = io->dns;
    io->dns = d;
    return PV_OK;
}

void pv_io_listen_dns(struct pv_io *io, const struct pv_job_iface *iface)
{
    while (io->dns != NULL) {
        struct pv_io_dns *d = io->dns;
        io->dns = d->next;
        pv_watch_free(d->watch);
        close(d->fd);
        free(d);
    }
    for (size_t i = 0; iface != NULL && iface->n_domains > 0 && i < iface->n_addrs; i++) {
        struct pv_addr addr = iface->addrs[i].base;
        char text[PV_ADDR_TEXT];
        addr.port = PV_DNS_PORT;
        int r = open_one(io, &addr, iface->name);
        if (r < 0)
            pv_log(io->cfg.log, PV_LOG_WARN, "addr=%s what=\"no name server\" why=\"%s\"",
                   pv_addr_format(&addr, text), pv_strstatus(r));
    }
}
