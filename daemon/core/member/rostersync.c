/* SPDX-License-Identifier: MIT */
/* rostersync.c - two members whose heads differ find out which statements each of them lacks, and
 * send those; budgets for each peer bound what a liar can make us send or check. */
#include "daemon/core/member/rostersync.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/list.h"
#include "proto/roster/roster.h"

/* --- messages (docs/PROTOCOL-PEERS.md "Type 2: statements") ---------------------------------- */

enum rosterwire_op {
    ROSTERWIRE_HEAD = 0,       /* head, cards' digest */
    ROSTERWIRE_DIGESTS = 1,    /* 256 * 4 bytes */
    ROSTERWIRE_PREFIXES = 2,   /* u8 bucket, ascending prefixes of all its statements */
    ROSTERWIRE_WANT = 3,       /* prefixes */
    ROSTERWIRE_STATEMENTS = 4, /* {u16 length, statement, u16 length, receipt or nothing} */
    ROSTERWIRE_STATE = 5,      /* u8 answer wanted, head, cards' and members' digests */
    ROSTERWIRE_RECEIPTS = 6,   /* 256 * 4 bytes: digests of statements and receipts */
};

/* A set of buckets. */
struct rosterwire_buckets {
    uint8_t bits[PV_ROSTER_BUCKETS / 8];
};

/* Statements and receipts have digests of their own: a receipt that comes later changes no
 * statement, and members must still find out who lacks it. */
static uint32_t digest_of(struct pv_roster *roster, size_t bucket, bool receipts)
{
    return receipts ? pv_roster_receipts_digest(roster, (uint8_t)bucket)
                    : pv_roster_bucket_digest(roster, (uint8_t)bucket);
}

static void put_heads(struct pv_writer *w, struct pv_roster *roster)
{
    uint8_t head[PV_STATEMENT_HASH_LEN], cards[PV_STATEMENT_HASH_LEN];

    pv_roster_head(roster, head);
    pv_roster_cards(roster, cards);
    pv_put_bytes(w, head, sizeof(head));
    pv_put_bytes(w, cards, sizeof(cards));
}

static void rosterwire_put_head(struct pv_writer *w, struct pv_roster *roster)
{
    pv_put_u8(w, ROSTERWIRE_HEAD);
    put_heads(w, roster);
}

static void rosterwire_put_state(struct pv_writer *w, struct pv_roster *roster, bool want_answer)
{
    uint8_t members[PV_STATEMENT_HASH_LEN];

    pv_roster_members(roster, members);
    pv_put_u8(w, ROSTERWIRE_STATE);
    pv_put_u8(w, want_answer ? 1 : 0);
    put_heads(w, roster);
    pv_put_bytes(w, members, sizeof(members));
}

/* The digests of all buckets: of their statements and cards, or with the receipts. All of them, in
 * order: neither numbers nor lengths have to be told. */
static void rosterwire_put_digests(struct pv_writer *w, struct pv_roster *roster, bool receipts)
{
    pv_put_u8(w, receipts ? ROSTERWIRE_RECEIPTS : ROSTERWIRE_DIGESTS);
    for (size_t b = 0; b < PV_ROSTER_BUCKETS; b++)
        pv_put_u32(w, digest_of(roster, b, receipts));
}

/* Which buckets differ from these digests, 4 bytes each; false: none does. */
static bool rosterwire_differ(struct pv_roster *roster, const uint8_t *digests, bool receipts,
                              struct rosterwire_buckets *ret_buckets)
{
    bool differ = false;

    memset(ret_buckets, 0, sizeof(*ret_buckets));
    for (size_t b = 0; b < PV_ROSTER_BUCKETS; b++) {
        if (pv_load_be32(digests + 4 * b) == digest_of(roster, b, receipts))
            continue;
        ret_buckets->bits[b / 8] |= (uint8_t)(1u << (b % 8));
        differ = true;
    }
    return differ;
}

/* --- rounds ---------------------------------------------------------------------------------- */

