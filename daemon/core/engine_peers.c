/* SPDX-License-Identifier: MIT */
/* The table of peers; what workers hand up goes to its owner here. */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"
#include "proto/stun/demux.h"

/* Attempts to reach a peer for whom packets wait begin at least so often. */
#define HURRY_REACHING PV_S(120)

static size_t slot_of(uint32_t id)
{
    return id & (PV_FP_MAX_PEERS - 1);
}

struct pv_peer *pv_engine_peer_by_id(struct pv_engine *e, uint32_t id)
{
    size_t slot = slot_of(id);
    struct pv_peer *p = slot < e->n_slots ? e->by_slot[slot] : NULL;
    return p != NULL && p->id == id ? p : NULL;
}

struct pv_peer *pv_engine_peer_by_pk(struct pv_engine *e, const uint8_t *pk)
{
    struct pv_peer *p;
    PV_MAP_FIND(&e->peer_map, e->peers, pk, sizeof(p->pk), p);
    return p;
}

/* --- touching ------------------------------------------------------------------------------- */

static void make_ready(struct pv_engine *e, struct pv_peer *p)
{
    if (p->ready)
        return;
    p->ready = true;
    p->ready_next = NULL;
    if (e->ready_last != NULL)
        e->ready_last->ready_next = p;
    else
        e->ready_first = p;
    e->ready_last = p;
}

static void leave_ready(struct pv_engine *e, struct pv_peer *p)
{
    struct pv_peer *prev = NULL;
    for (struct pv_peer *q = e->ready_first; q != NULL && p->ready; prev = q, q = q->ready_next) {
        if (q != p)
            continue;
        if (prev != NULL)
            prev->ready_next = p->ready_next;
        else
            e->ready_first = p->ready_next;
        if (e->ready_last == p)
            e->ready_last = prev;
        p->ready = false;
        return;
    }
}

/* It is about to be freed: nobody is told of it any more. */
static void leave_changed(struct pv_engine *e, struct pv_peer *p)
{
    struct pv_peer *prev = NULL;
    for (struct pv_peer *q = e->changed_first; q != NULL && p->facts != 0;
         prev = q, q = q->facts_next) {
        if (q != p)
            continue;
        if (prev != NULL)
            prev->facts_next = p->facts_next;
        else
            e->changed_first = p->facts_next;
        if (e->changed_last == p)
            e->changed_last = prev;
        p->facts = 0;
        return;
    }
}

/* Perhaps our own NAT forgot us. */
static void recheck_nat(struct pv_engine *e, pv_ns now)
{
    pv_engine_udp_doubt(e, now);
    pv_mapper_refresh(e->mapper, now);
}

void pv_engine_touch(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    struct pv_desc desc;
    pv_peer_settle(p, now);
    pv_engine_hard_touch(e, p, now);
    pv_peer_settle(p, now); /* what that did to the agent */
    while (pv_peer_take_desc(p, now, &desc)) {
        pv_engine_send_desc(e, p, &desc, now);
        pv_wipe(&desc, sizeof(desc));
    }
    pv_engine_send_probes(e, p);
    if (p->echo_due)
        pv_engine_ask_echo(e, p);
    p->echo_due = false;
    if (p->keepalive_due) {
        p->keepalive_due = false;
        pv_engine_inject(e, p, pv_view(NULL, 0));
    }
    if (p->path_changed) {
        p->path_changed = false;
        pv_engine_chat_peer(e, p, now);
        pv_engine_recall_path(e, p, now);
        p->ask_nat = p->ask_nat || p->doubted || !p->has_path;
        if (p->has_path && pv_carrier_is_relayed(&p->path)) {
            struct pv_relayway *relay = e->env.relays[p->path.via];
            if (p->doubted)
                pv_relayway_doubt(relay, &p->path.remote, now);
            else
                pv_relayway_healed(relay, &p->path.remote, now);
        }
    }
    if (p->ask_nat) {
        p->ask_nat = false;
        recheck_nat(e, now);
    }
    if (p->state == PV_PEER_REACHING && !e->node.online)
        pv_coordclient_hurry(e->node.coord, now + HURRY_REACHING, now);
    if (p->state == PV_PEER_REACHING && !p->subscribed && e->node.online) {
        p->subscribed = true; /* in a large network nobody asked before */
        pv_engine_subscribe(e, (const uint8_t(*)[PV_SIGN_PK_LEN]) & p->pk, 1);
    }
    pv_engine_sync_peer(e, p, now);
    pv_engine_recall_peer(e, p, now);
    pv_engine_relay_peer(e, p, now);
    pv_heap_set(&e->timers, &p->timer, pv_peer_next_timeout(p));
    make_ready(e, p);
}

