/* SPDX-License-Identifier: MIT */
/* Batches that are longer than a pipe has room for, with a real ip in a network namespace; needs
 * root. The test's own pipe2() makes what the kernel gives to those who have many pipes already. */
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/net/ipcmd.h"
#include "tests/unit/test_util.h"

enum {
    LINES = 1500,
    PIPE = 4096, /* bytes: one page, pipe(7) */
};

static char batch[PV_IPCMD_LINES_MAX];

int pipe2(int fds[2], int flags)
{
    long r = syscall(SYS_pipe2, fds, flags);
    if (r == 0)
        assert_true(fcntl(fds[1], F_SETPIPE_SZ, PIPE) >= PIPE);
    return (int)r;
}

static void make_batch(const char *verb)
{
    size_t len = 0;
    for (int i = 0; i < LINES; i++) {
        int n = snprintf(batch + len, sizeof(batch) - len, "addr %s 10.9.%d.%d/32 dev lo\n", verb,
                         i / 250, i % 250);
        assert_true(n > 0 && (size_t)n < sizeof(batch) - len);
        len += (size_t)n;
    }
    assert_true(len > 9 * PIPE);
}

PV_TEST(long_batches_are_written_and_their_complaints_read)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    alarm(60);
    make_batch("add");
    assert_ok(pv_ipcmd_run(batch, complaint));
    assert_string_equal(complaint, "");
    /* The first line fails, and ip reads no more. */
    assert_int_equal(pv_ipcmd_run(batch, complaint), PV_ERR_REFUSED);
    assert_string_not_equal(complaint, "");
    /* Every line fails, so ip has more to say than was written to it. */
    assert_int_equal(pv_ipcmd_force(batch), PV_ERR_REFUSED);
    make_batch("del");
    assert_ok(pv_ipcmd_run(batch, complaint));
    alarm(0);
}

static void count_line(void *ctx, const char *line)
{
    size_t *n = ctx;
    *n += line[0] != '\0';
}

PV_TEST(a_long_ruleset_is_set_and_listed)
{
    static const char *const words[] = {"table", "inet", "t"};
    char complaint[PV_IPCMD_ERROR_MAX];
    size_t len = 0, n = 0;
    if (access("/usr/sbin/nft", X_OK) != 0) {
        printf("skipped: needs nft\n");
        skip();
    }
    alarm(60);
    for (int i = 0; i < 300; i++)
        len += (size_t)snprintf(batch + len, sizeof(batch) - len, "%s\tip daddr 10.9.%d.%d drop\n",
                                i == 0 ? "table inet t {\nchain c {\n" : "", i / 250, i % 250);
    snprintf(batch + len, sizeof(batch) - len, "}\n}\n");
    assert_ok(pv_nftcmd_run(batch, complaint));
    assert_ok(pv_nftcmd_list(words, 3, count_line, &n));
    assert_int_equal(n, 304);
    alarm(0);
}

void test_begin(void)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 ||
        pv_ipcmd_run("link set dev lo up\n", complaint) != PV_OK)
        test_skip_all("needs root, ip and network namespaces");
}

PV_TEST(a_lacking_tool_or_kernel_is_told_with_its_remedy)
{
    assert_int_equal(pv_ipcmd_reason("ip: unrecognized option: batch").todo.id,
                     PV_REMEDY_install_ip);
    assert_int_equal(
        pv_ipcmd_reason("Error: cache initialization failed: Operation not supported").todo.id,
        PV_REMEDY_load_nf_tables);
    assert_string_equal(pv_ipcmd_reason("RTNETLINK answers: Operation not permitted").text, "");
}
