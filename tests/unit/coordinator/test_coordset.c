/* SPDX-License-Identifier: MIT */
/* The coordinator's command line and configuration file. */
#include <unistd.h>

#include "coordinator/settings/settings.h"
#include "coordinator/url.h"
#include "tests/unit/test_util.h"

static char config[64];
static struct pv_coordset set;
static char error[PV_COORDSET_ERROR_MAX];

static int setup(void **state)
{
    snprintf(config, sizeof(config), "/tmp/pvcoordset.XXXXXX");
    int fd = mkstemp(config);
    close(fd);
    error[0] = '\0';
    test_shows_as(config, "CONF");
    return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    unlink(config);
    return 0;
}

PV_TEST_WORLD(setup, teardown);

static void write_config(const char *text)
{
    test_write(config, text);
}

/* Arguments behind "--config FILE", split at blanks. */
static int load(const char *args)
{
    static char buf[4096];
    static char name[] = "p2pvpn-coordinator";
    static char option[] = "--config";
    char *argv[32] = {name, option, config};
    char *rest = NULL;
    int argc = 3;
    snprintf(buf, sizeof(buf), "%s", args);
    for (char *p = strtok_r(buf, " ", &rest); p != NULL; p = strtok_r(NULL, " ", &rest))
        argv[argc++] = p;
    return pv_coordset_load(&set, argc, argv, error);
}

PV_TEST(without_anything_it_runs_on_every_address)
{
    assert_ok(load(""));
    assert_int_equal(set.action, PV_COORDSET_RUN);
    assert_int_equal(set.n_listen, 0);
    assert_int_equal(set.n_public, 0);
    assert_false(set.switches.open);
    assert_string_equal(set.state, "/var/lib/p2pvpn-coordinator");
    assert_int_equal(pv_coordset_port(&set), 3478);
}

PV_TEST(options_are_taken_in_both_forms)
{
    assert_ok(load(test_given("listen --listen db8 --public")));
    assert_int_equal(set.action, PV_COORDSET_URL);
    assert_int_equal(set.n_listen, 2);
    assert_int_equal(set.listen[1].port, 4001);
    assert_int_equal(set.n_public, 2);
    assert_string_equal(set.public[0].host, "c.example");
    assert_int_equal(set.public[0].port, 0);
    assert_int_equal(set.public[1].port, 9);
    assert_true(set.switches.open);
    assert_string_equal(set.state, "/tmp/x");
    assert_int_equal(pv_coordset_port(&set), 4000);
    assert_ok(load("--check"));
    assert_int_equal(set.action, PV_COORDSET_CHECK);
    assert_ok(load("status --check"));
    assert_int_equal(set.action, PV_COORDSET_STATUS);
    assert_true(set.check);
    assert_ok(load("--check status"));
    assert_int_equal(set.action, PV_COORDSET_STATUS);
    assert_true(set.check);
    assert_ok(load("status --json --state=/tmp/y"));
    assert_false(set.check);
    assert_int_equal(set.action, PV_COORDSET_STATUS);
    assert_true(set.json);
    assert_string_equal(set.state, "/tmp/y");
    assert_ok(load("web"));
    assert_int_equal(set.action, PV_COORDSET_WEB);
    assert_null(set.operand);
    assert_ok(load("web --state /tmp/y 8080 --json"));
    assert_string_equal(set.operand, "8080");
    assert_int_equal(load("web 8080 8081"), PV_ERR_MALFORMED);
    assert_int_equal(load("--json"), PV_ERR_MALFORMED);
    assert_ok(load("backup --state /tmp/z status --json"));
    assert_int_equal(set.action, PV_COORDSET_BACKUP);
    assert_string_equal(set.operand, "status");
    assert_int_equal(load("restore"), PV_ERR_MALFORMED);
    assert_has(error, "restore FILE: is missing");
    assert_int_equal(load("restore a b"), PV_ERR_MALFORMED);
    assert_has(error, "argument b: unknown");
    assert_ok(load("--version"));
    assert_int_equal(set.action, PV_COORDSET_VERSION);
}

