/* SPDX-License-Identifier: MIT */
/* The numbers that a node tells Prometheus, of lives whose every step is known: well-formed, and
 * true. */

#include <jansson.h>

#include "base/jsonread.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/base/metrics_grammar.h"

static struct grammar *ask(struct sim_node *n)
{
    const char *answer = sim_world_ask(n, PV_S(1), "'cmd':'metrics'");
    assert_non_null(answer);
    json_t *doc = json_loads(answer, 0, NULL);
    const char *text = pv_json_text(doc, "text", NULL);
    assert_non_null(text);
    struct grammar *g = grammar_read(text);
    json_decref(doc);
    return g;
}

/* The sum of all samples of a family that have these labels among theirs. */
static double sum(const struct grammar *g, const char *family, const char *labels)
{
    double total = 0;
    size_t len = strlen(family);
    for (size_t i = 0; i < g->n_series; i++) {
        const char *s = g->series[i];
        if (strncmp(s, family, len) == 0 && (s[len] == '{' || s[len] == '\0') &&
            strstr(s, labels) != NULL)
            total += g->values[i];
    }
    return total;
}

static void begin(const char *profile_a, const char *profile_b)
{
    sim_world_two(7, profile_a, profile_b);
    assert_true(sim_world_join_all());
    sim_world_run(PV_S(2));
}

/* a pings b ten times a second. */
static void talk(pv_ns duration)
{
    struct pv_addr to = sim_node_overlay(sim.nodes[1], PV_AF_INET);
    pv_ns end = sim_net_now(sim.net) + duration;
    while (sim_net_now(sim.net) < end) {
        sim_node_ping(sim.nodes[0], &to, 32);
        sim_world_run(PV_MS(100));
    }
}

/* Returns a value of the member "b". */
static double of_b(struct grammar *g, const char *what)
{
    return grammar_value(g, PV_STR("p2pvpn_peer_%s{peer=\"b\",kind=\"member\"}", what));
}

/* Returns a value of the coordinator's relay. */
static double of_relay(struct grammar *g, const char *what)
{
    return grammar_value(g, PV_STR("p2pvpn_relay_%s{relay=\"coordinator\"}", what));
}

PV_TEST(a_node_that_talks_to_nobody_has_all_families_and_no_paths)
{
    begin("port-restricted", "full-cone");
    struct grammar *g = ask(sim.nodes[0]);
    assert_true(grammar_value(g, "p2pvpn_build_info{version=\"" PV_VERSION "\"}") == 1);
    assert_true(grammar_value(g, "p2pvpn_up") == 1);
    assert_true(grammar_value(g, "p2pvpn_problems") == 0);
    assert_true(grammar_value(g, "p2pvpn_members") == 2);
    assert_true(grammar_value(g, "p2pvpn_coordinator_connected") == 1);
    assert_true(grammar_value(g, "p2pvpn_coordinator_connects_total") == 1);
    assert_true(of_b(g, "online") == 1);
    assert_true(grammar_value(g, "p2pvpn_relay_up{relay=\"coordinator\"}") == 1);
    for (unsigned r = 0; r < PV_FP_DROP_REASONS; r++) {
        assert_true(grammar_value(g, PV_STR("p2pvpn_drops_total{reason=\"%s\"}",
                                            pv_fp_drop_name((enum pv_fp_drop)r))) >=
                    0); /* a rate needs the zero before the first */
    }
    grammar_done(g);
}

PV_TEST(a_direct_path_is_told_with_its_ends_and_its_time)
{
    begin("port-restricted", "full-cone");
    talk(PV_S(3));
    struct grammar *g = ask(sim.nodes[0]);
    assert_true(sum(g, "p2pvpn_path_attempts_total", "method=\"checks\",result=\"direct\"") == 1);
    assert_true(sum(g, "p2pvpn_path_attempts_total", "") == 1);
    assert_true(sum(g, "p2pvpn_path_attempts_total", "nat=\"nat\",peer_nat=\"nat\"") == 1);
    assert_true(sum(g, "p2pvpn_direct_paths_total", "local=\"srflx\",remote=\"srflx\"") == 1);
    assert_true(grammar_value(g, "p2pvpn_time_to_direct_seconds_count") == 1);
    double took = grammar_value(g, "p2pvpn_time_to_direct_seconds_sum");
    assert_true(took > 0.04 && took < 1); /* two round trips to the coordinator and one check */
    double shakes = grammar_value(g, "p2pvpn_handshakes_total");
    assert_true(shakes == 1 || shakes == 2); /* again once both know that both are good at AES */
    assert_true(of_b(g, "direct") == 1);
    assert_true(of_b(g, "relayed") == 0);
    assert_true(sum(g, "p2pvpn_pairs", "direct=\"yes\",nat=\"nat\",peer_nat=\"nat\"") == 1);
    assert_true(sum(g, "p2pvpn_pairs", "") == 1);
    double rtt = of_b(g, "rtt_seconds");
    assert_true(rtt >= 0.04 && rtt < 0.06); /* four lines of 10 ms */
    double out = of_b(g, "sent_bytes_total");
    assert_true(out == 30 * (20 + 8 + 32) && out == grammar_value(g, "p2pvpn_sent_bytes_total"));
    assert_true(of_b(g, "last_handshake_timestamp_seconds") > 1.6e9);
    grammar_done(g);
}

