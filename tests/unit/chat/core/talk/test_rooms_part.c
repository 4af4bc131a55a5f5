/* SPDX-License-Identifier: MIT */
/* The part around rooms: network and peers, lines on chatlink's connections, commands. */
#include <errno.h>

#include "chat/core/base/roomjob.h"
#include "chat/core/talk/rooms_part.h"
#include "daemon/core/peer/peer_show.h"
#include "tests/unit/chat/fake_chat.h"

static struct fake_chat chat;
static struct fake_node *const node = &chat.peers.f;

void test_before_each(void)
{
    fake_chat_init(&chat, &pv_chatpart_rooms);
    fake_chat_make_link(&chat, NULL);
    fake_chat_start(&chat);
}

void test_after_each(void)
{
    fake_chat_done(&chat, true, false);
}

static struct pv_chatjob_result *no_rooms(void)
{
    struct pv_chatjob_result *r = test_alloc(sizeof(*r));
    r->room = test_alloc(sizeof(*r->room));
    return r;
}

/* The rooms of the network are loaded: there are none. */
static void load(void)
{
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_ROOM), PV_OK, no_rooms());
}

static void say(const char *line)
{
    fake_ctl_say(node, chat.client, line);
    fake_peers_settle(&chat.peers);
}

/* The answer has this. */
static void say_and_hear(const char *line, const char *text)
{
    say(line);
    assert_reply(node, chat.client, text);
}

static void open_crew(void)
{
    say("{'id':1,'cmd':'room_create','room':'crew'}");
    assert_string_equal(fake_ctl_reply(node, chat.client), "");
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_ROOM), PV_OK, no_rooms());
    assert_reply(node, chat.client, "'room':'#crew'");
}

PV_TEST(rooms_are_loaded_when_the_node_is_in_a_network)
{
    assert_false(pv_rooms_are_ready(chat.chat->rooms));
    say_and_hear("{'id':1,'cmd':'room_members','room':'crew'}", "not loaded yet");
    load();
    assert_true(pv_rooms_are_ready(chat.chat->rooms));
    say_and_hear("{'id':2,'cmd':'room_members','room':'crew'}", "no room #crew");
}

PV_TEST(a_node_that_left_its_network_has_no_rooms)
{
    load();
    open_crew();
    node->node.roster = NULL; /* the fixture frees it */
    pv_node_raise(&node->node, PV_FACT_NETWORK);
    fake_peers_settle(&chat.peers);
    assert_null(pv_rooms_find(chat.chat->rooms, "crew", true));
}

PV_TEST(a_room_is_answered_once_it_is_stored)
{
    load();
    open_crew();
    say_and_hear("{'id':2,'cmd':'room_list'}", "'room':'#crew'");
    say_and_hear("{'id':3,'cmd':'room_create','room':'crew'}", "room #crew exists already");
    say("{'id':4,'cmd':'room_create','room':'#Crew'}"); /* as names of members */
    assert_reply(node, chat.client, "exists already");
    say_and_hear("{'id':5,'cmd':'room_members','room':'CREW'}", "'ok':true");
    say(test_given("room_create room My_Room"));
    assert_shows("reply", fake_ctl_reply(node, chat.client));
}

/* A shell took the # for a comment, or the user thinks so. */
static void ask_a_peer(void *arg, struct pv_ctlapi_request *req, uint64_t handle)
{
    assert_null(pv_peer_need(&node->node, req->peer, "history", PV_NEEDS_NODE, handle));
}

PV_TEST(a_room_in_the_place_of_a_peer_is_told_how_to_be_typed)
{
    static const char ask[] = "{\"id\":2,\"cmd\":\"history\",\"peer\":\"crew\"}\n";
    load();
    open_crew();
    pv_ctlsrv_handle_bytes(node->node.ctl, chat.client, pv_view(ask, strlen(ask)), ask_a_peer,
                           NULL);
    assert_shows("reply", fake_ctl_reply(node, chat.client));
}

static void change(const char *line)
{
    say(line);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_ROOM), PV_OK, no_rooms());
    assert_reply(node, chat.client, "'ok':true");
}

/* The command that the answer and `status` name makes the place. */
PV_TEST(one_room_too_many_is_told_why)
{
    load();
    for (int i = 0; i < PV_ROOM_MAX_ROOMS; i++) {
        change(PV_STR("{\"id\":1,\"cmd\":\"room_create\",\"room\":\"r%d\"}", i));
    }
    say_and_hear("{'id':2,'cmd':'room_create','room':'more'}", "128 rooms at most (leave some");
    fake_node_show_problems(node);
    change(test_given("room_leave room r0"));
    assert_false(fake_node_has_problem(node, test_given("nobody can invite this node")));
    change(test_given("room_create room more"));
    say("{'id':5,'cmd':'room_leave','room':'r0'}");
    assert_shows("reply", fake_ctl_reply(node, chat.client));
}

/* Changes a room of this node's, and is told of it as what comes from others. */
static void change_and_hear(const char *line, uint32_t watcher, const char *text)
{
    say(line);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_ROOM), PV_OK, no_rooms());
    pv_events_run(&node->node.events, node->node.ctl);
    assert_reply(node, watcher, text);
}

