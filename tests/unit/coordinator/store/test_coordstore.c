/* SPDX-License-Identifier: MIT */
/* The coordinator's database: operations, restarts, kills at any moment, disks that fail. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "coordinator/store/store_sqlite.h"
#include "tests/unit/coordinator/core/coord_world.h"
#include "tests/unit/test_dir.h"

static char dir[64];
static struct cw *world; /* makes statements; its coordinator never starts */
static struct cw_keys invite;

static const char *db_path(void)
{
    static char path[96];
    snprintf(path, sizeof(path), "%s/coordinator.db", dir);
    return path;
}

static int setup(void **state)
{
    (void)state;
    if (test_dir_make(dir, sizeof(dir)) == NULL)
        return -1;
    world = cw_new(1);
    cw_make_network(world);
    invite = cw_keys_make(world);
    return 0;
}

static int teardown(void **state)
{
    DIR *d = opendir(dir);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    rmdir(dir);
    return test_teardown(state); /* the world */
}

static struct pv_coordstore *open_ok(void)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    int r = pv_coordstore_open_sqlite(&s, dir, error);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    return s;
}

static void open_fails(int status, const char *part)
{
    char error[PV_STOREOP_ERROR_MAX] = "";
    struct pv_coordstore *s = NULL;
    int r = pv_coordstore_open_sqlite(&s, dir, error);
    if (r != status || strstr(error, part) == NULL)
        fail_msg("%d \"%s\", expected %d and \"%s\"", r, error, status, part);
    assert_null(s);
}

/* A member statement of a node by the invite, as the core would hand it over. */
static struct pv_storeop *member_op(const struct cw_node *node, uint64_t n, uint64_t serial,
                                    uint32_t uses)
{
    static const uint8_t ip4[4] = {10, 66, 1, 1};
    struct pv_made made =
        cw_member_statement(world, &invite, node, (struct cw_claim){"bob", ip4, serial, 1});
    uint8_t receipt[PV_RECEIPT_LEN];
    struct pv_storeop *op = NULL;
    struct pv_storerow row = {
        .epoch = 7, .n = n, .statement = pv_made_view(&made), .receipt = pv_view(receipt, 170)};
    memset(receipt, (int)n, sizeof(receipt));
    memcpy(row.network, world->created.network_id, sizeof(row.network));
    pv_statement_hash(row.statement, row.hash);
    assert_int_equal(pv_storeop_new(PV_STOREOP_REGISTER, 1, 1000, &op), PV_OK);
    assert_int_equal(pv_storeop_add(op, &row), PV_OK);
    op->id = n;
    op->uses = uses;
    op->serial = serial;
    memcpy(op->invite, invite.pk, 32);
    memcpy(op->node, node->id.pk, 32);
    return op;
}

/* The statements of the created network in one PUT. */
static struct pv_storeop *network_op(uint64_t n)
{
    const struct pv_view st[4] = {
        pv_made_view(&world->created.network),
        pv_view(world->created.coordinators.raw, world->created.coordinators.len),
        pv_made_view(&world->created.admin), pv_made_view(&world->created.member)};
    uint8_t receipt[PV_RECEIPT_LEN] = {1};
    struct pv_storeop *op = NULL;
    assert_int_equal(pv_storeop_new(PV_STOREOP_PUT, 4, 4096, &op), PV_OK);
    op->id = n;
    for (uint64_t i = 0; i < 4; i++) {
        struct pv_storerow row = {.epoch = 7,
                                  .n = n + i,
                                  .statement = st[i],
                                  .receipt = pv_view(receipt, sizeof(receipt))};
        if (i == 3)
            row.foreign = pv_view(receipt, sizeof(receipt));
        memcpy(row.network, world->created.network_id, sizeof(row.network));
        pv_statement_hash(row.statement, row.hash);
        assert_int_equal(pv_storeop_add(op, &row), PV_OK);
    }
    return op;
}

