/* SPDX-License-Identifier: MIT */
/* Invites with conditions at the coordinator: who waits is told so and gets nothing, admins hear
 * from where it asks, and who has expired may renew itself. */
#include "coord_world.h"

enum {
    DAY = 86400,
};

static struct cw *begin(uint64_t seed)
{
    struct cw *w = cw_new(seed);
    cw_start(w);
    cw_create(w);
    return w;
}

/* An invite by alice with conditions, put by her. */
static struct cw_keys terms(struct cw *w, struct cw_client *alice, uint8_t flags, uint32_t lifetime)
{
    struct cw_keys k = cw_keys_make(w);
    struct pv_made made;
    struct pv_st_invite invite = {.not_before = CW_WALL,
                                  .not_after = CW_WALL + 400 * DAY,
                                  .uses = 9,
                                  .flags = flags,
                                  .lifetime = lifetime};
    memcpy(invite.invite, k.pk, sizeof(invite.invite));
    assert_int_equal(
        pv_make_invite(w->created.network_id, pv_signer_sk(w->alice.id.sk), &invite, &made), PV_OK);
    assert_int_equal(cw_put(w, alice, pv_made_view(&made)), PV_CTL_E_NONE);
    return k;
}

static void expect_hello(struct cw *w, const struct cw_node *node, enum pv_ctl_error error)
{
    struct cw_client *c = cw_connect(w, node);
    cw_ask_error(w, c, cw_hello(c, node, w->created.network_id, PV_CTL_MEMBER), error);
    assert_true(c->closed);
}

static enum pv_ctl_error admit(struct cw *w, struct cw_client *by, const struct cw_keys *signer,
                               const struct cw_node *node)
{
    struct pv_made made;
    assert_int_equal(pv_make_admission(w->created.network_id, pv_signer_sk(signer->sk), node->id.pk,
                                       CW_WALL, &made),
                     PV_OK);
    return cw_put(w, by, pv_made_view(&made));
}

PV_TEST(a_node_that_waits_is_told_so_until_an_admin_admits_it)
{
    struct cw *w = begin(1);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = terms(w, alice, PV_INVITE_APPROVAL, 0);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    cw_join(w, &invite, &bob, "bob");
    expect_hello(w, &bob, PV_CTL_E_WAITING);
    /* As a guest it sees no more than any guest, and its name is nobody else's. */
    struct cw_client *c = cw_login(w, &bob, w->created.network_id, PV_CTL_GUEST);
    cw_ask_error(w, c, (struct pv_ctl_msg){.type = PV_CTL_PULL}, PV_CTL_E_NOT_ALLOWED);
    cw_ask_error(w, c, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_E_NOT_ALLOWED);
    struct cw_client *other = cw_login(w, &carol, w->created.network_id, PV_CTL_GUEST);
    struct pv_ctl_msg *r =
        cw_ask(w, other, cw_join_msg(other, &invite, &carol, "bob"), PV_CTL_RESERVATION);
    assert_string_equal(r->u.reservation.name, "bob-2");
    pv_ctl_msg_free(r);
    /* A node that asks to join once more gets the same place. */
    cw_join(w, &invite, &bob, "bob");
    /* Its own word admits it not, and a member's without the right neither. */
    assert_int_equal(admit(w, alice, &bob.id, &bob), PV_CTL_E_NOT_ALLOWED);
    assert_int_equal(admit(w, alice, &w->coordinator, &bob), PV_CTL_E_NOT_ALLOWED);
    expect_hello(w, &bob, PV_CTL_E_WAITING);
    assert_int_equal(admit(w, alice, &w->alice.id, &bob), PV_CTL_E_NONE);
    (void)cw_member(w, &bob);
}

