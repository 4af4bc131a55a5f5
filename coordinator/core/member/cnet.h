/* SPDX-License-Identifier: MIT */
/*
 * cnet.h - one network as its coordinator keeps it: the roster, the log (statements in the order in
 * which this coordinator accepted them, which is what nodes page through), and the reservations of
 * nodes that are joining.
 *
 * Answers "may this be stored?" before the store is asked, and takes in what was stored. Makes no
 * receipts and no store operations: that is registry.h. Single thread.
 */
#pragma once

#include "base/bucket.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pv.h"
#include "coordinator/core/member/netlimits.h"
#include "coordinator/core/member/order.h"
#include "proto/control/ctlmsg.h"
#include "proto/roster/roster.h"

enum {
    PV_CNET_RESERVATIONS = 4096, /* ours: in one network at once */
    /* Ours: under one invite at once, beside one for each of its uses. */
    PV_CNET_INVITE_RESERVATIONS = 64,
    PV_COORD_RESERVE_S = 60,        /* seconds a reservation is held, DESIGN 3 */
    PV_CNET_APPLICANT_RATE = 1000,  /* ours: joins and registrations a second with a good invite */
    PV_CNET_APPLICANT_BURST = 2000, /* ours: at once: a thousand machines */
    PV_CNET_STRAY_RATE =
        500, /* ours: statements a second that applicants bring, looked at or not */
    PV_CNET_STRAY_BURST = 1000, /* ours: at once */
    /* Ours: replaced statements of which one put tells the store. It replaces at most as many as it
     * has itself; the cards of members who are removed together may be more, and go by and by. */
    PV_CNET_DROPPED = 2 * PV_CTL_ITEMS_MAX,
    /* Ours: seconds in which each member of a network may come back once and cost its source
     * nothing of what strangers may open from there. */
    PV_CNET_RETURN_S = 30,
    PV_CNET_RETURN_MIN = 16, /* ours: and so many in any network */
    PV_CNET_COMPACT = 64,    /* ours: a log shorter than this may be empty by more than half */
};

/* A place in the log. */
struct pv_cnet_entry {
    struct pv_ctl_cursor at;
    const struct pv_roster_entry *entry; /* NULL: a newer statement has replaced it */
};

struct pv_askers;      /* askers.c */
struct pv_cnet_invite; /* invite pk -> its statement */
struct pv_conn;

/* The name and address that a joining node was promised. */
struct pv_cnet_reservation {
    struct pv_cnet_reservation *next; /* in order of until */
    uint8_t invite[PV_SIGN_PK_LEN];
    uint8_t node[PV_SIGN_PK_LEN];
    char name[PV_NAME_BUF];
    uint32_t ip4;    /* host order */
    pv_ns until;     /* time; later while pinned */
    unsigned pinned; /* registrations of it that wait for the store */
};

/* All members being told what is new, one after the other. */
enum pv_cnet_round {
    PV_ROUND_NONE,
    PV_ROUND_NEW, /* nobody has been told yet */
    PV_ROUND_GOES_ON,
};

