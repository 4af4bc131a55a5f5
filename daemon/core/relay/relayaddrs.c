/* SPDX-License-Identifier: MIT */
/* Which address of a TURN server is asked next: the addresses of its name in order, and the address
 * to which a server redirected us (300 Try Alternate, RFC 8489 s10). */
#include "daemon/core/relay/relayaddrs.h"

#include <string.h>

static const struct pv_addr nowhere = {.family = PV_AF_NONE};

bool pv_relayaddrs_set(struct pv_relayaddrs *a, const struct pv_addr *list, size_t n)
{
    struct pv_addr now = *pv_relayaddrs_now(a);
    if (n > PV_RELAYADDRS_MAX)
        n = PV_RELAYADDRS_MAX;
    bool same = n == a->n;
    for (size_t i = 0; i < n && same; i++)
        same = pv_addr_equal(&list[i], &a->list[i]);
    if (same)
        return false;
    memcpy(a->list, list, n * sizeof(*list));
    a->n = n;
    /* A new list begins a new round, at the present address if the list has it: an allocation there
     * may be alive. */
    a->at = a->silent = 0;
    a->away = nowhere;
    for (size_t i = 0; i < n; i++) {
        if (pv_addr_equal(&list[i], &now))
            a->at = i;
    }
    return true;
}

const struct pv_addr *pv_relayaddrs_now(const struct pv_relayaddrs *a)
{
    if (a->away.family != PV_AF_NONE)
        return &a->away;
    return a->n == 0 ? &nowhere : &a->list[a->at];
}

bool pv_relayaddrs_is_hasty(const struct pv_relayaddrs *a)
{
    return a->silent + 1 < a->n;
}

bool pv_relayaddrs_next(struct pv_relayaddrs *a)
{
    if (a->away.family != PV_AF_NONE) {
        a->away = nowhere; /* who sent us there is asked again, when it is time */
        return false;
    }
    a->silent++;
    a->at = a->n == 0 ? 0 : (a->at + 1) % a->n;
    return a->silent < a->n;
}

void pv_relayaddrs_begin(struct pv_relayaddrs *a)
{
    a->silent = 0;
}

bool pv_relayaddrs_are_silent(const struct pv_relayaddrs *a)
{
    return a->silent >= a->n;
}

/* Notes that addr is being asked. Returns false if it was asked not long ago, or if there is no
 * more room. Two servers that redirect to each other must not send us to and fro (RFC 8489 s10). */
static bool note_asked(struct pv_relayaddrs *a, const struct pv_addr *addr, pv_ns now)
{
    size_t free_one = PV_RELAYADDRS_ASKED;
    for (size_t i = 0; i < PV_RELAYADDRS_ASKED; i++) {
        if (a->asked[i].until <= now)
            free_one = i;
        else if (pv_addr_equal(&a->asked[i].addr, addr))
            return false;
    }
    if (free_one == PV_RELAYADDRS_ASKED)
        return false;
    a->asked[free_one].addr = *addr;
    a->asked[free_one].until = now + PV_RELAYADDRS_LOOP;
    return true;
}

bool pv_relayaddrs_redirect(struct pv_relayaddrs *a, const struct pv_addr *to, pv_ns now)
{
    (void)note_asked(a, pv_relayaddrs_now(a), now);
    if (to->family == PV_AF_NONE || !note_asked(a, to, now))
        return false;
    a->away = *to;
    return true;
}
