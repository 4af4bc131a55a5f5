/* SPDX-License-Identifier: MIT */
/*
 * chatlink.h - chat between nodes: brings every message of the store's outbox to its receiver, in
 * order and exactly once, and stores what comes in before acknowledging it.
 *
 * A pure stream machine over any number of TCP connections on the overlay. Messages live in the
 * store; here is only a window of them. Everything may be lost at any moment (the process killed,
 * a connection cut, an acknowledgement lost): the store's outbox is sent again, and the receiver
 * knows by (sender, id) what it has. It does not resolve names or addresses, and does not know the
 * roster: its owner says who may chat and who is online. Not thread-safe.
 *
 * A connection is bound to the identity its address had when it was accepted or opened. That proves
 * the machine; before it carries anything but plain text its two ends prove that they are the
 * daemons (proof.h). Plain text that is not proven is stored as a record with seq 0: somebody on
 * that machine typed it. One connection serves both directions; when both sides open one, both
 * work.
 *
 * States of a peer; they follow from what is known of it and are not stored:
 *         IDLE       nothing to say, or nobody there
 *         WAITING    something to say and online; the next attempt is timed (1..60 s, or an event)
 *         OPENING    a connection is being made
 *         TALKING    a connection is used: the outbox flows, at most PV_CHATLINK_WINDOW unconfirmed
 *         HELD       as TALKING, but the peer takes no more for now: the outbox waits, and is tried
 *                    again after 30 s, later each time up to 600 s
 *   IDLE --send or backlog, online--> OPENING --connected--> TALKING --closed--> WAITING | IDLE
 *   OPENING --failed--> WAITING --time, peer online again, or accepted--> OPENING | TALKING
 *   any --peer offline--> IDLE (open connections stay)   any --peer gone--> IDLE, all closed
 * A connection that we opened is OPENING until its other end has proven itself.
 */
#pragma once

#include "base/addr.h"
#include "base/fifo.h"
#include "base/log.h"
#include "base/pv.h"
#include "base/streams.h"
#include "chat/core/base/chatstore.h"
#include "chat/node.h"
#include "proto/control/proof.h"

enum {
    PV_CHATLINK_MAX_PEERS = 16384,
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_CHATLINK_MAX_CONNS = 16, /* full within a run */
    PV_CHATLINK_MAX_UNPROVEN = 12,
#else
    PV_CHATLINK_MAX_CONNS = 256,   /* of all peers */
    PV_CHATLINK_MAX_UNPROVEN = 64, /* of all peers: the rest is for daemons */
#endif
    PV_CHATLINK_MAX_PEER_CONNS = 8,   /* with one peer: its daemon and a few nc */
    PV_CHATLINK_MAX_PROVEN = 2,       /* with one peer: both sides may open one at once */
    PV_CHATLINK_WINDOW = 16,          /* messages sent and not acknowledged, per peer */
    PV_CHATLINK_MAX_OUT = 262144,     /* bytes waiting on one connection; more closes it */
    PV_CHATLINK_USELESS_RATE = 20,    /* receipts a second and peer that tell nothing new; */
    PV_CHATLINK_USELESS_BURST = 1000, /* more closes its connections */
    /* Plain text of a peer, in bytes as they are stored:
     * so much a second, which is 1 MiB a day, and so much at once. More closes its connection. */
    PV_CHATLINK_PLAIN_RATE = 12,
    PV_CHATLINK_PLAIN_BURST = 1048576,
    PV_CHATLINK_BACKOFF_MIN_S = 1,
    PV_CHATLINK_BACKOFF_MAX_S = 60,
    PV_CHATLINK_CONNECT_S = 20, /* then the attempt has failed */
    PV_CHATLINK_SILENT_S = 10,  /* ours: of attempts that fail, while the peer is online */
    /* A receiver that takes no more asks for this pause; the sender makes it longer each time. */
    PV_CHATLINK_LATER_MIN_S = 30,
    PV_CHATLINK_LATER_MAX_S = 600,
    PV_CHATLINK_ACK_S = 30,   /* no acknowledgement for so long: the connection is dead */
    PV_CHATLINK_IDLE_S = 600, /* nothing said: closed */
};

