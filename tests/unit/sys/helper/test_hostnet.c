/* SPDX-License-Identifier: MIT */
/* In a network namespace of its own, with a "LAN" and an "interface of ours"; needs root and nft.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/helper/hostctl.h"
#include "sys/helper/hostlook.h"
#include "sys/helper/hostnet.h"
#include "sys/helper/networds.h"
#include "sys/net/ipcmd.h"
#include "sys/net/netroutes.h"
#include "sys/proc/clock.h"
#include "tests/unit/test_util.h"

#define FILE_PATH "/run/p2pvpn-test.host"

static void ip(const char *lines)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    if (pv_ipcmd_run(lines, complaint) != PV_OK)
        fail_msg("ip: %s", complaint);
}

static void nft(const char *text)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    if (pv_nftcmd_run(text, complaint) != PV_OK)
        fail_msg("nft: %s", complaint);
}

static int read_switch(const char *key)
{
    char value = '?';
    int fd = open(PV_STR("/proc/sys/net/%s", key), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, &value, 1) == 1);
    close(fd);
    return value - '0';
}

static void write_switch(const char *key, int value)
{
    char path[128], digit = (char)('0' + value);
    snprintf(path, sizeof(path), "/proc/sys/net/%s", key);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0 && write(fd, &digit, 1) == 1);
    close(fd);
}

static size_t routes_in(uint32_t table)
{
    static struct pv_net_route routes[PV_NETWORDS_ROUTES];
    const struct pv_net_route_query query = {.table = table, .proto = PV_NET_PROTO_OWN};
    size_t n = 0;
    assert_ok(pv_net_routes(&query, routes, PV_NETWORDS_ROUTES, &n));
    return n;
}

static size_t rules_of(uint16_t family)
{
    size_t n = 0;
    assert_ok(pv_net_rules(family, PV_NET_PROTO_OWN, &n));
    return n;
}

struct finding {
    const char *what;
    bool found;
};

static void take_line(void *ctx, const char *line)
{
    struct finding *f = ctx;
    f->found = f->found || strstr(line, f->what) != NULL;
}

static bool ruleset_has(const char *what)
{
    static const char *const words[] = {"ruleset"};
    struct finding f = {.what = what};
    assert_ok(pv_nftcmd_list(words, 1, take_line, &f));
    return f.found;
}

static struct pv_hostnet *new_net(void)
{
    struct pv_hostnet *net = NULL;
    const struct pv_hostnet_config cfg = {.uids = {61300}, .n_uids = 1, .path = FILE_PATH};
    assert_ok(pv_hostnet_new(&net, &cfg));
    pv_hostnet_port(net, 4000);
    pv_hostnet_iface(net, "p2p0");
    return net;
}

static struct pv_netplan plan_of(void)
{
    return (struct pv_netplan){.ifname = "p2p0",
                               .overlay4 = test_prefix("10.66.0.0/16"),
                               .overlay6 = test_prefix("fd00:66::/64")};
}

static void set(struct pv_hostnet *net, const struct pv_netplan *plan)
{
    char error[PV_HOSTNET_ERROR_MAX];
    int r = pv_hostnet_set(net, plan, error);
    if (r != PV_OK)
        fail_msg("%s", error);
}

/* Lets it see what the kernel says until done() or twenty seconds. */
static void work_until(struct pv_hostnet *net, bool (*done)(struct pv_hostnet *net))
{
    pv_ns end = pv_clock_now() + PV_S(20);
    while (!done(net)) {
        struct pollfd p[PV_HOSTNET_FDS];
        pv_ns now = pv_clock_now();
        int ms = pv_hostnet_timeout(net, now);
        assert_true(now < end);
        pv_hostnet_poll(net, p);
        (void)poll(p, PV_HOSTNET_FDS, ms < 0 || ms > 100 ? 100 : ms);
        pv_hostnet_work(net, pv_clock_now());
    }
}

/* A fresh LAN 192.168.1.0/24 and a fresh interface of ours. */
void test_before_each(void)
{
    (void)pv_ipcmd_force("link del dev lan0\nlink del dev p2p0\n");
    (void)unlink(FILE_PATH);
    ip("link set lo up\n"
       "link add lan0 type veth peer name lan1\n"
       "link set lan0 up\nlink set lan1 up\n"
       "addr add 192.168.1.5/24 dev lan0\n"
       "route add default via 192.168.1.1 dev lan0\n"
       "link add p2p0 type veth peer name p2p1\n"
       "link set p2p0 up\nlink set p2p1 up\n"
       "addr add 10.66.0.2/16 dev p2p0\n"
       "addr add fd00:66::2/64 dev p2p0 nodad\n");
}

/* As after `down`. */
static struct pv_netplan no_plan(void)
{
    return (struct pv_netplan){.ifname = "p2p0"};
}

/* The address that this host sends from, which tells the way; "": there is none. */
static const char *source_to(const char *ip)
{
    static char text[INET_ADDRSTRLEN];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(9)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, ip, &sa.sin_addr);
    bool found = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
                 getsockname(fd, (struct sockaddr *)&sa, &len) == 0;
    close(fd);
    return found ? inet_ntop(AF_INET, &sa.sin_addr, text, sizeof(text)) : "";
}

static bool goes_by_members(struct pv_hostnet *net)
{
    return strcmp(source_to("192.168.7.20"), "10.66.0.2") == 0;
}

static size_t used_rules(void)
{
    size_t n[2] = {0};
    for (unsigned turn = 0; turn < 2; turn++)
        assert_ok(pv_net_rules(PV_AF_INET, pv_networds_used_proto(pv_networds_slot("p2p0"), turn),
                               &n[turn]));
    return n[0] + n[1];
}

