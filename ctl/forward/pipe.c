/* SPDX-License-Identifier: MIT */
/* pipe.c - the two connections of a pipe. */
#include "ctl/forward/pipe.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/forward/serving.h"
#include "sys/net/gate.h"
#include "sys/net/inside.h"
#include "sys/net/stream.h"
#include "sys/proc/clock.h"

#define BEAT  PV_S(1)                  /* ours: of the pulse */
#define QUIET PV_S(PV_PIPE_DEAD_S - 1) /* after so long without one p2pvpnd is asked */
#define LOST  PV_S(PV_PIPE_LOST_S)     /* and after so long nothing more is waited for */
#define ASK_S 1                        /* ours: no beat is sent while p2pvpnd is asked */

enum {
    SIGNALLED = 128, /* as a shell tells it */
    BUF = 256 * 1024,
    AGAIN_MS = 200, /* ours: until the first is tried again */
    LOOK_MS = 2000, /* ours: until the first looks again whether the second is a member */
    /* the two connections */
    DATA = 0,
    PULSE = 1,
    /* what the pulse says */
    ALIVE = 'a',
    DONE = 'd',
    FAILED = 'f', /* instead of DONE; who does not know it sees an end without DONE */
};

/* A pulse takes a byte at any time, or is dead. */
static bool tell(int pulse, uint8_t what)
{
    return send(pulse, &what, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

/* --- the first command --------------------------------------------------------------------- */

/* A signal ends the process as ever; p2pvpnd's end does not go unheard. */
static int wait_for(const struct pv_overlay *o, int fd)
{
    int n;
    struct pollfd p[] = {{.fd = fd, .events = POLLIN},
                         {.fd = o->end > 0 ? o->end : -1, .events = POLLIN}};
    while ((n = poll(p, PV_ARRAY_LEN(p), LOOK_MS)) < 0 && errno == EINTR)
        continue;
    return n == 0 ? PV_ERR_TIMEOUT : p[1].revents != 0 ? PV_ERR_CLOSED : PV_OK;
}

/* The second end has become a member when an invite has been used, and no longer can when one has
 * expired: in both cases the token is spent. The network has no invites but this pipe's. */
static int look_at_token(const struct pv_overlay *o, bool *ret_spent)
{
    const double now = (double)pv_clock_wall_us() / 1e6;
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_INVITE_LIST);
    int code = pv_cli_ask(o->cli, &req, &body);
    *ret_spent = false;
    PV_EACH_JSON(json_object_get(body, "invites"), invite) {
        const double end = pv_json_real(invite, "not_after", 0);
        if (pv_json_real(invite, "used", 0) > 0 || (end > 0 && end < now))
            *ret_spent = true;
    }
    json_decref(body);
    return code;
}

/* The pulse comes first, and says so: of two that were begun at once the second may be here first,
 * as where the way changes under them. A status, or the exit code of what the user has been told.
 * n: how many there are. */
static int accept_both(const struct pv_overlay *o, const struct pv_gate *gate, int fds[static 2],
                       int *n)
{
    pv_ns until = PV_NEVER;
    while (*n < 2) {
        bool comes = false;
        int code = until == PV_NEVER ? look_at_token(o, &comes) : 0;
        if (code != 0)
            return code;
        int r = wait_for(o, gate->fd);
        int *fd = &fds[*n == 0 ? PULSE : DATA];
        int got = r == PV_OK ? pv_gate_accept(gate, fd) : PV_ERR_AGAIN;
        if (got == PV_OK) {
            if (*n == 0)
                (void)tell(*fd, ALIVE); /* where it is dead already, carrying it finds out */
            (*n)++;
            comes = true;
        } else if (got == PV_ERR_CLOSED) {
            return got;
        }
        if (comes)
            until = pv_clock_now() + PV_S(PV_PIPE_CONNECT_S);
        if (r < 0 && (r != PV_ERR_TIMEOUT || pv_clock_now() >= until))
            return r;
    }
    return PV_OK;
}

int pv_pipe_accept(struct pv_overlay *o, int ret_fds[static 2])
{
    struct pv_gate gate;
    struct pv_addr at = o->own4.family != PV_AF_NONE ? o->own4 : o->own6;
    at.port = PV_PIPE_PORT;
    int n = 0, r = pv_gate_open_overlay(&gate, &at, o->tun, false);
    if (r == PV_OK)
        r = accept_both(o, &gate, ret_fds, &n);
    pv_gate_close(&gate);
    if (r == PV_OK) {
        pv_overlay_be_patient(ret_fds[DATA]);
        return 0;
    }
    if (n > 0)
        close(ret_fds[PULSE]);
    if (r == PV_ERR_TIMEOUT)
        return pv_cli_fail(o->cli, PV_CTLAPI_FAILED,
                           "the other end has not come, and its token is used or too old: begin "
                           "again");
    return r > 0 ? r
                 : pv_cli_fail(o->cli, PV_CTLAPI_FAILED, "wait for the other end: %s",
                               pv_strstatus(r));
}

/* --- the second ---------------------------------------------------------------------------- */

/* This node hears of the other members a moment after it has joined. */
static int find(struct pv_overlay *o, const char *host, pv_ns deadline, struct pv_addr *ret_to)
{
    int code;
    do {
        pv_cli_hush(o->cli, true);
        code = pv_overlay_find(o, host, PV_PIPE_PORT, ret_to);
        pv_cli_hush(o->cli, false);
        if (code != 0)
            (void)poll(NULL, 0, AGAIN_MS);
    } while (code == PV_CTLAPI_UNKNOWN_PEER && pv_clock_now() < deadline);
    return code == 0 ? 0 : pv_overlay_find(o, host, PV_PIPE_PORT, ret_to);
}

static int connect_one(struct pv_overlay *o, const char *host, pv_ns deadline, int *ret_fd)
{
    struct pv_addr to;
    int code = find(o, host, deadline, &to);
    if (code != 0)
        return code;
    int r = pv_overlay_connect(o, &to, ret_fd);
    while (r == PV_OK) {
        struct pollfd p = {.fd = *ret_fd, .events = POLLOUT};
        (void)poll(&p, 1, AGAIN_MS);
        r = pv_stream_connected(*ret_fd);
        if (r == PV_OK)
            return 0;
        if (r == PV_ERR_AGAIN)
            r = pv_clock_now() < deadline ? PV_OK : PV_ERR_TIMEOUT;
        if (r < 0)
            close(*ret_fd);
    }
    return pv_overlay_complain(o, host, PV_PIPE_PORT, r);
}

/* The first command has taken this connection for the pulse. A status. */
static int hear_first(int pulse, pv_ns deadline)
{
    uint8_t c;
    ssize_t n;
    do {
        struct pollfd p = {.fd = pulse, .events = POLLIN};
        (void)poll(&p, 1, AGAIN_MS);
        n = recv(pulse, &c, 1, MSG_DONTWAIT);
    } while (n < 0 && (errno == EAGAIN || errno == EINTR) && pv_clock_now() < deadline);
    return n == 1                              ? PV_OK
           : n == 0                            ? PV_ERR_CLOSED
           : errno == EAGAIN || errno == EINTR ? PV_ERR_TIMEOUT
                                               : -errno;
}

int pv_pipe_connect(struct pv_overlay *o, const char *host, int ret_fds[static 2])
{
    const pv_ns deadline = pv_clock_now() + PV_S(PV_PIPE_CONNECT_S);
    int code = connect_one(o, host, deadline, &ret_fds[PULSE]);
    if (code != 0)
        return code;
    int r = hear_first(ret_fds[PULSE], deadline);
    code = r < 0 ? pv_overlay_complain(o, host, PV_PIPE_PORT, r)
                 : connect_one(o, host, deadline, &ret_fds[DATA]);
    if (code != 0)
        close(ret_fds[PULSE]);
    return code;
}

/* --- both ---------------------------------------------------------------------------------- */

#define REAP PV_MS(20) /* ours: a program that has closed all is about to end */

static const char ended[] = "the other end has ended before all was taken",
                  failed[] = "the program at the other end failed";

struct pipe {
    struct pv_overlay *o;
    struct pv_pipe_program *program;
    struct pv_serving serving;
    struct pv_twoway *two;
    struct pv_watch *pulse;
    int data_fd, pulse_fd; /* the first is two's */
    pv_ns beat_at, heard, ask_at;
    bool reaps;      /* both directions have ended, and the program has not */
    bool done;       /* here: both directions have ended, and with 0 the program */
    bool failed;     /* the program here: nothing more is to be said */
    bool told;       /* the other is done, too */
    const char *why; /* the loop has ended; what it means if either is false */
    int at, status;
};

static bool is_complete(const struct pipe *x)
{
    return x->done && x->told;
}

static void end(struct pipe *x, const char *why)
{
    x->why = why;
    pv_loop_stop(x->serving.loop);
}

/* An end that is complete has said all, and waits until the other one knows: a socket that is
 * closed with bytes that nobody has read takes back what it said last. */
static void look(struct pipe *x)
{
    if (is_complete(x) || x->failed)
        (void)shutdown(x->pulse_fd, SHUT_WR);
    if (x->status < 0)
        pv_loop_stop(x->serving.loop);
}

static void say(struct pipe *x, uint8_t what)
{
    if (!tell(x->pulse_fd, what))
        end(x, ended);
}

/* A program that ended may have left bytes unread, which are lost without an error: its exit code
 * says whether it did. */
static void reap(struct pipe *x)
{
    struct pv_pipe_program *p = x->program;
    p->ended = p->pid > 0 && waitpid(p->pid, &p->status, WNOHANG) == p->pid;
    x->reaps = p->pid > 0 && !p->ended;
    if (x->reaps)
        return;
    x->done = p->status == 0;
    x->failed = !x->done;
    say(x, x->done ? DONE : FAILED);
    look(x);
}

static void on_done(void *ctx, int at, int status)
{
    struct pipe *x = ctx;
    x->at = at;
    x->status = status;
    if (status == PV_OK) {
        /* An end that is a terminal's is not waited for, and the other end waits for this one. */
        (void)shutdown(x->data_fd, SHUT_WR);
        x->program->status = 0;
        reap(x);
    }
    look(x);
}

/* An end that was told ends its pulse, and one that died. */
static void on_pulse(void *ctx, unsigned ready, pv_ns now)
{
    struct pipe *x = ctx;
    uint8_t c = ALIVE;
    ssize_t n = recv(x->pulse_fd, &c, 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    x->heard = now;
    if (n == 1) {
        x->told = x->told || c == DONE;
        if (c == FAILED)
            end(x, failed);
    } else {
        x->pulse = pv_watch_free(x->pulse);
        end(x, ended);
    }
    look(x);
}

static void on_lost(void *ctx, bool apart)
{
    end(ctx, "p2pvpnd, which was started for it, has ended");
}

/* Has the other end's process ended together with its p2pvpnd, so that its last word was lost? The
 * coordinator knows: this node is connected to it, the other end is not, and no path leads there.
 * False where nobody can know: when this node is not connected itself, or came back during the
 * silence, since the other end may be about to come back, too. */
static bool is_gone(struct pipe *x, pv_ns silent)
{
    json_t *status = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_STATUS);
    pv_cli_hush(x->o->cli, true);
    int code = pv_cli_connect(x->o->cli);
    pv_cli_set_timeout(x->o->cli, ASK_S);
    if (code == 0)
        code = pv_cli_call(x->o->cli, &req, NULL, NULL, &status);
    pv_cli_hush(x->o->cli, false);
    const double connected =
        pv_json_real(json_object_get(status, "coordinator"), "connected_ms", -1);
    bool gone = code == 0 && connected >= (double)silent / (double)PV_MS(1) &&
                pv_json_real(json_object_get(status, "roster"), "online", 0) <= 1; /* this one */
    json_decref(status);
    return gone;
}

static pv_ns on_turn(void *ctx, pv_ns now)
{
    struct pipe *x = ctx;
    const pv_ns silent = now - x->heard;
    if (now >= x->beat_at) {
        x->beat_at = now + BEAT;
        if (!is_complete(x) && !x->failed)
            say(x, ALIVE);
    }
    if (x->reaps)
        reap(x);
    if (silent < QUIET) {
        x->ask_at = x->heard + QUIET;
    } else if (silent >= LOST) {
        end(x, "the other end is not reached any more");
    } else if (now >= x->ask_at) {
        x->ask_at = now + BEAT;
        if (is_gone(x, silent))
            end(x, ended);
    }
    return pv_min_ns(pv_min_ns(x->beat_at, x->ask_at), x->reaps ? now + REAP : PV_NEVER);
}

static int tell_end(const struct pipe *x)
{
    struct pv_cli *cli = x->o->cli;
    if (x->serving.signal != 0)
        return SIGNALLED + x->serving.signal;
    if (x->status < 0 && x->at == 1)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "the other end broke off the connection");
    if (x->status < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "this end: %s", pv_strstatus(x->status));
    return is_complete(x) || x->failed ? 0 : pv_cli_fail(cli, PV_CTLAPI_FAILED, "%s", x->why);
}

