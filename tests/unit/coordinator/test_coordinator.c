/* SPDX-License-Identifier: MIT */
/* The program p2pvpn-coordinator as a user meets it: started, spoken to over loopback, ended. */
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "coord_run.h"
#include "coordinator/store/store_sqlite.h"
#include "coordinator/url.h"
#include "crypto/dh.h"
#include "proto/control/control.h"
#include "proto/control/ctlmsg.h"
#include "proto/roster/token.h"
#include "sys/file/file.h"
#include "sys/net/stream.h"
#include "sys/net/udp.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"
#include "tests/unit/base/metrics_grammar.h"
#include "tests/unit/coordinator/coord_run.h"
#include "tests/unit/coordinator/store/store_ops.h"

/* --- ends that a user meets ------------------------------------------------------------------ */

PV_TEST_WORLD(setup, teardown);

PV_TEST(the_url_is_the_same_before_and_after_the_first_start)
{
    struct program u = START("url", "--public", "203.0.113.7");
    assert_int_equal(finish(&u), 0);
    struct pv_url url;
    assert_ok(pv_url_parse(u.text, strcspn(u.text, "\n"), &url));
    assert_true(url.has_secret);
    assert_int_equal(url.addr.port, 3478);
    struct program p = START("--listen", "127.0.0.1:0");
    listening(&p);
    struct program again = START("url", "--public", "203.0.113.7"); /* while it runs */
    assert_int_equal(finish(&again), 0);
    /* Only where it made the keys it says so. */
    char *note = strchr(u.text, '\n') + 1;
    assert_has(note, "made new keys in ");
    assert_has(note, dir);
    *note = '\0';
    assert_string_equal(u.text, again.text);
    assert_int_equal(stop(&p), 0);
    assert_has(p.text, "ended");
    /* The secret stands in no log, but the command that prints it, with the flags of this start. */
    assert_has(p.text,
               PV_STR("`p2pvpn-coordinator url --state %s/s --listen 127.0.0.1:0` prints it", dir));
    assert_lacks(p.text, strstr(u.text, "?c=") + 3);

    static const char *const files[] = {"", "/coordinator.key", "/create.key", "/coordinator.db"};
    for (size_t i = 0; i < PV_ARRAY_LEN(files); i++) {
        struct stat st;
        assert_int_equal(stat(PV_STR("%s/s%s", dir, files[i]), &st), 0);
        assert_int_equal(st.st_mode & 0777, i == 0 ? 0700 : 0600);
    }
}

/* The test has the lock of the state directory, which is made by `url`; watch: who asked for it in
 * vain.
 */
static int hold_lock(struct program *url, int *ret_watch)
{
    int fd = -1;
    *url = START("url", "--public", "203.0.113.7");
    assert_int_equal(finish(url), 0);
    const char *path = PV_STR("%s/s/lock", dir);
    assert_ok(pv_file_lock(path, &fd));
    *ret_watch = inotify_init1(IN_CLOEXEC);
    assert_true(*ret_watch >= 0);
    assert_true(inotify_add_watch(*ret_watch, path, IN_CLOSE_WRITE) >= 0);
    return fd;
}

/* Keeps the keys elsewhere, as if they were not made yet, or puts them back. */
static void put_keys(bool back)
{
    static const char *const files[] = {"coordinator.key", "create.key"};
    for (size_t i = 0; i < PV_ARRAY_LEN(files); i++) {
        const char *here = PV_STR("%s/s/%s", dir, files[i]);
        const char *away = PV_STR("%s/%s", dir, files[i]);
        assert_int_equal(back ? rename(away, here) : rename(here, away), 0);
    }
}

/* A coordinator that starts for the first time has the lock before it has the keys, and keeps it.
 */
PV_TEST(the_url_waits_for_the_keys_of_a_first_start)
{
    struct program made, waited;
    int watch;
    int lock = hold_lock(&made, &watch);
    put_keys(false);
    waited = START("url", "--public", "203.0.113.7");
    wait_for(watch, POLLIN);
    put_keys(true);
    assert_int_equal(finish(&waited), 0);
    *(strchr(made.text, '\n') + 1) = '\0';
    assert_string_equal(waited.text, made.text);
    close(watch);
    close(lock);
}

