/* SPDX-License-Identifier: MIT */
/* Each test sandboxes a child, which tries what is forbidden and says with its exit code how it
 * went. A test that needs root or a kernel with Landlock is skipped without. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/file/file.h"
#include "sys/proc/sandbox.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

enum {
    CALLS = PV_SANDBOX_CALLS_RUN | PV_SANDBOX_CALLS_FILES | PV_SANDBOX_CALLS_SOCKETS,
    NO_LANDLOCK = 77,
};

/* A child ends with the number of the first expectation that did not hold, 0 when all did. */
#define EXPECT(condition)              \
    do {                               \
        if (!(condition))              \
            _exit(__LINE__ % 250 + 1); \
    } while (0)

/* The fate of a child that ran body(ctx): its wait status. */
static int run_child(void (*body)(void *ctx), void *ctx)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        body(ctx);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* A status 0, or 1 + a line modulo 250. */
static void expect_fine(void (*body)(void *ctx), void *ctx)
{
    int status = run_child(body, ctx);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_LANDLOCK)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void need_root(void)
{
    if (geteuid() != 0)
        skip();
}

/* --- limits ---------------------------------------------------------------------------------- */

static void lower_limits(void *ctx)
{
    struct rlimit lim = {.rlim_cur = 50, .rlim_max = 60};
    EXPECT(pv_sandbox_limit(RLIMIT_CORE, 0) == PV_OK);
    EXPECT(getrlimit(RLIMIT_CORE, &lim) == 0 && lim.rlim_cur == 0 && lim.rlim_max == 0);
    lim = (struct rlimit){.rlim_cur = 50, .rlim_max = 60};
    EXPECT(setrlimit(RLIMIT_NOFILE, &lim) == 0);
    EXPECT(geteuid() != 0 || setuid(65534) == 0);
    EXPECT(pv_sandbox_limit(RLIMIT_NOFILE, 100) == PV_OK);
    EXPECT(getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_max == 60);
}

PV_TEST(keeps_limit_that_is_lower_already)
{
    expect_fine(lower_limits, NULL);
}

/* --- users and capabilities ------------------------------------------------------------------ */

static void become_spare(void *ctx)
{
    struct pv_sandbox_user user;
    struct pv_sandbox_report report;
    uint64_t bind = (uint64_t)1 << CAP_NET_BIND_SERVICE;
    EXPECT(pv_sandbox_spare_user("p2pvpn-test", &user) == PV_OK);
    EXPECT(pv_sandbox_become(&user, bind) == PV_OK);
    EXPECT(geteuid() == user.uid && getegid() == user.gid && getgroups(0, NULL) == 0);
    EXPECT(setuid(0) < 0 && setgid(0) < 0);
    EXPECT(open("/etc/shadow", O_RDONLY) < 0);
    EXPECT(socket(AF_INET, SOCK_RAW, 1) < 0);
    pv_sandbox_read(&report, false, 0);
    EXPECT(report.user.uid == user.uid && report.caps == bind);
    EXPECT(!report.no_new_privs && !report.seccomp);
    EXPECT(pv_sandbox_no_new_privs() == PV_OK);
    pv_sandbox_read(&report, false, 0);
    EXPECT(report.no_new_privs);
}

PV_TEST(another_user_keeps_the_capabilities_that_were_named)
{
    need_root();
    expect_fine(become_spare, NULL);
}

static void drop_caps(void *ctx)
{
    struct pv_sandbox_report report;
    EXPECT(pv_sandbox_become(NULL, 0) == PV_OK);
    EXPECT(geteuid() == 0 && chown("/", 1, 1) < 0 && errno == EPERM);
    pv_sandbox_read(&report, false, 0);
    EXPECT(report.caps == 0);
}

PV_TEST(root_without_capabilities_is_no_root)
{
    need_root();
    expect_fine(drop_caps, NULL);
}

/* As a unit does it: another user with ambient capabilities, and more of them than it keeps. */
static void drop_all_but_one(void *ctx)
{
    struct pv_sandbox_user user;
    const uint64_t bind = (uint64_t)1 << CAP_NET_BIND_SERVICE;
    const uint64_t admin = (uint64_t)1 << CAP_NET_ADMIN;
    char text[] = "p=$(sed -n 's/^CapEff:[^0-9]*//p' /proc/self/status); [ $p = 0000000000000400 ]";
    char sh[] = "/bin/sh", c[] = "-c";
    char *argv[] = {sh, c, text, NULL};
    EXPECT(pv_sandbox_spare_user("p2pvpn-test", &user) == PV_OK);
    EXPECT(pv_sandbox_become(&user, bind | admin) == PV_OK);
    EXPECT(pv_sandbox_become(NULL, bind) == PV_OK);
    execv(sh, argv);
    EXPECT(false);
}

PV_TEST(rights_that_a_user_keeps_its_programs_have_too)
{
    need_root();
    expect_fine(drop_all_but_one, NULL);
}

