/* SPDX-License-Identifier: MIT */
/* Connections to members for programs that are not in the overlay, and from members to such: nc,
 * forward, socks, serve. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/forward/links.h"
#include "ctl/forward/nc.h"
#include "ctl/forward/served.h"
#include "sys/net/inside.h"

#define SOCKS_PLACE "127.0.0.1:1080" /* RFC 1928 s3 */

enum {
    OPT_UDP,
};
enum {
    OPT_LISTEN,
};

static int parse_port(struct pv_cli *cli, const char *text, uint16_t *ret_port)
{
    uint64_t n = 0;
    int code = pv_cli_number(cli, "PORT", text, 1, UINT16_MAX, &n);
    *ret_port = (uint16_t)n;
    return code;
}

static int nc(struct pv_cli *cli)
{
    struct pv_overlay overlay = {.cli = cli};
    const char *host = cli->args.word[0];
    uint16_t port = 0;
    int code = parse_port(cli, cli->args.word[1], &port);
    if (code != 0)
        return code;
    return cli->args.value[OPT_UDP] != NULL ? pv_nc_udp(&overlay, host, port)
                                            : pv_nc_tcp(&overlay, host, port);
}

/* "pi:22", "[fd00::1]:22", "key:dImW...:22": the last colon is before the port. */
static int parse_target(struct pv_cli *cli, const char *text, char host[PV_OVERLAY_HOST_BUF],
                        uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= PV_OVERLAY_HOST_BUF)
        return pv_cli_usage(cli, "\"%.100s\" is not PEER:PORT, such as pi:22", text);
    snprintf(host, PV_OVERLAY_HOST_BUF, "%.*s", (int)len, text);
    return parse_port(cli, colon + 1, ret_port);
}

/* Scripts wait for the line, and take from it which port it is. */
static int say_where(struct pv_cli *cli, const struct pv_gate *gate)
{
    char addr[PV_ADDR_TEXT];
    const char *name = pv_gate_name(gate, addr);
    if (cli->json) {
        if (pv_cli_print_packed(cli, "{s:s}", "listen", name) != 0)
            return PV_CTLAPI_FAILED;
    } else {
        fprintf(cli->out, "%s\n", name);
    }
    return fflush(cli->out) == 0 ? 0
                                 : pv_cli_fail(cli, PV_CTLAPI_FAILED, "nobody reads the output");
}

/* Opens a gate at that place and carries by it what cfg says, until it is interrupted. */
static int lead(struct pv_links_config *cfg, const char *where, bool udp)
{
    struct pv_gate gate[PV_LINKS_GATES] = {{.fd = -1}, {.fd = -1}};
    cfg->gate = gate;
    int code = pv_cli_open_gate(cfg->cli, &gate[0], where, udp);
    gate[0].ended = pv_inside_is_apart() ? PV_GATE_ENDED_ALONE : PV_GATE_ENDED_SHARED;
    if (code == 0)
        code = say_where(cfg->cli, &gate[0]);
    if (code == 0)
        code = pv_links_run(cfg);
    pv_gate_close(&gate[0]);
    return code;
}

static int forward(struct pv_cli *cli)
{
    char host[PV_OVERLAY_HOST_BUF];
    struct pv_overlay overlay = {.cli = cli};
    struct pv_links_config cfg = {.cli = cli, .overlay = &overlay, .host = host};
    struct pv_addr to;
    int code = parse_target(cli, cli->args.word[1], host, &cfg.port);
    if (code == 0)
        code = pv_overlay_find(&overlay, host, cfg.port, &to); /* before anything waits for it */
    return code != 0 ? code : lead(&cfg, cli->args.word[0], cli->args.value[OPT_UDP] != NULL);
}

static int socks(struct pv_cli *cli)
{
    const char *where = cli->args.value[OPT_LISTEN];
    struct pv_overlay overlay = {.cli = cli};
    struct pv_links_config cfg = {.cli = cli, .overlay = &overlay};
    int code = pv_overlay_open(&overlay);
    return code != 0 ? code : lead(&cfg, where == NULL ? SOCKS_PLACE : where, false);
}

/* --- serve --------------------------------------------------------------------------------- */

static int fail_gate(struct pv_cli *cli, uint16_t port, int r)
{
    if (r == PV_ERR_EXISTS)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "port %u is in use: a program listens there for members itself, or "
                           "another serve (`p2pvpnctl serve`): end it, or give another port",
                           port);
    if (r == -EACCES)
        return pv_cli_fail(cli, PV_CTLAPI_PERMISSION,
                           "port %u is for root: give one from 1024 on, or start serve as root",
                           port);
    if (r == -EPERM)
        return pv_cli_fail(cli, PV_CTLAPI_PERMISSION,
                           "this kernel lets only root listen at one interface: start serve as "
                           "root");
    if (r == -EAFNOSUPPORT)
        return pv_cli_fail(cli, PV_CTLAPI_REFUSED,
                           "datagrams of members need the kernel's network, and lwIP is in its "
                           "place: `p2pvpnctl status` says why, and what allows it");
    return pv_cli_fail(cli, PV_CTLAPI_FAILED, "listen at port %u: %s", port, pv_strstatus(r));
}

