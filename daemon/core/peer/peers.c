/* SPDX-License-Identifier: MIT */
/* peers.c - the table of peers: coming, going, finding, deadlines, facts. */
#include "daemon/core/peer/peers.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/peer/peers_int.h"

static size_t slot_of(uint32_t id)
{
    return id & (PV_FP_MAX_PEERS - 1);
}

int pv_peers_new(struct pv_peers **ret_peers, const struct pv_peers_config *cfg)
{
    struct pv_peers *ps = calloc(1, sizeof(*ps));
    if (ps == NULL)
        return PV_ERR_NOMEM;
    ps->cfg = *cfg;
    ps->map = pv_map_make(&cfg->node->rng, PV_PEER_MAX);
    pv_peers_common_init(&ps->common, cfg->node);
    pv_heap_init(&ps->timers);
    *ret_peers = ps;
    return PV_OK;
}

struct pv_peers *pv_peers_free(struct pv_peers *ps)
{
    if (ps == NULL)
        return NULL;
    struct pv_peer *p, *tmp;
    HASH_ITER(hh, ps->members, p, tmp)
    {
        PV_MAP_DEL(ps->members, p);
        pv_peer_free(p);
    }
    for (size_t i = 0; i < ps->n_statics; i++)
        pv_peer_free(ps->statics[i]);
    pv_fifo_clear(&ps->cfg.node->ways.injects);
    pv_heap_done(&ps->timers);
    free(ps->by_slot);
    free(ps->static_routes);
    ps->cfg.node->common = NULL;
    free(ps);
    return NULL;
}

struct pv_peer_relayed pv_peers_relayed(const struct pv_peers *ps, uint16_t via)
{
    struct pv_peer_relayed sum = ps->cfg.node->common->relayed_gone[via];
    for (const struct pv_peer *p = NULL; (p = pv_peers_next(ps, p)) != NULL;)
        pv_peer_add_relayed(p, via, &sum);
    return sum;
}

void *pv_peers_kept(const struct pv_peers *ps, const uint8_t pk[static PV_SIGN_PK_LEN],
                    const struct pv_part *part, bool make)
{
    struct pv_peer *p = pv_peers_by_pk(ps, pk);
    if (p == NULL)
        return NULL;
    return make ? pv_peer_slot(p, part) : pv_peer_find_slot(p, part);
}

void pv_peers_drop_slots(struct pv_peers *ps, const struct pv_part *part)
{
    for (size_t i = 0; ps != NULL && i < ps->n_slots; i++) {
        if (ps->by_slot[i] != NULL)
            pv_peer_drop_slot(ps->by_slot[i], part);
    }
}

/* --- finding --------------------------------------------------------------------------------- */

struct pv_peer *pv_peers_by_id(const struct pv_peers *ps, uint32_t id)
{
    size_t slot = slot_of(id);
    struct pv_peer *p = slot < ps->n_slots ? ps->by_slot[slot] : NULL;
    return p != NULL && p->id == id ? p : NULL; /* a slot is used again, an id is not */
}

struct pv_peer *pv_peers_by_pk(const struct pv_peers *ps, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    struct pv_peer *p;
    PV_MAP_FIND(&ps->map, ps->members, pk, sizeof(p->pk), p);
    return p;
}

/* The roster is asked, which has an index by transport key. Static peers, and members that changed
 * theirs a moment ago, are few. */
struct pv_peer *pv_peers_by_transport(const struct pv_peers *ps,
                                      const uint8_t key[static PV_DH_LEN], pv_ns now)
{
    const struct pv_roster *roster = ps->cfg.node->roster;
    const struct pv_member *m = roster == NULL ? NULL : pv_roster_by_transport(roster, key);
    if (m != NULL)
        return pv_peers_by_pk(ps, m->node);
    for (size_t i = 0; i < ps->n_statics; i++) {
        if (memcmp(ps->statics[i]->transport, key, sizeof(ps->statics[i]->transport)) == 0)
            return ps->statics[i];
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(ps->changed); i++) {
        struct pv_peer *p = pv_peers_by_id(ps, ps->changed[i]);
        if (p != NULL && !p->is_static && pv_peer_has_key(p, key, now))
            return p;
    }
    return NULL;
}

static struct pv_peer *find_static(const struct pv_peers *ps, const char *text)
{
    uint8_t key[PV_DH_LEN];
    bool is_key = pv_wgkey_parse(text, key) == PV_OK;
    for (size_t i = 0; i < ps->n_statics; i++) {
        struct pv_peer *p = ps->statics[i];
        if (strcmp(p->name, text) == 0 || (is_key && memcmp(p->transport, key, sizeof(key)) == 0))
            return p;
    }
    return NULL;
}

