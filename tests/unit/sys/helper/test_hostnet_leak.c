/* SPDX-License-Identifier: MIT */
/*
 * The packets that leave by the LAN while an exit comes, goes, and is disturbed: seen at the far
 * end of the cable, by a thread that sends all the time. In a network namespace; needs root and
 * nft.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/helper/hostnet.h"
#include "sys/helper/networds.h"
#include "sys/net/ipcmd.h"
#include "sys/net/tun.h"
#include "sys/proc/clock.h"
#include "tests/unit/test_util.h"

enum {
    OWN_PORT = 4000,
    CLEAR_PORT = 9, /* of packets that may not be seen */
    NAME_PORT = 53,
    OWN_REMOTE = 7777, /* of our own */
    FROM_AFAR = 5555,  /* of those sent to us */
    FRAME = 2048,
    TUN_HEADER = 10, /* bytes of struct virtio_net_hdr before each packet */
};

static struct world {
    int wire; /* AF_PACKET on the far end of the cable */
    struct pv_tun tun;
    pthread_t sender;
    _Atomic bool stop;
    _Atomic unsigned rounds;
} world;

static void ip(const char *lines)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    if (pv_ipcmd_run(lines, complaint) != PV_OK)
        fail_msg("ip: %s", complaint);
}

/* --- the sender ---------------------------------------------------------------------------- */

enum how {
    PLAIN,
    BOUND_TO_ADDRESS,
    BY_INTERFACE, /* IP_UNICAST_IF, as systemd-resolved sends */
    BOUND_TO_DEVICE,
    FROM_OUR_PORT, /* as a program that got it when the daemon was off */
    MARKED,        /* as our own sockets */
    HOWS,
};

static void send_udp4(enum how how, const char *to, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)}, from = sa;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const uint32_t mark = PV_NETWORDS_MARK, index = htonl(if_nametoindex("lan0"));
    inet_pton(AF_INET, to, &sa.sin_addr);
    inet_pton(AF_INET, "192.168.1.5", &from.sin_addr);
    from.sin_port = how == FROM_OUR_PORT ? htons(OWN_PORT) : 0;
    if (how == BOUND_TO_ADDRESS || how == FROM_OUR_PORT)
        (void)bind(fd, (struct sockaddr *)&from, sizeof(from));
    if (how == BY_INTERFACE)
        (void)setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, &index, sizeof(index));
    if (how == BOUND_TO_DEVICE)
        (void)setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lan0", 4);
    if (how == MARKED)
        (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
    (void)sendto(fd, "x", 1, 0, (struct sockaddr *)&sa, sizeof(sa));
    close(fd);
}

static void send_udp6(const char *to, uint16_t port)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET6, to, &sa.sin6_addr);
    (void)sendto(fd, "x", 1, 0, (struct sockaddr *)&sa, sizeof(sa));
    close(fd);
}

static void send_tcp4(const char *to, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    inet_pton(AF_INET, to, &sa.sin_addr);
    (void)!connect(fd, (struct sockaddr *)&sa, sizeof(sa));
    close(fd);
}

static void send_round(void)
{
    for (enum how how = PLAIN; how < MARKED; how++) {
        send_udp4(how, "203.0.113.9", CLEAR_PORT);
        send_udp4(how, "192.168.1.1", NAME_PORT);
        send_udp4(how, "9.9.9.9", NAME_PORT);
    }
    send_tcp4("203.0.113.9", CLEAR_PORT);
    send_tcp4("192.168.1.1", NAME_PORT);
    send_udp6("2001:db8:9::9", CLEAR_PORT);
    send_udp6("2001:db8:9::9", NAME_PORT);
    send_udp4(MARKED, "198.51.100.7", OWN_REMOTE);
}

static void *send_all_the_time(void *ctx)
{
    while (!world.stop) {
        send_round();
        world.rounds++;
    }
    return NULL;
}

/* --- the wire ------------------------------------------------------------------------------ */

struct seen {
    unsigned clear, names, own, lan;
};

