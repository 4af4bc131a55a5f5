/* SPDX-License-Identifier: MIT */
/*
 * store_ops.h - operations as the core would order them, and what a store has, for its tests.
 */
#pragma once

#include <sys/stat.h>

#include "base/bytes.h"
#include "coordinator/store/store.h"
#include "proto/roster/logst.h"
#include "tests/unit/coordinator/core/coord_world.h"

static struct cw *world; /* makes statements; its coordinator never starts */
static struct cw_keys invite;

/* Opens the store that a test is about, as it was left. */
static struct pv_coordstore *open_ok(void);

static inline void list_begin(void)
{
    world = cw_new(1);
    cw_make_network(world);
    invite = cw_keys_make(world);
}

/* A member statement of a node by the invite, as the core would hand it over. */
static inline struct pv_storeop *member_op(const struct cw_node *node, uint64_t n, uint64_t serial,
                                           uint32_t uses)
{
    static const uint8_t ip4[4] = {10, 66, 1, 1};
    struct pv_made made =
        cw_member_statement(world, &invite, node, (struct cw_claim){"bob", ip4, serial, 1});
    uint8_t receipt[PV_RECEIPT_LEN];
    struct pv_storeop *op = NULL;
    struct pv_storerow row = {
        .epoch = 7, .n = n, .statement = pv_made_view(&made), .receipt = pv_view(receipt, 170)};
    memset(receipt, (int)n, sizeof(receipt));
    memcpy(row.network, world->created.network_id, sizeof(row.network));
    pv_statement_hash(row.statement, row.hash);
    assert_ok(pv_storeop_new(PV_STOREOP_REGISTER, 1, 1000, &op));
    assert_ok(pv_storeop_add(op, &row));
    op->id = n;
    op->uses = uses;
    op->serial = serial;
    memcpy(op->invite, invite.pk, 32);
    memcpy(op->node, node->id.pk, 32);
    return op;
}

/* The statements of the created network in one PUT. */
static inline struct pv_storeop *network_op(uint64_t n)
{
    const struct pv_view st[4] = {
        pv_made_view(&world->created.network),
        pv_view(world->created.coordinators.raw, world->created.coordinators.len),
        pv_made_view(&world->created.admin), pv_made_view(&world->created.member)};
    uint8_t receipt[PV_RECEIPT_LEN] = {1};
    struct pv_storeop *op = NULL;
    assert_ok(pv_storeop_new(PV_STOREOP_PUT, 4, 4096, &op));
    op->id = n;
    for (uint64_t i = 0; i < 4; i++) {
        struct pv_storerow row = {.epoch = 7,
                                  .n = n + i,
                                  .statement = st[i],
                                  .receipt = pv_view(receipt, sizeof(receipt))};
        if (i == 3)
            row.foreign = pv_view(receipt, sizeof(receipt));
        memcpy(row.network, world->created.network_id, sizeof(row.network));
        pv_statement_hash(row.statement, row.hash);
        assert_ok(pv_storeop_add(op, &row));
    }
    return op;
}

/* The hash of entry n of a log: by says which log it is. */
static inline void entry_hash(uint8_t by, uint64_t n, uint8_t ret_hash[static 32])
{
    memset(ret_hash, 0, 32);
    ret_hash[0] = n == 0 ? 0 : by;
    pv_store_be64(ret_hash + 24, n);
}

/* Entries first to last of a log that leaves another one, whose entries are by `before`. */
static inline struct pv_storeop *append_op(uint8_t network, uint8_t before, uint8_t by,
                                           uint64_t first, uint64_t last)
{
    struct pv_storeop *op = NULL;
    uint8_t entry[PV_ENTRY_HEAD_LEN + 200] = {0};
    size_t n = last - first + 1;
    assert_ok(pv_storeop_new(PV_STOREOP_APPEND, n, n * sizeof(entry), &op));
    for (uint64_t i = first; i <= last; i++) {
        struct pv_storerow row = {
            .network = {network}, .n = i, .statement = pv_view(entry, sizeof(entry))};
        entry_hash(by, i, row.hash);
        entry_hash(i == first ? before : by, i - 1, entry);
        entry[PV_ENTRY_HEAD_LEN] = (uint8_t)i;
        assert_ok(pv_storeop_add(op, &row));
    }
    op->id = first;
    return op;
}

static inline struct pv_storeop_result run(struct pv_coordstore *s, struct pv_storeop *op)
{
    struct pv_storeop_result res;
    pv_coordstore_run(s, &op, &res, 1);
    assert_true(res.id == op->id);
    pv_storeop_free(op);
    return res;
}

struct seen {
    size_t n;
    uint64_t last;
    bool foreign;
    uint8_t hashes[256][PV_STATEMENT_HASH_LEN];
};

static inline int see(void *ctx, struct pv_storerow *row)
{
    struct seen *s = ctx;
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    assert_true(row->n > s->last);
    s->last = row->n;
    s->foreign |= row->foreign.len > 0;
    assert_int_equal(row->receipt.len, PV_RECEIPT_LEN);
    pv_statement_hash(row->statement, hash);
    assert_memory_equal(hash, row->hash, sizeof(hash));
    assert_true(s->n < PV_ARRAY_LEN(s->hashes));
    memcpy(s->hashes[s->n++], hash, sizeof(hash));
    return PV_OK;
}

static inline struct seen all_of(struct pv_coordstore *s)
{
    char error[PV_STOREOP_ERROR_MAX];
    struct seen seen = {0};
    assert_ok(pv_coordstore_load(s, see, &seen, error));
    return seen;
}

/* The entries of a network's log. */
struct chain {
    uint8_t network, by;
    uint64_t n, by_n; /* the last one, and the last one of this log */
};

static inline int see_entry(void *ctx, struct pv_storerow *row)
{
    struct chain *c = ctx;
    uint8_t hash[32];
    if (row->network[0] != c->network)
        return PV_OK;
    assert_true(row->n == c->n + 1);
    assert_int_equal(row->statement.len, PV_ENTRY_HEAD_LEN + 200);
    assert_int_equal(row->statement.ptr[PV_ENTRY_HEAD_LEN], (uint8_t)row->n);
    entry_hash(c->by, row->n, hash);
    c->n++;
    if (memcmp(hash, row->hash, sizeof(hash)) == 0)
        c->by_n = c->n;
    return PV_OK;
}

static inline struct chain chain_of(struct pv_coordstore *s, uint8_t network, uint8_t by)
{
    char error[PV_STOREOP_ERROR_MAX];
    struct chain c = {.network = network, .by = by};
    assert_ok(pv_coordstore_entries(s, see_entry, &c, error));
    return c;
}
