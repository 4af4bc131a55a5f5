/* SPDX-License-Identifier: MIT */
/*
 * netlog.c - which log a node holds. Root's statements alone say who orders the entries behind
 * them, so a piece is judged before anything of it is applied.
 */
#include "proto/roster/netlog.h"

#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

struct line {
    uint8_t hash[PV_LOGST_HASH_LEN];
    uint64_t time; /* Unix seconds */
    uint8_t *raw;
    uint32_t len;
    uint32_t move; /* n of root's last statement about coordinators up to here */
};

/* Root's last statement up to an entry, and the entry's time. */
struct spine {
    struct pv_fold_move move;
    uint64_t time;
};

struct pv_netlog {
    struct pv_fold_config cfg;
    uint8_t genesis[PV_LOGST_HASH_LEN];
    struct line *lines; /* entry n at n - 1 */
    size_t n, cap;
    struct pv_fold *fold;
    struct pv_outside *outside;
    bool viewed; /* the fold has what is outside, behind its mark */
    uint8_t head[PV_HEAD_LEN];
    uint64_t head_n, head_time; /* head_n = 0: none */
    uint8_t proof[2][PV_HEAD_LEN];
    bool proven;
    uint64_t expect_n; /* 0: no token */
    uint8_t expect[PV_LOGST_HASH_LEN];
};

/* --- life ------------------------------------------------------------------------------------ */

int pv_netlog_new(const struct pv_fold_config *cfg, const uint8_t genesis[static PV_LOGST_HASH_LEN],
                  struct pv_netlog **ret_log)
{
    struct pv_netlog *log = calloc(1, sizeof(*log));
    if (log == NULL)
        return PV_ERR_NOMEM;
    log->cfg = *cfg;
    memcpy(log->genesis, genesis, sizeof(log->genesis));
    if (pv_fold_new(cfg, &log->fold) != PV_OK ||
        pv_outside_new(cfg->root, PV_OUTSIDE_GRANT_MAX, &log->outside) != PV_OK) {
        pv_netlog_free(log);
        return PV_ERR_NOMEM;
    }
    *ret_log = log;
    return PV_OK;
}

struct pv_netlog *pv_netlog_free(struct pv_netlog *log)
{
    if (log != NULL) {
        pv_fold_free(log->fold);
        pv_outside_free(log->outside);
        for (size_t i = 0; i < log->n; i++)
            free(log->lines[i].raw);
        free(log->lines);
        free(log);
    }
    return NULL;
}

void pv_netlog_expect(struct pv_netlog *log, uint64_t n,
                      const uint8_t hash[static PV_LOGST_HASH_LEN])
{
    log->expect_n = n;
    memcpy(log->expect, hash, sizeof(log->expect));
}

/* Before the log, or what is outside, changes. */
static void leave_view(struct pv_netlog *log)
{
    pv_fold_back(log->fold);
    log->viewed = false;
}

/* --- entries --------------------------------------------------------------------------------- */

static struct pv_view raw_of(const struct line *line)
{
    return pv_view(line->raw, line->len);
}

/* It was decoded before it became a line, so this cannot fail. */
static struct pv_entry entry_of(struct pv_view raw)
{
    struct pv_entry e;
    int r = pv_entry_decode(raw, &e);
    (void)r;
    return e;
}

/* Applies the entry of the last line. Its statement need not be allowed: then it does nothing. */
static int apply_line(struct pv_netlog *log, const struct line *line, enum pv_why *ret_why)
{
    struct pv_entry e = entry_of(raw_of(line));
    return pv_fold_apply(log->fold, &e.st, e.time, ret_why);
}

static int add_line(struct pv_netlog *log, const struct pv_entry *e, struct pv_view raw,
                    enum pv_why *ret_why)
{
    if (log->n >= PV_NETLOG_MAX)
        return PV_ERR_LIMIT;
    struct line *lines = pv_vec_room(log->lines, log->n, &log->cap, 64, sizeof(log->lines[0]));
    if (lines == NULL)
        return PV_ERR_NOMEM;
    log->lines = lines;
    struct line line = {.time = e->time, .raw = malloc(raw.len), .len = (uint32_t)raw.len};
    if (line.raw == NULL)
        return PV_ERR_NOMEM;
    memcpy(line.raw, raw.ptr, raw.len);
    memcpy(line.hash, e->hash, sizeof(line.hash));
    bool moves = e->st.type == PV_LOGST_COORDINATORS; /* the first entry does: follows() */
    line.move = moves ? (uint32_t)log->n + 1 : log->lines[log->n - 1].move;
    log->lines[log->n++] = line;
    return apply_line(log, &line, ret_why);
}

