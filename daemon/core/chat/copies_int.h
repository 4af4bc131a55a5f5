/* SPDX-License-Identifier: MIT */
/*
 * copies_int.h - what the files of the part "copies" share. Nobody else includes it.
 */
#ifndef PV_COPIES_INT_H
#define PV_COPIES_INT_H

#include "base/bucket.h"
#include "base/map.h"
#include "crypto/sign.h"
#include "daemon/core/chat/chatlink.h"
#include "daemon/core/chat/copies.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"
#include "proto/chat/copy.h"
#include "proto/chat/parcel.h"

enum {
    PV_COPIES_TASKS = 32, /* ours: receivers and holders in turn; the next look finds the rest */
    PV_COPIES_PUTS = 64,  /* ours: copies for others on their way to the disk; more are refused */
    PV_COPIES_GIVES = 16, /* ours: receivers who are handed theirs at once; others a little later */
    PV_COPIES_LATER = 1024, /* ours: those others; more are handed theirs when they come again */
    PV_COPIES_TAKES = 32,   /* ours: copies for us on their way to the disk; holders try again */
    /* Of puts, and of takes, those of one member: each sends the next copy after an answer to the
     * last one, and perhaps the same again on a new connection. */
    PV_COPIES_OF_MEMBER = 2,
    PV_COPIES_HOLDERS = 2, /* ours: members that have a copy of one message: one of them may go */
};

/* Ours: a copy may have given way to those of others, or its time is over, and neither coordinator
 * nor holders say so. So all that waits is stored anew: an hour after the start, for machines that
 * are switched off at night, and each day. */
#define PV_COPIES_RECOPY_FIRST PV_S(3600)
#define PV_COPIES_RECOPY_EVERY PV_S(86400)

/* What a job's result means: the low bits of its tag; the rest is the argument. */
enum pv_copies_job {
    PV_COPIES_JOB_NONE,    /* nothing but the number of copies held */
    PV_COPIES_JOB_AWAY,    /* messages for away.peer without a copy at the coordinator */
    PV_COPIES_JOB_RECOPY,  /* for whom messages wait, of which copies are stored anew */
    PV_COPIES_JOB_NOTED,   /* a copy is there: the message is SENT, which is told */
    PV_COPIES_JOB_BACKLOG, /* for whom messages wait */
    PV_COPIES_JOB_MISSING, /* messages of the first task without a copy at its holder */
    PV_COPIES_JOB_PUT,     /* argument: index in puts */
    PV_COPIES_JOB_NEXT,    /* argument: index in gives, and the receiver's peer id */
    PV_COPIES_JOB_OVER,    /* argument: peer id */
    PV_COPIES_JOB_BITS = 4,
};

/* The store at the coordinator: one message on its way there, one from there, at a time. */
struct pv_copies_coordinator {
    bool refused; /* this coordinator does not store, until the next connection */
    uint8_t (
        *waiting)[PV_SIGN_PK_LEN]; /* owned: peers that are away and may have messages waiting */
    size_t n_waiting, cap;
    bool sending;                   /* copies of peer's messages are made */
    uint8_t peer[PV_SIGN_PK_LEN];   /* receiver of those */
    struct pv_chatjob_result *list; /* owned: its messages; NULL: asked for, or none */
    size_t at;                      /* in list: the one under way */
    pv_ns send_at;                  /* not before */
    pv_ns recopy_at;                /* what waits is stored there anew */
    bool collecting;                /* a request or a commit is under way */
    bool again;                     /* news came meanwhile */
    bool left;                      /* one was passed over for want of room */
    pv_ns collect_at;               /* try (again) then; PV_NEVER */
};

/* The store at members. */
struct pv_copies_members {
    /* sender */
    pv_ns look_at; /* for messages without copies; PV_NEVER while the coordinator is there */
    bool looking;  /* a job does */
    pv_ns anew_at; /* holders are asked for all that waits */
    struct {
        uint8_t to[PV_SIGN_PK_LEN], holder[PV_SIGN_PK_LEN];
    } tasks[PV_COPIES_TASKS];
    size_t n_tasks;
    bool sending;                   /* the first task is under way: list, or its job */
    struct pv_chatjob_result *list; /* owned: messages of the first task; at is under way */
    size_t at;
    pv_ns answer_by; /* the holder's answer; PV_NEVER */

    /* holder: copies on their way to the disk, and to their receivers */
    uint64_t total; /* copies held for others */
    struct {
        bool used;
        uint8_t from[PV_SIGN_PK_LEN], to[PV_SIGN_PK_LEN], key[PV_CHAT_ID_LEN];
    } puts[PV_COPIES_PUTS];
    struct {
        bool used;
        uint32_t peer; /* its id */
        uint64_t n;    /* of the copy it has been given; 0: a job is out */
        pv_ns by;      /* its answer */
    } gives[PV_COPIES_GIVES];
    uint32_t later[PV_COPIES_LATER]; /* ids of receivers that found none of these free, in order */
    size_t n_later;

