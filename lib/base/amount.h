/* SPDX-License-Identifier: MIT */
/* amount.h - sizes and ages as settings have them. */
#pragma once

#include "base/pv.h"

/* "500M", "2g", "1048576": bytes, from 1 to max. Returns false if text is none. */
bool pv_size_parse(const char *text, uint64_t max, uint64_t *ret_bytes);
/* "12h", "90d", "52w": seconds; the word never: 0. Returns false if text is neither. */
bool pv_age_parse(const char *text, const char *never, uint64_t *ret_seconds);
