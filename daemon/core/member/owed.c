/* SPDX-License-Identifier: MIT */
/* owed.c - finds what has no receipt, puts it again and again, and says who knows it. */
#include "daemon/core/member/owed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/puts.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/member/signals.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/control/signal.h"
#include "proto/local/ctlapi.h"

enum {
    PUT_MAX = 16,      /* ours: statements of one attempt; all of them fit any message */
    MAX_DOUBLINGS = 7, /* 2 s to about 4 min */
};
#define FIRST_RETRY PV_S(2)
#define SILENT      PV_S(5) /* ours: a coordinator that is there answers in a round trip */

/* Statements, by their hashes: the newest of those that have no receipt. */
struct spread_set {
    size_t n;
    uint8_t hashes[PV_SIGNAL_CHAIN_MAX][PV_STATEMENT_HASH_LEN];
};

struct spread {
    struct spread_set set;
    bool going;
    pv_ns until; /* at least; and while the coordinator owes a receipt */
    pv_ns tick_at;
};

struct owed {
    struct pv_node *node;
    struct pv_puts puts;
    struct spread spread;         /* to members */
    bool all_spread;              /* there was nothing else when last something was owed */
    size_t n;                     /* statements that the coordinator owes a receipt for */
    uint64_t set;                 /* which: a sum over their hashes */
    char first[PV_NAME_BUF + 24]; /* what the first of them says */
    bool asking;                  /* the latest put has no answer yet */
    pv_ns asked_at;
    pv_ns retry_at;      /* WAITING; else PV_NEVER */
    unsigned attempts;   /* in vain, in a row */
    const char *refusal; /* the word of the last answer; NULL: none, or a good one */
    bool said_no;        /* that was no to the set, rather than not now */
};

static struct owed *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_owed);
}

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct owed *o = part;
    o->retry_at = PV_NEVER;
    pv_puts_init(&o->puts, o->node, &pv_part_owed);
    return PV_OK;
}

static void free_owed(void *part)
{
    struct owed *o = part;
    pv_puts_done(&o->puts);
}

/* Is the member where this place says? One that lost, or is old, is nobody's loss. */
static bool is_where(const struct pv_node *n, const struct pv_st_place *place)
{
    const struct pv_member *m = pv_roster_by_node(n->roster, place->node);
    return m != NULL && strcmp(m->name, place->name) == 0 &&
           memcmp(m->ip4.ip, place->ip4, sizeof(place->ip4)) == 0;
}

/* Does the newer wish ask for the name of this one, too, and for another address besides? That one
 * may be refused alone. */
static bool is_part_of(const struct pv_roster_entry *newer, const struct pv_st_place *wish,
                       const struct pv_member *m)
{
    return newer->receipt.len == 0 && strcmp(newer->st.u.place.name, wish->name) == 0 &&
           memcmp(wish->ip4, m->ip4.ip, sizeof(wish->ip4)) == 0;
}

/* Does this node ask by it for another place than it has? At another address than its first one it
 * is there with the receipt only, also for another name. An older wish is nobody's loss, unless it
 * is part of the newer one, nor is one for what others have got meanwhile. */
static bool is_wish(const struct pv_node *n, const struct pv_roster_entry *x)
{
    const struct pv_st_place *wish = &x->st.u.place;
    const struct pv_member *m = pv_roster_by_node(n->roster, wish->node);
    if (m == NULL || m != pv_node_self(n) ||
        memcmp(x->st.signer, wish->node, sizeof(wish->node)) != 0 || is_where(n, wish) ||
        (memcmp(wish->ip4, m->ip4.ip, sizeof(wish->ip4)) != 0 &&
         !pv_roster_ip4_is_free(n->roster, wish->ip4, wish->node)) ||
        (strcmp(wish->name, m->name) != 0 &&
         !pv_roster_name_is_free(n->roster, wish->name, wish->node)))
        return false;
    for (const struct pv_roster_entry *y = pv_roster_next_entry(n->roster, NULL); y != NULL;
         y = pv_roster_next_entry(n->roster, y)) {
        if (y->st.type == PV_ST_PLACE && y->st.u.place.serial > wish->serial &&
            memcmp(y->st.u.place.node, wish->node, sizeof(wish->node)) == 0 &&
            !is_part_of(y, wish, m))
            return false;
    }
    return true;
}

