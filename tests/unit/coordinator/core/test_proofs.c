/* SPDX-License-Identifier: MIT */
/* The proofs of newcomers, while the core's owner works on them: what comes meanwhile waits, and a
 * connection that ends meanwhile leaves nothing behind. The source is included so that memory can
 * be made to fail.
 */
#include <stdbool.h>
#include <stdlib.h>

static bool no_memory;

static void *try_calloc(size_t n, size_t size)
{
    return no_memory ? NULL : calloc(n, size);
}
#define calloc try_calloc
/* clang-format off */
#include "coordinator/core/proofs.c"
/* clang-format on */
#undef calloc

#include "coord_world.h"

PV_TEST_WORLD(cw_owner_proves, NULL);

/* A network, whose next newcomers wait. */
static struct cw *world(void)
{
    struct cw *w = cw_new(11);
    cw_start(w);
    cw_create(w);
    w->hold_proofs = true;
    return w;
}

static struct pv_coord_stats stats(const struct cw *w)
{
    struct pv_coord_stats st;
    pv_coord_stats(w->coord, &st);
    return st;
}

/* Connected, and its handshake done. */
static struct cw_client *shaken(struct cw *w)
{
    struct cw_client *c = cw_connect(w, &w->alice);
    assert_int_equal(w->n_proofs, 1);
    cw_release_proofs(w);
    assert_int_equal(pv_control_state(c->control), PV_CONTROL_READY);
    return c;
}

static uint64_t say_hello(struct cw *w, struct cw_client *c)
{
    uint64_t id = cw_send(c, cw_hello(c, &w->alice, w->created.network_id, PV_CTL_MEMBER));
    cw_pump(w);
    return id;
}

static void expect_answer(struct cw_client *c, uint64_t id, enum pv_ctl_type type)
{
    struct pv_ctl_msg *m = cw_take(c, id);
    assert_non_null(m);
    assert_int_equal(m->type, type);
    pv_ctl_msg_free(m);
}

PV_TEST(a_newcomer_proves_twice_and_waits_for_each)
{
    struct cw *w = world();
    struct cw_client *c = cw_connect(w, &w->alice);
    assert_int_equal(pv_coord_proofs(w->coord), 1);
    assert_false(pv_coord_wants_bytes(w->coord, c->conn));
    assert_int_equal(pv_coord_out(w->coord, c->conn).len, 0);
    assert_int_equal(pv_control_state(c->control), PV_CONTROL_OPENING);
    cw_release_proofs(w);
    assert_int_equal(pv_control_state(c->control), PV_CONTROL_READY);
    assert_true(pv_coord_wants_bytes(w->coord, c->conn));
    assert_int_equal(pv_coord_proofs(w->coord), 0);

    uint64_t requests = stats(w).requests;
    uint64_t id = say_hello(w, c);
    assert_int_equal(w->n_proofs, 1);
    assert_null(cw_take(c, id));
    assert_int_equal(stats(w).online, 0);
    cw_release_proofs(w);
    expect_answer(c, id, PV_CTL_WELCOME);
    assert_int_equal(stats(w).online, 1);
    assert_int_equal(stats(w).requests, requests + 1);
    assert_int_equal(pv_coord_proofs(w->coord), 0);
}

/* A client may send its first requests behind hello. */
PV_TEST(a_request_behind_a_hello_is_answered_behind_it)
{
    struct cw *w = world();
    struct cw_client *c = shaken(w);
    uint64_t hello = cw_send(c, cw_hello(c, &w->alice, w->created.network_id, PV_CTL_MEMBER));
    uint64_t ping = cw_send(c, (struct pv_ctl_msg){.type = PV_CTL_PING});
    cw_pump(w);
    assert_int_equal(w->n_proofs, 1);
    assert_int_equal(c->n_inbox, 0);
    assert_false(pv_coord_wants_bytes(w->coord, c->conn));
    cw_release_proofs(w);
    assert_int_equal(c->inbox[0]->id, hello);
    expect_answer(c, hello, PV_CTL_WELCOME);
    expect_answer(c, ping, PV_CTL_PONG);
}

/* Nothing can come behind the handshake that is worth reading, as its keys are not known yet. */
PV_TEST(junk_behind_a_handshake_ends_the_connection_after_it)
{
    uint8_t bytes[256] = {0};
    struct pv_control *client;
    struct pv_addr src = pv_addr4(198, 51, 100, 8, 40000);
    struct pv_coord_ready ready;
    struct cw *w = world();
    assert_int_equal(pv_control_new_client(&client, PV_CONTROL_QUIET, w->alice.transport_sk,
                                           w->coordinator_dh, &w->rng),
                     PV_OK);
    struct pv_view out = pv_control_out(client);
    memcpy(bytes, out.ptr, out.len);
    pv_control_free(client);
    assert_int_equal(pv_coord_accept(w->coord, 900, &src, w->now), PV_OK);
    uint64_t failed = stats(w).failed;
    pv_coord_handle_bytes(w->coord, 900, pv_view(bytes, sizeof(bytes)), w->now);
    cw_pump(w);
    assert_int_equal(w->n_proofs, 1);
    assert_int_equal(stats(w).failed, failed);
    pv_coord_proof_run(w->proofs[--w->n_proofs]);
    pv_coord_handle_proof(w->coord, w->proofs[0], w->now);
    assert_int_equal(pv_coord_poll_ready(w->coord, &ready, w->now), PV_OK);
    assert_int_equal(ready.kind, PV_COORD_READY_CLOSE);
    assert_int_equal(stats(w).failed, failed + 1);
}

