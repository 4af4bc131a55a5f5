/* SPDX-License-Identifier: MIT */
/* The measuring of NATs against the coordinator's STUN server, through every NAT of the emulator:
 * right, complete, in time, and "unknown" where the server cannot tell. */

#include "coordinator/core/turn/stuns.h"
#include "proto/stun/netcheck.h"
#include "tests/natcore/natcore_text.h"
#include "tests/sim/world/sim_net.h"
#include "tests/unit/test_util.h"

enum server_kind {
    TWO_ADDRESSES,
    ONE_ADDRESS, /* and two ports */
    PLAIN,       /* one port, nothing of RFC 5780 */
    BROKEN,      /* tells of another address, which does not work */
    DEAF,        /* has two addresses, answers CHANGE-REQUEST from where it came to */
    N_SERVER_KINDS,
};

struct world {
    struct sim_net *net;
    struct pv_stuns *stuns;
    enum server_kind kind;
    unsigned server, second; /* hosts; the second is a plain server elsewhere */
    unsigned client;
    unsigned outer; /* zone of the client's NAT */
    unsigned zone;  /* of the client; SIM_PUBLIC: no NAT */
    struct pv_netcheck nc;
    struct pv_netcheck_config cfg;
    bool done;
    pv_ns took;
    struct pv_netcheck_result res;
    size_t sent, strange;
};

static struct pv_addr ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    return pv_addr4(a, b, c, d, port);
}

static void serve(struct world *w, const struct sim_event *e)
{
    struct pv_stuns_place place = {.local = e->local};
    struct pv_stuns_reply reply;
    bool main = e->host == w->server;
    if (e->local.port != 3478 && !(main && w->kind != PLAIN && e->local.port == 3479))
        return;
    if (main && w->kind != PLAIN)
        place.other.port = e->local.port == 3478 ? 3479 : 3478;
    if (main && w->kind != ONE_ADDRESS && w->kind != PLAIN)
        place.other = ip4(198, 51, 100, e->local.ip[3] == 10 ? 11 : 10, place.other.port);
    if (pv_stuns_answer(w->stuns, &e->remote, &place, e->data, e->now, &reply) < 0)
        return;
    if (w->kind == DEAF)
        reply.from = e->local;
    if (w->kind != BROKEN || pv_addr_equal_ip(&reply.from, &e->local))
        (void)sim_net_send(w->net, e->host, &reply.from, &reply.to, 0,
                           pv_view(reply.buf, reply.len));
}

static void world_init(struct world *w, uint64_t seed, enum server_kind kind,
                       const struct pv_link_config *line)
{
    *w = (struct world){.net = sim_net_new(seed), .kind = kind};
    struct pv_rng rng = sim_rng(sim_net_rng(w->net));
    assert_ok(pv_stuns_new(&w->stuns, &rng));
    w->server = sim_net_add_host(w->net, SIM_PUBLIC, line);
    w->second = sim_net_add_host(w->net, SIM_PUBLIC, line);
    for (uint8_t i = 10; i < 12; i++) {
        struct pv_addr a = ip4(198, 51, 100, i, 0);
        if (i == 10 || kind == TWO_ADDRESSES || kind == DEAF)
            sim_net_add_addr(w->net, w->server, &a);
    }
    struct pv_addr a = ip4(198, 51, 101, 7, 0);
    sim_net_add_addr(w->net, w->second, &a);
    w->cfg.servers[0] = ip4(198, 51, 100, 10, 3478);
    w->cfg.n_servers = 1;
}

static void world_done(struct world *w)
{
    pv_stuns_free(w->stuns);
    sim_net_free(w->net);
}

