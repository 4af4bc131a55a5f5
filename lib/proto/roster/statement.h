/* SPDX-License-Identifier: MIT */
/*
 * statement.h - the signed records of a network and the coordinator's receipts for them: encode,
 * decode, sign, verify, hash (DESIGN 3, docs/PROTOCOL-NETWORK.md "Statements" and "Receipts").
 *
 * A codec without state: whether a statement counts (who may sign what, order, conflicts) is
 * decided by roster.h. No I/O, no allocation but the signing scratch of crypto/sign.h. Any thread.
 * Fuzz targets: fuzz_statement, fuzz_receipt.
 */
#pragma once

#include "base/addr.h"
#include "base/bytes.h"
#include "base/pv.h"
#include "base/text.h"
#include "crypto/kem.h"
#include "crypto/sign.h"
#include "proto/rules/policy.h"

enum {
    PV_NETWORK_ID_LEN = 16,       /* bytes, first of the network record's hash */
    PV_STATEMENT_HASH_LEN = 32,   /* BLAKE2b-256 over the whole statement, signature included */
    PV_STATEMENT_LIST_MAX = 2048, /* ours: bytes of the list in types 6 and 8 */
    PV_STATEMENT_SHORT_MAX = 512, /* ours: bytes of every type but these and cards */
    PV_RULE_SLOTS = 1024,         /* ours: rules of one signer, and tags of one signer */
    PV_END_STAY_MAX = 10,         /* nodes in the list of type 9: what fits a short statement */
    PV_OFFERS_MAX = 16,           /* ours: prefixes that one node offers to carry */
    PV_ROUTE_BITS4 = 8,           /* ours: of a prefix that is carried; but for the default */
    PV_ROUTE_BITS6 = 16,          /* route, which is asked for by name */
    PV_OFFER_BYTES = 19,          /* of one in a list, at most: flags, family, bits, address */
    PV_STATEMENT_MAX = 3670,      /* bytes; a card with full lists, the longest there is */
    PV_RECEIPT_LEN = 170,         /* bytes, fixed: PROTOCOL-NETWORK.md "Receipts" */
    PV_COORDINATORS_MAX = 8,      /* ours: coordinators in one list */
    PV_COORDINATOR_ADDRS_MAX = 8, /* ours: addresses of one coordinator */
    PV_HOST_MAX = 253,            /* characters, RFC 1035 s2.3.4 less the root dot */
    PV_HOSTPORT_BUF = 268,        /* "tls:[" HOST "]:65535" and the NUL */
};

/* The types; kinds.h says what each of them is, and the compiler names one that it lacks. */
#define PV_STATEMENT_TYPES(X) \
    X(NETWORK, 1)             \
    X(ADMIN, 2)               \
    X(MEMBER, 4)              \
    X(TRANSPORT, 5)           \
    X(REVOCATION, 6)          \
    X(LEAVE, 7)               \
    X(COORDINATORS, 8)        \
    X(END, 9)                 \
    X(PLACE, 10)              \
    X(INVITE, 11)             \
    X(ADMISSION, 12)          \
    X(ROUTE, 16)              \
    X(TAG, 17)                \
    X(RULE, 18)               \
    X(CARD, 19)
enum pv_statement_type {
#define PV_ST_(name, number) PV_ST_##name = number,
    PV_STATEMENT_TYPES(PV_ST_)
#undef PV_ST_
    PV_ST_RECEIPT = 128, /* not a statement: pv_receipt_decode() */
};

enum pv_st_right { /* bits */
    PV_RIGHT_INVITE = 1,
    PV_RIGHT_REVOKE = 2,
};

enum pv_st_invite_flag {    /* bits */
    PV_INVITE_APPROVAL = 1, /* who joins counts only beside an admission (type 12) */
};

enum pv_st_revoked_kind {
    PV_REVOKE_NODE = 1,
    PV_REVOKE_INVITE = 2,
};

