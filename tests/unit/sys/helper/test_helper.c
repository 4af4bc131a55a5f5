/* SPDX-License-Identifier: MIT */
/* In a network namespace of its own; needs root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/netplan.h"
#include "sys/helper/helper.h"
#include "sys/helper/hostlook.h"
#include "sys/net/inside.h"
#include "sys/net/ipcmd.h"
#include "sys/net/netlink.h"
#include "sys/net/netroutes.h"
#include "sys/net/stream.h"
#include "sys/net/tun.h"
#include "sys/net/udp.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "tests/unit/helper_ready.h"
#include "tests/unit/test_util.h"

enum {
    HEADER = 10, /* bytes of struct virtio_net_hdr before each packet of the TUN */
};

static int tun_write(int fd, struct pv_view packet)
{
    return pv_tun_write_parts(fd, &packet, 1);
}

static struct pv_prefix prefix(const char *text_ip, uint8_t bits)
{
    struct pv_prefix p = {.bits = bits};
    p.base = test_ip(text_ip);
    return p;
}

static struct pv_helper_iface an_iface(void)
{
    struct pv_helper_iface iface = {.n_addrs = 1, .mtu = 1420, .queues = 1};
    iface.addrs[0] = prefix("10.66.1.2", 16);
    return iface;
}

struct sought {
    const char *ifname;
    struct pv_addr addr;
    bool found;
};

static void seek(void *ctx, const struct pv_net_addr *addr)
{
    struct sought *s = ctx;
    s->found = s->found || (strcmp(addr->ifname, s->ifname) == 0 &&
                            pv_addr_equal_ip(&addr->addr.base, &s->addr));
}

static size_t addresses_of(const char *ifname, struct pv_net_addr out[static 8])
{
    struct pv_net_addr all[64];
    size_t n = 0, found = 0;
    assert_ok(pv_net_addrs(all, 64, &n));
    for (size_t i = 0; i < n && found < 8; i++)
        if (strcmp(all[i].ifname, ifname) == 0)
            out[found++] = all[i];
    return found;
}

static int setup(void **state)
{
    struct pv_helper *h = NULL;
    if (pv_helper_start(&h, NULL) < 0)
        return -1;
    *state = h;
    return helper_ready(h, "pvt0");
}

static int teardown(void **state)
{
    pv_helper_stop(*state);
    return 0;
}

/* With one queue; *ret_fd reads and writes. */
static int iface_up(struct pv_helper *h, const struct pv_helper_iface *iface, int *ret_fd,
                    char *error)
{
    struct pv_tun tun = {.n = 0};
    int r = pv_helper_iface_up(h, iface, &tun, error);
    if (r < 0)
        return r;
    assert_int_equal(tun.n, 1);
    assert_int_equal(tun.read[0], tun.write[0]);
    *ret_fd = tun.read[0];
    return PV_OK;
}

PV_TEST_IN(iface_up_sets_addresses_mtu_and_routes_and_down_removes_all, setup, teardown)
{
    struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX];
    struct pv_net_addr got[8];
    int fd = -1;
    iface.n_addrs = 2;
    iface.addrs[1] = prefix("fd12::7", 64);
    iface.n_routes = 2;
    iface.routes[0] = prefix("172.30.0.0", 24);
    iface.routes[1] = prefix("fd99::", 48);
    int r = iface_up(*state, &iface, &fd, error);
    assert_string_equal(error, "");
    assert_ok(r);
    assert_true(fd >= 0);
    assert_int_equal(addresses_of("pvt0", got), 2); /* no link-local one */
    assert_true(pv_addr_equal_ip(&got[0].addr.base, &iface.addrs[0].base));
    assert_int_equal(got[0].addr.bits, 16);
    assert_true(got[0].up);
    assert_true(got[0].tunnel);
    assert_true(got[1].up); /* not tentative: usable at once */

    /* Again with other addresses: the old ones go, the descriptor reaches the same queue. */
    int again = -1;
    iface.addrs[0] = prefix("10.66.9.9", 16);
    iface.n_addrs = 1;
    iface.n_routes = 1;
    assert_ok(iface_up(*state, &iface, &again, error));
    assert_int_equal(addresses_of("pvt0", got), 1);
    assert_true(pv_addr_equal_ip(&got[0].addr.base, &iface.addrs[0].base));
    close(again);

    assert_ok(pv_helper_iface_down(*state, error));
    close(fd);
    assert_int_equal(addresses_of("pvt0", got), 0);
}

