/* SPDX-License-Identifier: MIT */
/*
 * fold.c - applies statements to the state of a network. Three tables have all of it: statements by
 * hash, keys, and what members hold. Since a mark, each record is copied before its first change.
 */
#include "proto/roster/fold.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "crypto/hash.h"

enum rec_table {
    REC_SAID,
    REC_KEY,
    REC_CLAIM,
    REC_TABLES,
};

/* The beginning of every record, before its id. */
struct rec {
    UT_hash_handle hh;
};

/* A record that was made, or changed, since the mark. */
struct undo {
    void *rec;
    enum rec_table table;
    void *old; /* its bytes after the handle of the table; NULL: it was made */
};

struct pv_fold {
    struct pv_fold_config cfg;
    struct pv_map map;
    struct rec *tables[REC_TABLES];
    struct pv_fold_now now;
    int broken; /* PV_OK, or why the state is not whole */
    bool marked;
    struct pv_fold_now before; /* of the mark */
    struct undo *undos;
    size_t n_undos, cap_undos;
};

enum {
    HANDLE = sizeof(struct rec),
};
static const size_t rec_sizes[] = {
    [REC_SAID] = sizeof(struct pv_said),
    [REC_KEY] = sizeof(struct pv_keyrec),
    [REC_CLAIM] = sizeof(struct pv_claim),
};
static const unsigned id_lens[] = {
    [REC_SAID] = PV_LOGST_HASH_LEN,
    [REC_KEY] = PV_SIGN_PK_LEN,
    [REC_CLAIM] = 1 + PV_NAME_MAX,
};

/* --- records --------------------------------------------------------------------------------- */

static void remember(struct pv_fold *f, void *rec, enum rec_table table, void *old)
{
    struct undo *undos = pv_vec_room(f->undos, f->n_undos, &f->cap_undos, 64, sizeof(f->undos[0]));
    if (undos == NULL) {
        free(old);
        f->broken = PV_ERR_NOMEM;
        return;
    }
    f->undos = undos;
    f->undos[f->n_undos++] = (struct undo){.rec = rec, .table = table, .old = old};
}

/* Before a record changes. */
static void touch(struct pv_fold *f, void *rec, enum rec_table table)
{
    if (!f->marked || f->broken != PV_OK)
        return;
    size_t len = rec_sizes[table] - HANDLE;
    void *old = malloc(len);
    if (old == NULL) {
        f->broken = PV_ERR_NOMEM;
        return;
    }
    memcpy(old, (uint8_t *)rec + HANDLE, len);
    remember(f, rec, table, old);
}

/* The record with this id; NULL: none. */
static void *find(const struct pv_fold *f, enum rec_table table, const uint8_t *id)
{
    struct rec *rec;
    PV_MAP_FIND(&f->map, f->tables[table], id, id_lens[table], rec);
    return rec;
}

/* The record with this id, about to change; NULL: the fold is broken. */
static void *get(struct pv_fold *f, enum rec_table table, const uint8_t *id)
{
    struct rec *rec = find(f, table, id);
    int status = PV_ERR_NOMEM;

    if (rec != NULL) {
        touch(f, rec, table);
        return f->broken == PV_OK ? rec : NULL;
    }
    rec = f->broken == PV_OK ? calloc(1, rec_sizes[table]) : NULL;
    if (rec != NULL) {
        uint8_t *own = (uint8_t *)rec + HANDLE;
        memcpy(own, id, id_lens[table]);
        PV_MAP_ADD_HASHED(&f->map, f->tables[table], pv_map_hash(&f->map, id, id_lens[table]), own,
                          id_lens[table], rec, status);
    }
    if (status != PV_OK) {
        free(rec);
        f->broken = status;
        return NULL;
    }
    if (f->marked)
        remember(f, rec, table, NULL);
    return f->broken == PV_OK ? rec : NULL;
}

static void drop(struct pv_fold *f, struct rec *rec, enum rec_table table)
{
    PV_MAP_DEL(f->tables[table], rec);
    free(rec);
}

/* --- life ------------------------------------------------------------------------------------ */

