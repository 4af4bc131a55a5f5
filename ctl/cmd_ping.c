/* SPDX-License-Identifier: MIT */
/* Commands that wait for a peer: ping, wait. */
#include <stdlib.h>
#include <string.h>

#include "ctl/commands.h"

enum {
    GRACE_S = 15, /* beyond the pings themselves: a path may have to be found first */
};

enum {
    PING_COUNT,
    PING_INTERVAL,
    PING_SIZE,
    PING_DIRECT,
};

struct ping {
    const char *peer;
    unsigned direct, other; /* answers by the path they took */
    double min_ms, max_ms, sum_ms;
};

/* "direct 192.0.2.1:5000", "relay 203.0.113.5:3478" */
static void print_path(struct pv_cli *cli, const json_t *path)
{
    const char *type = pv_json_text(path, "type", "none");
    const char *where = pv_json_text(path, strcmp(type, "relay") == 0 ? "via" : "remote", NULL);
    fprintf(cli->out, "%s", type);
    if (where != NULL) {
        fputc(' ', cli->out);
        pv_show_text(cli->out, where);
    }
}

static void pong(struct pv_cli *cli, const struct pv_ctlapi_reply *event, struct ping *p)
{
    const json_t *path = json_object_get(event->body, "path");
    double rtt = pv_json_real(event->body, "rtt_ms", 0);
    const char *type = pv_json_text(path, "type", "none");
    /* A static peer has one configured way, which counts as direct: no relay sees the packets. */
    bool direct = strcmp(type, "direct") == 0 || strcmp(type, "static") == 0;

    if (p->direct + p->other == 0 || rtt < p->min_ms)
        p->min_ms = rtt;
    p->max_ms = rtt > p->max_ms ? rtt : p->max_ms;
    p->sum_ms += rtt;
    p->direct += direct;
    p->other += !direct;
    /* The time was for all of them: nothing stands in the way. */
    cli->peer = NULL;
    snprintf(cli->unanswered, sizeof(cli->unanswered),
             "%.70s answers, but not all pings were sent: --timeout gives it longer", p->peer);
    /* Statistics are kept whatever is printed: --direct judges by them. */
    if (cli->json || cli->quiet)
        return;
    fprintf(cli->out, "%.0f from %s: %s via ", pv_json_real(event->body, "seq", 0), p->peer,
            PV_MS_STR(rtt));
    print_path(cli, path);
    fputc('\n', cli->out);
}

static void on_ping_event(struct pv_cli *cli, const struct pv_ctlapi_reply *event, void *ctx)
{
    struct ping *p = ctx;
    if (strcmp(event->event, "pong") == 0)
        pong(cli, event, p);
    else if (strcmp(event->event, "timeout") == 0 && !cli->json && !cli->quiet)
        fprintf(cli->out, "%.0f from %s: no answer\n", pv_json_real(event->body, "seq", 0),
                p->peer);
    /* JSON takes every event, also kinds that this program does not know. */
    if (cli->json)
        pv_cli_print_json(cli, event->body);
    fflush(cli->out);
}

/* An option not given stays as pv_ctlapi_request_of() has it, which the help names. */
static int ping_arguments(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *const *value = cli->args.value;
    uint64_t n = 0;
    int code = pv_cli_peer(cli, req, cli->args.word[0]);
    if (code == 0 && value[PING_COUNT] != NULL) {
        code = pv_cli_number(cli, "-c", value[PING_COUNT], 1, PV_CTLAPI_MAX_PINGS, &n);
        req->u.ping.count = (uint32_t)n;
    }
    if (code == 0 && value[PING_SIZE] != NULL) {
        code = pv_cli_number(cli, "-s", value[PING_SIZE], 0, PV_CTLAPI_MAX_PING_SIZE, &n);
        req->u.ping.size = (uint32_t)n;
    }
    if (code == 0 && value[PING_INTERVAL] != NULL) {
        char *end = NULL;
        double s = strtod(value[PING_INTERVAL], &end);
        /* The negated comparison also refuses NaN, which strtod() reads. */
        if (end == value[PING_INTERVAL] || *end != '\0' || !(s >= 0.01 && s <= 3600))
            return pv_cli_usage(cli, "-i \"%.40s\": give seconds, from 0.01 to 3600",
                                value[PING_INTERVAL]);
        req->u.ping.interval_ms = (uint32_t)(s * 1000 + 0.5);
    }
    return code;
}

