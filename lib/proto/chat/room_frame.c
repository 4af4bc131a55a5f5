/* SPDX-License-Identifier: MIT */
/*
 * room_frame.c - frames of rooms: JSON lines of chat connections, both directions.
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "proto/chat/room.h"
#include "proto/control/jsonline.h"

enum {
    DEPTH = 3,        /* {"have":[["…",1]]} */
    MAX_VALUES = 600, /* a LIST has 256 and a few */
};

static const char START[] = "{\"room\":";

bool pv_room_is_frame(struct pv_view line)
{
    return line.len >= sizeof(START) - 1 && memcmp(line.ptr, START, sizeof(START) - 1) == 0;
}

/* --- parsing ------------------------------------------------------------------------------- */

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
    const json_t *pair;
    size_t i;
    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (json_array_size(list) > PV_ROOM_MAX_MEMBERS)
        return PV_ERR_LIMIT;
    json_array_foreach(list, i, pair)
    {
        const json_t *seq = json_array_get(pair, 1);
        struct pv_room_have *h = &have[i];
        if (json_array_size(pair) != 2 ||
            !parse_fixed(json_array_get(pair, 0), h->author, sizeof(h->author)) ||
            !json_is_integer(seq) || json_integer_value(seq) < 0 ||
            (uint64_t)json_integer_value(seq) > PV_CHAT_SEQ_MAX)
            return PV_ERR_MALFORMED;
        h->seq = (uint64_t)json_integer_value(seq);
    }
    *ret_n = i;
    return PV_OK;
}

static int parse_list(const json_t *list, struct pv_room_frame *f)
{
    const json_t *prefix;
    size_t i;
    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (json_array_size(list) > PV_ROOM_MAX_RECORDS)
        return PV_ERR_LIMIT;
    json_array_foreach(list, i, prefix)
    {
        if (!parse_fixed(prefix, f->prefix[f->n_prefix++], PV_ROOM_PREFIX_LEN))
            return PV_ERR_MALFORMED;
    }
    return PV_OK;
}

/* All records are decoded into one buffer of the frame, which a line that fits PV_CHAT_LINE_MAX
 * cannot overrun: base64 shrinks. */
static int parse_records(const json_t *list, struct pv_room_frame *f)
{
    const json_t *v;
    size_t i, used = 0;
    if (!json_is_array(list))
        return PV_ERR_MALFORMED;
    if (json_array_size(list) > PV_ROOM_FRAME_MAX_RECORDS)
        return PV_ERR_LIMIT;
    json_array_foreach(list, i, v)
    {
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

/* --- writing ------------------------------------------------------------------------------- */

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
    char number[32];
    for (size_t i = 0; i < n; i++) {
        pen_put(p, i == 0 ? "[" : ",[");
        pen_put_bytes(p, have[i].author, sizeof(have[i].author));
        snprintf(number, sizeof(number), ",%llu]", (unsigned long long)have[i].seq);
        pen_put(p, number);
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