/* "bob.home" and "bob.home.p2p" are bob in network home. */
static const struct pv_member *find_name(const struct pv_roster *roster, const char *text)
{
    char name[PV_NAME_BUF];
    size_t label = strcspn(text, ".");
    if (pv_name_parse(text, label, name) != PV_OK)
        return NULL;
    if (text[label] == '.') {
        const char *network = pv_roster_network(roster)->name;
        const char *rest = text + label + 1;
        size_t n = strlen(network);
        if (strncmp(rest, network, n) != 0 || (rest[n] != '\0' && strcmp(rest + n, ".p2p") != 0))
            return NULL;
    }
    return pv_roster_by_name(roster, name);
}

struct pv_peer *pv_peers_find(const struct pv_peers *ps, const char *text)
{
    const struct pv_roster *roster = ps->cfg.node->roster;
    const struct pv_member *m = NULL;
    struct pv_addr ip;
    uint8_t key[PV_DH_LEN];
    if (roster != NULL) {
        if (pv_addr_parse_ip(text, &ip) == PV_OK)
            m = pv_roster_by_ip(roster, &ip);
        else if (pv_key_parse(text, key) == PV_OK)
            m = pv_roster_by_node(roster, key);
        else if (strncmp(text, "key:", 4) == 0)
            m = pv_node_by_short(ps->cfg.node, text, NULL);
        else
            m = find_name(roster, text);
    }
    if (m != NULL)
        return pv_peers_by_pk(ps, m->node);
    return find_static(ps, text);
}

struct pv_peer *pv_peers_next_member(const struct pv_peers *ps, const struct pv_peer *p)
{
    return p == NULL ? ps->members : p->hh.next;
}

struct pv_peer *pv_peers_next_node(const struct pv_peers *ps, const struct pv_peer *p)
{
    struct pv_peer *next = pv_peers_next_member(ps, p);
    while (next != NULL && !pv_peer_is_node(next))
        next = pv_peers_next_member(ps, next);
    return next;
}

struct pv_peer *pv_peers_next_static(const struct pv_peers *ps, const struct pv_peer *p)
{
    size_t i = 0;
    while (p != NULL && i < ps->n_statics && ps->statics[i++] != p)
        continue;
    return i < ps->n_statics ? ps->statics[i] : NULL;
}

/* The first at that slot or behind. */
static struct pv_peer *at_or_after(const struct pv_peers *ps, size_t slot)
{
    while (slot < ps->n_slots && ps->by_slot[slot] == NULL)
        slot++;
    return slot < ps->n_slots ? ps->by_slot[slot] : NULL;
}

struct pv_peer *pv_peers_next(const struct pv_peers *ps, const struct pv_peer *p)
{
    return at_or_after(ps, p == NULL ? 0 : slot_of(p->id) + 1);
}

/* Members leave holes in the table of slots, so a peer behind a hole is a little likelier. It need
 * not be fair. */
struct pv_peer *pv_peers_random(const struct pv_peers *ps)
{
    if (ps->n_slots == 0)
        return NULL;
    struct pv_peer *p = at_or_after(ps, pv_rng_below(&ps->cfg.node->rng, (uint32_t)ps->n_slots));
    return p != NULL ? p : at_or_after(ps, 0);
}

size_t pv_peers_count_members(const struct pv_peers *ps)
{
    return HASH_COUNT(ps->members);
}

size_t pv_peers_count_statics(const struct pv_peers *ps)
{
    return ps->n_statics;
}

bool pv_peers_want_door(const struct pv_peers *ps)
{
    return ps->wants_door;
}

size_t pv_peers_count_guests(const struct pv_peers *ps)
{
    return ps->n_guests;
}

size_t pv_peers_count_reached(const struct pv_peers *ps)
{
    size_t n = 0;
    for (const struct pv_peer *p = ps->members; p != NULL; p = p->hh.next)
        n += pv_peer_reach(p) == PV_REACH_PATH ? 1 : 0;
    return n;
}

const struct pv_prefix *pv_peers_static_routes(const struct pv_peers *ps, size_t *ret_n)
{
    *ret_n = ps->n_static_routes;
    return ps->static_routes;
}

/* --- facts and deadlines --------------------------------------------------------------------- */

