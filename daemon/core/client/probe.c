/* SPDX-License-Identifier: MIT */
/* probe.c - tries packets of members and programs on this host, for a control client. */
#include "daemon/core/client/probe.h"

#include <string.h>

#include "daemon/core/node/node.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/route/routes.h"
#include "proto/ip/ipprobe.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "proto/roster/roster.h"

enum {
    LOW_PORT = 49152, /* of the member: the dynamic ports, RFC 6335 s6 */
};

enum state {
    NONE,
    SETTLING, /* the packet threads are told */
    WAITING,  /* for the kernel's packet */
};

struct probe {
    struct pv_node *node;
    enum state state;
    uint64_t handle; /* ctl */
    bool comes_in;   /* the member begins */
    bool beyond;     /* it goes to an address behind members */
    struct pv_ipprobe packets;
    uint32_t seq;        /* of what the member begins */
    pv_ns due, again_at; /* the end of the state; PV_NEVER: it is not repeated */
};

/* The packets that can be tried, by the words of the request. */
static const struct kind {
    const char *word;
    bool comes_in;
    uint8_t proto;
} kinds[] = {
    {"in-tcp", true, PV_IP_PROTO_TCP},
    {"in-udp", true, PV_IP_PROTO_UDP},
    {"out-tcp", false, PV_IP_PROTO_TCP},
    {"out-udp", false, PV_IP_PROTO_UDP},
};

static void end(struct probe *pr)
{
    pr->state = NONE;
    pv_fp_builder_set_probe(pr->node->fp, NULL);
}

static void send_in(struct probe *pr, enum pv_ipprobe_kind kind, uint32_t number)
{
    uint8_t packet[PV_IPPROBE_MAX];
    size_t len = pv_ipprobe_write(&pr->packets, kind, number, packet);
    pv_peers_inject_tun(pr->node->peers, pv_view(packet, len));
}

static void begin(struct probe *pr)
{
    if (pr->comes_in)
        send_in(pr, PV_IPPROBE_BEGIN, pr->seq);
}

/* seen: "packet", "refusal" or "nothing". */
static void answer(struct probe *pr, const char *seen, pv_ns now)
{
    pv_ctlsrv_answer(pr->node->ctl, pr->handle, pv_ctlapi_pack("{s:s}", "seen", seen));
    if (pr->beyond)
        pv_routes_tried(pr->node, &pr->packets.there, strcmp(seen, "packet") == 0, now);
    end(pr);
}

void pv_probe_take(struct pv_node *n, struct pv_view packet, pv_ns now)
{
    struct probe *pr = pv_node_part(n, &pv_part_probe);
    struct pv_ippkt ip;
    uint32_t seq;
    if (pr == NULL || pr->state != WAITING || pv_ippkt_parse(packet, &ip) != PV_OK)
        return;
    enum pv_ipprobe_is is = pv_ipprobe_read(&pr->packets, &ip, &seq);
    if (is == PV_IPPROBE_OTHER)
        return;
    /* The connection ends at once, so that the kernel repeats nothing, which the member would get;
     * and a program is answered, if only by a refusal. */
    if (is == PV_IPPROBE_PACKET && !pr->comes_in)
        send_in(pr, PV_IPPROBE_REFUSE, seq);
    else if (is == PV_IPPROBE_PACKET && pr->packets.proto == PV_IP_PROTO_TCP)
        send_in(pr, PV_IPPROBE_END, pr->seq);
    answer(pr, is == PV_IPPROBE_PACKET ? "packet" : "refusal", now);
}

/* The client hears by an event when its socket may send. */
static void run(void *part, pv_ns now)
{
    struct probe *pr = part;
    if (pr->state == SETTLING && pr->due <= now) {
        pr->state = WAITING;
        pr->due = now + PV_PROBE_TIME;
        pr->again_at = pr->comes_in ? now + PV_PROBE_AGAIN : PV_NEVER;
        pv_ctlsrv_event(pr->node->ctl, pr->handle, "ready",
                        pv_ctlapi_pack("{s:s, s:i}", "ip", PV_IP_STR(&pr->packets.there), "port",
                                       (int)pr->packets.there.port));
        begin(pr);
    } else if (pr->state == WAITING && pr->due <= now) {
        answer(pr, "nothing", now);
    } else if (pr->state == WAITING && pr->again_at <= now) {
        pr->again_at = PV_NEVER;
        begin(pr);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct probe *pr = part;
    return pr->state == NONE       ? PV_NEVER
           : pr->state == SETTLING ? pr->due
                                   : pv_min_ns(pr->due, pr->again_at);
}

static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct probe *pr = part;
    (void)now;
    if (pr->state != NONE && pr->handle == handle)
        end(pr);
}

