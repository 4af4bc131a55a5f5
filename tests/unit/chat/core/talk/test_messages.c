/* SPDX-License-Identifier: MIT */
/* The commands send, inbox and history: whom they find, what the store is asked, what is shown. */
#include "chat/core/talk/messages.h"
#include "tests/unit/chat/fake_chat.h"

static struct fake_chat chat;
static struct fake_node *const node = &chat.peers.f;

void test_before_each(void)
{
    fake_chat_init(&chat, &pv_chatpart_messages);
    fake_chat_make_link(&chat, NULL);
    fake_chat_make_rooms(&chat);
    fake_chat_start(&chat);
}

void test_after_each(void)
{
    fake_chat_done(&chat, true, true);
}

static void say(const char *line)
{
    fake_ctl_say(node, chat.client, line);
}

/* The answer has this. */
static void say_and_hear(const char *line, const char *text)
{
    say(line);
    assert_reply(node, chat.client, text);
}

/* The store has no conversation of this name. */
static void is_none(const char *word)
{
    struct pv_chatjob_result *r = fake_chat_messages(chat.bob_keys.pk, 0);
    snprintf(r->word, sizeof(r->word), "%s", word);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_HISTORY), PV_OK, r);
}

/* The jobs of chatlink are not this part's: takes its jobs, and says how many stored a message to
 * bob. */
static unsigned enqueued(void)
{
    struct pv_chatjob *job;
    uint64_t tag;
    unsigned n = 0;
    while (take_chat_job(&chat.jobs, &tag, &job)) {
        n += job->kind == PV_CHATJOB_ENQUEUE &&
             memcmp(job->msgs[0].peer, chat.bob_keys.pk, sizeof(job->msgs[0].peer)) == 0;
        pv_chatjob_free(job);
    }
    return n;
}

PV_TEST(a_message_to_a_member_is_given_to_chatlink)
{
    say(test_given("send peer bob text hello"));
    assert_int_equal(enqueued(), 1);
    assert_string_equal(fake_ctl_reply(node, chat.client), ""); /* answered once it is stored */
    assert_true(pv_peer_is_wanted(chat.bob, node->now));
}

PV_TEST(a_message_to_nobody_is_refused)
{
    say_and_hear(test_given("send peer dave text hello"), "no peer dave");
    assert_int_equal(enqueued(), 0);
}

PV_TEST(a_message_to_a_phone_is_refused)
{
    pv_peer_set_by(chat.bob, 1);
    say_and_hear(test_given("send peer bob text hello"), "bob is a phone");
    assert_int_equal(enqueued(), 0);
}

PV_TEST(a_message_to_a_room_goes_to_rooms)
{
    say_and_hear(test_given("send peer #crew text hello"), "the rooms are not loaded yet");
    assert_int_equal(enqueued(), 0);
}

PV_TEST(the_inbox_is_marked_read_unless_one_only_peeks)
{
    say("{'id':1,'cmd':'inbox'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_INBOX);
    assert_true(job->mark_read);
    assert_false(job->of_peer);
    struct pv_chatjob_result *r = fake_chat_messages(chat.bob_keys.pk, 2);
    r->msgs[0].outgoing = r->msgs[1].outgoing = false;
    fake_chat_answer(&chat, job, PV_OK, r);
    const char *reply = fake_ctl_reply(node, chat.client);
    assert_has(reply, "'from':'bob'");
    assert_has(reply, "'to':'alice'");

    say(test_given("inbox peer bob peek"));
    job = fake_chat_job(&chat, PV_CHATJOB_INBOX);
    assert_false(job->mark_read);
    assert_true(job->of_peer);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, 0));
    assert_reply(node, chat.client, "'messages':[]");
}

