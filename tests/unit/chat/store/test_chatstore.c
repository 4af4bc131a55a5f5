/* SPDX-License-Identifier: MIT */
/* Chat's database: what happens to jobs while it cannot be opened, and when that is over. */
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
static uint64_t enqueue(uint8_t number, struct pv_chatqueue_result *result)
{
    struct pv_chatop *chat = pv_chatop_new(PV_CHATOP_ENQUEUE);
    assert_non_null(chat);
    struct pv_chat_record *rec = test_alloc(sizeof(*rec));
    memcpy(rec->peer, BOB, sizeof(BOB));
    rec->id[0] = number;
    rec->text = strdup("text");
    snprintf(rec->peer_name, sizeof(rec->peer_name), "bob");
    memcpy(chat->peer, BOB, sizeof(BOB));
    chat->msgs = rec;
    chat->n_msgs = 1;
    pv_chatstore_run(store, &chat, result, 1);
    pv_chatop_free(chat);
    assert_int_equal(result->status < 0, result->error[0] != '\0');
    const struct pv_chatop_result *answer = pv_chatop_result_of(result);
    uint64_t seq = answer == NULL ? 0 : answer->msgs[0].seq;
    pv_chatqueue_result_done(result);
    return seq;
}

static void expect_works(uint8_t number, uint64_t seq)
{
    struct pv_chatqueue_result result;
    uint64_t got = enqueue(number, &result);
    assert_string_equal(result.error, "");
    assert_false(result.off);
    assert_int_equal(got, seq);
}

static void expect_off(int status)
{
    struct pv_chatqueue_result result;
    enqueue(99, &result);
    assert_int_equal(result.status, status);
    assert_true(result.off);
    test_shows_as(path, "PATH");
    assert_shows("chat", result.error);
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
    struct pv_chatqueue_result result;
    struct pv_chatop *job;
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++) {
        job = pv_chatop_new(PV_CHATOP_PUT);
        assert_non_null(job);
        snprintf(job->value_name, sizeof(job->value_name), i == 1 ? "b" : "a");
        job->value = (uint8_t *)strdup(texts[i]);
        job->n_value = strlen(texts[i]);
        pv_chatstore_run(store, &job, &result, 1);
        assert_ok(result.status);
        pv_chatqueue_result_done(&result);
        pv_chatop_free(job);
    }
    restart();
    job = pv_chatop_new(PV_CHATOP_VALUES);
    assert_non_null(job);
    pv_chatstore_run(store, &job, &result, 1);
    assert_ok(result.status);
    const struct pv_chatop_result *r = pv_chatop_result_of(&result);
    assert_int_equal(r->n_values, 2);
    assert_string_equal(r->values[0].name, "a");
    assert_int_equal(r->values[0].len, 3);
    assert_memory_equal(r->values[0].bytes, "new", 3);
    assert_string_equal(r->values[1].name, "b");
    assert_int_equal(r->values[1].len, 0);
    pv_chatqueue_result_done(&result);
    pv_chatop_free(job);
}
