/* SPDX-License-Identifier: MIT */
/* Commands that show: status, peers, ip, why, trace. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/lib/seen.h"
#include "ctl/probe/netprobe.h"
#include "sys/proc/clock.h"

#define TRY_TEXT "tcp/1" /* TRY_PORT as rules write it */

enum {
    WATCH_MS = 1000, /* between two screens of status --watch */
    TRY_PORT = 1,    /* tcpmux (RFC 1078), which hardly a machine has: its kernel refuses it */
    TRY_MS = 2500,   /* the SYN is repeated after a second (RFC 6298) */
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

/* "direct", with all "direct 192.0.2.1:5000"; "-": nothing has been sent to it lately. */
static void path_cell(struct pv_table *t, const json_t *path, bool all)
{
    char text[PV_SHOW_BUF];
    const char *type = pv_json_text(path, "type", "none");
    bool relay = strcmp(type, "relay") == 0;
    if (strcmp(type, "none") == 0) {
        pv_table_cell(t, PV_DIM, "-");
        return;
    }
    /* The precision keeps a cell of the table within its buffer: the strings are the daemon's. */
    snprintf(text, sizeof(text), "%s%s%.70s", type, all ? " " : "",
             all ? pv_json_text(path, relay ? "via" : "remote", "") : "");
    pv_table_cell(t, relay ? PV_YELLOW : PV_GREEN, text);
}

static void state_cell(struct pv_table *t, const json_t *peer, double now)
{
    char text[PV_NAME_BUF + PV_SHOW_BUF], ago[PV_AMOUNT_BUF];
    double seen = pv_json_real(peer, "last_seen", 0);
    double shake = pv_json_real(peer, "last_handshake", 0);
    const char *carrier = pv_json_text(peer, "carrier", NULL);
    bool online = pv_json_bool(peer, "online");
    if (strcmp(pv_json_text(peer, "state", "member"), "waiting") == 0)
        snprintf(text, sizeof(text), "asks to be admitted, from %.60s",
                 pv_json_text(peer, "asks_from", "somewhere"));
    else if (strcmp(pv_json_text(peer, "state", "member"), "expired") == 0)
        snprintf(text, sizeof(text), "expired %.60s ago",
                 pv_duration_format(now - pv_json_real(peer, "expires", now), ago));
    else if (carrier != NULL && shake > 0)
        snprintf(text, sizeof(text), "guest of %.63s, handshake %.12s ago", carrier,
                 pv_duration_format(now - shake, ago));
    else if (carrier != NULL)
        snprintf(text, sizeof(text), "guest of %.63s", carrier);
    else if (!online && seen > 0)
        snprintf(text, sizeof(text), "offline, seen %.60s ago",
                 pv_duration_format(now - seen, ago));
    else
        snprintf(text, sizeof(text), "%s", online ? "online" : "offline");
    pv_table_cell(t, online ? PV_GREEN : PV_DIM, text);
}

/* Only --long shows these: 80 columns have no room for them. */
static void counters_cells(struct pv_table *t, const json_t *peer, double now)
{
    char text[PV_SHOW_BUF], amount[PV_AMOUNT_BUF];
    double loss = pv_json_real(json_object_get(peer, "path"), "loss", -1);
    double shake = pv_json_real(peer, "last_handshake", 0);
    snprintf(text, sizeof(text), "%.0f %%", loss * 100);
    pv_table_cell(t, PV_PLAIN, loss < 0 ? "-" : text);
    pv_table_cell(t, PV_PLAIN, pv_bytes_format(pv_json_real(peer, "rx_bytes", 0), amount));
    pv_table_cell(t, PV_PLAIN, pv_bytes_format(pv_json_real(peer, "tx_bytes", 0), amount));
    if (shake > 0)
        snprintf(text, sizeof(text), "%.60s ago", pv_duration_format(now - shake, amount));
    pv_table_cell(t, PV_PLAIN, shake > 0 ? text : "never");
}

/* Everything that is not known is "-": an empty cell would look like a mistake in the table. */
static void peer_row(struct pv_table *t, const json_t *peer, double now, bool all)
{
    char text[PV_SHOW_BUF];
    const json_t *path = json_object_get(peer, "path");
    double rtt = pv_json_real(path, "rtt_ms", -1);
    snprintf(text, sizeof(text), "%.63s%s", pv_json_text(peer, "name", "?"),
             pv_json_bool(peer, "admin") ? " (admin)" : "");
    pv_table_cell(t, PV_BOLD, text);
    pv_table_cell(t, PV_PLAIN, pv_json_text(peer, "ip4", pv_json_text(peer, "ip6", "-")));
    path_cell(t, path, all);
    /* -1 stands for "not measured": a round trip of 0 ms is a value. */
    pv_table_cell(t, PV_PLAIN, rtt < 0 ? "-" : pv_show_ms(rtt, text));
    if (all)
        counters_cells(t, peer, now);
}

/* "guests, printers" */
static void tags_cell(struct pv_table *t, const json_t *tags)
{
    char text[PV_SHOW_BUF] = "-";
    const json_t *tag;
    size_t i, len = 0;
    json_array_foreach(tags, i, tag)
    {
        const char *word = json_string_value(tag);
        size_t left = sizeof(text) - len;
        int n = snprintf(text + len, left, "%s%s", i == 0 ? "" : ", ", word == NULL ? "?" : word);
        if (n < 0 || (size_t)n >= left) {
            snprintf(text + sizeof(text) - 4, 4, "...");
            break;
        }
        len += (size_t)n;
    }
    pv_table_cell(t, PV_PLAIN, text);
}

/* The column is there where somebody has one. */
static bool has_tags(const json_t *list)
{
    const json_t *peer;
    size_t i;
    json_array_foreach(list, i, peer)
    {
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
    char line[PV_SHOW_BUF];
    if (since <= 0 || (!cli->all && wall_s() - since >= NEWS_S))
        return false;
    snprintf(line, sizeof(line), "%s %.60s %.0f", what, pv_json_text(peer, "key", "?"), since);
    bool news = cli->all || !pv_seen_has(seen, line);
    pv_seen_add(seen, line);
    return news;
}

/* A user who trusts a name, or an address, has to hear that another machine has it now. */
static void note_former(struct pv_cli *cli, struct pv_seen *seen, const json_t *peer)
{
    char when[PV_SHOW_BUF], brief[PV_KEY_SHORT_BUF];
    const double now = wall_s();
    double since = pv_json_real(peer, "another_since", 0);
    double ip4_since = pv_json_real(peer, "ip4_since", 0);
    const char *former = pv_json_text(peer, "former", "?");
    const char *ip4_former = pv_json_text(peer, "ip4_former", "?");
    if (is_news(cli, seen, peer, "name", since))
        pv_cli_note(cli,
                    "%s is another machine since %s: `p2pvpnctl history %s` has what the one "
                    "before wrote",
                    pv_json_text(peer, "name", "?"), pv_show_time(since, now, when),
                    pv_key_shorten(former, brief));
    if (strcmp(former, ip4_former) != 0 && is_news(cli, seen, peer, "address", ip4_since))
        pv_cli_note(cli, "%s has %s since %s: before, the address was that of %s",
                    pv_json_text(peer, "name", "?"), pv_json_text(peer, "ip4", "?"),
                    pv_show_time(ip4_since, now, when), pv_key_shorten(ip4_former, brief));
}

/* On a terminal somebody reads it. */
static void note_all_former(struct pv_cli *cli, const json_t *list)
{
    struct pv_seen seen;
    const json_t *peer;
    size_t i;
    pv_seen_load(&seen);
    const size_t before = seen.len;
    json_array_foreach(list, i, peer) note_former(cli, &seen, peer);
    if (seen.len != before && isatty(fileno(cli->err)) && !cli->quiet)
        pv_seen_save(&seen);
}

/* The state stands last, where a long one has room below itself. */
static void peers_table(struct pv_table *t, const json_t *list, bool all)
{
    static const char *const head[] = {"NAME", "ADDRESS",  "PATH", "RTT",
                                       "LOSS", "RECEIVED", "SENT", "HANDSHAKE"};
    enum {
        SHORT = 4
    };
    bool tags = has_tags(list);
    size_t columns = all ? PV_ARRAY_LEN(head) : SHORT, i;
    double now = wall_s();
    const json_t *peer;
    pv_table_begin(t, columns + (tags ? 2 : 1));
    for (i = 0; i < columns; i++)
        pv_table_cell(t, PV_BOLD, head[i]);
    if (tags)
        pv_table_cell(t, PV_BOLD, "TAGS");
    pv_table_cell(t, PV_BOLD, "STATE");
    json_array_foreach(list, i, peer)
    {
        peer_row(t, peer, now, all);
        if (tags)
            tags_cell(t, json_object_get(peer, "tags"));
        state_cell(t, peer, now);
    }
}

static int print_peers(struct pv_cli *cli, const json_t *body)
{
    const json_t *list = json_object_get(body, "peers");
    struct pv_table t;

    /* Quiet tables would be empty words: scripts use --json. */
    if (cli->quiet)
        return 0;
    peers_table(&t, list, cli->all);
    note_all_former(cli, list);
    if (json_array_size(list) == 0)
        pv_cli_note(cli, "no other nodes yet: `sudo p2pvpnctl invite` makes a token for one");
    return pv_cli_print_table(cli, &t);
}

static int peers(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_PEERS);
    return pv_cli_ask_and_print(cli, &req, print_peers);
}

/* --- status -------------------------------------------------------------------------------- */

static void row(struct pv_table *t, const char *what, enum pv_colour colour, const char *text)
{
    pv_table_cell(t, PV_DIM, what);
    pv_table_cell(t, colour, text);
}

/* Most memberships have no end. */
static void status_life(struct pv_table *t, const json_t *self)
{
    char text[PV_SHOW_BUF], when[PV_SHOW_BUF];
    double end = pv_json_real(self, "expires", 0);

    if (end <= 0)
        return;
    snprintf(text, sizeof(text), "until %.30s, renewed while this node is used",
             pv_show_time(end, wall_s(), when));
    row(t, "membership", PV_PLAIN, text);
}

/* How old the transport key is, and when another takes its place. */
static void status_key(struct pv_table *t, const json_t *self)
{
    char text[PV_SHOW_BUF], age[PV_AMOUNT_BUF], left[PV_AMOUNT_BUF];
    double now = wall_s(), since = pv_json_real(self, "wg_key_since", 0);
    double until = pv_json_real(self, "wg_key_until", 0);
    if (since <= 0)
        return;
    pv_duration_format(now > since ? now - since : 0, age);
    if (until <= 0)
        snprintf(text, sizeof(text), "%.20s old, not replaced by itself", age);
    else if (until > now)
        snprintf(text, sizeof(text), "%.20s old, replaced in %.20s", age,
                 pv_duration_format(until - now, left));
    else
        snprintf(text, sizeof(text), "%.20s old, replaced soon", age);
    row(t, "key", PV_PLAIN, text);
}

/* Which network, and who this node is in it; without one, how to get into one. */
static void status_network(struct pv_table *t, const json_t *s)
{
    char text[PV_SHOW_BUF], since[PV_SHOW_BUF];
    const json_t *net = json_object_get(s, "network"), *self = json_object_get(s, "self");
    const char *state = pv_json_text(s, "state", "?");
    /* A node with static peers alone has no network, but works. */
    bool up = strcmp(state, "up") == 0 || strcmp(state, "static") == 0;

    if (strcmp(state, "none") == 0)
        state = "not joined: `p2pvpnctl join TOKEN`, or `create URL`";
    snprintf(text, sizeof(text), "%.60s%s%.20s", state, up ? ", running for " : "",
             up ? pv_duration_format(pv_json_real(s, "uptime", 0), since) : "");
    row(t, "state", up ? PV_GREEN : PV_YELLOW, text);
    if (json_is_object(net)) {
        snprintf(text, sizeof(text), "%.63s  %.20s", pv_json_text(net, "name", "?"),
                 pv_json_text(net, "cidr", ""));
        row(t, "network", PV_PLAIN, text);
    }
    if (json_is_object(self)) {
        bool admin = pv_json_bool(self, "admin"), key = pv_json_bool(self, "root_key");
        snprintf(text, sizeof(text), "%.63s%s%s%s%s", pv_json_text(self, "name", "?"),
                 admin || key ? "  (" : "", admin ? "admin" : "",
                 key ? admin ? ", has the root key" : "has the root key" : "",
                 admin || key ? ")" : "");
        row(t, "this node", PV_BOLD, text);
        snprintf(text, sizeof(text), "%.20s  %.45s", pv_json_text(self, "ip4", "-"),
                 pv_json_text(self, "ip6", ""));
        row(t, "addresses", PV_PLAIN, text);
        status_key(t, self);
        status_life(t, self);
    }
}

/* what: whose bytes these are, where several lines show some. */
static void traffic(struct pv_table *t, const char *label, const json_t *x, const char *what)
{
    char text[PV_SHOW_BUF], sent[PV_AMOUNT_BUF], received[PV_AMOUNT_BUF];
    snprintf(text, sizeof(text), "%s out, %s in%s",
             pv_bytes_format(pv_json_real(x, "tx_bytes", 0), sent),
             pv_bytes_format(pv_json_real(x, "rx_bytes", 0), received), what);
    row(t, label, PV_PLAIN, text);
}

/* A line for each TURN server in use, and what went through them. */
static void status_relays(struct pv_table *t, const json_t *s)
{
    char text[PV_SHOW_BUF], rtt[PV_SHOW_BUF];
    const json_t *relayed = json_object_get(s, "relayed"), *list = json_object_get(s, "relays"), *x;
    size_t i;
    json_array_foreach(list, i, x)
    {
        double ms = pv_json_real(x, "rtt_ms", -1);
        const char *state = pv_json_text(x, "state", "?");
        bool up = strcmp(state, "up") == 0;
        snprintf(text, sizeof(text), "%.52s  by %.5s  %.12s%s%.12s",
                 pv_json_text(x, "address", pv_json_text(x, "name", "?")),
                 pv_json_text(x, "transport", "?"), state, up && ms >= 0 ? "  " : "",
                 up && ms >= 0 ? pv_show_ms(ms, rtt) : "");
        row(t, i == 0 ? "relay" : "", up ? PV_PLAIN : PV_YELLOW, text);
        if (pv_json_text(x, "door", NULL) != NULL)
            row(t, "door", PV_PLAIN, pv_json_text(x, "door", ""));
        if (json_array_size(list) > 1)
            traffic(t, "", x, " through it");
    }
    if (json_array_size(list) > 0 || pv_json_real(relayed, "tx_bytes", 0) > 0 ||
        pv_json_real(relayed, "rx_bytes", 0) > 0)
        traffic(t, "relayed", relayed, json_array_size(list) > 1 ? " in all" : "");
    if (strcmp(pv_json_text(s, "udp", "unknown"), "blocked") == 0)
        row(t, "UDP", PV_YELLOW,
            "blocked here: everything goes through the coordinator by TCP or TLS");
    if (strcmp(pv_json_text(s, "udp", "unknown"), "blocked-there") == 0)
        row(t, "UDP", PV_YELLOW, "closed at the coordinator, which answers by TCP or TLS only");
}

/* " since 14:03"; "" when that is not known. */
static const char *since(const json_t *coord, char buf[static PV_SHOW_BUF])
{
    char when[PV_SHOW_BUF];
    double at = pv_json_real(coord, "away_since", 0);
    buf[0] = '\0';
    if (at > 0)
        snprintf(buf, PV_SHOW_BUF, " since %.20s",
                 pv_show_time(at, (double)pv_clock_wall_us() / 1e6, when));
    return buf;
}

/* The node's ways to the world: interface, coordinator, relays, public addresses. */
static void status_outside(struct pv_table *t, const json_t *s)
{
    char text[2 * PV_SHOW_BUF], rtt[PV_SHOW_BUF], when[PV_SHOW_BUF];
    const json_t *iface = json_object_get(s, "interface"), *addr;
    const json_t *coord = json_object_get(s, "coordinator");
    const json_t *seen = json_object_get(s, "public");
    size_t i;

    if (json_is_object(iface)) {
        snprintf(text, sizeof(text), "%.20s  mtu %.0f  UDP port %.0f",
                 pv_json_text(iface, "name", "?"), pv_json_real(iface, "mtu", 0),
                 pv_json_real(iface, "port", 0));
        row(t, "interface", PV_PLAIN, text);
    }
    if (strcmp(pv_json_text(s, "stack", ""), "lwip") == 0) {
        const char *why = pv_json_text(s, "stack_why", "");
        row(t, "programs", why[0] == '\0' ? PV_PLAIN : PV_YELLOW,
            "by nc, forward, socks and serve: p2pvpnd --user with lwIP (64 KB a round trip)");
        if (why[0] != '\0')
            row(t, "", PV_PLAIN, why);
    } else if (json_is_integer(json_object_get(s, "inside")))
        row(t, "programs", PV_PLAIN,
            "those that `p2pvpnctl run` starts: this is p2pvpnd --user, of one user alone");
    if (json_is_object(coord)) {
        bool up = pv_json_bool(coord, "connected");
        double ms = pv_json_real(coord, "rtt_ms", -1);
        const char *more = !up || ms < 0 ? "" : pv_show_ms(ms, rtt); /* why not: a problem below */
        /* Without an error nothing is wrong: this node is down, or waits and asks now and then. */
        const char *error = json_string_value(json_object_get(coord, "error"));
        snprintf(text, sizeof(text), "%.100s  %s%.24s%s%.40s", pv_json_text(coord, "address", "?"),
                 up              ? "connected"
                 : error == NULL ? "not connected"
                                 : "unreachable",
                 up ? "" : since(coord, when), more[0] == '\0' ? "" : "  ", more);
        row(t, "coordinator", up ? PV_GREEN : PV_YELLOW, text);
        double without = pv_json_real(coord, "reached_without", 0);
        if (!up && without > 0) {
            snprintf(text, sizeof(text), "%.0f %s reached without it", without,
                     without == 1 ? "peer" : "peers");
            row(t, "", PV_PLAIN, text);
        }
    }
    status_relays(t, s);
    if (pv_json_bool(s, "unseen"))
        row(t, "seen as", PV_YELLOW,
            "nothing public: the coordinator is in this LAN ([traversal] stun)");
    json_array_foreach(seen, i, addr)
    {
        const char *a = json_string_value(addr);
        row(t, i == 0 ? "seen as" : "", PV_PLAIN, a == NULL ? "?" : a);
    }
}

/* The own NAT, once something had to be found out about it. */
static void status_nat(struct pv_table *t, const json_t *s)
{
    char text[PV_SHOW_BUF];
    const json_t *hard = json_object_get(s, "hard_nat");
    if (!json_is_object(hard))
        return;
    const char *mapping = pv_json_text(hard, "mapping", "unknown");
    if (strcmp(mapping, "unknown") != 0) {
        bool varies = strcmp(mapping, "varies") == 0;
        snprintf(text, sizeof(text), "%s%s%.20s%s",
                 varies ? "symmetric: another port for each destination"
                        : "the same port for all destinations",
                 varies ? " (" : "", varies ? pv_json_text(hard, "ports", "?") : "",
                 varies ? ")" : "");
        row(t, "NAT", varies ? PV_YELLOW : PV_PLAIN, text);
    }
    bool predict = pv_json_bool(hard, "predict"), birthday = pv_json_bool(hard, "birthday");
    /* "predict" is absent when the daemon does not say: absent is not "off". */
    if (json_object_get(hard, "predict") != NULL && !(predict && birthday))
        row(t, "symmetric NATs", PV_YELLOW,
            predict || birthday ? (predict ? "trying many ports is off (birthday)"
                                           : "predicting ports is off (predict)")
                                : "attempts are off (predict, birthday)");
    if (pv_json_real(hard, "attempts", 0) > 0) {
        double n = pv_json_real(hard, "attempts", 0);
        snprintf(text, sizeof(text),
                 "%.0f %s%s, %.0f of %.0f packets, at most %.0f mappings, %.0f/s", n,
                 n == 1 ? "attempt" : "attempts",
                 pv_json_bool(hard, "running") ? ", one is running" : "",
                 pv_json_real(hard, "packets", 0), pv_json_real(hard, "max_packets", 0),
                 pv_json_real(hard, "max_mappings", 0), pv_json_real(hard, "max_pps", 0));
        row(t, "symmetric NATs", PV_PLAIN, text);
    }
}

/* How long the NAT keeps a binding, once it is known. */
static void status_binding(struct pv_table *t, const json_t *s)
{
    char text[2 * PV_SHOW_BUF], but[48] = "", end[48] = "";
    const json_t *b = json_object_get(s, "nat_binding");
    double idle = pv_json_real(b, "idle_s", -1), idle_max = pv_json_real(b, "idle_max_s", -1);
    double absolute = pv_json_real(b, "absolute_s", -1);
    if (!json_is_object(b) || (idle < 0 && absolute < 0))
        return;
    if (idle_max > 0)
        snprintf(but, sizeof(but), " (%.0f s was too long)", idle_max);
    if (absolute > 0)
        snprintf(end, sizeof(end), ", ends after %.0f s whatever passes", absolute);
    snprintf(text, sizeof(text), "kept %.0f s when idle%.40s; refreshed every %.0f s%.40s",
             idle < 0 ? 0 : idle, but, pv_json_real(b, "refresh_s", 0), end);
    row(t, "NAT binding", absolute > 0 ? PV_YELLOW : PV_PLAIN, text);
}

enum {
    WHY_TEXT = 280, /* bytes of a reason on one line */
};

/* Ports that routers map: what is offered, or what stands in its way. IPv6 without a router that
 * speaks PCP is the usual case and worth no line. */
static void status_portmaps(struct pv_table *t, const json_t *s)
{
    json_t *list = json_object_get(s, "port_mappings"), *m;
    bool first = true;
    size_t i;
    json_array_foreach(list, i, m)
    {
        char text[WHY_TEXT];
        const char *state = pv_json_text(m, "state", "off");
        bool v6 = strcmp(pv_json_text(m, "family", ""), "ipv6") == 0;
        bool works = strcmp(state, "working") == 0;
        if (!works && (v6 || strcmp(state, "off") == 0))
            continue;
        if (works)
            snprintf(text, sizeof(text), "%.60s by %.10s, %.0f s left, proven from outside",
                     pv_json_text(m, "external", "?"), pv_json_text(m, "protocol", "?"),
                     pv_json_real(m, "lifetime", 0));
        else
            snprintf(text, sizeof(text), "no: %.*s", (int)sizeof(text) - 8,
                     pv_json_text(m, "why", "?"));
        row(t, first ? "port mapped" : "", works ? PV_GREEN : PV_PLAIN, text);
        first = false;
    }
}

/* Without routes nothing is said of them; an exit that does not answer must not be overlooked. */
static void show_routes(struct pv_table *t, const json_t *routes)
{
    char text[PV_SHOW_BUF];
    const json_t *x = json_object_get(routes, "exit");
    double used = pv_json_real(routes, "used", 0), carried = pv_json_real(routes, "carried", 0);
    if (used > 0 || carried > 0) {
        snprintf(text, sizeof(text), "%.0f used, %.0f carried for members", used, carried);
        row(t, "routes", PV_PLAIN, text);
    }
    if (json_is_object(x)) {
        bool works = pv_json_bool(x, "works");
        snprintf(text, sizeof(text), "%.64s%s", pv_json_text(x, "peer", "?"),
                 works ? "" : ", which does not answer");
        row(t, "exit", works ? PV_GREEN : PV_YELLOW, text);
    }
}

static void status_people(struct pv_table *t, const json_t *s)
{
    char text[PV_SHOW_BUF];
    const json_t *roster = json_object_get(s, "roster"), *chat = json_object_get(s, "chat");
    if (json_is_object(roster)) {
        snprintf(text, sizeof(text), "%.0f, %.0f online  roster %.8s",
                 pv_json_real(roster, "members", 0), pv_json_real(roster, "online", 0),
                 pv_json_text(roster, "head", "-"));
        row(t, "members", PV_PLAIN, text);
    }
    const json_t *rules = json_object_get(s, "rules");
    double n = pv_json_real(rules, "count", 0);
    bool deny = strcmp(pv_json_text(rules, "default", "allow"), "deny") == 0;
    /* Without rules all members reach all, as everybody expects. */
    if (n > 0 || deny) {
        snprintf(text, sizeof(text), "%.0f, default %s", n, deny ? "deny" : "allow");
        row(t, "rules", PV_PLAIN, text);
    }
    show_routes(t, json_object_get(s, "routes"));
    /* Nothing is said of an empty mailbox. */
    double unread = pv_json_real(chat, "unread", 0), queued = pv_json_real(chat, "queued", 0);
    if (unread > 0 || queued > 0) {
        snprintf(text, sizeof(text), "%.0f unread, %.0f queued", unread, queued);
        /* Unread messages wait for the person here, queued ones for others: only the first ask
         * for attention. */
        row(t, "messages", unread > 0 ? PV_YELLOW : PV_PLAIN, text);
    }
}

/* The libraries in use, and what a packet of 1,420 and one of 100 bytes cost them together. */
static void status_ciphers(struct pv_table *t, const json_t *datapath)
{
    char text[PV_SHOW_BUF];
    const json_t *suite;
    size_t i;
    int len = snprintf(text, sizeof(text), "%.40s", pv_json_text(datapath, "aead", "?"));
    json_array_foreach(json_object_get(datapath, "aead_ns"), i, suite)
    {
        if (len > 0 && (size_t)len < sizeof(text))
            len += snprintf(text + len, sizeof(text) - (size_t)len, "; %.20s %.0f ns",
                            pv_json_text(suite, "suite", "?"), pv_json_real(suite, "ns", 0));
    }
    row(t, "ciphers", PV_PLAIN, text);
}

/* Which threads carry packets, and what of the kernel's help they do without. */
static void status_datapath(struct pv_table *t, const json_t *s)
{
    char text[PV_SHOW_BUF];
    const json_t *d = json_object_get(s, "datapath");
    double workers = pv_json_real(d, "workers", 0), threads = pv_json_real(d, "threads", 0);
    bool tcp = pv_json_bool(d, "tcp_offload"), udp = pv_json_bool(d, "udp_offload");
    if (!json_is_object(d))
        return;
    snprintf(text, sizeof(text), "%.0f %s, %.0f %s, offload: %s", workers,
             workers > 1 ? "workers" : "worker", threads, threads > 1 ? "threads" : "thread",
             tcp ? udp ? "TCP and UDP" : "TCP" : "none");
    row(t, "packets", PV_PLAIN, text);
    status_ciphers(t, d);
    size_t i;
    const json_t *off;
    json_array_foreach(json_object_get(d, "off"), i, off)
    {
        snprintf(text, sizeof(text), "not used: %.12s: %.64s", pv_json_text(off, "what", "?"),
                 pv_json_text(off, "why", "?"));
        row(t, "", PV_YELLOW, text);
    }
}

/* Could somebody who records the packets read them later with a quantum computer? */
static void status_pq(struct pv_table *t, const json_t *s)
{
    char text[240];
    const json_t *pq = json_object_get(s, "post_quantum");
    const char *state = pv_json_text(pq, "state", "");
    double hybrid = pv_json_real(pq, "hybrid", 0), classical = pv_json_real(pq, "classical", 0);
    double waiting = pv_json_real(pq, "waiting", 0), boxes = pv_json_real(pq, "sealing_keys", 0);
    if (!json_is_object(pq))
        return;
    if (strcmp(state, "unable") == 0) {
        snprintf(text, sizeof(text), "no: %.150s", pv_json_text(pq, "why", "?"));
        row(t, "post-quantum", PV_YELLOW, text);
        return;
    }
    int len = snprintf(text, sizeof(text), "%.16s", state);
    if (hybrid + classical > 0 && strcmp(state, "off") != 0)
        len += snprintf(text + len, sizeof(text) - (size_t)len, ", %.0f hybrid, %.0f classical",
                        hybrid, classical);
    if (waiting > 0)
        len += snprintf(text + len, sizeof(text) - (size_t)len, ", %.0f of them waiting", waiting);
    if (json_is_string(json_object_get(pq, "coordinator")) && strcmp(state, "off") != 0)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "; coordinator %.16s",
                        pv_json_text(pq, "coordinator", ""));
    if (boxes > 0)
        snprintf(text + len, sizeof(text) - (size_t)len, "; boxes for %.0f member%s", boxes,
                 boxes == 1 ? "" : "s");
    row(t, "post-quantum", waiting > 0 ? PV_YELLOW : PV_PLAIN, text);
}

