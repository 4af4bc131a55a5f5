/* SPDX-License-Identifier: MIT */
/* The orderly end of a coordinator that has networks. */
#include "coordinator/store/store_sqlite.h"
#include "sys/proc/clock.h"
#include "tests/unit/coordinator/coord_run.h"
#include "tests/unit/coordinator/store/store_ops.h"

static struct pv_coordstore *open_ok(void)
{
    char state[96], error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    snprintf(state, sizeof(state), "%s/s", dir);
    if (pv_coordstore_open_sqlite(&s, state, error) != PV_OK)
        fail_msg("%s", error);
    return s;
}

/* Nobody else can have the networks of a database of its own, so nobody is waited for: where they
 * are shared it would take 2 s, and 4 s more. */
PV_TEST(a_coordinator_of_its_own_waits_for_nobody)
{
    struct program p = START("--listen", "127.0.0.1:0"), q;
    (void)listening(&p);
    assert_int_equal(stop(&p), 0);
    list_begin();
    struct pv_coordstore *s = open_ok();
    assert_int_equal(run(s, network_op(1)).status, PV_OK);
    assert_int_equal(all_of(s).n, 4);
    pv_coordstore_close(s);
    p = START("--listen", "127.0.0.1:0");
    (void)listening(&p);
    q = START("networks");
    assert_int_equal(finish(&q), 0);
    assert_non_null(strstr(q.text, "not for "));
    const pv_ns began = pv_clock_now();
    assert_int_equal(stop(&p), 0);
    assert_true(pv_clock_now() - began < PV_S(2));
}

static int end(void **state)
{
    (void)teardown(state);
    return test_teardown(state);
}

PV_TEST_WORLD(setup, end);
