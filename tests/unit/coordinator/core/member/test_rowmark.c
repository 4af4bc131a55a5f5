/* SPDX-License-Identifier: MIT */
#include "coordinator/core/member/rowmark.h"
#include "tests/unit/coordinator/core/coord_world.h"

/* A network with an invite in the store of w; *ret_row is that invite's row. */
static struct cw *make_world(struct pv_storerow **ret_row, uint8_t ret_key[PV_ROWMARK_KEY_LEN])
{
    struct cw *w = cw_home(3);
    (void)cw_invite(w, cw_member(w, &w->alice), 1);
    struct pv_storeop *op = w->rows[w->n_rows - 1];
    *ret_row = &op->rows[op->n_rows - 1];
    pv_rowmark_key(w->cfg.sk, ret_key);
    return w;
}

static uint64_t count_after_restart(struct cw *w)
{
    cw_restart(w);
    return cw_stats(w).statements;
}

PV_TEST(every_row_that_the_coordinator_stores_has_a_mark)
{
    struct pv_storerow *row = NULL;
    uint8_t key[PV_ROWMARK_KEY_LEN];
    struct cw *w = make_world(&row, key);
    for (size_t i = 0; i < w->n_rows; i++)
        for (size_t k = 0; k < w->rows[i]->n_rows; k++)
            assert_true(pv_rowmark_is_good(key, &w->rows[i]->rows[k]));
    key[0] ^= 1; /* another coordinator */
    assert_false(pv_rowmark_is_good(key, row));
}

PV_TEST(any_change_breaks_it)
{
    struct pv_storerow *row = NULL;
    uint8_t key[PV_ROWMARK_KEY_LEN];
    (void)make_world(&row, key);
    struct pv_storerow changed = *row;
    changed.n++;
    assert_false(pv_rowmark_is_good(key, &changed));
    changed = *row;
    changed.network[3] ^= 1;
    assert_false(pv_rowmark_is_good(key, &changed));
    changed = *row;
    changed.foreign = row->receipt;
    assert_false(pv_rowmark_is_good(key, &changed));
    changed = *row;
    changed.receipt.len--;
    assert_false(pv_rowmark_is_good(key, &changed));
    changed = *row;
    changed.has_mark = false;
    assert_false(pv_rowmark_is_good(key, &changed));
}

/* The signature of the row's receipt is wrong: only a mark can make it be believed, and it is
 * looked at when there is none. */
PV_TEST(a_marked_row_is_not_verified_again)
{
    struct pv_storerow *row = NULL;
    uint8_t key[PV_ROWMARK_KEY_LEN], *bytes;
    struct cw *w = make_world(&row, key);
    const uint64_t all = cw_stats(w).statements;
    bytes = (uint8_t *)(uintptr_t)row->receipt.ptr;
    bytes[row->receipt.len - 1] ^= 1;
    assert_int_equal(count_after_restart(w), all - 1);
    pv_rowmark_set(key, row);
    assert_int_equal(count_after_restart(w), all);
    row->mark[0] ^= 1;
    assert_int_equal(count_after_restart(w), all - 1);
}

/* A record whose signature is wrong names another network, so it stands alone. */
PV_TEST(a_marked_record_is_not_verified_again)
{
    struct pv_storerow *row = NULL;
    uint8_t key[PV_ROWMARK_KEY_LEN], *bytes;
    struct cw *w = make_world(&row, key);
    row = &w->rows[0]->rows[0];
    bytes = (uint8_t *)(uintptr_t)row->statement.ptr;
    bytes[row->statement.len - 1] ^= 1;
    pv_statement_hash(row->statement, row->hash);
    memcpy(row->network, row->hash, sizeof(row->network));
    pv_rowmark_set(key, row);
    cw_restart(w);
    assert_int_equal(cw_stats(w).networks, 1);
    row->mark[0] ^= 1;
    cw_restart(w);
    assert_int_equal(cw_stats(w).networks, 0);
}

/* Without a mark a row is verified once, and marked from then on. */
PV_TEST(a_row_without_a_mark_gets_one)
{
    struct pv_storerow *row = NULL;
    uint8_t key[PV_ROWMARK_KEY_LEN];
    struct cw *w = make_world(&row, key);
    memset(row->mark, 0, sizeof(row->mark));
    row->has_mark = false;
    cw_restart(w);
    assert_true(pv_rowmark_is_good(key, row));
}