PV_TEST(each_command_has_the_help)
{
    static const char *const rows[] = {
        "-h",        "status -h", "drop -h", "backup --help", "drop --json -h", "restore --help",
        "secret -h", "web -h",    "-h drop", "--help status"};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_ok(load(rows[i]));
        assert_int_equal(set.action, PV_COORDSET_HELP);
    }
}

PV_TEST(the_help_fits_a_terminal_of_80_columns)
{
    for (const char *line = pv_coordset_usage; *line != '\0'; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 80)
            fail_msg("%.*s", (int)strcspn(line, "\n"), line);
}

PV_TEST(an_empty_word_is_named_as_one)
{
    static char name[] = "p2pvpn-coordinator", drop[] = "drop", empty[] = "";
    char *dropped[] = {name, drop, empty}, *alone[] = {name, empty};
    assert_int_equal(pv_coordset_load(&set, 3, dropped, error), PV_ERR_MALFORMED);
    assert_has(error, "drop NETWORK: is an empty word");
    assert_int_equal(pv_coordset_load(&set, 2, alone, error), PV_ERR_MALFORMED);
    assert_has(error, "argument \"\": is an empty word");
}

PV_TEST(a_value_with_a_comment_behind_it_is_told_of)
{
    write_config(test_given("relay # this one # this store"));
    assert_ok(load("--check"));
    assert_string_equal(set.store.postgres, "password='a #b'");
    assert_has(set.note, ":4: postgres: \" #...\" is part of the value");
    assert_lacks(set.note, "password");
    write_config("[coordinator]\nopen = on # for now\n");
    assert_int_equal(load("--check"), PV_ERR_MALFORMED);
    assert_shows("error", error);
    write_config("[store]\npostgres = password=a#b\n");
    assert_ok(load("--check"));
    assert_string_equal(set.note, "");
}