/* The packets to many, and the groups that programs here want. */
static void status_lan(struct pv_table *t, const json_t *s)
{
    char text[PV_SHOW_BUF];
    const json_t *lan = json_object_get(s, "lan"), *groups = json_object_get(lan, "groups"), *group;
    bool sent = pv_json_bool(lan, "sent");
    const char *set = pv_json_text(lan, "broadcast", "?");
    size_t i;
    if (!json_is_object(lan))
        return;
    if (!sent && strcmp(set, "auto") == 0)
        snprintf(text, sizeof(text), "not sent: %s",
                 json_is_number(json_object_get(lan, "online"))
                     ? "more than 32 members are online"
                     : "how many members are online is not known now");
    else
        snprintf(text, sizeof(text), "%s%s, copies to %.0f groups",
                 strcmp(set, "auto") == 0 ? "on" : set,
                 sent && pv_json_bool(lan, "wake") ? ", also to idle members" : "",
                 pv_json_real(lan, "wanted", 0));
    row(t, "broadcasts", PV_PLAIN, text);
    json_array_foreach(groups, i, group)
        row(t, i == 0 ? "groups" : "", PV_PLAIN, json_string_value(group));
}

/* Packets that were thrown away: a line for each reason. */
static void status_drops(struct pv_table *t, const json_t *s)
{
    json_t *drops = json_object_get(s, "drops");
    const char *reason;
    json_t *count;
    bool first = true;
    json_object_foreach(drops, reason, count)
    {
        char text[PV_SHOW_BUF];
        /* A reason that never occurred is no news, and there are many of them. */
        if (json_number_value(count) <= 0)
            continue;
        snprintf(text, sizeof(text), "%.0f %.60s", json_number_value(count), reason);
        row(t, first ? "dropped" : "", PV_PLAIN, text);
        first = false;
    }
}

