/* SPDX-License-Identifier: MIT */
/* webhost.c - starts p2pvpn-web, and hands it connections of browsers and what it asks for. */
#include "web/host/webhost.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "proto/local/ctlcmd.h"
#include "sys/net/unixsock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/loop.h"

enum {
    REST_MS = 1000, /* ours: without descriptors, until the gate and those that ask are looked at */
    ANSWER_MS = 15000, /* ours: for a link of a page that is kept and may just start */
    UID_BUF = 12,      /* decimal, with the NUL */
    END_MS = 2000,     /* ours: for p2pvpn-web to end by itself */
};

/* --- p2pvpn-web ---------------------------------------------------------------------------- */

/* Beside this program (a build), or where the packages have it. argv[0] is the caller's word,
 * /proc/self/exe the kernel's. */
static bool find_server(char ret_program[static PATH_MAX])
{
    static const char *const below[] = {"", "/../lib/p2pvpn", "/../lib/p2pvpn-coordinator"};
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    for (size_t i = 0; slash != NULL && i < PV_ARRAY_LEN(below); i++) {
        int n = snprintf(ret_program, PATH_MAX, "%s%s/p2pvpn-web", self, below[i]);
        if (n > 0 && n < PATH_MAX && access(ret_program, X_OK) == 0)
            return true;
    }
    return false;
}

/* In the child: becomes p2pvpn-web, with nothing of this process but its end of the pair and where
 * it says why it fails. */
static void become_server(const char *page, int link)
{
    char name[] = "p2pvpn-web", kind[16], program[PATH_MAX] = "";
    char *argv[] = {name, kind, NULL}, *env[] = {NULL};
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    snprintf(kind, sizeof(kind), "%s", page);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0 ||
        dup2(link, PV_WEBLINK_FD) < 0 || !find_server(program))
        _exit(1);
    closefrom(PV_WEBLINK_FD + 1);
    execve(program, argv, env);
    dprintf(STDERR_FILENO, "p2pvpn-web: run %s: %s\n", program, strerror(errno));
    _exit(1);
}

/* The other end has no lease on descriptor 3 here, so a pair that has it there is doubled first:
 * dup2() of a descriptor to itself would leave it to be closed by exec. */
static int start_server(struct pv_webhost *h, pid_t *ret_pid)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, PV_WEBLINK_FD + 1);
    close(pair[1]);
    h->link = pair[0];
    if (theirs < 0)
        return -errno;
    (void)fflush(NULL);
    *ret_pid = fork();
    if (*ret_pid == 0)
        become_server(h->page, theirs);
    int r = *ret_pid < 0 ? -errno : PV_OK;
    close(theirs);
    return r;
}

/* Sends one message. Waits while p2pvpn-web does not read: then browsers wait as well.
 * PV_ERR_STATE: a signal ends the page first. */
static int hand_over(const struct pv_webhost *h, const char *text, size_t len, int fd)
{
    struct pollfd ready[] = {{.fd = h->link, .events = POLLOUT},
                             {.fd = h->signals, .events = POLLIN}};
    size_t n;
    for (;;) {
        int r = pv_unix_write(h->link, pv_view(text, len), fd, &n);
        if (r != PV_ERR_AGAIN)
            return r;
        (void)poll(ready, PV_ARRAY_LEN(ready), -1);
        if (ready[1].revents != 0)
            return PV_ERR_STATE;
    }
}

/* --- answers ------------------------------------------------------------------------------- */

/* In the child: the gate and p2pvpn-web are not its business, and it ends, whatever it waits for.
 */
static void become_answer(const struct pv_webhost *h, char what, int to)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(to, STDOUT_FILENO) < 0 || dup2(to, STDERR_FILENO) < 0)
        _exit(1);
    closefrom(STDERR_FILENO + 1);
    alarm(PV_WEBHOST_PATIENCE);
    h->answer(h->ctx, what);
    (void)fflush(NULL);
    _exit(0);
}

