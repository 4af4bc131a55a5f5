/* SPDX-License-Identifier: MIT */
/*
 * harmless.h - text of others made harmless for a terminal (Unicode TR 36 s2.5). No state;
 * thread-safe.
 */
#pragma once

#include "base/pv.h"

/* Returns true if a terminal acts on this character, or if it hides or reorders the text around
 * it. */
bool pv_char_is_harmful(uint32_t cp);
/*
 * Replaces control characters (C0, DEL, C1), characters that change the direction of text or are
 * invisible, and bytes that are not UTF-8 by U+FFFD, and a newline by the text newline; a tab
 * stays. Returns the length it wrote, without the NUL; what does not fit is cut at a character.
 * cap > 0; 3 * text.len + 1 is enough if newline has at most three bytes.
 */
size_t pv_harmless_text(struct pv_view text, const char *newline, char *dst, size_t cap);
/* The same with four blanks behind each newline, so that no line of a message can pose as another
 * message. */
size_t pv_harmless_show(struct pv_view text, char *dst, size_t cap);