PV_TEST_IN(packets_pass_through_the_tun, setup, teardown)
{
    struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX];
    int tun = -1, sock = -1;
    assert_ok(iface_up(*state, &iface, &tun, error));
    struct pv_addr any = {.family = PV_AF_INET}, local;
    const struct pv_udp_opts opts = {0};
    assert_ok(pv_udp_open(&any, &opts, &sock));
    assert_ok(pv_udp_local(sock, &local));
    struct pv_udp_out out = {.dst = pv_addr4(10, 66, 3, 3, 7), .data = pv_view("ping", 4)};
    struct pv_udp_counts counts = {0};
    pv_udp_send(sock, &out, 1, &counts);
    assert_int_equal(counts.sent, 1);

    uint8_t packet[2048];
    size_t n = 0;
    struct pollfd p = {.fd = tun, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_ok(pv_tun_read(tun, packet, sizeof(packet), &n));
    assert_int_equal(n, HEADER + 32);
    assert_memory_equal(packet + HEADER + 28, "ping", 4);
    assert_int_equal(pv_tun_read(tun, packet, sizeof(packet), &n), PV_ERR_AGAIN);

    /* Swap the addresses and ports (the checksums, and what the header says about them, stay
     * right): it comes back to the socket. */
    uint8_t back[HEADER + 32];
    memcpy(back, packet, HEADER + 32);
    memcpy(back + HEADER + 12, packet + HEADER + 16, 4);
    memcpy(back + HEADER + 16, packet + HEADER + 12, 4);
    memcpy(back + HEADER + 20, packet + HEADER + 22, 2);
    memcpy(back + HEADER + 22, packet + HEADER + 20, 2);
    assert_ok(tun_write(tun, pv_view(back, sizeof(back))));
    p.fd = sock;
    assert_int_equal(poll(&p, 1, 10000), 1);
    struct pv_udp_receiver *rx = NULL;
    struct pv_udp_in *in = NULL;
    assert_ok(pv_udp_receiver_new(&rx, 1, 64));
    assert_ok(pv_udp_recv(rx, sock, &in, &n));
    assert_true(pv_addr_equal(&in[0].src, &out.dst));
    const uint8_t junk[HEADER + 4] = {0};
    assert_int_equal(tun_write(tun, pv_view(junk, sizeof(junk))), -EINVAL);
    struct pv_tun_offloads offloads = pv_tun_set_offloads(tun);
    assert_true(offloads.header && offloads.csum && offloads.tso);
    pv_udp_receiver_free(rx);
    close(sock);
    close(tun);
}

PV_TEST_IN(a_tun_deleted_from_outside_reads_closed_and_comes_back_by_up, setup, teardown)
{
    struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX], complaint[PV_IPCMD_ERROR_MAX];
    uint8_t packet[64];
    size_t n = 0;
    int tun = -1, again = -1;
    assert_ok(iface_up(*state, &iface, &tun, error));
    assert_ok(pv_ipcmd_run("link del dev pvt0\n", complaint));
    assert_int_equal(pv_tun_read(tun, packet, sizeof(packet), &n), PV_ERR_CLOSED);
    assert_int_equal(tun_write(tun, pv_view(packet, 20)), PV_ERR_CLOSED);
    assert_ok(iface_up(*state, &iface, &again, error));
    assert_int_equal(pv_tun_read(again, packet, sizeof(packet), &n), PV_ERR_AGAIN);
    close(tun);
    close(again);
}

PV_TEST_IN(every_bad_interface_request_is_refused_by_the_helper, setup, teardown)
{
    static const struct {
        const char *why;
        const char *addr;
        uint8_t bits;
        const char *route;
        uint8_t route_bits;
        unsigned mtu;
        size_t n_addrs;
    } rows[] = {
        {"not of a private range", "0.0.0.0", 16, NULL, 0, 1420, 1},
        {"not of a private range", "127.0.0.5", 16, NULL, 0, 1420, 1},
        {"not of a private range", "224.0.0.5", 16, NULL, 0, 1420, 1},
        {"not of a private range", "10.66.1.2", 33, NULL, 0, 1420, 1},
        {"not of a private range", "10.66.1.2", 0, NULL, 0, 1420, 1},
        {"not of a private range", "9.9.9.9", 32, NULL, 0, 1420, 1},
        {"not of a private range", "10.66.1.2", 7, NULL, 0, 1420, 1},
        {"not of a private range", "172.16.0.1", 8, NULL, 0, 1420, 1},
        {"not of a private range", "192.168.1.2", 15, NULL, 0, 1420, 1},
        {"not of a private range", "100.64.0.1", 9, NULL, 0, 1420, 1},
        {"not of a private range", "2001:db8::1", 64, NULL, 0, 1420, 1},
        {"not of a private range", "fd12::1", 15, NULL, 0, 1420, 1},
        {"not of a private range", "169.254.7.7", 24, NULL, 0, 1420, 1},
        {"route that cannot", "10.66.1.2", 16, "0.0.0.0", 0, 1420, 1},
        {"route that cannot", "10.66.1.2", 16, "0.0.0.0", 1, 1420, 1},
        {"route that cannot", "10.66.1.2", 16, "128.0.0.0", 1, 1420, 1},
        {"route that cannot", "10.66.1.2", 16, "2000::", 3, 1420, 1},
        {"route that cannot", "10.66.1.2", 16, "fe80::", 64, 1420, 1},
        {"route that cannot", "10.66.1.2", 16, "127.0.0.0", 8, 1420, 1},
        {"route that cannot", "10.66.1.2", 16, "172.30.0.1", 24, 1420, 1},
        {"too small", "10.66.1.2", 16, NULL, 0, 575, 1},
        {"too small", "fd12::1", 64, NULL, 0, 1279, 1},
        {"more than 64", "10.66.1.2", 16, NULL, 0, 1420, 65},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_helper_iface iface = an_iface();
        char error[PV_HELPER_ERROR_MAX];
        int fd = -1;
        iface.addrs[0] = prefix(rows[i].addr, rows[i].bits);
        iface.n_addrs = rows[i].n_addrs;
        iface.mtu = (uint16_t)rows[i].mtu;
        if (rows[i].route != NULL) {
            iface.routes[0] = prefix(rows[i].route, rows[i].route_bits);
            iface.n_routes = 1;
        }
        assert_true(iface_up(*state, &iface, &fd, error) < 0);
        assert_has(error, rows[i].why);
        assert_int_equal(fd, -1);
    }
    for (uint8_t queues = 0; queues <= PV_TUN_QUEUES + 1; queues += PV_TUN_QUEUES + 1) {
        struct pv_helper_iface iface = an_iface();
        char error[PV_HELPER_ERROR_MAX];
        int fd = -1;
        iface.queues = queues;
        assert_int_equal(iface_up(*state, &iface, &fd, error), -EINVAL);
        assert_has(error, "1 to 8 queues");
    }
}

