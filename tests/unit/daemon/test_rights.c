/* SPDX-License-Identifier: MIT */
/* p2pvpnd without rights: what it must no longer be able to do, tried in children, and whose its
 * files are. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/rights.h"
#include "sys/net/unixsock.h"
#include "tests/unit/outer_filter.h"
#include "tests/unit/test_util.h"

static int spare_tun = -1; /* a TUN device that no interface belongs to yet */
static pid_t helper = -1;  /* made before rights were given up */
static pid_t beside = -1;  /* another process of the user's, as another network's daemon is */
static struct pv_sandbox_user nobody = {.uid = 61999, .gid = 61999, .name = "61999"};

struct fixture {
    char base[32], state[48], other[48];
};

static void make(const char *dir, const char *name, uid_t owner)
{
    int fd = open(PV_STR("%s/%s", dir, name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchown(fd, owner, owner), 0);
    close(fd);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    if (geteuid() != 0)
        return 0;
    snprintf(f->base, sizeof(f->base), "/tmp/pvrights.XXXXXX");
    if (mkdtemp(f->base) == NULL)
        return -1;
    snprintf(f->state, sizeof(f->state), "%s/state", f->base);
    snprintf(f->other, sizeof(f->other), "%s/other", f->base);
    return mkdir(f->state, 0700) | mkdir(f->other, 0755) | chmod(f->base, 0755);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int r = f->base[0] == '\0' ? 0 : system(PV_STR("rm -rf %s", f->base));
    free(f);
    return r;
}

PV_TEST_WORLD(setup, teardown);

static void need_root(void)
{
    if (geteuid() != 0)
        skip();
}

static uid_t owner_of(const char *dir, const char *name)
{
    struct stat st;
    assert_int_equal(lstat(PV_STR("%s/%s", dir, name), &st), 0);
    return st.st_uid;
}

/* --- the state directory --------------------------------------------------------------------- */

/* A directory that a unit left is taken over, one in which a unit's daemon listens is not. */
PV_TEST(the_sockets_directory_is_not_taken_from_one_that_runs)
{
    struct fixture *f = *state;
    char other[PATH_MAX];
    int fd = -1;
    need_root();
    const char *dir = PV_STR("%s/run", f->base);
    assert_ok(pv_rights_take_directory(dir, &nobody, other)); /* makes it */
    assert_int_equal(owner_of(f->base, "run"), 0);
    const char *path = PV_STR("%s/work.sock", dir);
    assert_ok(pv_unix_listen(path, NULL, &fd));
    assert_ok(pv_rights_take_directory(dir, &nobody, other)); /* both are root's */
    assert_int_equal(chown(dir, nobody.uid, nobody.gid), 0);
    assert_int_equal(pv_rights_take_directory(dir, &nobody, other), PV_ERR_EXISTS);
    assert_string_equal(other, path);
    assert_int_equal(owner_of(f->base, "run"), nobody.uid);
    close(fd); /* it died and left its socket */
    assert_ok(pv_rights_take_directory(dir, &nobody, other));
    assert_int_equal(owner_of(f->base, "run"), 0);
}

/* An intruder who took over the service's user had the directory before root starts a daemon by
 * hand. */
PV_TEST(a_file_in_the_sockets_directory_leads_root_nowhere)
{
    struct fixture *f = *state;
    char path[96], other[PATH_MAX];
    struct stat st;
    need_root();
    make(f->other, "precious", 0);
    const char *dir = PV_STR("%s/run", f->base);
    assert_int_equal(mkdir(dir, 0777), 0);
    assert_int_equal(chmod(dir, 0777), 0);
    snprintf(path, sizeof(path), "%s/p2pvpnd.names.host.tmp", dir);
    snprintf(other, sizeof(other), "%s/precious", f->other);
    assert_int_equal(symlink(other, path), 0);
    make(dir, "p2pvpnd.names.host", nobody.uid);
    make(dir, "identity.key", nobody.uid); /* of a state directory, given by mistake */
    assert_int_equal(chown(dir, nobody.uid, nobody.gid), 0);
    assert_ok(pv_rights_take_directory(dir, &nobody, other));
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(owner_of(dir, "identity.key"), nobody.uid);
    snprintf(path, sizeof(path), "%s/identity.key", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0); /* nothing else is in it */
    assert_int_equal(owner_of(f->other, "precious"), 0);
}

PV_TEST(a_socket_that_takes_nobody_is_not_waited_for_and_a_link_to_one_not_followed)
{
    struct fixture *f = *state;
    char other[PATH_MAX];
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    need_root();
    snprintf(un.sun_path, sizeof(un.sun_path), "%s/a.sock", f->other);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), client = -1;
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 0), 0);
    do /* until its queue is full */
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    while (connect(client, (struct sockaddr *)&un, sizeof(un)) == 0);
    assert_int_equal(chown(f->other, nobody.uid, nobody.gid), 0);
    alarm(20);
    assert_int_equal(pv_rights_take_directory(f->other, &nobody, other), PV_ERR_EXISTS);
    alarm(0);
    const char *dir = PV_STR("%s/run", f->base);
    assert_int_equal(mkdir(dir, 0755), 0);
    snprintf(other, sizeof(other), "%s/a.sock", dir);
    assert_int_equal(symlink(un.sun_path, other), 0);
    assert_int_equal(chown(dir, nobody.uid, nobody.gid), 0);
    assert_ok(pv_rights_take_directory(dir, &nobody, other));
}

