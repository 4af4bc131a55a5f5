/* SPDX-License-Identifier: MIT */
/* test_reigns.c - admins at random: they grant and end rights, remove, invite, make rules, move
 * the network and leave, all of them, while coordinators are away or die, and while the network
 * is in two pieces that see different coordinators and heal later. Each time that all is whole
 * again, and in the end, with a newcomer, every member and every coordinator of the list says
 * the same, and says what the rule of docs/PROTOCOL-NETWORK.md makes of all that was said. And
 * what was asked of an admin in office holds for ever, unless the other piece ended that admin
 * meanwhile without knowing of it: then the rule alone decides. */
#include <assert.h>

#include "daemon/core/engine.h"
#include "daemon/core/node/node.h"
#include "proto/roster/roster.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    RULEBOOK_WORDS = 1024,
    RULEBOOK_RECEIPTS = 16, /* different ones for one statement */
};

struct rulebook_word {
    const struct pv_statement *st; /* the roster's, until that changes */
    struct pv_receipt receipts[RULEBOOK_RECEIPTS];
    size_t n_receipts;
    const struct pv_receipt *receipt;     /* the one that is kept; NULL: none */
    bool ordered;                         /* a record names its coordinator */
    const struct rulebook_word *ended_by; /* of a grant */
    bool in_force;                        /* of types 6, 9 and 18 */
};

struct rulebook {
    uint8_t root[PV_SIGN_PK_LEN];
    struct rulebook_word words[RULEBOOK_WORDS];
    size_t n;
};

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, PV_SIGN_PK_LEN) == 0;
}

static void rulebook_clear(struct rulebook *b)
{
    b->n = 0;
}

static struct rulebook_word *find(struct rulebook *b, const uint8_t *hash)
{
    for (size_t i = 0; i < b->n; i++) {
        if (memcmp(b->words[i].st->hash, hash, PV_STATEMENT_HASH_LEN) == 0)
            return &b->words[i];
    }
    return NULL;
}

/* All that this roster holds, and its receipts. */
static void rulebook_add(struct rulebook *b, const struct pv_roster *r)
{
    const struct pv_roster_entry *e = NULL;
    memcpy(b->root, pv_roster_root(r), sizeof(b->root));
    while ((e = pv_roster_next_entry(r, e)) != NULL) {
        struct rulebook_word *w = find(b, e->st.hash);
        if (w == NULL) {
            assert(b->n < RULEBOOK_WORDS);
            w = &b->words[b->n++];
            *w = (struct rulebook_word){.st = &e->st};
        }
        struct pv_receipt receipt;
        if (e->receipt.len == 0 || pv_receipt_decode(e->receipt, &receipt) != PV_OK)
            continue;
        size_t i = 0;
        while (i < w->n_receipts && memcmp(&w->receipts[i], &receipt, sizeof(receipt)) != 0)
            i++;
        assert(i < RULEBOOK_RECEIPTS);
        w->receipts[i] = receipt;
        w->n_receipts += i == w->n_receipts ? 1 : 0;
    }
}

/* --- receipts -------------------------------------------------------------------------------- */

static bool names(const struct pv_statement *record, const uint8_t *coordinator)
{
    struct pv_view list = record->u.coordinators.list;
    struct pv_coordinator c;
    while (pv_coordlist_next(&list, &c)) {
        if (same(c.pk, coordinator))
            return true;
    }
    return false;
}

static bool is_coordinator(const struct rulebook *b, const uint8_t *coordinator)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *st = b->words[i].st;
        if (st->type == PV_ST_COORDINATORS && names(st, coordinator))
            return true;
    }
    return false;
}

/* The invite that let this claim in; NULL: an admin signed it. */
static const struct rulebook_word *invite_of(const struct rulebook *b,
                                             const struct pv_statement *st)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *x = b->words[i].st;
        if (x->type == PV_ST_INVITE && same(x->u.invite.invite, st->signer))
            return &b->words[i];
    }
    return NULL;
}

static bool in_window(const struct rulebook *b, const struct pv_statement *st,
                      const struct pv_receipt *r)
{
    const struct rulebook_word *invite = invite_of(b, st);
    if (st->type != PV_ST_MEMBER || invite == NULL)
        return true;
    const struct pv_st_invite *x = &invite->st->u.invite;
    return r->time + PV_ROSTER_WINDOW_SLACK >= x->not_before &&
           (x->not_after == UINT64_MAX || r->time <= x->not_after + PV_ROSTER_WINDOW_SLACK);
}

/* (time, epoch, n, coordinator pk) */
static bool earlier(const struct pv_receipt *a, const struct pv_receipt *b)
{
    if (a->time != b->time)
        return a->time < b->time;
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch;
    if (a->n != b->n)
        return a->n < b->n;
    return memcmp(a->coordinator, b->coordinator, PV_SIGN_PK_LEN) < 0;
}

static bool better(const struct rulebook *b, const struct pv_statement *st,
                   const struct pv_receipt *x, const struct pv_receipt *y)
{
    bool wx = in_window(b, st, x), wy = in_window(b, st, y);
    return wx != wy ? wx : earlier(x, y);
}

static void keep_receipts(struct rulebook *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *w = &b->words[i];
        w->receipt = NULL;
        for (size_t k = 0; k < w->n_receipts; k++) {
            if (w->receipt == NULL || better(b, w->st, &w->receipts[k], w->receipt))
                w->receipt = &w->receipts[k];
        }
        w->ordered = w->receipt != NULL && is_coordinator(b, w->receipt->coordinator);
    }
}

/* --- rights and revocations --------------------------------------------------------------------
 */

static bool is_end(const struct pv_statement *st)
{
    return st->type == PV_ST_END ||
           (st->type == PV_ST_REVOCATION && st->u.revocation.kind == PV_REVOKE_NODE);
}

static const uint8_t *about(const struct pv_statement *end)
{
    return end->type == PV_ST_END ? end->u.end.about : end->u.revocation.pk;
}

