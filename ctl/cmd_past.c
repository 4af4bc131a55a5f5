/* SPDX-License-Identifier: MIT */
/* Commands that tell what has been: events, which go on with what happens now, and stats. */
#include <string.h>

#include "ctl/commands.h"
#include "sys/proc/clock.h"
#include "sys/term/qr.h"

/* --- events -------------------------------------------------------------------------------- */

enum {
    EVENTS_SINCE,
    EVENTS_PAST,
};

/* "11:20  path         bob is reached directly at 192.0.2.7:41414": one line, whatever the text. */
static bool print_event(struct pv_cli *cli, const struct pv_ctlapi_reply *event)
{
    double now = (double)pv_clock_wall_us() / 1e6, time = pv_json_real(event->body, "time", 0);
    double count = pv_json_real(event->body, "count", -1);
    if (strcmp(event->event, "now") == 0)
        return false;
    if (strcmp(event->event, "missed") == 0) {
        if (count < 0)
            pv_cli_note(cli, "Earlier events are gone: p2pvpnd keeps the newest ones, and forgets "
                             "them when it restarts.");
        else
            pv_cli_note(cli,
                        "%.0f events are left out: p2pvpnd keeps the newest ones of each member.",
                        count);
        return true;
    }
    fprintf(cli->out, "%s  %-11s  ", PV_TIME_STR(time, now), event->event);
    /* It has the words with which it came. */
    if (strcmp(event->event, "problem") == 0 && pv_json_is(event->body, "what", "gone"))
        fputs("over: ", cli->out);
    pv_show_text(cli->out, pv_json_text(event->body, "text", ""));
    fputc('\n', cli->out);
    return true;
}

/* Nobody looks at an empty screen without asking what it does. */
static void note_none(struct pv_cli *cli)
{
    if (cli->args.value[EVENTS_PAST] != NULL)
        pv_cli_note(cli, "No events: nothing happened %s.",
                    cli->args.value[EVENTS_SINCE] != NULL ? "in that time"
                                                          : "since p2pvpnd started");
    else
        pv_cli_note(cli, "No events yet. New ones appear here; Ctrl-C ends this.");
}

/* With --past the present ends it. */
static int take_events(struct pv_cli *cli, const struct pv_ctlapi_request *req)
{
    bool is_over = false, any = false;
    struct pv_ctlapi_reply reply;
    int r = pv_cli_begin(cli, req, &reply);
    while (!is_over) {
        if (r == PV_ERR_TIMEOUT && cli->timeout != 0)
            return 0; /* so long was to be listened */
        if (r != PV_OK)
            return pv_cli_lost(cli, r);
        if (!reply.is_event) {
            int code = (int)reply.code;
            if (reply.ok) /* what asks for events is answered by them */
                code = pv_cli_lost(cli, PV_ERR_MALFORMED);
            else
                pv_cli_complain_of(cli, PV_CTLAPI_WATCH, code, reply.error);
            pv_ctlapi_reply_done(&reply);
            return code;
        }
        bool is_now = strcmp(reply.event, "now") == 0;
        is_over = cli->args.value[EVENTS_PAST] != NULL && is_now;
        if (cli->json)
            pv_cli_print_json(cli, reply.body);
        else if (print_event(cli, &reply))
            any = true;
        else if (is_now && !any)
            note_none(cli);
        pv_ctlapi_reply_done(&reply);
        if (fflush(cli->out) != 0)
            return PV_CTLAPI_FAILED;
        if (!is_over)
            r = pv_client_next(&cli->client, cli->deadline, &reply);
    }
    return 0;
}

/* "10m", "2h", "3d" ago. --past alone means all that is kept. */
static int events(struct pv_cli *cli)
{
    uint64_t ago = 0, now = pv_clock_wall_us() / 1000000;
    const char *since = cli->args.value[EVENTS_SINCE];
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_WATCH);
    req.id = ++cli->last_id;
    memcpy(req.u.watch.what, "all", sizeof("all"));
    struct pv_cli_span span = {"--since", "say how long ago, as 10m, 2h or 3d", 1, now - 1};
    int code = since == NULL ? 0 : pv_cli_duration(cli, &span, since, &ago);
    if (code != 0)
        return code;
    if (since != NULL || cli->args.value[EVENTS_PAST] != NULL)
        req.u.watch.since_s = since == NULL ? 1 : now - ago;
    pv_cli_set_timeout(cli, 0);
    code = pv_cli_connect(cli);
    if (code != 0)
        return code;
    if (req.u.watch.since_s == 0 && !cli->json)
        pv_cli_note(cli, "New events appear here; Ctrl-C ends this. Past ones: `p2pvpnctl events "
                         "--past`");
    return take_events(cli, &req);
}

/* --- stats --------------------------------------------------------------------------------- */

enum {
    BESIDE = 20, /* columns: what a line of a plot is called, and its highest value */
};

/* Columns of a plot, the widest first. Each is so many whole rows of both kinds. */
static const size_t plot_columns[] = {60, 48, 36, 24, 18};

