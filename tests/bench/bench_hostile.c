/* SPDX-License-Identifier: MIT */
/*
 * bench_hostile - how long a network with 100,000 hostile statements keeps others waiting.
 *
 * The core of the coordinator in virtual time, with two clients joined to it by byte pipes and a
 * store that is a list. An attacker who has a network's root key fills it with statements of the
 * costliest kinds, and then sends those requests that make the roster decide most of it anew. The
 * figure is the processor time of each call of the core: while one runs nobody else is served, so
 * the longest is what another network waits, beside the PV_COORD_DEBT that the hostile one may have
 * before it rests. At the end the coordinator starts again from its rows.
 *
 *   bench_hostile [STATEMENTS]        100,000 when not given
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/text.h"
#include "coordinator/core/coord.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "proto/control/control.h"
#include "proto/control/ctlmsg.h"
#include "proto/roster/roster_make.h"
#include "sys/proc/entropy.h"

enum {
    WALL = 1795161600, /* Unix seconds */
    STAMPS = 400,      /* coordinators that root names and forgets, each with a receipt */
    RECORDS = 64,      /* coordinators records that a signer has at once */
    FLIPS = 20,
};

struct keys {
    uint8_t sk[PV_SIGN_SK_LEN];
    uint8_t pk[PV_SIGN_PK_LEN];
};

struct node {
    struct keys id;
    uint8_t dh_sk[PV_DH_LEN], dh_pk[PV_DH_LEN];
};

struct client {
    struct pv_control *control;
    uint64_t conn;
    uint64_t next_id;
    struct pv_ctl_msg *answer;
};

struct world {
    struct pv_rng rng;
    struct pv_log log;
    struct pv_coord_config cfg;
    struct pv_coord *coord;
    pv_ns now;
    struct keys coordinator, root, admin;
    uint8_t coordinator_dh[PV_DH_LEN], secret[PV_CTL_SECRET_LEN];
    struct node creator;
    uint8_t network[PV_NETWORK_ID_LEN];
    struct client client;
    struct pv_storeop **rows;
    size_t n_rows, n_statements;
    uint32_t next_ip;
    uint64_t seq;   /* of root's next coordinators record */
    pv_ns pause;    /* before each request, so that no rate is reached */
    double longest; /* ms of the longest call since the last line */
    double spent;   /* ms of all of them */
    size_t refused; /* statements since the last line */
    /* The statements to be put next. */
    size_t n;
    struct pv_made_long made[PV_CTL_ITEMS_MAX];
    uint8_t receipts[PV_CTL_ITEMS_MAX][PV_RECEIPT_LEN];
    bool has_receipt[PV_CTL_ITEMS_MAX];
    size_t room; /* bytes that still fit in this put */
};

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_hostile: %s\n", what);
    exit(1);
}

/* --- what calls cost -------------------------------------------------------------------------- */

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void note(struct world *w, double began)
{
    double took = cpu_ms() - began;
    w->spent += took;
    w->longest = took > w->longest ? took : w->longest;
}

static void report(struct world *w, const char *what, size_t n)
{
    printf("%-44s %7zu  longest %8.1f ms  all %9.1f ms  refused %zu\n", what, n, w->longest,
           w->spent, w->refused);
    fflush(stdout);
    w->longest = w->spent = 0;
    w->refused = 0;
}

/* --- moving bytes ------------------------------------------------------------------------ */

/* The store keeps everything, and answers at once. */
static void serve(struct world *w, struct pv_storeop *op)
{
    struct pv_storeop_result result = {.id = op->id};
    size_t n = op->n_rows;

    w->rows = realloc(w->rows, (w->n_rows + 1) * sizeof(*w->rows));
    check(w->rows != NULL, "no memory");
    w->rows[w->n_rows++] = op;
    double began = cpu_ms();
    pv_coord_handle_job(w->coord, &result, w->now);
    note(w, began);
    w->n_statements += n;
}

