/* SPDX-License-Identifier: MIT */
/* Commands that show: status, peers, ip, why, trace. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
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
    const char *type = pv_json_text(path, "type", "none");
    bool relay = strcmp(type, "relay") == 0;
    if (strcmp(type, "none") == 0)
        pv_table_cell(t, PV_DIM, "-");
    else
        pv_table_cellf(t, relay ? PV_YELLOW : PV_GREEN, "%s%s%s", type, all ? " " : "",
                       all ? pv_json_text(path, relay ? "via" : "remote", "") : "");
}

static void state_cell(struct pv_table *t, const json_t *peer, double now)
{
    double seen = pv_json_real(peer, "last_seen", 0);
    double shake = pv_json_real(peer, "last_handshake", 0);
    const char *carrier = pv_json_text(peer, "carrier", NULL);
    const char *from = pv_json_text(peer, "asks_from", NULL); /* admins alone know */
    bool online = pv_json_bool(peer, "online");
    enum pv_colour colour = online ? PV_GREEN : PV_DIM;
    if (pv_json_is(peer, "state", "waiting"))
        pv_table_cellf(t, colour, "asks to be admitted%s%s", from == NULL ? "" : ", from ",
                       from == NULL ? "" : from);
    else if (pv_json_is(peer, "state", "expired"))
        pv_table_cellf(t, colour, "expired %s ago",
                       PV_DURATION_STR(now - pv_json_real(peer, "expires", now)));
    else if (carrier != NULL && shake > 0)
        pv_table_cellf(t, colour, "guest of %s, handshake %s ago", carrier,
                       PV_DURATION_STR(now - shake));
    else if (carrier != NULL)
        pv_table_cellf(t, colour, "guest of %s", carrier);
    else if (!online && seen > 0)
        pv_table_cellf(t, colour, "offline, seen %s ago", PV_DURATION_STR(now - seen));
    else
        pv_table_cell(t, colour, online ? "online" : "offline");
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
    path_cell(t, path, all);
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