static struct pv_storeop_result run(struct pv_coordstore *s, struct pv_storeop *op)
{
    struct pv_storeop_result res;
    pv_coordstore_run(s, &op, &res, 1);
    assert_true(res.id == op->id);
    pv_storeop_free(op);
    return res;
}

struct seen {
    size_t n;
    uint64_t last;
    bool foreign;
    uint8_t hashes[256][PV_STATEMENT_HASH_LEN];
};

static int see(void *ctx, struct pv_storerow *row)
{
    struct seen *s = ctx;
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    assert_true(row->n > s->last);
    s->last = row->n;
    s->foreign |= row->foreign.len > 0;
    assert_int_equal(row->receipt.len, PV_RECEIPT_LEN);
    pv_statement_hash(row->statement, hash);
    assert_memory_equal(hash, row->hash, sizeof(hash));
    assert_true(s->n < PV_ARRAY_LEN(s->hashes));
    memcpy(s->hashes[s->n++], hash, sizeof(hash));
    return PV_OK;
}

static struct seen all_of(struct pv_coordstore *s)
{
    char error[PV_STOREOP_ERROR_MAX];
    struct seen seen = {0};
    assert_int_equal(pv_coordstore_load(s, see, &seen, error), PV_OK);
    return seen;
}

/* --- operations ---------------------------------------------------------------------------- */

