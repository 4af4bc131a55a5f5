/* SPDX-License-Identifier: MIT */
/* admin.c - who may sign what, the statements, and what their receipts mean to the user. */
#include "daemon/core/admin/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/remedy.h"
#include "daemon/core/admin/ending.h"
#include "daemon/core/admin/rootkey.h"
#include "daemon/core/admin/rulesedit.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/invite.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/owed.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"

/* Ours: so long a client waits to hear who knows; p2pvpnctl waits longer. */
#define TOLD_BY PV_S(3)

enum {
    MAX_WAITING = 16, /* ours: clients that wait to hear who knows; the next one hears at once */
};

/* A client that waits to hear who knows what was done here. */
struct waiting {
    uint64_t handle;
    bool leaves;
    enum pv_job_forget forget; /* with it */
    pv_ns until;
    struct pv_ctlapi_told told; /* who knows so far, and what became of an invite */
};

/* A machine that waits to be admitted takes that back: as an applicant, for it is no member. */
struct farewell {
    bool active;
    uint64_t handle;
    enum pv_job_forget forget;
    pv_ns until;
    struct pv_made leave;
};

struct admin {
    struct pv_node *node;
    struct farewell farewell;
    struct pv_puts puts;
    struct waiting waiting[MAX_WAITING];
    size_t n_waiting;
    bool forgetting_keys;       /* a job that deletes them is under way; its tag: who waits */
    bool unforgotten;           /* this node has left, and its disk still has the network */
    struct pv_ctlapi_told left; /* what that client is answered; coordinator NULL: told nobody */
    bool was_removed;           /* so there was nobody to tell */
    bool silent;                /* nobody was told, as another machine has these keys */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct admin *a = part;
    pv_puts_init(&a->puts, a->node, &pv_part_admin);
    return PV_OK;
}

/* Clients that wait are not answered here: their streams end with the engine. */
static void free_admin(void *part)
{
    struct admin *a = part;
    pv_puts_done(&a->puts);
}

static void answer_error(struct admin *a, uint64_t handle, enum pv_ctlapi_code code,
                         const char *text)
{
    pv_ctlsrv_fail(a->node->ctl, handle, code, text);
}

/* A statement signed here has to reach others, and a node that is down sends nothing: it would tell
 * its user of a removal that no member heard of. */
static bool is_up(struct admin *a, const char *what, uint64_t handle)
{
    if (!a->node->up)
        pv_ctlsrv_failf(a->node->ctl, handle, PV_CTLAPI_FAILED, "%s: this node is down: %s", what,
                        PV_DO_STR(up));
    return a->node->up;
}

/* An admin beside this node. NULL: none is known here. */
static const struct pv_member *another_admin(const struct pv_node *n)
{
    for (const struct pv_member *m = pv_roster_next(n->roster, NULL); m != NULL;
         m = pv_roster_next(n->roster, m)) {
        if (m->rights != 0 && memcmp(m->node, n->identity->sign_pk, sizeof(m->node)) != 0)
            return m;
    }
    return NULL;
}

enum {
    ASK_BUF = PV_NAME_BUF + 32,
};

/* "ask one who is, such as NAME": what to do on a node that is no admin. Returns buf. */
static const char *to_ask(const struct pv_node *n, char buf[static ASK_BUF])
{
    const struct pv_member *m = another_admin(n);
    snprintf(buf, ASK_BUF, m == NULL ? "ask one who is" : "ask one who is, such as %s",
             m == NULL ? "" : m->name);
    return buf;
}

/* Is neither this node nor another member an admin? False while this node may not know all members.
 */
static bool is_none(const struct pv_node *n)
{
    const struct pv_member *self = n->roster == NULL ? NULL : pv_node_self(n);
    return self != NULL && self->rights == 0 && pv_rules_are_known(n) && another_admin(n) == NULL;
}

/* May this node sign that, with or without the coordinator? */
static bool may_sign(struct admin *a, const char *what, uint8_t right, uint64_t handle)
{
    struct pv_node *n = a->node;
    if (!pv_node_need_network(n, what, handle))
        return false;
    if ((pv_roster_rights(n->roster, n->identity->sign_pk) & right) != 0)
        return is_up(a, what, handle);
    const char *network = pv_roster_network(n->roster)->name;
    const struct pv_member *self = pv_node_self(n);
    if (self != NULL && pv_rootkey_is_here(n))
        pv_ctlsrv_failf(
            n->ctl, handle, PV_CTLAPI_REFUSED,
            "%s: this node is no admin of %s, but has its root key: `sudo p2pvpnctl admin "
            "grant %s` first",
            what, network, self->name);
    else if (is_none(n))
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED, "%s: %s has no admin any more: %s", what,
                        network, PV_DO_STR(import_root));
    else
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_REFUSED, "%s: this node is no admin of %s: %s",
                        what, network, to_ask(n, (char[ASK_BUF]){0}));
    return false;
}

