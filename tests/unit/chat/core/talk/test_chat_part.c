/* SPDX-License-Identifier: MIT */
/* The part around chatlink: who counts as there, whose connections are taken, what clients hear. */
#include "chat/core/talk/chat_part.h"
#include "proto/local/ctlapi_request.h"
#include "tests/unit/chat/fake_chat.h"

static struct fake_chat chat;
static struct fake_node *const node = &chat.peers.f;

void test_before_each(void)
{
    fake_chat_init(&chat, &pv_chatpart_chat);
    fake_chat_make_rooms(&chat);
    fake_chat_start(&chat);
    /* Nothing is sent before chatlink knows what waits. */
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_COUNTS), PV_OK,
                     fake_chat_messages(chat.bob_keys.pk, 0));
}

void test_after_each(void)
{
    fake_chat_done(&chat, false, true);
}

/* Whether a connection to bob is opened now. */
static bool opens(void)
{
    struct pv_stream_op op;
    if (pv_streams_next_op(&node->node.streams, &op) != PV_OK)
        return false;
    assert_int_equal(op.type, PV_STREAM_OPEN);
    assert_true(pv_addr_equal_ip(&op.addr, pv_peer_ip4(chat.bob)));
    assert_true(pv_addr_equal_ip(&op.local, &pv_node_self(&node->node)->ip4));
    return true;
}

/* A message for bob is stored: the request 77 is answered. */
static void send_to_bob(void)
{
    const struct pv_chatlink_message msg = {
        .pk = chat.bob_keys.pk, .name = "bob", .text = "hello", .wall_ms = 1};
    assert_ok(pv_chatlink_send(chat.chat->link, 77, &msg, node->now));
    fake_peers_settle(&chat.peers);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_ENQUEUE), PV_OK,
                     fake_chat_messages(chat.bob_keys.pk, 1));
}

static void watch(bool seen)
{
    struct fake_asked asked = fake_node_ask(node, chat.client, test_given("watch what chat"));
    assert_ok(pv_events_listen(&node->node.events, asked.handle, seen));
    pv_ctlapi_request_done(&asked.req);
}

PV_TEST(a_send_whose_id_is_that_of_another_text_is_refused)
{
    struct fake_asked asked = fake_node_ask(node, chat.client, "{\"id\":5,\"cmd\":\"status\"}\n");
    const struct pv_chatlink_message msg = {
        .pk = chat.bob_keys.pk, .name = "bob", .text = "hello", .wall_ms = 1};
    assert_ok(pv_chatlink_send(chat.chat->link, asked.handle, &msg, node->now));
    pv_ctlapi_request_done(&asked.req);
    fake_peers_settle(&chat.peers);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_ENQUEUE), PV_ERR_EXISTS, NULL);
    assert_reply(node, chat.client, "send: that id was taken with another text");
    assert_false(opens());
}

PV_TEST(a_message_that_waits_goes_out_when_the_peer_is_there)
{
    send_to_bob();
    assert_false(opens());
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    assert_true(opens());
}

PV_TEST(a_path_is_enough_without_the_coordinators_word)
{
    send_to_bob();
    fake_peers_reach(&chat.peers, chat.bob);
    assert_true(opens());
}

PV_TEST(nobody_is_there_before_the_interface_is)
{
    node->node.iface.state = PV_IFACE_RISING;
    send_to_bob();
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    assert_false(opens());
    node->node.iface.state = PV_IFACE_UP;
    pv_node_raise(&node->node, PV_FACT_INTERFACE);
    fake_peers_settle(&chat.peers);
    assert_true(opens());
}

/* `down`: the interface stays a moment longer, for the word of it. */
PV_TEST(nobody_is_called_after_the_goodbye)
{
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    node->node.up = false;
    pv_node_raise(&node->node, PV_FACT_UP);
    fake_peers_settle(&chat.peers);
    send_to_bob();
    fake_peers_reach(&chat.peers, chat.bob);
    assert_false(opens());
    node->node.up = true;
    pv_node_raise(&node->node, PV_FACT_UP);
    fake_peers_settle(&chat.peers);
    assert_true(opens());
}

