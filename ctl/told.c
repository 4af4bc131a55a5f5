/* SPDX-License-Identifier: MIT */
/* told.c - who knows of what was done. */
#include "ctl/told.h"

#include <string.h>

#include "base/text.h"
#include "proto/local/ctlapi.h"
#include "sys/term/qr.h"

/* "2 of 3 online members have it; the rest will get it": behind what was done, unless everybody has
 * it. Members that lack it, and the coordinator, are told again: that is no failure. */
static void told_words(const json_t *body, char *buf, size_t cap)
{
    const char *word = pv_json_text(body, "coordinator", "stored");
    double online = pv_json_real(body, "online", 0), know = pv_json_real(body, "know", 0);
    struct pv_text text = pv_text_in(buf, cap);
    const bool stored = strcmp(word, "stored") == 0;
    if (online > 0 && know >= online && !stored)
        pv_text_add(&text,
                    online > 1 ? "all %.0f online members have it; "
                               : "the %.0f online member has it; ",
                    online);
    else if (know < online)
        pv_text_add(&text, "%.0f of %.0f online members have it; ", know, online);
    if (stored)
        pv_text_add(&text, "%s", know < online ? "the rest will get it" : "");
    else if (strcmp(word, "away") == 0)
        pv_text_add(&text, "the coordinator is away and will get it");
    else if (strcmp(word, "silent") == 0)
        pv_text_add(&text, "the coordinator has not answered and is told again");
    else
        pv_text_add(&text, "the coordinator refused it and is told again: %s",
                    PV_REASON_STR(((struct pv_reason){pv_ctlapi_error_said(word),
                                                      pv_ctlapi_error_todo(word)})));
}

void pv_cli_note_told(struct pv_cli *cli, const char *done, const json_t *body)
{
    char told[PV_SHOW_SENT_BUF];
    told_words(body, told, sizeof(told));
    pv_cli_note(
        cli, "%s%s%s%s%s", done,
        pv_json_bool(body, "pending") ? "; it takes effect when the coordinator has stored it" : "",
        told[0] == '\0' ? "" : " (", told, told[0] == '\0' ? "" : ")");
    if (cli->not_on_disk)
        pv_cli_note(
            cli,
            "the change is not on this machine's disk yet: %.200s. p2pvpnd tries again every "
            "30 s; a restart of p2pvpnd before that loses the change.",
            pv_json_text(body, "disk", "unknown"));
}

const char *pv_cli_exit_words(const json_t *exit)
{
    return pv_json_bool(exit, "down")      ? ", not used while this machine is down"
           : pv_json_bool(exit, "refused") ? ", which this machine cannot use"
           : pv_json_bool(exit, "dropped") || pv_json_bool(exit, "beside")
               ? ", which packets of this machine do not go by"
           : !pv_json_bool(exit, "works") ? ", which does not answer"
           : pv_json_bool(exit, "used")   ? ""
                                          : ", in place, not used by a packet yet";
}

bool pv_cli_is_read(const struct pv_cli *cli)
{
    return !cli->quiet && cli->screen.width > 0;
}

int pv_cli_print_token(struct pv_cli *cli, const json_t *body)
{
    const char *token = pv_json_text(body, "token", "");
    if (pv_cli_is_read(cli))
        fprintf(cli->out, "    sudo p2pvpnctl join %s\n", token);
    else
        fprintf(cli->out, "%s\n", token);
    return 0;
}

bool pv_cli_print_qr(struct pv_cli *cli, const char *text, unsigned columns, FILE *out)
{
    bool utf8 = pv_term_may_be_utf8(), built = pv_qr_is_there();
    if (utf8 && built && pv_qr_print(text, columns, out))
        return true;
    if (!built)
        pv_cli_note(cli, "no QR code: libqrencode.so.4 is not installed, or this p2pvpnctl is "
                         "static: install libqrencode4");
    else if (!utf8)
        pv_cli_note(cli, "no QR code: it needs a UTF-8 locale: set LC_ALL=C.UTF-8");
    else
        pv_cli_note(cli, "no QR code: it needs %u columns and %u lines, and there are %u columns",
                    pv_qr_size(strlen(text)).columns, pv_qr_size(strlen(text)).lines, columns);
    return false;
}

static bool has_option(const struct pv_command *c, const char *name)
{
    const struct pv_option *o = c->options;
    while (o->name != NULL && strcmp(o->name, name) != 0)
        o++;
    return o->name != NULL;
}

/* With uses left a machine that was removed, or may not do something any more, could come back with
 * the same token, under a new key: the user has to know. */
