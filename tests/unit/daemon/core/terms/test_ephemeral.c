/* SPDX-License-Identifier: MIT */
/* Ephemeral members that fell silent: who removes them, and after how long. */
#include "daemon/core/admin/ending.h"
#include "daemon/core/member/owed.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/terms/ephemeral.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_peer *guest;
static unsigned n_removed;

/* --- what stands in for other parts ----------------------------------------------------------- */

int pv_ending_remove(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    assert_memory_equal(pk, keys_of(31).pk, PV_SIGN_PK_LEN);
    n_removed++;
    return PV_OK;
}

void pv_owed_hurry(struct pv_node *n, pv_ns now)
{
}

void pv_rostersync_hurry(struct pv_node *n, pv_ns now)
{
}

void pv_presence_subscribe(struct pv_node *n, const uint8_t *pk)
{
}

/* --- the scene -------------------------------------------------------------------------------- */

/* Alice is an admin; guest joined by an invite for that lifetime. */
static void begin(uint32_t lifetime)
{
    const struct keys invite = keys_of(30), key = keys_of(31);
    n_removed = 0;
    fake_peers_init(&x, &pv_part_ephemeral);
    fake_node_enter(&x.f);
    fake_node_add(&x.f, make_terms(&x.f.world, &x.f.world.creator, &invite, 0, lifetime));
    struct pv_st_member m = member_fields(&key, "guest", 9, 1);
    fake_node_add(&x.f, make_member_f(&x.f.world, &invite, &key, &m));
    const struct pv_member *member = pv_roster_by_name(x.f.node.roster, "guest");
    assert_non_null(member);
    assert_int_equal(pv_member_is_ephemeral(member), lifetime < PV_ROSTER_EPHEMERAL_BELOW);
    assert_ok(pv_peers_add_member(x.f.node.peers, member, x.f.now));
    guest = pv_peers_by_pk(x.f.node.peers, member->node);
    fake_node_start(&x.f);
    x.f.node.online = true;
    fake_node_raise(&x.f, PV_FACT_ONLINE);
}

void test_before_each(void)
{
    begin(PV_ROSTER_EPHEMERAL_LIFE);
}

static void says(enum pv_presence presence)
{
    pv_peer_set_presence(guest, presence, 1, x.f.now);
    pv_peers_touch(x.f.node.peers, guest, x.f.now);
    fake_peers_settle(&x);
}

/* --- tests ------------------------------------------------------------------------------------ */

PV_TEST(a_member_that_is_silent_for_ten_minutes_is_removed)
{
    says(PV_PRESENCE_OFFLINE);
    fake_node_wait(&x.f, PV_EPHEMERAL_SILENCE);
    assert_int_equal(n_removed, 0);
    fake_node_wait(&x.f, PV_EPHEMERAL_CHANCE + 2 * PV_EPHEMERAL_LOOK);
    assert_in_range(n_removed, 1, 6); /* the roster of this test has it still */
}

PV_TEST(a_member_that_comes_back_in_time_stays)
{
    for (int i = 0; i < 4; i++) {
        says(PV_PRESENCE_OFFLINE);
        fake_node_wait(&x.f, PV_EPHEMERAL_SILENCE - PV_S(60));
        says(PV_PRESENCE_ONLINE);
        fake_node_wait(&x.f, PV_S(60));
    }
    assert_int_equal(n_removed, 0);
}

/* A node without a coordinator knows of nobody whether he is there. */
PV_TEST(a_node_that_is_not_connected_removes_nobody)
{
    says(PV_PRESENCE_OFFLINE);
    x.f.node.online = false;
    fake_node_raise(&x.f, PV_FACT_OFFLINE);
    fake_node_wait(&x.f, PV_S(3600));
    assert_int_equal(n_removed, 0);
    x.f.node.online = true;
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_node_wait(&x.f, PV_EPHEMERAL_SILENCE - PV_S(1));
    assert_int_equal(n_removed, 0);
}

PV_TEST(other_members_may_be_silent_for_ever)
{
    fake_node_done(&x.f);
    begin(90 * 86400);
    says(PV_PRESENCE_OFFLINE);
    fake_node_wait(&x.f, PV_S(86400));
    assert_int_equal(n_removed, 0);
}
