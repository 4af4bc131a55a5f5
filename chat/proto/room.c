/* SPDX-License-Identifier: MIT */
/*
 * room.c - signed records of rooms, and the frames that carry them: parsing, making
 * (PROTOCOL-PEERS.md "Rooms"). Records are handed on by members who did not write them, so each
 * carries its author's signature over the network and the record; one record has one encoding,
 * since rooms compare hashes.
 */
#include "chat/proto/room.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "base/jsonread.h"
#include "base/text.h"
#include "proto/control/jsonline.h"

enum {
    VERSION = 1,
};

bool pv_room_name_is_valid(const char *name)
{
    return strlen(name) <= PV_ROOM_NAME_MAX && pv_name_is_valid(name);
}

/* Histories are kept by the other side's key, which is longer than the id of a room. */
void pv_room_key(const uint8_t room[static PV_ROOM_ID_LEN], uint8_t ret_key[static PV_SIGN_PK_LEN])
{
    memset(ret_key, 0, PV_SIGN_PK_LEN);
    memcpy(ret_key, room, PV_ROOM_ID_LEN);
}

bool pv_room_base(const struct pv_room_record *record, size_t i, struct pv_room_have *ret_have)
{
    if (i >= record->base.len / PV_ROOM_HAVE_LEN)
        return false;
    const uint8_t *at = record->base.ptr + i * PV_ROOM_HAVE_LEN;
    memcpy(ret_have->author, at, sizeof(ret_have->author));
    ret_have->seq = pv_load_be64(at + sizeof(ret_have->author));
    return true;
}

/* --- records: parsing ------------------------------------------------------------------------ */

/* The list of an invite's base ascends by author, so that one list has one form. */
static bool base_is_canonical(struct pv_view base)
{
    if (base.len % PV_ROOM_HAVE_LEN != 0 || base.len > PV_ROOM_MAX_MEMBERS * PV_ROOM_HAVE_LEN)
        return false;
    for (size_t i = 0; i < base.len; i += PV_ROOM_HAVE_LEN) {
        if (pv_load_be64(base.ptr + i + PV_SIGN_PK_LEN) > PV_CHAT_SEQ_MAX ||
            (i > 0 && memcmp(base.ptr + i - PV_ROOM_HAVE_LEN, base.ptr + i, PV_SIGN_PK_LEN) >= 0))
            return false;
    }
    return true;
}

static void get_room_name(struct pv_reader *in, struct pv_room_record *rec)
{
    struct pv_view name = pv_get_view16(in, PV_ROOM_NAME_MAX);
    if (in->status != PV_OK)
        return;
    memcpy(rec->name, name.ptr, name.len);
    rec->name[name.len] = '\0';
    if (strlen(rec->name) != name.len || !pv_room_name_is_valid(rec->name))
        pv_reader_fail(in, PV_ERR_MALFORMED);
}

static bool record_is_known(uint8_t type)
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

/* The fields between head and signature. Limits are checked here, before the signature: a record
 * that no member may make need not be verified. */
static void get_record_fields(struct pv_reader *in, struct pv_room_record *rec)
{
    switch (rec->type) {
    case PV_ROOM_CREATE:
        rec->time_ms = pv_get_u64(in);
        pv_get_copy(in, rec->nonce, sizeof(rec->nonce));
        get_room_name(in, rec);
        break;
    case PV_ROOM_INVITE:
        pv_get_copy(in, rec->node, sizeof(rec->node));
        rec->round = pv_get_u32(in);
        rec->time_ms = pv_get_u64(in);
        rec->base = pv_get_view16(in, PV_ROOM_MAX_MEMBERS * PV_ROOM_HAVE_LEN);
        if (rec->round == 0 || !base_is_canonical(rec->base))
            pv_reader_fail(in, PV_ERR_MALFORMED);
        break;
    case PV_ROOM_LEAVE:
        rec->round = pv_get_u32(in);
        rec->time_ms = pv_get_u64(in);
        rec->seq = pv_get_u64(in);
        if (rec->round == 0)
            pv_reader_fail(in, PV_ERR_MALFORMED);
        break;
    case PV_ROOM_TEXT:
        rec->seq = pv_get_u64(in);
        rec->time_ms = pv_get_u64(in);
        rec->text = in->rest;
        in->rest = pv_view(in->rest.ptr + in->rest.len, 0);
        if (rec->seq == 0 || !pv_text_is_valid(rec->text))
            pv_reader_fail(in, PV_ERR_MALFORMED);
        break;
    }
    if (rec->seq > PV_CHAT_SEQ_MAX || rec->time_ms > PV_CHAT_SEQ_MAX)
        pv_reader_fail(in, PV_ERR_MALFORMED);
}

