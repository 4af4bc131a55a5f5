/* SPDX-License-Identifier: MIT */
/* The parts of a snapshot: keys, chunks of peers, the table of receiver indices, routes and relays,
 * and how packet threads look things up in them. Reference counts are plain integers, since only
 * the control thread counts; QSBR frees snapshots there. */
#include "daemon/core/packets/fp_state.h"

#include <stdlib.h>
#include <string.h>

/* --- keys and facts ------------------------------------------------------------------------ */

int pv_fp_keys_new(struct pv_fp_keys **ret_keys, const struct pv_fp_key_init *init)
{
    /* The counter and the replay window have cache lines of their own, which needs an aligned
     * block. */
    struct pv_fp_keys *k = aligned_alloc(64, sizeof(*k));
    if (k == NULL)
        return PV_ERR_NOMEM;
    memset(k, 0, sizeof(*k));
    k->refs = 1;
    k->local_index = init->local_index;
    k->remote_index = init->remote_index;
    k->birth = init->birth;
    k->hybrid = init->hybrid;
    k->reject_count = init->suite == PV_SUITE_AES ? PV_FP_REJECT_COUNT_AES : PV_FP_REJECT_COUNT;
    int r = pv_aead_new(&k->send, init->suite, init->send_key);
    if (r == PV_OK)
        r = pv_aead_new(&k->recv, init->suite, init->recv_key);
    if (r < 0) {
        pv_fp_keys_unref(k);
        return r;
    }
    *ret_keys = k;
    return PV_OK;
}

struct pv_fp_keys *pv_fp_keys_unref(struct pv_fp_keys *keys)
{
    if (keys != NULL && --keys->refs == 0) {
        pv_aead_free(keys->send);
        pv_aead_free(keys->recv);
        free(keys);
    }
    return NULL;
}

struct pv_fp_live_ref *pv_fp_live_unref(struct pv_fp_live_ref *live)
{
    if (live != NULL && --live->refs == 0)
        free(live);
    return NULL;
}

static struct pv_fp_flows *flows_unref(struct pv_fp_flows *flows);

static struct pv_fp_marks *marks_unref(struct pv_fp_marks *marks)
{
    if (marks != NULL && --marks->refs == 0)
        free(marks);
    return NULL;
}

struct pv_fp_routes *pv_fp_routes_unref(struct pv_fp_routes *routes)
{
    if (routes != NULL && --routes->refs == 0) {
        pv_cryptokey_free(routes->table);
        flows_unref(routes->flows);
        marks_unref(routes->marks);
        free(routes);
    }
    return NULL;
}

/* --- chunks -------------------------------------------------------------------------------- */

struct pv_fp_chunk *pv_fp_chunk_copy(const struct pv_fp_chunk *chunk)
{
    struct pv_fp_chunk *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return NULL;
    *copy = *chunk;
    /* Keys and facts are shared, not copied: counters and replay windows must go on from one
     * snapshot to the next. */
    copy->refs = 1;
    for (size_t i = 0; i < PV_FP_CHUNK; i++) {
        struct pv_fp_peer *p = &copy->peers[i];
        for (size_t k = 0; k < PV_FP_KEYS_PER_PEER; k++) {
            if (p->keys[k] != NULL)
                p->keys[k]->refs++;
        }
        if (p->live != NULL)
            p->live->refs++;
        if (p->rules != NULL)
            pv_ruletable_ref(p->rules);
        if (p->out != NULL)
            pv_ruletable_ref(p->out);
        if (p->regions != NULL)
            p->regions->refs++;
    }
    return copy;
}

struct pv_fp_chunk *pv_fp_chunk_unref(struct pv_fp_chunk *chunk)
{
    if (chunk == NULL || --chunk->refs > 0)
        return NULL;
    for (size_t i = 0; i < PV_FP_CHUNK; i++) {
        struct pv_fp_peer *p = &chunk->peers[i];
        for (size_t k = 0; k < PV_FP_KEYS_PER_PEER; k++)
            pv_fp_keys_unref(p->keys[k]);
        pv_fp_live_unref(p->live);
        pv_ruletable_unref(p->rules);
        pv_ruletable_unref(p->out);
        pv_fp_regions_unref(p->regions);
    }
    free(chunk);
    return NULL;
}

/* --- regions ------------------------------------------------------------------------------- */

struct pv_fp_regions *pv_fp_regions_new(const struct pv_fp_region *list, size_t n)
{
    struct pv_fp_regions *regions = calloc(1, sizeof(*regions) + n * sizeof(list[0]));
    if (regions == NULL)
        return NULL;
    regions->refs = 1;
    regions->n = n;
    for (size_t i = 0; i < n; i++) {
        regions->list[i] = list[i];
        pv_ruletable_ref(list[i].rules);
    }
    return regions;
}

