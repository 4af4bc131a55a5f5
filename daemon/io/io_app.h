/* SPDX-License-Identifier: MIT */
/*
 * io_app.h - the shell of the program that runs over the overlay in this process (node/config.h
 * app): its functions, which the loop calls, and what it may use of the loop.
 */
#pragma once

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
    /* Carries out an order of the part. */
    void (*order)(void *ctx, const void *order, pv_ns now);
    /* Takes fd, which a control client passed with its next request. */
    void (*passed)(void *ctx, uint32_t sid, int fd, pv_ns now);
    pv_ns (*timeout)(void *ctx, pv_ns now); /* when to call again */
    void (*end)(void *ctx);                 /* also without a start */
};

struct pv_loop *pv_io_app_loop(struct pv_io *io);
/* Tells the part (pv_engine_report()). */
void pv_io_app_report(struct pv_io *io, const void *report, pv_ns now);
/* Takes the descriptor of a stream out of the loop; the engine is told nothing. -1: no such. */
int pv_io_app_take(struct pv_io *io, uint32_t sid);
/* Takes fd, which goes out with the next byte of this control client. */
void pv_io_app_pass(struct pv_io *io, uint32_t sid, int fd);