int pv_fold_new(const struct pv_fold_config *cfg, struct pv_fold **ret_fold)
{
    struct pv_fold *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return PV_ERR_NOMEM;
    f->cfg = *cfg;
    f->map = pv_map_make(cfg->rng, PV_FOLD_MAX);
    f->now.version = 1;
    *ret_fold = f;
    return PV_OK;
}

void pv_fold_reset(struct pv_fold *f)
{
    for (size_t i = 0; i < f->n_undos; i++)
        free(f->undos[i].old);
    f->n_undos = 0;
    f->marked = false;
    for (enum rec_table table = REC_SAID; table < REC_TABLES; table++)
        while (f->tables[table] != NULL)
            drop(f, f->tables[table], table);
    f->now = (struct pv_fold_now){.version = 1};
    f->broken = PV_OK;
}

struct pv_fold *pv_fold_free(struct pv_fold *f)
{
    if (f != NULL) {
        pv_fold_reset(f);
        free(f->undos);
        free(f);
    }
    return NULL;
}

void pv_fold_mark(struct pv_fold *f)
{
    f->marked = true;
    f->before = f->now;
}

void pv_fold_back(struct pv_fold *f)
{
    if (!f->marked)
        return;
    while (f->n_undos > 0) {
        struct undo *u = &f->undos[--f->n_undos];
        if (u->old == NULL) {
            drop(f, u->rec, u->table);
            continue;
        }
        memcpy((uint8_t *)u->rec + HANDLE, u->old, rec_sizes[u->table] - HANDLE);
        free(u->old);
    }
    f->now = f->before;
    f->marked = false;
}

/* --- why a statement is not allowed ---------------------------------------------------------- */

static bool is_root(const struct pv_fold *f, const struct pv_logst *st)
{
    return memcmp(st->signer, f->cfg.root, PV_SIGN_PK_LEN) == 0;
}

/* Returns true if this is a grant of the key, ended or not. */
static bool is_grant_of(const struct pv_said *g, const uint8_t *key)
{
    return g != NULL && g->kind == PV_SAID_GRANT &&
           memcmp(g->u.grant.of->key, key, PV_SIGN_PK_LEN) == 0;
}

bool pv_fold_in_office(const struct pv_fold *f, const uint8_t key[static 32],
                       const uint8_t grant[static 32], uint8_t rights)
{
    const struct pv_said *g = find(f, REC_SAID, grant);
    return is_grant_of(g, key) && !g->ended && (g->u.grant.rights & rights) != 0;
}

/* The right that a type needs (rule 2); 0: only root has it. */
static uint8_t right_of(uint8_t type)
{
    switch (type) {
    case PV_LOGST_INVITE:
    case PV_LOGST_ADMIT:
    case PV_LOGST_PLACE:
        return PV_GRANT_INVITE;
    case PV_LOGST_REMOVE:
    case PV_LOGST_END:
    case PV_LOGST_TAKE:
    case PV_LOGST_ROW:
        return PV_GRANT_REMOVE;
    default:
        return 0;
    }
}

static bool has_right(const struct pv_fold *f, const struct pv_logst *st)
{
    return is_root(f, st) || pv_fold_in_office(f, st->signer, st->grant, right_of(st->type));
}

/* The id of what a statement claims: n its name, i its address, t its transport key. */
static const uint8_t *claim_of(uint8_t what[static 1 + PV_NAME_MAX], char letter,
                               const struct pv_logst *st)
{
    memset(what, 0, 1 + PV_NAME_MAX);
    what[0] = (uint8_t)letter;
    if (letter == 'n')
        memcpy(what + 1, st->name, strnlen(st->name, PV_NAME_MAX));
    else if (letter == 'i')
        memcpy(what + 1, st->ip4, sizeof(st->ip4));
    else
        memcpy(what + 1, st->key, sizeof(st->key));
    return what;
}

