/* SPDX-License-Identifier: MIT */
/* The fast path of a simulated node, and the little host behind its TUN. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "proto/group/groupmsg.h"
#include "sim_node_i.h"
#include "tests/natcore/natcore_pkt.h"
#include "tests/unit/proto/group/group_packets.h"

enum {
    INNER_MAX = 1500,
};
#define DEAF_FOR PV_S(3) /* as HEAR_AFTER of daemon/io/io_iface.c */

/* --- fast path ------------------------------------------------------------------------------ */

void sim_node_results(struct sim_node *n)
{
    struct pv_fp_results r = pv_fp_results(n->worker);
    pv_ns now = sim_node_now(n);
    for (size_t i = 0; i < r.n_sends; i++) {
        struct pv_addr local = r.sends[i].to->local;
        if (r.sends[i].to->kind == PV_CARRIER_STREAM) {
            sim_node_relay_send(n, r.sends[i].to->sock, pv_view(r.sends[i].data, r.sends[i].len));
            continue;
        }
        if (!sim_node_port_of(n, r.sends[i].to->sock, &local.port))
            continue;
        n->sent++;
        (void)sim_net_send(n->net, n->host, &local, pv_carrier_dst(r.sends[i].to), 0,
                           pv_view(r.sends[i].data, r.sends[i].len));
    }
    for (size_t i = 0; i < r.n_writes; i++) {
        if (n->n_inner == SIM_MAX_INNER)
            abort();
        uint8_t *copy = sim_copy(r.writes[i].data, r.writes[i].len);
        n->inner[n->n_inner++] = (struct sim_inner_packet){r.writes[i].len, copy};
    }
    for (size_t i = 0; i < r.n_punts; i++)
        pv_engine_handle_punt(n->engine, &r.punts[i], now);
}

void sim_node_flush(struct sim_node *n)
{
    bool more = true;
    while (more) {
        more = pv_fp_flush(n->worker, n->snap, sim_node_now(n));
        sim_node_results(n);
    }
}

void sim_node_tun_in(struct sim_node *n, const uint8_t *packet, size_t len)
{
    struct pv_fp_packet p = {.data = packet, .len = len};
    if (!n->tun)
        return;
    for (size_t done = 0; done < 1;) {
        done += pv_fp_tx(n->worker, n->snap, &p, 1, sim_node_now(n));
        sim_node_results(n);
    }
}

void sim_node_rx(struct sim_node *n, const struct pv_carrier *from, struct pv_view data)
{
    uint8_t buf[2048];
    if (data.len > sizeof(buf))
        return;
    memcpy(buf, data.ptr, data.len);
    struct pv_fp_datagram d = {.from = *from, .data = buf, .len = data.len};
    for (size_t done = 0; done < 1;) {
        done += pv_fp_rx(n->worker, n->snap, &d, 1, sim_node_now(n));
        sim_node_results(n);
    }
}

/* As daemon/io/io_iface.c: what comes while the interface rises waits in the socket of the port. */
static bool is_deaf(const struct sim_node *n)
{
    bool rises = false;
    for (size_t i = 0; i < n->n_jobs; i++)
        rises = rises || (n->jobs[i].job != NULL && n->jobs[i].job->kind == PV_JOB_IFACE_UP);
    return rises && !n->tun && sim_node_now(n) < n->iface_from + DEAF_FOR;
}

static void leave_unheard(struct sim_node *n, const struct pv_carrier *from, struct pv_view data)
{
    n->unheard = realloc(n->unheard, (n->n_unheard + 1) * sizeof(n->unheard[0]));
    struct sim_heard *h = n->unheard == NULL ? NULL : &n->unheard[n->n_unheard++];
    if (h == NULL || data.len > sizeof(h->bytes))
        abort();
    h->from = *from;
    h->len = data.len;
    memcpy(h->bytes, data.ptr, data.len);
}

void sim_node_hear(struct sim_node *n)
{
    for (size_t i = 0; i < n->n_unheard; i++)
        sim_node_rx(n, &n->unheard[i].from, pv_view(n->unheard[i].bytes, n->unheard[i].len));
    sim_node_forget_unheard(n);
}

void sim_node_forget_unheard(struct sim_node *n)
{
    free(n->unheard);
    n->unheard = NULL;
    n->n_unheard = 0;
}

