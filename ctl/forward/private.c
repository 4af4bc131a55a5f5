/* SPDX-License-Identifier: MIT */
/* private.c - a directory, p2pvpnd, and the keeper that outlives both. */
#include "ctl/forward/private.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/harmless.h"
#include "base/text.h"
#include "ctl/lib/launch.h"
#include "sys/proc/clock.h"

enum {
    START_S = 15,  /* ours: until it answers */
    END_MS = 6000, /* ours: an ephemeral member leaves within 4 s */
    LOOK_MS = 20,  /* ours */
    WORDS = 160,   /* bytes of what it said last */
    DEPTH = 8,     /* of its directories */
};

/* --- the keeper ---------------------------------------------------------------------------- */

static const int ends[] = {SIGHUP, SIGINT, SIGTERM}; /* the command's, who ends the keeper */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)!remove(path);
    return 0;
}

static void become_p2pvpnd(const char *dir, const char *program, pid_t keeper)
{
    static const char *const homes[] = {"XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < PV_ARRAY_LEN(ends); i++)
        (void)signal(ends[i], SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    for (size_t i = 0; i < PV_ARRAY_LEN(homes); i++) {
        if (setenv(homes[i], dir, 1) < 0)
            _exit(127);
    }
    if (getppid() == keeper)
        execl(program, "p2pvpnd", "--user", (char *)NULL);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

/* Until the command has closed its end, or p2pvpnd has ended. */
static void keep(const char *dir, const char *program, int until)
{
    const char *log = PV_STR("%s/log", dir);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int said = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (setsid() >= 0 && null >= 0 && said >= 0 && dup2(null, 0) == 0 && dup2(said, 1) == 1 &&
        dup2(said, 2) == 2) {
        close_range(STDERR_FILENO + 1, (unsigned)until - 1, 0);
        close_range((unsigned)until + 1, ~0u, 0);
        pid_t keeper = getpid(), pid = fork();
        if (pid == 0)
            become_p2pvpnd(dir, program, keeper);
        struct pollfd p[] = {{.fd = until, .events = POLLIN},
                             {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN}};
        while (pid > 0 && poll(p, 2, -1) < 0 && errno == EINTR)
            continue;
        if (pid > 0)
            kill(pid, SIGTERM);
        (void)poll(&p[1], 1, END_MS);
        if (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0) {
            kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
        }
        /* The command hears of it, and reads what p2pvpnd said before it closes. */
        (void)shutdown(until, SHUT_WR);
        (void)poll(&p[0], 1, END_MS);
    }
    (void)nftw(dir, remove_one, DEPTH, FTW_DEPTH | FTW_PHYS);
    _exit(0);
}

static int start_keeper(struct pv_private *p, const char *program, struct pv_ctlapi_request *secret)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    (void)fflush(NULL);
    p->keeper = fork();
    if (p->keeper == 0) {
        pv_ctlapi_request_done(secret);
        prctl(PR_SET_NAME, "p2pvpnctl-keep");
        for (size_t i = 0; i < PV_ARRAY_LEN(ends); i++)
            (void)signal(ends[i], SIG_IGN);
        close(pair[1]);
        keep(p->dir, program, pair[0]);
    }
    int r = p->keeper < 0 ? -errno : PV_OK;
    close(pair[0]);
    if (r < 0) {
        p->keeper = 0;
        close(pair[1]);
        return r;
    }
    p->keep = pair[1];
    return PV_OK;
}

/* --- the command --------------------------------------------------------------------------- */

/* Both are in memory. The first is this user's, if it is set and nobody else's. */
static int make_dir(struct pv_private *p)
{
    struct stat st;
    const char *run = getenv("XDG_RUNTIME_DIR");
    bool good = run != NULL && run[0] == '/' && stat(run, &st) == 0 && S_ISDIR(st.st_mode) &&
                st.st_uid == geteuid() && (st.st_mode & 022) == 0;
    int n = snprintf(p->dir, sizeof(p->dir), "%s/p2pvpn-pipe.XXXXXX", good ? run : "/dev/shm");
    if (n < 0 || (size_t)n >= sizeof(p->dir))
        return -ENAMETOOLONG;
    return mkdtemp(p->dir) == NULL ? -errno : PV_OK;
}

static bool has_ended(const struct pv_private *p)
{
    struct pollfd end = {.fd = p->keep, .events = POLLIN};
    return poll(&end, 1, 0) > 0;
}

/* The last line of p2pvpnd's log: why it does not run. */
static void last_words(const struct pv_private *p, char words[static WORDS])
{
    char line[512], last[512] = "it said nothing";
    FILE *f = fopen(PV_STR("%s/log", p->dir), "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0')
            memcpy(last, line, sizeof(last));
    }
    if (f != NULL)
        fclose(f);
    pv_harmless_show(pv_view(last, strlen(last)), words, WORDS);
}

static int wait_for_answer(const struct pv_private *p, struct pv_cli *cli)
{
    const pv_ns deadline = pv_clock_now() + PV_S(START_S);
    char words[WORDS];
    int r;
    do {
        json_t *body = NULL;
        r = pv_client_ask(cli->node.socket, true, PV_CTLAPI_VERSION, PV_S(1), &body);
        json_decref(body);
        if (r == PV_OK)
            return 0;
        (void)poll(NULL, 0, LOOK_MS);
    } while (pv_clock_now() < deadline && !has_ended(p));
    last_words(p, words);
    return pv_cli_fail(cli, PV_CTLAPI_FAILED, "p2pvpnd does not start: %s", words);
}

int pv_private_start(struct pv_private *p, struct pv_cli *cli, struct pv_ctlapi_request *secret)
{
    char program[PATH_MAX];
    *p = (struct pv_private){.keep = -1};
    if (!pv_launch_find(program))
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "p2pvpnd is neither beside p2pvpnctl nor in PATH: install it");
    int r = make_dir(p);
    if (r < 0)
        return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "make a directory in memory: %s: set "
                           "XDG_RUNTIME_DIR to one of yours",
                           pv_strstatus(r));
    r = start_keeper(p, program, secret);
    if (r == PV_OK)
        r = pv_instance_behind(PV_STR("%s/p2pvpn/p2pvpnd.sock", p->dir), &cli->node);
    cli->node.is_user = true;
    int code = r == PV_OK
                   ? wait_for_answer(p, cli)
                   : pv_cli_fail(cli, PV_CTLAPI_FAILED, "start p2pvpnd: %s", pv_strstatus(r));
    if (code != 0)
        pv_private_end(p, cli, true);
    return code;
}

void pv_private_end(struct pv_private *p, struct pv_cli *cli, bool wait)
{
    pv_client_close(&cli->client);
    if (p->keep >= 0)
        close(p->keep);
    while (wait && p->keeper > 0 && waitpid(p->keeper, NULL, 0) < 0 && errno == EINTR)
        continue;
    if (p->keeper == 0 && p->dir[0] != '\0')
        (void)!rmdir(p->dir);
    *p = (struct pv_private){.keep = -1};
}
