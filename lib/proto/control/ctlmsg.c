/* SPDX-License-Identifier: MIT */
/*
 * ctlmsg.c - writes and reads the JSON messages of the control channel, and the two signatures that
 * bind a connection. Messages are written by hand instead of through jansson: a page of 128
 * statements is built for each of thousands of nodes, and this way it goes straight into the
 * output. Which fields a message has stands in a table, by which it is written and read. Errors are
 * sticky in the writer and reported once at the end.
 */
#include "proto/control/ctlmsg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/jsonread.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "proto/control/ctlmsg_words.h"
#include "proto/control/ctlpage.h"
#include "proto/control/jsonline.h"

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
    [PV_CTL_E_LEFT] = "left",
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

/* --- the fields of messages ------------------------------------------------------------------ */

#define IN(type, member) .at = offsetof(type, member), .size = sizeof(((const type *)0)->member)
#define M(member)        IN(struct pv_ctl_msg, u.member)
#define HAS(member)      .has = offsetof(struct pv_ctl_msg, u.member)
/* Of a list: pointer and count in one place, what an element is. */
#define LIST(type, list, n, element) \
    .at = offsetof(type, list), .count = offsetof(type, n), .size = sizeof(element)
#define END                  \
    {                        \
        .form = PV_CTL_F_END \
    }

/* clang-format off */
static const struct pv_ctl_field in_addrs[] = {
    {NULL, PV_CTL_F_TEXT, .max = PV_CTL_ADDR_TEXT_MAX}, END};
static const struct pv_ctl_field in_keys[] = {
    {NULL, PV_CTL_F_FIXED, .size = PV_SIGN_PK_LEN}, END};
static const struct pv_ctl_field in_results[] = {{.form = PV_CTL_F_RESULT}, END};
/* A number without its epoch would place the reader in another log. */
static const struct pv_ctl_field in_cursor[] = {
    {"epoch", PV_CTL_F_NUMBER, IN(struct pv_ctl_cursor, epoch)},
    {"n", PV_CTL_F_NUMBER, IN(struct pv_ctl_cursor, n)}, END};
static const struct pv_ctl_field in_item[] = {
    {"s", PV_CTL_F_BYTES, IN(struct pv_ctl_item, statement), .max = PV_CTL_STATEMENT_MAX},
    {"r", PV_CTL_F_BYTES, PV_CTL_R_OPTIONAL, IN(struct pv_ctl_item, receipt),
     .max = PV_CTL_RECEIPT_MAX}, END};
/* A member that creates a network has none yet. */
static const struct pv_ctl_field in_hello[] = {
    {"v", PV_CTL_F_NUMBER, M(hello.v)},
    {"network", PV_CTL_F_FIXED, PV_CTL_R_NULL, M(hello.network), HAS(hello.has_network)},
    {"node", PV_CTL_F_FIXED, M(hello.node)},
    {"role", PV_CTL_F_ROLE, M(hello.role)},
    {"sig", PV_CTL_F_FIXED, M(hello.sig)},
    {"have", PV_CTL_F_OBJECT, M(hello.have), .of = in_cursor},
    {"mlkem768", PV_CTL_F_EXACT, PV_CTL_R_OPTIONAL, M(hello.mlkem768), .max = PV_KEM_EK_LEN}, END};
static const struct pv_ctl_field in_put[] = {
    {"statements", PV_CTL_F_LIST, PV_CTL_R_SOME,
     LIST(struct pv_ctl_msg, u.put.items, u.put.n, struct pv_ctl_item),
     .max = PV_CTL_ITEMS_MAX, .of = in_item}, END};
/* Only a create carries the secret of the coordinator's URL: it permits a new network. */
static const struct pv_ctl_field in_create[] = {
    {"secret", PV_CTL_F_FIXED, M(put.secret), HAS(put.has_secret)},
    {"statements", PV_CTL_F_LIST, PV_CTL_R_SOME,
     LIST(struct pv_ctl_msg, u.put.items, u.put.n, struct pv_ctl_item),
     .max = PV_CTL_ITEMS_MAX, .of = in_item}, END};
