/* SPDX-License-Identifier: MIT */
/* Questions of phones at resolvers: who is asked, who is heard, and how many there may be. */
#include <unistd.h>

#include "base/bytes.h"
#include "daemon/io/dnsask.h"
#include "sys/net/sockaddr.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "tests/unit/test_port.h"

enum {
    QUESTION = 7, /* bytes of "a", type A */
    QUERY = 12 + QUESTION,
    PHONE_ID = 0x1234,
};

#define HOUR PV_S(3600) /* so far ahead that nothing is due, however slow this machine is */

static struct {
    struct pv_loop *loop;
    struct pv_udp_receiver *rx;
    struct pv_udp_counts counts;
    struct pv_dnsask *ask;
    int own, phone, resolver, other; /* sockets: the name server's, the phone's, of two resolvers */
    struct pv_addr own_at, phone_at, resolver_at, other_at;
    struct pv_addr asked_by; /* where the question came from */
    uint8_t got[PV_DNS_MAX]; /* what came last */
    size_t got_len;
    bool (*step)(void);
    pv_ns until;
    uint32_t phone_id; /* of who asks */
} w;

void test_before_each(void)
{
    memset(&w, 0, sizeof(w));
    assert_ok(pv_loop_new(&w.loop));
    assert_ok(pv_udp_receiver_new(&w.rx, 4, 2048));
    const struct pv_dnsask_config cfg = {
        .loop = w.loop, .rx = w.rx, .counts = &w.counts, .rng = pv_entropy()};
    assert_ok(pv_dnsask_new(&w.ask, &cfg));
    w.own = test_port_bind(SOCK_DGRAM | SOCK_NONBLOCK, &w.own_at);
    w.phone = test_port_bind(SOCK_DGRAM | SOCK_NONBLOCK, &w.phone_at);
    w.resolver = test_port_bind(SOCK_DGRAM | SOCK_NONBLOCK, &w.resolver_at);
    w.other = test_port_bind(SOCK_DGRAM | SOCK_NONBLOCK, &w.other_at);
}

void test_after_each(void)
{
    pv_dnsask_free(w.ask);
    pv_udp_receiver_free(w.rx);
    pv_loop_free(w.loop);
    close(w.own);
    close(w.phone);
    close(w.resolver);
    close(w.other);
}

static pv_ns turn(void *ctx, pv_ns now)
{
    (void)ctx;
    pv_ns next = pv_dnsask_timeout(w.ask, now);
    bool done = w.step();
    if (done || now > w.until)
        pv_loop_stop(w.loop);
    assert_true(done || now <= w.until);
    return pv_min_ns(next, now + PV_MS(5));
}

/* Turns of the loop until the step says that it is done. */
static void until(bool (*step)(void))
{
    const struct pv_loop_owner owner = {.turn = turn};
    w.step = step;
    w.until = pv_clock_now() + PV_S(20);
    pv_loop_run(w.loop, &owner);
}

/* The phone's question to these resolvers, asked at that time. */
static void put(const struct pv_addr *first, const struct pv_addr *second, pv_ns at)
{
    uint8_t query[QUERY] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1};
    const struct pv_udp_in in = {.src = w.phone_at, .ptr = query, .len = sizeof(query)};
    struct pv_dns_reply reply = {.n_ask = second == NULL ? 1 : 2,
                                 .ask = {*first},
                                 .of = w.phone_id,
                                 .question = pv_view(query + 12, QUESTION)};
    if (second != NULL)
        reply.ask[1] = *second;
    pv_dnsask_put(w.ask, w.own, &in, &reply, at);
}

/* Something came to the socket. */
static bool received(int fd)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(fd, w.got, sizeof(w.got), 0, (struct sockaddr *)&from, &len);
    w.got_len = n < 0 ? 0 : (size_t)n;
    w.asked_by = n < 0 ? w.asked_by : pv_sockaddr_to(&from);
    return n >= 0;
}

static bool resolver_is_asked(void)
{
    return received(w.resolver);
}

static bool other_is_asked(void)
{
    return received(w.other);
}

static bool phone_is_answered(void)
{
    return received(w.phone);
}

/* The question with an id, as an answer, from that resolver. */
static void answer(int fd, uint16_t id, uint8_t type)
{
    struct sockaddr_storage to;
    socklen_t len = pv_sockaddr_from(&w.asked_by, &to);
    uint8_t bytes[QUERY + 1];
    memcpy(bytes, w.got, QUERY);
    pv_store_be16(bytes, id);
    bytes[2] |= 0x80;
    bytes[16] = type;
    bytes[QUERY] = (uint8_t)fd; /* by which the phone's word is told from others' */
    assert_int_equal(sendto(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&to, len),
                     sizeof(bytes));
}

