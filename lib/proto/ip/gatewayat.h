/* SPDX-License-Identifier: MIT */
/*
 * gatewayat.h - the in-band message (type GATEWAY) by which an admin's node asks a member where
 * strangers reach it, for the file of a phone that it is to carry, and by which that says so.
 *
 *   question:  1, phone pk 32
 *   answer:    0, phone pk 32, why 1, flags 1, address (addrfield.h), verdict of the phone port's
 *              test 1, first and last of the coordinator's ports 2 each
 *
 * Bytes behind these are ignored, and flags of later versions. Thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/ip/porttest.h"

enum {
    PV_GATEWAYAT_PK_LEN = 32,
    PV_GATEWAYAT_MAX = 1 + PV_GATEWAYAT_PK_LEN + 2 + PV_ADDRFIELD_MAX + 5, /* bytes of body */
};

/* The reasons for which a member names no address; numbers of the wire. */
enum pv_gatewayat_why {
    PV_GATEWAYAT_HERE,    /* none: the address is there */
    PV_GATEWAYAT_UNASKED, /* its user has not said that it is a gateway of phones of others */
    PV_GATEWAYAT_UNABLE,  /* it forwards nothing */
    PV_GATEWAYAT_FULL,
    PV_GATEWAYAT_CLOSED, /* strangers do not reach it */
    PV_GATEWAYAT_LATER,  /* a reason of a later version */
};

struct pv_gatewayat {
    bool asks;
    uint8_t phone[PV_GATEWAYAT_PK_LEN]; /* identity key of the phone */
    /* Of an answer: */
    enum pv_gatewayat_why why;
    bool names;        /* a name server answers members there */
    struct pv_addr at; /* HERE: where a datagram of anybody reaches it; else of no matter */
    /* HERE: what the test of the address showed. */
    enum pv_port_verdict verdict;
    uint16_t port_lo, port_hi; /* the coordinator's ports for phones; 0: no phone port */
};

void pv_gatewayat_build(const struct pv_gatewayat *c, uint8_t buf[static PV_GATEWAYAT_MAX],
                        size_t *ret_len);
/* PV_ERR_TRUNCATED; PV_ERR_MALFORMED: neither question nor answer, or an address to which no
 * datagram of a stranger may go. */
PV_MUST_CHECK int pv_gatewayat_parse(struct pv_view body, struct pv_gatewayat *ret_c);