static const struct pv_ctl_field in_pull[] = {
    {"have", PV_CTL_F_OBJECT, M(pull), .of = in_cursor}, END};
/* Keys stand bare in the list, without a name for each: one message may hold hundreds. */
static const struct pv_ctl_field in_subscribe[] = {
    {"nodes", PV_CTL_F_LIST, PV_CTL_R_SOME,
     LIST(struct pv_ctl_msg, u.subscribe.nodes, u.subscribe.n, uint8_t[PV_SIGN_PK_LEN]),
     .max = PV_CTL_NODES_MAX, .of = in_keys},
    {"on", PV_CTL_F_BOOL, PV_CTL_R_TRUE, M(subscribe.on)}, END};
static const struct pv_ctl_field in_phone[] = {
    {"node", PV_CTL_F_FIXED, IN(struct pv_ctl_phone, node)},
    {"online", PV_CTL_F_BOOL, IN(struct pv_ctl_phone, online)}, END};
static const struct pv_ctl_field in_phones[] = {
    {"nodes", PV_CTL_F_LIST, PV_CTL_R_SOME,
     LIST(struct pv_ctl_msg, u.phones.nodes, u.phones.n, struct pv_ctl_phone),
     .max = PV_CTL_PHONES_MAX, .of = in_phone}, END};
static const struct pv_ctl_field in_list[] = {
    {"after", PV_CTL_F_FIXED, M(list.after), HAS(list.has_after)}, END};
/* The box is opaque here and for the coordinator: only the receiver can open it. */
static const struct pv_ctl_field in_signal[] = {
    {"to", PV_CTL_F_FIXED, PV_CTL_R_REQUEST, M(signal.node)},
    {"from", PV_CTL_F_FIXED, PV_CTL_R_PUSH, M(signal.node)},
    {"box", PV_CTL_F_BYTES, M(signal.box), .max = PV_CTL_BOX_MAX}, END};
static const struct pv_ctl_field in_fetch[] = {
    {"invite", PV_CTL_F_FIXED, M(fetch.invite)}, END};
/* The invite's private key never travels: the signature alone proves that the node has it. */
static const struct pv_ctl_field in_join[] = {
    {"invite", PV_CTL_F_FIXED, M(join.invite)},
    {"node", PV_CTL_F_FIXED, M(join.node)},
    {"name", PV_CTL_F_NAME, M(join.name)},
    {"sig", PV_CTL_F_FIXED, M(join.sig)}, END};
static const struct pv_ctl_field in_reg[] = {
    {"member", PV_CTL_F_BYTES, M(reg.member), .max = PV_CTL_STATEMENT_MAX}, END};
/* Keeping the same key again changes nothing, so a sender may repeat after a lost answer. */
static const struct pv_ctl_field in_keep[] = {
    {"to", PV_CTL_F_FIXED, M(keep.to)},
    {"key", PV_CTL_F_FIXED, M(keep.key)},
    {"box", PV_CTL_F_BYTES, M(keep.box), .max = PV_CTL_BOX_MAX}, END};
static const struct pv_ctl_field in_collect[] = {
    {"after", PV_CTL_F_NUMBER, M(collect.after)},
    {"taken", PV_CTL_F_NUMBER, M(collect.taken)}, END};
/* Empty credentials would make an allocation that the relay refuses. */
#define TURN_TEXT(member)                                                                          \
    {#member, PV_CTL_F_TEXT, PV_CTL_R_SOME, IN(struct pv_ctl_turn, member),                        \
     .max = PV_CTL_TURN_TEXT_MAX, .wrong = "turn"}
static const struct pv_ctl_field in_turn[] = {
    TURN_TEXT(user), TURN_TEXT(password), TURN_TEXT(realm), TURN_TEXT(nonce), END};
