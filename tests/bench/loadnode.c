/* SPDX-License-Identifier: MIT */
/* loadnode.c - the nodes of a load: what each asks the coordinator, and its bytes. */
#include "loadnode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "crypto/hash.h"
#include "sys/net/stream.h"
#include "sys/net/streamtls.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"

enum {
    READ_MAX = 65536,
    EVENTS = 32,    /* few: signals that arrived do not wait long for their stamp */
    USES = 1 << 24, /* of an invite */
};

_Noreturn void load_die(const char *what)
{
    fprintf(stderr, "bench_coordinator: %s\n", what);
    exit(1);
}

void load_check(int r, const char *what)
{
    if (r >= 0)
        return;
    fprintf(stderr, "bench_coordinator: %s: %s\n", what, pv_strstatus(r));
    exit(1);
}

void load_init(struct load *l, size_t n_nodes, size_t n_nets)
{
    l->rng = pv_entropy();
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->cap_nodes = n_nodes;
    l->n_nets = n_nets;
    l->nodes = calloc(n_nodes, sizeof(*l->nodes));
    l->nets = calloc(n_nets, sizeof(*l->nets));
    l->cap_delays = 1 << 20;
    l->delays = calloc(l->cap_delays, sizeof(*l->delays));
    pv_heap_init(&l->timers);
    if (l->epoll < 0 || l->nodes == NULL || l->nets == NULL || l->delays == NULL)
        load_die("out of memory");
    load_check(pv_heap_reserve(&l->timers, n_nodes), "memory");
}

/* --- the connection -------------------------------------------------------------------------- */

static void close_stream(struct load_node *n)
{
    if (n->fd < 0)
        return;
    n->tls = pv_tls_free(n->tls);
    close(n->fd);
    n->fd = -1;
    n->sid = 0;
}

static void watch(struct load_node *n, bool writes, bool is_new)
{
    struct epoll_event ev = {.events = EPOLLIN | (writes ? EPOLLOUT : 0u), .data.ptr = n};
    if (!is_new && writes == n->writes)
        return;
    n->writes = writes;
    if (epoll_ctl(n->load->epoll, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, n->fd, &ev) < 0)
        load_die("epoll");
}

static void lost(struct load_node *n, int status, pv_ns now)
{
    uint32_t sid = n->sid;
    n->load->counts.failures++;
    close_stream(n);
    pv_coordclient_closed(n->client, sid, status, now);
}

/* Each few nodes have a /24 of their own, as machines all over the world have. */
static struct pv_addr source_of(const struct load_node *n)
{
    struct pv_addr a = n->load->source;
    if (n->load->one_address)
        return a;
    uint32_t ip = pv_addr_u32(&a) + (uint32_t)(n->number / LOAD_A_SOURCE * 256) +
                  (uint32_t)(n->number % LOAD_A_SOURCE) + 1;
    return pv_addr4((uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip, 0);
}

static void open_stream(struct load_node *n, const struct pv_stream_op *op, pv_ns now)
{
    const struct pv_stream_bind tie = {.local = source_of(n)};
    static const struct pv_tls_peer anybody = {.trust = PV_TLS_TRUST_ANY};
    close_stream(n);
    n->sid = op->sid & PV_STREAM_LOCAL_MASK; /* as the engine gives it to the part */
    int r = pv_stream_connect(&op->addr, &tie, &n->fd);
    if (r == PV_OK && op->tls)
        r = pv_tls_new_client(&n->tls, n->load->tls, &anybody);
    if (r < 0) {
        lost(n, r, now);
        return;
    }
    (void)setsockopt(n->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    n->connecting = true;
    watch(n, true, true);
}

/* Notes when the kernel got what is read: signals that wait behind pages of thousands of other
 * nodes of this process do not wait where each has its machine. */
static int read_plain(struct load_node *n, void *buf, size_t cap, size_t *ret_n)
{
    struct iovec iov = {.iov_base = buf, .iov_len = cap};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct timespec))];
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(n->fd, &msg, MSG_DONTWAIT);
    if (got <= 0)
        return got == 0 ? PV_ERR_CLOSED : errno == EAGAIN ? PV_ERR_AGAIN : -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        struct timespec t;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&t, CMSG_DATA(c), sizeof(t));
        n->got_at = (pv_ns)t.tv_sec * PV_S(1) + (pv_ns)t.tv_nsec;
    }
    *ret_n = (size_t)got;
    return PV_OK;
}