void pv_engine_env_changed(struct pv_engine *e, bool locals, pv_ns now)
{
    struct pv_peer *p, *tmp;
    HASH_ITER(hh, e->peers, p, tmp)
    {
        if (p->ice == NULL && p->session == NULL)
            continue; /* never used: of thousands of members most are */
        pv_peer_env_changed(p, locals, now);
        pv_engine_touch(e, p, now);
    }
    for (size_t i = 0; i < e->n_statics; i++) {
        pv_peer_env_changed(e->statics[i], locals, now);
        pv_engine_touch(e, e->statics[i], now);
    }
}

/* --- adding and dropping -----------------------------------------------------------------------
 */

static int take_slot(struct pv_engine *e, struct pv_peer *p)
{
    size_t slot = slot_of(p->id);
    if (slot >= e->n_slots) {
        size_t n = e->n_slots == 0 ? 64 : e->n_slots;
        while (n <= slot)
            n *= 2;
        struct pv_peer **grown = realloc(e->by_slot, n * sizeof(struct pv_peer *));
        if (grown == NULL)
            return PV_ERR_NOMEM;
        memset(grown + e->n_slots, 0, (n - e->n_slots) * sizeof(struct pv_peer *));
        e->by_slot = grown;
        e->n_slots = n;
    }
    int r = pv_heap_reserve(&e->timers, HASH_COUNT(e->peers) + e->n_statics + 1);
    if (r == PV_OK)
        e->by_slot[slot] = p;
    return r;
}

static void release(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    size_t slot = slot_of(p->id);
    pv_engine_hard_gone(e, p, now);
    if (p->in_sync) {
        pv_rostersync_peer_down(e->sync, p->pk, now);
        e->env.n_in_sync--;
    }
    if (p->reached)
        pv_recall_set_reached(e->recall, p->pk, false, now);
    pv_engine_relay_drop(e, p, now);
    leave_ready(e, p);
    leave_changed(e, p);
    pv_heap_set(&e->timers, &p->timer, PV_NEVER);
    if (slot < e->n_slots && e->by_slot[slot] == p)
        e->by_slot[slot] = NULL;
    pv_peer_free(p);
}

static struct pv_prefix whole(const struct pv_addr *ip)
{
    struct pv_prefix x = {.base = *ip, .bits = (uint8_t)(8 * pv_addr_ip_len(ip))};
    x.base.port = 0;
    return x;
}

/* What a member statement says about a peer that is there already. */
static int update_member(struct pv_engine *e, struct pv_peer *p, const struct pv_member *m,
                         pv_ns now)
{
    memcpy(p->name, m->name, sizeof(p->name));
    p->ip4 = m->ip4;
    p->ip6 = m->ip6;
    const struct pv_prefix routes[2] = {whole(&m->ip4), whole(&m->ip6)};
    int r = pv_fp_builder_set_routes(e->fp, p->id, routes, 2);
    if (r == PV_OK)
        pv_engine_chat_peer(e, p, now);
    return r;
}

int pv_engine_peer_add(struct pv_engine *e, const struct pv_member *m, pv_ns now)
{
    struct pv_peer *p = pv_engine_peer_by_pk(e, m->node);
    if (p != NULL && memcmp(p->transport, m->transport, sizeof(p->transport)) != 0) {
        pv_engine_peer_drop(e, p,
                            now); /* it came back with another key: nothing of the old one holds */
        p = NULL;
    }
    if (p != NULL)
        return update_member(e, p, m, now);

    int r = pv_peer_new_member(&p, &e->env, m->node, m->transport);
    if (r != PV_OK)
        return r;
    PV_MAP_ADD(&e->peer_map, e->peers, pk, p, r);
    if (r != PV_OK) {
        pv_peer_free(p);
        return r;
    }
    r = take_slot(e, p);
    if (r == PV_OK)
        r = update_member(e, p, m, now);
    if (r != PV_OK)
        pv_engine_peer_drop(e, p, now);
    return r;
}

