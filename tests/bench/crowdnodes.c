/* SPDX-License-Identifier: MIT */
/* crowdnodes.c - the nodes of bench_crowd: each has keys, a membership, and the daemon's own
 * machine for the connection to its coordinator. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/text.h"
#include "coordinator/core/member/rowmark.h"
#include "crowd.h"
#include "daemon/core/coord/coordclient.h"
#include "proto/roster/roster_make.h"
#include "sys/proc/entropy.h"

enum {
    SUBSCRIBE_ALL = 128, /* members of a network in which p2pvpnd subscribes to everybody */
    ROW_BYTES = 1536,    /* at most, of one row's statement and receipt */
};

struct nodes;

struct node {
    struct nodes *all;
    size_t number;
    uint8_t sign_sk[PV_SIGN_SK_LEN], sign_pk[PV_SIGN_PK_LEN];
    uint8_t dh_sk[PV_DH_LEN], dh_pk[PV_DH_LEN];
    struct pv_coordclient *client;
    struct pv_streams streams; /* what it asks for */
    struct pv_fifo events;
    struct pv_heap_node timer;
    uint32_t sid;    /* of the connection; 0: none */
    uint32_t opened; /* connections so far */
    bool online;
    pv_ns online_at; /* for the first time */
};

struct net {
    uint8_t id[PV_NETWORK_ID_LEN];
    uint8_t invite_sk[PV_SIGN_SK_LEN];
    struct pv_ctl_cursor end; /* of its log */
};

struct nodes {
    struct crowd_shared *shared;
    struct pv_rng rng;
    struct node *nodes; /* node i belongs to network i / size */
    struct net *nets;
    size_t size; /* nodes of a network */
    struct pv_heap timers;
    bool listening; /* the coordinator takes connections */
    uint8_t mark_key[PV_ROWMARK_KEY_LEN];
};

/* --- rows ------------------------------------------------------------------------------------- */

/* A statement as the store gives it back: with this coordinator's receipt and mark. Its bytes lie
 * behind the rows. */
static void add_row(struct nodes *a, struct net *net, struct pv_view statement)
{
    struct crowd_shared *s = a->shared;
    struct pv_storerow *row = &s->rows[s->n_rows];
    uint8_t *bytes = (uint8_t *)(s->rows + 2 * s->n_nodes + 8 * s->n_nets) + s->n_rows * ROW_BYTES;
    struct pv_receipt receipt = {.epoch = 1, .n = s->n_rows + 1, .time = CROWD_WALL};
    if (statement.len + PV_RECEIPT_LEN > ROW_BYTES)
        crowd_die("a statement is too long");
    *row = (struct pv_storerow){.epoch = 1, .n = ++s->n_rows};
    memcpy(row->network, net->id, sizeof(row->network));
    pv_statement_hash(statement, row->hash);
    memcpy(receipt.network_id, net->id, sizeof(receipt.network_id));
    memcpy(receipt.hash, row->hash, sizeof(receipt.hash));
    memcpy(bytes, statement.ptr, statement.len);
    crowd_check(pv_receipt_make(&receipt, s->sk, bytes + statement.len), "receipt");
    row->statement = pv_view(bytes, statement.len);
    row->receipt = pv_view(bytes + statement.len, PV_RECEIPT_LEN);
    pv_rowmark_set(a->mark_key, row);
    net->end = (struct pv_ctl_cursor){.epoch = row->epoch, .n = row->n};
}

/* A network with its first node as admin, and an invite without an end. Returns the admin's
 * address. */
