/* SPDX-License-Identifier: MIT */
/* enrol.c - how `create` and `join` begin, what an applicant asks the coordinator and what each
 * answer must prove before this node believes that it is a member, and how they go on then and
 * end. */
#include "daemon/core/member/enrol.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/netplan.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "daemon/core/coord/coordaddrs.h"
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/closed.h"
#include "daemon/core/member/invite.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/puts.h"
#include "daemon/core/member/refusal.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/member/stored.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "proto/roster/roster_make.h"
#include "proto/roster/token.h"

enum step {
    NO_STEP,
    ROOT,     /* create: the keeper is making the root key */
    CONNECT,  /* applicant connection */
    FETCH,    /* join: record and invite */
    JOIN,     /* join: reservation */
    REGISTER, /* join: member statement */
    CREATE,   /* create: statements */
    SAVE,     /* the statements are being stored */
    NETWORK,  /* with them the membership is */
    IFACE,    /* the interface is coming up */
    LIST,     /* join: the other members are being told of */
    INVITE,   /* create: the first invite, for which a member's connection is needed */
};

/* Of the root key, beyond an attempt. */
struct own_root {
    const char *file;               /* borrowed */
    bool is_unused, has_former;     /* are these set? */
    uint8_t unused[PV_SIGN_PK_LEN]; /* the key that create has made, and no network yet */
    uint8_t former[PV_SIGN_PK_LEN]; /* that made room for it, which the user has not read yet */
};

struct pv_enrol {
    struct pv_node *node;
    struct pv_puts puts; /* the first invite's */
    uint64_t attempt;    /* number of this one */
    struct own_root root;

    /* this attempt; wiped at its end */
    enum step step;
    bool create;
    uint64_t handle;           /* ctl */
    pv_ns deadline;            /* of this step */
    pv_ns until;               /* of all, until membership is certain */
    char name[PV_NAME_BUF];    /* of this node, as asked for */
    bool name_given;           /* by the user: another one will not do */
    char network[PV_NAME_BUF]; /* its name; of one that is joined as it must be, or "" */
    struct pv_prefix range;
    uint8_t secret[PV_URL_SECRET_LEN]; /* create */
    bool has_secret;
    uint8_t invite_sk[PV_SIGN_SK_LEN]; /* join */
    uint8_t invite_pk[PV_SIGN_PK_LEN];
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t rules_mark[PV_TOKEN_RULES_LEN]; /* join: of the rules that the token vouches for */
    size_t list_len;
    uint8_t list[PV_TOKEN_LIST_MAX]; /* coordinators */
    /* join: a coordinator of the list that is there does not know the token */
    enum pv_ctl_error unknown;
    struct pv_created created;
    struct pv_roster *roster;       /* owned, until membership is certain */
    char why[PV_COORD_WHY_MAX + 1]; /* of the last failure, for the message at the deadline */
    unsigned jobs;                  /* results still missing in this step */
    struct pv_put *invite;          /* owned: INVITE, until it is sent */
};

/* Before membership is certain: a refusal, the deadline or the client's going ends the attempt. */
static inline bool is_applicant(const struct pv_enrol *x)
{
    return x->step != NO_STEP && x->step < SAVE;
}

/* Ends the attempt: back to what was before. The user reads "WHAT: why: remedy".
 * remedy NULL: nothing can be done. */
static void fail(struct pv_enrol *x, enum pv_ctlapi_code code, pv_ns now, const char *why,
                 const char *remedy);
/* Of the jobs whose results end this step; their tag is the attempt's number. */
static pv_job_done job_done;

/* Ours: coordinators hand out serials of 32 bits; a clock that shows a year after 2096 is wrong. */
#define SERIAL_MAX UINT64_C(4000000000)

/* A join goes on at the next coordinator of its token. False: there is none. */
static bool ask_next(struct pv_enrol *x, pv_ns now)
{
    if (x->create || !pv_coord_next(x->node, now))
        return false;
    x->step = CONNECT;
    x->deadline = pv_min_ns(x->until, now + PV_ENROL_ANSWER);
    return true;
}

/* As long as each coordinator of the token may take to answer. */
static pv_ns ask_all(const struct pv_enrol *x)
{
    struct pv_view list = pv_view(x->list, x->list_len);
    struct pv_coordinator named;
    pv_ns time = 0;
    while (pv_coordlist_next(&list, &named))
        time += PV_ENROL_ANSWER;
    return time;
}

/* Refusals that a user can do something about have words of their own; the others show what the
 * coordinator wrote. Coordinators of one list do not speak with each other: an invite that was made
 * at one of them is unknown at the others. */