struct pv_fp_regions *pv_fp_regions_unref(struct pv_fp_regions *regions)
{
    if (regions == NULL || --regions->refs > 0)
        return NULL;
    for (size_t i = 0; i < regions->n; i++)
        pv_ruletable_unref(regions->list[i].rules);
    free(regions);
    return NULL;
}

/* --- receiver indices ---------------------------------------------------------------------- */

/* The low byte is the same for many; the rest was drawn at random. */
static uint32_t home(const struct pv_fp_index *index, uint32_t local_index)
{
    return (local_index * 0x9e3779b1u >> 8) & index->mask;
}

static uint32_t probe(const struct pv_fp_index *index, uint32_t local_index)
{
    uint32_t i = home(index, local_index);
    while (index->slots[i].index != 0 && index->slots[i].index != local_index)
        i = (i + 1) & index->mask;
    return i;
}

int pv_fp_index_new(struct pv_fp_index **ret_index, uint32_t slots)
{
    struct pv_fp_index *index = calloc(1, sizeof(*index) + slots * sizeof(index->slots[0]));
    if (index == NULL)
        return PV_ERR_NOMEM;
    index->refs = 1;
    index->mask = slots - 1;
    *ret_index = index;
    return PV_OK;
}

struct pv_fp_index *pv_fp_index_unref(struct pv_fp_index *index)
{
    if (index != NULL && --index->refs == 0)
        free(index);
    return NULL;
}

uint32_t pv_fp_index_find(const struct pv_fp_index *index, uint32_t local_index)
{
    return local_index == 0 ? 0 : index->slots[probe(index, local_index)].peer;
}

void pv_fp_index_insert(struct pv_fp_index *index, uint32_t local_index, uint32_t peer)
{
    index->slots[probe(index, local_index)] =
        (struct pv_fp_index_slot){.index = local_index, .peer = peer};
    index->len++;
}

/* As in fp_queue.c: entries move up into the hole, so that there are no tombstones to probe
 * past. */
void pv_fp_index_remove(struct pv_fp_index *index, uint32_t local_index)
{
    uint32_t hole = probe(index, local_index);
    if (index->slots[hole].index == 0)
        return;
    for (uint32_t i = (hole + 1) & index->mask; index->slots[i].index != 0;
         i = (i + 1) & index->mask) {
        uint32_t from_home = (i - home(index, index->slots[i].index)) & index->mask;
        if (from_home >= ((i - hole) & index->mask)) {
            index->slots[hole] = index->slots[i];
            hole = i;
        }
    }
    index->slots[hole] = (struct pv_fp_index_slot){.index = 0};
    index->len--;
}

int pv_fp_index_copy(const struct pv_fp_index *index, uint32_t slots, struct pv_fp_index **ret_copy)
{
    struct pv_fp_index *copy;
    int r = pv_fp_index_new(&copy, slots);
    if (r < 0)
        return r;
    if (copy->mask == index->mask) {
        memcpy(copy->slots, index->slots, slots * sizeof(copy->slots[0]));
        copy->len = index->len;
        /* In a table of another size every index has another home. */
    } else {
        for (uint32_t i = 0; i <= index->mask; i++) {
            if (index->slots[i].index != 0)
                pv_fp_index_insert(copy, index->slots[i].index, index->slots[i].peer);
        }
    }
    *ret_copy = copy;
    return PV_OK;
}

/* --- relay --------------------------------------------------------------------------------- */

int pv_fp_relay_copy(const struct pv_fp_relay *relay, uint32_t n, struct pv_fp_relay **ret_copy)
{
    if (relay != NULL && relay->n > n)
        n = relay->n;
    struct pv_fp_relay *copy = calloc(1, sizeof(*copy) + n * sizeof(copy->channels[0]));
    if (copy == NULL)
        return PV_ERR_NOMEM;
    copy->refs = 1;
    copy->n = n;
    if (relay != NULL) {
        copy->way = relay->way;
        memcpy(copy->channels, relay->channels, relay->n * sizeof(copy->channels[0]));
    }
    *ret_copy = copy;
    return PV_OK;
}

struct pv_fp_relay *pv_fp_relay_unref(struct pv_fp_relay *relay)
{
    if (relay != NULL && --relay->refs == 0)
        free(relay);
    return NULL;
}

/* --- groups -------------------------------------------------------------------------------- */

