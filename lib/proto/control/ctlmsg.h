/* SPDX-License-Identifier: MIT */
/*
 * ctlmsg.h - the JSON messages of the control channel, both directions: one struct, one parser, one
 * builder. docs/PROTOCOL-COORDINATOR.md, "Control channel", lists every message and field.
 *
 *   request   {"id":n,"t":word,...}                                        node to coordinator
 *   answer    {"id":n,"ok":true,"t":word,...}                              coordinator to node
 *   error     {"id":n,"ok":false,"error":code word,"message":text}         coordinator to node
 *   push      {"t":word,...}                                               coordinator to node
 *
 * Binary values are base64url without padding. Unknown fields are ignored. Answers and pushes with
 * statements are no JSON, but packed pages (ctlpage.h). Nothing here checks
 * signatures (but for the two helpers at the end), rights or the order of messages: that is the
 * session's work. Pure, no state; a parsed message owns its memory. Fuzz target: fuzz_ctlmsg.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "base/text.h"
#include "crypto/kem.h"
#include "crypto/sign.h"

enum {
    PV_CTL_VERSION = 1,          /* hello's v */
    PV_CTL_TEXT_MAX = 61424,     /* bytes of one JSON message: 60 KiB less the AEAD tag */
    PV_CTL_DEPTH_MAX = 8,        /* nested objects and lists; ours need 4 */
    PV_CTL_VALUES_MAX = 4096,    /* commas and opening brackets in one message (jsonline.h) */
    PV_CTL_STATEMENT_MAX = 4096, /* bytes; a card is below 2.6 KiB */
    PV_CTL_RECEIPT_MAX = 256,    /* bytes; a receipt has 170 */
    PV_CTL_ITEMS_MAX = 128,      /* statements in one message */
    PV_CTL_ENTRY_MAX = 33448,    /* bytes of an entry of a log; of a statement for it, less */
    PV_CTL_ENTRIES_MAX = 256,    /* entries in one message */
    PV_CTL_HEAD_MAX = 256,       /* bytes of a log's head; it has 202 */
    PV_CTL_APPLICANT_ITEMS = 9,  /* of an applicant: its own word, behind what it rests on */
    PV_CTL_NODES_MAX = 256,      /* nodes in one message */
    PV_CTL_PHONES_MAX = 16,      /* phones in one message, and of one gateway */
    PV_CTL_BOX_MAX = 32768,      /* bytes of a sealed signal: 43,691 characters, fits a message */
    PV_CTL_ADDRS_MAX = 8,        /* addresses in one message */
    PV_CTL_ASKERS_MAX = 64,      /* nodes that ask to be admitted, in one message */
    PV_CTL_ADDR_TEXT_MAX = 280,  /* characters of "tls:HOST:PORT" */
    PV_CTL_ERROR_TEXT_MAX = 200, /* characters of an error's message */
    PV_CTL_NETWORK_LEN = 16,     /* bytes of a network id */
    PV_CTL_HASH_LEN = 32,        /* bytes: handshake hash, roster head */
    PV_CTL_KEY_LEN = 16,         /* bytes: names a copy */
    PV_CTL_SECRET_LEN = 16,      /* bytes: the secret of the coordinator's URL */
    PV_CTL_PIN_LEN = 32,         /* bytes: what a TLS certificate is known by */
    PV_CTL_TURN_TEXT_MAX = 128,  /* characters of a relay user, password, realm or nonce */
};

enum pv_ctl_kind {
    PV_CTL_REQUEST,
    PV_CTL_ANSWER, /* also an error: type PV_CTL_ERROR */
    PV_CTL_PUSH,
};

/* The comment gives the word in "t" and the kinds in which the type occurs. */
enum pv_ctl_type {
    /* Parse only: understood as JSON with a kind and (for requests and answers) an id. */
    PV_CTL_UNKNOWN, /* a word that is not spoken here: error answer, or ignore the push */
    PV_CTL_INVALID, /* a known word whose fields are wrong; u.invalid says which */

