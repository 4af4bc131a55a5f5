/* SPDX-License-Identifier: MIT */
/*
 * logsink.c - log lines to standard error, as systemd's journal or a person wants them.
 */
#include "sys/file/logsink.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One write(2) for a line, so that lines of several threads do not mix; stdio would need a lock. */
static void write_log_line(void *ctx, enum pv_log_level level, const char *line)
{
    static const int syslog_level[] = {
        [PV_LOG_ERROR] = 3, [PV_LOG_WARN] = 4, [PV_LOG_INFO] = 6, [PV_LOG_DEBUG] = 7};
    const struct pv_logsink *sink = ctx;
    char text[PV_LOG_LINE_MAX + 64];
    int n;
    if (sink->journal)
        n = snprintf(text, sizeof(text), "<%d>%s\n", syslog_level[level], line);
    else
        n = snprintf(text, sizeof(text), "%s: %s: %s\n", sink->program, pv_log_level_name(level),
                     line);
    if (n > 0 && (size_t)n < sizeof(text))
        (void)!write(STDERR_FILENO, text, (size_t)n);
}

struct pv_log pv_logsink_open(struct pv_logsink *sink, const char *program, enum pv_log_level level)
{
    sink->program = program;
    sink->journal = getenv("JOURNAL_STREAM") != NULL;
    return (struct pv_log){.level = level, .sink = write_log_line, .ctx = sink};
}
