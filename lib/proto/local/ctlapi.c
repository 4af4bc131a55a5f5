/* SPDX-License-Identifier: MIT */
/*
 * ctlapi.c - replies of the control socket: the builders, and the one parser for all of them.
 * Scripts read these objects, so names and order of fields are a contract (PROTOCOL-LOCAL.md
 * "Control socket"): fields may be added at the end and never change their meaning. An unknown
 * value is null, never zero.
 */
#include "proto/local/ctlapi.h"

#include <stdlib.h>
#include <string.h>

#include "proto/control/ctlmsg.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "proto/local/ctlapi_status.h"
#include "proto/local/harmless.h"

enum {
    REAL_DIGITS = 15,           /* significant digits every double keeps */
    MAX_REPLY_VALUES = 1000000, /* 10,000 peers have 200,000 */
};

/* --- values -------------------------------------------------------------------------------- */

/* For texts that may be missing; where a text is required, pv_ctlapi_pack() names the missing
 * one. */
static json_t *or_null(const char *text)
{
    return text == NULL ? json_null() : json_string(text);
}

static json_t *prefix_json(const struct pv_prefix *p)
{
    return p->base.family == PV_AF_NONE ? json_null() : json_string(PV_PREFIX_STR(p));
}

static json_t *wgkey_json(const uint8_t *key)
{
    return key == NULL ? json_null() : json_string(PV_WGKEY_STR(key));
}

static json_t *u64_or_null(uint64_t v)
{
    return v == 0 ? json_null() : pv_ctlapi_u64(v);
}

/* Unix seconds with decimals, as the field's tools (jq, date) take them. */
static json_t *time_json(uint64_t ms)
{
    return ms == 0 ? json_null() : json_real((double)ms / 1000.0);
}

/* --- the envelope -------------------------------------------------------------------------- */

/* UINT64_MAX: the request could not be read, and so neither could its id. */
static json_t *request_id_json(uint64_t id)
{
    return id == UINT64_MAX ? json_null() : pv_ctlapi_u64(id);
}

/* Puts body's fields behind those of head, which win; takes both. The envelope comes first in the
 * text, so that a person sees "ok" without scrolling. */
static json_t *put_behind(json_t *head, json_t *body)
{
    if (head != NULL && body != NULL && json_object_update_missing(head, body) != 0) {
        json_decref(head);
        head = NULL;
    }
    json_decref(body);
    return head;
}

json_t *pv_ctlapi_answer(uint64_t id, json_t *body)
{
    return put_behind(pv_ctlapi_pack("{s:o, s:b}", "id", request_id_json(id), "ok", 1), body);
}

/* The code is also the exit code of p2pvpnctl, so that scripts need not read the text. */
json_t *pv_ctlapi_error(uint64_t id, enum pv_ctlapi_code code, const char *text)
{
    return pv_ctlapi_pack("{s:o, s:b, s:i, s:s}", "id", request_id_json(id), "ok", 0, "code",
                          (int)code, "error", text);
}

json_t *pv_ctlapi_event(uint64_t id, const char *event, json_t *body)
{
    return put_behind(pv_ctlapi_pack("{s:o, s:s}", "id", request_id_json(id), "event", event),
                      body);
}

/* Written twice: once for the length, once into memory of that size. Replies range from 30 bytes to
 * megabytes. */
char *pv_ctlapi_dump(const json_t *obj, size_t *ret_len)
{
    size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS);
    size_t len = json_dumpb(obj, NULL, 0, flags);
    char *line = len == 0 ? NULL : malloc(len + 2);
    if (line == NULL)
        return NULL;
    if (json_dumpb(obj, line, len, flags) != len) {
        free(line);
        return NULL;
    }
    line[len] = '\n';
    line[len + 1] = '\0';
    *ret_len = len + 1;
    return line;
}

static json_t *ips_json(const struct pv_addr *ips, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        pv_ctlapi_put(&list, NULL, pv_ctlapi_ip(&ips[i]));
    return list;
}

/* --- peers, messages ----------------------------------------------------------------------- */