static void status_names(struct pv_table *t, const json_t *s)
{
    char text[PV_CLI_SHARED_BUF];
    for (size_t i = 0; pv_cli_shared_name(s, i, text); i++)
        row(t, i == 0 ? "names" : "", PV_YELLOW, text);
}

static int print_status(struct pv_cli *cli, const json_t *s)
{
    const json_t *problems = json_object_get(s, "problems"), *problem;
    struct pv_table t;
    size_t i;
    pv_table_begin(&t, 2);
    /* From the node outwards; what does not apply leaves no row. Problems come last, where a person
     * looks first. */
    status_network(&t, s);
    status_outside(&t, s);
    status_nat(&t, s);
    status_binding(&t, s);
    status_portmaps(&t, s);
    status_people(&t, s);
    status_names(&t, s);
    status_lan(&t, s);
    status_datapath(&t, s);
    status_pq(&t, s);
    status_drops(&t, s);
    if (json_is_string(json_object_get(s, "confined")))
        row(&t, "confined", PV_PLAIN, pv_json_text(s, "confined", ""));
    if (pv_cli_print_table(cli, &t) != 0)
        return PV_CTLAPI_FAILED;
    json_array_foreach(problems, i, problem)
    {
        fputs(pv_colour_on(PV_RED, cli->screen.colour), cli->out);
        /* It may quote a text from elsewhere: control characters are taken out. */
        const char *text = json_string_value(problem);
        pv_cli_say(cli, "problem: %s", text == NULL ? "?" : text);
        fputs(pv_colour_off(PV_RED, cli->screen.colour), cli->out);
    }
    return 0;
}

