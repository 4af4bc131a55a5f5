/* SPDX-License-Identifier: MIT */
/* Statements on their way to many members: in rounds, after everything urgent. */
#include "base/bytes.h"
#include "coord_world.h"
#include "coordinator/core/copies.h"
#include "coordinator/core/member/home.h"
#include "coordinator/core/pages.h"

enum {
    MEMBERS = 8, /* beside alice */
};

struct bulk_net {
    struct cw *w;
    struct cw_client *alice;
    struct cw_node nodes[MEMBERS];
    struct cw_client *clients[MEMBERS];
};

/* Everybody is online and has the whole log. */
static struct bulk_net bulk_net(uint64_t seed)
{
    struct bulk_net n = {.w = cw_new(seed)};
    n.alice = cw_open(n.w);
    struct cw_keys invite = cw_invite(n.w, n.alice, MEMBERS);
    for (size_t i = 0; i < MEMBERS; i++)
        n.nodes[i] = cw_joined(n.w, &invite, "x");
    for (size_t i = 0; i < MEMBERS; i++) {
        n.clients[i] = cw_member(n.w, &n.nodes[i]);
        (void)cw_pull(n.w, n.clients[i]);
        cw_client_forget(n.clients[i]);
    }
    return n;
}

/* The coordinator hears all that this client has sent, and has answered nothing yet. */
static void deliver(struct bulk_net *n, struct cw_client *from)
{
    while (cw_to_coord(n->w, from))
        ;
}

/* Another invite is stored, and nobody was told yet. */
static void put_invite(struct bulk_net *n)
{
    struct cw_keys keys = cw_keys_make(n->w);
    struct pv_made made = cw_make_invite(n->w, &keys, 1);
    struct pv_storeop *op = NULL;
    (void)cw_send_put(n->alice, pv_made_view(&made));
    deliver(n, n->alice);
    assert_ok(pv_coord_poll_job(n->w->coord, &op));
    cw_serve(n->w, op);
}

/* Everything urgent, and then one message with statements; for which connection. */
static uint64_t next_bulk(struct bulk_net *n)
{
    struct pv_coord_ready ready = {.bulk = false};
    while (!ready.bulk)
        assert_ok(pv_coord_poll_ready(n->w->coord, &ready, n->w->now));
    return ready.id;
}

static size_t count_pushes(struct cw_client *c, size_t *ret_items)
{
    struct pv_ctl_msg *m;
    size_t n = 0;
    *ret_items = 0;
    while ((m = cw_take_push(c, PV_CTL_STATEMENTS)) != NULL) {
        *ret_items += m->u.statements.n;
        n++;
    }
    return n;
}

PV_TEST(a_signal_passes_statements_that_wait)
{
    struct bulk_net n = bulk_net(1);
    struct pv_coord_ready ready;
    size_t n_bulk = 0;
    bool receiver_first = false;
    put_invite(&n);
    (void)cw_send(n.clients[0], cw_signal(&n.nodes[1], pv_view("box", 3)));
    deliver(&n, n.clients[0]);
    while (pv_coord_poll_ready(n.w->coord, &ready, n.w->now) == PV_OK) {
        receiver_first |= n_bulk == 0 && ready.id == n.clients[1]->conn;
        if (n_bulk > 0)
            assert_true(ready.bulk);
        n_bulk += ready.bulk ? 1 : 0;
    }
    assert_true(receiver_first);
    assert_int_equal(n_bulk, MEMBERS);
}

PV_TEST(statements_that_come_during_a_round_share_its_messages)
{
    struct bulk_net n = bulk_net(2);
    put_invite(&n);
    uint64_t first = next_bulk(&n);
    put_invite(&n);
    cw_pump(n.w);
    for (size_t i = 0; i < MEMBERS; i++) {
        size_t items = 0, pushes = count_pushes(n.clients[i], &items);
        assert_int_equal(items, 2);
        assert_int_equal(pushes, n.clients[i]->conn == first ? 2 : 1);
    }
}

