/* SPDX-License-Identifier: MIT */
/* The input line: text in UTF-8 with a cursor that moves by characters, and the lines before it. */
#include "chat/screen/model/tuiedit.h"

#include <stdlib.h>
#include <string.h>

wchar_t pv_tui_decode(const char *text, size_t *ret_len)
{
    /* These are the four forms of RFC 3629, section 3. A malformed sequence counts as one byte
     * and becomes U+FFFD, so that no caller stands still. The terminating NUL is no continuation
     * byte: a sequence that is cut off never leads beyond it. */
    static const struct {
        unsigned char mask, lead;
        unsigned bits;
    } forms[] = {{0x80, 0x00, 7}, {0xe0, 0xc0, 5}, {0xf0, 0xe0, 4}, {0xf8, 0xf0, 3}};
    const unsigned char *p = (const unsigned char *)text;
    *ret_len = *p == 0 ? 0 : 1;
    for (size_t n = 1; n <= 4; n++) {
        if ((*p & forms[n - 1].mask) != forms[n - 1].lead)
            continue;
        uint32_t c = *p & ((1u << forms[n - 1].bits) - 1);
        for (size_t i = 1; i < n; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 0xfffd;
            c = c << 6 | (p[i] & 0x3fu);
        }
        if (*p != 0)
            *ret_len = n;
        return (wchar_t)c;
    }
    return 0xfffd;
}

