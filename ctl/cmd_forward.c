/* SPDX-License-Identifier: MIT */
/* Connections to members for programs that are not in the overlay: nc, forward, socks. */
#include <string.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/forward/links.h"
#include "ctl/forward/nc.h"

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
        json_t *body = json_pack("{s:s}", "listen", name);
        if (body == NULL)
            return pv_cli_no_memory(cli);
        pv_cli_print_json(cli, body);
        json_decref(body);
    } else {
        fprintf(cli->out, "%s\n", name);
    }
    return fflush(cli->out) == 0 ? 0
                                 : pv_cli_fail(cli, PV_CTLAPI_FAILED, "nobody reads the output");
}

/* Opens a gate at that place and carries by it what cfg says, until it is interrupted. */
static int serve(struct pv_links_config *cfg, const char *where, bool udp)
{
    struct pv_gate gate = {.fd = -1};
    cfg->gate = &gate;
    int code = pv_gate_open(&gate, cfg->cli, where, udp);
    if (code == 0)
        code = say_where(cfg->cli, &gate);
    if (code == 0)
        code = pv_links_run(cfg);
    pv_gate_close(&gate);
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
    return code != 0 ? code : serve(&cfg, cli->args.word[0], cli->args.value[OPT_UDP] != NULL);
}

static int socks(struct pv_cli *cli)
{
    const char *where = cli->args.value[OPT_LISTEN];
    struct pv_overlay overlay = {.cli = cli};
    struct pv_links_config cfg = {.cli = cli, .overlay = &overlay};
    int code = pv_overlay_open(&overlay);
    return code != 0 ? code : serve(&cfg, where == NULL ? SOCKS_PLACE : where, false);
}

const struct pv_command pv_cmds_forward[] = {
    {
        .name = "nc",
        .args = "PEER PORT [-u]",
        .summary = "standard input and output as a connection to PEER",
        .details =
            "For scripts, and for ssh: ProxyCommand p2pvpnctl nc %h %p. The end of standard\n"
            "input is passed on, and what PEER still says is waited for. Exit codes: 11: no\n"
            "program listens there, 3: no answer, 6: no such peer.\n"
            "  -u, --udp       each read of standard input is a datagram; ends a second after\n"
            "                  the last one\n",
        .example = "p2pvpnctl nc pi 22",
        .options = {{"udp", 'u', false}},
        .min_words = 2,
        .max_words = 2,
        .run = nc,
    },
    {
        .name = "forward",
        .args = "[ADDR:]PORT|PATH PEER:PORT [-u]",
        .summary = "a port or socket of this machine that leads to a port of PEER",
        .details =
            "Until it is interrupted. Only this user's programs get in, not root's: whose a\n"
            "connection is the kernel says. Prints where it listens: 127.0.0.1 unless ADDR is\n"
            "another address of loopback; port 0 is any that is free. PATH has a \"/\".\n"
            "  -u, --udp       datagrams\n",
        .example = "p2pvpnctl forward 8080 pi:80",
        .options = {{"udp", 'u', false}},
        .min_words = 2,
        .max_words = 2,
        .run = forward,
    },
    {
        .name = "socks",
        .args = "[--listen [ADDR:]PORT|PATH]",
        .summary = "a proxy to all members, by SOCKS5 and HTTP CONNECT",
        .details =
            "Until it is interrupted, for this user's programs alone, as forward. It resolves\n"
            "names of members itself, and leads to members only.\n"
            "  --listen PLACE  instead of 127.0.0.1:1080\n",
        .example = "p2pvpnctl socks & curl -x socks5h://127.0.0.1:1080 http://pi/",
        .options = {{"listen", 0, true}},
        .run = socks,
    },
    {.name = NULL},
};
