/* SPDX-License-Identifier: MIT */
/* enrol.c - how `create` and `join` begin, go on once membership is certain, and end; the steps
 * with the coordinator are in enrol_guest.c. */
#include "daemon/core/member/enrol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/enrol_int.h"
#include "daemon/core/member/invite.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/refusal.h"
#include "daemon/core/member/rules.h"

/* Tags of jobs; the attempt's number stands above, so that what an earlier one left is known. */
enum {
    TAG_STEP = 1,
    TAG_STORE,
    TAG_BITS = 8,
};

enum {
    FIRST_INVITE_S = 24 * 3600, /* ours: as long as `invite` by itself */
};

/* --- ends ------------------------------------------------------------------------------------- */

static void forget(struct pv_enrol *x)
{
    struct pv_node *node = x->node;
    const struct pv_puts puts = x->puts;
    /* The number outlives the attempt: late results of its jobs are known by it. */
    uint64_t attempt = x->attempt;
    pv_roster_free(x->roster);
    pv_put_free(x->invite);
    pv_wipe(x, sizeof(*x));
    x->node = node;
    x->puts = puts;
    x->attempt = attempt;
}

/* Back to what was before: no network, or the one that is there. */
void pv_enrol_fail(struct pv_enrol *x, enum pv_ctlapi_code code, pv_ns now, const char *why,
                   const char *remedy)
{
    char text[PV_CTLAPI_ERROR_BUF];
    struct pv_node *n = x->node;
    uint64_t handle = x->handle;
    snprintf(text, sizeof(text), "%s: %s: %s", x->create ? "create" : "join", why, remedy);
    pv_log(n->log, PV_LOG_WARN, "what=\"%s failed\" why=\"%s\"", x->create ? "create" : "join",
           text);
    forget(x);
    if (n->roster == NULL)
        pv_coord_disconnect(n, now);
    pv_ctlsrv_fail(n->ctl, handle, code, text);
}

/* The attempt is over before its client hears of it: the client may begin another at once. */
static void succeed(struct pv_enrol *x, const char *token)
{
    struct pv_node *n = x->node;
    const struct pv_member *self = pv_roster_enrolled(n->roster, n->identity->sign_pk);
    uint64_t handle = x->handle;
    json_t *body = NULL;
    if (self != NULL)
        body = pv_ctlapi_joined_json(pv_roster_network(n->roster)->name, self->name, &self->ip4,
                                     &self->ip6, token, self->state == PV_MEMBER_WAITING);
    forget(x);
    pv_ctlsrv_answer(n->ctl, handle, body);
}

/* --- begins ----------------------------------------------------------------------------------- */

