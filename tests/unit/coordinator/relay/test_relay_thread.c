/* SPDX-License-Identifier: MIT */
/* The relay's thread with real sockets on loopback; the test is its control thread. */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "coordinator/relay/relay.h"
#include "proto/stun/stun.h"
#include "proto/stun/turn.h"
#include "sys/net/udp.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "sys/proc/event.h"
#include "tests/unit/test_util.h"

enum {
    PATIENCE_MS = 60000,
    RUN = 20, /* datagrams of a run */
};

static const uint8_t COORD_PK[32] = {0xc0};
static const uint8_t NET[16] = {1};
static const struct pv_udp_opts PLAIN = {0};

static const struct pv_addr LOCAL = {.family = PV_AF_NONE};

struct world {
    struct pv_relaycore *core;
    struct pv_relaylink *link;
    const struct pv_relaystats *stats;
    struct pv_stunudp *udp;
    struct pv_relay *relay;
    struct pv_addr server;
};

static struct world *w; /* of the test that runs */

struct client {
    int fd;
    struct pv_addr at;
    struct pv_turnauth_creds creds;
    uint8_t buf[4096];
    size_t len; /* of what came last */
};

/* Everything but the thread. */
static int prepare_world(void **state)
{
    static const struct pv_turns_user users[] = {{"alice", "secret"}};
    static struct world the_world;
    struct pv_rng rng = pv_entropy();
    const struct pv_turns_config cfg = {
        .enabled = true,
        .coordinator_pk = COORD_PK,
        .users = users,
        .n_users = 1,
        .relay_bind = {pv_addr4(127, 0, 0, 1, 0)},
        .policy = {.allow = {test_prefix("127.0.0.0/8")}, .n_allow = 1},
    };
    int fd = -1;
    struct pv_addr any = pv_addr4(127, 0, 0, 1, 0);
    w = &the_world;
    memset(w, 0, sizeof(*w));
    assert_ok(pv_relaycore_new(&w->core, &cfg, &rng));
    w->link = pv_relaycore_link(w->core);
    w->stats = pv_turns_counters(pv_relaycore_turns(w->core));
    assert_ok(pv_stunudp_new(&w->udp));
    assert_ok(pv_udp_open(&any, &PLAIN, &fd));
    assert_ok(pv_udp_local(fd, &w->server));
    assert_ok(pv_stunudp_take(w->udp, fd, &w->server));
    assert_ok(pv_relay_new(&w->relay, w->core, w->udp));
    return 0;
}

static int make_world(void **state)
{
    int r = prepare_world(state);
    assert_ok(pv_relay_start(w->relay));
    return r;
}

static int end_world(void **state)
{
    pv_relay_free(w->relay);
    pv_stunudp_free(w->udp);
    pv_relaycore_free(w->core);
    return 0;
}

static void wake(void)
{
    if (pv_relaylink_take_wake_relay(w->link))
        pv_relay_wake(w->relay);
}

/* --- clients ------------------------------------------------------------------------------- */

static struct client new_client(void)
{
    struct client c = {.fd = -1};
    struct pv_addr any = pv_addr4(127, 0, 0, 1, 0);
    assert_ok(pv_udp_open(&any, &PLAIN, &c.fd));
    assert_ok(pv_udp_local(c.fd, &c.at));
    return c;
}

static void send_to(const struct client *c, const struct pv_addr *to, struct pv_view data)
{
    struct pv_udp_counts counts = {0};
    const struct pv_udp_out out = {.dst = *to, .data = data};
    pv_udp_send(c->fd, &out, 1, &counts);
}

/* The next datagram into c->buf; false: none now. */
static bool take(struct client *c)
{
    static struct pv_udp_receiver *rx; /* one datagram at a time */
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    assert_ok(rx == NULL ? pv_udp_receiver_new(&rx, 1, sizeof(c->buf)) : PV_OK);
    bool got = pv_udp_recv(rx, c->fd, &in, &n) == PV_OK && n == 1;
    if (got) {
        memcpy(c->buf, in[0].ptr, in[0].len);
        c->len = in[0].len;
    }
    rx = pv_udp_receiver_free(rx);
    return got;
}

