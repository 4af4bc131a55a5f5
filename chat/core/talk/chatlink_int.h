/* SPDX-License-Identifier: MIT */
/*
 * chatlink_int.h - what the files of chatlink share: its tables and connections. Nobody else
 * includes it.
 */
#pragma once

#include <string.h>

#include "base/bucket.h"
#include "base/fifo.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/outbuf.h"
#include "chat/core/base/chatpart.h"
#include "chat/core/talk/chatlink.h"

struct pv_chatlink_peer;

/* A message in the output of a connection: it is SENT when out_done reaches end. */
struct pv_chatlink_sent {
    uint8_t id[PV_CHAT_ID_LEN];
    uint64_t end;
};

enum pv_chatlink_stream {
    PV_CHATLINK_OPENING,
    PV_CHATLINK_OPEN,
};

/* One TCP connection. */
struct pv_chatlink_conn {
    uint32_t sid;
    struct pv_chatlink_peer *peer; /* bound when it was accepted or opened */
    struct pv_chatlink_conn *prev_of_peer, *next_of_peer;
    struct pv_stream_turn turn;
    enum pv_chatlink_stream stream;
    bool opened; /* by us; else accepted */
    bool speaks; /* carries frames: its ends have proven themselves, or the peer proves nothing */
    bool proven; /* by the key that key_tag names */
    bool asked;  /* own_nonce went out */
    uint8_t own_nonce[PV_PROOF_NONCE_LEN], peer_nonce[PV_PROOF_NONCE_LEN];
    uint8_t key_tag[PV_PROOF_TAG_LEN];
    pv_ns last_heard;
    uint64_t last_wall_ms; /* at the last bytes */
    uint64_t refused_seq;  /* not 0: messages from there on were left for later, and none behind is
                              taken before this one comes again: order is kept */
    uint64_t sent_seq;     /* window messages up to here are written to it */
    pv_ns ack_deadline;    /* PV_NEVER: nothing unacknowledged */
    uint8_t (*told)[PV_CHAT_ID_LEN]; /* read receipts put into the output, not yet noted; owned */
    size_t n_told;
    struct pv_chatlink_sent sent[PV_CHATLINK_WINDOW]; /* ascending by end */
    size_t n_sent;
    uint64_t out_put;  /* bytes ever queued */
    uint64_t out_done; /* bytes ever written */
    struct pv_outbuf out;
    char *in; /* in_cap bytes; an unfinished line */
    size_t in_len, in_cap;
    bool in_text; /* that is the rest of plain text, whatever it begins with */
    struct pv_heap_node timer;
    UT_hash_handle hh; /* by sid */
};

struct pv_chatlink_peer {
    uint8_t pk[PV_SIGN_PK_LEN];
    char name[PV_NAME_BUF];
    struct pv_addr addr;
    bool online;
    bool was_away; /* it went offline since it was online last */
    struct pv_chatlink_conn *conns;
    struct pv_chatlink_conn *active; /* the one that carries the outbox */

    /* Outbox: the oldest undelivered messages, ascending; empty while there is no connection. */
    struct pv_chat_record *window; /* PV_CHATLINK_WINDOW, owned; NULL without a connection */
    size_t n_window;
    uint64_t loaded_seq;     /* highest seq that was in the window */
    bool more_queued;        /* the store has, or may have, undelivered ones above loaded_seq */
    enum pv_chat_later held; /* why the peer takes no more messages for now */
    pv_ns held_until;        /* it is not tried before */
    unsigned held_s;         /* length of the next pause */
    bool wanted;             /* others have something to say to it */
    bool owes;               /* the store has, or may have, read receipts for it */

    /* Inbox. */
    enum pv_chat_later holding; /* why its last message was left for later */
    struct pv_bucket plain;     /* text that nobody proved */
    struct pv_bucket useless;   /* of receipts that tell nothing new */