static int open_gates(struct pv_links_config *cfg)
{
    const struct pv_overlay *o = cfg->overlay;
    const struct pv_served *what = cfg->served;
    int r = PV_OK;
    for (int i = 0; i < PV_LINKS_GATES && r == PV_OK; i++) {
        struct pv_addr at = i == 0 ? o->own4 : o->own6;
        at.port = what->port;
        if (at.family != PV_AF_NONE)
            r = pv_gate_open_overlay(&cfg->gate[i], &at, o->tun, what->udp);
    }
    return r < 0 ? fail_gate(cfg->cli, what->port, r) : 0;
}

/* The port is told when members get in and `serve list` knows of it. */
static int serve_place(struct pv_cli *cli, struct pv_served *what, struct pv_outside *place)
{
    struct pv_overlay overlay = {.cli = cli};
    struct pv_gate gate[PV_LINKS_GATES] = {{.fd = -1}, {.fd = -1}};
    struct pv_links_config cfg = {.cli = cli,
                                  .gate = gate,
                                  .overlay = &overlay,
                                  .host = place->host,
                                  .port = place->addr.port,
                                  .outside = place,
                                  .served = what};
    pid_t told = 0;
    int code = pv_overlay_open(&overlay);
    if (code == 0)
        code = open_gates(&cfg);
    int r = code == 0 ? pv_served_begin(what, &told) : PV_OK;
    if (r < 0)
        code = pv_cli_fail(cli, PV_CTLAPI_FAILED, "start: %s", pv_strstatus(r));
    if (code == 0)
        code = say_where(cli, &gate[gate[0].fd < 0 ? 1 : 0]);
    if (code == 0)
        code = pv_links_run(&cfg);
    for (int i = 0; i < PV_LINKS_GATES; i++)
        pv_gate_close(&gate[i]);
    pv_served_end(told);
    return code;
}

struct serving_list {
    struct pv_cli *cli;
    json_t *all; /* NULL: one is meant */
    struct pv_served *meant;
    bool ended;
    bool elsewhere; /* it is in a container that has this network, and no number here */
};

static void on_served(void *ctx, const struct pv_served *what, pid_t pid)
{
    struct serving_list *x = ctx;
    if (strcmp(what->socket, x->cli->node.socket) != 0)
        return;
    if (x->all != NULL)
        (void)json_array_append_new(x->all,
                                    json_pack("{s:i,s:s,s:s,s:o}", "port", what->port, "protocol",
                                              what->udp ? "udp" : "tcp", "to", what->to, "pid",
                                              pid > 0 ? json_integer(pid) : json_null()));
    else if (what->port != x->meant->port || what->udp != x->meant->udp)
        return;
    else if (pid > 0) /* 0 would be this process' own group */
        x->ended = kill(pid, SIGTERM) == 0 || x->ended;
    else
        x->elsewhere = true;
}

static void served_row(struct pv_table *t, const json_t *one)
{
    pv_table_cellf(t, PV_PLAIN, "%s/%.0f", pv_json_text(one, "protocol", "?"),
                   pv_json_real(one, "port", 0));
    pv_table_cell(t, PV_PLAIN, pv_json_text(one, "to", "?"));
    pv_table_cell(t, PV_PLAIN,
                  pv_json_real(one, "pid", 0) > 0 ? PV_STR("%.0f", pv_json_real(one, "pid", 0))
                                                  : "-");
}

static int list_served(struct pv_cli *cli)
{
    static const char *const head[] = {"PORT", "GOES TO", "PROCESS"};
    struct serving_list x = {.cli = cli, .all = json_array()};
    int r = x.all == NULL ? PV_ERR_NOMEM : pv_served_each(on_served, &x), code = 0;
    if (r < 0)
        code = pv_cli_fail(cli, PV_CTLAPI_FAILED, "ask the kernel: %s", pv_strstatus(r));
    if (code == 0 && cli->json)
        code = pv_cli_print_packed(cli, "{s:O}", "served", x.all);
    else if (code == 0 && json_array_size(x.all) == 0)
        pv_cli_note(cli, "nothing is served: serve PORT [HOST:]PORT leads members out");
    else if (code == 0)
        code = pv_cli_print_list(cli, head, PV_ARRAY_LEN(head), x.all, served_row);
    json_decref(x.all);
    return code;
}

