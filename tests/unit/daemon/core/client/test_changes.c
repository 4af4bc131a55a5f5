/* SPDX-License-Identifier: MIT */
/* Clients are told when something has become otherwise. */
#include "daemon/core/client/info.h"
#include "daemon/core/client/why.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/parts.h"
#include "tests/unit/daemon/core/client/fake_client.h"

static struct fake_peers x;
static struct pv_peer *bob;
static const struct pv_addr there = {.family = PV_AF_INET, .ip = {192, 0, 2, 7}, .port = 51820};
static uint64_t heard; /* number of the last event that was looked at */

/* The words of the other parts. */
static struct {
    const char *state, *problem; /* problem NULL: none */
    bool connected;
    unsigned pages; /* of status that were asked for */
} others;

struct pv_statuspage *pv_info_page(const struct pv_node *n, pv_ns now)
{
    struct pv_statuspage *st = test_alloc(sizeof(*st));
    others.pages++;
    st->s.state = others.state;
    st->s.connected = others.connected;
    st->s.coordinator = "192.0.2.1:3478";
    if (others.problem != NULL)
        pv_statuspage_problem(st, others.problem, "");
    return st;
}

void pv_why_reached(struct pv_peer *p, char buf[static PV_CTLAPI_ERROR_BUF], pv_ns now)
{
    snprintf(buf, PV_CTLAPI_ERROR_BUF, "%s as why says", pv_peer_name(p));
}

void pv_why_cause(struct pv_peer *p, struct pv_cause *ret_cause, pv_ns now)
{
    *ret_cause = (struct pv_cause){.code = "direct_well"};
}

const struct pv_policy *pv_rules_policy(const struct pv_node *n)
{
    return NULL;
}

void test_before_each(void)
{
    others.state = "up";
    others.problem = NULL;
    others.connected = true;
    fake_peers_init(&x, &pv_part_changes);
    fake_node_enter(&x.f);
    bob = fake_peers_member(&x, 5, "bob", 5);
    fake_node_start(&x.f);
    fake_peers_settle(&x);
    heard = x.f.node.events.next - 1;
}

void test_after_each(void)
{
    pv_events_done(&x.f.node.events);
}

/* The next event that was told. */
static void expect(const char *kind, const char *what, const char *text)
{
    const struct pv_events *e = &x.f.node.events;
    assert_true(++heard < e->next);
    const struct pv_events_kept *k =
        &e->kept[e->n_kept - (e->next - heard)]; /* none is lost here */
    assert_int_equal(k->number, heard);
    assert_string_equal(k->kind, kind);
    assert_string_equal(k->what, what);
    assert_string_equal(k->text, text);
}

static void expect_nothing(void)
{
    assert_int_equal(x.f.node.events.next, heard + 1);
}

static void look(void)
{
    fake_node_wait(&x.f, PV_S(2));
    fake_node_raise(&x.f, PV_FACT_COORDINATOR);
    fake_node_wait(&x.f, PV_S(2));
}

PV_TEST(a_problem_is_told_when_it_comes_and_when_it_is_gone_and_not_when_its_numbers_grow)
{
    others.problem = "a statement was refused (and 1 more)";
    look();
    expect("problem", "came", "a statement was refused (and 1 more)");
    others.problem = "a statement was refused (and 27 more)";
    look();
    expect_nothing();
    others.problem = NULL;
    look();
    expect("problem", "gone", "a statement was refused (and 1 more)");
    expect_nothing();
}

PV_TEST(digits_of_a_name_are_no_amount)
{
    others.problem = "member pi-1 is not called pi12 for 3 days";
    look();
    expect("problem", "came", "member pi-1 is not called pi12 for 3 days");
    others.problem = "member pi-1 is not called pi13 for 3 days";
    look();
    expect("problem", "gone", "member pi-1 is not called pi12 for 3 days");
    expect("problem", "came", "member pi-1 is not called pi13 for 3 days");
    others.problem = "member pi-2 is not called pi13 for 4 days";
    look();
    expect("problem", "gone", "member pi-1 is not called pi13 for 3 days");
    expect("problem", "came", "member pi-2 is not called pi13 for 4 days");
}

/* The roster alone knows of some problems. */
PV_TEST(a_problem_that_statements_bring_is_told_soon)
{
    others.problem = "member bob is not called rob";
    fake_node_wait(&x.f, PV_S(2));
    fake_node_raise(&x.f, PV_FACT_STATEMENTS);
    expect("problem", "came", "member bob is not called rob");
}

