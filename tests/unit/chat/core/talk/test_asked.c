/* SPDX-License-Identifier: MIT */
/* Chat's answers for `status` and `why`. */
#include "chat/core/talk/asked.h"
#include "chat/core/talk/chatlink.h"
#include "chat/core/talk/tell.h"
#include "tests/unit/test_util.h"

static struct test_rng rng;
static struct pv_chat chat;
static const struct pv_overlay_member bob = {.key = {7}, .name = "bob"};
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

bool pv_tell_is_gone(const struct pv_chat *n, const uint8_t *pk)
{
    return memcmp(pk, bob.key, PV_SIGN_PK_LEN) != 0;
}

static struct pv_asked_counts counted;
static unsigned answers;

static void take(void *self, uint64_t tag, const struct pv_asked_counts *counts, pv_ns now)
{
    assert_ptr_equal(self, &counted);
    assert_int_equal(tag, 5);
    counted = counts == NULL ? (struct pv_asked_counts){0} : *counts;
    answers++;
}

void test_before_each(void)
{
    const struct pv_rng random = test_rng_make(&rng, 1);
    chat = (struct pv_chat){.rng = random};
    pv_chatqueue_init(&chat.jobs, &random, NULL);
    held = PV_CHAT_LATER_NO;
    answers = 0;
}

void test_after_each(void)
{
    pv_chatqueue_done(&chat.jobs);
}

static uint64_t take_job(void)
{
    struct pv_chatjob *job;
    assert_ok(pv_chatqueue_poll(&chat.jobs, &job));
    assert_int_equal(job->kind, PV_CHATJOB_COUNTS);
    const uint64_t number = job->number;
    pv_chatjob_free(job);
    return number;
}

static void end_job(uint64_t number, int status, struct pv_chatjob_result *answer)
{
    struct pv_chatqueue_result result = {.id = number, .status = status, .answer = answer};
    assert_true(pv_chatqueue_handle(&chat.jobs, &result, PV_S(9)));
    pv_chatqueue_result_done(&result);
}

/* Asks for the counts; the store has 4 unread messages, and some that wait for two machines. */
static void count_messages(int status)
{
    struct pv_chatjob_result *r = NULL;
    assert_true(pv_asked_count(&chat, take, &counted, 5, PV_S(1)));
    if (status == PV_OK) {
        r = test_alloc(sizeof(*r));
        r->unread = 4;
        r->n_backlog = 2;
        r->backlog = test_alloc(2 * sizeof(*r->backlog));
        memcpy(r->backlog[0].peer, bob.key, sizeof(r->backlog[0].peer));
        r->backlog[0].queued = 3;
        r->backlog[1].queued = 5; /* its machine is no longer a member */
    }
    end_job(take_job(), status, r);
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
    assert_true(pv_asked_count(&chat, take, &counted, 5, PV_S(1)));
    const uint64_t number = take_job();
    pv_chatqueue_handle_timeout(&chat.jobs, PV_S(3) - 1);
    assert_int_equal(answers, 0);
    pv_chatqueue_handle_timeout(&chat.jobs, PV_S(3));
    assert_int_equal(answers, 1);
    assert_int_equal(counted.unread, 0);
    end_job(number, PV_OK, NULL);
    assert_int_equal(answers, 1);
}

PV_TEST(says_why_messages_wait)
{
    char why[PV_CTLAPI_ERROR_BUF];
    assert_false(pv_asked_held(&chat, &bob, why));
    held = PV_CHAT_LATER_DISK;
    assert_true(pv_asked_held(&chat, &bob, why));
    assert_has(why, "bob's machine takes no more from you for now (its disk is nearly full)");
    held = PV_CHAT_LATER_SILENT;
    assert_true(pv_asked_held(&chat, &bob, why));
    assert_has(why, "bob's machine answers no chat from here");
}

PV_TEST(finds_a_room_by_its_name)
{
    static char rooms; /* only its address counts */
    assert_false(pv_asked_is_room(&chat, "crew"));
    chat.rooms = (struct pv_rooms *)(void *)&rooms;
    assert_true(pv_asked_is_room(&chat, "crew"));
    assert_false(pv_asked_is_room(&chat, "bob"));
    chat.rooms = NULL;
}
