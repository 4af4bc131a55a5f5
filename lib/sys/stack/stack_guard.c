/* SPDX-License-Identifier: MIT */
/* stack_guard.c - drops segments that lwIP's assertions do not allow, or that take too much. */
#include "sys/stack/stack_guard.h"

#include <lwip/priv/tcp_priv.h>
#include <string.h>

#include "sys/stack/stack.h"

enum {
    MSS_MIN = 88, /* bytes, as Linux has it: less is nobody's segment size */
};

/* A segment as its packet has it. */
struct segment {
    const uint8_t *head; /* of TCP */
    ip_addr_t from, to;
    uint16_t from_port, to_port;
    uint32_t seq;
    uint32_t data; /* bytes behind the header */
    uint8_t flags;
    uint8_t head_len;
};

static uint16_t get_u16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

static uint32_t get_u32(const uint8_t *from)
{
    return (uint32_t)get_u16(from) << 16 | get_u16(from + 2);
}

/* --- the packet ---------------------------------------------------------------------------- */

/* Finds the TCP header, the end of the packet by its own length, and the addresses. */
static bool read_ip(struct pv_view p, struct segment *ret, size_t *ret_at, size_t *ret_end)
{
    memset(ret, 0, sizeof(*ret));
    if (p.ptr[0] >> 4 == 6) {
        *ret_at = IP6_HLEN;
        *ret_end = IP6_HLEN + (size_t)get_u16(p.ptr + 4);
        IP_SET_TYPE_VAL(ret->from, IPADDR_TYPE_V6);
        IP_SET_TYPE_VAL(ret->to, IPADDR_TYPE_V6);
        memcpy(ip_2_ip6(&ret->from)->addr, p.ptr + 8, PV_IP6_LEN);
        memcpy(ip_2_ip6(&ret->to)->addr, p.ptr + 24, PV_IP6_LEN);
    } else {
        *ret_at = (p.ptr[0] & 15u) * 4u;
        *ret_end = get_u16(p.ptr + 2);
        IP_SET_TYPE_VAL(ret->from, IPADDR_TYPE_V4);
        IP_SET_TYPE_VAL(ret->to, IPADDR_TYPE_V4);
        memcpy(&ip_2_ip4(&ret->from)->addr, p.ptr + 12, PV_IP4_LEN);
        memcpy(&ip_2_ip4(&ret->to)->addr, p.ptr + 16, PV_IP4_LEN);
    }
    return *ret_end <= p.len;
}

/* lwIP reads the length of an option, and what follows, without a look at the end of the header. It
 * takes the size of segments from any of them, and asserts that those that wait keep to it: only a
 * SYN may name it (RFC 9293 s3.7.1). */
static bool has_sound_options(const struct segment *s)
{
    const bool syn = (s->flags & TCP_SYN) != 0;
    for (size_t i = TCP_HLEN; i < s->head_len;) {
        const uint8_t kind = s->head[i];
        if (kind == LWIP_TCP_OPT_EOL)
            return true;
        if (kind == LWIP_TCP_OPT_NOP) {
            i++;
            continue;
        }
        const size_t len = i + 1 < s->head_len ? s->head[i + 1] : 0;
        if (len < 2 || len > s->head_len - i)
            return false;
        if (kind == LWIP_TCP_OPT_MSS && len == LWIP_TCP_OPT_LEN_MSS &&
            (!syn || get_u16(s->head + i + 2) < MSS_MIN))
            return false;
        i += len;
    }
    return true;
}

static bool read_segment(struct pv_view p, struct segment *ret)
{
    size_t at, end;
    if (!read_ip(p, ret, &at, &end) || end < at + TCP_HLEN)
        return false;
    const uint8_t *t = p.ptr + at;
    ret->head = t;
    ret->from_port = get_u16(t);
    ret->to_port = get_u16(t + 2);
    ret->seq = get_u32(t + 4);
    ret->head_len = (uint8_t)((t[12] >> 4) * 4);
    ret->flags = t[13] & 0x3f;
    if (ret->head_len < TCP_HLEN || ret->head_len > end - at)
        return false;
    ret->data = (uint32_t)(end - at - ret->head_len);
    return has_sound_options(ret);
}

/* --- a connection -------------------------------------------------------------------------- */

/* Sequence numbers of a connection are compared as distances from the next byte that it waits for:
 * lwIP's comparison is wrong for numbers that are 2^31 apart. */
static uint32_t ahead(const struct tcp_pcb *pcb, uint32_t seq)
{
    return seq - pcb->rcv_nxt;
}

/* The segments of a connection that wait for the bytes before them. */
struct waiting {
    uint32_t end; /* distance of the last byte's end */
    unsigned n;   /* segments */
    bool fin;     /* the member's end of the stream is there */
};

