/* SPDX-License-Identifier: MIT */
/* Answers the requests of nodes. One row in the table at the end says for each request who may ask
 * it and which function answers. Every request gets exactly one answer, at once or when the store
 * has answered. */
#include <string.h>

#include "coordinator/core/conn.h"
#include "coordinator/core/coord_int.h"
#include "coordinator/core/member/askers.h"
#include "crypto/ct.h"

enum {
    GUEST_RATE =
        5, /* ours: requests a second of a connection that is no member's: a join is four */
    GUEST_BURST = 50, /* ours: of them at once */
};

/* One request on its way through its handler. */
struct request {
    struct pv_coord *c;
    struct pv_conn *s;
    struct pv_ctl_msg *msg; /* NULL: another one has taken it and answers later */
    pv_ns now;
};

static void handle_hello(struct request *q)
{
    pv_hello_handle(q->c, q->s, &q->msg, q->now);
}

/* --- statements ------------------------------------------------------------------------------ */

/* The node says where it stands, and is believed: a lie only brings it statements that it has
 * already. The page is made in its turn. */
static void handle_pull(struct request *q)
{
    struct pv_conn *s = q->s;
    size_t at = pv_cnet_seek(s->net, &q->msg->u.pull);
    bool goes_on = s->log.state == PV_CONN_LOG_PAGING && at == s->log.at;
    s->log.at = at;
    s->log.pull_id = q->msg->id;
    pv_bulk_want(q->c, s, goes_on);
}

/* Gives a guest the chain from the network's root to its invite, which it checks before it signs
 * anything. */
static void handle_fetch(struct request *q)
{
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_STATEMENTS);
    size_t n = pv_cnet_chain(s->net, msg->u.fetch.invite, items);
    if (n == 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_UNKNOWN_INVITE, pv_answer_text(PV_CTL_E_UNKNOWN_INVITE));
        return;
    }
    m.u.statements = (struct pv_ctl_statements){.n = n, .items = items};
    pv_answer_send(s, &m);
}

/* --- what goes through the store ------------------------------------------------------------- */

/* A create with the secret of the URL is always allowed; with --open one without it is, within the
 * rate of its source. The comparison takes the same time for every wrong secret, or it could be
 * guessed byte by byte. */
static bool may_create(struct pv_coord *c, const struct pv_conn *s, const struct pv_ctl_put *put,
                       pv_ns now, enum pv_ctl_error *ret_error)
{
    *ret_error = PV_CTL_E_NOT_ALLOWED;
    if (put->has_secret && pv_ct_equal(put->secret, c->secret, PV_CTL_SECRET_LEN))
        return true;
    if (!c->open)
        return false;
    *ret_error = PV_CTL_E_LIMIT;
    if (pv_bucket_table_take(c->creates, &s->source, 1, now))
        return true;
    pv_coord_count(c, PV_COORD_LIMIT_CREATES);
    return false;
}

/* All members of a network share one bucket, so that a network cannot get more by having many
 * members. */
static bool network_has_room(struct pv_coord *c, struct pv_cnet *net, uint32_t n, pv_ns now)
{
    if (pv_bucket_take(&net->work, c->limits.network_rate, c->limits.network_burst, n, now))
        return true;
    pv_coord_count(c, PV_COORD_LIMIT_NETWORK);
    return false;
}

/* The answer to statements that a wrong clock would have dated. */
static const char clock_text[] = "the coordinator's clock differs from its database's: nothing is "
                                 "stored until the one that is wrong is set";

