/* SPDX-License-Identifier: MIT */
/* overlay.c - p2pvpnd's answers, and sockets that are tied to its interface. */
#include "ctl/forward/overlay.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/remedy.h"
#include "ctl/lib/enter.h"
#include "sys/net/inside.h"
#include "sys/net/sockaddr.h"
#include "sys/net/stream.h"
#include "sys/net/unixsock.h"

enum {
    ASK_S = 5, /* ours: p2pvpnd answers from memory, and meanwhile nothing else moves */
    /* s, ours: a connection whose other end is silent for half an hour, asked once a minute in the
     * last quarter, has ended */
    KEEP_IDLE = 900,
    KEEP_EVERY = 60,
    KEEP_COUNT = 15,
};

/* p2pvpnd has few places for the connections of one user, so none is kept where its end is told by
 * another descriptor. */
static void hang_up(struct pv_overlay *o)
{
    if (o->end > 0)
        pv_client_close(&o->cli->client);
}

static int ask(struct pv_overlay *o, struct pv_ctlapi_request *req, json_t **ret_body)
{
    int code = pv_cli_connect(o->cli);
    pv_cli_set_timeout(o->cli, ASK_S);
    if (code == 0)
        code = pv_cli_call(o->cli, req, NULL, NULL, ret_body);
    hang_up(o);
    return code;
}

/* --- where it is --------------------------------------------------------------------------- */

/* lwIP's process listens beside p2pvpnd. The kernel says whether it is this user's. */
static int find_stack(struct pv_overlay *o, int *ret_giver)
{
    char path[PATH_MAX + sizeof(PV_INSIDE_STACK_SUFFIX)];
    struct pv_unix_cred cred;
    int fd = -1;
    snprintf(path, sizeof(path), "%s" PV_INSIDE_STACK_SUFFIX, o->cli->node.socket);
    int r = pv_unix_connect(path, &fd);
    if (r == PV_OK)
        r = pv_unix_peer(fd, &cred);
    if (r == PV_OK && cred.uid != geteuid())
        r = -EPERM;
    if (r < 0 && fd >= 0)
        close(fd);
    *ret_giver = fd;
    return r;
}

static int go_inside(struct pv_overlay *o, int pid, bool stack)
{
    /* Before it is looked at: what is looked at is then this process, or one that has ended. */
    int end = o->end > 0 ? o->end : (int)syscall(SYS_pidfd_open, pid, 0);
    o->end = end > 0 ? end : 0;
    int net = -1, giver = -1, r = stack ? find_stack(o, &giver) : pv_enter_open(pid, &net);
    if (r == PV_OK && !stack && net < 0)
        return 0; /* run has started this process, and so its sockets are there */
    if (r == PV_OK && !stack)
        r = pv_enter_giver(net, &giver);
    if (net >= 0)
        close(net);
    if (r < 0)
        return pv_cli_fail(o->cli, PV_CTLAPI_FAILED,
                           "find the network of p2pvpnd: %s: p2pvpnd may just restart: try again",
                           pv_strstatus(r));
    if (stack)
        pv_inside_use_stack(giver, true);
    else
        pv_inside_use(giver);
    return 0;
}

/* Of root's p2pvpnd, which has no inside; 0: it is in another container. */
static int open_daemon(const struct pv_overlay *o)
{
    struct pv_unix_cred cred = {0};
    if (o->cli->client.fd < 0 || pv_unix_peer(o->cli->client.fd, &cred) < 0 || cred.pid <= 0)
        return 0;
    int fd = (int)syscall(SYS_pidfd_open, cred.pid, 0);
    return fd > 0 ? fd : 0;
}

static void read_addr(const json_t *body, const char *key, struct pv_addr *ret_addr)
{
    if (pv_addr_parse_ip(pv_json_text(body, key, ""), ret_addr) < 0)
        *ret_addr = (struct pv_addr){.family = PV_AF_NONE};
}

