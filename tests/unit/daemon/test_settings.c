/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/reload.h"
#include "daemon/settings.h"
#include "sys/file/file.h"
#include "sys/net/tlscert.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

#define KEY_A "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
#define KEY_B "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

static struct pv_settings s;              /* of the file that was read last, */
static char error[PV_SETTINGS_ERROR_MAX]; /* and what is wrong with it */
static char path[32];                     /* of a file that goes with the test */

void test_before_each(void)
{
    pv_settings_init(&s);
    error[0] = '\0';
}

void test_after_each(void)
{
    pv_settings_done(&s);
}

static int parse(const char *text)
{
    test_after_each();
    test_before_each();
    return pv_settings_parse(&s, "conf", pv_view(text, strlen(text)), error);
}

static void remove_path(void *unused)
{
    unlink(path);
}

static void make_path(void)
{
    snprintf(path, sizeof(path), "/tmp/pvsettings.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    test_defer(remove_path, path);
}

PV_TEST(a_comment_behind_a_value_is_noted_or_told_with_the_error)
{
    assert_ok(parse("[chat]\nnotify = /bin/true #x\n"));
    assert_string_equal(s.notify, "/bin/true #x");
    assert_shows("note", s.note);
    assert_int_equal(parse("[log]\nlevel = debug # why\n"), PV_ERR_MALFORMED);
    assert_shows("error", error);
    assert_ok(parse("[log] # of\nlevel = debug\n"));
    assert_string_equal(s.note, "");
}

PV_TEST(an_empty_file_gives_the_defaults)
{
    assert_ok(parse(""));
    assert_string_equal(s.tun_name, "");
    assert_int_equal(s.port, 0);
    assert_int_equal(s.engine.given.mtu, 1420);
    assert_int_equal(s.workers, 1);
    assert_int_equal(s.threads, 0); /* as the machine has processors */
    assert_int_equal(s.log_level, PV_LOG_INFO);
    assert_int_equal(s.n_peers + s.engine.given.n_own_addrs, 0);
}

/* Every key with another value than its default; @ stands for the directory of files. */
static const char WHOLE[] = "[interface]\n"
                            "name = wg0\n"
                            "address = 10.0.0.1/24\n"
                            "address = fd00::1/64\n"
                            "range = 25.0.0.0/8\n"
                            "port = 51820\n"
                            "mtu = 1380\n"
                            "workers = 2\n"
                            "private-key-file = @/key\n"
                            "[peer Bob]\n"
                            "public-key = " KEY_A "\n"
                            "allowed-ips = 10.0.0.2/32\n"
                            "allowed-ips = 192.168.7.0/24\n"
                            "endpoint = vpn.example.org:51821\n"
                            "preshared-key-file = @/psk\n"
                            "persistent-keepalive = 25\n"
                            "phone-port = on\n"
                            "[peer carol]\n"
                            "public-key = " KEY_B "\n"
                            "endpoint = [2001:db8::5]:9\n"
                            "persistent-keepalive = off\n"
                            "suite = aes\n"
                            "[firewall]\n"
                            "allow = tcp/22,ping\n"
                            "[traversal]\n"
                            "predict = off\n"
                            "birthday = off\n"
                            "portmap = off\n"
                            "stun = stun.example\n"
                            "max-mappings = 64\n"
                            "max-pps = 50\n"
                            "[chat]\n"
                            "store = off\nplain = off\nkeep = 90d\nmax-size = 2g\n"
                            "auto-accept = Bob 2G\n"
                            "auto-accept = *\n"
                            "notify = /usr/bin/env -u low\n"
                            "[dns]\n"
                            "listen = on\n"
                            "[phones]\ngateway = on\n"
                            "[lan]\n"
                            "broadcast = peers\npeer = Bob\npeer = carol\nwake = on\n"
                            "beacon = off\nbeacon-exclude = wlan0\nbeacon-exclude = eth1\n"
                            "[relay]\n"
                            "turn = turn:192.0.2.9:3478\n"
                            "user = joe\n"
                            "password-file = @/password\n"
                            "ca-file = @/ca.pem\n"
                            "[coordinator]\n"
                            "proxy = http://proxy.example:3128\n"
                            "proxy-user = ann\n"
                            "proxy-password-file = @/secret\n"
                            "[metrics]\n"
                            "listen = 192.0.2.1:9586\n"
                            "allow-remote = on\n"
                            "[web]\n"
                            "listen = 127.0.0.1:9585\n"
                            "[security]\n"
                            "rotate = 8w\n"
                            "pq = require\n"
                            "[log]\n"
                            "level = debug\n";

/* WHOLE with a directory. */
static void write_whole(const char *dir, char *buf, size_t cap)
{
    size_t n = 0;
    for (const char *c = WHOLE; *c != '\0'; c++) {
        int used = *c == '@' ? snprintf(buf + n, cap - n, "%s", dir)
                             : snprintf(buf + n, cap - n, "%c", *c);
        assert_true(used > 0 && n + (size_t)used < cap);
        n += (size_t)used;
    }
}

PV_TEST(every_key_reaches_its_field)
{
    char text[PV_ADDR_TEXT], conf[2048], name[PV_SETTINGS_KEY_BUF];
    bool kept;
    write_whole("/etc/p2pvpn", conf, sizeof(conf));
    int r = parse(conf);
    assert_string_equal(error, "");
    assert_ok(r);
    assert_string_equal(s.tun_name, "wg0");
    assert_int_equal(s.engine.given.n_own_addrs, 2);
    assert_string_equal(PV_PREFIX_STR(&s.engine.given.own_addrs[0]), "10.0.0.1/24");
    assert_string_equal(PV_PREFIX_STR(&s.engine.given.own_addrs[1]), "fd00::1/64");
    assert_int_equal(s.engine.given.n_ranges, 1);
    assert_string_equal(pv_prefix_format(&s.engine.given.ranges[0], text), "25.0.0.0/8");
    for (size_t i = 0; pv_settings_key(i, name, &kept); i++)
        if (s.said[i] == 0)
            fail_msg("WHOLE lacks the key %s", name);
    assert_true(s.port == 51820 && s.engine.given.mtu == 1380 && s.workers == 2);
    assert_string_equal(s.private_key_file, "/etc/p2pvpn/key");
    assert_int_equal(s.log_level, PV_LOG_DEBUG);
    assert_true(s.engine.hardnat.predict_off);
    assert_true(s.engine.hardnat.birthday_off);
    assert_true(s.engine.portmap_off);
    assert_string_equal(s.engine.stun.host, "stun.example");
    assert_int_equal(s.engine.stun.port, 3478);
    assert_int_equal(s.engine.hardnat.max_mappings, 64);
    assert_int_equal(s.engine.hardnat.max_pps, 50);
    assert_int_equal(s.engine.given.pq, PV_PQ_REQUIRE);
    assert_true(s.engine.n_relays == 1 && s.metrics.remote && s.metrics.listen.port == 9586);
    assert_true(s.engine.has_firewall);
    assert_string_equal(PV_PORTS_STR(&s.engine.firewall), "ping,tcp/22");
    assert_string_equal(s.engine.relay_user, "joe");
    assert_string_equal(s.relay_password_file, "/etc/p2pvpn/password");
    assert_string_equal(s.engine.given.proxy.host, "proxy.example");
    assert_int_equal(s.engine.given.proxy.port, 3128);
    assert_string_equal(s.proxy_login.user, "ann");
    assert_string_equal(s.proxy_password_file, "/etc/p2pvpn/secret");
    assert_string_equal(s.relay_ca_file, "/etc/p2pvpn/ca.pem");
    assert_int_equal(s.engine.rotate_s, 56 * 86400);
    assert_string_equal(s.notify, "/usr/bin/env -u low");
    assert_true(s.dns && s.engine.phones);
    assert_int_equal(s.engine.lan.broadcast, PV_LAN_PEERS);
    assert_int_equal(s.engine.lan.n_peers, 2);
    assert_string_equal(s.engine.lan.peers[0], "bob");
    assert_true(s.engine.lan.wake && s.engine.lan.beacon_off);
    assert_int_equal(s.engine.lan.n_excluded, 2);
    assert_string_equal(s.engine.lan.excluded[1], "eth1");
    assert_int_equal(s.n_peers, 2);
    const struct pv_static_peer *bob = &s.peers[0].peer, *carol = &s.peers[1].peer;
    assert_string_equal(bob->name, "bob");
    assert_string_equal(PV_WGKEY_STR(bob->public_key), KEY_A);
    assert_int_equal(bob->n_allowed, 2);
    assert_string_equal(PV_PREFIX_STR(&bob->allowed[1]), "192.168.7.0/24");
    assert_string_equal(bob->endpoint_host, "vpn.example.org");
    assert_int_equal(bob->endpoint_port, 51821);
    assert_int_equal(bob->persistent_keepalive, 25);
    assert_string_equal(s.peers[0].preshared_key_file, "/etc/p2pvpn/psk");
    assert_string_equal(carol->endpoint_host, "2001:db8::5");
    assert_int_equal(carol->endpoint_port, 9);
    assert_int_equal(carol->persistent_keepalive, 0);
    assert_int_equal(bob->suite, PV_SUITE_CHACHA);
    assert_int_equal(carol->suite, PV_SUITE_AES);
    assert_true(bob->phone_port);
    assert_false(carol->phone_port);
}

PV_TEST(workers_are_a_number_automatic_or_a_single_thread)
{
    static const struct {
        const char *text;
        unsigned workers, threads;
    } rows[] = {
        {"[interface]\nworkers = auto\n", 1, 0},   {"[interface]\nworkers = 0\n", 1, 0},
        {"[interface]\nworkers = single\n", 1, 1}, {"[interface]\nworkers = 1\n", 1, 2},
        {"[interface]\nworkers = 2\n", 2, 2},      {"[interface]\nworkers = 8\n", 8, 2},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_ok(parse(rows[i].text));
        assert_int_equal(s.workers, rows[i].workers);
        assert_int_equal(s.threads, rows[i].threads);
    }
}

PV_TEST(every_bad_line_is_named_with_file_and_line)
{
    const char *const rows[] = {
        "port = 1\n",
        test_given("the interface"),
        "[peer]\n",
        "[log x]\n",
        "\n[interface]\nprot = 1\n",
        "[interface]\nworkers = 9\n",
        "[interface]\nworkers = many\n",
        "[interface]\nworkers = -1\n",
        "[interface]\nworkers =\n",
        "[interface]\nport = 0\n",
        "[interface]\nport = 65536\n",
        "[interface]\nport = 80x\n",
        "[interface]\nport =\n",
        "[interface]\nport = 5\nport = 6\n",
        test_given("firewall allow none log"),
        "[interface]\nmtu = 1279\n",
        "[interface]\nmtu = 9001\n",
        "[interface]\nname = a/b\n",
        "[interface]\nname = sixteen-letters-\n",
        "[interface]\naddress = 10.0.0.1\n",
        "[interface]\naddress = 10.0.0.1/33\n",
        "[interface]\naddress = 10.0.0.1/0\n",
        "[interface]\naddress = 127.0.0.1/8\n",
        "[interface]\naddress = 224.0.0.1/8\n",
        test_given("interface address 10.0.0.1/8"),
        "[interface]\nprivate-key-file = key\n",
        "[chat]\nstore = disk\n",
        "[security]\nrotate = 30\n",
        "[security]\nrotate = 0d\n",
        "[security]\nrotate = forever\n",
        "[chat]\nkeep = 90\n",
        "[chat]\nkeep = 0d\n",
        "[chat]\nkeep = d\n",
        "[chat]\nkeep = 1234567890d\n",
        "[chat]\nmax-size = 15M\n",
        "[chat]\nmax-size = lots\n",
        "[chat]\nauto-accept = a b c\n",
        "[chat]\nauto-accept = bob 0\n",
        "[chat]\nauto-accept = bob 5P\n",
        "[chat]\nauto-accept = bob 4194305T\n",
        "[chat]\nauto-accept = _\n",
        "[chat]\nnotify = beep\n",
        "[dns]\nlisten = 53\n",
        "[log]\nlevel = loud\n",
        "[traversal]\npredict = maybe\n",
        "[traversal]\nbirthday = 1\n",
        "[traversal]\nportmap = upnp\n",
        "[traversal]\nmax-mappings = 0\n",
        "[traversal]\nmax-mappings = 257\n",
        "[traversal]\nmax-pps = 201\n",
        "[peer bob]\n",
        "[peer bob]\nendpoint = a:1\n[log]\n",
        "[peer -bob]\n",
        "[peer bob]\npublic-key = short\n",
        "[peer a]\npublic-key = " KEY_A "\n[peer b]\npublic-key = " KEY_A "\n",
        "[peer a]\npublic-key = " KEY_A "\n[peer A]\n",
        "[peer a]\nallowed-ips = 10.0.0.1/24\n",
        test_given("peer allowed-ips 10.0.0.0/24"),
        "[peer a]\nendpoint = host\n",
        "[peer a]\nendpoint = host:0\n",
        "[peer a]\nendpoint = :5\n",
        "[peer a]\nendpoint = ho st:5\n",
        "[peer a]\nendpoint = 2001:db8::1:5\n",
        "[peer a]\npersistent-keepalive = 65536\n",
        "[peer a]\npreshared-key-file = psk\n",
        "[firewall]\nallow = tcp/99999\n",
        "[firewall]\nallow = tcp/0\n",
        "[firewall]\nallow = tcp/22,0\n",
        "[firewall]\nallow = 1,3,5,7,9,11,13,15,17\n",
        "[peer a]\nsuite = des\n",
        "[peer a]\nphone-port = 1234\n",
        "[peer a]\nphone-port = on\nsuite = aes\n",
        "[peer a]\nsuite = aes\nphone-port = on\n",
        "[interface]\nport: 5\n  mtu = 1400\n",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_int_equal(parse(rows[i]), PV_ERR_MALFORMED);
        assert_shows(rows[i], error);
    }
}

PV_TEST(bad_relays_are_named)
{
    const char *const rows[] = {
        "[relay]\nturn = x\n",
        "[relay]\nturn = turn:\n",
        "[relay]\nturn = turn:host:0\n",
        "[relay]\nturn = turn:host:65536\n",
        "[relay]\nturn = turn:[::1\n",
        "[relay]\nturn = turn:[::1]x\n",
        "[relay]\nturn = turn:a b\n",
        "[relay]\nturn = turn:host?transport=sctp\n",
        "[relay]\nturn = turns:host?transport=udp\n",
        "[relay]\nturn = turn:host\n",
        "[relay]\npassword-file = here\n",
        "[relay]\nca-file = ca.pem\n",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_int_equal(parse(rows[i]), PV_ERR_MALFORMED);
        assert_shows(rows[i], error);
    }
}

PV_TEST(relays_are_uris)
{
    static const struct {
        const char *uri, *host;
        uint16_t port;
        bool udp, stream, tls;
    } rows[] = {
        {"turn:relay.example", "relay.example", 3478, true, true, false},
        {"turn:192.0.2.1:99?transport=udp", "192.0.2.1", 99, true, false, false},
        {"turn:[2001:db8::1]:65535?transport=tcp", "2001:db8::1", 65535, false, true, false},
        {"turns:relay.example", "relay.example", 5349, false, true, true},
        {"turns:[2001:db8::1]:443?transport=tcp", "2001:db8::1", 443, false, true, true},
    };
    char conf[1024] = "[relay]\nuser = u\npassword-file = /p\n";
    size_t len = strlen(conf);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++)
        len += (size_t)snprintf(conf + len, sizeof(conf) - len, "turn = %s\n", rows[i].uri);
    assert_ok(parse(conf));
    assert_int_equal(s.engine.n_relays, PV_ARRAY_LEN(rows));
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_string_equal(s.engine.relays[i].host, rows[i].host);
        assert_int_equal(s.engine.relays[i].port, rows[i].port);
        assert_int_equal(s.engine.relays[i].udp, rows[i].udp);
        assert_int_equal(s.engine.relays[i].stream, rows[i].stream);
        assert_int_equal(s.engine.relays[i].tls, rows[i].tls);
    }
    for (size_t i = 0; i < 3; i++)
        len += (size_t)snprintf(conf + len, sizeof(conf) - len, "turn = turn:one.more\n");
    assert_int_equal(parse(conf), PV_ERR_MALFORMED);
    assert_has(error, "at most 7");
}

