/* SPDX-License-Identifier: MIT */
/* A peer's life: state, path, presence, description and timers. It owns the session (keys) and
 * the ICE agent (paths) and translates the facts of one into calls of the other. Neither of
 * these two knows the other. */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/node/part.h"
#include "daemon/core/peer/peer_int.h"

void pv_peers_common_init(struct pv_peers_common *common, struct pv_node *node)
{
    node->common = common;
    node->store.marks[PV_MARK_GEN] = &common->gen;
    node->store.marks[PV_MARK_TAI] = &common->tai;
    pv_pathstats_init(&common->stats);
    common->index_map = pv_map_make(&node->rng, PV_PEER_MAX_INDICES);
    common->ufrag_map = pv_map_make(&node->rng, PV_PEER_MAX);
}

const char *pv_peer_why_no_kem(const struct pv_node *n)
{
    return n->given.kem != NULL || n->given.kem_why == NULL ? "" : n->given.kem_why;
}

struct pv_peer *pv_peer_by_index(const struct pv_node *n, uint32_t index)
{
    struct pv_peer_index *e;
    PV_MAP_FIND(&n->common->index_map, n->common->indices, &index, sizeof(index), e);
    return e == NULL ? NULL : e->peer;
}

struct pv_peer *pv_peer_by_ufrag(const struct pv_node *n,
                                 const char ufrag[static PV_ICE_UFRAG_MAX + 1])
{
    struct pv_peer_ufrag *e;
    PV_MAP_FIND(&n->common->ufrag_map, n->common->ufrags, ufrag, PV_ICE_UFRAG_MAX + 1, e);
    return e == NULL ? NULL : e->peer;
}

int pv_peer_add_index(struct pv_peer *p, uint32_t index)
{
    struct pv_peer_index *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return PV_ERR_NOMEM;
    e->index = index;
    e->peer = p;
    int status;
    PV_MAP_ADD(&p->node->common->index_map, p->node->common->indices, index, e, status);
    if (status != PV_OK)
        free(e);
    return status;
}

void pv_peer_drop_index(struct pv_peer *p, uint32_t index)
{
    struct pv_peer_index *e;
    PV_MAP_FIND(&p->node->common->index_map, p->node->common->indices, &index, sizeof(index), e);
    if (e == NULL || e->peer != p)
        return;
    PV_MAP_DEL(p->node->common->indices, e);
    free(e);
}

/* All indices of the node are looked through: this happens only when a peer goes. */
static void drop_indices(struct pv_peer *p)
{
    struct pv_peer_index *e = p->node->common->indices;
    while (e != NULL) {
        struct pv_peer_index *next = e->hh.next;
        if (e->peer == p) {
            PV_MAP_DEL(p->node->common->indices, e);
            free(e);
        }
        e = next;
    }
}

/* An index that no keys and no pending handshake uses. Indices of handshakes under way are only in
 * our map, those of keys only in the builder. */
uint32_t pv_peer_fresh_index(struct pv_peer *p)
{
    /* All of a peer's are one worker's; slots are given out one after the other. */
    unsigned n = p->node->given.workers, slot = p->id & 0xffff;
    uint8_t worker = (uint8_t)(n > 1 ? slot % n : 0);
    uint32_t index;
    do {
        index = pv_fp_builder_draw_index(p->node->fp, &p->node->rng, worker);
    } while (pv_peer_by_index(p->node, index) != NULL);
    return index;
}

/* --- coming and going ------------------------------------------------------------------------ */

/* The fast path gets its peer first, since everything else is named by the id that it gives out. */
static int new_peer(struct pv_peer **ret_peer, struct pv_node *n, enum pv_fp_peer_kind kind,
                    const uint8_t *transport)
{
    struct pv_peer *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return PV_ERR_NOMEM;
    int r = pv_fp_builder_add_peer(n->fp, kind, &p->id);
    if (r != PV_OK) {
        free(p);
        return r;
    }
    p->node = n;
    p->is_static = kind != PV_FP_MEMBER;
    p->is_phone = kind == PV_FP_PHONE;
    memcpy(p->transport, transport, sizeof(p->transport));
    p->retry = PV_PEER_RETRY_FIRST;
    p->deadline = PV_NEVER;
    p->sample_at = PV_NEVER;
    p->resolve_at = PV_NEVER;
    p->hard.wake = PV_NEVER;
    p->leave_at = PV_NEVER;
    *ret_peer = p;
    return PV_OK;
}

int pv_peer_new_member(struct pv_peer **ret_peer, struct pv_node *n,
                       const uint8_t pk[static PV_SIGN_PK_LEN],
                       const uint8_t transport[static PV_DH_LEN])
{
    struct pv_peer *p;
    int r = new_peer(&p, n, PV_FP_MEMBER, transport);
    if (r != PV_OK)
        return r;
    memcpy(p->pk, pk, sizeof(p->pk));
    pv_peer_pq_settle(p, 0);
    *ret_peer = p;
    return PV_OK;
}

static int new_plain(struct pv_peer **ret_peer, struct pv_node *n, enum pv_fp_peer_kind kind,
                     const struct pv_peer_static *conf, pv_ns now)
{
    struct pv_peer *p;
    int r = new_peer(&p, n, kind, conf->public_key);
    if (r != PV_OK)
        return r;
    r = pv_peer_make_session(p, conf, now);
    if (r != PV_OK) {
        pv_peer_free(p);
        return r;
    }
    pv_session_set_reach(p->session, PV_SESSION_NOWHERE, now);
    *ret_peer = p;
    return PV_OK;
}

int pv_peer_new_static(struct pv_peer **ret_peer, struct pv_node *n,
                       const struct pv_peer_static *conf, pv_ns now)
{
    return new_plain(ret_peer, n, PV_FP_STATIC, conf, now);
}

int pv_peer_new_phone(struct pv_peer **ret_peer, struct pv_node *n,
                      const uint8_t pk[static PV_SIGN_PK_LEN],
                      const uint8_t transport[static PV_DH_LEN], pv_ns now)
{
    struct pv_peer_static conf = {.suite = PV_SUITE_CHACHA};
    memcpy(conf.public_key, transport, sizeof(conf.public_key));
    int r = new_plain(ret_peer, n, PV_FP_PHONE, &conf, now);
    if (r == PV_OK)
        memcpy((*ret_peer)->pk, pk, sizeof((*ret_peer)->pk));
    return r;
}

