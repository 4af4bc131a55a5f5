/* SPDX-License-Identifier: MIT */
/* Answers and events about rooms. */
#include "proto/local/ctlapi.h"

static json_t *id_json(const uint8_t *id)
{
    char text[PV_B64_LEN(16) + 1];
    return pv_b64url_encode(pv_view(id, 16), text, sizeof(text)) < 0 ? NULL : json_string(text);
}

static json_t *key_json(const uint8_t *key)
{
    char text[PV_KEY_TEXT_BUF];
    return json_string(pv_key_format(key, text));
}

/* Takes item; NULL fails. */
static int append(json_t *obj, const char *list, json_t *item)
{
    return json_array_append_new(json_object_get(obj, list), item) == 0 ? PV_OK : PV_ERR_NOMEM;
}

json_t *pv_ctlapi_watch_room_json(const char *room, bool invited, const char *peer, const char *by)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "room", room, "what", invited ? "invited" : "left",
                     "peer", peer, "by", by);
}

json_t *pv_ctlapi_room_json(const char *room, const uint8_t id[static 16])
{
    return json_pack("{s:s, s:o}", "room", room, "id", id_json(id));
}

json_t *pv_ctlapi_rooms_new(void)
{
    return json_pack("{s:i, s:[]}", "version", 1, "rooms");
}

int pv_ctlapi_rooms_add(json_t *rooms, const struct pv_ctlapi_room *room)
{
    return append(rooms, "rooms",
                  json_pack("{s:s, s:o, s:s, s:i, s:b}", "room", room->room, "id",
                            id_json(room->id), "creator", room->creator, "members",
                            (int)room->members, "left", room->left));
}

json_t *pv_ctlapi_room_members_new(const char *room)
{
    return json_pack("{s:i, s:s, s:[]}", "version", 1, "room", room, "members");
}

int pv_ctlapi_room_members_add(json_t *members, const struct pv_ctlapi_room_member *member)
{
    return append(members, "members",
                  json_pack("{s:s, s:o, s:b, s:b, s:I}", "name", member->name, "key",
                            key_json(member->key), "online", member->online, "creator",
                            member->creator, "texts", (json_int_t)member->texts));
}
