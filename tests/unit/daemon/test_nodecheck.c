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
    test_shows_as(dir, "DIR");
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

/* The same of what the transcript has. */
#define CHECK_SHOWS(code, label, ...)               \
    do {                                            \
        assert_int_equal(CHECK(__VA_ARGS__), code); \
        assert_shows(label, said);                  \
    } while (0)

/* The start refuses it in the words that the check has just said. */
static void start_says_the_same(const char *const *args)
{
    static char text[sizeof(said)];
    if (geteuid() != 0)
        return;
    memcpy(text, said, sizeof(text));
    says(1, text, args);
}

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
        CHECK_SHOWS(2, flags[i], PV_STR("--%s", flags[i]), "");
}

PV_TEST(a_value_that_seems_to_have_a_comment_is_noted)
{
    const char *conf = PV_STR("%s/conf", dir);
    test_write(conf, "[chat]\nnotify = /bin/true # x\n");
    CHECK_SHOWS(0, "note", PLACES, "--config", conf);
}

PV_TEST(a_state_that_is_a_file_is_refused_as_by_the_start)
{
    test_write(keys, "");
    CHECK_SHOWS(1, "below the file", "--state", PV_STR("%s/x", keys), "--socket", sock, "--tun",
                "pv-test-none");
    CHECK_SHOWS(1, "the file", PLACES);
    start_says_the_same((const char *const[]){PLACES, NULL});
}

/* Also for a user, whose own directory would be closed to everybody else. */
PV_TEST(a_state_with_files_of_others_is_refused_as_by_the_start)
{
    struct stat st;

    assert_int_equal(mkdir(keys, 0755), 0);
    test_write(PV_STR("%s/notes", keys), "mine");
    CHECK_SHOWS(1, "said", PLACES);
    start_says_the_same((const char *const[]){PLACES, NULL});
    assert_int_equal(stat(keys, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
}

PV_TEST(a_socket_that_cannot_be_is_refused_as_by_the_start)
{
    char long_path[192];
    snprintf(long_path, sizeof(long_path), "%s/%0110d.sock", dir, 1);
    const char *const args[] = {"--state", keys,           "--socket", long_path,
                                "--tun",   "pv-test-none", NULL};
    CHECK_SHOWS(1, "said", "--state", keys, "--socket", long_path, "--tun", "pv-test-none");
    start_says_the_same(args);
    test_write(sock, "");
    assert_int_equal(CHECK(PLACES), 1);
    assert_has(said, "choose another path with --socket\n");
    assert_int_equal(access(sock, F_OK), 0);
}

PV_TEST(an_interface_of_another_kind_is_not_ours_to_have)
{
    CHECK_SHOWS(1, "lo", "--state", keys, "--socket", sock, "--tun", "lo");
    assert_int_equal(CHECK("--tun", "a/b"), 2);
    assert_shows("said", said);
    assert_int_equal(CHECK("--tun", "a-name-that-is-too-long"), 2);
}