    /* receiver: copies on their way to the disk */
    struct {
        uint64_t number; /* 0: free */
        uint8_t holder[PV_SIGN_PK_LEN], from[PV_SIGN_PK_LEN], key[PV_CHAT_ID_LEN];
    } takes[PV_COPIES_TAKES];
    uint64_t last_number;
};

/* What came from one peer lately. */
struct pv_copies_peer {
    uint32_t id;
    struct pv_bucket frames;
    UT_hash_handle hh;
};

/* What was thrown away; `status` shows it. */
struct pv_copies_counts {
    uint64_t refused;    /* copies for others that were not taken */
    uint64_t forged;     /* copies for us that do not come from their author, or are not for us */
    uint64_t bad_frames; /* frames about copies not in their form, or too many */
};

struct pv_copies {
    struct pv_node *node;
    bool enabled; /* [chat] store = coordinator: own messages may wait elsewhere */
    bool willing; /* [chat] hold = on: copies are held for others */
    bool counted; /* the store was asked for the number of copies held */
    struct pv_copies_coordinator coordinator;
    struct pv_copies_members members;
    struct pv_map peer_map;
    struct pv_copies_peer *peers;
    struct pv_copies_counts counts;
};

/* --- copies.c -------------------------------------------------------------------------------- */

/* A job of this kind about copies for the store; NULL without memory. */
struct pv_chatjob *pv_copies_job_new(enum pv_copyjob_kind kind);
/* Has the store do it; job is taken, NULL fails. False: nothing will come back. */
bool pv_copies_submit(struct pv_copies *c, struct pv_chatjob *job, enum pv_copies_job what,
                      uint64_t arg);
/* May this node seal a copy for it at all? [security] pq = require wants hybrid ones. */
bool pv_copies_may_seal(struct pv_copies *c, const struct pv_peer *to);
/* Signs and seals m for its receiver, into PV_PARCEL_BOX_MAX bytes. A status of parcel.h;
 * PV_ERR_STATE: m is for somebody else. */
PV_MUST_CHECK int pv_copies_seal(struct pv_copies *c, const struct pv_peer *to,
                                 const struct pv_chat_record *m, uint8_t *ret_box, size_t *ret_len);
/* Opens a box of the author from and gives it to chatlink under this number. PV_ERR_AGAIN: the
 * author is not known yet; PV_ERR_LIMIT, PV_ERR_NOMEM: not now; else it is worthless. */
PV_MUST_CHECK int pv_copies_open(struct pv_copies *c, const uint8_t *from, struct pv_view box,
                                 uint64_t number, pv_ns now);

/* --- copies_coordinator.c -------------------------------------------------------------------- */

void pv_copies_coordinator_online(struct pv_copies *c, pv_ns now);
void pv_copies_coordinator_offline(struct pv_copies *c);
/* Something may wait for p; does nothing unless it is away. */
void pv_copies_coordinator_away(struct pv_copies *c, const struct pv_peer *p);
/* The coordinator says that it has copies for us. */
void pv_copies_coordinator_news(struct pv_copies *c, pv_ns now);
void pv_copies_coordinator_answer(struct pv_copies *c, uint64_t tag, const struct pv_ctl_msg *msg,
                                  pv_ns now);
/* Takes the list out of result. */
void pv_copies_coordinator_listed(struct pv_copies *c, struct pv_job_result *result, pv_ns now);
/* For these peers messages wait of which no copies count any more. */
void pv_copies_coordinator_recopy(struct pv_copies *c, const struct pv_job_result *result);
/* What became of the message of a copy with this number. */
void pv_copies_coordinator_committed(struct pv_copies *c, uint64_t number, int status, pv_ns now);
void pv_copies_coordinator_run(struct pv_copies *c, pv_ns now);
pv_ns pv_copies_coordinator_next(const struct pv_copies *c);
void pv_copies_coordinator_done(struct pv_copies *c);

/* --- copies_members.c ------------------------------------------------------------------------ */

/* The peer is there: what is held for it goes there. */
void pv_copies_members_give(struct pv_copies *c, const struct pv_peer *p, pv_ns now);
/* A connection to the member pk is there, a new one. */
void pv_copies_members_up(struct pv_copies *c, const uint8_t *pk, pv_ns now);
/* A frame of the peer, in its form and not too many. */
void pv_copies_members_frame(struct pv_copies *c, struct pv_peer *p, const struct pv_copy_frame *f,
                             pv_ns now);
/* As pv_copies_coordinator_committed(). False: the number is the coordinator's. */
bool pv_copies_members_committed(struct pv_copies *c, uint64_t number, int status);
/* May take the list out of result. */
void pv_copies_members_job(struct pv_copies *c, enum pv_copies_job what, uint64_t arg,
                           struct pv_job_result *result, pv_ns now);
void pv_copies_members_run(struct pv_copies *c, pv_ns now);
pv_ns pv_copies_members_next(const struct pv_copies *c);
void pv_copies_members_done(struct pv_copies *c);

#endif /* PV_COPIES_INT_H */
