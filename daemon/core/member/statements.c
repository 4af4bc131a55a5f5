/* SPDX-License-Identifier: MIT */
/*
 * statements.c - the part that keeps the roster and the coordinator's log alike: it asks for what
 * is new since the cursor, page by page, takes what is pushed, and where heads differ afterwards
 * goes through the whole log once a connection and uploads what the coordinator lacks (a restored
 * backup, a revocation made while it was away).
 *
 *   welcome --> PULLING --last page, heads agree--> pushes follow
 *                       --heads differ--> RELISTING --last page--> what it lacks is put
 */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/puts.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/part.h"
#include "daemon/core/node/statuspage.h"

extern const struct pv_part pv_part_statements; /* at the end */

enum {
    TAG_PULL,   /* new statements */
    TAG_RELIST, /* all statements: what does the coordinator lack? */

    PUT_SIZE = 16, /* ours: statements of one upload; all of them fit any message */
};
#define LOOK_AGAIN  PV_S(30) /* ours: between two looks, and after a statement was missed */
#define LOOK_WITHIN PV_S(1)  /* ours: members look at random, and the first may mend it for all */
#define LOOK_EACH   PV_MS(5) /* ours: and for each member so much later */

struct statements {
    struct pv_node *node;
    struct pv_puts uploads;
    size_t n_paged;   /* that came in pages since the last final one */
    bool relisted;    /* the whole log was asked for on this connection */
    pv_ns look_at;    /* a push said that the coordinator has other members, or a statement was
                         missed: it is asked; PV_NEVER */
    pv_ns rest_until; /* not again before, for what a push says */
    bool named; /* it was brought a list of coordinators, and the whole log not asked for since */
    bool named_once; /* that was done on this connection */
    bool mends;      /* it is brought better receipts, and asked when it has them */
    bool differs;    /* the coordinator has our statements and other members, also after that */
    uint64_t shown;  /* epoch of the log that has had this node's card; 0: none */
    bool show;       /* the coordinator may lack that card */
    uint8_t (*listed)[PV_STATEMENT_HASH_LEN]; /* owned: what the coordinator has, while RELISTING */
    size_t n_listed, cap_listed;
};

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct statements *s = part;
    s->look_at = PV_NEVER;
    pv_puts_init(&s->uploads, s->node, &pv_part_statements);
    return PV_OK;
}

static void drop_listed(struct statements *s)
{
    free(s->listed);
    s->listed = NULL;
    s->n_listed = s->cap_listed = 0;
}

static void free_statements(void *part)
{
    struct statements *s = part;
    pv_puts_done(&s->uploads);
    drop_listed(s);
}

/* --- uploading -------------------------------------------------------------------------------- */

/* A refusal is only logged: the statement stays in the roster, and a later listing of what the
 * coordinator has brings it up again. */
static void end_upload(struct statements *s, struct pv_put *put, enum pv_ctl_error error, pv_ns now)
{
    const char *why = pv_ctl_error_word(error);
    char more[PV_NODE_MORE];
    if (error != PV_CTL_E_NONE && pv_node_may_log(s->node, PV_FROM_COORDINATOR, why, now, more))
        pv_log(s->node->log, PV_LOG_WARN, "what=\"upload refused\" why=%s%s", why, more);
    pv_put_free(put);
}

/* Receipts of the coordinators that a list names may count there from now on, which did not when
 * they came with the other statements. */
static bool has_list(const struct pv_put *put)
{
    bool has = false;
    for (size_t i = 0; i < put->n; i++)
        has = has || put->statements[i].raw[1] == PV_ST_COORDINATORS;
    return has;
}

static void upload(struct statements *s, struct pv_put *put, pv_ns now)
{
    enum pv_ctl_error error = pv_puts_send(&s->uploads, put);
    if (error != PV_CTL_E_NONE)
        end_upload(s, put, error, now);
}

static int cmp_hashes(const void *a, const void *b)
{
    return memcmp(a, b, PV_STATEMENT_HASH_LEN);
}

/* Members whom the coordinator lacks statements of (a restored backup) bring them back. */
static void upload_missing(struct statements *s, pv_ns now)
{
    struct pv_put *put = NULL;
    if (s->n_listed > 0)
        qsort(s->listed, s->n_listed, sizeof(*s->listed), cmp_hashes);
    for (const struct pv_roster_entry *x = pv_roster_next_entry(s->node->roster, NULL); x != NULL;
         x = pv_roster_next_entry(s->node->roster, x)) {
        if (s->n_listed > 0 &&
            bsearch(x->st.hash, s->listed, s->n_listed, sizeof(*s->listed), cmp_hashes) != NULL)
            continue;
        if (put == NULL)
            put = pv_put_new(PUT_SIZE);
        if (put == NULL)
            return;
        pv_put_add(put, x->st.raw);
        if (put->n == PUT_SIZE) {
            upload(s, put, now);
            put = NULL;
        }
    }
    if (put != NULL)
        upload(s, put, now);
}