struct pv_fp_groups *pv_fp_groups_new(const struct pv_fp_group *entries, size_t n,
                                      const uint32_t *peers, size_t n_peers)
{
    struct pv_fp_groups *groups =
        calloc(1, sizeof(*groups) + n * sizeof(*entries) + n_peers * sizeof(*peers));
    if (groups == NULL)
        return NULL;
    groups->refs = 1;
    groups->n = n;
    groups->n_peers = n_peers;
    groups->peers = (uint32_t *)(void *)&groups->entries[n];
    if (n > 0)
        memcpy(groups->entries, entries, n * sizeof(*entries));
    if (n_peers > 0)
        memcpy(groups->peers, peers, n_peers * sizeof(*peers));
    return groups;
}

struct pv_fp_groups *pv_fp_groups_unref(struct pv_fp_groups *groups)
{
    if (groups != NULL && --groups->refs == 0)
        free(groups);
    return NULL;
}

const struct pv_fp_group *pv_fp_snapshot_group(const struct pv_fp_snapshot *snap,
                                               const struct pv_group *group)
{
    const struct pv_fp_groups *groups = snap->groups;
    size_t low = 0, high = groups == NULL ? 0 : groups->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = pv_group_compare(&groups->entries[mid].group, group);
        if (order == 0)
            return &groups->entries[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* --- rules --------------------------------------------------------------------------------- */

/* PV_ERR_NOMEM. */
static struct pv_fp_flows *flows_unref(struct pv_fp_flows *flows)
{
    if (flows != NULL && --flows->refs == 0) {
        pv_flowtable_free(flows->table);
        free(flows);
    }
    return NULL;
}

static int flows_new(const struct pv_rng *rng, struct pv_fp_flows **ret_flows)
{
    struct pv_fp_flows *flows = calloc(1, sizeof(*flows));
    if (flows == NULL || pv_flowtable_new(rng, &flows->table) < 0) {
        free(flows);
        return PV_ERR_NOMEM;
    }
    flows->refs = 1;
    *ret_flows = flows;
    return PV_OK;
}

int pv_fp_guard_new(struct pv_fp_flows *flows, uint16_t n_rules, const struct pv_rng *rng,
                    struct pv_fp_guard **ret_guard)
{
    size_t counters = n_rules + 3u; /* the default, the rules, [firewall], unseen ports */
    struct pv_fp_guard *guard = calloc(1, sizeof(*guard) + counters * sizeof(guard->denied[0]));
    if (guard == NULL)
        return PV_ERR_NOMEM;
    if (flows != NULL) {
        flows->refs++;
    } else if (flows_new(rng, &flows) < 0) {
        free(guard);
        return PV_ERR_NOMEM;
    }
    guard->refs = 1;
    guard->flows = flows;
    guard->n_rules = n_rules;
    *ret_guard = guard;
    return PV_OK;
}

struct pv_fp_guard *pv_fp_guard_unref(struct pv_fp_guard *guard)
{
    if (guard != NULL && --guard->refs == 0) {
        flows_unref(guard->flows);
        free(guard);
    }
    return NULL;
}

/* --- prefixes that are carried ------------------------------------------------------------- */

static bool same_prefix(const struct pv_prefix *a, const struct pv_prefix *b)
{
    return a->bits == b->bits && pv_addr_equal(&a->base, &b->base);
}

/* A node without routes asks at each change of its roster: that must make no snapshot. */
bool pv_fp_routes_carry_same(const struct pv_fp_routes *r, struct pv_fp_carried *carried, size_t n,
                             const struct pv_prefix *here, size_t n_here)
{
    if (r->n_carried != n || r->n_here != n_here)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct pv_fp_carried *x = &r->carried[i], *y = &carried[i];
        if (!same_prefix(&x->prefix, &y->prefix) || x->n != y->n || x->n_live != y->n_live ||
            memcmp(x->ids, y->ids, sizeof(x->ids)) != 0)
            return false;
    }
    for (size_t i = 0; i < n_here; i++) {
        if (!same_prefix(&r->here[i], &here[i]))
            return false;
    }
    for (size_t i = 0; i < n; i++)
        carried[i].taken = r->carried[i].taken;
    return true;
}

/* Several gateways of one prefix: which one a flow takes has to be remembered. Flows that are known
 * stay known. */
static int need_flows(struct pv_fp_routes *r, const struct pv_fp_carried *carried, size_t n,
                      const struct pv_rng *rng)
{
    bool several = false;
    for (size_t i = 0; i < n; i++)
        several = several || carried[i].n > 1;
    if (several && r->flows == NULL)
        return flows_new(rng, &r->flows);
    if (!several)
        r->flows = flows_unref(r->flows);
    return PV_OK;
}

static void take_out_carried(struct pv_fp_routes *r)
{
    for (size_t i = 0; i < r->n_carried; i++)
        pv_cryptokey_remove(r->table, &r->carried[i].prefix, PV_FP_OWNER_CARRIED + (uint32_t)i);
    for (size_t i = 0; i < r->n_here; i++)
        pv_cryptokey_remove(r->table, &r->here[i], PV_FP_OWNER_HERE);
}

/* No packet has gone by the list as it is now. A worker that still reads the former list marks the
 * former marks. */
static int renew_marks(struct pv_fp_routes *r, size_t n)
{
    struct pv_fp_marks *marks = n == 0 ? NULL : calloc(1, sizeof(*marks));
    if (n > 0 && marks == NULL)
        return PV_ERR_NOMEM;
    if (marks != NULL)
        marks->refs = 1;
    marks_unref(r->marks);
    r->marks = marks;
    return PV_OK;
}

/* A prefix of somebody else stays so, and has no entry in the table. */
int pv_fp_routes_carry(struct pv_fp_routes *r, struct pv_fp_carried *carried, size_t n,
                       const struct pv_prefix *here, size_t n_here, const struct pv_rng *rng)
{
    int status = need_flows(r, carried, n, rng);
    if (status == PV_OK)
        status = renew_marks(r, n);
    if (status != PV_OK)
        return status;
    take_out_carried(r);
    for (size_t i = 0; i < n_here && status == PV_OK; i++) {
        r->here[i] = here[i];
        status = pv_cryptokey_add(r->table, &here[i], PV_FP_OWNER_HERE);
        if (status == PV_ERR_EXISTS)
            status = PV_OK;
    }
    for (size_t i = 0; i < n && status == PV_OK; i++) {
        status = pv_cryptokey_add(r->table, &carried[i].prefix, PV_FP_OWNER_CARRIED + (uint32_t)i);
        carried[i].taken = status == PV_OK;
        r->carried[i] = carried[i];
        if (status == PV_ERR_EXISTS)
            status = PV_OK;
    }
    r->n_here = n_here;
    r->n_carried = n;
    return status;
}

/* --- snapshots ----------------------------------------------------------------------------- */

/* Takes a void pointer: QSBR, which knows no types, calls it when no worker reads the snapshot. */
void pv_fp_snapshot_free(void *snapshot)
{
    struct pv_fp_snapshot *snap = snapshot;
    if (snap == NULL)
        return;
    for (size_t i = 0; i < snap->n_chunks; i++)
        pv_fp_chunk_unref(snap->chunks[i]);
    pv_fp_routes_unref(snap->routes);
    pv_fp_index_unref(snap->index);
    pv_fp_groups_unref(snap->groups);
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++)
        pv_fp_relay_unref(snap->relays[i]);
    pv_fp_guard_unref(snap->guard);
    free(snap);
}

