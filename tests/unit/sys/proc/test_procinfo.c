/* SPDX-License-Identifier: MIT */
/* A process sees its parent's end, also one that was over before it looked. */
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/proc/procinfo.h"
#include "tests/unit/test_util.h"

/* The exit code of a child that watches for the end of what it takes for its parent. */
static int watch(pid_t parent)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        int fd = -1, r = pv_procinfo_watch_parent(parent, &fd);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        _exit(r == PV_ERR_CLOSED && fd < 0 ? 1 : r == PV_OK && poll(&p, 1, 0) == 0 ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

PV_TEST(a_parent_that_lives_is_watched)
{
    assert_int_equal(watch(getpid()), 0);
}

PV_TEST(one_that_has_ended_is_told)
{
    pid_t ended = fork();
    if (ended == 0)
        _exit(0);
    assert_int_equal(waitpid(ended, NULL, 0), ended);
    assert_int_equal(watch(ended), 1);
    assert_int_equal(watch(1), 1); /* another process' number by now */
}