uint64_t pv_netlog_n(const struct pv_netlog *log)
{
    return log->n;
}

struct pv_view pv_netlog_entry(const struct pv_netlog *log, uint64_t n)
{
    return raw_of(&log->lines[n - 1]);
}

const uint8_t *pv_netlog_hash(const struct pv_netlog *log, uint64_t n)
{
    return n == 0 ? log->genesis : log->lines[n - 1].hash;
}

static struct pv_fold_move move_of(const struct pv_logst *st)
{
    struct pv_fold_move move = {.epoch = st->number};
    struct pv_view list = st->list;
    struct pv_coordinator first;

    memcpy(move.hash, st->hash, sizeof(move.hash));
    if (pv_coordlist_next(&list, &first))
        memcpy(move.coordinator, first.pk, sizeof(move.coordinator));
    return move;
}

/* Of the log up to entry n. */
static struct spine spine_at(const struct pv_netlog *log, uint64_t n)
{
    struct spine s = {.time = n == 0 ? 0 : log->lines[n - 1].time};

    if (n > 0) {
        struct pv_entry e = entry_of(raw_of(&log->lines[log->lines[n - 1].move - 1]));
        s.move = move_of(&e.st);
    }
    return s;
}

/* --- heads ----------------------------------------------------------------------------------- */

/* Reads a head of this network and verifies it. */
static int read_head(const struct pv_netlog *log, struct pv_view data, struct pv_head *ret_head)
{
    int r = pv_head_decode(data, ret_head);
    if (r != PV_OK)
        return r;
    if (memcmp(ret_head->network_id, log->cfg.network_id, sizeof(ret_head->network_id)) != 0)
        return PV_ERR_AUTH;
    return pv_head_verify(data);
}

static bool is_over(const struct pv_head *head, const struct spine *s, uint64_t n,
                    const uint8_t *hash)
{
    return head->epoch == s->move.epoch && head->n == n && head->time >= s->time &&
           memcmp(head->coordinator, s->move.coordinator, sizeof(head->coordinator)) == 0 &&
           memcmp(head->hash, hash, sizeof(head->hash)) == 0;
}

static void keep_head(struct pv_netlog *log, struct pv_view data, const struct pv_head *head)
{
    if (head->n < log->head_n || (head->n == log->head_n && head->time <= log->head_time))
        return;
    memcpy(log->head, data.ptr, sizeof(log->head));
    log->head_n = head->n;
    log->head_time = head->time;
}

/* Two heads prove a lie if no log can have both entries: only then are they of one epoch, by one
 * key, and at n the log has another hash. The log's own head covers its entry n. */
static void keep_proof(struct pv_netlog *log, struct pv_view data, const struct pv_head *head)
{
    struct pv_head own;
    if (log->head_n < head->n || pv_head_decode(pv_view(log->head, PV_HEAD_LEN), &own) != PV_OK ||
        own.epoch != head->epoch ||
        memcmp(own.coordinator, head->coordinator, sizeof(own.coordinator)) != 0)
        return;
    memcpy(log->proof[0], log->head, PV_HEAD_LEN);
    memcpy(log->proof[1], data.ptr, PV_HEAD_LEN);
    log->proven = true;
}

int pv_netlog_take_head(struct pv_netlog *log, struct pv_view data)
{
    struct pv_head head;
    int r = read_head(log, data, &head);
    if (r != PV_OK)
        return r;
    if (head.n > log->n)
        return PV_ERR_NOT_FOUND;
    struct spine s = spine_at(log, head.n);
    if (is_over(&head, &s, head.n, pv_netlog_hash(log, head.n))) {
        keep_head(log, data, &head);
        return PV_OK;
    }
    keep_proof(log, data, &head);
    return PV_ERR_REFUSED;
}

bool pv_netlog_proof(const struct pv_netlog *log, struct pv_view ret_heads[static 2])
{
    for (size_t i = 0; i < 2; i++)
        ret_heads[i] = pv_view(log->proof[i], PV_HEAD_LEN);
    return log->proven;
}

struct pv_view pv_netlog_head(const struct pv_netlog *log)
{
    bool whole = log->head_n > 0 && log->head_n == log->n;
    return pv_view(log->head, whole ? PV_HEAD_LEN : 0);
}

