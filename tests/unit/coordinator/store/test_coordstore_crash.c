/* SPDX-License-Identifier: MIT */
/*
 * The coordinator's database after power cuts: whatever state of its files one may leave, the store
 * starts again, has what it had answered for, and gives nothing out twice.
 */
#include "coordinator/store/store_sqlite.h"
#include "tests/unit/coordinator/core/coord_world.h"
#include "tests/unit/crashdisk.h"
#include "tests/unit/test_dir.h"

enum {
    OPS = 18, /* half of them before the store is closed and opened again */
    LEFT = 2, /* states of a cut that are looked at; PV_SIM_LONG=1: LEFT_LONG */
    LEFT_LONG = 24,
    WALL_S = 1800000000,
    BOX = 3000, /* bytes of a copy */
};

/* The kind of operation number n. */
enum kind {
    REGISTER, /* of a node of its own, by a token for one */
    KEEP,     /* a copy for a receiver of its own */
    COLLECT,  /* takes the copy that the one before kept */
    N_KINDS
};

static char dir[64], after[80];
static struct cw *world; /* makes statements; its coordinator never starts */
static struct cw_keys invites[OPS + 1];
static struct cw_node nodes[OPS + 1], late;
static uint64_t copies[OPS + 1]; /* their numbers */
static size_t answered[OPS + 1]; /* events before the answer to each operation; from 1 */
static size_t begun[OPS + 1];    /* and before its begin */

static struct pv_coordstore *open_in(const char *where)
{
    struct pv_coordstore *s = NULL;
    char error[PV_STOREOP_ERROR_MAX] = "";
    int r = pv_coordstore_open_sqlite(&s, where, error);
    if (r != PV_OK)
        fail_msg("%d %s", r, error);
    return s;
}

/* --- operations ------------------------------------------------------------------------------- */

static struct pv_storeop_result run(struct pv_coordstore *s, struct pv_storeop *op)
{
    struct pv_storeop_result res;
    pv_coordstore_run(s, &op, &res, 1);
    pv_storeop_free(op);
    return res;
}

/* A node redeems the token of operation `op`, as statement number n of the log. */
static struct pv_storeop *register_op(unsigned op, const struct cw_node *node, uint64_t n)
{
    static const uint8_t ip4[4] = {10, 66, 1, 1};
    struct pv_made made =
        cw_member_statement(world, &invites[op], node, (struct cw_claim){"bob", ip4, 0, 1});
    uint8_t receipt[PV_RECEIPT_LEN] = {1};
    struct pv_storeop *out = NULL;
    struct pv_storerow row = {.epoch = 7,
                              .n = n,
                              .statement = pv_made_view(&made),
                              .receipt = pv_view(receipt, sizeof(receipt))};
    memcpy(row.network, world->created.network_id, sizeof(row.network));
    pv_statement_hash(row.statement, row.hash);
    assert_ok(pv_storeop_new(PV_STOREOP_REGISTER, 1, 1000, &out));
    assert_ok(pv_storeop_add(out, &row));
    out->uses = 1;
    memcpy(out->invite, invites[op].pk, sizeof(out->invite));
    memcpy(out->node, node->id.pk, sizeof(out->node));
    return out;
}

static struct pv_storeop *copy_op(enum pv_storeop_kind kind, unsigned op, uint64_t n)
{
    static const uint8_t box[BOX] = {1};
    struct pv_storeop *out = NULL;
    struct pv_storeop_copy m = {
        .network = {1}, .from = {7}, .to = {(uint8_t)op}, .key = {(uint8_t)op}, .wall_s = WALL_S};
    m.n = n;
    m.after = 0;
    assert_ok(pv_storeop_new_copy(kind, &m, pv_view(box, kind == PV_STOREOP_KEEP ? BOX : 0), &out));
    return out;
}

/* The number of the copy that waits for the receiver of operation `op`; 0: none. With n it drops
 * that one first. */
static uint64_t collect(struct pv_coordstore *s, unsigned op, uint64_t n)
{
    struct pv_storeop_result res = run(s, copy_op(PV_STOREOP_COLLECT, op, n));
    assert_ok(res.status);
    uint64_t got = res.collected == NULL ? 0 : res.collected->n;
    if (res.collected != NULL)
        assert_int_equal(res.collected->len, BOX);
    free(res.collected);
    return got;
}

