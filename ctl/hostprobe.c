/* SPDX-License-Identifier: MIT */
/* hostprobe.c - the program's end of a probe: sockets at this node's overlay addresses. */
#include "ctl/hostprobe.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/jsonread.h"
#include "base/netplan.h"
#include "sys/net/netroutes.h"
#include "sys/net/sockaddr.h"

enum {
    WAIT_MS = 500, /* ours: this host's kernel answers in microseconds */
    OUT_UDP = 2,   /* the row of packets */
    TRIED = 8,     /* routes that a packet is tried of */
    LOST = 3,      /* of these; each takes a second */
};

static const struct packet {
    const char *word; /* of the request, without the family */
    bool comes_in, tcp;
} packets[] = {
    {"in-udp", true, false},
    {"in-tcp", true, true},
    [OUT_UDP] = {"out-udp", false, false},
    {"out-tcp", false, true},
};

/* A probe while it is made. */
struct attempt {
    const struct packet *packet;
    int fd;
    struct pv_addr there;
    bool was_ready;
    bool got; /* the socket has the member's packet, or its answer */
};

/* --- one packet ------------------------------------------------------------------------------- */

static int open_socket(const struct packet *packet, struct pv_addr *here)
{
    const int on = 1;
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(here, &ss);
    int fd = socket(here->family == PV_AF_INET6 ? AF_INET6 : AF_INET,
                    (packet->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* The port may be that of the attempt before. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    socklen_t cap = sizeof(ss);
    if (bind(fd, (const struct sockaddr *)&ss, len) != 0 ||
        (packet->tcp && packet->comes_in && listen(fd, 1) != 0) ||
        getsockname(fd, (struct sockaddr *)&ss, &cap) != 0) {
        close(fd);
        return -1;
    }
    *here = pv_sockaddr_to(&ss);
    return fd;
}

static bool wait_for(int fd, short events)
{
    struct pollfd pfd = {.fd = fd, .events = events};
    return poll(&pfd, 1, WAIT_MS) == 1;
}

/* A datagram of the member; it is answered, or is the answer. */
static bool take_datagram(const struct attempt *a)
{
    char buf[64];
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    if (!wait_for(a->fd, POLLIN))
        return false;
    ssize_t n = recvfrom(a->fd, buf, sizeof(buf), 0, (struct sockaddr *)&ss, &len);
    if (n >= 0 && a->packet->comes_in)
        (void)!sendto(a->fd, buf, (size_t)n, 0, (const struct sockaddr *)&ss, len);
    return n >= 0;
}

/* The member's answer is a refusal: it comes at once, where it comes. */
static bool is_refused(const struct attempt *a)
{
    struct sockaddr_storage ss;
    int error = 0;
    socklen_t len = pv_sockaddr_from(&a->there, &ss), size = sizeof(error);
    if (connect(a->fd, (const struct sockaddr *)&ss, len) != 0 && errno != EINPROGRESS)
        return errno == ECONNREFUSED;
    return wait_for(a->fd, POLLOUT) &&
           getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNREFUSED;
}

/* p2pvpnd is ready, and has sent what a member begins. */
static void on_event(struct pv_cli *cli, const struct pv_ctlapi_reply *event, void *ctx)
{
    struct attempt *a = ctx;
    struct sockaddr_storage ss;
    (void)cli;
    if (strcmp(event->event, "ready") != 0 ||
        pv_addr_parse_ip(pv_json_text(event->body, "ip", ""), &a->there) != PV_OK)
        return;
    a->there.port = (uint16_t)pv_json_int(event->body, "port");
    a->was_ready = true;
    if (a->packet->tcp) {
        a->got = !a->packet->comes_in && is_refused(a);
        return;
    }
    if (!a->packet->comes_in) {
        const int one = 1; /* hop: one that leaves by another interface does not get far */
        socklen_t len = pv_sockaddr_from(&a->there, &ss);
        (void)setsockopt(a->fd, IPPROTO_IP, IP_TTL, &one, sizeof(one));
        (void)setsockopt(a->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &one, sizeof(one));
        (void)!sendto(a->fd, "", 0, 0, (const struct sockaddr *)&ss, len);
    }
    a->got = take_datagram(a);
}

/* seen: p2pvpnd read the program's packet from the TUN. */
static enum pv_hostprobe_is conclude(const struct attempt *a, bool seen)
{
    if (a->packet->comes_in)
        return seen ? PV_HOSTPROBE_OPEN : a->got ? PV_HOSTPROBE_ANSWER : PV_HOSTPROBE_BEGIN;
    return !seen ? PV_HOSTPROBE_OUT : a->got ? PV_HOSTPROBE_OPEN : PV_HOSTPROBE_REPLY;
}

/* Has p2pvpnd try what req says beside the packet. *here gets the port; *ret_there: the member. */
static enum pv_hostprobe_is try_packet(struct pv_cli *cli, struct pv_ctlapi_request req,
                                       const struct packet *packet, struct pv_addr *here,
                                       struct pv_addr *ret_there)
{
    struct attempt a = {.packet = packet, .fd = open_socket(packet, here)};
    json_t *body = NULL;
    if (a.fd < 0)
        return PV_HOSTPROBE_UNTRIED;
    snprintf(req.u.probe.what, sizeof(req.u.probe.what), "%s%c", packet->word,
             here->family == PV_AF_INET6 ? '6' : '4');
    req.u.probe.port = here->port;
    pv_cli_hush(cli, true);
    int code = pv_cli_call(cli, &req, on_event, &a, &body);
    pv_cli_hush(cli, false);
    close(a.fd);
    *ret_there = a.there;
    const bool seen = pv_json_is(body, "seen", "packet");
    json_decref(body);
    return code == 0 && a.was_ready ? conclude(&a, seen) : PV_HOSTPROBE_UNTRIED;
}

static struct pv_ctlapi_request request_about(const char *peer)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_PROBE);
    if (peer != NULL)
        snprintf(req.peer, sizeof(req.peer), "%s", peer);
    return req;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Notes the first packet that is lost, and each other that is lost in the same way. */
static void note(struct pv_hostprobe *p, enum pv_hostprobe_is is, size_t f, size_t i)
{
    p->tried[f] = p->tried[f] || is != PV_HOSTPROBE_UNTRIED;
    if (is == PV_HOSTPROBE_UNTRIED || is == PV_HOSTPROBE_OPEN) {
        p->is = p->is == PV_HOSTPROBE_UNTRIED ? is : p->is;
        return;
    }
    if (p->is == PV_HOSTPROBE_UNTRIED || p->is == PV_HOSTPROBE_OPEN) {
        p->is = is;
        p->packet = i;
    }
    p->lost[f][packets[i].tcp ? 0 : 1] = p->lost[f][packets[i].tcp ? 0 : 1] || is == p->is;
}

bool pv_hostprobe_addresses(struct pv_cli *cli, const char *peer,
                            struct pv_addr ret_addrs[static PV_HOSTPROBE_FAMILIES])
{
    static const char *const keys[PV_HOSTPROBE_FAMILIES] = {"ip4", "ip6"};
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_IP);
    bool ok =
        (peer == NULL || pv_cli_peer(cli, &req, peer) == 0) && pv_cli_ask(cli, &req, &body) == 0;
    for (size_t f = 0; f < PV_HOSTPROBE_FAMILIES; f++)
        if (pv_addr_parse_ip(pv_json_text(body, keys[f], ""), &ret_addrs[f]) != PV_OK)
            ret_addrs[f] = (struct pv_addr){.family = PV_AF_NONE};
    json_decref(body);
    return ok;
}