static bool to_coord(struct world *w, struct client *c)
{
    struct pv_view out = pv_control_out(c->control);
    uint8_t bytes[65536];
    if (out.len == 0 || !pv_coord_wants_bytes(w->coord, c->conn))
        return false;
    size_t n = out.len < sizeof(bytes) ? out.len : sizeof(bytes);
    memcpy(bytes, out.ptr, n);
    pv_control_wrote(c->control, n);
    double began = cpu_ms();
    pv_coord_handle_bytes(w->coord, c->conn, pv_view(bytes, n), w->now);
    note(w, began);
    return true;
}

static bool from_coord(struct world *w, struct client *c)
{
    struct pv_view out = pv_coord_out(w->coord, c->conn), text;
    size_t used = 0;
    if (out.len == 0)
        return false;
    check(pv_control_handle_bytes(c->control, out, &used) == PV_OK, "the answer is broken");
    pv_coord_wrote(w->coord, c->conn, used, w->now);
    if (pv_control_poll_message(c->control, &text) != PV_OK)
        return true;
    struct pv_ctl_msg *m = NULL;
    check(pv_ctl_parse(text, &m) == PV_OK, "the answer is no message");
    if (m->kind == PV_CTL_ANSWER) {
        pv_ctl_msg_free(c->answer);
        c->answer = m;
    } else {
        pv_ctl_msg_free(m);
    }
    return true;
}

static void pump(struct world *w, struct client *c)
{
    for (bool moved = true; moved;) {
        struct pv_coord_ready ready;
        struct pv_storeop *op;
        moved = to_coord(w, c);
        for (;;) {
            double began = cpu_ms();
            int r = pv_coord_poll_ready(w->coord, &ready, w->now);
            note(w, began);
            if (r != PV_OK)
                break;
            check(ready.kind != PV_COORD_READY_CLOSE || ready.id != c->conn,
                  "the coordinator hung up");
            moved = true;
        }
        moved |= from_coord(w, c);
        while (pv_coord_poll_job(w->coord, &op) == PV_OK) {
            serve(w, op);
            moved = true;
        }
        pv_ns next = pv_coord_next_timeout(w->coord);
        if (next <= w->now) {
            double began = cpu_ms();
            pv_coord_handle_timeout(w->coord, w->now);
            note(w, began);
            moved = true;
        }
    }
}

static struct pv_ctl_msg *ask(struct world *w, struct client *c, struct pv_ctl_msg msg)
{
    static char text[PV_CTL_TEXT_MAX];
    size_t len = 0;
    w->now += w->pause;
    pv_coord_set_wall(w->coord, WALL * UINT64_C(1000000) + w->now / 1000, w->now);
    msg.kind = PV_CTL_REQUEST;
    msg.id = c->next_id++;
    check(pv_ctl_build(&msg, text, sizeof(text), &len) == PV_OK, "a request is too long");
    check(pv_control_send(c->control, pv_view(text, len)) == PV_OK, "a request cannot be sent");
    pump(w, c);
    struct pv_ctl_msg *m = c->answer;
    check(m != NULL && m->id == msg.id, "no answer");
    c->answer = NULL;
    return m;
}

/* --- keys and connections ---------------------------------------------------------------- */

static struct keys keys_make(struct world *w)
{
    struct keys k;
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&w->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, k.sk, k.pk);
    return k;
}

static struct node node_make(struct world *w)
{
    struct node n = {.id = keys_make(w)};
    pv_dh_keypair(&w->rng, n.dh_sk, n.dh_pk);
    return n;
}

static void login(struct world *w, struct client *c, const struct node *node, enum pv_ctl_role role,
                  const uint8_t *network)
{
    static uint64_t conns = 1;
    struct pv_addr src = pv_addr4(198, 51, (uint8_t)(conns / 200), 7, 40000);
    uint8_t hash[PV_CTL_HASH_LEN];
    struct pv_ctl_msg m = {.type = PV_CTL_HELLO};
    *c = (struct client){.conn = conns++, .next_id = 1};
    check(pv_control_new_client(&c->control, node->dh_sk, w->coordinator_dh, &w->rng) == PV_OK &&
              pv_coord_accept(w->coord, c->conn, &src, w->now) == PV_OK,
          "cannot connect");
    pump(w, c);
    m.u.hello = (struct pv_ctl_hello){.v = 1, .has_network = network != NULL, .role = role};
    if (network != NULL)
        memcpy(m.u.hello.network, network, PV_CTL_NETWORK_LEN);
    memcpy(m.u.hello.node, node->id.pk, PV_SIGN_PK_LEN);
    check(pv_control_handshake_hash(c->control, hash) == PV_OK &&
              pv_ctl_hello_sign(m.u.hello.sig, hash, node->id.sk) == PV_OK,
          "cannot sign");
    struct pv_ctl_msg *answer = ask(w, c, m);
    check(answer->type == PV_CTL_WELCOME, "no welcome");
    pv_ctl_msg_free(answer);
}