PV_TEST(public_takes_names_and_addresses_with_and_without_port)
{
    static const struct {
        const char *arg, *text;
    } rows[] = {
        {"203.0.113.7", "203.0.113.7:3478"},    {"203.0.113.7:99", "203.0.113.7:99"},
        {"2001:db8::1", "[2001:db8::1]:3478"},  {"[2001:db8::1]", "[2001:db8::1]:3478"},
        {"[2001:db8::1]:8", "[2001:db8::1]:8"}, {"vpn.example", "vpn.example:3478"},
        {"vpn.example:8", "vpn.example:8"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_coordurl_list list;
        const char *args = PV_STR("--public %s", rows[i].arg);
        assert_ok(load(args));
        pv_coordurl_public(&set, &list);
        assert_int_equal(list.n, 1);
        assert_string_equal(list.texts[0], rows[i].text);
    }
}

PV_TEST(nodes_are_told_where_tls_is)
{
    const struct {
        const char *args;
        const char *addrs[3]; /* NULL behind the last */
    } rows[] = {
        {"--public vpn.example", {NULL}},
        {test_given("public vpn.example"), {"vpn.example:443"}},
        {test_given("public vpn.example 2"), {"vpn.example:443"}},
        {test_given("public --public db8"), {"203.0.113.7:8443", "[2001:db8::7]:8443"}},
        {test_given("public a.example --tls-listen"), {"198.51.100.5:443"}},
        {test_given("listen --tls-listen"), {"198.51.100.6:443"}},
        {"--public a.example --tls-listen 127.0.0.1:0", {NULL}},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_coordurl_list list;
        size_t n = 0;
        assert_ok(load(rows[i].args));
        pv_coordurl_tls(&set, &list);
        for (; rows[i].addrs[n] != NULL; n++) {
            assert_true(n < list.n);
            assert_string_equal(list.texts[n], rows[i].addrs[n]);
        }
        assert_int_equal(list.n, n);
    }
}

PV_TEST(wrong_options_say_what_and_why)
{
    const char *const rows[] = {
        "--listne 1.2.3.4:5",
        "--listen",
        "--listen 1.2.3.4",
        "--listen example:1",
        "--listen 1.2.3.4:5 --listen 1.2.3.4:5",
        test_given("listen --listen --listen"),
        "--public VPN.example",
        "--public a.example:99999",
        "--public tls:a.example",
        "--public 0.0.0.0",
        "--public ::",
        "--public 224.0.0.1",
        "--public 255.255.255.255",
        "--state=",
        "--config /nonexistent/x",
        "--config /tmp",
        "--tls-listen 0.0.0.0:3478",
        "--tls-listen [2001:db8::1]:3478",
        "--tls-listen=1.2.3.4",
        test_given("tls-listen --tls-listen"),
        test_given("listen --tls-listen 2"),
        "--tls-cert x", /* in the file only */
        "--relay-ports 1023-2000",
        "--relay-ports 2000-1999",
        "--relay-ports 2000-65536",
        "--relay-ports 2000",
        "--relay-ports -",
        "urls",
        "url urls",
        "-v",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        int r = load(rows[i]);
        assert_int_equal(r, PV_ERR_MALFORMED);
        assert_shows(rows[i], error);
    }
}

PV_TEST(the_file_names_the_certificate)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"tls-cert = /a\n", "tls-cert without tls-key"},
        {"tls-key = /a\n", "tls-key without tls-cert"},
        {"tls-cert = /a\ntls-cert = /b\n", "given twice"},
        {"tls-key =\n", "expected the path"},
        {"tls-listen = 443\n", "expected ADDRESS:PORT"},
    };
    write_config(test_given("coordinator tls-cert /a/c.pem"));
    assert_ok(load(""));
    assert_string_equal(set.tls_cert, "/a/c.pem");
    assert_string_equal(set.tls_key, "/a/k.pem");
    assert_int_equal(set.n_tls_listen, 2);
    assert_ok(load("--tls-listen 127.0.0.1:444"));
    assert_int_equal(set.n_tls_listen, 1);
    assert_int_equal(set.tls_listen[0].port, 444);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char text[256];
        snprintf(text, sizeof(text), "[coordinator]\n%s", rows[i].text);
        write_config(text);
        int r = load("");
        if (r != PV_ERR_MALFORMED || strstr(error, rows[i].part) == NULL)
            fail_msg("%s: %d \"%s\"", rows[i].text, r, error);
    }
}

PV_TEST(the_file_fills_what_the_command_line_left_out)
{
    write_config(test_given("comment coordinator listen"));
    assert_ok(load(""));
    assert_int_equal(set.n_listen, 2);
    assert_int_equal(set.n_public, 2);
    assert_int_equal(set.public[1].port, 7);
    assert_true(set.switches.open);
    assert_ok(load("--listen 127.0.0.1:5 --public c.example"));
    assert_int_equal(set.n_listen, 1);
    assert_int_equal(set.listen[0].port, 5);
    assert_int_equal(set.n_public, 1);
    assert_string_equal(set.public[0].host, "c.example");
}

/* Lines that an option takes the place of are checked one by one, and add up to nothing. */
PV_TEST(lines_that_do_not_count_are_in_nobodys_way)
{
    write_config(test_given("coordinator listen listen"));
    assert_ok(load(test_given("listen --tls-listen 3")));
    assert_int_equal(set.n_listen, 1);
    write_config("[coordinator]\nlisten = nowhere\n");
    assert_int_equal(load("--listen 192.0.2.8:1"), PV_ERR_MALFORMED);
}

