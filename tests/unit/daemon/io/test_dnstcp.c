/* SPDX-License-Identifier: MIT */
/* The name server's connections: framing, one answer after the other, resolvers and limits. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "daemon/io/dnstcp.h"
#include "sys/net/sockaddr.h"
#include "sys/net/stream.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "tests/unit/test_port.h"

enum {
    FRAME = 2,
    QUERY = 12 + 7, /* a question for "a" */
    LONG = 40000,   /* bytes of a resolver's answer */
    CLIENTS = PV_DNSTCP_MAX + 1,
};

static struct {
    struct pv_loop *loop;
    struct pv_dnstcp *dns;
    struct pv_addr at, resolver_at, dead_at;
    int resolver, asked; /* its listener, its connection */
    int dead;            /* nobody listens there */
    int client[CLIENTS];
    uint8_t got[FRAME + UINT16_MAX];
    size_t got_len;
    bool to_resolver, silent;
    bool (*step)(void);
    pv_ns until, ahead; /* of the clock that timeouts see */
    size_t n_served;
    struct pv_addr src;
} w;

/* Answers with two bytes, or has the resolvers asked. */
static void serve(void *ctx, const struct pv_addr *src, struct pv_view query,
                  struct pv_dns_reply *ret_reply, pv_ns now)
{
    *ret_reply = (struct pv_dns_reply){.len = 0};
    w.n_served++;
    w.src = *src;
    if (w.to_resolver) {
        ret_reply->ask[ret_reply->n_ask++] = w.dead_at;
        ret_reply->ask[ret_reply->n_ask++] = w.resolver_at;
        ret_reply->question = pv_view(query.ptr + 12, query.len - 12);
    } else if (!w.silent) {
        ret_reply->len = 2;
        memcpy(ret_reply->bytes, query.ptr, 2);
    }
}

static int listen_here(struct pv_addr *ret_at)
{
    const struct pv_addr any = pv_addr4(127, 0, 0, 1, 0);
    int fd = -1;
    assert_ok(pv_stream_listen(&any, NULL, &fd));
    assert_ok(pv_stream_local(fd, ret_at));
    return fd;
}

void test_before_each(void)
{
    struct pv_dnstcp_config cfg = {.rng = pv_entropy(), .serve = serve};
    memset(&w, 0, sizeof(w));
    for (size_t i = 0; i < CLIENTS; i++)
        w.client[i] = -1;
    w.asked = -1;
    assert_ok(pv_loop_new(&w.loop));
    cfg.loop = w.loop;
    assert_ok(pv_dnstcp_new(&w.dns, &cfg));
    assert_ok(pv_dnstcp_listen(w.dns, listen_here(&w.at)));
    w.resolver = listen_here(&w.resolver_at);
    w.dead = test_port_refusing(&w.dead_at);
}

void test_after_each(void)
{
    pv_dnstcp_free(w.dns);
    pv_loop_free(w.loop);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (w.client[i] >= 0)
            close(w.client[i]);
    }
    close(w.resolver);
    close(w.dead);
    if (w.asked >= 0)
        close(w.asked);
}

static pv_ns turn(void *ctx, pv_ns now)
{
    pv_ns next = pv_dnstcp_timeout(w.dns, now + w.ahead);
    bool done = w.step();
    if (done || now > w.until)
        pv_loop_stop(w.loop);
    assert_true(done || now <= w.until);
    return pv_min_ns(next, now + PV_MS(5));
}

static void until(bool (*step)(void))
{
    const struct pv_loop_owner owner = {.turn = turn};
    w.step = step;
    w.until = pv_clock_now() + PV_S(20);
    pv_loop_run(w.loop, &owner);
}

/* A client of 127.0.0.n. */
static void connect_as(size_t i, uint8_t n)
{
    struct sockaddr_storage ss;
    const struct pv_addr own = pv_addr4(127, 0, 0, n, 0);
    socklen_t len = pv_sockaddr_from(&own, &ss);
    w.client[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w.client[i], (struct sockaddr *)&ss, len), 0);
    len = pv_sockaddr_from(&w.at, &ss);
    assert_int_equal(connect(w.client[i], (struct sockaddr *)&ss, len), 0);
    assert_int_equal(fcntl(w.client[i], F_SETFL, O_NONBLOCK), 0);
}