/* The signature is checked after the form and before anything is returned; without a network (own
 * records from the disk) it is known to be right. */
int pv_room_record_parse(struct pv_view raw, const uint8_t *network,
                         struct pv_room_record *ret_record)
{
    struct pv_room_record rec = {.round = 0};
    if (raw.len < 2 + PV_SIGN_PK_LEN + PV_SIGN_LEN)
        return PV_ERR_TRUNCATED;
    if (raw.len > PV_ROOM_RECORD_MAX)
        return PV_ERR_LIMIT;
    if (raw.ptr[0] != VERSION || !record_is_known(raw.ptr[1]))
        return PV_ERR_UNSUPPORTED;
    struct pv_view body = pv_view(raw.ptr, raw.len - PV_SIGN_LEN);
    struct pv_reader in = pv_reader(pv_view(body.ptr + 2, body.len - 2));
    rec.type = (enum pv_room_type)raw.ptr[1];
    if (rec.type != PV_ROOM_CREATE)
        pv_get_copy(&in, rec.room, sizeof(rec.room));
    pv_get_copy(&in, rec.signer, sizeof(rec.signer));
    get_record_fields(&in, &rec);
    int r = pv_reader_end(&in);
    if (r == PV_OK && network != NULL)
        r = pv_appsigner_verify(body.ptr + body.len, PV_APPSIGNER_ROOM,
                                pv_view(network, PV_ROOM_NETWORK_LEN), body, rec.signer);
    if (r < 0)
        return r;
    pv_blake2b(rec.hash, raw, pv_view(NULL, 0), pv_view(NULL, 0));
    if (rec.type == PV_ROOM_CREATE)
        memcpy(rec.room, rec.hash, sizeof(rec.room));
    *ret_record = rec;
    return PV_OK;
}

/* --- records: making ------------------------------------------------------------------------- */

/* In the order of get_record_fields(); PROTOCOL-PEERS.md "Rooms" is the table of both. */
static void put_record_fields(struct pv_writer *w, const struct pv_room_record *rec,
                              const struct pv_room_make *make)
{
    switch (rec->type) {
    case PV_ROOM_CREATE:
        pv_put_u64(w, rec->time_ms);
        pv_put_bytes(w, rec->nonce, sizeof(rec->nonce));
        pv_put_view16(w, pv_view(rec->name, strlen(rec->name)));
        break;
    case PV_ROOM_INVITE:
        pv_put_bytes(w, rec->node, sizeof(rec->node));
        pv_put_u32(w, rec->round);
        pv_put_u64(w, rec->time_ms);
        pv_put_u16(w, (uint16_t)(make->n_base * PV_ROOM_HAVE_LEN));
        for (size_t i = 0; i < make->n_base; i++) {
            pv_put_bytes(w, make->base[i].author, sizeof(make->base[i].author));
            pv_put_u64(w, make->base[i].seq);
        }
        break;
    case PV_ROOM_LEAVE:
        pv_put_u32(w, rec->round);
        pv_put_u64(w, rec->time_ms);
        pv_put_u64(w, rec->seq);
        break;
    case PV_ROOM_TEXT:
        pv_put_u64(w, rec->seq);
        pv_put_u64(w, rec->time_ms);
        pv_put_bytes(w, rec->text.ptr, rec->text.len);
        break;
    }
}

static struct pv_writer write_unsigned(const struct pv_room_record *rec,
                                       const struct pv_room_make *make, uint8_t *raw)
{
    struct pv_writer w = pv_writer(raw, PV_ROOM_RECORD_MAX);
    pv_put_u8(&w, VERSION);
    pv_put_u8(&w, (uint8_t)rec->type);
    if (rec->type != PV_ROOM_CREATE)
        pv_put_bytes(&w, rec->room, sizeof(rec->room));
    pv_put_bytes(&w, rec->signer, sizeof(rec->signer));
    put_record_fields(&w, rec, make);
    return w;
}

/* The result is parsed again: what is not canonical would be refused by every other member. */
int pv_room_record_make(const struct pv_room_make *make, const struct pv_room_record *record,
                        uint8_t ret_raw[static PV_ROOM_RECORD_MAX], size_t *ret_len)
{
    struct pv_room_record check;
    uint8_t sig[PV_SIGN_LEN];
    if (make->n_base > PV_ROOM_MAX_MEMBERS)
        return PV_ERR_MALFORMED;
    struct pv_writer w = write_unsigned(record, make, ret_raw);
    int r = w.status != PV_OK ? PV_ERR_MALFORMED
                              : make->signer.sign(make->signer.keeper, PV_APPSIGNER_ROOM,
                                                  pv_view(make->network, PV_ROOM_NETWORK_LEN),
                                                  pv_written(&w), sig);
    if (r < 0)
        return r;
    pv_put_bytes(&w, sig, sizeof(sig));
    /* Every receiver would refuse a record that is not canonical. */
    if (w.status != PV_OK || pv_room_record_parse(pv_written(&w), NULL, &check) < 0)
        return PV_ERR_MALFORMED;
    *ret_len = w.len;
    return PV_OK;
}

