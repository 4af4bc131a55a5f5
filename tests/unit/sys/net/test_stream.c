/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/net/stream.h"
#include "sys/net/unixsock.h"
#include "tests/unit/test_port.h"
#include "tests/unit/test_util.h"

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
        assert_int_equal(pv_stream_listen(&addr, NULL, &listener), PV_OK);
        assert_int_equal(pv_stream_local(listener, &addr), PV_OK);
        assert_int_equal(pv_stream_accept(listener, &server, &remote, &local), PV_ERR_AGAIN);
        assert_int_equal(pv_stream_connect(&addr, &nowhere, &client), PV_OK);
        wait_for(client, POLLOUT);
        assert_int_equal(pv_stream_connected(client), PV_OK);
        wait_for(listener, POLLIN);
        assert_int_equal(pv_stream_accept(listener, &server, &remote, &local), PV_OK);
        assert_int_equal(pv_stream_local(client, &client_local), PV_OK);
        assert_true(pv_addr_equal(&remote, &client_local));
        assert_true(pv_addr_equal(&local, &addr));

        char buf[16];
        size_t n = 0;
        assert_int_equal(pv_stream_read(server, buf, sizeof(buf), &n), PV_ERR_AGAIN);
        assert_int_equal(pv_stream_write(client, pv_view("hello", 5), &n), PV_OK);
        assert_int_equal(n, 5);
        wait_for(server, POLLIN);
        assert_int_equal(pv_stream_read(server, buf, sizeof(buf), &n), PV_OK);
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
    assert_int_equal(pv_stream_listen(&addr, NULL, &listener), PV_OK);
    assert_int_equal(pv_stream_local(listener, &addr), PV_OK);
    assert_int_equal(pv_stream_connect(&addr, &nowhere, &client), PV_OK);
    assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len), 0);
    assert_int_equal(ms, PV_STREAM_USER_TIMEOUT);
    assert_int_equal(pv_stream_set_user_timeout(client, 5000), PV_OK);
    assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len), 0);
    assert_int_equal(ms, 5000);
    close(client);
    close(listener);
}

PV_TEST(a_taken_port_is_an_error)
{
    struct pv_addr addr = loopback(0, 0);
    int listener = -1, other = -1;
    assert_int_equal(pv_stream_listen(&addr, NULL, &listener), PV_OK);
    assert_int_equal(pv_stream_local(listener, &addr), PV_OK);
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
    assert_int_equal(pv_unix_listen(path, "no-such-group", &listener), PV_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(pv_unix_accept(listener, &server, &cred), PV_ERR_AGAIN);
    assert_int_equal(pv_unix_connect(path, &client), PV_OK);
    assert_int_equal(pv_unix_accept(listener, &server, &cred), PV_OK);
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
    assert_int_equal(pv_unix_listen(path, "p2pvpn", &first), PV_OK);
    assert_int_equal(pv_unix_listen(path, "p2pvpn", &second), PV_ERR_EXISTS);
    close(first); /* the file stays, as after kill -9 */
    assert_int_equal(pv_unix_connect(path, &second), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_unix_listen(path, "p2pvpn", &first), PV_OK);
    close(first);
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
