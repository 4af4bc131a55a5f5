/* SPDX-License-Identifier: MIT */
/* The control thread's side of the fast path. It holds the present peers, routes, keys and relays,
 * and makes the snapshots that the packet threads read. A part that a snapshot still holds is
 * copied before it changes; all copies come before the first change, so that a call without memory
 * changes nothing. */
#include "daemon/core/packets/fp_builder.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemon/core/packets/fp_state.h"
#include "proto/stun/turn.h"

enum {
    MIN_INDEX_SLOTS = 64,
    MAX_ROUTES = 256, /* prefixes of one peer, ours */
};

/* The facts about a slot that only the builder knows. */
struct slot {
    uint16_t generation; /* of the last id given out */
    size_t n_routes;
    struct pv_prefix *routes; /* owned */
};

/*
 * Copy on write: a chunk, the routes and the index are changed in place while only the builder
 * holds them, and copied first while a snapshot does too.
 */
struct pv_fp_builder {
    struct pv_fp_interface iface;
    struct pv_fp_routes *routes;
    struct pv_fp_index *index;
    struct pv_fp_groups *groups;                  /* NULL = none */
    struct pv_fp_relay *relays[PV_FP_MAX_RELAYS]; /* NULL = none */
    struct pv_fp_guard *guard;                    /* NULL = nobody has rules */
    struct pv_ipprobe probe;                      /* what is under way */
    struct pv_fp_chunk **chunks;                  /* owned array of references */
    struct slot *slots;                           /* owned; n_chunks * PV_FP_CHUNK */
    size_t n_chunks;
    size_t n_by;      /* peers that another one carries */
    size_t next_slot; /* where to look for a free one: ids come back as late as possible */
    bool changed;
};

int pv_fp_builder_new(struct pv_fp_builder **ret_builder, const struct pv_rng *rng)
{
    struct pv_fp_builder *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return PV_ERR_NOMEM;
    b->routes = calloc(1, sizeof(*b->routes));
    if (b->routes != NULL)
        b->routes->refs = 1;
    b->changed = true;
    if (b->routes == NULL || pv_cryptokey_new(&b->routes->table, rng) < 0 ||
        pv_fp_index_new(&b->index, MIN_INDEX_SLOTS) < 0) {
        pv_fp_builder_free(b);
        return PV_ERR_NOMEM;
    }
    *ret_builder = b;
    return PV_OK;
}

struct pv_fp_builder *pv_fp_builder_free(struct pv_fp_builder *b)
{
    if (b == NULL)
        return NULL;
    for (size_t i = 0; i < b->n_chunks; i++)
        pv_fp_chunk_unref(b->chunks[i]);
    for (size_t i = 0; i < b->n_chunks * PV_FP_CHUNK; i++)
        free(b->slots[i].routes);
    pv_fp_routes_unref(b->routes);
    pv_fp_index_unref(b->index);
    pv_fp_groups_unref(b->groups);
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++)
        pv_fp_relay_unref(b->relays[i]);
    pv_fp_guard_unref(b->guard);
    free(b->chunks);
    free(b->slots);
    free(b);
    return NULL;
}

/* --- copies before changes ----------------------------------------------------------------- */

/* The id carries the slot's generation. An id of a removed peer may still be in a ring between the
 * threads: it finds nobody, and never the slot's next peer. */
static const struct pv_fp_peer *find_peer(const struct pv_fp_builder *b, uint32_t id)
{
    size_t slot = pv_fp_slot_of(id), c = slot / PV_FP_CHUNK;
    if (id == 0 || c >= b->n_chunks || b->chunks[c]->peers[slot % PV_FP_CHUNK].id != id)
        return NULL;
    return &b->chunks[c]->peers[slot % PV_FP_CHUNK];
}

static int own_chunk(struct pv_fp_builder *b, size_t c)
{
    if (b->chunks[c]->refs == 1)
        return PV_OK;
    struct pv_fp_chunk *copy = pv_fp_chunk_copy(b->chunks[c]);
    if (copy == NULL)
        return PV_ERR_NOMEM;
    pv_fp_chunk_unref(b->chunks[c]);
    b->chunks[c] = copy;
    return PV_OK;
}