/* Type 1. The signer is the root key; the network id is made from the hash. */
struct pv_st_network {
    char name[PV_NAME_BUF];
    struct pv_prefix range; /* IPv4, 8..30 bits, nothing special-purpose (pv_ip4_range_is_valid) */
    uint64_t created;       /* Unix seconds */
};

struct pv_st_admin {
    uint8_t node[PV_SIGN_PK_LEN];
    uint8_t rights; /* enum pv_st_right, 1..3 */
    uint64_t time;  /* Unix seconds */
};

struct pv_st_invite {
    uint8_t invite[PV_SIGN_PK_LEN];
    uint64_t not_before; /* Unix seconds, <= not_after */
    uint64_t not_after;  /* Unix seconds; UINT64_MAX = never ends */
    uint32_t uses;       /* >= 1 */
    uint8_t flags;       /* enum pv_st_invite_flag */
    uint32_t lifetime;   /* seconds that a member lives on unused, 0: for ever */
};

struct pv_st_member {
    uint8_t node[PV_SIGN_PK_LEN]; /* Ed25519 */
    uint8_t transport[PV_DH_LEN]; /* X25519, not zero */
    uint64_t serial;              /* the highest of a node's own statements wins */
    char name[PV_NAME_BUF];
    uint8_t ip4[PV_IP4_LEN];
    uint8_t ip6[PV_IP6_LEN];
    uint64_t issued;               /* Unix seconds, the joiner's claim: proves nothing */
    uint64_t expires;              /* Unix seconds, 0 = never, else > issued */
    uint8_t node_sig[PV_SIGN_LEN]; /* the node's own: nobody is made a member unasked */
};

struct pv_st_transport { /* the node is the signer */
    uint64_t serial;
    uint8_t transport[PV_DH_LEN]; /* X25519, not zero */
    uint64_t time;                /* Unix seconds */
};

struct pv_st_revocation {
    uint8_t kind; /* enum pv_st_revoked_kind */
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_view stay; /* node pks, 32 bytes each, strictly ascending */
    uint64_t time;       /* Unix seconds */
};

struct pv_st_leave { /* the node is the signer */
    uint64_t serial;
    uint64_t time; /* Unix seconds */
};

struct pv_st_coordinators {
    uint64_t seq;        /* the highest wins */
    struct pv_view list; /* read with pv_coordlist_next() */
};

/* Ends another statement: a grant of rights (type 2), a coordinators record (adr 0022). */
struct pv_st_end {
    uint8_t about[PV_SIGN_PK_LEN];       /* the key that statement is about; of type 8 its signer */
    uint8_t hash[PV_STATEMENT_HASH_LEN]; /* of the statement that ends */
    struct pv_view stay;                 /* as in a revocation, at most PV_END_STAY_MAX nodes */
    uint64_t time;                       /* Unix seconds */
};

/* Another name and address of a member (adr 0022). Signed by the node itself, or by root or an
 * admin with PV_RIGHT_INVITE. */
struct pv_st_place {
    uint8_t node[PV_SIGN_PK_LEN];
    uint64_t serial; /* of the node's statements, the highest counts */
    char name[PV_NAME_BUF];
    uint8_t ip4[PV_IP4_LEN];
    uint64_t time; /* Unix seconds */
};

/* Lets a node in that joined by an invite with PV_INVITE_APPROVAL. Signed by root, or by an admin
 * with PV_RIGHT_INVITE. */
struct pv_st_admission {
    uint8_t node[PV_SIGN_PK_LEN];
    uint64_t time; /* Unix seconds */
};

enum pv_st_ability {    /* bits */
    PV_ABLE_PQ = 1,     /* preshared keys by ML-KEM-768 and X25519, PROTOCOL-PEERS.md */
    PV_ABLE_NO_IP6 = 2, /* its interface has no IPv6: names lead to its IPv4 address alone */
};

