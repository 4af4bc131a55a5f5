/* SPDX-License-Identifier: MIT */
/*
 * test_ice_meet.c - two agents meet through NATs of every filtering, on one LAN, behind two NATs,
 * with loss, reordering and repetition, starting together or apart.
 *
 * Each cell runs PV_SIM_SEEDS seeds (100). A failing seed is printed with both traces; run it alone
 * with PV_SIM_SEED=<seed>.
 */
#include "tests/sim/world/ice_world.h"

enum w_side {
    SIDE_OPEN,
    SIDE_FULL,
    SIDE_ADF,
    SIDE_APDF,
    SIDE_DOUBLE,
    SIDES
};
static const char *const SIDE_NAMES[] = {"open", "full cone", "address-restricted",
                                         "port-restricted", "double NAT"};

enum {
    TIME_BUCKETS = 1024
}; /* of 1 ms; the last takes the rest */

struct cell {
    enum w_side side[2];
    bool same_lan;
    bool hairpin;
    bool ipv6;
    unsigned loss;   /* 1/1000 */
    pv_ns max_first; /* a path by then, ns after both have both descriptions */
    pv_ns max_agree;
    unsigned max_sent;
};

static void build_side(struct w_world *w, int host, enum w_side side)
{
    uint8_t n = (uint8_t)(host + 1);
    uint16_t port = (uint16_t)(40000 + w_draw(w, 20000));
    struct pv_addr wan = pv_addr4(203, 0, 113, n, 0);
    struct pv_addr lan = pv_addr4(192, 168, n, 10, port);

    switch (side) {
    case SIDE_OPEN:
        wan.port = port;
        w_add_if(w, host, W_INTERNET, wan, 65000);
        break;
    case SIDE_DOUBLE: {
        int outer = w_add_nat(w, W_INTERNET, wan, W_APDF);
        int inner = w_add_nat(w, outer, pv_addr4(100, 64, n, 9, 0), W_ADF);
        w_add_if(w, host, inner, lan, 65000);
        break;
    }
    default:
        w_add_if(w, host, w_add_nat(w, W_INTERNET, wan, (enum w_filter)(side - SIDE_FULL)), lan,
                 65000);
    }
}

static void build(struct w_world *w, const struct cell *c)
{
    if (c->same_lan) {
        int nat = w_add_nat(w, W_INTERNET, pv_addr4(203, 0, 113, 1, 0), W_APDF);
        w->nodes[nat].hairpin = c->hairpin;
        for (uint8_t i = 0; i < 2; i++)
            w_add_if(w, i, nat, pv_addr4(192, 168, 1, (uint8_t)(10 + i), (uint16_t)(5000 + i)),
                     65000);
    } else {
        build_side(w, 0, c->side[0]);
        build_side(w, 1, c->side[1]);
    }
    for (uint8_t i = 0; c->ipv6 && i < 2; i++) {
        uint8_t ip[16] = {0x20, 0x01, 0x0d, 0xb8, 0, i, [15] = 1};
        uint8_t box[16] = {0x20, 0x01, 0x0d, 0xb8, 0xff, i};
        int fw = w_add_nat(w, W_INTERNET, pv_addr6(box, 0), W_APDF);
        w->nodes[fw].translate = false;
        w_add_if(w, i, fw, pv_addr6(ip, 6000), 65535);
    }
}

/* Both start within the skew; descriptions take a signalling delay each. Returns the time at which
 * both sides have both. */
static pv_ns start(struct w_world *w)
{
    pv_ns skew = w_draw(w, 2) == 0 ? 0 : PV_MS(w_draw(w, 400));
    pv_ns signal[2] = {PV_MS(20 + w_draw(w, 80)), PV_MS(20 + w_draw(w, 80))};
    int late = (int)w_draw(w, 2);

    w_start(w, 1 - late, false);
    w->hosts[1 - late].desc_at = w->now + skew + signal[0];
    w_run(w, w->now + skew);
    w_start(w, late, false);
    w->hosts[late].desc_at = w->now + signal[1];
    return pv_min_ns(PV_NEVER, w->now + (signal[0] > signal[1] ? signal[0] : signal[1]));
}

static bool uses_lan(const struct w_world *w)
{
    struct pv_ice_path p;
    return pv_ice_selected(w->hosts[0].agent, &p) == PV_OK && p.local_type == PV_ICE_HOST &&
           p.remote_type == PV_ICE_HOST;
}

/* From the moment both sides have both descriptions until both have a path, ms. */
static void count_time(const struct w_world *w, pv_ns ready, unsigned hist[static TIME_BUCKETS])
{
    pv_ns first = w->hosts[0].first_path > w->hosts[1].first_path ? w->hosts[0].first_path
                                                                  : w->hosts[1].first_path;
    pv_ns took = first > ready ? (first - ready) / PV_MS(1) : 0;
    hist[took < TIME_BUCKETS ? took : TIME_BUCKETS - 1]++;
}

static unsigned percentile(const unsigned hist[static TIME_BUCKETS], unsigned percent)
{
    unsigned total = 0;
    unsigned sum = 0;
    for (unsigned i = 0; i < TIME_BUCKETS; i++)
        total += hist[i];
    for (unsigned i = 0; i < TIME_BUCKETS; i++) {
        sum += hist[i];
        if (sum * 100 >= total * percent)
            return i;
    }
    return TIME_BUCKETS;
}

