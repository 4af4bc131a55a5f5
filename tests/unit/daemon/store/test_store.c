/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "chat/core/base/chatop.h"
#include "crypto/ct.h"
#include "daemon/core/node/saved.h"
#include "daemon/store/identity.h"
#include "daemon/store/store.h"
#include "sys/file/file.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

static char dir[64];

static const char *db_path(void)
{
    static char path[96];
    snprintf(path, sizeof(path), "%s/p2pvpnd.db", dir);
    return path;
}

static int setup(void **state)
{
    return test_dir_make(dir, sizeof(dir)) == NULL ? -1 : 0;
}

static struct pv_store *store;      /* NULL: it is closed */
static struct pv_store_saved saved; /* what was loaded last */

static void close_store(void)
{
    store = pv_store_close(store);
}

static int teardown(void **state)
{
    pv_store_saved_done(&saved);
    close_store();
    DIR *d = opendir(dir);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    return rmdir(dir);
}

PV_TEST_WORLD(setup, teardown);

/* As the next life of the daemon does, where it is open already. */
static void open_store(void)
{
    char error[PV_JOB_ERROR_MAX] = "";
    close_store();
    int r = pv_store_open(&store, dir, error);
    assert_string_equal(error, "");
    assert_ok(r);
}

static void load(void)
{
    char error[PV_JOB_ERROR_MAX] = "";
    pv_store_saved_done(&saved);
    assert_ok(pv_store_load(store, &saved, error));
}

/* --- jobs ---------------------------------------------------------------------------------- */

static struct pv_job *new_job(enum pv_job_kind kind, uint64_t id)
{
    struct pv_job *job = test_alloc(sizeof(*job));
    job->kind = kind;
    job->id = id;
    return job;
}

static struct pv_job *meta_job(const char *name, const char *value)
{
    struct pv_job *job = new_job(PV_JOB_SET_META, 1);
    snprintf(job->u.set_meta.name, sizeof(job->u.set_meta.name), "%s", name);
    job->u.set_meta.len = strlen(value);
    job->u.set_meta.value = (uint8_t *)strdup(value);
    return job;
}

static struct pv_job *statement_job(const char *statement, const char *receipt)
{
    struct pv_job *job = new_job(PV_JOB_PUT_STATEMENTS, 2);
    struct pv_stored_statement *item = test_alloc(sizeof(*item));
    item->statement = pv_view(statement, strlen(statement));
    item->receipt = pv_view(receipt, strlen(receipt));
    job->u.put_statements.items = item;
    job->u.put_statements.n = 1;
    return job;
}

/* Runs jobs as one batch and frees them; status of the last one. */
static int run_all(struct pv_job **jobs, size_t n, struct pv_job_result *results)
{
    pv_store_run(store, jobs, results, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(results[i].id, jobs[i]->id);
        assert_int_equal(results[i].kind, jobs[i]->kind);
        assert_int_equal(results[i].status < 0, results[i].error[0] != '\0');
        pv_job_free(jobs[i]);
    }
    return results[n - 1].status;
}

static int run(struct pv_job *job)
{
    struct pv_job_result result;
    return run_all(&job, 1, &result);
}

/* Entries "a", "b", … of a log, with a head. */
static struct pv_job *entries_job(uint64_t first, const char *letters, const char *head)
{
    struct pv_job *job = new_job(PV_JOB_PUT_ENTRIES, 3);
    struct pv_job_put_entries *put = &job->u.put_entries;
    put->first = first;
    put->n = strlen(letters);
    put->entries = test_alloc((put->n + 1) * sizeof(*put->entries));
    for (size_t i = 0; i < put->n; i++)
        put->entries[i] = pv_view(letters + i, 1);
    put->head = pv_view(head, strlen(head));
    return job;
}

static void expect_log(const char *letters, const char *head)
{
    load();
    assert_int_equal(saved.saved.n_entries, strlen(letters));
    for (size_t i = 0; i < saved.saved.n_entries; i++)
        assert_true(pv_view_equal(saved.entries[i], pv_view(letters + i, 1)));
    struct pv_view stored = pv_saved_value(&saved.saved, "log-head");
    assert_true(pv_view_equal(stored, pv_view(head, strlen(head))));
}

