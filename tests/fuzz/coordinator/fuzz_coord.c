/* SPDX-License-Identifier: MIT */
/*
 * The coordinator's core against one client that says anything. The first byte chooses who the
 * client is (bit 0: member alice, else a guest), whether the store fails (bit 1) and whether it
 * offers hybrid keys (bit 2), by what is no key (bit 3). The rest is lines: "@N" lets N seconds go
 * by, everything else is one message. Keys are fixed, so that the corpus can name them. Every
 * request gets at most one answer, and all ends when it is told to.
 */
#include <stdlib.h>
#include <string.h>

#include "coordinator/core/coord.h"
#include "coordinator/core/member/rowmark.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "proto/control/control.h"
#include "proto/roster/roster_make.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/coordinator/core/copies_mem.h"
#include "tests/unit/kem_double.h"

enum {
    CONN = 7, /* the id of the connection */
};

#define WALL UINT64_C(1795161600)

struct keys {
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN], dh_sk[32], dh_pk[32];
};

static struct keys keys_of(uint8_t n)
{
    struct keys k;
    uint8_t seed[32] = {n, 77};
    pv_sign_keypair(seed, k.sk, k.pk);
    memcpy(k.dh_sk, seed, 32);
    pv_dh_public(k.dh_sk, k.dh_pk);
    return k;
}

/* What is signed is the same in every run, and made once: that takes longer than most runs. */
struct signed_once {
    bool made;
    struct keys coordinator, root, alice, guest, invite;
    struct pv_created created;
    struct pv_made invitation;
    struct pv_storerow rows[5]; /* marked, as of a coordinator that starts again */
    uint8_t receipts[5][PV_RECEIPT_LEN];
};

struct world {
    uint64_t random;
    struct pv_rng rng;
    struct pv_coord *coord;
    struct pv_control *client;
    bool store_fails, closed;
    pv_ns now;
    size_t n_answered;
    struct copymem copies;
};

static struct signed_once once;

static void sign_row(uint64_t n, struct pv_view statement)
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

static void sign_network(void)
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
    pv_coordlist_put(&lw, once.coordinator.pk, &addr, 1);
    const struct pv_create create = {
        .root_sk = once.root.sk,
        .node_sk = once.alice.sk,
        .transport = once.alice.dh_pk,
        .network_name = "home",
        .node_name = "alice",
        .range = {.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16},
        .coordinators = pv_written(&lw),
        .wall = WALL,
    };
    must(pv_make_create(&create, &once.created) == PV_OK);
    memcpy(inv.invite, once.invite.pk, 32);
    must(pv_make_invite(once.created.network_id, once.alice.sk, &inv, &once.invitation) == PV_OK);
    sign_row(1, pv_made_view(&once.created.network));
    sign_row(2, pv_view(once.created.coordinators.raw, once.created.coordinators.len));
    sign_row(3, pv_made_view(&once.created.admin));
    sign_row(4, pv_made_view(&once.created.member));
    sign_row(5, pv_made_view(&once.invitation));
    once.made = true;
}

static void load_network(struct world *w)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(once.rows); i++) {
        struct pv_storerow row = once.rows[i]; /* loading may write into it */
        must(pv_coord_load(w->coord, &row) == PV_OK);
    }
}

/* --- moving bytes -------------------------------------------------------------------------- */

static void check_answer(struct world *w, struct pv_view text)
{
    struct pv_ctl_msg *m = NULL;
    must(pv_ctl_parse(text, &m) == PV_OK);
    if (m->type == PV_CTL_UNKNOWN || m->type == PV_CTL_INVALID || m->kind == PV_CTL_REQUEST)
        abort();
    w->n_answered += m->kind == PV_CTL_ANSWER ? 1 : 0;
    if (m->type == PV_CTL_HYBRID) /* what follows has other keys, or the next bytes end it all */
        must(pv_control_accept(w->client, m->u.hybrid.mlkem768) == PV_OK);
    pv_ctl_msg_free(m);
}

static bool move_once(struct world *w)
{
    struct pv_coord_ready ready;
    struct pv_storeop *op = NULL;
    struct pv_view out = pv_control_out(w->client);
    struct pv_view text;
    size_t used = 0;
    bool moved = false;
    if (!w->closed && out.len > 0 && pv_coord_wants_bytes(w->coord, CONN)) {
        pv_coord_handle_bytes(w->coord, CONN, out, w->now);
        pv_control_wrote(w->client, out.len);
        moved = true;
    }
    while (pv_coord_poll_ready(w->coord, &ready, w->now) == PV_OK)
        w->closed |= ready.kind == PV_COORD_READY_CLOSE;
    while (pv_coord_poll_job(w->coord, &op) == PV_OK) {
        struct pv_storeop_result res = {.id = op->id, .status = w->store_fails ? -28 : PV_OK};
        if (!w->store_fails)
            (void)copymem_run(&w->copies, op, &res);
        pv_coord_handle_job(w->coord, &res, w->now);
        free(res.collected);
        pv_storeop_free(op);
        moved = true;
    }
    out = pv_coord_out(w->coord, CONN);
    if (out.len > PV_CONTROL_OUT_MAX)
        abort();
    if (out.len > 0) {
        must(pv_control_handle_bytes(w->client, out, &used) == PV_OK);
        pv_coord_wrote(w->coord, CONN, used, w->now);
        if (pv_control_poll_message(w->client, &text) == PV_OK)
            check_answer(w, text);
        moved = true;
    }
    return moved;
}

