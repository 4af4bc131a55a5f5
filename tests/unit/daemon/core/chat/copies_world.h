/* SPDX-License-Identifier: MIT */
/*
 * copies_world.h - a node with the part "copies", the coordinator's answers to it in the test's
 * hands, and boxes that bob seals for it.
 */
#pragma once

#include "daemon/core/chat/copies.h"
#include "proto/chat/parcel.h"
#include "tests/unit/daemon/core/fake_chat.h"
#include "tests/unit/daemon/core/member/fake_coord.h"

static struct fake_chat chat;
static struct fake_node *const node = &chat.node;

/* Chatlink has something for copies. */
static inline void tell(void *n, const struct pv_chatlink_event *ev, pv_ns now)
{
    if (ev->type == PV_CHATLINK_COPY)
        pv_copies_committed(n, ev->tag, ev->status, now);
    else if (ev->type == PV_CHATLINK_QUEUED)
        pv_copies_queued(n, ev->msg.peer);
}

static inline int begin(bool store)
{
    fake_chat_init(&chat, &pv_part_copies);
    node->cfg.chat.store = store;
    fake_chat_make_link(&chat, tell);
    fake_chat_make_rooms(&chat);
    fake_chat_start(&chat);
    node->node.parts[0] = (struct pv_part_slot){.part = &pv_part_copies, .self = node->self};
    node->node.n_parts = 1;
    return 0;
}

static inline int start(void **state)
{
    return begin(true);
}

static inline int stop(void **state)
{
    fake_coord_done();
    fake_chat_done(&chat, true, true);
    return 0;
}

static inline void set_online(bool online)
{
    node->node.online = online;
    pv_node_raise(&node->node, online ? PV_FACT_ONLINE : PV_FACT_OFFLINE);
    fake_peers_settle(&chat.peers);
}

/* The next request must be of this type; it gets this answer. */
static inline void answer(enum pv_ctl_type asked, const struct pv_ctl_msg *msg)
{
    uint64_t tag;
    struct pv_ctl_msg *request = fake_coord_take(asked, &tag);
    pv_part_copies.on_answer(node->self, tag, msg, node->now);
    fake_peers_settle(&chat.peers);
    pv_ctl_msg_free(request);
}

/* Nothing waits at the coordinator for this node. */
static inline void nothing_to_collect(void)
{
    const struct pv_ctl_msg none = {.type = PV_CTL_COPY};
    answer(PV_CTL_COLLECT, &none);
}

/* The key of alice that bob seals to; NULL: the one she uses. */
static const uint8_t *sealed_to;

static const struct pv_sealing_to *sealed_hybrid; /* NULL: hand_over() makes other boxes */
static char sealed_text[PV_CHAT_TEXT_MAX + 1] = "hi";

/* A box of bob's for alice: PV_PARCEL_BOX_MAX bytes, the caller frees it. */
static inline uint8_t *make_box(uint8_t id, size_t *ret_len)
{
    struct pv_signal_route route;
    struct pv_noise_static bob = {.sk = chat.bob_sk};
    const struct pv_parcel_keys keys = {.local = &bob,
                                        .remote =
                                            sealed_to != NULL ? sealed_to : node->identity.dh_pk,
                                        .sk = chat.bob_keys.sk,
                                        .hybrid = sealed_hybrid};
    const struct pv_parcel parcel = {.id = {id},
                                     .seq = 1,
                                     .time_ms = 1700000000000,
                                     .text = pv_view(sealed_text, strlen(sealed_text))};
    uint8_t *box = malloc(PV_PARCEL_BOX_MAX);
    memcpy(bob.pk, chat.bob_pk, sizeof(bob.pk));
    memcpy(route.network_id, pv_roster_network_id(node->node.roster), sizeof(route.network_id));
    memcpy(route.from, chat.bob_keys.pk, sizeof(route.from));
    memcpy(route.to, node->identity.sign_pk, sizeof(route.to));
    assert_int_equal(pv_parcel_seal(&route, &keys, &node->node.rng, &parcel, box, ret_len), PV_OK);
    return box;
}

/* A copy from bob for alice, as the coordinator hands it over. */
static inline void hand_over(uint64_t number, bool forged)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_COPY};
    size_t len;
    uint8_t *box = make_box(9, &len);
    box[len / 2] ^= forged;
    msg.u.copy.n = number;
    memcpy(msg.u.copy.from, chat.bob_keys.pk, sizeof(msg.u.copy.from));
    msg.u.copy.box = pv_view(box, len);
    answer(PV_CTL_COLLECT, &msg);
    free(box);
}

static inline void expect_collect(uint64_t after, uint64_t taken)
{
    assert_int_equal(fake_coord.n, 1);
    assert_int_equal(fake_coord.asked[0].msg->type, PV_CTL_COLLECT);
    assert_int_equal(fake_coord.asked[0].msg->u.collect.after, after);
    assert_int_equal(fake_coord.asked[0].msg->u.collect.taken, taken);
}
