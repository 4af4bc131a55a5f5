/* SPDX-License-Identifier: MIT */
/* rosterwire.c - heads, states and digests as bytes, and the comparison of digests. */
#include "daemon/core/member/rosterwire.h"

#include <string.h>

/* Statements and receipts have digests of their own: a receipt that comes later changes no
 * statement, and members must still find out who lacks it. */
static uint32_t digest_of(struct pv_roster *roster, size_t bucket, bool receipts)
{
    return receipts ? pv_roster_receipts_digest(roster, (uint8_t)bucket)
                    : pv_roster_bucket_digest(roster, (uint8_t)bucket);
}

void pv_rosterwire_put_head(struct pv_writer *w, struct pv_roster *roster)
{
    uint8_t head[PV_STATEMENT_HASH_LEN];

    pv_roster_head(roster, head);
    pv_put_u8(w, PV_ROSTERWIRE_HEAD);
    pv_put_bytes(w, head, sizeof(head));
}

void pv_rosterwire_put_state(struct pv_writer *w, struct pv_roster *roster, bool want_answer)
{
    uint8_t head[PV_STATEMENT_HASH_LEN], members[PV_STATEMENT_HASH_LEN];

    pv_roster_head(roster, head);
    pv_roster_members(roster, members);
    pv_put_u8(w, PV_ROSTERWIRE_STATE);
    pv_put_u8(w, want_answer ? 1 : 0);
    pv_put_bytes(w, head, sizeof(head));
    pv_put_bytes(w, members, sizeof(members));
}

/* All of them, in order: neither numbers nor lengths have to be told. */
void pv_rosterwire_put_digests(struct pv_writer *w, struct pv_roster *roster, bool receipts)
{
    pv_put_u8(w, receipts ? PV_ROSTERWIRE_RECEIPTS : PV_ROSTERWIRE_DIGESTS);
    for (size_t b = 0; b < PV_ROSTER_BUCKETS; b++)
        pv_put_u32(w, digest_of(roster, b, receipts));
}

bool pv_rosterwire_differ(struct pv_roster *roster, const uint8_t *digests, bool receipts,
                          struct pv_rosterwire_buckets *ret_buckets)
{
    bool differ = false;

    memset(ret_buckets, 0, sizeof(*ret_buckets));
    for (size_t b = 0; b < PV_ROSTER_BUCKETS; b++) {
        if (pv_load_be32(digests + 4 * b) == digest_of(roster, b, receipts))
            continue;
        ret_buckets->bits[b / 8] |= (uint8_t)(1u << (b % 8));
        differ = true;
    }
    return differ;
}
