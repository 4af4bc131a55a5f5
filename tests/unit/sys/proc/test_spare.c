/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sys/proc/spare.h"
#include "tests/unit/test_util.h"

enum {
    FILES = 64, /* descriptors that this process may have */
};

/* Uses up what is left; returns how many it took. */
static size_t use_up(int *fds)
{
    size_t n = 0;
    while (n < FILES && (fds[n] = dup(STDOUT_FILENO)) >= 0)
        n++;
    return n;
}

static void give_back(const int *fds, size_t n)
{
    while (n > 0)
        close(fds[--n]);
}

PV_TEST(a_kept_descriptor_is_there_when_nothing_else_is)
{
    struct pv_spare s;
    int fds[FILES], more[FILES];
    pv_spare_open(&s, STDOUT_FILENO);
    assert_int_equal(s.n, PV_SPARE_FDS);
    size_t n = use_up(fds);
    assert_true(n > 0 && n < FILES);
    assert_true(pv_spare_lend(&s));
    size_t n_more = use_up(more);
    assert_int_equal(n_more, PV_SPARE_FDS);
    /* It is lent, and there is nothing to keep again. */
    assert_false(pv_spare_lend(&s));
    pv_spare_refill(&s);
    assert_int_equal(s.n, 0);
    /* A descriptor that comes back is kept first. */
    give_back(more, n_more);
    pv_spare_refill(&s);
    assert_int_equal(s.n, PV_SPARE_FDS);
    assert_true(dup(STDOUT_FILENO) < 0);
    give_back(fds, n);
    pv_spare_done(&s);
    pv_spare_done(&s);
    assert_int_equal(use_up(more), n + PV_SPARE_FDS);
    give_back(more, n + PV_SPARE_FDS);
}

void test_begin(void)
{
    const struct rlimit files = {FILES, FILES};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        exit(1);
}
