/* SPDX-License-Identifier: MIT */
/* p2pvpnctl against a scripted p2pvpnd: a thread that answers each command with given lines. */
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "ctl/args.h"
#include "ctl/cli.h"
#include "proto/token.h"
#include "test_util.h"

enum {
    MAX_ARGS = 24,
    MAX_SCRIPT = 12,
};

/* What the daemon says to a command: lines, "@" stands for the request's id. */
struct answer {
    const char *cmd;
    const char *lines;
};

static struct {
    int listen_fd;
    char dir[64], path[96];
    pthread_t thread;
    struct answer script[MAX_SCRIPT];
    char requests[8192]; /* what it was asked, ids left out */
    char *out, *err;     /* what the last run printed */
    size_t out_len, err_len;
} t;

/* --- the daemon ---------------------------------------------------------------------------- */

static void say(int fd, const char *lines, long long id)
{
    char buf[8192];
    size_t n = 0;
    for (const char *p = lines; *p != '\0' && n + 32 < sizeof(buf); p++) {
        if (*p == '@')
            n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%lld", id);
        else
            buf[n++] = *p;
    }
    (void)!send(fd, buf, n, MSG_NOSIGNAL);
}

static void serve_line(int fd, const char *line)
{
    json_t *req = json_loads(line, 0, NULL);
    if (req == NULL)
        return;
    const char *cmd = json_string_value(json_object_get(req, "cmd"));
    long long id = json_integer_value(json_object_get(req, "id"));
    json_t *plain = json_deep_copy(req);
    json_object_del(plain, "id");
    char *text = json_dumps(plain, JSON_COMPACT);
    size_t n = strlen(t.requests);
    snprintf(t.requests + n, sizeof(t.requests) - n, "%s\n", text);
    free(text);
    json_decref(plain);
    for (const struct answer *a = t.script; a->cmd != NULL; a++) {
        if (cmd != NULL && strcmp(a->cmd, cmd) == 0)
            say(fd, a->lines, id);
    }
    json_decref(req);
}

/* Serves connections until somebody shuts the listening socket down. */
static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        int fd = accept(t.listen_fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        FILE *f = fdopen(fd, "r+");
        char line[32768];
        while (f != NULL && fgets(line, sizeof(line), f) != NULL)
            serve_line(fd, line);
        if (f != NULL)
            fclose(f);
    }
}

static int setup(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    snprintf(t.dir, sizeof(t.dir), "/tmp/pv-test-ctl-XXXXXX");
    if (mkdtemp(t.dir) == NULL)
        return -1;
    snprintf(t.path, sizeof(t.path), "%s/s", t.dir);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, t.path, strlen(t.path) + 1);
    t.listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (t.listen_fd < 0 || bind(t.listen_fd, (struct sockaddr *)&un, sizeof(un)) < 0 ||
        listen(t.listen_fd, 8) < 0)
        return -1;
    return pthread_create(&t.thread, NULL, serve, NULL);
}

static void stop_daemon(void)
{
    if (t.listen_fd < 0)
        return;
    shutdown(t.listen_fd, SHUT_RDWR);
    pthread_join(t.thread, NULL);
    close(t.listen_fd);
    t.listen_fd = -1;
}

static int teardown(void **state)
{
    (void)state;
    stop_daemon();
    unlink(t.path);
    rmdir(t.dir);
    free(t.out);
    free(t.err);
    return 0;
}

/* --- running ------------------------------------------------------------------------------- */

static void answers(const char *cmd, const char *lines)
{
    struct answer *a = t.script;
    while (a->cmd != NULL && strcmp(a->cmd, cmd) != 0)
        a++;
    assert_true(a < t.script + MAX_SCRIPT - 1);
    *a = (struct answer){.cmd = cmd, .lines = lines};
}

static int run_in(FILE *in, const char *const *words)
{
    char *argv[MAX_ARGS + 4];
    int argc = 0;
    argv[argc++] = strdup("p2pvpnctl");
    argv[argc++] = strdup("--socket");
    argv[argc++] = strdup(t.path);
    for (; *words != NULL; words++)
        argv[argc++] = strdup(*words);
    argv[argc] = NULL;

    free(t.out);
    free(t.err);
    FILE *out = open_memstream(&t.out, &t.out_len);
    FILE *err = open_memstream(&t.err, &t.err_len);
    assert_true(out != NULL && err != NULL);
    int code = pv_cli_run(argc, argv, in, out, err);
    fclose(out);
    fclose(err);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return code;
}

#define RUN(...) run_in(stdin, (const char *const[]){__VA_ARGS__, NULL})

/* stdin as a file with this text. */
static FILE *input(const char *text)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    fputs(text, f);
    rewind(f);
    return f;
}

