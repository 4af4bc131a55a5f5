/* SPDX-License-Identifier: MIT */
/*
 * bench_relay - load for a TURN server, and what it does to signalling. tests/bench/relay.py drives
 * it; nothing is asserted.
 *
 *   bench_relay static  SERVER USER PASSWORD N PEER-IP
 *                                                 N allocations of a static user, one peer at an
 *                                                 address of this machine
 *   bench_relay members SERVER URL N [udp|tcp|tls]
 *                                                 N members of a new network, in pairs; how they
 *                                                 reach the relay
 *   bench_relay ping    SERVER URL                one member's control channel
 *
 * When everything is set up it says "ready" and reads lines: "SIZE SECONDS WINDOW BURST RUNS"
 * relays payloads of SIZE bytes in both directions, never more than WINDOW of them under way, BURST
 * of a flow in its turn, and prints how many arrived; RUNS 1: a burst is sent by UDP_SEGMENT. "ping
 * COUNT" prints round trips in microseconds.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/outbuf.h"
#include "base/text.h"
#include "coordinator/core/turn/turnauth.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "crypto/sign.h"
#include "proto/control/control.h"
#include "proto/control/ctlmsg.h"
#include "proto/roster/roster_make.h"
#include "proto/roster/token.h"
#include "proto/stun/stun.h"
#include "proto/stun/turn.h"
#include "proto/stun/turnframe.h"
#include "sys/net/stream.h"
#include "sys/net/streamtls.h"
#include "sys/net/udp.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"

enum {
    FLOWS_MAX = 4096,
    CHANNEL = 0x4000,
    RETRY_MS = 500,
    TRIES = 60,
    BURST = 64,                 /* datagrams */
    OUT_MAX = 4 * BURST * 2048, /* bytes that a stream's flow has not written yet */
};

#define USAGE \
    "static SERVER USER PASSWORD N PEER-IP | members SERVER URL N [udp|tcp|tls] | ping SERVER URL"

static void die(const char *what)
{
    fprintf(stderr, "bench_relay: %s\n", what);
    exit(1);
}

static void check(int r, const char *what)
{
    if (r < 0) {
        fprintf(stderr, "bench_relay: %s: %s\n", what, pv_strstatus(r));
        exit(1);
    }
}

/* --- one client's end ------------------------------------------------------------------------ */

/* A client's 5-tuple with its allocation. to: where its datagrams arrive (another client or the
 * peer); relayed: where the peer sends. */
struct flow {
    int fd;
    struct pv_addr at, relayed;
    struct pv_turnauth_creds creds;

    /* By a stream. */
    struct pv_tls *tls; /* NULL: plain */
    struct pv_turnframe frames;
    struct pv_outbuf out;
};

enum via {
    VIA_UDP,
    VIA_TCP,
    VIA_TLS,
};

struct bench {
    struct pv_addr server;
    struct flow flows[FLOWS_MAX];
    size_t n;
    int peer; /* -1: members */
    struct pv_addr peer_at;
    int epoll;
    struct pv_udp_receiver *rx;
    struct pv_rng rng;
    bool is_static;
    enum via via;
    struct pv_tls_ctx *ctx;
};

/* --- a flow by a stream -------------------------------------------------------------------- */

static void wait_fd(int fd, short events)
{
    struct pollfd pfd = {.fd = fd, .events = events};
    if (poll(&pfd, 1, 20000) != 1)
        die("the coordinator does not answer");
}

static void flow_flush(struct flow *f)
{
    int r = f->tls == NULL ? PV_OK : pv_streamtls_flush(f->tls, f->fd);
    while (r == PV_OK && pv_outbuf_view(&f->out).len > 0) {
        struct pv_view v = pv_outbuf_view(&f->out);
        size_t n = 0;
        r = f->tls == NULL ? pv_stream_write(f->fd, v, &n)
                           : pv_streamtls_write(f->tls, f->fd, v, &n);
        if (r == PV_OK)
            (void)pv_outbuf_wrote(&f->out, n);
    }
    if (r != PV_ERR_AGAIN)
        check(r, "stream");
}