/* The disk keeps a text without its frame; the signature fits only what was signed, so a mistake
 * here shows at the receiver and not as another text. */
int pv_room_text_join(const struct pv_room_record *record, const uint8_t *sig,
                      uint8_t ret_raw[static PV_ROOM_RECORD_MAX], size_t *ret_len)
{
    struct pv_writer w = write_unsigned(record, NULL, ret_raw);
    pv_put_bytes(&w, sig, PV_SIGN_LEN);
    if (w.status != PV_OK || record->type != PV_ROOM_TEXT)
        return PV_ERR_MALFORMED;
    *ret_len = w.len;
    return PV_OK;
}

/* --- frames: JSON lines of chat connections -------------------------------------------------- */

enum {
    DEPTH = 3,        /* {"have":[["…",1]]} */
    MAX_VALUES = 600, /* a LIST has 256 and a few */
};

static const char START[] = "{\"room\":";

bool pv_room_is_frame(struct pv_view line)
{
    return line.len >= sizeof(START) - 1 && memcmp(line.ptr, START, sizeof(START) - 1) == 0;
}

/* --- frames: parsing ------------------------------------------------------------------------- */

/* Exactly len bytes in base64url. */
static bool parse_fixed(const json_t *v, uint8_t *dst, size_t len)
{
    size_t n = 0;
    const char *text = json_string_value(v);
    return text != NULL && pv_b64url_decode(text, json_string_length(v), dst, len, &n) == PV_OK &&
           n == len;
}

/* Counts are checked before the loop, because the arrays of the frame have exactly that size. */
static int parse_have(const json_t *list, struct pv_room_have have[static PV_ROOM_MAX_MEMBERS],
                      size_t *ret_n)
{
    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (json_array_size(list) > PV_ROOM_MAX_MEMBERS)
        return PV_ERR_LIMIT;
    PV_EACH_JSON(list, pair) {
        const json_t *seq = json_array_get(pair, 1);
        struct pv_room_have *h = &have[pair_i];
        if (json_array_size(pair) != 2 ||
            !parse_fixed(json_array_get(pair, 0), h->author, sizeof(h->author)) ||
            !json_is_integer(seq) || json_integer_value(seq) < 0 ||
            (uint64_t)json_integer_value(seq) > PV_CHAT_SEQ_MAX)
            return PV_ERR_MALFORMED;
        h->seq = (uint64_t)json_integer_value(seq);
    }
    *ret_n = json_array_size(list);
    return PV_OK;
}

static int parse_list(const json_t *list, struct pv_room_frame *f)
{
    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (json_array_size(list) > PV_ROOM_MAX_RECORDS)
        return PV_ERR_LIMIT;
    PV_EACH_JSON(list, prefix) {
        if (!parse_fixed(prefix, f->prefix[f->n_prefix++], PV_ROOM_PREFIX_LEN))
            return PV_ERR_MALFORMED;
    }
    return PV_OK;
}

/* All records are decoded into one buffer of the frame, which a line that fits PV_CHAT_LINE_MAX
 * cannot overrun: base64 shrinks. */
static int parse_records(const json_t *list, struct pv_room_frame *f)
{
    size_t used = 0;
    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (json_array_size(list) > PV_ROOM_FRAME_MAX_RECORDS)
        return PV_ERR_LIMIT;
    PV_EACH_JSON(list, v) {
        size_t n = 0;
        const char *text = json_string_value(v);
        if (text == NULL || pv_b64url_decode(text, json_string_length(v), f->bytes + used,
                                             sizeof(f->bytes) - used, &n) != PV_OK)
            return PV_ERR_MALFORMED;
        f->records[f->n_records++] = pv_view(f->bytes + used, n);
        used += n;
    }
    return PV_OK;
}

/* Programs before this field neither send nor read it. */
static int parse_gone(const json_t *list, struct pv_room_frame *f)
{
    return list == NULL ? PV_OK : parse_have(list, f->gone, &f->n_gone);
}

