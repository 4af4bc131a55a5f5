/* SPDX-License-Identifier: MIT */
/* settings_values.h - values of p2pvpnd.conf that have units. Thread-safe. */
#ifndef PV_SETTINGS_VALUES_H
#define PV_SETTINGS_VALUES_H

#include "base/pv.h"

/* "500M": bytes, with K, M, G or T for powers of 1024; at most max. */
PV_MUST_CHECK bool pv_settings_size_parse(const char *text, uint64_t max, uint64_t *ret_bytes);
/* "12h", "90d", "52w": seconds; the word never: 0. */
PV_MUST_CHECK bool pv_settings_age_parse(const char *text, const char *never,
                                         uint64_t *ret_seconds);

#endif /* PV_SETTINGS_VALUES_H */
