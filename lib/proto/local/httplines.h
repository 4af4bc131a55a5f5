/* SPDX-License-Identifier: MIT */
/*
 * httplines.h - lines and words of the head of an HTTP request (RFC 9112), as far as it has come.
 *
 * Pure; views into the caller's bytes.
 */
#pragma once

#include <string.h>

#include "base/pv.h"

/* The next line without its end; false: it has not come whole. A recipient may take a bare LF for
 * an end (RFC 9112 s2.2). */
static inline bool pv_http_line(struct pv_view *rest, struct pv_view *ret_line)
{
    const uint8_t *lf = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);
    if (lf == NULL)
        return false;
    size_t len = (size_t)(lf - rest->ptr);
    size_t cr = len > 0 && lf[-1] == '\r' ? 1 : 0;
    *ret_line = pv_view(rest->ptr, len - cr);
    *rest = pv_view(lf + 1, rest->len - len - 1);
    return true;
}

/* Up to the blank; what is left begins behind it. */
static inline struct pv_view pv_http_word(struct pv_view *rest)
{
    const uint8_t *blank = rest->len == 0 ? NULL : memchr(rest->ptr, ' ', rest->len);
    size_t len = blank == NULL ? rest->len : (size_t)(blank - rest->ptr);
    struct pv_view word = pv_view(rest->ptr, len);
    size_t gone = blank == NULL ? len : len + 1;
    *rest = pv_view(rest->ptr + gone, rest->len - gone);
    return word;
}
