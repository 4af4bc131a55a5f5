/* SPDX-License-Identifier: MIT */
/* `p2pvpn-coordinator backup` and `restore`, beside a coordinator that runs and alone. */
#include "tests/unit/coordinator/coord_run.h"
#include "tests/unit/database.h"

static char path_buf[8][160];

/* A name in the test's directory; good for eight calls. */
static const char *in_dir(const char *name)
{
    static size_t next;
    char *path = path_buf[next++ % PV_ARRAY_LEN(path_buf)];
    (void)snprintf(path, sizeof(path_buf[0]), "%s/%s", dir, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    test_write(in_dir(name), text);
}

static char *read_text(const char *name)
{
    static char text[2][256];
    static size_t next;
    char *buf = text[next++ % 2];
    FILE *f = fopen(in_dir(name), "re");
    assert_non_null(f);
    size_t n = fread(buf, 1, sizeof(text[0]) - 1, f);
    buf[n] = '\0';
    (void)fclose(f);
    return buf;
}

/* Runs a command to its end: its exit code, and part of what it says. */
static void expect(int code, const char *part, const char *word, const char *file,
                   const char *option)
{
    struct program p = START(word, file, option);
    int got = finish(&p);
    if (got != code || strstr(p.text, part) == NULL)
        fail_msg("%s %s: %d \"%s\", expected %d \"%s\"", word, file, got, p.text, code, part);
}

/* A state with rows, as after some weeks, and a backup of it made while it runs. */
static void make_backup(void)
{
    struct program p = start_listening();
    assert_int_equal(stop(&p), 0);
    database_exec(in_dir("s/coordinator.db"), test_given("rows"));
    p = start_listening();
    expect(0, "1 network, 2 statements", "backup", in_dir("b.p2pvpn"), NULL);
    assert_int_equal(stop(&p), 0);
}

PV_TEST_WORLD(setup, teardown);

PV_TEST(a_running_coordinator_is_backed_up_and_comes_back_elsewhere)
{
    struct stat st;
    make_backup();
    assert_int_equal(stat(in_dir("b.p2pvpn"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(access(in_dir("b.p2pvpn.part"), F_OK), -1);
    char *before = database_dump(in_dir("s/coordinator.db"));
    const char *key = read_text("s/coordinator.key");
    assert_int_equal(rename(in_dir("s"), in_dir("lost")), 0);
    expect(0, "1 network, 2 statements of ", "restore", in_dir("b.p2pvpn"), NULL);
    char *after = database_dump(in_dir("s/coordinator.db"));
    assert_string_equal(after, before);
    assert_string_equal(read_text("s/coordinator.key"), key);
    assert_string_equal(read_text("s/create.key"), read_text("lost/create.key"));
    assert_int_equal(access(in_dir("s/tls.pem"), F_OK), 0);
    assert_int_equal(stat(in_dir("s/coordinator.db"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    /* The user who runs it may open it. */
    struct program p = start_listening();
    assert_int_equal(stop(&p), 0);
    free(before);
    free(after);
}

/* Root makes backups, and what is restored is the coordinator's user's. */
PV_TEST(no_file_of_others_comes_into_a_backup)
{
    make_backup();
    write_text("secret", "of root's\n");
    assert_int_equal(unlink(in_dir("s/tls.pem")), 0);
    assert_int_equal(symlink(in_dir("secret"), in_dir("s/tls.pem")), 0);
    expect(1, "ymbolic links", "backup", in_dir("c.p2pvpn"), NULL);
    assert_int_equal(unlink(in_dir("s/tls.pem")), 0);
    assert_int_equal(link(in_dir("secret"), in_dir("s/tls.pem")), 0);
    expect(1, "links", "backup", in_dir("c.p2pvpn"), NULL);
    assert_int_equal(access(in_dir("c.p2pvpn"), F_OK), -1);
}

PV_TEST(the_state_before_is_kept_beside_it)
{
    make_backup();
    write_text("s/create.key", "AAAAAAAAAAAAAAAAAAAAAA\n");
    database_exec(in_dir("s/coordinator.db"), "DELETE FROM statements");
    expect(0, "\"kept\":\".before-restore-", "restore", in_dir("b.p2pvpn"), "--json");
    assert_int_equal(database_int(in_dir("s/coordinator.db"), "SELECT count(*) FROM statements"),
                     2);
    assert_string_not_equal(read_text("s/create.key"), "AAAAAAAAAAAAAAAAAAAAAA\n");
    char script[256];
    (void)snprintf(script, sizeof(script),
                   "cd %s/s && grep -q '^AAAAAAAAAAAAAAAAAAAAAA$' create.key.before-restore-*Z && "
                   "test -f coordinator.db.before-restore-*Z && "
                   "test -f coordinator.key.before-restore-*Z",
                   dir);
    assert_int_equal(system(script), 0);
}

/* remedy: end_lock */
PV_TEST(a_running_coordinator_is_not_replaced)
{
    make_backup();
    struct program p = start_listening();
    expect(1, "runs there: end that program", "restore", in_dir("b.p2pvpn"), NULL);
    assert_int_equal(stop(&p), 0);
    expect(0, "2 statements", "restore", in_dir("b.p2pvpn"), NULL);
}

/* Nothing in the state has changed. */
static void expect_refusal(const char *part, const char *file)
{
    char *before = database_dump(in_dir("s/coordinator.db"));
    expect(1, part, "restore", in_dir(file), NULL);
    char *after = database_dump(in_dir("s/coordinator.db"));
    assert_string_equal(after, before);
    free(before);
    free(after);
}

/* remedy: name_backup, name_same_version, older_backup, upgrade */
PV_TEST(a_file_that_is_no_backup_is_refused)
{
    make_backup();
    expect(0, "2 statements", "backup", in_dir("older"), NULL);
    expect_refusal("no such file: name a file", "none");
    expect_refusal("not a regular file: name a file", "s");
    write_text("text", "hello\n");
    expect_refusal("not a backup of a coordinator: name a file", "text");
    database_exec(in_dir("plain.db"), test_given("a database of the same kind"));
    expect_refusal("not a backup of a coordinator", "plain.db");
    database_exec(in_dir("b.p2pvpn"), test_given("damage the key"));
    expect_refusal("is damaged: take an older one", "b.p2pvpn");
    database_exec(in_dir("b.p2pvpn"), test_given("delete create.key"));
    expect_refusal("is damaged", "b.p2pvpn");
    database_exec(in_dir("b.p2pvpn"), "PRAGMA user_version = 77");
    expect_refusal(test_given("newer"), "b.p2pvpn");
    database_exec(in_dir("b.p2pvpn"), "PRAGMA user_version = 2");
    expect_refusal(test_given("another version"), "b.p2pvpn");
    expect_refusal("): name a backup of this version", "b.p2pvpn");
    assert_int_equal(truncate(in_dir("b.p2pvpn"), 9000), 0);
    expect_refusal("restore ", "b.p2pvpn");
    expect(0, "2 statements", "restore", in_dir("older"), NULL); /* as all of them say */
}

/* remedy: other_file, make_directory, name_database */
PV_TEST(a_backup_goes_over_a_backup_and_over_nothing_else)
{
    make_backup();
    expect(0, "\"statements\":2", "backup", in_dir("b.p2pvpn"), "--json");
    write_text("thesis.txt", "years of work\n");
    expect(1, test_given("not a backup"), "backup", in_dir("thesis.txt"), NULL);
    assert_string_equal(read_text("thesis.txt"), "years of work\n");
    expect(0, "2 statements", "backup", in_dir("thesis.p2pvpn"), NULL);
    expect(1, "its directory is not there: make it", "backup", in_dir("missing/b"), NULL);
    assert_int_equal(mkdir(in_dir("missing"), 0700), 0);
    expect(0, "2 statements", "backup", in_dir("missing/b"), NULL);
    expect(2, "backup FILE: is missing", "backup", NULL, NULL);
    assert_int_equal(rename(in_dir("s"), in_dir("elsewhere")), 0);
    expect(1, "there is no database: name another directory", "backup", in_dir("b.p2pvpn"), NULL);
    struct program p = START("backup", in_dir("b.p2pvpn"), "--state", in_dir("elsewhere"));
    assert_int_equal(finish(&p), 0);
}
