/* SPDX-License-Identifier: MIT */
/* The measuring machine among strangers and liars; what it measures is tested in tests/sim. */
#include "proto/stun/netcheck.h"
#include "proto/stun/stun.h"
#include "tests/unit/test_util.h"

static const struct pv_addr SERVER = {.family = PV_AF_INET, .port = 3478, .ip = {192, 0, 2, 1}};
static const struct pv_addr MAPPED = {.family = PV_AF_INET, .port = 40000, .ip = {203, 0, 113, 9}};

struct fixture {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_netcheck nc;
    struct pv_netcheck_config cfg;
    struct pv_addr mapped; /* as the servers see us */
    pv_ns now;
    uint8_t buf[PV_NETCHECK_MTU]; /* the last request */
    struct pv_netcheck_send send;
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->rng = test_rng_make(&f->seed, 3);
    f->now = PV_S(5);
    f->cfg.servers[0] = SERVER;
    f->cfg.n_servers = 1;
    f->mapped = MAPPED;
    for (unsigned i = 0; i < PV_NETCHECK_SOCKETS; i++)
        f->cfg.local[i] = pv_addr4(192, 168, 0, 2, (uint16_t)(5000 + i));
    pv_netcheck_start(&f->nc, &f->cfg, &f->rng, f->now);
}

static bool next_request(struct fixture *f)
{
    return pv_netcheck_poll_transmit(&f->nc, f->buf, &f->send) == PV_OK;
}

/* An answer to the last request, with OTHER-ADDRESS when other is given. */
static struct pv_view answer_to(const struct fixture *f, enum pv_stun_class cls,
                                const struct pv_addr *other, uint8_t *buf, size_t cap)
{
    struct pv_stun_msg msg;
    struct pv_stun_writer w;
    size_t len = 0;
    assert_ok(pv_stun_decode(pv_view(f->buf, f->send.len), &msg));
    pv_stun_write_answer(&w, buf, cap, cls, &msg);
    if (cls == PV_STUN_ERROR)
        pv_stun_put_error(&w, 420, "");
    else
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &f->mapped);
    if (other != NULL)
        pv_stun_put_addr(&w, PV_STUN_ATTR_OTHER_ADDRESS, other);
    assert_ok(pv_stun_write_end(&w, &len));
    return pv_view(buf, len);
}

/* Runs without an answer to the end. */
static struct pv_netcheck_result run_out(struct fixture *f, size_t *ret_sent)
{
    struct pv_netcheck_result res;
    *ret_sent = 0;
    while (pv_netcheck_poll_event(&f->nc, &res) < 0) {
        while (next_request(f))
            ++*ret_sent;
        pv_ns next = pv_netcheck_next_timeout(&f->nc);
        assert_true(next != PV_NEVER && next >= f->now);
        f->now = next;
        pv_netcheck_handle_timeout(&f->nc, f->now);
    }
    assert_int_equal(pv_netcheck_next_timeout(&f->nc), PV_NEVER);
    assert_int_equal(pv_netcheck_poll_event(&f->nc, &res), PV_ERR_AGAIN);
    assert_false(next_request(f));
    return f->nc.result;
}

PV_TEST(silence_is_called_blocked_after_three_seconds)
{
    struct fixture f;
    size_t sent;
    begin(&f);
    struct pv_netcheck_result res = run_out(&f, &sent);
    assert_int_equal(sent, 6);
    assert_int_equal(f.now, PV_S(5) + PV_MS(PV_NETCHECK_FIND_MS));
    assert_false(res.reached);
    assert_int_equal(res.name, PV_NETCHECK_BLOCKED);
}

PV_TEST(without_a_server_it_ends_at_once)
{
    struct fixture f;
    struct pv_netcheck_result res;
    begin(&f);
    f.cfg.n_servers = 0;
    pv_netcheck_start(&f.nc, &f.cfg, &f.rng, f.now);
    assert_false(next_request(&f));
    pv_netcheck_handle_timeout(&f.nc, f.now);
    assert_ok(pv_netcheck_poll_event(&f.nc, &res));
    assert_false(res.reached);
}

