/* SPDX-License-Identifier: MIT */
/*
 * The coordinator's core against one client that says anything. The first byte chooses who the
 * client is (bit 0: member alice, else a guest), whether the store fails (bit 1) and whether it
 * offers hybrid keys (bit 2), by what is no key (bit 3), and whether the core's owner works on what
 * newcomers prove (bit 6). The rest is lines: "@N" lets N seconds go by, everything else is one
 * message. Keys are fixed, so that the corpus can name them. Every
 * request gets at most one answer, and all ends when it is told to.
 */
#include <stdio.h>
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
    FIRST = 7,         /* the id of the first connection */
    CONNECTS_MAX = 24, /* more of them reach nothing new, and are most of a long run */
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
    k.dh_sk[0] = (uint8_t)(n << 3); /* X25519 does not look at the lowest three bits */
    pv_dh_public(k.dh_sk, k.dh_pk);
    return k;
}

/* What is signed is the same in every run, and made once: that takes longer than most runs. */
struct signed_once {
    bool made;
    struct keys coordinator, root, alice, guest, invite, stranger;
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
    uint64_t conn;
    const struct keys *who; /* the client */
    uint64_t serial;        /* of its statements: the next is newer */
    bool reserved;
    struct pv_ctl_reservation place; /* what it was promised last */
    size_t n_connected;              /* after the first; each says hello */
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
    once.stranger = keys_of(6);
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
    struct pv_coord_proof *proof;
    struct pv_view out = pv_control_out(w->client);
    struct pv_view text;
    size_t used = 0;
    bool moved = false;
    if (!w->closed && out.len > 0 && pv_coord_wants_bytes(w->coord, w->conn)) {
        pv_coord_handle_bytes(w->coord, w->conn, out, w->now);
        pv_control_wrote(w->client, out.len);
        moved = true;
    }
    while (pv_coord_poll_proof(w->coord, &proof) == PV_OK) {
        pv_coord_proof_run(proof);
        pv_coord_handle_proof(w->coord, proof, w->now);
        moved = true;
    }
    while (pv_coord_poll_ready(w->coord, &ready, w->now) == PV_OK)
        w->closed |= ready.kind == PV_COORD_READY_CLOSE && ready.id == w->conn;
    while (pv_coord_poll_job(w->coord, &op) == PV_OK) {
        struct pv_storeop_result res = {.id = op->id, .status = w->store_fails ? -28 : PV_OK};
        if (!w->store_fails)
            (void)copymem_run(&w->copies, op, &res);
        pv_coord_handle_job(w->coord, &res, w->now);
        free(res.collected);
        pv_storeop_free(op);
        moved = true;
    }
    out = pv_coord_out(w->coord, w->conn);
    if (out.len > PV_CONTROL_OUT_MAX)
        abort();
    if (out.len > 0) {
        must(pv_control_handle_bytes(w->client, out, &used) == PV_OK);
        pv_coord_wrote(w->coord, w->conn, used, w->now);
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
static void say(struct world *w, struct pv_ctl_msg m)
{
    static char text[PV_CTL_TEXT_MAX];
    size_t len = 0;
    if (m.id == 0)
        m.id = 1000 + w->serial;
    if (pv_ctl_build(&m, text, sizeof(text), &len) == PV_OK)
        (void)!pv_control_send(w->client, pv_view(text, len));
}

static void say_hello(struct world *w, enum pv_ctl_role role)
{
    struct pv_ctl_msg m = {.type = PV_CTL_HELLO, .id = 1};
    uint8_t hash[PV_CTL_HASH_LEN];
    m.u.hello = (struct pv_ctl_hello){.v = 1, .has_network = true, .role = role};
    memcpy(m.u.hello.network, once.created.network_id, sizeof(m.u.hello.network));
    memcpy(m.u.hello.node, w->who->pk, sizeof(m.u.hello.node));
    must(pv_control_handshake_hash(w->client, hash) == PV_OK);
    must(pv_ctl_hello_sign(m.u.hello.sig, hash, w->who->sk) == PV_OK);
    say(w, m);
}

/* --- what is signed -------------------------------------------------------------------------- */

/* A new connection, of any of those whom the network knows, or a stranger; the one before it stays,
 * and is silent. */
static void connect_as(struct world *w, const struct keys *who, enum pv_ctl_role role)
{
    struct pv_addr src = pv_addr4(192, 0, 2, 1, 1);
    uint8_t coordinator_dh[32];
    w->who = who;
    w->conn++;
    w->closed = false;
    w->client = pv_control_free(w->client);
    must(pv_sign_pk_to_dh(once.coordinator.pk, coordinator_dh) == PV_OK);
    must(pv_control_new_client(&w->client, who->dh_sk, coordinator_dh, &w->rng) == PV_OK);
    w->closed = pv_coord_accept(w->coord, w->conn, &src, w->now) != PV_OK;
    pump(w);
    if (!w->closed && pv_control_state(w->client) == PV_CONTROL_READY)
        say_hello(w, role);
    pump(w);
}

static const struct keys *key(uint8_t n)
{
    const struct keys *const all[] = {&once.alice, &once.guest, &once.root, &once.invite,
                                      &once.stranger};
    return all[n % PV_ARRAY_LEN(all)];
}

static void put(struct world *w, struct pv_view statement)
{
    struct pv_ctl_item item = {.statement = statement};
    say(w, (struct pv_ctl_msg){.type = PV_CTL_PUT, .u.put = {.n = 1, .items = &item}});
}

static void put_made(struct world *w, struct pv_statement *st, const struct keys *signer)
{
    uint8_t raw[PV_STATEMENT_MAX];
    size_t len = 0;
    memcpy(st->network_id, once.created.network_id, sizeof(st->network_id));
    if (pv_statement_make(st, signer->sk, NULL, raw, sizeof(raw), &len) == PV_OK)
        put(w, pv_view(raw, len));
}

static void say_join(struct world *w, const struct keys *invite, uint8_t name)
{
    struct pv_ctl_msg m = {.type = PV_CTL_JOIN};
    uint8_t hash[PV_CTL_HASH_LEN];
    memcpy(m.u.join.invite, invite->pk, PV_SIGN_PK_LEN);
    memcpy(m.u.join.node, w->who->pk, PV_SIGN_PK_LEN);
    snprintf(m.u.join.name, sizeof(m.u.join.name), "%s", name % 2 == 0 ? "bob" : "alice");
    if (pv_control_handshake_hash(w->client, hash) == PV_OK &&
        pv_ctl_join_sign(&m.u.join, hash, invite->sk) == PV_OK)
        say(w, m);
}

/* As an admin makes it, or as a guest with the place that it was promised. */
static void say_member(struct world *w, const struct keys *signer, const struct keys *node,
                       bool registers)
{
    struct pv_made made;
    struct pv_st_member m = {.serial = w->serial, .issued = WALL, .name = "carol"};
    const uint8_t ip4[PV_IP4_LEN] = {10, 66, 3, (uint8_t)(1 + w->serial)};
    memcpy(m.transport, node->dh_pk, sizeof(m.transport));
    memcpy(m.ip4, ip4, sizeof(m.ip4));
    if (registers && w->reserved) {
        m.serial = w->place.serial;
        memcpy(m.ip4, w->place.ip4, sizeof(m.ip4));
        memcpy(m.name, w->place.name, sizeof(m.name));
    }
    if (pv_make_member(once.created.network_id, signer->sk, node->sk, &m, &made) != PV_OK)
        return;
    if (registers)
        say(w, (struct pv_ctl_msg){.type = PV_CTL_REGISTER, .u.reg.member = pv_made_view(&made)});
    else
        put(w, pv_made_view(&made));
}

static void put_invite(struct world *w, const struct keys *invite, uint8_t terms)
{
    struct pv_made made;
    struct pv_st_invite inv = {.not_before = WALL,
                               .not_after = WALL + 60 + terms,
                               .uses = 1u + terms % 4u,
                               .flags = terms >> 2 & 1,
                               .lifetime = (terms & 8) != 0 ? 86400 : 0};
    memcpy(inv.invite, invite->pk, PV_SIGN_PK_LEN);
    if (pv_make_invite(once.created.network_id, w->who->sk, &inv, &made) == PV_OK)
        put(w, pv_made_view(&made));
}

/* Statements about a key, of types that have no helper of their own. */
static void put_about(struct world *w, uint8_t what, const struct keys *signer,
                      const struct keys *of)
{
    struct pv_statement st = {.type = PV_ST_REVOCATION};
    st.u.revocation = (struct pv_st_revocation){.kind = what, .time = WALL + w->serial};
    memcpy(st.u.revocation.pk, of->pk, sizeof(of->pk));
    if (what == 4) {
        st = (struct pv_statement){.type = PV_ST_ADMIN};
        st.u.admin = (struct pv_st_admin){.rights = 3, .time = WALL + w->serial};
        memcpy(st.u.admin.node, of->pk, sizeof(of->pk));
    } else if (what == 5) {
        st = (struct pv_statement){.type = PV_ST_LEAVE};
        st.u.leave = (struct pv_st_leave){.serial = w->serial, .time = WALL};
    } else if (what == 6) {
        st = (struct pv_statement){.type = PV_ST_TRANSPORT};
        st.u.transport = (struct pv_st_transport){.serial = w->serial, .time = WALL};
        memcpy(st.u.transport.transport, of->dh_pk, PV_DH_LEN);
    } else if (what == 7) {
        st = (struct pv_statement){.type = PV_ST_ADMISSION};
        st.u.admission = (struct pv_st_admission){.time = WALL + w->serial};
        memcpy(st.u.admission.node, of->pk, sizeof(of->pk));
    }
    put_made(w, &st, signer);
}

/* "!" letter, then what it is about: two keys and a byte. */
static void say_signed(struct world *w, struct pv_view line)
{
    uint8_t arg[5] = {0};
    memcpy(arg, line.ptr, line.len < sizeof(arg) ? line.len : sizeof(arg));
    w->serial++;
    switch (arg[1]) {
    case 'c':
        if (w->n_connected == CONNECTS_MAX)
            break;
        connect_as(w, key(arg[2]), arg[3] % 2 == 0 ? PV_CTL_MEMBER : PV_CTL_GUEST);
        w->n_connected++;
        break;
    case 'j':
        say_join(w, key(arg[2]), arg[3]);
        break;
    case 'r':
        say_member(w, key(arg[2]), w->who, true);
        break;
    case 'm':
        say_member(w, key(arg[2]), key(arg[3]), false);
        break;
    case 'i':
        put_invite(w, key(arg[2]), arg[3]);
        break;
    default:
        put_about(w, arg[4] % 8, key(arg[2]), key(arg[3]));
        break;
    }
}

static void say_line(struct world *w, struct pv_view line)
{
    if (line.len > 1 && line.ptr[0] == '@') {
        w->now += PV_S(line.ptr[1] % 64u);
        pv_coord_handle_timeout(w->coord, w->now);
    } else if (line.len > 1 && line.ptr[0] == '!') {
        say_signed(w, line);
    } else if (line.len > 0 && line.len <= PV_CONTROL_TEXT_MAX) {
        (void)!pv_control_send(w->client, line);
    }
    pump(w);
}

static void start(struct world *w, uint8_t flags)
{
    static const uint8_t secret[PV_CTL_SECRET_LEN] = {9};
    bool member = (flags & 1) != 0;
    w->rng = (struct pv_rng){.fill = fuzz_fill_mix, .ctx = &w->random};
    w->now = PV_S(100);
    w->conn = FIRST;
    w->store_fails = (flags & 2) != 0;
    const struct pv_coord_config cfg = {.sk = once.coordinator.sk, .secret = secret};
    must(pv_coord_new(&w->coord, &cfg, &w->rng, NULL) == PV_OK);
    if ((flags & 0x40) != 0)
        pv_coord_lend(w->coord);
    load_network(w);
    pv_coord_set_wall(w->coord, WALL * 1000000, w->now);
    connect_as(w, member ? &once.alice : &once.guest, member ? PV_CTL_MEMBER : PV_CTL_GUEST);
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
    if (w.n_answered > lines + w.n_connected)
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
