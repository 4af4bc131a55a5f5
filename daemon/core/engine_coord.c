/* SPDX-License-Identifier: MIT */
/* What the coordinator says, and what it is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"
#include "daemon/core/member/coordinator.h"

#define HURRY_CUT_OFF PV_S(600) /* as long as an idle path is kept, DESIGN 5 */

static void set_online(struct pv_engine *e, bool online)
{
    if (e->node.online == online)
        return;
    e->node.online = online;
    pv_node_raise(&e->node, online ? PV_FACT_ONLINE : PV_FACT_OFFLINE);
}

void pv_engine_disconnect(struct pv_engine *e, pv_ns now)
{
    set_online(e, false);
    pv_coordclient_stop(e->node.coord, now);
}

/* --- connecting ------------------------------------------------------------------------------ */

void pv_engine_connect(struct pv_engine *e, struct pv_view list, enum pv_ctl_role role,
                       const uint8_t *network_id, pv_ns now)
{
    struct pv_coordinator c;
    struct pv_coordclient_target target = {.role = role, .has_network = network_id != NULL};
    e->node.as_member = role == PV_CTL_MEMBER;
    set_online(e, false);
    e->n_hosts = 0;
    if (!pv_coordlist_next(&list, &c))
        return;
    while (e->n_hosts < PV_ENGINE_MAX_HOSTS &&
           pv_coordlist_next_addr(&c.addrs, &e->hosts[e->n_hosts]))
        e->n_hosts++;
    memcpy(target.coordinator, c.pk, sizeof(target.coordinator));
    memcpy(e->coordinator_pk, c.pk, sizeof(e->coordinator_pk));
    if (network_id != NULL)
        memcpy(target.network, network_id, sizeof(target.network));
    if (role == PV_CTL_MEMBER)
        target.have = e->cursor;
    pv_engine_find_coordinator(e);
    int r = pv_coordclient_start(e->node.coord, &target, e->coord_addrs, e->n_coord_addrs, now);
    if (r != PV_OK)
        snprintf(e->coord_error, sizeof(e->coord_error), "the coordinator's key is unusable: %s",
                 pv_strstatus(r));
}

/* --- asking ------------------------------------------------------------------------------------
 */

static void request(struct pv_engine *e, struct pv_ctl_msg *msg, enum pv_coord_purpose purpose,
                    uint64_t arg)
{
    int r = pv_coordclient_request(e->node.coord, msg, PV_CP_TAG(purpose, arg));
    if (r != PV_OK)
        pv_log(e->node.log, PV_LOG_WARN, "what=\"request not sent\" why=\"%s\"", pv_strstatus(r));
}

static void pull(struct pv_engine *e, struct pv_ctl_cursor have, enum pv_coord_purpose purpose)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_PULL};
    msg.u.pull = have;
    request(e, &msg, purpose, 0);
}

void pv_engine_subscribe(struct pv_engine *e, const uint8_t (*nodes)[PV_SIGN_PK_LEN], size_t n)
{
    if (!e->node.online || n == 0)
        return;
    struct pv_ctl_msg msg = {.type = PV_CTL_SUBSCRIBE};
    msg.u.subscribe.on = true;
    msg.u.subscribe.n = n;
    msg.u.subscribe.nodes = nodes;
    request(e, &msg, PV_CP_NONE, 0);
}

/* Everybody in a small network; in a large one those in use. */
static void subscribe_again(struct pv_engine *e)
{
    uint8_t(*nodes)[PV_SIGN_PK_LEN] = calloc(PV_CTL_NODES_MAX, PV_SIGN_PK_LEN);
    size_t n = 0;
    bool all = pv_roster_count(e->node.roster) <= PV_ENGINE_SUBSCRIBE_ALL;
    struct pv_peer *p;
    if (nodes == NULL)
        return;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        if (!all && p->state == PV_PEER_IDLE && p->wanted_at == 0)
            continue;
        memcpy(nodes[n++], p->pk, PV_SIGN_PK_LEN);
        if (n == PV_CTL_NODES_MAX) {
            pv_engine_subscribe(e, (const uint8_t(*)[PV_SIGN_PK_LEN])nodes, n);
            n = 0;
        }
    }
    pv_engine_subscribe(e, (const uint8_t(*)[PV_SIGN_PK_LEN])nodes, n);
    free(nodes);
}

/* --- putting -----------------------------------------------------------------------------------
 */

struct pv_put *pv_put_free(struct pv_put *put)
{
    if (put == NULL)
        return NULL;
    if (put->token != NULL)
        pv_wipe(put->token, strlen(put->token));
    free(put->token);
    free(put->statements);
    free(put);
    return NULL;
}

