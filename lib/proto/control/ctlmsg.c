/* SPDX-License-Identifier: MIT */
/*
 * ctlmsg.c - writes the JSON messages of the control channel, and the two signatures that bind a
 * connection. Written by hand instead of through jansson: a page of 128 statements is built for
 * each of thousands of nodes, and this way it goes straight into the output. Each message opens
 * with its first field, so every later field brings its own comma. Errors are sticky in the writer
 * and reported once at the end.
 */
#include "proto/control/ctlmsg.h"

#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "proto/control/ctlmsg_words.h"

/* The contexts keep the two signatures apart: one that a node gave for the first can never be
 * presented as the second. */
static const char hello_context[] = "p2pvpn hello v1";
static const char join_context[] = "p2pvpn join v1";

static const char *const error_words[PV_CTL_ERROR_COUNT] = {
    [PV_CTL_E_NONE] = "none",
    [PV_CTL_E_BAD_REQUEST] = "bad_request",
    [PV_CTL_E_UNKNOWN_REQUEST] = "unknown_request",
    [PV_CTL_E_VERSION] = "version",
    [PV_CTL_E_STATE] = "state",
    [PV_CTL_E_NOT_ALLOWED] = "not_allowed",
    [PV_CTL_E_BAD_SIGNATURE] = "bad_signature",
    [PV_CTL_E_UNKNOWN_NETWORK] = "unknown_network",
    [PV_CTL_E_UNKNOWN_NODE] = "unknown_node",
    [PV_CTL_E_UNKNOWN_INVITE] = "unknown_invite",
    [PV_CTL_E_INVITE_REVOKED] = "invite_revoked",
    [PV_CTL_E_INVITE_EXPIRED] = "invite_expired",
    [PV_CTL_E_INVITE_USED] = "invite_used",
    [PV_CTL_E_REVOKED] = "revoked",
    [PV_CTL_E_WAITING] = "waiting",
    [PV_CTL_E_TAKEN] = "taken",
    [PV_CTL_E_FULL] = "full",
    [PV_CTL_E_LIMIT] = "limit",
    [PV_CTL_E_OFFLINE] = "offline",
    [PV_CTL_E_BUSY] = "busy",
    [PV_CTL_E_STORAGE] = "storage",
    [PV_CTL_E_REPLACED] = "replaced",
    [PV_CTL_E_SHUTDOWN] = "shutdown",
    [PV_CTL_E_MOVED] = "moved",
    [PV_CTL_E_TIMEOUT] = "timeout",
    [PV_CTL_E_OTHER] = "other",
};

/* Words, not numbers, are on the wire: they can be read in a trace and never be renumbered. */
const char *pv_ctl_error_word(enum pv_ctl_error error)
{
    if ((unsigned)error >= PV_CTL_ERROR_COUNT)
        error = PV_CTL_E_OTHER;
    return error_words[error];
}

#define REQ (1u << PV_CTL_REQUEST)
#define ANS (1u << PV_CTL_ANSWER)
#define PUS (1u << PV_CTL_PUSH)

/* One row for each type: its word and the kinds of message in which it occurs. Parser and writer
 * both go by it. */
