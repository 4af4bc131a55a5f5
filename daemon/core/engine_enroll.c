/* SPDX-License-Identifier: MIT */
/* create and join: from nothing to a member with an interface (DESIGN 3). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/engine_int.h"

/* The wall clock of statements; the coordinator judges windows, a wrong clock costs nothing. */
#define INVITE_EARLY_S 600

/* --- ends ---------------------------------------------------------------------------------------
 */

static void forget(struct pv_engine *e)
{
    pv_roster_free(e->enroll.roster);
    pv_wipe(&e->enroll, sizeof(e->enroll));
}

/* Back to what was before: no network, or the one that is there. */
static void fail(struct pv_engine *e, enum pv_ctlapi_code code, const char *text, pv_ns now)
{
    uint64_t handle = e->enroll.handle;
    pv_log(e->node.log, PV_LOG_WARN, "what=\"%s failed\" why=\"%s\"",
           e->enroll.create ? "create" : "join", text);
    forget(e);
    pv_engine_disconnect(e, now);
    pv_ctlsrv_fail(e->node.ctl, handle, code, text);
}

static void failf(struct pv_engine *e, enum pv_ctlapi_code code, pv_ns now, const char *why,
                  const char *remedy)
{
    char text[PV_CTLAPI_ERROR_BUF];
    snprintf(text, sizeof(text), "%s: %s: %s", e->enroll.create ? "create" : "join", why, remedy);
    fail(e, code, text, now);
}

/* What the coordinator's refusal means to the user. */
static void refused(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_ERROR) {
        failf(e, PV_CTLAPI_FAILED, now, "the coordinator's answer makes no sense",
              "see its log; is it of this version?");
        return;
    }
    switch (msg->u.failure.error) {
    case PV_CTL_E_UNKNOWN_INVITE:
    case PV_CTL_E_UNKNOWN_NETWORK:
        failf(e, PV_CTLAPI_BAD_TOKEN, now, "the coordinator does not know this token",
              "ask for a new one");
        break;
    case PV_CTL_E_INVITE_REVOKED:
        failf(e, PV_CTLAPI_BAD_TOKEN, now, "the token was revoked", "ask for a new one");
        break;
    case PV_CTL_E_INVITE_EXPIRED:
        failf(e, PV_CTLAPI_BAD_TOKEN, now, "the token has expired", "ask for a new one");
        break;
    case PV_CTL_E_INVITE_USED:
        failf(e, PV_CTLAPI_BAD_TOKEN, now, "the token is used up", "ask for a new one");
        break;
    case PV_CTL_E_REVOKED:
        failf(e, PV_CTLAPI_REFUSED, now, "this machine was removed from the network",
              "`p2pvpnctl leave --forget` makes a new identity; then ask for a new token");
        break;
    case PV_CTL_E_NOT_ALLOWED:
        failf(e, PV_CTLAPI_REFUSED, now, "the coordinator's secret is missing or wrong",
              "use what `p2pvpn-coordinator url` prints");
        break;
    case PV_CTL_E_TAKEN:
        failf(e, PV_CTLAPI_FAILED, now, "the name is taken", "choose another with --name");
        break;
    default:
        failf(e, PV_CTLAPI_FAILED, now, msg->u.failure.message, "try again");
        break;
    }
}

static void succeed(struct pv_engine *e, const char *token)
{
    const struct pv_member *self = pv_node_self(&e->node);
    uint64_t handle = e->enroll.handle;
    forget(e);
    pv_ctlsrv_answer(e->node.ctl, handle,
                     pv_ctlapi_joined_json(pv_roster_network(e->node.roster)->name, self->name,
                                           &self->ip4, &self->ip6, token));
}

void pv_enroll_cancel(struct pv_engine *e, pv_ns now)
{
    if (!pv_enroll_is_guest(e))
        return; /* nobody waits any more, but membership is real: let it settle */
    forget(e);
    pv_engine_disconnect(e, now);
}

/* --- begins --------------------------------------------------------------------------------------
 */