    unsigned backoff_s; /* before the next attempt when this one fails */
    pv_ns retry_at;     /* no attempt before it */
    pv_ns last_attempt;
    pv_ns silent_since; /* of the first attempt in a row that nobody answered; PV_NEVER: none */
    bool silent;        /* and so for PV_CHATLINK_SILENT_S */
    bool barred;        /* the rules let nothing go to it, when they were asked last */
    struct pv_heap_node timer;
    UT_hash_handle hh; /* by pk */
};

/* An event that others can cause is logged once a minute, and counted meanwhile: over all peers,
 * for a peer is forgotten with its last connection. */
struct pv_chatlink_quiet {
    pv_ns until;
    unsigned more;
};

struct pv_chatlink {
    struct pv_chatlink_config cfg;

    struct pv_map peer_map, conn_map;
    struct pv_chatlink_peer *peers;
    struct pv_chatlink_conn *conns;
    struct pv_heap peer_timers, conn_timers;
    uint32_t last_sid;

    bool counted; /* the backlog is known; nothing is sent before */
    pv_ns count_at;

    struct pv_chatlink_counts counts;
    struct pv_chatlink_quiet refused, floods;

    char line[PV_CHAT_LINE_MAX]; /* scratch for one outgoing frame */
    struct pv_chat_frame frame;  /* scratch for one incoming frame */
};

/* --- chatlink_conn.c: connections ---------------------------------------------------------- */

/* A new connection of peer. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chatlink_conn_new(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                                       struct pv_chatlink_conn **ret_conn);
/* Unlinks and frees it; pending messages that came on it stay. */
void pv_chatlink_conn_free(struct pv_chatlink *link, struct pv_chatlink_conn *c);
struct pv_chatlink_conn *pv_chatlink_conn_find(const struct pv_chatlink *link, uint32_t sid);
/* Frames may go out on it from now on. */
void pv_chatlink_conn_speaks(struct pv_chatlink *link, struct pv_chatlink_conn *c);
/* Asks the shell to close it and frees it. */
void pv_chatlink_conn_close(struct pv_chatlink *link, struct pv_chatlink_conn *c);
/* Queues bytes to write. PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chatlink_conn_put(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                                       const char *bytes, size_t len);
/* Queues an event for rooms and takes text; without memory it is lost, and said again. */
void pv_chatlink_event_push(struct pv_chatlink *link, enum pv_chatlink_event_type type,
                            const uint8_t *pk, char *text);
/* Arms its timer for the earliest of its deadlines. */
void pv_chatlink_conn_rearm(struct pv_chatlink *link, struct pv_chatlink_conn *c);
/* Asks the shell to connect it. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chatlink_conn_open(struct pv_chatlink *link, const struct pv_chatlink_conn *c);

/* --- events -------------------------------------------------------------------------------- */

/* Tells the owner of an event. */
static inline void pv_chatlink_tell(struct pv_chatlink *link, enum pv_chatlink_event_type type,
                                    const struct pv_chat_record *msg, pv_ns now)
{
    const struct pv_chatlink_event event = {.type = type, .msg = *msg};
    if (link->cfg.tell != NULL)
        link->cfg.tell(link->cfg.owner, &event, now);
}

/* The same for an event that tells no more than whom it is about. */
static inline void pv_chatlink_tell_of(struct pv_chatlink *link, enum pv_chatlink_event_type type,
                                       const uint8_t *pk, pv_ns now)
{
    struct pv_chat_record rec = {.text = NULL};
    memcpy(rec.peer, pk, sizeof(rec.peer));
    pv_chatlink_tell(link, type, &rec, now);
}

/* --- chatlink.c: peers --------------------------------------------------------------------- */

struct pv_chatlink_peer *pv_chatlink_peer_find(const struct pv_chatlink *link, const uint8_t *pk);
/* The peer, made when it is new (name is for that case). PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chatlink_peer_get(struct pv_chatlink *link, const uint8_t *pk,
                                       const char *name, struct pv_chatlink_peer **ret_peer);
/* Frees the entry of a peer with whom nothing goes on. */
void pv_chatlink_free_if_idle(struct pv_chatlink *link, struct pv_chatlink_peer *peer);
/* Is there something to tell the peer? */
static inline bool pv_chatlink_has_work(const struct pv_chatlink_peer *peer)
{
    return peer->n_window > 0 || peer->more_queued || peer->owes || peer->wanted;
}
/* The last attempt failed or its connection ended: the next one waits, longer each time. */
void pv_chatlink_back_off(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now);
/* A connection is gone, or (close) shall be; frees it. */
void pv_chatlink_lost_conn(struct pv_chatlink *link, struct pv_chatlink_conn *c, bool close,
                           pv_ns now);
