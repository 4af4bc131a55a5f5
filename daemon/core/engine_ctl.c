/* SPDX-License-Identifier: MIT */
/* Requests of p2pvpnctl, carried out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "crypto/ct.h"
#include "daemon/core/engine_int.h"

/* --- statements that only root or an admin can make ---------------------------------------------
 */

/* May this node sign that, with or without the coordinator? */
static bool may_sign(struct pv_engine *e, const char *what, uint8_t right, uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    if (!pv_node_need_network(&e->node, what, handle))
        return false;
    if ((pv_roster_rights(e->node.roster, e->node.identity->sign_pk) & right) == 0) {
        snprintf(text, sizeof(text), "%s: this node is no admin of %s: ask one who is", what,
                 pv_roster_network(e->node.roster)->name);
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_REFUSED, text);
        return false;
    }
    if (!e->node.up) {
        snprintf(text, sizeof(text), "%s: this node is down: `p2pvpnctl up` first", what);
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, text);
        return false;
    }
    return true;
}

static bool may(struct pv_engine *e, const char *what, uint8_t right, uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    if (!may_sign(e, what, right, handle))
        return false;
    if (!e->node.online) {
        snprintf(text, sizeof(text),
                 "%s: the coordinator cannot be reached (%s): try again when it is back", what,
                 e->coord_error[0] != '\0' ? e->coord_error : "connecting");
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_UNREACHABLE, text);
        return false;
    }
    return true;
}

static const char *put_name(enum pv_put_kind kind)
{
    switch (kind) {
    case PV_PUT_INVITE:
        return "invite";
    case PV_PUT_CREATE_INVITE:
        return "create";
    case PV_PUT_REVOKE_INVITE:
        return "invite revoke";
    case PV_PUT_REMOVE:
        return "remove";
    case PV_PUT_LEAVE:
        return "leave";
    case PV_PUT_UPLOAD:
        break;
    }
    return "upload";
}

static void put_refused(struct pv_engine *e, const struct pv_put *put, enum pv_ctl_error error)
{
    char text[PV_CTLAPI_ERROR_BUF];
    bool away = error == PV_CTL_E_OFFLINE;
    snprintf(text, sizeof(text), "%s: the coordinator %s%s: %s", put_name(put->kind),
             away ? "was lost" : "said ", away ? "" : pv_ctl_error_word(error),
             put->kind == PV_PUT_CREATE_INVITE
                 ? "the network is there; make a token with `p2pvpnctl invite`"
                 : "try again");
    pv_ctlsrv_fail(e->node.ctl, put->handle, away ? PV_CTLAPI_UNREACHABLE : PV_CTLAPI_REFUSED,
                   text);
}

/* Who is removed must not stay because the coordinator is away: it takes effect here, goes to every
 * member that is reached, and to the coordinator when it is back and heads are compared. */
static void revoke_without(struct pv_engine *e, const struct pv_put *put, pv_ns now)
{
    char text[PV_CTLAPI_ERROR_BUF];
    size_t refused = 0;
    for (size_t i = 0; i < put->n; i++) {
        const struct pv_ctl_item item = {
            .statement = pv_view(put->statements[i].raw, put->statements[i].len)};
        refused += pv_engine_add_statements(e, &item, 1, now);
    }
    snprintf(text, sizeof(text), "%s: %s", put_name(put->kind),
             refused > 0 ? "the coordinator is away, and this node does not accept it itself: "
                           "try again when it is back"
                         : "done on this node and told to the members it reaches; the coordinator "
                           "is away and is told when it is back");
    pv_ctlsrv_fail(e->node.ctl, put->handle, PV_CTLAPI_UNREACHABLE, text);
}

static void forget_network(struct pv_engine *e, bool keys, uint64_t handle, pv_ns now)
{
    struct pv_job *job = pv_job_new(PV_JOB_FORGET_NETWORK);
    pv_engine_leave(e, now);
    if (job == NULL) {
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, "leave: out of memory: try again");
        return;
    }
    job->u.forget_keys = keys;
    e->forgetting_keys = keys;
    pv_engine_job(e, job, PV_JP_FORGET, handle);
}

static void answer_created(struct pv_engine *e, const struct pv_put *put)
{
    const struct pv_member *self = pv_node_self(&e->node);
    json_t *body = self == NULL
                       ? NULL
                       : pv_ctlapi_joined_json(pv_roster_network(e->node.roster)->name, self->name,
                                               &self->ip4, &self->ip6, put->token);
    pv_ctlsrv_answer(e->node.ctl, put->handle, body);
}