/* The card of a node (adr 0119): what it says of itself alone. The node is the signer, and of its
 * cards the one with the highest serial counts. It is no part of the set of statements. */
struct pv_st_card {
    uint64_t serial;
    uint32_t abilities;    /* enum pv_st_ability */
    struct pv_view offers; /* prefixes it offers to carry; read with pv_offerlist_next() */
    struct pv_view kem;    /* its sealing key (proto/control/sealing.h), PV_KEM_EK_LEN; or empty */
    struct pv_view hostkeys;  /* of its sshd; read with pv_sshkeys_next() */
    struct pv_view loginkeys; /* of its users, who log in elsewhere with them; likewise */
};

/* A signer's routes, tags and rules stand in slots: of each slot its newest statement counts, so a
 * rule that is taken back leaves its slot to another one (adr 0032). */
struct pv_st_slot {
    uint16_t number; /* below PV_RULE_SLOTS; routes, tags and rules have slots of their own */
    uint64_t seq;    /* of one slot the highest counts */
};

/* Routes, tags and rules begin alike (u.slotted). */
struct pv_st_slotted {
    struct pv_st_slot slot;
    uint8_t kind; /* 0: the slot is empty */
};

/* A node may carry packets to and from a prefix: nobody else draws traffic (adr 0037). */
struct pv_st_route {
    struct pv_st_slot slot;
    uint8_t kind; /* enum pv_st_route_kind */
    uint8_t node[PV_SIGN_PK_LEN];
    struct pv_prefix prefix;
    uint64_t time; /* Unix seconds */
};
enum pv_st_route_kind {
    PV_ROUTE_NONE = 0, /* the slot is empty; node zero, prefix 0.0.0.0/0 */
    PV_ROUTE_ALLOW = 1,
};

/* A prefix that a node offers to carry on its card (adr 0037): alone it has no effect at anybody.
 */
enum pv_offer_flag {     /* bits */
    PV_OFFER_AUTO = 1,   /* members use it unless they say otherwise */
    PV_OFFER_NO_NAT = 2, /* hosts of the prefix see the members' own addresses */
    PV_OFFER_LINKED = 4, /* the node has had an interface in it since it was offered */
    PV_OFFER_AWAY = 8,   /* and has none now, so it does not carry it */
    PV_OFFER_DOUBT = 16, /* a firewall of the node's seems to drop it: another one goes before */
};
struct pv_offer {
    struct pv_prefix prefix;
    uint8_t flags; /* enum pv_offer_flag */
};

/* A word for some nodes, by which rules mean them. */
struct pv_st_tag {
    struct pv_st_slot slot;
    uint8_t kind; /* enum pv_st_tag_kind */
    uint8_t node[PV_SIGN_PK_LEN];
    char tag[PV_NAME_BUF];
    uint64_t time; /* Unix seconds */
};
enum pv_st_tag_kind {
    PV_TAG_NONE = 0, /* the slot is empty; node zero, tag "none" */
    PV_TAG_SET = 1,
};

/* A rule: the nodes that may reach others, and the ports. */
struct pv_st_rule {
    struct pv_st_slot slot;
    uint8_t kind;   /* enum pv_st_rule_kind */
    uint64_t place; /* rules with lower ones come first; 0 unless it allows or denies */
    struct pv_selector from, to;
    struct pv_ports ports;   /* of PV_RULE_NONE and _DENY_DEFAULT all, from anybody to anybody */
    struct pv_logins logins; /* of PV_RULE_ALLOW alone, and only with the one port of an sshd */
    uint64_t time;           /* Unix seconds */
};
enum pv_st_rule_kind {
    PV_RULE_NONE = 0, /* the slot is empty */
    PV_RULE_ALLOW = 1,
    PV_RULE_DENY = 2,
    PV_RULE_DENY_DEFAULT = 3, /* where no rule decides */
};

