/* SPDX-License-Identifier: MIT */
/* The machine against a NAT and a server played by hand. */
#include "proto/stun/natlife.h"
#include "proto/stun/stun.h"
#include "tests/unit/test_util.h"

/* One binding of the NAT: made by what leaves, ends by silence or by age. */
struct binding {
    uint16_t port;
    pv_ns made, used;
    bool there;
};

struct fixture {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_natlife l;
    struct pv_addr server;
    pv_ns now;
    pv_ns idle, absolute; /* of the NAT; absolute 0 = none */
    uint16_t next_port;
    struct binding bindings[PV_NATLIFE_SOCKETS];
    bool deaf; /* the server answers nothing */
    bool old;  /* it does not know RESPONSE-PORT */
    unsigned sent;
    pv_ns reboot_at; /* 0 = never */
};

static void begin(struct fixture *f, pv_ns idle, pv_ns absolute)
{
    memset(f, 0, sizeof(*f));
    f->rng = test_rng_make(&f->seed, 5);
    f->server = pv_addr4(203, 0, 113, 5, 3478);
    f->now = PV_S(100);
    f->idle = idle;
    f->absolute = absolute;
    f->next_port = 30000;
    pv_natlife_start(&f->l, &f->server, &f->rng, f->now);
}

static bool lives(const struct fixture *f, const struct binding *b)
{
    return b->there && f->now < b->used + f->idle &&
           (f->absolute == 0 || f->now < b->made + f->absolute);
}

static void leave(struct fixture *f, unsigned sock)
{
    struct binding *b = &f->bindings[sock];
    if (!lives(f, b))
        *b = (struct binding){.port = f->next_port++, .made = f->now, .there = true};
    b->used = f->now;
}

/* The server's answer, to the socket whose binding it meets. */
static void answer(struct fixture *f, unsigned sock, struct pv_view request)
{
    struct pv_stun_msg msg;
    struct pv_stun_writer w;
    uint8_t buf[128];
    uint32_t response = 0;
    unsigned to = sock;
    size_t len;
    assert_ok(pv_stun_decode(request, &msg));
    struct pv_addr mapped = pv_addr4(198, 51, 100, 7, f->bindings[sock].port);
    bool asked = pv_stun_get_u32(&msg, PV_STUN_ATTR_RESPONSE_PORT, &response) == PV_OK;
    if (asked && f->old) {
        const uint16_t type = PV_STUN_ATTR_RESPONSE_PORT;
        pv_stun_write_answer(&w, buf, sizeof(buf), PV_STUN_ERROR, &msg);
        pv_stun_put_error(&w, PV_STUN_E_UNKNOWN_ATTRIBUTE, "");
        pv_stun_put_unknown(&w, &type, 1);
    } else {
        pv_stun_write_answer(&w, buf, sizeof(buf), PV_STUN_SUCCESS, &msg);
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
        for (to = 0; asked && to < PV_NATLIFE_SOCKETS; to++)
            if (f->bindings[to].port == response >> 16 && lives(f, &f->bindings[to]))
                break;
        to = asked ? to : sock;
    }
    assert_ok(pv_stun_write_end(&w, &len));
    if (to < PV_NATLIFE_SOCKETS)
        (void)!pv_natlife_handle_input(&f->l, to, &f->server, pv_view(buf, len), f->now);
}

/* Until it is done, or the time is up. */
static void run(struct fixture *f, pv_ns duration)
{
    pv_ns end = f->now + duration;
    while (f->now < end && pv_natlife_is_running(&f->l)) {
        uint8_t buf[PV_STUNC_MTU];
        size_t len;
        unsigned sock;
        while (pv_natlife_poll_transmit(&f->l, buf, &len, &sock) == PV_OK) {
            f->sent++;
            leave(f, sock);
            if (!f->deaf)
                answer(f, sock, pv_view(buf, len));
        }
        pv_ns next = pv_natlife_next_timeout(&f->l);
        if (next == PV_NEVER)
            break; /* done */
        if (f->reboot_at != 0 && f->now >= f->reboot_at) {
            memset(f->bindings, 0, sizeof(f->bindings));
            f->reboot_at = 0;
        }
        f->now = next > f->now ? next : f->now + 1;
        pv_natlife_handle_timeout(&f->l, f->now);
    }
}