/* No head covers cards: a coordinator that lost its newest log (a restored backup), and one that is
 * new, is brought this node's own. It costs little where it is known. */
static bool may_lack_card(const struct statements *s, const struct pv_ctl_cursor *end)
{
    const struct pv_ctl_cursor have = pv_coord_cursor(s->node);
    return end->epoch != s->shown || end->epoch < have.epoch ||
           (end->epoch == have.epoch && end->n < have.n);
}

static void show_card(struct statements *s, pv_ns now)
{
    const struct pv_node *n = s->node;
    const struct pv_roster_entry *x = pv_roster_next_entry(n->roster, NULL);
    s->show = false;
    while (x != NULL && !(x->st.type == PV_ST_CARD &&
                          memcmp(x->st.signer, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0))
        x = pv_roster_next_entry(n->roster, x);
    struct pv_put *put = x == NULL || x->receipt.len == 0 ? NULL : pv_put_new(1);
    if (put == NULL)
        return; /* there is none, or it is owed */
    pv_put_add(put, x->st.raw);
    upload(s, put, now);
}

/* A statement that the coordinator has with a worse receipt than this node counts as missing: it is
 * put there again, and brings the better one. */
static void note_listed(struct statements *s, const struct pv_ctl_item *item)
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    pv_statement_hash(item->statement, hash);
    const struct pv_roster_entry *own = pv_roster_find(s->node->roster, hash);
    if (own != NULL && own->receipt.len > 0 && !pv_view_equal(own->receipt, item->receipt))
        return;

    /* No network has more; what a liar lists beyond is not worth memory. */
    if (s->n_listed == PV_ROSTER_MAX_STATEMENTS)
        return;
    void *grown = pv_vec_room(s->listed, s->n_listed, &s->cap_listed, 256, sizeof(s->listed[0]));
    if (grown == NULL)
        return; /* uploads what is there already: harmless */
    s->listed = grown;
    memcpy(s->listed[s->n_listed++], hash, sizeof(hash));
}

/* --- pulling ---------------------------------------------------------------------------------- */

static void pull(struct statements *s, struct pv_ctl_cursor have, uint64_t tag)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_PULL};
    msg.u.pull = have;
    int r = pv_coord_ask(s->node, &pv_part_statements, &msg, tag);
    if (r != PV_OK)
        pv_log(s->node->log, PV_LOG_WARN, "what=\"statements not asked for\" why=\"%s\"",
               pv_strstatus(r));
}

/* Has the coordinator the same statements, and not the same members? Then it, or this node, holds
 * other receipts, or decides by other rules. */
static bool has_other_members(const struct statements *s, const struct pv_ctl_statements *st)
{
    uint8_t head[PV_STATEMENT_HASH_LEN], members[PV_STATEMENT_HASH_LEN];
    pv_roster_head(s->node->roster, head);
    pv_roster_members(s->node->roster, members);
    return st->has_head && memcmp(head, st->head, sizeof(head)) == 0 &&
           memcmp(members, st->members, sizeof(members)) != 0;
}

/* The last page has brought news. A coordinator that got them with other receipts may have other
 * members since, for as long as nobody brings it the better ones. */
static void end_push(struct statements *s, const struct pv_ctl_statements *st, pv_ns now)
{
    pv_ns within = LOOK_WITHIN + LOOK_EACH * pv_roster_count(s->node->roster);
    bool other = has_other_members(s, st);
    s->differs = s->differs && other;
    if (other && s->look_at == PV_NEVER)
        s->look_at = (now > s->rest_until ? now : s->rest_until) +
                     PV_MS(pv_rng_below(&s->node->rng, (uint32_t)(within / PV_MS(1))));
}

/* All pages are here. Where heads or members still differ, compare by the whole log with its
 * receipts, once a connection. */
static void end_pull(struct statements *s, const struct pv_ctl_statements *st, uint64_t tag,
                     pv_ns now)
{
    uint8_t head[PV_STATEMENT_HASH_LEN];
    bool other = has_other_members(s, st);
    pv_roster_head(s->node->roster, head);
    if (st->has_head && (tag == TAG_RELIST || memcmp(head, st->head, sizeof(head)) == 0))
        pv_rules_listed(s->node, now);
    if (tag == TAG_RELIST) {
        upload_missing(s, now);
        drop_listed(s);
        s->mends = other && s->uploads.first != NULL;
        s->differs = other && !s->mends;
        return;
    }
    s->differs = other && s->relisted;
    if (s->show)
        show_card(s, now);
    if (st->has_head && (other || memcmp(head, st->head, sizeof(head)) != 0) && !s->relisted) {
        s->relisted = true;
        drop_listed(s);
        pull(s, (struct pv_ctl_cursor){0}, TAG_RELIST);
    }
}

/* May the page that follows this one be asked for? A coordinator that lies could go on listing for
 * ever: a page that brings nothing, and more statements than a network has, end it. */
