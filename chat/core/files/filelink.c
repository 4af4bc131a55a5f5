/* SPDX-License-Identifier: MIT */
/* filelink.c - the table of files, its places, transfers, notices, what is kept over a restart,
 * accepted connections, what users do with files, and time. */
#include "chat/core/files/filelink.h"

#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/bytes.h"
#include "base/streams.h"
#include "chat/core/base/chatpart.h"
#include "crypto/ct.h"

enum {
    MAX_WORDS = 8, /* notices about files that are not in the table */
};

/* An offer is repeated so often even when the receiver knows it. */
#define REFRESH PV_S(60)
/* Ours: an invitation that the sender's p2pvpnd has written is here by then; and no repetition. */
#define CLAIM PV_S(30)

struct file {
    struct pv_file_entry e; /* number 0: the place is free */
    struct pv_file_stamp stamp;
    struct pv_addr addr;
    int handle;      /* -1: none */
    uint64_t tag;    /* of the transfer under way; 0: none */
    pv_ns moved_at;  /* the transfer began, or brought bytes */
    pv_ns judged_at; /* its speed was looked at, or it began */
    uint64_t judged; /* bytes it had then */
    pv_ns doubt_at;  /* nothing moved until then since the sender offered again: it is dead */
    unsigned corrupt;
    unsigned retries;
    pv_ns fetch_at; /* incoming ACCEPTED: not before */
    unsigned tells; /* how often the present state was told */
    pv_ns tell_at;  /* PV_NEVER: all is said */
    uint64_t save;  /* which the disk must have before the file may come; 0: it has it */
    uint8_t claim[PV_ROOM_ID_LEN]; /* incoming: the room that its sender names, */
    pv_ns claim_until; /* which is waited for so long; 0: it is settled where the file belongs */
    bool tell_now;     /* a notice of it is due */
    bool heard;        /* outgoing: the receiver knows of it */
    bool changed;      /* the owner does not know it as it is */
};

struct file_conn {
    uint32_t sid; /* 0: free */
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t buf[PV_PROOF_MAC_LEN + PV_FILE_GET_LEN];
    size_t len, want; /* bytes in buf, and of the frame that is coming */
    bool challenged;  /* out was asked for: a proof must come next */
    struct pv_stream_turn turn;
    uint8_t peer_nonce[PV_PROOF_NONCE_LEN];
    uint8_t out[PV_FILE_CHALLENGE_LEN]; /* our nonce and proof */
    size_t out_len, out_done;
    pv_ns deadline;
};

struct file_word {
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_file_notice notice;
};

struct pv_filelink {
    struct pv_filelink_config cfg;
    uint64_t unproven;
    struct file files[PV_FILELINK_MAX]; /* in order of their numbers, without gaps */
    size_t n;
    uint32_t last_number;
    uint64_t n_saves, kept; /* the last save, and the last that is on disk */
    uint64_t last_tag;
    uint32_t last_sid;
    bool dirty;
    struct pv_bucket saves; /* what a peer says must not become writes without end */
    pv_ns save_at;          /* not before */
    struct file_conn conns[PV_FILELINK_MAX_CONNS];
    struct file_word words[MAX_WORDS];
    size_t n_words;
};

/* Where its peer is. The port is ours and never the peer's choice: a notice cannot make us connect
 * elsewhere. */
static inline void file_set_addr(struct file *f, const struct pv_addr *addr)
{
    f->addr = *addr;
    f->addr.port = PV_FILE_PORT;
}

enum {
    SAVE_RATE = 10, /* of the table, a second, ours: what a disk does beside everything else */
    SAVE_BURST = 100,
    SAVE_LATER_MS = 100,
};

#define STALLED PV_S(2)

static bool file_is_final(const struct file *f)
{
    return f->e.state != PV_FILE_OFFERED && f->e.state != PV_FILE_ACCEPTED;
}

/* --- when a notice is due -------------------------------------------------------------------- */

static pv_ns backoff(unsigned tries)
{
    pv_ns s = PV_FILELINK_RETRY_MIN_S;
    for (unsigned i = 0; i < tries && s < PV_FILELINK_RETRY_MAX_S; i++)
        s *= 2;
    return PV_S(s < PV_FILELINK_RETRY_MAX_S ? s : PV_FILELINK_RETRY_MAX_S);
}

static void tell(struct file *f, pv_ns now)
{
    f->tell_now = true;
    f->tells++;
    if (f->e.outgoing && !file_is_final(f))
        f->tell_at = now + (f->heard ? REFRESH : backoff(f->tells - 1));
    else
        /* The other word is told a few times only: nobody answers it, so there is no sign that it
         * arrived. */
        f->tell_at = f->tells < PV_FILELINK_TELLS ? now + backoff(f->tells - 1) : PV_NEVER;
}

/* Tells the peer the present state, as often as a change is told. */
static void file_tell(struct file *f, pv_ns now)
{
    f->tells = 0;
    f->tell_at = now;
    if (f->e.online)
        tell(f, now);
}

/* --- the table ----------------------------------------------------------------------------- */

/* Tables are small (PV_FILELINK_MAX): a walk costs less than a map would. */
static struct file *by_number(struct pv_filelink *l, uint32_t number)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->files[i].e.number == number)
            return &l->files[i];
    return NULL;
}

static struct file *by_id(struct pv_filelink *l, const uint8_t *pk, const uint8_t *id,
                          bool outgoing)
{
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        if (f->e.outgoing == outgoing && memcmp(f->e.id, id, sizeof(f->e.id)) == 0 &&
            memcmp(f->e.peer, pk, sizeof(f->e.peer)) == 0)
            return f;
    }
    return NULL;
}

/* Asks the owner for an operation. */
static void file_op(struct pv_filelink *l, const struct pv_fileop *op)
{
    if (pv_fifo_put(l->cfg.ops, op, sizeof(*op)) != PV_OK)
        pv_log(l->cfg.log, PV_LOG_WARN, "what=\"operation on a file lost\" why=\"out of memory\"");
}

/* The shell opened the descriptor and closes it; until then its number is not used for another. */
static void release(struct pv_filelink *l, struct file *f)
{
    if (f->handle >= 0)
        file_op(l, &(struct pv_fileop){.type = PV_FILEOP_RELEASE, .handle = f->handle});
    f->handle = -1;
}

/* Ends the transfer under way; what it still reports is of no interest. */
static void file_cancel(struct pv_filelink *l, struct file *f)
{
    if (f->tag != 0)
        file_op(l, &(struct pv_fileop){.type = PV_FILEOP_CANCEL, .tag = f->tag});
    f->tag = 0;
    f->e.running = false;
}

/* Removes what is kept of an incoming file. */
static void file_drop(struct pv_filelink *l, const struct file *f)
{
    struct pv_fileop op = {.type = PV_FILEOP_DROP, .number = f->e.number};
    memcpy(op.id, f->e.id, sizeof(op.id));
    file_op(l, &op);
}

/* Nothing is lost with it: it is over, and not a received file that its user has not taken. */
static bool file_is_spent(const struct file *f)
{
    return file_is_final(f) && (f->e.outgoing || f->e.state != PV_FILE_DONE);
}

/* A new place at the end of the table; NULL: it is full of files that matter. */
static struct file *add_file(struct pv_filelink *l)
{
    /* The oldest entry that nobody needs makes room. One that waits for a user or a peer never
     * does. */
    for (size_t i = 0; l->n == PV_FILELINK_MAX && i < l->n; i++) {
        if (!file_is_spent(&l->files[i]))
            continue;
        memmove(&l->files[i], &l->files[i + 1], (l->n - i - 1) * sizeof(l->files[0]));
        l->n--;
    }
    if (l->n == PV_FILELINK_MAX)
        return NULL;
    struct file *f = &l->files[l->n++];
    *f = (struct file){.e.number = ++l->last_number,
                       .handle = -1,
                       .fetch_at = PV_NEVER,
                       .doubt_at = PV_NEVER,
                       .tell_at = PV_NEVER,
                       .save = l->n_saves + 1,
                       .changed = true};
    l->dirty = true;
    return f;
}

