/* SPDX-License-Identifier: MIT */
/*
 * instance.h - the nodes of this machine, one a network: each is a p2pvpnd of its own, with a
 * socket, state, settings, interface and unit that follow from its name.
 *
 * The first network's node has no name and the usual paths; `p2pvpnctl -n work` is the one with
 * /run/p2pvpn/work.sock, /var/lib/p2pvpn-work, /etc/p2pvpn/work.conf, p2p-work and
 * p2pvpnd@work.service.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "base/pv.h"
#include "sys/file/userdirs.h"

#define PV_INSTANCE_RUN     "/run/p2pvpn"
#define PV_INSTANCE_ETC     "/etc/p2pvpn"
#define PV_INSTANCE_GROUP   "p2pvpn"  /* p2pvpnd gives its socket to it */
#define PV_INSTANCE_DEFAULT "default" /* how lists and -n call the node without a name */

enum {
    /* with "p2p-" before it an interface's name (IFNAMSIZ), and a NUL */
    PV_INSTANCE_NAME_BUF = PV_USERDIRS_NET,
    PV_INSTANCE_PATH_BUF = 48, /* any of its paths, with the NUL */
    PV_INSTANCE_WEB_BUF = 108, /* sun_path, unix(7) */
    PV_INSTANCE_MAX = 64,      /* on one machine; more are not listed */
};

struct pv_instance {
    char name[PV_INSTANCE_NAME_BUF];   /* "": the first network's */
    bool is_usual;                     /* its socket is where units have it, so the rest is known */
    bool is_user;                      /* of `p2pvpnd --user`: it has no state, config, unit here */
    char socket[PATH_MAX];             /* p2pvpnd's control socket */
    char state[PV_INSTANCE_PATH_BUF];  /* keys and database */
    char config[PV_INSTANCE_PATH_BUF]; /* settings; the default's need not exist */
    char tun[PV_INSTANCE_PATH_BUF];    /* interface */
    char unit[PV_INSTANCE_PATH_BUF];   /* of systemd */
};

/* The machine's node of this name: 1 to 11 of a-z, 0-9 and '-' (not at the ends), but not "p2pvpnd"
 * or "coordinator", whose files lie beside; "default" and "" are the first network's.
 * PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_instance_named(const char *name, struct pv_instance *ret);
/* The node of this name that commands mean: this user's own where it runs or ever has (there is its
 * state), else the machine's. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_instance_find(const char *name, struct pv_instance *ret);
/* The node behind a socket: one of the above, or a p2pvpnd that somebody started with paths of his
 * own. PV_ERR_LIMIT: the path is too long. */
PV_MUST_CHECK int pv_instance_behind(const char *socket, struct pv_instance *ret);

/* Has anybody made it here: are there settings, or a socket? True where that cannot be known. */
bool pv_instance_exists(const struct pv_instance *i);
/* Has its socket another group, though there is the right one? It gives it that when it begins. */
bool pv_instance_ignores_group(const struct pv_instance *i);
/* How root makes that group, which the static program lacks; NULL: it is there. */
const char *pv_instance_group_todo(void);
/* Returns true if the group lists this user. A login from before that does not have the group. */
bool pv_instance_group_has_user(void);
/* The names of all that have a socket in run or settings in etc, "" among them, in alphabetical
 * order. Returns how many. */
size_t pv_instance_list(const char *run, const char *etc,
                        char ret_names[static PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF]);

/* The same of this user's own, which have a socket or ever ran: pv_instance_find() has the last
 * word. */
size_t pv_instance_list_own(char ret_names[static PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF]);

/* The place of the page that is kept, [web] listen of its settings; "": it has none, or this user
 * may not read them. */
void pv_instance_web(const struct pv_instance *i, char ret_place[static PV_INSTANCE_WEB_BUF]);
/* Makes the settings file that its unit wants, with a comment only, unless it is there. -errno. */
PV_MUST_CHECK int pv_instance_make_config(const struct pv_instance *i);
