/* SPDX-License-Identifier: MIT */
/*
 * io_app.h - what stands between this loop and a program that runs over the overlay: functions that
 * the loop calls, and what they may use of it. The listeners on the overlay and the connections
 * from this node's address are made here; their descriptors are handed on.
 */
#pragma once

#include "base/addr.h"
#include "base/log.h"
#include "base/pv.h"
#include "sys/proc/loop.h"

struct pv_io;
struct pv_part;

enum {
    PV_IO_APP_PORTS = 2,
};

struct pv_io_app {
    const struct pv_part *part;         /* the engine's; NULL: there is no program */
    uint16_t ports[PV_IO_APP_PORTS];    /* on the overlay: of streams APP1 and APP2 */
    const char *names[PV_IO_APP_PORTS]; /* of the ports, for the log */
    void *ctx;                          /* borrowed; the first argument of all functions */
    int (*start)(void *ctx, struct pv_io *io);
    /* Somebody connected to the port on the overlay: fd, taken. */
    void (*accepted)(void *ctx, uint16_t port, const struct pv_addr *remote, int fd, pv_ns now);
    /* The stream that the part had opened: fd, taken, or a status and -1. */
    void (*connected)(void *ctx, uint32_t sid, int status, int fd, pv_ns now);
    pv_ns (*timeout)(void *ctx, pv_ns now); /* at the end of each turn; when to call again */
    void (*end)(void *ctx);                 /* also without a start */
};

struct pv_loop *pv_io_app_loop(struct pv_io *io);
/* Tells the part (pv_engine_report()). */
void pv_io_app_report(struct pv_io *io, const void *report, pv_ns now);
