/* SPDX-License-Identifier: MIT */
/* querier.c - the set of groups that the local kernel reports, and when to ask it again. */
#include "proto/group/querier.h"

#include <string.h>

enum {
    WAIT_GENERAL = 100, /* tenths of a second, RFC 3376 s8.3 */
    WAIT_DOUBT = 10,    /* of the question about one group, RFC 3376 s8.8 */
    STARTUP_COUNT = 2,  /* RFC 3376 s8.7 */
};

void pv_querier_init(struct pv_querier *q)
{
    *q = (struct pv_querier){.ask_at = PV_NEVER};
}

/* The kernel's answer has the groups that it joined before; it also reports everything when the
 * interface comes up. */
void pv_querier_start(struct pv_querier *q, pv_ns now)
{
    q->asked = 0;
    q->ask_at = now;
}

void pv_querier_stop(struct pv_querier *q)
{
    q->changes += q->n > 0;
    q->n = 0;
    q->ask_at = PV_NEVER;
    q->ask4 = q->ask6 = 0;
    q->doubt.version = 0;
}

/* Where the group stands, or would: binary search, for a flood of reports costs one each. */
static size_t place_of(const struct pv_querier *q, const struct pv_group *g)
{
    size_t low = 0, high = q->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (pv_group_compare(&q->groups[mid].group, g) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool stands_at(const struct pv_querier *q, size_t i, const struct pv_group *g)
{
    return i < q->n && pv_group_equal(&q->groups[i].group, g);
}

/* There is a place again: who found none is heard again with the next question. */
static void forget(struct pv_querier *q, size_t i)
{
    q->refused = 0;
    memmove(&q->groups[i], &q->groups[i + 1], (q->n - i - 1) * sizeof(q->groups[0]));
    q->n--;
    q->changes++;
}

/* A report renews the group, whichever message it is. */
static void want(struct pv_querier *q, const struct pv_group *g, pv_ns now)
{
    size_t i = place_of(q, g);
    if (!stands_at(q, i, g)) {
        if (q->n == PV_QUERIER_MAX) {
            q->refused++;
            return;
        }
        memmove(&q->groups[i + 1], &q->groups[i], (q->n - i) * sizeof(q->groups[0]));
        q->groups[i].group = *g;
        q->n++;
        q->changes++;
    }
    q->groups[i].until = now + PV_QUERIER_LIFETIME;
}

/* Asks about one group at a time. If several are in doubt, asks about everything, and groups that
 * are not reported again end by their time. */
static void doubt(struct pv_querier *q, const struct pv_group *g, pv_ns now)
{
    size_t i = place_of(q, g);
    if (!stands_at(q, i, g))
        return;
    if (q->doubt.version != 0) {
        q->ask_at = now;
        return;
    }
    q->groups[i].until = pv_min_ns(q->groups[i].until, now + PV_QUERIER_DOUBT);
    q->doubt = *g;
}

int pv_querier_hear(struct pv_querier *q, struct pv_view packet, pv_ns now)
{
    struct pv_ippkt ip;
    struct pv_groupmsg msg;
    struct pv_group g;
    enum pv_group_change change;
    int r = pv_ippkt_parse(packet, &ip);
    if (r == PV_OK)
        r = pv_groupmsg_read(&ip, &msg);
    if (r != PV_OK || q->ask_at == PV_NEVER)
        return r;
    while (pv_groupmsg_next(&msg, &g, &change)) {
        /* To these everybody belongs, or nobody else. */
        if (pv_group_kind(&g) == PV_GROUP_LOCAL || pv_group_is_everybodys(&g))
            continue;
        size_t i = place_of(q, &g);
        if (change == PV_GROUP_WANTED)
            want(q, &g, now);
        else if (change == PV_GROUP_DOUBTED)
            doubt(q, &g, now);
        else if (stands_at(q, i, &g))
            forget(q, i);
    }
    return PV_OK;
}

/* From the end, since an entry that goes moves those behind it. */
void pv_querier_handle_timeout(struct pv_querier *q, pv_ns now)
{
    for (size_t i = q->n; i-- > 0;) {
        if (q->groups[i].until <= now)
            forget(q, i);
    }
    if (q->ask_at > now)
        return;
    q->ask4 = q->ask6 = 1;
    q->asked++;
    q->ask_at = now + (q->asked < STARTUP_COUNT ? PV_QUERIER_STARTUP : PV_QUERIER_INTERVAL);
}

pv_ns pv_querier_next_timeout(const struct pv_querier *q)
{
    pv_ns next = q->ask_at;
    for (size_t i = 0; i < q->n; i++)
        next = pv_min_ns(next, q->groups[i].until);
    return next;
}

bool pv_querier_poll(struct pv_querier *q, uint8_t buf[static PV_GROUPMSG_QUERY_MAX],
                     size_t *ret_len)
{
    if (q->ask4 != 0) {
        q->ask4 = 0;
        pv_groupmsg_query(4, NULL, WAIT_GENERAL, buf, ret_len);
    } else if (q->ask6 != 0) {
        q->ask6 = 0;
        pv_groupmsg_query(6, NULL, WAIT_GENERAL, buf, ret_len);
    } else if (q->doubt.version != 0) {
        pv_groupmsg_query(q->doubt.version, &q->doubt, WAIT_DOUBT, buf, ret_len);
        q->doubt.version = 0;
    } else {
        return false;
    }
    return true;
}
