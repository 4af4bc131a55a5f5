/* SPDX-License-Identifier: MIT */
/*
 * chat.c - chat frames between two nodes: one line each, JSON or plain text (PROTOCOL-PEERS.md
 * "Chat"). Lines come from the peer's programs and are shown in terminals, so text is checked as
 * UTF-8 when it comes and made harmless when it is shown.
 */
#include "chat/proto/chat.h"

#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "proto/control/jsonline.h"

enum {
    MAX_VALUES = 64,  /* ours need 5 */
    REAL_DIGITS = 15, /* significant digits every double keeps */
};
#define MAX_TIME_MS UINT64_C(253402300800000) /* the year 10000 */

static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */

const char *pv_chat_state_name(enum pv_chat_state state)
{
    switch (state) {
    case PV_CHAT_QUEUED:
        return "queued";
    case PV_CHAT_SENT:
        return "sent";
    case PV_CHAT_DELIVERED:
        return "delivered";
    case PV_CHAT_READ:
        return "read";
    case PV_CHAT_UNREAD:
        return "unread";
    }
    return "unknown";
}

const char *pv_chat_later_name(enum pv_chat_later why)
{
    switch (why) {
    case PV_CHAT_LATER_NO:
        return "";
    case PV_CHAT_LATER_FULL:
        return "full";
    case PV_CHAT_LATER_DISK:
        return "disk";
    case PV_CHAT_LATER_RULES:
        return "rules";
    case PV_CHAT_LATER_SILENT:
        return "silent";
    }
    return "";
}

const char *pv_chat_id_format(const uint8_t id[static PV_CHAT_ID_LEN],
                              char buf[static PV_CHAT_ID_TEXT_BUF])
{
    if (pv_b64url_encode(pv_view(id, PV_CHAT_ID_LEN), buf, PV_CHAT_ID_TEXT_BUF) < 0)
        buf[0] = '\0'; /* cannot be: the buffer has the size of every id */
    return buf;
}

int pv_chat_id_parse(const char *text, uint8_t ret_id[static PV_CHAT_ID_LEN])
{
    uint8_t id[PV_CHAT_ID_LEN];
    size_t len;
    if (strlen(text) != PV_CHAT_ID_TEXT ||
        pv_b64url_decode(text, PV_CHAT_ID_TEXT, id, sizeof(id), &len) < 0 || len != sizeof(id))
        return PV_ERR_MALFORMED;
    memcpy(ret_id, id, sizeof(id));
    return PV_OK;
}

/* --- decoding ------------------------------------------------------------------------------ */

static int get_id(const json_t *obj, const char *key, uint8_t ret_id[static PV_CHAT_ID_LEN])
{
    const char *text = json_string_value(json_object_get(obj, key));
    return text == NULL ? PV_ERR_MALFORMED : pv_chat_id_parse(text, ret_id);
}

/* Only the two states that a receiver can vouch for: the others are the sender's own. */
static int parse_ack(const json_t *obj, struct pv_chat_frame *ret_frame)
{
    const char *state = json_string_value(json_object_get(obj, "state"));
    int r = get_id(obj, "ack", ret_frame->id);
    if (r < 0)
        return r;
    if (state == NULL)
        return PV_ERR_MALFORMED;
    if (strcmp(state, "delivered") == 0)
        ret_frame->state = PV_CHAT_DELIVERED;
    else if (strcmp(state, "read") == 0)
        ret_frame->state = PV_CHAT_READ;
    else
        return PV_ERR_MALFORMED;
    ret_frame->kind = PV_CHAT_ACK;
    return PV_OK;
}

/* A reason of a newer version counts as the first one: that the sender waits matters. */
static int parse_noted(const json_t *obj, struct pv_chat_frame *ret_frame)
{
    const char *why = json_string_value(json_object_get(obj, "why"));
    uint64_t wait_s = 0;
    int r = get_id(obj, "noted", ret_frame->id);
    ret_frame->kind = PV_CHAT_NOTED;
    if (r < 0 || json_object_get(obj, "later") == NULL)
        return r;
    ret_frame->kind = PV_CHAT_LATER;
    ret_frame->later = PV_CHAT_LATER_FULL;
    for (enum pv_chat_later l = PV_CHAT_LATER_DISK; why != NULL && l <= PV_CHAT_LATER_RULES; l++)
        if (strcmp(why, pv_chat_later_name(l)) == 0)
            ret_frame->later = l;
    r = pv_jsonline_u64(obj, "later", 1, PV_CHAT_LATER_MAX_S, &wait_s);
    ret_frame->wait_s = (uint32_t)wait_s;
    return r;
}

/* The id keeps a message that was sent twice from appearing twice; time is the sender's claim and
 * only shown. */
static int parse_message(const json_t *obj, struct pv_chat_frame *ret_frame)
{
    const json_t *text = json_object_get(obj, "text");
    const json_t *time = json_object_get(obj, "time");
    int r = get_id(obj, "id", ret_frame->id);
    if (r < 0)
        return r;
    r = pv_jsonline_u64(obj, "seq", 1, PV_CHAT_SEQ_MAX, &ret_frame->seq);
    if (r < 0 || !json_is_string(text) || !json_is_number(time))
        return PV_ERR_MALFORMED;

    double ms = json_number_value(time) * 1000.0 + 0.5;
    if (!(ms >= 0.0 && ms <= (double)MAX_TIME_MS))
        return PV_ERR_MALFORMED;
    size_t len = json_string_length(text);
    if (len > PV_CHAT_TEXT_MAX)
        return PV_ERR_LIMIT;
    if (len == 0)
        return PV_ERR_MALFORMED;
    /* jansson has checked that it is UTF-8 and that there is no NUL in it. */
    memcpy(ret_frame->text, json_string_value(text), len + 1);
    ret_frame->text_len = len;
    ret_frame->time_ms = (uint64_t)ms;
    ret_frame->kind = PV_CHAT_MESSAGE;
    return PV_OK;
}

