/* SPDX-License-Identifier: MIT */
/* overlay_of.h - answers of chat/node.h out of the daemon's machines, for tests of chat's. */
#pragma once

#include "chat/node.h"
#include "daemon/core/peer/linkkeys.h"
#include "proto/roster/roster.h"

/* As the binding does it (bind/overlay.c), without peers. */
static inline bool overlay_of_roster(const struct pv_roster *roster, const uint8_t *pk,
                                     struct pv_overlay_member *ret_member)
{
    static const enum pv_overlay_kind kinds[] = {
        [PV_MEMBER_NONE] = PV_OVERLAY_NONE,       [PV_MEMBER_ACTIVE] = PV_OVERLAY_MEMBER,
        [PV_MEMBER_LEFT] = PV_OVERLAY_LEFT,       [PV_MEMBER_REVOKED] = PV_OVERLAY_REMOVED,
        [PV_MEMBER_WAITING] = PV_OVERLAY_WAITING, [PV_MEMBER_EXPIRED] = PV_OVERLAY_EXPIRED};
    const struct pv_member *m = pv_roster_known(roster, pk);
    *ret_member = (struct pv_overlay_member){.kind = PV_OVERLAY_NONE};
    if (m == NULL)
        return false;
    ret_member->kind = kinds[m->state];
    memcpy(ret_member->key, m->node, sizeof(ret_member->key));
    memcpy(ret_member->name, m->name, sizeof(ret_member->name));
    return true;
}

static inline enum pv_overlay_link overlay_of_keys(const struct pv_linkkeys *keys,
                                                   const uint8_t *pk, uint8_t *ret_key)
{
    const enum pv_linkkeys_state state = pv_linkkeys_state(keys, pk);
    if (ret_key != NULL && state != PV_LINKKEYS_NONE && state != PV_LINKKEYS_UNKNOWN)
        (void)pv_linkkeys_key(keys, pk, ret_key);
    return (enum pv_overlay_link)state;
}