/* The rows of one kind, as columns. */
struct plot {
    const json_t *rows; /* as the answer has them */
    size_t missing;     /* rows before the first that is known */
    size_t columns;
    size_t a_column; /* rows of a column */
    bool plain;      /* ASCII */
};

/* The i-th row's value of key; < 0: not known. */
static double value_at(const struct plot *p, const char *key, size_t i)
{
    const json_t *v =
        i < p->missing ? NULL : json_array_get(json_object_get(p->rows, key), i - p->missing);
    return json_is_number(v) ? json_number_value(v) : -1;
}

/* Of a column: the sum of what its rows carried, or the worst of what they measured. */
static double column_of(const struct plot *p, const char *key, bool adds, size_t column)
{
    double all = -1;
    for (size_t i = column * p->a_column; i < (column + 1) * p->a_column; i++) {
        double v = value_at(p, key, i);
        if (v >= 0 && (adds || v > all))
            all = adds && all > 0 ? all + v : v;
    }
    return all;
}

/* A line of bars; what: its name. Returns the highest column. */
static double print_bars(struct pv_cli *cli, const struct plot *p, const char *what,
                         const char *key, bool adds)
{
    static const char *const blocks[] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                         "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char *const plain[] = {" ", ".", ":", "-", "=", "+", "*", "%", "#"};
    double most = 0;
    for (size_t c = 0; c < p->columns; c++) {
        double v = column_of(p, key, adds, c);
        most = v > most ? v : most;
    }
    fprintf(cli->out, "%-10s ", what);
    for (size_t c = 0; c < p->columns; c++) {
        double v = column_of(p, key, adds, c);
        /* An amount that is there is seen, however small. */
        size_t bar = v <= 0 || most <= 0 ? 0 : 1 + (size_t)(v / most * 7);
        fputs((p->plain ? plain : blocks)[bar], cli->out);
    }
    return most;
}

/* A letter for each column: the worst that any of its rows had, as far as is known. */
static void print_paths(struct pv_cli *cli, const struct plot *p)
{
    const char *path = pv_json_text(p->rows, "path", "");
    size_t n = strlen(path);
    fprintf(cli->out, "%-10s ", "path");
    for (size_t c = 0; c < p->columns; c++) {
        char worst = ' ';
        for (size_t i = c * p->a_column; i < (c + 1) * p->a_column; i++) {
            char x = i < p->missing || i - p->missing >= n ? ' ' : path[i - p->missing];
            if (x == 'r' || (x == 'd' && worst != 'r') || (x == '-' && worst == ' '))
                worst = x;
        }
        fputc(worst, cli->out);
    }
    fputc('\n', cli->out);
}

/* The widest plot that the screen has room for. */
static size_t columns_for(size_t screen)
{
    size_t i = 0;
    while (screen > 0 && i + 1 < PV_ARRAY_LEN(plot_columns) && plot_columns[i] + BESIDE > screen)
        i++;
    return plot_columns[i];
}

/* Returns true if any row has a figure. */
static bool has_figures(const json_t *rows)
{
    static const char *const keys[] = {"rx_bytes", "tx_bytes", "rtt_ms", "loss"};
    for (size_t k = 0; k < PV_ARRAY_LEN(keys); k++) {
        PV_EACH_JSON(json_object_get(rows, keys[k]), value) {
            if (json_number_value(value) > 0)
                return true;
        }
    }
    return false;
}

static void print_plots(struct pv_cli *cli, const char *title, const json_t *rows, size_t n)
{
    const size_t columns = columns_for(cli->screen.width);
    size_t have = json_array_size(json_object_get(rows, "rx_bytes"));
    const struct plot p = {.rows = rows,
                           .missing = have < n ? n - have : 0,
                           .columns = columns,
                           .a_column = n / columns,
                           .plain = !pv_term_is_utf8()};
    double column = pv_json_real(rows, "step", 60) * (double)p.a_column, most;
    pv_show_text_from(cli->out, PV_STR("%s, a column is %s", title, PV_DURATION_STR(column)), 0,
                      cli->screen.width);
    fputc('\n', cli->out);
    most = print_bars(cli, &p, "received", "rx_bytes", true);
    fprintf(cli->out, " %s\n", PV_BYTES_STR(most));
    most = print_bars(cli, &p, "sent", "tx_bytes", true);
    fprintf(cli->out, " %s\n", PV_BYTES_STR(most));
    most = print_bars(cli, &p, "round trip", "rtt_ms", false);
    fprintf(cli->out, " %s\n", most > 0 ? PV_MS_STR(most) : "-");
    most = print_bars(cli, &p, "lost", "loss", false);
    fprintf(cli->out, " %.1f %%\n", most * 100);
    print_paths(cli, &p);
}

