/* SPDX-License-Identifier: MIT */
/* Completion for shells, by the usage of commands as it is written for people: "[PEER|#ROOM] [-n N]
 * | clear PEER" says what may stand where. Small letters stand for themselves. */
#include "ctl/complete.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/harmless.h"
#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/help.h"
#include "sys/proc/clock.h"

enum {
    ASK_S = 1,       /* ours: a shell does not hang longer */
    USAGE_MAX = 400, /* bytes of a usage with the NUL */
    TOKENS_MAX = 16, /* of one form of it */
    SAID_MAX = 240,  /* bytes of a description with the NUL */
};

/* A line as it was typed so far. */
struct typed {
    const struct pv_command *cmd;
    bool help;              /* "help" stands in the place of a command: the next word is one */
    char *word[TOKENS_MAX]; /* behind the command, without flags; the last is being typed */
    int n;
    const char *flag;        /* the last word is this flag's value; NULL: it is none */
    char offered[USAGE_MAX]; /* words of the usage, "|set|": several forms begin alike */
};

/* --- what is printed ----------------------------------------------------------------------- */

static void offer(struct pv_cli *cli, const char *word, const char *said)
{
    char shown[SAID_MAX];
    fputs(word, cli->out);
    if (said != NULL && said[0] != '\0') {
        pv_harmless_show(pv_view(said, strlen(said)), shown, sizeof(shown));
        fprintf(cli->out, "\t%s", shown);
    }
    fputc('\n', cli->out);
}

/* Calls fn with each element of the list of an answer; of none, when none comes. */
static void each(struct pv_cli *cli, const struct typed *t, enum pv_ctlapi_cmd cmd,
                 const char *list,
                 void (*fn)(struct pv_cli *cli, const struct typed *t, const json_t *element))
{
    json_t *body = NULL;
    if (pv_client_ask(cli->node.socket, cli->node.is_user, cmd, PV_S(ASK_S), &body) < 0)
        return;
    PV_EACH_JSON(json_object_get(body, list), element)
        fn(cli, t, element);
    json_decref(body);
}

/* Is this the word before the one that is being typed? */
static bool is_behind(const struct typed *t, const char *word)
{
    return t->n >= 2 && strcmp(t->word[t->n - 2], word) == 0;
}

static void offer_peer(struct pv_cli *cli, const struct typed *t, const json_t *peer)
{
    char name[PV_NAME_BUF];
    const char *word = pv_json_text(peer, "name", "");
    if (pv_name_parse(word, strlen(word), name) == PV_OK)
        offer(cli, name, pv_json_bool(peer, "online") ? "online" : "offline");
}

static void offer_peers(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_PEERS, "peers", offer_peer);
}

/* A phone takes no messages and no files. */
static void offer_talker(struct pv_cli *cli, const struct typed *t, const json_t *peer)
{
    if (pv_json_text(peer, "gateway", NULL) == NULL)
        offer_peer(cli, t, peer);
}

static void offer_talkers(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_PEERS, "peers", offer_talker);
}

/* Of this machine, which is none of its peers, and which rules are about, too. */
static void offer_self(struct pv_cli *cli)
{
    json_t *status = NULL;
    char name[PV_NAME_BUF];
    if (pv_client_ask(cli->node.socket, cli->node.is_user, PV_CTLAPI_STATUS, PV_S(ASK_S), &status) <
        0)
        return;
    const char *word = pv_json_text(json_object_get(status, "self"), "name", "");
    if (pv_name_parse(word, strlen(word), name) == PV_OK)
        offer(cli, name, "this machine");
    json_decref(status);
}

static void offer_machines(struct pv_cli *cli, const struct typed *t)
{
    offer_peers(cli, t);
    offer_self(cli);
}

/* `admin revoke` takes from admins what `admin grant` gives to others. */
static void offer_for_rights(struct pv_cli *cli, const struct typed *t, const json_t *peer)
{
    if (pv_json_bool(peer, "admin") == is_behind(t, "revoke"))
        offer_peer(cli, t, peer);
}

static void offer_admins(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_PEERS, "peers", offer_for_rights);
}

