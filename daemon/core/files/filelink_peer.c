/* SPDX-License-Identifier: MIT */
/* filelink_peer.c - notices both ways, and the transfers that follow. */
#include <string.h>

#include "base/bytes.h"
#include "daemon/core/files/filelink_int.h"

#define STALLED PV_S(2)

static pv_ns backoff(unsigned tries)
{
    pv_ns s = PV_FILELINK_RETRY_MIN_S;
    for (unsigned i = 0; i < tries && s < PV_FILELINK_RETRY_MAX_S; i++)
        s *= 2;
    return PV_S(s < PV_FILELINK_RETRY_MAX_S ? s : PV_FILELINK_RETRY_MAX_S);
}

/* --- notices out --------------------------------------------------------------------------- */

static void tell(struct pv_file *f, pv_ns now)
{
    f->tell_now = true;
    f->tells++;
    if (f->e.outgoing && !pv_file_is_final(f))
        f->tell_at = now + (f->heard ? PV_FILELINK_REFRESH : backoff(f->tells - 1));
    else
        /* The other word is told a few times only: nobody answers it, so there is no sign that it
         * arrived. */
        f->tell_at = f->tells < PV_FILELINK_TELLS ? now + backoff(f->tells - 1) : PV_NEVER;
}

void pv_file_tell(struct pv_file *f, pv_ns now)
{
    f->tells = 0;
    f->tell_at = now;
    if (f->e.online)
        tell(f, now);
}

bool pv_file_may_move(const struct pv_filelink *l, const struct pv_file *f)
{
    return l->admits == NULL || l->admits(l->owner, f->e.peer, f->e.outgoing);
}

static bool has_word(const struct pv_filelink *l, const struct pv_file *f)
{
    /* An older receiver would take it. */
    if (f->e.outgoing && !pv_file_is_final(f) && !pv_file_may_move(l, f))
        return false;
    /* It was the receiver that ended it, so it need not be told. */
    if (f->e.outgoing)
        return f->e.state != PV_FILE_DONE && f->e.state != PV_FILE_REFUSED;
    return f->e.state != PV_FILE_WITHDRAWN;
}

static struct pv_file_notice notice_of(const struct pv_file *f)
{
    struct pv_file_notice n = {.kind = PV_FILE_STATE, .state = f->e.state, .why = f->e.why};
    memcpy(n.id, f->e.id, sizeof(n.id));
    if (n.state == PV_FILE_SAVED) /* whether its user has taken it is nobody else's business */
        n.state = PV_FILE_DONE;
    if (!f->e.outgoing)
        return n;
    n.kind = pv_file_is_final(f) ? PV_FILE_WITHDRAW : PV_FILE_OFFER;
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
    if (pv_file_notice_build(n, buf, &len) == PV_OK && l->send != NULL)
        l->send(l->owner, pk, pv_view(buf, len), now);
}

/* Words first: they are told once, while what the table has is told several times. */
void pv_filelink_send_notices(struct pv_filelink *l, pv_ns now)
{
    while (l->n_words > 0) {
        const struct pv_file_word *w = &l->words[--l->n_words];
        send_notice(l, w->pk, &w->notice, now);
    }
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        if (!f->tell_now)
            continue;
        f->tell_now = false;
        const struct pv_file_notice n = notice_of(f);
        if (has_word(l, f))
            send_notice(l, f->e.peer, &n, now);
    }
}

/* An answer about a file that is not in the table. */
static void say(struct pv_filelink *l, const uint8_t *pk, const uint8_t *id,
                enum pv_file_state state, enum pv_file_why why)
{
    if (l->n_words == PV_FILELINK_MAX_WORDS)
        return;
    struct pv_file_word *w = &l->words[l->n_words++];
    *w = (struct pv_file_word){.notice = {.kind = PV_FILE_STATE, .state = state, .why = why}};
    memcpy(w->pk, pk, sizeof(w->pk));
    memcpy(w->notice.id, id, sizeof(w->notice.id));
}

/* --- notices in ---------------------------------------------------------------------------- */

