/* SPDX-License-Identifier: MIT */
/* The command that tells what happens, and what has happened: events. */
#include <string.h>

#include "ctl/commands.h"
#include "sys/proc/clock.h"

/* --- events -------------------------------------------------------------------------------- */

enum {
    EVENTS_SINCE,
    EVENTS_PAST,
};

/* "11:20  path         bob is reached directly at 192.0.2.7:41414": one line, whatever the text. */
static void print_event(struct pv_cli *cli, const struct pv_ctlapi_reply *event)
{
    char when[PV_SHOW_BUF];
    double now = (double)pv_clock_wall_us() / 1e6, time = pv_json_real(event->body, "time", 0);
    double count = pv_json_real(event->body, "count", -1);
    if (strcmp(event->event, "now") == 0)
        return;
    if (strcmp(event->event, "missed") == 0) {
        if (count < 0)
            pv_cli_note(cli, "what was before is not known: p2pvpnd keeps the newest events, and "
                             "none over its restart");
        else
            pv_cli_note(cli, "%.0f events are left out: they came faster than they were read",
                        count);
        return;
    }
    fprintf(cli->out, "%s  %-11s  ", pv_show_time(time, now, when), event->event);
    pv_show_text(cli->out, pv_json_text(event->body, "text", ""));
    fputc('\n', cli->out);
}

/* With --past the present ends it. */
static int take_events(struct pv_cli *cli)
{
    bool is_over = false;
    while (!is_over) {
        struct pv_ctlapi_reply reply;
        int r = pv_client_next(&cli->client, cli->deadline, &reply);
        if (r == PV_ERR_TIMEOUT && cli->timeout != 0)
            return 0; /* so long was to be listened */
        if (r != PV_OK)
            return pv_cli_lost(cli, r);
        if (!reply.is_event) {
            int code = (int)reply.code;
            pv_cli_complain_of(cli, PV_CTLAPI_WATCH, code, reply.error);
            pv_ctlapi_reply_done(&reply);
            return code;
        }
        is_over = cli->args.value[EVENTS_PAST] != NULL && strcmp(reply.event, "now") == 0;
        if (cli->json)
            pv_cli_print_json(cli, reply.body);
        else
            print_event(cli, &reply);
        pv_ctlapi_reply_done(&reply);
        if (fflush(cli->out) != 0)
            return PV_CTLAPI_FAILED;
    }
    return 0;
}

/* "10m", "2h", "3d" ago. --past alone means all that is kept. */
static int events(struct pv_cli *cli)
{
    struct pv_ctlapi_request req;
    uint64_t ago = 0, now = pv_clock_wall_us() / 1000000;
    const char *since = cli->args.value[EVENTS_SINCE];
    pv_ctlapi_request_init(&req, PV_CTLAPI_WATCH, ++cli->last_id);
    memcpy(req.word, "all", sizeof("all"));
    if (since != NULL && (pv_duration_parse(since, &ago) < 0 || ago == 0 || ago >= now))
        return pv_cli_usage(cli, "bad --since %s: say how long ago, as 10m, 2h or 3d", since);
    if (since != NULL || cli->args.value[EVENTS_PAST] != NULL)
        req.since_s = since == NULL ? 1 : now - ago;
    pv_cli_set_timeout(cli, 0);
    int code = pv_cli_connect(cli);
    if (code != 0)
        return code;
    int r = pv_client_send(&cli->client, &req, cli->deadline);
    return r == PV_OK ? take_events(cli) : pv_cli_lost(cli, r);
}

const struct pv_command pv_cmds_past[] = {
    {
        .name = "events",
        .args = "[--since TIME] [--past]",
        .summary = "what happens, a line each: members, paths, problems, messages",
        .details =
            "  --since TIME    first what happened since then: 10m, 2h or 3d ago\n"
            "  --past          no more than the past; without --since all of it that is kept\n"
            "It goes on until it is ended, or for --timeout SEC. p2pvpnd keeps the newest 512\n"
            "events, without what messages say, and none over its restart.\n",
        .example = "p2pvpnctl events --since 1h",
        .options = {{"since", 0, true}, {"past", 0, false}},
        .run = events,
    },
    {.name = NULL},
};