/* A place for a process that answers. NULL: all are taken; a page does not ask so much at once. */
static pid_t *find_place(struct pv_webhost *h)
{
    pid_t *place = NULL;
    for (size_t i = 0; i < PV_WEBHOST_ANSWERS; i++) {
        if (h->child[i] > 0 && waitpid(h->child[i], NULL, WNOHANG) != 0)
            h->child[i] = 0;
        if (h->child[i] == 0)
            place = &h->child[i];
    }
    return place;
}

static int ask(struct pv_webhost *h, char what, int *ret_fd)
{
    pid_t *place = find_place(h);
    int pair[2];
    if (place == NULL)
        return PV_ERR_LIMIT;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    (void)fflush(NULL);
    *place = fork();
    if (*place == 0)
        become_answer(h, what, pair[1]);
    int r = *place < 0 ? -errno : PV_OK;
    close(pair[1]);
    if (r == PV_OK) {
        *ret_fd = pair[0];
        return PV_OK;
    }
    *place = 0;
    close(pair[0]);
    return r;
}

/* --- what it asks for ---------------------------------------------------------------------- */

static int hand_over_connection(struct pv_webhost *h, char what)
{
    char text[2] = {PV_WEBLINK_CONTROL, 0};
    int fd = -1, r = PV_ERR_NOT_FOUND;
    if (what != 0 && what != PV_WEBLINK_ASK_CHAT)
        r = ask(h, what, &fd);
    else if (h->connect != NULL)
        r = h->connect(h->ctx, what == PV_WEBLINK_ASK_CHAT, &fd);
    if (r < 0)
        text[1] = (char)(r == -EACCES ? PV_CTLAPI_PERMISSION : PV_CTLAPI_NOT_RUNNING);
    r = hand_over(h, text, sizeof(text), fd);
    if (fd >= 0)
        close(fd);
    return r;
}

