/* SPDX-License-Identifier: MIT */
/* Packets that wait for a path or for keys: chains of blocks out of one pool, one list of all
 * packets by age, and a hash table of the peers that have some here. */
#include "daemon/core/packets/fp_queue.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/packets/fastpath.h"

enum {
    BLOCK = 2048,                       /* bytes; one packet of the usual MTU */
    BLOCKS = PV_FP_QUEUE_TOTAL / BLOCK, /* PV_FP_QUEUE_MAX_PEERS */
    TABLE = 2 * BLOCKS, /* slots for peers: at most half full, as each has a block at least */
};

_Static_assert((int)BLOCKS == (int)PV_FP_QUEUE_MAX_PEERS, "each waiting peer has a block at least");

/* Block numbers are stored + 1, so that 0 is "none". */
struct block {
    uint16_t next_block; /* of the same packet, or in the free list */
    /* The rest counts in the first block of a packet. */
    uint16_t next_packet;  /* of the same peer */
    uint16_t older, newer; /* in order of arrival, all peers */
    uint32_t peer;
    uint32_t len; /* bytes of the packet */
    pv_ns since;
};

struct waiting {
    uint32_t peer; /* 0 = the slot is free */
    uint32_t bytes;
    uint16_t packets;
    uint16_t first, last;
};

struct pv_fp_queue {
    size_t packets;
    size_t free_blocks;
    size_t kept_free;        /* what is other queues' */
    uint16_t free;           /* list of free blocks */
    uint16_t oldest, newest; /* packets */
    struct block blocks[BLOCKS + 1];
    struct waiting table[TABLE];
    uint8_t pool[BLOCKS + 1][BLOCK]; /* untouched pages cost nothing */
};

int pv_fp_queue_new(struct pv_fp_queue **ret_queue)
{
    struct pv_fp_queue *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return PV_ERR_NOMEM;
    for (size_t i = BLOCKS; i > 0; i--) {
        q->blocks[i].next_block = q->free;
        q->free = (uint16_t)i;
    }
    q->free_blocks = BLOCKS;
    *ret_queue = q;
    return PV_OK;
}

struct pv_fp_queue *pv_fp_queue_free(struct pv_fp_queue *q)
{
    free(q);
    return NULL;
}

static size_t blocks_of(size_t len)
{
    return (len + BLOCK - 1) / BLOCK;
}

/* Ids are small slot numbers below a generation; the multiplication spreads them over the table. */
static size_t home(uint32_t peer)
{
    return (peer * 0x9e3779b1u >> 8) % TABLE;
}

static size_t probe(const struct pv_fp_queue *q, uint32_t peer)
{
    size_t i = home(peer);
    while (q->table[i].peer != 0 && q->table[i].peer != peer)
        i = (i + 1) % TABLE;
    return i;
}

/* No tombstones: entries behind the hole move up unless that put them before their home, so that
 * probe() may stop at the first free slot. */
static void forget(struct pv_fp_queue *q, size_t hole)
{
    for (size_t i = (hole + 1) % TABLE; q->table[i].peer != 0; i = (i + 1) % TABLE) {
        size_t from_home = (i + TABLE - home(q->table[i].peer)) % TABLE;
        if (from_home >= (i + TABLE - hole) % TABLE) {
            q->table[hole] = q->table[i];
            hole = i;
        }
    }
    q->table[hole] = (struct waiting){.peer = 0};
}

size_t pv_fp_queue_len(const struct pv_fp_queue *q)
{
    return q->packets;
}

bool pv_fp_queue_has(const struct pv_fp_queue *q, uint32_t peer)
{
    return q->packets > 0 && q->table[probe(q, peer)].peer != 0;
}

/* A peer without packets is found as a free slot, whose counts are 0. */
bool pv_fp_queue_fits_peer(const struct pv_fp_queue *q, uint32_t peer, size_t len)
{
    const struct waiting *w = &q->table[probe(q, peer)];
    return w->packets < PV_FP_QUEUE_PACKETS && w->bytes + len <= PV_FP_QUEUE_BYTES;
}

bool pv_fp_queue_fits_all(const struct pv_fp_queue *q, size_t len)
{
    return blocks_of(len) + q->kept_free <= q->free_blocks;
}