/* The remedy is said before anything runs. */
PV_TEST(a_ca_file_has_to_hold_certificates)
{
    const struct {
        const char *text, *want; /* NULL: the file is not there */
    } rows[] = {
        {NULL, "No such file or directory"},
        {"", "no certificate in it: give a PEM file"},
        {"turn.example\n", "no certificate in it: give a PEM file"},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n", "no certificate in it: give a PEM file"},
        {test_given("BEGIN PRIVATE KEY"), "give a PEM file"},
    };
    char dir[] = "/tmp/pvsettings.XXXXXX";
    struct pv_tlscert made;
    assert_non_null(mkdtemp(dir));
    const char *file = PV_STR("%s/ca.pem", dir);
    const char *conf = PV_STR("[relay]\nca-file = %s\n", file);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (rows[i].text != NULL)
            assert_ok(pv_file_write(file, pv_view(rows[i].text, strlen(rows[i].text)), 0600));
        assert_ok(parse(conf));
        assert_string_equal(s.relay_ca_file, file);
        pv_settings_load_keys(&s);
        assert_int_equal(s.faults.n, 1);
        assert_string_equal(s.faults.list[0].what, PV_FAULT_RELAY_CA);
        assert_has(s.faults.list[0].why, file);
        assert_has(s.faults.list[0].why, rows[i].want);
        assert_null(strchr(s.faults.list[0].why, '\n'));
    }
    assert_ok(pv_tlscert_make(&made, NULL, 0));
    assert_ok(pv_file_write(file, pv_view(made.cert, strlen(made.cert)), 0600));
    assert_ok(parse(conf));
    pv_settings_load_keys(&s);
    assert_int_equal(s.faults.n, 0);
    unlink(file);
    assert_int_equal(rmdir(dir), 0);
}

