/* SPDX-License-Identifier: MIT */
/* The part that runs a program for each message: what the program is told, and how many wait. */
#include "base/text.h"
#include "chat/core/base/chat.h"
#include "chat/core/talk/notifier.h"
#include "chat/proto/chatjson.h"
#include "proto/local/ctlapi.h"
#include "tests/unit/test_util.h"

/* Runs that the node was asked for. */
struct asked {
    char from[PV_NAME_BUF + 1], to[PV_NAME_BUF], room[PV_NAME_BUF + 1], text[64], id[32];
    uint64_t time_ms, tag;
};
static struct asked asked[256];
static size_t n_asked, n_taken;
static struct pv_chat chat;
static void *part;

static bool notify(void *node, const struct pv_overlay_notification *of, uint64_t tag, pv_ns now)
{
    struct asked *a = &asked[n_asked++];
    assert_true(n_asked <= PV_ARRAY_LEN(asked));
    *a = (struct asked){.time_ms = of->time_ms, .tag = tag};
    snprintf(a->from, sizeof(a->from), "%s", of->from);
    snprintf(a->to, sizeof(a->to), "%s", of->to);
    snprintf(a->room, sizeof(a->room), "%s", of->room);
    snprintf(a->text, sizeof(a->text), "%s", of->text);
    snprintf(a->id, sizeof(a->id), "%s", of->id);
    return true;
}

static const struct pv_overlay overlay = {.notify = notify};
static const struct pv_chatpart *const notifier = &pv_chatpart_notifier;

static int start_with(bool wanted)
{
    n_asked = n_taken = 0;
    chat = (struct pv_chat){.overlay = &overlay, .given.notify = wanted};
    part = test_alloc(notifier->size);
    struct pv_chat *at = &chat;
    memcpy(part, &at, sizeof(at));
    return notifier->start(part, NULL, PV_S(1));
}

static int stop(void **state)
{
    free(part);
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

/* The next run that was asked for; NULL: there is none. */
static const struct asked *next_run(void)
{
    return n_taken < n_asked ? &asked[n_taken++] : NULL;
}

static void end_run(const struct asked *a, int status)
{
    notifier->on_notified(part, a->tag, status, status == PV_OK ? "" : "no such program", PV_S(2));
}

/* The words of `status` about it; "": none. */
static char said[256];
static void minor(void *page, const char *what, const char *why)
{
    snprintf(said, sizeof(said), "%s%s", what, why);
}
static const char *status(void)
{
    const struct pv_chat_page page = {.minor = minor};
    said[0] = '\0';
    notifier->status(part, &page, PV_S(2));
    return said;
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
    pv_notifier_message(part, &msg, PV_S(1));
}

static void receive(const char *room, const char *text)
{
    receive_from("bob", room, text);
}

PV_TEST_IN(the_program_is_told_who_said_what_to_whom_and_when, start, stop)
{
    char text[PV_CHAT_ID_TEXT_BUF];
    pv_chat_id_format(id, text);
    receive(NULL, "hello");
    const struct asked *job = next_run();
    assert_non_null(job);
    assert_string_equal(job->from, "bob");
    assert_string_equal(job->to, "alice");
    assert_string_equal(job->room, "");
    assert_string_equal(job->text, "hello");
    assert_int_equal(job->time_ms, 1700000000123);
    assert_string_equal(job->id, text);
    end_run(job, PV_OK);
}

PV_TEST_IN(a_message_of_a_room_names_the_room, start, stop)
{
    receive("#crew", "ahoy");
    const struct asked *job = next_run();
    assert_non_null(job);
    assert_string_equal(job->room, "#crew");
    end_run(job, PV_OK);
}

PV_TEST_IN(without_a_program_nothing_is_run, start_without_a_program, stop)
{
    receive(NULL, "hello");
    assert_null(next_run());
}

/* More messages than a slow program keeps up with are not queued without end; each run that ends,
 * well or not, makes room for another. */
PV_TEST_IN(a_slow_program_misses_messages_and_one_that_fails_does_not_stop_the_next, start, stop)
{
    const struct asked *jobs[PV_NOTIFIER_MAX_WAITING];
    for (size_t i = 0; i < PV_NOTIFIER_MAX_WAITING + 3; i++) {
        receive_from(PV_STR("n%zu", i), NULL, "again");
    }
    for (size_t i = 0; i < PV_NOTIFIER_MAX_WAITING; i++) {
        jobs[i] = next_run();
        assert_non_null(jobs[i]);
    }
    assert_null(next_run());
    for (size_t i = 0; i < PV_NOTIFIER_MAX_WAITING; i++) {
        end_run(jobs[i], PV_ERR_NOT_FOUND);
    }
    assert_shows("problems", PV_STR("%s\n", status()));
    receive(NULL, "still there");
    const struct asked *job = next_run();
    assert_non_null(job);
    end_run(job, PV_OK);
    assert_string_equal(status(), "");
}

PV_TEST_IN(one_sender_leaves_room_for_others, start, stop)
{
    const struct asked *job;
    size_t n = 0;
    for (size_t i = 0; i < PV_NOTIFIER_MAX_WAITING; i++)
        receive(i % 2 == 0 ? NULL : "#crew", "again");
    while ((job = next_run()) != NULL)
        n++;
    assert_int_equal(n, PV_NOTIFIER_MAX_WAITING / 2);
    receive_from("carol", NULL, "hello");
    job = next_run();
    assert_non_null(job);
    assert_string_equal(job->from, "carol");
    end_run(job, PV_OK);
}

/* However many they write, it takes seven of them to have all places. */
PV_TEST_IN(six_that_write_without_end_leave_room_for_others, start, stop)
{
    static const char *const names[] = {"bob", "dave", "erin", "frank", "gina", "hugo"};
    const struct asked *job;
    for (size_t i = 0; i < PV_ARRAY_LEN(names) * PV_NOTIFIER_MAX_WAITING; i++)
        receive_from(names[i / PV_NOTIFIER_MAX_WAITING], NULL, "again");
    while (next_run() != NULL)
        continue;
    receive_from("carol", NULL, "hello");
    job = next_run();
    assert_non_null(job);
    assert_string_equal(job->from, "carol");
    end_run(job, PV_OK);
}

PV_TEST_IN(nobody_is_told_when_the_part_is_not_there, start, stop)
{
    const struct pv_chatjson_message msg = {.id = id, .from = "bob", .to = "alice", .text = "late"};
    pv_notifier_message(NULL, &msg, PV_S(1));
    assert_null(next_run());
}