/* The pair's key, and how far it is known. */
static enum pv_overlay_link pair_key(const struct pv_filelink *l, const uint8_t *pk,
                                     uint8_t *ret_key)
{
    return l->cfg.keys == NULL ? PV_OVERLAY_LINK_NONE : l->cfg.keys(l->cfg.owner, pk, ret_key);
}

/* Do the rules let it move the way it goes? */
static bool file_may_move(const struct pv_filelink *l, const struct file *f)
{
    return l->cfg.admits == NULL || l->cfg.admits(l->cfg.owner, f->e.peer, f->e.outgoing);
}

/* While rules deny a file that has not ended nothing else keeps it. */
static enum pv_file_why reason_of(const struct pv_filelink *l, const struct file *f,
                                  enum pv_file_why why)
{
    return file_is_final(f) || file_may_move(l, f) ? why : PV_FILE_WHY_RULES;
}

/* Why nothing moves is another now. */
static void file_set_why(struct pv_filelink *l, struct file *f, enum pv_file_why why)
{
    why = reason_of(l, f, why);
    if (f->e.why == why)
        return;
    f->e.why = why;
    f->changed = true;
    l->dirty = true;
}

/* The only way a state changes: tells the peer, users and the disk, frees what is not needed. */
static void file_set(struct pv_filelink *l, struct file *f, enum pv_file_state state,
                     enum pv_file_why why, pv_ns now)
{
    const enum pv_file_state before = f->e.state;
    f->e.state = state;
    why = reason_of(l, f, why);
    if (before == state && f->e.why == why)
        return;
    f->e.why = why;
    f->changed = true;
    f->save = l->n_saves + 1;
    l->dirty = true;
    file_tell(f, now);
    if (!file_is_final(f))
        return;
    file_cancel(l, f);
    release(l, f);
    /* The bytes of a file that will not be whole, or that its user has, only fill the disk. */
    if (!f->e.outgoing && state != PV_FILE_DONE)
        file_drop(l, f);
}

/* May a transfer of f begin, beside those that run? */
static bool has_room(const struct pv_filelink *l, const struct file *f)
{
    size_t n = 0, of_peer = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct file *other = &l->files[i];
        /* The tag marks a transfer under way, in either direction. */
        if (other->tag == 0)
            continue;
        n++;
        of_peer += other->e.outgoing == f->e.outgoing &&
                   memcmp(other->e.peer, f->e.peer, sizeof(f->e.peer)) == 0;
    }
    return n < PV_FILELINK_MAX_RUNNING && of_peer < PV_FILELINK_MAX_PEER_RUNNING;
}

/* --- places: offers -------------------------------------------------------------------------- */

/* Each peer keeps its first offer before anybody has a second one, so no number of offers of some
 * members keeps the others out. A file that the user or a rule decided on gives way to nobody. */

/* The newest undecided offer of the peer that has most of them, and how many; NULL: there is none.
 * Of peers with the same number it is the one whose newest is newest. Counts by peer, so the walk
 * costs a comparison for each offer and peer: a member may cause it with every notice. */
static struct file *newest_of_most(struct pv_filelink *l, size_t *ret_n)
{
    struct {
        struct file *newest;
        size_t n;
    } peers[PV_FILELINK_MAX], best = {.n = 0};
    size_t n_peers = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        size_t at = 0;
        if (f->e.outgoing || f->e.state != PV_FILE_OFFERED)
            continue;
        while (at < n_peers && memcmp(peers[at].newest->e.peer, f->e.peer, sizeof(f->e.peer)) != 0)
            at++;
        if (at == n_peers)
            peers[n_peers++].n = 0;
        peers[at].newest = f;
        peers[at].n++;
        if (peers[at].n >= best.n) {
            best.newest = f;
            best.n = peers[at].n;
        }
    }
    *ret_n = best.n;
    return best.n == 0 ? NULL : best.newest;
}

/* Is there a place for one more incoming file of this peer, or does another's undecided offer
 * give way to it? It is refused then. decided: the new one does not wait for the user. The peer
 * whose offer gives way hears at once why. It has no fewer than the other one afterwards, so two
 * peers never push each other out in turns. */
static bool make_place(struct pv_filelink *l, const uint8_t *pk, bool decided, pv_ns now)
{
    size_t living = 0, incoming = 0, of_peer = 0, waiting = 0, most;
    for (size_t i = 0; i < l->n; i++) {
        const struct file *f = &l->files[i];
        if (file_is_spent(f))
            continue;
        bool same = !f->e.outgoing && memcmp(f->e.peer, pk, sizeof(f->e.peer)) == 0;
        living++;
        incoming += !f->e.outgoing;
        of_peer += same;
        waiting += same && f->e.state == PV_FILE_OFFERED;
    }
    if (of_peer >= PV_FILELINK_MAX_OF_PEER || (!decided && waiting >= PV_FILELINK_MAX_OFFERS))
        return false;
    if (incoming < PV_FILELINK_MAX_INCOMING && living < PV_FILELINK_MAX)
        return true;
    struct file *victim = newest_of_most(l, &most);
    if (victim == NULL || most < waiting + 2)
        return false;
    file_set(l, victim, PV_FILE_REFUSED, PV_FILE_WHY_TOO_MANY, now);
    return true;
}

/* --- places: transfers ----------------------------------------------------------------------- */

/* A transfer begins, at so many bytes. */
static void file_judge(struct file *f, uint64_t done, pv_ns now)
{
    f->judged_at = now;
    f->judged = done;
}

/* Did it bring too little since it was looked at last? One that was fast enough has its time anew.
 */
static bool is_slow(struct file *f, pv_ns now)
{
    if (now < f->judged_at + PV_S(PV_FILELINK_LEAST_S))
        return false;
    bool slow = f->e.done < f->judged + PV_FILELINK_LEAST_BYTES;
    file_judge(f, f->e.done, now);
    return slow;
}

static size_t count_running(const struct pv_filelink *l, const uint8_t *pk)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        n +=
            l->files[i].tag != 0 && memcmp(l->files[i].e.peer, pk, sizeof(l->files[i].e.peer)) == 0;
    return n;
}

/* A transfer that holds its place by a few bytes; else the newest of the peer that has most of
 * them, for a peer that has none. */
static struct file *who_gives_way(struct pv_filelink *l, const struct file *f, pv_ns now)
{
    struct file *newest = NULL;
    size_t most = 1;
    for (size_t i = 0; i < l->n; i++) {
        struct file *other = &l->files[i];
        size_t n = other->tag == 0 ? 0 : count_running(l, other->e.peer);
        if (other->tag != 0 && is_slow(other, now))
            return other;
        if (n > most || (n == most && n > 1 && other->tag > newest->tag)) {
            newest = other;
            most = n;
        }
    }
    return count_running(l, f->e.peer) == 0 ? newest : NULL;
}

static size_t count_one_way(const struct pv_filelink *l, const struct file *f)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct file *other = &l->files[i];
        n += other->tag != 0 && other->e.outgoing == f->e.outgoing &&
             memcmp(other->e.peer, f->e.peer, sizeof(f->e.peer)) == 0;
    }
    return n;
}

/* Has f's transfer a place, or is there one for it by another that gives way? That one is tried
 * again later. */
