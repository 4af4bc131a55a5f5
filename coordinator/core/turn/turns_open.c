/* SPDX-License-Identifier: MIT */
/* Goes on after the owner has tried to open a relay socket: with another port, with its odd
 * neighbour, or with the answer to the Allocate that waits for it. */
#include <string.h>

#include "coordinator/core/turn/turns_int.h"

/* Can the Allocate be answered? A pair that is still wanted, or of which one half is missing, is
 * not open. */
static bool all_open(const struct pv_talloc *a)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(a->relays); i++) {
        const struct pv_trelay *r = a->relays[i];
        if (r != NULL && (r->state != PV_TRELAY_OPEN || r->pair != NULL || r->reserve))
            return false;
    }
    return true;
}

/* There is no socket for this family. IPv6 as an additional family only costs that half (RFC 8656
 * s7.2); without the first socket the whole allocation fails. */
static void give_up(struct pv_turns *t, struct pv_trelay *r, pv_ns now)
{
    struct pv_talloc *a = r->alloc;
    size_t family = pv_tfamily(&r->bind);
    if (family == 0 || a->relays[0] == NULL) {
        pv_trequest_allocated(t, a, PV_TURN_E_NO_CAPACITY, now);
        return;
    }
    a->family_error = PV_TURN_E_NO_CAPACITY;
    a->relays[family] = NULL;
    pv_trelay_close(t, r);
    if (all_open(a))
        pv_trequest_allocated(t, a, 0, now);
}

/* The port was taken. A pair that lost its odd half begins anew with another even port: the even
 * one that is open already cannot be kept, its neighbour will not become free. tries counts over
 * all of them, so that a full range ends in an error. */
static void try_another_port(struct pv_turns *t, struct pv_trelay *r, pv_ns now)
{
    struct pv_talloc *a = r->alloc;
    size_t family = pv_tfamily(&r->bind);
    unsigned tries = r->tries + 1;
    if (tries >= PV_TURNS_PORT_TRIES) {
        give_up(t, r, now);
        return;
    }
    if (r->state == PV_TRELAY_OPEN) { /* it is open, its neighbour could not be */
        bool reserve = r->reserve;
        a->relays[family] = NULL;
        pv_trelay_close(t, r);
        if (pv_trelay_want(t, a, family, true, reserve) < 0) {
            pv_trequest_allocated(t, a, PV_TURN_E_NO_CAPACITY, now);
            return;
        }
        a->relays[family]->tries = tries;
        return;
    }
    r->tries = tries;
    pv_trelay_choose_port(t, r);
    pv_trelay_ask(t, r);
}

/* The even one is open: now the odd one above it, which has no allocation yet. A later Allocate
 * with the token gets it (RFC 8656 s7.2). */
static void want_neighbour(struct pv_turns *t, struct pv_trelay *r, pv_ns now)
{
    struct pv_trelay *odd = NULL;
    if (!pv_trelay_port_fits(t, r)) {
        try_another_port(t, r, now);
        return;
    }
    if (pv_trelay_new(t, &odd) < 0) {
        give_up(t, r, now);
        return;
    }
    odd->bind = r->bind;
    odd->shown = r->shown;
    odd->bind.port++;
    odd->shown.port++;
    odd->pair = r;
    r->pair = odd;
    pv_trelay_hand_on(r, odd);
    pv_trelay_ask(t, odd);
}

/* Only a taken port is worth another try; any other failure would come again. The token is random,
 * and the client alone is told it, so nobody else can take the reserved port. */
static void neighbour_opened(struct pv_turns *t, struct pv_trelay *odd, int status, pv_ns now)
{
    struct pv_trelay *r = odd->pair;
    r->pair = NULL;
    odd->pair = NULL;
    if (status == PV_OK) {
        pv_rng_fill(&t->rng, odd->token, sizeof(odd->token));
        pv_trelay_set_open(t, odd);
        status = pv_turntab_add(&t->by_token, odd);
    }
    if (status < 0) {
        pv_trelay_close(t, odd);
        if (status == PV_ERR_EXISTS)
            try_another_port(t, r, now);
        else
            give_up(t, r, now);
        return;
    }
    pv_heap_set(&t->timers, &odd->timer.node, now + PV_S(PV_TURNS_RESERVE_S));
    memcpy(r->alloc->token, odd->token, sizeof(odd->token));
    r->alloc->has_token = true;
    r->reserve = false;
    if (all_open(r->alloc))
        pv_trequest_allocated(t, r->alloc, 0, now);
}

/* The owner has tried to open a socket. An answer for a socket that is closed by now, because the
 * allocation ended meanwhile, finds the number free or in another state and is ignored. */
void pv_turns_opened(struct pv_turns *t, uint32_t sock, int status, pv_ns now)
{
    size_t i = sock - PV_TURNS_RELAY0;
    struct pv_trelay *r = i < t->limits.relays ? t->relays[i] : NULL;
    t->n_out = 0;
    if (r == NULL || r->state != PV_TRELAY_ASKED)
        return;
    if (r->pair != NULL && r->alloc == NULL) {
        neighbour_opened(t, r, status, now);
        return;
    }
    if (status == PV_OK && r->even && r->bind.port % 2 == 1)
        status = PV_ERR_EXISTS; /* a range of one odd port */
    if (status == PV_ERR_EXISTS) {
        try_another_port(t, r, now);
    } else if (status < 0) {
        give_up(t, r, now);
    } else {
        pv_trelay_set_open(t, r);
        if (r->reserve)
            want_neighbour(t, r, now);
        else if (all_open(r->alloc))
            pv_trequest_allocated(t, r->alloc, 0, now);
    }
}