static void flow_put(struct flow *f, struct pv_view message)
{
    static const uint8_t zeros[4];
    check(pv_outbuf_put(&f->out, message, OUT_MAX), "stream");
    check(pv_outbuf_put(&f->out, pv_view(zeros, pv_turnframe_padding(message.len)), OUT_MAX),
          "stream");
}

/* Bytes that came; 0: none. */
static size_t flow_read(struct flow *f, uint8_t *buf, size_t cap)
{
    size_t n = 0;
    int r = f->tls == NULL ? pv_stream_read(f->fd, buf, cap, &n)
                           : pv_streamtls_read(f->tls, f->fd, buf, cap, &n);
    if (r == PV_ERR_AGAIN)
        return 0;
    check(r, "stream");
    return n;
}

static void flow_connect(struct bench *b, struct flow *f)
{
    static const struct pv_stream_bind wide = {.wide = true};
    static const struct pv_tls_peer anybody = {.trust = PV_TLS_TRUST_ANY};
    char error[PV_TLS_ERROR_MAX];
    check(pv_stream_connect(&b->server, &wide, &f->fd), "connect");
    wait_fd(f->fd, POLLOUT);
    check(pv_stream_connected(f->fd), "connect");
    if (b->via != VIA_TLS)
        return;
    if (b->ctx == NULL)
        check(pv_tls_ctx_new_client(&b->ctx, NULL, error), "TLS");
    check(pv_tls_new_client(&f->tls, b->ctx, &anybody), "TLS");
    while (!pv_tls_is_ready(f->tls)) {
        static uint8_t buf[65536];
        flow_flush(f);
        wait_fd(f->fd, POLLIN);
        (void)flow_read(f, buf, sizeof(buf));
    }
}

static int open_socket(const struct pv_addr *from, struct pv_addr *ret_at)
{
    static const struct pv_udp_opts plain = {0};
    int fd = -1;
    check(pv_udp_open(from, &plain, &fd), "socket");
    check(pv_udp_local(fd, ret_at), "socket");
    return fd;
}

/* The same by a stream, which loses nothing; the answer's bytes stay in the flow. */
static void transact_stream(struct flow *f, struct pv_view request, struct pv_stun_msg *ret_msg)
{
    static uint8_t buf[65536];
    flow_put(f, request);
    flow_flush(f);
    for (;;) {
        wait_fd(f->fd, POLLIN);
        struct pv_view data = pv_view(buf, flow_read(f, buf, sizeof(buf))), message;
        while (pv_turnframe_next(&f->frames, &data, &message) == PV_OK)
            if (pv_stun_decode(message, ret_msg) == PV_OK &&
                memcmp(ret_msg->txid, request.ptr + 8, PV_STUN_TXID_LEN) == 0)
                return;
    }
}

/* Sends a request until it is answered; the answer's bytes stay in the receiver. */
static void transact(struct bench *b, struct flow *f, struct pv_view request,
                     struct pv_stun_msg *ret_msg)
{
    if (b->via != VIA_UDP) {
        transact_stream(f, request, ret_msg);
        return;
    }
    const struct pv_udp_out out = {.dst = b->server, .data = request};
    struct pv_udp_counts counts = {0};
    for (int i = 0; i < TRIES; i++) {
        struct pollfd pfd = {.fd = f->fd, .events = POLLIN};
        struct pv_udp_in *in = NULL;
        size_t n = 0;
        pv_udp_send(f->fd, &out, 1, &counts);
        while (poll(&pfd, 1, RETRY_MS) > 0) {
            if (pv_udp_recv(b->rx, f->fd, &in, &n) < 0)
                continue;
            for (size_t k = 0; k < n; k++) {
                if (pv_stun_decode(pv_view(in[k].ptr, in[k].len), ret_msg) == PV_OK &&
                    memcmp(ret_msg->txid, request.ptr + 8, PV_STUN_TXID_LEN) == 0)
                    return;
            }
        }
    }
    die("the server does not answer");
}

static void begin(struct bench *b, struct pv_stun_writer *w, uint8_t buf[static 512],
                  uint16_t method)
{
    uint8_t txid[PV_STUN_TXID_LEN];
    pv_rng_fill(&b->rng, txid, sizeof(txid));
    pv_stun_write_begin(w, buf, 512, PV_STUN_REQUEST, method, txid);
}