/* A list in order of arrival, so that no peer is served twice before another one. */
static void make_ready(struct pv_peers *ps, struct pv_peer *p)
{
    if (p->ready)
        return;
    p->ready = true;
    p->ready_next = NULL;
    if (ps->ready_last != NULL)
        ps->ready_last->ready_next = p;
    else
        ps->ready_first = p;
    ps->ready_last = p;
}

/* A walk along the list, which is short: peers leave it with the next poll. */
static void leave_ready(struct pv_peers *ps, struct pv_peer *p)
{
    struct pv_peer *prev = NULL;
    for (struct pv_peer *q = ps->ready_first; q != NULL && p->ready; prev = q, q = q->ready_next) {
        if (q != p)
            continue;
        if (prev != NULL)
            prev->ready_next = p->ready_next;
        else
            ps->ready_first = p->ready_next;
        if (ps->ready_last == p)
            ps->ready_last = prev;
        p->ready = false;
        return;
    }
}

/* A peer is in the list once, with the sum of its facts. */
void pv_peers_raise(struct pv_peers *ps, struct pv_peer *p, unsigned facts)
{
    bool listed = p->facts != 0;
    p->facts |= facts;
    if (listed || facts == 0)
        return;
    p->facts_next = NULL;
    if (ps->news_last != NULL)
        ps->news_last->facts_next = p;
    else
        ps->news_first = p;
    ps->news_last = p;
}

static void leave_news(struct pv_peers *ps, struct pv_peer *p)
{
    struct pv_peer *prev = NULL;
    for (struct pv_peer *q = ps->news_first; q != NULL && p->facts != 0;
         prev = q, q = q->facts_next) {
        if (q != p)
            continue;
        if (prev != NULL)
            prev->facts_next = p->facts_next;
        else
            ps->news_first = p->facts_next;
        if (ps->news_last == p)
            ps->news_last = prev;
        p->facts = 0;
        return;
    }
}

bool pv_peers_has_news(const struct pv_peers *ps)
{
    return ps->news_first != NULL;
}

/* One peer at a time: a part that hears of it may raise facts of others, which join the end of the
 * list. */
struct pv_peer *pv_peers_take_news(struct pv_peers *ps, unsigned *ret_facts)
{
    struct pv_peer *p = ps->news_first;
    if (p == NULL)
        return NULL;
    ps->news_first = p->facts_next;
    if (ps->news_first == NULL)
        ps->news_last = NULL;
    *ret_facts = p->facts;
    p->facts = 0;
    return p;
}

/* The relay that carries the path is told whether anything comes through it. */
static void tell_relay(struct pv_peer *p, pv_ns now)
{
    if (!pv_peer_has_path(p) || !pv_carrier_is_relayed(&p->path))
        return;
    struct pv_relayway *relay = p->node->ways.relays[p->path.via];
    if (p->path_state == PV_PATH_STATE_SUSPECT)
        pv_relayway_suspect(relay, &p->path.remote, now);
    else
        pv_relayway_healed(relay, &p->path.remote, now);
}

/* Lets the peer's machines act, sends what they want sent, and takes their news. Deadline and ready
 * list follow here only: the output of a call into a peer that is not followed by this one would
 * stay where it is. */
static unsigned settle(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    pv_peer_settle(p, now);
    pv_peers_send_due(ps, p);
    unsigned news = p->news;
    p->news = 0;
    if ((news & PV_PEER_FACT_PATH) != 0) {
        if (!pv_peer_path_works(p))
            p->due |= PV_PEER_DUE_NAT_DOUBT;
        tell_relay(p, now);
    }
    if ((p->due & PV_PEER_DUE_NAT_DOUBT) != 0)
        pv_node_raise(ps->cfg.node, PV_FACT_NAT_DOUBT);
    p->due &= ~(unsigned)PV_PEER_DUE_NAT_DOUBT;
    pv_ns next = pv_peer_next_timeout(p);
    /* A child that is due for ever must not stop the others. */
    if (next <= now && p->timed_at == now)
        next = now + PV_MS(1);
    pv_heap_set(&ps->timers, &p->timer, next);
    make_ready(ps, p);
    return news;
}

void pv_peers_touch(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    pv_peers_raise(ps, p, settle(ps, p, now) | PV_PEER_FACT_TOUCHED);
}

/* Called when all parts have heard of the peer. Only new facts are raised
 * again, or telling would never come to an end. */
void pv_peers_told(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    unsigned news = settle(ps, p, now);
    if (news != 0)
        pv_peers_raise(ps, p, news | PV_PEER_FACT_TOUCHED);
}