void sim_node_take_datagram(struct sim_node *n, const struct sim_event *ev)
{
    uint16_t sock;
    if (ev->local.port == SIM_ROUTER_PORT) {
        pv_engine_handle_router_datagram(n->engine, &ev->remote, ev->data, ev->now);
        return;
    }
    if (pv_addr_is_multicast(&ev->local)) {
        pv_engine_handle_beacon(n->engine, &ev->remote, SIM_IFINDEX, ev->ttl, ev->data, ev->now);
        return;
    }
    if (!sim_node_sock_of(n, ev->local.port, &sock))
        return;
    const struct pv_carrier from = {
        .kind = PV_CARRIER_UDP, .sock = sock, .local = ev->local, .remote = ev->remote};
    if (sock == 0 && is_deaf(n))
        leave_unheard(n, &from, ev->data);
    else
        sim_node_rx(n, &from, ev->data);
}

/* --- the host ------------------------------------------------------------------------------- */

struct pv_addr sim_node_overlay(const struct sim_node *n, uint16_t family)
{
    for (size_t i = 0; n->tun && i < n->n_ips; i++) {
        if (n->ips[i].family == family)
            return n->ips[i];
    }
    return (struct pv_addr){.family = PV_AF_NONE};
}

/* By the test, between turns. */
static bool send_packet(struct sim_node *n, const uint8_t *packet, size_t len)
{
    sim_node_begin(n);
    sim_node_tun_in(n, packet, len);
    sim_node_end(n);
    return true;
}

bool sim_node_send_udp(struct sim_node *n, const struct pv_addr *to, uint16_t src_port,
                       struct pv_view payload)
{
    uint8_t buf[INNER_MAX];
    struct pv_addr src = sim_node_overlay(n, to->family), dst = *to;
    if (src.family == PV_AF_NONE)
        return false;
    src.port = src_port;
    dst.port = SIM_PORT_SINK;
    size_t len = pv_natpkt_udp(buf, sizeof(buf), &src, &dst, payload);
    return len > 0 && send_packet(n, buf, len);
}

bool sim_node_send_from(struct sim_node *n, const struct pv_addr *from, const struct pv_addr *to,
                        struct pv_view payload)
{
    uint8_t buf[INNER_MAX];
    struct pv_addr src = *from, dst = *to;
    src.port = 40000;
    dst.port = SIM_PORT_SINK;
    size_t len = pv_natpkt_udp(buf, sizeof(buf), &src, &dst, payload);
    return len > 0 && send_packet(n, buf, len);
}

bool sim_node_flow(struct sim_node *n, const struct pv_addr *to)
{
    uint8_t buf[INNER_MAX], number[32] = {0};
    struct pv_addr src = sim_node_overlay(n, to->family), dst = *to;
    if (src.family == PV_AF_NONE)
        return false;
    src.port = SIM_PORT_FLOW;
    dst.port = SIM_PORT_FLOW;
    pv_store_be64(number, n->flow.sent++);
    size_t len = pv_natpkt_udp(buf, sizeof(buf), &src, &dst, pv_view(number, sizeof(number)));
    return len > 0 && send_packet(n, buf, len);
}

struct sim_flow sim_node_flow_seen(const struct sim_node *n)
{
    struct sim_flow f = n->flow;
    if (f.last != 0 && sim_node_now(n) - f.last > f.gap)
        f.gap = sim_node_now(n) - f.last; /* it lasts */
    return f;
}

void sim_node_flow_begin(struct sim_node *n)
{
    memset(&n->flow, 0, sizeof(n->flow));
    memset(n->flow_seen, 0, sizeof(n->flow_seen));
}

void sim_node_flow_gap(struct sim_node *n)
{
    n->flow.gap = 0;
    n->flow.last = sim_node_now(n);
}

static void take_flow(struct sim_node *n, struct pv_view payload)
{
    struct sim_flow *f = &n->flow;
    if (payload.len < 8)
        return;
    uint64_t number = pv_load_be64(payload.ptr);
    uint64_t *slot = &n->flow_seen[number % SIM_FLOW_WINDOW];
    if (*slot == number + 1) {
        f->twice++;
        return;
    }
    if (*slot > number + 1) {
        f->too_late++;
        return;
    }
    *slot = number + 1;
    f->received++;
    if (number >= f->next)
        f->next = number + 1;
    else if (f->next - 1 - number > f->disorder)
        f->disorder = f->next - 1 - number;
    pv_ns now = sim_node_now(n);
    if (f->last != 0 && now - f->last > f->gap)
        f->gap = now - f->last;
    f->last = now;
}

