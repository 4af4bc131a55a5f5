/* SPDX-License-Identifier: MIT */
/*
 * rooms_places.c - how many rooms there may be: others draw this node into rooms without asking, so
 * neither one of them nor many may take the places of the rest. Rooms that were left have places
 * of their own, and give way.
 */
#include "daemon/core/rooms/rooms_int.h"

/* --- places -------------------------------------------------------------------------------- */

static bool is_ours(const struct pv_rooms_room *room)
{
    return !room->pending && !room->closed && room->self != NULL;
}

static bool is_left(const struct pv_rooms_room *room)
{
    return is_ours(room) && !room_is_in(room->self);
}

static bool is_made_by(const struct pv_rooms_room *room, const uint8_t *pk)
{
    return pv_rooms_same(room->members[0]->pk, pk);
}

struct tally {
    unsigned in;         /* rooms that we are in, */
    unsigned of_others;  /* of these made by others */
    unsigned left;       /* that we left */
    unsigned of_creator; /* made by one node, in all */
};

static struct tally count(const struct pv_rooms *rs, const uint8_t *creator)
{
    struct tally n = {0};
    for (size_t i = 0; i < rs->n_rooms; i++) {
        const struct pv_rooms_room *room = rs->rooms[i];
        if (!is_ours(room))
            continue;
        bool left = is_left(room);
        n.in += !left;
        n.left += left;
        n.of_others += !left && !is_made_by(room, rs->own_pk);
        n.of_creator += is_made_by(room, creator);
    }
    return n;
}

bool pv_rooms_has_own_place(const struct pv_rooms *rs)
{
    return count(rs, rs->own_pk).in < PV_ROOM_MAX_ROOMS;
}

bool pv_rooms_has_place(const struct pv_rooms *rs, const uint8_t *creator)
{
    const struct tally n = count(rs, creator);
    if (n.in >= PV_ROOM_MAX_ROOMS)
        return false;
    /* Rooms that we left count for who made them: a member cannot draw us into new ones as fast as
     * we leave. Our own come back to us after a disk was lost. */
    return pv_rooms_same(creator, rs->own_pk) ||
           (n.of_others < PV_ROOMS_MAX_OF_OTHERS && n.of_creator < PV_ROOMS_MAX_OF_CREATOR);
}

bool pv_rooms_has_place_back(const struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    const struct tally n = count(rs, rs->own_pk);
    return n.in < PV_ROOM_MAX_ROOMS &&
           (is_made_by(room, rs->own_pk) || n.of_others < PV_ROOMS_MAX_OF_OTHERS);
}

bool pv_rooms_are_full(const struct pv_rooms *rooms)
{
    const struct tally n = count(rooms, rooms->own_pk);
    return n.in >= PV_ROOM_MAX_ROOMS || n.of_others >= PV_ROOMS_MAX_OF_OTHERS;
}

/* --- invitations that are being fetched ----------------------------------------------------- */

static bool is_fetched(const struct pv_rooms_room *room)
{
    return room->pending && !room->closed;
}

static unsigned count_fetched_for(const struct pv_rooms *rs, const uint8_t *pk)
{
    unsigned n = 0;
    for (size_t i = 0; i < rs->n_rooms; i++)
        n += is_fetched(rs->rooms[i]) && pv_rooms_same(rs->rooms[i]->from, pk);
    return n;
}

/* The oldest of the peer that has most; NULL: there is none. */
static struct pv_rooms_room *find_greediest(const struct pv_rooms *rs, unsigned *ret_n)
{
    struct pv_rooms_room *found = NULL;
    *ret_n = 0;
    for (size_t i = 0; i < rs->n_rooms; i++) {
        struct pv_rooms_room *room = rs->rooms[i];
        unsigned n = is_fetched(room) ? count_fetched_for(rs, room->from) : 0;
        if (n > *ret_n || (n > 0 && n == *ret_n && room->pending_until < found->pending_until)) {
            *ret_n = n;
            found = room;
        }
    }
    return found;
}

/* Any member can make up ids of rooms: a few of them must not keep the invitations of others out.
 * A peer that has at least two more than the newcomer gives one up, so that places do not go to and
 * fro. */
