/* SPDX-License-Identifier: MIT */
/* Places by source. Two heaps, of networks and of a network's subscribers, have the one with the
 * most on top: pv_heap is by time, so the rank is "never" less what the places weigh. */
#include "coordinator/core/places.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

enum {
    NETWORK4_BYTES = 3, /* a /24 */
    NETWORK6_BYTES = 6, /* a /48: what a site has at most, RFC 6177 s1 */
    HOST4_BYTES = 4,
    HOST6_BYTES = 7, /* a /56: what a home gets, as in base/bucket.h */
    KIND_NETWORK = 1,
    KIND_SUBSCRIBER = 2,
    SILENT_WEIGHT = 4, /* ours: one that has done nothing weighs as much as so many that have */
};

void pv_places_init(struct pv_places *p, size_t max, size_t share, const struct pv_rng *rng)
{
    /* Each place has one subscriber and one network at most, and one more is made before one goes.
     */
    *p = (struct pv_places){.max = max, .share = share, .map = pv_map_make(rng, 2 * max + 2)};
    pv_heap_init(&p->networks);
}

void pv_places_done(struct pv_places *p)
{
    pv_heap_done(&p->networks);
}

static struct pv_place_key key_of(const struct pv_addr *source, int kind)
{
    struct pv_place_key key = {.bytes = {(uint8_t)source->family, (uint8_t)kind}};
    bool is6 = source->family == PV_AF_INET6;
    size_t len = kind == KIND_NETWORK ? (is6 ? NETWORK6_BYTES : NETWORK4_BYTES)
                                      : (is6 ? HOST6_BYTES : HOST4_BYTES);
    memcpy(key.bytes + 2, source->ip, len);
    return key;
}

static struct pv_heap *heap_of(struct pv_places *p, struct pv_place_source *s)
{
    return s->network == NULL ? &p->networks : &s->network->subscribers;
}

static void rank(struct pv_places *p, struct pv_place_source *s)
{
    uint64_t weight = SILENT_WEIGHT * (s->n - s->n_begun) + s->n_begun;
    pv_heap_set(heap_of(p, s), &s->rank, s->n == 0 ? PV_NEVER : PV_NEVER - weight);
}

/* A source is forgotten with its last place, so their number is bounded by that of the places. */
static void drop_if_empty(struct pv_places *p, struct pv_place_source *s)
{
    if (s->n > 0)
        return;
    pv_heap_set(heap_of(p, s), &s->rank, PV_NEVER);
    pv_heap_done(&s->subscribers);
    PV_MAP_DEL(p->sources, s);
    free(s);
}

/* Room in the heap is made here, so that ranking cannot fail later. network: NULL for a network. */
static int find_or_add(struct pv_places *p, const struct pv_addr *source,
                       struct pv_place_source *network, struct pv_place_source **ret_source)
{
    struct pv_place_key key = key_of(source, network == NULL ? KIND_NETWORK : KIND_SUBSCRIBER);
    struct pv_place_source *s = NULL;
    PV_MAP_FIND(&p->map, p->sources, &key, sizeof(key), s);
    *ret_source = s;
    if (s != NULL)
        return PV_OK;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    s->key = key;
    s->network = network;
    pv_heap_init(&s->subscribers);
    struct pv_heap *heap = heap_of(p, s);
    int r = pv_heap_reserve(heap, heap->len + 1);
    if (r == PV_OK)
        PV_MAP_ADD(&p->map, p->sources, key, s, r);
    if (r < 0) {
        free(s);
        return PV_ERR_NOMEM;
    }
    *ret_source = s;
    return PV_OK;
}

static struct pv_place **list_of(const struct pv_place *place)
{
    return place->has_begun ? &place->source->begun : &place->source->silent;
}

static void append(struct pv_place *place)
{
    PV_LIST_ADD(*list_of(place), place);
}

static void unlink_place(struct pv_place *place)
{
    PV_LIST_DEL(*list_of(place), place);
}

/* Everything ranks by number: how long a source has been there earns it nothing. The new one weighs
 * as if it had begun until settle(). */
static void add(struct pv_places *p, struct pv_place *place, struct pv_place_source *s)
{
    *place = (struct pv_place){.places = p, .source = s};
    append(place);
    s->n++;
    s->n_begun++;
    s->network->n++;
    s->network->n_begun++;
    p->n++;
    rank(p, s);
    rank(p, s->network);
}

/* The new one is silent after all. */
static void settle(struct pv_places *p, struct pv_place_source *s)
{
    s->n_begun--;
    s->network->n_begun--;
    rank(p, s);
    rank(p, s->network);
}

void pv_place_leave(struct pv_place *place)
{
    struct pv_places *p = place->places;
    struct pv_place_source *s = place->source;
    if (p == NULL)
        return;
    struct pv_place_source *network = s->network;
    bool has_begun = place->has_begun;
    unlink_place(place);
    *place = (struct pv_place){0};
    s->n--;
    network->n--;
    s->n_begun -= has_begun ? 1 : 0;
    network->n_begun -= has_begun ? 1 : 0;
    p->n--;
    rank(p, s);
    rank(p, network);
    drop_if_empty(p, s);
    drop_if_empty(p, network);
}

/* The source on top of a heap, left where it is. */
static struct pv_place_source *largest(const struct pv_heap *heap)
{
    return PV_CONTAINER_OF(heap->nodes[0], struct pv_place_source, rank);
}

void pv_place_begin(struct pv_place *place)
{
    if (place->places == NULL || place->has_begun)
        return;
    unlink_place(place);
    place->has_begun = true;
    append(place);
    place->source->n_begun++;
    place->source->network->n_begun++;
    rank(place->places, place->source);
    rank(place->places, place->source->network);
}

/* Gives up the oldest place of the subscriber with the most in this network, but not the one that
 * just came: those that have begun would else keep all others out. */
static struct pv_place *evict_from(const struct pv_place_source *network,
                                   const struct pv_place *newest)
{
    const struct pv_place_source *s = largest(&network->subscribers);
    struct pv_place *oldest = s->silent;
    if (oldest == NULL || (oldest == newest && s->begun != NULL))
        oldest = s->begun;
    pv_place_leave(oldest);
    return oldest;
}

int pv_places_enter(struct pv_places *p, struct pv_place *place, const struct pv_addr *source,
                    struct pv_place **ret_evicted)
{
    struct pv_place_source *network = NULL, *subscriber = NULL;
    *ret_evicted = NULL;
    int r = find_or_add(p, source, NULL, &network);
    if (r < 0)
        return r;
    r = find_or_add(p, source, network, &subscriber);
    if (r < 0) {
        drop_if_empty(p, network);
        return r;
    }
    add(p, place, subscriber);
    /* The new one counts already, so a source that floods gives up one of its own. But it is no
     * heavier than any other place, or sources of few places that have all begun would keep
     * everybody else out. */
    if (network->n > p->share)
        *ret_evicted = evict_from(network, place);
    else if (p->n > p->max)
        *ret_evicted = evict_from(largest(&p->networks), place);
    settle(p, subscriber);
    return PV_OK;
}
