/* SPDX-License-Identifier: MIT */
/*
 * tuimodel.h - the terminal chat without a terminal: conversations, what is typed, and what the
 * daemon said; keys in, requests out. tuiview.h makes a picture of it, tui.c shows that.
 *
 * Everything that others wrote is made harmless when it comes in (pv_harmless_show()). Reads no
 * clock, no socket. One thread.
 */
#pragma once

#include <jansson.h>

#include "base/text.h"
#include "chat/screen/model/tuiedit.h"
#include "chat/screen/model/tuisettings.h"
#include "chat/screen/model/tuiwords.h"
#include "ctl/lib/show.h"
#include "proto/local/ctlapi_request.h"

enum {
    PV_TUI_MAX_CONVS = 16384,  /* the first is the network's own, the others are peers */
    PV_TUI_MAX_LINES = 200000, /* of one conversation; the oldest go */
    PV_TUI_RECENT = 2000,      /* newest lines that are looked through for a message */
    PV_TUI_MAX_FILES = 32,     /* files whose state is remembered, so that news are told once */
    PV_TUI_MAX_ACTIONS = 128,  /* requests that wait, among them a file's for each member of a
                                  room; typing more is answered with a note */
    /* Bytes of the note with the NUL: why something was refused, and "2 texts wait in NAME". */
    PV_TUI_NOTE = PV_CTLAPI_ERROR_BUF + PV_NAME_BUF + 32,
};

/* While the daemon is gone the bar says it, also behind what else there was to say. */
#define PV_TUI_LOST "p2pvpnd is not running: messages wait here until it runs again"
/* Ends what is said of a line for somebody who is no member, or is called otherwise. */
#define PV_TUI_NOBODY "messages to it are not sent"

/* Begins what is said of a request that the daemon had not answered when it went. */
#define PV_TUI_IS_SAVED " is being saved" /* behind a file's name, until pv_tui_take_saved() */
#define PV_TUI_PERHAPS  "perhaps not"

struct pv_tui_line {
    char id[PV_CHAT_ID_TEXT_BUF]; /* "": a notice; "~N": waits for the daemon */
    bool outgoing;
    enum pv_chat_state state;
    double time;            /* Unix seconds; 0: of no interest */
    double sort;            /* Unix seconds, for its place: its time, or when the notice was made */
    int64_t order;          /* of messages: p2pvpnd's order, in which they came and are read */
    char *text;             /* owned; harmless: no control characters but newline and tab */
    char from[PV_NAME_BUF]; /* of what came in, */
    char key[PV_KEY_TEXT_BUF];    /* and of its machine, also of a file's notice; "": p2pvpnd does
                                     not say */
    bool former;                  /* that name is another machine's by now; */
    char brief[PV_KEY_SHORT_BUF]; /* in a room the key of the one that had it; "": it has it */
    bool named;      /* in a room, by somebody else, with this node's name in it, or another
                        word that the user looks for */
    bool unproven;   /* typed by somebody on the machine of from, without its daemon */
    bool top, shown; /* its beginning was on the screen, and so was its end; the view sets both */
    bool hands;      /* the notice says that the name is another machine's, */
    char over[PV_CHAT_ID_TEXT_BUF]; /* above the line of a room that brought it; "": none did */
    uint32_t file;                  /* the notice is about the offer of this file; 0: of none */
    size_t said; /* it offers a file, and what became of that stands behind the NUL of text, which
                    is at this byte; 0: nothing does */
};

/* p2pvpnctl's own words about the file that the line offers, apart from the text, which may be
 * anything; NULL: none. */
static inline const char *pv_tui_told_of(const struct pv_tui_line *line)
{
    return line->said == 0 ? NULL : line->text + line->said + 1;
}