bool pv_rooms_make_pending_place(struct pv_rooms *rs, const uint8_t *pk)
{
    unsigned of_peer = count_fetched_for(rs, pk), all = 0, most;
    if (of_peer >= PV_ROOMS_MAX_PEER_PENDING)
        return false;
    for (size_t i = 0; i < rs->n_rooms; i++)
        all += is_fetched(rs->rooms[i]);
    if (all < PV_ROOMS_MAX_PENDING)
        return true;
    struct pv_rooms_room *room = find_greediest(rs, &most);
    if (room == NULL || most < of_peer + 2)
        return false;
    pv_rooms_room_free(rs, room);
    return true;
}

/* --- rooms that were left ------------------------------------------------------------------ */

/* How little would be missed with a room? */
struct worth {
    bool spoke;          /* this node's users wrote in it: what they said stays longest */
    unsigned of_creator; /* rooms by the same node that were left: who made most gives way first */
    uint64_t left_ms;    /* when, by our clock then */
};

static unsigned count_left_of(const struct pv_rooms *rs, const uint8_t *creator)
{
    unsigned n = 0;
    for (size_t i = 0; i < rs->n_rooms; i++)
        n += is_left(rs->rooms[i]) && is_made_by(rs->rooms[i], creator);
    return n;
}

static uint64_t left_ms(const struct pv_rooms_room *room)
{
    uint64_t ms = 0;
    for (size_t i = 0; i < room->n_records; i++) {
        const struct pv_room_record *rec = &room->records[i].rec;
        if (rec->type == PV_ROOM_LEAVE && pv_rooms_same(rec->signer, room->self->pk) &&
            rec->time_ms > ms)
            ms = rec->time_ms;
    }
    return ms;
}

static struct worth worth_of(const struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    return (struct worth){.spoke = room->self->last > 0,
                          .of_creator = count_left_of(rs, room->members[0]->pk),
                          .left_ms = left_ms(room)};
}

static bool goes_before(const struct worth *a, const struct worth *b)
{
    if (a->spoke != b->spoke)
        return !a->spoke;
    return a->of_creator != b->of_creator ? a->of_creator > b->of_creator : a->left_ms < b->left_ms;
}

static struct pv_rooms_room *find_least(const struct pv_rooms *rs, const struct pv_rooms_room *kept)
{
    struct pv_rooms_room *least = NULL;
    struct worth least_worth = {0};
    for (size_t i = 0; i < rs->n_rooms; i++) {
        struct pv_rooms_room *room = rs->rooms[i];
        /* A job on its way to the store comes back and must find its room. */
        if (!is_left(room) || room == kept || room->saving > 0 || room->taking || room->n_batch > 0)
            continue;
        const struct worth worth = worth_of(rs, room);
        if (least != NULL && !goes_before(&worth, &least_worth))
            continue;
        least = room;
        least_worth = worth;
    }
    return least;
}

static bool emit_forget(struct pv_rooms *rs, const uint8_t *id)
{
    return pv_rooms_emit(rs, pv_rooms_job_new(rs, PV_ROOMJOB_FORGET, id)) != NULL;
}

void pv_rooms_forget_left(struct pv_rooms *rs, const struct pv_rooms_room *kept)
{
    unsigned left = count(rs, rs->own_pk).left;
    for (; left > PV_ROOM_MAX_LEFT; left--) {
        struct pv_rooms_room *room = find_least(rs, kept);
        /* Without memory it stays until the next one is left. */
        if (room == NULL || !emit_forget(rs, room->id))
            return;
        pv_rooms_room_free(rs, room);
    }
}

void pv_rooms_handle_forgotten(struct pv_rooms *rs, const uint8_t *id, int status,
                               const struct pv_chatjob_result *result, pv_ns now)
{
    /* The store may have all of it yet: it is loaded again, and gives way again. */
    if (status < 0 || (result->more && !emit_forget(rs, id)))
        pv_rooms_reload(rs, now);
}

bool pv_rooms_is_being_forgotten(const struct pv_rooms *rs, const uint8_t *id)
{
    for (struct pv_jobwait *wait = rs->jobs->waits; wait != NULL; wait = wait->hh.next) {
        const struct pv_rooms_job *job = PV_CONTAINER_OF(wait, struct pv_rooms_job, wait);
        if (wait->self == rs && job->kind == PV_ROOMJOB_FORGET &&
            memcmp(job->room, id, sizeof(job->room)) == 0)
            return true;
    }
    return false;
}
