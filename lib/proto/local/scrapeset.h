/* SPDX-License-Identifier: MIT */
/*
 * scrapeset.h - what [metrics] says in the configuration of p2pvpnd and of the coordinator,
 * checked. Parsing only.
 */
#ifndef PV_SCRAPESET_H
#define PV_SCRAPESET_H

#include "base/addr.h"
#include "base/pv.h"

struct pv_scrapeset {
    struct pv_addr listen; /* PV_AF_NONE: nothing is served */
    bool remote;           /* it need not be this machine's loopback */
    bool seen_listen, seen_remote;
};

/* One line. PV_ERR_MALFORMED: *ret_why is a sentence, static. */
PV_MUST_CHECK int pv_scrapeset_take(struct pv_scrapeset *set, const char *key, const char *value,
                                    const char **ret_why);
/* At the end of the file. PV_ERR_MALFORMED, *ret_why. */
PV_MUST_CHECK int pv_scrapeset_check(const struct pv_scrapeset *set, const char **ret_why);

#endif /* PV_SCRAPESET_H */
