/* SPDX-License-Identifier: MIT */
/* The operator's words about networks: their limits, and their end. */
#include "coordinator/core/member/cnet.h"
#include "tests/unit/coordinator/core/coord_world.h"

static struct pv_netlimits_table table;
static struct pv_netlimits_of own;

static struct cw *begin(uint64_t seed, struct pv_netlimits all)
{
    struct cw *w = cw_new(seed);
    table = (struct pv_netlimits_table){.all = all, .nets = &own, .n = 1};
    own = (struct pv_netlimits_of){.id = {0}};
    w->cfg.policy.net_limits = &table;
    cw_start(w);
    cw_create(w);
    return w;
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
    struct pv_made_long made;
    struct pv_statement st = {.type = PV_ST_REVOCATION,
                              .u.revocation = {.kind = kind, .time = CW_WALL}};
    memcpy(st.network_id, w->created.network_id, sizeof(st.network_id));
    memcpy(st.u.revocation.pk, pk, sizeof(st.u.revocation.pk));
    assert_ok(pv_statement_make(&st, pv_signer_sk(w->alice.id.sk), NULL, made.raw, sizeof(made.raw),
                                &made.len));
    return cw_put(w, alice, pv_view(made.raw, made.len));
}

static void expect_join(struct cw *w, const struct cw_keys *invite, const struct cw_node *node,
                        enum pv_ctl_error error)
{
    struct cw_client *c = cw_guest(w, node);
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

/* A guest that takes another address than the one it was promised. */
static void expect_register(struct cw *w, const struct cw_keys *invite, uint32_t ip4,
                            enum pv_ctl_error error)
{
    struct cw_node node = cw_node_make(w);
    struct cw_client *c = cw_guest(w, &node);
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
    struct cw *w = begin(1, (struct pv_netlimits){.members = 0});
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 9);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    cw_join(w, &invite, &bob, "bob");
    cw_join(w, &invite, &carol, "carol");
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
    struct cw *w = begin(1, (struct pv_netlimits){.members = 2});
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 9);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w), dan = cw_node_make(w);
    cw_join(w, &invite, &bob, "bob");
    expect_join(w, &invite, &carol, PV_CTL_E_FULL);
    /* A member may repeat it; one that goes makes room. */
    struct cw_client *c = cw_guest(w, &bob);
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
    struct cw *w = begin(2, (struct pv_netlimits){.members = 2});
    struct cw_keys invite = cw_invite(w, cw_member(w, &w->alice), 9);
    struct cw_node nodes[2] = {cw_node_make(w), cw_node_make(w)};
    struct cw_client *c[2];
    struct pv_made made[2];
    for (size_t i = 0; i < 2; i++) {
        c[i] = cw_guest(w, &nodes[i]);
        struct pv_ctl_msg *r =
            cw_ask(w, c[i], cw_join_msg(c[i], &invite, &nodes[i], "n"), PV_CTL_RESERVATION);
        made[i] = cw_member_statement(
            w, &invite, &nodes[i],
            (struct cw_claim){r->u.reservation.name, r->u.reservation.ip4, 0, CW_WALL});
    }
    w->hold_jobs = true; /* the first is at the store */
    uint64_t id = cw_send(c[0], cw_register_msg(&made[0]));
    cw_pump(w);
    cw_ask_error(w, c[1], cw_register_msg(&made[1]), PV_CTL_E_FULL);
    cw_release(w, false);
    (void)cw_answer(c[0], id, PV_CTL_REGISTERED);
}

/* A statement of the network's own, of any type. */
static enum pv_ctl_error put_statement(struct cw *w, struct cw_client *c, struct pv_statement *st,
                                       const uint8_t *sk, uint8_t *ret_hash)
{
    struct pv_made_long made;
    memcpy(st->network_id, w->created.network_id, sizeof(st->network_id));
    assert_ok(pv_statement_make(st, pv_signer_sk(sk), NULL, made.raw, sizeof(made.raw), &made.len));
    pv_statement_hash(pv_view(made.raw, made.len), ret_hash);
    return cw_put(w, c, pv_view(made.raw, made.len));
}