static void hang_up(struct world *w, struct client *c)
{
    pv_coord_closed(w->coord, c->conn, w->now);
    pv_control_free(c->control);
}

/* --- putting statements ------------------------------------------------------------------ */

static void flush(struct world *w)
{
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    if (w->n == 0)
        return;
    for (size_t i = 0; i < w->n; i++) {
        items[i] = (struct pv_ctl_item){.statement = pv_view(w->made[i].raw, w->made[i].len)};
        if (w->has_receipt[i])
            items[i].receipt = pv_view(w->receipts[i], PV_RECEIPT_LEN);
    }
    struct pv_ctl_msg msg = {.type = PV_CTL_PUT, .u.put = {.n = w->n, .items = items}};
    struct pv_ctl_msg *m = ask(w, &w->client, msg);
    check(m->type == PV_CTL_RECEIPTS, "the put was refused");
    for (size_t i = 0; i < m->u.receipts.n; i++)
        w->refused += m->u.receipts.results[i].error != PV_CTL_E_NONE ? 1 : 0;
    pv_ctl_msg_free(m);
    w->n = 0;
    w->room = 0;
}

/* Puts the statement, with a receipt by this coordinator of this time, or without (NULL). Those
 * that follow each other go into one request, as far as they fit. */
static void put(struct world *w, struct pv_view raw, const struct keys *by, uint64_t time)
{
    size_t need = 2 * (raw.len + PV_RECEIPT_LEN);
    if (w->n == PV_CTL_ITEMS_MAX || w->room + need > PV_CTL_TEXT_MAX - 4096)
        flush(w);
    struct pv_made_long *m = &w->made[w->n];
    memcpy(m->raw, raw.ptr, raw.len);
    m->len = raw.len;
    w->has_receipt[w->n] = by != NULL;
    if (by != NULL) {
        struct pv_receipt r = {.epoch = 1, .n = time, .time = time};
        memcpy(r.network_id, w->network, sizeof(r.network_id));
        pv_statement_hash(raw, r.hash);
        check(pv_receipt_make(&r, by->sk, w->receipts[w->n]) == PV_OK, "cannot make a receipt");
    }
    w->n++;
    w->room += need;
}

static void put_statement(struct world *w, struct pv_statement *st, const struct keys *signer,
                          const struct keys *by, uint64_t time)
{
    uint8_t raw[PV_STATEMENT_MAX];
    size_t len = 0;
    memcpy(st->network_id, w->network, sizeof(st->network_id));
    check(pv_statement_make(st, pv_signer_sk(signer->sk), NULL, raw, sizeof(raw), &len) == PV_OK,
          "cannot make a statement");
    put(w, pv_view(raw, len), by, time);
}

static void put_member(struct world *w, const struct keys *signer, const struct keys *node)
{
    struct pv_made made;
    struct pv_st_member m = {.serial = 1, .issued = WALL};
    uint32_t ip = w->next_ip++;
    pv_rng_fill(&w->rng, m.transport, sizeof(m.transport));
    pv_store_be32(m.ip4, ip);
    snprintf(m.name, sizeof(m.name), "n%u", ip);
    check(pv_make_member(w->network, signer->sk, node->sk, &m, &made) == PV_OK, "member");
    put(w, pv_made_view(&made), NULL, 0);
}

static struct keys put_admin(struct world *w)
{
    struct keys k = keys_make(w);
    struct pv_statement st = {.type = PV_ST_ADMIN};
    st.u.admin = (struct pv_st_admin){.rights = 3, .time = WALL};
    memcpy(st.u.admin.node, k.pk, sizeof(k.pk));
    put_statement(w, &st, &w->root, NULL, 0);
    return k;
}