static const char *fault(struct w_world *w, const struct cell *c, unsigned *hist)
{
    pv_ns ready = start(w);
    w_run(w, ready + c->max_first);
    for (int i = 0; i < 2; i++)
        if (w->hosts[i].first_path == 0)
            return "no path in time";
    count_time(w, ready, hist);
    w_run(w, ready + c->max_agree);
    if (!w_agree(w))
        return "the two sides use different pairs";
    for (int i = 0; i < 2; i++)
        if (pv_ice_state(w->hosts[i].agent) != PV_ICE_COMPLETED)
            return "not completed";
    if ((c->same_lan || (c->ipv6 && c->loss == 0)) && !uses_lan(w))
        return "an avoidable path through the NAT is used";
    w_run(w, ready + PV_S(20));
    for (int i = 0; i < 2; i++)
        if (w->hosts[i].sent > c->max_sent)
            return "packet storm";
    if (w->hosts[0].losts + w->hosts[1].losts > 0)
        return "lost a path that works";
    if (w->overflow > 0)
        return "the network overflowed";
    if (!w_agree(w))
        return "the agreement did not last";
    for (int i = 0; i < 2; i++) {
        struct pv_ice_path path;
        if (c->loss == 0 && pv_ice_selected(w->hosts[i].agent, &path) == PV_OK && path.loss > 0)
            return "loss is said of a path that loses nothing";
    }
    return NULL;
}

static unsigned env_number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : (unsigned)strtoul(text, NULL, 10);
}

static void run_cell(const struct cell *c, const char *what, unsigned *hist)
{
    static struct w_world w;
    unsigned seeds = env_number("PV_SIM_SEEDS", 100);
    unsigned first = env_number("PV_SIM_SEED", 0);
    if (first != 0)
        seeds = 1;
    else
        first = 1;
    for (unsigned seed = first; seed < first + seeds; seed++) {
        w_init(&w, seed * 1000003u + c->loss);
        w.loss = c->loss;
        if (c->loss > 0) {
            w.dup = 50;
            w.jitter = PV_MS(30);
        }
        build(&w, c);
        const char *why = fault(&w, c, hist);
        if (why != NULL) {
            w_print(&w);
            print_message("%s, loss %u/1000, PV_SIM_SEED=%u: %s\n", what, c->loss, seed, why);
            w_done(&w);
            fail();
        }
        w_done(&w);
    }
}

static unsigned run_matrix(unsigned loss, pv_ns max_first, pv_ns max_agree, unsigned max_sent)
{
    static unsigned hist[TIME_BUCKETS];
    memset(hist, 0, sizeof(hist));
    for (int a = 0; a < SIDES; a++) {
        for (int b = 0; b < SIDES; b++) {
            struct cell c = {.side = {(enum w_side)a, (enum w_side)b},
                             .loss = loss,
                             .max_first = max_first,
                             .max_agree = max_agree,
                             .max_sent = max_sent};
            run_cell(&c, PV_STR("%s x %s", SIDE_NAMES[a], SIDE_NAMES[b]), hist);
        }
    }
    print_message("loss %u/1000: %u ms, 95 %% %u, 99 %% %u\n", loss, percentile(hist, 50),
                  percentile(hist, 95), percentile(hist, 99));
    return percentile(hist, 95);
}

PV_TEST(all_filterings_meet_without_loss)
{
    /* DESIGN 14: 150 ms at 30 ms one way. */
    assert_true(run_matrix(0, PV_MS(250), PV_MS(500), 80) <= 150);
}

PV_TEST_WHOLE(all_filterings_meet_with_5_percent_loss)
{
    (void)run_matrix(50, PV_MS(1300), PV_MS(3000), 120);
}

PV_TEST_WHOLE(all_filterings_meet_with_20_percent_loss)
{
    /* One in some thousand loses all eight round trips of a check and needs a second one. */
    (void)run_matrix(200, PV_MS(6000), PV_MS(10000), 160);
}

PV_TEST(the_same_lan_wins)
{
    unsigned hist[TIME_BUCKETS] = {0};
    for (unsigned hairpin = 0; hairpin < 2; hairpin++) {
        for (unsigned loss = 0; loss <= 200; loss += 100) {
            struct cell c = {.same_lan = true,
                             .hairpin = hairpin == 1,
                             .loss = loss,
                             .max_first = PV_MS(150),
                             .max_agree = PV_MS(600),
                             .max_sent = 80};
            run_cell(&c, hairpin ? "same LAN, hairpin" : "same LAN", hist);
        }
    }
}

PV_TEST(ipv6_without_nat_wins_over_two_nats)
{
    unsigned hist[TIME_BUCKETS] = {0};
    for (unsigned loss = 0; loss <= 100; loss += 100) {
        struct cell c = {.side = {SIDE_APDF, SIDE_APDF},
                         .ipv6 = true,
                         .loss = loss,
                         .max_first = loss == 0 ? PV_MS(250) : PV_MS(2600),
                         .max_agree = loss == 0 ? PV_MS(600) : PV_MS(10000),
                         .max_sent = 200};
        run_cell(&c, "IPv6 behind firewalls, IPv4 behind NATs", hist);
    }
}