/* A member that comes or goes in the middle of a round keeps nobody from being told. */
PV_TEST(a_round_survives_its_members)
{
    struct bulk_net n = bulk_net(3);
    for (size_t step = 0; step < MEMBERS / 2; step++) {
        put_invite(&n);
        /* The one that was just told goes, by whom the round's place is known. */
        cw_hang_up(n.w, cw_by_conn(n.w, next_bulk(&n)));
        cw_pump(n.w);
        for (size_t i = 0; i < MEMBERS; i++) {
            size_t items = 0;
            (void)count_pushes(n.clients[i], &items);
            assert_int_equal(items, n.clients[i]->closed ? 0 : 1);
        }
    }
}

/* Two requests for pages at once are answered one after the other, each from where it stands. */
PV_TEST(pages_are_answered_one_by_one)
{
    struct bulk_net n = bulk_net(4);
    struct pv_ctl_msg all = {.type = PV_CTL_PULL};
    uint64_t first = cw_send(n.clients[0], all);
    struct pv_ctl_msg *m = cw_ask(n.w, n.clients[1], all, PV_CTL_STATEMENTS);
    size_t total = m->u.statements.n;
    struct pv_ctl_msg end = {.type = PV_CTL_PULL, .u.pull = m->u.statements.have};
    uint64_t second = cw_send(n.clients[0], end);
    uint64_t ping = cw_send(n.clients[0], (struct pv_ctl_msg){.type = PV_CTL_PING});
    cw_pump(n.w);
    m = cw_take(n.clients[0], first);
    assert_int_equal(m->u.statements.n, total);
    m = cw_take(n.clients[0], second);
    assert_int_equal(m->u.statements.n, 0);
    m = cw_answer(n.clients[0], ping, PV_CTL_PONG);
    put_invite(&n);
    cw_pump(n.w);
    assert_int_equal(count_pushes(n.clients[0], &total), 1);
}

/* Members that ask from wherever the log ended for them, as newcomers of a rush do, leave no more
 * pages than the network may have, and each is answered from where it stands. */
PV_TEST(pages_take_no_more_than_their_log)
{
    enum {
        PLACES = 16
    };
    struct bulk_net n = bulk_net(9);
    struct pv_ctl_msg ask[PLACES] = {{.type = PV_CTL_PULL}};
    for (size_t i = 1; i < PLACES; i++) {
        struct pv_ctl_msg *m = cw_ask(n.w, n.clients[0], ask[i - 1], PV_CTL_STATEMENTS);
        ask[i] = (struct pv_ctl_msg){.type = PV_CTL_PULL, .u.pull = m->u.statements.have};
        put_invite(&n);
        cw_pump(n.w);
    }
    const struct pv_pages *pages = pv_coord_pages(n.w->coord);
    size_t log_len = 0;
    for (size_t i = 0; i < PLACES; i++) {
        struct pv_ctl_msg *m = cw_ask(n.w, n.clients[0], ask[i], PV_CTL_STATEMENTS);
        assert_false(m->u.statements.more);
        if (i == 0)
            log_len = m->u.statements.n;
        else
            assert_int_equal(m->u.statements.n, PLACES - i);
        assert_true(pages->bytes > 0 && pages->bytes <= PV_PAGES_SHARE * log_len);
    }
}

/* A member that reads nothing gets what it missed when it reads again. */
PV_TEST(a_member_without_room_is_told_later)
{
    struct bulk_net n = bulk_net(5);
    size_t items = 0, sent = 0;
    struct cw_client *bob = n.clients[0];
    static const uint8_t box[PV_CTL_BOX_MAX];
    bob->frozen = true;
    for (; sent < 8; sent++) {
        uint64_t id = cw_send(n.clients[1], cw_signal(&n.nodes[0], pv_view(box, sizeof(box))));
        cw_pump(n.w);
        if (cw_take(n.clients[1], id)->type != PV_CTL_DONE)
            break;
    }
    assert_true(sent > 0 && sent < 8);
    put_invite(&n);
    cw_pump(n.w);
    assert_int_equal(count_pushes(bob, &items), 0);
    bob->frozen = false;
    cw_pump(n.w);
    assert_int_equal(count_pushes(bob, &items), 1);
    assert_int_equal(items, 1);
}

