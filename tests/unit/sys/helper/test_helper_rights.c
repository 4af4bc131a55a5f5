/* SPDX-License-Identifier: MIT */
/* The descriptors that the helper keeps for the daemon, and what it may still do when it is
 * sandboxed. In a network namespace of its own; needs root. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/names.h"
#include "sys/helper/helper.h"
#include "sys/helper/helper_proto.h"
#include "sys/net/unixsock.h"
#include "sys/proc/sandbox.h"
#include "tests/unit/helper_ready.h"
#include "tests/unit/test_util.h"

struct fixture {
    char dir[32], socket[64], names[64];
    struct pv_helper *helper;
};

static struct fixture *f; /* of the test that runs */

static void try_in_task(char what, int out);

static void say_who(struct pv_view args, int out)
{
    char text[32];
    if (args.len == 2) {
        try_in_task((char)args.ptr[1], out);
        return;
    }
    int n = snprintf(text, sizeof(text), "%u %zu", (unsigned)getuid(), args.len);
    if (write(out, text, (size_t)n) < 0)
        _exit(1);
}

static int setup(void **state)
{
    f = calloc(1, sizeof(*f));
    int fd = -1;
    snprintf(f->dir, sizeof(f->dir), "/tmp/pvhelper.XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    snprintf(f->socket, sizeof(f->socket), "%s/s", f->dir);
    snprintf(f->names, sizeof(f->names), "%s/p.names", f->dir);
    int r = pv_unix_listen(f->socket, NULL, &fd);
    if (r == PV_OK)
        close(fd);
    return r | pv_helper_start(&f->helper, say_who);
}

static int teardown(void **state)
{
    pv_helper_stop(f->helper);
    unlink(f->socket);
    unlink(f->names);
    int r = rmdir(f->dir);
    free(f);
    return r;
}

PV_TEST_WORLD(setup, teardown);

/* A names file of one member; "" names none. */
static struct pv_view names_of(const char *name, struct pv_addr ip4)
{
    static uint8_t buf[PV_NAMES_SIZE(1)];
    struct pv_names_entry e = {.ip4 = ip4};
    snprintf(e.name, sizeof(e.name), "%s", name);
    assert_ok(pv_names_build("home", &e, name[0] == '\0' ? 0 : 1, buf, sizeof(buf)));
    return pv_view(buf, PV_NAMES_SIZE(name[0] == '\0' ? 0 : 1));
}

static int write_names(const char *name, bool recent)
{
    char error[PV_HELPER_ERROR_MAX];
    return pv_helper_write_names(f->helper, names_of(name, pv_addr4(10, 66, 1, 2, 0)), recent,
                                 error);
}

/* The file names this member. */
static void assert_names(const char *want)
{
    uint8_t got[2 * PV_NAMES_SIZE(1)];
    struct pv_names names;
    struct pv_names_entry e;
    struct stat st;
    int fd = open(f->names, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    ssize_t n = read(fd, got, sizeof(got));
    assert_true(n > 0);
    assert_ok(pv_names_open(pv_view(got, (size_t)n), &names));
    assert_ok(pv_names_by_name(&names, want, &e));
    close(fd);
}

PV_TEST(names_and_socket_are_fixed_once)
{
    char error[PV_HELPER_ERROR_MAX];
    assert_int_equal(pv_helper_fix_files(f->helper, "/no/such", f->names, -1, error), -ENOENT);
    assert_ok(pv_helper_fix_files(f->helper, f->socket, f->names, -1, error));
    assert_int_equal(pv_helper_fix_files(f->helper, f->socket, "/etc/passwd", -1, error),
                     PV_ERR_STATE);
    assert_ok(helper_ready(f->helper, "pvd0"));
    assert_ok(write_names("one", false));
    assert_names("one");
    assert_ok(write_names("two", false));
    assert_names("two");
    char recent[sizeof(f->names) + 8];
    snprintf(recent, sizeof(recent), "%.*s.recent.names", (int)strlen(f->names) - 6, f->names);
    for (int i = 0; i < 2; i++) { /* the whole file, or the end of both, ends the small one */
        assert_ok(write_names("new", true));
        assert_names("two");
        assert_int_equal(access(recent, F_OK), 0);
        if (i == 0)
            assert_ok(write_names("two", false));
        else
            assert_ok(pv_helper_write_names(f->helper, pv_view(NULL, 0), false, error));
        assert_int_equal(access(recent, F_OK), -1);
    }
    assert_int_equal(access(f->names, F_OK), -1);
    /* Its end is the end of the socket, but for one that another daemon has made. */
    f->helper = pv_helper_stop(f->helper);
    assert_int_equal(access(f->socket, F_OK), -1);
}

/* A process that was taken over would lead other programs to servers of its own. */
PV_TEST(names_are_only_of_addresses_that_the_interface_may_have)
{
    static const struct {
        struct pv_addr ip;
        int status;
    } rows[] = {
        {{.family = PV_AF_INET, .ip = {192, 168, 1, 2}}, PV_OK},
        {{.family = PV_AF_INET, .ip = {198, 51, 100, 7}}, PV_ERR_MALFORMED},
        {{.family = PV_AF_INET, .ip = {127, 0, 0, 1}}, PV_ERR_MALFORMED},
    };
    char error[PV_HELPER_ERROR_MAX];
    assert_ok(pv_helper_fix_files(f->helper, f->socket, f->names, -1, error));
    assert_ok(helper_ready(f->helper, "pvd0"));
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_view bytes = names_of("bank", rows[i].ip);
        assert_int_equal(pv_helper_write_names(f->helper, bytes, false, error), rows[i].status);
    }
    assert_int_equal(pv_helper_write_names(f->helper, pv_view("junk", 4), false, error),
                     PV_ERR_MALFORMED);
    assert_names("bank"); /* the first one is kept */
}

/* Its clients would find nobody, and a second daemon would find the state in use. */
PV_TEST(a_socket_that_somebody_removed_is_made_again)
{
    char error[PV_HELPER_ERROR_MAX];
    uint8_t byte;
    size_t n = 0;
    int usher[2], fd = -1, client = -1;
    struct stat before, after;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, usher), 0);
    assert_ok(pv_helper_fix_files(f->helper, f->socket, f->names, usher[1], error));
    assert_ok(helper_ready(f->helper, "pvd0"));
    assert_int_equal(lstat(f->socket, &before), 0);
    assert_int_equal(unlink(f->socket), 0);
    assert_int_equal(poll(&(struct pollfd){.fd = usher[0], .events = POLLIN}, 1, 10000), 1);
    assert_ok(pv_unix_read(usher[0], &byte, sizeof(byte), &n, &fd));
    assert_true(fd >= 0);
    assert_int_equal(lstat(f->socket, &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_gid, before.st_gid);
    assert_ok(pv_unix_connect(f->socket, &client));
    close(client);
    close(fd);
    f->helper = pv_helper_stop(f->helper);
    assert_int_equal(access(f->socket, F_OK), -1);
    close(usher[0]);
    close(usher[1]);
}

