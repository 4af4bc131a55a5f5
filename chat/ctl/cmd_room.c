/* SPDX-License-Identifier: MIT */
/* Rooms: create, invite, leave, list, members. The talk in them is cmd_chat.c's. */
#include <string.h>

#include "chat/ctl/chatcmds.h"

/* The last column is empty for a room that this node is in. */
static void room_row(struct pv_table *t, const json_t *room)
{
    const char *members = PV_STR("%.0f", pv_json_real(room, "members", 0));
    pv_table_cell(t, PV_BOLD, pv_json_text(room, "room", "?"));
    pv_table_cell(t, PV_PLAIN, members);
    pv_table_cell(t, PV_PLAIN, pv_json_text(room, "creator", "?"));
    pv_table_cell(t, PV_DIM,
                  pv_json_bool(room, "left")      ? "left"
                  : pv_json_bool(room, "invited") ? "invited"
                                                  : "");
}

static int print_rooms(struct pv_cli *cli, const json_t *body)
{
    static const char *const head[] = {"ROOM", "=MEMBERS", "-MADE BY", ""};
    const json_t *list = json_object_get(body, "rooms");
    if (json_array_size(list) > 0)
        return pv_cli_print_list(cli, head, PV_ARRAY_LEN(head), list, room_row);
    pv_cli_note(cli, "this node is in no room: room create NAME makes one");
    return 0;
}

/* Online is the daemon's word on reach, as everywhere: by presence or by a path. */
static int print_members(struct pv_cli *cli, const json_t *body)
{
    const json_t *list = json_object_get(body, "members");
    struct pv_table t;
    pv_table_begin(&t, 4);
    PV_EACH_JSON(list, m) {
        const char *denied = pv_json_text(m, "denied", NULL);
        bool online = pv_json_bool(m, "online");
        pv_table_cell(&t, PV_BOLD, pv_json_text(m, "name", "?"));
        pv_table_cell(&t, online ? PV_GREEN : PV_DIM, online ? "online" : "offline");
        pv_table_cell(&t, PV_DIM, pv_json_bool(m, "creator") ? "made the room" : "");
        pv_table_cell(&t, PV_YELLOW,
                      denied == NULL ? "" : PV_STR("chat to it is denied by %s", denied));
    }
    return pv_cli_print_table(cli, &t);
}

static int print_created(struct pv_cli *cli, const json_t *body)
{
    const char *room = pv_json_text(body, "room", "#?");
    /* Without its #, which a shell takes for a comment unless it is quoted. */
    if (!cli->quiet)
        pv_cli_say(cli, "%s is open: `p2pvpnctl room invite %s PEER`", room, room + 1);
    return 0;
}

static int print_invited(struct pv_cli *cli, const json_t *body)
{
    if (!cli->quiet)
        fprintf(cli->out, "%s is invited to %s\n", cli->peer, pv_json_text(body, "room", "?"));
    return 0;
}

static int print_accepted(struct pv_cli *cli, const json_t *body)
{
    if (!cli->quiet)
        fprintf(cli->out, "in %s\n", pv_json_text(body, "room", "?"));
    return 0;
}

static int print_left(struct pv_cli *cli, const json_t *body)
{
    if (!cli->quiet)
        fprintf(cli->out, "left %s\n", pv_json_text(body, "room", "?"));
    return 0;
}

static int fill_room(struct pv_cli *cli, struct pv_ctlapi_request *req)
{
    char **word = cli->args.word;
    size_t len = strlen(word[1]);
    if (len == 0 || len >= sizeof(req->u.room.name) || strpbrk(word[1], " \t\n") != NULL)
        return pv_cli_usage(cli,
                            "\"%.60s\" is not a room: room names are one word, 1 to 32 of a-z "
                            "0-9 and -",
                            word[1]);
    memcpy(req->u.room.name, word[1], len + 1);
    return cli->args.n_words == 3 ? pv_cli_peer(cli, req, word[2]) : 0;
}

static const struct pv_verb room_verbs[] = {
    {"create", 2, 2, PV_CTLAPI_ROOM_CREATE, fill_room, .print = print_created},
    {"invite", 3, 3, PV_CTLAPI_ROOM_INVITE, fill_room, .print = print_invited},
    {"accept", 2, 2, PV_CTLAPI_ROOM_ACCEPT, fill_room, .print = print_accepted},
    {"leave", 2, 2, PV_CTLAPI_ROOM_LEAVE, fill_room, .print = print_left},
    {"list", 1, 1, PV_CTLAPI_ROOM_LIST, .print = print_rooms},
    {"members", 2, 2, PV_CTLAPI_ROOM_MEMBERS, fill_room, .print = print_members},
    {.word = NULL},
};

const struct pv_command pv_cmds_room[] = {
    {
        .name = "room",
        .args = "create NAME | invite ROOM PEER | accept ROOM | leave ROOM | list | members ROOM",
        .summary = "rooms: group conversations by invitation",
        .details = "The # of a room is optional here. In a shell, quote it.\n"
                   "  create NAME       make a room; this node is its first member\n"
                   "  invite ROOM PEER  from now on PEER receives the room's messages\n"
                   "  accept ROOM       accept an invitation; sending to the room, or inviting to\n"
                   "                    it, accepts it too\n"
                   "  leave ROOM        leave the room, or decline; the history stays\n"
                   "  list              list the rooms of this node\n"
                   "  members ROOM      list the members of the room\n"
                   "Then: send '#ROOM' TEXT, chat '#ROOM', history '#ROOM'.\n",
        .example = "p2pvpnctl room create crew",
        .words = {1, 3},
        .verbs = room_verbs,
        .there = "there is create ROOM, invite ROOM PEER, accept ROOM, leave ROOM, "
                 "list and members ROOM",
    },
    {.name = NULL},
};
