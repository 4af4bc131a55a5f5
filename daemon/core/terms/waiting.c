/* SPDX-License-Identifier: MIT */
/* waiting.c - who waits to be admitted, and what an admin says of it. */
#include "daemon/core/terms/waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/core/admin/admin.h"
#include "daemon/core/admin/ending.h"
#include "daemon/core/admin/rootkey.h"
#include "daemon/core/admin/rulesedit.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/statuspage.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "proto/local/remedy.h"
#include "proto/roster/roster_make.h"

enum {
    TOLD_MAX = 64,   /* ours: machines that watchers are told of one by one */
    OF_INVITE = 16,  /* ours: those of one invite, so that its token cannot hide who has others */
    NAMED = 3,       /* ours: machines that one line of `status` names */
    NOTIFY_MAX = 32, /* ours: runs of the program at a time; of more the log tells */
};
#define ASK_AGAIN PV_S(60) /* ours: who waits may have moved; asked while somebody does */

struct waiting {
    struct pv_node *node;
    bool asking; /* the coordinator is asked from where */
    bool silent; /* it has not answered for a minute: nobody waits for it */
    pv_ns ask_at;
    struct pv_ctl_asker askers[PV_CTL_ASKERS_MAX]; /* its last answer */
    size_t n_askers;
    uint8_t told[TOLD_MAX][PV_SIGN_PK_LEN]; /* who waits, and watchers were told of it */
    size_t n_told;
    char from[PV_ADDR_TEXT]; /* of pv_waiting_from() */
    bool notify;             /* [chat] notify names a program */
    unsigned n_out;          /* runs of it that have not ended */
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct waiting *w = part;
    w->notify = cfg->notify;
    w->ask_at = PV_NEVER;
    return PV_OK;
}

/* The next one that waits after prev; NULL: none. */
static const struct pv_member *next_waiting(const struct pv_node *n, const struct pv_member *prev)
{
    const struct pv_member *m = prev;
    if (n->roster == NULL)
        return NULL;
    while ((m = pv_roster_next_aside(n->roster, m)) != NULL && m->state != PV_MEMBER_WAITING)
        ;
    return m;
}

/* Of those who wait only admins are asked, and told from where. */
static bool may_admit(const struct pv_node *n)
{
    return pv_node_self(n) != NULL &&
           (pv_roster_rights(n->roster, n->identity->sign_pk) & PV_RIGHT_INVITE) != 0;
}

/* Of the last answer: an address that is a minute old is as good a hint as any. */
const char *pv_waiting_from(const struct pv_node *n, const uint8_t node[static PV_SIGN_PK_LEN])
{
    struct waiting *w = pv_node_part(n, &pv_part_waiting);
    for (size_t i = 0; w != NULL && i < w->n_askers; i++) {
        if (memcmp(w->askers[i].node, node, PV_SIGN_PK_LEN) == 0)
            return pv_addr_format_ip(&w->askers[i].from, w->from);
    }
    return NULL;
}

/* --- who asks --------------------------------------------------------------------------------- */

/* Only while somebody waits: a network without such invites costs the coordinator nothing. */
static void ask(struct waiting *w, pv_ns now)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_ASKERS};
    const struct pv_node *n = w->node;
    w->ask_at = PV_NEVER;
    if (next_waiting(n, NULL) == NULL || !may_admit(n))
        return;
    w->ask_at = now + ASK_AGAIN;
    if (n->online && !w->asking)
        w->asking = pv_coord_ask(w->node, &pv_part_waiting, &msg, 0) == PV_OK;
}

/* Was it told of since it began to wait, in this run? A restart reminds watchers once. */
static bool was_told(const struct waiting *w, const uint8_t *pk)
{
    for (size_t i = 0; i < w->n_told; i++) {
        if (memcmp(w->told[i], pk, PV_SIGN_PK_LEN) == 0)
            return true;
    }
    return false;
}

/* Are there as many of its invite among these as watchers are told of? */
static bool has_share(const struct pv_member *const *all, size_t n, const struct pv_member *m)
{
    size_t of_invite = 0;
    for (size_t i = 0; i < n; i++)
        of_invite += memcmp(all[i]->admitted_by, m->admitted_by, sizeof(m->admitted_by)) == 0;
    return of_invite >= OF_INVITE;
}

static void on_job(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct waiting *w = wait->self;
    w->n_out--;
    if (result->status != PV_OK)
        pv_log(w->node->log, PV_LOG_WARN, "what=\"notification failed\" why=\"%s\"", result->error);
}

/* As for a message that nothing proves: by a name that no member has. Without memory the log and
 * `status` say it all the same. */