/* Hands the request to the registry, which answers through pv_request_done(). */
static void handle_change(struct request *q)
{
    struct pv_coord *c = q->c;
    struct pv_conn *s = q->s;
    struct pv_ctl_msg *msg = q->msg;
    enum pv_ctl_error e = PV_CTL_E_NONE;
    if (pv_coord_ahead(c, q->now) != 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_STORAGE, clock_text);
        return;
    }
    if (msg->type == PV_CTL_CREATE && !may_create(c, s, &msg->u.put, q->now, &e)) {
        pv_answer_refuse(s, msg, e,
                         e == PV_CTL_E_LIMIT ? pv_answer_text(e)
                                             : "creating a network needs this coordinator's URL");
        return;
    }
    /* A create has no network yet; its own bucket was looked at above. A guest's comes after its
     * invite was looked at (cnet_judge.c). */
    if (s->state == PV_CONN_MEMBER &&
        !network_has_room(c, s->net, (uint32_t)msg->u.put.n, q->now)) {
        pv_answer_refuse(s, msg, PV_CTL_E_LIMIT, pv_answer_text(PV_CTL_E_LIMIT));
        return;
    }
    struct pv_work *work = NULL;
    if (pv_work_new(msg, &work) < 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_STORAGE, pv_answer_text(PV_CTL_E_STORAGE));
        return;
    }
    q->msg = NULL; /* the work's */
    work->conn = s->id;
    work->net = msg->type == PV_CTL_CREATE ? NULL : s->net;
    memcpy(work->joiner.node, s->node, sizeof(work->joiner.node));
    memcpy(work->joiner.transport, s->transport, sizeof(work->joiner.transport));
    s->working = true;
    pv_registry_submit(&c->registry, work, pv_coord_wall(c, q->now), q->now);
}

/* Is it a guest's word about itself: that it joined at another coordinator of the network, with
 * that one's receipt, or that it leaves? */
static bool is_own_word(const struct pv_conn *s, const struct pv_ctl_item *item)
{
    struct pv_statement st;
    if (pv_statement_decode(item->statement, &st) != PV_OK)
        return false;
    return st.type == PV_ST_MEMBER
               ? item->receipt.len > 0 && memcmp(st.u.member.node, s->node, PV_SIGN_PK_LEN) == 0
               : st.type == PV_ST_LEAVE && memcmp(st.signer, s->node, PV_SIGN_PK_LEN) == 0;
}

/* Its word may rest on statements of another piece of the network: the invite, the record by which
 * the receipt counts, and the grants of the admins who made them. */
static bool is_proof(const struct pv_ctl_item *item)
{
    struct pv_statement st;
    return pv_statement_decode(item->statement, &st) == PV_OK &&
           (pv_st_does(&st, PV_DOES_GRANT) || pv_st_does(&st, PV_DOES_INVITE) ||
            pv_st_does(&st, PV_DOES_APPOINT));
}

/* A guest that joined where the network was before is known to nobody here, and nobody else brings
 * its word. */
static bool may_put(const struct pv_conn *s, const struct pv_ctl_put *put)
{
    if (s->state != PV_CONN_GUEST)
        return true;
    if (put->n < 1 || put->n > PV_CTL_GUEST_ITEMS || !is_own_word(s, &put->items[put->n - 1]))
        return false;
    for (size_t i = 0; i + 1 < put->n; i++)
        if (!is_proof(&put->items[i]))
            return false;
    return true;
}

/* A member brings whatever it has. */
static void handle_put(struct request *q)
{
    struct pv_conn *s = q->s;
    const struct pv_ctl_put *put = &q->msg->u.put;
    if (!may_put(s, put)) {
        pv_answer_refuse(s, q->msg, PV_CTL_E_NOT_ALLOWED, "a guest may only join or create");
        return;
    }
    if (s->state == PV_CONN_GUEST &&
        !pv_bucket_take(&s->net->strays, PV_CNET_STRAY_RATE, PV_CNET_STRAY_BURST, (uint32_t)put->n,
                        q->now)) {
        pv_answer_refuse(s, q->msg, PV_CTL_E_LIMIT, pv_answer_text(PV_CTL_E_LIMIT));
        return;
    }
    handle_change(q);
}

