/* SPDX-License-Identifier: MIT */
/*
 * rooms.h - rooms of a network: who is in them, and how what was said gets to everybody (DESIGN 8,
 * docs/PROTOCOL-PEERS.md "Rooms").
 *
 * A room is a set of signed records (made, invited, left), the same at every member in the end, and
 * one log of signed texts for each author, each without gaps. Members tell each other how far their
 * logs go and ask for what they lack, so that a text travels by whoever has it; nothing is sent
 * that was not asked for. A pure machine: it knows no connections, only peers that can be talked to
 * now, and everything that is to last goes to the store first. Everything may be lost at any
 * moment: what was told is told again on the next connection. Not thread-safe.
 *
 * States of a room here:
 *         PENDING   somebody says that we are invited; its records are being fetched
 *         INVITED   its records say so; no text is taken before a user here accepts it
 *         MEMBER    texts come and go
 *         LEFT      only that we left is told; what was said stays readable
 *   PENDING --an invitation of ours in the chain--> INVITED   --too long, or none--> forgotten
 *   INVITED --accepted, or somebody here speaks in it--> MEMBER
 *   MEMBER, INVITED --leave--> LEFT --invited again--> INVITED
 *   LEFT --more than PV_ROOM_MAX_LEFT; one in which nobody here spoke goes first--> forgotten
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "chat/core/base/chatstore.h"
#include "chat/node.h"
#include "chat/proto/room.h"

enum {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_ROOMS_MAX_PENDING = 4, /* soon full */
    PV_ROOMS_MAX_PEER_PENDING = 2,
    PV_ROOMS_MAX_OF_OTHERS = 4,
    PV_ROOMS_MAX_OF_CREATOR = 2,
#else
    PV_ROOMS_MAX_PENDING = 32,     /* invitations that are being fetched */
    PV_ROOMS_MAX_PEER_PENDING = 8, /* of these, on the word of one peer */
    PV_ROOMS_MAX_OF_OTHERS = 96,   /* rooms that others made, of PV_ROOM_MAX_ROOMS */
    PV_ROOMS_MAX_OF_CREATOR = 32,  /* of these of one node, and with them those that we left */
#endif
    PV_ROOMS_MAX_PEERS = 16384, /* members that are there, or were; PV_CHATLINK_MAX_PEERS */
    PV_ROOMS_MAX_OUT = 512,     /* lines that wait to be taken; more are dropped, and told
                                   again later */
    PV_ROOMS_FRAME_RATE = 200,  /* frames a second and peer; more closes its connections */
    PV_ROOMS_FRAME_BURST = 2000,
    PV_ROOMS_SERVE_RATE = 1024, /* KiB of texts a second handed to one peer */
    PV_ROOMS_SERVE_BURST = 8192,
    /* "#name", or "#name~" and the id's first characters or all, and the NUL */
    PV_ROOMS_NAME_BUF = PV_ROOM_NAME_MAX + PV_B64_LEN(PV_ROOM_ID_LEN) + 3,
    PV_ROOMS_MAX_MARKS = PV_ROOM_MAX_ROOMS + PV_ROOM_MAX_LEFT,
    PV_ROOMS_MARKS_LEN = 1 + PV_ROOMS_MAX_MARKS * (PV_ROOM_ID_LEN + 1), /* bytes, at most */
};

struct pv_rooms_event;
struct pv_rooms_config {
    struct pv_rng rng;
    struct pv_appsigner signer; /* as the node own_pk */
    uint8_t own_pk[PV_SIGN_PK_LEN];
    struct pv_chat_store *store; /* borrowed */
    const struct pv_log *log;    /* borrowed; may be NULL */
    /* The machine pk, whatever became of it. Returns false if nothing is known of it. */
    bool (*known)(const void *owner, const uint8_t *pk, struct pv_overlay_member *ret_member);
    /* May the member chat with this node? The texts of one that may not wait with the others, and
     * are asked for when this may have changed (pv_rooms_ask_all()); no invitation by it is
     * followed. NULL: all may. */
    bool (*admits)(const void *owner, const uint8_t *pk);
    /* Called by pv_rooms_speak() only. say() is given a line to send to pk, and
     * may call pv_rooms_unsaid(); want() a peer to which a connection is wanted, and may
     * call pv_rooms_peer_up(); tell() an event, borrowed with what it owns, and may call all but
     * speak() and free(). */
    void (*say)(void *owner, const uint8_t *pk, struct pv_view line, pv_ns now);
    void (*want)(void *owner, const uint8_t *pk, pv_ns now);
    void (*tell)(void *owner, const struct pv_rooms_event *event, pv_ns now);
    void *owner; /* borrowed */
};

