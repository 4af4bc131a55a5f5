/* SPDX-License-Identifier: MIT */
/*
 * rosterwire.h - the messages by which two nodes compare their rosters (in-band type 2,
 * docs/PROTOCOL-PEERS.md "Type 2: statements"), without the question of when which is sent.
 *
 * Pure. Control thread only.
 */
#ifndef PV_ROSTERWIRE_H
#define PV_ROSTERWIRE_H

#include "base/bytes.h"
#include "proto/roster/roster.h"

enum pv_rosterwire_op {
    PV_ROSTERWIRE_HEAD = 0,       /* 32 bytes */
    PV_ROSTERWIRE_DIGESTS = 1,    /* 256 * 4 bytes */
    PV_ROSTERWIRE_PREFIXES = 2,   /* u8 bucket, ascending prefixes of all its statements */
    PV_ROSTERWIRE_WANT = 3,       /* prefixes */
    PV_ROSTERWIRE_STATEMENTS = 4, /* {u16 length, statement, u16 length, receipt or nothing} */
    PV_ROSTERWIRE_STATE = 5,      /* u8 answer wanted, head, members' digest */
    PV_ROSTERWIRE_RECEIPTS = 6,   /* 256 * 4 bytes: digests of statements and receipts */
};

/* A set of buckets. */
struct pv_rosterwire_buckets {
    uint8_t bits[PV_ROSTER_BUCKETS / 8];
};

void pv_rosterwire_put_head(struct pv_writer *w, struct pv_roster *roster);
void pv_rosterwire_put_state(struct pv_writer *w, struct pv_roster *roster, bool want_answer);
/* The digests of all buckets: of their statements, or with the receipts. */
void pv_rosterwire_put_digests(struct pv_writer *w, struct pv_roster *roster, bool receipts);
/* Which buckets differ from these digests, 4 bytes each; false: none does. */
bool pv_rosterwire_differ(struct pv_roster *roster, const uint8_t *digests, bool receipts,
                          struct pv_rosterwire_buckets *ret_buckets);

#endif /* PV_ROSTERWIRE_H */