static void ask(size_t i, uint16_t id)
{
    uint8_t frame[FRAME + QUERY] = {0, QUERY, 0, 0, 1,   0, 0, 1, 0, 0, 0,
                                    0, 0,     0, 1, 'a', 0, 0, 1, 0, 1};
    pv_store_be16(frame + FRAME, id);
    assert_int_equal(send(w.client[i], frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
}

/* Has the first client read so much? */
static bool has(size_t len)
{
    ssize_t n = recv(w.client[0], w.got + w.got_len, sizeof(w.got) - w.got_len, 0);
    w.got_len += n > 0 ? (size_t)n : 0;
    return w.got_len >= len;
}

static bool has_two(void)
{
    return has(8);
}

static bool has_long(void)
{
    return has(FRAME + LONG);
}

static bool first_is_closed(void)
{
    return recv(w.client[0], w.got, sizeof(w.got), 0) == 0;
}

static bool last_is_closed(void)
{
    ssize_t n = recv(w.client[PV_DNSTCP_OF_ONE], w.got, sizeof(w.got), 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* The resolver answers the question that comes with as many bytes as no datagram has. */
static bool resolver_answers(void)
{
    static uint8_t answer[FRAME + LONG];
    struct pv_addr from, to;
    uint8_t frame[FRAME + QUERY];
    if (w.asked < 0 && pv_stream_accept(w.resolver, &w.asked, &from, &to) < 0)
        w.asked = -1;
    if (w.asked < 0 || recv(w.asked, frame, sizeof(frame), 0) != sizeof(frame))
        return false;
    pv_store_be16(answer, LONG);
    memcpy(answer + FRAME, frame + FRAME, QUERY);
    answer[FRAME + 2] = 0x81;
    assert_int_equal(fcntl(w.asked, F_SETFL, 0), 0);
    assert_int_equal(send(w.asked, answer, sizeof(answer), MSG_NOSIGNAL), sizeof(answer));
    return true;
}

PV_TEST(questions_that_come_together_are_answered_in_their_order)
{
    connect_as(0, 1);
    ask(0, 0x1111);
    ask(0, 0x2222);
    until(has_two);
    static const uint8_t want[] = {0, 2, 0x11, 0x11, 0, 2, 0x22, 0x22};
    assert_memory_equal(w.got, want, sizeof(want));
    assert_int_equal(w.n_served, 2);
    assert_int_equal(w.src.ip[3], 1);
}

PV_TEST(a_question_in_pieces_is_one)
{
    connect_as(0, 1);
    static const uint8_t frame[FRAME + QUERY] = {0, QUERY, 9, 9};
    for (size_t i = 0; i < sizeof(frame); i++)
        assert_int_equal(send(w.client[0], frame + i, 1, MSG_NOSIGNAL), 1);
    ask(0, 0x2222);
    until(has_two);
    assert_int_equal(w.n_served, 2);
}

PV_TEST(a_phones_question_goes_to_a_resolver_that_lives_and_the_long_answer_comes_whole)
{
    w.to_resolver = true;
    connect_as(0, 1);
    ask(0, 0x3333);
    until(resolver_answers);
    until(has_long);
    assert_int_equal(w.got_len, FRAME + LONG);
    assert_int_equal(pv_load_be16(w.got), LONG);
    assert_int_equal(pv_load_be16(w.got + FRAME), 0x3333);
}

PV_TEST(a_silent_resolver_ends_the_connection)
{
    w.to_resolver = true;
    connect_as(0, 1);
    ask(0, 0x3333);
    w.ahead = 2 * PV_DNSTCP_TRY; /* each is asked, and time has gone at once */
    until(first_is_closed);
}

PV_TEST(a_question_without_an_answer_and_one_that_is_none_end_the_connection)
{
    static const uint8_t tiny[] = {0, 3, 1, 2, 3}, huge[] = {0xFF, 0xFF};
    w.silent = true;
    connect_as(0, 1);
    ask(0, 1);
    until(first_is_closed);
    for (int i = 0; i < 2; i++) {
        close(w.client[0]);
        connect_as(0, 1);
        const uint8_t *bytes = i == 0 ? tiny : huge;
        assert_true(send(w.client[0], bytes, i == 0 ? sizeof(tiny) : sizeof(huge), MSG_NOSIGNAL) >
                    0);
        until(first_is_closed);
    }
    assert_int_equal(w.n_served, 1);
}

static bool is_served(void)
{
    return w.n_served > 0;
}

PV_TEST(one_that_says_nothing_is_closed)
{
    connect_as(0, 1);
    connect_as(1, 2);
    ask(1, 1);
    until(is_served); /* both are there */
    w.ahead = PV_DNSTCP_IDLE;
    until(first_is_closed);
}

PV_TEST(one_address_has_few_connections)
{
    for (size_t i = 0; i <= PV_DNSTCP_OF_ONE; i++)
        connect_as(i, 1);
    until(last_is_closed);
    ask(0, 0x1111);
    ask(0, 0x2222);
    until(has_two);
}

PV_TEST(a_full_table_loses_the_one_that_waits_for_longest)
{
    for (size_t i = 0; i < CLIENTS; i++)
        connect_as(i, (uint8_t)(1 + i));
    until(first_is_closed);
    ask(CLIENTS - 1, 1);
    until(is_served);
    assert_int_equal(w.src.ip[3], CLIENTS);
}