static void assert_one_line_error(const char *part)
{
    if (strncmp(t.err, "p2pvpnctl: ", 11) != 0 || strstr(t.err, part) == NULL ||
        strchr(t.err, '\n') != t.err + t.err_len - 1)
        fail_msg("not one line with \"%s\": %s", part, t.err);
}

/* --- arguments ----------------------------------------------------------------------------- */

static void options_and_words_may_stand_in_any_order(void **state)
{
    (void)state;
    static const struct pv_option table[] = {{"num", 'n', true}, {"flag", 'f', false}};
    char a[] = "x", b[] = "--num", c[] = "5", d[] = "-f", e[] = "-", f[] = "--num=7", g[] = "--",
         h[] = "-z";
    char *argv[] = {a, b, c, d, e, f, g, h};
    struct pv_args_rest rest = {.argc = 8, .argv = argv};
    struct pv_args args = {.n_words = 0};
    char error[PV_ARGS_ERROR];
    assert_int_equal(pv_args_parse(&args, table, 2, 99, &rest, error), PV_OK);
    assert_string_equal(args.value[0], "7"); /* the later one counts */
    assert_string_equal(args.value[1], "");
    assert_int_equal(args.n_words, 3);
    assert_string_equal(args.word[1], "-");
    assert_string_equal(args.word[2], "-z");
    assert_int_equal(rest.argc, 0);
}

