/* SPDX-License-Identifier: MIT */
/*
 * spare.h - descriptors kept in reserve, so that a program whose others are all in use by strangers
 * still lets its operator in. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
    PV_SPARE_FDS = 4, /* ours: a client, what it asks to be read, and what that opens */
};

struct pv_spare { /* zeroed at first */
    int fds[PV_SPARE_FDS];
    size_t n;
    int model; /* copies of this descriptor are kept */
};

/* Keeps descriptors from now on, as many as there are; model stays open until pv_spare_done(). */
void pv_spare_open(struct pv_spare *s, int model);
/* Lets them go for what is opened next. False: there are none, or all are lent. */
bool pv_spare_lend(struct pv_spare *s);
/* Keeps as many again as can be had; to be called when something was closed. */
void pv_spare_refill(struct pv_spare *s);
void pv_spare_done(struct pv_spare *s);
