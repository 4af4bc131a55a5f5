/* SPDX-License-Identifier: MIT */
/*
 * netcheck_int.h - what netcheck.c (asking) and netcheck_judge.c (concluding) share. Not for
 * others.
 */
#ifndef PV_NETCHECK_INT_H
#define PV_NETCHECK_INT_H

#include "proto/stun/netcheck.h"

enum pv_netcheck_kind {
    PV_NC_MAPPING,     /* main socket to any address: which mapping */
    PV_NC_FRESH,       /* a fresh socket to the server: which port */
    PV_NC_FILTER_OPEN, /* filter socket to the server: makes the binding */
    PV_NC_FILTER,      /* the same binding, the answer from elsewhere */
    PV_NC_HAIRPIN,     /* to a mapping of our own; the request itself is to arrive */
    PV_NC_LIFE_OPEN,   /* makes a binding that is left alone then */
    PV_NC_LIFE,        /* the answer to a binding left alone */
};

enum pv_netcheck_probe_state {
    PV_NC_WAITING,  /* due is the first transmission */
    PV_NC_ASKED,    /* sent at least once, not answered yet */
    PV_NC_ANSWERED, /* a success answer arrived */
    PV_NC_REFUSED,  /* an error answer */
    PV_NC_SILENT,   /* no answer */
};

enum {
    PV_NC_CHANGE_PORT = 2, /* RFC 5780 s7.2 */
    PV_NC_CHANGE_IP = 4,   /* RFC 5780 s7.2 */
};

/* The first question to the server that is measured with: it has that server's addresses. */
static inline const struct pv_netcheck_probe *pv_netcheck_server(const struct pv_netcheck *nc)
{
    return &nc->probes[nc->server];
}

/* Fills nc->result from the probes. */
void pv_netcheck_judge(struct pv_netcheck *nc);

#endif /* PV_NETCHECK_INT_H */