/* Whose rights have ended is believed no more. */
PV_TEST(rights_end_by_who_may_revoke)
{
    struct cw *w = begin(6, (struct pv_netlimits){.members = 0});
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 9);
    struct cw_node bob = cw_node_make(w);
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    cw_join(w, &invite, &bob, "bob");
    struct pv_statement grant = {.type = PV_ST_ADMIN, .u.admin = {.rights = 1, .time = CW_WALL}};
    memcpy(grant.u.admin.node, bob.id.pk, PV_SIGN_PK_LEN);
    assert_int_equal(put_statement(w, alice, &grant, w->root.sk, hash), PV_CTL_E_NONE);
    struct pv_statement end = {.type = PV_ST_END, .u.end.time = CW_WALL};
    memcpy(end.u.end.hash, hash, sizeof(hash));
    /* An admin who may only invite ends nobody's rights but its own. */
    memcpy(end.u.end.about, w->alice.id.pk, PV_SIGN_PK_LEN);
    assert_int_equal(put_statement(w, alice, &end, bob.id.sk, hash), PV_CTL_E_NOT_ALLOWED);
    memcpy(end.u.end.about, bob.id.pk, PV_SIGN_PK_LEN);
    assert_int_equal(put_statement(w, alice, &end, w->alice.id.sk, hash), PV_CTL_E_NONE);
    /* A former admin may repeat that it is none, and no more. */
    end.u.end.time++;
    assert_int_equal(put_statement(w, alice, &end, bob.id.sk, hash), PV_CTL_E_NONE);
    struct pv_statement more = {.type = PV_ST_INVITE, .u.invite = {.not_after = 9, .uses = 1}};
    assert_int_equal(put_statement(w, alice, &more, bob.id.sk, hash), PV_CTL_E_NOT_ALLOWED);
}

/* Alice tags herself, or takes the tag in this place back. */
static enum pv_ctl_error put_tag(struct cw *w, struct cw_client *c, uint16_t place, bool set)
{
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    struct pv_statement st = {.type = PV_ST_TAG,
                              .u.tag = {.slot = {.number = place, .seq = set ? 1 : 2},
                                        .kind = set ? PV_TAG_SET : PV_TAG_NONE,
                                        .time = CW_WALL}};
    snprintf(st.u.tag.tag, sizeof(st.u.tag.tag), "%s", set ? "printer" : "none");
    if (set)
        memcpy(st.u.tag.node, w->alice.id.pk, PV_SIGN_PK_LEN);
    return put_statement(w, c, &st, w->alice.id.sk, hash);
}

/* A network that cannot grow goes on: what was allowed is taken back, and its members stay. */
PV_TEST(a_full_log_still_takes_what_takes_no_place)
{
    struct cw *w = begin(8, (struct pv_netlimits){.members = 0});
    struct cw_client *alice = cw_member(w, &w->alice);
    assert_int_equal(put_tag(w, alice, 1, true), PV_CTL_E_NONE);
    alice = restart_with(w, (struct pv_netlimits){.statements = 1});
    assert_int_equal(put_tag(w, alice, 2, true), PV_CTL_E_FULL);
    assert_int_equal(put_tag(w, alice, 1, false), PV_CTL_E_NONE);
    /* A renewal, or another key in the place of a stolen one. */
    struct pv_statement key = {.type = PV_ST_TRANSPORT,
                               .u.transport = {.serial = 9, .transport = {9}, .time = CW_WALL}};
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    assert_int_equal(put_statement(w, alice, &key, w->alice.id.sk, hash), PV_CTL_E_NONE);
}

