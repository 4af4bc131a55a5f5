/* SPDX-License-Identifier: MIT */
/* The part behind `stats`: what it takes once a minute, what it answers and what it has stored. */
#include "base/jsonread.h"
#include "daemon/core/client/series.h"
#include "daemon/core/client/stats.h"
#include "tests/unit/daemon/core/client/fake_client.h"

#define MINUTE PV_S(60)

static struct fake_peers x;
static struct pv_peer *bob;
static uint32_t client;
static json_t *answer; /* of ask() */
static const struct pv_addr there = {.family = PV_AF_INET, .ip = {192, 0, 2, 7}, .port = 51820};

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_stats);
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 5, "bob", 5);
    fake_node_start(&x.f);
    client = fake_client_open(&x);
}

void test_after_each(void)
{
    json_decref(answer);
    answer = NULL;
}

static const json_t *ask(const char *peer)
{
    json_decref(answer);
    fake_client_ask(&x, client,
                    PV_STR("\"cmd\":\"stats\"%s%s%s", peer == NULL ? "" : ",\"peer\":\"",
                           peer == NULL ? "" : peer, peer == NULL ? "" : "\""));
    answer = json_loads(fake_client_read(&x, client), 0, NULL);
    assert_non_null(answer);
    return answer;
}

static const char *paths(const char *peer)
{
    return pv_json_text(json_object_get(ask(peer), "minutes"), "path", NULL);
}

PV_TEST(a_peer_without_a_path_has_no_rows_and_one_with_a_path_a_row_a_minute)
{
    fake_node_wait(&x.f, 2 * MINUTE);
    assert_string_equal(paths("bob"), "");
    assert_string_equal(paths(NULL), "--");
    fake_peers_path(&x, bob, &there);
    fake_node_wait(&x.f, 3 * MINUTE);
    assert_string_equal(paths("bob"), "ddd");
    fake_peers_path(&x, bob, NULL);
    fake_node_wait(&x.f, MINUTE);
    assert_string_equal(paths("bob"), "ddd-");
    const json_t *peers = json_object_get(ask(NULL), "peers");
    assert_int_equal(json_array_size(peers), 1);
    assert_string_equal(pv_json_text(json_array_get(peers, 0), "peer", "?"), "bob");
}

PV_TEST(a_round_takes_place_at_the_whole_minutes_of_the_wall_clock)
{
    fake_peers_path(&x, bob, &there);
    x.f.node.wall = (struct pv_wall){.us = UINT64_C(1700000015000000), .at = x.f.now};
    fake_node_wait(&x.f, MINUTE); /* the one under way, by the clock of before */
    assert_int_equal((pv_part_next_timeout(&pv_part_stats, x.f.self) - x.f.now) / PV_S(1),
                     60 - (1700000015 + 60) % 60);
}

PV_TEST(figures_are_stored_once_an_hour_and_at_the_end_and_are_there_at_the_next_start)
{
    unsigned jobs = 0;
    struct pv_job *job, *last = NULL;
    fake_peers_path(&x, bob, &there);
    for (unsigned i = 0; i < 180; i++) {
        fake_node_wait(&x.f, MINUTE);
        while ((job = fake_node_job(&x.f)) != NULL) {
            jobs++;
            pv_job_free(last);
            last = job;
        }
    }
    assert_int_equal(jobs, 3);
    pv_job_free(last);
    pv_part_stats.on_stop(x.f.self, x.f.now);
    job = fake_node_job(&x.f);
    assert_non_null(job);
    assert_string_equal(job->u.set_meta.name, PV_STATS_META);

    pv_part_free(&pv_part_stats, x.f.self);
    struct pv_saved_meta meta = {.value = pv_view(job->u.set_meta.value, job->u.set_meta.len)};
    memcpy(meta.name, PV_STATS_META, sizeof(PV_STATS_META));
    x.f.saved.meta = &meta;
    x.f.saved.n_meta = 1;
    fake_node_start(&x.f);
    assert_int_equal(strlen(paths("bob")), 180);
    fake_node_wait(&x.f, MINUTE);
    assert_int_equal(strlen(paths("bob")), 181);
    assert_string_equal(pv_json_text(json_object_get(ask("bob"), "hours"), "path", NULL), "ddd");
    x.f.saved.n_meta = 0;
    pv_job_free(job);
}

PV_TEST(a_member_that_is_gone_is_forgotten_and_so_are_all_with_their_network)
{
    fake_peers_path(&x, bob, &there);
    fake_node_wait(&x.f, MINUTE);
    assert_string_equal(paths("bob"), "d");
    pv_part_stats.on_member_gone(x.f.self, pv_peer_pk(bob), x.f.now);
    assert_string_equal(paths("bob"), "");
    fake_node_wait(&x.f, MINUTE);
    struct pv_roster *roster = x.f.node.roster;
    x.f.node.roster = NULL;
    fake_node_raise(&x.f, PV_FACT_NETWORK);
    struct pv_job *job = fake_node_job(&x.f);
    assert_non_null(job);
    assert_int_equal(job->u.set_meta.len, 0);
    pv_job_free(job);
    x.f.node.roster = roster;
}
