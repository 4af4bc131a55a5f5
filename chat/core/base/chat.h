/* SPDX-License-Identifier: MIT */
/*
 * chat.h - chat as each of its parts may see it: the node that it runs on, the services that all
 * parts use, and the machines that several parts speak to.
 *
 * A part of chat (chatpart.h) has one pointer to this. It decides nothing. Chat's engine owns it
 * (talk.h); one thread.
 */
#pragma once

#include "base/fifo.h"
#include "base/log.h"
#include "base/pv.h"
#include "base/repeats.h"
#include "base/streams.h"
#include "chat/core/base/chatpart.h"
#include "chat/core/base/chatstore.h"
#include "chat/node.h"
#include "proto/control/appsigner.h"
#include "proto/local/ctlsrv.h"
#include "proto/local/events.h"

struct pv_chatlink;
struct pv_rooms;

/* What changed in chat itself: a set of these bits, above the bits of enum pv_overlay_fact. */
enum pv_chat_fact {
    PV_CHAT_FACT_ROOMS = 1u << 16, /* a room was made, accepted or left, or who is in it changed */
    PV_CHAT_FACT_STORE = 1u << 17, /* a write failed: write again all that is to be kept */
    PV_CHAT_FACT_LOST = 1u << 18,  /* what was stored in this turn may not be on the disk */
};

/* The sources of lines in the log that nobody here asked for, each bounded by itself. */
enum pv_chat_source {
    PV_CHAT_FROM_COPIES,
    PV_CHAT_FROM_NOTIFICATIONS,
    PV_CHAT_FROM_COUNT,
};

enum {
    PV_CHAT_MAX_PARTS = 8,
    PV_CHAT_WHO = PV_NAME_BUF + 24, /* bytes of a name, with what shows that its machine is gone */
    PV_CHAT_MORE = 28,              /* bytes of the end of a line in the log, with the NUL */
};

/* An answer or an event that may say that something is stored. */
struct pv_chat_held {
    uint64_t handle; /* of the request; 0: it is an event */
    uint64_t wall_us;
    struct pv_event event; /* its texts are who and text here */
    char *who, *text;      /* owned */
    json_t *body;          /* owned */
};

struct pv_chat {
    struct pv_rng rng;
    const struct pv_log *log;
    const struct pv_overlay *overlay; /* borrowed: the node */
    struct pv_chat_given given;
    uint64_t wall_us; /* Unix microseconds, as the shell last told it, */
    pv_ns wall_at;    /* at this time */

    /* services */
    struct pv_chat_store store; /* the engine's, around the one that it was given */
    bool unsettled;             /* something may be written that is not on the disk yet */
    struct pv_fifo held;        /* struct pv_chat_held: goes to clients when it is */
    struct pv_streams streams;
    struct pv_ctlsrv *ctl;    /* borrowed */
    struct pv_events *events; /* borrowed */
    struct pv_repeats repeats[PV_CHAT_FROM_COUNT];
    /* Why chat's database cannot be used, and what to do; "": it can, as far as is known. */
    char off[PV_CHAT_STORE_ERROR];
    bool full;      /* an operation found the disk full; whoever tells the node resets it */
    pv_ns store_at; /* a write failed: all is written again then; PV_NEVER: none did */

    /* each written by the part around it */
    struct pv_chatlink *link; /* connections between members, and what goes over them */
    struct pv_fifo lines;     /* lines that came for rooms (chatlink.h) */
    struct pv_rooms *rooms;

    unsigned facts; /* not delivered yet */
    struct pv_chatpart_slot parts[PV_CHAT_MAX_PARTS];
    size_t n_parts;
};

/* Tells every part, after the call under way, that what these bits name has changed. */
static inline void pv_chat_raise(struct pv_chat *c, unsigned facts)
{
    c->facts |= facts;
}
/* The struct of the part; NULL: it is not there. */
void *pv_chat_part(const struct pv_chat *c, const struct pv_chatpart *part);

/* --- the node ------------------------------------------------------------------------------ */

static inline const struct pv_overlay_own *pv_chat_own(const struct pv_chat *c)
{
    return c->overlay->own(c->overlay->node);
}
/* Returns true if this node knows a network, be it a member no longer. */
static inline bool pv_chat_has_network(const struct pv_chat *c)
{
    return pv_chat_own(c)->standing != PV_OVERLAY_NO_NETWORK;
}
/* The machine with this key, whatever became of it. False: nothing is known of it. */
static inline bool pv_chat_known(const struct pv_chat *c, const uint8_t *key,
                                 struct pv_overlay_member *ret_member)
{
    return pv_overlay_by_key(c->overlay, key, ret_member);
}
/* The same of a member now, this node included. */
bool pv_chat_member(const struct pv_chat *c, const uint8_t *key,
                    struct pv_overlay_member *ret_member);
/* The same of one that this node can have to do with. */
bool pv_chat_peer(const struct pv_chat *c, const uint8_t *key,
                  struct pv_overlay_member *ret_member);