const struct pv_st_place *pv_owed_wish(const struct pv_node *n)
{
    const struct pv_roster_entry *x = NULL, *last = NULL;
    if (of(n)->said_no)
        return NULL; /* a new order takes its place */
    while ((x = pv_roster_next_entry(n->roster, x)) != NULL) {
        if (x->st.type == PV_ST_PLACE && x->receipt.len == 0 && is_wish(n, x))
            last = x;
    }
    return last == NULL ? NULL : &last->st.u.place;
}

/* Does the node have the key that this statement says? One of before is nobody's loss. */
static bool is_key_of(const struct pv_node *n, const struct pv_statement *st)
{
    const struct pv_member *m = pv_roster_enrolled(n->roster, st->signer);
    return m != NULL && memcmp(m->transport, st->u.transport.transport, sizeof(m->transport)) == 0;
}

/* Does an admin let a phone in by it? A node that joins by an invite has its receipt from the
 * coordinator, and nobody else can get it one. */
static bool is_claim_of_phone(const struct pv_node *n, const struct pv_statement *st)
{
    const struct pv_member *m = pv_roster_by_node(n->roster, st->u.member.node);
    return m != NULL && m->serial == st->u.member.serial && pv_roster_gateway(n->roster, m) != NULL;
}

/* Is it a route, tag or rule of this node that takes something back, and so is in force nowhere? */
static bool takes_back(const struct pv_node *n, const struct pv_roster_entry *x)
{
    return pv_st_does(&x->st, PV_DOES_SLOT) && !pv_roster_in_force(x) &&
           x->st.u.slotted.kind == 0 &&
           memcmp(x->st.signer, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0;
}

/* A removal by an admin whose rights had ended before is void: no coordinator takes it. One that is
 * in force is owed although its signer is out of office, too: of two admins who end each other the
 * coordinator's receipts say who was first. */
static bool is_owed(const struct pv_node *n, const struct pv_roster_entry *x)
{
    if (x->receipt.len > 0)
        return false;
    switch (pv_kind_of(x->st.type)->owed) {
    case PV_OWED_NOT:
        break;
    case PV_OWED_ALWAYS:
        return true;
    case PV_OWED_TO_ALL:
        return pv_roster_in_force(x) || takes_back(n, x);
    case PV_OWED_CLAIM:
        return is_claim_of_phone(n, &x->st);
    case PV_OWED_KEY:
        return is_key_of(n, &x->st);
    case PV_OWED_PLACE:
        return is_where(n, &x->st.u.place) || is_wish(n, x);
    case PV_OWED_CARD: /* those of others are their own business */
        return memcmp(x->st.signer, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0;
    case PV_OWED_ADMISSION:
        return pv_roster_admission(n->roster, x->st.u.admission.node) == x;
    }
    return false;
}

/* The statement to be stored, in words; people know a node by its name, and an invite has none. The
 * end of a rule is a change of the rules. */
static void describe(struct owed *o, const struct pv_statement *st)
{
    const struct pv_roster_entry *ended =
        st->type == PV_ST_END ? pv_roster_find(o->node->roster, st->u.end.hash) : NULL;
    if (ended != NULL && pv_st_does(&ended->st, PV_DOES_SLOT))
        st = &ended->st;
    const char *told = pv_kind_of(st->type)->told;
    const uint8_t *pk = pv_st_subject(st);
    const struct pv_member *m = pk == NULL ? NULL : pv_roster_known(o->node->roster, pk);
    if (st->type == PV_ST_REVOCATION && st->u.revocation.kind == PV_REVOKE_INVITE)
        told = "an invite was revoked";
    if (told[0] == '~')
        snprintf(o->first, sizeof(o->first), "%s%s", m != NULL ? m->name : "a node", told + 1);
    else
        snprintf(o->first, sizeof(o->first), "%s", told);
}

/* --- to members ------------------------------------------------------------------------------ */

/* Others tell what they said; else all would tell all. */
static bool is_ours(const struct pv_node *n, const struct pv_statement *st)
{
    return memcmp(st->signer, n->identity->sign_pk, PV_SIGN_PK_LEN) == 0 ||
           (n->identity->has_root &&
            memcmp(st->signer, pv_roster_root(n->roster), PV_SIGN_PK_LEN) == 0);
}

/* Adds a statement without a receipt, in order of arrival, if it is one that all are to know and
 * this node's user said it; else false. Statements by which admins take away, and those about
 * rules, are told to all; the rest of what is owed harms nobody who hears of it late. */
static bool spread_add(struct spread_set *set, const struct pv_node *n,
                       const struct pv_roster_entry *x)
{
    const enum pv_owed owed = pv_kind_of(x->st.type)->owed;
    if ((owed != PV_OWED_TO_ALL && owed != PV_OWED_CLAIM) || !is_ours(n, &x->st))
        return false;
    if (set->n == PV_ARRAY_LEN(set->hashes))
        memmove(set->hashes[0], set->hashes[1], (--set->n) * sizeof(set->hashes[0]));
    memcpy(set->hashes[set->n++], x->st.hash, sizeof(set->hashes[0]));
    return true;
}

static bool is_in(const struct spread_set *set, const uint8_t *hash)
{
    for (size_t i = 0; i < set->n; i++) {
        if (memcmp(set->hashes[i], hash, sizeof(set->hashes[i])) == 0)
            return true;
    }
    return false;
}

/* A statement that has a receipt meanwhile stays in the set that is told. */
static void spread_look(struct spread *s, struct pv_node *n, const struct spread_set *set,
                        pv_ns now)
{
    bool news = false;
    if (n->roster == NULL)
        s->going = false;
    for (size_t i = 0; i < set->n; i++)
        news = news || !is_in(&s->set, set->hashes[i]);
    if (!news)
        return;
    s->set = *set;
    s->going = true;
    s->until = now + PV_SPREAD_MIN;
    s->tick_at = now + PV_SPREAD_SOON;
    n->spread++;
}

/* Does the peer have all of it? */
static bool has_all(const struct pv_node *n, const struct pv_peer *p)
{
    const struct pv_peer_notes *notes = pv_peer_notes_of(p);
    return (n->spread != 0 && notes->spread == n->spread) ||
           (notes->in_sync && pv_rostersync_member_knows(n, p));
}

/* In a large network nobody is asked who is there: a signal to who is away comes back. */
static bool may_be_there(const struct pv_peer *p, bool owed)
{
    return pv_peer_reach(p) != PV_REACH_NO || (owed && pv_peer_presence(p) == PV_PRESENCE_UNKNOWN);
}

static void tell(const struct spread *s, struct pv_node *n, struct pv_peer *p, pv_ns now)
{
    const struct pv_roster_entry *chain[PV_SIGNAL_CHAIN_MAX];
    size_t count = 0;
    for (size_t i = 0; i < s->set.n; i++) {
        const struct pv_roster_entry *x = pv_roster_find(n->roster, s->set.hashes[i]);
        if (x != NULL)
            chain[count++] = x;
    }
    pv_signals_tell(n, p, chain, count, now);
    pv_peer_notes(p)->spread_told = n->spread;
    pv_peer_notes(p)->spread_at = now;
}

/* The room in this tick. */
struct room {
    unsigned signals, woken;
};

static void care_for(const struct spread *s, struct pv_node *n, struct pv_peer *p,
                     struct room *room, pv_ns now)
{
    struct pv_peer_notes *notes = pv_peer_notes(p);
    const bool told = notes->spread_told == n->spread;
    if (!told && notes->in_sync) {
        notes->spread_told = n->spread; /* it hears of it in-band */
        notes->spread_at = now;
    } else if (!told && room->signals > 0) {
        room->signals--;
        tell(s, n, p, now);
    } else if (told && now >= notes->spread_at + PV_SPREAD_WAKE && !pv_peer_is_wanted(p, now) &&
               room->signals > 0 && room->woken > 0) {
        room->signals--;
        room->woken--;
        tell(s, n, p, now);
        pv_peer_want(p, "it is to know what was taken away", now);
        pv_peers_touch(n->peers, p, now);
    }
}

static void spread_handle_timeout(struct spread *s, struct pv_node *n, bool owed, pv_ns now)
{
    struct room room = {.signals = PV_SPREAD_SIGNALS, .woken = PV_SPREAD_WOKEN};
    size_t lacking = 0;
    if (!s->going || !n->online || n->roster == NULL || now < s->tick_at)
        return;
    s->tick_at = now + PV_SPREAD_TICK;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_node(n->peers, p)) != NULL;) {
        if (!may_be_there(p, owed) || has_all(n, p))
            continue;
        lacking++;
        room.woken -= room.woken > 0 && pv_peer_is_wanted(p, now) ? 1 : 0;
    }
    for (struct pv_peer *p = NULL; lacking > 0 && (p = pv_peers_next_node(n->peers, p)) != NULL;) {
        if (may_be_there(p, owed) && !has_all(n, p))
            care_for(s, n, p, &room, now);
    }
    if (room.signals == PV_SPREAD_SIGNALS) /* nothing to say: who comes meanwhile can wait */
        s->tick_at = now + PV_SPREAD_IDLE;
    s->going = now < s->until || owed;
}