static bool has_used_rules(struct pv_hostnet *net)
{
    return used_rules() == 5;
}

PV_TEST(a_used_prefix_gets_a_route_that_comes_back_and_gives_way_to_the_lan)
{
    struct pv_netplan_host host = {.n_lan = 0};
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.used[p.n_used++].prefix = test_prefix("192.168.7.0/24");
    set(net, &p);
    assert_true(goes_by_members(net));
    assert_true(pv_hostnet_report(net, false, &host));
    assert_string_equal(host.fault, "");
    assert_int_equal(host.n_overlaps, 0);
    assert_int_equal(host.n_lan, 1);
    assert_string_equal(host.lan[0].ifname, "lan0");
    assert_false(pv_hostnet_report(net, false, &host));

    ip(PV_STR("route flush table %u\n", PV_NETWORDS_TABLE_USED + pv_networds_slot("p2p0")));
    work_until(net, goes_by_members);
    for (unsigned turn = 0; turn < 2; turn++) {
        ip(PV_STR("rule flush protocol %u\n",
                  pv_networds_used_proto(pv_networds_slot("p2p0"), turn)));
    }
    work_until(net, has_used_rules);
    /* A network around it that is a router's. */
    ip("route add 192.168.0.0/16 via 192.168.1.1\n");
    work_until(net, goes_by_members);
    assert_int_equal(used_rules(), 5);
    /* The laptop comes into a LAN with that range, which goes before at once. */
    ip("addr add 192.168.7.9/24 dev lan0\n");
    assert_string_equal(source_to("192.168.7.20"), "192.168.7.9");
    set(net, &p);
    assert_true(pv_hostnet_report(net, false, &host));
    assert_true(host.n_overlaps > 0 && host.overlaps[0].taken);
    ip("addr del 192.168.7.9/24 dev lan0\n");
    work_until(net, goes_by_members);
    p = no_plan();
    set(net, &p);
    pv_hostnet_end(net);
}

/* Nobody is left to look, and the interface goes. */
PV_TEST(a_used_prefix_leaves_by_no_other_way_until_the_next_plan)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    assert_string_equal(source_to("192.168.7.20"), "192.168.1.5");
    p.used[p.n_used++].prefix = test_prefix("192.168.7.0/24");
    set(net, &p);
    pv_hostnet_end(net);
    ip("link del dev p2p0\n");
    assert_string_equal(source_to("192.168.7.20"), "");
    assert_string_equal(source_to("192.168.8.20"), "192.168.1.5");
    ip("addr add 192.168.7.9/24 dev lan0\n"); /* at home, where it is the LAN */
    assert_string_equal(source_to("192.168.7.20"), "192.168.7.9");
    ip("addr del 192.168.7.9/24 dev lan0\n");
    net = new_net();
    assert_string_equal(source_to("192.168.7.20"), "");
    p = no_plan();
    set(net, &p);
    assert_string_equal(source_to("192.168.7.20"), "192.168.1.5");
    assert_int_equal(used_rules(), 0);
    assert_int_equal(routes_in(PV_NETWORDS_TABLE_USED + pv_networds_slot("p2p0")), 0);
    assert_int_not_equal(access(FILE_PATH, F_OK), 0);
    pv_hostnet_end(net);
}

static bool sees_the_lan(struct pv_hostnet *net)
{
    struct pv_netplan_host host = {.n_lan = 0};
    return pv_hostnet_report(net, true, &host) && host.n_overlaps > 0;
}

static bool has_table(struct pv_hostnet *net)
{
    return ruleset_has("table inet p2pvpn-p2p0");
}

static bool masquerades(struct pv_hostnet *net)
{
    return ruleset_has("ip daddr 192.168.1.0/24 masquerade");
}

PV_TEST(an_offer_forwards_survives_a_flush_and_goes)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    assert_int_equal(read_switch("ipv4/ip_forward"), 0);
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = true};
    set(net, &p);
    assert_int_equal(read_switch("ipv4/ip_forward"), 0);
    assert_int_equal(read_switch("ipv4/conf/lan0/forwarding"), 1);
    assert_int_equal(read_switch("ipv4/conf/p2p0/forwarding"), 1);
    assert_int_equal(read_switch("ipv6/conf/all/forwarding"), 0);
    assert_true(masquerades(net));
    assert_int_equal(access(FILE_PATH, F_OK), 0);
    nft("flush ruleset\n");
    work_until(net, masquerades);
    nft("flush table inet p2pvpn-p2p0\n"); /* the table stays, its rules go */
    work_until(net, masquerades);
    p.n_offered = 0;
    set(net, &p);
    assert_false(masquerades(net));
    assert_int_equal(read_switch("ipv4/conf/lan0/forwarding"), 0);
    assert_int_equal(read_switch("ipv4/conf/p2p0/forwarding"), 0);
    p = no_plan();
    set(net, &p);
    assert_false(has_table(net));
    assert_int_not_equal(access(FILE_PATH, F_OK), 0);
    pv_hostnet_end(net);
}

static bool keeps_others_out_of_ipv4(struct pv_hostnet *net)
{
    return ruleset_has("iifname \"lan0\" oifname != {");
}

static bool keeps_others_out_of_ipv6(struct pv_hostnet *net)
{
    return ruleset_has(test_given("iifname p2p0 oifname p2p0"));
}

