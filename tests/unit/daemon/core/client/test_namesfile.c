/* SPDX-License-Identifier: MIT */
/* The part that keeps the names file: when it writes, what, and what a failure means. */
#include "base/names.h"
#include "daemon/core/client/namesfile.h"
#include "tests/unit/daemon/core/fake_node.h"

static struct fake_node node;

static int start(void **state)
{
    (void)state;
    fake_node_init(&node, &pv_part_namesfile);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_node_done(&node);
    return 0;
}

/* The next job, which must write a file of n names; answered with status. */
static void expect_written(size_t n, int status)
{
    struct pv_job *job = fake_node_job(&node);
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_NAMES);
    if (n == 0) {
        assert_null(job->u.names.bytes);
    } else {
        struct pv_names names;
        assert_int_equal(pv_names_open(pv_view(job->u.names.bytes, job->u.names.len), &names),
                         PV_OK);
        assert_int_equal(names.n, n);
        assert_string_equal(names.network, "home");
    }
    fake_node_answer(&node, job, &(struct pv_job_result){.status = status, .error = "no room"});
}

static void expect_silence(void)
{
    assert_null(fake_node_job(&node));
}

static void a_node_in_no_network_removes_the_file_of_an_earlier_life(void **state)
{
    (void)state;
    fake_node_start(&node);
    expect_written(0, PV_OK);
    fake_node_wait(&node, PV_S(3600));
    expect_silence();
}

static void members_are_written_when_they_come(void **state)
{
    (void)state;
    fake_node_enter(&node);
    fake_node_start(&node);
    expect_written(1, PV_OK);
    fake_node_member(&node, 7, "bob", 7);
    fake_node_settle(&node);
    expect_silence(); /* not so soon after the last */
    fake_node_wait(&node, PV_S(1));
    expect_written(2, PV_OK);
    fake_node_wait(&node, PV_S(3600));
    expect_silence();
}

/* A file of thousands is not written anew for each of hundreds that join: 1 ms passes for each name
 * in it. */
static void a_large_file_is_written_rarely(void **state)
{
    unsigned writes = 0;
    (void)state;
    fake_node_enter(&node);
    for (unsigned i = 0; i < 300; i++) {
        char name[PV_NAME_BUF];
        snprintf(name, sizeof(name), "m%u", i);
        fake_node_member(&node, 100 + i, name, (uint16_t)(100 + i));
    }
    fake_node_start(&node);
    for (unsigned i = 0; i < 50; i++) {
        char name[PV_NAME_BUF];
        struct pv_job *job;
        snprintf(name, sizeof(name), "n%u", i);
        fake_node_member(&node, 500 + i, name, (uint16_t)(500 + i));
        fake_node_settle(&node);
        fake_node_wait(&node, PV_MS(100));
        while ((job = fake_node_job(&node)) != NULL) {
            fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
            writes++;
        }
    }
    assert_in_range(writes, 5, 11); /* 5 s */
    fake_node_wait(&node, PV_S(1));
    expect_written(pv_roster_count(node.node.roster), PV_OK);
}

static void a_change_during_a_write_is_written_after_it(void **state)
{
    (void)state;
    fake_node_enter(&node);
    fake_node_start(&node);
    struct pv_job *job = fake_node_job(&node);
    fake_node_member(&node, 7, "bob", 7);
    fake_node_wait(&node, PV_S(10));
    expect_silence(); /* two writes at once could end in either order */
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
    expect_written(2, PV_OK);
}

static void a_failed_write_is_tried_again_after_a_while(void **state)
{
    (void)state;
    fake_node_enter(&node);
    fake_node_start(&node);
    expect_written(1, PV_ERR_NO_SPACE);
    fake_node_wait(&node, PV_S(29));
    expect_silence();
    fake_node_wait(&node, PV_S(2));
    expect_written(1, PV_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_in_no_network_removes_the_file_of_an_earlier_life,
                                        start, stop),
        cmocka_unit_test_setup_teardown(members_are_written_when_they_come, start, stop),
        cmocka_unit_test_setup_teardown(a_large_file_is_written_rarely, start, stop),
        cmocka_unit_test_setup_teardown(a_change_during_a_write_is_written_after_it, start, stop),
        cmocka_unit_test_setup_teardown(a_failed_write_is_tried_again_after_a_while, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
