/* SPDX-License-Identifier: MIT */
/* chatjson.c - messages and files as scripts read them: fields may be added at the end and never
 * change their meaning (PROTOCOL-LOCAL.md "Control socket"). */
#include "chat/proto/chatjson.h"

#include "proto/control/jsonline.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlcmd.h"

_Static_assert((int)PV_CTLAPI_ID_BUF == (int)PV_CHAT_ID_TEXT_BUF, "requests have room for an id");

json_t *pv_chatjson_write_message(const struct pv_chatjson_message *msg)
{
    json_t *obj = pv_ctlapi_pack(
        "{s:s, s:s, s:b, s:s, s:s?, s:s, s:o, s:s}", "id", PV_CHAT_ID_STR(msg->id), "from",
        msg->from, "unproven", msg->unproven, "to", msg->to, "room", msg->room, "text", msg->text,
        "time", json_real((double)msg->time_ms / 1000.0), "state", pv_chat_state_name(msg->state));
    /* A rare field is left out where it does not apply. */
    if (msg->own)
        pv_jsonline_set(&obj, "own", json_true());
    if (msg->from_key != NULL)
        pv_jsonline_set(&obj, "from_key", pv_ctlapi_key(msg->from_key));
    if (msg->gone || msg->held != PV_CHAT_LATER_NO)
        pv_jsonline_set(&obj, "held",
                        json_string(msg->gone ? "gone" : pv_chat_later_name(msg->held)));
    if (msg->from_former != NULL)
        pv_jsonline_set(&obj, "from_former", pv_ctlapi_key(msg->from_former));
    if (msg->to_former != NULL)
        pv_jsonline_set(&obj, "to_former", pv_ctlapi_key(msg->to_former));
    if (msg->another_since_s != 0) {
        pv_jsonline_set(&obj, "former", pv_ctlapi_key(msg->former));
        pv_jsonline_set(&obj, "another_since", pv_ctlapi_u64(msg->another_since_s));
    }
    return obj;
}

/* Without "more" there is nothing older: only a full page can be continued. */
json_t *pv_chatjson_messages(bool more, uint64_t upto)
{
    json_t *obj = pv_ctlapi_list("messages");
    if (more)
        pv_jsonline_set(&obj, "more", json_true());
    if (upto > 0)
        pv_jsonline_set(&obj, "upto", json_integer((json_int_t)upto));
    return obj;
}

json_t *pv_chatjson_write_file(const struct pv_chatjson_file *f)
{
    json_t *why = f->why[0] == '\0' ? json_null() : json_string(f->why);
    _Static_assert((int)PV_FILE_ID_LEN == (int)PV_CHAT_ID_LEN, "both are written alike");
    json_t *obj = pv_ctlapi_pack(
        "{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:b, s:b, s:o, s:o, s:s?}", "id",
        (json_int_t)f->number, "transfer", PV_CHAT_ID_STR(f->id), "direction",
        f->outgoing ? "out" : "in", "peer", f->peer, "name", f->name, "size", (json_int_t)f->size,
        "done", (json_int_t)f->done, "state", pv_file_state_name(f->state), "why", why, "running",
        f->running, "online", f->online, "time", json_real((double)f->time_ms / 1000.0), "key",
        pv_ctlapi_key(f->key), "room", f->room);
    if (f->is_former)
        pv_jsonline_set(&obj, "peer_former", pv_ctlapi_key(f->key));
    if (f->again)
        pv_jsonline_set(&obj, "again", json_true());
    if (f->muted)
        pv_jsonline_set(&obj, "muted", json_true());
    return obj;
}
