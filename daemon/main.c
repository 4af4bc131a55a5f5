/* SPDX-License-Identifier: MIT */
/* p2pvpnd: flags, configuration, state directory, start and end. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/capability.h>
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
#include "bind/servesock.h"
#include "bind/starter.h"
#include "crypto/aead.h"
#include "crypto/ct.h"
#include "daemon/io/io.h"
#include "daemon/io/io_jobs.h"
#include "daemon/io/portmapper.h"
#include "daemon/io/resolver.h"
#include "daemon/reload.h"
#include "daemon/rights.h"
#include "daemon/settings.h"
#include "daemon/store/identity.h"
#include "daemon/store/keeper.h"
#include "daemon/store/store.h"
#include "proto/local/chatpaths.h"
#include "proto/local/ctlapi_pack.h"
#include "sys/file/file.h"
#include "sys/file/logsink.h"
#include "sys/file/userdirs.h"
#include "sys/net/inside.h"
#include "sys/net/netlink.h"
#include "sys/net/stream.h"
#include "sys/net/tun.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/loop.h"
#include "sys/proc/procinfo.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_WITHOUT = 3, /* --check: a start would do without a feature */
    EXIT_PERMISSION = 5,
    PORT_MIN = 20000, /* of the port drawn at the first start; below the kernel's own range's end */
    PORT_MAX = 60999,
    PORT_TRIES = 16,
    FILES_MAX = 65536,        /* open files asked for */
    LARGE_BLOCK = 128 * 1024, /* bytes; glibc's own first value */
    FILES_FEW = 256,          /* ours: descriptors with which commands and a few peers work */
};

#define DEFAULT_STATE  "/var/lib/p2pvpn"
#define DEFAULT_SOCKET "/run/p2pvpn/p2pvpnd.sock"
#define DEFAULT_CONFIG "/etc/p2pvpn/p2pvpnd.conf"
#define DEFAULT_TUN    "p2pvpn0"
#define LEFTOVERS      PV_S(2) /* ours: helpers of one that was killed end within */

static const char usage[] =
    "usage: p2pvpnd [--state DIR] [--socket PATH] [--tun NAME] [--port UDP] [--config FILE]\n"
    "               [--user [--net NAME] [--stack kernel|lwip]] [--no-chatd] [--check]\n"
    "               [--version [-v]] [--help]\n"
    "\n"
    "  --state DIR     keys and database (" DEFAULT_STATE ")\n"
    "  --socket PATH   control socket for p2pvpnctl (" DEFAULT_SOCKET ")\n"
    "  --tun NAME      name of the network interface (" DEFAULT_TUN ")\n"
    "  --port UDP      UDP port; without it p2pvpnd draws a port at its first start\n"
    "                  and keeps it\n"
    "  --config FILE   configuration (" DEFAULT_CONFIG ", if it exists)\n"
    "  --user          run for this user alone, without root. Programs that\n"
    "                  `p2pvpnctl run` starts are in the network. The files are below\n"
    "                  ~/.local/state, ~/.config and /run/user, or at the places that\n"
    "                  the XDG_* variables name\n"
    "  --net NAME      with --user: run a node of a further network, which\n"
    "                  `p2pvpnctl -n NAME` controls\n"
    "  --stack WHICH   with --user: whose TCP the node uses, kernel or lwip (default:\n"
    "                  kernel if possible). lwip works if users may make no network\n"
    "                  namespace; only nc, forward, socks, serve, chat and files use it\n"
    "  --no-chatd      start no p2pvpn-chatd: a service manager does, or there is no chat\n"
    "  --check         check flags, configuration and the files that they name, then exit\n";

struct daemon {
    const char *state, *socket, *tun, *config; /* NULL = not given */
    uint16_t port;                             /* 0 = not given */
    bool check;
    bool no_chatd;               /* --no-chatd */
    bool for_user;               /* --user */
    const char *net;             /* --net; NULL = the first network of this user */
    struct pv_userdirs dirs;     /* with --user */
    char usual_tun[PV_TUN_NAME]; /* without --tun and [interface] name */
    int inside;                  /* with --user: a process in the inside; 0: none */
    enum {
        STACK_ANY,
        STACK_KERNEL,
        STACK_LWIP,
    } stack;                             /* --stack, then what is used */
    char stack_why[PV_HELPER_ERROR_MAX]; /* why the kernel makes no inside; "": it does, or was not
                                             asked to */
    pv_ns started;
    struct {
        struct pv_reload_keys keys;
        char error[PV_SETTINGS_ERROR_MAX];
    } reload; /* what the last one said */
    struct pv_settings settings;
    struct pv_logsink sink;
    struct pv_log log;
    struct pv_rng rng;
    struct pv_identity *identity; /* pv_secret_alloc() */
    struct pv_helper *helper;
    struct pv_usher *usher;
    struct pv_keeper *keeper;
    char root_file[PATH_MAX]; /* for the user */
    char directory[PATH_MAX]; /* state for the user, wherever it looks from; "": not to be told */
    struct pv_store *store;
    struct pv_bind_sock chat;
    struct pv_starter starter;
    struct pv_engine *engine;
    struct pv_events events; /* between two engines */
    struct pv_io *io;
    struct pv_sandbox_user user; /* that it becomes */
    char sandbox[PV_SANDBOX_TEXT_MAX + PV_HELPER_ERROR_MAX + 16];
    int lock_fd, signals_fd, notify_fd, metrics_fd;
    char notify_why[PV_HELPER_ERROR_MAX]; /* why there is no notifier; "": there is, or is to be
                                             none */
    bool gave_up;                         /* rights: no notifier can start */
    struct pv_udp_group udp;
    struct pv_supervisor supervisor;
};

/* One line on standard error; returns code. */
static int say(int code, const char *fmt, ...) PV_PRINTF(2, 3);

static int say(int code, const char *fmt, ...)
{
    /* Longer lines are cut: the text may quote a path or a file. */
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    fprintf(stderr, "p2pvpnd: %s\n", line);
    return code;
}

/* --- flags and configuration --------------------------------------------------------------- */

/* One flag with its value. A value that can be judged without the system is judged here, before
 * anything is touched. */
static int take_flag(struct daemon *d, int opt)
{
    uint64_t port = 0;
    switch (opt) {
    case 's':
        d->state = optarg;
        return EXIT_OK;
    case 'k':
        d->socket = optarg;
        return EXIT_OK;
    case 't':
        d->tun = optarg;
        if (!pv_ifname_is_valid(optarg))
            return say(EXIT_USAGE,
                       "--tun %s: an interface name has 1 to 15 letters, digits, '-', "
                       "'_' or '.'",
                       optarg);
        return EXIT_OK;
    case 'p':
        if (pv_u64_parse(optarg, 1, 65535, &port) < 0)
            return say(EXIT_USAGE, "--port %s: expected a number from 1 to 65535", optarg);
        d->port = (uint16_t)port;
        return EXIT_OK;
    case 'c':
        d->config = optarg;
        return EXIT_OK;
    case 'u':
        d->for_user = true;
        return EXIT_OK;
    case 'n':
        d->net = strcmp(optarg, "default") == 0 ? "" : optarg;
        if (d->net[0] != '\0' && !pv_userdirs_is_net(d->net, strlen(d->net)))
            return say(EXIT_USAGE,
                       "--net %.40s: a network's name here has 1 to 11 of a-z, 0-9 and -, such as "
                       "work, and is neither p2pvpnd nor coordinator",
                       optarg);
        return EXIT_OK;
    case 'N':
        d->no_chatd = true;
        return EXIT_OK;
    case 'T':
        d->stack = strcmp(optarg, "kernel") == 0 ? STACK_KERNEL : STACK_LWIP;
        if (d->stack == STACK_LWIP && strcmp(optarg, "lwip") != 0)
            return say(EXIT_USAGE, "--stack %.40s: kernel or lwip", optarg);
        return EXIT_OK;
    default:
        d->check = true;
        return EXIT_OK;
    }
}