/* The operator's log has names of networks and nodes, and nothing else of them. */
static void log_done(const struct pv_coord *c, const struct pv_work *work)
{
    char key[PV_KEY_TEXT_BUF];
    struct pv_statement st;
    if (work->error != PV_CTL_E_NONE || work->net == NULL)
        return;
    const char *network = pv_roster_network(work->net->roster)->name;
    if (work->msg->type == PV_CTL_CREATE)
        pv_log(c->log, PV_LOG_INFO, "network created name=%s", network);
    else if (work->msg->type == PV_CTL_REGISTER &&
             pv_statement_decode(work->registered, &st) == PV_OK)
        pv_log(c->log, PV_LOG_INFO, "node joined network=%s name=%s node=%s", network,
               st.u.member.name, pv_key_format(work->joiner.node, key));
}

/* The connection may be gone by now; the change is stored all the same, and the node that comes
 * back finds it. */
void pv_request_done(struct pv_coord *c, struct pv_conn *s, struct pv_work *work, pv_ns now)
{
    log_done(c, work);
    if (work->error == PV_CTL_E_FULL || work->error == PV_CTL_E_LIMIT)
        pv_coord_count(c,
                       work->error == PV_CTL_E_FULL ? PV_COORD_LIMIT_FULL : PV_COORD_LIMIT_NETWORK);
    if (s == NULL || s->state == PV_CONN_CLOSING) {
        pv_work_free(work);
        return;
    }
    s->working = false;
    const struct pv_member *joined =
        work->net == NULL ? NULL : pv_roster_known(work->net->roster, s->node);
    if (joined != NULL && joined->state == PV_MEMBER_WAITING)
        pv_askers_note(work->net, s->node, &s->source, pv_coord_wall_us(c, now));
    if (work->error != PV_CTL_E_NONE) {
        pv_answer_refuse(s, work->msg, work->error, pv_answer_text(work->error));
    } else if (work->msg->type == PV_CTL_REGISTER) {
        struct pv_ctl_msg m = pv_answer_to(work->msg, PV_CTL_REGISTERED);
        m.u.registered.item =
            (struct pv_ctl_item){.statement = work->registered, .receipt = work->receipt};
        pv_answer_send(s, &m);
    } else {
        struct pv_ctl_msg m = pv_answer_to(work->msg, PV_CTL_RECEIPTS);
        m.u.receipts = (struct pv_ctl_receipts){.n = work->n_results, .results = work->results};
        pv_answer_send(s, &m);
    }
    pv_work_free(work);
}

/* --- joining --------------------------------------------------------------------------------- */

/* A join is signed with its invite's key, over the hash of this connection's handshake, so an
 * attacker cannot use one from another connection. It reserves a name and an address; nothing is
 * stored before the registration. */
static void handle_join(struct request *q)
{
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    const struct pv_ctl_join *j = &msg->u.join;
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_RESERVATION);
    enum pv_ctl_error e = PV_CTL_E_NONE;
    if (memcmp(j->node, s->node, sizeof(s->node)) != 0)
        e = PV_CTL_E_BAD_REQUEST;
    else if (pv_ctl_join_verify(j, s->hash) != PV_OK)
        e = PV_CTL_E_BAD_SIGNATURE;
    else if (pv_coord_ahead(q->c, q->now) != 0)
        e = PV_CTL_E_STORAGE;
    else
        e = pv_cnet_join(s->net, j, pv_registry_time(s->net, pv_coord_wall(q->c, q->now)), q->now,
                         &m.u.reservation);
    if (e == PV_CTL_E_FULL || e == PV_CTL_E_LIMIT)
        pv_coord_count(q->c, e == PV_CTL_E_FULL ? PV_COORD_LIMIT_FULL : PV_COORD_LIMIT_NETWORK);
    if (e != PV_CTL_E_NONE)
        pv_answer_refuse(s, msg, e, pv_answer_text(e));
    else
        pv_answer_send(s, &m);
}

/* --- presence and signals -------------------------------------------------------------------- */

/* A node may also subscribe to one that is not known here (any more): after an old backup was
 * restored members know more than the coordinator, and bring it later. The limit ends the request
 * in the middle; its earlier subscriptions stay. */