/* A place for what a browser sends; it has no name, and goes with its last descriptor. */
static int hand_over_file(const struct pv_webhost *h)
{
    static const char kind = PV_WEBLINK_FILE;
    const char *dir = getenv("TMPDIR");
    int fd =
        !h->files ? -1 : open(dir == NULL ? "/var/tmp" : dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    /* With sudo it counts for the quota of who called it. */
    if (fd >= 0 && h->gate.uid != geteuid() && fchown(fd, h->gate.uid, (gid_t)-1) < 0) {
        close(fd);
        fd = -1;
    }
    int r = hand_over(h, &kind, 1, fd);
    if (fd >= 0)
        close(fd);
    return r;
}

/* Its parser of HTTP may have fallen to a browser, so no terminal sees anything else of it. */
static bool is_token(const char *text)
{
    uint8_t token[PV_KEY_LEN];
    bool is = pv_key_parse(text, token) == PV_OK;
    pv_wipe(token, sizeof(token));
    return is;
}

/* The token stands behind a # in the link: a browser keeps that part to itself, and the page's
 * script reads it there. */
static int show_link(struct pv_webhost *h, const char *token)
{
    const struct pv_addr led = pv_addr4(127, 0, 0, 1, h->port);
    if (!is_token(token))
        return PV_ERR_MALFORMED;
    snprintf(h->offer, sizeof(h->offer), "http://%s/#%s",
             PV_ADDR_STR(h->gate.path != NULL ? &led : &h->gate.addr), token);
    return h->links_fd >= 0 ? PV_OK : h->show(h->ctx, h->offer);
}

static int on_link(struct pv_webhost *h)
{
    char text[1 + PV_KEY_TEXT_BUF] = "";
    size_t n = 0;
    int passed = -1;
    int r = pv_unix_read(h->link, text, sizeof(text) - 1, &n, &passed);
    if (passed >= 0)
        close(passed);
    if (r == PV_OK && text[0] == PV_WEBLINK_CONTROL)
        r = hand_over_connection(h, text[1]);
    else if (r == PV_OK && text[0] == PV_WEBLINK_FILE)
        r = hand_over_file(h);
    else if (r == PV_OK && text[0] == PV_WEBLINK_TOKEN)
        r = show_link(h, text + 1);
    pv_wipe(text, sizeof(text));
    return r == PV_ERR_AGAIN ? PV_OK : r;
}

/* --- who comes in -------------------------------------------------------------------------- */

/* PV_ERR_LIMIT: out of descriptors. */
static int on_gate(const struct pv_webhost *h)
{
    static const char kind = PV_WEBLINK_BROWSER;
    int fd = -1, r = pv_gate_accept(&h->gate, &fd);
    if (r < 0)
        return r == PV_ERR_LIMIT ? r : PV_OK;
    r = hand_over(h, &kind, 1, fd);
    close(fd);
    return r;
}

/* A program of this user asks for a link, and says whose browser it is for. */
static int on_asker(struct pv_webhost *h)
{
    struct pv_unix_cred who;
    char text[UID_BUF] = "";
    uint64_t uid = 0;
    size_t n = 0;
    int fd = -1, passed = -1, r = pv_unix_accept(h->links_fd, &fd, &who);
    if (r < 0)
        return r == PV_ERR_LIMIT ? r : PV_OK;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (who.uid == geteuid() && poll(&ready, 1, REST_MS) == 1 &&
        pv_unix_read(fd, text, sizeof(text) - 1, &n, &passed) == PV_OK &&
        pv_u64_parse(text, 0, UINT32_MAX - 1, &uid) == PV_OK &&
        (geteuid() == 0 || uid == geteuid())) {
        h->gate.uid = h->gate.path == NULL ? (uint32_t)uid : h->gate.uid;
        (void)!pv_unix_write(fd, pv_view(h->offer, strlen(h->offer)), -1, &n);
    }
    if (passed >= 0)
        close(passed);
    close(fd);
    return PV_OK;
}

/* Until a signal (PV_OK), or p2pvpn-web ends. */
static int serve_page(struct pv_webhost *h)
{
    struct pollfd ready[] = {{.fd = h->signals, .events = POLLIN},
                             {.fd = h->link, .events = POLLIN},
                             {.fd = h->gate.fd, .events = POLLIN},
                             {.fd = h->links_fd, .events = POLLIN}};
    bool rests = false;
    int r = PV_OK;
    while (r == PV_OK) {
        ready[2].fd = rests ? -1 : h->gate.fd;
        ready[3].fd = rests || h->offer[0] == '\0' ? -1 : h->links_fd; /* they wait for a link */
        int n = poll(ready, PV_ARRAY_LEN(ready), rests ? REST_MS : -1);
        rests = false;
        if (n <= 0)
            continue;
        if (ready[0].revents != 0)
            return PV_OK;
        if (ready[1].revents != 0)
            r = on_link(h);
        if (r == PV_OK && ready[2].fd >= 0 && ready[2].revents != 0)
            r = on_gate(h);
        if (r == PV_OK && ready[3].fd >= 0 && ready[3].revents != 0)
            r = on_asker(h);
        if (r == PV_ERR_LIMIT) {
            rests = true;
            r = PV_OK;
        }
    }
    return r == PV_ERR_STATE ? PV_OK : r;
}

/* p2pvpn-web ends when its link closes. One that hangs is killed after END_MS. Returns its status
 * as waitpid() does. */
static int end_server(pid_t pid)
{
    struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    int status = 0;
    if (poll(&ended, 1, END_MS) != 1 || ended.fd < 0)
        (void)kill(pid, SIGKILL);
    if (ended.fd >= 0)
        close(ended.fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* --- the page ------------------------------------------------------------------------------ */

/* Under sudo the browser belongs to the user that called sudo: root has none. */
static uint32_t whose_browser(void)
{
    uint64_t uid = 0;
    const char *caller = geteuid() == 0 ? getenv("SUDO_UID") : NULL;
    return caller != NULL && pv_u64_parse(caller, 0, UINT32_MAX - 1, &uid) == PV_OK ? (uint32_t)uid
                                                                                    : geteuid();
}

/* An origin at which no page left anything in the browser, such as a service worker: one of 2^24
 * addresses, or, by a path, of the ports that no service is known by. */
static void draw_origin(struct pv_webhost *h, char place[static PV_ADDR_TEXT])
{
    const struct pv_rng rng = pv_entropy();
    struct pv_addr fresh =
        pv_addr4(127, (uint8_t)pv_rng_below(&rng, 256), (uint8_t)pv_rng_below(&rng, 256),
                 (uint8_t)(1 + pv_rng_below(&rng, 254)), 0);
    h->port = (uint16_t)(20000 + pv_rng_below(&rng, 40000));
    pv_addr_format(&fresh, place);
}

int pv_webhost_open(struct pv_webhost *h, const char *where, char ret_why[static PV_GATE_WHY])
{
    char fresh[PV_ADDR_TEXT], program[PATH_MAX];
    h->link = h->links_fd = -1;
    h->gate = (struct pv_gate){.fd = -1};
    if (!find_server(program)) {
        snprintf(ret_why, PV_GATE_WHY,
                 "p2pvpn-web is not beside this program or in ../lib/p2pvpn: there is no page (it "
                 "needs libmicrohttpd, and is not in the static build)");
        return PV_ERR_NOT_FOUND;
    }
    draw_origin(h, fresh);
    int r = pv_gate_open(&h->gate, where == NULL ? fresh : where, false, ret_why);
    if (r == PV_OK && h->gate.path == NULL) /* a path lets in who may open it: its owner */
        h->gate.uid = whose_browser();
    if (r == PV_OK && h->links != NULL && (r = pv_unix_listen(h->links, NULL, &h->links_fd)) < 0) {
        snprintf(ret_why, PV_GATE_WHY, "%.120s: %s", h->links,
                 r == PV_ERR_EXISTS ? "a page is kept already" : pv_strstatus(r));
        pv_gate_close(&h->gate);
    }
    return r;
}

int pv_webhost_ask(const char *links, char ret_link[static PV_WEBHOST_LINK_BUF])
{
    struct pv_unix_cred who;
    size_t n = 0;
    int fd = -1, passed = -1, r = pv_unix_connect(links, &fd);
    if (r < 0)
        return r;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    const char *text = PV_STR("%u", whose_browser());
    memset(ret_link, 0, PV_WEBHOST_LINK_BUF);
    r = pv_unix_peer(fd, &who);
    if (r == PV_OK && who.uid != geteuid())
        r = PV_ERR_REFUSED;
    if (r == PV_OK)
        r = pv_unix_write(fd, pv_view(text, strlen(text)), -1, &n);
    if (r == PV_OK)
        r = poll(&ready, 1, ANSWER_MS) == 1
                ? pv_unix_read(fd, ret_link, PV_WEBHOST_LINK_BUF - 1, &n, &passed)
                : PV_ERR_TIMEOUT;
    if (passed >= 0)
        close(passed);
    close(fd);
    return r;
}

int pv_webhost_run(struct pv_webhost *h, char ret_why[static PV_GATE_WHY])
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    pid_t pid = -1;
    int status = 0;
    h->signals = -1;
    int r = start_server(h, &pid);
    if (r == PV_OK)
        r = pv_signals_open(ends, PV_ARRAY_LEN(ends), &h->signals);
    if (r == PV_OK)
        r = serve_page(h);
    if (h->signals >= 0)
        close(h->signals);
    if (h->link >= 0)
        close(h->link); /* by which p2pvpn-web ends */
    if (pid > 0)
        status = end_server(pid);
    pv_gate_close(&h->gate);
    if (h->links_fd >= 0) {
        close(h->links_fd);
        unlink(h->links);
    }
    pv_wipe(h->offer, sizeof(h->offer));
    if (r < 0)
        snprintf(ret_why, PV_GATE_WHY, "p2pvpn-web: %s",
                 r == PV_ERR_CLOSED && WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                                           : pv_strstatus(r));
    return r;
}
