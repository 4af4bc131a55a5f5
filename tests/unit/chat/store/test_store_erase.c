/* SPDX-License-Identifier: MIT */
/* Deleted text is in no file of the daemon's databases while these are open. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "chat/core/base/chatop.h"
#include "chat/store/chatstore.h"
#include "daemon/store/store.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

enum {
    MESSAGES = 400, /* of each peer */
};

#define TEXT "the words of peer %u in a line that is long enough to be found in a page"

static const uint8_t PEERS[2][PV_SIGN_PK_LEN] = {{0xb0}, {0xca}};

static char dir[64];
static struct pv_store *store;
static struct pv_chatstore *chat;

static int setup(void **state)
{
    char error[PV_JOB_ERROR_MAX] = "";
    return test_dir_make(dir, sizeof(dir)) == NULL || pv_store_open(&store, dir, error) < 0 ||
           pv_chatstore_new(&chat, dir, 0) < 0;
}

static int teardown(void **state)
{
    store = pv_store_close(store);
    chat = pv_chatstore_free(chat);
    return test_dir_remove(dir);
}

PV_TEST_WORLD(setup, teardown);

/* How often the peer's text stands in the databases' files. */
static size_t count_texts(unsigned peer)
{
    const char *text = PV_STR(TEXT, peer);
    size_t found = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t len = 0, cap = 1 << 24;
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
        char *bytes = test_alloc(cap);
        ssize_t n;
        while (fd >= 0 && e->d_name[0] != '.' && (n = read(fd, bytes + len, cap - len)) > 0)
            len += (size_t)n;
        for (const char *at = bytes, *end = bytes + len;
             (at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL; at++)
            found++;
        free(bytes);
        close(fd);
    }
    closedir(d);
    return found;
}

static bool run(const struct pv_chatop *op)
{
    struct pv_chatop_result result;
    assert_ok(pv_chat_store_run(pv_chatstore_calls(chat), op, &result));
    const bool more = result.more;
    pv_chatop_result_done(&result);
    return more;
}

static void run_network(struct pv_job *job)
{
    struct pv_job_result result;
    pv_store_run(store, &job, &result, 1);
    assert_string_equal(result.error, "");
    assert_ok(result.status);
    pv_job_free(job);
}

static void store_message(unsigned peer, unsigned number)
{
    struct pv_chat_record rec = {
        .seq = number + 1, .time_ms = number, .text = strdup(PV_STR(TEXT, peer))};
    const struct pv_chatop op = {
        .kind = PV_CHATOP_COMMIT, .peer = PEERS[peer], .msgs = &rec, .n_msgs = 1};
    memcpy(rec.peer, PEERS[peer], sizeof(rec.peer));
    memcpy(rec.id, &number, sizeof(number));
    snprintf(rec.peer_name, sizeof(rec.peer_name), "peer%u", peer);
    (void)run(&op);
    pv_chat_record_done(&rec);
}

static void clear(unsigned peer, bool all)
{
    static const uint8_t none[PV_ROOM_NETWORK_LEN];
    const struct pv_chatop op = {.kind = PV_CHATOP_CLEAR,
                                 .peer = PEERS[peer],
                                 .all_peers = all,
                                 .gone = true,
                                 .network = none};
    while (run(&op))
        ;
}

PV_TEST(a_history_that_is_cleared_is_on_the_disk_no_longer)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        store_message(0, i);
        store_message(1, i);
    }
    assert_true(count_texts(0) >= MESSAGES && count_texts(1) >= MESSAGES);
    clear(0, false);
    assert_int_equal(count_texts(0), 0);
    assert_int_equal(count_texts(1), MESSAGES); /* once: nor is it in the log */
    clear(1, true);
    assert_int_equal(count_texts(1), 0);
}

/* An administrator's sqlite3, which reads what was there, keeps the log from being emptied. */
PV_TEST(a_log_that_a_reader_keeps_is_emptied_with_the_next_write)
{
    sqlite3 *reader = NULL;
    store_message(0, 0);
    assert_int_equal(sqlite3_open(PV_STR("%s/chat.db", dir), &reader), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM chat_message", NULL, NULL, NULL),
                     SQLITE_OK);
    clear(0, false);
    assert_true(count_texts(0) > 0);
    sqlite3_close(reader);
    store_message(1, 0);
    assert_int_equal(count_texts(0), 0);
}

PV_TEST(a_network_that_is_left_leaves_nothing_in_the_log)
{
    const char *text = PV_STR(TEXT, 0);
    struct pv_job *job = pv_job_new(PV_JOB_PUT_STATEMENTS);
    assert_non_null(job);
    job->u.put_statements.items = test_alloc(sizeof(struct pv_stored_statement));
    job->u.put_statements.items->statement = pv_view(text, strlen(text));
    job->u.put_statements.n = 1;
    run_network(job);
    assert_true(count_texts(0) > 0);
    run_network(pv_job_new(PV_JOB_FORGET_NETWORK));
    assert_int_equal(count_texts(0), 0);
}
