/* SPDX-License-Identifier: MIT */
/*
 * trace.c - the last few decisions of a machine in words, for `trace` and for failed tests.
 */
#include "base/trace.h"

#include <stdarg.h>
#include <stdio.h>

void pv_trace_add(struct pv_trace *t, pv_ns when, const char *fmt, ...)
{
    struct pv_trace_event *e = &t->events[t->count++ % PV_TRACE_EVENTS];
    va_list ap;

    e->when = when;
    va_start(ap, fmt);
    if (vsnprintf(e->text, sizeof(e->text), fmt, ap) < 0)
        e->text[0] = '\0';
    va_end(ap);
}

size_t pv_trace_len(const struct pv_trace *t)
{
    return t->count < PV_TRACE_EVENTS ? (size_t)t->count : PV_TRACE_EVENTS;
}

const struct pv_trace_event *pv_trace_at(const struct pv_trace *t, size_t i)
{
    return &t->events[(t->count - pv_trace_len(t) + i) % PV_TRACE_EVENTS];
}