static bool make_room(struct pv_filelink *l, const struct file *f, pv_ns now)
{
    if (has_room(l, f))
        return true;
    if (count_one_way(l, f) >= PV_FILELINK_MAX_PEER_RUNNING)
        return false;
    struct file *victim = who_gives_way(l, f, now);
    if (victim == NULL)
        return false;
    file_cancel(l, victim);
    file_set_why(l, victim, PV_FILE_WHY_BUSY);
    victim->changed = true;
    if (!victim->e.outgoing)
        victim->fetch_at = now + PV_S(PV_FILELINK_RETRY_MAX_S);
    return true;
}

/* When that is to be asked again, as far as time decides; PV_NEVER: when one has ended. */
static pv_ns room_from(const struct pv_filelink *l, const struct file *f)
{
    pv_ns at = PV_NEVER;
    if (has_room(l, f))
        return 0;
    if (count_one_way(l, f) >= PV_FILELINK_MAX_PEER_RUNNING)
        return PV_NEVER;
    for (size_t i = 0; i < l->n; i++) {
        if (l->files[i].tag != 0)
            at = pv_min_ns(at, l->files[i].judged_at + PV_S(PV_FILELINK_LEAST_S));
    }
    return at;
}

/* --- transfers ----------------------------------------------------------------------------- */

static struct file *by_tag(struct pv_filelink *l, uint64_t tag)
{
    for (size_t i = 0; i < l->n; i++)
        if (tag != 0 && l->files[i].tag == tag)
            return &l->files[i];
    return NULL;
}

void pv_filelink_progress(struct pv_filelink *l, uint64_t tag, uint64_t done, pv_ns now)
{
    struct file *f = by_tag(l, tag);
    if (f == NULL || f->e.done == done)
        return;
    f->e.done = done;
    f->moved_at = now;
    /* Progress proves the path: the next failure waits the shortest time again. */
    f->retries = 0;
}

/* The sender's view of a run that is over. An interruption ends nothing: the receiver asks again,
 * and says itself what has become of the file. */
static void served(struct pv_filelink *l, struct file *f, enum pv_file_why why, pv_ns now)
{
    if (why == PV_FILE_WHY_NONE)
        file_set(l, f, PV_FILE_DONE, why, now);
    else if (why == PV_FILE_WHY_CHANGED || why == PV_FILE_WHY_UNREADABLE)
        file_set(l, f, PV_FILE_FAILED, why, now);
    else if (why != PV_FILE_WHY_STOPPED) /* what a user stopped is told by a notice */
        file_set_why(l, f, why);
}

static void fetched(struct pv_filelink *l, struct file *f, enum pv_file_why why, pv_ns now)
{
    /* The wait is set before the reason is looked at: every failure that does not end the file is
     * retried. */
    f->fetch_at = now + backoff(f->retries++);
    switch (why) {
    case PV_FILE_WHY_NONE:
        file_set(l, f, PV_FILE_DONE, why, now);
        return;
    case PV_FILE_WHY_GONE:
        file_set(l, f, PV_FILE_WITHDRAWN, why, now);
        return;
    case PV_FILE_WHY_CHANGED:
    case PV_FILE_WHY_UNREADABLE:
        file_set(l, f, PV_FILE_FAILED, why, now);
        return;
    case PV_FILE_WHY_CORRUPT:
        /* A wrong hash may be the fault of a piece that was fetched before. A sender that is always
         * wrong must not keep us fetching. */
        if (++f->corrupt >= PV_FILELINK_MAX_CORRUPT) {
            file_set(l, f, PV_FILE_FAILED, why, now);
            return;
        }
        break;
    case PV_FILE_WHY_ABSENT: /* the sender offers again when it has the file */
    case PV_FILE_WHY_DISK_FULL:
    case PV_FILE_WHY_UNWRITABLE:
        f->fetch_at = now + PV_S(PV_FILELINK_RETRY_MAX_S);
        break;
    default:
        break;
    }
    file_set_why(l, f, why);
}

/* The end of a run is not the end of the file: served() and fetched() decide whether there is
 * another one. */
static void end_run(struct pv_filelink *l, struct file *f, enum pv_file_why why, pv_ns now)
{
    f->tag = 0;
    f->e.running = false;
    f->changed = true;
    l->dirty = true;
    if (f->e.outgoing)
        served(l, f, why, now);
    else
        fetched(l, f, why, now);
}

/* Orders the transfer of f, which has op->tag: without memory it ends as if the process of files
 * had no place for it. */
static void file_begin(struct pv_filelink *l, struct file *f, const struct pv_fileop *op, pv_ns now)
{
    if (pv_fifo_put(l->cfg.ops, op, sizeof(*op)) != PV_OK)
        end_run(l, f, PV_FILE_WHY_BUSY, now);
}

/* Each run has a tag of its own, so that what is reported late of an earlier run finds no file. */
static void fetch(struct pv_filelink *l, struct file *f, pv_ns now)
{
    struct pv_fileop op = {.type = PV_FILEOP_FETCH,
                           .tag = ++l->last_tag,
                           .number = f->e.number,
                           .addr = f->addr,
                           .size = f->e.size};
    memcpy(op.id, f->e.id, sizeof(op.id));
    f->tag = op.tag;
    f->moved_at = now;
    file_judge(f, f->e.done, now);
    f->e.running = true;
    f->e.why = PV_FILE_WHY_NONE; /* what stood in the way does no more */
    f->fetch_at = PV_NEVER;
    f->changed = true;
    file_begin(l, f, &op, now);
}

/* Is it to be fetched when its time has come? Not before its sender's daemon can be told from
 * another program with its address: the key comes in-band, and pv_filelink_set_peer() wakes it. And
 * not before the disk has it, of which pv_filelink_kept() tells. */
static bool waits(const struct pv_filelink *l, const struct file *f)
{
    enum pv_overlay_link state = pair_key(l, f->e.peer, NULL);
    return !f->e.outgoing && f->e.state == PV_FILE_ACCEPTED && f->tag == 0 && f->save <= l->kept &&
           file_may_move(l, f) &&
           (state == PV_OVERLAY_LINK_NONE || state == PV_OVERLAY_LINK_CONFIRMED);
}

/* Starts what may run. */
static void run_all(struct pv_filelink *l, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        if (waits(l, f) && f->e.online && f->fetch_at <= now && make_room(l, f, now))
            fetch(l, f, now);
    }
}

void pv_filelink_rules_changed(struct pv_filelink *l, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        if (file_is_final(f))
            continue;
        if (!file_may_move(l, f)) {
            file_cancel(l, f);
            /* The sender need not know the receiver's [firewall]. */
            if (f->e.why != PV_FILE_WHY_RULES)
                file_tell(f, now);
            file_set_why(l, f, PV_FILE_WHY_RULES);
        } else if (f->e.why == PV_FILE_WHY_RULES) {
            file_set_why(l, f, PV_FILE_WHY_NONE);
            f->fetch_at = f->e.outgoing || f->e.state != PV_FILE_ACCEPTED ? PV_NEVER : now;
            file_tell(f, now);
        }
    }
    run_all(l, now);
}

void pv_filelink_done(struct pv_filelink *l, uint64_t tag, enum pv_file_why why, uint64_t done,
                      pv_ns now)
{
    struct file *f = by_tag(l, tag);
    if (f == NULL)
        return;
    pv_filelink_progress(l, tag, done, now);
    end_run(l, f, why, now);
    run_all(l, now);
}

/* --- notices out --------------------------------------------------------------------------- */