/* net: "" the first network. */
static void name_tun(struct daemon *d, const char *net)
{
    snprintf(d->usual_tun, sizeof(d->usual_tun), net[0] == '\0' ? DEFAULT_TUN : "p2p-%.11s", net);
}

/* With --user the paths that no flag names are the user's. */
static int find_user_dirs(struct daemon *d)
{
    const char *net = d->net == NULL ? "" : d->net;
    name_tun(d, "");
    if (!d->for_user && d->stack != STACK_ANY)
        return say(EXIT_USAGE, "--stack is for --user: root's network is the kernel's");
    if (!d->for_user)
        return d->net == NULL
                   ? EXIT_OK
                   : say(EXIT_USAGE, "--net is for --user: root's are services, p2pvpnd@%s", net);
    int r = pv_userdirs_find(net, &d->dirs);
    if (r == PV_ERR_NOT_FOUND)
        return say(EXIT_FAILED, "--user: this user has no home directory of its own: set "
                                "HOME, or XDG_STATE_HOME and XDG_CONFIG_HOME");
    if (r < 0)
        return say(EXIT_FAILED, "--user: a path below the home directory is too long: set "
                                "XDG_STATE_HOME, XDG_CONFIG_HOME and XDG_RUNTIME_DIR to shorter "
                                "ones");
    name_tun(d, net);
    return EXIT_OK;
}

static const char *default_config(const struct daemon *d)
{
    return d->for_user ? d->dirs.config : DEFAULT_CONFIG;
}

/* verbose: also what this processor does each cipher with, as a start would find it. */
static void print_version(bool verbose)
{
    char text[PV_AEAD_LIBRARIES_MAX];
    puts("p2pvpnd " PV_VERSION);
    if (!verbose || pv_crypto_init() != PV_OK || pv_aead_measure_cost(pv_clock_now) != PV_OK)
        return;
    printf("%s\n", pv_aead_libraries(text));
    for (int suite = 0; suite < PV_SUITES; suite++)
        printf("%s %u ns\n", pv_suite_name((enum pv_suite)suite),
               pv_aead_cost((enum pv_suite)suite));
}

/* EXIT_OK, EXIT_USAGE, or -1: help or version was printed. */
static int read_flags(struct daemon *d, int argc, char **argv)
{
    static const struct option options[] = {
        {"state", required_argument, NULL, 's'},
        {"socket", required_argument, NULL, 'k'},
        {"tun", required_argument, NULL, 't'},
        {"port", required_argument, NULL, 'p'},
        {"config", required_argument, NULL, 'c'},
        {"user", no_argument, NULL, 'u'},
        {"net", required_argument, NULL, 'n'},
        {"stack", required_argument, NULL, 'T'},
        {"no-chatd", no_argument, NULL, 'N'},
        {"check", no_argument, NULL, 'C'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int opt, which = 0;
    /* getopt_long() prints nothing itself: its messages lack the hint to --help. The ":" below
     * tells a missing value from an unknown flag. */
    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":h", options, &which)) != -1) {
        int r = EXIT_OK;
        if (opt == 'V')
            print_version(optind < argc && strcmp(argv[optind], "-v") == 0);
        else if (opt == 'h')
            fputs(usage, stdout);
        else if (opt == ':')
            r = say(EXIT_USAGE, "%s needs a value; see p2pvpnd --help", argv[optind - 1]);
        else if (opt == '?')
            r = say(EXIT_USAGE, "unknown flag %s; see p2pvpnd --help", argv[optind - 1]);
        else if (optarg != NULL && optarg[0] == '\0')
            r = say(EXIT_USAGE,
                    "--%s is empty: give it a value, or leave it out; see p2pvpnd --help",
                    options[which].name);
        else
            r = take_flag(d, opt);
        /* Help and version end the daemon at once, whatever else stands on the line. */
        if (opt == 'V' || opt == 'h')
            return -1;
        if (r != EXIT_OK)
            return r;
    }
    if (optind < argc)
        return say(EXIT_USAGE, "unexpected argument %s; see p2pvpnd --help", argv[optind]);
    return find_user_dirs(d);
}

/* A flag wins over the file, the file over what is built in; only a file that was named must exist.
 */
static int read_settings(struct daemon *d, uint8_t ret_transport_key[static PV_DH_LEN])
{
    char error[PV_SETTINGS_ERROR_MAX], net[PV_USERDIRS_NET];
    d->settings.for_user = d->for_user;
    int r =
        pv_settings_load(&d->settings, d->config != NULL ? d->config : default_config(d), error);
    if (r == PV_ERR_NOT_FOUND && d->config == NULL)
        r = PV_OK; /* nothing needs to be configured */
    if (r >= 0)
        pv_settings_load_keys(&d->settings);
    if (r >= 0 && d->settings.private_key_file[0] != '\0')
        r = pv_settings_read_key(&d->settings, d->settings.private_key_file, ret_transport_key,
                                 error);
    if (r < 0)
        return say(EXIT_USAGE, "%s", error);
    if (d->state == NULL)
        d->state = d->for_user ? d->dirs.state : DEFAULT_STATE;
    if (d->socket == NULL)
        d->socket = d->for_user ? d->dirs.socket : DEFAULT_SOCKET;
    if (!d->for_user && pv_userdirs_net_behind(d->socket, net))
        name_tun(d, net);
    if (d->tun == NULL)
        /* The pointer is into d, which lives as long as the daemon does. */
        d->tun = d->settings.tun_name[0] != '\0' ? d->settings.tun_name : d->usual_tun;
    if (d->port == 0)
        d->port = d->settings.port;
    return EXIT_OK;
}

/* The limit has been raised as far as it may be. */
static void warn_few_files(const struct daemon *d)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < FILES_FEW)
        pv_log(&d->log, PV_LOG_WARN,
               "what=\"too few files may be open, so commands and connections fail\" limit=%llu "
               "remedy=\"allow at least %d: LimitNOFILE= in the unit, ulimit -n in a shell\"",
               (unsigned long long)lim.rlim_cur, FILES_FEW);
}

/* Everything may come from such a peer; sending everything to it, or half of it, would send the
 * tunnel's own packets into the tunnel, so that route is not set. */