void pv_engine_put_done(struct pv_engine *e, struct pv_put *put, enum pv_ctl_error error, pv_ns now)
{
    if (put->kind == PV_PUT_UPLOAD) {
        if (error != PV_CTL_E_NONE)
            pv_log(e->node.log, PV_LOG_WARN, "what=\"upload refused\" why=%s",
                   pv_ctl_error_word(error));
    } else if (put->kind == PV_PUT_LEAVE && error != PV_CTL_E_NONE && put->force) {
        forget_network(e, true, put->handle, now);
    } else if (error == PV_CTL_E_OFFLINE &&
               (put->kind == PV_PUT_REMOVE || put->kind == PV_PUT_REVOKE_INVITE)) {
        revoke_without(e, put, now);
    } else if (error != PV_CTL_E_NONE) {
        put_refused(e, put, error);
    } else if (put->kind == PV_PUT_INVITE) {
        pv_ctlsrv_answer(e->node.ctl, put->handle, pv_ctlapi_invite_json(put->token, put->invite));
    } else if (put->kind == PV_PUT_CREATE_INVITE) {
        answer_created(e, put);
    } else if (put->kind == PV_PUT_LEAVE) {
        forget_network(e, put->force, put->handle, now);
    } else {
        pv_ctlsrv_done(e->node.ctl, put->handle);
    }
    pv_put_free(put);
}

static void do_invite(struct pv_engine *e, const struct pv_ctlapi_request *req, uint64_t handle,
                      pv_ns now)
{
    struct pv_put *put;
    if (!may(e, "invite", PV_RIGHT_INVITE, handle))
        return;
    if (req->admin) {
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED,
                       "invite: admins other than the creator are not part of this version: leave "
                       "out --admin");
        return;
    }
    int r = pv_engine_make_invite(e, req->uses, req->expires_s, now, &put);
    if (r != PV_OK) {
        char text[PV_CTLAPI_ERROR_BUF];
        snprintf(text, sizeof(text), "invite: %s: try again", pv_strstatus(r));
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, text);
        return;
    }
    put->handle = handle;
    pv_engine_put(e, put, now);
}

static void do_invite_list(struct pv_engine *e, uint64_t handle)
{
    if (!pv_node_need_network(&e->node, "invite list", handle))
        return;
    json_t *out = pv_ctlapi_invites_new();
    const void *iter = NULL;
    struct pv_roster_invite inv;
    while (out != NULL && pv_roster_next_invite(e->node.roster, &iter, &inv) == PV_OK) {
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
    pv_ctlsrv_answer(e->node.ctl, handle, out);
}

/* All statements of one revocation, as a put. */
static struct pv_put *make_revocation(struct pv_engine *e, enum pv_st_revoked_kind kind,
                                      const uint8_t *pk, pv_ns now)
{
    struct pv_st_revocation what = {.kind = (uint8_t)kind, .time = pv_engine_wall_s(e, now)};
    struct pv_put *put = calloc(1, sizeof(*put));
    size_t iter = 0;
    memcpy(what.pk, pk, sizeof(what.pk));
    do {
        struct pv_made_long *grown =
            put == NULL ? NULL : realloc(put->statements, (put->n + 1) * sizeof(*put->statements));
        if (grown == NULL)
            return pv_put_free(put);
        put->statements = grown;
        if (pv_make_revocation(e->node.roster, e->node.identity->sign_sk, &what, &iter,
                               &put->statements[put->n]) != PV_OK)
            return pv_put_free(put);
        put->n++;
    } while (iter != 0);
    return put;
}

static void do_revoke(struct pv_engine *e, enum pv_put_kind kind, const uint8_t *pk,
                      uint64_t handle, pv_ns now)
{
    struct pv_put *put =
        make_revocation(e, kind == PV_PUT_REMOVE ? PV_REVOKE_NODE : PV_REVOKE_INVITE, pk, now);
    if (put == NULL) {
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED,
                       kind == PV_PUT_REMOVE
                           ? "remove: the revocation could not be made: try again"
                           : "invite revoke: no such invite: `p2pvpnctl invite list` shows them");
        return;
    }
    put->kind = kind;
    put->handle = handle;
    pv_engine_put(e, put, now);
}

static void do_invite_revoke(struct pv_engine *e, const struct pv_ctlapi_request *req,
                             uint64_t handle, pv_ns now)
{
    uint8_t pk[32];
    if (!may_sign(e, "invite revoke", PV_RIGHT_INVITE, handle))
        return;
    if (pv_key_parse(req->invite, pk) != PV_OK) {
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_USAGE,
                       "invite revoke: that is no invite id: `p2pvpnctl invite list` shows them");
        return;
    }
    do_revoke(e, PV_PUT_REVOKE_INVITE, pk, handle, now);
}

static void do_remove(struct pv_engine *e, const struct pv_ctlapi_request *req, uint64_t handle,
                      pv_ns now)
{
    if (!may_sign(e, "remove", PV_RIGHT_REVOKE, handle))
        return;
    struct pv_peer *p = pv_peer_need(&e->node, req->peer, "remove", true, handle);
    if (p != NULL)
        do_revoke(e, PV_PUT_REMOVE, p->pk, handle, now);
}

