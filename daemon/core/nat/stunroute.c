/* SPDX-License-Identifier: MIT */
/* A set-associative table from STUN transaction ids to the machines that sent them. It has no
 * deletion: an id that was answered is as good a victim as any old one. */
#include "daemon/core/nat/stunroute.h"

#include <string.h>

#include "base/bytes.h"

/* Our own ids are random, so two of their bytes are a hash already. */
static size_t set_of(const uint8_t *txid)
{
    return pv_load_be16(txid) % PV_STUNROUTE_SETS;
}

/* A full set loses its oldest id, whose answer is the least likely still to come. */
void pv_stunroute_sent(struct pv_stunroute *t, const uint8_t txid[static PV_STUN_TXID_LEN],
                       uint32_t owner)
{
    struct pv_stunroute_slot *set = t->slots[set_of(txid)];
    struct pv_stunroute_slot *victim = &set[0];
    for (size_t i = 0; i < PV_STUNROUTE_WAYS; i++) {
        if (set[i].owner != 0 && memcmp(set[i].txid, txid, PV_STUN_TXID_LEN) == 0) {
            victim = &set[i];
            break;
        }
        if (set[i].order < victim->order)
            victim = &set[i];
    }
    memcpy(victim->txid, txid, PV_STUN_TXID_LEN);
    victim->owner = owner;
    victim->order = ++t->next_order;
}

uint32_t pv_stunroute_owner(const struct pv_stunroute *t,
                            const uint8_t txid[static PV_STUN_TXID_LEN])
{
    const struct pv_stunroute_slot *set = t->slots[set_of(txid)];
    for (size_t i = 0; i < PV_STUNROUTE_WAYS; i++) {
        if (set[i].owner != 0 && memcmp(set[i].txid, txid, PV_STUN_TXID_LEN) == 0)
            return set[i].owner;
    }
    return 0;
}