static int end_served(struct pv_cli *cli, struct pv_served *what)
{
    struct serving_list x = {.cli = cli, .meant = what};
    int r = pv_served_each(on_served, &x);
    if (r < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "ask the kernel: %s", pv_strstatus(r));
    if (x.elsewhere && !x.ended)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "%s port %u is served from another container: end it there",
                           what->udp ? "UDP" : "TCP", what->port);
    return x.ended ? 0
                   : pv_cli_fail(cli, PV_CTLAPI_FAILED,
                                 "nothing of yours serves %s port %u: `p2pvpnctl serve` lists what "
                                 "does",
                                 what->udp ? "UDP" : "TCP", what->port);
}

static int serve(struct pv_cli *cli)
{
    char to[PV_OUTSIDE_HOST_BUF + 16];
    struct pv_outside place = {.failed = false};
    struct pv_served what = {
        .socket = cli->node.socket, .udp = cli->args.value[OPT_UDP] != NULL, .to = to};
    const char *first = cli->args.n_words > 0 ? cli->args.word[0] : "list";
    bool removes = strcmp(first, "remove") == 0;
    if (strcmp(first, "list") == 0 && cli->args.n_words < 2)
        return list_served(cli);
    if (cli->args.n_words != 2)
        return pv_cli_usage(cli, "there is serve PORT [HOST:]PORT, serve list, serve remove PORT");
    int code = parse_port(cli, cli->args.word[removes ? 1 : 0], &what.port);
    if (code == 0 && removes)
        return end_served(cli, &what);
    if (code == 0)
        code = pv_cli_endless(cli, "serve");
    if (code == 0)
        code = pv_outside_parse(&place, cli, cli->args.word[1]);
    bool is_ip6 = strchr(place.host, ':') != NULL;
    snprintf(to, sizeof(to), "%s%s%s:%u", is_ip6 ? "[" : "", place.host, is_ip6 ? "]" : "",
             place.addr.port);
    return code != 0 ? code : serve_place(cli, &what, &place);
}

const struct pv_command pv_cmds_forward[] = {
    {
        .name = "nc",
        .keeps_root = true,
        .args = "PEER PORT [-u]",
        .summary = "connect standard input and output to a port of PEER",
        .details =
            "For scripts, and for ssh: ProxyCommand p2pvpnctl nc %h %p. At the end of input\n"
            "nc waits for the rest of PEER's output. Exit codes: 11: no program listens\n"
            "there, 3: no answer, 6: no such peer.\n"
            "  -u, --udp       each read of standard input is a datagram; ends a second after\n"
            "                  the last one\n",
        .example = "p2pvpnctl nc pi 22",
        .options = {{"udp", 'u', false}},
        .words = {2, 2},
        .run = nc,
    },
    {
        .name = "forward",
        .keeps_root = true,
        .args = "[ADDR:]PORT|PATH PEER:PORT [-u]",
        .summary = "let local programs reach a port of PEER",
        .details =
            "Runs until you press Ctrl-C. Only programs of this user can connect, not root's.\n"
            "Listens on 127.0.0.1 unless ADDR is another loopback address, and prints its\n"
            "address. Port 0 picks a free port. A PATH contains \"/\".\n"
            "  -u, --udp       forward datagrams\n",
        .example = "p2pvpnctl forward 8080 pi:80",
        .options = {{"udp", 'u', false}},
        .words = {2, 2},
        .endless = true,
        .run = forward,
    },
    {
        .name = "socks",
        .keeps_root = true,
        .args = "[--listen [ADDR:]PORT|PATH]",
        .summary = "let local programs reach all members (SOCKS5, HTTP proxy)",
        .details = "Runs until you press Ctrl-C. Only programs of this user can connect, as with\n"
                   "forward. It resolves members' names itself, and reaches members only.\n"
                   "  --listen PLACE  instead of 127.0.0.1:1080\n",
        .example = "p2pvpnctl socks & curl -x socks5h://127.0.0.1:1080 http://pi/",
        .options = {{"listen", 0, true}},
        .endless = true,
        .run = socks,
    },
    {
        .name = "serve",
        .keeps_root = true,
        .args = "PORT [HOST:]PORT [-u] | list | remove PORT [-u]",
        .summary = "let members reach a port of this machine or its LAN",
        .details =
            "Runs until you press Ctrl-C or remove it, and continues when p2pvpnd restarts.\n"
            "Forwards members' connections from PORT of this node to HOST:PORT (127.0.0.1),\n"
            "with your rights. Rules decide which members can connect. Programs of this\n"
            "machine cannot connect.\n"
            "  list            list what you serve; serve without arguments does the same\n"
            "  remove PORT     stop serving this port\n"
            "  -u, --udp       forward datagrams\n",
        .example = "p2pvpnctl serve 8080 3000",
        .options = {{"udp", 'u', false}},
        .words = {0, 2},
        .run = serve,
    },
    {.name = NULL},
};
