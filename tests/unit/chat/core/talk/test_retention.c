/* SPDX-License-Identifier: MIT */
/* The deletions that the store is asked for, and when; mute, unmute and history clear. */
#include "chat/core/talk/retention.h"
#include "tests/unit/chat/fake_chat.h"

static struct fake_chat chat;
static struct fake_node *const node = &chat.peers.f;

void test_before_each(void)
{
    fake_chat_init(&chat, &pv_chatpart_retention);
    chat.cfg.given.keep_s = 90 * 86400;
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

static struct pv_chatjob_result *deleted(size_t n, bool more)
{
    struct pv_chatjob_result *r = test_alloc(sizeof(*r));
    r->n_deleted = n;
    r->more = more;
    return r;
}

PV_TEST(old_messages_are_looked_for_at_the_start_and_every_hour)
{
    pv_part_handle_timeout(&pv_bind_chat, node->self, node->now);
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_PURGE);
    assert_int_equal(job->keep_s, 90 * 86400);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_MUTED), PV_OK, deleted(0, false));
    /* A page was full: the next one at once. */
    fake_chat_answer(&chat, job, PV_OK, deleted(PV_CHATJOB_MAX_PURGE, true));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_PURGE), PV_OK, deleted(3, false));
    assert_null(fake_chat_any(&chat));
    assert_int_equal(pv_part_next_timeout(&pv_bind_chat, node->self), node->now + PV_S(3600));
    node->now += PV_S(3600);
    pv_part_handle_timeout(&pv_bind_chat, node->self, node->now);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_PURGE), PV_ERR_NO_SPACE, NULL);
    assert_null(fake_chat_any(&chat)); /* a store that fails is not asked in a loop */
}

PV_TEST(clearing_goes_on_until_nothing_is_left)
{
    say("{'id':1,'cmd':'history_clear','peer':'bob'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_CLEAR);
    assert_false(job->all_peers);
    assert_false(job->gone);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, deleted(PV_CHATJOB_MAX_PURGE, true));
    assert_string_equal(fake_ctl_reply(node, chat.client), "");
    job = fake_chat_job(&chat, PV_CHATJOB_CLEAR);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, deleted(5, false));
    assert_reply(node, chat.client, "'deleted':1005");
}

PV_TEST(clearing_all_and_nobody_are_told_apart)
{
    say("{'id':1,'cmd':'history_clear'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_CLEAR);
    assert_true(job->all_peers);
    fake_chat_answer(&chat, job, PV_ERR_NO_SPACE, NULL);
    assert_reply(node, chat.client, "no room");
    say("{'id':2,'cmd':'history_clear','peer':'dave'}");
    job = fake_chat_job(&chat, PV_CHATJOB_CLEAR);
    assert_string_equal(job->word, "dave");
    assert_false(job->all_peers);
    struct pv_chatjob_result *r = deleted(0, false);
    memcpy(r->word, "dave", 5);
    fake_chat_answer(&chat, job, PV_OK, r);
    assert_reply(node, chat.client, "no peer dave");
    say_and_hear(test_given("history_clear peer #crew"), "the rooms are not loaded yet");
    say_and_hear("{'id':4,'cmd':'mute','peer':'dave'}", "no peer dave");
    assert_null(fake_chat_any(&chat));
}

/* Of a network that was left, by its key as everything that names it shows that: what waits goes
 * once it is known whose it is. */
PV_TEST(words_of_another_network_can_be_deleted)
{
    say(test_given("history_clear peer key AbCd"));
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_CLEAR);
    assert_string_equal(job->word, "key:AbCd");
    assert_false(job->gone);
    struct pv_chatjob_result *r = deleted(5, true);
    memcpy(r->peer, keys_of(77).pk, sizeof(r->peer));
    fake_chat_answer(&chat, job, PV_OK, r);
    job = fake_chat_job(&chat, PV_CHATJOB_CLEAR);
    assert_string_equal(job->word, "");
    assert_memory_equal(job->peer, keys_of(77).pk, 32);
    assert_true(job->gone);
    fake_chat_answer(&chat, job, PV_OK, deleted(2, false));
    assert_reply(node, chat.client, "'deleted':7");

    say(test_given("2 history_clear peer key AbCd"));
    r = deleted(0, false);
    memcpy(r->word, "key:AbCd", 9);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_CLEAR), PV_OK, r);
    assert_reply(node, chat.client, "'ok':false");
}

