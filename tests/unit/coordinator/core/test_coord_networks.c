/* SPDX-License-Identifier: MIT */
/* The operator's words about networks: their limits, and their end. */
#include "coordinator/core/member/cnet.h"
#include "tests/unit/coordinator/core/coord_world.h"

static struct pv_netlimits_table table;
static struct pv_netlimits_of own;

/* All networks have these limits; alice is connected. */
static struct cw_client *begin(struct cw *w, struct pv_netlimits all)
{
    table = (struct pv_netlimits_table){.all = all, .nets = &own, .n = 1};
    own = (struct pv_netlimits_of){.id = {0}};
    w->cfg.policy.net_limits = &table;
    return cw_open(w);
}

/* Another start, with limits of the network's own. */
static struct cw_client *restart_with(struct cw *w, struct pv_netlimits limits)
{
    memcpy(own.id, w->created.network_id, sizeof(own.id));
    own.limits = limits;
    cw_restart(w);
    return cw_member(w, &w->alice);
}

static enum pv_ctl_error revoke(struct cw *w, struct cw_client *alice, uint8_t kind,
                                const uint8_t *pk)
{
    return cw_put(w, alice, cw_revocation(w, kind, pk));
}

static void expect_join(struct cw *w, const struct cw_keys *invite, const struct cw_node *node,
                        enum pv_ctl_error error)
{
    struct cw_client *c = cw_applicant(w, node);
    cw_ask_error(w, c, cw_join_msg(c, invite, node, "x"), error);
    cw_hang_up(w, c);
}

static enum pv_ctl_error move_to(struct cw *w, struct cw_client *c, const struct cw_node *node,
                                 uint32_t ip4, uint64_t serial)
{
    struct pv_st_place place = {.serial = serial, .name = "carol", .time = CW_WALL};
    struct pv_made made;
    memcpy(place.node, node->id.pk, sizeof(place.node));
    pv_store_be32(place.ip4, ip4);
    assert_ok(pv_make_place(w->created.network_id, pv_signer_sk(node->id.sk), &place, &made));
    return cw_put(w, c, pv_made_view(&made));
}

/* An applicant that takes another address than the one it was promised. */
static void expect_register(struct cw *w, const struct cw_keys *invite, uint32_t ip4,
                            enum pv_ctl_error error)
{
    struct cw_node node = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &node);
    uint8_t be[4];
    pv_store_be32(be, ip4);
    cw_ask_ok(w, c, cw_join_msg(c, invite, &node, "dan"), PV_CTL_RESERVATION);
    struct pv_made made =
        cw_member_statement(w, invite, &node, (struct cw_claim){"dan", be, 0, CW_WALL});
    if (error == PV_CTL_E_NONE)
        cw_ask_ok(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);
    else
        cw_ask_error(w, c, cw_register_msg(&made), error);
    cw_hang_up(w, c);
}

PV_TEST(an_address_of_a_removed_machine_is_nobodys_for_thirty_days)
{
    struct cw *w = cw_new(1);
    struct cw_client *alice = cw_open(w);
    struct cw_keys invite = cw_invite(w, alice, 9);
    struct cw_node bob = cw_joined(w, &invite, "bob"), carol = cw_joined(w, &invite, "carol");
    struct cw_client *c = cw_member(w, &carol);
    const struct pv_prefix range = {.base = pv_addr4(10, 66, 0, 0, 0), .bits = 16};
    uint32_t bobs = pv_ip4_first(&range, bob.id.pk);
    uint32_t unused = bobs + 3;
    /* Nor may anybody wait for it while bob has it. */
    assert_int_equal(move_to(w, c, &carol, bobs, 1), PV_CTL_E_TAKEN);
    assert_int_equal(revoke(w, alice, PV_REVOKE_NODE, bob.id.pk), PV_CTL_E_NONE);
    assert_int_equal(move_to(w, c, &carol, bobs, 2), PV_CTL_E_TAKEN);
    expect_register(w, &invite, bobs, PV_CTL_E_TAKEN);
    assert_int_equal(move_to(w, c, &carol, unused, 3), PV_CTL_E_NONE);
    pv_coord_set_wall(w->coord, (CW_WALL + PV_ROSTER_REST + 86400) * UINT64_C(1000000), w->now);
    assert_int_equal(move_to(w, c, &carol, bobs, 4), PV_CTL_E_NONE);
}