/* All fields are there for each type of path: a script need not know which type has which. */
json_t *pv_ctlapi_path_json(const struct pv_ctlapi_path *path)
{
    static const char *const types[] = {
        [PV_CTLAPI_PATH_NONE] = "none",
        [PV_CTLAPI_PATH_DIRECT] = "direct",
        [PV_CTLAPI_PATH_RELAY] = "relay",
        [PV_CTLAPI_PATH_STATIC] = "static",
    };
    return pv_ctlapi_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "type", types[path->type], "local",
                          pv_ctlapi_addr(&path->local), "remote", pv_ctlapi_addr(&path->remote),
                          "via", or_null(path->via), "rtt_ms", pv_ctlapi_real(path->rtt_ms), "loss",
                          pv_ctlapi_real(path->loss), "mtu",
                          path->mtu == 0 ? json_null() : json_integer((json_int_t)path->mtu));
}

static json_t *tags_json(const char *const *tags, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        pv_ctlapi_put(&list, NULL, json_string(tags[i]));
    return list;
}

json_t *pv_ctlapi_peer_json(const struct pv_ctlapi_peer *peer)
{
    json_t *obj = pv_ctlapi_pack("{s:s}", "name", peer->name);
    pv_jsonline_set(&obj, "ip4", pv_ctlapi_ip(&peer->ip4));
    pv_jsonline_set(&obj, "ip6", pv_ctlapi_ip(&peer->ip6));
    pv_jsonline_set(&obj, "key", pv_ctlapi_key(peer->key));
    pv_jsonline_set(&obj, "wg_key", wgkey_json(peer->wg_key));
    pv_jsonline_set(&obj, "online", json_boolean(peer->online));
    pv_jsonline_set(&obj, "admin", json_boolean(peer->admin));
    pv_jsonline_set(&obj, "path", pv_ctlapi_path_json(&peer->path));
    pv_jsonline_set(&obj, "tx_bytes", pv_ctlapi_u64(peer->tx_bytes));
    pv_jsonline_set(&obj, "rx_bytes", pv_ctlapi_u64(peer->rx_bytes));
    pv_jsonline_set(&obj, "last_handshake", time_json(peer->last_handshake_ms));
    pv_jsonline_set(&obj, "last_seen", time_json(peer->last_seen_ms));
    pv_jsonline_set(&obj, "session", or_null(peer->session));
    pv_jsonline_set(&obj, "former", pv_ctlapi_key(peer->former));
    pv_jsonline_set(&obj, "another_since",
                    peer->former == NULL ? json_null() : pv_ctlapi_u64(peer->another_since_s));
    pv_jsonline_set(&obj, "ip4_former", pv_ctlapi_key(peer->ip4_former));
    pv_jsonline_set(&obj, "ip4_since",
                    peer->ip4_former == NULL ? json_null() : pv_ctlapi_u64(peer->ip4_since_s));
    pv_jsonline_set(&obj, "state", or_null(peer->standing));
    pv_jsonline_set(&obj, "expires", u64_or_null(peer->expires_s));
    pv_jsonline_set(&obj, "asks_from", or_null(peer->asks_from));
    pv_jsonline_set(&obj, "groups", ips_json(peer->groups, peer->n_groups));
    pv_jsonline_set(&obj, "tags", tags_json(peer->tags, peer->n_tags));
    pv_jsonline_set(&obj, "gateway", or_null(peer->gateway));
    return obj;
}

/* --- status -------------------------------------------------------------------------------- */

/* A node that is in no network has null here and in `self`, which is how scripts ask. */
static json_t *network_json(const struct pv_ctlapi_status *s)
{
    char id[PV_B64_LEN(PV_CTLAPI_NETWORK_LEN) + 1];
    if (s->network == NULL)
        return json_null();
    if (pv_b64url_encode(pv_view(s->network_id, PV_CTLAPI_NETWORK_LEN), id, sizeof(id)) < 0)
        return NULL;
    return pv_ctlapi_pack("{s:s, s:s, s:o, s:o}", "name", s->network, "id", id, "cidr",
                          prefix_json(&s->cidr), "ip6", prefix_json(&s->ula));
}

