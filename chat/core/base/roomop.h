/* SPDX-License-Identifier: MIT */
/*
 * roomop.h - what rooms ask of the store: a short list of typed operations, each atomic; carried
 * by PV_CHATOP_ROOM and served by chat/store/store_room.c.
 *
 * A text in a room is a message like any other (inbox, history, states), in the conversation of the
 * room's key, pv_room_key(). Every operation may be repeated.
 */
#pragma once

#include "chat/proto/room.h"

enum {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_ROOMOP_MAX_DROP = 3,
#else
    PV_ROOMOP_MAX_DROP = 1000, /* texts deleted by one DROP or FORGET */
#endif
    PV_ROOMOP_MAX_TEXTS = 256, /* of one operation */
    PV_ROOMOP_MAX_SCAN = 4096, /* rows looked at by one READ */
    PV_ROOMOP_HOLD_DAYS = 14,  /* so long a text is kept for members that lack it: as long as
                                   copies of messages are kept for who is away */
};

enum pv_roomop_kind {
    /* All rooms of a network. In: network. Out: rooms. */
    PV_ROOMOP_LOAD,
    /* Delete records of a room (not texts) by their hashes, add others in their order, and say
     * where logs begin; all or none. In: network, room, forget, records, haves (a log goes at least
     * so far). */
    PV_ROOMOP_KEEP,
    /* Store texts of a room; one that does not follow its author's last is skipped, and so is one
     * of another author that is beyond what that author may have stored here (then later says
     * why). In: room, texts. Out: messages = those that were new. */
    PV_ROOMOP_TAKE,
    /* Texts above the haves, in the order in which they came here, as many as one frame holds.
     * In: room, haves. Out: texts. */
    PV_ROOMOP_READ,
    /* Own texts above `above` and up to seq got that far. In: room, above, seq, state (SENT or
     * DELIVERED). Out: messages without text = those that had not yet. */
    PV_ROOMOP_MARK,
    /* Our own text that a client repeats. In: room, said. Out: messages = the one, or none. */
    PV_ROOMOP_SAID,
    /* Hide texts that came more than keep_s seconds ago and were read or delivered (0: none), then
     * delete hidden ones, and the oldest of all when there is too much (unread ones only with
     * unread): of each log from its beginning, as far as haves say that nobody lacks them, or
     * further when they are PV_ROOMOP_HOLD_DAYS old. An own text that nobody has stays, unless
     * haves say PV_CHAT_SEQ_MAX. In: room, haves, keep_s, unread. Out: n_deleted, more; room =
     * haves (logs are deleted up to these), over (there is still too much). */
    PV_ROOMOP_DROP,
    /* Delete all of a room: its texts, unread ones too, at most PV_ROOMOP_MAX_DROP at a time, and
     * with the last of them the room. In: room. Out: n_deleted, more (repeat it). */
    PV_ROOMOP_FORGET,
};

/* One record to add; the one with the hash `replaced` makes room for it, in its place. */
struct pv_room_raw {
    uint8_t *bytes; /* owned */
    size_t len;
    bool replaces;
    uint8_t replaced[PV_BLAKE2B_LEN];
};

struct pv_room_text {
    uint8_t author[PV_SIGN_PK_LEN];
    char author_name[PV_NAME_BUF];
    bool own;
    uint8_t id[PV_CHAT_ID_LEN]; /* begins the record's hash */
    bool skips;                 /* those before it in the log are done without */
    bool has_said;
    uint8_t said[PV_CHAT_ID_LEN]; /* own: what the client called it, should it repeat it */
    uint64_t seq, time_ms;
    uint8_t sig[PV_SIGN_LEN];
    char *text; /* owned */
};

/* All that it points to is the caller's. */
struct pv_roomop {
    enum pv_roomop_kind kind;
    const uint8_t *network, *room;     /* PV_ROOM_NETWORK_LEN, PV_ROOM_ID_LEN bytes */
    const struct pv_room_raw *records; /* KEEP */
    size_t n_records;
    const uint8_t (*forget)[PV_BLAKE2B_LEN]; /* KEEP */
    size_t n_forget;
    const struct pv_room_have *haves; /* at most PV_ROOM_MAX_MEMBERS */
    size_t n_haves;
    const struct pv_room_text *texts; /* TAKE */
    size_t n_texts;
    uint64_t above, seq;      /* MARK */
    enum pv_chat_state state; /* MARK */
    uint64_t keep_s;          /* DROP */
    bool unread;              /* DROP */
    const uint8_t *said;      /* SAID: PV_CHAT_ID_LEN bytes */
};

struct pv_roomop_room {
    uint8_t id[PV_ROOM_ID_LEN];
    struct pv_room_raw *records; /* owned; in order */
    size_t n_records;
    struct pv_room_have haves[PV_ROOM_MAX_MEMBERS];
    size_t n_haves;
    uint64_t gone[PV_ROOM_MAX_MEMBERS]; /* of each in haves: deleted up to here */
};

struct pv_roomop_result {
    struct pv_roomop_room *rooms; /* LOAD: owned */
    size_t n_rooms;
    struct pv_room_text *texts; /* READ: owned; author_name is "" */
    size_t n_texts;
    struct pv_room_have haves[PV_ROOM_MAX_MEMBERS]; /* DROP */
    size_t n_haves;
    bool over; /* DROP */
};

struct pv_roomop_result *pv_roomop_result_free(struct pv_roomop_result *result);
/* Frees a list of n and what its entries own; NULL is fine. */
void pv_room_raws_free(struct pv_room_raw *raws, size_t n);
void pv_room_texts_free(struct pv_room_text *texts, size_t n);