void pv_peers_node_changed(struct pv_peers *ps, bool locals, pv_ns now)
{
    struct pv_peer *p, *tmp;
    HASH_ITER(hh, ps->members, p, tmp)
    {
        if (p->ice == NULL && p->session == NULL)
            continue; /* never used: of thousands of members most are */
        pv_peer_node_changed(p, locals, now);
        pv_peers_touch(ps, p, now);
    }
    for (size_t i = 0; i < ps->n_statics; i++) {
        pv_peer_node_changed(ps->statics[i], locals, now);
        pv_peers_touch(ps, ps->statics[i], now);
    }
}

void pv_peers_handle_timeout(struct pv_peers *ps, pv_ns now)
{
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&ps->timers, now)) != NULL) {
        struct pv_peer *p = PV_CONTAINER_OF(node, struct pv_peer, timer);
        p->timed_at = now;
        pv_peer_handle_timeout(p, now);
        if (p->is_static && now >= p->resolve_at)
            pv_peers_find_endpoint(ps, p, now);
        pv_peers_touch(ps, p, now);
    }
}

pv_ns pv_peers_next_timeout(const struct pv_peers *ps)
{
    return pv_heap_next(&ps->timers);
}

/* --- coming and going ------------------------------------------------------------------------ */

static int take_slot(struct pv_peers *ps, struct pv_peer *p)
{
    size_t slot = slot_of(p->id);
    if (slot >= ps->n_slots) {
        size_t n = ps->n_slots == 0 ? 64 : ps->n_slots;
        while (n <= slot)
            n *= 2;
        struct pv_peer **grown = realloc(ps->by_slot, n * sizeof(struct pv_peer *));
        if (grown == NULL)
            return PV_ERR_NOMEM;
        memset(grown + ps->n_slots, 0, (n - ps->n_slots) * sizeof(struct pv_peer *));
        ps->by_slot = grown;
        ps->n_slots = n;
    }
    /* Room for its timer now, since setting a deadline later must not fail. */
    int r = pv_heap_reserve(&ps->timers, HASH_COUNT(ps->members) + ps->n_statics + 1);
    if (r == PV_OK)
        ps->by_slot[slot] = p;
    return r;
}

/* Parts above are told while the peer is still whole; its lists and timer go before its memory. */
static void release(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    size_t slot = slot_of(p->id);
    if (ps->cfg.on_gone != NULL)
        ps->cfg.on_gone(ps->cfg.arg, p, now);
    leave_ready(ps, p);
    leave_news(ps, p);
    ps->n_guests -= p->is_guest ? 1 : 0;
    pv_heap_set(&ps->timers, &p->timer, PV_NEVER);
    if (slot < ps->n_slots && ps->by_slot[slot] == p)
        ps->by_slot[slot] = NULL;
    pv_peer_free(p);
}

static struct pv_prefix whole(const struct pv_addr *ip)
{
    struct pv_prefix x = {.base = *ip, .bits = (uint8_t)(8 * pv_addr_ip_len(ip))};
    x.base.port = 0;
    return x;
}

/* Its session goes on. Of very many that change at once the first ones' former keys are forgotten
 * early; they ask again with the new one. */
static int change_key(struct pv_peers *ps, struct pv_peer *p, const uint8_t *transport, pv_ns now)
{
    if (memcmp(p->transport, transport, sizeof(p->transport)) == 0)
        return PV_OK;
    ps->changed[ps->n_changed++ % PV_ARRAY_LEN(ps->changed)] = p->id;
    return pv_peer_set_transport(p, transport, now);
}

/* The statements' news about a peer that is there already: name, addresses and key may be
 * others. */
static int update_member(struct pv_peers *ps, struct pv_peer *p, const struct pv_member *m,
                         pv_ns now)
{
    int r = change_key(ps, p, m->transport, now);
    if (r != PV_OK)
        return r;
    memcpy(p->name, m->name, sizeof(p->name));
    p->ip4 = m->ip4;
    p->ip6 = m->ip6;
    pv_peer_set_stated(p, (m->abilities & PV_ABLE_PQ) != 0);
    const struct pv_prefix routes[2] = {whole(&m->ip4), whole(&m->ip6)};
    r = pv_fp_builder_set_routes(ps->cfg.node->fp, p->id, routes, 2);
    if (r == PV_OK)
        pv_peers_raise(ps, p, PV_PEER_FACT_MEMBER);
    return r;
}

