/* SPDX-License-Identifier: MIT */
/* told.c - who knows of what was done. */
#include "ctl/told.h"

#include <string.h>

#include "base/text.h"
#include "proto/local/ctlapi.h"
#include "sys/term/qr.h"

/* "3 of 4 members online know so far; the coordinator has not stored it yet: it said limit". Those
 * that lack it are told again: fewer than all is no failure. */
static void note_told(struct pv_cli *cli, const char *done, const json_t *body)
{
    const char *word = pv_json_text(body, "coordinator", "stored");
    char members[PV_SHOW_BUF] = "no member is online";
    double online = pv_json_real(body, "online", 0), know = pv_json_real(body, "know", 0);
    if (pv_json_bool(body, "pending"))
        done = "not yet, only when the coordinator has stored it";
    if (online > 0 && know >= online)
        snprintf(members, sizeof(members),
                 online > 1 ? "all %.0f members online know" : "the one member online knows",
                 online);
    else if (online > 0)
        snprintf(members, sizeof(members), "%.0f of %.0f members online know so far", know, online);
    if (strcmp(word, "stored") == 0)
        pv_cli_note(cli, "%s: %s, the coordinator has stored it%s", done, members,
                    know < online ? " and tells the others" : "");
    else if (strcmp(word, "away") == 0)
        pv_cli_note(cli, "%s: %s; the coordinator is away, and is told when it is back", done,
                    members);
    else if (strcmp(word, "silent") == 0)
        pv_cli_note(cli, "%s: %s; the coordinator does not answer, and is told again", done,
                    members);
    else
        pv_cli_note(cli,
                    "%s: %s; the coordinator has not stored it yet: it said %s, and is told again",
                    done, members, pv_ctlapi_error_said(word));
    if (cli->not_on_disk)
        pv_cli_note(cli,
                    "this machine's disk does not have it yet (%.200s): p2pvpnd tries again every "
                    "30 s, but when it is restarted before it has to hear of it from others",
                    pv_json_text(body, "disk", "unknown"));
}

int pv_cli_print_token(struct pv_cli *cli, const json_t *body)
{
    fprintf(cli->out, "%s\n", pv_json_text(body, "token", ""));
    return 0;
}

bool pv_cli_print_qr(struct pv_cli *cli, const char *text, unsigned columns, FILE *out)
{
    bool utf8 = pv_term_is_utf8(), built = pv_qr_is_there();
    if (utf8 && built && pv_qr_print(text, columns, out))
        return true;
    if (!built)
        pv_cli_note(cli, "no QR code: this p2pvpnctl was built without libqrencode");
    else if (!utf8)
        pv_cli_note(cli, "no QR code: it needs a UTF-8 locale, such as LC_ALL=C.UTF-8");
    else
        pv_cli_note(cli, "no QR code: it is wider than %u columns: make the window wider", columns);
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
                    "the invite it came by is revoked too, with %.0f use%s left: members that "
                    "joined by it stay%s",
                    left, left == 1 ? "" : "s",
                    has_option(cli->cmd, "keep-invite") ? " (--keep-invite leaves it)" : "");
    else
        pv_cli_note(cli,
                    "the invite it came by still lets in %.0f: `p2pvpnctl invite revoke %s` "
                    "ends it",
                    left, pv_json_text(invite, "id", "ID"));
}

/* Their files name a machine that does not know them any more. */
static void note_guests(struct pv_cli *cli, const json_t *body)
{
    const char *guests = pv_json_text(body, "guests", NULL);
    if (guests != NULL)
        pv_cli_note(cli,
                    "the guests that it carried are carried by nobody now (%s): an admin's "
                    "`p2pvpnctl remove NAME`, and another node's `p2pvpnctl export NAME` after "
                    "that, brings one back",
                    guests);
}

/* Their tokens are in the hands of somebody who is no admin any more, so it is told either way. */
void pv_cli_note_invites(struct pv_cli *cli, const json_t *body, const char *keep)
{
    const json_t *invites = json_object_get(body, "invites");
    double open = pv_json_real(invites, "open", 0);
    if (open > 0 && pv_json_bool(invites, "revoked"))
        pv_cli_note(cli,
                    "open invites of it, and for admins, are revoked too (%.0f): members that "
                    "joined by them stay%s%s%s",
                    open, keep == NULL ? "" : " (", keep == NULL ? "" : keep,
                    keep == NULL ? "" : " leaves them)");
    else if (open > 0)
        pv_cli_note(cli,
                    "invites of it, or for admins, still let in (%.0f): `p2pvpnctl invite list` "
                    "shows them, `p2pvpnctl invite revoke ID` ends one",
                    open);
}

/* The coordinator is told later by members that know: the node itself has forgotten its network. */
void pv_cli_note_left(struct pv_cli *cli, bool forget, const json_t *body)
{
    const char *coordinator = pv_json_text(body, "coordinator", NULL);
    const char *done =
        "left the network; a new token brings this node back, and so does one it came by, "
        "until that expires or an admin revokes it (if that was done while this node was a "
        "member, only an admin's `p2pvpnctl remove` keeps it out)";
    if (forget)
        done = "left the network; the keys of this node are deleted";
    else if (pv_json_bool(body, "removed"))
        done =
            "left the network that had removed this node: `p2pvpnctl leave --forget` makes a new "
            "identity, which can join with a new token";
    else if (pv_json_bool(body, "orphaned"))
        done = "left the network, which has no admin any more: nobody can invite anybody, unless a "
               "member imports its root key (`p2pvpnctl root -h`)";
    if (coordinator == NULL) /* a node that was no member any more has nobody to tell */
        pv_cli_note(cli, "%s", done);
    else if (strcmp(coordinator, "stored") != 0 && pv_json_real(body, "know", 0) == 0)
        pv_cli_note(cli,
                    pv_json_real(body, "online", 0) == 0
                        ? "%s; nobody could be told: it stays in the lists of the others until an "
                          "admin's `p2pvpnctl remove`"
                        : "%s; the members online were told, and none has said yet that it knows: "
                          "if it stays in their lists, an admin's `p2pvpnctl remove` takes it out",
                    done);
    else
        note_told(cli, done, body);
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
            note_told(cli, done, body);
        note_invite(cli, body);
        note_guests(cli, body);
        code = more == NULL ? 0 : more(cli, body);
    }
    json_decref(body);
    bool late = cli->cached;
    cli->cached = false;
    if (code == 0 && cli->not_on_disk)
        return PV_CTLAPI_FAILED;
    return code == 0 && late ? PV_CTLAPI_UNREACHABLE : code;
}

int pv_cli_ask_and_tell_done(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(cli, req, "done", NULL);
}

int pv_cli_ask_and_tell_of(struct pv_cli *cli, struct pv_ctlapi_request *req, const char *word,
                           const char *now, pv_cli_print_fn *more)
{
    int code = pv_cli_peer(cli, req, word);
    return code != 0
               ? code
               : pv_cli_ask_and_tell(cli, req, PV_STR("%.*s %s", PV_NAME_MAX, word, now), more);
}
