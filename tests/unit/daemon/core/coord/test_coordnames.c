/* SPDX-License-Identifier: MIT */
/* The coordinator's part with coordinators that have names: which are looked up when, and what
 * follows from the answers. */
#include "tests/unit/daemon/core/coord/coordpart_world.h"

static struct pv_job_result found_at(uint8_t last)
{
    return (struct pv_job_result){
        .status = PV_OK, .addrs = {pv_addr4(192, 0, 2, last, 3478)}, .n_addrs = 1};
}

static struct pv_job_result not_found(const char *why)
{
    struct pv_job_result r = {.status = PV_ERR_NOT_FOUND};
    snprintf(r.error, sizeof(r.error), "%s", why);
    return r;
}

static void answer(struct pv_job *job, struct pv_job_result result)
{
    fake_node_answer(&node, job, &result);
}

PV_TEST_WORLD(coordpart_start, coordpart_stop);

PV_TEST(a_name_is_looked_up_and_its_failure_told)
{
    struct pv_stream_op op;
    fake_node_start(&node);
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    assert_false(next_open(&op));
    fake_node_answer(
        &node, expect_resolve("coord.example"),
        &(struct pv_job_result){.status = PV_ERR_NOT_FOUND, .error = "coord.example: unknown"});
    assert_string_equal(node.node.coord_info.error, "coord.example: unknown");
    assert_false(next_open(&op));
}

PV_TEST(addresses_of_a_name_are_tried_when_they_come)
{
    struct pv_stream_op op;
    struct pv_job_result found = {.status = PV_OK, .n_addrs = 1};
    fake_node_start(&node);
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    found.addrs[0] = pv_addr4(192, 0, 2, 5, 3478);
    fake_node_answer(&node, expect_resolve("coord.example"), &found);
    assert_true(next_open(&op));
    assert_true(pv_addr_equal(&op.addr, &found.addrs[0]));
}

/* As on a machine that starts before its network is there. */
PV_TEST(a_name_that_is_not_found_is_looked_up_again)
{
    struct pv_stream_op op;
    struct pv_job *job;
    unsigned lookups = 0;
    fake_node_start(&node);
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    for (const pv_ns end = node.now + PV_S(300); node.now < end; fake_node_wait(&node, PV_S(1))) {
        while ((job = fake_node_job(&node)) != NULL) {
            answer(job, not_found("coord.example: unknown"));
            assert_true(++lookups <= 100); /* not all the time */
        }
        assert_string_equal(node.node.coord_info.error, "coord.example: unknown");
    }
    assert_true(lookups >= 8);
    for (int i = 0; i < 60 && (job = fake_node_job(&node)) == NULL; i++)
        fake_node_wait(&node, PV_S(1));
    assert_non_null(job);
    answer(job, found_at(5));
    wait_open(&op);
    assert_int_equal(op.addr.ip[3], 5);
}

/* Its network has come. */
PV_TEST(a_kick_has_names_looked_up_at_once)
{
    struct pv_stream_op op;
    struct pv_job *job;
    fake_node_start(&node);
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    for (int i = 0; i < 100; i++, fake_node_wait(&node, PV_S(1)))
        while ((job = fake_node_job(&node)) != NULL)
            answer(job, not_found("coord.example: unknown"));
    assert_int_equal(pv_coordclient_state(node.node.coord), PV_COORDCLIENT_WAITING);
    pv_coordclient_kick(node.node.coord, node.now);
    fake_node_settle(&node);
    answer(expect_resolve("coord.example"), found_at(5));
    assert_true(next_open(&op));
}

PV_TEST(a_coordinator_without_an_address_makes_way_for_the_next)
{
    const struct keys other = keys_of(77);
    struct pv_stream_op op;
    struct pv_job *job;
    fake_node_start(&node);
    at_two("coord.example", "192.0.2.7", other.pk);
    connect_as(PV_CTL_MEMBER);
    answer(expect_resolve("coord.example"), not_found("coord.example: unknown"));
    wait_open(&op);
    assert_int_equal(op.addr.ip[3], 7);
    assert_memory_equal(node.node.coord_info.pk, other.pk, PV_SIGN_PK_LEN);
    while ((job = fake_node_job(&node)) != NULL)
        answer(job, not_found("coord.example: unknown"));
}

/* An answer about a former coordinator is not where the present one is. */
PV_TEST(a_late_answer_about_another_coordinator_is_not_taken)
{
    struct pv_stream_op op;
    fake_node_start(&node);
    at("old.example");
    connect_as(PV_CTL_MEMBER);
    struct pv_job *late = expect_resolve("old.example");
    at("new.example");
    connect_as(PV_CTL_MEMBER);
    struct pv_job *job = expect_resolve("new.example");
    answer(late, found_at(5));
    assert_false(next_open(&op));
    answer(job, found_at(6));
    assert_true(next_open(&op));
    assert_int_equal(op.addr.ip[3], 6);
    assert_false(next_open(&op));
}

PV_TEST(a_name_that_is_not_found_is_no_error_beside_an_address)
{
    struct pv_stream_op op;
    fake_node_start(&node);
    also = "192.0.2.9";
    at("coord.example");
    connect_as(PV_CTL_GUEST);
    assert_true(next_open(&op));
    answer(expect_resolve("coord.example"), not_found("coord.example: unknown"));
    assert_string_equal(node.node.coord_info.error, "");
}

/* A name server that does not answer for long is not asked the same again and again. */
PV_TEST(a_name_being_looked_up_is_not_asked_again)
{
    struct pv_stream_op op;
    fake_node_start(&node);
    also = "192.0.2.9";
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    struct pv_job *job = expect_resolve("coord.example");
    for (int i = 0; i < 20; i++) {
        wait_open(&op);
        pv_part_coordinator.streams[0].closed(node.self, op.sid, -111, node.now);
        fake_node_settle(&node);
        assert_null(fake_node_job(&node));
    }
    pv_job_free(job);
}
