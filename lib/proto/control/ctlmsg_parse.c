/* SPDX-License-Identifier: MIT */
/*
 * ctlmsg_parse.c - reads the JSON messages of the control channel (the reading half of ctlmsg.h). A
 * coordinator reads messages of anybody who connects, so one message costs one block of memory
 * whose size follows from its length, and values are counted before jansson sees them. The first
 * wrong field is remembered by name and answered; the others are not worth a word.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/addr.h"
#include "crypto/ct.h"
#include "proto/control/ctlmsg_words.h"
#include "proto/control/ctlpage.h"
#include "proto/control/jsonline.h"

/* The parsed form of a message takes less than four times its text wherever its values are long
 * enough to be right: a node in a list has 46 characters and becomes 32 bytes, after 48 for
 * decoding; a presence has 80 and becomes 48 + 48. Lists of empty values do not fit and are invalid
 * anyway. */
enum {
    MEM_PER_CHAR = 4,
    MEM_EXTRA = 512, /* the addresses of welcome may be short */
};

struct msg_parser {
    struct pv_ctl_owned *own;
    const char *bad; /* the first field that was wrong, NULL so far */
};

/* Only the first is kept: what is wrong behind it is often a consequence. */
static void note_wrong(struct msg_parser *p, const char *name)
{
    if (p->bad == NULL)
        p->bad = name;
}

/* Aligned for any type. Running out means values too short to be right, see MEM_PER_CHAR: the
 * message is invalid rather than too large. */
static void *take_memory(struct msg_parser *p, size_t len)
{
    size_t rounded = (len + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (p->own->cap - p->own->used < rounded) {
        note_wrong(p, "t");
        return NULL;
    }
    void *mem = p->own->mem + p->own->used;
    p->own->used += rounded;
    memset(mem, 0, len);
    return mem;
}

/* --- fields: each names itself in p->bad when it is missing or wrong ------------------------- */

/* null means absent everywhere, so that writers may leave a field out or say that there is
 * nothing. */
static json_t *get_value(const json_t *obj, const char *name)
{
    json_t *v = json_object_get(obj, name);
    return json_is_null(v) ? NULL : v;
}

/* 0 when it is wrong; callers need not look, as the whole message becomes invalid. */
static uint64_t get_number(struct msg_parser *p, const json_t *v, const char *name, uint64_t max)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max) {
        note_wrong(p, name);
        return 0;
    }
    return (uint64_t)json_integer_value(v);
}

/* A NUL-terminated copy of at most max bytes. */
static const char *get_string(struct msg_parser *p, const json_t *v, const char *name, size_t max)
{
    if (!json_is_string(v) || json_string_length(v) > max) {
        note_wrong(p, name);
        return "";
    }
    size_t len = json_string_length(v);
    char *text = take_memory(p, len + 1);
    if (text == NULL)
        return "";
    memcpy(text, json_string_value(v), len);
    return text;
}

/* The length of the text is checked before decoding, so no value can take more memory than its
 * field may have. */
static struct pv_view decode_base64(struct msg_parser *p, const json_t *v, const char *name,
                                    size_t max)
{
    size_t len = 0;
    size_t chars = json_string_length(v);
    if (!json_is_string(v) || chars == 0 || chars > PV_B64_LEN(max)) {
        note_wrong(p, name);
        return pv_view(NULL, 0);
    }
    uint8_t *mem = take_memory(p, chars);
    if (mem == NULL)
        return pv_view(NULL, 0);
    if (pv_b64url_decode(json_string_value(v), chars, mem, chars, &len) != PV_OK || len > max) {
        note_wrong(p, name);
        return pv_view(NULL, 0);
    }
    return pv_view(mem, len);
}

/* Decoded beside dst and then copied: a value of the wrong length leaves dst as it was. */
static void copy_fixed(struct msg_parser *p, const json_t *v, const char *name, uint8_t *dst,
                       size_t len)
{
    struct pv_view got = decode_base64(p, v, name, len);
    if (got.len == len)
        memcpy(dst, got.ptr, len);
    else
        note_wrong(p, name);
}

