/* SPDX-License-Identifier: MIT */
/* The rights that the coordinator gives up: children take its rights and try what it may not, and
 * the program is started by root. Without root most of it is skipped. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/pgload.h"
#include "coordinator/rights.h"
#include "sys/net/stream.h"
#include "tests/unit/coordinator/coord_run.h"

enum {
    NO_LANDLOCK = 77,
};

#define EXPECT(condition)              \
    do {                               \
        if (!(condition))              \
            _exit(__LINE__ % 250 + 1); \
    } while (0)

struct world {
    char *dir; /* of root's, mode 0700: others cannot walk through it */
    struct pv_coordset set;
    const struct pv_pgplugin *pg; /* NULL: with SQLite */
};

static void end_world(void *ctx)
{
    struct world *w = ctx;
    (void)test_dir_remove(w->dir);
    free(w->dir);
    free(w);
}

static struct world *make_world(void)
{
    if (geteuid() != 0)
        skip();
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->dir = strdup("/tmp/pv-rights-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    test_defer(end_world, w);
    snprintf(w->set.state, sizeof(w->set.state), "%s/state", w->dir);
    return w;
}

/* A child that holds the rights of a running coordinator, and a body that tries things. */
static int run_child(struct world *w, void (*body)(const struct world *w))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        char error[PV_RIGHTS_ERROR_MAX];
        struct pv_rights rights;
        const struct pv_log log = {0};
        EXPECT(pv_rights_enter(&rights, &w->set, error) == PV_OK);
        EXPECT(pv_rights_close(&rights, &w->set, w->pg, &log, error) == PV_OK);
        if (rights.landlock == 0)
            _exit(NO_LANDLOCK);
        body(w);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void expect_fine(struct world *w, void (*body)(const struct world *w))
{
    int status = run_child(w, body);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_LANDLOCK)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool can_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void try_files_and_sockets(const struct world *w)
{
    char path[PATH_MAX];
    struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    int fd = -1;
    snprintf(path, sizeof(path), "%.4000s/mine", w->set.state);
    EXPECT(geteuid() != 0);
    EXPECT(can_open(path, O_CREAT | O_RDWR) && can_open(path, O_RDONLY));
    EXPECT(!can_open("/etc/passwd", O_RDONLY) && !can_open("/tmp/x", O_CREAT | O_WRONLY));
    EXPECT(pv_stream_listen(&loopback, NULL, &fd) < 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT(fd >= 0 && close(fd) == 0);
}

PV_TEST(only_its_state_is_in_reach)
{
    expect_fine(make_world(), try_files_and_sockets);
}

/* --- what only an intruder would do ---------------------------------------------------------- */

static bool become_root(void)
{
    return setresuid(0, 0, 0) == 0;
}

static bool see_packets(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) >= 0 || socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0;
}

/* To a port where nobody listens: a call that is let through is refused there by another name. */
static bool connect_out(void)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd >= 0 && (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 ||
                       errno == ECONNREFUSED || errno == ETIMEDOUT);
}

static bool bind_low_port(void)
{
    const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)};
    return bind(socket(AF_INET, SOCK_DGRAM, 0), (const struct sockaddr *)&at, sizeof(at)) == 0;
}

static bool end_parent(void)
{
    return kill(getppid(), 0) == 0;
}

static bool trace_parent(void)
{
    return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0;
}

static bool mount_something(void)
{
    return mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0;
}

static bool enter_namespace(void)
{
    return unshare(CLONE_NEWUSER) == 0;
}

/* It had the right to, for large buffers of its sockets. */
static bool take_interface_down(void)
{
    struct ifreq ifr = {.ifr_flags = 0};
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lo");
    return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &ifr) == 0;
}

static bool read_parents_memory(void)
{
    char here[8];
    const struct iovec to = {here, sizeof(here)}, from = {(void *)(uintptr_t) "parents", 8};
    return process_vm_readv(getppid(), &to, 1, &from, 1, 0) > 0;
}

static bool load_bpf(void)
{
    return syscall(SYS_bpf, 0, NULL, 0) >= 0;
}

static bool use_io_uring(void)
{
    char params[256] = "";
    return syscall(SYS_io_uring_setup, 4, params) >= 0;
}

static bool read_shadow(void)
{
    return can_open("/etc/shadow", O_RDONLY);
}

static bool write_tmp(void)
{
    return open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) >= 0;
}

static bool (*attempt)(void);
static bool by_thread;

static void *run_attempt(void *done)
{
    *(bool *)done = attempt();
    return NULL;
}

/* The store, the relay and the lease of a database have threads, which begin when the
 * rights are given up. */
static void try_once(const struct world *w)
{
    pthread_t thread;
    bool done = false;
    if (by_thread)
        EXPECT(pthread_create(&thread, NULL, run_attempt, &done) == 0 &&
               pthread_join(thread, NULL) == 0);
    else
        done = attempt();
    EXPECT(!done);
}

static void expect_refusal(struct world *w, const char *what)
{
    int status = run_child(w, try_once);
    /* A call that nobody but an intruder makes ends the process. */
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return;
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_LANDLOCK)
        skip();
    if (WEXITSTATUS(status) != 0)
        fail_msg("%s%s could %s", by_thread ? "a thread of it" : "it",
                 w->set.store.postgres[0] == '\0' ? "" : ", with PostgreSQL,", what);
}

