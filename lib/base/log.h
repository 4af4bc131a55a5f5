/* SPDX-License-Identifier: MIT */
/*
 * log.h - where a module says what happened: a level and one line, a message and key=value pairs.
 *
 * Pure: a sink passed in decides where lines go (the shell's writes to standard error, the
 * simulator's to memory). Libraries log at debug only; the program logs what it decides.
 * Never a secret: no keys but public ones, no tokens.
 */
#pragma once

#include "base/pv.h"
#include "base/repeats.h"

enum pv_log_level {
    PV_LOG_ERROR,
    PV_LOG_WARN,
    PV_LOG_INFO,
    PV_LOG_DEBUG,
};

enum {
    PV_LOG_LINE_MAX = 512, /* bytes with the NUL; longer lines are cut */
};

struct pv_log {
    enum pv_log_level level; /* lines above it are not formatted */
    void (*sink)(void *ctx, enum pv_log_level level, const char *line);
    void *ctx;
};

/* fmt gives key=value pairs; the value of what= is the message and is put first:
 * "peer=%s what=\"not told\" why=\"%s\"" becomes "not told: peer=pi why=\"it is away\"".
 * Without what= a line stays as it is. log may be NULL: nothing is written. Of printf's conversions
 * it has %s, %.Ns, %.*s, %d, %i, %u, %x, %#x and %%, with l, ll and z. A text that %s brings behind
 * "=" or inside quotes cannot pass for keys: quotes in it become apostrophes, and a value of
 * several words gets quotes. Control characters and bytes that are no UTF-8 become '?': one call is
 * one line. */
void pv_log(const struct pv_log *log, enum pv_log_level level, const char *fmt, ...)
    PV_PRINTF(3, 4);
const char *pv_log_level_name(enum pv_log_level level); /* "error", "warn", "info", "debug" */
/* The same words. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_log_level_parse(const char *text, enum pv_log_level *ret_level);

/* --- a log that cannot be flooded ------------------------------------------------------------ */

/*
 * A log that cannot be flooded: errors and warnings pass at the pace of repeats.h, each
 * level by its own count, so that warnings which strangers cause hide no error; what was left out
 * is told by number. Other levels pass as they are. Pure: its owner says what time it is.
 */

struct pv_calmlog {
    struct pv_log log; /* for those who write; it borrows this struct */
    struct pv_log to;
    pv_ns now;
    struct pv_repeats repeats[PV_LOG_WARN + 1]; /* by level */
};

/* Sets up calm. Lines written to calm->log go on to a copy of `to`. calm must not be moved
 * afterwards. */
void pv_calmlog_init(struct pv_calmlog *calm, const struct pv_log *to, pv_ns now);
/* Sets the time of the lines that follow, and logs the number of suppressed lines when that is
 * due. */
void pv_calmlog_handle_timeout(struct pv_calmlog *calm, pv_ns now);
/* When something is due; PV_NEVER. */
pv_ns pv_calmlog_next_timeout(const struct pv_calmlog *calm);
