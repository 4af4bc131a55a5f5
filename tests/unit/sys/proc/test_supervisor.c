/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "sys/proc/supervisor.h"
#include "tests/unit/test_util.h"

struct fixture {
    char path[64];
    int fd; /* what systemd would listen on */
    struct pv_loop *loop;
    struct pv_supervisor s;
    int left; /* words of life until the loop ends */
};

static struct fixture *f; /* of the test that runs */

void test_before_each(void)
{
    f = calloc(1, sizeof(*f));
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    assert_non_null(f);
    f->s = PV_SUPERVISOR_NONE;
    snprintf(f->path, sizeof(f->path), "/tmp/pv-supervisor-%d", (int)getpid());
    memcpy(un.sun_path, f->path, strlen(f->path) + 1);
    f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_ok(pv_loop_new(&f->loop));
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void test_after_each(void)
{
    pv_supervisor_close(&f->s);
    pv_loop_free(f->loop);
    close(f->fd);
    unlink(f->path);
    free(f);
}

/* The next datagram that has come; "" when none has. */
static const char *heard(void)
{
    static char text[64];
    ssize_t n = recv(f->fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static pv_ns turn(void *ctx, pv_ns now)
{
    if (strcmp(heard(), "WATCHDOG=1") == 0 && --f->left == 0)
        pv_loop_stop(f->loop);
    return PV_NEVER;
}

PV_TEST(ready_alive_and_ending_are_told)
{
    const struct pv_loop_owner owner = {.turn = turn, .ctx = f};
    const char *pid = PV_STR("%d", (int)getpid());
    setenv("NOTIFY_SOCKET", f->path, 1);
    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    f->s = pv_supervisor_open();
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
    assert_string_equal(heard(), "");
    pv_supervisor_ready(&f->s, f->loop);
    assert_string_equal(heard(), "READY=1");
    f->left = 3;
    pv_loop_run(f->loop, &owner);
    pv_supervisor_leave_loop(&f->s);
    pv_supervisor_ready(&f->s, f->loop);
    f->left = 1;
    pv_loop_run(f->loop, &owner);
    pv_supervisor_close(&f->s);
    const char *last = heard();
    while (strcmp(last, "WATCHDOG=1") == 0)
        last = heard();
    assert_string_equal(last, "STOPPING=1");
    assert_string_equal(heard(), "");
}

PV_TEST(a_reload_is_told_with_its_time_and_its_end)
{
    struct timespec now;
    long long us = 0;
    setenv("NOTIFY_SOCKET", f->path, 1);
    f->s = pv_supervisor_open();
    pv_supervisor_reloading(&f->s);
    assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%lld", &us), 1);
    clock_gettime(CLOCK_MONOTONIC, &now);
    assert_in_range(us, 1, (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    pv_supervisor_reloaded(&f->s);
    assert_string_equal(heard(), "READY=1");
    pv_supervisor_reloading(NULL);
    pv_supervisor_reloaded(NULL);
}

PV_TEST(a_watchdog_for_another_process_is_not_ours)
{
    setenv("NOTIFY_SOCKET", f->path, 1);
    setenv("WATCHDOG_USEC", "20000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    f->s = pv_supervisor_open();
    assert_int_equal(f->s.timer, -1);
    assert_true(f->s.fd >= 0);
}

PV_TEST(without_a_supervisor_nothing_happens)
{
    static const char *const wrong[] = {"", "/", "relative", "/nonexistent/socket", "@"};
    f->s = pv_supervisor_open();
    assert_int_equal(f->s.fd, -1);
    pv_supervisor_ready(&f->s, f->loop);
    for (unsigned i = 0; i < PV_ARRAY_LEN(wrong); i++) {
        setenv("NOTIFY_SOCKET", wrong[i], 1);
        struct pv_supervisor s = pv_supervisor_open();
        assert_int_equal(s.fd, -1);
        pv_supervisor_close(&s);
    }
    assert_string_equal(heard(), "");
}
