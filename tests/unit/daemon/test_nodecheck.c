/* SPDX-License-Identifier: MIT */
/* p2pvpnd --check, as a user types it: it refuses what the start would, in the same words. */
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

static char dir[64], said[2048];
/* Of the test's own, so that this machine's p2pvpnd is not looked at. */
static char keys[96], sock[96];
#define PLACES "--state", keys, "--socket", sock, "--tun", "pv-test-none"

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/pv-test-check-XXXXXX");
    /* The start hands the state to another user, who shall reach it by its path. */
    if (mkdtemp(dir) == NULL || chmod(dir, 0711) < 0)
        return -1;
    snprintf(keys, sizeof(keys), "%s/state", dir);
    snprintf(sock, sizeof(sock), "%s/p2pvpnd.sock", dir);
    return 0;
}

static int teardown(void **state)
{
    test_dir_remove(dir);
    return 0;
}

PV_TEST_WORLD(setup, teardown);

/* Its exit code; said: what it printed. */
static int run(const char *const *args)
{
    const char *argv[12] = {"p2pvpnd"};
    int fds[2], status = 0;
    size_t len = 0;
    ssize_t n;
    if (access(PV_BIN_DIR "/p2pvpnd", X_OK) != 0)
        skip(); /* it is not built */
    for (size_t i = 0; args[i] != NULL; i++)
        argv[i + 1] = args[i];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], 1);
        dup2(fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        execv(PV_BIN_DIR "/p2pvpnd", (char *const *)(uintptr_t)argv);
        _exit(98);
    }
    close(fds[1]);
    while ((n = read(fds[0], said + len, sizeof(said) - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define CHECK(...) run((const char *const[]){"--check", __VA_ARGS__, NULL})
#define START(...) run((const char *const[]){__VA_ARGS__, NULL})

static void says(int code, const char *text, const char *const *args)
{
    assert_int_equal(run(args), code);
    assert_string_equal(said, text);
}

#define CHECK_SAYS(code, text, ...) \
    says(code, text, (const char *const[]){"--check", __VA_ARGS__, NULL})

PV_TEST(places_that_are_right_or_empty_are_let_pass)
{
    CHECK_SAYS(0, "p2pvpnd: configuration ok\n", PLACES);
    assert_int_equal(mkdir(keys, 0700), 0);
    CHECK_SAYS(0, "p2pvpnd: configuration ok\n", PLACES);
    assert_int_not_equal(access(sock, F_OK), 0);
}

PV_TEST(a_value_that_is_empty_is_refused)
{
    static const char *const flags[] = {"state", "socket", "tun", "port", "config", "net"};
    for (size_t i = 0; i < PV_ARRAY_LEN(flags); i++)
        CHECK_SAYS(2,
                   PV_STR("p2pvpnd: --%s is empty: give it a value, or leave it out; see "
                          "p2pvpnd --help\n",
                          flags[i]),
                   PV_STR("--%s", flags[i]), "");
}

PV_TEST(a_value_that_seems_to_have_a_comment_is_noted)
{
    const char *conf = PV_STR("%s/conf", dir);
    test_write(conf, "[chat]\nnotify = /bin/true # x\n");
    CHECK_SAYS(0,
               PV_STR("p2pvpnd: note: %s:2: notify: \" #...\" is part of the value: comments have "
                      "a line of their own\np2pvpnd: configuration ok\n",
                      conf),
               PLACES, "--config", conf);
}

PV_TEST(a_state_that_is_a_file_is_refused_as_by_the_start)
{
    test_write(keys, "");
    const char *text =
        PV_STR("p2pvpnd: state directory %s: Not a directory: choose another with --state\n", keys);
    CHECK_SAYS(1, text, PLACES);
    CHECK_SAYS(1,
               PV_STR("p2pvpnd: state directory %s/x: Not a directory: choose another with "
                      "--state\n",
                      keys),
               "--state", PV_STR("%s/x", keys), "--socket", sock, "--tun", "pv-test-none");
    if (geteuid() != 0)
        return;
    assert_int_equal(START(PLACES), 1);
    assert_string_equal(said, text);
}

/* Also for a user, whose own directory would be closed to everybody else. */
PV_TEST(a_state_with_files_of_others_is_refused_as_by_the_start)
{
    struct stat st;
    char text[300];
    snprintf(text, sizeof(text),
             "p2pvpnd: state directory %s: it has files in it, and none of p2pvpnd: name one with "
             "--state that is empty, not there yet, or of a p2pvpnd\n",
             keys);
    assert_int_equal(mkdir(keys, 0755), 0);
    test_write(PV_STR("%s/notes", keys), "mine");
    CHECK_SAYS(1, text, PLACES);
    if (geteuid() == 0)
        says(1, text, (const char *const[]){PLACES, NULL});
    assert_int_equal(stat(keys, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
}

PV_TEST(a_socket_that_cannot_be_is_refused_as_by_the_start)
{
    char long_path[192];
    snprintf(long_path, sizeof(long_path), "%s/%0110d.sock", dir, 1);
    const char *text = PV_STR("p2pvpnd: listen on %s: File name too long: choose another path with "
                              "--socket\n",
                              long_path);
    CHECK_SAYS(1, text, "--state", keys, "--socket", long_path, "--tun", "pv-test-none");
    if (geteuid() == 0) {
        assert_int_equal(START("--state", keys, "--socket", long_path, "--tun", "pv-test-none"), 1);
        assert_string_equal(said, text);
    }
    test_write(sock, "");
    assert_int_equal(CHECK(PLACES), 1);
    assert_has(said, "choose another path with --socket\n");
    assert_int_equal(access(sock, F_OK), 0);
}

PV_TEST(an_interface_of_another_kind_is_not_ours_to_have)
{
    CHECK_SAYS(1,
               "p2pvpnd: make interface lo: the name is in use: stop the program that has it, "
               "or choose another one (name in [interface] of p2pvpnd.conf, or --tun)\n",
               "--state", keys, "--socket", sock, "--tun", "lo");
    assert_int_equal(CHECK("--tun", "a/b"), 2);
    assert_shows("said", said);
    assert_int_equal(CHECK("--tun", "a-name-that-is-too-long"), 2);
}
