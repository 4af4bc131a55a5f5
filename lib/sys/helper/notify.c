/* SPDX-License-Identifier: MIT */
/*
 * notify.c - runs the configured program for each message, with the rights of the program's owner.
 * The text comes from a peer and the program may be a script, so nothing of the message is ever on
 * a command line: it goes in by standard input and environment. The command was fixed before any
 * packet was read.
 */
#include "sys/helper/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/remedy.h"
#include "sys/proc/clock.h"
#include "sys/proc/procinfo.h"
#include "sys/proc/sandbox.h"

struct notify_reply {
    int32_t status;
    char error[PV_NOTIFY_ERROR_MAX];
};

static void set_failure(struct notify_reply *r, int status, const char *fmt, ...) PV_PRINTF(3, 4);
static void set_failure(struct notify_reply *r, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->error, sizeof(r->error), fmt, ap);
    va_end(ap);
    r->status = status;
}

/* --- the command --------------------------------------------------------------------------- */

/* Cuts copy at its blanks. The number of words, 0 when there are too many. */
static size_t split_words(char *copy, char *words[static PV_NOTIFY_WORDS_MAX + 1])
{
    size_t n = 0;
    char *rest = copy, *word;
    while ((word = strsep(&rest, " \t")) != NULL) {
        if (*word == '\0')
            continue;
        if (n == PV_NOTIFY_WORDS_MAX)
            return 0;
        words[n++] = word;
    }
    words[n] = NULL;
    return n;
}

bool pv_notify_command_is_valid(const char *command)
{
    char copy[PV_NOTIFY_COMMAND_MAX], *words[PV_NOTIFY_WORDS_MAX + 1];
    if (command[0] != '/' || strlen(command) >= sizeof(copy))
        return false;
    memcpy(copy, command, strlen(command) + 1);
    return split_words(copy, words) > 0;
}

/* --- the program --------------------------------------------------------------------------- */

/* True when only root and the program's owner can change what is at this path. A directory or link
 * that belongs to anybody else would let that user choose a program, and with it whose rights it
 * gets. */
static bool is_firm(const char *path, uid_t owner, struct notify_reply *r)
{
    char part[PATH_MAX];
    for (size_t len = 1; len <= strlen(path); len++) {
        struct stat st;
        if (path[len] != '/' && path[len] != '\0' && len > 1)
            continue;
        if (len >= sizeof(part))
            return false;
        memcpy(part, path, len);
        part[len] = '\0';
        if (lstat(part, &st) != 0) {
            set_failure(r, PV_ERR_REFUSED, "notify: %.120s: %s", part, strerror(errno));
            return false;
        }
        bool shared = !S_ISLNK(st.st_mode) && (st.st_mode & 0022) != 0 &&
                      !(S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0);
        if (!shared && (st.st_uid == 0 || st.st_uid == owner))
            continue;
        set_failure(
            r, PV_ERR_REFUSED,
            "notify: %.120s: others than root and the program's owner may change it: chown it, "
            "chmod go-w it",
            part);
        return false;
    }
    return true;
}

/* A unit may start the daemon as a user who cannot become another one. */
static bool may_become(void)
{
    const uint64_t needed = (uint64_t)1 << CAP_SETUID | (uint64_t)1 << CAP_SETGID;
    struct pv_sandbox_report now;
    pv_sandbox_read(&now, false, 0);
    return (now.caps & needed) == needed;
}