PV_TEST(a_log_grows_and_is_cut_where_root_moved_it)
{
    open_store();
    assert_ok(run(entries_job(1, "abcd", "one")));
    assert_ok(run(entries_job(5, "ef", "two")));
    open_store();
    expect_log("abcdef", "two");
    assert_ok(run(entries_job(3, "xyz", "")));
    expect_log("abxyz", "");
    struct pv_job *forget = new_job(PV_JOB_FORGET_NETWORK, 4);
    forget->u.forget = PV_FORGET_NETWORK;
    assert_ok(run(forget));
    expect_log("", "");
}

/* The mark of what the row holds then; 0: it has none. */
static int mark_of(void)
{
    load();
    assert_int_equal(saved.saved.n_statements, 1);
    int mark = saved.statements[0].has_mark ? saved.statements[0].mark[0] : 0;
    return mark;
}

static struct pv_job *marked_job(const char *receipt, uint8_t mark)
{
    struct pv_job *job = statement_job("first", receipt);
    job->u.put_statements.items[0].has_mark = mark != 0;
    memset(job->u.put_statements.items[0].mark, mark, PV_JOB_MARK_LEN);
    return job;
}

/* It is about statement and receipt together, so it stays and goes with the receipt. */
PV_TEST(a_mark_belongs_to_the_receipt_that_is_kept)
{
    open_store();
    assert_ok(run(marked_job("", 0)));
    assert_int_equal(mark_of(), 0);
    assert_ok(run(marked_job("", 1)));
    assert_int_equal(mark_of(), 1);
    assert_ok(run(marked_job("one", 2)));
    assert_int_equal(mark_of(), 2);
    assert_ok(run(marked_job("", 3))); /* it stands with "one" */
    assert_int_equal(mark_of(), 2);
    assert_ok(run(marked_job("two", 4)));
    assert_int_equal(mark_of(), 4);
}