    PV_CTL_HELLO,     /* "hello"       request; answered by welcome */
    PV_CTL_PUT,       /* "put"         request; answered by receipts */
    PV_CTL_PULL,      /* "statements"  request; answered by statements */
    PV_CTL_SUBSCRIBE, /* "subscribe"   request; answered by presence */
    PV_CTL_LIST,      /* "list"        request; answered by presence */
    PV_CTL_SIGNAL,    /* "signal"      request (node = to), answered by done; push (node = from) */
    PV_CTL_PING,      /* "ping"        request; answered by pong */
    PV_CTL_FETCH,     /* "fetch"       request of an applicant; answered by statements */
    PV_CTL_JOIN,      /* "join"        request of an applicant; answered by reservation */
    PV_CTL_REGISTER,  /* "register"    request of an applicant; answered by registered */
    PV_CTL_KEEP,      /* "keep"        request; answered by done: a copy for somebody away */
    PV_CTL_COLLECT,   /* "collect"     request; answered by parcel (COPY) */
    PV_CTL_CREATE,    /* "create"      request of an applicant; answered by receipts */
    PV_CTL_ASKERS,    /* "askers"      request of an admin; answered by askers (ASKED) */
    PV_CTL_PHONES,    /* "phones"      request of a gateway; answered by done */

    PV_CTL_SUBMIT, /* "submit"      request; answered by decided */
    PV_CTL_LOG,    /* "log"         request; answered by entries */

    PV_CTL_WELCOME,     /* "welcome"     answer */
    PV_CTL_RECEIPTS,    /* "receipts"    answer */
    PV_CTL_STATEMENTS,  /* "statements"  answer and push */
    PV_CTL_PRESENCE,    /* "presence"    answer and push */
    PV_CTL_COPY,        /* "parcel"      answer; push without fields: there is something */
    PV_CTL_DONE,        /* "done"        answer without fields */
    PV_CTL_PONG,        /* "pong"        answer */
    PV_CTL_RESERVATION, /* "reservation" answer */
    PV_CTL_REGISTERED,  /* "registered"  answer */
    PV_CTL_ASKED,       /* "askers"      answer */
    PV_CTL_DECIDED,     /* "decided"     answer */
    PV_CTL_ENTRIES,     /* "entries"     answer and push; request, answered by done */
    PV_CTL_ERROR,       /* no word: "ok" is false */
    PV_CTL_HYBRID,      /* "hybrid"      push before the welcome to who offered a KEM's key */
    PV_CTL_BYE,         /* "bye"         push, the last message before the coordinator closes */
    PV_CTL_TYPE_COUNT,
};

