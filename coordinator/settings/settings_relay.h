/* SPDX-License-Identifier: MIT */
/*
 * settings_relay.h - the relay's part of coordinator.conf: [relay] and [turn-user NAME] (DESIGN 9).
 * Parsing only; password files are read by the program.
 */
#pragma once

#include <limits.h>

#include "base/addr.h"
#include "coordinator/core/turn/turns.h"
#include "sys/file/ini.h"

struct pv_coordset_user {
    char name[PV_TURNAUTH_USER_BUF];
    char password_file[PV_INI_LINE_MAX + 1];
};

struct pv_coordset_relay {
    bool off;                  /* --no-relay, or enabled = no */
    uint16_t port_lo, port_hi; /* 0: the default range */
    uint32_t bandwidth;        /* bytes a second and direction; 0: no limit */
    uint32_t per_user;         /* allocations of a static user; 0: default */
    uint32_t doors;            /* of members; 0: none */
    uint32_t doors_per_net;    /* of them one network's; 0: default */
    struct pv_prefix allow[PV_TURNS_ALLOW_MAX];
    size_t n_allow;
    struct pv_coordset_user users[PV_TURNS_USERS_MAX];
    size_t n_users;
    bool off_given, ports_given; /* by the command line, which stands */
    unsigned seen;               /* keys of [relay] that were given */
};

/* --relay-ports LO-HI, and ports in the file: 1024-65535, LO <= HI. PV_ERR_MALFORMED; error. */
PV_MUST_CHECK int pv_coordset_relay_ports(struct pv_coordset_relay *r, const char *what,
                                          const char *value, char *error, size_t cap);
/* Is this section the relay's? */
bool pv_coordset_relay_is(const char *section);
/* One line of such a section, or its beginning. PV_ERR_MALFORMED; error. */
PV_MUST_CHECK int pv_coordset_relay_item(struct pv_coordset_relay *r,
                                         const struct pv_ini_item *item, char *error, size_t cap);
/* At the end of the file: every user has a password file. PV_ERR_MALFORMED; error. */
PV_MUST_CHECK int pv_coordset_relay_end(const struct pv_coordset_relay *r, char *error, size_t cap);