PV_TEST(rows_stored_are_there_after_reopening)
{
    open_store();
    struct stat st;
    assert_int_equal(stat(db_path(), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    load();
    assert_false(saved.saved.has_network);
    assert_int_equal(saved.saved.n_statements + saved.saved.n_meta, 0);

    struct pv_job *net = new_job(PV_JOB_SET_NETWORK, 3);
    memset(net->u.set_network.network_id, 7, 16);
    snprintf(net->u.set_network.name, PV_NAME_BUF, "home");
    snprintf(net->u.set_network.node_name, PV_NAME_BUF, "bob");
    assert_ok(run(net));
    assert_ok(run(statement_job("first", "")));
    assert_ok(run(meta_job("seq", "41")));
    assert_ok(run(meta_job("seq", "")));
    assert_ok(run(meta_job("up", "1")));
    close_store();

    open_store();
    load();
    assert_true(saved.saved.has_network);
    assert_int_equal(saved.saved.network_id[15], 7);
    assert_string_equal(saved.saved.network_name, "home");
    assert_string_equal(saved.saved.node_name, "bob");
    assert_int_equal(saved.saved.n_statements, 1);
    assert_memory_equal(saved.saved.statements[0].statement.ptr, "first", 5);
    assert_int_equal(saved.saved.n_meta, 2);
    assert_string_equal(saved.saved.meta[0].name, "seq");
    assert_int_equal(saved.saved.meta[0].value.len, 0);
    assert_memory_equal(saved.saved.meta[1].value.ptr, "1", 1);
}

PV_TEST(statements_come_back_in_the_order_they_were_stored_first)
{
    static const char *const texts[] = {"z", "a", "m", "b"};
    open_store();
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++)
        assert_ok(run(statement_job(texts[i], "")));
    assert_ok(run(statement_job("z", "r")));
    load();
    assert_int_equal(saved.saved.n_statements, PV_ARRAY_LEN(texts));
    for (size_t i = 0; i < PV_ARRAY_LEN(texts); i++)
        assert_memory_equal(saved.saved.statements[i].statement.ptr, texts[i], 1);
}

PV_TEST(statements_are_stored_once_and_keep_their_receipt)
{
    open_store();
    assert_ok(run(statement_job("a", "")));
    assert_ok(run(statement_job("a", "r1")));
    assert_ok(run(statement_job("a", ""))); /* none does not replace one */
    load();
    assert_int_equal(saved.saved.n_statements, 1);
    assert_int_equal(saved.saved.statements[0].receipt.len, 2);
    assert_memory_equal(saved.saved.statements[0].receipt.ptr, "r1", 2);
}

/* A statement as long as a member's, with its receipt and mark, and where the log goes on. */
static void put_newcomer(unsigned i)
{
    static char statement[320], receipt[200];
    struct pv_job_result results[2];
    snprintf(statement, sizeof(statement), "%u %0310u", i, i);
    snprintf(receipt, sizeof(receipt), "%u %0190u", i, i);
    struct pv_job *jobs[] = {statement_job(statement, receipt),
                             meta_job("cursor", PV_STR("%016u", i))};
    jobs[0]->u.put_statements.items[0].has_mark = true;
    assert_ok(run_all(jobs, 2, results));
}

static off_t size_of_log(void)
{
    struct stat st;
    assert_int_equal(stat(PV_STR("%s-wal", db_path()), &st), 0);
    return st.st_size;
}

enum {
    MANY = 2000, /* statements */
};

/* A store with many statements, put in at once: what they cost is not the question. */
static void open_large_store(void)
{
    open_store();
    close_store();
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, test_given("WITH RECURSIVE n i AS SELECT"), NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    open_store();
}

/* With pages of 4096 bytes it was 14 KB. */
PV_TEST(a_newcomer_alone_writes_less_than_4_kib)
{
    enum {
        N = 50
    };
    open_large_store();
    put_newcomer(MANY);
    off_t before = size_of_log();
    for (unsigned i = 1; i <= N; i++)
        put_newcomer(MANY + i);
    assert_in_range((size_of_log() - before) / N, 1, 4095);
}

/* SQLite would keep the pages that it has read and written, up to 2 MB. */
PV_TEST(rows_read_or_written_leave_no_pages_in_memory)
{
    enum {
        SMALL = 256 * 1024 /* bytes */
    };
    open_large_store();
    load();
    assert_int_equal(saved.saved.n_statements, MANY);
    assert_in_range(sqlite3_memory_used(), 1, SMALL);
    assert_ok(run(new_job(PV_JOB_FORGET_NETWORK, 1))); /* all pages change */
    assert_in_range(sqlite3_memory_used(), 1, SMALL);
}

static bool has_file(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

PV_TEST(forgetting_the_network_keeps_meta_and_deletes_keys_only_when_asked)
{
    open_store();
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 1);
    struct pv_identity first, second;
    struct pv_keeper *keeper = NULL;
    struct pv_kept_key root;
    const struct pv_sandbox_user self = {.uid = geteuid(), .gid = getegid()};
    char error[PV_JOB_ERROR_MAX];
    bool exposed;
    assert_ok(pv_keeper_start(&keeper));
    assert_ok(pv_keeper_open(keeper, dir, &self, &exposed, error));
    pv_store_set_keeper(store, keeper);
    assert_ok(pv_identity_load(dir, NULL, &rng, &first, error));
    assert_ok(run(statement_job("a", "")));
    assert_ok(run(meta_job("seq", "5")));
    assert_ok(run(new_job(PV_JOB_KEEP_ROOT, 4)));
    assert_true(pv_keeper_key(keeper, &root));
    assert_ok(run(new_job(PV_JOB_FORGET_NETWORK, 5)));
    load();
    assert_int_equal(saved.saved.n_statements, 0);
    assert_int_equal(saved.saved.n_meta, 1);
    assert_ok(pv_identity_load(dir, NULL, &rng, &second, error));
    assert_memory_equal(first.sign_pk, second.sign_pk, 32);
    assert_true(has_file("root.key"));

    struct pv_job *job = new_job(PV_JOB_FORGET_NETWORK, 6);
    job->u.forget = PV_FORGET_KEYS;
    assert_ok(run(job));
    assert_ok(pv_identity_load(dir, NULL, &rng, &second, error));
    assert_memory_not_equal(first.sign_pk, second.sign_pk, 32);
    assert_memory_not_equal(first.dh_pk, second.dh_pk, 32);
    assert_true(has_file("root.key"));

    job = new_job(PV_JOB_FORGET_NETWORK, 7);
    job->u.forget = PV_FORGET_ROOT;
    assert_ok(run(job));
    assert_false(has_file("root.key"));
    assert_false(pv_keeper_key(keeper, &root));
    pv_keeper_stop(keeper);
}

/* --- endpoints ----------------------------------------------------------------------------- */

static struct pv_job *endpoints_job(uint8_t node, size_t n)
{
    struct pv_job *job = new_job(PV_JOB_PUT_ENDPOINTS, 7);
    struct pv_job_put_endpoints *put = &job->u.put_endpoints;
    memset(put->node, node, sizeof(put->node));
    put->n = n;
    for (size_t i = 0; i < n; i++)
        put->addrs[i] = (struct pv_recall_addr){
            .addr = pv_addr4(203, 0, 113, node, (uint16_t)(1000 + i)), .seen_s = 100 * node - i};
    return job;
}

PV_TEST(addresses_of_members_are_replaced_forgotten_and_come_back_newest_first)
{
    open_store();
    assert_ok(run(endpoints_job(1, 4)));
    assert_ok(run(endpoints_job(2, 2)));
    assert_ok(run(endpoints_job(3, 1)));
    assert_ok(run(endpoints_job(1, 3)));
    assert_ok(run(endpoints_job(2, 0)));
    close_store();

    open_store();
    load();
    assert_int_equal(saved.saved.n_endpoints, 4);
    const struct pv_saved_endpoint *x = saved.saved.endpoints;
    struct pv_addr want = pv_addr4(203, 0, 113, 3, 1000);
    assert_int_equal(x[0].node[31], 3);
    assert_true(pv_addr_equal(&x[0].addr.addr, &want));
    assert_int_equal(x[0].addr.seen_s, 300);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(x[i].node[0], 1);
        assert_int_equal(x[i].addr.seen_s, 101 - i);
    }
    assert_ok(run(new_job(PV_JOB_FORGET_NETWORK, 5)));
    load();
    assert_int_equal(saved.saved.n_endpoints, 0);
}

