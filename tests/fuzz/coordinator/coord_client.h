/* SPDX-License-Identifier: MIT */
/*
 * coord_client.h - the world of fuzz_coord: a coordinator, its store and one client, which says
 * what an input chose. Connections that it had before stay, and are silent.
 */
#pragma once

#include <stdio.h>

#include "coordinator/core/coord.h"
#include "coordinator/core/member/home.h"
#include "coordinator/core/member/rowmark.h"
#include "crypto/dh.h"
#include "proto/control/control.h"
#include "proto/roster/roster_make.h"
#include "tests/fuzz/coordinator/relay_turn.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/coordinator/core/copies_mem.h"
#include "tests/unit/kem_double.h"

/* --- what is signed ------------------------------------------------------------------------ */

/* Keys are the same in every run, so that the corpus can name them; the network "home" is as a
 * coordinator that starts again finds it; and "other" nobody has yet. Signing takes longer than
 * most runs, so it happens once. */
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
    struct keys coordinator, root, alice, applicant, invite, stranger;
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
    once.applicant = keys_of(4);
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
    const struct keys *const all[] = {&once.alice, &once.applicant, &once.root, &once.invite,
                                      &once.stranger};
    return all[n % PV_ARRAY_LEN(all)];
}

/* --- the store ----------------------------------------------------------------------------- */

/* It keeps copies, takes everything else as stored, and says of homes what the input chose.
 * Operations may wait, and be answered in any order. */
enum {
    STORE_WAITING = 32
};

struct store {
    bool fails, slow;
    int register_says;            /* of an invite's uses */
    enum pv_home_verdict says;    /* whose a network is */
    bool without_rows, elsewhere; /* TAKE: none are stored; another coordinator had it */
    int64_t fence;
    struct copymem copies;
    struct pv_storeop *waiting[STORE_WAITING];
    size_t n_waiting;
};

static inline struct pv_storeop *store_rows(void)
{
    struct pv_storeop *op = NULL;
    size_t bytes = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(once.rows); i++)
        bytes += once.rows[i].statement.len + once.rows[i].receipt.len;
    must(pv_storeop_new(PV_STOREOP_PUT, PV_ARRAY_LEN(once.rows), bytes, &op) == PV_OK);
    for (size_t i = 0; i < PV_ARRAY_LEN(once.rows); i++)
        must(pv_storeop_add(op, &once.rows[i]) == PV_OK);
    return op;
}

static inline struct pv_home_answer *store_home(struct store *s, const struct pv_storeop *op)
{
    static const char there[] = "b.example:3478 192.0.2.77:3478";
    struct pv_home_answer *a = calloc(1, sizeof(*a));
    must(a != NULL);
    a->verdict = s->says;
    if (op->kind == PV_STOREOP_LEAVE && s->says == PV_HOME_TAKE)
        a->verdict = op->idle ? PV_HOME_NONE : PV_HOME_THERE; /* what it asks for */
    a->was_elsewhere = s->elsewhere;
    if (a->verdict == PV_HOME_THERE && !s->without_rows)
        pv_home_set_addrs(a, pv_view(there, sizeof(there) - 1));
    if (a->verdict != PV_HOME_TAKE)
        return a;
    a->fence = ++s->fence;
    a->epoch = 1 + (uint64_t)a->fence;
    if (!s->without_rows &&
        memcmp(op->copy.network, once.created.network_id, PV_NETWORK_ID_LEN) == 0)
        a->rows = store_rows();
    return a;
}

/* Answers one operation, and frees it. */
static inline void store_answer(struct store *s, struct pv_coord *coord, struct pv_storeop *op,
                                pv_ns now)
{
    struct pv_storeop_result res = {.id = op->id, .status = s->fails ? -28 : PV_OK};
    if (!s->fails && !copymem_run(&s->copies, op, &res)) {
        if (op->kind == PV_STOREOP_REGISTER)
            res.status = s->register_says;
        if (res.status == PV_ERR_EXISTS)
            memcpy(res.existing, once.rows[3].hash, sizeof(res.existing));
        if (op->kind == PV_STOREOP_PUT && op->fresh)
            res.fence = ++s->fence;
        if (op->kind == PV_STOREOP_HOME || op->kind == PV_STOREOP_LEAVE)
            res.home = store_home(s, op);
    }
    pv_coord_handle_job(coord, &res, now);
    pv_home_answer_free(res.home);
    free(res.collected);
    pv_storeop_free(op);
}

/* An operation of the coordinator's. A store that is slow keeps it for store_wake(). */
static inline void store_take(struct store *s, struct pv_coord *coord, struct pv_storeop *op,
                              pv_ns now)
{
    if (s->slow && s->n_waiting < STORE_WAITING)
        s->waiting[s->n_waiting++] = op;
    else
        store_answer(s, coord, op, now);
}