void pv_engine_peer_drop(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    PV_MAP_DEL(e->peers, p);
    release(e, p, now);
}

void pv_engine_drop_members(struct pv_engine *e, pv_ns now)
{
    struct pv_peer *p, *tmp;
    HASH_ITER(hh, e->peers, p, tmp)
    pv_engine_peer_drop(e, p, now);
}

static int remember_routes(struct pv_engine *e, const struct pv_static_peer *conf)
{
    if (conf->n_allowed == 0)
        return PV_OK;
    struct pv_prefix *grown = realloc(e->static_routes, (e->n_static_routes + conf->n_allowed) *
                                                            sizeof(*e->static_routes));
    if (grown == NULL)
        return PV_ERR_NOMEM;
    e->static_routes = grown;
    memcpy(grown + e->n_static_routes, conf->allowed, conf->n_allowed * sizeof(*grown));
    e->n_static_routes += conf->n_allowed;
    return PV_OK;
}

void pv_engine_find_endpoint(struct pv_engine *e, struct pv_peer *p, pv_ns now)
{
    struct pv_addr addr;
    p->resolve_at = PV_NEVER;
    if (p->endpoint_host[0] == '\0')
        return;
    if (pv_addr_parse_ip(p->endpoint_host, &addr) == PV_OK) {
        addr.port = p->endpoint_port;
        pv_peer_set_endpoint(p, &addr, now);
        return;
    }
    struct pv_job *job = pv_job_new(PV_JOB_RESOLVE);
    if (job == NULL)
        return;
    memcpy(job->u.resolve.host, p->endpoint_host, sizeof(job->u.resolve.host));
    job->u.resolve.port = p->endpoint_port;
    pv_engine_job(e, job, PV_JP_STATIC_HOST, p->id);
}

int pv_engine_add_static(struct pv_engine *e, const struct pv_static_peer *conf, pv_ns now)
{
    struct pv_peer *p;
    if (e->n_statics == PV_ENGINE_MAX_STATIC)
        return PV_ERR_LIMIT;
    struct pv_peer_static s = {.persistent_keepalive = conf->persistent_keepalive,
                               .suite = conf->suite};
    memcpy(s.public_key, conf->public_key, sizeof(s.public_key));
    memcpy(s.psk, conf->preshared_key, sizeof(s.psk));
    int r = pv_peer_new_static(&p, &e->env, &s, now);
    pv_wipe(&s, sizeof(s));
    if (r != PV_OK)
        return r;
    memcpy(p->name, conf->name, sizeof(p->name));
    memcpy(p->endpoint_host, conf->endpoint_host, sizeof(p->endpoint_host));
    p->endpoint_port = conf->endpoint_port;
    r = take_slot(e, p);
    if (r == PV_OK)
        r = pv_fp_builder_set_routes(e->fp, p->id, conf->allowed, conf->n_allowed);
    if (r == PV_OK)
        r = remember_routes(e, conf);
    if (r != PV_OK) {
        release(e, p, now);
        return r;
    }
    e->statics[e->n_statics++] = p;
    pv_engine_find_endpoint(e, p, now);
    pv_engine_touch(e, p, now);
    return PV_OK;
}

/* --- by name -------------------------------------------------------------------------------------
 */

static struct pv_peer *find_static(struct pv_engine *e, const char *text)
{
    uint8_t key[32];
    bool is_key = pv_wgkey_parse(text, key) == PV_OK;
    for (size_t i = 0; i < e->n_statics; i++) {
        struct pv_peer *p = e->statics[i];
        if (strcmp(p->name, text) == 0 || (is_key && memcmp(p->transport, key, sizeof(key)) == 0))
            return p;
    }
    return NULL;
}

/* "bob.home" and "bob.home.p2p" are bob in network home. */
static const struct pv_member *find_name(struct pv_engine *e, const char *text)
{
    char name[PV_NAME_BUF];
    size_t label = strcspn(text, ".");
    if (pv_name_parse(text, label, name) != PV_OK)
        return NULL;
    if (text[label] == '.') {
        const char *network = pv_roster_network(e->node.roster)->name;
        const char *rest = text + label + 1;
        size_t n = strlen(network);
        if (strncmp(rest, network, n) != 0 || (rest[n] != '\0' && strcmp(rest + n, ".p2p") != 0))
            return NULL;
    }
    return pv_roster_by_name(e->node.roster, name);
}