static void explain_refusal(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_ERROR) {
        fail(x, PV_CTLAPI_FAILED, now, "the coordinator's answer makes no sense",
             "see its log; is it of this version?");
        return;
    }
    const enum pv_ctl_error error = msg->u.failure.error;
    if (error == PV_CTL_E_UNKNOWN_INVITE || error == PV_CTL_E_UNKNOWN_NETWORK) {
        if (x->unknown == PV_CTL_E_NONE) /* the others answer soon, or the user reads this */
            x->until = pv_min_ns(x->until, now + ask_all(x));
        x->unknown = error;
        if (ask_next(x, now))
            return;
    }
    const struct pv_refusal *f = pv_refusal_find(error);
    if (f != NULL)
        fail(x, f->code, now, f->why, f->remedy);
    else
        fail(x, PV_CTLAPI_FAILED, now, msg->u.failure.message, "try again");
}

/* --- asking ----------------------------------------------------------------------------------- */

static void ask(struct pv_enrol *x, struct pv_ctl_msg *msg, enum step step)
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
    ask(x, &msg, CREATE);
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
static void applicant_is_there(struct pv_enrol *x, const struct pv_ctl_welcome *w)
{
    if (x->create) {
        learn_addrs(x, w->stun, w->n_stun, false);
        learn_addrs(x, w->tls.addrs, w->tls.n, true);
        ask_create(x);
        return;
    }
    struct pv_ctl_msg msg = {.type = PV_CTL_FETCH};
    memcpy(msg.u.fetch.invite, x->invite_pk, sizeof(msg.u.fetch.invite));
    ask(x, &msg, FETCH);
}

/* The coordinator refused the applicant's hello. It may change its mind about some reasons: then
 * the connection is tried again until the deadline. */
static void applicant_is_refused(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    enum pv_ctl_error error = msg->u.failure.error;
    if (error != PV_CTL_E_LIMIT && error != PV_CTL_E_STORAGE && error != PV_CTL_E_BUSY &&
        error != PV_CTL_E_SHUTDOWN)
        explain_refusal(x, msg, now);
}

/* The applicant's connection is there, or was refused. */
static void applicant_push(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    x->deadline = x->until; /* it is there */
    if (msg->type == PV_CTL_WELCOME)
        applicant_is_there(x, &msg->u.welcome);
    else if (msg->type == PV_CTL_ERROR)
        applicant_is_refused(x, msg, now);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Its events are told again when the roster is entered: pv_membership_enter(). */
static void drop_events(struct pv_roster *r)
{
    struct pv_roster_event ev;
    while (pv_roster_poll_event(r, &ev) == PV_OK)
        continue;
}

/* Did the coordinator hand out a statement, or give a receipt, that only a newer p2pvpn can read?
 * Its key is that of the token or URL, so the version alone is believed. */
static bool is_newer(struct pv_view statement, struct pv_view receipt)
{
    struct pv_statement st;
    struct pv_receipt re;
    return pv_statement_decode(statement, &st) == PV_ERR_UNSUPPORTED ||
           pv_receipt_decode(receipt, &re) == PV_ERR_UNSUPPORTED;
}

static bool is_any_newer(const struct pv_ctl_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_newer(items[i].statement, items[i].receipt))
            return true;
    }
    return false;
}

static void fail_newer(struct pv_enrol *x, pv_ns now)
{
    fail(x, PV_CTLAPI_REFUSED, now, "the network is from a newer p2pvpn",
         "upgrade p2pvpn on this machine");
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

/* Is it the interface of another p2pvpnd of this machine, by the name that it has unless somebody
 * chose another? */
static bool is_another_network(const struct pv_link_addr *link)
{
    return link->tunnel &&
           (strncmp(link->ifname, "p2p-", 4) == 0 || strcmp(link->ifname, "p2pvpn0") == 0);
}

/* Would the interface's addresses be in another network's way? Asked before anything is used up. */
static bool is_in_the_way(struct pv_enrol *x, pv_ns now)
{
    const struct pv_st_network *net = pv_roster_network(x->roster);
    const struct pv_link_addr *link = pv_node_link_in(x->node, &net->range);
    if (link == NULL)
        return false;
    if (is_another_network(link)) {
        fail(x, PV_CTLAPI_FAILED, now,
             PV_STR("the range %s of network %s overlaps that of a network in which this machine "
                    "is already (%s on %s)",
                    PV_PREFIX_STR(&net->range), net->name, PV_PREFIX_STR(&link->addr),
                    link->ifname),
             "one of the two needs another range: leave that one, or join a network that was made "
             "with another (create --cidr); the token is not used up");
        return true;
    }
    fail(x, PV_CTLAPI_FAILED, now,
         PV_STR("the range %s of network %s overlaps %s on %s", PV_PREFIX_STR(&net->range),
                net->name, PV_PREFIX_STR(&link->addr), link->ifname),
         "take that address away, or join a network that was made with another range "
         "(create --cidr); the token is not used up");
    return true;
}

/* A pipe's end has its own network, and whoever types another one's token there wants to join that
 * by it. Asked before it is used up, too. */
static bool is_unwanted(struct pv_enrol *x, pv_ns now)
{
    const char *name = pv_roster_network(x->roster)->name;
    if (x->network[0] == '\0' || strcmp(name, x->network) == 0)
        return false;
    fail(x, PV_CTLAPI_BAD_TOKEN, now,
         PV_STR("that token is an invite to network %s, and not to %s", name, x->network),
         "the token is not used up: `p2pvpnctl join` takes it");
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
        if (is_any_newer(msg->u.statements.items, msg->u.statements.n))
            fail_newer(x, now);
        else
            fail(x, PV_CTLAPI_REFUSED, now,
                 "the coordinator handed out a network record that is not the token's",
                 "do not trust it; ask who gave you the token");
        return;
    }
    if (is_unwanted(x, now) || is_in_the_way(x, now))
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
        ask(x, &ask_join, JOIN);
    else
        fail(x, PV_CTLAPI_FAILED, now, pv_strstatus(r), "try again");
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
        fail(x, taken->code, now, taken->why, taken->remedy);
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
        fail(x, PV_CTLAPI_FAILED, now, "the coordinator offered an address that cannot be used",
             "ask its owner");
        return;
    }
    struct pv_ctl_msg reg = {.type = PV_CTL_REGISTER};
    reg.u.reg.member = pv_made_view(&made);
    ask(x, &reg, REGISTER);
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
    bool all = pv_jobqueue_submit(&x->node->jobs, forget, job_done, x, x->attempt) &&
               pv_node_put_meta_for(x->node, PV_CLOSED_META, mark, job_done, x, x->attempt) &&
               pv_unsaved_add_all(&unsaved, x->node, x->roster) &&
               pv_unsaved_flush(&unsaved, x->node, job_done, x, x->attempt);
    pv_unsaved_done(&unsaved);
    return all;
}