/* Answers one that waits, the oldest for 0. False: none does. */
static inline bool store_wake(struct store *s, struct pv_coord *coord, size_t which, pv_ns now)
{
    if (s->n_waiting == 0)
        return false;
    which %= s->n_waiting;
    struct pv_storeop *op = s->waiting[which];
    memmove(s->waiting + which, s->waiting + which + 1,
            (--s->n_waiting - which) * sizeof(s->waiting[0]));
    store_answer(s, coord, op, now);
    return true;
}

/* Waiting operations are never answered. */
static inline void store_done(struct store *s)
{
    while (s->n_waiting > 0)
        pv_storeop_free(s->waiting[--s->n_waiting]);
    copymem_done(&s->copies);
}

/* --- the world ----------------------------------------------------------------------------- */

enum {
    FIRST = 7,         /* the id of the first connection */
    RAW = 1000,        /* and of the first that shakes no hands */
    CONNECTS_MAX = 24, /* more of them reach nothing new, and are most of a long run */
};

/* The bits of an input's first byte (fuzz_coord.c). */
enum {
    MEMBER = 1,
    STORE_FAILS = 2,
    HYBRID = 4,
    SPOILT = 8,
    SEVERAL = 16,
    TIGHT = 32,
};

struct world {
    uint64_t random;
    struct pv_rng rng;
    struct pv_coord *coord;
    struct store store;
    struct pv_control *client;
    uint64_t conn;
    const struct keys *who; /* the client */
    const uint8_t *network; /* that it speaks of */
    uint8_t flags;
    uint64_t serial; /* of its statements: the next is newer */
    bool reserved;
    struct pv_ctl_reservation place; /* what it was promised last, on this connection */
    size_t n_connected;              /* after the first; each says hello */
    size_t n_answered;
    bool closed, offered;
    uint64_t raw; /* the second connection */
    bool raw_open;
    pv_ns now, wall_ahead;
};

/* --- moving bytes -------------------------------------------------------------------------- */

static inline void check_answer(struct world *w, struct pv_view text)
{
    struct pv_ctl_msg *m = NULL;
    must(pv_ctl_parse(text, &m) == PV_OK);
    if (m->type == PV_CTL_UNKNOWN || m->type == PV_CTL_INVALID || m->kind == PV_CTL_REQUEST)
        abort();
    w->n_answered += m->kind == PV_CTL_ANSWER ? 1 : 0;
    if (m->type == PV_CTL_RESERVATION) {
        w->reserved = true;
        w->place = m->u.reservation;
    }
    if (m->type == PV_CTL_HYBRID) /* what follows has other keys, or the next bytes end it all */
        must(w->offered && pv_control_accept(w->client, m->u.hybrid.mlkem768) == PV_OK);
    pv_ctl_msg_free(m);
}

static inline void move_raw(struct world *w)
{
    if (pv_coord_wakes_relay(w->coord)) {
        relay_turn(pv_coord_relay(w->coord), w->now);
        while (!pv_coord_handle_relay(w->coord, w->now))
            ;
    }
    struct pv_view out = w->raw_open ? pv_coord_out(w->coord, w->raw) : pv_view(NULL, 0);
    if (out.len > 0)
        pv_coord_wrote(w->coord, w->raw, out.len, w->now);
}

