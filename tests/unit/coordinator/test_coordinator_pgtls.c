/* SPDX-License-Identifier: MIT */
/* A coordinator whose database wants TLS and a password: what it accepts, how it says what is
 * wrong, that it finds its files again once it has given up its rights, and that nobody reads the
 * password anywhere. */
#include "sys/net/tlscert.h"
#include "tests/unit/coordinator/coord_run.h"
#include "tests/unit/coordinator/store/pg_server.h"

static const char password[] = "hunter2-Zaunkoenig";

enum {
    COORD_UID = 65533, /* nobody's, and not the database's */
    LOW_PORT = 15432,  /* below those that the kernel gives out by itself */
};

static struct pg_server server;
static char config[96], pass[96], cert[96], key[96], other_cert[96];
static unsigned port;

static void write_to(const char *path, const char *text, uid_t owner, mode_t mode)
{
    test_write(path, text);
    assert_int_equal(chmod(path, mode), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(path, owner, owner), 0);
}

static void write_config(const char *more)
{
    write_to(config, test_given_with("a store by TCP", PV_STR("%u", port), more), 0, 0644);
}

/* TLS and a password for who comes by TCP; the test itself comes by the unix socket. */
static void configure(void)
{
    static const char *const names[] = {"db.example"}, *const other_names[] = {"db.example"};
    struct pv_tlscert made, other;
    char path[160];
    assert_ok(pv_tlscert_make(&made, names, 1));
    assert_ok(pv_tlscert_make(&other, other_names, 1));
    snprintf(path, sizeof(path), "%s/key.pem", server.dir);
    write_to(path, made.key, PG_SERVER_UID, 0600);
    snprintf(path, sizeof(path), "%s/cert.pem", server.dir);
    write_to(path, made.cert, PG_SERVER_UID, 0644);
    write_to(cert, made.cert, 0, 0644);
    write_to(key, made.key, 0, 0600);
    write_to(other_cert, other.cert, 0, 0644);
    snprintf(path, sizeof(path), "%s/data/pg_hba.conf", server.dir);
    write_to(path, test_given("pg_hba.conf"), PG_SERVER_UID, 0600);
    snprintf(path, sizeof(path), "%s/data/postgresql.auto.conf", server.dir);
    const char *text = test_given_with("postgresql.auto.conf", server.dir, server.dir);
    write_to(path, text, PG_SERVER_UID, 0600);
}

static int setup_guarded(void **st)
{
    char text[256];
    if (setup(st) < 0)
        return -1;
    snprintf(config, sizeof(config), "%s/conf", dir);
    snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    snprintf(key, sizeof(key), "%s/key.pem", dir);
    snprintf(other_cert, sizeof(other_cert), "%s/other.pem", dir);
    if (!pg_server_make(&server))
        return -1;
    /* Not below what it may read anyway. */
    snprintf(pass, sizeof(pass), "%s/pgpass", server.dir);
    pg_server_stop(&server, SIGINT);
    server.tcp_port = port = LOW_PORT + (unsigned)getpid() % 10000;
    configure();
    pg_server_start(&server);
    snprintf(text, sizeof(text), "%s", test_given_with("a guarded role", password));
    pg_sql_wait(&server);
    (void)pg_sql(&server, text);
    snprintf(text, sizeof(text), "*:*:*:guarded:%s\n", password);
    write_to(pass, text, COORD_UID, 0600);
    const char *state = PV_STR("%s/s", dir);
    assert_int_equal(mkdir(state, 0700), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(state, COORD_UID, COORD_UID), 0);
    return 0;
}

static int teardown_guarded(void **st)
{
    pg_server_done(&server);
    return teardown(st);
}

PV_TEST_WORLD(setup_guarded, teardown_guarded);

static struct program start_it(void)
{
    return START("--config", config, "--listen", "127.0.0.1:0", "--public", "127.0.0.1");
}

/* Its answers to anybody have no word of the password. */
static void expect_silence(const struct program *p, const char *secret)
{
    if (strstr(p->text, secret) != NULL)
        fail_msg("\"%s\"", p->text);
}

static void status_until(const char *part)
{
    static struct program p;
    for (int n = 0; n < WAIT_MS / 50; n++) {
        p = START("status", "--json");
        bool answers = finish(&p) == 0;
        expect_silence(&p, password);
        if (answers && strstr(p.text, part) != NULL)
            return;
        poll(NULL, 0, 50);
    }
    fail_msg("status says \"%s\", not \"%s\"", p.text, part);
}

static void expect_no_argument(pid_t pid)
{
    char line[1024] = "";
    size_t n = test_read_bytes(PV_STR("/proc/%d/cmdline", (int)pid), line, sizeof(line));
    assert_true(n > 0 && memmem(line, n, password, strlen(password)) == NULL);
}