enum {
    PREFIX = PV_ROSTER_PREFIX_LEN,
    WANT_MAX = 128,                /* prefixes in one message, so that it is one part */
    ONE_PART = PV_INBAND_PART_MAX, /* bytes of body */
    BUCKET_MAX = (PV_INBAND_WHOLE_MAX - 2) / PREFIX,
    TAKE_RATE = 2 * PV_ROSTERSYNC_RATE, /* bytes of statements a second a peer may make us check */
    TAKE_BURST = 4 * PV_INBAND_WHOLE_MAX,
    MAX_REST_DOUBLINGS = 4,
    MAX_ROUND_DOUBLINGS = 3,
};

/* The messages due to a peer that is worked with. */
struct pv_rostersync_work {
    bool digests;
    struct rosterwire_buckets buckets; /* whose prefixes are to be sent */
    size_t n_want, n_give;
    uint8_t want[PV_ROSTERSYNC_LIST][PREFIX];
    uint8_t give[PV_ROSTERSYNC_LIST][PREFIX];
};

struct pv_rostersync {
    struct pv_rostersync_config cfg;
    uint8_t own[PV_SIGN_PK_LEN];
    struct pv_roster *roster;
    struct pv_rostersync_peer *first; /* those that are up; who waits longest before others */
    size_t n_up;
    size_t n_working;
    size_t n_queued;
    struct pv_heap timers;
    pv_ns announce_at;
    struct pv_rostersync_peer *ready;  /* in the order in which they became it */
    uint8_t body[PV_INBAND_WHOLE_MAX]; /* of the message that is being written */
};

/* --- peers ----------------------------------------------------------------------------------- */

static bool has_output(const struct pv_rostersync_peer *p)
{
    static const struct rosterwire_buckets none;

    if (p->say_head || p->say_state || p->ask_state)
        return true;
    return p->work != NULL && (p->work->digests || p->work->n_want > 0 || p->work->n_give > 0 ||
                               memcmp(&p->work->buckets, &none, sizeof(none)) != 0);
}

/* After any change of a peer: ready to send, or when to look again. */
static void touch(struct pv_rostersync *s, struct pv_rostersync_peer *p, pv_ns now)
{
    bool output = has_output(p);

    if (output && p->send_at <= now && !p->is_ready) {
        p->is_ready = true;
        PV_LIST_ADD_BY(s->ready, p, prev_ready, next_ready);
    }
    pv_ns at = output && p->send_at > now ? pv_min_ns(p->due, p->send_at) : p->due;
    if (p->state == PV_ROSTERSYNC_WORKING)
        at = pv_min_ns(at, p->turn_ends);
    pv_heap_set(&s->timers, &p->timer, at);
}

static void unready(struct pv_rostersync *s, struct pv_rostersync_peer *p)
{
    if (p->is_ready)
        PV_LIST_DEL_BY(s->ready, p, prev_ready, next_ready);
    p->is_ready = false;
}

static bool same_statements(struct pv_rostersync *s, const struct pv_rostersync_peer *p)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    pv_roster_head(s->roster, own);
    return p->has_head && memcmp(own, p->head, sizeof(own)) == 0;
}

static bool same_cards(struct pv_rostersync *s, const struct pv_rostersync_peer *p)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    pv_roster_cards(s->roster, own);
    return memcmp(own, p->cards, sizeof(own)) == 0;
}

/* The same statements, and, as far as the peer has told, the same cards and members. */
static bool agrees(struct pv_rostersync *s, const struct pv_rostersync_peer *p)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];

    if (!same_statements(s, p) || !same_cards(s, p))
        return false;
    if (!p->has_members)
        return true;
    pv_roster_members(s->roster, own);
    return memcmp(own, p->members, sizeof(own)) == 0;
}

bool pv_rostersync_knows(struct pv_rostersync *s, const struct pv_rostersync_peer *p)
{
    return p != NULL && p->up && same_statements(s, p);
}

static void tell(struct pv_rostersync *s, struct pv_rostersync_peer *p,
                 enum pv_rostersync_outcome outcome, pv_ns now)
{
    s->cfg.tell(s->cfg.owner, p, outcome, now);
}

/* Rounds grow for a peer that is silent: its path may be slow, and faster repetition would only
 * fill it further. */