static void bad_options_are_named(void **state)
{
    (void)state;
    static const struct pv_option table[] = {{"num", 'n', true}, {"flag", 'f', false}};
    static const struct {
        const char *arg, *error;
    } rows[] = {
        {"--nope", "unknown flag --nope"},
        {"-x", "unknown flag -x"},
        {"-nf", "unknown flag -nf"},
        {"--nu", "unknown flag --nu"},
        {"--num", "flag --num needs a value"},
        {"-n", "flag -n needs a value"},
        {"--flag=1", "flag --flag takes no value"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char arg[32];
        char *argv[] = {arg};
        struct pv_args_rest rest = {.argc = 1, .argv = argv};
        struct pv_args args = {.n_words = 0};
        char error[PV_ARGS_ERROR];
        snprintf(arg, sizeof(arg), "%s", rows[i].arg);
        assert_int_equal(pv_args_parse(&args, table, 2, 99, &rest, error), PV_ERR_MALFORMED);
        assert_string_equal(error, rows[i].error);
    }
}

static void wrong_usage_is_exit_code_2_without_a_word_to_the_daemon(void **state)
{
    (void)state;
    static const char *const rows[][8] = {
        {NULL},
        {"dance"},
        {"--nope"},
        {"peers", "--nope"},
        {"peers", "bob"},
        {"ping"},
        {"ping", "bob", "-c", "0"},
        {"ping", "bob", "-c", "1000001"},
        {"ping", "bob", "-c", "many"},
        {"ping", "bob", "-i", "0"},
        {"ping", "bob", "-i", "1x"},
        {"ping", "bob", "-s", "1191"},
        {"ping", "bo b"},
        {"ping", ""},
        {"invite", "--uses", "0"},
        {"invite", "--uses", "1000001"},
        {"invite", "--expires", "soon"},
        {"invite", "--expires", "0"},
        {"invite", "dance"},
        {"invite", "revoke"},
        {"invite", "list", "--uses", "2"},
        {"send", "bob"},
        {"send", "bob", ""},
        {"send", "bob", "\xff"},
        {"log", "louder"},
        {"log"},
        {"history", "-n", "0"},
        {"history", "-n", "1001"},
        {"wait", "--direct"},
        {"chat", "#room"},
        {"--timeout", "-1", "peers"},
        {"--timeout", "0", "peers"},
        {"--timeout", "soon", "peers"},
        {"--timeout", "nan", "peers"},
        {"--timeout", "86401", "peers"},
        {"create", "nonsense"},
        {"create", "nonsense", "--name", "Not A Name!"},
        {"create", "nonsense", "--cidr", "10.0.0.0/40"},
        {"create", "nonsense", "--network", "localhost"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (run_in(stdin, rows[i]) != PV_CTLAPI_USAGE)
            fail_msg("row %zu: %s", i, t.err);
        assert_one_line_error("-h");
        assert_int_equal(t.out_len, 0);
    }
    assert_string_equal(t.requests, "");
}

static void a_token_that_is_none_is_exit_code_12(void **state)
{
    (void)state;
    static char big[5001];
    memset(big, 'x', sizeof(big) - 1);
    const char *const bad[] = {"p2pvpn-", "p2pvpn-AAAA", "x", "", big};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        assert_int_equal(RUN("join", bad[i]), PV_CTLAPI_BAD_TOKEN);
        assert_one_line_error("copy it whole");
    }
    FILE *in = input("  nonsense \n");
    assert_int_equal(run_in(in, (const char *const[]){"join", "-", NULL}), PV_CTLAPI_BAD_TOKEN);
    fclose(in);
    assert_string_equal(t.requests, "");
}

static void flags_may_stand_before_or_behind_the_command(void **state)
{
    (void)state;
    answers("ip", "{\"id\":@,\"ok\":true,\"ip4\":\"10.66.0.1\",\"ip6\":null,\"wg_key\":\"k\"}\n");
    assert_int_equal(RUN("--json", "ip"), 0);
    char *first = strdup(t.out);
    assert_int_equal(RUN("ip", "--json"), 0);
    assert_string_equal(t.out, first);
    assert_string_equal(t.out, "{\"ip4\":\"10.66.0.1\",\"ip6\":null,\"wg_key\":\"k\"}\n");
    free(first);
}

static void every_command_has_help_with_an_example(void **state)
{
    (void)state;
    static const struct pv_command *const groups[] = {pv_cmds_network, pv_cmds_node, pv_cmds_info,
                                                      pv_cmds_ping, pv_cmds_chat};
    assert_int_equal(RUN("-h"), 0);
    char *overview = strdup(t.out);
    for (size_t g = 0; g < PV_ARRAY_LEN(groups); g++) {
        for (const struct pv_command *c = groups[g]; c->name != NULL; c++) {
            assert_non_null(strstr(overview, c->summary));
            assert_int_equal(RUN(c->name, "-h"), 0);
            assert_non_null(strstr(t.out, "\nusage: p2pvpnctl "));
            assert_non_null(strstr(t.out, "\nexample: "));
            assert_non_null(strstr(t.out, c->name));
            assert_int_equal(t.err_len, 0);
        }
    }
    free(overview);
    assert_int_equal(RUN("--help", "ping"), 0);
    assert_non_null(strstr(t.out, "usage: p2pvpnctl ping"));
    assert_string_equal(t.requests, "");
}

/* --- exit codes ---------------------------------------------------------------------------- */

static void the_daemons_refusal_is_the_exit_code(void **state)
{
    (void)state;
    static const char *const lines[] = {
        [1] = "{\"id\":@,\"ok\":false,\"code\":1,\"error\":\"peers: what: why\"}\n",
        [2] = "{\"id\":null,\"ok\":false,\"code\":2,\"error\":\"peers: what: why\"}\n",
        [3] = "{\"id\":@,\"ok\":false,\"code\":3,\"error\":\"peers: what: why\"}\n",
        [4] = "{\"id\":@,\"ok\":false,\"code\":4,\"error\":\"peers: what: why\"}\n",
        [5] = "{\"id\":@,\"ok\":false,\"code\":5,\"error\":\"peers: what: why\"}\n",
        [6] = "{\"id\":@,\"ok\":false,\"code\":6,\"error\":\"peers: what: why\"}\n",
        [7] = "{\"id\":@,\"ok\":false,\"code\":7,\"error\":\"peers: what: why\"}\n",
        [8] = "{\"id\":@,\"ok\":false,\"code\":8,\"error\":\"peers: what: why\"}\n",
        [9] = "{\"id\":@,\"ok\":false,\"code\":9,\"error\":\"peers: what: why\"}\n",
        [10] = "{\"id\":@,\"ok\":false,\"code\":10,\"error\":\"peers: what: why\"}\n",
        [11] = "{\"id\":@,\"ok\":false,\"code\":11,\"error\":\"peers: what: why\"}\n",
        [12] = "{\"id\":@,\"ok\":false,\"code\":12,\"error\":\"peers: what: why\"}\n",
    };
    for (int code = 1; code <= 12; code++) {
        answers("peers", lines[code]);
        assert_int_equal(RUN("peers"), code);
        assert_string_equal(t.err, "p2pvpnctl: peers: what: why\n");
        assert_int_equal(t.out_len, 0);
    }
}

static void errors_of_the_daemon_cannot_drive_a_terminal(void **state)
{
    (void)state;
    answers("peers", "{\"id\":@,\"ok\":false,\"code\":1,\"error\":\"a\\u001b[2Jb\\nc\"}\n");
    assert_int_equal(RUN("peers"), 1);
    assert_null(strchr(t.err, '\x1b'));
}

static void no_daemon_is_exit_code_8_with_a_remedy(void **state)
{
    (void)state;
    stop_daemon(); /* the socket's name stays */
    assert_int_equal(RUN("peers"), PV_CTLAPI_NOT_RUNNING);
    assert_one_line_error("start it");
    unlink(t.path);
    assert_int_equal(RUN("ip", "bob"), PV_CTLAPI_NOT_RUNNING);
    assert_one_line_error("start it");
    assert_int_equal(RUN("version"), PV_CTLAPI_NOT_RUNNING);
    assert_string_equal(t.out, "p2pvpnctl " PV_VERSION "\n");
}

static void a_daemon_that_is_silent_is_exit_code_3(void **state)
{
    (void)state;
    assert_int_equal(RUN("--timeout", "0.05", "peers"), PV_CTLAPI_TIMEOUT);
    assert_one_line_error("--timeout");
}

static void something_else_behind_the_socket_is_told(void **state)
{
    (void)state;
    answers("peers", "SSH-2.0-OpenSSH\n");
    assert_int_equal(RUN("peers"), PV_CTLAPI_FAILED);
    assert_one_line_error("is the path right?");
}

static void an_answer_from_the_cache_is_shown_with_exit_code_9(void **state)
{
    (void)state;
    answers("ip", "{\"id\":@,\"ok\":true,\"code\":9,\"ip4\":\"10.66.0.1\"}\n");
    assert_int_equal(RUN("ip", "bob"), PV_CTLAPI_UNREACHABLE);
    assert_string_equal(t.out, "10.66.0.1\n");
    assert_non_null(strstr(t.err, "coordinator"));
}

/* --- peers, status, ip --------------------------------------------------------------------- */

#define PEERS                                                                              \
    "\"version\":1,\"peers\":[{\"name\":\"pi\",\"ip4\":\"10.66.1.5\",\"ip6\":\"fd00::5\"," \
    "\"key\":\"K\",\"wg_key\":\"W\",\"online\":true,\"path\":{\"type\":\"direct\","        \
    "\"local\":\"192.168.1.2:4000\",\"remote\":\"192.0.2.44:51002\",\"via\":null,"         \
    "\"rtt_ms\":31.25,\"loss\":0.0,\"mtu\":1420},\"tx_bytes\":1048576,\"rx_bytes\":12,"    \
    "\"last_handshake\":null},{\"name\":\"a-longer-name\",\"ip4\":null,\"ip6\":null,"      \
    "\"key\":\"K\",\"wg_key\":\"W\",\"online\":false,\"path\":{\"type\":\"none\","         \
    "\"local\":null,\"remote\":null,\"via\":null,\"rtt_ms\":null,\"loss\":null,"           \
    "\"mtu\":null},\"tx_bytes\":0,\"rx_bytes\":0,\"last_handshake\":null}]"

static void peers_prints_json_as_it_is(void **state)
{
    (void)state;
    answers("peers", "{\"id\":@,\"ok\":true," PEERS "}\n");
    assert_int_equal(RUN("peers", "--json"), 0);
    assert_string_equal(t.out, "{" PEERS "}\n");
    assert_int_equal(RUN("getu", "--json"), 0);
    assert_string_equal(t.out, "{" PEERS "}\n");
    assert_string_equal(t.requests, "{\"cmd\":\"peers\"}\n{\"cmd\":\"peers\"}\n");
}

static void peers_prints_an_aligned_table(void **state)
{
    (void)state;
    answers("peers", "{\"id\":@,\"ok\":true," PEERS "}\n");
    assert_int_equal(RUN("peers"), 0);
    assert_string_equal(
        t.out,
        "NAME           ADDRESS    STATE    PATH                     RTT      LOSS  RECEIVED  "
        "SENT     HANDSHAKE\n"
        "pi             10.66.1.5  online   direct 192.0.2.44:51002  31.2 ms  0 %   12 B      "
        "1.0 MiB  never\n"
        "a-longer-name  -          offline  -                        -        -     0 B       "
        "0 B      never\n");
    assert_int_equal(RUN("-q", "peers"), 0);
    assert_int_equal(t.out_len + t.err_len, 0);
    answers("peers", "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[]}\n");
    assert_int_equal(RUN("peers"), 0);
    assert_non_null(strstr(t.err, "invite"));
}

static void status_shows_what_matters(void **state)
{
    (void)state;
    answers("status",
            "{\"id\":@,\"ok\":true,\"version\":1,\"daemon\":\"0.1.0\",\"state\":\"up\","
            "\"uptime\":3700,\"network\":{\"name\":\"home\",\"id\":\"I\",\"cidr\":"
            "\"10.66.0.0/16\",\"ip6\":null},\"self\":{\"name\":\"lap\",\"ip4\":\"10.66.3.9\","
            "\"ip6\":\"fd00::9\",\"key\":\"K\",\"wg_key\":\"W\",\"admin\":true},\"interface\":"
            "{\"name\":\"p2pvpn0\",\"mtu\":1420,\"port\":40015},\"coordinator\":{\"address\":"
            "\"203.0.113.5:3478\",\"connected\":true,\"rtt_ms\":18.4,\"error\":null},"
            "\"public\":[\"198.51.100.7:40015\"],\"roster\":{\"head\":\"abcdefghij\","
            "\"members\":4,\"online\":2},\"chat\":{\"unread\":1,\"queued\":2},"
            "\"problems\":[\"disk full\\u001b\"],\"drops\":{\"replay\":3,\"none\":0}}\n");
    assert_int_equal(RUN("status"), 0);
    assert_string_equal(t.out, "state        up, p2pvpnd runs for 1h 1m\n"
                               "network      home  10.66.0.0/16\n"
                               "this node    lap  (admin)\n"
                               "addresses    10.66.3.9  fd00::9\n"
                               "interface    p2pvpn0  mtu 1420  UDP port 40015\n"
                               "coordinator  203.0.113.5:3478  connected 18.4 ms\n"
                               "seen as      198.51.100.7:40015\n"
                               "members      4, 2 online  roster abcdefgh\n"
                               "messages     1 unread, 2 queued\n"
                               "dropped      3 replay\n"
                               "problem: disk full\xef\xbf\xbd\n");
    answers("status", "{\"id\":@,\"ok\":true,\"version\":1,\"state\":\"none\"}\n");
    assert_int_equal(RUN("status"), 0);
    assert_string_equal(t.out, "state  not joined: p2pvpnctl join TOKEN, or create URL\n");
}

static void ip_prints_one_word(void **state)
{
    (void)state;
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

static void why_and_trace_print_lines(void **state)
{
    (void)state;
    answers("why", "{\"id\":@,\"ok\":true,\"version\":1,\"lines\":[\"one\",\"  two\"]}\n");
    answers("trace",
            "{\"id\":@,\"ok\":true,\"version\":1,\"events\":[{\"t\":1.5,\"text\":\"x\"}]}\n");
    assert_int_equal(RUN("why", "pi"), 0);
    assert_string_equal(t.out, "one\n  two\n");
    assert_int_equal(RUN("trace", "pi"), 0);
    assert_string_equal(t.out, "     1.500 s ago  x\n");
    assert_int_equal(RUN("trace", "pi", "--json"), 0);
    assert_string_equal(t.out, "{\"version\":1,\"events\":[{\"t\":1.5,\"text\":\"x\"}]}\n");
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

static void create_prints_the_token_alone(void **state)
{
    (void)state;
    char url[PV_URL_TEXT_BUF], want[512];
    make_url(url, sizeof(url));
    answers("create", "{\"id\":@,\"ok\":true," JOINED ",\"token\":\"p2pvpn-XYZ\"}\n");
    assert_int_equal(
        RUN("create", url, "--name", "LAP", "--network", "home", "--cidr", "10.7.0.0/16"), 0);
    assert_string_equal(t.out, "p2pvpn-XYZ\n");
    assert_non_null(strstr(t.err, "created network home: this node is lap, address 10.66.0.1"));
    snprintf(want, sizeof(want),
             "{\"cmd\":\"create\",\"network\":\"home\",\"name\":\"lap\",\"cidr\":\"10.7.0.0/16\","
             "\"url\":\"%s\"}\n",
             url);
    assert_string_equal(t.requests, want);

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
    assert_string_equal(t.out, "{" JOINED ",\"token\":\"p2pvpn-XYZ\"}\n");
}

static void invite_prints_the_token_alone_and_lists(void **state)
{
    (void)state;
    answers("invite", "{\"id\":@,\"ok\":true,\"token\":\"p2pvpn-XYZ\",\"invite\":\"I\"}\n");
    answers("invite_list",
            "{\"id\":@,\"ok\":true,\"version\":1,\"invites\":["
            "{\"id\":\"AAA\",\"uses\":5,\"used\":1,\"not_before\":1,\"not_after\":null,"
            "\"revoked\":false},{\"id\":\"BBB\",\"uses\":1,\"used\":1,\"not_before\":1,"
            "\"not_after\":null,\"revoked\":false},{\"id\":\"CCC\",\"uses\":1,\"used\":0,"
            "\"not_before\":1,\"not_after\":null,\"revoked\":true}]}\n");
    answers("invite_revoke", "{\"id\":@,\"ok\":true}\n");
    assert_int_equal(RUN("invite", "--uses", "5", "--expires", "2h", "--admin"), 0);
    assert_string_equal(t.out, "p2pvpn-XYZ\n");
    assert_int_equal(t.err_len, 0);
    assert_int_equal(RUN("invite", "list"), 0);
    assert_string_equal(t.out, "INVITE  USED    EXPIRES  STATE\n"
                               "AAA     1 of 5  never    open\n"
                               "BBB     1 of 1  never    used up\n"
                               "CCC     0 of 1  never    revoked\n");
    assert_int_equal(RUN("invite", "revoke", "AAA"), 0);
    assert_string_equal(t.requests,
                        "{\"cmd\":\"invite\",\"uses\":5,\"expires\":7200,\"admin\":true}\n"
                        "{\"cmd\":\"invite_list\"}\n"
                        "{\"cmd\":\"invite_revoke\",\"invite\":\"AAA\"}\n");
}

static void changes_are_sent_as_they_are(void **state)
{
    (void)state;
    const char *done = "{\"id\":@,\"ok\":true}\n";
    answers("up", done);
    answers("down", done);
    answers("leave", done);
    answers("remove", done);
    answers("log", done);
    assert_int_equal(RUN("up"), 0);
    assert_int_equal(RUN("down"), 0);
    assert_int_equal(RUN("exit"), 0);
    assert_int_equal(RUN("leave", "--forget"), 0);
    assert_int_equal(RUN("remove", "bob"), 0);
    assert_int_equal(RUN("log", "debug"), 0);
    assert_int_equal(t.out_len, 0);
    assert_string_equal(t.requests, "{\"cmd\":\"up\"}\n{\"cmd\":\"down\"}\n{\"cmd\":\"down\"}\n"
                                    "{\"cmd\":\"leave\",\"forget\":true}\n"
                                    "{\"cmd\":\"remove\",\"peer\":\"bob\"}\n"
                                    "{\"cmd\":\"log\",\"level\":\"debug\"}\n");
    assert_int_equal(RUN("up", "--json"), 0);
    assert_string_equal(t.out, "{}\n");
}

/* --- ping, wait ---------------------------------------------------------------------------- */

#define PONG(type)                                                                      \
    "{\"id\":@,\"event\":\"pong\",\"seq\":1,\"rtt_ms\":12.5,\"path\":{\"type\":\"" type \
    "\",\"local\":null,\"remote\":\"192.0.2.9:18233\",\"via\":\"203.0.113.5:3478\"}}\n"
#define LOST "{\"id\":@,\"event\":\"timeout\",\"seq\":2}\n"

static void ping_says_which_way_each_answer_took(void **state)
{
    (void)state;
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
                               "\"via\":\"203.0.113.5:3478\"}}\n"
                               "{\"event\":\"timeout\",\"seq\":2}\n"
                               "{\"sent\":2,\"received\":1}\n");
}

static void ping_direct_is_exit_code_10_when_relayed(void **state)
{
    (void)state;
    answers("ping", PONG("relay") "{\"id\":@,\"ok\":true,\"sent\":1,\"received\":1}\n");
    assert_int_equal(RUN("ping", "pi", "-c", "1"), 0);
    assert_non_null(strstr(t.out, "1 from pi: 12.5 ms via relay 203.0.113.5:3478\n"));
    assert_int_equal(RUN("ping", "pi", "-c", "1", "--direct"), PV_CTLAPI_RELAYED);
    assert_one_line_error("not directly");
}

static void ping_without_an_answer_is_exit_code_3(void **state)
{
    (void)state;
    answers("ping", LOST "{\"id\":@,\"ok\":true,\"sent\":1,\"received\":0}\n");
    assert_int_equal(RUN("ping", "pi", "-c", "1"), PV_CTLAPI_TIMEOUT);
    assert_one_line_error("did not answer");
}

static void wait_blocks_until_the_answer(void **state)
{
    (void)state;
    answers("wait", "{\"id\":@,\"ok\":true}\n");
    assert_int_equal(RUN("wait", "--peer", "pi", "--direct", "--online"), 0);
    assert_int_equal(t.out_len + t.err_len, 0);
    assert_string_equal(t.requests,
                        "{\"cmd\":\"wait\",\"peer\":\"pi\",\"direct\":true,\"online\":true}\n");
    answers("wait", "");
    assert_int_equal(RUN("wait", "--timeout", "0.05"), PV_CTLAPI_TIMEOUT);
}

/* --- chat ---------------------------------------------------------------------------------- */

#define MSG(id, from, to, text, state)                                                          \
    "{\"id\":\"" id "\",\"from\":\"" from "\",\"to\":\"" to "\",\"room\":null,\"text\":\"" text \
    "\",\"time\":1000000000.5,\"state\":\"" state "\"}"
#define WHEN "[2001-09-09 01:46] "

static void send_joins_words_and_says_what_became_of_it(void **state)
{
    (void)state;
    answers("send", "{\"id\":@,\"ok\":true,\"message\":" MSG("A", "lap", "pi", "x",
                                                             "queued") ",\"online\":true}\n");
    assert_int_equal(RUN("send", "pi", "see", "you", "--json", "-8"), 0);
    assert_string_equal(t.out, "sent to pi\n");
    answers("send", "{\"id\":@,\"ok\":true,\"message\":" MSG("A", "lap", "pi", "x",
                                                             "queued") ",\"online\":false}\n");
    FILE *in = input("two\nlines\n");
    assert_int_equal(run_in(in, (const char *const[]){"send", "pi", "-", NULL}), 0);
    fclose(in);
    assert_non_null(strstr(t.out, "queued"));
    assert_int_equal(RUN("send", "--json", "pi", "x"), 0);
    assert_string_equal(
        t.out, "{\"message\":" MSG("A", "lap", "pi", "x", "queued") ",\"online\":false}\n");
    assert_string_equal(t.requests,
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"see you --json -8\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"two\\nlines\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"x\"}\n");
}

static void a_text_of_the_limit_passes_and_one_more_byte_does_not(void **state)
{
    (void)state;
    static char text[PV_CHAT_TEXT_MAX + 2];
    memset(text, 'x', PV_CHAT_TEXT_MAX);
    answers("send", "{\"id\":@,\"ok\":true,\"message\":{},\"online\":true}\n");
    assert_int_equal(RUN("send", "pi", text), 0);
    text[PV_CHAT_TEXT_MAX] = 'x';
    assert_int_equal(RUN("send", "pi", text), PV_CTLAPI_USAGE);
    FILE *in = input(text);
    assert_int_equal(run_in(in, (const char *const[]){"send", "pi", "-", NULL}), PV_CTLAPI_USAGE);
    fclose(in);
}

static void inbox_shows_who_and_what(void **state)
{
    (void)state;
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[" MSG(
                         "A", "pi", "lap", "hi\\u001b[2J\\nthere", "unread") "]}\n");
    assert_int_equal(RUN("inbox", "--peek"), 0);
    assert_string_equal(t.out, WHEN "pi: hi\xef\xbf\xbd[2J\n    there\n");
    assert_int_equal(RUN("inbox", "--json"), 0);
    assert_string_equal(t.out, "{\"version\":1,\"messages\":[" MSG(
                                   "A", "pi", "lap", "hi\\u001B[2J\\nthere", "unread") "]}\n");
    assert_string_equal(t.requests, "{\"cmd\":\"inbox\",\"peek\":true}\n{\"cmd\":\"inbox\"}\n");
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[]}\n");
    assert_int_equal(RUN("inbox"), 0);
    assert_int_equal(t.out_len, 0);
    assert_string_equal(t.err, "no new messages\n");
}