/* The state stands last, where a long one has room below itself. */
static void peers_table(struct pv_table *t, const json_t *list, bool all)
{
    static const char *const head[] = {"NAME", "=ADDRESS", "-PATH", "-RTT",
                                       "LOSS", "RECEIVED", "SENT",  "HANDSHAKE"};
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
    pv_table_cell(t, PV_BOLD, "STATE");
    PV_EACH_JSON(list, peer) {
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
        pv_cli_note(
            cli,
            "no other nodes: `sudo p2pvpnctl invite`, typed by an admin, makes a token for one");
    return pv_cli_print_table(cli, &t);
}

/* --- status -------------------------------------------------------------------------------- */

/* Most memberships have no end. */
static void status_life(struct pv_table *t, const json_t *self)
{
    double end = pv_json_real(self, "expires", 0);
    if (end > 0)
        pv_table_fact(t, "membership", PV_PLAIN, "until %s, renewed while this node is used",
                      PV_TIME_STR(end, wall_s()));
}

/* How old the transport key is, and when another takes its place. */
static void status_key(struct pv_table *t, const json_t *self)
{
    double now = wall_s(), since = pv_json_real(self, "wg_key_since", 0);
    double until = pv_json_real(self, "wg_key_until", 0);
    if (since <= 0)
        return;
    pv_table_fact(t, "key", PV_PLAIN, "%s old, %s%s",
                  PV_DURATION_STR(now > since ? now - since : 0),
                  until <= 0    ? "not replaced by itself"
                  : until > now ? "replaced in "
                                : "replaced soon",
                  until > now ? PV_DURATION_STR(until - now) : "");
}

/* Which network, and who this node is in it; without one, how to get into one. */
static void status_network(struct pv_table *t, const json_t *s)
{
    const json_t *net = json_object_get(s, "network"), *self = json_object_get(s, "self");
    const char *state = pv_json_text(s, "state", "?");
    /* A node with static peers alone has no network, but works. */
    bool up = strcmp(state, "up") == 0 || strcmp(state, "static") == 0;

    if (strcmp(state, "none") == 0)
        state = "not joined: `p2pvpnctl join TOKEN`, or `p2pvpnctl create URL`";
    pv_table_fact(t, "state", up ? PV_GREEN : PV_YELLOW, "%s%s%s", state,
                  up ? ", running for " : "",
                  up ? PV_DURATION_STR(pv_json_real(s, "uptime", 0)) : "");
    if (json_is_object(net))
        pv_table_fact(t, "network", PV_PLAIN, "%s  %s", pv_json_text(net, "name", "?"),
                      pv_json_text(net, "cidr", ""));
    if (!json_is_object(self))
        return;
    bool admin = pv_json_bool(self, "admin"), key = pv_json_bool(self, "root_key");
    pv_table_fact(t, "this node", PV_BOLD, "%s%s", pv_json_text(self, "name", "?"),
                  admin && key ? "  (admin, has the root key)"
                  : admin      ? "  (admin)"
                  : key        ? "  (has the root key)"
                               : "");
    pv_table_fact(t, "addresses", PV_PLAIN, "%s  %s", pv_json_text(self, "ip4", "-"),
                  pv_json_text(self, "ip6", ""));
    status_key(t, self);
    status_life(t, self);
}

/* what: whose bytes these are, where several lines show some. */
static void traffic(struct pv_table *t, const char *label, const json_t *x, const char *what)
{
    pv_table_fact(t, label, PV_PLAIN, "%s out, %s in%s",
                  PV_BYTES_STR(pv_json_real(x, "tx_bytes", 0)),
                  PV_BYTES_STR(pv_json_real(x, "rx_bytes", 0)), what);
}

/* A line for each TURN server in use, and what went through them. */
static void status_relays(struct pv_table *t, const json_t *s)
{
    const json_t *relayed = json_object_get(s, "relayed"), *list = json_object_get(s, "relays");
    PV_EACH_JSON(list, x) {
        double ms = pv_json_real(x, "rtt_ms", -1);
        const char *state = pv_json_text(x, "state", "?");
        bool up = strcmp(state, "up") == 0;
        const char *door = pv_json_text(x, "door", NULL);
        pv_table_fact(t, x_i == 0 ? "relay" : "", up ? PV_PLAIN : PV_YELLOW, "%s  by %s  %s%s%s",
                      pv_json_text(x, "address", pv_json_text(x, "name", "?")),
                      pv_json_text(x, "transport", "?"), state, up && ms >= 0 ? "  " : "",
                      up && ms >= 0 ? PV_MS_STR(ms) : "");
        if (door != NULL)
            pv_table_fact(t, "door", PV_PLAIN, "%s", door);
        if (json_array_size(list) > 1)
            traffic(t, "", x, " through it");
    }
    if (json_array_size(list) > 0 || pv_json_real(relayed, "tx_bytes", 0) > 0 ||
        pv_json_real(relayed, "rx_bytes", 0) > 0)
        traffic(t, "relayed", relayed, json_array_size(list) > 1 ? " in all" : "");
    if (pv_json_is(s, "udp", "blocked"))
        pv_table_fact(t, "UDP", PV_YELLOW,
                      "blocked here: everything goes through the coordinator by TCP or TLS");
    if (pv_json_is(s, "udp", "blocked-there"))
        pv_table_fact(t, "UDP", PV_YELLOW,
                      "closed at the coordinator, which answers by TCP or TLS only");
}

/* Where it is, and since when it is away. The reason stands among the problems. */
static void status_coordinator(struct pv_table *t, const json_t *coord)
{
    bool up = pv_json_bool(coord, "connected");
    double ms = pv_json_real(coord, "rtt_ms", -1), since = pv_json_real(coord, "away_since", 0);
    double without = pv_json_real(coord, "reached_without", 0);
    if (!json_is_object(coord))
        return;
    const char *address = pv_json_text(coord, "address", "?");
    /* Without an error nothing is wrong: this node is down, or waits and asks now and then. */
    const char *away = json_is_string(json_object_get(coord, "remedy"))  ? "without this network"
                       : json_is_string(json_object_get(coord, "error")) ? "unreachable"
                                                                         : "not connected";
    if (up)
        pv_table_fact(t, "coordinator", PV_GREEN, "%s  connected%s%s", address, ms < 0 ? "" : "  ",
                      ms < 0 ? "" : PV_MS_STR(ms));
    else
        pv_table_fact(t, "coordinator", PV_YELLOW, "%s  %s%s%s", address, away,
                      since > 0 ? " since " : "", since > 0 ? PV_TIME_STR(since, wall_s()) : "");
    if (!up && without > 0)
        pv_table_fact(t, "", PV_PLAIN, "%.0f %s reached without it", without,
                      without == 1 ? "peer" : "peers");
}

/* The node's ways to the world: interface, coordinator, relays, public addresses. */
static void status_outside(struct pv_table *t, const json_t *s)
{
    const json_t *iface = json_object_get(s, "interface");

    if (json_is_object(iface))
        pv_table_fact(t, "interface", PV_PLAIN, "%s  mtu %.0f  UDP port %.0f",
                      pv_json_is(s, "stack", "lwip") ? "none, lwIP stands in"
                                                     : pv_json_text(iface, "name", "?"),
                      pv_json_real(iface, "mtu", 0), pv_json_real(iface, "port", 0));
    if (pv_json_is(s, "stack", "lwip")) {
        const char *why = pv_json_text(s, "stack_why", "");
        pv_table_fact(t, "programs", why[0] == '\0' ? PV_PLAIN : PV_YELLOW,
                      "by nc, forward, socks and serve: p2pvpnd --user with lwIP");
        if (why[0] != '\0')
            pv_table_fact(t, "", PV_PLAIN, "%s", why);
        const double restarts = pv_json_real(s, "stack_restarts", 0);
        if (restarts > 0)
            pv_table_fact(t, "", PV_YELLOW,
                          "lwIP's process ended and was started again %.0f %s: p2pvpnd's log says "
                          "why",
                          restarts, restarts == 1 ? "time" : "times");
    } else if (json_is_integer(json_object_get(s, "inside")))
        pv_table_fact(
            t, "programs", PV_PLAIN,
            "those that `p2pvpnctl run` starts: this is p2pvpnd --user, of one user alone");
    status_coordinator(t, json_object_get(s, "coordinator"));
    status_relays(t, s);
    if (pv_json_bool(s, "unseen"))
        pv_table_fact(t, "seen as", PV_YELLOW,
                      "nothing public: the coordinator is in this LAN ([traversal] stun)");
    PV_EACH_JSON(json_object_get(s, "public"), addr)
        pv_table_fact(t, addr_i == 0 ? "seen as" : "", PV_PLAIN, "%s", pv_json_string(addr));
}

/* The own NAT, once something had to be found out about it. */
static void status_nat(struct pv_table *t, const json_t *s)
{
    const json_t *hard = json_object_get(s, "hard_nat");
    if (!json_is_object(hard))
        return;
    const char *mapping = pv_json_text(hard, "mapping", "unknown");
    if (strcmp(mapping, "varies") == 0)
        pv_table_fact(t, "NAT", PV_YELLOW, "symmetric: another port for each destination (%s)",
                      pv_json_text(hard, "ports", "?"));
    else if (strcmp(mapping, "unknown") != 0)
        pv_table_fact(t, "NAT", PV_PLAIN, "the same port for all destinations");
    bool predict = pv_json_bool(hard, "predict"), birthday = pv_json_bool(hard, "birthday");
    /* "predict" is absent when the daemon does not say: absent is not "off". */
    if (json_object_get(hard, "predict") != NULL && !(predict && birthday))
        pv_table_fact(t, "symmetric NATs", PV_YELLOW, "%s",
                      predict    ? "trying many ports is off (birthday)"
                      : birthday ? "predicting ports is off (predict)"
                                 : "attempts are off (predict, birthday)");
    double n = pv_json_real(hard, "attempts", 0);
    if (n > 0)
        pv_table_fact(t, "symmetric NATs", PV_PLAIN,
                      "%.0f %s%s, %.0f of %.0f packets, at most %.0f mappings, %.0f/s", n,
                      n == 1 ? "attempt" : "attempts",
                      pv_json_bool(hard, "running") ? ", one is running" : "",
                      pv_json_real(hard, "packets", 0), pv_json_real(hard, "max_packets", 0),
                      pv_json_real(hard, "max_mappings", 0), pv_json_real(hard, "max_pps", 0));
}

/* How long the NAT keeps a binding, once it is known. */
static void status_binding(struct pv_table *t, const json_t *s)
{
    const json_t *b = json_object_get(s, "nat_binding");
    double idle = pv_json_real(b, "idle_s", -1), idle_max = pv_json_real(b, "idle_max_s", -1);
    double absolute = pv_json_real(b, "absolute_s", -1);
    if (idle < 0 && absolute < 0)
        return;
    pv_table_fact(t, "NAT binding", absolute > 0 ? PV_YELLOW : PV_PLAIN,
                  "kept %.0f s when idle%s; refreshed every %.0f s%s", idle < 0 ? 0 : idle,
                  idle_max > 0 ? PV_STR(" (%.0f s was too long)", idle_max) : "",
                  pv_json_real(b, "refresh_s", 0),
                  absolute > 0 ? PV_STR(", ends after %.0f s whatever passes", absolute) : "");
}

/* Ports that routers map: what is offered, or what stands in its way. IPv6 without a router that
 * speaks PCP is the usual case and worth no line. */
static void status_portmaps(struct pv_table *t, const json_t *s)
{
    bool first = true;
    PV_EACH_JSON(json_object_get(s, "port_mappings"), m) {
        const char *label = first ? "port mapped" : "";
        const char *state = pv_json_text(m, "state", "off");
        bool works = strcmp(state, "working") == 0;
        if (!works && (pv_json_is(m, "family", "ipv6") || strcmp(state, "off") == 0))
            continue;
        if (works)
            pv_table_fact(t, label, PV_GREEN, "%s by %s, %.0f s left, proven from outside",
                          pv_json_text(m, "external", "?"), pv_json_text(m, "protocol", "?"),
                          pv_json_real(m, "lifetime", 0));
        else
            pv_table_fact(t, label, PV_PLAIN, "no: %s", pv_json_text(m, "why", "?"));
        first = false;
    }
}

/* Without routes nothing is said of them; an exit that does not answer must not be overlooked. */
static void show_routes(struct pv_table *t, const json_t *routes)
{
    const json_t *x = json_object_get(routes, "exit");
    double used = pv_json_real(routes, "used", 0), carried = pv_json_real(routes, "carried", 0);
    if (used > 0 || carried > 0)
        pv_table_fact(t, "routes", PV_PLAIN, "%.0f used, %.0f carried for members", used, carried);
    if (json_is_object(x)) {
        bool works = pv_json_bool(x, "works");
        pv_table_fact(t, "exit", works ? PV_GREEN : PV_YELLOW, "%s%s", pv_json_text(x, "peer", "?"),
                      works                        ? ""
                      : pv_json_bool(x, "down")    ? ", not used while this machine is down"
                      : pv_json_bool(x, "refused") ? ", which this machine cannot use"
                                                   : ", which does not answer");
    }
}

static void status_people(struct pv_table *t, const json_t *s)
{
    const json_t *roster = json_object_get(s, "roster"), *chat = json_object_get(s, "chat");
    if (json_is_object(roster))
        pv_table_fact(t, "members", PV_PLAIN, "%.0f, %.0f online  roster %.8s",
                      pv_json_real(roster, "members", 0), pv_json_real(roster, "online", 0),
                      pv_json_text(roster, "head", "-"));
    const json_t *rules = json_object_get(s, "rules");
    double n = pv_json_real(rules, "count", 0);
    bool deny = pv_json_is(rules, "default", "deny");
    /* Without rules all members reach all, as everybody expects. */
    if (n > 0 || deny)
        pv_table_fact(t, "rules", PV_PLAIN, "%.0f, default %s", n, deny ? "deny" : "allow");
    show_routes(t, json_object_get(s, "routes"));
    /* Nothing is said of an empty mailbox. */
    double unread = pv_json_real(chat, "unread", 0), queued = pv_json_real(chat, "queued", 0);
    if (unread > 0 || queued > 0) {
        /* Unread messages wait for the person here, queued ones for others: only the first ask
         * for attention. */
        pv_table_fact(t, "messages", unread > 0 ? PV_YELLOW : PV_PLAIN, "%.0f unread, %.0f queued",
                      unread, queued);
    }
}

/* The libraries in use, and what a packet of 1,420 and one of 100 bytes cost them together. */
static void status_ciphers(struct pv_table *t, const json_t *datapath)
{
    char text[PV_SHOW_BUF];
    struct pv_text list = pv_text_in(text, sizeof(text));
    pv_text_add(&list, "%s", pv_json_text(datapath, "aead", "?"));
    PV_EACH_JSON(json_object_get(datapath, "aead_ns"), suite)
        pv_text_add(&list, "; %s %.0f ns", pv_json_text(suite, "suite", "?"),
                    pv_json_real(suite, "ns", 0));
    pv_table_fact(t, "ciphers", PV_PLAIN, "%s", text);
}

/* Which threads carry packets, and what of the kernel's help they do without. */
static void status_datapath(struct pv_table *t, const json_t *s)
{
    const json_t *d = json_object_get(s, "datapath");
    double workers = pv_json_real(d, "workers", 0), threads = pv_json_real(d, "threads", 0);
    bool tcp = pv_json_bool(d, "tcp_offload"), udp = pv_json_bool(d, "udp_offload");
    if (!json_is_object(d))
        return;
    pv_table_fact(t, "packets", PV_PLAIN, "%.0f %s, %.0f %s, offload: %s", workers,
                  workers > 1 ? "workers" : "worker", threads, threads > 1 ? "threads" : "thread",
                  tcp ? udp ? "TCP and UDP" : "TCP" : "none");
    status_ciphers(t, d);
    PV_EACH_JSON(json_object_get(d, "off"), off)
        pv_table_fact(t, "", PV_YELLOW, "not used: %s: %s", pv_json_text(off, "what", "?"),
                      pv_json_text(off, "why", "?"));
}

/* Could somebody who records the packets read them later with a quantum computer? */
static void status_pq(struct pv_table *t, const json_t *s)
{
    char text[PV_STR_BUF];
    struct pv_text list = pv_text_in(text, sizeof(text));
    const json_t *pq = json_object_get(s, "post_quantum");
    const char *coordinator = pv_json_text(pq, "coordinator", NULL);
    double hybrid = pv_json_real(pq, "hybrid", 0), classical = pv_json_real(pq, "classical", 0);
    double waiting = pv_json_real(pq, "waiting", 0), boxes = pv_json_real(pq, "sealing_keys", 0);
    bool off = pv_json_is(pq, "state", "off");
    if (!json_is_object(pq))
        return;
    if (pv_json_is(pq, "state", "unable")) {
        pv_table_fact(t, "post-quantum", PV_YELLOW, "no: %s", pv_json_text(pq, "why", "?"));
        return;
    }
    pv_text_add(&list, "%s", pv_json_text(pq, "state", ""));
    if (hybrid + classical > 0 && !off)
        pv_text_add(&list, ", %.0f hybrid, %.0f classical", hybrid, classical);
    if (waiting > 0)
        pv_text_add(&list, ", %.0f of them waiting", waiting);
    if (coordinator != NULL && !off)
        pv_text_add(&list, "; coordinator %s", coordinator);
    if (boxes > 0)
        pv_text_add(&list, "; boxes for %.0f member%s", boxes, boxes == 1 ? "" : "s");
    pv_table_fact(t, "post-quantum", waiting > 0 ? PV_YELLOW : PV_PLAIN, "%s", text);
}

/* The packets to many, and the groups that programs here want. */
static void status_lan(struct pv_table *t, const json_t *s)
{
    const json_t *lan = json_object_get(s, "lan");
    bool sent = pv_json_bool(lan, "sent"), is_auto = pv_json_is(lan, "broadcast", "auto");
    if (!json_is_object(lan))
        return;
    if (!sent && is_auto)
        pv_table_fact(t, "broadcasts", PV_PLAIN, "not sent: %s",
                      json_is_number(json_object_get(lan, "online"))
                          ? "more than 32 members are online"
                          : "how many members are online is not known now");
    else
        pv_table_fact(t, "broadcasts", PV_PLAIN, "%s%s, copies to %.0f groups",
                      is_auto ? "on" : pv_json_text(lan, "broadcast", "?"),
                      sent && pv_json_bool(lan, "wake") ? ", also to idle members" : "",
                      pv_json_real(lan, "wanted", 0));
    PV_EACH_JSON(json_object_get(lan, "groups"), group)
        pv_table_fact(t, group_i == 0 ? "groups" : "", PV_PLAIN, "%s", pv_json_string(group));
}

/* Packets that were thrown away: a line for each reason. */
static void status_drops(struct pv_table *t, const json_t *s)
{
    json_t *drops = json_object_get(s, "drops");
    const char *reason;
    json_t *count;
    bool first = true;
    json_object_foreach(drops, reason, count) {
        /* A reason that never occurred is no news, and there are many of them. */
        if (json_number_value(count) <= 0)
            continue;
        pv_table_fact(t, first ? "dropped" : "", PV_PLAIN, "%.0f %s", json_number_value(count),
                      reason);
        first = false;
    }
}

static void status_names(struct pv_table *t, const json_t *s)
{
    char text[PV_CLI_SHARED_BUF];
    for (size_t i = 0; pv_cli_shared_name(s, i, text); i++)
        pv_table_fact(t, i == 0 ? "names" : "", PV_YELLOW, "%s", text);
}

static int print_status(struct pv_cli *cli, const json_t *s)
{
    const json_t *problems = json_object_get(s, "problems");
    struct pv_table t;
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
        pv_table_fact(&t, "confined", PV_PLAIN, "%s", pv_json_text(s, "confined", ""));
    if (pv_cli_print_table(cli, &t) != 0)
        return PV_CTLAPI_FAILED;
    PV_EACH_JSON(problems, problem) {
        fputs(pv_colour_on(PV_RED, cli->screen.colour), cli->out);
        /* It may quote a text from elsewhere: control characters are taken out. */
        pv_cli_say(cli, "problem: %s", pv_json_string(problem));
        fputs(pv_colour_off(PV_RED, cli->screen.colour), cli->out);
    }
    return 0;
}

/* --watch asks again on the same connection; the screen is cleared only where there is one. */
static int status(struct pv_cli *cli)
{
    bool watch = cli->args.value[0] != NULL;
    int code = watch ? pv_cli_endless(cli, "status --watch") : 0;
    if (code != 0)
        return code;
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

enum {
    FAMILIES = 2, /* IPv4, IPv6 */
};

/* The addresses in the overlay of a member, or of this machine; PV_AF_NONE: none. */
static bool overlay_of(struct pv_cli *cli, const char *peer, struct pv_addr ret_addr[FAMILIES])
{
    static const char *const keys[FAMILIES] = {"ip4", "ip6"};
    json_t *body = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_IP);
    bool ok =
        (peer == NULL || pv_cli_peer(cli, &req, peer) == 0) && pv_cli_ask(cli, &req, &body) == 0;
    for (size_t f = 0; f < FAMILIES; f++)
        if (pv_addr_parse_ip(pv_json_text(body, keys[f], ""), &ret_addr[f]) != PV_OK)
            ret_addr[f] = (struct pv_addr){.family = PV_AF_NONE};
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

static enum pv_tcptry try_address(struct pv_cli *cli, const struct pv_addr *from, struct pv_addr to)
{
    to.port = TRY_PORT;
    return from->family == PV_AF_NONE || to.family == PV_AF_NONE ||
                   !may_try(cli, PV_IP_STR(from), PV_IP_STR(&to))
               ? PV_TCPTRY_UNKNOWN
               : pv_tcptry(from, &to, TRY_MS);
}

/* The daemons meet, and programs do not: towards this side a firewall of the other machine is
 * nothing but silence, or a refusal. By one family alone it may be, too. */
static void try_programs(struct pv_cli *cli, const char *peer)
{
    static const char *const by[FAMILIES] = {" by IPv4", " by IPv6"};
    struct pv_addr from[FAMILIES], to[FAMILIES];
    enum pv_tcptry is[FAMILIES];
    if (!overlay_of(cli, NULL, from) || !overlay_of(cli, peer, to))
        return;
    for (size_t f = 0; f < FAMILIES; f++)
        is[f] = try_address(cli, &from[f], to[f]);
    const bool same = is[0] == is[1];
    for (size_t f = 0; f < (same ? 1 : FAMILIES); f++)
        if (is[f] == PV_TCPTRY_SILENT || is[f] == PV_TCPTRY_KEPT_OUT)
            pv_cli_say(
                cli,
                "  but: its kernel %s%s: a firewall of that machine's own %s what members begin "
                "(there `sudo p2pvpnctl doctor` names it), its [firewall] does, or one here",
                is[f] == PV_TCPTRY_SILENT ? "answers no program" : "lets no program in",
                same ? "" : by[f], is[f] == PV_TCPTRY_SILENT ? "drops" : "refuses");
}

/* Where the cause keeps all packets back a try would say nothing of the other machine. */
static bool may_carry(const json_t *why)
{
    const char *code = pv_json_text(why, "cause_code", "");
    return pv_json_bool(why, "reached") && strcmp(code, "direct_without_data") != 0 &&
           strncmp(code, "pq_", strlen("pq_")) != 0;
}

/* The daemon composes the lines. They name peers, so they are filtered for the terminal. */
static int print_why(struct pv_cli *cli, const json_t *body)
{
    PV_EACH_JSON(json_object_get(body, "lines"), line) {
        pv_cli_say(cli, "%s", pv_json_string(line));
    }
    if (may_carry(body))
        try_programs(cli, cli->args.word[0]);
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
        .verb = {.cmd = PV_CTLAPI_PEERS, .print = print_peers},
    },
    {
        .name = "metrics",
        .args = "",
        .summary = "all numbers, as text for Prometheus",
        .details =
            "The page that [metrics] listen serves by HTTP; also for node_exporter's textfile\n"
            "collector.\n",
        .example = "p2pvpnctl metrics >node.tmp && mv node.tmp /var/lib/node_exporter/p2pvpn.prom",
        .verb = {.cmd = PV_CTLAPI_METRICS, .print = print_metrics},
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
        .words = {0, 1},
        .verb = {.cmd = PV_CTLAPI_IP, .fill = fill_ip, .print = print_ip},
    },
    {
        .name = "why",
        .args = "PEER",
        .summary = "why packets to PEER go the way they go",
        .details = "",
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