struct pv_tui_conv {
    char name[PV_NAME_BUF];        /* "" for the network's own */
    char former[PV_KEY_SHORT_BUF]; /* the machine that had the name before; "" = nobody had */
    double another_since;          /* since when it is this one's, Unix seconds; 0: always; < 0: not
                                      known */
    char ip4[16], ip6[40];         /* of a peer; "" = not known */
    /* Lines that are typed here go there, whoever has the name by then: the machine's key, or what
     * p2pvpnd calls the room for good; "" = not known. */
    char address[PV_KEY_TEXT_BUF];
    /* The name came to another machine or room, and nothing was sent there since; or it was, from
     * elsewhere, and the draft here may be for the one before. */
    bool is_another, has_old_draft;
    bool parts; /* the list of peers that is being taken says so of the name */
    bool online, is_static;
    bool is_listed;   /* as a member, in the last list of peers */
    unsigned members; /* of a room */
    enum {
        PV_TUI_IN,
        PV_TUI_LEFT,    /* this node is no longer in it */
        PV_TUI_INVITED, /* nobody here has accepted it */
    } part;             /* in a room */
    char path[8];       /* "direct", "relay", "static", "none" */
    double rtt_ms;      /* < 0: unknown */
    double seen;        /* Unix seconds when it was there last; 0: unknown */
    unsigned unread;
    unsigned offers;           /* of files, told in a line of their own while it was not open */
    unsigned given_back;       /* lines from here that were refused while it was not open */
    bool named;                /* one of the unread lines is */
    struct pv_tui_line *lines; /* owned; oldest first */
    size_t n_lines, cap;
    bool asked;                         /* for its history */
    bool anew;                          /* p2pvpnd came back, and has not answered that yet */
    bool told;                          /* it has answered once: */
    double told_since;                  /* since when the name is its machine's by that answer, */
    char told_former[PV_KEY_TEXT_BUF];  /* and the key of the one before; "": none */
    bool more;                          /* there is older history than the first line, */
    bool older_asked;                   /* which p2pvpnd was asked for */
    bool at_top;                        /* the view shows the first line */
    size_t scroll;                      /* rows above the newest; the view keeps it in bounds */
    size_t scroll_cols;                 /* the view's: columns of those rows; 0: not shown yet */
    size_t came;                        /* lines that came while it is scrolled up; the view adds
                                           their rows to scroll, and clears this */
    size_t found;                       /* by /search: number of the line, from 1; 0 = none */
    char *sought;                       /* owned: what /search looked for; NULL: nothing yet */
    bool show_found;                    /* the view scrolls to it, and clears this */
    bool seeks;                         /* it goes on in the older lines that were asked for */
    char new_from[PV_CHAT_ID_TEXT_BUF]; /* the first message that was unread when it was opened */
    /* Unread lines that were not on the screen yet, above what is and below; the view's. */
    unsigned new_above, new_below;
    char *draft;             /* owned: its unfinished line while another conversation is open */
    struct pv_tuipast *past; /* owned: the lines that were typed here; NULL: it was never open */
};

/* How much there is that nobody has seen. */
static inline unsigned pv_tui_conv_news(const struct pv_tui_conv *c)
{
    return c->unread + c->offers + c->given_back;
}

static inline bool pv_tui_conv_is_room(const struct pv_tui_conv *c)
{
    return c->name[0] == '#';
}

