/* SPDX-License-Identifier: MIT */
/* The pauses between attempts to reach the coordinator. */
#include "daemon/core/coord/coordwait.h"

void pv_coordwait_note(struct pv_coordwait *w, enum pv_coordround round, pv_ns now)
{
    bool refused = round == PV_COORDROUND_REFUSED;
    if (refused && w->refused_at == 0)
        w->refused_at = now;
    w->refuses = refused || (w->refused_at != 0 && round == PV_COORDROUND_CLOSED);
}

void pv_coordwait_reset(struct pv_coordwait *w)
{
    *w = (struct pv_coordwait){.hurry_until = w->hurry_until};
}

bool pv_coordwait_is_dropped(const struct pv_coordwait *w)
{
    return w->welcomes > PV_COORDWAIT_WELCOMES;
}

void pv_coordwait_welcome(struct pv_coordwait *w)
{
    if (pv_coordwait_is_dropped(w))
        return;
    unsigned welcomes = w->welcomes + 1;
    if (welcomes <= PV_COORDWAIT_WELCOMES)
        pv_coordwait_reset(w);
    w->welcomes = welcomes;
}

static pv_ns longest_window(const struct pv_coordwait *w, pv_ns now)
{
    if (pv_coordwait_is_dropped(w))
        return PV_COORDWAIT_MAX;
    if (now < w->hurry_until)
        return PV_COORDWAIT_HURRY;
    return w->refuses && now < w->refused_at + PV_COORDWAIT_MINUTE ? PV_COORDWAIT_REFUSE
                                                                   : PV_COORDWAIT_MAX;
}

pv_ns pv_coordwait_pause(const struct pv_coordwait *w, const struct pv_rng *rng, pv_ns now)
{
    pv_ns most = longest_window(w, now), window = PV_COORDWAIT_MIN;
    for (unsigned i = 0; i < w->failures && window < most; i++)
        window *= 2;
    window = pv_min_ns(window, most);
    uint32_t span_ms = (uint32_t)((window - PV_COORDWAIT_MIN) / PV_MS(1));
    return PV_COORDWAIT_MIN + PV_MS(pv_rng_below(rng, span_ms + 1));
}

pv_ns pv_coordwait_others(const struct pv_coordwait *w, enum pv_coordround round, pv_ns deadline,
                          pv_ns last_begins)
{
    unsigned doublings = w->failures < 4 ? w->failures : 4;
    return round == PV_COORDROUND_REFUSED
               ? pv_min_ns(deadline, last_begins + (PV_COORDWAIT_OTHERS << doublings))
               : deadline;
}

pv_ns pv_coordwait_long(const struct pv_rng *rng)
{
    pv_ns half = PV_COORDWAIT_MAX / 2;
    return half + PV_MS(pv_rng_below(rng, (uint32_t)(half / PV_MS(1)) + 1));
}
