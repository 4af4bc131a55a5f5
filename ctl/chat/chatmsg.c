/* SPDX-License-Identifier: MIT */
/* The parts that all ways to chat share: printing a message, asking for a name, reading lines. */
#include "ctl/chat/chatmsg.h"

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
        fprintf(cli->out, "  %s(queued: %s takes no more from you for now)%s",
                pv_colour_on(PV_DIM, cli->screen.colour), pv_json_text(msg, "to", "?"),
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

/* Is there such a room? Its members are asked for only to see whether the daemon knows it. */
static int call_room(struct pv_cli *cli, const char *room, json_t **ret_body)
{
    struct pv_ctlapi_request req = pv_ctlapi_request_of(PV_CTLAPI_ROOM_MEMBERS);
    if (strlen(room) >= sizeof(req.room))
        return pv_cli_usage(cli, "\"%.60s\" is not a room: `p2pvpnctl room list`", room);
    memcpy(req.room, room, strlen(room) + 1);
    pv_cli_set_timeout(cli, WAIT_S);
    return pv_cli_call(cli, &req, NULL, NULL, ret_body);
}

int pv_chat_check_peer(struct pv_cli *cli, const char *peer)
{
    json_t *body = NULL;
    int code = peer[0] == '#' ? call_room(cli, peer, &body) : call(cli, PV_CTLAPI_IP, peer, &body);
    json_decref(body);
    return code;
}

int pv_chat_peer_name(struct pv_cli *cli, const char *peer, char ret_name[static PV_NAME_BUF])
{
    json_t *ip = NULL, *peers = NULL;
    if (peer[0] == '#') {
        int failed = call_room(cli, peer, &peers);
        snprintf(ret_name, PV_NAME_BUF, "%s", pv_json_text(peers, "room", ""));
        json_decref(peers);
        return failed;
    }
    int code = call(cli, PV_CTLAPI_IP, peer, &ip);
    if (code == 0)
        code = call(cli, PV_CTLAPI_PEERS, NULL, &peers);
    /* The answer to `ip` has addresses and no name, and an address belongs to one member. */
    PV_EACH_JSON(json_object_get(peers, "peers"), p) {
        if (strcmp(pv_json_text(p, "ip4", ""), pv_json_text(ip, "ip4", "-")) == 0)
            snprintf(ret_name, PV_NAME_BUF, "%s", pv_json_text(p, "name", ""));
    }
    json_decref(ip);
    json_decref(peers);
    return code;
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