PV_TEST(a_full_log_still_takes_what_ends_something)
{
    struct cw *w = begin(3, (struct pv_netlimits){.members = 0});
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 9);
    struct cw_node bob = cw_node_make(w);
    alice = restart_with(w, (struct pv_netlimits){.statements = 5});
    struct pv_st_invite more = {.not_before = CW_WALL, .not_after = CW_WALL + 60, .uses = 1};
    struct pv_made made;
    assert_ok(pv_make_invite(w->created.network_id, pv_signer_sk(w->alice.id.sk), &more, &made));
    assert_int_equal(cw_put(w, alice, pv_made_view(&made)), PV_CTL_E_FULL);
    expect_join(w, &invite, &bob, PV_CTL_E_FULL);
    assert_int_equal(revoke(w, alice, PV_REVOKE_INVITE, invite.pk), PV_CTL_E_NONE);
    struct pv_statement end = {.type = PV_ST_END, .u.end.time = CW_WALL};
    uint8_t hash[PV_STATEMENT_HASH_LEN];
    assert_int_equal(put_statement(w, alice, &end, w->alice.id.sk, hash), PV_CTL_E_NONE);
}

static void set_wall(struct cw *w, uint64_t seconds)
{
    pv_coord_set_wall(w->coord, seconds * UINT64_C(1000000), w->now);
}

/* The window of receipts is wider than that: whoever was promised a place in time may take it. */
PV_TEST(an_invite_ends_when_it_says)
{
    struct cw *w = begin(7, (struct pv_netlimits){.members = 0});
    const uint64_t end = CW_WALL + 86400; /* as cw_invite() has it */
    struct cw_keys invite = cw_invite(w, cw_member(w, &w->alice), 9);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    struct cw_client *c = cw_guest(w, &bob);
    set_wall(w, end - 1);
    struct pv_ctl_msg *r = cw_ask(w, c, cw_join_msg(c, &invite, &bob, "bob"), PV_CTL_RESERVATION);
    struct pv_made made = cw_member_statement(
        w, &invite, &bob,
        (struct cw_claim){r->u.reservation.name, r->u.reservation.ip4, 0, CW_WALL});
    set_wall(w, end);
    expect_join(w, &invite, &carol, PV_CTL_E_INVITE_EXPIRED);
    set_wall(w, end + PV_COORD_RESERVE_S);
    cw_ask_error(w, c, cw_register_msg(&made), PV_CTL_E_INVITE_EXPIRED);
    set_wall(w, end + PV_COORD_RESERVE_S - 1);
    cw_ask_ok(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);
}

static uint64_t count_networks(struct cw *w)
{
    struct pv_coord_stats stats;
    pv_coord_stats(w->coord, &stats);
    return stats.networks;
}

static void note_network(void *ctx, const struct pv_coord_network *n)
{
    *(struct pv_coord_network *)ctx = *n;
}

PV_TEST(a_dropped_network_is_gone_with_what_was_under_way)
{
    struct cw *w = begin(4, (struct pv_netlimits){.members = 0});
    const uint8_t *id = w->created.network_id;
    struct pv_coord_network seen = {.members = 0};
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 9);
    struct cw_node bob = cw_node_make(w);
    struct cw_client *guest = cw_login(w, &bob, id, PV_CTL_GUEST);
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
    assert_int_equal(count_networks(w), 1);

    w->hold_jobs = true; /* one is at the store when it ends */
    struct pv_st_invite more = {.not_before = CW_WALL, .not_after = CW_WALL + 60, .uses = 1};
    struct pv_made made;
    assert_ok(pv_make_invite(id, pv_signer_sk(w->alice.id.sk), &more, &made));
    struct pv_ctl_item item = cw_item(pv_made_view(&made));
    (void)cw_send(alice, cw_put_msg(&item, 1));
    cw_pump(w);
    assert_ok(pv_coord_drop_begin(w->coord, id));
    pv_coord_drop_end(w->coord, id, true, w->now);
    cw_release(w, false);
    assert_true(alice->closed && guest->closed);
    assert_int_equal(count_networks(w), 0);
    struct cw_client *c = cw_connect(w, &w->alice);
    cw_ask_error(w, c, cw_hello(c, &w->alice, id, PV_CTL_MEMBER), PV_CTL_E_UNKNOWN_NETWORK);
    pv_coord_drop_end(w->coord, id, true, w->now); /* a second answer is none */
    cw_sleep(w, PV_S(60));
}