/* The kind follows from the one field that is there. */
static int parse_frame(const json_t *obj, struct pv_room_frame *f)
{
    const json_t *v;
    if (!parse_fixed(json_object_get(obj, "room"), f->room, sizeof(f->room)))
        return PV_ERR_MALFORMED;
    if ((v = json_object_get(obj, "have")) != NULL) {
        f->kind = PV_ROOM_F_HAVE;
        if (!parse_fixed(json_object_get(obj, "digest"), f->digest, sizeof(f->digest)))
            return PV_ERR_MALFORMED;
        int r = parse_have(v, f->have, &f->n_have);
        return r < 0 ? r : parse_gone(json_object_get(obj, "gone"), f);
    }
    if ((v = json_object_get(obj, "want")) != NULL) {
        f->kind = PV_ROOM_F_WANT;
        return parse_have(v, f->have, &f->n_have);
    }
    if ((v = json_object_get(obj, "list")) != NULL) {
        f->kind = PV_ROOM_F_LIST;
        return parse_list(v, f);
    }
    f->kind = PV_ROOM_F_RECORDS;
    return parse_records(json_object_get(obj, "records"), f);
}

int pv_room_frame_parse(struct pv_view line, struct pv_room_frame *ret_frame)
{
    json_t *obj = NULL;
    if (line.len >= PV_CHAT_LINE_MAX)
        return PV_ERR_LIMIT;
    int r = pv_jsonline_parse(line, DEPTH, MAX_VALUES, &obj);
    if (r < 0)
        return r;
    ret_frame->n_have = ret_frame->n_gone = ret_frame->n_prefix = ret_frame->n_records = 0;
    r = parse_frame(obj, ret_frame);
    json_decref(obj);
    return r;
}

/* --- frames: writing ------------------------------------------------------------------------- */

/* The text of a frame as it grows. Being full sticks, so that callers write straight on and look
 * once at the end. */
struct frame_pen {
    char *buf;
    size_t len;
    bool full;
};

static void pen_put(struct frame_pen *p, const char *text)
{
    size_t n = strlen(text);
    p->full = p->full || p->len + n >= PV_CHAT_LINE_MAX;
    if (p->full)
        return;
    memcpy(p->buf + p->len, text, n);
    p->len += n;
}

/* base64url straight into the line; the encoder's NUL is overwritten by the quote. */
static void pen_put_bytes(struct frame_pen *p, const uint8_t *bytes, size_t len)
{
    pen_put(p, "\"");
    p->full = p->full ||
              pv_b64url_encode(pv_view(bytes, len), p->buf + p->len, PV_CHAT_LINE_MAX - p->len) < 0;
    if (!p->full)
        p->len += strlen(p->buf + p->len);
    pen_put(p, "\"");
}

static void pen_put_have(struct frame_pen *p, const struct pv_room_have *have, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pen_put(p, i == 0 ? "[" : ",[");
        pen_put_bytes(p, have[i].author, sizeof(have[i].author));
        pen_put(p, PV_STR(",%llu]", (unsigned long long)have[i].seq));
    }
}

int pv_room_frame_write(const struct pv_room_frame *frame, char buf[static PV_CHAT_LINE_MAX],
                        size_t *ret_len)
{
    struct frame_pen p = {.buf = buf};
    pen_put(&p, START);
    pen_put_bytes(&p, frame->room, sizeof(frame->room));
    switch (frame->kind) {
    case PV_ROOM_F_HAVE:
        pen_put(&p, ",\"digest\":");
        pen_put_bytes(&p, frame->digest, sizeof(frame->digest));
        pen_put(&p, ",\"have\":[");
        pen_put_have(&p, frame->have, frame->n_have);
        if (frame->n_gone > 0)
            pen_put(&p, "],\"gone\":[");
        pen_put_have(&p, frame->gone, frame->n_gone);
        break;
    case PV_ROOM_F_WANT:
        pen_put(&p, ",\"want\":[");
        pen_put_have(&p, frame->have, frame->n_have);
        break;
    case PV_ROOM_F_LIST:
        pen_put(&p, ",\"list\":[");
        for (size_t i = 0; i < frame->n_prefix; i++) {
            pen_put(&p, i == 0 ? "" : ",");
            pen_put_bytes(&p, frame->prefix[i], PV_ROOM_PREFIX_LEN);
        }
        break;
    case PV_ROOM_F_RECORDS:
        pen_put(&p, ",\"records\":[");
        for (size_t i = 0; i < frame->n_records; i++) {
            pen_put(&p, i == 0 ? "" : ",");
            pen_put_bytes(&p, frame->records[i].ptr, frame->records[i].len);
        }
        break;
    }
    pen_put(&p, "]}\n");
    if (p.full)
        return PV_ERR_LIMIT;
    *ret_len = p.len;
    return PV_OK;
}