static void offer_if_waiting(struct pv_cli *cli, const struct typed *t, const json_t *peer)
{
    if (pv_json_is(peer, "state", "waiting"))
        offer_peer(cli, t, peer);
}

static void offer_waiting(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_PEERS, "peers", offer_if_waiting);
}

/* Whose words are in the history under a name that is another machine's now. */
static void offer_former(struct pv_cli *cli, const struct typed *t, const json_t *peer)
{
    uint8_t key[PV_KEY_LEN];
    const char *text = pv_json_text(peer, "former", "");
    if (pv_key_parse(text, key) < 0)
        return;
    offer(cli, PV_KEY_SHORT_STR(text),
          PV_STR("had the name %.63s before", pv_json_text(peer, "name", "?")));
}

static void offer_formers(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_PEERS, "peers", offer_former);
}

static void offer_tag(struct pv_cli *cli, const struct typed *t, const json_t *tag)
{
    char name[PV_NAME_BUF];
    const char *text = pv_json_text(tag, "tag", "");
    if (pv_name_parse(text, strlen(text), name) < 0)
        return;
    offer(cli, PV_STR("tag:%s", name), pv_json_text(tag, "peer", NULL));
}

/* Members, tags that some have, and everybody: those of whom a rule speaks. */
static void offer_who(struct pv_cli *cli, const struct typed *t)
{
    offer_machines(cli, t);
    offer(cli, "any", "every member");
    each(cli, t, PV_CTLAPI_RULES, "tags", offer_tag);
}

/* Members that have one, this machine too. */
static void offer_tagged_one(struct pv_cli *cli, const struct typed *t, const json_t *tag)
{
    char name[PV_NAME_BUF];
    const char *text = pv_json_text(tag, "peer", "");
    if (pv_name_parse(text, strlen(text), name) == PV_OK)
        offer(cli, name, pv_json_text(tag, "tag", NULL));
}

static void offer_tagged(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_RULES, "tags", offer_tagged_one);
}

/* Of the member before it, alone, as `untag` takes it. */
static void offer_own_tag(struct pv_cli *cli, const struct typed *t, const json_t *tag)
{
    char name[PV_NAME_BUF];
    const char *text = pv_json_text(tag, "tag", "");
    if (is_behind(t, pv_json_text(tag, "peer", "")) &&
        pv_name_parse(text, strlen(text), name) == PV_OK)
        offer(cli, name, NULL);
}

static void offer_own_tags(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_RULES, "tags", offer_own_tag);
}

/* "#crew", or "#crew~wTJh" where there is another one: a shell takes both as they are. */
static bool is_room(const char *text)
{
    char name[PV_NAME_BUF];
    size_t len = strcspn(text, "~");
    const char *id = text + len + (text[len] == '~');
    return text[0] == '#' && pv_name_parse(text + 1, len - 1, name) == PV_OK &&
           (text[len] == '\0' || id[0] != '\0') &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
               strlen(id);
}

static void offer_room(struct pv_cli *cli, const struct typed *t, const json_t *room)
{
    const char *text = pv_json_text(room, "room", "");
    /* Of one that this node left there are lines, and nobody to speak to. */
    const bool of_lines = strcmp(t->cmd->name, "history") == 0 ||
                          strcmp(t->cmd->name, "mute") == 0 || strcmp(t->cmd->name, "unmute") == 0;
    if (!is_room(text) || (pv_json_bool(room, "left") && !of_lines))
        return;
    offer(cli, text, PV_STR("room of %.0f", pv_json_real(room, "members", 0)));
}

static void offer_rooms(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_ROOM_LIST, "rooms", offer_room);
}

/* Only a file of this node's is withdrawn, and only an offer that waits is accepted. */
static void offer_file(struct pv_cli *cli, const struct typed *t, const json_t *file)
{
    bool in = pv_json_is(file, "direction", "in");
    const char *state = pv_json_text(file, "state", "");
    const bool open = strcmp(state, "offered") == 0 || strcmp(state, "accepted") == 0;
    if (in == is_behind(t, "withdraw") || (is_behind(t, "withdraw") && !open) ||
        (is_behind(t, "accept") && strcmp(state, "offered") != 0))
        return;
    offer(cli, PV_STR("%.0f", pv_json_real(file, "id", 0)),
          PV_STR("%s %.40s: %.40s, %.20s", in ? "from" : "to", pv_json_text(file, "peer", "?"),
                 pv_json_text(file, "name", "?"), pv_json_text(file, "state", "?")));
}

