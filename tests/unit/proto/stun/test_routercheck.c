/* SPDX-License-Identifier: MIT */
#include "proto/stun/routercheck.h"
#include "tests/unit/test_util.h"

static const struct pv_addr ROUTER = {.family = PV_AF_INET, .ip = {192, 168, 0, 1}};
static const struct pv_addr LOCAL = {.family = PV_AF_INET, .ip = {192, 168, 0, 2}};
static const uint8_t PCP_OK[24] = {2, 128, 0, 0};
static const uint8_t PMP_OK[12] = {0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7};

static const char *ssdp_ok(void)
{
    return test_given("an answer of a router");
}

static struct pv_addr at(const struct pv_addr *a, uint16_t port)
{
    struct pv_addr r = *a;
    r.port = port;
    return r;
}

static int give(struct pv_routercheck *rc, uint16_t port, const void *data, size_t len)
{
    struct pv_addr src = at(&ROUTER, port);
    return pv_routercheck_handle_input(rc, &src, pv_view(data, len), PV_S(1));
}

/* Lets it end in silence; returns how many requests went out. */
static size_t run_out(struct pv_routercheck *rc, struct pv_routercheck_result *res)
{
    size_t n = 0;
    while (pv_routercheck_poll_event(rc, res) < 0) {
        uint8_t buf[PV_ROUTERCHECK_MTU];
        struct pv_addr dst;
        size_t len;
        while (pv_routercheck_poll_transmit(rc, buf, &dst, &len) == PV_OK)
            n++;
        pv_ns next = pv_routercheck_next_timeout(rc);
        assert_true(next != PV_NEVER);
        pv_routercheck_handle_timeout(rc, next);
    }
    assert_int_equal(pv_routercheck_next_timeout(rc), PV_NEVER);
    assert_int_equal(pv_routercheck_poll_event(rc, res), PV_ERR_AGAIN);
    return n;
}

PV_TEST(the_requests_are_what_the_standards_say)
{
    static const uint8_t PCP[24] = {2, [18] = 0xff, [19] = 0xff, [20] = 192, [21] = 168, [23] = 2};
    struct pv_routercheck rc;
    uint8_t buf[PV_ROUTERCHECK_MTU];
    struct pv_addr dst;
    size_t len;
    pv_routercheck_start(&rc, &ROUTER, &LOCAL, PV_S(1));
    assert_ok(pv_routercheck_poll_transmit(&rc, buf, &dst, &len));
    assert_int_equal(len, sizeof(PCP));
    assert_memory_equal(buf, PCP, sizeof(PCP));
    assert_int_equal(dst.port, 5351);
    assert_ok(pv_routercheck_poll_transmit(&rc, buf, &dst, &len));
    assert_int_equal(len, 2);
    assert_int_equal(buf[0] | buf[1], 0);
    assert_ok(pv_routercheck_poll_transmit(&rc, buf, &dst, &len));
    assert_memory_equal(buf, "M-SEARCH * HTTP/1.1\r\n", 21);
    assert_memory_equal(buf + len - 4, "\r\n\r\n", 4);
    assert_int_equal(dst.port, 1900);
    assert_true(pv_addr_is_multicast(&dst));
    assert_int_equal(pv_routercheck_poll_transmit(&rc, buf, &dst, &len), PV_ERR_AGAIN);
}

PV_TEST(a_router_that_answers_all_ends_it_at_once)
{
    struct pv_routercheck rc;
    struct pv_routercheck_result res;
    struct pv_addr want = pv_addr4(203, 0, 113, 7, 0);
    pv_routercheck_start(&rc, &ROUTER, &LOCAL, PV_S(1));
    assert_ok(give(&rc, 5351, PCP_OK, sizeof(PCP_OK)));
    assert_ok(give(&rc, 5351, PMP_OK, sizeof(PMP_OK)));
    assert_int_equal(pv_routercheck_poll_event(&rc, &res), PV_ERR_AGAIN);
    assert_ok(give(&rc, 49000, ssdp_ok(), strlen(ssdp_ok())));
    assert_ok(pv_routercheck_poll_event(&rc, &res));
    assert_true(res.pcp == PV_NETCHECK_YES && res.natpmp == PV_NETCHECK_YES &&
                res.upnp == PV_NETCHECK_YES);
    assert_true(pv_addr_equal(&res.external, &want));
    assert_true(pv_addr_equal(&res.router, &ROUTER));
    assert_int_equal(give(&rc, 5351, PMP_OK, sizeof(PMP_OK)), PV_ERR_NOT_FOUND);
}

