/* SPDX-License-Identifier: MIT */
/* The threads that work on what newcomers prove, with the core on this one: everybody comes in, and
 * the end may come while some are under way. */
#include <poll.h>

#include "coordinator/server_int.h"
#include "sys/proc/entropy.h"
#include "sys/proc/worker.h"
#include "tests/unit/coordinator/core/coord_world.h"

enum {
    NEWCOMERS = 80, /* more than one thread may have under way */
};

/* The shell, with no more of it than these threads need. */
struct world {
    struct cw *w;
    struct pv_coordserver s;
    size_t most; /* pieces under way at once */
    bool full;   /* once there were as many as there may be */
};

static void done(void *ctx)
{
    struct world *t = ctx;
    pv_server_end_prover(&t->s);
    pv_loop_free(t->s.loop);
    free(t);
}

/* Without a second processor there are no threads, and nothing to test. */
static struct world *make_world(void)
{
    struct world *t = calloc(1, sizeof(*t));
    assert_non_null(t);
    t->w = cw_new(21);
    t->w->rng = pv_entropy();
    cw_start(t->w);
    cw_create(t->w);
    t->s.coord = t->w->coord;
    test_defer(done, t); /* before the core is freed */
    assert_int_equal(pv_loop_new(&t->s.loop), PV_OK);
    assert_int_equal(pv_server_start_prover(&t->s), PV_OK);
    if (t->s.prover == NULL)
        skip();
    return t;
}

/* They come in without a word; what they say goes by cw_to_coord(). */
static void connect_all(struct world *t)
{
    struct cw *w = t->w;
    for (int i = 0; i < NEWCOMERS; i++) {
        struct pv_addr src = pv_addr4(198, 51, 100, 7, (uint16_t)(40000 + i));
        struct cw_client *c = calloc(1, sizeof(*c));
        assert_non_null(c);
        w->clients[w->n_clients++] = c;
        c->conn = w->next_conn++;
        c->next_id = 1;
        assert_int_equal(pv_control_new_client(&c->control, PV_CONTROL_QUIET, w->alice.transport_sk,
                                               w->coordinator_dh, &w->rng),
                         PV_OK);
        assert_int_equal(pv_coord_accept(w->coord, c->conn, &src, w->now), PV_OK);
    }
}

static bool is_welcome(const struct cw_client *c)
{
    for (size_t i = 0; i < c->n_inbox; i++)
        if (c->inbox[i]->type == PV_CTL_WELCOME)
            return true;
    return false;
}

/* Says hello as a guest once the handshake is done. */
static void go_on(struct world *t, struct cw_client *c)
{
    if (c->next_id == 1 && pv_control_state(c->control) == PV_CONTROL_READY)
        (void)cw_send(c, cw_hello(c, &t->w->alice, t->w->created.network_id, PV_CTL_GUEST));
    if (!pv_server_prover_is_full(&t->s))
        (void)cw_to_coord(t->w, c);
    while (cw_from_coord(t->w, c))
        continue;
}

/* One turn of the shell's. The loop ends when everybody has been welcomed. */
static pv_ns turn(void *ctx, pv_ns now)
{
    struct world *t = ctx;
    struct pv_coord_ready ready;
    size_t welcome = 0;
    for (size_t i = 0; i < t->w->n_clients; i++) {
        go_on(t, t->w->clients[i]);
        welcome += is_welcome(t->w->clients[i]) ? 1 : 0;
    }
    size_t n = pv_coord_proofs(t->w->coord);
    t->most = n > t->most ? n : t->most;
    t->full |= pv_server_prover_is_full(&t->s);
    pv_server_submit_proofs(&t->s, now);
    while (pv_coord_poll_ready(t->w->coord, &ready, now) == PV_OK)
        assert_int_equal(ready.kind, PV_COORD_READY_IO);
    if (welcome == NEWCOMERS)
        pv_loop_stop(t->s.loop);
    return pv_coord_proofs(t->w->coord) == 0 ? now : PV_NEVER; /* else the threads wake it */
}

PV_TEST(everybody_comes_in)
{
    struct world *t = make_world();
    connect_all(t);
    pv_loop_run(t->s.loop, &(struct pv_loop_owner){.turn = turn, .ctx = t});
    assert_int_equal(pv_coord_proofs(t->w->coord), 0);
    assert_true(t->most <= t->s.proofs_max);
    assert_true(t->full || t->s.proofs_max >= NEWCOMERS);
}

PV_TEST(the_end_comes_while_some_are_under_way)
{
    struct world *t = make_world();
    connect_all(t);
    for (size_t i = 0; i < t->w->n_clients; i++)
        go_on(t, t->w->clients[i]);
    assert_true(pv_coord_proofs(t->w->coord) > 0);
    pv_server_submit_proofs(&t->s, t->w->now);
}

/* The last one that there is room for, and one more: the core's thread does that itself. */
PV_TEST(proofs_beyond_the_limit_are_done_here)
{
    struct world *t = make_world();
    struct cw *w = t->w;
    size_t ready = 0;
    connect_all(t);
    for (size_t i = 0; i < w->n_clients; i++)
        (void)cw_to_coord(w, w->clients[i]);
    size_t before = pv_coord_proofs(w->coord);
    assert_int_equal(before, NEWCOMERS);
    pv_server_submit_proofs(&t->s, w->now);
    for (size_t i = 0; i < w->n_clients; i++)
        ready += pv_coord_out(w->coord, w->clients[i]->conn).len > 0 ? 1 : 0;
    assert_int_equal(ready, before > t->s.proofs_max ? before - t->s.proofs_max : 0);
    assert_int_equal(pv_coord_proofs(w->coord), before - ready);
}

/* Threads and this one share the work, whoever comes first; nothing is done twice or forgotten. */
PV_TEST(a_turn_with_nothing_else_to_do_helps)
{
    struct world *t = make_world();
    struct cw *w = t->w;
    size_t ready = 0;
    connect_all(t);
    for (size_t i = 0; i < w->n_clients; i++)
        (void)cw_to_coord(w, w->clients[i]);
    pv_server_submit_proofs(&t->s, w->now);
    size_t before = pv_coord_proofs(w->coord);
    t->s.more = true; /* somebody waits */
    pv_server_help_prover(&t->s, w->now);
    assert_int_equal(pv_coord_proofs(w->coord), before);
    while (pv_coord_proofs(w->coord) > 0) {
        struct pollfd p = {.fd = pv_worker_fd(t->s.prover), .events = POLLIN};
        void *item;
        t->s.more = false;
        pv_server_help_prover(&t->s, w->now);
        while (pv_worker_take(t->s.prover, &item) == PV_OK)
            pv_coord_handle_proof(w->coord, item, w->now);
        if (pv_coord_proofs(w->coord) > 0 && !t->s.more) /* the threads have the rest */
            assert_int_equal(poll(&p, 1, 60000), 1);
    }
    for (size_t i = 0; i < w->n_clients; i++)
        ready += pv_coord_out(w->coord, w->clients[i]->conn).len > 0 ? 1 : 0;
    assert_int_equal(ready, NEWCOMERS);
}