const struct pv_ctl_word pv_ctl_words[PV_CTL_TYPE_COUNT] = {
    [PV_CTL_HELLO] = {"hello", REQ},
    [PV_CTL_PUT] = {"put", REQ},
    [PV_CTL_PULL] = {"statements", REQ},
    [PV_CTL_SUBSCRIBE] = {"subscribe", REQ},
    [PV_CTL_LIST] = {"list", REQ},
    [PV_CTL_SIGNAL] = {"signal", REQ | PUS},
    [PV_CTL_PING] = {"ping", REQ},
    [PV_CTL_FETCH] = {"fetch", REQ},
    [PV_CTL_JOIN] = {"join", REQ},
    [PV_CTL_REGISTER] = {"register", REQ},
    [PV_CTL_KEEP] = {"keep", REQ},
    [PV_CTL_COLLECT] = {"collect", REQ},
    [PV_CTL_CREATE] = {"create", REQ},
    [PV_CTL_ASKERS] = {"askers", REQ},
    [PV_CTL_WELCOME] = {"welcome", ANS},
    [PV_CTL_RECEIPTS] = {"receipts", ANS},
    [PV_CTL_STATEMENTS] = {"statements", ANS | PUS},
    [PV_CTL_PRESENCE] = {"presence", ANS | PUS},
    [PV_CTL_COPY] = {"parcel", ANS | PUS},
    [PV_CTL_DONE] = {"done", ANS},
    [PV_CTL_PONG] = {"pong", ANS},
    [PV_CTL_RESERVATION] = {"reservation", ANS},
    [PV_CTL_REGISTERED] = {"registered", ANS},
    [PV_CTL_ASKED] = {"askers", ANS},
    [PV_CTL_ERROR] = {NULL, ANS},
    [PV_CTL_HYBRID] = {"hybrid", PUS},
    [PV_CTL_BYE] = {"bye", PUS},
};

/* --- writing JSON ---------------------------------------------------------------------------- */

/* The first failure is the one that is reported: what follows it is only its consequence. */
static void fail_message(struct pv_writer *w, int status)
{
    if (w->status == PV_OK)
        w->status = status;
}

static void put_raw(struct pv_writer *w, const char *text)
{
    pv_put_bytes(w, text, strlen(text));
}

static void put_number(struct pv_writer *w, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    put_raw(w, text);
}

static void field(struct pv_writer *w, const char *name)
{
    put_raw(w, ",\"");
    put_raw(w, name);
    put_raw(w, "\":");
}

/* Above INT64_MAX some JSON libraries lose digits, jansson among them. */
static void field_u64(struct pv_writer *w, const char *name, uint64_t v)
{
    if (v > PV_CTL_U64_MAX) {
        fail_message(w, PV_ERR_STATE);
        return;
    }
    field(w, name);
    put_number(w, v);
}

static void field_bool(struct pv_writer *w, const char *name, bool v)
{
    field(w, name);
    put_raw(w, v ? "true" : "false");
}

/* max is the field's limit in PROTOCOL-COORDINATOR.md: what the receiver would refuse is not sent
 * at all. */
static void put_base64(struct pv_writer *w, struct pv_view v, size_t max)
{
    if (v.len > max) {
        fail_message(w, PV_ERR_STATE);
        return;
    }
    put_raw(w, "\"");
    if (w->status != PV_OK)
        return;
    /* The encoder's NUL is overwritten by the closing quote that always follows. */
    if (pv_b64url_encode(v, (char *)w->buf + w->len, w->cap - w->len) != PV_OK) {
        fail_message(w, PV_ERR_NO_SPACE);
        return;
    }
    w->len += PV_B64_LEN(v.len);
    put_raw(w, "\"");
}

static void field_base64(struct pv_writer *w, const char *name, struct pv_view v, size_t max)
{
    field(w, name);
    put_base64(w, v, max);
}

/* Text is checked as UTF-8 here, as it may come from another node: an invalid byte would make the
 * receiver refuse the whole message. */
static void put_string(struct pv_writer *w, const char *text, size_t max)
{
    struct pv_view v = pv_view(text, text == NULL ? 0 : strlen(text));
    if (v.len > max || !pv_utf8_is_valid(v)) {
        fail_message(w, PV_ERR_STATE);
        return;
    }
    put_raw(w, "\"");
    for (size_t i = 0; i < v.len; i++) {
        char escaped[8];
        if (v.ptr[i] < 0x20 || v.ptr[i] == '"' || v.ptr[i] == '\\') {
            snprintf(escaped, sizeof(escaped), "\\u%04x", v.ptr[i]);
            put_raw(w, escaped);
        } else {
            pv_put_u8(w, v.ptr[i]);
        }
    }
    put_raw(w, "\"");
}

static void field_string(struct pv_writer *w, const char *name, const char *text, size_t max)
{
    field(w, name);
    put_string(w, text, max);
}

