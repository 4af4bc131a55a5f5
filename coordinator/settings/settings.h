/* SPDX-License-Identifier: MIT */
/*
 * settings.h - the settings of the command line and coordinator.conf (DESIGN 9), checked: every
 * unknown option, key and bad value is an error that says where it stands.
 *
 * Parsing only; nothing is opened but the configuration file.
 */
#pragma once

#include <limits.h>

#include "base/addr.h"
#include "base/pv.h"
#include "coordinator/core/coord.h"
#include "coordinator/settings/settings_limits.h"
#include "proto/control/ctlmsg.h"
#include "proto/local/scrape.h"
#include "proto/roster/statement.h"
#include "sys/file/ini.h"

/* --- the relay ------------------------------------------------------------------------------- */

/* The relay's part of coordinator.conf: [relay] and [turn-user NAME] (DESIGN 9). Password files are
 * read by the program. */

struct pv_coordset_user {
    char name[PV_TURNAUTH_USER_BUF];
    char password_file[PV_INI_LINE_MAX + 1];
};

struct pv_coordset_relay {
    bool off;                     /* --no-relay, or enabled = no */
    uint16_t port_lo, port_hi;    /* 0: the default range */
    uint32_t bandwidth;           /* bytes a second and direction; 0: no limit */
    uint32_t per_user;            /* allocations of a static user; 0: default */
    uint32_t phone_ports;         /* of members; 0: none */
    uint32_t phone_ports_per_net; /* of them one network's; 0: default */
    struct pv_prefix allow[PV_TURNS_ALLOW_MAX];
    size_t n_allow;
    struct pv_coordset_user users[PV_TURNS_USERS_MAX];
    size_t n_users;
};

/* --- the section [store] --------------------------------------------------------------------- */

/* The section [store] of coordinator.conf: where networks are kept. */

enum {
    PV_COORDSET_POSTGRES_MAX = 1024, /* bytes of a conninfo, with the NUL */
};

struct pv_coordset_store {
    char postgres[PV_COORDSET_POSTGRES_MAX]; /* a conninfo of libpq; empty: SQLite */
};

/* --- all settings ---------------------------------------------------------------------------- */

enum {
    PV_COORDSET_LISTEN_MAX = 8,  /* ours: --listen, and listen lines */
    PV_COORDSET_ERROR_MAX = 512, /* bytes of a message, with the NUL */
    PV_COORDSET_PORT = 3478,     /* RFC 8489 s18.4: STUN's */
};

#define PV_COORDSET_STATE  "/var/lib/p2pvpn-coordinator"
#define PV_COORDSET_CONFIG "/etc/p2pvpn/coordinator.conf"

enum pv_coordset_action {
    PV_COORDSET_RUN,
    PV_COORDSET_URL,      /* the url subcommand */
    PV_COORDSET_STATUS,   /* the status subcommand */
    PV_COORDSET_METRICS,  /* the metrics subcommand */
    PV_COORDSET_NETWORKS, /* the networks subcommand */
    PV_COORDSET_DROP,     /* the drop subcommand */
    PV_COORDSET_SECRET,   /* secret rotate */
    PV_COORDSET_BACKUP,   /* the backup subcommand */
    PV_COORDSET_RESTORE,  /* the restore subcommand */
    PV_COORDSET_IMPORT,   /* the import subcommand */
    PV_COORDSET_EXPORT,   /* the export subcommand */
    PV_COORDSET_RELOAD,   /* the reload subcommand */
    PV_COORDSET_HOMES,    /* the homes subcommand */
    PV_COORDSET_DRAIN,    /* the drain subcommand */
    PV_COORDSET_WEB,      /* the web subcommand */
    PV_COORDSET_CHECK,    /* --check: the settings are right; do nothing */
    PV_COORDSET_VERSION,  /* --version */
    PV_COORDSET_HELP,     /* --help */
};

struct pv_coordset {
    enum pv_coordset_action action;
    struct pv_addr listen[PV_COORDSET_LISTEN_MAX]; /* none: every address, port 3478 */
    size_t n_listen;
    struct pv_addr tls_listen[PV_COORDSET_LISTEN_MAX]; /* TCP only */
    size_t n_tls_listen;
    struct pv_hostport public[PV_CTL_ADDRS_MAX]; /* port 0: the port of the first listen */
    size_t n_public;
    struct pv_addr alt[2]; /* second addresses for RFC 5780, one a family; port 0 */
    size_t n_alt;
    struct pv_coord_switches switches;
    bool names;                       /* of networks */
    bool json;                        /* the answer of a subcommand */
    bool check;                       /* status: its exit code says whether all is well */
    char note[PV_COORDSET_ERROR_MAX]; /* about a value of the file that may be a mistake; or "" */
    const char *operand; /* of a subcommand, such as a file; the command line's; NULL: none */
    const char *config;  /* the file as it was named, which may be missing; NULL: none was read */
    int argc;            /* the command line, borrowed */
    char **argv;
    char dir[PATH_MAX]; /* where the program was started; relative names begin there */
    struct pv_coordset_relay relay;
    struct pv_coordset_limits limits;
    struct pv_scrapeset metrics;
    struct pv_coordset_store store;
    char state[PATH_MAX];
    char tls_cert[PATH_MAX]; /* both or neither; absolute once it is loaded */
    char tls_key[PATH_MAX];
};

/*
 * Reads the command line, then the configuration file (the default one only if it is there);
 * options of the command line stand. PV_ERR_MALFORMED with ret_error written: exit 2.
 */
PV_MUST_CHECK int pv_coordset_load(struct pv_coordset *ret_set, int argc, char **argv,
                                   char ret_error[static PV_COORDSET_ERROR_MAX]);
/* The same command line and today's file, for a program that may have left its directory since, and
 * for a command such as `networks`, which does without the file but where it needs the database.
 * Nothing else has changed when it fails. */
PV_MUST_CHECK int pv_coordset_reload(struct pv_coordset *ret_set, const struct pv_coordset *old,
                                     char ret_error[static PV_COORDSET_ERROR_MAX]);
/* A file by its absolute name. */
const char *pv_coordset_path(const struct pv_coordset *set, const char *file,
                             char ret_path[static PATH_MAX]);
/* The file's part alone, of the text of a file with this name. PV_ERR_MALFORMED, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_coordset_parse(struct pv_coordset *set, const char *file, struct pv_view text,
                                    char ret_error[static PV_COORDSET_ERROR_MAX]);
/* The port that nodes are told, unless a public address names its own. */
uint16_t pv_coordset_port(const struct pv_coordset *set);

/* For --help, without the program's name. */
extern const char pv_coordset_usage[];
