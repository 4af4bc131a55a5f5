/* SPDX-License-Identifier: MIT */
/*
 * rooms_int.h - what the files of rooms share. Nobody else includes it.
 */
#pragma once

#include "base/bucket.h"
#include "base/fifo.h"
#include "base/heap.h"
#include "base/map.h"
#include "chat/core/base/roomop.h"
#include "chat/core/rooms/rooms.h"

/* A node that is or was in a room; as an author, and as one to talk to. */
struct pv_rooms_node {
    uint8_t pk[PV_SIGN_PK_LEN];
    uint32_t round;                     /* invited so often; the creator has 1 from the beginning */
    uint32_t left;                      /* left so often; in the room when below round */
    uint64_t left_seq;                  /* of the last text before it left */
    uint64_t base[PV_ROOM_MAX_MEMBERS]; /* it does not get texts up to here, by author */

    uint64_t last;                 /* how far its log goes on our disk, */
    uint64_t low;                  /* and up to where it is deleted there */
    uint64_t taken;                /* how far once the batch is stored, too */
    pv_ns asked_until;             /* somebody was asked for more of it: */
    uint8_t asked[PV_SIGN_PK_LEN]; /* who; zeros: nobody since it grew */
    pv_ns full_until;              /* the store takes no more of it before */
    unsigned refused;              /* so often in a row it took none, at most DISK_DOUBLINGS */
    bool full;                     /* then: because its author has as much here as it may */
    pv_ns gap_since;  /* nobody within reach has its next text any more; 0: somebody has */
    uint64_t skip_to; /* so the texts up to this one are done without; 0: none */

    uint64_t known[PV_ROOM_MAX_MEMBERS]; /* logs it has, as far as we heard, by author, */
    uint64_t gone[PV_ROOM_MAX_MEMBERS];  /* and what it deleted of them */
    uint64_t had[PV_ROOM_MAX_MEMBERS];   /* known of the connection before, until it tells */
    uint64_t noted;                      /* our own texts up to here are noted as delivered to it */
    pv_ns claims_since;             /* it says that our own log is longer than we know; 0: never */
    uint8_t digest[PV_BLAKE2B_LEN]; /* of its records, as far as we heard */
    uint64_t told;                  /* version of the room told on this connection */
    pv_ns tell_at;                  /* tell it then; PV_NEVER */
    unsigned again;                 /* how often it was told the same, and still lacked something */
    uint64_t handed;                /* version of the room when it was handed records, 0: never; */
    size_t handed_for;              /* it had so many then */
    pv_ns list_at;                  /* the same list for the same digest is not sent to it before */
    uint8_t listed[PV_BLAKE2B_LEN], listed_for[PV_BLAKE2B_LEN];
};

/* One record, texts excepted. */
struct pv_rooms_record {
    uint8_t *raw; /* owned */
    size_t len;
    struct pv_room_record rec; /* its views point into raw */
};

struct pv_rooms_room {
    uint8_t id[PV_ROOM_ID_LEN];
    bool pending, closed;         /* closed: PENDING and over, freed at the next timeout */
    uint8_t from[PV_SIGN_PK_LEN]; /* PENDING: who told us */
    pv_ns pending_until;
    struct pv_rooms_record *records; /* owned; in an order in which they can be checked */
    size_t n_records;
    uint8_t digest[PV_BLAKE2B_LEN];
    struct pv_rooms_node *members[PV_ROOM_MAX_MEMBERS]; /* owned; [0] is the creator */
    size_t n_members;
    struct pv_rooms_node *self;          /* NULL: not named in it */
    uint64_t version;                    /* grows with everything that can be told; never 0 */
    uint64_t sent;                       /* own texts up to here are known to be that far, */
    uint64_t delivered_above, delivered; /* and of those above the one up to the other: the disk
                                            has more of them */

    struct pv_room_text *batch;     /* PV_ROOMOP_MAX_TEXTS, owned; NULL when empty */
    size_t n_batch;                 /* only while a frame or a user's text is taken */
    uint8_t source[PV_SIGN_PK_LEN]; /* who gave us the last texts */
    bool has_source;
    pv_ns ask_at; /* look for more to ask for */
    struct pv_heap_node timer;
};