PV_TEST(the_relay_is_set_up_by_the_file_and_the_command_line)
{
    write_config(test_given("relay enabled no ports"));
    assert_ok(load(""));
    assert_true(set.relay.off);
    assert_int_equal(set.relay.port_lo, 2000);
    assert_int_equal(set.relay.port_hi, 2999);
    assert_int_equal(set.relay.bandwidth, 10000000);
    assert_int_equal(set.relay.per_user, 7);
    assert_int_equal(set.relay.n_allow, 2);
    assert_int_equal(set.relay.phone_ports, 16);
    assert_int_equal(set.relay.phone_ports_per_net, 3);
    assert_int_equal(set.relay.n_users, 2);
    assert_string_equal(set.relay.users[1].name, "bob");
    assert_string_equal(set.relay.users[1].password_file, "/etc/p2pvpn/bob");
    assert_ok(load("--relay-ports 3000-3000"));
    assert_int_equal(set.relay.port_lo, 3000);
    assert_int_equal(set.relay.port_hi, 3000);
    write_config("[relay]\nenabled = yes\n");
    assert_ok(load(""));
    assert_false(set.relay.off);
    assert_int_equal(set.relay.phone_ports, 16); /* phones work without a setting */
    assert_int_equal(set.relay.phone_ports_per_net, 4);
    write_config("[relay]\nphone-ports = 0\n");
    assert_ok(load(""));
    assert_int_equal(set.relay.phone_ports, 0);
    write_config("[relay]\nenabled = yes\n");
    assert_ok(load("--no-relay"));
    assert_true(set.relay.off);
}