PV_TEST(limits_hold_exactly)
{
    static char text[1 << 16];
    size_t n = (size_t)snprintf(text, sizeof(text), "[peer a]\npublic-key = " KEY_A "\n");
    for (int i = 0; i < 64; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "allowed-ips = 10.0.%d.0/24\n", i);
    assert_ok(parse(text));
    assert_int_equal(s.peers[0].peer.n_allowed, 64);
    snprintf(text + n, sizeof(text) - n, "allowed-ips = 10.1.0.0/24\n");
    assert_int_equal(parse(text), PV_ERR_MALFORMED);
    assert_has(error, "conf:67:");
}

PV_TEST(key_files_are_read_strictly)
{
    uint8_t key[32];
    make_path();
    assert_ok(pv_file_write(path, pv_view(KEY_A "\n", 45), 0600));
    assert_ok(pv_settings_read_key(&s, path, key, error));
    assert_ok(pv_file_write(path, pv_view(KEY_A "x\n", 46), 0600));
    assert_int_equal(pv_settings_read_key(&s, path, key, error), PV_ERR_MALFORMED);
    assert_has(error, path);
    assert_lacks(error, "HIgo9"); /* never shows what is in it */
    unlink(path);
    assert_int_equal(pv_settings_read_key(&s, path, key, error), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_settings_load(&s, path, error), PV_ERR_NOT_FOUND);
    assert_has(error, "no such file: is the path right?");
}

