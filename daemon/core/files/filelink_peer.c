/* SPDX-License-Identifier: MIT */
/* filelink_peer.c - notices both ways, and the transfers that follow. */
#include <string.h>

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

/* Words first: they are told once, while what the table has is told several times. */
int pv_filelink_poll_transmit(struct pv_filelink *l, struct pv_filelink_transmit *ret_tx)
{
    if (l->n_words > 0) {
        const struct pv_file_word *w = &l->words[--l->n_words];
        memcpy(ret_tx->pk, w->pk, sizeof(ret_tx->pk));
        return pv_file_notice_build(&w->notice, ret_tx->buf, &ret_tx->len);
    }
    for (size_t i = 0; i < l->n; i++) {
        struct pv_file *f = &l->files[i];
        if (!f->tell_now)
            continue;
        f->tell_now = false;
        const struct pv_file_notice n = notice_of(f);
        memcpy(ret_tx->pk, f->e.peer, sizeof(ret_tx->pk));
        if (has_word(l, f) && pv_file_notice_build(&n, ret_tx->buf, &ret_tx->len) == PV_OK)
            return PV_OK;
    }
    return PV_ERR_AGAIN;
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
    pv_file_op(l, &op);
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
void pv_filelink_done(struct pv_filelink *l, uint64_t tag, enum pv_file_why why, uint64_t done,
                      pv_ns now)
{
    struct pv_file *f = by_tag(l, tag);
    if (f == NULL)
        return;
    pv_filelink_progress(l, tag, done, now);
    f->tag = 0;
    f->e.running = false;
    f->changed = true;
    l->dirty = true;
    if (f->e.outgoing)
        served(l, f, why, now);
    else
        fetched(l, f, why, now);
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
