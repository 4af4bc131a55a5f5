/* SPDX-License-Identifier: MIT */
/*
 * groupsync.h - what the members of the network and this node tell each other of the groups they
 * want (proto/group/grouptell.h).
 *
 * A machine over the members, of each of which its owner keeps a struct pv_groupsync_peer. Each
 * side tells its whole set to each member that it meets, and again when the set changes. It repeats
 * that after 1, 2, 4, ... 60 s until the other says that it has the newest one. Two who have each
 * other's newest are silent. A daemon that starts anew is a new life: it knows nothing, its
 * messages say so, and it is told. Messages may be lost, come twice and overtake each other.
 *
 * Two facts about a member, each by itself:
 *   HEARD      it told what it wants
 *   CONFIRMED  it has our newest set
 *
 * Its owner sends and receives (lan.h). Not thread-safe.
 */
#pragma once

#include "base/bucket.h"
#include "base/heap.h"
#include "base/pv.h"
#include "proto/group/grouptell.h"

enum {
    PV_GROUPSYNC_RETRY_MIN_S = 1,
    PV_GROUPSYNC_RETRY_MAX_S = 60,
    PV_GROUPSYNC_WAKES = 3, /* ours: attempts to reach a member that is online, to tell it */
    PV_GROUPSYNC_RATE = 2,  /* ours: sets taken from one member a second; it repeats what is lost */
    PV_GROUPSYNC_BURST = 10, /* ours: at once */
};
/* Ours: between two messages to one member about changes: who joins and leaves all the time makes
 * no flood of it. */
#define PV_GROUPSYNC_PAUSE PV_MS(500)

#define PV_GROUPSYNC_WAKE_AGAIN PV_S(30) /* ours: between such attempts */

struct pv_groupsync; /* opaque */

/* The facts known of a member: zeroed before pv_groupsync_join(), and at one place until
 * pv_groupsync_leave(). Only id is for others. */
struct pv_groupsync_peer {
    uint32_t id;               /* of its peer */
    struct pv_groupsync *sync; /* NULL: it has not joined */
    struct pv_groupsync_peer *prev, *next;
    bool there;
    bool takes_discovery; /* we, of it */
    bool heard;
    bool confirmed;
    bool tell;  /* pv_groupsync_send() sends to it */
    bool to_us; /* its word: it takes discovery of us */
    struct pv_grouptell_version theirs;
    struct pv_group *groups; /* owned */
    size_t n;
    unsigned retry_s;
    pv_ns told_at;
    unsigned wakes; /* attempts to reach it for this */
    pv_ns wake_at;
    struct pv_bucket sets;
    struct pv_heap_node timer;
    struct pv_groupsync_peer *prev_tell, *next_tell;
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_groupsync_new(struct pv_groupsync **ret_sync, const struct pv_rng *rng);
/* After the last member has left. NULL is fine; returns NULL. */
struct pv_groupsync *pv_groupsync_free(struct pv_groupsync *sync);

/* A member whose peer has that id; nothing is known of it. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_groupsync_join(struct pv_groupsync *sync, struct pv_groupsync_peer *e,
                                    uint32_t id);
/* Forgets all about it; also one that has not joined. */
void pv_groupsync_leave(struct pv_groupsync_peer *e);

/* The groups that this node wants, in the order of pv_group_compare(), at most PV_GROUPTELL_MAX:
 * told to all when it is another set than before. */
void pv_groupsync_set_own(struct pv_groupsync *sync, const struct pv_group *groups, size_t n,
                          pv_ns now);
struct pv_groupsync_seen {
    bool there;           /* in-band messages reach it */
    bool takes_discovery; /* discovery is taken from it */
};
/* Takes what is known of a member now. Cheap when nothing has changed. */
void pv_groupsync_look(struct pv_groupsync_peer *e, const struct pv_groupsync_seen *seen,
                       pv_ns now);
/* A member is online, and is to be told. Returns true if it shall be reached for that now: a few
 * times, until our set changes or it went away. *ret_again: when to ask this again, or PV_NEVER. */
bool pv_groupsync_wake(struct pv_groupsync_peer *e, pv_ns now, pv_ns *ret_again);
/* It went away, perhaps for good: what it was told it may have forgotten. */
void pv_groupsync_away(struct pv_groupsync_peer *e);

/* An in-band message of the member. True when what it wants is something else now. */
bool pv_groupsync_take(struct pv_groupsync_peer *e, struct pv_view body, pv_ns now);

/* The facts known of a member; of one that has not joined, e NULL, what is supposed. */
struct pv_groupsync_known {
    bool heard;
    bool confirmed;
    bool takes_discovery;          /* of us; before HEARD it is supposed */
    const struct pv_group *groups; /* until the next call that changes it */
    size_t n;
};
struct pv_groupsync_known pv_groupsync_known(const struct pv_groupsync_peer *e);

/* Hands all messages that are to be sent to send(), which is given the id of each one's peer; one
 * that it cannot send is lost, as on the way. */
typedef void pv_groupsync_sender(void *arg, uint32_t id, struct pv_view body);
void pv_groupsync_send(struct pv_groupsync *sync, pv_groupsync_sender *send, void *arg);
void pv_groupsync_handle_timeout(struct pv_groupsync *sync, pv_ns now);
pv_ns pv_groupsync_next_timeout(const struct pv_groupsync *sync);