PV_TEST(a_phone_gets_the_resolvers_answer_and_nobody_elses)
{
    put(&w.resolver_at, NULL, pv_clock_now() + HOUR);
    until(resolver_is_asked);
    const uint16_t id = pv_load_be16(w.got);
    assert_int_equal(w.got_len, QUERY);
    answer(w.other, id, 1);                    /* somebody else */
    answer(w.resolver, (uint16_t)(id + 1), 1); /* another question's */
    answer(w.resolver, id, 28);
    answer(w.resolver, id, 1);
    until(phone_is_answered);
    assert_int_equal(pv_load_be16(w.got), PHONE_ID);
    assert_int_equal(w.got[16], 1);
    assert_int_equal(w.got[QUERY], w.resolver);
    assert_false(phone_is_answered()); /* once */
    assert_int_equal(pv_dnsask_timeout(w.ask, pv_clock_now()), PV_NEVER);
}

PV_TEST(the_next_resolver_is_asked_where_one_says_nothing)
{
    put(&w.resolver_at, &w.other_at, pv_clock_now() + HOUR);
    until(resolver_is_asked);
    const struct pv_addr first = w.asked_by;
    assert_false(other_is_asked());
    assert_true(pv_dnsask_timeout(w.ask, pv_clock_now() + HOUR + PV_DNSASK_TRY) != PV_NEVER);
    until(other_is_asked);
    assert_false(pv_addr_equal(&first, &w.asked_by)); /* from another port */
    answer(w.other, pv_load_be16(w.got), 1);
    until(phone_is_answered);
    assert_int_equal(w.got[QUERY], w.other);
}

PV_TEST(the_next_resolver_is_asked_at_once_where_nobody_listens)
{
    const struct pv_addr dead = w.resolver_at;
    close(w.resolver);
    put(&dead, &w.other_at, pv_clock_now() + HOUR); /* whose turn does not come before */
    until(other_is_asked);
    w.resolver = test_port_bind(SOCK_DGRAM, &w.resolver_at);
}

PV_TEST(the_next_resolver_is_asked_at_once_where_no_way_leads)
{
    const struct pv_addr nowhere = pv_addr4(255, 255, 255, 255, 53); /* connect(2): EACCES */
    put(&nowhere, &w.other_at, pv_clock_now() + HOUR);
    until(other_is_asked);
}

PV_TEST(a_phone_hears_that_an_answer_does_not_fit)
{
    uint8_t bytes[4096] = {0};
    struct sockaddr_storage to;
    put(&w.resolver_at, NULL, pv_clock_now() + HOUR);
    until(resolver_is_asked);
    socklen_t len = pv_sockaddr_from(&w.asked_by, &to);
    memcpy(bytes, w.got, QUERY);
    bytes[2] |= 0x80;
    bytes[7] = bytes[9] = bytes[11] = 9; /* records */
    assert_int_equal(sendto(w.resolver, bytes, sizeof(bytes), 0, (struct sockaddr *)&to, len),
                     sizeof(bytes));
    until(phone_is_answered);
    assert_int_equal(w.got_len, QUERY);
    assert_int_equal(pv_load_be16(w.got), PHONE_ID);
    assert_int_equal(w.got[2], 0x83); /* an answer, cut, and what the question had */
    assert_true(w.got[7] == 0 && w.got[9] == 0 && w.got[11] == 0);
}

PV_TEST(the_phone_with_most_questions_gives_way)
{
    w.phone_id = 1;
    for (unsigned i = 0; i < PV_DNSASK_MAX; i++)
        put(&w.other_at, NULL, pv_clock_now() + HOUR);
    w.phone_id = 2;
    put(&w.resolver_at, NULL, pv_clock_now() + HOUR);
    until(resolver_is_asked);
    const struct pv_addr by = w.asked_by;
    uint8_t query[QUERY];
    memcpy(query, w.got, sizeof(query));
    w.phone_id = 1;
    for (unsigned i = 0; i < PV_DNSASK_MAX; i++)
        put(&w.other_at, NULL, pv_clock_now() + HOUR);
    w.asked_by = by;
    memcpy(w.got, query, sizeof(query));
    answer(w.resolver, pv_load_be16(query), 1);
    until(phone_is_answered); /* it has kept its place */
}

PV_TEST(questions_have_an_end_and_a_number)
{
    for (unsigned i = 0; i < PV_DNSASK_MAX; i++) { /* of many phones */
        w.phone_id = i;
        put(&w.resolver_at, NULL, pv_clock_now() + HOUR);
    }
    for (unsigned i = 0; i < PV_DNSASK_MAX; i++)
        until(resolver_is_asked);
    assert_false(resolver_is_asked());
    const pv_ns later = pv_clock_now() + 2 * HOUR;
    assert_int_equal(pv_dnsask_timeout(w.ask, later), PV_NEVER);
    put(&w.resolver_at, NULL, pv_clock_now() + HOUR);
    until(resolver_is_asked);
    pv_dnsask_forget(w.ask);
    assert_int_equal(pv_dnsask_timeout(w.ask, later), PV_NEVER);
}
