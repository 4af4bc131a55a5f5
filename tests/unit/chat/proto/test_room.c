/* SPDX-License-Identifier: MIT */
/* Records of rooms and their frames: every cut, every bound, every wrong signature. */
#include "chat/proto/room.h"
#include "tests/unit/test_util.h"

static const uint8_t NETWORK[PV_ROOM_NETWORK_LEN] = {1, 2, 3};

static uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
static uint8_t raw[PV_ROOM_RECORD_MAX];
static size_t raw_len;
static struct pv_room_have base[PV_ROOM_MAX_MEMBERS + 1];

void test_before_each(void)
{
    static const uint8_t seed[PV_SIGN_SEED_LEN] = {5};
    pv_sign_keypair(seed, sk, pk);
    for (size_t i = 0; i <= PV_ROOM_MAX_MEMBERS; i++) {
        memset(base[i].author, (int)i + 1, sizeof(base[i].author));
        base[i].seq = i;
    }
}

static int make(struct pv_room_record rec, size_t n_base)
{
    struct pv_room_make with = {
        .network = NETWORK, .signer = pv_appsigner_of(sk), .base = base, .n_base = n_base};
    memcpy(rec.signer, pk, sizeof(rec.signer));
    return pv_room_record_make(&with, &rec, raw, &raw_len);
}

static int parse(struct pv_room_record *rec)
{
    return pv_room_record_parse(pv_view(raw, raw_len), NETWORK, rec);
}

static struct pv_room_record record(enum pv_room_type type)
{
    struct pv_room_record rec = {.type = type, .time_ms = 1790000000123u, .name = "crew"};
    rec.round = 2;
    rec.seq = 7;
    rec.text = pv_view("see you", 7);
    memset(rec.room, 9, sizeof(rec.room));
    memset(rec.node, 8, sizeof(rec.node));
    return rec;
}

PV_TEST(every_record_comes_back_as_it_was_made)
{
    struct pv_room_record got;
    struct pv_room_have h;
    assert_ok(make(record(PV_ROOM_CREATE), 0));
    assert_ok(parse(&got));
    assert_string_equal(got.name, "crew");
    assert_memory_equal(got.room, got.hash, sizeof(got.room)); /* named by its hash */
    assert_ok(make(record(PV_ROOM_INVITE), 3));
    assert_ok(parse(&got));
    assert_int_equal(got.round, 2);
    assert_int_equal(got.node[0], 8);
    assert_true(pv_room_base(&got, 2, &h));
    assert_int_equal(h.seq, 2);
    assert_int_equal(h.author[5], 3);
    assert_false(pv_room_base(&got, 3, &h));
    assert_ok(make(record(PV_ROOM_LEAVE), 0));
    assert_ok(parse(&got));
    assert_int_equal(got.seq, 7);
    assert_ok(make(record(PV_ROOM_TEXT), 0));
    assert_ok(parse(&got));
    assert_int_equal(got.text.len, 7);
    assert_memory_equal(got.signer, pk, sizeof(pk));
    assert_int_equal(got.time_ms, 1790000000123u);
}

PV_TEST(a_text_is_put_together_again_from_what_is_stored)
{
    struct pv_room_record got;
    uint8_t again[PV_ROOM_RECORD_MAX], sig[PV_SIGN_LEN];
    size_t len = 0;
    assert_ok(make(record(PV_ROOM_TEXT), 0));
    assert_ok(parse(&got));
    memcpy(sig, raw + raw_len - PV_SIGN_LEN, sizeof(sig));
    assert_ok(pv_room_text_join(&got, sig, again, &len));
    assert_int_equal(len, raw_len);
    assert_memory_equal(again, raw, len);
    struct pv_room_record other = record(PV_ROOM_LEAVE);
    assert_int_equal(pv_room_text_join(&other, sig, again, &len), PV_ERR_MALFORMED);
}

/* The compiler names a type that is missing here. */
static bool is_type(unsigned type)
{
    switch ((enum pv_room_type)type) {
    case PV_ROOM_CREATE:
    case PV_ROOM_INVITE:
    case PV_ROOM_LEAVE:
    case PV_ROOM_TEXT:
        return true;
    }
    return false;
}

PV_TEST(every_cut_and_every_flipped_byte_is_refused)
{
    struct pv_room_record got;
    for (unsigned type = 0; type < 256; type++) {
        if (!is_type(type))
            continue;
        assert_ok(make(record((enum pv_room_type)type), 2));
        for (size_t cut = 0; cut < raw_len; cut++)
            assert_true(pv_room_record_parse(pv_view(raw, cut), NETWORK, &got) < 0);
        for (size_t i = 0; i < raw_len; i++) {
            raw[i] ^= 1;
            assert_true(parse(&got) < 0);
            raw[i] ^= 1;
        }
        assert_ok(parse(&got));
        uint8_t elsewhere[PV_ROOM_NETWORK_LEN] = {1, 2, 4};
        assert_int_equal(pv_room_record_parse(pv_view(raw, raw_len), elsewhere, &got), PV_ERR_AUTH);
    }
}