/* The peer in a chunk that may be changed. */
static int own_peer(struct pv_fp_builder *b, uint32_t id, struct pv_fp_peer **ret_peer)
{
    size_t slot = pv_fp_slot_of(id), c = slot / PV_FP_CHUNK;
    if (find_peer(b, id) == NULL)
        return PV_ERR_NOT_FOUND;
    int r = own_chunk(b, c);
    if (r < 0)
        return r;
    *ret_peer = &b->chunks[c]->peers[slot % PV_FP_CHUNK];
    return PV_OK;
}

static int copy_routes(const struct pv_fp_routes *routes, struct pv_fp_routes **ret_copy)
{
    struct pv_fp_routes *copy = calloc(1, sizeof(*copy));
    if (copy == NULL || pv_cryptokey_copy(routes->table, &copy->table) < 0) {
        free(copy);
        return PV_ERR_NOMEM;
    }
    copy->refs = 1;
    copy->n_carried = routes->n_carried;
    copy->n_here = routes->n_here;
    memcpy(copy->carried, routes->carried, sizeof(copy->carried));
    memcpy(copy->here, routes->here, sizeof(copy->here));
    copy->flows = routes->flows;
    if (copy->flows != NULL)
        copy->flows->refs++;
    copy->marks = routes->marks;
    if (copy->marks != NULL)
        copy->marks->refs++;
    *ret_copy = copy;
    return PV_OK;
}

/* A snapshot that workers still read keeps the old table; the copy is changed. */
static int own_routes(struct pv_fp_builder *b)
{
    struct pv_fp_routes *copy;
    if (b->routes->refs == 1)
        return PV_OK;
    int r = copy_routes(b->routes, &copy);
    if (r < 0)
        return r;
    pv_fp_routes_unref(b->routes);
    b->routes = copy;
    return PV_OK;
}

/* An index table that may be changed and has room for one more. At most half full: probing for an
 * index that is not there ends at a free slot, and soon. */
static int own_index(struct pv_fp_builder *b)
{
    uint32_t slots = b->index->mask + 1;
    if ((b->index->len + 1) * 2 > slots)
        slots *= 2;
    if (b->index->refs == 1 && slots == b->index->mask + 1)
        return PV_OK;
    struct pv_fp_index *copy;
    int r = pv_fp_index_copy(b->index, slots, &copy);
    if (r < 0)
        return r;
    pv_fp_index_unref(b->index);
    b->index = copy;
    return PV_OK;
}

/* --- interface ----------------------------------------------------------------------------- */

static bool is_range(const struct pv_prefix *p)
{
    return p->base.family != PV_AF_NONE;
}

int pv_fp_builder_set_interface(struct pv_fp_builder *b, const struct pv_fp_interface *iface)
{
    struct pv_fp_routes *routes;
    if (iface->n_own > PV_FP_MAX_OWN || iface->mtu > PV_FP_INNER_MAX)
        return PV_ERR_LIMIT;
    /* On a copy: either all of it counts or nothing. */
    int r = copy_routes(b->routes, &routes);
    if (r < 0)
        return r;
    for (size_t i = 0; i < PV_ARRAY_LEN(iface->nets); i++) {
        if (is_range(&b->iface.nets[i]))
            pv_cryptokey_remove(routes->table, &b->iface.nets[i], PV_CRYPTOKEY_NOBODY);
    }
    /* Entered as nobody's: a packet to an unused address of the network must not follow a static
     * peer's wider allowed-ips, for example 0.0.0.0/0. */
    for (size_t i = 0; i < PV_ARRAY_LEN(iface->nets) && r == PV_OK; i++) {
        if (is_range(&iface->nets[i]))
            r = pv_cryptokey_add(routes->table, &iface->nets[i], PV_CRYPTOKEY_NOBODY);
    }
    if (r < 0) {
        pv_fp_routes_unref(routes);
        return r;
    }
    pv_fp_routes_unref(b->routes);
    b->routes = routes;
    b->iface = *iface;
    b->changed = true;
    return PV_OK;
}

/* --- peers --------------------------------------------------------------------------------- */

/* The count grows last. When memory runs out on the way, the larger arrays stay and nothing uses
 * their ends. */