/* The statements, all of them, and then the network: a node that knows its network but not why it
 * belongs to it, after a crash or as the disk is full, could not start. */
static void save(struct pv_enrol *x, pv_ns now)
{
    const struct pv_member *self = pv_roster_enrolled(x->roster, x->node->identity->sign_pk);
    if (self == NULL) { /* one that waits to be admitted keeps what it has, too */
        fail(x, PV_CTLAPI_REFUSED, now, "the coordinator's answer does not make us a member",
             "do not trust it; see `p2pvpnctl status` and its log");
        return;
    }
    if (!submit_statements(x)) {
        fail(x, PV_CTLAPI_FAILED, now, "out of memory", NULL);
        return;
    }
    x->step = SAVE;
    x->jobs = 3;
}

/* The statements are stored: the network is next. */
static void save_network(struct pv_enrol *x, pv_ns now)
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
    x->step = NETWORK;
    x->jobs = 1;
    if (!pv_jobqueue_submit(&x->node->jobs, job, job_done, x, x->attempt))
        fail(x, PV_CTLAPI_FAILED, now, "out of memory", NULL);
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
        if (is_newer(item->statement, item->receipt))
            fail_newer(x, now);
        else
            fail(x, PV_CTLAPI_REFUSED, now, "the coordinator's receipt is not valid",
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
    bool newer = false;
    int r = pv_roster_new(made[0], c->network_id, &x->node->rng, &x->roster);
    for (size_t i = 0; r == PV_OK && i < PV_ARRAY_LEN(made); i++) {
        enum pv_roster_added added;
        const struct pv_ctl_result *result = &msg->u.receipts.results[i];
        newer = result->error == PV_CTL_E_NONE && is_newer(made[i], result->receipt);
        if (result->error != PV_CTL_E_NONE)
            r = PV_ERR_REFUSED;
        else
            r = pv_roster_add(x->roster, made[i], result->receipt, &added);
    }
    if (r == PV_OK)
        drop_events(x->roster);
    if (r != PV_OK) {
        if (newer)
            fail_newer(x, now);
        else
            fail(x, PV_CTLAPI_FAILED, now, "the coordinator's receipts are not valid",
                 "is the URL of the right coordinator?");
        return;
    }
    save(x, now);
}

/* The answer to what was asked in this step. */
static void applicant_answer(struct pv_enrol *x, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (x->step == FETCH)
        fetched(x, msg, now);
    else if (x->step == JOIN)
        reserved(x, msg, now);
    else if (x->step == REGISTER)
        registered(x, msg, now);
    else if (x->step == CREATE)
        created(x, msg, now);
}

enum {
    FIRST_INVITE_S = 24 * 3600, /* ours: as long as `invite` by itself */
};

/* --- ends ------------------------------------------------------------------------------------- */

/* The key of before takes its place again where no network came of the one that it made room for:
 * its network may be joined again. */
static void give_back(struct pv_enrol *x)
{
    if (!x->root.has_former || !x->root.is_unused)
        return;
    x->root.is_unused = false; /* the next create makes another */
    struct pv_job *job = pv_job_new(PV_JOB_KEEP_ROOT);
    if (job != NULL)
        job->u.root.back = true;
    if (!pv_jobqueue_submit(&x->node->jobs, job, job_done, x, x->attempt))
        pv_log(x->node->log, PV_LOG_WARN, "what=\"no memory to give a root key its place back\"");
}

