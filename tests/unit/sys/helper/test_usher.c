/* SPDX-License-Identifier: MIT */
/* The usher: clients, their bytes and files, and what they must not be able to hold up. */
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chat/proto/room.h"
#include "sys/helper/source.h"
#include "sys/helper/usher.h"
#include "sys/net/stream.h"
#include "tests/unit/stuck_file.h"
#include "tests/unit/test_util.h"

enum {
    LONG = 20000
}; /* ms: nothing here takes so long */

#define REFUSAL "too many\n"

struct fixture {
    char dir[32], path[64];
    struct pv_usher *usher;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fd = -1;
    *state = f;
    snprintf(f->dir, sizeof(f->dir), "/tmp/pvusher.XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/s", f->dir);
    if (pv_usher_start(&f->usher, REFUSAL) < 0 || pv_unix_listen(f->path, NULL, &fd) < 0 ||
        pv_usher_open(f->usher, fd) < 0)
        return -1;
    return chmod(f->dir, 0755) | chmod(f->path, 0666);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    pv_usher_stop(f->usher);
    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

PV_TEST_WORLD(setup, teardown);

static bool is_ready(int fd, short events, int ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, ms) > 0;
}

/* A client and the daemon's way to its porter. */
static void meet(struct fixture *f, int *ret_client, int *ret_way)
{
    struct pv_unix_cred cred;
    assert_ok(pv_unix_connect(f->path, ret_client));
    assert_true(is_ready(pv_usher_fd(f->usher), POLLIN, LONG));
    assert_ok(pv_usher_accept(f->usher, ret_way, &cred));
    assert_int_equal(cred.uid, geteuid());
}

static void assert_reads(int fd, const char *want)
{
    char got[64] = "";
    size_t n = 0;
    int passed = -1;
    assert_true(is_ready(fd, POLLIN, LONG));
    assert_ok(pv_unix_read(fd, got, sizeof(got) - 1, &n, &passed));
    assert_int_equal(passed, -1);
    assert_string_equal(got, want);
}

static void assert_ended(int fd)
{
    char byte;
    size_t n = 0;
    assert_true(is_ready(fd, POLLIN, LONG));
    assert_int_equal(pv_stream_read(fd, &byte, 1, &n), PV_ERR_CLOSED);
}

PV_TEST(bytes_go_both_ways_and_so_do_the_ends)
{
    int client, way;
    meet(*state, &client, &way);
    assert_int_equal(send(client, "ask", 3, 0), 3);
    assert_reads(way, "ask");
    assert_int_equal(send(way, "answer", 6, 0), 6);
    assert_reads(client, "answer");
    shutdown(client, SHUT_WR);
    assert_ended(way);
    assert_int_equal(send(way, "bye", 3, 0), 3);
    close(way);
    assert_reads(client, "bye");
    assert_ended(client);
    close(client);
}

