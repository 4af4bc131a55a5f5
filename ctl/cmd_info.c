/* SPDX-License-Identifier: MIT */
/* Commands that show: peers, ip, why, trace, metrics. */
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/hostprobe.h"
#include "ctl/lib/seen.h"
#include "ctl/probe/netprobe.h"
#include "sys/proc/clock.h"

#define TRY_TEXT "tcp/1" /* TRY_PORT as rules write it */

enum {
    TRY_PORT = 1,  /* tcpmux (RFC 1078), which hardly a machine has: its kernel refuses it */
    TRY_MS = 2500, /* the SYN is repeated after a second (RFC 6298) */
    NEWS_S =
        30 * 24 *
        3600, /* ours: `peers` says for so long, and once, that a name or address changed hands */
};

/* The daemon tells points of time by the wall clock; ages are made here, when they are shown. */
static double wall_s(void)
{
    return (double)pv_clock_wall_us() / 1e6;
}

/* --- peers --------------------------------------------------------------------------------- */

/* "direct", with all "direct 192.0.2.1:5000"; "idle": online, and nothing has been sent to it
 * lately. A phone is reached through its gateway. */
static void path_cell(struct pv_table *t, const json_t *peer, bool all)
{
    const json_t *path = json_object_get(peer, "path");
    const char *type = pv_json_text(path, "type", "none");
    const char *gateway = pv_json_text(peer, "gateway", NULL);
    bool relay = strcmp(type, "relay") == 0, online = pv_json_bool(peer, "online");
    if (gateway != NULL)
        pv_table_cellf(t, online ? PV_GREEN : PV_DIM, "via %s", gateway);
    else if (strcmp(type, "none") == 0)
        pv_table_cell(t, PV_DIM, online ? "idle" : "-");
    else
        pv_table_cellf(t, relay ? PV_YELLOW : PV_GREEN, "%s%s%s", relay ? "relayed" : type,
                       all ? " " : "", all ? pv_json_text(path, relay ? "via" : "remote", "") : "");
}

/* When it was heard last, or why it is no member. */
static void seen_cell(struct pv_table *t, const json_t *peer, double now)
{
    double seen = pv_json_real(peer, "last_seen", 0);
    const double shake = pv_json_real(peer, "last_handshake", 0);
    const char *from = pv_json_text(peer, "asks_from", NULL); /* admins alone know */
    bool online = pv_json_bool(peer, "online");
    enum pv_colour colour = online ? PV_GREEN : PV_DIM;
    if (shake > seen)
        seen = shake; /* of a phone nothing else is known */
    if (pv_json_is(peer, "state", "waiting"))
        pv_table_cellf(t, colour, "asks to be admitted%s%s", from == NULL ? "" : ", from ",
                       from == NULL ? "" : from);
    else if (pv_json_is(peer, "state", "expired"))
        pv_table_cellf(t, colour, "expired %s ago",
                       PV_DURATION_STR(now - pv_json_real(peer, "expires", now)));
    else if (online)
        pv_table_cell(t, colour, "now");
    else if (seen > 0)
        pv_table_cellf(t, colour, "%s ago", PV_DURATION_STR(now > seen ? now - seen : 0));
    else
        pv_table_cell(t, colour, "never");
}

/* Only --long shows these: 80 columns have no room for them. */
static void counters_cells(struct pv_table *t, const json_t *peer, double now)
{
    double loss = pv_json_real(json_object_get(peer, "path"), "loss", -1);
    double shake = pv_json_real(peer, "last_handshake", 0);
    pv_table_cell(t, PV_PLAIN, loss < 0 ? "-" : PV_STR("%.0f %%", loss * 100));
    pv_table_cell(t, PV_PLAIN, PV_BYTES_STR(pv_json_real(peer, "rx_bytes", 0)));
    pv_table_cell(t, PV_PLAIN, PV_BYTES_STR(pv_json_real(peer, "tx_bytes", 0)));
    pv_table_cell(t, PV_PLAIN,
                  shake > 0 ? PV_STR("%s ago", PV_DURATION_STR(now - shake)) : "never");
}