/* May a network be entered now? Answers the request itself when not. */
static bool may_begin(struct pv_engine *e, bool create, uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    const char *what = create ? "create" : "join";
    if (e->enroll.step != PV_ENROLL_NONE) {
        snprintf(text, sizeof(text), "%s: another create or join is under way: wait for it", what);
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, text);
        return false;
    }
    if (e->node.roster != NULL) {
        snprintf(text, sizeof(text),
                 "%s: this machine is in network %s already: `p2pvpnctl leave` first, or run a "
                 "second p2pvpnd with its own --state, --socket and --tun",
                 what, pv_roster_network(e->node.roster)->name);
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, text);
        return false;
    }
    return true;
}

static void connect_guest(struct pv_engine *e, pv_ns now)
{
    e->enroll.step = PV_ENROLL_CONNECT;
    snprintf(e->enroll.why, sizeof(e->enroll.why),
             "the coordinator does not answer: is it running, and is the address right?");
    pv_engine_connect(e, pv_view(e->enroll.list, e->enroll.list_len), PV_CTL_GUEST,
                      e->enroll.create ? NULL : e->enroll.network_id, now);
}

static int make_network(struct pv_engine *e, pv_ns now)
{
    uint8_t root_sk[PV_SIGN_SK_LEN];
    uint8_t root_pk[PV_SIGN_PK_LEN];
    /* A root that is there already may still rule a network made before: it is used again, never
     * overwritten. */
    if (!e->node.identity->has_root)
        pv_rng_fill(&e->node.rng, e->node.identity->root_seed, sizeof(e->node.identity->root_seed));
    e->node.identity->has_root = true;
    pv_sign_keypair(e->node.identity->root_seed, root_sk, root_pk);
    const struct pv_create c = {
        .root_sk = root_sk,
        .node_sk = e->node.identity->sign_sk,
        .transport = e->node.identity->dh_pk,
        .network_name = e->enroll.network,
        .node_name = e->enroll.name,
        .range = e->enroll.range,
        .coordinators = pv_view(e->enroll.list, e->enroll.list_len),
        .wall = pv_engine_wall_s(e, now),
    };
    int r = pv_make_create(&c, &e->enroll.created);
    pv_wipe(root_sk, sizeof(root_sk));
    if (r == PV_OK)
        memcpy(e->enroll.network_id, e->enroll.created.network_id, sizeof(e->enroll.network_id));
    return r;
}

/* The root secret is on disk before anybody hears of the network: losing it would orphan it. */
static void save_root(struct pv_engine *e, pv_ns now)
{
    struct pv_job *job = pv_job_new(PV_JOB_SAVE_ROOT);
    if (job != NULL) {
        memcpy(job->u.root_seed, e->node.identity->root_seed, sizeof(job->u.root_seed));
        e->enroll.step = PV_ENROLL_ROOT;
        e->enroll.jobs = 1;
        if (pv_engine_job(e, job, PV_JP_ENROLL, 0))
            return;
    }
    failf(e, PV_CTLAPI_FAILED, now, "out of memory", "free some and try again");
}

static bool take_url(const char *text, struct pv_enroll *en)
{
    struct pv_url url;
    if (text == NULL || pv_url_parse(text, strlen(text), &url) != PV_OK)
        return false;
    struct pv_writer w = pv_writer(en->list, sizeof(en->list));
    pv_coordlist_put(&w, url.pk, &url.addr, 1);
    en->list_len = w.len;
    memcpy(en->coordinator, url.pk, sizeof(en->coordinator));
    en->has_secret = url.has_secret;
    memcpy(en->secret, url.secret, sizeof(en->secret));
    pv_url_done(&url);
    return w.status == PV_OK && pv_coordlist_check(pv_written(&w), sizeof(en->list)) == PV_OK;
}

static pv_ns deadline_of(const struct pv_ctlapi_request *req, pv_ns now)
{
    return now + (req->timeout_ms == 0 ? PV_ENROLL_TIME : PV_MS(req->timeout_ms));
}