PV_TEST(a_new_secret_counts_at_once)
{
    struct cw *w = begin(5, (struct pv_netlimits){.members = 0});
    struct pv_ctl_item items[4];
    uint8_t secret[PV_CTL_SECRET_LEN] = {7};
    pv_coord_set_secret(w->coord, secret);
    cw_make_network(w);
    struct cw_client *c = cw_login(w, &w->alice, NULL, PV_CTL_GUEST);
    cw_ask_error(w, c, cw_create_msg(w, items), PV_CTL_E_NOT_ALLOWED);
    memcpy(w->secret, secret, sizeof(secret));
    cw_ask_ok(w, c, cw_create_msg(w, items), PV_CTL_RECEIPTS);
}

/* Limits hold for networks that are there, addresses for who comes next, and whoever creates needs
 * no secret any more. */
PV_TEST(a_policy_holds_from_now_on)
{
    static const char *const stun[] = {"new.example:3478"};
    static const struct pv_netlimits_table none = {.nets = NULL};
    struct cw *w = begin(6, (struct pv_netlimits){.members = 1});
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 9);
    struct cw_node bob = cw_node_make(w);
    struct pv_ctl_item items[4];
    expect_join(w, &invite, &bob, PV_CTL_E_FULL);
    struct pv_coord_policy policy = {
        .switches.open = true, .stun = stun, .n_stun = 1, .net_limits = &none};
    struct pv_turns_policy *relay = calloc(1, sizeof(*relay));
    assert_non_null(relay);
    pv_coord_set_policy(w->coord, &policy, relay);
    cw_join(w, &invite, &bob, "bob");
    struct cw_client *c = cw_connect(w, &bob);
    struct pv_ctl_msg *welcome = cw_ask(w, c, cw_hello_member(w, c, &bob), PV_CTL_WELCOME);
    assert_int_equal(welcome->u.welcome.n_stun, 1);
    assert_string_equal(welcome->u.welcome.stun[0], stun[0]);
    memset(w->secret, 0, sizeof(w->secret));
    cw_make_network(w);
    c = cw_login(w, &w->alice, NULL, PV_CTL_GUEST);
    cw_ask_ok(w, c, cw_create_msg(w, items), PV_CTL_RECEIPTS);
}

/* Makes the receipt that a former coordinator gave, and the item to put. */
static struct pv_ctl_item received(const struct cw *w, const struct cw_keys *former,
                                   struct pv_view made, uint64_t n,
                                   uint8_t ret_receipt[static PV_RECEIPT_LEN])
{
    struct pv_receipt r = {.epoch = 1, .n = n, .time = CW_WALL - 9 * 86400};
    memcpy(r.network_id, w->created.network_id, sizeof(r.network_id));
    pv_statement_hash(made, r.hash);
    assert_ok(pv_receipt_make(&r, former->sk, ret_receipt));
    return (struct pv_ctl_item){.statement = made, .receipt = pv_view(ret_receipt, PV_RECEIPT_LEN)};
}

/* The chain of an invite that a guest is shown, as a roster; to be freed. */
static struct pv_roster *fetch_chain(struct cw *w, struct cw_client *guest,
                                     const struct cw_keys *invite)
{
    struct pv_ctl_msg fetch = {.type = PV_CTL_FETCH};
    memcpy(fetch.u.fetch.invite, invite->pk, PV_SIGN_PK_LEN);
    struct pv_ctl_msg *m = cw_ask(w, guest, fetch, PV_CTL_STATEMENTS);
    const struct pv_ctl_statements *st = &m->u.statements;
    struct pv_roster *r = NULL;
    enum pv_roster_added added;
    assert_ok(pv_roster_new(st->items[0].statement, w->created.network_id, &w->rng, &r));
    for (size_t i = 0; i < st->n; i++)
        assert_ok(pv_roster_add(r, st->items[i].statement, st->items[i].receipt, &added));
    return r;
}

