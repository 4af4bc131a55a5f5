/* SPDX-License-Identifier: MIT */
/* A control process that was taken over: it has the helper's socket, and sends what it likes. In a
 * network namespace of its own; needs root. */
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/helper/helper_proto.h"
#include "sys/net/ipcmd.h"
#include "sys/net/unixsock.h"
#include "tests/unit/outer_filter.h"
#include "tests/unit/test_util.h"

#define IFNAME "pvh0"

enum {
    SNAPSHOT_MAX = 32768,
};

struct fixture {
    int fd;
    pid_t helper;
    struct pv_helper_request *req;
    struct pv_helper_reply reply;
    int got;   /* descriptors that came with the reply; they are closed */
    int giver; /* but this: without it the giver ends, and the helper with it; 0: none */
};

static struct fixture *f; /* of the test that runs */

static void echo(struct pv_view args, int out)
{
    (void)!write(out, args.ptr, args.len);
}

static void start(bool boxed)
{
    int pair[2];
    const pid_t daemon = getpid();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    f->helper = fork();
    if (f->helper == 0) {
        close(pair[0]);
        if (!boxed || enter_outer_filter())
            pv_helper_serve(pair[1], daemon, echo);
        _exit(0);
    }
    close(pair[1]);
    f->fd = pair[0];
}

static int setup(void **state)
{
    f = calloc(1, sizeof(*f));
    f->req = calloc(1, sizeof(*f->req));
    start(false);
    return 0;
}

static int setup_boxed(void **state)
{
    f = calloc(1, sizeof(*f));
    f->req = calloc(1, sizeof(*f->req));
    start(true);
    return 0;
}

static int teardown(void **state)
{
    int status = 0;
    close(f->fd);
    if (f->giver > 0)
        close(f->giver);
    waitpid(f->helper, &status, 0);
    free(f->req);
    free(f);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* A task that has not run yet has the descriptors of its parent, that of the interface, too: the
 * helper of the next test would find its name in use. */
static void wait_for_task(int fd)
{
    uint8_t said[64];
    while (read(fd, said, sizeof(said)) > 0)
        ;
}

/* Sends f->req as it is; the answer's status. */
static int ask(void)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(PV_HELPER_MAX_FDS * sizeof(int))];
    struct iovec iov = {.iov_base = &f->reply, .iov_len = sizeof(f->reply)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    assert_int_equal(send(f->fd, f->req, sizeof(*f->req), 0), sizeof(*f->req));
    assert_int_equal(recvmsg(f->fd, &msg, 0), sizeof(f->reply));
    f->got = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        int fds[PV_HELPER_MAX_FDS];
        f->got = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)f->got * sizeof(int));
        for (int i = 0; i < f->got; i++) {
            if (f->req->kind == PV_HELPER_TASK)
                wait_for_task(fds[i]);
            if (f->req->kind == PV_HELPER_ENTER)
                f->giver = fds[i];
            else
                close(fds[i]);
        }
    }
    return f->reply.status;
}

static struct pv_helper_request *blank(uint32_t kind)
{
    memset(f->req, 0, sizeof(*f->req));
    f->req->kind = kind;
    return f->req;
}

static int sandbox(void)
{
    snprintf(blank(PV_HELPER_SANDBOX)->fixed.ifname, PV_TUN_NAME, IFNAME);
    return ask();
}

static int open_port(void)
{
    struct pv_helper_request *req = blank(PV_HELPER_OPEN_UDP);
    req->udp_port = 23457;
    req->udp_sockets = 1;
    return ask();
}

static struct pv_prefix prefix(const char *ip, uint8_t bits)
{
    struct pv_prefix p = {.bits = bits};
    p.base = test_ip(ip);
    return p;
}

/* One that a daemon could ask for. */
static struct pv_helper_iface *good_iface(void)
{
    struct pv_helper_iface *i = &blank(PV_HELPER_IFACE_UP)->iface;
    i->addrs[0] = prefix("10.66.1.2", 16);
    i->n_addrs = 1;
    i->mtu = 1420;
    i->queues = 1;
    return i;
}