static struct pv_view finish(struct pv_stun_writer *w, const struct pv_turnauth_creds *creds)
{
    struct pv_turnauth_key key;
    size_t len = 0;
    if (creds->nonce[0] != '\0') {
        check(pv_turnauth_key(creds->user, creds->password, &key), "key");
        pv_stun_put(w, PV_STUN_ATTR_USERNAME, pv_view(creds->user, strlen(creds->user)));
        pv_stun_put(w, PV_STUN_ATTR_REALM, pv_view(PV_TURNAUTH_REALM, strlen(PV_TURNAUTH_REALM)));
        pv_stun_put(w, PV_STUN_ATTR_NONCE, pv_view(creds->nonce, strlen(creds->nonce)));
        pv_stun_put_integrity(w, pv_view(key.md5, sizeof(key.md5)));
    }
    check(pv_stun_write_end(w, &len), "write");
    return pv_view(w->buf, len);
}

static void need_success(const struct pv_stun_msg *msg, const char *what)
{
    if (msg->cls != PV_STUN_SUCCESS)
        die(what);
}

static void allocate(struct bench *b, struct flow *f)
{
    uint8_t buf[512];
    struct pv_stun_writer w;
    struct pv_stun_msg msg;
    for (int i = 0; i < 2; i++) {
        begin(b, &w, buf, PV_TURN_ALLOCATE);
        pv_stun_put_u32(&w, PV_TURN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
        if (!b->is_static)
            pv_stun_put_u32(&w, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
        transact(b, f, finish(&w, &f->creds), &msg);
        struct pv_view nonce;
        if (msg.cls == PV_STUN_SUCCESS || f->creds.nonce[0] != '\0' ||
            pv_stun_find(&msg, PV_STUN_ATTR_NONCE, &nonce) < 0 ||
            nonce.len >= sizeof(f->creds.nonce))
            break;
        memcpy(f->creds.nonce, nonce.ptr, nonce.len);
    }
    need_success(&msg, "no allocation");
    check(pv_stun_get_xor_addr(&msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &f->relayed), "allocation");
}

static void bind_channel(struct bench *b, struct flow *f, const struct pv_addr *peer)
{
    uint8_t buf[512];
    struct pv_stun_writer w;
    struct pv_stun_msg msg;
    begin(b, &w, buf, PV_TURN_CHANNEL_BIND);
    pv_stun_put_u32(&w, PV_TURN_ATTR_CHANNEL_NUMBER, (uint32_t)CHANNEL << 16);
    pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_PEER_ADDRESS, peer);
    transact(b, f, finish(&w, &f->creds), &msg);
    need_success(&msg, "no channel");
}

static void watch(struct bench *b, int fd, uint32_t tag)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = tag};
    if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll");
}

static struct flow *new_flow(struct bench *b)
{
    struct flow *f = &b->flows[b->n];
    static const uint8_t any6[16];
    const struct pv_addr any =
        b->server.family == PV_AF_INET6 ? pv_addr6(any6, 0) : pv_addr4(0, 0, 0, 0, 0);
    if (b->via == VIA_UDP)
        f->fd = open_socket(&any, &f->at);
    else
        flow_connect(b, f);
    watch(b, f->fd, (uint32_t)b->n++);
    return f;
}

/* --- load ---------------------------------------------------------------------------------- */

struct load {
    size_t size, window, burst; /* bytes of payload, datagrams */
    bool merged;
    uint64_t sent, got;
    struct pv_udp_counts counts;
    uint8_t data[BURST][2048];
    uint8_t runs[BURST * 1500];
};

/* n datagrams of one flow; framed as ChannelData when they come from a client. */
static void send_burst(struct load *l, int fd, const struct pv_addr *to, bool framed, size_t n)
{
    struct pv_udp_out out[BURST];
    size_t head = framed ? PV_TURN_CHANNEL_HEADER : 0;
    if (l->merged) {
        size_t len = head + l->size;
        for (size_t i = 0; framed && i < n; i++)
            pv_turn_channel_header(l->runs + i * len, CHANNEL, (uint16_t)l->size);
        out[0] = (struct pv_udp_out){
            .dst = *to, .data = pv_view(l->runs, n * len), .segment = (uint16_t)len};
        pv_udp_send(fd, out, 1, &l->counts);
    } else {
        for (size_t i = 0; i < n; i++) {
            if (framed)
                pv_turn_channel_header(l->data[i], CHANNEL, (uint16_t)l->size);
            out[i] = (struct pv_udp_out){.dst = *to, .data = pv_view(l->data[i], head + l->size)};
        }
        pv_udp_send(fd, out, n, &l->counts);
    }
    l->sent += n;
}