/* Everything that is not known is "-": an empty cell would look like a mistake in the table. */
static void peer_row(struct pv_table *t, const json_t *peer, double now, bool all)
{
    const json_t *path = json_object_get(peer, "path");
    double rtt = pv_json_real(path, "rtt_ms", -1);
    pv_table_cellf(t, PV_BOLD, "%s%s", pv_json_text(peer, "name", "?"),
                   pv_json_bool(peer, "admin") ? " (admin)" : "");
    pv_table_cell(t, PV_PLAIN, pv_json_text(peer, "ip4", pv_json_text(peer, "ip6", "-")));
    path_cell(t, peer, all);
    /* -1 stands for "not measured": a round trip of 0 ms is a value. */
    pv_table_cell(t, PV_PLAIN, rtt < 0 ? "-" : PV_MS_STR(rtt));
    if (all)
        counters_cells(t, peer, now);
}

/* "guests, printers" */
static void tags_cell(struct pv_table *t, const json_t *tags)
{
    char text[PV_SHOW_BUF];
    struct pv_text list = pv_text_in(text, sizeof(text));
    PV_EACH_JSON(tags, tag) {
        pv_text_part(&list, ", ");
        pv_text_add(&list, "%s", pv_json_string(tag));
    }
    if (list.cut)
        memcpy(text + sizeof(text) - 4, "...", 4);
    pv_table_cell(t, PV_PLAIN, list.len == 0 ? "-" : text);
}

/* The column is there where somebody has one. */
static bool has_tags(const json_t *list)
{
    PV_EACH_JSON(list, peer) {
        if (json_array_size(json_object_get(peer, "tags")) > 0)
            return true;
    }
    return false;
}

/* With --long for ever; else until it was read, and not above every list for weeks, where nobody
 * reads it. */
static bool is_news(const struct pv_cli *cli, struct pv_seen *seen, const json_t *peer,
                    const char *what, double since)
{
    if (since <= 0 || (!cli->all && wall_s() - since >= NEWS_S))
        return false;
    const char *line = PV_STR("%s %.60s %.0f", what, pv_json_text(peer, "key", "?"), since);
    bool news = cli->all || !pv_seen_has(seen, line);
    pv_seen_add(seen, line);
    return news;
}

/* A user who trusts a name, or an address, has to hear that another machine has it now. */
static void note_former(struct pv_cli *cli, struct pv_seen *seen, const json_t *peer)
{
    const double now = wall_s();
    double since = pv_json_real(peer, "another_since", 0);
    double ip4_since = pv_json_real(peer, "ip4_since", 0);
    const char *former = pv_json_text(peer, "former", "?");
    const char *ip4_former = pv_json_text(peer, "ip4_former", "?");
    if (is_news(cli, seen, peer, "name", since))
        pv_cli_note(cli,
                    "%s is another machine since %s: `p2pvpnctl history %s` has what the one "
                    "before wrote",
                    pv_json_text(peer, "name", "?"), PV_TIME_STR(since, now),
                    PV_KEY_SHORT_STR(former));
    if (strcmp(former, ip4_former) != 0 && is_news(cli, seen, peer, "address", ip4_since))
        pv_cli_note(cli, "%s has %s since %s: before, the address was that of %s",
                    pv_json_text(peer, "name", "?"), pv_json_text(peer, "ip4", "?"),
                    PV_TIME_STR(ip4_since, now), PV_KEY_SHORT_STR(ip4_former));
}

/* On a terminal somebody reads it. */
static void note_all_former(struct pv_cli *cli, const json_t *list)
{
    struct pv_seen seen;
    pv_seen_load(&seen);
    const size_t before = seen.len;
    PV_EACH_JSON(list, peer)
        note_former(cli, &seen, peer);
    if (seen.len != before && isatty(fileno(cli->err)) && !cli->quiet)
        pv_seen_save(&seen);
}

