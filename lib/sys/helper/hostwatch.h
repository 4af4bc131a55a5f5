/* SPDX-License-Identifier: MIT */
/*
 * hostwatch.h - what the kernel says while others change routes, rules, interfaces and netfilter;
 * for hostnet.c only.
 */
#ifndef PV_HOSTWATCH_H
#define PV_HOSTWATCH_H

#include "base/pv.h"
#include "sys/helper/networds.h"

struct pv_hostwatch {
    int route_fd;                 /* -1: not open */
    int nft_fd;                   /* -1: the kernel has no netfilter, or we may not listen */
    char table[PV_NETWORDS_NAME]; /* ours */
    bool has_table;               /* it is there */
    int rules;                    /* in it, counted from some time on */
    pv_ns first, last;            /* of the burst under way; 0: none */
};

/* -errno: not even routes can be watched. */
PV_MUST_CHECK int pv_hostwatch_open(struct pv_hostwatch *w);
/* Netfilter too, from the first need of it on: listening loads the kernel's module. */
void pv_hostwatch_open_nft(struct pv_hostwatch *w);
/* Takes what the kernel has said; true: something that is not ours alone has changed. */
bool pv_hostwatch_read(struct pv_hostwatch *w, pv_ns now);
/* Counts what we ourselves have just done to our table. News of routes waits for the next read: it
 * may be news since they were looked at. */
void pv_hostwatch_settle(struct pv_hostwatch *w);
void pv_hostwatch_close(struct pv_hostwatch *w);

#endif /* PV_HOSTWATCH_H */