/* Accepted unasked? */
static bool may_come(const struct pv_filelink_peer *from, const struct pv_file_notice *n)
{
    return from->auto_max > 0 && n->size <= from->auto_max;
}

static void new_offer(struct pv_filelink *l, const struct pv_filelink_peer *from,
                      const struct pv_file_notice *n, pv_ns now)
{
    /* An offer that cannot be remembered is refused: silence would make the sender offer
     * for ever. */
    bool yes = may_come(from, n);
    if (l->admits != NULL && !l->admits(l->owner, from->pk, false)) {
        say(l, from->pk, n->id, PV_FILE_REFUSED, PV_FILE_WHY_RULES);
        return;
    }
    struct pv_file *f = pv_filelink_make_place(l, from->pk, yes, now) ? pv_filelink_add(l) : NULL;
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
    pv_file_set_addr(f, &from->addr);
    f->e.state = yes ? PV_FILE_ACCEPTED : PV_FILE_OFFERED;
    f->fetch_at = yes ? now : PV_NEVER;
    pv_file_tell(f, now);
}

static void take_offer(struct pv_filelink *l, const struct pv_filelink_peer *from,
                       const struct pv_file_notice *n, pv_ns now)
{
    struct pv_file *f = pv_filelink_by_id(l, from->pk, n->id, false);
    if (f == NULL) {
        new_offer(l, from, n, now);
        return;
    }
    f->e.online = true;
    pv_file_set_addr(f, &from->addr); /* after a restart it is not known */
    f->tell_now = true;               /* once: it asks again when this is lost */
    /* Its daemon knew nothing of it when it was asked, and was told again since. It had given its
     * place away. */
    bool back = f->e.state == PV_FILE_WITHDRAWN && f->e.why == PV_FILE_WHY_GONE;
    if (back && !pv_filelink_make_place(l, from->pk, may_come(from, n), now)) {
        say(l, from->pk, n->id, PV_FILE_REFUSED, PV_FILE_WHY_TOO_MANY);
        return;
    }
    if (may_come(from, n) && (back || f->e.state == PV_FILE_OFFERED))
        pv_file_set(l, f, PV_FILE_ACCEPTED, PV_FILE_WHY_NONE, now);
    else if (back)
        pv_file_set(l, f, PV_FILE_OFFERED, PV_FILE_WHY_NONE, now);
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
    struct pv_file *f = pv_filelink_by_id(l, from->pk, n->id, true);
    if (f == NULL || pv_file_is_final(f))
        return;
    f->heard = true;
    if (n->state == PV_FILE_DONE)
        f->e.done = f->e.size;
    if (n->state == PV_FILE_DONE || n->state == PV_FILE_REFUSED || n->state == PV_FILE_FAILED) {
        pv_file_set(l, f, n->state, n->why, now);
        return;
    }
    if (n->state == PV_FILE_ACCEPTED)
        pv_file_set(l, f, PV_FILE_ACCEPTED, f->e.why, now);
    if (f->e.why != PV_FILE_WHY_ABSENT && f->tag == 0)
        pv_file_set_why(l, f, n->why);
    f->tell_now = false; /* it knows */
    f->tell_at = now + PV_FILELINK_REFRESH;
}

static void take_withdrawal(struct pv_filelink *l, const struct pv_filelink_peer *from,
                            const struct pv_file_notice *n, pv_ns now)
{
    struct pv_file *f = pv_filelink_by_id(l, from->pk, n->id, false);
    /* While it is being fetched the connection says more: the reason, which this outran. */
    if (f != NULL && !pv_file_is_final(f) && f->tag == 0)
        pv_file_set(l, f, PV_FILE_WITHDRAWN, PV_FILE_WHY_NONE, now);
}