/* --- phases -------------------------------------------------------------------------------- */

static void every_request_but_these_is_refused(const uint32_t *open, size_t n)
{
    static const uint32_t more[] = {1000, UINT32_MAX, 0x80000001};
    for (uint32_t i = 0; i < 64 + PV_ARRAY_LEN(more); i++) {
        uint32_t kind = i < 64 ? i : more[i - 64];
        bool is_open = false;
        for (size_t k = 0; k < n; k++)
            is_open = is_open || open[k] == kind;
        if (is_open)
            continue;
        good_iface()->mtu = 1420; /* with values that another phase would take */
        f->req->kind = kind;
        f->req->udp_port = 23458;
        f->req->udp_sockets = 1;
        snprintf(f->req->notify, sizeof(f->req->notify), "/bin/sh -c id");
        snprintf(f->req->socket, sizeof(f->req->socket), "/tmp/socket");
        snprintf(f->req->names, sizeof(f->req->names), "/etc/passwd");
        snprintf(f->req->fixed.ifname, sizeof(f->req->fixed.ifname), "eth9");
        int status = ask();
        if (status != (kind >= 1 && kind < PV_HELPER_KINDS ? PV_ERR_STATE : -EINVAL) || f->got != 0)
            fail_msg("request %u: %d, %d descriptors: %s", kind, status, f->got, f->reply.error);
    }
}

static void go_through_the_phases(void)
{
    static const uint32_t fix[] = {PV_HELPER_FILES,  PV_HELPER_NOTIFY, PV_HELPER_SANDBOX,
                                   PV_HELPER_SECOND, PV_HELPER_ENTER,  PV_HELPER_STACK};
    static const uint32_t port[] = {PV_HELPER_OPEN_UDP};
    static const uint32_t run[] = {PV_HELPER_IFACE_UP, PV_HELPER_IFACE_DOWN, PV_HELPER_NAMES,
                                   PV_HELPER_OPEN_DNS, PV_HELPER_TASK,       PV_HELPER_NETPLAN};
    every_request_but_these_is_refused(fix, PV_ARRAY_LEN(fix));
    assert_ok(sandbox());
    every_request_but_these_is_refused(port, PV_ARRAY_LEN(port));
    assert_ok(open_port());
    every_request_but_these_is_refused(run, PV_ARRAY_LEN(run));
    /* The requests that a running daemon needs are served. */
    good_iface();
    assert_ok(ask());
    assert_int_equal(f->got, 1);
    blank(PV_HELPER_TASK)->args_len = 3;
    assert_ok(ask());
    blank(PV_HELPER_IFACE_DOWN);
    assert_ok(ask());
}

PV_TEST_IN(each_phase_has_its_requests_alone, setup, teardown)
{
    go_through_the_phases();
}

/* No list of calls keeps the helper from anything there: its own table has to. */
PV_TEST_IN(the_phases_hold_where_no_list_of_calls_can_be_installed, setup_boxed, teardown)
{
    go_through_the_phases();
}

/* The UDP port, files and programs are the first helper's, which is outside. */
PV_TEST_IN(a_helper_in_the_inside_serves_what_is_about_the_interface, setup, teardown)
{
    static const uint32_t run[] = {PV_HELPER_IFACE_UP, PV_HELPER_IFACE_DOWN, PV_HELPER_OPEN_DNS,
                                   PV_HELPER_NETPLAN, PV_HELPER_TASK};
    blank(PV_HELPER_ENTER);
    int r = ask();
    if (r == -EPERM || r == -ENOSPC)
        skip();
    assert_ok(r);
    assert_int_equal(f->got, 1);
    blank(PV_HELPER_ENTER);
    assert_int_equal(ask(), PV_ERR_STATE);
    blank(PV_HELPER_SECOND);
    assert_int_equal(ask(), PV_ERR_STATE);
    assert_ok(sandbox());
    every_request_but_these_is_refused(run, PV_ARRAY_LEN(run));
}

