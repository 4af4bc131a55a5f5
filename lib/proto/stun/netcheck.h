/* SPDX-License-Identifier: MIT */
/*
 * netcheck.h - measures what stands between this machine and the Internet: how a NAT maps and
 * filters (RFC 4787, by the tests of RFC 5780), how it chooses ports, whether it hairpins, and on
 * request how long it keeps a silent binding. Any STUN server serves; what it cannot tell stays
 * unknown, nothing is guessed.
 *
 * A machine of five calls in caller's memory, for one address family. It owns no sockets: it names
 * them by number, and the owner opens PV_NETCHECK_SOCKETS of them beforehand, each on a port of its
 * own that has not been used lately. It takes less than PV_NETCHECK_MAX, without the lifetime. It
 * changes nothing and draws no conclusion about what may be tried. Not thread-safe.
 *
 * State     on                                               to
 * FINDING   a server answered                                MEASURING
 * FINDING   none did in 3 s                                  DONE
 * MEASURING every test has ended, or the time is up          LIVING when asked for, else DONE
 * LIVING    a binding was found dead, or all lived           DONE
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/stun.h"

enum {
    PV_NETCHECK_SERVERS = 4, /* ours: STUN servers that the config may name */
    PV_NETCHECK_FRESH = 16,  /* sockets whose ports show how the NAT chooses, TRAVERSAL 1 */
    PV_NETCHECK_LIVES = 14,  /* ours: silences tried for the lifetime, a socket for each */
    /* Sockets by number: first the one that measures the mapping, then the one for the filter. */
    PV_NETCHECK_MAIN = 0,
    PV_NETCHECK_FILTER = 1,
    PV_NETCHECK_FIRST_FRESH = 2,
    PV_NETCHECK_FIRST_LIFE = PV_NETCHECK_FIRST_FRESH + PV_NETCHECK_FRESH,
    PV_NETCHECK_SOCKETS_SHORT = PV_NETCHECK_FIRST_LIFE, /* all that are needed without lifetime */
    PV_NETCHECK_SOCKETS = PV_NETCHECK_FIRST_LIFE + PV_NETCHECK_LIVES,
    PV_NETCHECK_MTU = 64,       /* bytes of the longest request */
    PV_NETCHECK_PROBES = 64,    /* transactions of one measurement */
    PV_NETCHECK_PUBLICS = 8,    /* ours: public addresses remembered */
    PV_NETCHECK_BLOCK = 8192,   /* ours: ports; a wider range is called random */
    PV_NETCHECK_FIND_MS = 3000, /* without an answer for so long UDP is blocked, TRAVERSAL 7 */
    PV_NETCHECK_MAX_MS = 4700,  /* ours: what is not known by then stays unknown */
};

/* A question whose answer may be missing. */
enum pv_netcheck_answer {
    PV_NETCHECK_UNKNOWN,
    PV_NETCHECK_NO,
    PV_NETCHECK_YES,
};

/* The fields that a NAT looks at when it maps (RFC 4787 s4.1) or filters (s5). */
enum pv_netcheck_rule {
    PV_NETCHECK_RULE_UNKNOWN,
    PV_NETCHECK_EI,  /* endpoint-independent */
    PV_NETCHECK_AD,  /* address-dependent */
    PV_NETCHECK_APD, /* address- and port-dependent */
};

/* The classic names of whole NATs (RFC 3489 s5), which people know. */
enum pv_netcheck_name {
    PV_NETCHECK_NAME_UNKNOWN,
    PV_NETCHECK_OPEN,
    PV_NETCHECK_FULL_CONE,
    PV_NETCHECK_ADDRESS_RESTRICTED,
    PV_NETCHECK_PORT_RESTRICTED,
    PV_NETCHECK_SYMMETRIC,
    PV_NETCHECK_FIREWALL, /* no translation, but unsolicited datagrams are dropped */
    PV_NETCHECK_BLOCKED,  /* no UDP at all */
};

/* How the NAT chooses the outer port of a new mapping. */
enum pv_netcheck_ports {
    PV_NETCHECK_PORTS_UNKNOWN,
    PV_NETCHECK_PRESERVED,  /* the same as the inner port, as a rule */
    PV_NETCHECK_SEQUENTIAL, /* the last mapping's port + delta */
    PV_NETCHECK_IN_BLOCK,   /* any port of a small block */
    PV_NETCHECK_RANDOM,
};

struct pv_netcheck_config {
    /* STUN servers of one family. The first that sees a public address and grants RFC 5780 is the
     * one measured with, else the first that does one of the two, else the first that answers; the
     * others serve as second address for the mapping. */
    struct pv_addr servers[PV_NETCHECK_SERVERS];
    size_t n_servers;
    /* Of each socket: the machine's own address towards the servers, and the port. */
    struct pv_addr local[PV_NETCHECK_SOCKETS];
    bool lifetime; /* needs RESPONSE-PORT at the server, and up to 4 minutes */
};

