/* SPDX-License-Identifier: MIT */
/*
 * regulars.h - addresses from which members came lately, in a table of fixed size: whoever comes
 * from one of them has places of its own (coordinator/core/places.h), and answers of its own from
 * the STUN server (stuns.h), which strangers cannot take.
 *
 * An address is an IPv4 address or an IPv6 /64. Pure; one thread.
 */
#pragma once

#include "base/addr.h"
#include "base/map.h"
#include "base/pv.h"

enum {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_REGULARS_SETS = 16, /* cleared in each run */
#else
    PV_REGULARS_SETS = 4096, /* ours: sets of four: 16,384 addresses, 400 KiB */
#endif
    PV_REGULARS_WAYS = 4,
    PV_REGULARS_KEEP_S = 7 * 86400, /* ours: seconds after which an address is forgotten */
};

struct pv_regular {
    uint8_t net[9]; /* family, then the address; zero: free */
    pv_ns seen;
};

struct pv_regulars {
    struct pv_map map; /* only its hash key is used */
    struct pv_regular *slots;
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_regulars_init(struct pv_regulars *t, const struct pv_rng *rng);
void pv_regulars_done(struct pv_regulars *t);
/* A member has shown from here who it is. When the address's set is full, the one of the four that
 * was seen longest ago is forgotten. */
void pv_regulars_note(struct pv_regulars *t, const struct pv_addr *source, pv_ns now);
PV_MUST_CHECK bool pv_regulars_has(const struct pv_regulars *t, const struct pv_addr *source,
                                   pv_ns now);