PV_TEST(only_the_server_can_answer_and_only_what_was_asked)
{
    struct fixture f;
    uint8_t buf[128];
    struct pv_addr port = SERVER, stranger = pv_addr4(192, 0, 2, 2, 3478);
    begin(&f);
    assert_true(next_request(&f));
    struct pv_view good = answer_to(&f, PV_STUN_SUCCESS, NULL, buf, sizeof(buf));
    port.port++;
    assert_int_equal(pv_netcheck_handle_input(&f.nc, 0, &stranger, good, f.now), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_netcheck_handle_input(&f.nc, 0, &port, good, f.now), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_netcheck_handle_input(&f.nc, 1, &SERVER, good, f.now), PV_ERR_NOT_FOUND);
    for (size_t cut = 0; cut < good.len; cut++)
        assert_true(pv_netcheck_handle_input(&f.nc, 0, &SERVER, pv_view(buf, cut), f.now) < 0);
    for (size_t i = 8; i < 20; i++) { /* every byte of the id counts */
        buf[i] ^= 1;
        assert_int_equal(pv_netcheck_handle_input(&f.nc, 0, &SERVER, good, f.now),
                         PV_ERR_NOT_FOUND);
        buf[i] ^= 1;
    }
    /* Our own request thrown back is no hairpin: it was for the server. */
    assert_int_equal(pv_netcheck_handle_input(&f.nc, 0, &SERVER, pv_view(f.buf, f.send.len), f.now),
                     PV_ERR_NOT_FOUND);
    assert_false(next_request(&f));
    assert_ok(pv_netcheck_handle_input(&f.nc, 0, &SERVER, good, f.now));
    assert_int_equal(pv_netcheck_handle_input(&f.nc, 0, &SERVER, good, f.now), PV_ERR_NOT_FOUND);
    assert_true(next_request(&f)); /* the burst begins */
    assert_int_equal(f.send.sock, PV_NETCHECK_FIRST_FRESH);
}

PV_TEST(a_server_that_falls_silent_or_refuses_leaves_all_unknown)
{
    for (int refuses = 0; refuses < 2; refuses++) {
        struct fixture f;
        uint8_t buf[128];
        size_t sent;
        begin(&f);
        assert_true(next_request(&f));
        assert_ok(pv_netcheck_handle_input(
            &f.nc, 0, &SERVER, answer_to(&f, PV_STUN_SUCCESS, NULL, buf, sizeof(buf)), f.now));
        while (refuses && next_request(&f))
            assert_ok(pv_netcheck_handle_input(&f.nc, f.send.sock, &f.send.dst,
                                               answer_to(&f, PV_STUN_ERROR, NULL, buf, sizeof(buf)),
                                               f.now));
        struct pv_netcheck_result res = run_out(&f, &sent);
        assert_true(f.now <= PV_S(5) + PV_MS(PV_NETCHECK_MAX_MS));
        assert_true(res.reached);
        assert_int_equal(res.name, PV_NETCHECK_NAME_UNKNOWN);
        assert_int_equal(res.mapping, PV_NETCHECK_RULE_UNKNOWN);
        assert_int_equal(res.filtering, PV_NETCHECK_RULE_UNKNOWN);
        assert_int_equal(res.ports, PV_NETCHECK_PORTS_UNKNOWN);
        assert_int_equal(res.hairpin, PV_NETCHECK_UNKNOWN);
        assert_true(sent <= 5 * 20);
    }
}

/* A server could name a victim as its other address: nowhere that no server can be, and no more
 * than one test's worth. */