static bool goes_on(struct statements *s, const struct pv_ctl_statements *st, pv_ns now)
{
    if (!st->more)
        return false;
    s->n_paged += st->n;
    if (st->n > 0 && s->n_paged < PV_ROSTER_MAX_STATEMENTS)
        return true;
    pv_node_report(s->node, PV_FROM_COORDINATOR,
                   "the coordinator lists statements without end: the rest is not read", now);
    return false;
}

static void take_statements(struct statements *s, const struct pv_ctl_msg *msg, uint64_t tag,
                            pv_ns now)
{
    const struct pv_ctl_statements *st = &msg->u.statements;
    if (msg->type != PV_CTL_STATEMENTS || s->node->roster == NULL)
        return;
    (void)pv_membership_add(s->node, st->items, st->n, now);
    /* The cursor follows the roster, never the other way round: a page that is behind the cursor is
     * not asked for again. A relist leaves the cursor alone. */
    if (tag == TAG_RELIST) {
        for (size_t i = 0; i < st->n; i++)
            note_listed(s, &st->items[i]);
    } else if (st->n > 0) {
        pv_coord_set_cursor(s->node, st->have);
        pv_membership_cursor_moved(s->node, now);
    }
    /* A push brings statements as well, but only the answer to a pull can end one. */
    if (goes_on(s, st, now)) {
        pull(s, st->have, tag);
    } else if (st->more && tag == TAG_RELIST) {
        drop_listed(s);
    } else if (!st->more && msg->kind == PV_CTL_ANSWER) {
        s->n_paged = 0;
        end_pull(s, st, tag, now);
    } else if (!st->more) {
        end_push(s, st, now);
    }
}

/* Two kinds of requests share the tags: those that pull have small numbers of this part, uploads
 * have those of puts.h. The answer to an upload has receipts, which go into the roster. */
static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct statements *s = part;
    struct pv_put_result result;
    if (tag < PV_PUTS_TAGS) {
        take_statements(s, msg, tag, now);
        return;
    }
    struct pv_put *put = pv_puts_take(&s->uploads, tag, msg, &result);
    if (put == NULL)
        return;
    (void)pv_membership_add(s->node, result.items, result.n_items, now);
    s->named = s->named || has_list(put);
    end_upload(s, put, result.error, now);
    if (s->uploads.first != NULL || s->node->roster == NULL)
        return;
    if (s->named && !s->named_once) {
        s->named_once = true;
        pull(s, (struct pv_ctl_cursor){0}, TAG_RELIST);
    } else if (s->mends) {
        s->mends = false;
        pull(s, pv_coord_cursor(s->node), TAG_PULL);
    }
}

static void on_due(void *part, pv_ns now)
{
    struct statements *s = part;
    s->look_at = PV_NEVER;
    s->rest_until = now + LOOK_AGAIN;
    s->relisted = false;
    if (s->node->online && !s->node->coord_info.visiting && s->node->roster != NULL)
        pull(s, pv_coord_cursor(s->node), TAG_PULL);
}

/* After a welcome this node asks for what the log has behind the last connection's end. */
static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct statements *s = part;
    if (msg->type == PV_CTL_STATEMENTS) {
        take_statements(s, msg, TAG_PULL, now);
    } else if (msg->type == PV_CTL_WELCOME && s->node->online && !s->node->coord_info.visiting) {
        s->relisted = s->differs = s->mends = s->named = s->named_once = false;
        s->show = may_lack_card(s, &msg->u.welcome.have);
        s->shown = msg->u.welcome.have.epoch;
        s->look_at = PV_NEVER;
        s->n_paged = 0;
        drop_listed(s);
        pull(s, pv_coord_cursor(s->node), TAG_PULL);
    }
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct statements *s = part;
    struct pv_put *put;
    if ((facts & PV_FACT_OFFLINE) != 0) {
        s->look_at = PV_NEVER;
        s->mends = false;
    } else if ((facts & PV_FACT_MISSED) != 0 && s->look_at == PV_NEVER) {
        /* It is behind the cursor: the heads differ, and all comes. */
        s->look_at = now + LOOK_AGAIN;
    }
    while ((facts & PV_FACT_OFFLINE) != 0 && (put = pv_puts_take_lost(&s->uploads)) != NULL)
        end_upload(s, put, PV_CTL_E_OFFLINE, now);
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct statements *s = part;
    if (s->differs && s->node->online)
        pv_statuspage_problem(st, "the coordinator has the same statements and other members: ",
                              "it, or this node, was told other receipts or is too old");
}

const struct pv_part pv_part_statements = {
    .name = "statements",
    .size = PV_PART_SIZE(struct statements),
    .start = start,
    .free = free_statements,
    .on_facts = on_facts,
    .on_answer = on_answer,
    .on_push = on_push,
    .due = PV_PART_DUE(struct statements, look_at),
    .on_due = on_due,
    .status = show,
};
