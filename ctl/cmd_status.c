/* SPDX-License-Identifier: MIT */
/* cmd_status.c - status: a screen of seven lines, and with --long everything that is known. */
#include <poll.h>
#include <string.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/hostprobe.h"
#include "ctl/told.h"
#include "sys/proc/clock.h"

enum {
    WATCH_MS = 1000,    /* between two screens of status --watch */
    SHOWN_PROBLEMS = 3, /* ours: more of them are counted */
};

/* The daemon tells points of time by the wall clock; ages are made here, when they are shown. */
static double wall_s(void)
{
    return (double)pv_clock_wall_us() / 1e6;
}

/* --- all of it, with --long ------------------------------------------------------------------ */

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
        state = "not joined: `sudo p2pvpnctl join TOKEN`, or `sudo p2pvpnctl create URL`";
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
        const char *phone_port = pv_json_text(x, "phone_port", NULL);
        pv_table_fact(t, x_i == 0 ? "relay" : "", up ? PV_PLAIN : PV_YELLOW, "%s  by %s  %s%s%s",
                      pv_json_text(x, "address", pv_json_text(x, "name", "?")),
                      pv_json_text(x, "transport", "?"), state, up && ms >= 0 ? "  " : "",
                      up && ms >= 0 ? PV_MS_STR(ms) : "");
        if (phone_port != NULL)
            pv_table_fact(t, "phone port", PV_PLAIN, "%s", phone_port);
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