PV_TEST(a_network_has_so_many_members)
{
    struct cw *w = cw_new(1);
    struct cw_client *alice = begin(w, (struct pv_netlimits){.members = 2});
    struct cw_keys invite = cw_invite(w, alice, 9);
    struct cw_node bob = cw_joined(w, &invite, "bob"), carol = cw_node_make(w),
                   dan = cw_node_make(w);
    expect_join(w, &invite, &carol, PV_CTL_E_FULL);
    /* A member may repeat it; one that goes makes room. */
    struct cw_client *c = cw_applicant(w, &bob);
    cw_ask_ok(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_RESERVATION);
    assert_int_equal(revoke(w, alice, PV_REVOKE_NODE, bob.id.pk), PV_CTL_E_NONE);
    cw_join(w, &invite, &carol, "carol");
    expect_join(w, &invite, &dan, PV_CTL_E_FULL);
    (void)restart_with(w, (struct pv_netlimits){.members = 3});
    cw_join(w, &invite, &dan, "dan");
}

/* The last place is promised to many, and taken by one. */
PV_TEST(the_last_place_is_taken_once)
{
    struct cw *w = cw_new(2);
    struct cw_keys invite = cw_invite(w, begin(w, (struct pv_netlimits){.members = 2}), 9);
    struct cw_node nodes[2] = {cw_node_make(w), cw_node_make(w)};
    struct cw_client *c[2];
    struct pv_made made[2];
    for (size_t i = 0; i < 2; i++) {
        c[i] = cw_applicant(w, &nodes[i]);
        made[i] = cw_reserve(w, c[i], &invite, &nodes[i], "n");
    }
    w->hold_jobs = true; /* the first is at the store */
    uint64_t id = cw_send(c[0], cw_register_msg(&made[0]));
    cw_pump(w);
    cw_ask_error(w, c[1], cw_register_msg(&made[1]), PV_CTL_E_FULL);
    cw_release(w, false);
    (void)cw_answer(c[0], id, PV_CTL_REGISTERED);
}

/* Whose rights have ended is believed no more. */
PV_TEST(rights_end_by_who_may_revoke)
{
    struct cw *w = cw_new(6);
    struct cw_client *alice = cw_open(w);
    struct cw_node bob = cw_invited(w, alice, "bob");
    struct pv_statement grant = {.type = PV_ST_ADMIN, .u.admin = {.rights = 1, .time = CW_WALL}};
    memcpy(grant.u.admin.node, bob.id.pk, PV_SIGN_PK_LEN);
    struct pv_view granted = cw_sign(w, grant, w->root.sk);
    assert_int_equal(cw_put(w, alice, granted), PV_CTL_E_NONE);
    struct pv_statement end = {.type = PV_ST_END, .u.end.time = CW_WALL};
    pv_statement_hash(granted, end.u.end.hash);
    /* An admin who may only invite ends nobody's rights but its own. */
    memcpy(end.u.end.about, w->alice.id.pk, PV_SIGN_PK_LEN);
    assert_int_equal(cw_put(w, alice, cw_sign(w, end, bob.id.sk)), PV_CTL_E_NOT_ALLOWED);
    memcpy(end.u.end.about, bob.id.pk, PV_SIGN_PK_LEN);
    assert_int_equal(cw_put(w, alice, cw_sign(w, end, w->alice.id.sk)), PV_CTL_E_NONE);
    /* A former admin may repeat that it is none, and no more. */
    end.u.end.time++;
    assert_int_equal(cw_put(w, alice, cw_sign(w, end, bob.id.sk)), PV_CTL_E_NONE);
    struct pv_statement more = {.type = PV_ST_INVITE, .u.invite = {.not_after = 9, .uses = 1}};
    assert_int_equal(cw_put(w, alice, cw_sign(w, more, bob.id.sk)), PV_CTL_E_NOT_ALLOWED);
}

/* Alice tags herself, or takes the tag in this place back. */
static enum pv_ctl_error put_tag(struct cw *w, struct cw_client *c, uint16_t place, bool set)
{
    struct pv_statement st = {.type = PV_ST_TAG,
                              .u.tag = {.slot = {.number = place, .seq = set ? 1 : 2},
                                        .kind = set ? PV_TAG_SET : PV_TAG_NONE,
                                        .time = CW_WALL}};
    snprintf(st.u.tag.tag, sizeof(st.u.tag.tag), "%s", set ? "printer" : "none");
    if (set)
        memcpy(st.u.tag.node, w->alice.id.pk, PV_SIGN_PK_LEN);
    return cw_put(w, c, cw_sign(w, st, w->alice.id.sk));
}

