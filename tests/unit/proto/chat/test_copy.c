/* SPDX-License-Identifier: MIT */
/* Members' copies: their frames, and the tables that hold them, with their quotas. */
#include <stdio.h>

#include <sqlite3.h>

#include "daemon/store/schema.h"
#include "daemon/store/store_chat.h"
#include "proto/chat/copy.h"
#include "tests/unit/test_util.h"

static struct pv_copy_frame out, in;
static char line[PV_CHAT_LINE_MAX];

static void cross(void)
{
    size_t len = 0;
    assert_int_equal(pv_copy_frame_write(&out, line, &len), PV_OK);
    assert_int_equal(line[len - 1], '\n');
    assert_true(pv_copy_is_frame(pv_view(line, len)));
    for (size_t cut = 0; cut < len - 1 && len < 300; cut++)
        assert_true(pv_copy_frame_parse(pv_view(line, cut), &in) < 0);
    assert_int_equal(pv_copy_frame_parse(pv_view(line, len - 1), &in), PV_OK);
    assert_int_equal(in.kind, out.kind);
    assert_int_equal(in.yes, out.yes);
    assert_memory_equal(in.key, out.key, sizeof(in.key));
    assert_memory_equal(in.node, out.node, sizeof(in.node));
    assert_int_equal(in.box_len, out.box_len);
    assert_memory_equal(in.box, out.box, in.box_len);
}

PV_TEST(frames_survive_the_wire_up_to_their_bounds)
{
    memset(&out, 0, sizeof(out));
    memset(out.key, 7, sizeof(out.key));
    memset(out.node, 8, sizeof(out.node));
    memset(out.box, 9, sizeof(out.box));
    out.kind = PV_COPY_DROP;
    out.yes = false;
    size_t len = 0;
    assert_int_equal(pv_copy_frame_write(&out, line, &len), PV_OK);
    assert_int_equal(pv_copy_frame_parse(pv_view(line, len - 1), &in), PV_OK);
    assert_int_equal(in.kind, PV_COPY_DROP);
    for (int yes = 0; yes < 2; yes++) {
        out.yes = yes != 0;
        out.kind = PV_COPY_KEPT;
        cross();
        out.kind = PV_COPY_TAKEN;
        cross();
    }
    out.yes = false;
    out.kind = PV_COPY_KEEP;
    out.box_len = 1;
    cross();
    out.kind = PV_COPY_DELIVER;
    out.box_len = PV_PARCEL_BOX_MAX;
    cross();
    out.box_len++;
    assert_int_equal(pv_copy_frame_write(&out, line, &len), PV_ERR_LIMIT);
    out.box_len = 0;
    assert_int_equal(pv_copy_frame_write(&out, line, &len), PV_ERR_LIMIT);
}

PV_TEST(a_frame_that_is_none_is_refused)
{
#define ID  "AAECAwQFBgcICQoLDA0ODw"
#define KEY "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8"
    static const char *const bad[] = {
        "{\"copy\":\"" ID "\"}",
        "{\"copy\":\"" ID "\",\"to\":\"" KEY "\"}",
        "{\"copy\":\"" ID "\",\"to\":\"" KEY "\",\"box\":\"\"}",
        "{\"copy\":\"" ID "\",\"to\":\"" KEY "\",\"box\":\"!\"}",
        "{\"copy\":\"" ID "\",\"to\":\"" KEY "\",\"box\":1}",
        "{\"copy\":\"" ID "\",\"to\":\"" KEY "\",\"from\":\"" KEY "\",\"box\":\"AA\"}",
        "{\"copy\":\"" ID "\",\"to\":\"" KEY "\",\"taken\":true}",
        "{\"copy\":\"" ID "\",\"from\":\"" KEY "\",\"kept\":true}",
        "{\"copy\":\"" ID "\",\"from\":\"" KEY "\",\"drop\":true}",
        "{\"copy\":\"" ID "\",\"to\":\"" KEY "\",\"drop\":false}",
        "{\"copy\":\"" ID "\",\"to\":\"" KEY "\",\"kept\":1}",
        "{\"copy\":\"" ID "\",\"to\":\"short\",\"kept\":true}",
        "{\"copy\":\"short\",\"to\":\"" KEY "\",\"kept\":true}",
        "{\"copy\":[],\"to\":\"" KEY "\",\"kept\":true}",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        if (pv_copy_frame_parse(pv_view(bad[i], strlen(bad[i])), &in) >= 0)
            fail_msg("taken: %s", bad[i]);
    }
    assert_int_equal(pv_copy_frame_parse(pv_view(line, PV_CHAT_LINE_MAX), &in), PV_ERR_LIMIT);
    assert_false(pv_copy_is_frame(pv_view("{\"room\":1}", 10)));
}