void pv_cli_left_out_row(struct pv_table *t, double left_out)
{
    if (left_out > 0)
        pv_table_fact(t, "left out", PV_PLAIN,
                      "%.0f further %s of this machine: peers are offered the best 8", left_out,
                      left_out == 1 ? "address" : "addresses");
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
    if (json_is_string(json_object_get(s, "hidden_as")))
        pv_table_fact(t, "seen as", PV_YELLOW, "%s by the coordinator: something hides addresses",
                      pv_json_text(s, "hidden_as", ""));
    else if (pv_json_bool(s, "unseen"))
        pv_table_fact(t, "seen as", PV_YELLOW,
                      "nothing public: the coordinator is in this LAN ([traversal] stun)");
    PV_EACH_JSON(json_object_get(s, "public"), addr)
        pv_table_fact(t, addr_i == 0 ? "seen as" : "", PV_PLAIN, "%s", pv_json_string(addr));
    pv_cli_left_out_row(t, pv_json_real(s, "left_out", 0));
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

/* An exit that does not answer must not be overlooked. */
static void show_exit(struct pv_table *t, const json_t *x)
{
    if (!json_is_object(x))
        return;
    bool works = pv_json_bool(x, "works");
    bool used = works && pv_json_bool(x, "used") && !pv_json_bool(x, "dropped");
    pv_table_fact(t, "exit", used ? PV_GREEN : PV_YELLOW, "%s%s", pv_json_text(x, "peer", "?"),
                  pv_cli_exit_words(x));
}

/* Without routes nothing is said of them. */
static void show_routes(struct pv_table *t, const json_t *routes)
{
    double used = pv_json_real(routes, "used", 0), carried = pv_json_real(routes, "carried", 0);
    double ready = pv_json_real(routes, "ready", 0);
    char text[64] = "";
    if (ready > 0)
        snprintf(text, sizeof(text), "%.0f in place, not used by a packet yet, ", ready);
    if (used > 0 || ready > 0 || carried > 0)
        pv_table_fact(t, "routes", PV_PLAIN, "%.0f used, %s%.0f carried for members", used, text,
                      carried);
    show_exit(t, json_object_get(routes, "exit"));
}

static void status_people(struct pv_table *t, const json_t *s)
{
    const json_t *roster = json_object_get(s, "roster"), *chat = json_object_get(s, "chat");
    double log = pv_json_real(roster, "log", 0);
    if (json_is_object(roster))
        pv_table_fact(t, "members", PV_PLAIN, "%.0f, %.0f online  member list %.8s%s",
                      pv_json_real(roster, "members", 0), pv_json_real(roster, "online", 0),
                      pv_json_text(roster, "head", "-"), log > 0 ? PV_STR("  log %.0f", log) : "");
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

/* From the node outwards; what does not apply leaves no row. */
static int print_all(struct pv_cli *cli, const json_t *s)
{
    struct pv_table t;
    pv_table_begin(&t, 2);
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
    if (json_is_string(json_object_get(s, "sandbox")))
        pv_table_fact(&t, "sandbox", PV_PLAIN, "%s", pv_json_text(s, "sandbox", ""));
    return pv_cli_print_table(cli, &t) != 0 ? PV_CTLAPI_FAILED : 0;
}

/* --- the first screen ------------------------------------------------------------------------- */

/* Of a problem that keeps no packet back: of names, chat or the page. */
static bool is_minor(const json_t *s, size_t place)
{
    PV_EACH_JSON(json_object_get(s, "minor"), minor)
        if (json_integer_value(minor) == (json_int_t)place)
            return true;
    return false;
}

/* This node, its network, and whether it is online. */
static void print_headline(struct pv_cli *cli, const json_t *s)
{
    const json_t *self = json_object_get(s, "self"), *net = json_object_get(s, "network");
    const char *state = pv_json_text(s, "state", "?"),
               *name = pv_json_text(self, "name", "This machine");
    const char *network = pv_json_text(net, "name", "?");
    char how[PV_CLI_JOIN_BUF];
    fputs(pv_colour_on(strcmp(state, "up") == 0 ? PV_GREEN : PV_YELLOW, cli->screen.colour),
          cli->out);
    if (strcmp(state, "up") == 0)
        pv_cli_say(cli, "%s is online: %s in network %s", name,
                   pv_json_text(self, "ip4", pv_json_text(self, "ip6", "no address")), network);
    else if (strcmp(state, "connecting") == 0)
        pv_cli_say(cli, "%s is connecting: %s in network %s", name,
                   pv_json_text(self, "ip4", pv_json_text(self, "ip6", "no address")), network);
    else if (strcmp(state, "down") == 0)
        pv_cli_say(cli, "%s is down in network %s. To connect it: `sudo p2pvpnctl up`", name,
                   network);
    else if (strcmp(state, "waiting") == 0)
        pv_cli_say(cli, "This machine is not in network %s yet.", network);
    else if (strcmp(state, "removed") == 0 || strcmp(state, "expired") == 0)
        pv_cli_say(cli, "%s is no longer a member of network %s", name, network);
    else if (strcmp(state, "static") == 0)
        pv_cli_say(cli, "This machine is in no network. It has static peers only.");
    else
        pv_cli_say(cli, "This machine is in no network. To join one: %s",
                   pv_cli_how_to_join(cli, how));
    fputs(pv_colour_off(PV_GREEN, cli->screen.colour), cli->out);
}

/* "problem" and its text, a row each; of many the first ones and their number. Returns how many
 * there are. */
static size_t problem_rows(struct pv_table *t, const json_t *s, bool minor)
{
    size_t n = 0;
    PV_EACH_JSON(json_object_get(s, "problems"), problem)
        if (is_minor(s, problem_i) == minor && n++ < SHOWN_PROBLEMS)
            pv_table_fact(t, "problem", minor ? PV_YELLOW : PV_RED, "%s", pv_json_string(problem));
    if (n > SHOWN_PROBLEMS)
        pv_table_fact(t, "", PV_PLAIN, "and %zu more: `p2pvpnctl status -l`", n - SHOWN_PROBLEMS);
    return n;
}

/* "4 others: 1 direct, 1 relayed, 1 idle, 1 offline": this node is a member, and online. */
static void members_row(struct pv_table *t, const json_t *s)
{
    char text[PV_SHOW_BUF];
    struct pv_text list = pv_text_in(text, sizeof(text));
    const json_t *roster = json_object_get(s, "roster");
    double online = pv_json_real(roster, "online", 0), direct = pv_json_real(roster, "direct", 0);
    double relayed = pv_json_real(roster, "relayed", 0), idle = online - 1 - direct - relayed;
    double others = pv_json_real(roster, "members", 0) - 1; /* less than 0: this one is no member */
    double offline = others + 1 - (online > 0 ? online : 1); /* 0 online: this node is not, too */
    if (!json_is_object(roster) || others < 0)
        return;
    pv_text_add(&list, "%.0f other%s", others, others == 1 ? "" : "s");
    const struct {
        double n;
        const char *word;
    } kinds[] = {{direct, "direct"}, {relayed, "relayed"}, {idle, "idle"}, {offline, "offline"}};
    bool any = false;
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++) {
        if (kinds[i].n <= 0)
            continue;
        pv_text_add(&list, "%s%.0f %s", any ? ", " : ": ", kinds[i].n, kinds[i].word);
        any = true;
    }
    pv_table_fact(t, "members", PV_PLAIN, "%s", text);
}

static void coordinator_row(struct pv_table *t, const json_t *coord)
{
    double ms = pv_json_real(coord, "rtt_ms", -1), since = pv_json_real(coord, "away_since", 0);
    double without = pv_json_real(coord, "reached_without", 0);
    const char *address = pv_json_text(coord, "address", "?");
    if (!json_is_object(coord))
        return;
    if (pv_json_bool(coord, "connected"))
        pv_table_fact(t, "coordinator", PV_PLAIN, "%s, connected%s%s", address, ms < 0 ? "" : ", ",
                      ms < 0 ? "" : PV_MS_STR(ms));
    else
        pv_table_fact(t, "coordinator", PV_YELLOW, "%s, not connected%s%s%s", address,
                      since > 0 ? " since " : "", since > 0 ? PV_TIME_STR(since, wall_s()) : "",
                      without > 0 ? PV_STR(", %.0f %s reached without it", without,
                                           without == 1 ? "member" : "members")
                                  : "");
}

static int print_first(struct pv_cli *cli, const json_t *s)
{
    const json_t *chat = json_object_get(s, "chat");
    double unread = pv_json_real(chat, "unread", 0), queued = pv_json_real(chat, "queued", 0);
    struct pv_table t;
    print_headline(cli, s);
    pv_table_begin(&t, 2);
    size_t problems = problem_rows(&t, s, false);
    members_row(&t, s);
    coordinator_row(&t, json_object_get(s, "coordinator"));
    show_exit(&t, json_object_get(json_object_get(s, "routes"), "exit"));
    if (unread > 0 || queued > 0)
        pv_table_fact(&t, "chat", unread > 0 ? PV_YELLOW : PV_PLAIN, "%.0f unread%s", unread,
                      queued > 0 ? PV_STR(", %.0f queued", queued) : "");
    problems += problem_rows(&t, s, true);
    if (problems == 0 && json_is_object(json_object_get(s, "network")))
        pv_table_fact(&t, "problems", PV_PLAIN, "none");
    return pv_cli_print_table(cli, &t) != 0 ? PV_CTLAPI_FAILED : 0;
}

/* With --long the problems come last, where a long screen ends. */
static int print_status(struct pv_cli *cli, const json_t *s)
{
    if (!cli->all)
        return print_first(cli, s);
    int code = print_all(cli, s);
    PV_EACH_JSON(json_object_get(s, "problems"), problem) {
        fputs(pv_colour_on(PV_RED, cli->screen.colour), cli->out);
        pv_cli_say(cli, "problem: %s", pv_json_string(problem));
        fputs(pv_colour_off(PV_RED, cli->screen.colour), cli->out);
    }
    return code;
}

/* Is a route in place? Then packets of this user show whether it is used. */
static bool has_routes(const json_t *routes)
{
    return pv_json_real(routes, "ready", 0) + pv_json_real(routes, "used", 0) > 0 ||
           pv_json_bool(json_object_get(routes, "exit"), "works");
}

/* --watch asks again on the same connection; the screen is cleared only where there is one. */
static int status(struct pv_cli *cli)
{
    bool watch = cli->args.value[0] != NULL, tried = false;
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
        if (!tried && has_routes(json_object_get(body, "routes"))) {
            json_decref(body);
            body = NULL;
            pv_hostprobe_routes(cli);
            code = pv_cli_ask(cli, &req, &body);
            if (code != 0)
                break;
        }
        tried = true;
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

const struct pv_command pv_cmds_status[] = {
    {
        .name = "status",
        .args = "[--watch]",
        .summary = "this node at a glance, and what is wrong",
        .details = "With -l also addresses, NAT, port mapping, threads and dropped packets.\n"
                   "  -w, --watch     repeat every second until you press Ctrl-C\n",
        .example = "p2pvpnctl status",
        .options = {{"watch", 'w', false}},
        .run = status,
    },
    {.name = NULL},
};
