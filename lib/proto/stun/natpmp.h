/* SPDX-License-Identifier: MIT */
/*
 * natpmp.h - NAT-PMP (RFC 6886): the messages, for IPv4 and UDP. Who sends them is
 * daemon/io/portmapper.h; the router's port and its announcements are PCP's (portmap.h).
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_NATPMP_ADDRESS_LEN = 2, /* bytes of the request, RFC 6886 s3.2 */
    PV_NATPMP_MAP_LEN = 12,    /* bytes of the request, RFC 6886 s3.3 */
    PV_NATPMP_MAX = 16,        /* bytes of an answer */
};

enum pv_natpmp_opcode {
    PV_NATPMP_ADDRESS = 0, /* which is the outer address? RFC 6886 s3.2 */
    PV_NATPMP_MAP_UDP = 1, /* RFC 6886 s3.3 */
};

enum pv_natpmp_code { /* RFC 6886 s3.5 */
    PV_NATPMP_SUCCESS = 0,
    PV_NATPMP_UNSUPP_VERSION = 1,
    PV_NATPMP_NOT_AUTHORIZED = 2,
    PV_NATPMP_NETWORK_FAILURE = 3,
    PV_NATPMP_NO_RESOURCES = 4,
    PV_NATPMP_UNSUPP_OPCODE = 5,
};

struct pv_natpmp_answer {
    uint8_t opcode; /* enum pv_natpmp_opcode */
    uint16_t code;  /* enum pv_natpmp_code, or one that is not known; not SUCCESS: the rest is 0 */
    uint32_t epoch; /* seconds since the router lost its state */
    struct pv_addr external; /* ADDRESS; port 0 */
    uint16_t internal_port, external_port;
    uint32_t lifetime; /* MAP_UDP: seconds */
};

/* Writes a request for the outer address. */
void pv_natpmp_write_address(uint8_t buf[static PV_NATPMP_ADDRESS_LEN]);
/* Writes a request for a mapping; lifetime 0 deletes it, and external_port is 0 then (RFC 6886
 * s3.4). */
void pv_natpmp_write_map(uint8_t buf[static PV_NATPMP_MAP_LEN], uint16_t internal_port,
                         uint16_t external_port, uint32_t lifetime);
/* PV_ERR_TRUNCATED: shorter than what it claims to be; PV_ERR_MALFORMED: a request, another
 * version or opcode, or longer. */
PV_MUST_CHECK int pv_natpmp_decode(struct pv_view datagram, struct pv_natpmp_answer *ret_answer);
/* The meaning of a result code, as the end of a sentence about the router. */
const char *pv_natpmp_code_text(uint16_t code);