PV_TEST_IN(a_list_of_others_is_not_told_as_ours, setup_boxed, teardown)
{
    assert_ok(sandbox());
    assert_has(f->reply.error, ", no seccomp,");
}

/* The control run: the same request, at its time, starts that program's process. */
PV_TEST_IN(notify_is_served_before_and_never_after, setup, teardown)
{
    snprintf(blank(PV_HELPER_NOTIFY)->notify, sizeof(f->req->notify), "/bin/sh");
    assert_ok(ask());
    assert_int_equal(f->got, 1);
    assert_ok(sandbox());
    assert_ok(open_port());
    snprintf(blank(PV_HELPER_NOTIFY)->notify, sizeof(f->req->notify), "/bin/sh");
    assert_int_equal(ask(), PV_ERR_STATE);
}

PV_TEST_IN(fixed_settings_are_checked, setup, teardown)
{
    static const char *const names[] = {"",    "eth0#", "a b",     "a/b", "-a",     ".",
                                        "..",  "p%d",   "a:b",     "a*",  "p\"",    "p;q",
                                        "all", "p\n",   "default", "p@q", "p2p\x80"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        snprintf(blank(PV_HELPER_SANDBOX)->fixed.ifname, PV_TUN_NAME, "%s", names[i]);
        assert_int_equal(ask(), -EINVAL);
    }
    memset(blank(PV_HELPER_SANDBOX)->fixed.ifname, 'a', PV_TUN_NAME); /* no end */
    assert_int_equal(ask(), -EINVAL);
    snprintf(blank(PV_HELPER_SANDBOX)->fixed.ifname, PV_TUN_NAME, IFNAME);
    f->req->fixed.n_ranges = SIZE_MAX;
    assert_int_equal(ask(), -EINVAL);
    f->req->fixed.n_ranges = 1;
    f->req->fixed.ranges[0] = prefix("0.0.0.0", 0);
    assert_int_equal(ask(), -EINVAL);
    /* A port of root's is opened when the settings name it. */
    f->req->fixed.n_ranges = 0;
    f->req->fixed.udp_port = 601;
    assert_ok(ask());
    assert_int_equal(open_port(), -EINVAL);
    blank(PV_HELPER_OPEN_UDP)->udp_port = 601;
    f->req->udp_sockets = 1;
    assert_ok(ask());
}

/* --- values -------------------------------------------------------------------------------- */

static char *look(const char *commands)
{
    char *text = calloc(1, SNAPSHOT_MAX);
    FILE *p = popen(commands, "r");
    assert_non_null(text);
    assert_non_null(p);
    size_t n = fread(text, 1, SNAPSHOT_MAX - 1, p);
    assert_true(n > 0 && n < SNAPSHOT_MAX - 1);
    pclose(p);
    return text;
}

/* The network of the host but for the one interface. */
static char *look_at_host(void)
{
    return look(test_given("ip -o addr ip -o link ip route"));
}

static void add_uplink(void)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    assert_ok(pv_ipcmd_run(test_given("link add eth9 type veth peer"), complaint));
    /* The kernel says a moment later that both ends have their carrier. */
    free(look(test_given("n while n -gt do ip -o link")));
}

static void remove_uplink(void)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    assert_ok(pv_ipcmd_run("link del dev eth9\n", complaint));
}