/* `url`, `secret` and their kind have the lock for a moment. */
PV_TEST(a_start_waits_for_a_command_that_has_the_lock)
{
    struct program url, started;
    int watch;
    int lock = hold_lock(&url, &watch);
    started = START("--listen", "127.0.0.1:0");
    wait_for(watch, POLLIN);
    close(lock);
    listening(&started);
    assert_int_equal(stop(&started), 0);
    close(watch);
}

/* A coordinator has the lock, and begins to listen to its operator after `secret` asked for both.
 */
PV_TEST(a_new_secret_waits_for_a_coordinator_that_starts)
{
    struct program url, rotate;
    char request[64] = "";
    struct pollfd p = {.fd = -1, .events = POLLIN};
    int watch;
    int lock = hold_lock(&url, &watch);
    rotate = START("secret", "rotate", "--public", "203.0.113.7");
    wait_for(watch, POLLIN);
    const char *path = PV_STR("%s/s/control.sock", dir);
    assert_ok(pv_unix_listen(path, NULL, &p.fd));
    assert_int_equal(chmod(path, 0666), 0); /* of root's here; a coordinator's own has its user */
    assert_int_equal(poll(&p, 1, 30000), 1);
    int client = accept4(p.fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(client >= 0);
    assert_true(read(client, request, sizeof(request) - 1) > 0);
    assert_string_equal(request, "{\"do\":\"secret\"}\n");
    assert_int_equal(write(client, "{}\n", 3), 3);
    close(client);
    assert_int_equal(finish(&rotate), 0);
    close(p.fd);
    close(watch);
    close(lock);
}

PV_TEST(an_open_coordinators_url_has_no_secret)
{
    struct program u = START("url", "--public", "a.example:77", "--open");
    assert_int_equal(finish(&u), 0);
    assert_lacks(u.text, "?c=");
    assert_has(u.text, "p2pvpn://a.example:77/");
}

PV_TEST(wrong_usage_exits_with_2_and_one_line)
{
    struct program p = START("--listen", "nowhere");
    assert_int_equal(finish(&p), 2);
    assert_ptr_equal(strchr(p.text, '\n'), p.text + p.len - 1);
    p = START("status", "--nonsense");
    assert_int_equal(finish(&p), 2);
    p = START("--json");
    assert_int_equal(finish(&p), 2);
    p = START("--version");
    assert_int_equal(finish(&p), 0);
    assert_string_equal(p.text, "p2pvpn-coordinator " PV_VERSION "\n");
    p = START("--check");
    assert_int_equal(finish(&p), 0);
    char path[96];
    snprintf(path, sizeof(path), "%s/conf", dir);
    test_write(path, "[store]\npostgres = hots=db.example\n");
    p = START("--check", "--config", path);
    assert_int_equal(finish(&p), 2);
    assert_has(p.text, "[store] postgres: ");
    char text[200];
    snprintf(text, sizeof(text), "%s", test_given_with("a password file with a comment", dir));
    test_write(path, text);
    snprintf(text, sizeof(text), "%s/pass # word", dir);
    test_write(text, "secret\n");
    p = START("--check", "--config", path);
    assert_int_equal(finish(&p), 0);
    assert_has(p.text, test_given("a value with a comment"));
    p = START("drop", "-h");
    assert_int_equal(finish(&p), 0);
    assert_has(p.text, "usage: p2pvpn-coordinator");
    snprintf(path, sizeof(path), "%s/s", dir);
    assert_int_not_equal(access(path, F_OK), 0); /* nothing was made */
}

PV_TEST(a_second_one_in_the_same_directory_or_port_is_refused)
{
    struct program p = START("--listen", "127.0.0.1:0");
    struct pv_addr addr = listening(&p);
    struct program q = START("--listen", "127.0.0.1:0");
    assert_int_equal(finish(&q), 1);
    assert_has(q.text, "another p2pvpn-coordinator runs there");
    const char *elsewhere = PV_STR("%s/t", dir);
    q = START("--state", elsewhere, "--listen", PV_ADDR_STR(&addr));
    assert_int_equal(finish(&q), 1);
    assert_has(q.text, "the address is in use");
    q = START("--state", elsewhere, "--listen", "192.0.2.77:5000");
    assert_int_equal(finish(&q), 1);
    assert_has(q.text, "not an address of this machine");
    assert_int_equal(stop(&p), 0);
}

/* remedy: as_owner, ask_as_owner */
PV_TEST(a_state_directory_without_rights_is_named)
{
    if (geteuid() != 0) {
        print_message("skipped: only root can become somebody without rights\n");
        return;
    }
    struct program p = start_as(65534, (const char *const[9]){"--listen", "127.0.0.1:0"});
    assert_int_equal(finish(&p), 1);
    assert_has(p.text, "state directory");
    assert_has(p.text, "--state");
    /* One that is there, and that others must not read. */
    p = START("--listen", "127.0.0.1:0");
    (void)listening(&p);
    assert_int_equal(stop(&p), 0);
    p = start_as(65534, (const char *const[9]){"url", "--public", "192.0.2.1"});
    assert_int_equal(finish(&p), 5);
    assert_has(p.text, "ask as root");
    p = START("url", "--public", "192.0.2.1");
    assert_int_equal(finish(&p), 0);
    p = start_as(65534, (const char *const[9]){"backup", "/tmp/nobody.backup"});
    assert_int_equal(finish(&p), 5);
    assert_has(p.text, test_given("not permitted"));
    p = start_as(65534, (const char *const[9]){"--listen", "127.0.0.1:0"});
    assert_int_equal(finish(&p), 1);
    assert_has(p.text, "run it as root or as the owner");
    assert_has(p.text, "--state");
    p = START("--listen", "127.0.0.1:0");
    (void)listening(&p);
    assert_int_equal(stop(&p), 0);
}

PV_TEST(broken_keys_and_databases_are_named_and_left_alone)
{
    static const char *const files[] = {"coordinator.key", "coordinator.db"};
    for (size_t i = 0; i < PV_ARRAY_LEN(files); i++) {
        char path[128];
        char junk[100];
        struct program p = START("--listen", "127.0.0.1:0");
        listening(&p);
        assert_int_equal(stop(&p), 0);
        snprintf(path, sizeof(path), "%s/s/%s", dir, files[i]);
        memset(junk, 'j', sizeof(junk));
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fwrite(junk, 1, sizeof(junk), f);
        fclose(f);
        p = START("--listen", "127.0.0.1:0");
        assert_int_equal(finish(&p), 1);
        assert_has(p.text, files[i]);
        assert_has(p.text, "restore it from a backup");
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, sizeof(junk));
        snprintf(path, sizeof(path), "%s/s", dir);
        (void)test_dir_remove(path);
    }
}