PV_TEST_IN(a_range_in_use_on_this_host_is_refused_with_both_named, setup, teardown)
{
    struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX], complaint[PV_IPCMD_ERROR_MAX];
    struct pv_net_addr got[8];
    int fd = -1;
    assert_ok(pv_ipcmd_run(test_given("link add pvlan type veth peer"), complaint));
    assert_int_equal(iface_up(*state, &iface, &fd, error), PV_ERR_EXISTS);
    assert_has(error, "10.66.200.1/24 on pvlan");
    assert_int_equal(addresses_of("pvt0", got), 0);
    assert_ok(pv_ipcmd_run("link del dev pvlan\n", complaint));
}

/* The order in which the kernel lists them decides nothing. */
PV_TEST_IN(a_range_in_use_behind_a_thousand_addresses_is_refused, setup, teardown)
{
    struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX], complaint[PV_IPCMD_ERROR_MAX];
    struct pv_text lines = pv_text_in(calloc(1, 65536), 65536);
    int fd = -1;
    assert_non_null(lines.text);
    pv_text_add(&lines, "link add idle type bridge\n");
    for (unsigned i = 0; i < 1100; i++)
        pv_text_add(&lines, "addr add 10.%u.%u.1/24 dev idle\n", 70 + i / 256, i % 256);
    assert_ok(pv_ipcmd_run(lines.text, complaint));
    assert_ok(pv_ipcmd_run(test_given("link add pvlan type veth peer"), complaint));
    assert_int_equal(iface_up(*state, &iface, &fd, error), PV_ERR_EXISTS);
    assert_has(error, "10.66.200.1/24 on pvlan");
    assert_ok(pv_ipcmd_run("link del dev pvlan\nlink del dev idle\n", complaint));
    free(lines.text);
}

PV_TEST_IN(an_interface_is_found_by_its_name, setup, teardown)
{
    struct pv_net_link link;
    char complaint[PV_IPCMD_ERROR_MAX];
    assert_ok(pv_ipcmd_run("link add pvlan type bridge\n", complaint));
    assert_ok(pv_net_find_link("pvlan", &link));
    assert_int_equal(link.index, if_nametoindex("pvlan"));
    assert_false(link.tunnel);
    assert_int_equal(pv_net_find_link("pvnone", &link), PV_ERR_NOT_FOUND);
    assert_ok(pv_ipcmd_run("link del dev pvlan\n", complaint));
}

PV_TEST_IN(a_name_in_use_is_refused, setup, teardown)
{
    struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX], complaint[PV_IPCMD_ERROR_MAX];
    int fd = -1;
    assert_ok(pv_ipcmd_run("link add pvt0 type veth peer name pvpeer\n", complaint));
    assert_int_equal(iface_up(*state, &iface, &fd, error), PV_ERR_EXISTS);
    assert_has(error, "--tun");
    assert_ok(pv_ipcmd_run("link del dev pvt0\n", complaint));
}

/* A route to a network that this host is in, or to a part of it, would take it away; a larger one
 * does not. */
PV_TEST_IN(routes_leave_the_hosts_networks_alone, setup, teardown)
{
    struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX], complaint[PV_IPCMD_ERROR_MAX];
    struct pv_net_route routes[64];
    const struct pv_net_route_query query = {.table = 254};
    size_t n = 0, ours = 0;
    int fd = -1;
    assert_ok(pv_ipcmd_run(test_given("link add pvlan type veth peer 2"), complaint));
    iface.n_routes = 3;
    iface.routes[0] = prefix("192.168.5.0", 24);
    iface.routes[1] = prefix("192.168.5.9", 32);
    iface.routes[2] = prefix("192.168.0.0", 16);
    assert_ok(iface_up(*state, &iface, &fd, error));
    assert_has(error, "this host is in 192.168.5.1/24 on pvlan");
    assert_ok(pv_net_routes(&query, routes, PV_ARRAY_LEN(routes), &n));
    for (size_t i = 0; i < n; i++) {
        if (routes[i].ifindex != if_nametoindex("pvt0"))
            continue;
        ours++;
        assert_int_equal(routes[i].dst.bits, 16); /* its own range, and the larger one */
    }
    assert_int_equal(ours, 2);
    close(fd);
    assert_ok(pv_ipcmd_run("link del dev pvlan\n", complaint));
}

PV_TEST(a_network_that_is_up_has_its_place_behind_many_that_are_down)
{
    static struct pv_networds_host host;
    char complaint[PV_IPCMD_ERROR_MAX];
    bool found = false;
    assert_ok(pv_ipcmd_run("link add idle type bridge\n", complaint));
    for (unsigned i = 0; i < PV_NETWORDS_LINKS + 9; i++)
        assert_ok(pv_ipcmd_run(PV_STR("addr add 10.7.%u.1/24 dev idle\n", i), complaint));
    assert_ok(pv_ipcmd_run("link add pvlan type veth peer name pvfar\n"
                           "link set pvfar up\n"
                           "link set pvlan up\n"
                           "addr add 10.8.0.1/24 dev pvlan\n",
                           complaint));
    pv_hostlook_networks("pvt0", &host);
    for (size_t i = 0; i < host.n_links; i++)
        found = found || strcmp(host.links[i].ifname, "pvlan") == 0;
    assert_true(found);
    assert_true(host.cut); /* networks of this host's addresses are not in it */
    assert_ok(pv_ipcmd_run("link del dev pvlan\nlink del dev idle\n", complaint));
}