PV_TEST(admins_hear_from_where_it_asks)
{
    struct cw *w = begin(2);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = terms(w, alice, PV_INVITE_APPROVAL, 0), open = cw_invite(w, alice, 1);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    cw_join(w, &open, &carol, "carol");
    struct pv_ctl_msg *m =
        cw_ask(w, alice, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_ASKED);
    assert_int_equal(m->u.asked.n, 0);
    pv_ctl_msg_free(m);
    w->source = pv_addr4(203, 0, 113, 5, 4444);
    cw_join(w, &invite, &bob, "bob");
    w->source = pv_addr4(203, 0, 113, 6, 5555);
    expect_hello(w, &bob, PV_CTL_E_WAITING);
    m = cw_ask(w, alice, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_ASKED);
    const struct pv_addr now = pv_addr4(203, 0, 113, 6, 0);
    assert_int_equal(m->u.asked.n, 1);
    assert_memory_equal(m->u.asked.askers[0].node, bob.id.pk, PV_SIGN_PK_LEN);
    assert_true(pv_addr_equal_ip(&m->u.asked.askers[0].from, &now));
    pv_ctl_msg_free(m);
    cw_ask_error(w, cw_member(w, &carol), (struct pv_ctl_msg){.type = PV_CTL_ASKERS},
                 PV_CTL_E_NOT_ALLOWED);
    assert_int_equal(admit(w, alice, &w->alice.id, &bob), PV_CTL_E_NONE);
    m = cw_ask(w, alice, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_ASKED);
    assert_int_equal(m->u.asked.n, 0);
    pv_ctl_msg_free(m);
}

/* Of more than the table holds those who asked longest ago are forgotten; who is denied is, too. */
PV_TEST(the_table_of_who_asks_is_bounded)
{
    struct cw *w = begin(3);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_node last = {0};
    for (unsigned i = 0; i < PV_CTL_ASKERS_MAX + 5; i++) {
        char name[16];
        if (i % 8 == 0) /* of one invite, a few */
            cw_sleep(w, PV_S(1));
        struct cw_keys invite = terms(w, alice, PV_INVITE_APPROVAL, 0);
        last = cw_node_make(w);
        snprintf(name, sizeof(name), "n%u", i);
        cw_join(w, &invite, &last, name);
        cw_hang_up(w, w->clients[w->n_clients - 1]);
        if (w->n_clients > CW_CLIENTS - 4) {
            cw_drop_clients(w);
            alice = cw_member(w, &w->alice);
        }
    }
    struct pv_ctl_msg *m =
        cw_ask(w, alice, (struct pv_ctl_msg){.type = PV_CTL_ASKERS}, PV_CTL_ASKED);
    bool found = false;
    assert_int_equal(m->u.asked.n, PV_CTL_ASKERS_MAX);
    for (size_t i = 0; i < m->u.asked.n; i++)
        found = found || memcmp(m->u.asked.askers[i].node, last.id.pk, PV_SIGN_PK_LEN) == 0;
    assert_true(found);
    pv_ctl_msg_free(m);
}

/* Its first word after the end is taken like any other, and it is a member again. */
PV_TEST(a_member_that_has_expired_may_renew_itself)
{
    struct cw *w = begin(4);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = terms(w, alice, 0, 90 * DAY);
    struct cw_node bob = cw_node_make(w);
    struct pv_made made;
    cw_join(w, &invite, &bob, "bob");
    struct cw_client *b = cw_member(w, &bob);
    pv_coord_set_wall(w->coord, (CW_WALL + UINT64_C(91) * DAY) * 1000000, w->now);
    (void)cw_invite(w, alice, 1); /* tells the time */
    assert_false(b->closed);      /* it works: it has all it needs to go on */
    struct pv_statement st = {.type = PV_ST_TRANSPORT,
                              .u.transport = {.serial = 1, .time = CW_WALL}};
    memcpy(st.u.transport.transport, bob.transport_pk, PV_DH_LEN);
    memcpy(st.network_id, w->created.network_id, sizeof(st.network_id));
    assert_int_equal(pv_statement_make(&st, pv_signer_sk(bob.id.sk), NULL, made.raw,
                                       sizeof(made.raw), &made.len),
                     PV_OK);
    cw_hang_up(w, b);
    b = cw_member(w, &bob);
    assert_int_equal(cw_put(w, b, pv_made_view(&made)), PV_CTL_E_NONE);
    struct pv_ctl_msg signal = {.type = PV_CTL_SIGNAL, .u.signal.box = pv_view("x", 1)};
    memcpy(signal.u.signal.node, bob.id.pk, PV_SIGN_PK_LEN);
    cw_ask_ok(w, alice, signal, PV_CTL_DONE);
}
