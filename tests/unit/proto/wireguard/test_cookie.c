/* SPDX-License-Identifier: MIT */
#include "crypto/ct.h"
#include "proto/wireguard/cookie.h"
#include "tests/unit/test_util.h"

struct world {
    struct test_rng r;
    struct pv_rng rng;
    struct pv_wg_device init, resp;
    struct pv_wg_remote to_resp;
    struct pv_cookie_checker *checker;
    struct pv_cookie_jar jar;
    struct pv_addr src;
};

static struct world make_world(void)
{
    struct world w = {.checker = NULL};
    uint8_t sk[32], psk[32] = {0};
    (void)test_rng_make(&w.r, 5);
    struct pv_rng rng = {test_rng_fill, &w.r};
    pv_rng_fill(&rng, sk, 32);
    pv_wg_device_init(&w.init, test_keep_key(sk));
    pv_rng_fill(&rng, sk, 32);
    pv_wg_device_init(&w.resp, test_keep_key(sk));
    assert_ok(pv_wg_remote_init(&w.to_resp, &w.init, w.resp.keys.pk, psk));
    w.src = pv_addr4(192, 0, 2, 1, 51820);
    return w;
}

/* The struct does not move after this: checker and rng point into it. */
static void start(struct world *w)
{
    w->rng = (struct pv_rng){test_rng_fill, &w->r};
    assert_ok(pv_cookie_checker_new(&w->checker, &w->rng));
}

static void make_msg1(struct world *w, uint8_t msg[PV_WGMSG_INITIATION_LEN], pv_ns now)
{
    struct pv_wg_pending pending = {.local_index = 7};
    uint8_t tai64n[PV_TAI64N_LEN] = {1};
    assert_ok(pv_wgmsg_initiate(&pending, &w->init, &w->to_resp, &w->rng, tai64n, msg));
    pv_cookie_jar_stamp(&w->jar, msg, PV_WGMSG_INITIATION_LEN, true, now);
}

static enum pv_cookie_verdict check(struct world *w, const uint8_t *msg, bool load, pv_ns now)
{
    return pv_cookie_check(w->checker, &w->resp, pv_view(msg, PV_WGMSG_INITIATION_LEN), &w->src,
                           load, now);
}

/* One exchange: message 1, cookie, and the jar has it. */
static void get_cookie(struct world *w, pv_ns now)
{
    uint8_t msg[PV_WGMSG_INITIATION_LEN], reply[PV_WGMSG_COOKIE_LEN];
    make_msg1(w, msg, now);
    assert_int_equal(check(w, msg, true, now), PV_COOKIE_REPLY);
    pv_cookie_reply(w->checker, &w->resp, pv_view(msg, sizeof(msg)), &w->src, now, reply);
    assert_ok(pv_cookie_jar_put(&w->jar, &w->to_resp, pv_view(reply, sizeof(reply)), now));
}

PV_TEST(without_load_mac1_is_enough)
{
    struct world w = make_world();
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    start(&w);
    make_msg1(&w, msg, PV_S(1));
    assert_int_equal(check(&w, msg, false, PV_S(1)), PV_COOKIE_ACCEPT);
    msg[10] ^= 1;
    assert_int_equal(check(&w, msg, false, PV_S(1)), PV_COOKIE_DROP);
    assert_int_equal(check(&w, msg, true, PV_S(1)), PV_COOKIE_DROP); /* and no answer */
    pv_cookie_checker_free(w.checker);
}

PV_TEST(under_load_the_cookie_lets_its_source_in_and_no_other)
{
    struct world w = make_world();
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    start(&w);
    get_cookie(&w, PV_S(1));
    make_msg1(&w, msg, PV_S(2));
    assert_int_equal(check(&w, msg, true, PV_S(2)), PV_COOKIE_ACCEPT);
    w.src.port++;
    assert_int_equal(check(&w, msg, true, PV_S(2)), PV_COOKIE_REPLY);
    w.src.port--;
    w.src.ip[3]++;
    assert_int_equal(check(&w, msg, true, PV_S(2)), PV_COOKIE_REPLY);
    w.src.ip[3]--;

    /* The same IPv4 source as a dual-stack socket shows it. */
    struct pv_addr mapped = {.family = PV_AF_INET6, .port = w.src.port};
    mapped.ip[10] = mapped.ip[11] = 0xff;
    memcpy(mapped.ip + 12, w.src.ip, 4);
    w.src = mapped;
    assert_int_equal(check(&w, msg, true, PV_S(2)), PV_COOKIE_ACCEPT);
    pv_cookie_checker_free(w.checker);
}

