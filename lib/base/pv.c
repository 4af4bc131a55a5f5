/* SPDX-License-Identifier: MIT */
/*
 * pv.c - texts of status codes, views, random numbers.
 */
#include "base/pv.h"

#include <errno.h>
#include <string.h>

const char *pv_strstatus(int status)
{
    switch (status) {
    case PV_OK:
        return "ok";
    case PV_ERR_AGAIN:
        return "nothing to do";
    case PV_ERR_NOT_FOUND:
        return "not found";
    case PV_ERR_TRUNCATED:
        return "truncated";
    case PV_ERR_MALFORMED:
        return "malformed";
    case PV_ERR_NO_SPACE:
        return "buffer too small";
    case PV_ERR_AUTH:
        return "authentication failed";
    case PV_ERR_REPLAY:
        return "replayed";
    case PV_ERR_STATE:
        return "not possible in this state";
    case PV_ERR_LIMIT:
        return "limit reached";
    case PV_ERR_NOMEM:
        return "out of memory";
    case PV_ERR_EXISTS:
        return "already taken";
    case PV_ERR_REFUSED:
        return "refused";
    case PV_ERR_EXPIRED:
        return "expired or used up";
    case PV_ERR_CLOSED:
        return "connection closed";
    case PV_ERR_TIMEOUT:
        return "timed out";
    case PV_ERR_UNSUPPORTED:
        return "not supported";
    case PV_ERR_CRYPTO:
        return "crypto library failed";
    case -EMFILE: /* the name that was to be opened is not the cause */
        return "too many open files: allow 256 or more (LimitNOFILE= in the unit, ulimit -n in a "
               "shell)";
    case -ENFILE:
        return "too many open files on this machine: raise the sysctl fs.file-max, or end programs";
    default:
        return status < 0 && status > -1000 ? strerror(-status) : "unknown status";
    }
}

const char *pv_unless_exhausted(int status, const char *remedy)
{
    const bool exhausted = status == -EMFILE || status == -ENFILE || status == -ENOMEM ||
                           status == -ENOBUFS || status == PV_ERR_NOMEM;
    return exhausted ? "" : remedy;
}

bool pv_view_equal(struct pv_view a, struct pv_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

void pv_rng_fill(const struct pv_rng *rng, void *dst, size_t len)
{
    rng->fill(rng->ctx, dst, len);
}

uint32_t pv_rng_u32(const struct pv_rng *rng)
{
    uint32_t v;
    rng->fill(rng->ctx, (uint8_t *)&v, sizeof(v));
    return v;
}

uint64_t pv_rng_u64(const struct pv_rng *rng)
{
    uint64_t v;
    rng->fill(rng->ctx, (uint8_t *)&v, sizeof(v));
    return v;
}

/* Rejection sampling: "modulo bound" alone would favour small values. */
uint32_t pv_rng_below(const struct pv_rng *rng, uint32_t bound)
{
    uint32_t threshold = (0u - bound) % bound; /* 2^32 mod bound: draws below it would bias */
    for (;;) {
        uint32_t v = pv_rng_u32(rng);
        if (v >= threshold)
            return v % bound;
    }
}