/* The client behind a NAT described by settings "key=value ..."; NULL: public. */
static void world_client(struct world *w, const char *settings)
{
    struct pv_nat_config c;
    struct pv_addr me = ip4(203, 0, 113, 77, 0);
    char text[256];
    char *rest = NULL;
    w->zone = SIM_PUBLIC;
    if (settings != NULL) {
        pv_nat_config_init(&c);
        c.public_ip[0] = w->outer == SIM_PUBLIC ? ip4(203, 0, 113, 1, 0) : ip4(100, 64, 0, 1, 0);
        c.n_public = 1;
        snprintf(text, sizeof(text), "%s", settings);
        for (char *p = strtok_r(text, " ", &rest); p != NULL; p = strtok_r(NULL, " ", &rest)) {
            char *value = strchr(p, '=');
            assert_non_null(value);
            *value = '\0';
            assert_ok(pv_nat_set(&c, p, value + 1));
        }
        w->zone = sim_net_add_nat(w->net, w->outer, &c);
        me = ip4(192, 168, 1, 2, 0);
    }
    w->client = sim_net_add_host(w->net, w->zone, NULL);
    sim_net_add_addr(w->net, w->client, &me);
    for (unsigned i = 0; i < PV_NETCHECK_SOCKETS; i++) {
        w->cfg.local[i] = me;
        w->cfg.local[i].port =
            (uint16_t)(20000 + i * 500 + pv_natrng_below(sim_net_rng(w->net), 500));
    }
}

static void pump(struct world *w)
{
    uint8_t buf[PV_NETCHECK_MTU];
    struct pv_netcheck_send s;
    while (pv_netcheck_poll_transmit(&w->nc, buf, &s) == PV_OK) {
        w->sent++;
        (void)sim_net_send(w->net, w->client, &w->cfg.local[s.sock], &s.dst, 0,
                           pv_view(buf, s.len));
    }
    sim_net_timer(w->net, w->client, pv_netcheck_next_timeout(&w->nc));
    if (pv_netcheck_poll_event(&w->nc, &w->res) == PV_OK)
        w->done = true;
}

static void run(struct world *w)
{
    struct pv_rng rng = sim_rng(sim_net_rng(w->net));
    struct sim_event e;
    pv_ns start = sim_net_now(w->net);
    pv_netcheck_start(&w->nc, &w->cfg, &rng, start);
    pump(w);
    while (!w->done && sim_net_next(w->net, start + PV_S(400), &e) == PV_OK) {
        if (e.kind == SIM_DATAGRAM && e.host != w->client) {
            serve(w, &e);
            continue;
        }
        if (e.host != w->client)
            continue;
        for (unsigned i = 0; e.kind == SIM_DATAGRAM && i < PV_NETCHECK_SOCKETS; i++)
            if (w->cfg.local[i].port == e.local.port &&
                pv_netcheck_handle_input(&w->nc, i, &e.remote, e.data, e.now) < 0)
                w->strange++; /* the answer to a request that was repeated */
        if (e.kind == SIM_TIMER)
            pv_netcheck_handle_timeout(&w->nc, e.now);
        pump(w);
    }
    w->took = sim_net_now(w->net) - start;
}

/* --- every profile --------------------------------------------------------------------------- */

struct row {
    const char *settings;
    enum pv_netcheck_name name;
    enum pv_netcheck_rule mapping, filtering;
    enum pv_netcheck_ports ports;
    int delta;
    enum pv_netcheck_answer hairpin;
};

