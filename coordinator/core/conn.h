/* SPDX-License-Identifier: MIT */
/*
 * conn.h - one connection of the coordinator: its protocol, the node at the other end, its limits,
 * and its output.
 *
 * Open struct, shared by coord.c and broker.c (presence); nothing outside coordinator/core looks
 * inside. Single thread.
 */
#pragma once

#include "base/addr.h"
#include "base/bucket.h"
#include "base/heap.h"
#include "base/map.h"
#include "coordinator/core/member/cnet.h"
#include "coordinator/core/places.h"
#include "coordinator/core/turn/stunconn.h"
#include "proto/control/control.h"
#include "proto/control/ctlmsg.h"

/*
 * State     on                                 to
 * NEW       first byte is STUN's               STUN
 * NEW       another first byte                 OPENING
 * STUN      its client has an allocation       RELAYING (as long as that; then STUN for 10 s)
 * OPENING   Noise handshake done               HELLO
 * HELLO     hello of a network that may be     SEEKING
 *           another coordinator's (homes.h)
 * SEEKING   that is known                      HELLO    (for the same hello)
 * HELLO     hello of an applicant          APPLICANT
 * HELLO     hello of a member                  MEMBER
 * any       refused hello, limit, timeout,
 *           replaced, revoked, shutdown        CLOSING  (the last message is written out)
 * CLOSING   nothing left to write, or 2 s      gone
 * any       wrong bytes, transport closed      gone
 */
enum pv_conn_state {
    PV_CONN_NEW,
    PV_CONN_STUN,
    PV_CONN_RELAYING,
    PV_CONN_OPENING,
    PV_CONN_HELLO,
    PV_CONN_SEEKING,
    PV_CONN_APPLICANT,
    PV_CONN_MEMBER,
    PV_CONN_CLOSING,
};

/* How much of its network's log a member has. */
enum pv_conn_log {
    PV_CONN_LOG_UNASKED,
    PV_CONN_LOG_PAGING, /* its page had another one behind it, for which it will ask */
    PV_CONN_LOG_LIVE,   /* up to the end: news are pushed */
};

enum {
    PV_CONN_IN_MAX = 128 * 1024, /* ours: bytes received and not yet worked on, two reads */
    /* Requests are worked on while an answer of any size still fits. */
    PV_CONN_ROOM_MIN = PV_CONTROL_TEXT_MAX,
    /* Pushes and signals leave room for two answers. */
    PV_CONN_PUSH_ROOM = 2 * PV_CONTROL_TEXT_MAX,
    PV_CONN_REFUSALS_MAX = 200, /* ours: requests refused by a limit before the connection ends */
};

struct pv_bnode; /* broker.c */

struct pv_conn {
    uint64_t id;           /* chosen by the owner, never used again */
    struct pv_addr source; /* of the TCP connection, for rates */
    struct pv_addr local;  /* to which it came; PV_AF_NONE: not known */
    enum pv_conn_state state;
    struct pv_control *control; /* owned; unused when the connection speaks STUN */
    struct pv_stunconn *stun;   /* owned; NULL: the connection does not speak STUN */
    bool reads_stream; /* RELAYING: a p2pvpnd, for which one TLS record may hold several messages */

    uint8_t node[PV_SIGN_PK_LEN];      /* APPLICANT, MEMBER: identity of the node */
    uint8_t transport[PV_DH_LEN];      /* from HELLO on: the key that did the handshake */
    uint8_t hash[PV_CONTROL_HASH_LEN]; /* from HELLO on: of the handshake, signed by hello */
    struct pv_cnet *net; /* APPLICANT, MEMBER; NULL: an applicant that may only create */

    struct pv_place place; /* among the applicants; outside once it has shown who it is */
    bool hurried;          /* the places were crowded when it came: it has less time */
    pv_ns opened;          /* accepted */
    pv_ns first_rx;        /* its first byte, inside TLS where that is spoken; 0: none yet */
    bool tls;              /* TLS is spoken, whose handshake has a time limit of its own */
    pv_ns last_rx;         /* newest bytes received */
    pv_ns closing_since;   /* CLOSING */
    struct pv_heap_node timer;

    uint8_t *in; /* owned: bytes that wait while a request is under way; NULL: none */
    size_t in_len;
    struct pv_ctl_msg *held; /* owned: a request that waits for the one under way */
    bool working;            /* a request of this connection is in the registry */

