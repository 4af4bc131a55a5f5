/* SPDX-License-Identifier: MIT */
/*
 * filelink.h - files between nodes: offers, acceptance, and when which transfer runs.
 *
 * A pure machine over a small table of files in both directions. Offers and answers are notices,
 * repeated until the other side has said that it knows (its owner sends them in-band); the bytes
 * travel on a TCP connection of their own, opened by the receiver whenever it wants the file and
 * the sender is there. A transfer is an operation of the owner (daemon/io/io_files.c), which
 * reports how far it came and how it ended; what arrived is kept, and the next one goes on behind
 * it. The machine reads no file and knows no path. Not thread-safe.
 *
 * States of a file (enum pv_file_state), the same on both sides:
 *   OFFERED  --receiver's user or rule--> ACCEPTED --all bytes, hash right--> DONE --saved--> SAVED
 *   OFFERED, ACCEPTED --receiver--> REFUSED   OFFERED, ACCEPTED --sender--> WITHDRAWN
 *   OFFERED, ACCEPTED --changed, unreadable, corrupt three times--> FAILED
 * The last four are final. Where both sides say different things, the receiver decides about DONE
 * and REFUSED, and the sender about WITHDRAWN.
 *
 * The sender's file is an open descriptor, given by who offered it: the daemon opens no path for a
 * user. It is lost when the daemon ends; then the file waits (WHY_ABSENT) until the same user
 * offers the same file again (same peer, name, size and stamp), which goes on with the old offer.
 * A user who offers may name the file by an id of its own; then the same offer is the same file
 * whatever became of it, also where the daemon ended before the disk had it: no file comes twice.
 *
 * A file that is offered in a room says which, and the receiver takes the word of a sender that is
 * in that room. Of a room that nobody here has accepted the offer waits in the list alone (held).
 */
#pragma once

#include "base/addr.h"
#include "base/fifo.h"
#include "base/log.h"
#include "base/pv.h"
#include "base/text.h"
#include "chat/node.h"
#include "chat/proto/file.h"
#include "crypto/sign.h"

enum {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_FILELINK_MAX = 8, /* soon full */
    PV_FILELINK_MAX_INCOMING = 6,
    PV_FILELINK_MAX_OFFERS = 3,
    PV_FILELINK_MAX_OF_PEER = 4,
    PV_FILELINK_MAX_RUNNING = 3,
    PV_FILELINK_MAX_PEER_RUNNING = 2,
    PV_FILELINK_MAX_CONNS = 4,
    PV_FILELINK_MAX_PEER_CONNS = 2,
#else
    PV_FILELINK_MAX = 512, /* files known, both directions; the oldest final one gives way */
    PV_FILELINK_MAX_INCOMING = 384, /* that are coming, or not decided on or taken by the user: the
                                       other places are for what this node sends */
    PV_FILELINK_MAX_OFFERS = 16,    /* undecided offers of one peer */
    PV_FILELINK_MAX_OF_PEER = 256, /* files of one peer that are coming, or not taken by the user */
    PV_FILELINK_MAX_RUNNING = 8,   /* transfers at once */
    PV_FILELINK_MAX_PEER_RUNNING = 4, /* with one peer, one way */
    PV_FILELINK_MAX_CONNS = 32,       /* accepted connections that have not asked yet */
    PV_FILELINK_MAX_PEER_CONNS = 4,
#endif
    /* While others wait for its place, a transfer brings so many bytes in so many seconds. */
    PV_FILELINK_LEAST_BYTES = 131072,
    PV_FILELINK_LEAST_S = 30,
    PV_FILELINK_MAX_CORRUPT = 3,   /* then it has failed */
    PV_FILELINK_SAVE_MAX = 262144, /* bytes of pv_filelink_save() */
    PV_FILELINK_ASK_S = 10,        /* an accepted connection must have asked by then */
    PV_FILELINK_RETRY_MIN_S = 1,   /* between attempts, doubling */
    PV_FILELINK_RETRY_MAX_S = 60,
    PV_FILELINK_TELLS = 4, /* a change of state is told so often: at 0, 1, 3 and 7 s */
};

/* Tells one state of a file from another without reading it. */
struct pv_file_stamp {
    uint64_t dev, ino, mtime_ns;
};

/* One file as users see it. */
struct pv_file_entry {
    uint32_t number; /* on this node; never 0, never used twice */
    bool outgoing;
    uint8_t id[PV_FILE_ID_LEN];
    uint8_t room[PV_ROOM_ID_LEN]; /* in which it is offered; zeros: none */
    uint8_t peer[PV_SIGN_PK_LEN];
    char peer_name[PV_NAME_BUF];
    char name[PV_FILE_NAME_BUF]; /* clean */
    uint64_t size, done;         /* bytes; done: known to have arrived, or sent just now */
    uint64_t time_ms;            /* the sender's clock, Unix milliseconds */
    enum pv_file_state state;
    enum pv_file_why why; /* why nothing moves, or why it ended */
    bool running;         /* a transfer is under way */
    bool online;          /* the peer is there */
    bool held; /* incoming: nobody here has accepted its room; it calls nobody, and comes for no
                  rule's sake */
};

