/* SPDX-License-Identifier: MIT */
/*
 * harmless.h - answers of a process that may have been taken over, or of whoever listens at its
 * socket, made fit for a terminal: as values, for texts that are printed, or as JSON in ASCII.
 */
#pragma once

#include <jansson.h>

#include "base/pv.h"

/* Makes every string in value harmless (pv_harmless_text()), at any depth. A newline stays in
 * strings named "text", which are what people write and pages of metrics, and becomes U+FFFD in all
 * others. A member whose key is not harmless goes: none of ours is like that. Borrowed strings of
 * value are not good any more. PV_ERR_NOMEM: part of it may be as it was. */
PV_MUST_CHECK int pv_harmless_json(json_t *value);

/* One line as pv_ctlapi_dump() makes it, in printable ASCII alone: every other character of a
 * string is escaped (RFC 8259 s7). NULL without memory. free() it. */
char *pv_harmless_dump(const json_t *obj, size_t *ret_len);
