/* SPDX-License-Identifier: MIT */
/* Whom this coordinator stands sentry for: a table whose hash is keyed, so that nobody can choose
 * whose place he fills, and passes through it. */
#include "coordinator/core/turn/wards.h"

#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/bytes.h"
#include "base/map.h"
#include "crypto/ct.h"
#include "crypto/hash.h"

enum {
    KEY_LEN = 32, /* bytes */
    SLOTS = PV_WARDS_SETS * PV_WARDS_WAYS,
    SWEPT = (SLOTS + 15) / 16, /* places that one sweep looks at: all of them in 16 s */
};

struct ward {
    struct pv_addr node;  /* as it is seen here */
    struct pv_addr place; /* of ours, to which its binding leads */
    struct pv_sentry_word said;
    pv_ns until; /* 0: the place is free */
};
_Static_assert(sizeof(struct pv_addr) == 20, "it has no padding, so its bytes are hashed");

/* A pass through the table for one coordinator. */
struct pass {
    uint64_t coordinator;
    size_t at;
};

struct pv_wards {
    uint64_t own;
    struct pv_rng rng;
    uint8_t key[KEY_LEN]; /* of tickets */
    struct pv_map map;    /* only its hash key is used */
    struct pv_bucket_table *sources;
    struct ward *slots;
    size_t n;
    struct pass passes[PV_WARDS_SILENT];
    size_t n_passes;
    size_t alarms, looks; /* left in this turn */
    pv_ns turn_at;        /* the next one of alarms; PV_NEVER: none is due */
    pv_ns sweep_at;
    size_t swept; /* where the next sweep begins */
    pv_ns now;
};

int pv_wards_new(struct pv_wards **ret_wards, uint64_t own, const struct pv_rng *rng)
{
    struct pv_wards *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return PV_ERR_NOMEM;
    w->own = own;
    w->rng = *rng;
    w->turn_at = w->sweep_at = PV_NEVER;
    w->map = pv_map_make(rng, SLOTS);
    pv_rng_fill(rng, w->key, sizeof(w->key));
    w->slots = calloc(SLOTS, sizeof(*w->slots));
    int r = w->slots == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r == PV_OK)
        r = pv_bucket_table_new(&w->sources, PV_WARDS_SOURCES, PV_WARDS_SOURCE_RATE,
                                PV_WARDS_SOURCE_BURST, rng);
    if (r < 0)
        pv_wards_free(w);
    else
        *ret_wards = w;
    return r;
}

struct pv_wards *pv_wards_free(struct pv_wards *w)
{
    if (w != NULL) {
        pv_bucket_table_free(w->sources);
        free(w->slots);
        pv_wipe(w, sizeof(*w));
        free(w);
    }
    return NULL;
}

/* --- who comes ------------------------------------------------------------------------------- */

/* 0 stands for no ticket, so it is none. */
static uint64_t make_ticket(const struct pv_wards *w, const struct pv_addr *node, uint64_t period)
{
    uint8_t mac[PV_MAC_LEN], data[sizeof(*node) + 8];
    memcpy(data, node, sizeof(*node));
    pv_store_be64(data + sizeof(*node), period);
    pv_blake2s_mac(mac, pv_view(w->key, sizeof(w->key)), pv_view(data, sizeof(data)));
    uint64_t ticket = pv_load_be64(mac);
    return ticket == 0 ? 1 : ticket;
}

/* The node's place, or one that is free for it; NULL: its set is full. */
static struct ward *find_place(struct pv_wards *w, const struct pv_addr *node, pv_ns now)
{
    struct ward *ways =
        &w->slots[(pv_map_hash(&w->map, node, sizeof(*node)) % PV_WARDS_SETS) * PV_WARDS_WAYS];
    struct ward *spare = NULL;
    for (size_t i = 0; i < PV_WARDS_WAYS; i++) {
        if (ways[i].until != 0 && pv_addr_equal(&ways[i].node, node))
            return &ways[i];
        if (spare == NULL && ways[i].until <= now)
            spare = &ways[i];
    }
    return spare;
}