static bool lets_all_pass(struct pv_hostnet *net)
{
    return !keeps_others_out_of_ipv4(net) && !keeps_others_out_of_ipv6(net);
}

/* Rules of the user's may lead to each; what one table says of a prefix is no reason to trust it.
 */
PV_TEST(an_exit_knows_its_neighbours_by_every_table)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("0.0.0.0/0"), .snat = true};
    ip(test_given("route add 203.0.113.1/32 dev"));
    set(net, &p);
    assert_true(ruleset_has("ip daddr 203.0.113.1 goto offered_inside"));
    assert_true(ruleset_has("ip daddr 203.0.113.2 goto offered_inside"));
    assert_true(ruleset_has("ip daddr 203.0.113.3 goto offered_inside"));
    assert_false(ruleset_has("203.0.113.4"));
    assert_false(ruleset_has("203.0.113.5"));
    p = no_plan();
    set(net, &p);
    pv_hostnet_end(net);
}

/* Docker and libvirt write what is there already, as it seems to them or as it is. */
PV_TEST(forwarding_is_for_members_until_others_want_it)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = true};
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("fd77::/64"), .snat = true};
    set(net, &p);
    assert_true(keeps_others_out_of_ipv4(net));
    assert_true(keeps_others_out_of_ipv6(net));
    write_switch("ipv4/ip_forward", 1);
    write_switch("ipv6/conf/all/forwarding", 1);
    work_until(net, lets_all_pass);
    pv_hostnet_end(net);
    assert_int_equal(read_switch("ipv4/ip_forward"), 1);
    assert_int_equal(read_switch("ipv4/conf/lan0/forwarding"), 1);
    assert_int_equal(read_switch("ipv6/conf/all/forwarding"), 1);
    net = new_net();
    set(net, &p);
    assert_true(lets_all_pass(net));
    pv_hostnet_end(net);
    write_switch("ipv4/ip_forward", 0);
    write_switch("ipv6/conf/all/forwarding", 0);
}

/* The directory was another user's once. */
PV_TEST(a_link_beside_the_list_of_switches_is_not_followed)
{
    static const char *const names[] = {FILE_PATH ".new", FILE_PATH ".tmp"};
    char victim[] = "/tmp/pvhostnet.XXXXXX";
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    int fd = mkstemp(victim);
    assert_true(fd >= 0 && write(fd, "precious", 8) == 8);
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++)
        assert_int_equal(symlink(victim, names[i]), 0);
    set(net, &p);
    assert_int_equal(lseek(fd, 0, SEEK_END), 8);
    pv_hostnet_end(net);
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++)
        (void)unlink(names[i]);
    close(fd);
    unlink(victim);
}

PV_TEST(forwarding_of_ipv6_keeps_what_routers_advertise)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    assert_int_equal(read_switch("ipv6/conf/lan0/accept_ra"), 1);
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("fd77::/64"), .snat = true};
    set(net, &p);
    assert_int_equal(read_switch("ipv6/conf/all/forwarding"), 1);
    assert_int_equal(read_switch("ipv6/conf/lan0/accept_ra"), 2);
    pv_hostnet_end(net);
    assert_int_equal(read_switch("ipv6/conf/all/forwarding"), 0);
    assert_int_equal(read_switch("ipv6/conf/lan0/accept_ra"), 1);
}

/* A user who had switched forwarding on keeps it. */
PV_TEST(forwarding_that_was_on_stays_on)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    write_switch("ipv4/ip_forward", 1);
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = false};
    set(net, &p);
    pv_hostnet_end(net);
    assert_int_equal(read_switch("ipv4/ip_forward"), 1);
    write_switch("ipv4/ip_forward", 0);
}

/* A gateway of phones forwards from its interface to its interface; the kernel would answer each
 * packet with a redirect. */
PV_TEST(a_gateway_sends_no_redirects_while_it_has_phones)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    int all = read_switch("ipv4/conf/all/send_redirects");
    int own = read_switch("ipv4/conf/p2p0/send_redirects");
    assert_true(all == 1 && own == 1);
    p.offered[p.n_offered++].prefix = test_prefix("192.168.1.0/24");
    set(net, &p);
    assert_int_equal(read_switch("ipv4/conf/p2p0/send_redirects"), own); /* no gateway yet */
    p.offered[p.n_offered++].prefix = p.overlay4;
    set(net, &p);
    assert_int_equal(read_switch("ipv4/conf/all/send_redirects"), 0);
    assert_int_equal(read_switch("ipv4/conf/p2p0/send_redirects"), 0);
    assert_int_equal(read_switch("ipv4/conf/p2p0/forwarding"), 1);
    p.n_offered--;
    set(net, &p);
    assert_int_equal(read_switch("ipv4/conf/all/send_redirects"), all);
    assert_int_equal(read_switch("ipv4/conf/p2p0/send_redirects"), own);
    assert_int_equal(read_switch("ipv4/conf/p2p0/forwarding"), 1);
    p = no_plan();
    set(net, &p);
    pv_hostnet_end(net);
}

PV_TEST(an_exit_has_rules_routes_and_a_guard_and_all_go)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.exit = p.exit4 = true;
    set(net, &p);
    assert_int_equal(rules_of(PV_AF_INET), rules_of(PV_AF_INET6));
    assert_true(rules_of(PV_AF_INET) > 4);
    assert_true(routes_in(PV_NETWORDS_TABLE) > 2);
    assert_true(ruleset_has("chain guard"));
    assert_int_equal(read_switch("ipv4/conf/all/src_valid_mark"), 1);
    p.exit = false;
    set(net, &p);
    assert_int_equal(rules_of(PV_AF_INET) + rules_of(PV_AF_INET6), 0);
    assert_int_equal(routes_in(PV_NETWORDS_TABLE) + routes_in(PV_NETWORDS_TABLE_ALL), 0);
    assert_false(ruleset_has("chain guard"));
    assert_int_equal(read_switch("ipv4/conf/all/src_valid_mark"), 0);
    pv_hostnet_end(net);
}

