/* SPDX-License-Identifier: MIT */
/*
 * logsink.h - a struct pv_log that writes lines to standard error.
 *
 * "p2pvpnd: warn: text"; under systemd (JOURNAL_STREAM set) with the syslog level prefix that
 * the journal understands instead of the word. Lines are whole: one write(2) each, so threads may
 * share a log.
 */
#ifndef PV_LOGSINK_H
#define PV_LOGSINK_H

#include "base/log.h"

/* program: the name lines begin with; must outlive the log (a literal). */
struct pv_logsink {
    const char *program;
    bool journal;
};

/* Fills sink and returns a log that uses it; sink must outlive the log. */
struct pv_log pv_logsink_open(struct pv_logsink *sink, const char *program,
                              enum pv_log_level level);

#endif /* PV_LOGSINK_H */