/* Each is moved back, as from a backup, and then deleted if the text says so.
 * remedy: restore_key, restore_url */
PV_TEST(what_is_said_of_a_broken_key_mends_it)
{
    static const struct {
        const char *name, *said;
    } keys[] = {{"coordinator.key", "not a key: restore it from a backup; with a new one"},
                {"create.key", "not a key: restore it from a backup, or delete it"}};
    const char *kept = PV_STR("%s/kept", dir);
    struct program p = START("url", "--public", "192.0.2.1");
    assert_int_equal(finish(&p), 0);
    for (size_t i = 0; i < PV_ARRAY_LEN(keys); i++) {
        const char *path = PV_STR("%s/s/%s", dir, keys[i].name);
        assert_int_equal(rename(path, kept), 0);
        test_write(path, "junk\n");
        struct program broken = START("url", "--public", "192.0.2.1");
        assert_int_equal(finish(&broken), 1);
        assert_has(broken.text, keys[i].said);
        assert_int_equal(rename(kept, path), 0);
        struct program again = START("url", "--public", "192.0.2.1");
        assert_int_equal(finish(&again), 0);
        assert_has(p.text, again.text); /* that says besides that keys were made */
    }
    const char *path = PV_STR("%s/s/create.key", dir);
    test_write(path, "junk\n");
    assert_int_equal(unlink(path), 0);
    struct program other = START("url", "--public", "192.0.2.1");
    assert_int_equal(finish(&other), 0);
    assert_string_not_equal(other.text, p.text);
}