static pv_ns round_time(const struct pv_rostersync_peer *p)
{
    unsigned doublings = p->silent < MAX_ROUND_DOUBLINGS ? p->silent : MAX_ROUND_DOUBLINGS;
    return PV_ROSTERSYNC_ROUND << doublings;
}

/* Leaves WORKING or QUEUED; the caller sets the new state's deadline. */
static void set_state(struct pv_rostersync *s, struct pv_rostersync_peer *p,
                      enum pv_rostersync_state state)
{
    if (p->state == PV_ROSTERSYNC_WORKING) {
        s->n_working--;
        free(p->work);
        p->work = NULL;
    }
    if (p->state == PV_ROSTERSYNC_QUEUED)
        s->n_queued--;
    p->state = state;
    p->due = PV_NEVER;
    if (state == PV_ROSTERSYNC_QUEUED)
        s->n_queued++;
}

/* QUEUED -> WORKING if there is a place. */
static void begin_work(struct pv_rostersync *s, struct pv_rostersync_peer *p, pv_ns now)
{
    if (s->n_working == PV_ROSTERSYNC_MAX_WORKING)
        return;
    struct pv_rostersync_work *work = calloc(1, sizeof(*work));
    if (work == NULL)
        return; /* still queued: tried again with the next place or message */
    set_state(s, p, PV_ROSTERSYNC_WORKING);
    p->work = work;
    p->tries = p->silent = 0;
    s->n_working++;
    p->due = now + round_time(p);
    p->turn_ends = now + PV_ROSTERSYNC_TURN;
    /* Only the driver may open with digests. The answerer shows its head, and the driver begins
     * when it sees that the heads differ. */
    if (p->drive)
        work->digests = true;
    else
        p->say_head = true;
    touch(s, p, now);
}

/* Behind all that wait: peers that come and go must not pass by one that stays. */
static void wait_in_line(struct pv_rostersync *s, struct pv_rostersync_peer *p)
{
    set_state(s, p, PV_ROSTERSYNC_QUEUED);
    PV_LIST_DEL(s->first, p);
    PV_LIST_ADD(s->first, p);
}

static void queue_work(struct pv_rostersync *s, struct pv_rostersync_peer *p, pv_ns now)
{
    if (p->state == PV_ROSTERSYNC_QUEUED || p->state == PV_ROSTERSYNC_WORKING)
        return;
    wait_in_line(s, p);
    begin_work(s, p, now);
}

/* A place became free. */
static void fill_places(struct pv_rostersync *s, pv_ns now)
{
    for (struct pv_rostersync_peer *p = s->first;
         p != NULL && s->n_queued > 0 && s->n_working < PV_ROSTERSYNC_MAX_WORKING; p = p->next) {
        if (p->state == PV_ROSTERSYNC_QUEUED)
            begin_work(s, p, now);
    }
}

/* A peer that always says something would keep its place for ever: all that wait come before its
 * next turn, whose digests show again what was left over. */
static void end_turn(struct pv_rostersync *s, struct pv_rostersync_peer *p, pv_ns now)
{
    p->turn_ends = now + PV_ROSTERSYNC_TURN;
    if (s->n_queued == 0)
        return;
    wait_in_line(s, p);
    fill_places(s, now);
}

static void finish(struct pv_rostersync *s, struct pv_rostersync_peer *p, pv_ns now)
{
    if (p->state == PV_ROSTERSYNC_WORKING || p->rests > 0)
        tell(s, p, PV_ROSTERSYNC_AGREES, now);
    if (p->state == PV_ROSTERSYNC_WORKING) {
        p->ask_state = p->drive; /* with the same statements, are they the same members? */
    }
    set_state(s, p, PV_ROSTERSYNC_IDLE);
    p->rests = 0;
    touch(s, p, now);
    fill_places(s, now);
}

static void rest(struct pv_rostersync *s, struct pv_rostersync_peer *p, pv_ns now)
{
    /* Only a peer that took part and still differs is reported: silence says nothing about its
     * statements. One that lacks room for a card is no danger to anybody. */
    if (p->silent < PV_ROSTERSYNC_SILENT && !(same_statements(s, p) && !same_cards(s, p)))
        tell(s, p, same_statements(s, p) ? PV_ROSTERSYNC_DIFFERS : PV_ROSTERSYNC_DISAGREES, now);
    set_state(s, p, PV_ROSTERSYNC_RESTING);
    p->due = now + (PV_ROSTERSYNC_REST << p->rests);
    if (p->rests < MAX_REST_DOUBLINGS)
        p->rests++;
    touch(s, p, now);
    fill_places(s, now);
}