/* Checks do not find it any more */
static void forget_ufrag(struct pv_peer *p)
{
    if (p->talk == NULL)
        return;
    if (p->talk->ufrag.peer != NULL)
        PV_MAP_DEL(p->node->common->ufrags, &p->talk->ufrag);
    p->talk->ufrag.peer = NULL;
}

int pv_peer_need_talk(struct pv_peer *p)
{
    if (p->talk != NULL)
        return PV_OK;
    p->talk = calloc(1, sizeof(*p->talk));
    if (p->talk == NULL)
        return PV_ERR_NOMEM;
    p->talk->knows_key = p->node->keys.number;
    return PV_OK;
}

/* --- what parts keep ------------------------------------------------------------------------- */

void *pv_peer_find_slot(const struct pv_peer *p, const struct pv_part *part)
{
    struct pv_peer_slot *slot = p->slots;
    while (slot != NULL && slot->part != part)
        slot = slot->next;
    return slot == NULL ? NULL : slot->kept;
}

void *pv_peer_slot(struct pv_peer *p, const struct pv_part *part)
{
    void *kept = pv_peer_find_slot(p, part);
    if (kept != NULL)
        return kept;
    struct pv_peer_slot *slot = calloc(1, sizeof(*slot) + part->peer_size);
    if (slot == NULL)
        return NULL;
    slot->part = part;
    slot->next = p->slots;
    p->slots = slot;
    return slot->kept;
}

void pv_peer_drop_slot(struct pv_peer *p, const struct pv_part *part)
{
    struct pv_peer_slot **at = &p->slots, *slot;
    while (*at != NULL && (*at)->part != part)
        at = &(*at)->next;
    slot = *at;
    if (slot == NULL)
        return;
    *at = slot->next;
    if (part->end_peer != NULL)
        part->end_peer(slot->kept);
    free(slot);
}

/* --- its end --------------------------------------------------------------------------------- */

/* Others may be reached of our own accord in its place. */
static void end_turn(struct pv_peer *p)
{
    p->node->common->n_reaching -= p->has_turn ? 1 : 0;
    p->has_turn = false;
}

struct pv_peer *pv_peer_free(struct pv_peer *p)
{
    if (p == NULL)
        return NULL;
    while (p->slots != NULL)
        pv_peer_drop_slot(p, p->slots->part);
    forget_ufrag(p);
    end_turn(p);
    if (p->session != NULL)
        drop_indices(p);
    p->session = pv_session_free(p->session);
    p->ice = pv_ice_free(p->ice);
    p->agreed.x = pv_pqx_free(p->agreed.x);
    /* Credentials and a handshake message are in these. */
    if (p->remote != NULL)
        pv_wipe(p->remote, sizeof(*p->remote));
    free(p->remote);
    if (p->talk != NULL)
        pv_wipe(p->talk, sizeof(*p->talk));
    free(p->talk);
    free(p->endpoint_host);
    pv_trace_done(&p->trace);
    pv_inband_receiver_done(&p->inband);
    /* The sums go on after the peer, or the counters of the node would run backwards. */
    for (uint16_t i = 0; i < PV_FP_MAX_RELAYS; i++)
        pv_peer_add_relayed(p, i, &p->node->common->relayed_gone[i]);
    pv_peer_add_sums(p, &p->node->common->gone);
    if (!p->seen_off && pv_fp_builder_remove_peer(p->node->fp, p->id) != PV_OK)
        pv_log(p->node->log, PV_LOG_ERROR, "peer=%s what=\"still in the fast path\"", p->name);
    free(p);
    return NULL;
}

/* The ufrag finds the peer of an incoming check among thousands, since many peers share the main
 * socket. */
static int new_creds(struct pv_peer *p)
{
    int status = pv_peer_need_talk(p);
    if (status != PV_OK)
        return status;
    struct pv_peer_ufrag *u = &p->talk->ufrag;
    forget_ufrag(p);
    pv_ice_make_creds(&p->node->rng, &p->talk->creds);
    memset(u->ufrag, 0, sizeof(u->ufrag));
    memcpy(u->ufrag, p->talk->creds.ufrag, strlen(p->talk->creds.ufrag));
    u->peer = p;
    PV_MAP_ADD(&p->node->common->ufrag_map, p->node->common->ufrags, ufrag, u, status);
    if (status != PV_OK)
        u->peer = NULL;
    return status;
}

/* --- state --------------------------------------------------------------------------------- */

void pv_peer_set_state(struct pv_peer *p, enum pv_peer_state state, const char *why, pv_ns now)
{
    if (state == p->state)
        return;
    pv_trace_add(&p->trace, now, "%s: %s", pv_peer_state_name(state), why);
    pv_log(p->node->log, PV_LOG_DEBUG, "peer=%s state=%s why=\"%s\"", p->name,
           pv_peer_state_name(state), why);
    pv_peer_count_state(p, state, now);
    end_turn(p);
    p->state = state;
    if (state == PV_PEER_IDLE)
        p->sought_at = 0;
    else if (p->sought_at == 0)
        p->sought_at = now;
    /* Nothing is under way any more: the next packet must be able to ask. */
    struct pv_fp_live *l = pv_fp_builder_live(p->node->fp, p->id);
    if ((state == PV_PEER_IDLE || state == PV_PEER_FAILED) && l != NULL)
        pv_fp_live_rearm_path(l);
    if (state == PV_PEER_UP)
        p->retry = PV_PEER_RETRY_FIRST;
    if (state == PV_PEER_IDLE || state == PV_PEER_UP)
        p->deadline = PV_NEVER;
    /* An idle peer sends no handshakes: nobody would use the keys. */
    if (state == PV_PEER_IDLE && p->session != NULL)
        pv_session_cancel(p->session);
}

static struct pv_fp_live *live_of(struct pv_peer *p)
{
    return pv_fp_builder_live(p->node->fp, p->id);
}

/* Through the coordinator, or through somebody whom both know. */
static bool can_signal(const struct pv_peer *p)
{
    if (p->is_static)
        return false;
    return (p->node->common->signalling && p->presence != PV_PRESENCE_OFFLINE) ||
           p->node->common->n_in_sync > (p->notes.in_sync ? 1U : 0U);
}