/* The network has moved to another coordinator, and a token leads to this one. A node that joins
 * here sees that it became a member, although the list in force does not name who signed its
 * receipt. */
PV_TEST(a_former_coordinator_lets_nodes_in_that_understand_it)
{
    static const struct pv_hostport addr = {.host = "next.example", .port = 3478};
    struct cw *w = cw_home(11);
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct pv_made_long record;
    enum pv_roster_added added;
    struct cw_keys next = cw_keys_make(w);
    pv_coordlist_put(&lw, next.pk, &addr, 1);
    assert_ok(pv_make_coordinators(w->created.network_id, pv_signer_sk(w->root.sk), 7,
                                   pv_written(&lw), &record));
    struct cw_client *alice = cw_member(w, &w->alice);
    struct cw_keys invite = cw_invite(w, alice, 1);
    assert_int_equal(cw_put(w, alice, pv_view(record.raw, record.len)), PV_CTL_E_NONE);

    struct cw_node bob = cw_node_make(w);
    struct cw_client *c = cw_guest(w, &bob);
    struct pv_roster *r = fetch_chain(w, c, &invite);
    struct pv_made made = cw_reserve(w, c, &invite, &bob, "bob");
    struct pv_ctl_msg *m = cw_ask(w, c, cw_register_msg(&made), PV_CTL_REGISTERED);
    assert_ok(
        pv_roster_add(r, m->u.registered.item.statement, m->u.registered.item.receipt, &added));
    struct pv_roster_event event;
    while (pv_roster_poll_event(r, &event) == PV_OK)
        assert_int_not_equal(event.type, PV_ROSTER_EV_REFUSED);
    assert_true(pv_view_equal(pv_roster_coordinators(r), pv_written(&lw)));
    assert_non_null(pv_roster_enrolled(r, bob.id.pk));
    pv_roster_free(r);
}

static struct pv_made_long list_of(struct cw *w, const struct cw_node *signer, uint64_t seq,
                                   const struct cw_keys *coordinator)
{
    static const struct pv_hostport addr = {.host = "next.example", .port = 3478};
    uint8_t list[PV_STATEMENT_LIST_MAX];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct pv_made_long made;
    pv_coordlist_put(&lw, coordinator->pk, &addr, 1);
    assert_ok(pv_make_coordinators(w->created.network_id, pv_signer_sk(signer->id.sk), seq,
                                   pv_written(&lw), &made));
    return made;
}

/* An admin moved a part of the network that was cut off, and was removed meanwhile. A node that
 * joins here must not follow that list: nobody is there. */
PV_TEST(a_guest_hears_that_who_moved_the_network_was_removed)
{
    struct cw *w = cw_new(12);
    struct pv_ctl_item items[7];
    struct pv_made grant;
    struct pv_made_long end;
    uint8_t receipt[PV_RECEIPT_LEN];
    cw_start(w);
    cw_make_network(w);
    struct cw_keys next = cw_keys_make(w);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    struct pv_st_admin admin = {.rights = PV_RIGHT_INVITE | PV_RIGHT_REVOKE};
    struct pv_statement st = {
        .type = PV_ST_REVOCATION,
        .u.revocation = {.kind = PV_REVOKE_NODE, .time = CW_WALL},
    };
    memcpy(admin.node, bob.id.pk, sizeof(admin.node));
    memcpy(st.u.revocation.pk, bob.id.pk, PV_SIGN_PK_LEN);
    memcpy(st.network_id, w->created.network_id, sizeof(st.network_id));
    assert_ok(pv_make_admin(w->created.network_id, pv_signer_sk(w->root.sk), &admin, &grant));
    assert_ok(
        pv_statement_make(&st, pv_signer_sk(w->root.sk), NULL, end.raw, sizeof(end.raw), &end.len));
    struct pv_made_long moved = list_of(w, &bob, 9, &next);
    struct pv_ctl_msg create = cw_create_msg(w, items);
    items[4] = cw_item(pv_made_view(&grant));
    items[5] = cw_item(pv_view(end.raw, end.len));
    items[6] = received(w, &next, pv_view(moved.raw, moved.len), 1, receipt);
    create.u.put.n = PV_ARRAY_LEN(items);
    cw_ask_ok(w, cw_login(w, &w->alice, NULL, PV_CTL_GUEST), create, PV_CTL_RECEIPTS);

    struct cw_keys invite = cw_invite(w, cw_member(w, &w->alice), 1);
    struct pv_roster *r = fetch_chain(w, cw_guest(w, &carol), &invite);
    struct pv_roster_event event;
    while (pv_roster_poll_event(r, &event) == PV_OK)
        continue;
    struct pv_statement first;
    assert_ok(pv_statement_decode(pv_view(w->created.coordinators.raw, w->created.coordinators.len),
                                  &first));
    assert_true(pv_view_equal(pv_roster_coordinators(r), first.u.coordinators.list));
    pv_roster_free(r);
}