/* One look after the other at what may be deleted, room by room. */
struct pv_rooms_sweep {
    bool on, again; /* under way; begin anew at its end */
    bool unread;    /* there is too much: texts that were not read go too */
    size_t next;    /* room */
    uint64_t keep_s;
};

/* One that is to be sent. */
struct pv_rooms_line {
    uint8_t pk[PV_SIGN_PK_LEN];
    char *bytes; /* owned */
    size_t len;
};

/* Kept of a room beside its records. */
struct pv_rooms_mark {
    uint8_t id[PV_ROOM_ID_LEN];
    bool accepted; /* another node made it, and a user here wants to be in it */
    uint8_t piece; /* characters of its id behind its name, which another room had first; 0: none */
};

/* All that is known of a peer. */
struct pv_rooms_peer {
    UT_hash_handle hh;
    uint8_t pk[PV_SIGN_PK_LEN];
    bool online, up, wanted;
    struct pv_bucket frames, served;
};

struct pv_rooms {
    struct pv_rooms_config cfg;
    bool in_network;
    uint8_t network[PV_OVERLAY_NETWORK_LEN]; /* its id */
    bool loaded;
    bool doubt;    /* the store failed: what is in memory may not be there, and is loaded again */
    pv_ns load_at; /* PV_NEVER: loaded, or in no network */
    pv_ns now;     /* of the call under way */
    bool any_wanted;

    struct pv_rooms_mark marks[PV_ROOMS_MAX_MARKS];
    size_t n_marks;
    bool marks_dirty;             /* the list is to be stored */
    struct pv_rooms_room **rooms; /* owned */
    size_t n_rooms, cap_rooms;
    struct pv_heap timers;
    struct pv_map peer_map;
    struct pv_rooms_peer *peers; /* owned: of whom something is known */

    struct pv_fifo lines;  /* of struct pv_rooms_line */
    struct pv_fifo events; /* of struct pv_rooms_event */
    struct pv_rooms_counts counts;
    struct pv_rooms_sweep sweep;
    uint8_t (*forgetting)[PV_ROOM_ID_LEN]; /* owned: rooms that the store deletes page by page */
    size_t n_forgetting, cap_forgetting;

    struct pv_room_frame in, out; /* scratch */
    size_t n_ahead;               /* records of in that were not looked at yet */
    /* Records that gave way to others in the call under way, to be forgotten by the store, too. */
    uint8_t forgotten[PV_ROOM_MAX_RECORDS][PV_BLAKE2B_LEN];
    size_t n_forgotten;
    uint8_t raw[PV_ROOM_RECORD_MAX];
    char line[PV_CHAT_LINE_MAX];
};

static inline bool pv_rooms_same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, PV_SIGN_PK_LEN) == 0;
}

/* In the room at present? */
static inline bool room_is_in(const struct pv_rooms_node *m)
{
    return m != NULL && m->round > m->left;
}

/* --- rooms_set.c: records and what follows from them ----------------------------------------- */

/* A new empty room with this id. PV_ERR_NOMEM, PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_rooms_room_new(struct pv_rooms *rs, const uint8_t *id,
                                    struct pv_rooms_room **ret_room);
/* Takes it off the list and frees it. */
void pv_rooms_room_free(struct pv_rooms *rs, struct pv_rooms_room *room);
struct pv_rooms_room *pv_rooms_room_find(const struct pv_rooms *rs, const uint8_t *id);
struct pv_rooms_node *pv_rooms_member_find(const struct pv_rooms_room *room, const uint8_t *pk);
size_t pv_rooms_index(const struct pv_rooms_room *room, const uint8_t *pk); /* SIZE_MAX: none */
/* Adds a record whose signature is right, if it may stand: PV_OK; *ret_replaces says whether it
 * took the place of the one with hash ret_replaced. Without a place records of a node that is out
 * of the room give way (rs->forgotten). PV_ERR_EXISTS (known, or a better one is),
 * PV_ERR_REFUSED (its signer may not, or what it rests on is missing), PV_ERR_LIMIT, PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_rooms_add(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_view raw,
                               const struct pv_room_record *rec, bool *ret_replaces,
                               uint8_t ret_replaced[static PV_BLAKE2B_LEN]);
/* Digest and bases anew, after records were added. */
void pv_rooms_settle(struct pv_rooms_room *room);
/* Where our logs begin when we are invited: what we do not get. */
void pv_rooms_begin_logs(struct pv_rooms_room *room);
/* Where the node may have begun the author's log: at the highest base of all its invitations that
 * can be true. It has none of the texts up to there for sure. */