void pv_engine_create(struct pv_engine *e, struct pv_ctlapi_request *req, uint64_t handle,
                      pv_ns now)
{
    struct pv_enroll *en = &e->enroll;
    if (!may_begin(e, true, handle))
        return;
    en->create = true;
    en->handle = handle;
    en->deadline = deadline_of(req, now);
    const char *name = req->name[0] != '\0' ? req->name : e->node.hostname;
    const char *network = req->network[0] != '\0' ? req->network : "home";
    const char *cidr = req->cidr[0] != '\0' ? req->cidr : "10.66.0.0/16";
    if (!take_url(req->secret, en)) {
        failf(e, PV_CTLAPI_BAD_TOKEN, now, "not a coordinator URL",
              "use what `p2pvpn-coordinator url` prints, whole and in quotes");
        return;
    }
    if (pv_name_parse(name, strlen(name), en->name) != PV_OK ||
        pv_name_parse(network, strlen(network), en->network) != PV_OK ||
        strcmp(en->name, en->network) == 0) {
        failf(e, PV_CTLAPI_USAGE, now, "the name of the node or network cannot be used",
              "use a to z, 0 to 9 and -, at most 63, and different names for both");
        return;
    }
    if (pv_prefix_parse(cidr, &en->range) != PV_OK || !pv_ip4_range_is_valid(&en->range)) {
        failf(e, PV_CTLAPI_USAGE, now, "the range cannot be used",
              "--cidr takes an IPv4 range of 8 to 30 bits such as 10.66.0.0/16");
        return;
    }
    int r = make_network(e, now);
    if (r != PV_OK) {
        failf(e, PV_CTLAPI_FAILED, now, pv_strstatus(r), "try again");
        return;
    }
    save_root(e, now);
}

void pv_engine_join(struct pv_engine *e, struct pv_ctlapi_request *req, uint64_t handle, pv_ns now)
{
    struct pv_enroll *en = &e->enroll;
    struct pv_token token;
    if (!may_begin(e, false, handle))
        return;
    en->handle = handle;
    en->deadline = deadline_of(req, now);
    en->name_given = req->name[0] != '\0';
    const char *name = en->name_given ? req->name : e->node.hostname;
    if (pv_name_parse(name, strlen(name), en->name) != PV_OK) {
        failf(e, PV_CTLAPI_USAGE, now, "the name of the node cannot be used",
              "use a to z, 0 to 9 and -, at most 63");
        return;
    }
    int r = req->secret == NULL ? PV_ERR_MALFORMED
                                : pv_token_parse(req->secret, strlen(req->secret), &token);
    if (r != PV_OK) {
        failf(e, PV_CTLAPI_BAD_TOKEN, now,
              r == PV_ERR_UNSUPPORTED ? "the token is of a later version"
                                      : "not a token, or a damaged one",
              "copy it whole, from p2pvpn- to its end");
        return;
    }
    memcpy(en->network_id, token.network_id, sizeof(en->network_id));
    memcpy(en->list, token.list, token.list_len);
    en->list_len = token.list_len;
    pv_sign_keypair(token.seed, en->invite_sk, en->invite_pk);
    pv_token_done(&token);
    connect_guest(e, now);
}

/* --- steps ---------------------------------------------------------------------------------------
 */

static void ask(struct pv_engine *e, struct pv_ctl_msg *msg, enum pv_enroll_step step)
{
    e->enroll.step = step;
    int r = pv_coordclient_request(e->node.coord, msg, PV_CP_TAG(PV_CP_ENROLL, 0));
    if (r != PV_OK)
        snprintf(e->enroll.why, sizeof(e->enroll.why), "a request could not be sent: %s",
                 pv_strstatus(r));
}

static void ask_create(struct pv_engine *e)
{
    const struct pv_created *c = &e->enroll.created;
    const struct pv_ctl_item items[] = {
        {.statement = pv_made_view(&c->network)},
        {.statement = pv_view(c->coordinators.raw, c->coordinators.len)},
        {.statement = pv_made_view(&c->admin)},
        {.statement = pv_made_view(&c->member)},
    };
    struct pv_ctl_msg msg = {.type = PV_CTL_CREATE};
    msg.u.put.has_secret = e->enroll.has_secret;
    memcpy(msg.u.put.secret, e->enroll.secret, sizeof(msg.u.put.secret));
    msg.u.put.n = PV_ARRAY_LEN(items);
    msg.u.put.items = items;
    ask(e, &msg, PV_ENROLL_CREATE);
    pv_wipe(&msg, sizeof(msg));
}

