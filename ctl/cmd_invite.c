/* SPDX-License-Identifier: MIT */
/* Invites: making one, the list of them, revoking one. */
#include <string.h>

#include "base/text.h"
#include "ctl/commands.h"
#include "ctl/told.h"
#include "sys/proc/clock.h"

enum {
    INVITE_USES,
    INVITE_EXPIRES,
    INVITE_ADMIN,
    INVITE_MEMBER_FOR,
    INVITE_APPROVE,
    INVITE_TAG,
    INVITE_QR,
    INVITE_EPHEMERAL,
};

enum {
    QR_COLUMNS = 80,  /* where there is no screen */
    CAME = 400,       /* bytes of a state, and of the names of those that came, with the NUL */
    SHOWN_OF_ID = 12, /* bytes of an id that tell it from the others; --long shows all */
};

const char *pv_cli_invite_state(const json_t *invite)
{
    if (pv_json_bool(invite, "revoked"))
        return "revoked";
    /* The order of the tests is the order of precedence: a revoked invite stays revoked after
     * its end. */
    if (pv_json_real(invite, "used", 0) >= pv_json_real(invite, "uses", 0))
        return "used up";
    return pv_json_bool(invite, "expired") ? "expired" : "open";
}

/* "open; used by laptop, pi" */
static void add_came(struct pv_text *text, const json_t *members)
{
    PV_EACH_JSON(members, name) {
        if (text->len + PV_SHOW_BUF > CAME) {
            pv_text_add(text, " and %zu more", json_array_size(members) - name_i);
            return;
        }
        pv_text_add(text, "%s%.90s", name_i == 0 ? "; used by " : ", ", pv_json_string(name));
    }
}

static void invite_row(struct pv_table *t, const json_t *invite, double now, bool all)
{
    char more[CAME];
    struct pv_text text = pv_text_in(more, sizeof(more));
    double member_for = pv_json_real(invite, "member_for", 0);
    double end = pv_json_real(invite, "not_after", 0);
    const char *state = pv_cli_invite_state(invite);
    pv_table_cellf(t, PV_PLAIN, "%.*s", all ? PV_NAME_MAX : SHOWN_OF_ID,
                   pv_json_text(invite, "id", "?"));
    pv_table_cellf(t, PV_PLAIN, "%.0f of %.0f", pv_json_real(invite, "used", 0),
                   pv_json_real(invite, "uses", 0));
    pv_table_cell(t, PV_PLAIN, end > 0 ? PV_TIME_STR(end, now) : "never");
    pv_text_add(&text, "%s%s", state, pv_json_bool(invite, "admin") ? "; makes an admin" : "");
    if (member_for > 0 && member_for < PV_CTLAPI_MIN_MEMBER_S)
        pv_text_add(&text, "; ephemeral");
    else if (member_for > 0)
        pv_text_add(&text, "; member for %s", PV_DURATION_STR(member_for));
    if (pv_json_bool(invite, "approve"))
        pv_text_add(&text, "; needs approval");
    PV_EACH_JSON(json_object_get(invite, "tags"), tag)
        pv_text_add(&text, "; tag:%s", pv_json_string(tag));
    add_came(&text, json_object_get(invite, "members"));
    pv_table_cell(t, strcmp(state, "open") == 0 ? PV_GREEN : PV_DIM, more);
}

static int print_invites(struct pv_cli *cli, const json_t *body)
{
    static const char *const head[] = {"=INVITE", "-USED", "=EXPIRES", "STATE"};
    const json_t *list = json_object_get(body, "invites");
    double now = (double)pv_clock_wall_us() / 1e6;
    struct pv_table t;
    if (json_array_size(list) == 0) {
        pv_cli_note(cli, "No invites. To make one: `sudo p2pvpnctl invite`");
        return 0;
    }
    pv_table_begin_headed(&t, head, PV_ARRAY_LEN(head));
    PV_EACH_JSON(list, invite)
        invite_row(&t, invite, now, cli->all);
    return pv_cli_print_table(cli, &t);
}

/* --- making one ---------------------------------------------------------------------------- */

static int fill_invite(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    static const struct pv_cli_span expires = {"--expires",
                                               "give a time up to 3650d, such as 90m, 24h or 7d", 1,
                                               PV_CTLAPI_MAX_EXPIRES_S},
                                    member_for = {"--member-for",
                                                  "give a time from 1h to 520w, such as 90d",
                                                  PV_CTLAPI_MIN_MEMBER_S, PV_CTLAPI_MAX_MEMBER_S};
    const char *const *value = cli->args.value;
    uint64_t n = 1;
    int code = 0;
    if (value[INVITE_USES] != NULL) {
        code = pv_cli_number(cli, "--uses", value[INVITE_USES], 1, PV_CTLAPI_MAX_USES, &n);
        req->u.terms.uses = (uint32_t)n;
    }
    /* An invite that has expired when it is made is a typing error. */
    if (code == 0 && value[INVITE_EXPIRES] != NULL)
        code = pv_cli_duration(cli, &expires, value[INVITE_EXPIRES], &req->u.terms.expires_s);
    if (code == 0 && value[INVITE_MEMBER_FOR] != NULL)
        code =
            pv_cli_duration(cli, &member_for, value[INVITE_MEMBER_FOR], &req->u.terms.lifetime_s);
    if (code != 0)
        return code;
    req->u.terms.ephemeral = value[INVITE_EPHEMERAL] != NULL;
    if (req->u.terms.ephemeral && req->u.terms.lifetime_s > 0)
        return pv_cli_usage(cli, "--ephemeral says how long its machine is a member: leave out "
                                 "--member-for");
    /* The daemon refuses it, and says what to do instead. */
    req->u.terms.admin = value[INVITE_ADMIN] != NULL;
    req->u.terms.approve = value[INVITE_APPROVE] != NULL;
    return value[INVITE_TAG] == NULL ? 0 : pv_cli_tag(cli, value[INVITE_TAG], req->u.terms.tag);
}

