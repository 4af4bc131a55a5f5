/* SPDX-License-Identifier: MIT */
/* Whether a machine answers TCP: a port that is listened on, one that is refused, one that is
 * silent, and an address that this machine has not. */
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/probe/tcptry.h"
#include "sys/net/sockaddr.h"
#include "tests/unit/test_util.h"

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