static int add_chunk(struct pv_fp_builder *b)
{
    size_t n = b->n_chunks + 1;
    if (n * PV_FP_CHUNK > PV_FP_MAX_PEERS)
        return PV_ERR_LIMIT;
    struct pv_fp_chunk **chunks = reallocarray(b->chunks, n, sizeof(*chunks));
    if (chunks == NULL)
        return PV_ERR_NOMEM;
    b->chunks = chunks;
    struct slot *slots = reallocarray(b->slots, n * PV_FP_CHUNK, sizeof(*slots));
    if (slots == NULL)
        return PV_ERR_NOMEM;
    b->slots = slots;
    struct pv_fp_chunk *chunk = calloc(1, sizeof(*chunk));
    if (chunk == NULL)
        return PV_ERR_NOMEM;
    chunk->refs = 1;
    memset(&slots[b->n_chunks * PV_FP_CHUNK], 0, PV_FP_CHUNK * sizeof(*slots));
    chunks[b->n_chunks++] = chunk;
    return PV_OK;
}

/* A free slot, after the one given out last. */
static bool find_free(const struct pv_fp_builder *b, size_t *ret_slot)
{
    size_t n = b->n_chunks * PV_FP_CHUNK;
    for (size_t i = 0; i < n; i++) {
        size_t s = (b->next_slot + i) % n;
        if (b->chunks[s / PV_FP_CHUNK]->peers[s % PV_FP_CHUNK].id == 0) {
            *ret_slot = s;
            return true;
        }
    }
    return false;
}

int pv_fp_builder_add_peer(struct pv_fp_builder *b, enum pv_fp_peer_kind kind, uint32_t *ret_peer)
{
    size_t s = b->n_chunks * PV_FP_CHUNK;
    int r = find_free(b, &s) ? PV_OK : add_chunk(b);
    if (r == PV_OK)
        r = own_chunk(b, s / PV_FP_CHUNK);
    if (r < 0)
        return r;
    uint16_t generation = ++b->slots[s].generation;
    /* Generation 0 of slot 0 would be id 0, which is nobody. */
    if (generation == 0)
        generation = b->slots[s].generation = 1;
    uint32_t id = (uint32_t)generation << 16 | (uint32_t)s;
    b->chunks[s / PV_FP_CHUNK]->peers[s % PV_FP_CHUNK] =
        (struct pv_fp_peer){.id = id, .kind = kind};
    b->next_slot = s + 1;
    b->changed = true;
    *ret_peer = id;
    return PV_OK;
}

/* Of a peer that nobody uses nothing is noted: in networks of thousands nearly all are. A peer with
 * keys or a path has this. */
static int need_live(struct pv_fp_peer *p)
{
    if (p->live != NULL)
        return PV_OK;
    /* On cache lines of its own: the packet threads write to it with every batch. */
    struct pv_fp_live_ref *live = aligned_alloc(64, sizeof(*live));
    if (live == NULL)
        return PV_ERR_NOMEM;
    memset(live, 0, sizeof(*live));
    live->refs = 1;
    p->live = live;
    return PV_OK;
}

int pv_fp_builder_use_peer(struct pv_fp_builder *b, uint32_t peer)
{
    const struct pv_fp_peer *old = find_peer(b, peer);
    struct pv_fp_peer *p;
    if (old != NULL && old->live != NULL)
        return PV_OK;
    int r = own_peer(b, peer, &p);
    if (r == PV_OK)
        r = need_live(p);
    if (r == PV_OK)
        b->changed = true;
    return r;
}

static void drop_routes(struct pv_fp_builder *b, uint32_t id)
{
    struct slot *s = &b->slots[pv_fp_slot_of(id)];
    for (size_t i = 0; i < s->n_routes; i++)
        pv_cryptokey_remove(b->routes->table, &s->routes[i], id);
    free(s->routes);
    s->routes = NULL;
    s->n_routes = 0;
}