static inline bool move_once(struct world *w)
{
    struct pv_coord_ready ready;
    struct pv_storeop *op = NULL;
    struct pv_view out = pv_control_out(w->client);
    struct pv_view text;
    size_t used = 0;
    bool moved = false;
    if (!w->closed && out.len > 0 && pv_coord_wants_bytes(w->coord, w->conn)) {
        pv_coord_handle_bytes(w->coord, w->conn, out, w->now);
        pv_control_wrote(w->client, out.len);
        moved = true;
    }
    move_raw(w);
    while (pv_coord_poll_ready(w->coord, &ready, w->now) == PV_OK) {
        w->closed |= ready.kind == PV_COORD_READY_CLOSE && ready.id == w->conn;
        w->raw_open &= ready.kind != PV_COORD_READY_CLOSE || ready.id != w->raw;
    }
    while (pv_coord_poll_job(w->coord, &op) == PV_OK) {
        store_take(&w->store, w->coord, op, w->now);
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

static inline void pump(struct world *w)
{
    while (move_once(w))
        ;
}

static inline void say(struct world *w, struct pv_ctl_msg m)
{
    static char text[PV_CTL_TEXT_MAX];
    size_t len = 0;
    if (m.id == 0)
        m.id = 1000 + w->serial;
    if (pv_ctl_build(&m, text, sizeof(text), &len) == PV_OK)
        (void)!pv_control_send(w->client, pv_view(text, len));
}

static inline void say_hello(struct world *w, enum pv_ctl_role role)
{
    struct pv_ctl_msg m = {.type = PV_CTL_HELLO, .id = 1};
    uint8_t hash[PV_CTL_HASH_LEN], ek[PV_KEM_EK_LEN];
    m.u.hello = (struct pv_ctl_hello){.v = 1, .role = role};
    m.u.hello.has_network = w->network != NULL;
    if (w->network != NULL)
        memcpy(m.u.hello.network, w->network, sizeof(m.u.hello.network));
    memcpy(m.u.hello.node, w->who->pk, sizeof(m.u.hello.node));
    must(pv_control_handshake_hash(w->client, hash) == PV_OK);
    must(pv_ctl_hello_sign(m.u.hello.sig, hash, w->who->sk) == PV_OK);
    w->offered = (w->flags & HYBRID) != 0;
    if (w->offered) {
        must(pv_control_offer(w->client, &kem_double, &w->rng, ek) == PV_OK);
        ek[PV_KEM_EK_LEN - 1] ^= (w->flags & SPOILT) != 0 ? 1 : 0;
        m.u.hello.mlkem768 = pv_view(ek, sizeof(ek));
    }
    say(w, m);
}

/* --- what is signed -------------------------------------------------------------------------- */

/* A new connection, of any of those whom the network knows, or a stranger; the one before it stays,
 * and is silent. where: the lowest bits choose the network, the others the client's. */
static inline void connect_as(struct world *w, const struct keys *who, enum pv_ctl_role role,
                              uint8_t where)
{
    const uint8_t *const networks[] = {once.created.network_id, once.other.network_id, NULL,
                                       once.created.network_id};
    struct pv_addr src = pv_addr4(192, 0, where >> 2 & 7, 1, 1);
    uint8_t coordinator_dh[32];
    w->who = who;
    w->network = networks[where & 3];
    w->conn++;
    w->reserved = false;
    w->client = pv_control_free(w->client);
    must(pv_sign_pk_to_dh(once.coordinator.pk, coordinator_dh) == PV_OK);
    must(pv_control_new_client(&w->client, who->dh_sk, coordinator_dh, &w->rng) == PV_OK);
    w->closed = pv_coord_accept(w->coord, w->conn, &src, w->now) != PV_OK;
    pump(w);
    if (!w->closed && pv_control_state(w->client) == PV_CONTROL_READY)
        say_hello(w, role);
    pump(w);
}

/* The network that the client speaks of; "home" where it speaks of none. */
static inline const uint8_t *network_of(const struct world *w)
{
    return w->network == NULL ? once.created.network_id : w->network;
}

static inline void say_create(struct world *w, uint8_t first)
{
    struct pv_ctl_item items[] = {
        {.statement = pv_made_view(&once.other.network)},
        {.statement = pv_view(once.other.coordinators.raw, once.other.coordinators.len)},
        {.statement = pv_made_view(&once.other.admin)},
        {.statement = pv_made_view(&once.other.member)},
    };
    struct pv_ctl_msg m = {.type = PV_CTL_CREATE};
    m.u.put = (struct pv_ctl_put){.has_secret = (first & 1) != 0, .secret = {9}, .n = 4};
    m.u.put.items = items;
    if ((first & 2) != 0)
        items[first >> 2 & 3] = items[0];
    say(w, m);
}

static inline void put(struct world *w, struct pv_view statement)
{
    struct pv_ctl_item item = {.statement = statement};
    say(w, (struct pv_ctl_msg){.type = PV_CTL_PUT, .u.put = {.n = 1, .items = &item}});
}

static inline void put_made(struct world *w, struct pv_statement *st, const struct keys *signer)
{
    uint8_t raw[PV_STATEMENT_MAX];
    size_t len = 0;
    memcpy(st->network_id, network_of(w), sizeof(st->network_id));
    if (pv_statement_make(st, pv_signer_sk(signer->sk), NULL, raw, sizeof(raw), &len) == PV_OK)
        put(w, pv_view(raw, len));
}

static inline void say_join(struct world *w, const struct keys *invite, uint8_t name)
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

/* As an admin makes it, or as an applicant with the place that it was promised. */
static inline void say_member(struct world *w, const struct keys *signer, const struct keys *node,
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
    if (pv_make_member(network_of(w), signer->sk, node->sk, &m, &made) != PV_OK)
        return;
    if (registers)
        say(w, (struct pv_ctl_msg){.type = PV_CTL_REGISTER, .u.reg.member = pv_made_view(&made)});
    else
        put(w, pv_made_view(&made));
}

static inline void put_invite(struct world *w, const struct keys *invite, uint8_t terms)
{
    struct pv_made made;
    struct pv_st_invite inv = {.not_before = WALL,
                               .not_after = WALL + 60 + terms,
                               .uses = 1u + terms % 4u,
                               .flags = terms >> 2 & 1,
                               .lifetime = (terms & 8) != 0 ? 86400 : 0};
    memcpy(inv.invite, invite->pk, PV_SIGN_PK_LEN);
    if (pv_make_invite(network_of(w), pv_signer_sk(w->who->sk), &inv, &made) == PV_OK)
        put(w, pv_made_view(&made));
}

/* Statements about a key, of types that have no helper of their own. */
static inline void put_about(struct world *w, uint8_t what, const struct keys *signer,
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
static inline void say_signed(struct world *w, struct pv_view line)
{
    uint8_t arg[5] = {0};
    memcpy(arg, line.ptr, line.len < sizeof(arg) ? line.len : sizeof(arg));
    w->serial++;
    switch (arg[1]) {
    case 'c':
        if (w->n_connected == CONNECTS_MAX)
            break;
        connect_as(w, key(arg[2]), arg[3] % 2 == 0 ? PV_CTL_MEMBER : PV_CTL_APPLICANT, arg[4]);
        w->n_connected++;
        break;
    case 'n':
        say_create(w, arg[2]);
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

/* --- what is not signed ----------------------------------------------------------------------- */

static inline void say_subscribe(struct world *w, const struct keys *node, uint8_t how)
{
    uint8_t nodes[4][PV_SIGN_PK_LEN];
    struct pv_ctl_msg m = {.type = PV_CTL_SUBSCRIBE};
    for (uint8_t i = 0; i < PV_ARRAY_LEN(nodes); i++)
        memcpy(nodes[i], i == 0 ? node->pk : key(how + i)->pk, PV_SIGN_PK_LEN);
    m.u.subscribe = (struct pv_ctl_subscribe){.on = (how & 1) == 0, .n = 1 + (how >> 1 & 3)};
    m.u.subscribe.nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])nodes;
    say(w, m);
}

static inline void say_phones(struct world *w, const struct keys *phone, uint8_t how)
{
    struct pv_ctl_phone nodes[2] = {{.online = (how & 1) != 0}, {.online = (how & 2) != 0}};
    struct pv_ctl_msg m = {.type = PV_CTL_PHONES};
    memcpy(nodes[0].node, phone->pk, PV_SIGN_PK_LEN);
    memcpy(nodes[1].node, key(how)->pk, PV_SIGN_PK_LEN);
    m.u.phones = (struct pv_ctl_phones){.n = 1 + (how >> 2 & 1), .nodes = nodes};
    say(w, m);
}

static inline void say_keep(struct world *w, const struct keys *to, uint8_t how)
{
    struct pv_ctl_msg m = {.type = PV_CTL_KEEP};
    m.u.keep = (struct pv_ctl_keep){.key = {how}, .box = pv_view(to->sk, 1 + how % 40u)};
    memcpy(m.u.keep.to, to->pk, PV_SIGN_PK_LEN);
    say(w, m);
}

static inline void say_list(struct world *w, const struct keys *after, uint8_t how)
{
    struct pv_ctl_msg m = {.type = PV_CTL_LIST, .u.list = {.has_after = how % 2 == 1}};
    memcpy(m.u.list.after, after->pk, PV_SIGN_PK_LEN);
    say(w, m);
}

/* "?" letter, then a key or a byte, and a byte. */
static inline void say_request(struct world *w, uint8_t what, uint8_t a, uint8_t b)
{
    struct pv_ctl_msg m = {.type = PV_CTL_PING};
    w->serial++;
    switch (what) {
    case 's':
        say_subscribe(w, key(a), b);
        return;
    case 'k':
        say_keep(w, key(a), b);
        return;
    case 'l':
        say_list(w, key(a), b);
        return;
    case 'h':
        say_phones(w, key(a), b);
        return;
    case 'p':
        m.type = PV_CTL_PULL;
        m.u.pull = (struct pv_ctl_cursor){.epoch = a == '-' ? WALL : a % 4, .n = b % 16};
        break;
    case 'o':
        m.type = PV_CTL_COLLECT;
        m.u.collect = (struct pv_ctl_collect){.after = a % 8, .taken = b % 8};
        break;
    case 'g':
        m.type = PV_CTL_SIGNAL;
        m.u.signal.box = pv_view(key(b)->pk, 1 + b % 31u);
        memcpy(m.u.signal.node, key(a)->pk, PV_SIGN_PK_LEN);
        break;
    case 'f':
        m.type = PV_CTL_FETCH;
        memcpy(m.u.fetch.invite, key(a)->pk, PV_SIGN_PK_LEN);
        break;
    case 'a':
        m.type = PV_CTL_ASKERS;
        break;
    default:
        break;
    }
    say(w, m);
}
