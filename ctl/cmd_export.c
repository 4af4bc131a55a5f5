/* SPDX-License-Identifier: MIT */
/* export: a phone with a stock WireGuard app, and the file for it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "ctl/commands.h"
#include "ctl/told.h"
#include "sys/term/qr.h"

enum {
    EXPORT_QR,
    EXPORT_BY,
    EXPORT_EVERYTHING,
    EXPORT_ENDPOINT,
};

enum {
    QR_COLUMNS = 80, /* where there is no screen */
    QR_BYTES = 360,  /* ours: of a usual file, with short names and an endpoint of IPv4 */
    FILE_MAX = 2048, /* bytes of a file with the NUL */
};

/* Nobody's address (RFC 7600). An exit answers questions for names at private addresses, whoever's
 * they are, in its own resolver's words: so one where no name server of the network is known. */
#define DUMMY "192.0.0.8"

/* A value that is longer than any of its kind is left out: cut, it could end in half a character.
 */
static const char *value_of(const json_t *body, const char *key, size_t most)
{
    const char *text = pv_json_text(body, key, "");
    return strlen(text) <= most ? text : "";
}

/* The lines that apps read, as wg-quick(8) has them. A value of an answer has no line break
 * (harmless.h), so each is one line, whatever p2pvpnd says. */
static void write_file(const struct pv_cli *cli, const json_t *body, char text[static FILE_MAX])
{
    const char *name = value_of(body, "name", 63), *by = value_of(body, "by", 63);
    const char *network = value_of(body, "network", 63), *dns = value_of(body, "dns", 45);
    const bool all = cli->args.value[EXPORT_EVERYTHING] != NULL;
    char line[PV_SHOW_BUF + PV_SHOW_BUF] = "";
    if (dns[0] != '\0')
        snprintf(line, sizeof(line), "DNS = %s, %s.p2p\n", dns, network);
    else if (all)
        snprintf(line, sizeof(line), "DNS = " DUMMY "\n");
    snprintf(text, FILE_MAX,
             "# %s of network %s, gateway %s\n"
             "[Interface]\nPrivateKey = %s\nAddress = %s/32, %s/128\n%s\n"
             "[Peer]\nPublicKey = %s\nAllowedIPs = %s, %s\nEndpoint = %s\n"
             "PersistentKeepalive = %.0f\n",
             name, network, by, value_of(body, "private_key", 44), value_of(body, "address4", 45),
             value_of(body, "address6", 45), line, value_of(body, "public_key", 44),
             value_of(body, "allowed4", 60), value_of(body, "allowed6", 60),
             value_of(body, "endpoint", 270), pv_json_real(body, "keepalive", 0));
}

/* Another member is to be the phone's gateway, and was not asked for anything. */
static bool is_unasked(const struct pv_cli *cli, const json_t *body)
{
    return cli->args.value[EXPORT_BY] != NULL && cli->args.value[EXPORT_ENDPOINT] != NULL &&
           !pv_json_bool(body, "here");
}

/* Names of the network: by a name server on its gateway, which another member
 * is asked for where it is asked for the endpoint. */
static void tell_dns(struct pv_cli *cli, const json_t *body, const char *by)
{
    if (!is_unasked(cli, body))
        pv_cli_note(
            cli, "names do not work in the app: no name server listens on %s ([dns] listen)", by);
    else
        pv_cli_note(cli,
                    "names do not work in the app: where a name server listens on %s ([dns] "
                    "listen), add its address to the app's DNS servers",
                    by);
}

/* An address of IPv6, which the answer has in brackets, is no way to here from every network. */
static void tell_family(struct pv_cli *cli, const json_t *body, const char *by)
{
    if (pv_json_text(body, "endpoint", "")[0] == '[')
        pv_cli_note(cli,
                    "the app finds %s by IPv6 alone: where its network has none it reaches nobody; "
                    "--endpoint ADDRESS:PORT names another way, such as a port that is forwarded",
                    by);
}

/* p2pvpnd refuses an export whose phone port failed. Without a member elsewhere it cannot know. It
 * tests no port of the gateway's own. */
static void tell_test(struct pv_cli *cli, const json_t *body)
{
    const bool named = cli->args.value[EXPORT_ENDPOINT] != NULL;
    if (json_is_null(json_object_get(body, "port_test")))
        pv_cli_note(cli,
                    "the app needs UDP at %s, open in the gateway's firewall: it is not tested",
                    pv_json_text(body, "endpoint", "?"));
    if (strcmp(pv_json_text(body, "port_test", ""), "untested") != 0)
        return;
    pv_cli_note(cli, "%s %s is not tested from outside%s: try the app in another network",
                named ? "endpoint" : "phone port", pv_json_text(body, "endpoint", "?"),
                named ? "" : ", as no member in another network is online");
}

/* As wg-genkey(1) has it. */
static void tell_readers(struct pv_cli *cli)
{
    struct stat st;
    if (fstat(fileno(cli->out), &st) == 0 && S_ISREG(st.st_mode) &&
        (st.st_mode & (S_IRGRP | S_IROTH)) != 0)
        pv_cli_note(cli, "others on this machine may read that file, which has a secret key: "
                         "`chmod 600` it, and begin with `umask 077`");
}

/* Writes the code where --qr=FILE says. False: it is not there, and why was said. */
static bool save_picture(struct pv_cli *cli, const char *path, const char *file)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    bool done = out != NULL && pv_qr_write_svg(file, out);
    if (!done)
        pv_cli_note(cli, "no picture: write %s: %s", path, strerror(errno));
    else
        pv_cli_note(cli, "the QR code is in %s: delete it when the app has read it", path);
    if (out != NULL)
        fclose(out);
    else if (fd >= 0)
        close(fd);
    return done;
}

