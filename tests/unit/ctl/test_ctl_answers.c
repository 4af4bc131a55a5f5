/* SPDX-License-Identifier: MIT */
/* p2pvpnctl: what the commands about peers, the network and waiting ask the daemon, and how they
 * show its answers. */
#include <sys/stat.h>

#include "ctl_fake.h"
#include "proto/roster/token.h"

/* --- peers, status, ip --------------------------------------------------------------------- */

PV_TEST_WORLD(setup, teardown);

PV_TEST(peers_prints_json_as_it_is)
{
    answers("peers", "{\"id\":@,\"ok\":true," PEERS "}\n");
    assert_int_equal(RUN("peers", "--json"), 0);
    assert_string_equal(t.out, "{" PEERS ",\"format\":1}\n");
    assert_int_equal(RUN("getu", "--json"), 0);
    assert_string_equal(t.out, "{" PEERS ",\"format\":1}\n");
    assert_string_equal(t.requests, "{\"cmd\":\"peers\"}\n{\"cmd\":\"peers\"}\n");
}

PV_TEST(peers_prints_an_aligned_table)
{
    answers("peers", "{\"id\":@,\"ok\":true," PEERS "}\n");
    assert_int_equal(RUN("peers"), 0);
    assert_string_equal(t.out,
                        "NAME           ADDRESS    PATH    RTT      STATE\n"
                        "pi             10.66.1.5  direct  31.2 ms  online\n"
                        "a-longer-name  -          -       -        offline, seen 0 s ago\n");
    assert_int_equal(RUN("peers", "-l"), 0);
    assert_string_equal(t.out, "NAME           ADDRESS    PATH                     RTT      LOSS  "
                               "RECEIVED  SENT     HANDSHAKE  STATE\n"
                               "pi             10.66.1.5  direct 192.0.2.44:51002  31.2 ms  0 %   "
                               "12 B      1.0 MiB  never      online\n"
                               "a-longer-name  -          -                        -        -     "
                               "0 B       0 B      never      offline, seen 0 s ago\n");
    assert_int_equal(RUN("-q", "peers"), 0);
    assert_int_equal(t.out_len + t.err_len, 0);
    answers("peers", "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[]}\n");
    assert_int_equal(RUN("peers"), 0);
    assert_non_null(strstr(t.err, "invite"));
}

/* A guest's file with its secret key, where others may read it: wg-genkey(1) warns, too. */
PV_TEST(an_exported_file_that_others_may_read_is_told)
{
    static const char *const words[] = {"export",     "phone",       "--by", "pi",
                                        "--endpoint", "192.0.2.1:1", NULL};
    answers("export", "{\"id\":@,\"ok\":true,\"name\":\"phone\",\"by\":\"pi\",\"dns\":null}\n");
    for (int open = 0; open < 2; open++) {
        FILE *out = tmpfile();
        assert_non_null(out);
        assert_int_equal(fchmod(fileno(out), open ? 0644 : 0600), 0);
        free(t.err);
        assert_int_equal(run_with(stdin, out, open_memstream(&t.err, &t.err_len), words), 0);
        assert_int_equal(strstr(t.err, "umask 077") != NULL, open);
        assert_non_null(strstr(t.err, "`[guests] carry = on`"));
        assert_non_null(strstr(t.err, "where a name server listens on pi"));
    }
}

