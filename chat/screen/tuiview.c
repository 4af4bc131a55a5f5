/* SPDX-License-Identifier: MIT */
/*
 *   title            the conversation, who is at the other end and which way packets go
 *   roster | lines   names with presence, path and unread; the newest line at the bottom
 *   bar              the note, or what keys do
 *   > input
 */
#include "chat/screen/tuiview.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "base/vec.h"
#include "chat/screen/tuilink.h"

enum {
    BESIDE = 36,      /* columns of lines that a roster leaves, or it is not shown */
    ROSTER_WAY = 13,  /* columns of a roster's row around the name */
    NAME_TAIL = 5,    /* columns of the end of a name that is cut: "~dQEM" */
    MARKS = 3,        /* columns of the marks behind the time */
    HANG = 4,         /* columns before the further rows of a notice without a time */
    ALIGN_MAX = 16,   /* names are aligned up to this many columns */
    ALIGN_OVER = 100, /* the newest lines of a room by whose names they are aligned */
    WHO_BUF = PV_NAME_BUF + 40,
    TEXT_LEAST = 8, /* columns of a text's first row, or the name gives up its own */
    TIME_BUF = 48,  /* bytes of a time or date with the NUL */
    BAR_ROWS = 6,   /* at most: of an explanation nothing is left out, where there is room */
    BAR_BUF = PV_TUI_NOTE + 96,
};

/* --- cells ----------------------------------------------------------------------------------- */

static struct pv_tui_cell *cell(struct pv_tui_screen *s, size_t row, size_t col)
{
    return &s->cells[row * s->cols + col];
}

static void fill_row(struct pv_tui_screen *s, size_t row, uint8_t attr)
{
    for (size_t i = 0; i < s->cols; i++)
        *cell(s, row, i) = (struct pv_tui_cell){.ch = L" ", .attr = attr};
}

/* Columns of a character: what has none of its own to show takes the place of U+FFFD. */
static size_t width_of(wchar_t *c)
{
    int w = wcwidth(*c);
    if (w < 0) {
        *c = 0xfffd;
        w = 1;
    }
    return (size_t)w;
}

static void add_mark(struct pv_tui_cell *to, wchar_t c)
{
    /* Another node decides how many marks it puts on a character. A cell takes PV_TUI_MARKS wide
     * characters; the others are dropped. */
    size_t n = wcslen(to->ch);
    if (n > 0 && n < PV_TUI_MARKS)
        to->ch[n] = c;
}

/* A place to write: from col up to end of one row. */
struct pen {
    struct pv_tui_screen *s;
    size_t row, col, start, end;
    uint8_t attr, colour;
    uint16_t link;
};

/* Writes the first len bytes as far as they fit. */
static void write_n(struct pen *p, const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        wchar_t c = pv_tui_decode(text + i, &n);
        if (n == 0)
            return;
        /* The terminal would expand a tab and push the cells behind it out of their columns. */
        if (c == '\t')
            c = ' ';
        size_t w = width_of(&c);
        if (w == 0) {
            /* A mark belongs to the character before it: behind a wide one, that is two cells
             * back. */
            size_t back = p->col - (p->col > p->start);
            back -= back > p->start && cell(p->s, p->row, back)->ch[0] == L'\0';
            if (p->col > p->start)
                add_mark(cell(p->s, p->row, back), c);
            continue;
        }
        /* Half of a wide character cannot be shown. Writing ends here: a narrow character that
         * follows must not slip into its place. */
        if (p->col + w > p->end)
            return;
        *cell(p->s, p->row, p->col) =
            (struct pv_tui_cell){.ch = {c}, .attr = p->attr, .colour = p->colour, .link = p->link};
        if (w == 2)
            *cell(p->s, p->row, p->col + 1) = (struct pv_tui_cell){.attr = p->attr};
        p->col += w;
    }
}

static void write_text(struct pen *p, const char *text)
{
    write_n(p, text, strlen(text));
}

static size_t columns(const char *text, size_t len)
{
    size_t cols = 0;
    for (size_t i = 0, n; i < len; i += n) {
        wchar_t c = pv_tui_decode(text + i, &n);
        if (n == 0)
            break;
        cols += c == '\t' ? 1 : width_of(&c);
    }
    return cols;
}

/* --- lines ----------------------------------------------------------------------------------- */

/* How many bytes of text one row of this many columns takes, which ends at a blank where there is
 * one, and (ret_skip) how many after them are not shown: the blank at a break, the newline and the
 * blanks pv_harmless_show() put behind it. */
static size_t fit(const char *text, size_t cols, size_t *ret_skip)
{
    size_t used = 0, at = 0, blank = 0;
    for (size_t n; text[at] != '\0' && text[at] != '\n'; at += n) {
        wchar_t c = pv_tui_decode(text + at, &n);
        size_t w = c == '\t' ? 1 : width_of(&c);
        /* Also behind a word that fills the row. */
        if (c == ' ')
            blank = at;
        /* The first character is taken even when it is wider than the row: the walk must end. */
        if (used + w > cols && at > 0) {
            *ret_skip = blank > 0;
            return blank > 0 ? blank : at;
        }
        used += w;
    }
    *ret_skip = text[at] == '\n' ? 1 + strspn(text + at + 1, " ") : 0;
    return at;
}