void pv_engine_put(struct pv_engine *e, struct pv_put *put, pv_ns now)
{
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct pv_ctl_msg msg = {.type = PV_CTL_PUT};
    if (put->n > PV_CTL_ITEMS_MAX) {
        pv_engine_put_done(e, put, PV_CTL_E_LIMIT, now);
        return;
    }
    for (size_t i = 0; i < put->n; i++) {
        items[i].statement = pv_view(put->statements[i].raw, put->statements[i].len);
        items[i].receipt = pv_view(NULL, 0);
        const struct pv_roster_entry *x = NULL;
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        pv_statement_hash(items[i].statement, hash);
        if (e->node.roster != NULL)
            x = pv_roster_find(e->node.roster, hash);
        if (x != NULL)
            items[i].receipt = x->receipt;
    }
    msg.u.put.n = put->n;
    msg.u.put.items = items;
    put->number = ++e->next_number;
    int r = pv_coordclient_request(e->node.coord, &msg, PV_CP_TAG(PV_CP_PUT, put->number));
    if (r != PV_OK) {
        pv_engine_put_done(e, put, r == PV_ERR_STATE ? PV_CTL_E_OFFLINE : PV_CTL_E_LIMIT, now);
        return;
    }
    put->next = e->puts;
    e->puts = put;
}

static struct pv_put *take_put(struct pv_engine *e, uint64_t number)
{
    for (struct pv_put **at = &e->puts; *at != NULL; at = &(*at)->next) {
        if ((*at)->number != number)
            continue;
        struct pv_put *put = *at;
        *at = put->next;
        return put;
    }
    return NULL;
}

static void take_receipts(struct pv_engine *e, uint64_t number, const struct pv_ctl_msg *msg,
                          pv_ns now)
{
    struct pv_put *put = take_put(e, number);
    enum pv_ctl_error error = PV_CTL_E_NONE;
    if (put == NULL)
        return;
    if (msg->type != PV_CTL_RECEIPTS) {
        error = msg->type == PV_CTL_ERROR ? msg->u.failure.error : PV_CTL_E_BAD_REQUEST;
    } else {
        struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
        size_t n = 0;
        for (size_t i = 0; i < msg->u.receipts.n && i < put->n; i++) {
            const struct pv_ctl_result *res = &msg->u.receipts.results[i];
            if (res->error != PV_CTL_E_NONE) {
                error = error == PV_CTL_E_NONE ? res->error : error;
                continue;
            }
            items[n].statement = pv_view(put->statements[i].raw, put->statements[i].len);
            items[n++].receipt = res->receipt;
        }
        (void)pv_engine_add_statements(e, items, n, now);
    }
    pv_engine_put_done(e, put, error, now);
}

/* --- statements --------------------------------------------------------------------------------
 */

static int cmp_hashes(const void *a, const void *b)
{
    return memcmp(a, b, PV_STATEMENT_HASH_LEN);
}

/* Members whom the coordinator lacks statements of (a restored backup) bring them back. */
static void upload_missing(struct pv_engine *e, pv_ns now)
{
    struct pv_put *put = NULL;
    if (e->n_listed > 0)
        qsort(e->listed, e->n_listed, sizeof(*e->listed), cmp_hashes);
    for (const struct pv_roster_entry *x = pv_roster_next_entry(e->node.roster, NULL); x != NULL;
         x = pv_roster_next_entry(e->node.roster, x)) {
        if (e->n_listed > 0 &&
            bsearch(x->st.hash, e->listed, e->n_listed, sizeof(*e->listed), cmp_hashes) != NULL)
            continue;
        if (put == NULL) {
            put = calloc(1, sizeof(*put));
            if (put == NULL)
                return;
            put->statements = calloc(16, sizeof(*put->statements));
            if (put->statements == NULL) {
                pv_put_free(put);
                return;
            }
            put->kind = PV_PUT_UPLOAD;
        }
        memcpy(put->statements[put->n].raw, x->st.raw.ptr, x->st.raw.len);
        put->statements[put->n++].len = x->st.raw.len;
        if (put->n == 16) {
            pv_engine_put(e, put, now);
            put = NULL;
        }
    }
    if (put != NULL)
        pv_engine_put(e, put, now);
}

static void note_listed(struct pv_engine *e, struct pv_view statement)
{
    if (e->n_listed == e->cap_listed) {
        size_t cap = e->cap_listed == 0 ? 256 : 2 * e->cap_listed;
        uint8_t(*grown)[PV_STATEMENT_HASH_LEN] = realloc(e->listed, cap * sizeof(*grown));
        if (grown == NULL)
            return; /* uploads what is there already: harmless */
        e->listed = grown;
        e->cap_listed = cap;
    }
    pv_statement_hash(statement, e->listed[e->n_listed++]);
}

static void drop_listed(struct pv_engine *e)
{
    free(e->listed);
    e->listed = NULL;
    e->n_listed = e->cap_listed = 0;
}