/* An invite is of use only at the coordinator, where joiners come: while that is away nobody makes
 * one. */
static bool is_online(struct admin *a, const char *what, uint64_t handle)
{
    const char *why = a->node->coord_info.error;
    const enum pv_remedy_id todo = pv_node_unserved(a->node);
    if (todo != PV_REMEDY_NONE)
        pv_ctlsrv_failf(a->node->ctl, handle, PV_CTLAPI_FAILED,
                        "%s: the coordinator does not serve this network: %s", what,
                        pv_remedy_text(todo));
    else if (!a->node->online)
        pv_ctlsrv_failf(a->node->ctl, handle, PV_CTLAPI_UNREACHABLE,
                        "%s: cannot reach the coordinator: %s", what,
                        why[0] != '\0' ? why : "this node is still connecting");
    return a->node->online;
}

/* --- leaving ---------------------------------------------------------------------------------- */

/* The store has forgotten the network, and with --forget the keys: then the shell ends this engine
 * and makes one with new keys. A network still on the disk would be this node's again after a
 * restart, so the user is told to have it forgotten. */
static void on_job(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct admin *a = wait->self;
    a->unforgotten = result->status != PV_OK;
    a->node->keys.forgotten = a->forgetting_keys && !a->unforgotten;
    if (a->unforgotten)
        pv_ctlsrv_failf(a->node->ctl, wait->tag, PV_CTLAPI_FAILED,
                        "leave: this node has left, but its disk still has the network: %s; then "
                        "`sudo p2pvpnctl leave%s` again",
                        result->error, a->forgetting_keys ? " --forget" : "");
    else
        pv_ctlsrv_answer(
            a->node->ctl, wait->tag,
            a->left.coordinator != NULL
                ? pv_ctlapi_told_json(&a->left)
                : pv_ctlapi_pack("{s:b, s:b}", "removed", a->was_removed, "silent", a->silent));
    a->forgetting_keys = false;
    a->left.coordinator = NULL;
}

/* The store answers when the disk has forgotten it; the client waits for that. */
static void forget_network(struct admin *a, enum pv_job_forget what, uint64_t handle, pv_ns now)
{
    struct pv_job *job = pv_job_new(PV_JOB_FORGET_NETWORK);
    /* The node leaves before the store forgets: from here on nothing is written that belongs to
     * this network. */
    pv_membership_leave(a->node, now);
    a->node->leaving = false;
    a->unforgotten = true;
    if (job == NULL) {
        answer_error(a, handle, PV_CTLAPI_FAILED, "leave: out of memory");
        return;
    }
    job->u.forget = what;
    a->forgetting_keys = what != PV_FORGET_NETWORK;
    (void)pv_jobqueue_submit(&a->node->jobs, job, on_job, a, handle);
}

/* --- taking back the wish to join ----------------------------------------------------------- */

/* told: the coordinator has stored it, and admins see nobody ask any more. */
static void end_farewell(struct admin *a, bool told, pv_ns now)
{
    const struct farewell f = a->farewell;
    a->farewell = (struct farewell){.active = false};
    a->node->coord_info.visiting = false;
    a->left = (struct pv_ctlapi_told){.coordinator = told ? "stored" : "away", .disk = "stored"};
    forget_network(a, f.forget, f.handle, now);
}

static void begin_farewell(struct admin *a, uint64_t handle, enum pv_job_forget forget, pv_ns now)
{
    struct pv_node *n = a->node;
    struct farewell *f = &a->farewell;
    if (f->active)
        end_farewell(a, false, now);
    *f = (struct farewell){
        .active = true, .handle = handle, .forget = forget, .until = now + TOLD_BY};
    if (pv_make_leave(pv_roster_network_id(n->roster), n->identity->sign_sk,
                      pv_roster_next_serial(n->roster, n->identity->sign_pk),
                      pv_node_wall_s(n, now), &f->leave) != PV_OK) {
        end_farewell(a, false, now);
        return;
    }
    n->coord_info.visiting = true;
    pv_coord_connect(n, pv_roster_coordinators(n->roster), PV_CTL_APPLICANT,
                     pv_roster_network_id(n->roster), now);
}

/* The coordinator takes it for an applicant. */
static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct admin *a = part;
    if (!a->farewell.active || a->node->coord_info.as_member || msg->type != PV_CTL_WELCOME)
        return;
    struct pv_put *put = pv_put_new(1);
    if (put != NULL)
        pv_put_add(put, pv_made_view(&a->farewell.leave));
    if (put == NULL || pv_puts_send(&a->puts, put) != PV_CTL_E_NONE) {
        pv_put_free(put);
        end_farewell(a, false, now);
    }
}

