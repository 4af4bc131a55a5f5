/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_request.c - requests of the control socket, both directions, from two tables: commands,
 * whose rows are in ctlcmd.h, and fields. Parser, writer and error texts follow from the rows, so a
 * new command needs no code here.
 */
#include "proto/local/ctlapi_request.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "proto/control/jsonline.h"
#include "proto/local/ctlapi.h"

enum {
    MAX_VALUES = 64,           /* a request has at most 6 */
    DEFAULT_EXPIRES_S = 86400, /* ours: an invite is good for a day */
};

enum field_type {
    F_PEER,   /* printable ASCII */
    F_NAME,   /* name of a node or network */
    F_CIDR,   /* IPv4 range */
    F_WORD,   /* printable ASCII */
    F_ROOM,   /* the same */
    F_SECRET, /* owned string, printable ASCII */
    F_TEXT,   /* owned string, chat text */
    F_U32,
    F_U64,
    F_BOOL,
};

/* The members of pv_ctlapi_request.u. */
enum group {
    G_ALL, /* none: beside u */
    G_ENTER,
    G_TERMS,
    G_INVITE,
    G_LEAVE,
    G_PING,
    G_WAIT,
    G_MEMBER,
    G_RULE,
    G_PHONE,
    G_ROUTE,
    G_COORDINATOR,
    G_ROTATE,
    G_SAY,
    G_LIST,
    G_WATCH,
    G_PROBE,
    G_LOG,
    G_FILE,
    G_ROOM,
};