/* n tells apart revocations that say the same. */
static void put_revocation(struct world *w, const struct keys *signer, const struct keys *of,
                           uint64_t n, const struct keys *by, uint64_t time)
{
    struct pv_statement st = {.type = PV_ST_REVOCATION};
    st.u.revocation = (struct pv_st_revocation){.kind = PV_REVOKE_NODE, .time = n};
    memcpy(st.u.revocation.pk, of->pk, sizeof(of->pk));
    put_statement(w, &st, signer, by, time);
}

/* A record that names these n coordinators. */
static void put_record(struct world *w, const struct keys *signer, uint64_t seq,
                       const struct keys *named, size_t n)
{
    static const struct pv_hostport addr = {.host = "h", .port = 1};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer out = pv_writer(list, sizeof(list));
    struct pv_statement st = {.type = PV_ST_COORDINATORS};
    for (size_t i = 0; i < n; i++)
        pv_coordlist_put(&out, named[i].pk, &addr, 1);
    st.u.coordinators = (struct pv_st_coordinators){.seq = seq, .list = pv_written(&out)};
    put_statement(w, &st, signer, NULL, 0);
}

/* --- the network ------------------------------------------------------------------------- */

static void create(struct world *w)
{
    static const struct pv_hostport addr = {.host = "coord.example", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer out = pv_writer(list, sizeof(list));
    struct pv_created created;
    struct client applicant;
    w->root = keys_make(w);
    w->creator = node_make(w);
    pv_coordlist_put(&out, w->coordinator.pk, &addr, 1);
    struct pv_create make = {.root = pv_signer_sk(w->root.sk),
                             .node_sk = w->creator.id.sk,
                             .transport = w->creator.dh_pk,
                             .network_name = "hostile",
                             .node_name = "creator",
                             .range = {.base = pv_addr4(10, 0, 0, 0, 0), .bits = 8},
                             .coordinators = pv_written(&out),
                             .wall = WALL};
    check(pv_make_create(&make, &created) == PV_OK, "cannot make a network");
    struct pv_ctl_item items[] = {
        {.statement = pv_made_view(&created.network)},
        {.statement = pv_view(created.coordinators.raw, created.coordinators.len)},
        {.statement = pv_made_view(&created.admin)},
        {.statement = pv_made_view(&created.member)},
    };
    struct pv_ctl_msg msg = {.type = PV_CTL_CREATE};
    msg.u.put = (struct pv_ctl_put){.has_secret = true, .n = 4, .items = items};
    memcpy(msg.u.put.secret, w->secret, sizeof(w->secret));
    memcpy(w->network, created.network_id, sizeof(w->network));
    w->next_ip = 0x0a000001;
    w->seq = 10;
    login(w, &applicant, &w->creator, PV_CTL_APPLICANT, NULL);
    struct pv_ctl_msg *m = ask(w, &applicant, msg);
    check(m->type == PV_CTL_RECEIPTS, "the network was refused");
    pv_ctl_msg_free(m);
    hang_up(w, &applicant);
    login(w, &w->client, &w->creator, PV_CTL_MEMBER, w->network);
    struct pv_ctl_msg *page = ask(w, &w->client, (struct pv_ctl_msg){.type = PV_CTL_PULL});
    pv_ctl_msg_free(page); /* from here on it is told of everything, as members are */
}

/* --- filling it -------------------------------------------------------------------------- */

/* Members of one admin, whose removal concerns them all. */
static void fill_members(struct world *w, size_t n)
{
    w->admin = put_admin(w);
    flush(w);
    for (size_t i = 0; i < n; i++) {
        struct keys node = keys_make(w);
        put_member(w, &w->admin, &node);
    }
    flush(w);
    report(w, "members of one admin", n);
}

/* Removals of one admin, each of which may have to be looked at for each of its members. */
static void fill_removals(struct world *w, size_t n)
{
    struct keys victim = put_admin(w);
    struct keys member = keys_make(w);
    flush(w);
    put_member(w, &victim, &member);
    for (size_t i = 0; i < n; i++)
        put_revocation(w, &w->root, &victim, i, NULL, 0);
    flush(w);
    report(w, "removals of another admin", n);
}

/* Records of many admins, with as many coordinators as fit. */
static void fill_records(struct world *w, size_t n)
{
    for (size_t i = 0; i < n;) {
        struct keys admin = put_admin(w);
        for (size_t k = 0; k < RECORDS && i < n; k++, i++) {
            struct keys named[8];
            for (size_t j = 0; j < PV_ARRAY_LEN(named); j++)
                pv_rng_fill(&w->rng, named[j].pk, sizeof(named[j].pk));
            put_record(w, &admin, k, named, PV_ARRAY_LEN(named));
        }
    }
    flush(w);
    report(w, "coordinators records of eight", n);
}

static void fill_invites(struct world *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pv_statement st = {.type = PV_ST_INVITE};
        st.u.invite = (struct pv_st_invite){.not_after = UINT64_MAX, .uses = 1};
        pv_rng_fill(&w->rng, st.u.invite.invite, sizeof(st.u.invite.invite));
        put_statement(w, &st, &w->root, NULL, 0);
    }
    flush(w);
    report(w, "invites", n);
}