PV_TEST(a_sockets_directory_of_yet_others_is_refused)
{
    struct fixture *f = *state;
    char other[PATH_MAX];
    need_root();
    assert_int_equal(chmod(f->other, 0775), 0);
    assert_int_equal(pv_rights_take_directory(f->other, &nobody, other), PV_ERR_REFUSED);
    assert_int_equal(chmod(f->other, 01777), 0); /* /tmp: nobody replaces what is root's */
    assert_ok(pv_rights_take_directory(f->other, &nobody, other));
    assert_int_equal(chmod(f->other, 0755), 0);
    assert_int_equal(chown(f->other, nobody.uid + 1, 0), 0);
    assert_int_equal(pv_rights_take_directory(f->other, &nobody, other), PV_ERR_REFUSED);
    assert_int_equal(owner_of(f->base, "other"), nobody.uid + 1);
}

PV_TEST(the_directory_and_its_own_files_change_their_owner)
{
    struct fixture *f = *state;
    char path[96];
    need_root();
    make(f->state, "identity.key", 0);
    make(f->state, "former", 61234);
    make(f->state, "linked", 0);
    make(f->other, "precious", 0);
    snprintf(path, sizeof(path), "%s/files", f->state);
    assert_int_equal(mkdir(path, 0700), 0);
    make(path, "1-ab", 0);
    const char *target = PV_STR("%s/precious", f->other);
    snprintf(path, sizeof(path), "%s/symbolic", f->state);
    assert_int_equal(symlink(target, path), 0);
    snprintf(path, sizeof(path), "%s/hard", f->state);
    assert_int_equal(link(target, path), 0);
    snprintf(path, sizeof(path), "%s/fifo", f->state);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_ok(pv_rights_hand_over(f->state, &nobody));
    assert_int_equal(owner_of(f->base, "state"), nobody.uid);
    assert_int_equal(owner_of(f->state, "identity.key"), nobody.uid);
    assert_int_equal(owner_of(f->state, "files/1-ab"), nobody.uid);
    assert_int_equal(owner_of(f->state, "files"), nobody.uid);
    /* Neither what is somebody else's, nor what has a name elsewhere. */
    assert_int_equal(owner_of(f->state, "former"), 61234);
    assert_int_equal(owner_of(f->other, "precious"), 0);
    /* Another user later, or none: files follow the directory. */
    struct pv_sandbox_user root = {.name = "root"};
    assert_ok(pv_rights_hand_over(f->state, &root));
    assert_int_equal(owner_of(f->state, "identity.key"), 0);
}