/* Their head, from wherever, and their cards' digest, unless it is NULL. */
static void compare(struct pv_rostersync *s, struct pv_rostersync_peer *p, const uint8_t *head,
                    const uint8_t *cards, pv_ns now)
{
    bool news = !p->has_head || memcmp(p->head, head, sizeof(p->head)) != 0;

    if (cards != NULL) {
        news = news || memcmp(p->cards, cards, sizeof(p->cards)) != 0;
        memcpy(p->cards, cards, sizeof(p->cards));
    }
    memcpy(p->head, head, sizeof(p->head));
    p->has_head = true;
    if (agrees(s, p)) {
        finish(s, p, now);
        return;
    }
    /* A head that was argued over in vain does not end the rest: a liar could repeat it to keep us
     * at work. */
    if (p->state == PV_ROSTERSYNC_RESTING && !news)
        return;
    queue_work(s, p, now);
}

/* --- life ------------------------------------------------------------------------------------ */

int pv_rostersync_new(struct pv_rostersync **ret_sync, const struct pv_rostersync_config *cfg)
{
    struct pv_rostersync *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return PV_ERR_NOMEM;
    s->cfg = *cfg;
    memcpy(s->own, cfg->own, sizeof(s->own));
    s->announce_at = PV_NEVER;
    pv_heap_init(&s->timers);
    *ret_sync = s;
    return PV_OK;
}

static void forget(struct pv_rostersync *s, struct pv_rostersync_peer *p)
{
    /* The lists and the heap of timers point into the peer: they let go of it, for it is its
     * owner's. */
    set_state(s, p, PV_ROSTERSYNC_IDLE);
    unready(s, p);
    pv_heap_set(&s->timers, &p->timer, PV_NEVER);
    PV_LIST_DEL(s->first, p);
    s->n_up--;
    p->up = false;
}

static void forget_all(struct pv_rostersync *s)
{
    while (s->first != NULL)
        forget(s, s->first);
    s->announce_at = PV_NEVER;
}

struct pv_rostersync *pv_rostersync_free(struct pv_rostersync *s)
{
    if (s == NULL)
        return NULL;
    forget_all(s);
    pv_heap_done(&s->timers);
    free(s);
    return NULL;
}

void pv_rostersync_set_roster(struct pv_rostersync *s, struct pv_roster *roster)
{
    forget_all(s);
    s->roster = roster;
}

int pv_rostersync_peer_up(struct pv_rostersync *s, struct pv_rostersync_peer *p, const uint8_t *pk,
                          pv_ns now)
{
    if (p->up)
        return PV_OK;
    if (s->roster == NULL)
        return PV_ERR_STATE;
    if (pv_heap_reserve(&s->timers, s->n_up + 1) != PV_OK)
        return PV_ERR_NOMEM;
    /* Both ends see the same order of keys, so exactly one of them drives. */
    bool drive = memcmp(s->own, pk, sizeof(s->own)) < 0;
    *p = (struct pv_rostersync_peer){
        .up = true,
        .drive = drive,
        .say_head = drive,
        .ask_state = drive,
        .due = PV_NEVER,
    };
    pv_roster_cards(s->roster, p->cards);
    PV_LIST_ADD(s->first, p);
    s->n_up++;
    touch(s, p, now);
    return PV_OK;
}

void pv_rostersync_peer_down(struct pv_rostersync *s, struct pv_rostersync_peer *p, pv_ns now)
{
    if (!p->up)
        return;
    forget(s, p);
    fill_places(s, now);
}

void pv_rostersync_head_seen(struct pv_rostersync *s, struct pv_rostersync_peer *p,
                             const uint8_t head[static PV_STATEMENT_HASH_LEN],
                             const uint8_t members[static PV_STATEMENT_HASH_LEN], pv_ns now)
{
    if (p == NULL || !p->up)
        return;
    memcpy(p->members, members, sizeof(p->members));
    p->has_members = true;
    compare(s, p, head, NULL, now);
}

