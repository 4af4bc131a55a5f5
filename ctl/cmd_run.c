/* SPDX-License-Identifier: MIT */
/*
 * cmd_run.c - a program in the inside of `p2pvpnd --user`: with the network of that p2pvpnd, a
 * resolv.conf and an nsswitch.conf that lead to its name server, and all else as it is outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/commands.h"
#include "ctl/lib/enter.h"

enum {
    NOT_EXECUTABLE = 126, /* POSIX, Shell Command Language 2.8.2 */
    NOT_FOUND = 127,
    SIGNALLED = 128,
    LINE_MAX_BYTES = 1024, /* of the files that are read here */
};

/* --- names --------------------------------------------------------------------------------- */

static FILE *create_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (fd >= 0)
        (void)!fchmod(fd, 0644); /* whatever the umask is */
    if (fd >= 0 && f == NULL)
        close(fd);
    return f;
}

/* Calls each() with the lines of a file, as far as they fit; an absent file has none. */
static void each_line(const char *path, FILE *out, void (*each)(FILE *out, const char *line))
{
    char line[LINE_MAX_BYTES];
    FILE *in = fopen(path, "re");
    while (in != NULL && fgets(line, sizeof(line), in) != NULL)
        each(out, line);
    if (in != NULL)
        fclose(in);
}

/* Those of the machine are for the rest of the world, which only an exit leads to. One on this
 * machine is not in the inside. */
static void copy_server(FILE *out, const char *line)
{
    char server[64];
    if (sscanf(line, "nameserver %63s", server) == 1 && strncmp(server, "127.", 4) != 0 &&
        strcmp(server, "::1") != 0)
        fprintf(out, "nameserver %s\n", server);
}

/* Services that answer outside, such as systemd-resolved's, know no name of the inside. */
static void copy_service(FILE *out, const char *line)
{
    if (strncmp(line + strspn(line, " \t"), "hosts:", 6) != 0)
        fputs(line, out);
}

struct names {
    char server[PV_SHOW_BUF], zone[PV_SHOW_BUF]; /* "": there is no network yet */
};

static void write_resolv(FILE *out, const struct names *names)
{
    if (names->server[0] != '\0')
        fprintf(out, "nameserver %s\nsearch %s.p2p\noptions timeout:2\n", names->server,
                names->zone);
    const long before = ftell(out);
    each_line("/etc/resolv.conf", out, copy_server);
    if (ftell(out) == before) /* systemd-resolved's own; here are those that it asks */
        each_line("/run/systemd/resolve/resolv.conf", out, copy_server);
}

static void write_nsswitch(FILE *out, const struct names *names)
{
    fputs("hosts: files dns\n", out); /* first: the last line of the other may have no end */
    each_line("/etc/nsswitch.conf", out, copy_service);
}

/* Where the machine has no such file there is no place for one either. */
static int replace_file(const char *path, const char *with, const struct names *names,
                        void (*fill)(FILE *out, const struct names *names))
{
    FILE *f = create_file(with);
    if (f == NULL) /* EOVERFLOW: a root that has no name in the inside */
        return errno == EOVERFLOW ? PV_OK : -errno;
    fill(f, names);
    if (fclose(f) != 0)
        return -errno;
    return mount(with, path, NULL, MS_BIND, NULL) < 0 && errno != ENOENT ? -errno : PV_OK;
}

/* The files are in memory, below /tmp while they are written, and nobody else sees any of it. */
static int set_names(const struct names *names)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return -errno;
    if (mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=1m") < 0)
        return -errno;
    int r = replace_file("/etc/resolv.conf", "/tmp/resolv.conf", names, write_resolv);
    if (r == PV_OK)
        r = replace_file("/etc/nsswitch.conf", "/tmp/nsswitch.conf", names, write_nsswitch);
    /* A cache of names of the outside is asked before any file. */
    (void)!mount("/tmp", "/run/nscd", NULL, MS_BIND, NULL);
    if (umount2("/tmp", MNT_DETACH) < 0 && r == PV_OK)
        r = -errno;
    return r;
}

