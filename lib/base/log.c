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

/* Where the key what= begins, outside of quoted values (which may hold anybody's text); NULL. */
static char *find_what(char *line)
{
    bool quoted = false;
    for (char *p = line; *p != '\0'; p++) {
        if (*p == '"')
            quoted = !quoted;
        if (!quoted && (p == line || p[-1] == ' ') && strncmp(p, "what=", 5) == 0)
            return p;
    }
    return NULL;
}

/*
 * Puts the value of what=, quoted or one word, before the other keys: a line is a sentence for
 * people and then key=value pairs for programs, but a caller writes the keys in the order that says
 * whom the event is about. A line without what= stays as it is.
 */
static void put_message_first(char line[static PV_LOG_LINE_MAX])
{
    char keys[PV_LOG_LINE_MAX];
    char *at = find_what(line);
    if (at == NULL)
        return;
    char *value = at + 5;
    bool quoted = *value == '"';
    value += quoted;
    size_t len = strcspn(value, quoted ? "\"" : " ");
    const char *rest = value + len + (quoted && value[len] == '"');
    rest += *rest == ' ';
    snprintf(keys, sizeof(keys), "%.*s%s", (int)(at - line), line, rest);
    size_t n = strlen(keys);
    if (n > 0 && keys[n - 1] == ' ') /* what= was the last key */
        keys[n - 1] = '\0';
    memmove(line, value, len);
    snprintf(line + len, PV_LOG_LINE_MAX - len, "%s%s", keys[0] == '\0' ? "" : ": ", keys);
}

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
    put_message_first(line);
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
