/* SPDX-License-Identifier: MIT */
/* stack_sender.c - finds lost segments and sends them again, around lwIP's own sender. */
#include "sys/stack/stack_sender.h"

#include <lwip/mem.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/sys.h>
#include <lwip/tcp.h>
#include <string.h>

#include "sys/stack/cubic.h"
#include "sys/stack/sacks.h"

enum {
    LATE_MIN = 4,      /* ms that a segment may be late on a short line */
    LATE_MAX = 4,      /* quarters of a round trip */
    IDLE = 1000,       /* ms */
    ROUND_FIRST = 100, /* ms: until a round trip was measured */
    SACK_KIND = 5,     /* of an option (RFC 2018) */
    SACK_LEN = 8,      /* of a range in it */
    STAMP_KIND = 8,    /* of an option (RFC 7323) */
    STAMP_LEN = 10,    /* its bytes */
    STAMP_ECHO = 6,    /* where the time is that the member returns */
};

struct sender {
    struct pv_stack_cubic cubic, before; /* before: as it was at the last loss */
    struct pv_stack_sacks sacks;
    uint32_t una;       /* as of the last run */
    uint32_t given;     /* the window that lwIP has now */
    uint32_t lost_to;   /* what the member does not have of the bytes before is lost, */
    uint32_t resent_to; /* and was sent again as far as here */
    uint32_t recover;   /* where recovery ends */
    uint32_t mark;      /* the highest byte that had arrived */
    uint32_t mark_at;   /* then, ms */
    uint32_t una_at, resent_at, sent_at; /* ms */
    uint32_t sample, sample_at;          /* acknowledged, it is a round trip */
    uint32_t round;                      /* ms, times 8; 0: not measured */
    uint32_t doubted, doubted_at;        /* the first byte that was sent again; and when, ms */
    uint32_t told;                       /* what the member knows that has arrived here */
    bool tells;                          /* there is more to acknowledge */
    bool touched;                        /* a segment came, and lwIP has sent nothing since */
    bool marked;                         /* there is a mark */
    bool recovering;                     /* from a loss */
    bool doubts;                         /* it may be that the segment was late */
    uint8_t patient; /* quarters of a round trip that a segment may be late, but for one */
    bool sampling;   /* a round trip is being measured */
    bool limited;    /* by the window, and not by the program or the member */
};

/* --- state of a connection ----------------------------------------------------------------- */

static void sender_destroy(u8_t id, void *data)
{
    mem_free(data);
}

static u8_t sender_id(void)
{
    static bool known;
    static u8_t id;
    if (!known)
        id = tcp_ext_arg_alloc_id();
    known = true;
    return id;
}

static bool sends(const struct tcp_pcb *pcb)
{
    return pcb->state >= ESTABLISHED && pcb->state != TIME_WAIT;
}

/* NULL: lwIP does it alone. */
static struct sender *sender_of(const struct tcp_pcb *pcb)
{
    return sends(pcb) ? tcp_ext_arg_get(pcb, sender_id()) : NULL;
}

static struct sender *sender_begin(struct tcp_pcb *pcb)
{
    static const struct tcp_ext_arg_callbacks callbacks = {.destroy = sender_destroy};
    struct sender *s = sender_of(pcb);
    if (s != NULL || !sends(pcb) || (pcb->flags & TF_SACK) == 0)
        return s;
    s = mem_calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    pv_stack_cubic_begin(&s->cubic, pcb->mss, TCP_SND_BUF);
    s->una = s->lost_to = s->resent_to = s->recover = pcb->lastack;
    s->una_at = s->resent_at = s->sent_at = sys_now();
    s->told = pcb->rcv_nxt;
    tcp_ext_arg_set_callbacks(pcb, sender_id(), &callbacks);
    tcp_ext_arg_set(pcb, sender_id(), s);
    return s;
}

/* ms */
static uint32_t sender_round(const struct sender *s)
{
    return s->round == 0 ? ROUND_FIRST : s->round / 8;
}

static uint32_t sender_late(const struct sender *s)
{
    return sender_round(s) / 4 * (1U + s->patient) + LATE_MIN;
}

