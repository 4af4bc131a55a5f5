/* SPDX-License-Identifier: MIT */
/* cubic.c - the window of RFC 9438, in integers: bytes and milliseconds. */
#include "sys/stack/cubic.h"

#include <limits.h>

enum {
    FIRST = 10,       /* segments (RFC 6928) */
    LEAST = 2,        /* segments after a loss */
    KEPT = 7,         /* tenths of the window that a loss leaves: beta */
    CURVE_MS = 60000, /* the curve is as far above its level then as any window goes */
};

/* C is 0.4 segments a second cubed. */
#define CURVE_DIVISOR INT64_C(2500000000)

void pv_stack_cubic_begin(struct pv_stack_cubic *c, uint32_t mss, uint32_t max)
{
    *c = (struct pv_stack_cubic){
        .mss = mss, .max = max, .window = FIRST * mss, .slow_end = UINT32_MAX};
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint64_t cube_root(uint64_t x)
{
    uint64_t low = 0, high = 1 << 20;
    while (low < high) {
        const uint64_t middle = (low + high + 1) / 2;
        if (middle * middle * middle <= x)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void cubic_start_curve(struct pv_stack_cubic *c, uint32_t now)
{
    c->running = true;
    c->began = c->grown = now;
    c->reno = c->window;
    c->origin = c->before > c->window ? c->before : c->window;
    c->level =
        (uint32_t)cube_root((uint64_t)(c->origin - c->window) / c->mss * (uint64_t)CURVE_DIVISOR);
}

/* Returns what the curve says for a time since its start. */
static int64_t cubic_at(const struct pv_stack_cubic *c, uint32_t ms)
{
    int64_t t = (int64_t)ms - c->level;
    if (t > CURVE_MS)
        t = CURVE_MS;
    return c->origin + t * t * t / (CURVE_DIVISOR / c->mss);
}

static void cubic_follow_curve(struct pv_stack_cubic *c, uint32_t bytes, uint32_t round,
                               uint32_t now)
{
    /* While a program had nothing to send, the curve stood still. */
    if (c->running && now - c->grown > round + 200)
        c->began += now - c->grown;
    if (!c->running)
        cubic_start_curve(c, now);
    c->grown = now;
    const int64_t window = c->window;
    int64_t target = cubic_at(c, now - c->began + round);
    if (target > window + window / 2)
        target = window + window / 2;
    if (target > window)
        c->window += (uint32_t)((target - window) * bytes / window);
    /* Never slower than lwIP's way (RFC 9438 s4.3): 0.53 segments in a round trip. */
    c->reno += (uint32_t)((uint64_t)c->mss * bytes * 53 / 100 / (uint64_t)window);
    if (c->window < c->reno)
        c->window = c->reno;
}

void pv_stack_cubic_acked(struct pv_stack_cubic *c, uint32_t bytes, uint32_t round, uint32_t now)
{
    if (bytes > c->window)
        bytes = c->window;
    if (c->window < c->slow_end)
        c->window = least(c->window + bytes, c->slow_end);
    else
        cubic_follow_curve(c, bytes, round, now);
    c->window = least(c->window, c->max);
}

static uint32_t cubic_reduced(const struct pv_stack_cubic *c)
{
    const uint32_t kept = c->window / 10 * KEPT;
    return kept > LEAST * c->mss ? kept : LEAST * c->mss;
}

void pv_stack_cubic_lost(struct pv_stack_cubic *c)
{
    /* A second loss below the first one's window: others need room (RFC 9438 s4.7). */
    c->before = c->window < c->before ? c->window / 20 * 17 : c->window;
    c->window = c->slow_end = cubic_reduced(c);
    c->running = false;
}

void pv_stack_cubic_timed_out(struct pv_stack_cubic *c)
{
    c->before = c->window;
    c->slow_end = cubic_reduced(c);
    c->window = c->mss;
    c->running = false;
}

void pv_stack_cubic_idled(struct pv_stack_cubic *c)
{
    const uint32_t known = c->window / 4 * 3;
    if (c->window <= FIRST * c->mss)
        return;
    if (c->slow_end != UINT32_MAX && c->slow_end < known)
        c->slow_end = known;
    c->window = FIRST * c->mss;
    c->running = false;
}