uint64_t pv_netlog_time(const struct pv_netlog *log)
{
    uint64_t last = log->n == 0 ? 0 : log->lines[log->n - 1].time;
    return log->head_n > 0 && log->head_time > last ? log->head_time : last;
}

/* --- a piece, judged ------------------------------------------------------------------------- */

/* A piece whose entries hang together. */
struct judged {
    struct pv_entry *entries;
    uint64_t same;     /* entries that the log has already */
    struct spine last; /* after the last entry */
};

/* May entry e come after that one (rules 1 and 3)? */
static bool follows(const struct pv_netlog *log, struct spine *s, uint64_t n, const uint8_t *prev,
                    const struct pv_entry *e)
{
    if (memcmp(e->prev, prev, PV_LOGST_HASH_LEN) != 0 ||
        memcmp(e->st.network_id, log->cfg.network_id, PV_NETWORK_ID_LEN) != 0)
        return false;
    if (e->st.type != PV_LOGST_COORDINATORS) {
        bool good = s->move.epoch > 0 && e->time >= s->time;
        s->time = e->time;
        return good;
    }
    bool good = memcmp(e->st.signer, log->cfg.root, PV_SIGN_PK_LEN) == 0 &&
                e->st.number > s->move.epoch && e->st.after == n - 1 && e->st.time == e->time &&
                memcmp(e->st.about, prev, PV_LOGST_HASH_LEN) == 0;
    *s = (struct spine){.move = move_of(&e->st), .time = e->time};
    return good;
}

static int read_piece(const struct pv_netlog *log, const struct pv_netlog_piece *piece,
                      struct judged *j)
{
    const uint8_t *prev = pv_netlog_hash(log, piece->first - 1);
    bool same = true;

    j->last = spine_at(log, piece->first - 1);
    for (size_t i = 0; i < piece->n; i++) {
        struct pv_entry *e = &j->entries[i];
        uint64_t n = piece->first + i;
        int r = pv_entry_decode(piece->entries[i], e);
        if (r != PV_OK)
            return r;
        if (!follows(log, &j->last, n, prev, e))
            return PV_ERR_AUTH;
        same = same && n <= log->n && memcmp(e->hash, pv_netlog_hash(log, n), sizeof(e->hash)) == 0;
        j->same += same;
        prev = e->hash;
    }
    return PV_OK;
}

/* The coordinator covers the entries by a head; root's statement covers those before it. */
static int check_head(const struct pv_netlog *log, const struct pv_netlog_piece *piece,
                      const struct judged *j, struct pv_head *ret_head)
{
    const struct pv_entry *last = &j->entries[piece->n - 1];

    if (piece->head.len == 0)
        return last->st.type == PV_LOGST_COORDINATORS ? PV_OK : PV_ERR_AUTH;
    int r = read_head(log, piece->head, ret_head);
    if (r != PV_OK)
        return r;
    return is_over(ret_head, &j->last, piece->first + piece->n - 1, last->hash) ? PV_OK
                                                                                : PV_ERR_AUTH;
}

static int check_signatures(const struct pv_netlog_piece *piece, const struct judged *j)
{
    for (size_t i = j->same; i < piece->n; i++) {
        int r = pv_logst_verify(&j->entries[i].st);
        if (r != PV_OK)
            return r;
    }
    return PV_OK;
}

/* Rule 13: a newcomer with a token. */
static int check_token(const struct pv_netlog *log, const struct pv_netlog_piece *piece,
                       const struct judged *j)
{
    if (log->expect_n == 0)
        return PV_OK;
    if (log->expect_n >= piece->first + piece->n)
        return PV_ERR_AGAIN;
    const uint8_t *hash = log->expect_n < piece->first
                              ? pv_netlog_hash(log, log->expect_n)
                              : j->entries[log->expect_n - piece->first].hash;
    return memcmp(hash, log->expect, sizeof(log->expect)) == 0 ? PV_OK : PV_ERR_EXISTS;
}

/* Rule 4. The piece is not all in the log. */
static bool is_preferred(const struct pv_netlog *log, const struct pv_netlog_piece *piece,
                         const struct judged *j)
{
    struct spine own = spine_at(log, log->n);
    int order = memcmp(j->last.move.hash, own.move.hash, sizeof(own.move.hash));

    if (order == 0)
        return piece->first - 1 + j->same == log->n;
    return j->last.move.epoch > own.move.epoch ||
           (j->last.move.epoch == own.move.epoch && order < 0);
}

