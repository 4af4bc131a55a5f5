/* SPDX-License-Identifier: MIT */
/* The part that replaces the socket before the NAT ends its binding. */
#include "daemon/core/nat/hardnat.h"
#include "daemon/core/parts.h"
#include "daemon/core/path/bindings.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers peers;
static pv_ns end_of_bindings; /* 0: the NAT ends none */

/* Stands in for bindings.c. */
pv_ns pv_bindings_end(const struct pv_node *n)
{
    return end_of_bindings;
}

void test_before_each(void)
{
    end_of_bindings = 0;
    fake_peers_init(&peers, &pv_part_standby);
    fake_node_gather(&peers.f);
    peers.f.node.online = true;
    fake_node_start(&peers.f);
}

static struct pv_hardnat_op take_op(void)
{
    struct pv_hardnat_op op = {.sock = 0};
    if (pv_fifo_take(&peers.f.node.ways.sock_ops, &op) != PV_OK)
        op.sock = 0;
    return op;
}

PV_TEST(a_nat_without_an_end_needs_no_other_socket)
{
    fake_node_wait(&peers.f, PV_S(86400));
    assert_int_equal(take_op().sock, 0);
}

PV_TEST(another_socket_comes_at_seventy_percent_and_the_former_goes_at_the_end)
{
    end_of_bindings = PV_S(100);
    fake_node_wait(&peers.f, PV_MS(1)); /* the age of the main socket's binding is not known */
    struct pv_hardnat_op op = take_op();
    assert_int_equal(op.type, PV_HARDNAT_OPEN);
    assert_int_equal(op.sock, PV_STANDBY_SOCK);
    peers.f.part->sock_opened(peers.f.self, op.sock, 4001, peers.f.now);
    assert_int_equal(take_op().type, PV_HARDNAT_ADOPT);
    assert_int_equal(peers.f.node.ways.sock, PV_STANDBY_SOCK);
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

PV_TEST(a_socket_that_cannot_be_opened_is_tried_again)
{
    end_of_bindings = PV_S(100);
    fake_node_wait(&peers.f, PV_MS(1));
    struct pv_hardnat_op op = take_op();
    peers.f.part->sock_opened(peers.f.self, op.sock, 0, peers.f.now);
    assert_int_equal(peers.f.node.ways.sock, 0);
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

PV_TEST(a_port_that_was_just_used_is_drawn_again)
{
    static const uint16_t first[] = {4001}, then[] = {4007, 4001, 4002}, late[] = {4007};
    peers.f.part->sock_opened(peers.f.self, 7, 4007, peers.f.now); /* of an attempt */
    end_of_bindings = PV_S(100);
    fake_node_wait(&peers.f, PV_MS(1));
    assert_int_equal(draw(first, 1), 1);
    const uint16_t former = peers.f.node.ways.sock;
    fake_node_wait(&peers.f, PV_S(71));
    assert_int_equal(draw(then, 3), 3);
    assert_int_not_equal(peers.f.node.ways.sock, former);
    fake_node_wait(&peers.f, PV_S(31)); /* the former one goes */
    assert_int_equal(draw(NULL, 0), 0);
    fake_node_wait(&peers.f, PV_S(210)); /* and what the NAT knew of the port of the attempt */
    assert_int_equal(draw(late, 1), 1);
}

PV_TEST(the_fourth_port_is_taken_as_it_is)
{
    static const uint16_t same[] = {4007, 4007, 4007, 4007};
    peers.f.part->sock_opened(peers.f.self, 7, 4007, peers.f.now);
    end_of_bindings = PV_S(100);
    fake_node_wait(&peers.f, PV_MS(1));
    assert_int_equal(draw(same, 4), 4);
    assert_int_not_equal(peers.f.node.ways.sock, 0);
}