struct pv_peer *pv_engine_find_peer(struct pv_engine *e, const char *text)
{
    const struct pv_member *m = NULL;
    struct pv_addr ip;
    uint8_t key[32];
    if (e->node.roster != NULL) {
        if (pv_addr_parse_ip(text, &ip) == PV_OK)
            m = pv_roster_by_ip(e->node.roster, &ip);
        else if (pv_key_parse(text, key) == PV_OK)
            m = pv_roster_by_node(e->node.roster, key);
        else
            m = find_name(e, text);
    }
    if (m != NULL)
        return pv_engine_peer_by_pk(e, m->node);
    return find_static(e, text);
}

/* --- datagrams -----------------------------------------------------------------------------------
 */

static void take_stun(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                      pv_ns now)
{
    char ufrag[PV_ICE_UFRAG_MAX + 1] = {0};
    char key[PV_ICE_UFRAG_MAX + 1] = {0};
    struct pv_peer *p = NULL;
    if (pv_engine_relay_input(e, from, data, now))
        return;
    if (from->kind == PV_CARRIER_STREAM && from->remote.family == PV_AF_NONE)
        return; /* nobody but the relay itself speaks there */
    if (pv_engine_life_input(e, from, data, now))
        return;
    if (from->kind == PV_CARRIER_UDP && from->sock != 0 && from->sock < PV_LIFE_SOCK &&
        !pv_engine_hard_input(e, from, data, now))
        return;
    if (pv_ice_request_ufrag(data, ufrag) == PV_OK) {
        memcpy(key, ufrag, strlen(ufrag));
        p = pv_peer_by_ufrag(&e->env, key);
    } else if (data.len >= 20) {
        uint32_t owner = pv_stunroute_owner(e->stunroute, data.ptr + 8);
        if (owner == PV_STUN_OWNER_GATHERER && from->kind == PV_CARRIER_UDP) {
            if (pv_gatherer_handle_input(e->gatherer, &from->remote, data, now) == PV_OK) {
                pv_udpwatch_heard(&e->udp, now);
                pv_engine_settle(e, now); /* a new public address goes out at once */
            } else
                pv_log(e->node.log, PV_LOG_DEBUG, "what=\"STUN answer not taken\"");
            return;
        }
        if (owner == PV_STUN_OWNER_MAPPER) {
            if (from->kind == PV_CARRIER_UDP &&
                pv_mapper_handle_stun(e->mapper, &from->remote, data, now) == PV_OK)
                pv_engine_settle(e, now);
            return;
        }
        if (owner > PV_STUN_OWNER_PEERS)
            p = pv_engine_peer_by_id(e, owner - PV_STUN_OWNER_PEERS);
    }
    if (p == NULL)
        return;
    int r = pv_peer_handle_stun(p, from, data, now);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"STUN dropped\" why=\"%s\"", p->name,
               pv_strstatus(r));
    pv_engine_touch(e, p, now);
}

/* More handshakes than usual within a second: ask for cookies (whitepaper s5.3). */
static bool count_load(struct pv_engine *e, pv_ns now)
{
    if (now - e->load_since >= PV_S(1)) {
        e->under_load = e->load_count > PV_ENGINE_LOAD;
        e->load_since = now;
        e->load_count = 0;
    }
    e->load_count++;
    return e->under_load || e->load_count > PV_ENGINE_LOAD;
}

static void answer_cookie(struct pv_engine *e, const struct pv_carrier *from, struct pv_view msg,
                          pv_ns now)
{
    if (e->n_answers == PV_ENGINE_MAX_ANSWERS)
        return;
    struct pv_engine_transmit *tx = &e->answers[e->n_answers];
    uint8_t reply[PV_WGMSG_COOKIE_LEN];
    pv_cookie_reply(e->cookies, msg, &from->remote, now, reply);
    if (pv_carrier_is_relayed(from)) {
        e->n_answers +=
            pv_engine_relay_wrap(e, from->via, &from->remote, pv_view(reply, sizeof(reply)), tx);
        return;
    }
    e->n_answers++;
    tx->sock = from->sock;
    tx->stream = 0;
    tx->ttl = 0;
    tx->local = from->local;
    tx->dst = from->remote;
    tx->len = sizeof(reply);
    memcpy(tx->buf, reply, sizeof(reply));
}

