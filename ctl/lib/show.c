/* SPDX-License-Identifier: MIT */
/* Output for people: aligned tables, units, times. */
#include "ctl/lib/show.h"

#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "base/harmless.h"
#include "proto/local/ctlcmd.h"
#include "proto/local/remedy.h"

enum {
    GAP = 2,             /* blanks between columns */
    ELLIPSIS = 3,        /* "..." */
    CELL_MIN = 8,        /* what a narrow screen leaves of a cell */
    CELL_LEAST = 5,      /* and where it has no column to spare */
    WHOLE_MAX = 16,      /* of what is not cut: "2026-11-19 14:20"; an address of IPv6 is */
    MARK_MAX = 10,       /* ours: more behind a name is a part of it, as of a file's */
    LAST_MIN = 20,       /* and of the last one, which goes on below itself */
    LAST_LEAST = 12,     /* with less it stands below the others */
    MAX_CELLS = 1000000, /* 100,000 rows; ours: a daemon gone mad must not eat the memory */
    CELL_MAX = 512, /* ours: bytes with the NUL; the longest of our own is the list of rights */
};

struct pv_cell {
    char *text;
    enum pv_colour colour;
};

/* --- tables -------------------------------------------------------------------------------- */

void pv_table_begin(struct pv_table *t, size_t n_columns)
{
    *t = (struct pv_table){.n_columns = n_columns};
}

void pv_table_cell(struct pv_table *t, enum pv_colour colour, const char *text)
{
    if (t->status < 0)
        return;
    if (t->n_cells == t->cap) {
        size_t cap = t->cap == 0 ? 64 : t->cap * 2;
        struct pv_cell *cells =
            cap > MAX_CELLS ? NULL : reallocarray(t->cells, cap, sizeof(*cells));
        if (cells == NULL) {
            t->status = PV_ERR_NOMEM;
            return;
        }
        t->cells = cells;
        t->cap = cap;
    }
    char shown[CELL_MAX];
    pv_harmless_show(pv_view(text, strlen(text)), shown, sizeof(shown));
    char *copy = strdup(shown);
    if (copy == NULL) {
        t->status = PV_ERR_NOMEM;
        return;
    }
    t->cells[t->n_cells++] = (struct pv_cell){.text = copy, .colour = colour};
}

static void cell_of(struct pv_table *t, enum pv_colour colour, const char *fmt, va_list ap)
    PV_PRINTF(3, 0);
static void cell_of(struct pv_table *t, enum pv_colour colour, const char *fmt, va_list ap)
{
    char text[CELL_MAX];
    vsnprintf(text, sizeof(text), fmt, ap);
    pv_table_cell(t, colour, text);
}

void pv_table_cellf(struct pv_table *t, enum pv_colour colour, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    cell_of(t, colour, fmt, ap);
    va_end(ap);
}

void pv_table_fact(struct pv_table *t, const char *what, enum pv_colour colour, const char *fmt,
                   ...)
{
    va_list ap;
    pv_table_cell(t, PV_DIM, what);
    va_start(ap, fmt);
    cell_of(t, colour, fmt, ap);
    va_end(ap);
}

void pv_table_begin_headed(struct pv_table *t, const char *const *head, size_t n_columns)
{
    pv_table_begin(t, n_columns);
    for (size_t i = 0; i < n_columns; i++)
        pv_table_head(t, PV_BOLD, head[i]);
}

void pv_table_head(struct pv_table *t, enum pv_colour colour, const char *text)
{
    unsigned column = 1u << t->n_cells % t->n_columns;
    if (text[0] == '=') {
        t->whole |= column;
        text++;
    }
    if (text[0] == '-') {
        t->spare |= column;
        text++;
    }
    pv_table_cell(t, colour, text);
}

/* The columns on the screen of the character at text, by the locale of the thread: names of files
 * have characters that take two, or none. A character that the locale does not know takes one.
 * *ret_len: its bytes; 0 at the end. */
static size_t character(const char *text, size_t *ret_len)
{
    wchar_t c = 0;
    mbstate_t state = {0};
    size_t len = mbrtowc(&c, text, MB_CUR_MAX, &state);
    bool known = len != (size_t)-1 && len != (size_t)-2;
    int columns = known ? wcwidth(c) : 1;
    *ret_len = known ? len : 1;
    return columns < 0 ? 1 : (size_t)columns;
}

static size_t width(const char *text)
{
    size_t n = 0, len = 0;
    for (; *text != '\0'; text += len)
        n += character(text, &len);
    return n;
}

