/* SPDX-License-Identifier: MIT */
/*
 * ctlconf.h - p2pvpnctl.conf, a user's own settings of p2pvpnctl (man p2pvpnctl): each command that
 * has some reads its section. One thread.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_CTLCONF_ERROR = 700, /* bytes of what is wrong with the file, with the NUL */
};

/* Takes one key of the section; valid during the call. PV_ERR_MALFORMED, and error says why. */
typedef int pv_ctlconf_fn(void *ctx, const char *key, const char *value, char *error, size_t cap);

/* Calls take for each key of section in text; file: its name, for error. Keys of other sections are
 * for other commands. PV_ERR_MALFORMED: error says where and why. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlconf_parse(const char *section, pv_ctlconf_fn *take, void *ctx,
                                   const char *file, struct pv_view text,
                                   char error[static PV_CTLCONF_ERROR]);
/* The same of the user's file: $XDG_CONFIG_HOME/p2pvpn/p2pvpnctl.conf, else below ~/.config. None
 * is PV_OK. Also -errno of the file. */
PV_MUST_CHECK int pv_ctlconf_load(const char *section, pv_ctlconf_fn *take, void *ctx,
                                  char error[static PV_CTLCONF_ERROR]);