PV_TEST(a_file_that_the_service_may_not_read_is_named_with_what_to_type)
{
    char said[3][PV_SETTINGS_ERROR_MAX];
    uint8_t key[32];
    make_path();
    assert_int_equal(chmod(path, 0), 0);
    uid_t was = geteuid();
    assert_int_equal(seteuid(was == 0 ? 65534 : was), 0);
    int r = pv_settings_load(&s, path, said[0]);
    int of_key = pv_settings_read_key(&s, path, key, said[1]);
    s.for_user = true;
    int of_user = pv_settings_load(&s, path, said[2]);
    assert_int_equal(seteuid(was), 0);
    unlink(path);
    assert_int_equal(r, -EACCES);
    assert_int_equal(of_key, -EACCES);
    assert_int_equal(of_user, -EACCES);
    assert_has(said[0], path);
    assert_has(said[0], "chgrp p2pvpn it, and chmod 640");
    assert_has(said[1], path);
    assert_has(said[1], "chown p2pvpn it, and chmod 400");
    assert_has(said[2], "chown it to yourself");
    assert_lacks(said[2], "user p2pvpn");
}

PV_TEST(metrics_are_for_this_machine_unless_said_otherwise)
{
    static const char *const rows[] = {
        "[metrics]\nlisten = 9586\n",
        "[metrics]\nlisten = 10.0.0.1:9586\n",
        "[metrics]\nport = 1\n",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        assert_int_equal(parse(rows[i]), PV_ERR_MALFORMED);
        assert_shows(rows[i], error);
    }
    assert_ok(parse(test_given("metrics allow-remote on listen")));
    assert_int_equal(s.metrics.listen.port, 9586);
}

