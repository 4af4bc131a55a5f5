/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/file/file.h"
#include "sys/net/stream.h"
#include "sys/net/streamtls.h"
#include "sys/net/tlscert.h"
#include "sys/net/unixsock.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_port.h"

static const struct pv_stream_bind nowhere;

static void wait_for(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    assert_int_equal(poll(&p, 1, 10000), 1);
}

static struct pv_addr loopback(int v6, uint16_t port)
{
    static const uint8_t one[16] = {[15] = 1};
    return v6 ? pv_addr6(one, port) : pv_addr4(127, 0, 0, 1, port);
}

PV_TEST(tcp_connects_both_ways_and_closes_orderly)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct pv_addr addr = loopback(v6, 0), remote, local, client_local;
        int listener = -1, client = -1, server = -1;
        assert_ok(pv_stream_listen(&addr, NULL, &listener));
        assert_ok(pv_stream_local(listener, &addr));
        assert_int_equal(pv_stream_accept(listener, &server, &remote, &local), PV_ERR_AGAIN);
        assert_ok(pv_stream_connect(&addr, &nowhere, &client));
        wait_for(client, POLLOUT);
        assert_ok(pv_stream_connected(client));
        wait_for(listener, POLLIN);
        assert_ok(pv_stream_accept(listener, &server, &remote, &local));
        assert_ok(pv_stream_local(client, &client_local));
        assert_true(pv_addr_equal(&remote, &client_local));
        assert_true(pv_addr_equal(&local, &addr));

        char buf[16];
        size_t n = 0;
        assert_int_equal(pv_stream_read(server, buf, sizeof(buf), &n), PV_ERR_AGAIN);
        assert_ok(pv_stream_write(client, pv_view("hello", 5), &n));
        assert_int_equal(n, 5);
        wait_for(server, POLLIN);
        assert_ok(pv_stream_read(server, buf, sizeof(buf), &n));
        assert_int_equal(n, 5);
        close(client);
        wait_for(server, POLLIN);
        assert_int_equal(pv_stream_read(server, buf, sizeof(buf), &n), PV_ERR_CLOSED);
        close(server);
        close(listener);
    }
}

PV_TEST(connecting_to_a_closed_port_says_refused)
{
    struct pv_addr addr;
    int closed = test_port_refusing(&addr), client = -1;
    int r = pv_stream_connect(&addr, &nowhere, &client);
    if (r == PV_OK) {
        wait_for(client, POLLOUT);
        r = pv_stream_connected(client);
        close(client);
    }
    assert_int_equal(r, -ECONNREFUSED);
    close(closed);
}

PV_TEST(a_connection_may_have_less_patience_than_others)
{
    struct pv_addr addr = loopback(0, 0);
    int listener = -1, client = -1, ms = 0;
    socklen_t len = sizeof(ms);
    assert_ok(pv_stream_listen(&addr, NULL, &listener));
    assert_ok(pv_stream_local(listener, &addr));
    assert_ok(pv_stream_connect(&addr, &nowhere, &client));
    assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len), 0);
    assert_int_equal(ms, PV_STREAM_USER_TIMEOUT);
    assert_ok(pv_stream_set_user_timeout(client, 5000));
    assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len), 0);
    assert_int_equal(ms, 5000);
    close(client);
    close(listener);
}

PV_TEST(a_taken_port_is_an_error)
{
    struct pv_addr addr = loopback(0, 0);
    int listener = -1, other = -1;
    assert_ok(pv_stream_listen(&addr, NULL, &listener));
    assert_ok(pv_stream_local(listener, &addr));
    assert_int_equal(pv_stream_listen(&addr, NULL, &other), PV_ERR_EXISTS);
    close(listener);
}

PV_TEST(write_to_a_full_socket_says_again)
{
    int pair[2];
    static uint8_t chunk[65536];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int r = PV_OK;
    size_t total = 0, n = 0;
    while ((r = pv_stream_write(pair[0], pv_view(chunk, sizeof(chunk)), &n)) == PV_OK)
        total += n;
    assert_int_equal(r, PV_ERR_AGAIN);
    assert_true(total > 0);
    close(pair[1]);
    assert_int_equal(pv_stream_write(pair[0], pv_view("x", 1), &n), -EPIPE);
    close(pair[0]);
}

/* --- unix sockets -------------------------------------------------------------------------- */