/* A new socket often has the inode of the one that it replaced: only its time is another. */
PV_TEST(a_later_socket_with_the_same_inode_stays)
{
    const struct timespec later[] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 4000000000}};
    char error[PV_HELPER_ERROR_MAX];
    assert_ok(pv_helper_fix_files(f->helper, f->socket, f->names, -1, error));
    assert_int_equal(utimensat(AT_FDCWD, f->socket, later, AT_SYMLINK_NOFOLLOW), 0);
    f->helper = pv_helper_stop(f->helper);
    assert_int_equal(access(f->socket, F_OK), 0);
}

PV_TEST(a_socket_of_another_daemon_stays)
{
    char error[PV_HELPER_ERROR_MAX];
    int fd = -1;
    assert_ok(pv_helper_fix_files(f->helper, f->socket, f->names, -1, error));
    const char *aside = PV_STR("%s/aside", f->dir);
    assert_int_equal(rename(f->socket, aside), 0);
    assert_ok(pv_unix_listen(f->socket, NULL, &fd));
    f->helper = pv_helper_stop(f->helper);
    assert_int_equal(access(f->socket, F_OK), 0);
    close(fd);
    unlink(aside);
}

PV_TEST(the_name_servers_port_is_opened_at_own_addresses_only)
{
    struct pv_helper_iface iface = {.n_addrs = 1, .mtu = 1420, .queues = 1};
    struct pv_addr other = pv_addr4(127, 0, 0, 1, 53);
    char error[PV_HELPER_ERROR_MAX];
    struct pv_tun tun = {.n = 0};
    int fd = -1;
    iface.addrs[0] = (struct pv_prefix){.base = pv_addr4(10, 77, 1, 2, 0), .bits = 16};
    assert_ok(helper_ready(f->helper, "pvd0"));
    assert_int_equal(pv_helper_open_dns(f->helper, &iface.addrs[0].base, false, &fd, error),
                     -EINVAL);
    assert_ok(pv_helper_iface_up(f->helper, &iface, &tun, error));
    assert_int_equal(pv_helper_open_dns(f->helper, &other, true, &fd, error), -EINVAL);
    assert_ok(pv_helper_open_dns(f->helper, &iface.addrs[0].base, false, &fd, error));
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(ntohs(at.sin_port), 53);
    close(fd);
    pv_tun_close(&tun);
}