/* One message on its way over the rows it needs. */
struct walk {
    const struct pv_tui_line *line;
    const char *text;
    char who[WHO_BUF];
    size_t cols, first, indent; /* of the pane; before the text in the first row, in the others */
    size_t name_at;             /* where the name begins */
    bool day, news, begun; /* rows with the date, and with where the new ones begin, come first */
    bool action, found;    /* /me; what /search found */
    bool wrap, in_word;    /* the row before ended inside a word that may be copied */
    bool notice;           /* p2pvpnctl's own words */
    const char *told;      /* of it below the text; NULL: nothing, or nothing more */
    enum pv_tui_time time; /* how it is written, */
    size_t clock, margin;  /* columns with the blank behind it, and up to the name */
};

struct row {
    bool is_day, is_news, is_first, is_told; /* is_told: what stands below the text begins */
    const char *text;
    size_t len, indent;
};

/* Columns of a time with the blank behind it. */
static size_t clock_columns(enum pv_tui_time time)
{
    static const size_t columns_of[PV_TUI_N_TIMES] = {
        [PV_TUI_TIME_24H] = sizeof("14:05 ") - 1,
        [PV_TUI_TIME_12H] = sizeof("02:05pm ") - 1,
        [PV_TUI_TIME_SECONDS] = sizeof("14:05:00 ") - 1,
        [PV_TUI_TIME_OFF] = 0,
    };
    return columns_of[time];
}

static bool same_day(double a, double b)
{
    /* The reader's own days count, not those of UTC. */
    struct tm x, y;
    time_t s = (time_t)a, r = (time_t)b;
    return localtime_r(&s, &x) != NULL && localtime_r(&r, &y) != NULL && x.tm_yday == y.tm_yday &&
           x.tm_year == y.tm_year;
}

/* Whose line it is, as it is shown. */
static void name_of(const struct pv_tui *t, const struct pv_tui_conv *c,
                    const struct pv_tui_line *line, char *dst, size_t cap)
{
    const char *name = line->outgoing ? t->me : pv_tui_conv_is_room(c) ? line->from : c->name;
    if (line->unproven)
        snprintf(dst, cap, "somebody on %s's machine", name);
    else if (line->brief[0] != '\0')
        snprintf(dst, cap, "%s (former, %s)", name, line->brief);
    else
        snprintf(dst, cap, "%s", name);
}

/* Columns of the names of a conversation, so that its texts stand below each other. */
static size_t name_columns(const struct pv_tui *t, const struct pv_tui_conv *c)
{
    size_t most = strlen(t->me);
    size_t from = c->n_lines > ALIGN_OVER ? c->n_lines - ALIGN_OVER : 0;
    if (!t->set.align)
        return 0;
    if (!pv_tui_conv_is_room(c))
        most = strlen(c->name) > most ? strlen(c->name) : most;
    for (size_t i = from; pv_tui_conv_is_room(c) && i < c->n_lines; i++) {
        size_t len = strlen(c->lines[i].from);
        most = len > most ? len : most;
    }
    return most < ALIGN_MAX ? most : ALIGN_MAX;
}

/* A notice has no sender, so it begins behind the time, without a date above. No text does. */
static void walk_notice(struct walk *w, const char *text)
{
    const bool wide = w->cols > w->margin + 8;
    w->notice = true;
    w->text = text;
    w->first = w->line->time > 0 && wide ? w->clock : 0;
    w->indent = w->first > 0 || !wide ? w->first : HANG;
    w->in_word = false;
}

/* "nas-in~of-bob"; the name of a machine that is gone ends in its key's: "nas-in-th~iWYf". */
static void cut_name(const struct pv_tui_line *line, size_t cols, char who[static WHO_BUF])
{
    const char *end = line->former && line->brief[0] != '\0' ? strchr(line->brief, ':') : NULL;
    const size_t len = strlen(line->from), tail = end != NULL ? strlen(end + 1) : (cols - 1) / 2;
    if (end == NULL && len <= cols)
        snprintf(who, WHO_BUF, "%s", line->from);
    else
        snprintf(who, WHO_BUF, "%.*s~%s", (int)(cols - 1 - tail), line->from,
                 end != NULL ? end + 1 : line->from + len - tail);
}