static const struct row ROWS[] = {
    {NULL, PV_NETCHECK_OPEN, PV_NETCHECK_EI, PV_NETCHECK_EI, PV_NETCHECK_PORTS_UNKNOWN, 0,
     PV_NETCHECK_UNKNOWN},
    {"profile=full-cone", PV_NETCHECK_FULL_CONE, PV_NETCHECK_EI, PV_NETCHECK_EI,
     PV_NETCHECK_PRESERVED, 0, PV_NETCHECK_NO},
    {"profile=address-restricted hairpin=external", PV_NETCHECK_ADDRESS_RESTRICTED, PV_NETCHECK_EI,
     PV_NETCHECK_AD, PV_NETCHECK_PRESERVED, 0, PV_NETCHECK_YES},
    {"profile=port-restricted", PV_NETCHECK_PORT_RESTRICTED, PV_NETCHECK_EI, PV_NETCHECK_APD,
     PV_NETCHECK_PRESERVED, 0, PV_NETCHECK_NO},
    {"profile=port-restricted hairpin=external ports=random", PV_NETCHECK_PORT_RESTRICTED,
     PV_NETCHECK_EI, PV_NETCHECK_APD, PV_NETCHECK_RANDOM, 0, PV_NETCHECK_YES},
    {"profile=port-restricted hairpin=internal", PV_NETCHECK_PORT_RESTRICTED, PV_NETCHECK_EI,
     PV_NETCHECK_APD, PV_NETCHECK_PRESERVED, 0, PV_NETCHECK_YES},
    {"profile=symmetric", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD, PV_NETCHECK_APD,
     PV_NETCHECK_RANDOM, 0, PV_NETCHECK_UNKNOWN},
    {"profile=symmetric mapping=ad", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_AD, PV_NETCHECK_APD,
     PV_NETCHECK_RANDOM, 0, PV_NETCHECK_UNKNOWN},
    {"profile=symmetric-sequential", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD, PV_NETCHECK_APD,
     PV_NETCHECK_SEQUENTIAL, 1, PV_NETCHECK_UNKNOWN},
    {"profile=symmetric-sequential step=-2 foreign=10", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD,
     PV_NETCHECK_APD, PV_NETCHECK_SEQUENTIAL, -2, PV_NETCHECK_UNKNOWN},
    {"profile=symmetric-block", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD, PV_NETCHECK_APD,
     PV_NETCHECK_IN_BLOCK, 0, PV_NETCHECK_UNKNOWN},
    {"profile=symmetric-block block-size=256", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD,
     PV_NETCHECK_APD, PV_NETCHECK_IN_BLOCK, 0, PV_NETCHECK_UNKNOWN},
    {"profile=symmetric-block block-size=2048", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD,
     PV_NETCHECK_APD, PV_NETCHECK_IN_BLOCK, 0, PV_NETCHECK_UNKNOWN},
    {"profile=symmetric-sequential step=-1", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD,
     PV_NETCHECK_APD, PV_NETCHECK_SEQUENTIAL, -1, PV_NETCHECK_UNKNOWN},
    {"profile=symmetric ports=preserve", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD, PV_NETCHECK_APD,
     PV_NETCHECK_PRESERVED, 0, PV_NETCHECK_UNKNOWN},
    {"profile=symmetric filtering=ad", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD, PV_NETCHECK_AD,
     PV_NETCHECK_RANDOM, 0, PV_NETCHECK_UNKNOWN},
    {"profile=full-cone ports=sequential", PV_NETCHECK_FULL_CONE, PV_NETCHECK_EI, PV_NETCHECK_EI,
     PV_NETCHECK_SEQUENTIAL, 1, PV_NETCHECK_NO},
    {"profile=linux", PV_NETCHECK_PORT_RESTRICTED, PV_NETCHECK_EI, PV_NETCHECK_APD,
     PV_NETCHECK_PRESERVED, 0, PV_NETCHECK_NO},
    {"profile=linux-drop", PV_NETCHECK_PORT_RESTRICTED, PV_NETCHECK_EI, PV_NETCHECK_APD,
     PV_NETCHECK_PRESERVED, 0, PV_NETCHECK_NO},
    {"udp=53", PV_NETCHECK_BLOCKED, PV_NETCHECK_RULE_UNKNOWN, PV_NETCHECK_RULE_UNKNOWN,
     PV_NETCHECK_PORTS_UNKNOWN, 0, PV_NETCHECK_UNKNOWN},
};

/* Ports in the block of a NAT that has one: does the estimate hold its mappings? */
static bool block_is_right(const struct world *w)
{
    struct pv_nat_view v;
    const void *cursor = NULL;
    const struct pv_nat *nat = sim_net_nat(w->net, w->zone);
    while (pv_nat_each(nat, sim_net_now(w->net), &cursor, &v))
        if (v.external.port < w->res.block_lo ||
            v.external.port >= w->res.block_lo + w->res.block_size)
            return false;
    unsigned size = pv_nat_config(sim_net_nat(w->net, w->zone))->block_size;
    return w->res.block_size == size || w->res.block_size == size / 2;
}