/* With nft and ip in the same cage; where there is no nft, there is nothing to set. */
static void set_plans(void)
{
    struct pv_netplan p = {.n_used = 1, .exit = true, .exit4 = true, .n_offered = 1};
    struct pv_netplan_host host;
    char error[PV_HELPER_ERROR_MAX];
    int events = -1;
    if (access("/usr/sbin/nft", X_OK) < 0)
        return;
    snprintf(p.ifname, sizeof(p.ifname), "pvd1");
    p.overlay4 = (struct pv_prefix){.base = pv_addr4(10, 78, 0, 0, 0), .bits = 16};
    p.used[0].prefix = (struct pv_prefix){.base = pv_addr4(192, 168, 77, 0, 0), .bits = 24};
    p.offered[0].prefix = (struct pv_prefix){.base = pv_addr4(192, 168, 78, 0, 0), .bits = 24};
    int r = pv_helper_netplan(f->helper, &p, &events, error);
    assert_string_equal(error, "");
    assert_ok(r);
    assert_true(events >= 0);
    assert_ok(pv_helper_netplan_event(events, &host));
    assert_string_equal(host.fault, "");
    assert_int_equal(pv_helper_netplan_event(events, &host), PV_ERR_AGAIN);
    p.exit = false;
    p.n_used = p.n_offered = 0;
    assert_ok(pv_helper_netplan(f->helper, &p, NULL, error));
    snprintf(p.ifname, sizeof(p.ifname), "other"); /* one interface, one table */
    assert_int_equal(pv_helper_netplan(f->helper, &p, NULL, error), PV_ERR_STATE);
    close(events);
}

/* All that the daemon asks for still works. */
PV_TEST(a_sandboxed_helper_does_its_work)
{
    struct pv_helper_iface iface = {.n_addrs = 1, .mtu = 1420, .queues = 2};
    char error[PV_HELPER_ERROR_MAX], text[PV_HELPER_ERROR_MAX], got[32] = "";
    struct pv_sandbox_user own;
    struct pv_tun tun = {.n = 0};
    struct pv_udp_group group;
    int fd = -1;
    iface.addrs[0] = (struct pv_prefix){.base = pv_addr4(10, 78, 1, 2, 0), .bits = 16};
    assert_ok(pv_helper_fix_files(f->helper, f->socket, f->names, -1, error));
    const struct pv_helper_fixed fixed = {.uid = 61300, .ifname = "pvd1", .udp_port = 600};
    assert_ok(pv_helper_sandbox(f->helper, &fixed, text));
    assert_ok(pv_sandbox_spare_user("p2pvpn-task", &own));
    assert_has(text, "CAP_NET_ADMIN");
    assert_has(text, "no new privileges");
    assert_has(text, ", seccomp, ");
    assert_int_equal(pv_helper_open_udp(f->helper, 53, 1, &group, error), -EINVAL);
    assert_ok(pv_helper_open_udp(f->helper, 600, 2, &group, error));
    pv_udp_group_close(&group);
    assert_ok(pv_helper_iface_up(f->helper, &iface, &tun, error));
    assert_ok(pv_helper_open_dns(f->helper, &iface.addrs[0].base, false, &fd, error));
    close(fd);
    assert_ok(pv_helper_open_dns(f->helper, &iface.addrs[0].base, true, &fd, error));
    close(fd);
    assert_ok(write_names("n", false));
    assert_names("n");
    assert_ok(pv_helper_run_task(f->helper, pv_view("abc", 3), &fd, error));
    assert_true(read(fd, got, sizeof(got) - 1) > 0);
    assert_string_equal(got, PV_STR("%u 3", (unsigned)own.uid));
    close(fd);
    set_plans();
    assert_ok(pv_helper_iface_down(f->helper, error));
    pv_tun_close(&tun);
}