static bool has_rules(struct pv_hostnet *net)
{
    return rules_of(PV_AF_INET) > 4 && routes_in(PV_NETWORDS_TABLE) > 4;
}

PV_TEST(a_part_of_an_exit_that_a_manager_removes_comes_back)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.exit = p.exit4 = true;
    set(net, &p);
    ip("rule flush protocol 112\n");
    assert_int_equal(rules_of(PV_AF_INET), 0);
    work_until(net, has_rules);
    ip("route flush table 28784\n");
    work_until(net, has_rules);
    pv_hostnet_end(net);
}

/* The helper ends with its daemon: what blocks stays, and the next one takes it over. */
PV_TEST(an_exit_that_blocks_stays_until_the_next_plan)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.exit = p.exit4 = p.exit_block = true;
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = true};
    set(net, &p);
    pv_hostnet_end(net);
    assert_true(ruleset_has("chain guard"));
    assert_false(ruleset_has("192.168.1.0/24 masquerade"));
    assert_true(rules_of(PV_AF_INET) > 4);
    assert_int_equal(read_switch("ipv4/conf/lan0/forwarding"), 0);
    assert_int_equal(read_switch("ipv4/conf/all/src_valid_mark"), 1);

    net = new_net(); /* nothing is given up before somebody says so */
    assert_true(ruleset_has("chain guard"));
    p = no_plan();
    set(net, &p);
    assert_false(has_table(net));
    assert_int_equal(rules_of(PV_AF_INET) + rules_of(PV_AF_INET6), 0);
    assert_int_equal(routes_in(PV_NETWORDS_TABLE), 0);
    assert_int_equal(read_switch("ipv4/conf/all/src_valid_mark"), 0);
    assert_int_not_equal(access(FILE_PATH, F_OK), 0);
    pv_hostnet_end(net);
}

PV_TEST(a_second_exit_and_an_exit_without_a_user_of_its_own_are_refused)
{
    const struct pv_hostnet_config nobody = {.n_uids = 0};
    char error[PV_HOSTNET_ERROR_MAX];
    struct pv_hostnet *net = new_net(), *other = NULL;
    struct pv_netplan p = plan_of(), q = plan_of();
    p.exit = p.exit4 = true;
    set(net, &p);
    other = new_net();
    snprintf(q.ifname, sizeof(q.ifname), "lan1");
    q.exit = q.exit4 = q.exit_asked = true;
    assert_int_equal(pv_hostnet_set(other, &q, error), PV_ERR_EXISTS);
    assert_has(error, "exit off");
    assert_true(has_rules(net)); /* the other's cleaning spares what is in use */
    pv_hostnet_end(other);
    assert_true(has_rules(net));
    pv_hostnet_end(net);
    assert_ok(pv_hostnet_new(&other, &nobody));
    p.exit_asked = true;
    assert_int_equal(pv_hostnet_set(other, &p, error), PV_ERR_UNSUPPORTED);
    assert_has(error, "start it by its unit");
    assert_int_equal(rules_of(PV_AF_INET), 0);
    pv_hostnet_end(other);
    net = new_net(); /* a user of its own, as the unit gives it. remedy: start_with_rights */
    set(net, &p);
    assert_true(has_rules(net));
    p = no_plan();
    set(net, &p);
    pv_hostnet_end(net);
}

static void have_networks(bool some)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    if (!some) {
        assert_ok(pv_ipcmd_run("link del dev many\n", complaint));
        return;
    }
    assert_ok(pv_ipcmd_run(
        "link add many type veth peer name far\nlink set far up\nlink set many up\n", complaint));
    for (unsigned i = 0; i < PV_NETWORDS_LINKS + 9; i++)
        assert_ok(pv_ipcmd_run(PV_STR("addr add 10.7.%u.1/24 dev many\n", i), complaint));
}

/* Those who use the exit would reach networks that nobody knows of. remedy: offer_prefixes */
PV_TEST(a_host_with_too_many_networks_is_no_exit_until_it_has_fewer)
{
    struct pv_netplan_host host;
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.offered[p.n_offered++].prefix = test_prefix("0.0.0.0/0");
    have_networks(true);
    set(net, &p);
    assert_true(pv_hostnet_report(net, false, &host));
    assert_has(host.fault, "have fewer, or offer prefixes");
    have_networks(false);
    set(net, &p);
    assert_true(pv_hostnet_report(net, false, &host));
    assert_null(strstr(host.fault, "be an exit"));
    p = no_plan();
    set(net, &p);
    pv_hostnet_end(net);
}

static bool has_no_table_of_before(struct pv_hostnet *net)
{
    return !ruleset_has("table inet p2pvpn-p2p0 ") && ruleset_has("table inet p2pvpn-p2p9 ");
}