static void put_many_invites(struct bulk_net *n)
{
    static struct pv_made made[PV_CTL_ITEMS_MAX];
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    for (size_t i = 0; i < PV_CTL_ITEMS_MAX; i++) {
        struct cw_keys keys = cw_keys_make(n->w);
        made[i] = cw_make_invite(n->w, &keys, 1);
        items[i] = cw_item(pv_made_view(&made[i]));
    }
    cw_ask_ok(n->w, n->alice, cw_put_msg(items, PV_CTL_ITEMS_MAX), PV_CTL_RECEIPTS);
}

/* A member that has begun to read the log goes on before others begin. */
PV_TEST(the_member_that_came_first_has_the_whole_log_first)
{
    struct bulk_net n = bulk_net(8);
    struct pv_ctl_msg pull = {.type = PV_CTL_PULL};
    put_many_invites(&n);
    put_many_invites(&n);
    struct cw_client *first = cw_member(n.w, &n.nodes[0]), *second = cw_member(n.w, &n.nodes[1]);
    struct pv_ctl_msg *m = cw_ask(n.w, first, pull, PV_CTL_STATEMENTS);
    assert_true(m->u.statements.more);
    (void)cw_send(second, pull);
    deliver(&n, second);
    pull.u.pull = m->u.statements.have;
    (void)cw_send(first, pull);
    deliver(&n, first);
    assert_int_equal(next_bulk(&n), first->conn);
    assert_int_equal(next_bulk(&n), second->conn);
}

static void put_place(struct bulk_net *n, uint64_t serial, struct pv_made *ret_made)
{
    struct pv_st_place place = {.serial = serial, .name = "alice2", .time = CW_WALL};
    memcpy(place.node, n->w->alice.id.pk, sizeof(place.node));
    pv_store_be32(place.ip4, n->w->created.ip4);
    assert_ok(
        pv_make_place(n->w->created.network_id, pv_signer_sk(n->w->alice.id.sk), &place, ret_made));
    assert_int_equal(cw_put(n->w, n->alice, pv_made_view(ret_made)), PV_CTL_E_NONE);
}

static bool lists(const struct pv_ctl_msg *m, const struct pv_made *made)
{
    for (size_t i = 0; i < m->u.statements.n; i++) {
        if (pv_view_equal(m->u.statements.items[i].statement, pv_made_view(made)))
            return true;
    }
    return false;
}

/* A page that was made is not sent any more when one of its statements was replaced, and not kept
 * when nobody asks. */
PV_TEST(pages_do_not_outlive_what_they_say)
{
    struct bulk_net n = bulk_net(7);
    struct pv_made first, second;
    put_place(&n, CW_WALL, &first);
    for (uint64_t i = 1; i < PV_ROSTER_MAX_SELF; i++)
        put_place(&n, CW_WALL + i, &second);
    struct pv_ctl_msg *m = cw_pull(n.w, n.clients[0]);
    assert_true(lists(m, &first));
    put_place(&n, CW_WALL + PV_ROSTER_MAX_SELF, &second); /* one more than are kept */
    m = cw_pull(n.w, n.clients[0]);
    assert_true(lists(m, &second));
    assert_false(lists(m, &first));
    assert_true(pv_coord_pages(n.w->coord)->bytes > 0);
    cw_sleep(n.w, PV_PAGES_KEPT);
    assert_int_equal(pv_coord_pages(n.w->coord)->bytes, 0);
}

/* --- copies for members who are away --------------------------------------------------------- */

struct scene {
    struct cw *w;
    struct cw_client *alice;
    struct cw_node bob, carol;
};

static struct scene begin(uint64_t seed)
{
    struct scene s = {.w = cw_new(seed)};
    s.alice = cw_open(s.w);
    s.bob = cw_invited(s.w, s.alice, "bob");
    s.carol = cw_invited(s.w, s.alice, "carol");
    return s;
}