static const struct pv_ctl_field in_tls[] = {
    {"pin", PV_CTL_F_FIXED, IN(struct pv_ctl_tls, pin)},
    {"addrs", PV_CTL_F_LIST, LIST(struct pv_ctl_tls, addrs, n, const char *),
     .max = PV_CTL_ADDRS_MAX, .of = in_addrs}, END};
/* A service that the coordinator does not offer is null or absent, so that a node never asks a
 * server that is not there. Addresses are text and not binary: they may be host names, which the
 * node resolves itself, and whose form is checked there. */
static const struct pv_ctl_field in_welcome[] = {
    {"time_us", PV_CTL_F_NUMBER, M(welcome.time_us)},
    {"have", PV_CTL_F_OBJECT, M(welcome.have), .of = in_cursor},
    {"stun", PV_CTL_F_LIST, LIST(struct pv_ctl_msg, u.welcome.stun, u.welcome.n_stun, const char *),
     .max = PV_CTL_ADDRS_MAX, .of = in_addrs},
    {"turn", PV_CTL_F_OBJECT, PV_CTL_R_NULL, M(welcome.turn), HAS(welcome.has_turn), .of = in_turn},
    {"tls", PV_CTL_F_OBJECT, M(welcome.tls), HAS(welcome.has_tls), .of = in_tls, .wrong = "pin"},
    {"coordinators", PV_CTL_F_BYTES, PV_CTL_R_OPTIONAL, M(welcome.coordinators),
     .max = PV_CTL_STATEMENT_MAX}, END};
/* One result for each statement, in the order of the request, so that no name is needed to tell
 * them apart. */
static const struct pv_ctl_field in_receipts[] = {
    {"results", PV_CTL_F_LIST, PV_CTL_R_SOME,
     LIST(struct pv_ctl_msg, u.receipts.results, u.receipts.n, struct pv_ctl_result),
     .max = PV_CTL_ITEMS_MAX, .of = in_results}, END};
/* Left out, "online" means away, which makes nobody try in vain. */
static const struct pv_ctl_field in_node_presence[] = {
    {"node", PV_CTL_F_FIXED, IN(struct pv_ctl_presence, node)},
    {"online", PV_CTL_F_BOOL, IN(struct pv_ctl_presence, online)},
    {"since_us", PV_CTL_F_NUMBER, IN(struct pv_ctl_presence, since_us)}, END};
/* `more` tells a list apart from a push: a push is never continued. */
static const struct pv_ctl_field in_presence[] = {
    {"nodes", PV_CTL_F_LIST,
     LIST(struct pv_ctl_msg, u.presence.nodes, u.presence.n, struct pv_ctl_presence),
     .max = PV_CTL_NODES_MAX, .of = in_node_presence},
    {"more", PV_CTL_F_BOOL, M(presence.more)}, END};
/* Without "n" it is the push that only says that something waits, or the answer that nothing does;
 * 0 is what the node answers when it has taken nothing, and no copy's number. */
static const struct pv_ctl_field in_copy[] = {
    {"n", PV_CTL_F_NUMBER, PV_CTL_R_LEADS | PV_CTL_R_SOME, M(copy.n)},
    {"from", PV_CTL_F_FIXED, M(copy.from)},
    {"box", PV_CTL_F_BYTES, M(copy.box), .max = PV_CTL_BOX_MAX}, END};
static const struct pv_ctl_field in_pong[] = {{"time_us", PV_CTL_F_NUMBER, M(pong.time_us)}, END};
/* Addresses as text, because an admin reads them in a trace. */
static const struct pv_ctl_field in_reservation[] = {
    {"name", PV_CTL_F_NAME, PV_CTL_R_SOME, M(reservation.name)},
    {"ip4", PV_CTL_F_IP4, M(reservation.ip4)},
    {"ip6", PV_CTL_F_IP6, M(reservation.ip6)},
    {"serial", PV_CTL_F_NUMBER, M(reservation.serial)},
    {"seconds", PV_CTL_F_NUMBER, M(reservation.seconds)}, END};