static bool has_word(const struct pv_filelink *l, const struct file *f)
{
    /* The receiver is not offered a file that the rules keep from it. */
    if (f->e.outgoing && !file_is_final(f) && !file_may_move(l, f))
        return false;
    /* It was the receiver that ended it, so it need not be told. */
    if (f->e.outgoing)
        return f->e.state != PV_FILE_DONE && f->e.state != PV_FILE_REFUSED;
    return f->e.state != PV_FILE_WITHDRAWN;
}

static bool is_of_room(const struct file *f)
{
    return !pv_ct_is_zero(f->e.room, sizeof(f->e.room));
}

static struct pv_file_notice notice_of(const struct file *f)
{
    struct pv_file_notice n = {.kind = PV_FILE_STATE, .state = f->e.state, .why = f->e.why};
    memcpy(n.id, f->e.id, sizeof(n.id));
    if (n.state == PV_FILE_SAVED) { /* whether its user has taken it is nobody else's business */
        n.state = PV_FILE_DONE;
        n.why = PV_FILE_WHY_NONE;
    }
    if (!f->e.outgoing)
        return n;
    n.kind = file_is_final(f) ? PV_FILE_WITHDRAW : PV_FILE_OFFER;
    n.size = f->e.size;
    n.time_ms = f->e.time_ms;
    memcpy(n.name, f->e.name, sizeof(n.name));
    return n;
}

static void send_notice(struct pv_filelink *l, const uint8_t *pk, const struct pv_file_notice *n,
                        pv_ns now)
{
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    if (pv_file_notice_build(n, buf, &len) == PV_OK && l->cfg.send != NULL)
        l->cfg.send(l->cfg.owner, pk, pv_view(buf, len), now);
}

static void say_of(struct pv_filelink *l, const struct file *f, pv_ns now)
{
    struct pv_file_notice n = notice_of(f);
    if (n.kind == PV_FILE_OFFER && is_of_room(f)) {
        n.kind = PV_FILE_ROOM_OFFER;
        memcpy(n.room, f->e.room, sizeof(n.room));
    }
    send_notice(l, f->e.peer, &n, now);
}

/* All that are due. Words first: they are told once, while what the table has is told several
 * times. */
static void send_notices(struct pv_filelink *l, pv_ns now)
{
    while (l->n_words > 0) {
        const struct file_word *w = &l->words[--l->n_words];
        send_notice(l, w->pk, &w->notice, now);
    }
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        if (!f->tell_now)
            continue;
        f->tell_now = false;
        if (has_word(l, f))
            say_of(l, f, now);
    }
}

/* An answer about a file that is not in the table. */
static void say(struct pv_filelink *l, const uint8_t *pk, const uint8_t *id,
                enum pv_file_state state, enum pv_file_why why)
{
    if (l->n_words == MAX_WORDS)
        return;
    struct file_word *w = &l->words[l->n_words++];
    *w = (struct file_word){.notice = {.kind = PV_FILE_STATE, .state = state, .why = why}};
    memcpy(w->pk, pk, sizeof(w->pk));
    memcpy(w->notice.id, id, sizeof(w->notice.id));
}

/* --- notices in ---------------------------------------------------------------------------- */

/* Accepted unasked? */
static bool may_come(const struct pv_filelink_peer *from, const struct pv_file_notice *n, bool held)
{
    return !held && from->auto_max > 0 && n->size <= from->auto_max;
}

static enum pv_file_room room_of(const struct pv_filelink *l, const uint8_t *pk,
                                 const uint8_t *room)
{
    return l->cfg.room == NULL ? PV_FILE_ROOM_STRANGE : l->cfg.room(l->cfg.owner, pk, room);
}

static void set_room(struct pv_filelink *l, struct file *f, const uint8_t *room, bool held)
{
    memmove(f->e.room, room, sizeof(f->e.room));
    f->e.held = held;
    f->claim_until = 0;
    f->changed = true;
    l->dirty = true;
}

/* The room that a repeated offer names. Where it is not known by now the file is for this node
 * alone. */
static void settle_room(struct pv_filelink *l, struct file *f, const uint8_t *claimed,
                        enum pv_file_room room, pv_ns now)
{
    static const uint8_t none[PV_ROOM_ID_LEN];
    if (is_of_room(f))
        return;
    if (room != PV_FILE_ROOM_STRANGE)
        set_room(l, f, claimed, room == PV_FILE_ROOM_CLOSED);
    else if (f->claim_until != 0 && now >= f->claim_until)
        set_room(l, f, none, false);
}

static void new_offer(struct pv_filelink *l, const struct pv_filelink_peer *from,
                      const struct pv_file_notice *n, enum pv_file_room room, pv_ns now)
{
    /* An offer that cannot be remembered is refused: silence would make the sender offer
     * for ever. */
    const bool claims = n->kind == PV_FILE_ROOM_OFFER && room == PV_FILE_ROOM_STRANGE;
    bool yes = may_come(from, n, claims || room == PV_FILE_ROOM_CLOSED);
    if (l->cfg.admits != NULL && !l->cfg.admits(l->cfg.owner, from->pk, false)) {
        say(l, from->pk, n->id, PV_FILE_REFUSED, PV_FILE_WHY_RULES);
        return;
    }
    struct file *f = make_place(l, from->pk, yes, now) ? add_file(l) : NULL;
    if (f == NULL) {
        say(l, from->pk, n->id, PV_FILE_REFUSED, PV_FILE_WHY_TOO_MANY);
        return;
    }
    memcpy(f->e.id, n->id, sizeof(f->e.id));
    memcpy(f->e.peer, from->pk, sizeof(f->e.peer));
    memcpy(f->e.peer_name, from->name, strlen(from->name) + 1);
    memcpy(f->e.name, n->name, sizeof(f->e.name));
    f->e.size = n->size;
    f->e.time_ms = n->time_ms;
    f->e.online = true;
    file_set_addr(f, &from->addr);
    if (room != PV_FILE_ROOM_STRANGE)
        set_room(l, f, n->room, room == PV_FILE_ROOM_CLOSED);
    f->e.held = f->e.held || claims;
    f->claim_until = claims ? now + CLAIM : 0;
    memcpy(f->claim, n->room, sizeof(f->claim));
    f->e.state = yes ? PV_FILE_ACCEPTED : PV_FILE_OFFERED;
    f->fetch_at = yes ? now : PV_NEVER;
    file_tell(f, now);
}

static void take_offer(struct pv_filelink *l, const struct pv_filelink_peer *from,
                       const struct pv_file_notice *n, pv_ns now)
{
    struct file *f = by_id(l, from->pk, n->id, false);
    const enum pv_file_room room =
        n->kind == PV_FILE_ROOM_OFFER ? room_of(l, from->pk, n->room) : PV_FILE_ROOM_STRANGE;
    if (f == NULL) {
        new_offer(l, from, n, room, now);
        return;
    }
    if (n->kind == PV_FILE_ROOM_OFFER)
        settle_room(l, f, n->room, room, now);
    f->e.online = true;
    file_set_addr(f, &from->addr); /* after a restart it is not known */
    f->tell_now = true;            /* once: it asks again when this is lost */
    /* Its daemon knew nothing of it when it was asked, and was told again since. It had given its
     * place away. */
    bool back = f->e.state == PV_FILE_WITHDRAWN && f->e.why == PV_FILE_WHY_GONE;
    if (back && !make_place(l, from->pk, may_come(from, n, f->e.held), now)) {
        say(l, from->pk, n->id, PV_FILE_REFUSED, PV_FILE_WHY_TOO_MANY);
        return;
    }
    if (may_come(from, n, f->e.held) && (back || f->e.state == PV_FILE_OFFERED))
        file_set(l, f, PV_FILE_ACCEPTED, PV_FILE_WHY_NONE, now);
    else if (back)
        file_set(l, f, PV_FILE_OFFERED, PV_FILE_WHY_NONE, now);
    /* A full disk does not empty because the sender speaks: the long retry in fetched() stays. */
    if (f->e.state != PV_FILE_ACCEPTED || f->e.why == PV_FILE_WHY_DISK_FULL)
        return;
    /* It has the file again; a transfer that stands still is one with a daemon that is no more. */
    if (f->tag != 0)
        f->doubt_at = now + STALLED;
    else
        f->fetch_at = now;
}