PV_TEST(a_record_out_of_its_range_is_not_made)
{
    static char text[PV_CHAT_TEXT_MAX + 2];
    struct pv_room_record rec = record(PV_ROOM_CREATE), got;
    memset(rec.name, 'a', PV_ROOM_NAME_MAX);
    assert_ok(make(rec, 0));
    snprintf(rec.name, sizeof(rec.name), "Not a name");
    assert_int_equal(make(rec, 0), PV_ERR_MALFORMED);
    rec = record(PV_ROOM_INVITE);
    assert_ok(make(rec, PV_ROOM_MAX_MEMBERS));
    assert_ok(parse(&got));
    assert_int_equal(make(rec, PV_ROOM_MAX_MEMBERS + 1), PV_ERR_MALFORMED);
    memcpy(base[1].author, base[0].author, sizeof(base[1].author)); /* not ascending */
    assert_int_equal(make(rec, 2), PV_ERR_MALFORMED);
    rec.round = 0;
    assert_int_equal(make(rec, 0), PV_ERR_MALFORMED);
    memset(text, 'x', PV_CHAT_TEXT_MAX + 1);
    rec = record(PV_ROOM_TEXT);
    rec.text = pv_view(text, PV_CHAT_TEXT_MAX);
    assert_ok(make(rec, 0));
    assert_int_equal(raw_len, PV_ROOM_RECORD_MAX);
    rec.text = pv_view(text, PV_CHAT_TEXT_MAX + 1);
    assert_int_equal(make(rec, 0), PV_ERR_MALFORMED);
    rec.text = pv_view("a\0b", 3);
    assert_int_equal(make(rec, 0), PV_ERR_MALFORMED);
    rec = record(PV_ROOM_TEXT);
    rec.seq = 0;
    assert_int_equal(make(rec, 0), PV_ERR_MALFORMED);
    rec.seq = (UINT64_C(1) << 53) + 1;
    assert_int_equal(make(rec, 0), PV_ERR_MALFORMED);
    assert_int_equal(pv_room_record_parse(pv_view(raw, PV_ROOM_RECORD_MAX + 1), NULL, &got),
                     PV_ERR_LIMIT);
    uint8_t zeros[200] = {0};
    assert_int_equal(pv_room_record_parse(pv_view(zeros, sizeof(zeros)), NULL, &got),
                     PV_ERR_UNSUPPORTED);
}

/* --- frames -------------------------------------------------------------------------------- */

static struct pv_room_frame out, in;
static char line[PV_CHAT_LINE_MAX];

static void cross(void)
{
    size_t len = 0;
    assert_ok(pv_room_frame_write(&out, line, &len));
    assert_int_equal(line[len - 1], '\n');
    assert_true(pv_room_is_frame(pv_view(line, len)));
    assert_ok(pv_room_frame_parse(pv_view(line, len - 1), &in));
    assert_int_equal(in.kind, out.kind);
    assert_memory_equal(in.room, out.room, sizeof(in.room));
    for (size_t cut = 0; cut < len - 1 && len < 400; cut++)
        assert_true(pv_room_frame_parse(pv_view(line, cut), &in) < 0);
    assert_ok(pv_room_frame_parse(pv_view(line, len - 1), &in));
}

PV_TEST(frames_survive_the_wire_up_to_their_bounds)
{
    memset(&out, 0, sizeof(out));
    memset(out.room, 3, sizeof(out.room));
    memset(out.digest, 4, sizeof(out.digest));
    out.kind = PV_ROOM_F_HAVE;
    cross();
    assert_int_equal(in.n_have, 0);
    for (size_t i = 0; i < PV_ROOM_MAX_MEMBERS; i++)
        out.have[i] = base[i];
    out.have[3].seq = UINT64_C(1) << 53;
    out.n_have = PV_ROOM_MAX_MEMBERS;
    cross();
    assert_int_equal(in.n_have, PV_ROOM_MAX_MEMBERS);
    assert_int_equal(in.have[3].seq, UINT64_C(1) << 53);
    assert_memory_equal(in.digest, out.digest, sizeof(in.digest));
    assert_int_equal(in.n_gone, 0);
    for (size_t i = 0; i < PV_ROOM_MAX_MEMBERS; i++)
        out.gone[i] = base[i];
    out.n_gone = PV_ROOM_MAX_MEMBERS;
    cross();
    assert_int_equal(in.n_gone, PV_ROOM_MAX_MEMBERS);
    assert_memory_equal(in.gone, base, sizeof(in.gone));
    out.kind = PV_ROOM_F_WANT;
    out.n_have = 1;
    cross();
    assert_int_equal(in.n_have, 1);
    out.kind = PV_ROOM_F_LIST;
    out.n_prefix = PV_ROOM_MAX_RECORDS;
    cross();
    assert_int_equal(in.n_prefix, PV_ROOM_MAX_RECORDS);
    out.kind = PV_ROOM_F_RECORDS;
    static uint8_t big[PV_ROOM_PAGE];
    memset(big, 0x5a, sizeof(big));
    for (size_t i = 0; i < PV_ROOM_FRAME_MAX_RECORDS; i++)
        out.records[i] = pv_view(big, PV_ROOM_PAGE / PV_ROOM_FRAME_MAX_RECORDS);
    out.n_records = PV_ROOM_FRAME_MAX_RECORDS;
    cross();
    assert_int_equal(in.n_records, PV_ROOM_FRAME_MAX_RECORDS);
    assert_memory_equal(in.records[63].ptr, big, in.records[63].len);
    for (size_t i = 0; i < 6; i++)
        out.records[i] = pv_view(big, PV_ROOM_RECORD_MAX);
    out.n_records = 6;
    size_t len = 0;
    assert_int_equal(pv_room_frame_write(&out, line, &len), PV_ERR_LIMIT);
}

