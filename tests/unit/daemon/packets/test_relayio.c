/* SPDX-License-Identifier: MIT */
/* The thread of the streams to relays, against a server on loopback, plain and by TLS. */
#include <poll.h>
#include <unistd.h>

#include "base/bytes.h"
#include "daemon/packets/relayio.h"
#include "sys/file/file.h"
#include "sys/net/stream.h"
#include "sys/net/tls.h"
#include "sys/net/tlscert.h"
#include "sys/proc/event.h"
#include "tests/unit/test_port.h"

enum {
    STREAM = 9,
    PATIENCE_MS = 20000,
};

struct world {
    struct pv_relayio *io;
    int listener, server; /* server: the accepted end */
    struct pv_addr addr;
    struct pv_tls_ctx *ctx;
    struct pv_tls *tls; /* the server's end; NULL = plain */
    char dir[32], cert[64], key[64], error[PV_TLS_ERROR_MAX];
    struct pv_relayio_event ev;
    uint8_t got[1 << 20];
    size_t n_got;
};

static struct world *w; /* of the test that runs */

static int make_world(void **state)
{
    w = calloc(1, sizeof(*w));
    struct pv_tlscert made;
    assert_non_null(w);
    struct pv_addr any = pv_addr4(127, 0, 0, 1, 0);
    w->server = -1;
    snprintf(w->dir, sizeof(w->dir), "/tmp/pvrelay.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->cert, sizeof(w->cert), "%s/cert.pem", w->dir);
    snprintf(w->key, sizeof(w->key), "%s/key.pem", w->dir);
    static const char *const name = "turn.example";
    assert_ok(pv_tlscert_make(&made, &name, 1));
    assert_ok(pv_file_write(w->cert, pv_view(made.cert, strlen(made.cert)), 0600));
    assert_ok(pv_file_write(w->key, pv_view(made.key, strlen(made.key)), 0600));
    assert_ok(pv_tls_ctx_new_server(&w->ctx, w->cert, w->key, w->error));
    assert_ok(pv_stream_listen(&any, NULL, &w->listener));
    assert_ok(pv_stream_local(w->listener, &w->addr));
    assert_ok(pv_relayio_new(&w->io, 1, NULL, NULL));
    return 0;
}

static int end_world(void **state)
{
    pv_relayio_free(w->io);
    pv_tls_free(w->tls);
    pv_tls_ctx_free(w->ctx);
    close(w->listener);
    if (w->server >= 0)
        close(w->server);
    unlink(w->cert);
    unlink(w->key);
    int r = rmdir(w->dir);
    free(w);
    return r;
}

PV_TEST_WORLD(make_world, end_world);

static void wait_fd(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    assert_true(poll(&p, 1, PATIENCE_MS) == 1);
}

static void open_to(const struct pv_relaystream_to *to)
{
    const struct pv_relaystream_op op = {.open = true, .stream = STREAM, .to = *to};
    assert_ok(pv_relayio_do(w->io, &op));
}

static void accept_it(void)
{
    struct pv_addr remote, local;
    wait_fd(w->listener, POLLIN);
    assert_ok(pv_stream_accept(w->listener, &w->server, &remote, &local));
}

/* The server's end reads, and speaks by itself; false: nothing moved. */
static bool server_turn(void)
{
    uint8_t buf[16384];
    size_t n = 0;
    bool moved = false;
    int r = pv_stream_read(w->server, buf, sizeof(buf), &n);
    if (r == PV_OK && w->tls != NULL) {
        moved = true;
        r = pv_tls_handle_bytes(w->tls, pv_view(buf, n));
        while (r == PV_OK &&
               (r = pv_tls_read(w->tls, w->got + w->n_got, sizeof(w->got) - w->n_got, &n)) == PV_OK)
            w->n_got += n;
    } else if (r == PV_OK) {
        moved = true;
        assert_true(w->n_got + n <= sizeof(w->got));
        memcpy(w->got + w->n_got, buf, n);
        w->n_got += n;
    }
    while (w->tls != NULL && pv_tls_out(w->tls).len > 0 &&
           pv_stream_write(w->server, pv_tls_out(w->tls), &n) == PV_OK) {
        moved = true;
        pv_tls_wrote(w->tls, n);
    }
    return moved;
}

static void serve_until(size_t n_got)
{
    while (w->n_got < n_got)
        if (!server_turn())
            wait_fd(w->server, POLLIN);
}

static void next_event(void)
{
    while (pv_relayio_poll_event(w->io, &w->ev) == PV_ERR_AGAIN) {
        struct pollfd p[2] = {{.fd = pv_relayio_event_fd(w->io), .events = POLLIN},
                              {.fd = w->server, .events = POLLIN}};
        assert_true(poll(p, 2, PATIENCE_MS) >= 1);
        if (w->server >= 0 && w->tls != NULL)
            (void)server_turn();
    }
    assert_int_equal(w->ev.stream, STREAM);
}

static void say(const void *bytes, size_t len)
{
    size_t n = 0;
    const uint8_t *p = bytes;
    while (len > 0) {
        int r = w->tls != NULL ? pv_tls_write(w->tls, pv_view(p, len), &n)
                               : pv_stream_write(w->server, pv_view(p, len), &n);
        if (r == PV_ERR_AGAIN) {
            wait_fd(w->server, POLLOUT);
            continue;
        }
        assert_ok(r);
        p += n;
        len -= n;
    }
    (void)server_turn();
}

static void expect_message(const void *bytes, size_t len)
{
    struct pv_view m;
    uint16_t stream = 0;
    while (pv_relayio_peek(w->io, &stream, &m) == PV_ERR_AGAIN) {
        wait_fd(pv_relayio_rx_fd(w->io), POLLIN);
        pv_event_clear(pv_relayio_rx_fd(w->io));
        if (pv_relayio_peek(w->io, &stream, &m) == PV_OK)
            break;
    }
    assert_int_equal(stream, STREAM);
    assert_int_equal(m.len, len);
    assert_memory_equal(m.ptr, bytes, len);
    pv_relayio_pop(w->io);
}

static const uint8_t CHANNEL_5[] = {0x40, 1, 0, 5, 'h', 'e', 'l', 'l', 'o', 0, 0, 0};
static const uint8_t BINDING[] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1,  2,
                                  3, 4, 5, 6, 7,    8,    9,    10,   11, 12};

