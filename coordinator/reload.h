/* SPDX-License-Identifier: MIT */
/*
 * reload.h - settings as the core is told them, and read again while the coordinator runs: what may
 * change beside its sockets, and the names of what has changed.
 */
#pragma once

#include "coordinator/core/coord.h"
#include "coordinator/settings/settings.h"
#include "coordinator/url.h"

enum {
    PV_COORDRELOAD_TEXT_MAX = 1024, /* bytes of names, with the NUL */
};

/* Settings as the core is told them. Not to be copied: it points into itself, and into the settings
 * that it was made of. */
struct pv_coordtold {
    struct pv_coordurl_list stun, tls;
    struct pv_netlimits_table net_limits;
    struct pv_coord_policy policy;
};
/* At the start and by a reload. */
void pv_coordtold_make(const struct pv_coordset *set, struct pv_coordtold *ret_told);

struct pv_coordreload {
    struct pv_coordset set; /* with the old values of what waits */
    struct pv_coordtold told;
    /* Names of keys, "[limits] members, open"; "": none. */
    char changed[PV_COORDRELOAD_TEXT_MAX]; /* taken over */
    char waiting[PV_COORDRELOAD_TEXT_MAX]; /* need a restart */
};

/* Reads command line and file again. Not to be copied: it points into itself. PV_ERR_MALFORMED:
 * ret_error, and nothing has changed. */
PV_MUST_CHECK int pv_coordreload_read(struct pv_coordreload *ret_reload,
                                      const struct pv_coordset *old,
                                      char ret_error[static PV_COORDSET_ERROR_MAX]);
/* Adds a name to a list of them, once. */
void pv_coordreload_name(char list[static PV_COORDRELOAD_TEXT_MAX], const char *name);
