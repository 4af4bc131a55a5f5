/* SPDX-License-Identifier: MIT */
/* Servers as users write them (the sockets are tested in tests/lab/test_netcheck.py); and whether a
 * machine answers TCP: a port that is listened on, one that is refused, one that is silent, and an
 * address that this machine has not. */
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/probe/netprobe.h"
#include "sys/net/sockaddr.h"
#include "tests/unit/test_util.h"

PV_TEST(servers_are_taken_in_every_form)
{
    static const struct {
        const char *text;
        size_t n4, n6;
        const char *first;
    } rows[] = {
        {"192.0.2.1", 1, 0, "192.0.2.1:3478"},
        {"192.0.2.1:99", 1, 0, "192.0.2.1:99"},
        {"2001:db8::1", 0, 1, "[2001:db8::1]:3478"},
        {"[2001:db8::1]:99", 0, 1, "[2001:db8::1]:99"},
        {"192.0.2.1,192.0.2.2:5,2001:db8::1", 2, 1, "192.0.2.1:3478"},
        {"192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5", 4, 0, "192.0.2.1:3478"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_netprobe_servers s;
        char error[PV_NETPROBE_ERROR];
        char text[PV_ADDR_TEXT];
        if (pv_netprobe_resolve(rows[i].text, 3478, &s, error) < 0)
            fail_msg("%s: %s", rows[i].text, error);
        assert_int_equal(s.n[0], rows[i].n4);
        assert_int_equal(s.n[1], rows[i].n6);
        assert_string_equal(pv_addr_format(&s.addr[rows[i].n4 > 0 ? 0 : 1][0], text),
                            rows[i].first);
    }
}

PV_TEST(a_text_that_is_no_server_is_refused_without_a_look_up)
{
    static const char *const rows[] = {
        "",        ",",           ":3478", "host:0", "host:65536",  "host:x",     "a host",
        "host:1:", "192.0.2.1:0", "[::1",  "[host]", "http://host", "192.0.2.1,", "192.0.2.1,-!"};
    char longest[PV_NETPROBE_TEXT_MAX + 1];
    struct pv_netprobe_servers s;
    char error[PV_NETPROBE_ERROR];
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        int r = pv_netprobe_resolve(rows[i], 3478, &s, error);
        bool trailing = strcmp(rows[i], "192.0.2.1,") == 0; /* an empty one at the end is nothing */
        if (r != (trailing ? PV_OK : PV_ERR_MALFORMED) || error[0] == '\0')
            fail_msg("\"%s\": %d", rows[i], r);
    }
    assert_ok(pv_netprobe_resolve("[::1]", 3478, &s, error)); /* as in URLs */
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(pv_netprobe_resolve(longest, 3478, &s, error), PV_ERR_MALFORMED);
    longest[256] = '\0'; /* a name of more than 255 characters */
    assert_int_equal(pv_netprobe_resolve(longest, 3478, &s, error), PV_ERR_MALFORMED);
}

PV_TEST(without_a_server_of_a_family_nothing_is_tried)
{
    struct pv_netprobe_servers s = {0};
    struct pv_netprobe_report report;
    assert_ok(pv_netprobe_run(&s, false, &report));
    assert_false(report.tried[0] || report.tried[1]);
}

/* --- does a machine answer? ----------------------------------------------------------------- */

enum {
    WAIT_MS = 200,
};

static const struct pv_addr here = {.family = PV_AF_INET, .ip = {127, 0, 0, 1}};

/* A listener on a port of the kernel's choice, which holds one connection that nobody takes. */
static int listen_on(struct pv_addr *ret_at)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(&here, &ss);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    *ret_at = pv_sockaddr_to(&ss);
    return fd;
}

PV_TEST(a_port_that_takes_or_refuses_answers)
{
    struct pv_addr at;
    int fd = listen_on(&at);
    assert_int_equal(pv_tcptry(&here, &at, WAIT_MS), PV_TCPTRY_ANSWERS);
    close(fd);
    assert_int_equal(pv_tcptry(&here, &at, WAIT_MS), PV_TCPTRY_ANSWERS);
}

/* tcp(7): a SYN for which the queue has no place is dropped, as a firewall drops it. */
PV_TEST(a_port_that_drops_is_silent)
{
    struct pv_addr at;
    struct sockaddr_storage ss;
    int fd = listen_on(&at), full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = pv_sockaddr_from(&at, &ss);
    assert_int_equal(connect(full, (struct sockaddr *)&ss, len), 0);
    assert_int_equal(pv_tcptry(&here, &at, WAIT_MS), PV_TCPTRY_SILENT);
    close(full);
    close(fd);
}

PV_TEST(a_machine_without_the_address_does_not_ask)
{
    const struct pv_addr other = {.family = PV_AF_INET, .ip = {192, 0, 2, 1}};
    assert_int_equal(pv_tcptry(&other, &here, WAIT_MS), PV_TCPTRY_UNKNOWN);
}