PV_TEST(a_lying_server_sends_us_nowhere_special)
{
    const struct pv_addr lies[] = {
        pv_addr4(127, 0, 0, 1, 3479),       pv_addr4(224, 0, 0, 1, 3479),
        pv_addr4(255, 255, 255, 255, 3479), pv_addr4(0, 0, 0, 0, 3479),
        pv_addr4(169, 254, 0, 1, 3479),     pv_addr4(198, 51, 100, 7, 0),
        pv_addr4(198, 51, 100, 7, 9),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(lies); i++) {
        struct fixture f;
        uint8_t buf[128];
        size_t there = 0;
        struct pv_netcheck_result res;
        begin(&f);
        assert_true(next_request(&f));
        assert_ok(pv_netcheck_handle_input(
            &f.nc, 0, &SERVER, answer_to(&f, PV_STUN_SUCCESS, &lies[i], buf, sizeof(buf)), f.now));
        while (pv_netcheck_poll_event(&f.nc, &res) < 0) {
            while (next_request(&f))
                there += !pv_addr_equal_ip(&f.send.dst, &SERVER);
            f.now = pv_netcheck_next_timeout(&f.nc);
            pv_netcheck_handle_timeout(&f.nc, f.now);
        }
        assert_int_equal(there, i + 1 == PV_ARRAY_LEN(lies) ? 10 : 0);
    }
}

PV_TEST(calls_too_early_or_too_late_are_harmless)
{
    struct fixture f;
    uint8_t buf[128];
    size_t sent;
    begin(&f);
    pv_netcheck_handle_timeout(&f.nc, f.now);
    assert_true(next_request(&f));
    struct pv_view late = answer_to(&f, PV_STUN_SUCCESS, NULL, buf, sizeof(buf));
    pv_netcheck_handle_timeout(&f.nc, f.now);
    assert_false(next_request(&f));
    (void)run_out(&f, &sent);
    assert_int_equal(pv_netcheck_handle_input(&f.nc, 0, &SERVER, late, f.now), PV_ERR_NOT_FOUND);
    pv_netcheck_handle_timeout(&f.nc, f.now + PV_S(100));
    assert_false(next_request(&f));
}

PV_TEST(one_server_address_tells_something_too)
{
    struct pv_netcheck_result res = {.reached = true, .translated = PV_NETCHECK_NO};
    assert_has(pv_netcheck_verdict(&res), "No NAT: ");
    res.translated = PV_NETCHECK_YES;
    assert_has(pv_netcheck_verdict(&res), "cannot be told");
    res.mapping_port = PV_NETCHECK_YES;
    assert_has(pv_netcheck_verdict(&res), "cannot be told");
    res.mapping_port = PV_NETCHECK_NO;
    assert_has(pv_netcheck_verdict(&res), "keeps one public port for both ports");
}

/* A coordinator at home, with a second address or without: the router's NAT lies behind it. */
PV_TEST(a_server_in_our_own_lan_tells_of_no_nat)
{
    const struct pv_addr second = pv_addr4(192, 168, 0, 9, 3479);
    const struct pv_addr seen[] = {pv_addr4(192, 168, 0, 2, 5000), pv_addr4(10, 0, 0, 7, 5000)};
    for (size_t i = 0; i < 2 * PV_ARRAY_LEN(seen); i++) {
        struct fixture f;
        struct pv_netcheck_result res;
        uint8_t buf[128];
        begin(&f);
        f.mapped = seen[i / 2];
        while (pv_netcheck_poll_event(&f.nc, &res) < 0) {
            while (next_request(&f))
                (void)!pv_netcheck_handle_input(
                    &f.nc, f.send.sock, &f.send.dst,
                    answer_to(&f, PV_STUN_SUCCESS, i % 2 == 0 ? &second : NULL, buf, sizeof(buf)),
                    f.now);
            f.now = pv_netcheck_next_timeout(&f.nc);
            pv_netcheck_handle_timeout(&f.nc, f.now);
        }
        assert_true(res.reached);
        assert_int_equal(res.translated, i / 2 == 0 ? PV_NETCHECK_UNKNOWN : PV_NETCHECK_YES);
        assert_int_equal(res.name, PV_NETCHECK_NAME_UNKNOWN);
        assert_int_equal(res.mapping, PV_NETCHECK_RULE_UNKNOWN);
        assert_int_equal(res.filtering, PV_NETCHECK_RULE_UNKNOWN);
        assert_int_equal(res.n_publics, 0);
        assert_has(pv_netcheck_verdict(&res), "name one of the internet with --server");
    }
}