static struct pv_peer *peer_by_transport(struct pv_engine *e, const uint8_t *transport)
{
    const struct pv_member *m =
        e->node.roster == NULL ? NULL : pv_roster_by_transport(e->node.roster, transport);
    if (m != NULL)
        return pv_engine_peer_by_pk(e, m->node);
    for (size_t i = 0; i < e->n_statics; i++) {
        if (memcmp(e->statics[i]->transport, transport, sizeof(e->statics[i]->transport)) == 0)
            return e->statics[i];
    }
    return NULL;
}

static void take_initiation(struct pv_engine *e, const struct pv_carrier *from, struct pv_view msg,
                            pv_ns now)
{
    struct pv_wg_initiation in;
    struct pv_peer *p = NULL;
    if (pv_wgmsg_identify(&e->device, msg, &in) == PV_OK) {
        p = peer_by_transport(e, in.static_pk);
        if (p == NULL) {
            e->stranger.from = from->remote;
            memcpy(e->stranger.key, in.static_pk, sizeof(e->stranger.key));
        }
    }
    if (p != NULL) {
        int r = pv_peer_handle_initiation(p, &in, from, now);
        if (r != PV_OK)
            pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"initiation refused\" why=\"%s\"",
                   p->name, pv_strstatus(r));
        pv_engine_touch(e, p, now);
    }
    pv_wg_initiation_wipe(&in);
}

static void take_handshake(struct pv_engine *e, const struct pv_carrier *from, struct pv_view msg,
                           pv_ns now)
{
    uint8_t type;
    if (pv_wgmsg_type(msg, &type) != PV_OK || type == PV_WGMSG_DATA)
        return;
    if (type != PV_WGMSG_COOKIE) {
        enum pv_cookie_verdict v =
            pv_cookie_check(e->cookies, msg, &from->remote, count_load(e, now), now);
        if (v == PV_COOKIE_REPLY)
            answer_cookie(e, from, msg, now);
        if (v != PV_COOKIE_ACCEPT)
            return;
    }
    if (type == PV_WGMSG_INITIATION) {
        take_initiation(e, from, msg, now);
        return;
    }
    struct pv_peer *p = pv_peer_by_index(&e->env, pv_wgmsg_receiver(msg));
    if (p == NULL)
        return;
    int r = pv_peer_handle_reply(p, type, msg, from, now);
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_DEBUG, "peer=%s what=\"handshake refused\" why=\"%s\"", p->name,
               pv_strstatus(r));
    pv_engine_touch(e, p, now);
}

/* A datagram that is not transport data. */
static void take_datagram(struct pv_engine *e, const struct pv_carrier *from, struct pv_view data,
                          pv_ns now)
{
    switch (pv_demux(data)) {
    case PV_DEMUX_STUN:
        take_stun(e, from, data, now);
        break;
    case PV_DEMUX_WG_INITIATION:
    case PV_DEMUX_WG_RESPONSE:
    case PV_DEMUX_WG_COOKIE:
        take_handshake(e, from, data, now);
        break;
    case PV_DEMUX_WG_DATA:
    case PV_DEMUX_CHANNEL:
    case PV_DEMUX_JUNK:
        break;
    }
}

void pv_engine_handle_punt(struct pv_engine *e, const struct pv_fp_punt *punt, pv_ns now)
{
    if (punt->kind == PV_FP_PUNT_DATAGRAM) {
        take_datagram(e, &punt->from, punt->bytes, now);
    } else if (punt->kind == PV_FP_PUNT_TOO_BIG) {
        pv_engine_too_big(e, punt, now);
    } else {
        struct pv_peer *p = pv_engine_peer_by_id(e, punt->peer);
        if (p == NULL)
            return;
        if (punt->kind == PV_FP_PUNT_INBAND)
            pv_engine_take_inband(e, p, punt->bytes, now);
        else
            pv_peer_handle_punt(p, punt, now);
        /* what came in-band may have ended the membership that made the peer */
        p = pv_engine_peer_by_id(e, punt->peer);
        if (p != NULL && punt->kind == PV_FP_PUNT_INBAND)
            pv_peer_strayed(p, &punt->from, now);
        if (p != NULL)
            pv_engine_touch(e, p, now);
    }
    pv_engine_settle(e, now);
}