static void run_program(struct waiting *w, const struct pv_member *m, const char *from, pv_ns now)
{
    char said[PV_CTLAPI_ERROR_BUF];
    struct pv_node *n = w->node;
    struct pv_job *job = w->notify && w->n_out < NOTIFY_MAX ? pv_job_new(PV_JOB_NOTIFY) : NULL;
    if (job == NULL)
        return;
    const char *text =
        PV_STR("%s asks to be admitted to network %s%s%s: `sudo p2pvpnctl admit %s`, or `sudo "
               "p2pvpnctl deny %s`",
               m->name, pv_roster_network(n->roster)->name, from == NULL ? "" : ", from ",
               from == NULL ? "" : from, m->name, m->name);
    pv_remedy_name(n->given.flag, n->given.own, text, said, sizeof(said));
    job->u.notify = calloc(1, sizeof(*job->u.notify));
    if (job->u.notify != NULL)
        job->u.notify->text = strdup(said);
    if (job->u.notify == NULL || job->u.notify->text == NULL) {
        pv_job_free(job);
        return;
    }
    snprintf(job->u.notify->from, sizeof(job->u.notify->from), "?%.62s", m->name);
    snprintf(job->u.notify->to, sizeof(job->u.notify->to), "%s", n->node_name);
    job->u.notify->time_ms = pv_node_wall_ms(n, now);
    w->n_out += pv_jobqueue_submit(&n->jobs, job, on_job, w, 0) ? 1 : 0;
}

static void tell_event(struct pv_node *n, const struct pv_member *m, const char *from)
{
    const struct pv_event event = {.chat = "waiting",
                                   .kind = "member",
                                   .what = "waiting",
                                   .who = m->name,
                                   .text = PV_STR("%s asks to be admitted, from %s", m->name,
                                                  from == NULL ? "somewhere" : from)};
    pv_node_tell(n, &event,
                 pv_ctlapi_pack("{s:s, s:o, s:s?}", "name", m->name, "key", pv_ctlapi_key(m->node),
                                "asks_from", from));
}

/* Watchers of an admin's node are told of each machine once while it waits, as soon as it is known
 * from where, or as soon as nobody can say. */
static void tell(struct waiting *w, pv_ns now)
{
    const struct pv_node *n = w->node;
    const struct pv_member *still[TOLD_MAX];
    size_t kept = 0;
    for (const struct pv_member *m = NULL; (m = next_waiting(n, m)) != NULL && kept < TOLD_MAX;) {
        const char *from = pv_waiting_from(n, m->node);
        bool told = was_told(w, m->node);
        if (has_share(still, kept, m))
            continue;
        if (!told && (!may_admit(n) || (from == NULL && n->online && w->asking && !w->silent)))
            continue;
        if (!told) {
            pv_log(n->log, PV_LOG_INFO, "peer=%s what=\"asks to be admitted\" from=%s", m->name,
                   from == NULL ? "unknown" : from);
            tell_event(w->node, m, from);
            run_program(w, m, from, now);
        }
        still[kept++] = m;
    }
    for (size_t i = 0; i < kept; i++)
        memcpy(w->told[i], still[i]->node, PV_SIGN_PK_LEN);
    w->n_told = kept;
}

/* After an error nobody can say from where. */
static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct waiting *w = part;
    w->asking = w->silent = false;
    if (msg->type == PV_CTL_ASKED) {
        w->n_askers = msg->u.asked.n;
        if (w->n_askers > 0)
            memcpy(w->askers, msg->u.asked.askers, w->n_askers * sizeof(w->askers[0]));
    }
    tell(w, now);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct waiting *w = part;
    if ((facts & PV_FACT_NETWORK) != 0)
        w->n_askers = w->n_told = 0;
    if ((facts & (PV_FACT_OFFLINE | PV_FACT_NETWORK)) != 0)
        w->asking = w->silent = false; /* no answer comes any more */
    if ((facts & (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_ONLINE)) == 0)
        return;
    ask(w, now);
    tell(w, now);
}

/* A node that asks comes back every half a minute, perhaps from another network. A coordinator that
 * does not say from where keeps nobody from being told of. */
static void on_due(void *part, pv_ns now)
{
    struct waiting *w = part;
    w->silent = w->asking;
    ask(w, now);
    if (w->silent)
        tell(w, now);
}

/* --- commands --------------------------------------------------------------------------------- */

/* For "admit" nothing is left to do; whoever denies a member something means a rule, and not an
 * end for good. */
