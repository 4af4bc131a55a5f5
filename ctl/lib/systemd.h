/* SPDX-License-Identifier: MIT */
/*
 * systemd.h - p2pvpnd as a service of the system, where systemd runs and has its unit.
 */
#pragma once

#include <stdbool.h>

#include "base/pv.h"

/* Does systemd run here, and does it know this unit ("p2pvpnd.service")? */
bool pv_systemd_has(const char *unit);
/* Does the systemd of this user, who is logged in, know it? */
bool pv_systemd_has_own(const char *unit);
/* systemctl VERB UNIT, and waits for its end: "start" returns when p2pvpnd is ready.
 * PV_ERR_CLOSED: it failed, and has said why on standard error; -errno. */
PV_MUST_CHECK int pv_systemd_run(const char *verb, const char *unit);

/* Does systemctl say yes to the question "VERB UNIT", such as is-enabled? */
bool pv_systemd_is(const char *verb, const char *unit);