/* Both ways, from both senders, messages cut in the middle. */
static void converse(void)
{
    static const uint8_t zeros[3] = {0};
    assert_true(w->ev.connected);
    assert_ok(pv_relayio_send(w->io, PV_RELAYIO_CONTROL, STREAM, pv_view(BINDING, 20)));
    pv_relayio_flush(w->io, PV_RELAYIO_CONTROL);
    serve_until(20);
    assert_ok(pv_relayio_send(w->io, PV_RELAYIO_TX, STREAM, pv_view(CHANNEL_5, 9)));
    pv_relayio_flush(w->io, PV_RELAYIO_TX);
    serve_until(32);
    assert_memory_equal(w->got, BINDING, 20);
    assert_memory_equal(w->got + 20, CHANNEL_5, 9);
    assert_memory_equal(w->got + 29, zeros, 3); /* padded to four */

    say(BINDING, 7);
    say(BINDING + 7, 13);
    expect_message(BINDING, 20);
    say(CHANNEL_5, sizeof(CHANNEL_5));
    expect_message(CHANNEL_5, 9);
}

PV_TEST(messages_go_both_ways_until_the_server_closes)
{
    const struct pv_relaystream_to to = {.addr = w->addr};
    open_to(&to);
    accept_it();
    next_event();
    converse();
    close(w->server);
    w->server = -1;
    next_event();
    assert_false(w->ev.connected);
    assert_string_not_equal(w->ev.why, "");
}

PV_TEST(refusal_is_an_event_with_words)
{
    struct pv_relaystream_to to = {.tls = false};
    int closed = test_port_refusing(&to.addr);
    open_to(&to);
    next_event();
    assert_false(w->ev.connected);
    assert_has(w->ev.why, "efused");
    close(closed);
}

PV_TEST(a_message_that_is_no_turn_ends_the_stream)
{
    const struct pv_relaystream_to to = {.addr = w->addr};
    open_to(&to);
    accept_it();
    next_event();
    say("\x15\x03\x01\x00\x02\x02\x28", 7); /* it wants TLS: an alert */
    next_event();
    assert_false(w->ev.connected);
}

