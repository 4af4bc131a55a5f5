/* SPDX-License-Identifier: MIT */
/*
 * cmd_web.c - the page of this node for this user's browser: makes connections to p2pvpnd, which
 * p2pvpn-web speaks by (web/host/webhost.h).
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "crypto/ct.h"
#include "ctl/commands.h"
#include "ctl/lib/launch.h"
#include "proto/local/weblogin.h"
#include "sys/net/unixsock.h"
#include "web/host/webhost.h"

enum {
    OPT_LISTEN,
    OPT_KEEP,
};

struct page {
    struct pv_cli *cli;
    struct pv_webhost host;
    bool is_later; /* a link was shown before */
};

/* p2pvpnd sees this process, and so grants what this user may do. */
static int connect_control(void *ctx, bool chat, int *ret_fd)
{
    const struct page *p = ctx;
    return chat ? pv_client_connect_chat(p->cli->node.socket, ret_fd)
                : pv_unix_connect(p->cli->node.socket, ret_fd);
}

/* The end of p2pvpnd's log, as far as this user may read it, the newest line last. */
static void print_log(struct pv_cli *cli)
{
    char from[PV_LAUNCH_FROM];
    json_t *lines = pv_launch_log(&cli->node, from);
    if (lines != NULL)
        (void)pv_cli_print_packed(cli, "{s:s,s:o}", "from", from, "lines", lines);
}

/* p2pvpnd cannot see all of this machine, nor read its own log. */
static void answer(void *ctx, char what)
{
    const struct page *p = ctx;
    struct pv_cli *cli = p->cli;
    cli->json = true;
    cli->cmd = pv_cmds_doctor;
    if (what == PV_WEBLINK_ASK_DOCTOR)
        (void)pv_cmds_doctor->run(cli);
    if (what == PV_WEBLINK_ASK_LOG)
        print_log(cli);
}

static int show_link(void *ctx, const char *link)
{
    struct page *p = ctx;
    struct pv_cli *cli = p->cli;
    const char *path = p->host.gate.path;
    if (cli->json) {
        if (pv_cli_print_packed(cli, "{s:s,s:s?}", "link", link, "socket", path) != 0)
            return PV_ERR_NOMEM;
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

/* --- a page that is kept ------------------------------------------------------------------- */

/* The socket where its links are asked for; "": the control socket's path is too long for one. */
static void links_path(const struct pv_cli *cli, char path[static PATH_MAX])
{
    if (snprintf(path, PATH_MAX, "%s.web", cli->node.socket) >= PATH_MAX)
        path[0] = '\0';
}

void pv_cli_add_web_problem(const struct pv_cli *cli, json_t *status)
{
    char place[PV_INSTANCE_WEB_BUF], links[PATH_MAX], why[PV_GATE_WHY] = "no page is kept there";
    struct pv_gate gate = {.fd = -1};
    bool served = false;
    pv_instance_web(&cli->node, place);
    links_path(cli, links);
    int r = place[0] == '\0' ? -EACCES : pv_unix_is_served(links, &served);
    if (served || (r < 0 && r != PV_ERR_NOT_FOUND)) /* another user's may be there */
        return;
    if (place[0] != '/') /* a socket would stay, or be this user's */
        (void)!pv_gate_open(&gate, place, false, why);
    pv_gate_close(&gate);
    json_t *text = json_sprintf("[web] listen = %s: %s (systemctl enable --now p2pvpn-web; "
                                "journalctl -u p2pvpn-web)",
                                place, why);
    json_t *problems = json_object_get(status, "problems"),
           *minor = json_object_get(status, "minor");
    (void)json_array_append_new(minor, json_integer((json_int_t)json_array_size(problems)));
    (void)json_array_append_new(problems, text);
}

/* Is one kept for this user? Then its link is shown, and *ret_code is the exit code. */
static bool show_kept(struct page *p, int *ret_code)
{
    char links[PATH_MAX], link[PV_WEBHOST_LINK_BUF];
    links_path(p->cli, links);
    if (pv_webhost_ask(links, link) < 0)
        return false;
    *ret_code = show_link(p, link) == PV_OK ? 0 : PV_CTLAPI_FAILED;
    pv_wipe(link, sizeof(link));
    return true;
}

/* --- the command --------------------------------------------------------------------------- */

/* Prints the link of a page that is kept, if one is; else is the page itself until a signal. */
static int web(struct pv_cli *cli)
{
    char why[PV_GATE_WHY], place[PV_INSTANCE_WEB_BUF] = "", links[PATH_MAX];
    const char *where = cli->args.value[OPT_LISTEN];
    bool keep = cli->args.value[OPT_KEEP] != NULL;
    struct page p = {.cli = cli,
                     .host = {.page = PV_WEBLINK_NODE,
                              .files = true,
                              .connect = connect_control,
                              .answer = answer,
                              .show = show_link,
                              .ctx = &p}};
    int code = pv_cli_check_node(cli);
    if (code == 0 && pv_client_open(&cli->client, cli->node.socket) == -EACCES)
        return pv_cli_connect(cli); /* which says who may */
    pv_client_close(&cli->client);
    if (code != 0 || (!keep && where == NULL && show_kept(&p, &code)))
        return code;
    if (keep && where == NULL) {
        pv_instance_web(&cli->node, place);
        where = place;
    }
    if (keep && where[0] == '\0')
        return pv_cli_usage(cli, "--keep needs a place: --listen, or [web] listen in %s",
                            cli->node.config[0] == '\0' ? "p2pvpnd.conf" : cli->node.config);
    if (keep) {
        links_path(cli, links);
        p.host.links = links;
    }
    int r = pv_webhost_open(&p.host, where, why);
    if (r < 0)
        return pv_cli_fail_gate(cli, r, why);
    return pv_webhost_run(&p.host, why) == PV_OK ? 0
                                                 : pv_cli_fail(cli, PV_CTLAPI_FAILED, "%s", why);
}

const struct pv_command pv_cmds_web[] = {
    {
        .name = "web",
        .keeps_root = true,
        .args = "[--listen [ADDR:]PORT|PATH] [--keep]",
        .summary = "this node as a web page in your browser",
        .details =
            "Runs until you press Ctrl-C. Prints a link that works once, in one browser.\n"
            "After use it prints a new link. With sudo, or with your own p2pvpnd --user, the\n"
            "page can change everything. Otherwise it can show and chat. Only your own\n"
            "programs can open it.\n"
            "  --listen PLACE  serve at this loopback port, or at this Unix socket (PATH has\n"
            "                  a \"/\"); without it each start takes a new address and port\n"
            "  --keep          serve at [web] listen of p2pvpnd.conf and print no link; then\n"
            "                  `p2pvpnctl web` of the same user prints a link. The service\n"
            "                  p2pvpn-web does this\n",
        .example = "sudo p2pvpnctl web",
        .options = {{"listen", 0, true}, {"keep", 0, false}},
        .endless = true,
        .run = web,
    },
    {.name = NULL},
};