enum pv_tui_action_kind {
    PV_TUI_SEND,      /* peer, text; peer may be a room everywhere */
    PV_TUI_PEERS,     /* who is there */
    PV_TUI_HISTORY,   /* of peer */
    PV_TUI_OLDER,     /* of peer, before the message text */
    PV_TUI_ACCEPT,    /* the file of number text */
    PV_TUI_REFUSE,    /* the same */
    PV_TUI_READ,      /* mark what peer wrote as read, up to the message text */
    PV_TUI_ROOMS,     /* which rooms there are */
    PV_TUI_MAKE,      /* room peer */
    PV_TUI_INVITE,    /* text (a peer's name) into room peer */
    PV_TUI_JOIN,      /* accepts the invitation to room peer */
    PV_TUI_LEAVE,     /* room peer */
    PV_TUI_MEMBERS,   /* of room peer */
    PV_TUI_SEND_FILE, /* the file with the name text, to peer; a room: asks who is there, and
                         take_present() has it offered to each */
    PV_TUI_FILES,     /* how far files are */
    PV_TUI_MUTE,      /* peer or room */
    PV_TUI_UNMUTE,    /* the same */
    PV_TUI_FORMER,    /* the history of peer, who may be gone, or a room that was left: it is opened
                         when there is some */
    PV_TUI_SEARCH,    /* text, in all that there is */
    PV_TUI_SAVE,      /* the file of number text, into the present directory */
    PV_TUI_SAVED,     /* its copy is whole: the daemon needs it no longer */
};
struct pv_tui_action {
    enum pv_tui_action_kind kind;
    char peer[PV_NAME_BUF];
    char address[PV_KEY_TEXT_BUF]; /* of the conversation when it was asked for; "": by its name */
    bool named;                    /* SEND: the name was typed, not read above the line */
    char *text;                    /* owned by the taker */
    char id[PV_CHAT_ID_TEXT_BUF];  /* SEND: of the message, once it was asked for; "" before.
                                      SEND_FILE: of the line that offers it in a room; "": none */
    char room[PV_NAME_BUF];        /* SEND_FILE: its name or address; "": to the peer alone */
    uint64_t wait;                 /* SEND: number of the line that shows that it waits; 0: none */
    uint64_t upto;                 /* SEARCH: only what is older than that place; 0: all */
};

enum pv_tui_key {
    PV_TUI_CHAR,
    PV_TUI_EDIT, /* an operation of tuiedit.h */
    PV_TUI_ENTER,
    PV_TUI_TAB,
    PV_TUI_PAGE_UP,
    PV_TUI_PAGE_DOWN,
    PV_TUI_END,    /* of the line; from there the newest lines */
    PV_TUI_BOTTOM, /* the newest lines */
    PV_TUI_NEXT,   /* conversation */
    PV_TUI_PREVIOUS,
    PV_TUI_NEXT_UNREAD,
    PV_TUI_ROSTER, /* shown or hidden */
    PV_TUI_EOF,    /* ends on an empty line, else deletes under the cursor */
    PV_TUI_QUIT,
};

/* How far the user is with leaving. */
enum pv_tui_leave {
    PV_TUI_STAYS,
    PV_TUI_WARNED, /* was told what would be lost: /exit again ends it, any other line stays */
    PV_TUI_WARNED_BY_KEY, /* the same, by Ctrl-C: any other key stays */
    PV_TUI_ENDED,
};

