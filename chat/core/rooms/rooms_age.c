/* SPDX-License-Identifier: MIT */
/*
 * rooms_age.c - texts that are deleted: here, when nobody lacks them any more, and at others, whose
 * logs then have a beginning that cannot be fetched (adr/0023).
 */
#include <stdlib.h>
#include <string.h>

#include "chat/core/rooms/rooms_int.h"

enum {
    GAP_S = 600,    /* ours: somebody who still has what others deleted may come back meanwhile */
    OWN_GAP_S = 10, /* ours: the same for our own log, which we must know before we speak */
    CLAIM_S = 60, /* ours: within this who says that our own log is longer must show a text of it */
};

/* --- what others deleted ------------------------------------------------------------------- */

static bool is_up(const struct pv_rooms *rs, const struct pv_rooms_node *m)
{
    const struct pv_rooms_peer *p = pv_rooms_peer_find(rs, m->pk);
    return p != NULL && p->up;
}

/* Is there nobody within reach who has the author's next text, although there are later ones? Then
 * skip_to is set after a while. True when somebody says that there is more. */
static bool look_for_gap(struct pv_rooms *rs, struct pv_rooms_room *room, size_t author, pv_ns now)
{
    struct pv_rooms_node *a = room->members[author];
    uint64_t lowest = UINT64_MAX;
    bool more = false;
    a->skip_to = 0;
    for (size_t i = 0; i < room->n_members; i++) {
        const struct pv_rooms_node *m = room->members[i];
        if (m == room->self || m->known[author] <= a->taken || !is_up(rs, m))
            continue;
        more = true;
        if (m->gone[author] <= a->taken) {
            a->gap_since = 0;
            return true;
        }
        /* A text behind the gap proves that its author wrote those before it. An author without one
         * could have made the number up. */
        if (m->known[author] > m->gone[author] && m->gone[author] < lowest)
            lowest = m->gone[author];
    }
    if (lowest == UINT64_MAX)
        return more;
    a->gap_since = a->gap_since == 0 ? now : a->gap_since;
    if (now - a->gap_since >= PV_S(a == room->self ? OWN_GAP_S : GAP_S))
        a->skip_to = lowest;
    return true;
}

/* Can m be asked for more of the author's log, by what it says? */
static bool can_ask(const struct pv_rooms *rs, const struct pv_rooms_room *room,
                    const struct pv_rooms_node *m, size_t author, uint64_t *ret_above)
{
    const struct pv_rooms_node *a = room->members[author];
    bool skips = m->gone[author] > a->taken;
    *ret_above = skips ? a->skip_to : a->taken;
    return m != room->self && m->known[author] > *ret_above && is_up(rs, m) &&
           (!skips || (a->skip_to != 0 && m->gone[author] == a->skip_to));
}

/* Two members are not asked for one log at once, or each text would come twice. A member that gave
 * nothing stands behind all others the next time: anybody can say that it has texts. Only the
 * author itself is asked at any time, for nobody else's word keeps its texts away. */
bool pv_rooms_find_source(struct pv_rooms *rs, struct pv_rooms_room *room, size_t author, pv_ns now,
                          struct pv_rooms_source *ret_source)
{
    static const uint8_t nobody[PV_SIGN_PK_LEN];
    const struct pv_rooms_node *a = room->members[author];
    const size_t asked = pv_rooms_index(room, a->asked);
    bool more = look_for_gap(rs, room, author, now);
    ret_source->member = SIZE_MAX;
    if (!more || a->full_until > now)
        return more;
    if (asked != author && can_ask(rs, room, a, author, &ret_source->above)) {
        ret_source->member = author;
        return true;
    }
    if (a->asked_until > now && memcmp(a->asked, nobody, sizeof(nobody)) != 0)
        return true;
    size_t first = asked == SIZE_MAX ? 0 : asked + 1;
    for (size_t k = 0; k < room->n_members; k++) {
        size_t i = (first + k) % room->n_members;
        if (!can_ask(rs, room, room->members[i], author, &ret_source->above))
            continue;
        ret_source->member = i;
        break;
    }
    return true;
}

bool pv_rooms_is_next(const struct pv_rooms_node *author, uint64_t seq)
{
    return seq == author->taken + 1 ||
           (author->skip_to > author->taken && seq == author->skip_to + 1);
}

/* A member that says that our own log is longer shows texts of it: it has more time. */
static void believe_claims(struct pv_rooms_room *room, pv_ns now)
{
    for (size_t i = 0; i < room->n_members; i++) {
        if (room->members[i]->claims_since != 0)
            room->members[i]->claims_since = now;
    }
}

void pv_rooms_note_gaps(struct pv_rooms_room *room, const struct pv_chatop_result *result,
                        bool said, pv_ns now)
{
    for (size_t i = 0; i < result->n_msgs; i++) {
        const struct pv_chat_record *msg = &result->msgs[i];
        struct pv_rooms_node *m = pv_rooms_member_find(room, msg->author);
        if (m == NULL)
            continue;
        if (msg->seq > m->last + 1)
            m->low = msg->seq - 1;
        if (m == room->self && !said)
            believe_claims(room, now);
        m->last = msg->seq;
        m->refused = 0;
        /* A log that grew may be asked for at once: its next page is probably there. */
        m->asked_until = 0;
        memset(m->asked, 0, sizeof(m->asked));
    }
}

/* --- our own log --------------------------------------------------------------------------- */