static void forget(struct pv_enrol *x)
{
    struct pv_node *node = x->node;
    const struct pv_puts puts = x->puts;
    const struct own_root root = x->root;
    /* The number outlives the attempt: late results of its jobs are known by it. */
    uint64_t attempt = x->attempt;
    pv_roster_free(x->roster);
    pv_put_free(x->invite);
    pv_wipe(x, sizeof(*x));
    x->node = node;
    x->puts = puts;
    x->root = root;
    x->attempt = attempt;
}

/* Back to what was before: no network, or the one that is there. */
static void fail(struct pv_enrol *x, enum pv_ctlapi_code code, pv_ns now, const char *why,
                 const char *remedy)
{
    struct pv_node *n = x->node;
    uint64_t handle = x->handle;
    const char *text = PV_STR("%s: %s%s%s", x->create ? "create" : "join", why,
                              remedy == NULL ? "" : ": ", remedy == NULL ? "" : remedy);
    pv_log(n->log, PV_LOG_WARN, "what=\"%s failed\" why=\"%s\"", x->create ? "create" : "join",
           text);
    give_back(x);
    forget(x);
    if (n->roster == NULL)
        pv_coord_disconnect(n);
    pv_ctlsrv_fail(n->ctl, handle, code, text);
}

/* Where the root key is that made room for the one of this network, told once. NULL: none did. */
static const char *tell_former(struct pv_enrol *x, char *buf, size_t size)
{
    if (!x->create || !x->root.has_former)
        return NULL;
    x->root.has_former = false;
    pv_job_root_aside(x->root.file, x->root.former, buf, size);
    return buf;
}

/* The attempt is over before its client hears of it: the client may begin another at once. */
static void succeed(struct pv_enrol *x, const char *token)
{
    char former[PATH_MAX];
    struct pv_node *n = x->node;
    const struct pv_member *self = pv_roster_enrolled(n->roster, n->identity->sign_pk);
    uint64_t handle = x->handle;
    json_t *body = NULL;
    if (self != NULL)
        body = pv_ctlapi_pack("{s:s, s:s, s:o, s:o, s:b, s:s*, s:s*}", "network",
                              pv_roster_network(n->roster)->name, "name", self->name, "ip4",
                              pv_ctlapi_ip(&self->ip4), "ip6", pv_ctlapi_ip(&self->ip6), "waiting",
                              self->state == PV_MEMBER_WAITING, "token", token, "former_root",
                              tell_former(x, former, sizeof(former)));
    forget(x);
    pv_ctlsrv_answer(n->ctl, handle, body);
}

/* --- begins ----------------------------------------------------------------------------------- */

/* May a network be entered now? Answers the request itself when not. */
static bool may_begin(struct pv_enrol *x, bool create, uint64_t handle, pv_ns now)
{
    const char *what = create ? "create" : "join";
    char text[PV_CTLAPI_ERROR_BUF];
    struct pv_node *n = x->node;
    if (x->step != NO_STEP) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: another create or join is under way: wait for it", what);
        return false;
    }
    /* It is no member of that one any more, and comes back by a token, or begins anew. */
    if (pv_node_was_left(n))
        pv_membership_leave(n, now);
    /* One who makes the lost network anew would give up what can be had back. */
    const enum pv_remedy_id lost = create ? pv_node_unserved(n) : PV_REMEDY_NONE;
    if (lost != PV_REMEDY_NONE) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: this node is in network %s already, which the coordinator does not "
                        "serve: %s",
                        what, pv_roster_network(n->roster)->name, pv_remedy_text(lost));
        return false;
    }
    /* To leave takes back a request that waits, and does not help one that was removed. */
    if (n->roster != NULL && !pv_node_is_stranger(n) && !pv_node_need_network(n, what, handle))
        return false;
    if (n->roster != NULL) {
        snprintf(text, sizeof(text),
                 "%s: this node is in network %s already: `sudo p2pvpnctl leave` first, or have a "
                 "second network beside it: `p2pvpnctl -n NAME %s`",
                 what, pv_roster_network(n->roster)->name, what);
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, text);
        return false;
    }
    return true;
}

static void begin(struct pv_enrol *x, bool create, const struct pv_ctlapi_request *req,
                  uint64_t handle, pv_ns now)
{
    x->attempt++;
    x->create = create;
    x->handle = handle;
    x->until =
        now + (req->u.enter.timeout_ms == 0 ? PV_ENROL_TIME : PV_MS(req->u.enter.timeout_ms));
    x->deadline = req->u.enter.insist ? x->until : pv_min_ns(x->until, now + PV_ENROL_ANSWER);
}

/* The reason that a user reads at the deadline is set before anything is tried: most failures here
 * are silence, which brings no error of its own. */
static void connect_applicant(struct pv_enrol *x, pv_ns now)
{
    x->step = CONNECT;
    snprintf(
        x->why, sizeof(x->why),
        "the coordinator does not answer: does it run, is the address right, does TCP reach it?");
    pv_coord_connect(x->node, pv_view(x->list, x->list_len), PV_CTL_APPLICANT,
                     x->create ? NULL : x->network_id, now);
}

