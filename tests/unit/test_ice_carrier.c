/* SPDX-License-Identifier: MIT */
#include "ice_lone.h"

static void another_socket_is_a_base_for_the_pairs_the_peer_makes(void **state)
{
    (void)state;
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
    pv_ice_free(l.agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_socket_is_a_base_for_the_pairs_the_peer_makes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