/* Error code words; the word on the wire is the name in lower case. */
enum pv_ctl_error {
    PV_CTL_E_NONE,            /* no error; never on the wire */
    PV_CTL_E_BAD_REQUEST,     /* fields missing or wrong */
    PV_CTL_E_UNKNOWN_REQUEST, /* no such request here */
    PV_CTL_E_VERSION,         /* hello, or a statement, is of a newer version */
    PV_CTL_E_STATE,           /* not now: before hello, a second hello */
    PV_CTL_E_NOT_ALLOWED,     /* this role may not; a create secret is missing or wrong */
    PV_CTL_E_BAD_SIGNATURE,   /* hello, join or a statement: signature or chain wrong */
    PV_CTL_E_UNKNOWN_NETWORK, /* no such network on this coordinator */
    PV_CTL_E_UNKNOWN_NODE,    /* no such member, or it is revoked or gone */
    PV_CTL_E_LEFT,            /* hello, bye: this node left the network */
    PV_CTL_E_UNKNOWN_INVITE,  /* no such invite in this network */
    PV_CTL_E_INVITE_REVOKED,  /* the invite was revoked */
    PV_CTL_E_INVITE_EXPIRED,  /* outside its time */
    PV_CTL_E_INVITE_USED,     /* no uses left */
    PV_CTL_E_REVOKED,         /* this node was revoked */
    PV_CTL_E_WAITING,         /* hello: no admin has admitted this node yet */
    PV_CTL_E_TAKEN,           /* name or address belongs to another node */
    PV_CTL_E_FULL,            /* no free address, or a network or coordinator limit */
    PV_CTL_E_LIMIT,           /* too many requests: slow down and repeat later */
    PV_CTL_E_OFFLINE,         /* signal: the receiver is not connected */
    PV_CTL_E_BUSY,            /* signal: the receiver's queue is full; repeat later */
    PV_CTL_E_STORAGE,         /* the coordinator cannot store now; repeat later */
    PV_CTL_E_REPLACED,        /* bye: a newer connection of the same node took over */
    PV_CTL_E_SHUTDOWN,        /* bye: the coordinator is going down; reconnect */
    PV_CTL_E_MOVED,           /* hello, bye: another coordinator is the network's home */
    PV_CTL_E_TIMEOUT,         /* bye: silent for too long, or an applicant's 30 s are over */
    PV_CTL_E_OTHER,           /* parse only: a word this version does not know */
    PV_CTL_ERROR_COUNT,
};

/* The word of an error ("invite_used"); "other" for values outside the list. */
const char *pv_ctl_error_word(enum pv_ctl_error error);

enum pv_ctl_role {
    PV_CTL_MEMBER,
    PV_CTL_APPLICANT,
};

/* A place in a coordinator's log of one network. {0,0} = before everything. At most 2^63 - 1. */
struct pv_ctl_cursor {
    uint64_t epoch;
    uint64_t n;
};

/* A statement and its receipt; the receipt is empty (len 0) where there is none. */
struct pv_ctl_item {
    struct pv_view statement;
    struct pv_view receipt;
};

/* The outcome of one statement of a put or create: a receipt, or why not. */
struct pv_ctl_result {
    struct pv_view receipt;  /* empty when refused */
    enum pv_ctl_error error; /* PV_CTL_E_NONE when accepted (now or earlier) */
};

/* Whether a node is connected to the coordinator, and since when. */
struct pv_ctl_presence {
    uint8_t node[PV_SIGN_PK_LEN];
    bool online;
    /* Coordinator's wall clock: last hello, or when the node went offline; 0 = unknown. A new value
     * with online = true: the node connected anew and may have restarted. */
    uint64_t since_us;
};

struct pv_ctl_hello {
    uint32_t v;                          /* PV_CTL_VERSION */
    bool has_network;                    /* false: null, for create */
    uint8_t network[PV_CTL_NETWORK_LEN]; /* zero without has_network */
    uint8_t node[PV_SIGN_PK_LEN];        /* identity key */
    enum pv_ctl_role role;
    uint8_t sig[PV_SIGN_LEN];  /* pv_ctl_hello_sign() */
    struct pv_ctl_cursor have; /* where this node stands in the log */
    struct pv_view mlkem768;   /* PV_KEM_EK_LEN bytes: offers hybrid keys (control.h); or empty */
};

struct pv_ctl_hybrid {
    struct pv_view mlkem768; /* PV_KEM_CT_LEN bytes */
};

/* The account with which a member allocates its relay (DESIGN 6): TURN at the stun addresses,
 * long-term credentials. Each text has 1..PV_CTL_TURN_TEXT_MAX characters of UTF-8. */
struct pv_ctl_turn {
    const char *user;
    const char *password;
    const char *realm;
    const char *nonce; /* good for one Allocate from any address */
};

/* Where and how TLS is spoken, STUN, TURN and control channel inside it. */
struct pv_ctl_tls {
    uint8_t pin[PV_CTL_PIN_LEN]; /* SHA-256 of the SubjectPublicKeyInfo of its certificate */
    size_t n;                    /* <= PV_CTL_ADDRS_MAX; 0: on the TCP ports of stun only */
    const char *const *addrs;    /* "HOST:PORT" each */
};