static uint64_t rnd(uint64_t *x) /* xorshift64 */
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* Prefixes that somebody would want, as they are or with other lengths; now and then no prefix. */
static struct pv_prefix any_prefix(uint64_t *x)
{
    static const char *const ips[] = {"10.66.1.2",   "10.0.0.0",  "192.168.9.2", "192.168.9.0",
                                      "192.168.9.1", "0.0.0.0",   "128.0.0.0",   "9.9.9.9",
                                      "127.0.0.1",   "224.0.0.1", "172.16.0.1",  "169.254.1.1",
                                      "fd12::1",     "::",        "2000::",      "fe80::1",
                                      "::1",         "ff02::1",   "fc00::",      "255.255.255.255"};
    static const uint8_t lengths[] = {0, 1, 7, 8, 16, 24, 32, 64, 128, 255};
    struct pv_prefix p =
        prefix(ips[rnd(x) % PV_ARRAY_LEN(ips)], lengths[rnd(x) % PV_ARRAY_LEN(lengths)]);
    if (rnd(x) % 16 == 0)
        p.base.port = 53;
    if (rnd(x) % 16 == 0)
        p.base.family = (uint16_t)rnd(x);
    return p;
}

static void any_iface(uint64_t *x)
{
    static const char *const zones[] = {"", "home", "a-b", "-d", "~com", "a b", "..", "com.evil"};
    struct pv_helper_iface *i = good_iface();
    if (rnd(x) % 3 == 0)
        i->addrs[i->n_addrs++] = any_prefix(x);
    if (rnd(x) % 3 == 0)
        i->routes[i->n_routes++] = any_prefix(x);
    if (rnd(x) % 32 == 0)
        i->n_addrs = SIZE_MAX;
    if (rnd(x) % 32 == 0)
        i->n_routes = SIZE_MAX;
    if (rnd(x) % 8 == 0)
        i->mtu = (uint16_t)rnd(x);
    if (rnd(x) % 8 == 0)
        i->queues = (uint8_t)rnd(x);
    if (rnd(x) % 4 == 0)
        snprintf(i->zone, sizeof(i->zone), "%s", zones[rnd(x) % PV_ARRAY_LEN(zones)]);
    if (rnd(x) % 32 == 0)
        memset(i->zone, 'a', sizeof(i->zone)); /* no end */
}

static void any_bytes(uint64_t *x)
{
    uint8_t *bytes = (uint8_t *)f->req;
    uint32_t kind = PV_HELPER_OPEN_UDP + (uint32_t)(rnd(x) % PV_HELPER_KINDS);
    for (size_t i = 0; i < sizeof(*f->req); i++)
        bytes[i] = (uint8_t)rnd(x);
    f->req->kind = kind;
}

/* Everything that names the interface, and nothing of what it may not have. */
static void check_interface(void)
{
    FILE *p = popen("{ ip -4 route show table main dev " IFNAME
                    "; ip -6 route show table main dev " IFNAME "; } 2>/dev/null",
                    "r");
    char line[256];
    assert_non_null(p);
    while (fgets(line, sizeof(line), p) != NULL) {
        struct pv_prefix dst;
        line[strcspn(line, " \n")] = '\0';
        /* `ip` leaves out the length of a whole address. */
        bool whole = strchr(line, '/') == NULL && pv_addr_parse_ip(line, &dst.base) == PV_OK;
        dst.bits = (uint8_t)(whole ? pv_addr_ip_len(&dst.base) * 8 : 0);
        if ((!whole && pv_prefix_parse(line, &dst) < 0) || !pv_netplan_is_target(&dst))
            fail_msg("a route to %s", line);
    }
    pclose(p);
}

PV_TEST_IN(no_values_reach_anything_but_the_interface, setup, teardown)
{
    uint64_t x = 0x9e3779b97f4a7c15;
    unsigned served = 0, refused = 0;
    add_uplink();
    assert_ok(sandbox());
    assert_ok(open_port());
    char *before = look_at_host();
    for (int i = 0; i < 400; i++) {
        if (i % 4 != 0)
            any_iface(&x);
        else
            any_bytes(&x);
        if (ask() == PV_OK && f->req->kind == PV_HELPER_IFACE_UP)
            served++;
        else
            refused++;
        if (i % 40 == 0)
            check_interface();
    }
    assert_true(served > 30 && refused > 100); /* or the values say nothing */
    check_interface();
    char *after = look_at_host();
    assert_string_equal(after, before);
    free(before);
    free(after);
    remove_uplink();
}

