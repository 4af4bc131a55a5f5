/* SPDX-License-Identifier: MIT */
/*
 * reload.h - settings read again while p2pvpnd runs: all that is new is taken, but for what was
 * opened or fixed before it gave up its rights.
 */
#pragma once

#include "daemon/settings.h"

enum {
    PV_RELOAD_TEXT_MAX = 1024, /* bytes, with the NUL */
};

/* Names of keys, "[interface] port, [chat] keep"; "" = none. */
struct pv_reload_keys {
    char changed[PV_RELOAD_TEXT_MAX]; /* taken over */
    char waiting[PV_RELOAD_TEXT_MAX]; /* need a restart: *s has their old values */
    bool no_file;                     /* there is none, and that is fine: the defaults hold */
};

/*
 * Reads the file, and the files that it names, and only then changes *s. A negative status with
 * ret_error: nothing has changed, which a feature causes that works and would not with what it
 * names by now. s->faults has no longer what the caller added to it. optional: a file that does not
 * exist is an empty one.
 */
PV_MUST_CHECK int pv_reload_settings(struct pv_settings *s, const char *file, bool optional,
                                     char ret_error[static PV_SETTINGS_ERROR_MAX],
                                     struct pv_reload_keys *ret_keys);
