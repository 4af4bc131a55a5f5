/* SPDX-License-Identifier: MIT */
/* Chat's database: what happens to operations while it cannot be opened, and when that is over. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "chat/core/base/chatop.h"
#include "chat/store/chatstore.h"
#include "daemon/store/store.h"
#include "tests/unit/database.h"
#include "tests/unit/test_dir.h"

static const uint8_t BOB[PV_SIGN_PK_LEN] = {0xb0};

static char dir[64], path[96];
static struct pv_chatstore *store;

static int setup(void **state)
{
    if (test_dir_make(dir, sizeof(dir)) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/chat.db", dir);
    return pv_chatstore_new(&store, dir, 0);
}

static int teardown(void **state)
{
    store = pv_chatstore_free(store);
    return test_dir_remove(dir);
}

PV_TEST_WORLD(setup, teardown);

static void restart(void)
{
    store = pv_chatstore_free(store);
    assert_ok(pv_chatstore_new(&store, dir, 0));
}

/* A message for BOB; its sequence number. */
static int enqueue(uint8_t number, uint64_t *ret_seq)
{
    struct pv_chat_record rec = {.peer_name = "bob", .text = strdup("text")};
    const struct pv_chatop op = {.kind = PV_CHATOP_ENQUEUE, .peer = BOB, .msgs = &rec, .n_msgs = 1};
    struct pv_chat_store *calls = pv_chatstore_calls(store);
    struct pv_chatop_result done;
    memcpy(rec.peer, BOB, sizeof(BOB));
    rec.id[0] = number;
    calls->error[0] = '\0';
    int r = pv_chat_store_run(calls, &op, &done);
    assert_int_equal(r < 0, calls->error[0] != '\0');
    *ret_seq = r < 0 ? 0 : done.msgs[0].seq;
    pv_chatop_result_done(&done);
    pv_chat_record_done(&rec);
    return r;
}

static void expect_works(uint8_t number, uint64_t seq)
{
    uint64_t got;
    assert_ok(enqueue(number, &got));
    assert_false(pv_chatstore_calls(store)->off);
    assert_int_equal(got, seq);
    assert_ok(pv_chatstore_calls(store)->settle(pv_chatstore_calls(store)));
}

static void expect_off(int status)
{
    uint64_t seq;
    assert_int_equal(enqueue(99, &seq), status);
    assert_true(pv_chatstore_calls(store)->off);
    test_shows_as(path, "PATH");
    assert_shows("chat", pv_chatstore_calls(store)->error);
}

static void damage(void)
{
    static const char junk[8192] = "no database";
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
    close(fd);
}

/* remedy: move_chat_away */
PV_TEST(a_damaged_database_fails_chat_alone_until_it_is_moved_away)
{
    struct pv_store *network = NULL;
    char error[PV_JOB_ERROR_MAX] = "";
    expect_works(1, 1);
    restart();
    damage();
    assert_ok(pv_store_open(&network, dir, error));
    pv_store_close(network);
    expect_off(PV_ERR_MALFORMED);
    expect_off(PV_ERR_MALFORMED);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 8192); /* nothing is deleted */
    assert_int_equal(rename(path, PV_STR("%s/away", dir)), 0);
    (void)unlink(PV_STR("%s-wal", path));
    (void)unlink(PV_STR("%s-shm", path));
    restart();
    expect_works(2, 1);
}

PV_TEST(a_newer_database_fails_chat_until_its_version_is_known_and_stays_as_it_is)
{
    expect_works(1, 1);
    store = pv_chatstore_free(store);
    database_exec(path, "PRAGMA user_version = 77");
    char *before = database_dump(path);
    assert_ok(pv_chatstore_new(&store, dir, 0));
    expect_off(PV_ERR_UNSUPPORTED);
    char *after = database_dump(path);
    assert_string_equal(after, before);
    free(before);
    free(after);
    database_exec(path, PV_STR("PRAGMA user_version = %d", PV_CHATSTORE_SCHEMA)); /* as upgraded */
    restart();
    expect_works(2, 2);
}

/* A backup that is put back while the daemon runs is found, for nothing was read before. */
PV_TEST(a_file_that_changes_is_tried_again)
{
    expect_works(1, 1);
    store = pv_chatstore_free(store);
    assert_int_equal(rename(path, PV_STR("%s/backup", dir)), 0);
    damage();
    assert_ok(pv_chatstore_new(&store, dir, 0));
    expect_off(PV_ERR_MALFORMED);
    assert_int_equal(rename(PV_STR("%s/backup", dir), path), 0);
    expect_works(2, 2);
}

PV_TEST(a_directory_in_its_place_fails_chat_until_it_is_gone)
{
    assert_int_equal(mkdir(path, 0700), 0);
    expect_off(-EISDIR);
    assert_int_equal(rmdir(path), 0);
    expect_works(1, 1);
}

/* A table of ours that is a view cannot get its index: the start fails in the midst of the tables.
 */
PV_TEST(a_start_that_breaks_off_leaves_the_database_whole)
{
    expect_works(1, 1);
    store = pv_chatstore_free(store);
    database_exec(path, "DROP TABLE chat_gone; CREATE VIEW chat_gone AS SELECT 1 AS arrived_s;"
                        "DROP TABLE chat_muted");
    char *before = database_dump(path);
    assert_ok(pv_chatstore_new(&store, dir, 0));
    expect_off(-EIO);
    char *after = database_dump(path);
    assert_string_equal(after, before);
    free(before);
    free(after);
}

/* A value replaces the one of its name, and is there after a restart. */
PV_TEST(values_of_parts_are_kept_by_name)
{
    static const char *const texts[] = {"old", "", "new"};
    struct pv_chatop_result result;
    struct pv_chatop op = {.kind = PV_CHATOP_PUT};
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++) {
        op.value_name = i == 1 ? "b" : "a";
        op.value = pv_view(texts[i], strlen(texts[i]));
        assert_ok(pv_chat_store_run(pv_chatstore_calls(store), &op, &result));
        pv_chatop_result_done(&result);
    }
    restart();
    op.kind = PV_CHATOP_VALUES;
    assert_ok(pv_chat_store_run(pv_chatstore_calls(store), &op, &result));
    assert_int_equal(result.n_values, 2);
    assert_string_equal(result.values[0].name, "a");
    assert_int_equal(result.values[0].len, 3);
    assert_memory_equal(result.values[0].bytes, "new", 3);
    assert_string_equal(result.values[1].name, "b");
    assert_int_equal(result.values[1].len, 0);
    pv_chatop_result_done(&result);
}