static uint32_t make_net(struct nodes *a, struct net *net, const struct node *admin)
{
    static const struct pv_hostport addr = {.host = "coord.example", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX], seed[PV_SIGN_SEED_LEN], root_sk[PV_SIGN_SK_LEN],
        root_pk[PV_SIGN_PK_LEN];
    struct pv_writer w = pv_writer(list, sizeof(list));
    struct pv_created made;
    struct pv_made said;
    struct pv_st_invite invite = {
        .not_before = CROWD_WALL - 60, .not_after = UINT64_MAX, .uses = 1 << 24};
    pv_rng_fill(&a->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, root_sk, root_pk);
    pv_rng_fill(&a->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, net->invite_sk, invite.invite);
    pv_coordlist_put(&w, a->shared->pk, &addr, 1);
    const struct pv_create create = {
        .root = pv_signer_sk(root_sk),
        .node_sk = admin->sign_sk,
        .transport = admin->dh_pk,
        .network_name = "crowd",
        .node_name = "admin",
        .range = {.base = pv_addr4(10, 64, 0, 0, 0), .bits = 10}, /* room for all in one network */
        .coordinators = pv_written(&w),
        .wall = CROWD_WALL,
    };
    crowd_check(pv_make_create(&create, &made), "create");
    memcpy(net->id, made.network_id, sizeof(net->id));
    add_row(a, net, pv_made_view(&made.network));
    add_row(a, net, pv_view(made.coordinators.raw, made.coordinators.len));
    add_row(a, net, pv_made_view(&made.admin));
    add_row(a, net, pv_made_view(&made.member));
    crowd_check(pv_make_invite(net->id, pv_signer_sk(admin->sign_sk), &invite, &said), "invite");
    add_row(a, net, pv_made_view(&said));
    return made.ip4;
}

static void make_member(struct nodes *a, struct net *net, const struct node *n, uint32_t ip4)
{
    struct pv_st_member member = {.issued = CROWD_WALL, .serial = CROWD_WALL};
    struct pv_made said;
    memcpy(member.transport, n->dh_pk, sizeof(member.transport));
    snprintf(member.name, sizeof(member.name), "m%zu", n->number);
    pv_store_be32(member.ip4, ip4);
    crowd_check(pv_make_member(net->id, net->invite_sk, n->sign_sk, &member, &said), "member");
    add_row(a, net, pv_made_view(&said));
}

static void make_node(struct nodes *a, struct node *n, size_t number)
{
    uint8_t seed[PV_SIGN_SEED_LEN];
    n->all = a;
    n->number = number;
    pv_rng_fill(&a->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, n->sign_sk, n->sign_pk);
    pv_dh_keypair(&a->rng, n->dh_sk, n->dh_pk);
}

static void make_all(struct nodes *a)
{
    const struct crowd_shared *s = a->shared;
    for (size_t i = 0; i < s->n_nodes; i++)
        make_node(a, &a->nodes[i], i);
    for (size_t i = 0; i < s->n_nets; i++) {
        uint32_t next = 0x0a420001, admin = make_net(a, &a->nets[i], &a->nodes[i * a->size]);
        for (size_t k = 1; k < a->size; k++, next++) {
            next += next == admin ? 1 : 0;
            make_member(a, &a->nets[i], &a->nodes[i * a->size + k], next);
        }
    }
}

/* --- connections ------------------------------------------------------------------------------ */

static uint64_t conn_of(const struct node *n)
{
    return (uint64_t)n->opened << 32 | n->number;
}

static void close_stream(struct node *n)
{
    if (n->sid != 0)
        crowd_put(&n->all->shared->to_coordinator, conn_of(n), CROWD_CLOSE, pv_view(NULL, 0));
    n->sid = 0;
}

static void open_stream(struct node *n, uint32_t sid, pv_ns now)
{
    struct nodes *a = n->all;
    close_stream(n);
    a->shared->result.attempts++;
    if (!a->listening) {
        a->shared->result.lost++;
        pv_coordclient_closed(n->client, sid, -ECONNREFUSED, now);
        return;
    }
    n->sid = sid;
    n->opened++;
    crowd_put(&a->shared->to_coordinator, conn_of(n), CROWD_OPEN, pv_view(NULL, 0));
}

static void flush(struct node *n, pv_ns now)
{
    struct pv_view out;
    while (n->sid != 0 && (out = pv_coordclient_out(n->client, n->sid)).len > 0) {
        crowd_put(&n->all->shared->to_coordinator, conn_of(n), CROWD_DATA, out);
        pv_coordclient_wrote(n->client, n->sid, out.len, now);
    }
}