static int flush(struct load_node *n, pv_ns now)
{
    int r = PV_OK;
    for (;;) {
        struct pv_view out = pv_coordclient_out(n->client, n->sid);
        size_t len = 0;
        if (out.len == 0)
            break;
        r = n->tls == NULL ? pv_stream_write(n->fd, out, &len)
                           : pv_streamtls_write(n->tls, n->fd, out, &len);
        if (r < 0)
            break;
        n->load->counts.tx += len;
        pv_coordclient_wrote(n->client, n->sid, len, now);
    }
    if (r == PV_ERR_AGAIN || r == PV_OK)
        watch(n,
              (r == PV_ERR_AGAIN && n->tls == NULL) ||
                  (n->tls != NULL && pv_streamtls_is_full(n->tls)),
              false);
    return r == PV_ERR_AGAIN ? PV_OK : r;
}

static void on_stream(struct load_node *n, unsigned events, pv_ns now)
{
    static uint8_t buf[READ_MAX];
    int r = PV_OK;
    if (n->connecting) {
        r = pv_stream_connected(n->fd);
        if (r == PV_ERR_AGAIN)
            return;
        n->connecting = false;
        if (r == PV_OK)
            pv_coordclient_connected(n->client, n->sid, now);
    } else if ((events & ~(unsigned)EPOLLOUT) != 0) {
        size_t len = 0;
        n->got_at = pv_clock_wall_us() * PV_US(1);
        r = n->tls == NULL ? read_plain(n, buf, sizeof(buf), &len)
                           : pv_streamtls_read(n->tls, n->fd, buf, sizeof(buf), &len);
        while (r == PV_OK && len > 0) {
            n->load->counts.rx += len;
            pv_coordclient_handle_bytes(n->client, n->sid, pv_view(buf, len), now);
            len = 0;
            if (n->tls != NULL && n->fd >= 0) /* what TLS holds is not seen by epoll */
                r = pv_streamtls_read(n->tls, n->fd, buf, sizeof(buf), &len);
        }
    }
    if (r == PV_OK || r == PV_ERR_AGAIN)
        r = n->fd < 0 ? PV_OK : flush(n, now);
    if (r < 0 && n->fd >= 0)
        lost(n, r, now);
}

/* --- what a node asks ------------------------------------------------------------------------ */

static void ask(struct load_node *n, struct pv_ctl_msg *msg)
{
    load_check(pv_coordclient_request(n->client, msg, 0), "request");
}

static void start(struct load_node *n, enum pv_ctl_role role, bool has_network, pv_ns now)
{
    struct pv_coordclient_target target = {.role = role, .has_network = has_network};
    const struct pv_coordclient_addr at = {.addr = n->load->server, .tls = n->load->tls != NULL};
    memcpy(target.coordinator, n->load->url.pk, sizeof(target.coordinator));
    memcpy(target.network, n->net->made.network_id, sizeof(target.network));
    target.have = role == PV_CTL_MEMBER ? n->have : (struct pv_ctl_cursor){0};
    load_check(pv_coordclient_start(n->client, &target, &at, 1, now), "coordinator's key");
}

/* The token vouches that there are no rules, as the daemon's do: a daemon that joins by another one
 * stays closed, and calls the admin, who does not answer, over and over. */
static void make_invite(struct load_network *net, struct pv_rng *rng)
{
    uint8_t rules[PV_STATEMENT_HASH_LEN];
    pv_rng_fill(rng, net->invite_seed, sizeof(net->invite_seed));
    pv_blake2b(rules, pv_view(NULL, 0), pv_view(NULL, 0), pv_view(NULL, 0));
    pv_token_rules(net->made.network_id, rules,
                   net->invite_seed + PV_SIGN_SEED_LEN - PV_TOKEN_RULES_LEN);
    pv_sign_keypair(net->invite_seed, net->invite_sk, net->invite_pk);
}