PV_TEST(a_spare_user_is_the_same_every_time_and_nobody_else)
{
    struct pv_sandbox_user a, b, c;
    assert_ok(pv_sandbox_spare_user("p2pvpn-one", &a));
    assert_ok(pv_sandbox_spare_user("p2pvpn-one", &b));
    assert_ok(pv_sandbox_spare_user("p2pvpn-two", &c));
    assert_int_equal(a.uid, b.uid);
    assert_int_not_equal(a.uid, c.uid);
    assert_in_range(a.uid, 65520, 65533);
    assert_ok(pv_sandbox_find_user("root", &a));
    assert_int_equal(a.uid, 0);
    assert_int_equal(pv_sandbox_find_user("no-such-user-here", &a), PV_ERR_NOT_FOUND);
}

/* --- files ----------------------------------------------------------------------------------- */

static bool can_open(const char *dir, const char *name, int flags)
{
    int fd = open(PV_STR("%s/%s", dir, name), flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void sandbox_files(void *ctx)
{
    const char *dir = ctx;
    const char *own = PV_STR("%s/own", dir);
    const struct pv_sandbox_path paths[] = {{own, PV_SANDBOX_READ | PV_SANDBOX_WRITE},
                                            {PV_STR("%s/single", dir), PV_SANDBOX_READ},
                                            {"/no/such/path", PV_SANDBOX_READ}};
    int abi = -1;
    EXPECT(pv_sandbox_no_new_privs() == PV_OK);
    int r = pv_sandbox_files(paths, PV_ARRAY_LEN(paths), PV_SANDBOX_NO_TCP_CONNECT, &abi);
    if (r == PV_ERR_UNSUPPORTED && abi == 0)
        _exit(NO_LANDLOCK);
    EXPECT(r == PV_OK && abi > 0);
    EXPECT(can_open(own, "new", O_CREAT | O_RDWR) && can_open(own, "new", O_RDONLY));
    EXPECT(can_open(dir, "single", O_RDONLY) && !can_open(dir, "single", O_WRONLY));
    EXPECT(!can_open(dir, "other", O_RDONLY) && !can_open(dir, "other", O_CREAT | O_WRONLY));
    EXPECT(!can_open("/etc", "passwd", O_RDONLY));
}

static void remove_dir(void *ctx)
{
    (void)test_dir_remove(ctx);
    free(ctx);
}

PV_TEST(only_named_files_can_be_opened)
{
    char *dir = strdup("/tmp/pv-sandbox-XXXXXX");
    assert_non_null(mkdtemp(dir));
    test_defer(remove_dir, dir);
    assert_int_equal(mkdir(PV_STR("%s/own", dir), 0700), 0);
    assert_true(can_open(dir, "single", O_CREAT | O_WRONLY));
    assert_true(can_open(dir, "other", O_CREAT | O_WRONLY));
    expect_fine(sandbox_files, dir);
}

/* --- system calls ---------------------------------------------------------------------------- */

static void limit_calls(void)
{
    EXPECT(pv_sandbox_no_new_privs() == PV_OK);
    EXPECT(pv_sandbox_calls(CALLS, NULL, 0) == PV_OK);
}

static void *say_done(void *ctx)
{
    *(bool *)ctx = true;
    return NULL;
}

static void work_as_usual(void *ctx)
{
    struct pv_sandbox_report report;
    pthread_t thread;
    bool done = false;
    limit_calls();
    EXPECT(pthread_create(&thread, NULL, say_done, &done) == 0);
    EXPECT(pthread_join(thread, NULL) == 0 && done);
    int fd = open("/dev/null", O_WRONLY);
    EXPECT(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    EXPECT(fd >= 0 && close(fd) == 0);
    fd = socket(AF_NETLINK, SOCK_RAW, 0);
    EXPECT(fd >= 0 && close(fd) == 0);
    pv_sandbox_read(&report, true, 0);
    EXPECT(report.seccomp && report.no_new_privs);
}

PV_TEST(threads_files_and_sockets_work)
{
    expect_fine(work_as_usual, NULL);
}

static void call_number(void *ctx)
{
    limit_calls();
    (void)syscall(*(long *)ctx, 0, 0, 0, 0, 0);
}

PV_TEST(a_call_that_only_an_intruder_wants_ends_the_process)
{
    static long numbers[] = {SYS_execve, SYS_mount,  SYS_bpf,         SYS_unshare,   SYS_setns,
                             SYS_chroot, SYS_setuid, SYS_init_module, SYS_setgroups, SYS_capset};
    for (size_t i = 0; i < PV_ARRAY_LEN(numbers); i++) {
        int status = run_child(call_number, &numbers[i]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

static void open_packet_socket(void *ctx)
{
    limit_calls();
    EXPECT(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == ENOSYS);
}

/* In sanitizer builds, where a gap in a list must be found, by the signal; else as if the call did
 * not exist. */
PV_TEST(other_calls_do_not_exist)
{
    int status = run_child(open_packet_socket, NULL);
#ifdef PV_SANITIZED
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
#else
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
#endif
}

static void load_and_connect(void *ctx)
{
    int pair[2];
    EXPECT(pv_sandbox_no_new_privs() == PV_OK);
    EXPECT(pv_sandbox_calls(CALLS | PV_SANDBOX_CALLS_LOAD | PV_SANDBOX_CALLS_UNIX, NULL, 0) ==
           PV_OK);
    int fd = open("/proc/self/exe", O_RDONLY);
    EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    EXPECT(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
}

static void without_unix_sockets(void *ctx)
{
    limit_calls();
    EXPECT(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EACCES);
}

static void write_code(void *ctx)
{
    EXPECT(pv_sandbox_no_new_privs() == PV_OK);
    EXPECT(pv_sandbox_calls(CALLS | PV_SANDBOX_CALLS_LOAD, NULL, 0) == PV_OK);
    EXPECT(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED);
}

PV_TEST(unix_sockets_and_code_are_for_who_asks)
{
    expect_fine(load_and_connect, NULL);
    expect_fine(without_unix_sockets, NULL);
    int status = run_child(write_code, NULL);
#ifdef PV_SANITIZED
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
#else
    assert_int_equal(status, 0);
#endif
}

static void set_options(void *ctx)
{
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_MARK, &one, sizeof(one)) == 0);
    limit_calls();
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) == 0);
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_MARK, &one, sizeof(one)) < 0 && errno == EPERM);
    EXPECT(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &one, sizeof(one)) < 0 && errno == EPERM);
}

