/* SPDX-License-Identifier: MIT */
/*
 * filelink_int.h - what the files of filelink share; for them only.
 *
 *   filelink.c        the table, what users want, operations
 *   filelink_conn.c   accepted connections
 *   filelink_peer.c   notices both ways, transfers, whose incoming file gets a place in the table,
 *                     the table as bytes
 */
#pragma once

#include "base/bucket.h"
#include "daemon/core/chat/linkkeys.h"
#include "daemon/core/files/filelink.h"
#include "daemon/core/node/streams.h"

enum {
    PV_FILELINK_MAX_WORDS = 8, /* notices about files that are not in the table */
};

/* An offer is repeated so often even when the receiver knows it. */
#define PV_FILELINK_REFRESH PV_S(60)

struct pv_file {
    struct pv_file_entry e; /* number 0: the place is free */
    struct pv_file_stamp stamp;
    struct pv_addr addr;
    int handle;      /* -1: none */
    uint64_t tag;    /* of the transfer under way; 0: none */
    pv_ns moved_at;  /* the transfer began, or brought bytes */
    pv_ns judged_at; /* its speed was looked at, or it began */
    uint64_t judged; /* bytes it had then */
    pv_ns doubt_at;  /* nothing moved until then since the sender offered again: it is dead */
    unsigned corrupt;
    unsigned retries;
    pv_ns fetch_at; /* incoming ACCEPTED: not before */
    unsigned tells; /* how often the present state was told */
    pv_ns tell_at;  /* PV_NEVER: all is said */
    uint64_t save;  /* which the disk must have before the file may come; 0: it has it */
    bool tell_now;  /* a notice of it is due */
    bool heard;     /* outgoing: the receiver knows of it */
    bool changed;   /* the owner does not know it as it is */
};

struct pv_file_conn {
    uint32_t sid; /* 0: free */
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t buf[PV_PROOF_MAC_LEN + PV_FILE_GET_LEN];
    size_t len, want; /* bytes in buf, and of the frame that is coming */
    bool challenged;  /* out was asked for: a proof must come next */
    struct pv_stream_turn turn;
    uint8_t peer_nonce[PV_PROOF_NONCE_LEN];
    uint8_t out[PV_FILE_CHALLENGE_LEN]; /* our nonce and proof */
    size_t out_len, out_done;
    pv_ns deadline;
};

struct pv_file_word {
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_file_notice notice;
};

struct pv_filelink {
    struct pv_rng rng;
    const struct pv_log *log;
    const struct pv_linkkeys *keys;
    struct pv_streams *streams;
    struct pv_fifo *ops;
    bool (*admits)(const void *owner, const uint8_t *pk, bool to);
    void (*send)(void *owner, const uint8_t *pk, struct pv_view notice, pv_ns now);
    void (*tell)(void *owner, uint32_t number);
    void *owner;
    uint8_t own_pk[PV_SIGN_PK_LEN];
    uint64_t unproven;
    struct pv_file files[PV_FILELINK_MAX]; /* in order of their numbers, without gaps */
    size_t n;
    uint32_t last_number;
    uint64_t n_saves, kept; /* the last save, and the last that is on disk */
    uint64_t last_tag;
    uint32_t last_sid;
    bool dirty;
    struct pv_bucket saves; /* what a peer says must not become writes without end */
    pv_ns save_at;          /* not before */
    struct pv_file_conn conns[PV_FILELINK_MAX_CONNS];
    struct pv_file_word words[PV_FILELINK_MAX_WORDS];
    size_t n_words;
};

/* Do the rules let it move the way it goes? */
bool pv_file_may_move(const struct pv_filelink *l, const struct pv_file *f);
bool pv_file_is_final(const struct pv_file *f);
struct pv_file *pv_filelink_by_id(struct pv_filelink *l, const uint8_t *pk, const uint8_t *id,
                                  bool outgoing);
/* A new place at the end of the table; NULL: it is full of files that matter. */
struct pv_file *pv_filelink_add(struct pv_filelink *l);
/* Has f's transfer a place, or is there one for it by another that gives way? That one is tried
 * again later. */
bool pv_filelink_make_room(struct pv_filelink *l, const struct pv_file *f, pv_ns now);
/* When that is to be asked again, as far as time decides; PV_NEVER: when one has ended. */
pv_ns pv_filelink_room_at(const struct pv_filelink *l, const struct pv_file *f);
/* A transfer begins, at so many bytes. */
void pv_file_judge(struct pv_file *f, uint64_t done, pv_ns now);
/* Is there a place for one more incoming file of this peer, or does another's undecided offer give
 * way to it? It is refused then. decided: the new one does not wait for the user. */
PV_MUST_CHECK bool pv_filelink_make_place(struct pv_filelink *l, const uint8_t *pk, bool decided,
                                          pv_ns now);
/* The only way a state changes: tells the peer, users and the disk, frees what is not needed. */
void pv_file_set(struct pv_filelink *l, struct pv_file *f, enum pv_file_state state,
                 enum pv_file_why why, pv_ns now);
/* Why nothing moves is another now. */
void pv_file_set_why(struct pv_filelink *l, struct pv_file *f, enum pv_file_why why);
/* Where its peer is. The port is ours and never the peer's choice: a notice cannot make us connect
 * elsewhere. */
static inline void pv_file_set_addr(struct pv_file *f, const struct pv_addr *addr)
{
    f->addr = *addr;
    f->addr.port = PV_FILE_PORT;
}
/* Tells the peer the present state, as often as a change is told. */
void pv_file_tell(struct pv_file *f, pv_ns now);
/* Asks the owner for an operation. */
void pv_file_op(struct pv_filelink *l, const struct pv_fileop *op);
/* The same for the transfer of f, which has op->tag: without memory it ends as if the process of
 * files had no place for it. */
void pv_file_begin(struct pv_filelink *l, struct pv_file *f, const struct pv_fileop *op, pv_ns now);
/* May a transfer of f begin, beside those that run? */
bool pv_filelink_has_room(const struct pv_filelink *l, const struct pv_file *f);
/* Nothing is lost with it: it is over, and not a received file that its user has not taken. */
bool pv_file_is_spent(const struct pv_file *f);
/* All that are due. */
void pv_filelink_send_notices(struct pv_filelink *l, pv_ns now);
/* Starts what may run. */
void pv_filelink_run(struct pv_filelink *l, pv_ns now);
/* The place of an accepted connection is free. */
void pv_file_conn_end(struct pv_filelink *l, struct pv_file_conn *c);
/* Ends an accepted connection. */
void pv_file_close(struct pv_filelink *l, struct pv_file_conn *c);
/* Removes what is kept of an incoming file. */
void pv_file_drop(struct pv_filelink *l, const struct pv_file *f);
/* Ends the transfer under way; what it still reports is of no interest. */
void pv_file_cancel(struct pv_filelink *l, struct pv_file *f);
/* Takes the table out of these bytes, up to the first entry that cannot be read: PV_ERR_TRUNCATED,
 * PV_ERR_MALFORMED; PV_ERR_UNSUPPORTED (another version: nothing is taken). */
PV_MUST_CHECK int pv_filelink_load(struct pv_filelink *l, struct pv_view saved);
