/* SPDX-License-Identifier: MIT */
/*
 * A network's indexes without memory: what the store has is taken in later, and answered then. Each
 * of their allocations fails in turn. The source is included so that they can be made to fail.
 */

/* clang-format off */
#include "tests/unit/no_memory.h"
#include "coordinator/core/member/cnet.c"
#include "tests/unit/memory_again.h"
/* clang-format on */

#include "coordinator/core/member/home.h"
#include "tests/unit/coordinator/core/coord_world.h"

/* The answer to a message whose n-th allocation failed while what the store has was taken in. False
 * and no more faults: there are fewer. */
static bool is_taken(struct cw *w, struct cw_client *c, struct pv_ctl_msg msg, unsigned n)
{
    w->hold_jobs = true;
    uint64_t id = cw_send(c, msg);
    cw_pump(w);
    countdown = n;
    cw_release(w, false);
    bool failed = countdown == 0;
    countdown = 0;
    cw_sleep(w, PV_S(2));
    struct pv_ctl_msg *m = cw_answer(c, id, PV_CTL_RECEIPTS);
    for (size_t i = 0; i < m->u.receipts.n; i++)
        assert_int_equal(m->u.receipts.results[i].error, PV_CTL_E_NONE);
    return failed;
}

static void expect_all(struct cw *w)
{
    (void)cw_invited(w, cw_member(w, &w->alice), "bob");
}

PV_TEST(a_network_is_created_when_there_is_memory_again)
{
    unsigned n = 0;
    bool failed = true;
    while (failed) {
        struct pv_ctl_item items[4];
        struct cw *w = cw_new(++n);
        struct cw_client *c = cw_creator(w);
        failed = is_taken(w, c, cw_create_msg(w, items), n);
        expect_all(w);
    }
    assert_true(n > 3); /* a place in the log, one among the admins, another */
}

PV_TEST(an_invite_is_good_when_there_is_memory_again)
{
    unsigned n = 0;
    bool failed = true;
    while (failed) {
        struct cw *w = cw_home(++n);
        struct cw_keys invite = cw_keys_make(w);
        struct pv_made made = cw_make_invite(w, &invite, 1);
        struct pv_ctl_item item = cw_item(pv_made_view(&made));
        failed = is_taken(w, cw_member(w, &w->alice), cw_put_msg(&item, 1), n);
        (void)cw_joined(w, &invite, "bob");
        expect_all(w);
    }
    assert_true(n > 2); /* the invite, and the table */
}

/* Those who came by one invite, more than there are places for from the start. */
PV_TEST(everybody_who_is_removed_is_dropped)
{
    enum {
        APPLICANTS = 20
    };
    unsigned n = 0;
    bool failed = true;
    while (failed) {
        struct cw_client *applicants[APPLICANTS];
        struct cw *w = cw_home(++n);
        struct cw_client *alice = cw_member(w, &w->alice);
        struct cw_keys invite = cw_invite(w, alice, APPLICANTS);
        for (unsigned i = 0; i < APPLICANTS; i++) {
            struct cw_node applicant = cw_joined(w, &invite, "applicant");
            applicants[i] = cw_member(w, &applicant);
        }
        struct pv_ctl_item item = cw_item(cw_revocation(w, PV_REVOKE_INVITE, invite.pk));
        failed = is_taken(w, alice, cw_put_msg(&item, 1), n);
        for (unsigned i = 0; i < APPLICANTS; i++)
            assert_true(applicants[i]->closed);
    }
    assert_true(n > 2); /* the list of those who went grows twice */
}

/* All rows of the store. */
static struct pv_storeop *all_rows(const struct cw *w)
{
    struct pv_storeop *all = NULL;
    size_t n = 0;
    for (size_t i = 0; i < w->n_rows; i++)
        n += w->rows[i]->n_rows;
    assert_ok(pv_storeop_new(PV_STOREOP_PUT, n, n * 4096, &all));
    for (size_t i = 0; i < w->n_rows; i++)
        for (size_t k = 0; k < w->rows[i]->n_rows; k++)
            assert_ok(pv_storeop_add(all, &w->rows[i]->rows[k]));
    return all;
}

/* Another coordinator with the same store begins with nothing. */
static void start_empty(struct cw *w)
{
    size_t n_rows = w->n_rows;
    cw_drop_clients(w);
    pv_coord_free(w->coord);
    w->cfg.homes = true;
    w->n_rows = 0;
    cw_start(w);
    w->n_rows = n_rows;
}

/* The coordinator becomes the home of the network that somebody knocks for; its n-th allocation
 * fails then. False: there are fewer. */
static bool take_home(struct cw *w, unsigned n)
{
    struct cw_client *c = cw_connect(w, &w->alice);
    w->hold_jobs = true;
    cw_pump(w);
    (void)cw_send(c, cw_hello_member(w, c, &w->alice));
    cw_pump(w);
    assert_int_equal(w->n_jobs, 1);
    assert_int_equal(w->jobs[0]->kind, PV_STOREOP_HOME);
    struct pv_home_answer a = {
        .verdict = PV_HOME_TAKE, .fence = 1, .epoch = 99, .rows = all_rows(w)};
    const struct pv_storeop_result res = {.id = w->jobs[0]->id, .home = &a};
    countdown = n;
    pv_coord_handle_job(w->coord, &res, w->now);
    bool failed = countdown == 0;
    countdown = 0;
    pv_storeop_free(a.rows);
    cw_pump(w);
    cw_sleep(w, PV_S(2));
    return failed;
}

static void count_members(void *ctx, const struct pv_coord_network *net)
{
    *(uint64_t *)ctx = net->members;
}

/* A network of which rows are missing would let in whom it has removed. */
PV_TEST(a_home_is_taken_whole_or_not_at_all)
{
    unsigned n = 0, n_refused = 0;
    bool failed = true;
    while (failed) {
        uint64_t members = 0;
        struct cw *w = cw_home(++n);
        expect_all(w);
        start_empty(w);
        failed = take_home(w, n);
        pv_coord_networks(w->coord, w->now, count_members, &members);
        assert_true(members == (pv_coord_n_homes(w->coord) == 0 ? 0 : 2));
        n_refused += members == 0;
    }
    assert_true(n_refused > 0 && n_refused < n);
}