struct pv_cnet {
    uint8_t id[PV_NETWORK_ID_LEN];
    struct pv_netlimits limits;
    struct pv_order *order; /* owned: the network's log; NULL until the network is the registry's */
    struct {                /* logs.c */
        struct pv_cnet *prev, *next, *prev_timed, *next_timed, *prev_storing, *next_storing;
        bool busy;      /* in the list of busy networks */
        bool untold;    /* members are to be told of a new head */
        uint64_t op;    /* at the store; 0: none */
        pv_ns due;      /* in the list of timed networks; 0: it is not */
        pv_ns retry_at; /* no batch is offered before; 0: at once */
        pv_ns told_at;  /* when members were told of a head; 0: never */
    } ordering;
    struct pv_roster *roster;
    struct pv_cnet_entry *log; /* ascending by place */
    size_t log_len;
    size_t log_cap;
    size_t n_empty;                         /* places of the log whose statement was replaced */
    const struct pv_roster_entry *unlisted; /* in the roster, not in the log for want of memory */
    /* Members that went since the owner last looked; there are some places from the start. */
    uint8_t (*gone)[PV_SIGN_PK_LEN];
    size_t n_gone;
    size_t gone_cap;
    bool is_going; /* in the list of networks with some in gone */
    struct pv_cnet *prev_going, *next_going;
    uint8_t (*dropped)[PV_STATEMENT_HASH_LEN]; /* rows that the store may forget; NULL: none yet */
    size_t n_dropped;
    size_t dropped_cap;
    struct pv_map invite_map;
    struct pv_cnet_invite *invites;       /* by the invite's key */
    const struct pv_roster_entry *record; /* the network's record; NULL: its row has not come yet */
    const struct pv_roster_entry **admins; /* admin and coordinators statements, oldest first */
    size_t n_admins;
    struct pv_cnet_reservation *reservations; /* in order of until */
    size_t n_reservations;
    uint64_t version;  /* counts changes of the log, and of what its last page says */
    uint64_t replaced; /* counts those that change an earlier page of it */
    bool head_known;   /* head is current: nothing has changed since */
    uint8_t head[PV_STATEMENT_HASH_LEN]; /* hash over the roster */
    struct pv_bucket work;               /* members' statements, pv_coord_limits.network_rate */
    struct pv_bucket applicants; /* of applicants whose invite is good, PV_CNET_APPLICANT_RATE */
    struct pv_bucket strays;     /* of applicants' own words, PV_CNET_STRAY_RATE */
    struct pv_bucket returns;    /* of members that come back, PV_CNET_RETURN_S */
    pv_ns debt;                  /* time that its requests took lately, not yet paid back */
    pv_ns debt_at;               /* when debt was counted */
    bool resting;                /* its members' requests wait until it has paid back */
    struct pv_heap_node rest;    /* when its rest ends */
    size_t n_presence;           /* entries of the broker that are of this network */
    struct pv_bnode *phones;     /* of them phones that are online, ascending by key */
    struct pv_conn **members;    /* connections of members, ascending by key, the older one first */
    size_t n_members;
    size_t members_cap;
    struct {
        struct pv_conn *head; /* connections that wait for statements, by log.next */
        struct pv_cnet *prev, *next;
        bool listed;      /* in the list of networks with statements to send */
        bool ask_is_next; /* else the next one is of the round */
        bool has_news;    /* members are to be told after the present round */
        enum pv_cnet_round round;
        uint8_t told[PV_SIGN_PK_LEN]; /* GOES_ON: the member that was told last */
    } bulk;                           /* coord.c */
    bool dropping;                    /* the operator ends it, or it goes: nothing more is stored */
    int64_t fence;                    /* of its home, which is here; 0: there is one coordinator */
    pv_ns home_at;                    /* since when */
    bool leaving;                     /* it is being given away */
    bool pinned;                      /* its members cannot get to another coordinator */
    struct pv_askers *askers; /* who waits to be admitted, and from where; NULL: nobody did yet */
    uint64_t last_time;       /* Unix seconds of the newest of our receipts: they never fall */
    uint64_t seen_s; /* Unix seconds when a member last came or went; 0: none has in this run */
    struct pv_cnet *next_dropped;
    bool unsettled; /* in the list of networks that are not settled yet */
    struct pv_cnet *prev_unsettled, *next_unsettled;
    bool changed; /* in the registry's list of changed networks */
    struct pv_cnet *next_changed;
    UT_hash_handle hh; /* in the registry, by id */
};

/* A network around its record, which this coordinator verified before it stored it, or did not. The
 * errors of pv_roster_new(). */
PV_MUST_CHECK int pv_cnet_new(struct pv_cnet **ret_net, struct pv_view record, bool verified,
                              const struct pv_rng *rng);
struct pv_cnet *pv_cnet_free(struct pv_cnet *net); /* NULL is fine; returns NULL */

enum pv_cnet_known {
    PV_CNET_NEW,
    PV_CNET_KNOWN,  /* it is in the set already */
    PV_CNET_BETTER, /* the same, and it came with a genuine receipt that the roster prefers */
};
/*
 * May this statement be stored at the wall time (Unix seconds)? receipt: one that it came with, or
 * empty. PV_CTL_E_NONE and *ret_known. Member statements signed by an invite pass only with a
 * receipt: joining is pv_cnet_judge_register()'s.
 */
enum pv_ctl_error pv_cnet_judge(const struct pv_cnet *net, struct pv_view statement,
                                struct pv_view receipt, uint64_t wall,
                                enum pv_cnet_known *ret_known);
/* The place of a statement of the log, which it keeps when it gets another receipt. False: it is
 * not there. Walks back from the end. */
bool pv_cnet_place_of(const struct pv_cnet *net, const struct pv_roster_entry *entry,
                      struct pv_ctl_cursor *ret_at);

/* Is this a genuine receipt for the statement, by a coordinator of the network? */
bool pv_cnet_receipt_is_good(const struct pv_cnet *net, struct pv_view statement,
                             struct pv_view receipt);