static int add(struct pv_peers *ps, const struct pv_member *m, bool guest, pv_ns now)
{
    struct pv_peer *p;
    if (ps->cfg.node->roster != NULL)
        memcpy(ps->cfg.node->common->network_id, pv_roster_network_id(ps->cfg.node->roster),
               sizeof(ps->cfg.node->common->network_id));
    int r = guest ? pv_peer_new_guest(&p, ps->cfg.node, m->node, m->transport, now)
                  : pv_peer_new_member(&p, ps->cfg.node, m->node, m->transport);
    if (r != PV_OK)
        return r;
    ps->n_guests += guest ? 1 : 0;
    PV_MAP_ADD(&ps->map, ps->members, pk, p, r);
    if (r != PV_OK) {
        ps->n_guests -= guest ? 1 : 0;
        pv_peer_free(p);
        return r;
    }
    r = take_slot(ps, p);
    if (r == PV_OK)
        r = update_member(ps, p, m, now);
    if (r != PV_OK)
        pv_peers_drop(ps, p, now);
    return r;
}

int pv_peers_add_member(struct pv_peers *ps, const struct pv_member *m, pv_ns now)
{
    struct pv_peer *p = pv_peers_by_pk(ps, m->node);
    return p != NULL ? update_member(ps, p, m, now) : add(ps, m, false, now);
}

/* Plain WireGuard and a member's ways share nothing, so the peer is made anew. */
int pv_peers_set_guest(struct pv_peers *ps, const struct pv_member *m, bool guest, pv_ns now)
{
    struct pv_peer *p = pv_peers_by_pk(ps, m->node);
    if (p != NULL && p->is_guest == guest)
        return PV_OK;
    if (guest && ps->n_guests == PV_FP_MAX_GUESTS)
        return PV_ERR_LIMIT;
    if (p != NULL)
        pv_peers_drop(ps, p, now);
    return add(ps, m, guest, now);
}

void pv_peers_drop(struct pv_peers *ps, struct pv_peer *p, pv_ns now)
{
    PV_MAP_DEL(ps->members, p);
    release(ps, p, now);
}

void pv_peers_drop_members(struct pv_peers *ps, pv_ns now)
{
    struct pv_peer *p, *tmp;
    HASH_ITER(hh, ps->members, p, tmp)
    pv_peers_drop(ps, p, now);
}

static int remember_routes(struct pv_peers *ps, const struct pv_static_peer *conf)
{
    if (conf->n_allowed == 0)
        return PV_OK;
    struct pv_prefix *grown = realloc(ps->static_routes, (ps->n_static_routes + conf->n_allowed) *
                                                             sizeof(*ps->static_routes));
    if (grown == NULL)
        return PV_ERR_NOMEM;
    ps->static_routes = grown;
    memcpy(grown + ps->n_static_routes, conf->allowed, conf->n_allowed * sizeof(*grown));
    ps->n_static_routes += conf->n_allowed;
    return PV_OK;
}

int pv_peers_add_static(struct pv_peers *ps, const struct pv_static_peer *conf, pv_ns now)
{
    struct pv_peer *p;
    if (ps->n_statics == PV_ENGINE_MAX_STATIC)
        return PV_ERR_LIMIT;
    struct pv_peer_static s = {.persistent_keepalive = conf->persistent_keepalive,
                               .suite = conf->suite};
    memcpy(s.public_key, conf->public_key, sizeof(s.public_key));
    memcpy(s.psk, conf->preshared_key, sizeof(s.psk));
    int r = pv_peer_new_static(&p, ps->cfg.node, &s, now);
    pv_wipe(&s, sizeof(s));
    if (r != PV_OK)
        return r;
    memcpy(p->name, conf->name, sizeof(p->name));
    if (conf->endpoint_host[0] != '\0') {
        p->endpoint_host = strdup(conf->endpoint_host);
        r = p->endpoint_host == NULL ? PV_ERR_NOMEM : PV_OK;
    }
    p->endpoint_port = conf->endpoint_port;
    if (r == PV_OK)
        r = take_slot(ps, p);
    if (r == PV_OK)
        r = pv_fp_builder_set_routes(ps->cfg.node->fp, p->id, conf->allowed, conf->n_allowed);
    if (r == PV_OK)
        r = remember_routes(ps, conf);
    if (r != PV_OK) {
        release(ps, p, now);
        return r;
    }
    ps->statics[ps->n_statics++] = p;
    ps->wants_door = ps->wants_door || conf->door;
    pv_peers_find_endpoint(ps, p, now);
    pv_peers_touch(ps, p, now);
    return PV_OK;
}