/* One statement. Views point into raw, so it lives as long as the bytes it was decoded from. */
struct pv_statement {
    uint8_t type; /* enum pv_statement_type */
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t signer[PV_SIGN_PK_LEN];
    uint8_t hash[PV_STATEMENT_HASH_LEN]; /* set by decode, not read by make */
    struct pv_view raw;                  /* set by decode, not read by make */
    union {
        struct pv_st_network network;
        struct pv_st_admin admin;
        struct pv_st_invite invite;
        struct pv_st_member member;
        struct pv_st_transport transport;
        struct pv_st_revocation revocation;
        struct pv_st_leave leave;
        struct pv_st_coordinators coordinators;
        struct pv_st_end end;
        struct pv_st_place place;
        struct pv_st_admission admission;
        struct pv_st_slotted slotted;
        struct pv_st_route route;
        struct pv_st_tag tag;
        struct pv_st_rule rule;
        struct pv_st_card card;
    } u;
};

/*
 * Reads one statement and checks its form, not its signatures: call pv_statement_verify() before
 * believing it. data is borrowed as long as *ret_st is used.
 *   PV_ERR_TRUNCATED    ends before a field does
 *   PV_ERR_UNSUPPORTED  a newer version
 *   PV_ERR_MALFORMED    no type, too long, trailing bytes, a value outside its range or not
 *                       canonical
 */
PV_MUST_CHECK int pv_statement_decode(struct pv_view data, struct pv_statement *ret_st);
/* The same for bytes whose hash is known. */
PV_MUST_CHECK int pv_statement_decode_hashed(struct pv_view data,
                                             const uint8_t hash[static PV_STATEMENT_HASH_LEN],
                                             struct pv_statement *ret_st);

/* Checks the signer's signature, and in a member statement the node's too. PV_ERR_AUTH. */
PV_MUST_CHECK int pv_statement_verify(const struct pv_statement *st);

/* --- making ---------------------------------------------------------------------------------- */

/* A secret key that another process keeps and signs with, as this process may use it. */
struct pv_kept_key {
    uint8_t pk[PV_SIGN_PK_LEN];
    /* Signs a statement that is whole but for its signature, as pv_statement_sign_as_root() does.
     * Its errors, or why the keeper does not answer. */
    int (*sign)(void *keeper, struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN]);
    void *keeper;
};

/* The key that signs a statement: in memory, or kept elsewhere. Borrowed. */
struct pv_signer {
    const uint8_t *sk; /* Ed25519, PV_SIGN_SK_LEN bytes; NULL: kept */
    const struct pv_kept_key *kept;
};

static inline struct pv_signer pv_signer_sk(const uint8_t *sk)
{
    return (struct pv_signer){.sk = sk};
}

static inline struct pv_signer pv_signer_kept(const struct pv_kept_key *kept)
{
    return (struct pv_signer){.kept = kept};
}

/* Ed25519 secret keys end with the public one. */
static inline const uint8_t *pv_signer_pk(struct pv_signer s)
{
    return s.sk != NULL ? s.sk + PV_SIGN_SEED_LEN : s.kept->pk;
}

/*
 * Encodes and signs. st: type, network_id (not for type 1) and the fields; the signer's key is put
 * in. For PV_ST_MEMBER node_sk signs for the node, or is NULL when u.member.node_sig is there
 * already; for other types it is NULL. The result is checked by
 * pv_statement_decode(), so whatever is handed out can be read back.
 *   PV_ERR_NO_SPACE, PV_ERR_MALFORMED (a field outside its range), PV_ERR_NOMEM, and what
 *   pv_kept_key.sign says
 */
PV_MUST_CHECK int pv_statement_make(const struct pv_statement *st, struct pv_signer signer,
                                    const uint8_t *node_sk, uint8_t *buf, size_t cap,
                                    size_t *ret_len);