static const struct pv_ctl_field in_registered[] = {
    {"s", PV_CTL_F_BYTES, M(registered.item.statement), .max = PV_CTL_STATEMENT_MAX},
    {"r", PV_CTL_F_BYTES, PV_CTL_R_OPTIONAL, M(registered.item.receipt),
     .max = PV_CTL_RECEIPT_MAX}, END};
static const struct pv_ctl_field in_asker[] = {
    {"node", PV_CTL_F_FIXED, IN(struct pv_ctl_asker, node)},
    {"from", PV_CTL_F_IP, IN(struct pv_ctl_asker, from)},
    {"time_us", PV_CTL_F_NUMBER, IN(struct pv_ctl_asker, time_us)}, END};
static const struct pv_ctl_field in_asked[] = {
    {"nodes", PV_CTL_F_LIST,
     LIST(struct pv_ctl_msg, u.asked.askers, u.asked.n, struct pv_ctl_asker),
     .max = PV_CTL_ASKERS_MAX, .of = in_asker}, END};
static const struct pv_ctl_field in_blobs[] = {
    {NULL, PV_CTL_F_BYTES, .max = PV_CTL_ENTRY_MAX}, END};
static const struct pv_ctl_field in_whys[] = {
    {NULL, PV_CTL_F_NUMBER, .size = sizeof(uint32_t)}, END};
static const struct pv_ctl_field in_submit[] = {
    {"statements", PV_CTL_F_LIST, PV_CTL_R_SOME,
     LIST(struct pv_ctl_msg, u.submit.statements, u.submit.n, struct pv_view),
     .max = PV_CTL_ITEMS_MAX, .of = in_blobs}, END};
static const struct pv_ctl_field in_decided[] = {
    {"why", PV_CTL_F_LIST, PV_CTL_R_SOME,
     LIST(struct pv_ctl_msg, u.decided.whys, u.decided.n, uint32_t),
     .max = PV_CTL_ITEMS_MAX, .of = in_whys}, END};
/* The hash tells whether the two logs are one up to here. */
static const struct pv_ctl_field in_log[] = {
    {"n", PV_CTL_F_NUMBER, M(log.n)},
    {"hash", PV_CTL_F_FIXED, M(log.hash)},
    {"fetching", PV_CTL_F_BOOL, M(log.fetching)}, END};
static const struct pv_ctl_field in_entries[] = {
    {"first", PV_CTL_F_NUMBER, M(entries.first)},
    {"last", PV_CTL_F_NUMBER, M(entries.last)},
    {"entries", PV_CTL_F_LIST, PV_CTL_R_OPTIONAL,
     LIST(struct pv_ctl_msg, u.entries.entries, u.entries.n, struct pv_view),
     .max = PV_CTL_ENTRIES_MAX, .of = in_blobs},
    {"head", PV_CTL_F_BYTES, PV_CTL_R_OPTIONAL, M(entries.head), .max = PV_CTL_HEAD_MAX}, END};
static const struct pv_ctl_field in_hybrid[] = {
    {"mlkem768", PV_CTL_F_EXACT, M(hybrid.mlkem768), .max = PV_KEM_CT_LEN}, END};
/* The word is for programs, the message for people: it may change from version to version. */
static const struct pv_ctl_field in_failure[] = {
    {"error", PV_CTL_F_ERROR, M(failure.error)},
    {"message", PV_CTL_F_TEXT, PV_CTL_R_OPTIONAL, M(failure.message), .max = PV_CTL_ERROR_TEXT_MAX},
    {"to", PV_CTL_F_LIST, PV_CTL_R_OPTIONAL,
     LIST(struct pv_ctl_msg, u.failure.to, u.failure.n_to, const char *),
     .max = PV_CTL_ADDRS_MAX, .of = in_addrs}, END};
static const struct pv_ctl_field in_none[] = {END};
/* clang-format on */