/* Everything that may fail comes first: the peer goes wholly or not at all. */
int pv_fp_builder_remove_peer(struct pv_fp_builder *b, uint32_t peer)
{
    struct pv_fp_peer *p;
    int r = own_peer(b, peer, &p);
    if (r == PV_OK)
        r = own_routes(b);
    if (r == PV_OK)
        r = own_index(b);
    if (r < 0)
        return r;
    drop_routes(b, peer);
    for (size_t i = 0; i < PV_FP_KEYS_PER_PEER; i++) {
        if (p->keys[i] != NULL)
            pv_fp_index_remove(b->index, p->keys[i]->local_index);
        pv_fp_keys_unref(p->keys[i]);
    }
    pv_fp_live_unref(p->live);
    pv_ruletable_unref(p->rules);
    pv_ruletable_unref(p->out);
    pv_fp_regions_unref(p->regions);
    b->n_by -= p->by != 0 ? 1 : 0;
    *p = (struct pv_fp_peer){.id = 0};
    b->changed = true;
    return PV_OK;
}

int pv_fp_builder_set_routes(struct pv_fp_builder *b, uint32_t peer, const struct pv_prefix *routes,
                             size_t n)
{
    struct pv_fp_peer *p;
    if (n > MAX_ROUTES)
        return PV_ERR_LIMIT;
    int r = own_peer(b, peer, &p);
    if (r == PV_OK)
        r = own_routes(b);
    /* Half of its routes would be a policy that nobody wrote down, so rather none. */
    if (r < 0)
        return r;
    struct pv_prefix *copy = n == 0 ? NULL : calloc(n, sizeof(*copy));
    if (n > 0 && copy == NULL)
        return PV_ERR_NOMEM;
    drop_routes(b, peer);
    struct slot *s = &b->slots[pv_fp_slot_of(peer)];
    s->routes = copy;
    for (size_t i = 0; i < n && r == PV_OK; i++) {
        r = pv_cryptokey_add(b->routes->table, &routes[i], peer);
        if (r == PV_OK)
            copy[s->n_routes++] = routes[i];
    }
    if (r < 0)
        drop_routes(b, peer);
    b->changed = true;
    return r;
}

int pv_fp_builder_set_by(struct pv_fp_builder *b, uint32_t peer, uint32_t by)
{
    const struct pv_fp_peer *old = find_peer(b, peer);
    struct pv_fp_peer *p;
    if (old != NULL && old->by == by)
        return PV_OK;
    int r = own_peer(b, peer, &p);
    if (r < 0)
        return r;
    b->n_by += by != 0 ? 1 : 0;
    b->n_by -= p->by != 0 ? 1 : 0;
    p->by = by;
    b->changed = true;
    return PV_OK;
}

/* --- prefixes that peers carry ------------------------------------------------------------- */

int pv_fp_builder_set_carried(struct pv_fp_builder *b, struct pv_fp_carried *carried, size_t n,
                              const struct pv_prefix *here, size_t n_here, const struct pv_rng *rng)
{
    struct pv_fp_routes *routes;
    if (n > PV_FP_MAX_CARRIED || n_here > PV_FP_MAX_HERE)
        return PV_ERR_LIMIT;
    if (pv_fp_routes_carry_same(b->routes, carried, n, here, n_here))
        return PV_OK;
    /* On a copy: either all of it counts or nothing. */
    int r = copy_routes(b->routes, &routes);
    if (r < 0)
        return r;
    r = pv_fp_routes_carry(routes, carried, n, here, n_here, rng);
    if (r < 0) {
        pv_fp_routes_unref(routes);
        return r;
    }
    pv_fp_routes_unref(b->routes);
    b->routes = routes;
    b->changed = true;
    return PV_OK;
}

pv_ns pv_fp_builder_gone_at(const struct pv_fp_builder *b, const struct pv_prefix *prefix)
{
    const struct pv_fp_routes *r = b->routes;
    for (size_t i = 0; i < r->n_carried; i++) {
        if (r->carried[i].taken && r->carried[i].prefix.bits == prefix->bits &&
            pv_addr_equal_ip(&r->carried[i].prefix.base, &prefix->base))
            return atomic_load_explicit(&r->marks->gone[i], memory_order_relaxed);
    }
    return 0;
}

/* Stricter than pv_carrier_same(): another channel, stream or relay of ours is the same path, and
 * yet tx must write something else. */
