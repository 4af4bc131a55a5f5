/* SPDX-License-Identifier: MIT */
/* Whose a connection of this machine is, by the kernel; and who is in a group, by two files. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/net/sockaddr.h"
#include "sys/net/sockowner.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

static int listener, client, server;
static struct pv_addr local, remote;

static struct pv_addr name_of(int fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    return pv_sockaddr_to(&ss);
}

/* A connection over the loopback, opened by the calling process. */
static int connect_to(int family)
{
    struct sockaddr_storage ss = {.ss_family = (sa_family_t)family};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = family == AF_INET6 ? sizeof(six) : sizeof(four);
    if (family == AF_INET6)
        memcpy(&ss, &six, sizeof(six));
    else
        memcpy(&ss, &four, sizeof(four));
    listener = socket(family, SOCK_STREAM, 0);
    client = socket(family, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&ss, len) < 0)
        return -1;
    assert_int_equal(listen(listener, 1), 0);
    len = sizeof(ss);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&ss, &len), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&ss, len), 0);
    server = accept(listener, NULL, NULL);
    assert_true(server >= 0);
    local = name_of(client);
    remote = name_of(server);
    return 0;
}

static void hang_up(void)
{
    close(client);
    close(server);
    close(listener);
}

PV_TEST(the_holder_of_a_connection_is_found)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (size_t i = 0; i < PV_ARRAY_LEN(families); i++) {
        uint32_t uid = UINT32_MAX;
        if (connect_to(families[i]) < 0)
            continue; /* no IPv6 here */
        int r = pv_sockowner_find(&local, &remote, 0, &uid);
        if (r == PV_ERR_UNSUPPORTED)
            skip();
        assert_ok(r);
        assert_int_equal(uid, getuid());
        /* It still counts when it has said all it has to say. */
        assert_int_equal(shutdown(client, SHUT_WR), 0);
        assert_ok(pv_sockowner_find(&local, &remote, 0, &uid));
        /* Another port: what listens there is no connection. */
        struct pv_addr other = remote;
        other.port = 9;
        assert_int_equal(pv_sockowner_find(&remote, &other, 0, &uid), PV_ERR_NOT_FOUND);
        hang_up();
    }
}

/* As Java's are. */
PV_TEST(a_connection_of_ipv4_by_a_socket_of_ipv6_is_found)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6};
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    uint32_t uid = UINT32_MAX;
    assert_int_equal(connect_to(AF_INET), 0);
    close(client);
    close(server);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    to.sin6_port = htons(remote.port);
    to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xFF;
    memcpy(&to.sin6_addr.s6_addr[12], remote.ip, 4);
    if (client < 0 || connect(client, (struct sockaddr *)&to, sizeof(to)) < 0) {
        close(listener);
        skip(); /* no IPv6 here */
    }
    server = accept(listener, (struct sockaddr *)&ss, &len);
    assert_true(server >= 0);
    local = pv_sockaddr_to(&ss);
    int r = pv_sockowner_find(&local, &remote, 0, &uid);
    hang_up();
    if (r == PV_ERR_UNSUPPORTED)
        skip();
    assert_ok(r);
    assert_int_equal(uid, getuid());
}

PV_TEST(the_sender_of_a_datagram_is_found)
{
    struct sockaddr_storage ss;
    uint32_t uid = UINT32_MAX;
    const struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    socklen_t len = pv_sockaddr_from(&loopback, &ss);
    int gate = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(gate, (struct sockaddr *)&ss, len), 0);
    const struct pv_addr at = name_of(gate);
    len = pv_sockaddr_from(&at, &ss);
    assert_int_equal(sendto(sender, "x", 1, 0, (struct sockaddr *)&ss, len), 1);
    struct pv_addr from = name_of(sender); /* has a port now, and no address */
    from = pv_addr4(127, 0, 0, 1, from.port);
    int r = pv_sockowner_find(&from, &at, PV_SOCKOWNER_UDP, &uid);
    bool asked = r != PV_ERR_UNSUPPORTED;
    if (asked) {
        assert_ok(r);
        assert_int_equal(uid, getuid());
        assert_int_equal(connect(sender, (struct sockaddr *)&ss, len), 0);
        assert_ok(pv_sockowner_find(&from, &at, PV_SOCKOWNER_UDP, &uid));
    }
    close(sender); /* its port is anybody's */
    if (asked)
        assert_int_equal(pv_sockowner_find(&from, &at, PV_SOCKOWNER_UDP, &uid), PV_ERR_NOT_FOUND);
    close(gate);
    if (!asked)
        skip();
}

