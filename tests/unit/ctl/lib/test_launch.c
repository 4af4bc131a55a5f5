/* SPDX-License-Identifier: MIT */
/* The traps for root in a directory of the service's when it starts p2pvpnd by hand. */
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/lib/launch.h"
#include "tests/unit/test_util.h"

enum {
    HELD_UP_S = 20, /* then the test is ended: something waits for whoever left it there */
};

static struct pv_instance node;
static char victim[64], log_path[80];

static int setup(void **state)
{
    node = (struct pv_instance){.state = "/tmp/pvlaunch.XXXXXX"};
    if (mkdtemp(node.state) == NULL)
        return -1;
    snprintf(node.socket, sizeof(node.socket), "%s/a.sock", node.state);
    snprintf(victim, sizeof(victim), "%s/victim", node.state);
    snprintf(log_path, sizeof(log_path), "%s/p2pvpnd.log", node.state);
    FILE *f = fopen(victim, "we");
    return f == NULL || fputs("precious", f) < 0 || fclose(f) != 0;
}

static int teardown(void **state)
{
    alarm(0);
    (void)unlink(log_path);
    return unlink(victim) | rmdir(node.state);
}

PV_TEST_WORLD(setup, teardown);

static void nothing_is_started(void)
{
    struct pv_launch l;
    struct stat st;
    alarm(HELD_UP_S);
    assert_true(pv_launch_daemon(&l, &node, 0) < 0);
    assert_int_equal(l.pid, 0);
    assert_has(l.why, log_path);
    assert_int_equal(stat(victim, &st), 0);
    assert_int_equal(st.st_size, 8);
}

PV_TEST(a_log_that_is_a_link_is_not_followed)
{
    assert_int_equal(symlink(victim, log_path), 0);
    nothing_is_started();
}

PV_TEST(a_log_that_is_another_files_second_name_is_not_written_to)
{
    assert_int_equal(link(victim, log_path), 0);
    nothing_is_started();
}

PV_TEST(a_log_that_is_a_pipe_is_not_waited_for)
{
    assert_int_equal(mkfifo(log_path, 0600), 0);
    nothing_is_started();
}

PV_TEST(a_wrong_line_of_the_settings_is_the_reason)
{
    char why[PV_LAUNCH_WHY];
    if (access(PV_BIN_DIR "/p2pvpnd", X_OK) != 0)
        skip(); /* it is not built */
    snprintf(node.config, sizeof(node.config), "%.40s/conf", node.state);
    test_write(node.config, "[interface]\nprot = 1\n");
    pv_launch_why(&node, why, sizeof(why));
    assert_has(why, "conf:2: unknown key prot in [interface]");
    test_write(node.config, "");
    pv_launch_why(&node, why, sizeof(why));
    assert_string_equal(why, ""); /* nothing is wrong with them */
    assert_int_equal(unlink(node.config), 0);
}

/* --- the log's end ------------------------------------------------------------------------------
 */

static void write_log(const char *text)
{
    test_write(log_path, text);
}

/* The lines, as JSON. */
static const char *lines(void)
{
    static char text[512];
    char from[PV_LAUNCH_FROM];
    json_t *list = pv_launch_log(&node, from);
    assert_non_null(list);
    assert_string_equal(from, log_path);
    size_t n = json_dumpb(list, text, sizeof(text) - 1, JSON_COMPACT);
    text[n < sizeof(text) ? n : 0] = '\0';
    json_decref(list);
    return text;
}

PV_TEST(the_end_of_the_log_is_read_in_its_order)
{
    assert_string_equal(lines(), "[]"); /* there is none */
    write_log("");
    assert_string_equal(lines(), "[]");
    write_log("one\n\ntwo \033[2J\nthree\n");
    assert_string_equal(lines(), "[\"one\",\"two \xef\xbf\xbd[2J\",\"three\"]");
    FILE *f = fopen(log_path, "we");
    assert_non_null(f);
    for (int i = 0; i < 20000; i++)
        fprintf(f, "line %d\n", i);
    assert_int_equal(fclose(f), 0);
    char from[PV_LAUNCH_FROM];
    json_t *list = pv_launch_log(&node, from);
    assert_int_equal(json_array_size(list), PV_LAUNCH_LINES);
    assert_string_equal(json_string_value(json_array_get(list, PV_LAUNCH_LINES - 1)), "line 19999");
    assert_string_equal(json_string_value(json_array_get(list, 0)), "line 19900");
    json_decref(list);
}

/* Without systemd the log alone knows; `p2pvpnctl up` would end in the same way. */
PV_TEST(the_line_with_which_p2pvpnd_ended_is_the_reason)
{
    char why[200];
    write_log(test_given("p2pvpnd ready 58Z p2pvpnd info"));
    pv_launch_why(&node, why, sizeof(why));
    assert_string_equal(why, "open UDP port 40000: in use");
    write_log("p2pvpnd: ready: version 1\n");
    pv_launch_why(&node, why, sizeof(why));
    assert_string_equal(why, ""); /* it was killed */
    write_log(test_given("p2pvpnd no 58Z p2pvpnd info"));
    pv_launch_why(&node, why, sizeof(why));
    assert_string_equal(why, "");
}

/* A client that lost p2pvpnd gets a command for this host. */
PV_TEST(the_hint_about_the_log_is_for_this_host)
{
    char hint[PV_LAUNCH_HINT];
    struct pv_instance n = node;
    n.is_usual = true;
    snprintf(n.unit, sizeof(n.unit), "p2pvpnd-of-no-machine.service");
    assert_has(pv_launch_log_hint(&n, hint), "what it printed where it was started");
    write_log("one\n");
    assert_has(pv_launch_log_hint(&n, hint), log_path);
    assert_has(hint, "`sudo tail ");
    n.is_usual = false; /* of whoever has that socket */
    assert_has(pv_launch_log_hint(&n, hint), "what it printed where it was started");
}

PV_TEST(a_log_that_is_something_else_is_not_read)
{
    alarm(HELD_UP_S);
    assert_int_equal(symlink(victim, log_path), 0);
    assert_string_equal(lines(), "[]");
    assert_int_equal(unlink(log_path), 0);
    assert_int_equal(link(victim, log_path), 0);
    assert_string_equal(lines(), "[]");
    assert_int_equal(unlink(log_path), 0);
    assert_int_equal(mkfifo(log_path, 0600), 0);
    assert_string_equal(lines(), "[]");
}

PV_TEST(a_log_of_yet_another_user_is_not_written_to)
{
    if (geteuid() != 0)
        skip();
    FILE *f = fopen(log_path, "we");
    assert_non_null(f);
    assert_int_equal(fchown(fileno(f), 61234, 61234), 0);
    assert_int_equal(fclose(f), 0);
    nothing_is_started();
}
