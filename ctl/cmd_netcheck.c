/* SPDX-License-Identifier: MIT */
/* Commands that measure the way out, without the daemon, rights or a network: netcheck, stun. */
#include <string.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/probe/netprobe.h"

enum {
    OPT_SERVER, /* options by place in the tables below */
    OPT_LIFETIME,
    OPT_TLS = 0,  /* of stun */
    STATUS_S = 2, /* a daemon is asked for its coordinator no longer */
    HTTPS = 443,  /* the narrowest networks let that out alone; create and join try it, too */
};

static const char *const FAMILY_KEY[] = {"ipv4", "ipv6"};
static const char *const FAMILY_TEXT[] = {"IPv4", "IPv6"};

/* NULL for a missing address. */
static json_t *addr_json(const struct pv_addr *a)
{
    if (a->family == PV_AF_NONE)
        /* json_pack() with "o" takes over the reference, so every helper here returns one that
         * is its caller's, also for "nothing". */
        return json_null();
    return json_string(a->port != 0 ? PV_ADDR_STR(a) : PV_IP_STR(a));
}

static json_t *ms_json(pv_ns t)
{
    /* Two decimals of a millisecond: more would be noise. */
    return json_real((double)(t / 10000u) / 100);
}

/* --- which server -------------------------------------------------------------------------- */

/* The words of the daemon on this machine about what is measured. */
struct known {
    char server[PV_NETPROBE_TEXT_MAX]; /* its coordinator; "": none */
    bool elsewhere;                    /* UDP reaches others from here */
    char exit[PV_NAME_BUF];            /* the member by whom all goes; "": none */
    bool shut;                         /* nothing does: it is blocked, and nobody carries it, */
    bool guarded;                      /* or another network of this machine blocks it */
    double left_out; /* own addresses that peers are not offered; negative: unknown */
};

/* The reason for which nothing is reached. */
static const char *say_exit(const struct known *known, const char *server, const char *remedy,
                            char text[static 400])
{
    if (known->guarded)
        snprintf(text, 400,
                 "%.100s is not reached: nothing goes out but by the exit of another network of "
                 "this machine: `p2pvpnctl status` says whose",
                 server);
    else
        snprintf(text, 400,
                 known->shut
                     ? "%.100s is not reached: nothing goes out while the exit %.63s does not "
                       "carry it: `sudo p2pvpnctl exit off`%s"
                     : "%.100s does not answer by way of the exit %.63s, which reaches nothing "
                       "of its own addresses: `sudo p2pvpnctl exit off`%s",
                 server, known->exit, remedy);
    return text;
}

static void ask_daemon(struct pv_cli *cli, struct known *ret)
{
    json_t *body = NULL;
    *ret = (struct known){.left_out = -1};
    /* Without a daemon the user is asked for a server. */
    if (pv_client_ask(cli->node.socket, cli->node.is_user, PV_CTLAPI_STATUS, PV_S(STATUS_S),
                      &body) < 0)
        return;
    const json_t *exit = json_object_get(json_object_get(body, "routes"), "exit");
    const char *a = pv_json_text(json_object_get(body, "coordinator"), "address", "");
    if (strlen(a) < sizeof(ret->server))
        memcpy(ret->server, a, strlen(a) + 1);
    ret->guarded = pv_json_bool(exit, "guarded") && !pv_json_bool(exit, "down");
    ret->shut =
        pv_json_bool(exit, "block") && !pv_json_bool(exit, "down") && !pv_json_bool(exit, "works");
    if (pv_json_bool(exit, "works") || ret->shut)
        snprintf(ret->exit, sizeof(ret->exit), "%s", pv_json_text(exit, "peer", ""));
    ret->elsewhere = pv_json_is(body, "udp", "blocked-there");
    ret->left_out = pv_json_real(body, "left_out", 0);
    json_decref(body);
}

/* given: "" for none. */
static int find_servers(struct pv_cli *cli, const char *given, uint16_t port,
                        struct pv_netprobe_servers *servers)
{
    char error[PV_NETPROBE_ERROR];
    if (given[0] == '\0')
        return pv_cli_usage(cli, "no server: name a STUN server, such as your coordinator, with "
                                 "--server HOST:PORT");
    int r = pv_netprobe_resolve(given, port, servers, error);
    if (r == PV_ERR_MALFORMED)
        return pv_cli_usage(cli, "%s", error);
    return r < 0 ? pv_cli_fail(cli, PV_CTLAPI_FAILED, "%s", error) : 0;
}

