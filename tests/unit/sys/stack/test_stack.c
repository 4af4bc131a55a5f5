/* SPDX-License-Identifier: MIT */
/*
 * lwIP's clock is ours: a turn of the loop is a millisecond, or what a test says.
 *
 * lwIP speaks to itself: a packet that it sends comes back with its addresses exchanged, which
 * changes no checksum, so that 10.66.0.1 is on both sides and 10.66.0.2 is where it believes the
 * other one. Where a test is the other one (`wild`), packets are left to it.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/ip/ippkt.h"
#include "sys/net/inside.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "sys/stack/stack.h"
#include "tests/test.h"

enum {
    MTU = 1380,
    BULK = 300000,   /* several windows */
    LWIP_TICK = 250, /* ms: of its TCP */
};

static struct world {
    struct pv_loop *loop;
    struct pv_stack *stack;
    int queue, asker;
    bool (*done)(void);
    pv_ns deadline;
    uint32_t clock, pace; /* of lwIP, ms; and what a turn adds */
    bool wild;            /* nothing is reflected */
    size_t packets, fins; /* that were */
    bool shut;            /* a window has no room for a packet */
} w;

/* Is found before lwIP's own. */
uint32_t sys_now(void);
uint32_t sys_now(void)
{
    return w.clock;
}

static struct pv_addr at(unsigned host, uint16_t port)
{
    return pv_addr4(10, 66, 0, (uint8_t)host, port);
}

static struct pv_addr at6(unsigned host, uint16_t port)
{
    struct pv_addr a = {.family = PV_AF_INET6, .port = port, .ip = {0xfd, 0x66}};
    a.ip[15] = (uint8_t)host;
    return a;
}

static void exchange(uint8_t *a, uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = a[i];
        a[i] = b[i];
        b[i] = byte;
    }
}

static void reflect(void)
{
    uint8_t buf[MTU + 1];
    for (;;) {
        ssize_t n = recv(w.queue, buf, sizeof(buf), MSG_DONTWAIT);
        if (n <= 0)
            return;
        assert_in_range(n, 20, MTU);
        w.packets++;
        w.fins += buf[0] == 0x45 && buf[9] == 6 && (buf[33] & 1) != 0;
        w.shut = w.shut || (buf[0] == 0x45 && buf[9] == 6 && (buf[33] & 2) == 0 && buf[34] == 0 &&
                            buf[35] < 12); /* of 64 bytes */
        if (buf[0] >> 4 == 4)
            exchange(buf + 12, buf + 16, 4);
        else
            exchange(buf + 8, buf + 24, 16);
        assert_int_equal(send(w.queue, buf, (size_t)n, MSG_DONTWAIT), n);
    }
}

static pv_ns turn(void *ctx, pv_ns now)
{
    w.clock += w.pace;
    pv_ns next = pv_stack_turn(w.stack, now);
    if (!w.wild)
        reflect();
    if (w.done()) {
        pv_loop_stop(w.loop);
        w.deadline = PV_NEVER;
    } else if (now >= w.deadline) {
        pv_loop_stop(w.loop);
    }
    return pv_min_ns(next, w.pace > 1 ? now : now + PV_MS(1));
}

static void run_until(bool (*done)(void))
{
    w.done = done;
    w.deadline = pv_clock_now() + PV_S(20);
    pv_loop_run(w.loop, &(struct pv_loop_owner){.turn = turn});
    assert_true(w.deadline == PV_NEVER);
}

void test_before_each(void)
{
    const struct pv_prefix own[] = {{.base = at(1, 0), .bits = 24},
                                    {.base = at6(1, 0), .bits = 64}};
    int fds[PV_STACK_QUEUES], pair[2];
    w.pace = 1;
    w.wild = false;
    assert_ok(pv_loop_new(&w.loop));
    assert_ok(pv_stack_new(&w.stack, w.loop, 1));
    assert_ok(pv_stack_up(w.stack, own, PV_ARRAY_LEN(own), MTU, 1, fds));
    w.queue = fds[0];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    w.asker = pair[0];
    assert_ok(pv_stack_serve(w.stack, pair[1], NULL));
}

void test_after_each(void)
{
    w.stack = pv_stack_free(w.stack);
    w.loop = pv_loop_free(w.loop);
    close(w.asker);
}

void test_begin(void)
{
    if (!pv_stack_is_built())
        test_skip_all("built without lwIP");
}

/* --- asking -------------------------------------------------------------------------------- */

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static bool is_answered(void)
{
    return is_readable(w.asker);
}

/* An errno. */
static int ask(const struct pv_inside_want *want, int *ret_fd)
{
    struct pv_inside_got got = {.error = -1};
    size_t n = 0;
    assert_int_equal(send(w.asker, want, sizeof(*want), 0), sizeof(*want));
    run_until(is_answered);
    assert_ok(pv_unix_read(w.asker, &got, sizeof(got), &n, ret_fd));
    assert_int_equal(n, sizeof(got));
    assert_true((got.error == 0) == (*ret_fd >= 0));
    return got.error;
}