/* --- the store ----------------------------------------------------------------------------- */

static sqlite3 *db;
static const uint8_t BOB[32] = {0xb0}, CARL[32] = {0xca}, DORA[32] = {0xd0};

static int setup(void **state)
{
    (void)state;
    return sqlite3_open(":memory:", &db) == SQLITE_OK && pv_store_schema(db) == PV_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return sqlite3_close(db);
}

static uint64_t now_s; /* of the store */

static int run(struct pv_copyjob *hold, struct pv_chatjob_result **ret)
{
    struct pv_chatjob job = {.kind = PV_CHATJOB_COPIES, .copies = hold, .terms = {.now_s = now_s}};
    return pv_store_chat_run(db, &job, ret);
}

static int do_put(const uint8_t *from, const uint8_t *to, unsigned key, size_t len, uint64_t at)
{
    static uint8_t box[PV_PARCEL_BOX_MAX];
    struct pv_copyjob hold = {.kind = PV_COPYJOB_PUT, .box = box, .box_len = len};
    struct pv_chatjob_result *res = NULL;
    memcpy(hold.from, from, 32);
    memcpy(hold.to, to, 32);
    memcpy(hold.key, &key, sizeof(key));
    now_s = at;
    int r = run(&hold, &res);
    pv_chatjob_result_free(res);
    return r;
}

/* The next copy for `to` behind n: its number, 0 = none; *ret_key gets its key. */
static uint64_t next(const uint8_t *to, uint64_t n, unsigned *ret_key)
{
    struct pv_copyjob hold = {.kind = PV_COPYJOB_NEXT, .n = n};
    struct pv_chatjob_result *res = NULL;
    memcpy(hold.to, to, 32);
    assert_int_equal(run(&hold, &res), PV_OK);
    uint64_t found = res->copies->copy.n;
    memcpy(ret_key, res->copies->copy.key, sizeof(*ret_key));
    pv_chatjob_result_free(res);
    return found;
}

PV_TEST_IN(copies_come_out_in_order_and_once, setup, teardown)
{
    unsigned key = 0;
    assert_int_equal(do_put(BOB, CARL, 1, 100, 50), PV_OK);
    assert_int_equal(do_put(DORA, CARL, 1, 100, 50), PV_OK); /* another's may have the same key */
    assert_int_equal(do_put(BOB, CARL, 2, 100, 50), PV_OK);
    assert_int_equal(do_put(BOB, CARL, 1, 100, 50), PV_OK); /* again: it is there */
    uint64_t first = next(CARL, 0, &key);
    assert_int_equal(key, 1);
    uint64_t second = next(CARL, first, &key);
    assert_int_equal(key, 1);
    uint64_t third = next(CARL, second, &key);
    assert_int_equal(key, 2);
    assert_int_equal(next(CARL, third, &key), 0);
    assert_int_equal(next(BOB, 0, &key), 0);
    struct pv_copyjob drop = {.kind = PV_COPYJOB_DROP, .key = {1}};
    struct pv_chatjob_result *res = NULL;
    memcpy(drop.from, BOB, 32);
    memcpy(drop.to, CARL, 32);
    assert_int_equal(run(&drop, &res), PV_OK);
    assert_int_equal(res->copies->total, 2);
    pv_chatjob_result_free(res);
    assert_int_equal(next(CARL, 0, &key), second);
}