/* How a room is to an offer in it. */
enum pv_file_room {
    PV_FILE_ROOM_STRANGE, /* not known here, or its sender is not in it: until the offer comes the
                             next time the room may be known, and then it counts as naming none */
    PV_FILE_ROOM_CLOSED,  /* nobody here has accepted it, or it was left */
    PV_FILE_ROOM_OPEN,
};

struct pv_streams;
struct pv_filelink; /* opaque */

struct pv_filelink_config {
    struct pv_rng rng;
    const struct pv_log *log; /* borrowed; may be NULL */
    /* The key of the pair, as struct pv_overlay's link() (chat/node.h). NULL: connections are taken
     * unproven. */
    enum pv_overlay_link (*keys)(const void *owner, const uint8_t *pk, uint8_t *ret_key);
    struct pv_streams *streams; /* borrowed: streams that have output */
    uint8_t own_pk[PV_SIGN_PK_LEN];
    struct pv_fifo *ops; /* borrowed: of struct pv_fileop, for the owner to take */
    /* May files go to the member (to), or come from it? Asked when one is offered, when it begins
     * to move, and by pv_filelink_rules_changed(); NULL: they may. */
    bool (*admits)(const void *owner, const uint8_t *pk, bool to);
    /* The room, to an offer of the member pk. Asked when one names it, and by
     * pv_filelink_rooms_changed(); NULL: all are strange. */
    enum pv_file_room (*room)(const void *owner, const uint8_t *pk, const uint8_t *room);
    /* Called by pv_filelink_speak() only; they call nothing here but pv_filelink_find(). A notice
     * to be sent in-band: one that cannot be is lost, as on the way. And the number of a file that
     * is new or in another state. */
    void (*send)(void *owner, const uint8_t *pk, struct pv_view notice, pv_ns now);
    void (*tell)(void *owner, uint32_t number, pv_ns now);
    void *owner; /* borrowed */
};

/* saved: what pv_filelink_save() gave, or empty. Unreadable parts of it are left out, and said in
 * the log. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_filelink_new(struct pv_filelink **ret_link,
                                  const struct pv_filelink_config *cfg, struct pv_view saved);
struct pv_filelink *pv_filelink_free(struct pv_filelink *link); /* NULL is fine; returns NULL */
/* True once after something changed that a restart must know: then save it. Changes that come in a
 * flood are saved together, a little later. */
bool pv_filelink_take_dirty(struct pv_filelink *link, pv_ns now);
/* The table as bytes; returns how many. *ret_save: which save this is. */
size_t pv_filelink_save(struct pv_filelink *link, uint8_t buf[static PV_FILELINK_SAVE_MAX],
                        uint64_t *ret_save);
/* The disk has what that save gave. Bytes that come in are fetched only then: of a file that its
 * sender was told is whole, the next life of this process must know. */
void pv_filelink_kept(struct pv_filelink *link, uint64_t save, pv_ns now);

/* The process ends: descriptors are given back. */
void pv_filelink_stop_all(struct pv_filelink *link);

/* --- peers --------------------------------------------------------------------------------- */

/* A member, as the roster has it now. */
struct pv_filelink_peer {
    const uint8_t *pk;
    const char *name;
    struct pv_addr addr; /* overlay address, port 0 */
    bool online;
    uint64_t auto_max; /* files of at most this many bytes are accepted unasked; 0 = none */
};
/* Presence, path or address of a member changed. */
void pv_filelink_set_peer(struct pv_filelink *link, const struct pv_filelink_peer *peer, pv_ns now);
/* Other rules: what they deny stops, and what was denied goes on. */
void pv_filelink_rules_changed(struct pv_filelink *link, pv_ns now);
/* A room was accepted, or left. */
void pv_filelink_rooms_changed(struct pv_filelink *link);
/* It left or was removed: transfers stop, offers are void. */
void pv_filelink_peer_gone(struct pv_filelink *link, const uint8_t *pk, pv_ns now);

/* --- requests of users --------------------------------------------------------------------- */

struct pv_filelink_offer {
    struct pv_filelink_peer peer;
    struct pv_view name; /* any UTF-8 */
    uint64_t size, time_ms;
    struct pv_file_stamp stamp;
    int handle;          /* descriptor, taken on success; given back by an operation RELEASE */
    const uint8_t *id;   /* of PV_FILE_ID_LEN bytes; NULL: a new one is drawn */
    const uint8_t *room; /* of PV_ROOM_ID_LEN bytes; NULL: to the peer alone, or that of its id */
};
/* *ret_number: of a new file, or of an old one that goes on or is over. PV_ERR_MALFORMED (name,
 * size), PV_ERR_EXISTS (another file for this peer has the id, or it is another room's),
 * PV_ERR_LIMIT: nothing is taken. */