static uint32_t seq_of(const struct tcp_seg *seg)
{
    return lwip_ntohl(seg->tcphdr->seqno);
}

static struct pv_stack_range range_of(const struct tcp_seg *seg)
{
    return (struct pv_stack_range){.from = seq_of(seg), .to = seq_of(seg) + TCP_TCPLEN(seg)};
}

/* Bytes that are lost and were not sent again. */
static uint32_t sender_owed(const struct sender *s)
{
    return pv_stack_sacks_missing(&s->sacks,
                                  (struct pv_stack_range){.from = s->resent_to, .to = s->lost_to});
}

/* --- sending ------------------------------------------------------------------------------- */

static void sender_send(struct tcp_pcb *pcb, struct sender *s)
{
    const uint32_t now = sys_now(), before = pcb->snd_nxt;
    if (pcb->unacked == NULL && now - s->sent_at > IDLE)
        pv_stack_cubic_idled(&s->cubic);
    pcb->cwnd = s->given = s->cubic.window + s->sacks.bytes + sender_owed(s);
    s->touched = false;
    (void)tcp_output(pcb);
    if ((pcb->flags & TF_ACK_DELAY) == 0)
        s->told = pcb->rcv_nxt;
    if (pcb->snd_nxt != before) {
        s->sent_at = now;
        if (!s->sampling) {
            s->sample = pcb->snd_nxt;
            s->sample_at = now;
        }
        s->sampling = true;
    }
    s->limited = pcb->unsent != NULL && s->given < pcb->snd_wnd;
}

void pv_stack_sender_output(struct tcp_pcb *pcb)
{
    struct sender *s = sender_begin(pcb);
    if (s == NULL)
        (void)tcp_output(pcb);
    else if (!s->touched) /* else when all that came was processed */
        sender_send(pcb, s);
}

size_t pv_stack_sender_window(const struct tcp_pcb *pcb)
{
    const struct sender *s = sender_of(pcb);
    return s == NULL ? pcb->cwnd : s->cubic.window + s->sacks.bytes;
}

/* --- what a member says -------------------------------------------------------------------- */

static void sender_read_sacks(struct tcp_pcb *pcb, struct sender *s, const uint8_t *option,
                              size_t len)
{
    for (; len >= SACK_LEN; option += SACK_LEN, len -= SACK_LEN) {
        uint32_t from, to;
        memcpy(&from, option, sizeof(from));
        memcpy(&to, option + sizeof(from), sizeof(to));
        pv_stack_sacks_add(&s->sacks,
                           (struct pv_stack_range){.from = lwip_ntohl(from), .to = lwip_ntohl(to)},
                           pcb->lastack, pcb->snd_nxt);
    }
}

/* The member has what was sent again first, and returns the time of the segment that brought it. A
 * time before we sent it again is the first segment's, which was late (RFC 3522). */
static void sender_read_stamp(struct sender *s, uint32_t ack, const uint8_t *option)
{
    uint32_t echo;
    memcpy(&echo, option + STAMP_ECHO, sizeof(echo));
    if (!s->doubts || !TCP_SEQ_GT(ack, s->doubted))
        return;
    s->doubts = false;
    if (!TCP_SEQ_LT(lwip_ntohl(echo), s->doubted_at))
        return;
    s->cubic = s->before;
    s->recovering = false;
    s->lost_to = s->resent_to;
    if (s->patient + 1 < LATE_MAX)
        s->patient++;
}

static void sender_read_options(struct tcp_pcb *pcb, struct sender *s, const struct tcp_hdr *head,
                                size_t len)
{
    const uint8_t *options = (const uint8_t *)(head + 1);
    for (size_t i = 0, n; i < len; i += n) {
        if (options[i] == LWIP_TCP_OPT_EOL)
            return;
        n = 1;
        if (options[i] == LWIP_TCP_OPT_NOP)
            continue;
        n = i + 1 < len ? options[i + 1] : 0;
        if (n < 2 || n > len - i)
            return;
        if (options[i] == SACK_KIND)
            sender_read_sacks(pcb, s, options + i + 2, n - 2);
        else if (options[i] == STAMP_KIND && n == STAMP_LEN && (pcb->flags & TF_TIMESTAMP) != 0)
            sender_read_stamp(s, head->ackno, options + i);
    }
}

