/* SPDX-License-Identifier: MIT */
/*
 * phoneseen.h - the in-band message (type SEEN) by which a member asks the gateway of a phone when
 * that phone agreed keys last, and the gateway's answer.
 *
 *   question:  1, phone pk 32
 *   answer:    0, phone pk 32, seconds since then 4 (2^32 - 1: never)
 *
 * Bytes behind these are ignored. Thread-safe.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_PHONESEEN_PK_LEN = 32,
    PV_PHONESEEN_MAX = 1 + PV_PHONESEEN_PK_LEN + 4, /* bytes of body */
};
#define PV_PHONESEEN_NEVER UINT32_MAX

struct pv_phoneseen {
    bool asks;
    uint8_t phone[PV_PHONESEEN_PK_LEN]; /* identity key of the phone */
    uint32_t ago;                       /* of an answer: seconds, or PV_PHONESEEN_NEVER */
};

void pv_phoneseen_build(const struct pv_phoneseen *s, uint8_t buf[static PV_PHONESEEN_MAX],
                        size_t *ret_len);
/* PV_ERR_TRUNCATED; PV_ERR_MALFORMED: neither question nor answer. */
PV_MUST_CHECK int pv_phoneseen_parse(struct pv_view body, struct pv_phoneseen *ret_s);