bool pv_enroll_is_guest(const struct pv_engine *e)
{
    return e->enroll.step != PV_ENROLL_NONE && e->enroll.step < PV_ENROLL_SAVE;
}

/* The network's record says from the first where else the coordinator is (another address family)
 * and where it speaks TLS, and so do tokens: a machine whose network lets only that out can join.
 */
static void learn_addrs(struct pv_engine *e, const struct pv_coordlist_more *more)
{
    struct pv_enroll *en = &e->enroll;
    uint8_t list[sizeof(en->list)];
    uint8_t root_sk[PV_SIGN_SK_LEN];
    uint8_t root_pk[PV_SIGN_PK_LEN];
    struct pv_made_long made;
    size_t len = 0;
    int r = pv_coordlist_with(pv_view(en->list, en->list_len), more, list, sizeof(list), &len);
    if (r < 0 || len == en->list_len)
        return;
    pv_sign_keypair(e->node.identity->root_seed, root_sk, root_pk);
    r = pv_make_coordinators(en->network_id, root_sk, 1, pv_view(list, len), &made);
    pv_wipe(root_sk, sizeof(root_sk));
    if (r < 0)
        return; /* without it the network is as good, but for those machines */
    memcpy(en->list, list, len);
    en->list_len = len;
    en->created.coordinators = made;
}

void pv_enroll_online(struct pv_engine *e, const struct pv_ctl_welcome *w)
{
    if (e->enroll.create) {
        learn_addrs(e, &(struct pv_coordlist_more){.addrs = w->stun, .n = w->n_stun});
        learn_addrs(e,
                    &(struct pv_coordlist_more){.addrs = w->tls.addrs, .n = w->tls.n, .tls = true});
        ask_create(e);
        return;
    }
    struct pv_ctl_msg msg = {.type = PV_CTL_FETCH};
    memcpy(msg.u.fetch.invite, e->enroll.invite_pk, sizeof(msg.u.fetch.invite));
    ask(e, &msg, PV_ENROLL_FETCH);
}

bool pv_enroll_refused(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_ERROR)
        return false;
    enum pv_ctl_error error = msg->u.failure.error;
    if (error == PV_CTL_E_LIMIT || error == PV_CTL_E_STORAGE || error == PV_CTL_E_BUSY ||
        error == PV_CTL_E_SHUTDOWN)
        return false;
    refused(e, msg, now);
    return true;
}

void pv_enroll_offline(struct pv_engine *e, const char *why)
{
    /* The client connects again by itself; what was asked is asked again. */
    snprintf(e->enroll.why, sizeof(e->enroll.why), "%s", why);
    if (e->enroll.step > PV_ENROLL_CONNECT)
        e->enroll.step = PV_ENROLL_CONNECT;
}

/* The record and the chain of the invite, checked against the network id of the token. */
static int take_record(struct pv_engine *e, const struct pv_ctl_statements *st)
{
    struct pv_roster *r = NULL;
    int status = PV_ERR_NOT_FOUND;
    for (size_t i = 0; i < st->n && r == NULL; i++) {
        struct pv_statement s;
        if (pv_statement_decode(st->items[i].statement, &s) == PV_OK && s.type == PV_ST_NETWORK)
            status = pv_roster_new(st->items[i].statement, e->enroll.network_id, &e->node.rng, &r);
    }
    if (r == NULL)
        return status;
    for (size_t i = 0; i < st->n; i++) {
        enum pv_roster_added added;
        status = pv_roster_add(r, st->items[i].statement, st->items[i].receipt, &added);
        if (status != PV_OK)
            pv_log(e->node.log, PV_LOG_WARN, "what=\"statement refused while joining\" why=\"%s\"",
                   pv_strstatus(status));
    }
    struct pv_roster_event ev;
    while (pv_roster_poll_event(r, &ev) == PV_OK)
        continue; /* told again when the roster is entered: see pv_engine_enter() */
    struct pv_roster_invite inv;
    status = pv_roster_invite(r, e->enroll.invite_pk, &inv);
    if (status == PV_OK) {
        pv_roster_free(e->enroll.roster);
        e->enroll.roster = r;
    } else {
        pv_roster_free(r);
    }
    return status;
}