static void sum_cells(struct pv_table *t, const json_t *sum)
{
    char text[PV_SHOW_BUF];
    double rtt = pv_json_real(sum, "rtt_ms", -1), loss = pv_json_real(sum, "loss", -1);
    double direct = pv_json_real(sum, "direct", -1);
    pv_table_cell(t, PV_PLAIN, PV_BYTES_STR(pv_json_real(sum, "rx_bytes", 0)));
    pv_table_cell(t, PV_PLAIN, PV_BYTES_STR(pv_json_real(sum, "tx_bytes", 0)));
    pv_table_cell(t, PV_PLAIN, rtt < 0 ? "-" : pv_show_ms(rtt, text));
    snprintf(text, sizeof(text), "%.1f %%", loss * 100);
    pv_table_cell(t, PV_PLAIN, loss < 0 ? "-" : text);
    snprintf(text, sizeof(text), "%.0f %%", direct * 100);
    pv_table_cell(t, PV_PLAIN, direct < 0 ? "-" : text);
}

/* One line about the members that were talked to, and by kind of NAT if there are several. */
static void print_pairs(struct pv_cli *cli, const json_t *pairs)
{
    double talked = 0, direct = 0;
    PV_EACH_JSON(pairs, pair) {
        talked += pv_json_real(pair, "talked", 0);
        direct += pv_json_real(pair, "direct", 0);
    }
    if (talked == 0)
        return;
    pv_cli_say(cli, "direct paths since p2pvpnd started: to %.0f of %.0f %s (%.0f %%)", direct,
               talked, talked == 1 ? "member" : "members", direct / talked * 100);
    if (json_array_size(pairs) == 1)
        return;
    PV_EACH_JSON(pairs, pair)
        pv_cli_say(cli, "  NAT %s here, %s there: %.0f of %.0f", pv_json_text(pair, "nat", "?"),
                   pv_json_text(pair, "peer_nat", "?"), pv_json_real(pair, "direct", 0),
                   pv_json_real(pair, "talked", 0));
}

/* Without figures a sentence stands in the place of the plots. */
static int print_stats(struct pv_cli *cli, const json_t *body)
{
    static const char *const head[] = {"THE LAST DAY", "=RECEIVED", "=SENT",
                                       "=RTT",         "-LOSS",     "-DIRECT"};
    const json_t *list = json_object_get(body, "peers");
    struct pv_table t;
    if (cli->quiet)
        return 0;
    const json_t *minutes = json_object_get(body, "minutes");
    const char *whose = pv_json_text(body, "peer", "this node");
    if (has_figures(minutes))
        print_plots(cli, PV_STR("%s: the last day", whose), minutes, 24 * 60);
    else if (json_array_size(json_object_get(minutes, "rx_bytes")) == 0)
        pv_cli_say(cli, "%s: no figures yet. The first comes a minute after p2pvpnd started.",
                   whose);
    else
        pv_cli_say(cli, "%s: nothing was sent or received in the last day.", whose);
    const json_t *hours = json_object_get(body, "hours");
    if (json_array_size(json_object_get(hours, "rx_bytes")) > 0)
        print_plots(cli, "the last 30 days", hours, 30 * 24);
    else if (has_figures(minutes))
        fputs("the last 30 days: no whole hour yet\n", cli->out);
    print_pairs(cli, json_object_get(body, "pairs"));
    if (json_array_size(list) == 0)
        return 0;
    fputc('\n', cli->out);
    pv_table_begin_headed(&t, head, PV_ARRAY_LEN(head));
    PV_EACH_JSON(list, peer) {
        pv_table_cell(&t, PV_BOLD, pv_json_text(peer, "peer", "?"));
        sum_cells(&t, json_object_get(json_object_get(peer, "sums"), "day"));
    }
    return pv_cli_print_table(cli, &t);
}

const struct pv_command pv_cmds_past[] = {
    {
        .name = "events",
        .args = "[--since TIME] [--past]",
        .summary = "events, one a line: members, paths, problems, messages",
        .details =
            "  --since TIME    first print the events since TIME: 10m, 2h or 3d ago\n"
            "  --past          print past events and exit; without --since all kept events\n"
            "Runs until you press Ctrl-C, or for --timeout SEC. p2pvpnd keeps the newest 512\n"
            "events without the texts of messages, and loses them at a restart.\n",
        .example = "p2pvpnctl events --since 1h",
        .options = {{"since", 0, true}, {"past", 0, false}},
        .run = events,
    },
    {
        .name = "stats",
        .args = "[PEER]",
        .summary = "traffic, round trip, loss and paths of the last day and month",
        .details =
            "Without PEER it shows this node, and the last day of each peer. The line path\n"
            "has the letters d direct (this node: connected to the coordinator), r relay,\n"
            "- none, and a blank while p2pvpnd did not run. Amounts are exact to 6 percent.\n",
        .example = "p2pvpnctl stats pi",
        .words = {0, 1},
        .verb = {.cmd = PV_CTLAPI_STATS, .fill = pv_cli_fill_peer, .print = print_stats},
    },
    {.name = NULL},
};