void pv_rooms_note_claim(struct pv_rooms_room *room, struct pv_rooms_node *m, pv_ns now)
{
    size_t self = room->self == NULL ? SIZE_MAX : pv_rooms_index(room, room->self->pk);
    if (self != SIZE_MAX && m->known[self] > room->self->taken && m->claims_since == 0)
        m->claims_since = now;
}

/* Then this disk is an older one, and a new text would get a number that is given away. But who
 * only says so, and has no text to show, shall not silence us. */
bool pv_rooms_is_behind_itself(struct pv_rooms_room *room, pv_ns now)
{
    size_t self = pv_rooms_index(room, room->self->pk);
    for (size_t i = 0; i < room->n_members; i++) {
        const struct pv_rooms_node *m = room->members[i];
        if (m->known[self] > room->self->taken && now - m->claims_since < PV_S(CLAIM_S))
            return true;
    }
    return false;
}

/* Nobody has a text that is being written only now. One that said so before, and had none to show,
 * would make it count as delivered before anybody was told of it. */
void pv_rooms_refute_claims(struct pv_rooms_room *room)
{
    size_t self = pv_rooms_index(room, room->self->pk);
    for (size_t i = 0; i < room->n_members; i++) {
        struct pv_rooms_node *m = room->members[i];
        if (m->known[self] > room->self->taken)
            m->known[self] = room->self->taken;
    }
}

/* Members that have what is missing come back just after this node woke. Hours of sleep would make
 * them too late: a log that went on behind a gap never goes back. A claim that was not believed any
 * more when the machine fell asleep, at the last call, stays so. */
void pv_rooms_woke(struct pv_rooms *rooms, pv_ns now)
{
    const pv_ns fell_asleep = rooms->now;
    for (size_t i = 0; i < rooms->n_rooms; i++) {
        const struct pv_rooms_room *room = rooms->rooms[i];
        for (size_t k = 0; k < room->n_members; k++) {
            struct pv_rooms_node *m = room->members[k];
            if (m->gap_since != 0)
                m->gap_since = now;
            if (m->claims_since != 0 && fell_asleep - m->claims_since < PV_S(CLAIM_S))
                m->claims_since = now;
        }
    }
    rooms->now = now;
}

/* --- what is deleted here ------------------------------------------------------------------ */

/* All members that may get texts of the author have those up to here. */
static uint64_t settled(const struct pv_rooms *rs, const struct pv_rooms_room *room, size_t author)
{
    const struct pv_rooms_node *a = room->members[author];
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; room_is_in(room->self) && i < room->n_members; i++) {
        const struct pv_rooms_node *m = room->members[i];
        if (m == room->self || m == a || !room_is_in(m) || !pv_rooms_may_talk(rs, m->pk))
            continue;
        uint64_t has = m->had[author] > m->base[author] ? m->had[author] : m->base[author];
        least = has < least ? has : least;
    }
    /* The last text stays: it is the proof of how long the log is, also for an author that lost its
     * disk. */
    return least == UINT64_MAX || a->last == 0 ? PV_CHAT_SEQ_MAX
           : least < a->last                   ? least
                                               : a->last - 1;
}

/* So much of the room is deleted. */
static void note_dropped(struct pv_rooms_room *room, const struct pv_roomop_result *dropped)
{
    for (size_t i = 0; i < dropped->n_haves; i++) {
        struct pv_rooms_node *m = pv_rooms_member_find(room, dropped->haves[i].author);
        if (m != NULL && dropped->haves[i].seq > m->low)
            m->low = dropped->haves[i].seq;
    }
}

static int drop_texts(struct pv_rooms *rs, const struct pv_rooms_room *room,
                      struct pv_chatop_result *ret)
{
    struct pv_room_have haves[PV_ROOM_MAX_MEMBERS];
    struct pv_roomop op = {.kind = PV_ROOMOP_DROP,
                           .room = room->id,
                           .keep_s = rs->sweep.keep_s,
                           .unread = rs->sweep.unread,
                           .haves = haves,
                           .n_haves = room->n_members};
    for (size_t i = 0; i < room->n_members; i++) {
        memcpy(haves[i].author, room->members[i]->pk, PV_SIGN_PK_LEN);
        haves[i].seq = settled(rs, room, i);
    }
    return pv_rooms_do(rs, &op, ret);
}

void pv_rooms_sweep_page(struct pv_rooms *rs)
{
    struct pv_rooms_sweep *s = &rs->sweep;
    struct pv_chatop_result done;
    while (s->on && s->next < rs->n_rooms &&
           (rs->rooms[s->next]->pending || rs->rooms[s->next]->closed))
        s->next++;
    s->on = s->on && s->next < rs->n_rooms;
    if (!s->on)
        return;
    struct pv_rooms_room *room = rs->rooms[s->next];
    s->on = drop_texts(rs, room, &done) == PV_OK; /* else the next look is in an hour */
    if (!s->on)
        return;
    note_dropped(room, done.room);
    s->next += !done.more;
    if (s->next >= rs->n_rooms && (s->again || (done.room->over && !s->unread))) {
        s->unread = !s->again;
        s->again = false;
        s->next = 0;
    }
    pv_chatop_result_done(&done);
}

void pv_rooms_sweep(struct pv_rooms *rooms, uint64_t keep_s, pv_ns now)
{
    rooms->now = now;
    rooms->sweep.keep_s = keep_s;
    rooms->sweep.again = rooms->sweep.on || !rooms->loaded;
    if (rooms->sweep.again)
        return;
    rooms->sweep.next = 0;
    rooms->sweep.unread = false;
    rooms->sweep.on = true;
}