static bool ends_grant(const struct pv_statement *end, const struct pv_statement *grant)
{
    return same(about(end), grant->u.admin.node) &&
           (end->type != PV_ST_END ||
            memcmp(end->u.end.hash, grant->hash, PV_STATEMENT_HASH_LEN) == 0);
}

/* Is there a grant of this right to the key that nothing has ended so far? */
static bool has_right(const struct rulebook *b, const uint8_t *pk, uint8_t right)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_ADMIN && same(w->st->u.admin.node, pk) &&
            (w->st->u.admin.rights & right) != 0 && w->ended_by == NULL)
            return true;
    }
    return same(pk, b->root);
}

static bool may_end(const struct rulebook *b, const struct pv_statement *end)
{
    return has_right(b, end->signer, PV_RIGHT_REVOKE) ||
           (end->type == PV_ST_END && same(end->signer, about(end)));
}

static void end_grants(struct rulebook *b, struct rulebook_word *end)
{
    end->in_force = !same(about(end->st), b->root);
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *g = &b->words[i];
        if (g->st->type == PV_ST_ADMIN && g->ended_by == NULL && ends_grant(end->st, g->st))
            g->ended_by = end;
    }
}

/* The next one in order behind prev; NULL: none. */
static struct rulebook_word *next_ordered(struct rulebook *b, const struct rulebook_word *prev)
{
    struct rulebook_word *next = NULL;
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *w = &b->words[i];
        if (is_end(w->st) && w->ordered && (prev == NULL || earlier(prev->receipt, w->receipt)) &&
            (next == NULL || earlier(w->receipt, next->receipt)))
            next = w;
    }
    return next;
}

static void judge_ends(struct rulebook *b)
{
    bool at_once[RULEBOOK_WORDS] = {false};
    for (struct rulebook_word *w = NULL; (w = next_ordered(b, w)) != NULL;) {
        if (may_end(b, w->st))
            end_grants(b, w);
    }
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *w = &b->words[i];
        if (is_end(w->st) && !w->ordered && same(w->st->signer, b->root))
            end_grants(b, w);
    }
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        at_once[i] =
            is_end(w->st) && !w->ordered && !same(w->st->signer, b->root) && may_end(b, w->st);
    }
    for (size_t i = 0; i < b->n; i++) {
        if (at_once[i])
            end_grants(b, &b->words[i]);
    }
}

/* By which a right of this key has ended, with the last grant of it; NULL: it has not. */
static const struct rulebook_word *end_of(const struct rulebook *b, const uint8_t *pk,
                                          uint8_t right)
{
    const struct rulebook_word *last = NULL;
    if (has_right(b, pk, right))
        return NULL;
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *g = &b->words[i], *e = g->ended_by;
        if (g->st->type != PV_ST_ADMIN || !same(g->st->u.admin.node, pk) ||
            (g->st->u.admin.rights & right) == 0)
            continue;
        if (last == NULL || (last->ordered && !e->ordered) ||
            (last->ordered && e->ordered && earlier(last->receipt, e->receipt)) ||
            (!last->ordered && !e->ordered && same(last->st->signer, b->root)))
            last = e;
    }
    return last;
}

static bool was_granted(const struct rulebook *b, const uint8_t *pk, uint8_t right)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *st = b->words[i].st;
        if (st->type == PV_ST_ADMIN && same(st->u.admin.node, pk) &&
            (st->u.admin.rights & right) != 0)
            return true;
    }
    return same(pk, b->root);
}

/* Does it count, whose signer had this right once? */
static bool said_with(const struct rulebook *b, const struct rulebook_word *w, uint8_t right)
{
    if (!was_granted(b, w->st->signer, right))
        return false;
    const struct rulebook_word *end = end_of(b, w->st->signer, right);
    if (end == NULL)
        return true;
    if (w->ordered)
        return !end->ordered || earlier(w->receipt, end->receipt);
    return !end->ordered && (w->st->type == PV_ST_REVOCATION || w->st->type == PV_ST_END) &&
           !same(end->st->signer, b->root);
}

static bool ended_by_hash(const struct rulebook *b, const struct pv_statement *st)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_END && w->in_force && same(w->st->u.end.about, st->signer) &&
            memcmp(w->st->u.end.hash, st->hash, PV_STATEMENT_HASH_LEN) == 0)
            return true;
    }
    return false;
}

/* --- slots of rules ----------------------------------------------------------------------------
 */

static bool newer(const struct pv_statement *a, const struct pv_statement *b)
{
    if (a->u.rule.slot.seq != b->u.rule.slot.seq)
        return a->u.rule.slot.seq > b->u.rule.slot.seq;
    return memcmp(a->hash, b->hash, PV_STATEMENT_HASH_LEN) < 0;
}

static bool is_proven(const struct rulebook *b, const struct rulebook_word *w)
{
    return w->ordered || same(w->st->signer, b->root);
}

/* The newest of a slot, of all or of the proven ones. */
static const struct rulebook_word *newest(const struct rulebook *b, const struct pv_statement *of,
                                          bool proven)
{
    const struct rulebook_word *best = NULL;
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_RULE && same(w->st->signer, of->signer) &&
            w->st->u.rule.slot.number == of->u.rule.slot.number && (!proven || is_proven(b, w)) &&
            (best == NULL || newer(w->st, best->st)))
            best = w;
    }
    return best;
}

static bool rule_counts(const struct rulebook *b, const struct rulebook_word *w)
{
    const struct rulebook_word *first = newest(b, w->st, false), *second = newest(b, w->st, true);
    const struct rulebook_word *decides = said_with(b, first, PV_RIGHT_REVOKE) ? first
                                          : second != NULL && said_with(b, second, PV_RIGHT_REVOKE)
                                              ? second
                                              : NULL;
    return decides == w && w->st->u.rule.kind != PV_RULE_NONE && !ended_by_hash(b, w->st);
}

