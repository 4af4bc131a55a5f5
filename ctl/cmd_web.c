/* SPDX-License-Identifier: MIT */
/*
 * cmd_web.c - the page of this node for this user's browser: makes connections to p2pvpnd, which
 * p2pvpn-web speaks by (web/host/webhost.h).
 */
#include <string.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "proto/local/weblogin.h"
#include "sys/net/unixsock.h"
#include "web/host/webhost.h"

enum {
    OPT_LISTEN,
};

struct page {
    struct pv_cli *cli;
    struct pv_webhost host;
    bool is_later; /* a link was shown before */
};

/* p2pvpnd sees this process, and so grants what this user may do. */
static int connect_control(void *ctx, int *ret_fd)
{
    const struct page *p = ctx;
    return pv_unix_connect(p->cli->node.socket, ret_fd);
}

/* p2pvpnd cannot see all of this machine. */
static void answer(void *ctx, char what)
{
    const struct page *p = ctx;
    struct pv_cli *cli = p->cli;
    cli->json = true;
    cli->cmd = pv_cmds_doctor;
    if (what == PV_WEBLINK_ASK_DOCTOR)
        (void)pv_cmds_doctor->run(cli);
}

static int show_link(void *ctx, const char *link)
{
    struct page *p = ctx;
    struct pv_cli *cli = p->cli;
    const char *path = p->host.gate.path;
    if (cli->json) {
        json_t *body = json_pack("{s:s,s:s?}", "link", link, "socket", path);
        if (body == NULL)
            return PV_ERR_NOMEM;
        pv_cli_print_json(cli, body);
        json_decref(body);
    } else {
        if (path != NULL && !p->is_later)
            pv_cli_note(cli,
                        "the page is at %s: lead a port of where your browser is to it "
                        "(ssh -o ExitOnForwardFailure=yes -L 127.0.0.1:%u:PATH)",
                        path, p->host.port);
        pv_cli_note(cli, p->is_later ? "that link was used; one for another browser:"
                                     : "open this in your browser; it works once:");
        fprintf(cli->out, "%s\n", link);
    }
    p->is_later = true;
    return fflush(cli->out) == 0 ? PV_OK : PV_ERR_CLOSED;
}

static int web(struct pv_cli *cli)
{
    char why[PV_GATE_WHY];
    struct page p = {.cli = cli,
                     .host = {.page = PV_WEBLINK_NODE,
                              .files = true,
                              .connect = connect_control,
                              .answer = answer,
                              .show = show_link,
                              .ctx = &p}};
    int code = pv_cli_check_node(cli);
    if (code != 0)
        return code;
    int r = pv_webhost_open(&p.host, cli->args.value[OPT_LISTEN], why);
    if (r < 0)
        return pv_cli_fail_gate(cli, r, why);
    return pv_webhost_run(&p.host, why) == PV_OK ? 0
                                                 : pv_cli_fail(cli, PV_CTLAPI_FAILED, "%s", why);
}

const struct pv_command pv_cmds_web[] = {
    {
        .name = "web",
        .args = "[--listen [ADDR:]PORT|PATH]",
        .summary = "this node as a page in your browser",
        .details =
            "Until it is interrupted. Prints a link that works once, for one browser, and\n"
            "another when it was used. The page may do what you may: as root (sudo) all, else\n"
            "look, and chat. Only programs of yours get in: the kernel says whose they are.\n"
            "  --listen PLACE  instead of another loopback address each time; PATH has a \"/\"\n",
        .example = "sudo p2pvpnctl web",
        .options = {{"listen", 0, true}},
        .run = web,
    },
    {.name = NULL},
};
