/* SPDX-License-Identifier: MIT */
/* serving.c - signals, p2pvpnd's end, and the owner's turns. */
#include "ctl/forward/serving.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    WANTED_FDS = 2064, /* two for each of a thousand connections, and those of the program itself */
};

static void on_signal(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_serving *s = ctx;
    if (pv_signals_read(s->signal_fd, &s->signal) == PV_OK)
        pv_loop_stop(s->loop);
}

static void on_daemon(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_serving *s = ctx;
    struct pv_cli *cli = s->overlay->cli;
    struct pv_ctlapi_reply reply;
    int r = s->overlay->end > 0 ? PV_ERR_CLOSED : pv_client_next(&cli->client, 0, &reply);
    if (r == PV_OK)
        pv_ctlapi_reply_done(&reply);
    if (r == PV_OK || r == PV_ERR_TIMEOUT)
        return;
    s->daemon = pv_watch_free(s->daemon);
    s->lost(s->ctx, pv_overlay_forget(s->overlay));
}

/* A request may have opened another connection to it. */
static pv_ns on_turn(void *ctx, pv_ns now)
{
    struct pv_serving *s = ctx;
    const int fd = s->overlay->end > 0 ? s->overlay->end : s->overlay->cli->client.fd;
    if (s->daemon == NULL && fd >= 0)
        (void)!pv_watch_new(&s->daemon, s->loop, fd, PV_LOOP_READ, on_daemon, s);
    return s->turn(s->ctx, now);
}

static void raise_limit(void)
{
    struct rlimit fds;
    if (getrlimit(RLIMIT_NOFILE, &fds) < 0 || fds.rlim_cur >= WANTED_FDS)
        return;
    fds.rlim_cur = fds.rlim_max < WANTED_FDS ? fds.rlim_max : WANTED_FDS;
    (void)!setrlimit(RLIMIT_NOFILE, &fds);
}

int pv_serving_start(struct pv_serving *s)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    raise_limit();
    int r = pv_loop_new(&s->loop);
    if (r == PV_OK)
        r = pv_signals_open(signals, PV_ARRAY_LEN(signals), &s->signal_fd);
    if (r == PV_OK)
        r = pv_watch_new(&s->signals, s->loop, s->signal_fd, PV_LOOP_READ, on_signal, s);
    return r;
}

void pv_serving_run(struct pv_serving *s)
{
    pv_loop_run(s->loop, &(struct pv_loop_owner){.turn = on_turn, .ctx = s});
}

void pv_serving_end(struct pv_serving *s)
{
    s->daemon = pv_watch_free(s->daemon);
    s->signals = pv_watch_free(s->signals);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
    if (s->loop != NULL)
        s->loop = pv_loop_free(s->loop);
}
