/* SPDX-License-Identifier: MIT */
/* The paths of `p2pvpnd --user`, by the variables that name them and without. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    char run[64], want[128];
    assert_non_null(test_dir_make(run, sizeof(run)));
    test_defer(remove_dir, strdup(run));
    set("/home/a", "/s", "/c", run);
    assert_int_equal(pv_userdirs_find("", &d), PV_OK);
    assert_string_equal(d.state, "/s/p2pvpn");
    assert_string_equal(d.config, "/c/p2pvpn/p2pvpnd.conf");
    snprintf(want, sizeof(want), "%s/p2pvpn/p2pvpnd.sock", run);
    assert_string_equal(d.socket, want);
    assert_int_equal(pv_userdirs_find("work", &d), PV_OK);
    assert_string_equal(d.state, "/s/p2pvpn-work");
    assert_string_equal(d.config, "/c/p2pvpn/work.conf");
    snprintf(want, sizeof(want), "%s/p2pvpn/work.sock", run);
    assert_string_equal(d.socket, want);
}

PV_TEST(without_them_they_are_below_the_home_directory)
{
    struct pv_userdirs d;
    char login[64];
    set("/home/a", NULL, "relative/path", NULL); /* that one is ignored */
    assert_int_equal(pv_userdirs_find("", &d), PV_OK);
    assert_string_equal(d.state, "/home/a/.local/state/p2pvpn");
    assert_string_equal(d.config, "/home/a/.config/p2pvpn/p2pvpnd.conf");
    snprintf(login, sizeof(login), "/run/user/%u", (unsigned)geteuid());
    if (access(login, F_OK) < 0)
        assert_string_equal(d.socket, "/home/a/.local/state/p2pvpn-run/p2pvpnd.sock");
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
    assert_int_equal(pv_userdirs_find("", &d), PV_OK);
    assert_int_not_equal(strncmp(d.run, run, strlen(run)), 0);
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