/* How the session's messages can travel now. A suspect path, or one that rested, may swallow a
 * handshake, also where a check was answered a moment ago; the coordinator does not. */
static void update_reach(struct pv_peer *p, pv_ns now)
{
    if (p->session == NULL)
        return;
    enum pv_session_reach reach = PV_SESSION_NOWHERE;
    if (pv_peer_path_works(p))
        reach = can_signal(p) && pv_peer_rests(p, now) ? PV_SESSION_BY_BOTH : PV_SESSION_BY_UDP;
    else if (can_signal(p))
        reach = PV_SESSION_BY_SIGNAL;
    else if (pv_peer_has_path(p))
        reach = PV_SESSION_BY_UDP;
    pv_session_set_reach(p->session, reach, now);
}

/* Attempts to leave the relay never stop while somebody talks (DESIGN 5). */
static void plan_leaving(struct pv_peer *p, pv_ns now)
{
    if (!pv_peer_is_relayed(p) || p->is_static) {
        p->leave_at = PV_NEVER;
    } else if (p->leave_at == PV_NEVER) {
        p->leave_wait = PV_PEER_LEAVE_FIRST;
        p->leave_at = now + p->leave_wait;
    }
}

/* Whether the path leads to a relay of the other side's changes together with the path: the carrier
 * of such a path is a plain UDP one, so nothing else could tell later that the flag is of an older
 * path. */
static void use_path(struct pv_peer *p, const struct pv_carrier *path, bool far_relay, pv_ns now)
{
    bool had = pv_peer_has_path(p);
    if (pv_peer_is_direct(p))
        p->direct_at = now;
    struct pv_mtu *m = pv_peer_mtu_of(p);
    if (path != NULL) {
        bool same = had && pv_carrier_same(&p->path, path);
        if (!same)
            p->path_since = now;
        /* A new path, or another way to its relay, has an MTU of its own: the probing begins again.
         */
        if (m != NULL && (!same || far_relay != p->relay.far || p->path.kind != path->kind ||
                          pv_carrier_dst(&p->path)->family != pv_carrier_dst(path)->family))
            pv_mtu_stop(m);
        p->path = *path;
    }
    p->relay.far = far_relay;
    p->path_state = path == NULL ? PV_PATH_STATE_NONE : PV_PATH_STATE_GOOD;
    p->relay.chosen = false;
    plan_leaving(p, now);
    uint16_t mtu = path == NULL ? 0 : pv_peer_path_mtu(p);
    if (pv_fp_builder_set_path(p->node->fp, p->id, path, mtu) != PV_OK)
        pv_log(p->node->log, PV_LOG_WARN, "peer=%s what=\"path not set: out of memory\"", p->name);
    /* A packet that waits for a path may have been reported while this one was on its way. */
    if (path != NULL && live_of(p) != NULL)
        pv_fp_live_rearm_path(live_of(p));
    p->news |= PV_PEER_FACT_PATH;
    pv_peer_count_path(p, now);
    update_reach(p, now);
}

void pv_peer_use_path(struct pv_peer *p, const struct pv_carrier *path, pv_ns now)
{
    use_path(p, path, false, now);
}

/* --- beginning ----------------------------------------------------------------------------- */

/* Thousands of members cost nothing until somebody talks to them: session and agent are made
 * then. */
static int ensure_machines(struct pv_peer *p, pv_ns now)
{
    if (p->session == NULL) {
        int r = pv_peer_make_session(p, NULL, now);
        if (r != PV_OK)
            return r;
        update_reach(p, now);
    }
    if (p->ice != NULL)
        return PV_OK;
    int made = pv_peer_pq_make(p);
    if (made != PV_OK)
        return made;
    struct pv_ice_config cfg = {
        /* Neither side is the initiating agent of RFC 8445 s6.1.1. Both know both keys, so the
         * roles follow from them and never conflict. */
        .controlling = memcmp(p->node->identity->sign_pk, p->pk, sizeof(p->pk)) < 0,
        .local = p->talk->creds,
        .binding_lifetime = p->node->ways.binding_lifetime,
        .rng = p->node->rng,
        .trace = &p->trace,
        .blind = p->node->common->blind,
    };
    int r = pv_ice_new(&p->ice, &cfg, now);
    pv_wipe(&cfg, sizeof(cfg));
    return r;
}

/* Leaves out candidates in the overlay's ranges: packets to them would go into the tunnel. */
static void take_remote(struct pv_peer *p, pv_ns now)
{
    const struct pv_desc *d = pv_peer_theirs(p);
    struct pv_ice_cand cands[PV_ARRAY_LEN(d->cands)];
    size_t n = 0;
    for (size_t i = 0; i < d->n_cands; i++)
        if (d->cands[i].type == PV_ICE_RELAY || !pv_node_leads_in(p->node, &d->cands[i].addr))
            cands[n++] = d->cands[i];
    if (pv_ice_set_remote(p->ice, &d->creds, cands, n, now) != PV_OK)
        pv_trace_add(&p->trace, now, "their description is unusable");
}

/* A new gen: new credentials, everything is checked anew. */
void pv_peer_begin(struct pv_peer *p, const char *why, pv_ns now)
{
    int r = new_creds(p);
    bool fresh = p->ice == NULL;
    if (r == PV_OK)
        r = ensure_machines(p, now);
    if (r == PV_OK && !fresh)
        r = pv_ice_restart(p->ice, &p->talk->creds, now);
    if (r != PV_OK) {
        pv_trace_add(&p->trace, now, "cannot begin: %s", pv_strstatus(r));
        return;
    }
    (void)pv_ice_set_nat64(p->ice, &p->node->ways.nat64);
    pv_ice_set_local(p->ice, p->node->ways.locals, p->node->ways.n_locals, now);
    /* Their description may have come before we had an agent; it is not sent again unasked. */
    if (fresh && p->descx.theirs.gen != 0)
        take_remote(p, now);
    p->left_at = 0;
    p->chain_known = false;
    p->recalled.family = PV_AF_NONE;
    uint64_t gen = pv_highwater_next(&p->node->common->gen, pv_node_wall_us(p->node, now));
    p->gen_in_doubt = !p->node->common->gen.own;
    pv_descx_begin(&p->descx, gen);
    pv_peer_pq_begin(p);
    pv_peer_set_state(p, PV_PEER_REACHING, why, now);
    p->deadline = now + PV_PEER_REACH_TIME;
}