PV_TEST_IN(quotas_bound_a_sender_a_receiver_and_all, setup, teardown)
{
    uint8_t from[32] = {1}, to[32] = {2};
    /* One sender has a quarter of what a receiver may have, and there are four quarters. */
    for (unsigned i = 0; i < PV_COPIES_MAX_OF_PAIR; i++)
        assert_int_equal(do_put(BOB, CARL, i, 10, 50), PV_OK);
    assert_int_equal(do_put(BOB, CARL, PV_COPIES_MAX_OF_PAIR, 10, 50), PV_ERR_REFUSED);
    assert_int_equal(do_put(BOB, CARL, 5, 10, 50), PV_OK); /* it is there already */
    for (uint8_t k = 5; k < 8; k++) {
        const uint8_t other_one[32] = {k};
        for (unsigned i = 0; i < PV_COPIES_MAX_OF_PAIR; i++) {
            assert_int_equal(do_put(other_one, CARL, i, 10, 50), PV_OK);
            assert_int_equal(do_put(BOB, other_one, i, 10, 50), PV_OK);
        }
    }
    assert_int_equal(do_put(BOB, DORA, 0, 10, 50), PV_ERR_REFUSED);
    assert_int_equal(do_put(DORA, CARL, 0, 10, 50), PV_OK); /* one of those with most gives way */
    size_t n = PV_COPIES_MAX_BYTES_OF_PAIR / PV_PARCEL_BOX_MAX;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(do_put(from, to, i, PV_PARCEL_BOX_MAX, 50), PV_OK);
    assert_int_equal(do_put(from, to, (unsigned)n, PV_PARCEL_BOX_MAX, 50), PV_ERR_REFUSED);
    assert_int_equal(do_put(from, DORA, 0, PV_PARCEL_BOX_MAX, 50), PV_OK);
    /* What is too old makes room. */
    assert_int_equal(do_put(BOB, DORA, 0, 10, 50 + PV_COPIES_DAYS * 86400 + 1), PV_OK);
    unsigned key = 0;
    assert_int_equal(next(CARL, 0, &key), 0);
}

/* A holder that is asked for nothing any more keeps no word of who wrote to whom. */
PV_TEST_IN(old_copies_go_though_nobody_brings_new_ones, setup, teardown)
{
    struct pv_chatjob job = {.kind = PV_CHATJOB_PURGE};
    struct pv_chatjob_result *res = NULL;
    unsigned key = 0;
    assert_int_equal(do_put(BOB, CARL, 1, 10, 50), PV_OK);
    assert_int_equal(do_put(BOB, CARL, 2, 10, 51), PV_OK);
    job.terms.now_s = 51 + PV_COPIES_DAYS * 86400;
    assert_int_equal(pv_store_chat_run(db, &job, &res), PV_OK);
    pv_chatjob_result_free(res);
    uint64_t n = next(CARL, 0, &key);
    assert_int_equal(key, 2);
    assert_int_equal(next(CARL, n, &key), 0);
}

PV_TEST_IN(nothing_is_held_while_the_disk_is_nearly_full, setup, teardown)
{
    static uint8_t box[PV_PARCEL_BOX_MAX];
    struct pv_copyjob hold = {.kind = PV_COPYJOB_PUT, .box = box, .box_len = 10};
    struct pv_chatjob job = {
        .kind = PV_CHATJOB_COPIES, .copies = &hold, .terms = {.low_disk = true}};
    struct pv_chatjob_result *res = NULL;
    assert_int_equal(pv_store_chat_run(db, &job, &res), PV_ERR_REFUSED);
    job.terms.low_disk = false;
    assert_int_equal(pv_store_chat_run(db, &job, &res), PV_OK);
    pv_chatjob_result_free(res);
    job.terms.low_disk = true;
    assert_int_equal(pv_store_chat_run(db, &job, &res), PV_OK); /* it is there already */
    pv_chatjob_result_free(res);
}

