/* SPDX-License-Identifier: MIT */
/*
 * file.h - files between two nodes: the notices that offer and answer (in-band type 9), the fixed
 * frames around the bytes of a file (TCP 2048 on the overlay), and names made harmless.
 *
 * The codec only (docs/PROTOCOL-PEERS.md "Files"); who sends what when is
 * chat/core/files/filelink.h. The sender of a notice is who the session proved. No state;
 * thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "chat/proto/room.h"
#include "proto/control/proof.h"

enum {
    PV_FILE_PORT = 2048,    /* TCP, on the overlay address, ours */
    PV_FILE_ID_LEN = 16,    /* bytes, random, drawn by the sender */
    PV_FILE_NAME_MAX = 255, /* bytes of UTF-8: NAME_MAX of Linux */
    PV_FILE_NAME_BUF = PV_FILE_NAME_MAX + 1,
    PV_FILE_HASH_LEN = 64,      /* bytes, BLAKE2b-512 */
    PV_FILE_NOTICE_MAX = 512,   /* bytes; no notice is longer */
    PV_FILE_MAGIC_LEN = 8,      /* bytes; they tell HELLO and GET apart */
    PV_FILE_HELLO_LEN = 24,     /* bytes of the frame that begins a proof */
    PV_FILE_CHALLENGE_LEN = 48, /* bytes of its answer: nonce and MAC */
    PV_FILE_GET_LEN = 32,       /* bytes of the frame that asks for a file */
    PV_FILE_ANSWER_LEN = 73,    /* bytes of the answer's head */
    PV_FILE_END_LEN = 65,       /* bytes behind the last chunk */
    PV_FILE_CHUNK_MAX = 262144, /* bytes of the file behind one length */
};
#define PV_FILE_SIZE_MAX (UINT64_C(1) << 62) /* bytes of a file: what off_t holds, and to spare */

/* Where an offered file is. */
enum pv_file_state {
    PV_FILE_OFFERED,   /* the receiver has not said yes or no */
    PV_FILE_ACCEPTED,  /* it wants the file, which comes whenever both are there */
    PV_FILE_DONE,      /* whole and verified at the receiver */
    PV_FILE_SAVED,     /* the receiver's user has it; only the receiver's own record */
    PV_FILE_REFUSED,   /* by the receiver */
    PV_FILE_WITHDRAWN, /* by the sender */
    PV_FILE_FAILED,    /* it will never be whole: see why */
    PV_FILE_N_STATES,
};

/* Why nothing moves, or why it ended; travels in notices and frames. */
enum pv_file_why {
    PV_FILE_WHY_NONE,
    PV_FILE_WHY_GONE,       /* no such offer */
    PV_FILE_WHY_ABSENT,     /* the sender's daemon has not got the file open (send it again) */
    PV_FILE_WHY_CHANGED,    /* the sender's file is no longer what was offered */
    PV_FILE_WHY_BUSY,       /* too many transfers at once */
    PV_FILE_WHY_DISK_FULL,  /* at the receiver */
    PV_FILE_WHY_CORRUPT,    /* the bytes that arrived are not those that were sent */
    PV_FILE_WHY_UNREADABLE, /* the sender could not read it */
    PV_FILE_WHY_UNWRITABLE, /* the receiver could not write it */
    PV_FILE_WHY_TOO_MANY,   /* the receiver holds too many offers */
    PV_FILE_WHY_STOPPED,    /* by a user */
    PV_FILE_WHY_LOST,       /* the connection broke */
    PV_FILE_WHY_RULES,      /* rules, or the receiver's [firewall], deny it */
    PV_FILE_N_WHYS,
};

const char *pv_file_state_name(enum pv_file_state state); /* "offered", "accepted", … */
const char *pv_file_why_text(enum pv_file_why why);       /* a phrase for users; "" for NONE */

/* --- notices ------------------------------------------------------------------------------- */

enum pv_file_notice_kind {
    PV_FILE_OFFER = 1,      /* sender: there is a file for you */
    PV_FILE_STATE = 2,      /* receiver: so far has it come */
    PV_FILE_WITHDRAW = 3,   /* sender: not any more */
    PV_FILE_ROOM_OFFER = 4, /* sender: there is a file for you, offered in a room */
};