/* It asks again by itself: the packets that want it may not be reported another time. */
static void ask_later(struct pv_peer *p, const char *why, pv_ns now)
{
    pv_peer_set_state(p, PV_PEER_FAILED, why, now);
    p->failure = PV_PEER_FAILURE_TURN;
    p->deadline = now + PV_PEER_TURN + PV_MS(pv_rng_below(&p->node->rng, 250));
}

/* May one more peer be reached of our own accord? Where not, it asks again a little later. A subnet
 * scan wakes many peers at once. Without a limit all their checks would leave together and fill a
 * NAT's table. Peers that want to reach us take no turn: members that describe themselves without
 * end would have all of them. */
static bool gate(struct pv_peer *p, pv_ns now)
{
    struct pv_node *n = p->node;
    if (p->state == PV_PEER_REACHING)
        return true;
    if (n->common->n_reaching < PV_PEER_MAX_REACHING &&
        pv_bucket_take(&n->common->attempts, PV_PEER_NEW_PER_S, PV_PEER_NEW_PER_S, 1, now))
        return true;
    ask_later(p, "others are being reached first", now);
    return false;
}

/* Keys must be there, or be on their way, when a path is found. */
static void want_keys(struct pv_peer *p, pv_ns now)
{
    if (p->session != NULL && !pv_session_has_keys(p->session, now))
        pv_session_want(p->session, now);
}

static void reach(struct pv_peer *p, const char *why, pv_ns now)
{
    if (!gate(p, now))
        return;
    pv_peer_begin(p, why, now);
    if (p->state != PV_PEER_REACHING) {
        ask_later(p, "out of memory", now);
        return;
    }
    if (!p->has_turn) {
        p->has_turn = true;
        p->node->common->n_reaching++;
    }
    want_keys(p, now);
}

/* A dormant path may be dead without anybody having noticed: it is checked while it is used. */
static void wake(struct pv_peer *p, pv_ns now)
{
    if (p->ice == NULL || pv_ice_state(p->ice) != PV_ICE_DORMANT)
        return;
    pv_ice_kick(p->ice, now);
    pv_descx_changed(&p->descx);
}

/* Nothing has shown for a while that its path lives: it is checked, and so is our own NAT, which
 * may have forgotten the relay as well (adr/0077). */
static void rouse(struct pv_peer *p, pv_ns now)
{
    if (!pv_peer_is_silent(p, now))
        return;
    p->due |= PV_PEER_DUE_NAT_DOUBT;
    if (p->ice != NULL)
        pv_ice_kick(p->ice, now);
}

/* Does the next attempt wait for the deadline, whoever wants the peer? */
static bool is_silent(const struct pv_peer *p)
{
    if (p->state != PV_PEER_FAILED)
        return false;
    switch (p->failure) {
    case PV_PEER_FAILURE_TURN:
    case PV_PEER_FAILURE_UNANSWERED:
        return false;
    case PV_PEER_FAILURE_CHECKS:
        return true;
    }
    return false;
}

/* Does the agent suspect what it chose? Also while no relay carries that, so that a wish need not
 * wait until the agent gives it up. */
static bool is_suspect(const struct pv_peer *p)
{
    if (pv_peer_has_path(p))
        return !pv_peer_path_works(p);
    return p->ice != NULL && pv_ice_state(p->ice) == PV_ICE_CHECKING;
}

void pv_peer_want(struct pv_peer *p, const char *who, pv_ns now)
{
    p->wanted_at = now;
    /* Without memory its packets ask again. */
    (void)!pv_fp_builder_use_peer(p->node->fp, p->id);
    if (p->is_static) {
        want_keys(p, now);
        return;
    }
    if (p->state == PV_PEER_UP && !is_suspect(p)) {
        wake(p, now);
        rouse(p, now);
        want_keys(p, now);
        return;
    }
    if (p->presence == PV_PRESENCE_OFFLINE && live_of(p) != NULL)
        pv_fp_live_rearm_path(live_of(p)); /* it may come when this wish is long forgotten */
    if (p->presence == PV_PRESENCE_OFFLINE || p->state == PV_PEER_REACHING || is_silent(p))
        return; /* presence, the attempt under way or the next one goes on from here */
    reach(p, who, now);
}

void pv_peer_set_phone_presence(struct pv_peer *p, bool online, pv_ns now)
{
    p->presence = online ? PV_PRESENCE_ONLINE : PV_PRESENCE_OFFLINE;
    p->news |= PV_PEER_FACT_PRESENCE;
    pv_trace_add(&p->trace, now, "presence: %s", online ? "online" : "offline");
}

static const char *presence_name(enum pv_presence presence)
{
    switch (presence) {
    case PV_PRESENCE_UNKNOWN:
        return "unknown";
    case PV_PRESENCE_ONLINE:
        return "online";
    case PV_PRESENCE_OFFLINE:
        return "offline";
    }
    return "";
}

/* What `status` and the packet threads are told. */
static void show_presence(struct pv_peer *p, bool changed, pv_ns now)
{
    bool offline = p->presence == PV_PRESENCE_OFFLINE;
    if (pv_fp_builder_set_offline(p->node->fp, p->id, offline) != PV_OK)
        pv_log(p->node->log, PV_LOG_WARN, "peer=%s what=\"presence not set: out of memory\"",
               p->name);
    if (!changed)
        return;
    p->news |= PV_PEER_FACT_PRESENCE;
    pv_trace_add(&p->trace, now, "presence: %s", presence_name(p->presence));
}

/* The coordinator says that it is offline; was_online: it said otherwise before. A path that
 * answers outweighs that word. A suspect path and that word agree: the peer is gone. A path that
 * rests is checked, because the peer may have died before it had keys to say goodbye. */
static void is_offline(struct pv_peer *p, bool was_online, pv_ns now)
{
    if (p->ice != NULL)
        pv_ice_set_present(p->ice, false, now);
    if (p->path_state == PV_PATH_STATE_SUSPECT)
        pv_peer_goodbye(p, now);
    else if (was_online && p->ice != NULL && pv_ice_state(p->ice) != PV_ICE_DORMANT &&
             pv_peer_has_path(p))
        pv_ice_kick(p->ice, now);
}