static void say_member(const struct pv_ctlapi_request *req, const char *name,
                       char text[static PV_CTLAPI_ERROR_BUF])
{
    if (req->cmd == PV_CTLAPI_DENY)
        snprintf(
            text, PV_CTLAPI_ERROR_BUF,
            "deny: %s is a member, and does not wait: `sudo p2pvpnctl deny %s TO PORTS` makes a "
            "rule that denies it something, `sudo p2pvpnctl remove %s` puts it out for good",
            name, name, name);
    else if (req->u.member.name[0] != '\0')
        snprintf(
            text, PV_CTLAPI_ERROR_BUF,
            "admit: %s is a member already, and got no tag: `sudo p2pvpnctl tag %s %s` gives it",
            name, name, req->u.member.name);
    else
        snprintf(text, PV_CTLAPI_ERROR_BUF, "admit: %s is a member already: nothing is to be done",
                 name);
}

/* Why nobody waits by this name, and what to do instead. */
static void fail_nobody(struct pv_node *n, const struct pv_ctlapi_request *req, const char *what,
                        uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    const char *peer = req->peer;
    const struct pv_member *m = pv_node_aside(n, peer);
    const struct pv_member *member = m == NULL ? pv_node_member(n, peer) : NULL;
    if (member != NULL)
        say_member(req, member->name, text);
    else if (m != NULL)
        snprintf(text, sizeof(text),
                 "%s: the membership of %s has expired: it is renewed as soon as it reaches the "
                 "coordinator, and nobody has to admit it",
                 what, peer);
    else
        snprintf(text, sizeof(text),
                 "%s: nobody called %s waits to be admitted: `p2pvpnctl peers` lists who does",
                 what, peer);
    pv_ctlsrv_fail(n->ctl, handle, m == NULL ? PV_CTLAPI_UNKNOWN_PEER : PV_CTLAPI_FAILED, text);
}

/* The one that waits by this name or key; NULL: the client was told why there is none. A
 * coordinator may let several ask by one name: an admin who has seen one of them must not admit
 * another. */
static const struct pv_member *subject(struct pv_node *n, const struct pv_ctlapi_request *req,
                                       const char *what, uint64_t handle)
{
    const struct pv_member *found = NULL;
    char name[PV_NAME_BUF];
    uint8_t pk[PV_SIGN_PK_LEN];
    size_t matches = 0;
    if (!pv_node_need_network(n, what, handle))
        return NULL;
    bool is_key = pv_key_parse(req->peer, pk) == PV_OK;
    bool is_name = pv_node_name(n, req->peer, name);
    for (const struct pv_member *m = NULL; (m = next_waiting(n, m)) != NULL;) {
        if (is_key ? memcmp(m->node, pk, sizeof(pk)) != 0 : !is_name || strcmp(m->name, name) != 0)
            continue;
        found = m;
        matches++;
    }
    if (matches == 1)
        return found;
    if (matches == 0) {
        fail_nobody(n, req, what, handle);
        return NULL;
    }
    pv_ctlsrv_failf(
        n->ctl, handle, PV_CTLAPI_FAILED,
        "%s: %zu machines ask as %s: name the one that you mean by its key, from `p2pvpnctl "
        "peers --json`; one of them is %s",
        what, matches, req->peer, PV_KEY_STR(found->node));
    return NULL;
}

/* An admission by the root key outlives every admin, so where that is here it signs. */
static int sign_admission(struct pv_node *n, const uint8_t *pk, pv_ns now, struct pv_made *ret_made)
{
    return pv_make_admission(pv_roster_network_id(n->roster), pv_rootkey_signer(n), pk,
                             pv_node_wall_s(n, now), ret_made);
}

/* Want of memory, or a roster that is full: the one that waits goes on waiting. */
static void fail(struct pv_node *n, const char *what, int status, uint64_t handle)
{
    pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED, "%s: it could not be signed (%s): try again",
                    what, pv_strstatus(status));
}

/* The member that has taken the name or an address of the one that waits, meanwhile; NULL: none. */
static const struct pv_member *taker_of(const struct pv_node *n, const struct pv_member *m)
{
    const struct pv_member *taker = pv_roster_by_name(n->roster, m->name);
    if (taker == NULL)
        taker = pv_roster_by_ip(n->roster, &m->ip4);
    if (taker == NULL)
        taker = pv_roster_by_ip(n->roster, &m->ip6);
    return taker != NULL ? taker : pv_roster_by_transport(n->roster, m->transport);
}

/* Admitted it would stay outside all the same, and nobody would know why. */
static bool is_in_the_way(struct pv_node *n, const struct pv_member *m, uint64_t handle)
{
    const struct pv_member *taker = taker_of(n, m);
    if (taker != NULL)
        pv_ctlsrv_failf(n->ctl, handle, PV_CTLAPI_FAILED,
                        "admit: member %s has the name, key or an address of %s since that one "
                        "asked: deny it, and it joins anew under another name",
                        taker->name, m->name);
    return taker != NULL;
}

/* It holds here at once, goes to members and to the coordinator like a removal, and the one that
 * waits hears of it when it asks next. The tag goes before: at no moment is the machine a member
 * without the rules about it. */