/* Decides all that follows; nothing is added after it. */
static void rulebook_judge(struct rulebook *b)
{
    for (size_t i = 0; i < b->n; i++) {
        b->words[i].ended_by = NULL;
        b->words[i].in_force = false;
    }
    keep_receipts(b);
    judge_ends(b);
    for (size_t i = 0; i < b->n; i++) {
        struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_REVOCATION && w->st->u.revocation.kind == PV_REVOKE_INVITE)
            w->in_force = said_with(b, w, PV_RIGHT_REVOKE);
        else if (w->st->type == PV_ST_RULE)
            w->in_force = rule_counts(b, w);
    }
}

/* --- what follows ------------------------------------------------------------------------------
 */

/* Is this key removed, as a node or an invite? */
static bool is_revoked(const struct rulebook *b, const uint8_t *pk, uint8_t kind)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_REVOCATION && w->in_force && w->st->u.revocation.kind == kind &&
            same(w->st->u.revocation.pk, pk))
            return true;
    }
    return false;
}

static bool holds(struct pv_view stay, const uint8_t *pk)
{
    for (size_t i = 0; i < stay.len; i += PV_SIGN_PK_LEN) {
        if (same(stay.ptr + i, pk))
            return true;
    }
    return false;
}

/* Does a revocation of that kind about the key, or (kind 0) an end of its rights, let pk stay? */
static bool stays(const struct rulebook *b, const uint8_t *key, uint8_t kind, const uint8_t *pk)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (!w->in_force)
            continue;
        if (kind == 0 && w->st->type == PV_ST_END && same(w->st->u.end.about, key) &&
            holds(w->st->u.end.stay, pk))
            return true;
        if (kind != 0 && w->st->type == PV_ST_REVOCATION && w->st->u.revocation.kind == kind &&
            same(w->st->u.revocation.pk, key) && holds(w->st->u.revocation.stay, pk))
            return true;
    }
    return false;
}

/* Does what this admin signed, an invite or a claim, let pk in? */
static bool admin_stands(const struct rulebook *b, const struct rulebook_word *w, const uint8_t *pk)
{
    if (is_revoked(b, w->st->signer, PV_REVOKE_NODE))
        return stays(b, w->st->signer, PV_REVOKE_NODE, pk);
    return said_with(b, w, PV_RIGHT_INVITE) || stays(b, w->st->signer, 0, pk);
}

static bool is_eligible(const struct rulebook *b, const struct rulebook_word *claim)
{
    const uint8_t *pk = claim->st->u.member.node;
    const struct rulebook_word *invite = invite_of(b, claim->st);
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *st = b->words[i].st;
        if (st->type == PV_ST_LEAVE && same(st->signer, pk) &&
            st->u.leave.serial >= claim->st->u.member.serial)
            return false;
    }
    if (is_revoked(b, pk, PV_REVOKE_NODE))
        return false;
    if (invite == NULL)
        return admin_stands(b, claim, pk);
    if (is_revoked(b, claim->st->signer, PV_REVOKE_INVITE) &&
        !stays(b, claim->st->signer, PV_REVOKE_INVITE, pk))
        return false;
    return admin_stands(b, invite, pk) && claim->receipt != NULL &&
           is_coordinator(b, claim->receipt->coordinator) &&
           in_window(b, claim->st, claim->receipt);
}

static bool rulebook_is_member(const struct rulebook *b, const uint8_t *pk)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct rulebook_word *w = &b->words[i];
        if (w->st->type == PV_ST_MEMBER && same(w->st->u.member.node, pk) && is_eligible(b, w))
            return true;
    }
    return false;
}

static bool rulebook_is_removed(const struct rulebook *b, const uint8_t *pk)
{
    return is_revoked(b, pk, PV_REVOKE_NODE);
}

/* Enum pv_st_right */
static uint8_t rulebook_rights(const struct rulebook *b, const uint8_t *pk)
{
    return (uint8_t)((has_right(b, pk, PV_RIGHT_INVITE) ? PV_RIGHT_INVITE : 0) |
                     (has_right(b, pk, PV_RIGHT_REVOKE) ? PV_RIGHT_REVOKE : 0));
}

static bool is_rule_in_force(const struct rulebook_word *w)
{
    return w->st->type == PV_ST_RULE && w->in_force;
}

static size_t rulebook_count_rules(const struct rulebook *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++)
        n += is_rule_in_force(&b->words[i]) ? 1 : 0;
    return n;
}

/* Those that are about different ports. An admin that ends another says its rules again, and both
 * are in force where the first one came to a coordinator before the end did. */
static size_t rulebook_count_wishes(const struct rulebook *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        bool first = is_rule_in_force(&b->words[i]);
        for (size_t k = 0; first && k < i; k++)
            first = !is_rule_in_force(&b->words[k]) || b->words[k].st->u.rule.ports.v[0].first !=
                                                           b->words[i].st->u.rule.ports.v[0].first;
        n += first ? 1 : 0;
    }
    return n;
}

/* The coordinators record in force; NULL: there is none. */
static const struct pv_statement *rulebook_record(const struct rulebook *b)
{
    const struct pv_statement *best = NULL;
    for (size_t i = 0; i < b->n; i++) {
        const struct pv_statement *st = b->words[i].st;
        if (st->type != PV_ST_COORDINATORS)
            continue;
        if (best == NULL || st->u.coordinators.seq > best->u.coordinators.seq ||
            (st->u.coordinators.seq == best->u.coordinators.seq &&
             memcmp(st->hash, best->hash, PV_STATEMENT_HASH_LEN) < 0))
            best = st;
    }
    return best;
}

/* --- reigns ---------------------------------------------------------------------------------- */

