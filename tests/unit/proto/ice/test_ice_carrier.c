/* SPDX-License-Identifier: MIT */
#include "ice_lone.h"

PV_TEST(another_socket_is_a_base_for_the_pairs_the_peer_makes)
{
    struct lone l;
    struct pv_ice_path paths[8];
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    uint8_t buf[256];
    lone_begin(&l, true, false, true);
    (void)drain(&l);
    struct pv_ice_carrier extra = {.sock = 7, .local = l.local};
    extra.local.port = 5555;
    const struct pv_addr from = pv_addr4(192, 0, 2, 2, 3333);
    struct req q = good_request(&l);
    size_t len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_handle_input(l.agent, &extra, &from, pv_view(buf, len), l.now),
                     PV_ERR_NOT_FOUND);

    assert_int_equal(pv_ice_add_carrier(l.agent, &extra, l.now), PV_OK);
    assert_int_equal(pv_ice_add_carrier(l.agent, &extra, l.now), PV_OK); /* again: the same one */
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), 1);
    struct pv_ice_cand locals[4];
    assert_int_equal(pv_ice_locals(l.agent, locals, 4), 1); /* it is not offered */
    len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_handle_input(l.agent, &extra, &from, pv_view(buf, len), l.now), PV_OK);
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), 2);
    bool checked = false;
    while (next_msg(&l, &tx, &msg) == PV_OK)
        checked |= msg.cls == PV_STUN_REQUEST && tx.carrier.sock == 7;
    assert_true(checked);

    /* It stays while its address does, and goes with its socket. */
    struct pv_ice_cand host = {.type = PV_ICE_HOST,
                               .addr = l.local,
                               .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                               .carrier = {.local = l.local}};
    pv_ice_set_local(l.agent, &host, 1, l.now);
    size_t n = pv_ice_paths(l.agent, paths, 8);
    pv_ice_drop_carrier(l.agent, 7, l.now);
    assert_int_equal(pv_ice_paths(l.agent, paths, 8), n - 1);
    assert_int_equal(pv_ice_add_carrier(l.agent, &extra, l.now), PV_OK);
    host.addr = host.carrier.local = pv_addr4(192, 0, 2, 77, 1000);
    pv_ice_set_local(l.agent, &host, 1, l.now);
    len = write_request(&q, buf, sizeof(buf));
    assert_int_equal(pv_ice_handle_input(l.agent, &extra, &from, pv_view(buf, len), l.now),
                     PV_ERR_NOT_FOUND);
}

/* Answers everything that leaves from this socket; returns the highest NOMINATION seen there. */
static uint32_t answer_from(struct lone *l, uint16_t sock)
{
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    uint32_t highest = 0;
    while (next_msg(l, &tx, &msg) == PV_OK) {
        uint32_t nomination = 0;
        if (msg.cls != PV_STUN_REQUEST || tx.carrier.sock != sock)
            continue;
        (void)!pv_stun_get_u32(&msg, PV_STUN_ATTR_NOMINATION, &nomination);
        highest = nomination > highest ? nomination : highest;
        uint8_t buf[256];
        struct pv_stun_writer sw;
        struct pv_ice_carrier c = tx.carrier;
        size_t len;
        pv_stun_write_answer(&sw, buf, sizeof(buf), PV_STUN_SUCCESS, &msg);
        pv_stun_put_xor_addr(&sw, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &c.local);
        pv_stun_put_integrity(&sw, pv_view(l->theirs.pwd, strlen(l->theirs.pwd)));
        pv_stun_put_fingerprint(&sw);
        assert_int_equal(pv_stun_write_end(&sw, &len), PV_OK);
        assert_int_equal(pv_ice_handle_input(l->agent, &c, &tx.dst, pv_view(buf, len), l->now),
                         PV_OK);
    }
    return highest;
}

PV_TEST(a_retiring_socket_serves_until_another_pair_is_proven)
{
    for (int controlling = 0; controlling <= 1; controlling++) {
        struct lone l;
        struct pv_ice_path path;
        lone_begin(&l, controlling, false, true);
        pv_ice_handle_timeout(l.agent, l.now);
        (void)answer_from(&l, 0);
        if (!controlling) { /* the peer nominates the pair */
            struct req q = good_request(&l);
            q.nomination = 4;
            assert_int_equal(send_request(&l, &q, &l.remote), PV_OK);
        }
        (void)answer_from(&l, 0);
        assert_int_equal(pv_ice_state(l.agent), PV_ICE_COMPLETED);

        struct pv_ice_cand host = {.type = PV_ICE_HOST,
                                   .addr = l.local,
                                   .priority = pv_ice_priority(PV_ICE_HOST, 65000),
                                   .carrier = {.sock = 9, .local = l.local}};
        host.addr.port = host.carrier.local.port = 1001;
        l.now += PV_S(1);
        pv_ice_retire_carrier(l.agent, 0, PV_AF_INET, l.now);
        pv_ice_set_local(l.agent, &host, 1, l.now);
        assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
        assert_int_equal(path.carrier.sock, 0);
        assert_true(path.valid);
        struct pv_ice_cand locals[4];
        assert_int_equal(pv_ice_locals(l.agent, locals, 4), 1); /* only the new one is offered */

        pv_ice_handle_timeout(l.agent, l.now);
        uint32_t told = answer_from(&l, 9);
        assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
        assert_int_equal(path.carrier.sock, 9);
        assert_true(told >= (controlling ? 2 : 4)); /* a new nomination, or a notice of the last */
        pv_ice_drop_carrier(l.agent, 0, l.now);
        assert_int_equal(pv_ice_paths(l.agent, &path, 1), 1);
        assert_int_equal(pv_ice_selected(l.agent, &path), PV_OK);
        assert_int_equal(path.carrier.sock, 9);
        test_end(l.agent);
    }
}