/* A table of an earlier life under another name of the interface would let nothing pass. */
PV_TEST(a_table_of_a_former_name_of_the_interface_goes)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.exit = p.exit4 = p.exit_block = true;
    p.used[p.n_used++] = (struct pv_netplan_used){.prefix = test_prefix("192.168.7.0/24")};
    set(net, &p);
    work_until(net, has_used_rules);
    pv_hostnet_end(net);
    assert_true(ruleset_has("table inet p2pvpn-p2p0 "));
    ip(test_given("link set p2p0 down link set"));
    net = new_net();
    pv_hostnet_iface(net, "p2p9");
    snprintf(p.ifname, sizeof(p.ifname), "p2p9");
    p.exit = p.exit4 = p.exit_block = false;
    /* Until nft works, also where this life ends before. */
    assert_int_equal(mount("/usr/bin/false", "/usr/sbin/nft", NULL, MS_BIND, NULL), 0);
    set(net, &p);
    pv_hostnet_end(net);
    net = new_net();
    pv_hostnet_iface(net, "p2p9");
    set(net, &p);
    assert_int_equal(umount("/usr/sbin/nft"), 0);
    work_until(net, has_no_table_of_before);
    assert_false(ruleset_has("chain guard"));
    assert_true(ruleset_has("table inet p2pvpn-p2p9 "));
    assert_int_equal(used_rules(), 5);
    assert_int_equal(rules_of(PV_AF_INET), 0);
    assert_int_equal(routes_in(PV_NETWORDS_TABLE_USED + pv_networds_slot("p2p0")), 2);
    assert_string_equal(source_to("192.168.7.20"), "10.66.0.2");
    p = (struct pv_netplan){.ifname = "p2p9"};
    set(net, &p);
    pv_hostnet_end(net);
    ip("link del dev p2p9\n");
}

static void write_script(const char *path, const char *text);

/* Its guard stays while its interface is away. */
PV_TEST(a_former_name_that_another_network_has_is_left_alone)
{
    write_script(FILE_PATH, "interface p2p0\nformer q2\n");
    write_script(FILE_PATH "2.host", "interface q2\nslot 3\n");
    nft("table inet p2pvpn-q2 { chain guard { }\n}\n");
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    set(net, &p);
    assert_true(ruleset_has("table inet p2pvpn-q2 "));
    assert_int_equal(unlink(FILE_PATH "2.host"), 0);
    p.overlay6.base.family = PV_AF_NONE;
    set(net, &p);
    assert_true(ruleset_has("table inet p2pvpn-q2 ")); /* it is forgotten for good */
    nft("delete table inet p2pvpn-q2\n");
    pv_hostnet_end(net);
}

static bool is_refused(struct pv_hostnet *net)
{
    struct pv_netplan_host host;
    assert_true(pv_hostnet_report(net, true, &host));
    assert_true(!host.exit_refused || host.fault[0] != '\0');
    return host.exit_refused;
}

static bool is_used(struct pv_hostnet *net)
{
    return !is_refused(net) && rules_of(PV_AF_INET) > 4;
}

/* As at the start, beside another VPN or another network's exit: nothing goes out until the exit
 * can be used, whatever is asked for meanwhile. */
PV_TEST(a_block_without_its_exit_lets_nothing_out)
{
    char error[PV_HOSTNET_ERROR_MAX];
    struct pv_hostnet *rival = NULL;
    for (size_t vpn = 0; vpn < 2; vpn++) {
        struct pv_netplan p = plan_of(), q = plan_of();
        snprintf(q.ifname, sizeof(q.ifname), "lan1");
        q.exit = q.exit4 = true;
        if (vpn) {
            ip(test_given("tuntap add wgx mode tun link"));
        } else {
            rival = new_net();
            set(rival, &q);
        }
        struct pv_hostnet *net = new_net();
        p.exit = p.exit4 = p.exit_block = true;
        set(net, &p);
        assert_true(is_refused(net));
        assert_true(has_table(net) && ruleset_has("chain guard"));
        assert_int_equal(rules_of(PV_AF_INET) > 0, true); /* the rival's, or ours to nowhere */
        p.exit_asked = true;
        p.exit_block = false;
        assert_int_equal(pv_hostnet_set(net, &p, error), PV_ERR_EXISTS);
        assert_true(has_table(net) && ruleset_has("chain guard"));
        p.exit_asked = false;
        p.exit_block = true;
        set(net, &p);
        assert_true(is_refused(net) && has_table(net));
        if (vpn)
            ip("link del dev wgx\n");
        else
            rival = pv_hostnet_end(rival);
        work_until(net, is_used);
        p = no_plan();
        set(net, &p);
        assert_false(has_table(net));
        pv_hostnet_end(net);
    }
}

static bool has_guard(struct pv_hostnet *net)
{
    return ruleset_has("chain guard");
}

/* A command that failed changes nothing: neither is a block begun, nor is one told of. */
PV_TEST(a_block_that_is_refused_is_none)
{
    char error[PV_HOSTNET_ERROR_MAX];
    struct pv_netplan_host host;
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.exit = p.exit4 = true;
    ip(test_given("tuntap add wgx mode tun link"));
    set(net, &p);
    assert_true(is_refused(net) && !has_guard(net));
    p.exit_block = p.exit_asked = true;
    assert_int_equal(pv_hostnet_set(net, &p, error), PV_ERR_EXISTS);
    assert_has(error, "stop that VPN");
    assert_true(is_refused(net) && !has_guard(net));
    pv_hostnet_iface(net, "p2p0"); /* as before each plan */
    assert_false(has_guard(net));
    p.exit_block = p.exit_asked = false;
    set(net, &p);
    assert_false(has_guard(net));
    p.exit = p.exit4 = false;
    set(net, &p);
    assert_true(pv_hostnet_report(net, true, &host));
    assert_false(host.exit_refused || host.fault[0] != '\0');
    p.exit = p.exit_block = true;
    set(net, &p);
    assert_true(is_refused(net) && has_guard(net));
    pv_hostnet_end(net);
    ip("link del dev wgx\n");
    net = new_net();
    p = no_plan();
    set(net, &p);
    pv_hostnet_end(net);
}