static void ask(struct node *n, struct pv_ctl_msg *msg)
{
    crowd_check(pv_coordclient_request(n->client, msg, 0), "request");
}

/* As p2pvpnd after a welcome: what is new in the log, copies of messages, and who else is there. */
static void ask_all(struct node *n)
{
    struct nodes *a = n->all;
    size_t first = n->number - n->number % a->size, count = 0;
    uint8_t others[SUBSCRIBE_ALL][PV_SIGN_PK_LEN];
    struct pv_ctl_msg pull = {.type = PV_CTL_PULL, .u.pull = a->nets[n->number / a->size].end};
    struct pv_ctl_msg collect = {.type = PV_CTL_COLLECT};
    ask(n, &pull);
    ask(n, &collect);
    if (a->size > SUBSCRIBE_ALL)
        return;
    for (size_t i = first; i < first + a->size; i++) {
        if (i != n->number)
            memcpy(others[count++], a->nodes[i].sign_pk, PV_SIGN_PK_LEN);
    }
    struct pv_ctl_msg subscribe = {.type = PV_CTL_SUBSCRIBE};
    subscribe.u.subscribe = (struct pv_ctl_subscribe){
        .on = true, .n = count, .nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])others};
    if (count > 0)
        ask(n, &subscribe);
}

static void take_event(struct node *n, const struct pv_coordclient_event *ev, pv_ns now)
{
    struct crowd_shared *s = n->all->shared;
    if (ev->type == PV_COORDCLIENT_EV_ONLINE) {
        n->online = true;
        s->n_online++;
        n->online_at = n->online_at == 0 ? now : n->online_at;
        ask_all(n);
    } else if (ev->type == PV_COORDCLIENT_EV_OFFLINE) {
        s->n_online -= n->online ? 1 : 0;
        n->online = false;
    } else if (ev->type == PV_COORDCLIENT_EV_REFUSED) {
        s->result.lost++;
    }
}

/* After anything happened to a node: its events, its connection, its output, its timer. */
static void serve(struct node *n, pv_ns now)
{
    struct pv_coordclient_event ev;
    struct pv_stream_op op;
    uint32_t sid = 0;
    bool again = true;
    while (again) {
        again = false;
        for (; pv_fifo_take(&n->events, &ev) == PV_OK; again = true) {
            take_event(n, &ev, now);
            pv_ctl_msg_free(ev.msg);
        }
        for (; pv_streams_next_op(&n->streams, &op) == PV_OK; again = true) {
            if (op.type == PV_STREAM_OPEN)
                open_stream(n, op.sid & PV_STREAM_LOCAL_MASK, now); /* as the engine gives it */
            else if ((op.sid & PV_STREAM_LOCAL_MASK) == n->sid)
                close_stream(n);
        }
    }
    while (pv_streams_next_turn(&n->streams, &sid) == PV_OK)
        flush(n, now);
    flush(n, now);
    pv_heap_set(&n->all->timers, &n->timer, pv_coordclient_next_timeout(n->client));
}

/* All lose their coordinator at the same moment. */
static void start_all(struct nodes *a)
{
    static const struct pv_log quiet;
    const struct pv_coordclient_addr at = {.addr = pv_addr4(192, 0, 2, 1, 3478)};
    for (size_t i = 0; i < a->shared->n_nodes; i++) {
        struct node *n = &a->nodes[i];
        const struct net *net = &a->nets[i / a->size];
        const struct pv_coordclient_config cfg = {.rng = a->rng,
                                                  .log = &quiet,
                                                  .sign_sk = n->sign_sk,
                                                  .sign_pk = n->sign_pk,
                                                  .dh_sk = n->dh_sk,
                                                  .streams = &n->streams,
                                                  .kind = PV_STREAM_COORD,
                                                  .events = &n->events};
        struct pv_coordclient_target target = {
            .role = PV_CTL_MEMBER, .has_network = true, .have = net->end};
        memcpy(target.coordinator, a->shared->pk, sizeof(target.coordinator));
        memcpy(target.network, net->id, sizeof(target.network));
        crowd_check(pv_coordclient_new(&n->client, &cfg), "memory");
        crowd_check(pv_coordclient_start(n->client, &target, &at, 1, CROWD_START), "start");
        serve(n, CROWD_START);
    }
}

