/* SPDX-License-Identifier: MIT */
/*
 * cmd_web.c - the page of this node for this user's browser: lets the user's programs in, makes
 * connections to p2pvpnd, and hands both to p2pvpn-web, which has no rights (docs/adr/0091).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "ctl/commands.h"
#include "ctl/forward/gate.h"
#include "ctl/lib/launch.h"
#include "proto/local/weblogin.h"
#include "sys/net/unixsock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/loop.h"

enum {
    OPT_LISTEN,
    REST_MS = 1000, /* ours: without descriptors, until the gate is looked at again */
};

struct page {
    struct pv_cli *cli;
    struct pv_gate gate;
    int link;      /* to p2pvpn-web */
    uint16_t port; /* of the browser's machine, which is led to a path */
    bool is_later; /* a link was shown before */
};

/* In the child: becomes p2pvpn-web, with nothing of this process but its end of the pair and where
 * it says why it fails. */
static void become_server(const char *program, int link)
{
    char name[] = "p2pvpn-web", *argv[] = {name, NULL}, *env[] = {NULL};
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0 ||
        dup2(link, PV_WEBLINK_FD) < 0)
        _exit(PV_CTLAPI_FAILED);
    closefrom(PV_WEBLINK_FD + 1);
    execve(program, argv, env);
    dprintf(STDERR_FILENO, "p2pvpnctl: web: run %s: %s\n", program, strerror(errno));
    _exit(PV_CTLAPI_FAILED);
}

/* The other end has no lease on descriptor 3 here, so a pair that has it there is doubled first:
 * dup2() of a descriptor to itself would leave it to be closed by exec. */
static int start_server(struct page *p, const char *program, pid_t *ret_pid)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, PV_WEBLINK_FD + 1);
    close(pair[1]);
    p->link = pair[0];
    if (theirs < 0)
        return -errno;
    (void)fflush(NULL);
    *ret_pid = fork();
    if (*ret_pid == 0)
        become_server(program, theirs);
    int r = *ret_pid < 0 ? -errno : PV_OK;
    close(theirs);
    return r;
}

/* One message. Waits while p2pvpn-web does not read: then browsers wait as well. */
static int hand_over(const struct page *p, const char *text, size_t len, int fd)
{
    struct pollfd ready = {.fd = p->link, .events = POLLOUT};
    size_t n;
    for (;;) {
        int r = pv_unix_write(p->link, pv_view(text, len), fd, &n);
        if (r != PV_ERR_AGAIN)
            return r;
        (void)poll(&ready, 1, -1);
    }
}

/* --- what p2pvpn-web asks for -------------------------------------------------------------- */

/* p2pvpnd sees this process, and so grants what this user may do. */
static int connect_control(const struct page *p)
{
    char text[2] = {PV_WEBLINK_CONTROL, 0};
    int fd = -1, r = pv_unix_connect(p->cli->node.socket, &fd);
    if (r < 0)
        text[1] = (char)(r == -EACCES ? PV_CTLAPI_PERMISSION : PV_CTLAPI_NOT_RUNNING);
    r = hand_over(p, text, sizeof(text), fd);
    if (fd >= 0)
        close(fd);
    return r;
}

