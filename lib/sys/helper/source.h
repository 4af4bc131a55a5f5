/* SPDX-License-Identifier: MIT */
/*
 * source.h - a file that a client offers, read by a process of the client (usher.h) for the daemon.
 *
 * A *source* is a socket to the porter that holds the file. For each transfer the daemon opens a
 * *reading*: a stream to a reader, a process that reads nothing but this file. Only that reader
 * waits for the file.
 *
 *   daemon -> reader   struct pv_source_request
 *   reader -> daemon   what = INFO: struct pv_source_info
 *                      what = READ: chunks up to the range's or the file's end; each a length
 *                      (uint32_t, at most PV_SOURCE_CHUNK_MAX), then that many bytes. 0: the file
 * ends here. PV_SOURCE_FAILED: it cannot be read.
 *
 * Both ends are the same program, so structs travel as they are.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_SOURCE_INFO = 1,
    PV_SOURCE_READ = 2,
    PV_SOURCE_CHUNK_MAX = 256 * 1024, /* bytes */
};
#define PV_SOURCE_FAILED 0xffffffffu

struct pv_source_info {
    uint64_t is_file; /* 0: not a regular file that can be read; the rest means nothing */
    uint64_t size;
    uint64_t dev, ino, mtime_ns;
};

struct pv_source_request {
    uint64_t what;
    uint64_t offset, len; /* of READ */
};

/* The porter's end. */
struct pv_source {
    int file; /* the client's */
    int own;  /* readable: call pv_source_serve() */
};

/* In the porter: makes a source of an open file, if it is a regular one that can be read.
 * *ret_daemon: the daemon's end. PV_ERR_REFUSED, -errno. */
PV_MUST_CHECK int pv_source_new(int file, int *ret_daemon, int *ret_own);
/* In the porter: starts the reader that the daemon asks for, which keeps life open; -1: nothing.
 * PV_ERR_CLOSED: the daemon has let go of the source. -errno. */
PV_MUST_CHECK int pv_source_serve(const struct pv_source *source, int life);

/* In the daemon: what is known of a source that has just come. False: it is none. */
bool pv_source_take(int source, struct pv_source_info *ret_info);
/* In the daemon: *ret_fd is a stream that does not block. PV_ERR_CLOSED: the porter has ended.
 * -errno. */
PV_MUST_CHECK int pv_source_open(int source, int *ret_fd);