static pv_ns spread_next_timeout(const struct spread *s, const struct pv_node *n)
{
    return s->going && n->online ? s->tick_at : PV_NEVER;
}

/* --- to the coordinator ----------------------------------------------------------------------- */

/* A statement that takes somebody's rights goes before all else. */
static bool is_urgent(const struct pv_roster_entry *x)
{
    return pv_st_does(&x->st, PV_DOES_TAKE);
}

/* Counted anew each time: receipts reach the roster by many ways that do not tell this part. */
static void count(struct owed *o, pv_ns now)
{
    struct spread_set ours = {.n = 0};
    bool all = true;
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    o->n = 0;
    o->set = 0;
    for (const struct pv_roster_entry *x =
             o->node->roster == NULL ? NULL : pv_roster_next_entry(o->node->roster, NULL);
         x != NULL; x = pv_roster_next_entry(o->node->roster, x)) {
        if (!is_owed(o->node, x))
            continue;
        pv_statement_hash(x->st.raw, hash);
        o->set += pv_load_be64(hash);
        all = spread_add(&ours, o->node, x) && all;
        if (o->n++ == 0)
            describe(o, &x->st);
    }
    spread_look(&o->spread, o->node, &ours, now);
    if (o->n > 0) {
        o->all_spread = all;
        return;
    }
    o->attempts = 0;
    o->refusal = NULL;
    o->said_no = false;
    o->retry_at = PV_NEVER;
}