static const struct request_field {
    const char *key;
    enum group group; /* that has it */
    enum field_type type;
    size_t offset; /* in struct pv_ctlapi_request */
    size_t size;   /* of a string's buffer */
    uint64_t min, max;
} FIELDS[] = {
#define AT(member)  offsetof(struct pv_ctlapi_request, member)
#define BUF(member) AT(member), sizeof(((struct pv_ctlapi_request *)0)->member)
    {"peer", G_ALL, F_PEER, BUF(peer), 0, 0},
    {"account", G_ALL, F_PEER, BUF(peer), 0, 0},
    {"network", G_ENTER, F_NAME, BUF(u.enter.network), 0, 0},
    {"unless", G_SAY, F_NAME, BUF(u.say.unless), 0, 0},
    {"name", G_ENTER, F_NAME, BUF(u.enter.name), 0, 0},
    {"name", G_MEMBER, F_NAME, BUF(u.member.name), 0, 0},
    {"name", G_PHONE, F_NAME, BUF(u.phone.name), 0, 0},
    {"name", G_SAY, F_NAME, BUF(u.say.name), 0, 0},
    {"cidr", G_ENTER, F_CIDR, BUF(u.enter.cidr), 0, 0},
    {"prefix", G_ROUTE, F_WORD, BUF(u.route.prefix), 0, 0},
    {"invite", G_INVITE, F_WORD, BUF(u.invite.id), 0, 0},
    {"rule", G_RULE, F_WORD, BUF(u.rule.id), 0, 0},
    {"room", G_SAY, F_ROOM, BUF(u.say.room), 0, 0},
    {"room", G_FILE, F_ROOM, BUF(u.file.room), 0, 0},
    {"room", G_ROOM, F_ROOM, BUF(u.room.name), 0, 0},
    {"coordinator", G_COORDINATOR, F_WORD, BUF(u.coordinator.which), 0, 0},
    {"endpoint", G_PHONE, F_WORD, BUF(u.phone.endpoint), 0, 0},
    {"level", G_LOG, F_WORD, BUF(u.log.level), 0, 0},
    {"address", G_MEMBER, F_WORD, BUF(u.member.address), 0, 0},
    {"what", G_WATCH, F_WORD, BUF(u.watch.what), 0, 0},
    {"what", G_PROBE, F_WORD, BUF(u.probe.what), 0, 0},
    {"verdict", G_RULE, F_WORD, BUF(u.rule.verdict), 0, 0},
    {"from", G_RULE, F_PEER, BUF(u.rule.from), 0, 0},
    {"to", G_RULE, F_PEER, BUF(u.rule.to), 0, 0},
    {"to", G_PROBE, F_PEER, BUF(u.probe.to), 0, 0},
    {"tag", G_TERMS, F_NAME, BUF(u.terms.tag), 0, 0},
    {"tag", G_MEMBER, F_NAME, BUF(u.member.name), 0, 0},
    {"ports", G_ALL, F_TEXT, AT(text), 0, 0, 0},
    {"url", G_ALL, F_SECRET, AT(secret), 0, 0, 0},
    {"token", G_ALL, F_SECRET, AT(secret), 0, 0, 0},
    {"key", G_ALL, F_SECRET, AT(secret), 0, 0, 0},
    {"text", G_ALL, F_TEXT, AT(text), 0, 0, 0},
    {"box", G_ALL, F_TEXT, AT(text), 0, 0, 0},
    {"uses", G_TERMS, F_U32, AT(u.terms.uses), 0, 1, PV_CTLAPI_MAX_USES},
    {"expires", G_TERMS, F_U64, AT(u.terms.expires_s), 0, 1, PV_CTLAPI_MAX_EXPIRES_S},
    {"member_for", G_TERMS, F_U64, AT(u.terms.lifetime_s), 0, PV_CTLAPI_MIN_MEMBER_S,
     PV_CTLAPI_MAX_MEMBER_S},
    {"admin", G_TERMS, F_BOOL, AT(u.terms.admin), 0, 0, 0},
    {"approve", G_TERMS, F_BOOL, AT(u.terms.approve), 0, 0, 0},
    {"ephemeral", G_TERMS, F_BOOL, AT(u.terms.ephemeral), 0, 0, 0},
    {"forget", G_LEAVE, F_BOOL, AT(u.leave.forget), 0, 0, 0},
    {"copy", G_LEAVE, F_BOOL, AT(u.leave.copy), 0, 0, 0},
    {"count", G_PING, F_U32, AT(u.ping.count), 0, 1, PV_CTLAPI_MAX_PINGS},
    {"interval_ms", G_PING, F_U32, AT(u.ping.interval_ms), 0, 10, 3600000},
    {"size", G_PING, F_U32, AT(u.ping.size), 0, 0, PV_CTLAPI_MAX_PING_SIZE},
    {"timeout_ms", G_ENTER, F_U32, AT(u.enter.timeout_ms), 0, 0, 86400000},
    {"direct", G_WAIT, F_BOOL, AT(u.wait.direct), 0, 0, 0},
    {"online", G_WAIT, F_BOOL, AT(u.wait.online), 0, 0, 0},
    {"peek", G_LIST, F_BOOL, AT(u.list.peek), 0, 0, 0},
    {"statics", G_ROTATE, F_BOOL, AT(u.rotate.statics), 0, 0, 0},
    {"insist", G_ENTER, F_BOOL, AT(u.enter.insist), 0, 0, 0},
    {"keep_invite", G_MEMBER, F_BOOL, AT(u.member.keep_invite), 0, 0, 0},
    {"keep_invite", G_RULE, F_BOOL, AT(u.rule.keep_invite), 0, 0, 0},
    {"last", G_LEAVE, F_BOOL, AT(u.leave.last), 0, 0, 0},
    {"force", G_MEMBER, F_BOOL, AT(u.member.force), 0, 0, 0},
    {"delete_root", G_LEAVE, F_BOOL, AT(u.leave.delete_root), 0, 0, 0},
    {"no_snat", G_ROUTE, F_BOOL, AT(u.route.no_snat), 0, 0, 0},
    {"auto", G_ROUTE, F_BOOL, AT(u.route.automatic), 0, 0, 0},
    {"off", G_ROUTE, F_BOOL, AT(u.route.off), 0, 0, 0},
    {"lan", G_ROUTE, F_BOOL, AT(u.route.lan), 0, 0, 0},
    {"everything", G_PHONE, F_BOOL, AT(u.phone.everything), 0, 0, 0},
    {"block", G_ROUTE, F_BOOL, AT(u.route.block), 0, 0, 0},
    {"seen", G_WATCH, F_BOOL, AT(u.watch.seen), 0, 0, 0},
    {"keys", G_ALL, F_TEXT, AT(text), 0, 0, 0},
    {"print", G_ALL, F_TEXT, AT(text), 0, 0, 0},
    {"file", G_ALL, F_TEXT, AT(text), 0, 0, 0},
    {"addresses", G_ALL, F_TEXT, AT(text), 0, 0, 0},
    {"number", G_RULE, F_U32, AT(u.rule.number), 0, 1, UINT32_MAX},
    {"number", G_FILE, F_U32, AT(u.file.number), 0, 1, UINT32_MAX},
    {"place", G_RULE, F_U32, AT(u.rule.number), 0, 0, UINT32_MAX},
    {"port", G_PROBE, F_U32, AT(u.probe.port), 0, 1024, 65535},
    {"figures", G_WATCH, F_U32, AT(u.watch.figures), 0, 1, 3600},
    {"before", G_LIST, F_WORD, BUF(u.list.before), 0, 0},
    {"after", G_LIST, F_WORD, BUF(u.list.after), 0, 0},
    {"through", G_LIST, F_WORD, BUF(u.list.through), 0, 0},
    {"upto", G_LIST, F_U64, AT(u.list.upto), 0, 1, INT64_MAX},
    {"seq", G_WATCH, F_U64, AT(u.watch.seq), 0, 1, INT64_MAX},
    {"since", G_WATCH, F_U64, AT(u.watch.since_s), 0, 1, UINT32_MAX},
    {"message", G_SAY, F_WORD, BUF(u.say.id), 0, 0},
    {"transfer", G_FILE, F_WORD, BUF(u.file.transfer), 0, 0},
    {"limit", G_LIST, F_U32, AT(u.list.limit), 0, 1, PV_CTLAPI_MAX_HISTORY},
#undef AT
#undef BUF
};