/* A server that does not read: memory stays bounded, the rest is dropped and counted. */
PV_TEST(a_message_that_a_full_line_does_not_take_is_dropped)
{
    const struct pv_relaystream_to to = {.addr = w->addr};
    uint8_t message[1400] = {0x40, 1, 5, 0x74};
    open_to(&to);
    accept_it();
    next_event();
    uint64_t accepted = 0;
    while (pv_relayio_counts(w->io).dropped == 0) {
        if (pv_relayio_send(w->io, PV_RELAYIO_TX, STREAM, pv_view(message, sizeof(message))) ==
            PV_OK)
            accepted++;
        pv_relayio_flush(w->io, PV_RELAYIO_TX);
        assert_true(accepted < 100000);
    }
    /* Another stream is not held up by it. */
    struct pv_relaystream_op op = {.open = true, .stream = STREAM + 8, .to = to};
    assert_ok(pv_relayio_do(w->io, &op));
    while (pv_relayio_poll_event(w->io, &w->ev) == PV_ERR_AGAIN)
        wait_fd(pv_relayio_event_fd(w->io), POLLIN);
    assert_true(w->ev.connected && w->ev.stream == STREAM + 8);
    assert_int_equal(
        pv_relayio_send(w->io, PV_RELAYIO_TX, STREAM, pv_view(message, 1 + UINT16_MAX)),
        PV_ERR_LIMIT);
}

PV_TEST(a_closed_stream_tells_nobody_and_takes_nothing)
{
    const struct pv_relaystream_to to = {.addr = w->addr};
    const struct pv_relaystream_op op = {.stream = STREAM};
    uint8_t byte;
    open_to(&to);
    accept_it();
    next_event();
    assert_ok(pv_relayio_send(w->io, PV_RELAYIO_CONTROL, STREAM, pv_view(BINDING, 20)));
    assert_ok(pv_relayio_do(w->io, &op));
    serve_until(20); /* what was said before is written */
    wait_fd(w->server, POLLIN);
    assert_true(read(w->server, &byte, 1) == 0);
    assert_ok(pv_relayio_send(w->io, PV_RELAYIO_CONTROL, STREAM, pv_view(BINDING, 20)));
    open_to(&to); /* commands and messages keep their order: what was sent before was dropped */
    next_event();
    assert_true(w->ev.connected);
    assert_int_equal(pv_relayio_counts(w->io).dropped, 1);
}

/* Opens streams at a port where nobody listens until no more is taken, and reads no event. Returns
 * how many. The limit ends it where the thread never stops to take them. */
static unsigned open_until_full(void)
{
    struct pv_relaystream_op op = {.open = true};
    int closed = test_port_refusing(&op.to.addr);
    unsigned n = 0;
    while (n < 5000) {
        op.stream = (uint16_t)(STREAM + 1 + n);
        if (pv_relayio_do(w->io, &op) == PV_ERR_NO_SPACE)
            break;
        n++;
    }
    close(closed);
    return n;
}

/* Control is stuck for long, and finds the end of each stream afterwards. */
PV_TEST(no_event_is_lost_while_control_takes_none)
{
    unsigned opened = open_until_full();
    for (unsigned ended = 0; ended < opened;) {
        if (pv_relayio_poll_event(w->io, &w->ev) == PV_ERR_AGAIN) {
            wait_fd(pv_relayio_event_fd(w->io), POLLIN);
            continue;
        }
        assert_false(w->ev.connected);
        ended++;
    }
}

/* Commands and messages of control fill the ring, as its thread stands still: a close of every
 * stream is taken nevertheless, and is done as soon as there is room for events again. */
PV_TEST(a_close_finds_room_in_a_full_ring)
{
    const struct pv_relaystream_to to = {.addr = w->addr};
    const struct pv_relaystream_op op = {.stream = STREAM}, unknown = {.stream = STREAM - 1};
    uint8_t byte;
    open_to(&to);
    accept_it();
    next_event();
    unsigned opened = open_until_full();
    while (pv_relayio_send(w->io, PV_RELAYIO_CONTROL, STREAM, pv_view(BINDING, 20)) == PV_OK) {
    }
    for (unsigned i = 1; i < PV_RELAYIO_STREAMS; i++)
        assert_ok(pv_relayio_do(w->io, &unknown));
    assert_ok(pv_relayio_do(w->io, &op));
    for (unsigned ended = 0; ended < opened; ended++) {
        while (pv_relayio_poll_event(w->io, &w->ev) == PV_ERR_AGAIN)
            wait_fd(pv_relayio_event_fd(w->io), POLLIN);
    }
    do
        wait_fd(w->server, POLLIN);
    while (read(w->server, &byte, 1) == 1);
}

