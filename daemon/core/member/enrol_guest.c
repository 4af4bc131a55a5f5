/* SPDX-License-Identifier: MIT */
/* enrol_guest.c - what a guest asks the coordinator, and what each answer must prove before this
 * node believes that it is a member. */
#include <stdio.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/coord/coordaddrs.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/closed.h"
#include "daemon/core/member/enrol_int.h"
#include "daemon/core/member/refusal.h"
#include "daemon/core/member/unsaved.h"

/* Ours: coordinators hand out serials of 32 bits; a clock that shows a year after 2096 is wrong. */
#define SERIAL_MAX UINT64_C(4000000000)

bool pv_enrol_ask_next(struct pv_enrol *x, pv_ns now)
{
    if (x->create || !pv_coord_next(x->node, now))
        return false;
    x->step = PV_ENROL_CONNECT;
    x->deadline = pv_min_ns(x->until, now + PV_ENROL_ANSWER);
    return true;
}

/* Refusals that a user can do something about have words of their own; the others show what the
 * coordinator wrote. Coordinators of one list do not speak with each other: an invite that was made
 * at one of them is unknown at the others. */
static void explain_refusal(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_ERROR) {
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, "the coordinator's answer makes no sense",
                      "see its log; is it of this version?");
        return;
    }
    const enum pv_ctl_error error = msg->u.failure.error;
    if (error == PV_CTL_E_UNKNOWN_INVITE || error == PV_CTL_E_UNKNOWN_NETWORK) {
        if (x->unknown == PV_CTL_E_NONE) /* the others answer soon, or the user reads this */
            x->until = pv_min_ns(x->until, now + 2 * PV_ENROL_ANSWER);
        x->unknown = error;
        if (pv_enrol_ask_next(x, now))
            return;
    }
    const struct pv_refusal *f = pv_refusal_find(error);
    if (f != NULL)
        pv_enrol_fail(x, f->code, now, f->why, f->remedy);
    else
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, msg->u.failure.message, "try again");
}

/* --- asking ----------------------------------------------------------------------------------- */

static void ask(struct pv_enrol *x, struct pv_ctl_msg *msg, enum pv_enrol_step step)
{
    x->step = step;
    int r = pv_coord_ask(x->node, &pv_part_enrol, msg, (uint64_t)step);
    if (r != PV_OK) /* the deadline says so, unless a new connection is made before */
        snprintf(x->why, sizeof(x->why), "a request could not be sent: %s", pv_strstatus(r));
}

/* The secret in the coordinator's URL allows a network to be made there: the message is wiped,
 * since whoever has it can make others. */
static void ask_create(struct pv_enrol *x)
{
    const struct pv_created *c = &x->created;
    const struct pv_ctl_item items[] = {
        {.statement = pv_made_view(&c->network)},
        {.statement = pv_view(c->coordinators.raw, c->coordinators.len)},
        {.statement = pv_made_view(&c->admin)},
        {.statement = pv_made_view(&c->member)},
    };
    struct pv_ctl_msg msg = {.type = PV_CTL_CREATE};
    msg.u.put.has_secret = x->has_secret;
    memcpy(msg.u.put.secret, x->secret, sizeof(msg.u.put.secret));
    msg.u.put.n = PV_ARRAY_LEN(items);
    msg.u.put.items = items;
    ask(x, &msg, PV_ENROL_CREATE);
    pv_wipe(&msg, sizeof(msg));
}

/* The network's record says from the first where else the coordinator is (another address family)
 * and where it speaks TLS, and so do tokens: a machine whose network lets only that out can join.
 */
static void learn_addrs(struct pv_enrol *x, const char *const *texts, size_t n, bool tls)
{
    const char *kept[PV_CTL_ADDRS_MAX];
    const struct pv_coordlist_more more =
        pv_coordaddrs_sift(&x->node->coord_info.addr, texts, n, tls, kept);
    uint8_t list[sizeof(x->list)];
    struct pv_made_long made;
    size_t len = 0;
    int r = pv_coordlist_with(pv_view(x->list, x->list_len), &more, list, sizeof(list), &len);
    if (r < 0 || len == x->list_len)
        return;
    r = pv_make_coordinators(x->network_id, pv_signer_kept(&x->node->identity->root), 1,
                             pv_view(list, len), &made);
    if (r < 0)
        return; /* without it the network is as good, but for those machines */
    memcpy(x->list, list, len);
    x->list_len = len;
    x->created.coordinators = made;
}