/* --- who knows -------------------------------------------------------------------------------- */

/* The others stay in the order in which they came. */
static struct waiting take_waiting(struct admin *a, size_t i)
{
    struct waiting w = a->waiting[i];
    a->n_waiting--;
    memmove(&a->waiting[i], &a->waiting[i + 1], (a->n_waiting - i) * sizeof(a->waiting[0]));
    return w;
}

/* The coordinator ends the connection of a node that has left, and with it what is known of who is
 * online; members that know forget this node. So a leave is answered with the most that were. */
static void note_told(struct waiting *w, const struct pv_owed_told *told)
{
    if (!w->leaves || told->online > w->told.online)
        w->told.online = told->online;
    if (!w->leaves || told->know > w->told.know)
        w->told.know = told->know;
}

/* Members were told at once, and the coordinator is being told; what has come of it by now is the
 * answer. */
static void end_waiting(struct admin *a, size_t i, pv_ns now)
{
    struct waiting w = take_waiting(a, i);
    struct pv_owed_told told;
    pv_owed_told(a->node, &told);
    note_told(&w, &told);
    w.told.coordinator = told.coordinator;
    w.told.disk = "stored";
    if (w.leaves) { /* the disk is to forget */
        a->left = w.told;
        forget_network(a, w.forget, w.handle, now);
        return;
    }
    if (!pv_membership_is_stored(a->node))
        w.told.disk = a->node->store.error[0] != '\0' ? a->node->store.error : "not written yet";
    pv_ctlsrv_answer(a->node->ctl, w.handle, pv_ctlapi_told_json(&w.told));
}

/* The client waits a moment for the others: a removal is of use only where it is known, and the
 * answer says how many know it. */
static void wait_until_told(struct admin *a, const struct waiting *w, pv_ns now)
{
    if (a->n_waiting == MAX_WAITING)
        end_waiting(a, 0, now); /* who has waited longest */
    a->waiting[a->n_waiting] = *w;
    a->waiting[a->n_waiting++].until = now + TOLD_BY;
    pv_owed_hurry(a->node, now);
    pv_rostersync_hurry(a->node, now);
}

static void run_admin(void *part, pv_ns now)
{
    struct admin *a = part;
    struct pv_owed_told told;
    if (a->farewell.active && now >= a->farewell.until)
        end_farewell(a, false, now);
    if (a->n_waiting == 0)
        return;
    pv_owed_told(a->node, &told);
    /* A user who was told that somebody is removed finds it so after a crash, too. */
    const bool done = told.done && pv_membership_is_stored(a->node);
    /* From behind, for those that end are taken out. */
    for (size_t i = a->n_waiting; i > 0; i--) {
        note_told(&a->waiting[i - 1], &told);
        if (done || now >= a->waiting[i - 1].until)
            end_waiting(a, i - 1, now);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct admin *a = part;
    pv_ns next = a->farewell.active ? a->farewell.until : PV_NEVER;
    for (size_t i = 0; i < a->n_waiting; i++)
        next = pv_min_ns(next, a->waiting[i].until);
    return next;
}

/* The client is gone; what was done stays done. */
static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    for (size_t i = a->n_waiting; i > 0; i--) {
        if (a->waiting[i - 1].handle != handle)
            continue;
        /* A leave that others were told cannot be taken back: it goes on without the client. */
        if (a->waiting[i - 1].leaves)
            end_waiting(a, i - 1, now);
        else
            (void)take_waiting(a, i - 1);
    }
}

/* --- invites ---------------------------------------------------------------------------------- */

/* The token is told only now: before the coordinator knows the invite nobody can join by it. */
static void end_invite(struct admin *a, struct pv_put *put, enum pv_ctl_error error)
{
    bool away = error == PV_CTL_E_OFFLINE;
    if (error != PV_CTL_E_NONE)
        pv_ctlsrv_failf(a->node->ctl, put->handle, away ? PV_CTLAPI_UNREACHABLE : PV_CTLAPI_REFUSED,
                        "invite: the coordinator %s%s: try again", away ? "was lost" : "said ",
                        away ? "" : pv_ctlapi_error_said(pv_ctl_error_word(error)));
    else
        pv_ctlsrv_answer(a->node->ctl, put->handle,
                         pv_ctlapi_pack("{s:s, s:o}", "token", put->token, "invite",
                                        pv_ctlapi_key(put->invite)));
    pv_put_free(put);
}

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct admin *a = part;
    struct pv_put_result result;
    struct pv_put *put = pv_puts_take(&a->puts, tag, msg, &result);
    if (put == NULL)
        return;
    if (a->farewell.active) {
        pv_put_free(put);
        end_farewell(a, result.error == PV_CTL_E_NONE, now);
        return;
    }
    /* Receipts reach the roster before the client is answered: its next command sees what this one
     * did. */
    (void)pv_membership_add(a->node, result.items, result.n_items, now);
    end_invite(a, put, result.error);
}