/* The newest line of the word may be of a member, whom what waits is for. */
PV_TEST(lines_that_wait_for_a_member_stay_by_whatever_word)
{
    say(test_given("history_clear peer robert"));
    struct pv_chatjob_result *r = deleted(3, false);
    memcpy(r->peer, chat.bob_keys.pk, sizeof(r->peer));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_CLEAR), PV_OK, r);
    assert_null(fake_chat_any(&chat));
    assert_reply(node, chat.client, "'deleted':3");
    fake_node_add(node,
                  make_place(&node->world, &node->world.creator, &chat.bob_keys, "rob", 7, 1));
    say_and_hear("{'id':2,'cmd':'history_clear','peer':'bob'}", "bob is called rob now");
}

PV_TEST(words_of_a_member_that_left_can_be_deleted)
{
    fake_node_add(node, make_leave(&node->world, &chat.bob_keys, 1));
    fake_peers_leaves(&chat.peers, chat.bob);
    say("{'id':1,'cmd':'history_clear','peer':'bob'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_CLEAR);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    assert_true(job->gone); /* and what waits for it */
    fake_chat_answer(&chat, job, PV_OK, deleted(1, false));
    assert_reply(node, chat.client, "'deleted':1");
}

static struct pv_chatjob_result *bob_alone(void)
{
    struct pv_chatjob_result *r = deleted(0, false);
    r->backlog = test_alloc(sizeof(*r->backlog));
    r->n_backlog = 1;
    memcpy(r->backlog[0].peer, chat.bob_keys.pk, 32);
    return r;
}

PV_TEST(muting_is_asked_of_the_store_by_key)
{
    say("{'id':1,'cmd':'mute','peer':'bob'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_MUTE);
    assert_true(job->mute);
    assert_memory_equal(job->peer, chat.bob_keys.pk, 32);
    assert_string_equal(job->peer_name, "bob");
    struct pv_chatjob_result *r = deleted(0, false);
    r->changed = true;
    fake_chat_answer(&chat, job, PV_OK, r);
    assert_reply(node, chat.client, "'changed':true");
    /* The list is asked for again, for those who are told of files. */
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_MUTED), PV_OK, bob_alone());
    assert_true(pv_retention_is_muted(chat.chat, chat.bob_keys.pk));
    say("{'id':2,'cmd':'unmute','peer':'bob'}");
    job = fake_chat_job(&chat, PV_CHATJOB_MUTE);
    assert_false(job->mute);
    fake_chat_answer(&chat, job, PV_OK, deleted(0, false));
    assert_reply(node, chat.client, "'changed':false");
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_MUTED), PV_OK, deleted(0, false));
    assert_false(pv_retention_is_muted(chat.chat, chat.bob_keys.pk));
    say_and_hear("{'id':3,'cmd':'mute','peer':'dave'}", "no peer dave");
    say_and_hear("{'id':4,'cmd':'mute','peer':'#crew'}", "the rooms are not loaded yet");
}

static void joins_by(const struct keys *invite, unsigned seed, const char *name, uint16_t ip)
{
    const struct keys k = keys_of(seed);
    fake_node_add(node, make_member(&node->world, invite, &k, name, ip));
    assert_ok(pv_peers_add_member(node->node.peers, pv_roster_by_node(node->node.roster, k.pk),
                                  node->now));
    fake_peers_settle(&chat.peers);
}

/* The store's answer to MUTED. */
static void muted_are(const uint8_t *first, const uint8_t *second)
{
    struct pv_chatjob_result *r = deleted(0, false);
    r->backlog = calloc(2, sizeof(*r->backlog));
    assert_non_null(r->backlog);
    memcpy(r->backlog[r->n_backlog++].peer, first, 32);
    if (second != NULL)
        memcpy(r->backlog[r->n_backlog++].peer, second, 32);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_MUTED), PV_OK, r);
}