struct pv_chatlink_event;
struct pv_chatlink_config {
    struct pv_rng rng;
    uint8_t own_pk[PV_SIGN_PK_LEN];
    const struct pv_log *log;    /* borrowed; may be NULL */
    struct pv_chat_store *store; /* borrowed */
    struct pv_streams *streams;  /* borrowed: those to be opened, closed and written */
    /* The key of the pair, as struct pv_overlay's link() (chat/node.h). NULL: connections are taken
     * unproven. */
    enum pv_overlay_link (*keys)(const void *owner, const uint8_t *pk, uint8_t *ret_key);
    bool plain_off; /* plain text is refused ([chat] plain = off) */
    /* May the member chat with this node (to: this node with it)? Asked for each message, and
     * before each attempt to send; NULL: all may. */
    bool (*admits)(const void *owner, const uint8_t *pk, bool to);
    /* Borrowed: of struct pv_chatlink_event, rooms' of them (UP, DOWN and LINE), whose msg is the
     * taker's: pv_chat_record_done(). They wait, for rooms may refuse a peer, and its connections
     * with it, of which this machine then still reads one. Those that nobody took are freed with
     * the machine. */
    struct pv_fifo *lines;
    /* Is told of each other event as it happens; NULL: nobody is. event and what it owns are
     * borrowed. Of this machine it may call pv_chatlink_held() and pv_chatlink_seen(). */
    void (*tell)(void *owner, const struct pv_chatlink_event *event, pv_ns now);
    void *owner; /* borrowed; in a daemon the node */
};

/* Opaque; the part "chat" is this machine, and functions that take it as void * are the part's. */
struct pv_chatlink;

/* Asks the store for what waits. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chatlink_new(struct pv_chatlink **ret_link,
                                  const struct pv_chatlink_config *cfg, pv_ns now);
struct pv_chatlink *pv_chatlink_free(struct pv_chatlink *link); /* NULL is fine; returns NULL */

/* --- peers --------------------------------------------------------------------------------- */

/* The member pk is reachable at addr (overlay address; the port is ours): presence, a path came
 * up, or its address changed. Tries at once what waits for it. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chatlink_peer_online(struct pv_chatlink *link, const uint8_t *pk,
                                          const char *name, const struct pv_addr *addr, pv_ns now);
/* Not reachable: no attempts until it is online again. */
void pv_chatlink_peer_offline(struct pv_chatlink *link, const uint8_t *pk, pv_ns now);
/* The binding of its name and addresses to pk ended (left, revoked): connections are closed.
 * Messages that wait for it stay in the store. */
void pv_chatlink_peer_gone(void *link, const uint8_t *pk, pv_ns now);

/* Other rules: what was not taken because of the old ones is sent again at once, and connections
 * that a peer opened, and may not now, end; this node opens its own when it has something to say.
 */
void pv_chatlink_rules_changed(struct pv_chatlink *link, pv_ns now);

/* The interface goes, and with it every connection, also those that are being made: sockets are
 * tied to it and hear nothing of its end. A message that was not acknowledged is sent again. */
void pv_chatlink_interface_gone(struct pv_chatlink *link);

/* Another state or key of the peer (chat/node.h): connections that prove an older one are closed,
 * and what waited for a key is tried at once. */
void pv_chatlink_peer_keyed(struct pv_chatlink *link, const uint8_t *pk, pv_ns now);

/* --- messages ------------------------------------------------------------------------------ */

struct pv_chatlink_message {
    const uint8_t *pk; /* receiver, a member */
    const char *name;  /* its name */
    const char *text;  /* pv_text_is_valid() */
    const uint8_t *id; /* PV_CHAT_ID_LEN, of who repeats a send; NULL: a new one */
    uint64_t wall_ms;  /* wall clock, Unix milliseconds */
};
/* Stores msg and sends it when it can; what is stored with that id already is not stored again.
 * *ret_stored is the caller's (pv_chat_record_done()). PV_ERR_MALFORMED (the text), PV_ERR_REFUSED
 * (own key), an error of the store's ENQUEUE. */
PV_MUST_CHECK int pv_chatlink_send(struct pv_chatlink *link, const struct pv_chatlink_message *msg,
                                   pv_ns now, struct pv_chat_record *ret_stored);
/* The owner ran an INBOX operation with mark_read and these messages were in its result: tell their
 * senders. */
void pv_chatlink_read(struct pv_chatlink *link, const struct pv_chatop_result *inbox, pv_ns now);
/* One message of the event MESSAGE was shown to somebody: mark it read and tell its sender. */
void pv_chatlink_seen(struct pv_chatlink *link, const uint8_t *pk, const uint8_t *id, pv_ns now);

/* A copy of a message from the member pk came from where it was kept; its author is proven. */
struct pv_chatlink_copy {
    const uint8_t *pk;
    const char *name;
    const uint8_t *id;
    uint64_t seq, time_ms;
    struct pv_view text; /* pv_text_is_valid() */
};
/* Stores the copy, new or known. PV_ERR_LIMIT: its author has used up the room here; PV_ERR_REFUSED
 * (own key); PV_ERR_NOMEM, or an error of the store's COMMIT. */