static void filter_packets(void *ctx)
{
    enum {
        REPLACE = 64 /* IPT_SO_SET_REPLACE */
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    limit_calls();
    EXPECT(setsockopt(fd, IPPROTO_IP, REPLACE, NULL, 0) < 0 && errno == ENOSYS);
}

PV_TEST(options_of_sockets_that_need_a_capability_are_out_of_reach_of_one_that_has_it)
{
    need_root();
    expect_fine(set_options, NULL);
    int status = run_child(filter_packets, NULL);
#ifdef PV_SANITIZED
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
#else
    assert_int_equal(status, 0);
#endif
}

/* As the file's owner, without root's right to read it all the same. */
static void change_modes(void *ctx)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/closed", (const char *)ctx);
    EXPECT(pv_sandbox_become(NULL, 0) == PV_OK && pv_sandbox_no_new_privs() == PV_OK);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
    EXPECT(fd >= 0);
    EXPECT(pv_sandbox_calls(CALLS, NULL, 0) == PV_OK);
    EXPECT(open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
    EXPECT(chmod(path, 0600) < 0 && errno == EPERM);
    EXPECT(fchmodat(AT_FDCWD, path, 0600, 0) < 0 && errno == EPERM);
    EXPECT(open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
    EXPECT(fchmod(fd, 0) == 0); /* whoever has it open has it */
    snprintf(path, sizeof(path), "%s/above/below", (const char *)ctx);
    EXPECT(pv_dir_make(path, 0700) == PV_OK); /* folders are made all the same */
}

static void change_modes_where_that_is_allowed(void *ctx)
{
    EXPECT(pv_sandbox_no_new_privs() == PV_OK);
    EXPECT(pv_sandbox_calls(CALLS | PV_SANDBOX_CALLS_MODES, NULL, 0) == PV_OK);
    EXPECT(chmod(ctx, 0700) == 0);
}

PV_TEST(a_file_whose_mode_closes_it_stays_closed_to_its_user)
{
    char dir[] = "/tmp/pvtest.XXXXXX";
    assert_non_null(mkdtemp(dir));
    expect_fine(change_modes, dir);
    expect_fine(change_modes_where_that_is_allowed, dir);
    assert_int_equal(test_dir_remove(dir), 0);
}

static void spawn_and_one_more(void *ctx)
{
    static const struct pv_sandbox_call more[] = {{"socket", 0, AF_PACKET},
                                                  {"chroot", PV_SANDBOX_ANY, 0},
                                                  {"no-such-call", PV_SANDBOX_ANY, 0}};
    int status = -1;
    EXPECT(pv_sandbox_no_new_privs() == PV_OK);
    EXPECT(pv_sandbox_calls(CALLS | PV_SANDBOX_CALLS_SPAWN, more, PV_ARRAY_LEN(more)) == PV_OK);
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    EXPECT(fd >= 0 || errno == EPERM);
    EXPECT(chroot("/no/such/directory") < 0 && errno != ENOSYS);
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
}

PV_TEST(groups_and_single_calls_add_up)
{
    expect_fine(spawn_and_one_more, NULL);
}

/* --- the line for status --------------------------------------------------------------------- */

PV_TEST(the_report_says_what_is_missing)
{
    struct pv_sandbox_report r = {.user = {.uid = 0, .name = "root"}};
    char text[PV_SANDBOX_TEXT_MAX];
    assert_shows("sandboxed", pv_sandbox_format(&r, text));
    r = (struct pv_sandbox_report){.user = {.uid = 61200, .name = "61200"},
                                   .caps = (uint64_t)1 << CAP_NET_BIND_SERVICE |
                                           (uint64_t)1 << CAP_NET_ADMIN,
                                   .no_new_privs = true,
                                   .seccomp = true,
                                   .landlock = 6};
    assert_shows("sandboxed", pv_sandbox_format(&r, text));
    r.caps = UINT64_MAX;
    assert_shows("sandboxed", pv_sandbox_format(&r, text));
}
