/* SPDX-License-Identifier: MIT */
/* The parts that all ways to chat share: printing a message, asking for a name, reading lines. */
#include "chat/ctl/chatmsg.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "sys/proc/clock.h"

enum {
    WAIT_S = 30, /* ours: for an answer of p2pvpnd, as pv_cli_ask() */
};

/* The name before it is another machine's by now. */
static void print_former(struct pv_cli *cli, const char *key)
{
    if (key[0] == '\0')
        return;
    pv_show_text(cli->out,
                 PV_STR(" (former, %s)",
                        PV_KEY_SHORT_STR(key))); /* what was cut need not be whole characters */
}

void pv_chat_print(struct pv_cli *cli, const json_t *msg, bool with_receiver)
{
    const char *state = pv_json_text(msg, "state", "");
    double now = (double)pv_clock_wall_us() / 1e6;
    const char *said = pv_json_text(msg, "text", "");
    bool action = strncmp(said, "/me ", 4) == 0; /* "* bob waves" */
    fprintf(cli->out, "%s[%s]%s ", pv_colour_on(PV_DIM, cli->screen.colour),
            PV_TIME_STR(pv_json_real(msg, "time", 0), now),
            pv_colour_off(PV_DIM, cli->screen.colour));
    fputs(pv_colour_on(PV_BOLD, cli->screen.colour), cli->out);
    fputs(action ? "* " : "", cli->out);
    pv_show_from(cli->out, msg);
    print_former(cli, pv_json_text(msg, "from_former", ""));
    if (json_is_string(json_object_get(msg, "room"))) {
        fputs(" in ", cli->out);
        pv_show_text(cli->out, pv_json_text(msg, "room", "?"));
    } else if (with_receiver) {
        fputs(" to ", cli->out);
        pv_show_text(cli->out, pv_json_text(msg, "to", "?"));
        print_former(cli, pv_json_text(msg, "to_former", ""));
    }
    fprintf(cli->out, "%s%s ", action ? "" : ":", pv_colour_off(PV_BOLD, cli->screen.colour));
    pv_show_text(cli->out, said + (action ? 4 : 0));
    if (json_is_string(json_object_get(msg, "held")))
        fprintf(cli->out, "  %s(queued: %s %s)%s", pv_colour_on(PV_DIM, cli->screen.colour),
                pv_json_text(msg, "to", "?"),
                pv_json_is(msg, "held", "gone")     ? "is no member any more"
                : pv_json_is(msg, "held", "silent") ? "answers no chat: a firewall there?"
                : pv_json_is(msg, "held", "rules")  ? "is denied it, by a rule or its [firewall]"
                                                    : "takes no more from you for now",
                pv_colour_off(PV_DIM, cli->screen.colour));
    else if (with_receiver && (strcmp(state, "queued") == 0 || strcmp(state, "sent") == 0 ||
                               strcmp(state, "delivered") == 0 ||
                               (strcmp(state, "read") == 0 && pv_json_bool(msg, "own"))))
        fprintf(cli->out, "  %s(%s)%s", pv_colour_on(PV_DIM, cli->screen.colour), state,
                pv_colour_off(PV_DIM, cli->screen.colour));
    fputc('\n', cli->out);
}

bool pv_chat_is_heard(struct pv_cli *cli)
{
    struct pollfd p = {.fd = fileno(cli->out)};
    return !ferror(cli->out) &&
           (poll(&p, 1, 0) <= 0 || (p.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0);
}

/* --- names --------------------------------------------------------------------------------- */

static int call(struct pv_cli *cli, enum pv_ctlapi_cmd cmd, const char *peer, json_t **ret_body)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(cmd);
    int code = peer == NULL ? 0 : pv_cli_peer(cli, &req, peer);
    pv_cli_set_timeout(cli, WAIT_S);
    return code != 0 ? code : pv_cli_call(cli, &req, NULL, NULL, ret_body);
}

