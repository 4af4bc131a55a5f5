/* SPDX-License-Identifier: MIT */
/*
 * log.c - formats one line and hands it to the sink.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const NAMES[] = {
    [PV_LOG_ERROR] = "error",
    [PV_LOG_WARN] = "warn",
    [PV_LOG_INFO] = "info",
    [PV_LOG_DEBUG] = "debug",
};

/* Lines above the level are not formatted at all: debug lines stand in paths that run for each
 * packet. */
void pv_log(const struct pv_log *log, enum pv_log_level level, const char *fmt, ...)
{
    char line[PV_LOG_LINE_MAX];
    va_list ap;

    if (log == NULL || log->sink == NULL || level > log->level)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    /* One call is one line, whatever names or errors from outside hold. */
    for (char *p = line; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    log->sink(log->ctx, level, line);
}

const char *pv_log_level_name(enum pv_log_level level)
{
    return (size_t)level < PV_ARRAY_LEN(NAMES) ? NAMES[level] : "?";
}

int pv_log_level_parse(const char *text, enum pv_log_level *ret_level)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(NAMES); i++) {
        if (strcmp(text, NAMES[i]) == 0) {
            *ret_level = (enum pv_log_level)i;
            return PV_OK;
        }
    }
    return PV_ERR_MALFORMED;
}