/* --- netcheck ------------------------------------------------------------------------------ */

struct check {
    struct pv_netprobe_servers servers;
    struct pv_netprobe_report report;
    bool lifetime;
    bool tcp;     /* the server answered by TCP; asked when UDP got no answer */
    bool tls;     /* it did not, but by TLS on HTTPS */
    bool strange; /* something took the connection, and is no STUN server */
    struct known known;
    const char *verdict;
    char text[400]; /* of a verdict that names the server */
};

static bool reached(const struct check *c)
{
    return c->report.result[0].reached || c->report.result[1].reached;
}

/* Is the server's only family one in which nothing leads out of here? */
static bool missed(const struct check *c)
{
    return !c->report.tried[0] && !c->report.tried[1] &&
           (c->servers.n[0] == 0 || c->servers.n[1] == 0);
}

static const struct pv_netcheck_result *best_result(const struct check *c)
{
    /* IPv4 is the family in which NATs matter, so it is preferred when both answer. */
    return &c->report.result[!c->report.result[0].reached && c->report.result[1].reached ? 1 : 0];
}

/* One answer is enough to tell a blocked UDP from a dead server. port: 0 for the server's own. */
static bool answers(struct check *c, enum pv_netprobe_way way, uint16_t port)
{
    struct pv_netprobe_answer answer;
    for (size_t f = 0; f < PV_NETPROBE_FAMILIES; f++) {
        struct pv_addr server = c->servers.addr[f][0];
        server.port = port != 0 ? port : server.port;
        int r = c->report.tried[f] ? pv_netprobe_ask(&server, way, &answer) : PV_ERR_NOT_FOUND;
        if (r == PV_OK)
            return true;
        c->strange = c->strange || r == PV_ERR_MALFORMED;
    }
    return false;
}

/* Where UDP brought nothing: does the server answer at all? */
static void ask_by_tcp(struct check *c)
{
    c->tcp = answers(c, PV_NETPROBE_TCP, 0);
    c->tls = !c->tcp && answers(c, PV_NETPROBE_TLS, HTTPS);
}

/* Nothing came by UDP from a server that is there. */
static bool is_blocked(const struct check *c)
{
    return !reached(c) && (c->tcp || c->tls);
}

static json_t *life_json(const struct pv_netcheck_result *r)
{
    if (!r->life_known)
        return json_null();
    return json_pack("{s:I, s:o}", "min_s", (json_int_t)(r->life_min / PV_S(1)), "max_s",
                     r->life_max == PV_NEVER ? json_null()
                                             : json_integer((json_int_t)(r->life_max / PV_S(1))));
}

static json_t *publics_json(const struct pv_netcheck_result *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_publics; i++)
        json_array_append_new(list, addr_json(&r->publics[i]));
    return list;
}

static json_t *block_json(const struct pv_netcheck_result *r)
{
    /* The other kinds have no bounds to tell. */
    if (r->ports != PV_NETCHECK_IN_BLOCK)
        return json_null();
    return json_pack("{s:i, s:i}", "first", r->block_lo, "size", r->block_size);
}

static json_t *result_json(const struct check *c, size_t f)
{
    const struct pv_netcheck_result *r = &c->report.result[f];
    bool rtt = r->reached;
    /* NULL of a family: it was not tried. That is another finding than "no answer". */
    if (!c->report.tried[f])
        return json_null();
    return json_pack(
        "{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:o}",
        "name", pv_netcheck_name_text(r->name), "udp", r->reached, "server", addr_json(&r->server),
        "rtt_ms", rtt ? ms_json(r->rtt) : json_null(), "local", addr_json(&c->report.local[f]),
        "mapped", addr_json(&r->mapped), "public", publics_json(r), "nat",
        pv_netcheck_answer_text(r->translated), "mapping", pv_netcheck_rule_text(r->mapping),
        "mapping_by_port", pv_netcheck_answer_text(r->mapping_port), "filtering",
        pv_netcheck_rule_text(r->filtering), "filtering_by_port",
        pv_netcheck_answer_text(r->filtering_port), "ports", pv_netcheck_ports_text(r->ports),
        "delta", r->ports == PV_NETCHECK_SEQUENTIAL ? json_integer(r->delta) : json_null(), "block",
        block_json(r), "hairpin", pv_netcheck_answer_text(r->hairpin), "lifetime", life_json(r));
}