PV_TEST(a_large_answer_waits_for_a_slow_client)
{
    static uint8_t out[1 << 20], in[sizeof(out)];
    struct test_rng r = {.state = 3};
    int client, way;
    test_rng_fill(&r, out, sizeof(out));
    meet(*state, &client, &way);
    for (size_t sent = 0, got = 0; got < sizeof(in);) {
        ssize_t n = sent == sizeof(out)
                        ? 0
                        : send(way, out + sent, sizeof(out) - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        if (n < 0 || sent == sizeof(out)) {
            assert_true(is_ready(client, POLLIN, LONG));
            n = recv(client, in + got, sizeof(in) - got, 0);
            assert_true(n > 0);
            got += (size_t)n;
        }
    }
    assert_memory_equal(in, out, sizeof(in));
    close(way);
    close(client);
}

static int make_file(const struct fixture *f, const char *text)
{
    const char *path = PV_STR("%s/file", f->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

/* Takes the descriptor that comes with the next byte at the daemon. */
static int take_passed(int way)
{
    char byte;
    size_t n = 0;
    int passed = -1;
    assert_true(is_ready(way, POLLIN, LONG));
    assert_ok(pv_unix_read(way, &byte, 1, &n, &passed));
    return passed;
}

static void read_range(int reading, uint64_t offset, uint64_t len, uint32_t want, const char *text)
{
    const struct pv_source_request req = {.what = PV_SOURCE_READ, .offset = offset, .len = len};
    uint32_t n = 0;
    char got[64] = "";
    assert_int_equal(send(reading, &req, sizeof(req), 0), sizeof(req));
    assert_true(is_ready(reading, POLLIN, LONG));
    assert_int_equal(recv(reading, &n, sizeof(n), 0), sizeof(n));
    assert_int_equal(n, want);
    if (n > 0 && n < sizeof(got)) {
        assert_true(is_ready(reading, POLLIN, LONG));
        assert_int_equal(recv(reading, got, n, 0), n);
    }
    assert_string_equal(got, text);
}

PV_TEST(a_file_is_read_by_its_clients_process)
{
    struct pv_source_info info = {0};
    int client, way, one = -1, two = -1;
    size_t n = 0;
    meet(*state, &client, &way);
    int file = make_file(*state, "0123456789");
    assert_ok(pv_unix_write(client, pv_view("x", 1), file, &n));
    int source = take_passed(way);
    assert_true(source >= 0);
    struct stat st;
    assert_int_equal(fstat(source, &st), 0);
    assert_true(S_ISSOCK(st.st_mode)); /* not the file */
    assert_true(pv_source_take(source, &info));
    assert_int_equal(info.size, 10);
    /* The client may go: what it passed stays. */
    close(client);
    assert_ended(way);
    close(way);
    assert_ok(pv_source_open(source, &one));
    assert_ok(pv_source_open(source, &two));
    read_range(one, 2, 3, 3, "234");
    read_range(two, 8, 9, 2, "89");
    assert_int_equal(ftruncate(file, 4), 0);
    read_range(one, 4, 2, 0, "");
    close(one);
    assert_int_equal(pwrite(file, "abcd", 4, 0), 4);
    /* It was asked for 9 and got 2: the end follows. */
    uint32_t end = 1;
    assert_true(is_ready(two, POLLIN, LONG));
    assert_int_equal(recv(two, &end, sizeof(end), 0), sizeof(end));
    assert_int_equal(end, 0);
    read_range(two, 0, 4, 4, "abcd");
    close(two);
    close(source);
    close(file);
}

/* `send-file '#room'` offers it to each of them by one connection. */
PV_TEST(a_file_is_taken_for_each_member_of_a_full_room)
{
    int client, way, sources[PV_ROOM_MAX_MEMBERS], one = -1;
    size_t n = 0;
    meet(*state, &client, &way);
    int file = make_file(*state, "0123456789");
    for (size_t i = 0; i < PV_ARRAY_LEN(sources); i++) {
        struct pv_source_info info = {0};
        assert_ok(pv_unix_write(client, pv_view("x", 1), file, &n));
        sources[i] = take_passed(way);
        assert_true(sources[i] >= 0);
        assert_true(pv_source_take(sources[i], &info));
        assert_int_equal(info.size, 10);
    }
    assert_ok(pv_unix_write(client, pv_view("x", 1), file, &n));
    assert_int_equal(take_passed(way), -1);
    for (size_t i = 0; i < PV_ARRAY_LEN(sources); i++) {
        assert_ok(pv_source_open(sources[i], &one));
        read_range(one, 2, 3, 3, "234");
        close(one);
        close(sources[i]);
    }
    close(client);
    close(way);
    close(file);
}

PV_TEST(only_regular_files_that_can_be_read_are_taken)
{
    struct fixture *f = *state;
    const int fds[] = {open(f->dir, O_PATH), open("/dev/null", O_RDONLY), open(f->path, O_PATH),
                       open(f->dir, O_TMPFILE | O_WRONLY, 0600)};
    for (size_t i = 0; i < PV_ARRAY_LEN(fds); i++) {
        int client, way;
        size_t n = 0;
        meet(f, &client, &way);
        assert_true(fds[i] >= 0);
        assert_ok(pv_unix_write(client, pv_view("x", 1), fds[i], &n));
        assert_int_equal(take_passed(way), -1);
        close(client);
        close(way);
        close(fds[i]);
    }
}

PV_TEST(a_file_that_one_client_passes_holds_up_nobody_else)
{
    struct fixture *f = *state;
    int stuck, way, peer, client, other;
    meet(f, &stuck, &way);
    assert_int_equal(send(stuck, "ask", 3, 0), 3);
    assert_reads(way, "ask"); /* the porter runs */
    const pid_t porter = find_child(find_child(getpid(), "p2pvpnd-usher"), "p2pvpnd-porter");
    /* A porter that let go of it first would leave the last close, and its wait, to this one. */
    halt(porter);
    pass_tar(stuck, 0, &peer);
    assert_int_equal(kill(porter, SIGCONT), 0);
    close(stuck);
    meet(f, &client, &other);
    assert_int_equal(send(client, "ask", 3, 0), 3);
    assert_reads(other, "ask");
    close(client);
    close(other);
    close(way);
    close(peer);
}

/* Each is sent away when its user has too many; what it passed must not be let go of here. */
PV_TEST(a_user_has_a_share_and_the_usher_lives)
{
    struct fixture *f = *state;
    int clients[PV_USHER_CLIENTS], ways[PV_USHER_CLIENTS], peers[3];
    /* Tests run as root, or as a user who has less. */
    size_t most = geteuid() == 0 ? PV_USHER_CLIENTS : PV_USHER_OF_USER;
    for (size_t i = 0; i < most; i++)
        meet(f, &clients[i], &ways[i]);
    static const int flags[] = {0, MSG_OOB, 0};
    const pid_t usher = find_child(getpid(), "p2pvpnd-usher");
    for (size_t i = 0; i < PV_ARRAY_LEN(peers); i++) {
        int more = -1;
        /* The descriptor shall be there before the usher looks. */
        halt(usher);
        assert_ok(pv_unix_connect(f->path, &more));
        pass_tar(more, flags[i], &peers[i]);
        if (i == 1) /* behind urgent data there are others */
            assert_int_equal(send(more, "abc", 3, 0), 3);
        assert_int_equal(kill(usher, SIGCONT), 0);
        assert_true(is_ready(more, POLLRDHUP, LONG));
        assert_reads(more, REFUSAL);
        close(more);
    }
    /* One goes, and another may come. */
    close(clients[0]);
    assert_ended(ways[0]);
    close(ways[0]);
    for (bool in = false; !in;) {
        struct pv_unix_cred cred;
        assert_ok(pv_unix_connect(f->path, &clients[0]));
        struct pollfd p[] = {{.fd = pv_usher_fd(f->usher), .events = POLLIN},
                             {.fd = clients[0], .events = POLLIN}};
        assert_true(poll(p, 2, LONG) > 0); /* taken, or sent away: the place is not free yet */
        in = p[0].revents != 0;
        if (in)
            assert_ok(pv_usher_accept(f->usher, &ways[0], &cred));
        else
            close(clients[0]);
    }
    for (size_t i = 0; i < most; i++) {
        close(clients[i]);
        close(ways[i]);
    }
    for (size_t i = 0; i < PV_ARRAY_LEN(peers); i++)
        close(peers[i]);
}

/* Another usher in place of the fixture's, which may have so many files open. */
static void start_with(struct fixture *f, rlim_t files)
{
    struct rlimit lim, less;
    int fd = -1;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
    less = (struct rlimit){.rlim_cur = files, .rlim_max = lim.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    f->usher = pv_usher_stop(f->usher);
    assert_ok(pv_usher_start(&f->usher, REFUSAL));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
    while (pv_unix_listen(f->path, NULL, &fd) == PV_ERR_EXISTS) /* the other ends */
        poll(NULL, 0, 10);
    assert_int_equal(chmod(f->path, 0666), 0);
    assert_ok(pv_usher_open(f->usher, fd));
}

PV_TEST(a_machine_that_allows_few_files_has_clients_all_the_same)
{
    struct fixture *f = *state;
    int client = -1, way = -1;
    start_with(f, 64);
    for (unsigned i = 0; i < 3; i++) {
        meet(f, &client, &way);
        close(client);
        assert_ended(way);
        close(way);
    }
}

/* In a child, as a user of its own where it may be: the kernel counts descriptors on their way by
 * user, and lets processes that may open few send none while there are many. */
static void be_refused(const char *path, size_t times)
{
    const uid_t own = 65500;
    int fd = -1;
    size_t n = 0;
    if (geteuid() == 0 && (setgid(own) < 0 || setuid(own) < 0))
        _exit(2);
    for (size_t i = 0; i < times; i++) {
        if (pv_unix_connect(path, &fd) < 0)
            _exit(3);
        if (pv_unix_write(fd, pv_view("x", 1), STDIN_FILENO, &n) == PV_OK &&
            !is_ready(fd, POLLRDHUP, LONG))
            _exit(4);
        close(fd);
    }
    _exit(0);
}

/* However many are refused with something in them: each stays open, and others need descriptors. */
PV_TEST(connections_that_are_refused_use_up_nothing)
{
    enum {
        FILES = 1024,
        REFUSED = FILES,
    };
    struct fixture *f = *state;
    int clients[PV_USHER_CLIENTS], ways[PV_USHER_CLIENTS];
    size_t most = geteuid() == 0 ? PV_USHER_CLIENTS : PV_USHER_OF_USER;
    start_with(f, FILES);
    for (size_t i = 0; i < most; i++)
        meet(f, &clients[i], &ways[i]);
    const pid_t pid = fork();
    if (pid == 0)
        be_refused(f->path, REFUSED);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(clients[0]);
    assert_ended(ways[0]);
    close(ways[0]);
    poll(NULL, 0, 100);
    meet(f, &clients[0], &ways[0]);
    for (size_t i = 0; i < most; i++) {
        close(clients[i]);
        close(ways[i]);
    }
}

/* In a child: the share of a user that is not root leaves places for root. */
static void be_other_user(const char *path, uid_t uid, size_t n, int done)
{
    int fd;
    /* The usher ends when nobody has the other end of it. */
    if (dup2(done, 0) < 0 || close_range(3, ~0u, 0) < 0 || setgid(65534) < 0 || setuid(uid) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        _exit(2);
    for (size_t i = 0; i < n; i++)
        if (pv_unix_connect(path, &fd) < 0)
            _exit(3);
    if (write(0, "x", 1) != 1)
        _exit(4);
    pause();
    _exit(0);
}

/* In a child: more descriptors of this user are on their way than a porter may have open, until one
 * byte comes; the client's file comes behind them. */
static void be_busy_user(const char *path, int go)
{
    enum {
        UNDER_WAY = 400
    };
    int pair[2], fd, file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    size_t n;
    char byte;
    /* The usher ends when nobody has the other end of it. */
    if (dup2(go, 0) < 0 || dup2(file, 1) < 0 || close_range(3, ~0u, 0) < 0 || setgid(65534) < 0 ||
        setuid(65534) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        _exit(2);
    for (size_t i = 0; i < UNDER_WAY; i++) {
        if (pv_unix_write(pair[0], pv_view("x", 1), 1, &n) < 0) {
            (void)!read(pair[1], &byte, 1); /* the buffer is full: enough */
            break;
        }
    }
    if (pv_unix_connect(path, &fd) < 0 || pv_unix_write(fd, pv_view("f", 1), 1, &n) < 0)
        _exit(3);
    if (read(0, &byte, 1) != 1)
        _exit(4);
    close(pair[1]);
    close(pair[0]);
    pause();
    _exit(0);
}

/* The kernel counts what is on its way for each user, over all of its processes. */
PV_TEST(a_file_comes_also_while_its_user_has_many_descriptors_under_way)
{
    struct fixture *f = *state;
    int go[2], way = -1, passed = -1;
    struct pv_unix_cred cred;
    char byte;
    size_t n;
    if (geteuid() != 0)
        skip();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go), 0);
    const pid_t pid = fork();
    if (pid == 0)
        be_busy_user(f->path, go[1]);
    assert_true(is_ready(pv_usher_fd(f->usher), POLLIN, LONG));
    assert_ok(pv_usher_accept(f->usher, &way, &cred));
    assert_int_equal(cred.uid, 65534);
    assert_false(is_ready(way, POLLIN, 200)); /* neither the file nor an end */
    assert_int_equal(write(go[0], "x", 1), 1);
    assert_true(is_ready(way, POLLIN, LONG));
    assert_ok(pv_unix_read(way, &byte, 1, &n, &passed));
    assert_int_equal(n, 1);
    assert_true(passed >= 0);
    close(passed);
    close(way);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(go[0]);
    close(go[1]);
}

PV_TEST(one_user_does_not_lock_out_root)
{
    struct fixture *f = *state;
    int client, way = -1;
    struct pv_unix_cred cred;
    int done[2];
    if (geteuid() != 0)
        skip();
    assert_int_equal(pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0)
        be_other_user(f->path, 65534, PV_USHER_CLIENTS, done[1]);
    int ways[PV_USHER_OF_USER];
    for (size_t i = 0; i < PV_USHER_OF_USER; i++) {
        assert_true(is_ready(pv_usher_fd(f->usher), POLLIN, LONG));
        assert_ok(pv_usher_accept(f->usher, &ways[i], &cred));
        assert_int_equal(cred.uid, 65534);
    }
    assert_ok(pv_unix_connect(f->path, &client));
    assert_true(is_ready(pv_usher_fd(f->usher), POLLIN, LONG));
    assert_ok(pv_usher_accept(f->usher, &way, &cred));
    assert_int_equal(cred.uid, 0);
    close(client);
    close(way);
    for (size_t i = 0; i < PV_USHER_OF_USER; i++)
        close(ways[i]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(done[0]);
    close(done[1]);
}

/* All of them have come before root does. */
PV_TEST(three_users_do_not_lock_out_root_together)
{
    enum {
        USERS = 3
    };
    struct fixture *f = *state;
    struct pv_unix_cred cred;
    int client, way, done[2], ways[PV_USHER_OF_OTHERS];
    char x[USERS];
    pid_t pids[USERS];
    if (geteuid() != 0)
        skip();
    assert_int_equal(pipe(done), 0);
    for (int i = 0; i < USERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            be_other_user(f->path, 65534 - (uid_t)i, PV_USHER_OF_USER, done[1]);
    }
    for (size_t i = 0; i < PV_USHER_OF_OTHERS; i++) {
        assert_true(is_ready(pv_usher_fd(f->usher), POLLIN, LONG));
        assert_ok(pv_usher_accept(f->usher, &ways[i], &cred));
        assert_int_not_equal(cred.uid, 0);
    }
    for (int i = 0; i < USERS; i++)
        assert_int_equal(read(done[0], &x[i], 1), 1);
    assert_ok(pv_unix_connect(f->path, &client));
    assert_true(is_ready(pv_usher_fd(f->usher), POLLIN, LONG));
    assert_ok(pv_usher_accept(f->usher, &way, &cred));
    assert_int_equal(cred.uid, 0);
    close(client);
    close(way);
    for (size_t i = 0; i < PV_USHER_OF_OTHERS; i++)
        close(ways[i]);
    for (int i = 0; i < USERS; i++) {
        kill(pids[i], SIGKILL);
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    }
    close(done[0]);
    close(done[1]);
}
