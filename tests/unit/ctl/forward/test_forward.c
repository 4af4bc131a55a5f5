/* SPDX-License-Identifier: MIT */
/*
 * nc, forward and socks as programs use them: each runs in a child, p2pvpnd is scripted, and the
 * member is this machine, by its interface lo.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/addr.h"
#include "tests/unit/ctl/ctl_fake.h"
#include "tests/unit/stuck_file.h"

enum {
    PATIENCE_S = 60, /* until a child that hangs is ended */
};

static struct {
    pid_t pid;
    int in, out, err; /* of the child, our ends */
    int words;        /* to it; -1: it has them */
    int member, udp;  /* what listens at the member */
    uint16_t port, udp_port;
} k;

/* --- the child ----------------------------------------------------------------------------- */

/* The child is forked before there is a thread, which could hold a lock just then, and waits for
 * its words: the socket's path and what it runs, each with a NUL. */
static void live(int words_fd, int err_fd)
{
    static char text[1024];
    const char *words[MAX_ARGS] = {NULL};
    size_t n = 0, n_words = 0;
    ssize_t got;
    alarm(PATIENCE_S);
    signal(SIGPIPE, SIG_IGN);
    while ((got = read(words_fd, text + n, sizeof(text) - n)) > 0)
        n += (size_t)got;
    close(words_fd);
    if (n == 0)
        _exit(0); /* it was not wanted */
    snprintf(t.path, sizeof(t.path), "%.90s", text);
    for (size_t at = strlen(text) + 1; at < n; at += strlen(text + at) + 1)
        words[n_words++] = text + at;
    /* nc writes to the descriptor, and closes it: nobody else may have it. */
    bool raw = strcmp(words[0], "nc") == 0;
    FILE *said = raw ? fopen("/dev/null", "we") : fdopen(dup(STDOUT_FILENO), "w");
    _exit(run_with(stdin, said, fdopen(err_fd, "w"), words));
}