enum {
    RANDOM = 8,   /* sequences; PV_SIM_SEEDS sets another number */
    LONG = 10000, /* of them with PV_SIM_LONG */
    EVENTS = 14,  /* of one sequence */
    FIRST = 4,    /* members at the beginning */
    MOST = 7,     /* machines, the last of which joins in the end */
    MOVES = 3,    /* that are asked for */
    COORDS = 8,   /* ever; who finds the list dead moves once more */
    DEEDS = 64,
    ROUNDS = 60, /* of looking whether all agree */
};
#define ROUND PV_S(10)

enum standing {
    OUT, /* it never joined */
    IN,
    REMOVED,
    LEFT,
};

/* The wishes of people, as one piece of the network knows them. */
struct opinion {
    enum standing is;
    bool admin;
};

/* A statement that somebody made while the network was in pieces. */
struct deed {
    unsigned side;
    unsigned by, whom; /* whom = MOST: a rule, or the list of coordinators */
};

struct reign {
    uint64_t seed;
    struct sim_node *n[MOST];
    char name[MOST][2];
    unsigned side[MOST];
    struct opinion o[2][MOST]; /* of each piece; while all is whole the two are equal */
    struct opinion before[MOST];
    bool unsure[MOST]; /* the rule alone decides */
    bool alone[MOST];  /* it left, and nobody heard it, or some who may have been removed */
    unsigned rules[2], rules_before;
    bool rules_unsure;
    struct deed deeds[DEEDS];
    unsigned n_deeds;
    bool in_pieces;
    struct sim_coord *c[COORDS];
    unsigned c_side[COORDS];
    bool dead[COORDS]; /* for good */
    unsigned n_coords;
    unsigned ports; /* of rules */
    struct rulebook book;
};

static const struct pv_link_config line = {.delay = PV_MS(10), .jitter = PV_MS(2)};

static void note(const struct reign *g, const char *what, const char *by, const char *whom)
{
    if (getenv("PV_SIM_TIMES") != NULL)
        printf("reigns, seed %llu: %10.3f %s %s %s\n", (unsigned long long)g->seed,
               (double)(sim_net_now(sim.net) - PV_S(3600)) / 1e9, by, what, whom);
}

static const struct pv_node *node_of(const struct reign *g, unsigned i)
{
    return pv_engine_node(g->n[i]->engine);
}

static const struct pv_roster *roster_of(const struct reign *g, unsigned i)
{
    return node_of(g, i)->roster;
}

/* --- who knows what ----------------------------------------------------------------------------
 */

/* As its own piece knows it. */
static const struct opinion *opinion(const struct reign *g, unsigned i)
{
    return &g->o[g->side[i]][i];
}

static bool is_admin(const struct reign *g, unsigned i)
{
    return opinion(g, i)->is == IN && opinion(g, i)->admin;
}

/* Everybody in this piece knows it; while all is whole everybody does. */
static void put(struct reign *g, unsigned side, unsigned i, struct opinion o)
{
    g->o[side][i] = o;
    if (!g->in_pieces)
        g->o[1 - side][i] = o;
}

static void did(struct reign *g, unsigned by, unsigned whom)
{
    if (g->in_pieces && g->n_deeds < DEEDS)
        g->deeds[g->n_deeds++] = (struct deed){.side = g->side[by], .by = by, .whom = whom};
}

/* Some admin; MOST: the piece that was drawn has none. */
static unsigned any_admin(struct reign *g)
{
    unsigned side = g->in_pieces ? sim_draw(2) : 0, at = sim_draw(MOST);
    for (unsigned i = 0; i < MOST; i++) {
        unsigned k = (at + i) % MOST;
        if (is_admin(g, k) && (!g->in_pieces || g->side[k] == side))
            return k;
    }
    return MOST;
}

static bool are_together(const struct reign *g, unsigned i, unsigned k)
{
    return !g->in_pieces || g->side[i] == g->side[k];
}

/* --- what they do ------------------------------------------------------------------------------
 */

static bool tells(struct reign *g, unsigned by, const char *cmd, unsigned whom)
{
    note(g, cmd, g->name[by], g->name[whom]);
    did(g, by, whom);
    return sim_world_tell(g->n[by], PV_S(40), "'cmd':'%s','peer':'%s'", cmd, g->name[whom]);
}

/* Each machine there has a path to everybody, so that all hear of it without a coordinator. */
static bool meets_all(struct reign *g, unsigned x)
{
    for (unsigned i = 0; i < MOST; i++) {
        if (opinion(g, i)->is == IN && i != x && are_together(g, i, x) &&
            sim_world_reach(g->n[x], g->n[i], PV_MS(200), PV_S(120)) == PV_NEVER) {
            snprintf(sim.why, sizeof(sim.why), "%s does not reach %s", g->name[x], g->name[i]);
            return false;
        }
    }
    return true;
}

struct one {
    struct reign *g;
    unsigned i;
};

static bool is_online(void *ctx)
{
    const struct one *x = ctx;
    const struct pv_node *n = node_of(x->g, x->i);
    snprintf(sim.why, sizeof(sim.why), "%s: %s", x->g->name[x->i], n->coord_info.error);
    return n->online && pv_node_self(n) != NULL;
}

/* By a token of that admin, if a coordinator is there to make one. */
static bool lets_join(struct reign *g, unsigned by, unsigned x)
{
    struct one inviter = {g, by}, newcomer = {g, x};
    const char *token = NULL;
    note(g, "invites", g->name[by], g->name[x]);
    /* A connection may be dead, which it learns by a request; or so new that the coordinator has
     * not heard yet who is an admin. */
    for (unsigned tries = 0; tries < 3 && token == NULL; tries++) {
        if (!sim_world_until(PV_S(60), is_online, &inviter))
            return true;
        token = sim_world_invite(g->n[by], "'uses':2");
        if (token == NULL && strstr(sim.why, "try again") == NULL)
            return false;
        if (token == NULL)
            sim_world_run(ROUND);
    }
    if (token == NULL)
        return true;
    g->side[x] = g->side[by];
    sim_net_set_side(sim.net, sim_node_host(g->n[x]), g->in_pieces ? g->side[x] : 0);
    if (sim_world_join(g->n[x], token, g->name[x]) == NULL ||
        !sim_world_until(PV_S(60), is_online, &newcomer))
        return false;
    did(g, by, x);
    put(g, g->side[x], x, (struct opinion){IN, opinion(g, x)->admin});
    return meets_all(g, x);
}