static void history_shows_both_directions(void **state)
{
    (void)state;
    answers("history", "{\"id\":@,\"ok\":true,\"version\":1,\"more\":true,\"messages\":[" MSG(
                           "A", "pi", "lap", "hi", "read") "," MSG("B", "lap", "pi", "yes",
                                                                   "delivered") "]}\n");
    assert_int_equal(RUN("history", "pi", "-n", "2"), 0);
    assert_string_equal(t.out, WHEN "pi to lap: hi\n" WHEN "lap to pi: yes  (delivered)\n");
    assert_string_equal(t.requests, "{\"cmd\":\"history\",\"peer\":\"pi\",\"limit\":2}\n");
    assert_int_equal(RUN("history", "--json"), 0);
    assert_null(strstr(t.out, "more"));
}

static void chat_converses_on_a_pipe(void **state)
{
    (void)state;
    answers("watch", "{\"id\":@,\"event\":\"message\",\"message\":" MSG("B", "pi", "lap", "live",
                                                                        "unread") "}\n");
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[" MSG(
                         "A", "pi", "lap", "earlier", "unread") "," MSG("B", "pi", "lap", "live",
                                                                        "unread") "]}\n");
    answers("send", "{\"id\":@,\"ok\":true,\"message\":" MSG("C", "lap", "pi", "hello",
                                                             "queued") ",\"online\":true}\n");
    answers("peers", "{\"id\":@,\"ok\":true," PEERS "}\n");
    FILE *in = input("send pi hello there\ngetu\nnonsense\nexit\n");
    assert_int_equal(run_in(in, (const char *const[]){"chat", NULL}), 0);
    fclose(in);
    assert_non_null(strstr(t.out, WHEN "pi: live\n"));
    assert_non_null(strstr(t.out, WHEN "pi: earlier\n"));
    assert_non_null(strstr(t.out, "-- sent to pi\n"));
    assert_non_null(strstr(t.out, "pi             10.66.1.5  online   direct\n"));
    assert_null(strstr(strstr(t.out, "live") + 1, "live")); /* told twice, shown once */
    assert_string_equal(t.err, "there is: send NAME TEXT, getu, exit\n");
    assert_string_equal(t.requests, "{\"cmd\":\"watch\",\"what\":\"chat\",\"seen\":true}\n"
                                    "{\"cmd\":\"inbox\"}\n"
                                    "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"hello there\"}\n"
                                    "{\"cmd\":\"peers\"}\n");
}