static void handle_subscribe(struct request *q)
{
    struct pv_coord *c = q->c;
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    const struct pv_ctl_subscribe *sub = &msg->u.subscribe;
    struct pv_ctl_presence nodes[PV_CTL_NODES_MAX];
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_PRESENCE);
    for (size_t i = 0; i < sub->n; i++) {
        if (!sub->on) {
            pv_broker_unsubscribe(&c->broker, s, sub->nodes[i]);
        } else {
            int r = s->n_subs < c->limits.subscriptions
                        ? pv_broker_subscribe(&c->broker, s, sub->nodes[i])
                        : PV_ERR_LIMIT;
            if (r < 0) {
                pv_coord_count(c, PV_COORD_LIMIT_SUBSCRIPTIONS);
                pv_answer_refuse(s, msg, PV_CTL_E_LIMIT,
                                 "too many subscriptions on this connection");
                return;
            }
        }
        nodes[i] = pv_broker_presence(&c->broker, s->net, sub->nodes[i]);
    }
    m.u.presence = (struct pv_ctl_presences){.n = sub->n, .nodes = nodes};
    pv_answer_send(s, &m);
}

/* The first of the network's connections whose key is above `after`. */
static size_t first_behind(const struct pv_cnet *net, const struct pv_ctl_list *list)
{
    size_t low = 0, high = list->has_after ? net->n_members : 0;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (memcmp(net->members[mid]->node, list->after, PV_SIGN_PK_LEN) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Answers with one page of the members that are online, in ascending order; `more` says that
 * another one follows behind its last key. A connection that was replaced is none. */
static void handle_list(struct request *q)
{
    struct pv_conn *s = q->s;
    struct pv_ctl_presence nodes[PV_CTL_NODES_MAX];
    struct pv_ctl_msg m = pv_answer_to(q->msg, PV_CTL_PRESENCE);
    size_t n = 0;
    bool more = false;
    for (size_t i = first_behind(s->net, &q->msg->u.list); i < s->net->n_members && !more; i++) {
        const struct pv_conn *o = s->net->members[i];
        if (o->bnode == NULL)
            continue;
        more = n == PV_CTL_NODES_MAX;
        if (!more)
            nodes[n++] = pv_broker_presence(&q->c->broker, s->net, o->node);
    }
    m.u.presence = (struct pv_ctl_presences){.n = n, .nodes = nodes, .more = more};
    pv_answer_send(s, &m);
}

/* A signal is passed on at once or refused: it describes addresses of now, so nobody would want it
 * later. The coordinator names the sender, whose key it knows; the content is sealed to the
 * receiver. */
static void handle_signal(struct request *q)
{
    struct pv_coord *c = q->c;
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    const struct pv_ctl_signal *sig = &msg->u.signal;
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_DONE);
    struct pv_ctl_msg push = {.kind = PV_CTL_PUSH, .type = PV_CTL_SIGNAL, .u.signal = *sig};
    struct pv_conn *to = pv_broker_find(&c->broker, s->net, sig->node);
    if (!pv_bucket_take(&s->signals, c->limits.signal_rate, c->limits.signal_burst, 1, q->now)) {
        pv_coord_count(c, PV_COORD_LIMIT_SIGNALS);
        pv_answer_refuse(s, msg, PV_CTL_E_LIMIT, pv_answer_text(PV_CTL_E_LIMIT));
        return;
    }
    if (to == NULL) {
        if (pv_roster_by_node(s->net->roster, sig->node) == NULL)
            pv_answer_refuse(s, msg, PV_CTL_E_UNKNOWN_NODE, "no such member");
        else
            pv_answer_refuse(s, msg, PV_CTL_E_OFFLINE, "that node is not connected");
        return;
    }
    memcpy(push.u.signal.node, s->node, PV_SIGN_PK_LEN);
    if (!pv_conn_has_push_room(to) || pv_conn_send(to, &push) < 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_BUSY, "that node reads too slowly; try again later");
        return;
    }
    c->stats.signals++;
    pv_coord_mark_ready(c, to);
    pv_answer_send(s, &m);
}