static void what_was_put_is_there_after_a_restart_in_order(void **state)
{
    (void)state;
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world);
    assert_int_equal(run(s, member_op(&a, 9, 0, 5)).status, PV_OK);
    assert_int_equal(run(s, network_op(1)).status, PV_OK);
    pv_coordstore_close(s);
    s = open_ok();
    struct seen seen = all_of(s);
    assert_int_equal(seen.n, 5);
    assert_true(seen.last == 9);
    assert_true(seen.foreign);
    /* Again, under other numbers: skipped, not doubled. */
    assert_int_equal(run(s, network_op(20)).status, PV_OK);
    assert_int_equal(all_of(s).n, 5);
    pv_coordstore_close(s);

    struct stat st;
    assert_int_equal(stat(db_path(), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void an_invite_is_redeemed_as_often_as_it_says(void **state)
{
    (void)state;
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world);
    struct cw_node b = cw_node_make(world);
    struct cw_node c = cw_node_make(world);
    struct pv_storeop *op = member_op(&a, 1, 0, 2);
    uint8_t first[PV_STATEMENT_HASH_LEN];
    memcpy(first, op->rows[0].hash, sizeof(first));
    assert_int_equal(run(s, op).status, PV_OK);
    /* The same node again: what stands there is the answer. */
    struct pv_storeop_result res = run(s, member_op(&a, 2, 1, 2));
    assert_int_equal(res.status, PV_ERR_EXISTS);
    assert_memory_equal(res.existing, first, sizeof(first));
    assert_int_equal(run(s, member_op(&b, 3, 0, 2)).status, PV_OK);
    assert_int_equal(run(s, member_op(&c, 4, 0, 2)).status, PV_ERR_EXPIRED);
    /* After a leave the first node comes back with a higher serial: no further use. */
    op = member_op(&a, 5, 3, 2);
    op->min_serial = 3;
    assert_int_equal(run(s, op).status, PV_OK);
    op = member_op(&a, 6, UINT64_MAX, 2);
    op->min_serial = UINT64_MAX; /* the largest there is, beyond SQLite's signed integers */
    assert_int_equal(run(s, op).status, PV_OK);
    op = member_op(&a, 7, 5, 2);
    op->min_serial = 4;
    assert_int_equal(run(s, op).status, PV_ERR_EXISTS);
    assert_int_equal(all_of(s).n, 4);
    pv_coordstore_close(s);
}

/* --- copies: one list over both stores ------------------------------------------------------ */

static struct pv_coordstore *disk; /* NULL: the one in memory */
static struct copymem memory;

static struct pv_storeop_result run_copy(enum pv_storeop_kind kind, struct pv_storeop_copy m,
                                         size_t box_len)
{
    struct pv_storeop_result res = {.id = 5};
    struct pv_storeop *op = NULL;
    uint8_t *box = calloc(1, box_len + 1);
    assert_non_null(box);
    box[0] = m.key[0];
    m.wall_s += 1795161600;
    assert_int_equal(pv_storeop_new_copy(kind, &m, pv_view(box, box_len), &op), PV_OK);
    op->id = 5;
    free(box);
    if (disk != NULL)
        return run(disk, op);
    assert_true(copymem_run(&memory, op, &res));
    pv_storeop_free(op);
    return res;
}

static int keep(uint8_t from, uint8_t to, uint8_t key, uint64_t wall_s, size_t len)
{
    return run_copy(PV_STOREOP_KEEP,
                    (struct pv_storeop_copy){.network = {1},
                                             .from = {from},
                                             .to = {to},
                                             .key = {key, (uint8_t)(wall_s >> 8), (uint8_t)wall_s},
                                             .wall_s = wall_s},
                    len)
        .status;
}

/* The first byte of the next copy; 0: none. Its number in *n, from which it goes on. */
static uint8_t next(uint8_t to, uint64_t *n, bool take, uint64_t wall_s)
{
    struct pv_storeop_result res =
        run_copy(PV_STOREOP_COLLECT,
                 (struct pv_storeop_copy){
                     .network = {1}, .to = {to}, .n = take ? *n : 0, .after = *n, .wall_s = wall_s},
                 0);
    uint8_t key = res.collected == NULL ? 0 : res.collected->box[0];
    assert_int_equal(res.status, PV_OK);
    if (res.collected != NULL)
        *n = res.collected->n;
    free(res.collected);
    return key;
}

static void copies_wait_in_order_until_they_are_taken(void)
{
    uint64_t n = 0;
    assert_int_equal(keep(7, 8, 1, 0, 100), PV_OK);
    assert_int_equal(keep(7, 9, 2, 0, 100), PV_OK);
    assert_int_equal(keep(6, 8, 3, 0, 100), PV_OK);
    assert_int_equal(keep(7, 8, 1, 0, 100), PV_OK); /* there already */
    assert_int_equal(next(8, &n, false, 0), 1);
    assert_int_equal(next(8, &n, true, 0), 3);
    assert_int_equal(next(8, &n, false, 0), 0);
    n = 0;
    assert_int_equal(next(8, &n, false, 0), 3);
    assert_int_equal(next(8, &n, true, 0), 0);
    n = 0;
    assert_int_equal(next(8, &n, false, 0), 0);
    assert_int_equal(next(9, &n, false, PV_STOREOP_COPY_S), 2);
    n = 0;
    assert_int_equal(next(9, &n, false, PV_STOREOP_COPY_S + 1), 0); /* fourteen days are over */
}

static void quotas_of_copies_hold_at_their_edge(void)
{
    const uint64_t t = 3 * PV_STOREOP_COPY_S; /* what was before is too old */
    for (unsigned i = 0; i < PV_STOREOP_COPY_TO; i++)
        assert_int_equal(keep((uint8_t)(i % 8), 8, (uint8_t)(1 + i % 250), t + i / 250, 10), PV_OK);
    assert_int_equal(keep(1, 8, 255, t, 10), PV_ERR_REFUSED);
    assert_int_equal(keep(1, 8, 2, t, 10), PV_OK); /* of those there, not one more */
    assert_int_equal(keep(1, 9, 255, t, 10), PV_OK);
    assert_int_equal(keep(5, 10, 1, t, PV_STOREOP_COPY_TO_BYTES / 2), PV_OK);
    assert_int_equal(keep(5, 12, 2, t, PV_STOREOP_COPY_TO_BYTES / 2 - 4000), PV_OK);
    assert_int_equal(keep(5, 11, 2, t, 4000), PV_ERR_REFUSED); /* the sender's bytes */
    for (uint8_t i = 20; i < 24; i++)
        assert_int_equal(keep(i, 10, 1, t, PV_STOREOP_COPY_PAIR_BYTES), PV_OK);
    assert_int_equal(keep(24, 10, 2, t, 1), PV_ERR_REFUSED); /* the receiver's */
    assert_int_equal(keep(24, 11, 2, t, 1), PV_OK);
}

/* Whoever writes the most leaves room for others: half of the receiver's is the most. */
static void one_sender_leaves_room_for_others(void)
{
    const uint64_t t = 5 * PV_STOREOP_COPY_S;
    for (unsigned i = 0; i < PV_STOREOP_COPY_TO / 2; i++)
        assert_int_equal(keep(1, 13, (uint8_t)(1 + i % 250), t + i / 250, 10), PV_OK);
    assert_int_equal(keep(1, 13, 255, t, 10), PV_ERR_REFUSED);
    assert_int_equal(keep(2, 13, 255, t, 10), PV_OK);
    assert_int_equal(keep(1, 14, 1, t, PV_STOREOP_COPY_TO_BYTES / 2), PV_OK);
    assert_int_equal(keep(1, 14, 2, t, 1), PV_ERR_REFUSED);
    assert_int_equal(keep(2, 14, 2, t, PV_STOREOP_COPY_PAIR_BYTES), PV_OK);
    assert_int_equal(keep(2, 14, 3, t, 1), PV_ERR_REFUSED);
}

static void expect_dropped(const uint8_t network[static PV_NETWORK_ID_LEN])
{
    struct pv_storeop_copy what = {.wall_s = 0};
    memcpy(what.network, network, sizeof(what.network));
    assert_int_equal(run_copy(PV_STOREOP_DROP, what, 0).status, PV_OK);
}

static void a_network_is_dropped_whole_and_no_other(void **state)
{
    (void)state;
    static const uint8_t copies_of[PV_NETWORK_ID_LEN] = {1};
    uint64_t n = 0;
    disk = open_ok();
    assert_int_equal(run(disk, network_op(1)).status, PV_OK);
    assert_int_equal(keep(1, 2, 1, 0, 100), PV_OK);
    expect_dropped(world->created.network_id);
    assert_int_equal(all_of(disk).n, 0);
    assert_int_equal(next(2, &n, false, 0), 1);
    assert_int_equal(run(disk, network_op(20)).status, PV_OK);
    expect_dropped(copies_of);
    n = 0;
    assert_int_equal(next(2, &n, false, 0), 0);
    assert_int_equal(all_of(disk).n, 4);
    disk = pv_coordstore_close(disk);
}

static void a_network_may_have_less_room_for_copies(void **state)
{
    (void)state;
    struct pv_storeop_copy m = {.network = {1}, .from = {1}, .to = {2}, .room = 250};
    disk = open_ok();
    for (uint8_t i = 1; i <= 3; i++) {
        m.key[0] = i;
        assert_int_equal(run_copy(PV_STOREOP_KEEP, m, 100).status, i < 3 ? PV_OK : PV_ERR_REFUSED);
    }
    m.network[0] = 2; /* another one's */
    assert_int_equal(run_copy(PV_STOREOP_KEEP, m, 100).status, PV_OK);
    disk = pv_coordstore_close(disk);
}

static void copies_wait_and_have_quotas_in_both_stores(void **state)
{
    (void)state;
    copies_wait_in_order_until_they_are_taken();
    quotas_of_copies_hold_at_their_edge();
    one_sender_leaves_room_for_others();
    copymem_done(&memory);
    disk = open_ok();
    copies_wait_in_order_until_they_are_taken();
    pv_coordstore_close(disk);
    disk = open_ok(); /* and after a restart */
    quotas_of_copies_hold_at_their_edge();
    one_sender_leaves_room_for_others();
    disk = pv_coordstore_close(disk);
}

static void uses_taken_by_repaired_statements_count(void **state)
{
    (void)state;
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world);
    struct cw_node b = cw_node_make(world);
    struct pv_storeop *op = member_op(&a, 1, 0, 1);
    op->kind = PV_STOREOP_PUT; /* a node brought it back, with its receipt */
    assert_int_equal(run(s, op).status, PV_OK);
    assert_int_equal(run(s, member_op(&b, 2, 0, 1)).status, PV_ERR_EXPIRED);
    pv_coordstore_close(s);
}