static void offer_files(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_FILES, "files", offer_file);
}

/* One that lets in somebody: nobody revokes another. */
static void offer_invite(struct pv_cli *cli, const struct typed *t, const json_t *invite)
{
    uint8_t key[PV_KEY_LEN];
    const char *id = pv_json_text(invite, "id", "");
    if (pv_key_parse(id, key) == PV_OK && strcmp(pv_cli_invite_state(invite), "open") == 0)
        offer(cli, id,
              PV_STR("used %.0f of %.0f", pv_json_real(invite, "used", 0),
                     pv_json_real(invite, "uses", 0)));
}

static void offer_invites(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_INVITE_LIST, "invites", offer_invite);
}

static void offer_rule(struct pv_cli *cli, const struct typed *t, const json_t *rule)
{
    offer(cli, PV_STR("%.0f", pv_json_real(rule, "number", 0)),
          PV_STR("%.8s %.30s %.30s %.30s", pv_json_text(rule, "verdict", "?"),
                 pv_json_text(rule, "from", "?"), pv_json_text(rule, "to", "?"),
                 pv_json_text(rule, "ports", "?")));
}

static void offer_rules(struct pv_cli *cli, const struct typed *t)
{
    each(cli, t, PV_CTLAPI_RULES, "rules", offer_rule);
}

static void offer_networks(struct pv_cli *cli)
{
    char names[PV_INSTANCE_MAX][PV_INSTANCE_NAME_BUF];
    size_t n = pv_instance_list(PV_INSTANCE_RUN, PV_INSTANCE_ETC, names);
    for (size_t i = 0; i < n; i++)
        offer(cli, names[i][0] == '\0' ? PV_INSTANCE_DEFAULT : names[i], NULL);
}

/* --- words of a usage ---------------------------------------------------------------------- */

/* A word in capitals asks for these; one that is not here is free. An ID is that of the command. Of
 * the rows of one word each that is for the command counts, or those for all where there is none.
 */
static const struct {
    const char *word, *command;
    void (*offer)(struct pv_cli *cli, const struct typed *t);
} KINDS[] = {
    {"PEER", NULL, offer_peers},
    {"PEER", "admit", offer_waiting},
    {"PEER", "admin", offer_admins},
    {"PEER", "untag", offer_tagged}, /* from those that have one */
    {"PEER", "send", offer_talkers},
    {"PEER", "chat", offer_talkers},
    {"PEER", "send-file", offer_talkers},
    {"PEER", "room", offer_talkers},
    {"PEER", "history", offer_peers},
    {"PEER", "history", offer_formers},
    {"OLD", NULL, offer_peers},
    {"NEW", NULL, offer_peers},
    {"FROM", "allow", offer_who},
    {"FROM", "deny", offer_who},
    {"FROM", "can", offer_machines},
    {"TO", NULL, offer_who},
    {"TO:PORT", NULL, offer_machines},
    {"PEER:PORT", NULL, offer_peers},
    {"ROOM", NULL, offer_rooms},
    {"#ROOM", NULL, offer_rooms},
    {"ID", "files", offer_files},
    {"ID", "invite", offer_invites},
    {"NUMBER", "rules", offer_rules},
    {"TAG", "untag", offer_own_tags},
};

/* command "": the rows for all. Is there one? */
static bool offer_kind(struct pv_cli *cli, const struct typed *t, const char *word,
                       const char *command)
{
    bool found = false;
    for (size_t i = 0; i < PV_ARRAY_LEN(KINDS); i++) {
        const char *only = KINDS[i].command == NULL ? "" : KINDS[i].command;
        if (strcmp(KINDS[i].word, word) != 0 || strcmp(only, command) != 0)
            continue;
        KINDS[i].offer(cli, t);
        found = true;
    }
    return found;
}