PV_TEST(rows_that_are_no_addresses_are_left_out)
{
    open_store();
    sqlite3 *db;
    assert_ok(run(endpoints_job(1, 1)));
    assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
    const char *const bad[] = {
        test_given("INSERT INTO endpoints VALUES x"),  test_given("INSERT INTO endpoints VALUES"),
        test_given("VALUES zeroblob 32 nonsense 902"), test_given("32 203.0.113.1 99999 903"),
        test_given("zeroblob 32 203.0.113.2 5 -5"),    test_given("VALUES zeroblob 32 x 00ff 904"),
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_int_equal(sqlite3_exec(db, bad[i], NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    load();
    assert_int_equal(saved.saved.n_endpoints, 1);
    assert_int_equal(saved.saved.endpoints[0].node[0], 1);
}

/* --- identity ------------------------------------------------------------------------------ */

PV_TEST(keys_are_made_once_with_mode_0600_and_a_bad_file_is_kept)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 2);
    struct pv_identity id, again;
    char error[PV_JOB_ERROR_MAX] = "";
    struct stat st;
    assert_ok(pv_identity_load(dir, NULL, &rng, &id, error));
    assert_ok(pv_identity_load(dir, NULL, &rng, &again, error));
    assert_memory_equal(&id, &again, sizeof(id));
    const char *path = PV_STR("%s/identity.key", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    uint8_t wg_key[32] = {8};
    assert_ok(pv_identity_load(dir, wg_key, &rng, &again, error));
    assert_memory_equal(again.dh_sk, wg_key, 32);
    assert_memory_equal(again.sign_pk, id.sign_pk, 32);

    assert_ok(pv_file_write(path, pv_view("not a key\n", 10), 0600));
    assert_int_equal(pv_identity_load(dir, NULL, &rng, &again, error), PV_ERR_MALFORMED);
    assert_has(error, "identity.key");
    assert_has(error, "backup");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 10);
    assert_true(pv_ct_is_zero(&again, sizeof(again)));
}

PV_TEST(transport_keys_are_replaced_all_at_once_and_come_back_in_order)
{
    open_store();
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 2);
    struct pv_identity id, again;
    char error[PV_JOB_ERROR_MAX] = "";
    uint8_t pk[32];
    struct stat st;
    assert_ok(pv_identity_load(dir, NULL, &rng, &id, error));
    assert_false(id.others[0].used);
    struct pv_job *job = new_job(PV_JOB_SAVE_KEYS, 4);
    job->u.keys.n = PV_JOB_KEYS;
    for (uint8_t i = 0; i < PV_JOB_KEYS; i++) {
        memset(job->u.keys.keys[i].sk, 10 + i, 32);
        job->u.keys.keys[i].replaced_s = i == 2 ? 0 : UINT64_C(1800000000) + i;
    }
    assert_ok(run(job));
    assert_ok(pv_identity_load(dir, NULL, &rng, &again, error));
    assert_memory_equal(again.sign_pk, id.sign_pk, 32);
    assert_int_equal(again.dh_sk[31], 10);
    pv_dh_public(again.dh_sk, pk);
    assert_memory_equal(again.dh_pk, pk, 32);
    for (uint8_t i = 1; i < PV_JOB_KEYS; i++) {
        const struct pv_other_key *other = &again.others[i - 1];
        assert_true(other->used);
        assert_int_equal(other->sk[0], 10 + i);
        pv_dh_public(other->sk, pk);
        assert_memory_equal(other->pk, pk, 32);
        assert_int_equal(other->replaced_s, i == 2 ? 0 : UINT64_C(1800000000) + i);
    }
    assert_int_equal(stat(PV_STR("%s/transport.key", dir), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);

    job = new_job(PV_JOB_SAVE_KEYS, 5);
    job->u.keys.n = 1;
    memset(job->u.keys.keys[0].sk, 20, 32);
    assert_ok(run(job));
    assert_ok(pv_identity_load(dir, NULL, &rng, &again, error));
    assert_int_equal(again.dh_sk[0], 20);
    assert_false(again.others[0].used || again.others[1].used || again.others[2].used);
}

PV_TEST(a_file_of_transport_keys_with_a_bad_line_is_refused_whole)
{
    static const char key[] = "Dw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8";
    static const char *const bad[] = {"",
                                      "%s 5\n",
                                      "%s\n%s\n",
                                      "%s\n%s x\n",
                                      "%s\n\n",
                                      "%s\nx 5\n",
                                      "%s\n%s 5 6\n",
                                      "%s\n%s -1\n",
                                      "%s\n%s 5\n%s 5\n%s 5\n%s 5\n"};
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 2);
    struct pv_identity id;
    char error[PV_JOB_ERROR_MAX], text[400];
    assert_ok(pv_identity_load(dir, NULL, &rng, &id, error));
    const char *path = PV_STR("%s/transport.key", dir);
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        size_t n = 0;
        for (const char *c = bad[i]; *c != '\0'; c++) {
            if (*c == '%')
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", key);
            else if (*c != 's')
                text[n++] = *c;
        }
        assert_ok(pv_file_write(path, pv_view(text, n), 0600));
        assert_true(pv_identity_load(dir, NULL, &rng, &id, error) < 0);
        assert_has(error, "transport.key");
        assert_true(pv_ct_is_zero(&id, sizeof(id)));
    }
    snprintf(text, sizeof(text), "%s\r\n%s 5\r\n", key, key);
    assert_ok(pv_file_write(path, pv_view(text, strlen(text)), 0600));
    assert_ok(pv_identity_load(dir, NULL, &rng, &id, error));
    assert_int_equal(id.others[0].replaced_s, 5);
}

