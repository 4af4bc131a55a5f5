/* SPDX-License-Identifier: MIT */
/*
 * logsink.c - log lines to standard error, as systemd's journal or a person wants them.
 */
#include "sys/file/logsink.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

/* The full file steps aside and a new one takes its place as standard error. Whatever fails, the
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

/* One write(2) for a line, so that lines of several threads do not mix; stdio would need a lock. */
static void write_log_line(void *ctx, enum pv_log_level level, const char *line)
{
    static const int syslog_level[] = {
        [PV_LOG_ERROR] = 3, [PV_LOG_WARN] = 4, [PV_LOG_INFO] = 6, [PV_LOG_DEBUG] = 7};
    struct pv_logsink *sink = ctx;
    char text[PV_LOG_LINE_MAX + 96], when[32];
    int n;
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
    char name[64];
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    if (!S_ISREG(st->st_mode) || flags < 0 || (flags & O_APPEND) == 0)
        return;
    ssize_t n = readlink("/proc/self/fd/2", sink->path, sizeof(sink->path) - 1);
    sink->path[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(sink->path, '/');
    snprintf(name, sizeof(name), "%s.log", sink->program);
    if (slash == NULL || strcmp(slash + 1, name) != 0)
        sink->path[0] = '\0';
    uint64_t size = (uint64_t)st->st_size;
    sink->room = size < PV_LOGSINK_FILE_MAX ? PV_LOGSINK_FILE_MAX - size : 0;
}

struct pv_log pv_logsink_open(struct pv_logsink *sink, const char *program, enum pv_log_level level)
{
    struct stat st;
    *sink = (struct pv_logsink){.program = program};
    pthread_mutex_init(&sink->lock, NULL);
    if (fstat(STDERR_FILENO, &st) == 0) {
        sink->journal = is_journal(&st);
        find_file(sink, &st);
    }
    return (struct pv_log){.level = level, .sink = write_log_line, .ctx = sink};
}