static void note_invite(struct pv_cli *cli, const json_t *body)
{
    const json_t *invite = json_object_get(body, "invite");
    double left = pv_json_real(invite, "uses_left", 0);
    if (!json_is_object(invite))
        return;
    if (pv_json_bool(invite, "revoked"))
        pv_cli_note(cli,
                    "revoked its invite too, which had %.0f use%s left; members that joined with "
                    "it stay%s",
                    left, left == 1 ? "" : "s",
                    has_option(cli->cmd, "keep-invite") ? " (--keep-invite keeps it)" : "");
    else
        pv_cli_note(
            cli,
            "its invite still works for %.0f machine%s. To end that: `sudo p2pvpnctl invite "
            "revoke %s`",
            left, left == 1 ? "" : "s", pv_json_text(invite, "id", "ID"));
}

/* Their files name a machine that does not know them any more. */
static void note_phones(struct pv_cli *cli, const json_t *body)
{
    const char *phones = pv_json_text(body, "phones", NULL);
    if (phones != NULL)
        pv_cli_note(
            cli,
            "its phones lose their connection: %s. To connect one again, type on another admin's "
            "machine: `sudo p2pvpnctl remove NAME`, then `sudo p2pvpnctl export NAME`",
            phones);
}

/* Their tokens are in the hands of somebody who is no admin any more, so it is told either way. */
void pv_cli_note_invites(struct pv_cli *cli, const json_t *body, const char *keep)
{
    const json_t *invites = json_object_get(body, "invites");
    double open = pv_json_real(invites, "open", 0);
    if (open > 0 && pv_json_bool(invites, "revoked"))
        pv_cli_note(cli,
                    "revoked %.0f open invite%s that it made or that make admins; members that "
                    "joined with one stay%s%s%s",
                    open, open == 1 ? "" : "s", keep == NULL ? "" : " (", keep == NULL ? "" : keep,
                    keep == NULL ? "" : " keeps them)");
    else if (open > 0)
        pv_cli_note(cli,
                    "%.0f invite%s that it made or that make admins still work. To see them: "
                    "`p2pvpnctl invite list`; to end one: `sudo p2pvpnctl invite revoke ID`",
                    open, open == 1 ? "" : "s");
}

/* The coordinator is told later by members that know: the node itself has forgotten its network. */
void pv_cli_note_left(struct pv_cli *cli, bool forget, const json_t *body)
{
    const char *coordinator = pv_json_text(body, "coordinator", NULL);
    const bool known = pv_json_real(body, "know", 0) > 0;
    if (pv_json_bool(body, "silent")) {
        pv_cli_note(cli, "deleted the network and the keys of this node, and told nobody: the "
                         "other machine with these keys stays a member. To end that one, too, an "
                         "admin's `sudo p2pvpnctl remove NAME`; to join here again, a new token");
        return;
    }
    if (coordinator == NULL || strcmp(coordinator, "stored") == 0 || known)
        pv_cli_note_told(cli, "left the network", body);
    else
        pv_cli_note(cli, "left the network; no member knows yet. If this node stays in their "
                         "lists, an admin removes it: `sudo p2pvpnctl remove NAME`");
    if (forget)
        pv_cli_note(cli, "deleted the keys of this node");
    else if (pv_json_bool(body, "removed"))
        pv_cli_note(cli,
                    "an admin had removed this node: `sudo p2pvpnctl leave --forget` makes a new "
                    "identity, which can join with a new token");
    else if (pv_json_bool(body, "orphaned"))
        pv_cli_note(cli, "the network has no admin left: nobody can invite, unless a member "
                         "imports its root key (`p2pvpnctl root -h`)");
    else
        pv_cli_note(cli, "to come back, join with a new token; the old invite works too until it "
                         "expires or is revoked");
}

/* The deed is done whatever the disk and the coordinator say; scripts see by the code that one of
 * them has not stored it yet. */
int pv_cli_ask_and_tell(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *done,
                        pv_cli_print_fn *more)
{
    json_t *body = NULL;
    int code = pv_cli_ask(cli, req, &body);
    if (code == 0 && cli->json)
        pv_cli_print_json(cli, body);
    else if (code == 0) {
        if (done != NULL)
            pv_cli_note_told(cli, done, body);
        note_invite(cli, body);
        note_phones(cli, body);
        code = more == NULL ? 0 : more(cli, body);
    }
    json_decref(body);
    bool late = cli->cached;
    cli->cached = false;
    if (code == 0 && cli->not_on_disk)
        return PV_CTLAPI_FAILED;
    return code == 0 && late ? PV_CTLAPI_UNREACHABLE : code;
}

int pv_cli_ask_and_tell_of(struct pv_cli *cli, struct pv_ctlapi_request *req,
                           const struct pv_told_of *of, pv_cli_print_fn *more)
{
    int code = pv_cli_peer(cli, req, of->word);
    return code != 0 ? code
                     : pv_cli_ask_and_tell(
                           cli, req,
                           PV_STR("%s%.*s%s", of->before, PV_NAME_MAX, of->word, of->behind), more);
}
