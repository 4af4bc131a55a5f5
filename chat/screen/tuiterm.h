/* SPDX-License-Identifier: MIT */
/*
 * tuiterm.h - what the terminal of the chat screen can do: whether terminfo describes it, and
 * whether it knows links (OSC 8). A terminal without a description of its own gets that of xterm
 * where its name says that it understands xterm.
 */
#pragma once

#include "base/pv.h"

/* Returns true if terminfo describes this terminal, and the description moves the cursor. */
bool pv_tuiterm_is_described(const char *term);

/* Returns the name of the description to use: term itself, or xterm's for a terminal that follows
 * xterm. NULL: a screen cannot be drawn. is_described: pv_tuiterm_is_described(), or a test's. */
const char *pv_tuiterm_description(const char *term, bool (*is_described)(const char *term));

/* Returns true if the terminal is known to show OSC 8 links. Others get none: an old one may print
 * the sequence. get: getenv(), or a test's. */
bool pv_tuiterm_has_links(const char *(*get)(const char *name));