/* No coordinator is there, and no path was up: the user hears that an admin has to remove it. */
static bool nobody_was_told(const char *answer)
{
    return !sim_answer_has(answer, "'coordinator':'stored'") && sim_answer_has(answer, "'know':0,");
}

/* The invites of an admin may have to stay with its key. */
static bool leaves(struct reign *g, unsigned x)
{
    unsigned heard = 0;
    while (heard < MOST &&
           (heard == x || opinion(g, heard)->is != IN || !are_together(g, heard, x)))
        heard++;
    if (heard == MOST)
        return true; /* nobody would know */
    note(g, "leaves", g->name[x], "");
    const char *answer = sim_world_ask(g->n[x], PV_S(40), "'cmd':'leave','last':true");
    if (answer == NULL)
        return false;
    g->alone[x] = !are_together(g, x, 0) || nobody_was_told(answer);
    sim_world_run(PV_S(3));
    did(g, x, x);
    bool admin = pv_roster_rights(roster_of(g, heard), sim_node_pk(g->n[x])) != 0;
    put(g, g->side[x], x, (struct opinion){LEFT, opinion(g, x)->admin && admin});
    return true;
}

static bool makes_a_rule(struct reign *g, unsigned by)
{
    note(g, "makes a rule", g->name[by], "");
    did(g, by, MOST);
    for (unsigned side = 0; side < 2; side++)
        g->rules[side] += !g->in_pieces || side == g->side[by] ? 1 : 0;
    return sim_world_tell(g->n[by], PV_S(40),
                          "'cmd':'rule_add','verdict':'deny','from':'any','to':'any',"
                          "'ports':'tcp/%u'",
                          1000 + g->ports++);
}

/* The coordinator that this node's list begins with. */
static unsigned home_of(const struct reign *g, unsigned i)
{
    struct pv_view list = pv_roster_coordinators(roster_of(g, i));
    struct pv_coordinator first;
    unsigned k = 0;
    if (!pv_coordlist_next(&list, &first))
        return COORDS;
    while (k < g->n_coords && memcmp(sim_coord_pk(g->c[k]), first.pk, PV_SIGN_PK_LEN) != 0)
        k++;
    return k;
}

static void set_up(struct reign *g, unsigned k, bool up)
{
    if (up && sim_coord_core(g->c[k]) == NULL)
        sim_coord_start(g->c[k]);
    else if (!up && sim_coord_core(g->c[k]) != NULL)
        sim_coord_kill(g->c[k]);
}

static bool moves_to_a_new_one(struct reign *g, unsigned by)
{
    struct sim_coord *next = sim_world_coord((uint8_t)(200 + g->n_coords), &line);
    g->c_side[g->n_coords] = g->side[by];
    sim_net_set_side(sim.net, sim_coord_host(next), g->in_pieces ? g->side[by] : 0);
    g->c[g->n_coords++] = next;
    did(g, by, MOST);
    sim_node_share_root(g->n[by], g->n[0]);
    return sim_world_tell(g->n[by], PV_S(40), "'cmd':'coordinator_add','url':'%s'",
                          sim_coord_url(next));
}

/* The former one dies before, or goes on. */
static bool moves(struct reign *g, unsigned by)
{
    unsigned home = home_of(g, by);
    if (g->n_coords > MOVES || home >= g->n_coords)
        return true;
    if (sim_draw(2) == 0 && (!g->in_pieces || g->c_side[home] == g->side[by])) {
        set_up(g, home, false);
        g->dead[home] = true;
    }
    note(g, "moves the network", g->name[by], g->dead[home] ? "from a dead one" : "");
    return moves_to_a_new_one(g, by);
}

static void goes_away(struct reign *g)
{
    unsigned k = sim_draw(g->n_coords);
    bool away = sim_coord_core(g->c[k]) == NULL;
    if (g->dead[k])
        return;
    note(g, away ? "is back" : "is away", sim_coord_url(g->c[k]), "");
    set_up(g, k, away);
    sim_world_run(PV_S(10));
}

/* --- pieces ------------------------------------------------------------------------------------
 */

static void set_sides(struct reign *g, bool apart)
{
    for (unsigned i = 0; i < MOST; i++)
        sim_net_set_side(sim.net, sim_node_host(g->n[i]), apart ? g->side[i] : 0);
    for (unsigned k = 0; k < g->n_coords; k++)
        sim_net_set_side(sim.net, sim_coord_host(g->c[k]), apart ? g->c_side[k] : 0);
}

/* Machines and coordinators are on either side by chance; a is on side 0. */
static void falls_apart(struct reign *g)
{
    char text[MOST + 1] = "";
    for (unsigned i = 0; i < MOST; i++) {
        g->side[i] = i == 0 ? 0 : sim_draw(2);
        text[i] = (char)('0' + g->side[i]);
    }
    for (unsigned k = 0; k < g->n_coords; k++)
        g->c_side[k] = sim_draw(2);
    memcpy(g->before, g->o[0], sizeof(g->before));
    g->rules_before = g->rules[0];
    g->n_deeds = 0;
    g->in_pieces = true;
    note(g, "falls apart", "the network", text);
    set_sides(g, true);
    sim_world_run(PV_S(10));
}

/* The word of an admin in one piece, who was ended in the other one, or left with nobody to tell
 * but some who may have been removed, is in doubt; and where it moved that piece all that was said
 * there, for that may have no receipt that counts. */