/* Attacks that were seen to work before there was one check: each with the interface up. */
PV_TEST_IN(attacks_tried_by_others_are_refused, setup, teardown)
{
    static const struct {
        const char *addr, *route;
        uint8_t addr_bits, route_bits;
    } rows[] = {
        {"9.9.9.9", NULL, 32, 0},          {"10.66.1.2", "0.0.0.0", 16, 1},
        {"10.66.1.2", "128.0.0.0", 16, 1}, {"192.0.2.7", NULL, 24, 0},
        {"10.66.1.2", "8000::", 16, 1},    {"192.168.9.7", NULL, 24, 0},
        {"192.168.9.7", NULL, 32, 0},      {"192.168.0.1", NULL, 16, 0},
        {"10.66.1.2", "224.0.0.0", 16, 8},
    };
    add_uplink();
    assert_ok(sandbox());
    assert_ok(open_port());
    good_iface();
    assert_ok(ask());
    char *before = look_at_host();
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_helper_iface *want = good_iface();
        want->addrs[0] = prefix(rows[i].addr, rows[i].addr_bits);
        if (rows[i].route != NULL)
            want->routes[want->n_routes++] = prefix(rows[i].route, rows[i].route_bits);
        if (ask() >= 0)
            fail_msg("%s and %s were set", rows[i].addr, rows[i].route);
        blank(PV_HELPER_OPEN_DNS)->dns = prefix(rows[i].addr, 32).base;
        if (strcmp(rows[i].addr, "10.66.1.2") != 0)
            assert_int_equal(ask(), -EINVAL);
    }
    char *after = look_at_host();
    assert_string_equal(after, before);
    free(before);
    free(after);
    remove_uplink();
}

/* A network that the host reaches by a router is no network that it is in. */
PV_TEST_IN(routes_that_others_have_set_stay, setup, teardown)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    add_uplink();
    assert_ok(pv_ipcmd_run("addr add fd09::2/64 dev eth9 nodad\n"
                           "route add 10.20.0.0/16 via 192.168.9.1\n"
                           "route add fd20::/32 via fd09::1\n",
                           complaint));
    assert_ok(sandbox());
    assert_ok(open_port());
    char *before = look_at_host();
    struct pv_helper_iface *want = good_iface();
    want->routes[0] = prefix("10.20.0.0", 16);
    want->routes[1] = prefix("fd20::", 32);
    want->routes[2] = prefix("10.21.0.0", 16);
    want->n_routes = 3;
    assert_ok(ask());
    assert_has(f->reply.error, "fd20::/32");
    char *during = look("ip route show dev " IFNAME);
    assert_has(during, "10.21.0.0/16");
    assert_ok(ask()); /* ours is no other's */
    blank(PV_HELPER_IFACE_DOWN);
    assert_ok(ask());
    char *after = look_at_host();
    assert_string_equal(after, before);
    free(before);
    free(during);
    free(after);
    remove_uplink();
}

/* More of them than one request can name would be there in the end. */
PV_TEST_IN(no_route_is_left_of_a_request_that_names_one_twice, setup, teardown)
{
    assert_ok(sandbox());
    assert_ok(open_port());
    struct pv_helper_iface *want = good_iface();
    want->routes[0] = want->routes[1] = prefix("10.20.0.0", 16);
    want->routes[2] = prefix("10.21.0.0", 16);
    want->n_routes = 3;
    assert_ok(ask());
    good_iface();
    assert_ok(ask());
    char *after = look("ip route show dev " IFNAME);
    assert_lacks(after, "10.21.0.0/16");
    free(after);
}