/* May a network be entered now? Answers the request itself when not. */
static bool may_begin(struct pv_enrol *x, const char *what, uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    struct pv_node *n = x->node;
    if (x->step != PV_ENROL_NONE) {
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: another create or join is under way: wait for it", what);
        return false;
    }
    if (n->roster != NULL) {
        snprintf(
            text, sizeof(text),
            "%s: this node is in network %s already: `p2pvpnctl leave` first, or have a second "
            "network beside it: `p2pvpnctl -n NAME %s`",
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
    x->until = now + (req->timeout_ms == 0 ? PV_ENROL_TIME : PV_MS(req->timeout_ms));
    x->deadline = req->insist ? x->until : pv_min_ns(x->until, now + PV_ENROL_ANSWER);
}

/* The reason that a user reads at the deadline is set before anything is tried: most failures here
 * are silence, which brings no error of its own. */
static void connect_guest(struct pv_enrol *x, pv_ns now)
{
    x->step = PV_ENROL_CONNECT;
    snprintf(
        x->why, sizeof(x->why),
        "the coordinator does not answer: does it run, is the address right, does TCP reach it?");
    pv_coord_connect(x->node, pv_view(x->list, x->list_len), PV_CTL_GUEST,
                     x->create ? NULL : x->network_id, now);
}

uint64_t pv_enrol_job_tag(const struct pv_enrol *x)
{
    return x->attempt << TAG_BITS | TAG_STEP;
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
 * is there already may still rule a network made before: it is used again, never overwritten. */
static void have_root(struct pv_enrol *x, pv_ns now)
{
    struct pv_job *job = pv_job_new(PV_JOB_KEEP_ROOT);
    x->step = PV_ENROL_ROOT;
    x->jobs = 1;
    if (job == NULL ||
        !pv_jobqueue_submit(&x->node->jobs, job, &pv_part_enrol, pv_enrol_job_tag(x)))
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, "out of memory", "free some and try again");
}

/* Root signs the network, and then others may hear of it. */
static void root_is_there(struct pv_enrol *x, pv_ns now)
{
    int r = make_network(x, now);
    if (r == PV_OK)
        connect_guest(x, now);
    else
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, pv_strstatus(r), "try again");
}

/* The URL's coordinator becomes a list of one, in the form that statements have. */
static bool take_url(const char *text, struct pv_enrol *x)
{
    struct pv_url url;
    if (text == NULL || pv_url_parse(text, strlen(text), &url) != PV_OK)
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
    char why[PV_CTLAPI_ERROR_BUF / 2], range[PV_ADDR_TEXT], other[PV_ADDR_TEXT];
    const struct pv_link_addr *link = pv_node_link_in(x->node, &x->range);
    if (link == NULL)
        return false;
    snprintf(why, sizeof(why), "%s overlaps %s on %s", pv_prefix_format(&x->range, range),
             pv_prefix_format(&link->addr, other), link->ifname);
    pv_enrol_fail(x, PV_CTLAPI_FAILED, now, why,
                  "choose another range with --cidr, such as 10.99.0.0/16");
    return true;
}

/* Everything that the user gave is checked before the root secret is made or anybody is asked: a
 * typing error costs nothing. */
static void run_create(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct pv_enrol *x = part;
    (void)p;
    if (!may_begin(x, "create", handle))
        return;
    begin(x, true, req, handle, now);
    const char *name = req->name[0] != '\0' ? req->name : x->node->hostname;
    const char *network = req->network[0] != '\0' ? req->network : "home";
    const char *cidr = req->cidr[0] != '\0' ? req->cidr : "10.66.0.0/16";
    if (!take_url(req->secret, x)) {
        pv_enrol_fail(x, PV_CTLAPI_BAD_TOKEN, now, "not a coordinator URL",
                      "use what `p2pvpn-coordinator url` prints, whole and in quotes");
        return;
    }
    if (pv_name_parse(name, strlen(name), x->name) != PV_OK ||
        pv_name_parse(network, strlen(network), x->network) != PV_OK ||
        strcmp(x->name, x->network) == 0) {
        pv_enrol_fail(x, PV_CTLAPI_USAGE, now, "the name of the node or network cannot be used",
                      "use a to z, 0 to 9 and -, at most 63, and different names for both");
        return;
    }
    if (pv_prefix_parse(cidr, &x->range) != PV_OK || !pv_ip4_range_is_valid(&x->range)) {
        pv_enrol_fail(x, PV_CTLAPI_USAGE, now, "the range cannot be used",
                      "--cidr takes an IPv4 range of 8 to 30 bits such as 10.66.0.0/16");
        return;
    }
    if (is_range_taken(x, now))
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
    (void)p;
    if (!may_begin(x, "join", handle))
        return;
    begin(x, false, req, handle, now);
    x->name_given = req->name[0] != '\0';
    const char *name = x->name_given ? req->name : x->node->hostname;
    if (pv_name_parse(name, strlen(name), x->name) != PV_OK) {
        pv_enrol_fail(x, PV_CTLAPI_USAGE, now, "the name of the node cannot be used",
                      "use a to z, 0 to 9 and -, at most 63");
        return;
    }
    int r = req->secret == NULL ? PV_ERR_MALFORMED
                                : pv_token_parse(req->secret, strlen(req->secret), &token);
    if (r != PV_OK) {
        pv_enrol_fail(x, PV_CTLAPI_BAD_TOKEN, now,
                      r == PV_ERR_UNSUPPORTED ? "the token is of a later version"
                                              : "not a token, or a damaged one",
                      "copy it whole, from p2pvpn- to its end");
        return;
    }
    memcpy(x->network_id, token.network_id, sizeof(x->network_id));
    memcpy(x->list, token.list, token.list_len);
    x->list_len = token.list_len;
    pv_sign_keypair(token.seed, x->invite_sk, x->invite_pk);
    memcpy(x->rules_mark, token.seed + sizeof(token.seed) - sizeof(x->rules_mark),
           sizeof(x->rules_mark));
    pv_token_done(&token);
    connect_guest(x, now);
}

/* --- what comes back -------------------------------------------------------------------------- */

static void end_invite(struct pv_enrol *x, struct pv_put *put, enum pv_ctl_error error)
{
    char text[PV_CTLAPI_ERROR_BUF];
    struct pv_node *n = x->node;
    uint64_t handle = x->handle;
    bool away = error == PV_CTL_E_OFFLINE;
    if (put->handle != handle) {
        /* the attempt that made it is over */
    } else if (error == PV_CTL_E_NONE) {
        succeed(x, put->token);
    } else {
        snprintf(text, sizeof(text),
                 "create: the coordinator %s%s: the network is there; make a token with "
                 "`p2pvpnctl invite`",
                 away ? "was lost" : "said ", away ? "" : pv_ctl_error_word(error));
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
    pv_enrol_guest_answer(x, msg, now);
}

static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_enrol *x = part;
    if (!x->node->as_member && pv_enrol_is_guest(x) && x->step != PV_ENROL_ROOT)
        pv_enrol_guest_push(x, msg, now);
}

/* The attempt's number in the tag keeps results of an attempt that was given up from moving the
 * next one on. */
static void on_job(void *part, uint64_t tag, struct pv_job_result *result, pv_ns now)
{
    struct pv_enrol *x = part;
    if ((tag & (((uint64_t)1 << TAG_BITS) - 1)) == TAG_STORE) {
        pv_node_stored(x->node, result);
        return;
    }
    /* The key is kept from now on, whoever asked for it. */
    if (result->kind == PV_JOB_KEEP_ROOT && result->status == PV_OK) {
        memcpy(x->node->identity->root.pk, result->root_pk, sizeof(result->root_pk));
        x->node->identity->has_root = true;
    }
    if (tag >> TAG_BITS != x->attempt ||
        (x->step != PV_ENROL_ROOT && x->step != PV_ENROL_SAVE && x->step != PV_ENROL_NETWORK))
        return;
    if (result->status != PV_OK) {
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, result->error, "then run it again");
        return;
    }
    if (--x->jobs > 0)
        return;
    if (x->step == PV_ENROL_ROOT) {
        root_is_there(x, now);
        return;
    }
    if (x->step == PV_ENROL_SAVE) {
        pv_enrol_save_network(x, now);
        return;
    }
    struct pv_roster *r = x->roster;
    x->roster = NULL;
    x->step = PV_ENROL_IFACE;
    pv_coord_forget_cursor(x->node);
    pv_node_put_meta(x->node, "up", pv_view("1", 1), &pv_part_enrol, TAG_STORE);
    if (!x->create)
        pv_rules_close(x->node, x->rules_mark, now);
    pv_membership_enter(x->node, r, true, now);
    /* Its interface comes up when an admin has admitted it. */
    if (x->step == PV_ENROL_IFACE && pv_node_waits(x->node))
        succeed(x, NULL);
}

