/* SPDX-License-Identifier: MIT */
/*
 * porttest.h - the in-band message (type PORTTEST) by which a gateway asks a member to send a
 * handshake to the gateway's phone port, and the member's answer.
 *
 *   question:  1, token 32, address (addrfield.h)
 *   answer:    0, token 32, sends 1 (1: the member sends; 0: it proves nothing or may not send)
 *
 * Bytes behind these are ignored. Thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/ip/addrfield.h"

enum {
    PV_PORTTEST_TOKEN = 32,
    PV_PORTTEST_MAX = 1 + PV_PORTTEST_TOKEN + PV_ADDRFIELD_MAX, /* bytes of body */
};

/* The result of an endpoint's test; numbers of the wire (gatewayat.h). */
enum pv_port_verdict {
    PV_PORT_NONE,     /* the endpoint is no phone port: nothing is tested */
    PV_PORT_PASSED,   /* a handshake from outside arrived */
    PV_PORT_FAILED,   /* a handshake was sent from outside and did not arrive */
    PV_PORT_UNTESTED, /* nobody outside could send one */
};

struct pv_porttest {
    bool asks;
    uint8_t token[PV_PORTTEST_TOKEN]; /* the handshake has it, so the gateway knows the handshake */
    struct pv_addr at;                /* of a question: the gateway's phone port */
    bool sends;                       /* of an answer */
};

void pv_porttest_build(const struct pv_porttest *t, uint8_t buf[static PV_PORTTEST_MAX],
                       size_t *ret_len);
/* PV_ERR_TRUNCATED; PV_ERR_MALFORMED: neither question nor answer, or an address to which no
 * datagram may go. */
PV_MUST_CHECK int pv_porttest_parse(struct pv_view body, struct pv_porttest *ret_t);