PV_MUST_CHECK int pv_chatlink_take_copy(struct pv_chatlink *link,
                                        const struct pv_chatlink_copy *copy, pv_ns now);

/* Does the peer take no more messages from here for now, and why? They stay queued.
 * PV_CHAT_LATER_RULES: it said so, or the rules here let nothing go to it, and something waits.
 * PV_CHAT_LATER_SILENT: it is online, and no connection to its chat comes about. */
enum pv_chat_later pv_chatlink_held(const struct pv_chatlink *link, const uint8_t *pk);
/* The other way round: whose messages were left for later last time, because of what they have
 * stored here (PV_CHAT_LATER_FULL). How many peers, and the name of one, "" for none; borrowed
 * until the next call. */
size_t pv_chatlink_holding(const struct pv_chatlink *link, const char **ret_name);

/* --- lines of others: rooms, copies -------------------------------------------------------- */

/* A connection to pk is wanted although nothing waits for it, until there is one. PV_ERR_NOT_FOUND:
 * it is not online. */
PV_MUST_CHECK int pv_chatlink_want(struct pv_chatlink *link, const uint8_t *pk, pv_ns now);
/* Sends a line on a connection that is there. PV_ERR_NOT_FOUND (none), PV_ERR_LIMIT (too much waits
 * on it), PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chatlink_say(struct pv_chatlink *link, const uint8_t *pk, struct pv_view line);
/* The peer does what no honest node does: closes its connections. */
void pv_chatlink_refuse(struct pv_chatlink *link, const uint8_t *pk, pv_ns now);

/* --- streams: TCP PV_CHAT_PORT, bound to the TUN ------------------------------------------- */

enum pv_chatlink_who {
    PV_CHATLINK_STRANGER, /* no member has this address */
    PV_CHATLINK_SELF,
    PV_CHATLINK_STATIC, /* a static [peer]: may not chat (DESIGN 8) */
    PV_CHATLINK_MEMBER,
};
/* The holder of the source address of an accepted connection now. */
struct pv_chatlink_source {
    enum pv_chatlink_who who;
    uint8_t pk[PV_SIGN_PK_LEN]; /* MEMBER */
    char name[PV_NAME_BUF];     /* MEMBER */
};
/* sids are never 0 and below 2^28. PV_ERR_REFUSED (anybody but a member), PV_ERR_LIMIT,
 * PV_ERR_NOMEM: close it. */
PV_MUST_CHECK int pv_chatlink_accepted(struct pv_chatlink *link,
                                       const struct pv_chatlink_source *source, pv_ns now,
                                       uint32_t *ret_sid);
void pv_chatlink_connected(void *link, uint32_t sid, pv_ns now);
/* wall_ms: wall clock, Unix milliseconds: the time of plain text lines. */
void pv_chatlink_handle_bytes(struct pv_chatlink *link, uint32_t sid, struct pv_view bytes,
                              uint64_t wall_ms, pv_ns now);
/* The stream is gone or could not be opened; the sid is forgotten. */
void pv_chatlink_closed(struct pv_chatlink *link, uint32_t sid, pv_ns now);

struct pv_view pv_chatlink_out(void *link, uint32_t sid); /* until the next call */
void pv_chatlink_wrote(void *link, uint32_t sid, size_t n, pv_ns now);

/* The counts of refusals so far. */
struct pv_chatlink_counts {
    uint64_t bad_frames; /* not in their form, too long */
    uint64_t floods;     /* connections closed because more came than is taken */
    uint64_t unproven;   /* connections closed because their other end is not the peer's daemon, or
                            carried plain text where that is off */
};
struct pv_chatlink_counts pv_chatlink_counts(const struct pv_chatlink *link);

/* --- time and events ----------------------------------------------------------------------- */

void pv_chatlink_handle_timeout(void *link, pv_ns now);
pv_ns pv_chatlink_next_timeout(const void *link);

enum pv_chatlink_event_type {
    PV_CHATLINK_MESSAGE, /* msg came in and is stored */
    PV_CHATLINK_STATE,   /* our message msg.id to msg.peer got to msg.state (no text) */
    PV_CHATLINK_UP,      /* msg.peer: a connection that carries frames is there, a new one */
    PV_CHATLINK_DOWN,    /* msg.peer: the last one is gone */
    PV_CHATLINK_LINE,    /* msg.peer sent msg.text, a line of rooms */
    PV_CHATLINK_NO_KEY,  /* msg.peer: what waits needs a path, on which a key is agreed */
};
struct pv_chatlink_event {
    enum pv_chatlink_event_type type;
    struct pv_chat_record msg;
};
