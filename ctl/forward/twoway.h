/* SPDX-License-Identifier: MIT */
/*
 * twoway.h - carries bytes between two ends in both directions: what one reads the other gets, its
 * end too, and an end that takes nothing keeps the other from being read.
 *
 * An end is a socket, or two descriptors such as standard input and output. While nothing moves it
 * needs no memory. One thread.
 */
#pragma once

#include "base/pv.h"
#include "sys/proc/loop.h"

struct pv_twoway; /* opaque */

struct pv_twoway_end {
    int in, out;    /* the same for a socket; its own from now on, also on failure */
    bool shared;    /* the descriptors are others' too and may block: written in small pieces */
    bool is_waited; /* when the other end has ended, what this one still says is waited for */
    bool of_stack;  /* lwIP's (sys/net/inside.h): its end does not say by itself how it came */
};

struct pv_twoway_config {
    struct pv_loop *loop;
    uint8_t *buf; /* cap bytes to work with, the owner's; any number of twoways share it */
    size_t cap;
    struct pv_twoway_end end[2];
    struct pv_view first; /* bytes for end[1] that were read from end[0] before */
    /* Called once, when both directions have ended; it may free the twoway. status: PV_OK, or the
     * -errno by which the end `at` broke off; the other end, where it is a TCP connection, has been
     * broken off, too. */
    void (*done)(void *ctx, int at, int status);
    void *ctx;
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_twoway_new(struct pv_twoway **ret_twoway, const struct pv_twoway_config *cfg);
/* Before done() it breaks both off. NULL is fine; returns NULL. */
struct pv_twoway *pv_twoway_free(struct pv_twoway *t);

/* Closes a TCP connection so that the other side takes it for broken off, not for ended. */
void pv_twoway_break(int fd);
