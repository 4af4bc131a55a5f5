/* SPDX-License-Identifier: MIT */
/* The choice of the coordinator that becomes the home of a network. */
#include "coordinator/core/member/home.h"

#include <stdlib.h>
#include <string.h>

/* A network without a home gets it where its first member knocks, unless another coordinator has
 * clearly fewer. Few networks are spread evenly, many within an eighth. */
static enum pv_home_verdict place(const struct pv_home_facts *f, bool pleads)
{
    if (f->least != 0 && f->unread)
        return PV_HOME_GIVE;
    if (pleads || f->least == 0)
        return PV_HOME_TAKE;
    if (f->draining || f->homes > f->least_homes + f->least_homes / 8)
        return PV_HOME_GIVE;
    return PV_HOME_TAKE;
}

/* A coordinator that has it already only reads it again. A holder that is silent may have been cut
 * off from the database as everybody was, and comes back with it: only one that has not follows
 * it. */
enum pv_home_verdict pv_home_judge(const struct pv_home_facts *f, bool pleads)
{
    if (!f->known)
        return PV_HOME_NONE;
    if (f->holder == f->me)
        return f->unread && f->least != 0 ? PV_HOME_GIVE : PV_HOME_TAKE;
    switch (f->holder == 0 ? PV_HOME_NOBODY : f->state) {
    case PV_HOME_ALIVE:
        if (f->unread)
            return PV_HOME_THERE;
        if (!f->loaded && f->age_ms >= PV_HOME_EMPTY_MS)
            return PV_HOME_TAKE;
        return pleads && f->age_ms >= PV_HOME_PLEA_MS ? PV_HOME_TAKE : PV_HOME_THERE;
    case PV_HOME_SILENT:
        return f->patient ? place(f, pleads) : PV_HOME_WAIT;
    case PV_HOME_NOBODY:
        break;
    }
    return place(f, pleads);
}

struct pv_home_answer *pv_home_answer_free(struct pv_home_answer *a)
{
    if (a != NULL) {
        pv_storeop_free(a->rows);
        pv_storeop_free(a->entries);
    }
    free(a);
    return NULL;
}

void pv_home_set_addrs(struct pv_home_answer *a, struct pv_view addrs)
{
    a->n_to = 0;
    while (addrs.len > 0 && a->n_to < PV_HOME_ADDRS_MAX) {
        const uint8_t *end = memchr(addrs.ptr, ' ', addrs.len);
        size_t len = end == NULL ? addrs.len : (size_t)(end - addrs.ptr);
        if (len > 0 && len <= PV_HOME_ADDR_MAX) {
            memcpy(a->to[a->n_to], addrs.ptr, len);
            a->to[a->n_to++][len] = '\0';
        }
        len += end == NULL ? 0 : 1;
        addrs = pv_view(addrs.ptr + len, addrs.len - len);
    }
}