PV_TEST(the_page_is_kept_for_this_machine_alone)
{
    static const struct {
        const char *text;
        int want;
    } rows[] = {
        {"[web]\nlisten = 127.0.0.1:9585\n", PV_OK},
        {"[web]\nlisten = [::1]:9585\n", PV_OK},
        {"[web]\nlisten = /run/page.sock\n", PV_OK},
        {"[web]\nlisten = 0.0.0.0:9585\n", PV_ERR_MALFORMED},
        {"[web]\nlisten = 10.0.0.1:9585\n", PV_ERR_MALFORMED},
        {"[web]\nlisten = page.sock\n", PV_ERR_MALFORMED},
        {"[web]\nlisten = on\n", PV_ERR_MALFORMED},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++)
        assert_int_equal(parse(rows[i].text), rows[i].want);
}

/* --- read again ------------------------------------------------------------------------------ */

static void write_conf(const char *file, const char *text)
{
    assert_ok(pv_file_write(file, pv_view(text, strlen(text)), 0600));
}

PV_TEST(a_program_that_is_not_there_is_named)
{
    const struct {
        const char *notify;
        bool wrong;
    } rows[] = {
        {"/no/such/program -u low", true}, {"/etc/passwd/x", true}, {"/bin/true -x", false}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        pv_settings_init(&s);
        snprintf(s.notify, sizeof(s.notify), "%s", rows[i].notify);
        pv_settings_load_keys(&s);
        assert_int_equal(s.faults.n, rows[i].wrong ? 1 : 0);
        assert_int_equal(pv_settings_has_fault(&s, PV_FAULT_NOTIFY), rows[i].wrong);
        if (rows[i].wrong)
            assert_shows(rows[i].notify, s.faults.list[0].why);
    }
}