/* --watch asks again on the same connection; the screen is cleared only where there is one. */
static int status(struct pv_cli *cli)
{
    bool watch = cli->args.value[0] != NULL;
    int code;
    do {
        json_t *body = NULL;
        struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_STATUS);
        code = pv_cli_ask(cli, &req, &body);
        if (code != 0)
            break;
        if (watch && cli->screen.colour)
            /* ECMA-48: CUP moves the cursor home, ED 2 erases the screen. */
            fputs("\033[H\033[2J", cli->out);
        pv_cli_add_shared_names(body);
        pv_cli_add_web_problem(cli, body);
        if (cli->json)
            pv_cli_print_json(cli, body);
        else if (!cli->quiet)
            code = print_status(cli, body);
        json_decref(body);
        /* The reader of a pipe may be gone: without this --watch would ask for ever. */
        if (fflush(cli->out) != 0)
            break;
        if (watch)
            poll(NULL, 0, WATCH_MS);
    } while (watch && code == 0);
    return code;
}

/* --- ip ------------------------------------------------------------------------------------ */

enum {
    IP_4,
    IP_6,
    IP_WG_KEY,
};

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

static int ip(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_IP);
    /* A peer is named by the caller; without a word the daemon answers for itself. */
    int code = cli->args.n_words > 0 ? pv_cli_peer(cli, &req, cli->args.word[0]) : 0;
    return code != 0 ? code : pv_cli_ask_and_print(cli, &req, print_ip);
}