static struct pv_net_way way_of(const struct pv_addr *dst, uint32_t mark, uint32_t uid)
{
    const struct pv_net_sender from = {.mark = mark, .uid = uid};
    struct pv_net_way way;
    int r = pv_net_way(dst, &from, &way);
    if (r < 0)
        assert_int_equal(r, PV_ERR_NOT_FOUND);
    return way;
}

static uint32_t way(const char *to, uint32_t mark)
{
    const struct pv_addr dst = prefix(to, 0).base;
    return way_of(&dst, mark, PV_NET_SELF).ifindex;
}

static void router_is(const char *to, const char *ifname)
{
    const struct pv_addr wanted = prefix(to, 0).base, far = pv_net_far(wanted.family);
    const struct pv_net_way way = way_of(&far, 0, PV_NET_SELF);
    assert_true(pv_addr_equal(&way.router, &wanted));
    assert_int_equal(way.ifindex, if_nametoindex(ifname));
}

PV_TEST_IN(the_router_is_the_one_that_the_kernel_would_take, setup, teardown)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    const struct pv_addr far = pv_net_far(PV_AF_INET);
    assert_ok(pv_ipcmd_run("link add pva type veth peer name pvb\n"
                           "link set dev pva up\nlink set dev pvb up\n"
                           "addr add 192.0.2.2/24 dev pva\n"
                           "addr add 198.51.100.2/24 dev pvb\n",
                           complaint));
    assert_int_equal(way_of(&far, 0, PV_NET_SELF).ifindex, 0);
    assert_ok(pv_ipcmd_run("route add default dev pva metric 700\n", complaint));
    assert_int_equal(way_of(&far, 0, PV_NET_SELF).router.family, PV_AF_NONE);
    assert_ok(pv_ipcmd_run(test_given("two default routes"), complaint));
    assert_ok(pv_ipcmd_run6("route add default via fe80::1 dev pvb\n", complaint));
    router_is("198.51.100.1", "pvb");
    router_is("fe80::1", "pvb");
    /* In a table of the host's own, for one user. */
    assert_ok(pv_ipcmd_run(test_given("a default route of one user"), complaint));
    uint32_t rule = 0;
    router_is("198.51.100.1", "pvb");
    assert_int_equal(way_of(&far, 0, PV_NET_SELF).table, 254);
    assert_int_equal(way_of(&far, 0, 1000).ifindex, if_nametoindex("pva"));
    assert_int_equal(way_of(&far, 0, 1000).table, 77);
    assert_ok(pv_net_rule_of(PV_AF_INET, 77, &rule));
    assert_int_equal(rule, 220);
    assert_int_equal(pv_net_rule_of(PV_AF_INET6, 77, &rule), PV_ERR_NOT_FOUND);
    assert_ok(pv_ipcmd_run("rule del priority 220\nlink del dev pva\n", complaint));
}

/* As OpenVPN takes everything, and as wg-quick does. */
PV_TEST_IN(the_way_out_is_where_routes_and_rules_lead, setup, teardown)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    assert_ok(pv_ipcmd_run("link add pva type veth peer name pvb\n"
                           "link set dev pva up\nlink set dev pvb up\n",
                           complaint));
    const uint32_t a = if_nametoindex("pva"), b = if_nametoindex("pvb");
    assert_int_equal(way("198.41.0.4", 0), 0);
    assert_ok(pv_ipcmd_run("route add default dev pva\n", complaint));
    assert_int_equal(way("198.41.0.4", 0), a);
    assert_ok(pv_ipcmd_run(test_given("route add 0.0.0.0/1 dev pvb"), complaint));
    assert_int_equal(way("198.41.0.4", 0), b);
    assert_ok(pv_ipcmd_run(test_given("route add default dev pva table"), complaint));
    assert_int_equal(way("198.41.0.4", 0), a);
    assert_int_equal(way("198.41.0.4", 7), b);
    assert_ok(pv_ipcmd_run(test_given("rule del not fwmark table link"), complaint));
    assert_int_equal(way("198.41.0.4", 0), 0);
}

static int setup_port(void **state)
{
    struct pv_helper *h = NULL;
    struct pv_helper_fixed fixed = {.ifname = "pvt0"};
    char text[PV_HELPER_ERROR_MAX];
    if (pv_helper_start(&h, NULL) < 0)
        return -1;
    *state = h;
    return pv_helper_sandbox(h, &fixed, text);
}

/* Those that send without DF are on the same port. */
static void check_cut(const struct pv_udp_group *group)
{
    struct pv_addr local;
    int mode = -1;
    socklen_t len = sizeof(mode);
    assert_true(group->has_cut);
    assert_ok(pv_udp_local(group->cut4, &local));
    assert_int_equal(local.port, 23456);
    assert_int_equal(getsockopt(group->cut4, IPPROTO_IP, IP_MTU_DISCOVER, &mode, &len), 0);
    assert_int_equal(mode, IP_PMTUDISC_OMIT);
    assert_ok(pv_udp_local(group->cut6, &local));
    assert_int_equal(local.port, 23456);
    assert_int_equal(getsockopt(group->cut6, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &mode, &len), 0);
    assert_int_equal(mode, IPV6_PMTUDISC_DONT);
}

