/* SPDX-License-Identifier: MIT */
/*
 * coord_signed.h - who and what fuzz_coord knows: keys that are the same in every run, so that the
 * corpus can name them; the network "home" as a coordinator that starts again finds it; and
 * "other", which nobody has yet. Signing takes longer than most runs, so it happens once.
 */
#pragma once

#include "coordinator/core/member/rowmark.h"
#include "crypto/dh.h"
#include "proto/roster/roster_make.h"
#include "tests/fuzz/fuzz_util.h"

#define WALL UINT64_C(1795161600)

struct keys {
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN], dh_sk[32], dh_pk[32];
};

static inline struct keys keys_of(uint8_t n)
{
    struct keys k;
    uint8_t seed[32] = {n, 77};
    pv_sign_keypair(seed, k.sk, k.pk);
    memcpy(k.dh_sk, seed, 32);
    k.dh_sk[0] = (uint8_t)(n << 3); /* X25519 does not look at the lowest three bits */
    pv_dh_public(k.dh_sk, k.dh_pk);
    return k;
}

struct signed_once {
    bool made;
    struct keys coordinator, root, alice, guest, invite, stranger;
    struct pv_created created, other;
    struct pv_made invitation;
    struct pv_storerow rows[5]; /* marked, as of a coordinator that starts again */
    uint8_t receipts[5][PV_RECEIPT_LEN];
};

static struct signed_once once;

static inline void sign_row(uint64_t n, struct pv_view statement)
{
    uint8_t key[PV_ROWMARK_KEY_LEN];
    uint8_t *receipt = once.receipts[n - 1];
    struct pv_receipt r = {.epoch = 1, .n = n, .time = WALL};
    struct pv_storerow *row = &once.rows[n - 1];
    *row = (struct pv_storerow){.epoch = 1, .n = n, .statement = statement};
    memcpy(row->network, once.created.network_id, sizeof(row->network));
    memcpy(r.network_id, row->network, sizeof(r.network_id));
    pv_statement_hash(statement, row->hash);
    memcpy(r.hash, row->hash, sizeof(r.hash));
    must(pv_receipt_make(&r, once.coordinator.sk, receipt) == PV_OK);
    row->receipt = pv_view(receipt, PV_RECEIPT_LEN);
    pv_rowmark_key(once.coordinator.sk, key);
    pv_rowmark_set(key, row);
}

static inline void sign_network(void)
{
    static const struct pv_hostport addr = {.host = "c.example", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct pv_st_invite inv = {.not_before = WALL, .not_after = WALL + 86400, .uses = 2};
    once.coordinator = keys_of(1);
    once.root = keys_of(2);
    once.alice = keys_of(3);
    once.guest = keys_of(4);
    once.invite = keys_of(5);
    once.stranger = keys_of(6);
    pv_coordlist_put(&lw, once.coordinator.pk, &addr, 1);
    struct pv_create create = {
        .root = pv_signer_sk(once.root.sk),
        .node_sk = once.alice.sk,
        .transport = once.alice.dh_pk,
        .network_name = "home",
        .node_name = "alice",
        .range = {.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16},
        .coordinators = pv_written(&lw),
        .wall = WALL,
    };
    must(pv_make_create(&create, &once.created) == PV_OK);
    create.root = pv_signer_sk(once.stranger.sk);
    create.network_name = "other";
    must(pv_make_create(&create, &once.other) == PV_OK);
    memcpy(inv.invite, once.invite.pk, 32);
    must(pv_make_invite(once.created.network_id, pv_signer_sk(once.alice.sk), &inv,
                        &once.invitation) == PV_OK);
    sign_row(1, pv_made_view(&once.created.network));
    sign_row(2, pv_view(once.created.coordinators.raw, once.created.coordinators.len));
    sign_row(3, pv_made_view(&once.created.admin));
    sign_row(4, pv_made_view(&once.created.member));
    sign_row(5, pv_made_view(&once.invitation));
    once.made = true;
}

/* Any of those whom the network knows, or a stranger. */
static inline const struct keys *key(uint8_t n)
{
    const struct keys *const all[] = {&once.alice, &once.guest, &once.root, &once.invite,
                                      &once.stranger};
    return all[n % PV_ARRAY_LEN(all)];
}