PV_TEST(a_reload_takes_all_or_nothing)
{
    struct pv_reload_keys keys;
    make_path();
    write_conf(path, test_given("interface mtu chat auto-accept"));
    assert_ok(pv_reload_settings(&s, path, true, error, &keys));
    assert_false(keys.no_file);
    assert_string_equal(keys.waiting, "");
    assert_int_equal(s.engine.given.mtu, 1300);
    write_conf(path, test_given("interface mtu chat autoaccept"));
    assert_int_equal(pv_reload_settings(&s, path, true, error, &keys), PV_ERR_MALFORMED);
    assert_has(error, ":4: ");
    assert_int_equal(s.engine.given.mtu, 1300);
    /* So does a file that the settings name. */
    write_conf(path, test_given("interface mtu relay"));
    assert_int_not_equal(pv_reload_settings(&s, path, true, error, &keys), PV_OK);
    assert_has(error, "/no/such/file");
    assert_int_equal(s.engine.given.mtu, 1300);
    unlink(path);
    assert_int_equal(pv_reload_settings(&s, path, false, error, &keys), PV_ERR_NOT_FOUND);
    assert_int_equal(s.engine.given.mtu, 1300);
    assert_ok(pv_reload_settings(&s, path, true, error, &keys));
    assert_true(keys.no_file);
    assert_int_equal(s.engine.given.mtu, PV_SETTINGS_MTU);
}

PV_TEST(a_peer_whose_key_cannot_be_read_is_locked)
{
    static const uint8_t zero[PV_DH_LEN];
    struct pv_static_peer given[2];
    char conf[512];
    struct test_rng seeded;
    const struct pv_rng rng = test_rng_make(&seeded, 7);
    make_path();
    snprintf(conf, sizeof(conf),
             "[peer open]\npublic-key = " KEY_A "\nendpoint = 192.0.2.1:1\n"
             "[peer shut]\npublic-key = " KEY_B "\nendpoint = 192.0.2.2:2\n"
             "allowed-ips = 10.0.0.0/24\npersistent-keepalive = 9\npreshared-key-file = %s.no\n",
             path);
    assert_ok(parse(conf));
    pv_settings_load_keys(&s);
    assert_int_equal(s.faults.n, 1);
    assert_string_equal(s.faults.list[0].what, "[peer shut]");
    assert_has(s.faults.list[0].why, path);
    assert_true(s.faults.list[0].restart);
    for (size_t i = 0; i < 2; i++)
        pv_settings_give_peer(&s.peers[i], &rng, &given[i]);
    assert_memory_equal(given[0].preshared_key, zero, sizeof(zero));
    assert_string_equal(given[0].endpoint_host, "192.0.2.1");
    assert_memory_not_equal(given[1].preshared_key, zero, sizeof(zero));
    assert_string_equal(given[1].endpoint_host, "");
    assert_int_equal(given[1].persistent_keepalive, 0);
    assert_int_equal(given[1].n_allowed, 1); /* its packets leave by no other way */
    unlink(path);
}

PV_TEST(many_locked_peers_leave_room_for_other_faults)
{
    static char text[1 << 15];
    uint8_t key[PV_DH_LEN] = {0};
    char shown[PV_WG_KEY_TEXT_BUF];
    size_t n = 0;
    for (unsigned i = 0; i < 40; i++) {
        key[0] = (uint8_t)i + 1;
        pv_wgkey_format(key, shown);
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "[peer p%u]\npublic-key = %s\npreshared-key-file = /no/such\n", i,
                              shown);
    }
    assert_ok(parse(text));
    pv_settings_load_keys(&s);
    assert_int_equal(s.faults.n + s.faults.more, 40);
    pv_settings_add_fault(&s, (struct pv_fault){.what = PV_FAULT_METRICS});
    assert_true(pv_settings_has_fault(&s, PV_FAULT_METRICS));
}