/* Not lower-cased: the signature covers the name as it was sent. */
static void get_name(struct msg_parser *p, const json_t *v, const char *name,
                     char dst[static PV_NAME_BUF], bool may_be_empty)
{
    if (may_be_empty && (v == NULL || json_string_length(v) == 0)) {
        dst[0] = '\0';
        return;
    }
    if (!json_is_string(v) || json_string_length(v) > PV_NAME_MAX ||
        !pv_name_is_valid(json_string_value(v))) {
        note_wrong(p, name);
        return;
    }
    memcpy(dst, json_string_value(v), json_string_length(v) + 1);
}

/* A word of a later version becomes OTHER: the message for people still says what happened. */
static enum pv_ctl_error get_error(struct msg_parser *p, const json_t *v, const char *name)
{
    const char *word = json_string_value(v);
    if (word == NULL) {
        note_wrong(p, name);
        return PV_CTL_E_OTHER;
    }
    for (int e = PV_CTL_E_NONE + 1; e < PV_CTL_ERROR_COUNT; e++) {
        if (strcmp(word, pv_ctl_error_word((enum pv_ctl_error)e)) == 0)
            return (enum pv_ctl_error)e;
    }
    return PV_CTL_E_OTHER;
}

/* Is the word among hello's caps? Other words there are passed over. */
static bool has_cap(const json_t *caps, const char *word)
{
    size_t i;
    json_t *cap;
    json_array_foreach(caps, i, cap)
    {
        if (json_is_string(cap) && strcmp(json_string_value(cap), word) == 0)
            return true;
    }
    return false;
}

static void get_role(struct msg_parser *p, const json_t *v, const char *name, enum pv_ctl_role *ret)
{
    const char *role = json_string_value(v);
    if (role != NULL && strcmp(role, "member") == 0)
        *ret = PV_CTL_MEMBER;
    else if (role != NULL && strcmp(role, "guest") == 0)
        *ret = PV_CTL_GUEST;
    else
        note_wrong(p, name);
}

static struct pv_addr get_ip(struct msg_parser *p, const json_t *v, const char *name)
{
    struct pv_addr addr = {0};
    const char *text = json_string_value(v);
    if (text == NULL || pv_addr_parse_ip(text, &addr) != PV_OK)
        note_wrong(p, name);
    return addr;
}

/* The family is required, so that a v6 address cannot slip into a v4 field. */
static void get_ip_of(struct msg_parser *p, const json_t *v, const char *name, uint16_t family,
                      uint8_t *dst)
{
    struct pv_addr addr = get_ip(p, v, name);
    if (addr.family == family)
        memcpy(dst, addr.ip, pv_addr_ip_len(&addr));
    else
        note_wrong(p, name);
}

/* Either a receipt or an error. */
static void get_result(struct msg_parser *p, const json_t *v, struct pv_ctl_result *ret)
{
    if (get_value(v, "error") != NULL)
        ret->error = get_error(p, get_value(v, "error"), "error");
    else
        ret->receipt = decode_base64(p, get_value(v, "r"), "r", PV_CTL_RECEIPT_MAX);
}

/* --- messages ------------------------------------------------------------------------------ */

static void get_fields(struct msg_parser *p, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                       const json_t *obj, void *base);

static void get_one(struct msg_parser *p, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                    const json_t *v, const char *name, void *base);

/* A list that does not fit has no elements at all: half a list would pass for a whole one. */
static void get_list(struct msg_parser *p, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                     const json_t *v, const char *name, uint8_t *base)
{
    size_t n = json_array_size(v);
    if (!json_is_array(v) || n > f->max || (n == 0 && (f->rule & PV_CTL_R_SOME) != 0)) {
        note_wrong(p, name);
        n = 0;
    }
    uint8_t *elements = take_memory(p, n * f->size);
    n = elements == NULL ? 0 : n;
    memcpy(base + f->at, &elements, sizeof(elements));
    memcpy(base + f->count, &n, sizeof(n));
    for (size_t i = 0; i < n; i++) {
        if (f->of->name == NULL)
            get_one(p, kind, f->of, json_array_get(v, i), name, elements + i * f->size);
        else
            get_fields(p, kind, f->of, json_array_get(v, i), elements + i * f->size);
    }
}