PV_TEST(a_socket_that_nobody_holds_any_more_is_nobodys)
{
    uint32_t uid = 4711;
    assert_int_equal(connect_to(AF_INET), 0);
    close(client); /* the kernel goes on with it, and would say that it is root's */
    int r = pv_sockowner_find(&local, &remote, 0, &uid);
    if (r == PV_ERR_UNSUPPORTED)
        skip();
    assert_int_equal(r, PV_ERR_NOT_FOUND);
    assert_int_equal(uid, 4711);
    close(server);
    close(listener);
}

PV_TEST(another_users_connection_is_that_users)
{
    uint32_t uid = 0;
    int pipe_fd[2];
    char c;
    if (getuid() != 0)
        skip();
    assert_int_equal(pipe(pipe_fd), 0);
    assert_int_equal(connect_to(AF_INET), 0);
    const struct pv_addr mine = remote;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sockaddr_storage ss;
        struct pv_addr to = mine;
        to.port = name_of(listener).port;
        socklen_t len = pv_sockaddr_from(&to, &ss);
        int fd = setuid(65534) == 0 ? socket(AF_INET, SOCK_STREAM, 0) : -1;
        bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&ss, len) == 0 &&
                  write(pipe_fd[1], "x", 1) == 1;
        close(pipe_fd[1]);
        while (ok && read(fd, &c, 1) > 0) /* until the other end closes */
            ;
        _exit(ok ? 0 : 1);
    }
    close(pipe_fd[1]);
    assert_int_equal(read(pipe_fd[0], &c, 1), 1);
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    int theirs = accept(listener, (struct sockaddr *)&ss, &len);
    assert_true(theirs >= 0);
    const struct pv_addr from = pv_sockaddr_to(&ss), to = name_of(theirs);
    int r = pv_sockowner_find(&from, &to, 0, &uid);
    close(theirs);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(pipe_fd[0]);
    hang_up();
    if (r == PV_ERR_UNSUPPORTED)
        skip();
    assert_ok(r);
    assert_int_equal(uid, 65534);
}

PV_TEST(a_user_is_alone_without_another_account_or_process)
{
    char dir[64];
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    const char *passwd = PV_STR("%s/passwd", dir), *proc = PV_STR("%s/proc", dir);
    const char *ns = PV_STR("%s/self/ns/pid", proc), *init = PV_STR("%s/1", proc);
    const uint32_t me = 1000;
    FILE *f = fopen(passwd, "we");
    assert_non_null(f);
    fputs(test_given("passwd"), f);
    fclose(f);
    assert_int_equal(mkdir(proc, 0700), 0);
    assert_int_equal(mkdir(PV_STR("%s/self", proc), 0700), 0);
    assert_int_equal(mkdir(PV_STR("%s/self/ns", proc), 0700), 0);
    assert_false(pv_sockowner_is_alone(me, passwd, proc)); /* no word on the namespace */
    assert_int_equal(symlink("pid:[4026531836]", ns), 0);
    assert_false(pv_sockowner_is_alone(me, passwd, proc)); /* init is hidden, and so are others */
    assert_int_equal(mkdir(init, 0700), 0);
    if (getuid() == 0) {
        assert_true(pv_sockowner_is_alone(me, passwd, proc));
        assert_int_equal(chown(init, 33, 33), 0);
        assert_true(pv_sockowner_is_alone(me, passwd, proc));
        assert_int_equal(chown(init, 1001, 1001), 0);
        assert_false(pv_sockowner_is_alone(me, passwd, proc));
        assert_int_equal(chown(init, 70000, 70000), 0); /* as of a directory service */
        assert_false(pv_sockowner_is_alone(me, passwd, proc));
        assert_int_equal(chown(init, me, me), 0);
        assert_true(pv_sockowner_is_alone(me, passwd, proc));
    } else {
        assert_true(pv_sockowner_is_alone(getuid(), "/dev/null", proc));
    }
    assert_false(pv_sockowner_is_alone(getuid(), PV_STR("%s/none", dir), proc));
    assert_int_equal(unlink(ns), 0);
    assert_int_equal(symlink("pid:[4026532836]", ns), 0); /* a container's */
    assert_false(pv_sockowner_is_alone(me, passwd, proc));
    assert_int_equal(unlink(ns), 0);
    assert_int_equal(symlink("pid:[4026531836]", ns), 0);
    f = fopen(passwd, "ae");
    assert_non_null(f);
    fputs("bob:x:1001:1001::/:/bin/sh\n", f);
    fclose(f);
    assert_false(pv_sockowner_is_alone(me, passwd, proc));
    assert_int_equal(test_dir_remove(dir), 0);
}