static bool check_row(const struct row *row, uint64_t seed, const struct pv_link_config *line)
{
    struct world w;
    world_init(&w, seed, TWO_ADDRESSES, line);
    world_client(&w, row->settings);
    run(&w);
    const struct pv_netcheck_result *r = &w.res;
    bool good = w.done && w.took <= PV_MS(PV_NETCHECK_MAX_MS) && r->name == row->name &&
                r->mapping == row->mapping && r->filtering == row->filtering &&
                r->ports == row->ports && r->delta == row->delta && r->hairpin == row->hairpin &&
                (r->ports != PV_NETCHECK_IN_BLOCK || block_is_right(&w));
    if (!good)
        printf("%s: %s, %s, %s, %s %d %u+%u, hairpin %s, %.2f s\n",
               row->settings == NULL ? "no NAT" : row->settings, pv_netcheck_name_text(r->name),
               pv_netcheck_rule_text(r->mapping), pv_netcheck_rule_text(r->filtering),
               pv_netcheck_ports_text(r->ports), r->delta, r->block_lo, r->block_size,
               pv_netcheck_answer_text(r->hairpin), (double)w.took / 1e9);
    world_done(&w);
    return good;
}

static void every_row(uint64_t seed, void *ctx)
{
    bool good = true;
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++)
        good = check_row(&ROWS[i], seed, ctx) && good;
    if (!good)
        sim_fail();
}

PV_TEST(every_nat_is_recognised_completely)
{
    struct pv_link_config line = {.delay = PV_MS(30)};
    sim_seeds(50, every_row, &line);
}

PV_TEST(a_jittering_line_changes_nothing)
{
    struct pv_link_config line = {.delay = PV_MS(120), .jitter = PV_MS(4)};
    sim_seeds(30, every_row, &line);
}

/* On a bad line something may stay unknown or be missed, but the class of mapping never errs, and
 * it is found nearly always, in time. */
PV_TEST(a_lossy_line_gives_no_wrong_mapping)
{
    struct pv_link_config line = {.delay = PV_MS(30), .jitter = PV_MS(20), .loss = 0.05};
    unsigned found = 0;
    unsigned all = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        for (size_t i = 0; i + 1 < PV_ARRAY_LEN(ROWS); i++) {
            struct world w;
            world_init(&w, seed, TWO_ADDRESSES, &line);
            world_client(&w, ROWS[i].settings);
            run(&w);
            assert_true(w.done && w.took <= PV_MS(PV_NETCHECK_MAX_MS));
            if (w.res.mapping != PV_NETCHECK_RULE_UNKNOWN && w.res.mapping != ROWS[i].mapping)
                fail_msg("seed %u, row %zu: mapping %s", (unsigned)seed, i,
                         pv_netcheck_rule_text(w.res.mapping));
            found += w.res.name == ROWS[i].name;
            all++;
            world_done(&w);
        }
    }
    assert_true(found * 100 >= all * 99);
}

/* --- what a lesser server can tell ------------------------------------------------------------ */