/* Calls fn with each alternative of a token, "PEER|#ROOM", until fn returns true. Did it? */
typedef bool alternative_fn(struct pv_cli *cli, const char *alternative, void *ctx);
static bool each_alternative(struct pv_cli *cli, const char *token, alternative_fn *fn, void *ctx)
{
    for (; *token != '\0'; token += *token == '|') {
        size_t len = strcspn(token, "|");
        if (fn(cli, PV_STR("%.*s", (int)len, token), ctx))
            return true;
        token += len;
    }
    return false;
}

static bool offer_alternative(struct pv_cli *cli, const char *one, void *ctx)
{
    struct typed *t = ctx;
    const char *word = PV_STR("|%s|", one);
    size_t len = strlen(t->offered);
    if (strstr(t->offered, word) != NULL)
        return false;
    snprintf(t->offered + len, sizeof(t->offered) - len, "%s", word);
    if (islower((unsigned char)one[0]))
        offer(cli, one, NULL);
    if (!offer_kind(cli, t, one, t->cmd->name))
        (void)offer_kind(cli, t, one, "");
    return false;
}

/* Small letters are a word of the command; anything may stand for capitals. */
static bool is_alternative(struct pv_cli *cli, const char *one, void *ctx)
{
    return islower((unsigned char)one[0]) ? strcmp(one, ctx) == 0 : one[0] != '-';
}

/* One way of using a command, without its flags. */
struct form {
    char text[USAGE_MAX]; /* tokens, each with a NUL behind */
    const char *token[TOKENS_MAX];
    bool optional[TOKENS_MAX];
    size_t n;
};

/* Leaves out flags and their values, "[-n N]" or "[--qr]", and brackets. */
static void take_tokens(const char *usage, struct form *f)
{
    char *save = NULL;
    bool is_value = false; /* of the flag before it */
    f->n = 0;
    snprintf(f->text, sizeof(f->text), "%s", usage);
    for (char *p = strtok_r(f->text, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save)) {
        bool optional = p[0] == '[', ends = p[strlen(p) - 1] == ']';
        p += strspn(p, "[");
        p[strcspn(p, "]")] = '\0';
        bool is_flag = p[0] == '-' && p[1] != '\0';
        if (!is_flag && (!is_value || optional) && f->n < TOKENS_MAX) {
            f->optional[f->n] = optional;
            f->token[f->n++] = p;
        }
        is_value = is_flag && !ends;
    }
}

/* Offers what may stand at the last word, when the words before it are those of the form. */
static void match(struct pv_cli *cli, struct typed *t, const struct form *f, size_t token, int word)
{
    if (token == f->n)
        return;
    if (word == t->n - 1)
        each_alternative(cli, f->token[token], offer_alternative, t);
    else if (each_alternative(cli, f->token[token], is_alternative, t->word[word]))
        match(cli, t, f, token + 1, word + 1);
    if (f->optional[token])
        match(cli, t, f, token + 1, word);
}

/* Where a form ends: at the next " | " outside of brackets, at the bracket that it is in, or at the
 * end. */
static const char *end_of_form(const char *usage)
{
    for (int depth = 0; *usage != '\0'; usage++) {
        if (depth == 0 && (*usage == ']' || strncmp(usage, " | ", 3) == 0))
            break;
        depth += (*usage == '[') - (*usage == ']');
    }
    return usage;
}

static void match_forms(struct pv_cli *cli, struct typed *t, const char *usage);

/* The same usage, once with each form of a group in it: "coordinators [add URL | token]". */
static void match_group(struct pv_cli *cli, struct typed *t, const char *usage, const char *group)
{
    const char *form = group + 1, *end = end_of_form(form), *close = end;
    while (*close == ' ')
        close = end_of_form(close + 3);
    for (;; form = end + 3, end = end_of_form(form)) {
        match_forms(cli, t,
                    PV_STR("%.*s%.*s%s", (int)(group - usage), usage, (int)(end - form), form,
                           *close == ']' ? close + 1 : close));
        if (*end != ' ')
            return;
    }
}

/* A usage has forms, "list | revoke ID", and so may a group in it have: each is looked at by
 * itself. */