/* Only what a client has is read: it peeks, and says then how far it got. */
PV_TEST(a_message_that_a_client_has_is_read)
{
    say(test_given("read through"));
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_INBOX);
    assert_true(job->mark_read && job->through);
    assert_int_equal(job->id[15], 15);
    struct pv_chatjob_result *r = fake_chat_messages(chat.bob_keys.pk, 2);
    r->msgs[0].outgoing = r->msgs[1].outgoing = false;
    fake_chat_answer(&chat, job, PV_OK, r);
    assert_reply(node, chat.client, "'read':2");
    say(test_given("read through 2"));
    job = fake_chat_job(&chat, PV_CHATJOB_INBOX);
    assert_int_equal(job->upto, 9);
    r = fake_chat_messages(chat.bob_keys.pk, 0);
    fake_chat_answer(&chat, job, PV_OK, r);
    assert_reply(node, chat.client, "'read':0");

    say(test_given("inbox peek after"));
    job = fake_chat_job(&chat, PV_CHATJOB_INBOX);
    assert_false(job->mark_read);
    assert_true(job->after);
    r = fake_chat_messages(chat.bob_keys.pk, 0);
    r->upto = 7;
    fake_chat_answer(&chat, job, PV_OK, r);
    assert_reply(node, chat.client, "'messages':[],'upto':7");
    say_and_hear("{'id':3,'cmd':'read','through':'everything'}", "is the id of a message");
}

/* A message that is read in one client is unread in no other: each conversation is told once. */
PV_TEST(clients_hear_what_another_one_has_read)
{
    const uint32_t other = fake_ctl_open(node);
    struct fake_asked asked = fake_node_ask(node, other, test_given("watch what chat"));
    assert_ok(pv_events_listen(&node->node.events, asked.handle, false));
    pv_ctlapi_request_done(&asked.req);

    say("{'id':1,'cmd':'inbox'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_INBOX);
    struct pv_chatjob_result *r = fake_chat_messages(chat.bob_keys.pk, 4);
    for (size_t i = 0; i < r->n_msgs; i++)
        r->msgs[i].outgoing = false;
    memcpy(r->msgs[1].peer, chat.carol_keys.pk, 32);
    memcpy(r->msgs[1].peer_name, "carol", 6);
    memset(r->msgs[3].peer, 9, 32); /* another machine had bob's name */
    fake_chat_answer(&chat, job, PV_OK, r);
    const char *told = fake_ctl_reply(node, other);
    assert_shows("told", told);

    say("{'id':2,'cmd':'inbox','peek':true}");
    r = fake_chat_messages(chat.bob_keys.pk, 1);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_INBOX), PV_OK, r);
    assert_string_equal(fake_ctl_reply(node, other), "");
}

PV_TEST(a_send_may_choose_its_id)
{
    say(test_given("send peer bob text hi message"));
    fake_peers_settle(&chat.peers);
    struct pv_chatjob *job = NULL;
    uint64_t tag;
    bool found = false;
    while (take_chat_job(&chat.jobs, &tag, &job)) {
        found = found || (job->kind == PV_CHATJOB_ENQUEUE && job->msgs[0].id[15] == 15);
        pv_chatjob_free(job);
    }
    assert_true(found);
    say_and_hear(test_given("send peer bob text hi message x"), "22 characters");
}

PV_TEST(history_of_all_and_of_one_are_different_questions)
{
    say("{'id':1,'cmd':'history','limit':5}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_HISTORY);
    assert_true(job->all_peers);
    assert_int_equal(job->limit, 5);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, 1));
    assert_reply(node, chat.client, "'to':'bob'");

    say("{'id':2,'cmd':'history','peer':'carol'}");
    job = fake_chat_job(&chat, PV_CHATJOB_HISTORY);
    assert_false(job->all_peers);
    assert_memory_equal(job->peer, chat.carol_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.carol_keys.pk, 0));
}