/* lwIP is about to process a segment of this connection. Its window stays shut meanwhile, no
 * acknowledgement is a second one, and no segment is the second to be acknowledged, so that lwIP
 * neither sends nor takes anything for lost before pv_stack_sender_run(). */
int8_t pv_stack_sender_segment(struct tcp_pcb *pcb, const struct tcp_hdr *head, uint16_t len,
                               uint16_t here)
{
    struct sender *s = pcb->state == LISTEN ? NULL : sender_begin(pcb);
    if (s == NULL)
        return ERR_OK;
    /* After a timeout all is sent again: the member may have dropped what it had (RFC 2018 s8). */
    if (len == here && (pcb->flags & TF_RTO) == 0)
        sender_read_options(pcb, s, head, len);
    s->touched = true;
    s->tells = s->tells || (pcb->flags & TF_ACK_DELAY) != 0;
    tcp_clear_flags(pcb, TF_ACK_DELAY);
    pcb->dupacks = 0;
    pcb->bytes_acked = 0;
    pcb->cwnd = 0;
    return ERR_OK;
}

/* --- losses -------------------------------------------------------------------------------- */

static void sender_acked(struct tcp_pcb *pcb, struct sender *s, uint32_t now)
{
    const uint32_t bytes = pcb->lastack - s->una;
    if (bytes == 0)
        return;
    s->una = pcb->lastack;
    s->una_at = now;
    pv_stack_sacks_acked(&s->sacks, s->una);
    if (TCP_SEQ_LT(s->lost_to, s->una))
        s->lost_to = s->una;
    if (TCP_SEQ_LT(s->resent_to, s->una))
        s->resent_to = s->una;
    if (s->recovering && TCP_SEQ_GEQ(s->una, s->recover))
        s->recovering = false;
    if (s->sampling && TCP_SEQ_GEQ(s->una, s->sample)) {
        const uint32_t round = now - s->sample_at;
        s->round = s->round == 0 ? round * 8 : s->round - s->round / 8 + round;
        s->sampling = false;
    }
    if (s->limited && !s->recovering)
        pv_stack_cubic_acked(&s->cubic, bytes, sender_round(s), now);
}

static void sender_lose(struct tcp_pcb *pcb, struct sender *s)
{
    s->before = s->cubic;
    pv_stack_cubic_lost(&s->cubic);
    s->recovering = true;
    s->recover = pcb->snd_nxt;
    s->sampling = false;
}

static void sender_find_lost(struct tcp_pcb *pcb, struct sender *s, uint32_t now)
{
    if (s->sacks.n == 0) {
        s->marked = false;
        return;
    }
    const uint32_t high = s->sacks.ranges[s->sacks.n - 1].to;
    const bool stands = s->marked && TCP_SEQ_GT(s->mark, s->una);
    if (stands && now - s->mark_at < sender_late(s))
        return;
    if (stands && TCP_SEQ_LT(s->lost_to, s->mark)) {
        const struct pv_stack_range found = {.from = s->lost_to, .to = s->mark};
        s->lost_to = s->mark;
        if (!s->recovering && pv_stack_sacks_missing(&s->sacks, found) > 0) {
            sender_lose(pcb, s);
            s->doubts = true;
            s->doubted = s->resent_to;
            s->doubted_at = now;
        }
    }
    s->marked = true;
    s->mark = high;
    s->mark_at = now;
}

/* ms after which what was sent again should have arrived. */
static uint32_t sender_patience(const struct sender *s)
{
    return sender_round(s) + sender_round(s) / 2 + sender_late(s);
}

/* ms since something in recovery last moved. */
static uint32_t sender_stood(const struct sender *s, uint32_t now)
{
    const uint32_t una = now - s->una_at, resent = now - s->resent_at;
    return una < resent ? una : resent;
}

/* The second transmission is lost, too. */
static void sender_find_lost_again(struct tcp_pcb *pcb, struct sender *s, uint32_t now)
{
    if (!s->recovering || !TCP_SEQ_LT(s->una, s->resent_to) ||
        sender_stood(s, now) < sender_patience(s))
        return;
    s->resent_to = s->una;
    s->resent_at = now;
    s->doubts = false;
    sender_lose(pcb, s);
}