bool sim_node_ping(struct sim_node *n, const struct pv_addr *to, size_t size)
{
    static const uint8_t zeros[INNER_MAX];
    uint8_t buf[INNER_MAX];
    struct pv_addr src = sim_node_overlay(n, to->family);
    if (src.family == PV_AF_NONE || size > sizeof(zeros))
        return false;
    size_t len = pv_natpkt_echo(buf, sizeof(buf), &src, to, SIM_PING_ID << 16 | n->ping_seq++,
                                pv_view(zeros, size));
    n->pings.sent++;
    return len > 0 && send_packet(n, buf, len);
}

static bool is_own(const struct sim_node *n, const struct pv_addr *ip)
{
    for (size_t i = 0; i < n->n_ips; i++) {
        if (pv_addr_equal_ip(&n->ips[i], ip))
            return true;
    }
    return false;
}

/* Is it in a network behind this host, which forwards as its daemon wants it? */
static bool is_behind(const struct sim_node *n, const struct pv_addr *ip)
{
    for (size_t i = 0; i < n->netplan.n_offered; i++) {
        if (pv_prefix_contains(&n->netplan.offered[i].prefix, ip))
            return true;
    }
    return false;
}

/* Of a member, to another one, where this host forwards for phones: from the TUN to the TUN. */
static bool is_passed_on(const struct sim_node *n, const struct pv_addr *ip)
{
    const struct pv_netplan *plan = &n->netplan;
    for (size_t i = 0; i < plan->n_offered; i++) {
        const struct pv_prefix *p = &plan->offered[i].prefix;
        if (p->bits > 0 && pv_prefix_contains(p, ip) &&
            (pv_prefix_contains(&plan->overlay4, ip) || pv_prefix_contains(&plan->overlay6, ip)))
            return true;
    }
    return false;
}

static void take_udp(struct sim_node *n, struct pv_natpkt *pkt)
{
    struct pv_view payload = pv_natpkt_payload(pkt);
    if (pkt->dst.port == SIM_PORT_SINK) {
        if (n->n_sunk == SIM_MAX_SINK)
            abort();
        struct sim_sunk *s = &n->sunk[n->n_sunk++];
        *s = (struct sim_sunk){
            .at = sim_node_now(n), .src = pkt->src, .dst = pkt->dst, .len = payload.len};
        memcpy(s->bytes, payload.ptr,
               payload.len < sizeof(s->bytes) ? payload.len : sizeof(s->bytes));
    } else if (pkt->dst.port == SIM_PORT_FLOW) {
        take_flow(n, payload);
    } else if (pkt->dst.port == SIM_PORT_ECHO) {
        uint8_t buf[INNER_MAX];
        size_t len = pv_natpkt_udp(buf, sizeof(buf), &pkt->dst, &pkt->src, payload);
        sim_node_tun_in(n, buf, len);
    } else if (pkt->dst.port == PV_CHAT_PORT && pkt->src.port == SIM_PORT_ECHO &&
               payload.len == 4) {
        sim_node_syn_answered(n, pv_load_be32(payload.ptr), true);
    }
}

static void take_error(struct sim_node *n, struct pv_natpkt *pkt)
{
    struct pv_natpkt quoted;
    n->pings.unreachable++;
    if (pv_natpkt_quoted(pkt, &quoted) != PV_OK || quoted.proto != PV_NATPKT_UDP ||
        quoted.src.port != PV_CHAT_PORT || quoted.len < quoted.l4 + 12)
        return;
    sim_node_syn_answered(n, pv_load_be32(quoted.data + quoted.l4 + 8), false);
}

static void take_reply(struct sim_node *n, const struct pv_natpkt *pkt)
{
    uint16_t seq = pv_load_be16(pkt->data + pkt->l4 + 6);
    if (pkt->dst.port != SIM_PING_ID)
        return;
    n->pings.answered += n->answered[seq] ? 0 : 1;
    n->pings.twice += n->answered[seq] ? 1 : 0;
    n->answered[seq] = true;
    n->pings.last_answer = sim_node_now(n);
}