uint64_t pv_rooms_began_at(const struct pv_rooms_room *room, const struct pv_rooms_node *m,
                           const struct pv_rooms_node *author);
const struct pv_room_record *pv_rooms_creation(const struct pv_rooms_room *room);

/* --- rooms_sync.c: what members tell each other -------------------------------------------- */

/* Arms the room's timer for the earliest of its times. */
void pv_rooms_rearm(struct pv_rooms *rs, struct pv_rooms_room *room);
/* Tells m what we have, at `at` at the latest. */
void pv_rooms_tell(struct pv_rooms_room *room, struct pv_rooms_node *m, pv_ns at);
/* Something changed: tells all who lack it, after at most `within`. */
void pv_rooms_tell_all(struct pv_rooms *rs, struct pv_rooms_room *room, pv_ns within, pv_ns now);
/* Asks whoever can be asked for texts that we lack. */
void pv_rooms_ask(struct pv_rooms *rs, struct pv_rooms_room *room, pv_ns now);
void pv_rooms_run(struct pv_rooms *rs, struct pv_rooms_room *room, pv_ns now);
/* How far do others have our texts? */
void pv_rooms_note_delivered(struct pv_rooms *rs, struct pv_rooms_room *room);
/* They are asked for that anew. */
void pv_rooms_note_again(struct pv_rooms_room *room);
/* May it chat with this node (pv_rooms_config.admits)? This one asks no rule of itself. */
bool pv_rooms_admits(const struct pv_rooms *rs, const uint8_t *pk);
/* A member of the network that is not revoked? */
bool pv_rooms_may_talk(const struct pv_rooms *rs, const uint8_t *pk);

/* --- rooms_age.c: what is deleted, here and elsewhere; who is asked ------------------------- */

/* The member that is asked for more of an author's log, and the number above which. */
struct pv_rooms_source {
    size_t member; /* SIZE_MAX: nobody, now */
    uint64_t above;
};
/* True when somebody within reach says that there is more. */
bool pv_rooms_find_source(struct pv_rooms *rs, struct pv_rooms_room *room, size_t author, pv_ns now,
                          struct pv_rooms_source *ret_source);
/* Does the text with this number come next in the author's log here? */
bool pv_rooms_is_next(const struct pv_rooms_node *author, uint64_t seq);
/* Texts were stored: where a log begins behind a gap, what is missing counts as deleted. said: our
 * user said the own one just now, it was not fetched from others. */
void pv_rooms_note_gaps(struct pv_rooms_room *room, const struct pv_chatop_result *result,
                        bool said, pv_ns now);
/* Do others have more of our own log than we? */
bool pv_rooms_is_behind_itself(struct pv_rooms_room *room, pv_ns now);
void pv_rooms_note_claim(struct pv_rooms_room *room, struct pv_rooms_node *m, pv_ns now);
/* The next text of ours is to get its number. */
void pv_rooms_refute_claims(struct pv_rooms_room *room);
/* Goes on with the look, if there is one: one page of one room. */
void pv_rooms_sweep_page(struct pv_rooms *rs);

/* --- rooms_set.c: how many rooms there may be ------------------------------------------------ */

