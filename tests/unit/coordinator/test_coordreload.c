/* SPDX-License-Identifier: MIT */
/* The settings read again: what is compared, and what the running program makes of it. */
#include "coordinator/ctlsock.h"
#include "coordinator/reload.h"
#include "sys/net/tlscert.h"
#include "tests/unit/coordinator/coord_run.h"

#define BEGIN "[coordinator]\nlisten = 127.0.0.1:0\n"
#define NET   "[network 0123456789abcdef0123456789abcdef]\n"

static char config[96];

static void write_config(const char *text)
{
    snprintf(config, sizeof(config), "%s/conf", dir);
    test_write(config, text);
    assert_int_equal(chmod(config, 0644), 0);
}

static void write_password(const char *name, const char *password)
{
    test_write(PV_STR("%s/%s", dir, name), password);
}

/* Writes a certificate and its key as dir/c.pem and dir/k.pem. */
static void write_certificate(void)
{
    static const char *const names[] = {"vpn.example"};
    struct pv_tlscert made;
    assert_ok(pv_tlscert_make(&made, names, 1));
    test_write(PV_STR("%s/c.pem", dir), made.cert);
    test_write(PV_STR("%s/k.pem", dir), made.key);
}

/* --- comparing ------------------------------------------------------------------------------- */

static struct pv_coordset set;
static struct pv_coordreload again;
static char error[PV_COORDSET_ERROR_MAX];

/* The first text is that of the start, the second that of now. */
static int reload(const char *before, const char *after)
{
    static char name[] = "p2pvpn-coordinator", option[] = "--config", open[] = "--open";
    static char *argv[] = {name, option, config, open, NULL};
    write_config(before);
    assert_ok(pv_coordset_load(&set, 4, argv, error));
    write_config(after);
    return pv_coordreload_read(&again, &set, error);
}

static void show_reload(const char *before, const char *after)
{
    assert_ok(reload(before, after));
    assert_shows("changed", again.changed);
    assert_shows("waiting", again.waiting);
}

PV_TEST_IN(a_change_is_named_by_its_key, setup, teardown)
{
    show_reload(BEGIN, BEGIN);
    show_reload(BEGIN, BEGIN "public = c.example\n");
    assert_string_equal(again.told.stun.texts[0], "c.example:3478");
    show_reload(BEGIN "public = c.example\n", BEGIN "public = c.example:9\n");
    show_reload(BEGIN, BEGIN "open = off\n"); /* the command line stands */
    show_reload(BEGIN, test_given("coordinator listen relay"));
    show_reload(BEGIN, BEGIN "[relay]\nphone-ports = 8\nphone-ports-per-network = 2\n");
    show_reload(BEGIN "[relay]\nallow-peer = 10.0.0.0/8\n",
                BEGIN "[relay]\nallow-peer = 10.0.0.0/9\n");
    show_reload(BEGIN "[limits]\nmembers = 3\n", test_given("coordinator listen limits"));
    assert_int_equal(again.told.net_limits.all.members, 4);
}

/* One that leaves something to [limits] has not changed when they have. */
PV_TEST_IN(networks_are_compared_by_what_they_say, setup, teardown)
{
    show_reload(BEGIN, BEGIN NET "members = 3\n");
    assert_int_equal(again.told.net_limits.n, 1);
    assert_int_equal(again.told.net_limits.nets[0].limits.members, 3);
    show_reload(BEGIN NET "members = 3\n", BEGIN);
    show_reload(BEGIN NET "members = 3\n", BEGIN NET "members = 3\nstored = 1M\n");
    show_reload(BEGIN NET "relay-bandwidth = 1M\n", BEGIN NET "relay-bandwidth = 2M\n");
    show_reload(BEGIN NET "members = 3\n", BEGIN "[limits]\nstored = 1M\n" NET "members = 3\n");
    assert_int_equal(again.told.net_limits.nets[0].limits.stored, 1000000);
}

PV_TEST_IN(settings_used_at_the_start_wait, setup, teardown)
{
    write_certificate();
    show_reload(BEGIN "tls-listen = 127.0.0.1:4443\n",
                test_given_with("settings used at the start", dir, dir));
    /* ... and stays what it was. */
    assert_int_equal(again.set.limits.general.conns, 0);
    assert_int_equal(again.set.listen[0].port, 0);
    assert_int_equal(again.set.n_alt, 0);
    assert_int_equal(again.set.tls_listen[0].port, 4443);
    assert_string_equal(again.set.tls_cert, "");
    assert_false(again.set.relay.off);
    assert_int_equal(again.set.relay.n_users, 0);
    assert_int_equal(again.set.metrics.listen.family, PV_AF_NONE);
    show_reload(test_given("turn-user password-file"), test_given("turn-user c password-file"));
}