/* --- why, trace ---------------------------------------------------------------------------- */

static int ask_about(struct pv_cli *cli, enum pv_ctlapi_cmd cmd, pv_cli_print_fn *print)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(cmd);
    int code = pv_cli_peer(cli, &req, cli->args.word[0]);
    return code != 0 ? code : pv_cli_ask_and_print(cli, &req, print);
}

/* The IPv4 address in the overlay of a member, or of this machine. */
static bool overlay_of(struct pv_cli *cli, const char *peer, struct pv_addr *ret_addr)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_IP);
    bool ok = (peer == NULL || pv_cli_peer(cli, &req, peer) == 0) &&
              pv_cli_ask(cli, &req, &body) == 0 &&
              pv_addr_parse_ip(pv_json_text(body, "ip4", ""), ret_addr) == PV_OK;
    json_decref(body);
    return ok;
}

/* Rules would keep the attempt out, too. */
static bool may_try(struct pv_cli *cli, const char *from, const char *to)
{
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_CAN);
    snprintf(req.from, sizeof(req.from), "%s", from);
    snprintf(req.to, sizeof(req.to), "%s", to);
    req.text = strdup(TRY_TEXT);
    bool ok =
        req.text != NULL && pv_cli_ask(cli, &req, &body) == 0 && pv_json_bool(body, "allowed");
    pv_ctlapi_request_done(&req);
    json_decref(body);
    return ok;
}