static int fork_child(void)
{
    int in[2], out[2], err[2], words[2];
    if ((pipe(in) | pipe(out) | pipe(err) | pipe(words)) != 0)
        return -1;
    (void)fflush(NULL);
    k.pid = fork();
    if (k.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        const int others[] = {in[0], in[1], out[0], out[1], err[0], words[1]};
        for (size_t i = 0; i < PV_ARRAY_LEN(others); i++)
            close(others[i]);
        live(words[0], err[1]);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    close(words[0]);
    k.in = in[1];
    k.out = out[0];
    k.err = err[0];
    k.words = words[1];
    return k.pid < 0 ? -1 : 0;
}

static void start(const char *const *words)
{
    assert_true(k.words >= 0);
    assert_true(write(k.words, t.path, strlen(t.path) + 1) > 0);
    for (; *words != NULL; words++)
        assert_true(write(k.words, *words, strlen(*words) + 1) > 0);
    close(k.words);
    k.words = -1;
}

/* Its exit code; what it said on standard error is in t.err. */
static int ended(int sig)
{
    int status = -1;
    if (k.words >= 0)
        close(k.words);
    k.words = -1;
    if (k.in >= 0)
        close(k.in);
    if (sig != 0)
        kill(k.pid, sig);
    free(t.err);
    FILE *err = open_memstream(&t.err, &t.err_len);
    char buf[512];
    ssize_t n;
    while ((n = read(k.err, buf, sizeof(buf))) > 0)
        fwrite(buf, 1, (size_t)n, err);
    fclose(err);
    assert_int_equal(waitpid(k.pid, &status, 0), k.pid);
    close(k.out);
    close(k.err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A socket of this machine's loopback at any port. */
static int open_here(int type, uint16_t *ret_port)
{
    const struct timeval wait = {.tv_sec = PATIENCE_S};
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type, 0);
    if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 ||
        getsockname(fd, (struct sockaddr *)&in, &len) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
        return -1;
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static int begin_world(void **state)
{
    if (fork_child() < 0 || setup(state) < 0)
        return -1;
    k.member = open_here(SOCK_STREAM, &k.port);
    k.udp = open_here(SOCK_DGRAM, &k.udp_port);
    if (k.udp < 0 || k.member < 0 || listen(k.member, 8) < 0)
        return -1;
    answers("status", test_given("status"));
    answers("ip", test_given("ip"));
    return 0;
}

static int end_world(void **state)
{
    if (k.words >= 0)
        (void)ended(0);
    close(k.udp);
    if (k.member >= 0)
        close(k.member);
    return teardown(state);
}

PV_TEST_WORLD(begin_world, end_world);

#define START(...) start((const char *const[]){__VA_ARGS__, NULL})

/* The port of "127.0.0.1:PORT", which it prints. */
static uint16_t where_it_listens(void)
{
    char line[128] = "";
    struct pv_addr addr;
    for (size_t n = 0; n + 1 < sizeof(line) && read(k.out, line + n, 1) == 1; n++) {
        if (line[n] == '\n') {
            line[n] = '\0';
            break;
        }
    }
    if (pv_addr_parse(line, &addr) < 0)
        fail_msg("\"%s\" is no address", line);
    return addr.port;
}

/* --- programs outside, and the member ------------------------------------------------------- */

static int socket_to(uint16_t port, int type)
{
    const struct timeval wait = {.tv_sec = PATIENCE_S};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void send_bytes(int fd, const void *bytes, size_t len)
{
    assert_int_equal(write(fd, bytes, len), len);
}

static void expect(int fd, const void *bytes, size_t len)
{
    char buf[512];
    size_t n = 0;
    assert_true(len <= sizeof(buf));
    while (n < len) {
        ssize_t r = read(fd, buf + n, len - n);
        if (r <= 0)
            fail_msg("%zu bytes of %zu, then %s", n, len, r == 0 ? "the end" : strerror(errno));
        n += (size_t)r;
    }
    assert_memory_equal(buf, bytes, len);
}

static void expect_end(int fd)
{
    char c;
    assert_int_equal(read(fd, &c, 1), 0);
}

/* A question and its end one way, an answer and its end the other. */
static void talk(int program, const char *first)
{
    int member = accept(k.member, NULL, NULL);
    assert_true(member >= 0);
    expect(member, first, strlen(first));
    send_bytes(program, "question", 8);
    assert_int_equal(shutdown(program, SHUT_WR), 0);
    expect(member, "question", 8);
    expect_end(member);
    send_bytes(member, "answer", 6);
    close(member);
    expect(program, "answer", 6);
    expect_end(program);
    close(program);
}

/* From now on nothing listens there. */
static void refuse_at_member(void)
{
    close(k.member);
    k.member = -1;
}

static const char *target(uint16_t port)
{
    static char text[64];
    snprintf(text, sizeof(text), "pi:%u", port);
    return text;
}

/* --- forward ------------------------------------------------------------------------------- */

PV_TEST(forward_carries_connections_to_the_member)
{
    START("forward", "0", target(k.port));
    uint16_t port = where_it_listens();
    for (int i = 0; i < 3; i++)
        talk(socket_to(port, SOCK_STREAM), "");
    assert_int_equal(ended(SIGTERM), 0);
    assert_string_equal(t.err, "");
    assert_has(t.requests, "'peer':'pi'");
}

PV_TEST(forward_listens_at_a_path_and_takes_its_file_along)
{
    char line[128] = "";
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const char *path = PV_STR("%s/forward", t.dir);
    START("forward", path, target(k.port));
    expect(k.out, path, strlen(path));
    assert_int_equal(read(k.out, line, 1), 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    memcpy(un.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    talk(fd, "");
    assert_int_equal(ended(SIGINT), 0);
    assert_int_equal(access(path, F_OK), -1);
}

PV_TEST(a_member_that_refuses_breaks_the_connection_off)
{
    char c;
    START("forward", "0", target(k.port));
    uint16_t port = where_it_listens();
    refuse_at_member();
    int fd = socket_to(port, SOCK_STREAM);
    assert_int_equal(read(fd, &c, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
    assert_int_equal(ended(SIGTERM), 0);
    assert_has(t.err, "no program listens there");
}

/* The member's program by UDP. */
static void answer(const char *question)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    char buf[64];
    ssize_t n = recvfrom(k.udp, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);
    assert_int_equal(n, strlen(question));
    assert_memory_equal(buf, question, (size_t)n);
    assert_int_equal(sendto(k.udp, "back", 4, 0, (struct sockaddr *)&from, len), 4);
}

PV_TEST(datagrams_find_the_member_and_back)
{
    START("forward", "-u", "0", target(k.udp_port));
    uint16_t port = where_it_listens();
    int fds[] = {socket_to(port, SOCK_DGRAM), socket_to(port, SOCK_DGRAM)};
    for (int i = 0; i < 4; i++) {
        char buf[8];
        send_bytes(fds[i % 2], "ask", 3);
        answer("ask");
        assert_int_equal(read(fds[i % 2], buf, sizeof(buf)), 4);
        assert_memory_equal(buf, "back", 4);
    }
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(ended(SIGTERM), 0);
}

PV_TEST(forward_says_what_is_wrong_before_it_listens)
{
    assert_fails(PV_CTLAPI_USAGE, "not loopback", "forward", "192.0.2.1:8080", "pi:80");
    assert_fails(PV_CTLAPI_USAGE, "not PEER:PORT", "forward", "8080", "pi");
    assert_fails(PV_CTLAPI_USAGE, "-u needs a port", "forward", "-u", "/tmp/x", "pi:80");
    assert_fails(PV_CTLAPI_FAILED, "another program listens there", "forward", t.path, "pi:80");
    assert_fails(PV_CTLAPI_FAILED, "there is a file of that name", "forward", t.dir, "pi:80");
    assert_fails(PV_CTLAPI_FAILED, "is in use", "forward", PV_STR("%u", k.port), "pi:80");
    answers("ip", test_given("no such peer"));
    assert_int_equal(RUN("forward", "0", "nobody:80"), PV_CTLAPI_UNKNOWN_PEER);
    answers("status", OK("'interface':null,'inside':null"));
    assert_fails(PV_CTLAPI_NOT_JOINED, "not up", "forward", "0", "pi:80");
}

/* --- serve --------------------------------------------------------------------------------- */

/* A port that is free; the member's port stands for a program outside. */
static uint16_t free_port(int type, char text[static 8])
{
    uint16_t port = 0;
    int fd = open_here(type, &port);
    assert_true(fd >= 0);
    close(fd);
    snprintf(text, 8, "%u", port);
    return port;
}

static const char *place(uint16_t port)
{
    static char text[32];
    snprintf(text, sizeof(text), "%u", port);
    return text;
}

/* Members are in the lab (lab/forward): here all is one machine. */
PV_TEST(serve_lets_no_program_of_this_machine_in)
{
    char at[8], c;
    const uint16_t port = free_port(SOCK_STREAM, at);
    START("serve", at, place(k.port));
    assert_int_equal(where_it_listens(), port);
    for (int i = 0; i < 3; i++) {
        int fd = socket_to(port, SOCK_STREAM);
        assert_true(read(fd, &c, 1) <= 0);
        close(fd);
    }
    assert_int_equal(fcntl(k.member, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(ended(SIGTERM), 0);
    assert_int_equal(accept(k.member, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    assert_shows("err", t.err);
}

/* Until nothing waits at this port of UDP: what came there is dealt with before a signal is. */
static void wait_until_read(uint16_t port)
{
    unsigned at, waits = 1;
    char line[256];
    while (waits != 0) {
        FILE *f = fopen("/proc/net/udp", "r");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f) != NULL)
            if (sscanf(line, " %*u: %*x:%x %*x:%*x %*x %*x:%x", &at, &waits) == 2 && at == port)
                break;
        fclose(f);
        assert_int_equal(at, port);
    }
}

/* Those who ask what is served: the socket where the child says it. */
static struct sockaddr_un where_it_tells(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char line[256];
    FILE *f = fopen("/proc/net/unix", "r");
    assert_non_null(f);
    const char *begin = PV_STR("@p2pvpn-serve/%u/%d-", (unsigned)geteuid(), (int)k.pid);
    while (un.sun_path[1] == '\0' && fgets(line, sizeof(line), f) != NULL) {
        const char *name = strstr(line, begin);
        if (name != NULL)
            (void)sscanf(name + 1, "%100s", un.sun_path + 1);
    }
    fclose(f);
    assert_true(un.sun_path[1] != '\0');
    return un;
}

PV_TEST(another_user_holds_up_nothing_by_what_it_passes)
{
    char at[8], c = 0;
    int done[2], peer;
    if (geteuid() != 0)
        skip();
    const uint16_t port = free_port(SOCK_STREAM, at);
    START("serve", at, place(k.port));
    assert_int_equal(where_it_listens(), port);
    const struct sockaddr_un un = where_it_tells();
    const socklen_t len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(un.sun_path + 1));
    const pid_t told = await_child(k.pid, "p2pvpnctl-told");
    assert_int_equal(pipe(done), 0);
    halt(told); /* until the file is there */
    pid_t pid = fork();
    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        alarm(PATIENCE_S);
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(1);
        if (connect(fd, (const struct sockaddr *)&un, len) < 0)
            _exit(2);
        pass_tar(fd, 0, &peer);
        close(fd);
        (void)!write(done[1], "x", 1);
        pause();
    }
    assert_int_equal(read(done[0], &c, 1), 1);
    assert_int_equal(kill(told, SIGCONT), 0);
    int fd = socket_to(port, SOCK_STREAM);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 20000), 1); /* serve lives: it sends this machine away */
    close(fd);
    assert_int_equal(ended(SIGTERM), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(done[0]);
    close(done[1]);
}

PV_TEST(serve_passes_no_datagrams_of_this_machine_on)
{
    char at[8];
    const uint16_t port = free_port(SOCK_DGRAM, at);
    START("serve", "-u", at, place(k.udp_port));
    assert_int_equal(where_it_listens(), port);
    int fd = socket_to(port, SOCK_DGRAM);
    send_bytes(fd, "ask", 3);
    wait_until_read(port);
    close(fd);
    assert_int_equal(ended(SIGTERM), 0);
    assert_int_equal(fcntl(k.udp, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(recv(k.udp, at, sizeof(at), 0), -1);
    assert_int_equal(errno, EAGAIN);
}

PV_TEST(a_port_that_is_served_is_listed_and_removed)
{
    char at[8];
    const uint16_t port = free_port(SOCK_STREAM, at);
    assert_int_equal(RUN("serve"), 0);
    assert_lacks(t.out, at);
    START("serve", at, place(k.port));
    (void)where_it_listens();
    assert_int_equal(RUN("serve"), 0);
    assert_has(t.out, PV_STR("tcp/%u", port));
    assert_has(t.out, PV_STR("127.0.0.1:%u", k.port));
    assert_int_equal(RUN("--json", "serve", "list"), 0);
    assert_has(t.out, "'protocol':'tcp'");
    assert_fails(PV_CTLAPI_FAILED, "nothing of yours serves UDP port", "serve", "remove", at, "-u");
    assert_int_equal(RUN("serve", "remove", at), 0);
    assert_int_equal(ended(0), 0);
    assert_int_equal(RUN("serve", "remove", at), PV_CTLAPI_FAILED);
}

PV_TEST(serve_says_what_is_wrong_before_it_listens)
{
    assert_fails(PV_CTLAPI_FAILED, "is in use", "serve", PV_STR("%u", k.port), "80");
    assert_int_equal(RUN("serve", "8080"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("serve", "0", "80"), PV_CTLAPI_USAGE);
    assert_fails(PV_CTLAPI_USAGE, "not [HOST:]PORT", "serve", "8080", ":80");
    assert_fails(PV_CTLAPI_FAILED, "is not found", "serve", "8080", "nobody.invalid:80");
    answers("status", OK("'interface':null,'inside':null"));
    assert_fails(PV_CTLAPI_NOT_JOINED, "not up", "serve", "8080", "80");
}

/* --- pipe ---------------------------------------------------------------------------------- */

PV_TEST(pipe_says_what_is_wrong_before_it_starts_anything)
{
    unsetenv("P2PVPN_COORDINATOR");
    assert_fails(PV_CTLAPI_USAGE, "at which coordinator?", "pipe");
    assert_int_equal(RUN("pipe", "--", "cat"), PV_CTLAPI_USAGE);
    assert_fails(PV_CTLAPI_USAGE, "the token says which coordinator", "pipe", "p2pvpn-x",
                 "--coordinator", "p2pvpn://x");
    assert_fails(PV_CTLAPI_USAGE, "standard input is for the bytes", "pipe", "--coordinator", "-");
    assert_fails(PV_CTLAPI_USAGE, "--forward or a program", "pipe", "p2pvpn-x", "--forward", "22",
                 "--", "cat");
    assert_asked(NULL);
}

PV_TEST(pipe_takes_a_coordinator_from_the_users_own_file)
{
    const char *dir = PV_STR("%s/p2pvpn", t.dir);
    const char *file = PV_STR("%s/p2pvpnctl.conf", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    unsetenv("P2PVPN_COORDINATOR");
    setenv("XDG_CONFIG_HOME", t.dir, 1);
    const struct {
        const char *text, *want;
    } row[] = {
        {"[chat]\nbell = on\n", "at which coordinator?"},
        {"[pipe]\ncoordinator =\n", "at which coordinator?"},
        {"[pipe]\ncoordinator = -\n", "standard input is for the bytes"}, /* so it was read */
        {"[pipe]\nurl = x\n", test_given("p2pvpnctl.conf pipe has key")},
        {"[pipe]\ncoordinator = x\ncoordinator = y\n", "p2pvpnctl.conf:3: [pipe] has the key"},
        {"[pip]\n", "p2pvpnctl.conf:1: unknown section [pip]"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(row); i++) {
        test_write(file, row[i].text);
        assert_true(RUN("pipe") > 0);
        assert_one_line_error(row[i].want);
    }
    unsetenv("XDG_CONFIG_HOME");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_asked(NULL);
}

/* --- socks --------------------------------------------------------------------------------- */

/* A request for host at the member's port, to buf; its length. */
static size_t request(uint8_t command, const char *host, uint16_t port, uint8_t *buf)
{
    size_t len = strlen(host);
    const uint8_t head[] = {5, command, 0, 3, (uint8_t)len};
    memcpy(buf, head, sizeof(head));
    memcpy(buf + sizeof(head), host, len);
    buf[sizeof(head) + len] = (uint8_t)(port >> 8);
    buf[sizeof(head) + len + 1] = (uint8_t)port;
    return sizeof(head) + len + 2;
}

PV_TEST(socks_takes_members_by_their_names)
{
    static const uint8_t reply[] = {5, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    uint8_t buf[256];
    START("socks", "--listen", "0");
    uint16_t port = where_it_listens();
    int fd = socket_to(port, SOCK_STREAM);
    send_bytes(fd, "\x05\x01\x00", 3);
    expect(fd, "\x05\x00", 2);
    send_bytes(fd, buf, request(1, "PI.Home.p2p", k.port, buf));
    expect(fd, reply, sizeof(reply));
    talk(fd, "");
    /* All at once, with bytes for the member behind it. */
    fd = socket_to(port, SOCK_STREAM);
    memcpy(buf, "\x05\x01\x00", 3);
    size_t n = 3 + request(1, "pi", k.port, buf + 3);
    memcpy(buf + n, "early ", 6);
    send_bytes(fd, buf, n + 6);
    expect(fd, "\x05\x00", 2);
    expect(fd, reply, sizeof(reply));
    talk(fd, "early ");
    assert_int_equal(ended(SIGTERM), 0);
    assert_string_equal(t.err, "");
    assert_has(t.requests, "'peer':'PI.Home.p2p'"); /* what it means p2pvpnd says */
    assert_has(t.requests, "'peer':'pi'");
}

PV_TEST(socks_takes_connect_of_http_too)
{
    char text[128];
    START("socks", "--listen", "0");
    uint16_t port = where_it_listens();
    int fd = socket_to(port, SOCK_STREAM);
    int n =
        snprintf(text, sizeof(text), "CONNECT pi:%u HTTP/1.1\r\nHost: pi\r\n\r\nearly ", k.port);
    send_bytes(fd, text, (size_t)n);
    expect(fd, "HTTP/1.1 200 Connected\r\n\r\n", 26);
    talk(fd, "early ");
    fd = socket_to(port, SOCK_STREAM);
    send_bytes(fd, "GET / HTTP/1.1\r\n\r\n", 18);
    expect(fd, "HTTP/1.1 405 ", 13);
    close(fd);
    fd = socket_to(port, SOCK_STREAM);
    send_bytes(fd, "\x16\x03\x01", 3);
    expect_end(fd);
    close(fd);
    assert_int_equal(ended(SIGTERM), 0);
}

PV_TEST(socks_says_why_a_member_is_not_reached)
{
    uint8_t buf[64];
    START("socks", "--listen", "0");
    uint16_t port = where_it_listens();
    refuse_at_member();
    for (int i = 0; i < 2; i++) {
        int fd = socket_to(port, SOCK_STREAM);
        send_bytes(fd, "\x05\x01\x00", 3);
        expect(fd, "\x05\x00", 2);
        send_bytes(fd, buf, request(1, "pi", k.port, buf));
        expect(fd, i == 0 ? "\x05\x05\x00" : "\x05\x04\x00", 3);
        close(fd);
        answers("ip", test_given("no such peer"));
    }
    assert_int_equal(ended(SIGTERM), 0);
    assert_has(t.err, "no program listens there");
    assert_has(t.err, "no such peer");
}

PV_TEST(socks_passes_datagrams_on_as_long_as_they_are_asked_for)
{
    static const uint8_t from[] = {0, 0, 0, 1, 127, 0, 0, 1};
    uint8_t buf[128], reply[10];
    START("socks", "--listen", "0");
    int fd = socket_to(where_it_listens(), SOCK_STREAM);
    send_bytes(fd, "\x05\x01\x00", 3);
    expect(fd, "\x05\x00", 2);
    send_bytes(fd, "\x05\x03\x00\x01\0\0\0\0\0\0", 10);
    assert_int_equal(recv(fd, reply, sizeof(reply), MSG_WAITALL), sizeof(reply));
    assert_memory_equal(reply, "\x05\x00\x00\x01\x7f\x00\x00\x01", 8);
    int udp = socket_to((uint16_t)(reply[8] << 8 | reply[9]), SOCK_DGRAM);
    size_t n = request(0, "pi", k.udp_port, buf);
    buf[0] = 0; /* a datagram's head has zeros where a request has version and command */
    memcpy(buf + n, "ask", 3);
    send_bytes(udp, buf, n + 3);
    answer("ask");
    ssize_t got = read(udp, buf, sizeof(buf));
    assert_int_equal(got, sizeof(from) + 2 + 4);
    assert_memory_equal(buf, from, sizeof(from));
    assert_memory_equal(buf + sizeof(from) + 2, "back", 4);
    close(fd); /* RFC 1928 s6: and with it the association */
    for (;;) {
        if (write(udp, "x", 1) < 0 && errno == ECONNREFUSED)
            break;
    }
    close(udp);
    assert_int_equal(ended(SIGTERM), 0);
}

/* --- nc ------------------------------------------------------------------------------------ */

PV_TEST(nc_passes_each_end_on)
{
    START("nc", "pi", PV_STR("%u", k.port));
    int member = accept(k.member, NULL, NULL);
    send_bytes(k.in, "question", 8);
    expect(member, "question", 8);
    send_bytes(member, "answer", 6);
    assert_int_equal(shutdown(member, SHUT_WR), 0);
    expect(k.out, "answer", 6);
    expect_end(k.out);
    send_bytes(k.in, "thanks", 6); /* that its output has ended keeps nobody from this */
    expect(member, "thanks", 6);
    close(k.in);
    k.in = -1;
    expect_end(member);
    close(member);
    assert_int_equal(ended(0), 0);
    assert_string_equal(t.err, "");
}

PV_TEST(ncs_exit_code_says_how_it_ended)
{
    const struct linger now = {.l_onoff = 1};
    START("nc", "pi", PV_STR("%u", k.port));
    int member = accept(k.member, NULL, NULL);
    assert_int_equal(setsockopt(member, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(member);
    assert_int_equal(ended(0), PV_CTLAPI_FAILED);
    assert_has(t.err, "broke off");
}

PV_TEST(nc_that_a_signal_ends_says_so_and_failures_have_their_codes)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", k.port);
    START("nc", "pi", port);
    int member = accept(k.member, NULL, NULL);
    send_bytes(k.in, "x", 1);
    expect(member, "x", 1); /* it is past its preparations */
    assert_int_equal(ended(SIGTERM), 128 + SIGTERM);
    close(member);
    refuse_at_member();
    assert_fails(PV_CTLAPI_REFUSED, "no program listens there", "nc", "pi", port);
    assert_int_equal(RUN("nc", "pi", "0"), PV_CTLAPI_USAGE);
    answers("ip", test_given("no such peer"));
    assert_int_equal(RUN("nc", "nobody", port), PV_CTLAPI_UNKNOWN_PEER);
}
