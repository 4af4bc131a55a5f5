/* SPDX-License-Identifier: MIT */
/* Two coordinators on one PostgreSQL database: both serve and know of each other, whatever becomes
 * of one; and what they say when the database is not there. */
#include <linux/capability.h>

#include "coordinator/keys.h"
#include "tests/unit/coordinator/coord_run.h"
#include "tests/unit/coordinator/store/pg_line.h"
#include "tests/unit/coordinator/store/pg_program.h"

static char config[96], state_of[2][96];

static void write_config(const char *conninfo)
{
    char text[512];
    assert_true(snprintf(text, sizeof(text), "[store]\npostgres = %s\n", conninfo) <
                (int)sizeof(text));
    test_write(config, text);
}

/* The second has the keys of the first, as docs/guide/cluster.md says. */
static void copy_key(const char *name)
{
    char key[256];
    const char *from = PV_STR("%s/%s", state_of[0], name);
    const char *to = PV_STR("%s/%s", state_of[1], name);
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    assert_true(in != NULL && out != NULL);
    size_t n = fread(key, 1, sizeof(key), in);
    assert_int_equal(fwrite(key, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(to, 0600), 0);
}

static struct program start(size_t i)
{
    return START("--state", state_of[i], "--config", config, "--listen", "127.0.0.1:0");
}

/* The `status` of one of them; it runs, or it is waited for. */
static void status_until(size_t i, const char *part)
{
    static struct program p;
    for (int n = 0; n < WAIT_MS / 50; n++) {
        p = START("status", "--state", state_of[i]);
        if (finish(&p) == 0 && strstr(p.text, part) != NULL)
            return;
        poll(NULL, 0, 50);
    }
    fail_msg("status says \"%s\", not \"%s\"", p.text, part);
}

/* The exit code of `status --check`, whose answer has this part. */
static void check_until(size_t i, const char *part, int code)
{
    struct program p;
    status_until(i, part);
    p = START("status", "--check", "--state", state_of[i]);
    assert_int_equal(finish(&p), code);
}

static int setup_two(void **state)
{
    if (setup(state) < 0)
        return -1;
    snprintf(config, sizeof(config), "%s/conf", dir);
    for (size_t i = 0; i < 2; i++)
        snprintf(state_of[i], sizeof(state_of[i]), "%s/%c", dir, "ab"[i]);
    write_config(pg_server_conninfo(&server, "postgres"));
    struct program url = START("url", "--state", state_of[0], "--public", "127.0.0.1");
    assert_int_equal(finish(&url), 0);
    assert_int_equal(mkdir(state_of[1], 0700), 0);
    copy_key(PV_COORDKEYS_FILE);
    copy_key(PV_COORDKEYS_SECRET_FILE);
    if (server.pid == 0)
        pg_server_start(&server);
    return 0;
}

/* The next test has another key, so it needs another database. */
static int teardown_two(void **state)
{
    pg_server_stop(&server, SIGQUIT);
    struct pg_server fresh;
    pg_server_done(&server);
    assert_true(pg_server_make(&fresh));
    server = fresh;
    (void)teardown(state);
    return test_teardown(state);
}

PV_TEST_WORLD(setup_two, teardown_two);

PV_TEST(both_serve_and_one_that_is_killed_is_missed)
{
    struct program a = start(0), b = start(1), p;
    (void)listening(&a);
    (void)listening(&b);
    status_until(0, "2 coordinators");
    status_until(1, "in PostgreSQL");
    kill(a.pid, SIGKILL);
    (void)finish(&a);
    status_until(1, "1 coordinator,");
    p = START("drain", "--state", state_of[1]);
    assert_int_equal(finish(&p), 1);
    assert_has(p.text, "no other coordinator");
    a = start(0);
    (void)listening(&a);
    status_until(1, "2 coordinators");
    p = START("drain", "--state", state_of[1]);
    assert_int_equal(finish(&p), 0);
    assert_has(p.text, "0 networks given");
    p = START("homes", "--config", config, "--json", "--state", state_of[0]);
    assert_int_equal(finish(&p), 0);
    assert_has(p.text, "'draining':true");
    p = START("networks", "--config", config, "--state", state_of[0]);
    assert_int_equal(finish(&p), 0);
    assert_lacks(p.text, "not counted");
    assert_has(p.text, "lists those of all");
    p = START("networks", "--config", "/dev/null", "--state", state_of[0]);
    assert_int_equal(finish(&p), 0);
    assert_has(p.text, "copies are not counted: ");
    p = START("drop", "00112233445566778899aabbccddeeff", "--config", config, "--state",
              state_of[0]);
    assert_int_equal(finish(&p), 6);
    assert_has(p.text, test_given("not the home"));
    p = START("secret", "rotate", "--public", "127.0.0.1", "--config", config, "--state",
              state_of[0]);
    assert_int_equal(finish(&p), 0);
    assert_has(p.text, test_given("others take the old URL"));
    assert_int_equal(stop(&b), 0);
    status_until(0, "1 coordinator,");
    assert_int_equal(stop(&a), 0);
}

PV_TEST(one_that_slept_goes_on)
{
    struct program a = start(0), b = start(1);
    (void)listening(&a);
    (void)listening(&b);
    status_until(1, "2 coordinators");
    kill(a.pid, SIGSTOP);
    status_until(1, "1 coordinator,");
    kill(a.pid, SIGCONT);
    status_until(0, "2 coordinators");
    assert_int_equal(stop(&b), 0);
    assert_int_equal(stop(&a), 0);
}

PV_TEST(it_goes_on_while_the_database_is_away)
{
    struct program a = start(0);
    (void)listening(&a);
    pg_server_stop(&server, SIGINT);
    check_until(0, "is it running and reachable?", 1);
    pg_server_start(&server);
    check_until(0, "ok, in PostgreSQL", 0);
    assert_int_equal(stop(&a), 0);
    assert_has(a.text, "the database is back");
    /* One that stands by runs, and is not well either. */
    pg_server_stop(&server, SIGINT);
    a = start(0);
    check_until(0, "standing by", 1);
    pg_server_start(&server);
    (void)listening(&a);
    assert_int_equal(stop(&a), 0);
}

/* It answers who asks it, and tells the reason, while nobody answers it. */
PV_TEST_WHOLE(it_goes_on_while_the_database_says_nothing)
{
    struct pg_line *line = pg_line_new(&server, NULL);
    write_config(line->conninfo);
    struct program a = start(0);
    (void)listening(&a);
    status_until(0, "ok, in PostgreSQL");
    pg_line_set(line, PG_LINE_SILENT);
    status_until(0, test_given("no answer"));
    pg_line_set(line, PG_LINE_WHOLE);
    status_until(0, "ok, in PostgreSQL");
    assert_int_equal(stop(&a), 0);
    /* Also one that it can never hear does not keep it from ending. */
    a = start(0);
    (void)listening(&a);
    pg_line_set(line, PG_LINE_SILENT);
    assert_int_equal(stop(&a), 0);
}

/* Answers every first packet in the words of another protocol. */
static pid_t stranger(const char *where)
{
    int fd = pg_line_socket(where, true);
    pid_t pid = fork();
    assert_true(fd >= 0 && pid >= 0);
    if (pid > 0) {
        close(fd);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int client; (client = accept(fd, NULL, NULL)) >= 0; close(client)) {
        char hello[64];
        if (read(client, hello, sizeof(hello)) > 0)
            (void)!write(client, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    }
    _exit(0);
}

PV_TEST(a_database_that_is_away_is_waited_for)
{
    pid_t pid = stranger(dir);
    assert_int_equal(chmod(PV_STR("%s/.s.PGSQL.5432", dir), 0777), 0);
    write_config(PV_STR("host=%s user=postgres", dir));
    struct program a = start(0);
    status_until(0, "expected authentication request from server");
    assert_int_equal(stop(&a), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Nothing of root's but the rights to open ports, and of these none that no port needs. */
static void assert_few_rights(pid_t pid)
{
    char line[128];
    unsigned uid = 0;
    unsigned long long caps = ~0ull;
    FILE *f = fopen(PV_STR("/proc/%d/status", (int)pid), "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        (void)sscanf(line, "Uid:\t%u", &uid);
        (void)sscanf(line, "CapPrm:\t%llx", &caps);
    }
    fclose(f);
    assert_int_not_equal(uid, 0);
    assert_int_equal(caps & ~(1ull << CAP_NET_ADMIN), 0);
}

PV_TEST(it_waits_for_a_database_that_starts_later)
{
    pg_server_stop(&server, SIGINT);
    struct program a = start(0);
    status_until(0, "is it running and reachable?");
    if (geteuid() == 0)
        assert_few_rights(a.pid);
    /* The settings to be read again are read when it serves. */
    struct program p = START("reload", "--state", state_of[0]);
    assert_int_equal(finish(&p), 1);
    assert_has(p.text, "as soon as it serves");
    pg_server_start(&server);
    (void)listening(&a);
    status_until(0, "in PostgreSQL");
    assert_int_equal(stop(&a), 0);
    assert_has(a.text, "settings read again");
}

PV_TEST(tables_of_another_version_are_refused)
{
    struct program a = start(0);
    (void)listening(&a);
    assert_int_equal(stop(&a), 0);
    (void)pg_sql(&server, "UPDATE p2pvpn.version SET version = 77");
    a = start(0);
    assert_int_equal(finish(&a), 1);
    assert_has(a.text, "of a newer p2pvpn-coordinator (version 77");
}

static int exchange(const char *what, size_t i, struct program *p)
{
    *p = START(what, "--state", state_of[i], "--config", config);
    return finish(p);
}

PV_TEST(import_and_export_want_nobody_beside_them)
{
    struct program p, a = start(0);
    (void)listening(&a);
    assert_int_equal(exchange("export", 0, &p), 1);
    assert_has(p.text, "runs"); /* with this directory */
    assert_int_equal(exchange("export", 1, &p), 1);
    assert_has(p.text, "serves from this database: stop it first");
    assert_int_equal(stop(&a), 0);
    assert_int_equal(exchange("export", 1, &p), 0);
    assert_has(p.text, "0 statements and 0 messages");
    assert_int_equal(exchange("import", 1, &p), 0);
    /* The old file is not taken for the present one by anybody. */
    p = START("backup", PV_STR("%s/backup", dir), "--state", state_of[1]);
    assert_int_equal(finish(&p), 1);
    assert_has(p.text, "pg_dump");
    p = START("import", "--state", state_of[1], "--config", "/dev/null");
    assert_int_equal(finish(&p), 2);
}

static void write_text(const char *path, const char *text)
{
    test_write(path, text);
}

/* A file that is no database of a coordinator is named and stays where it is; one that was killed
 * in an import does not keep the next one out. */
PV_TEST_WHOLE(import_says_what_it_cannot_read)
{
    struct program p, a = start(0);
    (void)listening(&a);
    assert_int_equal(stop(&a), 0);
    const char *file = PV_STR("%s/coordinator.db", state_of[1]);
    write_text(file, test_given("no pages"));
    assert_int_equal(exchange("import", 1, &p), 1);
    assert_has(p.text, "coordinator.db");
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(unlink(file), 0);
    (void)pg_sql(&server, test_given("the lease of a dead one"));
    assert_int_equal(exchange("export", 1, &p), 0);
}

PV_TEST_WHOLE(a_setting_that_never_works_is_said_at_the_start)
{
    struct program a = start(0);
    (void)listening(&a);
    /* Without the keys it makes keys of its own. */
    struct program stranger =
        START("--config", config, "--listen", "127.0.0.1:0", "--public", "127.0.0.1");
    assert_int_equal(finish(&stranger), 1);
    assert_has(stranger.text, "another key");
    write_config("hostt=x");
    struct program b = start(1);
    assert_int_equal(finish(&b), 1);
    assert_has(b.text, "[store] postgres: invalid connection option");
    write_config("");
    b = start(1);
    assert_int_equal(finish(&b), 2);
    assert_has(b.text, "expected the address of a database");
    assert_int_equal(stop(&a), 0);
}