static void chat_with_a_peer_sends_plain_lines_there(void **state)
{
    (void)state;
    answers("ip", "{\"id\":@,\"ok\":true,\"ip4\":\"10.66.0.1\"}\n");
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[]}\n");
    answers("send", "{\"id\":@,\"ok\":false,\"code\":1,\"error\":\"send: disk full\"}\n");
    FILE *in = input("hello\nsend me the file\nlast line without newline");
    assert_int_equal(run_in(in, (const char *const[]){"chat", "pi", NULL}), 0);
    fclose(in);
    assert_string_equal(t.requests,
                        "{\"cmd\":\"ip\",\"peer\":\"pi\"}\n"
                        "{\"cmd\":\"watch\",\"what\":\"chat\",\"seen\":true}\n"
                        "{\"cmd\":\"inbox\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"hello\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"send me the file\"}\n"
                        "{\"cmd\":\"send\",\"peer\":\"pi\",\"text\":\"last line without "
                        "newline\"}\n");
    assert_non_null(strstr(t.err, "p2pvpnctl: send: disk full\n"));
}

static void chat_with_an_unknown_peer_is_told_at_once(void **state)
{
    (void)state;
    answers("ip", "{\"id\":@,\"ok\":false,\"code\":6,\"error\":\"ip: no peer pj\"}\n");
    assert_int_equal(RUN("chat", "pj"), PV_CTLAPI_UNKNOWN_PEER);
}