/* They would take each other's used prefixes away, for ever. */
PV_TEST(two_networks_whose_names_want_one_slot_have_two)
{
    char name[PV_NETPLAN_IFNAME];
    unsigned i = 0;
    do
        snprintf(name, sizeof(name), "q%u", i++);
    while (pv_networds_slot(name) != pv_networds_slot("p2p0"));
    const struct pv_hostnet_config cfg = {.uids = {61300}, .n_uids = 1, .path = FILE_PATH "2.host"};
    ip(test_given_with("a link to q-other", name, name));
    struct pv_hostnet *net = new_net(), *other = NULL;
    struct pv_netplan p = plan_of(), q = plan_of();
    p.used[p.n_used++] = (struct pv_netplan_used){.prefix = test_prefix("192.168.7.0/24")};
    q.used[q.n_used++] = (struct pv_netplan_used){.prefix = test_prefix("10.77.0.0/16")};
    snprintf(q.ifname, sizeof(q.ifname), "%s", name);
    q.overlay4 = test_prefix("10.67.0.0/16");
    q.overlay6.base.family = PV_AF_NONE;
    set(net, &p);
    assert_ok(pv_hostnet_new(&other, &cfg));
    pv_hostnet_iface(other, name);
    set(other, &q);
    const unsigned beside = (pv_networds_slot(name) + 1) % PV_NETWORDS_SLOTS;
    set(net, &p);
    set(other, &q);
    assert_int_equal(routes_in(PV_NETWORDS_TABLE_USED + pv_networds_slot(name)), 2);
    assert_int_equal(routes_in(PV_NETWORDS_TABLE_USED + beside), 2);
    assert_true(has_used_rules(net));
    /* A prefix that both use goes by the one whose slot is before; the other one knows. */
    struct pv_netplan_host said;
    assert_true(beside > pv_networds_slot(name));
    q.used[q.n_used++] = p.used[0];
    set(other, &q);
    assert_true(pv_hostnet_report(other, true, &said));
    assert_int_equal(said.n_overlaps, 1);
    assert_true(said.overlaps[0].taken);
    assert_string_equal(said.overlaps[0].other.ifname, "p2p0");
    pv_hostnet_iface(net, "");
    set(other, &q);
    assert_true(pv_hostnet_report(other, true, &said));
    assert_int_equal(said.n_overlaps, 1);
    assert_string_equal(said.overlaps[0].other.ifname, "");
    pv_hostnet_iface(net, "p2p0");
    set(net, &p);
    assert_true(pv_hostnet_report(net, true, &said));
    assert_int_equal(said.n_overlaps, 0);
    /* That one is left, and comes with no plan at its next start either. */
    for (int k = 0; k < 2; k++) {
        q = (struct pv_netplan){.ifname = ""};
        snprintf(q.ifname, sizeof(q.ifname), "%s", name);
        set(other, &q);
        assert_int_equal(routes_in(PV_NETWORDS_TABLE_USED + beside), 0);
        assert_int_equal(routes_in(PV_NETWORDS_TABLE_USED + pv_networds_slot(name)), 2);
        assert_true(has_used_rules(net));
        pv_hostnet_end(other);
        if (k == 0)
            assert_ok(pv_hostnet_new(&other, &cfg));
    }
    assert_int_not_equal(access(FILE_PATH "2.host", F_OK), 0);
    p = no_plan();
    set(net, &p);
    pv_hostnet_end(net);
    ip(PV_STR("link del dev %s\n", name));
}

/* Of a network whose daemon has ended nobody else would tell. */
PV_TEST(a_block_of_another_network_is_told)
{
    struct pv_netplan_host host;
    struct pv_hostnet *net = new_net(), *other = new_net();
    struct pv_netplan p = plan_of(), q = plan_of();
    snprintf(q.ifname, sizeof(q.ifname), "lan1");
    q.exit = q.exit4 = q.exit_block = true;
    set(other, &q);
    pv_hostnet_end(other);
    p.exit = p.exit4 = true;
    set(net, &p);
    assert_true(pv_hostnet_report(net, true, &host));
    assert_shows("host fault", host.fault);
    char error[PV_HOSTNET_ERROR_MAX];
    struct pv_netplan none = plan_of();
    set(net, &none);
    p.exit_asked = true; /* a command is refused: nothing would go by it */
    assert_int_equal(pv_hostnet_set(net, &p, error), PV_ERR_EXISTS);
    assert_has(error, "(table inet p2pvpn-lan1)");
    set(net, &none);
    other = new_net();
    q = (struct pv_netplan){.ifname = "lan1"};
    set(other, &q);
    pv_hostnet_end(other);
    pv_hostnet_end(net);
}

