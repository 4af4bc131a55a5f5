/* SPDX-License-Identifier: MIT */
/* p2pvpn-web: the page of a node or a coordinator, for the command that starts it (docs/adr/0091,
 * 0093). */
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "proto/local/weblogin.h"
#include "sys/proc/loop.h"
#include "sys/proc/sandbox.h"
#include "web/server.h"

/* Sockets that others have opened; none is made. */
static const struct pv_sandbox_call calls[] = {
    {"recvmsg", PV_SANDBOX_ANY, 0},    {"recv", PV_SANDBOX_ANY, 0},
    {"recvfrom", PV_SANDBOX_ANY, 0},   {"sendmsg", PV_SANDBOX_ANY, 0},
    {"send", PV_SANDBOX_ANY, 0},       {"sendto", PV_SANDBOX_ANY, 0},
    {"shutdown", PV_SANDBOX_ANY, 0},   {"setsockopt", 2, TCP_NODELAY},
    {"sendfile", PV_SANDBOX_ANY, 0},   {"sendfile64", PV_SANDBOX_ANY, 0},
    {"pread64", PV_SANDBOX_ANY, 0},    {"newfstatat", PV_SANDBOX_ANY, 0},
    {"statx", PV_SANDBOX_ANY, 0},      {"setsockopt", 2, TCP_CORK},
    {"getsockopt", PV_SANDBOX_ANY, 0},
};

/* Root's page is served by a user of its own: who it is does not matter to p2pvpnd, which sees
 * p2pvpnctl. No file, no socket, no program. */
static int sandbox(void)
{
    struct pv_sandbox_user user;
    int abi = 0, r = PV_OK;
    if (geteuid() == 0)
        r = pv_sandbox_spare_user("p2pvpn-web", &user);
    if (r == PV_OK)
        r = pv_sandbox_become(geteuid() == 0 ? &user : NULL, 0);
    if (r == PV_OK)
        r = pv_sandbox_no_new_privs();
    if (r == PV_OK)
        r = pv_sandbox_files(NULL, 0,
                             PV_SANDBOX_NO_TCP_CONNECT | PV_SANDBOX_NO_TCP_BIND |
                                 PV_SANDBOX_NO_SIGNALS | PV_SANDBOX_NO_ABSTRACT,
                             &abi);
    if (r == PV_OK || r == PV_ERR_UNSUPPORTED)
        r = pv_sandbox_calls(PV_SANDBOX_CALLS_RUN, calls, PV_ARRAY_LEN(calls));
    return r == PV_ERR_UNSUPPORTED ? PV_OK : r;
}

static pv_ns turn(void *ctx, pv_ns now)
{
    return pv_web_turn(ctx, now);
}

int main(int argc, char **argv)
{
    struct pv_loop *loop = NULL;
    struct pv_web *web = NULL;
    int type = 0;
    socklen_t len = sizeof(type);
    if (argc != 2 || getsockopt(PV_WEBLINK_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        type != SOCK_SEQPACKET) {
        fputs("p2pvpn-web: started by p2pvpnctl web or p2pvpn-coordinator web, which give it what "
              "it needs\n",
              stderr);
        return 2;
    }
    /* The terminal's interrupt is for the command, whose end is this one's. */
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    int r = pv_crypto_init();
    if (r == PV_OK)
        r = pv_loop_new(&loop);
    if (r == PV_OK)
        r = pv_web_new(&web, loop, PV_WEBLINK_FD, strcmp(argv[1], PV_WEBLINK_COORDINATOR) == 0);
    if (r == PV_OK)
        r = sandbox();
    if (r == PV_OK)
        r = pv_web_offer(web);
    if (r == PV_OK)
        pv_loop_run(loop, &(struct pv_loop_owner){.turn = turn, .ctx = web});
    else
        fprintf(stderr, "p2pvpn-web: start: %s\n", pv_strstatus(r));
    pv_web_free(web);
    pv_loop_free(loop);
    /* Without what a sanitizer does at the end: it would look from a second process, and wait for
     * one that may not be there. unit/test_web_server looks for leaks. */
    _exit(r == PV_OK ? 0 : 1);
}