static void send_stream(struct load *l, struct flow *f, size_t n)
{
    flow_flush(f);
    for (size_t i = 0; i < n && pv_outbuf_view(&f->out).len < OUT_MAX / 2; i++) {
        pv_turn_channel_header(l->data[0], CHANNEL, (uint16_t)l->size);
        flow_put(f, pv_view(l->data[0], PV_TURN_CHANNEL_HEADER + l->size));
        l->sent++;
    }
    flow_flush(f);
}

static void drain_stream(struct load *l, struct flow *f)
{
    static uint8_t buf[65536];
    size_t n;
    flow_flush(f);
    while ((n = flow_read(f, buf, sizeof(buf))) > 0) {
        struct pv_view data = pv_view(buf, n), message;
        while (pv_turnframe_next(&f->frames, &data, &message) == PV_OK)
            l->got++;
    }
}

static void drain(struct bench *b, struct load *l, int fd)
{
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    while (pv_udp_recv(b->rx, fd, &in, &n) == PV_OK && n > 0) {
        for (size_t i = 0; i < n; i++) {
            size_t step = in[i].segment == 0 ? in[i].len : in[i].segment;
            l->got += step == 0 ? 1 : (in[i].len + step - 1) / step;
        }
        if (n < PV_UDP_BATCH)
            break;
    }
}

/* Takes what has arrived, waiting up to ms for anything. False: nothing came. */
static bool collect(struct bench *b, struct load *l, int ms)
{
    struct epoll_event ev[256];
    int n = epoll_wait(b->epoll, ev, 256, ms);
    for (int i = 0; i < n; i++) {
        uint32_t tag = ev[i].data.u32;
        if (tag != UINT32_MAX && b->via != VIA_UDP)
            drain_stream(l, &b->flows[tag]);
        else
            drain(b, l, tag == UINT32_MAX ? b->peer : b->flows[tag].fd);
    }
    return n > 0;
}

static void run_load(struct bench *b, struct load *l, double seconds)
{
    pv_ns began = pv_clock_now();
    pv_ns end = began + (pv_ns)(seconds * 1e9);
    uint64_t lost = 0; /* given up: not under way any more */
    size_t at = 0;
    while (pv_clock_now() < end) {
        for (size_t i = 0; i < b->n && l->sent - l->got - lost < l->window; i++) {
            struct flow *f = &b->flows[at];
            at = (at + 1) % b->n;
            if (b->via != VIA_UDP)
                send_stream(l, f, l->burst);
            else
                send_burst(l, f->fd, &b->server, true, l->burst);
            if (b->peer >= 0)
                send_burst(l, b->peer, &f->relayed, false, l->burst);
        }
        bool full = l->sent - l->got - lost >= l->window;
        if (!collect(b, l, full ? 20 : 0) && full)
            lost = l->sent - l->got;
    }
    double took = (double)(pv_clock_now() - began) / 1e9;
    while (collect(b, l, 100))
        ;
    printf("{\"sent\": %llu, \"got\": %llu, \"seconds\": %.3f}\n", (unsigned long long)l->sent,
           (unsigned long long)l->got, took);
    fflush(stdout);
}

static void serve_lines(struct bench *b)
{
    static struct load l;
    unsigned size, window, burst, runs;
    double seconds;
    puts("ready");
    fflush(stdout);
    while (scanf("%u %lf %u %u %u", &size, &seconds, &window, &burst, &runs) == 5) {
        if (size == 0 || size > 1400 || window == 0 || burst == 0 || burst > BURST)
            die("SIZE SECONDS WINDOW BURST RUNS");
        l = (struct load){.size = size, .window = window, .burst = burst, .merged = runs != 0};
        if (runs != 0 && burst * (size + 4) > 65000)
            l.burst = 65000 / (size + 4);
        run_load(b, &l, seconds);
    }
}

