/* SPDX-License-Identifier: MIT */
/* card.c - compares this node's card with what is so, and signs another one. */
#include "daemon/core/member/card.h"

#include <string.h>

#include "daemon/core/member/membership.h"
#include "daemon/core/member/sealkeys.h"
#include "daemon/core/peer/peers.h"

#define AGAIN PV_S(60) /* ours: between two cards, should the first one change nothing */

struct card {
    struct pv_node *node;
    pv_ns look_at;    /* PV_NEVER: when something changes */
    pv_ns not_before; /* the same is said again */
    uint32_t said;    /* abilities, the last time */
    bool has_offered; /* the user changed the offers in this life, to these */
    struct pv_card offered;
    /* What other parts know of keys of OpenSSH's. */
    struct {
        bool known;
        struct pv_sshkeys keys;
    } ssh[PV_SSHKEYS_LOGIN + 1]; /* by enum pv_sshkeys_use */
};

static struct card *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_card);
}

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct card *x = part;
    x->look_at = PV_NEVER;
    return PV_OK;
}

void pv_card_last(const struct pv_node *n, struct pv_card *ret_card)
{
    pv_card_read(pv_roster_card(n->roster, n->identity->sign_pk), ret_card);
}

/* Of keys what its descriptions say: the two must never differ, since members hold them against
 * each other. Before the interface is up, what was said of it last may hold. */
static uint32_t abilities_of(const struct pv_node *n, uint32_t last)
{
    const uint32_t keys = (n->ways.caps & PV_DESC_CAP_PQ) != 0 ? PV_ABLE_PQ : 0;
    if (n->iface.ip6 == PV_IFACE_IP6_UNKNOWN)
        return keys | (last & PV_ABLE_NO_IP6);
    return keys | (n->iface.ip6 == PV_IFACE_NO_IP6 ? PV_ABLE_NO_IP6 : 0);
}

static void take_offers(struct pv_card *card, const struct pv_card *offers)
{
    card->n_offers = offers->n_offers;
    memcpy(card->offers, offers->offers, sizeof(card->offers));
}

static int say(struct pv_node *n, const struct pv_card *card, pv_ns now)
{
    struct pv_made_long made;
    int r = pv_make_card(n->roster, n->identity->sign_sk, card, pv_node_wall_s(n, now), &made);
    return r == PV_OK ? pv_membership_say(n, pv_made_long_view(&made), now) : r;
}

/* What the card should say, next to what it says. */
static struct pv_card wanted(const struct pv_node *n, const struct pv_card *last)
{
    const struct card *x = of(n);
    struct pv_card card = *last;
    if (x != NULL && x->ssh[PV_SSHKEYS_HOST].known)
        card.hostkeys = pv_sshkeys_view(&x->ssh[PV_SSHKEYS_HOST].keys);
    if (x != NULL && x->ssh[PV_SSHKEYS_LOGIN].known)
        card.loginkeys = pv_sshkeys_view(&x->ssh[PV_SSHKEYS_LOGIN].keys);
    card.abilities = abilities_of(n, last->abilities);
    card.kem = pv_sealkeys_own(n);
    return card;
}

int pv_card_offer(struct pv_node *n, const struct pv_card *offers, pv_ns now)
{
    struct card *x = of(n);
    struct pv_card last;
    pv_card_last(n, &last);
    struct pv_card card = wanted(n, &last);
    take_offers(&card, offers);
    int r = say(n, &card, now);
    if (r == PV_OK && x != NULL) {
        x->has_offered = true;
        pv_card_last(n, &x->offered); /* in order */
    }
    return r;
}

void pv_card_set_sshkeys(struct pv_node *n, const struct pv_sshkeys *keys, pv_ns now)
{
    struct card *x = of(n);
    if (x == NULL ||
        (x->ssh[keys->use].known &&
         pv_view_equal(pv_sshkeys_view(&x->ssh[keys->use].keys), pv_sshkeys_view(keys))))
        return;
    x->ssh[keys->use].known = true;
    x->ssh[keys->use].keys = *keys;
    x->look_at = x->not_before = now; /* the card before it had other keys */
}

static bool same_offers(const struct pv_card *a, const struct pv_card *b)
{
    bool same = a->n_offers == b->n_offers;
    for (size_t i = 0; same && i < a->n_offers; i++)
        same = a->offers[i].flags == b->offers[i].flags &&
               pv_route_compare(&a->offers[i].prefix, &b->offers[i].prefix) == 0;
    return same;
}

/* A node that is down says it when it is up again: nobody talks to it meanwhile. */
static void look(struct card *x, pv_ns now)
{
    struct pv_node *n = x->node;
    struct pv_card last;
    x->look_at = PV_NEVER;
    if (!n->up || n->roster == NULL || pv_node_self(n) == NULL)
        return;
    pv_card_last(n, &last);
    struct pv_card card = wanted(n, &last);
    if (x->has_offered)
        take_offers(&card, &x->offered);
    if (card.abilities == last.abilities && pv_view_equal(card.kem, last.kem) &&
        pv_view_equal(card.hostkeys, last.hostkeys) &&
        pv_view_equal(card.loginkeys, last.loginkeys) && same_offers(&card, &last))
        return;
    /* A card that was refused, or did not reach the roster, would be refused again at once. */
    if (now < x->not_before && x->said == card.abilities) {
        x->look_at = x->not_before;
        return;
    }
    x->not_before = now + AGAIN;
    x->said = card.abilities;
    int r = say(n, &card, now);
    pv_log(n->log, r == PV_OK ? PV_LOG_INFO : PV_LOG_WARN,
           "what=\"card %s\" post-quantum=%s ipv6=%s host-key-bytes=%zu "
           "login-key-bytes=%zu%s%s",
           r == PV_OK ? "shown" : "not shown", (card.abilities & PV_ABLE_PQ) != 0 ? "yes" : "no",
           (card.abilities & PV_ABLE_NO_IP6) != 0 ? "no" : "yes", card.hostkeys.len,
           card.loginkeys.len, r == PV_OK ? "" : " why=", r == PV_OK ? "" : pv_strstatus(r));
    if (r != PV_OK)
        x->look_at = x->not_before;
}

/* The roster may have come from a disk, a coordinator or a member: each may lack what this node
 * said last, or have what a former life of it said. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct card *x = part;
    if ((facts & PV_FACT_NETWORK) != 0)
        x->has_offered = false;
    if ((facts & (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_STATEMENTS | PV_FACT_UP |
                  PV_FACT_INTERFACE)) != 0)
        x->look_at = now;
}

/* Not in on_facts(): what it signs changes the roster. */
static void run_card(void *part, pv_ns now)
{
    struct card *x = part;
    if (now >= x->look_at)
        look(x, now);
}

const struct pv_part pv_part_card = {
    .name = "card",
    .after = {"sealkeys"},
    .size = PV_PART_SIZE(struct card),
    .start = start,
    .on_facts = on_facts,
    .run = run_card,
    .due = PV_PART_DUE(struct card, look_at),
};
