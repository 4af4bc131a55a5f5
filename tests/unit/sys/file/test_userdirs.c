/* SPDX-License-Identifier: MIT */
/* The paths of `p2pvpnd --user`, by the variables that name them and without. */
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/file/userdirs.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

static void set(const char *home, const char *state, const char *config, const char *run)
{
    static const char *const names[] = {"HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME",
                                        "XDG_RUNTIME_DIR"};
    const char *const values[] = {home, state, config, run};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++)
        assert_int_equal(values[i] == NULL ? unsetenv(names[i]) : setenv(names[i], values[i], 1),
                         0);
}

static void remove_dir(void *dir)
{
    (void)test_dir_remove(dir);
    free(dir);
}

PV_TEST(the_variables_say_where_files_are)
{
    struct pv_userdirs d;
    char run[64];
    assert_non_null(test_dir_make(run, sizeof(run)));
    test_defer(remove_dir, strdup(run));
    set("/home/a", "/s", "/c", run);
    assert_ok(pv_userdirs_find("", &d));
    assert_string_equal(d.state, "/s/p2pvpn");
    assert_string_equal(d.config, "/c/p2pvpn/p2pvpnd.conf");
    assert_string_equal(d.socket, PV_STR("%s/p2pvpn/p2pvpnd.sock", run));
    assert_ok(pv_userdirs_find("work", &d));
    assert_string_equal(d.state, "/s/p2pvpn-work");
    assert_string_equal(d.config, "/c/p2pvpn/work.conf");
    assert_string_equal(d.socket, PV_STR("%s/p2pvpn/work.sock", run));
}

PV_TEST(without_them_they_are_below_the_home_directory)
{
    struct pv_userdirs d;
    set("/home/a", NULL, "relative/path", NULL); /* that one is ignored */
    assert_ok(pv_userdirs_find("", &d));
    assert_string_equal(d.state, "/home/a/.local/state/p2pvpn");
    assert_string_equal(d.config, "/home/a/.config/p2pvpn/p2pvpnd.conf");
    if (access(PV_STR("/run/user/%u", (unsigned)geteuid()), F_OK) < 0)
        assert_string_equal(d.socket, "/home/a/.local/state/p2pvpn.run/p2pvpnd.sock");
}

PV_TEST(a_directory_of_another_user_holds_no_sockets_of_ours)
{
    struct pv_userdirs d;
    char run[64];
    if (geteuid() != 0)
        skip();
    assert_non_null(test_dir_make(run, sizeof(run)));
    test_defer(remove_dir, strdup(run));
    assert_int_equal(chown(run, 65534, 65534), 0);
    set("/home/a", NULL, NULL, run);
    assert_ok(pv_userdirs_find("", &d));
    assert_int_not_equal(strncmp(d.run, run, strlen(run)), 0);
}

/* sudo -E, su -m. */
PV_TEST(the_home_directory_of_another_user_is_not_ours)
{
    struct pv_userdirs d;
    char home[64];
    if (geteuid() != 0)
        skip();
    assert_non_null(test_dir_make(home, sizeof(home)));
    test_defer(remove_dir, strdup(home));
    const char *own = PV_STR("%s/of-root", home);
    const char *below = PV_STR("%s/not/there/yet", home);
    assert_int_equal(mkdir(own, 0700), 0);
    assert_int_equal(chmod(home, 0755), 0);
    set(home, NULL, NULL, NULL);
    assert_ok(pv_userdirs_find("", &d));
    assert_int_equal(strncmp(d.state, home, strlen(home)), 0); /* it is root's */
    assert_int_equal(chown(home, 65534, 65534), 0);
    const char *const homes[] = {home, own, below}; /* he can exchange what is root's, too */
    for (size_t i = 0; i < PV_ARRAY_LEN(homes); i++) {
        set(homes[i], homes[i], homes[i], NULL);
        int r = pv_userdirs_find("", &d); /* by passwd(5), or there is none */
        assert_true(r == PV_ERR_NOT_FOUND || (strncmp(d.state, home, strlen(home)) != 0 &&
                                              strncmp(d.config, home, strlen(home)) != 0 &&
                                              strncmp(d.run, home, strlen(home)) != 0));
    }
    assert_int_equal(seteuid(65534), 0);
    set(home, NULL, NULL, NULL);
    int r = pv_userdirs_find("", &d);
    assert_int_equal(seteuid(0), 0);
    assert_ok(r);
    assert_int_equal(strncmp(d.state, home, strlen(home)), 0);
}

PV_TEST(a_directory_that_others_write_to_holds_nothing_of_ours)
{
    struct pv_userdirs d;
    char dir[64];
    if (geteuid() != 0)
        skip();
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    test_defer(remove_dir, strdup(dir));
    assert_int_equal(chmod(dir, 01777), 0);
    set("/home/a", NULL, NULL, dir);
    assert_ok(pv_userdirs_find("", &d));
    assert_int_not_equal(strncmp(d.run, dir, strlen(dir)), 0);
    assert_int_equal(seteuid(65534), 0);
    set(dir, NULL, NULL, NULL); /* root's, but anybody may make a .local in it */
    int r = pv_userdirs_find("", &d);
    assert_int_equal(seteuid(0), 0);
    assert_true(r == PV_ERR_NOT_FOUND || strncmp(d.state, dir, strlen(dir)) != 0);
}

PV_TEST(the_home_directory_is_in_itself_and_in_those_above)
{
    set("/usr/lib", NULL, NULL, NULL);
    assert_true(pv_userdirs_holds_home("/usr/lib/"));
    assert_true(pv_userdirs_holds_home("/usr"));
    assert_true(pv_userdirs_holds_home("/"));
    assert_false(pv_userdirs_holds_home("/etc"));
    assert_false(pv_userdirs_holds_home("/nonexistent"));
}

PV_TEST(a_path_that_is_too_long_is_told)
{
    struct pv_userdirs d;
    char longer[PV_USERDIRS_BUF];
    memset(longer, 'x', sizeof(longer));
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    set("/home/a", longer, NULL, NULL);
    assert_int_equal(pv_userdirs_find("", &d), PV_ERR_LIMIT);
    longer[sizeof(longer) - 8] = '\0'; /* "/p2pvpn" does not fit */
    set("/home/a", longer, NULL, NULL);
    assert_int_equal(pv_userdirs_find("", &d), PV_ERR_LIMIT);
}

PV_TEST(names_that_are_files_beside_are_no_networks)
{
    static const char *const bad[] = {"p2pvpnd", "default", "coordinator", "-a",
                                      "a-",      "A",       "a/b",         "twelve-chars"};
    struct pv_userdirs d;
    set("/home/a", NULL, NULL, NULL);
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_int_equal(pv_userdirs_find(bad[i], &d), PV_ERR_MALFORMED);
}

PV_TEST(a_socket_of_the_machines_names_its_network)
{
    static const char *const bad[] = {
        "/run/p2pvpn/p2pvpnd.sock", "/run/p2pvpn/Work.sock", "/run/p2pvpn/work.sock.web",
        "/run/p2pvpn/work",         "/tmp/work.sock",        "/run/p2pvpn/a.b.sock"};
    char net[PV_USERDIRS_NET] = "";
    assert_true(pv_userdirs_net_behind("/run/p2pvpn/work.sock", net));
    assert_string_equal(net, "work");
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_false(pv_userdirs_net_behind(bad[i], net));
}
