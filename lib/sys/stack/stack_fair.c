/* SPDX-License-Identifier: MIT */
/* stack_fair.c - a queue for each source address, one packet a turn. */
#include "sys/stack/stack_fair.h"

#include <lwip/pbuf.h>
#include <stdlib.h>

#include "base/addr.h"

struct fair_queue {
    struct fair_queue *next;   /* in turn */
    struct pbuf *first, *last; /* linked by their own `next`, a packet each */
    unsigned n;
};

struct pv_stack_fair {
    struct fair_queue queues[PV_STACK_FAIR_QUEUES];
    struct fair_queue *turn, *end; /* the queues that have packets */
    unsigned n;
    uint32_t seed;
};

int pv_stack_fair_new(struct pv_stack_fair **ret_fair, uint32_t seed)
{
    struct pv_stack_fair *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return PV_ERR_NOMEM;
    f->seed = seed;
    *ret_fair = f;
    return PV_OK;
}

struct pv_stack_fair *pv_stack_fair_free(struct pv_stack_fair *f)
{
    if (f != NULL) {
        pv_stack_fair_clear(f);
        free(f);
    }
    return NULL;
}

/* FNV-1a over the seed and the source. A member cannot choose its address to meet another's. */
static struct fair_queue *fair_queue_of(struct pv_stack_fair *f, struct pv_view packet)
{
    const bool v6 = packet.ptr[0] >> 4 == 6;
    const uint8_t *source = packet.ptr + (v6 ? 8 : 12);
    uint32_t hash = 2166136261u ^ f->seed;
    for (size_t i = 0; i < (v6 ? PV_IP6_LEN : PV_IP4_LEN); i++)
        hash = (hash ^ source[i]) * 16777619u;
    hash ^= hash >> 16;
    return &f->queues[hash % PV_STACK_FAIR_QUEUES];
}

static void fair_to_end(struct pv_stack_fair *f, struct fair_queue *q)
{
    q->next = NULL;
    if (f->turn == NULL)
        f->turn = q;
    else
        f->end->next = q;
    f->end = q;
}

void pv_stack_fair_add(struct pv_stack_fair *f, struct pv_view packet)
{
    struct fair_queue *q = fair_queue_of(f, packet);
    if (q->n >= PV_STACK_FAIR_DEPTH || (f->n >= PV_STACK_FAIR_ALL && q->n >= PV_STACK_FAIR_OWN))
        return;
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)packet.len, PBUF_RAM);
    if (p == NULL || pbuf_take(p, packet.ptr, (u16_t)packet.len) != ERR_OK) {
        if (p != NULL)
            pbuf_free(p);
        return;
    }
    if (q->n == 0) {
        q->first = p;
        fair_to_end(f, q);
    } else {
        q->last->next = p;
    }
    q->last = p;
    q->n++;
    f->n++;
}

struct pbuf *pv_stack_fair_take(struct pv_stack_fair *f)
{
    struct fair_queue *q = f->turn;
    if (q == NULL)
        return NULL;
    struct pbuf *p = q->first;
    f->turn = q->next;
    q->first = p->next;
    p->next = NULL;
    q->n--;
    f->n--;
    if (q->n > 0)
        fair_to_end(f, q);
    return p;
}

bool pv_stack_fair_is_empty(const struct pv_stack_fair *f)
{
    return f->n == 0;
}

void pv_stack_fair_clear(struct pv_stack_fair *f)
{
    for (struct pbuf *p; (p = pv_stack_fair_take(f)) != NULL;)
        pbuf_free(p);
}