/* A network that cannot grow goes on: what was allowed is taken back, and its members stay. */
PV_TEST(a_full_log_still_takes_what_takes_no_place)
{
    struct cw *w = cw_new(8);
    struct cw_client *alice = begin(w, (struct pv_netlimits){.members = 0});
    assert_int_equal(put_tag(w, alice, 1, true), PV_CTL_E_NONE);
    alice = restart_with(w, (struct pv_netlimits){.statements = 1});
    assert_int_equal(put_tag(w, alice, 2, true), PV_CTL_E_FULL);
    assert_int_equal(put_tag(w, alice, 1, false), PV_CTL_E_NONE);
    /* A renewal, or another key in the place of a stolen one. */
    struct pv_statement key = {.type = PV_ST_TRANSPORT,
                               .u.transport = {.serial = 9, .transport = {9}, .time = CW_WALL}};
    assert_int_equal(cw_put(w, alice, cw_sign(w, key, w->alice.id.sk)), PV_CTL_E_NONE);
}

PV_TEST(a_full_log_still_takes_what_ends_something)
{
    struct cw *w = cw_new(3);
    struct cw_keys invite = cw_invite(w, begin(w, (struct pv_netlimits){.members = 0}), 9);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *alice = restart_with(w, (struct pv_netlimits){.statements = 5});
    struct cw_keys next = cw_keys_make(w);
    struct pv_made more = cw_make_invite(w, &next, 1);
    assert_int_equal(cw_put(w, alice, pv_made_view(&more)), PV_CTL_E_FULL);
    expect_join(w, &invite, &bob, PV_CTL_E_FULL);
    assert_int_equal(revoke(w, alice, PV_REVOKE_INVITE, invite.pk), PV_CTL_E_NONE);
    struct pv_statement end = {.type = PV_ST_END, .u.end.time = CW_WALL};
    assert_int_equal(cw_put(w, alice, cw_sign(w, end, w->alice.id.sk)), PV_CTL_E_NONE);
}

static void set_wall(struct cw *w, uint64_t seconds)
{
    pv_coord_set_wall(w->coord, seconds * UINT64_C(1000000), w->now);
}

/* The window of receipts is wider than that: whoever was promised a place in time may take it. */
PV_TEST(an_invite_ends_when_it_says)
{
    struct cw *w = cw_home(7);
    const uint64_t end = CW_WALL + 86400; /* as cw_invite() has it */
    struct cw_keys invite = cw_invite(w, cw_member(w, &w->alice), 9);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    set_wall(w, end - 1);
    struct pv_made made = cw_reserve(w, c, &invite, &bob, "bob");
    set_wall(w, end);
    expect_join(w, &invite, &carol, PV_CTL_E_INVITE_EXPIRED);
    set_wall(w, end + PV_COORD_RESERVE_S);
    cw_ask_error(w, c, cw_register_msg(&made), PV_CTL_E_INVITE_EXPIRED);
    set_wall(w, end + PV_COORD_RESERVE_S - 1);
    cw_ask_ok(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);
}

static void note_network(void *ctx, const struct pv_coord_network *n)
{
    *(struct pv_coord_network *)ctx = *n;
}

PV_TEST(a_dropped_network_is_gone_with_what_was_under_way)
{
    struct cw *w = cw_new(4);
    const uint8_t *id = w->created.network_id;
    struct pv_coord_network seen = {.members = 0};
    struct cw_client *alice = cw_open(w);
    struct cw_keys invite = cw_invite(w, alice, 9);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *applicant = cw_login(w, &bob, id, PV_CTL_APPLICANT);
    static const uint8_t other[PV_NETWORK_ID_LEN] = {9};
    pv_coord_networks(w->coord, w->now, note_network, &seen);
    assert_memory_equal(seen.id, id, PV_NETWORK_ID_LEN);
    assert_true(seen.members == 1 && seen.online == 1 && seen.statements == 5 && seen.bytes > 500);
    assert_true(seen.seen_s >= CW_WALL);

    assert_int_equal(pv_coord_drop_begin(w->coord, other), PV_ERR_NOT_FOUND);
    assert_ok(pv_coord_drop_begin(w->coord, id));
    assert_int_equal(pv_coord_drop_begin(w->coord, id), PV_ERR_EXISTS);
    assert_int_equal(revoke(w, alice, PV_REVOKE_INVITE, invite.pk), PV_CTL_E_STORAGE);
    /* The store could not: it goes on. */
    pv_coord_drop_end(w->coord, id, false, w->now);
    assert_int_equal(revoke(w, alice, PV_REVOKE_INVITE, invite.pk), PV_CTL_E_NONE);
    assert_int_equal(cw_stats(w).networks, 1);

    w->hold_jobs = true; /* one is at the store when it ends */
    struct cw_keys next = cw_keys_make(w);
    struct pv_made more = cw_make_invite(w, &next, 1);
    (void)cw_send_put(alice, pv_made_view(&more));
    cw_pump(w);
    assert_ok(pv_coord_drop_begin(w->coord, id));
    pv_coord_drop_end(w->coord, id, true, w->now);
    cw_release(w, false);
    assert_true(alice->closed && applicant->closed);
    assert_int_equal(cw_stats(w).networks, 0);
    cw_refused(w, &w->alice, PV_CTL_E_UNKNOWN_NETWORK);
    pv_coord_drop_end(w->coord, id, true, w->now); /* a second answer is none */
    cw_sleep(w, PV_S(60));
}