static void doubt(struct reign *g)
{
    for (unsigned d = 0; d < g->n_deeds; d++) {
        const struct deed *x = &g->deeds[d];
        const struct opinion *there = &g->o[1 - x->side][x->by];
        bool ended =
            there->is != IN || (g->before[x->by].admin && !there->admin) || g->alone[x->by];
        if (!ended || (x->by == x->whom && there->is != REMOVED))
            continue;
        g->rules_unsure = true;
        for (unsigned i = 0; i < MOST; i++)
            g->unsure[i] = g->unsure[i] || i == x->whom || x->whom == MOST;
    }
}

/* Was something said of it in both pieces? An end is about the grants that its signer knows. */
static bool is_disputed(const struct reign *g, unsigned whom)
{
    bool said[2] = {false, false};
    for (unsigned d = 0; d < g->n_deeds; d++)
        said[g->deeds[d].side] = said[g->deeds[d].side] || g->deeds[d].whom == whom;
    return said[0] && said[1];
}

static bool differ(struct opinion a, struct opinion b)
{
    return a.is != b.is || a.admin != b.admin;
}

/* Two pieces learn what each has said. A machine that is removed stays so whatever else was said of
 * it. */
static void merge(struct reign *g)
{
    doubt(g);
    for (unsigned i = 0; i < MOST; i++) {
        struct opinion x = g->o[0][i], y = g->o[1][i], was = g->before[i];
        bool both = is_disputed(g, i);
        struct opinion now = differ(x, was) ? x : y;
        if (x.is == REMOVED || y.is == REMOVED)
            now = (struct opinion){REMOVED, false};
        else if (both)
            g->unsure[i] = true;
        g->o[0][i] = g->o[1][i] = now;
    }
    g->rules[0] = g->rules[1] = g->rules[0] + g->rules[1] - g->rules_before;
}

/* --- what holds --------------------------------------------------------------------------------
 */

static bool says(struct reign *g, bool well, const char *where, const char *what, unsigned whom)
{
    snprintf(sim.why, sizeof(sim.why), "%s: %s %s", where, whom == MOST ? "" : g->name[whom], what);
    return well;
}

/* Does this roster say what the book does? */
static bool obeys(struct reign *g, const struct pv_roster *r, const char *where)
{
    size_t rules = 0;
    const struct pv_statement *record = rulebook_record(&g->book);
    const struct pv_roster_entry *own = pv_roster_coordinators_record(r);
    for (unsigned i = 0; i < MOST; i++) {
        const uint8_t *pk = sim_node_pk(g->n[i]);
        const struct pv_member *m = pv_roster_known(r, pk);
        bool member = rulebook_is_member(&g->book, pk);
        if (!says(g, member == (m != NULL && m->state == PV_MEMBER_ACTIVE), where,
                  member ? "is no member" : "is a member", i) ||
            !says(g,
                  m == NULL ||
                      rulebook_is_removed(&g->book, pk) == (m->state == PV_MEMBER_REVOKED) ||
                      !rulebook_is_removed(&g->book, pk),
                  where, "is not removed", i) ||
            !says(g, rulebook_rights(&g->book, pk) == pv_roster_rights(r, pk), where,
                  "has other rights", i))
            return false;
    }
    for (const struct pv_roster_entry *x = NULL; (x = pv_roster_next_rule(r, x)) != NULL;)
        rules++;
    return says(g, rules == rulebook_count_rules(&g->book), where, "other rules", MOST) &&
           says(g,
                record != NULL && own != NULL &&
                    memcmp(record->hash, own->st.hash, PV_STATEMENT_HASH_LEN) == 0,
                where, "another list of coordinators", MOST);
}

/* Does the book say what people asked for? */
static bool as_asked(struct reign *g)
{
    for (unsigned i = 0; i < MOST; i++) {
        const uint8_t *pk = sim_node_pk(g->n[i]);
        const struct opinion *o = &g->o[0][i];
        if (g->unsure[i] || g->alone[i])
            continue;
        if (!says(g, rulebook_is_member(&g->book, pk) == (o->is == IN), "the book",
                  o->is == IN ? "is no member" : "is a member", i) ||
            !says(g, rulebook_is_removed(&g->book, pk) == (o->is == REMOVED), "the book",
                  o->is == REMOVED ? "is not removed" : "is removed", i) ||
            !says(g, (rulebook_rights(&g->book, pk) != 0 && o->is != REMOVED) == o->admin,
                  "the book", o->admin ? "is no admin" : "is an admin", i))
            return false;
    }
    return says(g, g->rules_unsure || rulebook_count_wishes(&g->book) == g->rules[0], "the book",
                "other rules", MOST);
}

static const uint8_t *network_of(const struct reign *g)
{
    return pv_roster_network_id(roster_of(g, 0));
}

/* The result of all that a coordinator holds itself. */
static bool obeys_itself(struct reign *g, const struct pv_roster *r, const char *where)
{
    rulebook_clear(&g->book);
    rulebook_add(&g->book, r);
    rulebook_judge(&g->book);
    return obeys(g, r, where);
}

static bool uses(const struct reign *g, unsigned i, unsigned k)
{
    const struct pv_node *n = node_of(g, i);
    return n->online && memcmp(n->coord_info.pk, sim_coord_pk(g->c[k]), PV_SIGN_PK_LEN) == 0;
}

/* Does one of these use it? Coordinators of one list do not speak with each other. */
static bool is_used(const struct reign *g, unsigned k, const bool *by)
{
    bool used = false;
    for (unsigned i = 0; i < MOST; i++)
        used = used || (by[i] && uses(g, i, k));
    return used && sim_coord_roster(g->c[k], network_of(g)) != NULL;
}

/* All that members and the coordinators that they use hold: a is one, and whoever is one by that.
 * Somebody who was removed, and has not heard of it, may live on alone with a coordinator. */