PV_TEST(the_secret_changes_after_120_s)
{
    struct world w = make_world();
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    start(&w);
    get_cookie(&w, PV_S(1));
    make_msg1(&w, msg, PV_S(2));
    assert_int_equal(check(&w, msg, true, PV_S(121) - 1), PV_COOKIE_ACCEPT);
    assert_int_equal(check(&w, msg, true, PV_S(121)), PV_COOKIE_REPLY);
    pv_cookie_checker_free(w.checker);
}

PV_TEST(the_jar_gives_a_cookie_up_after_115_s)
{
    struct world w = make_world();
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    start(&w);
    get_cookie(&w, PV_S(1));
    make_msg1(&w, msg, PV_S(116) - 1);
    assert_false(pv_ct_is_zero(msg + sizeof(msg) - 16, 16));
    make_msg1(&w, msg, PV_S(116));
    assert_true(pv_ct_is_zero(msg + sizeof(msg) - 16, 16));
    pv_cookie_checker_free(w.checker);
}

PV_TEST(a_proven_source_has_its_share_and_no_more)
{
    struct world w = make_world();
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    unsigned accepted = 0;
    start(&w);
    get_cookie(&w, PV_S(1));
    make_msg1(&w, msg, PV_S(2));
    for (int i = 0; i < 100; i++)
        accepted += check(&w, msg, true, PV_S(2)) == PV_COOKIE_ACCEPT ? 1u : 0u;
    assert_int_equal(accepted, PV_COOKIE_BURST);
    assert_int_equal(check(&w, msg, true, PV_S(2) + PV_MS(50)), PV_COOKIE_ACCEPT);
    assert_int_equal(check(&w, msg, true, PV_S(2) + PV_MS(50)), PV_COOKIE_DROP);
    pv_cookie_checker_free(w.checker);
}

PV_TEST(the_jar_takes_one_genuine_answer_to_its_last_message)
{
    struct world w = make_world();
    uint8_t msg[PV_WGMSG_INITIATION_LEN], old[PV_WGMSG_COOKIE_LEN], reply[PV_WGMSG_COOKIE_LEN];
    start(&w);
    memset(reply, 0, sizeof(reply));
    assert_int_equal(pv_cookie_jar_put(&w.jar, &w.to_resp, pv_view(reply, 64), 1), PV_ERR_STATE);
    make_msg1(&w, msg, 1);
    pv_cookie_reply(w.checker, &w.resp, pv_view(msg, sizeof(msg)), &w.src, 1, old);
    make_msg1(&w, msg, 2);
    pv_cookie_reply(w.checker, &w.resp, pv_view(msg, sizeof(msg)), &w.src, 2, reply);
    assert_int_equal(pv_cookie_jar_put(&w.jar, &w.to_resp, pv_view(old, 64), 3), PV_ERR_AUTH);
    for (size_t len = 0; len < sizeof(reply); len++)
        assert_int_equal(pv_cookie_jar_put(&w.jar, &w.to_resp, pv_view(reply, len), 3),
                         PV_ERR_MALFORMED);
    assert_ok(pv_cookie_jar_put(&w.jar, &w.to_resp, pv_view(reply, 64), 3));
    assert_int_equal(pv_cookie_jar_put(&w.jar, &w.to_resp, pv_view(reply, 64), 3), PV_ERR_STATE);

    /* A message in a signal carries no mac2, cookie or not. */
    make_msg1(&w, msg, 4);
    memset(msg + sizeof(msg) - 16, 0, 16);
    pv_cookie_jar_stamp(&w.jar, msg, sizeof(msg), false, 4);
    assert_true(pv_ct_is_zero(msg + sizeof(msg) - 16, 16));
    pv_cookie_checker_free(w.checker);
}
