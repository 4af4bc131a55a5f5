/* SPDX-License-Identifier: MIT */
/* The lines a user was told: kept over runs, bounded, and lost without harm. */
#include <unistd.h>

#include "ctl/lib/seen.h"
#include "tests/unit/test_util.h"

static char dir[] = "/tmp/pv-seen-XXXXXX";
static struct pv_seen seen;

static int start(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/pv-seen-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(setenv("XDG_STATE_HOME", dir, 1), 0);
    pv_seen_load(&seen);
    return 0;
}

static int stop(void **state)
{
    (void)unlink(PV_STR("%s/p2pvpn/p2pvpnctl.seen", dir));
    (void)rmdir(PV_STR("%s/p2pvpn", dir));
    return rmdir(dir);
}

PV_TEST_WORLD(start, stop);

PV_TEST(a_line_that_was_told_is_known_to_the_next_run)
{
    assert_false(pv_seen_has(&seen, "name bob 5"));
    pv_seen_add(&seen, "name bob 5");
    pv_seen_add(&seen, "name bob 5"); /* once is enough */
    pv_seen_save(&seen);
    pv_seen_load(&seen);
    assert_true(pv_seen_has(&seen, "name bob 5"));
    assert_false(pv_seen_has(&seen, "name bob 50"));
    assert_false(pv_seen_has(&seen, "ame bob 5"));
    assert_int_equal(seen.len, strlen("\nname bob 5\n"));
}

PV_TEST(the_oldest_make_room)
{
    char line[120];
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "%090d", i);
        pv_seen_add(&seen, line);
        assert_true(pv_seen_has(&seen, line));
    }
    snprintf(line, sizeof(line), "%090d", 0);
    assert_false(pv_seen_has(&seen, line));
    assert_true(seen.len < PV_SEEN_BYTES);
    pv_seen_save(&seen);
    const size_t len = seen.len;
    pv_seen_load(&seen);
    assert_int_equal(seen.len, len);
}

PV_TEST(a_file_that_is_none_of_ours_counts_as_empty)
{
    pv_seen_add(&seen, "x");
    pv_seen_save(&seen);
    FILE *f = fopen(seen.path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite("a\0b", 1, 3, f), 3);
    assert_int_equal(fclose(f), 0);
    pv_seen_load(&seen);
    assert_int_equal(seen.len, 1);
}

PV_TEST(without_a_disk_it_is_told_again)
{
    assert_int_equal(setenv("XDG_STATE_HOME", "/proc/none", 1), 0);
    pv_seen_load(&seen);
    pv_seen_add(&seen, "x");
    pv_seen_save(&seen);
    pv_seen_load(&seen);
    assert_false(pv_seen_has(&seen, "x"));
    assert_int_equal(setenv("XDG_STATE_HOME", dir, 1), 0);
}