static int set_members(const char *ip, uint8_t bits)
{
    struct pv_netplan *plan = &blank(PV_HELPER_NETPLAN)->plan;
    *plan = (struct pv_netplan){.ifname = IFNAME};
    *(strchr(ip, ':') == NULL ? &plan->overlay4 : &plan->overlay6) = prefix(ip, bits);
    return ask();
}

static bool drops(const char *range)
{
    char *text = look("nft list ruleset; echo");
    bool found = strstr(text, PV_STR("saddr %s counter", range)) != NULL;
    free(text);
    return found;
}

/* Packets with members' addresses that come by another interface are dropped: the host would lose
 * whatever network a plan calls members'. */
PV_TEST_IN(no_network_of_the_hosts_is_called_members, setup, teardown)
{
    static const struct {
        const char *ip, *range;
        uint8_t bits;
    } rows[] = {{"192.168.9.0", "192.168.9.0/24", 24}, {"192.168.9.1", "192.168.9.1", 32},
                {"192.168.0.0", "192.168.0.0/16", 16}, {"fd09::", "fd09::/64", 64},
                {"8.0.0.0", "8.0.0.0/8", 8},           {"2000::", "2000::/16", 16}};
    char complaint[PV_IPCMD_ERROR_MAX];
    if (system("command -v nft >/dev/null") != 0)
        skip();
    add_uplink();
    assert_ok(pv_ipcmd_run("addr add fd09::2/64 dev eth9 nodad\n", complaint));
    assert_ok(sandbox());
    assert_ok(open_port());
    for (size_t up = 0; up < 2; up++) {
        for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
            assert_int_equal(set_members(rows[i].ip, rows[i].bits) == PV_OK, i < 4);
            if (drops(rows[i].range))
                fail_msg("%s is dropped", rows[i].range);
        }
        assert_ok(set_members("10.66.0.0", 16));
        assert_true(drops("10.66.0.0/16"));
        good_iface();
        assert_ok(ask());
    }
    /* A LAN that this host comes into later does not end what the interface has. */
    assert_ok(pv_ipcmd_run("addr add 10.66.9.9/24 dev eth9\n", complaint));
    assert_ok(set_members("10.66.0.0", 16));
    assert_true(drops("10.66.0.0/16"));
    remove_uplink();
}

/* Of the helper, once it has finished with the request before. */
static size_t count_fds(void)
{
    char *text;
    blank(0);
    assert_int_equal(ask(), -EINVAL);
    text = look(PV_STR("ls /proc/%d/fd | wc -l", f->helper));
    size_t n = strtoul(text, NULL, 10);
    free(text);
    return n;
}

static void send_with(int pass)
{
    struct pv_helper_reply reply;
    size_t n = 0;
    assert_ok(pv_unix_write(f->fd, pv_view(f->req, sizeof(*f->req)), pass, &n));
    assert_int_equal(recv(f->fd, &reply, sizeof(reply), 0), sizeof(reply));
    f->reply = reply;
}

/* Pipes that nobody writes to, directories, devices, its own socket: none is read, waited for or
 * kept, with whatever request it comes. */
PV_TEST_IN(no_descriptor_that_comes_along_leads_anywhere, setup, teardown)
{
    int pipe_ends[2], pair[2];
    char dir[] = "/tmp/pvhostile.XXXXXX";
    assert_non_null(mkdtemp(dir));
    blank(PV_HELPER_FILES);
    snprintf(f->req->socket, sizeof(f->req->socket), "%s", dir);
    snprintf(f->req->names, sizeof(f->req->names), "%s/a.names", dir);
    assert_ok(ask());
    assert_ok(sandbox());
    assert_ok(open_port());
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    const int passed[] = {pipe_ends[0],
                          pair[0],
                          f->fd,
                          open("/", O_RDONLY | O_DIRECTORY),
                          open("/dev/zero", O_RDWR),
                          open("/etc/passwd", O_RDONLY),
                          open("/etc/passwd", O_PATH),
                          open("/dev/net/tun", O_RDWR),
                          socket(AF_INET, SOCK_STREAM, 0)};
    size_t before = count_fds();
    for (size_t i = 0; i < PV_ARRAY_LEN(passed); i++) {
        blank(PV_HELPER_NAMES);
        send_with(passed[i]);
        assert_true(f->reply.status < 0);
        for (uint32_t kind = 0; kind < PV_HELPER_KINDS; kind++) {
            if (kind == PV_HELPER_TASK) /* it has descriptors of its own until it ends */
                continue;
            blank(kind);
            send_with(passed[i]);
        }
    }
    assert_int_equal(count_fds(), before);
    assert_int_equal(rmdir(dir), 0); /* no names were written */
    for (size_t i = 0; i < PV_ARRAY_LEN(passed); i++)
        if (passed[i] != f->fd)
            close(passed[i]);
    close(pipe_ends[1]);
    close(pair[1]);
}

