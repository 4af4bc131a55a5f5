/* SPDX-License-Identifier: MIT */
/*
 * desc.h - a node's description for one peer, and its JSON form (docs/PROTOCOL-PEERS.md
 * "Descriptions"): credentials, candidates and perhaps a handshake message.
 *
 * The codec only: numbering and resending are daemon/core/peer/descx.h, sealing is signal.h. No
 * state; thread-safe.
 */
#pragma once

#include <jansson.h>

#include "base/pv.h"
#include "crypto/aead.h"
#include "crypto/kem.h"
#include "proto/ice/ice.h"
#include "proto/wireguard/wgmsg.h"

enum {
    PV_DESC_JSON_DEPTH = 6,    /* nested objects and lists; ours need 4 */
    PV_DESC_CAPS_MAX = 16,     /* words in caps */
    PV_DESC_STEP_MAX = 16,     /* ports between two mappings of a sequential NAT */
    PV_DESC_JSON_VALUES = 600, /* 32 candidates of 7 values, a chain of 16, and room to grow */
};

/* The findings about the sender's IPv4 NAT; it orders methods and forbids none (DESIGN 5). */
enum pv_desc_mapping {
    PV_DESC_MAPPING_UNKNOWN,
    PV_DESC_MAPPING_SAME,   /* one public port per socket, whatever the destination */
    PV_DESC_MAPPING_VARIES, /* another one per destination: symmetric */
};
enum pv_desc_ports {
    PV_DESC_PORTS_UNKNOWN,
    PV_DESC_PORTS_SEQUENTIAL, /* each new mapping is `step` away from the one before */
    PV_DESC_PORTS_BLOCK,      /* anywhere in lo..hi */
    PV_DESC_PORTS_RANDOM,
};
struct pv_desc_nat {
    enum pv_desc_mapping mapping;
    enum pv_desc_ports ports; /* of a mapping that varies */
    int step;                 /* SEQUENTIAL: -16..16, not 0 */
    uint16_t last;            /* SEQUENTIAL: port of the newest mapping; SAME: that of a fresh
                                 socket for the attempt that is announced, 0 = none */
    uint16_t lo, hi;          /* BLOCK */
    bool early;               /* SAME: a packet that comes in early takes the port (TRAVERSAL 5) */
};
/* An attempt at a hard NAT that the sender is ready for. */
struct pv_desc_try {
    uint32_t n;     /* its number; 0 = none */
    uint64_t at_us; /* not before; coordinator's wall clock, Unix microseconds; 0 = at once */
};

/* The words of the wire: "unknown", "same", "varies"; "unknown", "sequential", ... */
const char *pv_desc_mapping_word(enum pv_desc_mapping mapping);
const char *pv_desc_ports_word(enum pv_desc_ports ports);

/* The sender's abilities; a bit each. Words we do not know are skipped. */
enum pv_desc_cap {
    PV_DESC_CAP_NO_UDP = 1 << 0, /* "udp-blocked": no UDP gets through where it is; for `why` */
    PV_DESC_CAP_PQ = 1 << 1,     /* "pq": it agrees on preshared keys by ML-KEM-768 (hybrid.h) */
};

/* A half of the exchange that preshared keys come from (hybrid.h). */
enum pv_desc_pq_kind {
    PV_DESC_PQ_NONE,
    PV_DESC_PQ_OFFER,
    PV_DESC_PQ_ANSWER,
};
enum {
    PV_DESC_PQ_TO_LEN = 8,        /* ours: first bytes of the hash of the offer that is answered */
    PV_DESC_PQ_ID_MAX = 0xFFFFFF, /* ours: 24 bits, what the timestamp of message 1 has room for */
};
struct pv_desc_pq {
    enum pv_desc_pq_kind kind;
    uint64_t gen, rev;             /* of the description that had it first */
    uint8_t dh[PV_DH_LEN];         /* X25519 */
    uint8_t to[PV_DESC_PQ_TO_LEN]; /* ANSWER */
    uint8_t kem[PV_KEM_EK_LEN];    /* OFFER: the encapsulation key; ANSWER: PV_KEM_CT_LEN bytes */
    uint32_t have;                 /* the newest key that came of such an exchange; 0 = none */
};

/* Large (about 4 KiB); the password is a secret: wipe. */
struct pv_desc {
    uint64_t gen, rev;       /* own number; both >= 1 */
    uint64_t re_gen, re_rev; /* the peer's number that was received last; 0 0 = none */
    struct pv_ice_creds creds;
    size_t n_cands;
    struct pv_ice_cand cands[PV_ICE_MAX_REMOTE]; /* carrier is not part of it */
    unsigned caps;                               /* PV_DESC_CAP_… */
    uint32_t cost[PV_SUITES]; /* pv_aead_cost() by suite; 0 = it does without AES-GCM */
    struct pv_desc_nat nat;
    struct pv_desc_try attempt;
    const struct pv_desc_pq *pq; /* borrowed; NULL = none */
    size_t wg_len;               /* 0, PV_WGMSG_INITIATION_LEN or PV_WGMSG_RESPONSE_LEN */
    uint8_t wg[PV_WGMSG_INITIATION_LEN];
};

/* Is the cost of every suite told? */
bool pv_desc_has_cost(const uint32_t cost[static PV_SUITES]);
/* A new reference; NULL without memory. Candidates above PV_ICE_MAX_LOCAL are left out. */
json_t *pv_desc_to_json(const struct pv_desc *desc);

/* Strict where a value matters; unknown fields, unknown candidate types and addresses that cannot
 * be reached are skipped. PV_ERR_MALFORMED (a field missing or wrong), PV_ERR_LIMIT (more than
 * PV_ICE_MAX_REMOTE candidates or PV_DESC_CAPS_MAX words in caps). */
PV_MUST_CHECK int pv_desc_from_json(const json_t *obj, struct pv_desc *ret_desc);
/* The half of an exchange in the same object, which pv_desc_from_json() leaves out (pq is NULL), as
 * few need it for longer than a call. PV_ERR_NOT_FOUND: there is none. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_desc_pq_from_json(const json_t *obj, struct pv_desc_pq *ret_pq);
