/* SPDX-License-Identifier: MIT */
/* The part that runs a program for each message: what the program is told, and how many wait. */
#include "daemon/core/chat/notifier.h"
#include "proto/chat/chatjson.h"
#include "proto/local/ctlapi.h"
#include "tests/unit/daemon/core/fake_node.h"

static struct fake_node node;

static int start_with(bool notify)
{
    fake_node_init(&node, &pv_part_notifier);
    node.cfg.notify = notify;
    fake_node_start(&node);
    return 0;
}

static int start(void **state)
{
    return start_with(true);
}

static int start_without_a_program(void **state)
{
    return start_with(false);
}

static const uint8_t id[PV_CHAT_ID_LEN] = {0xab};

static void receive_from(const char *from, const char *room, const char *text)
{
    const struct pv_chatjson_message msg = {.id = id,
                                            .from = from,
                                            .to = room == NULL ? "alice" : room,
                                            .room = room,
                                            .text = text,
                                            .time_ms = 1700000000123};
    pv_notifier_message(node.self, &msg, node.now);
}

static void receive(const char *room, const char *text)
{
    receive_from("bob", room, text);
}

PV_TEST_IN(the_program_is_told_who_said_what_to_whom_and_when, start, NULL)
{
    char text[PV_CHAT_ID_TEXT_BUF];
    pv_chat_id_format(id, text);
    receive(NULL, "hello");
    struct pv_job *job = fake_node_expect(&node, PV_JOB_NOTIFY);
    assert_string_equal(job->u.notify->from, "bob");
    assert_string_equal(job->u.notify->to, "alice");
    assert_string_equal(job->u.notify->room, "");
    assert_string_equal(job->u.notify->text, "hello");
    assert_int_equal(job->u.notify->time_ms, 1700000000123);
    assert_string_equal(job->u.notify->id, text);
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
}

PV_TEST_IN(a_message_of_a_room_names_the_room, start, NULL)
{
    receive("#crew", "ahoy");
    struct pv_job *job = fake_node_job(&node);
    assert_non_null(job);
    assert_string_equal(job->u.notify->room, "#crew");
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
}

PV_TEST_IN(without_a_program_nothing_is_run, start_without_a_program, NULL)
{
    receive(NULL, "hello");
    assert_null(fake_node_job(&node));
}

/* More messages than a slow program keeps up with are not queued without end; each run that ends,
 * well or not, makes room for another. */
PV_TEST_IN(a_slow_program_misses_messages_and_one_that_fails_does_not_stop_the_next, start, NULL)
{
    struct pv_job *jobs[PV_NOTIFIER_MAX_WAITING];
    for (size_t i = 0; i < PV_NOTIFIER_MAX_WAITING + 3; i++) {
        receive_from(PV_STR("n%zu", i), NULL, "again");
    }
    for (size_t i = 0; i < PV_NOTIFIER_MAX_WAITING; i++) {
        jobs[i] = fake_node_job(&node);
        assert_non_null(jobs[i]);
    }
    assert_null(fake_node_job(&node));
    for (size_t i = 0; i < PV_NOTIFIER_MAX_WAITING; i++) {
        struct pv_job_result result = {.status = PV_ERR_NOT_FOUND};
        memcpy(result.error, "no such program", 16);
        fake_node_answer(&node, jobs[i], &result);
    }
    fake_node_show_problems(&node);
    receive(NULL, "still there");
    struct pv_job *job = fake_node_job(&node);
    assert_non_null(job);
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
    assert_false(fake_node_has_problem(&node, "[chat] notify"));
}

PV_TEST_IN(one_sender_leaves_room_for_others, start, NULL)
{
    struct pv_job *job;
    size_t n = 0;
    for (size_t i = 0; i < PV_NOTIFIER_MAX_WAITING; i++)
        receive(i % 2 == 0 ? NULL : "#crew", "again");
    while ((job = fake_node_job(&node)) != NULL) {
        n++;
        pv_job_free(job);
    }
    assert_int_equal(n, PV_NOTIFIER_MAX_WAITING / 2);
    receive_from("carol", NULL, "hello");
    job = fake_node_job(&node);
    assert_non_null(job);
    assert_string_equal(job->u.notify->from, "carol");
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
}

/* However many they write, it takes seven of them to have all places. */
PV_TEST_IN(six_that_write_without_end_leave_room_for_others, start, NULL)
{
    static const char *const names[] = {"bob", "dave", "erin", "frank", "gina", "hugo"};
    struct pv_job *job;
    for (size_t i = 0; i < PV_ARRAY_LEN(names) * PV_NOTIFIER_MAX_WAITING; i++)
        receive_from(names[i / PV_NOTIFIER_MAX_WAITING], NULL, "again");
    while ((job = fake_node_job(&node)) != NULL)
        pv_job_free(job);
    receive_from("carol", NULL, "hello");
    job = fake_node_job(&node);
    assert_non_null(job);
    assert_string_equal(job->u.notify->from, "carol");
    fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
}

PV_TEST_IN(nobody_is_told_when_the_part_is_not_there, start, NULL)
{
    pv_part_free(node.part, node.self);
    node.self = NULL;
    receive(NULL, "too late");
    assert_null(fake_node_job(&node));
}
