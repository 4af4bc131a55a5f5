/* SPDX-License-Identifier: MIT */
/*
 * room.h - signed records of rooms, and the frames that carry them between members (DESIGN 8,
 * docs/PROTOCOL-PEERS.md "Rooms").
 *
 * A record is signed by one member under the context "p2pvpn room v1" over network id || record, so
 * that anybody may hand it on and nobody can make it. Codec only: who may sign what, and what
 * follows, is chat/core/rooms/rooms.h. No state; thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "base/text.h"
#include "chat/proto/chat.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "proto/control/appsigner.h"

enum {
    PV_ROOM_ID_LEN = 16,
    PV_ROOM_NETWORK_LEN = 16,
    PV_ROOM_NONCE_LEN = 16,
    PV_ROOM_NAME_MAX = 32, /* characters, without the '#' */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_ROOM_MAX_MEMBERS = 4, /* soon full */
    PV_ROOM_MAX_RECORDS = 12,
    PV_ROOM_MAX_ROOMS = 6,
    PV_ROOM_MAX_LEFT = 4,
    PV_ROOM_MAX_LOADED = 14,
    PV_ROOM_MAX_TEXTS = 24,
    PV_ROOM_PAGE = 3072,
#else
    PV_ROOM_MAX_MEMBERS = 64,   /* ours: nodes named in one room, its creator included */
    PV_ROOM_MAX_RECORDS = 256,  /* ours: of one room, texts not counted */
    PV_ROOM_MAX_ROOMS = 128,    /* ours: that one node is in */
    PV_ROOM_MAX_LEFT = 128,     /* that it left; of more some are forgotten */
    PV_ROOM_MAX_LOADED = 320,   /* both, and some that were not forgotten before a restart */
    PV_ROOM_MAX_TEXTS = 100000, /* of one author in one room */
    PV_ROOM_PAGE = 49152,       /* ours: bytes of records in one frame, or one record */
#endif
    PV_ROOM_PREFIX_LEN = 8, /* bytes of a record's hash */

    PV_ROOM_HEAD = 2 + PV_ROOM_ID_LEN + PV_SIGN_PK_LEN, /* version, type, room, signer */
    PV_ROOM_HAVE_LEN = PV_SIGN_PK_LEN + 8,              /* bytes: author, seq */
    PV_ROOM_TEXT_OVERHEAD = PV_ROOM_HEAD + 8 + 8 + PV_SIGN_LEN,
    PV_ROOM_RECORD_MAX = PV_ROOM_TEXT_OVERHEAD + PV_CHAT_TEXT_MAX, /* the longest of all types */

    PV_ROOM_FRAME_MAX_RECORDS = 64, /* in one frame */
};

enum pv_room_type {
    PV_ROOM_CREATE = 1,
    PV_ROOM_INVITE = 2,
    PV_ROOM_LEAVE = 3,
    PV_ROOM_TEXT = 4,
};

/* How far a log goes: texts 1..seq of author. */
struct pv_room_have {
    uint8_t author[PV_SIGN_PK_LEN];
    uint64_t seq; /* 0..2^53 */
};

/* One record taken apart; views point into its bytes. */
struct pv_room_record {
    enum pv_room_type type;
    uint8_t room[PV_ROOM_ID_LEN]; /* CREATE: computed */
    uint8_t signer[PV_SIGN_PK_LEN];
    uint8_t hash[PV_BLAKE2B_LEN];     /* of the whole record; computed */
    uint64_t time_ms;                 /* the signer's clock, a claim */
    uint8_t nonce[PV_ROOM_NONCE_LEN]; /* CREATE: so that no two rooms are one */
    char name[PV_ROOM_NAME_MAX + 1];  /* CREATE */
    uint8_t node[PV_SIGN_PK_LEN];     /* INVITE: who is invited */
    uint32_t round;                   /* INVITE, LEAVE: 1 for the first time, .. */
    uint64_t seq;                     /* TEXT: 1..2^53; LEAVE: 0.., of the signer's last text */
    struct pv_view base;              /* INVITE: see pv_room_base() */
    struct pv_view text;              /* TEXT: pv_text_is_valid() */
};

