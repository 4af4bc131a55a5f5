/* SPDX-License-Identifier: MIT */
/* filelink_places.c - whose file gets one of the places that incoming files have, and which may
 * move. Each peer keeps its first offer before anybody has a second one, so no number of offers of
 * some members keeps the others out. A file that the user or a rule decided on gives way to
 * nobody. */
#include <string.h>

#include "daemon/core/files/filelink_int.h"

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