static struct pv_view receive(struct client *c)
{
    while (!take(c)) {
        struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
        assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
    }
    return pv_view(c->buf, c->len);
}

static void begin(struct pv_stun_writer *sw, uint8_t *buf, size_t cap, uint16_t method)
{
    static uint32_t next;
    uint8_t txid[PV_STUN_TXID_LEN] = {'r', 't'};
    pv_store_be32(txid + 8, ++next);
    pv_stun_write_begin(sw, buf, cap, PV_STUN_REQUEST, method, txid);
}

/* Signs what was begun. */
static struct pv_view finish(struct pv_stun_writer *sw, const struct pv_turnauth_creds *creds)
{
    struct pv_turnauth_key key;
    size_t len = 0;
    assert_ok(pv_turnauth_key(creds->user, creds->password, &key));
    pv_stun_put(sw, PV_STUN_ATTR_USERNAME, pv_view(creds->user, strlen(creds->user)));
    pv_stun_put(sw, PV_STUN_ATTR_REALM, pv_view(PV_TURNAUTH_REALM, strlen(PV_TURNAUTH_REALM)));
    pv_stun_put(sw, PV_STUN_ATTR_NONCE, pv_view(creds->nonce, strlen(creds->nonce)));
    pv_stun_put_integrity(sw, pv_view(key.md5, sizeof(key.md5)));
    assert_ok(pv_stun_write_end(sw, &len));
    return pv_view(sw->buf, len);
}

static void expect_success(struct pv_view answer, struct pv_stun_msg *msg)
{
    assert_ok(pv_stun_decode(answer, msg));
    assert_int_equal(msg->cls, PV_STUN_SUCCESS);
}

static struct pv_view write_allocate(const struct pv_turnauth_creds *creds, bool v6, uint8_t *buf,
                                     size_t cap)
{
    struct pv_stun_writer sw;
    begin(&sw, buf, cap, PV_TURN_ALLOCATE);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
    if (v6)
        pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    return finish(&sw, creds);
}

static void bind_channel(struct client *c, uint16_t number, const struct pv_addr *peer)
{
    struct pv_stun_writer sw;
    struct pv_stun_msg msg;
    uint8_t buf[512];
    begin(&sw, buf, sizeof(buf), PV_TURN_CHANNEL_BIND);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_CHANNEL_NUMBER, (uint32_t)number << 16);
    pv_stun_put_xor_addr(&sw, PV_TURN_ATTR_XOR_PEER_ADDRESS, peer);
    send_to(c, &w->server, finish(&sw, &c->creds));
    expect_success(receive(c), &msg);
}

static void node_pk(uint8_t i, uint8_t pk[static 32])
{
    memset(pk, 0, 32);
    pk[0] = i;
}

/* A member with an allocation: what its welcome said is true for what it sends after it. */
static struct client member(uint8_t i)
{
    struct client c = new_client();
    struct pv_stun_msg msg;
    uint8_t pk[32];
    uint8_t buf[512];
    node_pk(i, pk);
    assert_ok(pv_relaylink_online(w->link, NET, pk, pv_clock_now(), &c.creds));
    send_to(&c, &w->server, write_allocate(&c.creds, true, buf, sizeof(buf)));
    expect_success(receive(&c), &msg);
    return c;
}

/* A nonce for the static user from a refused request. */
static void take_nonce(struct pv_view answer, struct pv_turnauth_creds *creds)
{
    struct pv_stun_msg msg;
    struct pv_view nonce;
    assert_ok(pv_stun_decode(answer, &msg));
    assert_ok(pv_stun_find(&msg, PV_STUN_ATTR_NONCE, &nonce));
    memset(creds, 0, sizeof(*creds));
    memcpy(creds->nonce, nonce.ptr, nonce.len);
    memcpy(creds->user, "alice", 6);
    memcpy(creds->password, "secret", 7);
}

