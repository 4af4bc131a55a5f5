/* SPDX-License-Identifier: MIT */
/* A list and a table. */
#include "daemon/core/coord/coordevents.h"

#include <stdlib.h>

struct pv_coordevents_item {
    struct pv_coordevents_item *next;
    struct pv_coordclient_event ev;
};

void pv_coordevents_init(struct pv_coordevents *e)
{
    e->first = NULL;
    e->end = &e->first;
}

void pv_coordevents_done(struct pv_coordevents *e)
{
    struct pv_coordclient_event ev;
    while (pv_coordevents_take(e, &ev) == PV_OK)
        pv_ctl_msg_free(ev.msg);
}

int pv_coordevents_put(struct pv_coordevents *e, struct pv_coordclient_event ev)
{
    struct pv_coordevents_item *item = malloc(sizeof(*item));
    if (item == NULL) {
        pv_ctl_msg_free(ev.msg);
        return PV_ERR_NOMEM;
    }
    item->next = NULL;
    item->ev = ev;
    *e->end = item;
    e->end = &item->next;
    return PV_OK;
}

int pv_coordevents_take(struct pv_coordevents *e, struct pv_coordclient_event *ret_event)
{
    struct pv_coordevents_item *item = e->first;
    if (item == NULL)
        return PV_ERR_AGAIN;
    e->first = item->next;
    if (e->first == NULL)
        e->end = &e->first;
    *ret_event = item->ev;
    free(item);
    return PV_OK;
}

struct pv_coordpending *
pv_coordpending_place(struct pv_coordpending all[static PV_COORDCLIENT_MAX_PENDING])
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_PENDING; i++)
        if (all[i].id == 0)
            return &all[i];
    return NULL;
}

struct pv_coordpending
pv_coordpending_take(struct pv_coordpending all[static PV_COORDCLIENT_MAX_PENDING], uint64_t id)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_PENDING; i++) {
        if (all[i].id != id || id == 0)
            continue;
        struct pv_coordpending p = all[i];
        all[i].id = 0;
        return p;
    }
    return (struct pv_coordpending){0};
}
