/* SPDX-License-Identifier: MIT */
/* p2pvpn-chatd: flags, settings, state directory, rights, start and end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "chat/program/life.h"
#include "chat/program/rights.h"
#include "crypto/ct.h"
#include "proto/local/chatpaths.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlcmd.h"
#include "sys/file/file.h"
#include "sys/file/logsink.h"
#include "sys/file/userdirs.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "sys/proc/loop.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    FILES_MAX = 8192,         /* open files asked for */
    LARGE_BLOCK = 128 * 1024, /* bytes; glibc's own first value */
};

#define DEFAULT_NODE   "/run/p2pvpn/p2pvpnd.sock"
#define DEFAULT_STATE  "/var/lib/p2pvpn.chat"
#define DEFAULT_CONFIG "/etc/p2pvpn/p2pvpnd.conf"
#define GROUP          "p2pvpn"
#define LEFTOVERS      PV_S(5) /* ours: a chatd that was told to end does so within */

static const char usage[] =
    "usage: p2pvpn-chatd [--node PATH] [--socket PATH] [--state DIR] [--config FILE] [--user]\n"
    "                    [--version] [--help]\n"
    "\n"
    "  --node PATH     control socket of the p2pvpnd whose chat this is\n"
    "                  (" DEFAULT_NODE ")\n"
    "  --socket PATH   control socket for p2pvpnctl (beside p2pvpnd's: p2pvpnd.chat)\n"
    "  --state DIR     messages, rooms and received files (" DEFAULT_STATE ")\n"
    "  --config FILE   p2pvpnd's configuration (" DEFAULT_CONFIG ", if it exists)\n"
    "  --user          of a p2pvpnd --user\n"
    "\n"
    "p2pvpnd starts it, unless a service manager does.\n";

struct chatd {
    const char *node, *socket, *state, *config; /* NULL: not given */
    bool for_user;
    char socket_path[PATH_MAX], node_path[PATH_MAX];
    char flag[PV_USERDIRS_NET + 4];
    char fault[PV_CHATSET_ERROR_MAX];
    struct pv_chatset set;
    struct pv_logsink sink;
    struct pv_log log;
    struct pv_usher *usher;
    struct pv_sandbox_user user;
    int lock_fd, signals_fd;
    struct pv_supervisor supervisor;
};

/* One line on standard error; returns code. */
static int say(int code, const char *fmt, ...) PV_PRINTF(2, 3);
static int say(int code, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    fprintf(stderr, "p2pvpn-chatd: %s\n", line);
    return code;
}

/* --- flags and settings ----------------------------------------------------------------------- */