static const uint8_t UNSIGNED_ALLOCATE[28] = {0,    3, 0,        8,    0x21, 0x12, 0xa4,
                                              0x42, 1, [20] = 0, 0x19, 0,    4,    17};

/* --- streams ------------------------------------------------------------------------------- */

/* The next news of the relay, copied. */
static struct pv_relaynews next_news(uint8_t *buf, size_t cap)
{
    struct pv_relaynews news;
    wake();
    while (pv_relaylink_poll(w->link, &news) < 0) {
        struct pollfd pfd = {.fd = pv_relay_news_fd(w->relay), .events = POLLIN};
        assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
        pv_event_clear(pfd.fd);
    }
    assert_true(news.data.len <= cap);
    if (news.data.len > 0)
        memcpy(buf, news.data.ptr, news.data.len);
    news.data.ptr = buf;
    pv_relaylink_polled(w->link);
    return news;
}

/* Everything said before has been done when this returns. */
static void barrier(void)
{
    uint8_t buf[64];
    pv_relaylink_ask(w->link, 4711);
    struct pv_relaynews news = next_news(buf, sizeof(buf));
    assert_int_equal(news.stream, 4711);
    assert_int_equal(news.holder, PV_TURNS_NOBODY);
}

/* --- tests --------------------------------------------------------------------------------- */

PV_TEST_IN(a_binding_request_is_answered, make_world, end_world)
{
    static const uint8_t request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3};
    struct client c = new_client();
    struct pv_stun_msg msg;
    struct pv_addr seen;
    send_to(&c, &w->server, pv_view(request, sizeof(request)));
    expect_success(receive(&c), &msg);
    assert_ok(pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &seen));
    assert_true(pv_addr_equal(&seen, &c.at));
    close(c.fd);
}

/* Else a run longer than the interface's MTU would pass in fragments where one datagram is lost. */
PV_TEST_IN(datagrams_to_clients_have_df_always, prepare_world, end_world)
{
    int how = -1;
    socklen_t len = sizeof(how);
    assert_int_equal(getsockopt(pv_stunudp_fd(w->udp, 0), IPPROTO_IP, IP_MTU_DISCOVER, &how, &len),
                     0);
    assert_int_equal(how, IP_PMTUDISC_PROBE);
}

PV_TEST_IN(a_datagram_of_any_length_stops_nothing, make_world, end_world)
{
    static const size_t lengths[] = {0, 1, 19, 2049, 4097, 9001, 65507};
    static uint8_t datagram[65507] = {0x40}; /* as ChannelData */
    struct client c = new_client();
    for (size_t i = 0; i < PV_ARRAY_LEN(lengths); i++) {
        send_to(&c, &w->server, pv_view(datagram, lengths[i]));
        a_binding_request_is_answered(state);
    }
    close(c.fd);
}

struct flood {
    int fd;
    struct pv_addr to;
    _Atomic bool stop;
};

/* ChannelData of channel 0x4001, in runs, without end. */
static void *send_flood(void *arg)
{
    struct flood *f = arg;
    struct pv_udp_counts counts = {0};
    static uint8_t run[RUN][104];
    for (int i = 0; i < RUN; i++)
        memcpy(run[i], (const uint8_t[]){0x40, 0x01, 0, 100}, 4);
    const struct pv_udp_out out = {
        .dst = f->to, .data = {run[0], sizeof(run)}, .segment = sizeof(run[0])};
    while (!atomic_load(&f->stop)) {
        pv_udp_send(f->fd, &out, 1, &counts);
        struct pollfd pfd = {.fd = f->fd, .events = POLLOUT};
        (void)!poll(&pfd, 1, 1);
    }
    return NULL;
}