/* Each of n tx workers has a whole pool and may fill its share of it. Together they keep to
 * PV_FP_QUEUE_TOTAL, and pages that nobody fills cost nothing. */
void pv_fp_queue_share(struct pv_fp_queue *q, unsigned n)
{
    q->kept_free = BLOCKS - BLOCKS / n;
}

static uint16_t take_block(struct pv_fp_queue *q)
{
    uint16_t b = q->free;
    q->free = q->blocks[b].next_block;
    q->blocks[b].next_block = 0;
    q->free_blocks--;
    return b;
}

/* A packet is in two lists: the list of its peer, in order, and the list of all packets, by age,
 * from whose end room is made. */
void pv_fp_queue_push(struct pv_fp_queue *q, uint32_t peer, struct pv_view packet, pv_ns now)
{
    uint16_t first = 0, last = 0;
    for (size_t at = 0; at < packet.len; at += BLOCK) {
        uint16_t b = take_block(q);
        size_t len = packet.len - at < BLOCK ? packet.len - at : BLOCK;
        memcpy(q->pool[b], packet.ptr + at, len);
        if (first == 0)
            first = b;
        else
            q->blocks[last].next_block = b;
        last = b;
    }
    struct block *p = &q->blocks[first];
    p->next_packet = 0;
    p->older = q->newest;
    p->newer = 0;
    p->peer = peer;
    p->len = (uint32_t)packet.len;
    p->since = now;
    if (q->newest != 0)
        q->blocks[q->newest].newer = first;
    else
        q->oldest = first;
    q->newest = first;
    q->packets++;

    struct waiting *w = &q->table[probe(q, peer)];
    if (w->packets == 0)
        w->first = first;
    else
        q->blocks[w->last].next_packet = first;
    w->peer = peer;
    w->last = first;
    w->packets++;
    w->bytes += (uint32_t)packet.len;
}

size_t pv_fp_queue_front_len(const struct pv_fp_queue *q, uint32_t peer)
{
    if (q->packets == 0)
        return 0;
    const struct waiting *w = &q->table[probe(q, peer)];
    return w->peer == 0 ? 0 : q->blocks[w->first].len;
}

void pv_fp_queue_front(const struct pv_fp_queue *q, uint32_t peer, uint8_t *dst)
{
    uint16_t b = q->table[probe(q, peer)].first;
    size_t left = q->blocks[b].len;
    for (; left > 0; b = q->blocks[b].next_block) {
        size_t len = left < BLOCK ? left : BLOCK;
        memcpy(dst, q->pool[b], len);
        dst += len;
        left -= len;
    }
}

void pv_fp_queue_pop(struct pv_fp_queue *q, uint32_t peer)
{
    size_t slot = probe(q, peer);
    struct waiting *w = &q->table[slot];
    uint16_t first = w->first;
    struct block *p = &q->blocks[first];

    if (p->older != 0)
        q->blocks[p->older].newer = p->newer;
    else
        q->oldest = p->newer;
    if (p->newer != 0)
        q->blocks[p->newer].older = p->older;
    else
        q->newest = p->older;
    q->packets--;

    w->first = p->next_packet;
    w->bytes -= p->len;
    if (--w->packets == 0)
        forget(q, slot);

    for (uint16_t b = first, next; b != 0; b = next) {
        next = q->blocks[b].next_block;
        q->blocks[b].next_block = q->free;
        q->free = b;
        q->free_blocks++;
    }
}

uint32_t pv_fp_queue_oldest(const struct pv_fp_queue *q, pv_ns *ret_since)
{
    if (q->oldest == 0)
        return 0;
    *ret_since = q->blocks[q->oldest].since;
    return q->blocks[q->oldest].peer;
}

size_t pv_fp_queue_peers(const struct pv_fp_queue *q,
                         uint32_t ret_peers[static PV_FP_QUEUE_MAX_PEERS])
{
    size_t n = 0;
    for (size_t i = 0; i < TABLE && q->packets > 0; i++) {
        if (q->table[i].peer != 0)
            ret_peers[n++] = q->table[i].peer;
    }
    return n;
}