#define REQ (1u << PV_CTL_REQUEST)
#define ANS (1u << PV_CTL_ANSWER)
#define PUS (1u << PV_CTL_PUSH)

/* One row for each type: its word, the kinds of message in which it occurs, and its fields. Parser
 * and writer both go by it. */
const struct pv_ctl_word pv_ctl_words[PV_CTL_TYPE_COUNT] = {
    [PV_CTL_HELLO] = {"hello", REQ, in_hello},
    [PV_CTL_PUT] = {"put", REQ, in_put},
    [PV_CTL_PULL] = {"statements", REQ, in_pull},
    [PV_CTL_SUBSCRIBE] = {"subscribe", REQ, in_subscribe},
    [PV_CTL_LIST] = {"list", REQ, in_list},
    [PV_CTL_SIGNAL] = {"signal", REQ | PUS, in_signal},
    [PV_CTL_PING] = {"ping", REQ, in_none},
    [PV_CTL_FETCH] = {"fetch", REQ, in_fetch},
    [PV_CTL_JOIN] = {"join", REQ, in_join},
    [PV_CTL_REGISTER] = {"register", REQ, in_reg},
    [PV_CTL_KEEP] = {"keep", REQ, in_keep},
    [PV_CTL_COLLECT] = {"collect", REQ, in_collect},
    [PV_CTL_CREATE] = {"create", REQ, in_create},
    [PV_CTL_ASKERS] = {"askers", REQ, in_none},
    [PV_CTL_PHONES] = {"phones", REQ, in_phones},
    [PV_CTL_SUBMIT] = {"submit", REQ, in_submit},
    [PV_CTL_LOG] = {"log", REQ, in_log},
    [PV_CTL_WELCOME] = {"welcome", ANS, in_welcome},
    [PV_CTL_RECEIPTS] = {"receipts", ANS, in_receipts},
    [PV_CTL_STATEMENTS] = {NULL, ANS | PUS, in_none}, /* ctlpage.h */
    [PV_CTL_PRESENCE] = {"presence", ANS | PUS, in_presence},
    [PV_CTL_COPY] = {"parcel", ANS | PUS, in_copy},
    [PV_CTL_DONE] = {"done", ANS, in_none},
    [PV_CTL_PONG] = {"pong", ANS, in_pong},
    [PV_CTL_RESERVATION] = {"reservation", ANS, in_reservation},
    [PV_CTL_REGISTERED] = {"registered", ANS, in_registered},
    [PV_CTL_ASKED] = {"askers", ANS, in_asked},
    [PV_CTL_DECIDED] = {"decided", ANS, in_decided},
    [PV_CTL_ENTRIES] = {"entries", REQ | ANS | PUS, in_entries},
    [PV_CTL_ERROR] = {NULL, ANS, in_failure},
    [PV_CTL_HYBRID] = {"hybrid", PUS, in_hybrid},
    [PV_CTL_BYE] = {"bye", PUS, in_failure},
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
    put_raw(w, PV_STR("%llu", (unsigned long long)v));
}

/* A comma in front of whatever is not the first in its braces. */
static void put_field_name(struct pv_writer *w, const char *name)
{
    if (w->len > 0 && w->buf[w->len - 1] != '{')
        put_raw(w, ",");
    put_raw(w, "\"");
    put_raw(w, name);
    put_raw(w, "\":");
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
        if (v.ptr[i] < 0x20 || v.ptr[i] == '"' || v.ptr[i] == '\\') {
            put_raw(w, PV_STR("\\u%04x", v.ptr[i]));
        } else {
            pv_put_u8(w, v.ptr[i]);
        }
    }
    put_raw(w, "\"");
}

static void put_result(struct pv_writer *w, const struct pv_ctl_result *r)
{
    put_raw(w, r->error == PV_CTL_E_NONE ? "{\"r\":" : "{\"error\":");
    if (r->error == PV_CTL_E_NONE)
        put_base64(w, r->receipt, PV_CTL_RECEIPT_MAX);
    else
        put_string(w, pv_ctl_error_word(r->error), PV_CTL_ERROR_TEXT_MAX);
    put_raw(w, "}");
}

