/* SPDX-License-Identifier: MIT */
/* admin.c - who may sign what, the statements, and what their receipts mean to the user. */
#include "daemon/core/member/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/member/invite.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/peer/peers.h"

/* What a put is for. */
enum put_kind {
    PUT_INVITE,
    PUT_REVOKE_INVITE,
    PUT_REMOVE,
    PUT_LEAVE,
};

struct admin {
    struct pv_node *node;
    struct pv_puts puts;
    bool forgetting_keys; /* a job that deletes them is under way; its tag: who waits */
};

static int make_admin(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                      void **ret_part)
{
    struct admin *a = calloc(1, sizeof(*a));
    (void)cfg;
    (void)now;
    if (a == NULL)
        return PV_ERR_NOMEM;
    a->node = node;
    pv_puts_init(&a->puts, node, &pv_part_admin);
    *ret_part = a;
    return PV_OK;
}

static void free_admin(void *part)
{
    struct admin *a = part;
    pv_puts_done(&a->puts);
    free(a);
}

static void answer_error(struct admin *a, uint64_t handle, enum pv_ctlapi_code code,
                         const char *text)
{
    pv_ctlsrv_fail(a->node->ctl, handle, code, text);
}

/* May this node sign that, with or without the coordinator? */
static bool may_sign(struct admin *a, const char *what, uint8_t right, uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    if (!pv_node_need_network(a->node, what, handle))
        return false;
    if ((pv_roster_rights(a->node->roster, a->node->identity->sign_pk) & right) == 0) {
        snprintf(text, sizeof(text), "%s: this node is no admin of %s: ask one who is", what,
                 pv_roster_network(a->node->roster)->name);
        answer_error(a, handle, PV_CTLAPI_REFUSED, text);
        return false;
    }
    if (!a->node->up) {
        snprintf(text, sizeof(text), "%s: this node is down: `p2pvpnctl up` first", what);
        answer_error(a, handle, PV_CTLAPI_FAILED, text);
        return false;
    }
    return true;
}

/* An invite is of use only at the coordinator, where joiners come: while that is away nobody makes
 * one. A revocation needs no more than may_sign. */
static bool may(struct admin *a, const char *what, uint8_t right, uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    if (!may_sign(a, what, right, handle))
        return false;
    if (!a->node->online) {
        snprintf(text, sizeof(text),
                 "%s: the coordinator cannot be reached (%s): try again when it is back", what,
                 a->node->coord_info.error[0] != '\0' ? a->node->coord_info.error : "connecting");
        answer_error(a, handle, PV_CTLAPI_UNREACHABLE, text);
        return false;
    }
    return true;
}

/* --- the end of a put ------------------------------------------------------------------------- */

static const char *put_name(int kind)
{
    static const char *const names[] = {[PUT_INVITE] = "invite",
                                        [PUT_REVOKE_INVITE] = "invite revoke",
                                        [PUT_REMOVE] = "remove",
                                        [PUT_LEAVE] = "leave"};
    return names[kind];
}

static void forget_network(struct admin *a, bool keys, uint64_t handle, pv_ns now)
{
    struct pv_job *job = pv_job_new(PV_JOB_FORGET_NETWORK);
    /* The node leaves before the store forgets: from here on nothing is written that belongs to
     * this network. */
    pv_membership_leave(a->node, now);
    if (job == NULL) {
        answer_error(a, handle, PV_CTLAPI_FAILED, "leave: out of memory: try again");
        return;
    }
    job->u.forget_keys = keys;
    a->forgetting_keys = keys;
    (void)pv_jobqueue_submit(&a->node->jobs, job, &pv_part_admin, handle);
}

/* The store has forgotten the network, and with --forget the keys: then the shell ends this engine
 * and makes one with new keys. */
static void on_job(void *part, uint64_t tag, struct pv_job_result *result, pv_ns now)
{
    struct admin *a = part;
    (void)now;
    a->node->keys_forgotten = a->forgetting_keys && result->status == PV_OK;
    a->forgetting_keys = false;
    if (result->status == PV_OK)
        pv_ctlsrv_done(a->node->ctl, tag);
    else
        answer_error(a, tag, PV_CTLAPI_FAILED, result->error);
}

static void tell_refusal(struct admin *a, const struct pv_put *put, enum pv_ctl_error error)
{
    char text[PV_CTLAPI_ERROR_BUF];
    bool away = error == PV_CTL_E_OFFLINE;
    snprintf(text, sizeof(text), "%s: the coordinator %s%s: try again", put_name(put->kind),
             away ? "was lost" : "said ", away ? "" : pv_ctl_error_word(error));
    answer_error(a, put->handle, away ? PV_CTLAPI_UNREACHABLE : PV_CTLAPI_REFUSED, text);
}

