/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_file.h - files in the language of the control socket: builders beside those of ctlapi.h.
 *
 * Builders return a new reference or NULL without memory.
 */
#pragma once

#include <jansson.h>

#include "base/pv.h"
#include "proto/chat/file.h"

struct pv_ctlapi_file {
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
json_t *pv_ctlapi_file_json(const struct pv_ctlapi_file *file);