/* An invite whose answer was lost with the connection is given up: its token was shown to nobody,
 * so nobody can use it. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct admin *a = part;
    struct pv_put *put;
    while ((facts & PV_FACT_OFFLINE) != 0 && (put = pv_puts_take_lost(&a->puts)) != NULL)
        end_invite(a, put, PV_CTL_E_OFFLINE);
}

/* --- commands --------------------------------------------------------------------------------- */

/* Root itself signs an invite for admins: by that those who may make admins know it (adr 0022). */
static bool may_invite(struct admin *a, bool admin, uint64_t handle)
{
    if (!admin)
        return may_sign(a, "invite", PV_RIGHT_INVITE, handle) && is_online(a, "invite", handle);
    if (!pv_node_need_network(a->node, "invite", handle))
        return false;
    if (!pv_rootkey_is_here(a->node)) {
        pv_ctlsrv_failf(
            a->node->ctl, handle, PV_CTLAPI_REFUSED,
            "invite: --admin needs the root key of %s, which is not on this machine: %s, or invite "
            "without it",
            pv_roster_network(a->node->roster)->name, PV_DO_STR(use_root));
        return false;
    }
    return is_up(a, "invite", handle) && is_online(a, "invite", handle);
}

/* The client gets its token once the coordinator has the invite: nobody could join earlier. */
static void run_invite(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    struct pv_put *put;
    const struct pv_invite_terms terms = {
        .uses = req->u.terms.uses,
        .expires_s = req->u.terms.expires_s,
        .lifetime =
            req->u.terms.ephemeral ? PV_ROSTER_EPHEMERAL_LIFE : (uint32_t)req->u.terms.lifetime_s,
        .flags = req->u.terms.approve ? PV_INVITE_APPROVAL : 0,
        .tag = req->u.terms.tag[0] == '\0' ? NULL : req->u.terms.tag};
    /* Rights do not end with a membership: such an admin would be none that anybody sees. */
    if (req->u.terms.admin && terms.lifetime > 0) {
        answer_error(a, handle, PV_CTLAPI_USAGE,
                     "invite: the membership of an admin does not expire: leave out --admin, and "
                     "grant it later, or --member-for or --ephemeral");
        return;
    }
    if (!may_invite(a, req->u.terms.admin, handle) ||
        (terms.tag != NULL && (!may_sign(a, "invite --tag", PV_RIGHT_REVOKE, handle) ||
                               !pv_rules_may_be_tag(a->node, "invite --tag", terms.tag, handle))))
        return;
    int r = pv_invite_make(
        a->node, req->u.terms.admin ? pv_rootkey_signer(a->node) : pv_node_signer(a->node), &terms,
        now, &put);
    if (r != PV_OK) {
        pv_ctlsrv_failf(a->node->ctl, handle, PV_CTLAPI_FAILED, "invite: %s: %s", pv_strstatus(r),
                        r == PV_ERR_LIMIT && terms.tag != NULL
                            ? "this node has said as many tags as it may: let another admin invite"
                            : "try again");
        return;
    }
    put->handle = handle;
    enum pv_ctl_error error = pv_puts_send(&a->puts, put);
    if (error != PV_CTL_E_NONE)
        end_invite(a, put, error);
}

/* The names of all that it let in, also of those that are gone. NULL without memory. */
static json_t *joined_by(const struct pv_node *n, const uint8_t *invite)
{
    json_t *names = json_array();
    const struct pv_roster_entry *e = NULL;
    while (names != NULL && (e = pv_roster_next_let_in(n->roster, invite, e)) != NULL) {
        const char *name = PV_WHO_STR(n, e->st.u.member.node);
        pv_ctlapi_put(&names, NULL, json_string(name));
    }
    return names;
}

static json_t *tags_of(const struct pv_node *n, const uint8_t *invite)
{
    json_t *tags = json_array();
    const struct pv_policy *p = pv_rules_policy(n);
    const char *tag;
    for (size_t i = 0; p != NULL && tags != NULL && (tag = pv_policy_tag_of(p, invite, i)) != NULL;
         i++) {
        pv_ctlapi_put(&tags, NULL, json_string(tag));
    }
    return tags;
}

/* The token itself is not kept anywhere and cannot be listed; the id is enough to revoke it. One
 * that root signed makes admins. */