void pv_hostprobe_run(struct pv_cli *cli, const char *peer, struct pv_hostprobe *ret_probe)
{
    struct pv_addr own[PV_HOSTPROBE_FAMILIES];
    *ret_probe = (struct pv_hostprobe){.is = PV_HOSTPROBE_UNTRIED};
    if (!pv_hostprobe_addresses(cli, NULL, own))
        return;
    for (size_t i = 0; i < PV_ARRAY_LEN(packets); i++)
        for (size_t f = 0; f < PV_HOSTPROBE_FAMILIES; f++) {
            struct pv_addr here = own[f], there = {.family = PV_AF_NONE};
            if (here.family == PV_AF_NONE)
                continue;
            enum pv_hostprobe_is is =
                try_packet(cli, request_about(peer), &packets[i], &here, &there);
            /* TCP alone does not show which of its packets was lost. */
            if (is == PV_HOSTPROBE_BEGIN && packets[i].tcp && ret_probe->lost[f][1])
                is = ret_probe->is;
            bool had = ret_probe->is > PV_HOSTPROBE_OPEN;
            note(ret_probe, is, f, i);
            if (!had && ret_probe->is > PV_HOSTPROBE_OPEN) {
                ret_probe->here = here;
                ret_probe->there = there;
            }
        }
}

