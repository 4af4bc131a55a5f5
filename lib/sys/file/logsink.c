/* SPDX-License-Identifier: MIT */
/*
 * logsink.c - log lines to standard error, as systemd's journal or a person wants them.
 */
#include "sys/file/logsink.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

/* "2026-11-20 21:03:11.042Z": UTC, so that logs of two machines can be laid side by side. */
static void format_time(char text[static 32])
{
    struct timespec now;
    struct tm tm;
    char seconds[24];
    text[0] = '\0';
    if (clock_gettime(CLOCK_REALTIME, &now) == 0 && gmtime_r(&now.tv_sec, &tm) != NULL &&
        strftime(seconds, sizeof(seconds), "%Y-%m-%d %H:%M:%S", &tm) > 0)
        snprintf(text, 32, "%s.%03dZ", seconds, (int)(now.tv_nsec / 1000000));
}

/* The full file steps aside and a new one takes its place as standard error. When a step fails, the
 * old one goes on: a log that is too long is better than none. */
static void begin_new_file(struct pv_logsink *sink)
{
    char old[PATH_MAX + 2];
    snprintf(old, sizeof(old), "%s.1", sink->path);
    sink->room = PV_LOGSINK_FILE_MAX;
    if (rename(sink->path, old) < 0)
        return;
    int fd = open(sink->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    /* Standard error stays open across exec, as what p2pvpnd starts expects. */
    (void)!dup2(fd, STDERR_FILENO);
    close(fd);
}

/* Where the value of key ("peer=") begins, outside of quoted values, which may hold anybody's text;
 * ret_len: up to the next blank. NULL: there is none, or it is quoted. */
static const char *find_key(const char *line, const char *key, int *ret_len)
{
    bool quoted = false;
    for (const char *p = line; *p != '\0'; p++) {
        if (*p == '"')
            quoted = !quoted;
        if (quoted || (p > line && p[-1] != ' ') || strncmp(p, key, strlen(key)) != 0)
            continue;
        p += strlen(key);
        *ret_len = (int)strcspn(p, " ");
        return *p == '"' || *ret_len == 0 ? NULL : p;
    }
    return NULL;
}

/* One entry of the journal's own protocol. A line has no control characters (log.h), so no value
 * needs the form with a length. False: the journal did not take it. */
static bool send_entry(const struct pv_logsink *sink, int priority, const char *line)
{
    static const struct {
        const char *key, *field;
    } fields[] = {{"peer=", "PEER"}, {"network=", "NETWORK"}};
    char text[2 * PV_LOG_LINE_MAX + 128];
    struct pv_text entry = pv_text_in(text, sizeof(text));
    int len = 0;
    pv_text_add(&entry, "MESSAGE=%s\nPRIORITY=%d\nSYSLOG_IDENTIFIER=%s\n", line, priority,
                sink->program);
    for (size_t i = 0; i < PV_ARRAY_LEN(fields); i++) {
        const char *value = find_key(line, fields[i].key, &len);
        if (value != NULL)
            pv_text_add(&entry, "%s=%.*s\n", fields[i].field, len, value);
    }
    return !entry.cut && send(sink->journal_fd, text, entry.len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
                             (ssize_t)entry.len;
}

/* One write(2) for a line, so that lines of several threads do not mix; stdio would need a lock. */
static void write_log_line(void *ctx, enum pv_log_level level, const char *line)
{
    static const int syslog_level[] = {
        [PV_LOG_ERROR] = 3, [PV_LOG_WARN] = 4, [PV_LOG_INFO] = 6, [PV_LOG_DEBUG] = 7};
    struct pv_logsink *sink = ctx;
    char text[PV_LOG_LINE_MAX + 96], when[32];
    int n;
    if (sink->journal_fd >= 0 && send_entry(sink, syslog_level[level], line))
        return;
    if (sink->journal) {
        n = snprintf(text, sizeof(text), "<%d>%s\n", syslog_level[level], line);
    } else {
        format_time(when);
        n = snprintf(text, sizeof(text), "%s %s: %s: %s\n", when, sink->program,
                     pv_log_level_name(level), line);
    }
    if (n <= 0 || (size_t)n >= sizeof(text))
        return;
    if (sink->path[0] == '\0') {
        (void)!write(STDERR_FILENO, text, (size_t)n);
        return;
    }
    pthread_mutex_lock(&sink->lock);
    if ((uint64_t)n > sink->room)
        begin_new_file(sink);
    sink->room -= (uint64_t)n < sink->room ? (uint64_t)n : sink->room;
    (void)!write(STDERR_FILENO, text, (size_t)n);
    pthread_mutex_unlock(&sink->lock);
}

/* systemd sets JOURNAL_STREAM to device and inode of the journal's socket (systemd.exec(5)): a
 * program whose standard error was sent elsewhere since then still has the variable. */
static bool is_journal(const struct stat *st)
{
    unsigned long long dev = 0, ino = 0;
    const char *text = getenv("JOURNAL_STREAM");
    return text != NULL && sscanf(text, "%llu:%llu", &dev, &ino) == 2 && st->st_dev == dev &&
           st->st_ino == ino;
}

/* The path of the file that standard error appends to, when it is called PROGRAM.log. */
static void find_file(struct pv_logsink *sink, const struct stat *st)
{
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    if (!S_ISREG(st->st_mode) || flags < 0 || (flags & O_APPEND) == 0)
        return;
    ssize_t n = readlink("/proc/self/fd/2", sink->path, sizeof(sink->path) - 1);
    sink->path[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(sink->path, '/');
    if (slash == NULL || strcmp(slash + 1, PV_STR("%s.log", sink->program)) != 0)
        sink->path[0] = '\0';
    uint64_t size = (uint64_t)st->st_size;
    sink->room = size < PV_LOGSINK_FILE_MAX ? PV_LOGSINK_FILE_MAX - size : 0;
}

/* Connected at once: later this program may have no right to. The socket is systemd's and outlives
 * the journal's restarts. */
static int connect_journal(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (snprintf(to.sun_path, sizeof(to.sun_path), "%s", path) >= (int)sizeof(to.sun_path))
        return -1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

struct pv_log pv_logsink_open_at(struct pv_logsink *sink, const char *program,
                                 enum pv_log_level level, const char *journal_socket)
{
    struct stat st;
    *sink = (struct pv_logsink){.program = program, .journal_fd = -1};
    pthread_mutex_init(&sink->lock, NULL);
    if (fstat(STDERR_FILENO, &st) == 0) {
        sink->journal = is_journal(&st);
        find_file(sink, &st);
    }
    if (sink->journal)
        sink->journal_fd = connect_journal(journal_socket);
    return (struct pv_log){.level = level, .sink = write_log_line, .ctx = sink};
}

struct pv_log pv_logsink_open(struct pv_logsink *sink, const char *program, enum pv_log_level level)
{
    return pv_logsink_open_at(sink, program, level, PV_LOGSINK_JOURNAL);
}
