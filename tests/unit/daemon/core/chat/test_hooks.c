/* SPDX-License-Identifier: MIT */
/* Chat's answers for `status` and `why`. */
#include "daemon/core/chat/chatlink.h"
#include "daemon/core/chat/hooks.h"
#include "daemon/core/chat/tell.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_node *const node = &x.f.node;
static struct pv_peer *bob;
static enum pv_chat_later held;

enum pv_chat_later pv_chatlink_held(const struct pv_chatlink *link, const uint8_t *pk)
{
    return held;
}

const uint8_t *pv_rooms_find(const struct pv_rooms *rooms, const char *text, bool left)
{
    static const uint8_t id[PV_ROOM_ID_LEN];
    return strcmp(text, "crew") == 0 ? id : NULL;
}

bool pv_tell_is_gone(const struct pv_node *n, const uint8_t *pk)
{
    return memcmp(pk, pv_peer_pk(bob), PV_SIGN_PK_LEN) != 0;
}

static struct pv_chat_counts counted;
static unsigned answers;

static void take(void *self, uint64_t tag, const struct pv_chat_counts *counts, pv_ns now)
{
    assert_ptr_equal(self, &counted);
    assert_int_equal(tag, 5);
    counted = counts == NULL ? (struct pv_chat_counts){0} : *counts;
    answers++;
}

static const struct pv_part nobody = {.name = "nobody"};

void test_before_each(void)
{
    fake_peers_init(&x, &nobody);
    fake_node_enter(&x.f);
    fake_node_start(&x.f);
    bob = fake_peers_member(&x, 7, "bob", 7);
    held = PV_CHAT_LATER_NO;
    answers = 0;
}

void test_after_each(void)
{
    fake_node_done(&x.f);
}

/* Asks for the counts; the store has 4 unread messages, and some that wait for two machines. */
static void count_messages(int status)
{
    assert_true(pv_chat_hooks.count(node, take, &counted, 5, x.f.now));
    struct pv_job *job = fake_node_expect(&x.f, PV_JOB_OPAQUE);
    assert_int_equal(pv_chatjob_of(job)->kind, PV_CHATJOB_COUNTS);
    struct pv_job_result result = {.status = status};
    if (status == PV_OK) {
        struct pv_chatjob_result *chat = test_alloc(sizeof(*chat));
        chat->unread = 4;
        chat->n_backlog = 2;
        chat->backlog = test_alloc(2 * sizeof(*chat->backlog));
        memcpy(chat->backlog[0].peer, pv_peer_pk(bob), sizeof(chat->backlog[0].peer));
        chat->backlog[0].queued = 3;
        chat->backlog[1].queued = 5; /* its machine is no longer a member */
        result.answer = pv_chatjob_answer(chat);
    }
    fake_node_answer(&x.f, job, &result);
    assert_int_equal(answers, 1);
}

PV_TEST(counts_unread_messages_and_those_that_wait_for_members)
{
    count_messages(PV_OK);
    assert_int_equal(counted.unread, 4);
    assert_int_equal(counted.queued, 3);
}

PV_TEST(tells_when_the_store_failed)
{
    counted.unread = 9;
    count_messages(PV_ERR_NO_SPACE);
    assert_int_equal(counted.unread, 0);
}

PV_TEST(tells_after_two_seconds_that_the_store_is_slow_and_drops_its_late_answer)
{
    counted.unread = 9;
    assert_true(pv_chat_hooks.count(node, take, &counted, 5, x.f.now));
    struct pv_job *job = fake_node_expect(&x.f, PV_JOB_OPAQUE);
    fake_node_wait(&x.f, PV_S(2) - 1);
    assert_int_equal(answers, 0);
    fake_node_wait(&x.f, 1);
    assert_int_equal(answers, 1);
    assert_int_equal(counted.unread, 0);
    struct pv_job_result result = {.status = PV_OK};
    fake_node_answer(&x.f, job, &result);
    assert_int_equal(answers, 1);
}

PV_TEST(says_why_messages_wait)
{
    char why[PV_CTLAPI_ERROR_BUF];
    assert_false(pv_chat_hooks.held(node, bob, why));
    held = PV_CHAT_LATER_DISK;
    assert_true(pv_chat_hooks.held(node, bob, why));
    assert_has(why, "bob's machine takes no more from you for now (its disk is nearly full)");
    held = PV_CHAT_LATER_SILENT;
    assert_true(pv_chat_hooks.held(node, bob, why));
    assert_has(why, "bob's machine answers no chat from here");
}

PV_TEST(finds_a_room_by_its_name)
{
    static char rooms; /* only its address counts */
    assert_false(pv_chat_hooks.is_room(node, "crew"));
    node->chat.rooms = (struct pv_rooms *)(void *)&rooms;
    assert_true(pv_chat_hooks.is_room(node, "crew"));
    assert_false(pv_chat_hooks.is_room(node, "bob"));
    node->chat.rooms = NULL;
}
