/* SPDX-License-Identifier: MIT */
/* ask.h - asks a person for a passphrase, which is not shown while it is typed. */
#pragma once

#include "base/pv.h"

/*
 * Writes the prompt to the terminal of this process and reads one line from it into buf, without
 * its end. A signal that ends the process, Ctrl-C for example, does so after the terminal shows
 * again what is typed.
 *   PV_ERR_NOT_FOUND  there is no terminal
 *   PV_ERR_TRUNCATED  its end was reached before a line
 *   PV_ERR_NO_SPACE   the line is longer than cap - 1
 *   -errno
 * On failure buf is wiped.
 */
PV_MUST_CHECK int pv_ask_secret(const char *prompt, char *buf, size_t cap);