static bool equal_carriers(const struct pv_carrier *a, const struct pv_carrier *b)
{
    return a->kind == b->kind && a->sock == b->sock && a->channel == b->channel &&
           a->via == b->via && pv_addr_equal(&a->local, &b->local) &&
           pv_addr_equal(&a->remote, &b->remote) && pv_addr_equal(&a->relay, &b->relay);
}

int pv_fp_builder_set_path(struct pv_fp_builder *b, uint32_t peer, const struct pv_carrier *path,
                           uint16_t mtu)
{
    static const struct pv_carrier none = {.kind = PV_CARRIER_NONE};
    const struct pv_fp_peer *old = find_peer(b, peer);
    struct pv_fp_peer *p;
    if (path == NULL)
        path = &none;
    /* Nothing new makes no snapshot. */
    if (old != NULL && equal_carriers(&old->path, path) && old->path_mtu == mtu)
        return PV_OK;
    int r = own_peer(b, peer, &p);
    if (r == PV_OK && path->kind != PV_CARRIER_NONE)
        r = need_live(p);
    if (r < 0)
        return r;
    p->path = *path;
    p->path_mtu = mtu;
    b->changed = true;
    return PV_OK;
}

int pv_fp_builder_set_spare(struct pv_fp_builder *b, uint32_t peer, const struct pv_carrier *spare)
{
    const struct pv_fp_peer *old = find_peer(b, peer);
    struct pv_fp_peer *p;
    if (old != NULL && equal_carriers(&old->spare, spare))
        return PV_OK;
    int r = own_peer(b, peer, &p);
    if (r < 0)
        return r;
    p->spare = *spare;
    b->changed = true;
    return PV_OK;
}

int pv_fp_builder_set_offline(struct pv_fp_builder *b, uint32_t peer, bool offline)
{
    const struct pv_fp_peer *old = find_peer(b, peer);
    struct pv_fp_peer *p;
    if (old != NULL && old->offline == offline)
        return PV_OK;
    int r = own_peer(b, peer, &p);
    if (r < 0)
        return r;
    p->offline = offline;
    b->changed = true;
    return PV_OK;
}

int pv_fp_builder_take_discovery(struct pv_fp_builder *b, uint32_t peer, bool takes)
{
    const struct pv_fp_peer *old = find_peer(b, peer);
    struct pv_fp_peer *p;
    if (old != NULL && old->unwanted == !takes)
        return PV_OK;
    int r = own_peer(b, peer, &p);
    if (r < 0)
        return r;
    p->unwanted = !takes;
    b->changed = true;
    return PV_OK;
}

/* --- groups -------------------------------------------------------------------------------- */

static bool same_groups(const struct pv_fp_groups *a, const struct pv_fp_groups *b)
{
    if (a == NULL || a->n != b->n || a->n_peers != b->n_peers ||
        memcmp(a->peers, b->peers, a->n_peers * sizeof(a->peers[0])) != 0)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct pv_fp_group *x = &a->entries[i], *y = &b->entries[i];
        if (!pv_group_equal(&x->group, &y->group) || x->wakes != y->wakes || x->first != y->first ||
            x->n != y->n)
            return false;
    }
    return true;
}

/* An unchanged list makes no snapshot: members tell again what they told. */
int pv_fp_builder_set_groups(struct pv_fp_builder *b, const struct pv_fp_group *groups, size_t n,
                             const uint32_t *ids, size_t n_ids)
{
    for (size_t i = 0; i < n; i++) {
        const struct pv_fp_group *g = &groups[i];
        if (g->n > PV_FP_MAX_COPIES || g->first > n_ids || g->n > n_ids - g->first)
            return PV_ERR_LIMIT;
        if (i > 0 && pv_group_compare(&groups[i - 1].group, &g->group) >= 0)
            return PV_ERR_MALFORMED;
    }
    struct pv_fp_groups *made = pv_fp_groups_new(groups, n, ids, n_ids);
    if (made == NULL)
        return PV_ERR_NOMEM;
    if (b->groups == NULL ? n == 0 : same_groups(b->groups, made)) {
        pv_fp_groups_unref(made);
        return PV_OK;
    }
    pv_fp_groups_unref(b->groups);
    b->groups = made;
    b->changed = true;
    return PV_OK;
}

