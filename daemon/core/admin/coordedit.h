/* SPDX-License-Identifier: MIT */
/* coordedit.h - a network's list of coordinators with one more, one less, or one elsewhere. */
#ifndef PV_COORDEDIT_H
#define PV_COORDEDIT_H

#include "proto/roster/token.h"

struct pv_coordedit {
    size_t len;
    uint8_t bytes[PV_TOKEN_LIST_MAX]; /* a checked list; an invite's token has to hold it */
};

/* one, a list of one coordinator, before those of list, which it leaves out if it names the same
 * key. PV_ERR_LIMIT: more than PV_COORDINATORS_MAX; PV_ERR_NO_SPACE, here and below: too many and
 * too long addresses. */
PV_MUST_CHECK int pv_coordedit_put_first(struct pv_view list, struct pv_view one,
                                         struct pv_coordedit *ret);
/* PV_ERR_NOT_FOUND: it is not in the list; PV_ERR_STATE: nobody else is. */
PV_MUST_CHECK int pv_coordedit_remove(struct pv_view list, const uint8_t pk[static PV_SIGN_PK_LEN],
                                      struct pv_coordedit *ret);
/* The coordinator is at these addresses and no other: "HOST:PORT", "tls:HOST:PORT", with commas
 * between. PV_ERR_NOT_FOUND; PV_ERR_MALFORMED: not addresses. */
PV_MUST_CHECK int pv_coordedit_move(struct pv_view list, const uint8_t pk[static PV_SIGN_PK_LEN],
                                    const char *addresses, struct pv_coordedit *ret);

/* Which of the list somebody means: a key, an address, or a host; "" where there is one only.
 * PV_ERR_NOT_FOUND: none, or several. */
PV_MUST_CHECK int pv_coordedit_find(struct pv_view list, const char *which,
                                    uint8_t ret_pk[static PV_SIGN_PK_LEN]);

#endif /* PV_COORDEDIT_H */