PV_TEST(acts_of_an_intruder_fail)
{
    static const struct {
        const char *what;
        bool (*attempt)(void);
    } rows[] = {
        {"connect by TCP", connect_out}, /* first: with PostgreSQL it may */
        {"become root", become_root},
        {"see packets", see_packets},
        {"bind a low port", bind_low_port},
        {"send a signal to another process", end_parent},
        {"trace another process", trace_parent},
        {"read another process' memory", read_parents_memory},
        {"mount", mount_something},
        {"enter a user namespace", enter_namespace},
        {"take an interface down", take_interface_down},
        {"load a program into the kernel", load_bpf},
        {"use io_uring", use_io_uring},
        {"read /etc/shadow", read_shadow},
        {"write to /tmp", write_tmp},
    };
    char error[PV_PG_ERROR_MAX];
    struct world *w = make_world();
    for (int postgres = 0; postgres < 2; postgres++) {
        snprintf(w->set.store.postgres, sizeof(w->set.store.postgres), "%s",
                 postgres == 0 ? "" : "host=192.0.2.1 dbname=postgres");
        if (postgres != 0)
            assert_ok(pv_pgload(&w->pg, error));
        for (size_t i = (size_t)postgres; i < PV_ARRAY_LEN(rows); i++) {
            attempt = rows[i].attempt;
            for (int thread = 0; thread < 2; thread++) {
                by_thread = thread == 1;
                expect_refusal(w, rows[i].what);
            }
        }
    }
}

static void try_exec(const struct world *w)
{
    execl("/bin/true", "true", (char *)NULL);
}

PV_TEST(a_process_that_runs_a_program_is_ended)
{
    int status = run_child(make_world(), try_exec);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void read_cert(const struct world *w)
{
    EXPECT(can_open(w->set.tls_cert, O_RDONLY) && can_open(w->set.tls_key, O_RDONLY));
    EXPECT(!can_open("/etc/shadow", O_RDONLY));
}

/* As programs that renew certificates leave it: a link to root's file in another directory. */
PV_TEST(a_certificate_of_roots_can_be_read_again)
{
    char path[PATH_MAX];
    struct world *w = make_world();
    snprintf(path, sizeof(path), "%s/archive", w->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/archive/key1.pem", w->dir);
    assert_true(can_open(path, O_CREAT | O_WRONLY));
    snprintf(w->set.tls_key, sizeof(w->set.tls_key), "%s/key.pem", w->dir);
    assert_int_equal(symlink("archive/key1.pem", w->set.tls_key), 0);
    snprintf(w->set.tls_cert, sizeof(w->set.tls_cert), "%s/cert.pem", w->dir);
    assert_true(can_open(w->set.tls_cert, O_CREAT | O_WRONLY));
    expect_fine(w, read_cert);
}

/* --- the directory --------------------------------------------------------------------------- */

static void be_there(const struct world *w)
{
}

static uid_t owner_of(const struct world *w, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof(path), "%s/state%s", w->dir, name);
    assert_int_equal(lstat(path, &st), 0);
    return st.st_uid;
}

/* A coordinator that ran as root until now has left a directory of root's. */
PV_TEST(files_that_root_left_are_given_to_the_user)
{
    char path[PATH_MAX], outside[PATH_MAX];
    struct stat st;
    struct world *w = make_world();
    assert_int_equal(mkdir(w->set.state, 0700), 0);
    snprintf(path, sizeof(path), "%.4000s/coordinator.key", w->set.state);
    assert_true(can_open(path, O_CREAT | O_WRONLY));
    snprintf(outside, sizeof(outside), "%s/outside", w->dir);
    assert_true(can_open(outside, O_CREAT | O_WRONLY));
    snprintf(path, sizeof(path), "%.4000s/hard", w->set.state);
    assert_int_equal(link(outside, path), 0);
    snprintf(path, sizeof(path), "%.4000s/soft", w->set.state);
    assert_int_equal(symlink(outside, path), 0);
    expect_fine(w, be_there);
    uid_t uid = owner_of(w, "");
    assert_int_not_equal(uid, 0);
    assert_int_equal(owner_of(w, "/coordinator.key"), uid);
    assert_int_equal(stat(outside, &st), 0); /* other names of files lead to nobody's loss */
    assert_int_equal(st.st_uid, 0);
}

/* A name that was mistyped: /opt for /opt/coordinator. Also `url` and `backup` come through here.
 */
PV_TEST(a_directory_of_others_stays_theirs)
{
    char path[PATH_MAX], error[PV_RIGHTS_ERROR_MAX];
    struct stat st;
    struct pv_rights rights;
    struct world *w = make_world();
    assert_int_equal(mkdir(w->set.state, 0755), 0);
    assert_int_equal(chmod(w->set.state, 0755), 0);
    snprintf(path, sizeof(path), "%.4000s/passwd", w->set.state);
    assert_true(can_open(path, O_CREAT | O_WRONLY));
    assert_int_equal(pv_rights_enter(&rights, &w->set, error), PV_ERR_EXISTS);
    assert_non_null(strstr(error, "it has files in it, and none of a coordinator: name one with"));
    assert_int_equal(geteuid(), 0);
    assert_int_equal(owner_of(w, ""), 0);
    assert_int_equal(owner_of(w, "/passwd"), 0);
    assert_int_equal(stat(w->set.state, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(chmod(w->set.state, 01777), 0);
    assert_int_equal(pv_rights_enter(&rights, &w->set, error), PV_ERR_REFUSED);
    assert_non_null(strstr(error, "anybody may write there"));
}

static void be_the_owner(const struct world *w)
{
    EXPECT(geteuid() == 4242 && getegid() == 4243);
}

PV_TEST(the_owner_of_the_directory_runs_it)
{
    struct world *w = make_world();
    assert_int_equal(mkdir(w->set.state, 0700), 0);
    assert_int_equal(chown(w->set.state, 4242, 4243), 0);
    expect_fine(w, be_the_owner);
    assert_int_equal(owner_of(w, ""), 4242);
}