/* Neither its start nor a command that is refused may open what the other one keeps shut. */
PV_TEST(the_rules_of_a_block_outlive_other_networks)
{
    char error[PV_HOSTNET_ERROR_MAX];
    const struct pv_hostnet_config cfg = {.uids = {61300}, .n_uids = 1, .path = FILE_PATH "2.host"};
    struct pv_hostnet *net = NULL, *other = new_net();
    struct pv_netplan p = plan_of(), q = plan_of();
    q.exit = q.exit4 = q.exit_block = true;
    set(other, &q);
    pv_hostnet_end(other);
    const size_t rules = rules_of(PV_AF_INET);
    assert_true(rules > 0 && routes_in(PV_NETWORDS_TABLE) > 0);
    snprintf(p.ifname, sizeof(p.ifname), "lan1");
    p.overlay4.base.family = p.overlay6.base.family = PV_AF_NONE;
    assert_ok(pv_hostnet_new(&net, &cfg));
    set(net, &p);
    assert_int_equal(rules_of(PV_AF_INET), rules);
    struct pv_netplan x = p;
    x.exit = x.exit4 = x.exit_asked = true;
    assert_int_equal(pv_hostnet_set(net, &x, error), PV_ERR_EXISTS);
    assert_shows("error", error);
    x.exit_asked = false; /* as at a start */
    set(net, &x);
    set(net, &p);
    assert_int_equal(rules_of(PV_AF_INET), rules);
    assert_true(routes_in(PV_NETWORDS_TABLE) > 0);
    other = new_net();
    q = no_plan();
    set(other, &q);
    pv_hostnet_end(other);
    assert_int_equal(rules_of(PV_AF_INET), 0);
    set(net, &x);
    assert_int_equal(rules_of(PV_AF_INET), rules);
    set(net, &p);
    assert_int_equal(rules_of(PV_AF_INET), 0);
    pv_hostnet_end(net);
}

/* Its own tries are no change of the host. */
PV_TEST(an_exit_that_cannot_be_used_is_tried_now_and_then)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    ip(test_given("tuntap add wgx mode tun link"));
    p.exit = p.exit4 = true;
    set(net, &p);
    assert_true(is_refused(net) && !ruleset_has("chain guard"));
    /* News of the new interfaces come for a while; then a second passes without any. */
    int quiet = 0;
    for (int i = 0; i < 200 && quiet < 10; i++) {
        struct pollfd fds[PV_HOSTNET_FDS];
        pv_hostnet_poll(net, fds);
        quiet = poll(fds, PV_HOSTNET_FDS, 100) > 0 ? 0 : quiet + 1;
        pv_hostnet_work(net, pv_clock_now());
    }
    assert_int_equal(quiet, 10);
    ip("link del dev wgx\n");
    work_until(net, is_used);
    pv_hostnet_end(net);
}

/* By the name of an abstract socket, for instance: anybody may have any. */
PV_TEST(no_user_of_the_machine_can_keep_it_from_using_an_exit)
{
    static const char name[] = "p2pvpn-exit";
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(un.sun_path + 1, name, sizeof(name) - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&un,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name))),
                     0);
    p.exit = p.exit4 = true;
    set(net, &p);
    assert_true(has_rules(net));
    pv_hostnet_end(net);
    close(fd);
}

/* What packets have shown before (hostcount.h). */
PV_TEST(names_docker_firewalld_and_else_a_firewall)
{
    const struct pv_netplan p = plan_of();
    char text[PV_NETPLAN_FAULT];
    pv_hostlook_forbids(&p, text);
    assert_has(text, "a firewall of this host drops them");
    nft(test_given("table ip filter chain"));
    pv_hostlook_forbids(&p, text);
    assert_has(text, "iptables -I DOCKER-USER -i p2p0 -j ACCEPT");
    nft("flush ruleset\n");
    nft(test_given("table inet firewalld chain"));
    pv_hostlook_forbids(&p, text);
    assert_has(text, "firewall-cmd");
    nft("flush ruleset\n");
}

/* No packet was dropped: nothing is said of a policy that would drop one. */
PV_TEST(says_nothing_of_rules_that_no_packet_met)
{
    struct pv_netplan_host host = {.n_lan = 0};
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    nft(test_given("table ip filter chain"));
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = true};
    set(net, &p);
    assert_true(pv_hostnet_report(net, false, &host));
    assert_string_equal(host.fault, "");
    assert_false(host.blocked);
    pv_hostnet_end(net);
    nft("flush ruleset\n");
}

/* A static peer's network is reached while an exit without IPv6 is used. */
PV_TEST(routes_of_static_peers_stay_beside_an_exit)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    struct pv_netplan_host host = {.n_lan = 0};
    ip("route add fd99::/48 dev p2p0\n");
    p.exit = p.exit4 = true;
    set(net, &p);
    size_t with = routes_in(PV_NETWORDS_TABLE);
    ip("route del fd99::/48 dev p2p0\n");
    set(net, &p);
    assert_int_equal(routes_in(PV_NETWORDS_TABLE), with - 1);
    assert_true(pv_hostnet_report(net, false, &host));
    assert_int_equal(host.n_overlaps, 0);
    pv_hostnet_end(net);
}

/* Nothing may look like an exit or an offer then. */
PV_TEST(without_nft_the_package_is_named)
{
    char error[PV_HOSTNET_ERROR_MAX], later[PV_HOSTNET_ERROR_MAX];
    struct pv_netplan_host host = {.n_lan = 0};
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    assert_int_equal(mount("/dev/null", "/usr/sbin/nft", NULL, MS_BIND, NULL), 0);
    p.exit = p.exit4 = p.exit_asked = true;
    int r = pv_hostnet_set(net, &p, error);
    p.exit = p.exit_asked = false;
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = true};
    int q = pv_hostnet_set(net, &p, later);
    bool told = pv_hostnet_report(net, false, &host);
    int forward = read_switch("ipv4/conf/lan0/forwarding");
    assert_int_equal(umount("/usr/sbin/nft"), 0);
    assert_int_equal(r, PV_ERR_NOT_FOUND);
    assert_has(error, "install nftables");
    assert_ok(q);
    assert_true(told);
    assert_has(host.fault, "install nftables");
    assert_int_equal(forward, 0);
    pv_hostnet_end(net);
}