/* The receiver's word. Nothing it says makes a final state another. */
static void take_state(struct pv_filelink *l, const struct pv_filelink_peer *from,
                       const struct pv_file_notice *n, pv_ns now)
{
    struct file *f = by_id(l, from->pk, n->id, true);
    if (f == NULL || file_is_final(f))
        return;
    f->heard = true;
    if (n->state == PV_FILE_DONE)
        f->e.done = f->e.size;
    if (n->state == PV_FILE_DONE || n->state == PV_FILE_REFUSED || n->state == PV_FILE_FAILED) {
        file_set(l, f, n->state, n->why, now);
        return;
    }
    if (n->state == PV_FILE_ACCEPTED)
        file_set(l, f, PV_FILE_ACCEPTED, f->e.why, now);
    if (f->e.why != PV_FILE_WHY_ABSENT && f->tag == 0)
        file_set_why(l, f, n->why);
    f->tell_now = false; /* it knows */
    f->tell_at = now + REFRESH;
}

static void take_withdrawal(struct pv_filelink *l, const struct pv_filelink_peer *from,
                            const struct pv_file_notice *n, pv_ns now)
{
    struct file *f = by_id(l, from->pk, n->id, false);
    /* While it is being fetched the connection says more: the reason, which this outran. */
    if (f != NULL && !file_is_final(f) && f->tag == 0)
        file_set(l, f, PV_FILE_WITHDRAWN, PV_FILE_WHY_NONE, now);
}

/* An offer that was held is told now, or in its room. One whose sender has left its room, or whose
 * room is not known any more, stays as it is. */
void pv_filelink_rooms_changed(struct pv_filelink *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        const bool claims = f->claim_until != 0;
        const uint8_t *id = claims ? f->claim : f->e.room;
        const enum pv_file_room room =
            f->e.outgoing || file_is_final(f) || !(claims || is_of_room(f))
                ? PV_FILE_ROOM_STRANGE
                : room_of(l, f->e.peer, id);
        const bool held = room == PV_FILE_ROOM_CLOSED;
        if (room != PV_FILE_ROOM_STRANGE && (claims || f->e.held != held))
            set_room(l, f, id, held);
    }
}

void pv_filelink_handle_notice(struct pv_filelink *l, const struct pv_filelink_peer *from,
                               struct pv_view body, pv_ns now)
{
    struct pv_file_notice n;
    int r = pv_file_notice_parse(body, &n);
    if (r != PV_OK) {
        pv_log(l->cfg.log, PV_LOG_DEBUG, "peer=%s what=\"file notice dropped\" why=\"%s\"",
               from->name, pv_strstatus(r));
        return;
    }
    switch (n.kind) {
    case PV_FILE_OFFER:
    case PV_FILE_ROOM_OFFER:
        take_offer(l, from, &n, now);
        break;
    case PV_FILE_STATE:
        take_state(l, from, &n, now);
        break;
    case PV_FILE_WITHDRAW:
        take_withdrawal(l, from, &n, now);
        break;
    }
    run_all(l, now);
}

/* --- kept over a restart --------------------------------------------------------------------- */

/* The table is one value of the store, replaced as a whole. */

enum {
    VERSION = 1,
    FLAG_OUTGOING = 1,
    FLAG_TELL = 2, /* the present state may not be known to the other side */
    FLAG_HELD = 4,
    /* Bytes of the longest entry: all of them fit PV_FILELINK_SAVE_MAX. */
    ENTRY_MAX = 4 + 3 + PV_FILE_ID_LEN + PV_SIGN_PK_LEN + PV_ROOM_ID_LEN + 6 * 8 + 2 + PV_NAME_MAX +
                2 + PV_FILE_NAME_MAX,
};
/* Ours: nobody has had so many files, but a damaged table may say so, and numbers must not run out.
 */
#define NUMBER_MAX (UINT32_MAX / 2)
_Static_assert(7 + PV_FILELINK_MAX * ENTRY_MAX <= PV_FILELINK_SAVE_MAX, "the table fits");

static void save_file(struct pv_writer *w, const struct file *f)
{
    const struct pv_file_entry *e = &f->e;
    pv_put_u32(w, e->number);
    pv_put_u8(w, (uint8_t)((e->outgoing ? FLAG_OUTGOING : 0) |
                           (f->tell_at != PV_NEVER ? FLAG_TELL : 0) |
                           (e->held && is_of_room(f) ? FLAG_HELD : 0)));
    pv_put_u8(w, (uint8_t)e->state);
    /* It follows from the rules of the next life. */
    pv_put_u8(w, (uint8_t)(e->why == PV_FILE_WHY_RULES ? PV_FILE_WHY_NONE : e->why));
    pv_put_bytes(w, e->id, sizeof(e->id));
    pv_put_bytes(w, e->peer, sizeof(e->peer));
    pv_put_bytes(w, e->room, sizeof(e->room)); /* zeros: of no room */
    pv_put_u64(w, e->size);
    pv_put_u64(w, e->done);
    pv_put_u64(w, e->time_ms);
    pv_put_u64(w, f->stamp.dev);
    pv_put_u64(w, f->stamp.ino);
    pv_put_u64(w, f->stamp.mtime_ns);
    pv_put_view16(w, pv_view(e->peer_name, strlen(e->peer_name)));
    pv_put_view16(w, pv_view(e->name, strlen(e->name)));
}

size_t pv_filelink_save(struct pv_filelink *l, uint8_t buf[static PV_FILELINK_SAVE_MAX],
                        uint64_t *ret_save)
{
    struct pv_writer w = pv_writer(buf, PV_FILELINK_SAVE_MAX);
    pv_put_u8(&w, VERSION);
    pv_put_u32(&w, l->last_number);
    pv_put_u16(&w, (uint16_t)l->n);
    for (size_t i = 0; i < l->n; i++)
        save_file(&w, &l->files[i]);
    *ret_save = ++l->n_saves;
    return w.len;
}

static void load_file(struct pv_reader *r, struct file *f)
{
    struct pv_file_entry *e = &f->e;
    *f = (struct file){.handle = -1, .fetch_at = 0, .tell_at = PV_NEVER, .doubt_at = PV_NEVER};
    e->number = pv_get_u32(r);
    uint8_t flags = pv_get_u8(r);
    uint8_t state = pv_get_u8(r);
    uint8_t why = pv_get_u8(r);
    pv_get_copy(r, e->id, sizeof(e->id));
    pv_get_copy(r, e->peer, sizeof(e->peer));
    pv_get_copy(r, e->room, sizeof(e->room));
    e->size = pv_get_u64(r);
    e->done = pv_get_u64(r);
    e->time_ms = pv_get_u64(r);
    f->stamp.dev = pv_get_u64(r);
    f->stamp.ino = pv_get_u64(r);
    f->stamp.mtime_ns = pv_get_u64(r);
    struct pv_view peer_name = pv_get_view16(r, PV_NAME_MAX);
    struct pv_view name = pv_get_view16(r, PV_FILE_NAME_MAX);
    if (r->status != PV_OK)
        return;
    if (e->number == 0 || e->number > NUMBER_MAX || state >= PV_FILE_N_STATES ||
        why >= PV_FILE_N_WHYS || name.len == 0 || e->size > PV_FILE_SIZE_MAX ||
        pv_file_name_clean(name, e->name) != PV_OK || !pv_utf8_is_valid(peer_name)) {
        pv_reader_fail(r, PV_ERR_MALFORMED);
        return;
    }
    memcpy(e->peer_name, peer_name.ptr, peer_name.len);
    e->outgoing = (flags & FLAG_OUTGOING) != 0;
    e->held = !e->outgoing && (flags & FLAG_HELD) != 0;
    e->state = (enum pv_file_state)state;
    e->why = (enum pv_file_why)why;
    if ((flags & FLAG_TELL) != 0)
        f->tell_at = 0;
    if (e->outgoing && !file_is_final(f)) {
        e->why = PV_FILE_WHY_ABSENT; /* the descriptor went with the process */
        f->tell_at = 0;
    }
}