struct pv_ctl_welcome {
    uint64_t time_us;          /* coordinator's wall clock */
    struct pv_ctl_cursor have; /* end of its log of this network; {0,0} for create */
    size_t n_stun;             /* <= PV_CTL_ADDRS_MAX */
    const char *const *stun;   /* "HOST:PORT" each */
    bool has_turn;             /* false: null, no relay for this node */
    struct pv_ctl_turn turn;
    bool has_tls; /* false: absent, no TLS on any port */
    struct pv_ctl_tls tls;
    struct pv_view coordinators; /* newest coordinators statement; empty when there is none */
};

/* put, create: statements to store, with receipts where the sender holds one. */
struct pv_ctl_put {
    bool has_secret;                   /* create only: secret is there */
    uint8_t secret[PV_CTL_SECRET_LEN]; /* of the coordinator's URL: permits a new network */
    size_t n;                          /* 1..PV_CTL_ITEMS_MAX */
    const struct pv_ctl_item *items;
};

struct pv_ctl_receipts {
    size_t n; /* one per statement of the request, same order */
    const struct pv_ctl_result *results;
};

/* Answer to statements and fetch, and push: the part of the log that follows the last cursor. */
struct pv_ctl_statements {
    size_t n; /* <= PV_CTL_ITEMS_MAX, may be 0 */
    const struct pv_ctl_item *items;
    bool more;                        /* ask again with have; false: pushes follow from here */
    struct pv_ctl_cursor have;        /* cursor behind the last item */
    bool has_head;                    /* on the last page and in pushes: head and members */
    uint8_t head[PV_CTL_HASH_LEN];    /* the coordinator's roster head after it */
    uint8_t members[PV_CTL_HASH_LEN]; /* its digest of the active members */
};

struct pv_ctl_subscribe {
    bool on;  /* false: unsubscribe */
    size_t n; /* 1..PV_CTL_NODES_MAX */
    const uint8_t (*nodes)[PV_SIGN_PK_LEN];
};

/* PV_CTL_PHONES: which of the sender's phones are online. A phone that is not named stays as it
 * was.
 */
struct pv_ctl_phone {
    uint8_t node[PV_SIGN_PK_LEN];
    bool online;
};

struct pv_ctl_phones {
    size_t n; /* 1..PV_CTL_PHONES_MAX */
    const struct pv_ctl_phone *nodes;
};

struct pv_ctl_list {
    bool has_after;                /* false: from the first key */
    uint8_t after[PV_SIGN_PK_LEN]; /* continue behind this key (ascending order) */
};

/* Answer to subscribe (the nodes named) and list (the nodes online), and push (what changed). */
struct pv_ctl_presences {
    size_t n; /* <= PV_CTL_NODES_MAX */
    const struct pv_ctl_presence *nodes;
    bool more; /* list: ask again with after = the last key */
};

struct pv_ctl_signal {
    uint8_t node[PV_SIGN_PK_LEN]; /* request: receiver; push: sender */
    struct pv_view box;           /* 1..PV_CTL_BOX_MAX bytes */
};

/* A sealed copy to be kept until `to` collects it. key names it among those of the same sender and
 * receiver: keeping it again changes nothing. */
struct pv_ctl_keep {
    uint8_t to[PV_SIGN_PK_LEN];
    uint8_t key[PV_CTL_KEY_LEN];
    struct pv_view box; /* 1..PV_CTL_BOX_MAX bytes */
};

/* Asks for the next of this node's copies behind `after`. The one with the number `taken` (0:
 * none) is on this node's disk, and the coordinator may delete it. */
struct pv_ctl_collect {
    uint64_t after;
    uint64_t taken;
};