static json_t *router_json(const struct check *c)
{
    const struct pv_routercheck_result *r = &c->report.router;
    if (r->router.family == PV_AF_NONE)
        return json_null();
    return json_pack("{s:o, s:s, s:s, s:s, s:o}", "address", addr_json(&r->router), "pcp",
                     pv_netcheck_answer_text(r->pcp), "nat_pmp", pv_netcheck_answer_text(r->natpmp),
                     "upnp", pv_netcheck_answer_text(r->upnp), "external", addr_json(&r->external));
}

/* The routers on the way out, null for those that said nothing. */
static json_t *hops_json(const struct check *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->report.trace.n; i++)
        json_array_append_new(list, addr_json(&c->report.trace.hops[i]));
    return list;
}

static json_t *levels_json(const struct check *c)
{
    /* Only IPv4 has levels of NAT worth counting. */
    int n = pv_routercheck_levels(&c->report.router, &c->report.result[0], &c->report.trace);
    return n < 0 ? json_null() : json_integer(n);
}

static int print_json(struct pv_cli *cli, const struct check *c)
{
    /* "blocked" needs a proof that the server lives; silence by all ways proves nothing. */
    const double left_out = c->known.left_out;
    const char *udp = reached(c) ? "works" : is_blocked(c) ? "blocked" : "unknown";
    return pv_cli_print_packed(
        cli, "{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s}", "version", 1, "udp", udp,
        FAMILY_KEY[0], result_json(c, 0), FAMILY_KEY[1], result_json(c, 1), "router",
        router_json(c), "hops", hops_json(c), "nat_levels", levels_json(c), "left_out",
        left_out < 0 ? json_null() : json_integer((json_int_t)left_out), "verdict", c->verdict);
}

static void ports_row(struct pv_table *t, const struct pv_netcheck_result *r)
{
    char text[PV_SHOW_BUF];
    if (r->ports == PV_NETCHECK_SEQUENTIAL)
        snprintf(text, sizeof(text), "sequential, %+d", r->delta);
    else if (r->ports == PV_NETCHECK_IN_BLOCK)
        snprintf(text, sizeof(text), "in a block of %u from about %u", r->block_size, r->block_lo);
    else
        snprintf(text, sizeof(text), "%s", pv_netcheck_ports_text(r->ports));
    pv_table_fact(t, "  ports", PV_PLAIN, "%s", text);
}

static void life_row(struct pv_table *t, const struct pv_netcheck_result *r)
{
    char text[PV_SHOW_BUF];
    unsigned long long min = r->life_min / PV_S(1);
    if (!r->life_known)
        snprintf(text, sizeof(text), "unknown (the server cannot answer to another port)");
    else if (r->life_max == PV_NEVER)
        snprintf(text, sizeof(text), "more than %llu s of silence", min);
    else
        snprintf(text, sizeof(text), "%llu to %llu s of silence", min,
                 (unsigned long long)(r->life_max / PV_S(1)));
    pv_table_fact(t, "  lifetime", PV_PLAIN, "%s", text);
}

/* A rule, or what is known of it. */
static void rule_row(struct pv_table *t, const char *name, enum pv_netcheck_rule rule,
                     enum pv_netcheck_answer by_port)
{
    const char *text = pv_netcheck_rule_text(rule);
    /* A server with one address can test another port only (RFC 5780, sections 4.3 and 4.4):
     * half an answer is told as such. */
    if (rule == PV_NETCHECK_RULE_UNKNOWN && by_port == PV_NETCHECK_NO)
        text = "not by port; by address: unknown";
    pv_table_fact(t, name, PV_PLAIN, "%s", text);
}

/* Rows that would say "unknown" for lack of a NAT are left out: mapping, ports and hairpin exist
 * only where addresses are translated. */
