/* SPDX-License-Identifier: MIT */
/*
 * trace.h - a bounded ring of events with their time, per peer: why a path is what it is.
 */
#ifndef PV_TRACE_H
#define PV_TRACE_H

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
    struct pv_trace_event events[PV_TRACE_EVENTS];
    uint64_t count; /* ever added */
};

void pv_trace_add(struct pv_trace *t, pv_ns when, const char *fmt, ...) PV_PRINTF(3, 4);
/* How many events are kept; i = 0 is the oldest kept. */
size_t pv_trace_len(const struct pv_trace *t);
const struct pv_trace_event *pv_trace_at(const struct pv_trace *t, size_t i);

#endif /* PV_TRACE_H */