PV_TEST(wrong_lines_are_named_with_file_and_line)
{
    const struct {
        const char *text, *part;
    } rows[] = {
        {"[coordinator]\nlistne = 1\n", ":2: unknown key listne"},
        {"[coordinater]\n", ":1: unknown section"},
        {"[]\n", ":1: "},
        {"listen = 1.2.3.4:5\n", ":1: listen stands before any section"},
        {"[coordinator]\n\nlisten = here\n", ":3: listen here"},
        {"[coordinator]\nopen = maybe\n", ":2: open maybe: expected on or off"},
        {"[coordinator]\nopen = no\nopen = no\n", ":3: open no: given twice"},
        {"[coordinator]\ngarbage\n", ":2:"},
        {"[relais]\nenabled = no\n", ":1: unknown section"},
        {"[metrics]\nlisten = 9586\n", ":2: listen: expected ADDRESS:PORT"},
        {"[metrics]\nport = 9586\n", ":2: unknown key in [metrics]"},
        {"[metrics]\nlisten = 0.0.0.0:9586\n", ": [metrics] listen: anybody who reaches"},
        {"[relay]\nenabled = maybe\n", ":2: enabled maybe"},
        {"[relay]\nenabled = no\nenabled = no\n", ":3: enabled no: given twice"},
        {"[relay]\nports = 1-2\n", ":2: ports 1-2"},
        {"[relay]\nbandwidth = 5X\n", ":2: bandwidth 5X"},
        {"[relay]\nbandwidth = 999\n", ":2: bandwidth 999"},
        {"[relay]\nbandwidth = 5G\n", ":2: bandwidth 5G"},
        {"[relay]\nallocations-per-user = 0\n", ":2: allocations-per-user 0"},
        {"[relay]\nallow-peer = 10.0.0.1/8\n", ":2: allow-peer 10.0.0.1/8"},
        {"[relay]\nphone-ports = on\n", ":2: phone-ports on: expected 0 (none) to 1024"},
        {"[relay]\nphone-ports-per-network = 0\n", ":2: phone-ports-per-network 0"},
        {"[relay]\nturn = x\n", ":2: unknown key turn"},
        {"[turn-user a]\n", "[turn-user a] has no password-file"},
        {"[turn-user a:b]\n", ":1: turn-user a:b"},
        {"[turn-user a\xfc]\n", ": expected a name of 1 to 64 bytes in UTF-8"},
        {test_given("turn-user password-file /x"), ":3: turn-user a: given twice"},
        {"[turn-user a]\npassword = x\n", ":2: unknown key password"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        write_config(rows[i].text);
        int r = load("");
        if (r != PV_ERR_MALFORMED || strstr(error, rows[i].part) == NULL ||
            strstr(error, config) == NULL)
            fail_msg("%s: %d \"%s\"", rows[i].text, r, error);
    }
    /* A value that the command line overrules is checked all the same. */
    write_config("[coordinator]\nlisten = here\n");
    assert_int_equal(load("--listen 127.0.0.1:5"), PV_ERR_MALFORMED);
}

PV_TEST(a_private_public_address_is_noted)
{
    struct pv_hostport addr;
    char note[PV_COORDURL_NOTE_MAX];
    assert_ok(load("--public 10.0.0.5"));
    assert_ok(pv_coordurl_address(&set, &addr, note));
    assert_shows("note", note);
    assert_ok(load("--public 127.0.0.1"));
    assert_ok(pv_coordurl_address(&set, &addr, note));
    assert_shows("note", note);
    assert_ok(load("--public localhost:4444"));
    assert_ok(pv_coordurl_address(&set, &addr, note));
    assert_shows("note", note);
    static const char *const fine[] = {"--public 203.0.113.7", "--public c.example",
                                       "--public 2001:db8::7"};
    for (size_t i = 0; i < PV_ARRAY_LEN(fine); i++) {
        assert_ok(load(fine[i]));
        assert_ok(pv_coordurl_address(&set, &addr, note));
        assert_string_equal(note, "");
    }
}

/* The test's machine has no address of the documentation's; at home the router has the public one.
 */
PV_TEST(a_public_address_that_is_not_this_machines_is_doubted)
{
    static const struct {
        const char *line;
        bool doubtful;
    } rows[] = {
        {"--public 10.0.0.5", true},
        {"--public 203.0.113.7", true},
        {"--public c.example --public 10.0.0.5", false},
        {"--public 203.0.113.7 --public 10.0.0.5", true},
        {"--public 127.0.0.1", true},
        {"--public localhost", true},
        {"--public [::1]:3478", true},
        {"--public 10.0.0.5 --public 127.0.0.1", true},
        {"--public 127.0.0.1 --public 10.0.0.5", true},
        {"--public 127.0.0.1 --public c.example", false},
        {"", false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char note[PV_COORDURL_NOTE_MAX] = "";
        assert_ok(load(rows[i].line));
        assert_int_equal(pv_coordurl_is_doubtful(&set, note), rows[i].doubtful);
        assert_shows(rows[i].line, note);
    }
}

/* The settings may be for another machine; on this one it would not start. */
PV_TEST(an_address_that_is_not_this_machines_is_named)
{
    char note[PV_COORDURL_NOTE_MAX] = "";
    assert_ok(load("--alt-address 127.0.0.1"));
    assert_false(pv_coordurl_is_foreign(&set, note));
    assert_ok(load("--alt-address 203.0.113.8"));
    assert_true(pv_coordurl_is_foreign(&set, note));
    assert_shows("note", note);
    assert_ok(load(test_given("listen --listen --tls-listen")));
    assert_false(pv_coordurl_is_foreign(&set, note));
    assert_ok(load("--listen 203.0.113.9:3478"));
    assert_true(pv_coordurl_is_foreign(&set, note));
    assert_shows("note", note);
    assert_ok(load("--tls-listen [2001:db8::9]:443"));
    assert_true(pv_coordurl_is_foreign(&set, note));
    assert_shows("note", note);
}

PV_TEST(one_alternate_address_a_family_is_taken)
{
    static const char *const bad[] = {"192.0.2.2:3478", "0.0.0.0", "224.0.0.1", "host", ""};
    struct pv_addr first;
    assert_ok(load(test_given("alt-address --alt-address db8")));
    assert_int_equal(set.n_alt, 2);
    assert_int_equal(set.alt[0].family, PV_AF_INET);
    assert_int_equal(set.alt[1].family, PV_AF_INET6);
    assert_true(load(test_given("alt-address --alt-address")) < 0);
    assert_has(error, "twice");
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        const char *args = PV_STR("--alt-address=%s", bad[i]);
        assert_true(load(args) < 0);
    }
    write_config(test_given("coordinator alt-address listen"));
    assert_ok(load(""));
    assert_int_equal(set.n_alt, 1);
    assert_ok(pv_coordurl_first(&set, &set.alt[0], &first));
    assert_int_equal(first.ip[3], 1);           /* the address it listens on */
    assert_ok(load("--alt-address 192.0.2.9")); /* the command line stands */
    assert_int_equal(set.n_alt, 1);
    assert_int_equal(set.alt[0].ip[3], 9);
}

PV_TEST(networks_have_limits_of_their_own)
{
    write_config(test_given("network members relay-bandwidth"));
    assert_ok(load(""));
    const struct pv_coordset_limits *l = &set.limits;
    assert_int_equal(l->n, 2);
    assert_true(l->all.members == 100 && l->all.statements == 0 && l->all.stored == 10000000);
    assert_int_equal(l->nets[0].id[1], 0x11);
    assert_true(l->nets[0].limits.members == 500 && l->nets[0].limits.stored == 10000000);
    assert_int_equal(l->relay[0].bandwidth, 0);
    assert_true(l->nets[1].limits.members == 100 && l->nets[1].limits.statements == 9000);
    assert_true(l->nets[1].limits.stored == 0 && l->relay[1].bandwidth == 1000000);
    assert_memory_equal(l->relay[1].net, l->nets[1].id, sizeof(l->nets[1].id));
    const char *const bad[] = {
        "[network home]\n",
        "[limits]\nmembers = many\n",
        "[limits]\nmembers = 1\nmembers = 2\n",
        "[limits]\nstored = 5G\n",
        "[limits]\nrelay-bandwidth = 1M\n",
        test_given("network relay-bandwidth"),
        test_given("network network"),
        test_given("network x"),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        write_config(bad[i]);
        assert_int_equal(load(""), PV_ERR_MALFORMED);
        assert_shows(bad[i], error);
    }
}

PV_TEST(the_coordinator_itself_has_limits)
{
    write_config(test_given("limits connections 100k members"));
    assert_ok(load(""));
    const struct pv_coord_limits *g = &set.limits.general;
    assert_true(g->conns == 100000 && g->applicants == 4096 && g->networks == 10000);
    assert_true(g->subscriptions == 2000 && g->source_rate == 5000);
    assert_int_equal(set.limits.all.members, 7);
    write_config("[limits]\nmembers = 7\n");
    assert_ok(load(""));
    assert_true(g->conns == 0 && g->applicants == 0 && g->networks == 0);
    assert_true(g->subscriptions == 0 && g->source_rate == 0);
    const char *const bad[] = {
        "[limits]\nconnections = 0\n",
        "[limits]\napplicants = 2M\n",
        "[limits]\nnetworks = 1\nnetworks = 2\n",
        "[limits]\nsubscriptions = -1\n",
        "[limits]\nconns = 5\n",
        test_given("network applicants"),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        write_config(bad[i]);
        assert_int_equal(load(""), PV_ERR_MALFORMED);
        assert_shows(bad[i], error);
    }
}

/* The value may hold a password: errors do not repeat it. */
PV_TEST(a_database_may_be_named)
{
    static const char *const bad[] = {
        "[store]\npostgres =\n",
        "[store]\npostgres = a=b\npostgres = secret\n",
        "[store]\nsqlite = x\n",
    };
    write_config(test_given("store postgres host db.example"));
    assert_ok(load(""));
    assert_string_equal(set.store.postgres, "host=db.example password=x");
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        write_config(bad[i]);
        assert_int_equal(load(""), PV_ERR_MALFORMED);
        assert_lacks(error, "secret");
        assert_shows(bad[i], error);
    }
}