static bool is_claimed(const struct pv_fold *f, char letter, const struct pv_logst *st,
                       uint64_t time)
{
    uint8_t what[1 + PV_NAME_MAX];
    const struct pv_claim *c = find(f, REC_CLAIM, claim_of(what, letter, st));
    if (c == NULL)
        return false;
    if (c->holder != NULL)
        return memcmp(c->holder->key, st->about, PV_SIGN_PK_LEN) != 0;
    /* An address rests, but for the member that let it go (rule 7). */
    return c->last != NULL && memcmp(c->last->key, st->about, PV_SIGN_PK_LEN) != 0 &&
           (time < c->freed || time - c->freed < PV_FOLD_REST);
}

static enum pv_why why_place(const struct pv_fold *f, const struct pv_logst *st, uint64_t time)
{
    if (!pv_ip4_is_usable(&f->cfg.range, pv_load_be32(st->ip4)))
        return PV_WHY_RANGE;
    return is_claimed(f, 'n', st, time) || is_claimed(f, 'i', st, time) ? PV_WHY_CLAIMED
                                                                        : PV_WHY_ALLOWED;
}

static enum pv_why why_transport(const struct pv_fold *f, const struct pv_logst *st, uint64_t time)
{
    return is_claimed(f, 't', st, time) ? PV_WHY_CLAIMED : PV_WHY_ALLOWED;
}

/* Rule 8. The signer is the invite's key; the node signed, too. */
static enum pv_why why_join(const struct pv_fold *f, const struct pv_logst *st, uint64_t time)
{
    const struct pv_said *i = find(f, REC_SAID, st->grant);
    const struct pv_keyrec *k = find(f, REC_KEY, st->about);

    if (i == NULL || i->kind != PV_SAID_INVITE ||
        memcmp(i->u.invite.key, st->signer, PV_SIGN_PK_LEN) != 0)
        return PV_WHY_NO_INVITE;
    if (i->taken_back)
        return PV_WHY_REVOKED;
    if (i->u.invite.uses == 0)
        return PV_WHY_SPENT;
    if (time > i->u.invite.until)
        return PV_WHY_WINDOW;
    if (i->u.invite.grant != NULL && i->u.invite.grant->ended)
        return PV_WHY_ADMIN_GONE;
    if (k != NULL && k->is_member)
        return PV_WHY_MEMBER;
    if (k != NULL && k->out)
        return PV_WHY_REMOVED;
    enum pv_why why = why_place(f, st, time);
    return why != PV_WHY_ALLOWED ? why : why_transport(f, st, time);
}

/* Statements of members about themselves, or of admins about a member's place. */
static enum pv_why why_self(const struct pv_fold *f, const struct pv_logst *st, uint64_t time)
{
    const struct pv_keyrec *k = find(f, REC_KEY, st->about);
    bool self = memcmp(st->signer, st->about, sizeof(st->about)) == 0;

    if (k == NULL || !k->is_member || (!self && (st->type != PV_LOGST_PLACE || !has_right(f, st))))
        return PV_WHY_RIGHT;
    if (st->type == PV_LOGST_LEAVE)
        return PV_WHY_ALLOWED;
    if (st->number != k->number + 1)
        return PV_WHY_OLD;
    if (self && f->now.own >= f->cfg.own_max)
        return PV_WHY_FULL;
    return st->type == PV_LOGST_PLACE ? why_place(f, st, time) : why_transport(f, st, time);
}

static enum pv_why why_end(const struct pv_fold *f, const struct pv_logst *st)
{
    const struct pv_said *g = find(f, REC_SAID, st->about);

    if (g != NULL && g->ended)
        return PV_WHY_ENDED;
    bool own = is_grant_of(g, st->signer) && memcmp(st->grant, st->about, sizeof(st->grant)) == 0;
    return own || has_right(f, st) ? PV_WHY_ALLOWED : PV_WHY_RIGHT;
}

static enum pv_why why_admit(const struct pv_fold *f, const struct pv_logst *st)
{
    const struct pv_said *j = find(f, REC_SAID, st->about);
    bool waits = j != NULL && j->kind == PV_SAID_JOIN && j->u.joined->waits;
    return waits ? PV_WHY_ALLOWED : PV_WHY_NOBODY_WAITS;
}