PV_TEST_IN(udp_sockets_come_with_one_port_and_a_busy_port_is_refused, setup_port, teardown)
{
    char error[PV_HELPER_ERROR_MAX];
    struct pv_addr local;
    struct pv_udp_group group = {.n = 0}, other = {.n = 0};
    struct pv_addr any = {.family = PV_AF_INET, .port = 23456};
    const struct pv_udp_opts opts = {0};
    int busy = -1;
    assert_ok(pv_udp_open(&any, &opts, &busy));
    assert_int_equal(pv_helper_open_udp(*state, 23456, 1, &other, error), PV_ERR_EXISTS);
    assert_has(error, "23456");
    assert_has(error, "--port");
    close(busy);
    assert_int_equal(pv_helper_open_udp(*state, 0, 1, &other, error), -EINVAL);
    assert_int_equal(pv_helper_open_udp(*state, 1023, 1, &other, error), -EINVAL);
    assert_int_equal(pv_helper_open_udp(*state, 23456, PV_UDP_GROUP_MAX + 1, &other, error),
                     PV_ERR_LIMIT);
    assert_int_equal(other.n, 0);
    assert_ok(pv_helper_open_udp(*state, 23456, 3, &group, error));
    assert_int_equal(group.n, 3);
    for (unsigned i = 0; i < group.n; i++) {
        assert_ok(pv_udp_local(group.fd4[i], &local));
        assert_int_equal(local.port, 23456);
        assert_ok(pv_udp_local(group.fd6[i], &local));
        assert_int_equal(local.port, 23456);
        assert_int_equal(local.family, PV_AF_INET6);
    }
    check_cut(&group);
    pv_udp_group_close(&group);
    /* The helper kept nothing, since it has answered once more: the port is free again. */
    assert_ok(pv_helper_iface_down(*state, error));
    assert_ok(pv_udp_open(&any, &opts, &busy));
    close(busy);
}

/* A UDP packet as the TUN takes it: 10.66.3.3 port 7 to us. */
static void write_answer(int fd, uint16_t port)
{
    uint8_t p[HEADER + 29] = {0};
    uint8_t *ip = p + HEADER;
    const uint8_t head[20] = {0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 10, 66, 3, 3, 10, 66, 1, 2};
    uint32_t sum = 0;
    memcpy(ip, head, sizeof(head));
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    ip[10] = (uint8_t)(~sum >> 8);
    ip[11] = (uint8_t)~sum;
    ip[21] = 7;
    ip[22] = (uint8_t)(port >> 8);
    ip[23] = (uint8_t)port;
    ip[25] = 9;
    assert_ok(tun_write(fd, pv_view(p, sizeof(p))));
}

/* Sends from sock into the TUN and tells which queue it comes out of. */
static unsigned queue_of(const struct pv_tun *tun, int sock)
{
    struct pv_udp_out out = {.dst = pv_addr4(10, 66, 3, 3, 7), .data = pv_view("x", 1)};
    struct pv_udp_counts counts = {0};
    struct pollfd fds[PV_TUN_QUEUES];
    uint8_t packet[256];
    size_t n = 0;
    pv_udp_send(sock, &out, 1, &counts);
    assert_int_equal(counts.sent, 1);
    for (unsigned i = 0; i < tun->n; i++)
        fds[i] = (struct pollfd){.fd = tun->read[i], .events = POLLIN};
    assert_int_equal(poll(fds, tun->n, 10000), 1);
    for (unsigned i = 0; i < tun->n; i++) {
        if (fds[i].revents == 0)
            continue;
        assert_ok(pv_tun_read(fds[i].fd, packet, sizeof(packet), &n));
        return i;
    }
    return tun->n;
}

/* Without an owner, a queue of such an interface is anybody's (PERFORMANCE "The TUN": of 40 flows
 * it read 14).
 */
PV_TEST_IN(nobody_else_may_open_a_queue, setup, teardown)
{
    struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX];
    struct pv_tun tun;
    int status = 0;
    iface.queues = 2;
    assert_ok(pv_helper_iface_up(*state, &iface, &tun, error));
    pid_t pid = fork();
    if (pid == 0) {
        struct ifreq ifr = {.ifr_flags =
                                (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)};
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC); /* as root: its mode is not asked */
        memcpy(ifr.ifr_name, "pvt0", sizeof("pvt0"));
        if (fd < 0 || setgid(65534) < 0 || setuid(65534) < 0)
            _exit(2);
        _exit(ioctl(fd, TUNSETIFF, &ifr) < 0 && errno == EPERM ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    pv_tun_close(&tun);
}