/* It connected anew. Where it restarted, its keys and credentials are gone: it answers our
 * description with a new gen and a handshake. Where it did not, it only acknowledges. */
static void came_online(struct pv_peer *p, pv_ns now)
{
    switch (p->state) {
    case PV_PEER_UP:
        pv_descx_repeat(&p->descx);
        break;
    case PV_PEER_REACHING:
        pv_descx_kick(&p->descx);
        break;
    case PV_PEER_IDLE:
    case PV_PEER_FAILED:
        if (pv_peer_is_wanted(p, now))
            reach(p, "it came online", now);
        break;
    }
}

void pv_peer_set_presence(struct pv_peer *p, enum pv_presence presence, uint64_t since_us,
                          pv_ns now)
{
    if (p->is_static)
        return; /* it has no p2pvpnd that the coordinator could know of */
    enum pv_presence before = p->presence;
    bool was_online = before == PV_PRESENCE_ONLINE;
    bool same_hello = was_online && since_us == p->since_us;
    p->presence = presence;
    switch (presence) {
    case PV_PRESENCE_UNKNOWN:
        if (was_online)
            p->gone_us = pv_node_wall_us(p->node, now);
        break;
    case PV_PRESENCE_ONLINE:
        p->since_us = since_us;
        break;
    case PV_PRESENCE_OFFLINE:
        if (since_us != 0)
            p->gone_us = since_us;
        else if (was_online)
            p->gone_us = pv_node_wall_us(p->node, now);
        break;
    }
    show_presence(p, presence != before, now);
    update_reach(p, now);
    if (presence == PV_PRESENCE_OFFLINE)
        is_offline(p, was_online, now);
    else if (presence == PV_PRESENCE_ONLINE && !same_hello)
        came_online(p, now);
}

void pv_peer_node_changed(struct pv_peer *p, bool locals, pv_ns now)
{
    update_reach(p, now);
    if (p->is_static)
        return;
    if (locals && p->ice != NULL) {
        /* If the path is lost by this, our address is the reason and not the peer: the attempt goes
         * on with the same credentials. */
        p->moving = true;
        pv_ice_set_local(p->ice, p->node->ways.locals, p->node->ways.n_locals, now);
        if (pv_ice_set_nat64(p->ice, &p->node->ways.nat64) && p->descx.theirs.gen != 0)
            take_remote(p, now);
        if (pv_ice_state(p->ice) != PV_ICE_DORMANT) /* who wakes it describes it */
            pv_descx_changed(&p->descx);
    }
    if (can_signal(p))
        pv_descx_kick(&p->descx);
    if (p->state == PV_PEER_FAILED && pv_peer_is_wanted(p, now))
        reach(p, "the network changed", now);
}

/* --- their description ----------------------------------------------------------------------- */

/* By its own word a peer that left is there again; without the coordinator nobody else says so. */
static void take_back(struct pv_peer *p, pv_ns now)
{
    if (p->left_at != 0 && p->presence == PV_PRESENCE_OFFLINE && !p->node->common->signalling)
        pv_peer_set_presence(p, PV_PRESENCE_UNKNOWN, 0, now);
    p->left_at = 0;
}

/* Is there reason and room to read it? Where not, it counts as lost, and the sender repeats it. */
static bool reads_desc(struct pv_peer *p, const struct pv_desc *desc, pv_ns now)
{
    if (!pv_peer_is_node(p))
        return false; /* whoever has the file of a phone can sign as it */
    if (p->left_at != 0 && desc->gen == p->descx.theirs.gen)
        return false; /* of the life that ended */
    if (p->remote == NULL)
        p->remote = calloc(1, sizeof(*p->remote));
    return p->remote != NULL && pv_peer_pq_affords(p, desc, now);
}

/* A repetition of the one that we have shows that it is there. */
static void repeats_desc(struct pv_peer *p, const struct pv_desc *desc, pv_ns now)
{
    if (p->chain_known && p->ice != NULL)
        pv_ice_set_present(p->ice, true, now);
    pv_peer_pq_again(p, desc, now);
}

/* Whole descriptions replace each other, so none that was lost has to be made up for. */
static void keep_desc(struct pv_peer *p, const struct pv_desc *desc)
{
    *p->remote = *desc;
    p->remote->pq = NULL; /* it is not kept */
    pv_peer_prune_relays(p->remote, p->pk);
}

/* It wants a path to us, or a better one: both sides have to send. */
static void answer_desc(struct pv_peer *p, pv_ns now)
{
    if (pv_peer_rests(p, now)) /* it may have found the path dead, and our NAT may be the reason */
        p->due |= PV_PEER_DUE_NAT_DOUBT;
    if (p->state == PV_PEER_IDLE || p->state == PV_PEER_FAILED || p->ice == NULL)
        pv_peer_begin(p, "it wants to reach us", now);
    else if (pv_peer_is_relayed(p))
        pv_ice_try_others(p->ice, now);
    else if (p->state == PV_PEER_UP && pv_ice_state(p->ice) == PV_ICE_DORMANT)
        pv_ice_kick(p->ice, now);
}

/* It began anew after messages of ours went to an earlier life of it. Where it restarted it knows
 * our keys no more: packets wait for others, or the first ones would be lost. Without memory they
 * are, as on the network. In-band messages do not ask for keys, as packets do, so they are asked
 * for here. */
static void doubt_keys(struct pv_peer *p, pv_ns now)
{
    pv_session_peer_new_gen(p->session);
    (void)!pv_fp_builder_send_with(p->node->fp, p->id, 0);
    pv_session_want(p->session, now);
}

/* Candidates, suite and handshake message of what was kept. */
static void use_desc(struct pv_peer *p, const struct pv_desc *desc, bool new_gen, pv_ns now)
{
    take_remote(p, now);
    pv_ice_set_present(p->ice, true, now);
    pv_session_set_suite(p->session, pv_peer_suite(p), now);
    pv_peer_pq_take(p, desc, new_gen, now);
    if (desc->wg_len > 0)
        pv_peer_take_wg(p, desc, now);
    else
        want_keys(p, now);
    pv_peer_check_trial(p, now);
}