/* A name that was mistyped: /var/lib for /var/lib/p2pvpn. */
PV_TEST(a_directory_of_others_stays_theirs)
{
    struct fixture *f = *state;
    struct pv_sandbox_user user = nobody;
    struct stat st;
    need_root();
    make(f->state, "passwd", 0);
    assert_int_equal(chmod(f->state, 0755), 0);
    assert_int_equal(pv_rights_hand_over(f->state, &user), PV_ERR_EXISTS);
    assert_int_equal(owner_of(f->base, "state"), 0);
    assert_int_equal(owner_of(f->state, "passwd"), 0);
    assert_int_equal(stat(f->state, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    /* Beside what is ours it goes along. */
    make(f->state, "p2pvpnd.db", 0);
    assert_ok(pv_rights_hand_over(f->state, &user));
    assert_int_equal(owner_of(f->state, "passwd"), nobody.uid);
}

PV_TEST(a_link_is_no_state_directory)
{
    struct fixture *f = *state;
    need_root();
    const char *path = PV_STR("%s/link", f->base);
    assert_int_equal(symlink(f->other, path), 0);
    assert_true(pv_rights_hand_over(path, &nobody) < 0);
    assert_int_equal(owner_of(f->base, "other"), 0);
}

PV_TEST(below_a_closed_directory_it_stays_roots)
{
    struct fixture *f = *state;
    struct pv_sandbox_user user = nobody;
    need_root();
    make(f->state, "identity.key", 0);
    assert_int_equal(chmod(f->base, 0700), 0);
    assert_ok(pv_rights_hand_over(f->state, &user));
    assert_int_equal(user.uid, 0);
    assert_int_equal(owner_of(f->base, "state"), 0);
    assert_int_equal(owner_of(f->state, "identity.key"), 0);
    assert_int_equal(geteuid(), 0);
}

/* --- what is forbidden ----------------------------------------------------------------------- */

enum {
    DONE = 0,
    REFUSED = 1,
    NOT_SANDBOXED = 2
};

struct attempt {
    bool (*run)(const struct fixture *f);
    const struct fixture *f;
    bool done;
};

static void *run_attempt(void *arg)
{
    struct attempt *a = arg;
    a->done = a->run(a->f);
    return NULL;
}

/* Packets are handled by threads that begin when the rights are given up. */
static bool by_thread(struct attempt *a)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_attempt, a) != 0 || pthread_join(thread, NULL) != 0)
        _exit(NOT_SANDBOXED);
    return a->done;
}