/* Fields may be read by the view. */
struct pv_tui {
    char me[PV_NAME_BUF], network[PV_NAME_BUF];
    const char *flag;          /* of p2pvpnctl, by which this node is meant (cli.h); borrowed */
    bool own;                  /* the node is this user's: nothing needs sudo */
    struct pv_tui_conv *convs; /* owned; [0] first, then by name */
    size_t n_convs, cap_convs, current;
    struct pv_tuiedit edit;
    char note[PV_TUI_NOTE]; /* the last thing to say about what was typed */
    struct pv_tui_action actions[PV_TUI_MAX_ACTIONS];
    size_t n_actions;
    struct {
        uint32_t number;
        bool in;
        bool wanted;           /* accepted here: saved when it is there */
        bool mine;             /* offered here, by /send-file, and told in its peer's pane */
        char state[12];        /* as it was told; "offered!": p2pvpnd has not got it any more */
    } files[PV_TUI_MAX_FILES]; /* a ring */
    size_t n_files;
    struct {
        char *path; /* owned; NULL: no room is being offered a file */
        char room[PV_NAME_BUF], address[PV_KEY_TEXT_BUF], line[PV_SHOW_OFFER_BUF];
        json_t *members; /* owned */
    } gift;
    json_t *told;                      /* changes of hands, by panes: {"#crew": {"pi": since}} */
    json_t *heard;                     /* ids of messages that p2pvpnd, back again, tells again */
    bool list_asked;                   /* getu: the next list of peers is told */
    bool rooms_asked, files_asked;     /* the same of rooms, and of files */
    bool has_peers;                    /* a list came: other names are nobody's */
    char refused[PV_TUI_NOTE];         /* the note said why none came; "": one did */
    size_t *order;                     /* owned: the conversations as the roster shows them */
    char note_id[PV_CHAT_ID_TEXT_BUF]; /* the note is about this message; "" = about none */
    char *paste;            /* owned: lines that wait for an answer whether to send them */
    bool has_files;         /* a list came: what is new comes by events */
    bool files_moving;      /* the state of a file is worth asking for */
    bool saves_wait;        /* as many files as can be are being saved: others wait */
    char away[PV_TUI_NOTE]; /* why there is nobody to ask, though p2pvpnd is there; "" = it is gone
                             */
    char progress[PV_TUI_NOTE]; /* how far a file was, as note said it last */
    struct {                    /* in all conversations */
        char *text;             /* owned; of the last one; NULL: there was none */
        json_t *lines;          /* owned: what was found so far, oldest first; NULL: it has ended */
    } search;
    struct pv_tui_settings set; /* the user's; /bell and the roster's key change theirs */
    bool ring;                  /* the bell is to be rung; the taker clears it */
    double now;                 /* Unix seconds; its owner keeps it */
    bool lost;                  /* the daemon is gone: what is sent waits */
    bool slow;                  /* it is there, and does not answer */
    /* p2pvpnd is still telling the unread messages: nothing is read meanwhile, for it would take
     * older ones with it that are not here yet. Its owner keeps this. */
    bool counting;
    char opening[PV_NAME_BUF]; /* the daemon is asked for this conversation: what is typed meanwhile
                                  is for it, and not for the one that is shown; "": none */
    bool line_is_for_it;       /* so is the line that was begun since */
    bool line_is_for_any;      /* the line was not sent because no conversation was open: it goes
                                  along to the next one that is opened */
    const char *opening_by;    /* the command that asked, a constant */
    enum pv_tui_leave leave;
    bool too_small;     /* the screen has no room for lines, so nobody sees what comes */
    uint64_t last_wait; /* of lines that wait */
    int64_t first_order, last_order; /* of messages so far */
};

/* PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tui_init(struct pv_tui *t);
void pv_tui_done(struct pv_tui *t);

/* --- what the daemon says (bodies of answers and events, docs/PROTOCOL-LOCAL.md) ------------- */

void pv_tui_take_status(struct pv_tui *t, const json_t *body);
/* A list that the person asked for is told. NULL: it was refused, as behind `leave`: nobody is
 * there any more. */
void pv_tui_take_peers(struct pv_tui *t, const json_t *body);
/* A message that came or was sent. Known ones are ignored. */
void pv_tui_take_message(struct pv_tui *t, const json_t *msg);
/* A page of what was unread when the chat began. */
void pv_tui_take_unread(struct pv_tui *t, const json_t *messages);
void pv_tui_take_sent(struct pv_tui *t, const json_t *body);
void pv_tui_take_history(struct pv_tui *t, const char *peer, const json_t *body);
/* The answer to FORMER: opens the conversation, by the name that its messages say, unless nothing
 * was ever said in it. */
void pv_tui_take_former(struct pv_tui *t, const char *peer, const json_t *body);
/* The answer to OLDER: goes before what is there. body NULL: the request failed. */
void pv_tui_take_older(struct pv_tui *t, const char *peer, const json_t *body);
/* The event: a file is offered, or something became of it. */
void pv_tui_take_file(struct pv_tui *t, const json_t *body);
/* The answer to SEND_FILE to a peer: the same of a file that is offered here. */
void pv_tui_take_offered(struct pv_tui *t, const json_t *body);
void pv_tui_take_state(struct pv_tui *t, const json_t *body);
/* Does a request of this kind do something, and not only ask? */
bool pv_tui_does(enum pv_tui_action_kind kind);
/* Are these the words for what has no answer and never gets one (PV_TUI_PERHAPS)? */
bool pv_tui_is_perhaps(const char *words);
/* p2pvpnd went before it answered: a person who asked for something is told that nobody knows
 * whether it was done. */
