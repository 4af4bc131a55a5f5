/* SPDX-License-Identifier: MIT */
/* Notices and frames about files, and names of others made harmless. */
#include "base/bytes.h"
#include "base/text.h"
#include "chat/proto/file.h"
#include "tests/unit/test_util.h"

static struct pv_file_notice offer_of(const char *name)
{
    struct pv_file_notice n = {
        .kind = PV_FILE_OFFER, .id = {1, 2, 3}, .size = 1234567, .time_ms = 1795161600123};
    snprintf(n.name, sizeof(n.name), "%s", name);
    return n;
}

/* A notice with all fields of its kind, which the compiler names when it is missing here; false:
 * there is no such kind. */
static bool sample(unsigned kind, struct pv_file_notice *ret_notice)
{
    switch ((enum pv_file_notice_kind)kind) {
    case PV_FILE_OFFER:
        *ret_notice = offer_of("photo.jpg");
        return true;
    case PV_FILE_STATE:
        *ret_notice = (struct pv_file_notice){
            .kind = PV_FILE_STATE, .id = {9}, .state = PV_FILE_FAILED, .why = PV_FILE_WHY_CORRUPT};
        return true;
    case PV_FILE_WITHDRAW:
        *ret_notice = (struct pv_file_notice){.kind = PV_FILE_WITHDRAW, .id = {7}};
        return true;
    case PV_FILE_ROOM_OFFER:
        *ret_notice = offer_of("photo.jpg");
        ret_notice->kind = PV_FILE_ROOM_OFFER;
        memset(ret_notice->room, 5, sizeof(ret_notice->room));
        return true;
    }
    return false;
}

PV_TEST(notices_come_out_as_they_went_in)
{
    struct pv_file_notice in, n;
    for (unsigned kind = 0; kind < 256; kind++) {
        uint8_t buf[PV_FILE_NOTICE_MAX];
        size_t len;
        if (!sample(kind, &in))
            continue;
        assert_ok(pv_file_notice_build(&in, buf, &len));
        assert_ok(pv_file_notice_parse(pv_view(buf, len), &n));
        assert_int_equal(n.kind, kind);
        assert_memory_equal(n.id, in.id, sizeof(n.id));
        assert_memory_equal(n.room, in.room, sizeof(n.room));
        assert_int_equal(n.size, in.size);
        assert_int_equal(n.time_ms, in.time_ms);
        assert_string_equal(n.name, in.name);
        assert_int_equal(n.state, in.state);
        assert_int_equal(n.why, in.why);
    }
}

PV_TEST(every_truncation_and_every_extra_byte_is_refused)
{
    struct pv_file_notice in, n;
    for (unsigned kind = 0; kind < 256; kind++) {
        uint8_t buf[PV_FILE_NOTICE_MAX + 1] = {0};
        size_t len;
        if (!sample(kind, &in))
            continue;
        assert_ok(pv_file_notice_build(&in, buf, &len));
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(pv_file_notice_parse(pv_view(buf, cut), &n), PV_ERR_TRUNCATED);
        assert_int_equal(pv_file_notice_parse(pv_view(buf, len + 1), &n), PV_ERR_MALFORMED);
    }
}

PV_TEST(numbers_one_over_their_bounds_are_refused)
{
    struct pv_file_notice n = offer_of("x");
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    n.size = PV_FILE_SIZE_MAX;
    assert_ok(pv_file_notice_build(&n, buf, &len));
    assert_ok(pv_file_notice_parse(pv_view(buf, len), &n));
    pv_store_be64(buf + 18, PV_FILE_SIZE_MAX + 1);
    assert_int_equal(pv_file_notice_parse(pv_view(buf, len), &n), PV_ERR_MALFORMED);
    n.size = PV_FILE_SIZE_MAX + 1;
    assert_int_equal(pv_file_notice_build(&n, buf, &len), PV_ERR_MALFORMED);

    n = (struct pv_file_notice){.kind = PV_FILE_STATE, .state = PV_FILE_N_STATES - 1};
    assert_ok(pv_file_notice_build(&n, buf, &len));
    buf[18] = PV_FILE_N_STATES;
    assert_int_equal(pv_file_notice_parse(pv_view(buf, len), &n), PV_ERR_MALFORMED);
    buf[18] = 0;
    buf[19] = PV_FILE_N_WHYS; /* a reason of a newer version */
    assert_ok(pv_file_notice_parse(pv_view(buf, len), &n));
    assert_int_equal(n.why, PV_FILE_WHY_LOST);

    buf[0] = 2;
    assert_int_equal(pv_file_notice_parse(pv_view(buf, len), &n), PV_ERR_UNSUPPORTED);
    buf[0] = 1;
    buf[1] = UINT8_MAX;
    assert_int_equal(pv_file_notice_parse(pv_view(buf, len), &n), PV_ERR_UNSUPPORTED);
}

PV_TEST(the_longest_name_fits_and_one_byte_more_does_not)
{
    char name[PV_FILE_NAME_BUF + 1];
    uint8_t buf[PV_FILE_NOTICE_MAX + 2];
    struct pv_file_notice n;
    size_t len;
    memset(name, 'a', sizeof(name));
    name[PV_FILE_NAME_MAX] = '\0';
    n = offer_of(name);
    assert_ok(pv_file_notice_build(&n, buf, &len));
    assert_ok(pv_file_notice_parse(pv_view(buf, len), &n));
    assert_string_equal(n.name, name);
    pv_store_be16(buf + 34, PV_FILE_NAME_MAX + 1);
    buf[len] = 'a';
    assert_int_equal(pv_file_notice_parse(pv_view(buf, len + 1), &n), PV_ERR_MALFORMED);
}