static struct walk walk_of(const struct pv_tui *t, const struct pv_tui_conv *c, size_t index,
                           size_t cols)
{
    const struct pv_tui_line *line = &c->lines[index];
    const size_t clock = clock_columns(t->set.time), margin = clock + MARKS;
    struct walk w = {.line = line,
                     .text = line->text,
                     .cols = cols,
                     .wrap = t->set.wrap,
                     .time = t->set.time,
                     .clock = clock,
                     .margin = margin};
    w.found = index + 1 == c->found;
    if (line->id[0] == '\0') {
        walk_notice(&w, line->text);
        return w;
    }
    w.told = pv_tui_told_of(line);
    name_of(t, c, line, w.who, sizeof(w.who));
    w.action = strncmp(w.text, "/me ", 4) == 0;
    w.news = c->new_from[0] != '\0' && strcmp(line->id, c->new_from) == 0;
    size_t before = index;
    while (before > 0 && c->lines[before - 1].id[0] == '\0')
        before--; /* notices have no time */
    w.day = before == 0 || !same_day(c->lines[before - 1].time, line->time);
    w.indent = cols > margin + 8 ? margin : 0;
    size_t width = name_columns(t, c), len = strlen(w.who);
    w.name_at = margin + (len < width ? width - len : 0);
    w.first = w.name_at + len + 2;
    if (w.action) {
        w.text += 4;
        w.name_at = margin;
        w.first = margin + 2 + len + 1;
    }
    /* A narrow pane gives up the name, which stands above it, or in a room a part of it, before it
     * gives up room for the text; but that a text is not the peer's own word is never left out. */
    if (w.first + TEXT_LEAST > cols && line->unproven) {
        _Static_assert(PV_TUI_MIN_COLS > TEXT_LEAST + 4, "of the name a letter stays");
        snprintf(w.who, sizeof(w.who), "?%.*s", (int)(cols - TEXT_LEAST - 3 - w.action),
                 pv_tui_conv_is_room(c) ? line->from : c->name);
        w.name_at = 0;
        w.first = strlen(w.who) + 2 + w.action; /* "?pi: ", "* ?pi " */
    } else if (w.first + TEXT_LEAST > cols && pv_tui_conv_is_room(c)) {
        cut_name(line, cols > margin + TEXT_LEAST + 12 ? cols - margin - TEXT_LEAST - 4 : 8, w.who);
        w.name_at = cols > margin + TEXT_LEAST + 12 ? margin : 0;
        w.first = w.name_at + strlen(w.who) + 2 + w.action;
    } else if (w.first + TEXT_LEAST > cols) {
        w.first = cols > margin + 8 ? margin : 0;
    }
    /* Where no line begins with a time, names stand at the margin. */
    if (clock == 0 && w.first > w.indent)
        w.indent = w.first;
    return w;
}

/* Bytes of ASCII that show something. There are more blanks than those of ASCII. */
static size_t word_length(const char *text)
{
    size_t n = 0;
    while (isgraph((uint8_t)text[n]))
        n++;
    return n;
}

/* Without wrap a word too long for a row, as an address of the web, goes on from the edge, where
 * the mouse takes it whole, and up to its end. Nothing else does: what stands there has a time and
 * a sender, and no text of a peer may look so. */
static bool walk_next(struct walk *w, struct row *ret_row)
{
    size_t skip = 0;
    *ret_row = (struct row){.is_day = w->day, .text = w->text};
    if (w->day) {
        w->day = false;
        return true;
    }
    ret_row->is_news = w->news;
    if (w->news) {
        w->news = false;
        return true;
    }
    ret_row->is_told = w->begun && *w->text == '\0' && w->told != NULL;
    if (ret_row->is_told) {
        walk_notice(w, w->told);
        w->told = NULL;
        w->found = false; /* which is about the text */
        ret_row->text = w->text;
    }
    /* An empty message takes a row too: without text the walk ends only once it has begun. */
    if (w->begun && *w->text == '\0')
        return false;
    ret_row->is_first = !w->begun;
    ret_row->indent = !w->begun || ret_row->is_told ? w->first : w->in_word ? 0 : w->indent;
    ret_row->len = fit(w->text, w->cols - ret_row->indent, &skip);
    size_t word = w->in_word ? word_length(w->text) : SIZE_MAX;
    if (ret_row->len > word) {
        ret_row->len = word;
        skip = w->text[word] == ' ' || w->text[word] == '\t';
    }
    w->text += ret_row->len + skip;
    w->in_word = !w->wrap && skip == 0 && ret_row->len > 0 && isgraph((uint8_t)w->text[-1]) &&
                 isgraph((uint8_t)w->text[0]);
    w->begun = true;
    return true;
}

static size_t rows_of(struct walk w)
{
    /* The walk is a copy: counting must not move the one that draws. */
    struct row unused;
    size_t n = 0;
    while (walk_next(&w, &unused))
        n++;
    return n;
}

static const char *mark_of(const struct pv_tui_line *line)
{
    if (!line->outgoing)
        return "";
    switch (line->state) {
    case PV_CHAT_SENT:
        return "\xe2\x86\x92"; /* an arrow: on its way */
    case PV_CHAT_DELIVERED:
        return "\xe2\x9c\x93"; /* a check mark */
    case PV_CHAT_READ:
        return "\xe2\x9c\x93\xe2\x9c\x93";
    default:
        return "\xc2\xb7"; /* a middle dot: it waits */
    }
}