static int make_dir(void **state)
{
    static char dir[32];
    snprintf(dir, sizeof(dir), "/tmp/pvunix.XXXXXX");
    *state = dir;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static const char *sock_path(void **state)
{
    static char path[64];
    snprintf(path, sizeof(path), "%s/s", (const char *)*state);
    return path;
}

static int remove_dir(void **state)
{
    unlink(sock_path(state));
    return rmdir(*state);
}

PV_TEST_IN(unix_socket_says_who_connects_and_has_mode_0660, make_dir, remove_dir)
{
    const char *path = sock_path(state);
    int listener = -1, client = -1, server = -1;
    struct pv_unix_cred cred;
    struct stat st;
    assert_ok(pv_unix_listen(path, "no-such-group", &listener));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(pv_unix_accept(listener, &server, &cred), PV_ERR_AGAIN);
    assert_ok(pv_unix_connect(path, &client));
    assert_ok(pv_unix_accept(listener, &server, &cred));
    assert_int_equal(cred.uid, getuid());
    assert_int_equal(cred.pid, getpid());
    close(client);
    close(server);
    close(listener);
}

PV_TEST_IN(a_stale_socket_is_replaced_and_a_living_one_is_not, make_dir, remove_dir)
{
    const char *path = sock_path(state);
    int first = -1, second = -1;
    assert_ok(pv_unix_listen(path, "p2pvpn", &first));
    assert_int_equal(pv_unix_listen(path, "p2pvpn", &second), PV_ERR_EXISTS);
    close(first); /* the file stays, as after kill -9 */
    assert_int_equal(pv_unix_connect(path, &second), PV_ERR_NOT_FOUND);
    assert_ok(pv_unix_listen(path, "p2pvpn", &first));
    close(first);
}

/* Makes stale sockets at `path` and removes them, until it is ended. */
static void make_and_remove(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    strncpy(un.sun_path, path, sizeof(un.sun_path) - 1);
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)bind(fd, (const struct sockaddr *)&un, sizeof(un));
        close(fd);
        unlink(path);
    }
}

PV_TEST_IN(a_stale_socket_that_another_process_removes_meanwhile_is_replaced, make_dir, remove_dir)
{
    const char *path = sock_path(state);
    pid_t other = fork();
    assert_true(other >= 0);
    if (other == 0)
        make_and_remove(path);
    int worst = PV_OK;
    for (int i = 0; i < 5000 && (worst == PV_OK || worst == PV_ERR_EXISTS); i++) {
        int fd = -1;
        worst = pv_unix_listen(path, NULL, &fd);
        if (fd >= 0)
            close(fd);
    }
    kill(other, SIGKILL);
    assert_int_equal(waitpid(other, NULL, 0), other);
    /* Another one that takes the place at the same moment may come first. */
    assert_true(worst == PV_OK || worst == PV_ERR_EXISTS);
}

PV_TEST_IN(a_file_in_place_of_the_socket_is_left_alone, make_dir, remove_dir)
{
    const char *path = sock_path(state);
    int fd = -1;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(pv_unix_listen(path, "p2pvpn", &fd), -ENOTSOCK);
    assert_int_equal(access(path, F_OK), 0);
}

PV_TEST(paths_that_do_not_fit_are_refused)
{
    char path[200];
    int fd = -1;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(pv_unix_listen(path, "p2pvpn", &fd), -ENAMETOOLONG);
    assert_int_equal(pv_unix_connect("", &fd), -ENAMETOOLONG);
    assert_int_equal(pv_unix_connect("/nonexistent/x", &fd), PV_ERR_NOT_FOUND);
}

/* --- with TLS -------------------------------------------------------------------------------- */

/* The connection goes over a pair of sockets with hardly any room. Both ends use the same calls, as
 * the daemon's streams and the coordinator's do. */

enum {
    ROUNDS = 10000,      /* far more than any of it needs */
    BODY = 1 << 20,      /* bytes that cross */
    SMALL_BUFFER = 4608, /* bytes; the least the kernel gives a socket */
};

/* The client is end 0, the server end 1. */
struct world {
    char dir[32];
    struct pv_tls_ctx *ctx[2];
    struct pv_tls *tls[2];
    int fd[2];
    uint8_t body[BODY];
};

static struct world *w; /* of the test that runs */