/* The last line, and what it means. */
static int ping_result(struct pv_cli *cli, const struct ping *p, json_t *body)
{
    unsigned received = p->direct + p->other;
    if (cli->json) {
        pv_cli_print_json(cli, body);
    } else if (!cli->quiet) {
        fprintf(cli->out, "%.0f sent, %.0f received", pv_json_real(body, "sent", 0),
                pv_json_real(body, "received", 0));
        if (received > 0)
            fprintf(cli->out, "; round trip %.1f / %.1f / %.1f ms (least, mean, most)", p->min_ms,
                    p->sum_ms / received, p->max_ms);
        fputc('\n', cli->out);
    }
    /* No answer at all outweighs --direct: a path that does not exist is not "relayed". */
    if (received == 0)
        return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT, "%s did not answer: `p2pvpnctl why %s`", p->peer,
                           p->peer);
    if (cli->args.value[PING_DIRECT] != NULL && p->direct == 0)
        return pv_cli_fail(cli, PV_CTLAPI_RELAYED,
                           "%s answers, but not directly: `p2pvpnctl why %s`", p->peer, p->peer);
    return 0;
}

/* The daemon counts and waits; here only the whole has a deadline, with room for finding a path. */
static int ping(struct pv_cli *cli)
{
    struct ping p = {.peer = cli->args.word[0]};
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_PING);
    int code = ping_arguments(cli, &req);
    if (code == 0)
        code = pv_cli_connect(cli);
    if (code != 0)
        return code;
    uint64_t seconds = (uint64_t)req.u.ping.count * req.u.ping.interval_ms / 1000 + GRACE_S;
    /* A deadline that does not fit means none (0): somebody asked for days. */
    pv_cli_set_timeout(cli, seconds > UINT32_MAX ? 0 : (unsigned)seconds);
    code = pv_cli_call(cli, &req, on_ping_event, &p, &body);
    if (code == 0)
        code = ping_result(cli, &p, body);
    json_decref(body);
    return code;
}

/* --- wait ---------------------------------------------------------------------------------- */

enum {
    WAIT_PEER,
    WAIT_DIRECT,
    WAIT_ONLINE,
};

static int wait_until(struct pv_cli *cli)
{
    const char *const *value = cli->args.value;
    json_t *body = NULL;
    int code = 0;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_WAIT);
    if (value[WAIT_PEER] != NULL)
        code = pv_cli_peer(cli, &req, value[WAIT_PEER]);
    else if (value[WAIT_DIRECT] != NULL)
        code = pv_cli_usage(cli, "--direct needs --peer");
    req.u.wait.direct = value[WAIT_DIRECT] != NULL;
    req.u.wait.online = value[WAIT_ONLINE] != NULL;
    if (code == 0)
        code = pv_cli_connect(cli);
    /* Waiting has no end of its own; --timeout sets one. */
    pv_cli_set_timeout(cli, 0);
    if (code == 0)
        code = pv_cli_call(cli, &req, NULL, NULL, &body);
    if (code == 0 && cli->json)
        pv_cli_print_json(cli, body);
    else if (code == 0)
        pv_cli_note(cli, "%s is %s", value[WAIT_PEER] == NULL ? "this node" : value[WAIT_PEER],
                    value[WAIT_PEER] == NULL     ? "connected"
                    : value[WAIT_DIRECT] != NULL ? "reached directly"
                    : value[WAIT_ONLINE] != NULL ? "online"
                                                 : "reachable");
    json_decref(body);
    return code;
}

const struct pv_command pv_cmds_ping[] = {
    {
        .name = "ping",
        .args = "PEER [-c N] [-i SEC] [-s BYTES] [--direct]",
        .summary = "measure the round trip to PEER, and say which path it took",
        .details = "  -c, --count N   echoes to send (4)\n"
                   "  -i, --interval SEC  seconds between two echoes (1)\n"
                   "  -s, --size BYTES  bytes of data in each echo (56)\n"
                   "  --direct        exit code 10 if no answer came by a direct path\n",
        .example = "p2pvpnctl ping pi -c 3",
        .options = {{"count", 'c', true},
                    {"interval", 'i', true},
                    {"size", 's', true},
                    {"direct", 0, false}},
        .words = {1, 1},
        .run = ping,
    },
    {
        .name = "wait",
        .args = "[--peer PEER] [--direct] [--online]",
        .summary = "wait until this node is connected, or PEER is reachable",
        .details = "For scripts. Without --peer it waits until this node is connected. It waits\n"
                   "without end unless --timeout sets a limit.\n"
                   "  --peer PEER     until PEER is reachable\n"
                   "  --direct        until the path to PEER is direct\n"
                   "  --online        until the coordinator reports PEER as present\n",
        .example = "p2pvpnctl wait --peer pi --direct --timeout 10",
        .options = {{"peer", 0, true}, {"direct", 0, false}, {"online", 0, false}},
        .run = wait_until,
    },
    {.name = NULL},
};