/* --- the program --------------------------------------------------------------------------- */

/* It starts with the signals of a program that a shell starts. */
static void default_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Without the rights that the way there gave: the program is to have what it has outside. */
static int enter(int net, const struct names *names)
{
    int r = pv_enter(net);
    if (r == PV_OK)
        r = set_names(names);
    return r == PV_OK ? pv_enter_drop_rights() : r;
}

/* In the child: becomes the program. Messages go by stdio that nobody else uses here. */
static void become_program(struct pv_cli *cli, int net, const struct names *names)
{
    char *argv[PV_ARGS_MAX_WORDS + 1] = {NULL};
    for (int i = 0; i < cli->args.n_words; i++)
        argv[i] = (char *)(uintptr_t)cli->args.word[i];
    int r = net < 0 ? PV_OK : enter(net, names);
    if (r < 0) {
        (void)pv_cli_fail(cli, PV_CTLAPI_FAILED, "enter the network of p2pvpnd: %s",
                          pv_strstatus(r));
        _exit(PV_CTLAPI_FAILED);
    }
    prctl(PR_SET_PDEATHSIG, SIGHUP); /* here, for a change of rights takes it away */
    default_signals();
    execvp(argv[0], argv);
    int code = errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
    (void)pv_cli_fail(cli, PV_CTLAPI_FAILED, "%.200s: %s", argv[0], strerror(errno));
    _exit(code);
}

/* A program with the rights of another user has them of a user that the inside does not have. */
static void warn_setuid(struct pv_cli *cli)
{
    const char *name = cli->args.word[0];
    char path[PATH_MAX];
    struct stat st;
    const char *at = strchr(name, '/') != NULL ? "" : getenv("PATH");
    for (; at != NULL; at = at[strcspn(at, ":")] == '\0' ? NULL : at + strcspn(at, ":") + 1) {
        size_t len = strcspn(at, ":");
        snprintf(path, sizeof(path), "%.*s%s%s", (int)len, at, len > 0 ? "/" : "", name);
        if (access(path, X_OK) < 0 || stat(path, &st) < 0)
            continue;
        if (S_ISREG(st.st_mode) && (st.st_mode & S_ISUID) != 0 && st.st_uid != geteuid())
            pv_cli_note(cli,
                        "%s runs without the rights of its owner (setuid): there is no other user "
                        "in this network",
                        name);
        return;
    }
}

/* Waits for the child, passes on what is for it, and tells when p2pvpnd has gone, with the giver
 * that this pidfd is about: a connection is kept by no program that may run for days. */
static int wait_for_program(struct pv_cli *cli, pid_t pid, int signals, int giver)
{
    struct pollfd p[] = {{.fd = signals, .events = POLLIN}, {.fd = giver, .events = POLLIN}};
    for (;;) {
        struct signalfd_siginfo info;
        int status = 0;
        if (poll(p, PV_ARRAY_LEN(p), -1) < 0) /* stopped and continued, as the program was */
            continue;
        if (p[1].revents != 0) {
            p[1].fd = -1;
            pv_cli_note(cli,
                        "p2pvpnd has ended, and with it what %.60s has open in its network: start "
                        "%.60s again when p2pvpnd runs",
                        cli->args.word[0], cli->args.word[0]);
        }
        if (p[0].revents != 0 && read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info) &&
            info.ssi_signo != SIGCHLD)
            (void)kill(pid, (int)info.ssi_signo);
        if (waitpid(pid, &status, WNOHANG) != pid)
            continue;
        if (WIFEXITED(status))
            return WEXITSTATUS(status);
        /* As a shell tells it; what follows cannot tell the two apart. */
        return SIGNALLED + WTERMSIG(status);
    }
}