/* LAST SEEN is the last column, where a long reason goes on below itself. */
static void peers_table(struct pv_table *t, const json_t *list, bool all)
{
    static const char *const head[] = {"NAME", "=-ADDRESS", "PATH", "-RTT",
                                       "LOSS", "RECEIVED",  "SENT", "HANDSHAKE"};
    enum {
        SHORT = 4
    };
    bool tags = has_tags(list);
    size_t columns = all ? PV_ARRAY_LEN(head) : SHORT, i;
    double now = wall_s();
    pv_table_begin(t, columns + (tags ? 2 : 1));
    for (i = 0; i < columns; i++)
        pv_table_head(t, PV_BOLD, head[i]);
    if (tags)
        pv_table_head(t, PV_BOLD, "-TAGS");
    pv_table_cell(t, PV_BOLD, "LAST SEEN");
    PV_EACH_JSON(list, peer) {
        peer_row(t, peer, now, all);
        if (tags)
            tags_cell(t, json_object_get(peer, "tags"));
        seen_cell(t, peer, now);
    }
}

static int print_peers(struct pv_cli *cli, const json_t *body)
{
    const json_t *list = json_object_get(body, "peers");
    struct pv_table t;

    /* Quiet tables would be empty words: scripts use --json. */
    if (cli->quiet)
        return 0;
    if (json_array_size(list) == 0) {
        pv_cli_note(cli, "No other members yet. To add one, type on an admin's machine: `sudo "
                         "p2pvpnctl invite`");
        return 0;
    }
    peers_table(&t, list, cli->all);
    note_all_former(cli, list);
    return pv_cli_print_table(cli, &t);
}

/* --- ip ------------------------------------------------------------------------------------ */

enum {
    IP_4,
    IP_6,
    IP_WG_KEY,
};

static int fill_ip(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *const *value = cli->args.value;
    if ((value[IP_4] != NULL) + (value[IP_6] != NULL) + (value[IP_WG_KEY] != NULL) > 1)
        return pv_cli_usage(cli, "it prints one of them: give one of -4, -6 and --wg-key; --json "
                                 "has all");
    return pv_cli_fill_peer(cli, req);
}

static int print_ip(struct pv_cli *cli, const json_t *body)
{
    const char *const *value = cli->args.value;
    const char *field = value[IP_WG_KEY] != NULL ? "wg_key" : value[IP_6] != NULL ? "ip6" : "ip4";
    /* NULL: a node may lack an address of one family, and a script must not read an empty line. */
    const char *text = pv_json_text(body, field, NULL);
    if (text == NULL)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "it has none of that kind: try --json");
    fprintf(cli->out, "%s\n", text);
    return 0;
}

/* --- why, trace ---------------------------------------------------------------------------- */

/* Rules would keep the attempt out, too. */
static bool may_try(struct pv_cli *cli, const char *from, const char *to)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_CAN);
    snprintf(req.u.rule.from, sizeof(req.u.rule.from), "%s", from);
    snprintf(req.u.rule.to, sizeof(req.u.rule.to), "%s", to);
    req.text = strdup(TRY_TEXT);
    bool ok =
        req.text != NULL && pv_cli_ask(cli, &req, &body) == 0 && pv_json_bool(body, "allowed");
    pv_ctlapi_request_done(&req);
    json_decref(body);
    return ok;
}

static enum pv_tcptry try_address(struct pv_cli *cli, const struct pv_addr *from, struct pv_addr to)
{
    to.port = TRY_PORT;
    return from->family == PV_AF_NONE || to.family == PV_AF_NONE ||
                   !may_try(cli, PV_IP_STR(from), PV_IP_STR(&to))
               ? PV_TCPTRY_UNKNOWN
               : pv_tcptry(from, &to, TRY_MS);
}

/* The daemons meet, and programs do not: towards this side a firewall of the other machine is
 * nothing but silence, or a refusal. By one family alone it may be, too. here: what packets showed
 * of this machine. */
