/* SPDX-License-Identifier: MIT */
/* Marks of rows: BLAKE2s with a key over place, network and all bytes of a row, each with its
 * length. */
#include "coordinator/core/member/rowmark.h"

#include "base/bytes.h"
#include "crypto/ct.h"
#include "crypto/hash.h"

/* A label of its own keeps this key apart from everything else that follows from the same one. */
void pv_rowmark_key(const uint8_t *sk, uint8_t ret_key[static PV_ROWMARK_KEY_LEN])
{
    static const char label[] = "p2pvpn coordinator: mark of a stored row, 1";
    struct pv_blake2s s;
    pv_blake2s_init(&s, pv_view(sk, PV_SIGN_SEED_LEN), PV_ROWMARK_KEY_LEN);
    pv_blake2s_update(&s, label, sizeof(label));
    pv_blake2s_final(&s, ret_key);
}

static void add_bytes(struct pv_blake2s *s, struct pv_view v)
{
    uint8_t len[8];
    pv_store_be64(len, v.len);
    pv_blake2s_update(s, len, sizeof(len));
    if (v.len > 0)
        pv_blake2s_update(s, v.ptr, v.len);
}

static void make_mark(const uint8_t *key, const struct pv_storerow *row,
                      uint8_t ret_mark[static PV_STOREOP_MARK_LEN])
{
    struct pv_blake2s s;
    uint8_t place[16];
    pv_store_be64(place, row->epoch);
    pv_store_be64(place + 8, row->n);
    pv_blake2s_init(&s, pv_view(key, PV_ROWMARK_KEY_LEN), PV_STOREOP_MARK_LEN);
    pv_blake2s_update(&s, place, sizeof(place));
    pv_blake2s_update(&s, row->network, sizeof(row->network));
    add_bytes(&s, row->statement);
    add_bytes(&s, row->receipt);
    add_bytes(&s, row->foreign);
    pv_blake2s_final(&s, ret_mark);
}

void pv_rowmark_set(const uint8_t key[static PV_ROWMARK_KEY_LEN], struct pv_storerow *row)
{
    make_mark(key, row, row->mark);
    row->has_mark = true;
}

bool pv_rowmark_is_good(const uint8_t key[static PV_ROWMARK_KEY_LEN], const struct pv_storerow *row)
{
    uint8_t mark[PV_STOREOP_MARK_LEN];
    if (!row->has_mark)
        return false;
    make_mark(key, row, mark);
    return pv_ct_equal(mark, row->mark, sizeof(mark));
}