static void family_rows(struct pv_table *t, const struct check *c, size_t f)
{
    char a[PV_ADDR_TEXT];
    const struct pv_netcheck_result *r = &c->report.result[f];
    if (!c->report.tried[f]) {
        pv_table_fact(t, FAMILY_TEXT[f], PV_DIM, "%s",
                      c->servers.n[f] == 0 ? "the server has no such address" : "none here");
        return;
    }
    if (!r->reached) {
        pv_table_fact(t, FAMILY_TEXT[f], PV_RED, "no answer by UDP");
        return;
    }
    pv_table_fact(t, FAMILY_TEXT[f], PV_BOLD, "%s (here: %s)", pv_addr_format(&r->mapped, a),
                  PV_IP_STR(&c->report.local[f]));
    for (size_t i = 1; i < r->n_publics; i++)
        pv_table_fact(t, "", PV_BOLD, "%s", pv_addr_format_ip(&r->publics[i], a));
    pv_table_fact(t, "  NAT", r->name == PV_NETCHECK_SYMMETRIC ? PV_YELLOW : PV_GREEN, "%s",
                  r->name == PV_NETCHECK_NAME_UNKNOWN && r->translated == PV_NETCHECK_NO
                      ? "none"
                      : pv_netcheck_name_text(r->name));
    if (r->translated == PV_NETCHECK_YES)
        rule_row(t, "  mapping", r->mapping, r->mapping_port);
    rule_row(t, "  filtering", r->filtering, r->filtering_port);
    if (r->translated == PV_NETCHECK_YES) {
        ports_row(t, r);
        pv_table_fact(t, "  hairpin", PV_PLAIN, "%s", pv_netcheck_answer_text(r->hairpin));
    }
    if (c->lifetime)
        life_row(t, r);
    pv_table_fact(t, "  server", PV_DIM, "%s, %s%s", pv_addr_format(&r->server, a),
                  PV_MS_STR((double)r->rtt / 1e6),
                  r->two_addresses ? "" : ", without a second address");
}

/* The router's answer when asked for a port, and whether it is the only NAT. */
static void router_rows(struct pv_table *t, const struct check *c)
{
    const struct pv_routercheck_result *r = &c->report.router;
    int levels = pv_routercheck_levels(r, &c->report.result[0], &c->report.trace);
    if (levels >= 1)
        pv_table_fact(t, "NAT levels", levels == 1 ? PV_PLAIN : PV_YELLOW, "%s",
                      levels == 1 ? "one"
                      : r->external.family != PV_AF_NONE
                          ? "two or more"
                          : "two or more (private networks on the way out)");
    if (r->router.family == PV_AF_NONE)
        return;
    pv_table_fact(t, "router", PV_PLAIN, "%s: PCP %s, NAT-PMP %s, UPnP %s", PV_IP_STR(&r->router),
                  pv_netcheck_answer_text(r->pcp), pv_netcheck_answer_text(r->natpmp),
                  pv_netcheck_answer_text(r->upnp));
    if (r->external.family != PV_AF_NONE)
        pv_table_fact(t, "  outside", PV_PLAIN, "%s", PV_IP_STR(&r->external));
}

/* One sentence of what the findings mean, and the findings. */
static int print_text(struct pv_cli *cli, const struct check *c)
{
    struct pv_table t;
    pv_cli_say(cli, "%s", c->verdict);
    fputc('\n', cli->out);
    pv_table_begin(&t, 2);
    for (size_t f = 0; f < PV_NETPROBE_FAMILIES; f++)
        family_rows(&t, c, f);
    router_rows(&t, c);
    pv_cli_left_out_row(&t, c->known.left_out);
    return pv_cli_print_table(cli, &t) != 0 ? PV_CTLAPI_FAILED : 0;
}

/* Without an answer by UDP the reason is told from what else is known; with one, netcheck.c
 * knows what the NAT means for meeting others. */
static const char *judge(struct check *c)
{
    const struct pv_addr *server = &c->servers.addr[c->servers.n[0] > 0 ? 0 : 1][0];
    const bool told = is_blocked(c);
    /* An answer by another way is what makes silence by UDP a statement about this machine's
     * network. */
    if (told && c->known.elsewhere)
        snprintf(c->text, sizeof(c->text),
                 "UDP is closed at the coordinator: UDP from here reaches others, and the "
                 "coordinator answers by %s only. Its operator must let UDP in at %s; until then "
                 "your public address is not known.",
                 c->tls ? "TLS on port 443" : "TCP", PV_ADDR_STR(server));
    else if (told && c->tls)
        snprintf(c->text, sizeof(c->text),
                 "UDP is blocked, and TCP as well: the server answers by TLS on port %d only. A "
                 "firewall here must let UDP out and the answers in, or the server's must let it "
                 "in at %s; --server with another STUN server tells which. Until then everything "
                 "but the own network needs a relay, by TLS.",
                 HTTPS, PV_ADDR_STR(server));
    else if (told)
        snprintf(c->text, sizeof(c->text),
                 "UDP is blocked: the server answers by TCP only. A firewall here must let UDP "
                 "out and the answers in, or the server's must let it in at %s; --server with "
                 "another STUN server tells which. Until then everything but the own network needs "
                 "a relay.",
                 PV_ADDR_STR(server));
    if (told)
        return c->text;
    if (missed(c) && c->known.exit[0] == '\0') {
        size_t has = c->servers.n[0] > 0 ? 0 : 1;
        snprintf(
            c->text, sizeof(c->text),
            "Nothing leads out of here by %s, and the server has no %s: --server with one that "
            "has it, or give that one an address of %s.",
            FAMILY_TEXT[has], FAMILY_TEXT[1 - has], FAMILY_TEXT[1 - has]);
        return c->text;
    }
    if (!reached(c) && c->known.exit[0] != '\0')
        return say_exit(&c->known, "The server", ", and this machine's own way is measured.",
                        c->text);
    if (!reached(c) && c->strange)
        return "Something else answers by TCP in the server's place, as the login page of a "
               "network does: open any web page here and log in, then measure again; or the server "
               "is no STUN server.";
    if (!reached(c))
        return "The server answers neither by UDP nor by TCP, nor by TLS on port 443: it is down, "
               "or this machine has no way out.";
    return pv_netcheck_verdict(best_result(c));
}