/* --- the last steps --------------------------------------------------------------------------- */

/* A network of one node is of no use, so `create` makes its first invite before it is done. */
static void iface_is_up(struct pv_enrol *x, pv_ns now)
{
    if (!x->create) {
        succeed(x, NULL);
        return;
    }
    x->step = PV_ENROL_INVITE;
    x->deadline = now + PV_ENROL_TIME;
    const struct pv_invite_terms terms = {.uses = 1, .expires_s = FIRST_INVITE_S};
    int r = pv_invite_make(x->node, pv_node_signer(x->node), &terms, now, &x->invite);
    if (r != PV_OK)
        pv_enrol_fail(x, PV_CTLAPI_FAILED, now, pv_strstatus(r),
                      "make one with `p2pvpnctl invite`");
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
    char text[PV_CTLAPI_ERROR_BUF];
    struct pv_node *n = x->node;
    uint64_t handle = x->handle;
    snprintf(text, sizeof(text), "%s: joined, but the interface is not up: %s",
             x->create ? "create" : "join", n->iface_error);
    forget(x);
    pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_FAILED, text);
}

/* The network was left while the last steps were under way. */
static void network_is_gone(struct pv_enrol *x, pv_ns now)
{
    pv_enrol_fail(x, PV_CTLAPI_FAILED, now, "this machine left the network meanwhile",
                  "run it again");
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_enrol *x = part;
    const struct pv_node *n = x->node;
    struct pv_put *put;
    if ((facts & PV_FACT_OFFLINE) != 0 && (put = pv_puts_take_lost(&x->puts)) != NULL)
        end_invite(x, put, PV_CTL_E_OFFLINE);
    if ((facts & PV_FACT_COORDINATOR) != 0 && pv_enrol_is_guest(x) && x->step != PV_ENROL_ROOT) {
        /* Tries go on, at each of the token's coordinators in turn; what was asked is asked again.
         */
        snprintf(x->why, sizeof(x->why), "%s", n->coord_info.error);
        x->step = PV_ENROL_CONNECT;
        pv_coord_turn(x->node, now);
    }
    if ((facts & PV_FACT_NETWORK) != 0 && n->roster == NULL && x->step >= PV_ENROL_IFACE)
        network_is_gone(x, now);
    if ((facts & PV_FACT_INTERFACE) != 0 && x->step == PV_ENROL_IFACE) {
        if (n->iface == PV_IFACE_UP)
            iface_is_up(x, now);
        else if (n->iface == PV_IFACE_DOWN && n->iface_error[0] != '\0')
            iface_is_not_up(x);
    }
    if ((facts & PV_FACT_ONLINE) != 0 && n->online && x->invite != NULL)
        send_invite(x);
}

