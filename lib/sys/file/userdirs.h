/* SPDX-License-Identifier: MIT */
/*
 * userdirs.h - where `p2pvpnd --user` and the p2pvpnctl of that user have their files: the XDG base
 * directories (specification 0.8), which both programs find by themselves.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_USERDIRS_BUF = 256, /* bytes of a path, with the NUL */
    PV_USERDIRS_NET = 12,  /* of a network's name on this machine, with the NUL */
};

struct pv_userdirs {
    char state[PV_USERDIRS_BUF];  /* $XDG_STATE_HOME/p2pvpn, or ...-work */
    char config[PV_USERDIRS_BUF]; /* $XDG_CONFIG_HOME/p2pvpn/p2pvpnd.conf, or work.conf */
    char run[PV_USERDIRS_BUF];    /* directory of the sockets: $XDG_RUNTIME_DIR/p2pvpn */
    char socket[PV_USERDIRS_BUF]; /* in it: p2pvpnd.sock, or work.sock */
    /* Of p2pvpnctl, for all networks: */
    char ctl_config[PV_USERDIRS_BUF]; /* $XDG_CONFIG_HOME/p2pvpn/p2pvpnctl.conf */
    char seen[PV_USERDIRS_BUF];       /* $XDG_STATE_HOME/p2pvpn/p2pvpnctl.seen */
};

/* A word that -n takes: 1 to 11 of a-z, 0-9 and '-', not at the ends, and none that files beside
 * have (p2pvpnd, default, coordinator). */
bool pv_userdirs_is_net(const char *name, size_t len);
/* The network whose p2pvpnd of this machine's has this control socket, as /run/p2pvpn/work.sock;
 * false: the first one's, or one that somebody chose. */
bool pv_userdirs_net_behind(const char *socket, char ret_net[static PV_USERDIRS_NET]);
/*
 * The files of this process' user, in network net ("": the first). Without the variables they are
 * ~/.local/state, ~/.config and /run/user/UID; where that is missing, run is below the state.
 * sudo may have left another user's variables: XDG_RUNTIME_DIR counts only when it belongs to this
 * user, who alone may write to it; HOME and the others where what there is of them belongs to this
 * user, or to root and nobody else may write to it. Of root's all directories above, too.
 * PV_ERR_NOT_FOUND: no home directory. PV_ERR_LIMIT: a path is too long. PV_ERR_MALFORMED: net.
 */
PV_MUST_CHECK int pv_userdirs_find(const char *net, struct pv_userdirs *ret);
/* Returns true if the home directory of this process' user is dir or below it; false also if there
 * is none. */
bool pv_userdirs_holds_home(const char *dir);