PV_TEST(a_behaviour_that_the_server_cannot_tell_is_unknown)
{
    static const struct {
        enum server_kind kind;
        size_t servers;
        const char *settings;
        enum pv_netcheck_name name;
        enum pv_netcheck_rule mapping, filtering;
        enum pv_netcheck_answer mapping_port, filtering_port;
    } rows[] = {
        {ONE_ADDRESS, 1, "profile=full-cone", PV_NETCHECK_NAME_UNKNOWN, PV_NETCHECK_RULE_UNKNOWN,
         PV_NETCHECK_RULE_UNKNOWN, PV_NETCHECK_NO, PV_NETCHECK_NO},
        {ONE_ADDRESS, 1, "profile=port-restricted", PV_NETCHECK_NAME_UNKNOWN,
         PV_NETCHECK_RULE_UNKNOWN, PV_NETCHECK_APD, PV_NETCHECK_NO, PV_NETCHECK_YES},
        {ONE_ADDRESS, 1, "profile=symmetric", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_APD,
         PV_NETCHECK_APD, PV_NETCHECK_YES, PV_NETCHECK_YES},
        {ONE_ADDRESS, 2, "profile=port-restricted", PV_NETCHECK_PORT_RESTRICTED, PV_NETCHECK_EI,
         PV_NETCHECK_APD, PV_NETCHECK_NO, PV_NETCHECK_YES},
        {ONE_ADDRESS, 2, "profile=symmetric mapping=ad", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_AD,
         PV_NETCHECK_APD, PV_NETCHECK_NO, PV_NETCHECK_YES},
        {BROKEN, 1, "profile=full-cone", PV_NETCHECK_NAME_UNKNOWN, PV_NETCHECK_RULE_UNKNOWN,
         PV_NETCHECK_RULE_UNKNOWN, PV_NETCHECK_NO, PV_NETCHECK_NO},
        {DEAF, 1, "profile=port-restricted", PV_NETCHECK_NAME_UNKNOWN, PV_NETCHECK_EI,
         PV_NETCHECK_RULE_UNKNOWN, PV_NETCHECK_NO, PV_NETCHECK_UNKNOWN},
        {PLAIN, 1, "profile=full-cone", PV_NETCHECK_NAME_UNKNOWN, PV_NETCHECK_RULE_UNKNOWN,
         PV_NETCHECK_RULE_UNKNOWN, PV_NETCHECK_UNKNOWN, PV_NETCHECK_UNKNOWN},
        {PLAIN, 1, NULL, PV_NETCHECK_NAME_UNKNOWN, PV_NETCHECK_EI, PV_NETCHECK_RULE_UNKNOWN,
         PV_NETCHECK_UNKNOWN, PV_NETCHECK_UNKNOWN},
        {PLAIN, 2, "profile=full-cone", PV_NETCHECK_NAME_UNKNOWN, PV_NETCHECK_EI,
         PV_NETCHECK_RULE_UNKNOWN, PV_NETCHECK_NO, PV_NETCHECK_UNKNOWN},
        {PLAIN, 2, "profile=symmetric", PV_NETCHECK_SYMMETRIC, PV_NETCHECK_RULE_UNKNOWN,
         PV_NETCHECK_RULE_UNKNOWN, PV_NETCHECK_UNKNOWN, PV_NETCHECK_UNKNOWN},
    };
    struct pv_link_config line = {.delay = PV_MS(30)};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct world w;
        world_init(&w, 5, rows[i].kind, &line);
        world_client(&w, rows[i].settings);
        w.cfg.servers[1] = ip4(198, 51, 101, 7, 3478);
        w.cfg.n_servers = rows[i].servers;
        run(&w);
        assert_true(w.done);
        if (w.res.name != rows[i].name || w.res.mapping != rows[i].mapping ||
            w.res.filtering != rows[i].filtering || w.res.mapping_port != rows[i].mapping_port ||
            w.res.filtering_port != rows[i].filtering_port)
            fail_msg("row %zu: %s, %s (port %s), %s (port %s)", i,
                     pv_netcheck_name_text(w.res.name), pv_netcheck_rule_text(w.res.mapping),
                     pv_netcheck_answer_text(w.res.mapping_port),
                     pv_netcheck_rule_text(w.res.filtering),
                     pv_netcheck_answer_text(w.res.filtering_port));
        world_done(&w);
    }
}

PV_TEST(a_server_that_is_down_is_replaced_by_another)
{
    struct pv_link_config line = {.delay = PV_MS(30)};
    struct world w;
    world_init(&w, 6, TWO_ADDRESSES, &line);
    world_client(&w, "profile=full-cone");
    w.cfg.servers[0] = ip4(198, 51, 101, 99, 3478); /* nobody */
    w.cfg.servers[1] = ip4(198, 51, 100, 10, 3478);
    w.cfg.n_servers = 2;
    run(&w);
    assert_true(w.done && w.took <= PV_MS(PV_NETCHECK_MAX_MS));
    assert_int_equal(w.res.name, PV_NETCHECK_FULL_CONE);
    assert_int_equal(w.res.server.ip[3], 10);
    world_done(&w);
}

/* --- more than one of it ---------------------------------------------------------------------- */