static void match_forms(struct pv_cli *cli, struct typed *t, const char *usage)
{
    struct form f;
    const char *end = end_of_form(usage);
    if (*end == ' ') {
        match_forms(cli, t, PV_STR("%.*s", (int)(end - usage), usage));
        match_forms(cli, t, end + 3);
        return;
    }
    for (const char *group = strchr(usage, '['); group != NULL; group = strchr(group + 1, '[')) {
        if (*end_of_form(group + 1) == ' ') {
            match_group(cli, t, usage, group);
            return;
        }
    }
    take_tokens(usage, &f);
    match(cli, t, &f, 0, 0);
}

/* --- the line ------------------------------------------------------------------------------ */

/* The flag that a word is, in a table; NULL: none. */
static const struct pv_option *find_flag(const struct pv_option *o, const char *word)
{
    for (; o->name != NULL; o++) {
        if (word[1] == '-' ? strcmp(o->name, word + 2) == 0
                           : o->letter == word[1] && word[1] != '\0' && word[2] == '\0')
            return o;
    }
    return NULL;
}

static const struct pv_option *flag_of(const struct typed *t, const char *word)
{
    const struct pv_option *o = t->cmd == NULL ? NULL : find_flag(t->cmd->options, word);
    return o != NULL ? o : find_flag(pv_global_options, word);
}

/* -n and -S say whose names are meant. */
static void use_flag(struct pv_cli *cli, const struct pv_option *o, const char *value)
{
    struct pv_instance node;
    if ((strcmp(o->name, "net") == 0 && pv_instance_find(value, &node) == PV_OK) ||
        (strcmp(o->name, "socket") == 0 && pv_instance_behind(value, &node) == PV_OK))
        cli->node = node;
}

/* `help` is followed by a command's name, and by nothing behind that. */
static bool take_command(struct typed *t, const char *word)
{
    if (t->cmd != NULL || t->help)
        return false;
    t->help = strcmp(word, "help") == 0;
    t->cmd = pv_command_find(word);
    return t->help || t->cmd != NULL;
}

/* False: there is no such command, or the line is longer than any that makes sense. */
static bool read_line(struct pv_cli *cli, char *const *words, int n, struct typed *t)
{
    for (int i = 0; i < n - 1; i++) {
        const struct pv_option *o = words[i][0] == '-' ? flag_of(t, words[i]) : NULL;
        if (o != NULL && o->has_value && i == n - 2)
            t->flag = o->name;
        else if (o != NULL && o->has_value)
            use_flag(cli, o, words[++i]);
        else if (words[i][0] != '-' && t->cmd != NULL && t->n < TOKENS_MAX - 1)
            t->word[t->n++] = words[i];
        else if (words[i][0] != '-' && !take_command(t, words[i]))
            return false;
    }
    t->word[t->n++] = words[n - 1];
    return true;
}

static void offer_flags(struct pv_cli *cli, const struct pv_option *o, const char *text)
{
    char said[SAID_MAX];
    for (; o->name != NULL; o++) {
        const char *word = PV_STR("--%s", o->name);
        offer(cli, word, pv_help_of_flag(text, o->name, said, sizeof(said)));
    }
}

static void offer_commands(struct pv_cli *cli)
{
    const struct pv_command *c;
    for (size_t i = 0; (c = pv_command_at(pv_commands, i)) != NULL; i++)
        offer(cli, c->name, c->summary);
}

static void offer_value(struct pv_cli *cli, const struct typed *t, const char *flag)
{
    if (strcmp(flag, "net") == 0)
        offer_networks(cli);
    else if (strcmp(flag, "peer") == 0 || strcmp(flag, "by") == 0)
        offer_peers(cli, t);
    else if (strcmp(flag, "before") == 0)
        offer_rules(cli, t);
}

void pv_complete(struct pv_cli *cli, char *const *words, int n)
{
    struct typed t = {.cmd = NULL};
    if (n == 0 || !read_line(cli, words, n, &t))
        return;
    if (t.flag != NULL) {
        offer_value(cli, &t, t.flag);
    } else if (words[n - 1][0] == '-') {
        if (t.cmd != NULL)
            offer_flags(cli, t.cmd->options, t.cmd->details);
        offer_flags(cli, pv_global_options, pv_help_flags);
    } else if (t.cmd == NULL) {
        offer_commands(cli);
    } else {
        match_forms(cli, &t, t.cmd->args);
    }
}
