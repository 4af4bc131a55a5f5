/* SPDX-License-Identifier: MIT */
/* The parts that measure how long the NAT keeps bindings, and that replace the socket in time. */
#include "daemon/core/nat/gatherer.h"
#include "daemon/core/nat/hardnat.h"
#include "daemon/core/path/bindings.h"
#include "daemon/core/path/standby.h"
#include "proto/stun/natlife.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers peers;
static struct pv_addr server;

static int begin(const struct pv_part *part)
{
    const struct pv_gatherer_config gc = {.udp_port = 51820};
    fake_peers_init(&peers, part);
    struct pv_gatherer_config with_rng = gc;
    with_rng.rng = peers.f.node.rng;
    assert_int_equal(pv_gatherer_new(&peers.f.node.gatherer, &with_rng), PV_OK);
    server = pv_addr4(192, 0, 2, 1, 3478);
    peers.f.node.coord_info.servers[0] = server;
    peers.f.node.coord_info.n_servers = 1;
    peers.f.node.online = true;
    fake_node_start(&peers.f);
    peers.f.node.parts[0] = (struct pv_part_slot){.part = part, .self = peers.f.self};
    peers.f.node.n_parts = 1;
    return 0;
}

static int begin_bindings(void **state)
{
    (void)state;
    return begin(&pv_part_bindings);
}

static int end(void **state)
{
    struct pv_gatherer *g = peers.f.node.gatherer;
    (void)state;
    peers.f.node.n_parts = 0;
    fake_peers_done(&peers);
    pv_gatherer_free(g);
    return 0;
}

/* A NAT shows itself: one more candidate, with another address than ours. */
static void see_nat(uint8_t last)
{
    struct pv_peer_env *env = &peers.env;
    env->n_locals = 1;
    env->locals[0] =
        (struct pv_ice_cand){.type = PV_ICE_SRFLX, .addr = pv_addr4(198, 51, 100, last, 4000)};
    env->locals[0].carrier.local = pv_addr4(10, 0, 0, 2, 0);
    fake_node_raise(&peers.f, PV_FACT_CANDIDATES);
}

/* Takes all socket operations that wait; how many there were of that type. */
static unsigned take_ops(enum pv_hardnat_op_type type)
{
    struct pv_hardnat_op op;
    unsigned n = 0;
    while (peers.f.part->poll_sock_op(peers.f.self, &op))
        n += op.type == type;
    return n;
}

static void without_a_nat_nothing_is_measured(void **state)
{
    (void)state;
    fake_node_wait(&peers.f, PV_S(3600));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), 0);
}

static void a_nat_is_measured_once_after_a_minute(void **state)
{
    (void)state;
    see_nat(1);
    fake_node_wait(&peers.f, PV_S(59));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), 0);
    fake_node_wait(&peers.f, PV_S(2));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), PV_NATLIFE_SOCKETS);
    see_nat(1); /* the same network */
    fake_node_wait(&peers.f, PV_S(600));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), 0);
}

static void a_measurement_that_waits_for_the_coordinator_is_tried_again(void **state)
{
    (void)state;
    peers.f.node.online = false;
    see_nat(1);
    fake_node_wait(&peers.f, PV_S(120));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), 0);
    peers.f.node.online = true;
    fake_node_wait(&peers.f, PV_S(600));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), PV_NATLIFE_SOCKETS);
}

static void a_socket_that_fails_ends_the_measurement_for_ten_minutes(void **state)
{
    (void)state;
    see_nat(1);
    fake_node_wait(&peers.f, PV_S(61));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), PV_NATLIFE_SOCKETS);
    peers.f.part->sock_opened(peers.f.self, PV_BINDINGS_SOCK, 0, peers.f.now);
    assert_int_equal(take_ops(PV_HARDNAT_CLOSE), PV_NATLIFE_SOCKETS);
    /* what comes late for a socket of that attempt changes nothing */
    peers.f.part->sock_opened(peers.f.self, PV_BINDINGS_SOCK + 1, 4001, peers.f.now);
    fake_node_wait(&peers.f, PV_S(599));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), 0);
    fake_node_wait(&peers.f, PV_S(2));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), PV_NATLIFE_SOCKETS);
}

static void another_network_is_measured_anew(void **state)
{
    (void)state;
    see_nat(1);
    fake_node_wait(&peers.f, PV_S(61));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), PV_NATLIFE_SOCKETS);
    for (uint16_t i = 0; i < PV_NATLIFE_SOCKETS; i++)
        peers.f.part->sock_opened(peers.f.self, (uint16_t)(PV_BINDINGS_SOCK + i),
                                  (uint16_t)(5000 + i), peers.f.now);
    assert_true(fake_node_status(&peers.f)->binding.measuring);
    see_nat(2);
    assert_false(fake_node_status(&peers.f)->binding.measuring);
    assert_int_equal(take_ops(PV_HARDNAT_CLOSE), PV_NATLIFE_SOCKETS);
    fake_node_wait(&peers.f, PV_S(61));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), PV_NATLIFE_SOCKETS);
}

