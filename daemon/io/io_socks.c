/* SPDX-License-Identifier: MIT */
/* UDP sockets that the engine asks for beside the main ones: opened on any port, watched here until
 * they are adopted, then carried by the datapath. */
#include "daemon/io/io_socks.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "proto/stun/demux.h"

enum {
    ERRORS = 64, /* ICMP errors taken in a turn; ours */
};

struct pv_io_sock {
    struct pv_io *io;
    uint16_t id;
    int fd;
    struct pv_watch *watch; /* NULL: adopted */
    struct pv_io_sock *prev, *next;
};

static struct pv_io_sock *find(const struct pv_io *io, uint16_t id)
{
    struct pv_io_sock *s = io->socks;
    while (s != NULL && s->id != id)
        s = s->next;
    return s;
}

int pv_io_sock_fd(const struct pv_io *io, uint16_t id)
{
    const struct pv_io_sock *s = find(io, id);
    return s == NULL ? -1 : s->fd;
}

/* ICMP about what was sent. */
static void take_errors(struct pv_io_sock *s)
{
    struct pv_udp_error error;
    for (unsigned k = 0; k < ERRORS && pv_udp_read_error(s->fd, &error) == PV_OK; k++)
        if (error.time_exceeded || (error.err == ECONNREFUSED && !error.local))
            pv_engine_sock_bounced(s->io->engine, s->id, pv_view(error.quoted, error.quoted_len),
                                   error.time_exceeded);
}

void pv_io_sock_errors(struct pv_io *io, uint16_t id)
{
    struct pv_io_sock *s = find(io, id);
    if (s != NULL && s->watch != NULL)
        take_errors(s);
}

static void on_readable(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io_sock *s = ctx;
    struct pv_io *io = s->io;
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    pv_io_turn_begin(io, now);
    take_errors(s);
    if (pv_udp_recv(io->rx, s->fd, &in, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        struct pv_fp_punt punt = {
            .kind = PV_FP_PUNT_DATAGRAM,
            .from = {.kind = PV_CARRIER_UDP,
                     .sock = s->id,
                     .local = in[i].local,
                     .remote = in[i].src},
            .bytes = pv_view(in[i].ptr, in[i].len),
        };
        if (in[i].cut)
            continue;
        /* The peer may send over the new path before its socket is adopted here: nothing is lost
         * on the way to it. */
        if (pv_demux(punt.bytes) == PV_DEMUX_WG_DATA)
            (void)!pv_datapath_hand(io->datapath, &punt.from, in[i].ecn, punt.bytes);
        else
            pv_engine_handle_punt(io->engine, &punt, now);
    }
}

/* On that port if it is free. */
static int open_udp(uint16_t port, int *ret_fd)
{
    const struct pv_udp_opts opts = {.df = true, .ecn = true, .waited = true};
    const struct pv_addr wish = pv_addr4(0, 0, 0, 0, port), any = pv_addr4(0, 0, 0, 0, 0);
    int r = port == 0 ? PV_ERR_NOT_FOUND : pv_udp_open(&wish, &opts, ret_fd);
    return r == PV_OK ? r : pv_udp_open(&any, &opts, ret_fd);
}

/* Port 0 tells the engine that it could not be opened. */
static void open_sock(struct pv_io *io, uint16_t id, uint16_t port, pv_ns now)
{
    struct pv_addr local = {.family = PV_AF_NONE};
    struct pv_io_sock *s = calloc(1, sizeof(*s));
    int r = s == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r >= 0) {
        *s = (struct pv_io_sock){.io = io, .id = id, .fd = -1};
        r = open_udp(port, &s->fd);
    }
    if (r >= 0)
        r = pv_udp_local(s->fd, &local);
    if (r >= 0)
        r = pv_watch_new(&s->watch, io->loop, s->fd, PV_LOOP_READ, on_readable, s);
    if (r < 0) {
        pv_log(io->log, PV_LOG_DEBUG, "what=\"socket not opened\" why=\"%s\"", pv_strstatus(r));
        if (s != NULL && s->fd >= 0)
            close(s->fd);
        free(s);
        pv_engine_sock_opened(io->engine, id, 0, now);
        return;
    }
    PV_LIST_ADD_FIRST(io->socks, s);
    pv_engine_sock_opened(io->engine, id, local.port, now);
}

/* Tells the datapath the sockets that are not watched here. */
static void tell_datapath(struct pv_io *io)
{
    struct pv_sockset_sock adopted[PV_SOCKSET_MAX];
    size_t n = 0;
    for (const struct pv_io_sock *s = io->socks; s != NULL; s = s->next)
        if (s->watch == NULL && n < PV_SOCKSET_MAX)
            adopted[n++] = (struct pv_sockset_sock){.id = s->id, .fd = s->fd};
    pv_datapath_set_socks(io->datapath, adopted, n);
}

static void close_sock(struct pv_io *io, struct pv_io_sock *s)
{
    bool adopted = s->watch == NULL;
    PV_LIST_DEL(io->socks, s);
    pv_watch_free(s->watch);
    if (adopted)
        tell_datapath(io); /* before the number of the descriptor is used again */
    close(s->fd);
    free(s);
}

void pv_io_sock_op(struct pv_io *io, const struct pv_hardnat_op *op, pv_ns now)
{
    struct pv_io_sock *s = find(io, op->sock);
    if (op->type == PV_HARDNAT_OPEN) {
        open_sock(io, op->sock, op->port, now);
    } else if (s != NULL && op->type == PV_HARDNAT_CLOSE) {
        close_sock(io, s);
    } else if (s != NULL && s->watch != NULL) {
        s->watch = pv_watch_free(s->watch);
        pv_udp_set_gro(s->fd); /* not before: our buffers hold one datagram each */
        tell_datapath(io);
    }
}

void pv_io_socks_free(struct pv_io *io)
{
    while (io->socks != NULL) {
        struct pv_io_sock *s = io->socks;
        PV_LIST_DEL(io->socks, s);
        pv_watch_free(s->watch);
        close(s->fd);
        free(s);
    }
}