struct pv_ctl_copy {
    uint64_t n;                   /* 0: there is none (nothing else is set then), or a push */
    uint8_t from[PV_SIGN_PK_LEN]; /* who had it kept */
    struct pv_view box;           /* 1..PV_CTL_BOX_MAX bytes */
};

struct pv_ctl_pong {
    uint64_t time_us;
};

struct pv_ctl_fetch {
    uint8_t invite[PV_SIGN_PK_LEN];
};

struct pv_ctl_join {
    uint8_t invite[PV_SIGN_PK_LEN];
    uint8_t node[PV_SIGN_PK_LEN];
    char name[PV_NAME_BUF];   /* canonical; empty: the coordinator chooses */
    uint8_t sig[PV_SIGN_LEN]; /* pv_ctl_join_sign() */
};

struct pv_ctl_reservation {
    char name[PV_NAME_BUF]; /* the one asked for, or with a number when it was taken */
    uint8_t ip4[PV_IP4_LEN];
    uint8_t ip6[PV_IP6_LEN];
    uint32_t serial;  /* for the member statement: above every one this node has used */
    uint32_t seconds; /* how long it is held for this node and invite */
};

struct pv_ctl_register {
    struct pv_view member; /* the member statement */
};

/* The statement that stands: the one sent, or an earlier one of the same node and invite. */
struct pv_ctl_registered {
    struct pv_ctl_item item;
};

/* Statements for the log (proto/roster/logst.h). */
struct pv_ctl_submit {
    size_t n; /* 1..PV_CTL_ITEMS_MAX */
    const struct pv_view *statements;
};

/* What became of each: enum pv_why, or PV_CTL_NOT_STORED. */
struct pv_ctl_decided {
    size_t n; /* one for each statement, in the order of the request */
    const uint32_t *whys;
};
#define PV_CTL_NOT_STORED UINT32_MAX /* the coordinator could not store it: repeat it later */

/* A place in a network's log: entry n, and its hash; of n = 0, the hash of the network record. */
struct pv_ctl_place {
    uint64_t n;
    uint8_t hash[PV_CTL_HASH_LEN];
    bool
        fetching; /* the entry came from this coordinator just now, and its head is still to come */
};

/*
 * Entries of the sender's log, and the head over the last of its entries.
 *   answer   those behind the place that was asked for; first = 0: another entry stands there, so
 *            none follow
 *   push     none: there is a new head
 *   request  those that the receiver lacks
 */
struct pv_ctl_entries {
    uint64_t first; /* n of the first entry, also if there is none */
    uint64_t last;  /* entries of the sender's log */
    size_t n;       /* <= PV_CTL_ENTRIES_MAX, may be 0 */
    const struct pv_view *entries;
    struct pv_view head; /* empty: there is none, or entries are still to come */
};

/* A node that waits to be admitted, and where it was seen to ask from: the coordinator's word,
 * which nothing proves. */
struct pv_ctl_asker {
    uint8_t node[PV_SIGN_PK_LEN];
    struct pv_addr from; /* without the port */
    uint64_t time_us;    /* when it asked last, by the coordinator's clock */
};

struct pv_ctl_asked {
    size_t n; /* <= PV_CTL_ASKERS_MAX */
    const struct pv_ctl_asker *askers;
};

struct pv_ctl_failure {
    enum pv_ctl_error error;
    const char *message;   /* for people; at most PV_CTL_ERROR_TEXT_MAX characters */
    size_t n_to;           /* PV_CTL_E_MOVED: <= PV_CTL_ADDRS_MAX; 0: it is not known */
    const char *const *to; /* "HOST:PORT" each: the network's home */
};