void pv_fp_builder_set_probe(struct pv_fp_builder *b, const struct pv_ipprobe *probe)
{
    b->probe = probe != NULL ? *probe : (struct pv_ipprobe){.proto = 0};
    b->changed = true;
}

int pv_fp_builder_set_strict(struct pv_fp_builder *b, uint32_t peer, enum pv_fp_strict strict)
{
    const struct pv_fp_peer *old = find_peer(b, peer);
    struct pv_fp_peer *p;
    if (old != NULL && old->strict == strict)
        return PV_OK;
    int r = own_peer(b, peer, &p);
    if (r < 0)
        return r;
    p->strict = strict;
    b->changed = true;
    return PV_OK;
}

/* --- rules --------------------------------------------------------------------------------- */

/* The table of rules for what comes from the peer, or for what goes out to it. */
static int set_table(struct pv_fp_builder *b, uint32_t peer, bool out, struct pv_ruletable *rules)
{
    const struct pv_fp_peer *old = find_peer(b, peer);
    struct pv_fp_peer *p;
    if (rules != NULL && b->guard == NULL)
        return PV_ERR_STATE;
    if (old != NULL && (out ? old->out : old->rules) == rules)
        return PV_OK;
    int r = own_peer(b, peer, &p);
    if (r < 0)
        return r;
    struct pv_ruletable **at = out ? &p->out : &p->rules;
    pv_ruletable_unref(*at);
    *at = rules == NULL ? NULL : pv_ruletable_ref(rules);
    b->changed = true;
    return PV_OK;
}

int pv_fp_builder_set_rules(struct pv_fp_builder *b, uint32_t peer, struct pv_ruletable *rules)
{
    return set_table(b, peer, false, rules);
}

int pv_fp_builder_set_out(struct pv_fp_builder *b, uint32_t peer, struct pv_ruletable *out)
{
    return set_table(b, peer, true, out);
}

int pv_fp_builder_set_regions(struct pv_fp_builder *b, uint32_t peer,
                              const struct pv_fp_region *regions, size_t n)
{
    const struct pv_fp_peer *old = find_peer(b, peer);
    struct pv_fp_regions *made = NULL;
    struct pv_fp_peer *p;
    if (n > PV_FP_MAX_REGIONS)
        return PV_ERR_LIMIT;
    if (old != NULL && old->regions == NULL && n == 0)
        return PV_OK;
    int r = own_peer(b, peer, &p);
    if (r < 0)
        return r;
    if (n > 0 && (made = pv_fp_regions_new(regions, n)) == NULL)
        return PV_ERR_NOMEM;
    pv_fp_regions_unref(p->regions);
    p->regions = made;
    b->changed = true;
    return PV_OK;
}

bool pv_fp_builder_has_rules(const struct pv_fp_builder *b, uint32_t peer)
{
    const struct pv_fp_peer *p = find_peer(b, peer);
    return p != NULL && p->rules != NULL;
}

int pv_fp_builder_set_guard(struct pv_fp_builder *b, uint16_t n_rules,
                            const struct pv_fp_doubt *doubt, const struct pv_rng *rng)
{
    struct pv_fp_guard *guard;
    int r = pv_fp_guard_new(b->guard == NULL ? NULL : b->guard->flows, n_rules, rng, &guard);
    if (r < 0)
        return r;
    guard->doubt = *doubt;
    pv_fp_guard_unref(b->guard);
    b->guard = guard;
    b->changed = true;
    return PV_OK;
}

void pv_fp_builder_drop_guard(struct pv_fp_builder *b)
{
    b->changed = b->changed || b->guard != NULL;
    b->guard = pv_fp_guard_unref(b->guard);
}

uint64_t pv_fp_builder_denied(const struct pv_fp_builder *b, uint16_t rule)
{
    if (b->guard == NULL)
        return 0;
    return atomic_load_explicit(&b->guard->denied[pv_fp_guard_counter(b->guard, rule)],
                                memory_order_relaxed);
}

/* --- keys ---------------------------------------------------------------------------------- */

