/* SPDX-License-Identifier: MIT */
/* The part that keeps the names file: when it writes, what, and what a failure means. */
#include "base/names.h"
#include "daemon/core/client/namesfile.h"
#include "tests/unit/daemon/core/fake_node.h"

static struct fake_node node;

void test_before_each(void)
{
    fake_node_init(&node, &pv_part_namesfile);
}

/* The next job, which must write a file of n names; answered with status. */
static void expect_written(size_t n, int status)
{
    struct pv_job *job = fake_node_expect(&node, PV_JOB_NAMES);
    if (n == 0) {
        assert_null(job->u.names.bytes);
    } else {
        struct pv_names names;
        assert_ok(pv_names_open(pv_view(job->u.names.bytes, job->u.names.len), &names));
        assert_int_equal(names.n, n);
        assert_string_equal(names.network, "home");
    }
    fake_node_answer(&node, job, &(struct pv_job_result){.status = status, .error = "no room"});
}

static void expect_silence(void)
{
    assert_null(fake_node_job(&node));
}

PV_TEST(a_node_in_no_network_removes_the_file_of_an_earlier_life)
{
    fake_node_start(&node);
    expect_written(0, PV_OK);
    fake_node_wait(&node, PV_S(3600));
    expect_silence();
}

PV_TEST(members_are_written_when_they_come)
{
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

/* Members number `first` and so many more. */
static void come(unsigned first, unsigned n)
{
    for (unsigned i = first; i < first + n; i++) {
        fake_node_member(&node, 1000 + i, PV_STR("m%u", i), (uint16_t)(100 + i));
    }
}

static void come_and_wait(unsigned first, unsigned n, pv_ns time)
{
    come(first, n);
    fake_node_settle(&node);
    fake_node_wait(&node, time);
}

/* The next job: how many names it writes, and into which of the files. */
static void expect_file(size_t n, bool recent)
{
    struct pv_job *job = fake_node_job(&node);
    struct pv_names names;
    assert_non_null(job);
    assert_int_equal(job->u.names.recent, recent);
    assert_ok(pv_names_open(pv_view(job->u.names.bytes, job->u.names.len), &names));
    assert_ok(pv_names_check(&names));
    assert_int_equal(names.n, n);
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
}

/* A network with more members than the small file takes. */
static void enter_large(unsigned n)
{
    fake_node_enter(&node);
    come(0, n);
    fake_node_start(&node);
    expect_file(n + 1, false);
}

PV_TEST(a_member_that_joins_a_large_network_is_written_alone)
{
    enter_large(300);
    come_and_wait(300, 1, PV_MS(200)); /* however large the network is */
    expect_file(1, true);
    come_and_wait(301, 2, 0);
    expect_silence();
    fake_node_wait(&node, PV_MS(200));
    expect_file(3, true);
    fake_node_raise(&node, PV_FACT_ROSTER); /* of something else than a name */
    fake_node_settle(&node);
    fake_node_wait(&node, PV_S(3600));
    expect_silence();
}

/* The file of all is not written anew for each of hundreds that join: 1 ms passes for each name in
 * it. */
PV_TEST(many_who_join_end_in_the_file_of_all)
{
    enter_large(300);
    come_and_wait(300, PV_NAMESFILE_RECENT, PV_MS(200));
    expect_file(PV_NAMESFILE_RECENT, true);
    come_and_wait(300 + PV_NAMESFILE_RECENT, 1, PV_MS(200));
    expect_silence();
    fake_node_wait(&node, PV_S(1));
    expect_file(1 + 300 + PV_NAMESFILE_RECENT + 1, false);
    come_and_wait(301 + PV_NAMESFILE_RECENT, 1, PV_MS(200));
    expect_file(1, true);
}

/* A file's word about somebody is never wrong for longer than until the file of all is written. */
PV_TEST(a_member_that_changes_or_goes_is_written_with_all)
{
    const struct keys first = keys_of(1000), last = keys_of(1300);
    enter_large(300);
    come_and_wait(300, 2, PV_MS(200));
    expect_file(2, true);
    fake_node_add(&node, make_leave(&node.world, &last, 2)); /* of those who came lately */
    fake_node_settle(&node);
    fake_node_wait(&node, PV_MS(200));
    expect_file(1, true);
    fake_node_add(&node, make_leave(&node.world, &first, 2));
    fake_node_settle(&node);
    fake_node_wait(&node, PV_S(1));
    expect_file(1 + 300 + 2 - 2, false);
    fake_node_wait(&node, PV_S(3600));
    expect_silence();
}

PV_TEST(after_a_failure_all_are_written)
{
    enter_large(300);
    come_and_wait(300, 1, PV_MS(200));
    expect_written(1, PV_ERR_NO_SPACE);
    fake_node_wait(&node, PV_S(31));
    expect_file(302, false);
}

PV_TEST(a_change_during_a_write_is_written_after_it)
{
    fake_node_enter(&node);
    fake_node_start(&node);
    struct pv_job *job = fake_node_job(&node);
    fake_node_member(&node, 7, "bob", 7);
    fake_node_wait(&node, PV_S(10));
    expect_silence(); /* two writes at once could end in either order */
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
    expect_written(2, PV_OK);
}

PV_TEST(a_failed_write_is_tried_again_after_a_while)
{
    fake_node_enter(&node);
    fake_node_start(&node);
    expect_written(1, PV_ERR_NO_SPACE);
    fake_node_wait(&node, PV_S(29));
    expect_silence();
    fake_node_wait(&node, PV_S(2));
    expect_written(1, PV_OK);
}