PV_TEST(silence_means_no_and_costs_three_requests_each)
{
    struct pv_routercheck rc;
    struct pv_routercheck_result res;
    pv_routercheck_start(&rc, &ROUTER, &LOCAL, PV_S(1));
    assert_int_equal(run_out(&rc, &res), 9);
    assert_true(res.pcp == PV_NETCHECK_NO && res.natpmp == PV_NETCHECK_NO &&
                res.upnp == PV_NETCHECK_NO);
    assert_int_equal(res.external.family, PV_AF_NONE);
}

PV_TEST(without_a_router_all_is_unknown)
{
    struct pv_routercheck rc;
    struct pv_routercheck_result res;
    const struct pv_addr none = {.family = PV_AF_NONE};
    pv_routercheck_start(&rc, &none, &LOCAL, PV_S(1));
    assert_int_equal(run_out(&rc, &res), 0);
    assert_true(res.pcp == PV_NETCHECK_UNKNOWN && res.upnp == PV_NETCHECK_UNKNOWN);
}

PV_TEST(refusals_strangers_and_damage_do_not_count)
{
    static const uint8_t PCP_NOT_FOR_US[24] = {2, 128, 0, 2};
    static const uint8_t PMP_FAILED[12] = {0, 128, 0, 3};
    static const uint8_t PMP_OLD[8] = {0, 128, 0, 1}; /* to a PCP request: unsupported version */
    static const uint8_t PMP_NO_ADDRESS[12] = {0, 128};
    const char *OTHER_DEVICE = test_given("an answer of another device");
    struct pv_routercheck rc;
    struct pv_routercheck_result res;
    struct pv_addr stranger = pv_addr4(192, 168, 0, 3, 5351);
    uint8_t buf[64];
    pv_routercheck_start(&rc, &ROUTER, &LOCAL, PV_S(1));
    assert_int_equal(
        pv_routercheck_handle_input(&rc, &stranger, pv_view(PMP_OK, sizeof(PMP_OK)), PV_S(1)),
        PV_ERR_NOT_FOUND);
    for (size_t n = 0; n < sizeof(PCP_OK); n++)
        assert_int_equal(give(&rc, 5351, PCP_OK, n), PV_ERR_NOT_FOUND);
    for (size_t n = 0; n < sizeof(PMP_OK); n++)
        assert_int_equal(give(&rc, 5351, PMP_OK, n), n < 4 ? PV_ERR_NOT_FOUND : PV_OK);
    for (size_t n = 0; n < strlen(ssdp_ok()) - 29; n++)
        assert_int_equal(give(&rc, 1900, ssdp_ok(), n), PV_ERR_NOT_FOUND);
    memcpy(buf, PMP_OK, sizeof(PMP_OK));
    assert_ok(give(&rc, 5351, buf, sizeof(PMP_OK) + 1)); /* too long: ignored */
    assert_ok(give(&rc, 5351, PCP_NOT_FOR_US, sizeof(PCP_NOT_FOR_US)));
    assert_ok(give(&rc, 5351, PMP_FAILED, sizeof(PMP_FAILED)));
    assert_ok(give(&rc, 5351, PMP_OLD, sizeof(PMP_OLD)));
    assert_int_equal(give(&rc, 5351, ssdp_ok(), strlen(ssdp_ok())), PV_ERR_NOT_FOUND);
    assert_int_equal(give(&rc, 1900, OTHER_DEVICE, strlen(OTHER_DEVICE)), PV_ERR_NOT_FOUND);
    (void)run_out(&rc, &res);
    assert_true(res.pcp == PV_NETCHECK_NO && res.natpmp == PV_NETCHECK_NO &&
                res.upnp == PV_NETCHECK_NO);
    pv_routercheck_start(&rc, &ROUTER, &LOCAL, PV_S(1));
    assert_ok(give(&rc, 5351, PMP_NO_ADDRESS, sizeof(PMP_NO_ADDRESS)));
    (void)run_out(&rc, &res);
    assert_int_equal(res.natpmp, PV_NETCHECK_YES);
    assert_int_equal(res.external.family, PV_AF_NONE);
}