/* They see two addresses of ours, as a symmetric NAT would have it. */
PV_TEST(beside_a_server_of_the_internet_that_in_our_lan_is_left_out)
{
    struct fixture f;
    struct pv_netcheck_result res;
    uint8_t buf[128];
    begin(&f);
    f.cfg.servers[1] = pv_addr4(192, 168, 0, 9, 3478);
    f.cfg.n_servers = 2;
    pv_netcheck_start(&f.nc, &f.cfg, &f.rng, f.now);
    while (pv_netcheck_poll_event(&f.nc, &res) < 0) {
        while (next_request(&f)) {
            f.mapped = f.send.dst.ip[0] == 192 && f.send.dst.ip[1] == 168 ? f.cfg.local[0] : MAPPED;
            (void)!pv_netcheck_handle_input(&f.nc, f.send.sock, &f.send.dst,
                                            answer_to(&f, PV_STUN_SUCCESS, NULL, buf, sizeof(buf)),
                                            f.now);
        }
        f.now = pv_netcheck_next_timeout(&f.nc);
        pv_netcheck_handle_timeout(&f.nc, f.now);
    }
    assert_true(pv_addr_equal(&res.server, &SERVER));
    assert_int_equal(res.translated, PV_NETCHECK_YES);
    assert_int_equal(res.mapping_port, PV_NETCHECK_NO);
    assert_int_not_equal(res.name, PV_NETCHECK_SYMMETRIC);
    assert_int_equal(res.n_publics, 1);
}

/* Else our own server would have no room for its second address (stuns.h PV_STUNS_GAIN). */
PV_TEST(by_ipv6_a_request_makes_room_for_the_answer)
{
    static const uint8_t IP6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    struct pv_stun_msg msg;
    for (int v6 = 0; v6 < 2; v6++) {
        struct fixture f;
        begin(&f);
        if (v6)
            f.cfg.servers[0] = pv_addr6(IP6, 3478);
        pv_netcheck_start(&f.nc, &f.cfg, &f.rng, f.now);
        pv_netcheck_handle_timeout(&f.nc, f.now);
        assert_true(next_request(&f));
        assert_int_equal(f.send.len, v6 ? 28 : 20);
        assert_ok(pv_stun_decode(pv_view(f.buf, f.send.len), &msg));
        assert_int_equal(pv_stun_check_fingerprint(&msg), v6 ? PV_OK : PV_ERR_NOT_FOUND);
    }
}

PV_TEST(everything_has_its_words)
{
    struct pv_netcheck_result res = {.reached = true};
    for (int i = 0; i <= PV_NETCHECK_BLOCKED; i++) {
        res.name = (enum pv_netcheck_name)i;
        for (int k = 0; k <= PV_NETCHECK_RANDOM; k++) {
            res.ports = (enum pv_netcheck_ports)k;
            assert_true(strlen(pv_netcheck_verdict(&res)) > 20);
            assert_true(strlen(pv_netcheck_ports_text(res.ports)) > 0);
        }
        assert_true(strlen(pv_netcheck_name_text(res.name)) > 0);
    }
    assert_string_equal(pv_netcheck_answer_text(PV_NETCHECK_YES), "yes");
    assert_string_equal(pv_netcheck_rule_text(PV_NETCHECK_APD), "address- and port-dependent");
}