static struct waiting look_at_ooseq(const struct tcp_pcb *pcb)
{
    struct waiting w = {0};
    for (const struct tcp_seg *q = pcb->ooseq; q != NULL; q = q->next) {
        const uint32_t end = ahead(pcb, q->tcphdr->seqno) + q->len;
        if (end > w.end)
            w.end = end;
        w.fin = w.fin || (TCPH_FLAGS(q->tcphdr) & TCP_FIN) != 0;
        w.n++;
    }
    return w;
}

/* Thousands may wait behind a lost segment, and a look at them for each one that comes takes longer
 * than all else. So a connection remembers in lwIP's place for it how many wait at most, and
 * whether a FIN may be among them. */
static u8_t guard_id(void)
{
    static bool known;
    static u8_t id;
    if (!known)
        id = tcp_ext_arg_alloc_id();
    known = true;
    return id;
}

static struct waiting recall_waiting(const struct tcp_pcb *pcb)
{
    const uintptr_t kept = (uintptr_t)tcp_ext_arg_get(pcb, guard_id());
    if (pcb->ooseq == NULL)
        return (struct waiting){0};
    return (struct waiting){.n = (unsigned)(kept >> 1), .fin = (kept & 1) != 0};
}

static void remember_waiting(struct tcp_pcb *pcb, const struct waiting *w)
{
    tcp_ext_arg_set(pcb, guard_id(), (void *)((uintptr_t)w->n << 1 | w->fin));
}

/* lwIP puts an out-of-order segment aside without a look at the right edge of the window, and
 * asserts later that it fits. It adds a FIN to a segment that reaches the FIN of another, and
 * asserts that both fit: no data may stand behind a FIN. */
static bool fits(struct tcp_pcb *pcb, const struct segment *s)
{
    const bool fin = (s->flags & TCP_FIN) != 0;
    const uint32_t at = ahead(pcb, s->seq), end = at + s->data;
    const bool late = at > 0 && at <= INT32_MAX;
    if (s->data + fin == 0 || (!late && (int32_t)(end + fin) <= 0))
        return true; /* nothing new: lwIP answers it, and takes nothing */
    if (late && (uint64_t)at + s->data + fin > pcb->rcv_wnd)
        return false;
    struct waiting w = recall_waiting(pcb);
    if (fin || w.fin || w.n >= PV_STACK_LATE)
        w = look_at_ooseq(pcb);
    if (w.fin && (end > w.end || (fin && end != w.end)))
        return false;
    if (late && ((fin && end < w.end) || w.n >= PV_STACK_LATE))
        return false;
    w.n += late;
    w.fin = w.fin || (late && fin);
    remember_waiting(pcb, &w);
    return true;
}

/* Returns true if lwIP may process this segment of the connection. */
static bool is_in_order(struct tcp_pcb *pcb, const struct segment *s)
{
    if (pcb->state == SYN_SENT || (s->flags & TCP_RST) != 0)
        return true;
    /* Of a connection that the member has begun, lwIP would take a SYN with an ACK as the end of
     * the handshake, with its bytes, and count its SYN once too often. */
    if ((s->flags & TCP_SYN) != 0)
        return pcb->state != SYN_RCVD || (s->flags & TCP_ACK) == 0;
    return fits(pcb, s);
}

/* --- shares of members --------------------------------------------------------------------- */

/* A member may have as many connections as there are free places. So one member takes at most one
 * half, two members take two thirds, and there is always a place for another. Unfinished handshakes
 * of a port are divided in the same way. */
static bool is_within_share(const struct segment *s)
{
    unsigned all = 0, own = 0, half = 0, half_own = 0;
    for (const struct tcp_pcb *p = tcp_active_pcbs; p != NULL; p = p->next) {
        const bool same = ip_addr_eq(&p->remote_ip, &s->from);
        const bool begins = p->state == SYN_RCVD && p->local_port == s->to_port;
        all++;
        own += same;
        half += begins;
        half_own += same && begins;
    }
    return all + own < PV_STACK_CONNS && half + half_own < PV_STACK_BACKLOG;
}

bool pv_stack_guard_allows(struct pv_view packet)
{
    struct segment s;
    if (packet.ptr[packet.ptr[0] >> 4 == 6 ? 6 : 9] != IP_PROTO_TCP)
        return true;
    if (!read_segment(packet, &s))
        return false;
    for (struct tcp_pcb *p = tcp_active_pcbs; p != NULL; p = p->next)
        if (p->remote_port == s.from_port && p->local_port == s.to_port &&
            ip_addr_eq(&p->remote_ip, &s.from) && ip_addr_eq(&p->local_ip, &s.to))
            return is_in_order(p, &s);
    return (s.flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN || is_within_share(&s);
}