/* The store answers KEEP and COLLECT. They share the bucket of signals, as both are messages from
 * node to node. */
static void handle_copy(struct request *q)
{
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    enum pv_ctl_error error = PV_CTL_E_LIMIT;
    if (pv_bucket_take(&s->signals, q->c->limits.signal_rate, q->c->limits.signal_burst, 1, q->now))
        error = pv_copies_ask(&q->c->copies, s, msg, pv_coord_wall(q->c, q->now));
    if (error == PV_CTL_E_NONE)
        return;
    if (error == PV_CTL_E_LIMIT || error == PV_CTL_E_BUSY)
        pv_coord_count(q->c, PV_COORD_LIMIT_SIGNALS);
    pv_answer_refuse(s, msg, error, pv_answer_text(error));
}

/* The list of nodes that wait to be admitted, and from where, is for those who can admit them. */
static void handle_askers(struct request *q)
{
    struct pv_conn *s = q->s;
    struct pv_ctl_asker askers[PV_CTL_ASKERS_MAX];
    struct pv_ctl_msg m = pv_answer_to(q->msg, PV_CTL_ASKED);
    if ((pv_roster_rights(s->net->roster, s->node) & PV_RIGHT_INVITE) == 0) {
        pv_answer_refuse(s, q->msg, PV_CTL_E_NOT_ALLOWED, "for admins only");
        return;
    }
    m.u.asked.n = pv_askers_list(s->net, askers);
    m.u.asked.askers = askers;
    pv_answer_send(s, &m);
}

/* The time in the answer tells a node how wrong its clock is. */
static void handle_ping(struct request *q)
{
    struct pv_ctl_msg m = pv_answer_to(q->msg, PV_CTL_PONG);
    m.u.pong.time_us = pv_coord_wall_us(q->c, q->now);
    pv_answer_send(q->s, &m);
}

/* --- the table ------------------------------------------------------------------------------- */

enum asker {
    NEWCOMER, /* no hello yet */
    ANYBODY,  /* after its hello */
    CREATOR,  /* a guest that named no network */
    JOINER,   /* a guest of a network */
    MEMBER,
    OF_NETWORK, /* a member, or a guest */
};

/* One row for each request that lib/proto/control/ctlmsg.c can read (checked by test_coord). */
static const struct request_handler {
    enum asker asker;
    bool changes; /* goes through the store: a connection has one such request at a time */
    void (*handle)(struct request *q);
} handlers[PV_CTL_TYPE_COUNT] = {
    [PV_CTL_HELLO] = {NEWCOMER, false, handle_hello},
    [PV_CTL_PUT] = {OF_NETWORK, true, handle_put},
    [PV_CTL_PULL] = {MEMBER, false, handle_pull},
    [PV_CTL_SUBSCRIBE] = {MEMBER, false, handle_subscribe},
    [PV_CTL_LIST] = {MEMBER, false, handle_list},
    [PV_CTL_SIGNAL] = {MEMBER, false, handle_signal},
    [PV_CTL_PING] = {ANYBODY, false, handle_ping},
    [PV_CTL_FETCH] = {JOINER, false, handle_fetch},
    [PV_CTL_JOIN] = {JOINER, false, handle_join},
    [PV_CTL_REGISTER] = {JOINER, true, handle_change},
    [PV_CTL_KEEP] = {MEMBER, false, handle_copy},
    [PV_CTL_COLLECT] = {MEMBER, false, handle_copy},
    [PV_CTL_CREATE] = {CREATOR, true, handle_change},
    [PV_CTL_ASKERS] = {MEMBER, false, handle_askers},
};

bool pv_request_is_handled(enum pv_ctl_type type)
{
    return handlers[type].handle != NULL;
}

