/* SPDX-License-Identifier: MIT */
/* The helper's answers about the host's network: the newest counts, and the engine looks at it. */
#include "daemon/io/io_hostnet.h"

#include <stdlib.h>
#include <unistd.h>

struct pv_io_hostnet {
    struct pv_io_turn *turn;
    struct pv_watch *watch;
    int fd; /* -1: nobody has said anything yet */
};

static void stop_listening(struct pv_io_hostnet *h)
{
    h->watch = pv_watch_free(h->watch);
    if (h->fd >= 0)
        close(h->fd);
    h->fd = -1;
}

static void on_event(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_io_hostnet *h = ctx;
    struct pv_netplan_host host;
    pv_io_turn_begin(h->turn, now);
    int r = pv_helper_netplan_event(h->fd, &host);
    if (r == PV_ERR_CLOSED)
        stop_listening(h); /* the helper's end is noticed elsewhere */
    if (r == PV_OK)
        pv_engine_handle_hostnet(h->turn->engine, &host, now);
}

void pv_io_hostnet_listen(struct pv_io_hostnet *h, int events_fd)
{
    stop_listening(h);
    h->fd = events_fd;
    int r = pv_watch_new(&h->watch, h->turn->loop, events_fd, PV_LOOP_READ, on_event, h);
    if (r < 0)
        pv_log(h->turn->log, PV_LOG_WARN, "what=\"this host's network is not watched\" why=\"%s\"",
               pv_strstatus(r));
}

int pv_io_hostnet_new(struct pv_io_hostnet **ret_hostnet, struct pv_io_turn *turn)
{
    struct pv_io_hostnet *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return PV_ERR_NOMEM;
    *h = (struct pv_io_hostnet){.turn = turn, .fd = -1};
    *ret_hostnet = h;
    return PV_OK;
}

struct pv_io_hostnet *pv_io_hostnet_free(struct pv_io_hostnet *h)
{
    if (h != NULL)
        stop_listening(h);
    free(h);
    return NULL;
}
