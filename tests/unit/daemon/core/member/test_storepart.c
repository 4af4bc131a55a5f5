/* SPDX-License-Identifier: MIT */
/* The part that looks after the store: marks, and another attempt after a failed write. */
#include "daemon/core/parts.h"
#include "daemon/core/peer/highwater.h"
#include "tests/unit/daemon/core/fake_node.h"

static struct fake_node node;
static struct pv_highwater gen;

void test_before_each(void)
{
    fake_node_init(&node, &pv_part_store);
    gen = (struct pv_highwater){.last = 0};
    node.node.store.marks[PV_MARK_GEN] = &gen;
}

/* The next job, which must keep a mark for the descriptions' numbers; answered with status. */
static uint64_t expect_mark(int status)
{
    struct pv_job *job = fake_node_expect(&node, PV_JOB_SET_META);
    assert_string_equal(job->u.set_meta.name, "gen");
    assert_int_equal(job->u.set_meta.len, 8);
    uint64_t mark = pv_load_be64(job->u.set_meta.value);
    fake_node_answer(&node, job, &(struct pv_job_result){.status = status, .error = "no room"});
    return mark;
}

PV_TEST(a_number_may_grow_when_its_mark_is_on_disk)
{
    fake_node_start(&node);
    uint64_t mark = expect_mark(PV_OK);
    assert_int_equal(gen.safe, mark);
    fake_node_settle(&node);
    assert_null(fake_node_job(&node)); /* the mark runs ahead: one write is enough for long */
    (void)pv_highwater_next(&gen, mark);
    fake_node_settle(&node);
    assert_true(expect_mark(PV_OK) > mark);
}

PV_TEST(marks_of_an_earlier_life_are_taken_up)
{
    static uint8_t bytes[8];
    const struct pv_saved_meta meta = {.name = "gen", .value = pv_view(bytes, sizeof(bytes))};
    pv_store_be64(bytes, 4711);
    node.saved.meta = &meta;
    node.saved.n_meta = 1;
    fake_node_start(&node);
    assert_int_equal(gen.last, 4711);
    assert_int_equal(pv_highwater_next(&gen, 1), 4712); /* although the clock was set back */
}

PV_TEST(after_a_failed_write_everybody_writes_again_once)
{
    fake_node_start(&node);
    uint64_t mark = expect_mark(PV_ERR_NO_SPACE);
    assert_int_equal(gen.safe, 0);
    assert_string_equal(node.node.store.error, "no room");
    fake_node_wait(&node, PV_S(29));
    assert_null(fake_node_job(&node));
    fake_node_wait(&node, PV_S(2));
    assert_int_equal(expect_mark(PV_OK), mark);
    assert_string_equal(node.node.store.error, "");
    assert_int_equal(gen.safe, mark);
    fake_node_wait(&node, PV_S(300));
    assert_null(fake_node_job(&node));
}

PV_TEST(a_write_of_another_part_that_failed_counts_too)
{
    const struct pv_job_result failed = {.status = PV_ERR_NO_SPACE, .error = "disk full"};
    fake_node_start(&node);
    (void)expect_mark(PV_OK);
    pv_node_stored(&node.node, &failed);
    fake_node_settle(&node);
    assert_true(node.node.store.failed);
    fake_node_wait(&node, PV_S(31));
    assert_false(node.node.store.failed);
    (void)expect_mark(PV_OK);
}

/* It has no result by which anybody could hear of it. */
PV_TEST(a_write_that_finds_no_place_among_the_jobs_counts_too)
{
    const size_t limit = node.node.jobs.map.limit;
    node.node.jobs.map.limit = 0;
    fake_node_start(&node);
    assert_null(fake_node_job(&node));
    assert_has(node.node.store.error, "too many writes wait");
    node.node.jobs.map.limit = limit;
    fake_node_settle(&node); /* the next turn */
    fake_node_wait(&node, PV_S(31));
    uint64_t mark = expect_mark(PV_OK);
    assert_int_equal(gen.safe, mark);
    assert_string_equal(node.node.store.error, "");
}

/* On a full disk a small write may find room that others do not. */
PV_TEST(a_write_that_is_kept_meanwhile_hides_nothing)
{
    const struct pv_job_result failed = {.status = PV_ERR_NO_SPACE, .error = "disk full"};
    const struct pv_job_result kept = {.status = PV_OK};
    fake_node_start(&node);
    (void)expect_mark(PV_OK);
    pv_node_stored(&node.node, &failed);
    fake_node_wait(&node, PV_S(2));
    pv_node_stored(&node.node, &kept);
    fake_node_settle(&node);
    assert_string_equal(node.node.store.error, "disk full");
    fake_node_wait(&node, PV_S(4));
    assert_null(fake_node_job(&node));
    fake_node_wait(&node, PV_S(2)); /* there may be room again, so not after 30 s */
    assert_string_equal(node.node.store.error, "disk full");
    (void)expect_mark(PV_OK);
    assert_string_equal(node.node.store.error, "");
}
