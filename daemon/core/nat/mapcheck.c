/* SPDX-License-Identifier: MIT */
/* Proves a mapped port with two STUN transactions: a plain one, which shows that the server is
 * there, and one whose answer has to come in through the mapped port from an address that this node
 * has never sent to. */
#include "daemon/core/nat/mapcheck.h"

enum {
    SENDS = 4, /* at 0, 150, 450, 1050 ms; 3.45 s until silence counts */
};
#define RTO PV_MS(150) /* ours */

static void start_probe(struct pv_mapcheck *c, pv_ns now)
{
    const struct pv_stunc_config cfg = {
        .server = c->server,
        .rto = RTO,
        .max_sends = SENDS,
        /* From another address where there is one: an address-restricted NAT lets another port of
         * one we have sent to in, mapped or not. */
        .change = c->one_ip ? PV_STUNC_CHANGE_PORT : PV_STUNC_CHANGE_IP | PV_STUNC_CHANGE_PORT,
        .response_port = c->port,
    };
    pv_stunc_start(&c->probe, &cfg, &c->rng, now);
}

void pv_mapcheck_start(struct pv_mapcheck *c, const struct pv_addr *server, uint16_t port,
                       const struct pv_rng *rng, pv_ns now)
{
    const struct pv_stunc_config cfg = {.server = *server, .rto = RTO, .max_sends = SENDS};
    /* That a server has one address only is remembered, so that the next proof begins with the
     * port. */
    bool one_ip = c->one_ip && pv_addr_equal(&c->server, server);
    *c = (struct pv_mapcheck){
        .rng = *rng, .server = *server, .port = port, .one_ip = one_ip, .running = true};
    pv_stunc_start(&c->plain, &cfg, rng, now);
    start_probe(c, now);
}

void pv_mapcheck_stop(struct pv_mapcheck *c)
{
    c->running = false;
    c->event_due = false;
    pv_stunc_stop(&c->plain);
    pv_stunc_stop(&c->probe);
}

bool pv_mapcheck_is_running(const struct pv_mapcheck *c)
{
    return c->running;
}

/* Stopping comes first, for it forgets the event. */
static void conclude(struct pv_mapcheck *c, enum pv_mapcheck_verdict verdict)
{
    pv_mapcheck_stop(c);
    c->event = (struct pv_mapcheck_event){.verdict = verdict, .seen = c->seen};
    c->event_due = true;
}

/* Acts on what the two transactions have found out. */
static void settle(struct pv_mapcheck *c, pv_ns now)
{
    struct pv_stunc_event ev;
    if (pv_stunc_poll_event(&c->plain, &ev) == PV_OK && ev.type == PV_STUNC_MAPPED) {
        c->answered = true;
        c->seen = ev.mapped;
    }
    if (pv_stunc_poll_event(&c->probe, &ev) == PV_OK) {
        if (ev.type == PV_STUNC_MAPPED) {
            c->seen = ev.mapped;
            conclude(c, PV_MAPCHECK_OPEN);
        } else if (!c->one_ip) { /* it has none, or none that can be reached from here */
            c->one_ip = true;
            start_probe(c, now);
        } else if (ev.status != PV_ERR_TIMEOUT) {
            conclude(c, PV_MAPCHECK_UNABLE);
        }
    }
    if (!c->running || pv_stunc_is_running(&c->probe))
        return;
    /* Silence of the mapped port means "shut" only when the server has answered otherwise. */
    if (c->answered)
        conclude(c, PV_MAPCHECK_SHUT);
    else if (!pv_stunc_is_running(&c->plain))
        conclude(c, PV_MAPCHECK_UNKNOWN);
}

int pv_mapcheck_handle_input(struct pv_mapcheck *c, const struct pv_addr *src,
                             struct pv_view datagram, pv_ns now)
{
    int r = pv_stunc_handle_input(&c->plain, src, datagram, now);
    if (r == PV_ERR_NOT_FOUND)
        r = pv_stunc_handle_input(&c->probe, src, datagram, now);
    if (r == PV_OK)
        settle(c, now);
    return r;
}

void pv_mapcheck_handle_timeout(struct pv_mapcheck *c, pv_ns now)
{
    if (!c->running)
        return;
    pv_stunc_handle_timeout(&c->plain, now);
    pv_stunc_handle_timeout(&c->probe, now);
    settle(c, now);
}

pv_ns pv_mapcheck_next_timeout(const struct pv_mapcheck *c)
{
    return c->running
               ? pv_min_ns(pv_stunc_next_timeout(&c->plain), pv_stunc_next_timeout(&c->probe))
               : PV_NEVER;
}

int pv_mapcheck_poll_transmit(struct pv_mapcheck *c, uint8_t *buf, size_t cap, size_t *ret_len)
{
    int r = pv_stunc_poll_transmit(&c->plain, buf, cap, ret_len);
    return r == PV_ERR_AGAIN ? pv_stunc_poll_transmit(&c->probe, buf, cap, ret_len) : r;
}

int pv_mapcheck_poll_event(struct pv_mapcheck *c, struct pv_mapcheck_event *ret_event)
{
    if (!c->event_due)
        return PV_ERR_AGAIN;
    c->event_due = false;
    *ret_event = c->event;
    return PV_OK;
}