/* remedy: start_coordinator, restart_hung */
PV_TEST(status_asks_the_one_that_runs)
{
    struct stat st;
    struct program none = START("status");
    assert_int_equal(finish(&none), 8);
    assert_has(none.text, "no coordinator runs");
    assert_has(none.text, "--state");
    struct program p = START("--listen", "127.0.0.1:0", "--no-relay");
    struct pv_addr addr = listening(&p);
    struct program q = START("status");
    assert_int_equal(finish(&q), 0);
    assert_has(q.text, PV_ADDR_STR(&addr));
    assert_has(q.text, "relay         off");
    q = START("status", "--json");
    assert_int_equal(finish(&q), 0);
    assert_int_equal(strncmp(q.text, "{\"version\":1,\"coordinator\":", 27), 0);
    assert_has(q.text, "'error':null");

    q = START("metrics");
    assert_int_equal(finish(&q), 0);
    struct grammar *g = grammar_read(q.text);
    assert_true(grammar_value(g, "p2pvpn_coordinator_nodes_online") == 0);
    assert_true(grammar_value(g, "p2pvpn_coordinator_relay_enabled") == 0);
    assert_true(grammar_value(g, "p2pvpn_coordinator_process_cpu_seconds_total") >= 0);
    grammar_done(g);

    const char *path = PV_STR("%s/s/status.sock", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    if (geteuid() == 0) {
        q = start_as(65534, (const char *const[9]){"status"});
        assert_int_equal(finish(&q), 5);
        assert_has(q.text, "not permitted: ask as root");
    }
    assert_int_equal(stop(&p), 0);
    assert_int_not_equal(access(path, F_OK), 0);

    /* One that was killed leaves its socket, which keeps nobody from starting. */
    p = START("--listen", "127.0.0.1:0");
    listening(&p);
    kill(p.pid, SIGKILL);
    assert_int_equal(finish(&p), 1000 + SIGKILL);
    assert_int_equal(access(path, F_OK), 0);
    q = START("status");
    assert_int_equal(finish(&q), 8);
    p = START("--listen", "127.0.0.1:0");
    listening(&p);
    q = START("status");
    assert_int_equal(finish(&q), 0);
    kill(p.pid, SIGSTOP); /* it hangs: nobody waits for ever */
    q = START("status");
    assert_int_equal(finish(&q), 1);
    assert_has(q.text, "does not answer: restart it");
    kill(p.pid, SIGKILL);
    assert_int_equal(finish(&p), 1000 + SIGKILL);
    p = START("--listen", "127.0.0.1:0");
    listening(&p);
    q = START("status");
    assert_int_equal(finish(&q), 0);
    assert_int_equal(stop(&p), 0);
}

/* Strangers have all descriptors: new connections wait without costing anything, and the operator
 * is told. */
PV_TEST(status_answers_while_all_descriptors_are_in_use)
{
    enum {
        FILES = 80,
        STRANGERS = 2 * FILES
    };
    static int fds[STRANGERS];
    files_max = FILES;
    struct program p = START("--listen", "127.0.0.1:0");
    struct pv_addr addr = listening(&p);
    files_max = 0;
    const struct pv_stream_bind nowhere = {.ifname = NULL};
    for (size_t i = 0; i < STRANGERS; i++)
        assert_ok(pv_stream_connect(&addr, &nowhere, &fds[i]));
    read_until(&p, "out of descriptors");
    struct program q = START("status");
    assert_int_equal(finish(&q), 0);
    assert_has(q.text, "all 80 descriptors are in use");
    assert_has(q.text, "LimitNOFILE=");
    q = START("networks");
    assert_int_equal(finish(&q), 0);
    for (size_t i = 0; i < STRANGERS; i++)
        close(fds[i]);
    while (true) {
        q = START("status");
        assert_int_equal(finish(&q), 0);
        if (strstr(q.text, "descriptors are in use") == NULL)
            break;
    }
    assert_int_equal(stop(&p), 0);
}

/* A path of 107 bytes is the longest that a socket can have. remedy: shorter_state */
PV_TEST(a_state_directory_too_deep_for_the_socket_is_no_reason_to_stop)
{
    char deep[128];
    size_t len = (size_t)snprintf(deep, sizeof(deep), "%s/", dir);
    memset(deep + len, 'd', 110 - len);
    deep[110] = '\0';
    struct program p = START("--state", deep, "--listen", "127.0.0.1:0");
    listening(&p);
    struct program q = START("status", "--state", deep);
    assert_int_equal(finish(&q), 1);
    assert_has(q.text, "use a shorter --state");
    assert_int_equal(stop(&p), 0);
    assert_has(p.text, "the path is too long for a socket");
    p = START("--listen", "127.0.0.1:0");
    listening(&p);
    q = START("status");
    assert_int_equal(finish(&q), 0);
    assert_int_equal(stop(&p), 0);
}

/* --- spoken to ----------------------------------------------------------------------------- */

static void udp_answers_stun(const struct pv_addr *server)
{
    static const struct pv_udp_opts opts = {0};
    uint8_t request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 7};
    struct pv_addr any = *server;
    struct pv_udp_counts counts = {0};
    struct pv_udp_receiver *rx = NULL;
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    int fd = -1;
    any.port = 0;
    assert_ok(pv_udp_open(&any, &opts, &fd));
    assert_ok(pv_udp_receiver_new(&rx, 1, 2048));
    struct pv_udp_out out = {.dst = *server, .data = pv_view(request, sizeof(request))};
    pv_udp_send(fd, &out, 1, &counts);
    assert_int_equal(counts.sent, 1);
    wait_for(fd, POLLIN);
    assert_ok(pv_udp_recv(rx, fd, &in, &n));
    assert_int_equal(in[0].ptr[0], 1); /* success */
    assert_memory_equal(in[0].ptr + 4, request + 4, 16);
    assert_true(pv_addr_equal(&in[0].src, server));
    pv_udp_receiver_free(rx);
    close(fd);
}