static void fetched(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_STATEMENTS) {
        refused(e, msg, now);
        return;
    }
    if (take_record(e, &msg->u.statements) != PV_OK) {
        failf(e, PV_CTLAPI_REFUSED, now,
              "the coordinator handed out a network record that is not the token's",
              "do not trust it; ask who gave you the token");
        return;
    }
    struct pv_ctl_msg ask_join = {.type = PV_CTL_JOIN};
    struct pv_ctl_join *j = &ask_join.u.join;
    uint8_t hash[PV_CTL_HASH_LEN];
    memcpy(j->invite, e->enroll.invite_pk, sizeof(j->invite));
    memcpy(j->node, e->node.identity->sign_pk, sizeof(j->node));
    memcpy(j->name, e->enroll.name, sizeof(j->name));
    int r = pv_coordclient_handshake_hash(e->node.coord, hash);
    if (r == PV_OK)
        r = pv_ctl_join_sign(j, hash, e->enroll.invite_sk);
    if (r == PV_OK)
        ask(e, &ask_join, PV_ENROLL_JOIN);
    else
        failf(e, PV_CTLAPI_FAILED, now, pv_strstatus(r), "try again");
}

static void reserved(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_RESERVATION) {
        refused(e, msg, now);
        return;
    }
    const struct pv_ctl_reservation *res = &msg->u.reservation;
    if (e->enroll.name_given && strcmp(res->name, e->enroll.name) != 0) {
        failf(e, PV_CTLAPI_FAILED, now, "the name is taken", "choose another with --name");
        return;
    }
    struct pv_st_member m = {0};
    struct pv_made made;
    memcpy(m.transport, e->node.identity->dh_pk, sizeof(m.transport));
    m.serial = res->serial; /* who was a member before, and left, needs a higher one */
    memcpy(m.name, res->name, sizeof(m.name));
    memcpy(m.ip4, res->ip4, sizeof(m.ip4));
    m.issued = pv_engine_wall_s(e, now);
    int r = pv_make_member(e->enroll.network_id, e->enroll.invite_sk, e->node.identity->sign_sk, &m,
                           &made);
    if (r != PV_OK) {
        failf(e, PV_CTLAPI_FAILED, now, "the coordinator offered an address that cannot be used",
              "ask its owner");
        return;
    }
    struct pv_ctl_msg reg = {.type = PV_CTL_REGISTER};
    reg.u.reg.member = pv_made_view(&made);
    ask(e, &reg, PV_ENROLL_REGISTER);
}

/* --- membership is certain: store it, then become it
 * ------------------------------------------------ */

static void save(struct pv_engine *e, pv_ns now)
{
    struct pv_enroll *en = &e->enroll;
    const struct pv_member *self = pv_roster_by_node(en->roster, e->node.identity->sign_pk);
    if (self == NULL) {
        failf(e, PV_CTLAPI_REFUSED, now, "the coordinator's answer does not make us a member",
              "do not trust it; see `p2pvpnctl status` and its log");
        return;
    }
    struct pv_job *job = pv_job_new(PV_JOB_SET_NETWORK);
    if (job == NULL) {
        failf(e, PV_CTLAPI_FAILED, now, "out of memory", "free some and try again");
        return;
    }
    memcpy(job->u.set_network.network_id, en->network_id, sizeof(en->network_id));
    memcpy(job->u.set_network.name, pv_roster_network(en->roster)->name,
           sizeof(job->u.set_network.name));
    memcpy(job->u.set_network.node_name, self->name, sizeof(job->u.set_network.node_name));
    for (const struct pv_roster_entry *x = pv_roster_next_entry(en->roster, NULL); x != NULL;
         x = pv_roster_next_entry(en->roster, x))
        pv_engine_unsaved(e, x);
    en->step = PV_ENROLL_SAVE;
    en->jobs = 2;
    pv_engine_flush_unsaved(e, PV_JP_ENROLL);
    pv_engine_job(e, job, PV_JP_ENROLL, 0);
}