static void make_network(struct load_node *n)
{
    struct load_network *net = n->net;
    uint8_t list[PV_STATEMENT_LIST_MAX], seed[PV_SIGN_SEED_LEN];
    struct pv_writer w = pv_writer(list, sizeof(list));
    pv_rng_fill(&n->load->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, net->root_sk, net->root_pk);
    pv_coordlist_put(&w, n->load->url.pk, &n->load->url.addr, 1);
    const struct pv_create create = {
        .root = pv_signer_sk(net->root_sk),
        .node_sk = n->sign_sk,
        .transport = n->dh_pk,
        .network_name = "bench",
        .node_name = "admin",
        .range = {.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16},
        .coordinators = pv_written(&w),
        .wall = (uint64_t)time(NULL),
    };
    load_check(pv_make_create(&create, &net->made), "create");
    make_invite(net, &n->load->rng);
    net->admin = n;
}

static void ask_create(struct load_node *n)
{
    const struct pv_created *made = &n->net->made;
    const struct pv_ctl_item items[] = {
        {.statement = pv_made_view(&made->network)},
        {.statement = pv_view(made->coordinators.raw, made->coordinators.len)},
        {.statement = pv_made_view(&made->admin)},
        {.statement = pv_made_view(&made->member)},
    };
    struct pv_ctl_msg m = {.type = PV_CTL_CREATE};
    m.u.put = (struct pv_ctl_put){
        .has_secret = n->load->url.has_secret, .n = PV_ARRAY_LEN(items), .items = items};
    memcpy(m.u.put.secret, n->load->url.secret, sizeof(m.u.put.secret));
    ask(n, &m);
}

static void ask_invite(struct load_node *n)
{
    struct load_network *net = n->net;
    struct pv_st_invite invite = {
        .not_before = (uint64_t)time(NULL) - 60, .not_after = UINT64_MAX, .uses = USES};
    struct pv_made made;
    memcpy(invite.invite, net->invite_pk, sizeof(invite.invite));
    load_check(pv_make_invite(net->made.network_id, pv_signer_sk(n->sign_sk), &invite, &made),
               "invite");
    const struct pv_ctl_item item = {.statement = pv_made_view(&made)};
    struct pv_ctl_msg m = {.type = PV_CTL_PUT, .u.put = {.n = 1, .items = &item}};
    n->step = LOAD_INVITE;
    ask(n, &m);
}

static void ask_join(struct load_node *n)
{
    uint8_t hash[PV_CTL_HASH_LEN];
    struct pv_ctl_msg m = {.type = PV_CTL_JOIN};
    struct pv_ctl_join *j = &m.u.join;
    memcpy(j->invite, n->net->invite_pk, sizeof(j->invite));
    memcpy(j->node, n->sign_pk, sizeof(j->node));
    snprintf(j->name, sizeof(j->name), "m%zu", n->number);
    load_check(pv_coordclient_handshake_hash(n->client, hash), "join");
    load_check(pv_ctl_join_sign(j, hash, n->net->invite_sk), "join");
    n->step = LOAD_JOIN;
    ask(n, &m);
}

static void ask_register(struct load_node *n, const struct pv_ctl_reservation *got)
{
    struct pv_st_member member = {.issued = (uint64_t)time(NULL)};
    struct pv_made made;
    struct pv_ctl_msg m = {.type = PV_CTL_REGISTER};
    memcpy(member.transport, n->dh_pk, sizeof(member.transport));
    member.serial = member.issued > got->serial ? member.issued : got->serial;
    memcpy(member.name, got->name, sizeof(member.name));
    memcpy(member.ip4, got->ip4, sizeof(member.ip4));
    load_check(
        pv_make_member(n->net->made.network_id, n->net->invite_sk, n->sign_sk, &member, &made),
        "member");
    m.u.reg.member = pv_made_view(&made);
    n->step = LOAD_REGISTER;
    ask(n, &m);
}