/* The store failed: what is not stored is not acknowledged. All connections of peer are closed, so
 * that senders repeat from the first message that was not stored. */
void pv_chatlink_give_up(struct pv_chatlink *link, struct pv_chatlink_peer *peer, int status,
                         pv_ns now);

/* --- chatlink_send.c ----------------------------------------------------------------------- */

/* Asks the store for whom something waits. */
void pv_chatlink_count(struct pv_chatlink *link, pv_ns now);
/* Does the next thing that can be done for peer. Called after anything that may have changed what
 * there is to say or the way to say it. */
void pv_chatlink_pump(struct pv_chatlink *link, struct pv_chatlink_peer *peer, pv_ns now);
/* Messages of c that are written now are SENT. */
void pv_chatlink_note_sent(struct pv_chatlink *link, struct pv_chatlink_conn *c, pv_ns now);
/* The peer takes no more from the message with this id on. */
void pv_chatlink_handle_later(struct pv_chatlink *link, struct pv_chatlink_peer *peer,
                              const struct pv_chat_frame *f, pv_ns now);
/* Until when something must come back on c. */
void pv_chatlink_expect(struct pv_chatlink_conn *c, pv_ns now);

/* --- proof of the other side: chatlink_conn.c ------------------------------------------------ */

/* The pair's key, and how far it is known. */
static inline enum pv_overlay_link pv_chatlink_key(const struct pv_chatlink *link,
                                                   const uint8_t *pk, uint8_t *ret_key)
{
    return link->cfg.keys == NULL ? PV_OVERLAY_LINK_NONE
                                  : link->cfg.keys(link->cfg.owner, pk, ret_key);
}
/* Without keys nobody proves anything: connections are taken as they are. */
bool pv_chatlink_takes_unproven(const struct pv_chatlink *link,
                                const struct pv_chatlink_peer *peer);
/* Would a connection that we open now come to carry frames? */
bool pv_chatlink_may_open(const struct pv_chatlink *link, const struct pv_chatlink_peer *peer);
/* A connection that we opened is there. False when it must be closed. */
PV_MUST_CHECK bool pv_chatlink_begin(struct pv_chatlink *link, struct pv_chatlink_conn *c);
/* A line that is pv_proof_is_line(). False when the connection must be closed. */
PV_MUST_CHECK bool pv_chatlink_handle_proof(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                                            struct pv_view text, pv_ns now);

/* A new connection of peer is about to be made: closes what must give way to it. */
void pv_chatlink_make_place(struct pv_chatlink *link, struct pv_chatlink_peer *peer, bool opened,
                            pv_ns now);

/* --- chatlink_recv.c: input ---------------------------------------------------------------- */

/* Bytes from the connection. False when it must be closed: not a frame, too long, too fast. */
bool pv_chatlink_handle_input(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                              struct pv_view bytes, pv_ns now);
/* One line of it. */
bool pv_chatlink_handle_line(struct pv_chatlink *link, struct pv_chatlink_conn *c,
                             struct pv_view line, pv_ns now);
/* Stores that our messages to the peer have reached the state, and tells the messages that had
 * not. */
int pv_chatlink_mark(struct pv_chatlink *link, const struct pv_chatlink_peer *peer,
                     enum pv_chat_state state, const uint8_t (*ids)[PV_CHAT_ID_LEN], size_t n,
                     size_t *ret_changed, pv_ns now);
/* The place of our message in the window; n_window: it does not wait there. */
size_t pv_chatlink_find_waiting(const struct pv_chatlink_peer *peer, const uint8_t *id);