void pv_filelink_handle_notice(struct pv_filelink *l, const struct pv_filelink_peer *from,
                               struct pv_view body, pv_ns now)
{
    struct pv_file_notice n;
    int r = pv_file_notice_parse(body, &n);
    if (r != PV_OK) {
        pv_log(l->log, PV_LOG_DEBUG, "peer=%s what=\"file notice dropped\" why=\"%s\"", from->name,
               pv_strstatus(r));
        return;
    }
    switch (n.kind) {
    case PV_FILE_OFFER:
        take_offer(l, from, &n, now);
        break;
    case PV_FILE_STATE:
        take_state(l, from, &n, now);
        break;
    case PV_FILE_WITHDRAW:
        take_withdrawal(l, from, &n, now);
        break;
    }
    pv_filelink_run(l, now);
}

/* --- transfers ----------------------------------------------------------------------------- */

/* Each run has a tag of its own, so that what is reported late of an earlier run finds no file. */
static void fetch(struct pv_filelink *l, struct pv_file *f, pv_ns now)
{
    struct pv_fileop op = {.type = PV_FILEOP_FETCH,
                           .tag = ++l->last_tag,
                           .number = f->e.number,
                           .addr = f->addr,
                           .size = f->e.size};
    memcpy(op.id, f->e.id, sizeof(op.id));
    f->tag = op.tag;
    f->moved_at = now;
    pv_file_judge(f, f->e.done, now);
    f->e.running = true;
    f->fetch_at = PV_NEVER;
    f->changed = true;
    pv_file_begin(l, f, &op, now);
}

/* Is it to be fetched when its time has come? Not before its sender's daemon can be told from
 * another program with its address: the key comes in-band, and pv_filelink_set_peer() wakes it. And
 * not before the disk has it, of which pv_filelink_kept() tells. */
static bool waits(const struct pv_filelink *l, const struct pv_file *f)
{
    enum pv_linkkeys_state state = pv_linkkeys_state(l->keys, f->e.peer);
    return !f->e.outgoing && f->e.state == PV_FILE_ACCEPTED && f->tag == 0 && f->save <= l->kept &&
           pv_file_may_move(l, f) && (state == PV_LINKKEYS_NONE || state == PV_LINKKEYS_CONFIRMED);
}

void pv_filelink_run(struct pv_filelink *l, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        if (waits(l, f) && f->e.online && f->fetch_at <= now && pv_filelink_make_room(l, f, now))
            fetch(l, f, now);
    }
}

void pv_filelink_rules_changed(struct pv_filelink *l, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        if (pv_file_is_final(f))
            continue;
        if (!pv_file_may_move(l, f)) {
            pv_file_cancel(l, f);
            pv_file_set_why(l, f, PV_FILE_WHY_RULES);
        } else if (f->e.why == PV_FILE_WHY_RULES) {
            pv_file_set_why(l, f, PV_FILE_WHY_NONE);
            f->fetch_at = f->e.outgoing || f->e.state != PV_FILE_ACCEPTED ? PV_NEVER : now;
            pv_file_tell(f, now);
        }
    }
    pv_filelink_run(l, now);
}

static struct pv_file *by_tag(struct pv_filelink *l, uint64_t tag)
{
    for (size_t i = 0; i < l->n; i++)
        if (tag != 0 && l->files[i].tag == tag)
            return &l->files[i];
    return NULL;
}

void pv_filelink_progress(struct pv_filelink *l, uint64_t tag, uint64_t done, pv_ns now)
{
    struct pv_file *f = by_tag(l, tag);
    if (f == NULL || f->e.done == done)
        return;
    f->e.done = done;
    f->moved_at = now;
    /* Progress proves the path: the next failure waits the shortest time again. */
    f->retries = 0;
}

/* The sender's view of a run that is over. An interruption ends nothing: the receiver asks again,
 * and says itself what has become of the file. */
static void served(struct pv_filelink *l, struct pv_file *f, enum pv_file_why why, pv_ns now)
{
    if (why == PV_FILE_WHY_NONE)
        pv_file_set(l, f, PV_FILE_DONE, why, now);
    else if (why == PV_FILE_WHY_CHANGED || why == PV_FILE_WHY_UNREADABLE)
        pv_file_set(l, f, PV_FILE_FAILED, why, now);
    else if (why != PV_FILE_WHY_STOPPED) /* what a user stopped is told by a notice */
        pv_file_set_why(l, f, why);
}