static void pull(struct load_node *n, struct pv_ctl_cursor have)
{
    struct pv_ctl_msg m = {.type = PV_CTL_PULL, .u.pull = have};
    ask(n, &m);
}

static void subscribe(struct load_node *n, const uint8_t (*nodes)[PV_SIGN_PK_LEN], size_t count)
{
    struct pv_ctl_msg m = {.type = PV_CTL_SUBSCRIBE};
    if (count == 0)
        return;
    m.u.subscribe = (struct pv_ctl_subscribe){.on = true, .n = count, .nodes = nodes};
    ask(n, &m);
}

/* --- what it hears --------------------------------------------------------------------------- */

/* In a small network everybody subscribes to everybody, as p2pvpnd does. */
static void take_statements(struct load_node *n, const struct pv_ctl_msg *msg, pv_ns now)
{
    const struct pv_ctl_statements *st = &msg->u.statements;
    uint8_t members[PV_CTL_ITEMS_MAX][PV_SIGN_PK_LEN];
    size_t count = 0;
    n->load->counts.items += st->n;
    n->load->counts.pages++;
    if (st->n > 0)
        n->have = st->have;
    if (n->have.epoch > n->net->end.epoch ||
        (n->have.epoch == n->net->end.epoch && n->have.n > n->net->end.n))
        n->net->end = n->have;
    for (size_t i = 0; i < st->n && n->net->n_members <= LOAD_SUBSCRIBE_ALL; i++) {
        struct pv_statement s;
        if (pv_statement_decode(st->items[i].statement, &s) == PV_OK && s.type == PV_ST_MEMBER &&
            memcmp(s.u.member.node, n->sign_pk, PV_SIGN_PK_LEN) != 0)
            memcpy(members[count++], s.u.member.node, PV_SIGN_PK_LEN);
    }
    subscribe(n, (const uint8_t(*)[PV_SIGN_PK_LEN])members, count);
    if (st->more && msg->kind == PV_CTL_ANSWER) {
        pull(n, st->have);
    } else if (msg->kind == PV_CTL_ANSWER && !n->whole) {
        n->whole = true;
        n->load->n_whole++;
        n->whole_at = n->whole_at == 0 ? now : n->whole_at;
    }
}

static void go_online(struct load_node *n, pv_ns now)
{
    static const struct pv_ctl_msg collect = {.type = PV_CTL_COLLECT};
    struct pv_ctl_msg m = collect;
    n->online = true;
    n->load->n_online++;
    n->back_at = now;
    if (n->step != LOAD_INVITE && n->joined == 0) {
        n->step = LOAD_MEMBER;
        n->joined = now;
        n->net->n_members++;
    }
    pull(n, n->have);
    ask(n, &m);
    if (n == n->net->admin && n->net->invite_uses == 0)
        ask_invite(n);
}

static void take_welcome(struct load_node *n, pv_ns now)
{
    if (n->step >= LOAD_INVITE) {
        go_online(n, now);
        return;
    }
    if (n->step == LOAD_CREATE) {
        ask_create(n);
        return;
    }
    struct pv_ctl_msg m = {.type = PV_CTL_FETCH};
    memcpy(m.u.fetch.invite, n->net->invite_pk, sizeof(m.u.fetch.invite));
    n->step = LOAD_FETCH;
    ask(n, &m);
}

static void explain(const struct pv_ctl_msg *msg)
{
    fprintf(stderr, "bench_coordinator: refused: %s: %s\n", pv_ctl_error_word(msg->u.failure.error),
            msg->u.failure.message == NULL ? "" : msg->u.failure.message);
    exit(1);
}

static void need_receipts(const struct pv_ctl_msg *msg)
{
    for (size_t i = 0; i < msg->u.receipts.n; i++) {
        if (msg->u.receipts.results[i].error != PV_CTL_E_NONE)
            load_die(pv_ctl_error_word(msg->u.receipts.results[i].error));
    }
}

/* A refused step of joining ends the program, but for "limit" and "storage": then it is asked again
 * from the beginning, by another connection. */