/* Not to a phone, whose machine has no chat: neither when it is heard nor after `up`. */
PV_TEST(no_connection_is_tried_to_a_phone)
{
    const struct pv_member *m = pv_roster_by_node(node->node.roster, chat.bob_keys.pk);
    assert_ok(pv_peers_set_phone(node->node.peers, m, true, node->now));
    chat.bob = pv_peers_by_pk(node->node.peers, chat.bob_keys.pk);
    send_to_bob();
    fake_peers_reach(&chat.peers, chat.bob);
    pv_node_raise(&node->node, PV_FACT_UP);
    fake_peers_settle(&chat.peers);
    assert_false(opens());
}

PV_TEST(a_lost_coordinator_makes_nobody_go_away)
{
    watch(false);
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_ONLINE);
    assert_reply(node, chat.client, "'online':true");
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_UNKNOWN);
    assert_string_equal(fake_ctl_reply(node, chat.client), "");
    send_to_bob();
    fake_ctl_reply(node, chat.client);
    assert_true(opens());
    fake_peers_presence(&chat.peers, chat.bob, PV_PRESENCE_OFFLINE);
    assert_reply(node, chat.client, "'online':false");
}

static int accept_from(const struct pv_addr *ip, uint32_t *ret_sid)
{
    struct pv_stream_peer who = {.remote = *ip};
    who.remote.port = 40000;
    return pv_bind_chat.streams[0].accepted(node->self, &who, ret_sid, node->now);
}

PV_TEST(only_members_may_connect)
{
    const struct pv_addr stranger = pv_addr4(10, 66, 9, 9, 0);
    uint32_t sid;
    assert_ok(accept_from(pv_peer_ip4(chat.bob), &sid));
    assert_int_equal(accept_from(&stranger, &sid), PV_ERR_REFUSED);
    assert_int_equal(accept_from(&pv_node_self(&node->node)->ip4, &sid), PV_ERR_REFUSED);
}

PV_TEST(a_line_that_came_is_told_once_it_is_stored)
{
    static const char line[] = "hi there\n";
    uint32_t sid;
    watch(true);
    assert_ok(accept_from(pv_peer_ip4(chat.bob), &sid));
    pv_bind_chat.streams[0].bytes(node->self, sid, pv_view(line, sizeof(line) - 1), node->now);
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_COMMIT);
    assert_string_equal(job->msgs[0].text, "hi there");
    assert_string_equal(fake_ctl_reply(node, chat.client), "");
    struct pv_chatjob_result *r = fake_chat_messages(chat.bob_keys.pk, 1);
    r->msgs[0].outgoing = false;
    r->msgs[0].state = PV_CHAT_UNREAD;
    fake_chat_answer(&chat, job, PV_OK, r);
    const char *told = fake_ctl_reply(node, chat.client);
    assert_has(told, "'event':'message'");
    /* Somebody reads along: it counts as read. */
    assert_shows("told", told);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_SEEN), PV_OK, NULL);
}

PV_TEST(a_line_that_is_not_stored_is_not_told)
{
    static const char line[] = "hi there\n";
    uint32_t sid;
    watch(true);
    assert_ok(accept_from(pv_peer_ip4(chat.bob), &sid));
    pv_bind_chat.streams[0].bytes(node->self, sid, pv_view(line, sizeof(line) - 1), node->now);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_COMMIT), PV_ERR_NO_SPACE, NULL);
    assert_string_equal(fake_ctl_reply(node, chat.client), "");
}

PV_TEST(connections_of_a_member_that_leaves_are_closed)
{
    struct pv_stream_op op;
    uint32_t sid;
    assert_ok(accept_from(pv_peer_ip4(chat.bob), &sid));
    fake_peers_leaves(&chat.peers, chat.bob);
    assert_ok(pv_streams_next_op(&node->node.streams, &op));
    assert_int_equal(op.type, PV_STREAM_CLOSE);
    assert_int_equal(pv_sid_local(op.sid), sid);
}
