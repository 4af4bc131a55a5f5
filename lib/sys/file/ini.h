/* SPDX-License-Identifier: MIT */
/*
 * ini.h - configuration files: sections, "key = value" lines and comments (# or ; at the start of
 * a line or behind a section, " ;" behind a value), each with its line number. A # behind a value
 * is part of it, as of a password: an error, or else a note, says so.
 *
 * inih does the grammar; what it would do silently is refused here: lines it cuts, NUL bytes,
 * continuation lines, section names it shortens. Knows no keys: see daemon/settings.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_INI_ERROR_MAX = 296,      /* bytes of a message, with the NUL: one that names all sections */
    PV_INI_LINE_MAX = 198,       /* characters of a line; inih would cut a longer one */
    PV_INI_FILE_MAX = 256 << 10, /* bytes of a file that make sense to read */
};

/* One line, or the beginning of a section (key and value NULL). Valid during the call. */
struct pv_ini_item {
    const char *section; /* "" before the first one */
    const char *key;
    const char *value;
    unsigned line; /* from 1 */
};

struct pv_ini_error {
    unsigned line;
    char text[PV_INI_ERROR_MAX]; /* what is wrong with the line, without file name or secret */
};

/*
 * Calls fn for each section and each key, in order, until it fails; fn writes the reason into
 * error (cap bytes) then. PV_ERR_MALFORMED: *ret_error says where and why. PV_OK: it is a note
 * about the first value that seems to have a comment in it; line 0: there is none. PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_ini_parse(struct pv_view text,
                               int (*fn)(void *ctx, const struct pv_ini_item *item, char *error,
                                         size_t cap),
                               void *ctx, struct pv_ini_error *ret_error);