/* Of the commands that have a member of u. */
static const uint8_t GROUPS[PV_CTLAPI_N_CMDS] = {
    [PV_CTLAPI_CREATE] = G_ENTER,
    [PV_CTLAPI_JOIN] = G_ENTER,
    [PV_CTLAPI_INVITE] = G_TERMS,
    [PV_CTLAPI_INVITE_REVOKE] = G_INVITE,
    [PV_CTLAPI_LEAVE] = G_LEAVE,
    [PV_CTLAPI_PING] = G_PING,
    [PV_CTLAPI_WAIT] = G_WAIT,
    [PV_CTLAPI_REMOVE] = G_MEMBER,
    [PV_CTLAPI_ADMIT] = G_MEMBER,
    [PV_CTLAPI_ADMIN_REVOKE] = G_MEMBER,
    [PV_CTLAPI_RENAME] = G_MEMBER,
    [PV_CTLAPI_ADDRESS_SET] = G_MEMBER,
    [PV_CTLAPI_REPLACE] = G_MEMBER,
    [PV_CTLAPI_TAG] = G_MEMBER,
    [PV_CTLAPI_UNTAG] = G_MEMBER,
    [PV_CTLAPI_RULE_ADD] = G_RULE,
    [PV_CTLAPI_RULE_REMOVE] = G_RULE,
    [PV_CTLAPI_RULES_DEFAULT] = G_RULE,
    [PV_CTLAPI_CAN] = G_RULE,
    [PV_CTLAPI_EXPORT] = G_PHONE,
    [PV_CTLAPI_ROUTE_OFFER] = G_ROUTE,
    [PV_CTLAPI_ROUTE_WITHDRAW] = G_ROUTE,
    [PV_CTLAPI_ROUTE_ALLOW] = G_ROUTE,
    [PV_CTLAPI_ROUTE_DENY] = G_ROUTE,
    [PV_CTLAPI_ROUTE_USE] = G_ROUTE,
    [PV_CTLAPI_EXIT_USE] = G_ROUTE,
    [PV_CTLAPI_COORDINATOR_REMOVE] = G_COORDINATOR,
    [PV_CTLAPI_COORDINATOR_ADDRESS] = G_COORDINATOR,
    [PV_CTLAPI_KEY_ROTATE] = G_ROTATE,
    [PV_CTLAPI_SEND] = G_SAY,
    [PV_CTLAPI_INBOX] = G_LIST,
    [PV_CTLAPI_READ] = G_LIST,
    [PV_CTLAPI_HISTORY] = G_LIST,
    [PV_CTLAPI_WATCH] = G_WATCH,
    [PV_CTLAPI_PROBE] = G_PROBE,
    [PV_CTLAPI_LOG] = G_LOG,
    [PV_CTLAPI_FILE_SEND] = G_FILE,
    [PV_CTLAPI_FILE_ACCEPT] = G_FILE,
    [PV_CTLAPI_FILE_STOP] = G_FILE,
    [PV_CTLAPI_FILE_GET] = G_FILE,
    [PV_CTLAPI_FILE_SAVED] = G_FILE,
    [PV_CTLAPI_ROOM_CREATE] = G_ROOM,
    [PV_CTLAPI_ROOM_INVITE] = G_ROOM,
    [PV_CTLAPI_ROOM_ACCEPT] = G_ROOM,
    [PV_CTLAPI_ROOM_LEAVE] = G_ROOM,
    [PV_CTLAPI_ROOM_MEMBERS] = G_ROOM,
};