/* May this node make one more room? */
bool pv_rooms_has_own_place(const struct pv_rooms *rs);
/* May it be drawn into one more by this node? */
bool pv_rooms_has_place(const struct pv_rooms *rs, const uint8_t *creator);
/* May it be brought back into this one, which it left? That counts for who made it already. */
bool pv_rooms_has_place_back(const struct pv_rooms *rs, const struct pv_rooms_room *room);
/* May one more be fetched on the word of pk? One of a peer that has more may give way. */
bool pv_rooms_make_pending_place(struct pv_rooms *rs, const uint8_t *pk);
/* Of too many rooms that were left some are forgotten, not `kept` (NULL: any). */
void pv_rooms_forget_left(struct pv_rooms *rs, const struct pv_rooms_room *kept);
/* Goes on with deleting a room on disk: one page. */
void pv_rooms_forget_page(struct pv_rooms *rs);
/* Is the room on its way out? News of it meanwhile is told again. */
bool pv_rooms_is_being_forgotten(const struct pv_rooms *rs, const uint8_t *id);

/* --- rooms_marks.c: what users here want, and what rooms are called here ---------------------- */

/* Does somebody here want to be in it? The user of the node that made it does. Its creation must be
 * known: not for one that may still be pending. */
bool pv_rooms_is_accepted(const struct pv_rooms *rs, const struct pv_rooms_room *room);
/* Are we in it, and accepted it? For any room. */
bool pv_rooms_is_wanted(const struct pv_rooms *rs, const struct pv_rooms_room *room);
/* Of a room that was left users are asked when they are invited again. Told when its records are on
 * disk, and before such an invitation: it may come while they are on their way there. */
void pv_rooms_note_left(struct pv_rooms *rs, const struct pv_rooms_room *room);
/* Do users see it? */
bool pv_rooms_is_listed(const struct pv_rooms_room *room);
/* Is a room called so, without a piece of its id, that we are in, accepted or not? */
bool pv_rooms_is_name_taken(const struct pv_rooms *rs, const char *name);
/* The room is listed from now on: it gets the name that it keeps here. */
void pv_rooms_name_new(struct pv_rooms *rs, const struct pv_rooms_room *room);
/* The rooms are loaded. */
void pv_rooms_note_loaded(struct pv_rooms *rs);

/* --- rooms_store.c: queues ----------------------------------------------------------------- */

/* NULL: nothing is known of it. */
struct pv_rooms_peer *pv_rooms_peer_find(const struct pv_rooms *rs, const uint8_t *pk);
/* Takes it out of the table and frees it. */
void pv_rooms_peer_free(struct pv_rooms *rs, struct pv_rooms_peer *peer);
/* Does one operation of the store; writes its network. */
int pv_rooms_do(struct pv_rooms *rs, struct pv_roomop *op, struct pv_chatop_result *ret);
/* Queues rs->out as a line for pk. */
void pv_rooms_put(struct pv_rooms *rs, const uint8_t *pk);
void pv_rooms_drop_lines(struct pv_rooms *rs);
/* Queues an event; *msg may be NULL and is taken. */
void pv_rooms_event_push(struct pv_rooms *rs, const struct pv_rooms_event *event);
/* Stores the batch of texts. ret_said: the one that a user here said, and alone in it; NULL: all
 * came from others. An error of the store's TAKE; then none is stored. */
int pv_rooms_take(struct pv_rooms *rs, struct pv_rooms_room *room, struct pv_chat_record *ret_said);
/* Adds a text to the batch: it follows its author's last. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_rooms_batch(struct pv_rooms *rs, struct pv_rooms_room *room,
                                 struct pv_rooms_node *author, const struct pv_room_record *rec,
                                 const uint8_t *sig);
/* Stores these raws (taken, also on failure) and where logs begin, and tells others. own: the only
 * one, which a user here made; NULL: others did. An error of the store's KEEP: what is in memory is
 * loaded again before anything is told. */
PV_MUST_CHECK int pv_rooms_keep(struct pv_rooms *rs, struct pv_rooms_room *room,
                                struct pv_room_raw *raws, size_t n,
                                const struct pv_room_record *own);
/* Own texts above `above` and up to seq got that far. */
void pv_rooms_mark(struct pv_rooms *rs, struct pv_rooms_room *room, uint64_t above, uint64_t seq,
                   enum pv_chat_state state);
/* Loads the rooms of the network, or tries again after a while. */
void pv_rooms_load(struct pv_rooms *rs);
/* Forgets the rooms, and what waits for peers of them. */
void pv_rooms_drop_all(struct pv_rooms *rs);