/* Finds the member with a p2pvpnd, other than this node, behind `after`; NULL: the first. Returns
 * false behind the last. after and ret_member may be the same. */
bool pv_chat_next_node(const struct pv_chat *c, const struct pv_overlay_member *after,
                       struct pv_overlay_member *ret_member);
/* Returns true if the machine with this key can be reached now. */
bool pv_chat_is_there(const struct pv_chat *c, const uint8_t *key);
/* The same of a member that is known; not while this node's own interface is down. */
static inline bool pv_chat_can_connect(const struct pv_chat *c, const struct pv_overlay_member *m)
{
    return pv_chat_own(c)->on_overlay && m->is_there;
}
/* Returns true if the member may use the service of this node, or (to) this node the member's. */
static inline bool pv_chat_admits(const struct pv_chat *c, const uint8_t *key,
                                  enum pv_overlay_service service, bool to)
{
    return c->overlay->may(c->overlay->node, key, service, to, NULL) == PV_OVERLAY_ALLOWED;
}
/* A path to the member is wanted; why is a static text. */
static inline void pv_chat_want(const struct pv_chat *c, const uint8_t *key, const char *why,
                                pv_ns now)
{
    c->overlay->want(c->overlay->node, key, why, now);
}
/* Signs as this node; borrows c. */
struct pv_appsigner pv_chat_signer(const struct pv_chat *c);

/* --- names --------------------------------------------------------------------------------- */

/* The machine with this key as users are to read it, in buf: "kid", "kid (former, key:dImW)" when
 * another one may have its name today, or "?". Not for commands that are to be copied. */
const char *pv_chat_who(const struct pv_chat *c, const uint8_t *key, char buf[static PV_CHAT_WHO]);
#define PV_CHAT_WHO_STR(c, key) pv_chat_who(c, key, (char[PV_CHAT_WHO]){0})

/* --- clients ------------------------------------------------------------------------------- */

/* Returns true if this node is a member. Otherwise answers the request with the reason. what: the
 * command, which begins the sentence. */
bool pv_chat_need_network(const struct pv_chat *c, const char *what, uint64_t handle, pv_ns now);
/* A request that is to be answered. */
struct pv_chat_asker {
    const char *what; /* the command, which begins a sentence */
    uint64_t handle;
    pv_ns now;
};
#define PV_CHAT_ASKER(what, handle, now) (&(struct pv_chat_asker){what, handle, now})
/* The machine that a user's word means. False: there is none of the kind that is needed, and the
 * request is answered. */
bool pv_chat_need(const struct pv_chat *c, const char *word, enum pv_overlay_needs needs,
                  const struct pv_chat_asker *asker, struct pv_overlay_member *ret_member);
/* A peer of this node, static ones too, that a user's word means. */
bool pv_chat_find(const struct pv_chat *c, const char *word, struct pv_overlay_member *ret_member);
/* Returns true if a rule keeps this node from the service, and then answers the request with it. */
bool pv_chat_refuse(const struct pv_chat *c, const struct pv_overlay_member *m,
                    enum pv_overlay_service service, const char *what, uint64_t handle);
/* Answers the request, once all that was stored in this turn is on the disk; takes body (NULL:
 * there is no memory). */
void pv_chat_answer(struct pv_chat *c, uint64_t handle, json_t *body);
/* Something happens now: tells clients that listen, likewise, and takes body. */
void pv_chat_tell(struct pv_chat *c, const struct pv_event *event, json_t *body, pv_ns now);

/* --- time and log -------------------------------------------------------------------------- */

/* Wall clock at now: Unix milliseconds. */
uint64_t pv_chat_wall_ms(const struct pv_chat *c, pv_ns now);
/* Shall a line be logged that the source causes, of the kind that text names? Gives the end of the
 * line: " more=N" when lines of the source were left out since its last one, else "". */
PV_MUST_CHECK bool pv_chat_may_log(struct pv_chat *c, enum pv_chat_source source, const char *text,
                                   pv_ns now, char ret_more[static PV_CHAT_MORE]);

/* --- what is kept -------------------------------------------------------------------------- */

/* Frees what it owns but the body. */
void pv_chat_held_done(struct pv_chat_held *held);
/* Does one operation of the store. */
static inline int pv_chat_do(struct pv_chat *c, const struct pv_chatop *op,
                             struct pv_chatop_result *ret)
{
    return pv_chat_store_run(&c->store, op, ret);
}
/* Brings to the disk what was stored in this turn. False: it is not there, and nothing that rests
 * on it may leave the process. */
PV_MUST_CHECK bool pv_chat_settle(struct pv_chat *c);
/* Has the store keep one named value. After a failure PV_CHAT_FACT_STORE asks every part, a little
 * later, to write again what it keeps. */
int pv_chat_put_value(struct pv_chat *c, const char *name, struct pv_view value, pv_ns now);
/* A write that a part repeats ended so. */
void pv_chat_stored(struct pv_chat *c, int status, pv_ns now);