/* The coordinator is reached, and its key is the one of the URL or token. A network that is made
 * here records all addresses it tells of, so that members have more than the one in the URL. */
static void guest_is_there(struct pv_enrol *x, const struct pv_ctl_welcome *w)
{
    if (x->create) {
        learn_addrs(x, w->stun, w->n_stun, false);
        learn_addrs(x, w->tls.addrs, w->tls.n, true);
        ask_create(x);
        return;
    }
    struct pv_ctl_msg msg = {.type = PV_CTL_FETCH};
    memcpy(msg.u.fetch.invite, x->invite_pk, sizeof(msg.u.fetch.invite));
    ask(x, &msg, PV_ENROL_FETCH);
}

/* The coordinator refused the guest's hello. It may change its mind about some reasons: then the
 * connection is tried again until the deadline. */
static void guest_is_refused(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    enum pv_ctl_error error = msg->u.failure.error;
    if (error != PV_CTL_E_LIMIT && error != PV_CTL_E_STORAGE && error != PV_CTL_E_BUSY &&
        error != PV_CTL_E_SHUTDOWN)
        explain_refusal(x, msg, now);
}

void pv_enrol_guest_push(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    x->deadline = x->until; /* it is there */
    if (msg->type == PV_CTL_WELCOME)
        guest_is_there(x, &msg->u.welcome);
    else if (msg->type == PV_CTL_ERROR)
        guest_is_refused(x, msg, now);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Its events are told again when the roster is entered: pv_membership_enter(). */
static void drop_events(struct pv_roster *r)
{
    struct pv_roster_event ev;
    while (pv_roster_poll_event(r, &ev) == PV_OK)
        continue;
}

/* The record and the chain of the invite, checked against the network id of the token. */
static int take_record(struct pv_enrol *x, const struct pv_ctl_statements *st)
{
    struct pv_roster *r = NULL;
    int status = PV_ERR_NOT_FOUND;
    for (size_t i = 0; i < st->n && r == NULL; i++) {
        struct pv_statement s;
        if (pv_statement_decode(st->items[i].statement, &s) == PV_OK && s.type == PV_ST_NETWORK)
            status = pv_roster_new(st->items[i].statement, x->network_id, &x->node->rng, &r);
    }
    if (r == NULL)
        return status;
    for (size_t i = 0; i < st->n; i++) {
        enum pv_roster_added added;
        status = pv_roster_add(r, st->items[i].statement, st->items[i].receipt, &added);
        if (status != PV_OK)
            pv_log(x->node->log, PV_LOG_WARN, "what=\"statement refused while joining\" why=\"%s\"",
                   pv_strstatus(status));
    }
    drop_events(r);
    struct pv_roster_invite inv;
    status = pv_roster_invite(r, x->invite_pk, &inv);
    if (status == PV_OK) {
        pv_roster_free(x->roster);
        x->roster = r;
    } else {
        pv_roster_free(r);
    }
    return status;
}

/* Would the interface's addresses be in another network's way? Asked before anything is used up. */
static bool is_in_the_way(struct pv_enrol *x, pv_ns now)
{
    char why[PV_CTLAPI_ERROR_BUF / 2], range[PV_ADDR_TEXT], other[PV_ADDR_TEXT];
    const struct pv_st_network *net = pv_roster_network(x->roster);
    const struct pv_link_addr *link = pv_node_link_in(x->node, &net->range);
    if (link == NULL)
        return false;
    snprintf(why, sizeof(why), "the range %s of network %s overlaps %s on %s",
             pv_prefix_format(&net->range, range), net->name, pv_prefix_format(&link->addr, other),
             link->ifname);
    pv_enrol_fail(x, PV_CTLAPI_FAILED, now, why,
                  "take that address away, or join a network that was made with another range "
                  "(create --cidr); the token is not used up");
    return true;
}

/* The request to join is bound to this connection by its handshake hash: a coordinator that
 * recorded it cannot use it on another connection. */
static void fetched(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_STATEMENTS) {
        explain_refusal(x, msg, now);
        return;
    }
    if (take_record(x, &msg->u.statements) != PV_OK) {
        pv_enrol_fail(x, PV_CTLAPI_REFUSED, now,
                      "the coordinator handed out a network record that is not the token's",
                      "do not trust it; ask who gave you the token");
        return;
    }
    if (is_in_the_way(x, now))
        return;
    struct pv_ctl_msg ask_join = {.type = PV_CTL_JOIN};
    struct pv_ctl_join *j = &ask_join.u.join;
    uint8_t hash[PV_CTL_HASH_LEN];
    memcpy(j->invite, x->invite_pk, sizeof(j->invite));
    memcpy(j->node, x->node->identity->sign_pk, sizeof(j->node));
    memcpy(j->name, x->name, sizeof(j->name));
    int r = pv_coord_hash(x->node, hash);
    if (r == PV_OK)
        r = pv_ctl_join_sign(j, hash, x->invite_sk);
    if (r == PV_OK)
        ask(x, &ask_join, PV_ENROL_JOIN);
    else
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, pv_strstatus(r), "try again");
}