/* Both parts of a place in the log stand together, since one without the other means nothing. */
static void field_cursor(struct pv_writer *w, const struct pv_ctl_cursor *c)
{
    if (c->epoch > PV_CTL_U64_MAX || c->n > PV_CTL_U64_MAX) {
        fail_message(w, PV_ERR_STATE);
        return;
    }
    field(w, "have");
    put_raw(w, "{\"epoch\":");
    put_number(w, c->epoch);
    field_u64(w, "n", c->n);
    put_raw(w, "}");
}

/* s and r of one item, without braces and without a comma in front. */
static void item_fields(struct pv_writer *w, const struct pv_ctl_item *item)
{
    put_raw(w, "\"s\":");
    put_base64(w, item->statement, PV_CTL_STATEMENT_MAX);
    if (item->receipt.len > 0)
        field_base64(w, "r", item->receipt, PV_CTL_RECEIPT_MAX);
}

/* Counts above the limit are the caller's mistake (PV_ERR_STATE), not a lack of room. */
static void field_items(struct pv_writer *w, const char *name, const struct pv_ctl_item *items,
                        size_t n)
{
    if (n > PV_CTL_ITEMS_MAX)
        fail_message(w, PV_ERR_STATE);
    field(w, name);
    put_raw(w, "[");
    for (size_t i = 0; i < n && w->status == PV_OK; i++) {
        put_raw(w, i == 0 ? "{" : ",{");
        item_fields(w, &items[i]);
        put_raw(w, "}");
    }
    put_raw(w, "]");
}