/* Nobody waits any more. Once membership is real, it settles all the same. */
static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct pv_enrol *x = part;
    if (x->handle != handle || !pv_enrol_is_guest(x))
        return;
    forget(x);
    pv_coord_disconnect(x->node, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct pv_enrol *x = part;
    char why[PV_COORD_WHY_MAX + 1];
    /* The network is there, and only the token is missing: the client is told so. */
    if (x->invite != NULL && now >= x->deadline) {
        struct pv_put *put = x->invite;
        x->invite = NULL;
        end_invite(x, put, PV_CTL_E_OFFLINE);
        return;
    }
    if (!pv_enrol_is_guest(x) || now < x->deadline || (now < x->until && pv_enrol_ask_next(x, now)))
        return;
    memcpy(why, x->why, sizeof(why));
    const struct pv_refusal *f = pv_refusal_find(x->unknown);
    if (f != NULL)
        pv_enrol_fail(x, f->code, now, f->why, f->remedy);
    else
        pv_enrol_fail(x, PV_CTLAPI_UNREACHABLE, now, "cannot reach the coordinator", why);
}

static pv_ns next_timeout(const void *part)
{
    const struct pv_enrol *x = part;
    return pv_enrol_is_guest(x) || x->invite != NULL ? x->deadline : PV_NEVER;
}

/* --- life ------------------------------------------------------------------------------------- */

static int make_enrol(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                      void **ret_part)
{
    struct pv_enrol *x = calloc(1, sizeof(*x));
    (void)cfg;
    (void)now;
    if (x == NULL)
        return PV_ERR_NOMEM;
    x->node = node;
    pv_puts_init(&x->puts, node, &pv_part_enrol);
    *ret_part = x;
    return PV_OK;
}

static void free_enrol(void *part)
{
    struct pv_enrol *x = part;
    forget(x);
    pv_puts_done(&x->puts);
    free(x);
}

static const struct pv_command commands[] = {
    {PV_CTLAPI_CREATE, PV_NEEDS_NOTHING, run_create},
    {PV_CTLAPI_JOIN, PV_NEEDS_NOTHING, run_join},
};

const struct pv_part pv_part_enrol = {
    .name = "enrol",
    .make = make_enrol,
    .free = free_enrol,
    .on_facts = on_facts,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .on_job = on_job,
    .on_answer = on_answer,
    .on_push = on_push,
    .on_cancel = on_cancel,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