PV_TEST(time_on_the_relay_is_counted_to_the_moment)
{
    begin("symmetric", "symmetric");
    talk(PV_S(20));
    struct grammar *g = ask(sim.nodes[0]);
    double then = grammar_value(g, "p2pvpn_relay_seconds_total");
    assert_true(then > 19 && then <= 20.2);
    assert_true(grammar_value(g, "p2pvpn_relayed_paths_total") == 1);
    assert_true(of_b(g, "relayed") == 1);
    assert_true(sum(g, "p2pvpn_pairs", "direct=\"no\"") == 1);
    assert_true(sum(g, "p2pvpn_pairs", "direct=\"yes\"") == 0);
    assert_true(sum(g, "p2pvpn_path_attempts_total", "method=\"checks\",result=\"relayed\"") == 1);
    assert_true(sum(g, "p2pvpn_path_attempts_total", "result=\"direct\"") == 0);
    assert_true(grammar_value(g, "p2pvpn_time_to_direct_seconds_count") == 0);
    assert_true(of_relay(g, "sent_bytes_total") == grammar_value(g, "p2pvpn_sent_bytes_total"));
    grammar_done(g);
    talk(PV_S(10));
    g = ask(sim.nodes[0]);
    double now = grammar_value(g, "p2pvpn_relay_seconds_total");
    assert_true(now >= then + 10 && now < then + 10.2);
    grammar_done(g);
}

PV_TEST(an_attempt_at_a_hard_nat_has_its_method_and_both_nats)
{
    begin("port-restricted", "symmetric-sequential");
    talk(PV_S(12));
    struct grammar *g = ask(sim.nodes[0]);
    assert_string_equal(sim_node_path(sim.nodes[0], "b"), "direct");
    assert_true(
        sum(g, "p2pvpn_path_attempts_total",
            "method=\"predicted\",result=\"direct\",nat=\"cone\",peer_nat=\"sequential\"") == 1);
    assert_true(sum(g, "p2pvpn_path_attempts_total", "method=\"checks\",result=\"relayed\"") == 1);
    assert_true(sum(g, "p2pvpn_direct_paths_total", "") == 1);
    assert_true(grammar_value(g, "p2pvpn_time_to_direct_seconds_count") == 1);
    assert_true(grammar_value(g, "p2pvpn_relay_seconds_total") > 0);
    grammar_done(g);
}

PV_TEST(counters_do_not_fall_when_a_member_is_removed)
{
    begin("symmetric", "symmetric");
    talk(PV_S(5));
    struct grammar *g = ask(sim.nodes[0]);
    double sent = grammar_value(g, "p2pvpn_sent_bytes_total");
    double got = grammar_value(g, "p2pvpn_received_datagrams_total");
    double relay = grammar_value(g, "p2pvpn_relay_seconds_total");
    double through = of_relay(g, "sent_bytes_total");
    assert_true(sent > 0 && got > 0 && relay > 0 && through > 0);
    grammar_done(g);
    assert_non_null(sim_world_ask(sim.nodes[0], PV_S(5), "'cmd':'remove','peer':'b'"));
    sim_world_run(PV_S(1));
    g = ask(sim.nodes[0]);
    assert_true(sum(g, "p2pvpn_peer_online", "") == 0);
    assert_true(grammar_value(g, "p2pvpn_members") == 1);
    assert_true(grammar_value(g, "p2pvpn_sent_bytes_total") >= sent);
    assert_true(grammar_value(g, "p2pvpn_received_datagrams_total") >= got);
    assert_true(grammar_value(g, "p2pvpn_relay_seconds_total") >= relay);
    assert_true(of_relay(g, "sent_bytes_total") >= through);
    grammar_done(g);
}

PV_TEST(a_restarted_coordinator_is_seen)
{
    begin("full-cone", "full-cone");
    sim_coord_kill(sim.coord);
    sim_world_run(PV_S(40));
    struct grammar *g = ask(sim.nodes[0]);
    assert_true(grammar_value(g, "p2pvpn_coordinator_connected") == 0);
    assert_true(grammar_value(g, "p2pvpn_up") == 0);
    assert_true(grammar_value(g, "p2pvpn_problems") > 0);
    assert_true(grammar_value(g, "p2pvpn_coordinator_rtt_seconds") == -1); /* there is none */
    grammar_done(g);
    sim_coord_start(sim.coord);
    sim_world_run(PV_S(60));
    g = ask(sim.nodes[0]);
    assert_true(grammar_value(g, "p2pvpn_coordinator_connected") == 1);
    assert_true(grammar_value(g, "p2pvpn_coordinator_connects_total") == 2);
    grammar_done(g);
}