/* The daemons meet, and programs do not: towards this side a firewall of the other machine is
 * nothing but silence. */
static void try_programs(struct pv_cli *cli, const char *peer)
{
    struct pv_addr from, to;
    char here[PV_ADDR_TEXT], there[PV_ADDR_TEXT];
    if (!overlay_of(cli, NULL, &from) || !overlay_of(cli, peer, &to) ||
        !may_try(cli, pv_addr_format_ip(&from, here), pv_addr_format_ip(&to, there)))
        return;
    to.port = TRY_PORT;
    if (pv_tcptry(&from, &to, TRY_MS) == PV_TCPTRY_SILENT)
        pv_cli_say(cli,
                   "  but: its kernel answers no program: a firewall of that machine's own drops "
                   "what members begin (there `sudo p2pvpnctl doctor` names it), its [firewall] "
                   "does, or one here");
}

/* The daemon composes the lines. They name peers, so they are filtered for the terminal. */
static int print_why(struct pv_cli *cli, const json_t *body)
{
    const json_t *line;
    size_t i;
    json_array_foreach(json_object_get(body, "lines"), i, line)
    {
        const char *text = json_string_value(line);
        pv_cli_say(cli, "%s", text == NULL ? "?" : text);
    }
    if (strncmp(pv_json_text(body, "cause_code", ""), "direct", strlen("direct")) == 0)
        try_programs(cli, cli->args.word[0]);
    return 0;
}