/* As a unit does it: the helper is started by a user with three capabilities, who cannot become
 * nobody. Ends with the number of the step that failed. */
static void serve_as_a_user(void)
{
    const uint64_t caps = (uint64_t)1 << CAP_NET_ADMIN | (uint64_t)1 << CAP_NET_RAW |
                          (uint64_t)1 << CAP_NET_BIND_SERVICE;
    struct pv_helper *h = NULL;
    struct pv_sandbox_user user;
    char error[PV_HELPER_ERROR_MAX], got[32] = "";
    int fd = -1;
    if (pv_sandbox_spare_user("p2pvpn-test", &user) < 0 || pv_sandbox_become(&user, caps) < 0 ||
        pv_helper_start(&h, say_who) < 0)
        _exit(1);
    if (helper_ready(h, "pvd0") < 0)
        _exit(2);
    if (pv_helper_run_task(h, pv_view("abc", 3), &fd, error) < 0)
        _exit(3);
    if (read(fd, got, sizeof(got) - 1) <= 0 || strcmp(got, PV_STR("%u 3", (unsigned)user.uid)) != 0)
        _exit(4);
    pv_helper_stop(h);
    _exit(0);
}

PV_TEST(a_user_with_three_capabilities_is_enough)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        serve_as_a_user();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- what is forbidden ----------------------------------------------------------------------- */

static bool attempt(int what)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)};
    switch (what) {
    case 0:
        return mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0;
    case 1:
        return open("/etc/shadow", O_RDONLY) >= 0;
    case 2:
        return socket(AF_PACKET, SOCK_RAW, 0) >= 0;
    case 3:
        return kill(1, 0) == 0 && getuid() != 0;
    case 4:
        return chroot("/") == 0;
    case 5:
        return sethostname("x", 1) == 0;
    default:
        return bind(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&at, sizeof(at)) == 0;
    }
}

/* The attempts that each role must not succeed with. */
PV_TEST(no_role_can_do_more_than_it_needs)
{
    static const struct {
        enum pv_helper_role role;
        int what;
    } rows[] = {
        {PV_HELPER_ROLE_HELPER, 0}, {PV_HELPER_ROLE_HELPER, 2}, {PV_HELPER_ROLE_HELPER, 4},
        {PV_HELPER_ROLE_HELPER, 5}, {PV_HELPER_ROLE_USHER, 0},  {PV_HELPER_ROLE_USHER, 1},
        {PV_HELPER_ROLE_USHER, 2},  {PV_HELPER_ROLE_USHER, 4},  {PV_HELPER_ROLE_USHER, 6},
        {PV_HELPER_ROLE_NOTIFY, 0}, {PV_HELPER_ROLE_NOTIFY, 2}, {PV_HELPER_ROLE_NOTIFY, 4},
        {PV_HELPER_ROLE_NOTIFY, 6},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            _exit(pv_helper_sandbox_as(rows[i].role, NULL) < 0 ? 2 : attempt(rows[i].what) ? 1 : 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        bool refused = WIFSIGNALED(status) ? WTERMSIG(status) == SIGSYS : WEXITSTATUS(status) == 0;
        if (!refused)
            fail_msg("role %d did %d (status %x)", (int)rows[i].role, rows[i].what,
                     (unsigned)status);
    }
}

/* More than 3 s of computing, 12 s of life or 256 MB (which the sanitizer cannot do with)? */
static bool has_too_much(void)
{
    struct rlimit cpu = {.rlim_max = 0}, memory = {.rlim_max = 0};
    unsigned left = alarm(0);
    alarm(left);
    if (getrlimit(RLIMIT_CPU, &cpu) < 0 || getrlimit(RLIMIT_AS, &memory) < 0)
        return true;
#ifdef PV_SANITIZED
    memory.rlim_max = 0;
#endif
    return cpu.rlim_max > 3 || memory.rlim_max > 256u << 20 || left == 0 || left > 12;
}

/* Of a task, which parses what routers say. */
static bool task_can(char what)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)};
    struct ifreq ifr = {.ifr_flags = 0};
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lo");
    switch (what) {
    case 'u':
        return setresuid(0, 0, 0) == 0;
    case 's':
        return open("/etc/shadow", O_RDONLY) >= 0;
    case 'w': { /* a file of its own: it may hold nothing */
        int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
        signal(SIGXFSZ, SIG_IGN);
        return fd >= 0 && write(fd, "x", 1) == 1;
    }
    case 'p':
        return socket(AF_PACKET, SOCK_RAW, 0) >= 0;
    case 'r':
        return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0;
    case 'b':
        return bind(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&at, sizeof(at)) == 0;
    case 'i':
        return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &ifr) == 0;
    case 't': { /* udev lets everybody open it; an interface takes rights */
        struct ifreq tun = {.ifr_flags = IFF_TUN | IFF_NO_PI};
        int fd = open("/dev/net/tun", O_RDWR);
        return fd >= 0 && ioctl(fd, TUNSETIFF, &tun) == 0;
    }
    case 'k':
        return kill(getppid(), 0) == 0;
    case 'f':
        return fork() >= 0;
    case 'm':
        return mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0;
    case 'n':
        return unshare(CLONE_NEWUSER) == 0;
    case 'l':
        return has_too_much();
    case 'd': { /* descriptors of the helper: the TUN, the socket to the daemon */
        for (int fd = 3; fd < 1024; fd++) {
            if (fcntl(fd, F_GETFD) >= 0)
                return true;
        }
        return false;
    }
    default: /* a right that comes with a program: none does */
        return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
    }
}