PV_TEST(the_word_of_a_member_that_left_is_still_found_by_name)
{
    fake_node_add(node, make_leave(&node->world, &chat.bob_keys, 1));
    fake_peers_leaves(&chat.peers, chat.bob);
    say("{'id':1,'cmd':'history','peer':'bob'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_HISTORY);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, 1));
    assert_reply(node, chat.client, "hello");
    say_and_hear(test_given("send peer bob text hello 2"), "left the network");
}

/* `history` of all shows it, too. */
PV_TEST(a_conversation_is_found_by_name_also_where_this_machine_was_removed)
{
    node->node.removed = true;
    say("{'id':1,'cmd':'history','peer':'bob'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_HISTORY);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, 1));
    assert_reply(node, chat.client, "hello");
    say_and_hear(test_given("send peer bob text hello 2"), "this machine was removed");
    say("{'id':3,'cmd':'history','peer':'dave'}");
    is_none("dave");
    assert_reply(node, chat.client, "this machine was removed");
}

/* Of a network that was left: the store is asked by the name at its lines. */
PV_TEST(a_conversation_that_nobody_here_knows_is_sought)
{
    const struct keys k = keys_of(77);
    say("{'id':1,'cmd':'history','peer':'dave'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_HISTORY);
    assert_false(job->all_peers);
    assert_string_equal(job->word, "dave");
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(k.pk, 1));
    assert_reply(node, chat.client, "hello");
    say(test_given("read peer key AbCd through"));
    job = fake_chat_job(&chat, PV_CHATJOB_INBOX);
    assert_true(job->of_peer && job->mark_read);
    assert_string_equal(job->word, "key:AbCd");
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(k.pk, 0));
    assert_reply(node, chat.client, "'read':0");
    say("{'id':3,'cmd':'history','peer':'#~AbCd'}");
    job = fake_chat_job(&chat, PV_CHATJOB_HISTORY);
    assert_string_equal(job->word, "#~AbCd");
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(k.pk, 1));
    assert_reply(node, chat.client, "hello");
    say("{'id':4,'cmd':'inbox','peer':'dave'}");
    struct pv_chatjob_result *none = fake_chat_messages(k.pk, 0);
    memcpy(none->word, "dave", 5);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_INBOX), PV_OK, none);
    assert_reply(node, chat.client, "inbox: no peer dave");
}

/* Its identity.key was replaced: it has no name in the network. */
PV_TEST(a_machine_without_a_name_is_called_as_its_host_is)
{
    node->node.node_name[0] = '\0';
    memcpy(node->node.given.hostname, "laptop", 7);
    say("{'id':1,'cmd':'history','peer':'bob'}");
    struct pv_chatjob_result *r = fake_chat_messages(chat.bob_keys.pk, 2);
    r->msgs[1].outgoing = false;
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_HISTORY), PV_OK, r);
    const char *reply = fake_ctl_reply(node, chat.client);
    assert_has(reply, "'from':'laptop'");
    assert_has(reply, "'to':'laptop'");
}

/* A user who was not there when a machine was renamed types the name that he knows. */
PV_TEST(a_member_that_was_renamed_is_named)
{
    struct world *w = &node->world;
    fake_node_add(node, make_place(w, &w->creator, &chat.bob_keys, "rob", 7, 1));
    fake_node_add(node, make_place(w, &w->creator, &chat.bob_keys, "robert", 7, 2));
    /* Its words as bob are found and read by both names, too: a client that began before
     * has the former one. */
    say("{'id':1,'cmd':'history','peer':'bob'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_HISTORY);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    struct pv_chatjob_result *r = fake_chat_messages(chat.bob_keys.pk, 1);
    r->msgs[0].outgoing = false;
    fake_chat_answer(&chat, job, PV_OK, r);
    assert_reply(node, chat.client, "'from':'robert'");
    say(test_given("read peer bob through"));
    job = fake_chat_job(&chat, PV_CHATJOB_INBOX);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, 0));
    assert_reply(node, chat.client, "'read':0");
    say_and_hear(test_given("send peer bob text hello 2"), "bob is called robert now");
    say_and_hear(test_given("send peer carl text hello"), "no peer carl");
}