static void registered(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now)
{
    if (msg->type != PV_CTL_REGISTERED) {
        refused(e, msg, now);
        return;
    }
    const struct pv_ctl_item *item = &msg->u.registered.item;
    enum pv_roster_added added;
    struct pv_roster_event ev;
    int r = pv_roster_add(e->enroll.roster, item->statement, item->receipt, &added);
    while (pv_roster_poll_event(e->enroll.roster, &ev) == PV_OK)
        continue;
    if (r != PV_OK) {
        failf(e, PV_CTLAPI_REFUSED, now, "the coordinator's receipt is not valid",
              "do not trust it; ask who gave you the token");
        return;
    }
    save(e, now);
}

static void created(struct pv_engine *e, const struct pv_ctl_msg *msg, pv_ns now)
{
    const struct pv_created *c = &e->enroll.created;
    const struct pv_view made[] = {pv_made_view(&c->network),
                                   pv_view(c->coordinators.raw, c->coordinators.len),
                                   pv_made_view(&c->admin), pv_made_view(&c->member)};
    if (msg->type != PV_CTL_RECEIPTS || msg->u.receipts.n != PV_ARRAY_LEN(made)) {
        refused(e, msg, now);
        return;
    }
    pv_roster_free(e->enroll.roster);
    e->enroll.roster = NULL;
    int r = pv_roster_new(made[0], c->network_id, &e->node.rng, &e->enroll.roster);
    for (size_t i = 0; r == PV_OK && i < PV_ARRAY_LEN(made); i++) {
        enum pv_roster_added added;
        if (msg->u.receipts.results[i].error != PV_CTL_E_NONE)
            r = PV_ERR_REFUSED;
        else
            r = pv_roster_add(e->enroll.roster, made[i], msg->u.receipts.results[i].receipt,
                              &added);
    }
    struct pv_roster_event ev;
    while (r == PV_OK && pv_roster_poll_event(e->enroll.roster, &ev) == PV_OK)
        continue;
    if (r != PV_OK) {
        failf(e, PV_CTLAPI_FAILED, now, "the coordinator's receipts are not valid",
              "is the URL of the right coordinator?");
        return;
    }
    save(e, now);
}

void pv_enroll_answer(struct pv_engine *e, const struct pv_coordclient_event *ev, pv_ns now)
{
    switch (e->enroll.step) {
    case PV_ENROLL_FETCH:
        fetched(e, ev->msg, now);
        break;
    case PV_ENROLL_JOIN:
        reserved(e, ev->msg, now);
        break;
    case PV_ENROLL_REGISTER:
        registered(e, ev->msg, now);
        break;
    case PV_ENROLL_CREATE:
        created(e, ev->msg, now);
        break;
    case PV_ENROLL_NONE:
    case PV_ENROLL_ROOT:
    case PV_ENROLL_CONNECT:
    case PV_ENROLL_SAVE:
    case PV_ENROLL_IFACE:
    case PV_ENROLL_INVITE:
        break; /* an answer to something that is over */
    }
}

void pv_enroll_job_done(struct pv_engine *e, const struct pv_job_result *result, pv_ns now)
{
    struct pv_enroll *en = &e->enroll;
    if (en->step != PV_ENROLL_ROOT && en->step != PV_ENROLL_SAVE)
        return;
    if (result->status != PV_OK) {
        failf(e, PV_CTLAPI_FAILED, now, result->error, "then run it again");
        return;
    }
    if (--en->jobs > 0)
        return;
    if (en->step == PV_ENROLL_ROOT) {
        connect_guest(e, now);
        return;
    }
    struct pv_roster *r = en->roster;
    en->roster = NULL;
    en->step = PV_ENROLL_IFACE;
    e->cursor = (struct pv_ctl_cursor){0};
    pv_engine_set_meta(e, "up", pv_view("1", 1));
    pv_engine_enter(e, r, true, now);
}

/* --- the last steps
 * -------------------------------------------------------------------------------- */

