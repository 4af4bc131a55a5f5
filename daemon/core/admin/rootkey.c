/* SPDX-License-Identifier: MIT */
/* rootkey.c - opens the root key and signs with it. It is expanded for each signature and wiped
 * then: in memory it stays as its seed only. */
#include "daemon/core/admin/rootkey.h"

#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/member/membership.h"
#include "proto/roster/roster_make.h"

/* A root key of another network may be left over on this machine: it is not this one's. */
int pv_rootkey_open(const struct pv_node *n, uint8_t ret_sk[static PV_SIGN_SK_LEN])
{
    uint8_t pk[PV_SIGN_PK_LEN];

    if (n->roster == NULL || !n->identity->has_root)
        return PV_ERR_NOT_FOUND;
    pv_sign_keypair(n->identity->root_seed, ret_sk, pk);
    if (memcmp(pk, pv_roster_root(n->roster), sizeof(pk)) == 0)
        return PV_OK;
    pv_wipe(ret_sk, PV_SIGN_SK_LEN);
    return PV_ERR_NOT_FOUND;
}

bool pv_rootkey_is_here(const struct pv_node *n)
{
    uint8_t sk[PV_SIGN_SK_LEN];
    bool here = pv_rootkey_open(n, sk) == PV_OK;
    pv_wipe(sk, sizeof(sk));
    return here;
}

int pv_rootkey_grant(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    struct pv_st_admin admin = {.rights = PV_RIGHT_INVITE | PV_RIGHT_REVOKE,
                                .time = pv_node_wall_s(n, now)};
    uint8_t sk[PV_SIGN_SK_LEN];
    struct pv_made made;

    memcpy(admin.node, pk, sizeof(admin.node));
    int r = pv_rootkey_open(n, sk);
    /* A grant that has ended stays so: within the same second it would be made anew as it was. */
    for (bool known = r == PV_OK; known; admin.time++) {
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        r = pv_make_admin(pv_roster_network_id(n->roster), sk, &admin, &made);
        if (r == PV_OK)
            pv_statement_hash(pv_made_view(&made), hash);
        known = r == PV_OK && pv_roster_find(n->roster, hash) != NULL;
    }
    pv_wipe(sk, sizeof(sk));
    if (r != PV_OK)
        return r;
    const struct pv_ctl_item item = {.statement = pv_made_view(&made)};
    return pv_membership_add(n, &item, 1, now) > 0 ? PV_ERR_REFUSED : PV_OK;
}