struct pv_ctl_msg {
    enum pv_ctl_kind kind;
    enum pv_ctl_type type;
    uint64_t id; /* requests and answers: 1..2^53; 0 in pushes */
    union {
        const char *invalid; /* PV_CTL_INVALID: name of the wrong field, a literal */
        struct pv_ctl_hello hello;
        struct pv_ctl_put put;     /* PV_CTL_PUT, PV_CTL_CREATE */
        struct pv_ctl_cursor pull; /* PV_CTL_PULL */
        struct pv_ctl_subscribe subscribe;
        struct pv_ctl_list list;
        struct pv_ctl_signal signal;
        struct pv_ctl_keep keep;
        struct pv_ctl_collect collect;
        struct pv_ctl_copy copy;
        struct pv_ctl_fetch fetch;
        struct pv_ctl_join join;
        struct pv_ctl_register reg;
        struct pv_ctl_welcome welcome;
        struct pv_ctl_receipts receipts;
        struct pv_ctl_statements statements;
        struct pv_ctl_presences presence;
        struct pv_ctl_phones phones;
        struct pv_ctl_pong pong;
        struct pv_ctl_reservation reservation;
        struct pv_ctl_registered registered;
        struct pv_ctl_asked asked;
        struct pv_ctl_submit submit;
        struct pv_ctl_decided decided;
        struct pv_ctl_place log; /* PV_CTL_LOG */
        struct pv_ctl_entries entries;
        struct pv_ctl_hybrid hybrid;
        struct pv_ctl_failure failure; /* PV_CTL_ERROR, PV_CTL_BYE */
    } u;
};

/*
 * Parses one message, JSON or a packed page (ctlpage.h). On PV_OK *ret_msg is a new message that
 * owns everything it points to; give it back with pv_ctl_msg_free(). Types PV_CTL_UNKNOWN and
 * PV_CTL_INVALID are results, not errors: the kind and id are right, so that an error answer can be
 * given.
 * PV_ERR_MALFORMED: not one JSON object, or neither request nor answer nor push; PV_ERR_LIMIT:
 * longer, deeper or with more values than the limits above; PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_ctl_parse(struct pv_view text, struct pv_ctl_msg **ret_msg);
struct pv_ctl_msg *pv_ctl_msg_free(struct pv_ctl_msg *msg); /* wipes; NULL is fine; returns NULL */

/*
 * Writes msg into buf (no NUL): JSON, or of type PV_CTL_STATEMENTS a packed page. Fields that do
 * not belong to its type are not looked at.
 * PV_ERR_NO_SPACE: longer than cap, or than PV_CTL_TEXT_MAX; PV_ERR_STATE: a type that has no form
 * (PV_CTL_UNKNOWN, PV_CTL_INVALID), a kind the type does not occur in, a count above its limit, or
 * text that is not UTF-8.
 */
PV_MUST_CHECK int pv_ctl_build(const struct pv_ctl_msg *msg, void *buf, size_t cap,
                               size_t *ret_len);

/* hello's sig: identity key over "p2pvpn hello v1" || 0x00 || handshake hash (DESIGN 4). */
PV_MUST_CHECK int pv_ctl_hello_sign(uint8_t ret_sig[static PV_SIGN_LEN],
                                    const uint8_t handshake_hash[static PV_CTL_HASH_LEN],
                                    const uint8_t identity_sk[static PV_SIGN_SK_LEN]);
PV_MUST_CHECK int pv_ctl_hello_verify(const struct pv_ctl_hello *hello,
                                      const uint8_t handshake_hash[static PV_CTL_HASH_LEN]);
/* join's sig: invite key over "p2pvpn join v1" || 0x00 || handshake hash || node pk || name
 * (DESIGN 3). Signs invite, node and name of *join and sets its sig; PV_ERR_AUTH on a mismatch. */
PV_MUST_CHECK int pv_ctl_join_sign(struct pv_ctl_join *join,
                                   const uint8_t handshake_hash[static PV_CTL_HASH_LEN],
                                   const uint8_t invite_sk[static PV_SIGN_SK_LEN]);
PV_MUST_CHECK int pv_ctl_join_verify(const struct pv_ctl_join *join,
                                     const uint8_t handshake_hash[static PV_CTL_HASH_LEN]);