/* Keys stand bare in the list, without a name for each: one message may hold hundreds. */
static void field_nodes(struct pv_writer *w, const struct pv_ctl_subscribe *s)
{
    if (s->n > PV_CTL_NODES_MAX)
        fail_message(w, PV_ERR_STATE);
    field(w, "nodes");
    put_raw(w, "[");
    for (size_t i = 0; i < s->n && w->status == PV_OK; i++) {
        if (i > 0)
            put_raw(w, ",");
        put_base64(w, pv_view(s->nodes[i], PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
    }
    put_raw(w, "]");
}

/* "caps" says what this side is able to beyond version 1; whoever does not know a word passes it
 * over. */
static void put_hello(struct pv_writer *w, const struct pv_ctl_hello *m)
{
    field_u64(w, "v", m->v);
    if (m->has_network) {
        field_base64(w, "network", pv_view(m->network, PV_CTL_NETWORK_LEN), PV_CTL_NETWORK_LEN);
    } else {
        field(w, "network");
        put_raw(w, "null");
    }
    field_base64(w, "node", pv_view(m->node, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
    field_string(w, "role", m->role == PV_CTL_GUEST ? "guest" : "member", 8);
    field_base64(w, "sig", pv_view(m->sig, PV_SIGN_LEN), PV_SIGN_LEN);
    field(w, "caps");
    put_raw(w, "[");
    if (m->pages)
        put_raw(w, "\"" PV_CTL_CAP_PAGES "\"");
    if (m->moved)
        put_raw(w, m->pages ? ",\"" PV_CTL_CAP_MOVED "\"" : "\"" PV_CTL_CAP_MOVED "\"");
    put_raw(w, "]");
    field_cursor(w, &m->have);
    if (m->mlkem768.len > 0)
        field_base64(w, "mlkem768", m->mlkem768, PV_KEM_EK_LEN);
}

/* Empty credentials would be an allocation that the relay refuses: the caller's mistake. */
static void put_turn(struct pv_writer *w, const struct pv_ctl_turn *m)
{
    const struct {
        const char *name;
        const char *text;
    } fields[] = {{",\"user\":", m->user},
                  {",\"password\":", m->password},
                  {",\"realm\":", m->realm},
                  {",\"nonce\":", m->nonce}};
    put_raw(w, "{");
    for (size_t i = 0; i < PV_ARRAY_LEN(fields); i++) {
        if (fields[i].text == NULL || fields[i].text[0] == '\0')
            fail_message(w, PV_ERR_STATE);
        put_raw(w, fields[i].name + (i == 0 ? 1 : 0));
        put_string(w, fields[i].text, PV_CTL_TURN_TEXT_MAX);
    }
    put_raw(w, "}");
}

/* As text and not as binary addresses: they may be host names, which the node resolves itself. */
static void put_addrs(struct pv_writer *w, const char *const *addrs, size_t n)
{
    if (n > PV_CTL_ADDRS_MAX)
        fail_message(w, PV_ERR_STATE);
    put_raw(w, "[");
    for (size_t i = 0; i < n && w->status == PV_OK; i++) {
        if (i > 0)
            put_raw(w, ",");
        put_string(w, addrs[i], PV_CTL_ADDR_TEXT_MAX);
    }
    put_raw(w, "]");
}

/* A service that the coordinator does not offer is null or absent, so that a node never asks a
 * server that is not there. */
static void put_welcome(struct pv_writer *w, const struct pv_ctl_welcome *m)
{
    field(w, "caps");
    put_raw(w, "[]");
    field_u64(w, "time_us", m->time_us);
    field_cursor(w, &m->have);
    field(w, "stun");
    put_addrs(w, m->stun, m->n_stun);
    field(w, "turn");
    if (m->has_turn)
        put_turn(w, &m->turn);
    else
        put_raw(w, "null");
    if (m->has_tls) {
        field(w, "tls");
        put_raw(w, "{\"pin\":");
        put_base64(w, pv_view(m->tls.pin, PV_CTL_PIN_LEN), PV_CTL_PIN_LEN);
        put_raw(w, ",\"addrs\":");
        put_addrs(w, m->tls.addrs, m->tls.n);
        put_raw(w, "}");
    }
    if (m->coordinators.len > 0)
        field_base64(w, "coordinators", m->coordinators, PV_CTL_STATEMENT_MAX);
    if (m->number != 0)
        field_u64(w, "number", m->number);
}

/* One result for each statement, in the order of the request, so that no name is needed to tell
 * them apart. */
static void put_receipts(struct pv_writer *w, const struct pv_ctl_receipts *m)
{
    if (m->n > PV_CTL_ITEMS_MAX)
        fail_message(w, PV_ERR_STATE);
    field(w, "results");
    put_raw(w, "[");
    for (size_t i = 0; i < m->n && w->status == PV_OK; i++) {
        const struct pv_ctl_result *r = &m->results[i];
        put_raw(w, i == 0 ? "{" : ",{");
        if (r->error == PV_CTL_E_NONE) {
            put_raw(w, "\"r\":");
            put_base64(w, r->receipt, PV_CTL_RECEIPT_MAX);
        } else {
            put_raw(w, "\"error\":");
            put_string(w, pv_ctl_error_word(r->error), PV_CTL_ERROR_TEXT_MAX);
        }
        put_raw(w, "}");
    }
    put_raw(w, "]");
}

/* `have` is where the reader stands after this page; the head lets it check that nothing was left
 * out. */
static void put_statements(struct pv_writer *w, const struct pv_ctl_statements *m)
{
    field_items(w, "items", m->items, m->n);
    field_bool(w, "more", m->more);
    field_cursor(w, &m->have);
    if (m->has_head)
        field_base64(w, "head", pv_view(m->head, PV_CTL_HASH_LEN), PV_CTL_HASH_LEN);
    if (m->has_members)
        field_base64(w, "members", pv_view(m->members, PV_CTL_HASH_LEN), PV_CTL_HASH_LEN);
}

/* `more` tells a list apart from a push: a push is never continued. */
static void put_presence(struct pv_writer *w, const struct pv_ctl_presences *m)
{
    if (m->n > PV_CTL_NODES_MAX)
        fail_message(w, PV_ERR_STATE);
    field(w, "nodes");
    put_raw(w, "[");
    for (size_t i = 0; i < m->n && w->status == PV_OK; i++) {
        put_raw(w, i == 0 ? "{\"node\":" : ",{\"node\":");
        put_base64(w, pv_view(m->nodes[i].node, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
        field_bool(w, "online", m->nodes[i].online);
        field_u64(w, "since_us", m->nodes[i].since_us);
        put_raw(w, "}");
    }
    put_raw(w, "]");
    field_bool(w, "more", m->more);
}

static void put_asked(struct pv_writer *w, const struct pv_ctl_asked *m)
{
    char text[PV_ADDR_TEXT];
    if (m->n > PV_CTL_ASKERS_MAX)
        fail_message(w, PV_ERR_STATE);
    field(w, "nodes");
    put_raw(w, "[");
    for (size_t i = 0; i < m->n && w->status == PV_OK; i++) {
        const struct pv_ctl_asker *a = &m->askers[i];
        put_raw(w, i == 0 ? "{\"node\":" : ",{\"node\":");
        put_base64(w, pv_view(a->node, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
        field_string(w, "from", pv_addr_format_ip(&a->from, text), PV_ADDR_TEXT);
        field_u64(w, "time_us", a->time_us);
        put_raw(w, "}");
    }
    put_raw(w, "]");
}

/* The invite's private key never travels: the signature alone proves that the node has it. */
static void put_join(struct pv_writer *w, const struct pv_ctl_join *m)
{
    field_base64(w, "invite", pv_view(m->invite, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
    field_base64(w, "node", pv_view(m->node, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
    field_string(w, "name", m->name, PV_NAME_MAX);
    field_base64(w, "sig", pv_view(m->sig, PV_SIGN_LEN), PV_SIGN_LEN);
}

/* Addresses as text, because an admin reads them in a trace. */
static void put_reservation(struct pv_writer *w, const struct pv_ctl_reservation *m)
{
    char text[PV_ADDR_TEXT];
    struct pv_addr ip4 = pv_addr4(m->ip4[0], m->ip4[1], m->ip4[2], m->ip4[3], 0);
    struct pv_addr ip6 = pv_addr6(m->ip6, 0);
    field_string(w, "name", m->name, PV_NAME_MAX);
    field_string(w, "ip4", pv_addr_format_ip(&ip4, text), PV_ADDR_TEXT);
    field_string(w, "ip6", pv_addr_format_ip(&ip6, text), PV_ADDR_TEXT);
    field_u64(w, "serial", m->serial);
    field_u64(w, "seconds", m->seconds);
}

/* The word is for programs, the message for people: it may change from version to version. */
static void put_failure(struct pv_writer *w, const struct pv_ctl_failure *m)
{
    field_string(w, "error", pv_ctl_error_word(m->error), PV_CTL_ERROR_TEXT_MAX);
    field_string(w, "message", m->message, PV_CTL_ERROR_TEXT_MAX);
    if (m->n_to == 0)
        return;
    field(w, "to");
    put_addrs(w, m->to, m->n_to);
}

/* Only a create carries the secret of the coordinator's URL: it permits a new network. */
static void put_put(struct pv_writer *w, const struct pv_ctl_put *m, bool create)
{
    if (create && m->has_secret)
        field_base64(w, "secret", pv_view(m->secret, PV_CTL_SECRET_LEN), PV_CTL_SECRET_LEN);
    field_items(w, "statements", m->items, m->n);
}

/* Keeping the same key again changes nothing, so a sender may repeat after a lost answer. */
static void put_keep(struct pv_writer *w, const struct pv_ctl_keep *m)
{
    field_base64(w, "to", pv_view(m->to, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
    field_base64(w, "key", pv_view(m->key, PV_CTL_KEY_LEN), PV_CTL_KEY_LEN);
    field_base64(w, "box", m->box, PV_CTL_BOX_MAX);
}

/* A push has no fields: it says only that there is something to collect. */
static void put_copy(struct pv_writer *w, const struct pv_ctl_copy *m)
{
    if (m->n == 0)
        return;
    field_u64(w, "n", m->n);
    field_base64(w, "from", pv_view(m->from, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
    field_base64(w, "box", m->box, PV_CTL_BOX_MAX);
}

/* One case for each type; -Wswitch names the one that is missing. */
static void put_body(struct pv_writer *w, const struct pv_ctl_msg *msg)
{
    switch (msg->type) {
    case PV_CTL_HELLO:
        put_hello(w, &msg->u.hello);
        break;
    case PV_CTL_CREATE:
    case PV_CTL_PUT:
        put_put(w, &msg->u.put, msg->type == PV_CTL_CREATE);
        break;
    case PV_CTL_PULL:
        field_cursor(w, &msg->u.pull);
        break;
    case PV_CTL_ASKED:
        put_asked(w, &msg->u.asked);
        break;
    case PV_CTL_SUBSCRIBE:
        field_nodes(w, &msg->u.subscribe);
        field_bool(w, "on", msg->u.subscribe.on);
        break;
    case PV_CTL_LIST:
        if (msg->u.list.has_after)
            field_base64(w, "after", pv_view(msg->u.list.after, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
        break;
    case PV_CTL_SIGNAL:
        field_base64(w, msg->kind == PV_CTL_PUSH ? "from" : "to",
                     pv_view(msg->u.signal.node, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
        field_base64(w, "box", msg->u.signal.box, PV_CTL_BOX_MAX);
        break;
    case PV_CTL_KEEP:
        put_keep(w, &msg->u.keep);
        break;
    case PV_CTL_COLLECT:
        field_u64(w, "after", msg->u.collect.after);
        field_u64(w, "taken", msg->u.collect.taken);
        break;
    case PV_CTL_COPY:
        put_copy(w, &msg->u.copy);
        break;
    case PV_CTL_FETCH:
        field_base64(w, "invite", pv_view(msg->u.fetch.invite, PV_SIGN_PK_LEN), PV_SIGN_PK_LEN);
        break;
    case PV_CTL_JOIN:
        put_join(w, &msg->u.join);
        break;
    case PV_CTL_REGISTER:
        field_base64(w, "member", msg->u.reg.member, PV_CTL_STATEMENT_MAX);
        break;
    case PV_CTL_WELCOME:
        put_welcome(w, &msg->u.welcome);
        break;
    case PV_CTL_RECEIPTS:
        put_receipts(w, &msg->u.receipts);
        break;
    case PV_CTL_STATEMENTS:
        put_statements(w, &msg->u.statements);
        break;
    case PV_CTL_PRESENCE:
        put_presence(w, &msg->u.presence);
        break;
    case PV_CTL_PONG:
        field_u64(w, "time_us", msg->u.pong.time_us);
        break;
    case PV_CTL_RESERVATION:
        put_reservation(w, &msg->u.reservation);
        break;
    case PV_CTL_REGISTERED:
        put_raw(w, ",");
        item_fields(w, &msg->u.registered.item);
        break;
    case PV_CTL_HYBRID:
        field_base64(w, "mlkem768", msg->u.hybrid.mlkem768, PV_KEM_CT_LEN);
        break;
    case PV_CTL_ERROR:
    case PV_CTL_BYE:
        put_failure(w, &msg->u.failure);
        break;
    case PV_CTL_PING:
    case PV_CTL_ASKERS:
    case PV_CTL_DONE:
        break;
    case PV_CTL_UNKNOWN:
    case PV_CTL_INVALID:
    case PV_CTL_TYPE_COUNT:
        fail_message(w, PV_ERR_STATE);
        break;
    }
}

/* A type is written only in the kinds that its row in pv_ctl_words allows, so that an answer cannot
 * leave as a push. */
int pv_ctl_build(const struct pv_ctl_msg *msg, void *buf, size_t cap, size_t *ret_len)
{
    struct pv_writer w = pv_writer(buf, cap < PV_CTL_TEXT_MAX ? cap : PV_CTL_TEXT_MAX);
    if ((unsigned)msg->type >= PV_CTL_TYPE_COUNT || (unsigned)msg->kind > PV_CTL_PUSH ||
        (pv_ctl_words[msg->type].kinds & (1u << msg->kind)) == 0)
        return PV_ERR_STATE;
    if (msg->kind != PV_CTL_PUSH && (msg->id == 0 || msg->id > PV_CTL_ID_MAX))
        return PV_ERR_STATE;

    const char *word = pv_ctl_words[msg->type].word;
    put_raw(&w, "{");
    if (msg->kind != PV_CTL_PUSH) {
        put_raw(&w, "\"id\":");
        put_number(&w, msg->id);
    }
    if (msg->kind == PV_CTL_ANSWER)
        field_bool(&w, "ok", msg->type != PV_CTL_ERROR);
    if (word != NULL) {
        put_raw(&w, msg->kind == PV_CTL_PUSH ? "\"t\":\"" : ",\"t\":\"");
        put_raw(&w, word);
        put_raw(&w, "\"");
    }
    put_body(&w, msg);
    put_raw(&w, "}");
    if (w.status != PV_OK)
        return w.status;
    *ret_len = w.len;
    return PV_OK;
}

/* Must agree with field_items(): a page that is filled too far would be refused as too long. */
size_t pv_ctl_item_len(const struct pv_ctl_item *item)
{
    size_t len = strlen(",{\"s\":\"\"}") + PV_B64_LEN(item->statement.len);
    if (item->receipt.len > 0)
        len += strlen(",\"r\":\"\"") + PV_B64_LEN(item->receipt.len);
    return len;
}

/* --- the two signatures that bind a connection --------------------------------------------- */

/* The handshake hash is unique to the connection (Noise s11.2), so the signature proves the
 * identity key on this connection and on no other. */
int pv_ctl_hello_sign(uint8_t ret_sig[static PV_SIGN_LEN],
                      const uint8_t handshake_hash[static PV_CTL_HASH_LEN],
                      const uint8_t identity_sk[static PV_SIGN_SK_LEN])
{
    return pv_sign(ret_sig, hello_context, pv_view(handshake_hash, PV_CTL_HASH_LEN),
                   pv_view(NULL, 0), identity_sk);
}

int pv_ctl_hello_verify(const struct pv_ctl_hello *hello,
                        const uint8_t handshake_hash[static PV_CTL_HASH_LEN])
{
    return pv_sign_verify(hello->sig, hello_context, pv_view(handshake_hash, PV_CTL_HASH_LEN),
                          pv_view(NULL, 0), hello->node);
}

/* node pk || name: the part of join's signature that is not the handshake hash. The hash makes the
 * signature worthless on any other connection. */
static struct pv_view join_claim(const struct pv_ctl_join *join,
                                 uint8_t buf[static PV_SIGN_PK_LEN + PV_NAME_MAX])
{
    size_t len = strnlen(join->name, PV_NAME_MAX);
    memcpy(buf, join->node, PV_SIGN_PK_LEN);
    memcpy(buf + PV_SIGN_PK_LEN, join->name, len);
    return pv_view(buf, PV_SIGN_PK_LEN + len);
}

int pv_ctl_join_sign(struct pv_ctl_join *join, const uint8_t handshake_hash[static PV_CTL_HASH_LEN],
                     const uint8_t invite_sk[static PV_SIGN_SK_LEN])
{
    uint8_t buf[PV_SIGN_PK_LEN + PV_NAME_MAX];
    return pv_sign(join->sig, join_context, pv_view(handshake_hash, PV_CTL_HASH_LEN),
                   join_claim(join, buf), invite_sk);
}

int pv_ctl_join_verify(const struct pv_ctl_join *join,
                       const uint8_t handshake_hash[static PV_CTL_HASH_LEN])
{
    uint8_t buf[PV_SIGN_PK_LEN + PV_NAME_MAX];
    return pv_sign_verify(join->sig, join_context, pv_view(handshake_hash, PV_CTL_HASH_LEN),
                          join_claim(join, buf), join->invite);
}