static json_t *shown_invite(const struct pv_node *n, const struct pv_roster_invite *inv, pv_ns now)
{
    bool admin = memcmp(inv->signer, pv_roster_root(n->roster), PV_SIGN_PK_LEN) == 0;
    return pv_ctlapi_pack(
        "{s:o, s:i, s:i, s:o, s:o, s:b, s:b, s:b, s:o, s:b, s:o, s:o}", "id",
        pv_ctlapi_key(inv->invite), "uses", (int)inv->uses, "used", (int)inv->used, "not_before",
        pv_ctlapi_u64(inv->not_before), "not_after",
        inv->not_after == 0 || inv->not_after == UINT64_MAX ? json_null()
                                                            : pv_ctlapi_u64(inv->not_after),
        "expired", inv->not_after < pv_invite_clock_s(n, now), "revoked", inv->revoked, "admin",
        admin, "member_for", inv->lifetime == 0 ? json_null() : pv_ctlapi_u64(inv->lifetime),
        "approve", (inv->flags & PV_INVITE_APPROVAL) != 0, "members", joined_by(n, inv->invite),
        "tags", tags_of(n, inv->invite));
}

/* Every invite that the roster knows, also used up and ended ones: who made too many sees it here.
 */
static void run_invite_list(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                            uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    if (!pv_node_need_network(a->node, "invite list", handle))
        return;
    json_t *out = pv_ctlapi_list("invites");
    const void *iter = NULL;
    struct pv_roster_invite inv;
    while (out != NULL && pv_roster_next_invite(a->node->roster, &iter, &inv) == PV_OK) {
        pv_ctlapi_put(&out, "invites", shown_invite(a->node, &inv, now));
    }
    pv_ctlsrv_answer(a->node->ctl, handle, out);
}

/* A revocation that cannot be made lacks memory or room in the roster: nothing was changed. */
static void fail_revocation(struct admin *a, const char *what, int status, uint64_t handle)
{
    pv_ctlsrv_failf(a->node->ctl, handle, PV_CTLAPI_FAILED,
                    "%s: the revocation could not be made (%s): try again", what,
                    pv_strstatus(status));
}

/* It holds here at once. The client is answered when everybody who is there has said so, or after a
 * while with how many have. */
static void run_invite_revoke(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                              uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    uint8_t pk[PV_SIGN_PK_LEN];
    if (!may_sign(a, "invite revoke", PV_RIGHT_INVITE, handle))
        return;
    if (pv_key_parse(req->u.invite.id, pk) != PV_OK) {
        answer_error(a, handle, PV_CTLAPI_USAGE,
                     "invite revoke: that is no invite id: `p2pvpnctl invite list` shows them");
        return;
    }
    int r = pv_ending_revoke(a->node, pv_node_signer(a->node), PV_REVOKE_INVITE, pk, now);
    if (r == PV_ERR_NOT_FOUND) {
        answer_error(a, handle, PV_CTLAPI_FAILED,
                     "invite revoke: no such invite: `p2pvpnctl invite list` shows them");
        return;
    }
    if (r != PV_OK) {
        fail_revocation(a, "invite revoke", r, handle);
        return;
    }
    wait_until_told(a, &(struct waiting){.handle = handle}, now);
}

/* A key that says in vain that it is a member, by all of it: `status` names it so. */
static const struct pv_member *claimant(const struct pv_node *n, const char *name)
{
    char text[PV_ROSTER_REFUSED];
    uint8_t pk[PV_SIGN_PK_LEN];
    const struct pv_roster_entry *e = NULL;
    if (n->roster == NULL || pv_key_parse(name, pk) != PV_OK)
        return NULL;
    while ((e = pv_roster_next_refused(n->roster, e, n->identity->sign_pk, text)) != NULL) {
        if (e->st.type == PV_ST_MEMBER && memcmp(e->st.u.member.node, pk, sizeof(pk)) == 0)
            return pv_roster_known(n->roster, pk);
    }
    return NULL;
}

/* Whom a removal, or an end of rights, is about: a member, else who waits or has expired, who is
 * none in spite of what it says, and who left, whose key still has its rights and would come back
 * with them. NULL: the client was told why there is nobody. */
static const struct pv_member *subject(struct admin *a, const char *name, const char *what,
                                       uint64_t handle)
{
    const struct pv_node *n = a->node;
    const bool is_none = n->roster != NULL && pv_node_member(n, name) == NULL;
    const struct pv_member *m = is_none ? pv_node_aside(n, name) : NULL;
    const struct pv_peer *p = pv_peers_find(n->peers, name);
    if (m == NULL && p == NULL && is_none) {
        const struct pv_member *former = pv_node_former_member(n, name);
        m = former != NULL && former->state == PV_MEMBER_LEFT ? former : claimant(n, name);
    }
    if (m != NULL)
        return m;
    p = pv_peer_need(a->node, name, what, PV_NEEDS_MEMBER, handle);
    return p == NULL ? NULL : pv_roster_by_node(n->roster, pv_peer_pk(p));
}