/* Moves lost segments to those that are to be sent, as tcp_rexmit() does with the first one, as far
 * as the window allows. */
static void sender_resend(struct tcp_pcb *pcb, struct sender *s, uint32_t now)
{
    uint32_t owed = sender_owed(s);
    struct tcp_seg **place = &pcb->unacked, *first = NULL, **end = &first;
    if (owed == 0)
        return;
    uint32_t on_way = pcb->snd_nxt - s->una - s->sacks.bytes - owed;
    bool one = s->resent_to == s->una; /* of them leaves whatever is on its way */
    while (*place != NULL && TCP_SEQ_LT(seq_of(*place), s->lost_to)) {
        struct tcp_seg *seg = *place;
        const struct pv_stack_range range = range_of(seg);
        if (TCP_SEQ_LT(range.from, s->resent_to) || pv_stack_sacks_has(&s->sacks, range)) {
            place = &seg->next;
            continue;
        }
        const uint32_t len = range.to - range.from;
        if ((!one && on_way + len > s->cubic.window) || range.to - s->una > pcb->snd_wnd ||
            seg->p->ref != 1)
            break;
        one = false;
        on_way += len;
        s->resent_to = range.to;
        s->resent_at = now;
        *place = seg->next;
        *end = seg;
        end = &seg->next;
    }
    if (first == NULL)
        return;
    if (pcb->unsent == NULL)
        pcb->unsent_oversize = 0; /* nothing is added to the last of them */
    *end = pcb->unsent;
    pcb->unsent = first;
    pcb->rttest = 0;
    s->sampling = false;
}

/* One acknowledgement for all segments that came together: each is a packet that p2pvpnd seals. */
static void sender_acknowledge(struct tcp_pcb *pcb, struct sender *s)
{
    if (!s->tells && (pcb->flags & TF_ACK_DELAY) == 0)
        return;
    s->tells = false;
    if (pcb->rcv_nxt - s->told < 2U * pcb->mss) {
        tcp_set_flags(pcb, TF_ACK_DELAY);
    } else {
        tcp_clear_flags(pcb, TF_ACK_DELAY);
        tcp_ack_now(pcb);
    }
}

/* --- turns --------------------------------------------------------------------------------- */

static uint32_t sender_next(const struct sender *s, uint32_t now)
{
    uint32_t next = UINT32_MAX;
    if (s->marked) {
        const uint32_t stood = now - s->mark_at, late = sender_late(s);
        next = stood < late ? late - stood : 1;
    }
    if (s->recovering && TCP_SEQ_LT(s->una, s->resent_to)) {
        const uint32_t stood = sender_stood(s, now), patience = sender_patience(s);
        const uint32_t left = stood < patience ? patience - stood : 1;
        next = left < next ? left : next;
    }
    return next;
}

uint32_t pv_stack_sender_run(void)
{
    const uint32_t now = sys_now();
    uint32_t next = UINT32_MAX;
    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
        struct sender *s = sender_of(pcb);
        if (s == NULL || (!s->touched && !s->marked && !s->recovering))
            continue;
        sender_acked(pcb, s, now);
        if ((pcb->flags & TF_RTO) == 0) {
            sender_find_lost(pcb, s, now);
            sender_find_lost_again(pcb, s, now);
            sender_resend(pcb, s, now);
        }
        if (s->touched)
            sender_acknowledge(pcb, s);
        if (s->touched || pcb->unsent != NULL)
            sender_send(pcb, s);
        const uint32_t wait = sender_next(s, now);
        next = wait < next ? wait : next;
    }
    return next;
}

void pv_stack_sender_timers(void)
{
    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
        struct sender *s = sender_of(pcb);
        if (s == NULL || s->touched || (pcb->flags & TF_RTO) == 0 || pcb->cwnd == s->given)
            continue;
        pv_stack_cubic_timed_out(&s->cubic);
        pv_stack_sacks_clear(&s->sacks);
        s->given = pcb->cwnd;
        s->lost_to = s->resent_to = s->una;
        s->marked = s->recovering = s->sampling = s->doubts = false;
    }
}