int pv_fp_builder_add_keys(struct pv_fp_builder *b, uint32_t peer,
                           const struct pv_fp_key_init *init)
{
    struct pv_fp_peer *p;
    size_t i = 0;
    int r = own_peer(b, peer, &p);
    if (r == PV_OK)
        r = own_index(b);
    if (r == PV_OK)
        r = need_live(p);
    if (r < 0)
        return r;
    if (init->local_index == 0 || pv_fp_index_find(b->index, init->local_index) != 0)
        return PV_ERR_EXISTS;
    while (i < PV_FP_KEYS_PER_PEER && p->keys[i] != NULL)
        i++;
    if (i == PV_FP_KEYS_PER_PEER)
        return PV_ERR_LIMIT;
    /* To receive with, not to send with yet: the responder waits for the initiator's first packet
     * under these keys, which proves that the other side has them. */
    r = pv_fp_keys_new(&p->keys[i], init);
    if (r < 0)
        return r;
    pv_fp_index_insert(b->index, init->local_index, peer);
    b->changed = true;
    return PV_OK;
}

static struct pv_fp_keys **find_keys(struct pv_fp_peer *p, uint32_t local_index)
{
    for (size_t i = 0; i < PV_FP_KEYS_PER_PEER; i++) {
        if (p->keys[i] != NULL && p->keys[i]->local_index == local_index)
            return &p->keys[i];
    }
    return NULL;
}

int pv_fp_builder_send_with(struct pv_fp_builder *b, uint32_t peer, uint32_t local_index)
{
    struct pv_fp_peer *p;
    int r = own_peer(b, peer, &p);
    if (r < 0)
        return r;
    struct pv_fp_keys **keys = find_keys(p, local_index);
    if (keys == NULL && local_index != 0)
        return PV_ERR_NOT_FOUND;
    p->send = keys == NULL ? NULL : *keys;
    b->changed = true;
    return PV_OK;
}

/* Everything that may fail comes first. Keys that are sent with go, too: the peer is silent then
 * until it has others. */
int pv_fp_builder_remove_keys(struct pv_fp_builder *b, uint32_t peer, uint32_t local_index)
{
    struct pv_fp_peer *p;
    int r = own_peer(b, peer, &p);
    if (r == PV_OK)
        r = own_index(b);
    if (r < 0)
        return r;
    struct pv_fp_keys **keys = find_keys(p, local_index);
    if (keys == NULL)
        return PV_OK;
    if (p->send == *keys)
        p->send = NULL;
    pv_fp_index_remove(b->index, local_index);
    *keys = pv_fp_keys_unref(*keys);
    b->changed = true;
    return PV_OK;
}

/* It guards against forged ICMP errors, which would shrink the path MTU: only somebody on the path
 * knows index and counter. */
bool pv_fp_builder_has_sent(const struct pv_fp_builder *b, uint32_t peer, struct pv_view datagram)
{
    enum {
        RECENT = 1 << 16
    }; /* datagrams, ours: seconds of a fast line */
    const struct pv_fp_peer *p = find_peer(b, peer);
    if (p == NULL || p->send == NULL || datagram.len < 16 || pv_load_le32(datagram.ptr) != 4 ||
        pv_load_le32(datagram.ptr + 4) != p->send->remote_index)
        return false;
    uint64_t next = atomic_load_explicit(&p->send->next_counter, memory_order_relaxed);
    uint64_t counter = pv_load_le64(datagram.ptr + 8);
    return counter < next && next - counter <= RECENT;
}

/* A receiver index stands where STUN has its magic cookie (bytes 4 to 7), so an index equal to the
 * cookie would make data look like STUN. */
uint32_t pv_fp_builder_draw_index(const struct pv_fp_builder *b, const struct pv_rng *rng,
                                  uint8_t worker)
{
    for (;;) {
        uint32_t index = (pv_rng_u32(rng) & 0xffffff00u) | worker;
        if (index >> 8 != 0 && index != PV_FP_COOKIE && index != __builtin_bswap32(PV_FP_COOKIE) &&
            pv_fp_index_find(b->index, index) == 0)
            return index;
    }
}

/* --- relay --------------------------------------------------------------------------------- */

static bool same_way(const struct pv_fp_relay_way *a, const struct pv_fp_relay_way *b)
{
    return a->udp == b->udp && a->stream == b->stream && pv_addr_equal(&a->server, &b->server) &&
           a->former_stream == b->former_stream && pv_addr_equal(&a->former, &b->former);
}