/* --- attacks on what is there ------------------------------------------------------------ */

/* Root names its own coordinator, so it can date removals as it likes: each of these takes the one
 * before it back, and with it the removal of the admin of all members. */
static void flip(struct world *w)
{
    struct keys mine = keys_make(w);
    struct keys named[2] = {w->coordinator, mine};
    struct keys by[FLIPS];
    if (memcmp(named[0].pk, named[1].pk, PV_SIGN_PK_LEN) > 0) {
        struct keys swap = named[0];
        named[0] = named[1];
        named[1] = swap;
    }
    put_record(w, &w->root, w->seq++, named, 2);
    for (size_t i = 0; i < FLIPS; i++)
        by[i] = put_admin(w);
    flush(w);
    report(w, "naming an own coordinator", 1);
    for (size_t i = 0; i < FLIPS; i++) {
        put_revocation(w, &by[i], &w->admin, 1, &mine, WALL - 10 * i);
        flush(w);
        put_revocation(w, &w->root, &by[i], 1, &mine, WALL - 10 * i - 5);
        flush(w);
    }
    report(w, "removals that come and go", 2 * FLIPS);
    put_revocation(w, &w->root, &w->admin, 2, &mine, WALL - 100000);
    flush(w);
    report(w, "a removal that stays", 1);
    for (size_t i = 0; i < 5 * FLIPS; i++) {
        put_revocation(w, &w->root, &w->admin, 3 + i, NULL, 0);
        flush(w);
    }
    report(w, "removals of who is removed", 5 * FLIPS);
}

/* Each record names coordinators that no other one names, and drops one that did. */
static void rename_coordinators(struct world *w)
{
    static struct keys named[STAMPS];
    for (size_t i = 0; i < STAMPS; i++)
        named[i] = keys_make(w);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i + 8 <= STAMPS; i += 8) {
            put_record(w, &w->root, w->seq++, named + i, 8);
            for (size_t k = 0; round == 0 && k < 8; k++) {
                struct pv_statement st = {.type = PV_ST_INVITE};
                st.u.invite = (struct pv_st_invite){.not_after = UINT64_MAX, .uses = 1};
                pv_rng_fill(&w->rng, st.u.invite.invite, sizeof(st.u.invite.invite));
                put_statement(w, &st, &w->root, &named[i + k], WALL - w->seq);
            }
        }
        for (size_t i = 0; i < RECORDS; i++)
            put_record(w, &w->root, w->seq++, &w->coordinator, 1);
        flush(w);
    }
    report(w, "coordinators named and forgotten", 3 * (STAMPS / 8 + RECORDS));
}