/* Takes the table out of these bytes, up to the first entry that cannot be read: PV_ERR_TRUNCATED,
 * PV_ERR_MALFORMED; PV_ERR_UNSUPPORTED (another version: nothing is taken). */
static int load_table(struct pv_filelink *l, struct pv_view saved)
{
    struct pv_reader r = pv_reader(saved);
    if (saved.len == 0)
        return PV_OK;
    if (pv_get_u8(&r) != VERSION)
        return PV_ERR_UNSUPPORTED;
    uint32_t last = pv_get_u32(&r);
    if (last > NUMBER_MAX)
        return PV_ERR_MALFORMED;
    l->last_number = last;
    uint16_t n = pv_get_u16(&r);
    for (uint16_t i = 0; i < n && i < PV_FILELINK_MAX && r.status == PV_OK; i++) {
        struct file *f = &l->files[l->n];
        load_file(&r, f);
        if (r.status == PV_OK && pv_filelink_find(l, f->e.number) != NULL)
            pv_reader_fail(&r, PV_ERR_MALFORMED);
        if (r.status != PV_OK)
            break;
        if (f->e.number > l->last_number)
            l->last_number = f->e.number;
        l->n++;
        /* The process may have ended before it was removed. */
        if (!f->e.outgoing && file_is_final(f) && f->e.state != PV_FILE_DONE)
            file_drop(l, f);
    }
    return pv_reader_end(&r);
}

/* --- accepted connections -------------------------------------------------------------------- */

/* The place for one more connection of this peer. When all are taken, who has most gives its
 * oldest: a few members, or users of their machines, cannot keep the others out. Those who asked
 * are not here any more. */
static struct file_conn *place_for(struct pv_filelink *l, const uint8_t *pk)
{
    struct file_conn *free_one = NULL, *oldest = NULL, *victim = NULL;
    size_t of_peer = 0, most = 0;
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        struct file_conn *c = &l->conns[i];
        size_t same = 0;
        if (c->sid == 0) {
            free_one = c;
            continue;
        }
        for (size_t k = 0; k < PV_FILELINK_MAX_CONNS; k++)
            same += l->conns[k].sid != 0 && memcmp(l->conns[k].pk, c->pk, sizeof(c->pk)) == 0;
        if (same > most || (same == most && c->deadline < victim->deadline)) {
            most = same;
            victim = c;
        }
        if (memcmp(c->pk, pk, sizeof(c->pk)) != 0)
            continue;
        of_peer++;
        if (oldest == NULL || c->deadline < oldest->deadline)
            oldest = c;
    }
    if (of_peer >= PV_FILELINK_MAX_PEER_CONNS)
        return oldest;
    return free_one != NULL ? free_one : victim;
}

/* The place of an accepted connection is free. */
static void file_conn_end(struct pv_filelink *l, struct file_conn *c)
{
    pv_streams_forget(l->cfg.streams, &c->turn);
    c->sid = 0;
}

/* Ends an accepted connection. */
static void file_close(struct pv_filelink *l, struct file_conn *c)
{
    file_op(l, &(struct pv_fileop){.type = PV_FILEOP_CLOSE, .sid = c->sid});
    file_conn_end(l, c);
}

int pv_filelink_accepted(struct pv_filelink *l, const uint8_t *pk, pv_ns now, uint32_t *ret_sid)
{
    struct file_conn *c = place_for(l, pk);
    if (c->sid != 0)
        file_close(l, c);
    /* The upper bits of a sid name the kind of stream (pv_sid), so numbers begin again
     * below them. */
    l->last_sid = l->last_sid % PV_STREAM_LOCAL_MASK + 1;
    *c = (struct file_conn){
        .sid = l->last_sid, .want = PV_FILE_MAGIC_LEN, .deadline = now + PV_S(PV_FILELINK_ASK_S)};
    memcpy(c->pk, pk, sizeof(c->pk));
    *ret_sid = l->last_sid;
    return PV_OK;
}

static struct file_conn *find_conn(struct pv_filelink *l, uint32_t sid)
{
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++)
        if (sid != 0 && l->conns[i].sid == sid)
            return &l->conns[i];
    return NULL;
}

void pv_filelink_closed(void *link, uint32_t sid)
{
    struct pv_filelink *l = link;
    struct file_conn *c = find_conn(l, sid);
    if (c != NULL)
        file_conn_end(l, c);
}

static void serve(struct pv_filelink *l, struct file *f, uint32_t sid, uint64_t offset, pv_ns now)
{
    struct pv_fileop op = {.type = PV_FILEOP_SERVE,
                           .tag = ++l->last_tag,
                           .sid = sid,
                           .handle = f->handle,
                           .size = f->e.size,
                           .offset = offset,
                           .stamp = f->stamp};
    memcpy(op.id, f->e.id, sizeof(op.id));
    file_cancel(l, f); /* whoever asks again has lost the connection before */
    f->tag = op.tag;
    f->e.running = true;
    f->e.done = offset;
    file_judge(f, offset, now);
    f->heard = true;
    file_set(l, f, PV_FILE_ACCEPTED, PV_FILE_WHY_NONE, now);
    f->tell_now = false; /* it asks: it knows */
    f->tell_at = now + REFRESH;
    f->changed = true;
    file_begin(l, f, &op, now);
}

static void take_get(struct pv_filelink *l, const struct file_conn *c, const uint8_t *get,
                     pv_ns now)
{
    uint8_t id[PV_FILE_ID_LEN];
    uint64_t offset;
    struct pv_fileop op = {.type = PV_FILEOP_ANSWER, .sid = c->sid};
    if (pv_file_get_parse(get, id, &offset) != PV_OK) {
        op.type = PV_FILEOP_CLOSE;
        file_op(l, &op);
        return;
    }
    struct file *f = by_id(l, c->pk, id, true);
    /* The table decides and nothing else: id and peer must both fit, so a member cannot fetch the
     * file of another. */
    if (f != NULL && f->e.state == PV_FILE_FAILED && f->e.why != PV_FILE_WHY_NONE)
        op.why = f->e.why; /* it asks again: the first answer, or our notice, may still be coming */
    else if (f == NULL || file_is_final(f) || offset > f->e.size)
        op.why = PV_FILE_WHY_GONE;
    else if (!file_may_move(l, f))
        op.why = PV_FILE_WHY_RULES;
    else if (f->handle < 0)
        op.why = PV_FILE_WHY_ABSENT;
    else if (f->tag == 0 && !make_room(l, f, now))
        op.why = PV_FILE_WHY_BUSY;
    else
        op.why = PV_FILE_WHY_NONE;
    if (op.why == PV_FILE_WHY_NONE) {
        serve(l, f, c->sid, offset, now);
        return;
    }
    if (op.why == PV_FILE_WHY_ABSENT)
        file_set_why(l, f, op.why);
    file_op(l, &op);
}

