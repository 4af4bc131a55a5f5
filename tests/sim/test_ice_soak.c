/* SPDX-License-Identifier: MIT */
/*
 * test_ice_soak.c - two agents with two interfaces each live through a random sequence of faults:
 * dead addresses, NATs that begin anew, outages, restarts of one side, interfaces that come and
 * go, traffic that starts and stops. After each stretch of faults the network is whole again, the
 * owner does what an engine does (kicks both, exchanges descriptions), and both must agree on a
 * working path that carries data both ways.
 *
 * An eighth of PV_SIM_SEEDS seeds (12); a failing one is printed, run it alone with
 * PV_SIM_SEED=<seed>.
 */
#include "tests/sim/world/ice_world.h"

enum {
    ROUNDS = 12
};

static struct w_world w;
static int nats[2];

static void build(void)
{
    for (uint8_t i = 0; i < 2; i++) {
        enum w_filter filter = (enum w_filter)w_draw(&w, 3);
        nats[i] = w_add_nat(&w, W_INTERNET, pv_addr4(203, 0, 113, (uint8_t)(i + 1), 0), filter);
        w.nodes[nats[i]].kept = true;
        w_add_if(&w, i, nats[i], pv_addr4(192, 168, (uint8_t)(i + 1), 10, (uint16_t)(5000 + i)),
                 65000);
        w_add_if(&w, i, W_INTERNET, pv_addr4(198, 51, 100, (uint8_t)(i + 1), 6000), 64000);
    }
}

/* The server-reflexive address as a gatherer would find it now. */
static void gather(int host)
{
    struct w_host *h = &w.hosts[host];
    struct pv_addr seen = w_nat_out(&w, nats[host], h->cands[0].addr, pv_addr4(9, 9, 9, 9, 3478));
    for (size_t i = 0; i < h->n_cands; i++)
        if (h->cands[i].type == PV_ICE_SRFLX)
            h->cands[i].addr = seen;
    pv_ice_set_local(h->agent, h->cands, h->n_cands, w.now);
}

static void restart(int host)
{
    struct w_host *h = &w.hosts[host];
    if (w_draw(&w, 2) == 0) { /* the daemon starts again */
        h->agent = pv_ice_free(h->agent);
        w_start(&w, host, false);
        w_describe(&w, host);
        return;
    }
    struct pv_rng rng = w_rng(&w);
    pv_ice_make_creds(&rng, &h->creds);
    assert_ok(pv_ice_restart(h->agent, &h->creds, w.now));
}

static void fault(void)
{
    int host = (int)w_draw(&w, 2);
    struct w_host *h = &w.hosts[host];
    struct pv_ice_path path;

    switch (w_draw(&w, 10)) {
    case 0:
        if (pv_ice_selected(h->agent, &path) == PV_OK)
            w.blocked = path.remote;
        break;
    case 1:
        if (pv_ice_selected(h->agent, &path) == PV_OK)
            w.deaf = path.remote;
        break;
    case 2:
        w_nat_reset(&w, nats[host]);
        break;
    case 3:
        w.cut = !w.cut;
        break;
    case 4:
        restart(host);
        break;
    case 5:
        pv_ice_set_local(h->agent, h->cands + 1, h->n_cands - 1, w.now);
        break;
    case 6:
        gather(host);
        break;
    case 7:
        h->sends_data = !h->sends_data;
        h->next_data = w.now;
        break;
    case 8:
        w.loss = w_draw(&w, 300);
        w.jitter = PV_MS(w_draw(&w, 50));
        break;
    default:
        w_run(&w, w.now + PV_S(w_draw(&w, 700)));
        break;
    }
}

/* An engine's work for a peer without a sound path. */
static void signal_both(void)
{
    for (int i = 0; i < 2; i++)
        gather(i);
    for (int i = 0; i < 2; i++) {
        w_describe(&w, i);
        pv_ice_kick(w.hosts[i].agent, w.now);
    }
}

static bool is_settled(void)
{
    return w_agree(&w) && pv_ice_state(w.hosts[0].agent) == PV_ICE_COMPLETED &&
           pv_ice_state(w.hosts[1].agent) == PV_ICE_COMPLETED;
}

/* A better path may be on its way in this very moment. */
static bool settles_soon(void)
{
    for (int i = 0; i < 4 && !is_settled(); i++)
        w_run(&w, w.now + PV_MS(100));
    return is_settled();
}

static const char *heal(void)
{
    w.blocked = (struct pv_addr){0};
    w.deaf = w.blocked;
    w.cut = false;
    w.loss = 0;
    w.dup = 20;
    w.jitter = PV_MS(5);
    w_run(&w, w.now + PV_MS(300));
    signal_both();
    for (int i = 0; i < 2; i++) {
        w.hosts[i].sends_data = true;
        w.hosts[i].next_data = w.now;
    }
    w_run(&w, w.now + PV_S(6));
    if (!settles_soon())
        return "no agreement";
    for (int i = 0; i < 2; i++)
        if (w.now - w.hosts[i].last_got > PV_MS(300))
            return "no data arrives";
    unsigned before = w.hosts[0].sent + w.hosts[1].sent;
    w_run(&w, w.now + PV_S(30));
    if (!settles_soon())
        return "the agreement did not last";
    if (w.hosts[0].sent + w.hosts[1].sent - before > 200)
        return "the agents do not come to rest";
    return w.overflow > 0 ? "the network overflowed" : NULL;
}

static const char *live(void)
{
    build();
    for (int i = 0; i < 2; i++) {
        w_start(&w, i, false);
        w.hosts[i].data_every = PV_MS(100);
        w.hosts[i].next_note = w.now;
    }
    signal_both();
    for (int round = 0; round < ROUNDS; round++) {
        unsigned faults = 1 + w_draw(&w, 5);
        for (unsigned i = 0; i < faults; i++) {
            fault();
            w_run(&w, w.now + PV_MS(w_draw(&w, 3000)));
        }
        const char *why = heal();
        if (why != NULL)
            return why;
    }
    return NULL;
}

static unsigned env_number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : (unsigned)strtoul(text, NULL, 10);
}

PV_TEST(two_agents_survive_what_networks_do)
{
    unsigned only = env_number("PV_SIM_SEED", 0);
    unsigned first = only != 0 ? only : 1;
    unsigned seeds = only != 0 ? 1 : env_number("PV_SIM_SEEDS", test_takes_all() ? 96 : 48) / 8;
    for (unsigned seed = first; seed < first + (seeds == 0 ? 1 : seeds); seed++) {
        w_init(&w, seed * 7919u);
        const char *why = live();
        if (why != NULL) {
            w_print(&w);
            print_message("PV_SIM_SEED=%u: %s\n", seed, why);
            w_done(&w);
            fail();
        }
        w_done(&w);
    }
}