static void fetched(struct pv_filelink *l, struct pv_file *f, enum pv_file_why why, pv_ns now)
{
    /* The wait is set before the reason is looked at: every failure that does not end the file is
     * retried. */
    f->fetch_at = now + backoff(f->retries++);
    switch (why) {
    case PV_FILE_WHY_NONE:
        pv_file_set(l, f, PV_FILE_DONE, why, now);
        return;
    case PV_FILE_WHY_GONE:
        pv_file_set(l, f, PV_FILE_WITHDRAWN, why, now);
        return;
    case PV_FILE_WHY_CHANGED:
    case PV_FILE_WHY_UNREADABLE:
        pv_file_set(l, f, PV_FILE_FAILED, why, now);
        return;
    case PV_FILE_WHY_CORRUPT:
        /* A wrong hash may be the fault of a piece that was fetched before. A sender that is always
         * wrong must not keep us fetching. */
        if (++f->corrupt >= PV_FILELINK_MAX_CORRUPT) {
            pv_file_set(l, f, PV_FILE_FAILED, why, now);
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
    pv_file_set_why(l, f, why);
}

/* The end of a run is not the end of the file: served() and fetched() decide whether there is
 * another one. */
static void end_run(struct pv_filelink *l, struct pv_file *f, enum pv_file_why why, pv_ns now)
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

void pv_file_begin(struct pv_filelink *l, struct pv_file *f, const struct pv_fileop *op, pv_ns now)
{
    if (pv_fifo_put(l->ops, op, sizeof(*op)) != PV_OK)
        end_run(l, f, PV_FILE_WHY_BUSY, now);
}

void pv_filelink_done(struct pv_filelink *l, uint64_t tag, enum pv_file_why why, uint64_t done,
                      pv_ns now)
{
    struct pv_file *f = by_tag(l, tag);
    if (f == NULL)
        return;
    pv_filelink_progress(l, tag, done, now);
    end_run(l, f, why, now);
    pv_filelink_run(l, now);
}

/* --- time ---------------------------------------------------------------------------------- */

/* Has the transfer under way moved since the sender offered again? */
static void doubt(struct pv_filelink *l, struct pv_file *f, pv_ns now)
{
    if (f->doubt_at > now)
        return;
    /* Cancelling clears the tag, so a late result of the old transfer finds no file. */
    if (f->tag != 0 && f->moved_at + STALLED <= f->doubt_at) {
        pv_file_cancel(l, f);
        f->fetch_at = now;
    }
    f->doubt_at = PV_NEVER;
}

/* A connection that does not say what it wants loses its place, of which there are few. */
void pv_filelink_handle_timeout(struct pv_filelink *l, pv_ns now)
{
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        doubt(l, f, now);
        if (f->e.online && f->tell_at <= now)
            tell(f, now);
    }
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        struct pv_file_conn *c = &l->conns[i];
        if (c->sid != 0 && c->deadline <= now)
            pv_file_close(l, c);
    }
    pv_filelink_run(l, now);
}

pv_ns pv_filelink_next_timeout(const struct pv_filelink *l)
{
    pv_ns next = l->dirty ? l->save_at : PV_NEVER;
    for (size_t i = 0; i < l->n; i++) {
        const struct pv_file *f = &l->files[i];
        next = pv_min_ns(next, f->doubt_at);
        /* Files of a peer that is away need no timer: pv_filelink_set_peer() wakes them. */
        if (!f->e.online)
            continue;
        next = pv_min_ns(next, f->tell_at);
        /* Without room for one more transfer the time would be in the past and wake the daemon over
         * and over. The end of a transfer runs the queue, or a look at how fast they are. */
        if (waits(l, f) && f->fetch_at < next) {
            pv_ns room_at = pv_filelink_room_at(l, f);
            next = pv_min_ns(next, f->fetch_at > room_at ? f->fetch_at : room_at);
        }
    }
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++)
        if (l->conns[i].sid != 0)
            next = pv_min_ns(next, l->conns[i].deadline);
    return next;
}