static void take_error(struct load_node *n, const struct pv_coordclient_event *ev, pv_ns now)
{
    enum pv_ctl_error e = ev->msg->u.failure.error;
    if (ev->request == PV_CTL_SIGNAL) {
        n->load->counts.refused++;
    } else if (n->step == LOAD_MEMBER) {
        n->load->counts.failures++;
    } else if (e == PV_CTL_E_LIMIT || e == PV_CTL_E_STORAGE) {
        n->load->counts.failures++;
        start(n, PV_CTL_APPLICANT, n->step != LOAD_CREATE, now);
    } else {
        explain(ev->msg);
    }
}

static void take_answer(struct load_node *n, const struct pv_coordclient_event *ev, pv_ns now)
{
    const struct pv_ctl_msg *msg = ev->msg;
    if (msg->type == PV_CTL_ERROR) {
        take_error(n, ev, now);
    } else if (msg->type == PV_CTL_STATEMENTS && n->step == LOAD_FETCH) {
        ask_join(n);
    } else if (msg->type == PV_CTL_STATEMENTS) {
        take_statements(n, msg, now);
    } else if (msg->type == PV_CTL_RESERVATION) {
        ask_register(n, &msg->u.reservation);
    } else if (msg->type == PV_CTL_REGISTERED) {
        n->step = LOAD_MEMBER;
        start(n, PV_CTL_MEMBER, true, now);
    } else if (msg->type == PV_CTL_RECEIPTS) {
        need_receipts(msg);
        if (n->step == LOAD_CREATE) {
            n->step = LOAD_MEMBER;
            start(n, PV_CTL_MEMBER, true, now);
        } else {
            n->step = LOAD_MEMBER;
            n->net->invite_uses = USES;
        }
    }
}

static void take_push(struct load_node *n, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct load *l = n->load;
    if (msg->type == PV_CTL_STATEMENTS) {
        take_statements(n, msg, now);
    } else if (msg->type == PV_CTL_PRESENCE) {
        l->counts.presences++;
    } else if (msg->type == PV_CTL_SIGNAL && msg->u.signal.box.len >= LOAD_STAMP) {
        pv_ns sent = pv_load_be64(msg->u.signal.box.ptr);
        l->counts.signals++;
        if (l->n_delays < l->cap_delays)
            l->delays[l->n_delays++] = n->got_at - sent < PV_S(3600) ? n->got_at - sent : 0;
    }
}

static void go_offline(struct load_node *n)
{
    n->load->n_online -= n->online ? 1 : 0;
    n->load->n_whole -= n->whole ? 1 : 0;
    n->online = n->whole = false;
}

static void take_event(struct load_node *n, const struct pv_coordclient_event *ev, pv_ns now)
{
    switch (ev->type) {
    case PV_COORDCLIENT_EV_ONLINE:
        take_welcome(n, now);
        break;
    case PV_COORDCLIENT_EV_ANSWER:
        take_answer(n, ev, now);
        break;
    case PV_COORDCLIENT_EV_PUSH:
        take_push(n, ev->msg, now);
        break;
    case PV_COORDCLIENT_EV_REFUSED:
        n->load->counts.failures++;
        break;
    case PV_COORDCLIENT_EV_AWAY: /* it goes on by itself */
        break;
    case PV_COORDCLIENT_EV_OFFLINE:
        go_offline(n);
        break;
    }
}

/* After anything happened to a node: its events, its connection, its output, its timer. */
static void serve(struct load_node *n, pv_ns now)
{
    struct pv_coordclient_event ev;
    struct pv_stream_op op;
    uint32_t sid = 0;
    bool again = true;
    while (again) {
        again = false;
        while (pv_fifo_take(&n->events, &ev) == PV_OK) {
            take_event(n, &ev, now);
            pv_ctl_msg_free(ev.msg);
            again = true;
        }
        while (pv_streams_next_op(&n->streams, &op) == PV_OK) {
            if (op.type == PV_STREAM_OPEN)
                open_stream(n, &op, now);
            else if ((op.sid & PV_STREAM_LOCAL_MASK) == n->sid)
                close_stream(n);
            again = true;
        }
    }
    while (pv_streams_next_turn(&n->streams, &sid) == PV_OK) {
        bool mine = (sid & PV_STREAM_LOCAL_MASK) == n->sid;
        int r = mine && !n->connecting ? flush(n, now) : PV_OK;
        if (r < 0)
            lost(n, r, now);
    }
    pv_heap_set(&n->load->timers, &n->timer, pv_coordclient_next_timeout(n->client));
}