/* Entry i of an INVITE's base: up to which text of that author the invited node gets none. False:
 * there are no more entries. */
bool pv_room_base(const struct pv_room_record *record, size_t i, struct pv_room_have *ret_have);

/* Parses and, with network, verifies a record. PV_ERR_TRUNCATED, PV_ERR_LIMIT, PV_ERR_UNSUPPORTED
 * (version, type), PV_ERR_MALFORMED, PV_ERR_AUTH. */
PV_MUST_CHECK int pv_room_record_parse(struct pv_view raw, const uint8_t *network,
                                       struct pv_room_record *ret_record);

/* Signs record (its type's fields, without hash; base is taken from have, ascending by author) into
 * PV_ROOM_RECORD_MAX bytes. PV_ERR_MALFORMED (a field out of its range); errors of the signer. */
struct pv_room_make {
    const uint8_t *network;
    struct pv_appsigner signer;
    const struct pv_room_have *base;
    size_t n_base;
};
PV_MUST_CHECK int pv_room_record_make(const struct pv_room_make *make,
                                      const struct pv_room_record *record,
                                      uint8_t ret_raw[static PV_ROOM_RECORD_MAX], size_t *ret_len);

/* A TEXT record put together again from what is stored of it. sig: PV_SIGN_LEN bytes. */
PV_MUST_CHECK int pv_room_text_join(const struct pv_room_record *record, const uint8_t *sig,
                                    uint8_t ret_raw[static PV_ROOM_RECORD_MAX], size_t *ret_len);

/* The key of a room's conversation, among the keys of peers: the room's id and zeros. */
void pv_room_key(const uint8_t room[static PV_ROOM_ID_LEN], uint8_t ret_key[static PV_SIGN_PK_LEN]);

/* A room's name: pv_name_is_valid() and at most PV_ROOM_NAME_MAX characters. */
bool pv_room_name_is_valid(const char *name);

/* --- frames: lines of a chat connection that begin with {"room": --------------------------- */

enum pv_room_frame_kind {
    PV_ROOM_F_HAVE, /* what the sender has, and has no more; digest over its records, not texts */
    PV_ROOM_F_WANT, /* texts it asks for: of each author those above seq */
    PV_ROOM_F_LIST, /* which records it has: it asks for the others */
    PV_ROOM_F_RECORDS,
};
/* Large; keep it off the stack. */
struct pv_room_frame {
    enum pv_room_frame_kind kind;
    uint8_t room[PV_ROOM_ID_LEN];
    uint8_t digest[PV_BLAKE2B_LEN];                /* HAVE */
    struct pv_room_have have[PV_ROOM_MAX_MEMBERS]; /* HAVE, WANT */
    size_t n_have;
    struct pv_room_have gone[PV_ROOM_MAX_MEMBERS]; /* HAVE: texts up to these are deleted there */
    size_t n_gone;
    uint8_t prefix[PV_ROOM_MAX_RECORDS][PV_ROOM_PREFIX_LEN]; /* LIST */
    size_t n_prefix;
    struct pv_view records[PV_ROOM_FRAME_MAX_RECORDS]; /* RECORDS: into bytes; writing: anywhere */
    size_t n_records;
    uint8_t bytes[PV_CHAT_LINE_MAX]; /* what parsed records point into */
};

/* Is this line of a chat connection one of ours? */
bool pv_room_is_frame(struct pv_view line);
/* One line without its newline. PV_ERR_MALFORMED, PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_room_frame_parse(struct pv_view line, struct pv_room_frame *ret_frame);
/* The frame as a line with its newline. PV_ERR_LIMIT when the records are too long for one. */
PV_MUST_CHECK int pv_room_frame_write(const struct pv_room_frame *frame,
                                      char buf[static PV_CHAT_LINE_MAX], size_t *ret_len);