/* To an address behind members the socket is bound to no address, as a program's. */
static enum pv_hostprobe_is try_beyond(struct pv_cli *cli, const struct pv_addr *to,
                                       struct pv_addr *here)
{
    struct pv_ctlapi_request req = request_about(NULL);
    struct pv_addr there;
    snprintf(req.u.probe.to, sizeof(req.u.probe.to), "%s", PV_IP_STR(to));
    return try_packet(cli, req, &packets[OUT_UDP], here, &there);
}

void pv_hostprobe_reach(struct pv_cli *cli, const struct pv_prefix *prefix,
                        struct pv_hostprobe *ret_probe)
{
    const struct pv_addr to =
        prefix->bits == 0 ? pv_net_far(prefix->base.family) : pv_netplan_sample(prefix, 1);
    const size_t f = to.family == PV_AF_INET6;
    struct pv_addr here = {.family = to.family};
    enum pv_hostprobe_is is = try_beyond(cli, &to, &here);
    /* A packet that left is enough: no member answers it. */
    if (is == PV_HOSTPROBE_REPLY)
        is = PV_HOSTPROBE_OPEN;
    *ret_probe = (struct pv_hostprobe){
        .is = is, .beyond = true, .packet = OUT_UDP, .here = here, .there = to};
    ret_probe->tried[f] = true;
    ret_probe->lost[f][0] = ret_probe->lost[f][1] = is == PV_HOSTPROBE_OUT;
}

bool pv_hostprobe_is_in_place(const json_t *route)
{
    return pv_json_is(route, "state", "used") || pv_json_is(route, "state", "ready") ||
           pv_json_is(route, "state", "dropped");
}

void pv_hostprobe_routes(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_ROUTES);
    json_t *body = NULL;
    size_t n = 0, lost = 0;
    if (cli->node.is_user)
        return; /* its routes are in a network of its own, which this process is not in */
    pv_cli_hush(cli, true);
    const int code = pv_cli_ask(cli, &req, &body);
    pv_cli_hush(cli, false);
    PV_EACH_JSON(code == 0 ? json_object_get(body, "routes") : NULL, r) {
        struct pv_hostprobe probe;
        struct pv_prefix prefix;
        if (!pv_hostprobe_is_in_place(r) || n == TRIED || lost == LOST ||
            pv_prefix_parse(pv_json_text(r, "prefix", ""), &prefix) != PV_OK)
            continue;
        n++;
        pv_hostprobe_reach(cli, &prefix, &probe);
        lost += probe.is == PV_HOSTPROBE_OUT ? 1 : 0;
    }
    json_decref(body);
}

void pv_hostprobe_again(struct pv_cli *cli, const struct pv_hostprobe *probe)
{
    struct pv_addr here = probe->here, there;
    if (probe->beyond)
        (void)try_beyond(cli, &probe->there, &here);
    else
        (void)try_packet(cli, request_about(PV_IP_STR(&probe->there)), &packets[probe->packet],
                         &here, &there);
}

/* " by UDP over IPv6": what the lost packets have in common, unless all that were tried are lost.
 */
static const char *common(const struct pv_hostprobe *p)
{
    static const char *const words[3][3] = {{"", " by IPv4", " by IPv6"},
                                            {" by TCP", " by TCP over IPv4", " by TCP over IPv6"},
                                            {" by UDP", " by UDP over IPv4", " by UDP over IPv6"}};
    bool family[2], proto[2];
    for (size_t i = 0; i < 2; i++) {
        family[i] = p->lost[i][0] || p->lost[i][1] || !p->tried[i];
        proto[i] = p->lost[0][i] || p->lost[1][i];
    }
    return words[proto[0] && proto[1] ? 0
                 : proto[0]           ? 1
                                      : 2][family[0] && family[1] ? 0
                                 : family[0]            ? 1
                                                        : 2];
}

const char *pv_hostprobe_words(const struct pv_hostprobe *probe, const char *member, char *buf,
                               size_t cap)
{
    const bool many = strcmp(member, "members") == 0;
    const char *by = common(probe);
    switch (probe->is) {
    case PV_HOSTPROBE_BEGIN:
        snprintf(buf, cap, "what %s begin%s%s", member, many ? "" : "s", by);
        break;
    case PV_HOSTPROBE_ANSWER:
        snprintf(buf, cap, "the answers to %s%s", member, by);
        break;
    case PV_HOSTPROBE_OUT:
        snprintf(buf, cap, "what programs here send to %s%s", member, by);
        break;
    case PV_HOSTPROBE_REPLY:
        snprintf(buf, cap, "the answers of %s to programs here%s", member, by);
        break;
    case PV_HOSTPROBE_UNTRIED:
    case PV_HOSTPROBE_OPEN:
        snprintf(buf, cap, "nothing");
        break;
    }
    return buf;
}