/* Where the token goes, how often it works, and for how long. */
static void say_use(struct pv_cli *cli)
{
    const char *const *value = cli->args.value;
    const char *uses = value[INVITE_USES], *expires = value[INVITE_EXPIRES];
    pv_cli_say(cli, "On the new machine install p2pvpn, then paste (works %s%s, for %s%s)",
               uses == NULL ? "once" : uses, uses == NULL ? "" : " times",
               expires == NULL ? "24 hours" : expires,
               expires != NULL && expires[strspn(expires, "0123456789")] == '\0' ? " s" : "");
}

/* The warning, and the code for another machine's camera, go to standard error: a script reads the
 * token from standard output. */
static int print_invite(struct pv_cli *cli, const json_t *body)
{
    if (cli->args.value[INVITE_ADMIN] != NULL)
        pv_cli_note(cli, "A machine that joins with this token becomes an admin. Keep it as secret "
                         "as a password.");
    if (pv_cli_is_read(cli))
        say_use(cli);
    if (cli->args.value[INVITE_QR] != NULL)
        pv_cli_print_qr(cli, pv_json_text(body, "token", ""),
                        cli->screen.width > 0 ? (unsigned)cli->screen.width : QR_COLUMNS, cli->err);
    const int code = pv_cli_print_token(cli, body);
    if (pv_cli_is_read(cli) && cli->args.value[INVITE_APPROVE] != NULL)
        pv_cli_say(cli, "Then admit the new machine here: `sudo p2pvpnctl admit NAME`");
    return code;
}

/* --- revoking one -------------------------------------------------------------------------- */

/* The whole id of the one invite that begins so, as the list shows it. 0 or an exit code. */
static int complete_id(struct pv_cli *cli, const char *begin, char *id, size_t cap)
{
    json_t *body = NULL;
    size_t found = 0, len = strlen(begin);
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_INVITE_LIST);
    int code = pv_cli_ask(cli, &req, &body);
    if (code != 0)
        return code;
    PV_EACH_JSON(json_object_get(body, "invites"), invite) {
        const char *whole = pv_json_text(invite, "id", "");
        if (strncmp(whole, begin, len) == 0 && strlen(whole) < cap && found++ == 0)
            memcpy(id, whole, strlen(whole) + 1);
    }
    json_decref(body);
    if (found == 1)
        return 0;
    return pv_cli_fail(cli, PV_CTLAPI_FAILED,
                       found == 0
                           ? "no invite begins with %.60s. To see them: `p2pvpnctl invite list`"
                           : "several invites begin with %.60s: give more of it",
                       begin);
}

static int fill_revoke(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    uint8_t whole[PV_KEY_LEN];
    const char *word = cli->args.word[1];
    if (word[0] == '\0')
        return pv_cli_usage(cli, "\"\" is not an invite: see `p2pvpnctl invite list`");
    if (pv_key_parse(word, whole) < 0)
        return complete_id(cli, word, req->u.invite.id, sizeof(req->u.invite.id));
    snprintf(req->u.invite.id, sizeof(req->u.invite.id), "%s", word);
    return 0;
}

static int revoke(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    return pv_cli_ask_and_tell(cli, req, "revoked the invite; machines that joined with it stay",
                               NULL);
}

static const struct pv_verb invite_verbs[] = {
    {"", 0, 0, PV_CTLAPI_INVITE, fill_invite, .print = print_invite, .options = true},
    {"list", 1, 1, PV_CTLAPI_INVITE_LIST, .print = print_invites},
    {"revoke", 2, 2, PV_CTLAPI_INVITE_REVOKE, fill_revoke, .ask = revoke},
    {.word = NULL},
};

const struct pv_command pv_cmds_invite[] = {
    {
        .name = "invite",
        .args = "[--uses N] [--expires TIME] [--admin | --member-for TIME | --ephemeral] "
                "[--approve] [--tag TAG] "
                "[--qr] | list | revoke ID",
        .summary = "print the line that adds another machine",
        .details =
            "  --uses N        how many machines can join with it (1)\n"
            "  --expires TIME  how long the invite works: 90m, 24h, 7d (24h)\n"
            "  --admin         the machine becomes an admin; only the machine with the root\n"
            "                  key can make such an invite\n"
            "  --member-for TIME  the membership ends after TIME without use: 1h to 520w\n"
            "  --ephemeral     the machine leaves when its p2pvpnd ends, or after 10 minutes\n"
            "                  of silence\n"
            "  --approve       the machine waits until an admin admits it\n"
            "  --tag TAG       the machine joins with this tag\n"
            "  --qr            also print the token as a QR code, on standard error\n"
            "  list            list the invites made so far\n"
            "  revoke ID       no further machine can join with the invite; the start of ID\n"
            "                  is enough\n",
        .example = "sudo p2pvpnctl invite --uses 5 --expires 7d",
        .options = {{"uses", 0, true},
                    {"expires", 0, true},
                    {"admin", 0, false},
                    {"member-for", 0, true},
                    {"approve", 0, false},
                    {"tag", 0, PV_OPTION_ONCE},
                    {"qr", 0, false},
                    {"ephemeral", 0, false}},
        .words = {0, 2},
        .verbs = invite_verbs,
        .there = "there is invite, invite list and invite revoke ID",
        .misplaced = "the options of invite are for new invites",
    },
    {.name = NULL},
};