struct pv_rooms; /* opaque */

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_rooms_new(struct pv_rooms **ret_rooms, const struct pv_rooms_config *cfg);
struct pv_rooms *pv_rooms_free(struct pv_rooms *rooms); /* NULL is fine; returns NULL */
/* The id of the network that this node is in from now on, PV_OVERLAY_NETWORK_LEN bytes; NULL: it is
 * in none. own_pk: it may be another one by now. Loads its rooms. */
void pv_rooms_set_network(struct pv_rooms *rooms, const uint8_t *network, const uint8_t *own_pk,
                          pv_ns now);
/* The store may have lost what was stored last: forgets everything and loads it again after a
 * while. */
void pv_rooms_reload(struct pv_rooms *rooms, pv_ns now);
/* Are the rooms loaded? */
bool pv_rooms_are_ready(const struct pv_rooms *rooms);

/* --- peers --------------------------------------------------------------------------------- */

/* The member is there, or not: presence or a path. PV_ERR_NOMEM; PV_ERR_LIMIT: PV_ROOMS_MAX_PEERS
 * others are there. */
PV_MUST_CHECK int pv_rooms_peer_online(struct pv_rooms *rooms, const uint8_t *pk, bool online,
                                       pv_ns now);
/* A connection to it can carry lines from now on, a new one; or there is none any more. */
void pv_rooms_peer_up(struct pv_rooms *rooms, const uint8_t *pk, bool up, pv_ns now);
/* It is a member no longer: nothing is kept of it. */
void pv_rooms_peer_gone(struct pv_rooms *rooms, const uint8_t *pk);
/* A line for it got lost although the connection stands: its output is full. The line is said again
 * a little later. */
void pv_rooms_unsaid(struct pv_rooms *rooms, const uint8_t *pk, pv_ns now);
/* A line of it for which pv_room_is_frame(). PV_ERR_REFUSED: it does what no honest node does.
 * PV_ERR_NOMEM: something of it was missed. Close its connections: a new one begins anew. */
PV_MUST_CHECK int pv_rooms_handle_frame(struct pv_rooms *rooms, const uint8_t *pk,
                                        struct pv_view line, pv_ns now);
/* Hands the owner all there is: events, lines, and wishes last, since a line may just have used the
 * connection that was wished for. True: there were lines or wishes. */
bool pv_rooms_speak(struct pv_rooms *rooms, pv_ns now);

/* --- users --------------------------------------------------------------------------------- */

/* "#name", "name", "#name~abcd", or "#~" and the whole id: our room; NULL: none. left: also one
 * that we left. The id lives until the next call. */
const uint8_t *pv_rooms_find(const struct pv_rooms *rooms, const char *name, bool left);
/* Its name here: "#name", or, when another room had that name here first, "#name~abcd" with the
 * beginning of its id. It keeps that name until it is forgotten, so that what is called by it goes
 * where it went before. An unknown room is "#~" and the beginning of its id. */
const char *pv_rooms_name(const struct pv_rooms *rooms, const uint8_t *room,
                          char buf[static PV_ROOMS_NAME_BUF]);
#define PV_ROOM_STR(rooms, room) pv_rooms_name(rooms, room, (char[PV_ROOMS_NAME_BUF]){0})
/* "#~" and the whole id: what pv_rooms_find() takes for this room and no other, ever. */
const char *pv_rooms_address(const uint8_t *room, char buf[static PV_ROOMS_NAME_BUF]);

struct pv_rooms_info {
    const uint8_t *id;
    const uint8_t *creator;
    bool left;
    bool invited;     /* and nobody here has accepted it yet */
    unsigned members; /* at present */
};
/* Room i, in no order that means anything; false: there is none. */
bool pv_rooms_info(const struct pv_rooms *rooms, size_t i, struct pv_rooms_info *ret_info);
/* That of one room; false: it is not known, or being fetched. */
bool pv_rooms_look(const struct pv_rooms *rooms, const uint8_t *room,
                   struct pv_rooms_info *ret_info);
struct pv_rooms_member {
    const uint8_t *pk;
    bool is_creator, has_left;
    uint64_t texts; /* known here */
};
bool pv_rooms_member(const struct pv_rooms *rooms, const uint8_t *room, size_t i,
                     struct pv_rooms_member *ret_member);
/* Are there so many rooms that no invitation by another node has a place? Leaving some makes it. */
bool pv_rooms_are_full(const struct pv_rooms *rooms);

/* A user wants to be in it: its texts are fetched from now on. PV_ERR_STATE: not in that room, or
 * not loaded. */
PV_MUST_CHECK int pv_rooms_accept(struct pv_rooms *rooms, const uint8_t *room, pv_ns now);
/* Which rooms are accepted and what they are called, as it was stored, before rooms are loaded;
 * none or damaged: no room is accepted but those that this node has made. */
