/* SPDX-License-Identifier: MIT */
/* Names of this machine's nodes, and what follows from them. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/lib/instance.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

PV_TEST(paths_follow_from_the_name)
{
    struct pv_instance i;
    assert_ok(pv_instance_named("", &i));
    assert_string_equal(i.socket, "/run/p2pvpn/p2pvpnd.sock");
    assert_string_equal(i.tun, "p2pvpn0");
    assert_ok(pv_instance_named("default", &i));
    assert_string_equal(i.name, "");
    assert_ok(pv_instance_named("work-at-ho1", &i));
    assert_string_equal(i.socket, "/run/p2pvpn/work-at-ho1.sock");
    assert_string_equal(i.state, "/var/lib/p2pvpn-work-at-ho1");
    assert_string_equal(i.config, "/etc/p2pvpn/work-at-ho1.conf");
    assert_string_equal(i.tun, "p2p-work-at-ho1");
    assert_true(strlen(i.tun) < 16); /* IFNAMSIZ */
    assert_string_equal(i.unit, "p2pvpnd@work-at-ho1.service");
}

PV_TEST(names_that_could_be_another_file_are_refused)
{
    static const char *const bad[] = {"work-at-home", "-work",   "work-", "Work", "a/b",
                                      "..",           "w.x",     "a b",   "@",    "p2pvpnd",
                                      "coordinator",  "\xc3\xa4"};
    struct pv_instance i;
    for (size_t k = 0; k < PV_ARRAY_LEN(bad); k++)
        assert_int_equal(pv_instance_named(bad[k], &i), PV_ERR_MALFORMED);
}

PV_TEST(a_socket_tells_the_node)
{
    char longer[PATH_MAX + 8];
    struct pv_instance i;
    assert_ok(pv_instance_behind("/run/p2pvpn/work.sock", &i));
    assert_string_equal(i.name, "work");
    assert_true(i.is_usual);
    assert_ok(pv_instance_behind("/run/p2pvpn/p2pvpnd.sock", &i));
    assert_string_equal(i.unit, "p2pvpnd.service");
    assert_true(i.is_usual);
    assert_ok(pv_instance_behind("/tmp/work.sock", &i));
    assert_string_equal(i.socket, "/tmp/work.sock");
    assert_string_equal(i.name, "");
    assert_false(i.is_usual);
    assert_ok(pv_instance_behind("/run/p2pvpn/Work.sock", &i));
    assert_false(i.is_usual);
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(pv_instance_behind(longer, &i), PV_ERR_LIMIT);
}

static void remove_dir(void *dir)
{
    (void)test_dir_remove(dir);
    free(dir);
}

static void touch(const char *dir, const char *file)
{
    FILE *f = fopen(PV_STR("%s/%s", dir, file), "we");
    assert_non_null(f);
    fclose(f);
}

PV_TEST(the_own_node_is_meant_when_it_is_down_but_not_where_there_never_was_one)
{
    char dir[64];
    struct pv_instance i;
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    test_defer(remove_dir, strdup(dir));
    assert_int_equal(setenv("XDG_STATE_HOME", dir, 1), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
    assert_ok(pv_instance_find("", &i));
    assert_false(i.is_user);
    const char *own = PV_STR("%s/p2pvpn", dir); /* p2pvpnctl's own file makes it, too */
    assert_int_equal(mkdir(own, 0700), 0);
    assert_ok(pv_instance_find("default", &i));
    assert_false(i.is_user);
    touch(own, "lock");
    assert_ok(pv_instance_find("", &i));
    assert_true(i.is_user);
    assert_ok(pv_instance_find("work", &i));
    assert_false(i.is_user);
}

PV_TEST(finds_the_own_node_by_its_socket)
{
    char dir[64];
    struct pv_instance i;
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    test_defer(remove_dir, strdup(dir));
    assert_int_equal(setenv("XDG_STATE_HOME", dir, 1), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
    assert_ok(pv_instance_behind(PV_STR("%s/p2pvpn/p2pvpnd.sock", dir), &i));
    assert_true(i.is_user && !i.is_usual);
    assert_string_equal(i.name, "");
    assert_ok(pv_instance_behind(PV_STR("%s/p2pvpn/work.sock", dir), &i));
    assert_true(i.is_user && !i.is_usual);
    assert_string_equal(i.name, "work");
    assert_ok(pv_instance_behind(PV_STR("%s/work.sock", dir), &i));
    assert_false(i.is_user);
}

PV_TEST(lists_the_own_that_ever_ran)
{
    char names[PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF], dir[64];
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    test_defer(remove_dir, strdup(dir));
    assert_int_equal(setenv("XDG_STATE_HOME", dir, 1), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
    for (size_t i = 0; i < 4; i++) {
        static const char *const made[] = {"p2pvpn-work", "p2pvpn-games", "p2pvpn-Odd", "p2pvpn"};
        const char *made_dir = PV_STR("%s/%s", dir, made[i]);
        assert_int_equal(mkdir(made_dir, 0700), 0);
        if (i != 1)
            touch(made_dir, "lock");
    }
    assert_int_equal(pv_instance_list_own(names), 2);
    assert_string_equal(names[0], "");
    assert_string_equal(names[1], "work");
}

PV_TEST(lists_what_has_a_socket_or_settings_once_and_in_order)
{
    char names[PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF], dir[64];
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    test_defer(remove_dir, strdup(dir));
    const char *run = PV_STR("%s/run", dir);
    const char *etc = PV_STR("%s/etc", dir);
    assert_int_equal(pv_instance_list(run, etc, names), 1); /* neither is there yet */
    assert_string_equal(names[0], "");
    assert_int_equal(mkdir(run, 0700), 0);
    assert_int_equal(mkdir(etc, 0700), 0);
    touch(run, "p2pvpnd.sock");
    touch(run, "work.sock");
    touch(run, "work.names");
    touch(run, "Odd.sock");
    touch(etc, "p2pvpnd.conf");
    touch(etc, "coordinator.conf");
    touch(etc, "work.conf");
    touch(etc, "games.conf");
    touch(etc, ".conf");
    assert_int_equal(pv_instance_list(run, etc, names), 3);
    assert_string_equal(names[1], "games");
    assert_string_equal(names[2], "work");
    for (int i = 0; i < PV_INSTANCE_MAX + 8; i++) {
        touch(etc, PV_STR("n%d.conf", i));
    }
    assert_int_equal(pv_instance_list(run, etc, names), PV_INSTANCE_MAX);
}
