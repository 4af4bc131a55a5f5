/* SPDX-License-Identifier: MIT */
/* nc.c - TCP by a twoway in a loop of its own, UDP by poll(2). */
#include "ctl/forward/nc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/forward/serving.h"
#include "ctl/forward/twoway.h"
#include "sys/net/inside.h"
#include "sys/net/stream.h"
#include "sys/proc/clock.h"

enum {
    SIGNALLED = 128,      /* as a shell tells it, and `run` */
    WAIT_S = 30,          /* ours: until a member has to take the connection */
    BUF = 256 * 1024,     /* ours */
    DATAGRAM_MAX = 65535, /* RFC 768: with the headers */
};

/* --- TCP ----------------------------------------------------------------------------------- */

struct nc {
    struct pv_overlay *o;
    struct pv_serving serving;
    int at, status;
    bool lost; /* p2pvpnd has ended, and the connection with it */
};

static int connect_within(struct pv_overlay *o, const struct pv_addr *to, int *ret_fd)
{
    int r = pv_overlay_connect(o, to, ret_fd);
    pv_cli_set_timeout(o->cli, WAIT_S);
    while (r == PV_OK) {
        struct pollfd p = {.fd = *ret_fd, .events = POLLOUT};
        int n = poll(&p, 1, pv_poll_ms(o->cli->deadline, pv_clock_now()));
        int done = n > 0 ? pv_stream_connected(*ret_fd) : PV_ERR_AGAIN;
        if (done == PV_OK)
            return PV_OK;
        if (done != PV_ERR_AGAIN)
            r = done;
        else if (n == 0)
            r = PV_ERR_TIMEOUT;
        if (r < 0)
            close(*ret_fd);
    }
    return r;
}

static void on_done(void *ctx, int at, int status)
{
    struct nc *x = ctx;
    x->at = at;
    x->status = status;
    pv_loop_stop(x->serving.loop);
}

static void on_lost(void *ctx, bool apart)
{
    struct nc *x = ctx;
    if (!apart)
        return;
    x->lost = true;
    pv_loop_stop(x->serving.loop);
}

static pv_ns on_turn(void *ctx, pv_ns now)
{
    return PV_NEVER;
}

/* A person at a terminal does not type the end of a conversation that the other side has ended. */
static int carry(struct nc *x, int fd)
{
    struct pv_twoway *two = NULL;
    uint8_t *buf = malloc(BUF);
    const struct pv_twoway_config cfg = {
        .loop = x->serving.loop,
        .buf = buf,
        .cap = BUF,
        .end = {{.in = STDIN_FILENO,
                 .out = STDOUT_FILENO,
                 .shared = true,
                 .is_waited = isatty(STDIN_FILENO) == 0},
                {.in = fd, .out = fd, .is_waited = true, .of_stack = pv_inside_is_stack()}},
        .done = on_done,
        .ctx = x,
    };
    int r = buf == NULL ? PV_ERR_NOMEM : pv_twoway_new(&two, &cfg);
    if (r == PV_OK)
        pv_serving_run(&x->serving);
    pv_twoway_free(two);
    free(buf);
    return r;
}

static int tell_end(const struct nc *x, const char *host, uint16_t port)
{
    struct pv_cli *cli = x->o->cli;
    if (x->lost)
        return pv_cli_fail(cli, PV_CTLAPI_NOT_RUNNING,
                           "the connection ended with p2pvpnd: start it again when that runs");
    if (x->serving.signal != 0)
        return SIGNALLED + x->serving.signal;
    if (x->status == PV_OK)
        return 0;
    if (x->at == 1)
        return pv_overlay_complain(x->o, host, port, x->status);
    return pv_cli_fail(cli, PV_CTLAPI_FAILED, "standard input or output: %s",
                       pv_strstatus(x->status));
}

int pv_nc_tcp(struct pv_overlay *o, const char *host, uint16_t port)
{
    struct nc x = {.o = o};
    struct pv_addr to;
    int fd = -1, code = pv_overlay_find(o, host, port, &to);
    if (code != 0)
        return code;
    pv_client_close(
        &o->cli->client); /* ssh may run many of these, and p2pvpnd takes 24 clients of a user */
    int r = connect_within(o, &to, &fd);
    if (r < 0)
        return pv_overlay_complain(o, host, port, r);
    x.serving = (struct pv_serving){
        .overlay = o, .turn = on_turn, .lost = on_lost, .ctx = &x, .signal_fd = -1};
    r = pv_serving_start(&x.serving);
    if (r == PV_OK)
        r = carry(&x, fd);
    else
        close(fd);
    pv_serving_end(&x.serving);
    return r < 0 ? pv_cli_fail(o->cli, PV_CTLAPI_FAILED, "start: %s", pv_strstatus(r))
                 : tell_end(&x, host, port);
}

/* --- UDP ----------------------------------------------------------------------------------- */

/* 1: something was printed. 0: there was nothing to. Else -errno. */
static int take_answer(int fd, uint8_t *buf)
{
    ssize_t n = recv(fd, buf, DATAGRAM_MAX, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    for (ssize_t at = 0, w; at < n; at += w) {
        w = write(STDOUT_FILENO, buf + at, (size_t)(n - at));
        if (w < 0)
            return -EIO;
    }
    return 1;
}

/* 1: there may be more to send. 0: standard input has ended. */
static int send_one(int fd, uint8_t *buf)
{
    ssize_t n = read(STDIN_FILENO, buf, DATAGRAM_MAX);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 1 : -errno;
    if (n == 0)
        return 0;
    /* A datagram that the way does not take is lost, as datagrams are. */
    return send(fd, buf, (size_t)n, 0) < 0 && errno != EAGAIN && errno != ENOBUFS ? -errno : 1;
}

static int exchange(int fd, uint8_t *buf)
{
    struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    for (;;) {
        int n = poll(p, PV_ARRAY_LEN(p), p[1].fd < 0 ? PV_NC_LINGER_MS : -1), r = 1;
        if (n == 0)
            return PV_OK;
        if (n > 0 && p[0].revents != 0)
            r = take_answer(fd, buf);
        if (r >= 0 && n > 0 && p[1].revents != 0) {
            r = send_one(fd, buf);
            p[1].fd = r == 0 ? -1 : STDIN_FILENO;
        }
        if (r < 0)
            return r;
    }
}

int pv_nc_udp(struct pv_overlay *o, const char *host, uint16_t port)
{
    struct pv_addr to;
    int fd = -1, code = pv_overlay_find(o, host, port, &to);
    if (code != 0)
        return code;
    pv_client_close(&o->cli->client);
    uint8_t *buf = malloc(DATAGRAM_MAX);
    int r = buf == NULL ? PV_ERR_NOMEM : pv_overlay_udp(o, &to, &fd);
    if (r == PV_OK) {
        r = exchange(fd, buf);
        close(fd);
    }
    free(buf);
    if (r == -EIO)
        return pv_cli_fail(o->cli, PV_CTLAPI_FAILED, "standard output cannot be written");
    return r < 0 ? pv_overlay_complain(o, host, port, r) : 0;
}