/* Connects as an applicant who wants to create, and gives the first message that comes back. */
static struct pv_ctl_msg *tcp_says_hello(const struct pv_addr *server, const uint8_t *pk, int *fd)
{
    static const struct pv_stream_bind bind;
    struct pv_rng rng = pv_entropy();
    struct pv_control *control = NULL;
    struct pv_ctl_msg hello = {.type = PV_CTL_HELLO, .id = 1};
    struct pv_ctl_msg *msg = NULL;
    uint8_t seed[32], id_sk[64], dh_sk[32], unused[32], server_dh[32], hash[32];
    char text[2048];
    bool said = false;
    pv_rng_fill(&rng, seed, sizeof(seed));
    pv_sign_keypair(seed, id_sk, hello.u.hello.node);
    pv_dh_keypair(&rng, dh_sk, unused);
    assert_ok(pv_sign_pk_to_dh(pk, server_dh));
    assert_ok(pv_control_new_client(&control, dh_sk, server_dh, &rng));
    assert_ok(pv_stream_connect(server, &bind, fd));
    wait_for(*fd, POLLOUT);
    assert_ok(pv_stream_connected(*fd));
    while (msg == NULL) {
        struct pv_view view = pv_control_out(control);
        size_t n = 0;
        if (view.len > 0) {
            wait_for(*fd, POLLOUT);
            assert_ok(pv_stream_write(*fd, view, &n));
            pv_control_wrote(control, n);
            continue;
        }
        wait_for(*fd, POLLIN);
        assert_ok(pv_stream_read(*fd, text, sizeof(text), &n));
        assert_ok(pv_control_handle_bytes(control, pv_view(text, n), &n));
        if (pv_control_poll_message(control, &view) == PV_OK) {
            assert_ok(pv_ctl_parse(view, &msg));
        } else if (!said && pv_control_state(control) == PV_CONTROL_READY) {
            hello.u.hello.v = 1;
            hello.u.hello.role = PV_CTL_APPLICANT;
            assert_ok(pv_control_handshake_hash(control, hash));
            assert_ok(pv_ctl_hello_sign(hello.u.hello.sig, hash, id_sk));
            assert_ok(pv_ctl_build(&hello, text, sizeof(text), &n));
            assert_ok(pv_control_send(control, pv_view(text, n)));
            said = true;
        }
    }
    pv_control_free(control);
    return msg;
}

