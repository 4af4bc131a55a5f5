/* SPDX-License-Identifier: MIT */
/*
 * portmap.h - PCP (RFC 6887): the messages, and a client that gets one UDP port mapped by one
 * router, renews it, gets it again when the router has lost it, and gives it back.
 *
 * MAP and ANNOUNCE, without options, for IPv4 and IPv6 (a pinhole where nothing is translated). It
 * owns no socket and does not choose the router; whether the mapping works is for others to prove:
 * what a router says is a claim (daemon/core/nat/mapper.h). Only datagrams of the router's address
 * and PCP port count. A machine of five calls in caller's memory. Not thread-safe.
 *
 *   IDLE       --start-->                                  ASKING
 *   ASKING     --success-->                                HELD      (MAPPED)
 *              --error-->                                  IDLE      (FAILED)
 *              --no answer to four requests-->             IDLE      (FAILED, PV_ERR_TIMEOUT)
 *   HELD       --half its life is over-->                  HELD      (asks again, now and then)
 *              --another address or port in an answer-->   HELD      (MAPPED)
 *              --the router's epoch is not what it should be, again()-->  ASKING
 *              --expired-->                                IDLE      (FAILED, PV_ERR_TIMEOUT)
 *   any        --release-->                                RELEASING (nothing to give back: IDLE)
 *   RELEASING  --an answer, or asked three times-->        IDLE
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_PORTMAP_PORT = 5351,          /* of the router, RFC 6887 s19.1 */
    PV_PORTMAP_ANNOUNCE_PORT = 5350, /* of clients, RFC 6887 s14.1.3 */
    PV_PORTMAP_VERSION = 2,          /* RFC 6887 s7.1 */
    PV_PORTMAP_NONCE_LEN = 12,       /* bytes, RFC 6887 s11.1 */
    PV_PORTMAP_HEADER_LEN = 24,      /* bytes, RFC 6887 s7.1: all of an ANNOUNCE */
    PV_PORTMAP_MAP_LEN = 60,         /* bytes, RFC 6887 s11.1 */
    PV_PORTMAP_MAX_LEN = 1100,       /* bytes, RFC 6887 s7 */
    PV_PORTMAP_UDP = 17,             /* protocol, RFC 6887 s11.1 */
    PV_PORTMAP_LIFETIME = 7200,      /* seconds asked for; as NAT-PMP, RFC 6886 s3.3 */
    PV_PORTMAP_LIFETIME_MAX = 86400, /* seconds believed, RFC 6887 s15 */
    PV_PORTMAP_ERROR_MAX = 1800,     /* seconds: no error is taken to last longer, RFC 6887 s7.4 */
};

enum pv_portmap_opcode { /* RFC 6887 s19.2 */
    PV_PORTMAP_ANNOUNCE = 0,
    PV_PORTMAP_MAP = 1,
};

enum pv_portmap_code { /* RFC 6887 s7.4 */
    PV_PORTMAP_SUCCESS = 0,
    PV_PORTMAP_UNSUPP_VERSION = 1,
    PV_PORTMAP_NOT_AUTHORIZED = 2,
    PV_PORTMAP_MALFORMED_REQUEST = 3,
    PV_PORTMAP_UNSUPP_OPCODE = 4,
    PV_PORTMAP_UNSUPP_OPTION = 5,
    PV_PORTMAP_MALFORMED_OPTION = 6,
    PV_PORTMAP_NETWORK_FAILURE = 7,
    PV_PORTMAP_NO_RESOURCES = 8,
    PV_PORTMAP_UNSUPP_PROTOCOL = 9,
    PV_PORTMAP_USER_EX_QUOTA = 10,
    PV_PORTMAP_CANNOT_PROVIDE_EXTERNAL = 11,
    PV_PORTMAP_ADDRESS_MISMATCH = 12,
    PV_PORTMAP_EXCESSIVE_REMOTE_PEERS = 13,
};
/* The meaning of a router's result code, as the end of a sentence about it: "it does not map
 * ports". */
const char *pv_portmap_code_text(unsigned code);

/* --- messages ------------------------------------------------------------------------------ */

struct pv_portmap_request {
    struct pv_addr client;    /* our address, and the port to be mapped */
    struct pv_addr suggested; /* PV_AF_NONE: no preference */
    uint32_t lifetime;        /* seconds; 0 = delete */
    uint8_t nonce[PV_PORTMAP_NONCE_LEN];
};
/* A MAP request for UDP (RFC 6887 s11.1). */
void pv_portmap_write_map(uint8_t buf[static PV_PORTMAP_MAP_LEN],
                          const struct pv_portmap_request *req);