/* All pages are here. Where heads still differ, compare by the whole log, once a connection. */
static void pulled(struct pv_engine *e, const struct pv_ctl_statements *st,
                   enum pv_coord_purpose purpose, pv_ns now)
{
    uint8_t head[PV_STATEMENT_HASH_LEN];
    if (purpose == PV_CP_RELIST) {
        upload_missing(e, now);
        drop_listed(e);
        return;
    }
    pv_roster_head(e->node.roster, head);
    if (st->has_head && memcmp(head, st->head, sizeof(head)) != 0 && !e->relisted) {
        e->relisted = true;
        drop_listed(e);
        pull(e, (struct pv_ctl_cursor){0}, PV_CP_RELIST);
    }
}

static void take_statements(struct pv_engine *e, const struct pv_ctl_msg *msg,
                            enum pv_coord_purpose purpose, pv_ns now)
{
    if (msg->type != PV_CTL_STATEMENTS || e->node.roster == NULL)
        return;
    const struct pv_ctl_statements *st = &msg->u.statements;
    (void)pv_engine_add_statements(e, st->items, st->n, now);
    if (e->node.roster == NULL)
        return;
    if (purpose == PV_CP_RELIST) {
        for (size_t i = 0; i < st->n; i++)
            note_listed(e, st->items[i].statement);
    } else if (st->n > 0) {
        e->cursor = st->have;
        pv_coordclient_set_have(e->node.coord, st->have);
        pv_engine_set_meta_u64(e, "cursor-epoch", st->have.epoch);
        pv_engine_set_meta_u64(e, "cursor-n", st->have.n);
    }
    if (st->more)
        pull(e, st->have, purpose);
    else if (msg->kind == PV_CTL_ANSWER)
        pulled(e, st, purpose, now);
}

/* --- presence ----------------------------------------------------------------------------------
 */

static void take_presence(struct pv_engine *e, const struct pv_ctl_presences *list, pv_ns now)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct pv_ctl_presence *x = &list->nodes[i];
        struct pv_peer *p = pv_engine_peer_by_pk(e, x->node);
        if (p == NULL)
            continue;
        enum pv_presence was = p->presence;
        uint64_t since = p->since_us;
        pv_peer_set_presence(p, x->online ? PV_PRESENCE_ONLINE : PV_PRESENCE_OFFLINE, x->since_us,
                             now);
        pv_engine_touch(e, p, now);
        if (was != p->presence || since != p->since_us)
            pv_peers_raise(e->node.peers, p, PV_PEER_FACT_PRESENCE);
    }
}

/* --- events ------------------------------------------------------------------------------------
 */

static void go_online(struct pv_engine *e, const struct pv_ctl_msg *welcome, pv_ns now)
{
    e->coord_error[0] = '\0';
    e->unknown = false;
    if (pv_enroll_is_guest(e)) {
        pv_enroll_online(e, &welcome->u.welcome);
        return;
    }
    if (e->node.roster == NULL)
        return;
    pv_log(e->node.log, PV_LOG_INFO, "what=\"coordinator connected\"");
    set_online(e, true);
    e->coord_connects++;
    e->relisted = false;
    drop_listed(e);
    pv_engine_take_servers(e, &welcome->u.welcome, now);
    pv_engine_push(e, welcome, now);
    pull(e, e->cursor, PV_CP_PULL);
    subscribe_again(e);
    e->env.signalling = true;
    pv_engine_env_changed(e, false, now);
    if (e->first_invite != NULL) {
        struct pv_put *put = e->first_invite;
        e->first_invite = NULL;
        pv_engine_put(e, put, now);
    }
}

static void go_offline(struct pv_engine *e, const char *why, pv_ns now)
{
    snprintf(e->coord_error, sizeof(e->coord_error), "%s", why);
    set_online(e, false);
    if (pv_enroll_is_guest(e)) {
        pv_enroll_offline(e, why);
        return;
    }
    pv_log(e->node.log, PV_LOG_INFO, "what=\"coordinator lost\" why=\"%s\"", why);
    while (e->puts != NULL) {
        struct pv_put *put = take_put(e, e->puts->number);
        pv_engine_put_done(e, put, PV_CTL_E_OFFLINE, now);
    }
    bool was = e->env.signalling;
    e->env.signalling = false;
    struct pv_peer *p;
    for (p = NULL; (p = pv_peers_next_member(e->node.peers, p)) != NULL;) {
        p->notes.subscribed = false;
        /* Whoever talks through it is cut off, and cannot say so once that path is gone. */
        if (was && pv_peer_is_relayed(p) && p->path.via == 0 && p->ice != NULL &&
            pv_ice_state(p->ice) != PV_ICE_DORMANT)
            pv_coordclient_hurry(e->node.coord, now + HURRY_CUT_OFF, now);
        if (p->presence == PV_PRESENCE_UNKNOWN)
            continue;
        pv_peer_set_presence(p, PV_PRESENCE_UNKNOWN, 0, now);
        pv_engine_touch(e, p, now);
    }
    pv_engine_find_coordinator(e); /* names may point elsewhere by now */
    if (e->n_coord_addrs > 0)
        pv_coordclient_set_addrs(e->node.coord, e->coord_addrs, e->n_coord_addrs, now);
    if (was)
        pv_engine_env_changed(e, false, now);
}