static void try_programs(struct pv_cli *cli, const char *peer, enum pv_hostprobe_is here)
{
    static const char *const by[PV_HOSTPROBE_FAMILIES] = {" by IPv4", " by IPv6"};
    struct pv_addr from[PV_HOSTPROBE_FAMILIES], to[PV_HOSTPROBE_FAMILIES];
    enum pv_tcptry is[PV_HOSTPROBE_FAMILIES];
    if (!pv_hostprobe_addresses(cli, NULL, from) || !pv_hostprobe_addresses(cli, peer, to))
        return;
    for (size_t f = 0; f < PV_HOSTPROBE_FAMILIES; f++)
        is[f] = try_address(cli, &from[f], to[f]);
    const bool same = is[0] == is[1];
    for (size_t f = 0; f < (same ? 1 : PV_HOSTPROBE_FAMILIES); f++)
        if (is[f] == PV_TCPTRY_SILENT || is[f] == PV_TCPTRY_KEPT_OUT)
            pv_cli_say(
                cli,
                "But its kernel %s%s: a firewall of that machine's own %s what members begin "
                "(there `sudo p2pvpnctl doctor` names it), or its [firewall] does%s",
                is[f] == PV_TCPTRY_SILENT ? "answers no program" : "lets no program in",
                same ? "" : by[f], is[f] == PV_TCPTRY_SILENT ? "drops" : "refuses",
                here == PV_HOSTPROBE_UNTRIED ? ", or a firewall here" : "");
}

/* Whether packets to and from that member pass this machine's own firewall. */
static enum pv_hostprobe_is try_here(struct pv_cli *cli, const char *peer)
{
    struct pv_hostprobe probe;
    char what[256];
    pv_hostprobe_run(cli, peer, &probe);
    if (probe.is > PV_HOSTPROBE_OPEN)
        pv_cli_say(cli, "But this machine drops %s: `sudo p2pvpnctl doctor` names the rule",
                   pv_hostprobe_words(&probe, peer, what, sizeof(what)));
    return probe.is;
}

/* Where the cause keeps all packets back a try would say nothing of the other machine. */
static bool may_carry(const json_t *why)
{
    const char *code = pv_json_text(why, "cause_code", "");
    return pv_json_bool(why, "reached") && strcmp(code, "direct_without_data") != 0 &&
           strncmp(code, "pq_", strlen("pq_")) != 0;
}

/* Packets go as they should, or would, if there were any. */
static bool is_well(const json_t *why)
{
    const char *code = pv_json_text(why, "cause_code", "");
    return strcmp(code, "direct_well") == 0 || strcmp(code, "static_well") == 0 ||
           strcmp(code, "static_idle") == 0 || strcmp(code, "peer_unwanted") == 0;
}

/* A line "Cause: text." */
static void say_why(struct pv_cli *cli, const char *label, const char *text)
{
    size_t len = strlen(text);
    pv_cli_say(cli, "%s%s%s", label, text, len > 0 && text[len - 1] == '`' ? "" : ".");
}

/* How the peer is reached, and what is wrong with that. */
static void print_why_first(struct pv_cli *cli, const json_t *body)
{
    const json_t *notes = json_object_get(body, "notes");
    const char *todo = pv_json_text(body, "todo", "");
    const char *path = pv_json_text(body, "path", "?"), *cause = pv_json_text(body, "cause", "?");
    const bool same = strncmp(cause, path, strlen(path)) == 0; /* "pi is offline: ..." */
    say_why(cli, "", same ? cause : path);
    if (!is_well(body)) {
        if (!same)
            say_why(cli, "Cause: ", cause);
        if (todo[0] != '\0')
            say_why(cli, "To do: ", todo);
    }
    PV_EACH_JSON(notes, text)
        say_why(cli, "Note: ", pv_json_string(text));
    if (is_well(body))
        pv_cli_say(cli, "%s. Details: `p2pvpnctl why %s -l`",
                   json_array_size(notes) == 0 ? "Nothing is wrong" : "The path is well",
                   cli->args.word[0]);
}