PV_TEST(other_clients_hear_what_one_does_about_rooms)
{
    const uint32_t screen = fake_ctl_open(node), page = fake_ctl_open(node);
    struct fake_asked chats = fake_node_ask(node, screen, test_given("watch what chat"));
    struct fake_asked all = fake_node_ask(node, page, test_given("watch what all"));
    pv_events_begin(&node->node.events, 1700000000000000);
    assert_ok(pv_events_listen(&node->node.events, chats.handle, false));
    assert_ok(pv_events_follow(&node->node.events, all.handle, 0, 0));
    load();
    change_and_hear("{'id':1,'cmd':'room_create','room':'crew'}", page,
                    "'text':'alice made #crew'");
    change_and_hear(test_given("room_invite room crew peer bob"), page,
                    "'text':'bob was invited to #crew by alice'");
    change_and_hear("{'id':3,'cmd':'room_leave','room':'crew'}", page, "'text':'alice left #crew'");
    assert_string_equal(fake_ctl_reply(node, screen), "");
    pv_ctlapi_request_done(&chats.req);
    pv_ctlapi_request_done(&all.req);
    pv_events_done(&node->node.events);
}

PV_TEST(a_room_that_cannot_be_stored_is_said)
{
    load();
    say("{'id':1,'cmd':'room_create','room':'crew'}");
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_ROOM), -ENOSPC, NULL);
    assert_reply(node, chat.client, "No space left on device: free some space");
}

/* Rooms begin anew with what the disk has, which may be that one already. */
PV_TEST(a_client_that_waits_behind_one_that_cannot_be_stored_is_told_what_to_do)
{
    load();
    say("{'id':1,'cmd':'room_create','room':'crew'}");
    struct pv_chatjob *crew = fake_chat_job(&chat, PV_CHATJOB_ROOM);
    say("{'id':2,'cmd':'room_create','room':'band'}");
    fake_chat_answer(&chat, crew, PV_ERR_NO_SPACE, NULL);
    const char *reply = fake_ctl_reply(node, chat.client);
    assert_shows("reply", reply);
    pv_chatjob_free(fake_chat_job(&chat, PV_CHATJOB_ROOM));
}

PV_TEST(members_are_shown_as_present_by_the_one_answer_to_that)
{
    load();
    open_crew();
    say(test_given("room_invite room crew peer bob"));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_ROOM), PV_OK, no_rooms());
    assert_reply(node, chat.client, "'ok':true");
    say("{'id':3,'cmd':'room_members','room':'crew'}");
    const char *reply = fake_ctl_reply(node, chat.client);
    assert_has(reply, "'online':false");
    fake_peers_reach(&chat.peers, chat.bob); /* without a coordinator */
    say("{'id':4,'cmd':'room_members','room':'crew'}");
    reply = fake_ctl_reply(node, chat.client);
    assert_lacks(reply, "'online':false");
    assert_has(reply, "'down':false");
    node->node.up = false;
    say_and_hear("{'id':5,'cmd':'room_members','room':'crew'}", "'down':true");
}

/* Another machine may be called bob today. */
PV_TEST(a_member_that_is_gone_is_shown_as_former)
{
    load();
    open_crew();
    say(test_given("room_invite room crew peer bob"));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_ROOM), PV_OK, no_rooms());
    assert_reply(node, chat.client, "'ok':true");
    fake_node_add(node, make_leave(&node->world, &chat.bob_keys, 1));
    fake_peers_leaves(&chat.peers, chat.bob);
    say_and_hear("{'id':3,'cmd':'room_members','room':'crew'}", "'bob (former, key:");
}

/* On a connection of its own. */
static void bob_says(const char *line)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "bob"};
    uint32_t sid;
    memcpy(source.pk, chat.bob_keys.pk, sizeof(source.pk));
    assert_ok(pv_chatlink_accepted(chat.chat->link, &source, node->now, &sid));
    pv_chatlink_handle_bytes(chat.chat->link, sid, pv_view(line, strlen(line)), 1, node->now);
    fake_peers_settle(&chat.peers);
}

PV_TEST(a_sleep_ends_nobody_s_time)
{
    char id[32];
    load();
    open_crew();
    change(test_given("room_invite room crew peer bob 2"));
    const struct pv_rooms_say text = {.room = pv_rooms_find(chat.chat->rooms, "crew", false),
                                      .text = "hello"};
    assert_ok(pv_b64url_encode(pv_view(text.room, PV_ROOM_ID_LEN), id, sizeof(id)));
    const char *own = PV_KEY_STR(node->identity.sign_pk);
    /* Bob says that our log is longer, and may show a text of it within a minute. */
    bob_says(PV_STR("{\"room\":\"%s\",\"digest\":\"%s\",\"have\":[[\"%s\",9]]}\n", id, own, own));
    assert_int_equal(pv_rooms_say(chat.chat->rooms, 1, &text, 1, node->now), PV_ERR_STATE);
    node->now += PV_S(3600);
    pv_node_raise(&node->node, PV_FACT_RESUMED);
    fake_peers_settle(&chat.peers);
    assert_int_equal(pv_rooms_say(chat.chat->rooms, 1, &text, 1, node->now), PV_ERR_STATE);
    node->now += PV_S(60);
    assert_ok(pv_rooms_say(chat.chat->rooms, 1, &text, 1, node->now));
}

PV_TEST(a_peer_that_sends_nonsense_is_cut_off)
{
    struct pv_stream_op op;
    load();
    bob_says("{\"room\":\"what\"}\n");
    assert_ok(pv_streams_next_op(&node->node.streams, &op));
    assert_int_equal(op.type, PV_STREAM_CLOSE);
    assert_int_equal(fake_node_drops(node, "room-frame"), 1);
    assert_int_equal(fake_node_drops(node, "room-flood"), 0);
}
