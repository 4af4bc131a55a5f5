/* SPDX-License-Identifier: MIT */
/*
 * tuimodel.h - the terminal chat without a terminal: conversations, what is typed, and what the
 * daemon said; keys in, requests out. tuiview.h makes a picture of it, tui.c shows that.
 *
 * Everything that others wrote is made harmless when it comes in (pv_chat_show()). Reads no clock,
 * no socket. One thread.
 */
#ifndef PV_TUIMODEL_H
#define PV_TUIMODEL_H

#include <jansson.h>

#include "base/text.h"
#include "ctl/tui/tuiedit.h"
#include "proto/local/ctlapi.h"

enum {
    PV_TUI_MAX_CONVS = 16384,  /* the first is the network's own, the others are peers */
    PV_TUI_MAX_LINES = 200000, /* of one conversation; the oldest go */
    PV_TUI_RECENT = 2000,      /* newest lines that are looked through for a message */
    PV_TUI_MAX_FILES = 32,     /* files whose state is remembered, so that news are told once */
    PV_TUI_MAX_ACTIONS = 64,   /* requests that wait; typing more is answered with a note */
    PV_TUI_NOTE = 200,         /* bytes of the note with the NUL */
};

struct pv_tui_line {
    char id[PV_CHAT_ID_TEXT_BUF]; /* "": a notice */
    bool outgoing;
    enum pv_chat_state state;
    double time;            /* Unix seconds */
    char *text;             /* owned; harmless: no control characters but newline and tab */
    char from[PV_NAME_BUF]; /* of what came in */
};

struct pv_tui_conv {
    char name[PV_NAME_BUF]; /* "" for the network's own */
    bool online, is_static;
    bool is_room;     /* its name begins with '#' */
    unsigned members; /* of a room */
    bool left;        /* a room this node is no longer in */
    char path[8];     /* "direct", "relay", "static", "none" */
    double rtt_ms;    /* < 0: unknown */
    unsigned unread;
    struct pv_tui_line *lines; /* owned; oldest first */
    size_t n_lines, cap;
    bool asked;    /* for its history */
    bool more;     /* there is older history than the first line */
    bool at_top;   /* the view shows the first line */
    size_t scroll; /* rows above the newest; the view keeps it in bounds */
};

enum pv_tui_action_kind {
    PV_TUI_SEND,    /* peer, text; peer may be a room everywhere */
    PV_TUI_PEERS,   /* who is there */
    PV_TUI_HISTORY, /* of peer */
    PV_TUI_OLDER,   /* of peer, before the message text */
    PV_TUI_ACCEPT,  /* the file of number text */
    PV_TUI_REFUSE,  /* the same */
    PV_TUI_READ,    /* mark what peer wrote as read */
    PV_TUI_ROOMS,   /* which rooms there are */
    PV_TUI_MAKE,    /* room peer */
    PV_TUI_INVITE,  /* text (a peer's name) into room peer */
    PV_TUI_LEAVE,   /* room peer */
    PV_TUI_MEMBERS, /* of room peer */
};
struct pv_tui_action {
    enum pv_tui_action_kind kind;
    char peer[PV_NAME_BUF];
    char *text; /* owned by the taker */
};

enum pv_tui_key {
    PV_TUI_CHAR,
    PV_TUI_EDIT, /* an operation of tuiedit.h */
    PV_TUI_ENTER,
    PV_TUI_TAB,
    PV_TUI_PAGE_UP,
    PV_TUI_PAGE_DOWN,
    PV_TUI_NEXT, /* conversation */
    PV_TUI_PREVIOUS,
    PV_TUI_NEXT_UNREAD,
    PV_TUI_EOF, /* ends on an empty line */
    PV_TUI_QUIT,
};

/* Fields may be read by the view. */
struct pv_tui {
    char me[PV_NAME_BUF], network[PV_NAME_BUF];
    struct pv_tui_conv *convs; /* owned; [0] first, then by name */
    size_t n_convs, cap_convs, current;
    struct pv_tuiedit edit;
    char note[PV_TUI_NOTE]; /* the last thing to say about what was typed */
    struct pv_tui_action actions[PV_TUI_MAX_ACTIONS];
    size_t n_actions;
    struct {
        uint32_t number;
        char state[12];
    } files[PV_TUI_MAX_FILES]; /* a ring */
    size_t n_files;
    bool list_asked; /* getu: the next list of peers is told */
    bool ended;
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tui_init(struct pv_tui *t);
void pv_tui_done(struct pv_tui *t);

/* --- what the daemon says (bodies of answers and events, docs/PROTOCOL.md) ------------------- */

void pv_tui_take_status(struct pv_tui *t, const json_t *body);
/* told: as an answer to getu. */
void pv_tui_take_peers(struct pv_tui *t, const json_t *body);
/* A message that came or was sent. Known ones are ignored. */
void pv_tui_take_message(struct pv_tui *t, const json_t *msg);
void pv_tui_take_sent(struct pv_tui *t, const json_t *body);
void pv_tui_take_history(struct pv_tui *t, const char *peer, const json_t *body);
/* The answer to OLDER: goes before what is there. */
void pv_tui_take_older(struct pv_tui *t, const char *peer, const json_t *body);
/* The event: a file is offered, or something became of it. */
void pv_tui_take_file(struct pv_tui *t, const json_t *body);
void pv_tui_take_state(struct pv_tui *t, const json_t *body);
void pv_tui_take_presence(struct pv_tui *t, const json_t *body);
void pv_tui_take_rooms(struct pv_tui *t, const json_t *body);
/* The event: somebody was invited, or left. */
void pv_tui_take_room(struct pv_tui *t, const json_t *body);
void pv_tui_take_members(struct pv_tui *t, const json_t *body);
/* A room was made, or left, or somebody invited to it. */
void pv_tui_take_done(struct pv_tui *t, const struct pv_tui_action *action, const json_t *body);
/* A request about peer failed; text (may be NULL) was not sent and is given back to be typed. */
void pv_tui_take_error(struct pv_tui *t, const char *error, const char *text);

/* --- the user -------------------------------------------------------------------------------- */

/* arg: the character of CHAR, the enum pv_tuiedit_op of EDIT, the rows of a page. */
void pv_tui_key(struct pv_tui *t, enum pv_tui_key key, wchar_t arg);
/* The conversation with name, made when it is not there and create says so; SIZE_MAX: none. */
size_t pv_tui_find(struct pv_tui *t, const char *name, bool create);
void pv_tui_open(struct pv_tui *t, size_t index);

/* PV_ERR_AGAIN: nothing to ask. */
PV_MUST_CHECK int pv_tui_poll(struct pv_tui *t, struct pv_tui_action *ret_action);

#endif /* PV_TUIMODEL_H */