enum pv_why pv_fold_why(const struct pv_fold *f, const struct pv_logst *st, uint64_t time)
{
    const struct pv_said *s = find(f, REC_SAID, st->hash);

    if (s != NULL && s->counts)
        return PV_WHY_COUNTED;
    if (st->type >= PV_LOGST_TYPES)
        return PV_WHY_UNKNOWN;
    if (st->type == PV_LOGST_JOIN)
        return why_join(f, st, time);
    if (st->type == PV_LOGST_PLACE || st->type == PV_LOGST_KEY || st->type == PV_LOGST_LEAVE)
        return why_self(f, st, time);
    if (st->type == PV_LOGST_END)
        return why_end(f, st);
    if (!has_right(f, st))
        return PV_WHY_RIGHT;
    if (st->type == PV_LOGST_GRANT) {
        const struct pv_keyrec *k = find(f, REC_KEY, st->about);
        return (s != NULL && s->ended) || (k != NULL && k->out) ? PV_WHY_ENDED : PV_WHY_ALLOWED;
    }
    if ((st->type == PV_LOGST_ROW || st->type == PV_LOGST_INVITE) && s != NULL && s->taken_back)
        return PV_WHY_TAKEN_BACK;
    if (st->type == PV_LOGST_ADMIT)
        return why_admit(f, st);
    return st->type == PV_LOGST_VERSION && st->number <= f->now.version ? PV_WHY_OLD
                                                                        : PV_WHY_ALLOWED;
}

/* --- what a statement does ------------------------------------------------------------------- */

/* Only an address rests. */
static void let_go(struct pv_fold *f, struct pv_claim **slot)
{
    struct pv_claim *c = *slot;
    if (c == NULL)
        return;
    *slot = NULL;
    if (c->what[0] != 'i' && !f->marked) { /* behind a mark it may come back */
        drop(f, (struct rec *)c, REC_CLAIM);
        return;
    }
    touch(f, c, REC_CLAIM);
    if (c->what[0] == 'i') {
        c->last = c->holder;
        c->freed = f->now.time;
    }
    c->holder = NULL;
}

/* Gives k this claim in place of the one it held. */
static void take_claim(struct pv_fold *f, struct pv_keyrec *k, char letter,
                       const struct pv_logst *st)
{
    struct pv_claim **slot = letter == 'n' ? &k->name : letter == 'i' ? &k->ip4 : &k->transport;
    uint8_t what[1 + PV_NAME_MAX];
    struct pv_claim *c = get(f, REC_CLAIM, claim_of(what, letter, st));

    if (c == NULL || c == *slot)
        return;
    let_go(f, slot);
    c->holder = k;
    c->last = NULL;
    *slot = c;
}

static void do_join(struct pv_fold *f, const struct pv_logst *st, struct pv_said *said)
{
    struct pv_said *i = get(f, REC_SAID, st->grant);
    struct pv_keyrec *k = get(f, REC_KEY, st->about);

    if (i == NULL || k == NULL)
        return;
    i->u.invite.uses--;
    said->kind = PV_SAID_JOIN;
    said->u.joined = k;
    k->is_member = true;
    k->waits = i->u.invite.approved;
    k->phone = (st->flags & PV_JOIN_PHONE) != 0;
    k->join = said;
    k->number = 0;
    k->since = f->now.time;
    k->lifetime = i->u.invite.lifetime;
    take_claim(f, k, 'n', st);
    take_claim(f, k, 'i', st);
    take_claim(f, k, 't', st);
}

/* A place or a key. */
static void do_self(struct pv_fold *f, const struct pv_logst *st)
{
    struct pv_keyrec *k = get(f, REC_KEY, st->about);

    if (k == NULL)
        return;
    k->number++;
    if (memcmp(st->signer, st->about, sizeof(st->about)) == 0)
        f->now.own++;
    if (st->type == PV_LOGST_KEY) {
        take_claim(f, k, 't', st);
        return;
    }
    take_claim(f, k, 'n', st);
    take_claim(f, k, 'i', st);
}