static void open_book(struct reign *g, bool member[static MOST])
{
    memset(member, 0, MOST * sizeof(member[0]));
    for (bool more = member[0] = true; more;) {
        more = false;
        rulebook_clear(&g->book);
        for (unsigned i = 0; i < MOST; i++) {
            if (member[i])
                rulebook_add(&g->book, roster_of(g, i));
        }
        for (unsigned k = 0; k < g->n_coords; k++) {
            if (is_used(g, k, member))
                rulebook_add(&g->book, sim_coord_roster(g->c[k], network_of(g)));
        }
        rulebook_judge(&g->book);
        for (unsigned i = 0; i < MOST; i++) {
            bool is = rulebook_is_member(&g->book, sim_node_pk(g->n[i])) &&
                      pv_node_self(node_of(g, i)) != NULL;
            more = more || (is && !member[i]);
            member[i] = member[i] || is;
        }
    }
}

/* It has heard that it is no member, by nobody whom the others need to hear: it left, or the word
 * about it is of an admin whom the other piece ended meanwhile, at a coordinator that is used no
 * longer. An admin removes it (take_word()). */
static bool is_gone_unheard(const struct reign *g, unsigned i)
{
    return g->alone[i] || (g->unsure[i] && pv_node_self(node_of(g, i)) == NULL);
}

/* Members and the coordinators that they use say the same, which is what the book says; others say
 * what it makes of what they hold. The book is that of the members in the end. */
static bool all_obey(struct reign *g)
{
    bool member[MOST], any = false;
    open_book(g, member);
    for (unsigned i = 0; i < MOST; i++) {
        if (!is_gone_unheard(g, i) && rulebook_is_member(&g->book, sim_node_pk(g->n[i])) &&
            (!says(g, roster_of(g, i) != NULL, g->name[i], "has no network", MOST) ||
             !obeys(g, roster_of(g, i), g->name[i])))
            return false;
    }
    for (unsigned k = 0; k < g->n_coords; k++) {
        bool used = is_used(g, k, member);
        any = any || used;
        if (used && !obeys(g, sim_coord_roster(g->c[k], network_of(g)), sim_coord_url(g->c[k])))
            return false;
    }
    for (unsigned k = 0; k < g->n_coords; k++) {
        const struct pv_roster *r = sim_coord_roster(g->c[k], network_of(g));
        if (r != NULL && !is_used(g, k, member) && !obeys_itself(g, r, sim_coord_url(g->c[k])))
            return false;
    }
    open_book(g, member);
    return says(g, any, "the network", "has no coordinator", MOST);
}

/* A word in doubt is as the rule says from then on. Whose leave nobody passed on is removed. */
static bool take_word(struct reign *g, unsigned i)
{
    const uint8_t *pk = sim_node_pk(g->n[i]);
    struct opinion *o = &g->o[0][i];
    bool member = rulebook_is_member(&g->book, pk), gone = pv_node_self(node_of(g, i)) == NULL;
    o->is = rulebook_is_removed(&g->book, pk) || (member && gone) ? REMOVED
            : member                                              ? IN
            : o->is == OUT                                        ? OUT
                                                                  : LEFT;
    o->admin = rulebook_rights(&g->book, pk) != 0 && o->is != REMOVED;
    g->o[1][i] = *o;
    g->unsure[i] = g->alone[i] = false;
    return !member || !gone || tells(g, 0, "remove", i);
}

static bool is_settled(struct reign *g)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (all_obey(g))
            return true;
        sim_world_run(ROUND);
    }
    return false;
}

/* Looks again and again until all agree. */
static const char *agree(struct reign *g)
{
    bool removed = true;
    if (!is_settled(g))
        return "not as the rule says:";
    if (!as_asked(g))
        return "not as it was asked for:";
    for (unsigned i = 0; i < MOST; i++) {
        if (g->unsure[i] || g->alone[i])
            removed = take_word(g, i) && removed;
    }
    if (g->rules_unsure)
        g->rules[0] = g->rules[1] = (unsigned)rulebook_count_wishes(&g->book);
    g->rules_unsure = false;
    return removed ? NULL : "who left unheard cannot be removed:";
}

/* Does the list of a name a coordinator that lives? */
static bool has_home(const struct reign *g)
{
    struct pv_view list = pv_roster_coordinators(roster_of(g, 0));
    struct pv_coordinator c;
    while (pv_coordlist_next(&list, &c)) {
        for (unsigned k = 0; k < g->n_coords; k++) {
            if (!g->dead[k] && memcmp(sim_coord_pk(g->c[k]), c.pk, PV_SIGN_PK_LEN) == 0)
                return true;
        }
    }
    return false;
}

static bool pass_token(struct reign *g, unsigned from, unsigned to)
{
    note(g, "gives a token to", g->name[from], g->name[to]);
    return sim_world_pass_token(g->n[from], g->n[to]);
}

static bool is_known(void *ctx)
{
    const struct one *x = ctx;
    snprintf(sim.why, sizeof(sim.why), "a does not know %s", x->g->name[x->i]);
    return pv_roster_by_node(roster_of(x->g, 0), sim_node_pk(x->g->n[x->i])) != NULL;
}

/* A member that joined in a piece of which nobody is left is with a coordinator that the others do
 * not know of, nor it of theirs. */
static bool meets_again(struct reign *g)
{
    for (unsigned i = 1; i < MOST; i++) {
        struct one x = {g, i};
        unsigned from = g->seed % 2 == 1 ? 0 : i;
        if (pv_node_self(node_of(g, i)) != NULL && opinion(g, i)->is == IN && !g->unsure[i] &&
            node_of(g, i)->online && node_of(g, 0)->online && !is_known(&x) &&
            (!pass_token(g, from, from == 0 ? i : 0) || !sim_world_until(PV_S(300), is_known, &x)))
            return false;
    }
    return true;
}

/* The pieces are one network again, and people use it. Where the list of an admin has fallen, and
 * all that the one before names are dead, somebody moves the network once more. */