PV_TEST(an_offer_in_no_room_is_no_offer_in_a_room)
{
    struct pv_file_notice n;
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    assert_true(sample(PV_FILE_ROOM_OFFER, &n));
    assert_ok(pv_file_notice_build(&n, buf, &len));
    memset(buf + 18, 0, PV_ROOM_ID_LEN);
    assert_int_equal(pv_file_notice_parse(pv_view(buf, len), &n), PV_ERR_MALFORMED);
    memset(n.room, 0, sizeof(n.room));
    assert_int_equal(pv_file_notice_build(&n, buf, &len), PV_ERR_MALFORMED);
}

PV_TEST(names_of_others_lose_what_could_hurt)
{
    static const struct {
        const char *in, *out, *why;
    } rows[] = {
        {"photo.jpg", "photo.jpg", "an ordinary name stays"},
        {"grüße 你好.txt", "grüße 你好.txt", "other alphabets and blanks stay"},
        {"../../etc/passwd", "passwd", "only what follows the last slash"},
        {"/etc/shadow", "shadow", "an absolute path"},
        {"..\\..\\win.ini", "win.ini", "a path of another system"},
        {"..", "_.", "the directory above"},
        {".", "_", "the directory itself"},
        {".bashrc", "_bashrc", "a hidden file"},
        {"-rf", "_rf", "an option"},
        {"dir/", "_", "nothing behind the slash"},
        {"a\nb\x1b[2J\x7f", "a_b_[2J_", "control characters"},
        {"a\xc2\x9b"
         "b",
         "a_b", "C1"},
        {"gpj.\xe2\x80\xae"
         "exe",
         "gpj._exe", "text that runs backwards"},
        {"a\xe2\x80\x8b"
         "b",
         "a_b", "an invisible character"},
        {"\xf0\x9f\x98\x80.png", "\xf0\x9f\x98\x80.png", "four bytes"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char out[PV_FILE_NAME_BUF];
        assert_ok(pv_file_name_clean(pv_view(rows[i].in, strlen(rows[i].in)), out));
        assert_string_equal(out, rows[i].out);
    }
}

PV_TEST(a_long_name_is_cut_at_a_character)
{
    char in[2 * PV_FILE_NAME_MAX], out[PV_FILE_NAME_BUF];
    for (size_t i = 0; i + 1 < sizeof(in); i += 2)
        memcpy(in + i, "\xc3\xa9", 2);
    assert_ok(pv_file_name_clean(pv_view(in, sizeof(in)), out));
    assert_int_equal(strlen(out), PV_FILE_NAME_MAX - 1);
    assert_true(pv_utf8_is_valid(pv_view(out, strlen(out))));
    assert_int_equal(pv_file_name_clean(pv_view("\xff", 1), out), PV_ERR_MALFORMED);
    assert_int_equal(pv_file_name_clean(pv_view("a\0b", 3), out), PV_ERR_MALFORMED);
}

PV_TEST(frames_come_out_as_they_went_in)
{
    const uint8_t id[PV_FILE_ID_LEN] = {1, 2, 3, 4};
    const uint8_t hash[PV_FILE_HASH_LEN] = {9, 8, 7};
    uint8_t get[PV_FILE_GET_LEN], answer[PV_FILE_ANSWER_LEN], got[PV_FILE_ID_LEN];
    const uint8_t *got_hash;
    enum pv_file_why why;
    uint64_t n;
    pv_file_get_build(id, PV_FILE_SIZE_MAX, get);
    assert_ok(pv_file_get_parse(get, got, &n));
    assert_memory_equal(got, id, sizeof(id));
    assert_int_equal(n, PV_FILE_SIZE_MAX);
    pv_file_get_build(id, PV_FILE_SIZE_MAX + 1, get);
    assert_int_equal(pv_file_get_parse(get, got, &n), PV_ERR_MALFORMED);
    for (size_t i = 0; i < 8; i++) {
        pv_file_get_build(id, 0, get);
        get[i] ^= 1;
        assert_int_equal(pv_file_get_parse(get, got, &n), PV_ERR_MALFORMED);
    }

    pv_file_answer_build(PV_FILE_WHY_BUSY, 77, hash, answer);
    assert_ok(pv_file_answer_parse(answer, &why, &n, &got_hash));
    assert_int_equal(why, PV_FILE_WHY_BUSY);
    assert_int_equal(n, 77);
    assert_memory_equal(got_hash, hash, sizeof(hash));
    answer[0] = PV_FILE_N_WHYS;
    assert_int_equal(pv_file_answer_parse(answer, &why, &n, &got_hash), PV_ERR_MALFORMED);
    pv_file_answer_build(PV_FILE_WHY_NONE, PV_FILE_SIZE_MAX + 1, hash, answer);
    assert_int_equal(pv_file_answer_parse(answer, &why, &n, &got_hash), PV_ERR_MALFORMED);
    assert_int_equal(pv_file_why_parse(PV_FILE_N_WHYS), PV_FILE_WHY_LOST);
}