PV_TEST(a_new_secret_counts_at_once)
{
    struct cw *w = cw_home(5);
    struct pv_ctl_item items[4];
    uint8_t secret[PV_CTL_SECRET_LEN] = {7};
    pv_coord_set_secret(w->coord, secret);
    cw_make_network(w);
    struct cw_client *c = cw_login(w, &w->alice, NULL, PV_CTL_APPLICANT);
    cw_ask_error(w, c, cw_create_msg(w, items), PV_CTL_E_NOT_ALLOWED);
    memcpy(w->secret, secret, sizeof(secret));
    cw_ask_ok(w, c, cw_create_msg(w, items), PV_CTL_RECEIPTS);
}

PV_TEST(a_network_with_a_newer_statement_is_refused_for_its_version)
{
    struct cw *w = cw_new(5);
    struct pv_ctl_item items[4];
    cw_start(w);
    cw_make_network(w);
    struct cw_client *c = cw_login(w, &w->alice, NULL, PV_CTL_APPLICANT);
    struct pv_ctl_msg create = cw_create_msg(w, items);
    uint8_t newer[PV_STATEMENT_MAX];
    const struct pv_view was = items[1].statement;
    const size_t body = was.len - PV_SIGN_LEN;
    memcpy(newer, was.ptr, was.len);
    newer[0] = 2;
    assert_ok(pv_sign(newer + body, "p2pvpn statement v1", pv_view(newer, body), pv_view(NULL, 0),
                      w->root.sk));
    items[1].statement = pv_view(newer, was.len);
    cw_ask_error(w, c, create, PV_CTL_E_VERSION);
    items[1].statement = was;
    cw_ask_ok(w, c, create, PV_CTL_RECEIPTS);
}

/* Limits hold for networks that are there, addresses for who comes next, and whoever creates needs
 * no secret any more. */
PV_TEST(a_policy_holds_from_now_on)
{
    static const char *const stun[] = {"new.example:3478"};
    static const struct pv_netlimits_table none = {.nets = NULL};
    struct cw *w = cw_new(6);
    struct cw_keys invite = cw_invite(w, begin(w, (struct pv_netlimits){.members = 1}), 9);
    struct cw_node bob = cw_node_make(w);
    struct pv_ctl_item items[4];
    expect_join(w, &invite, &bob, PV_CTL_E_FULL);
    struct pv_coord_policy policy = {
        .switches.open = true, .stun = stun, .n_stun = 1, .net_limits = &none};
    struct pv_turns_policy *relay = calloc(1, sizeof(*relay));
    assert_non_null(relay);
    pv_coord_set_policy(w->coord, &policy, relay);
    cw_join(w, &invite, &bob, "bob");
    struct pv_ctl_msg *welcome = cw_welcome(w, &bob);
    assert_int_equal(welcome->u.welcome.n_stun, 1);
    assert_string_equal(welcome->u.welcome.stun[0], stun[0]);
    memset(w->secret, 0, sizeof(w->secret));
    cw_make_network(w);
    struct cw_client *c = cw_login(w, &w->alice, NULL, PV_CTL_APPLICANT);
    cw_ask_ok(w, c, cw_create_msg(w, items), PV_CTL_RECEIPTS);
}

/* The receipt that a former coordinator gave nine days ago. */
static struct pv_ctl_item received(const struct cw *w, const struct cw_keys *former,
                                   struct pv_view made, uint8_t *ret_receipt)
{
    return cw_received(w, former, made, CW_WALL - 9 * 86400, ret_receipt);
}