/* The daemon composes the lines. They name peers, so they are filtered for the terminal. */
static int print_why(struct pv_cli *cli, const json_t *body)
{
    const json_t *lines = json_object_get(body, "lines");
    if (!cli->all)
        print_why_first(cli, body);
    else
        PV_EACH_JSON(lines, line)
            pv_cli_say(cli, "%s", pv_json_string(line));
    /* What is lost here says nothing of the other machine. */
    enum pv_hostprobe_is here = try_here(cli, cli->args.word[0]);
    if (may_carry(body) && here <= PV_HOSTPROBE_OPEN)
        try_programs(cli, cli->args.word[0], here);
    return 0;
}

static int print_trace(struct pv_cli *cli, const json_t *body)
{
    /* The daemon sends the age of each event in seconds, so that the clocks of the two programs
     * do not matter. */
    PV_EACH_JSON(json_object_get(body, "events"), event) {
        fprintf(cli->out, "%10.3f s ago  ", pv_json_real(event, "t", 0));
        pv_show_text(cli->out, pv_json_text(event, "text", ""));
        fputc('\n', cli->out);
    }
    return 0;
}

/* --- metrics ------------------------------------------------------------------------------- */

static int print_metrics(struct pv_cli *cli, const json_t *body)
{
    /* The text is not filtered: Prometheus reads it as it is, and the daemon alone composes it. */
    fputs(pv_json_text(body, "text", ""), cli->out);
    return 0;
}

const struct pv_command pv_cmds_info[] = {
    {
        .name = "peers",
        .keeps_root = true, /* it saves what was told, in the user's home */
        .args = "",
        .summary = "the other members, and the path to each",
        .details = "With -l also the address of each path, loss, traffic and last handshake.\n",
        .example = "p2pvpnctl peers --json",
        .verb = {.cmd = PV_CTLAPI_PEERS, .print = print_peers},
    },
    {
        .name = "metrics",
        .args = "",
        .summary = "all numbers of this node, as text for Prometheus",
        .details =
            "Prints the text that [metrics] listen serves by HTTP. It also suits the textfile\n"
            "collector of node_exporter.\n",
        .example = "p2pvpnctl metrics >p2pvpn.tmp && mv p2pvpn.tmp p2pvpn.prom",
        .verb = {.cmd = PV_CTLAPI_METRICS, .print = print_metrics},
    },
    {
        .name = "ip",
        .args = "[PEER] [-4|-6|--wg-key]",
        .summary = "print the address of a node (without PEER: of this one)",
        .details = "  -4, --ip4       the IPv4 address (this is the default)\n"
                   "  -6, --ip6       the IPv6 address\n"
                   "  --wg-key        the key in the form that wg uses\n",
        .example = "ssh root@$(p2pvpnctl ip pi)",
        .options = {{"ip4", '4', false}, {"ip6", '6', false}, {"wg-key", 0, false}},
        .words = {0, 1},
        .verb = {.cmd = PV_CTLAPI_IP, .fill = fill_ip, .print = print_ip},
    },
    {
        .name = "why",
        .args = "PEER",
        .summary = "how this node reaches PEER, and what is wrong",
        .details = "With -l also the evidence: tried paths, NATs, relays, keys.\n",
        .example = "p2pvpnctl why pi",
        .words = {1, 1},
        .verb = {.cmd = PV_CTLAPI_WHY, .fill = pv_cli_fill_peer, .print = print_why},
    },
    {
        .name = "trace",
        .args = "PEER",
        .summary = "the last decisions about the path to PEER",
        .details = "",
        .example = "p2pvpnctl trace pi",
        .words = {1, 1},
        .verb = {.cmd = PV_CTLAPI_TRACE, .fill = pv_cli_fill_peer, .print = print_trace},
    },
    {.name = NULL},
};