void pv_rostersync_changed(struct pv_rostersync *s, pv_ns now)
{
    if (s->announce_at != PV_NEVER || s->first == NULL)
        return;
    /* Others have most likely been told the same at the same time: let them take it in, and do not
     * all speak at once. */
    s->announce_at = now + PV_ROSTERSYNC_ANNOUNCE + PV_MS(pv_rng_below(&s->cfg.rng, 1000));
}

void pv_rostersync_ask(struct pv_rostersync *s, pv_ns now)
{
    for (struct pv_rostersync_peer *p = s->first; p != NULL; p = p->next) {
        p->say_head = p->ask_state = true;
        touch(s, p, now);
    }
}

void pv_rostersync_changed_alone(struct pv_rostersync *s, pv_ns now)
{
    pv_rostersync_changed(s, now);
    if (s->announce_at != PV_NEVER)
        s->announce_at = pv_min_ns(s->announce_at, now + PV_ROSTERSYNC_ALONE);
}

/* --- messages in ----------------------------------------------------------------------------- */

/* Something came from a peer that is worked with: the round goes on. */
static void note_activity(struct pv_rostersync_peer *p, pv_ns now)
{
    p->silent = 0;
    p->due = now + round_time(p);
}

/* A digest that came with another head says nothing about this one. */
static void forget_members(struct pv_rostersync_peer *p, const uint8_t *head)
{
    p->has_members = p->has_members && memcmp(p->head, head, sizeof(p->head)) == 0;
}

static int take_head(struct pv_rostersync *s, struct pv_rostersync_peer *p, struct pv_view rest_of,
                     pv_ns now)
{
    if (rest_of.len != 2 * PV_STATEMENT_HASH_LEN)
        return PV_ERR_MALFORMED;
    forget_members(p, rest_of.ptr);
    compare(s, p, rest_of.ptr, rest_of.ptr + PV_STATEMENT_HASH_LEN, now);
    /* An answerer that had no place before shows by its head that it has one now. */
    if (p->state == PV_ROSTERSYNC_WORKING && p->drive && p->silent > 0) {
        p->work->digests = true;
        note_activity(p, now);
    }
    /* The driver says "yes, the same", the answerer "no, here is mine". Never both, so that it
     * ends. */
    if (agrees(s, p) == p->drive)
        p->say_head = true;
    return PV_OK;
}

static void note_prefix(uint8_t (*list)[PREFIX], size_t *n, const uint8_t *prefix)
{
    for (size_t i = 0; i < *n; i++) {
        if (memcmp(list[i], prefix, PREFIX) == 0)
            return;
    }
    /* A prefix that finds no place shows again in the digests of the next round. */
    if (*n < PV_ROSTERSYNC_LIST)
        memcpy(list[(*n)++], prefix, PREFIX);
}

/* All statements of the buckets in which receipts differ go to the peer, and are asked of it. */
static void exchange_buckets(struct pv_rostersync *s, struct pv_rostersync_work *work,
                             const struct rosterwire_buckets *buckets)
{
    for (size_t b = 0; b < PV_ROSTER_BUCKETS; b++) {
        const struct pv_roster_entry *e;
        if ((buckets->bits[b / 8] & (1u << (b % 8))) == 0)
            continue;
        for (size_t i = 0; (e = pv_roster_bucket_at(s->roster, (uint8_t)b, i)) != NULL; i++) {
            note_prefix(work->give, &work->n_give, e->st.hash);
            note_prefix(work->want, &work->n_want, e->st.hash);
        }
    }
}

/* Digests of statements, or of statements and receipts where the heads are the same and the members
 * are not. */
static int take_digests(struct pv_rostersync *s, struct pv_rostersync_peer *p,
                        struct pv_view rest_of, bool receipts, pv_ns now)
{
    if (rest_of.len != PV_ROSTER_BUCKETS * 4)
        return PV_ERR_MALFORMED;
    /* Digests are the driver's to send: two drivers would do all the work twice. */
    if (p->drive)
        return PV_OK;