static void of_many_redemptions_in_one_transaction_the_first_win(void **state)
{
    (void)state;
    struct pv_coordstore *s = open_ok();
    struct pv_storeop *ops[10];
    struct pv_storeop_result res[10];
    for (uint64_t i = 0; i < 10; i++) {
        struct cw_node n = cw_node_make(world);
        ops[i] = member_op(&n, i + 1, 0, 3);
    }
    pv_coordstore_run(s, ops, res, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(res[i].status, i < 3 ? PV_OK : PV_ERR_EXPIRED);
        pv_storeop_free(ops[i]);
    }
    assert_int_equal(all_of(s).n, 3);
    pv_coordstore_close(s);
}

static void one_bad_operation_does_not_undo_its_neighbours(void **state)
{
    (void)state;
    struct pv_coordstore *s = open_ok();
    struct cw_node a = cw_node_make(world);
    struct cw_node b = cw_node_make(world);
    struct pv_storeop *ops[3] = {member_op(&a, 1, 0, 9), network_op(1), member_op(&b, 9, 0, 9)};
    struct pv_storeop_result res[3];
    pv_coordstore_run(s, ops, res, 3); /* the second takes a place that is taken */
    assert_int_equal(res[0].status, PV_OK);
    assert_true(res[1].status != PV_OK && res[1].error[0] != '\0');
    assert_int_equal(res[2].status, PV_OK);
    for (size_t i = 0; i < 3; i++)
        pv_storeop_free(ops[i]);
    assert_int_equal(all_of(s).n, 2);
    pv_coordstore_close(s);
}