/* The former coordinator is gone for good. An invite that has ended since let two nodes in there:
 * bob, who moves the network, and carol, of whose removal this one hears first. */
PV_TEST(whom_a_former_coordinator_let_in_belongs_to_a_network_that_moves)
{
    static const struct pv_hostport addr = {.host = "former.example", .port = 3478};
    struct cw *w = cw_new(10);
    uint8_t list[PV_STATEMENT_LIST_MAX], receipts[2][PV_RECEIPT_LEN];
    struct pv_writer lw = pv_writer(list, sizeof(list));
    struct pv_ctl_item items[7];
    struct pv_made_long record;
    struct pv_made made[3];
    cw_start(w);
    cw_make_network(w);
    struct cw_keys former = cw_keys_make(w), ended = cw_keys_make(w);
    struct cw_node bob = cw_node_make(w), carol = cw_node_make(w);
    pv_coordlist_put(&lw, former.pk, &addr, 1);
    assert_ok(pv_make_coordinators(w->created.network_id, pv_signer_sk(w->root.sk), 7,
                                   pv_written(&lw), &record));
    struct pv_st_invite invite = {
        .not_before = CW_WALL - 10 * 86400, .not_after = CW_WALL - 8 * 86400, .uses = 2};
    memcpy(invite.invite, ended.pk, sizeof(invite.invite));
    assert_ok(
        pv_make_invite(w->created.network_id, pv_signer_sk(w->alice.id.sk), &invite, &made[0]));
    made[1] = cw_member_statement(
        w, &ended, &bob, (struct cw_claim){"bob", (const uint8_t[]){10, 66, 0, 7}, 0, CW_WALL});
    made[2] = cw_member_statement(
        w, &ended, &carol, (struct cw_claim){"carol", (const uint8_t[]){10, 66, 0, 8}, 0, CW_WALL});

    struct pv_ctl_msg create = cw_create_msg(w, items);
    items[4] = cw_item(pv_view(record.raw, record.len));
    items[5] = cw_item(pv_made_view(&made[0]));
    items[6] = received(w, &former, pv_made_view(&made[1]), 1, receipts[0]);
    create.u.put.n = PV_ARRAY_LEN(items);
    cw_ask_ok(w, cw_login(w, &bob, NULL, PV_CTL_GUEST), create, PV_CTL_RECEIPTS);
    struct cw_client *b = cw_member(w, &bob), *alice = cw_member(w, &w->alice);

    assert_int_equal(revoke(w, alice, PV_REVOKE_NODE, carol.id.pk), PV_CTL_E_NONE);
    struct pv_ctl_item late = received(w, &former, pv_made_view(&made[2]), 2, receipts[1]);
    struct pv_ctl_msg put = cw_put_msg(&late, 1);
    struct pv_ctl_msg *m = cw_ask(w, b, put, PV_CTL_RECEIPTS);
    assert_int_equal(m->u.receipts.results[0].error, PV_CTL_E_NONE);
}