static int make_world(void **state)
{
    w = calloc(1, sizeof(*w));
    char error[PV_TLS_ERROR_MAX];
    struct pv_tlscert made;
    static const char *const name = "turn.example";
    assert_non_null(w);
    snprintf(w->dir, sizeof(w->dir), "/tmp/pvstreamtls.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    const char *cert = PV_STR("%s/cert.pem", w->dir);
    const char *key = PV_STR("%s/key.pem", w->dir);
    assert_ok(pv_tlscert_make(&made, &name, 1));
    assert_ok(pv_file_write(cert, pv_view(made.cert, strlen(made.cert)), 0600));
    assert_ok(pv_file_write(key, pv_view(made.key, strlen(made.key)), 0600));
    assert_ok(pv_tls_ctx_new_client(&w->ctx[0], cert, error));
    assert_ok(pv_tls_ctx_new_server(&w->ctx[1], cert, key, error));
    for (size_t i = 0; i < BODY; i++)
        w->body[i] = (uint8_t)(i * 31 + i / 251);
    w->fd[0] = w->fd[1] = -1;
    return 0;
}

static void hang_up(int end)
{
    w->tls[end] = pv_tls_free(w->tls[end]);
    if (w->fd[end] >= 0)
        close(w->fd[end]);
    w->fd[end] = -1;
}

static int end_world(void **state)
{
    for (int i = 0; i < 2; i++) {
        hang_up(i);
        pv_tls_ctx_free(w->ctx[i]);
    }
    int r = test_dir_remove(w->dir);
    free(w);
    return r;
}

static void dial(const struct pv_tls_peer *peer)
{
    static const int size = SMALL_BUFFER;
    hang_up(0);
    hang_up(1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w->fd), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(setsockopt(w->fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    assert_ok(pv_tls_new_client(&w->tls[0], w->ctx[0], peer));
    assert_ok(pv_tls_new_server(&w->tls[1], w->ctx[1]));
    assert_true(pv_streamtls_is_full(w->tls[0])); /* its first words */
    assert_false(pv_streamtls_is_full(w->tls[1]));
}

/* A step by a descriptor that is ready while nothing is said yet. */
static int step(int end)
{
    uint8_t buf[4096];
    size_t n = 0;
    int r = pv_streamtls_flush(w->tls[end], w->fd[end]);
    if (r == PV_OK || r == PV_ERR_AGAIN)
        r = pv_streamtls_read(w->tls[end], w->fd[end], buf, sizeof(buf), &n);
    assert_int_not_equal(r, PV_OK);
    return r;
}

static void shake_hands(void)
{
    for (int i = 0; i < ROUNDS && !(pv_tls_is_ready(w->tls[0]) && pv_tls_is_ready(w->tls[1])); i++)
        for (int end = 0; end < 2; end++)
            assert_int_equal(step(end), PV_ERR_AGAIN);
    assert_true(pv_tls_is_ready(w->tls[0]) && pv_tls_is_ready(w->tls[1]));
}

/* Until one end is told something else than to wait; its status. */
static int shake_until_it_ends(int *ret_end)
{
    for (int i = 0; i < ROUNDS; i++) {
        for (int end = 0; end < 2; end++) {
            int r = step(end);
            *ret_end = end;
            if (r != PV_ERR_AGAIN)
                return r;
        }
    }
    fail_msg("nothing ended");
    return PV_OK;
}

static const struct pv_tls_peer anybody = {.trust = PV_TLS_TRUST_ANY};

/* The kernel takes a few KiB at a time: what TLS holds meanwhile shows as is_full, and a writer is
 * told to wait. Every byte comes once and in order. */
PV_TEST_IN(a_long_text_crosses_a_narrow_line_both_ways, make_world, end_world)
{
    uint8_t buf[3000];
    for (int from = 0; from < 2; from++) {
        int to = 1 - from;
        size_t sent = 0, got = 0;
        unsigned waits = 0;
        dial(&anybody);
        assert_int_equal(pv_streamtls_write(w->tls[from], w->fd[from], pv_view("x", 1), &sent),
                         PV_ERR_AGAIN); /* the handshake is not done */
        assert_int_equal(sent, 0);
        shake_hands();
        for (int i = 0; i < ROUNDS && got < BODY; i++) {
            size_t n = 0;
            int r = PV_ERR_AGAIN;
            if (sent < BODY)
                r = pv_streamtls_write(w->tls[from], w->fd[from],
                                       pv_view(w->body + sent, BODY - sent), &n);
            else if (pv_streamtls_is_full(w->tls[from]))
                r = pv_streamtls_flush(w->tls[from], w->fd[from]);
            assert_true(r == PV_OK || r == PV_ERR_AGAIN);
            assert_true(r == PV_OK || n == 0);
            waits += pv_streamtls_is_full(w->tls[from]) ? 1 : 0;
            sent += n;
            while ((r = pv_streamtls_read(w->tls[to], w->fd[to], buf, sizeof(buf), &n)) == PV_OK) {
                assert_true(n > 0 && got + n <= BODY);
                assert_memory_equal(buf, w->body + got, n);
                got += n;
            }
            assert_int_equal(r, PV_ERR_AGAIN);
        }
        assert_int_equal(got, BODY);
        assert_false(pv_streamtls_is_full(w->tls[from]));
        assert_true(waits > 100); /* the line was narrow */
    }
}

PV_TEST_IN(words_before_the_end_are_heard, make_world, end_world)
{
    uint8_t buf[64];
    size_t n = 0;
    dial(&anybody);
    shake_hands();
    assert_ok(pv_streamtls_write(w->tls[0], w->fd[0], pv_view("bye", 3), &n));
    pv_tls_close(w->tls[0]);
    assert_ok(pv_streamtls_flush(w->tls[0], w->fd[0]));
    hang_up(0);
    assert_ok(pv_streamtls_read(w->tls[1], w->fd[1], buf, sizeof(buf), &n));
    assert_int_equal(n, 3);
    assert_int_equal(pv_streamtls_read(w->tls[1], w->fd[1], buf, sizeof(buf), &n), PV_ERR_CLOSED);
    assert_int_equal(pv_streamtls_read(w->tls[1], w->fd[1], buf, sizeof(buf), &n), PV_ERR_CLOSED);
    /* A caller that writes into it is told. */
    n = 0;
    int r = pv_streamtls_write(w->tls[1], w->fd[1], pv_view("x", 1), &n);
    assert_true(r < 0 && r != PV_ERR_AGAIN);
    assert_int_equal(n, 0);
}

/* A line that is cut is an end as well, and without a word. */
PV_TEST_IN(a_cut_line_is_an_end, make_world, end_world)
{
    uint8_t buf[64];
    size_t n = 0;
    dial(&anybody);
    shake_hands();
    hang_up(0);
    assert_int_equal(pv_streamtls_read(w->tls[1], w->fd[1], buf, sizeof(buf), &n), PV_ERR_CLOSED);
    dial(&anybody); /* in the middle of the handshake, too */
    assert_int_equal(step(0), PV_ERR_AGAIN);
    hang_up(1);
    int r = step(0);
    assert_true(r < 0 && r != PV_ERR_AGAIN);
}

PV_TEST_IN(a_key_is_known_by_its_pin, make_world, end_world)
{
    struct pv_tls_peer peer = {.trust = PV_TLS_TRUST_PIN};
    int end = 0;
    memcpy(peer.pin, pv_tls_ctx_cert(w->ctx[1]).pin, sizeof(peer.pin));
    dial(&peer);
    shake_hands();
    for (size_t i = 0; i < sizeof(peer.pin); i += 31) {
        peer.pin[i] ^= 1;
        dial(&peer);
        assert_int_equal(shake_until_it_ends(&end), PV_ERR_AUTH);
        assert_int_equal(end, 0);
        assert_has(pv_tls_error(w->tls[0]), "key it is known by");
        assert_int_equal(shake_until_it_ends(&end), PV_ERR_AUTH); /* it stays so, */
        hang_up(0);
        assert_int_equal(step(1), PV_ERR_REFUSED); /* and the alert has told the other side */
        peer.pin[i] ^= 1;
    }
}

PV_TEST_IN(a_name_is_known_by_its_certificate, make_world, end_world)
{
    struct pv_tls_peer peer = {.trust = PV_TLS_TRUST_CA, .host = "turn.example"};
    int end = 0;
    dial(&peer);
    shake_hands();
    peer.host = "other.example";
    dial(&peer);
    assert_int_equal(shake_until_it_ends(&end), PV_ERR_AUTH);
    assert_string_equal(pv_tls_error(w->tls[0]), "the server's certificate is for another name");
}

PV_TEST_IN(a_client_that_speaks_no_tls_is_told_apart, make_world, end_world)
{
    static const char answer[] = "HTTP/1.0 400 Bad Request\r\n\r\n";
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    dial(&anybody);
    assert_int_equal(write(w->fd[1], answer, sizeof(answer)), sizeof(answer));
    assert_int_equal(step(0), PV_ERR_MALFORMED);
    assert_has(pv_tls_error(w->tls[0]), "does not speak TLS");
    dial(&anybody);
    assert_int_equal(write(w->fd[0], request, sizeof(request)), sizeof(request));
    assert_int_equal(step(1), PV_ERR_MALFORMED);
}