/* Its packets would overtake each other at the change. */
PV_TEST_IN(a_flow_keeps_its_queue_whichever_writer_gets_the_answers, setup, teardown)
{
    enum {
        FLOWS = 200 /* one of the four queues gets none of them once in 10^24 runs */
    };
    struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX];
    struct pv_addr any = {.family = PV_AF_INET}, local;
    const struct pv_udp_opts opts = {0};
    struct pv_tun tun, again;
    unsigned seen[4] = {0};
    iface.queues = 4;
    assert_ok(pv_helper_iface_up(*state, &iface, &tun, error));
    assert_int_equal(tun.n, 4);
    for (unsigned flow = 0; flow < FLOWS; flow++) {
        int sock = -1;
        assert_ok(pv_udp_open(&any, &opts, &sock));
        assert_ok(pv_udp_local(sock, &local));
        unsigned queue = queue_of(&tun, sock);
        for (unsigned i = 0; i < tun.n; i++) {
            struct pollfd p = {.fd = sock, .events = POLLIN};
            char byte;
            write_answer(tun.write[i], local.port);
            assert_int_equal(poll(&p, 1, 10000), 1);
            assert_int_equal(recv(sock, &byte, 1, 0), 1);
            assert_int_equal(queue_of(&tun, sock), queue);
        }
        seen[queue]++;
        close(sock);
    }
    for (unsigned i = 0; i < tun.n; i++)
        assert_in_range(seen[i], 1, FLOWS - 1); /* the kernel does spread them */

    /* The same queues again, and no more of them: with others the packets would go astray. */
    assert_ok(pv_helper_iface_up(*state, &iface, &again, error));
    assert_int_equal(again.n, 4);
    pv_tun_close(&again);
    pv_tun_close(&tun);
}

PV_TEST(the_death_of_the_helper_is_seen_and_told)
{
    struct pv_helper *h = NULL;
    char error[PV_HELPER_ERROR_MAX];
    struct pollfd p = {.events = POLLIN};
    assert_ok(pv_helper_start(&h, NULL));
    p.fd = pv_helper_alive_fd(h);
    assert_int_equal(poll(&p, 1, 0), 0);
    /* Its pid is the youngest child of this process; the kernel lists them. */
    char text[64] = "";
    FILE *f = fopen(PV_STR("/proc/self/task/%d/children", (int)gettid()), "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    fclose(f);
    assert_int_equal(kill((pid_t)strtol(text, NULL, 10), SIGKILL), 0);
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(pv_helper_iface_down(h, error), PV_ERR_CLOSED);
    assert_has(error, "restart p2pvpnd");
    pv_helper_stop(h);
}

PV_TEST(changes_are_noticed_debounced_and_own_ones_ignored)
{
    struct pv_net_monitor *mon = NULL;
    char complaint[PV_IPCMD_ERROR_MAX];
    bool rerouted = false;
    assert_ok(pv_net_monitor_new(&mon));
    assert_true(pv_net_monitor_next(mon) == PV_NEVER);
    assert_ok(pv_ipcmd_run(test_given("link add pvlan type veth peer 3"), complaint));
    pv_ns now = PV_S(100);
    pv_net_monitor_ready(mon, 0, now);
    assert_true(pv_net_monitor_next(mon) == now + PV_MS(250));
    assert_false(pv_net_monitor_due(mon, now + PV_MS(249), &rerouted));
    assert_true(pv_net_monitor_due(mon, now + PV_MS(250), &rerouted));
    assert_true(rerouted);
    assert_true(pv_net_monitor_next(mon) == PV_NEVER);

    struct pv_net_addr got[8];
    assert_int_equal(addresses_of("pvlan", got), 1);
    /* As if it were our own interface. The kernel has more to say about the new link for a second
     * or so (carrier, IPv6), hence several tries. */
    bool ignored = false;
    for (unsigned i = 0; i < 1000 && !ignored; i++) {
        assert_ok(pv_ipcmd_run("addr add 192.0.2.9/24 dev pvlan\n"
                               "addr del 192.0.2.9/24 dev pvlan\n",
                               complaint));
        pv_net_monitor_ready(mon, got[0].ifindex, now);
        ignored = pv_net_monitor_next(mon) == PV_NEVER &&
                  pv_net_monitor_next_own(mon) == now + PV_MS(250);
        (void)pv_net_monitor_due(mon, now + PV_S(2), &rerouted);
    }
    assert_true(ignored);
    assert_ok(pv_ipcmd_run("link del dev pvlan\n", complaint));
    pv_net_monitor_free(mon);
}

/* Of the messages that were lost any may have been about our own interface. */
PV_TEST(lost_messages_count_as_changes_of_all)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    struct pv_net_monitor *mon = NULL;
    struct pv_net_addr got[8];
    bool rerouted = false;
    const int small = 1;
    pv_ns now = PV_S(1);
    assert_ok(pv_ipcmd_run("link add pvlan type veth peer name pvpeer\n"
                           "addr add 192.0.2.1/24 dev pvlan\n",
                           complaint));
    assert_true(addresses_of("pvlan", got) >= 1);
    assert_ok(pv_net_monitor_new(&mon));
    assert_int_equal(
        setsockopt(pv_net_monitor_fd(mon), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    assert_ok(pv_ipcmd_run(test_given("link add pvother type veth peer"), complaint));
    pv_net_monitor_ready(mon, got[0].ifindex, now); /* pvlan is ours */
    assert_true(pv_net_monitor_next_own(mon) == now + PV_MS(250));
    assert_true(pv_net_monitor_due(mon, now + PV_MS(250), &rerouted));
    assert_true(rerouted);
    assert_true(pv_net_monitor_own_due(mon, now + PV_MS(250)));
    assert_ok(pv_ipcmd_run("link del dev pvlan\nlink del dev pvother\n", complaint));
    pv_net_monitor_free(mon);
}

void test_begin(void)
{
    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0 || unshare(CLONE_NEWNET) < 0)
        test_skip_all("needs root, a TUN and namespaces");
}

/* --- the inside ---------------------------------------------------------------------------- */

static void use_own_network(void *nothing)
{
    pv_inside_use(-1);
}

static void stop_helper(void *helper)
{
    (void)pv_helper_stop(helper);
}

PV_TEST(the_inside_has_the_interface_and_this_machine_has_none)
{
    const struct pv_helper_iface iface = an_iface();
    struct pv_helper *h = NULL;
    char error[PV_HELPER_ERROR_MAX];
    struct pv_net_addr got[8];
    int fd = -1, giver = -1, pid = 0;
    assert_ok(pv_helper_start(&h, NULL));
    test_defer(stop_helper, h);
    int r = pv_helper_go_inside(h, &giver, &pid, error);
    if (r == -EPERM || r == -ENOSPC) {
        print_message("%s\n", error);
        skip();
    }
    assert_ok(r);
    assert_true(pid > 0);
    pv_inside_use(giver);
    test_defer(use_own_network, NULL);
    assert_int_equal(pv_helper_go_inside(h, &giver, &pid, error), PV_ERR_STATE);
    assert_int_equal(helper_ready(h, "pvt0"), 0);
    assert_int_equal(pv_helper_go_inside(h, &giver, &pid, error), PV_ERR_STATE); /* too late */
    r = iface_up(h, &iface, &fd, error);
    assert_string_equal(error, "");
    assert_ok(r);
    assert_int_equal(addresses_of("pvt0", got), 0);
    struct sought sought = {.ifname = "pvt0", .addr = iface.addrs[0].base};
    assert_ok(pv_net_each_addr(true, seek, &sought));
    assert_true(sought.found);
    close(fd);
}

/* By which the daemon sees that it has to start anew. */
static void assert_helpers_end(const struct pv_helper *h)
{
    struct pollfd p = {.fd = pv_helper_alive_fd(h), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20000), 1);
}