void pv_peer_handle_desc(struct pv_peer *p, const struct pv_desc *desc, pv_ns now)
{
    if (!reads_desc(p, desc, now))
        return;
    bool is_first = p->descx.theirs.gen == 0;
    enum pv_descx_verdict v =
        pv_descx_receive(&p->descx, (struct pv_descx_id){desc->gen, desc->rev},
                         (struct pv_descx_id){desc->re_gen, desc->re_rev});
    if (p->descx.own.gen != 0 && desc->re_gen == p->descx.own.gen)
        p->chain_known = true;
    switch (v) {
    case PV_DESCX_STALE:
        return;
    case PV_DESCX_DUPLICATE:
        repeats_desc(p, desc, now);
        return;
    case PV_DESCX_NEW_REV:
    case PV_DESCX_NEW_GEN:
        break;
    }
    bool new_gen = v == PV_DESCX_NEW_GEN;
    take_back(p, now);
    keep_desc(p, desc);
    if (new_gen)
        pv_trace_add(&p->trace, now, "their description: new, %zu candidates", desc->n_cands);
    answer_desc(p, now);
    if (p->ice == NULL)
        return; /* out of memory: the next one begins again */
    if (new_gen && !is_first)
        doubt_keys(p, now);
    use_desc(p, desc, new_gen, now);
}

/* --- datagrams in ---------------------------------------------------------------------------- */

int pv_peer_handle_stun(struct pv_peer *p, const struct pv_carrier *from, struct pv_view datagram,
                        pv_ns now)
{
    if (p->ice == NULL)
        return PV_ERR_NOT_FOUND;
    const struct pv_ice_carrier c = pv_peer_ice_carrier(from);
    return pv_ice_handle_input(p->ice, &c, &from->remote, datagram, now);
}

/* By a phone port packets come from real addresses, which only the coordinator's relay (via 0) has:
 * a member is at a virtual one. Without a phone port of ours nobody has been given that way. The
 * way back needs a channel there, which the part `relays` asks for; until it is bound an older path
 * stays, unless that leads through the phone port as well. */
static void roam_by_phone_port(struct pv_peer *p, const struct pv_carrier *from, pv_ns now)
{
    if (from->via != 0 || pv_turn_is_virtual(&from->remote) ||
        p->node->ways.phone_port.state != PV_TURNC_PHONE_PORT_OPEN)
        return;
    if (!pv_addr_equal(&p->beyond_phone_port, &from->remote))
        pv_trace_add(&p->trace, now, "now at %s, by our phone port", PV_ADDR_STR(&from->remote));
    p->beyond_phone_port = from->remote;
    pv_peer_relay_changed(p, now);
}

/* WireGuard's roaming rule for static peers (whitepaper s2.1): authenticated, so it is there. */
static void roam(struct pv_peer *p, const struct pv_carrier *from, pv_ns now)
{
    if (pv_peer_has_path(p) && pv_carrier_same(&p->path, from))
        return;
    if (pv_carrier_is_relayed(from)) {
        roam_by_phone_port(p, from, now);
        return;
    }
    p->beyond_phone_port = (struct pv_addr){.family = PV_AF_NONE};
    pv_trace_add(&p->trace, now, "now at %s", PV_ADDR_STR(&from->remote));
    pv_peer_use_path(p, from, now);
    pv_peer_set_state(p, PV_PEER_UP, "it sent from there", now);
}

/* Authenticated data from an unknown address: its NAT has moved it. The agent checks that address
 * before data is sent there, so that nobody turns the path by passing packets on from elsewhere. */
static void heard_from(struct pv_peer *p, const struct pv_carrier *from, size_t len, pv_ns now)
{
    if (p->is_static) {
        roam(p, from, now);
        return;
    }
    if (p->ice == NULL && p->left_at == 0 && pv_node_takes_part(p->node))
        pv_peer_begin(p, "it sent to us", now);
    if (p->ice != NULL) {
        const struct pv_ice_carrier c = pv_peer_ice_carrier(from);
        pv_ice_note_stray(p->ice, &c, &from->remote, len, now);
    }
}

int pv_peer_handle_initiation(struct pv_peer *p, struct pv_wg_initiation *in,
                              const struct pv_carrier *from, pv_ns now)
{
    if (p->session == NULL) {
        int made = pv_peer_make_session(p, NULL, now);
        if (made != PV_OK)
            return made;
    }
    if (p->left_at != 0 && now < p->left_at + PV_PEER_LEFT_FOR)
        return PV_ERR_STATE;
    bool to_newest = in->device == p->node->keys.device;
    int r = pv_session_handle_initiation(p->session, in, PV_SESSION_BY_UDP, now);
    if (r == PV_OK && to_newest)
        pv_peer_note_own_key(p);
    /* Both sides began at once, and our initiation stands; it may never have reached the peer. */
    if (r == PV_ERR_REFUSED)
        pv_peer_try_back(p, from, now);
    if (r != PV_OK)
        return r;
    p->talk->last_from = *from;
    p->sought = (struct pv_peer_sought){
        .at = now, .by_phone_port = pv_carrier_is_relayed(from), .family = from->remote.family};
    take_back(p, now);
    if (p->is_static || !pv_peer_has_path(p) || !pv_carrier_same(&p->path, from))
        heard_from(p, from, PV_WGMSG_INITIATION_LEN, now);
    return PV_OK;
}

int pv_peer_handle_reply(struct pv_peer *p, uint8_t type, struct pv_view msg,
                         const struct pv_carrier *from, pv_ns now)
{
    if (p->session == NULL)
        return PV_ERR_STATE;
    int r = type == PV_WGMSG_COOKIE ? pv_session_handle_cookie(p->session, msg, now)
                                    : pv_session_handle_response(p->session, msg, now);
    /* A response that fails to authenticate answers our own initiation, so the keys or the
     * preshared key differ. */
    if (type == PV_WGMSG_RESPONSE && (r == PV_OK || r == PV_ERR_AUTH))
        p->misfit = r != PV_OK;
    if (r == PV_OK && type == PV_WGMSG_RESPONSE)
        take_back(p, now);
    if (r == PV_OK && type == PV_WGMSG_RESPONSE && p->is_static)
        roam(p, from, now);
    else if (r == PV_OK && type == PV_WGMSG_RESPONSE)
        pv_peer_proven_at(p, from, now);
    return r;
}