/* Own messages: which have no copy at a holder, and which copies may go. */
PV_TEST_IN(a_sender_knows_who_has_what, setup, teardown)
{
    struct pv_chatjob_result *res = NULL;
    for (uint8_t i = 1; i <= 2; i++) {
        char text[] = "hello", name[] = "carl";
        struct pv_chat_record m = {.outgoing = true, .text = text, .id = {i}};
        struct pv_chatjob job = {.kind = PV_CHATJOB_ENQUEUE, .msgs = &m, .n_msgs = 1};
        memcpy(m.peer, CARL, 32);
        memcpy(m.peer_name, name, sizeof(name));
        assert_int_equal(pv_store_chat_run(db, &job, &res), PV_OK);
        pv_chatjob_result_free(res);
    }
    struct pv_copyjob hold = {.kind = PV_COPYJOB_MISSING};
    memcpy(hold.to, CARL, 32);
    memcpy(hold.holder, DORA, 32);
    assert_int_equal(run(&hold, &res), PV_OK);
    assert_int_equal(res->n_msgs, 2);
    assert_int_equal(res->msgs[0].seq, 1);
    assert_string_equal(res->msgs[1].text, "hello");
    pv_chatjob_result_free(res);
    hold.kind = PV_COPYJOB_PLACED;
    hold.key[0] = 1;
    assert_int_equal(run(&hold, &res), PV_OK);
    assert_int_equal(res->n_msgs, 1); /* it is SENT by that */
    pv_chatjob_result_free(res);
    assert_int_equal(run(&hold, &res), PV_OK);
    assert_int_equal(res->n_msgs, 0);
    pv_chatjob_result_free(res);
    hold.kind = PV_COPYJOB_MISSING;
    assert_int_equal(run(&hold, &res), PV_OK);
    assert_int_equal(res->n_msgs, 1);
    assert_int_equal(res->msgs[0].id[0], 2);
    pv_chatjob_result_free(res);
    sqlite3_stmt *check = NULL; /* what the daemon looks at when it starts */
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA quick_check", -1, &check, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(check), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(check, 0), "ok");
    sqlite3_finalize(check);
    /* The holder may have given it up meanwhile. */
    hold.kind = PV_COPYJOB_ANEW;
    assert_int_equal(run(&hold, &res), PV_OK);
    pv_chatjob_result_free(res);
    hold.kind = PV_COPYJOB_MISSING;
    assert_int_equal(run(&hold, &res), PV_OK);
    assert_int_equal(res->n_msgs, 2);
    pv_chatjob_result_free(res);
    hold.kind = PV_COPYJOB_PLACED;
    assert_int_equal(run(&hold, &res), PV_OK);
    assert_int_equal(res->n_msgs, 0); /* it was SENT before */
    pv_chatjob_result_free(res);
    hold.kind = PV_COPYJOB_OVER;
    assert_int_equal(run(&hold, &res), PV_OK);
    assert_int_equal(res->n_msgs, 0); /* not delivered yet */
    pv_chatjob_result_free(res);
    assert_int_equal(sqlite3_exec(db, "UPDATE chat_message SET state = 1", NULL, NULL, NULL),
                     SQLITE_OK);
    hold.kind = PV_COPYJOB_ANEW; /* what is delivered stays known until the holder hears of it */
    assert_int_equal(run(&hold, &res), PV_OK);
    pv_chatjob_result_free(res);
    hold.kind = PV_COPYJOB_OVER;
    assert_int_equal(run(&hold, &res), PV_OK);
    assert_int_equal(res->n_msgs, 1);
    assert_int_equal(res->msgs[0].id[0], 1);
    pv_chatjob_result_free(res);
    assert_int_equal(run(&hold, &res), PV_OK);
    assert_int_equal(res->n_msgs, 0); /* told once */
    pv_chatjob_result_free(res);
}