    struct rosterwire_buckets buckets;
    if (!rosterwire_differ(s->roster, rest_of.ptr, receipts, &buckets)) {
        p->say_head = true; /* equal: the driver ends it */
        p->say_state = receipts;
        return PV_OK;
    }
    queue_work(s, p, now);
    if (p->state != PV_ROSTERSYNC_WORKING)
        return PV_OK; /* both places are taken: it will ask again */
    if (receipts)
        exchange_buckets(s, p->work, &buckets);
    else
        p->work->buckets = buckets;
    note_activity(p, now);
    return PV_OK;
}

/* Their head and digests, whoever asked. */
static int take_state(struct pv_rostersync *s, struct pv_rostersync_peer *p, struct pv_view rest_of,
                      pv_ns now)
{
    if (rest_of.len != 1 + 3 * PV_STATEMENT_HASH_LEN)
        return PV_ERR_MALFORMED;
    memcpy(p->members, rest_of.ptr + 1 + 2 * PV_STATEMENT_HASH_LEN, sizeof(p->members));
    p->has_members = true;
    p->say_state = p->say_state || rest_of.ptr[0] != 0;
    compare(s, p, rest_of.ptr + 1, rest_of.ptr + 1 + PV_STATEMENT_HASH_LEN, now);
    return PV_OK;
}

/* Walks their ascending prefixes and our bucket side by side. */
static int take_prefixes(struct pv_rostersync *s, struct pv_rostersync_peer *p,
                         struct pv_view rest_of, pv_ns now)
{
    if (rest_of.len < 1 || (rest_of.len - 1) % PREFIX != 0)
        return PV_ERR_MALFORMED;
    /* Strict order is demanded: the walk below would else call statements missing that both sides
     * have. */
    const uint8_t bucket = rest_of.ptr[0], *theirs = rest_of.ptr + 1;
    size_t n = (rest_of.len - 1) / PREFIX;
    for (size_t i = 0; i < n; i++) {
        if (theirs[i * PREFIX] != bucket ||
            (i > 0 && memcmp(theirs + (i - 1) * PREFIX, theirs + i * PREFIX, PREFIX) >= 0))
            return PV_ERR_MALFORMED;
    }
    if (p->state != PV_ROSTERSYNC_WORKING || !p->drive)
        return PV_OK;

    size_t i = 0, j = 0;
    const struct pv_roster_entry *ours = pv_roster_bucket_at(s->roster, bucket, 0);
    while (i < n || ours != NULL) {
        int order = ours == NULL ? -1
                    : i == n     ? 1
                                 : memcmp(theirs + i * PREFIX, ours->st.hash, PREFIX);
        if (order < 0)
            note_prefix(p->work->want, &p->work->n_want, theirs + i * PREFIX);
        if (order > 0)
            note_prefix(p->work->give, &p->work->n_give, ours->st.hash);
        if (order <= 0)
            i++;
        if (order >= 0)
            ours = pv_roster_bucket_at(s->roster, bucket, ++j);
    }
    note_activity(p, now);
    return PV_OK;
}

static int take_want(struct pv_rostersync_peer *p, struct pv_view rest_of, pv_ns now)
{
    if (rest_of.len % PREFIX != 0)
        return PV_ERR_MALFORMED;
    if (p->state != PV_ROSTERSYNC_WORKING)
        return PV_OK;
    /* Wishes are only noted. The pacing bounds the bytes that answer them, however much a peer asks
     * for. */
    for (size_t i = 0; i < rest_of.len; i += PREFIX)
        note_prefix(p->work->give, &p->work->n_give, rest_of.ptr + i);
    note_activity(p, now);
    return PV_OK;
}

static int take_statements(struct pv_rostersync *s, struct pv_rostersync_peer *p,
                           struct pv_view rest_of, pv_ns now)
{
    struct pv_reader r = pv_reader(rest_of);
    size_t merged = 0;