static void do_leave(struct pv_engine *e, const struct pv_ctlapi_request *req, uint64_t handle,
                     pv_ns now)
{
    if (e->node.roster == NULL && req->forget) {
        forget_network(e, true, handle, now);
        return;
    }
    if (e->node.roster == NULL && !pv_node_need_network(&e->node, "leave", handle))
        return;
    /* A removed node has nothing to sign off from, nor one that was cut off while it left. */
    if (pv_node_self(&e->node) == NULL || e->node.removed || e->unknown) {
        forget_network(e, req->forget, handle, now);
        return;
    }
    struct pv_put *put = calloc(1, sizeof(*put));
    struct pv_made made;
    if (put != NULL)
        put->statements = calloc(1, sizeof(*put->statements));
    if (put == NULL || put->statements == NULL ||
        pv_make_leave(pv_roster_network_id(e->node.roster), e->node.identity->sign_sk,
                      pv_roster_next_serial(e->node.roster, e->node.identity->sign_pk),
                      pv_engine_wall_s(e, now), &made) != PV_OK) {
        pv_put_free(put);
        pv_ctlsrv_fail(e->node.ctl, handle, PV_CTLAPI_FAILED, "leave: out of memory: try again");
        return;
    }
    memcpy(put->statements[0].raw, made.raw, made.len);
    put->statements[0].len = made.len;
    put->n = 1;
    put->kind = PV_PUT_LEAVE;
    put->handle = handle;
    put->force = req->forget;
    pv_engine_put(e, put, now);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void do_up(struct pv_engine *e, bool up, uint64_t handle, pv_ns now)
{
    /* Also when it should be up already and is not: what stood in the way may be gone. */
    if (e->node.up != up || (up && e->node.iface == PV_IFACE_DOWN)) {
        e->node.up = up;
        pv_engine_set_meta(e, "up", pv_view(up ? "1" : "0", 1));
        pv_engine_apply_up(e, now);
    }
    pv_ctlsrv_done(e->node.ctl, handle);
}

/* --- the rows ----------------------------------------------------------------------------- */

static void cmd_create(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    (void)p;
    pv_engine_create(part, req, handle, now);
}

static void cmd_invite(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    (void)p;
    do_invite(part, req, handle, now);
}

static void cmd_invite_list(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                            uint64_t handle, pv_ns now)
{
    (void)req;
    (void)p;
    (void)now;
    do_invite_list(part, handle);
}

static void cmd_invite_revoke(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                              uint64_t handle, pv_ns now)
{
    (void)p;
    do_invite_revoke(part, req, handle, now);
}

static void cmd_join(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    (void)p;
    pv_engine_join(part, req, handle, now);
}

static void cmd_up(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                   pv_ns now)
{
    (void)req;
    (void)p;
    do_up(part, true, handle, now);
}

static void cmd_down(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    (void)req;
    (void)p;
    do_up(part, false, handle, now);
}

static void cmd_leave(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    (void)p;
    do_leave(part, req, handle, now);
}

static void cmd_remove(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    (void)p;
    do_remove(part, req, handle, now);
}

static void cmd_why(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                    pv_ns now)
{
    (void)req;
    pv_engine_show_why(part, p, handle, now);
}

static void cmd_trace(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    (void)req;
    pv_engine_show_trace(part, p, handle, now);
}

static const struct pv_command commands[] = {
    {PV_CTLAPI_CREATE, PV_NEEDS_NOTHING, cmd_create},
    {PV_CTLAPI_INVITE, PV_NEEDS_NOTHING, cmd_invite},
    {PV_CTLAPI_INVITE_LIST, PV_NEEDS_NOTHING, cmd_invite_list},
    {PV_CTLAPI_INVITE_REVOKE, PV_NEEDS_NOTHING, cmd_invite_revoke},
    {PV_CTLAPI_JOIN, PV_NEEDS_NOTHING, cmd_join},
    {PV_CTLAPI_UP, PV_NEEDS_NETWORK, cmd_up},
    {PV_CTLAPI_DOWN, PV_NEEDS_NETWORK, cmd_down},
    {PV_CTLAPI_LEAVE, PV_NEEDS_NOTHING, cmd_leave},
    {PV_CTLAPI_REMOVE, PV_NEEDS_NOTHING, cmd_remove},
    {PV_CTLAPI_WHY, PV_NEEDS_PEER, cmd_why},
    {PV_CTLAPI_TRACE, PV_NEEDS_PEER, cmd_trace},
};

static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct pv_engine *e = part;
    if (e->enroll.handle == handle)
        pv_enroll_cancel(e, now);
}

const struct pv_part pv_part_engine_ctl = {
    .name = "engine_ctl",
    .make = pv_engine_as_part,
    .free = pv_engine_not_freed,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .on_cancel = on_cancel,
};
