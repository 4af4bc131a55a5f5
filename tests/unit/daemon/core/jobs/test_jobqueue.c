/* SPDX-License-Identifier: MIT */
/* The queue of jobs: their order, whom a result is told, deadlines, and those who give up. */
#include "daemon/core/jobs/jobqueue.h"
#include "tests/unit/test_util.h"

struct asker {
    unsigned results, timeouts, late;
    uint64_t tag; /* of the last one */
};

static struct pv_jobqueue queue;
static struct asker anna, bob;

void test_before_each(void)
{
    static struct test_rng seed;
    const struct pv_rng rng = test_rng_make(&seed, 1);
    pv_jobqueue_init(&queue, &rng, NULL);
    anna = bob = (struct asker){.tag = 0};
}

void test_after_each(void)
{
    pv_jobqueue_done(&queue);
}

static void done(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct asker *asker = wait->self;
    asker->results += result != NULL;
    asker->timeouts += result == NULL;
    asker->late += result != NULL && wait->late;
    asker->tag = wait->tag;
}

static void ask(struct asker *asker, uint64_t tag)
{
    assert_true(pv_jobqueue_submit(&queue, pv_job_new(PV_JOB_IFACE_DOWN), done, asker, tag));
}

/* The asker waits until a deadline. */
static void ask_until(struct asker *asker, pv_ns deadline)
{
    assert_non_null(pv_jobqueue_add(&queue, pv_job_new(PV_JOB_IFACE_DOWN), done, asker, deadline,
                                    sizeof(struct pv_jobwait)));
}

/* The shell takes the next job; its id. */
static uint64_t take(void)
{
    struct pv_job *job;
    assert_ok(pv_jobqueue_poll(&queue, &job));
    uint64_t id = job->id;
    pv_job_free(job);
    return id;
}

static bool answer(uint64_t id)
{
    return pv_jobqueue_handle(&queue, &(struct pv_job_result){.id = id}, PV_S(1));
}

PV_TEST(jobs_leave_in_order_and_each_result_comes_to_its_owner_once)
{
    ask(&anna, 5);
    ask(&bob, 6);
    uint64_t first = take(), second = take();
    struct pv_job *job;
    assert_int_equal(pv_jobqueue_poll(&queue, &job), PV_ERR_AGAIN);
    assert_true(answer(second));
    assert_int_equal(bob.tag, 6);
    assert_int_equal(anna.results, 0);
    assert_true(answer(first));
    assert_int_equal(anna.tag, 5);
    assert_false(answer(first));
    assert_int_equal(anna.results + bob.results, 2);
}

PV_TEST(a_job_that_the_shell_has_not_taken_when_its_deadline_is_over_never_leaves)
{
    ask_until(&anna, PV_S(30));
    ask(&bob, 1);
    assert_int_equal(pv_jobqueue_next_timeout(&queue), PV_S(30));
    pv_jobqueue_handle_timeout(&queue, PV_S(30) - 1);
    assert_int_equal(anna.timeouts, 0);
    pv_jobqueue_handle_timeout(&queue, PV_S(30));
    assert_int_equal(anna.timeouts, 1);
    assert_int_equal(pv_jobqueue_next_timeout(&queue), PV_NEVER);
    assert_true(answer(take()));
    assert_int_equal(bob.results, 1);
    assert_int_equal(anna.results, 0);
}

PV_TEST(a_result_behind_its_deadline_is_told_as_late)
{
    ask_until(&anna, PV_S(30));
    uint64_t id = take();
    pv_jobqueue_handle_timeout(&queue, PV_S(31));
    pv_jobqueue_handle_timeout(&queue, PV_S(90));
    assert_int_equal(anna.timeouts, 1);
    assert_true(answer(id));
    assert_int_equal(anna.late, 1);
    assert_false(answer(id));
}

static unsigned ended;

static void end(struct pv_jobwait *wait)
{
    assert_ptr_equal(wait->self, &anna);
    ended++;
}

PV_TEST(an_owner_that_gives_up_is_not_called_and_its_jobs_are_done_all_the_same)
{
    ended = 0;
    ask_until(&anna, PV_S(30));
    ask(&bob, 1);
    ask(&anna, 2);
    pv_jobqueue_forget(&queue, &anna, end);
    assert_int_equal(ended, 2);
    assert_int_equal(pv_jobqueue_next_timeout(&queue), PV_NEVER);
    for (int i = 0; i < 3; i++)
        assert_true(answer(take()));
    assert_int_equal(anna.results, 0);
    assert_int_equal(bob.results, 1);
}

PV_TEST(above_the_limit_a_job_is_refused_and_freed)
{
    for (unsigned i = 0; i < PV_JOBQUEUE_MAX; i++)
        ask(&anna, i);
    assert_false(pv_jobqueue_submit(&queue, pv_job_new(PV_JOB_IFACE_DOWN), done, &anna, 0));
    assert_false(pv_jobqueue_submit(&queue, NULL, done, &anna, 0));
    assert_true(answer(take()));
    ask(&anna, 0);
}