/* Checked before each run, not once: permissions change. */
static bool may_run(const char *path, struct stat *st, struct notify_reply *r)
{
    char real[PATH_MAX];
    if (stat(path, st) != 0) {
        set_failure(r, PV_ERR_REFUSED, "notify: %.120s: %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(st->st_mode) || (st->st_mode & 0111) == 0) {
        set_failure(r, PV_ERR_REFUSED, "notify: %.120s: not a program: chmod +x it", path);
        return false;
    }
    if ((st->st_mode & 0022) != 0) {
        set_failure(r, PV_ERR_REFUSED, "notify: %.120s: others than its owner may write it: %s",
                    path, PV_DO_STR(keep_to_owner));
        return false;
    }
    /* Root's program needs nobody's rights in particular; another user's runs as that user. */
    if (getuid() != 0 && st->st_uid != 0 && st->st_uid != getuid() && !may_become()) {
        set_failure(r, PV_ERR_REFUSED,
                    "notify: %.120s: belongs to a user that this service may not become: %s", path,
                    PV_DO_STR(give_to_root));
        return false;
    }
    if (realpath(path, real) == NULL) {
        set_failure(r, PV_ERR_REFUSED, "notify: %.120s: %s", path, strerror(errno));
        return false;
    }
    return is_firm(path, st->st_uid, r) && is_firm(real, st->st_uid, r);
}

/* In the new process; does not return. Everything it needs was made before the fork. failed gets
 * the errno of an execve(2) that fails. */
static void become_program(const struct stat *st, char **argv, char **envp, int text, int failed)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    setsid();
    umask(022);
    if (null < 0 || dup2(text, 0) < 0 || dup2(null, 1) < 0 || chdir("/") != 0 ||
        close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
        _exit(126);
    bool stays = !may_become() && getuid() != 0; /* may_run() has looked whose program it is */
    if (!stays && (setgroups(0, NULL) != 0 || setresgid(st->st_gid, st->st_gid, st->st_gid) != 0 ||
                   setresuid(st->st_uid, st->st_uid, st->st_uid) != 0))
        _exit(126);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        _exit(126);
    execve(argv[0], argv, envp);
    const int32_t error = errno;
    _exit(write(failed, &error, sizeof(error)) == sizeof(error) ? 127 : 126);
}

/* The shell from which its user tried it runs a script without a first line, too. */
static void set_not_run(struct notify_reply *r, const char *path, int error)
{
    set_failure(r, PV_ERR_REFUSED, "notify: %.120s: %s", path,
                error == ENOEXEC  ? "the kernel cannot run it: begin a script with #!/bin/sh"
                : error == ENOENT ? "the program that runs it, by its first line, is not there: "
                                    "correct that line, or install it"
                                  : strerror(error));
}

/* Waits for the end; what is still there when the time is over is killed with all it started. */
static void wait_for_program(pid_t pid, const char *path, struct notify_reply *r)
{
    int status = 0;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    const pv_ns until = pv_clock_now() + PV_S(PV_NOTIFY_TIMEOUT_S);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = 0;
    do {
        n = fd < 0 ? 1 : poll(&p, 1, pv_poll_ms(until, pv_clock_now()));
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL); /* it may have left its group */
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        set_failure(r, PV_ERR_TIMEOUT, "notify: %.120s: not finished after %d s: killed", path,
                    PV_NOTIFY_TIMEOUT_S);
    else if (WIFSIGNALED(status))
        set_failure(r, PV_ERR_STATE, "notify: %.120s: ended by signal %d", path, WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        set_failure(r, PV_ERR_STATE, "notify: %.120s: ended with code %d", path,
                    WEXITSTATUS(status));
}

/* A memory file instead of a pipe: a program that does not read its input cannot block us. */
static int text_file(const struct pv_notify_message *msg)
{
    int fd = memfd_create("p2pvpn-message", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (write(fd, msg->text, msg->text_len) != (ssize_t)msg->text_len ||
        lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The program's path is resolved twice, as given and with links followed, and both must be firm. */
static void run_program(const char *command, const struct pv_notify_message *msg,
                        struct notify_reply *r)
{
    static const char *const names[] = {"FROM", "TO", "ROOM", "ID", "TIME"};
    const char *const values[] = {msg->from, msg->to, msg->room, msg->id, msg->time};
    char copy[PV_NOTIFY_COMMAND_MAX], *argv[PV_NOTIFY_WORDS_MAX + 1];
    char vars[PV_ARRAY_LEN(names)][PV_NOTIFY_WORD_MAX + 16];
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char *envp[PV_ARRAY_LEN(names) + 2] = {path};
    struct stat st;
    memcpy(copy, command, strlen(command) + 1);
    if (split_words(copy, argv) == 0 || !may_run(argv[0], &st, r))
        return;
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        snprintf(vars[i], sizeof(vars[i]), "P2PVPN_%s=%s", names[i], values[i]);
        envp[i + 1] = vars[i];
    }
    int32_t error = 0;
    int failed[2] = {-1, -1};
    int text = text_file(msg);
    pid_t pid = text < 0 || pipe2(failed, O_CLOEXEC | O_NONBLOCK) < 0 ? -1 : fork();
    if (pid == 0)
        become_program(&st, argv, envp, text, failed[1]);
    if (pid < 0)
        set_failure(r, -errno, "notify: %.120s: not started: %s", argv[0], strerror(errno));
    else
        wait_for_program(pid, argv[0], r);
    if (pid > 0 && read(failed[0], &error, sizeof(error)) == sizeof(error))
        set_not_run(r, argv[0], error);
    for (size_t i = 0; i < PV_ARRAY_LEN(failed); i++)
        if (failed[i] >= 0)
            close(failed[i]);
    if (text >= 0)
        close(text);
}

/* --- both ends ----------------------------------------------------------------------------- */

static bool is_terminated(const char *word)
{
    return memchr(word, '\0', PV_NOTIFY_WORD_MAX) != NULL;
}

/* False: the helper has ended. It does with the daemon, which may have given its end of the socket
 * to a process that stays. */
static bool await_message(int fd, int helper)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = helper, .events = POLLIN}};
    while (poll(p, PV_ARRAY_LEN(p), -1) < 0 && errno == EINTR) {
    }
    return p[1].revents == 0;
}

/* The message is checked as if from a stranger: this process alone still has rights. */
void pv_notify_serve(int fd, pid_t helper, const char *command)
{
    struct pv_notify_message *msg = malloc(sizeof(*msg));
    int alive = -1;
    int watched = pv_procinfo_watch_parent(helper, &alive);
    while (msg != NULL && watched == PV_OK && await_message(fd, alive)) {
        struct notify_reply r = {0};
        ssize_t n = recv(fd, msg, sizeof(*msg), MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (n != (ssize_t)sizeof(*msg) || msg->text_len > PV_NOTIFY_TEXT_MAX ||
            !is_terminated(msg->from) || !is_terminated(msg->to) || !is_terminated(msg->room) ||
            !is_terminated(msg->id) || !is_terminated(msg->time))
            set_failure(&r, PV_ERR_MALFORMED, "notify: not a message");
        else
            run_program(command, msg, &r);
        if (send(fd, &r, sizeof(r), MSG_NOSIGNAL) != (ssize_t)sizeof(r))
            break;
    }
    if (alive >= 0)
        close(alive);
    free(msg);
}

/* Blocks until the program has ended: callers use a thread of their own. */
int pv_notify_run(int fd, const struct pv_notify_message *msg,
                  char ret_error[static PV_NOTIFY_ERROR_MAX])
{
    struct notify_reply r = {0};
    ssize_t n = send(fd, msg, sizeof(*msg), MSG_NOSIGNAL);
    if (n == (ssize_t)sizeof(*msg)) {
        do {
            n = recv(fd, &r, sizeof(r), 0);
        } while (n < 0 && errno == EINTR);
    }
    if (n != (ssize_t)sizeof(r))
        set_failure(&r, PV_ERR_CLOSED, "notify: its process is gone: %s",
                    PV_DO_STR(restart_p2pvpnd));
    memcpy(ret_error, r.error, sizeof(r.error));
    return r.status;
}