static void do_admit(struct pv_fold *f, const struct pv_logst *st)
{
    const struct pv_said *join = find(f, REC_SAID, st->about);
    struct pv_keyrec *k = get(f, REC_KEY, join->u.joined->key);
    if (k != NULL)
        k->waits = false;
}

static void do_remove(struct pv_fold *f, const uint8_t *key)
{
    struct pv_keyrec *k = get(f, REC_KEY, key);
    if (k == NULL)
        return;
    k->out = true;
    if (!k->is_member)
        return;
    let_go(f, &k->name);
    let_go(f, &k->ip4);
    let_go(f, &k->transport);
    k->is_member = k->waits = k->phone = false;
    k->join = NULL;
    k->number = k->since = k->lifetime = 0;
}

static void do_grant(struct pv_fold *f, const struct pv_logst *st, struct pv_said *said)
{
    struct pv_keyrec *k = get(f, REC_KEY, st->about);
    if (k == NULL)
        return;
    said->u.grant.age = f->now.ages++;
    said->kind = PV_SAID_GRANT;
    said->u.grant.of = k;
    said->u.grant.rights = st->flags;
    said->u.grant.next = k->grants;
    k->grants = said;
}

static void do_invite(const struct pv_fold *f, const struct pv_logst *st, struct pv_said *said)
{
    said->kind = PV_SAID_INVITE;
    memcpy(said->u.invite.key, st->key, sizeof(said->u.invite.key));
    said->u.invite.grant = is_root(f, st) ? NULL : find(f, REC_SAID, st->grant);
    said->u.invite.until = st->time;
    said->u.invite.uses = st->uses;
    said->u.invite.lifetime = st->lifetime;
    said->u.invite.approved = (st->flags & PV_INVITE_APPROVED) != 0;
}

static void do_row(struct pv_fold *f, const struct pv_logst *st, struct pv_said *said)
{
    struct pv_said *last = f->now.last_row;

    said->kind = PV_SAID_ROW;
    said->u.row.raw = st->raw;
    said->u.row.prev = last;
    if (last != NULL) {
        touch(f, last, REC_SAID);
        last->u.row.next = said;
    } else {
        f->now.rows = said;
    }
    f->now.last_row = said;
}

static void do_take(struct pv_fold *f, const struct pv_logst *st)
{
    struct pv_said *s = get(f, REC_SAID, st->about);
    if (s == NULL)
        return;
    if (s->kind == PV_SAID_ROW && !s->taken_back) {
        struct pv_said *prev = s->u.row.prev, *next = s->u.row.next;
        if (prev != NULL)
            touch(f, prev, REC_SAID);
        if (next != NULL)
            touch(f, next, REC_SAID);
        *(prev != NULL ? &prev->u.row.next : &f->now.rows) = next;
        *(next != NULL ? &next->u.row.prev : &f->now.last_row) = prev;
    }
    s->taken_back = true;
}

/* No time that an earlier coordinator chose outlasts it (rules 7 and 12). */
static void do_coordinators(struct pv_fold *f, const struct pv_logst *st)
{
    struct pv_view list = st->list;
    struct pv_coordinator first;

    if (!pv_coordlist_next(&list, &first))
        return;
    f->now.move.epoch = st->number;
    memcpy(f->now.move.hash, st->hash, sizeof(st->hash));
    memcpy(f->now.move.coordinator, first.pk, PV_SIGN_PK_LEN);
    for (struct pv_claim *c = (void *)f->tables[REC_CLAIM]; c != NULL; c = c->hh.next)
        if (c->freed > f->now.time) {
            touch(f, c, REC_CLAIM);
            c->freed = f->now.time;
        }
    for (struct pv_keyrec *k = (void *)f->tables[REC_KEY]; k != NULL; k = k->hh.next)
        if (k->is_member) {
            touch(f, k, REC_KEY);
            k->since = f->now.time;
        }
}

/* Is this grant about to be ended by st, which is allowed? */
static bool ends_grant(const struct pv_logst *st, const struct pv_said *g, const uint8_t *grant)
{
    if (st->type == PV_LOGST_END)
        return memcmp(st->about, grant, PV_LOGST_HASH_LEN) == 0;
    return is_grant_of(g, st->about) && !g->ended;
}