static void get_object(struct msg_parser *p, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                       const json_t *v, const char *name, void *at)
{
    if (json_is_object(v))
        get_fields(p, kind, f->of, v, at);
    else
        note_wrong(p, name);
}

/* name: what is noted when it is wrong. */
static void get_one(struct msg_parser *p, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                    const json_t *v, const char *name, void *base)
{
    const bool some = (f->rule & PV_CTL_R_SOME) != 0;
    void *at = (uint8_t *)base + f->at;
    struct pv_ctl_hello *hello = at;
    struct pv_view *view = at;

    switch (f->form) {
    case PV_CTL_F_NUMBER: {
        bool narrow = f->size == sizeof(uint32_t);
        uint64_t number = get_number(p, v, name, narrow ? UINT32_MAX : PV_CTL_U64_MAX);
        if (narrow)
            *(uint32_t *)at = (uint32_t)number;
        else
            *(uint64_t *)at = number;
        if (some && number == 0)
            note_wrong(p, name);
        break;
    }
    case PV_CTL_F_BOOL:
        if (v != NULL && !json_is_boolean(v))
            note_wrong(p, name);
        *(bool *)at = v == NULL ? (f->rule & PV_CTL_R_TRUE) != 0 : json_is_true(v);
        break;
    case PV_CTL_F_FIXED:
        copy_fixed(p, v, name, at, f->size);
        break;
    case PV_CTL_F_BYTES:
        *view = decode_base64(p, v, name, f->max);
        break;
    case PV_CTL_F_EXACT:
        *view = decode_base64(p, v, name, f->max);
        if (view->len != f->max)
            note_wrong(p, name);
        break;
    case PV_CTL_F_TEXT: {
        bool left_out = v == NULL && (f->rule & PV_CTL_R_OPTIONAL) != 0;
        const char *text = left_out ? "" : get_string(p, v, name, f->max);
        if (some && text[0] == '\0')
            note_wrong(p, name);
        *(const char **)at = text;
        break;
    }
    case PV_CTL_F_NAME:
        get_name(p, v, name, at, !some);
        break;
    case PV_CTL_F_IP4:
        get_ip_of(p, v, name, PV_AF_INET, at);
        break;
    case PV_CTL_F_IP6:
        get_ip_of(p, v, name, PV_AF_INET6, at);
        break;
    case PV_CTL_F_IP:
        *(struct pv_addr *)at = get_ip(p, v, name);
        break;
    case PV_CTL_F_ROLE:
        get_role(p, v, name, at);
        break;
    case PV_CTL_F_ERROR:
        *(enum pv_ctl_error *)at = get_error(p, v, name);
        break;
    case PV_CTL_F_CAPS:
        if (f->size == 0)
            break;
        hello->pages = has_cap(v, PV_CTL_CAP_PAGES);
        hello->moved = has_cap(v, PV_CTL_CAP_MOVED);
        break;
    case PV_CTL_F_RESULT:
        get_result(p, v, at);
        break;
    case PV_CTL_F_OBJECT:
        get_object(p, kind, f, v, name, at);
        break;
    case PV_CTL_F_LIST:
        get_list(p, kind, f, v, name, base);
        break;
    case PV_CTL_F_END:
        break;
    }
}

static void get_fields(struct msg_parser *p, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                       const json_t *obj, void *base)
{
    for (; f->form != PV_CTL_F_END; f++) {
        if (!pv_ctl_is_of(f, kind))
            continue;
        const json_t *v = get_value(obj, f->name);
        if (v == NULL && (f->rule & PV_CTL_R_LEADS) != 0)
            return;
        if (f->has != 0)
            *((bool *)base + f->has) = v != NULL;
        if (v == NULL &&
            (f->has != 0 || ((f->rule & PV_CTL_R_OPTIONAL) != 0 && f->form != PV_CTL_F_TEXT)))
            continue;
        get_one(p, kind, f, v, f->wrong != NULL ? f->wrong : f->name, base);
    }
}