static const struct command_row {
    const char *name;
    bool changes;
    const char *need;
    const char *may;
} COMMANDS[PV_CTLAPI_N_CMDS] = {
#define FOR_ANY                         false
#define FOR_ROOT                        true
#define ROW(name, word, who, need, may) [PV_CTLAPI_##name] = {word, FOR_##who, need, may},
    PV_CTLAPI_REQUESTS(ROW)
#undef ROW
#undef FOR_ROOT
#undef FOR_ANY
};

/* Whole words: "peer" must not be found in "peers". */
static bool list_has(const char *keys, const char *key)
{
    size_t len = strlen(key);
    for (const char *p = keys; *p != '\0'; p += strcspn(p, " ") + 1) {
        if (strcspn(p, " ") == len && memcmp(p, key, len) == 0)
            return true;
    }
    return false;
}

/* A number from elsewhere may lie outside of the table: logs print it nevertheless. */
const char *pv_ctlapi_cmd_name(enum pv_ctlapi_cmd cmd)
{
    return cmd < PV_CTLAPI_N_CMDS ? COMMANDS[cmd].name : "unknown";
}

/* A command that is not in the table counts as a change: without a row there is only the stricter
 * right. */
bool pv_ctlapi_cmd_changes(enum pv_ctlapi_cmd cmd)
{
    return cmd >= PV_CTLAPI_N_CMDS || COMMANDS[cmd].changes;
}

/* Defaults are set on both sides, so that a client may leave out what it does not care about. */
bool pv_ctlapi_request_is_chat(const struct pv_ctlapi_request *req)
{
    switch (req->cmd) {
    case PV_CTLAPI_SEND:
    case PV_CTLAPI_INBOX:
    case PV_CTLAPI_READ:
    case PV_CTLAPI_HISTORY:
    case PV_CTLAPI_HISTORY_CLEAR:
    case PV_CTLAPI_MUTE:
    case PV_CTLAPI_UNMUTE:
    case PV_CTLAPI_MUTED:
    case PV_CTLAPI_FILE_SEND:
    case PV_CTLAPI_FILES:
    case PV_CTLAPI_FILE_ACCEPT:
    case PV_CTLAPI_FILE_STOP:
    case PV_CTLAPI_FILE_GET:
    case PV_CTLAPI_FILE_SAVED:
    case PV_CTLAPI_ROOM_CREATE:
    case PV_CTLAPI_ROOM_INVITE:
    case PV_CTLAPI_ROOM_ACCEPT:
    case PV_CTLAPI_ROOM_LEAVE:
    case PV_CTLAPI_ROOM_LIST:
    case PV_CTLAPI_ROOM_MEMBERS:
        return true;
    case PV_CTLAPI_WATCH:
        return strcmp(req->u.watch.what, "chat") == 0;
    default:
        return false;
    }
}