/* --- tests ----------------------------------------------------------------------------------- */

static const char healthy[] = "\"error\":null";

PV_TEST(it_comes_by_tls_with_a_password_and_finds_its_files_again)
{
    char more[480];
    /* A key for its own TLS that only root reads leaves it a right, and fewer files. */
    snprintf(more, sizeof(more), "%s",
             test_given_with("verified, and a TLS of its own", cert, pass, cert, key));
    write_config(more);
    struct program p, a = start_it();
    (void)listening(&a);
    status_until(healthy);
    assert_string_equal(pg_sql(&server, test_given("whether all come by TLS")), "t");
    pg_server_stop(&server, SIGINT);
    status_until("is it running and reachable?");
    pg_server_start(&server);
    status_until(healthy);
    expect_no_argument(a.pid);
    p = START("homes", "--config", config);
    assert_int_equal(finish(&p), 0);
    expect_silence(&p, password);
    assert_int_equal(stop(&a), 0);
    expect_silence(&a, password);

    /* Without a file, by the environment of the service. */
    snprintf(more, sizeof(more), "%s", test_given_with("verified", cert));
    write_config(more);
    assert_int_equal(setenv("PGPASSWORD", password, 1), 0);
    a = start_it();
    (void)listening(&a);
    assert_int_equal(unsetenv("PGPASSWORD"), 0);
    status_until(healthy);
    assert_int_equal(stop(&a), 0);
    expect_silence(&a, password);
}

/* A fault that may be mended elsewhere is waited for, and `status` says what it is. */
static void wait_with(const char *more, const char *why, const char *remedy)
{
    write_config(more);
    struct program a = start_it();
    status_until(why);
    status_until(remedy);
    assert_int_equal(stop(&a), 0);
    assert_has(a.text, why);
    expect_silence(&a, password);
}

PV_TEST(a_database_that_is_not_who_it_says_gets_nothing)
{
    char more[320];
    snprintf(more, sizeof(more), "%s",
             test_given_with("verified, with a password", other_cert, pass));
    wait_with(more, "certificate verify failed", "see sslmode and sslrootcert of [store]");
    snprintf(more, sizeof(more), "%s", test_given_with("verified as another host", cert, pass));
    wait_with(more, "does not match host name", "see sslmode and sslrootcert of [store]");
    snprintf(more, sizeof(more), "host=db.example sslmode=disable passfile=%s", pass);
    wait_with(more, "no pg_hba.conf entry", "allow this user and machine there");
    snprintf(more, sizeof(more), "sslmode=require passfile=%s dbname=template1", pass);
    wait_with(more, "SSL encryption", "allow this user and machine there");
    assert_string_equal(pg_sql(&server, test_given("count of our schemas")), "0");
}

/* Settings that cannot be read end it, and no part of a password is repeated. */
static void end_with(const char *more, const char *why, const char *secret)
{
    write_config(more);
    struct program a = start_it();
    assert_int_equal(finish(&a), 1);
    if (strstr(a.text, why) == NULL)
        fail_msg("\"%s\" without \"%s\"", a.text, why);
    expect_silence(&a, secret);
}

PV_TEST(a_password_that_is_wrong_is_not_repeated)
{
    wait_with("sslmode=require passfile=/nonexistent", "no password supplied",
              "see password and passfile");
    wait_with("sslmode=require password=geheim", "password authentication failed",
              "see user and password");
    end_with("password=very geheim", "[store] postgres: missing", "geheim");
    end_with("password=very geheim=1", "[store] postgres: invalid", "geheim");
    write_to(config, test_given("an URL without an end"), 0, 0644);
    struct program a = start_it();
    assert_int_equal(finish(&a), 1);
    assert_has(a.text, "[store] postgres: ");
    expect_silence(&a, "geheim");
}

/* The password is mended in its file while the coordinator stands by. */
PV_TEST(it_serves_as_soon_as_the_password_is_right)
{
    write_to(pass, "*:*:*:guarded:geheim\n", COORD_UID, 0600);
    write_config(PV_STR("sslmode=require passfile=%s", pass));
    struct program a = start_it();
    status_until("see user and password of [store]");
    write_to(pass, PV_STR("*:*:*:guarded:%s\n", password), COORD_UID, 0600);
    status_until("\"store\"");
    assert_int_equal(stop(&a), 0);
    expect_silence(&a, "geheim");
}

void test_begin(void)
{
    if (!pg_server_make(&server))
        test_skip_all("PostgreSQL is not installed (scripts/deps)");
    pg_server_done(&server);
}