void pv_peer_goodbye(struct pv_peer *p, pv_ns now)
{
    if (p->is_static)
        return;
    /* A peer that comes back is a new run of it: nothing of this one can be used again, nor an
     * answer that is under way. */
    if (p->session != NULL)
        pv_session_cancel(p->session);
    forget_ufrag(p);
    p->ice = pv_ice_free(p->ice);
    pv_descx_end(&p->descx);
    pv_peer_use_path(p, NULL, now);
    p->proven.kind = PV_CARRIER_NONE;
    pv_peer_set_state(p, PV_PEER_IDLE, "it is gone", now);
}

void pv_peer_handle_goodbye(struct pv_peer *p, pv_ns now)
{
    if (p->is_static)
        return;
    pv_peer_goodbye(p, now);
    p->left_at = now;
    if (p->presence != PV_PRESENCE_OFFLINE)
        pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, now);
}

void pv_peer_set_endpoint(struct pv_peer *p, const struct pv_addr *addr, pv_ns now)
{
    const struct pv_carrier to = {.kind = PV_CARRIER_UDP, .remote = *addr};
    pv_peer_use_path(p, &to, now);
    pv_peer_set_state(p, PV_PEER_UP, "endpoint configured", now);
}

/* Where the path through a relay leads: the agent chooses for members, static peers are where they
 * were heard by the phone port. False: no path through a relay is wanted. */
static bool relayed_path(const struct pv_peer *p, struct pv_ice_path *ret_path)
{
    *ret_path = (struct pv_ice_path){.carrier = {.kind = PV_ICE_CARRIER_CHANNEL},
                                     .remote = p->beyond_phone_port};
    if (p->is_static)
        return p->beyond_phone_port.family != PV_AF_NONE;
    return p->ice != NULL && pv_ice_selected(p->ice, ret_path) == PV_OK &&
           ret_path->carrier.kind != PV_ICE_CARRIER_UDP;
}

void pv_peer_relay_changed(struct pv_peer *p, pv_ns now)
{
    struct pv_ice_path path;
    struct pv_carrier c;
    if (!relayed_path(p, &path))
        return;
    if (pv_peer_carrier(p, &path, &c)) {
        bool same = pv_peer_has_path(p) && pv_carrier_same(&p->path, &c) &&
                    p->path.kind == c.kind && p->path.sock == c.sock &&
                    p->path.channel == c.channel;
        if (same && pv_addr_equal(&p->path.relay, &c.relay))
            return;
        pv_peer_use_path(p, &c, now);
        pv_peer_set_state(p, PV_PEER_UP, "through the relay", now);
    } else if (pv_peer_is_relayed(p)) {
        pv_trace_add(&p->trace, now, "the relay does not carry us now: waiting for it");
        pv_peer_use_path(p, NULL, now);
        p->relay.chosen = true;
    }
}

void pv_peer_forget_local(struct pv_peer *p, pv_ns now)
{
    struct pv_carrier path = p->path;
    path.local = (struct pv_addr){.family = PV_AF_NONE};
    pv_trace_add(&p->trace, now, "our address is gone: sending from another one");
    use_path(p, &path, p->relay.far, now); /* it ends where it did */
}

/* --- the fast path's facts ------------------------------------------------------------------- */

void pv_peer_handle_punt(struct pv_peer *p, const struct pv_fp_punt *punt, pv_ns now)
{
    switch (punt->kind) {
    case PV_FP_PUNT_NEED_PATH:
        pv_peer_want(p, "packets wait", now);
        break;
    case PV_FP_PUNT_NEED_KEYS:
        p->wanted_at = now;
        wake(p, now); /* a handshake over a dead path would be repeated for 90 s */
        rouse(p, now);
        update_reach(p, now);
        if (p->session != NULL)
            pv_session_want(p->session, now);
        break;
    case PV_FP_PUNT_ACTIVE:
        pv_peer_sample(p, now);
        break;
    case PV_FP_PUNT_STRAY:
        heard_from(p, &punt->from, punt->count, now);
        pv_peer_strayed(p, &punt->from, now);
        break;
    case PV_FP_PUNT_KEYS_CONFIRMED:
        /* Our answer was read there, so the peer is there. */
        if (!p->is_static && p->left_at == 0 && p->talk != NULL &&
            pv_carrier_same(&punt->from, &p->talk->last_from))
            pv_peer_proven_at(p, &punt->from, now);
        if (p->session != NULL)
            pv_session_confirm(p->session, punt->index, now);
        break;
    case PV_FP_PUNT_DENIED:
        pv_peer_note_denied(p, punt, now);
        break;
    case PV_FP_PUNT_DATAGRAM:
    case PV_FP_PUNT_INBAND:
    case PV_FP_PUNT_REPORT:
    case PV_FP_PUNT_PROBE:
    case PV_FP_PUNT_TOO_BIG:
        break; /* the engine's */
    }
}

/* --- settling -------------------------------------------------------------------------------- */

/* When all checks failed, wishes begin no other attempt before the deadline; after mere silence
 * they do. */
static void attempt_failed(struct pv_peer *p, pv_ns now)
{
    bool checked = p->ice != NULL && pv_ice_state(p->ice) == PV_ICE_FAILED;
    if (p->path_state == PV_PATH_STATE_TRIAL)
        pv_peer_use_path(p, NULL, now);
    pv_peer_set_state(p, PV_PEER_FAILED,
                      checked ? "no check was answered" : "nothing answered for 30 s", now);
    p->failure = checked ? PV_PEER_FAILURE_CHECKS : PV_PEER_FAILURE_UNANSWERED;
    p->deadline = now + (checked && p->retry < PV_PEER_SILENCE ? PV_PEER_SILENCE : p->retry);
    p->retry = p->retry < PV_PEER_RETRY_SECOND ? PV_PEER_RETRY_SECOND : PV_PEER_RETRY_MAX;
    /* The next packet may ask again. */
    struct pv_fp_live *l = live_of(p);
    if (l != NULL)
        pv_fp_live_rearm_path(l);
}