/* A place for what a browser sends; it has no name, and goes with its last descriptor. */
static int hand_over_file(const struct page *p)
{
    static const char kind = PV_WEBLINK_FILE;
    const char *dir = getenv("TMPDIR");
    int fd = open(dir == NULL ? "/var/tmp" : dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    /* With sudo it counts for the quota of who called it. */
    if (fd >= 0 && p->gate.uid != geteuid() && fchown(fd, p->gate.uid, (gid_t)-1) < 0) {
        close(fd);
        fd = -1;
    }
    int r = hand_over(p, &kind, 1, fd);
    if (fd >= 0)
        close(fd);
    return r;
}

/* A browser finds the part behind # in the link, and does not send it to anybody by itself. */
static int show_link(struct page *p, const char *token)
{
    struct pv_cli *cli = p->cli;
    char place[PV_ADDR_TEXT], link[PV_ADDR_TEXT + PV_KEY_TEXT_BUF + 16];
    const struct pv_addr led = pv_addr4(127, 0, 0, 1, p->port);
    snprintf(link, sizeof(link), "http://%s/#%s",
             pv_addr_format(p->gate.path != NULL ? &led : &p->gate.addr, place), token);
    if (cli->json) {
        json_t *body = json_pack("{s:s,s:s?}", "link", link, "socket", p->gate.path);
        if (body == NULL)
            return PV_ERR_NOMEM;
        pv_cli_print_json(cli, body);
        json_decref(body);
    } else {
        if (p->gate.path != NULL && !p->is_later)
            pv_cli_note(cli,
                        "the page is at %s: lead a port of where your browser is to it "
                        "(ssh -o ExitOnForwardFailure=yes -L 127.0.0.1:%u:PATH)",
                        p->gate.path, p->port);
        pv_cli_note(cli, p->is_later ? "that link was used; one for another browser:"
                                     : "open this in your browser; it works once:");
        fprintf(cli->out, "%s\n", link);
    }
    pv_wipe(link, sizeof(link));
    p->is_later = true;
    return fflush(cli->out) == 0 ? PV_OK : PV_ERR_CLOSED;
}

/* Its parser of HTTP may have fallen to a browser, so no terminal sees anything else of it. */
static bool is_token(const char *text)
{
    uint8_t token[PV_KEY_LEN];
    bool is = pv_key_parse(text, token) == PV_OK;
    pv_wipe(token, sizeof(token));
    return is;
}

static int on_link(struct page *p)
{
    char text[1 + PV_KEY_TEXT_BUF] = "";
    size_t n = 0;
    int passed = -1;
    int r = pv_unix_read(p->link, text, sizeof(text) - 1, &n, &passed);
    if (passed >= 0)
        close(passed);
    if (r == PV_OK && text[0] == PV_WEBLINK_CONTROL)
        r = connect_control(p);
    else if (r == PV_OK && text[0] == PV_WEBLINK_FILE)
        r = hand_over_file(p);
    else if (r == PV_OK && text[0] == PV_WEBLINK_TOKEN)
        r = is_token(text + 1) ? show_link(p, text + 1) : PV_ERR_MALFORMED;
    pv_wipe(text, sizeof(text));
    return r == PV_ERR_AGAIN ? PV_OK : r;
}

/* --- who comes in -------------------------------------------------------------------------- */

/* PV_ERR_LIMIT: out of descriptors. */
static int on_gate(const struct page *p)
{
    static const char kind = PV_WEBLINK_BROWSER;
    int fd = -1, r = pv_gate_accept(&p->gate, &fd);
    if (r < 0)
        return r == PV_ERR_LIMIT ? r : PV_OK;
    r = hand_over(p, &kind, 1, fd);
    close(fd);
    return r;
}

/* Until a signal (PV_OK), or p2pvpn-web ends. */
static int serve_page(struct page *p, int signals)
{
    struct pollfd ready[] = {{.fd = signals, .events = POLLIN},
                             {.fd = p->link, .events = POLLIN},
                             {.fd = p->gate.fd, .events = POLLIN}};
    bool rests = false;
    int r = PV_OK;
    while (r == PV_OK) {
        ready[2].fd = rests ? -1 : p->gate.fd;
        int n = poll(ready, PV_ARRAY_LEN(ready), rests ? REST_MS : -1);
        rests = false;
        if (n <= 0)
            continue;
        if (ready[0].revents != 0)
            return PV_OK;
        if (ready[1].revents != 0)
            r = on_link(p);
        if (r == PV_OK && ready[2].fd >= 0 && ready[2].revents != 0)
            r = on_gate(p);
        if (r == PV_ERR_LIMIT) {
            rests = true;
            r = PV_OK;
        }
    }
    return r;
}

/* --- the command --------------------------------------------------------------------------- */

/* With sudo the browser is that of who called it: root's programs have none. */
static uint32_t whose_browser(void)
{
    uint64_t uid = 0;
    const char *caller = geteuid() == 0 ? getenv("SUDO_UID") : NULL;
    return caller != NULL && pv_u64_parse(caller, 0, UINT32_MAX - 1, &uid) == PV_OK ? (uint32_t)uid
                                                                                    : geteuid();
}

static int run_page(struct page *p, const char *program)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    pid_t pid = -1;
    int signals = -1, status = 0;
    int r = start_server(p, program, &pid);
    if (r == PV_OK)
        r = pv_signals_open(ends, PV_ARRAY_LEN(ends), &signals);
    if (r == PV_OK)
        r = serve_page(p, signals);
    if (signals >= 0)
        close(signals);
    if (p->link >= 0)
        close(p->link); /* by which p2pvpn-web ends */
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (r == PV_OK)
        return 0;
    return pv_cli_fail(p->cli, PV_CTLAPI_FAILED, "p2pvpn-web: %s",
                       r == PV_ERR_CLOSED && WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                                                 : pv_strstatus(r));
}

/* An origin at which no page left anything in the browser, such as a service worker: one of 2^24
 * addresses, or, by a path, of the ports that no service is known by. */
static void draw_origin(struct page *p, char place[static PV_ADDR_TEXT])
{
    const struct pv_rng rng = pv_entropy();
    struct pv_addr fresh =
        pv_addr4(127, (uint8_t)pv_rng_below(&rng, 256), (uint8_t)pv_rng_below(&rng, 256),
                 (uint8_t)(1 + pv_rng_below(&rng, 254)), 0);
    p->port = (uint16_t)(20000 + pv_rng_below(&rng, 40000));
    pv_addr_format(&fresh, place);
}

static int web(struct pv_cli *cli)
{
    const char *where = cli->args.value[OPT_LISTEN];
    char fresh[PV_ADDR_TEXT];
    struct page p = {.cli = cli, .gate = {.fd = -1}, .link = -1};
    char program[PATH_MAX];
    int code = pv_cli_check_node(cli);
    if (code == 0 && !pv_launch_find_web(program))
        code = pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "p2pvpn-web is not beside p2pvpnctl or in ../lib/p2pvpn: this p2pvpnctl "
                           "has no page (it needs libmicrohttpd, and is not in the static build)");
    draw_origin(&p, fresh);
    if (code == 0)
        code = pv_gate_open(&p.gate, cli, where == NULL ? fresh : where, false);
    if (code != 0)
        return code;
    if (p.gate.path == NULL) /* a path lets in who may open it: its owner */
        p.gate.uid = whose_browser();
    code = run_page(&p, program);
    pv_gate_close(&p.gate);
    return code;
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