/* A node about which there is much goes on to make statements. */
static void renew(struct world *w, size_t n)
{
    struct keys node = keys_make(w);
    put_member(w, &w->creator.id, &node);
    for (size_t i = 0; i < n; i++) {
        struct pv_statement st = {.type = PV_ST_TRANSPORT};
        st.u.transport = (struct pv_st_transport){.serial = 2 + i, .time = WALL};
        pv_rng_fill(&w->rng, st.u.transport.transport, PV_DH_LEN);
        put_statement(w, &st, &node, NULL, 0);
    }
    flush(w);
    report(w, "transport keys of one node", n);
}

/* Others are let in beside it: the addresses from the first on are taken. */
static void join(struct world *w, size_t n)
{
    struct keys invite = keys_make(w);
    struct pv_statement st = {.type = PV_ST_INVITE};
    st.u.invite = (struct pv_st_invite){.not_after = UINT64_MAX, .uses = 1000000};
    memcpy(st.u.invite.invite, invite.pk, PV_SIGN_PK_LEN);
    put_statement(w, &st, &w->root, NULL, 0);
    flush(w);
    for (size_t i = 0; i < n; i++) {
        struct client applicant;
        struct node node = node_make(w);
        const struct pv_prefix range = {.base = pv_addr4(10, 0, 0, 0, 0), .bits = 8};
        uint8_t hash[PV_CTL_HASH_LEN];
        struct pv_ctl_msg m = {.type = PV_CTL_JOIN};
        /* One whose search for an address begins among those taken. */
        while (pv_ip4_first(&range, node.id.pk) > 0x0a000000 + 400000)
            node.id = keys_make(w);
        login(w, &applicant, &node, PV_CTL_APPLICANT, w->network);
        memcpy(m.u.join.invite, invite.pk, PV_SIGN_PK_LEN);
        memcpy(m.u.join.node, node.id.pk, PV_SIGN_PK_LEN);
        snprintf(m.u.join.name, sizeof(m.u.join.name), "n");
        check(pv_control_handshake_hash(applicant.control, hash) == PV_OK &&
                  pv_ctl_join_sign(&m.u.join, hash, invite.sk) == PV_OK,
              "cannot sign");
        pv_ctl_msg_free(ask(w, &applicant, m));
        hang_up(w, &applicant);
    }
    report(w, "applicants that ask for an address", n);
}

/* --- many of its members online ----------------------------------------------------------- */

/* Each wants to know of a thousand others. */
static void subscribe(struct world *w, struct client *c, struct node *nodes, size_t n)
{
    static uint8_t keys[PV_CTL_NODES_MAX][PV_SIGN_PK_LEN];
    for (size_t i = 0; i < n && i < 1024; i += PV_CTL_NODES_MAX) {
        struct pv_ctl_msg m = {.type = PV_CTL_SUBSCRIBE};
        size_t k = 0;
        for (; k < PV_CTL_NODES_MAX && i + k < n && i + k < 1024; k++)
            memcpy(keys[k], nodes[i + k].id.pk, PV_SIGN_PK_LEN);
        m.u.subscribe = (struct pv_ctl_subscribe){
            .on = true, .n = k, .nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])keys};
        pv_ctl_msg_free(ask(w, c, m));
    }
}

/* All of it, after which it is told of changes. */
static void read_log(struct world *w, struct client *c)
{
    struct pv_ctl_msg pull = {.type = PV_CTL_PULL};
    for (bool more = true; more;) {
        struct pv_ctl_msg *page = ask(w, c, pull);
        more = page->u.statements.more;
        pull.u.pull = page->u.statements.have;
        pv_ctl_msg_free(page);
    }
}

static void settle_down(struct world *w, struct client *clients, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pump(w, &clients[i]);
    pump(w, &w->client);
}

/* All end at once: as their admin is removed (with news that each is still to be told of), or by
 * the clock. */