/* A node that is there stays: a flood of new ones takes no place of another. */
static bool put(struct pv_wards *w, const struct pv_addr *node, const struct pv_addr *place,
                const struct pv_sentry_word *said, pv_ns now)
{
    struct ward *x = find_place(w, node, now);
    if (x == NULL)
        return false;
    bool known = x->until > now && pv_addr_equal(&x->node, node);
    if (!known && !pv_bucket_table_take(w->sources, node, 1, now))
        return false;
    w->n += x->until == 0 ? 1 : 0;
    *x = (struct ward){
        .node = *node, .place = *place, .said = *said, .until = now + PV_S(PV_WARDS_LIFE_S)};
    if (w->sweep_at == PV_NEVER)
        w->sweep_at = now + PV_WARDS_SWEEP;
    return true;
}

bool pv_wards_take(struct pv_wards *w, const struct pv_addr *node, const struct pv_addr *place,
                   const struct pv_sentry_word *said, pv_ns now, struct pv_sentry_word *ret_answer)
{
    uint64_t period = now / PV_S(PV_WARDS_TICKET_S);
    if (said->coordinator == 0 || said->coordinator == w->own || pv_addr_ip_len(place) == 0)
        return false;
    uint64_t ticket = make_ticket(w, node, period);
    bool good = said->ticket != 0 &&
                (said->ticket == ticket || said->ticket == make_ticket(w, node, period - 1));
    *ret_answer = (struct pv_sentry_word){.ticket = ticket};
    if (good && put(w, node, place, said, now))
        ret_answer->coordinator = said->coordinator;
    return true;
}

/* --- alarms ---------------------------------------------------------------------------------- */

void pv_wards_raise(struct pv_wards *w, uint64_t coordinator, pv_ns now)
{
    for (size_t i = 0; i < w->n_passes; i++)
        if (w->passes[i].coordinator == coordinator)
            return;
    if (w->n_passes == PV_WARDS_SILENT)
        return;
    w->passes[w->n_passes++] = (struct pass){.coordinator = coordinator};
    w->turn_at = pv_min_ns(w->turn_at, now);
}

/* Goes on with the oldest pass, to the next node that it is about; NULL: this turn is over. */
static const struct ward *next_ward(struct pv_wards *w)
{
    while (w->n_passes > 0 && w->alarms > 0 && w->looks > 0) {
        struct pass *p = &w->passes[0];
        if (p->at == SLOTS) {
            w->n_passes--;
            memmove(p, p + 1, w->n_passes * sizeof(*p));
            continue;
        }
        const struct ward *x = &w->slots[p->at++];
        w->looks--;
        if (x->until > w->now && x->said.coordinator == p->coordinator)
            return x;
    }
    return NULL;
}

int pv_wards_poll_transmit(struct pv_wards *w, struct pv_wards_alarm *ret_alarm)
{
    uint8_t txid[PV_STUN_TXID_LEN];
    const struct ward *x = next_ward(w);
    if (x == NULL) {
        if (w->n_passes == 0)
            w->turn_at = PV_NEVER;
        return PV_ERR_AGAIN;
    }
    w->alarms--;
    ret_alarm->from = x->place;
    ret_alarm->to = x->node;
    pv_rng_fill(&w->rng, txid, sizeof(txid));
    pv_sentry_write_alarm(ret_alarm->buf, &x->said, txid);
    return PV_OK;
}

/* --- time ------------------------------------------------------------------------------------ */

static void sweep(struct pv_wards *w, pv_ns now)
{
    for (size_t i = 0; i < SWEPT; i++) {
        struct ward *x = &w->slots[w->swept];
        w->swept = (w->swept + 1) % SLOTS;
        if (x->until == 0 || x->until > now)
            continue;
        x->until = 0;
        w->n--;
    }
    w->sweep_at = w->n == 0 ? PV_NEVER : now + PV_WARDS_SWEEP;
}

void pv_wards_handle_timeout(struct pv_wards *w, pv_ns now)
{
    w->now = now;
    if (now >= w->sweep_at)
        sweep(w, now);
    if (now < w->turn_at)
        return;
    w->alarms = PV_WARDS_TURN;
    w->looks = PV_WARDS_LOOKS;
    w->turn_at = now + PV_WARDS_PACE;
}

pv_ns pv_wards_next_timeout(const struct pv_wards *w)
{
    return pv_min_ns(w->turn_at, w->sweep_at);
}

size_t pv_wards_count(const struct pv_wards *w)
{
    return w->n;
}
