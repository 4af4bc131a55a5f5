/* SPDX-License-Identifier: MIT */
/*
 * statement_fixture.h - the bytes of one statement, and what holds of those of every type: their
 * encoding stays, and damage to them is noticed.
 */
#pragma once

#include <stdio.h>

#include "proto/roster/kinds.h"
#include "tests/unit/test_util.h"

struct made {
    uint8_t buf[PV_STATEMENT_MAX + 64];
    size_t len;
};

static inline int sign_statement(const struct pv_statement *st, struct made *m)
{
    const uint8_t seed[PV_SIGN_SEED_LEN] = {1, 0, 0, 1};
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    pv_sign_keypair(seed, sk, pk);
    return pv_statement_make(st, pv_signer_sk(sk), NULL, m->buf, sizeof(m->buf), &m->len);
}

static inline struct made make_signed(const struct pv_statement *st)
{
    struct made m;
    assert_int_equal(sign_statement(st, &m), PV_OK);
    return m;
}

static inline void assert_unmade(const struct pv_statement *st)
{
    struct made m;
    assert_int_equal(sign_statement(st, &m), PV_ERR_MALFORMED);
}

/* Encodings are final: a hash changes only when somebody breaks one. */
static inline void assert_hash(const struct made *m, const char *want)
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    char hex[2 * sizeof(hash) + 1];
    pv_statement_hash(pv_view(m->buf, m->len), hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    assert_string_equal(hex, want);
}

static inline void assert_truncation_is_refused(const struct made *m)
{
    struct pv_statement got;
    for (size_t len = 0; len < m->len; len++) {
        uint8_t *cut = malloc(len == 0 ? 1 : len);
        assert_non_null(cut);
        memcpy(cut, m->buf, len);
        assert_int_not_equal(pv_statement_decode(pv_view(cut, len), &got), PV_OK);
        free(cut);
    }
}

static inline void assert_trailing_byte_is_refused(struct made *m)
{
    struct pv_statement got;
    m->buf[m->len] = 0;
    assert_int_not_equal(pv_statement_decode(pv_view(m->buf, m->len + 1), &got), PV_OK);
}

static inline void assert_flipped_bits_are_noticed(struct made *m)
{
    struct pv_statement got;
    for (size_t bit = 0; bit < m->len * 8; bit += 3) {
        m->buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (pv_statement_decode(pv_view(m->buf, m->len), &got) == PV_OK)
            assert_int_equal(pv_statement_verify(&got), PV_ERR_AUTH);
        m->buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}