/* The bytes of text that fit into columns: up to the last blank, where the text goes on. The whole
 * text where it fits, and one character at least. A command in backticks stays in one line, so that
 * it can be copied: one that is longer than the line begins a line and goes past its end. */
static size_t fitting(const char *text, size_t columns)
{
    size_t n = 0, used = 0, blank = 0;
    bool command = false;
    while (text[n] != '\0') {
        size_t len = 0, w = character(text + n, &len);
        if (text[n] == '`')
            command = !command && strchr(text + n + 1, '`') != NULL;
        if (text[n] == ' ' && !command)
            blank = n;
        if (used + w > columns && n > 0 && (blank > 0 || !command))
            return blank > 0 ? blank : n;
        used += w;
        n += len;
    }
    return n;
}

/* How the columns of a table stand on a screen. */
struct layout {
    size_t widths[PV_TABLE_COLUMNS];
    size_t least[PV_TABLE_COLUMNS]; /* what a cut cell needs for the mark behind it */
    size_t last;                    /* the last column that is not left out */
    unsigned left_out;              /* by bits */
};

/* The columns of the mark behind a name, " (admin)"; 0: there is none. */
static size_t mark_width(const char *text)
{
    const char *mark = strrchr(text, '(');
    if (mark == NULL || mark == text || mark[-1] != ' ' || text[strlen(text) - 1] != ')')
        return 0;
    size_t w = width(mark - 1);
    return w <= MARK_MAX ? w : 0;
}

/* A column is as wide as its widest cell. */
static void measure(const struct pv_table *t, struct layout *l)
{
    for (size_t i = 0; i < t->n_cells; i++) {
        const char *text = t->cells[i].text;
        size_t w = width(text), column = i % t->n_columns, mark = mark_width(text);
        bool whole = (t->whole & 1u << column) != 0 && w <= WHOLE_MAX;
        size_t least = whole ? w : mark > 0 ? mark + CELL_LEAST : 0;
        l->widths[column] = w > l->widths[column] ? w : l->widths[column];
        l->least[column] = least > l->least[column] ? least : l->least[column];
    }
}

/* The columns before the last one, with the blanks behind each. */
static size_t before_last(const struct layout *l)
{
    size_t all = 0;
    for (size_t i = 0; i < l->last; i++)
        all += (l->left_out & 1u << i) != 0 ? 0 : l->widths[i] + GAP;
    return all;
}

/* The widest column gives way until those before the last one have room. False: they have none. */
static bool narrow(struct layout *l, size_t room, size_t cell_min)
{
    for (size_t all = before_last(l); all > room; all--) {
        size_t widest = SIZE_MAX, most = 0;
        for (size_t i = 0; i < l->last; i++) {
            size_t least = l->least[i] > cell_min ? l->least[i] : cell_min;
            if ((l->left_out & 1u << i) == 0 && l->widths[i] > least && l->widths[i] > most) {
                widest = i;
                most = l->widths[i];
            }
        }
        if (widest == SIZE_MAX)
            return false;
        l->widths[widest]--;
    }
    return true;
}

/* Leaves out the last column that can be spared. False: there is none. */
static bool leave_out(const struct pv_table *t, struct layout *l)
{
    for (size_t i = t->n_columns; i-- > 0;) {
        if ((t->spare & ~l->left_out & 1u << i) == 0)
            continue;
        l->left_out |= 1u << i;
        while (l->last > 0 && (l->left_out & 1u << l->last) != 0)
            l->last--;
        return true;
    }
    return false;
}

/* Columns are cut as far as they say something then, and next left out. The last one has LAST_MIN
 * of the screen, or stands below the others. */
static void lay_out(const struct pv_table *t, size_t screen, struct layout *l)
{
    struct layout natural = {.last = t->n_columns - 1};
    measure(t, &natural);
    do {
        size_t last = natural.widths[natural.last], room = last < LAST_MIN ? last : LAST_MIN;
        *l = natural;
        if (screen == 0 || narrow(l, screen > room ? screen - room : 0, CELL_MIN))
            return;
    } while (leave_out(t, &natural));
    (void)narrow(l, screen, CELL_LEAST);
}

/* The part of a cell that its column has room for, with "..." where something is missing, and the
 * mark behind it; fill: with blanks up to the end of the column. */