/* The coordinator chooses address and serial, for it alone knows which are free. The node signs
 * them itself, so that the coordinator cannot change them later. */
static void reserved(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_RESERVATION) {
        explain_refusal(x, msg, now);
        return;
    }
    const struct pv_ctl_reservation *res = &msg->u.reservation;
    if (x->name_given && strcmp(res->name, x->name) != 0) {
        const struct pv_refusal *taken = pv_refusal_find(PV_CTL_E_TAKEN);
        pv_enrol_fail(x, taken->code, now, taken->why, taken->remedy);
        return;
    }
    struct pv_st_member m = {0};
    struct pv_made made;
    memcpy(m.transport, x->node->identity->dh_pk, sizeof(m.transport));
    m.issued = pv_node_wall_s(x->node, now);
    /* A node that was a member before, and left, needs a higher one. This coordinator may not have
     * heard of the leave yet, and the node has forgotten it; as serials begin at the time of
     * joining, the present time is above the leave's. A clock that is absurdly wrong must leave
     * room for more.
     */
    m.serial = m.issued > res->serial && m.issued < SERIAL_MAX ? m.issued : res->serial;
    memcpy(m.name, res->name, sizeof(m.name));
    memcpy(m.ip4, res->ip4, sizeof(m.ip4));
    int r = pv_make_member(x->network_id, x->invite_sk, x->node->identity->sign_sk, &m, &made);
    if (r != PV_OK) {
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now,
                      "the coordinator offered an address that cannot be used", "ask its owner");
        return;
    }
    struct pv_ctl_msg reg = {.type = PV_CTL_REGISTER};
    reg.u.reg.member = pv_made_view(&made);
    ask(x, &reg, PV_ENROL_REGISTER);
}

/* --- membership is certain: store it, then become it ------------------------------------------ */

/* The rest of a network of an earlier attempt goes first. A node that makes a network knows its
 * rules: there are none. */
static bool submit_statements(struct pv_enrol *x)
{
    const struct pv_view mark = pv_view(x->rules_mark, x->create ? 0 : sizeof(x->rules_mark));
    struct pv_unsaved unsaved = {.n = 0};
    struct pv_job *forget = pv_job_new(PV_JOB_FORGET_NETWORK);
    if (forget == NULL)
        return false;
    forget->u.forget = PV_FORGET_NETWORK;
    bool all =
        pv_jobqueue_submit(&x->node->jobs, forget, &pv_part_enrol, pv_enrol_job_tag(x)) &&
        pv_node_put_meta(x->node, PV_CLOSED_META, mark, &pv_part_enrol, pv_enrol_job_tag(x)) &&
        pv_unsaved_add_all(&unsaved, x->node, x->roster) &&
        pv_unsaved_flush(&unsaved, x->node, &pv_part_enrol, pv_enrol_job_tag(x));
    pv_unsaved_done(&unsaved);
    return all;
}