static void take_packet(struct sim_node *n, uint8_t *data, size_t len)
{
    struct pv_natpkt pkt;
    if (!n->tun || sim_node_take_query(n, pv_view(data, len)) ||
        pv_natpkt_parse(data, len, &pkt) < 0)
        return;
    if (sim_node_is_for_many(n, &pkt.dst)) {
        if (pkt.kind == PV_NATPKT_FLOW && pkt.proto == PV_NATPKT_UDP)
            take_udp(n, &pkt);
        if (n->reflects) /* a bridge, or a proxy gone mad */
            sim_node_tun_in(n, data, len);
        return;
    }
    if (!is_own(n, &pkt.dst) && is_passed_on(n, &pkt.dst)) {
        sim_node_tun_in(n, data, len);
        return;
    }
    if (!is_own(n, &pkt.dst) && !is_behind(n, &pkt.dst)) {
        n->pings.strangers++;
        return;
    }
    n->pings.received += pkt.kind == PV_NATPKT_ECHO_REPLY ? 0 : 1;
    switch (pkt.kind) {
    case PV_NATPKT_FLOW:
        if (pkt.proto == PV_NATPKT_UDP)
            take_udp(n, &pkt);
        break;
    case PV_NATPKT_ECHO:
        pv_natpkt_answer_echo(&pkt);
        sim_node_tun_in(n, data, len);
        break;
    case PV_NATPKT_ECHO_REPLY:
        take_reply(n, &pkt);
        break;
    case PV_NATPKT_ERROR:
        take_error(n, &pkt);
        break;
    case PV_NATPKT_REST:
        break;
    }
}

bool sim_node_run_host(struct sim_node *n)
{
    bool any = n->n_inner > 0;
    for (size_t i = 0; i < n->n_inner; i++) { /* grows while it runs */
        take_packet(n, n->inner[i].bytes, n->inner[i].len);
        free(n->inner[i].bytes);
    }
    n->n_inner = 0;
    return any;
}

void sim_node_drop_inner(struct sim_node *n)
{
    for (size_t i = 0; i < n->n_inner; i++)
        free(n->inner[i].bytes);
    n->n_inner = 0;
}

size_t sim_node_n_sunk(const struct sim_node *n)
{
    return n->n_sunk;
}

const struct sim_sunk *sim_node_sunk(const struct sim_node *n, size_t i)
{
    return &n->sunk[i];
}

void sim_node_forget_sunk(struct sim_node *n)
{
    n->n_sunk = 0;
}

struct sim_pings sim_node_pings(const struct sim_node *n)
{
    return n->pings;
}

/* --- multicast: what the host's programs joined, and its reports ----------------------------- */

static void report(struct sim_node *n, const struct pv_group *g, uint8_t type)
{
    struct pv_addr a = pv_group_addr(g);
    struct group_packet p = group_report(type, PV_IP_STR(&a), 0);
    sim_node_tun_in(n, p.bytes, p.len);
}

bool sim_node_take_query(struct sim_node *n, struct pv_view packet)
{
    struct pv_ippkt ip;
    if (pv_ippkt_parse(packet, &ip) != PV_OK || !pv_groupmsg_is(&ip))
        return false;
    for (size_t i = 0; i < SIM_MAX_GROUPS; i++) {
        if (n->joined[i].version == ip.version)
            report(n, &n->joined[i], IS_EX);
    }
    return true;
}

bool sim_node_is_for_many(const struct sim_node *n, const struct pv_addr *dst)
{
    bool v4 = dst->family == PV_AF_INET;
    if (v4 && (pv_addr_is_broadcast(dst) || (dst->ip[2] == 255 && dst->ip[3] == 255)))
        return true;
    struct pv_group g = pv_group_of(v4 ? 4 : 6, dst->ip);
    for (size_t i = 0; i < SIM_MAX_GROUPS; i++) {
        if (pv_group_equal(&n->joined[i], &g))
            return true;
    }
    return pv_addr_is_multicast(dst) && pv_group_is_everybodys(&g);
}

void sim_node_join(struct sim_node *n, const char *group, bool join)
{
    struct pv_group g = group_named(group);
    size_t i = 0;
    while (i < SIM_MAX_GROUPS && !pv_group_equal(&n->joined[i], &g))
        i++;
    for (size_t k = 0; k < SIM_MAX_GROUPS && i == SIM_MAX_GROUPS; k++)
        i = n->joined[k].version == 0 ? k : i;
    if (i == SIM_MAX_GROUPS)
        abort();
    n->joined[i] = join ? g : (struct pv_group){.version = 0};
    sim_node_begin(n);
    report(n, &g, join ? TO_EX : TO_IN);
    sim_node_end(n);
}

void sim_node_set_reflects(struct sim_node *n, bool reflects)
{
    n->reflects = reflects;
}