const struct pv_fp_peer *pv_fp_snapshot_peer(const struct pv_fp_snapshot *snap, uint32_t id)
{
    size_t slot = pv_fp_slot_of(id);
    if (id == 0 || slot / PV_FP_CHUNK >= snap->n_chunks)
        return NULL;
    const struct pv_fp_peer *p = &snap->chunks[slot / PV_FP_CHUNK]->peers[slot % PV_FP_CHUNK];
    return p->id == id ? p : NULL;
}

const struct pv_fp_peer *pv_fp_snapshot_way(const struct pv_fp_snapshot *snap,
                                            const struct pv_fp_peer *p)
{
    return p == NULL || p->by == 0 ? p : pv_fp_snapshot_peer(snap, p->by);
}

uint32_t pv_fp_snapshot_owner(const struct pv_fp_snapshot *snap, uint8_t version, const uint8_t *ip)
{
    const struct pv_cryptokey *t = snap->routes->table;
    return version == 4 ? pv_cryptokey_find4(t, ip) : pv_cryptokey_find6(t, ip);
}

const struct pv_fp_peer *pv_fp_snapshot_route(const struct pv_fp_snapshot *snap, uint8_t version,
                                              const uint8_t *ip)
{
    return pv_fp_snapshot_peer(snap, pv_fp_snapshot_owner(snap, version, ip));
}

const struct pv_fp_peer *pv_fp_snapshot_keys(const struct pv_fp_snapshot *snap,
                                             uint32_t local_index, struct pv_fp_keys **ret_keys)
{
    const struct pv_fp_peer *p =
        pv_fp_snapshot_peer(snap, pv_fp_index_find(snap->index, local_index));
    if (p == NULL)
        return NULL;
    for (size_t i = 0; i < PV_FP_KEYS_PER_PEER; i++) {
        if (p->keys[i] != NULL && p->keys[i]->local_index == local_index) {
            *ret_keys = p->keys[i];
            return p;
        }
    }
    return NULL;
}