/* A daemon that was taken over can give its end to a process that stays. */
PV_TEST_IN(helper_and_notifier_end_with_the_daemon_whoever_has_the_sockets, setup, teardown)
{
    const int own = f->fd;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid_t daemon = fork();
    if (daemon == 0) {
        close(pair[0]);
        const pid_t own_pid = getpid();
        if (fork() == 0) {
            pv_helper_serve(pair[1], own_pid, echo);
            _exit(0);
        }
        for (;;)
            pause();
    }
    close(pair[1]);
    f->fd = pair[0];
    snprintf(blank(PV_HELPER_NOTIFY)->notify, sizeof(f->req->notify), "/bin/true");
    assert_int_equal(send(f->fd, f->req, sizeof(*f->req), 0), sizeof(*f->req));
    struct pollfd p[2] = {{.fd = f->fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    size_t n = 0;
    assert_int_equal(poll(p, 1, 20000), 1); /* it runs */
    assert_ok(pv_unix_read(f->fd, &f->reply, sizeof(f->reply), &n, &p[1].fd));
    assert_true(p[1].fd >= 0);
    f->fd = own;
    assert_int_equal(kill(daemon, SIGKILL), 0);
    assert_int_equal(waitpid(daemon, NULL, 0), daemon);
    for (size_t i = 0; i < PV_ARRAY_LEN(p); i++) {
        assert_int_equal(poll(&p[i], 1, 20000), 1); /* its end is closed */
        close(p[i].fd);
    }
}

/* A plan is carried out, and no more: routes through the one interface, to whatever it names. */
PV_TEST_IN(plans_leave_the_hosts_own_networks_alone, setup, teardown)
{
    static const char look_at[] = "{ ip -o addr; ip route; ip -6 route; } | grep -vw " IFNAME;
    uint64_t x = 0x2545f4914f6cdd1d;
    unsigned served = 0;
    add_uplink();
    assert_ok(sandbox());
    assert_ok(open_port());
    good_iface();
    assert_ok(ask());
    char *before = look(look_at);
    for (int i = 0; i < 240; i++) {
        struct pv_netplan plan = {.ifname = IFNAME, .n_used = 1, .exit_lan = (uint8_t)i};
        plan.used[0] = (struct pv_netplan_used){any_prefix(&x), (uint32_t)(rnd(&x) % 3)};
        if (i % 4 == 0) /* the first one too: it could say for good what plans are about */
            snprintf(plan.ifname, sizeof(plan.ifname), i % 8 == 0 ? "eth9" : "lo");
        blank(PV_HELPER_NETPLAN)->plan = plan;
        int status = ask();
        served += status == PV_OK ? 1 : 0;
        assert_int_equal(status == PV_OK,
                         strcmp(plan.ifname, IFNAME) == 0 && pv_netplan_check(&plan) == PV_OK);
        char *after = look(look_at);
        assert_string_equal(after, before);
        free(after);
    }
    assert_true(served > 3);
    check_interface();
    free(before);
    remove_uplink();
}

void test_begin(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
        test_skip_all("needs root");
}