PV_TEST(a_feature_that_was_off_keeps_no_reload_back)
{
    struct pv_reload_keys keys;
    char conf[512];
    make_path();
    snprintf(conf, sizeof(conf),
             "[relay]\nturn = turn:192.0.2.1\nuser = u\npassword-file = %s.no\n", path);
    write_conf(path, conf);
    assert_ok(pv_settings_load(&s, path, error));
    pv_settings_load_keys(&s);
    assert_true(pv_settings_has_fault(&s, PV_FAULT_RELAY));
    pv_settings_add_fault(&s, (struct pv_fault){.what = PV_FAULT_METRICS});
    snprintf(conf + strlen(conf), sizeof(conf) - strlen(conf),
             "[interface]\nmtu = 1300\n[metrics]\nlisten = 127.0.0.1:9\n");
    write_conf(path, conf);
    assert_ok(pv_reload_settings(&s, path, false, error, &keys));
    assert_string_equal(keys.changed, "[interface] mtu");
    assert_string_equal(keys.waiting, "");
    assert_int_equal(s.metrics.listen.port, 9); /* metrics were off: tried again */
    write_conf(PV_STR("%s.no", path), "secret");
    assert_ok(pv_reload_settings(&s, path, false, error, &keys));
    assert_string_equal(keys.changed, "[relay] password-file");
    assert_false(pv_settings_has_fault(&s, PV_FAULT_RELAY));
    unlink(PV_STR("%s.no", path));
    /* It works: what does not is refused, and the password stays. */
    assert_int_not_equal(pv_reload_settings(&s, path, false, error, &keys), PV_OK);
    assert_string_equal(s.engine.relay_password, "secret");
    unlink(path);
}

/* The file's proxy counts before that of the environment, which is a user's alone. */
PV_TEST(the_proxy_of_the_environment_is_a_users)
{
    static const struct {
        const char *lower, *upper, *conf;
        bool for_user;
        const char *host, *user;
    } rows[] = {
        {"http://joe:pw@low:1", "http://up:1", "", true, "low", "joe"},
        {NULL, "http://up:1", "", true, "up", ""},
        {"", "http://up:1", "", true, "", ""},
        {"http://low:1", NULL, "", false, "", ""},
        {"http://low:1", NULL, "[coordinator]\nproxy = http://file:1\n", true, "file", ""},
        {"socks5://joe:pw@low:1", NULL, "", true, "", ""},
    };
    make_path();
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        unsetenv("https_proxy");
        unsetenv("HTTPS_PROXY");
        if (rows[i].lower != NULL)
            setenv("https_proxy", rows[i].lower, 1);
        if (rows[i].upper != NULL)
            setenv("HTTPS_PROXY", rows[i].upper, 1);
        setenv("no_proxy", "localhost,.example", 1);
        pv_settings_done(&s);
        s.for_user = rows[i].for_user;
        write_conf(path, rows[i].conf);
        assert_ok(pv_settings_load(&s, path, error));
        pv_settings_load_keys(&s);
        assert_string_equal(s.engine.given.proxy.host, rows[i].host);
        assert_string_equal(s.proxy_login.user, rows[i].user);
        assert_int_equal(s.engine.given.proxy.has_login, rows[i].user[0] != '\0');
        if (i < 2)
            assert_string_equal(s.engine.given.proxy.except, "localhost,.example");
        assert_int_equal(pv_settings_has_fault(&s, PV_FAULT_ENV), i == 5);
        if (i == 5)
            assert_null(strstr(s.faults.list[0].why, "joe"));
    }
    unsetenv("https_proxy");
    unsetenv("no_proxy");
    unlink(path);
}

PV_TEST(a_proxys_password_is_read_from_its_file)
{
    char conf[512];
    make_path();
    snprintf(conf, sizeof(conf),
             "[coordinator]\nproxy = http://p:1\nproxy-user = joe\nproxy-password-file = %s.pw\n",
             path);
    write_conf(path, conf);
    assert_ok(pv_settings_load(&s, path, error));
    pv_settings_load_keys(&s);
    assert_true(pv_settings_has_fault(&s, PV_FAULT_PROXY));
    assert_false(s.engine.given.proxy.has_login);
    write_conf(PV_STR("%s.pw", path), "opensesame\n");
    pv_settings_done(&s);
    assert_ok(pv_settings_load(&s, path, error));
    pv_settings_load_keys(&s);
    assert_int_equal(s.faults.n, 0);
    assert_true(s.engine.given.proxy.has_login);
    assert_string_equal(s.proxy_login.password, "opensesame");
    unlink(PV_STR("%s.pw", path));
    unlink(path);
}