/* The chain of an invite that an applicant is shown, as a roster; to be freed. */
static struct pv_roster *fetch_chain(struct cw *w, struct cw_client *applicant,
                                     const struct cw_keys *invite)
{
    struct pv_ctl_msg fetch = {.type = PV_CTL_FETCH};
    memcpy(fetch.u.fetch.invite, invite->pk, PV_SIGN_PK_LEN);
    struct pv_ctl_msg *m = cw_ask(w, applicant, fetch, PV_CTL_STATEMENTS);
    const struct pv_ctl_statements *st = &m->u.statements;
    struct pv_roster *r = NULL;
    enum pv_roster_added added;
    assert_ok(pv_roster_new(st->items[0].statement, w->created.network_id, &w->rng, &r));
    for (size_t i = 0; i < st->n; i++)
        assert_ok(pv_roster_add(r, st->items[i].statement, st->items[i].receipt, &added));
    return r;
}

/* The record that this one is the only coordinator. */
static struct pv_view record_of(const struct cw *w, const uint8_t *sk, const struct cw_keys *only)
{
    const uint8_t *const pk[] = {only->pk};
    return cw_record(w, sk, 7, pk, 1);
}

static struct pv_view list_in(struct pv_view record)
{
    struct pv_statement st;
    assert_ok(pv_statement_decode(record, &st));
    return st.u.coordinators.list;
}

/* The network has moved to another coordinator, and a token leads to this one. A node that joins
 * here sees that it became a member, although the list in force does not name who signed its
 * receipt. */
PV_TEST(a_former_coordinator_lets_nodes_in_that_understand_it)
{
    struct cw *w = cw_home(11);
    enum pv_roster_added added;
    struct cw_keys next = cw_keys_make(w);
    const struct pv_view moved = record_of(w, w->root.sk, &next);
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    assert_int_equal(cw_put(w, alice, moved), PV_CTL_E_NONE);

    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_applicant(w, &bob);
    struct pv_roster *r = fetch_chain(w, c, &invite);
    struct pv_made made = cw_reserve(w, c, &invite, &bob, "bob");
    struct pv_ctl_msg *m = cw_ask(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);
    assert_ok(
        pv_roster_add(r, m->u.registered.item.statement, m->u.registered.item.receipt, &added));
    struct pv_roster_event event;
    while (pv_roster_poll_event(r, &event) == PV_OK)
        assert_int_not_equal(event.type, PV_ROSTER_EV_REFUSED);
    assert_true(pv_view_equal(pv_roster_coordinators(r), list_in(moved)));
    assert_non_null(pv_roster_enrolled(r, bob.id.pk));
    pv_roster_free(r);
}

/* The former coordinator is gone for good. An invite that has ended since let two nodes in there:
 * bob, who moves the network, and carol, of whose removal this one hears first. */
PV_TEST(whom_a_former_coordinator_let_in_belongs_to_a_network_that_moves)
{
    struct cw *w = cw_new(10);
    uint8_t receipts[2][PV_RECEIPT_LEN];
    struct pv_ctl_item items[7];
    struct pv_made made[3];
    cw_start(w);
    cw_make_network(w);
    struct cw_keys former = cw_keys_make(w), ended = cw_keys_make(w);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    made[0] = cw_make_terms(w, &ended,
                            (struct pv_st_invite){.not_before = CW_WALL - 10 * 86400,
                                                  .not_after = CW_WALL - 8 * 86400,
                                                  .uses = 2});
    made[1] = cw_member_statement(
        w, &ended, &bob, (struct cw_claim){"bob", (const uint8_t[]){10, 66, 0, 7}, 0, CW_WALL});
    made[2] = cw_member_statement(
        w, &ended, &carol, (struct cw_claim){"carol", (const uint8_t[]){10, 66, 0, 8}, 0, CW_WALL});

    struct pv_ctl_msg create = cw_create_msg(w, items);
    items[4] = cw_item(record_of(w, w->root.sk, &former));
    items[5] = cw_item(pv_made_view(&made[0]));
    items[6] = received(w, &former, pv_made_view(&made[1]), receipts[0]);
    create.u.put.n = PV_ARRAY_LEN(items);
    cw_ask_ok(w, cw_login(w, &bob, NULL, PV_CTL_APPLICANT), create, PV_CTL_RECEIPTS);
    struct cw_client *b = cw_member(w, &bob), *alice = cw_member(w, &w->alice);

    assert_int_equal(revoke(w, alice, PV_REVOKE_NODE, carol.id.pk), PV_CTL_E_NONE);
    struct pv_ctl_item late = received(w, &former, pv_made_view(&made[2]), receipts[1]);
    assert_int_equal(cw_put_item(w, b, late), PV_CTL_E_NONE);
}
