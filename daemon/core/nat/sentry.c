/* SPDX-License-Identifier: MIT */
/* One sentry: a Binding transaction each interval, and the tickets that go along. */
#include "daemon/core/nat/sentry.h"

#include "daemon/core/nat/gatherer.h"

enum {
    SENDS = 3, /* at 0, 500, 1500 ms */
};

void pv_sentry_start(struct pv_sentry *s, const struct pv_addr *server, uint64_t home,
                     const struct pv_rng *rng, pv_ns at)
{
    *s = (struct pv_sentry){.server = *server,
                            .home = home,
                            .rng = *rng,
                            .interval = PV_GATHERER_REFRESH,
                            .ask_at = at};
}

void pv_sentry_set_interval(struct pv_sentry *s, pv_ns interval)
{
    s->interval = interval == 0 ? PV_GATHERER_REFRESH : interval;
}

void pv_sentry_refresh(struct pv_sentry *s, pv_ns now)
{
    if (s->known && !pv_stunc_is_running(&s->stunc))
        s->ask_at = now;
}

void pv_sentry_rest(struct pv_sentry *s, pv_ns now)
{
    if (!s->known && !pv_stunc_is_running(&s->stunc))
        s->ask_at = now + PV_SENTRY_NONE;
}

bool pv_sentry_is_known(const struct pv_sentry *s)
{
    return s->known;
}

static void ask(struct pv_sentry *s, pv_ns now)
{
    const struct pv_stunc_config cfg = {
        .server = s->server,
        .max_sends = SENDS,
        .padding = PV_SENTRY_PADDING,
        .sentry = {.coordinator = s->home, .ticket = s->ticket},
    };
    s->ask_at = PV_NEVER;
    s->again = false;
    pv_stunc_start(&s->stunc, &cfg, &s->rng, now);
}

/* Nodes that lost the same coordinator came to the next at once; they are not to ask at once for
 * ever. */
static void rest(struct pv_sentry *s, pv_ns now)
{
    uint32_t eighth = (uint32_t)(s->interval / PV_MS(8)) + 1;
    s->ask_at = now + s->interval - PV_MS(pv_rng_below(&s->rng, eighth));
}

/* The ticket of a binding that ended is void, and the answer brings that of the new one: so it is
 * asked once more, but not for ever where it has no place for us, or lies. */
static void settle(struct pv_sentry *s, pv_ns now)
{
    struct pv_stunc_event ev;
    if (pv_stunc_poll_event(&s->stunc, &ev) < 0)
        return;
    if (ev.type != PV_STUNC_MAPPED) {
        s->known = false;
        rest(s, now);
        return;
    }
    if (ev.sentry.ticket == 0) {
        s->known = false;
        s->ticket = 0;
        s->ask_at = now + PV_SENTRY_NONE;
        return;
    }
    bool once_more = ev.sentry.ticket != s->ticket && !s->again;
    s->known = ev.sentry.coordinator == s->home;
    if (s->known)
        s->shown = s->ticket;
    s->ticket = ev.sentry.ticket;
    if (s->known || !once_more) {
        rest(s, now);
        return;
    }
    ask(s, now);
    s->again = true;
}

int pv_sentry_handle_input(struct pv_sentry *s, const struct pv_addr *src, struct pv_view datagram,
                           pv_ns now)
{
    int r = pv_stunc_handle_input(&s->stunc, src, datagram, now);
    if (r == PV_OK)
        settle(s, now);
    return r;
}

/* The answer to the last request may have been lost, which made us known by the newer ticket. */
bool pv_sentry_takes_alarm(const struct pv_sentry *s, const struct pv_addr *src,
                           const struct pv_sentry_word *alarm)
{
    return pv_addr_equal(src, &s->server) && alarm->coordinator == s->home && alarm->ticket != 0 &&
           (alarm->ticket == s->shown || alarm->ticket == s->ticket);
}

void pv_sentry_handle_timeout(struct pv_sentry *s, pv_ns now)
{
    pv_stunc_handle_timeout(&s->stunc, now);
    settle(s, now);
    if (now >= s->ask_at)
        ask(s, now);
}

pv_ns pv_sentry_next_timeout(const struct pv_sentry *s)
{
    return pv_min_ns(pv_stunc_next_timeout(&s->stunc), s->ask_at);
}

int pv_sentry_poll_transmit(struct pv_sentry *s, uint8_t *buf, size_t cap, size_t *ret_len)
{
    return pv_stunc_poll_transmit(&s->stunc, buf, cap, ret_len);
}
