/* SPDX-License-Identifier: MIT */
/*
 * logsink.h - a struct pv_log that writes lines to standard error.
 *
 * "2026-11-20 21:03:11.042Z p2pvpnd: warn: text"; where standard error is systemd's journal, which
 * has times of its own, an entry with the fields MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, and PEER and
 * NETWORK where the line names one (systemd.journal-fields(7)), or, where the journal takes no
 * entries, "<4>text" with the syslog level that it understands (sd-daemon(3)). Lines are whole: one
 * write(2) each, so threads may share a log.
 *
 * A file PROGRAM.log that was opened for appending, as p2pvpnctl does for a daemon that it starts,
 * does not grow without end: at PV_LOGSINK_FILE_MAX bytes it becomes PROGRAM.log.1 and a new one
 * begins.
 */
#pragma once

#include <limits.h>
#include <pthread.h>

#include "base/log.h"

#define PV_LOGSINK_JOURNAL "/run/systemd/journal/socket"

enum {
    PV_LOGSINK_FILE_MAX =
        4 << 20, /* ours: weeks of a node's life, and no burden beside its state */
};

struct pv_logsink {
    const char *program; /* the name lines begin with; must outlive the log (a literal) */
    bool journal;
    int journal_fd;       /* takes entries; -1: lines only */
    char path[PATH_MAX];  /* the file that is replaced when it is full; "": none */
    uint64_t room;        /* bytes until then */
    pthread_mutex_t lock; /* of room, and of the moment between two files */
};

/* Fills sink and returns a log that uses it; sink must outlive the log. */
struct pv_log pv_logsink_open(struct pv_logsink *sink, const char *program,
                              enum pv_log_level level);
/* The same with another socket for the journal's entries. */
struct pv_log pv_logsink_open_at(struct pv_logsink *sink, const char *program,
                                 enum pv_log_level level, const char *journal_socket);
