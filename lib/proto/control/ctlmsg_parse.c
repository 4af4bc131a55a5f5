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
static uint64_t get_u64(struct msg_parser *p, const json_t *obj, const char *name, uint64_t max)
{
    const json_t *v = get_value(obj, name);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max) {
        note_wrong(p, name);
        return 0;
    }
    return (uint64_t)json_integer_value(v);
}

/* Absent is the default. */
static bool get_bool(struct msg_parser *p, const json_t *obj, const char *name, bool absent)
{
    const json_t *v = get_value(obj, name);
    if (v == NULL)
        return absent;
    if (!json_is_boolean(v))
        note_wrong(p, name);
    return json_is_true(v);
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

/* 1..max bytes. */
static struct pv_view get_bytes_field(struct msg_parser *p, const json_t *obj, const char *name,
                                      size_t max)
{
    return decode_base64(p, get_value(obj, name), name, max);
}

/* Like get_bytes_field(), and empty when absent. */
static struct pv_view get_bytes_opt(struct msg_parser *p, const json_t *obj, const char *name,
                                    size_t max)
{
    const json_t *v = get_value(obj, name);
    return v == NULL ? pv_view(NULL, 0) : decode_base64(p, v, name, max);
}

/* len bytes, no more and no fewer. */
static struct pv_view get_exactly(struct msg_parser *p, const json_t *obj, const char *name,
                                  size_t len)
{
    struct pv_view got = get_bytes_field(p, obj, name, len);
    if (got.len != len)
        note_wrong(p, name);
    return got;
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

/* Exactly len bytes. */
static void get_fixed(struct msg_parser *p, const json_t *obj, const char *name, uint8_t *dst,
                      size_t len)
{
    copy_fixed(p, get_value(obj, name), name, dst, len);
}

/* A list of min..max values; NULL and *ret_n = 0 when wrong, so that callers may loop over *ret_n
 * without looking at the result. */
static const json_t *get_list_field(struct msg_parser *p, const json_t *obj, const char *name,
                                    size_t min, size_t max, size_t *ret_n)
{
    const json_t *v = get_value(obj, name);
    *ret_n = 0;
    if (!json_is_array(v) || json_array_size(v) < min || json_array_size(v) > max) {
        note_wrong(p, name);
        return NULL;
    }
    *ret_n = json_array_size(v);
    return v;
}

static void get_name_field(struct msg_parser *p, const json_t *obj, char dst[static PV_NAME_BUF],
                           bool may_be_empty)
{
    const json_t *v = get_value(obj, "name");
    if (may_be_empty && (v == NULL || json_string_length(v) == 0)) {
        dst[0] = '\0';
        return;
    }
    /* Not lower-cased here: the signature covers the name as it was sent. */
    if (!json_is_string(v) || json_string_length(v) > PV_NAME_MAX ||
        !pv_name_is_valid(json_string_value(v))) {
        note_wrong(p, "name");
        return;
    }
    memcpy(dst, json_string_value(v), json_string_length(v) + 1);
}

/* Both parts are required: a number without its epoch would place the reader in another log. */
static struct pv_ctl_cursor get_cursor(struct msg_parser *p, const json_t *obj)
{
    const json_t *v = get_value(obj, "have");
    struct pv_ctl_cursor c = {0};
    if (!json_is_object(v)) {
        note_wrong(p, "have");
        return c;
    }
    c.epoch = get_u64(p, v, "epoch", PV_CTL_U64_MAX);
    c.n = get_u64(p, v, "n", PV_CTL_U64_MAX);
    return c;
}

/* Only the form of a statement is looked at here; whether it is true is for the roster to say. */
static struct pv_ctl_item get_item(struct msg_parser *p, const json_t *obj)
{
    return (struct pv_ctl_item){
        .statement = get_bytes_field(p, obj, "s", PV_CTL_STATEMENT_MAX),
        .receipt = get_bytes_opt(p, obj, "r", PV_CTL_RECEIPT_MAX),
    };
}

/* A list that does not fit has no items at all: half a list would pass for a whole one. */
static const struct pv_ctl_item *get_items(struct msg_parser *p, const json_t *obj,
                                           const char *name, size_t min, size_t *ret_n)
{
    size_t n = 0;
    const json_t *list = get_list_field(p, obj, name, min, PV_CTL_ITEMS_MAX, &n);
    struct pv_ctl_item *items = take_memory(p, n * sizeof(*items));
    *ret_n = items == NULL ? 0 : n;
    for (size_t i = 0; i < *ret_n; i++)
        items[i] = get_item(p, json_array_get(list, i));
    return items;
}

/* A word of a later version becomes OTHER: the message for people still says what happened. */
static enum pv_ctl_error get_error(struct msg_parser *p, const json_t *obj)
{
    const char *word = json_string_value(get_value(obj, "error"));
    if (word == NULL) {
        note_wrong(p, "error");
        return PV_CTL_E_OTHER;
    }
    for (int e = PV_CTL_E_NONE + 1; e < PV_CTL_ERROR_COUNT; e++) {
        if (strcmp(word, pv_ctl_error_word((enum pv_ctl_error)e)) == 0)
            return (enum pv_ctl_error)e;
    }
    return PV_CTL_E_OTHER;
}

/* --- messages ------------------------------------------------------------------------------ */

/* Is the word among hello's caps? Other words there are passed over. */
static bool has_cap(const json_t *obj, const char *word)
{
    size_t i;
    json_t *cap;
    json_array_foreach(get_value(obj, "caps"), i, cap)
    {
        if (json_is_string(cap) && strcmp(json_string_value(cap), word) == 0)
            return true;
    }
    return false;
}

/* A member that creates a network has none yet: "network" is null then. */
static void get_hello(struct msg_parser *p, const json_t *obj, struct pv_ctl_hello *m)
{
    const char *role = json_string_value(get_value(obj, "role"));
    m->v = (uint32_t)get_u64(p, obj, "v", UINT32_MAX);
    m->has_network = get_value(obj, "network") != NULL;
    if (m->has_network)
        get_fixed(p, obj, "network", m->network, PV_CTL_NETWORK_LEN);
    get_fixed(p, obj, "node", m->node, PV_SIGN_PK_LEN);
    if (role != NULL && strcmp(role, "member") == 0)
        m->role = PV_CTL_MEMBER;
    else if (role != NULL && strcmp(role, "guest") == 0)
        m->role = PV_CTL_GUEST;
    else
        note_wrong(p, "role");
    get_fixed(p, obj, "sig", m->sig, PV_SIGN_LEN);
    m->have = get_cursor(p, obj);
    m->pages = has_cap(obj, PV_CTL_CAP_PAGES);
    if (get_value(obj, "mlkem768") != NULL)
        m->mlkem768 = get_exactly(p, obj, "mlkem768", PV_KEM_EK_LEN);
    m->moved = has_cap(obj, PV_CTL_CAP_MOVED);
}

/* Empty credentials would make an allocation that the relay refuses, so they count as wrong. */
static const char *get_turn_text(struct msg_parser *p, const json_t *obj, const char *name)
{
    const char *text = get_string(p, get_value(obj, name), "turn", PV_CTL_TURN_TEXT_MAX);
    if (text[0] == '\0')
        note_wrong(p, "turn");
    return text;
}

static void get_turn(struct msg_parser *p, const json_t *obj, struct pv_ctl_turn *m)
{
    m->user = get_turn_text(p, obj, "user");
    m->password = get_turn_text(p, obj, "password");
    m->realm = get_turn_text(p, obj, "realm");
    m->nonce = get_turn_text(p, obj, "nonce");
}

/* A list of "HOST:PORT". */
static const char *const *get_addrs(struct msg_parser *p, const json_t *obj, const char *name,
                                    size_t *ret_n)
{
    size_t n = 0;
    const json_t *list = get_list_field(p, obj, name, 0, PV_CTL_ADDRS_MAX, &n);
    const char **addrs = take_memory(p, n * sizeof(*addrs));
    *ret_n = addrs == NULL ? 0 : n;
    for (size_t i = 0; i < *ret_n; i++)
        addrs[i] = get_string(p, json_array_get(list, i), name, PV_CTL_ADDR_TEXT_MAX);
    return addrs;
}

/* The addresses are shown to the user and resolved by the shell; their form is checked there. */
static void get_welcome(struct msg_parser *p, const json_t *obj, struct pv_ctl_welcome *m)
{
    const json_t *tls = get_value(obj, "tls");
    m->time_us = get_u64(p, obj, "time_us", PV_CTL_U64_MAX);
    m->have = get_cursor(p, obj);
    m->stun = get_addrs(p, obj, "stun", &m->n_stun);
    m->has_turn = get_value(obj, "turn") != NULL;
    if (m->has_turn)
        get_turn(p, get_value(obj, "turn"), &m->turn);
    m->has_tls = tls != NULL;
    if (m->has_tls) {
        get_fixed(p, tls, "pin", m->tls.pin, PV_CTL_PIN_LEN);
        m->tls.addrs = get_addrs(p, tls, "addrs", &m->tls.n);
    }
    m->coordinators = get_bytes_opt(p, obj, "coordinators", PV_CTL_STATEMENT_MAX);
    if (get_value(obj, "number") != NULL)
        m->number = get_u64(p, obj, "number", PV_CTL_U64_MAX);
}

/* A secret outside of create is ignored and not refused: a later version may give it a meaning. */
static void get_put(struct msg_parser *p, const json_t *obj, struct pv_ctl_put *m, bool create)
{
    m->has_secret = create && get_value(obj, "secret") != NULL;
    if (m->has_secret)
        get_fixed(p, obj, "secret", m->secret, PV_CTL_SECRET_LEN);
    m->items = get_items(p, obj, "statements", 1, &m->n);
}

/* A result has either a receipt or an error; the order is that of the request's statements. */
static void get_receipts(struct msg_parser *p, const json_t *obj, struct pv_ctl_receipts *m)
{
    size_t n = 0;
    const json_t *list = get_list_field(p, obj, "results", 1, PV_CTL_ITEMS_MAX, &n);
    struct pv_ctl_result *results = take_memory(p, n * sizeof(*results));
    m->n = results == NULL ? 0 : n;
    m->results = results;
    for (size_t i = 0; i < m->n; i++) {
        const json_t *v = json_array_get(list, i);
        if (get_value(v, "error") != NULL)
            results[i].error = get_error(p, v);
        else
            results[i].receipt = get_bytes_field(p, v, "r", PV_CTL_RECEIPT_MAX);
    }
}

static void get_statements(struct msg_parser *p, const json_t *obj, struct pv_ctl_statements *m)
{
    m->items = get_items(p, obj, "items", 0, &m->n);
    m->more = get_bool(p, obj, "more", false);
    m->have = get_cursor(p, obj);
    m->has_head = get_value(obj, "head") != NULL;
    if (m->has_head)
        get_fixed(p, obj, "head", m->head, PV_CTL_HASH_LEN);
    m->has_members = get_value(obj, "members") != NULL;
    if (m->has_members)
        get_fixed(p, obj, "members", m->members, PV_CTL_HASH_LEN);
}

/* Absent "on" means a subscription: what most requests are. */
static void get_subscribe(struct msg_parser *p, const json_t *obj, struct pv_ctl_subscribe *m)
{
    size_t n = 0;
    const json_t *list = get_list_field(p, obj, "nodes", 1, PV_CTL_NODES_MAX, &n);
    uint8_t(*nodes)[PV_SIGN_PK_LEN] = take_memory(p, n * sizeof(*nodes));
    m->n = nodes == NULL ? 0 : n;
    for (size_t i = 0; i < m->n; i++)
        copy_fixed(p, json_array_get(list, i), "nodes", nodes[i], PV_SIGN_PK_LEN);
    m->nodes = (const uint8_t(*)[PV_SIGN_PK_LEN])nodes;
    m->on = get_bool(p, obj, "on", true);
}

/* Absent "online" means away, the answer that makes nobody try in vain. */
static void get_presence(struct msg_parser *p, const json_t *obj, struct pv_ctl_presences *m)
{
    size_t n = 0;
    const json_t *list = get_list_field(p, obj, "nodes", 0, PV_CTL_NODES_MAX, &n);
    struct pv_ctl_presence *nodes = take_memory(p, n * sizeof(*nodes));
    m->n = nodes == NULL ? 0 : n;
    for (size_t i = 0; i < m->n; i++) {
        const json_t *v = json_array_get(list, i);
        get_fixed(p, v, "node", nodes[i].node, PV_SIGN_PK_LEN);
        nodes[i].online = get_bool(p, v, "online", false);
        nodes[i].since_us = get_u64(p, v, "since_us", PV_CTL_U64_MAX);
    }
    m->nodes = nodes;
    m->more = get_bool(p, obj, "more", false);
}

/* The family is required, so that a v6 address cannot slip into a v4 field. */
static void get_ip(struct msg_parser *p, const json_t *obj, const char *name, uint16_t family,
                   uint8_t *dst)
{
    struct pv_addr addr;
    const char *text = json_string_value(get_value(obj, name));
    if (text == NULL || pv_addr_parse_ip(text, &addr) != PV_OK || addr.family != family)
        note_wrong(p, name);
    else
        memcpy(dst, addr.ip, pv_addr_ip_len(&addr));
}

/* Of either family, and nothing else: it is shown to people. */
static void get_asked(struct msg_parser *p, const json_t *obj, struct pv_ctl_asked *m)
{
    size_t n = 0;
    const json_t *list = get_list_field(p, obj, "nodes", 0, PV_CTL_ASKERS_MAX, &n);
    struct pv_ctl_asker *askers = take_memory(p, n * sizeof(*askers));
    m->n = askers == NULL ? 0 : n;
    for (size_t i = 0; i < m->n; i++) {
        const json_t *v = json_array_get(list, i);
        const char *from = json_string_value(get_value(v, "from"));
        get_fixed(p, v, "node", askers[i].node, PV_SIGN_PK_LEN);
        if (from == NULL || pv_addr_parse_ip(from, &askers[i].from) != PV_OK)
            note_wrong(p, "from");
        askers[i].time_us = get_u64(p, v, "time_us", PV_CTL_U64_MAX);
    }
    m->askers = askers;
}

static void get_reservation(struct msg_parser *p, const json_t *obj, struct pv_ctl_reservation *m)
{
    get_name_field(p, obj, m->name, false);
    get_ip(p, obj, "ip4", PV_AF_INET, m->ip4);
    get_ip(p, obj, "ip6", PV_AF_INET6, m->ip6);
    m->serial = (uint32_t)get_u64(p, obj, "serial", UINT32_MAX);
    m->seconds = (uint32_t)get_u64(p, obj, "seconds", UINT32_MAX);
}

static void get_failure(struct msg_parser *p, const json_t *obj, struct pv_ctl_failure *m)
{
    m->error = get_error(p, obj);
    m->message = get_value(obj, "message") == NULL
                     ? ""
                     : get_string(p, get_value(obj, "message"), "message", PV_CTL_ERROR_TEXT_MAX);
    if (get_value(obj, "to") != NULL)
        m->to = get_addrs(p, obj, "to", &m->n_to);
}

/* The box is opaque here and for the coordinator: only the receiver can open it. */
static void get_keep(struct msg_parser *p, const json_t *obj, struct pv_ctl_keep *m)
{
    get_fixed(p, obj, "to", m->to, PV_SIGN_PK_LEN);
    get_fixed(p, obj, "key", m->key, PV_CTL_KEY_LEN);
    m->box = get_bytes_field(p, obj, "box", PV_CTL_BOX_MAX);
}

/* Without "n" it is the push that only says that something waits; an answer's number is never 0,
 * because 0 is what the node answers when it has taken nothing. */
static void get_copy(struct msg_parser *p, const json_t *obj, struct pv_ctl_copy *m)
{
    if (get_value(obj, "n") == NULL)
        return;
    m->n = get_u64(p, obj, "n", PV_CTL_U64_MAX);
    if (m->n == 0)
        note_wrong(p, "n");
    get_fixed(p, obj, "from", m->from, PV_SIGN_PK_LEN);
    m->box = get_bytes_field(p, obj, "box", PV_CTL_BOX_MAX);
}

/* One case for each type, as in put_body(). */
static void get_body(struct msg_parser *p, const json_t *obj, struct pv_ctl_msg *m)
{
    switch (m->type) {
    case PV_CTL_HELLO:
        get_hello(p, obj, &m->u.hello);
        break;
    case PV_CTL_PUT:
    case PV_CTL_CREATE:
        get_put(p, obj, &m->u.put, m->type == PV_CTL_CREATE);
        break;
    case PV_CTL_PULL:
        m->u.pull = get_cursor(p, obj);
        break;
    case PV_CTL_ASKED:
        get_asked(p, obj, &m->u.asked);
        break;
    case PV_CTL_SUBSCRIBE:
        get_subscribe(p, obj, &m->u.subscribe);
        break;
    case PV_CTL_LIST:
        m->u.list.has_after = get_value(obj, "after") != NULL;
        if (m->u.list.has_after)
            get_fixed(p, obj, "after", m->u.list.after, PV_SIGN_PK_LEN);
        break;
    case PV_CTL_SIGNAL:
        get_fixed(p, obj, m->kind == PV_CTL_PUSH ? "from" : "to", m->u.signal.node, PV_SIGN_PK_LEN);
        m->u.signal.box = get_bytes_field(p, obj, "box", PV_CTL_BOX_MAX);
        break;
    case PV_CTL_KEEP:
        get_keep(p, obj, &m->u.keep);
        break;
    case PV_CTL_COLLECT:
        m->u.collect.after = get_u64(p, obj, "after", PV_CTL_U64_MAX);
        m->u.collect.taken = get_u64(p, obj, "taken", PV_CTL_U64_MAX);
        break;
    case PV_CTL_COPY:
        get_copy(p, obj, &m->u.copy);
        break;
    case PV_CTL_FETCH:
        get_fixed(p, obj, "invite", m->u.fetch.invite, PV_SIGN_PK_LEN);
        break;
    case PV_CTL_JOIN:
        get_fixed(p, obj, "invite", m->u.join.invite, PV_SIGN_PK_LEN);
        get_fixed(p, obj, "node", m->u.join.node, PV_SIGN_PK_LEN);
        get_name_field(p, obj, m->u.join.name, true);
        get_fixed(p, obj, "sig", m->u.join.sig, PV_SIGN_LEN);
        break;
    case PV_CTL_REGISTER:
        m->u.reg.member = get_bytes_field(p, obj, "member", PV_CTL_STATEMENT_MAX);
        break;
    case PV_CTL_WELCOME:
        get_welcome(p, obj, &m->u.welcome);
        break;
    case PV_CTL_RECEIPTS:
        get_receipts(p, obj, &m->u.receipts);
        break;
    case PV_CTL_STATEMENTS:
        get_statements(p, obj, &m->u.statements);
        break;
    case PV_CTL_PRESENCE:
        get_presence(p, obj, &m->u.presence);
        break;
    case PV_CTL_PONG:
        m->u.pong.time_us = get_u64(p, obj, "time_us", PV_CTL_U64_MAX);
        break;
    case PV_CTL_RESERVATION:
        get_reservation(p, obj, &m->u.reservation);
        break;
    case PV_CTL_REGISTERED:
        m->u.registered.item = get_item(p, obj);
        break;
    case PV_CTL_HYBRID:
        m->u.hybrid.mlkem768 = get_exactly(p, obj, "mlkem768", PV_KEM_CT_LEN);
        break;
    case PV_CTL_ERROR:
    case PV_CTL_BYE:
        get_failure(p, obj, &m->u.failure);
        break;
    case PV_CTL_PING:
    case PV_CTL_ASKERS:
    case PV_CTL_DONE:
    case PV_CTL_UNKNOWN:
    case PV_CTL_INVALID:
    case PV_CTL_TYPE_COUNT:
        break;
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
    if (r == PV_OK)
        get_body(&p, obj, msg);
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