    /* Each statement may cost checks of signatures: only a peer we work with may cause them, and
     * only within its budget. */
    if (p->state != PV_ROSTERSYNC_WORKING ||
        !pv_bucket_take(&p->taken, TAKE_RATE, TAKE_BURST, (uint32_t)rest_of.len, now))
        return PV_OK;
    while (r.status == PV_OK && r.rest.len > 0) {
        struct pv_view statement = pv_get_view16(&r, PV_STATEMENT_MAX);
        struct pv_view receipt = pv_get_view16(&r, PV_RECEIPT_LEN);
        enum pv_roster_added added;
        if (r.status != PV_OK)
            break;
        /* One that is refused is no reason to refuse the others. */
        if (pv_roster_add(s->roster, statement, receipt, &added) == PV_OK && added == PV_ROSTER_NEW)
            merged++;
    }
    note_activity(p, now);
    if (merged > 0) {
        p->tries = 0;
        p->rests = 0;
        p->say_state = true; /* whoever removes a member waits to hear who knows */
        pv_rostersync_changed(s, now);
        if (p->drive && agrees(s, p)) {
            p->say_head = true;
            finish(s, p, now);
        }
    }
    return r.status == PV_OK ? PV_OK : PV_ERR_MALFORMED;
}

int pv_rostersync_handle(struct pv_rostersync *s, struct pv_rostersync_peer *p, struct pv_view body,
                         pv_ns now)
{
    int status = PV_OK;

    if (p == NULL || !p->up)
        return PV_ERR_NOT_FOUND;
    if (body.len < 1)
        return PV_ERR_MALFORMED;
    struct pv_view rest_of = pv_view(body.ptr + 1, body.len - 1);
    switch (body.ptr[0]) {
    case ROSTERWIRE_HEAD:
        status = take_head(s, p, rest_of, now);
        break;
    case ROSTERWIRE_DIGESTS:
    case ROSTERWIRE_RECEIPTS:
        status = take_digests(s, p, rest_of, body.ptr[0] == ROSTERWIRE_RECEIPTS, now);
        break;
    case ROSTERWIRE_STATE:
        status = take_state(s, p, rest_of, now);
        break;
    case ROSTERWIRE_PREFIXES:
        status = take_prefixes(s, p, rest_of, now);
        break;
    case ROSTERWIRE_WANT:
        status = take_want(p, rest_of, now);
        break;
    case ROSTERWIRE_STATEMENTS:
        status = take_statements(s, p, rest_of, now);
        break;
    default:
        status = PV_ERR_MALFORMED;
        break;
    }
    touch(s, p, now);
    return status;
}

/* --- time ------------------------------------------------------------------------------------ */

static void peer_timeout(struct pv_rostersync *s, struct pv_rostersync_peer *p, pv_ns now)
{
    if (p->state == PV_ROSTERSYNC_WORKING && now >= p->turn_ends)
        end_turn(s, p, now);
    if (p->due > now || p->state == PV_ROSTERSYNC_IDLE || p->state == PV_ROSTERSYNC_QUEUED) {
        touch(s, p, now);
        return;
    }
    if (p->state == PV_ROSTERSYNC_RESTING) {
        queue_work(s, p, now);
    } else if (agrees(s, p)) {
        finish(s, p, now);
    } else if (has_output(p)) {
        p->due = now + round_time(p); /* we are still speaking ourselves */
    } else if (++p->tries >= PV_ROSTERSYNC_TRIES || ++p->silent >= PV_ROSTERSYNC_SILENT) {
        rest(s, p, now);
    } else {
        /* Nobody acknowledges these messages. The opening is said again, and the digests show
         * whatever was lost. */
        p->work->digests = p->drive;
        p->say_head = !p->drive;
        p->ask_state = p->ask_state || p->has_members;
        p->due = now + round_time(p);
    }
    touch(s, p, now);
}

/* A head is told only to those that do not have the same: to the others it would say nothing. */
void pv_rostersync_handle_timeout(struct pv_rostersync *s, pv_ns now)
{
    struct pv_heap_node *node;

    if (s->announce_at <= now) {
        s->announce_at = PV_NEVER;
        for (struct pv_rostersync_peer *p = s->first; p != NULL; p = p->next) {
            p->say_head = p->say_head || !agrees(s, p);
            touch(s, p, now);
        }
    }
    while ((node = pv_heap_pop_due(&s->timers, now)) != NULL)
        peer_timeout(s, PV_CONTAINER_OF(node, struct pv_rostersync_peer, timer), now);
}