static void signal_answer(struct pv_engine *e, uint32_t id, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_peer *p = pv_engine_peer_by_id(e, id);
    if (p == NULL || msg->type != PV_CTL_ERROR)
        return;
    pv_trace_add(&p->trace, now, "signal: %s", pv_ctl_error_word(msg->u.failure.error));
    if (msg->u.failure.error != PV_CTL_E_OFFLINE)
        return;
    pv_peer_set_presence(p, PV_PRESENCE_OFFLINE, 0, now);
    pv_engine_touch(e, p, now);
    pv_peers_raise(e->node.peers, p, PV_PEER_FACT_AWAY);
    pv_engine_subscribe(e, (const uint8_t(*)[PV_SIGN_PK_LEN]) & p->pk, 1);
}

static void take_answer(struct pv_engine *e, const struct pv_coordclient_event *ev, pv_ns now)
{
    uint64_t arg = ev->tag & (((uint64_t)1 << 56) - 1), tag;
    const struct pv_part *owner;
    if (pv_coord_owner(e->node.coordinator, ev->tag, &owner, &tag)) {
        pv_engine_answer(e, owner, tag, ev->msg, now);
        return;
    }
    switch ((enum pv_coord_purpose)(ev->tag >> 56)) {
    case PV_CP_NONE:
        if (ev->msg->type == PV_CTL_PRESENCE)
            take_presence(e, &ev->msg->u.presence, now);
        break;
    case PV_CP_PULL:
    case PV_CP_RELIST:
        take_statements(e, ev->msg, (enum pv_coord_purpose)(ev->tag >> 56), now);
        break;
    case PV_CP_SIGNAL:
        signal_answer(e, (uint32_t)arg, ev->msg, now);
        break;
    case PV_CP_PUT:
        take_receipts(e, arg, ev->msg, now);
        break;
    case PV_CP_ENROLL:
        pv_enroll_answer(e, ev, now);
        break;
    }
}

static void take_push(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_peer *p;
    if (pv_enroll_is_guest(e) || e->node.roster == NULL)
        return;
    pv_engine_push(e, msg, now);
    switch (msg->type) {
    case PV_CTL_STATEMENTS:
        take_statements(e, msg, PV_CP_PULL, now);
        break;
    case PV_CTL_PRESENCE:
        take_presence(e, &msg->u.presence, now);
        break;
    case PV_CTL_SIGNAL:
        p = pv_engine_take_signal(e, &msg->u.signal, now);
        if (p != NULL)
            p->notes.passed_by = 0;
        break;
    case PV_CTL_BYE:
        pv_log(e->node.log, PV_LOG_INFO, "what=\"coordinator says bye\" why=%s",
               pv_ctl_error_word(msg->u.failure.error));
        if (msg->u.failure.error == PV_CTL_E_REPLACED)
            pv_node_report(&e->node,
                           "another machine connects with this node's keys: if its state was "
                           "copied, run `p2pvpnctl leave --forget` on one of them",
                           now);
        break;
    default:
        break; /* pushes have no other types */
    }
}

void pv_engine_coord_pump(struct pv_engine *e, pv_ns now)
{
    struct pv_coordclient_event ev;
    while (pv_coordclient_poll_event(e->node.coord, &ev) == PV_OK) {
        switch (ev.type) {
        case PV_COORDCLIENT_EV_ONLINE:
            go_online(e, ev.msg, now);
            break;
        case PV_COORDCLIENT_EV_REFUSED:
            if (pv_enroll_is_guest(e) && pv_enroll_refused(e, ev.msg, now))
                break;
            e->unknown =
                ev.msg->type == PV_CTL_ERROR && (ev.msg->u.failure.error == PV_CTL_E_UNKNOWN_NODE ||
                                                 ev.msg->u.failure.error == PV_CTL_E_REVOKED);
            go_offline(e,
                       ev.msg->type == PV_CTL_ERROR ? ev.msg->u.failure.message
                                                    : "the coordinator refused us",
                       now);
            break;
        case PV_COORDCLIENT_EV_OFFLINE:
            go_offline(e, ev.text, now);
            break;
        case PV_COORDCLIENT_EV_ANSWER:
            take_answer(e, &ev, now);
            break;
        case PV_COORDCLIENT_EV_PUSH:
            take_push(e, ev.msg, now);
            break;
        }
        pv_ctl_msg_free(ev.msg);
    }
}
