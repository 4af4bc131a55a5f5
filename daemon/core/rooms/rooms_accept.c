/* SPDX-License-Identifier: MIT */
/*
 * rooms_accept.c - which rooms of others this node's users want to be in. Members can invite
 * whomever they like; until somebody here says yes, nothing that is said in the room comes here.
 */
#include <string.h>

#include "daemon/core/rooms/rooms_int.h"

enum {
    VERSION = 1, /* of the list on disk */
};
_Static_assert(PV_ROOMS_ACCEPTED_MAX == 1 + PV_ROOM_MAX_ROOMS * PV_ROOM_ID_LEN, "all fit");

static size_t find(const struct pv_rooms *rs, const uint8_t *id)
{
    size_t i = 0;
    while (i < rs->n_accepted && memcmp(rs->accepted[i], id, PV_ROOM_ID_LEN) != 0)
        i++;
    return i;
}

static void drop(struct pv_rooms *rs, size_t at)
{
    rs->n_accepted--;
    memmove(rs->accepted[at], rs->accepted[rs->n_accepted], PV_ROOM_ID_LEN);
    rs->accepted_dirty = true;
}

/* Rooms of another network, or that are forgotten, give way: there are no more rooms than places.
 */
static void add(struct pv_rooms *rs, const uint8_t *id)
{
    if (find(rs, id) < rs->n_accepted)
        return;
    for (size_t i = rs->n_accepted; rs->n_accepted == PV_ROOM_MAX_ROOMS && i > 0; i--) {
        if (pv_rooms_room_find(rs, rs->accepted[i - 1]) == NULL)
            drop(rs, i - 1);
    }
    if (rs->n_accepted == PV_ROOM_MAX_ROOMS)
        return;
    memcpy(rs->accepted[rs->n_accepted++], id, PV_ROOM_ID_LEN);
    rs->accepted_dirty = true;
}

bool pv_rooms_is_accepted(const struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    return pv_rooms_same(room->members[0]->pk, rs->own_pk) || find(rs, room->id) < rs->n_accepted;
}

void pv_rooms_unaccept(struct pv_rooms *rs, const struct pv_rooms_room *room)
{
    size_t at = find(rs, room->id);
    if (at < rs->n_accepted)
        drop(rs, at);
}

void pv_rooms_note_loaded(struct pv_rooms *rs)
{
    for (size_t i = 0; !rs->knows_accepted && i < rs->n_rooms; i++) {
        if (room_is_in(rs->rooms[i]->self) && !pv_rooms_is_accepted(rs, rs->rooms[i]))
            add(rs, rs->rooms[i]->id);
    }
    rs->accepted_dirty = rs->accepted_dirty || !rs->knows_accepted;
    rs->knows_accepted = true;
}

int pv_rooms_accept(struct pv_rooms *rooms, const uint8_t *id, pv_ns now)
{
    struct pv_rooms_room *room = rooms->loaded ? pv_rooms_room_find(rooms, id) : NULL;
    rooms->now = now;
    if (room == NULL || !room_is_in(room->self))
        return PV_ERR_STATE;
    if (pv_rooms_is_accepted(rooms, room))
        return PV_OK;
    add(rooms, room->id);
    pv_rooms_ask(rooms, room, now);
    pv_rooms_rearm(rooms, room);
    return PV_OK;
}

void pv_rooms_set_accepted(struct pv_rooms *rooms, struct pv_view saved)
{
    rooms->knows_accepted = saved.len > 0 && saved.ptr[0] == VERSION;
    for (size_t at = 1; rooms->knows_accepted && at + PV_ROOM_ID_LEN <= saved.len &&
                        rooms->n_accepted < PV_ROOM_MAX_ROOMS;
         at += PV_ROOM_ID_LEN)
        memcpy(rooms->accepted[rooms->n_accepted++], saved.ptr + at, PV_ROOM_ID_LEN);
}

size_t pv_rooms_take_accepted(struct pv_rooms *rooms, bool again,
                              uint8_t ret_list[static PV_ROOMS_ACCEPTED_MAX])
{
    if (!rooms->accepted_dirty && !(again && rooms->knows_accepted))
        return 0;
    rooms->accepted_dirty = false;
    ret_list[0] = VERSION;
    memcpy(ret_list + 1, rooms->accepted, rooms->n_accepted * PV_ROOM_ID_LEN);
    return 1 + rooms->n_accepted * PV_ROOM_ID_LEN;
}