PV_TEST(refuses_half_a_proxy)
{
    static const char *const bad[] = {
        "[coordinator]\nproxy = http://p:1\nproxy-user = joe\n",
        "[coordinator]\nproxy = http://p:1\nproxy-password-file = /x\n",
        "[coordinator]\nproxy-user = joe\nproxy-password-file = /x\n",
        "[coordinator]\nproxy = http://p:1\nproxy-user = j:e\nproxy-password-file = /x\n",
        "[coordinator]\nproxy = http://joe:pw@p:1\n",
        "[coordinator]\nproxy = p:1\n",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        pv_settings_done(&s);
        assert_int_equal(parse(bad[i]), PV_ERR_MALFORMED);
        assert_has(error, "proxy");
        assert_null(strstr(error, "pw@"));
    }
}

PV_TEST(a_setting_made_with_rights_waits_for_a_restart)
{
    struct pv_reload_keys keys;
    make_path();
    write_conf(path, test_given("interface new range 25.0.0.0/8"));
    assert_ok(pv_reload_settings(&s, path, false, error, &keys));
    assert_shows("keys waiting", keys.waiting);
    assert_string_equal(keys.changed, "[interface] mtu");
    assert_string_equal(s.tun_name, "");
    assert_int_equal(s.port, 0);
    assert_int_equal(s.workers, 1);
    assert_string_equal(s.notify, "");
    assert_int_equal(s.metrics.listen.family, PV_AF_NONE);
    assert_int_equal(s.engine.given.mtu, 1300);
}

static void write_in(const char *dir, const char *name, const char *text)
{
    char file[128];
    snprintf(file, sizeof(file), "%s/%s", dir, name);
    write_conf(file, text);
}

PV_TEST(each_key_is_taken_over_or_kept_and_named)
{
    struct pv_reload_keys keys;
    struct pv_tlscert made;
    char dir[] = "/tmp/pvreload.XXXXXX", conf[2048], file[128];
    char name[PV_SETTINGS_KEY_BUF];
    bool kept;
    assert_non_null(mkdtemp(dir));
    write_whole(dir, conf, sizeof(conf));
    assert_ok(pv_tlscert_make(&made, NULL, 0));
    write_in(dir, "conf", conf);
    write_in(dir, "psk", KEY_A);
    write_in(dir, "password", "secret");
    write_in(dir, "secret", "opensesame");
    write_in(dir, "ca.pem", made.cert);
    snprintf(file, sizeof(file), "%s/conf", dir);
    int r = pv_reload_settings(&s, file, false, error, &keys);
    assert_string_equal(error, "");
    assert_ok(r);
    for (size_t i = 0; pv_settings_key(i, name, &kept); i++) {
        bool waits = strstr(keys.waiting, name) != NULL;
        bool changed = strstr(keys.changed, name) != NULL;
        if (waits != kept || changed == kept)
            fail_msg("%s is %s in settings.c, a reload says %s", name, kept ? "KEPT" : "TAKEN",
                     waits     ? "kept"
                     : changed ? "taken"
                               : "unchanged");
    }
    assert_int_equal(test_dir_remove(dir), 0);
}

PV_TEST(a_changed_setting_is_named)
{
    struct pv_reload_keys keys;
    const struct {
        const char *text, *changed;
    } rows[] = {
        {test_given("chat auto-accept bob"), "[chat] auto-accept"},
        {test_given("chat auto-accept bob"), ""},
        {test_given("other words chat auto-accept"), ""},
        {test_given("chat auto-accept bob log level"), "[chat] auto-accept, [log] level"},
        {"", "[chat] auto-accept, [log] level"},
    };
    make_path();
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        write_conf(path, rows[i].text);
        assert_ok(pv_reload_settings(&s, path, false, error, &keys));
        assert_string_equal(keys.changed, rows[i].changed);
        assert_string_equal(keys.waiting, "");
    }
}

/* Without room for all of them a change would go unnamed. */
PV_TEST(every_key_has_a_place_for_what_was_said)
{
    char key[PV_SETTINGS_KEY_BUF];
    bool kept;
    assert_true(pv_settings_key(0, key, &kept));
    assert_string_equal(key, "[interface] name");
    if (pv_settings_key(PV_SETTINGS_MAX_KEYS, key, &kept))
        fail_msg("%s exceeds PV_SETTINGS_MAX_KEYS", key);
}
