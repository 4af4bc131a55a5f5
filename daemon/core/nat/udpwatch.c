/* SPDX-License-Identifier: MIT */
/* Judges by silence after questions whether UDP gets through from here at all. The owner sends the
 * questions and reports every answer. */
#include "daemon/core/nat/udpwatch.h"

static void ask(struct pv_udpwatch *w, pv_ns now)
{
    w->ask = true;
    w->next_ask = now + PV_UDPWATCH_RETRY;
    /* A verdict that is pending keeps its time, or paths that are suspected again and again would
     * put it off for ever. */
    if (w->verdict_at != 0)
        return;
    w->asked_at = now;
    w->verdict_at = now + PV_UDPWATCH_VERDICT;
}

void pv_udpwatch_start(struct pv_udpwatch *w, pv_ns now)
{
    w->on = true;
    ask(w, now);
}

/* A verdict that falls with the stop is a change: whoever acted on "blocked" has to hear of its
 * end. */
void pv_udpwatch_stop(struct pv_udpwatch *w)
{
    bool was = w->blocked;
    *w = (struct pv_udpwatch){.changed = was, .refresh = w->refresh};
}

void pv_udpwatch_doubt(struct pv_udpwatch *w, pv_ns now)
{
    if (w->on)
        ask(w, now);
}

/* Servers that did not answer while the machine slept say nothing about UDP: they are asked anew.
 */
void pv_udpwatch_woke(struct pv_udpwatch *w, pv_ns now)
{
    w->verdict_at = 0;
    pv_udpwatch_doubt(w, now);
}

void pv_udpwatch_set_refresh(struct pv_udpwatch *w, pv_ns refresh)
{
    w->refresh = refresh;
}

void pv_udpwatch_heard(struct pv_udpwatch *w, pv_ns now)
{
    if (!w->on)
        return;
    w->changed = w->changed || w->blocked;
    w->blocked = false;
    w->known = true;
    w->verdict_at = 0;
    /* One answer is proof enough. The next question is due when the refresh that follows has been
     * missed. */
    w->next_ask = now + (w->refresh == 0 ? PV_UDPWATCH_REFRESH : w->refresh) + PV_UDPWATCH_SILENCE;
}

/* A server that is silent by TCP too is waited for, until its connection counts as dead. */
static void judge(struct pv_udpwatch *w, pv_ns tcp, pv_ns now)
{
    w->verdict_at = tcp == 0 || tcp >= w->asked_at ? 0 : now + PV_UDPWATCH_VERDICT;
    if (tcp < w->asked_at)
        return;
    w->changed = w->changed || !w->blocked;
    w->since = w->blocked ? w->since : w->asked_at;
    w->blocked = w->known = true;
}

void pv_udpwatch_handle_timeout(struct pv_udpwatch *w, pv_ns tcp, pv_ns now)
{
    if (!w->on)
        return;
    if (w->verdict_at != 0 && now >= w->verdict_at)
        judge(w, tcp, now);
    if (now >= w->next_ask)
        ask(w, now);
}

pv_ns pv_udpwatch_next_timeout(const struct pv_udpwatch *w)
{
    if (!w->on)
        return PV_NEVER;
    return w->verdict_at != 0 ? pv_min_ns(w->verdict_at, w->next_ask) : w->next_ask;
}

bool pv_udpwatch_take_ask(struct pv_udpwatch *w)
{
    bool due = w->ask;
    w->ask = false;
    return due;
}

bool pv_udpwatch_take_changed(struct pv_udpwatch *w)
{
    bool changed = w->changed;
    w->changed = false;
    return changed;
}

bool pv_udpwatch_is_blocked(const struct pv_udpwatch *w)
{
    return w->blocked;
}

pv_ns pv_udpwatch_since(const struct pv_udpwatch *w)
{
    return w->since;
}

const char *pv_udpwatch_word(const struct pv_udpwatch *w)
{
    if (!w->on || (w->verdict_at != 0 && !w->known))
        return "unknown";
    return w->blocked ? "blocked" : "open";
}