struct pv_netcheck_result {
    bool reached;          /* a server answered by UDP; nothing else is known otherwise */
    struct pv_addr server; /* the server measured with */
    pv_ns rtt;             /* to that server; a lower bound when the request was repeated */
    bool two_addresses;    /* the server has a second address that works */
    struct pv_addr mapped; /* the main socket's address as the server saw it */
    struct pv_addr publics[PV_NETCHECK_PUBLICS]; /* all public addresses seen, port 0 */
    size_t n_publics;                            /* addresses in publics */
    enum pv_netcheck_answer translated;          /* is there a NAT? Unknown, as are the rules,
                                                  * of a server in our private network */
    enum pv_netcheck_name name;
    enum pv_netcheck_rule mapping, filtering;
    /* Known more often than the rules: does the mapping, and the filter, look at the port? */
    enum pv_netcheck_answer mapping_port, filtering_port;
    enum pv_netcheck_ports ports;
    int delta;                       /* SEQUENTIAL: usual step, negative = downwards */
    uint16_t block_lo;               /* IN_BLOCK: estimated first port of the block */
    uint16_t block_size;             /* IN_BLOCK: its ports, a power of two */
    enum pv_netcheck_answer hairpin; /* may inner hosts reach each other by outer addresses? */
    bool life_known;                 /* life_min and life_max were measured */
    pv_ns life_min;                  /* a silent binding lives at least this long */
    pv_ns life_max;                  /* ...and less than this; PV_NEVER: longer than was tried */
};

/* One transaction. Belongs to netcheck.c. */
struct pv_netcheck_probe {
    uint8_t sock;                   /* number of the socket it leaves by */
    uint8_t kind;                   /* enum pv_netcheck_kind: the test it belongs to */
    uint8_t state;                  /* enum pv_netcheck_probe_state: how far it is */
    uint8_t sends;                  /* transmissions so far */
    uint8_t flags;                  /* of its CHANGE-REQUEST; 0: it has none */
    uint16_t response_port;         /* port the answer shall go to; 0: where it came from */
    struct pv_addr dst;             /* the server's address asked */
    uint8_t txid[PV_STUN_TXID_LEN]; /* tells its answer */
    pv_ns due;                      /* next transmission, or the end after the last one */
    pv_ns last_sent;                /* time of the last transmission */
    pv_ns answered;                 /* when the answer came */
    struct pv_addr from;            /* the answer's sender */
    struct pv_addr mapped;          /* what the answer says we look like */
    struct pv_addr other;           /* the server's second address, if it names one */
};

/* Fields belong to netcheck.c. */
struct pv_netcheck {
    struct pv_netcheck_config cfg;
    struct pv_rng rng;
    int state;
    pv_ns started, now;
    pv_ns settle;  /* FINDING: until then a better server may answer */
    pv_ns measure; /* MEASURING began */
    size_t server; /* probe of the server measured with */
    struct pv_netcheck_probe probes[PV_NETCHECK_PROBES];
    size_t n_probes;
    bool hairpinned;
    bool event_due;
    struct pv_netcheck_result result;
};

void pv_netcheck_start(struct pv_netcheck *nc, const struct pv_netcheck_config *cfg,
                       const struct pv_rng *rng, pv_ns now);

/* A datagram came from src on a socket. Returns 0 when it belonged to a test, PV_ERR_NOT_FOUND or a
 * decoder's status when it did not. */
PV_MUST_CHECK int pv_netcheck_handle_input(struct pv_netcheck *nc, unsigned sock,
                                           const struct pv_addr *src, struct pv_view datagram,
                                           pv_ns now);
void pv_netcheck_handle_timeout(struct pv_netcheck *nc, pv_ns now);
pv_ns pv_netcheck_next_timeout(const struct pv_netcheck *nc); /* PV_NEVER when done */

struct pv_netcheck_send {
    unsigned sock;
    struct pv_addr dst;
    size_t len;
};
/* The next datagram to send now, into buf. PV_ERR_AGAIN: none is due. */
PV_MUST_CHECK int pv_netcheck_poll_transmit(struct pv_netcheck *nc,
                                            uint8_t buf[static PV_NETCHECK_MTU],
                                            struct pv_netcheck_send *ret_send);
/* The result, once; PV_ERR_AGAIN before and after. */
PV_MUST_CHECK int pv_netcheck_poll_event(struct pv_netcheck *nc,
                                         struct pv_netcheck_result *ret_result);

/* "yes", "no", "unknown"; "endpoint-independent", ...; "full cone", ...; "preserved", ... */
const char *pv_netcheck_answer_text(enum pv_netcheck_answer answer);
const char *pv_netcheck_rule_text(enum pv_netcheck_rule rule);
const char *pv_netcheck_name_text(enum pv_netcheck_name name);
const char *pv_netcheck_ports_text(enum pv_netcheck_ports ports);
/* One or two sentences for people: what this means for direct paths. A constant. */
const char *pv_netcheck_verdict(const struct pv_netcheck_result *result);
