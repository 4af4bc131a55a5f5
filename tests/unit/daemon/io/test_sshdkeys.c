/* SPDX-License-Identifier: MIT */
/* The files of sshd's public host keys: what is read of them, and what is left alone. */
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/core/jobs/job.h"
#include "daemon/io/sshdkeys.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

static char dir[64];
static char *text;

static int begin(void **state)
{
    text = NULL;
    return test_dir_make(dir, sizeof(dir)) == NULL;
}

static int end(void **state)
{
    free(text);
    return test_dir_remove(dir);
}

PV_TEST_WORLD(begin, end);

static const char *path_of(const char *kind)
{
    static char path[2][128];
    static int next;
    char *p = path[next++ % 2];
    snprintf(p, sizeof(path[0]), "%s/ssh_host_%s_key.pub", dir, kind);
    return p;
}

static void expect(const char *want)
{
    size_t len = 0;
    free(text);
    text = NULL;
    assert_ok(pv_sshdkeys_read(dir, &text, &len));
    assert_int_equal(len, strlen(want));
    assert_memory_equal(text, want, len);
}

PV_TEST(the_files_of_sshds_defaults_are_read_one_after_the_other)
{
    expect("");
    test_write(path_of("rsa"), "r root@pi\n");
    test_write(path_of("ed25519"), "e root@pi"); /* somebody's editor */
    test_write(path_of("dsa"), "d\n");
    test_write(PV_STR("%s/ssh_host_ed25519_key", dir), "private\n");
    expect("e root@pi\nr root@pi\n\n");
}

/* Nothing in the place of a file hangs or fills the daemon. */
PV_TEST(what_is_no_file_of_one_key_is_left_out)
{
    char large[2048];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    test_write(path_of("rsa"), large);
    assert_int_equal(mkfifo(path_of("ecdsa"), 0600), 0);
    assert_int_equal(mkdir(path_of("ed25519"), 0700), 0);
    expect("");
    unlink(path_of("rsa"));
    large[1023] = '\n'; /* as long as a file may be */
    large[1024] = '\0';
    test_write(path_of("rsa"), large);
    memcpy(large + 1024, "\n", 2); /* what stands between two files */
    expect(large);
}