static void print_cut(const char *text, size_t columns, bool fill, FILE *out)
{
    size_t n = strlen(text), len = 0, used = width(text), mark = 0;
    if (used > columns) {
        mark = mark_width(text);
        mark = mark + ELLIPSIS < columns ? mark : 0;
        used = ELLIPSIS + mark;
        for (n = 0; used + character(text + n, &len) <= columns; n += len)
            used += character(text + n, &len);
    }
    fprintf(out, "%.*s%s%s", (int)n, text, text[n] == '\0' ? "" : "...",
            mark > 0 ? strrchr(text, '(') - 1 : "");
    if (fill)
        fprintf(out, "%*s", (int)(columns - used), "");
}

/* The last cell of a row gets no blanks, so that lines do not wrap for nothing, and goes on below
 * itself where it is longer than the screen is wide; where the others leave no room it stands below
 * them. */
static void print_last(const char *text, size_t from, size_t screen, FILE *out)
{
    if (text[0] == '\0')
        return;
    if (screen > 0 && from + LAST_LEAST > screen && from + width(text) > screen) {
        from = GAP;
        fprintf(out, "\n%*s", GAP, "");
    }
    size_t room = screen > from + 1 ? screen - from : SIZE_MAX;
    for (size_t n = fitting(text, room), indent = from;;) {
        fwrite(text, 1, n, out);
        text += n;
        text += strspn(text, " ");
        if (*text == '\0')
            break;
        n = fitting(text, room);
        /* A long command has more room at the left. */
        indent = from > GAP && *text == '`' && n > room ? GAP : from;
        fprintf(out, "\n%*s", (int)indent, "");
    }
}

/* Is nothing behind this cell in its row? Then it gets no blanks. */
static bool is_end_of_row(const struct pv_table *t, const struct layout *l, size_t cell)
{
    for (size_t i = cell + 1; i % t->n_columns != 0; i++)
        if (t->cells[i].text[0] != '\0' && (l->left_out & 1u << i % t->n_columns) == 0)
            return false;
    return true;
}

static void print_rows(const struct pv_table *t, FILE *out, const struct pv_screen *screen)
{
    struct layout l;
    size_t from = 0;
    lay_out(t, screen->width, &l);
    for (size_t i = 0; i < t->n_cells; i++) {
        const struct pv_cell *c = &t->cells[i];
        size_t column = i % t->n_columns;
        bool last = column == l.last;
        from = column == 0 ? 0 : from;
        if ((l.left_out & 1u << column) != 0)
            continue;
        fputs(pv_colour_on(c->colour, screen->colour), out);
        if (last)
            print_last(c->text, from, screen->width, out);
        else
            print_cut(c->text, l.widths[column], !is_end_of_row(t, &l, i), out);
        fputs(pv_colour_off(c->colour, screen->colour), out);
        if (last)
            fputc('\n', out);
        else if (!is_end_of_row(t, &l, i))
            fprintf(out, "%*s", GAP, "");
        from += l.widths[column] + GAP;
    }
}

void pv_table_name_commands(struct pv_table *t, const char *flag, bool own)
{
    char text[2 * CELL_MAX];
    for (size_t i = 0; i < t->n_cells && (own || flag[0] != '\0'); i++) {
        pv_remedy_name(flag, own, t->cells[i].text, text, sizeof(text));
        char *named = strcmp(text, t->cells[i].text) == 0 ? NULL : strdup(text);
        if (named == NULL)
            continue;
        free(t->cells[i].text);
        t->cells[i].text = named;
    }
}

int pv_table_print(struct pv_table *t, FILE *out, const struct pv_screen *screen)
{
    int r = t->status;
    /* Daemons' texts are UTF-8, whatever the locale of this program is. */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), was = uselocale(utf8);
    if (r == PV_OK)
        print_rows(t, out, screen);
    uselocale(was);
    if (utf8 != (locale_t)0)
        freelocale(utf8);
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i].text);
    free(t->cells);
    *t = (struct pv_table){.n_columns = t->n_columns};
    return r;
}

const char *pv_colour_on(enum pv_colour c, bool colour)
{
    static const char *const codes[] = {
        [PV_PLAIN] = "",       [PV_GREEN] = "\033[32m", [PV_YELLOW] = "\033[33m",
        [PV_RED] = "\033[31m", [PV_DIM] = "\033[2m",    [PV_BOLD] = "\033[1m",
    };
    return colour ? codes[c] : "";
}

const char *pv_colour_off(enum pv_colour c, bool colour)
{
    return colour && c != PV_PLAIN ? "\033[0m" : "";
}

