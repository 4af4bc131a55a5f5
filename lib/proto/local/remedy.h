/* SPDX-License-Identifier: MIT */
/*
 * remedy.h - commands of p2pvpnctl in texts, made right for the network that they are about: typed
 * as they stand they would act on this machine's first network.
 *
 * A command to be typed here stands in backticks: `p2pvpnctl why bob`, `sudo p2pvpnctl up`. One for
 * another machine, where the network may be the first, stands behind "there " or "'s ":
 * "there `p2pvpnctl exit offer`", "an admin's `p2pvpnctl admit bob`".
 */
#pragma once

#include <jansson.h>

#include "base/remedy.h"

/* Copies text into dst, as much of it as fits, with the NUL; each command that is to be typed here
 * gets the flag behind "p2pvpnctl", such as "-n work" ("": none). One that has a flag there keeps
 * it, so a text that was made right before stays as it is. own: the node is of `p2pvpnd --user`, so
 * such commands lose their "sudo", which would ask root's p2pvpnd. */
void pv_remedy_name(const char *flag, bool own, const char *text, char *dst, size_t cap);
/* The same as the first in all of a reply of p2pvpnd's that p2pvpnd composes; what members wrote
 * stays. A text for which there is no memory stays, too. */
void pv_remedy_name_reply(const char *flag, bool own, json_t *reply);
