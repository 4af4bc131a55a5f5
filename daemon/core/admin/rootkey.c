/* SPDX-License-Identifier: MIT */
/* rootkey.c - who signs: the root key, of which the keeper has the secret, or this node. */
#include "daemon/core/admin/rootkey.h"

#include <string.h>

#include "daemon/core/member/membership.h"
#include "proto/roster/roster_make.h"

bool pv_rootkey_is_here(const struct pv_node *n)
{
    return n->roster != NULL && n->identity->has_root &&
           memcmp(n->identity->root.pk, pv_roster_root(n->roster), PV_SIGN_PK_LEN) == 0;
}

struct pv_signer pv_rootkey_signer(const struct pv_node *n)
{
    return pv_rootkey_is_here(n) ? pv_signer_kept(&n->identity->root) : pv_node_signer(n);
}

int pv_rootkey_grant(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    struct pv_st_admin admin = {.rights = PV_RIGHT_INVITE | PV_RIGHT_REVOKE,
                                .time = pv_node_wall_s(n, now)};
    struct pv_made made;

    memcpy(admin.node, pk, sizeof(admin.node));
    int r = pv_rootkey_is_here(n) ? PV_OK : PV_ERR_NOT_FOUND;
    /* A grant that has ended stays so: within the same second it would be made anew as it was. */
    for (bool known = r == PV_OK; known; admin.time++) {
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        r = pv_make_admin(pv_roster_network_id(n->roster), pv_rootkey_signer(n), &admin, &made);
        if (r == PV_OK)
            pv_statement_hash(pv_made_view(&made), hash);
        known = r == PV_OK && pv_roster_find(n->roster, hash) != NULL;
    }
    if (r != PV_OK)
        return r;
    const struct pv_ctl_item item = {.statement = pv_made_view(&made)};
    return pv_membership_add(n, &item, 1, now) > 0 ? PV_ERR_REFUSED : PV_OK;
}