/* Who is removed must not stay because the coordinator is away: it takes effect here, goes to every
 * member that is reached, and to the coordinator when it is back and heads are compared. */
static void revoke_without(struct admin *a, const struct pv_put *put, pv_ns now)
{
    char text[PV_CTLAPI_ERROR_BUF];
    size_t refused = 0;
    for (size_t i = 0; i < put->n; i++) {
        const struct pv_ctl_item item = {
            .statement = pv_view(put->statements[i].raw, put->statements[i].len)};
        refused += pv_membership_add(a->node, &item, 1, now);
    }
    snprintf(text, sizeof(text), "%s: %s", put_name(put->kind),
             refused > 0 ? "the coordinator is away, and this node does not accept it itself: "
                           "try again when it is back"
                         : "done on this node and told to the members it reaches; the coordinator "
                           "is away and is told when it is back");
    answer_error(a, put->handle, PV_CTLAPI_UNREACHABLE, text);
}

/* error: PV_CTL_E_NONE, or the first refusal. Frees the put. */
static void end_put(struct admin *a, struct pv_put *put, enum pv_ctl_error error, pv_ns now)
{
    bool revokes = put->kind == PUT_REMOVE || put->kind == PUT_REVOKE_INVITE;
    /* With --forget the node goes even if nobody could be told: its keys are to be gone. */
    if (put->kind == PUT_LEAVE && (error == PV_CTL_E_NONE || put->force))
        forget_network(a, put->force, put->handle, now);
    else if (error == PV_CTL_E_OFFLINE && revokes)
        revoke_without(a, put, now);
    else if (error != PV_CTL_E_NONE)
        tell_refusal(a, put, error);
    else if (put->kind == PUT_INVITE)
        pv_ctlsrv_answer(a->node->ctl, put->handle, pv_ctlapi_invite_json(put->token, put->invite));
    else
        pv_ctlsrv_done(a->node->ctl, put->handle);
    pv_put_free(put);
}

static void start_put(struct admin *a, struct pv_put *put, pv_ns now)
{
    enum pv_ctl_error error = pv_puts_send(&a->puts, put);
    if (error != PV_CTL_E_NONE)
        end_put(a, put, error, now);
}

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct admin *a = part;
    struct pv_put_result result;
    struct pv_put *put = pv_puts_take(&a->puts, tag, msg, &result);
    if (put == NULL)
        return;
    /* Receipts reach the roster before the client is answered: its next command sees what this one
     * did. */
    (void)pv_membership_add(a->node, result.items, result.n_items, now);
    end_put(a, put, result.error, now);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct admin *a = part;
    struct pv_put *put;
    while ((facts & PV_FACT_OFFLINE) != 0 && (put = pv_puts_take_lost(&a->puts)) != NULL)
        end_put(a, put, PV_CTL_E_OFFLINE, now);
}

/* --- commands --------------------------------------------------------------------------------- */

static void run_invite(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    struct pv_put *put;
    (void)p;
    if (!may(a, "invite", PV_RIGHT_INVITE, handle))
        return;
    if (req->admin) {
        answer_error(a, handle, PV_CTLAPI_FAILED,
                     "invite: admins other than the creator are not part of this version: leave "
                     "out --admin");
        return;
    }
    int r = pv_invite_make(a->node, req->uses, req->expires_s, now, &put);
    if (r != PV_OK) {
        char text[PV_CTLAPI_ERROR_BUF];
        snprintf(text, sizeof(text), "invite: %s: try again", pv_strstatus(r));
        answer_error(a, handle, PV_CTLAPI_FAILED, text);
        return;
    }
    put->kind = PUT_INVITE;
    put->handle = handle;
    start_put(a, put, now);
}

/* Every invite that the roster knows, also used up and ended ones: who made too many sees it here.
 */
static void run_invite_list(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                            uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    (void)req;
    (void)p;
    (void)now;
    if (!pv_node_need_network(a->node, "invite list", handle))
        return;
    json_t *out = pv_ctlapi_invites_new();
    const void *iter = NULL;
    struct pv_roster_invite inv;
    while (out != NULL && pv_roster_next_invite(a->node->roster, &iter, &inv) == PV_OK) {
        struct pv_ctlapi_invite x = {
            .uses = inv.uses,
            .used = inv.used,
            .not_before_s = inv.not_before,
            .not_after_s = inv.not_after == UINT64_MAX ? 0 : inv.not_after,
            .revoked = inv.revoked,
        };
        memcpy(x.id, inv.invite, sizeof(x.id));
        if (pv_ctlapi_invites_add(out, &x) != PV_OK) {
            json_decref(out);
            out = NULL;
        }
    }
    pv_ctlsrv_answer(a->node->ctl, handle, out);
}