static int make_network(struct pv_enrol *x, pv_ns now)
{
    const struct pv_create c = {
        .root = pv_signer_kept(&x->node->identity->root),
        .node_sk = x->node->identity->sign_sk,
        .transport = x->node->identity->dh_pk,
        .network_name = x->network,
        .node_name = x->name,
        .range = x->range,
        .coordinators = pv_view(x->list, x->list_len),
        .wall = pv_node_wall_s(x->node, now),
    };
    int r = pv_make_create(&c, &x->created);
    if (r == PV_OK)
        memcpy(x->network_id, x->created.network_id, sizeof(x->network_id));
    return r;
}

/* The root key is on disk before anybody hears of the network: losing it would orphan it. One that
 * is there already may rule a network made before: whoever has it from there must not have this
 * one, and it is never lost, so it stays beside. One that a create made which came to nothing,
 * where there was none before, is used again. */
static void have_root(struct pv_enrol *x, pv_ns now)
{
    struct pv_job *job = pv_job_new(PV_JOB_KEEP_ROOT);
    if (job != NULL)
        job->u.root.anew = !x->root.is_unused || memcmp(x->root.unused, x->node->identity->root.pk,
                                                        sizeof(x->root.unused)) != 0;
    x->step = ROOT;
    x->jobs = 1;
    if (!pv_jobqueue_submit(&x->node->jobs, job, job_done, x, x->attempt))
        fail(x, PV_CTLAPI_FAILED, now, "out of memory", NULL);
}

/* Root signs the network, and then others may hear of it. */
static void root_is_there(struct pv_enrol *x, pv_ns now)
{
    int r = make_network(x, now);
    if (r == PV_OK)
        connect_applicant(x, now);
    else
        fail(x, PV_CTLAPI_FAILED, now, pv_strstatus(r), "try again");
}

/* The URL's coordinator becomes a list of one, in the form that statements have. */
static bool take_url(const char *text, struct pv_enrol *x)
{
    struct pv_url url;
    if (text == NULL || pv_url_parse(text, strlen(text), &url) != PV_OK || !pv_url_has_key(&url))
        return false;
    struct pv_writer w = pv_writer(x->list, sizeof(x->list));
    pv_coordlist_put(&w, url.pk, &url.addr, 1);
    x->list_len = w.len;
    x->has_secret = url.has_secret;
    memcpy(x->secret, url.secret, sizeof(x->secret));
    pv_url_done(&url);
    return w.status == PV_OK && pv_coordlist_check(pv_written(&w), sizeof(x->list)) == PV_OK;
}

/* Would the interface's addresses be in another network's way? Then no network is made. */
static bool is_range_taken(struct pv_enrol *x, pv_ns now)
{
    const struct pv_link_addr *link = pv_node_link_in(x->node, &x->range);
    if (link == NULL)
        return false;
    fail(x, PV_CTLAPI_FAILED, now,
         PV_STR("%s overlaps %s on %s", PV_PREFIX_STR(&x->range), PV_PREFIX_STR(&link->addr),
                link->ifname),
         "choose another range with --cidr, such as 10.99.0.0/16");
    return true;
}

/* Would the helper, which lets the interface have private addresses and what the settings name,
 * refuse those of the range? */
static bool is_range_foreign(struct pv_enrol *x, pv_ns now)
{
    const struct pv_given *g = &x->node->given;
    bool may = pv_netplan_is_own(&x->range, g->ranges, g->n_ranges);
    for (size_t i = 0; i < g->n_own_addrs; i++) {
        const struct pv_prefix own = pv_netplan_range(&g->own_addrs[i]);
        may = may || pv_netplan_is_own(&x->range, &own, 1);
    }
    if (may)
        return false;
    const char *range = PV_PREFIX_STR(&x->range);
    fail(x, PV_CTLAPI_REFUSED, now,
         PV_STR("%s is no private range: no interface would get an address of it", range),
         PV_STR("choose one of 10/8, 172.16/12, 192.168/16 or 100.64/10 with --cidr, or give "
                "`range = %s` in [interface] of p2pvpnd.conf here and at each member, then restart "
                "p2pvpnd",
                range));
    return true;
}

/* Everything that the user gave is checked before the root secret is made or anybody is asked: a
 * typing error costs nothing. */
