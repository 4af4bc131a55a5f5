/* SPDX-License-Identifier: MIT */
/*
 * cause.h - why a peer is reached as it is: the diagnosis that `why` begins with. One cause and its
 * remedy, from what this node knows; it never waits and asks nobody.
 */
#pragma once

#include "daemon/core/node/node.h"
#include "daemon/core/peer/peer.h"
#include "proto/local/remedy.h"

/* The faults of this machine itself; texts "" = nothing. */
struct pv_cause_own {
    const char *coord_error;        /* why there is no connection to the coordinator */
    struct pv_remedy coord_todo;    /* what to do about it; NONE: nothing in particular */
    const char *iface_error;        /* why the interface is not up */
    const char *overlap;            /* another interface has an address in the network's range */
    const struct pv_faults *faults; /* features that are off; NULL: none */
    struct pv_prefix overlap_net;   /* the part of the range whose packets go to that interface */
};

enum {
    /* Bytes with the NUL: the longest repeats why there is no coordinator. */
    PV_CAUSE_TEXT = PV_COORD_WHY_MAX + PV_NAME_BUF + 64,
};

/* The reason why a peer's path is what it is, and what would help: one sentence each. */
struct pv_cause {
    const char *code; /* of PROTOCOL-LOCAL.md "Control socket", static */
    char text[PV_CAUSE_TEXT];
    enum pv_remedy_id remedy;
    char todo[PV_REMEDY_BUF]; /* "": nothing */
};

/* A peer that is reached well has the cause "nothing is wrong". */
void pv_cause_find(const struct pv_node *n, const struct pv_cause_own *own, struct pv_peer *p,
                   pv_ns now, struct pv_cause *ret_cause);