/* --- when things go wrong ------------------------------------------------------------------ */

static void expect_refusal(const char *want)
{
    struct pv_store *s = NULL;
    char error[PV_JOB_ERROR_MAX] = "", *before = NULL, *after = NULL;
    size_t len_before = 0, len_after = 0;
    assert_ok(pv_file_read(db_path(), 1 << 20, &before, &len_before));
    assert_true(pv_store_open(&s, dir, error) < 0);
    assert_null(s);
    assert_has(error, db_path());
    if (strstr(error, want) == NULL)
        assert_string_equal(error, want);
    assert_ok(pv_file_read(db_path(), 1 << 20, &after, &len_after));
    assert_int_equal(len_before, len_after);
    assert_memory_equal(before, after, len_before); /* never overwritten */
    pv_file_free(before, len_before);
    pv_file_free(after, len_after);
}

/* remedy: move_network_away */
PV_TEST(a_file_that_is_no_database_is_refused_and_kept)
{
    static char junk[8192];
    memset(junk, 'x', sizeof(junk));
    assert_ok(pv_file_write(db_path(), pv_view(junk, sizeof(junk)), 0600));
    expect_refusal("damaged");
    assert_int_equal(rename(db_path(), PV_STR("%s/away", dir)), 0);
    open_store();
    close_store();
    unlink(PV_STR("%s/away", dir));
}

