/* SPDX-License-Identifier: MIT */
/*
 * chatjson.h - messages and files in the language of the control socket (ctlapi.h): builders of
 * JSON objects whose fields and order are stable. No state; thread-safe.
 *
 * Builders return a new reference or NULL without memory. A NULL where a text is needed is a
 * mistake of the caller and gives {"bug":"…"}. Times are Unix milliseconds here and seconds with
 * decimals in JSON.
 */
#pragma once

#include <jansson.h>

#include "base/pv.h"
#include "chat/proto/chat.h"
#include "chat/proto/file.h"
#include "crypto/sign.h"

struct pv_chatjson_message {
    const uint8_t *id; /* PV_CHAT_ID_LEN bytes */
    const char *from;  /* node names */
    bool unproven;  /* somebody on the machine of from typed it: its daemon does not vouch for it */
    bool own;       /* written on this machine */
    const char *to; /* in a room: the room */
    const char *room;        /* "#name"; NULL: null */
    const uint8_t *from_key; /* of the machine that wrote it; NULL: this one */
    /* Key of the machine that had the name of from, or of to, then; NULL: it still has it. */
    const uint8_t *from_former, *to_former;
    /* Of news only: since when (Unix seconds) the name of the other side is another machine's, and
     * the key that had it before; 0: nobody else had it. */
    uint64_t another_since_s;
    uint8_t former[PV_SIGN_PK_LEN];
    const char *text;
    uint64_t time_ms;
    enum pv_chat_state state;
    enum pv_chat_later held; /* it stays queued because the other machine takes no more for now */
    bool gone;               /* it stays queued because its receiver is no member any more */
};
/* {"id","from","to","room","text","time","state"}, and "own" where it is true, else "from_key",
 * and "held": "full", "disk", "rules" or "gone", and "from_former" or
 * "to_former": a key, and "former" (a key) with "another_since" */
json_t *pv_chatjson_write_message(const struct pv_chatjson_message *msg);
/* {"version":1,"messages":[…]}, with "more":true when the list was cut (ask again), and "upto" when
 * it is not 0. */
json_t *pv_chatjson_messages(bool more, uint64_t upto);

struct pv_chatjson_file {
    uint32_t number;   /* "id": what accept, refuse and get take */
    const uint8_t *id; /* "transfer": PV_FILE_ID_LEN bytes, the same at both sides */
    bool outgoing;
    const char *peer;   /* for people: of a former member with what shows that */
    const uint8_t *key; /* the peer's */
    const char *room;   /* what the room is called in which it is offered; NULL: none */
    bool is_former;     /* another machine has its name by now */
    const char *name;
    uint64_t size, done; /* bytes */
    uint64_t time_ms;
    enum pv_file_state state;
    const char
        *why; /* a phrase for users: why nothing moves, or why it ended; "" = nothing to say */
    bool running, online;
    bool again; /* an offer that waits until its user hands the file over again */
    bool muted; /* an offer that calls nobody to the screen */
};
/* {"id","transfer","direction":"in|out","peer","name","size","done","state","why","running","online",
 * "time","key","room"}; transfer written as ids of messages are, why null when nothing is wrong;
 * and "peer_former", a key, where the peer's name is another machine's by now; "again" and "muted",
 * true, or left out */
json_t *pv_chatjson_write_file(const struct pv_chatjson_file *file);