/* A room's members are asked for only to see whether the daemon knows it. */
static int find_room(struct pv_cli *cli, const char *room, struct pv_chat_place *ret_place)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_ROOM_MEMBERS);
    json_t *body = NULL;
    if (strlen(room) >= sizeof(req.u.room.name))
        return pv_cli_usage(cli, "\"%.60s\" is not a room: `p2pvpnctl room list`", room);
    memcpy(req.u.room.name, room, strlen(room) + 1);
    pv_cli_set_timeout(cli, WAIT_S);
    int code = pv_cli_call(cli, &req, NULL, NULL, &body);
    snprintf(ret_place->name, sizeof(ret_place->name), "%s", pv_json_text(body, "room", ""));
    /* Of a name that may mean two rooms there is no address: p2pvpnd then refuses the name itself.
     */
    snprintf(ret_place->address, sizeof(ret_place->address), "%s",
             pv_json_text(body, "address", room));
    json_decref(body);
    return code;
}

int pv_chat_find_place(struct pv_cli *cli, const char *word, struct pv_chat_place *ret_place)
{
    json_t *ip = NULL, *peers = NULL;
    *ret_place = (struct pv_chat_place){0};
    if (word[0] == '#')
        return find_room(cli, word, ret_place);
    int code = call(cli, PV_CTLAPI_IP, word, &ip);
    if (code == 0)
        code = call(cli, PV_CTLAPI_PEERS, NULL, &peers);
    snprintf(ret_place->address, sizeof(ret_place->address), "%s", word);
    /* The answer to `ip` has addresses and no name, and an address belongs to one member. */
    PV_EACH_JSON(json_object_get(peers, "peers"), p) {
        if (strcmp(pv_json_text(p, "ip4", ""), pv_json_text(ip, "ip4", "-")) != 0)
            continue;
        snprintf(ret_place->name, sizeof(ret_place->name), "%s", pv_json_text(p, "name", ""));
        snprintf(ret_place->address, sizeof(ret_place->address), "%s",
                 pv_json_text(p, "key", word));
        ret_place->another_since = pv_json_real(p, "another_since", 0);
        snprintf(ret_place->former, sizeof(ret_place->former), "%s", pv_json_text(p, "former", ""));
    }
    if (code == 0 && ret_place->name[0] == '\0') /* it has addresses, and is no peer */
        code = pv_cli_fail(cli, PV_CTLAPI_UNKNOWN_PEER, "%s is this machine: name another", word);
    json_decref(ip);
    json_decref(peers);
    cli->cached = false; /* the chat says itself who is there, and what waits */
    return code;
}

void pv_chat_complain_of_line(struct pv_cli *cli, const struct pv_chat_place *place,
                              const struct pv_ctlapi_reply *reply)
{
    char text[PV_SHOW_CHANGE_BUF];
    const char *why = pv_show_refusal(place->name, place->address, reply->error, text);
    pv_cli_complain(cli, (int)reply->code,
                    reply->code == PV_CTLAPI_UNKNOWN_PEER ? PV_STR("%s; start the chat again", why)
                                                          : why);
}

/* --- lines of the input -------------------------------------------------------------------- */

int pv_chat_input_read(struct pv_chat_input *in, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    do {
        char byte; /* one by one: what stands behind the line stays in the descriptor */
        ssize_t n = read(fd, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        bool ended = n <= 0;
        if (!ended && byte != '\n') {
            if (in->len + 1 < sizeof(in->line))
                in->line[in->len++] = byte;
            else
                in->too_long = true;
            continue;
        }
        in->line[in->len] = '\0';
        return ended ? PV_ERR_CLOSED : PV_OK;
    } while (poll(&p, 1, 0) > 0);
    return PV_ERR_AGAIN;
}

void pv_chat_input_next(struct pv_chat_input *in)
{
    in->len = 0;
    in->too_long = false;
}