static void run_create(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct pv_enrol *x = part;
    if (!may_begin(x, true, handle, now))
        return;
    begin(x, true, req, handle, now);
    const char *name = req->u.enter.name[0] != '\0' ? req->u.enter.name : x->node->given.hostname;
    const char *network = req->u.enter.network[0] != '\0' ? req->u.enter.network : "home";
    const char *cidr = req->u.enter.cidr[0] != '\0' ? req->u.enter.cidr : "10.66.0.0/16";
    if (!take_url(req->secret, x)) {
        fail(
            x, PV_CTLAPI_BAD_TOKEN, now, "not a coordinator URL",
            "copy it whole, in quotes. On the coordinator `sudo p2pvpn-coordinator url` prints it");
        return;
    }
    if (pv_name_parse(name, strlen(name), x->name) != PV_OK ||
        pv_name_parse(network, strlen(network), x->network) != PV_OK ||
        strcmp(x->name, x->network) == 0) {
        fail(x, PV_CTLAPI_USAGE, now, "the name of the node or network cannot be used",
             "use a to z, 0 to 9 and -, at most 63, and different names for both");
        return;
    }
    if (pv_prefix_parse(cidr, &x->range) != PV_OK || !pv_ip4_range_is_valid(&x->range)) {
        fail(x, PV_CTLAPI_USAGE, now, "the range cannot be used",
             "--cidr takes an IPv4 range of 8 to 30 bits such as 10.66.0.0/16; 0/8, 127/8, "
             "169.254/16 and 224/3 are never members'");
        return;
    }
    if (is_range_taken(x, now) || is_range_foreign(x, now))
        return;
    have_root(x, now);
}

/* A name that the user gave must be had; the host name gives way to one with a number. The token is
 * taken apart here and wiped, its keys stay until the join ends. */
static void run_join(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct pv_enrol *x = part;
    struct pv_token token;
    if (!may_begin(x, false, handle, now))
        return;
    begin(x, false, req, handle, now);
    x->name_given = req->u.enter.name[0] != '\0';
    snprintf(x->network, sizeof(x->network), "%s", req->u.enter.network);
    const char *name = x->name_given ? req->u.enter.name : x->node->given.hostname;
    if (pv_name_parse(name, strlen(name), x->name) != PV_OK) {
        fail(x, PV_CTLAPI_USAGE, now, "the name of the node cannot be used",
             "use a to z, 0 to 9 and -, at most 63");
        return;
    }
    int r = req->secret == NULL ? PV_ERR_MALFORMED
                                : pv_token_parse(req->secret, strlen(req->secret), &token);
    if (r != PV_OK) {
        const bool newer = r == PV_ERR_UNSUPPORTED;
        fail(x, PV_CTLAPI_BAD_TOKEN, now,
             newer ? "this token is from a newer p2pvpn" : "not a token, or a damaged one",
             newer ? "upgrade p2pvpn on this machine" : "copy it whole, from p2pvpn- to its end");
        return;
    }
    memcpy(x->network_id, token.network_id, sizeof(x->network_id));
    memcpy(x->list, token.list, token.list_len);
    x->list_len = token.list_len;
    pv_sign_keypair(token.seed, x->invite_sk, x->invite_pk);
    memcpy(x->rules_mark, token.seed + sizeof(token.seed) - sizeof(x->rules_mark),
           sizeof(x->rules_mark));
    pv_token_done(&token);
    connect_applicant(x, now);
}

/* --- what comes back -------------------------------------------------------------------------- */

static void end_invite(struct pv_enrol *x, struct pv_put *put, enum pv_ctl_error error)
{
    struct pv_node *n = x->node;
    uint64_t handle = x->handle;
    bool away = error == PV_CTL_E_OFFLINE;
    if (put->handle != handle) {
        /* the attempt that made it is over */
    } else if (error == PV_CTL_E_NONE) {
        succeed(x, put->token);
    } else {
        const char *text = PV_STR(
            "create: the coordinator %s%s; the network is there: %s", away ? "was lost" : "said ",
            away ? "" : pv_ctlapi_error_said(pv_ctl_error_word(error)), PV_DO_STR(make_token));
        forget(x);
        pv_ctlsrv_fail(n->ctl, handle, away ? PV_CTLAPI_UNREACHABLE : PV_CTLAPI_REFUSED, text);
    }
    pv_put_free(put);
}

/* An invite that cannot be sent does not undo the network that was made: its user can make another.
 */
static void send_invite(struct pv_enrol *x)
{
    struct pv_put *put = x->invite;
    x->invite = NULL;
    enum pv_ctl_error error = pv_puts_send(&x->puts, put);
    if (error != PV_CTL_E_NONE)
        end_invite(x, put, error);
}

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_enrol *x = part;
    if (tag >= PV_PUTS_TAGS) {
        struct pv_put_result result;
        struct pv_put *put = pv_puts_take(&x->puts, tag, msg, &result);
        if (put == NULL)
            return;
        (void)pv_membership_add(x->node, result.items, result.n_items, now);
        end_invite(x, put, result.error);
        return;
    }
    if (tag != (uint64_t)x->step)
        return; /* an answer to something that is over */
    applicant_answer(x, msg, now);
}

static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_enrol *x = part;
    if (!x->node->coord_info.as_member && is_applicant(x) && x->step != ROOT)
        applicant_push(x, msg, now);
}

static void wait_for_list(struct pv_enrol *x, pv_ns now);

/* The key is kept from now on, even if the attempt that asked for it is over; or that of before is
 * back. */