/* "admin" tells whether this node may invite, which is what a person tries next. */
static json_t *self_json(const struct pv_ctlapi_status *s)
{
    if (s->name == NULL)
        return json_null();
    return pv_ctlapi_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o}", "name", s->name,
                          "ip4", pv_ctlapi_ip(&s->ip4), "ip6", pv_ctlapi_ip(&s->ip6), "key",
                          pv_ctlapi_key(s->key), "wg_key", wgkey_json(s->wg_key), "wg_key_since",
                          u64_or_null(s->wg_key_since_s), "wg_key_until",
                          u64_or_null(s->wg_key_until_s), "admin", s->admin, "root_key",
                          s->root_key, "expires", u64_or_null(s->expires_s));
}

static json_t *interface_json(const struct pv_ctlapi_status *s)
{
    if (s->interface == NULL)
        return json_null();
    return pv_ctlapi_pack("{s:s, s:i, s:i}", "name", s->interface, "mtu", (int)s->mtu, "port",
                          (int)s->udp_port);
}

static json_t *proxy_json(const struct pv_ctlapi_status *s)
{
    if (s->proxy == NULL)
        return json_null();
    return pv_ctlapi_pack("{s:s, s:s, s:s, s:o}", "address", s->proxy, "state", s->proxy_state,
                          "text", s->proxy_text, "remedy", or_null(s->proxy_remedy));
}

/* The node stays useful without its coordinator, so status says since when it is away and how many
 * peers are reached nevertheless. */
static json_t *coordinator_json(const struct pv_ctlapi_status *s)
{
    if (s->coordinator == NULL)
        return json_null();
    return pv_ctlapi_pack(
        "{s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:i}", "address", s->coordinator, "connected",
        s->connected, "connected_ms", pv_ctlapi_real(s->connected_ms), "rtt_ms",
        pv_ctlapi_real(s->coordinator_rtt_ms), "error", or_null(s->coordinator_error), "remedy",
        or_null(s->coordinator_remedy), "proxy", proxy_json(s), "away_since",
        u64_or_null(s->away_since_s), "reached_without", (int)s->reached_without);
}

static json_t *relay_json(const struct pv_ctlapi_status *s)
{
    if (s->relay == NULL)
        return json_null();
    return pv_ctlapi_pack("{s:s, s:o, s:o}", "address", s->relay, "tx_bytes",
                          pv_ctlapi_u64(s->relay_tx_bytes), "rx_bytes",
                          pv_ctlapi_u64(s->relay_rx_bytes));
}

/* Only what lets others in from outside: learned by STUN, or an interface's own public address. */
static json_t *public_json(const struct pv_ctlapi_status *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_public; i++)
        pv_ctlapi_put(&list, NULL, pv_ctlapi_addr(&s->public_addrs[i]));
    return list;
}

/* The head is what two nodes compare by eye to see whether they know the same network. */
static json_t *roster_json(const struct pv_ctlapi_status *s)
{
    if (s->head == NULL)
        return json_null();
    return pv_ctlapi_pack("{s:o, s:i, s:i, s:i, s:i, s:o}", "head", pv_ctlapi_key(s->head),
                          "members", (int)s->members, "online", (int)s->online, "direct",
                          (int)s->direct, "relayed", (int)s->relayed, "log", pv_ctlapi_u64(s->log));
}

/* Those of the network; NULL: this node is in none. */
static json_t *rules_json(const struct pv_ctlapi_status *s)
{
    if (s->head == NULL)
        return json_null();
    return pv_ctlapi_pack("{s:i, s:s}", "count", (int)s->rules, "default",
                          s->deny_default ? "deny" : "allow");
}

/* Sentences for people; there is no code, because nothing is decided by them. */
static json_t *problems_json(const struct pv_ctlapi_status *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_problems; i++)
        pv_ctlapi_put(&list, NULL, json_string(s->problems[i]));
    return list;
}

/* The places of minor problems in the list. */
/* Beside each problem the identifier of its remedy, or null. */
static json_t *remedies_json(const struct pv_ctlapi_status *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_problems; i++) {
        const char *id = s->remedies == NULL ? NULL : s->remedies[i];
        pv_ctlapi_put(&list, NULL, id == NULL ? json_null() : json_string(id));
    }
    return list;
}

static json_t *minor_json(const struct pv_ctlapi_status *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_problems && i < 64; i++)
        if ((s->minor & UINT64_C(1) << i) != 0)
            pv_ctlapi_put(&list, NULL, json_integer((json_int_t)i));
    return list;
}