static void take_ice_event(struct pv_peer *p, const struct pv_ice_event *ev, pv_ns now)
{
    struct pv_carrier c;
    switch (ev->type) {
    case PV_ICE_EV_SELECTED:
        if (!pv_peer_carrier(p, &ev->path, &c)) {
            p->relay.chosen = true;
            break;
        }
        use_path(p, &c, c.kind == PV_CARRIER_UDP && ev->path.remote_type == PV_ICE_RELAY, now);
        pv_peer_set_state(p, PV_PEER_UP,
                          pv_peer_is_relayed(p) ? "through the relay" : "a path answers", now);
        break;
    case PV_ICE_EV_LOST:
        if (p->path_state == PV_PATH_STATE_TRIAL)
            break; /* another than the one that works */
        pv_peer_use_path(p, NULL, now);
        if (pv_peer_is_wanted(p, now) && p->moving) {
            /* Only our own address is another: their answers and keys are as good as before. */
            pv_peer_set_state(p, PV_PEER_REACHING, "our address changed", now);
            p->deadline = now + PV_PEER_REACH_TIME;
        } else if (pv_peer_is_wanted(p, now)) {
            pv_peer_begin(p, "the path is gone", now);
        } else {
            pv_peer_set_state(p, PV_PEER_IDLE, "the path is gone, and nobody needs it", now);
        }
        break;
    case PV_ICE_EV_SUSPECT:
        if (p->path_state == PV_PATH_STATE_TRIAL)
            break;
        if (pv_peer_has_path(p))
            p->path_state = PV_PATH_STATE_SUSPECT;
        p->news |= PV_PEER_FACT_PATH;
        update_reach(p, now);
        if (p->presence == PV_PRESENCE_OFFLINE) {
            pv_peer_goodbye(p, now);
            break;
        }
        pv_descx_changed(&p->descx); /* the other side checks too */
        break;
    case PV_ICE_EV_ECHO:
        p->due |= PV_PEER_DUE_ECHO;
        break;
    case PV_ICE_EV_LATE:
        p->due |= PV_PEER_DUE_NAT_DOUBT;
        if (live_of(p) != NULL)
            pv_fp_live_doubt(live_of(p));
        if (pv_peer_is_silent(p, now)) /* their NAT may have forgotten us, which they cannot see */
            pv_descx_changed(&p->descx);
        break;
    case PV_ICE_EV_CANDIDATES_CHANGED:
        pv_descx_changed(&p->descx);
        break;
    case PV_ICE_EV_STATE:
        if (ev->state == PV_ICE_FAILED && p->state == PV_PEER_REACHING && p->descx.acked)
            attempt_failed(p, now);
        if (p->path_state == PV_PATH_STATE_SUSPECT &&
            (ev->state == PV_ICE_CONNECTED || ev->state == PV_ICE_COMPLETED)) {
            p->path_state = PV_PATH_STATE_GOOD;
            p->news |= PV_PEER_FACT_PATH;
            update_reach(p, now);
        }
        break;
    }
}

/* The agent's events come first: they set the path that the session's messages take. */
void pv_peer_settle(struct pv_peer *p, pv_ns now)
{
    pv_peer_settle_mtu(p, now);
    struct pv_ice_event ev;
    while (p->ice != NULL && pv_ice_poll_event(p->ice, &ev) == PV_OK)
        take_ice_event(p, &ev, now);
    p->moving = false;
    pv_peer_settle_silence(p);
    update_reach(p, now);
    if (p->session != NULL)
        pv_peer_pump_session(p, now);
    if (p->ice != NULL)
        pv_ice_set_known(p->ice, p->descx.acked && !p->node->ways.gathering, now);
}

/* --- time ------------------------------------------------------------------------------------ */

/* Both ends check all pairs again; who is on the relay and idle lets it be, until it is used again
 * (pv_peer_sample()). The waiting time doubles: where no direct path is possible the checks are for
 * nothing, on both sides. */
static void try_to_leave(struct pv_peer *p, pv_ns now)
{
    if (p->ice == NULL || !pv_peer_is_wanted(p, now) || pv_ice_state(p->ice) == PV_ICE_DORMANT) {
        p->leave_wait = PV_PEER_LEAVE_FIRST;
        p->leave_at = now + PV_PEER_LEAVE_MAX;
        return;
    }
    p->leave_wait = pv_min_ns(2 * p->leave_wait, pv_peer_was_direct(p, now) ? PV_PEER_LEAVE_LATELY
                                                                            : PV_PEER_LEAVE_MAX);
    p->leave_at = now + p->leave_wait;
    pv_trace_add(&p->trace, now, "trying to leave the relay");
    pv_peer_count_checks(p, PV_PATH_RELAYED);
    pv_ice_try_others(p->ice, now);
    pv_descx_changed(&p->descx);
}

void pv_peer_handle_timeout(struct pv_peer *p, pv_ns now)
{
    if (p->sample_at != PV_NEVER && now >= p->sample_at)
        pv_peer_sample(p, now); /* first: what came in meanwhile is no silence */
    if (p->session != NULL)
        pv_session_handle_timeout(p->session, now);
    if (p->ice != NULL)
        pv_ice_handle_timeout(p->ice, now);
    if (p->talk != NULL)
        pv_mtu_handle_timeout(&p->talk->mtu, now);
    pv_peer_pq_settle(p, now);
    if (now >= p->leave_at)
        try_to_leave(p, now);
    if (p->deadline == PV_NEVER || now < p->deadline)
        return;
    p->deadline = PV_NEVER;
    if (p->state == PV_PEER_REACHING) {
        attempt_failed(p, now);
    } else if (p->state == PV_PEER_FAILED) {
        if (pv_peer_is_wanted(p, now) && p->presence != PV_PRESENCE_OFFLINE) {
            reach(p, "trying again", now);
        } else {
            pv_peer_set_state(p, PV_PEER_IDLE, "nobody needs it", now);
        }
    }
}

pv_ns pv_peer_next_timeout(const struct pv_peer *p)
{
    pv_ns next =
        pv_min_ns(pv_min_ns(p->deadline, p->sample_at), pv_min_ns(p->resolve_at, p->leave_at));
    next = pv_min_ns(next, p->hard.wake);
    if (p->talk != NULL)
        next = pv_min_ns(next, pv_mtu_next_timeout(&p->talk->mtu));
    next = pv_min_ns(next, pv_peer_pq_next(p));
    if (p->session != NULL)
        next = pv_min_ns(next, pv_session_next_timeout(p->session));
    if (p->ice != NULL) {
        next = pv_min_ns(next, pv_ice_next_timeout(p->ice));
        next = pv_min_ns(next, pv_descx_next_timeout(&p->descx));
    }
    return next;
}