static void end_online(struct world *w, size_t n, bool removed)
{
    struct client *clients = calloc(n, sizeof(*clients));
    struct node *nodes = calloc(n, sizeof(*nodes));
    check(clients != NULL && nodes != NULL, "no memory");
    struct keys admin = put_admin(w);
    flush(w);
    for (size_t i = 0; i < n; i++) {
        struct pv_made made;
        struct pv_st_member m = {.serial = 1, .issued = WALL};
        uint32_t ip = w->next_ip++;
        nodes[i] = node_make(w);
        memcpy(m.transport, nodes[i].dh_pk, PV_DH_LEN);
        pv_store_be32(m.ip4, ip);
        snprintf(m.name, sizeof(m.name), "n%u", ip);
        check(pv_make_member(w->network, admin.sk, nodes[i].id.sk, &m, &made) == PV_OK, "member");
        put(w, pv_made_view(&made), NULL, 0);
    }
    flush(w);
    w->pause = 0;
    for (size_t i = 0; i < n; i++) {
        login(w, &clients[i], &nodes[i], PV_CTL_MEMBER, w->network);
        read_log(w, &clients[i]);
        subscribe(w, &clients[i], nodes, n);
    }
    settle_down(w, clients, n);
    report(w, "members online", n);
    if (removed) {
        for (size_t i = 0; i < 50; i++) {
            struct keys k = keys_make(w);
            put_member(w, &w->creator.id, &k);
        }
        put_revocation(w, &w->root, &admin, 1, NULL, 0);
        flush(w);
    } else {
        w->now += PV_S(20);
        pv_ctl_msg_free(ask(w, &w->client, (struct pv_ctl_msg){.type = PV_CTL_PING}));
        w->now += PV_S(10);
        pump(w, &w->client);
    }
    report(w, removed ? "all of them removed" : "all of them silent", n);
    for (size_t i = 0; i < n; i++)
        pv_control_free(clients[i].control);
    free(clients);
    free(nodes);
    w->pause = PV_MS(200);
}

/* --- the next start ---------------------------------------------------------------------- */

static void start(struct world *w)
{
    check(pv_coord_new(&w->coord, &w->cfg, &w->rng, &w->log) == PV_OK, "cannot start");
    for (size_t i = 0; i < w->n_rows; i++) {
        for (size_t k = 0; k < w->rows[i]->n_rows; k++) {
            if (w->rows[i]->rows[k].statement.len > 0)
                check(pv_coord_load(w->coord, &w->rows[i]->rows[k]) == PV_OK, "cannot load");
        }
    }
    pv_coord_set_wall(w->coord, WALL * UINT64_C(1000000) + w->now / 1000, w->now);
}

static void no_log(void *ctx, enum pv_log_level level, const char *line)
{
}

int main(int argc, char **argv)
{
    static struct world w;
    uint64_t total = 100000;
    check(argc < 2 || pv_u64_parse(argv[1], 1000, 125000, &total) == PV_OK,
          "how many statements? 1000 to 125000");
    check(pv_crypto_init() == PV_OK, "no cryptography");
    w.rng = pv_entropy();
    w.log = (struct pv_log){.level = PV_LOG_ERROR, .sink = no_log};
    w.now = PV_S(1000);
    w.pause = PV_MS(200);
    w.coordinator = keys_make(&w);
    check(pv_sign_pk_to_dh(w.coordinator.pk, w.coordinator_dh) == PV_OK, "key");
    pv_rng_fill(&w.rng, w.secret, sizeof(w.secret));
    w.cfg = (struct pv_coord_config){.sk = w.coordinator.sk, .secret = w.secret};
    w.cfg.limits.network_rate = w.cfg.limits.network_burst = 1000000;
    w.cfg.limits.source_rate = w.cfg.limits.source_burst = 1000000;
    start(&w);
    create(&w);
    report(&w, "a network", 4);
    end_online(&w, total / 50, true);
    end_online(&w, total / 50, false);
    fill_members(&w, total * 45 / 100);
    fill_removals(&w, total * 25 / 100);
    fill_records(&w, total * 20 / 100);
    fill_invites(&w, total * 9 / 100);
    renew(&w, 2000);
    join(&w, 20);
    rename_coordinators(&w);
    flip(&w);
    hang_up(&w, &w.client);
    pv_coord_free(w.coord);
    double began = cpu_ms();
    start(&w);
    note(&w, began);
    report(&w, "the next start", w.n_statements);
    pv_coord_free(w.coord);
    for (size_t i = 0; i < w.n_rows; i++)
        pv_storeop_free(w.rows[i]);
    free(w.rows);
    return 0;
}