static int netcheck(struct pv_cli *cli)
{
    struct check c = {.lifetime = cli->args.value[OPT_LIFETIME] != NULL};
    int code = c.lifetime ? pv_cli_endless(cli, "netcheck --lifetime") : 0;
    const char *given = cli->args.value[OPT_SERVER];
    if (code == 0)
        ask_daemon(cli, &c.known);
    pv_cli_give_up_root(cli); /* all that follows reads what strangers send */
    /* A server that was named comes first: somebody may want to compare it with the coordinator. */
    if (code == 0)
        code =
            find_servers(cli, given != NULL ? given : c.known.server, PV_NETPROBE_PORT, &c.servers);
    if (code != 0)
        return code;
    if (c.known.exit[0] != '\0' && !cli->json)
        pv_cli_note(
            cli,
            c.known.guarded
                ? "this machine cannot use the exit %s: nothing goes out but by the exit of "
                  "another network (`p2pvpnctl status`)"
            : c.known.shut
                ? "nothing goes out while the exit %s does not carry it; `sudo p2pvpnctl exit "
                  "off` measures this machine's own way"
                : "all goes by the exit %s: this is about its way out; `sudo p2pvpnctl exit "
                  "off` measures this machine's own",
            c.known.exit);
    if (c.lifetime && !cli->json)
        pv_cli_note(cli, "leaving bindings alone; this takes up to 190 seconds");
    int r = pv_netprobe_run(&c.servers, c.lifetime, &c.report);
    if (r < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "cannot open sockets: %s", pv_strstatus(r));
    /* Only now: a connection by TCP that is refused takes time, and is needless when UDP works. */
    if (!reached(&c))
        ask_by_tcp(&c);
    char verdict[500];
    c.verdict = pv_cli_name_commands(cli, judge(&c), verdict, sizeof(verdict));
    code = cli->json ? print_json(cli, &c) : print_text(cli, &c);
    /* The report was printed all the same; the exit code tells a script that it is about
     * nothing. */
    if (code == 0 && missed(&c) && !c.known.shut)
        return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT,
                           "the server was not asked: it has no address that this machine could "
                           "reach");
    if (code == 0 && !reached(&c) && !is_blocked(&c))
        return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT, "%s",
                           c.known.shut ? "the server was not reached: nothing goes out"
                           : c.strange  ? "no answer from the server: something else answers in "
                                          "its place"
                                        : "no answer from the server: is its name right, and is it "
                                          "running?");
    return code;
}

/* --- stun ---------------------------------------------------------------------------------- */

/* One line, or one object of the list. */
static void tell_answer(struct pv_cli *cli, json_t *list, const struct pv_addr *server,
                        const char *how, int status, const struct pv_netprobe_answer *answer)
{
    bool good = status == PV_OK;
    const char *why = pv_strstatus(status);
    /* The server is told with each answer: one name may stand for several addresses. */
    if (cli->json) {
        json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o, s:o}", "server",
                                              addr_json(server), "by", how, "mapped",
                                              good ? addr_json(&answer->mapped) : json_null(),
                                              "rtt_ms", good ? ms_json(answer->rtt) : json_null(),
                                              "error", good ? json_null() : json_string(why)));
        return;
    }
    if (good)
        fprintf(cli->out, "%s  by %s from %s in %s\n", PV_ADDR_STR(&answer->mapped), how,
                PV_ADDR_STR(server), PV_MS_STR((double)answer->rtt / 1e6));
    else
        fprintf(cli->out, "no answer  by %s from %s: %s\n", how, PV_ADDR_STR(server), why);
    /* Each try may take seconds: what is known is shown at once. */
    fflush(cli->out);
}