struct pv_ctlapi_request pv_ctlapi_request_of(enum pv_ctlapi_cmd cmd)
{
    struct pv_ctlapi_request req = {.cmd = cmd};
    if (cmd == PV_CTLAPI_INVITE) {
        req.u.terms.uses = 1;
        req.u.terms.expires_s = DEFAULT_EXPIRES_S;
    } else if (cmd == PV_CTLAPI_PING) {
        req.u.ping.count = 4;
        req.u.ping.interval_ms = 1000;
        req.u.ping.size = 56;
    } else if (cmd == PV_CTLAPI_HISTORY) {
        req.u.list.limit = 100;
    }
    return req;
}

/* The secret is a token or URL that lets anybody join: it does not stay in freed memory. */
void pv_ctlapi_request_done(struct pv_ctlapi_request *req)
{
    if (req->secret != NULL)
        pv_wipe(req->secret, strlen(req->secret));
    free(req->secret);
    free(req->text);
    memset(req, 0, sizeof(*req));
}

/* --- parsing ------------------------------------------------------------------------------- */

/* Such words go into logs and terminals: control characters could draw there what they like. */
static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~')
            return false;
    }
    return true;
}

/* Names are lower-cased and ranges normalised here, so that the daemon compares only canonical
 * forms. */
static bool parse_string(const struct request_field *f, const char *text, size_t len, char *dst)
{
    struct pv_prefix range;
    switch (f->type) {
    case F_NAME:
        return len == 0 || pv_name_parse(text, len, dst) == PV_OK;
    case F_CIDR:
        if (len == 0)
            return true;
        if (pv_prefix_parse(text, &range) < 0 || range.base.family != PV_AF_INET)
            return false;
        pv_prefix_format(&range, dst);
        return true;
    default:
        if (len >= f->size || !is_printable(text))
            return false;
        memcpy(dst, text, len + 1);
        return true;
    }
}

/* The string becomes the request's own; an earlier one under another key ("url" and "token" share a
 * slot) is replaced. Secrets are printable ASCII: a copied token with a line break in it is refused
 * instead of failing later. */
static int take_string(const struct request_field *f, const char *text, size_t len, char **slot)
{
    bool good = f->type == F_TEXT ? pv_text_is_valid(pv_view(text, len))
                                  : len > 0 && len <= PV_CTLAPI_SECRET_MAX && is_printable(text);
    if (!good)
        return PV_ERR_MALFORMED;
    char *copy = strdup(text);
    if (copy == NULL)
        return PV_ERR_NOMEM;
    free(*slot);
    *slot = copy;
    return PV_OK;
}

/* The offset in the row tells where the value goes; its type tells how wide that place is. */
static int parse_field(const struct request_field *f, const json_t *v,
                       struct pv_ctlapi_request *req)
{
    void *member = (char *)req + f->offset;
    uint64_t n;