/* Where no code can be shown, the file is: nobody can ask for it again. */
static void show_file(struct pv_cli *cli, const char *file)
{
    const char *qr = cli->args.value[EXPORT_QR];
    const struct pv_screen *screen = &cli->screen;
    const struct pv_qr_size size = pv_qr_size(strlen(file));
    bool shown = false;
    if (qr != NULL && qr[0] != '\0')
        shown = save_picture(cli, qr, file);
    else if (qr != NULL && screen->height > 0 && size.lines > screen->height)
        pv_cli_note(cli, "no QR code: it needs %u columns and %u lines, and there are %zu lines",
                    size.columns, size.lines, screen->height);
    else if (qr != NULL)
        shown = pv_cli_print_qr(cli, file, screen->width > 0 ? (unsigned)screen->width : QR_COLUMNS,
                                cli->out);
    if (!shown)
        fputs(file, cli->out);
}

/* The file alone is on standard output: it goes where its user sends it, and is kept nowhere. The
 * user hears beside it what to know of it. */
static int print_file(struct pv_cli *cli, const json_t *body)
{
    const char *name = pv_json_text(body, "name", "?"), *by = pv_json_text(body, "by", "?");
    char file[FILE_MAX];
    write_file(cli, body, file);
    show_file(cli, file);
    pv_wipe(file, sizeof(file));
    pv_cli_note(cli,
                "%s is a phone at %s, and its gateway is %s: whoever has this file can be in the "
                "network as %s; it is "
                "shown once and kept nowhere",
                name, pv_json_text(body, "address4", "?"), by, name);
    pv_cli_note(cli,
                "%s reads what passes, and nothing between the app and %s is post-quantum; "
                "`sudo p2pvpnctl remove %s` ends it",
                by, by, name);
    if (is_unasked(cli, body))
        pv_cli_note(
            cli,
            "%s is the gateway of %s only when its p2pvpnd.conf says `[phones] gateway = on`: its "
            "`p2pvpnctl status` tells when it is missing",
            by, name);
    tell_test(cli, body);
    tell_family(cli, body, by);
    if (pv_json_text(body, "dns", NULL) == NULL)
        tell_dns(cli, body, by);
    tell_readers(cli);
    return 0;
}

/* Checks that the code fits the screen, or that the picture can be written. It runs before the
 * phone is made, because the phone's file is printed only once. Returns 0, or an exit code after
 * an error. */
static int check_qr(struct pv_cli *cli, const char *qr)
{
    const struct pv_qr_size size = pv_qr_size(QR_BYTES);
    const struct pv_screen *screen = &cli->screen;
    if (qr[0] == '\0') {
        bool fits = (screen->width == 0 || size.columns <= screen->width) &&
                    (screen->height == 0 || size.lines <= screen->height);
        if (fits || !pv_qr_is_there())
            return 0;
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "the QR code needs about %u columns and %u lines, and this "
                           "screen has %zu and %zu: make the window larger, or --qr=FILE.svg "
                           "writes a picture",
                           size.columns, size.lines, screen->width, screen->height);
    }
    if (!pv_qr_is_there())
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "no QR code: libqrencode.so.4 is not installed, or this p2pvpnctl is "
                           "static: install libqrencode4");
    int fd = open(qr, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "write %s: %s: name another file", qr,
                           strerror(errno));
    close(fd);
    (void)unlink(qr); /* print_file() writes it when there is something to write */
    return 0;
}

static int fill_phone(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    const char *const *value = cli->args.value, *word = cli->args.word[0];
    int code = pv_cli_name(cli, "", word, req->u.phone.name);
    if (code == 0 && value[EXPORT_QR] != NULL)
        code = check_qr(cli, value[EXPORT_QR]);
    if (code != 0)
        return code;
    if (value[EXPORT_BY] != NULL)
        snprintf(req->peer, sizeof(req->peer), "%s", value[EXPORT_BY]);
    if (value[EXPORT_ENDPOINT] != NULL)
        snprintf(req->u.phone.endpoint, sizeof(req->u.phone.endpoint), "%s",
                 value[EXPORT_ENDPOINT]);
    req->u.phone.everything = value[EXPORT_EVERYTHING] != NULL;
    return 0;
}

const struct pv_command pv_cmds_export[] = {
    {
        .name = "export",
        .keeps_root = true,
        .args = "NAME [--qr[=FILE.svg]] [--by PEER] [--everything] [--endpoint ADDRESS:PORT]",
        .summary = "add a phone: prints the file for its WireGuard app",
        .details =
            "Adds a phone: a member with the stock WireGuard app and without p2pvpnd. Prints\n"
            "the file for the app once. This node becomes the phone's gateway. It must be an\n"
            "admin, reachable from outside, and stay on. If the app uses a phone port of the\n"
            "coordinator, export tests this port first. If the test fails, export adds no\n"
            "phone and names the ports to open in the coordinator's firewall.\n"
            "  --qr[=FILE.svg]  a QR code instead of the file, on the screen or as a picture\n"
            "  --by PEER     the gateway is PEER, which needs `[phones] gateway = on`\n"
            "  --everything  the app sends all traffic through the gateway, an exit node\n"
            "  --endpoint ADDRESS:PORT  where the app finds the gateway, such as a name and\n"
            "                a port that its router forwards\n",
        .example = "sudo p2pvpnctl export phone --qr",
        .options = {{"qr", 0, PV_OPTION_MAYBE},
                    {"by", 0, true},
                    {"everything", 0, false},
                    {"endpoint", 0, true}},
        .words = {1, 1},
        .verb = {.cmd = PV_CTLAPI_EXPORT, .fill = fill_phone, .print = print_file},
    },
    {.name = NULL},
};