/* --- the proof ----------------------------------------------------------------------------- */

/* Is the opener's proof right? With ours true, puts our own proof into mac instead. Without the
 * peer's secret neither can be done, and the connection ends. */
static bool check(const struct pv_filelink *l, const struct file_conn *c, bool ours,
                  uint8_t mac[static PV_PROOF_MAC_LEN])
{
    uint8_t key[PV_PROOF_KEY_LEN];
    if (!pv_overlay_has_key(pair_key(l, c->pk, key)))
        return false;
    const struct pv_proof proof = {.key = key,
                                   .opener = c->pk,
                                   .acceptor = l->cfg.own_pk,
                                   .opener_nonce = c->peer_nonce,
                                   .acceptor_nonce = c->out};
    bool right = ours || pv_proof_is_right(&proof, PV_PROOF_FILE_OPENED, mac);
    if (ours)
        pv_proof_mac(&proof, PV_PROOF_FILE_ACCEPTED, mac);
    pv_wipe(key, sizeof(key));
    return right;
}

/* We prove ourselves first: who asks must not tell the id to somebody who only has our port. */
static bool take_hello(struct pv_filelink *l, struct file_conn *c)
{
    memcpy(c->peer_nonce, c->buf + PV_FILE_MAGIC_LEN, sizeof(c->peer_nonce));
    pv_rng_fill(&l->cfg.rng, c->out, PV_PROOF_NONCE_LEN);
    if (!check(l, c, true, c->out + PV_PROOF_NONCE_LEN))
        return false;
    c->out_len = PV_FILE_CHALLENGE_LEN;
    pv_streams_wake(l->cfg.streams, &c->turn, PV_CHAT_STREAM_FILE, c->sid);
    c->challenged = true;
    c->len = 0;
    c->want = PV_PROOF_MAC_LEN + PV_FILE_GET_LEN;
    return true;
}

/* The bytes are as many as they should be. False: the connection must be closed. */
static bool take_frame(struct pv_filelink *l, struct file_conn *c, pv_ns now)
{
    if (!c->challenged && c->want == PV_FILE_MAGIC_LEN) {
        c->want = pv_file_is_hello(c->buf) ? PV_FILE_HELLO_LEN : PV_FILE_GET_LEN;
        return true;
    }
    if (!c->challenged && c->want == PV_FILE_HELLO_LEN)
        return take_hello(l, c);
    if (!c->challenged && pair_key(l, c->pk, NULL) != PV_OVERLAY_LINK_NONE)
        return false;
    if (c->challenged && !check(l, c, false, c->buf))
        return false;
    /* From here the connection belongs to the operation: the slot is free for the next one. */
    take_get(l, c, c->challenged ? c->buf + PV_PROOF_MAC_LEN : c->buf, now);
    file_conn_end(l, c);
    return true;
}

void pv_filelink_handle_bytes(void *link, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    struct pv_filelink *l = link;
    struct file_conn *c = find_conn(l, sid);
    while (c != NULL && c->sid != 0 && bytes.len > 0) {
        size_t n = c->want - c->len < bytes.len ? c->want - c->len : bytes.len;
        /* Behind a HELLO and behind the request it must wait for the answer. */
        bool early = n < bytes.len && c->want != PV_FILE_MAGIC_LEN;
        memcpy(c->buf + c->len, bytes.ptr, n);
        c->len += n;
        bytes = pv_view(bytes.ptr + n, bytes.len - n);
        if (early || (c->len == c->want && !take_frame(l, c, now))) {
            l->unproven += !early;
            file_close(l, c);
        }
    }
}

struct pv_view pv_filelink_out(void *link, uint32_t sid)
{
    const struct file_conn *c = find_conn(link, sid);
    return c == NULL ? pv_view(NULL, 0) : pv_view(c->out + c->out_done, c->out_len - c->out_done);
}

void pv_filelink_wrote(void *link, uint32_t sid, size_t n)
{
    struct file_conn *c = find_conn(link, sid);
    if (c != NULL)
        c->out_done += n;
}

uint64_t pv_filelink_unproven(const struct pv_filelink *l)
{
    return l->unproven;
}

/* --- requests of users --------------------------------------------------------------------- */

static bool is_same_room(const struct file *f, const struct pv_filelink_offer *o)
{
    return o->room == NULL ? !is_of_room(f) : memcmp(f->e.room, o->room, sizeof(f->e.room)) == 0;
}

/* The stamp tells the file from another of the same name and size, without reading it. In another
 * room, or to the peer alone, it is offered once more: each offer stands where it was made. */
static struct file *find_same(struct pv_filelink *l, const struct pv_filelink_offer *o,
                              const char *name)
{
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        if (f->e.outgoing && !file_is_final(f) && f->e.size == o->size && is_same_room(f, o) &&
            memcmp(f->e.peer, o->peer.pk, sizeof(f->e.peer)) == 0 &&
            memcmp(&f->stamp, &o->stamp, sizeof(f->stamp)) == 0 && strcmp(f->e.name, name) == 0)
            return f;
    }
    return NULL;
}

/* The file that this offer means: that of its id, which it need not name the room of, or one that
 * waits for it. */
static int find_meant(struct pv_filelink *l, const struct pv_filelink_offer *o, const char *name,
                      struct file **ret_file)
{
    *ret_file = o->id == NULL ? NULL : by_id(l, o->peer.pk, o->id, true);
    const struct file *f = *ret_file;
    if (f == NULL)
        *ret_file = find_same(l, o, name);
    else if (f->e.size != o->size || memcmp(&f->stamp, &o->stamp, sizeof(f->stamp)) != 0 ||
             strcmp(f->e.name, name) != 0 || (o->room != NULL && !is_same_room(f, o)))
        return PV_ERR_EXISTS;
    return PV_OK;
}

static void know_peer(struct file *f, const struct pv_filelink_peer *peer)
{
    memcpy(f->e.peer, peer->pk, sizeof(f->e.peer));
    memcpy(f->e.peer_name, peer->name, strlen(peer->name) + 1);
    f->e.online = peer->online;
    file_set_addr(f, &peer->addr);
}

int pv_filelink_offer(struct pv_filelink *l, const struct pv_filelink_offer *o, pv_ns now,
                      uint32_t *ret_number)
{
    char name[PV_FILE_NAME_BUF];
    if (o->size > PV_FILE_SIZE_MAX || o->name.len == 0)
        return PV_ERR_MALFORMED;
    struct file *f = NULL;
    int r = pv_file_name_clean(o->name, name);
    if (r == PV_OK)
        r = find_meant(l, o, name, &f);
    if (r != PV_OK)
        return r;
    if (f == NULL) {
        f = add_file(l);
        if (f == NULL)
            return PV_ERR_LIMIT;
        f->e.outgoing = true;
        f->e.size = o->size;
        f->e.time_ms = o->time_ms;
        f->stamp = o->stamp;
        memcpy(f->e.name, name, sizeof(f->e.name));
        if (o->id != NULL)
            memcpy(f->e.id, o->id, sizeof(f->e.id));
        else
            pv_rng_fill(&l->cfg.rng, f->e.id, sizeof(f->e.id));
        if (o->room != NULL)
            set_room(l, f, o->room, false);
    }
    *ret_number = f->e.number;
    release(l, f);
    f->handle = o->handle;
    if (file_is_final(f)) {
        release(l, f);
        return PV_OK;
    }
    know_peer(f, &o->peer);
    file_set_why(l, f, PV_FILE_WHY_NONE);
    file_tell(f, now); /* the receiver may be waiting for it */
    return PV_OK;
}

/* A file that was accepted already is tried anew at once: the user does not want to wait for the
 * next attempt. */