static int sandboxed(const struct fixture *f, bool (*attempt)(const struct fixture *f), bool thread)
{
    pid_t pid = fork();
    if (pid == 0) {
        char text[PV_SANDBOX_TEXT_MAX];
        helper = fork();
        if (helper == 0)
            _exit(0);
        const struct pv_rights_config cfg = {.state = f->state,
                                             .socket = PV_STR("%s/p2pvpnd.sock", f->other)};
        if (pv_rights_give_up(&nobody, &cfg, text) < 0)
            _exit(NOT_SANDBOXED);
        struct attempt a = {.run = attempt, .f = f};
        _exit((thread ? by_thread(&a) : attempt(f)) ? DONE : REFUSED);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    /* A call that only an intruder makes ends the process. */
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return REFUSED;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* In a container whose list forbids further ones: it goes on, and does not call that list its own.
 */
PV_TEST(a_list_of_others_is_not_told_as_ours)
{
    struct fixture *f = *state;
    int status = 0;
    need_root();
    for (int boxed = 0; boxed < 2; boxed++) {
        pid_t pid = fork();
        if (pid == 0) {
            char text[PV_SANDBOX_TEXT_MAX];
            const struct pv_rights_config cfg = {.state = f->state,
                                                 .socket = PV_STR("%s/p2pvpnd.sock", f->other)};
            if ((boxed == 1 && !enter_outer_filter()) || pv_rights_give_up(&nobody, &cfg, text) < 0)
                _exit(2);
            bool none = strstr(text, ", no seccomp,") != NULL;
            _exit(none == (boxed == 1) ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static bool open_in(const char *dir, const char *name, int flags)
{
    return open(PV_STR("%s/%s", dir, name), flags, 0600) >= 0;
}

static bool write_state(const struct fixture *f)
{
    const char *path = PV_STR("%s/new", f->state);
    const char *to = PV_STR("%s/newer", f->state);
    return open_in(f->state, "new", O_CREAT | O_RDWR) && rename(path, to) == 0 && unlink(to) == 0;
}

static bool open_sockets(const struct fixture *f)
{
    return socket(AF_INET, SOCK_DGRAM, 0) >= 0 && socket(AF_INET6, SOCK_STREAM, 0) >= 0 &&
           socket(AF_NETLINK, SOCK_RAW, 0) >= 0;
}

/* As for a client's file. */
static bool open_pair(const struct fixture *f)
{
    int pair[2];
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;
}

/* In the end: whoever starts the daemon again finds nothing half closed. */
static bool wait_for_helper(const struct fixture *f)
{
    return waitpid(helper, NULL, 0) == helper;
}

PV_TEST(the_rights_that_it_needs_are_left)
{
    struct fixture *f = *state;
    need_root();
    assert_ok(pv_rights_hand_over(f->state, &nobody));
    for (int thread = 0; thread < 2; thread++) {
        assert_int_equal(sandboxed(f, write_state, thread), DONE);
        assert_int_equal(sandboxed(f, open_sockets, thread), DONE);
        assert_int_equal(sandboxed(f, open_pair, thread), DONE);
        assert_int_equal(sandboxed(f, wait_for_helper, thread), DONE);
    }
}

static bool become_root(const struct fixture *f)
{
    return setresuid(0, 0, 0) == 0;
}
static bool run_shell(const struct fixture *f)
{
    execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
    return false;
}
#ifndef PV_SANITIZED
static bool fork_away(const struct fixture *f)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid > 0;
}
#endif
static bool read_shadow(const struct fixture *f)
{
    return open_in("/etc", "shadow", O_RDONLY);
}
static bool read_other(const struct fixture *f)
{
    return open_in(f->base, "readable", O_RDONLY);
}
static bool write_other(const struct fixture *f)
{
    return open_in(f->other, "new", O_CREAT | O_WRONLY);
}
static bool write_tmp(const struct fixture *f)
{
    return open("/tmp", O_TMPFILE | O_RDWR, 0600) >= 0;
}
static bool sniff(const struct fixture *f)
{
    return socket(AF_PACKET, SOCK_RAW, 0) >= 0;
}
static bool raw_socket(const struct fixture *f)
{
    return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0;
}
/* MPTCP; where the kernel has SCTP or others, they would be loaded. */
static bool another_protocol(const struct fixture *f)
{
    return socket(AF_INET, SOCK_STREAM, 262) >= 0 || socket(AF_INET6, SOCK_STREAM, 132) >= 0 ||
           socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE) >= 0;
}
static bool low_port(const struct fixture *f)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(53)};
    return bind(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&at, sizeof(at)) == 0;
}
static bool end_parent(const struct fixture *f)
{
    return kill(getppid(), 0) == 0;
}
/* CPU time of 0 ends it. */
static bool limit_another(const struct fixture *f)
{
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    return prlimit(beside, RLIMIT_CPU, &none, NULL) == 0;
}
static bool signal_another(const struct fixture *f)
{
    return syscall(SYS_tgkill, beside, beside, 0) == 0;
}
static bool mount_something(const struct fixture *f)
{
    return mount("tmpfs", f->other, "tmpfs", 0, NULL) == 0;
}
static bool trace_parent(const struct fixture *f)
{
    return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0;
}
static bool make_interface(const struct fixture *f)
{
    return open("/dev/net/tun", O_RDWR) >= 0;
}
/* As the TUN's owner could who sees all packets by one more queue. */
static bool add_queue(const struct fixture *f)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE};
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "pvr0");
    return ioctl(spare_tun, TUNSETIFF, &ifr) == 0;
}
static bool take_interface_down(const struct fixture *f)
{
    struct ifreq ifr = {.ifr_flags = 0};
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lo");
    return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &ifr) == 0;
}
static bool add_route(const struct fixture *f)
{
    struct {
        struct nlmsghdr h;
        struct rtmsg m;
    } ask = {.h = {.nlmsg_len = sizeof(ask),
                   .nlmsg_type = RTM_NEWROUTE,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE},
             .m = {.rtm_family = AF_INET,
                   .rtm_table = RT_TABLE_MAIN,
                   .rtm_protocol = RTPROT_STATIC,
                   .rtm_type = RTN_BLACKHOLE}};
    struct {
        struct nlmsghdr h;
        struct nlmsgerr e;
        char more[256];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    return send(fd, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask) &&
           recv(fd, &answer, sizeof(answer), 0) >= (ssize_t)sizeof(answer.h) && answer.e.error == 0;
}
static bool read_parents_memory(const struct fixture *f)
{
    char here[8];
    struct iovec to = {here, sizeof(here)}, from = {&nobody, sizeof(here)};
    return process_vm_readv(getppid(), &to, 1, &from, 1, 0) > 0;
}
static bool load_bpf(const struct fixture *f)
{
    return syscall(SYS_bpf, 0, NULL, 0) >= 0;
}
static bool make_executable(const struct fixture *f)
{
    return syscall(SYS_execveat, STDIN_FILENO, "", NULL, NULL, AT_EMPTY_PATH) == 0;
}
static bool use_io_uring(const struct fixture *f)
{
    char params[256] = "";
    return syscall(SYS_io_uring_setup, 4, params) >= 0;
}

/* To the system's bus, say. */
static bool open_unix_socket(const struct fixture *f)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_DGRAM, 0) >= 0 ||
           socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) >= 0;
}
/* Either end can be connected to whatever listens for datagrams. */
static bool open_datagram_pair(const struct fixture *f)
{
    int pair[2];
    return socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0;
}
static bool write_code(const struct fixture *f)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED;
}
static bool make_code_of_data(const struct fixture *f)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}
static bool load_code_from_a_file(const struct fixture *f)
{
    int fd = open(PV_STR("%s/code", f->state), O_RDWR | O_CREAT, 0600);
    return fd >= 0 && write(fd, "x", 1) == 1 &&
           mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED;
}