static void root_is_kept(struct pv_enrol *x, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    struct pv_identity *id = x->node->identity;
    char path[PATH_MAX];
    if (x->root.has_former && memcmp(x->root.former, pk, sizeof(x->root.former)) == 0) {
        memcpy(id->root.pk, pk, sizeof(id->root.pk));
        x->root.has_former = false;
        return;
    }
    if (id->has_root && memcmp(id->root.pk, pk, sizeof(id->root.pk)) != 0) {
        pv_job_root_aside(x->root.file, id->root.pk, path, sizeof(path));
        pv_log(x->node->log, PV_LOG_WARN,
               "what=\"the root key of an earlier network is in %.200s now\"", path);
        memcpy(x->root.former, id->root.pk, sizeof(x->root.former));
        x->root.has_former = true;
    }
    x->root.is_unused = true;
    memcpy(x->root.unused, pk, sizeof(x->root.unused));
    memcpy(id->root.pk, pk, sizeof(id->root.pk));
    id->has_root = true;
}

/* The attempt's number as the tag keeps results of an attempt that was given up from moving the
 * next one on. */
static void job_done(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_enrol *x = wait->self;
    if (result->kind == PV_JOB_KEEP_ROOT && result->status == PV_OK)
        root_is_kept(x, result->root_pk);
    else if (result->kind == PV_JOB_KEEP_ROOT && (wait->tag != x->attempt || x->step != ROOT))
        pv_log(x->node->log, PV_LOG_WARN, "what=\"the root key of before is not back\" why=\"%s\"",
               result->error);
    if (x->step == NO_STEP) /* the attempt ended before its key was there */
        give_back(x);
    if (wait->tag != x->attempt || (x->step != ROOT && x->step != SAVE && x->step != NETWORK))
        return;
    if (result->status != PV_OK) {
        fail(x, PV_CTLAPI_FAILED, now, result->error, "then run it again");
        return;
    }
    if (--x->jobs > 0)
        return;
    if (x->step == ROOT) {
        root_is_there(x, now);
        return;
    }
    if (x->step == SAVE) {
        save_network(x, now);
        return;
    }
    struct pv_roster *r = x->roster;
    x->roster = NULL;
    x->step = IFACE;
    x->root.is_unused = x->root.is_unused && !x->create;
    pv_coord_forget_cursor(x->node);
    pv_node_put_meta(x->node, "up", pv_view("1", 1));
    if (!x->create)
        pv_rules_close(x->node, x->rules_mark, now);
    pv_membership_enter(x->node, r, true, now);
    if (x->step == IFACE && pv_node_waits(x->node))
        wait_for_list(x, now);
}

/* --- the last steps --------------------------------------------------------------------------- */

/* A user who joined names members: none of them is known before the coordinator has told. A machine
 * that waits may have been admitted before it left, and is told of that first; then its interface
 * comes up. */
static void look_at_list(struct pv_enrol *x)
{
    const struct pv_node *n = x->node;
    if (x->step != LIST || !pv_rules_are_listed(n))
        return;
    if (n->iface.state == PV_IFACE_UP || pv_node_waits(n))
        succeed(x, NULL);
    else
        x->step = IFACE;
}

static void wait_for_list(struct pv_enrol *x, pv_ns now)
{
    x->step = LIST;
    x->deadline = now + PV_ENROL_LISTED;
    look_at_list(x);
}

/* A network of one node is of no use, so `create` makes its first invite before it is done. */
static void iface_is_up(struct pv_enrol *x, pv_ns now)
{
    if (!x->create) {
        wait_for_list(x, now);
        return;
    }
    x->step = INVITE;
    x->deadline = now + PV_ENROL_TIME;
    const struct pv_invite_terms terms = {.uses = 1, .expires_s = FIRST_INVITE_S};
    int r = pv_invite_make(x->node, pv_node_signer(x->node), &terms, now, &x->invite);
    if (r != PV_OK)
        fail(x, PV_CTLAPI_FAILED, now, pv_strstatus(r), "make one with `sudo p2pvpnctl invite`");
    if (r != PV_OK)
        return;
    x->invite->handle = x->handle;
    if (x->node->online)
        send_invite(x);
}

/* The user is a member by now and stays one. Only the interface is missing, which is tried again,
 * so the message says both. */
static void iface_is_not_up(struct pv_enrol *x)
{
    struct pv_node *n = x->node;
    uint64_t handle = x->handle;
    const char *text = PV_STR("%s: joined, but the interface is not up: %s",
                              x->create ? "create" : "join", n->iface.error);
    forget(x);
    pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, text);
}