/* The waits double: a coordinator that refuses for good costs a message every few minutes. */
static void wait_again(struct owed *o, pv_ns now)
{
    unsigned doublings = o->attempts < MAX_DOUBLINGS ? o->attempts : MAX_DOUBLINGS;
    o->asking = false;
    o->attempts++;
    o->retry_at = now + (FIRST_RETRY << doublings);
}

/* No more than one message carries: the rest goes with the answer to these. All that is urgent has
 * its place, but the order is the roster's: what a statement rests on comes before it. */
static void ask(struct owed *o, pv_ns now)
{
    struct pv_put *put = pv_put_new(PUT_MAX);
    size_t others = PUT_MAX;
    if (put == NULL) {
        wait_again(o, now);
        return;
    }
    for (const struct pv_roster_entry *x = pv_roster_next_entry(o->node->roster, NULL);
         x != NULL && others > 0; x = pv_roster_next_entry(o->node->roster, x))
        others -= is_owed(o->node, x) && is_urgent(x) ? 1 : 0;
    for (const struct pv_roster_entry *x = pv_roster_next_entry(o->node->roster, NULL);
         x != NULL && put->n < PUT_MAX; x = pv_roster_next_entry(o->node->roster, x)) {
        if (!is_owed(o->node, x) || (!is_urgent(x) && others == 0))
            continue;
        others -= is_urgent(x) ? 0 : 1;
        pv_put_add(put, x->st.raw);
    }
    o->retry_at = PV_NEVER;
    if (pv_puts_send(&o->puts, put) != PV_CTL_E_NONE) {
        pv_put_free(put);
        wait_again(o, now);
        return;
    }
    o->asking = true;
    o->asked_at = now;
}

