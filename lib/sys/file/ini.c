/* SPDX-License-Identifier: MIT */
/*
 * ini.c - configuration files: inih's grammar, and errors where inih would be silent. inih cuts
 * long lines and section names and joins continuation lines; a setting that was cut would take
 * effect as another one, so all three are refused with the line's number.
 */
#include "sys/file/ini.h"

#include <stdio.h>
#include <string.h>

#include <ini.h>

#define NO_COMMENT "\" #...\" is part of the value: comments have a line of their own"

struct ini_state {
    struct pv_view rest;
    unsigned line;
    char section[PV_INI_LINE_MAX + 1]; /* whole, where inih keeps 49 characters */
    bool failed;
    struct pv_ini_error *error;
    struct pv_ini_error note; /* of a file that is right */
    int (*fn)(void *ctx, const struct pv_ini_item *item, char *error, size_t cap);
    void *ctx;
};

static char *fail_at_line(struct ini_state *s, const char *why)
{
    s->failed = true;
    s->error->line = s->line;
    if (why != NULL)
        snprintf(s->error->text, sizeof(s->error->text), "%s", why);
    return NULL; /* for inih: the file ends here */
}

static bool seems_commented(const char *value)
{
    return strstr(value, " #") != NULL || strstr(value, "\t#") != NULL;
}

static int report_item(struct ini_state *s, const char *key, const char *value)
{
    struct pv_ini_item item = {.section = s->section, .key = key, .value = value, .line = s->line};
    char *why = s->error->text;
    int r = s->fn(s->ctx, &item, why, sizeof(s->error->text));
    bool commented = value != NULL && seems_commented(value);
    size_t len = strlen(why);
    if (r < 0 && commented)
        snprintf(why + len, sizeof(s->error->text) - len, "; " NO_COMMENT);
    if (r < 0) {
        fail_at_line(s, NULL);
    } else if (commented && s->note.line == 0) {
        /* A note repeats no value: it may be a secret. */
        s->note.line = s->line;
        snprintf(s->note.text, sizeof(s->note.text), "%.60s: " NO_COMMENT, key);
    }
    return r;
}

/* Remembers the name in "[name]"; a line without "]" is left for inih to complain about. */
static int take_section(struct ini_state *s, const char *line)
{
    const char *end = strchr(line, ']');
    if (end == NULL)
        return PV_OK;
    for (const char *p = end + 1; *p != '\0'; p++) {
        if (*p == ';' || *p == '#')
            break;
        if (*p != ' ' && *p != '\t' && *p != '\r') {
            fail_at_line(s, "text behind the section name");
            return PV_ERR_MALFORMED;
        }
    }
    size_t len = (size_t)(end - line) - 1;
    memcpy(s->section, line + 1, len);
    s->section[len] = '\0';
    return report_item(s, NULL, NULL);
}

/* inih's fgets(): the next line without its newline. */
static char *next_ini_line(char *buf, int cap, void *stream)
{
    struct ini_state *s = stream;
    if (s->failed || s->rest.len == 0)
        return NULL;
    s->line++;
    const uint8_t *nl = memchr(s->rest.ptr, '\n', s->rest.len);
    size_t len = nl == NULL ? s->rest.len : (size_t)(nl - s->rest.ptr);
    const uint8_t *line = s->rest.ptr;
    size_t used = len + (nl == NULL ? 0 : 1);
    s->rest = pv_view(line + used, s->rest.len - used);

    if (len > PV_INI_LINE_MAX || len + 1 > (size_t)cap)
        return fail_at_line(s,
                            "the line is longer than 198 characters (repeat a key to give a list)");
    if (memchr(line, '\0', len) != NULL)
        return fail_at_line(s, "the line holds a NUL byte");
    memcpy(buf, line, len);
    buf[len] = '\0';
    size_t indent = strspn(buf, " \t\r\f\v");
    if (indent > 0 && buf[indent] != '\0' && buf[indent] != '#' && buf[indent] != ';')
        return fail_at_line(s,
                            "the line begins with a blank (continuation lines are not supported)");
    if (buf[0] == '[' && take_section(s, buf) < 0)
        return NULL;
    return buf;
}

/* inih goes on after an error unless it is told; the first one is the one to show. */
static int on_item(void *user, const char *section, const char *name, const char *value)
{
    struct ini_state *s = user;
    if (s->failed)
        return 0;
    return report_item(s, name, value == NULL ? "" : value) >= 0;
}

/* inih's own error and ours may both be there: the lower line number wins, since the other may be
 * its consequence. */
int pv_ini_parse(struct pv_view text,
                 int (*fn)(void *ctx, const struct pv_ini_item *item, char *error, size_t cap),
                 void *ctx, struct pv_ini_error *ret_error)
{
    static const uint8_t bom[] = {0xef, 0xbb, 0xbf}; /* some editors begin a file with it */
    if (text.len >= sizeof(bom) && memcmp(text.ptr, bom, sizeof(bom)) == 0)
        text = pv_view(text.ptr + sizeof(bom), text.len - sizeof(bom));
    struct pv_ini_error error = {0};
    struct ini_state s = {.rest = text, .error = &error, .fn = fn, .ctx = ctx};
    int r = ini_parse_stream(next_ini_line, &s, on_item, &s);
    if (r < -1)
        return PV_ERR_NOMEM;
    if (!s.failed && r > 0) {
        /* inih reads on after a bad line; r is the first one. */
        s.line = (unsigned)r;
        fail_at_line(&s, "neither [section] nor key = value");
    }
    *ret_error = s.note;
    if (!s.failed)
        return PV_OK;
    if (r > 0 && (unsigned)r < error.line) {
        error.line = (unsigned)r;
        snprintf(error.text, sizeof(error.text), "neither [section] nor key = value");
    }
    *ret_error = error;
    return PV_ERR_MALFORMED;
}