/* --- kills --------------------------------------------------------------------------------- */

enum {
    ROUNDS = 12,
    AHEAD = 8, /* answers more than the killer waits for: it may run late */
};

/* Stores n members, tells each one that was answered, and waits to be killed. */
static void store_until_killed(int out, uint64_t first, unsigned n_members)
{
    struct pv_coordstore *s = open_ok();
    for (uint64_t i = first; i < first + n_members; i++) {
        struct cw_node n = cw_node_make(world);
        struct pv_storeop *op = member_op(&n, i, 0, 1000000);
        uint8_t hash[PV_STATEMENT_HASH_LEN];
        memcpy(hash, op->rows[0].hash, sizeof(hash));
        if (run(s, op).status != PV_OK || write(out, hash, sizeof(hash)) != (ssize_t)sizeof(hash))
            _exit(1);
    }
    for (;;)
        pause();
}

static void nothing_answered_is_lost_when_it_is_killed_at_any_moment(void **state)
{
    (void)state;
    static uint8_t told[ROUNDS * (ROUNDS + AHEAD)][PV_STATEMENT_HASH_LEN];
    size_t n_told = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(fds[0]);
            world->rng_state.state += round + 1; /* other nodes than in the round before */
            store_until_killed(fds[1], 1000 * (round + 1), round + 1 + AHEAD);
        }
        close(fds[1]);
        /* Killed behind its n-th answer, so at another place of the next operation each time. */
        for (unsigned i = 0; i <= round; i++) {
            assert_int_equal(read(fds[0], told[n_told], PV_STATEMENT_HASH_LEN),
                             PV_STATEMENT_HASH_LEN);
            n_told++;
        }
        kill(pid, SIGKILL);
        while (read(fds[0], told[n_told], PV_STATEMENT_HASH_LEN) == PV_STATEMENT_HASH_LEN)
            n_told++;
        close(fds[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);

        struct pv_coordstore *s = open_ok(); /* checks the whole database */
        struct seen seen = all_of(s);
        for (size_t i = 0; i < n_told; i++) {
            size_t k = 0;
            while (k < seen.n && memcmp(seen.hashes[k], told[i], PV_STATEMENT_HASH_LEN) != 0)
                k++;
            assert_true(k < seen.n);
        }
        pv_coordstore_close(s);
    }
}

