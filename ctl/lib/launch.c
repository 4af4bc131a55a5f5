/* SPDX-License-Identifier: MIT */
/* Starts p2pvpnd for create, join and up when it does not run, and reports its own words when it
 * fails.
 */
#include "ctl/lib/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/harmless.h"
#include "base/text.h"
#include "ctl/lib/systemd.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"

#define PROGRAM "p2pvpnd"

enum {
    POLL_MS = 20,
    LOG_BYTES = 65536, /* of a log's end that are looked at, with the NUL */
    CHECK_WITHOUT = 3, /* exit code of p2pvpnd --check: it starts, without a feature */
    LINE_BYTES = 1024, /* shown of a line of it, with the NUL */
};

/* Is p2pvpnd at this place below the directory? */
static bool try_program(char program[static PATH_MAX], const char *dir, size_t dir_len,
                        const char *below)
{
    int n = snprintf(program, PATH_MAX, "%.*s%s/" PROGRAM, (int)dir_len, dir, below);
    return n > 0 && n < PATH_MAX && access(program, X_OK) == 0;
}

/* The directory of this program: argv[0] is the caller's word, /proc/self/exe the kernel's. Its
 * length; 0: not known. */
static size_t find_self(char self[static PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", self, PATH_MAX - 1);
    self[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(self, '/');
    return slash == NULL ? 0 : (size_t)(slash - self);
}

/* Where this program lies first: two versions that are installed side by side must not mix. */
static bool find_program(struct pv_launch *l)
{
    char self[PATH_MAX];
    size_t self_len = find_self(self);
#ifdef PV_STATIC
    if (self_len > 0)
        return (size_t)snprintf(l->program, sizeof(l->program), "%s", self) < sizeof(l->program);
#endif
    size_t parent_len = self_len;
    while (parent_len > 0 && self[--parent_len] != '/')
        continue;
    /* A build has both in one directory, an installation in bin and sbin. */
    if (self_len > 0 && (try_program(l->program, self, self_len, "") ||
                         try_program(l->program, self, parent_len, "/sbin")))
        return true;
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");
        /* An empty element of PATH means the present directory, from which root starts nothing. */
        if (len > 0 && try_program(l->program, path, len, ""))
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

/* Is the directory among those that the shell looks in? */
static bool is_in_path(const char *dir, size_t dir_len)
{
    const char *path = getenv("PATH");
    size_t len;
    for (; path != NULL && *path != '\0'; path += len + (path[len] == ':')) {
        len = strcspn(path, ":");
        if (len == dir_len && memcmp(path, dir, len) == 0)
            return true;
    }
    return false;
}

const char *pv_launch_called(char buf[static PATH_MAX])
{
    const char *slash = pv_launch_find(buf) ? strrchr(buf, '/') : NULL;
    if (slash == NULL || strcmp(slash + 1, PROGRAM) != 0 || is_in_path(buf, (size_t)(slash - buf)))
        return PROGRAM;
    return buf;
}

bool pv_launch_find(char ret_program[static PATH_MAX])
{
    struct pv_launch l;
    bool found = find_program(&l);
    if (found)
        snprintf(ret_program, PATH_MAX, "%s", l.program);
    return found;
}

/* The log, readable by root only: it names peers and addresses. Its directory is the service's:
 * what somebody else put there is neither followed, waited for nor written to. */
static int open_log(const struct pv_launch *l, const struct pv_instance *node)
{
    struct stat dir, st;
    if (mkdir(node->state, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = open(
        l->log, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        return -errno;
    int r = stat(node->state, &dir) < 0 || fstat(fd, &st) < 0 ? -errno : PV_OK;
    if (r == PV_OK && (!S_ISREG(st.st_mode) || st.st_nlink != 1 ||
                       (st.st_uid != geteuid() && st.st_uid != dir.st_uid)))
        r = -EINVAL;
    if (r < 0)
        close(fd);
    return r < 0 ? r : fd;
}

/* In the child: becomes p2pvpnd, with nothing of this terminal. */
static void become_daemon(const struct pv_launch *l, const struct pv_instance *node, int log)
{
    char program[] = PROGRAM;
    char socket[] = "--socket", state[] = "--state", config[] = "--config";
    struct pv_instance at = *node; /* execv() wants texts that may be written to */
    char *argv[] = {program, socket, at.socket, state, at.state, config, at.config, NULL};
    /* Defaults stay unsaid, so that "ps" shows the plain command. */
    if (node->name[0] == '\0')
        argv[node->is_usual ? 1 : 3] = NULL;

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

/* The last line that p2pvpnd wrote, for the user. A line that stood in the log before is no reason;
 * what it had to say may be missing, for the log's disk may be what is full. */
static void last_words(const struct pv_launch *l, int log, char *dst, size_t cap)
{
    char tail[1024] = "";
    struct statvfs fs;
    off_t end = lseek(log, 0, SEEK_END), from = end - (off_t)sizeof(tail) + 1;
    if (from < l->log_size)
        from = l->log_size;
    ssize_t got = end > from ? pread(log, tail, sizeof(tail) - 1, from) : 0;
    size_t n = got > 0 ? (size_t)got : 0;
    if (n == 0) {
        bool full = fstatvfs(log, &fs) == 0 && fs.f_bavail == 0;
        const char *slash = strrchr(l->log, '/');
        if (full && slash != NULL)
            snprintf(dst, cap, "the disk of %.*s is full: free some space", (int)(slash - l->log),
                     l->log);
        else
            snprintf(dst, cap, "it said nothing in %s: run p2pvpnd by hand", l->log);
        return;
    }
    const char *line;
    do { /* p2pvpn-chatd ends later, and says so in the same file */
        while (n > 0 && tail[n - 1] == '\n')
            n--;
        tail[n] = '\0';
        const char *nl = strrchr(tail, '\n');
        line = nl == NULL ? tail : nl + 1;
        n = (size_t)(line - tail);
    } while (n > 0 && strstr(line, " p2pvpn-chatd: ") != NULL);
    pv_harmless_show(pv_view(line, strlen(line)), dst, cap);
}

/* Does p2pvpnd answer there? A socket that takes the connection is not enough: it is open before
 * the keys and the database are. */
static bool is_answering(int fd, pv_ns deadline)
{
    static const char ask[] = "{\"id\":0,\"cmd\":\"version\"}\n";
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;
    return send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0 &&
           poll(&p, 1, pv_poll_ms(deadline, pv_clock_now())) > 0 && read(fd, &byte, 1) > 0;
}

/* Waits until the socket answers or the child ends. */
static int wait_for_socket(struct pv_launch *l, int log, const char *socket, pv_ns deadline)
{
    char words[PV_LAUNCH_WHY];
    for (;;) {
        int fd = -1;
        /* The socket may answer by another daemon that somebody else has just started; that
         * serves as well. */
        if (pv_unix_connect(socket, &fd) == PV_OK) {
            bool answers = is_answering(fd, deadline);
            close(fd);
            if (answers)
                return PV_OK;
        }
        if (waitpid(l->pid, NULL, WNOHANG) == l->pid) {
            last_words(l, log, words, sizeof(words));
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

/* --- the reason ---------------------------------------------------------------------------- */

/* Runs a program and keeps what it says first, as far as that fits. Its exit status; -1: it could
 * not be run. */
static int hear(const char *path, char *const argv[], char *said, size_t cap)
{
    size_t n = 0;
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, 0) < 0 || dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0)
            _exit(127);
        closefrom(3);
        execvp(path, argv);
        _exit(127);
    }
    close(ends[1]);
    /* A program that says more than fits is cut off: its next write fails, as it has our ignored
     * SIGPIPE (execve(2)). Its status may say so. */
    for (ssize_t got = 1; pid > 0 && got > 0 && n<cap - 1; n += got> 0 ? (size_t)got : 0)
        got = read(ends[0], said + n, cap - 1 - n);
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    while (n > 0 && said[n - 1] == '\n')
        n--;
    said[n] = '\0';
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) != 127 ? WEXITSTATUS(status) : -1;
}

/* The same of a program of few lines, of which the last one counts. */
static int last_line_of(const char *path, char *const argv[], char *dst, size_t cap)
{
    char said[4096] = "";
    int status = hear(path, argv, said, sizeof(said));
    const char *nl = strrchr(said, '\n'), *line = nl == NULL ? said : nl + 1;
    pv_harmless_show(pv_view(line, strlen(line)), dst, cap);
    return status;
}

static void read_log(const char *path, char *text);

/* The last line of the log, where p2pvpnd ended with it: lines of one that runs have a time. */
static void last_complaint(const struct pv_instance *node, char *dst, size_t cap)
{
    static const char by[] = PROGRAM ": ", ready[] = "ready: ";
    char path[PV_LAUNCH_FROM], *text = malloc(LOG_BYTES);
    if (text == NULL)
        return;
    snprintf(path, sizeof(path), "%s/p2pvpnd.log", node->state);
    read_log(path, text);
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    const char *nl = strrchr(text, '\n'), *line = nl == NULL ? text : nl + 1;
    const char *said = line + strlen(by);
    if (strncmp(line, by, strlen(by)) == 0 && strncmp(said, ready, strlen(ready)) != 0)
        pv_harmless_show(pv_view(said, strlen(said)), dst, cap);
    free(text);
}

static bool refuses(const struct pv_instance *node, char *dst, size_t cap)
{
    struct pv_launch l;
    char program[] = PROGRAM, check[] = "--check", config[] = "--config", user[] = "--user",
         net[] = "--net", which[PATH_MAX];
    char *of_machine[] = {program, check, config, which, NULL};
    char *of_user[] = {program, check, user, node->name[0] == '\0' ? NULL : net, which, NULL};
    snprintf(which, sizeof(which), "%s", node->is_user ? node->name : node->config);
    if ((!node->is_user && access(which, F_OK) != 0) || !find_program(&l))
        return false;
    const int status = last_line_of(l.program, node->is_user ? of_user : of_machine, dst, cap);
    if (status == CHECK_WITHOUT)
        dst[0] = '\0';
    return status > 0 && status != CHECK_WITHOUT;
}

bool pv_launch_refuses_next(const struct pv_instance *node, char *dst, size_t cap)
{
    /* Only their owner can read all files that they name. */
    const bool own = node->is_user || (node->is_usual && geteuid() == 0);
    return own && refuses(node, dst, cap);
}

void pv_launch_why(const struct pv_instance *node, char *dst, size_t cap)
{
    char program[] = PROGRAM, journal[] = "journalctl", quiet[] = "-q", unit_is[] = "-u",
         unit[PATH_MAX], by[] = "-t", newest[] = "-n1", form[] = "-ocat";
    char *ask[] = {journal, quiet, unit_is, unit, by, program, newest, form, NULL};
    snprintf(unit, sizeof(unit), "%s", node->unit);
    if (refuses(node, dst, cap))
        return;
    dst[0] = '\0';
    if (!pv_systemd_has(node->unit))
        last_complaint(node, dst, cap);
    else if (last_line_of(journal, ask, dst, cap) != 0)
        dst[0] = '\0';
}

/* --- the log's end ------------------------------------------------------------------------- */

/* The newest lines first: what does not fit is of the oldest. */
static void read_journal(const struct pv_instance *node, char *text)
{
    char journal[] = "journalctl", quiet[] = "-q", unit_is[] = "-u", unit[PATH_MAX], by[] = "-t",
         program[] = PROGRAM, newest[] = "-rn100", form[] = "-oshort-iso";
    char *ask[] = {journal, quiet, unit_is, unit, by, program, newest, form, NULL};
    snprintf(unit, sizeof(unit), "%s", node->unit);
    if (hear(journal, ask, text, LOG_BYTES) != 0)
        text[0] = '\0';
}

/* The end of the file, which its owner may have put in the place of another: no link, and no more
 * than a file. */
static void read_log(const char *path, char *text)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    text[0] = '\0';
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1) {
        off_t from = st.st_size < LOG_BYTES ? 0 : st.st_size - (LOG_BYTES - 1);
        ssize_t n = pread(fd, text, LOG_BYTES - 1, from);
        text[n < 0 ? 0 : n] = '\0';
    }
    close(fd);
}

/* Takes the lines of the text into the list, the last one first; the journal's come turned round.
 * A text that was cut may begin with half a line. */
static int add_lines(json_t *list, char *text, bool turned)
{
    char shown[LINE_BYTES];
    int r = 0;
    while (r == 0 && text[0] != '\0' && json_array_size(list) < PV_LAUNCH_LINES) {
        char *nl = turned ? strchr(text, '\n') : strrchr(text, '\n');
        char *line = turned || nl == NULL ? text : nl + 1, *rest = nl == NULL ? NULL : nl + 1;
        if (nl != NULL)
            *nl = '\0';
        pv_harmless_show(pv_view(line, strlen(line)), shown, sizeof(shown));
        if (shown[0] != '\0')
            r = json_array_insert_new(list, 0, json_string(shown));
        if (turned)
            text = rest == NULL ? line + strlen(line) : rest;
        else if (nl == NULL)
            text[0] = '\0';
    }
    return r;
}

json_t *pv_launch_log(const struct pv_instance *node, char ret_from[static PV_LAUNCH_FROM])
{
    const bool has_unit = pv_systemd_has(node->unit);
    char *text = malloc(LOG_BYTES);
    json_t *list = json_array();
    int r = text == NULL || list == NULL ? -1 : 0;
    if (r == 0) {
        if (has_unit) {
            snprintf(ret_from, PV_LAUNCH_FROM, "journalctl -u %s", node->unit);
            read_journal(node, text);
        } else {
            snprintf(ret_from, PV_LAUNCH_FROM, "%s/p2pvpnd.log", node->state);
            read_log(ret_from, text);
        }
        r = add_lines(list, text, has_unit);
    }
    free(text);
    if (r == 0)
        return list;
    json_decref(list);
    return NULL;
}

const char *pv_launch_log_hint(const struct pv_instance *node, char dst[static PV_LAUNCH_HINT])
{
    const char *own = PV_STR("p2pvpnd%s%s", node->name[0] == '\0' ? "" : "@", node->name);
    struct stat st;
    char path[PV_LAUNCH_FROM];
    snprintf(path, sizeof(path), "%s/p2pvpnd.log", node->state);
    const bool has_unit = node->is_user    ? pv_systemd_has_own(own)
                          : node->is_usual ? pv_systemd_has(node->unit)
                                           : false;
    if (has_unit)
        snprintf(dst, PV_LAUNCH_HINT, "`%s -u %s -n 20` says why",
                 node->is_user ? "journalctl --user" : "sudo journalctl",
                 node->is_user ? own : node->unit);
    else if (node->is_usual && (stat(path, &st) == 0 || errno == EACCES))
        snprintf(dst, PV_LAUNCH_HINT, "`sudo tail %s` says why", path); /* root's alone */
    else
        snprintf(dst, PV_LAUNCH_HINT, "what it printed where it was started says why");
    return dst;
}

/* --- starting it --------------------------------------------------------------------------- */

/* As a service: systemd keeps its log and starts it anew when it fails. */
static int start_unit(struct pv_launch *l, const struct pv_instance *node)
{
    char words[PV_LAUNCH_WHY];
    snprintf(l->program, sizeof(l->program), "the service %s", node->unit);
    if (pv_systemd_run("start", node->unit) == PV_OK)
        return PV_OK;
    pv_launch_why(node, words, sizeof(words));
    if (words[0] != '\0')
        snprintf(l->why, sizeof(l->why), "`systemctl start %s` failed: %s", node->unit, words);
    else
        snprintf(l->why, sizeof(l->why), "`systemctl start %s` failed: `journalctl -u %s` says why",
                 node->unit, node->unit);
    return PV_ERR_CLOSED;
}

int pv_launch_daemon(struct pv_launch *l, const struct pv_instance *node, pv_ns deadline)
{
    memset(l, 0, sizeof(*l));
    int r = node->name[0] == '\0' ? PV_OK : pv_instance_make_config(node);
    if (r < 0) {
        snprintf(l->why, sizeof(l->why), "cannot write %s: %s", node->config, strerror(-r));
        return r;
    }
    if (node->is_usual && pv_systemd_has(node->unit))
        return start_unit(l, node);
    snprintf(l->log, sizeof(l->log), "%s/p2pvpnd.log", node->state);
    if (!find_program(l)) {
        snprintf(l->why, sizeof(l->why),
                 "p2pvpnd is neither beside p2pvpnctl nor in PATH: install it or start it by hand");
        return PV_ERR_NOT_FOUND;
    }
    int log = open_log(l, node);
    if (log < 0) {
        snprintf(l->why, sizeof(l->why), "cannot write %s: %s", l->log,
                 log == -EINVAL ? "not a file of its directory's owner: remove it"
                                : strerror(-log));
        return log;
    }
    off_t size = lseek(log, 0, SEEK_END);
    l->log_size = size < 0 ? 0 : (long)size;
    pid_t pid = fork();
    if (pid == 0)
        become_daemon(l, node, log);
    if (pid < 0) {
        int err = errno;
        close(log);
        snprintf(l->why, sizeof(l->why), "cannot start p2pvpnd: %s", strerror(err));
        return -err;
    }
    l->pid = pid;
    r = wait_for_socket(l, log, node->socket, deadline);
    close(log);
    return r;
}