/*
 * Signs a statement that is whole but for its signature, for a process that keeps a root key and
 * trusts nobody who asks: body must have the form of a statement of a type that a root key signs,
 * in the name of this key. The key signs a statement and nothing else, by the context of the
 * signature.
 *   PV_ERR_MALFORMED  no such statement
 *   PV_ERR_REFUSED    of another type, or of another signer
 *   PV_ERR_NOMEM
 */
PV_MUST_CHECK int pv_statement_sign_as_root(struct pv_view body,
                                            const uint8_t sk[static PV_SIGN_SK_LEN],
                                            uint8_t ret_sig[static PV_SIGN_LEN]);

/* BLAKE2b-256 over the whole statement. */
void pv_statement_hash(struct pv_view raw, uint8_t ret_hash[static PV_STATEMENT_HASH_LEN]);

/* --- prefixes that nodes carry --------------------------------------------------------------- */

/* May a node carry this: the default route, or a prefix that is long enough and neither link-local,
 * loopback nor multicast; host bits zero? */
bool pv_route_is_valid(const struct pv_prefix *prefix);
void pv_route_get(struct pv_reader *r, struct pv_prefix *ret_prefix);
void pv_route_put(struct pv_writer *w, const struct pv_prefix *prefix);
/* The next one of a list that was checked; false at the end. */
bool pv_offerlist_next(struct pv_view *list, struct pv_offer *ret_offer);
/* PV_OFFERS_MAX at most, strictly ascending by family, address and length. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_offerlist_check(struct pv_view list);
/* A list of offers, which are in that order. */
void pv_offerlist_put(struct pv_writer *w, const struct pv_offer *offers, size_t n);
/* That order; 0: the same prefix. */
int pv_route_compare(const struct pv_prefix *a, const struct pv_prefix *b);

/* --- receipts ------------------------------------------------------------------------------ */

/* A coordinator's word for when it got a statement: by it claims to the same thing are ordered. */
struct pv_receipt {
    uint8_t network_id[PV_NETWORK_ID_LEN];
    uint8_t coordinator[PV_SIGN_PK_LEN];
    uint64_t epoch;                      /* stands for the coordinator's start */
    uint64_t n;                          /* counts up inside an epoch */
    uint8_t hash[PV_STATEMENT_HASH_LEN]; /* of the statement it is for */
    uint64_t time;                       /* Unix seconds when that was accepted */
};

/* Checks form, not signature. PV_ERR_TRUNCATED, PV_ERR_UNSUPPORTED (a newer version),
 * PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_receipt_decode(struct pv_view data, struct pv_receipt *ret_receipt);
/* data as given to decode. PV_ERR_AUTH. */
PV_MUST_CHECK int pv_receipt_verify(struct pv_view data);
/* receipt->coordinator is taken from sk. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_receipt_make(const struct pv_receipt *receipt,
                                  const uint8_t sk[static PV_SIGN_SK_LEN],
                                  uint8_t ret_data[static PV_RECEIPT_LEN]);

/* --- statements and receipts of newer versions ----------------------------------------------- */

/* The head of every version is that of this one (version, type, network id, signer), the end is the
 * signature, and the contexts stay. So a node knows who says that it is to be upgraded. */

/* The signer, in data: of a statement, or the coordinator of a receipt. NULL: data is of no newer
 * version, of another network, a network record, or too short. */
const uint8_t *pv_newer_signer(struct pv_view data,
                               const uint8_t network_id[static PV_NETWORK_ID_LEN]);
/* For data that has a signer by pv_newer_signer(). PV_ERR_AUTH. */
PV_MUST_CHECK int pv_statement_verify_newer(struct pv_view data);
PV_MUST_CHECK int pv_receipt_verify_newer(struct pv_view data);

/* --- addresses derived from keys ----------------------------------------------------------- */