void pv_tui_take_doubt(struct pv_tui *t, const struct pv_tui_action *action);
/* The event: messages that came were read, here or by another client. */
void pv_tui_take_read(struct pv_tui *t, const json_t *body);
void pv_tui_take_presence(struct pv_tui *t, const json_t *body);
void pv_tui_take_rooms(struct pv_tui *t, const json_t *body);
/* The event: somebody was invited, or left. */
void pv_tui_take_room(struct pv_tui *t, const json_t *body);
void pv_tui_take_members(struct pv_tui *t, const json_t *body);
/* A room was made, or left, or somebody invited to it. */
void pv_tui_take_done(struct pv_tui *t, const struct pv_tui_action *action, const json_t *body);
/* A request failed; what action (may be NULL; stays the caller's) wanted sent is given back to the
 * conversation it was typed for. */
void pv_tui_take_error(struct pv_tui *t, const char *error, const struct pv_tui_action *action);
/* The answer to SEARCH: a page. Older ones are asked for until enough lines are found, which then
 * are told where it was asked. */
void pv_tui_take_found(struct pv_tui *t, const struct pv_tui_action *action, const json_t *body);
/* A file that SAVE asked for was copied into this directory; why (NULL: it was) says what kept it
 * from that. */
void pv_tui_take_saved(struct pv_tui *t, const json_t *body, const char *dir, const char *why);
/* A room's members, for the file with this name (of the last part of its path): a line says in the
 * room that it is offered, and then it is, to each member that is there. */
void pv_tui_take_present(struct pv_tui *t, const struct pv_tui_action *action, const char *name,
                         double size, const json_t *body);
/* The answer to FILES. */
void pv_tui_take_files(struct pv_tui *t, const json_t *body);
/* The daemon is gone: waits until it is back. */
void pv_tui_take_loss(struct pv_tui *t);
/* It is back: everything is asked for again. */
void pv_tui_take_return(struct pv_tui *t);
/* An action that has no answer is asked once more; taken. */
void pv_tui_again(struct pv_tui *t, const struct pv_tui_action *action);

/* --- the user -------------------------------------------------------------------------------- */

/* arg: the character of CHAR, the enum pv_tuiedit_op of EDIT, the rows of a page. */
void pv_tui_key(struct pv_tui *t, enum pv_tui_key key, wchar_t arg);
/* Text that was pasted: several lines are sent only when the person says so. */
void pv_tui_paste(struct pv_tui *t, const char *text);
/* Fills order: the network's own, unread ones, who is there, who is away; each by name. Returns the
 * place of the one that is open. */
size_t pv_tui_sort(struct pv_tui *t);
/* The conversation with name, made when it is not there and create says so; SIZE_MAX: none. */
size_t pv_tui_find(struct pv_tui *t, const char *name, bool create);
void pv_tui_open(struct pv_tui *t, size_t index);

/* It ended, and the daemon takes no lines: asks once more whether to end without them. */
void pv_tui_ask_again(struct pv_tui *t);
/* The daemon took them after all, before the person said so: the chat goes on. */
void pv_tui_ask_no_more(struct pv_tui *t);
static inline bool pv_tui_is_warned(const struct pv_tui *t)
{
    return t->leave == PV_TUI_WARNED || t->leave == PV_TUI_WARNED_BY_KEY;
}