PV_TEST(levels_follow_from_both_addresses)
{
    struct pv_netcheck_result nat = {.reached = false, .translated = PV_NETCHECK_YES};
    struct pv_routercheck_result router = {.external = pv_addr4(203, 0, 113, 7, 0)};
    static const struct pv_routercheck_trace silent = {.n = 0};
    nat.publics[0] = pv_addr4(203, 0, 113, 7, 0);
    nat.n_publics = 1;
    assert_int_equal(pv_routercheck_levels(&router, &nat, &silent), -1);
    nat.reached = true;
    assert_int_equal(pv_routercheck_levels(&router, &nat, &silent), 1);
    router.external.ip[3] = 8;
    assert_int_equal(pv_routercheck_levels(&router, &nat, &silent), 2);
    router.external.family = PV_AF_NONE;
    assert_int_equal(pv_routercheck_levels(&router, &nat, &silent), -1);
    nat.translated = PV_NETCHECK_NO;
    assert_int_equal(pv_routercheck_levels(&router, &nat, &silent), 0);
}

PV_TEST(without_the_routers_word_private_addresses_on_the_way_tell)
{
    enum {
        END = 0, /* of the hops */
        SILENT = 255,
    };
    static const struct {
        const char *why;
        uint8_t hops[5][4];
        bool reached;
        int want;
    } rows[] = {
        {"nothing is known", {{SILENT}}, false, -1},
        {"the server is next", {{END}}, true, 1},
        {"a router, then the Internet", {{192, 168, 1, 1}, {198, 51, 100, 1}}, false, 1},
        {"a router, then the server", {{192, 168, 1, 1}}, true, 1},
        {"two routers of one network", {{192, 168, 1, 1}, {192, 168, 1, 254}}, true, 1},
        {"the carrier's NAT", {{192, 168, 1, 1}, {100, 64, 0, 1}, {198, 51, 100, 1}}, false, 2},
        {"two routers at home", {{192, 168, 1, 1}, {192, 168, 0, 1}, {SILENT}}, false, 2},
        {"somebody in between is silent",
         {{192, 168, 1, 1}, {SILENT}, {198, 51, 100, 1}},
         false,
         -1},
        {"two networks, whatever is silent", {{10, 0, 0, 1}, {SILENT}, {192, 168, 0, 1}}, false, 2},
        {"a router of the carrier",
         {{192, 168, 1, 1}, {10, 9, 0, 1}, {198, 51, 100, 1}},
         false,
         -1},
        {"it and the carrier's NAT", {{192, 168, 1, 1}, {10, 9, 0, 1}, {100, 127, 0, 1}}, false, 2},
        {"private ones behind a public one",
         {{192, 168, 1, 1}, {198, 51, 100, 1}, {10, 0, 0, 1}},
         false,
         1},
        {"a private one and no end", {{192, 168, 1, 1}}, false, -1},
    };
    const struct pv_netcheck_result nat = {.reached = true, .translated = PV_NETCHECK_YES};
    const struct pv_routercheck_result router = {.external = {.family = PV_AF_NONE}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_routercheck_trace t = {.reached = rows[i].reached};
        for (; t.n < 5 && rows[i].hops[t.n][0] != END; t.n++) {
            const uint8_t *a = rows[i].hops[t.n];
            if (a[0] != SILENT)
                t.hops[t.n] = pv_addr4(a[0], a[1], a[2], a[3], 0);
        }
        int got = pv_routercheck_levels(&router, &nat, &t);
        if (got != rows[i].want)
            fail_msg("%s: %d", rows[i].why, got);
    }
}