    switch (f->type) {
    case F_BOOL:
        if (!json_is_boolean(v))
            return PV_ERR_MALFORMED;
        *(bool *)member = json_is_true(v);
        return PV_OK;
    case F_U32:
    case F_U64:
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return PV_ERR_MALFORMED;
        n = (uint64_t)json_integer_value(v);
        if (n < f->min || n > f->max)
            return PV_ERR_MALFORMED;
        if (f->type == F_U32)
            *(uint32_t *)member = (uint32_t)n;
        else
            *(uint64_t *)member = n;
        return PV_OK;
    case F_SECRET:
    case F_TEXT:
        if (!json_is_string(v))
            return PV_ERR_MALFORMED;
        return take_string(f, json_string_value(v), json_string_length(v), member);
    default:
        if (!json_is_string(v))
            return PV_ERR_MALFORMED;
        return parse_string(f, json_string_value(v), json_string_length(v), member)
                   ? PV_OK
                   : PV_ERR_MALFORMED;
    }
}

/* Errors say what to give instead of what was wrong: the client shows them to a person. */
static void say_what_is_wanted(const struct request_field *f, const char *cmd, char *why)
{
    static const char *const wants[] = {
        [F_PEER] = "a name, overlay address or key",
        [F_NAME] = "1 to 63 of a-z 0-9 and -, not at the ends, not \"localhost\"",
        [F_CIDR] = "an IPv4 range such as 10.66.0.0/16",
        [F_WORD] = "one word, without blanks",
        [F_ROOM] = "a name of 1 to 32 of a-z 0-9 and -, not at the ends",
        [F_SECRET] = "the whole text, without blanks",
        [F_TEXT] = "1 to 16384 bytes of UTF-8",
        [F_BOOL] = "true or false",
    };
    if (f->type == F_U32 || f->type == F_U64)
        snprintf(why, PV_CTLAPI_ERROR_BUF, "%s: bad %s: give a whole number from %llu to %llu", cmd,
                 f->key, (unsigned long long)f->min, (unsigned long long)f->max);
    else
        snprintf(why, PV_CTLAPI_ERROR_BUF, "%s: bad %s: give %s", cmd, f->key, wants[f->type]);
}

/* Returns true if the command may have the field; *ret_need says whether it must. */
static bool has_field(const struct command_row *cmd, const struct request_field *f, bool *ret_need)
{
    *ret_need = list_has(cmd->need, f->key);
    return (f->group == G_ALL || f->group == (enum group)GROUPS[cmd - COMMANDS]) &&
           (*ret_need || list_has(cmd->may, f->key));
}

/* Fields that the command does not name are ignored, so that a newer p2pvpnctl can talk to an older
 * daemon. */
static int parse_fields(const struct command_row *cmd, const json_t *obj,
                        struct pv_ctlapi_request *req, char *why)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(FIELDS); i++) {
        const struct request_field *f = &FIELDS[i];
        const json_t *v = json_object_get(obj, f->key);
        bool need;
        if (!has_field(cmd, f, &need))
            continue;
        if (v == NULL || json_is_null(v)) {
            if (!need)
                continue;
            snprintf(why, PV_CTLAPI_ERROR_BUF, "%s: no %s given: see p2pvpnctl %s -h", cmd->name,
                     f->key, cmd->name);
            return PV_ERR_MALFORMED;
        }
        if (need && json_is_string(v) && json_string_length(v) == 0) {
            say_what_is_wanted(f, cmd->name, why);
            return PV_ERR_MALFORMED;
        }
        int r = parse_field(f, v, req);
        if (r < 0) {
            say_what_is_wanted(f, cmd->name, why);
            return r;
        }
    }
    return PV_OK;
}

/* jansson frees strings without wiping them. */
static void wipe_secrets(const json_t *obj)
{
    static const char *const keys[] = {"url", "token"};
    for (size_t i = 0; i < PV_ARRAY_LEN(keys); i++) {
        const json_t *v = json_object_get(obj, keys[i]);
        if (json_is_string(v))
            pv_wipe((void *)(uintptr_t)json_string_value(v), json_string_length(v));
    }
}