    struct pv_bucket requests; /* rate of requests */
    struct pv_bucket signals;  /* rate of signals and stored copies */
    unsigned refusals;         /* requests refused by the rate */

    struct {
        size_t at; /* next entry to be sent */
        enum pv_conn_log state;
        uint64_t pull_id;            /* number of its request for statements; 0: none waits */
        bool stalled;                /* statements wait until its output has room */
        bool listed;                 /* in the list of its network */
        struct pv_conn *prev, *next; /* there */
    } log;                           /* MEMBER: of its network */
    struct pv_bnode *bnode;          /* MEMBER: its presence; NULL: a newer connection has it */
    struct pv_bnode **subs;          /* MEMBER: nodes it subscribed to, ascending by key */
    bool *subs_dirty;                /* of each: it has not been told the latest */
    uint32_t n_subs, subs_cap;
    uint32_t n_phones; /* MEMBER: phones that are online by its word */
    size_t n_dirty;    /* subscriptions whose presence has changed */

    bool held_off;                           /* its owner was told to read no more of it */
    bool woken;                              /* its network has rested: its requests go on */
    bool is_ready;                           /* stands in the list of poll_ready */
    bool dead;                               /* is to be closed without writing its output */
    struct pv_conn *ready_prev, *ready_next; /* the list of poll_ready */
    UT_hash_handle hh;                       /* by id */
};

/* The coordinator's key pair for handshakes, PV_DH_LEN bytes each. */
struct pv_conn_keys {
    const uint8_t *sk, *pk;
};

/* PV_ERR_NOMEM. rng is kept by the control channel until its handshake is done. */
PV_MUST_CHECK int pv_conn_new(struct pv_conn **ret_conn, uint64_t id, const struct pv_addr *source,
                              const struct pv_conn_keys *keys, const struct pv_rng *rng, pv_ns now);
/* It must be out of the broker, the network, the heap and all lists. NULL is fine. */
struct pv_conn *pv_conn_free(struct pv_conn *s);

/* It speaks STUN (PV_CONN_STUN). PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_conn_become_stun(struct pv_conn *s);
/* Bytes to write, whatever it speaks; and some have been written. */
struct pv_view pv_conn_out(struct pv_conn *s);
void pv_conn_wrote(struct pv_conn *s, size_t n, pv_ns now);

/* Sends a message. PV_ERR_LIMIT: its output is full. Errors of pv_ctl_build() and
 * pv_control_send(). */
PV_MUST_CHECK int pv_conn_send(struct pv_conn *s, const struct pv_ctl_msg *msg);
/* Would a push or signal still be taken? */
bool pv_conn_has_push_room(const struct pv_conn *s);
/* Answers request id with an error; message is for people. */
void pv_conn_error(struct pv_conn *s, uint64_t id, enum pv_ctl_error error, const char *message);
/* The same, for people and programs: where the network's home is. */
void pv_conn_fail(struct pv_conn *s, uint64_t id, const struct pv_ctl_failure *failure);
/* Says bye and lets it close (PV_CONN_CLOSING); the caller marks it ready. */
void pv_conn_bye(struct pv_conn *s, const struct pv_ctl_failure *failure, pv_ns now);
/* When it has to be looked at again by the clock. */
pv_ns pv_conn_deadline(const struct pv_conn *s);

/* --- answers --------------------------------------------------------------------------------- */

/*
 * Answers to the requests of nodes, for the files that handle them. Each is written to
 * its connection at once.
 */

/* Begins an answer. It carries the number of its request, since answers of the store come out of
 * order. */
static inline struct pv_ctl_msg pv_answer_to(const struct pv_ctl_msg *request,
                                             enum pv_ctl_type type)
{
    return (struct pv_ctl_msg){.kind = PV_CTL_ANSWER, .type = type, .id = request->id};
}

/* Requests are worked on only while the longest answer fits, so only lack of memory fails here; the
 * connection ends then. */
void pv_answer_send(struct pv_conn *s, const struct pv_ctl_msg *msg);
/* Refuses a request; the message is for people (NULL: pv_answer_text()), programs go by the error.
 */
void pv_answer_refuse(struct pv_conn *s, const struct pv_ctl_msg *request, enum pv_ctl_error error,
                      const char *message);
/* The text for people about an error; static. */
const char *pv_answer_text(enum pv_ctl_error error);
