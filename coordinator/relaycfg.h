/* SPDX-License-Identifier: MIT */
/*
 * relaycfg.h - the configuration of the relay's core: the settings, the passwords of their files,
 * and the addresses of this machine.
 */
#pragma once

#include "coordinator/core/turn/turns.h"
#include "coordinator/keys.h"
#include "coordinator/settings/settings.h"

struct pv_relaycfg; /* opaque */

/* Reads every password file. PV_ERR_MALFORMED (empty, too long, unreadable: ret_error),
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_relaycfg_new(struct pv_relaycfg **ret_cfg, const struct pv_coordset *set,
                                  char ret_error[static PV_COORDKEYS_ERROR_MAX]);
/* The part that may change while it runs. */
void pv_relaycfg_policy(const struct pv_coordset *set, struct pv_turns_policy *ret_policy);
const struct pv_turns_config *pv_relaycfg_get(const struct pv_relaycfg *cfg);
struct pv_relaycfg *pv_relaycfg_free(struct pv_relaycfg *cfg); /* wipes; NULL is fine */