/* A member that is removed must not come back by the token that let it in, so its invite goes too
 * when it has uses left, unless the client says otherwise. */
static void run_remove(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    struct waiting w = {.handle = handle};
    uint8_t pk[PV_SIGN_PK_LEN];
    const struct pv_member *m = subject(a, req->peer, "remove", handle);
    if (m == NULL || !may_sign(a, "remove", PV_RIGHT_REVOKE, handle))
        return;
    const struct pv_addr ip4 = m->ip4;
    const bool carried = pv_roster_gateway(a->node->roster, m) != NULL ||
                         pv_roster_lost_gateway(a->node->roster, m) != NULL;
    memcpy(pk, m->node, sizeof(pk)); /* the peer goes with the member */
    pv_ending_phones(a->node, m, &w.told);
    /* The invite first: where the second of the two fails there is somebody left to remove, and the
     * user is told to try again. */
    int r = pv_ending_invite_of(a->node, m, req->u.member.keep_invite, &w.told, now);
    if (r == PV_OK && pv_roster_was_admin(a->node->roster, pk))
        r = pv_ending_invites(a->node, pv_node_signer(a->node), pk, req->u.member.keep_invite,
                              &w.told, now);
    if (r == PV_OK)
        r = pv_ending_remove(a->node, pk, now);
    if (r == PV_OK && carried) /* what stays harms nobody */
        (void)!pv_rulesedit_drop_gateway(a->node, &ip4, false, now);
    if (r != PV_OK)
        fail_revocation(a, "remove", r, handle);
    else
        wait_until_told(a, &w, now);
}

/* --- admins ----------------------------------------------------------------------------------- */

/* Without the root key another machine has to do it, which is no failure to try again. */
static void fail_grant(struct admin *a, int status, uint64_t handle)
{
    if (status == PV_ERR_NOT_FOUND)
        pv_ctlsrv_failf(a->node->ctl, handle, PV_CTLAPI_REFUSED,
                        "admin grant: the root key of %s is not on this machine: %s",
                        pv_roster_network(a->node->roster)->name, PV_DO_STR(use_root));
    else
        pv_ctlsrv_failf(a->node->ctl, handle, PV_CTLAPI_FAILED,
                        "admin grant: it could not be signed (%s): try again",
                        pv_strstatus(status));
}

/* An admin stays one, and the user who asks hears who knows it. */
static void run_admin_grant(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                            uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    const struct pv_member *self = pv_node_self(a->node);
    const uint8_t *pk = self == NULL ? NULL : self->node;
    int r = PV_OK;
    /* This node, too: another admin may have ended its rights. */
    if (!pv_node_is_self(a->node, req->peer)) {
        p = pv_peer_need(a->node, req->peer, "admin grant", PV_NEEDS_MEMBER, handle);
        pk = p == NULL ? NULL : pv_peer_pk(p);
    }
    if (pk == NULL || !is_up(a, "admin grant", handle))
        return;
    const struct pv_member *m = pv_roster_by_node(a->node->roster, pk);
    if (m != NULL && pv_roster_gateway(a->node->roster, m) != NULL) {
        pv_ctlsrv_failf(
            a->node->ctl, handle, PV_CTLAPI_REFUSED,
            "admin grant: %s is a phone: its WireGuard app can neither invite nor remove", m->name);
        return;
    }
    if (pv_roster_rights(a->node->roster, pk) != (PV_RIGHT_INVITE | PV_RIGHT_REVOKE))
        r = pv_rootkey_grant(a->node, pk, now);
    if (r != PV_OK) {
        fail_grant(a, r, handle);
        return;
    }
    wait_until_told(a, &(struct waiting){.handle = handle}, now);
}

/* The root key signs where it is here: its word stands above that of admins, who might end each
 * other's rights. */
