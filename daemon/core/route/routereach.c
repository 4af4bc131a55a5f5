/* SPDX-License-Identifier: MIT */
/*
 * routereach.c - what this node reaches of what it offers. A prefix that one of its interfaces was
 * in is carried only while one is: behind the default route there would be nobody, or somebody
 * else. Members hear of it by the offers, whose flags last as long as they do, so neither a restart
 * nor a coordinator that is away makes them forget.
 */
#include "daemon/core/route/routes_int.h"
#include "daemon/core/route/routesedit.h"
#include "proto/roster/roster.h"

/* Ours. With the host's look and the statement's way less than the 3 s within which another gateway
 * takes over. */
#define AWAY_WAIT PV_S(1)
/* Ours. A cable that is loose must not fill the network with statements. */
#define BACK_WAIT_MIN PV_S(5)
#define BACK_WAIT_MAX PV_S(640)
#define CALM          PV_S(3600)

static bool is_linked(const struct pv_node *n, const struct pv_prefix *p)
{
    for (size_t i = 0; i < n->hostnet.n_lan; i++) {
        if (pv_prefix_overlaps(p, &n->hostnet.lan[i].prefix))
            return true;
    }
    return false;
}

uint8_t pv_routes_reach(const struct pv_node *n, const struct pv_offer *offer)
{
    unsigned flags = offer->flags & ~(unsigned)(PV_OFFER_AWAY | PV_OFFER_DOUBT);
    if (offer->prefix.bits != 0 && is_linked(n, &offer->prefix))
        flags |= PV_OFFER_LINKED;
    else if ((flags & PV_OFFER_LINKED) != 0)
        flags |= PV_OFFER_AWAY;
    if (n->hostnet.blocked)
        flags |= PV_OFFER_DOUBT;
    return (uint8_t)flags;
}

/* How long what has changed has to last; 0: nothing has. A host without any network has not been
 * looked at yet, or nobody would hear. */
static pv_ns wait_of(const struct pv_routes *r, bool *ret_worse)
{
    const unsigned bad = PV_OFFER_AWAY | PV_OFFER_DOUBT;
    pv_ns wait = 0;
    *ret_worse = false;
    for (size_t i = 0; i < r->n_here && r->node->hostnet.n_lan > 0; i++) {
        unsigned said = r->here[i].flags, now = pv_routes_reach(r->node, &r->here[i]);
        *ret_worse = *ret_worse || (now & ~said & bad) != 0;
        pv_ns own = (said & ~now & bad) != 0 ? r->back_wait : AWAY_WAIT;
        if (now != said && own > wait)
            wait = own;
    }
    return *ret_worse ? AWAY_WAIT : wait;
}

static void say(struct pv_routes *r, bool worse, pv_ns now)
{
    r->differs_since = 0;
    if (worse) {
        bool calm = r->away_at == 0 || now - r->away_at > CALM;
        r->back_wait = calm ? BACK_WAIT_MIN : pv_min_ns(2 * r->back_wait, BACK_WAIT_MAX);
        r->away_at = now;
    }
    int status = pv_routesedit_say_again(r->node, now);
    if (status != PV_OK)
        pv_log(r->node->log, PV_LOG_WARN, "what=\"offers not said anew\" why=\"%s\"",
               pv_strstatus(status));
}

void pv_routereach_look(struct pv_routes *r, pv_ns now, pv_ns *look_at)
{
    bool up = r->node->roster != NULL && r->node->up && !r->node->removed;
    bool worse = false;
    if (r->back_wait == 0)
        r->back_wait = BACK_WAIT_MIN;
    pv_ns wait = up ? wait_of(r, &worse) : 0;
    if (wait == 0) {
        r->differs_since = 0;
        return;
    }
    if (r->differs_since == 0)
        r->differs_since = now;
    if (now - r->differs_since >= wait) {
        say(r, worse, now);
        return;
    }
    *look_at = pv_min_ns(*look_at, r->differs_since + wait);
}
