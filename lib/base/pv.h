/* SPDX-License-Identifier: MIT */
/*
 * pv.h - the vocabulary every module shares: status codes, time, views, randomness.
 *
 * Nothing here reads a clock, a socket or an entropy source; those arrive as arguments.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A result that the caller must check. Every function that can fail has this attribute. */
#define PV_MUST_CHECK __attribute__((warn_unused_result))
/* printf-like: the format string is argument f, its values start at argument a. */
#define PV_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* Status: 0 or negative. -1..-999 is -errno (lib/sys only); codes of our own start at -1000. */
enum pv_status {
    PV_OK = 0,
    PV_ERR_AGAIN = -1000,       /* nothing (more) to hand out now; not a failure */
    PV_ERR_NOT_FOUND = -1001,   /* the thing asked for is absent */
    PV_ERR_TRUNCATED = -1002,   /* input ends before the field it promises */
    PV_ERR_MALFORMED = -1003,   /* input breaks the grammar of its specification */
    PV_ERR_NO_SPACE = -1004,    /* output buffer too small; output left untouched */
    PV_ERR_AUTH = -1005,        /* signature, integrity or tag check failed */
    PV_ERR_REPLAY = -1006,      /* counter already seen or below the window */
    PV_ERR_STATE = -1007,       /* call not legal in this state: caller's mistake */
    PV_ERR_LIMIT = -1008,       /* a documented table limit or quota was reached */
    PV_ERR_NOMEM = -1009,       /* allocation failed */
    PV_ERR_EXISTS = -1010,      /* taken by somebody else (name, address, key) */
    PV_ERR_REFUSED = -1011,     /* understood, authentic, and not allowed */
    PV_ERR_EXPIRED = -1012,     /* used up or outside its time */
    PV_ERR_CLOSED = -1013,      /* the other side closed the connection */
    PV_ERR_TIMEOUT = -1014,     /* no answer in time */
    PV_ERR_UNSUPPORTED = -1015, /* a version, type or suite that is not spoken here */
    PV_ERR_CRYPTO = -1016,      /* a crypto library failed (out of memory, missing algorithm) */
};

/* A short English phrase for a status of ours ("not found") or an errno. For a limit on open files
 * it also says how to raise the limit. */
const char *pv_strstatus(int status);
/* Returns remedy, or "" if this process or machine has run out of something: then another file or
 * address instead of the named one would not help. */
const char *pv_unless_exhausted(int status, const char *remedy);

/* Time (CLOCK_BOOTTIME) or duration in nanoseconds. Never wall time. */
typedef uint64_t pv_ns;
#define PV_NEVER ((pv_ns)UINT64_MAX) /* "no deadline" */
#define PV_US(x) (1000u * (pv_ns)(x))
#define PV_MS(x) (1000000u * (pv_ns)(x))
#define PV_S(x)  (1000000000u * (pv_ns)(x))

/* Borrowed bytes: ptr[0..len). Valid as long as the buffer it was cut from. */
struct pv_view {
    const uint8_t *ptr;
    size_t len; /* bytes */
};

static inline struct pv_view pv_view(const void *ptr, size_t len)
{
    return (struct pv_view){.ptr = ptr, .len = len};
}

/* Same length and bytes. Not for secrets: see pv_ct_equal(). */
bool pv_view_equal(struct pv_view a, struct pv_view b);

/* Randomness as a capability: the daemon passes the kernel's, tests pass a seeded one. */
struct pv_rng {
    void (*fill)(void *ctx, uint8_t *dst, size_t len); /* cannot fail */
    void *ctx;
};

void pv_rng_fill(const struct pv_rng *rng, void *dst, size_t len);
uint32_t pv_rng_u32(const struct pv_rng *rng);
uint64_t pv_rng_u64(const struct pv_rng *rng);
/* Uniform in [0, bound); bound > 0. Rejection sampling, so no bias. */
uint32_t pv_rng_below(const struct pv_rng *rng, uint32_t bound);

#define PV_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline pv_ns pv_min_ns(pv_ns a, pv_ns b)
{
    return a < b ? a : b;
}
