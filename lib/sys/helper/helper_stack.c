/* SPDX-License-Identifier: MIT */
/*
 * helper_stack.c - lwIP's process: it serves what the second helper serves where the kernel makes a
 * network for its user, with connections in place of sockets (docs/adr/0085). It has no rights and
 * opens nothing; what members send, it alone parses.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/helper/helper_proto.h"
#include "sys/net/unixsock.h"
#include "sys/proc/child.h"
#include "sys/proc/entropy.h"
#include "sys/proc/loop.h"
#include "sys/proc/procinfo.h"
#include "sys/proc/sandbox.h"
#include "sys/stack/stack.h"

enum {
    /* A connection has one; a program that asks, and a queue, too. */
    FDS_MAX = PV_STACK_CONNS + PV_STACK_PLACES + PV_STACK_LISTENERS + 128,
    MEMORY_MAX = 512 << 20, /* bytes, ours: both directions of all connections, and to spare */
};

struct stack_server {
    int fd, listener;
    struct pv_loop *loop;
    struct pv_stack *stack;
    bool sandboxed;
    bool given_up; /* the daemon asks no more: it has waited too long, and has to start anew */
};

/* --- requests of the daemon ---------------------------------------------------------------- */

static void fail(struct pv_helper_reply *reply, int status, const char *what, const char *why)
{
    reply->status = status;
    snprintf(reply->error, sizeof(reply->error), "%s: %s", what, why);
}

static void iface_up(struct stack_server *s, const struct pv_helper_iface *iface, int *ret_fds,
                     struct pv_helper_reply *reply)
{
    static const char what[] = "set up the interface";
    int fds[PV_STACK_QUEUES];
    if (iface->n_addrs > PV_HELPER_MAX_PREFIXES || iface->mtu < PV_HELPER_MTU_MIN ||
        iface->queues == 0) {
        fail(reply, -EINVAL, what, "not an interface");
        return;
    }
    int r = pv_stack_up(s->stack, iface->addrs, iface->n_addrs, iface->mtu, iface->queues, fds);
    if (r < 0) {
        fail(reply, r, what, pv_strstatus(r));
        return;
    }
    /* As pv_tun_of_fds() reads them: one for both directions, or first those to read. */
    for (unsigned i = 0; i < iface->queues; i++)
        ret_fds[reply->n_fds++] = fds[i];
    for (unsigned i = 0; iface->queues > 1 && i < iface->queues; i++)
        ret_fds[reply->n_fds++] = fds[i];
}

/* Routes are all there: lwIP knows no other way than the interface. */
static void set_network(const struct pv_helper_request *req, struct pv_helper_reply *reply)
{
    int r = pv_netplan_check(&req->plan);
    if (r < 0)
        fail(reply, r, "set routes", pv_strstatus(r));
    else if (req->plan.exit || req->plan.n_offered > 0)
        fail(reply, PV_ERR_UNSUPPORTED, "use or be an exit or a gateway",
             "lwIP reaches members alone, and this machine's programs are not in its network");
}

static void sandbox(struct stack_server *s, struct pv_helper_reply *reply)
{
    int r = s->sandboxed ? PV_OK : pv_helper_sandbox_as(PV_HELPER_ROLE_STACK, NULL);
    s->sandboxed = r == PV_OK;
    if (r < 0) {
        fail(reply, r, "sandbox lwIP's process", pv_strstatus(r));
        pv_loop_stop(s->loop); /* half of it is worse than nothing */
    }
}

static void serve(struct stack_server *s, const struct pv_helper_request *req)
{
    struct pv_helper_reply reply = {0};
    int fds[PV_HELPER_MAX_FDS];
    if (req->kind == PV_HELPER_SANDBOX)
        sandbox(s, &reply);
    else if (!s->sandboxed)
        fail(&reply, PV_ERR_STATE, "ask lwIP's process", "too early for this request");
    else if (req->kind == PV_HELPER_IFACE_UP)
        iface_up(s, &req->iface, fds, &reply);
    else if (req->kind == PV_HELPER_IFACE_DOWN)
        pv_stack_down(s->stack);
    else if (req->kind == PV_HELPER_NETPLAN)
        set_network(req, &reply);
    else
        fail(&reply, PV_ERR_UNSUPPORTED, "ask lwIP's process", "not without the kernel");
    pv_helper_send_reply(s->fd, &reply, fds);
}