/* The member that a probe is about, or to: where that is not "", an address behind members. */
static bool find_ends(const struct pv_node *n, const struct pv_peer *p, const char *to, bool six,
                      struct pv_ipprobe *probe)
{
    const struct pv_member *me = pv_node_self(n);
    if (to[0] != '\0') {
        probe->here = me == NULL ? (struct pv_addr){.port = 0} : six ? me->ip6 : me->ip4;
        return pv_addr_parse_ip(to, &probe->there) == PV_OK &&
               probe->there.family == (six ? PV_AF_INET6 : PV_AF_INET) &&
               probe->here.family == probe->there.family;
    }
    if (p == NULL)
        p = pv_peers_next_member(n->peers, NULL);
    if (me == NULL || p == NULL)
        return false;
    probe->here = six ? me->ip6 : me->ip4;
    probe->there = six ? *pv_peer_ip6(p) : *pv_peer_ip4(p);
    return probe->here.family != PV_AF_NONE && probe->there.family == probe->here.family;
}

static const struct kind *find_kind(const char *word, bool *ret_six)
{
    const size_t len = strlen(word) - (word[0] != '\0');
    *ret_six = word[0] != '\0' && word[len] == '6';
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++)
        if (strlen(kinds[i].word) == len && memcmp(kinds[i].word, word, len) == 0 &&
            (word[len] == '4' || word[len] == '6'))
            return &kinds[i];
    return NULL;
}

/* Returns true if it cannot be made now; then the client has been told. */
static bool refuse(const struct probe *pr, const struct kind *kind, uint64_t handle)
{
    struct pv_ctlsrv *ctl = pr->node->ctl;
    if (kind == NULL)
        pv_ctlsrv_fail(ctl, handle, PV_CTLAPI_USAGE,
                       "probe: no such packet: there are in-tcp4, in-udp4, out-tcp4, out-udp4, and "
                       "the same with 6");
    else if (pr->state != NONE)
        pv_ctlsrv_fail(ctl, handle, PV_CTLAPI_BUSY,
                       "probe: another one is under way: it ends within a second");
    else if (!pv_node_is_on_overlay(pr->node))
        pv_ctlsrv_fail(ctl, handle, PV_CTLAPI_FAILED,
                       "probe: the interface is not up: p2pvpnd has to bring it up first");
    else
        return false;
    return true;
}

static void do_probe(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct probe *pr = part;
    struct pv_node *n = pr->node;
    bool six;
    const struct kind *kind = find_kind(req->u.probe.what, &six);
    if (refuse(pr, kind, handle) ||
        (req->peer[0] != '\0' &&
         (p = pv_peer_need(n, req->peer, "probe", PV_NEEDS_MEMBER, handle)) == NULL))
        return;
    if ((kind->comes_in && req->u.probe.to[0] != '\0') ||
        !find_ends(n, p, req->u.probe.to, six, &pr->packets)) {
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED,
                       req->u.probe.to[0] != '\0'
                           ? "probe: a packet to such an address is not tried"
                           : "probe: no other member has an address of that family");
        return;
    }
    /* A port of the member's that no program of this host talks to. */
    pr->packets.here.port = (uint16_t)req->u.probe.port;
    pr->packets.there.port = (uint16_t)(LOW_PORT + pv_rng_u32(&n->rng) % (65536 - LOW_PORT));
    pr->packets.proto = kind->proto;
    pr->comes_in = kind->comes_in;
    pr->beyond = req->u.probe.to[0] != '\0';
    pr->seq = pv_rng_u32(&n->rng);
    pr->handle = handle;
    pr->state = SETTLING;
    pr->due = now + PV_PROBE_SETTLE;
    pv_fp_builder_set_probe(n->fp, &pr->packets);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_PROBE, PV_NEEDS_NETWORK, do_probe},
};

const struct pv_part pv_part_probe = {
    .name = "probe",
    .size = PV_PART_SIZE(struct probe),
    .run = run,
    .next_timeout = next_timeout,
    .on_cancel = on_cancel,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