static void warn_default_routes(const struct daemon *d)
{
    char text[PV_ADDR_TEXT];
    for (size_t i = 0; i < d->settings.n_peers; i++) {
        const struct pv_static_peer *p = &d->settings.peers[i].peer;
        for (size_t k = 0; k < p->n_allowed; k++)
            if (!pv_netplan_is_target(&p->allowed[k]))
                pv_log(&d->log, PV_LOG_WARN,
                       "peer=%s allowed-ips=%s what=\"no route is set for it\"", p->name,
                       pv_prefix_format(&p->allowed[k], text));
    }
}

/* Features that are off keep no machine out of its network. */
static void warn_faults(const struct daemon *d)
{
    for (size_t i = 0; i < d->settings.faults.n; i++)
        pv_log(&d->log, PV_LOG_WARN, "what=\"%s is off\" why=\"%s\"",
               d->settings.faults.list[i].what, d->settings.faults.list[i].why);
}

/* --- the process --------------------------------------------------------------------------- */

/* Descriptors 0 to 2 must be open, or the next socket would become "standard error". */
static void open_standard_streams(void)
{
    int fd;
    /* open() takes the lowest free number, so the loop ends with the first that is above 2. */
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* SIGHUP would end the process until start() reads signals from a descriptor; until then it waits.
 */
static void hold_hangups(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* The host's name as a node name: lower case, other characters become hyphens. */
static void default_node_name(const struct pv_rng *rng, char ret_name[static PV_NAME_BUF])
{
    char host[HOST_NAME_MAX + 1] = "", text[PV_NAME_BUF];
    size_t n = 0;
    (void)!gethostname(host, sizeof(host) - 1);
    /* The part before the first dot: the domain says nothing inside the network, and a node's
     * name has no dots. */
    for (const char *p = host; *p != '\0' && *p != '.' && n < PV_NAME_MAX; p++) {
        bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        /* A name begins and ends with a letter or digit. */
        if (ok || n > 0)
            text[n++] = ok ? *p : '-';
    }
    while (n > 0 && text[n - 1] == '-')
        n--;
    /* A host without a usable name still gets one that is unlikely to be taken in its network. */
    if (pv_name_parse(text, n, ret_name) < 0 || pv_name_is_word(ret_name))
        snprintf(ret_name, PV_NAME_BUF, "node-%04x", (unsigned)(pv_rng_u32(rng) & 0xffff));
}

/* --- the state directory ------------------------------------------------------------------- */

static int state_path(const struct daemon *d, const char *name, char path[static PATH_MAX])
{
    if (snprintf(path, PATH_MAX, "%s/%s", d->state, name) >= PATH_MAX)
        return say(EXIT_USAGE, "--state: the path is too long");
    return EXIT_OK;
}

static int refuse_state(const struct daemon *d, int r)
{
    if (r == -ENOTDIR)
        return say(EXIT_FAILED, "state directory %s: %s: choose another with --state", d->state,
                   pv_strstatus(r));
    if (r == PV_ERR_EXISTS || r == PV_ERR_REFUSED)
        return say(EXIT_FAILED,
                   "state directory %s: %s: name one with --state that is empty, not there yet, or "
                   "of a p2pvpnd",
                   d->state,
                   r == PV_ERR_EXISTS ? "it has files in it, and none of p2pvpnd"
                                      : "anybody may write there");
    return say(EXIT_FAILED, "state directory %s: %s%s", d->state, pv_strstatus(r),
               pv_unless_exhausted(r, d->for_user ? ": make it writable for this user, or choose "
                                                    "another with --state"
                                                  : ": make it writable for root, or choose "
                                                    "another with --state"));
}

/* As root: from here on the directory belongs to the user that the daemon becomes. */
static int hand_over_state(struct daemon *d)
{
    pv_rights_choose(&d->user);
    const struct pv_sandbox_user wanted = d->user;
    int r = pv_rights_hand_over(d->state, &d->user);
    if (r >= 0 && d->user.uid != wanted.uid)
        pv_log(&d->log, PV_LOG_WARN,
               "state=%s what=\"stays root, without capabilities\" why=\"user %s may not enter its "
               "parent directories\"",
               d->state, wanted.name);
    if (r >= 0) {
        if (realpath(d->state, d->directory) == NULL ||
            !pv_utf8_is_valid(pv_view(d->directory, strlen(d->directory))))
            d->directory[0] = '\0'; /* JSON takes no other text */
        return EXIT_OK;
    }
    if (r == -EINVAL && geteuid() == 0)
        return say(EXIT_FAILED,
                   "user %s (%u) does not exist in this user namespace: start p2pvpnd --user, "
                   "which becomes nobody else",
                   wanted.name, (unsigned)wanted.uid);
    return refuse_state(d, r);
}

/* The lock comes before anything in the directory is read: two daemons with one identity would
 * fight for every session. */
static int lock_state(struct daemon *d)
{
    char path[PATH_MAX];
    if (state_path(d, "lock", path) != EXIT_OK)
        return EXIT_USAGE;
    int r = pv_file_lock(path, &d->lock_fd);
    if (r == PV_ERR_EXISTS)
        return say(EXIT_FAILED,
                   "already running: another p2pvpnd uses %s: stop it, or choose another --state",
                   d->state);
    if (r < 0)
        return say(EXIT_FAILED, "state directory %s: cannot write: %s%s", d->state, pv_strstatus(r),
                   pv_unless_exhausted(r, PV_STR(": make it writable for user %s, or choose "
                                                 "another with --state",
                                                 d->user.name)));
    return EXIT_OK;
}

static int open_keys(struct daemon *d, const uint8_t *transport_key)
{
    char error[PV_JOB_ERROR_MAX];
    /* Locked memory is never written to swap, where a key would survive the daemon. */
    d->identity = pv_secret_alloc(sizeof(*d->identity));
    if (d->identity == NULL)
        return say(EXIT_FAILED, "keys: no locked memory: raise the memlock limit (ulimit -l)");
    if (pv_identity_load(d->state, transport_key, &d->rng, d->identity, error) < 0)
        return say(EXIT_FAILED, "%s", error);
    d->identity->has_root = pv_keeper_key(d->keeper, &d->identity->root);
    return EXIT_OK;
}

/* Once nobody else uses the state directory, and before a packet is read. */
static int open_keeper(struct daemon *d)
{
    char error[PV_JOB_ERROR_MAX];
    bool exposed = false;
    if (state_path(d, "root.key", d->root_file) != EXIT_OK)
        return EXIT_USAGE;
    if (pv_keeper_open(d->keeper, d->state, &d->user, &exposed, error) < 0)
        return say(EXIT_FAILED, "%s", error);
    if (exposed)
        pv_log(&d->log, PV_LOG_WARN,
               "what=\"%.150s can be read by all of p2pvpnd\" why=\"the file system keeps no "
               "modes\"",
               d->root_file);
    return EXIT_OK;
}

/* --- sockets ------------------------------------------------------------------------------- */

/* The port in the state directory, 0 when there is none yet. */
static int read_port(struct daemon *d, uint16_t *ret_port)
{
    char path[PATH_MAX], *text = NULL;
    size_t len = 0;
    uint64_t port = 0;
    if (state_path(d, "port", path) != EXIT_OK)
        return EXIT_USAGE;
    int r = pv_file_read(path, 16, &text, &len);
    if (r == PV_ERR_NOT_FOUND)
        return EXIT_OK;
    if (r >= 0) {
        /* A file that was edited may have lost its line end, or have it. */
        text[strcspn(text, "\n")] = '\0';
        r = pv_u64_parse(text, 1, 65535, &port);
    }
    pv_file_free(text, len);
    /* Drawing a new port silently would break whatever forwards the old one. */
    if (r < 0)
        return say(EXIT_FAILED, "read %s: %s%s", path, pv_strstatus(r),
                   pv_unless_exhausted(r, ": remove the file to draw a new port"));
    *ret_port = (uint16_t)port;
    return EXIT_OK;
}

static int save_port(struct daemon *d)
{
    char path[PATH_MAX], text[16];
    int n = snprintf(text, sizeof(text), "%u\n", d->port);
    if (state_path(d, "port", path) != EXIT_OK)
        return EXIT_USAGE;
    /* The port is kept: peers remember this node's endpoint, and a firewall rule may name it. */
    int r = pv_file_write(path, pv_view(text, (size_t)n), 0600);
    if (r < 0)
        return say(EXIT_FAILED, "write %s: %s", path, pv_strstatus(r));
    return EXIT_OK;
}

/* The port given, the port kept, or a new one: never the same for everybody, so that two nodes
 * behind one NAT do not fight for a mapping. */
static int open_udp(struct daemon *d)
{
    char error[PV_HELPER_ERROR_MAX] = "";
    if (d->port == 0) {
        int code = read_port(d, &d->port);
        if (code != EXIT_OK)
            return code;
    }
    /* A port that was chosen or kept is not replaced when another program has it: that would
     * hide the conflict. */
    if (d->port != 0) {
        if (pv_helper_open_udp(d->helper, d->port, d->settings.workers, &d->udp, error) < 0)
            return say(EXIT_FAILED, "%s", error);
        return EXIT_OK;
    }
    int r = PV_ERR_EXISTS;
    for (int i = 0; i < PORT_TRIES && r == PV_ERR_EXISTS; i++) {
        d->port = (uint16_t)(PORT_MIN + pv_rng_below(&d->rng, PORT_MAX - PORT_MIN + 1));
        /* The helper opens the sockets, one group over both families: it alone keeps the rights
         * for that. */
        r = pv_helper_open_udp(d->helper, d->port, d->settings.workers, &d->udp, error);
    }
    if (r < 0)
        return say(EXIT_FAILED, "%s", error);
    return save_port(d);
}

/* Beside the control socket, which also tells instances apart: p2pvpnd.sock -> p2pvpnd.names. */
static int names_path(const struct daemon *d, char path[static PATH_MAX])
{
    size_t len = strlen(d->socket);
    if (len > 5 && strcmp(d->socket + len - 5, ".sock") == 0)
        len -= 5;
    if (snprintf(path, PATH_MAX, "%.*s.names", (int)len, d->socket) >= PATH_MAX)
        return say(EXIT_USAGE, "--socket: the path is too long");
    return EXIT_OK;
}

static int refuse_socket(const struct daemon *d, int r)
{
    return say(EXIT_FAILED, "listen on %s: %s%s", d->socket, pv_strstatus(r),
               pv_unless_exhausted(r, ": choose another path with --socket"));
}

/* The directory, if it has a name, and the socket. PV_ERR_EXISTS: other is served. */
static int claim_socket(struct daemon *d, const char *dir, char other[static PATH_MAX], int *ret_fd)
{
    int r = PV_OK;
    if (dir[0] != '\0')
        r = d->for_user ? pv_dir_make(dir, 0700) : pv_rights_take_directory(dir, &d->user, other);
    if (r < 0)
        return r;
    snprintf(other, PATH_MAX, "%s", d->socket);
    return pv_unix_listen(d->socket, d->for_user ? NULL : PV_IO_GROUP, ret_fd);
}

/* A socket that another daemon serves is found out here, before the engine does anything; clients
 * that connect meanwhile wait until the loop runs. */
static int open_control(struct daemon *d)
{
    char dir[PATH_MAX] = "", names[PATH_MAX], error[PV_HELPER_ERROR_MAX];
    char other[PATH_MAX] = "";
    const char *slash = strrchr(d->socket, '/');
    const pv_ns patience = pv_clock_now() + LEFTOVERS;
    int r = PV_OK, fd = -1;
    if (names_path(d, names) != EXIT_OK)
        return EXIT_USAGE;
    if (slash != NULL && slash != d->socket && (size_t)(slash - d->socket) < sizeof(dir))
        snprintf(dir, sizeof(dir), "%.*s", (int)(slash - d->socket), d->socket);
    /* The helpers of a p2pvpnd that was killed hold its socket until they see that it is gone. */
    while ((r = claim_socket(d, dir, other, &fd)) == PV_ERR_EXISTS &&
           strcmp(other, d->socket) == 0 && pv_clock_now() < patience)
        nanosleep(&(struct timespec){.tv_nsec = PV_MS(50)}, NULL);
    if (r == PV_ERR_EXISTS && strcmp(other, d->socket) != 0)
        return say(EXIT_FAILED,
                   "%s belongs to user %s, whose p2pvpnd listens on %s: start this one as a "
                   "service too (systemctl start p2pvpnd@NAME), or choose a --socket in "
                   "another directory",
                   dir, d->user.name, other);
    if (r == PV_ERR_REFUSED)
        return say(EXIT_FAILED,
                   "others than root may write to %s: choose a --socket in a directory of "
                   "root's",
                   dir);
    if (r >= 0)
        r = pv_bind_sock_open(d->socket, d->chat.uid, &d->chat.listen_fd);
    /* The helper removes it in the end, and before that if anything fails from here on. */
    if (r >= 0 &&
        pv_helper_fix_files(d->helper, d->socket, names, pv_usher_fd(d->usher), error) < 0)
        return say(EXIT_FAILED, "%s", error);
    if (r >= 0)
        r = pv_usher_open(d->usher, fd);
    if (r == PV_ERR_EXISTS)
        return say(EXIT_FAILED,
                   "already running: another p2pvpnd listens on %s: stop it, or choose another "
                   "--socket",
                   d->socket);
    return r < 0 ? refuse_socket(d, r) : EXIT_OK;
}

/* The network of this user alone, where the interface will be. Why not, and what to do: stack_why.
 */
static int open_kernel(struct daemon *d)
{
    int giver = -1;
    /* Before a network is joined, which fails without it. */
    if (access("/dev/net/tun", R_OK | W_OK) < 0) {
        snprintf(d->stack_why, sizeof(d->stack_why), "/dev/net/tun: %s: %s", strerror(errno),
                 errno == EACCES ? "as root: chmod 666 /dev/net/tun, as udev does"
                                 : "as root: modprobe tun, or pass it into this container");
        return EXIT_FAILED;
    }
    if (pv_helper_go_inside(d->helper, &giver, &d->inside, d->stack_why) < 0)
        return EXIT_FAILED;
    d->stack_why[0] = '\0';
    d->stack = STACK_KERNEL;
    pv_inside_use(giver);
    return EXIT_OK;
}

/* lwIP in its place, and where programs of this user ask it for connections. */
static int open_stack(struct daemon *d)
{
    char path[PATH_MAX + sizeof(PV_INSIDE_STACK_SUFFIX)], error[PV_HELPER_ERROR_MAX];
    int listener = -1, giver = -1;
    snprintf(path, sizeof(path), "%s" PV_INSIDE_STACK_SUFFIX, d->socket);
    int r = pv_unix_listen(path, NULL, &listener);
    if (r < 0)
        return say(EXIT_FAILED, "listen on %s: %s%s", path, pv_strstatus(r),
                   pv_unless_exhausted(r, ": choose a shorter path with --socket"));
    r = pv_helper_go_stack(d->helper, listener, &giver, &d->inside, error);
    close(listener);
    if (r < 0) {
        (void)unlink(path);
        return d->stack_why[0] != '\0' && d->stack == STACK_ANY
                   ? say(EXIT_FAILED, "--user: %s; and %s", d->stack_why, error)
                   : say(EXIT_FAILED, "--user: %s", error);
    }
    d->stack = STACK_LWIP;
    pv_inside_use_stack(giver, false);
    return EXIT_OK;
}

static int open_inside(struct daemon *d)
{
    /* Settings that come later are read as well: this process may only look where something is. */
    (void)!pv_dir_make(
        PV_STR("%.*s", (int)(strrchr(d->dirs.config, '/') - d->dirs.config), d->dirs.config), 0700);
    if (d->stack != STACK_LWIP && open_kernel(d) == EXIT_OK)
        return EXIT_OK;
    if (d->stack == STACK_KERNEL)
        return say(EXIT_FAILED, "--user: %s", d->stack_why);
    if (d->stack == STACK_ANY)
        pv_log(&d->log, PV_LOG_WARN, "stack=lwip why=\"%s\"", d->stack_why);
    return open_stack(d);
}

/* Starts the notifier, which needs rights that are given up later. */
static void open_notify(struct daemon *d)
{
    if (d->settings.notify[0] != '\0' && d->notify_fd < 0 && !d->gave_up &&
        pv_helper_notify(d->helper, d->settings.notify, &d->notify_fd, d->notify_why) < 0)
        d->notify_fd = -1;
    if (d->notify_why[0] == '\0')
        return;
    struct pv_fault fault = {.what = PV_FAULT_NOTIFY, .restart = true, .minor = true};
    snprintf(fault.why, sizeof(fault.why), "%s", d->notify_why);
    pv_settings_add_fault(&d->settings, fault);
}

/* Listens where Prometheus asks, if the settings say where. */
static void open_metrics(struct daemon *d)
{
    const struct pv_addr *addr = &d->settings.metrics.listen;
    if (addr->family == PV_AF_NONE || d->metrics_fd >= 0)
        return;
    /* Only [metrics] allow-remote lets this be another address than a loopback one; settings.c
     * has checked that. */
    int r = pv_stream_listen(addr, NULL, &d->metrics_fd);
    if (r >= 0)
        return;
    d->metrics_fd = -1;
    /* A port below 1024 needs rights that a reload no longer has. */
    struct pv_fault fault = {
        .what = PV_FAULT_METRICS, .restart = r == -EACCES || r == -EPERM, .minor = true};
    snprintf(fault.why, sizeof(fault.why), "listen = %s: %s", PV_ADDR_STR(addr),
             r == PV_ERR_EXISTS    ? "the address is in use: choose another port"
             : r == -EADDRNOTAVAIL ? "not an address of this machine: choose another"
                                   : pv_strstatus(r));
    pv_settings_add_fault(&d->settings, fault);
}

/* --- engine and loop ----------------------------------------------------------------------- */

/* Commands in texts of this p2pvpnd's are typed with it. */
static void find_flag(const struct daemon *d, char ret_flag[static PV_ENGINE_FLAG])
{
    char net[PV_USERDIRS_NET] = "";
    _Static_assert((int)PV_ENGINE_FLAG > (int)PV_USERDIRS_NET + 3, "it fits behind -n");
    if (d->for_user)
        snprintf(net, sizeof(net), "%s", d->net == NULL ? "" : d->net);
    else
        (void)pv_userdirs_net_behind(d->socket, net);
    snprintf(ret_flag, PV_ENGINE_FLAG, "%s%s", net[0] == '\0' ? "" : "-n ", net);
}

/* Copies the settings into the engine's terms: the engine knows no file and no flags. */
static int new_engine(struct daemon *d, const struct pv_saved *saved)
{
    struct pv_settings *s = &d->settings;
    if (pv_aead_measure_cost(pv_clock_now) != PV_OK)
        return say(EXIT_FAILED, "start: out of memory");
    /* One more than needed: calloc(0) may return NULL, which would look like a lack of memory. */
    struct pv_static_peer *peers = calloc(s->n_peers + 1, sizeof(*peers));
    if (peers == NULL)
        return say(EXIT_FAILED, "start: out of memory");
    for (size_t i = 0; i < s->n_peers; i++)
        pv_settings_give_peer(&s->peers[i], &d->rng, &peers[i]);
    struct pv_engine_config cfg = s->engine;
    cfg.rng = d->rng;
    cfg.given.log = d->log;
    cfg.identity = d->identity;
    cfg.saved = saved;
    cfg.events = &d->events;
    cfg.static_peers = peers;
    cfg.n_static_peers = s->n_peers;
    cfg.given.udp_port = d->port;
    cfg.has_udp6 = d->udp.fd6[0] >= 0;
    cfg.given.workers = d->udp.n;
    cfg.given.kem = pv_kem_mlkem768();
    cfg.given.kem_why = pv_kem_why_not();
    cfg.key_given = s->private_key_file[0] != '\0';
    cfg.notify = d->notify_fd >= 0;
    cfg.sandbox = d->sandbox;
    cfg.faults = &s->faults;
    if (pv_settings_has_fault(s, PV_FAULT_RELAY))
        cfg.n_relays = 0;       /* none takes us without the password */
    if (d->stack == STACK_LWIP) /* it may have been started again in another life */
        (void)pv_helper_stack_restarts(d->helper, &d->inside);
    cfg.given.inside = (unsigned)d->inside;
    cfg.stack = d->stack == STACK_LWIP ? "lwip" : d->stack == STACK_KERNEL ? "kernel" : NULL;
    cfg.stack_why = d->stack_why;
    /* Programs in the inside have no other way to names. With lwIP there are none. */
    cfg.dns = d->stack == STACK_LWIP ? PV_DNS_NOBODY
              : s->dns               ? PV_DNS_MEMBERS
              : d->for_user          ? PV_DNS_PROGRAMS
                                     : PV_DNS_NOBODY;
    cfg.wall_us = pv_clock_wall_us();
    cfg.given.started = d->started;
    cfg.root_file = d->root_file;
    cfg.directory = d->directory;
    /* Without the instructions AES would leak by its timing, however fast: no member chooses it. */
    for (int suite = 0; suite < PV_SUITES && pv_suite_aes_is_fast(); suite++)
        cfg.cost[suite] = pv_aead_cost((enum pv_suite)suite);
    snprintf(cfg.given.tun_name, sizeof(cfg.given.tun_name), "%s", d->tun);
    find_flag(d, cfg.given.flag);
    cfg.given.own = d->for_user;
    default_node_name(&d->rng, cfg.given.hostname);
    const struct pv_bind_serve_config chat = {.served = &d->chat.served};
    cfg.app = &pv_bind_serve;
    cfg.app_config = &chat;
    int r = pv_engine_new(&d->engine, &cfg, pv_clock_now());
    /* The engine has its own copies. These hold preshared keys and the relays' password. */
    pv_wipe(peers, s->n_peers * sizeof(*peers));
    pv_wipe(cfg.relay_password, sizeof(cfg.relay_password));
    free(peers);
    if (r < 0)
        return say(EXIT_FAILED, "start: %s", pv_strstatus(r));
    return EXIT_OK;
}

static int open_store(struct daemon *d)
{
    char error[PV_JOB_ERROR_MAX];
    struct pv_store_saved saved;
    int r = pv_store_open(&d->store, d->state, error);
    if (r >= 0) {
        pv_store_set_keeper(d->store, d->keeper);
        r = pv_store_load(d->store, &saved, error);
    }
    if (r < 0)
        return say(EXIT_FAILED, "%s", error);
    /* The engine copies what it needs from the saved state before that is freed. */
    int code = new_engine(d, &saved.saved);
    pv_store_saved_done(&saved);
    return code;
}

static void on_ready(void *ctx)
{
    const struct daemon *d = ctx;
    pv_pages_drop_code(); /* most of it was for the start */
    say(EXIT_OK, "ready: version %s, UDP port %u, socket %s", PV_VERSION, d->port, d->socket);
}

/* Metrics are tried again. A notifier would need a restart. */
static void retry_side_features(struct daemon *d)
{
    char *changed = d->reload.keys.changed;
    const bool had = d->metrics_fd >= 0;
    size_t used = strlen(changed);
    open_notify(d);
    open_metrics(d);
    if (!had && d->metrics_fd >= 0)
        snprintf(changed + used, PV_RELOAD_TEXT_MAX - used, "%s[metrics] listen",
                 used == 0 ? "" : ", ");
    warn_faults(d);
}

/* A new life with new settings has the sockets, the interface and the usher of the old; without
 * anything new the old one goes on. */
static bool on_reload(void *ctx, struct pv_engine_reloaded *ret_done)
{
    struct daemon *d = ctx;
    const char *file = d->config != NULL ? d->config : default_config(d);
    pv_supervisor_reloading(&d->supervisor);
    *ret_done = (struct pv_engine_reloaded){
        .file = file, .changed = d->reload.keys.changed, .waiting = d->reload.keys.waiting};
    if (pv_reload_settings(&d->settings, file, d->config == NULL, d->reload.error,
                           &d->reload.keys) < 0) {
        pv_log(&d->log, PV_LOG_ERROR, "what=\"nothing is changed\" why=\"%s\"", d->reload.error);
        ret_done->error = d->reload.error;
        pv_supervisor_reloaded(&d->supervisor);
        return false;
    }
    ret_done->no_file = d->reload.keys.no_file;
    pv_starter_again(&d->starter);
    retry_side_features(d);
    if (d->reload.keys.waiting[0] != '\0')
        pv_log(&d->log, PV_LOG_WARN, "what=\"restart p2pvpnd for some changes\" keys=\"%s\"",
               d->reload.keys.waiting);
    pv_log(&d->log, PV_LOG_INFO, "what=\"%s\" file=%s changed=\"%s\"",
           d->reload.keys.no_file ? "no such file, the defaults hold" : "settings read again", file,
           d->reload.keys.changed);
    if (d->reload.keys.changed[0] == '\0') {
        pv_supervisor_reloaded(&d->supervisor);
        return false;
    }
    d->log.level = d->settings.log_level;
    return true;
}

/* From a loaded state to the end of the loop: what the loop uses is opened before it, freed after.
 */
static int run_loop(struct daemon *d, bool *ret_again)
{
    /* The loop takes it, and there may be another one (pv_engine_wants_restart()). */
    d->chat.log = &d->log;
    int metrics = d->metrics_fd < 0 ? -1 : fcntl(d->metrics_fd, F_DUPFD_CLOEXEC, 3);
    struct pv_io_config cfg = {
        .engine = d->engine,
        .store = d->store,
        .helper = d->helper,
        .log = &d->log,
        .udp = d->udp,
        .threads = d->settings.threads,
        .usher = d->usher,
        .signals_fd = d->signals_fd,
        .notify_fd = d->notify_fd,
        .app = pv_bind_sock_app(&d->chat),
        .names = !d->for_user, /* no other user believes them */
        .beacon = !d->settings.engine.lan.beacon_off,
        .relay_ca_file = d->settings.relay_ca_file[0] == '\0' ? NULL : d->settings.relay_ca_file,
        .proxy_login = &d->settings.proxy_login,
        .metrics_fd = metrics,
        .supervisor = &d->supervisor,
        .metrics_local = pv_addr_is_loopback(&d->settings.metrics.listen),
        .ready = on_ready,
        .ready_ctx = d,
        .reload = on_reload,
        .reload_ctx = d,
    };
    snprintf(cfg.tun_name, sizeof(cfg.tun_name), "%s", d->tun);
    int r = pv_io_new(&d->io, &cfg);
    if (r < 0)
        return say(EXIT_FAILED, "start: %s", pv_strstatus(r));
    r = pv_io_run(d->io, ret_again);
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

/* One life of this node under one identity, from its keys to its end. */
static int live(struct daemon *d, const uint8_t *transport_key, bool *ret_again)
{
    int code = open_keys(d, transport_key);
    *ret_again = false;
    if (code == EXIT_OK)
        code = open_store(d);
    /* A node that leaves its network and forgets its keys goes on as a new one, in the same
     * process and with the same sockets. */
    if (code == EXIT_OK)
        code = run_loop(d, ret_again);
    /* The loop is freed first: it uses the engine, the store and the identity. */
    d->io = pv_io_free(d->io);
    if (d->engine != NULL)
        pv_engine_take_events(d->engine, &d->events);
    d->engine = pv_engine_free(d->engine);
    d->store = pv_store_close(d->store);
    d->identity = pv_secret_free(d->identity);
    return code;
}

/* The steps that need root: afterwards this process is one that could as well be started by a user,
 * and only the helper, the usher and the notifier have rights, each a few. */
static int open_as_root(struct daemon *d)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    int code = hand_over_state(d);
    /* Before any thread starts: each thread inherits the mask that keeps these signals for the
     * descriptor. */
    if (code == EXIT_OK && pv_signals_open(signals, PV_ARRAY_LEN(signals), &d->signals_fd) < 0)
        code = say(EXIT_FAILED, "start: no descriptor for signals");
    if (code == EXIT_OK)
        code = open_control(d);
    if (code == EXIT_OK) {
        open_notify(d);
        open_metrics(d);
    }
    if (code == EXIT_OK && d->for_user)
        code = open_inside(d);
    return code;
}

static struct pv_rights_config rights_config(const struct daemon *d)
{
    return (struct pv_rights_config){
        .state = d->state,
        .socket = d->socket,
        .ca_file = d->settings.relay_ca_file[0] == '\0' ? NULL : d->settings.relay_ca_file,
        .config = !d->for_user        ? NULL
                  : d->config != NULL ? d->config
                                      : d->dirs.config};
}

/* Landlock alone keeps the files of its user from an intruder. */
static int keep_home(const struct daemon *d)
{
    const struct pv_rights_config cfg = rights_config(d);
    char dir[PATH_MAX];
    if (!d->for_user || !pv_rights_open_home(&cfg, dir))
        return EXIT_OK;
    return say(EXIT_FAILED,
               "--user: %s: whoever takes p2pvpnd over could read all of your home directory: use "
               "a directory for p2pvpnd alone, such as ~/.config/p2pvpn",
               dir);
}

/* The helper's settings before it sandboxes itself, and the rights that this process keeps: nothing
 * but the settings has been read yet. */
static int give_up_rights(struct daemon *d)
{
    const struct pv_rights_config cfg = rights_config(d);
    struct pv_helper_fixed fixed = {.uid = pv_rights_own_uid(&d->user), .udp_port = d->port};
    const struct pv_given *g = &d->settings.engine.given;
    char helper[PV_HELPER_ERROR_MAX], text[PV_SANDBOX_TEXT_MAX];
    _Static_assert(PV_HELPER_MAX_RANGES >= PV_ARRAY_LEN(g->own_addrs) + PV_ARRAY_LEN(g->ranges),
                   "all of them fit");
    snprintf(fixed.ifname, sizeof(fixed.ifname), "%s", d->tun);
    for (size_t i = 0; i < g->n_own_addrs; i++)
        fixed.ranges[fixed.n_ranges++] = pv_netplan_range(&g->own_addrs[i]);
    for (size_t i = 0; i < g->n_ranges; i++)
        fixed.ranges[fixed.n_ranges++] = g->ranges[i];
    if (pv_helper_sandbox(d->helper, &fixed, helper) < 0)
        return say(EXIT_FAILED, "%s", helper);
    int r = pv_rights_give_up(&d->user, &cfg, text);
    if (r < 0)
        return say(EXIT_FAILED, "give up rights: %s: what was reached: %s", pv_strstatus(r), text);
    snprintf(d->sandbox, sizeof(d->sandbox), "%s; helper: %s", text, helper);
    pv_log(&d->log, PV_LOG_INFO, "sandbox=\"%s\"", d->sandbox);
    d->gave_up = true;
    /* Root could read it. */
    if (cfg.ca_file != NULL && !pv_settings_has_fault(&d->settings, PV_FAULT_RELAY_CA) &&
        access(cfg.ca_file, R_OK) < 0) {
        struct pv_fault fault = {.what = PV_FAULT_RELAY_CA, .restart = true};
        snprintf(fault.why, sizeof(fault.why),
                 "[relay] ca-file %s: %s: make it readable for user %s", cfg.ca_file,
                 strerror(errno), d->user.name);
        pv_settings_add_fault(&d->settings, fault);
    }
    warn_faults(d);
    return EXIT_OK;
}

/* Chat's user: p2pvpn-chatd of this machine, whoever starts it, and nobody else is served. */
static void find_chat_user(struct daemon *d)
{
    struct pv_sandbox_user user;
    if (geteuid() != 0 && !d->for_user && pv_sandbox_find_user(PV_CHATPATH_USER, &user) == PV_OK) {
        d->chat.uid = user.uid;
        return;
    }
    pv_sandbox_choose_user(PV_CHATPATH_USER, &user);
    d->chat.uid = user.uid;
}

/* Has the starter start p2pvpn-chatd. If it is not installed, nobody misses it. The starter has
 * root's rights and runs what it is told first, so it must not wait for that until this process
 * reads its first packet: without a word it ends. */
static void start_chat(struct daemon *d)
{
    char program[PATH_MAX], state[PATH_MAX];
    size_t len = strlen(d->state);
    while (len > 1 && d->state[len - 1] == '/')
        len--;
    if (d->no_chatd || !pv_starter_find(program)) {
        pv_starter_stop(&d->starter);
        return;
    }
    snprintf(state, sizeof(state), "%.*s.chat", (int)len, d->state);
    const char *const argv[] = {"p2pvpn-chatd",
                                "--node",
                                d->socket,
                                "--state",
                                state,
                                "--config",
                                d->config != NULL ? d->config : default_config(d),
                                d->for_user ? "--user" : NULL,
                                NULL};
    char control[PATH_MAX], node[PATH_MAX];
    int r = pv_chatpath(d->socket, PV_CHATPATH_CONTROL, control, sizeof(control));
    if (r == PV_OK)
        r = pv_chatpath(d->socket, PV_CHATPATH_NODE, node, sizeof(node));
    const char *const sockets[] = {control, node, NULL};
    if (r == PV_OK)
        r = pv_starter_start(&d->starter, program, argv, sockets);
    d->chat.served.expected = r == PV_OK;
    if (r < 0)
        pv_starter_stop(&d->starter);
    if (r < 0)
        pv_log(&d->log, PV_LOG_ERROR, "what=\"p2pvpn-chatd is not started\" why=\"%s\"",
               pv_strstatus(r));
}

static int start(struct daemon *d, const uint8_t *transport_key)
{
    int code = keep_home(d);
    find_chat_user(d);
    if (code == EXIT_OK)
        code = open_as_root(d);
    if (code == EXIT_OK)
        start_chat(d);
    if (code == EXIT_OK)
        code = give_up_rights(d);
    if (code == EXIT_OK)
        code = lock_state(d);
    if (code == EXIT_OK)
        code = open_keeper(d);
    if (code == EXIT_OK)
        code = open_udp(d);
    for (bool again = true; code == EXIT_OK && again;)
        code = live(d, transport_key, &again);
    return code;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* In the reverse order of their making; everything may be missing. */
static void finish_daemon(struct daemon *d)
{
    pv_supervisor_close(&d->supervisor);
    pv_events_done(&d->events);
    d->usher = pv_usher_stop(d->usher);
    d->keeper = pv_keeper_stop(d->keeper);
    pv_inside_use(-1); /* its giver ends */
    pv_udp_group_close(&d->udp);
    close_fd(d->signals_fd);
    close_fd(d->notify_fd);
    close_fd(d->metrics_fd);
    char node[PATH_MAX];
    /* Of a start that failed early; later the starter removes it. */
    if (d->chat.listen_fd >= 0 && !d->gave_up &&
        pv_chatpath(d->socket, PV_CHATPATH_NODE, node, sizeof(node)) == PV_OK)
        (void)unlink(node);
    close_fd(d->chat.listen_fd);
    pv_starter_stop(&d->starter);
    pv_helper_stop(d->helper);
    /* The lock is given up last: a daemon that starts now finds nothing half closed. */
    close_fd(d->lock_fd);
}

/* Each answers what has the size of its own question. */
static void run_task(struct pv_view args, int out)
{
    _Static_assert(sizeof(struct pv_portmapjob) != PV_JOB_HOST_MAX, "they are told apart");
    pv_resolver_run(args, out);
    pv_portmapper_run(args, out);
}

/* --user is the same for a root with capabilities as for one without. CAP_SETFCAP lets root have
 * its name in the inside, and goes with the rest of the rights. */
static int forgo_root(const struct daemon *d)
{
    int r = d->for_user ? pv_sandbox_become(NULL, (uint64_t)1 << CAP_SETFCAP) : PV_OK;
    return r < 0 ? say(EXIT_FAILED, "give up rights: %s", pv_strstatus(r)) : EXIT_OK;
}

/* The daemon's life, from the first fork to the last close. */
static int serve(struct daemon *d)
{
    if (forgo_root(d) != EXIT_OK)
        return EXIT_FAILED;
    d->rng = pv_entropy();
    d->started = pv_clock_now();
    d->supervisor = pv_supervisor_open();
    /* Helper, usher and keeper first: they must not inherit a key or a descriptor of a file. */
    int r = d->no_chatd ? PV_OK : pv_starter_fork(&d->starter);
    if (r >= 0)
        r = pv_helper_start(&d->helper, run_task);
    if (r >= 0)
        r = pv_usher_start(&d->usher, PV_CTLAPI_BUSY_LINE);
    if (r >= 0)
        r = pv_keeper_start(&d->keeper);
    if (r >= 0)
        r = pv_crypto_init();
    if (r < 0)
        return say(EXIT_FAILED, "start: %s", pv_strstatus(r));
    pv_ctlapi_wipe_freed();
    /* Of [interface] private-key-file: it is needed again when the daemon forgets its identity. */
    uint8_t *transport_key = pv_secret_alloc(PV_DH_LEN);
    if (transport_key == NULL)
        return say(EXIT_FAILED, "keys: no locked memory: raise the memlock limit (ulimit -l)");
    int code = read_settings(d, transport_key);
    if (code == EXIT_OK) {
        /* The log's level stands in the file, so nothing before this can be logged. */
        d->log = pv_logsink_open(&d->sink, "p2pvpnd", d->settings.log_level);
        warn_few_files(d);
        warn_default_routes(d);
        if (d->settings.note[0] != '\0')
            pv_log(&d->log, PV_LOG_WARN, "what=\"look at the settings\" why=\"%s\"",
                   d->settings.note);
        code = start(d, d->settings.private_key_file[0] != '\0' ? transport_key : NULL);
    }
    pv_secret_free(transport_key);
    return code;
}

/* --- the check ----------------------------------------------------------------------------- */

/* Another p2pvpnd may run with all of these, and its TUN is there then. A user's own is made in a
 * network that is not there yet. */
static int check_tun(const struct daemon *d)
{
    struct pv_net_link link;
    if (d->for_user || pv_net_find_link(d->tun, &link) < 0 || link.tunnel)
        return EXIT_OK;
    return say(EXIT_FAILED,
               "make interface %s: the name is in use: stop the program that has it, or choose "
               "another one (name in [interface] of p2pvpnd.conf, or --tun)",
               d->tun);
}

/* The start would meet what stands in the places of state, socket and interface: it is refused in
 * the words of the start. Nothing is made, and what this user may not see is taken to be well. */
static int check_places(const struct daemon *d)
{
    struct stat st;
    struct pv_sandbox_user user;
    bool served = false;
    int r = lstat(d->state, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? PV_OK : -ENOTDIR;
    if (r == PV_OK) {
        pv_rights_choose(&user);
        r = pv_rights_may_take(d->state, &user);
    }
    if (r < 0 && r != -ENOENT && r != -EACCES)
        return refuse_state(d, r);
    r = pv_unix_is_served(d->socket, &served);
    if (r < 0 && r != PV_ERR_NOT_FOUND && r != -EACCES && r != -EPERM)
        return refuse_socket(d, r);
    return check_tun(d);
}

static int tell_faults(const struct daemon *d)
{
    const struct pv_faults *f = &d->settings.faults;
    for (size_t i = 0; i < f->n; i++)
        say(EXIT_OK, "%s is off: %s", f->list[i].what, f->list[i].why);
    return EXIT_WITHOUT;
}

/* Errors in the configuration are told to everybody, the lack of rights after them. */
static int check(struct daemon *d)
{
    uint8_t transport_key[PV_DH_LEN] = {0};
    int code = read_settings(d, transport_key);
    pv_wipe(transport_key, sizeof(transport_key));
    if (code == EXIT_OK)
        code = check_places(d);
    if (code != EXIT_OK)
        return code;
    if (d->check && d->settings.note[0] != '\0')
        say(EXIT_OK, "note: %s", d->settings.note);
    if (d->check && d->settings.faults.n > 0)
        return tell_faults(d);
    if (d->check)
        return say(EXIT_OK, "configuration ok");
    return say(EXIT_PERMISSION,
               geteuid() == 0
                   ? "cannot make a network interface: CAP_NET_ADMIN is missing. In a container "
                     "start it with --cap-add NET_ADMIN, or run p2pvpnd --user."
                   : "only root may make a network interface. Start p2pvpnd as root, or for this "
                     "user alone with p2pvpnd --user.");
}

/* Masks, limits and signals of this process and of those that it makes. To be called once. */
static void prepare_process(void)
{
    struct rlimit lim;
    /* No file that this process makes, such as the keys and the database, is readable for others
     * by accident. */
    umask(077);
    /* Each peer, relay and control client costs descriptors. Without permission for more the old
     * limit stays. */
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max < FILES_MAX ? lim.rlim_max : FILES_MAX;
        (void)!setrlimit(RLIMIT_NOFILE, &lim);
    }
    /* A large block goes back to the kernel when it is freed. Else glibc raises this limit with the
     * first such block, and lists, tables and snapshots leave holes among what small things
     * take. */
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    /* A core dump would have the keys in it. */
    lim = (struct rlimit){.rlim_cur = 0, .rlim_max = 0};
    (void)!setrlimit(RLIMIT_CORE, &lim);
    /* No debugger of other users. */
    prctl(PR_SET_DUMPABLE, 0);
    /* A control client or a relay may close at any moment: a write then fails with EPIPE instead
     * of ending the daemon. */
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    struct daemon d = {.lock_fd = -1,
                       .signals_fd = -1,
                       .notify_fd = -1,
                       .metrics_fd = -1,
                       .chat = {.listen_fd = -1, .fd = -1},
                       .starter = PV_STARTER_NONE,
                       .supervisor = PV_SUPERVISOR_NONE};
    open_standard_streams();
    hold_hangups();
    pv_settings_init(&d.settings);
    int code = read_flags(&d, argc, argv);
    if (code < 0)
        return EXIT_OK;
    prepare_process();
    if (code == EXIT_OK)
        code = d.check || (!d.for_user && !pv_rights_suffice()) ? check(&d) : serve(&d);
    finish_daemon(&d);
    pv_settings_done(&d.settings);
    return code;
}