void pv_rooms_set_marks(struct pv_rooms *rooms, struct pv_view saved);
/* The same when it is to be stored, because it changed (again: in any case): its bytes; 0: it is
 * not. */
size_t pv_rooms_take_marks(struct pv_rooms *rooms, bool again,
                           uint8_t ret_list[static PV_ROOMS_MARKS_LEN]);

/* A user who speaks in a room, or invites, has accepted it. All four are stored when they return;
 * the event DONE follows the first three. wall_ms: wall clock, Unix milliseconds. PV_ERR_STATE (no
 * network, not loaded, not in that room), PV_ERR_MALFORMED (name or text), PV_ERR_EXISTS (in a room
 * of that name, or invited to one; a member already), PV_ERR_LIMIT (rooms, members, texts),
 * PV_ERR_NOT_FOUND (the node is no member of the network), PV_ERR_NOMEM, an error of the store. */
PV_MUST_CHECK int pv_rooms_open(struct pv_rooms *rooms, const char *name, uint64_t wall_ms,
                                pv_ns now, uint8_t ret_room[static PV_ROOM_ID_LEN]);
PV_MUST_CHECK int pv_rooms_invite(struct pv_rooms *rooms, const uint8_t *room, const uint8_t *pk,
                                  uint64_t wall_ms, pv_ns now);
PV_MUST_CHECK int pv_rooms_leave(struct pv_rooms *rooms, const uint8_t *room, uint64_t wall_ms,
                                 pv_ns now);
struct pv_rooms_say {
    const uint8_t *room;
    const char *text;
    const uint8_t *id; /* PV_CHAT_ID_LEN, of who repeats a send: what was said in this room with it
                          is not said again, and given, or PV_ERR_EXISTS when it is another text;
                          NULL: always a new one */
};
/* *ret_said is the caller's (pv_chat_record_done()). */
PV_MUST_CHECK int pv_rooms_say(struct pv_rooms *rooms, const struct pv_rooms_say *say,
                               uint64_t wall_ms, pv_ns now, struct pv_chat_record *ret_said);

/* Whose texts are left for later now, because their author has as much here as it may: the author
 * and the room of one, borrowed until the next call. False: nobody's. */
bool pv_rooms_holding(const struct pv_rooms *rooms, pv_ns now, const uint8_t **ret_author,
                      const uint8_t **ret_room);
/* Has the store delete what is older than keep_s seconds (0: nothing is too old), what is hidden by
 * history clear, and the oldest when all is too much; but nothing that a member of the room may
 * still have to get from us (PV_ROOMOP_DROP). */
void pv_rooms_sweep(struct pv_rooms *rooms, uint64_t keep_s, pv_ns now);

/* --- time, events -------------------------------------------------------------------------- */

void pv_rooms_handle_timeout(struct pv_rooms *rooms, pv_ns now);
/* The machine slept, and nobody could reach it: what others get some minutes for begins anew. */
void pv_rooms_woke(struct pv_rooms *rooms, pv_ns now);
/* Whose texts wait with the others (pv_rooms_config.admits) may have changed. */
void pv_rooms_ask_all(struct pv_rooms *rooms, pv_ns now);
pv_ns pv_rooms_next_timeout(const struct pv_rooms *rooms);

enum pv_rooms_event_type {
    PV_ROOMS_DONE,    /* a user here has changed room: did, and node as below (LEFT: this one) */
    PV_ROOMS_MESSAGE, /* msg came in and is stored */
    PV_ROOMS_STATE,   /* our text msg.id got to msg.state */
    PV_ROOMS_INVITED, /* room: node was invited by `by` (node may be this one) */
    PV_ROOMS_LEFT,    /* room: node left */
    PV_ROOMS_JOINED,  /* room: a user here (node, by: this one) has accepted it */
};
struct pv_rooms_event {
    enum pv_rooms_event_type type;
    enum pv_room_type did;
    uint8_t room[PV_ROOM_ID_LEN];
    uint8_t node[PV_SIGN_PK_LEN], by[PV_SIGN_PK_LEN];
    struct pv_chat_record msg;
};

/* The counts of refusals so far. */
struct pv_rooms_counts {
    uint64_t forged;     /* records with a wrong signature */
    uint64_t bad_frames; /* frames and records not in their form */
    uint64_t strangers;  /* asked for, or sent, by nodes that are not in the room */
    uint64_t floods;     /* frames above the rate */
    uint64_t full;       /* records and texts above a limit, rooms above the number */
};
struct pv_rooms_counts pv_rooms_counts(const struct pv_rooms *rooms);
