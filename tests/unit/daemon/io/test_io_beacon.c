/* SPDX-License-Identifier: MIT */
/* Beacons leave by the interface that is named and are heard with all that the engine asks about:
 * see io_world.h. */
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io_world.h"
#include "proto/control/beacon.h"
#include "sys/net/sockaddr.h"

PV_TEST_WORLD(setup, teardown);

static uint32_t loopback_index(void)
{
    return if_nametoindex("lo");
}

/* The bytes by which this test's own are told from those of others. */
static void mark(struct pv_engine *e, uint8_t number)
{
    const pid_t pid = getpid();
    memset(e->beacon_begins, number, sizeof(e->beacon_begins));
    memcpy(e->beacon_begins, &pid, sizeof(pid));
}

static bool ip4_step(struct pv_engine *e, pv_ns now)
{
    if (e->stage++ > 0)
        return e->beacon.len > 0;
    mark(e, 4);
    e->tx = (struct pv_engine_transmit){.local = pv_addr4(127, 0, 0, 1, 0),
                                        .dst = pv_beacon_group(PV_AF_INET),
                                        .ifindex = loopback_index(),
                                        .ttl = PV_BEACON_HOPS,
                                        .len = PV_BEACON_LEN};
    memcpy(e->tx.buf, e->beacon_begins, sizeof(e->beacon_begins));
    e->has_tx = true;
    return false;
}

PV_TEST(a_beacon_leaves_by_an_interface_and_is_heard_by_it)
{
    assert_ok(run(ip4_step));
    const struct pv_addr *from = &world->engine.beacon.from;
    assert_string_equal(PV_IP_STR(from), "127.0.0.1");
    assert_int_not_equal(from->port, 0);
    assert_int_equal(world->engine.beacon.ifindex, loopback_index());
    assert_int_equal(world->engine.beacon.hops, PV_BEACON_HOPS);
    assert_int_equal(world->engine.beacon.len, PV_BEACON_LEN);
}

/* From a socket of the test's: to this address by loopback, with that TTL. */
static void send4(struct pv_engine *e, const struct pv_addr *to, int hops, size_t len)
{
    uint8_t datagram[2 * PV_BEACON_LEN] = {0};
    const struct ip_mreqn by = {.imr_ifindex = (int)loopback_index()};
    struct sockaddr_storage ss;
    const socklen_t ss_len = pv_sockaddr_from(to, &ss);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(datagram, e->beacon_begins, sizeof(e->beacon_begins));
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof(by)), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &hops, sizeof(hops)), 0);
    assert_int_equal(sendto(fd, datagram, len, 0, (struct sockaddr *)&ss, ss_len), (ssize_t)len);
    close(fd);
}

static bool long_step(struct pv_engine *e, pv_ns now)
{
    const struct pv_addr group = pv_beacon_group(PV_AF_INET);
    const struct pv_addr host = pv_addr4(127, 0, 0, 1, PV_BEACON_PORT);
    if (e->stage++ > 0)
        return e->beacon.len > 0;
    mark(e, 5);
    send4(e, &host, 255, PV_BEACON_LEN - 1);
    send4(e, &group, 7, 2 * PV_BEACON_LEN);
    return false;
}

PV_TEST(a_datagram_to_this_host_alone_is_none_and_a_long_one_stays_too_long)
{
    assert_ok(run(long_step));
    assert_int_equal(world->engine.beacon.hops, 7);
    assert_int_equal(world->engine.beacon.len, PV_BEACON_LEN + 1);
}

/* More than the shell reads at once: it goes on by itself later. */
static bool many_step(struct pv_engine *e, pv_ns now)
{
    const struct pv_addr group = pv_beacon_group(PV_AF_INET);
    if (e->stage++ > 0)
        return e->beacon.hops == 9;
    mark(e, 6);
    for (unsigned i = 0; i < 70; i++)
        send4(e, &group, 8, PV_BEACON_LEN);
    send4(e, &group, 9, PV_BEACON_LEN);
    return false;
}

PV_TEST(a_flood_is_read_in_pieces)
{
    assert_ok(run(many_step));
}