/* A row of the log: a statement that is stored, with its receipts (either may be empty), and
 * whether all of it was verified before. */
struct pv_cnet_row {
    struct pv_ctl_cursor at;
    struct pv_view statement;
    struct pv_view receipt;
    struct pv_view foreign;
    bool verified;
};
/* Takes in a row. It counts after the next pv_cnet_settle(). PV_ERR_REFUSED: the roster does not
 * want it (nothing changed). PV_ERR_NOMEM: the same row is to be taken again, before any other. */
PV_MUST_CHECK int pv_cnet_take(struct pv_cnet *net, const struct pv_cnet_row *row);
/* Lets what was taken count: members that went are noted in gone, what the roster reports is
 * logged. To be called again when it is not PV_OK, and nothing is taken before: PV_ERR_AGAIN, it
 * needs more than so many steps (registry.h); PV_ERR_NOMEM, gone is full, at once when the owner
 * has emptied it. */
PV_MUST_CHECK int pv_cnet_settle(struct pv_cnet *net, size_t steps, const struct pv_log *log);

/* --- reading --------------------------------------------------------------------------------- */

/* The first entry behind a cursor: 0..log_len. */
size_t pv_cnet_seek(const struct pv_cnet *net, const struct pv_ctl_cursor *have);
/* Is more than half of the log empty? Then pv_cnet_compact() is due. */
bool pv_cnet_is_sparse(const struct pv_cnet *net);
/* Takes the empty places out of the log. Every place may have another number then: whoever keeps
 * one seeks it again, by the cursor of the entry before it (pv_cnet_before()). */
void pv_cnet_compact(struct pv_cnet *net);
/* The cursor of the entry before place index (0..log_len); of the first place: all zero. */
struct pv_ctl_cursor pv_cnet_before(const struct pv_cnet *net, size_t index);
/* The cursor behind the last entry. */
struct pv_ctl_cursor pv_cnet_end(const struct pv_cnet *net);
/* Fills items with entries from *index on, as many as fit in a message (ctlpage.h), and moves
 * *index behind the last; returns how many. Views are valid until the network changes. */
size_t pv_cnet_page(const struct pv_cnet *net, size_t *index,
                    struct pv_ctl_item items[static PV_CTL_ITEMS_MAX]);
/* The statements that prove an invite to its holder: network record, coordinators record in force,
 * admin statement of the invite's signer, the invite. Returns how many; 0: no such invite. */
size_t pv_cnet_chain(const struct pv_cnet *net, const uint8_t invite[static PV_SIGN_PK_LEN],
                     struct pv_ctl_item items[static PV_CTL_ITEMS_MAX]);
/* The coordinators statement in force; empty when there is none. */
struct pv_view pv_cnet_coordinators(const struct pv_cnet *net);
/* The roster's head; counted anew only after a change. */
const uint8_t *pv_cnet_head(struct pv_cnet *net);

/* --- joining --------------------------------------------------------------------------------- */

/* Reserves a name and addresses for 60 s; a node that asks again gets the same ones. The caller has
 * checked the signature of join. wall: Unix seconds. */
enum pv_ctl_error pv_cnet_join(struct pv_cnet *net, const struct pv_ctl_join *join, uint64_t wall,
                               pv_ns now, struct pv_ctl_reservation *ret_reservation);

/* The node that registers, by the keys that its connection has proven. */
struct pv_cnet_joiner {
    uint8_t node[PV_SIGN_PK_LEN];
    uint8_t transport[PV_DH_LEN];
};
/* A registration that may be asked of the store. */
struct pv_cnet_register {
    struct pv_statement st; /* points into the statement given */
    uint32_t uses;          /* of the invite */
    uint64_t min_serial;
    bool known; /* exactly this statement is in the set */
};
/* May the joiner register this member statement? Pins a reservation, to be given
 * back by pv_cnet_unpin(), when it may and it is not known. */
enum pv_ctl_error pv_cnet_judge_register(struct pv_cnet *net, struct pv_view member,
                                         const struct pv_cnet_joiner *joiner, uint64_t wall,
                                         pv_ns now, struct pv_cnet_register *ret_register);
/* The store has answered; registered: the node is a member, so its reservation goes. */
void pv_cnet_unpin(struct pv_cnet *net, const uint8_t invite[static PV_SIGN_PK_LEN],
                   const uint8_t node[static PV_SIGN_PK_LEN], bool registered);