/* The terminal's signals reach the program by themselves, as it is in the same group. */
static int run_program(struct pv_cli *cli, int net, int giver, const struct names *names)
{
    sigset_t passed;
    sigemptyset(&passed);
    sigaddset(&passed, SIGCHLD);
    sigaddset(&passed, SIGTERM);
    sigaddset(&passed, SIGHUP);
    sigprocmask(SIG_BLOCK, &passed, NULL);
    int signals = signalfd(-1, &passed, SFD_CLOEXEC | SFD_NONBLOCK);
    (void)fflush(NULL);
    pid_t pid = signals < 0 ? -1 : fork();
    if (pid == 0)
        become_program(cli, net, names);
    if (pid < 0) {
        int err = errno;
        if (signals >= 0)
            close(signals);
        return pv_cli_fail(cli, PV_CTLAPI_FAILED, "start %.60s: %s", cli->args.word[0],
                           strerror(err));
    }
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    int code = wait_for_program(cli, pid, signals, giver);
    close(signals);
    return code;
}

/* --- the command --------------------------------------------------------------------------- */

/* p2pvpnd says where its inside is. 0, or an exit code. */
static int ask_inside(struct pv_cli *cli, int *ret_pid, struct names *ret_names)
{
    json_t *s = NULL;
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_STATUS);
    int code = pv_cli_ask(cli, &req, &s);
    if (code != 0)
        return code;
    *ret_pid = (int)pv_json_real(s, "inside", 0);
    *ret_names = (struct names){.server = ""};
    if (json_is_object(json_object_get(s, "interface")) &&
        json_is_object(json_object_get(s, "network"))) {
        const json_t *self = json_object_get(s, "self");
        snprintf(ret_names->server, sizeof(ret_names->server), "%.60s",
                 pv_json_text(self, "ip4", pv_json_text(self, "ip6", "")));
        snprintf(ret_names->zone, sizeof(ret_names->zone), "%.63s",
                 pv_json_text(json_object_get(s, "network"), "name", "?"));
    }
    if (pv_json_is(s, "stack", "lwip")) {
        const char *why = pv_json_text(s, "stack_why", "started with --stack lwip");
        code = pv_cli_fail(cli, PV_CTLAPI_REFUSED,
                           "programs cannot be started in this network, for lwIP is in the "
                           "kernel's place: %.230s; nc, forward, socks and serve work",
                           why);
        json_decref(s);
        return code;
    }
    json_decref(s);
    if (*ret_pid > 0)
        return 0;
    return pv_cli_fail(cli, PV_CTLAPI_REFUSED,
                       "every program of this machine is in the network already: start %.60s "
                       "without p2pvpnctl run (it is for p2pvpnd --user)",
                       cli->args.word[0]);
}

static int run(struct pv_cli *cli)
{
    struct names names;
    int pid = 0, code = ask_inside(cli, &pid, &names);
    if (code != 0)
        return code;
    pv_client_close(&cli->client);
    /* Before it is looked at: what is looked at is then this process, or one that has ended. */
    int giver = (int)syscall(SYS_pidfd_open, pid, 0);
    int net = -1, r = pv_enter_open(pid, &net);
    if (r == PV_OK) {
        warn_setuid(cli);
        code = run_program(cli, net, giver, &names);
    } else {
        code = pv_cli_fail(cli, PV_CTLAPI_FAILED,
                           "find the network of p2pvpnd: %s: p2pvpnd may just restart: try again",
                           pv_strstatus(r));
    }
    if (net >= 0)
        close(net);
    if (giver >= 0)
        close(giver);
    return code;
}

const struct pv_command pv_cmds_run[] = {
    {
        .name = "run",
        .keeps_root = true,
        .args = "PROGRAM [ARG...]",
        .summary = "start a program in the network of p2pvpnd --user",
        .details =
            "Only p2pvpnd --user needs it. With root's p2pvpnd every program is in the\n"
            "network. The program keeps its terminal, files, user and exit code (126: not\n"
            "executable, 127: not found, 128 and more: ended by a signal). It reaches members\n"
            "by name and by address, and members reach it if the rules allow it. It reaches\n"
            "nothing else unless an exit node is in use. Setuid programs such as sudo gain no\n"
            "rights there.\n",
        .example = "p2pvpnctl run ssh pi",
        .words = {1, PV_ARGS_MAX_WORDS},
        .verbatim_after = 1,
        .endless = true,
        .run = run,
    },
    {.name = NULL},
};