struct pv_file_notice {
    enum pv_file_notice_kind kind;
    uint8_t id[PV_FILE_ID_LEN];
    uint8_t room[PV_ROOM_ID_LEN]; /* ROOM_OFFER: which, a claim; never zeros */
    uint64_t size;                /* offers: bytes, <= PV_FILE_SIZE_MAX */
    uint64_t time_ms;             /* offers: sender's wall clock, Unix milliseconds; a claim */
    char name[PV_FILE_NAME_BUF];  /* offers: pv_file_name_clean() has been over it */
    enum pv_file_state state;     /* STATE */
    enum pv_file_why why;         /* STATE */
};

/* PV_ERR_TRUNCATED; PV_ERR_MALFORMED (numbers out of range, name empty or no UTF-8, trailing
 * bytes); PV_ERR_UNSUPPORTED (version or kind not known: ignore it). */
PV_MUST_CHECK int pv_file_notice_parse(struct pv_view body, struct pv_file_notice *ret_notice);
/* PV_ERR_MALFORMED when a field is out of range. */
PV_MUST_CHECK int pv_file_notice_build(const struct pv_file_notice *notice,
                                       uint8_t buf[static PV_FILE_NOTICE_MAX], size_t *ret_len);

/* --- frames -------------------------------------------------------------------------------- */

/*
 *   receiver: GET {8-byte magic, id, u64 offset}
 *   sender:   ANSWER {u8 why, u64 size, hash of the bytes before offset}; why not 0: nothing
 * follows chunks {u32 length 1..PV_FILE_CHUNK_MAX, bytes}, then u32 0 and END {u8 why, hash of the
 * whole file} receiver: one byte, why: 0 = verified and on disk; anything else may come at any time
 * and ends the transfer
 *
 * Between daemons that prove themselves (proof.h) the GET stands behind a proof, so that nobody who
 * only has the port learns an id, and nobody who only has the id gets the file:
 *   receiver: HELLO {8-byte magic, nonce}
 *   sender:   CHALLENGE {nonce, MAC PV_PROOF_FILE_ACCEPTED}
 *   receiver: MAC PV_PROOF_FILE_OPENED, GET
 */
void pv_file_hello_build(const uint8_t nonce[static PV_PROOF_NONCE_LEN],
                         uint8_t buf[static PV_FILE_HELLO_LEN]);
/* Which frame begins a connection, by its first PV_FILE_MAGIC_LEN bytes. */
bool pv_file_is_hello(const uint8_t buf[static PV_FILE_MAGIC_LEN]);
void pv_file_get_build(const uint8_t id[static PV_FILE_ID_LEN], uint64_t offset,
                       uint8_t buf[static PV_FILE_GET_LEN]);
/* PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_file_get_parse(const uint8_t buf[static PV_FILE_GET_LEN],
                                    uint8_t ret_id[static PV_FILE_ID_LEN], uint64_t *ret_offset);
void pv_file_answer_build(enum pv_file_why why, uint64_t size,
                          const uint8_t hash[static PV_FILE_HASH_LEN],
                          uint8_t buf[static PV_FILE_ANSWER_LEN]);
/* *ret_hash points into buf. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_file_answer_parse(const uint8_t buf[static PV_FILE_ANSWER_LEN],
                                       enum pv_file_why *ret_why, uint64_t *ret_size,
                                       const uint8_t **ret_hash);
/* A word from the other side; what is not known counts as LOST. */
enum pv_file_why pv_file_why_parse(uint8_t byte);

/* --- names --------------------------------------------------------------------------------- */

/*
 * The name a file from somebody else may have in a directory of ours: what follows the last slash
 * or backslash; control characters, those that change the direction of text, a leading dot or
 * hyphen become '_'; cut at a character to PV_FILE_NAME_MAX bytes. Never empty, "." or "..", never
 * with a slash. PV_ERR_MALFORMED: no UTF-8.
 */
PV_MUST_CHECK int pv_file_name_clean(struct pv_view name, char ret_name[static PV_FILE_NAME_BUF]);