static void do_one(struct pv_coordstore *s, unsigned op)
{
    begun[op] = crash.n;
    if (op % N_KINDS == REGISTER) {
        assert_ok(run(s, register_op(op, &nodes[op], op)).status);
    } else if (op % N_KINDS == KEEP) {
        assert_ok(run(s, copy_op(PV_STOREOP_KEEP, op, 0)).status);
        answered[op] = crash.n;
        copies[op] = collect(s, op, 0);
        assert_true(copies[op] != 0);
        return;
    } else {
        assert_int_equal(collect(s, op - 1, copies[op - 1]), 0);
    }
    answered[op] = crash.n;
}

/* --- what has to be there --------------------------------------------------------------------- */

struct seen {
    unsigned n[OPS + 1];
};

static int see(void *ctx, struct pv_storerow *row)
{
    struct seen *s = ctx;
    assert_true(row->n <= OPS);
    s->n[row->n]++;
    return PV_OK;
}

/* A member that was told so is one, and its token is used up; the others' is not. */
static void check_members(struct pv_coordstore *s, size_t cut)
{
    char error[PV_STOREOP_ERROR_MAX];
    struct seen seen = {0};
    assert_ok(pv_coordstore_load(s, see, &seen, error));
    for (unsigned op = 1; op <= OPS; op++) {
        if (op % N_KINDS != REGISTER)
            continue;
        assert_true(seen.n[op] <= 1);
        if (cut >= answered[op])
            assert_int_equal(seen.n[op], 1);
        if (cut <= begun[op])
            assert_int_equal(seen.n[op], 0);
        int r = run(s, register_op(op, &late, 1000 + op)).status;
        assert_int_equal(r, seen.n[op] != 0 ? PV_ERR_EXPIRED : PV_OK);
    }
}

/* A copy that was kept waits until it was taken, and no longer. */
static void check_copies(struct pv_coordstore *s, size_t cut)
{
    for (unsigned op = KEEP; op < OPS; op += N_KINDS) {
        uint64_t waits = collect(s, op, 0);
        if (cut >= answered[op] && cut <= begun[op + 1])
            assert_int_equal(waits, copies[op]);
        if (cut >= answered[op + 1] || cut <= begun[op])
            assert_int_equal(waits, 0);
    }
}

static void check_state(size_t cut, unsigned left)
{
    snprintf(after, sizeof(after), "%s.after", dir);
    assert_int_equal(mkdir(after, 0700), 0);
    crash_make(after, cut, left);
    struct pv_coordstore *s = open_in(after);
    check_members(s, cut);
    check_copies(s, cut);
    pv_coordstore_close(s);
    crash_check_whole(after, "coordinator.db");
    assert_int_equal(test_dir_remove(after), 0);
}

/* --- the test --------------------------------------------------------------------------------- */

PV_TEST(nothing_answered_is_lost_or_given_out_twice_after_a_power_cut)
{
    crash_begin(dir);
    struct pv_coordstore *s = open_in(dir);
    for (unsigned op = 1; op <= OPS; op++) {
        if (op == OPS / 2) {
            pv_coordstore_close(s);
            s = open_in(dir);
        }
        do_one(s, op);
    }
    pv_coordstore_close(s);
    crash_end();
    assert_true(crash.n > 5 * OPS);
    unsigned n_left = getenv("PV_SIM_LONG") != NULL ? LEFT_LONG : LEFT;
    for (size_t cut = 0; cut <= crash.n; cut++) {
        for (unsigned left = 0; left < n_left; left++)
            if (!crash_is_next(cut, left))
                check_state(cut, left);
    }
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/pvcrash.XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    world = cw_new(1);
    cw_make_network(world);
    late = cw_node_make(world);
    for (unsigned op = 1; op <= OPS; op++) {
        invites[op] = cw_keys_make(world);
        nodes[op] = cw_node_make(world);
    }
    return 0;
}

static int teardown(void **state)
{
    crash_end();
    crash_forget();
    (void)test_dir_remove(after);
    (void)test_dir_remove(dir);
    return test_teardown(state); /* the world */
}

PV_TEST_WORLD(setup, teardown);

void test_begin(void)
{
    crash_init();
}