/* Would pv_tui_poll() give something? */
bool pv_tui_has_to_ask(const struct pv_tui *t);
/* PV_ERR_AGAIN: nothing to ask, or files to save that wait for others. */
PV_MUST_CHECK int pv_tui_poll(struct pv_tui *t, struct pv_tui_action *ret_action);
/* A line that the daemon does not take, because it is gone or hangs, is shown as one that waits,
 * until it is asked for anew, or answers. Other actions, and one that is shown: nothing happens. */
void pv_tui_show_waiting(struct pv_tui *t, struct pv_tui_action *action);
void pv_tui_hide_waiting(struct pv_tui *t, struct pv_tui_action *action);

/* --- what a typed line does (tuityped.c) ----------------------------------------------------- */

/* Says it in the bar, made harmless, in one row. */
void pv_tui_note(struct pv_tui *t, const char *fmt, ...) PV_PRINTF(2, 3);
/* Asks for the page of history before the first line, unless it is on its way. False: there is
 * none, or no room for it. */
bool pv_tui_want_older(struct pv_tui *t, struct pv_tui_conv *c);
/* Asks the daemon; takes text. */
bool pv_tui_want(struct pv_tui *t, enum pv_tui_action_kind kind, const char *peer, char *text);
/* Asks for all there is of a kind, once. */
void pv_tui_want_list(struct pv_tui *t, enum pv_tui_action_kind kind);
/* A line that nobody wrote, with the time of now. */
void pv_tui_notice(struct pv_tui *t, struct pv_tui_conv *c, const char *text);
/* The same with another time (Unix seconds; 0: none is shown). */
void pv_tui_notice_at(struct pv_tui *t, struct pv_tui_conv *c, const char *text, double time);
/* An action failed: was it a part of that, of which nothing is given back? Says why where the line
 * is. */
bool pv_tui_keep(struct pv_tui *t, const struct pv_tui_action *action, const char *error);
/* Of the unread lines of c those are read that were on the screen, up to the first that was not. */
void pv_tui_mark_read(struct pv_tui *t, struct pv_tui_conv *c);
/* Did it come, and nobody has read it? */
static inline bool pv_tui_is_unread(const struct pv_tui_line *line)
{
    return !line->outgoing && line->id[0] != '\0' && line->state == PV_CHAT_UNREAD;
}
bool pv_tui_is_room(const char *name);
/* The pane that asked for the action, whose machine may have another name since; SIZE_MAX: none. */
size_t pv_tui_pane_of(struct pv_tui *t, const struct pv_tui_action *a);
/* By its name, its address, its key, its name in DNS ("bob.home.p2p"), or as a room without the
 * sign; SIZE_MAX: there is none. */
size_t pv_tui_find_named(struct pv_tui *t, const char *name);
/* No conversation is found by this name, which is said, and what to do. */
void pv_tui_note_unknown(struct pv_tui *t, const char *name);
/* /accept, /refuse, /get and /files withdraw ID. False: it was not in order, which was said. */
bool pv_tui_run_file(struct pv_tui *t, enum pv_tui_word word, const char *number);
/* p2pvpnd knows of no file that could be accepted by this number: one that gets it later is another
 * one. */
void pv_tui_miss_file(struct pv_tui *t, const char *number);
/* /search: the next older line that has text, above the one that was found last, also in history
 * that has to be asked for; in the network's pane in all conversations. False: it was not in order,
 * which was said. */
bool pv_tui_search(struct pv_tui *t, const char *text);
/* The conversation that was asked for does not open: the command is given back, before the line
 * that was begun for it, so that nothing typed since goes to the one that is shown. */
void pv_tui_miss(struct pv_tui *t);
/* Asks the daemon for a conversation, by PV_TUI_FORMER or PV_TUI_MAKE: until it answers, no line
 * goes to the one that is shown. False: the daemon is gone, which was said. */
bool pv_tui_want_open(struct pv_tui *t, enum pv_tui_action_kind kind, const char *name);
/* The commands about rooms. False: it was not in order, which was said. */
bool pv_tui_run_room(struct pv_tui *t, enum pv_tui_word word, const struct pv_tui_words *w);