bool pv_fold_ends(const struct pv_fold *f, const struct pv_logst *st)
{
    if (st->type == PV_LOGST_END)
        return true;
    if (st->type != PV_LOGST_REMOVE && st->type != PV_LOGST_LEAVE)
        return false;
    const struct pv_keyrec *k = find(f, REC_KEY, st->about);
    for (const struct pv_said *g = k == NULL ? NULL : k->grants; g != NULL; g = g->u.grant.next)
        if (!g->ended)
            return true;
    return false;
}

static void do_it(struct pv_fold *f, const struct pv_logst *st);

/* Rule 9: what is carried counts right before the end. Which grants end is known from before it. */
static void do_carried(struct pv_fold *f, const struct pv_logst *st)
{
    struct pv_view list = st->list;
    struct pv_logst one;

    while (f->broken == PV_OK && pv_carried_next(&list, &one))
        if (ends_grant(st, find(f, REC_SAID, one.grant), one.grant) && !pv_fold_ends(f, &one) &&
            pv_fold_why(f, &one, f->now.time) == PV_WHY_ALLOWED)
            do_it(f, &one);
}

static void end_grant(struct pv_fold *f, const uint8_t *hash)
{
    struct pv_said *g =
        get(f, REC_SAID, hash); /* a grant that ends before it is known has ended, too */
    if (g != NULL)
        g->ended = true;
}

static void do_ends(struct pv_fold *f, const struct pv_logst *st)
{
    if (st->type == PV_LOGST_END) {
        end_grant(f, st->about);
        return;
    }
    const struct pv_keyrec *k = find(f, REC_KEY, st->about);
    for (const struct pv_said *g = k == NULL ? NULL : k->grants; g != NULL; g = g->u.grant.next)
        if (!g->ended)
            end_grant(f, g->hash);
}

/* Does all that a statement does but ending offices. */
static void do_type(struct pv_fold *f, const struct pv_logst *st, struct pv_said *said)
{
    switch ((enum pv_logst_type)st->type) {
    case PV_LOGST_COORDINATORS:
        do_coordinators(f, st);
        break;
    case PV_LOGST_GRANT:
        do_grant(f, st, said);
        break;
    case PV_LOGST_INVITE:
        do_invite(f, st, said);
        break;
    case PV_LOGST_JOIN:
        do_join(f, st, said);
        break;
    case PV_LOGST_ADMIT:
        do_admit(f, st);
        break;
    case PV_LOGST_PLACE:
    case PV_LOGST_KEY:
        do_self(f, st);
        break;
    case PV_LOGST_LEAVE:
    case PV_LOGST_REMOVE:
        do_remove(f, st->about);
        break;
    case PV_LOGST_TAKE:
        do_take(f, st);
        break;
    case PV_LOGST_ROW:
        do_row(f, st, said);
        break;
    case PV_LOGST_VERSION:
        f->now.version = (uint32_t)st->number;
        break;
    case PV_LOGST_END:
    case PV_LOGST_TYPES:
        break;
    }
}

static void do_it(struct pv_fold *f, const struct pv_logst *st)
{
    struct pv_view none = pv_view(NULL, 0);
    struct pv_said *said = get(f, REC_SAID, st->hash);

    if (said == NULL)
        return;
    said->counts = true;
    pv_blake2b(f->now.chain, pv_view(f->now.chain, sizeof(f->now.chain)),
               pv_view(st->hash, sizeof(st->hash)), none);
    if (pv_logst_carries(st->type) && pv_fold_ends(f, st)) {
        do_carried(f, st);
        do_ends(f, st);
    }
    if (f->broken == PV_OK)
        do_type(f, st, said);
}

int pv_fold_apply(struct pv_fold *f, const struct pv_logst *st, uint64_t time, enum pv_why *ret_why)
{
    if (f->broken != PV_OK)
        return f->broken;
    f->now.time = time;
    *ret_why = pv_fold_why(f, st, time);
    if (*ret_why == PV_WHY_ALLOWED)
        do_it(f, st);
    return f->broken;
}

