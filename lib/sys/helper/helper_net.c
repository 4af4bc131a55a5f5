/* SPDX-License-Identifier: MIT */
/*
 * helper_net.c - plans of the host's network on their way to who sets them. The answers go over a
 * socket of their own, since nobody waits for them.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/helper/helper_proto.h"
#include "sys/helper/hostnet.h"
#include "sys/proc/clock.h"

enum {
    RETRY_MS = 1000, /* for an answer that found the daemon's queue full */
};

/* --- the helper's side --------------------------------------------------------------------- */

/* The newest answer is all that counts: one that does not fit is sent later. */
static void tell(struct pv_helper_net *n)
{
    struct pv_netplan_host host;
    if (n->net == NULL || n->events < 0 || !pv_hostnet_report(n->net, n->late, &host))
        return;
    n->late = send(n->events, &host, sizeof(host), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
              (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* Beside the file of names, which is told apart by instance as well. */
static int begin(struct pv_helper_net *n)
{
    char path[PV_HELPER_PATH_MAX + 8];
    struct pv_hostnet_config cfg = {.uids = {n->uid, n->task_uid}, .alone = n->inside};
    cfg.n_uids = n->uid == 0 || n->inside ? 0 : n->task_uid == 0 ? 1 : 2;
    snprintf(path, sizeof(path), "%s.host", n->names);
    cfg.path = n->names[0] == '\0' ? NULL : path;
    return pv_hostnet_new(&n->net, &cfg);
}

/* A daemon that has asked knows nothing yet. */
static void replace_events(struct pv_helper_net *n, const int pair[2], int *ret_daemon)
{
    if (n->events >= 0)
        close(n->events);
    n->events = pair[0];
    n->late = true;
    *ret_daemon = pair[1];
}

int pv_helper_net_set(struct pv_helper_net *n, const struct pv_netplan *plan, bool events, bool up,
                      int *ret_daemon, char ret_error[static PV_HELPER_ERROR_MAX])
{
    int pair[2], r = n->net == NULL ? begin(n) : PV_OK;
    *ret_daemon = -1;
    if (r == PV_OK && events) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
            r = -errno;
        else
            replace_events(n, pair, ret_daemon);
    }
    if (r < 0) {
        snprintf(ret_error, PV_HELPER_ERROR_MAX, "set routes: %s", pv_strstatus(r));
        return r;
    }
    pv_hostnet_port(n->net, n->udp_port);
    pv_hostnet_iface(n->net, up ? plan->ifname : "");
    r = pv_hostnet_set(n->net, plan, ret_error);
    tell(n);
    return r;
}

void pv_helper_net_iface(struct pv_helper_net *n, const char *ifname)
{
    if (n->net == NULL)
        return;
    pv_hostnet_iface(n->net, ifname);
    tell(n);
}

void pv_helper_net_poll(const struct pv_helper_net *n, struct pollfd ret_fds[static 2])
{
    _Static_assert((int)PV_HELPER_NET_FDS == (int)PV_HOSTNET_FDS, "room for all of them");
    if (n->net != NULL)
        pv_hostnet_poll(n->net, ret_fds);
    else
        ret_fds[0] = ret_fds[1] = (struct pollfd){.fd = -1};
}

int pv_helper_net_timeout(const struct pv_helper_net *n)
{
    int ms = n->net == NULL ? -1 : pv_hostnet_timeout(n->net, pv_clock_now());
    return n->late && (ms < 0 || ms > RETRY_MS) ? RETRY_MS : ms;
}

void pv_helper_net_work(struct pv_helper_net *n)
{
    if (n->net == NULL)
        return;
    pv_hostnet_work(n->net, pv_clock_now());
    tell(n);
}

void pv_helper_net_end(struct pv_helper_net *n)
{
    n->net = pv_hostnet_end(n->net);
}