static bool has_error(const struct pv_ctl_msg *msg, enum pv_ctl_error error)
{
    if (msg->type != PV_CTL_RECEIPTS)
        return msg->type == PV_CTL_ERROR && msg->u.failure.error == error;
    for (size_t i = 0; i < msg->u.receipts.n; i++)
        if (msg->u.receipts.results[i].error == error)
            return true;
    return false;
}

/* A coordinator that is busy, or whose disk is full, says what it cannot now, and no to nothing. */
static bool is_no(enum pv_ctl_error error)
{
    return error != PV_CTL_E_NONE && error != PV_CTL_E_LIMIT && error != PV_CTL_E_BUSY &&
           error != PV_CTL_E_STORAGE;
}

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct owed *o = part;
    struct pv_put_result result;
    struct pv_put *put = pv_puts_take(&o->puts, tag, msg, &result);
    if (put == NULL)
        return;
    (void)pv_membership_add(o->node, result.items, result.n_items, now);
    o->asking = false;
    const char *said = o->refusal;
    o->refusal = result.error == PV_CTL_E_NONE ? NULL : pv_ctl_error_word(result.error);
    o->said_no = is_no(result.error);
    if (o->refusal != NULL && o->refusal != said)
        pv_log(o->node->log, PV_LOG_WARN, "what=\"the coordinator has not stored that %s\" why=%s",
               o->first, o->refusal);
    if (o->refusal != NULL)
        wait_again(o, now);
    /* It cannot store now, and may any moment: it has refused nothing. */
    if (has_error(msg, PV_CTL_E_STORAGE))
        o->retry_at = now + PV_COORD_STORAGE_RETRY;
    pv_put_free(put);
    size_t before = o->n;
    count(o, now);
    /* A statement that came while that put was under way goes next. An answer that settled nothing
     * is not asked for in a loop. */
    if (o->n == 0 || o->retry_at != PV_NEVER || o->asking)
        return;
    if (o->n < before && o->node->online)
        ask(o, now);
    else
        wait_again(o, now);
}

/* Runs with every change of the roster, so it begins only what is not under way. A new statement
 * does not wait for the time at which an older statement is due again. */
static void look(struct owed *o, pv_ns now)
{
    uint64_t before = o->set;
    count(o, now);
    o->said_no = o->said_no && o->set == before;
    if (o->n > 0 && o->node->online && !o->asking && (o->retry_at == PV_NEVER || o->set != before))
        ask(o, now);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct owed *o = part;
    struct pv_put *put;
    while ((facts & PV_FACT_OFFLINE) != 0 && (put = pv_puts_take_lost(&o->puts)) != NULL) {
        pv_put_free(put); /* its statements are still in the roster, without a receipt */
        o->asking = false;
    }
    if ((facts & (PV_FACT_STATEMENTS | PV_FACT_NETWORK | PV_FACT_ONLINE)) == 0)
        return;
    /* This may be another coordinator, or the same with another mind. */
    if ((facts & PV_FACT_ONLINE) != 0) {
        o->attempts = 0;
        o->refusal = NULL;
        o->said_no = false;
        o->retry_at = PV_NEVER;
    }
    look(o, now);
}