pv_ns pv_rostersync_next_timeout(const struct pv_rostersync *s)
{
    return pv_min_ns(pv_heap_next(&s->timers), s->announce_at);
}

/* --- messages out ---------------------------------------------------------------------------- */

static void write_prefixes(struct pv_rostersync *s, struct pv_rostersync_work *work,
                           struct pv_writer *w)
{
    size_t b = 0;

    /* has_output promised that a bit is set, so the search ends. */
    while ((work->buckets.bits[b / 8] & (1u << (b % 8))) == 0)
        b++;
    work->buckets.bits[b / 8] &= (uint8_t) ~(1u << (b % 8));
    pv_put_u8(w, ROSTERWIRE_PREFIXES);
    pv_put_u8(w, (uint8_t)b);
    for (size_t i = 0; i < BUCKET_MAX; i++) {
        const struct pv_roster_entry *e = pv_roster_bucket_at(s->roster, (uint8_t)b, i);
        if (e == NULL)
            break;
        pv_put_bytes(w, e->st.hash, PREFIX);
    }
}

static void write_want(struct pv_rostersync_work *work, struct pv_writer *w)
{
    size_t n = work->n_want < WANT_MAX ? work->n_want : WANT_MAX;

    pv_put_u8(w, ROSTERWIRE_WANT);
    work->n_want -= n;
    pv_put_bytes(w, work->want[work->n_want], n * PREFIX);
}

/* As many statements as one part takes, and at least one. */
static void write_statements(struct pv_rostersync *s, struct pv_rostersync_work *work,
                             struct pv_writer *w)
{
    pv_put_u8(w, ROSTERWIRE_STATEMENTS);
    while (work->n_give > 0) {
        const struct pv_roster_entry *e =
            pv_roster_find_prefix(s->roster, work->give[work->n_give - 1]);
        if (e != NULL) {
            size_t len = 4 + e->st.raw.len + e->receipt.len;
            if (w->len > 1 && w->len + len > ONE_PART)
                return;
            pv_put_view16(w, e->st.raw);
            pv_put_view16(w, e->receipt);
        }
        work->n_give--;
    }
}

/* Statements leave before prefixes of further buckets: each of those makes the peer want more, and
 * the list of wishes is bounded. */
static void write_next(struct pv_rostersync *s, struct pv_rostersync_peer *p, struct pv_writer *w)
{
    if (p->say_head) {
        p->say_head = false;
        rosterwire_put_head(w, s->roster);
    } else if (p->say_state || p->ask_state) {
        rosterwire_put_state(w, s->roster, p->ask_state);
        p->say_state = p->ask_state = false;
    } else if (p->work->digests) {
        p->work->digests = false;
        rosterwire_put_digests(w, s->roster, same_statements(s, p) && same_cards(s, p));
    } else if (p->work->n_want > 0) {
        write_want(p->work, w);
    } else if (p->work->n_give > 0) {
        write_statements(s, p->work, w);
    } else {
        write_prefixes(s, p->work, w);
    }
}

/* It waits for no turn: before that comes the peer is down. */
void pv_rostersync_last_word(struct pv_rostersync *s, struct pv_rostersync_peer *p)
{
    struct pv_writer w = pv_writer(s->body, sizeof(s->body));
    if (!p->up)
        return;
    rosterwire_put_head(&w, s->roster);
    s->cfg.send(s->cfg.owner, p, pv_view(s->body, w.len));
}

/* A message is charged its time at the permitted rate, and nothing follows to this peer before that
 * has passed. */
void pv_rostersync_run(struct pv_rostersync *s, pv_ns now)
{
    struct pv_rostersync_peer *p;

    while ((p = s->ready) != NULL) {
        unready(s, p);
        if (has_output(p) && p->send_at <= now) {
            struct pv_writer w = pv_writer(s->body, sizeof(s->body));
            write_next(s, p, &w);
            p->send_at = now + w.len * PV_S(1) / PV_ROSTERSYNC_RATE;
            s->cfg.send(s->cfg.owner, p, pv_view(s->body, w.len));
        }
        touch(s, p, now);
    }
}