/* --- units --------------------------------------------------------------------------------- */

const char *pv_show_ms(double ms, char buf[static PV_SHOW_BUF])
{
    snprintf(buf, PV_SHOW_BUF, ms < 1 ? "%.2f ms" : ms < 100 ? "%.1f ms" : "%.0f ms", ms);
    return buf;
}

const char *pv_show_time(double unix_s, double now_s, char buf[static PV_SHOW_BUF])
{
    time_t then = (time_t)unix_s, today = (time_t)now_s;
    struct tm a, b;
    if (localtime_r(&then, &a) == NULL || localtime_r(&today, &b) == NULL) {
        snprintf(buf, PV_SHOW_BUF, "-");
        return buf;
    }
    bool same_day = a.tm_year == b.tm_year && a.tm_yday == b.tm_yday;
    if (strftime(buf, PV_SHOW_BUF, same_day ? "%H:%M" : "%Y-%m-%d %H:%M", &a) == 0)
        buf[0] = '\0';
    return buf;
}

/* --- text ---------------------------------------------------------------------------------- */

void pv_show_text_from(FILE *out, const char *text, size_t from, size_t screen)
{
    size_t len = text == NULL ? 0 : strlen(text);
    size_t cap = len * 5 + 1; /* a newline becomes five bytes, a control character three */
    char *shown = len == 0 ? NULL : malloc(cap);
    if (shown == NULL)
        return;
    pv_harmless_show(pv_view(text, len), shown, cap);
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), was = uselocale(utf8);
    print_last(shown, from, screen, out);
    uselocale(was);
    if (utf8 != (locale_t)0)
        freelocale(utf8);
    free(shown);
}

void pv_show_text(FILE *out, const char *text)
{
    pv_show_text_from(out, text, 0, 0);
}

void pv_show_from(FILE *out, const json_t *msg)
{
    bool unproven = pv_json_bool(msg, "unproven");
    if (unproven)
        fputs("somebody on ", out);
    pv_show_text(out, pv_json_text(msg, "from", "?"));
    fputs(unproven ? "'s machine" : "", out);
}

const char *pv_show_change(const char *name, double since_s, const char *key,
                           char buf[static PV_SHOW_CHANGE_BUF])
{
    snprintf(buf, PV_SHOW_CHANGE_BUF, "%.64s is another machine since %s (before: %s)", name,
             PV_TIME_STR(since_s, 0), PV_KEY_SHORT_STR(key));
    return buf;
}

/* The daemon says it of what is unread, and of what is on its way: the state tells on which side
 * the name is. A name that changes hands once more is said again. */
const char *pv_show_refusal(const char *name, const char *address, const char *error,
                            char buf[static PV_SHOW_CHANGE_BUF])
{
    const char *at = address[0] == '\0' ? NULL : strstr(error, address);
    if (at == NULL)
        return error;
    if (strstr(error, "no peer") == NULL && strstr(error, "no room") == NULL)
        snprintf(buf, PV_SHOW_CHANGE_BUF, "%.*s%.63s%.*s", (int)(at - error), error, name,
                 PV_SHOW_BUF, at + strlen(address));
    else
        snprintf(buf, PV_SHOW_CHANGE_BUF,
                 name[0] == '#' ? "not sent: %.63s is no room of this machine any more, or another "
                                  "one by now"
                                : "not sent: %.63s is no member any more, or another machine has "
                                  "that name by now",
                 name);
    return buf;
}

const char *pv_show_change_once(json_t *told, const json_t *msg,
                                char buf[static PV_SHOW_CHANGE_BUF])
{
    double since = pv_json_real(msg, "another_since", 0);
    bool came = pv_json_is(msg, "state", "unread");
    const char *name = pv_json_text(msg, came ? "from" : "to", "?");
    if (since <= 0 || pv_json_real(told, name, 0) >= since)
        return NULL;
    /* Without memory it is said again the next time. */
    (void)json_object_set_new(told, name, json_real(since));
    return pv_show_change(name, since, pv_json_text(msg, "former", "?"), buf);
}

/* Of a room with those whom a rule keeps from it, as far as they have place. */
static void show_got(const char *to, const json_t *denied, char buf[static PV_SHOW_SENT_BUF])
{
    int len = snprintf(buf, PV_SHOW_SENT_BUF, "sent to %.64s", to);
    for (size_t i = 0; i < json_array_size(denied); i++) {
        const json_t *who = json_array_get(denied, i);
        if (i == 2 && json_array_size(denied) > 3) {
            snprintf(buf + len, PV_SHOW_SENT_BUF - (size_t)len, " and %zu more",
                     json_array_size(denied) - i);
            return;
        }
        len += snprintf(buf + len, PV_SHOW_SENT_BUF - (size_t)len, "%s %.30s (%.20s)",
                        i == 0 ? ", but not yet to" : ",", pv_json_text(who, "name", "?"),
                        pv_json_text(who, "rule", "a rule"));
    }
}