static void run_admin_revoke(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                             uint64_t handle, pv_ns now)
{
    struct admin *a = part;
    struct waiting w = {.handle = handle};
    const struct pv_member *m = subject(a, req->peer, "admin revoke", handle);
    uint8_t pk[PV_SIGN_PK_LEN];
    if (m == NULL)
        return;
    const struct pv_signer by = pv_rootkey_signer(a->node);
    memcpy(pk, m->node, sizeof(pk));
    if (pv_rootkey_is_here(a->node) ? !is_up(a, "admin revoke", handle)
                                    : !may_sign(a, "admin revoke", PV_RIGHT_REVOKE, handle))
        return;
    int r = pv_roster_rights(a->node->roster, pk) == 0 ? PV_ERR_NOT_FOUND : PV_OK;
    if (r == PV_OK)
        r = pv_ending_invites(a->node, by, pk, req->u.member.keep_invite, &w.told, now);
    if (r == PV_OK)
        r = pv_ending_rights(a->node, by, pk, now);
    if (r == PV_ERR_NOT_FOUND) {
        pv_ctlsrv_failf(a->node->ctl, handle, PV_CTLAPI_FAILED,
                        "admin revoke: %s is no admin: `p2pvpnctl peers` shows who is one",
                        req->peer);
    } else if (r != PV_OK) {
        pv_ctlsrv_failf(a->node->ctl, handle, PV_CTLAPI_FAILED,
                        "admin revoke: it could not be signed (%s): try again", pv_strstatus(r));
    } else {
        wait_until_told(a, &w, now);
    }
}

/* --- for the part "place" --------------------------------------------------------------------- */

static struct admin *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_admin);
}

/* Answers the client when this node may not, so that the caller only returns. */
bool pv_admin_may_sign(struct pv_node *n, const char *what, uint8_t rights, uint64_t handle)
{
    static const uint8_t each[] = {PV_RIGHT_INVITE, PV_RIGHT_REVOKE};
    for (size_t i = 0; i < PV_ARRAY_LEN(each); i++)
        if ((rights & each[i]) != 0 && !may_sign(of(n), what, each[i], handle))
            return false;
    return true;
}

void pv_admin_answer_with(struct pv_node *n, uint64_t handle, const struct pv_ctlapi_told *told,
                          pv_ns now)
{
    wait_until_told(of(n), &(struct waiting){.handle = handle, .told = *told}, now);
}

void pv_admin_answer_when_told(struct pv_node *n, uint64_t handle, pv_ns now)
{
    pv_admin_answer_with(n, handle, &(struct pv_ctlapi_told){.online = 0}, now);
}

/* --- the command leave ------------------------------------------------------------------------ */

/* A phone with a WireGuard app can be no admin, and a throwaway member is gone tomorrow. */
static bool may_inherit(const struct pv_node *n, const struct pv_member *m)
{
    return pv_roster_gateway(n->roster, m) == NULL &&
           pv_roster_lost_gateway(n->roster, m) == NULL && !pv_member_is_ephemeral(m);
}

/* Nobody could invite or remove any more when the only admin leaves others behind. Says so, and who
 * could take over. */
static bool may_leave(struct admin *a, const struct pv_ctlapi_request *req, uint64_t handle)
{
    const struct pv_node *n = a->node;
    const struct pv_member *heir = NULL;
    if (req->u.leave.last || pv_roster_rights(n->roster, n->identity->sign_pk) == 0 ||
        another_admin(n) != NULL)
        return true;
    for (const struct pv_member *m = pv_roster_next(n->roster, NULL); m != NULL;
         m = pv_roster_next(n->roster, m)) {
        if (memcmp(m->node, n->identity->sign_pk, sizeof(m->node)) == 0 || !may_inherit(n, m))
            continue;
        const struct pv_peer *p = pv_peers_by_pk(n->peers, m->node);
        if (heir == NULL || (p != NULL && pv_peer_reach(p) != PV_REACH_NO))
            heir = m;
    }
    if (heir == NULL)
        return true; /* nobody is left behind */
    pv_ctlsrv_failf(
        n->ctl, handle, PV_CTLAPI_REFUSED,
        "leave: this node is the only admin of %s, and nobody could invite or remove any more: "
        "`sudo p2pvpnctl admin grant %s` first%s, or leave --last",
        pv_roster_network(n->roster)->name, heir->name,
        pv_rootkey_is_here(n) ? "" : ", on the machine that has the root key");
    return false;
}