/* EXIT_OK, EXIT_USAGE, or -1: help or version was printed. */
static int read_flags(struct chatd *d, int argc, char **argv)
{
    static const struct option options[] = {
        {"node", required_argument, NULL, 'n'},  {"socket", required_argument, NULL, 'k'},
        {"state", required_argument, NULL, 's'}, {"config", required_argument, NULL, 'c'},
        {"user", no_argument, NULL, 'u'},        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
    };
    int opt;
    opterr = 0;
    optind = 1;
    while ((opt = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (opt) {
        case 'n':
            d->node = optarg;
            break;
        case 'k':
            d->socket = optarg;
            break;
        case 's':
            d->state = optarg;
            break;
        case 'c':
            d->config = optarg;
            break;
        case 'u':
            d->for_user = true;
            break;
        case 'V':
            puts("p2pvpn-chatd " PV_VERSION);
            return -1;
        case 'h':
            fputs(usage, stdout);
            return -1;
        case ':':
            return say(EXIT_USAGE, "%s needs a value; see p2pvpn-chatd --help", argv[optind - 1]);
        default:
            return say(EXIT_USAGE, "unknown flag %s; see p2pvpn-chatd --help", argv[optind - 1]);
        }
    }
    if (optind < argc)
        return say(EXIT_USAGE, "unexpected argument %s; see p2pvpn-chatd --help", argv[optind]);
    return EXIT_OK;
}

/* Settings with a fault do not keep people from their messages: what stood before the fault holds,
 * and status says so. */
static void read_settings(struct chatd *d)
{
    d->set = pv_chatset_default();
    int r = pv_chatset_load(&d->set, d->config != NULL ? d->config : DEFAULT_CONFIG, d->fault);
    if (r == PV_ERR_NOT_FOUND)
        d->fault[0] = '\0'; /* p2pvpnd refuses a start with a file that is missing and was named */
}

static int find_paths(struct chatd *d)
{
    char net[PV_USERDIRS_NET] = "";
    if (d->node == NULL)
        d->node = DEFAULT_NODE;
    if (d->state == NULL)
        d->state = DEFAULT_STATE;
    if (pv_chatpath(d->node, PV_CHATPATH_NODE, d->node_path, sizeof(d->node_path)) < 0 ||
        pv_chatpath(d->node, PV_CHATPATH_CONTROL, d->socket_path, sizeof(d->socket_path)) < 0)
        return say(EXIT_USAGE, "--node: the path is too long");
    if (strchr(d->node, '/') == NULL || (d->socket != NULL && strchr(d->socket, '/') == NULL))
        return say(EXIT_USAGE, "--node, --socket: give paths with a directory");
    if (d->socket != NULL)
        snprintf(d->socket_path, sizeof(d->socket_path), "%s", d->socket);
    const char *slash = strrchr(d->node, '/'), *file = slash == NULL ? d->node : slash + 1;
    const size_t stem = strcspn(file, ".");
    if (d->for_user && pv_userdirs_is_net(file, stem))
        snprintf(net, sizeof(net), "%.*s", (int)stem, file);
    else if (!d->for_user)
        (void)pv_userdirs_net_behind(d->node, net);
    snprintf(d->flag, sizeof(d->flag), "%s%s", net[0] == '\0' ? "" : "-n ", net);
    return EXIT_OK;
}

/* --- start ------------------------------------------------------------------------------------ */

/* Descriptors 0 to 2 must be open, or the next socket would become "standard error". */
static void open_standard_streams(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

static void prepare_process(void)
{
    struct rlimit lim;
    umask(077);
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max < FILES_MAX ? lim.rlim_max : FILES_MAX;
        (void)!setrlimit(RLIMIT_NOFILE, &lim);
    }
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    /* A core dump would have messages in it. */
    lim = (struct rlimit){.rlim_cur = 0, .rlim_max = 0};
    (void)!setrlimit(RLIMIT_CORE, &lim);
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGPIPE, SIG_IGN);
}

static int open_state(struct chatd *d)
{
    pv_sandbox_choose_user(PV_CHATPATH_USER, &d->user);
    int r = pv_chatd_hand_over(d->state, &d->user);
    if (r < 0)
        return say(EXIT_FAILED, "state directory %s: %s: choose another with --state", d->state,
                   pv_strstatus(r));
    return EXIT_OK;
}

/* One that was killed, or is about to end, leaves the socket soon. */
static int open_control(struct chatd *d)
{
    const pv_ns patience = pv_clock_now() + LEFTOVERS;
    char dir[PATH_MAX];
    int fd = -1, r;
    /* Chat may be started first. A directory that is there is left as it is. */
    snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(d->socket_path, '/') - d->socket_path),
             d->socket_path);
    if (dir[0] != '\0' && access(dir, F_OK) < 0 &&
        (r = pv_dir_make(dir, d->for_user ? 0700 : 0755)) < 0)
        return say(EXIT_FAILED, "listen on %s: %s", d->socket_path, pv_strstatus(r));
    while ((r = pv_unix_listen(d->socket_path, d->for_user ? NULL : GROUP, &fd)) == PV_ERR_EXISTS &&
           pv_clock_now() < patience)
        nanosleep(&(struct timespec){.tv_nsec = PV_MS(50)}, NULL);
    if (r >= 0)
        r = pv_usher_open(d->usher, fd);
    if (r == PV_ERR_EXISTS)
        return say(EXIT_FAILED, "already running: another p2pvpn-chatd listens on %s",
                   d->socket_path);
    return r < 0 ? say(EXIT_FAILED, "listen on %s: %s", d->socket_path, pv_strstatus(r)) : EXIT_OK;
}