static void put_ip(struct pv_writer *w, struct pv_addr addr)
{
    put_string(w, PV_IP_STR(&addr), PV_ADDR_TEXT);
}

static uint64_t number_of(const struct pv_ctl_field *f, const void *at)
{
    return f->size == sizeof(uint32_t) ? *(const uint32_t *)at : *(const uint64_t *)at;
}

/* Above INT64_MAX some JSON libraries lose digits, jansson among them. */
static void put_number_field(struct pv_writer *w, uint64_t v)
{
    if (v > PV_CTL_U64_MAX)
        fail_message(w, PV_ERR_STATE);
    put_number(w, v);
}

static void put_fields(struct pv_writer *w, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                       const void *base);

static void put_value(struct pv_writer *w, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                      const void *base);

/* Counts above the limit are the caller's mistake (PV_ERR_STATE), not a lack of room. */
static void put_list(struct pv_writer *w, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                     const uint8_t *elements, size_t n)
{
    if (n > f->max)
        fail_message(w, PV_ERR_STATE);
    put_raw(w, "[");
    for (size_t i = 0; i < n && w->status == PV_OK; i++) {
        if (i > 0)
            put_raw(w, ",");
        if (f->of->name == NULL)
            put_value(w, kind, f->of, elements + i * f->size);
        else
            put_fields(w, kind, f->of, elements + i * f->size);
    }
    put_raw(w, "]");
}

/* One case for each form; -Wswitch names the one that is missing. */
static void put_value(struct pv_writer *w, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                      const void *base)
{
    const void *at = (const uint8_t *)base + f->at;
    const uint8_t *ip = at;

    switch (f->form) {
    case PV_CTL_F_NUMBER:
        put_number_field(w, number_of(f, at));
        break;
    case PV_CTL_F_BOOL:
        put_raw(w, *(const bool *)at ? "true" : "false");
        break;
    case PV_CTL_F_FIXED:
        put_base64(w, pv_view(at, f->size), f->size);
        break;
    case PV_CTL_F_BYTES:
    case PV_CTL_F_EXACT:
        put_base64(w, *(const struct pv_view *)at, f->max);
        break;
    case PV_CTL_F_TEXT: {
        const char *text = *(const char *const *)at;
        if ((f->rule & PV_CTL_R_SOME) != 0 && (text == NULL || text[0] == '\0'))
            fail_message(w, PV_ERR_STATE);
        put_string(w, text, f->max);
        break;
    }
    case PV_CTL_F_NAME:
        put_string(w, at, PV_NAME_MAX);
        break;
    case PV_CTL_F_IP4:
        put_ip(w, pv_addr4(ip[0], ip[1], ip[2], ip[3], 0));
        break;
    case PV_CTL_F_IP6:
        put_ip(w, pv_addr6(ip, 0));
        break;
    case PV_CTL_F_IP:
        put_ip(w, *(const struct pv_addr *)at);
        break;
    case PV_CTL_F_ROLE:
        put_raw(w,
                *(const enum pv_ctl_role *)at == PV_CTL_APPLICANT ? "\"applicant\"" : "\"member\"");
        break;
    case PV_CTL_F_ERROR:
        put_string(w, pv_ctl_error_word(*(const enum pv_ctl_error *)at), PV_CTL_ERROR_TEXT_MAX);
        break;
    case PV_CTL_F_RESULT:
        put_result(w, at);
        break;
    case PV_CTL_F_OBJECT:
        put_fields(w, kind, f->of, at);
        break;
    case PV_CTL_F_LIST:
        put_list(w, kind, f, *(const uint8_t *const *)at,
                 *(const size_t *)(const void *)((const uint8_t *)base + f->count));
        break;
    case PV_CTL_F_END:
        break;
    }
}