PV_TEST_IN(a_mistake_is_named_with_file_and_line, setup, teardown)
{
    assert_int_equal(reload(BEGIN, BEGIN "opne = yes\n"), PV_ERR_MALFORMED);
    assert_has(error, "conf:3: unknown key opne");
    /* The next start would end with it. */
    assert_int_equal(reload(BEGIN, BEGIN "[turn-user a]\npassword-file = /dev/null/a\n"),
                     PV_ERR_MALFORMED);
    assert_shows("error", error);
    write_certificate();
    const struct {
        const char *cert, *key, *error;
    } rows[] = {
        {"c.pem", "gone.pem", "gone.pem: no such file"},
        {"gone.pem", "k.pem", "gone.pem: no such file"},
        {"c.pem", "conf", "conf: "},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_int_equal(reload(BEGIN, PV_STR(BEGIN "tls-cert = %s/%s\ntls-key = %s/%s\n", dir,
                                              rows[i].cert, dir, rows[i].key)),
                         PV_ERR_MALFORMED);
        assert_has(error, rows[i].error);
    }
}

PV_TEST(a_list_of_names_that_is_full_says_so)
{
    char list[PV_COORDRELOAD_TEXT_MAX] = "";
    for (int i = 0; i < 200; i++) {
        const char *name = PV_STR("[turn-user somebody-%d]", i);
        pv_coordreload_name(list, name);
        pv_coordreload_name(list, name); /* each once */
    }
    assert_shows("list", list);
    assert_string_equal(list + strlen(list) - 5, ", ...");
    assert_lacks(list, "..., ");
}

/* --- the running program --------------------------------------------------------------------- */

static struct program start_coordinator(void)
{
    struct program p = START("--config", config);
    read_until(&p, "listening on");
    return p;
}

static json_t *ask(const char *what)
{
    char why[512];
    json_t *request = json_pack("{s:s}", "do", what), *doc = NULL;
    if (pv_ctlsock_ask(PV_STR("%s/s", dir), request, &doc, why, sizeof(why)) < 0)
        fail_msg("%s", why);
    json_decref(request);
    return doc;
}

static void expect_answer(const char *key, const char *want)
{
    json_t *doc = ask("reload");
    char *text = json_dumps(json_object_get(doc, key), JSON_COMPACT | JSON_ENCODE_ANY);
    assert_non_null(text);
    if (strstr(text, want) == NULL)
        fail_msg("%s is %s, not %s", key, text, want);
    free(text);
    json_decref(doc);
}

PV_TEST_IN(it_takes_all_or_nothing, setup, teardown)
{
    write_password("web", "sesame\n");
    write_config(BEGIN "[turn-user web]\npassword-file = web\n");
    char *cwd = getcwd(NULL, 0);
    assert_int_equal(chdir(dir), 0); /* where relative names begin */
    struct program p = start_coordinator();
    assert_int_equal(chdir(cwd), 0);
    free(cwd);
    expect_answer("changed", "[]");
    expect_answer("restart", "[]");

    write_config(test_given("coordinator listen public"));
    expect_answer("changed", "[\"public\",\"[limits] members\"]");
    expect_answer("restart", "[\"listen\"]"); /* still */
    expect_answer("changed", "[]");
    write_password("web2", "open\n");
    assert_int_equal(rename(PV_STR("%s/web2", dir), PV_STR("%s/web", dir)), 0);
    expect_answer("restart", "[\"listen\",\"[turn-user web]\"]");

    write_config(BEGIN "public = other.example\nmembres = 2\n");
    expect_answer("message", "nothing is changed: ");
    expect_answer("message", "conf:4: unknown key membres");
    p.len = 0;
    p.text[0] = '\0';
    write_config(BEGIN "public = other.example\nlisten = nowhere\n");
    kill(p.pid, SIGHUP);
    read_until(&p, "conf:4: listen nowhere: expected");
    write_config(test_given("coordinator listen public 2"));
    kill(p.pid, SIGHUP);
    read_until(&p, "changed=\"public, [limits] members\"");
    assert_int_equal(chmod(config, 0), 0);
    expect_answer("message", "not permitted: ");
    assert_int_equal(unlink(config), 0);
    expect_answer("message", "no such file");
    assert_int_equal(stop(&p), 0);
}