/* Nobody says that nft is there now. */
PV_TEST(nft_that_is_installed_later_is_used)
{
    char error[PV_HOSTNET_ERROR_MAX];
    struct pv_netplan_host host = {.n_lan = 0};
    struct pv_hostnet *net = new_net();
    const struct pv_netplan p = plan_of();
    assert_int_equal(mount("/dev/null", "/usr/sbin/nft", NULL, MS_BIND, NULL), 0);
    int r = pv_hostnet_set(net, &p, error);
    bool told = pv_hostnet_report(net, false, &host);
    assert_int_equal(umount("/usr/sbin/nft"), 0);
    assert_ok(r);
    assert_true(told);
    assert_has(host.fault, "install nftables");
    work_until(net, has_table);
    assert_true(pv_hostnet_report(net, false, &host));
    assert_string_equal(host.fault, "");
    pv_hostnet_end(net);
}

static void write_script(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static bool is_quiet(struct pv_hostnet *net)
{
    struct pollfd p[PV_HOSTNET_FDS];
    pv_hostnet_poll(net, p);
    return pv_hostnet_timeout(net, pv_clock_now()) < 0 && poll(p, PV_HOSTNET_FDS, 0) == 0;
}

/* After the look at the host's networks and before the table is there the LAN changes, and we
 * change nothing afterwards that would make us look again. */
PV_TEST(a_change_while_nft_runs_is_seen)
{
    const char *script = test_given("nft that adds an address");
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    write_switch("ipv4/ip_forward", 1);
    write_switch("ipv6/conf/all/disable_ipv6", 1); /* whose addresses are probed for seconds */
    write_script("/run/nft", "");
    write_script("/run/nft.sh", script);
    assert_int_equal(mount("/usr/sbin/nft", "/run/nft", NULL, MS_BIND, NULL), 0);
    p.used[p.n_used++].prefix = test_prefix("192.168.7.0/24");
    set(net, &p);
    work_until(net, is_quiet);
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = false};
    assert_int_equal(mount("/run/nft.sh", "/usr/sbin/nft", NULL, MS_BIND, NULL), 0);
    set(net, &p);
    assert_int_equal(umount("/usr/sbin/nft"), 0);
    work_until(net, sees_the_lan);
    assert_true(has_table(net));
    p = no_plan();
    set(net, &p);
    pv_hostnet_end(net);
    write_switch("ipv6/conf/all/disable_ipv6", 0);
    write_switch("ipv4/ip_forward", 0);
    assert_int_equal(umount("/run/nft"), 0);
}

/* As docker does, started while a plan is carried out. */
PV_TEST(forwarding_that_others_want_while_nft_runs_is_seen)
{
    const char *script = test_given("nft that has others forward");
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of();
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = true};
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("fd77::/64"), .snat = true};
    set(net, &p);
    work_until(net, keeps_others_out_of_ipv6);
    write_script("/run/nft", "");
    write_script("/run/nft.sh", script);
    assert_int_equal(mount("/usr/sbin/nft", "/run/nft", NULL, MS_BIND, NULL), 0);
    assert_int_equal(mount("/run/nft.sh", "/usr/sbin/nft", NULL, MS_BIND, NULL), 0);
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.8.0/24"), .snat = false};
    set(net, &p);
    assert_int_equal(umount("/usr/sbin/nft"), 0);
    work_until(net, lets_all_pass);
    p = no_plan();
    set(net, &p);
    pv_hostnet_end(net);
    write_switch("ipv4/ip_forward", 0);
    write_switch("ipv6/conf/all/forwarding", 0);
    assert_int_equal(umount("/run/nft"), 0);
}

PV_TEST(a_helper_that_was_killed_is_cleaned_up_after)
{
    struct pv_hostnet *net = new_net();
    struct pv_netplan p = plan_of(), none = no_plan();
    p.exit = p.exit4 = true;
    p.offered[p.n_offered++] =
        (struct pv_netplan_offered){.prefix = test_prefix("192.168.1.0/24"), .snat = true};
    set(net, &p);
    /* As after SIGKILL: no end. The descriptors are closed by the kernel then. */
    struct pv_hostnet *dead = net;
    for (int fd = 3; fd < 64; fd++)
        (void)close(fd);
    net = new_net();
    set(net, &none);
    assert_false(has_table(net));
    assert_int_equal(rules_of(PV_AF_INET), 0);
    assert_int_equal(read_switch("ipv4/conf/lan0/forwarding"), 0);
    assert_int_equal(read_switch("ipv4/conf/all/src_valid_mark"), 0);
    pv_hostnet_end(net);
    free(dead);
}

static bool can_run(void)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    return geteuid() == 0 && access("/usr/sbin/nft", X_OK) == 0 &&
           access("/dev/net/tun", R_OK | W_OK) == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           pv_nftcmd_run("table inet t\ndelete table inet t\n", complaint) == PV_OK &&
           mount("tmpfs", "/run", "tmpfs", 0, NULL) == 0;
}

/* A new namespace has the IPv4 settings of the host's first one (net/ipv4/devinet.c in Linux), and
 * hosts with containers forward. */
static void forward_nothing(void)
{
    write_switch("ipv4/ip_forward", 0);
    write_switch("ipv4/conf/default/forwarding", 0);
}

void test_begin(void)
{
    if (!can_run())
        test_skip_all("needs root, nft, /dev/net/tun and namespaces");
    forward_nothing();
}