/* --- members ------------------------------------------------------------------------------- */

struct node {
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    uint8_t transport_sk[PV_DH_LEN], transport_pk[PV_DH_LEN];
};

/* A control channel, blocking. */
struct channel {
    int fd;
    struct pv_control *control;
    uint64_t next_id;
};

static void make_node(struct bench *b, struct node *n)
{
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&b->rng, seed, sizeof(seed));
    pv_sign_keypair(seed, n->sk, n->pk);
    pv_dh_keypair(&b->rng, n->transport_sk, n->transport_pk);
}

static void flush(struct channel *c)
{
    struct pv_view out;
    while ((out = pv_control_out(c->control)).len > 0) {
        size_t n = 0;
        int r = pv_stream_write(c->fd, out, &n);
        if (r == PV_ERR_AGAIN)
            wait_fd(c->fd, POLLOUT);
        else
            check(r, "control channel");
        pv_control_wrote(c->control, n);
    }
}

/* Reads until a message is whole, or the handshake done (then NULL is returned). */
static struct pv_ctl_msg *next_message(struct channel *c, bool handshake)
{
    static uint8_t buf[65536];
    static size_t at, len;
    for (;;) {
        struct pv_view text;
        struct pv_ctl_msg *msg = NULL;
        if (pv_control_poll_message(c->control, &text) == PV_OK) {
            check(pv_ctl_parse(text, &msg), "message");
            return msg;
        }
        if (handshake && pv_control_state(c->control) == PV_CONTROL_READY)
            return NULL;
        if (at == len) {
            at = len = 0;
            int r = pv_stream_read(c->fd, buf, sizeof(buf), &len);
            if (r == PV_ERR_AGAIN)
                wait_fd(c->fd, POLLIN);
            else
                check(r, "control channel");
        }
        size_t used = 0;
        check(pv_control_handle_bytes(c->control, pv_view(buf + at, len - at), &used), "control");
        at += used;
        flush(c);
    }
}

/* Asks and gives the answer. */
static struct pv_ctl_msg *ask(struct channel *c, struct pv_ctl_msg msg, enum pv_ctl_type expect)
{
    static char text[PV_CTL_TEXT_MAX];
    size_t len = 0;
    msg.kind = PV_CTL_REQUEST;
    msg.id = ++c->next_id;
    check(pv_ctl_build(&msg, text, sizeof(text), &len), "build");
    check(pv_control_send(c->control, pv_view(text, len)), "send");
    flush(c);
    for (;;) {
        struct pv_ctl_msg *m = next_message(c, false);
        if (m->kind == PV_CTL_ANSWER && m->id == msg.id) {
            if (m->type == PV_CTL_ERROR)
                die(m->u.failure.message);
            if (m->type != expect)
                die("another answer than expected");
            return m;
        }
        pv_ctl_msg_free(m);
    }
}

static struct pv_ctl_msg *login(struct bench *b, struct channel *c, const struct node *n,
                                const struct pv_url *url, const uint8_t *network)
{
    static const struct pv_stream_bind nowhere = {0};
    uint8_t dh[PV_DH_LEN];
    uint8_t hash[PV_CTL_HASH_LEN];
    *c = (struct channel){.fd = -1};
    check(pv_sign_pk_to_dh(url->pk, dh), "url");
    check(pv_stream_connect(&b->server, &nowhere, &c->fd), "connect");
    wait_fd(c->fd, POLLOUT);
    check(pv_stream_connected(c->fd), "connect");
    check(pv_control_new_client(&c->control, n->transport_sk, dh, &b->rng), "control");
    flush(c);
    (void)next_message(c, true);
    struct pv_ctl_msg m = {.type = PV_CTL_HELLO};
    m.u.hello = (struct pv_ctl_hello){.v = 1,
                                      .has_network = network != NULL,
                                      .role = network != NULL ? PV_CTL_MEMBER : PV_CTL_APPLICANT};
    if (network != NULL)
        memcpy(m.u.hello.network, network, PV_CTL_NETWORK_LEN);
    memcpy(m.u.hello.node, n->pk, PV_SIGN_PK_LEN);
    check(pv_control_handshake_hash(c->control, hash), "hello");
    check(pv_ctl_hello_sign(m.u.hello.sig, hash, n->sk), "hello");
    return ask(c, m, PV_CTL_WELCOME);
}