PV_TEST(the_time_a_silent_binding_lives_is_found)
{
    static const struct {
        unsigned idle, min, max; /* seconds; max 0 = more than was tried */
    } cases[] = {{5, 0, 14},    {20, 14, 22},    {30, 22, 32}, {60, 48, 72},
                 {73, 72, 105}, {120, 105, 138}, {300, 138, 0}};
    for (size_t i = 0; i < PV_ARRAY_LEN(cases); i++) {
        struct fixture f;
        begin(&f, PV_S(cases[i].idle), 0);
        run(&f, PV_S(600));
        assert_false(pv_natlife_is_running(&f.l));
        const struct pv_natlife_result *r = pv_natlife_result(&f.l);
        assert_true(r->known);
        assert_int_equal(r->idle_min, PV_S(cases[i].min));
        assert_int_equal(r->idle_max, cases[i].max == 0 ? PV_NEVER : PV_S(cases[i].max));
        assert_int_equal(r->absolute, 0);
        assert_in_range(f.sent, 30, 90);
        assert_true(f.now <= PV_S(100) + PV_S(160));
        pv_ns interval = pv_natlife_interval(r, PV_S(25));
        assert_in_range(interval, PV_NATLIFE_LEAST, PV_NATLIFE_MOST);
        assert_true(cases[i].idle < 14 || interval < PV_S(cases[i].idle));
    }
}

PV_TEST(an_absolute_end_is_seen_when_it_comes_again)
{
    static const unsigned ends[] = {40, 60, 75, 140};
    for (size_t i = 0; i < PV_ARRAY_LEN(ends); i++) {
        struct fixture f;
        begin(&f, PV_S(300), PV_S(ends[i]));
        run(&f, PV_S(600));
        assert_false(pv_natlife_is_running(&f.l));
        assert_in_range(pv_natlife_result(&f.l)->absolute, PV_S(ends[i]) - PV_S(12), PV_S(ends[i]));
    }
}

PV_TEST(a_nat_that_restarts_has_no_absolute_end)
{
    struct fixture f;
    begin(&f, PV_S(300), 0);
    f.reboot_at = f.now + PV_S(60);
    run(&f, PV_S(600));
    assert_false(pv_natlife_is_running(&f.l));
    assert_int_equal(pv_natlife_result(&f.l)->absolute, 0);
}

PV_TEST(a_question_that_the_server_leaves_open_stays_unknown)
{
    struct fixture f;
    begin(&f, PV_S(60), 0);
    f.old = true;
    run(&f, PV_S(600));
    assert_false(pv_natlife_is_running(&f.l));
    assert_false(pv_natlife_result(&f.l)->known);
    assert_int_equal(pv_natlife_interval(pv_natlife_result(&f.l), PV_S(25)), PV_S(25));

    begin(&f, PV_S(300), 0);
    run(&f, PV_S(40));
    f.deaf = true; /* the line is cut: silence says nothing about the NAT */
    run(&f, PV_S(3600));
    assert_false(pv_natlife_is_running(&f.l));
    assert_false(pv_natlife_result(&f.l)->known && pv_natlife_result(&f.l)->idle_max != PV_NEVER);

    begin(&f, PV_S(300), 0);
    f.deaf = true;
    run(&f, PV_S(3600));
    assert_false(pv_natlife_is_running(&f.l));
    assert_false(pv_natlife_result(&f.l)->known);
}

PV_TEST(answers_of_strangers_count_nothing)
{
    struct fixture f;
    uint8_t buf[PV_STUNC_MTU], junk[3] = {0};
    size_t len;
    unsigned sock;
    begin(&f, PV_S(60), 0);
    assert_ok(pv_natlife_poll_transmit(&f.l, buf, &len, &sock));
    assert_int_equal(sock, PV_NATLIFE_WATCH);
    struct pv_addr other = pv_addr4(192, 0, 2, 1, 3478);
    assert_int_equal(pv_natlife_handle_input(&f.l, 0, &other, pv_view(buf, len), f.now),
                     PV_ERR_NOT_FOUND);
    assert_true(pv_natlife_handle_input(&f.l, 0, &f.server, pv_view(junk, 3), f.now) < 0);
    assert_int_equal(
        pv_natlife_handle_input(&f.l, PV_NATLIFE_SOCKETS, &f.server, pv_view(buf, len), f.now),
        PV_ERR_NOT_FOUND);
}
