/* SPDX-License-Identifier: MIT */
/*
 * carrying.h - the in-band message (type CARRYING) by which an admin's node asks a member where
 * strangers reach it, for the file of a guest that it is to carry, and by which that says so.
 *
 *   question:  1, guest pk 32
 *   answer:    0, guest pk 32, why 1, flags 1, bytes of the address 1 (4, 16), address, port 2
 *
 * Bytes behind these are ignored, and flags of later versions. Thread-safe.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"

enum {
    PV_CARRYING_PK_LEN = 32,
    PV_CARRYING_MAX = 1 + PV_CARRYING_PK_LEN + 3 + PV_IP6_LEN + 2, /* bytes of body */
};

/* The reasons for which a member names no address; numbers of the wire. */
enum pv_carrying_why {
    PV_CARRYING_HERE,    /* none: the address is there */
    PV_CARRYING_UNASKED, /* its user has not said that it carries guests of others */
    PV_CARRYING_UNABLE,  /* it forwards nothing */
    PV_CARRYING_FULL,
    PV_CARRYING_CLOSED, /* strangers do not reach it */
    PV_CARRYING_LATER,  /* a reason of a later version */
};

struct pv_carrying {
    bool asks;
    uint8_t guest[PV_CARRYING_PK_LEN]; /* identity key of the guest */
    /* Of an answer: */
    enum pv_carrying_why why;
    bool names;        /* a name server answers members there */
    struct pv_addr at; /* HERE: where a datagram of anybody reaches it; else of no matter */
};

void pv_carrying_build(const struct pv_carrying *c, uint8_t buf[static PV_CARRYING_MAX],
                       size_t *ret_len);
/* PV_ERR_TRUNCATED; PV_ERR_MALFORMED: neither question nor answer, or an address to which no
 * datagram of a stranger may go. */
PV_MUST_CHECK int pv_carrying_parse(struct pv_view body, struct pv_carrying *ret_c);