/* The network's ULA /64: fd, 40 bits of the network id, subnet 0 (RFC 4193). */
struct pv_prefix pv_network_ula(const uint8_t network_id[static PV_NETWORK_ID_LEN]);
/* The ULA plus the first 64 bits of BLAKE2b-256(node pk). */
void pv_node_ip6(const uint8_t network_id[static PV_NETWORK_ID_LEN],
                 const uint8_t node[static PV_SIGN_PK_LEN], uint8_t ret_ip6[static PV_IP6_LEN]);
/* May a network have this range: IPv4, 8..30 bits, not in 0/8, 127/8, 169.254/16, 224/3. */
bool pv_ip4_range_is_valid(const struct pv_prefix *range);
/* May a member have it: inside, neither network nor broadcast address. ip4 in host order. */
bool pv_ip4_is_usable(const struct pv_prefix *range, uint32_t ip4);
/* How many addresses members can have. */
uint32_t pv_ip4_count(const struct pv_prefix *range);
/* Where the search for a free address begins: from the second 64 bits of BLAKE2b-256(node pk). */
uint32_t pv_ip4_first(const struct pv_prefix *range, const uint8_t node[static PV_SIGN_PK_LEN]);
/* The address to look at as the n-th, from 0 to below pv_ip4_tries(): own itself, the next higher
 * ones (from the last to the first), some all over the range, for somebody may have filled it from
 * there on, and then all. */
uint32_t pv_ip4_try(const struct pv_prefix *range, uint32_t own, uint32_t n);
uint32_t pv_ip4_tries(const struct pv_prefix *range);

/* --- coordinator lists (type 8 and the token) ------------------------------------------------ */

/* "HOST:PORT" or "tls:HOST:PORT"; HOST is a lower-case DNS name, an IPv4 address, or [IPv6]. */
struct pv_hostport {
    char host[PV_HOST_MAX + 1]; /* without brackets */
    uint16_t port;              /* 1..65535 */
    bool tls;
};
/* Only the canonical form: what pv_hostport_format() writes. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_hostport_parse(const char *text, size_t len, struct pv_hostport *ret_hp);
const char *pv_hostport_format(const struct pv_hostport *hp, char buf[static PV_HOSTPORT_BUF]);
#define PV_HOSTPORT_STR(hp) pv_hostport_format(hp, (char[PV_HOSTPORT_BUF]){0})

struct pv_coordinator {
    const uint8_t *pk;    /* PV_SIGN_PK_LEN bytes inside the list */
    struct pv_view addrs; /* read with pv_coordlist_next_addr() */
};
/* 1..8 coordinators with different keys, 1..8 different canonical addresses each, at most max
 * bytes. PV_ERR_TRUNCATED, PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_coordlist_check(struct pv_view list, size_t max);
/* Takes the next one off a checked list; false at its end. */
bool pv_coordlist_next(struct pv_view *list, struct pv_coordinator *ret_coordinator);
bool pv_coordlist_next_addr(struct pv_view *addrs, struct pv_hostport *ret_addr);
/* Appends one coordinator. Errors stick in w; check the whole with pv_coordlist_check(). */
void pv_coordlist_put(struct pv_writer *w, const uint8_t pk[static PV_SIGN_PK_LEN],
                      const struct pv_hostport *addrs, size_t n_addrs);
/* More addresses of a coordinator, "HOST:PORT" each; tls: where it speaks TLS. */
struct pv_coordlist_more {
    const char *const *addrs;
    size_t n;
    bool tls;
};
/*
 * Writes a checked list of one coordinator to buf, cap bytes, with these addresses behind its own.
 * It leaves out a text that is no address, an address that is there already, and addresses that do
 * not fit. A list of several coordinators stays as it is. PV_ERR_NO_SPACE: not even the old list
 * fits.
 */
PV_MUST_CHECK int pv_coordlist_with(struct pv_view list, const struct pv_coordlist_more *more,
                                    uint8_t *buf, size_t cap, size_t *ret_len);