static void hang_up(struct channel *c)
{
    pv_control_free(c->control);
    close(c->fd);
}

struct network {
    struct pv_created made;
    struct node admin;
    uint64_t wall;
};

static void need_receipts(struct pv_ctl_msg *m)
{
    for (size_t i = 0; i < m->u.receipts.n; i++) {
        if (m->u.receipts.results[i].error != PV_CTL_E_NONE)
            die(pv_ctl_error_word(m->u.receipts.results[i].error));
    }
    pv_ctl_msg_free(m);
}

static void create_network(struct bench *b, const struct pv_url *url, struct network *net)
{
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer w = pv_writer(list, sizeof(list));
    struct node root;
    struct channel c;
    make_node(b, &root);
    make_node(b, &net->admin);
    net->wall = (uint64_t)time(NULL);
    pv_coordlist_put(&w, url->pk, &url->addr, 1);
    const struct pv_create create = {
        .root = pv_signer_sk(root.sk),
        .node_sk = net->admin.sk,
        .transport = net->admin.transport_pk,
        .network_name = "bench",
        .node_name = "admin",
        .range = {.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16},
        .coordinators = pv_written(&w),
        .wall = net->wall,
    };
    check(pv_make_create(&create, &net->made), "create");
    struct pv_ctl_item items[4] = {
        {.statement = pv_made_view(&net->made.network)},
        {.statement = pv_view(net->made.coordinators.raw, net->made.coordinators.len)},
        {.statement = pv_made_view(&net->made.admin)},
        {.statement = pv_made_view(&net->made.member)},
    };
    struct pv_ctl_msg m = {.type = PV_CTL_CREATE};
    m.u.put = (struct pv_ctl_put){.has_secret = url->has_secret, .n = 4, .items = items};
    memcpy(m.u.put.secret, url->secret, sizeof(m.u.put.secret));
    pv_ctl_msg_free(login(b, &c, &net->admin, url, NULL));
    need_receipts(ask(&c, m, PV_CTL_RECEIPTS));
    hang_up(&c);
}

/* n members more, signed by the admin. */
static void add_members(struct bench *b, const struct pv_url *url, const struct network *net,
                        const struct node *nodes, size_t n)
{
    static struct pv_made made[PV_CTL_ITEMS_MAX];
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct channel c;
    pv_ctl_msg_free(login(b, &c, &net->admin, url, net->made.network_id));
    for (size_t i = 0; i < n;) {
        size_t k = 0;
        for (; k < PV_CTL_ITEMS_MAX && i < n; k++, i++) {
            uint32_t ip = pv_addr_u32(&(struct pv_addr){.family = PV_AF_INET, .ip = {10, 66}}) +
                          (uint32_t)i + 256;
            struct pv_st_member m = {.issued = net->wall};
            if (ip >= net->made.ip4)
                ip++;
            pv_store_be32(m.ip4, ip);
            memcpy(m.transport, nodes[i].transport_pk, sizeof(m.transport));
            snprintf(m.name, sizeof(m.name), "m%zu", i);
            check(pv_make_member(net->made.network_id, net->admin.sk, nodes[i].sk, &m, &made[k]),
                  "member");
            items[k] = (struct pv_ctl_item){.statement = pv_made_view(&made[k])};
        }
        need_receipts(
            ask(&c, (struct pv_ctl_msg){.type = PV_CTL_PUT, .u.put = {.n = k, .items = items}},
                PV_CTL_RECEIPTS));
    }
    hang_up(&c);
}

static void parse_url(const char *text, struct pv_url *url)
{
    check(pv_url_parse(text, strlen(text), url), "URL");
}