static struct pv_ctl_msg keep(const uint8_t *to, uint8_t key, const char *box)
{
    struct pv_ctl_msg m = {.type = PV_CTL_KEEP};
    memcpy(m.u.keep.to, to, sizeof(m.u.keep.to));
    m.u.keep.key[0] = key;
    m.u.keep.box = pv_view(box, strlen(box));
    return m;
}

static struct pv_ctl_msg collect(uint64_t after, uint64_t taken)
{
    return (struct pv_ctl_msg){.type = PV_CTL_COLLECT,
                               .u.collect = {.after = after, .taken = taken}};
}

/* Collects and expects this box (NULL: none) of alice; returns its number. */
static uint64_t expect(struct scene *s, struct cw_client *c, struct pv_ctl_msg ask, const char *box)
{
    struct pv_ctl_msg *m = cw_ask(s->w, c, ask, PV_CTL_COPY);
    uint64_t n = m->u.copy.n;
    assert_true((n == 0) == (box == NULL));
    if (box != NULL) {
        assert_memory_equal(m->u.copy.from, s->w->alice.id.pk, 32);
        assert_true(pv_view_equal(m->u.copy.box, pv_view(box, strlen(box))));
    }
    return n;
}

PV_TEST(a_copy_waits_for_its_receiver_through_a_restart)
{
    struct scene s = begin(71);
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 1, "one"), PV_CTL_DONE);
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 2, "two"), PV_CTL_DONE);
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 1, "one again"), PV_CTL_DONE); /* as it was */
    cw_restart(s.w);

    struct cw_client *carol = cw_member(s.w, &s.carol);
    expect(&s, carol, collect(0, 0), NULL);
    struct cw_client *bob = cw_member(s.w, &s.bob);
    uint64_t one = expect(&s, bob, collect(0, 0), "one");
    expect(&s, bob, collect(0, 0), "one"); /* until it is taken */
    uint64_t two = expect(&s, bob, collect(one, one), "two");
    assert_true(two > one);
    expect(&s, carol, collect(0, two), NULL); /* she cannot take his */
    expect(&s, bob, collect(one, 0), "two");
    expect(&s, bob, collect(two, two), NULL);
    expect(&s, bob, collect(0, 0), NULL);
}

PV_TEST(a_receiver_who_is_there_is_told)
{
    struct scene s = begin(72);
    struct cw_client *bob = cw_member(s.w, &s.bob);
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 1, "one"), PV_CTL_DONE);
    cw_pump(s.w);
    struct pv_ctl_msg *m = cw_told(bob, PV_CTL_COPY);
    assert_true(m->u.copy.n == 0);
    expect(&s, bob, collect(0, 0), "one");
}