static int listen_at(struct pv_addr addr)
{
    int fd = -1;
    assert_int_equal(ask(&(struct pv_inside_want){.kind = PV_INSIDE_LISTEN, .local = addr}, &fd),
                     0);
    return fd;
}

static int connect_to(struct pv_addr to, bool strict)
{
    int fd = -1;
    const struct pv_inside_want want = {
        .kind = PV_INSIDE_CONNECT,
        .local = to.family == PV_AF_INET ? at(1, 0) : at6(1, 0),
        .remote = to,
        .strict = strict,
    };
    assert_int_equal(ask(&want, &fd), 0);
    return fd;
}

static int watched;

static bool is_watched_readable(void)
{
    return is_readable(watched);
}

static bool is_watched_writable(void)
{
    struct pollfd p = {.fd = watched, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

static int outcome_of(int fd)
{
    watched = fd;
    run_until(is_watched_writable);
    return pv_inside_connected(fd);
}

static void accept_from(int listener, int *ret_fd, struct pv_addr from)
{
    struct pv_inside_came came;
    watched = listener;
    run_until(is_watched_readable);
    assert_ok(pv_inside_accept(listener, ret_fd, &came));
    assert_true(pv_addr_equal_ip(&came.remote, &from));
}

static void connected_pair(int pair[static 2], bool strict)
{
    int listener = listen_at(at(1, 2047));
    pair[0] = connect_to(at(2, 2047), strict);
    assert_ok(outcome_of(pair[0]));
    accept_from(listener, &pair[1], at(2, 0));
    close(listener);
}

/* --- bytes --------------------------------------------------------------------------------- */

static struct {
    int from, to;
    size_t sent, got, want;
    bool ended; /* the reader has read the end */
} flow;

static uint8_t flow_buf[65536];

static void write_on(void)
{
    const size_t rest = flow.want - flow.sent;
    for (size_t i = 0; i < sizeof(flow_buf); i++)
        flow_buf[i] = (uint8_t)((flow.sent + i) * 7 >> 3);
    ssize_t n = send(flow.from, flow_buf, rest < sizeof(flow_buf) ? rest : sizeof(flow_buf),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    flow.sent += n > 0 ? (size_t)n : 0;
}

static void read_on(size_t max)
{
    ssize_t n = recv(flow.to, flow_buf, max, MSG_DONTWAIT);
    for (ssize_t i = 0; i < n; i++)
        assert_int_equal(flow_buf[i], (uint8_t)((flow.got + (size_t)i) * 7 >> 3));
    flow.got += n > 0 ? (size_t)n : 0;
    flow.ended = n == 0;
}

static bool has_flowed(void)
{
    if (flow.from >= 0 && flow.sent < flow.want)
        write_on();
    read_on(sizeof(flow_buf));
    return flow.ended || (flow.got == flow.want && flow.from >= 0);
}

static void send_over(int from, int to, size_t n)
{
    flow.from = from;
    flow.to = to;
    flow.sent = flow.got = 0;
    flow.want = n;
    run_until(has_flowed);
    assert_int_equal(flow.got, n);
}

/* Reads what is left, and then the end. */
static size_t read_the_rest(void)
{
    flow.from = -1;
    run_until(has_flowed);
    assert_true(flow.ended);
    return flow.got;
}

static size_t read_to_the_end(int fd)
{
    flow.to = fd;
    flow.got = 0;
    return read_the_rest();
}

PV_TEST(bytes_go_both_ways_and_each_end_is_passed_on)
{
    int pair[2];
    connected_pair(pair, true);
    send_over(pair[0], pair[1], BULK);
    send_over(pair[1], pair[0], BULK);
    assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
    assert_int_equal(read_to_the_end(pair[1]), 0);
    assert_false(pv_inside_is_broken(pair[1]));
    send_over(pair[1], pair[0], BULK); /* the other way goes on */
    close(pair[1]);
    assert_int_equal(read_to_the_end(pair[0]), 0);
    close(pair[0]);
}

static struct {
    int fd[2];
    size_t sent[2], got[2];
    bool ended[2];
} both;

static bool have_both_ended(void)
{
    static uint8_t buf[65536];
    for (int i = 0; i < 2; i++) {
        size_t left = BULK - both.sent[i];
        ssize_t n = left == 0 ? 0
                              : send(both.fd[i], buf, left < sizeof(buf) ? left : sizeof(buf),
                                     MSG_DONTWAIT | MSG_NOSIGNAL);
        both.sent[i] += n > 0 ? (size_t)n : 0;
        if (left > 0 && both.sent[i] == BULK)
            assert_int_equal(shutdown(both.fd[i], SHUT_WR), 0);
        n = both.ended[i] ? 0 : recv(both.fd[i], buf, 5000, MSG_DONTWAIT);
        both.got[i] += n > 0 ? (size_t)n : 0;
        both.ended[i] = both.ended[i] || n == 0;
    }
    return both.ended[0] && both.ended[1];
}

PV_TEST(both_sides_may_speak_at_once_and_end_at_once)
{
    connected_pair(both.fd, true);
    run_until(have_both_ended);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(both.got[i], BULK);
        close(both.fd[i]);
    }
}

PV_TEST(ipv6_is_carried_as_well)
{
    int listener = listen_at(at6(1, 2048)), fd = connect_to(at6(2, 2048), false), other = -1;
    assert_ok(outcome_of(fd));
    accept_from(listener, &other, at6(2, 0));
    send_over(fd, other, BULK);
    close(fd);
    close(other);
    close(listener);
}

PV_TEST(a_connection_is_writable_when_its_outcome_is_there_and_not_before)
{
    int fd = connect_to(at(2, 2047), false); /* nobody listens */
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(pv_inside_connected(fd), PV_ERR_AGAIN);
    assert_int_equal(outcome_of(fd), -ECONNREFUSED);
    close(fd);
}

PV_TEST(bytes_written_before_a_close_still_arrive)
{
    int pair[2];
    connected_pair(pair, false);
    assert_int_equal(send(pair[0], "\0\0\1", 3, 0), 3);
    close(pair[0]);
    assert_int_equal(read_to_the_end(pair[1]), 3);
    assert_false(pv_inside_is_broken(pair[1]));
    close(pair[1]);
}

PV_TEST(a_strict_connection_that_is_closed_early_is_broken_off)
{
    int pair[2];
    connected_pair(pair, true);
    send_over(pair[0], pair[1], 10);
    close(pair[0]);
    assert_int_equal(read_to_the_end(pair[1]), 0);
    assert_true(pv_inside_is_broken(pair[1]));
    close(pair[1]);
}

static unsigned idle;

static bool is_stuck(void)
{
    static const uint8_t buf[65536];
    ssize_t n = send(flow.from, buf, sizeof(buf), MSG_DONTWAIT);
    flow.sent += n > 0 ? (size_t)n : 0;
    idle = n > 0 ? 0 : idle + 1;
    return idle > 100;
}

PV_TEST(a_program_that_does_not_read_holds_up_the_other_side)
{
    int pair[2];
    connected_pair(pair, false);
    flow.from = pair[0];
    flow.sent = idle = 0;
    run_until(is_stuck);
    assert_in_range(flow.sent, 65535, 2 << 20); /* buffers, and nothing that grows */
    close(pair[0]);
    close(pair[1]);
}

PV_TEST(the_end_of_the_stack_breaks_every_connection_off)
{
    int pair[2];
    connected_pair(pair, false);
    pv_stack_down(w.stack);
    assert_int_equal(recv(pair[0], &(char){0}, 1, MSG_DONTWAIT), 0);
    assert_true(pv_inside_is_broken(pair[0]));
    close(pair[0]);
    close(pair[1]);
}

PV_TEST(the_end_of_the_stack_is_the_end_of_its_listeners)
{
    struct pv_inside_came came;
    int listener = listen_at(at(1, 80)), fd = -1;
    w.stack = pv_stack_free(w.stack);
    assert_int_equal(pv_inside_accept(listener, &fd, &came), PV_ERR_CLOSED);
    close(listener);
}

/* --- pauses -------------------------------------------------------------------------------- */

static unsigned left;

static bool is_over(void)
{
    return left-- == 0;
}

static void pass(unsigned turns, uint32_t pace)
{
    w.pace = pace;
    left = turns;
    run_until(is_over);
    w.pace = 1;
}

/* Longer than lwIP keeps a connection that is over. */
static void pause_for_minutes(void)
{
    pass(800, LWIP_TICK);
}

static bool read_slowly(void)
{
    if (flow.sent < flow.want)
        write_on();
    else
        (void)shutdown(flow.from, SHUT_WR);
    read_on(1000);
    return w.fins == 2;
}

static bool is_shut(void)
{
    flow.want = flow.sent + 1000;
    write_on();
    return w.shut;
}

/* pair[0] has ended its own side and is answered by pair[1]. */
static void begin_answer(int pair[static 2])
{
    connected_pair(pair, true);
    w.fins = 0;
    w.shut = false;
    assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
    assert_int_equal(read_to_the_end(pair[1]), 0);
    flow.from = pair[1];
    flow.to = pair[0];
    flow.sent = flow.got = 0;
    flow.want = BULK;
}

PV_TEST(the_last_bytes_of_an_answer_wait_for_a_reader_that_pauses)
{
    int pair[2];
    begin_answer(pair);
    run_until(is_shut);
    flow.want = flow.sent + 10000;
    write_on();
    close(pair[1]);
    pause_for_minutes();
    assert_int_equal(flow.sent, flow.want);
    assert_int_equal(w.fins, 1); /* it has not even been sent */
    assert_int_equal(read_the_rest(), flow.want);
    close(pair[0]);
}

/* lwIP forgets its side meanwhile without a word; to go on with that would send packets. */
PV_TEST(bytes_that_came_can_be_read_minutes_after_both_sides_have_ended)
{
    int pair[2];
    begin_answer(pair);
    run_until(read_slowly);
    pause_for_minutes();
    const size_t packets = w.packets;
    assert_int_equal(read_the_rest(), BULK);
    assert_int_equal(w.packets, packets);
    close(pair[0]);
    close(pair[1]);
}

/* --- a member that keeps to no rules ------------------------------------------------------- */

enum {
    FIN = 1,
    SYN = 2,
    ACK = 16,
};
static const struct pv_view no_options;
static const uint8_t tiny_mss[] = {2, 4, 0, 1};

static struct {
    uint32_t seq, ack;    /* what it says next, what it waits for */
    uint32_t heard, room; /* the last acknowledgement and window */
    size_t packets;
} wild;

static void put(uint8_t *to, size_t n, uint32_t value)
{
    while (n-- > 0) {
        to[n] = (uint8_t)value;
        value >>= 8;
    }
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static unsigned wild_host = 2;
static uint16_t wild_port = 10240;

/* Puts a packet of 10.66.0.(wild_host) to port 80 into the queue. at: distance of its bytes, which
 * are `n`, from what it says next. */
static void say_bytes(uint8_t flags, uint32_t window, struct pv_view options, uint32_t at, size_t n)
{
    static uint8_t p[20 + 60 + UINT16_MAX];
    const size_t tcp = 20 + options.len + n;
    memset(p, 0, 20 + tcp);
    memcpy(p, (uint8_t[]){0x45, [8] = 64, 6, [12] = 10, 66, 0, (uint8_t)wild_host, 10, 66, 0, 1},
           20);
    put(p + 2, 2, (uint32_t)(20 + tcp));
    put(p + 10, 2, ~pv_ippkt_sum(pv_view(p, 20), 0));
    put(p + 20, 2, wild_port);
    put(p + 22, 2, 80);
    put(p + 24, 4, wild.seq + at);
    put(p + 28, 4, wild.ack);
    p[32] = (uint8_t)((20 + options.len) << 2);
    p[33] = flags;
    put(p + 34, 2, window);
    if (options.len > 0)
        memcpy(p + 40, options.ptr, options.len);
    const uint32_t pseudo = pv_ippkt_sum(pv_view(p + 12, 8), 6 + (uint32_t)tcp);
    put(p + 36, 2, ~pv_ippkt_sum(pv_view(p + 20, tcp), pseudo));
    assert_int_equal(send(w.queue, p, 20 + tcp, 0), 20 + tcp);
}

static void say(uint8_t flags, uint16_t window, struct pv_view options)
{
    say_bytes(flags, window, options, 0, 0);
    pass(4, 1);
}

/* A segment of the connection. */
static void segment(uint8_t flags, uint32_t at, size_t n)
{
    say_bytes(flags | ACK, 65535, no_options, at, n);
    pass(4, 1);
}

/* How many new bytes came. */
static uint32_t hear(void)
{
    const uint32_t before = wild.ack;
    uint8_t p[MTU];
    for (ssize_t n; (n = recv(w.queue, p, sizeof(p), MSG_DONTWAIT)) > 0;) {
        const uint32_t bytes = (uint32_t)n - 20 - (p[32] >> 4) * 4u;
        if (get32(p + 24) == wild.ack)
            wild.ack += bytes;
        wild.heard = get32(p + 28);
        wild.room = (uint32_t)p[34] << 8 | p[35];
        wild.packets++;
    }
    return wild.ack - before;
}

/* The program's end. */
static int begin_wild(uint16_t window, struct pv_view options)
{
    uint8_t p[MTU];
    int listener = listen_at(at(1, 80)), fd = -1;
    w.wild = true;
    wild.seq = 1000;
    wild.ack = 0;
    say(SYN, window, options);
    assert_in_range(recv(w.queue, p, sizeof(p), MSG_DONTWAIT), 40, MTU);
    wild.seq++;
    wild.ack = get32(p + 24) + 1;
    say(ACK, window, no_options);
    accept_from(listener, &fd, at(2, 0));
    close(listener);
    return fd;
}

static void write_out(int fd, size_t n)
{
    static const uint8_t buf[1000];
    assert_int_equal(send(fd, buf, n, MSG_NOSIGNAL), n);
    pass(4, 1);
}

PV_TEST(a_member_may_open_its_window_by_less_than_what_waits)
{
    int fd = begin_wild(0, no_options);
    write_out(fd, 100);
    say(ACK, 20, no_options);
    write_out(fd, 100);
    say(ACK, 1000, no_options);
    assert_int_equal(hear(), 200);
    close(fd);
}

PV_TEST(a_member_may_not_name_another_segment_size_while_bytes_wait)
{
    int fd = begin_wild(0, no_options);
    write_out(fd, 500);
    say(ACK, 300, pv_view(tiny_mss, sizeof(tiny_mss)));
    pass(20, LWIP_TICK);
    const uint32_t probe = hear(); /* of a window without room */
    assert_in_range(probe, 0, 1);
    wild.ack -= probe; /* there was no room for it */
    say(ACK, 300, no_options);
    pass(20, LWIP_TICK); /* what fits is sent */
    assert_int_equal(hear(), 300);
    write_out(fd, 100);
    say(ACK, 1000, no_options);
    pass(20, LWIP_TICK);
    assert_int_equal(hear(), 300);
    close(fd);
}

PV_TEST(a_member_may_open_its_window_to_64_kib_while_lwip_thinks_the_line_slow)
{
    static const uint8_t scale_2[] = {3, 3, 2, 1};
    int fd = begin_wild(100, pv_view(scale_2, sizeof(scale_2)));
    say(ACK, 25, no_options);
    write_out(fd, 100);
    for (int i = 0; i < 4; i++) /* lost, it says */
        say(ACK, 25, no_options);
    assert_int_equal(hear(), 100);
    say(ACK, 0, no_options);
    write_out(fd, 500);
    say(ACK, 65536 >> 2, no_options);
    pass(20, LWIP_TICK);
    assert_int_equal(hear(), 500);
    close(fd);
}

/* Returns how many bytes of the member's have arrived. */
static uint32_t acknowledged(void)
{
    (void)hear();
    return wild.heard - wild.seq;
}

PV_TEST(a_segment_beyond_the_window_is_dropped_before_lwip_keeps_it)
{
    enum {
        WINDOW = 65535,
        PART = 1000,
    };
    int fd = begin_wild(WINDOW, no_options);
    segment(0, WINDOW - 1, 1000); /* its first byte is the window's last */
    for (uint32_t at = 1; at < WINDOW - 1; at += PART)
        segment(0, at, at + PART < WINDOW - 1 ? PART : WINDOW - 1 - at);
    segment(0, 0, 1);
    assert_int_equal(acknowledged(), WINDOW - 1);
    segment(0, WINDOW - 1, 1);
    pass(4, LWIP_TICK); /* lwIP is in no hurry to acknowledge a byte */
    assert_int_equal(acknowledged(), WINDOW);
    close(fd);
}

static int wild_fd;
static uint32_t wild_read;

static bool has_read_the_end(void)
{
    static uint8_t buf[65536];
    ssize_t n = recv(wild_fd, buf, sizeof(buf), MSG_DONTWAIT);
    wild_read += n > 0 ? (uint32_t)n : 0;
    return n == 0;
}

/* lwIP adds the FIN of one segment to another that ends behind it. */
PV_TEST(data_behind_the_end_that_a_member_named_are_dropped)
{
    int fd = begin_wild(65535, no_options);
    uint32_t got = 0;
    for (unsigned i = 0; i < 1000 && (i == 0 || wild.room > 30000); i++) {
        segment(0, got, 1000); /* nobody reads them */
        got = acknowledged();
    }
    assert_in_range(wild.room, 1000, 30000);
    segment(FIN, got + 500, 0);
    segment(0, got, 40000); /* uses the window up */
    assert_int_equal(acknowledged(), got);
    segment(FIN, got + 200, 100); /* another end, before the first */
    segment(0, got + 400, 101);
    segment(0, got, 500);
    assert_int_equal(acknowledged(), got + 501);
    wild_fd = fd;
    wild_read = 0;
    run_until(has_read_the_end);
    assert_int_equal(wild_read, got + 500);
    close(fd);
}

/* In lwIP's comparison such a number is both before and behind a window without room. */
PV_TEST(a_segment_half_of_all_numbers_away_is_dropped)
{
    int fd = begin_wild(65535, no_options);
    uint32_t got = 0;
    for (unsigned i = 0; i < 1000 && (i == 0 || wild.room > 0); i++) {
        segment(0, got, wild.room > 0 && wild.room < 1000 ? wild.room : 1000);
        got = acknowledged();
    }
    assert_int_equal(wild.room, 0);
    for (uint32_t back = 0; back < 3; back++)
        segment(FIN, got + INT32_MAX - back, 10);
    segment(0, got, 1); /* asks for the window */
    assert_int_equal(acknowledged(), got);
    close(fd);
}

PV_TEST(a_connection_keeps_3072_segments_that_came_too_early)
{
    enum {
        KEPT = 3072,
        SENT = 3200,
    };
    int fd = begin_wild(65535, no_options);
    for (uint32_t i = 1; i <= SENT; i++) {
        say_bytes(ACK, 65535, no_options, 2 * i, 1);
        if (i % 50 == 0)
            pass(3, 1);
    }
    pass(10, 1);
    (void)hear();
    for (uint32_t i = 0; i < KEPT + 5; i++)
        segment(0, i == 0 ? 0 : 2 * i + 1, i == 0 ? 2 : 1);
    assert_int_equal(acknowledged(), 2 * KEPT + 2); /* the next was not kept */
    close(fd);
}

/* --- what lwIP sends and a member does not get ----------------------------------------------- */

enum {
    SEGMENT = 1000,
    FLIGHT = 10, /* segments of a new connection */
    STAMPS = 12, /* bytes of an option with times */
};
/* Segments of 1,000 bytes, selective acknowledgements; and times. */
static const uint8_t with_sacks[] = {2, 4, SEGMENT >> 8, SEGMENT & 255, 4, 2, 1, 1};
static const uint8_t with_stamps[] = {
    2, 4, SEGMENT >> 8, SEGMENT & 255, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0};

/* The member has all before `to`, but for the bytes that it waits for. */
static void say_has(uint32_t from, uint32_t to)
{
    uint8_t option[12] = {1, 1, 5, 10};
    put(option + 4, 4, from);
    put(option + 8, 4, to);
    say_bytes(ACK, 65535, pv_view(option, sizeof(option)), 0, 0);
}

/* A flight of segments has left; returns the program's end. The member has none of them yet. */
static int begin_flight(struct pv_view options, uint32_t *ret_start)
{
    const int fd = begin_wild(65535, options);
    *ret_start = wild.ack;
    write_out(fd, SEGMENT);
    for (int i = 1; i < 4 * FLIGHT; i++)
        write_out(fd, SEGMENT);
    (void)hear();
    wild.ack = *ret_start;
    wild.packets = 0;
    return fd;
}

PV_TEST(a_lost_segment_is_sent_again_once_and_alone)
{
    uint32_t start;
    const int fd = begin_flight(pv_view(with_sacks, sizeof(with_sacks)), &start);
    say_has(start + SEGMENT, start + 2 * SEGMENT);
    pass(3, 1);
    assert_int_equal(hear(), 0); /* it may be late */
    pass(60, 1);
    assert_int_equal(hear(), SEGMENT);
    assert_in_range(wild.packets, 1, 2); /* and one that is new */
    close(fd);
}

PV_TEST(further_lost_segments_are_sent_again_as_the_window_allows)
{
    uint32_t start;
    const int fd = begin_flight(pv_view(with_sacks, sizeof(with_sacks)), &start);
    say_has(start + SEGMENT, start + 4 * SEGMENT);
    say_has(start + 5 * SEGMENT, start + FLIGHT * SEGMENT);
    pass(60, 1);
    assert_int_equal(hear(), SEGMENT);
    wild.ack = start;
    say_has(start + 5 * SEGMENT, start + (FLIGHT + 8) * SEGMENT); /* eight new ones had left */
    pass(4, 1);
    wild.ack = start + 4 * SEGMENT;
    assert_int_equal(hear(), SEGMENT);
    close(fd);
}

PV_TEST(a_late_segment_is_not_sent_again)
{
    uint32_t start;
    const int fd = begin_flight(pv_view(with_sacks, sizeof(with_sacks)), &start);
    for (uint32_t i = 2; i <= 6; i++)
        say_has(start + SEGMENT, start + i * SEGMENT);
    pass(3, 1);
    wild.ack = start + 6 * SEGMENT;
    say_bytes(ACK, 65535, no_options, 0, 0);
    pass(60, 1);
    wild.ack = start;
    assert_int_equal(hear(), 0);
    close(fd);
}

/* Returns how many new segments leave after recovery, when the segment that was sent again came at
 * that time of lwIP's clock. */
static size_t flight_after(bool was_late)
{
    uint8_t option[STAMPS] = {1, 1, 8, 10};
    uint32_t start;
    const int fd = begin_flight(pv_view(with_stamps, sizeof(with_stamps)), &start);
    const uint32_t before = w.clock, len = SEGMENT - STAMPS;
    say_has(start + len, start + 2 * len);
    pass(60, 1);
    assert_int_equal(hear(), len);
    wild.packets = 0;
    wild.ack = start + FLIGHT * len;
    put(option + 8, 4, was_late ? before - 1 : w.clock - 1);
    say_bytes(ACK, 65535, pv_view(option, sizeof(option)), 0, 0);
    pass(20, 1);
    (void)hear();
    close(fd);
    return wild.packets;
}

PV_TEST(a_segment_that_was_late_after_all_leaves_the_window_as_it_was)
{
    const size_t lost = flight_after(false);
    pv_stack_down(w.stack);
    test_after_each();
    test_before_each();
    assert_true(flight_after(true) > lost);
}

PV_TEST(segments_that_come_together_get_one_acknowledgement)
{
    const int fd = begin_wild(65535, pv_view(with_sacks, sizeof(with_sacks)));
    (void)hear();
    wild.packets = 0;
    for (uint32_t i = 0; i < 20; i++)
        say_bytes(ACK, 65535, no_options, i * SEGMENT, SEGMENT);
    pass(4, 1);
    assert_int_equal(acknowledged(), 20 * SEGMENT);
    assert_in_range(wild.packets, 1, 3);
    close(fd);
}

PV_TEST(an_option_that_goes_beyond_the_header_is_dropped)
{
    static const uint8_t cut[] = {1, 1, 1, 2}, long_one[] = {1, 1, 30, 5},
                         short_one[] = {30, 1, 1, 1};
    int fd = begin_wild(65535, no_options);
    say_bytes(ACK, 65535, pv_view(cut, sizeof(cut)), 0, 1);
    say_bytes(ACK, 65535, pv_view(long_one, sizeof(long_one)), 0, 1);
    say_bytes(ACK, 65535, pv_view(short_one, sizeof(short_one)), 0, 1);
    segment(0, 1, 1); /* is answered */
    assert_int_equal(acknowledged(), 0);
    close(fd);
}

/* --- shares of members ---------------------------------------------------------------------- */

/* Begins n connections and finishes none; returns how many were answered. */
static size_t begin_many(unsigned host, unsigned n)
{
    wild_host = host;
    wild.packets = 0;
    for (unsigned i = 0; i < n; i++) {
        wild_port = (uint16_t)(20000 + i);
        say_bytes(SYN, 65535, no_options, 0, 0);
        if (i % 50 == 0)
            pass(3, 1);
    }
    pass(5, 1);
    (void)hear();
    wild_host = 2;
    wild_port = 10240;
    return wild.packets;
}

PV_TEST(a_member_that_finishes_no_handshake_leaves_places_to_others)
{
    int listener = listen_at(at(1, 80));
    w.wild = true;
    assert_in_range(begin_many(2, 300), 100, 128);
    assert_in_range(begin_many(3, 300), 30, 64);
    assert_int_equal(begin_many(4, 1), 1);
    close(listener);
}

/* Sends n echo requests. */
static void ping(unsigned host, unsigned n)
{
    uint8_t p[28] = {0x45, [3] = 28, [8] = 64, 1, [12] = 10, 66, 0, (uint8_t)host, 10, 66, 0, 1, 8};
    put(p + 10, 2, ~pv_ippkt_sum(pv_view(p, 20), 0));
    put(p + 22, 2, ~pv_ippkt_sum(pv_view(p + 20, 8), 0));
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(send(w.queue, p, sizeof(p), 0), sizeof(p));
}

/* Returns how many packets lwIP sent before the first one to the host. */
static unsigned answers_before(unsigned host)
{
    uint8_t p[MTU];
    for (unsigned n = 0;; n++) {
        assert_in_range(recv(w.queue, p, sizeof(p), MSG_DONTWAIT), 20, MTU);
        if (p[19] == host)
            return n;
    }
}

PV_TEST(a_member_that_sends_much_makes_nobody_wait)
{
    w.wild = true;
    ping(2, 120);
    ping(3, 1);
    pass(10, 1);
    assert_in_range(answers_before(3), 0, 70);
}

/* --- datagrams ----------------------------------------------------------------------------- */

PV_TEST(datagrams_keep_their_borders_and_may_be_larger_than_a_packet)
{
    const struct pv_inside_want one = {
        .kind = PV_INSIDE_PLACE, .local = at(1, 5000), .remote = at(2, 6000)};
    const struct pv_inside_want two = {
        .kind = PV_INSIDE_PLACE, .local = at(1, 6000), .remote = at(2, 5000)};
    static uint8_t big[4000] = {1, 2, 3}, got[65536];
    int a = -1, b = -1;
    assert_int_equal(ask(&one, &a), 0);
    assert_int_equal(ask(&two, &b), 0);
    const size_t sizes[] = {5, 0, sizeof(big)};
    for (size_t i = 0; i < PV_ARRAY_LEN(sizes); i++) {
        assert_int_equal(send(a, big, sizes[i], 0), sizes[i]);
        watched = b;
        run_until(is_watched_readable);
        assert_int_equal(recv(b, got, sizeof(got), MSG_DONTWAIT), sizes[i]);
        assert_memory_equal(got, big, sizes[i]);
    }
    close(a);
    close(b);
}

enum {
    BURST = 6000, /* datagrams: more than a queue of the kernel's holds, and a window's worth */
    BURST_LEN = 1300,
};

static struct {
    int program;
    unsigned sent, got; /* datagrams */
} burst;

static bool has_sent_burst(void)
{
    uint8_t datagram[BURST_LEN] = {0};
    for (; burst.sent < BURST; burst.sent++) {
        datagram[0] = (uint8_t)(burst.sent >> 8);
        datagram[1] = (uint8_t)burst.sent;
        if (send(burst.program, datagram, sizeof(datagram), MSG_DONTWAIT) < 0)
            return false;
    }
    return true;
}

/* Packets behind one another, none of them missing. */
static bool has_got_burst(void)
{
    uint8_t packet[MTU];
    while (recv(w.queue, packet, sizeof(packet), MSG_DONTWAIT) > 0) {
        assert_int_equal(packet[28] << 8 | packet[29], burst.got);
        burst.got++;
    }
    return burst.got == BURST;
}

PV_TEST(a_burst_waits_in_order_for_room_in_the_queue)
{
    const struct pv_inside_want place = {
        .kind = PV_INSIDE_PLACE, .local = at(1, 5000), .remote = at(2, 6000)};
    memset(&burst, 0, sizeof(burst));
    assert_int_equal(ask(&place, &burst.program), 0);
    w.wild = true;
    run_until(has_sent_burst); /* nobody reads the queue */
    run_until(has_got_burst);
    close(burst.program);
}

/* --- limits -------------------------------------------------------------------------------- */

PV_TEST(a_request_that_cannot_be_served_says_why)
{
    const struct {
        struct pv_inside_want want;
        int error;
    } cases[] = {
        {{.kind = PV_INSIDE_SOCKET, .family = AF_INET, .type = SOCK_STREAM}, EAFNOSUPPORT},
        {{.kind = 77, .remote = at(2, 1)}, EINVAL},
        {{.kind = PV_INSIDE_CONNECT}, EINVAL},
        {{.kind = PV_INSIDE_CONNECT, .remote = at(2, 0)}, EINVAL},
        {{.kind = PV_INSIDE_CONNECT, .local = at6(1, 0), .remote = at(2, 1)}, EINVAL},
        {{.kind = PV_INSIDE_CONNECT, .local = at(9, 0), .remote = at(2, 1)}, EADDRNOTAVAIL},
        {{.kind = PV_INSIDE_CONNECT, .remote = at(1, 1)}, EHOSTUNREACH},
        {{.kind = PV_INSIDE_PLACE, .remote = pv_addr4(127, 0, 0, 1, 1)}, EHOSTUNREACH},
        {{.kind = PV_INSIDE_PLACE, .remote = pv_addr4(224, 0, 0, 1, 1)}, EHOSTUNREACH},
        {{.kind = PV_INSIDE_LISTEN, .local = at(9, 80)}, EADDRNOTAVAIL},
        {{.kind = PV_INSIDE_LISTEN}, EINVAL},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        int fd = -1;
        assert_int_equal(ask(&cases[i].want, &fd), cases[i].error);
    }
}

PV_TEST(tables_have_limits_and_places_are_free_again)
{
    int fds[PV_STACK_LISTENERS], more = -1;
    for (unsigned i = 0; i < PV_STACK_LISTENERS; i++)
        fds[i] = listen_at(at(1, (uint16_t)(100 + i)));
    const struct pv_inside_want taken = {.kind = PV_INSIDE_LISTEN, .local = at(1, 100)};
    const struct pv_inside_want other = {.kind = PV_INSIDE_LISTEN, .local = at(1, 99)};
    assert_int_equal(ask(&other, &more), -PV_ERR_LIMIT);
    close(fds[0]);
    close(listen_at(at(1, 100)));
    fds[0] = listen_at(at(1, 100));
    close(fds[1]);
    assert_int_equal(ask(&taken, &more), EADDRINUSE);
    for (unsigned i = 0; i < PV_STACK_LISTENERS; i++)
        if (i != 1)
            close(fds[i]);
}

PV_TEST(only_packets_of_members_to_an_own_address_are_welcome)
{
    const struct pv_addr own[] = {at(1, 0), at6(1, 0)};
    uint8_t v4[40] = {0x45, [9] = 6, [12] = 10, 66, 0, 2, 10, 66, 0, 1};
    uint8_t v6[60] = {0x60, [6] = 6, [8] = 0xfd, 0x66, [23] = 2, 0xfd, 0x66, [39] = 1};
#define WELCOME(p) pv_stack_is_welcome(pv_view(p, sizeof(p)), own, PV_ARRAY_LEN(own))
    assert_true(WELCOME(v4));
    assert_true(WELCOME(v6));
    assert_false(pv_stack_is_welcome(pv_view(v4, 19), own, 2));
    assert_false(pv_stack_is_welcome(pv_view(v6, 40), own, 2));
    assert_false(pv_stack_is_welcome(pv_view(v4, 0), own, 2));
    v4[9] = 2; /* groups */
    assert_false(WELCOME(v4));
    v4[9] = 6;
    v4[6] = 0x20; /* in fragments, which lwIP would put together behind what looks at segments */
    assert_false(WELCOME(v4));
    v4[6] = 0;
    v4[7] = 1;
    assert_false(WELCOME(v4));
    v4[7] = 0;
    v4[9] = 1;
    assert_true(WELCOME(v4));
    v4[19] = 3; /* to another */
    assert_false(WELCOME(v4));
    v4[19] = 1;
    v4[15] = 1; /* from itself */
    assert_false(WELCOME(v4));
    v4[12] = 127;
    assert_false(WELCOME(v4));
    v4[12] = 224;
    assert_false(WELCOME(v4));
    v6[6] = 58;
    v6[40] = 128;
    assert_true(WELCOME(v6));
    v6[40] = 134; /* a router */
    assert_false(WELCOME(v6));
    v6[6] = 0; /* hop by hop, and who knows what behind it */
    assert_false(WELCOME(v6));
    v6[6] = 44;
    v6[40] = 17;
    assert_true(WELCOME(v6));
    v6[40] = 58;
    assert_false(WELCOME(v6));
    v6[40] = 6;
    assert_false(WELCOME(v6));
}