/* The packets that have come out since the last call. */
static struct seen look(void)
{
    struct seen s = {0};
    uint8_t f[FRAME];
    ssize_t n;
    while ((n = recv(world.wire, f, sizeof(f), MSG_DONTWAIT)) > 0) {
        bool v4 = n > 14 + 20 + 4 && f[12] == 0x08 && f[13] == 0x00;
        bool v6 = n > 14 + 40 + 4 && f[12] == 0x86 && f[13] == 0xdd;
        uint8_t proto = v4 ? f[14 + 9] : v6 ? f[14 + 6] : 0;
        if (proto != IPPROTO_UDP && proto != IPPROTO_TCP)
            continue;
        const uint8_t *l4 = f + 14 + (v4 ? 20 : 40);
        unsigned port = (unsigned)(l4[2] << 8 | l4[3]);
        s.clear += port == CLEAR_PORT;
        s.names += port == NAME_PORT;
        s.own += port == OWN_REMOTE;
        s.lan += port == 80;
    }
    return s;
}

/* Lets the sender go round, and sees what came out meanwhile. */
static struct seen look_after_rounds(unsigned rounds)
{
    unsigned until = world.rounds + rounds;
    while (world.rounds < until)
        sched_yield();
    return look();
}

static void assert_tight(const char *when)
{
    struct seen s = look_after_rounds(3);
    if (s.clear != 0 || s.names != 0)
        fail_msg("%s: %u packets and %u questions in the clear", when, s.clear, s.names);
    assert_true(s.own > 0);
}

/* The last hop of a packet takes its time on a busy machine. */
static void assert_open(void)
{
    pv_ns end = pv_clock_now() + PV_S(10);
    while (look_after_rounds(3).clear == 0)
        assert_true(pv_clock_now() < end);
}

/* --- the world ----------------------------------------------------------------------------- */

static void make_tun(void)
{
    assert_ok(pv_tun_open("p2p0", 1, &world.tun));
    ip("link set p2p0 up\n"
       "addr add 10.66.0.2/16 dev p2p0\n"
       "addr add fd00:66::2/64 dev p2p0 nodad\n");
}

/* The hosts that answer in the LAN are made up: no packet waits for a neighbour. */
static int setup(void **state)
{
    struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    memset(&world, 0, sizeof(world));
    ip(test_given("link set lo up link add lan0"));
    make_tun();
    /* Until it is bound it would hear every interface. */
    world.wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    ll.sll_ifindex = (int)if_nametoindex("lan1");
    if (bind(world.wire, (struct sockaddr *)&ll, sizeof(ll)) < 0)
        return -1;
    return pthread_create(&world.sender, NULL, send_all_the_time, NULL);
}

static int teardown(void **state)
{
    world.stop = true;
    pthread_join(world.sender, NULL);
    pv_tun_close(&world.tun);
    close(world.wire);
    (void)pv_ipcmd_force("link del dev lan0\n");
    return 0;
}

PV_TEST_WORLD(setup, teardown);

static struct pv_hostnet *new_net(void)
{
    struct pv_hostnet *net = NULL;
    const struct pv_hostnet_config cfg = {.uids = {61300}, .n_uids = 1};
    assert_ok(pv_hostnet_new(&net, &cfg));
    pv_hostnet_port(net, OWN_PORT);
    pv_hostnet_iface(net, "p2p0");
    return net;
}

static struct pv_netplan exit_plan(void)
{
    return (struct pv_netplan){.ifname = "p2p0",
                               .overlay4 = test_prefix("10.66.0.0/16"),
                               .overlay6 = test_prefix("fd00:66::/64"),
                               .exit = true,
                               .exit4 = true};
}

static void set(struct pv_hostnet *net, const struct pv_netplan *plan)
{
    char error[PV_HOSTNET_ERROR_MAX];
    if (pv_hostnet_set(net, plan, error) != PV_OK)
        fail_msg("%s", error);
}

