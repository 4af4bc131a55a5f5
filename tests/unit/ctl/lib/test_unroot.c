/* SPDX-License-Identifier: MIT */
/* A child of root gives up its rights, and its exit code says who it is afterwards. */
#include <grp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/lib/unroot.h"
#include "tests/unit/test_util.h"

enum {
    IS_RIGHT = 0,
    HAS_ID,
    HAS_GROUPS,
    IS_ROOT_AGAIN
};

static int give_up(const char *sudo_uid, const char *sudo_gid, uid_t uid, gid_t gid)
{
    uid_t u[3];
    gid_t g[3];
    unsetenv("SUDO_UID");
    unsetenv("SUDO_GID");
    if (sudo_uid != NULL)
        setenv("SUDO_UID", sudo_uid, 1);
    if (sudo_gid != NULL)
        setenv("SUDO_GID", sudo_gid, 1);
    pv_unroot(0);
    if (getresuid(&u[0], &u[1], &u[2]) != 0 || getresgid(&g[0], &g[1], &g[2]) != 0)
        return HAS_ID;
    for (int i = 0; i < 3; i++)
        if (u[i] != uid || g[i] != gid)
            return HAS_ID;
    if (getgroups(0, NULL) != 0)
        return HAS_GROUPS;
    return setuid(0) == 0 ? IS_ROOT_AGAIN : IS_RIGHT;
}

PV_TEST(becomes_the_caller_of_sudo_or_nobody)
{
    static const struct {
        const char *uid, *gid;
        uid_t is;
        gid_t in;
    } rows[] = {
        {"1971", "1972", 1971, 1972},      {NULL, NULL, 65534, 65534},
        {"0", "0", 65534, 65534},          {"root", "1972", 65534, 65534},
        {"1971", NULL, 1971, 65534},       {"-1", "1972", 65534, 65534},
        {"4294967295", "1", 65534, 65534},
    };
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            _exit(give_up(rows[i].uid, rows[i].gid, rows[i].is, rows[i].in));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), IS_RIGHT);
    }
}