static struct pv_view without_cr(struct pv_view line)
{
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* A person with netcat has no other way to type: what is not UTF-8 is replaced instead of an error,
 * by a shorter character where the text would get too long. */
int pv_chat_plain_parse(struct pv_view line, struct pv_chat_frame *ret_frame)
{
    size_t n = 0;
    line = without_cr(line);
    if (line.len == 0)
        return PV_ERR_NOT_FOUND;
    if (line.len > PV_CHAT_TEXT_MAX)
        return PV_ERR_LIMIT;
    while (line.len > 0) {
        uint32_t cp = 0;
        size_t step = pv_utf8_char(line, &cp);
        bool good = step > 0 && cp != 0;
        step = step > 0 ? step : 1;
        struct pv_view piece = good ? pv_view(line.ptr, step)
                               : n + 3 + line.len - step > PV_CHAT_TEXT_MAX
                                   ? pv_view("?", 1)
                                   : pv_view(REPLACEMENT, 3);
        memcpy(ret_frame->text + n, piece.ptr, piece.len);
        n += piece.len;
        line = pv_view(line.ptr + step, line.len - step);
    }
    ret_frame->text[n] = '\0';
    ret_frame->text_len = n;
    ret_frame->kind = PV_CHAT_PLAIN;
    return PV_OK;
}

/* A line that is no JSON object is plain text, as somebody types it into nc. Programs that end
 * lines by CR LF are understood, too. */
int pv_chat_frame_parse(struct pv_view line, struct pv_chat_frame *ret_frame)
{
    line = without_cr(line);
    if (line.len == 0 || line.ptr[0] != '{')
        return pv_chat_plain_parse(line, ret_frame);
    if (line.len >= PV_CHAT_LINE_MAX)
        return PV_ERR_LIMIT;

    json_t *obj = NULL;
    int r = pv_jsonline_parse(line, PV_CHAT_JSON_DEPTH, MAX_VALUES, &obj);
    if (r < 0)
        return r;
    if (json_object_get(obj, "ack") != NULL)
        r = parse_ack(obj, ret_frame);
    else if (json_object_get(obj, "noted") != NULL)
        r = parse_noted(obj, ret_frame);
    else
        r = parse_message(obj, ret_frame);
    json_decref(obj);
    return r;
}

/* --- encoding ------------------------------------------------------------------------------ */

/* Writes obj (NULL: no memory) and a newline; drops the reference. */
static int write_frame(json_t *obj, char *buf, size_t *ret_len)
{
    size_t len =
        json_dumpb(obj, buf, PV_CHAT_LINE_MAX - 1, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
    json_decref(obj);
    if (len == 0 || len >= PV_CHAT_LINE_MAX)
        return PV_ERR_NOMEM;
    buf[len] = '\n';
    *ret_len = len + 1;
    return PV_OK;
}

int pv_chat_write_message(const uint8_t id[static PV_CHAT_ID_LEN], uint64_t seq, uint64_t time_ms,
                          const char *text, char buf[static PV_CHAT_LINE_MAX], size_t *ret_len)
{
    if (!pv_text_is_valid(pv_view(text, strlen(text))) || seq == 0 || seq > PV_CHAT_SEQ_MAX ||
        time_ms > MAX_TIME_MS)
        return PV_ERR_MALFORMED;
    return write_frame(json_pack("{s:s, s:I, s:f, s:s}", "id", PV_CHAT_ID_STR(id), "seq",
                                 (json_int_t)seq, "time", (double)time_ms / 1000.0, "text", text),
                       buf, ret_len);
}

int pv_chat_write_ack(const uint8_t id[static PV_CHAT_ID_LEN], enum pv_chat_state state,
                      char buf[static PV_CHAT_LINE_MAX], size_t *ret_len)
{
    if (state != PV_CHAT_DELIVERED && state != PV_CHAT_READ)
        return PV_ERR_MALFORMED;
    return write_frame(
        json_pack("{s:s, s:s}", "ack", PV_CHAT_ID_STR(id), "state", pv_chat_state_name(state)), buf,
        ret_len);
}

int pv_chat_write_noted(const uint8_t id[static PV_CHAT_ID_LEN], char buf[static PV_CHAT_LINE_MAX],
                        size_t *ret_len)
{
    return write_frame(json_pack("{s:s}", "noted", PV_CHAT_ID_STR(id)), buf, ret_len);
}

int pv_chat_write_later(const uint8_t id[static PV_CHAT_ID_LEN], enum pv_chat_later why,
                        uint32_t wait_s, char buf[static PV_CHAT_LINE_MAX], size_t *ret_len)
{
    if (why == PV_CHAT_LATER_NO || why > PV_CHAT_LATER_RULES || wait_s == 0 ||
        wait_s > PV_CHAT_LATER_MAX_S)
        return PV_ERR_MALFORMED;
    return write_frame(json_pack("{s:s, s:i, s:s}", "noted", PV_CHAT_ID_STR(id), "later",
                                 (int)wait_s, "why", pv_chat_later_name(why)),
                       buf, ret_len);
}