static void make_first_invite(struct pv_engine *e, pv_ns now)
{
    struct pv_put *put;
    e->enroll.step = PV_ENROLL_INVITE;
    int r = pv_engine_make_invite(e, 1, 24 * 3600, now, &put);
    if (r != PV_OK) {
        failf(e, PV_CTLAPI_FAILED, now, pv_strstatus(r), "make one with `p2pvpnctl invite`");
        return;
    }
    put->kind = PV_PUT_CREATE_INVITE;
    uint64_t handle = e->enroll.handle;
    put->handle = handle;
    /* From here on it is an ordinary put of a member. */
    forget(e);
    if (e->node.online) {
        pv_engine_put(e, put, now);
        return;
    }
    e->first_invite = put;
    e->first_invite_by = now + PV_ENROLL_TIME;
}

void pv_enroll_iface_done(struct pv_engine *e, const char *error, pv_ns now)
{
    if (e->enroll.step != PV_ENROLL_IFACE)
        return;
    if (error != NULL) {
        char text[PV_CTLAPI_ERROR_BUF];
        uint64_t handle = e->enroll.handle;
        snprintf(text, sizeof(text), "%s: joined, but the interface is not up: %s",
                 e->enroll.create ? "create" : "join", error);
        forget(e);
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, text);
        return;
    }
    if (e->enroll.create)
        make_first_invite(e, now);
    else
        succeed(e, NULL);
}

void pv_enroll_timeout(struct pv_engine *e, pv_ns now)
{
    struct pv_enroll *en = &e->enroll;
    if (e->first_invite != NULL && now >= e->first_invite_by) {
        struct pv_put *put = e->first_invite;
        e->first_invite = NULL;
        pv_engine_put_done(e, put, PV_CTL_E_OFFLINE, now);
    }
    if (!pv_enroll_is_guest(e) || now < en->deadline)
        return;
    char why[PV_CTL_ERROR_TEXT_MAX + 1];
    memcpy(why, en->why, sizeof(why));
    failf(e, PV_CTLAPI_UNREACHABLE, now, "cannot reach the coordinator", why);
}

int pv_engine_make_invite(struct pv_engine *e, uint32_t uses, uint64_t expires_s, pv_ns now,
                          struct pv_put **ret_put)
{
    struct pv_token token = {0};
    uint8_t sk[PV_SIGN_SK_LEN];
    struct pv_st_invite inv = {.uses = uses};
    struct pv_made made;
    uint64_t wall = pv_engine_coord_s(e, now);
    struct pv_view list = pv_roster_coordinators(e->node.roster);
    struct pv_put *put = calloc(1, sizeof(*put));
    if (put != NULL) {
        put->statements = calloc(1, sizeof(*put->statements));
        put->token = calloc(1, PV_TOKEN_TEXT_BUF);
    }
    if (put == NULL || put->statements == NULL || put->token == NULL) {
        pv_put_free(put);
        return PV_ERR_NOMEM;
    }
    pv_rng_fill(&e->node.rng, token.seed, sizeof(token.seed));
    pv_sign_keypair(token.seed, sk, inv.invite);
    pv_wipe(sk, sizeof(sk));
    inv.not_before = wall > INVITE_EARLY_S ? wall - INVITE_EARLY_S : 0;
    inv.not_after = wall + expires_s;
    int r = list.len > sizeof(token.list) ? PV_ERR_LIMIT : PV_OK;
    if (r == PV_OK)
        r = pv_make_invite(pv_roster_network_id(e->node.roster), e->node.identity->sign_sk, &inv,
                           &made);
    if (r == PV_OK) {
        memcpy(token.network_id, pv_roster_network_id(e->node.roster), sizeof(token.network_id));
        memcpy(token.list, list.ptr, list.len);
        token.list_len = list.len;
        r = pv_token_format(&token, put->token, PV_TOKEN_TEXT_BUF);
    }
    pv_token_done(&token);
    if (r != PV_OK) {
        pv_put_free(put);
        return r;
    }
    put->kind = PV_PUT_INVITE;
    memcpy(put->invite, inv.invite, sizeof(put->invite));
    memcpy(put->statements[0].raw, made.raw, made.len);
    put->statements[0].len = made.len;
    put->n = 1;
    *ret_put = put;
    return PV_OK;
}
