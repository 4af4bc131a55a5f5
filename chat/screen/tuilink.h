/* SPDX-License-Identifier: MIT */
/*
 * tuilink.h - addresses of the web in texts of others. Pure.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_TUILINK_MAX = 2000, /* bytes of an address; terminals ignore longer ones (VTE: 2,083) */
};

/* Finds the next "http://" or "https://" at or behind *at. True: it is the *ret_len bytes at *at.
 * An address has only letters, digits and marks of RFC 3986, so nothing in it ends an escape
 * sequence or commands a terminal; what it shows is where it leads. A full stop, a comma or a
 * bracket that ends a sentence is no part of it. */
bool pv_tuilink_next(const char *text, size_t *at, size_t *ret_len);