int pv_filelink_accept(struct pv_filelink *l, uint32_t number, pv_ns now)
{
    struct file *f = by_number(l, number);
    if (f == NULL)
        return PV_ERR_NOT_FOUND;
    if (f->e.outgoing || file_is_final(f))
        return PV_ERR_STATE;
    file_set(l, f, PV_FILE_ACCEPTED, PV_FILE_WHY_NONE, now);
    f->retries = 0;
    f->fetch_at = now;
    run_all(l, now);
    return PV_OK;
}

int pv_filelink_stop(struct pv_filelink *l, uint32_t number, pv_ns now)
{
    struct file *f = by_number(l, number);
    if (f == NULL)
        return PV_ERR_NOT_FOUND;
    /* A received file that nobody has saved can still be stopped: its bytes are deleted as those of
     * one that was saved, and the sender still hears that it arrived. */
    bool unsaved = !f->e.outgoing && f->e.state == PV_FILE_DONE;
    if (file_is_final(f) && !unsaved)
        return PV_ERR_STATE;
    file_set(l, f,
             unsaved         ? PV_FILE_SAVED
             : f->e.outgoing ? PV_FILE_WITHDRAWN
                             : PV_FILE_REFUSED,
             PV_FILE_WHY_STOPPED, now);
    run_all(l, now);
    return PV_OK;
}

int pv_filelink_saved(struct pv_filelink *l, uint32_t number, pv_ns now)
{
    struct file *f = by_number(l, number);
    if (f == NULL)
        return PV_ERR_NOT_FOUND;
    if (f->e.outgoing || f->e.state != PV_FILE_DONE)
        return PV_ERR_STATE;
    file_set(l, f, PV_FILE_SAVED, PV_FILE_WHY_NONE, now);
    return PV_OK;
}

const struct pv_file_entry *pv_filelink_at(const struct pv_filelink *l, size_t i)
{
    return i < l->n ? &l->files[i].e : NULL;
}

const struct pv_file_entry *pv_filelink_find(const struct pv_filelink *l, uint32_t number)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->files[i].e.number == number)
            return &l->files[i].e;
    return NULL;
}

/* --- peers --------------------------------------------------------------------------------- */

void pv_filelink_set_peer(struct pv_filelink *l, const struct pv_filelink_peer *peer, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        if (memcmp(f->e.peer, peer->pk, sizeof(f->e.peer)) != 0)
            continue;
        bool came = peer->online && !f->e.online;
        know_peer(f, peer);
        if (!came)
            continue;
        /* Of one that is over that is no news. */
        f->changed = f->changed || !file_is_final(f);
        if (!file_is_final(f) || f->tell_at != PV_NEVER)
            file_tell(f, now);
        /* A peer that comes back is asked at once: the waiting was for its absence. */
        if (f->e.state == PV_FILE_ACCEPTED && !f->e.outgoing) {
            f->retries = 0;
            f->fetch_at = now;
        }
    }
    run_all(l, now);
}

/* Its files fail without a word to it: a node that is no member any more is told nothing. */
void pv_filelink_peer_gone(struct pv_filelink *l, const uint8_t *pk, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        if (memcmp(f->e.peer, pk, sizeof(f->e.peer)) != 0)
            continue;
        f->e.online = false;
        if (!file_is_final(f))
            file_set(l, f, PV_FILE_FAILED, PV_FILE_WHY_GONE, now);
        f->tell_at = PV_NEVER;
        f->tell_now = false;
    }
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        struct file_conn *c = &l->conns[i];
        if (c->sid != 0 && memcmp(c->pk, pk, sizeof(c->pk)) == 0)
            file_close(l, c);
    }
}

/* --- time ---------------------------------------------------------------------------------- */

/* Has the transfer under way moved since the sender offered again? */
static void doubt(struct pv_filelink *l, struct file *f, pv_ns now)
{
    if (f->doubt_at > now)
        return;
    /* Cancelling clears the tag, so a late result of the old transfer finds no file. */
    if (f->tag != 0 && f->moved_at + STALLED <= f->doubt_at) {
        file_cancel(l, f);
        f->fetch_at = now;
    }
    f->doubt_at = PV_NEVER;
}

/* A connection that does not say what it wants loses its place, of which there are few. */
void pv_filelink_handle_timeout(struct pv_filelink *l, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        doubt(l, f, now);
        if (f->e.online && f->tell_at <= now)
            tell(f, now);
    }
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        struct file_conn *c = &l->conns[i];
        if (c->sid != 0 && c->deadline <= now)
            file_close(l, c);
    }
    run_all(l, now);
}

pv_ns pv_filelink_next_timeout(const struct pv_filelink *l)
{
    pv_ns next = l->dirty ? l->save_at : PV_NEVER;
    for (size_t i = 0; i < l->n; i++) {
        const struct file *f = &l->files[i];
        next = pv_min_ns(next, f->doubt_at);
        /* Files of a peer that is away need no timer: pv_filelink_set_peer() wakes them. */
        if (!f->e.online)
            continue;
        next = pv_min_ns(next, f->tell_at);
        /* Without room for one more transfer the time would be in the past and wake the daemon over
         * and over. The end of a transfer runs the queue, or a look at how fast they are. */
        if (waits(l, f) && f->fetch_at < next) {
            pv_ns room_at = room_from(l, f);
            next = pv_min_ns(next, f->fetch_at > room_at ? f->fetch_at : room_at);
        }
    }
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++)
        if (l->conns[i].sid != 0)
            next = pv_min_ns(next, l->conns[i].deadline);
    return next;
}

/* --- life ---------------------------------------------------------------------------------- */

/* A list that cannot be read does not stop the daemon: new files move all the same, and the log
 * says what happened to the old ones. */
int pv_filelink_new(struct pv_filelink **ret_link, const struct pv_filelink_config *cfg,
                    struct pv_view saved)
{
    struct pv_filelink *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return PV_ERR_NOMEM;
    l->cfg = *cfg;
    int r = load_table(l, saved);
    if (r != PV_OK)
        pv_log(l->cfg.log, PV_LOG_WARN, "what=\"list of files not read\" why=\"%s\"",
               pv_strstatus(r));
    *ret_link = l;
    return PV_OK;
}

struct pv_filelink *pv_filelink_free(struct pv_filelink *l)
{
    for (size_t i = 0; l != NULL && i < PV_FILELINK_MAX_CONNS; i++)
        file_conn_end(l, &l->conns[i]);
    free(l);
    return NULL;
}

void pv_filelink_stop_all(struct pv_filelink *l)
{
    for (size_t i = 0; i < l->n; i++)
        /* States stay as they are: the next life of the daemon goes on from the saved table. */
        release(l, &l->files[i]);
}

bool pv_filelink_take_dirty(struct pv_filelink *l, pv_ns now)
{
    if (!l->dirty || now < l->save_at)
        return false;
    /* Peers cause changes: without a limit one of them could make us write the table
     * without end. */
    if (!pv_bucket_take(&l->saves, SAVE_RATE, SAVE_BURST, 1, now)) {
        l->save_at = now + PV_MS(SAVE_LATER_MS);
        return false;
    }
    l->dirty = false;
    return true;
}

void pv_filelink_kept(struct pv_filelink *l, uint64_t save, pv_ns now)
{
    if (save > l->kept)
        l->kept = save;
    run_all(l, now);
}

void pv_filelink_speak(struct pv_filelink *l, pv_ns now)
{
    send_notices(l, now);
    for (size_t i = 0; i < l->n; i++) {
        struct file *f = &l->files[i];
        if (f->changed && l->cfg.tell != NULL)
            l->cfg.tell(l->cfg.owner, f->e.number, now);
        f->changed = false;
    }
}