/* A coordinator that keeps the connection and never answers is as bad as one that refuses, and is
 * named the same way. */
static bool is_silent(const struct owed *o, pv_ns now)
{
    return o->asking && now >= o->asked_at + SILENT;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct owed *o = part;
    spread_handle_timeout(&o->spread, o->node, o->n > 0, now);
    if (o->n == 0 || !o->node->online)
        return;
    /* The put without an answer stays: its receipts still count when they come. */
    if (is_silent(o, now)) {
        o->refusal = "silent";
        wait_again(o, now);
    } else if (now >= o->retry_at) {
        ask(o, now);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct owed *o = part;
    const pv_ns spread_at = spread_next_timeout(&o->spread, o->node);
    if (o->n == 0 || !o->node->online)
        return spread_at;
    return pv_min_ns(spread_at, o->asking ? o->asked_at + SILENT : o->retry_at);
}

/* --- who knows ------------------------------------------------------------------------------- */

void pv_owed_hurry(struct pv_node *n, pv_ns now)
{
    look(of(n), now);
}

void pv_owed_told(const struct pv_node *n, struct pv_owed_told *ret_told)
{
    const struct owed *o = of(n);
    struct pv_owed_told t = {.coordinator = "stored", .done = true};
    for (struct pv_peer *p = NULL; (p = pv_peers_next_node(n->peers, p)) != NULL;) {
        if (pv_peer_reach(p) == PV_REACH_NO)
            continue;
        /* Of the rest only its head says whether a member has it. */
        bool knows = o->all_spread ? has_all(n, p) : pv_rostersync_member_knows(n, p);
        t.online++;
        t.know += knows ? 1 : 0;
        /* Those whom nothing in-band reaches are told as well, and nobody waits for their answer.
         */
        t.done = t.done && (knows || !pv_peer_notes(p)->in_sync);
    }
    if (o->n > 0 && !n->online)
        t.coordinator = "away";
    else if (o->n > 0)
        t.coordinator = o->refusal != NULL ? o->refusal : "silent";
    t.done = t.done && (o->n == 0 || !n->online || o->refusal != NULL);
    *ret_told = t;
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct owed *o = part;
    struct pv_owed_told t;
    /* The part that talks to it names one that is away; a put on its way is no problem yet. */
    if (o->n == 0 || !o->node->online || (o->refusal == NULL && !is_silent(o, now)))
        return;
    bool quiet = o->refusal == NULL || strcmp(o->refusal, "silent") == 0;
    pv_owed_told(o->node, &t);
    const struct pv_remedy todo = quiet ? PV_DO_NOTHING : pv_ctlapi_error_todo(o->refusal);
    const char *text =
        PV_STR("it %s%s; %zu of %zu members online lack it%s; it is told again%s",
               quiet ? "does not answer" : "said ", quiet ? "" : pv_ctlapi_error_said(o->refusal),
               t.online - t.know, t.online, t.know < t.online ? " and are told" : "",
               todo.id == PV_REMEDY_NONE ? "" : ": ");
    char what[sizeof(o->first) + 48];
    snprintf(what, sizeof(what), "the coordinator has not stored that %s: ", o->first);
    pv_statuspage_todo(st, PV_STR("%s%s", what, text), todo);
}

const struct pv_part pv_part_owed = {
    .name = "owed",
    .size = PV_PART_SIZE(struct owed),
    .start = start,
    .free = free_owed,
    .on_facts = on_facts,
    .on_answer = on_answer,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .status = show,
};
