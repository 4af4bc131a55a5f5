/* SPDX-License-Identifier: MIT */
/*
 * events.h - what happens on this node, for control clients that listen (`watch`): a bounded list
 * of the newest events, and who wants to hear of them.
 *
 * Listeners of chat hear what concerns them at once. Followers hear everything: at once while they
 * read, else from the list as soon as they do, and what has left it as a number. So a client that
 * does not read costs no memory. A member who causes events as fast as it likes pushes out its own,
 * and few of the others'. The list keeps what happened to whom, and never what a message says,
 * which is the store's to keep and to delete (docs/PROTOCOL-LOCAL.md "What happens").
 */
#pragma once

#include "proto/local/ctlsrv.h"

enum {
    PV_EVENTS_KEPT = 512,      /* ours */
    PV_EVENTS_OF_ONE = 64,     /* ours: of one member, where there are more than fit */
    PV_EVENTS_LISTENERS = 64,  /* ours: as many as the control socket has connections */
    PV_EVENTS_BACKLOG = 65536, /* ours: bytes that wait for a follower before it has to read */
    PV_EVENTS_TEXT = 640,      /* bytes of a sentence with the NUL, for callers: a problem's */
};

/* One event. Texts are borrowed during the call; kind and what are static. */
struct pv_event {
    const char *chat; /* the name that listeners of chat know it by; NULL: it is not for them */
    const char *kind; /* NULL: it is not for followers */
    const char *what, *who; /* who NULL: nobody */
    const char *text;
};

/* One that is kept. */
struct pv_events_kept {
    uint64_t number, time_us;
    const char *kind, *what;
    char *who;  /* owned, the text with it; NULL: nobody, or there was no memory */
    char *text; /* in who, or owned where that is NULL */
};

struct pv_events_listener {
    uint64_t handle; /* ctl */
    bool follows;    /* everything; else chat */
    bool seen;       /* chat: somebody reads along: what is told counts as read */
    bool is_here;    /* a follower that was told where the present begins */
    bool blind;      /* a follower that asked for more than was ever in this list */
    uint64_t next;   /* a follower: number of the next event */
    pv_ns figures;   /* a follower: it is told amounts so often; 0: never */
    pv_ns figures_at;
};

/* A zeroed struct keeps nothing until pv_events_begin(). */
struct pv_events {
    struct pv_events_listener listeners[PV_EVENTS_LISTENERS];
    size_t n;
    struct pv_events_kept *kept; /* owned; n_kept by number, with gaps */
    size_t n_kept, cap;          /* grows to PV_EVENTS_KEPT */
    uint64_t first, next;        /* numbers: of the first ever, of the coming one */
};

/* From now on events are kept; the first one's number is the wall clock's, Unix microseconds, so
 * that they grow over starts. Does nothing where they are kept already. */
void pv_events_begin(struct pv_events *e, uint64_t wall_us);
/* All that from keeps goes on in to, which kept nothing; whoever listens there is dropped. */
void pv_events_hand_on(struct pv_events *from, struct pv_events *to);
void pv_events_done(struct pv_events *e);

/* The client of this request listens to chat. PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_events_listen(struct pv_events *e, uint64_t handle, bool seen);
/* It hears everything: what comes; before that what is kept from since_us (Unix microseconds) on,
 * or, with seq, what came after that number; 0: neither. PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_events_follow(struct pv_events *e, uint64_t handle, uint64_t since_us,
                                   uint64_t seq);
/* This follower is told amounts, at once and then so often, as far as it reads. */
void pv_events_want_figures(struct pv_events *e, uint64_t handle, pv_ns every, pv_ns now);
/* When somebody is next; PV_NEVER. */
pv_ns pv_events_figures_at(const struct pv_events *e);
/* body, which is taken (NULL: there is no memory), to those whose time it is. It is no event: it
 * has no number, and is not kept. */
void pv_events_tell_figures(struct pv_events *e, struct pv_ctlsrv *ctl, json_t *body, pv_ns now);
/* Does nothing when handle does not listen. */
void pv_events_drop(struct pv_events *e, uint64_t handle);
/* Does a listener of chat read along? */
bool pv_events_is_seen(const struct pv_events *e);

/* It happens now, wall_us. body, which is taken (NULL: nothing more to tell), is what listeners
 * are told beside; it is not kept. */
void pv_events_tell(struct pv_events *e, struct pv_ctlsrv *ctl, uint64_t wall_us,
                    const struct pv_event *event, json_t *body);
/* Tells followers what they have not heard, as far as they read. After each turn of the engine. */
void pv_events_run(struct pv_events *e, struct pv_ctlsrv *ctl);
