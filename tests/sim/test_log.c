/* SPDX-License-Identifier: MIT */
/*
 * test_log.c - the log of a network at its coordinator and its nodes: everybody gets it, over lines
 * that lose packets, and keeps it; a coordinator from an old backup gets it back from its members;
 * one that has two histories is found out.
 */
#include "proto/roster/netlog.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 4,
    NODES = 3,
    RAW = PV_ENTRY_HEAD_LEN + PV_LOGST_MAX,
};

static const struct pv_link_config line = {.delay = PV_MS(15), .jitter = PV_MS(3), .loss = 0.01};

static const char *const names[NODES] = {"alice", "bob", "carol"};

static struct {
    struct sim_node *node[NODES];
    struct pv_statement record;
    struct pv_netlog *log; /* what the coordinator is to have */
    uint64_t made;
    uint64_t want; /* is_known() waits for it */
} s;

static void end(void *ctx)
{
    s.log = pv_netlog_free(s.log);
}

/* --- the coordinator's disk ------------------------------------------------------------------ */

static struct pv_netlog *netlog(void)
{
    static struct test_rng state;
    static struct pv_rng rng;
    struct pv_fold_config cfg = {.own_max = PV_FOLD_OWN_MAX, .rng = &rng};
    struct pv_netlog *log = NULL;
    rng = test_rng_make(&state, 1);
    assert_ok(pv_statement_decode(sim_coord_record(sim.coord), &s.record));
    cfg.range = s.record.u.network.range;
    memcpy(cfg.network_id, s.record.network_id, sizeof(cfg.network_id));
    memcpy(cfg.root, s.record.signer, sizeof(cfg.root));
    assert_ok(pv_netlog_new(&cfg, s.record.hash, &log));
    return log;
}

/* Appends a statement of root to the log, and to the coordinator's disk. */
static void append(struct pv_logst st)
{
    static uint8_t raw[RAW];
    uint8_t network[PV_NETWORK_ID_LEN];
    struct pv_logst whole;
    struct pv_entry entry;
    enum pv_why why;
    size_t len = 0;
    memcpy(network, s.record.network_id, sizeof(network));
    memcpy(st.network_id, network, sizeof(network));
    st.made = ++s.made;
    assert_ok(pv_logst_make(&st, sim_node_root_sk(s.node[0]), NULL, raw, sizeof(raw), &len));
    assert_ok(pv_logst_decode(pv_view(raw, len), &whole));
    assert_ok(pv_netlog_append(s.log, &whole, s.record.u.network.created, &why));
    struct pv_view bytes = pv_netlog_entry(s.log, pv_netlog_n(s.log));
    assert_ok(pv_entry_decode(bytes, &entry));
    sim_coord_put_entry(sim.coord, network, &entry, bytes);
}

static void name_coordinator(void)
{
    static const struct pv_hostport addr = {.host = "192.0.2.1", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct pv_logst st = {
        .type = PV_LOGST_COORDINATORS, .number = 1, .time = s.record.u.network.created};
    pv_coordlist_put(&lw, sim_coord_sk(sim.coord) + PV_SIGN_SEED_LEN, &addr, 1);
    st.list = pv_view(list, lw.len);
    memcpy(st.about, s.record.hash, sizeof(st.about));
    append(st);
}

static void grow(unsigned n)
{
    while (n-- > 0) {
        struct pv_logst st = {.type = PV_LOGST_GRANT, .flags = PV_GRANT_REMOVE};
        memcpy(st.about, sim_node_pk(s.node[1]), sizeof(st.about));
        append(st);
    }
}

/* The coordinator's disk is an old one: with so many entries. */
static void put_back(size_t n)
{
    sim_coord_stop(sim.coord);
    sim_coord_truncate_log(sim.coord, n);
}

/* --- what nodes have ------------------------------------------------------------------------- */

static bool has_log(struct sim_node *n, uint64_t entries)
{
    return sim_world_says(n, "'cmd':'status'", PV_STR("'log':%llu}", (unsigned long long)entries));
}

static bool is_known(void *ctx)
{
    for (int i = 0; i < NODES; i++)
        if (!has_log(s.node[i], s.want))
            return false;
    return true;
}

/* Asks each second, as asking takes time itself. */
static bool all_have(uint64_t entries, pv_ns within)
{
    pv_ns until = sim_net_now(sim.net) + within;
    s.want = entries;
    while (!is_known(NULL)) {
        if (sim_net_now(sim.net) > until)
            return false;
        sim_world_run(PV_S(1));
    }
    return true;
}

static void begin(uint64_t seed)
{
    memset(&s, 0, sizeof(s));
    sim_world_init(seed, &line);
    for (int i = 0; i < NODES; i++)
        s.node[i] = sim_world_node(SIM_PUBLIC, names[i], false);
    assert_true(sim_world_join_all());
    s.log = netlog();
    test_defer(end, NULL);
    sim_coord_stop(sim.coord);
    name_coordinator();
    grow(400);
    sim_coord_start(sim.coord);
    assert_true(all_have(401, PV_S(60)));
}

PV_TEST(everybody_gets_the_log_and_keeps_it)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed);
        sim_coord_stop(sim.coord);
        sim_node_stop(s.node[1]);
        sim_node_start(s.node[1]);
        sim_world_run(PV_S(5));
        assert_true(has_log(s.node[1], 401)); /* without anybody */
        grow(100);
        sim_coord_start(sim.coord);
        assert_true(all_have(501, PV_S(120)));
        sim_world_done();
        end(NULL);
    }
}

/* A database of last week is put back. The members bring what it lacks, and it is on the disk
 * again. */
PV_TEST(members_give_an_old_backup_what_it_lacks)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed);
        put_back(seed % 2 == 0 ? 0 : 37);
        sim_coord_start(sim.coord);
        sim_world_run(PV_S(60));
        assert_int_equal(sim_coord_n_entries(sim.coord), 401);
        assert_true(all_have(401, PV_S(5)));
        /* It goes on behind that. */
        sim_coord_stop(sim.coord);
        grow(5);
        sim_coord_start(sim.coord);
        assert_true(all_have(406, PV_S(120)));
        sim_world_done();
        end(NULL);
    }
}

/* It goes on from an old place instead: nobody follows, and users are told. */
PV_TEST(nobody_follows_a_second_history)
{
    begin(1);
    put_back(300);
    struct pv_netlog *former = s.log;
    s.log = netlog();
    for (uint64_t n = 1; n <= 300; n++)
        assert_ok(pv_netlog_load(s.log, pv_netlog_entry(former, n)));
    pv_netlog_free(former);
    grow(200);
    sim_coord_start(sim.coord);
    sim_world_run(PV_S(60));
    for (int i = 0; i < NODES; i++) {
        assert_true(has_log(s.node[i], 401));
        assert_true(sim_world_says(s.node[i], "'cmd':'status'", "signed two histories"));
    }
}
