/* SPDX-License-Identifier: MIT */
/* qr.h - a QR code on a terminal or on paper, for what is long to type. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Returns true if this was built for libqrencode, and that is installed. */
bool pv_qr_is_there(void);
/* Draws the text with block characters (UTF-8) if that takes at most so many columns. False: it
 * does not fit, or libqrencode is missing. The text may be a secret: what is
 * made of it is wiped. */
bool pv_qr_print(const char *text, unsigned columns, FILE *out);
/* The room that the code of a text of so many bytes takes on a terminal; 0: no code holds so many.
 */
struct pv_qr_size {
    unsigned columns, lines;
};
struct pv_qr_size pv_qr_size(size_t len);
/* Writes the code as a picture (SVG). False: that failed, or libqrencode is missing. */
bool pv_qr_write_svg(const char *text, FILE *out);
/* Returns true if the environment (LC_ALL, LC_CTYPE, LANG) says that text is UTF-8. */
bool pv_term_is_utf8(void);
/* Returns false if the environment names another character set. The locale C names none: a server
 * without locales has it, and the terminal in front of its user draws UTF-8. */
bool pv_term_may_be_utf8(void);