/* --- turns ------------------------------------------------------------------------------------ */

static void take_frame(struct nodes *a, const struct crowd_frame *f, struct pv_view data, pv_ns now)
{
    struct node *n = &a->nodes[f->conn & UINT32_MAX];
    if (f->conn != conn_of(n) || n->sid == 0)
        return; /* of a connection that it closed */
    if (f->kind == CROWD_CONNECTED) {
        pv_coordclient_connected(n->client, n->sid, now);
    } else if (f->kind == CROWD_DATA) {
        pv_coordclient_handle_bytes(n->client, n->sid, data, now);
    } else {
        uint32_t sid = n->sid;
        n->sid = 0;
        a->shared->result.lost += n->online ? 0 : 1;
        pv_coordclient_closed(n->client, sid, PV_ERR_CLOSED, now);
    }
    serve(n, now);
}

/* Timers that passed while the coordinator was not there are served at their own times. */
static void turn(struct nodes *a)
{
    struct crowd_shared *s = a->shared;
    struct crowd_frame f;
    struct pv_view data;
    size_t at = 0;
    struct pv_heap_node *timer;
    s->to_coordinator.len = 0;
    while (crowd_take(&s->to_nodes, &at, &f, &data))
        take_frame(a, &f, data, s->now);
    for (;;) {
        pv_ns due = pv_heap_next(&a->timers);
        if (due > s->now || (timer = pv_heap_pop_due(&a->timers, s->now)) == NULL)
            break;
        struct node *n = PV_CONTAINER_OF(timer, struct node, timer);
        pv_coordclient_handle_timeout(n->client, a->listening ? s->now : due);
        serve(n, a->listening ? s->now : due);
    }
    a->listening = true;
    s->next = pv_heap_next(&a->timers);
}

static int by_value(const void *a, const void *b)
{
    const pv_ns *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void tell(struct nodes *a)
{
    struct crowd_result *r = &a->shared->result;
    size_t n = a->shared->n_nodes;
    pv_ns *times = calloc(n, sizeof(*times));
    if (times == NULL)
        crowd_die("no memory");
    for (size_t i = 0; i < n; i++)
        times[i] = a->nodes[i].online_at - CROWD_START;
    qsort(times, n, sizeof(*times), by_value);
    r->p50 = (double)times[(n - 1) / 2] / 1e9;
    r->p90 = (double)times[(n - 1) * 9 / 10] / 1e9;
    r->p99 = (double)times[(n - 1) * 99 / 100] / 1e9;
    r->max = (double)times[n - 1] / 1e9;
    free(times);
}

/* The nodes, with their keys and rows. */
static struct nodes *make_nodes(struct crowd_shared *shared)
{
    static struct nodes a;
    a.shared = shared;
    a.rng = pv_entropy();
    a.size = shared->n_nodes / shared->n_nets;
    a.nodes = calloc(shared->n_nodes, sizeof(*a.nodes));
    a.nets = calloc(shared->n_nets, sizeof(*a.nets));
    pv_heap_init(&a.timers);
    if (a.nodes == NULL || a.nets == NULL)
        crowd_die("no memory");
    crowd_check(pv_heap_reserve(&a.timers, shared->n_nodes), "memory");
    pv_rowmark_key(shared->sk, a.mark_key);
    make_all(&a);
    return &a;
}

void crowd_rows_make(struct crowd_shared *shared)
{
    (void)make_nodes(shared);
}

void crowd_nodes_run(struct crowd_shared *shared, int fd)
{
    char byte = 0;
    /* Memory comes from the system as it is asked for: calloc() then leaves alone what it knows to
     * be zero, and of a node's 90 KB most is room that it does not use. */
    (void)mallopt(M_TOP_PAD, 0);
    struct nodes *a = make_nodes(shared);
    start_all(a);
    while (write(fd, "", 1) == 1 && read(fd, &byte, 1) == 1 && !shared->over)
        turn(a);
    tell(a);
    (void)!write(fd, "", 1);
}