/* --- places ---------------------------------------------------------------------------------- */

/* whose file gets one of the places that incoming files have, and which may
 * move. Each peer keeps its first offer before anybody has a second one, so no number of offers of
 * some members keeps the others out. A file that the user or a rule decided on gives way to
 * nobody. */

/* The newest undecided offer of the peer that has most of them, and how many; NULL: there is none.
 * Of peers with the same number it is the one whose newest is newest. Counts by peer, so the walk
 * costs a comparison for each offer and peer: a member may cause it with every notice. */
static struct pv_file *newest_of_most(struct pv_filelink *l, size_t *ret_n)
{
    struct {
        struct pv_file *newest;
        size_t n;
    } peers[PV_FILELINK_MAX], best = {.n = 0};
    size_t n_peers = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
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

/* The peer whose offer gives way hears at once why. It has no fewer than the other one afterwards,
 * so two peers never push each other out in turns. A table of an older version may hold more than
 * the limit: none of that is lost, and one place that becomes free is not enough. */
bool pv_filelink_make_place(struct pv_filelink *l, const uint8_t *pk, bool decided, pv_ns now)
{
    size_t living = 0, incoming = 0, of_peer = 0, waiting = 0, most;
    for (size_t i = 0; i < l->n; i++) {
        const struct pv_file *f = &l->files[i];
        if (pv_file_is_spent(f))
            continue;
        bool same = !f->e.outgoing && memcmp(f->e.peer, pk, sizeof(f->e.peer)) == 0;
        living++;
        incoming += !f->e.outgoing;
        of_peer += same;
        waiting += same && f->e.state == PV_FILE_OFFERED;
    }
    if (of_peer >= PV_FILELINK_MAX_OF_PEER || (!decided && waiting >= PV_FILELINK_MAX_OFFERS) ||
        incoming > PV_FILELINK_MAX_INCOMING)
        return false;
    if (incoming < PV_FILELINK_MAX_INCOMING && living < PV_FILELINK_MAX)
        return true;
    struct pv_file *victim = newest_of_most(l, &most);
    if (victim == NULL || most < waiting + 2)
        return false;
    pv_file_set(l, victim, PV_FILE_REFUSED, PV_FILE_WHY_TOO_MANY, now);
    return true;
}

/* --- transfers ----------------------------------------------------------------------------- */

void pv_file_judge(struct pv_file *f, uint64_t done, pv_ns now)
{
    f->judged_at = now;
    f->judged = done;
}

/* Did it bring too little since it was looked at last? One that was fast enough has its time anew.
 */
static bool is_slow(struct pv_file *f, pv_ns now)
{
    if (now < f->judged_at + PV_S(PV_FILELINK_LEAST_S))
        return false;
    bool slow = f->e.done < f->judged + PV_FILELINK_LEAST_BYTES;
    pv_file_judge(f, f->e.done, now);
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
static struct pv_file *who_gives_way(struct pv_filelink *l, const struct pv_file *f, pv_ns now)
{
    struct pv_file *newest = NULL;
    size_t most = 1;
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *other = &l->files[i];
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

static size_t count_one_way(const struct pv_filelink *l, const struct pv_file *f)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct pv_file *other = &l->files[i];
        n += other->tag != 0 && other->e.outgoing == f->e.outgoing &&
             memcmp(other->e.peer, f->e.peer, sizeof(f->e.peer)) == 0;
    }
    return n;
}

bool pv_filelink_make_room(struct pv_filelink *l, const struct pv_file *f, pv_ns now)
{
    if (pv_filelink_has_room(l, f))
        return true;
    if (count_one_way(l, f) >= PV_FILELINK_MAX_PEER_RUNNING)
        return false;
    struct pv_file *victim = who_gives_way(l, f, now);
    if (victim == NULL)
        return false;
    pv_file_cancel(l, victim);
    pv_file_set_why(l, victim, PV_FILE_WHY_BUSY);
    victim->changed = true;
    if (!victim->e.outgoing)
        victim->fetch_at = now + PV_S(PV_FILELINK_RETRY_MAX_S);
    return true;
}

pv_ns pv_filelink_room_at(const struct pv_filelink *l, const struct pv_file *f)
{
    pv_ns at = PV_NEVER;
    if (pv_filelink_has_room(l, f))
        return 0;
    if (count_one_way(l, f) >= PV_FILELINK_MAX_PEER_RUNNING)
        return PV_NEVER;
    for (size_t i = 0; i < l->n; i++) {
        if (l->files[i].tag != 0)
            at = pv_min_ns(at, l->files[i].judged_at + PV_S(PV_FILELINK_LEAST_S));
    }
    return at;
}

/* --- kept over a restart --------------------------------------------------------------------- */

/* the table as bytes: one value of the store, replaced as a whole. */

enum {
    VERSION = 1,
    FLAG_OUTGOING = 1,
    FLAG_TELL = 2, /* the present state may not be known to the other side */
    /* Bytes of the longest entry: all of them fit PV_FILELINK_SAVE_MAX. */
    ENTRY_MAX =
        4 + 3 + PV_FILE_ID_LEN + PV_SIGN_PK_LEN + 6 * 8 + 2 + PV_NAME_MAX + 2 + PV_FILE_NAME_MAX,
};
/* Ours: nobody has had so many files, but a damaged table may say so, and numbers must not run out.
 */
#define NUMBER_MAX (UINT32_MAX / 2)
_Static_assert(7 + PV_FILELINK_MAX * ENTRY_MAX <= PV_FILELINK_SAVE_MAX, "the table fits");

static void save_file(struct pv_writer *w, const struct pv_file *f)
{
    const struct pv_file_entry *e = &f->e;
    pv_put_u32(w, e->number);
    pv_put_u8(
        w, (uint8_t)((e->outgoing ? FLAG_OUTGOING : 0) | (f->tell_at != PV_NEVER ? FLAG_TELL : 0)));
    pv_put_u8(w, (uint8_t)e->state);
    /* It follows from the rules of the next life, and older versions do not know it. */
    pv_put_u8(w, (uint8_t)(e->why == PV_FILE_WHY_RULES ? PV_FILE_WHY_NONE : e->why));
    pv_put_bytes(w, e->id, sizeof(e->id));
    pv_put_bytes(w, e->peer, sizeof(e->peer));
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

static void load_file(struct pv_reader *r, struct pv_file *f)
{
    struct pv_file_entry *e = &f->e;
    *f = (struct pv_file){.handle = -1, .fetch_at = 0, .tell_at = PV_NEVER, .doubt_at = PV_NEVER};
    e->number = pv_get_u32(r);
    uint8_t flags = pv_get_u8(r);
    uint8_t state = pv_get_u8(r);
    uint8_t why = pv_get_u8(r);
    pv_get_copy(r, e->id, sizeof(e->id));
    pv_get_copy(r, e->peer, sizeof(e->peer));
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
    e->state = (enum pv_file_state)state;
    e->why = (enum pv_file_why)why;
    if ((flags & FLAG_TELL) != 0)
        f->tell_at = 0;
    if (e->outgoing && !pv_file_is_final(f)) {
        e->why = PV_FILE_WHY_ABSENT; /* the descriptor went with the process */
        f->tell_at = 0;
    }
}

int pv_filelink_load(struct pv_filelink *l, struct pv_view saved)
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
        struct pv_file *f = &l->files[l->n];
        load_file(&r, f);
        if (r.status == PV_OK && pv_filelink_find(l, f->e.number) != NULL)
            pv_reader_fail(&r, PV_ERR_MALFORMED);
        if (r.status != PV_OK)
            break;
        if (f->e.number > l->last_number)
            l->last_number = f->e.number;
        l->n++;
        /* The process may have ended before it was removed. */
        if (!f->e.outgoing && pv_file_is_final(f) && f->e.state != PV_FILE_DONE)
            pv_file_drop(l, f);
    }
    return pv_reader_end(&r);
}
