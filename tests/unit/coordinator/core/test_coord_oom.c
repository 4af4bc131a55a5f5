/* SPDX-License-Identifier: MIT */
/*
 * A network's indexes without memory: what the store has is taken in later, and answered then. Each
 * of their allocations fails in turn. The source is included so that they can be made to fail.
 */
#include <stdlib.h>

static unsigned countdown; /* 0 = never fail; else the allocation that fails, counted down */

static int fails(void)
{
    return countdown > 0 && --countdown == 0;
}
static void *try_malloc(size_t n)
{
    return fails() ? NULL : malloc(n);
}
static void *try_calloc(size_t n, size_t size)
{
    return fails() ? NULL : calloc(n, size);
}
static void *try_realloc(void *p, size_t n)
{
    return fails() ? NULL : realloc(p, n);
}
#define malloc  try_malloc
#define calloc  try_calloc
#define realloc try_realloc
/* clang-format off */
#include "coordinator/core/member/cnet.c"
/* clang-format on */
#undef malloc
#undef calloc
#undef realloc

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
    struct pv_ctl_msg *m = cw_take(c, id);
    assert_int_equal(m->type, PV_CTL_RECEIPTS);
    for (size_t i = 0; i < m->u.receipts.n; i++)
        assert_int_equal(m->u.receipts.results[i].error, PV_CTL_E_NONE);
    pv_ctl_msg_free(m);
    return failed;
}

static void expect_all(struct cw *w)
{
    struct cw_node bob = cw_node_make(w);
    struct cw_keys invite = cw_invite(w, cw_member(w, &w->alice), 1);
    cw_join(w, &invite, &bob, "bob");
}

static void a_network_is_created_when_there_is_memory_again(void **state)
{
    (void)state;
    unsigned n = 0;
    bool failed = true;
    while (failed) {
        struct pv_ctl_item items[4];
        struct cw *w = cw_new(++n);
        cw_start(w);
        cw_make_network(w);
        struct cw_client *c = cw_login(w, &w->alice, NULL, PV_CTL_GUEST);
        failed = is_taken(w, c, cw_create_msg(w, items), n);
        expect_all(w);
    }
    assert_true(n > 3); /* a place in the log, one among the admins, another */
}

static void an_invite_is_good_when_there_is_memory_again(void **state)
{
    (void)state;
    unsigned n = 0;
    bool failed = true;
    while (failed) {
        struct pv_made made;
        struct pv_st_invite st = {.not_before = CW_WALL, .not_after = CW_WALL + 86400, .uses = 1};
        struct cw *w = cw_new(++n);
        cw_start(w);
        cw_create(w);
        struct cw_keys invite = cw_keys_make(w);
        struct cw_node bob = cw_node_make(w);
        memcpy(st.invite, invite.pk, sizeof(st.invite));
        assert_int_equal(pv_make_invite(w->created.network_id, w->alice.id.sk, &st, &made), PV_OK);
        struct pv_ctl_item item = cw_item(pv_made_view(&made));
        struct pv_ctl_msg put = {.type = PV_CTL_PUT, .u.put = {.n = 1, .items = &item}};
        failed = is_taken(w, cw_member(w, &w->alice), put, n);
        cw_join(w, &invite, &bob, "bob");
        expect_all(w);
    }
    assert_true(n > 2); /* the invite, and the table */
}

/* Those who came by one invite, more than there are places for from the start. */
static void everybody_who_is_removed_is_dropped(void **state)
{
    enum {
        GUESTS = 20
    };
    (void)state;
    unsigned n = 0;
    bool failed = true;
    while (failed) {
        struct cw_client *guests[GUESTS];
        struct pv_made_long made;
        struct cw *w = cw_new(++n);
        cw_start(w);
        cw_create(w);
        struct cw_client *alice = cw_member(w, &w->alice);
        struct cw_keys invite = cw_invite(w, alice, GUESTS);
        for (unsigned i = 0; i < GUESTS; i++) {
            struct cw_node guest = cw_node_make(w);
            char name[16];
            snprintf(name, sizeof(name), "guest%u", i);
            cw_join(w, &invite, &guest, name);
            guests[i] = cw_member(w, &guest);
        }
        struct pv_statement st = {.type = PV_ST_REVOCATION,
                                  .u.revocation = {.kind = PV_REVOKE_INVITE, .time = CW_WALL}};
        memcpy(st.network_id, w->created.network_id, sizeof(st.network_id));
        memcpy(st.u.revocation.pk, invite.pk, sizeof(st.u.revocation.pk));
        assert_int_equal(
            pv_statement_make(&st, w->alice.id.sk, NULL, made.raw, sizeof(made.raw), &made.len),
            PV_OK);
        struct pv_ctl_item item = cw_item(pv_view(made.raw, made.len));
        struct pv_ctl_msg put = {.type = PV_CTL_PUT, .u.put = {.n = 1, .items = &item}};
        failed = is_taken(w, alice, put, n);
        for (unsigned i = 0; i < GUESTS; i++)
            assert_true(guests[i]->closed);
    }
    assert_true(n > 2); /* the list of those who went grows twice */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_is_created_when_there_is_memory_again),
        cmocka_unit_test(an_invite_is_good_when_there_is_memory_again),
        cmocka_unit_test(everybody_who_is_removed_is_dropped),
    };
    if (pv_crypto_init() != PV_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