PV_TEST(only_members_keep_and_only_for_members)
{
    struct scene s = begin(73);
    struct cw_node stranger = cw_node_make(s.w);
    cw_ask_error(s.w, s.alice, keep(stranger.id.pk, 1, "x"), PV_CTL_E_UNKNOWN_NODE);
    cw_ask_error(s.w, s.alice, keep(s.w->alice.id.pk, 1, "x"), PV_CTL_E_NOT_ALLOWED);
    struct cw_client *applicant = cw_applicant(s.w, &stranger);
    cw_ask_error(s.w, applicant, keep(s.bob.id.pk, 1, "x"), PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(s.w, applicant, collect(0, 0), PV_CTL_E_NOT_ALLOWED);
}

PV_TEST(a_full_box_and_a_failing_disk_are_told)
{
    struct scene s = begin(74);
    s.w->fail_status = -28;
    cw_ask_error(s.w, s.alice, keep(s.bob.id.pk, 1, "x"), PV_CTL_E_STORAGE);
    cw_ask_error(s.w, s.alice, collect(0, 0), PV_CTL_E_STORAGE);
    s.w->fail_status = PV_ERR_REFUSED;
    cw_ask_error(s.w, s.alice, keep(s.bob.id.pk, 1, "x"), PV_CTL_E_FULL);
    s.w->fail_status = 0;
    cw_ask_ok(s.w, s.alice, keep(s.bob.id.pk, 1, "x"), PV_CTL_DONE);
}

PV_TEST(work_under_way_is_bounded_and_survives_its_connection)
{
    struct scene s = begin(75);
    s.w->hold_jobs = true;
    for (uint8_t i = 0; i < PV_COPIES_PENDING_CONN; i++)
        (void)cw_send(s.alice, keep(s.bob.id.pk, i, "x"));
    cw_pump(s.w);
    cw_ask_error(s.w, s.alice, keep(s.bob.id.pk, 99, "x"), PV_CTL_E_LIMIT);
    cw_hang_up(s.w, s.alice);
    s.w->hold_jobs = false;
    cw_release(s.w, true);
    cw_pump(s.w);
    assert_int_equal(s.w->copies.n_rows, PV_COPIES_PENDING_CONN);
}

/* --- one of several coordinators: networks come and go --------------------------------------- */

/* A coordinator that shares its store, and has made a network. */
static struct cw *shared(uint64_t seed)
{
    struct cw *w = cw_new(seed);
    w->cfg.homes = true;
    cw_start(w);
    cw_create(w);
    return w;
}

/* The store's word on all homes: there are none. */
static bool hear_of_none(struct cw *w, pv_ns asked_at)
{
    struct pv_coord_home none[1];
    return pv_coord_homes_are(w->coord, none, 0, asked_at, w->now);
}

/* The store was asked before it had the network, and its answer comes when the core has it. */
PV_TEST(a_list_that_is_older_than_a_network_does_not_end_it)
{
    struct cw *w = cw_new(1);
    w->cfg.homes = true;
    cw_start(w);
    const pv_ns asked_at = w->now;
    cw_sleep(w, PV_MS(100));
    cw_create(w);
    struct cw_client *alice = cw_member(w, &w->alice);
    assert_false(hear_of_none(w, asked_at));
    cw_pump(w);
    assert_false(alice->closed);
    assert_int_equal(pv_coord_n_homes(w->coord), 1);

    cw_sleep(w, PV_MS(100));
    assert_true(hear_of_none(w, w->now)); /* another has it since */
    cw_pump(w);
    assert_true(alice->closed);
    assert_int_equal(pv_coord_n_homes(w->coord), 0);
}

/* Knocks as alice for a network that another coordinator has; what the store is asked then. */
static struct pv_storeop *knock(struct cw *w)
{
    struct cw_client *c = cw_connect(w, &w->alice);
    cw_pump(w);
    struct pv_ctl_msg m = cw_hello_member(w, c, &w->alice);
    (void)cw_send(c, m);
    cw_pump(w);
    assert_int_equal(w->n_jobs, 1);
    w->n_jobs = 0;
    return w->jobs[0];
}

/* A node that was told where the home is, twice, and knocks again, pleads, and the store learns who
 * it is.
 */
PV_TEST(a_node_that_cannot_get_there_pleads_by_name)
{
    struct cw *w = cw_new(4);
    w->cfg.homes = w->hold_jobs = true;
    cw_start(w);
    cw_make_network(w);
    struct pv_home_answer there = {.verdict = PV_HOME_THERE, .n_to = 1, .to = {"192.0.2.1:3478"}};
    for (unsigned told = 0; told < 3; told++) {
        struct pv_storeop *op = knock(w);
        const struct pv_storeop_result res = {.id = op->id, .home = &there};
        assert_int_equal(op->kind, PV_STOREOP_HOME);
        assert_int_equal(op->pleads, told == 2);
        if (told == 2)
            assert_memory_equal(op->node, w->alice.id.pk, sizeof(op->node));
        pv_storeop_free(op);
        pv_coord_handle_job(w->coord, &res, w->now);
        cw_pump(w);
    }
}

/* Where there is room for one network, a second is to go elsewhere; when nobody else lives, who
 * knocks is told. */
PV_TEST(a_coordinator_without_room_takes_no_network)
{
    struct cw *w = cw_new(5);
    w->cfg.homes = true;
    w->cfg.limits.networks = 1;
    cw_start(w);
    cw_create(w);
    struct pv_home_answer answer = {.verdict = PV_HOME_TAKE, .fence = 1, .epoch = 9};
    cw_make_network(w); /* another one, which the store has */
    w->hold_jobs = true;
    struct pv_storeop *op = knock(w);
    assert_true(op->draining);
    const struct pv_storeop_result res = {.id = op->id, .home = &answer};
    pv_coord_handle_job(w->coord, &res, w->now);
    cw_pump(w);
    struct pv_ctl_msg *m = cw_take_push(w->clients[w->n_clients - 1], PV_CTL_BYE);
    assert_int_equal(m->u.failure.error, PV_CTL_E_FULL);
    assert_int_equal(pv_coord_n_homes(w->coord), 1);
    pv_storeop_free(op);
}

/* Lets the core do what is due, and counts the networks that it wants to give away. */
static size_t leaves(struct cw *w)
{
    w->hold_jobs = true;
    w->now += PV_S(1);
    pv_coord_set_wall(w->coord, CW_WALL * UINT64_C(1000000) + w->now / 1000, w->now);
    pv_coord_handle_timeout(w->coord, w->now);
    cw_pump(w);
    for (size_t i = 0; i < w->n_jobs; i++)
        assert_int_equal(w->jobs[i]->kind, PV_STOREOP_LEAVE);
    return w->n_jobs;
}

/* The last of the others ends while this one drains: who would be sent away would come back. */
PV_TEST(a_coordinator_that_drains_alone_keeps_its_networks)
{
    struct cw *w = shared(3);
    struct cw_client *alice = cw_member(w, &w->alice);
    pv_coord_balance(w->coord, UINT64_MAX, w->now);
    pv_coord_drain(w->coord, true);
    assert_int_equal(leaves(w), 0);
    cw_ask_ok(w, alice, (struct pv_ctl_msg){.type = PV_CTL_PING}, PV_CTL_PONG);
    pv_coord_balance(w->coord, 0, w->now);
    assert_int_equal(leaves(w), 1);
}

/* One of a few networks goes, some of many: thousands would take hours else. Small ones first. */
PV_TEST(the_more_there_are_the_more_are_given_at_once)
{
    enum {
        MANY = 70
    };
    uint8_t busy[PV_NETWORK_ID_LEN];
    struct cw *w = shared(4);
    memcpy(busy, w->created.network_id, sizeof(busy));
    (void)cw_member(w, &w->alice);
    cw_create(w);
    pv_coord_balance(w->coord, 0, w->now);
    assert_int_equal(leaves(w), 1);
    assert_memory_not_equal(w->jobs[0]->copy.network, busy, sizeof(busy));
    pv_coord_balance(w->coord, 0, w->now); /* a second later: not yet */
    assert_int_equal(leaves(w), 1);
    w->hold_jobs = false;
    while (pv_coord_n_homes(w->coord) < MANY)
        cw_create(w);
    cw_sleep(w, PV_S(3));
    pv_coord_balance(w->coord, 2, w->now);
    assert_int_equal(leaves(w), 1 + 2);
}

/* A network that rests, and whose pages are kept, is dropped: nothing points to it when its memory
 * is freed. */
PV_TEST(a_network_that_ends_leaves_nothing_behind)
{
    struct cw *w = shared(2);
    struct cw_client *alice = cw_member(w, &w->alice);
    (void)cw_pull(w, alice);
    (void)cw_send(alice, (struct pv_ctl_msg){.type = PV_CTL_PING});
    (void)cw_to_coord(w, alice);
    pv_coord_bill(w->coord, PV_S(60), w->now);
    assert_true(pv_coord_rests(w->coord));
    assert_ok(pv_coord_drop_begin(w->coord, w->created.network_id));
    pv_coord_drop_end(w->coord, w->created.network_id, true, w->now);
    assert_false(pv_coord_rests(w->coord));
    cw_pump(w);
    cw_sleep(w, PV_S(11)); /* it is freed */
    pv_coord_idle(w->coord, w->now);
    cw_create(w);
    (void)cw_member(w, &w->alice);
}