/* All statements of one revocation, as a put. */
static struct pv_put *make_revocation(struct admin *a, enum pv_st_revoked_kind kind,
                                      const uint8_t *pk, pv_ns now)
{
    struct pv_st_revocation what = {.kind = (uint8_t)kind, .time = pv_node_wall_s(a->node, now)};
    struct pv_put *put = pv_put_new(0);
    size_t iter = 0;
    memcpy(what.pk, pk, sizeof(what.pk));
    do {
        struct pv_made_long *grown =
            put == NULL ? NULL : realloc(put->statements, (put->n + 1) * sizeof(*put->statements));
        if (grown == NULL)
            return pv_put_free(put);
        put->statements = grown;
        if (pv_make_revocation(a->node->roster, a->node->identity->sign_sk, &what, &iter,
                               &put->statements[put->n]) != PV_OK)
            return pv_put_free(put);
        put->n++;
    } while (iter != 0);
    return put;
}

static void revoke(struct admin *a, enum put_kind kind, const uint8_t *pk, uint64_t handle,
                   pv_ns now)
{
    struct pv_put *put =
        make_revocation(a, kind == PUT_REMOVE ? PV_REVOKE_NODE : PV_REVOKE_INVITE, pk, now);
    if (put == NULL) {
        answer_error(a, handle, PV_CTLAPI_FAILED,
                     kind == PUT_REMOVE
                         ? "remove: the revocation could not be made: try again"
                         : "invite revoke: no such invite: `p2pvpnctl invite list` shows them");
        return;
    }
    put->kind = (int)kind;
    put->handle = handle;
    start_put(a, put, now);
}

static void run_invite_revoke(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                              uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    uint8_t pk[32];
    (void)p;
    if (!may_sign(a, "invite revoke", PV_RIGHT_INVITE, handle))
        return;
    if (pv_key_parse(req->invite, pk) != PV_OK) {
        answer_error(a, handle, PV_CTLAPI_USAGE,
                     "invite revoke: that is no invite id: `p2pvpnctl invite list` shows them");
        return;
    }
    revoke(a, PUT_REVOKE_INVITE, pk, handle, now);
}

static void run_remove(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    (void)req;
    if (may_sign(a, "remove", PV_RIGHT_REVOKE, handle))
        revoke(a, PUT_REMOVE, pv_peer_pk(p), handle, now);
}

static void run_leave(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    struct admin *a = part;
    struct pv_node *n = a->node;
    struct pv_made made;
    (void)p;
    /* Keys are there to be forgotten even where no network is left. */
    if (n->roster == NULL && req->forget) {
        forget_network(a, true, handle, now);
        return;
    }
    if (n->roster == NULL && !pv_node_need_network(n, "leave", handle))
        return;
    /* A removed node has nothing to sign off from, nor one that was cut off while it left. */
    if (pv_node_self(n) == NULL || n->removed || n->coord_info.unknown) {
        forget_network(a, req->forget, handle, now);
        return;
    }
    struct pv_put *put = pv_put_new(1);
    if (put == NULL || pv_make_leave(pv_roster_network_id(n->roster), n->identity->sign_sk,
                                     pv_roster_next_serial(n->roster, n->identity->sign_pk),
                                     pv_node_wall_s(n, now), &made) != PV_OK) {
        pv_put_free(put);
        answer_error(a, handle, PV_CTLAPI_FAILED, "leave: out of memory: try again");
        return;
    }
    memcpy(put->statements[0].raw, made.raw, made.len);
    put->statements[0].len = made.len;
    put->kind = PUT_LEAVE;
    put->handle = handle;
    put->force = req->forget;
    start_put(a, put, now);
}

static const struct pv_command commands[] = {
    {PV_CTLAPI_INVITE, PV_NEEDS_NOTHING, run_invite},
    {PV_CTLAPI_INVITE_LIST, PV_NEEDS_NOTHING, run_invite_list},
    {PV_CTLAPI_INVITE_REVOKE, PV_NEEDS_NOTHING, run_invite_revoke},
    {PV_CTLAPI_REMOVE, PV_NEEDS_MEMBER, run_remove},
    {PV_CTLAPI_LEAVE, PV_NEEDS_NOTHING, run_leave},
};

const struct pv_part pv_part_admin = {
    .name = "admin",
    .make = make_admin,
    .free = free_admin,
    .on_facts = on_facts,
    .on_job = on_job,
    .on_answer = on_answer,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
};