static int judge(struct pv_netlog *log, const struct pv_netlog_piece *piece, struct judged *j)
{
    struct pv_head head = {0};
    int r = read_piece(log, piece, j);

    if (r == PV_OK)
        r = check_head(log, piece, j, &head);
    if (r != PV_OK)
        return r;
    if (j->same < piece->n && !is_preferred(log, piece, j)) {
        if (piece->head.len > 0)
            keep_proof(log, piece->head, &head);
        return PV_ERR_REFUSED;
    }
    r = check_token(log, piece, j);
    return r == PV_OK ? check_signatures(piece, j) : r;
}

/* --- a piece, taken -------------------------------------------------------------------------- */

/* Keeps a statement outside, and what it carries, if that may count there. */
static int put_outside(struct pv_netlog *log, const struct pv_logst *st)
{
    struct pv_view list = pv_logst_carries(st->type) ? st->list : pv_view(NULL, 0);
    struct pv_logst one;

    int r = pv_outside_put(log->outside, log->fold, st);
    while (r != PV_ERR_NOMEM && pv_carried_next(&list, &one))
        if (pv_outside_put(log->outside, log->fold, &one) == PV_ERR_NOMEM)
            r = PV_ERR_NOMEM;
    return r;
}

/* Applies the log from the first entry on. */
static int replay(struct pv_netlog *log)
{
    enum pv_why why;
    int r = PV_OK;

    pv_fold_reset(log->fold);
    for (size_t i = 0; r == PV_OK && i < log->n; i++)
        r = apply_line(log, &log->lines[i], &why);
    return r;
}

/* Everything behind entry n leaves the log, into *ret_cut (from n + 1 on). */
static struct line *cut_from(struct pv_netlog *log, uint64_t n, size_t *ret_n_cut)
{
    *ret_n_cut = log->n - n;
    log->n = n;
    if (log->head_n > n)
        log->head_n = log->head_time = 0;
    return log->lines + n;
}

static int add_piece(struct pv_netlog *log, const struct pv_netlog_piece *piece,
                     const struct judged *j)
{
    enum pv_why why;
    int r = PV_OK;

    for (size_t i = j->same; r == PV_OK && i < piece->n; i++)
        r = add_line(log, &j->entries[i], piece->entries[i], &why);
    return r;
}

static void hear_cut(struct pv_netlog *log, struct line *cut, size_t n)
{
    /* Grants come before what they allow. */
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n; i++) {
            struct pv_entry e = entry_of(raw_of(&cut[i]));
            if (pass == 1 || e.st.type == PV_LOGST_GRANT)
                (void)put_outside(log, &e.st);
        }
    for (size_t i = 0; i < n; i++)
        free(cut[i].raw);
    free(cut);
}

/* Root moved the network to a place before the log's end. */
static int move_to(struct pv_netlog *log, const struct pv_netlog_piece *piece,
                   const struct judged *j)
{
    size_t n_cut;
    const struct line *behind = cut_from(log, piece->first - 1 + j->same, &n_cut);
    struct line *cut = malloc((n_cut + 1) * sizeof(*cut));

    if (cut == NULL) {
        log->n += n_cut;
        return PV_ERR_NOMEM;
    }
    memcpy(cut, behind, n_cut * sizeof(*cut));
    int r = replay(log);
    if (r == PV_OK)
        r = add_piece(log, piece, j);
    hear_cut(log, cut, n_cut);
    return r;
}

static int take(struct pv_netlog *log, const struct pv_netlog_piece *piece, struct judged *j)
{
    struct pv_head head;
    int r = judge(log, piece, j);

    if (r != PV_OK)
        return r;
    if (j->same < piece->n) {
        leave_view(log);
        bool behind = piece->first - 1 + j->same == log->n;
        r = behind ? add_piece(log, piece, j) : move_to(log, piece, j);
        pv_outside_prune(log->outside, log->fold);
    }
    if (r == PV_OK && piece->head.len > 0 && pv_head_decode(piece->head, &head) == PV_OK)
        keep_head(log, piece->head, &head);
    return r;
}