static void pump(struct world *w)
{
    while (move_once(w))
        ;
}

/* hybrid: it offers hybrid keys; spoilt: by what is no key of a KEM. */
static void say_hello(struct world *w, bool member, bool hybrid, bool spoilt)
{
    const struct keys *k = member ? &once.alice : &once.guest;
    struct pv_ctl_msg m = {.type = PV_CTL_HELLO, .id = 1};
    uint8_t hash[PV_CTL_HASH_LEN];
    char text[4096];
    uint8_t ek[PV_KEM_EK_LEN];
    size_t len = 0;
    m.u.hello = (struct pv_ctl_hello){
        .v = 1, .has_network = true, .role = member ? PV_CTL_MEMBER : PV_CTL_GUEST};
    memcpy(m.u.hello.network, once.created.network_id, sizeof(m.u.hello.network));
    memcpy(m.u.hello.node, k->pk, sizeof(m.u.hello.node));
    must(pv_control_handshake_hash(w->client, hash) == PV_OK);
    must(pv_ctl_hello_sign(m.u.hello.sig, hash, k->sk) == PV_OK);
    if (hybrid) {
        must(pv_control_offer(w->client, &kem_double, &w->rng, ek) == PV_OK);
        ek[900] ^= spoilt;
        m.u.hello.mlkem768 = pv_view(ek, sizeof(ek));
    }
    must(pv_ctl_build(&m, text, sizeof(text), &len) == PV_OK);
    must(pv_control_send(w->client, pv_view(text, len)) == PV_OK);
}

static void say_line(struct world *w, struct pv_view line)
{
    if (line.len > 1 && line.ptr[0] == '@') {
        w->now += PV_S(line.ptr[1] % 64u);
        pv_coord_handle_timeout(w->coord, w->now);
    } else if (line.len > 0 && line.len <= PV_CONTROL_TEXT_MAX) {
        (void)!pv_control_send(w->client, line);
    }
    pump(w);
}

static void start(struct world *w, uint8_t flags)
{
    static const uint8_t secret[PV_CTL_SECRET_LEN] = {9};
    struct pv_addr src = pv_addr4(192, 0, 2, 1, 1);
    uint8_t coordinator_dh[32];
    w->rng = (struct pv_rng){.fill = fuzz_fill_mix, .ctx = &w->random};
    w->now = PV_S(100);
    w->store_fails = (flags & 2) != 0;
    const struct pv_coord_config cfg = {
        .sk = once.coordinator.sk, .secret = secret, .kem = &kem_double};
    must(pv_coord_new(&w->coord, &cfg, &w->rng, NULL) == PV_OK);
    load_network(w);
    pv_coord_set_wall(w->coord, WALL * 1000000, w->now);
    must(pv_sign_pk_to_dh(once.coordinator.pk, coordinator_dh) == PV_OK);
    must(pv_control_new_client(&w->client, (flags & 1) != 0 ? once.alice.dh_sk : once.guest.dh_sk,
                               coordinator_dh, &w->rng) == PV_OK);
    must(pv_coord_accept(w->coord, CONN, &src, w->now) == PV_OK);
    pump(w);
    say_hello(w, (flags & 1) != 0, (flags & 4) != 0, (flags & 8) != 0);
    pump(w);
    if (w->n_answered != 1)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct world w; /* large; wholly new each time */
    size_t lines = 1;
    if (len == 0)
        return 0;
    must(pv_crypto_init() == PV_OK);
    if (!once.made)
        sign_network();
    memset(&w, 0, sizeof(w));
    start(&w, data[0]);
    data++;
    len--;
    while (len > 0) {
        const uint8_t *end = memchr(data, '\n', len);
        size_t n = end == NULL ? len : (size_t)(end - data);
        say_line(&w, pv_view(data, n));
        lines++;
        data += n < len ? n + 1 : n;
        len -= n < len ? n + 1 : n;
    }
    if (w.n_answered > lines)
        abort();
    pv_coord_shutdown(w.coord, w.now);
    pump(&w);
    if (!w.closed)
        abort();
    pv_control_free(w.client);
    pv_coord_free(w.coord);
    copymem_done(&w.copies);
    return 0;
}
