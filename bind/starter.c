/* SPDX-License-Identifier: MIT */
/* starter.c - starts a program, again and again. */
#include "bind/starter.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/net/unixsock.h"
#include "sys/proc/child.h"
#include "sys/proc/clock.h"

#define FIRST PV_MS(500) /* ours: until the second start */
#define LAST  PV_S(60)   /* ours: between starts of one that ends again and again */
#define GOOD  PV_S(60)   /* ours: who ran so long is started at once */
#define MERCY PV_S(3)    /* ours: for the end, then SIGKILL */

enum {
    ARGS_MAX = 16, /* arguments of the program */
    SOCKETS_MAX = 2,
    WORDS_MAX = 8 * 4096, /* bytes of all of them, each with its NUL */
};

struct what {
    char words[WORDS_MAX]; /* the program's path, its arguments, "", sockets: each with its NUL */
    char *argv[ARGS_MAX + 1];
    char *sockets[SOCKETS_MAX];
};

static pid_t run(const struct what *w, int *ret_pidfd)
{
    static const int usual[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT};
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        for (size_t i = 0; i < PV_ARRAY_LEN(usual); i++)
            signal(usual[i], SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid(); /* a terminal's Ctrl-C is for p2pvpnd, which ends chat in order */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)close_range(STDERR_FILENO + 1, ~0u, 0);
        execv(w->words, w->argv);
        _exit(127);
    }
    *ret_pidfd = pid < 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    return pid;
}

/* Waits for the end of pid, which was told to end. */
static void await(pid_t pid, int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    if (pidfd < 0 || poll(&p, 1, (int)(MERCY / PV_MS(1))) != 1)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* Waits for the order to start. */
static bool take_words(int fd, struct what *w)
{
    ssize_t n = recv(fd, w->words, sizeof(w->words), 0);
    size_t argc = 0, sockets = 0;
    bool behind = false;
    if (n <= 0 || w->words[n - 1] != '\0')
        return false;
    for (char *p = w->words + strlen(w->words) + 1; p < w->words + n; p += strlen(p) + 1) {
        if (p[0] == '\0' && !behind)
            behind = true;
        else if (!behind && argc < ARGS_MAX)
            w->argv[argc++] = p;
        else if (behind && sockets < SOCKETS_MAX)
            w->sockets[sockets++] = p;
    }
    return argc > 0;
}

/* Another p2pvpnd may have them by now. */
static void remove_sockets(const struct what *w)
{
    for (size_t i = 0; i < SOCKETS_MAX && w->sockets[i] != NULL; i++) {
        bool served = true;
        if (pv_unix_is_served(w->sockets[i], &served) == PV_OK && !served)
            (void)unlink(w->sockets[i]);
    }
}

static void be(int fd, pid_t parent, const void *ctx)
{
    static struct what what; /* of the process */
    const struct what *w = &what;
    if (!take_words(fd, &what))
        return;
    pv_ns pause = FIRST, begun = 0, start_at = 0;
    pid_t pid = -1;
    int pidfd = -1;
    for (;;) {
        pv_ns now = pv_clock_now();
        if (pid < 0 && now >= start_at) {
            pid = run(w, &pidfd);
            begun = now;
            start_at = now + pause; /* if there was no process to be had */
        }
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
        int n = poll(p, 2, pid < 0 ? pv_poll_ms(start_at, now) : -1);
        char order = 0;
        if (n > 0 && p[0].revents != 0) {
            const ssize_t got = recv(fd, &order, 1, 0);
            if (pid > 0)
                (void)kill(pid, SIGTERM);
            if (pid > 0)
                await(pid, pidfd);
            if (pidfd >= 0)
                close(pidfd);
            pid = pidfd = -1;
            start_at = 0;
            pause = FIRST;
            if (got <= 0) {
                close(fd);
                remove_sockets(w);
                return;
            }
            continue;
        }
        if (n > 0 && p[1].revents != 0) {
            int status = 0;
            (void)waitpid(pid, &status, 0);
            close(pidfd);
            now = pv_clock_now();
            pause = now - begun >= GOOD ? FIRST : pause;
            start_at = now + pause;
            fprintf(stderr, "p2pvpnd: p2pvpn-chatd has ended: %s %d: it starts again\n",
                    WIFSIGNALED(status) ? "signal" : "exit code",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            pause = pv_min_ns(2 * pause, LAST);
            pid = pidfd = -1;
        }
    }
}

int pv_starter_fork(struct pv_starter *s)
{
    return pv_child_fork("pv-chat-start", be, NULL, NULL, &s->fd, &s->pid);
}

/* Appends the word with its NUL. */
static int add_word(char words[static WORDS_MAX], size_t *len, const char *word)
{
    const size_t n = strlen(word) + 1;
    if (n > WORDS_MAX - *len)
        return PV_ERR_LIMIT;
    memcpy(words + *len, word, n);
    *len += n;
    return PV_OK;
}

int pv_starter_start(const struct pv_starter *s, const char *program, const char *const *argv,
                     const char *const *sockets)
{
    char words[WORDS_MAX];
    size_t len = 0;
    int r = add_word(words, &len, program);
    for (size_t i = 0; argv[i] != NULL && r == PV_OK; i++)
        r = i < ARGS_MAX ? add_word(words, &len, argv[i]) : PV_ERR_LIMIT;
    if (r == PV_OK)
        r = add_word(words, &len, "");
    for (size_t i = 0; sockets[i] != NULL && r == PV_OK; i++)
        r = add_word(words, &len, sockets[i]);
    if (r != PV_OK)
        return r;
    return send(s->fd, words, len, MSG_NOSIGNAL) == (ssize_t)len ? PV_OK : -errno;
}

void pv_starter_again(const struct pv_starter *s)
{
    if (s->fd >= 0)
        (void)!send(s->fd, "r", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void pv_starter_stop(struct pv_starter *s)
{
    if (s->fd < 0)
        return;
    close(s->fd);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    *s = PV_STARTER_NONE;
}

bool pv_starter_find(char *ret_path)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
#ifdef PV_STATIC /* it is this program, by another name (docs/adr/0072) */
    snprintf(ret_path, PATH_MAX, "%s", self);
    return true;
#else
    static const char *const places[] = {"", "../lib/p2pvpn/", "../bin/", "../sbin/"};
    char *slash = strrchr(self, '/');
    if (slash == NULL)
        return false;
    slash[1] = '\0';
    for (size_t i = 0; i < PV_ARRAY_LEN(places); i++) {
        const int len = snprintf(ret_path, PATH_MAX, "%s%sp2pvpn-chatd", self, places[i]);
        if (len < PATH_MAX && access(ret_path, X_OK) == 0)
            return true;
    }
    return false;
#endif
}