static void run_members(struct bench *b, const char *url_text, size_t n)
{
    static struct node nodes[FLOWS_MAX];
    static struct network net;
    struct pv_url url;
    parse_url(url_text, &url);
    create_network(b, &url, &net);
    for (size_t i = 0; i < n; i++)
        make_node(b, &nodes[i]);
    add_members(b, &url, &net, nodes, n);
    for (size_t i = 0; i < n; i++) {
        struct channel c;
        struct flow *f = new_flow(b);
        struct pv_ctl_msg *m = login(b, &c, &nodes[i], &url, net.made.network_id);
        if (!m->u.welcome.has_turn)
            die("no relay in welcome");
        snprintf(f->creds.user, sizeof(f->creds.user), "%s", m->u.welcome.turn.user);
        snprintf(f->creds.password, sizeof(f->creds.password), "%s", m->u.welcome.turn.password);
        snprintf(f->creds.nonce, sizeof(f->creds.nonce), "%s", m->u.welcome.turn.nonce);
        pv_ctl_msg_free(m);
        allocate(b, f);
        hang_up(&c); /* the allocation lives on */
    }
    for (size_t i = 0; i < n; i++)
        bind_channel(b, &b->flows[i], &b->flows[i ^ 1].relayed);
    serve_lines(b);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void run_pings(struct bench *b, const char *url_text)
{
    static struct network net;
    static double took[100000];
    struct pv_url url;
    struct channel c;
    unsigned count;
    parse_url(url_text, &url);
    create_network(b, &url, &net);
    pv_ctl_msg_free(login(b, &c, &net.admin, &url, net.made.network_id));
    puts("ready");
    fflush(stdout);
    while (scanf(" ping %u", &count) == 1 && count > 0 && count <= PV_ARRAY_LEN(took)) {
        for (unsigned i = 0; i < count; i++) {
            pv_ns began = pv_clock_now();
            pv_ctl_msg_free(ask(&c, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG));
            took[i] = (double)(pv_clock_now() - began) / 1e3;
            (void)!poll(NULL, 0, 25); /* fewer than the limit of requests */
        }
        qsort(took, count, sizeof(took[0]), by_value);
        printf("{\"median_us\": %.0f, \"p95_us\": %.0f, \"p99_us\": %.0f}\n", took[count / 2],
               took[count * 95 / 100], took[count * 99 / 100]);
        fflush(stdout);
    }
    hang_up(&c);
}

static void run_static(struct bench *b, const char *user, const char *password, size_t n)
{
    b->peer = open_socket(&b->peer_at, &b->peer_at);
    watch(b, b->peer, UINT32_MAX);
    for (size_t i = 0; i < n; i++) {
        struct flow *f = new_flow(b);
        snprintf(f->creds.user, sizeof(f->creds.user), "%s", user);
        snprintf(f->creds.password, sizeof(f->creds.password), "%s", password);
        allocate(b, f);
        bind_channel(b, f, &b->peer_at);
    }
    serve_lines(b);
}

int main(int argc, char **argv)
{
    static struct bench b = {.peer = -1};
    struct rlimit files = {.rlim_cur = 2 * FLOWS_MAX, .rlim_max = 2 * FLOWS_MAX};
    b.rng = pv_entropy();
    b.epoll = epoll_create1(EPOLL_CLOEXEC);
    (void)setrlimit(RLIMIT_NOFILE, &files);
    check(pv_udp_receiver_new(&b.rx, PV_UDP_BATCH, 65536), "memory");
    uint64_t n = 0;
    if (pv_crypto_init() < 0 || argc < 4 || pv_addr_parse(argv[2], &b.server) < 0)
        die(USAGE);
    if (strcmp(argv[1], "static") == 0 && argc == 7 &&
        pv_u64_parse(argv[5], 1, FLOWS_MAX, &n) == PV_OK &&
        pv_addr_parse_ip(argv[6], &b.peer_at) == PV_OK) {
        b.is_static = true;
        run_static(&b, argv[3], argv[4], n);
    } else if (strcmp(argv[1], "members") == 0 && (argc == 5 || argc == 6) &&
               pv_u64_parse(argv[4], 2, FLOWS_MAX, &n) == PV_OK && n % 2 == 0) {
        const char *via = argc == 6 ? argv[5] : "udp";
        b.via = strcmp(via, "tls") == 0 ? VIA_TLS : strcmp(via, "tcp") == 0 ? VIA_TCP : VIA_UDP;
        run_members(&b, argv[3], n);
    } else if (strcmp(argv[1], "ping") == 0 && argc == 4) {
        run_pings(&b, argv[3]);
    } else {
        die(USAGE);
    }
    return 0;
}