/* The statements, all of them, and then the network: a node that knows its network but not why it
 * belongs to it, after a crash or as the disk is full, could not start. */
static void save(struct pv_enrol *x, pv_ns now)
{
    const struct pv_member *self = pv_roster_enrolled(x->roster, x->node->identity->sign_pk);
    if (self == NULL) { /* one that waits to be admitted keeps what it has, too */
        pv_enrol_fail(x, PV_CTLAPI_REFUSED, now,
                      "the coordinator's answer does not make us a member",
                      "do not trust it; see `p2pvpnctl status` and its log");
        return;
    }
    if (!submit_statements(x)) {
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, "out of memory", "free some and try again");
        return;
    }
    x->step = PV_ENROL_SAVE;
    x->jobs = 3;
}

void pv_enrol_save_network(struct pv_enrol *x, pv_ns now)
{
    const struct pv_member *self = pv_roster_enrolled(x->roster, x->node->identity->sign_pk);
    struct pv_job *job = pv_job_new(PV_JOB_SET_NETWORK);
    if (job != NULL) {
        _Static_assert((int)PV_JOB_NETWORK_LEN == (int)PV_NETWORK_ID_LEN, "one id");
        memcpy(job->u.set_network.network_id, x->network_id, sizeof(x->network_id));
        memcpy(job->u.set_network.name, pv_roster_network(x->roster)->name,
               sizeof(job->u.set_network.name));
        memcpy(job->u.set_network.node_name, self->name, sizeof(job->u.set_network.node_name));
    }
    x->step = PV_ENROL_NETWORK;
    x->jobs = 1;
    if (job == NULL ||
        !pv_jobqueue_submit(&x->node->jobs, job, &pv_part_enrol, pv_enrol_job_tag(x)))
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, "out of memory", "free some and try again");
}

/* A receipt that does not verify would be refused by every member, so nothing is stored of it. */
static void registered(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_REGISTERED) {
        explain_refusal(x, msg, now);
        return;
    }
    const struct pv_ctl_item *item = &msg->u.registered.item;
    enum pv_roster_added added;
    int r = pv_roster_add(x->roster, item->statement, item->receipt, &added);
    drop_events(x->roster);
    if (r != PV_OK) {
        pv_enrol_fail(x, PV_CTLAPI_REFUSED, now, "the coordinator's receipt is not valid",
                      "do not trust it; ask who gave you the token");
        return;
    }
    save(x, now);
}

/* The receipts must fit the four statements that this node made, in their order; a roster built
 * from them is the proof that the coordinator stored what it was given. */
static void created(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    const struct pv_created *c = &x->created;
    const struct pv_view made[] = {pv_made_view(&c->network),
                                   pv_view(c->coordinators.raw, c->coordinators.len),
                                   pv_made_view(&c->admin), pv_made_view(&c->member)};
    if (msg->type != PV_CTL_RECEIPTS || msg->u.receipts.n != PV_ARRAY_LEN(made)) {
        explain_refusal(x, msg, now);
        return;
    }
    pv_roster_free(x->roster);
    x->roster = NULL;
    int r = pv_roster_new(made[0], c->network_id, &x->node->rng, &x->roster);
    for (size_t i = 0; r == PV_OK && i < PV_ARRAY_LEN(made); i++) {
        enum pv_roster_added added;
        if (msg->u.receipts.results[i].error != PV_CTL_E_NONE)
            r = PV_ERR_REFUSED;
        else
            r = pv_roster_add(x->roster, made[i], msg->u.receipts.results[i].receipt, &added);
    }
    if (r == PV_OK)
        drop_events(x->roster);
    if (r != PV_OK) {
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, "the coordinator's receipts are not valid",
                      "is the URL of the right coordinator?");
        return;
    }
    save(x, now);
}

void pv_enrol_guest_answer(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (x->step == PV_ENROL_FETCH)
        fetched(x, msg, now);
    else if (x->step == PV_ENROL_JOIN)
        reserved(x, msg, now);
    else if (x->step == PV_ENROL_REGISTER)
        registered(x, msg, now);
    else if (x->step == PV_ENROL_CREATE)
        created(x, msg, now);
}
