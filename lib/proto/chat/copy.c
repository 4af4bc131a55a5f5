/* SPDX-License-Identifier: MIT */
/*
 * copy.c - frames about sealed copies that members hold for members who are away (PROTOCOL.md). The
 * box is opaque here: neither holder nor codec can read it.
 */
#include "proto/chat/copy.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "proto/control/jsonline.h"

enum {
    DEPTH = 1,
    MAX_VALUES = 16, /* ours have 3 */
};

static const char START[] = "{\"copy\":";

bool pv_copy_is_frame(struct pv_view line)
{
    return line.len >= sizeof(START) - 1 && memcmp(line.ptr, START, sizeof(START) - 1) == 0;
}

/* The buffer has the size of the largest box, so a longer one fails to decode. */
static bool parse_box(const json_t *v, struct pv_copy_frame *f)
{
    const char *text = json_string_value(v);
    return text != NULL && json_string_length(v) > 0 &&
           pv_b64url_decode(text, json_string_length(v), f->box, sizeof(f->box), &f->box_len) ==
               PV_OK;
}

/* The kind follows from the direction ("to" or "from") and the one other field, so that a frame has
 * no redundant word which could contradict it. */
static int parse_copy(const json_t *obj, struct pv_copy_frame *f)
{
    const char *key = json_string_value(json_object_get(obj, "copy"));
    const char *to = json_string_value(json_object_get(obj, "to"));
    const char *from = json_string_value(json_object_get(obj, "from"));
    const json_t *box = json_object_get(obj, "box");
    const json_t *kept = json_object_get(obj, "kept");
    const json_t *taken = json_object_get(obj, "taken");
    const char *node = to != NULL ? to : from;
    f->yes = false;
    f->box_len = 0;
    if (key == NULL || pv_chat_id_parse(key, f->key) < 0 || (to == NULL) == (from == NULL) ||
        pv_key_parse(node, f->node) < 0)
        return PV_ERR_MALFORMED;
    if (box != NULL) {
        f->kind = to != NULL ? PV_COPY_KEEP : PV_COPY_DELIVER;
        return parse_box(box, f) ? PV_OK : PV_ERR_MALFORMED;
    }
    if (to != NULL && json_is_boolean(kept)) {
        f->kind = PV_COPY_KEPT;
        f->yes = json_is_true(kept);
    } else if (from != NULL && json_is_boolean(taken)) {
        f->kind = PV_COPY_TAKEN;
        f->yes = json_is_true(taken);
    } else if (to != NULL && json_is_true(json_object_get(obj, "drop"))) {
        f->kind = PV_COPY_DROP;
    } else {
        return PV_ERR_MALFORMED;
    }
    return PV_OK;
}

int pv_copy_frame_parse(struct pv_view line, struct pv_copy_frame *ret_frame)
{
    json_t *obj = NULL;
    if (line.len >= PV_CHAT_LINE_MAX)
        return PV_ERR_LIMIT;
    int r = pv_jsonline_parse(line, DEPTH, MAX_VALUES, &obj);
    if (r == PV_OK)
        r = parse_copy(obj, ret_frame);
    json_decref(obj);
    return r;
}

/* Written by hand: the box is the bulk of the line and goes straight into it. */
int pv_copy_frame_write(const struct pv_copy_frame *frame, char buf[static PV_CHAT_LINE_MAX],
                        size_t *ret_len)
{
    static const char *const ends[] = {
        [PV_COPY_KEPT] = "kept", [PV_COPY_DROP] = "drop", [PV_COPY_TAKEN] = "taken"};
    char key[PV_CHAT_ID_TEXT_BUF], node[PV_KEY_TEXT_BUF];
    bool to =
        frame->kind == PV_COPY_KEEP || frame->kind == PV_COPY_KEPT || frame->kind == PV_COPY_DROP;
    bool box = frame->kind == PV_COPY_KEEP || frame->kind == PV_COPY_DELIVER;
    if (box && (frame->box_len == 0 || frame->box_len > sizeof(frame->box)))
        return PV_ERR_LIMIT;
    size_t n = (size_t)snprintf(buf, PV_CHAT_LINE_MAX, "%s\"%s\",\"%s\":\"%s\",", START,
                                pv_chat_id_format(frame->key, key), to ? "to" : "from",
                                pv_key_format(frame->node, node));
    if (!box) {
        bool yes = frame->yes || frame->kind == PV_COPY_DROP;
        n += (size_t)snprintf(buf + n, PV_CHAT_LINE_MAX - n, "\"%s\":%s}\n", ends[frame->kind],
                              yes ? "true" : "false");
        *ret_len = n;
        return PV_OK;
    }
    n += (size_t)snprintf(buf + n, PV_CHAT_LINE_MAX - n, "\"box\":\"");
    if (pv_b64url_encode(pv_view(frame->box, frame->box_len), buf + n, PV_CHAT_LINE_MAX - n - 4) <
        0)
        return PV_ERR_LIMIT;
    n += strlen(buf + n);
    memcpy(buf + n, "\"}\n", 3);
    *ret_len = n + 3;
    return PV_OK;
}