static const char *heals(struct reign *g)
{
    note(g, "is whole again", "the network", "");
    set_sides(g, false);
    if (g->in_pieces)
        merge(g);
    g->in_pieces = false;
    for (unsigned k = 0; k < g->n_coords; k++) {
        if (!g->dead[k])
            set_up(g, k, true);
    }
    for (unsigned i = 0; i < MOST; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (pv_node_self(node_of(g, i)) != NULL && pv_node_self(node_of(g, k)) != NULL &&
                g->side[i] != g->side[k])
                (void)sim_world_reach(g->n[i], g->n[k], PV_MS(500), PV_S(5));
        }
    }
    sim_world_run(ROUND);
    if (!has_home(g) && (g->n_coords == COORDS || !moves_to_a_new_one(g, 0)))
        return "a move without a coordinator failed:";
    sim_world_run(ROUND);
    if (!meets_again(g))
        return "a token does not bring them together:";
    return agree(g);
}

/* --- a sequence --------------------------------------------------------------------------------
 */

/* A node that ends an admin says again what it has heard of (PROTOCOL-NETWORK, "Roster"): what it
 * has not heard of, as no path led there yet, is in doubt. */
static void note_unheard(struct reign *g, unsigned by, unsigned x)
{
    const struct pv_roster *r = roster_of(g, by);
    if (!g->o[g->side[by]][x].admin)
        return;
    for (unsigned i = 0; i < MOST; i++) {
        const uint8_t *pk = sim_node_pk(g->n[i]);
        const struct opinion *o = &g->o[g->side[by]][i];
        const struct pv_member *m = pv_roster_known(r, pk);
        if ((pv_roster_by_node(r, pk) != NULL) != (o->is == IN) ||
            (o->is == REMOVED && (m == NULL || m->state != PV_MEMBER_REVOKED)) ||
            (o->is != REMOVED && (pv_roster_rights(r, pk) != 0) != o->admin))
            g->unsure[i] = true;
    }
    rulebook_clear(&g->book);
    rulebook_add(&g->book, r);
    rulebook_judge(&g->book);
    if (rulebook_count_wishes(&g->book) != g->rules[g->side[by]])
        g->rules_unsure = true;
}

/* Is its admission gone with the admin who let it in? Then there is nothing to remove. */
static bool fell(const struct reign *g, unsigned by, unsigned x)
{
    const struct pv_member *m = pv_roster_known(roster_of(g, by), sim_node_pk(g->n[x]));
    return opinion(g, x)->is == LEFT && m != NULL && m->state == PV_MEMBER_REVOKED;
}

/* NULL: all is well. */
static const char *reigns(struct reign *g)
{
    static const char command[] = "a command failed:";
    unsigned by = any_admin(g), x = 1 + sim_draw(MOST - 2), what = sim_draw(11);
    if (what == 8) {
        goes_away(g);
        return NULL;
    }
    if (what >= 9 && g->in_pieces)
        return what == 9 ? NULL : heals(g);
    if (what >= 9) {
        falls_apart(g);
        return NULL;
    }
    if (by == MOST)
        return NULL;
    struct opinion o = g->o[g->side[by]][x];
    switch (what) {
    case 0:
    case 1: /* with the root key, which a has */
        o = g->o[0][x];
        if (o.is != IN || o.admin)
            return NULL;
        o.admin = true;
        put(g, 0, x, o);
        return tells(g, 0, "admin_grant", x) ? NULL : command;
    case 2:
        if (x == by || o.is == OUT || o.is == REMOVED || !o.admin)
            return NULL;
        note_unheard(g, by, x);
        o.admin = false;
        put(g, g->side[by], x, o);
        return tells(g, by, "admin_revoke", x) ? NULL : command;
    case 3:
    case 4:
        if (x == by || o.is == OUT || o.is == REMOVED || fell(g, by, x))
            return NULL;
        note_unheard(g, by, x);
        put(g, g->side[by], x, (struct opinion){REMOVED, false});
        return tells(g, by, "remove", x) ? NULL : command;
    case 5:
        if (g->o[0][x].is != g->o[1][x].is || (o.is != OUT && o.is != LEFT))
            return NULL;
        return lets_join(g, by, x) ? NULL : "not joined:";
    case 6:
        return opinion(g, x)->is != IN || sim_draw(2) == 0 || leaves(g, x) ? NULL : command;
    default:
        return (sim_draw(2) == 0 ? moves(g, by) : makes_a_rule(g, by)) ? NULL : command;
    }
}

static bool starts(struct reign *g, uint64_t seed)
{
    memset(g, 0, sizeof(*g));
    g->seed = seed;
    sim_world_init(seed, &line);
    g->c[g->n_coords++] = sim.coord;
    for (unsigned i = 0; i < MOST; i++) {
        g->name[i][0] = (char)('a' + i);
        if (i < FIRST)
            g->n[i] = sim_world_node(SIM_PUBLIC, g->name[i], false);
    }
    if (!sim_world_join_all())
        return false;
    for (unsigned i = 0; i < FIRST; i++) {
        put(g, 0, i, (struct opinion){IN, i < 2});
        if (!meets_all(g, i))
            return false;
    }
    for (unsigned i = FIRST; i < MOST; i++)
        g->n[i] = sim_world_node(SIM_PUBLIC, g->name[i], false);
    return tells(g, 0, "admin_grant", 1);
}

PV_SIM(all_say_what_the_rule_says, sim_is_long() ? LONG : test_takes_all() ? RANDOM : RANDOM / 2)
{
    static struct reign g;
    const char *why = NULL;
    sim_must(starts(&g, seed), "not begun:");
    for (unsigned i = 0; i < EVENTS && why == NULL; i++) {
        sim_world_run(PV_S(4));
        why = reigns(&g);
    }
    if (why == NULL)
        why = heals(&g);
    if (why == NULL && !lets_join(&g, 0, MOST - 1))
        why = "no newcomer:";
    if (why == NULL)
        why = g.o[0][MOST - 1].is == IN ? agree(&g) : "nobody is there to let a newcomer in:";
    sim_must(why == NULL, why);
}