int pv_netlog_take(struct pv_netlog *log, const struct pv_netlog_piece *piece)
{
    struct judged j = {0};

    if (piece->n == 0 || piece->first == 0)
        return PV_ERR_MALFORMED;
    if (piece->first - 1 > log->n)
        return PV_ERR_NOT_FOUND;
    if (piece->n > PV_NETLOG_MAX - (piece->first - 1))
        return PV_ERR_LIMIT;
    j.entries = calloc(piece->n, sizeof(j.entries[0]));
    if (j.entries == NULL)
        return PV_ERR_NOMEM;
    int r = take(log, piece, &j);
    free(j.entries);
    return r;
}

/* --- the others ------------------------------------------------------------------------------ */

int pv_netlog_hear(struct pv_netlog *log, const struct pv_logst *st)
{
    if (memcmp(st->network_id, log->cfg.network_id, sizeof(st->network_id)) != 0)
        return PV_ERR_AUTH;
    int r = pv_logst_verify(st);
    if (r != PV_OK)
        return r;
    leave_view(log);
    return put_outside(log, st);
}

int pv_netlog_append(struct pv_netlog *log, const struct pv_logst *st, uint64_t time,
                     enum pv_why *ret_why)
{
    struct spine s = spine_at(log, log->n);
    struct pv_entry e;
    size_t len = PV_ENTRY_HEAD_LEN + st->raw.len;

    leave_view(log);
    if (pv_fold_now(log->fold)->version > PV_FOLD_VERSION)
        return PV_ERR_UNSUPPORTED;
    *ret_why = pv_fold_why(log->fold, st, time);
    if (*ret_why != PV_WHY_ALLOWED)
        return PV_ERR_REFUSED;
    uint8_t *raw = malloc(len);
    if (raw == NULL)
        return PV_ERR_NOMEM;
    int r = pv_entry_encode(pv_netlog_hash(log, log->n), time, st->raw, raw, len, &len);
    if (r == PV_OK)
        r = pv_entry_decode(pv_view(raw, len), &e);
    if (r == PV_OK && !follows(log, &s, log->n + 1, pv_netlog_hash(log, log->n), &e))
        r = PV_ERR_REFUSED;
    if (r == PV_OK)
        r = add_line(log, &e, pv_view(raw, len), ret_why);
    free(raw);
    pv_outside_prune(log->outside, log->fold);
    return r;
}

int pv_netlog_load(struct pv_netlog *log, struct pv_view entry)
{
    struct spine s = spine_at(log, log->n);
    struct pv_entry e;
    enum pv_why why;
    int r = pv_entry_decode(entry, &e);

    leave_view(log);
    if (r == PV_OK && !follows(log, &s, log->n + 1, pv_netlog_hash(log, log->n), &e))
        r = PV_ERR_AUTH;
    return r == PV_OK ? add_line(log, &e, entry, &why) : r;
}

bool pv_netlog_orders(const struct pv_netlog *log, const uint8_t key[static PV_SIGN_PK_LEN])
{
    struct spine s = spine_at(log, log->n);
    return log->n > 0 && memcmp(s.move.coordinator, key, PV_SIGN_PK_LEN) == 0;
}

int pv_netlog_sign(struct pv_netlog *log, uint64_t time, const uint8_t sk[static PV_SIGN_SK_LEN])
{
    struct spine s = spine_at(log, log->n);
    struct pv_head head = {.epoch = s.move.epoch, .n = log->n, .time = time};
    uint8_t data[PV_HEAD_LEN];

    if (!pv_netlog_orders(log, sk + PV_SIGN_SEED_LEN))
        return PV_ERR_STATE;
    leave_view(log);
    if (head.time < s.time)
        head.time = s.time;
    memcpy(head.network_id, log->cfg.network_id, sizeof(head.network_id));
    memcpy(head.hash, pv_netlog_hash(log, log->n), sizeof(head.hash));
    pv_fold_digest(log->fold, head.digest);
    int r = pv_head_make(&head, sk, data);
    if (r == PV_OK)
        keep_head(log, pv_view(data, sizeof(data)), &head);
    return r;
}

const struct pv_fold *pv_netlog_state(struct pv_netlog *log)
{
    leave_view(log);
    return log->fold;
}

const struct pv_fold *pv_netlog_view(struct pv_netlog *log)
{
    if (log->viewed)
        return log->fold;
    log->viewed = pv_outside_apply(log->outside, log->fold) == PV_OK;
    if (!log->viewed)
        leave_view(log);
    return log->viewed ? log->fold : NULL;
}

const struct pv_outside *pv_netlog_outside(const struct pv_netlog *log)
{
    return log->outside;
}