static void a_measurement_asks_the_server_from_its_own_sockets(void **state)
{
    struct pv_engine_transmit tx;
    unsigned n = 0;
    (void)state;
    see_nat(1);
    fake_node_wait(&peers.f, PV_S(61));
    for (uint16_t i = 0; i < PV_NATLIFE_SOCKETS; i++)
        peers.f.part->sock_opened(peers.f.self, (uint16_t)(PV_BINDINGS_SOCK + i),
                                  (uint16_t)(5000 + i), peers.f.now);
    peers.f.part->handle_timeout(peers.f.self, peers.f.now);
    while (peers.f.part->poll_transmit(peers.f.self, &tx)) {
        assert_in_range(tx.sock, PV_BINDINGS_SOCK, PV_STANDBY_SOCK - 1);
        assert_true(pv_addr_equal(&tx.dst, &server));
        assert_true(tx.len > 0);
        assert_false(tx.router);
        n++;
    }
    assert_true(n > 0);
}

static void sockets_of_others_are_left_to_them(void **state)
{
    (void)state;
    see_nat(1);
    fake_node_wait(&peers.f, PV_S(61));
    assert_int_equal(take_ops(PV_HARDNAT_OPEN), PV_NATLIFE_SOCKETS);
    peers.f.part->sock_opened(peers.f.self, 7, 0, peers.f.now);
    peers.f.part->sock_opened(peers.f.self, PV_STANDBY_SOCK, 0, peers.f.now);
    assert_int_equal(take_ops(PV_HARDNAT_CLOSE), 0); /* as when one of ours fails */
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP, .sock = 7, .remote = server};
    assert_false(peers.f.part->handle_stun(peers.f.self, &from, pv_view("x", 1), peers.f.now));
}

/* --- the standby socket: bindings.c is there too, with a result of the test's choosing -----------
 */

static struct pv_natlife_result *result; /* inside the measuring part */
static void *bindings;

static int begin_standby(void **state)
{
    (void)state;
    begin(&pv_part_standby);
    assert_int_equal(pv_part_bindings.make(&peers.f.node, &peers.f.cfg, peers.f.now, &bindings),
                     PV_OK);
    peers.f.node.parts[1] = (struct pv_part_slot){.part = &pv_part_bindings, .self = bindings};
    peers.f.node.n_parts = 2;
    /* The part gives its result out to look at; only this test writes it. */
    const struct pv_natlife_result *r = pv_bindings_result(&peers.f.node);
    memcpy(&result, &r, sizeof(result));
    return 0;
}

static int end_standby(void **state)
{
    pv_part_bindings.free(bindings);
    return end(state);
}

static struct pv_hardnat_op take_op(void)
{
    struct pv_hardnat_op op = {.sock = 0};
    if (!peers.f.part->poll_sock_op(peers.f.self, &op))
        op.sock = 0;
    return op;
}

static void a_nat_without_an_end_needs_no_other_socket(void **state)
{
    (void)state;
    fake_node_wait(&peers.f, PV_S(86400));
    assert_int_equal(take_op().sock, 0);
}

static void another_socket_comes_at_seventy_percent_and_the_former_goes_at_the_end(void **state)
{
    (void)state;
    result->absolute = PV_S(100);
    fake_node_wait(&peers.f, PV_MS(1)); /* the age of the main socket's binding is not known */
    struct pv_hardnat_op op = take_op();
    assert_int_equal(op.type, PV_HARDNAT_OPEN);
    assert_int_equal(op.sock, PV_STANDBY_SOCK);
    peers.f.part->sock_opened(peers.f.self, op.sock, 4001, peers.f.now);
    assert_int_equal(take_op().type, PV_HARDNAT_ADOPT);
    assert_int_equal(peers.f.node.sock, PV_STANDBY_SOCK);
    fake_node_wait(&peers.f, PV_S(69));
    assert_int_equal(take_op().sock, 0); /* the main socket is never closed */
    fake_node_wait(&peers.f, PV_S(2));
    op = take_op();
    assert_int_equal(op.type, PV_HARDNAT_OPEN);
    assert_int_equal(op.sock, PV_STANDBY_SOCK + 1);
    peers.f.part->sock_opened(peers.f.self, op.sock, 4002, peers.f.now);
    assert_int_equal(take_op().type, PV_HARDNAT_ADOPT);
    fake_node_wait(&peers.f, PV_S(29));
    assert_int_equal(take_op().sock, 0);
    fake_node_wait(&peers.f, PV_S(2));
    op = take_op();
    assert_int_equal(op.type, PV_HARDNAT_CLOSE);
    assert_int_equal(op.sock, PV_STANDBY_SOCK);
}