static int lock_state(struct chatd *d)
{
    const pv_ns patience = pv_clock_now() + LEFTOVERS;
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/lock", d->state) >= (int)sizeof(path))
        return say(EXIT_USAGE, "--state: the path is too long");
    int r;
    while ((r = pv_file_lock(path, &d->lock_fd)) == PV_ERR_EXISTS && pv_clock_now() < patience)
        nanosleep(&(struct timespec){.tv_nsec = PV_MS(50)}, NULL);
    if (r == PV_ERR_EXISTS)
        return say(EXIT_FAILED, "already running: another p2pvpn-chatd uses %s", d->state);
    return r < 0
               ? say(EXIT_FAILED, "state directory %s: cannot write: %s", d->state, pv_strstatus(r))
               : EXIT_OK;
}

static int give_up_rights(struct chatd *d)
{
    char text[PV_SANDBOX_TEXT_MAX];
    int r = pv_chatd_give_up(&d->user, d->state, text);
    if (r < 0)
        return say(EXIT_FAILED, "give up rights: %s: what was reached: %s", pv_strstatus(r), text);
    pv_log(&d->log, PV_LOG_INFO, "sandbox=\"%s\"", text);
    return EXIT_OK;
}

static int run(struct chatd *d)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    d->supervisor = pv_supervisor_open();
    /* First: it must inherit no descriptor of a file. */
    if (pv_usher_start(&d->usher, PV_CTLAPI_BUSY_LINE) < 0 || pv_crypto_init() < 0)
        return say(EXIT_FAILED, "start: out of memory or processes");
    pv_ctlapi_wipe_freed();
    read_settings(d);
    d->log = pv_logsink_open(&d->sink, "p2pvpn-chatd", d->set.level);
    if (d->fault[0] != '\0')
        pv_log(&d->log, PV_LOG_ERROR, "what=\"settings\" why=\"%s\"", d->fault);
    int code = open_state(d);
    /* Each thread inherits the mask that keeps these signals for the descriptor. */
    if (code == EXIT_OK && pv_signals_open(signals, PV_ARRAY_LEN(signals), &d->signals_fd) < 0)
        code = say(EXIT_FAILED, "start: no descriptor for signals");
    if (code == EXIT_OK)
        code = open_control(d);
    if (code == EXIT_OK)
        code = give_up_rights(d);
    if (code == EXIT_OK)
        code = lock_state(d);
    if (code != EXIT_OK)
        return code;
    const struct pv_chatlife_config cfg = {.log = &d->log,
                                           .set = &d->set,
                                           .fault = d->fault,
                                           .state = d->state,
                                           .node = d->node_path,
                                           .flag = d->flag,
                                           .own = d->for_user,
                                           .usher = d->usher,
                                           .signals_fd = d->signals_fd,
                                           .supervisor = &d->supervisor};
    return pv_chatlife_run(&cfg) == PV_OK ? EXIT_OK : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct chatd d = {.lock_fd = -1, .signals_fd = -1, .supervisor = PV_SUPERVISOR_NONE};
    open_standard_streams();
    int code = read_flags(&d, argc, argv);
    if (code < 0)
        return EXIT_OK;
    prepare_process();
    if (code == EXIT_OK)
        code = find_paths(&d);
    if (code == EXIT_OK)
        code = run(&d);
    pv_supervisor_close(&d.supervisor);
    d.usher = pv_usher_stop(d.usher);
    pv_chatset_done(&d.set);
    if (d.signals_fd >= 0)
        close(d.signals_fd);
    if (d.lock_fd >= 0)
        close(d.lock_fd);
    return code;
}