int pv_fp_builder_set_relay(struct pv_fp_builder *b, uint16_t via,
                            const struct pv_fp_relay_way *way)
{
    struct pv_fp_relay *relay = NULL;
    if (via >= PV_FP_MAX_RELAYS)
        return PV_ERR_LIMIT;
    const struct pv_fp_relay *old = b->relays[via];
    if (way == NULL ? old == NULL : old != NULL && same_way(&old->way, way))
        return PV_OK;
    if (way != NULL) {
        /* Channels belong to the allocation at the server, not to the way there: they stay when a
         * stream replaces UDP. */
        bool keep = old != NULL && (pv_addr_equal(&old->way.server, &way->server) ||
                                    pv_addr_equal(&old->way.server, &way->former));
        int r = pv_fp_relay_copy(keep ? old : NULL, 0, &relay);
        if (r < 0)
            return r;
        relay->way = *way;
    }
    pv_fp_relay_unref(b->relays[via]);
    b->relays[via] = relay;
    b->changed = true;
    return PV_OK;
}

int pv_fp_builder_set_channel(struct pv_fp_builder *b, uint16_t via, uint16_t channel,
                              const struct pv_addr *peer)
{
    static const struct pv_addr none = {.family = PV_AF_NONE};
    if (channel < PV_TURN_CHANNEL_MIN || channel > PV_TURN_CHANNEL_MAX)
        return PV_ERR_MALFORMED;
    if (via >= PV_FP_MAX_RELAYS || b->relays[via] == NULL)
        return PV_ERR_STATE;
    struct pv_fp_relay *relay = b->relays[via];
    uint32_t i = (uint32_t)channel - PV_TURN_CHANNEL_MIN;
    const struct pv_addr *old = i < relay->n ? &relay->channels[i] : &none;
    if (pv_addr_equal(old, peer == NULL ? &none : peer))
        return PV_OK;
    /* Room doubles, so that channels bound one after the other do not copy the table each time. */
    if (relay->refs > 1 || i >= relay->n) {
        struct pv_fp_relay *copy;
        int r = pv_fp_relay_copy(relay, i < relay->n ? relay->n : 2 * i + 8, &copy);
        if (r < 0)
            return r;
        pv_fp_relay_unref(relay);
        b->relays[via] = relay = copy;
    }
    relay->channels[i] = peer == NULL ? none : *peer;
    b->changed = true;
    return PV_OK;
}

/* --- out ----------------------------------------------------------------------------------- */

struct pv_fp_live *pv_fp_builder_live(struct pv_fp_builder *b, uint32_t peer)
{
    const struct pv_fp_peer *p = find_peer(b, peer);
    return p == NULL || p->live == NULL ? NULL : &p->live->live;
}

bool pv_fp_builder_changed(const struct pv_fp_builder *b)
{
    return b->changed;
}

int pv_fp_builder_snapshot(struct pv_fp_builder *b, struct pv_fp_snapshot **ret_snap)
{
    struct pv_fp_snapshot *snap = malloc(sizeof(*snap) + b->n_chunks * sizeof(snap->chunks[0]));
    if (snap == NULL)
        return PV_ERR_NOMEM;
    /* A snapshot costs references, no copies: 10,000 peers are 157 chunks. From here on the builder
     * copies a part before it changes it. */
    snap->iface = b->iface;
    snap->routes = b->routes;
    snap->routes->refs++;
    snap->index = b->index;
    snap->index->refs++;
    snap->groups = b->groups;
    if (snap->groups != NULL)
        snap->groups->refs++;
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++) {
        snap->relays[i] = b->relays[i];
        if (snap->relays[i] != NULL)
            snap->relays[i]->refs++;
    }
    snap->guard = b->guard;
    if (snap->guard != NULL)
        snap->guard->refs++;
    snap->probe = b->probe;
    snap->n_by = b->n_by;
    snap->n_chunks = b->n_chunks;
    for (size_t i = 0; i < b->n_chunks; i++) {
        snap->chunks[i] = b->chunks[i];
        snap->chunks[i]->refs++;
    }
    b->changed = false;
    *ret_snap = snap;
    return PV_OK;
}
