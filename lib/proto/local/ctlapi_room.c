/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_room.c - builders for what the control socket says about rooms.
 */
#include "proto/chat/room.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"

static json_t *room_id_json(const uint8_t *id)
{
    char text[PV_B64_LEN(PV_ROOM_ID_LEN) + 1];
    return pv_b64url_encode(pv_view(id, PV_ROOM_ID_LEN), text, sizeof(text)) < 0
               ? NULL
               : json_string(text);
}

/* One event for both changes of a room's members: `peer` is the member concerned, `by` the one who
 * did it. */
json_t *pv_ctlapi_watch_room_json(const char *room, bool invited, const char *peer, const char *by,
                                  bool self)
{
    return pv_ctlapi_pack("{s:s, s:s, s:s, s:s, s:b}", "room", room, "what",
                          invited ? "invited" : "left", "peer", peer, "by", by, "self", self);
}

json_t *pv_ctlapi_room_json(const char *room, const uint8_t id[static PV_ROOM_ID_LEN])
{
    return pv_ctlapi_pack("{s:s, s:o}", "room", room, "id", room_id_json(id));
}

json_t *pv_ctlapi_rooms_new(void)
{
    return pv_ctlapi_pack("{s:i, s:[]}", "version", PV_CTLAPI_FORMAT, "rooms");
}

int pv_ctlapi_rooms_add(json_t *rooms, const struct pv_ctlapi_room *room)
{
    return pv_ctlapi_append(rooms, "rooms",
                            pv_ctlapi_pack("{s:s, s:o, s:s, s:i, s:b, s:b}", "room", room->room,
                                           "id", room_id_json(room->id), "creator", room->creator,
                                           "members", (int)room->members, "left", room->left,
                                           "invited", room->invited));
}

json_t *pv_ctlapi_room_members_new(const char *room)
{
    return pv_ctlapi_pack("{s:i, s:s, s:[]}", "version", PV_CTLAPI_FORMAT, "room", room, "members");
}

int pv_ctlapi_room_members_add(json_t *members, const struct pv_ctlapi_room_member *member)
{
    return pv_ctlapi_append(members, "members",
                            pv_ctlapi_pack("{s:s, s:o, s:b, s:b, s:b, s:I}", "name", member->name,
                                           "key", pv_ctlapi_key(member->key), "online",
                                           member->online, "creator", member->creator, "self",
                                           member->self, "texts", (json_int_t)member->texts));
}