static void try_in_task(char what, int out)
{
    const char *said = task_can(what) ? "could" : "could not";
    if (write(out, said, strlen(said)) < 0)
        _exit(1);
}

/* Router mapping runs there, in a C library that parses the XML of whoever answers. */
PV_TEST(a_task_can_do_nothing_but_speak)
{
    static const char attempts[] = "uswprbitkfmnldx";
    char error[PV_HELPER_ERROR_MAX];
    assert_ok(helper_ready(f->helper, "pvd0"));
    for (size_t i = 0; i < sizeof(attempts) - 1; i++) {
        char args[2] = {'?', attempts[i]}, said[16] = "";
        int fd = -1;
#ifdef PV_SANITIZED /* their leak check clones the process */
        if (args[1] == 'f')
            continue;
#endif
        assert_ok(pv_helper_run_task(f->helper, pv_view(args, 2), &fd, error));
        ssize_t n = read(fd, said, sizeof(said) - 1);
        char rest;
        assert_int_equal(read(fd, &rest, 1), 0); /* it ends, and the next one finds a place */
        close(fd);
        /* No word: the call has ended it. */
        if (n != 0 && strcmp(said, "could not") != 0)
            fail_msg("a task tried %c: %s", args[1], said);
    }
}

/* The helper has nobody who waits for its tasks but itself. */
PV_TEST(a_task_that_has_ended_leaves_no_zombie)
{
    char error[PV_HELPER_ERROR_MAX], text[32] = "";
    int fd = -1;
    assert_ok(helper_ready(f->helper, "pvd0"));
    for (int i = 0; i < 3; i++) {
        assert_ok(pv_helper_run_task(f->helper, pv_view("abc", 3), &fd, error));
        while (read(fd, text, sizeof(text)) > 0) {
        }
        close(fd);
    }
    /* Its process ends after its output: the next look may be a little early. */
    const char *command =
        PV_STR("for p in $(ps -o pid= --ppid %d); do ps -o stat= --ppid $p; done | grep -c ^Z",
               (int)getpid());
    bool gone = false;
    for (int i = 0; i < 200 && !gone; i++) {
        FILE *p = popen(command, "r");
        assert_non_null(p);
        gone = fgets(text, sizeof(text), p) != NULL && text[0] == '0';
        pclose(p);
    }
    assert_true(gone);
}

void test_begin(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
        test_skip_all("needs root");
}