/* "14:05 ", as the user wants it; "" when it does not. */
static const char *time_text(double unix_s, enum pv_tui_time time, char buf[static TIME_BUF])
{
    struct tm tm;
    time_t s = (time_t)unix_s;
    buf[0] = '\0';
    if (localtime_r(&s, &tm) == NULL)
        return buf;
    int half = tm.tm_hour % 12 == 0 ? 12 : tm.tm_hour % 12;
    if (time == PV_TUI_TIME_24H)
        snprintf(buf, TIME_BUF, "%02d:%02d ", tm.tm_hour, tm.tm_min);
    else if (time == PV_TUI_TIME_12H)
        snprintf(buf, TIME_BUF, "%02d:%02d%s ", half, tm.tm_min, tm.tm_hour < 12 ? "am" : "pm");
    else if (time == PV_TUI_TIME_SECONDS)
        snprintf(buf, TIME_BUF, "%02d:%02d:%02d ", tm.tm_hour, tm.tm_min, tm.tm_sec);
    return buf;
}

static void write_time(struct pen *p, double unix_s, enum pv_tui_time time)
{
    char text[TIME_BUF];
    write_text(p, time_text(unix_s, time, text));
}

static void write_date(struct pen *p, double unix_s)
{
    struct tm tm;
    time_t s = (time_t)unix_s;
    if (localtime_r(&s, &tm) == NULL)
        return;
    const char *text = PV_STR("-- %04d-%02d-%02d --", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    write_text(p, text);
}

/* The same for a name everywhere and always; FNV-1a, since neighbours in the alphabet shall
 * differ. */
static uint8_t colour_of(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    return (uint8_t)(1 + (h >> 8) % PV_TUI_COLOURS);
}

static void draw_name(struct pen *p, const struct walk *w)
{
    p->attr = PV_TUI_BOLD;
    p->colour = w->line->outgoing ? 0 : colour_of(w->who);
    p->col = p->start + w->name_at;
    write_text(p, w->action ? "* " : "");
    write_text(p, w->who);
    p->colour = 0;
    write_text(p, w->action ? "" : ":");
}

/* The number of the link to this address, which may go on from the row before; 0: none. */
static uint16_t link_to(struct pv_tui_screen *s, const char *address, size_t len)
{
    const char *last = s->n_links > 0 ? s->links[s->n_links - 1] : "";
    if (strncmp(last, address, len) == 0 && last[len] == '\0')
        return (uint16_t)s->n_links;
    char **grown = s->n_links == UINT16_MAX
                       ? NULL
                       : pv_vec_room(s->links, s->n_links, &s->cap_links, 8, sizeof(*s->links));
    char *copy = grown == NULL ? NULL : strndup(address, len);
    s->links = grown == NULL ? s->links : grown;
    if (copy == NULL)
        return 0;
    s->links[s->n_links++] = copy;
    return (uint16_t)s->n_links;
}

/* Writes the part of a text that the row shows, and says which cells belong to an address. */
static void write_linked(struct pen *p, const char *text, const char *part, size_t len)
{
    const size_t from = (size_t)(part - text), end = from + len;
    size_t at = 0, n, done = from;
    for (; done < end && pv_tuilink_next(text, &at, &n) && at < end; at += n) {
        const size_t begin = at > done ? at : done, stop = at + n < end ? at + n : end;
        if (stop <= begin)
            continue;
        write_n(p, text + done, begin - done);
        p->link = link_to(p->s, text + at, n);
        write_n(p, text + begin, stop - begin);
        p->link = 0;
        done = stop;
    }
    write_n(p, text + done, end - done);
}

static void draw_row(struct pen p, const struct walk *w, const struct row *r)
{
    const bool notice = w->notice;
    p.attr = PV_TUI_DIM;
    if (r->is_news) {
        p.attr = PV_TUI_WARN;
        write_text(&p, w->time == PV_TUI_TIME_OFF ? "-- new " : "-- new since ");
        write_time(&p, w->line->time, w->time);
        write_text(&p, "--");
        return;
    }
    if (r->is_day) {
        write_date(&p, w->line->time);
        return;
    }
    bool cramped = w->line->unproven && w->name_at == 0; /* no room for the time */
    if (r->is_first && !notice && cramped)
        draw_name(&p, w);
    else if (r->is_first && !notice && w->first > 0) {
        write_time(&p, w->line->time, w->time);
        p.attr = w->line->state == PV_CHAT_QUEUED ? PV_TUI_WARN : PV_TUI_GOOD;
        write_text(&p, mark_of(w->line));
        if (w->first > w->margin)
            draw_name(&p, w);
    }
    if ((r->is_first || r->is_told) && notice && w->first > 0)
        write_time(&p, w->line->time, w->time);
    p.col = p.start + r->indent;
    p.attr = w->found         ? PV_TUI_REVERSE
             : notice         ? PV_TUI_DIM
             : w->line->named ? PV_TUI_BOLD | PV_TUI_WARN
                              : 0;
    if (notice) /* a name of a file in it is no address that somebody gave */
        write_n(&p, r->text, r->len);
    else
        write_linked(&p, w->line->text, r->text, r->len);
}

/* An empty screen says how to go on. */
static void draw_welcome(const struct pv_tui *t, struct pen p)
{
    char text[PV_NAME_BUF + 64];
    static const char words[] = "Ctrl-N or /open %s opens a conversation";
    int n = snprintf(text, sizeof(text), words, t->n_convs > 1 ? t->convs[1].name : "NAME");
    if ((size_t)n > p.end - p.col)
        n = snprintf(text, sizeof(text), words, "NAME");
    if ((size_t)n > p.end - p.col)
        snprintf(text, sizeof(text), "Ctrl-N opens a conversation");
    write_text(&p, text);
}

/* The line that was found stands in the middle of the pane. */
static void scroll_to_found(const struct pv_tui *t, struct pv_tui_conv *c, size_t pane, size_t cols)
{
    size_t rows = 0;
    for (size_t i = c->n_lines; i >= c->found && i > 0; i--)
        rows += rows_of(walk_of(t, c, i - 1, cols));
    c->scroll = rows > pane / 2 ? rows - pane / 2 : 0;
    c->show_found = false;
}

/* In a window of another width lines have other numbers of rows: the line at its bottom stays. */
static void keep_place(const struct pv_tui *t, struct pv_tui_conv *c, size_t cols)
{
    size_t before = 0, now = 0;
    const bool moved = c->scroll > 0 && c->scroll_cols > 0 && c->scroll_cols != cols;
    for (size_t i = c->n_lines; moved && i > 0; i--) {
        before += rows_of(walk_of(t, c, i - 1, c->scroll_cols));
        if (before > c->scroll)
            break;
        now += rows_of(walk_of(t, c, i - 1, cols));
    }
    if (moved)
        c->scroll = now > 0 ? now : 1;
    c->scroll_cols = cols;
}

/* How much is new that was not on the screen yet, above the line with index first and from it on.
 */
static void count_new(struct pv_tui_conv *c, size_t first)
{
    unsigned n = 0;
    c->new_above = c->new_below = 0;
    for (size_t i = c->n_lines; i > 0 && n < c->unread; i--) {
        const struct pv_tui_line *line = &c->lines[i - 1];
        n += pv_tui_is_unread(line);
        const bool above = i - 1 < first || (i - 1 == first && !line->top);
        c->new_above += pv_tui_is_unread(line) && !line->shown && above;
        c->new_below += pv_tui_is_unread(line) && !line->shown && !above;
    }
    c->new_above += c->more ? c->unread - n : 0;
    /* An offer of a file is a notice, which nobody can leave unread. */
    for (size_t i = c->n_lines; i > first + 1; i--)
        c->new_below += c->lines[i - 1].file != 0 && !c->lines[i - 1].shown;
}

/* The conversation in the rows [top, bottom) from column start on, the newest at the bottom. */
static void draw_lines(struct pv_tui *t, struct pv_tui_screen *s, size_t top, size_t bottom,
                       size_t start)
{
    struct pv_tui_conv *c = &t->convs[t->current];
    size_t pane = bottom - top, cols = s->cols - start, first = c->n_lines, rows = 0;
    if (c->n_lines == 0 && t->current == 0)
        draw_welcome(t, (struct pen){s, bottom - 1, start, start, s->cols, PV_TUI_DIM, 0, 0});
    keep_place(t, c, cols);
    if (c->show_found)
        scroll_to_found(t, c, pane, cols);
    /* New lines stand below the shown ones. */
    for (; c->came > 0; c->came--)
        c->scroll += c->came <= c->n_lines ? rows_of(walk_of(t, c, c->n_lines - c->came, cols)) : 0;
    /* Layout goes from the newest line upwards and stops when the window is full: the cost does
     * not grow with the conversation. */
    while (first > 0 && rows < pane + c->scroll) {
        first--;
        rows += rows_of(walk_of(t, c, first, cols));
    }
    /* The person scrolled beyond the oldest line, or the window grew: the view stops at the top. */
    if (rows < pane + c->scroll)
        c->scroll = rows > pane ? rows - pane : 0;
    /* page_up() of the model asks for older lines only when the top is on the screen. */
    c->at_top = first == 0 && rows <= pane + c->scroll;
    /* The loop above counts whole messages. The first one may begin above the window. */
    size_t hidden = rows > pane + c->scroll ? rows - pane - c->scroll : 0;
    size_t row = rows < pane ? bottom - rows : top;
    for (size_t i = first; i < c->n_lines && row < bottom; i++) {
        struct walk w = walk_of(t, c, i, cols);
        struct row r;
        while (row < bottom && walk_next(&w, &r)) {
            if (hidden > 0) {
                hidden--;
                continue;
            }
            draw_row((struct pen){s, row++, start, start, s->cols, 0, 0, 0}, &w, &r);
            c->lines[i].top = c->lines[i].top || r.is_first;
        }
        if (c->lines[i].top && !walk_next(&w, &r))
            c->lines[i].shown = true;
    }
    count_new(c, first);
}

/* --- around it ------------------------------------------------------------------------------- */

static const char *way_of(const struct pv_tui *t, const struct pv_tui_conv *c)
{
    if (pv_tui_conv_is_room(c))
        return c->part == PV_TUI_LEFT ? "left" : c->part == PV_TUI_INVITED ? "invited" : "room";
    if (t->has_peers && !c->is_listed)
        return "gone";
    if (strcmp(c->path, "none") != 0)
        return c->path;
    return c->online ? "idle" : "offline";
}

static void draw_title(const struct pv_tui *t, struct pv_tui_screen *s)
{
    const struct pv_tui_conv *c = &t->convs[t->current];
    struct pen p = {s, 0, 1, 1, s->cols, PV_TUI_REVERSE | PV_TUI_BOLD, 0, 0};
    char rtt[PV_AMOUNT_BUF] = "";
    fill_row(s, 0, PV_TUI_REVERSE);
    if (t->current == 0) {
        write_text(&p, t->network[0] == '\0' ? "p2pvpn" : t->network);
        p.attr = PV_TUI_REVERSE;
        write_text(&p, t->me[0] == '\0' ? "" : "  you are ");
        write_text(&p, t->me);
        return;
    }
    write_text(&p, c->name);
    p.attr = PV_TUI_REVERSE;
    if (t->lost)
        return; /* nobody knows now */
    write_text(&p, "  ");
    write_text(&p, way_of(t, c));
    if (c->rtt_ms >= 0 && strcmp(c->path, "none") != 0)
        snprintf(rtt, sizeof(rtt), ", %.*f ms", c->rtt_ms < 10 ? 1 : 0, c->rtt_ms);
    if (pv_tui_conv_is_room(c) && c->members > 0)
        snprintf(rtt, sizeof(rtt), ", %u member%s", c->members, c->members == 1 ? "" : "s");
    write_text(&p, rtt);
    if (c->online || pv_tui_conv_is_room(c) || c->seen <= 0 || t->now < c->seen)
        return;
    write_text(&p, ", seen ");
    write_text(&p, pv_duration_format(t->now - c->seen, rtt));
    write_text(&p, " ago");
}

/* A long name is cut in its middle, so that it leaves room for the path and the unread messages,
 * and web-server-1 is not web-server-2, nor #crew~dQEM another #crew. Names are ASCII. */
static void write_name(struct pen *p, const char *name)
{
    const size_t len = strlen(name), cols = p->end - p->col;
    if (len <= cols || cols <= NAME_TAIL + 1) {
        write_text(p, name);
        return;
    }
    write_text(p, PV_STR("%.*s\xe2\x80\xa6", (int)(cols - NAME_TAIL - 1), name)); /* … */
    write_text(p, name + len - NAME_TAIL);
}

static void draw_peer(const struct pv_tui *t, struct pv_tui_screen *s, size_t row, size_t index)
{
    const struct pv_tui_conv *c = &t->convs[index];
    uint8_t base = index == t->current ? PV_TUI_REVERSE : 0;
    const size_t cols = t->set.roster_cols, name_cols = cols - ROSTER_WAY;
    struct pen p = {s, row, 0, 0, cols - 1, 0, 0, 0};
    char unread[8];
    p.attr = base;
    /* Blanks come first, so that the reversed row of the open conversation is solid. */
    while (p.col < p.end)
        write_text(&p, " ");
    p.col = 0;
    bool there = c->online && !t->lost;
    p.attr = (uint8_t)(base | (there ? PV_TUI_GOOD : PV_TUI_DIM));
    write_text(&p, index == 0 || pv_tui_conv_is_room(c) || t->lost ? " "
                   : there                                         ? "\xe2\x97\x8f"
                                                                   : "\xe2\x97\x8b"); /* ● ○ */
    const unsigned news = pv_tui_conv_news(c);
    p.attr = (uint8_t)(base | (news > 0 ? PV_TUI_BOLD : 0));
    p.col = 2;
    p.end = 2 + name_cols;
    p.colour = index == 0 || pv_tui_conv_is_room(c) ? 0 : colour_of(c->name);
    write_name(&p, index == 0 ? (t->network[0] == '\0' ? "p2pvpn" : t->network) : c->name);
    p.colour = 0;
    p.end = cols - 1;
    p.col = 2 + name_cols + 1;
    p.attr = (uint8_t)(base | PV_TUI_DIM);
    write_text(&p, index == 0 || t->lost ? "" : way_of(t, c));
    if (news == 0)
        return;
    if (news > 99)
        snprintf(unread, sizeof(unread), "99+");
    else
        snprintf(unread, sizeof(unread), "%u", news);
    p.col = cols - 1 - strlen(unread);
    p.attr = (uint8_t)(base | PV_TUI_BOLD | PV_TUI_WARN | (c->named ? PV_TUI_REVERSE : 0));
    write_text(&p, unread);
}

/* As many as fit, so that the open one is among them. */
static void draw_roster(struct pv_tui *t, struct pv_tui_screen *s, size_t top, size_t bottom)
{
    size_t pane = bottom - top, place = pv_tui_sort(t);
    size_t first = place >= pane ? place - pane + 1 : 0;
    for (size_t row = top; row < bottom; row++) {
        const size_t cols = t->set.roster_cols;
        struct pen p = {s, row, cols - 1, 0, cols, PV_TUI_DIM, 0, 0};
        if (first + row - top < t->n_convs)
            draw_peer(t, s, row, t->order[first + row - top]);
        write_text(&p, "\xe2\x94\x82"); /* │ */
    }
}

/* How many columns of the bar the clock leaves, which stands at the right end of its first row. */
static size_t bar_columns(const struct pv_tui *t, size_t cols)
{
    const size_t clock = clock_columns(t->set.time);
    return t->now > 0 && clock > 0 && cols > 4 * clock ? cols - clock - 2 : cols - 1;
}

/* Where there is something unread, and the note. True: it is said to the person, and goes on in
 * further rows; a hint ends where the row does. */
static bool bar_text(const struct pv_tui *t, char text[static BAR_BUF])
{
    const struct pv_tui_conv *c = &t->convs[t->current];
    unsigned elsewhere = 0, given_back = 0;
    size_t n = 0;
    for (size_t i = 0; i < t->n_convs; i++) {
        elsewhere += i != t->current ? t->convs[i].unread + t->convs[i].offers : 0;
        given_back += t->convs[i].given_back;
    }
    if (c->scroll > 0 && c->new_below > 0)
        n += (size_t)snprintf(text, BAR_BUF, "[%u new below: End]  ", c->new_below);
    else if (c->scroll > 0)
        n += (size_t)snprintf(text, BAR_BUF, "[scrolled up: End]  ");
    if (c->new_above > 0)
        n += (size_t)snprintf(text + n, BAR_BUF - n, "[%u new above: PgUp%s]  ", c->new_above,
                              c->scroll == 0 ? "; End: skip" : "");
    if (elsewhere > 0)
        n += (size_t)snprintf(text + n, BAR_BUF - n, "[%u unread: Ctrl-G]  ", elsewhere);
    if (given_back > 0 && strstr(t->note, " wait in ") == NULL &&
        strstr(t->note, " waits in ") == NULL) /* which says so */
        n += (size_t)snprintf(text + n, BAR_BUF - n, "[%u not sent: Ctrl-G]  ", given_back);
    const char *away = t->away[0] != '\0' ? t->away : PV_TUI_LOST;
    if (t->lost && t->note[0] != '\0' && strcmp(t->note, away) != 0)
        n += (size_t)snprintf(text + n, BAR_BUF - n,
                              t->away[0] != '\0' ? "[in no network]  " : "[no p2pvpnd]  ");
    else if (t->slow && !t->lost && strncmp(t->note, "p2pvpnd", 7) != 0) /* as that says */
        n += (size_t)snprintf(text + n, BAR_BUF - n, "[p2pvpnd does not answer]  ");
    const char *said = t->note[0] != '\0' ? t->note
                       : t->lost          ? away
                       : c->part == PV_TUI_INVITED
                           ? "you are invited: reply to accept, /leave to decline"
                           : NULL;
    snprintf(text + n, BAR_BUF - n, "%s", said != NULL ? said : "/help  Tab  PgUp  Ctrl-N");
    return said != NULL;
}

/* Rows of the bar on a screen of that size: at least half of it stays for the lines. */
static size_t bar_rows(const struct pv_tui *t, size_t rows, size_t cols)
{
    char text[BAR_BUF];
    size_t n = 0, most = (rows - 2) / 2 < BAR_ROWS ? (rows - 2) / 2 : BAR_ROWS, skip;
    if (!bar_text(t, text))
        return 1;
    for (const char *p = text; *p != '\0' && n < most; n++) {
        p += fit(p, bar_columns(t, cols), &skip);
        p += skip;
    }
    return n;
}

static void draw_bar(const struct pv_tui *t, struct pv_tui_screen *s, size_t row, size_t rows)
{
    const size_t end = 1 + bar_columns(t, s->cols);
    char text[BAR_BUF];
    const char *rest = text;
    (void)bar_text(t, text);
    for (size_t i = 0; i < rows; i++) {
        struct pen p = {s, row + i, 1, 1, s->cols, PV_TUI_REVERSE, 0, 0};
        size_t skip = 0, len = strlen(rest);
        fill_row(s, row + i, PV_TUI_REVERSE);
        if (i == 0 && end < s->cols) {
            p.col = end + 1;
            write_time(&p, t->now, t->set.time);
            p.col = 1;
        }
        p.end = end;
        if (i + 1 < rows)
            len = fit(rest, end - 1, &skip);
        write_n(&p, rest, len);
        rest += len + skip;
    }
}

/* Scrolled sideways so that the cursor is in it. */
static void draw_input(const struct pv_tui *t, struct pv_tui_screen *s, size_t row)
{
    struct pen p = {s, row, 0, 0, s->cols, PV_TUI_BOLD, 0, 0};
    const struct pv_tuiedit *e = &t->edit;
    /* Two columns are the prompt. The third is for the cursor behind the last character. */
    size_t room = s->cols - 3, from = 0, n;
    write_text(&p, "> ");
    p.start = p.col;
    p.attr = 0;
    while (columns(e->text + from, e->cursor - from) > room) {
        (void)pv_tui_decode(e->text + from, &n);
        from += n;
    }
    write_text(&p, e->text + from);
    s->cursor_row = row;
    s->cursor_col = 2 + columns(e->text + from, e->cursor - from);
}

void pv_tui_print(const struct pv_tui *t, size_t most, FILE *out)
{
    const struct pv_tui_conv *c = &t->convs[t->current];
    char when[TIME_BUF], who[PV_NAME_BUF + 40];
    for (size_t i = c->n_lines > most ? c->n_lines - most : 0; i < c->n_lines; i++) {
        const struct pv_tui_line *line = &c->lines[i];
        bool notice = line->id[0] == '\0', action = !notice && strncmp(line->text, "/me ", 4) == 0;
        name_of(t, c, line, who, sizeof(who));
        const char *at = line->time > 0 ? time_text(line->time, t->set.time, when) : "";
        fprintf(out, "%s%s%s%s%s\n", at, action ? "* " : "", notice ? "" : who,
                notice   ? ""
                : action ? " "
                         : ": ",
                line->text + (action ? 4 : 0));
        if (pv_tui_told_of(line) != NULL)
            fprintf(out, "%s%s\n", at, pv_tui_told_of(line));
    }
}

size_t pv_tui_page(const struct pv_tui *t, size_t rows, size_t cols)
{
    size_t around =
        rows < PV_TUI_MIN_ROWS || cols < PV_TUI_MIN_COLS ? rows : 2 + bar_rows(t, rows, cols);
    return rows > around + 1 ? rows - around - 1 : 1; /* one row of the page before stays */
}

static int set_size(struct pv_tui_screen *s, size_t rows, size_t cols)
{
    /* The size is whatever the terminal claims. The bound keeps the product small. */
    rows = rows > PV_TUI_MAX_ROWS ? PV_TUI_MAX_ROWS : rows;
    cols = cols > PV_TUI_MAX_COLS ? PV_TUI_MAX_COLS : cols;
    /* calloc() of no cells may return NULL, which would look like a failure. */
    struct pv_tui_cell *cells = calloc(rows * cols + 1, sizeof(*cells));
    if (cells == NULL)
        return PV_ERR_NOMEM;
    pv_tui_screen_done(s);
    *s = (struct pv_tui_screen){.cells = cells, .rows = rows, .cols = cols};
    for (size_t i = 0; i < rows; i++)
        fill_row(s, i, 0);
    return PV_OK;
}

int pv_tui_render(struct pv_tui *t, size_t rows, size_t cols, struct pv_tui_screen *screen)
{
    int r = set_size(screen, rows, cols);
    if (r < 0 || screen->rows == 0 || screen->cols == 0)
        return r;
    /* Below this size the subtractions of the drawing functions would wrap around. */
    t->too_small = screen->rows < PV_TUI_MIN_ROWS || screen->cols < PV_TUI_MIN_COLS;
    if (t->too_small) {
        struct pen p = {screen, 0, 0, 0, screen->cols, 0, 0, 0};
        write_text(&p, "too small");
        return PV_OK;
    }
    size_t bar = bar_rows(t, screen->rows, screen->cols);
    size_t bottom = screen->rows - 1 - bar, start = 0;
    draw_title(t, screen);
    if (screen->cols >= t->set.roster_cols + BESIDE && t->set.roster)
        start = t->set.roster_cols + 1;
    draw_lines(t, screen, 1, bottom, start);
    /* A line is read as it appears, and at no other time: a conversation that keys pass over is
     * not shown. The roster and the bar do not count it any more. */
    pv_tui_mark_read(t, &t->convs[t->current]);
    if (start > 0)
        draw_roster(t, screen, 1, bottom);
    draw_bar(t, screen, bottom, bar);
    draw_input(t, screen, bottom + bar);
    return PV_OK;
}

void pv_tui_screen_done(struct pv_tui_screen *screen)
{
    for (size_t i = 0; i < screen->n_links; i++)
        free(screen->links[i]);
    free(screen->links);
    free(screen->cells);
    *screen = (struct pv_tui_screen){0};
}