/* RFC 4787 s4.1 "arbitrary" pooling: every socket may get another address. */
PV_TEST(all_addresses_of_a_pool_are_found)
{
    struct pv_link_config line = {.delay = PV_MS(30)};
    struct world w;
    world_init(&w, 9, TWO_ADDRESSES, &line);
    world_client(&w, "profile=port-restricted public=203.0.113.1,203.0.113.2,203.0.113.3 "
                     "pool-arbitrary=yes");
    run(&w);
    assert_true(w.done);
    assert_int_equal(w.res.name, PV_NETCHECK_PORT_RESTRICTED);
    assert_int_equal(w.res.ports, PV_NETCHECK_PRESERVED);
    assert_int_equal(w.res.n_publics, 3);
    world_done(&w);
}

/* Behind two NATs the worse rule of each kind counts (TRAVERSAL 7). */
PV_TEST(two_nats_are_as_bad_as_the_worse_one)
{
    static const struct {
        const char *inner, *outer;
        enum pv_netcheck_name name;
    } rows[] = {
        {"profile=full-cone", "full-cone", PV_NETCHECK_FULL_CONE},
        {"profile=full-cone", "port-restricted", PV_NETCHECK_PORT_RESTRICTED},
        {"profile=address-restricted", "full-cone", PV_NETCHECK_ADDRESS_RESTRICTED},
        {"profile=symmetric", "full-cone", PV_NETCHECK_SYMMETRIC},
        {"profile=full-cone", "symmetric", PV_NETCHECK_SYMMETRIC},
        {"profile=port-restricted", "symmetric-sequential", PV_NETCHECK_SYMMETRIC},
    };
    struct pv_link_config line = {.delay = PV_MS(30)};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct world w;
        struct pv_nat_config c;
        world_init(&w, 10 + i, TWO_ADDRESSES, &line);
        pv_nat_config_init(&c);
        c.public_ip[0] = ip4(203, 0, 113, 2, 0);
        c.n_public = 1;
        assert_ok(pv_nat_set(&c, "profile", rows[i].outer));
        w.outer = sim_net_add_nat(w.net, SIM_PUBLIC, &c);
        world_client(&w, rows[i].inner);
        run(&w);
        assert_true(w.done);
        if (w.res.name != rows[i].name)
            fail_msg("%s behind %s: %s", rows[i].inner, rows[i].outer,
                     pv_netcheck_name_text(w.res.name));
        assert_int_equal(w.res.publics[0].ip[3], 2);
        world_done(&w);
    }
}

/* --- the lifetime ---------------------------------------------------------------------------- */

PV_TEST(the_lifetime_of_a_silent_binding_is_found)
{
    static const struct {
        enum server_kind kind;
        const char *settings;
        bool known;
        pv_ns min, max;
    } rows[] = {
        {TWO_ADDRESSES, "profile=port-restricted udp-replied=33s", true, PV_S(30), PV_S(40)},
        {ONE_ADDRESS, "profile=symmetric udp-replied=118s", true, PV_S(90), PV_S(120)},
        {PLAIN, "profile=full-cone udp-replied=12s", true, PV_S(10), PV_S(15)},
        {TWO_ADDRESSES, "profile=full-cone udp-replied=600s", true, PV_S(180), PV_NEVER},
        {TWO_ADDRESSES, "profile=full-cone absolute=3s", true, 0, PV_S(5)},
        {TWO_ADDRESSES, NULL, true, PV_S(180), PV_NEVER},
    };
    struct pv_link_config line = {.delay = PV_MS(30)};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct world w;
        world_init(&w, 8, rows[i].kind, &line);
        world_client(&w, rows[i].settings);
        w.cfg.lifetime = true;
        run(&w);
        assert_true(w.done);
        if (w.res.life_known != rows[i].known || w.res.life_min != rows[i].min ||
            w.res.life_max != rows[i].max)
            fail_msg("row %zu: known %d, %.0f to %.0f s", i, w.res.life_known,
                     (double)w.res.life_min / 1e9, (double)w.res.life_max / 1e9);
        if (rows[i].max != PV_NEVER) /* no longer than it has to */
            assert_true(w.took < rows[i].max + PV_S(8));
        world_done(&w);
    }
}