static int take_status(struct pv_overlay *o, const json_t *status)
{
    const json_t *self = json_object_get(status, "self");
    const char *tun = pv_json_text(json_object_get(status, "interface"), "name", "");
    int pid = (int)pv_json_real(status, "inside", 0);
    if (pv_json_is(status, "state", "down"))
        return pv_cli_fail(o->cli, PV_CTLAPI_FAILED, "this machine is down: %s", PV_DO_STR(up));
    if (tun[0] == '\0' || strlen(tun) >= sizeof(o->tun))
        return pv_cli_fail(o->cli, PV_CTLAPI_NOT_JOINED,
                           "this node is not up: `p2pvpnctl status` says what is missing");
    snprintf(o->tun, sizeof(o->tun), "%s", tun);
    snprintf(o->name, sizeof(o->name), "%.63s", pv_json_text(self, "name", ""));
    read_addr(self, "ip4", &o->own4);
    read_addr(self, "ip6", &o->own6);
    if (pid <= 0 || pid == o->pid)
        return 0;
    int code = go_inside(o, pid, pv_json_is(status, "stack", "lwip"));
    o->pid = code == 0 ? pid : 0;
    return code;
}

int pv_overlay_open(struct pv_overlay *o)
{
    json_t *status = NULL;
    if (o->known)
        return 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_STATUS);
    int code = ask(o, &req, &status);
    if (code == 0)
        code = take_status(o, status);
    json_decref(status);
    o->known = code == 0;
    if (o->known && o->end <= 0)
        o->end = open_daemon(o);
    hang_up(o);
    return code;
}

int pv_overlay_look(struct pv_overlay *o)
{
    o->known = false;
    return pv_overlay_open(o);
}

bool pv_overlay_forget(struct pv_overlay *o)
{
    bool apart = pv_inside_is_apart();
    pv_client_close(&o->cli->client);
    pv_inside_use(-1);
    if (o->end > 0)
        close(o->end);
    o->end = o->pid = 0;
    o->known = false;
    return apart;
}

/* --- members ------------------------------------------------------------------------------- */

int pv_overlay_find(struct pv_overlay *o, const char *host, uint16_t port, struct pv_addr *ret_addr)
{
    json_t *body = NULL;
    int code = pv_overlay_open(o);
    if (code != 0)
        return code;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_IP);
    code = pv_cli_peer(o->cli, &req, host);
    if (code == 0)
        code = ask(o, &req, &body);
    o->cli->peer = NULL;
    if (code != 0)
        return code;
    struct pv_addr meant;
    read_addr(body, "ip4", ret_addr);
    if (ret_addr->family == PV_AF_NONE || o->own4.family == PV_AF_NONE || host[0] == '[' ||
        (pv_addr_parse_ip(host, &meant) == PV_OK && meant.family == PV_AF_INET6))
        read_addr(body, "ip6", ret_addr);
    if (ret_addr->family == PV_AF_NONE)
        read_addr(body, "ip4", ret_addr);
    json_decref(body);
    ret_addr->port = port;
    return ret_addr->family != PV_AF_NONE
               ? 0
               : pv_cli_fail(o->cli, PV_CTLAPI_FAILED, "%.100s has no address", host);
}

bool pv_overlay_is_denied(struct pv_overlay *o, const char *host, uint16_t port)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_CAN);
    const char *ports = PV_STR("tcp/%u", port);
    snprintf(req.u.rule.from, sizeof(req.u.rule.from), "%s", o->name);
    snprintf(req.u.rule.to, sizeof(req.u.rule.to), "%.*s", (int)sizeof(req.u.rule.to) - 1, host);
    req.text = o->known ? strdup(ports) : NULL;
    pv_cli_hush(o->cli, true);
    int code = req.text == NULL ? PV_CTLAPI_FAILED : ask(o, &req, &body);
    pv_cli_hush(o->cli, false);
    pv_ctlapi_request_done(&req);
    bool denied = code == 0 && json_is_false(json_object_get(body, "allowed"));
    json_decref(body);
    return denied;
}

/* --- connections --------------------------------------------------------------------------- */

static const struct pv_addr *own(const struct pv_overlay *o, const struct pv_addr *to)
{
    return to->family == PV_AF_INET6 ? &o->own6 : &o->own4;
}

/* Programs that a connection stands for decide when they have waited long enough: p2pvpn's own
 * limits are for its own connections. */