/* A helper whose network this process uses, by a giver with this pid. */
static struct pv_helper *go_inside(int *ret_pid)
{
    struct pv_helper *h = NULL;
    char error[PV_HELPER_ERROR_MAX];
    int giver = -1;
    assert_ok(pv_helper_start(&h, NULL));
    test_defer(stop_helper, h);
    int r = pv_helper_go_inside(h, &giver, ret_pid, error);
    if (r == -EPERM || r == -ENOSPC)
        skip();
    assert_ok(r);
    pv_inside_use(giver);
    test_defer(use_own_network, NULL);
    return h;
}

PV_TEST(the_giver_gives_sockets_of_the_overlay_and_no_others)
{
    int pid = 0;
    struct pv_helper *h = go_inside(&pid);
    assert_true(pv_inside_is_apart());
    int fd = pv_inside_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    close(fd);
    assert_int_equal(pv_inside_socket(AF_UNIX, SOCK_STREAM, 0), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(pv_inside_socket(AF_PACKET, SOCK_RAW, 0), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(pv_inside_socket(AF_INET, SOCK_RAW, 1), -1);
    assert_int_equal(errno, EACCES);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(pv_inside_socket(AF_INET, SOCK_STREAM, 0), -1);
    assert_int_equal(errno, ENETDOWN);
    assert_helpers_end(h);
}

PV_TEST(a_giver_that_somebody_stopped_is_given_up)
{
    int pid = 0;
    struct pv_helper *h = go_inside(&pid);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(pv_inside_socket(AF_INET, SOCK_STREAM, 0), -1);
    assert_int_equal(errno, ENETDOWN);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(pv_inside_socket(AF_INET, SOCK_STREAM, 0), -1);
    assert_helpers_end(h);
}

/* --- lwIP in its place --------------------------------------------------------------------- */

static char stack_dir[32];
static int stack_giver; /* that pv_inside_use_stack() has */

static void remove_stack_dir(void *dir)
{
    (void)rmdir(dir);
}

static void place_for_stack(char path[static 64])
{
    snprintf(stack_dir, sizeof(stack_dir), "/tmp/pv-stack-XXXXXX");
    assert_non_null(mkdtemp(stack_dir));
    test_defer(remove_stack_dir, stack_dir);
    snprintf(path, 64, "%s/s", stack_dir);
}

/* A helper and lwIP's process. False: it is not built. */
static bool start_stack(struct pv_helper **ret_helper, const char *path, int *ret_pid)
{
    char error[PV_HELPER_ERROR_MAX];
    int listener = -1, giver = -1;
    assert_ok(pv_helper_start(ret_helper, NULL));
    assert_ok(pv_unix_listen(path, NULL, &listener));
    int r = pv_helper_go_stack(*ret_helper, listener, &giver, ret_pid, error);
    close(listener);
    if (r == PV_ERR_UNSUPPORTED) {
        unlink(path);
        *ret_helper = pv_helper_stop(*ret_helper);
        return false;
    }
    assert_ok(r);
    pv_inside_use_stack(giver, false);
    stack_giver = giver;
    test_defer(use_own_network, NULL);
    return true;
}

PV_TEST(lwip_serves_what_is_about_the_interface_and_its_file_goes_with_the_helper)
{
    const struct pv_helper_iface iface = an_iface();
    struct pv_helper *h = NULL;
    char error[PV_HELPER_ERROR_MAX], path[64];
    int pid = 0, tun = -1, fd = -1;
    struct pv_addr own = iface.addrs[0].base;
    struct pv_netplan plan = {.ifname = "pvt0"};
    place_for_stack(path);
    if (!start_stack(&h, path, &pid))
        skip();
    assert_int_equal(iface_up(h, &iface, &tun, error), PV_ERR_STATE); /* not sandboxed yet */
    assert_int_equal(helper_ready(h, "pvt0"), 0);
    own.port = 2047;
    const char *name = "pvt0";
    assert_int_equal(pv_stream_listen(&own, name, &fd), -ENETDOWN);
    assert_ok(iface_up(h, &iface, &tun, error));
    assert_ok(pv_stream_listen(&own, name, &fd));
    close(fd);
    assert_int_equal(pv_inside_socket(AF_INET, SOCK_STREAM, 0), -1);
    assert_int_equal(errno, EAFNOSUPPORT);
    assert_int_equal(pv_helper_open_dns(h, &own, false, &fd, error), PV_ERR_UNSUPPORTED);
    assert_ok(pv_helper_netplan(h, &plan, NULL, error));
    plan.exit = plan.exit4 = true;
    assert_int_equal(pv_helper_netplan(h, &plan, NULL, error), PV_ERR_UNSUPPORTED);
    /* a program of this user */
    int program = -1, daemons = dup(stack_giver);
    assert_ok(pv_unix_connect(path, &program));
    pv_inside_use_stack(program, true);
    const struct pv_stream_bind tie = {.local = iface.addrs[0].base, .ifname = name};
    const struct pv_addr to = pv_addr4(10, 66, 3, 3, 80);
    assert_ok(pv_stream_connect(&to, &tie, &fd));
    struct pollfd p = {.fd = tun, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20000), 1); /* a packet that begins it */
    assert_int_equal(pv_stream_connected(fd), PV_ERR_AGAIN);
    close(fd);
    close(tun);
    close(daemons);
    h = pv_helper_stop(h);
    assert_int_equal(access(path, F_OK), -1);
}

PV_TEST(lwip_that_has_ended_is_started_again_by_the_next_call)
{
    const struct pv_helper_iface iface = an_iface();
    struct pv_helper *h = NULL;
    char error[PV_HELPER_ERROR_MAX], path[64];
    int pid = 0, other = 0, tun = -1, fd = -1;
    size_t n = 0;
    struct pv_addr own = iface.addrs[0].base;
    const struct pv_view bytes = pv_view(path, 20);
    place_for_stack(path);
    if (!start_stack(&h, path, &pid))
        skip();
    assert_int_equal(helper_ready(h, "pvt0"), 0);
    own.port = 2047;
    assert_ok(iface_up(h, &iface, &tun, error));
    assert_string_equal(error, "");
    for (unsigned times = 1; times <= 2; times++) {
        assert_int_equal(kill(pid, SIGKILL), 0);
        struct pollfd p = {.fd = tun, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 20000), 1);
        assert_int_equal(pv_tun_read(tun, error, sizeof(error), &n), PV_ERR_CLOSED);
        assert_int_equal(pv_tun_write_parts(tun, &bytes, 1), PV_ERR_CLOSED);
        close(tun);
        assert_int_equal(pv_stream_listen(&own, "pvt0", &fd), -ENETDOWN);
        assert_ok(iface_up(h, &iface, &tun, error));
        assert_non_null(strstr(error, "ended by signal 9"));
        assert_int_equal(pv_helper_stack_restarts(h, &other), times);
        assert_int_not_equal(other, pid);
        pid = other;
        assert_ok(iface_up(h, &iface, &tun, error)); /* sandboxed, and the same process */
        assert_string_equal(error, "");
        assert_ok(pv_stream_listen(&own, "pvt0", &fd));
        close(fd);
    }
    /* A program of this user finds it, too. */
    const struct pv_inside_want want = {.kind = PV_INSIDE_LISTEN, .local = own};
    struct pv_inside_got got = {.error = -1};
    struct pollfd p = {.events = POLLIN};
    assert_ok(pv_unix_connect(path, &p.fd));
    assert_int_equal(send(p.fd, &want, sizeof(want), 0), sizeof(want));
    assert_int_equal(poll(&p, 1, 20000), 1);
    assert_ok(pv_unix_read(p.fd, &got, sizeof(got), &n, &fd));
    assert_int_equal(got.error, 0);
    close(fd);
    close(p.fd);
    close(tun);
    (void)pv_helper_stop(h);
}

PV_TEST(lwip_that_somebody_stopped_is_given_up)
{
    const struct pv_helper_iface iface = an_iface();
    char error[PV_HELPER_ERROR_MAX];
    int tun = -1;
    const struct pv_stream_bind tie = {.ifname = "pvt0"};
    const struct pv_addr to = pv_addr4(10, 66, 3, 3, 80);
    struct pv_helper *h = NULL;
    char path[64];
    int pid = 0, fd = -1;
    place_for_stack(path);
    if (!start_stack(&h, path, &pid))
        skip();
    assert_int_equal(helper_ready(h, "pvt0"), 0);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(pv_stream_connect(&to, &tie, &fd), -ENETDOWN);
    assert_int_equal(kill(pid, SIGCONT), 0);
    /* It may serve this before it sees that it was given up. */
    const pv_ns deadline = pv_clock_now() + PV_S(20);
    do {
        assert_true(pv_clock_now() < deadline);
        assert_ok(iface_up(h, &iface, &tun, error));
        close(tun);
    } while (strstr(error, "was started again") == NULL);
    (void)pv_helper_stop(h);
}
