/* SPDX-License-Identifier: MIT */
/* node.c - questions to the node that chat asks often. */
#include "chat/node.h"

bool pv_overlay_by_key(const struct pv_overlay *o, const uint8_t *key,
                       struct pv_overlay_member *ret_member)
{
    const struct pv_overlay_query query = {.how = PV_OVERLAY_BY_KEY, .key = key};
    return o->find(o->node, &query, ret_member);
}

bool pv_overlay_by_word(const struct pv_overlay *o, enum pv_overlay_how how, const char *word,
                        struct pv_overlay_member *ret_member)
{
    const struct pv_overlay_query query = {.how = how, .word = word};
    return o->find(o->node, &query, ret_member);
}

bool pv_overlay_is_in(const struct pv_overlay_member *m)
{
    return m->kind == PV_OVERLAY_MEMBER || m->kind == PV_OVERLAY_PHONE;
}

bool pv_overlay_is_former(const struct pv_overlay_member *m)
{
    return m->kind == PV_OVERLAY_LEFT || m->kind == PV_OVERLAY_REMOVED;
}
