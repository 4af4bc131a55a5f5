/* SPDX-License-Identifier: MIT */
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/slice.h"
#include "test_util.h"

static struct sched_attr get(void)
{
    struct sched_attr attr = {.size = sizeof(attr)};
    assert_int_equal(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0), 0);
    return attr;
}

static void a_thread_gets_short_slices_and_keeps_its_share(void **state)
{
    (void)state;
    assert_int_equal(setpriority(PRIO_PROCESS, 0, 5), 0);
    struct sched_attr before = get();
    pv_slice_shorten();
    struct sched_attr after = get();
    assert_int_equal(after.sched_policy, before.sched_policy);
    assert_int_equal(after.sched_nice, before.sched_nice);
    /* Linux before 6.12 knows no slices: nothing changed. */
    assert_true(after.sched_runtime == 100000 || after.sched_runtime == before.sched_runtime);
}

static void another_policy_is_left_alone(void **state)
{
    struct sched_attr idle = {.size = sizeof(idle), .sched_policy = SCHED_IDLE};
    (void)state;
    assert_int_equal(syscall(SYS_sched_setattr, 0, &idle, 0), 0);
    struct sched_attr before = get();
    pv_slice_shorten();
    struct sched_attr after = get();
    assert_memory_equal(&after, &before, sizeof(after));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_gets_short_slices_and_keeps_its_share),
        cmocka_unit_test(another_policy_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