/* Until there is nothing to do for half a second. */
static void work(struct pv_hostnet *net)
{
    pv_ns end = pv_clock_now() + PV_S(10);
    for (bool quiet = false; !quiet;) {
        struct pollfd p[PV_HOSTNET_FDS];
        pv_hostnet_poll(net, p);
        int ms = pv_hostnet_timeout(net, pv_clock_now());
        const bool idle = ms < 0 || ms > 300; /* counters are read now and then */
        quiet = poll(p, PV_HOSTNET_FDS, idle ? 100 : ms) == 0 && idle;
        pv_hostnet_work(net, pv_clock_now());
        assert_true(pv_clock_now() < end);
    }
}

/* --- tests --------------------------------------------------------------------------------- */

PV_TEST(nothing_leaks_while_an_exit_is_disturbed)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = exit_plan();
    assert_open(); /* the wire is seen */
    set(net, &p);
    (void)look_after_rounds(1); /* what was under way before */
    assert_tight("in use");
    ip("rule flush protocol 112\n");
    assert_tight("rules removed");
    work(net);
    ip("route flush table 28784\n");
    assert_tight("routes removed");
    work(net);
    ip(test_given("route replace default via dev"));
    ip(test_given("route replace 203.0.113.0/24"));
    assert_tight("another default route, and one from DHCP");
    work(net);
    assert_tight("and looked at");
    assert_ok(pv_nftcmd_run("flush ruleset\n", complaint));
    work(net);
    (void)look_after_rounds(1);
    assert_tight("after a flushed rule set");
    pv_hostnet_iface(net, "");
    pv_tun_close(&world.tun);
    assert_tight("interface gone");
    make_tun();
    pv_hostnet_iface(net, "p2p0");
    assert_tight("interface there again");
    p.exit6 = p.exit_lan = true;
    set(net, &p);
    assert_tight("other settings");
    p.exit = false;
    set(net, &p);
    assert_open();
    pv_hostnet_end(net);
}

PV_TEST(an_exit_that_blocks_is_tight_until_it_is_off)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = exit_plan();
    p.exit_block = true;
    set(net, &p);
    (void)look_after_rounds(1);
    pv_hostnet_end(net); /* as the helper does when the daemon was killed */
    assert_tight("daemon killed");
    pv_tun_close(&world.tun);
    assert_tight("interface gone");
    net = new_net();
    assert_tight("daemon started");
    set(net, &p);
    assert_tight("the same plan again");
    make_tun();
    pv_hostnet_iface(net, "p2p0");
    assert_tight("interface made");
    p.exit = false;
    set(net, &p);
    assert_open();
    pv_hostnet_end(net);
}

PV_TEST(the_lan_is_reached_when_it_is_left_alone_and_names_are_not_asked_there)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = exit_plan();
    set(net, &p);
    send_udp4(PLAIN, "192.168.1.7", 80);
    assert_int_equal(look_after_rounds(2).lan, 0);
    p.exit_lan = true;
    set(net, &p);
    send_udp4(PLAIN, "192.168.1.7", 80);
    /* The last hop takes its time, as above. */
    const pv_ns end = pv_clock_now() + PV_S(10);
    for (unsigned lan = 0; lan == 0;) {
        struct seen s = look_after_rounds(2);
        lan += s.lan;
        assert_int_equal(s.names, 0);
        assert_int_equal(s.clear, 0);
        assert_true(lan == 1 || pv_clock_now() < end);
    }
    pv_hostnet_end(net);
}

/* Empties the interface's queue; true: a question to this server was in it, from our own address.
 */
static bool comes_through_the_tun(uint8_t server)
{
    const uint8_t own[] = {10, 66, 0, 2};
    uint8_t p[FRAME];
    size_t n = 0;
    bool found = false;
    for (int i = 0; i < 4096 && pv_tun_read(world.tun.read[0], p, sizeof(p), &n) == PV_OK; i++) {
        const uint8_t *h = p + TUN_HEADER;
        if (n >= TUN_HEADER + 28 && h[0] == 0x45 && h[16] == 192 && h[19] == server &&
            (h[22] << 8 | h[23]) == NAME_PORT)
            found = found || memcmp(h + 12, own, sizeof(own)) == 0;
    }
    return found;
}