/* --- for the bench --------------------------------------------------------------------------- */

struct load_node *load_add(struct load *l)
{
    static const struct pv_log quiet;
    if (l->n_nodes == l->cap_nodes)
        load_die("more nodes than were asked for");
    struct load_node *n = &l->nodes[l->n_nodes];
    uint8_t seed[PV_SIGN_SEED_LEN];
    n->load = l;
    n->number = l->n_nodes++;
    n->net = &l->nets[n->number % l->n_nets];
    n->fd = -1;
    pv_rng_fill(&l->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, n->sign_sk, n->sign_pk);
    pv_dh_keypair(&l->rng, n->dh_sk, n->dh_pk);
    const struct pv_coordclient_config cfg = {.rng = l->rng,
                                              .log = &quiet,
                                              .sign_sk = n->sign_sk,
                                              .sign_pk = n->sign_pk,
                                              .dh_sk = n->dh_sk,
                                              .streams = &n->streams,
                                              .kind = PV_STREAM_COORD,
                                              .events = &n->events};
    load_check(pv_coordclient_new(&n->client, &cfg), "memory");
    return n;
}

void load_begin(struct load_node *n, pv_ns now)
{
    bool creates = n->net->admin == NULL;
    n->began = now;
    if (creates)
        make_network(n);
    n->step = creates ? LOAD_CREATE : LOAD_FETCH;
    start(n, PV_CTL_APPLICANT, !creates, now);
    serve(n, now);
}

void load_flap(struct load_node *n, pv_ns now)
{
    go_offline(n);
    start(n, PV_CTL_MEMBER, true, now);
    serve(n, now);
}

bool load_signal(struct load_node *from, const struct load_node *to, size_t size, pv_ns now)
{
    uint8_t box[PV_CTL_BOX_MAX] = {0};
    struct pv_ctl_msg m = {.type = PV_CTL_SIGNAL};
    pv_store_be64(box, pv_clock_wall_us() * PV_US(1));
    memcpy(m.u.signal.node, to->sign_pk, PV_SIGN_PK_LEN);
    m.u.signal.box = pv_view(box, size);
    if (!from->online || pv_coordclient_request(from->client, &m, 0) < 0)
        return false;
    serve(from, now);
    return true;
}

bool load_turn(struct load *l, int input, int ms)
{
    struct epoll_event events[EVENTS];
    struct pv_heap_node *timer;
    bool readable = false;
    pv_ns now = pv_clock_now(), next = pv_heap_next(&l->timers);
    if (next != PV_NEVER && next < now + PV_MS(ms))
        ms = next <= now ? 0 : (int)((next - now) / PV_MS(1)) + 1;
    int n = epoll_wait(l->epoll, events, EVENTS, ms);
    now = pv_clock_now();
    for (int i = 0; i < n; i++) {
        struct load_node *node = events[i].data.ptr;
        if (node == NULL) {
            readable = input >= 0;
            continue;
        }
        if (node->fd >= 0)
            on_stream(node, events[i].events, now);
        serve(node, now);
    }
    while ((timer = pv_heap_pop_due(&l->timers, now)) != NULL) {
        struct load_node *node = PV_CONTAINER_OF(timer, struct load_node, timer);
        pv_coordclient_handle_timeout(node->client, now);
        serve(node, now);
    }
    return readable;
}

void load_done(struct load *l)
{
    for (size_t i = 0; i < l->n_nodes; i++) {
        close_stream(&l->nodes[i]);
        pv_coordclient_free(l->nodes[i].client);
        pv_streams_done(&l->nodes[i].streams);
    }
    pv_heap_done(&l->timers);
    pv_tls_ctx_free(l->tls);
    pv_url_done(&l->url);
    close(l->epoll);
    free(l->nodes);
    free(l->nets);
    free(l->delays);
}