PV_TEST(a_wrong_handshake_ends_the_connection)
{
    struct cw *w = world();
    w->coordinator_dh[5] ^= 1; /* it wants another coordinator */
    struct cw_client *c = cw_connect(w, &w->alice);
    uint64_t failed = stats(w).failed;
    cw_release_proofs(w);
    assert_true(c->closed);
    assert_int_equal(stats(w).failed, failed + 1);
    assert_int_equal(stats(w).conns, 0);
}

PV_TEST(a_forged_hello_is_refused)
{
    struct cw *w = world();
    struct cw_client *c = shaken(w);
    struct pv_ctl_msg m = cw_hello(c, &w->alice, w->created.network_id, PV_CTL_MEMBER);
    m.u.hello.sig[3] ^= 1;
    uint64_t id = cw_send(c, m);
    cw_pump(w);
    cw_release_proofs(w);
    struct pv_ctl_msg *answer = cw_take(c, id);
    assert_non_null(answer);
    assert_int_equal(answer->u.failure.error, PV_CTL_E_BAD_SIGNATURE);
    pv_ctl_msg_free(answer);
    assert_true(c->closed);
    assert_int_equal(stats(w).online, 0);
}

/* Others' proofs are good for none but their own connection, in whatever order they come back. */
PV_TEST(each_proof_counts_for_its_own_connection)
{
    struct cw *w = world();
    struct cw_client *forger = shaken(w), *honest = shaken(w);
    struct pv_ctl_msg m = cw_hello(forger, &w->alice, w->created.network_id, PV_CTL_MEMBER);
    m.u.hello.sig[0] ^= 1;
    uint64_t forged = cw_send(forger, m);
    cw_pump(w);
    uint64_t id = say_hello(w, honest);
    assert_int_equal(w->n_proofs, 2);
    cw_release_proofs(w);
    expect_answer(forger, forged, PV_CTL_ERROR);
    expect_answer(honest, id, PV_CTL_WELCOME);
}

/* hello: whether it is the second of both that is under way. */
static struct cw_client *under_way(struct cw *w, bool hello)
{
    struct cw_client *c = hello ? shaken(w) : cw_connect(w, &w->alice);
    if (hello)
        (void)say_hello(w, c);
    assert_int_equal(w->n_proofs, 1);
    return c;
}

PV_TEST(a_connection_that_is_closed_leaves_nothing)
{
    for (int hello = 0; hello < 2; hello++) {
        struct cw *w = world();
        struct cw_client *c = under_way(w, hello != 0);
        cw_hang_up(w, c);
        assert_int_equal(stats(w).conns, 0);
        cw_release_proofs(w);
        assert_int_equal(pv_coord_proofs(w->coord), 0);
        assert_int_equal(stats(w).online, 0);
    }
}

PV_TEST(a_connection_that_took_too_long_is_closed_meanwhile)
{
    for (int hello = 0; hello < 2; hello++) {
        struct cw *w = world();
        struct cw_client *c = under_way(w, hello != 0);
        cw_sleep(w, PV_S(PV_COORD_HELLO_S + PV_COORD_LINGER_S + 1));
        assert_true(c->closed);
        assert_int_equal(stats(w).conns, 0);
        cw_release_proofs(w);
        assert_int_equal(stats(w).online, 0);
    }
}

/* The last message has not been written yet when the proof comes back. */
PV_TEST(a_shutdown_ends_connections_meanwhile)
{
    for (int hello = 0; hello < 2; hello++) {
        struct cw *w = world();
        struct cw_client *c = under_way(w, hello != 0);
        pv_coord_shutdown(w->coord, w->now);
        cw_release_proofs(w);
        assert_true(c->closed);
        assert_int_equal(stats(w).online, 0);
        assert_int_equal(stats(w).conns, 0);
    }
}

/* The sanitizer says whether anything is left. */
PV_TEST(the_end_comes_while_some_are_under_way)
{
    struct cw *w = world();
    (void)under_way(w, true);
    (void)cw_connect(w, &w->alice);
    assert_int_equal(w->n_proofs, 2);
    struct cw_client *c = calloc(1, sizeof(*c)); /* one more, which nobody polls */
    assert_non_null(c);
    c->conn = w->next_conn++;
    struct pv_addr src = pv_addr4(198, 51, 100, 9, 40000);
    assert_int_equal(pv_control_new_client(&c->control, PV_CONTROL_QUIET, w->alice.transport_sk,
                                           w->coordinator_dh, &w->rng),
                     PV_OK);
    assert_int_equal(pv_coord_accept(w->coord, c->conn, &src, w->now), PV_OK);
    w->clients[w->n_clients++] = c;
    assert_true(cw_to_coord(w, c));
    assert_int_equal(pv_coord_proofs(w->coord), 3);
}

PV_TEST(without_memory_the_core_works_itself)
{
    struct cw *w = world();
    no_memory = true;
    struct cw_client *c = cw_connect(w, &w->alice);
    assert_int_equal(pv_control_state(c->control), PV_CONTROL_READY);
    uint64_t id = say_hello(w, c);
    no_memory = false;
    assert_int_equal(w->n_proofs, 0);
    expect_answer(c, id, PV_CTL_WELCOME);
}