PV_TEST_IN(others_come_and_go_while_one_floods_and_who_is_removed_gets_nothing, make_world,
           end_world)
{
    struct client a = member(1);
    struct client b = member(2);
    uint8_t pk_a[32], pk_b[32], pk[32];
    node_pk(1, pk_a);
    node_pk(2, pk_b);
    struct pv_addr at_a = pv_turn_virtual_addr(COORD_PK, pk_a);
    struct pv_addr at_b = pv_turn_virtual_addr(COORD_PK, pk_b);
    bind_channel(&a, 0x4001, &at_b);
    bind_channel(&b, 0x4002, &at_a);
    struct flood f = {.fd = a.fd, .to = w->server};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_flood, &f), 0);
    for (uint32_t i = 0; i < 300; i++) {
        struct pv_turnauth_creds creds;
        node_pk((uint8_t)(3 + i % 200), pk);
        pv_store_be32(pk + 4, i);
        assert_ok(pv_relaylink_online(w->link, NET, pk, pv_clock_now(), &creds));
        if (i % 3 == 0)
            pv_relaylink_offline(w->link, NET, pk);
        if (i % 2 == 0)
            pv_relaylink_gone(w->link, NET, pk);
        wake();
        if (i % 10 == 0)
            barrier();
    }
    /* Data flows, with the receiver's channel. */
    struct pv_view data = receive(&b);
    assert_int_equal(data.len, 104);
    assert_int_equal(pv_load_be16(data.ptr), 0x4002);
    barrier();
    assert_int_equal(pv_relaystat_get(w->stats, PV_RELAYSTAT_MEMBERS), 2 + 150);
    /* Removed: once the relay has heard of it, not one more goes there. */
    pv_relaylink_gone(w->link, NET, pk_b);
    barrier();
    while (take(&b))
        ;
    uint64_t before = pv_relaystat_get(w->stats, PV_RELAYSTAT_DROP_NO_PEER);
    while (pv_relaystat_get(w->stats, PV_RELAYSTAT_DROP_NO_PEER) < before + 1000)
        (void)!poll(NULL, 0, 1);
    assert_false(take(&b));
    atomic_store(&f.stop, true);
    pthread_join(thread, NULL);
    close(a.fd);
    close(b.fd);
}

/* Sends a run of RUN datagrams of `size` bytes, the i-th beginning with head and i. */
static void send_run(const struct client *c, const struct pv_addr *to, struct pv_view head,
                     size_t size)
{
    static uint8_t run[RUN * 1500];
    struct pv_udp_counts counts = {0};
    for (size_t i = 0; i < RUN; i++) {
        memset(run + i * size, 0, size);
        if (head.len > 0)
            memcpy(run + i * size, head.ptr, head.len);
        run[i * size + head.len] = (uint8_t)i;
    }
    const struct pv_udp_out out = {
        .dst = *to, .data = {run, RUN * size}, .segment = (uint16_t)size};
    pv_udp_send(c->fd, &out, 1, &counts);
    assert_int_equal(counts.sent, RUN);
}

PV_TEST_IN(runs_pass_through_a_relay_socket_whole_and_in_order, make_world, end_world)
{
    struct client c = new_client();
    struct client peer = new_client();
    struct pv_stun_msg msg;
    struct pv_addr relayed;
    uint8_t buf[512];
    send_to(&c, &w->server, pv_view(UNSIGNED_ALLOCATE, sizeof(UNSIGNED_ALLOCATE)));
    take_nonce(receive(&c), &c.creds);
    send_to(&c, &w->server, write_allocate(&c.creds, false, buf, sizeof(buf)));
    expect_success(receive(&c), &msg);
    assert_ok(pv_stun_get_xor_addr(&msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &relayed));
    bind_channel(&c, 0x4000, &peer.at);
    static const size_t sizes[] = {64, 1204};
    for (size_t s = 0; s < PV_ARRAY_LEN(sizes); s++) {
        size_t size = sizes[s];
        uint8_t head[4] = {0x40, 0x00, (uint8_t)((size - 4) >> 8), (uint8_t)(size - 4)};
        send_run(&c, &w->server, pv_view(head, sizeof(head)), size);
        for (size_t i = 0; i < RUN; i++) {
            struct pv_view got = receive(&peer);
            assert_int_equal(got.len, size - 4);
            assert_int_equal(got.ptr[0], i);
        }
        send_run(&peer, &relayed, pv_view(NULL, 0), size - 4);
        for (size_t i = 0; i < RUN; i++) {
            struct pv_view got = receive(&c);
            assert_int_equal(got.len, size);
            assert_memory_equal(got.ptr, head, 4);
            assert_int_equal(got.ptr[4], i);
        }
    }
    close(c.fd);
    close(peer.fd);
}

