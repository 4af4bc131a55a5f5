/* SPDX-License-Identifier: MIT */
/*
 * seen.h - what this user was told on a terminal, so that news is told once: a line each in
 * $XDG_STATE_HOME/p2pvpn/p2pvpnctl.seen (userdirs.h). One user's reading hides nothing from another
 * one.
 */
#pragma once

#include "sys/file/userdirs.h"

enum {
    PV_SEEN_BYTES = 32768, /* ours: of the file; the oldest lines make room */
};

struct pv_seen {
    char path[PV_USERDIRS_BUF]; /* "": this user has no place for it */
    char text[PV_SEEN_BYTES];   /* each line behind a newline, the last one with one behind it */
    size_t len;
};

/* The lines of before; none when the file cannot be read. */
void pv_seen_load(struct pv_seen *s);
bool pv_seen_has(const struct pv_seen *s, const char *line);
/* line: without a newline, at most 200 bytes; a longer one is not remembered. */
void pv_seen_add(struct pv_seen *s, const char *line);
/* On a disk that takes nothing it is told again the next time. */
void pv_seen_save(const struct pv_seen *s);