static void a_socket_that_cannot_be_opened_is_tried_again(void **state)
{
    (void)state;
    result->absolute = PV_S(100);
    fake_node_wait(&peers.f, PV_MS(1));
    struct pv_hardnat_op op = take_op();
    peers.f.part->sock_opened(peers.f.self, op.sock, 0, peers.f.now);
    assert_int_equal(peers.f.node.sock, 0);
    fake_node_wait(&peers.f, PV_S(9));
    assert_int_equal(take_op().sock, 0);
    fake_node_wait(&peers.f, PV_S(2));
    assert_int_equal(take_op().type, PV_HARDNAT_OPEN);
}

/* As the shell does: what the part wants opened gets these ports in turn; how many it opened until
 * it adopted one or wanted no more. */
static unsigned draw(const uint16_t *ports, unsigned n_ports)
{
    unsigned n = 0;
    for (;;) {
        struct pv_hardnat_op op = take_op();
        if (op.sock == 0 || op.type == PV_HARDNAT_ADOPT)
            return n;
        if (op.type != PV_HARDNAT_OPEN)
            continue;
        assert_true(n < n_ports);
        peers.f.part->sock_opened(peers.f.self, op.sock, ports[n++], peers.f.now);
    }
}

static void a_port_that_was_just_used_is_drawn_again(void **state)
{
    static const uint16_t first[] = {4001}, then[] = {4007, 4001, 4002}, late[] = {4007};
    (void)state;
    peers.f.part->sock_opened(peers.f.self, 7, 4007, peers.f.now); /* of an attempt */
    result->absolute = PV_S(100);
    fake_node_wait(&peers.f, PV_MS(1));
    assert_int_equal(draw(first, 1), 1);
    const uint16_t former = peers.f.node.sock;
    fake_node_wait(&peers.f, PV_S(71));
    assert_int_equal(draw(then, 3), 3);
    assert_int_not_equal(peers.f.node.sock, former);
    fake_node_wait(&peers.f, PV_S(31)); /* the former one goes */
    assert_int_equal(draw(NULL, 0), 0);
    fake_node_wait(&peers.f, PV_S(210)); /* and what the NAT knew of the port of the attempt */
    assert_int_equal(draw(late, 1), 1);
}

static void the_fourth_port_is_taken_as_it_is(void **state)
{
    static const uint16_t same[] = {4007, 4007, 4007, 4007};
    (void)state;
    peers.f.part->sock_opened(peers.f.self, 7, 4007, peers.f.now);
    result->absolute = PV_S(100);
    fake_node_wait(&peers.f, PV_MS(1));
    assert_int_equal(draw(same, 4), 4);
    assert_int_not_equal(peers.f.node.sock, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_nat_nothing_is_measured, begin_bindings, end),
        cmocka_unit_test_setup_teardown(a_nat_is_measured_once_after_a_minute, begin_bindings, end),
        cmocka_unit_test_setup_teardown(a_measurement_that_waits_for_the_coordinator_is_tried_again,
                                        begin_bindings, end),
        cmocka_unit_test_setup_teardown(a_socket_that_fails_ends_the_measurement_for_ten_minutes,
                                        begin_bindings, end),
        cmocka_unit_test_setup_teardown(another_network_is_measured_anew, begin_bindings, end),
        cmocka_unit_test_setup_teardown(a_measurement_asks_the_server_from_its_own_sockets,
                                        begin_bindings, end),
        cmocka_unit_test_setup_teardown(sockets_of_others_are_left_to_them, begin_bindings, end),
        cmocka_unit_test_setup_teardown(a_nat_without_an_end_needs_no_other_socket, begin_standby,
                                        end_standby),
        cmocka_unit_test_setup_teardown(
            another_socket_comes_at_seventy_percent_and_the_former_goes_at_the_end, begin_standby,
            end_standby),
        cmocka_unit_test_setup_teardown(a_port_that_was_just_used_is_drawn_again, begin_standby,
                                        end_standby),
        cmocka_unit_test_setup_teardown(the_fourth_port_is_taken_as_it_is, begin_standby,
                                        end_standby),
        cmocka_unit_test_setup_teardown(a_socket_that_cannot_be_opened_is_tried_again,
                                        begin_standby, end_standby),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
