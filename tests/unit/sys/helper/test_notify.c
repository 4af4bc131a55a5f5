/* SPDX-License-Identifier: MIT */
/* The program that is run for a message: what it gets, what it may not do, how it ends. */
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/helper/notify.h"
#include "tests/unit/test_util.h"

static char dir[] = "/tmp/pv_notify_XXXXXX";
static char script[64], output[64];
static struct pv_notify_message msg;
static char error[PV_NOTIFY_ERROR_MAX];

static int begin(void **state)
{
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(script, sizeof(script), "%s/script", dir);
    snprintf(output, sizeof(output), "%s/output", dir);
    memset(&msg, 0, sizeof(msg));
    snprintf(msg.from, sizeof(msg.from), "bob");
    snprintf(msg.to, sizeof(msg.to), "alice");
    snprintf(msg.id, sizeof(msg.id), "abc");
    snprintf(msg.time, sizeof(msg.time), "1795161600.500");
    msg.text_len = 14;
    memcpy(msg.text, "hi; $(reboot)\n", 14);
    return 0;
}

static int end(void **state)
{
    unlink(script);
    unlink(output);
    return rmdir(dir);
}

PV_TEST_WORLD(begin, end);

static void write_script(const char *text, unsigned mode)
{
    test_write(script, text);
    assert_int_equal(chmod(script, mode), 0);
}

static void read_output(char *buf, size_t cap)
{
    FILE *f = fopen(output, "r");
    assert_non_null(f);
    size_t n = fread(buf, 1, cap - 1, f);
    buf[n] = '\0';
    fclose(f);
}

/* One run by a process of its own, as the helper starts it. */
static int run(const char *args)
{
    int pair[2];
    const char *command = PV_STR("%s%s", script, args);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid_t helper = getpid(), pid = fork();
    if (pid == 0) {
        close(pair[0]);
        pv_notify_serve(pair[1], helper, command);
        _exit(0);
    }
    close(pair[1]);
    int r = pv_notify_run(pair[0], &msg, error);
    close(pair[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return r;
}

PV_TEST(it_gets_text_and_environment_and_nothing_else)
{
    char text[1024];
    write_script(test_given("bin/sh echo # env grep"), 0755);
    assert_ok(run("  one   two"));
    read_output(text, sizeof(text));
    assert_shows("text", text);
}

PV_TEST(its_code_and_signal_are_told)
{
    write_script("#!/bin/sh\nexit 3\n", 0755);
    assert_int_equal(run(""), PV_ERR_STATE);
    assert_has(error, "code 3");
    write_script("#!/bin/sh\nkill -9 $$\n", 0755);
    assert_int_equal(run(""), PV_ERR_STATE);
    assert_has(error, "signal 9");
}

/* A shell would have run the first. */
PV_TEST(why_the_kernel_does_not_run_it_is_told)
{
    test_shows_as(dir, "DIR");
    write_script("exit 0\n", 0755);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_shows("error", error);
    write_script("#!/nonexistent/python\n", 0755);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_shows("error", error);
    write_script("#!/dev/null\n", 0755);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_has(error, "script: Permission denied");
    write_script("#!/bin/sh\nexit 127\n", 0755);
    assert_int_equal(run(""), PV_ERR_STATE);
    assert_has(error, "code 127");
}

PV_TEST(a_program_others_may_write_is_not_run)
{
    write_script(test_given("bin/sh touch dirname /output"), 0775);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_has(error, "chmod go-w");
    assert_int_equal(chmod(script, 0644), 0);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_int_equal(unlink(script), 0);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_int_not_equal(access(output, F_OK), 0);
}

PV_TEST(a_program_that_only_its_owner_may_write_from_now_on_is_run)
{
    write_script(test_given("bin/sh touch dirname /output"), 0775);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_has(error, "chmod go-w it");
    assert_int_equal(chmod(script, 0755), 0); /* remedy: keep_to_owner */
    assert_ok(run(""));
    assert_int_equal(access(output, F_OK), 0);
}

/* Else whoever owns the directory could put root's shell there, and write to it. */
PV_TEST(a_path_that_others_may_change_is_not_run)
{
    char link[sizeof(script) + 8];
    write_script(test_given("bin/sh touch dirname /output"), 0755);
    assert_int_equal(chmod(dir, 0777), 0);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_has(error, dir);
    assert_int_equal(chmod(dir, 0700), 0);
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(dir, 12345, 12346), 0);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_int_equal(chown(dir, 0, 0), 0);
    snprintf(link, sizeof(link), "%s.link", script);
    assert_int_equal(rename(script, link), 0);
    assert_int_equal(symlink(link, script), 0);
    assert_int_equal(lchown(script, 12345, 12346), 0);
    assert_int_equal(run(""), PV_ERR_REFUSED);
    assert_int_not_equal(access(output, F_OK), 0);
    assert_int_equal(lchown(script, 0, 0), 0);
    assert_ok(run(""));
    assert_int_equal(access(output, F_OK), 0);
    unlink(link);
}

PV_TEST(it_runs_as_the_owner_of_its_file)
{
    char text[64];
    if (geteuid() != 0)
        skip();
    const gid_t more = 12347; /* a group of ours that the program does not get */
    write_script(test_given("bin/sh cd dirname -u -r -G"), 0755);
    assert_int_equal(chown(dir, 12345, 12346), 0);
    assert_int_equal(chown(script, 12345, 12346), 0);
    assert_int_equal(setgroups(1, &more), 0);
    int r = run("");
    assert_int_equal(setgroups(0, NULL), 0);
    assert_ok(r);
    read_output(text, sizeof(text));
    assert_string_equal(text, "12345\n12346\n1\n");
}

/* Nobody in particular has to run what is root's; another user's program is for that user alone. */
PV_TEST(a_process_that_may_become_nobody_runs_roots_programs_only)
{
    int status = 0;
    if (geteuid() != 0)
        skip();
    write_script("#!/bin/sh\n[ \"$(id -u)\" = 12345 ]\n", 0755);
    assert_int_equal(chmod(dir, 0755), 0);
    for (uid_t i = 0; i < 2; i++) {
        const uid_t owner = i == 0 ? 54321 : 0;
        assert_int_equal(chown(script, owner, owner), 0); /* remedy: give_to_root */
        pid_t pid = fork();
        if (pid == 0) {
            if (setgid(12345) < 0 || setuid(12345) < 0)
                _exit(1);
            int r = run("");
            _exit(owner == 0 ? r != PV_OK
                             : r != PV_ERR_REFUSED || strstr(error, "give it to root") == NULL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

PV_TEST(commands_are_absolute_paths_with_few_words)
{
    char longest[PV_NOTIFY_COMMAND_MAX + 1];
    assert_true(pv_notify_command_is_valid("/usr/bin/notify-send -u low"));
    assert_false(pv_notify_command_is_valid("notify-send"));
    assert_false(pv_notify_command_is_valid(""));
    assert_true(pv_notify_command_is_valid("/a 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"));
    assert_false(pv_notify_command_is_valid("/a 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"));
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    longest[PV_NOTIFY_COMMAND_MAX] = '\0';
    assert_false(pv_notify_command_is_valid(longest));
    longest[PV_NOTIFY_COMMAND_MAX - 1] = '\0';
    assert_true(pv_notify_command_is_valid(longest));
}