void pv_overlay_be_patient(int fd)
{
    static const struct {
        int option, value;
    } set[] = {{TCP_USER_TIMEOUT, 0},
               {TCP_KEEPIDLE, KEEP_IDLE},
               {TCP_KEEPINTVL, KEEP_EVERY},
               {TCP_KEEPCNT, KEEP_COUNT}};
    for (size_t i = 0; i < PV_ARRAY_LEN(set); i++)
        (void)setsockopt(fd, IPPROTO_TCP, set[i].option, &set[i].value, sizeof(set[i].value));
}

/* Without its interface an address of this node's is not there, and nothing leaves under it.
 * Kernels before 5.7 let only root tie a socket to an interface. */
int pv_overlay_connect(struct pv_overlay *o, const struct pv_addr *to, int *ret_fd)
{
    struct pv_stream_bind tie = {.local = *own(o, to), .ifname = o->tun, .wide = true};
    int r = pv_stream_connect(to, &tie, ret_fd);
    if (r == -EPERM && !pv_inside_is_apart() && tie.local.family != PV_AF_NONE) {
        tie.ifname = NULL;
        r = pv_stream_connect(to, &tie, ret_fd);
    }
    if (r == PV_OK)
        pv_overlay_be_patient(*ret_fd);
    return r;
}

static int bind_and_connect(int fd, const struct pv_addr *from, const struct pv_addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(from, &ss);
    if (len > 0 && bind(fd, (struct sockaddr *)&ss, len) < 0)
        return -errno;
    len = pv_sockaddr_from(to, &ss);
    return connect(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : PV_OK;
}

int pv_overlay_udp(struct pv_overlay *o, const struct pv_addr *to, int *ret_fd)
{
    if (pv_inside_is_stack())
        return pv_inside_ask(
            &(struct pv_inside_want){.kind = PV_INSIDE_PLACE, .local = *own(o, to), .remote = *to},
            ret_fd);
    int fd = pv_inside_socket(to->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->tun, (socklen_t)strlen(o->tun)) < 0
                ? -errno
                : PV_OK;
    if (r == -EPERM && own(o, to)->family != PV_AF_NONE)
        r = PV_OK;
    if (r == PV_OK)
        r = bind_and_connect(fd, own(o, to), to);
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

int pv_overlay_complain(struct pv_overlay *o, const char *host, uint16_t port, int status)
{
    switch (status) {
    case -ECONNREFUSED:
        return pv_cli_fail(o->cli, PV_CTLAPI_REFUSED,
                           "%.100s refuses port %u: no program listens there", host, port);
    case -ECONNRESET:
    case -EPIPE:
        return pv_cli_fail(o->cli, PV_CTLAPI_FAILED, "%.100s broke off the connection to port %u",
                           host, port);
    case -ETIMEDOUT:
    case PV_ERR_TIMEOUT:
        if (pv_overlay_is_denied(o, host, port))
            return pv_cli_fail(o->cli, PV_CTLAPI_REFUSED,
                               "a rule of the network keeps %.100s:%u from this machine: "
                               "`p2pvpnctl can %s %.100s:%u` names it",
                               host, port, o->name, host, port);
        return pv_cli_fail(o->cli, PV_CTLAPI_TIMEOUT,
                           "%.100s does not answer at port %u: `p2pvpnctl why %.100s` says what "
                           "stands in the way",
                           host, port, host);
    case -EADDRNOTAVAIL:
    case -ENODEV:
    case -ENETDOWN:
        o->pid = 0;
        o->known = false; /* the address or the interface is another now */
        return pv_cli_fail(o->cli, PV_CTLAPI_NOT_JOINED,
                           "this node is not up, or p2pvpnd has just restarted: try again, or see "
                           "`p2pvpnctl status`");
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        return pv_cli_fail(o->cli, PV_CTLAPI_PEER_OFFLINE,
                           "%.100s is not reached: `p2pvpnctl why %.100s` says what stands in the "
                           "way",
                           host, host);
    default:
        return pv_cli_fail(o->cli, PV_CTLAPI_FAILED, "%.100s port %u: %s", host, port,
                           pv_strstatus(status));
    }
}