static bool is_there(const struct pv_ctl_field *f, const uint8_t *base)
{
    if (f->has != 0)
        return *(const bool *)(base + f->has);
    if ((f->rule & PV_CTL_R_OPTIONAL) == 0)
        return true;
    if (f->form == PV_CTL_F_NUMBER)
        return number_of(f, base + f->at) != 0;
    if (f->form == PV_CTL_F_LIST)
        return *(const size_t *)(const void *)(base + f->count) > 0;
    return f->form == PV_CTL_F_TEXT ||
           ((const struct pv_view *)(const void *)(base + f->at))->len > 0;
}

/* Those of the message itself stand in its braces, behind what every message has. */
static void put_members(struct pv_writer *w, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                        const void *base)
{
    for (; f->form != PV_CTL_F_END; f++) {
        if (!pv_ctl_is_of(f, kind))
            continue;
        if ((f->rule & PV_CTL_R_LEADS) != 0 && number_of(f, (const uint8_t *)base + f->at) == 0)
            return;
        bool there = is_there(f, base);
        if (!there && (f->rule & PV_CTL_R_NULL) == 0)
            continue;
        put_field_name(w, f->name);
        if (there)
            put_value(w, kind, f, base);
        else
            put_raw(w, "null");
    }
}

static void put_fields(struct pv_writer *w, enum pv_ctl_kind kind, const struct pv_ctl_field *f,
                       const void *base)
{
    put_raw(w, "{");
    put_members(w, kind, f, base);
    put_raw(w, "}");
}

/* A type is written only in the kinds that its row in pv_ctl_words allows, so that an answer cannot
 * leave as a push. */
int pv_ctl_build(const struct pv_ctl_msg *msg, void *buf, size_t cap, size_t *ret_len)
{
    struct pv_writer w = pv_writer(buf, cap < PV_CTL_TEXT_MAX ? cap : PV_CTL_TEXT_MAX);
    if (msg->type == PV_CTL_STATEMENTS)
        return pv_ctlpage_build(msg, buf, cap, ret_len);
    if ((unsigned)msg->type >= PV_CTL_TYPE_COUNT || (unsigned)msg->kind > PV_CTL_PUSH ||
        (pv_ctl_words[msg->type].kinds & (1u << msg->kind)) == 0)
        return PV_ERR_STATE;
    if (msg->kind != PV_CTL_PUSH && (msg->id == 0 || msg->id > PV_CTL_ID_MAX))
        return PV_ERR_STATE;

    const struct pv_ctl_word *word = &pv_ctl_words[msg->type];
    put_raw(&w, "{");
    if (msg->kind != PV_CTL_PUSH) {
        put_field_name(&w, "id");
        put_number(&w, msg->id);
    }
    if (msg->kind == PV_CTL_ANSWER) {
        put_field_name(&w, "ok");
        put_raw(&w, msg->type != PV_CTL_ERROR ? "true" : "false");
    }
    if (word->word != NULL) {
        put_field_name(&w, "t");
        put_string(&w, word->word, SIZE_MAX);
    }
    put_members(&w, msg->kind, word->fields, msg);
    put_raw(&w, "}");
    if (w.status != PV_OK)
        return w.status;
    *ret_len = w.len;
    return PV_OK;
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

/* --- parsing --------------------------------------------------------------------------------- */

/* A coordinator reads messages of anybody who connects, so one message costs one block of memory
 * whose size follows from its length, and values are counted before jansson sees them. The first
 * wrong field is remembered by name and answered; the others are not worth a word. */

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

static void get_role(struct msg_parser *p, const json_t *v, const char *name, enum pv_ctl_role *ret)
{
    const char *role = json_string_value(v);
    if (role != NULL && strcmp(role, "member") == 0)
        *ret = PV_CTL_MEMBER;
    else if (role != NULL && strcmp(role, "applicant") == 0)
        *ret = PV_CTL_APPLICANT;
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

/* The same word may name a request and an answer ("askers"), so the kind takes part in the
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