PV_MUST_CHECK int pv_filelink_offer(struct pv_filelink *link, const struct pv_filelink_offer *offer,
                                    pv_ns now, uint32_t *ret_number);
/* All return PV_ERR_NOT_FOUND (no such number), PV_ERR_STATE (not in this state). */
PV_MUST_CHECK int pv_filelink_accept(struct pv_filelink *link, uint32_t number, pv_ns now);
/* Refuses an incoming file, withdraws an outgoing one; what has come of it is thrown away. */
PV_MUST_CHECK int pv_filelink_stop(struct pv_filelink *link, uint32_t number, pv_ns now);
/* The user has a DONE incoming file: the daemon's copy goes. */
PV_MUST_CHECK int pv_filelink_saved(struct pv_filelink *link, uint32_t number, pv_ns now);
/* Files by place, oldest first; NULL behind the last. Valid until the next call. */
const struct pv_file_entry *pv_filelink_at(const struct pv_filelink *link, size_t i);
const struct pv_file_entry *pv_filelink_find(const struct pv_filelink *link, uint32_t number);

/* --- notices: in-band --------------------------------------------------------------------- */

void pv_filelink_handle_notice(struct pv_filelink *link, const struct pv_filelink_peer *from,
                               struct pv_view body, pv_ns now);
/* Says what there is to say: notices to peers first, then what has changed to the owner. */
void pv_filelink_speak(struct pv_filelink *link, pv_ns now);

/* --- accepted connections: TCP PV_FILE_PORT ------------------------------------------------ */

/* From an address of the member pk; whether it is its daemon the connection itself must prove. sids
 * are never 0 and below 2^28. An older one may give way. PV_ERR_LIMIT: close it. */
PV_MUST_CHECK int pv_filelink_accepted(struct pv_filelink *link, const uint8_t *pk, pv_ns now,
                                       uint32_t *ret_sid);
/* Its requests come out as operations; the sid is forgotten then. */
void pv_filelink_handle_bytes(void *link, uint32_t sid, struct pv_view bytes, pv_ns now);
void pv_filelink_closed(void *link, uint32_t sid);
struct pv_view pv_filelink_out(void *link, uint32_t sid); /* until the next call */
void pv_filelink_wrote(void *link, uint32_t sid, size_t n);
/* Connections closed because their other end was not the peer's daemon, ever. */
uint64_t pv_filelink_unproven(const struct pv_filelink *link);

/* --- operations of the owner --------------------------------------------------------------- */

enum pv_fileop_type {
    PV_FILEOP_FETCH,   /* get id from addr, behind what is there already; ends with done() */
    PV_FILEOP_SERVE,   /* send handle's file on the connection sid; ends with done() */
    PV_FILEOP_ANSWER,  /* say why on the connection sid and close it */
    PV_FILEOP_CLOSE,   /* close the connection sid */
    PV_FILEOP_CANCEL,  /* end the transfer tag soon; done() still comes */
    PV_FILEOP_RELEASE, /* close handle */
    PV_FILEOP_DROP,    /* remove what is kept of id */
    PV_FILEOP_PASS,    /* the part's (files_part.h): give the received file to the control client
                          sid, with what is written to it next */
};
struct pv_fileop {
    enum pv_fileop_type type;
    uint64_t tag; /* FETCH, SERVE, CANCEL; never 0 */
    uint32_t sid;
    int handle;
    uint32_t number; /* FETCH, DROP, PASS: the file's, and with id what it is kept under */
    uint8_t id[PV_FILE_ID_LEN];
    struct pv_addr addr;        /* FETCH: with PV_FILE_PORT */
    uint64_t size;              /* FETCH, SERVE */
    uint64_t offset;            /* SERVE */
    struct pv_file_stamp stamp; /* SERVE */
    enum pv_file_why why;       /* ANSWER */
};
/* So many bytes have arrived or been sent, counted from the file's beginning. */
void pv_filelink_progress(struct pv_filelink *link, uint64_t tag, uint64_t done, pv_ns now);
/* The transfer is over; why NONE: whole and verified. done as in progress(). */
void pv_filelink_done(struct pv_filelink *link, uint64_t tag, enum pv_file_why why, uint64_t done,
                      pv_ns now);

/* --- time ---------------------------------------------------------------------------------- */

void pv_filelink_handle_timeout(struct pv_filelink *link, pv_ns now);
pv_ns pv_filelink_next_timeout(const struct pv_filelink *link);