/* The compiler names a kind that is missing here. */
static bool is_kind(unsigned kind)
{
    switch ((enum pv_room_frame_kind)kind) {
    case PV_ROOM_F_HAVE:
    case PV_ROOM_F_WANT:
    case PV_ROOM_F_LIST:
    case PV_ROOM_F_RECORDS:
        return true;
    }
    return false;
}

PV_TEST(frames_of_every_kind_are_known_again)
{
    size_t len = 0;
    memset(&out, 0, sizeof(out));
    for (unsigned kind = 0; is_kind(kind); kind++) {
        out.kind = (enum pv_room_frame_kind)kind;
        assert_ok(pv_room_frame_write(&out, line, &len));
        int r = pv_room_frame_parse(pv_view(line, len - 1), &in);
        if (r < 0 || in.kind != out.kind)
            fail_msg("%.*s of kind %u is parsed as kind %u (%s)", (int)len - 1, line, kind, in.kind,
                     pv_strstatus(r));
    }
}

PV_TEST(a_frame_that_is_none_is_refused)
{
#define ID  "AAECAwQFBgcICQoLDA0ODw"
#define KEY "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8"
    static const char *const bad[] = {
        "{\"room\":\"" ID "\"}",
        "{\"room\":\"short\",\"records\":[]}",
        "{\"room\":\"" ID "\",\"have\":[]}",
        "{\"room\":\"" ID "\",\"digest\":\"" KEY "\",\"have\":{}}",
        "{\"room\":\"" ID "\",\"digest\":\"" KEY "\",\"have\":[],\"gone\":1}",
        "{\"room\":\"" ID "\",\"digest\":\"" KEY "\",\"have\":[],\"gone\":[[\"" KEY "\"]]}",
        "{\"room\":\"" ID "\",\"want\":[[\"" KEY "\"]]}",
        "{\"room\":\"" ID "\",\"want\":[[\"" KEY "\",-1]]}",
        "{\"room\":\"" ID "\",\"want\":[[\"" KEY "\",9007199254740993]]}",
        "{\"room\":\"" ID "\",\"want\":[[\"" KEY "\",1,1]]}",
        "{\"room\":\"" ID "\",\"list\":[\"AAEC\"]}",
        "{\"room\":\"" ID "\",\"list\":[1]}",
        "{\"room\":\"" ID "\",\"records\":[\"!\"]}",
        "{\"room\":\"" ID "\",\"records\":[[]]}",
        "{\"room\":\"" ID "\",\"records\":",
        "[]",
    };
    char many[2048] = "{\"room\":\"" ID "\",\"records\":[\"\"";
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        if (pv_room_frame_parse(pv_view(bad[i], strlen(bad[i])), &in) >= 0)
            fail_msg("taken: %s", bad[i]);
    }
    size_t len = strlen(many);
    for (size_t i = 1; i < PV_ROOM_FRAME_MAX_RECORDS; i++, len += 3)
        memcpy(many + len, ",\"\"", 4);
    memcpy(many + len, "]}", 3);
    assert_ok(pv_room_frame_parse(pv_view(many, len + 2), &in));
    memcpy(many + len, ",\"\"]}", 6);
    assert_int_equal(pv_room_frame_parse(pv_view(many, strlen(many)), &in), PV_ERR_LIMIT);
    assert_int_equal(pv_room_frame_parse(pv_view(line, PV_CHAT_LINE_MAX), &in), PV_ERR_LIMIT);
    assert_false(pv_room_is_frame(pv_view("{\"id\":1}", 8)));
    assert_false(pv_room_is_frame(pv_view("{\"roo", 5)));
}