/* A socket for all addresses would take it: nodes would ask it in vain. */
PV_TEST(an_alternate_address_of_somebody_else_is_refused)
{
    struct program p = START("--listen", "0.0.0.0:0", "--alt-address", "203.0.113.99");
    assert_int_equal(finish(&p), 1);
    assert_has(p.text, "203.0.113.99: not an address of this machine");
}

PV_TEST(it_answers_on_tcp_and_udp_over_both_families)
{
    static const char *const addrs[] = {"127.0.0.1:0", "[::1]:0"};
    struct program u = START("url", "--public", "203.0.113.7");
    struct pv_url url;
    assert_int_equal(finish(&u), 0);
    assert_ok(pv_url_parse(u.text, strcspn(u.text, "\n"), &url));
    for (size_t i = 0; i < PV_ARRAY_LEN(addrs); i++) {
        int fd = -1;
        char c;
        struct program p = START("--listen", addrs[i], "--public", "vpn.example");
        struct pv_addr server = listening(&p);
        udp_answers_stun(&server);
        struct pv_ctl_msg *m = tcp_says_hello(&server, url.pk, &fd);
        assert_int_equal(m->type, PV_CTL_WELCOME);
        assert_int_equal(m->u.welcome.n_stun, 1);
        assert_string_equal(m->u.welcome.stun[0], "vpn.example:3478");
        pv_ctl_msg_free(m);
        /* It ends in order although somebody is connected: says bye, then closes. */
        assert_int_equal(stop(&p), 0);
        while (read(fd, &c, 1) == 1)
            ;
        close(fd);
    }
}

/* --- the orderly end of a coordinator that has networks -------------------------------------- */

static struct pv_coordstore *open_ok(void)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    if (pv_coordstore_open_sqlite(&s, PV_STR("%s/s", dir), error) != PV_OK)
        fail_msg("%s", error);
    return s;
}

static int end(void **state)
{
    (void)teardown(state);
    return test_teardown(state);
}

/* Nobody else can have the networks of a database of its own, so nobody is waited for: where they
 * are shared it would take 2 s, and 4 s more. */
PV_TEST_IN(a_coordinator_of_its_own_waits_for_nobody, setup, end)
{
    struct program p = START("--listen", "127.0.0.1:0"), q;
    (void)listening(&p);
    assert_int_equal(stop(&p), 0);
    list_begin();
    struct pv_coordstore *s = open_ok();
    assert_ok(run(s, network_op(1)).status);
    assert_int_equal(all_of(s).n, 4);
    pv_coordstore_close(s);
    p = START("--listen", "127.0.0.1:0");
    (void)listening(&p);
    q = START("networks");
    assert_int_equal(finish(&q), 0);
    assert_has(q.text, "not for ");
    const pv_ns began = pv_clock_now();
    assert_int_equal(stop(&p), 0);
    assert_true(pv_clock_now() - began < PV_S(5));
}

/* --- announce -------------------------------------------------------------------------------- */

/* Nothing stands below it that would push it off a screen. */
PV_TEST_IN(the_command_is_shown_whole_and_alone, NULL, NULL)
{
    char text[512];
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    pv_coordurl_show(test_given("URL"), out);
    fclose(out);
    assert_has(text, test_given("how the command begins"));
    assert_has(text, test_given("URL"));
    assert_string_equal(strchr(text, '\n'), "\n");
}