static size_t encode(wchar_t wc, char buf[static 4])
{
    uint32_t c = (uint32_t)wc;
    if (c < 0x80) {
        buf[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        buf[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    buf[0] = (char)(lead[n] | c);
    return n;
}

static size_t before(const struct pv_tuiedit *e, size_t at)
{
    do {
        at -= at > 0;
    } while (at > 0 && pv_tui_is_inside(e->text, at));
    return at;
}

static size_t after(const struct pv_tuiedit *e, size_t at)
{
    do {
        at += at < e->len;
    } while (at < e->len && pv_tui_is_inside(e->text, at));
    return at;
}

static void cut(struct pv_tuiedit *e, size_t from, size_t to)
{
    /* The terminating NUL moves along. */
    memmove(e->text + from, e->text + to, e->len - to + 1);
    e->len -= to - from;
    e->cursor = from;
}

/* A cut that can be put back. Without memory it cannot. */
static void kill_text(struct pv_tuiedit *e, size_t from, size_t to)
{
    if (from == to)
        return;
    free(e->killed);
    e->killed = strndup(e->text + from, to - from);
    cut(e, from, to);
}

static void put(struct pv_tuiedit *e, const char *bytes, size_t n)
{
    /* A character is put whole or not at all: half of one would make the line invalid UTF-8. */
    if (e->len + n > PV_TUIEDIT_MAX)
        return;
    memmove(e->text + e->cursor + n, e->text + e->cursor, e->len - e->cursor + 1);
    memcpy(e->text + e->cursor, bytes, n);
    e->len += n;
    e->cursor += n;
}

struct pv_tuipast *pv_tuipast_free(struct pv_tuipast *past)
{
    for (size_t i = 0; past != NULL && i < past->n; i++)
        free(past->lines[i]);
    free(past);
    return NULL;
}

void pv_tuiedit_done(struct pv_tuiedit *e)
{
    free(e->draft);
    free(e->killed);
    memset(e, 0, sizeof(*e));
}

void pv_tuiedit_insert(struct pv_tuiedit *e, wchar_t c)
{
    char bytes[4];
    uint32_t u = (uint32_t)c;
    /* C0, DEL and C1 would command the terminal that shows them. Surrogates and values above
     * U+10FFFF have no UTF-8 form (RFC 3629, section 3). */
    if (u < 0x20 || (u >= 0x7f && u < 0xa0) || (u >= 0xd800 && u < 0xe000) || u > 0x10ffff)
        return;
    put(e, bytes, encode(c, bytes));
}

void pv_tuiedit_set(struct pv_tuiedit *e, const char *text)
{
    e->len = e->cursor = 0;
    e->text[0] = '\0';
    /* A text from elsewhere passes the same filter as typed characters. */
    for (size_t n; *text != '\0'; text += n)
        pv_tuiedit_insert(e, pv_tui_decode(text, &n));
}

/* Another line of the past, or back to what was being typed. */
static void browse(struct pv_tuiedit *e, size_t to)
{
    /* The draft is kept only at the moment of leaving it: browsing on must not replace it by a
     * line of the past. */
    if (e->shown == e->past->n) {
        free(e->draft);
        e->draft = strdup(e->text);
    }
    e->shown = to;
    if (to < e->past->n)
        pv_tuiedit_set(e, e->past->lines[to]);
    else
        pv_tuiedit_set(e, e->draft == NULL ? "" : e->draft);
}

void pv_tuiedit_move(struct pv_tuiedit *e, struct pv_tuipast *past, const char *begun)
{
    e->past = past;
    e->shown = past == NULL ? 0 : past->n;
    free(e->draft);
    e->draft = NULL;
    pv_tuiedit_set(e, begun);
}

static size_t word_start(const struct pv_tuiedit *e)
{
    size_t at = e->cursor;
    while (at > 0 && e->text[at - 1] == ' ')
        at--;
    while (at > 0 && e->text[at - 1] != ' ')
        at--;
    return at;
}

static size_t word_end(const struct pv_tuiedit *e)
{
    size_t at = e->cursor;
    while (at < e->len && e->text[at] == ' ')
        at++;
    while (at < e->len && e->text[at] != ' ')
        at++;
    return at;
}

void pv_tuiedit_do(struct pv_tuiedit *e, enum pv_tuiedit_op op)
{
    switch (op) {
    case PV_TUIEDIT_LEFT:
        e->cursor = before(e, e->cursor);
        break;
    case PV_TUIEDIT_RIGHT:
        e->cursor = after(e, e->cursor);
        break;
    case PV_TUIEDIT_HOME:
        e->cursor = 0;
        break;
    case PV_TUIEDIT_END:
        e->cursor = e->len;
        break;
    case PV_TUIEDIT_BACKSPACE:
        cut(e, before(e, e->cursor), e->cursor);
        break;
    case PV_TUIEDIT_DELETE:
        cut(e, e->cursor, after(e, e->cursor));
        break;
    case PV_TUIEDIT_KILL_END:
        kill_text(e, e->cursor, e->len);
        break;
    case PV_TUIEDIT_KILL_START:
        kill_text(e, 0, e->cursor);
        break;
    case PV_TUIEDIT_KILL_WORD:
        kill_text(e, word_start(e), e->cursor);
        break;
    case PV_TUIEDIT_DELETE_WORD:
        kill_text(e, e->cursor, word_end(e));
        break;
    case PV_TUIEDIT_YANK:
        pv_tuiedit_replace(e, 0, e->killed == NULL ? "" : e->killed);
        break;
    case PV_TUIEDIT_WORD_LEFT:
        e->cursor = word_start(e);
        break;
    case PV_TUIEDIT_WORD_RIGHT:
        e->cursor = word_end(e);
        break;
    case PV_TUIEDIT_OLDER:
        if (e->shown > 0)
            browse(e, e->shown - 1);
        break;
    case PV_TUIEDIT_NEWER:
        if (e->past != NULL && e->shown < e->past->n)
            browse(e, e->shown + 1);
        break;
    }
}

void pv_tuiedit_replace(struct pv_tuiedit *e, size_t len, const char *text)
{
    /* The check comes before the cut: a completion without room changes nothing. */
    if (len > e->cursor || e->len - len + strlen(text) > PV_TUIEDIT_MAX)
        return;
    cut(e, e->cursor - len, e->cursor);
    put(e, text, strlen(text));
}

/* Takes line. Like a shell, the history keeps a line that is repeated at once only one time. */
static void remember(struct pv_tuiedit *e, char *line)
{
    struct pv_tuipast *p = e->past;
    if (p == NULL || line[0] == '\0' || (p->n > 0 && strcmp(p->lines[p->n - 1], line) == 0)) {
        free(line);
    } else {
        if (p->n == PV_TUIEDIT_PAST) {
            free(p->lines[0]);
            memmove(p->lines, p->lines + 1, (PV_TUIEDIT_PAST - 1) * sizeof(p->lines[0]));
            p->n--;
        }
        p->lines[p->n++] = line;
    }
    e->shown = p == NULL ? 0 : p->n;
}

char *pv_tuiedit_take(struct pv_tuiedit *e)
{
    /* Both copies are made before any change: without memory the input stays. */
    char *line = strdup(e->text), *kept = strdup(e->text);
    if (line == NULL || kept == NULL) {
        free(line);
        free(kept);
        return NULL;
    }
    remember(e, kept);
    pv_tuiedit_set(e, "");
    return line;
}