/* Again and again: the sender fills the queue, which drops what does not fit. */
static bool question_goes_to_the_exit(enum how how, const char *server, uint8_t last)
{
    pv_ns end = pv_clock_now() + PV_S(20);
    do {
        send_udp4(how, server, NAME_PORT);
        if (comes_through_the_tun(last))
            return true;
    } while (pv_clock_now() < end);
    return false;
}

/* A resolver may send by any way; but for one that insists on a device, which gets nothing. */
PV_TEST(questions_to_the_lans_server_go_to_the_exit)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = exit_plan();
    for (unsigned lan = 0; lan < 2; lan++) {
        p.exit_lan = lan == 1;
        set(net, &p);
        for (enum how how = PLAIN; how <= BY_INTERFACE; how++) {
            char server[] = "192.168.1.60";
            server[11] = (char)('0' + how + lan * 4);
            if (!question_goes_to_the_exit(how, server, (uint8_t)(60 + how + lan * 4)))
                fail_msg("sent in way %d: not seen", how);
        }
    }
    pv_hostnet_end(net);
}

static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* A peer's datagram of the internet, out of the blue. */
static void send_from_afar(uint16_t to_port)
{
    uint8_t f[14 + 20 + 8 + 1] = {0};
    uint8_t *h = f + 14;
    char mac[18] = "";
    unsigned b[6];
    FILE *file = fopen("/sys/class/net/lan0/address", "re");
    if (file != NULL) {
        assert_non_null(fgets(mac, sizeof(mac), file));
        fclose(file);
    }
    assert_int_equal(sscanf(mac, "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]), 6);
    for (size_t i = 0; i < 6; i++)
        f[i] = (uint8_t)b[i];
    f[6] = 2;
    f[12] = 8;
    h[0] = 0x45;
    h[3] = 29;
    h[8] = 64;
    h[9] = IPPROTO_UDP;
    inet_pton(AF_INET, "198.51.100.7", h + 12);
    inet_pton(AF_INET, "192.168.1.5", h + 16);
    uint16_t sum = checksum(h, 20);
    h[10] = (uint8_t)(sum >> 8);
    h[11] = (uint8_t)sum;
    h[20] = FROM_AFAR >> 8;
    h[21] = FROM_AFAR & 0xff;
    h[22] = (uint8_t)(to_port >> 8);
    h[23] = (uint8_t)to_port;
    h[25] = 9;
    assert_int_equal(send(world.wire, f, sizeof(f), 0), sizeof(f));
}

/* Debian's own setting is loose; hardened hosts have this one. */
PV_TEST(strict_checks_of_the_way_back_let_our_own_packets_in)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(OWN_PORT)};
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = exit_plan();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char byte;
    test_write("/proc/sys/net/ipv4/conf/all/rp_filter", "1");
    /* The sender has the port for moments. */
    for (pv_ns end = pv_clock_now() + PV_S(10); bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0;) {
        assert_int_equal(errno, EADDRINUSE);
        assert_true(pv_clock_now() < end);
    }
    set(net, &p);
    send_from_afar(OWN_PORT);
    struct pollfd w = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&w, 1, 10000), 1);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    close(fd);
    pv_hostnet_end(net);
}

static bool can_run(void)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    return geteuid() == 0 && access("/usr/sbin/nft", X_OK) == 0 &&
           access("/dev/net/tun", R_OK | W_OK) == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           pv_nftcmd_run("table inet t\ndelete table inet t\n", complaint) == PV_OK &&
           mount("sysfs", "/sys", "sysfs", 0, NULL) == 0;
}

void test_begin(void)
{
    if (!can_run())
        test_skip_all("needs root, nft, /dev/net/tun and namespaces");
}