PV_TEST_IN(a_stream_relays_through_the_link, make_world, end_world)
{
    struct client peer = new_client();
    struct pv_turnauth_creds creds;
    struct pv_addr source = pv_addr4(192, 0, 2, 9, 999);
    struct pv_stun_msg msg;
    struct pv_addr relayed;
    struct pv_stun_writer sw;
    uint8_t buf[512], got[2048];
    pv_relaylink_message(w->link, 5, &source, &LOCAL,
                         pv_view(UNSIGNED_ALLOCATE, sizeof(UNSIGNED_ALLOCATE)));
    struct pv_relaynews news = next_news(got, sizeof(got));
    assert_int_equal(news.holder, PV_TURNS_NOBODY);
    take_nonce(news.data, &creds);
    pv_relaylink_message(w->link, 5, &source, &LOCAL,
                         write_allocate(&creds, false, buf, sizeof(buf)));
    news = next_news(got, sizeof(got));
    assert_true(news.stream == 5 && news.holder == PV_TURNS_USER && !news.broken);
    expect_success(news.data, &msg);
    assert_ok(pv_stun_get_xor_addr(&msg, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &relayed));
    begin(&sw, buf, sizeof(buf), PV_TURN_CHANNEL_BIND);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_CHANNEL_NUMBER, 0x4005u << 16);
    pv_stun_put_xor_addr(&sw, PV_TURN_ATTR_XOR_PEER_ADDRESS, &peer.at);
    pv_relaylink_message(w->link, 5, &source, &LOCAL, finish(&sw, &creds));
    expect_success(next_news(got, sizeof(got)).data, &msg);
    static const uint8_t data[] = {0x40, 0x05, 0, 5, 'h', 'e', 'l', 'l', 'o'};
    pv_relaylink_message(w->link, 5, &source, &LOCAL, pv_view(data, sizeof(data)));
    wake();
    assert_true(pv_view_equal(receive(&peer), pv_view("hello", 5)));
    send_to(&peer, &relayed, pv_view("hello", 5));
    assert_true(pv_view_equal(next_news(got, sizeof(got)).data, pv_view(data, sizeof(data))));
    /* A message that is neither STUN nor TURN ends the stream; a closed one holds nothing, and its
     * socket is gone. */
    pv_relaylink_message(w->link, 6, &source, &LOCAL,
                         pv_view("\x16\x03\x01 is a ClientHello...", 24));
    news = next_news(got, sizeof(got));
    assert_true(news.stream == 6 && news.broken);
    pv_relaylink_closed(w->link, 5);
    pv_relaylink_ask(w->link, 5);
    assert_int_equal(next_news(got, sizeof(got)).holder, PV_TURNS_NOBODY);
    assert_int_equal(pv_relaystat_get(w->stats, PV_RELAYSTAT_SOCKETS), 0);
    close(peer.fd);
}

PV_TEST_IN(datagrams_not_read_in_time_are_counted, prepare_world, end_world)
{
    static const uint8_t run[RUN * 1400];
    struct client c = new_client();
    struct pv_udp_counts counts = {0};
    const struct pv_udp_out out = {.dst = w->server, .data = {run, sizeof(run)}, .segment = 1400};
    /* More than any buffer holds. */
    for (size_t i = 0; i < 4 * PV_UDP_SOCKBUF / sizeof(run); i++)
        pv_udp_send(c.fd, &out, 1, &counts);
    assert_int_equal(pv_relaystat_get(w->stats, PV_RELAYSTAT_DROP_NOT_RECEIVED), 0);
    assert_ok(pv_relay_start(w->relay));
    while (pv_relaystat_get(w->stats, PV_RELAYSTAT_DROP_NOT_RECEIVED) == 0)
        (void)!poll(NULL, 0, 1);
    barrier();
    close(c.fd);
}