static int why(struct pv_cli *cli)
{
    return ask_about(cli, PV_CTLAPI_WHY, print_why);
}

static int print_trace(struct pv_cli *cli, const json_t *body)
{
    const json_t *event;
    size_t i;
    /* The daemon sends the age of each event in seconds, so that the clocks of the two programs
     * do not matter. */
    json_array_foreach(json_object_get(body, "events"), i, event)
    {
        fprintf(cli->out, "%10.3f s ago  ", pv_json_real(event, "t", 0));
        pv_show_text(cli->out, pv_json_text(event, "text", ""));
        fputc('\n', cli->out);
    }
    return 0;
}

static int trace(struct pv_cli *cli)
{
    return ask_about(cli, PV_CTLAPI_TRACE, print_trace);
}

/* --- metrics ------------------------------------------------------------------------------- */

static int print_metrics(struct pv_cli *cli, const json_t *body)
{
    /* The text is not filtered: Prometheus reads it as it is, and the daemon alone composes it. */
    fputs(pv_json_text(body, "text", ""), cli->out);
    return 0;
}

static int metrics(struct pv_cli *cli)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_METRICS);
    return pv_cli_ask_and_print(cli, &req, print_metrics);
}

const struct pv_command pv_cmds_info[] = {
    {
        .name = "status",
        .args = "[--watch]",
        .summary = "this node at a glance, and what is wrong",
        .details = "  -w, --watch     again every second, until interrupted\n",
        .example = "p2pvpnctl status",
        .options = {{"watch", 'w', false}},
        .run = status,
    },
    {
        .name = "peers",
        .args = "",
        .summary = "the other nodes: who is there, and the way to them",
        .details = "With -l also where their packets go, how many were lost, and counters.\n",
        .example = "p2pvpnctl peers --json",
        .run = peers,
    },
    {
        .name = "metrics",
        .args = "",
        .summary = "all numbers, as text for Prometheus",
        .details =
            "The page that [metrics] listen serves by HTTP; also for node_exporter's textfile\n"
            "collector.\n",
        .example = "p2pvpnctl metrics >node.tmp && mv node.tmp /var/lib/node_exporter/p2pvpn.prom",
        .run = metrics,
    },
    {
        .name = "ip",
        .args = "[PEER] [-4|-6|--wg-key]",
        .summary = "address of a node (without PEER: of this one), alone on a line",
        .details = "  -4, --ip4       the IPv4 address (this is the default)\n"
                   "  -6, --ip6       the IPv6 address\n"
                   "  --wg-key        the key as wg writes it\n",
        .example = "ssh root@$(p2pvpnctl ip pi)",
        .options = {{"ip4", '4', false}, {"ip6", '6', false}, {"wg-key", 0, false}},
        .max_words = 1,
        .run = ip,
    },
    {
        .name = "why",
        .args = "PEER",
        .summary = "why packets to PEER go the way they go",
        .details = "",
        .example = "p2pvpnctl why pi",
        .min_words = 1,
        .max_words = 1,
        .run = why,
    },
    {
        .name = "trace",
        .args = "PEER",
        .summary = "the last decisions about the path to PEER",
        .details = "",
        .example = "p2pvpnctl trace pi",
        .min_words = 1,
        .max_words = 1,
        .run = trace,
    },
    {.name = NULL},
};