/* --- the envelope -------------------------------------------------------------------------- */

/* The same word may name a request and an answer ("statements"), so the kind takes part in the
 * search. */
static enum pv_ctl_type find_type(const json_t *obj, enum pv_ctl_kind kind)
{
    const char *word = json_string_value(get_value(obj, "t"));
    for (int t = 0; word != NULL && t < PV_CTL_TYPE_COUNT; t++) {
        const struct pv_ctl_word *w = &pv_ctl_words[t];
        if (w->word != NULL && (w->kinds & (1u << kind)) != 0 && strcmp(w->word, word) == 0)
            return (enum pv_ctl_type)t;
    }
    return PV_CTL_UNKNOWN;
}

/* Kind and id are read first and strictly: without them no error answer could reach the request it
 * belongs to. */
static int read_envelope(const json_t *obj, struct pv_ctl_msg *m)
{
    const json_t *id = json_object_get(obj, "id");
    const json_t *ok = json_object_get(obj, "ok");
    if (id != NULL && (!json_is_integer(id) || json_integer_value(id) < 1 ||
                       (uint64_t)json_integer_value(id) > PV_CTL_ID_MAX))
        return PV_ERR_MALFORMED;
    if (ok != NULL && (id == NULL || !json_is_boolean(ok)))
        return PV_ERR_MALFORMED;
    if (json_is_false(ok)) {
        m->kind = PV_CTL_ANSWER;
        m->type = PV_CTL_ERROR;
    } else {
        if (!json_is_string(json_object_get(obj, "t")))
            return PV_ERR_MALFORMED;
        m->kind = ok != NULL ? PV_CTL_ANSWER : id != NULL ? PV_CTL_REQUEST : PV_CTL_PUSH;
        m->type = find_type(obj, m->kind);
    }
    m->id = id == NULL ? 0 : (uint64_t)json_integer_value(id);
    return PV_OK;
}

/* Everything the message points to lies in the same block, so it can be passed between threads and
 * freed by one call. */
int pv_ctl_parse(struct pv_view text, struct pv_ctl_msg **ret_msg)
{
    json_t *obj = NULL;
    if (pv_ctlpage_is(text))
        return pv_ctlpage_parse(text, ret_msg);
    int r = text.len > PV_CTL_TEXT_MAX
                ? PV_ERR_LIMIT
                : pv_jsonline_parse(text, PV_CTL_DEPTH_MAX, PV_CTL_VALUES_MAX, &obj);
    if (r < 0)
        return r;

    size_t cap = text.len * MEM_PER_CHAR + MEM_EXTRA;
    struct msg_parser p = {.own = pv_ctl_owned_new(cap)};
    if (p.own == NULL) {
        json_decref(obj);
        return PV_ERR_NOMEM;
    }
    struct pv_ctl_msg *msg = &p.own->msg;
    r = read_envelope(obj, msg);
    if (r == PV_OK && msg->type < PV_CTL_TYPE_COUNT && pv_ctl_words[msg->type].fields != NULL)
        get_fields(&p, msg->kind, pv_ctl_words[msg->type].fields, obj, msg);
    json_decref(obj);
    if (r < 0) {
        pv_ctl_msg_free(msg);
        return r;
    }
    if (p.bad != NULL) {
        msg->type = PV_CTL_INVALID;
        msg->u.invalid = p.bad;
    }
    *ret_msg = msg;
    return PV_OK;
}

struct pv_ctl_owned *pv_ctl_owned_new(size_t cap)
{
    struct pv_ctl_owned *own = calloc(1, sizeof(*own) + cap);
    if (own != NULL)
        own->cap = cap;
    return own;
}

/* Wiped, because a message may hold the server's secret or TURN credentials. */
struct pv_ctl_msg *pv_ctl_msg_free(struct pv_ctl_msg *msg)
{
    if (msg == NULL)
        return NULL;
    struct pv_ctl_owned *own = (struct pv_ctl_owned *)(void *)msg;
    pv_wipe(own, sizeof(*own) + own->cap);
    free(own);
    return NULL;
}