static bool own_namespace(const struct fixture *f)
{
    return unshare(CLONE_NEWUSER) == 0;
}

static pid_t start_beside(void)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setresgid(nobody.gid, nobody.gid, nobody.gid) < 0 ||
            setresuid(nobody.uid, nobody.uid, nobody.uid) < 0)
            _exit(1);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* the change of user clears it */
        (void)!write(ready[1], "", 1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

PV_TEST(acts_of_an_intruder_fail)
{
    static const struct {
        const char *what;
        bool (*attempt)(const struct fixture *f);
    } rows[] = {
        {"become root", become_root},
        {"run a shell", run_shell},
#ifndef PV_SANITIZED /* their leak check clones the process */
        {"fork", fork_away},
#endif
        {"read /etc/shadow", read_shadow},
        {"read another file that everybody may read", read_other},
        {"write beside the socket", write_other},
        {"write to /tmp", write_tmp},
        {"see all packets", sniff},
        {"open a raw socket", raw_socket},
        {"speak another protocol than TCP and UDP", another_protocol},
        {"bind a low port", low_port},
        {"send a signal to another process", end_parent},
        {"limit another process of its user", limit_another},
        {"send a signal to another process of its user", signal_another},
        {"mount", mount_something},
        {"trace another process", trace_parent},
        {"make an interface", make_interface},
        {"enter a user namespace", own_namespace},
        {"add a queue to an interface", add_queue},
        {"take an interface down", take_interface_down},
        {"add a route", add_route},
        {"read another process' memory", read_parents_memory},
        {"load a program into the kernel", load_bpf},
        {"run what a descriptor holds", make_executable},
        {"use io_uring", use_io_uring},
        {"open a unix socket", open_unix_socket},
        {"open a pair of datagram sockets", open_datagram_pair},
        {"have memory that is written and run", write_code},
        {"make written memory run", make_code_of_data},
        {"load code from a file of its own", load_code_from_a_file},
    };
    struct fixture *f = *state;
    need_root();
    make(f->base, "readable", 0);
    assert_int_equal(chmod(PV_STR("%s/readable", f->base), 0644), 0);
    assert_ok(pv_rights_hand_over(f->state, &nobody));
    spare_tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    beside = start_beside();
    for (size_t i = 0; i < 2 * PV_ARRAY_LEN(rows); i++)
        if (sandboxed(f, rows[i / 2].attempt, i % 2 == 1) != REFUSED)
            fail_msg("%s could %s", i % 2 == 1 ? "a thread" : "it", rows[i / 2].what);
    if (spare_tun >= 0)
        close(spare_tun);
    assert_int_equal(kill(beside, SIGKILL), 0);
    assert_int_equal(waitpid(beside, NULL, 0), beside);
}

PV_TEST(no_path_opens_the_home_directory_of_the_user)
{
    char home[] = "/tmp/pvhome.XXXXXX", dir[PATH_MAX];
    assert_non_null(mkdtemp(home));
    const char *below = PV_STR("%s/p2pvpn/x", home);
    const char *in_home = PV_STR("%s/x", home);
    assert_int_equal(setenv("HOME", home, 1), 0);
    struct pv_rights_config cfg = {.state = "/nonexistent", .socket = below, .config = below};
    assert_false(pv_rights_open_home(&cfg, dir));
    cfg.config = in_home;
    assert_true(pv_rights_open_home(&cfg, dir));
    assert_string_equal(dir, home);
    cfg = (struct pv_rights_config){.state = "/tmp/", .socket = below};
    assert_true(pv_rights_open_home(&cfg, dir));
    cfg = (struct pv_rights_config){.state = below, .socket = below, .ca_file = in_home};
    assert_true(pv_rights_open_home(&cfg, dir));
    assert_int_equal(rmdir(home), 0);
}