PV_TEST(peers_shows_tags_where_somebody_has_one)
{
    answers("peers", "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":["
                     "{\"name\":\"tv\",\"ip4\":\"10.66.0.9\",\"tags\":[\"guests\",\"media\"]},"
                     "{\"name\":\"pc\",\"ip4\":\"10.66.0.8\",\"tags\":[]}]}\n");
    assert_int_equal(RUN("peers"), 0);
    assert_non_null(strstr(t.out, "RTT  TAGS           STATE\n"));
    assert_non_null(strstr(t.out, "  guests, media  offline\n"));
    assert_non_null(strstr(t.out, "  -              offline\n"));
    answers("peers", "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[{\"name\":\"tv\",\"tags\":["
                     "\"a-tag-that-is-long-a-tag-that-is-long-a-tag-that-is-long-1234\","
                     "\"a-tag-that-is-long-a-tag-that-is-long-a-tag-that-is-long-1235\"]}]}\n");
    assert_int_equal(RUN("peers"), 0);
    assert_non_null(strstr(t.out, "-1234, a-tag-that-is-long-"));
    assert_non_null(strstr(t.out, "...  offline\n"));
}

/* A membership with an end: as it ends, in the table of peers and of invites. */
PV_TEST(memberships_that_end_are_shown)
{
    answers("peers", "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[{\"name\":\"old\",\"ip4\":"
                     "\"10.66.0.9\",\"online\":false,\"state\":\"expired\",\"expires\":1}]}\n");
    assert_int_equal(RUN("peers"), 0);
    assert_non_null(strstr(t.out, "expired "));
    answers("status",
            "{\"id\":@,\"ok\":true,\"version\":1,\"state\":\"up\",\"self\":{\"name\":\"lap\","
            "\"expires\":1790000000}}\n");
    assert_int_equal(RUN("status"), 0);
    assert_non_null(strstr(t.out, "membership"));
    assert_non_null(strstr(t.out, "renewed while this node is used"));
    answers("invite_list",
            "{\"id\":@,\"ok\":true,\"version\":1,\"invites\":[{\"id\":\"I\",\"uses\":1,"
            "\"used\":0,\"not_after\":null,\"member_for\":7776000}]}\n");
    assert_int_equal(RUN("invite", "list"), 0);
    assert_non_null(strstr(t.out, "open (member for 90d 0h)"));
    answers("invite", "{\"id\":@,\"ok\":true,\"token\":\"p2pvpn-XYZ\",\"invite\":\"I\"}\n");
    assert_int_equal(RUN("invite", "--member-for", "90d"), 0);
    assert_non_null(strstr(t.requests, "\"member_for\":7776000"));
}

PV_TEST(ephemeral_invites_are_asked_for_and_shown)
{
    answers("invite_list",
            "{\"id\":@,\"ok\":true,\"version\":1,\"invites\":[{\"id\":\"I\",\"uses\":1,"
            "\"used\":0,\"not_after\":null,\"member_for\":1800}]}\n");
    assert_int_equal(RUN("invite", "list"), 0);
    assert_non_null(strstr(t.out, "open (ephemeral)"));
    answers("invite", "{\"id\":@,\"ok\":true,\"token\":\"p2pvpn-XYZ\",\"invite\":\"I\"}\n");
    assert_int_equal(RUN("invite", "--ephemeral"), 0);
    assert_non_null(strstr(t.requests, "\"ephemeral\":true"));
    assert_int_equal(RUN("invite", "--ephemeral", "--member-for", "90d"), PV_CTLAPI_USAGE);
    assert_one_line_error("leave out --member-for");
}

PV_TEST(status_shows_what_matters)
{
    answers("status",
            "{\"id\":@,\"ok\":true,\"version\":1,\"daemon\":\"0.1.0\",\"state\":\"up\","
            "\"uptime\":3700,\"network\":{\"name\":\"home\",\"id\":\"I\",\"cidr\":"
            "\"10.66.0.0/16\",\"ip6\":null},\"self\":{\"name\":\"lap\",\"ip4\":\"10.66.3.9\","
            "\"ip6\":\"fd00::9\",\"key\":\"K\",\"wg_key\":\"W\",\"admin\":true,\"root_key\":true},"
            "\"interface\":"
            "{\"name\":\"p2pvpn0\",\"mtu\":1420,\"port\":40015},\"coordinator\":{\"address\":"
            "\"203.0.113.5:3478\",\"connected\":true,\"rtt_ms\":18.4,\"error\":null},"
            "\"public\":[\"198.51.100.7:40015\"],\"roster\":{\"head\":\"abcdefghij\","
            "\"members\":4,\"online\":2},\"chat\":{\"unread\":1,\"queued\":2},"
            "\"problems\":[\"disk full\\u001b\"],\"drops\":{\"replay\":3,\"none\":0},"
            "\"hard_nat\":{\"mapping\":\"varies\",\"ports\":\"random\",\"attempts\":2,"
            "\"packets\":300,\"max_packets\":2048,\"max_mappings\":256,\"max_pps\":200},"
            "\"nat_binding\":{\"measuring\":false,\"idle_s\":105.0,\"idle_max_s\":138.0,"
            "\"absolute_s\":null,\"refresh_s\":84.0},"
            "\"datapath\":{\"workers\":2,\"threads\":4,\"aead\":\"ipsec-mb\","
            "\"aead_ns\":[{\"suite\":\"chacha20-poly1305\",\"ns\":812},"
            "{\"suite\":\"aes-256-gcm\",\"ns\":262}],"
            "\"tcp_offload\":true,\"udp_offload\":true,\"off\":[{\"what\":\"udp_segment\","
            "\"why\":\"EIO: an interface cannot checksum what it must cut\"}]}}\n");
    assert_int_equal(RUN("status"), 0);
    assert_string_equal(t.out,
                        "state           up, running for 1h 1m\n"
                        "network         home  10.66.0.0/16\n"
                        "this node       lap  (admin, has the root key)\n"
                        "addresses       10.66.3.9  fd00::9\n"
                        "interface       p2pvpn0  mtu 1420  UDP port 40015\n"
                        "coordinator     203.0.113.5:3478  connected  18.4 ms\n"
                        "seen as         198.51.100.7:40015\n"
                        "NAT             symmetric: another port for each destination (random)\n"
                        "symmetric NATs  2 attempts, 300 of 2048 packets, at most 256 mappings, "
                        "200/s\n"
                        "NAT binding     kept 105 s when idle (138 s was too long); refreshed "
                        "every 84 s\n"
                        "members         4, 2 online  roster abcdefgh\n"
                        "messages        1 unread, 2 queued\n"
                        "packets         2 workers, 4 threads, offload: TCP and UDP\n"
                        "ciphers         ipsec-mb; chacha20-poly1305 812 ns; aes-256-gcm 262 ns\n"
                        "                not used: udp_segment: EIO: an interface cannot checksum "
                        "what it must cut\n"
                        "dropped         3 replay\n"
                        "problem: disk full\xef\xbf\xbd\n");
    /* The members that are online are known from the coordinator alone. */
    answers("status", "{\"id\":@,\"ok\":true,\"version\":1,\"state\":\"up\",\"lan\":"
                      "{\"broadcast\":\"auto\",\"sent\":false,\"online\":null}}\n");
    assert_int_equal(RUN("status"), 0);
    assert_non_null(strstr(t.out, "not sent: how many members are online is not known"));
    answers("status", "{\"id\":@,\"ok\":true,\"version\":1,\"state\":\"up\",\"lan\":"
                      "{\"broadcast\":\"auto\",\"sent\":false,\"online\":33}}\n");
    assert_int_equal(RUN("status"), 0);
    assert_non_null(strstr(t.out, "not sent: more than 32 members are online"));
    /* A node that is down, or waits, does not miss its coordinator. */
    answers("status", "{\"id\":@,\"ok\":true,\"version\":1,\"state\":\"down\",\"coordinator\":"
                      "{\"address\":\"a:1\",\"connected\":false,\"error\":null}}\n");
    assert_int_equal(RUN("status"), 0);
    assert_non_null(strstr(t.out, "coordinator  a:1  not connected\n"));
    answers("status", "{\"id\":@,\"ok\":true,\"version\":1,\"state\":\"up\",\"coordinator\":"
                      "{\"address\":\"a:1\",\"connected\":false,\"error\":\"no answer\"}}\n");
    assert_int_equal(RUN("status"), 0);
    assert_non_null(strstr(t.out, "coordinator  a:1  unreachable\n"));
    answers("status", "{\"id\":@,\"ok\":true,\"version\":1,\"state\":\"none\"}\n");
    assert_int_equal(RUN("status"), 0);
    assert_string_equal(t.out, "state  not joined: p2pvpnctl join TOKEN, or create URL\n");
}

PV_TEST(ip_prints_one_word)
{
    answers("ip",
            "{\"id\":@,\"ok\":true,\"ip4\":\"10.66.0.1\",\"ip6\":\"fd00::1\",\"wg_key\":\"W=\"}\n");
    assert_int_equal(RUN("ip"), 0);
    assert_string_equal(t.out, "10.66.0.1\n");
    assert_int_equal(RUN("ip", "-6", "bob"), 0);
    assert_string_equal(t.out, "fd00::1\n");
    assert_int_equal(RUN("ip", "bob", "--wg-key"), 0);
    assert_string_equal(t.out, "W=\n");
    assert_string_equal(t.requests, "{\"cmd\":\"ip\"}\n{\"cmd\":\"ip\",\"peer\":\"bob\"}\n"
                                    "{\"cmd\":\"ip\",\"peer\":\"bob\"}\n");
    answers("ip", "{\"id\":@,\"ok\":true,\"ip4\":null,\"ip6\":null,\"wg_key\":\"W=\"}\n");
    assert_int_equal(RUN("ip"), 1);
}

PV_TEST(why_and_trace_print_lines)
{
    answers("why", "{\"id\":@,\"ok\":true,\"version\":1,\"lines\":[\"one\",\"  two\"]}\n");
    answers("trace",
            "{\"id\":@,\"ok\":true,\"version\":1,\"events\":[{\"t\":1.5,\"text\":\"x\"}]}\n");
    assert_int_equal(RUN("why", "pi"), 0);
    assert_string_equal(t.out, "one\n  two\n");
    assert_int_equal(RUN("trace", "pi"), 0);
    assert_string_equal(t.out, "     1.500 s ago  x\n");
    assert_int_equal(RUN("trace", "pi", "--json"), 0);
    assert_string_equal(t.out,
                        "{\"version\":1,\"events\":[{\"t\":1.5,\"text\":\"x\"}],\"format\":1}\n");
}

PV_TEST(metrics_are_printed_as_they_come)
{
    answers("metrics", "{\"id\":@,\"ok\":true,\"version\":1,"
                       "\"text\":\"# TYPE x gauge\\nx{a=\\\"b\\\"} 1\\n\"}\n");
    assert_int_equal(RUN("metrics"), 0);
    assert_string_equal(t.out, "# TYPE x gauge\nx{a=\"b\"} 1\n");
    assert_int_equal(RUN("metrics", "--json"), 0);
    assert_string_equal(
        t.out, "{\"version\":1,\"text\":\"# TYPE x gauge\\nx{a=\\\"b\\\"} 1\\n\",\"format\":1}\n");
}

/* --- network ------------------------------------------------------------------------------- */

#define JOINED "\"network\":\"home\",\"name\":\"lap\",\"ip4\":\"10.66.0.1\",\"ip6\":null"

static void make_url(char *buf, size_t cap)
{
    struct pv_url url = {.addr = {.port = 3478}, .has_secret = true};
    struct test_rng r;
    struct pv_rng rng = test_rng_make(&r, 5);
    uint8_t seed[32], sk[PV_SIGN_SK_LEN];
    pv_rng_fill(&rng, seed, sizeof(seed));
    pv_sign_keypair(seed, sk, url.pk);
    snprintf(url.addr.host, sizeof(url.addr.host), "192.0.2.1");
    assert_int_equal(pv_url_format(&url, buf, cap), PV_OK);
}

PV_TEST(create_prints_the_token_alone)
{
    char url[PV_URL_TEXT_BUF], want[512];
    make_url(url, sizeof(url));
    answers("create", "{\"id\":@,\"ok\":true," JOINED ",\"token\":\"p2pvpn-XYZ\"}\n");
    assert_int_equal(
        RUN("create", url, "--name", "LAP", "--network", "home", "--cidr", "10.7.0.0/16"), 0);
    assert_string_equal(t.out, "p2pvpn-XYZ\n");
    assert_non_null(strstr(t.err, "created network home: this node is lap, address 10.66.0.1"));
    snprintf(want, sizeof(want),
             "{\"cmd\":\"create\",\"network\":\"home\",\"name\":\"lap\",\"cidr\":\"10.7.0.0/16\","
             "\"url\":\"%s\",\"timeout_ms\":0}\n",
             url);
    assert_string_equal(t.requests, want);
    assert_null(strstr(t.err, "private"));
    assert_int_equal(RUN("create", url, "--cidr", "8.8.8.0/24"), 0);
    assert_non_null(strstr(t.err, "8.8.8.0/24 is no private range"));

    t.requests[0] = '\0';
    char line[PV_URL_TEXT_BUF + 2];
    snprintf(line, sizeof(line), "%s\n", url);
    FILE *in = input(line);
    assert_int_equal(run_in(in, (const char *const[]){"create", "-", "-q", NULL}), 0);
    fclose(in);
    assert_string_equal(t.out, "p2pvpn-XYZ\n");
    assert_int_equal(t.err_len, 0);
    assert_non_null(strstr(t.requests, url));
    assert_int_equal(RUN("create", url, "--json"), 0);
    assert_string_equal(t.out, "{" JOINED ",\"token\":\"p2pvpn-XYZ\",\"format\":1}\n");
}

/* A user who is not root is told to use sudo where nothing else helps: not the group, not `up`. */
PV_TEST(an_answer_says_what_only_root_may_begin)
{
    char url[PV_URL_TEXT_BUF];
    if (geteuid() != 0)
        skip();
    make_url(url, sizeof(url));
    assert_int_equal(seteuid(65534), 0);
    int locked = RUN("create", url); /* the socket's directory is root's */
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(locked, PV_CTLAPI_PERMISSION);
    assert_one_line_error("only root may change this node or its network: use sudo");
    assert_int_equal(seteuid(65534), 0);
    locked = RUN("leave");
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(locked, PV_CTLAPI_PERMISSION);
    assert_one_line_error("only root may change this node or its network: use sudo");
    assert_int_equal(seteuid(65534), 0);
    locked = RUN("peers"); /* for the group, too */
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(locked, PV_CTLAPI_PERMISSION);
    assert_one_line_error("or join its group once: sudo usermod -aG p2pvpn \"$USER\"");
    stop_daemon();
    assert_int_equal(chmod(t.dir, 0711), 0);
    unlink(t.path);
    assert_int_equal(seteuid(65534), 0);
    int silent = RUN("create", url);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(silent, PV_CTLAPI_NOT_RUNNING);
    assert_one_line_error("only root starts it: use sudo");
}

PV_TEST(invite_prints_the_token_alone_and_lists)
{
    answers("invite", "{\"id\":@,\"ok\":true,\"token\":\"p2pvpn-XYZ\",\"invite\":\"I\"}\n");
    answers("invite_list",
            "{\"id\":@,\"ok\":true,\"version\":1,\"invites\":["
            "{\"id\":\"AAA\",\"uses\":5,\"used\":1,\"not_before\":1,\"not_after\":null,"
            "\"revoked\":false},{\"id\":\"BBB\",\"uses\":1,\"used\":1,\"not_before\":1,"
            "\"not_after\":null,\"revoked\":false,\"members\":[\"pi\",\"old (former, key:AbCd)\"]},"
            "{\"id\":\"CCC\",\"uses\":1,\"used\":0,"
            "\"not_before\":1,\"not_after\":null,\"revoked\":true,\"admin\":true}]}\n");
    answers("invite_revoke", "{\"id\":@,\"ok\":true}\n");
    assert_int_equal(RUN("invite", "--uses", "5", "--expires", "2h", "--admin"), 0);
    assert_string_equal(t.out, "p2pvpn-XYZ\n");
    assert_non_null(strstr(t.err, "becomes an admin"));
    assert_int_equal(RUN("invite"), 0);
    assert_int_equal(t.err_len, 0);
    assert_int_equal(RUN("invite", "list"), 0);
    assert_string_equal(t.out,
                        "INVITE  USED    EXPIRES  STATE\n"
                        "AAA     1 of 5  never    open\n"
                        "BBB     1 of 1  never    used up; let in pi, old (former, key:AbCd)\n"
                        "CCC     0 of 1  never    revoked (for an admin)\n");
    assert_int_equal(RUN("invite", "revoke", "AAA"), 0);
    assert_string_equal(t.requests,
                        "{\"cmd\":\"invite\",\"uses\":5,\"expires\":7200,\"admin\":true}\n"
                        "{\"cmd\":\"invite\",\"uses\":1,\"expires\":86400}\n"
                        "{\"cmd\":\"invite_list\"}\n"
                        "{\"cmd\":\"invite_list\"}\n"
                        "{\"cmd\":\"invite_revoke\",\"invite\":\"AAA\"}\n");
}

#define INVITE_1 "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE"
#define INVITE_2 "AbCdEfGhIjKlZZOpQrStUvWxYz0123456789-_AbCdE"

PV_TEST(an_invite_is_revoked_by_the_beginning_of_its_id)
{
    answers("invite_list", "{\"id\":@,\"ok\":true,\"version\":1,\"invites\":[{\"id\":\"" INVITE_1
                           "\"},{\"id\":\"" INVITE_2 "\"}]}\n");
    answers("invite_revoke", "{\"id\":@,\"ok\":true}\n");
    assert_int_equal(RUN("invite", "revoke", "AbCdEfGhIjKlZ"), 0);
    assert_non_null(strstr(t.requests, "{\"cmd\":\"invite_revoke\",\"invite\":\"" INVITE_2 "\"}"));
    t.requests[0] = '\0';
    assert_int_equal(RUN("invite", "revoke", "AbCdEfGhIjKl"), PV_CTLAPI_FAILED);
    assert_one_line_error("several invites begin with");
    assert_int_equal(RUN("invite", "revoke", "Zz"), PV_CTLAPI_FAILED);
    assert_one_line_error("is not an invite");
    assert_null(strstr(t.requests, "invite_revoke"));
    assert_int_equal(RUN("invite", "revoke", INVITE_1), 0);
    assert_non_null(strstr(t.requests, INVITE_1));
}

/* As wide as the daemon's answers get: IPv6, long names, durations, reasons. */
PV_TEST(tables_fit_80_columns)
{
    static const char *const rows[][3] = {
        {"peers"}, {"status"}, {"invite", "list"}, {"route"},
        {"rules"}, {"files"},  {"room", "list"},
    };
    char wide[128];
    answers("peers", "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[{\"name\":"
                     "\"a-name-that-is-rather-long-for-a-machine\",\"admin\":true,\"ip4\":"
                     "\"100.127.255.254\",\"online\":true,\"tags\":[\"guests\",\"media\"],"
                     "\"path\":{\"type\":\"direct\",\"rtt_ms\":1234.5,\"remote\":"
                     "\"[2001:db8:1234:5678:9abc:def0:1234:5678]:51820\"}},{\"name\":\"new\","
                     "\"ip4\":\"10.66.0.9\",\"state\":\"waiting\",\"asks_from\":"
                     "\"[2001:db8:1234:5678:9abc:def0:1234:5678]:51820\"}]}\n");
    answers("status", "{\"id\":@,\"ok\":true,\"version\":1,\"state\":\"up\",\"confined\":"
                      "\"user p2pvpn, without capabilities, in a namespace of its own, with a list "
                      "of 97 system calls and Landlock for the network\"}\n");
    answers("invite_list", "{\"id\":@,\"ok\":true,\"version\":1,\"invites\":[{\"id\":\"" INVITE_1
                           "\",\"uses\":100,\"used\":10,\"not_after\":1700000000,"
                           "\"member_for\":7776000,\"admin\":true,\"approve\":true}]}\n");
    answers("routes", "{\"id\":@,\"ok\":true,\"version\":1,\"use\":\"auto\",\"routes\":[{"
                      "\"prefix\":\"2001:db8:1234:5678::/64\",\"peer\":\"office-in-hamburg\","
                      "\"state\":\"waits\",\"rtt_ms\":18.4,\"why\":\"no admin has allowed it\","
                      "\"command\":\"route allow office-in-hamburg 2001:db8:1234:5678::/64\"}]}\n");
    answers("rules", "{\"id\":@,\"ok\":true,\"version\":1,\"rules\":[{\"number\":1,\"from\":"
                     "\"a-name-that-is-rather-long\",\"to\":\"another-name-that-is-long\","
                     "\"verdict\":\"deny\",\"ports\":\"tcp/22,udp/5000-5010,https,dns\","
                     "\"by\":\"laptop\"}]}\n");
    answers("files",
            "{\"id\":@,\"ok\":true,\"version\":1,\"files\":[{\"id\":12,\"transfer\":\"L\",\"peer\":"
            "\"a-name-that-is-rather-long\",\"size\":123456789,\"state\":\"failed\","
            "\"name\":\"minutes of the meeting of the board in the fall.pdf\",\"why\":"
            "\"the file has changed since it was offered\"}]}\n");
    answers("history", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[{\"id\":\"L\","
                       "\"own\":true,\"room\":"
                       "\"#a-room-with-a-name-that-is-longer-than-most\"}]}\n");
    answers("room_list", "{\"id\":@,\"ok\":true,\"version\":1,\"rooms\":[{\"room\":"
                         "\"#a-room-with-a-name-that-is-longer-than-most\",\"creator\":"
                         "\"a-name-that-is-rather-long-for-a-machine\",\"members\":3}]}\n");
    setenv("COLUMNS", "80", 1);
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        int code = run_in(stdin, rows[i]);
        if (code != 0 || t.out_len == 0)
            fail_msg("%s: exit code %d: %s", rows[i][0], code, t.err);
        if (wider_than_80(t.out, wide) != NULL)
            fail_msg("%s: %s", rows[i][0], wide);
    }
    /* With --long nothing is missing, however wide the screen is. */
    assert_int_equal(RUN("invite", "list", "-l"), 0);
    assert_non_null(strstr(t.out, INVITE_1));
    assert_int_equal(RUN("peers", "-l"), 0);
    assert_non_null(strstr(t.out, "direct [2001:db8:1234:5678:9abc:def0:1234:5678]:51820"));
    unsetenv("COLUMNS");
}

/* The id of a line is known to all members: only a line of who sends the file says its room. */
PV_TEST(files_names_the_room_where_the_line_is_of_the_sender)
{
#define ONE_FILE(id, transfer, direction)                                     \
    "{\"id\":" id ",\"transfer\":\"" transfer "\",\"direction\":\"" direction \
    "\",\"peer\":\"pi\",\"size\":1,\"state\":\"offered\",\"name\":\"f" id "\"}"
#define ONE_LINE(id, more, room) "{\"id\":\"" id "\",\"room\":\"" room "\"," more "}"
    answers("files",
            "{\"id\":@,\"ok\":true,\"version\":1,\"files\":[" ONE_FILE("1", "A", "in") "," ONE_FILE(
                "2", "B", "in") "," ONE_FILE("3", "C",
                                             "out") "," ONE_FILE("4", "D",
                                                                 "in") "," ONE_FILE("5", "E",
                                                                                    "in") "]}\n");
    answers(
        "history",
        "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[" ONE_LINE(
            "A", "\"from\":\"pi\"",
            "#a") "," ONE_LINE("B", "\"from\":\"bob\"",
                               "#b") "," ONE_LINE("C", "\"from\":\"lap\",\"own\":true",
                                                  "#c") "," ONE_LINE("D",
                                                                     "\"from\":\"lap\",\"own\":"
                                                                     "true",
                                                                     "#d") "," ONE_LINE("E",
                                                                                        "\"from\":"
                                                                                        "\"pi\","
                                                                                        "\"from_"
                                                                                        "former\":"
                                                                                        "\"AbCd\"",
                                                                                        "#e") "]}"
                                                                                              "\n");
    assert_int_equal(RUN("files"), 0);
    assert_non_null(strstr(t.out, "#a"));
    assert_null(strstr(t.out, "#b"));
    assert_non_null(strstr(t.out, "#c"));
    assert_null(strstr(t.out, "#d"));
    assert_null(strstr(t.out, "#e"));
}

PV_TEST(files_are_listed_when_the_history_cannot_be_read)
{
    answers("files",
            "{\"id\":@,\"ok\":true,\"version\":1,\"files\":[" ONE_FILE("1", "A", "in") "]}\n");
    answers("history",
            "{\"id\":@,\"ok\":false,\"code\":1,\"error\":\"chat: the store is broken\"}\n");
    assert_int_equal(RUN("files"), 0);
    assert_non_null(strstr(t.out, "f1"));
    assert_non_null(strstr(t.err, "the store is broken"));
}

/* A member that never answers hides nothing of the others. A file's number is that of its request
 * here. */
PV_TEST(a_refusal_of_a_file_for_a_room_is_told_while_another_member_is_silent)
{
    answers("room_members", "{\"id\":@,\"ok\":true,\"version\":1,\"members\":[{\"name\":\"pi\","
                            "\"online\":true},{\"name\":\"bob\",\"online\":true}]}\n");
    answers("send", "{\"id\":@,\"ok\":true,\"message\":{\"id\":\"aaaaaaaaaaaaaaaaaaaaaA\"}}\n");
    answers("file_send", "{\"id\":@,\"ok\":true,\"file\":{\"id\":@}}\n");
    answers("files", "{\"id\":@,\"ok\":true,\"version\":1,\"files\":["
                     "{\"id\":3,\"name\":\"f\",\"state\":\"offered\",\"online\":true},"
                     "{\"id\":4,\"name\":\"f\",\"state\":\"refused\",\"online\":true}]}\n");
    assert_int_not_equal(RUN("--timeout", "2", "send-file", "#crew", "/proc/self/exe"), 0);
    const char *refused = strstr(t.err, "f to bob: refused");
    assert_non_null(refused);
    assert_non_null(strstr(refused, "\np2pvpnctl: ")); /* that pi did not answer in time */
}

/* The token alone is what a script gets. */
PV_TEST(a_code_for_a_camera_stands_beside_the_token)
{
    answers("invite", "{\"id\":@,\"ok\":true,\"token\":\"p2pvpn-XYZ\",\"invite\":\"I\"}\n");
    setenv("LC_ALL", "C.UTF-8", 1);
    assert_int_equal(RUN("invite", "--qr"), 0);
    assert_string_equal(t.out, "p2pvpn-XYZ\n");
    assert_true(t.err_len > 0); /* the code, or why there is none */
    setenv("LC_ALL", "C", 1);
    assert_int_equal(RUN("invite", "--qr"), 0);
    assert_string_equal(t.out, "p2pvpn-XYZ\n");
    assert_non_null(strstr(t.err, "no QR code: it needs a UTF-8 locale"));
    unsetenv("LC_ALL");
}

PV_TEST(an_admission_may_come_with_a_tag)
{
    const char *done =
        "{\"id\":@,\"ok\":true,\"know\":0,\"online\":0,\"coordinator\":\"stored\"}\n";
    answers("admit", done);
    answers("tag", done);
    assert_int_equal(RUN("admit", "tom", "--tag", "guest"), 0);
    assert_string_equal(t.requests, "{\"cmd\":\"tag\",\"peer\":\"tom\",\"tag\":\"guest\"}\n"
                                    "{\"cmd\":\"admit\",\"peer\":\"tom\"}\n");
    assert_non_null(strstr(t.err, "it has tag:guest"));
    /* Nobody is let in for a tag that cannot be. */
    t.requests[0] = '\0';
    assert_int_equal(RUN("admit", "tom", "--tag", "No Tag!"), PV_CTLAPI_USAGE);
    assert_string_equal(t.requests, "");
}

/* It was `down`, which ends --block: who only wanted to look let everything out. */
PV_TEST(exit_alone_changes_nothing)
{
    answers("routes",
            "{\"id\":@,\"ok\":true,\"version\":1,\"use\":\"auto\",\"exit\":{\"peer\":\"nas\","
            "\"lan\":false,\"block\":true,\"works\":true},\"routes\":["
            "{\"prefix\":\"default\",\"peer\":\"nas\",\"state\":\"used\"},"
            "{\"prefix\":\"192.168.1.0/24\",\"peer\":\"bob\",\"state\":\"off\"}]}\n");
    assert_int_equal(RUN("exit"), 0);
    assert_string_equal(t.requests, "{\"cmd\":\"routes\"}\n");
    assert_string_equal(t.out, "PREFIX   BY   STATE  RTT  WHY\n"
                               "default  nas  used   -    \n"
                               "exit: nas; nothing goes around it\n");
    answers("routes", "{\"id\":@,\"ok\":true,\"version\":1,\"exit\":null,\"routes\":[]}\n");
    assert_int_equal(RUN("exit"), 0);
    assert_non_null(strstr(t.out, "none is used"));
}

PV_TEST(changes_are_sent_as_they_are)
{
    const char *done = "{\"id\":@,\"ok\":true}\n";
    answers("up", done);
    answers("down", done);
    answers("leave", done);
    answers("remove", done);
    answers("log", done);
    assert_int_equal(RUN("up"), 0);
    assert_int_equal(RUN("down"), 0);
    assert_int_equal(RUN("leave", "--forget"), 0);
    assert_int_equal(RUN("remove", "bob"), 0);
    assert_int_equal(RUN("log", "debug"), 0);
    assert_int_equal(t.out_len, 0);
    assert_string_equal(t.requests, "{\"cmd\":\"up\"}\n{\"cmd\":\"down\"}\n"
                                    "{\"cmd\":\"leave\",\"forget\":true}\n"
                                    "{\"cmd\":\"remove\",\"peer\":\"bob\"}\n"
                                    "{\"cmd\":\"log\",\"level\":\"debug\"}\n");
    assert_int_equal(RUN("up", "--json"), 0);
    assert_string_equal(t.out, "{\"format\":1}\n");
}

/* The answer of a leave is said as this. */
static void expect_left(const char *answer, const char *flag, int code, const char *words)
{
    answers("leave", answer);
    assert_int_equal(flag != NULL ? RUN("leave", flag) : RUN("leave"), code);
    if (strstr(t.err, words) == NULL)
        fail_msg("leave said: %s", t.err);
}

PV_TEST(a_leave_says_who_knows_and_what_brings_the_node_back)
{
    expect_left("{\"id\":@,\"ok\":true,\"removed\":false}\n", NULL, 0,
                "left the network; a new token brings this node back, and so does the one it came "
                "by, until that expires or an admin revokes it\n");
    expect_left("{\"id\":@,\"ok\":true,\"removed\":true}\n", NULL, 0,
                "`p2pvpnctl leave --forget` makes a new identity");
    expect_left("{\"id\":@,\"ok\":true,\"removed\":true}\n", "--forget", 0,
                "left the network; the keys of this node are deleted\n");
    expect_left("{\"id\":@,\"ok\":true,\"online\":2,\"know\":1,\"coordinator\":\"away\","
                "\"disk\":\"stored\",\"code\":9}\n",
                NULL, PV_CTLAPI_UNREACHABLE,
                "the coordinator is away, and is told when it is back");
    expect_left("{\"id\":@,\"ok\":true,\"online\":0,\"know\":0,\"coordinator\":\"away\","
                "\"disk\":\"stored\",\"code\":9}\n",
                "--forget", PV_CTLAPI_UNREACHABLE, "nobody could be told");
    expect_left("{\"id\":@,\"ok\":true,\"online\":2,\"know\":0,\"coordinator\":\"stored\","
                "\"disk\":\"stored\"}\n",
                NULL, 0,
                "0 of 2 members online know so far, the coordinator has stored it and tells");
}

PV_TEST(a_reload_says_what_came_of_it)
{
    answers("reload", "{\"id\":@,\"ok\":true,\"file\":\"c\",\"changed\":[\"[a] b\"],"
                      "\"restart\":[\"[e] f\"]}\n");
    assert_int_equal(RUN("reload"), 0);
    assert_string_equal(t.out, "read c\nchanged: [a] b\nwaits for a restart of p2pvpnd: [e] f\n");
}

/* --- ping, wait ---------------------------------------------------------------------------- */

#define PONG(type)                                                                      \
    "{\"id\":@,\"event\":\"pong\",\"seq\":1,\"rtt_ms\":12.5,\"path\":{\"type\":\"" type \
    "\",\"local\":null,\"remote\":\"192.0.2.9:18233\",\"via\":\"203.0.113.5:3478\"}}\n"
#define LOST "{\"id\":@,\"event\":\"timeout\",\"seq\":2}\n"

PV_TEST(ping_says_which_way_each_answer_took)
{
    answers("ping", PONG("direct") LOST "{\"id\":@,\"ok\":true,\"sent\":2,\"received\":1}\n");
    assert_int_equal(RUN("ping", "pi", "-c", "2", "-i", "0.5", "-s", "100", "--direct"), 0);
    assert_string_equal(t.out, "1 from pi: 12.5 ms via direct 192.0.2.9:18233\n"
                               "2 from pi: no answer\n"
                               "2 sent, 1 received; round trip 12.5 / 12.5 / 12.5 ms "
                               "(least, mean, most)\n");
    assert_string_equal(t.requests, "{\"cmd\":\"ping\",\"peer\":\"pi\",\"count\":2,"
                                    "\"interval_ms\":500,\"size\":100}\n");
    assert_int_equal(RUN("ping", "pi", "--json"), 0);
    assert_string_equal(t.out, "{\"event\":\"pong\",\"seq\":1,\"rtt_ms\":12.5,\"path\":{\"type\":"
                               "\"direct\",\"local\":null,\"remote\":\"192.0.2.9:18233\","
                               "\"via\":\"203.0.113.5:3478\"},\"format\":1}\n"
                               "{\"event\":\"timeout\",\"seq\":2,\"format\":1}\n"
                               "{\"sent\":2,\"received\":1,\"format\":1}\n");
}

PV_TEST(ping_direct_is_exit_code_10_when_relayed)
{
    answers("ping", PONG("relay") "{\"id\":@,\"ok\":true,\"sent\":1,\"received\":1}\n");
    assert_int_equal(RUN("ping", "pi", "-c", "1"), 0);
    assert_non_null(strstr(t.out, "1 from pi: 12.5 ms via relay 203.0.113.5:3478\n"));
    assert_int_equal(RUN("ping", "pi", "-c", "1", "--direct"), PV_CTLAPI_RELAYED);
    assert_one_line_error("not directly");
}

PV_TEST(ping_without_an_answer_is_exit_code_3)
{
    answers("ping", LOST "{\"id\":@,\"ok\":true,\"sent\":1,\"received\":0}\n");
    assert_int_equal(RUN("ping", "pi", "-c", "1"), PV_CTLAPI_TIMEOUT);
    assert_one_line_error("did not answer");
}

PV_TEST(wait_blocks_until_the_answer)
{
    answers("wait", "{\"id\":@,\"ok\":true}\n");
    assert_int_equal(RUN("wait", "--peer", "pi", "--direct", "--online"), 0);
    assert_int_equal(t.out_len + t.err_len, 0);
    assert_string_equal(t.requests,
                        "{\"cmd\":\"wait\",\"peer\":\"pi\",\"direct\":true,\"online\":true}\n");
    answers("wait", "");
    assert_int_equal(RUN("wait", "--timeout", "0.05"), PV_CTLAPI_TIMEOUT);
}

void test_begin(void)
{
    setenv("TZ", "UTC", 1);
}