PV_TEST(silence_by_udp_and_what_it_is_by_the_paths_are_told_soon)
{
    others.problem = "UDP is blocked";
    fake_node_wait(&x.f, PV_S(2));
    fake_node_raise(&x.f, PV_FACT_UDP);
    expect("problem", "came", "UDP is blocked");
    x.f.node.ways.udp_blocked = true;
    fake_node_wait(&x.f, PV_S(2));
    others.problem = "UDP is closed at the coordinator";
    fake_peers_path(&x, bob, &there);
    expect("member", "online", "bob is online");
    expect("path", "direct", "bob as why says");
    expect("problem", "gone", "UDP is blocked");
    expect("problem", "came", "UDP is closed at the coordinator");
}

PV_TEST(the_state_of_this_node_and_its_coordinator_are_told_when_they_change)
{
    others.state = "connecting";
    others.connected = false;
    look();
    expect("node", "connecting", "this node is connecting");
    expect("coordinator", "away", "cannot reach the coordinator");
    look();
    expect_nothing();
}

PV_TEST(
    the_page_of_status_is_asked_for_ten_times_at_once_whatever_happens_and_never_by_a_timer_alone)
{
    look();
    unsigned before = others.pages;
    for (unsigned i = 0; i < 100; i++)
        fake_node_raise(&x.f, PV_FACT_COORDINATOR);
    assert_in_range(others.pages, before + 2, before + 10);
    others.problem = "the last one";
    fake_node_raise(&x.f, PV_FACT_COORDINATOR);
    fake_node_wait(&x.f, PV_S(2));
    expect("problem", "came", "the last one");
    assert_int_equal(pv_part_changes.next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(tells_the_state_again_when_a_network_came_and_went_between_two_looks)
{
    others.state = "none";
    look();
    expect("node", "none", "this node is in no network");
    for (unsigned i = 0; i < 20; i++)
        fake_node_raise(&x.f, PV_FACT_COORDINATOR);
    fake_node_raise(&x.f, PV_FACT_NETWORK); /* it joins, and leaves again */
    fake_node_raise(&x.f, PV_FACT_NETWORK);
    fake_node_wait(&x.f, PV_S(2));
    expect("node", "none", "this node is in no network");
    expect_nothing();
}

PV_TEST(a_path_is_told_in_the_words_of_why_when_it_comes_and_when_it_goes)
{
    fake_peers_path(&x, bob, &there);
    expect("member", "online", "bob is online");
    expect("path", "direct", "bob as why says");
    fake_peers_path(&x, bob, &there);
    expect_nothing();
    fake_peers_path(&x, bob, NULL);
    expect("member", "offline", "bob is offline");
    expect("path", "idle", "bob as why says");
    expect_nothing();
}

PV_TEST(a_peer_that_comes_and_goes_all_the_time_is_told_of_less_and_at_last_as_it_is)
{
    uint64_t before = x.f.node.events.next;
    for (unsigned i = 0; i < 1001; i++)
        fake_peers_path(&x, bob, i % 2 == 0 ? &there : NULL);
    assert_true(x.f.node.events.next - before <= 2 * 10);
    fake_peers_path(&x, bob, NULL);
    fake_node_wait(&x.f, PV_S(30));
    heard = x.f.node.events.next - 3;
    expect("member", "offline", "bob is offline");
    expect("path", "idle", "bob as why says");
    expect_nothing();
    assert_int_equal(pv_part_changes.next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(amounts_of_peers_with_a_path_are_told_to_followers_that_want_them)
{
    struct pv_events *e = &x.f.node.events;
    uint32_t sid = fake_client_open(&x);
    struct fake_asked asked =
        fake_node_ask(&x.f, sid, "{\"id\":1,\"cmd\":\"watch\",\"what\":\"all\"}\n");
    assert_ok(pv_events_follow(e, asked.handle, 0, 0));
    pv_events_want_figures(e, asked.handle, PV_S(10), x.f.now);
    fake_node_wait(&x.f, PV_S(1));
    assert_has(fake_client_read(&x, sid), "'event':'figures','peers':[]");
    fake_peers_path(&x, bob, &there);
    assert_lacks(fake_client_read(&x, sid), "figures");
    fake_node_wait(&x.f, PV_S(11));
    assert_non_null(
        strstr(fake_client_read(&x, sid), "\"peers\":[{\"name\":\"bob\",\"tx_bytes\":"));
    pv_events_drop(e, asked.handle);
    assert_int_equal(pv_part_changes.next_timeout(x.f.self), PV_NEVER);
    pv_ctlapi_request_done(&asked.req);
}

PV_TEST(of_members_that_were_never_reached_nothing_is_kept)
{
    pv_peers_touch(x.f.node.peers, bob, x.f.now);
    fake_peers_settle(&x);
    assert_null(pv_peer_find_slot(bob, &pv_part_changes));
}