/* A muted machine that leaves and joins by the token it had is another key. */
PV_TEST(a_member_that_comes_back_by_the_same_token_is_muted)
{
    const struct keys invite = keys_of(40), eve = keys_of(41), back = keys_of(43);
    fake_node_add(node, make_invite(&node->world, &node->world.creator, &invite, 9));
    joins_by(&invite, 41, "eve", 21);
    joins_by(&invite, 42, "dora", 22); /* while eve is there */
    pv_part_handle_timeout(&pv_bind_chat, node->self, node->now);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_PURGE), PV_OK, deleted(0, false));
    muted_are(eve.pk, NULL);
    fake_node_add(node, make_leave(&node->world, &eve, 1));
    fake_peers_leaves(&chat.peers, pv_peers_by_pk(node->node.peers, eve.pk));
    assert_null(fake_chat_any(&chat));
    joins_by(&invite, 43, "adam", 23);
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_MUTE);
    assert_true(job->mute);
    assert_memory_equal(job->peer, back.pk, 32);
    assert_string_equal(job->peer_name, "adam");
    fake_chat_answer(&chat, job, PV_OK, deleted(0, false));
    muted_are(eve.pk, back.pk);
    assert_true(pv_retention_is_muted(chat.chat, back.pk));
    assert_null(fake_chat_any(&chat)); /* dora is not, nor who came by other tokens */
    say("{'id':1,'cmd':'muted'}");
    job = fake_chat_job(&chat, PV_CHATJOB_MUTED);
    struct pv_chatjob_result *r = deleted(0, false);
    r->backlog = test_alloc(sizeof(*r->backlog));
    memcpy(r->backlog[r->n_backlog++].peer, eve.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, r);
    assert_reply(node, chat.client, "eve (former, key:");
    /* Once unmuted it is heard, and nobody else is taken for eve. */
    say("{'id':2,'cmd':'unmute','peer':'adam'}");
    job = fake_chat_job(&chat, PV_CHATJOB_MUTE);
    assert_false(job->mute);
    assert_memory_equal(job->peer, eve.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, deleted(0, false));
    job = fake_chat_job(&chat, PV_CHATJOB_MUTE);
    assert_false(job->mute);
    assert_memory_equal(job->peer, back.pk, 32);
    fake_chat_answer(&chat, job, PV_OK, deleted(0, false));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_MUTED), PV_OK, deleted(0, false));
}

/* Else one reading that failed would have the muted heard for an hour. */
PV_TEST(a_peer_that_was_muted_stays_so_where_the_list_cannot_be_read)
{
    pv_part_handle_timeout(&pv_bind_chat, node->self, node->now);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_PURGE), PV_OK, deleted(0, false));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_MUTED), PV_OK, bob_alone());
    say("{'id':1,'cmd':'mute','peer':'carol'}");
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_MUTE), PV_OK, deleted(0, false));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_MUTED), PV_ERR_NO_SPACE, NULL);
    assert_true(pv_retention_is_muted(chat.chat, chat.bob_keys.pk));
    /* It is asked for again until it was read. */
    node->now += PV_S(3600);
    pv_part_handle_timeout(&pv_bind_chat, node->self, node->now);
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_PURGE), PV_OK, deleted(0, false));
    fake_chat_answer(&chat, fake_chat_job(&chat, PV_CHATJOB_MUTED), PV_OK, deleted(0, false));
    assert_false(pv_retention_is_muted(chat.chat, chat.bob_keys.pk));
}

PV_TEST(the_muted_are_listed_by_their_present_names)
{
    say("{'id':1,'cmd':'muted'}");
    struct pv_chatjob *job = fake_chat_job(&chat, PV_CHATJOB_MUTED);
    struct pv_chatjob_result *r = deleted(0, false);
    r->backlog = calloc(2, sizeof(*r->backlog));
    assert_non_null(r->backlog);
    r->n_backlog = 2;
    memcpy(r->backlog[0].peer, chat.bob_keys.pk, 32);
    memcpy(r->backlog[0].peer_name, "bobby", 6);
    memcpy(r->backlog[1].peer_name, "gone", 5);
    fake_chat_answer(&chat, job, PV_OK, r);
    assert_reply(node, chat.client, "'muted':['bob','gone']");
}
