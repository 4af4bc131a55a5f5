/* SPDX-License-Identifier: MIT */
/* sshlines.h - lists of public keys (sshkeys.h) as lines in answers to clients. */
#pragma once

#include <jansson.h>

#include "proto/roster/sshkeys.h"

/* The lines of a list that was checked. NULL: no memory. */
static inline json_t *pv_sshlines(struct pv_view list)
{
    json_t *lines = json_array();
    struct pv_view key;
    while (pv_sshkeys_next(&list, &key))
        if (json_array_append_new(lines, json_string(PV_SSHKEY_STR(key))) < 0) {
            json_decref(lines);
            return NULL;
        }
    return lines;
}