/* --- databases that are not right ------------------------------------------------------------ */

static void overwrite(long at, const char *bytes, size_t len)
{
    int fd = open(db_path(), O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    close(fd);
}

static void exec_sql(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void a_damaged_database_is_named_and_left_alone(void **state)
{
    (void)state;
    struct pv_coordstore *s = open_ok();
    struct stat before;
    struct stat after;
    for (uint64_t i = 1; i < 100; i++) {
        struct cw_node n = cw_node_make(world);
        assert_int_equal(run(s, member_op(&n, i, 0, 1000)).status, PV_OK);
    }
    pv_coordstore_close(s);
    char junk[8192];
    memset(junk, 'x', sizeof(junk));
    overwrite(4096, junk, sizeof(junk));
    assert_int_equal(stat(db_path(), &before), 0);
    open_fails(PV_ERR_MALFORMED, "damaged");
    assert_int_equal(stat(db_path(), &after), 0);
    assert_true(before.st_size == after.st_size);
}

static void what_is_no_database_is_named(void **state)
{
    (void)state;
    char junk[4096];
    memset(junk, 'j', sizeof(junk));
    overwrite(0, junk, sizeof(junk));
    open_fails(PV_ERR_MALFORMED, "damaged");
}

static void a_foreign_or_newer_database_is_refused(void **state)
{
    (void)state;
    exec_sql("CREATE TABLE cats(name); PRAGMA application_id = 5;");
    open_fails(PV_ERR_MALFORMED, "not a database of p2pvpn-coordinator");
    assert_int_equal(unlink(db_path()), 0);
    pv_coordstore_close(open_ok());
    exec_sql("PRAGMA user_version = 99");
    open_fails(PV_ERR_UNSUPPORTED, "newer");
}

/* --- disks that fail ------------------------------------------------------------------------- */

static void a_directory_without_rights_is_named(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can become somebody without rights\n");
        return;
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char error[PV_STOREOP_ERROR_MAX] = "";
        struct pv_coordstore *s = NULL;
        if (seteuid(65534) < 0)
            _exit(2);
        int r = pv_coordstore_open_sqlite(&s, dir, error);
        _exit(r == -EACCES && strstr(error, "not writable") != NULL ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- an older version's --------------------------------------------------------------------- */

struct marks {
    size_t n, marked; /* rows, and those that had a mark */
};

static int mark(void *ctx, struct pv_storerow *row)
{
    struct marks *m = ctx;
    m->n++;
    m->marked += row->has_mark ? 1 : 0;
    memset(row->mark, 7, sizeof(row->mark));
    row->has_mark = true;
    return PV_OK;
}

static struct marks load_and_mark(void)
{
    char error[PV_STOREOP_ERROR_MAX];
    struct marks m = {0};
    struct pv_coordstore *s = open_ok();
    assert_int_equal(pv_coordstore_load(s, mark, &m, error), PV_OK);
    pv_coordstore_close(s);
    return m;
}

/* The database as versions without marks made it: it is opened, its rows are there and are marked
 * once. */
static void rows_of_an_older_version_are_kept_and_marked(void **state)
{
    (void)state;
    struct pv_coordstore *s = open_ok();
    assert_int_equal(run(s, network_op(1)).status, PV_OK);
    pv_coordstore_close(s);
    exec_sql("ALTER TABLE statements DROP COLUMN mark");
    struct marks first = load_and_mark(), second = load_and_mark();
    assert_int_equal(first.n, 4);
    assert_int_equal(first.marked, 0);
    assert_int_equal(second.n, 4);
    assert_int_equal(second.marked, 4);
}

/* A network that has more than its part is refused while others are not: the sums are put there, as
 * half a gigabyte of copies would take long. */
static void one_network_leaves_disk_for_others(void **state)
{
    (void)state;
    disk = open_ok();
    assert_int_equal(keep(1, 2, 1, 0, 100), PV_OK);
    exec_sql("UPDATE mail_use SET bytes = 600 << 20");
    assert_int_equal(keep(1, 2, 2, 0, 100), PV_ERR_REFUSED);
    exec_sql("UPDATE mail_use SET bytes = 60 << 20; INSERT INTO mail_use VALUES(x'77', 600 << 20)");
    assert_int_equal(keep(1, 2, 2, 0, 100), PV_OK);
    exec_sql("UPDATE mail_use SET bytes = 1 << 30 WHERE network = x'77'");
    assert_int_equal(keep(1, 2, 3, 0, 100), PV_ERR_REFUSED);
    pv_coordstore_close(disk);
    disk = open_ok(); /* counted anew: what is there */
    assert_int_equal(keep(1, 2, 3, 0, 100), PV_OK);
    uint64_t n = 0;
    assert_int_equal(next(2, &n, false, 0), 1);
    assert_int_equal(next(2, &n, true, 0), 2);
    disk = pv_coordstore_close(disk);
}

/* In a mount namespace of its own: 0 right, 1 wrong, 77 not possible here. */
static int try_full_disk(void)
{
    char path[96];
    static const char block[4096];
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=512k") < 0)
        return 77;
    struct pv_coordstore *s = open_ok();
    struct cw_node n = cw_node_make(world);
    if (run(s, member_op(&n, 1, 0, 1000)).status != PV_OK)
        return 1;
    snprintf(path, sizeof(path), "%s/filler", dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    close(fd);
    int r = PV_OK;
    struct pv_storeop_result res = {0};
    uint64_t i = 2;
    for (; i < 200 && r == PV_OK; i++) {
        n = cw_node_make(world);
        res = run(s, member_op(&n, i, 0, 1000));
        r = res.status;
    }
    if ((r != -ENOSPC && r != -EIO) || res.error[0] == '\0')
        return 1;
    unlink(path);
    n = cw_node_make(world);
    if (run(s, member_op(&n, i, 0, 1000)).status != PV_OK) /* it goes on once there is space */
        return 1;
    bool right = all_of(s).n == (size_t)(i - 1);
    pv_coordstore_close(s);
    return right ? 0 : 1;
}

static void a_full_disk_is_an_answer_and_passes(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can mount a small disk\n");
        return;
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(try_full_disk());
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        print_message("skipped: no mount namespaces here\n");
    else
        assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(what_was_put_is_there_after_a_restart_in_order),
        TEST(an_invite_is_redeemed_as_often_as_it_says),
        TEST(copies_wait_and_have_quotas_in_both_stores),
        TEST(a_network_is_dropped_whole_and_no_other),
        TEST(a_network_may_have_less_room_for_copies),
        TEST(uses_taken_by_repaired_statements_count),
        TEST(of_many_redemptions_in_one_transaction_the_first_win),
        TEST(one_bad_operation_does_not_undo_its_neighbours),
        TEST(nothing_answered_is_lost_when_it_is_killed_at_any_moment),
        TEST(a_damaged_database_is_named_and_left_alone),
        TEST(what_is_no_database_is_named),
        TEST(a_foreign_or_newer_database_is_refused),
        TEST(a_directory_without_rights_is_named),
        TEST(rows_of_an_older_version_are_kept_and_marked),
        TEST(one_network_leaves_disk_for_others),
        TEST(a_full_disk_is_an_answer_and_passes),
#undef TEST
    };
    if (pv_crypto_init() != PV_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
