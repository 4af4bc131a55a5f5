/* SPDX-License-Identifier: MIT */
/* The table of members of the network at rooms. What rooms do is in tests/chat/rooms.chat. */
#include "chat/core/rooms/rooms_int.h"
#include "tests/unit/test_util.h"

static struct test_rng rng;
static struct pv_chat_store store;
static struct pv_rooms *rooms;

static bool knows(const void *owner, const uint8_t *pk, struct pv_overlay_member *ret_member)
{
    *ret_member = (struct pv_overlay_member){.kind = PV_OVERLAY_MEMBER};
    return true;
}

static int run_op(struct pv_chat_store *of, const struct pv_chatop *op,
                  struct pv_chatop_result *ret)
{
    *ret = (struct pv_chatop_result){.msgs = NULL};
    return PV_ERR_STATE;
}

void test_before_each(void)
{
    static const uint8_t network[PV_ROOM_NETWORK_LEN] = {1}, sk[PV_SIGN_SK_LEN];
    const struct pv_rooms_config cfg = {.rng = test_rng_make(&rng, 1),
                                        .store = &store,
                                        .signer = pv_appsigner_of(sk),
                                        .known = knows,
                                        .own_pk = {9}};
    store = (struct pv_chat_store){.run = run_op};
    assert_ok(pv_rooms_new(&rooms, &cfg));
    pv_rooms_set_network(rooms, network, cfg.own_pk, PV_S(1));
}

void test_after_each(void)
{
    rooms = pv_rooms_free(rooms);
}

static const uint8_t *member(unsigned i)
{
    static uint8_t pk[PV_SIGN_PK_LEN];
    memset(pk, 0xee, sizeof(pk));
    memcpy(pk, &i, sizeof(i));
    return pk;
}

/* Of thousands of members most are never there. */
PV_TEST(a_member_that_was_never_there_takes_no_memory)
{
    assert_ok(pv_rooms_peer_online(rooms, member(1), false, PV_S(1)));
    pv_rooms_peer_up(rooms, member(1), false, PV_S(1));
    assert_null(pv_rooms_peer_find(rooms, member(1)));
    pv_rooms_peer_up(rooms, member(1), true, PV_S(1));
    assert_non_null(pv_rooms_peer_find(rooms, member(1)));
    pv_rooms_peer_gone(rooms, member(1));
    assert_null(pv_rooms_peer_find(rooms, member(1)));
    pv_rooms_peer_gone(rooms, member(1));
}

/* A peer that is there keeps its place. */
PV_TEST(in_a_full_table_a_peer_that_is_away_gives_way)
{
    unsigned n = 0;
    while (pv_rooms_peer_online(rooms, member(n), true, PV_S(1)) == PV_OK)
        n++;
    assert_int_equal(n, PV_ROOMS_MAX_PEERS);
    assert_int_equal(pv_rooms_peer_online(rooms, member(n), true, PV_S(1)), PV_ERR_LIMIT);
    assert_ok(pv_rooms_peer_online(rooms, member(7), false, PV_S(1)));
    assert_ok(pv_rooms_peer_online(rooms, member(n), true, PV_S(1)));
    assert_null(pv_rooms_peer_find(rooms, member(7)));
    assert_non_null(pv_rooms_peer_find(rooms, member(8)));
}
