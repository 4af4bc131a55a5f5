/* SPDX-License-Identifier: MIT */
/* Starts p2pvpnd for create and join when it does not run, and reports its own words when it fails.
 */
#include "ctl/lib/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/lib/cli.h"
#include "proto/chat/chat.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"

#define PROGRAM   "p2pvpnd"
#define STATE_DIR "/var/lib/p2pvpn"
#define LOG_FILE  STATE_DIR "/p2pvpnd.log"

enum {
    POLL_MS = 20,
    LAST_WORDS = 160, /* bytes of its last line that are repeated to the user */
};

/* Is there a p2pvpnd in this directory? Its path stays in l. */
static bool try_program(struct pv_launch *l, const char *dir, size_t dir_len)
{
    int n = snprintf(l->program, sizeof(l->program), "%.*s/%s", (int)dir_len, dir, PROGRAM);
    return n > 0 && (size_t)n < sizeof(l->program) && access(l->program, X_OK) == 0;
}

/* Beside this program first: two versions that are installed side by side must not mix. */
static bool find_program(struct pv_launch *l)
{
    char self[PATH_MAX];
    /* argv[0] is the caller's word; /proc/self/exe is the kernel's. */
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = '\0';
        const char *slash = strrchr(self, '/');
        if (slash != NULL && try_program(l, self, (size_t)(slash - self)))
            return true;
    }
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");
        /* An empty element of PATH means the present directory, from which root starts nothing. */
        if (len > 0 && try_program(l, path, len))
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

/* The log, readable by root only: it names peers and addresses. */
static int open_log(void)
{
    if (mkdir(STATE_DIR, 0700) < 0 && errno != EEXIST)
        return -errno;
    /* O_NOFOLLOW: root must not append to a file that a link names. */
    int fd = open(LOG_FILE, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

/* In the child: becomes p2pvpnd, with nothing of this terminal. */
static void become_daemon(const struct pv_launch *l, const char *socket, int log)
{
    char program[] = PROGRAM, flag[] = "--socket";
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s", socket);
    char *argv[] = {program, flag, path, NULL};
    /* The default stays unsaid, so that "ps" shows the plain command. */
    if (strcmp(socket, PV_CLI_SOCKET) == 0)
        argv[1] = NULL;

    int null = open("/dev/null", O_RDWR);
    /* setsid() parts the daemon from the terminal, whose end would send it SIGHUP. */
    if (setsid() < 0 || chdir("/") < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 ||
        dup2(log, 2) < 0)
        _exit(127);
    /* The daemon must not keep a pipe of the shell open, or the shell would wait for it. */
    closefrom(3);
    execv(l->program, argv);
    dprintf(2, "cannot run %s: %s\n", l->program, strerror(errno));
    _exit(127);
}

/* The last line of the log, for the user. */
static void last_words(const struct pv_launch *l, char *dst, size_t cap)
{
    char tail[1024] = "";
    FILE *f = fopen(l->log, "re");
    dst[0] = '\0';
    if (f == NULL)
        return;
    /* A log shorter than the buffer cannot be entered from its end. */
    if (fseek(f, -(long)sizeof(tail) + 1, SEEK_END) < 0)
        rewind(f);
    size_t n = fread(tail, 1, sizeof(tail) - 1, f);
    fclose(f);
    while (n > 0 && tail[n - 1] == '\n')
        n--;
    tail[n] = '\0';
    const char *nl = strrchr(tail, '\n');
    const char *line = nl == NULL ? tail : nl + 1;
    pv_chat_show(pv_view(line, strlen(line)), dst, cap);
}

/* Waits until the socket answers or the child ends. */
static int wait_for_socket(struct pv_launch *l, const char *socket, pv_ns deadline)
{
    char words[LAST_WORDS];
    for (;;) {
        int fd = -1;
        /* The socket may answer by another daemon that somebody else has just started; that
         * serves as well. */
        if (pv_unix_connect(socket, &fd) == PV_OK) {
            close(fd);
            return PV_OK;
        }
        if (waitpid(l->pid, NULL, WNOHANG) == l->pid) {
            last_words(l, words, sizeof(words));
            snprintf(l->why, sizeof(l->why), "p2pvpnd ended at once: %s", words);
            return PV_ERR_CLOSED;
        }
        if (pv_clock_now() >= deadline) {
            snprintf(l->why, sizeof(l->why), "p2pvpnd was started but does not answer: see %s",
                     l->log);
            return PV_ERR_TIMEOUT;
        }
        poll(NULL, 0, POLL_MS);
    }
}

int pv_launch_daemon(struct pv_launch *l, const char *socket, pv_ns deadline)
{
    memset(l, 0, sizeof(*l));
    l->log = LOG_FILE;
    if (!find_program(l)) {
        snprintf(l->why, sizeof(l->why),
                 "p2pvpnd is neither beside p2pvpnctl nor in PATH: install it or start it by hand");
        return PV_ERR_NOT_FOUND;
    }
    int log = open_log();
    if (log < 0) {
        snprintf(l->why, sizeof(l->why), "cannot write %s: %s", l->log, strerror(-log));
        return log;
    }
    pid_t pid = fork();
    if (pid == 0)
        become_daemon(l, socket, log);
    int err = errno;
    close(log);
    if (pid < 0) {
        snprintf(l->why, sizeof(l->why), "cannot start p2pvpnd: %s", strerror(err));
        return -err;
    }
    l->pid = pid;
    return wait_for_socket(l, socket, deadline);
}
