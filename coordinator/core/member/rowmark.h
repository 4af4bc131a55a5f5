/* SPDX-License-Identifier: MIT */
/*
 * rowmark.h - the mark of a stored row: a MAC by which a coordinator knows at its next start that
 * it verified this very row itself, so that a start costs a hash a row and not two signatures.
 *
 * Somebody who can write the database but has not the coordinator's key cannot make a mark, and
 * damage to a row breaks its mark. A row without a right mark is verified like any other.
 */
#pragma once

#include "coordinator/core/member/storeop.h"

enum {
    PV_ROWMARK_KEY_LEN = 32,
};

/* The key of marks, from the coordinator's secret key (PV_SIGN_SK_LEN bytes). */
void pv_rowmark_key(const uint8_t *sk, uint8_t ret_key[static PV_ROWMARK_KEY_LEN]);
/* Marks a row. */
void pv_rowmark_set(const uint8_t key[static PV_ROWMARK_KEY_LEN], struct pv_storerow *row);
/* Has the row a mark, and is it right? */
PV_MUST_CHECK bool pv_rowmark_is_good(const uint8_t key[static PV_ROWMARK_KEY_LEN],
                                      const struct pv_storerow *row);