/* A proxy's side of the connection: what it is asked, and what it answers. */
static void answer_as_proxy(const struct pv_connect_login *login, bool tls, const char *answer,
                            struct pv_view behind)
{
    struct pv_relaystream_to to = {.via = w->addr, .to = "coord.example:443", .tls = tls};
    pv_relayio_free(w->io);
    w->io = NULL;
    assert_ok(pv_relayio_new(&w->io, 1, NULL, login));
    open_to(&to);
    accept_it();
    while (w->n_got < 4 || memcmp(w->got + w->n_got - 4, "\r\n\r\n", 4) != 0)
        serve_until(w->n_got + 1);
    assert_memory_equal(w->got, "CONNECT coord.example:443 HTTP/1.1\r\n", 36);
    const char *field = "Proxy-Authorization: Basic am9lOnNlY3JldA==\r\n";
    assert_int_equal(memmem(w->got, w->n_got, field, strlen(field)) != NULL, login != NULL);
    w->n_got = 0;
    uint8_t both[128];
    size_t len = strlen(answer);
    memcpy(both, answer, len);
    if (behind.len > 0)
        memcpy(both + len, behind.ptr, behind.len);
    say(both, len + behind.len);
}

/* The relay's first message comes in the segment of the proxy's answer. */
PV_TEST(a_proxy_opens_the_way_to_a_relay)
{
    static const struct pv_connect_login login = {"joe", "secret"};
    answer_as_proxy(&login, false, "HTTP/1.1 200 OK\r\nVia: x\r\n\r\n",
                    pv_view(BINDING, sizeof(BINDING)));
    next_event();
    expect_message(BINDING, 20);
    converse();
}

PV_TEST(tls_goes_through_a_proxy)
{
    answer_as_proxy(NULL, true, "HTTP/1.1 200 OK\r\n\r\n", pv_view(NULL, 0));
    assert_ok(pv_tls_new_server(&w->tls, w->ctx));
    next_event();
    converse();
}

PV_TEST(a_proxy_that_opens_no_way_is_an_event_with_words)
{
    answer_as_proxy(NULL, true, "HTTP/1.1 403 Forbidden\r\n", pv_view(NULL, 0));
    next_event();
    assert_false(w->ev.connected);
    assert_string_equal(w->ev.why, "the HTTP proxy on the way does not allow connections to the "
                                   "relay (it answers 403)");
}

PV_TEST(tls_carries_the_same)
{
    struct pv_relaystream_to to = {.addr = w->addr, .tls = true, .pinned = true};
    memcpy(to.pin, pv_tls_ctx_cert(w->ctx).pin, sizeof(to.pin));
    open_to(&to);
    accept_it();
    assert_ok(pv_tls_new_server(&w->tls, w->ctx));
    next_event();
    converse();
    assert_ok(pv_relayio_do(w->io, &(struct pv_relaystream_op){.stream = STREAM}));
}

PV_TEST(a_server_with_another_key_is_refused_in_words)
{
    struct pv_relaystream_to to = {.addr = w->addr, .tls = true, .pinned = true};
    open_to(&to);
    accept_it();
    assert_ok(pv_tls_new_server(&w->tls, w->ctx));
    next_event();
    assert_false(w->ev.connected);
    assert_true(strlen(w->ev.why) > 10);
}

/* Its certificate is for turn.example, from an authority that only the CA file knows. */
PV_TEST(a_name_needs_a_certificate_of_an_authority)
{
    static const struct {
        const char *host;
        bool ca_file, good;
        const char *why;
    } rows[] = {
        {"turn.example", false, false, "authority that is not trusted here"},
        {"turn.example", true, true, ""},
        {"other.example", true, false, "is for another name"},
        {"127.0.0.1", true, false, "is for another name"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_relaystream_to to = {.addr = w->addr, .tls = true};
        snprintf(to.host, sizeof(to.host), "%s", rows[i].host);
        pv_relayio_free(w->io);
        assert_ok(pv_relayio_new(&w->io, 1, rows[i].ca_file ? w->cert : NULL, NULL));
        open_to(&to);
        accept_it();
        assert_ok(pv_tls_new_server(&w->tls, w->ctx));
        next_event();
        assert_int_equal(w->ev.connected, rows[i].good);
        assert_has(w->ev.why, rows[i].why);
        w->tls = pv_tls_free(w->tls);
        close(w->server);
        w->server = -1;
    }
    pv_relayio_free(w->io);
    w->io = NULL;
    /* Without the file the system's authorities do not stand in for it. */
    assert_ok(pv_relayio_new(&w->io, 1, "/nonexistent", NULL));
    struct pv_relaystream_to to = {.addr = w->addr, .tls = true, .host = "turn.example"};
    open_to(&to);
    next_event();
    assert_false(w->ev.connected);
    assert_has(w->ev.why, "/nonexistent");
}