static void run_admit(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                      pv_ns now)
{
    struct waiting *w = part;
    struct pv_node *n = w->node;
    const struct pv_member *m = subject(n, req, "admit", handle);
    struct pv_made made;
    uint8_t pk[PV_SIGN_PK_LEN];
    if (m == NULL ||
        (!pv_rootkey_is_here(n) && !pv_admin_may_sign(n, "admit", PV_RIGHT_INVITE, handle)) ||
        is_in_the_way(n, m, handle))
        return;
    memcpy(pk, m->node, sizeof(pk)); /* the roster changes with the tag */
    if (req->u.member.name[0] != '\0' &&
        !pv_rulesedit_give_tag(n, "admit", pk, req->u.member.name, handle, now))
        return;
    int r = sign_admission(n, pk, now, &made);
    if (r == PV_OK)
        r = pv_membership_say(n, pv_made_view(&made), now);
    if (r != PV_OK)
        fail(n, "admit", r, handle);
    else
        pv_admin_answer_with(
            n, handle, &(struct pv_ctlapi_told){.tagged = req->u.member.name[0] != '\0'}, now);
}

/* Its key never comes back: else it could ask again without end. */
static void run_deny(void *part, struct pv_ctlapi_request *req, struct pv_peer *p, uint64_t handle,
                     pv_ns now)
{
    struct waiting *w = part;
    struct pv_node *n = w->node;
    const struct pv_member *m = subject(n, req, "deny", handle);
    if (m == NULL || !pv_admin_may_sign(n, "deny", PV_RIGHT_REVOKE, handle))
        return;
    int r = pv_ending_remove(n, m->node, now);
    if (r != PV_OK)
        fail(n, "deny", r, handle);
    else
        pv_admin_answer_when_told(n, handle, now);
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_ADMIT, PV_NEEDS_NOTHING, run_admit},
    {PV_CTLAPI_DENY, PV_NEEDS_NOTHING, run_deny},
};

/* --- what it says ----------------------------------------------------------------------------- */

/* On the machine that waits. */
static void show_own(const struct pv_node *n, struct pv_statuspage *st, pv_ns now)
{
    const unsigned left = pv_node_told_in(n->coord_info.unknown_since, now);
    const struct pv_member *self = pv_roster_enrolled(n->roster, n->identity->sign_pk);
    /* Only the coordinator says so, and the word of an admin would not reach this node. */
    if (pv_node_denied(n) != NULL)
        pv_statuspage_todo(st, PV_STR("%s: ", pv_node_denied(n)), PV_DO(join_anew));
    else if (n->coord_info.standing == PV_COORD_UNKNOWN)
        pv_statuspage_todo(st,
                           "the network has moved since this machine asked, and where it is "
                           "now nobody knows of it: ",
                           left > 0 ? PV_DO(wait_to_be_told, PV_STR("%u", left))
                                    : PV_DO(join_anew));
    else
        pv_statuspage_todo(
            st, "this machine waits until an admin admits it: ", PV_DO(admit_here, self->name));
}

/* One line for all who wait: somebody who floods a token must not hide other problems. */
static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct waiting *w = part;
    const struct pv_node *n = w->node;
    char names[PV_STATUSPAGE_PROBLEM_TEXT];
    struct pv_text list = pv_text_in(names, sizeof(names));
    size_t found = 0;
    if (pv_node_waits(n)) {
        show_own(n, st, now);
        return;
    }
    if (n->roster == NULL || !may_admit(n))
        return;
    for (const struct pv_member *m = NULL; (m = next_waiting(n, m)) != NULL;) {
        if (found++ >= NAMED)
            continue;
        const char *from = pv_waiting_from(n, m->node);
        pv_text_part(&list, ", ");
        pv_text_add(&list, "%s", m->name);
        if (from != NULL)
            pv_text_add(&list, " (from %s)", from);
    }
    if (found == 0)
        return;
    if (found > NAMED)
        pv_text_add(&list, " and %zu more", found - NAMED);
    const struct pv_member *one = next_waiting(n, NULL);
    pv_text_add(&list, " %s to be admitted: ", found == 1 ? "asks" : "ask");
    pv_statuspage_todo(st, names,
                       found == 1 ? PV_DO(admit_or_deny, one->name, one->name)
                                  : PV_DO(admit_or_deny_each, one->name, one->name));
}

const struct pv_part pv_part_waiting = {
    .name = "waiting",
    .size = PV_PART_SIZE(struct waiting),
    .start = start,
    .on_facts = on_facts,
    .on_answer = on_answer,
    .due = PV_PART_DUE(struct waiting, ask_at),
    .on_due = on_due,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
};