PV_TEST(a_name_that_changed_hands_is_said)
{
    const struct keys other = keys_of(9);
    uint8_t sk[32], pk[32];
    fake_node_add(node, make_leave(&node->world, &chat.bob_keys, 1));
    fake_peers_leaves(&chat.peers, chat.bob);
    pv_dh_keypair(&node->node.rng, sk, pk);
    assert_non_null(fake_chat_member(&chat, &other, pk, "bob", 9));
    /* Old lines stay with who wrote them, or got them. */
    say("{'id':1,'cmd':'history'}");
    struct pv_chatjob_result *r = fake_chat_messages(chat.bob_keys.pk, 3);
    r->msgs[0].outgoing = false;
    memcpy(r->msgs[2].peer, other.pk, sizeof(r->msgs[2].peer));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_HISTORY), PV_OK, r);
    char key[PV_B64_LEN(32) + 1], want[96];
    assert_ok(pv_b64url_encode(pv_view(chat.bob_keys.pk, 32), key, sizeof(key)));
    const char *reply = fake_ctl_reply(node, chat.client);
    snprintf(want, sizeof(want), "\"from_former\":\"%s\"", key);
    assert_has(reply, want);
    snprintf(want, sizeof(want), "\"to_former\":\"%s\"", key);
    assert_has(reply, want);
    assert_null(
        strstr(strstr(reply, want) + strlen(want), "_former")); /* the third is the new one's */
    assert_lacks(reply, "changed");
    /* The conversation with the new one says since when, and who it was before. */
    say("{'id':2,'cmd':'history','peer':'bob'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_HISTORY);
    assert_memory_equal(job->peer, other.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(other.pk, 1));
    reply = fake_ctl_reply(node, chat.client);
    snprintf(want, sizeof(want), ",\"key\":\"%s\",\"now\":\"%s\"}", key, PV_KEY_STR(other.pk));
    assert_has(reply, "'changed':{'name':");
    assert_has(reply, want);
    assert_lacks(reply, "_former");
    say("{'id':6,'cmd':'history','peer':'bob'}"); /* which has said nothing */
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_HISTORY), PV_OK,
                     fake_chat_messages(other.pk, 0));
    reply = fake_ctl_reply(node, chat.client);
    assert_has(reply, "'changed':{'name':");
    assert_has(reply, want);
    /* The one before by the short form of its key, as everything that names it shows it. */
    say(PV_STR("{\"id\":4,\"cmd\":\"history\",\"peer\":\"%s\"}", PV_KEY_SHORT_STR(key)));
    job = fake_chat_job(&chat, PV_CHATJOB_HISTORY);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, fake_chat_messages(chat.bob_keys.pk, 1));
    assert_reply(node, chat.client, "hello");
    say("{'id':5,'cmd':'history','peer':'key:abc'}"); /* too short to be anybody */
    is_none("key:abc");
    assert_reply(node, chat.client, "no peer key:abc");
    /* News of the new one says it with each message, for whoever reads along. */
    say("{'id':3,'cmd':'inbox','peek':true}");
    r = fake_chat_messages(other.pk, 1);
    r->msgs[0].outgoing = false;
    r->msgs[0].state = PV_CHAT_UNREAD;
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_INBOX), PV_OK, r);
    reply = fake_ctl_reply(node, chat.client);
    snprintf(want, sizeof(want), ",\"former\":\"%s\",\"another_since\":", key);
    assert_has(reply, want);
}

PV_TEST(a_store_that_fails_is_said)
{
    say("{'id':1,'cmd':'inbox'}");
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_INBOX), PV_ERR_NO_SPACE, NULL);
    assert_reply(node, chat.client, "no room");
}

PV_TEST(an_answer_for_a_client_that_is_gone_is_dropped)
{
    say("{'id':1,'cmd':'history'}");
    pv_ctlsrv_closed(node->node.ctl, chat.client);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_HISTORY), PV_OK,
                     fake_chat_messages(chat.bob_keys.pk, 3));
}