/* Names come from the parts that count: a new reason to drop appears here by itself. */
static json_t *drops_json(const struct pv_ctlapi_status *s)
{
    json_t *obj = json_object();
    for (size_t i = 0; i < s->n_drops; i++)
        pv_jsonline_set(&obj, s->drop_names[i], pv_ctlapi_u64(s->drop_counts[i]));
    return obj;
}

/* The order of the fields is that of PROTOCOL-LOCAL.md and of `p2pvpnctl status`. */
json_t *pv_ctlapi_status_json(const struct pv_ctlapi_status *s)
{
    return pv_ctlapi_pack(
        "{s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}, s:o, s:I, s:o, s:b, s:o, s:o, "
        "s:{s:o, s:o}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}",
        "version", PV_CTLAPI_FORMAT, "daemon", PV_VERSION, "state", s->state, "uptime",
        pv_ctlapi_u64(s->uptime_s), "network", network_json(s), "self", self_json(s), "interface",
        interface_json(s), "coordinator", coordinator_json(s), "relay", relay_json(s), "relayed",
        "tx_bytes", pv_ctlapi_u64(s->relay_tx_bytes), "rx_bytes", pv_ctlapi_u64(s->relay_rx_bytes),
        "public", public_json(s), "left_out", (json_int_t)s->left_out, "hidden_as",
        s->hidden_as == NULL ? json_null() : pv_ctlapi_addr(s->hidden_as), "unseen", s->unseen,
        "roster", roster_json(s), "rules", rules_json(s), "chat", "unread",
        pv_ctlapi_u64(s->unread), "queued", pv_ctlapi_u64(s->queued), "problems", problems_json(s),
        "remedies", remedies_json(s), "minor", minor_json(s), "drops", drops_json(s), "sandbox",
        or_null(s->sandbox), "inside", s->inside == 0 ? json_null() : json_integer(s->inside),
        "stack", or_null(s->stack), "stack_why", or_null(s->stack_why), "stack_restarts",
        (json_int_t)s->stack_restarts, "directory", or_null(s->directory));
}

/* --- small answers and events -------------------------------------------------------------- */

static void add_doubts(unsigned doubts, json_t **out)
{
    static const char *const words[] = {"self", "from", "to", "range"};
    for (unsigned i = 0; i < PV_ARRAY_LEN(words); i++)
        if ((doubts & 1u << i) != 0)
            pv_ctlapi_put(out, "doubts", json_string(words[i]));
}

const char *pv_ctlapi_error_said(const char *word)
{
    if (strcmp(word, pv_ctl_error_word(PV_CTL_E_STORAGE)) == 0)
        return "storage, it cannot store at present";
    if (strcmp(word, pv_ctl_error_word(PV_CTL_E_FULL)) == 0)
        return "full, it or the network has no room left";
    if (strcmp(word, pv_ctl_error_word(PV_CTL_E_LIMIT)) == 0)
        return "limit, too many requests: it takes more later";
    if (strcmp(word, pv_ctl_error_word(PV_CTL_E_VERSION)) == 0)
        return "version, it is older than p2pvpn here";
    return word;
}

struct pv_remedy pv_ctlapi_error_todo(const char *word)
{
    if (strcmp(word, pv_ctl_error_word(PV_CTL_E_STORAGE)) == 0 ||
        strcmp(word, pv_ctl_error_word(PV_CTL_E_FULL)) == 0 ||
        strcmp(word, pv_ctl_error_word(PV_CTL_E_VERSION)) == 0)
        return PV_DO(tell_operator);
    return PV_DO_NOTHING;
}