static void chat_without_a_network_ends(void **state)
{
    (void)state;
    answers("watch", "{\"id\":@,\"ok\":false,\"code\":4,\"error\":\"chat: not joined\"}\n");
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[]}\n");
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    FILE *in = fdopen(fds[0], "r");
    assert_int_equal(run_in(in, (const char *const[]){"chat", NULL}), PV_CTLAPI_NOT_JOINED);
    fclose(in);
    close(fds[1]);
}

static void chat_tells_states_of_what_it_sent(void **state)
{
    (void)state;
    answers("inbox", "{\"id\":@,\"ok\":true,\"version\":1,\"messages\":[]}\n");
    answers("send", "{\"id\":@,\"ok\":true,\"message\":" MSG("C", "lap", "pi", "hello\\nyou",
                                                             "queued") ",\"online\":false}\n");
    answers("peers", "{\"id\":1,\"event\":\"state\",\"msg_id\":\"C\",\"peer\":\"pi\","
                     "\"state\":\"delivered\"}\n"
                     "{\"id\":1,\"event\":\"state\",\"msg_id\":\"Z\",\"peer\":\"pi\","
                     "\"state\":\"read\"}\n"
                     "{\"id\":1,\"event\":\"presence\",\"peer\":\"pi\",\"online\":true}\n"
                     "{\"id\":1,\"event\":\"message\",\"message\":" MSG(
                         "D", "pi", "lap", "back",
                         "unread") "}\n"
                                   "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[]}\n");
    FILE *in = input("send pi hello\ngetu\n");
    assert_int_equal(run_in(in, (const char *const[]){"chat", NULL}), 0);
    fclose(in);
    assert_string_equal(t.out, "-- queued: pi is offline and gets it when it is back\n"
                               "-- delivered to pi: hello...\n"
                               "-- pi is online\n" WHEN "pi: back\n"
                               "-- nobody else is in this network yet\n");
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    if (pv_crypto_init() < 0)
        return 1;
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        cmocka_unit_test(options_and_words_may_stand_in_any_order),
        cmocka_unit_test(bad_options_are_named),
        T(wrong_usage_is_exit_code_2_without_a_word_to_the_daemon),
        T(a_token_that_is_none_is_exit_code_12),
        T(flags_may_stand_before_or_behind_the_command),
        T(every_command_has_help_with_an_example),
        T(the_daemons_refusal_is_the_exit_code),
        T(errors_of_the_daemon_cannot_drive_a_terminal),
        T(no_daemon_is_exit_code_8_with_a_remedy),
        T(a_daemon_that_is_silent_is_exit_code_3),
        T(something_else_behind_the_socket_is_told),
        T(an_answer_from_the_cache_is_shown_with_exit_code_9),
        T(peers_prints_json_as_it_is),
        T(peers_prints_an_aligned_table),
        T(status_shows_what_matters),
        T(ip_prints_one_word),
        T(why_and_trace_print_lines),
        T(create_prints_the_token_alone),
        T(invite_prints_the_token_alone_and_lists),
        T(changes_are_sent_as_they_are),
        T(ping_says_which_way_each_answer_took),
        T(ping_direct_is_exit_code_10_when_relayed),
        T(ping_without_an_answer_is_exit_code_3),
        T(wait_blocks_until_the_answer),
        T(send_joins_words_and_says_what_became_of_it),
        T(a_text_of_the_limit_passes_and_one_more_byte_does_not),
        T(inbox_shows_who_and_what),
        T(history_shows_both_directions),
        T(chat_converses_on_a_pipe),
        T(chat_with_a_peer_sends_plain_lines_there),
        T(chat_with_an_unknown_peer_is_told_at_once),
        T(chat_without_a_network_ends),
        T(chat_tells_states_of_what_it_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
