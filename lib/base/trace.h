/* SPDX-License-Identifier: MIT */
/*
 * trace.h - a bounded ring of events with their time, per peer: why a path is what it is. It grows
 * with what is added, since most peers of a large network have nothing to tell.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_TRACE_EVENTS = 64, /* newest kept */
    PV_TRACE_TEXT = 136,  /* bytes with the NUL: two IPv6 addresses, and why; longer text is cut */
};

struct pv_trace_event {
    pv_ns when;
    char text[PV_TRACE_TEXT];
};

/* A zeroed ring is empty. */
struct pv_trace {
    struct pv_trace_event *events; /* owned */
    size_t cap;                    /* of events; less than PV_TRACE_EVENTS while it may grow */
    uint64_t count;                /* ever added */
};

/* Frees its events; it is empty again. */
void pv_trace_done(struct pv_trace *t);
/* Adds an event. Without memory it replaces the oldest event, or is dropped. */
void pv_trace_add(struct pv_trace *t, pv_ns when, const char *fmt, ...) PV_PRINTF(3, 4);
/* How many events are kept; i = 0 is the oldest kept. */
size_t pv_trace_len(const struct pv_trace *t);
const struct pv_trace_event *pv_trace_at(const struct pv_trace *t, size_t i);