json_t *pv_ctlapi_told_json(const struct pv_ctlapi_told *told)
{
    json_t *invite = told->invite == PV_CTLAPI_INVITE_NONE
                         ? json_null()
                         : pv_ctlapi_pack("{s:o, s:i, s:b}", "id", pv_ctlapi_key(told->invite_id),
                                          "uses_left", (int)told->uses_left, "revoked",
                                          told->invite == PV_CTLAPI_INVITE_ENDED);
    json_t *invites = told->invites == 0 ? json_null()
                                         : pv_ctlapi_pack("{s:i, s:b}", "open", (int)told->invites,
                                                          "revoked", !told->invites_kept);
    json_t *out = pv_ctlapi_pack("{s:i, s:i, s:s, s:s, s:o, s:o}", "online", (int)told->online,
                                 "know", (int)told->know, "coordinator", told->coordinator, "disk",
                                 told->disk, "invite", invite, "invites", invites);
    enum pv_ctlapi_code code = PV_CTLAPI_DONE;
    if (told->doubts != 0) {
        pv_jsonline_set(&out, "doubts", json_array());
        add_doubts(told->doubts, &out);
    }
    if (told->pending && strcmp(told->coordinator, "stored") != 0)
        pv_jsonline_set(&out, "pending", json_true());
    if (told->orphaned)
        pv_jsonline_set(&out, "orphaned", json_true());
    if (told->phones[0] != '\0')
        pv_jsonline_set(&out, "phones", json_string(told->phones));
    if (told->tagged)
        pv_jsonline_set(&out, "tagged", json_true());
    if (told->exists != 0)
        pv_jsonline_set(&out, "exists", json_integer(told->exists));
    if (told->decided_by != 0) {
        pv_jsonline_set(&out, "number", json_integer(told->number));
        pv_jsonline_set(&out, "decided_by", json_integer(told->decided_by));
        pv_jsonline_set(&out, "decides", json_string(told->decides_same ? "same" : "other"));
    }
    if (strcmp(told->disk, "stored") != 0)
        code = PV_CTLAPI_FAILED;
    else if (strcmp(told->coordinator, "stored") != 0)
        code = PV_CTLAPI_UNREACHABLE;
    if (code != PV_CTLAPI_DONE)
        pv_jsonline_set(&out, "code", json_integer(code));
    return out;
}

/* --- parsing ------------------------------------------------------------------------------- */

/* Strict about what the caller relies on (ok, code, error); other fields are the command's own. */
static int read_answer(struct pv_ctlapi_reply *reply)
{
    uint64_t code = PV_CTLAPI_DONE;
    const json_t *ok = json_object_get(reply->body, "ok");
    if (!json_is_boolean(ok))
        return PV_ERR_MALFORMED;
    reply->ok = json_is_true(ok);
    int r = pv_jsonline_u64(reply->body, "code", 0, 255, &code);
    if (r < 0 && r != PV_ERR_NOT_FOUND)
        return PV_ERR_MALFORMED;
    reply->code = (enum pv_ctlapi_code)code;
    if (reply->ok)
        return PV_OK;
    reply->error = json_string_value(json_object_get(reply->body, "error"));
    return reply->error == NULL || code == PV_CTLAPI_DONE ? PV_ERR_MALFORMED : PV_OK;
}

/* An event has a name; everything else must be an answer. A null id means that the daemon could not
 * read the request. */
int pv_ctlapi_reply_parse(struct pv_view line, bool exact, struct pv_ctlapi_reply *ret_reply)
{
    if (line.len >= PV_CTLAPI_REPLY_MAX)
        return PV_ERR_LIMIT;

    struct pv_ctlapi_reply reply = {.id = UINT64_MAX};
    int r = pv_jsonline_parse(line, PV_CTLAPI_REPLY_DEPTH, MAX_REPLY_VALUES, &reply.body);
    if (r == PV_OK && !exact)
        r = pv_harmless_json(reply.body);
    if (r < 0) {
        json_decref(reply.body);
        return r;
    }
    r = pv_jsonline_u64(reply.body, "id", 0, PV_JSONLINE_EXACT_MAX, &reply.id);
    reply.event = json_string_value(json_object_get(reply.body, "event"));
    reply.is_event = reply.event != NULL;
    if (r == PV_ERR_MALFORMED || (r < 0 && !json_is_null(json_object_get(reply.body, "id"))))
        r = PV_ERR_MALFORMED;
    else
        r = reply.is_event ? PV_OK : read_answer(&reply);
    if (r < 0) {
        json_decref(reply.body);
        return r;
    }
    *ret_reply = reply;
    return PV_OK;
}

void pv_ctlapi_reply_done(struct pv_ctlapi_reply *reply)
{
    json_decref(reply->body);
    memset(reply, 0, sizeof(*reply));
}