PV_TEST(a_damaged_database_is_refused_and_kept)
{
    char value[200];
    open_store();
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; i < 400; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%d", i);
        assert_ok(run(meta_job(name, value)));
    }
    close_store(); /* checkpoints: all is in the main file now */
    static char zeros[4096];
    int fd = open(db_path(), O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (off_t page = 5; page < 12; page++)
        assert_int_equal(pwrite(fd, zeros, sizeof(zeros), page * 4096), 4096);
    close(fd);
    expect_refusal("damaged");
}

PV_TEST(somebody_elses_and_newer_databases_are_refused)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_refusal("not a database of p2pvpnd");
    unlink(db_path());
    open_store();
    close_store();
    assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_refusal("newer p2pvpnd (schema 99; ");
}

/* Writes statements and a counter for ever; tells the counter after each commit. */
static void child(int tell)
{
    char error[PV_JOB_ERROR_MAX];
    if (pv_store_open(&store, dir, error) < 0)
        _exit(1);
    load();
    unsigned n = (unsigned)saved.saved.n_statements;
    for (;;) {
        n++;
        const char *text = PV_STR("%u", n);
        struct pv_job_result results[2];
        struct pv_job *jobs[2] = {statement_job(text, "r"), meta_job("n", text)};
        if (run_all(jobs, 2, results) < 0 || write(tell, &n, sizeof(n)) != sizeof(n))
            _exit(1);
    }
}

PV_TEST(nothing_acknowledged_is_lost_when_the_daemon_is_killed)
{
    unsigned told = 0;
    for (unsigned round = 0; round < 12; round++) {
        int pipe_fd[2];
        assert_int_equal(pipe(pipe_fd), 0);
        pid_t pid = fork();
        if (pid == 0)
            child(pipe_fd[1]);
        close(pipe_fd[1]);
        unsigned n = 0;
        for (unsigned i = 0; i < round * 3 + 1; i++) { /* killed after a few more each time */
            assert_int_equal(read(pipe_fd[0], &n, sizeof(n)), sizeof(n));
            told = n;
        }
        kill(pid, SIGKILL);
        while (read(pipe_fd[0], &n, sizeof(n)) == sizeof(n))
            told = n;
        waitpid(pid, NULL, 0);
        close(pipe_fd[0]);

        open_store();
        load();
        char text[16] = "";
        memcpy(text, saved.saved.meta[0].value.ptr, saved.saved.meta[0].value.len);
        unsigned stored = (unsigned)strtoul(text, NULL, 10);
        assert_true(stored >= told);
        assert_int_equal(saved.saved.n_statements, stored); /* a batch is whole or absent */
        close_store();
    }
}

PV_TEST(a_full_disk_is_told_and_what_was_stored_stays)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("pvstore", dir, "tmpfs", 0, "size=1m") < 0) {
        printf("skipped: needs root and mount namespaces\n");
        skip();
    }
    open_store();
    static char big[30000];
    memset(big, 'b', sizeof(big) - 1);
    int r = PV_OK;
    unsigned stored = 0;
    for (unsigned i = 0; i < 200 && r >= 0; i++) {
        struct pv_job_result result;
        struct pv_job *job = meta_job(PV_STR("m%u", i), big);
        r = run_all(&job, 1, &result);
        if (r >= 0)
            stored++;
        else
            assert_has(result.error, "the disk is full");
    }
    assert_int_equal(r, -ENOSPC);
    assert_true(stored > 2);
    /* A batch in which one job meets the end of the disk: what is told is what is stored, and one
     * that writes nothing is done. */
    struct pv_job_result results[4];
    struct pv_job *nothing = new_job(PV_JOB_PUT_STATEMENTS, 9);
    struct pv_job *jobs[4] = {meta_job("x", "1"), nothing, meta_job("y", big), meta_job("z", "1")};
    (void)run_all(jobs, 4, results);
    assert_ok(results[1].status);
    assert_int_equal(results[2].status, -ENOSPC);
    for (size_t i = 0; i < 4; i += 3) {
        assert_true(results[i].status == PV_OK || results[i].status == -ENOSPC);
        stored += results[i].status == PV_OK;
    }
    load(); /* the running daemon goes on with what it has */
    assert_int_equal(saved.saved.n_meta, stored);
    open_store();
    load();
    assert_int_equal(saved.saved.n_meta, stored);
    close_store();
    umount(dir);
}