/* An answer; options are skipped (RFC 6887 s7.3). */
struct pv_portmap_answer {
    uint8_t version; /* PV_PORTMAP_VERSION, except with UNSUPP_VERSION: 0 = NAT-PMP */
    uint8_t opcode;
    uint8_t code;      /* enum pv_portmap_code, or one that is not known */
    uint32_t lifetime; /* seconds: of the mapping, or of the error */
    uint32_t epoch;    /* seconds */
    /* MAP; zero otherwise */
    uint8_t nonce[PV_PORTMAP_NONCE_LEN];
    uint8_t protocol;
    uint16_t internal_port;
    struct pv_addr external; /* IPv4-mapped addresses as IPv4 */
};
/*
 * RFC 6887 s8.3. PV_ERR_TRUNCATED: shorter than what it claims to be; PV_ERR_MALFORMED: a request,
 * another version, an odd length, options that do not fit; PV_ERR_LIMIT: too long.
 */
PV_MUST_CHECK int pv_portmap_decode(struct pv_view datagram, struct pv_portmap_answer *ret_answer);

/* The router's clock since it last lost its state, as last seen (RFC 6887 s8.5, RFC 6886 s3.6). */
struct pv_portmap_epoch {
    bool known;
    uint32_t server; /* seconds */
    pv_ns at;
};
/* Takes what an answer says. False: the router has lost its state in between. */
bool pv_portmap_epoch_take(struct pv_portmap_epoch *epoch, uint32_t server, pv_ns now);

/* --- the client ---------------------------------------------------------------------------- */

enum pv_portmap_state {
    PV_PORTMAP_IDLE,
    PV_PORTMAP_ASKING,
    PV_PORTMAP_HELD,
    PV_PORTMAP_RELEASING,
};

enum pv_portmap_event_type {
    PV_PORTMAP_MAPPED, /* a new mapping, or one that changed */
    PV_PORTMAP_FAILED, /* there is no mapping, or it has ended */
};
struct pv_portmap_event {
    enum pv_portmap_event_type type;
    struct pv_addr external; /* MAPPED: as the router says */
    int status;     /* FAILED: PV_ERR_TIMEOUT (no answer), PV_ERR_UNSUPPORTED (no PCP there),
                       PV_ERR_REFUSED (code says why) */
    unsigned code;  /* FAILED with PV_ERR_REFUSED: enum pv_portmap_code */
    pv_ns retry_in; /* FAILED: the router wants to hear nothing before; 0 = it did not say */
};

struct pv_portmap_config {
    struct pv_addr router;    /* the port does not count */
    struct pv_addr client;    /* our address towards it, and the port to be mapped */
    struct pv_addr suggested; /* PV_AF_NONE: none */
    uint8_t nonce[PV_PORTMAP_NONCE_LEN];
};

/* Fields belong to portmap.c. */
struct pv_portmap {
    struct pv_portmap_config cfg;
    struct pv_rng rng;
    enum pv_portmap_state state;
    struct pv_portmap_epoch epoch;
    struct pv_addr external;
    pv_ns held_at, expires;
    pv_ns due;      /* the next request, or the end of waiting */
    pv_ns asked_at; /* the last request */
    pv_ns now;      /* of the last call that had it */
    unsigned sends; /* requests of this series */
    bool event_due;
    struct pv_portmap_event event;
};

/* Asks for a mapping; the first request is due at once. A mapping held before is forgotten, not
 * given back; what is known of the same router's epoch stays. A zeroed struct is idle. */
void pv_portmap_start(struct pv_portmap *p, const struct pv_portmap_config *cfg,
                      const struct pv_rng *rng, pv_ns now);
/* Asks anew for what is held, as after a reboot of the router. Nothing held: nothing happens. */
void pv_portmap_again(struct pv_portmap *p, pv_ns now);
/* Gives the mapping back; no event follows. */
void pv_portmap_release(struct pv_portmap *p, pv_ns now);

/* A datagram from the router's PCP port, also one that announces a restart to everybody. Returns 0
 * when it was an answer to us or an announcement, PV_ERR_NOT_FOUND or a decoder's status if not. */
PV_MUST_CHECK int pv_portmap_handle_input(struct pv_portmap *p, const struct pv_addr *src,
                                          struct pv_view datagram, pv_ns now);
void pv_portmap_handle_timeout(struct pv_portmap *p, pv_ns now);
pv_ns pv_portmap_next_timeout(const struct pv_portmap *p); /* PV_NEVER when idle */
/* The next request, for cfg.router at PV_PORTMAP_PORT. PV_ERR_AGAIN: none is due. */
PV_MUST_CHECK int pv_portmap_poll_transmit(struct pv_portmap *p,
                                           uint8_t buf[static PV_PORTMAP_MAP_LEN]);
/* The next event, once. PV_ERR_AGAIN: nothing happened. */
PV_MUST_CHECK int pv_portmap_poll_event(struct pv_portmap *p, struct pv_portmap_event *ret_event);
