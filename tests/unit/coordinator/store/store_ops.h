/* SPDX-License-Identifier: MIT */
/*
 * store_ops.h - operations as the core would order them, and what a store has, for its tests.
 */
#pragma once

#include <sys/stat.h>

#include "coordinator/store/store.h"
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
