/* SPDX-License-Identifier: MIT */
/* The pauses between attempts to reach the coordinator, and how a round of attempts went. */
#include "daemon/core/coord/coordwait.h"

#include <errno.h>

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

/* --- the round of attempts ------------------------------------------------------------------- */

/* A stranger who answers says more than a refused connection, and that says more than an address to
 * which there is no route. */
enum pv_coordround pv_coordround_worse(enum pv_coordround round, bool connected, bool heard,
                                       int status)
{
    enum pv_coordround f =
        heard                     ? PV_COORDROUND_STRANGER
        : connected               ? PV_COORDROUND_CLOSED
        : status == -ECONNREFUSED ? PV_COORDROUND_REFUSED
        : status == -ENETUNREACH || status == -ENETDOWN || status == -EADDRNOTAVAIL
            ? PV_COORDROUND_NO_WAY
        : status == -EHOSTUNREACH ? PV_COORDROUND_UNREACHED
                                  : PV_COORDROUND_SILENT;
    return f > round ? f : round;
}

/* Often this machine has the one kind of address and the coordinator the other. */
static const char *no_way(bool v6, bool other)
{
    if (v6)
        return other
                   ? "there is no route to the coordinator's IPv6 address: is this machine's "
                     "network up, and has it IPv6?"
                   : "there is no route to the coordinator's IPv6 address, and no IPv4 address of "
                     "it is known: is this machine's network up, and has it IPv6?";
    return other ? "there is no route to the coordinator's IPv4 address: is this machine's network "
                   "up, and has it IPv4?"
                 : "there is no route to the coordinator's IPv4 address, and no IPv6 address of it "
                   "is known: is this machine's network up, and has it IPv4?";
}

static const char *round_text(enum pv_coordround round, bool v6, bool other)
{
    switch (round) {
    case PV_COORDROUND_MUTE:
        return "the coordinator's address accepts the connection and says nothing: the program "
               "there hangs, or is no coordinator";
    case PV_COORDROUND_STRANGER:
        return "the server at the coordinator's address does not prove the coordinator's key: it "
               "has another key now, or is another program (a login page of this network?)";
    case PV_COORDROUND_CLOSED:
        /* A coordinator cannot say anything to a node that does not know its key, nor does one that
         * is flooded to those whose place it gives away. */
        return "the coordinator's address closes the connection without an answer: the program "
               "there has another key than the one looked for, has no place for newcomers "
               "now, or is no coordinator (a login page of this network?)";
    case PV_COORDROUND_REFUSED:
        return "the coordinator's address refuses the connection: is p2pvpn-coordinator running "
               "there? Behind a router, is the port forwarded?";
    case PV_COORDROUND_NO_WAY:
        return no_way(v6, other);
    case PV_COORDROUND_UNREACHED:
        return "the coordinator's machine, or a router on the way to it, does not answer: it is "
               "off, or a route here (`ip route`) leads to a router that is gone";
    case PV_COORDROUND_SILENT:
        break;
    }
    return "no answer from the coordinator's address: it is off, or TCP to it is filtered";
}

struct pv_reason pv_coordround_text(enum pv_coordround round, bool v6, bool other)
{
    return (struct pv_reason){.text = round_text(round, v6, other),
                              .todo = round == PV_COORDROUND_CLOSED ? PV_DO(known_coordinator)
                                                                    : PV_DO_NOTHING};
}
