/* SPDX-License-Identifier: MIT */
/* coord_run.h - starts the program p2pvpn-coordinator in a directory of its own and ends it. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/addr.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

enum {
    WAIT_MS = 20000, /* for things that take milliseconds on an idle machine */
};

static char dir[64];       /* of this test */
static unsigned files_max; /* descriptors of programs started from now on; 0: as many as here */

/* A running program: its standard output, with standard error behind it. */
struct program {
    pid_t pid;
    int out;
    char text[16384];
    size_t len;
};

static inline int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/pvcoordrun.XXXXXX");
    /* The coordinator becomes another user, who shall reach its state by its path. */
    return mkdtemp(dir) == NULL || chmod(dir, 0711) < 0 ? -1 : 0;
}

static inline int teardown(void **state)
{
    (void)test_dir_remove(dir);
    return 0;
}

/* Starts it with --state dir/s and these arguments (at most 8, NULL behind the last). */
static inline struct program start_as(unsigned uid, const char *const *args)
{
    struct program p = {0};
    int fds[2];
    char state[96];
    assert_int_equal(pipe(fds), 0);
    p.pid = fork();
    assert_true(p.pid >= 0);
    if (p.pid == 0) {
        const char *argv[12] = {"p2pvpn-coordinator", "--state", state};
        snprintf(state, sizeof(state), "%s/s", dir);
        for (size_t i = 0; i < 8 && args[i] != NULL; i++)
            argv[3 + i] = args[i];
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        close(fds[0]);
        /* Opened before: the tree may lie below a directory that only root may enter. */
        int exe = open(PV_BIN_DIR "/p2pvpn-coordinator", O_RDONLY | O_CLOEXEC);
        const struct rlimit files = {files_max, files_max};
        if (files_max != 0 && setrlimit(RLIMIT_NOFILE, &files) < 0)
            _exit(97);
        if (uid != 0 && setuid(uid) < 0)
            _exit(99);
        fexecve(exe, (char *const *)(uintptr_t)argv, environ);
        _exit(98);
    }
    close(fds[1]);
    p.out = fds[0];
    return p;
}

#define START(...) start_as(0, (const char *const[9]){__VA_ARGS__})

/* Reads until the text contains part; with NULL until the program closes its output. */
static inline void read_until(struct program *p, const char *part)
{
    while (part == NULL || strstr(p->text, part) == NULL) {
        struct pollfd pfd = {.fd = p->out, .events = POLLIN};
        if (poll(&pfd, 1, WAIT_MS) != 1)
            fail_msg("waited for \"%s\", got \"%s\"", part == NULL ? "the end" : part, p->text);
        assert_true(p->len < sizeof(p->text) - 1);
        ssize_t n = read(p->out, p->text + p->len, sizeof(p->text) - 1 - p->len);
        assert_true(n >= 0);
        if (n == 0 && part != NULL)
            fail_msg("it ended; waited for \"%s\", got \"%s\"", part, p->text);
        if (n == 0)
            return;
        p->len += (size_t)n;
    }
}

/* Its exit code; what it said is in text. */
static inline int finish(struct program *p)
{
    int status = 0;
    read_until(p, NULL);
    close(p->out);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static inline int stop(struct program *p)
{
    kill(p->pid, SIGTERM);
    return finish(p);
}

/* Runs it with no settings but a port of the kernel's choice, until it listens. */
static inline struct program start_listening(void)
{
    struct program p = START("--listen", "127.0.0.1:0");
    read_until(&p, "listening on");
    return p;
}

/* The first address behind "listening on". */
static inline struct pv_addr listening(struct program *p)
{
    static const char mark[] = "listening on ";
    read_until(p, mark);
    while (strchr(strstr(p->text, mark), '\n') == NULL)
        read_until(p, "\n");
    const char *at = strstr(p->text, mark) + strlen(mark);
    struct pv_addr addr = test_addr(PV_STR("%.*s", (int)strcspn(at, " \n"), at));
    return addr;
}

static inline void wait_for(int fd, short events)
{
    struct pollfd pfd = {.fd = fd, .events = events};
    assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
}