/* The id is read first: an error about anything else can then be answered to the right request. */
static int parse_object(const json_t *obj, struct pv_ctlapi_request *req, uint64_t *ret_id,
                        char *why)
{
    uint64_t id = 0;
    if (pv_jsonline_u64(obj, "id", 0, PV_JSONLINE_EXACT_MAX, &id) < 0) {
        snprintf(why, PV_CTLAPI_ERROR_BUF, "request refused: no usable id: give a whole number");
        return PV_ERR_MALFORMED;
    }
    *ret_id = id;

    const char *name = json_string_value(json_object_get(obj, "cmd"));
    for (unsigned c = 0; name != NULL && c < PV_CTLAPI_N_CMDS; c++) {
        if (strcmp(name, COMMANDS[c].name) != 0)
            continue;
        *req = pv_ctlapi_request_of((enum pv_ctlapi_cmd)c);
        req->id = id;
        return parse_fields(&COMMANDS[c], obj, req, why);
    }
    snprintf(why, PV_CTLAPI_ERROR_BUF,
             "request refused: p2pvpnd %s does not know this command: use the p2pvpnctl that "
             "came with it",
             PV_VERSION);
    return PV_ERR_UNSUPPORTED;
}

int pv_ctlapi_request_parse(struct pv_view line, struct pv_ctlapi_request *ret_req,
                            uint64_t *ret_id, char why[static PV_CTLAPI_ERROR_BUF])
{
    json_t *obj = NULL;
    int r = line.len >= PV_CTLAPI_LINE_MAX
                ? PV_ERR_LIMIT
                : pv_jsonline_parse(line, PV_CTLAPI_DEPTH, MAX_VALUES, &obj);

    *ret_id = UINT64_MAX;
    if (r < 0) {
        snprintf(why, PV_CTLAPI_ERROR_BUF,
                 "request refused: not one JSON object a line of less than 64 KiB (%s)",
                 pv_strstatus(r));
        return r;
    }
    struct pv_ctlapi_request req = {0};
    r = parse_object(obj, &req, ret_id, why);
    wipe_secrets(obj);
    json_decref(obj);
    if (r < 0) {
        pv_ctlapi_request_done(&req);
        return r;
    }
    *ret_req = req;
    return PV_OK;
}

/* --- writing ------------------------------------------------------------------------------- */

static json_t *field_json(const struct request_field *f, const struct pv_ctlapi_request *req)
{
    const void *member = (const char *)req + f->offset;
    const char *text;
    switch (f->type) {
    case F_BOOL:
        return json_boolean(*(const bool *)member);
    case F_U32:
        return json_integer(*(const uint32_t *)member);
    case F_U64:
        return json_integer((json_int_t) * (const uint64_t *)member);
    case F_SECRET:
    case F_TEXT:
        text = *(char *const *)member;
        return json_string(text == NULL ? "" : text);
    default:
        return json_string(member);
    }
}

/* Fields that may be left out have an empty default, and the daemon would read the same. */
static bool is_empty(const struct request_field *f, const json_t *v)
{
    return json_is_false(v) || (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_integer(v) && json_integer_value(v) == 0 && f->min > 0);
}

char *pv_ctlapi_request_write(const struct pv_ctlapi_request *req)
{
    const struct command_row *cmd = &COMMANDS[req->cmd];
    json_t *obj = json_object();
    char *line = NULL;
    size_t len;

    bool ok = obj != NULL &&
              json_object_set_new(obj, "id", json_integer((json_int_t)req->id)) == 0 &&
              json_object_set_new(obj, "cmd", json_string(cmd->name)) == 0;
    for (size_t i = 0; ok && i < PV_ARRAY_LEN(FIELDS); i++) {
        const struct request_field *f = &FIELDS[i];
        bool need;
        if (!has_field(cmd, f, &need))
            continue;
        json_t *v = field_json(f, req);
        if (v != NULL && !need && is_empty(f, v))
            json_decref(v);
        else
            ok = json_object_set_new(obj, f->key, v) == 0;
    }
    if (ok)
        line = pv_ctlapi_dump(obj, &len);
    if (obj != NULL)
        wipe_secrets(obj);
    json_decref(obj);
    return line;
}
