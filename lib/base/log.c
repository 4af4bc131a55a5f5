/* SPDX-License-Identifier: MIT */
/*
 * log.c - formats one line and hands it to the sink, also by way of a log that cannot be flooded.
 */
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

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

/* --- one line -------------------------------------------------------------------------------- */

/* A line under way: what does not fit is cut. */
struct line {
    char text[PV_LOG_LINE_MAX];
    size_t len;
    bool quoted; /* the format has an open quote */
    va_list ap;
};

static void put(struct line *l, char c)
{
    if (l->len < sizeof(l->text) - 1)
        l->text[l->len++] = c;
}

/*
 * A value may be a text from outside, a coordinator's error for example. It ends where the format
 * says, so that it cannot be taken for keys of ours: quotes in it become apostrophes, and one of
 * several words behind key= gets quotes.
 */
static void put_text(struct line *l, const char *text, size_t max)
{
    size_t len = strnlen(text == NULL ? "(null)" : text, max);
    const char *from = text == NULL ? "(null)" : text;
    bool is_value = l->quoted || (l->len > 0 && l->text[l->len - 1] == '=');
    bool wrap = is_value && !l->quoted && memchr(from, ' ', len) != NULL;
    if (wrap)
        put(l, '"');
    for (size_t i = 0; i < len; i++)
        put(l, is_value && from[i] == '"' ? '\'' : from[i]);
    if (wrap)
        put(l, '"');
}

static void put_number(struct line *l, bool negative, unsigned long long value, unsigned base)
{
    char digits[24];
    size_t n = 0;
    do
        digits[n++] = "0123456789abcdef"[value % base];
    while ((value /= base) > 0);
    if (negative)
        put(l, '-');
    while (n > 0)
        put(l, digits[--n]);
}

/* How wide the integer argument is, as its length modifier says. */
enum width {
    WIDTH_INT,
    WIDTH_LONG,
    WIDTH_LONG_LONG,
    WIDTH_SIZE,
};

static const char *take_width(const char *spec, enum width *ret_width)
{
    *ret_width = WIDTH_INT;
    if (*spec == 'z') {
        *ret_width = WIDTH_SIZE;
        spec++;
    }
    for (; *spec == 'l'; spec++)
        *ret_width = *ret_width == WIDTH_LONG ? WIDTH_LONG_LONG : WIDTH_LONG;
    return spec;
}

static void put_signed(struct line *l, enum width width)
{
    long long v = width == WIDTH_INT    ? va_arg(l->ap, int)
                  : width == WIDTH_LONG ? va_arg(l->ap, long)
                                        : va_arg(l->ap, long long);
    put_number(l, v < 0, v < 0 ? -(unsigned long long)v : (unsigned long long)v, 10);
}

static void put_unsigned(struct line *l, enum width width, unsigned base)
{
    unsigned long long v = width == WIDTH_INT    ? va_arg(l->ap, unsigned)
                           : width == WIDTH_LONG ? va_arg(l->ap, unsigned long)
                           : width == WIDTH_SIZE ? va_arg(l->ap, size_t)
                                                 : va_arg(l->ap, unsigned long long);
    put_number(l, false, v, base);
}

/* Prints one conversion; spec follows its '%', and log.h lists the known ones. Returns the text
 * after the conversion. NULL: unknown; the rest of the line is lost, because its arguments cannot
 * be found. */
static const char *put_argument(struct line *l, const char *spec)
{
    enum width width;
    size_t max = SIZE_MAX;
    bool prefix = *spec == '#';
    spec += prefix;
    if (*spec == '.') {
        int n = 0;
        if (*++spec == '*') {
            n = va_arg(l->ap, int);
            spec++;
        }
        for (; *spec >= '0' && *spec <= '9'; spec++)
            n = 10 * n + (*spec - '0');
        max = n < 0 ? SIZE_MAX : (size_t)n;
    }
    spec = take_width(spec, &width);
    switch (*spec) {
    case 's':
        put_text(l, va_arg(l->ap, const char *), max);
        return spec + 1;
    case 'd':
    case 'i':
        put_signed(l, width);
        return spec + 1;
    case 'u':
        put_unsigned(l, width, 10);
        return spec + 1;
    case 'x':
        if (prefix) {
            put(l, '0');
            put(l, 'x');
        }
        put_unsigned(l, width, 16);
        return spec + 1;
    case '%':
        put(l, '%');
        return spec + 1;
    default:
        return NULL;
    }
}

/* One call is one line, and moves no terminal's cursor, whatever names or errors from outside hold:
 * control characters (C0, DEL, C1) and what is no UTF-8 become '?'. */
static void clean(char *line)
{
    size_t left = strlen(line);
    for (char *p = line; left > 0;) {
        uint32_t c;
        size_t n = pv_utf8_char(pv_view(p, left), &c);
        if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0)) {
            n = n == 0 ? 1 : n;
            memset(p, '?', n);
        }
        p += n;
        left -= n;
    }
}

/* Lines above the level are not formatted at all: debug lines stand in paths that run for each
 * packet. */
void pv_log(const struct pv_log *log, enum pv_log_level level, const char *fmt, ...)
{
    struct line l = {.len = 0};
    if (log == NULL || log->sink == NULL || level > log->level)
        return;
    va_start(l.ap, fmt);
    while (fmt != NULL && *fmt != '\0') {
        if (*fmt == '%') {
            fmt = put_argument(&l, fmt + 1);
            continue;
        }
        l.quoted = l.quoted != (*fmt == '"');
        put(&l, *fmt++);
    }
    va_end(l.ap);
    l.text[l.len] = '\0';
    put_message_first(l.text);
    clean(l.text);
    log->sink(log->ctx, level, l.text);
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

/* --- a log that cannot be flooded ------------------------------------------------------------ */

/* The line is complete and passed on as it is, with the number of suppressed lines at its end. */
static void take_line(void *ctx, enum pv_log_level level, const char *line)
{
    struct pv_calmlog *calm = ctx;
    uint64_t more = 0;
    if (level <= PV_LOG_WARN && !pv_repeats_say(&calm->repeats[level], line, calm->now, &more))
        return;
    calm->to.sink(calm->to.ctx, level, line);
    if (more > 0)
        pv_log(&calm->to, level, "what=\"more of the like before this\" more=%" PRIu64, more);
}

void pv_calmlog_init(struct pv_calmlog *calm, const struct pv_log *to, pv_ns now)
{
    memset(calm, 0, sizeof(*calm));
    calm->to = *to;
    calm->now = now;
    calm->log = (struct pv_log){.level = to->level, .sink = take_line, .ctx = calm};
}

void pv_calmlog_handle_timeout(struct pv_calmlog *calm, pv_ns now)
{
    calm->now = now;
    for (enum pv_log_level level = PV_LOG_ERROR; level <= PV_LOG_WARN; level++) {
        uint64_t more;
        if (pv_repeats_take_rest(&calm->repeats[level], now, &more))
            pv_log(&calm->to, level, "what=\"more of the like\" more=%" PRIu64, more);
    }
}

pv_ns pv_calmlog_next_timeout(const struct pv_calmlog *calm)
{
    return pv_min_ns(pv_repeats_next_timeout(&calm->repeats[PV_LOG_ERROR]),
                     pv_repeats_next_timeout(&calm->repeats[PV_LOG_WARN]));
}