/* The network was left while the last steps were under way. */
static void network_is_gone(struct pv_enrol *x, pv_ns now)
{
    fail(x, PV_CTLAPI_FAILED, now, "this machine left the network meanwhile", "run it again");
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_enrol *x = part;
    const struct pv_node *n = x->node;
    struct pv_put *put;
    if ((facts & PV_FACT_OFFLINE) != 0 && (put = pv_puts_take_lost(&x->puts)) != NULL)
        end_invite(x, put, PV_CTL_E_OFFLINE);
    if ((facts & PV_FACT_COORDINATOR) != 0 && is_applicant(x) && x->step != ROOT) {
        /* Tries go on, at each of the token's coordinators in turn; what was asked is asked again.
         */
        snprintf(x->why, sizeof(x->why), "%s", n->coord_info.error);
        x->step = CONNECT;
        pv_coord_turn(x->node, now);
    }
    if ((facts & PV_FACT_NETWORK) != 0 && n->roster == NULL && x->step >= IFACE)
        network_is_gone(x, now);
    if ((facts & PV_FACT_INTERFACE) != 0 && (x->step == IFACE || x->step == LIST)) {
        if (n->iface.state == PV_IFACE_UP && x->step == IFACE)
            iface_is_up(x, now);
        else if (n->iface.state == PV_IFACE_DOWN && n->iface.error[0] != '\0')
            iface_is_not_up(x);
    }
    if ((facts & (PV_FACT_STATEMENTS | PV_FACT_RULES)) != 0)
        look_at_list(x);
    /* The coordinator lists nothing for a machine that waits: it says so, and ends the connection.
     */
    if ((facts & PV_FACT_COORDINATOR) != 0 && x->step == LIST && pv_node_waits(n))
        succeed(x, NULL);
    if ((facts & PV_FACT_ONLINE) != 0 && n->online && x->invite != NULL)
        send_invite(x);
}

/* Nobody waits any more. Once membership is real, it settles all the same. */
static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct pv_enrol *x = part;
    if (x->handle != handle || !is_applicant(x))
        return;
    give_back(x);
    forget(x);
    pv_coord_disconnect(x->node);
}

/* Does the HTTP proxy on the way not let an applicant through? Writes what it says and what to do.
 * One that is being asked is silent by now: the answer would come later than anybody waits. */
static bool is_kept_by_proxy(const struct pv_node *n, char *text, size_t cap)
{
    struct pv_connect_answer a = n->coord_info.proxy;
    const struct pv_connect_about about = pv_node_about_proxy(n);
    char why[PV_CONNECT_WHY_MAX], todo[PV_REMEDY_BUF];
    if (n->coord_info.via.family != PV_AF_NONE && a.state <= PV_CONNECT_ASKED)
        a.state = a.state == PV_CONNECT_ASKED ? PV_CONNECT_SILENT : PV_CONNECT_DOWN;
    const struct pv_remedy remedy = pv_connect_todo(&a, &about);
    snprintf(text, cap, "%s: %s", pv_connect_why(&a, &about, why),
             pv_remedy_write(&remedy, todo, sizeof(todo)));
    return remedy.id != PV_REMEDY_NONE;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct pv_enrol *x = part;
    char tried[PV_COORDCLIENT_TRIED_BUF];
    /* The network is there, and only the token is missing: the client is told so. */
    if (x->invite != NULL && now >= x->deadline) {
        struct pv_put *put = x->invite;
        x->invite = NULL;
        end_invite(x, put, PV_CTL_E_OFFLINE);
        return;
    }
    if (x->step == LIST && now >= x->deadline)
        succeed(x, NULL);
    if (!is_applicant(x) || now < x->deadline || (now < x->until && ask_next(x, now)))
        return;
    char proxy[PV_CONNECT_WHY_MAX + PV_REMEDY_BUF];
    const char *why = PV_STR(
        "%s%s", x->why,
        strstr(x->why, "(tried ") != NULL ? "" : pv_coordclient_tried(x->node->coord, tried));
    if (is_kept_by_proxy(x->node, proxy, sizeof(proxy)))
        why = proxy;
    const struct pv_refusal *f = pv_refusal_find(x->unknown);
    if (f != NULL)
        fail(x, f->code, now, f->why, f->remedy);
    else
        fail(x, PV_CTLAPI_UNREACHABLE, now, "cannot reach the coordinator", why);
}

static pv_ns next_timeout(const void *part)
{
    const struct pv_enrol *x = part;
    return is_applicant(x) || x->step == LIST || x->invite != NULL ? x->deadline : PV_NEVER;
}

/* --- life ------------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_enrol *x = part;
    pv_puts_init(&x->puts, x->node, &pv_part_enrol);
    x->root.file = cfg->root_file;
    return PV_OK;
}

static void free_enrol(void *part)
{
    struct pv_enrol *x = part;
    forget(x);
    pv_puts_done(&x->puts);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_CREATE, PV_NEEDS_NOTHING, run_create},
    {PV_CTLAPI_JOIN, PV_NEEDS_NOTHING, run_join},
};

const struct pv_part pv_part_enrol = {
    .name = "enrol",
    .size = PV_PART_SIZE(struct pv_enrol),
    .start = start,
    .free = free_enrol,
    .on_facts = on_facts,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .on_answer = on_answer,
    .on_push = on_push,
    .on_cancel = on_cancel,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