static void on_daemon(void *ctx, unsigned ready, pv_ns now)
{
    static struct pv_helper_request req; /* larger than what a stack of a thread is for */
    struct stack_server *s = ctx;
    size_t n = 0;
    int passed = -1;
    int r = pv_unix_read(s->fd, &req, sizeof(req), &n, &passed);
    if (passed >= 0)
        close(passed);
    if (r == PV_ERR_AGAIN)
        return;
    if (r < 0) {
        pv_loop_stop(s->loop);
        return;
    }
    if (n != sizeof(req))
        req.kind = 0; /* answered as unknown */
    serve(s, &req);
}

/* --- programs of this user ----------------------------------------------------------------- */

static void on_program(void *ctx, unsigned ready, pv_ns now)
{
    struct stack_server *s = ctx;
    struct pv_unix_cred cred;
    int fd = -1;
    if (pv_unix_accept(s->listener, &fd, &cred) < 0)
        return;
    if (cred.uid == geteuid())
        (void)!pv_stack_serve(s->stack, fd, NULL);
    else
        close(fd);
}

/* --- life ---------------------------------------------------------------------------------- */

static pv_ns on_turn(void *ctx, pv_ns now)
{
    struct stack_server *s = ctx;
    if (s->given_up)
        pv_loop_stop(s->loop);
    return pv_stack_turn(s->stack, now);
}

static void on_parent(void *ctx, unsigned ready, pv_ns now)
{
    pv_loop_stop(((struct stack_server *)ctx)->loop);
}

static void run(struct stack_server *s, int asker, pid_t parent)
{
    struct pv_watch *daemon = NULL, *programs = NULL, *end = NULL;
    const struct pv_rng rng = pv_entropy();
    int ended = -1;
    (void)!pv_sandbox_limit(RLIMIT_NOFILE, FDS_MAX);
#ifndef PV_SANITIZED
    (void)!pv_sandbox_limit(RLIMIT_DATA, MEMORY_MAX);
#endif
    if (pv_procinfo_watch_parent(parent, &ended) < 0 || pv_loop_new(&s->loop) < 0)
        return;
    if (pv_stack_new(&s->stack, s->loop, pv_rng_u32(&rng)) == PV_OK &&
        pv_stack_serve(s->stack, asker, &s->given_up) == PV_OK &&
        pv_watch_new(&daemon, s->loop, s->fd, PV_LOOP_READ, on_daemon, s) == PV_OK &&
        pv_watch_new(&programs, s->loop, s->listener, PV_LOOP_READ, on_program, s) == PV_OK &&
        (ended < 0 || pv_watch_new(&end, s->loop, ended, PV_LOOP_READ, on_parent, s) == PV_OK))
        pv_loop_run(s->loop, &(struct pv_loop_owner){.turn = on_turn, .ctx = s});
    s->stack = pv_stack_free(s->stack);
    pv_watch_free(daemon);
    pv_watch_free(programs);
    pv_watch_free(end);
    pv_loop_free(s->loop);
}

struct ends {
    int asker, listener;
};

static void be_stack(int daemon, pid_t parent, const void *ctx)
{
    const struct ends *ends = ctx;
    run(&(struct stack_server){.fd = daemon, .listener = ends->listener}, ends->asker, parent);
}

int pv_helper_stack_start(int listener, int ret_fds[static 2], pid_t *ret_pid)
{
    int asker[2];
    if (!pv_stack_is_built())
        return PV_ERR_UNSUPPORTED;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, asker) < 0)
        return -errno;
    const struct ends ends = {.asker = asker[1], .listener = listener};
    int r = pv_child_fork("p2pvpnd-stack", be_stack, &ends, (const int[]){asker[1], listener},
                          &ret_fds[0], ret_pid);
    close(asker[1]);
    if (r < 0)
        close(asker[0]);
    else
        ret_fds[1] = asker[0];
    return r;
}