/* --- questions ------------------------------------------------------------------------------- */

const struct pv_fold_now *pv_fold_now(const struct pv_fold *f)
{
    return &f->now;
}

const struct pv_keyrec *pv_fold_key(const struct pv_fold *f, const uint8_t key[static 32])
{
    return find(f, REC_KEY, key);
}

const struct pv_said *pv_fold_said(const struct pv_fold *f, const uint8_t hash[static 32])
{
    return find(f, REC_SAID, hash);
}

const struct pv_claim *pv_fold_claim(const struct pv_fold *f,
                                     const uint8_t what[static 1 + PV_NAME_MAX])
{
    return find(f, REC_CLAIM, what);
}

const struct pv_keyrec *pv_fold_keys(const struct pv_fold *f)
{
    return (const void *)f->tables[REC_KEY];
}

bool pv_fold_awake(const struct pv_keyrec *member, uint64_t head, uint64_t stamp)
{
    uint64_t last = stamp > member->since ? stamp : member->since;
    return member->lifetime == 0 || head <= last || head - last <= member->lifetime;
}

const struct pv_keyrec *pv_fold_carrier(const struct pv_fold *f, const struct pv_keyrec *phone)
{
    struct pv_logst st;

    if (!phone->is_member || !phone->phone || phone->waits)
        return NULL;
    for (const struct pv_said *s = f->now.rows; s != NULL; s = s->u.row.next) {
        if (pv_logst_decode(s->u.row.raw, &st) != PV_OK || st.flags != PV_ROW_PHONE ||
            memcmp(st.list.ptr + PV_SIGN_PK_LEN, phone->key, PV_SIGN_PK_LEN) != 0)
            continue;
        const struct pv_keyrec *g = find(f, REC_KEY, st.list.ptr);
        if (g != NULL && g->is_member && !g->phone && !g->waits)
            return g;
    }
    return NULL;
}

static void digest_more(uint8_t digest[static PV_LOGST_HASH_LEN], const uint8_t *bytes, size_t len)
{
    pv_blake2b(digest, pv_view(digest, PV_LOGST_HASH_LEN), pv_view(bytes, len), pv_view(NULL, 0));
}

static uint8_t rights_of(const struct pv_keyrec *k)
{
    uint8_t rights = 0;
    for (const struct pv_said *g = k->grants; g != NULL; g = g->u.grant.next)
        if (!g->ended)
            rights |= g->u.grant.rights;
    return rights;
}

/* The order of statements that count is in the chain; what members hold shows how they were read.
 */
void pv_fold_digest(const struct pv_fold *f, uint8_t ret_digest[static PV_LOGST_HASH_LEN])
{
    uint8_t buf[PV_SIGN_PK_LEN + 2 + 3 * (1 + PV_NAME_MAX) + 20];

    memcpy(ret_digest, f->now.chain, PV_LOGST_HASH_LEN);
    for (const struct pv_keyrec *k = pv_fold_keys(f); k != NULL; k = k->hh.next) {
        struct pv_writer w = pv_writer(buf, sizeof(buf));
        pv_put_bytes(&w, k->key, sizeof(k->key));
        pv_put_u8(&w, (uint8_t)(k->out | k->is_member << 1 | k->waits << 2 | k->phone << 3));
        pv_put_u8(&w, rights_of(k));
        if (k->is_member) {
            pv_put_bytes(&w, k->name->what, sizeof(k->name->what));
            pv_put_bytes(&w, k->ip4->what, sizeof(k->ip4->what));
            pv_put_bytes(&w, k->transport->what, sizeof(k->transport->what));
            pv_put_u64(&w, k->number);
            pv_put_u64(&w, k->since);
            pv_put_u32(&w, k->lifetime);
        }
        digest_more(ret_digest, buf, w.len);
    }
    for (const struct pv_said *s = f->now.rows; s != NULL; s = s->u.row.next)
        digest_more(ret_digest, s->hash, sizeof(s->hash));
}
