/* SPDX-License-Identifier: MIT */
/* The requests that the running coordinator's control socket takes, and those that it survives; the
 * commands and their networks are in tests/lab/test_operator.py. */
#include <sys/socket.h>
#include <sys/un.h>

#include "coordinator/settings/settings_limits.h"
#include "tests/unit/coordinator/coord_run.h"

static int connect_to_it(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s/control.sock", dir) <
                (int)sizeof(addr.sun_path));
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

/* The bytes until it closes the connection. */
static const char *rest_of(int fd)
{
    static char text[4096];
    size_t len = 0;
    ssize_t n = 1;
    while (n > 0 && len < sizeof(text) - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, WAIT_MS), 1);
        n = read(fd, text + len, sizeof(text) - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    text[len] = '\0';
    close(fd);
    return text;
}

static const char *answer_to(const char *request)
{
    int fd = connect_to_it();
    assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    return rest_of(fd);
}

PV_TEST_IN(requests_are_answered_and_nonsense_is_not, setup, teardown)
{
    char endless[1024];
    struct program p = start_listening();
    assert_has(answer_to("{\"do\":\"networks\"}\n"), "'networks':[]");
    assert_has(answer_to("{\"do\":\"fly\"}\n"), "'error':'bad_request'");
    assert_has(answer_to("{\"do\":\"drop\"}\n"), "'error':'bad_request'");
    assert_non_null(
        strstr(answer_to("{\"do\":\"drop\",\"network\":\"00112233445566778899aabbccddeeff\"}\n"),
               "\"error\":\"unknown_network\""));
    assert_has(answer_to("{\"do\":\"drain\"}\n"), "one that several share");
    assert_string_equal(answer_to("hello\n"), "");
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    int fd = connect_to_it();
    (void)!write(fd, endless, strlen(endless));
    assert_string_equal(rest_of(fd), "");
    assert_int_equal(stop(&p), 0);
}

/* Clients that say nothing make room for one that does; those that go are forgotten. */
PV_TEST_IN(silent_clients_keep_nobody_out, setup, teardown)
{
    int fds[12];
    struct program p = start_listening();
    for (size_t i = 0; i < PV_ARRAY_LEN(fds); i++)
        fds[i] = connect_to_it();
    assert_has(answer_to("{\"do\":\"networks\"}\n"), "'networks':[]");
    for (size_t i = 0; i < PV_ARRAY_LEN(fds); i++)
        close(fds[i]);
    assert_has(answer_to("{\"do\":\"networks\"}\n"), "'networks':[]");
    assert_int_equal(stop(&p), 0);
}

PV_TEST(an_id_is_read_as_it_is_written)
{
    uint8_t id[PV_NETWORK_ID_LEN], back[PV_NETWORK_ID_LEN];
    char text[PV_NETID_BUF];
    for (size_t i = 0; i < sizeof(id); i++)
        id[i] = (uint8_t)(i * 17);
    assert_string_equal(pv_netid_format(id, text), "00112233445566778899aabbccddeeff");
    assert_ok(pv_netid_parse("00112233445566778899AABBccddeeff", back));
    assert_memory_equal(back, id, sizeof(id));
    assert_int_equal(pv_netid_parse("00112233445566778899aabbccddeef", back), PV_ERR_MALFORMED);
    assert_int_equal(pv_netid_parse("00112233445566778899aabbccddeeff0", back), PV_ERR_MALFORMED);
    assert_int_equal(pv_netid_parse("0011223344556677g899aabbccddeeff", back), PV_ERR_MALFORMED);
    assert_int_equal(pv_netid_parse("", back), PV_ERR_MALFORMED);
}
