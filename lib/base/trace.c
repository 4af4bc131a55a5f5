/* SPDX-License-Identifier: MIT */
/*
 * trace.c - the last few decisions of a machine in words, for `trace` and for failed tests.
 */
#include "base/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FIRST_EVENTS = 2, /* ours: a member that comes and goes */
};

void pv_trace_done(struct pv_trace *t)
{
    free(t->events);
    *t = (struct pv_trace){.events = NULL};
}

/* Doubles the ring while nothing has been overwritten, so that all events keep their places. */
static void grow(struct pv_trace *t)
{
    size_t cap = t->cap == 0 ? FIRST_EVENTS : 2 * t->cap;

    if (t->count != t->cap || t->cap == PV_TRACE_EVENTS)
        return;
    struct pv_trace_event *events = realloc(t->events, cap * sizeof(*events));
    if (events == NULL)
        return;
    t->events = events;
    t->cap = cap;
}

void pv_trace_add(struct pv_trace *t, pv_ns when, const char *fmt, ...)
{
    va_list ap;

    grow(t);
    if (t->cap == 0)
        return;
    struct pv_trace_event *e = &t->events[t->count++ % t->cap];

    e->when = when;
    va_start(ap, fmt);
    if (vsnprintf(e->text, sizeof(e->text), fmt, ap) < 0)
        e->text[0] = '\0';
    va_end(ap);
}

size_t pv_trace_len(const struct pv_trace *t)
{
    return t->count < t->cap ? (size_t)t->count : t->cap;
}

const struct pv_trace_event *pv_trace_at(const struct pv_trace *t, size_t i)
{
    return &t->events[(t->count - pv_trace_len(t) + i) % t->cap];
}