/* Asks one server by these ways; was there an answer? */
static bool ask_server(struct pv_cli *cli, json_t *list, const struct pv_addr *server,
                       const bool ways[static PV_NETPROBE_TLS + 1])
{
    static const char *const names[] = {"UDP", "TCP", "TLS"};
    bool any = false;
    for (unsigned way = PV_NETPROBE_UDP; way <= PV_NETPROBE_TLS; way++) {
        struct pv_netprobe_answer answer = {.rtt = 0};
        if (!ways[way])
            continue;
        int r = pv_netprobe_ask(server, (enum pv_netprobe_way)way, &answer);
        tell_answer(cli, list, r == PV_OK ? &answer.server : server, names[way], r, &answer);
        any = any || r == PV_OK;
    }
    return any;
}

static int stun(struct pv_cli *cli)
{
    struct pv_netprobe_servers servers;
    const char *given = cli->args.word[0];
    bool secure = strncmp(given, "stuns:", 6) == 0; /* URIs of RFC 7064 */
    bool ways[] = {!secure, !secure, secure || cli->args.value[OPT_TLS] != NULL};
    bool any = false;
    json_t *list = json_array();
    if (secure || strncmp(given, "stun:", 5) == 0)
        given = strchr(given, ':') + 1;
    struct known known = {.exit = ""};
    ask_daemon(cli, &known);
    pv_cli_give_up_root(cli); /* all that follows reads what strangers send */
    int code = find_servers(cli, given, secure ? PV_NETPROBE_TLS_PORT : PV_NETPROBE_PORT, &servers);
    for (size_t f = 0; code == 0 && f < PV_NETPROBE_FAMILIES; f++)
        for (size_t i = 0; i < servers.n[f]; i++)
            /* ask_server() stands first: "||" would skip the other servers after the first
             * answer. */
            any = ask_server(cli, list, &servers.addr[f][i], ways) || any;
    if (code == 0 && cli->json)
        /* "O" keeps the list's own reference, which is given up below on every way. */
        code = pv_cli_print_packed(cli, "{s:i, s:O}", "version", 1, "answers", list);
    json_decref(list);
    if (code == 0 && !any && known.exit[0] != '\0')
        return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT, "%s",
                           say_exit(&known, cli->args.word[0], " asks without it", (char[400]){0}));
    if (code == 0 && !any)
        return pv_cli_fail(cli, PV_CTLAPI_TIMEOUT,
                           "%.100s does not answer: is the name right, and is it a STUN server?",
                           cli->args.word[0]);
    return code;
}

const struct pv_command pv_cmds_netcheck[] = {
    {
        .name = "netcheck",
        .args = "[--server HOST:PORT] [--lifetime]",
        .summary = "measure whether direct paths will work: NAT, firewall, UDP",
        .details =
            "  -s, --server HOST:PORT  the STUN server (default: the coordinator of the\n"
            "                  running p2pvpnd); several servers, separated by commas,\n"
            "                  measure more\n"
            "  -l, --lifetime  also measure how long the NAT keeps a silent binding (takes up\n"
            "                  to 3 minutes)\n"
            "\n"
            "Needs no rights, no p2pvpnd and no network.\n",
        .example = "p2pvpnctl netcheck --server 198.51.100.7:3478",
        .options = {{"server", 's', true}, {"lifetime", 'l', false}},
        .run = netcheck,
    },
    {
        .name = "stun",
        .args = "[--tls] [stun:|stuns:]HOST[:PORT]",
        .summary = "the address of this machine as the STUN server HOST sees it",
        .details =
            "  --tls           also ask by TLS; the certificate is not checked\n"
            "\nAsks by UDP and by TCP, over IPv4 and IPv6. stuns: asks by TLS alone, at port\n"
            "5349 by default. Needs no rights, no p2pvpnd and no network.\n",
        .example = "p2pvpnctl stun 198.51.100.7",
        .options = {{"tls", 0, false}},
        .words = {1, 1},
        .run = stun,
    },
    {.name = NULL},
};