bool pv_request_must_wait(const struct pv_conn *s, const struct pv_ctl_msg *msg)
{
    /* A guest has one request at a time; a member's pings and signals pass a slow disk. Of pages
     * one is under way, as each says where the node stands. */
    if (s->state == PV_CONN_SEEKING || (msg->type == PV_CTL_PULL && s->log.pull_id != 0))
        return true;
    return s->working && (s->state == PV_CONN_GUEST || handlers[msg->type].changes);
}

/* The state of the connection says which kind of asker its node is; there is exactly one besides
 * ANYBODY. */
static bool is_allowed(const struct pv_conn *s, enum asker asker)
{
    switch (asker) {
    case NEWCOMER:
        return s->state == PV_CONN_HELLO;
    case ANYBODY:
        return true;
    case CREATOR:
        return s->state == PV_CONN_GUEST && s->net == NULL;
    case JOINER:
        return s->state == PV_CONN_GUEST && s->net != NULL;
    case MEMBER:
        return s->state == PV_CONN_MEMBER;
    case OF_NETWORK:
        return s->net != NULL;
    }
    return false;
}

/* Is the request within the connection's rate? A client that does not back off is ended. */
static bool has_rate(struct pv_coord *c, struct pv_conn *s, const struct pv_ctl_msg *msg, pv_ns now)
{
    bool known = s->state == PV_CONN_MEMBER;
    if (pv_bucket_take(&s->requests, known ? c->limits.request_rate : GUEST_RATE,
                       known ? c->limits.request_burst : GUEST_BURST, 1, now)) {
        c->stats.requests++;
        return true;
    }
    pv_coord_count(c, PV_COORD_LIMIT_REQUESTS);
    pv_answer_refuse(s, msg, PV_CTL_E_LIMIT, pv_answer_text(PV_CTL_E_LIMIT));
    if (++s->refusals > PV_CONN_REFUSALS_MAX)
        pv_coord_end(c, s, PV_CTL_E_LIMIT, "too many requests for too long", now);
    return false;
}

/* The checks go from those that every request has to pass to those of this one. The rate counts
 * refused requests too: refusing costs as well. */
void pv_request_handle(struct pv_coord *c, struct pv_conn *s, struct pv_ctl_msg *msg, pv_ns now)
{
    struct request q = {.c = c, .s = s, .msg = msg, .now = now};
    const struct request_handler *h = &handlers[msg->type];
    if (msg->kind != PV_CTL_REQUEST)
        pv_coord_end(c, s, PV_CTL_E_BAD_REQUEST, "only requests come from nodes", now);
    else if (!has_rate(c, s, msg, now))
        ; /* answered */
    else if (msg->type == PV_CTL_INVALID)
        pv_answer_refuse(s, msg, PV_CTL_E_BAD_REQUEST, msg->u.invalid);
    else if (h->handle == NULL)
        pv_answer_refuse(s, msg, PV_CTL_E_UNKNOWN_REQUEST,
                         "this coordinator does not know that request");
    else if ((h->asker == NEWCOMER) != (s->state == PV_CONN_HELLO))
        pv_answer_refuse(s, msg, PV_CTL_E_STATE, "hello comes first, once");
    else if (!is_allowed(s, h->asker))
        pv_answer_refuse(s, msg, PV_CTL_E_NOT_ALLOWED,
                         s->state == PV_CONN_GUEST ? "a guest may only join or create"
                                                   : "for guests only");
    else
        h->handle(&q);
    pv_ctl_msg_free(q.msg);
}

/* Pushes leave room for two answers of any size, so they never block requests. */
void pv_request_push(struct pv_conn *s)
{
    struct pv_ctl_presence nodes[PV_CTL_NODES_MAX];
    while (s->n_dirty > 0 && pv_conn_has_push_room(s)) {
        struct pv_ctl_msg m = {.kind = PV_CTL_PUSH, .type = PV_CTL_PRESENCE};
        m.u.presence.n = pv_broker_take_news(s, nodes, PV_CTL_NODES_MAX);
        m.u.presence.nodes = nodes;
        if (pv_conn_send(s, &m) < 0) {
            s->dead = true;
            return;
        }
    }
}