int pv_pipe_carry(struct pv_overlay *o, struct pv_twoway_end local, struct pv_pipe_program *program,
                  const int fds[static 2])
{
    const pv_ns now = pv_clock_now();
    struct pipe x = {.o = o,
                     .program = program,
                     .data_fd = fds[DATA],
                     .pulse_fd = fds[PULSE],
                     .beat_at = now,
                     .heard = now,
                     .why = ended};
    uint8_t *buf = malloc(BUF);
    x.serving = (struct pv_serving){
        .overlay = o, .turn = on_turn, .lost = on_lost, .ctx = &x, .signal_fd = -1};
    int r = buf == NULL ? PV_ERR_NOMEM : pv_serving_start(&x.serving);
    const struct pv_twoway_config cfg = {
        .loop = x.serving.loop,
        .buf = buf,
        .cap = BUF,
        .end = {local,
                {.in = fds[DATA],
                 .out = fds[DATA],
                 .is_waited = true,
                 .of_stack = pv_inside_is_stack()}},
        .done = on_done,
        .ctx = &x,
    };
    if (r == PV_OK)
        r = pv_watch_new(&x.pulse, x.serving.loop, fds[PULSE], PV_LOOP_READ, on_pulse, &x);
    if (r == PV_OK)
        r = pv_twoway_new(&x.two, &cfg);
    if (r == PV_OK)
        pv_serving_run(&x.serving);
    pv_twoway_free(x.two);
    pv_watch_free(x.pulse);
    close(fds[PULSE]);
    pv_serving_end(&x.serving);
    free(buf);
    return r < 0 ? pv_cli_fail(o->cli, PV_CTLAPI_FAILED, "start: %s", pv_strstatus(r))
                 : tell_end(&x);
}