/* Done means that the message is on this node's disk: what it waits for from there on decides. A
 * member that takes no more is there, and a machine that is down reaches nobody who is. */
const char *pv_show_sent(const json_t *body, char buf[static PV_SHOW_SENT_BUF], bool *ret_waits)
{
    const json_t *msg = json_object_get(body, "message");
    const char *held = pv_json_text(msg, "held", "");
    const char *room = pv_json_text(msg, "room", "");
    const char *to = pv_json_text(msg, "to", "?");
    const bool down = pv_json_bool(body, "down"), online = pv_json_bool(body, "online");
    *ret_waits = held[0] != '\0' || down || !online;
    if (strcmp(held, "silent") == 0)
        snprintf(buf, PV_SHOW_SENT_BUF,
                 "queued: %.64s's machine answers no chat from here: its [firewall], or another "
                 "one there, keeps it out",
                 to);
    else if (held[0] != '\0')
        snprintf(buf, PV_SHOW_SENT_BUF, "queued: %.64s's machine takes no more from you for now%s",
                 to,
                 strcmp(held, "disk") == 0    ? ": its disk is nearly full"
                 : strcmp(held, "rules") == 0 ? ": a rule, or its [firewall], denies it"
                                              : "");
    else if (down)
        snprintf(buf, PV_SHOW_SENT_BUF,
                 "queued: this machine is down: `sudo p2pvpnctl up` sends it");
    else if (online)
        show_got(room[0] != '\0' ? room : to, json_object_get(body, "denied"), buf);
    else if (room[0] != '\0')
        snprintf(buf, PV_SHOW_SENT_BUF,
                 "queued: nobody else of %.64s is there; they get it when they are back", room);
    else
        snprintf(buf, PV_SHOW_SENT_BUF, "queued: %.64s is offline and gets it later", to);
    return buf;
}

#define OFFERS "/me offers "

bool pv_show_is_offer(const char *text)
{
    return strncmp(text, OFFERS, strlen(OFFERS)) == 0;
}

const char *pv_show_offer(const char *name, double size, char buf[static PV_SHOW_OFFER_BUF])
{
    snprintf(buf, PV_SHOW_OFFER_BUF, OFFERS "%s (%s) to those who are here", name,
             PV_BYTES_STR(size));
    return buf;
}

bool pv_show_gets_file(const json_t *member)
{
    return pv_json_bool(member, "online") && !pv_json_bool(member, "self");
}

const char *pv_show_no_getter(const json_t *body, const char *room,
                              char buf[static PV_SHOW_SENT_BUF], enum pv_ctlapi_code *ret_code)
{
    size_t n = 0, denied = 0;
    const char *rule = NULL;
    PV_EACH_JSON(json_object_get(body, "members"), m) {
        const char *by = pv_json_text(m, "files_denied", NULL);
        n += pv_show_gets_file(m);
        denied += pv_show_gets_file(m) && by != NULL;
        rule = by != NULL ? by : rule;
    }
    /* Some are called online for a while after this machine went down. */
    const bool down = pv_json_bool(body, "down");
    *ret_code = n > 0 && !down ? PV_CTLAPI_REFUSED : PV_CTLAPI_PEER_OFFLINE;
    if (down)
        snprintf(buf, PV_SHOW_SENT_BUF,
                 "not offered to %.64s: this machine is down: `sudo p2pvpnctl up`, then again",
                 room);
    else if (n > 0)
        snprintf(buf, PV_SHOW_SENT_BUF,
                 "not offered to %.64s: files from this node to all who are there are denied by "
                 "%.20s: `p2pvpnctl rules`",
                 room, rule == NULL ? "a rule" : rule);
    else if (json_array_size(json_object_get(body, "members")) > 1)
        snprintf(buf, PV_SHOW_SENT_BUF,
                 "nobody else of %.64s is there: a file goes to those who are", room);
    else
        snprintf(buf, PV_SHOW_SENT_BUF, "%.64s has no other members: invite one first", room);
    return n == denied || down ? buf : NULL;
}