static void run_leave(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    struct admin *a = part;
    struct pv_node *n = a->node;
    struct pv_made made;
    /* A leave is the word of a key, and would take away the place of the other machine that has
     * it: such a node goes without a word, and a copy keeps none of these keys. */
    const bool silent = req->u.leave.copy || n->coord_info.keys_twice;
    const enum pv_job_forget forget = req->u.leave.delete_root ? PV_FORGET_ROOT
                                      : req->u.leave.forget || req->u.leave.copy
                                          ? PV_FORGET_KEYS
                                          : PV_FORGET_NETWORK;
    a->silent = silent;
    if (n->roster != NULL)
        a->was_removed = n->removed || pv_node_denied(n) != NULL;
    if (silent) {
        const bool member = n->roster != NULL && !n->removed && !pv_node_waits(n) &&
                            pv_roster_enrolled(n->roster, n->identity->sign_pk) != NULL;
        if (req->u.leave.copy || !member || may_leave(a, req, handle))
            forget_network(a, forget, handle, now);
        return;
    }
    /* Keys are there to be forgotten even where no network is left, and so is what the disk kept.
     */
    if (n->roster == NULL && (req->u.leave.forget || a->unforgotten)) {
        forget_network(a, forget, handle, now);
        return;
    }
    if (n->roster == NULL && !pv_node_need_network(n, "leave", handle))
        return;
    if (pv_node_waits(n) && n->up && n->coord_info.standing != PV_COORD_DENIED) {
        begin_farewell(a, handle, forget, now);
        return;
    }
    /* A removed node has nothing to sign off from, nor one that was cut off while it left; but one
     * that has expired would come back. */
    if (pv_roster_enrolled(n->roster, n->identity->sign_pk) == NULL || pv_node_waits(n) ||
        n->removed) {
        forget_network(a, forget, handle, now);
        return;
    }
    if (!may_leave(a, req, handle))
        return;
    bool alone = !n->online && pv_peers_count_reached(n->peers) == 0;
    /* The coordinator's word alone proves no removal: members that are there are told. */
    if (alone && n->coord_info.standing != PV_COORD_NO_COMPLAINT) {
        forget_network(a, forget, handle, now);
        return;
    }
    if (alone && !req->u.leave.forget) {
        answer_error(
            a, handle, PV_CTLAPI_UNREACHABLE,
            n->up ? "leave: neither the coordinator nor a member can be told: try again "
                    "when one is there"
                  : PV_STR("leave: nobody can be told while this node is down: %s", PV_DO_STR(up)));
        return;
    }
    struct waiting w = {.handle = handle, .leaves = true, .forget = forget};
    w.told.orphaned = another_admin(n) == NULL;
    if (pv_node_self(n) != NULL)
        pv_ending_phones(n, pv_node_self(n), &w.told);
    pv_ending_resign(n, &w.told, now); /* whoever has its key, or a token, must not be an admin */
    if (pv_make_leave(pv_roster_network_id(n->roster), n->identity->sign_sk,
                      pv_roster_next_serial(n->roster, n->identity->sign_pk),
                      pv_node_wall_s(n, now), &made) != PV_OK) {
        answer_error(a, handle, PV_CTLAPI_FAILED, "leave: out of memory");
        return;
    }
    n->leaving = true;
    (void)!pv_membership_say(n, pv_made_view(&made), now);
    wait_until_told(a, &w, now);
}

/* The client of handle 0 has gone before it came. */
bool pv_admin_leave_at_end(struct pv_node *n, pv_ns now)
{
    const struct pv_member *self = pv_node_self(n);
    if (self == NULL || !pv_member_is_ephemeral(self) || !n->up)
        return false;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_LEAVE);
    req.u.leave.last = true;
    run_leave(of(n), &req, NULL, 0, now);
    pv_ctlapi_request_done(&req);
    return of(n)->n_waiting > 0;
}

bool pv_admin_has_left(const struct pv_node *n)
{
    return n->roster == NULL && !of(n)->unforgotten;
}

/* Members go on as they are, until one wants something of an admin. */
static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct admin *a = part;
    const struct pv_node *n = a->node;
    if (pv_node_was_left(n))
        pv_statuspage_todo(st, PV_STR("%s: ", pv_node_left_why), PV_DO(join_again));
    if (n->removed || !is_none(n))
        return;
    pv_statuspage_todo(st, "the network has no admin any more, and nobody can invite or remove: ",
                       pv_rootkey_is_here(n) ? PV_DO(grant_yourself, pv_node_self(n)->name)
                                             : PV_DO(import_root));
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_INVITE, PV_NEEDS_NOTHING, run_invite},
    {PV_CTLAPI_INVITE_LIST, PV_NEEDS_NOTHING, run_invite_list},
    {PV_CTLAPI_INVITE_REVOKE, PV_NEEDS_NOTHING, run_invite_revoke},
    {PV_CTLAPI_REMOVE, PV_NEEDS_NOTHING, run_remove},
    {PV_CTLAPI_LEAVE, PV_NEEDS_NOTHING, run_leave},
    {PV_CTLAPI_ADMIN_GRANT, PV_NEEDS_NOTHING, run_admin_grant},
    {PV_CTLAPI_ADMIN_REVOKE, PV_NEEDS_NOTHING, run_admin_revoke},
};

const struct pv_part pv_part_admin = {
    .name = "admin",
    .size = PV_PART_SIZE(struct admin),
    .start = start,
    .free = free_admin,
    .on_facts = on_facts,
    .on_answer = on_answer,
    .on_push = on_push,
    .on_cancel = on_cancel,
    .run = run_admin,
    .next_timeout = next_timeout,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
};
