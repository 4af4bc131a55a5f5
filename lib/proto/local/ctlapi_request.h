/* SPDX-License-Identifier: MIT */
/*
 * ctlapi_request.h - the language between p2pvpnctl and p2pvpnd: JSON lines on a unix socket
 * (docs/PROTOCOL-LOCAL.md "Control socket").
 *
 * Requests as typed structs with both directions, and one parser for all replies, which ctlapi.h
 * builds. The codec only: connections are daemon/core/node/ctlsrv.h. No state; thread-safe.
 */
#pragma once

#include <jansson.h>

#include "base/addr.h"
#include "base/pv.h"
#include "base/text.h"
#include "proto/local/ctlcmd.h"

/* --- requests ------------------------------------------------------------------------------ */

/* One request. The rows of ctlcmd.h say which fields a command has; the others are zero, and ""
 * means not given. A command has at most one member of u, by the table GROUPS of
 * ctlapi_request.c. */
struct pv_ctlapi_request {
    uint64_t id; /* chosen by the client, repeated in every reply; <= 2^53 */
    enum pv_ctlapi_cmd cmd;
    char peer[PV_CTLAPI_PEER_BUF];
    char *secret; /* CREATE, COORDINATOR_ADD: url, JOIN, COORDINATOR_TAKE:
                     token, ROOT_*: key; owned, wiped when freed */
    char *text;   /* ROOT_IMPORT: box; SEND: owned, valid for pv_text_is_valid();
                     FILE_SEND: name of the file; COORDINATOR_ADDRESS:
                     addresses, commas between; RULE_ADD, CAN: ports */
    union {
        struct {
            char network[PV_NAME_BUF];
            char name[PV_NAME_BUF];  /* of this node */
            char cidr[PV_ADDR_TEXT]; /* CREATE: the network's range */
            uint32_t timeout_ms;     /* not done by then, it ends and says why; 0 (default):
                                        after 30 s */
            bool insist;             /* tries until timeout_ms, also if nobody answers */
        } enter;                     /* CREATE JOIN */
        struct {
            uint32_t uses;         /* 1.., default 1 */
            uint64_t expires_s;    /* seconds from now, default 24 h */
            uint64_t lifetime_s;   /* seconds that a member by it stays unused, default 0: for
                                      ever */
            bool admin;            /* a member by it becomes an admin */
            bool approve;          /* a member by it waits until an admin admits it */
            bool ephemeral;        /* a member by it leaves at its end, in place of lifetime_s */
            char tag[PV_NAME_BUF]; /* of a member by it */
        } terms;                   /* INVITE */
        struct {
            char id[PV_CTLAPI_INVITE_BUF];
        } invite; /* INVITE_REVOKE */
        struct {
            bool forget;      /* delete this node's keys too */
            bool copy;        /* with forget: tell nobody, as another machine has these keys */
            bool last;        /* although nobody else is an admin */
            bool delete_root; /* with forget: the root key, too */
        } leave;              /* LEAVE */
        struct {
            uint32_t count;       /* 1.., default 4 */
            uint32_t interval_ms; /* 10..3600000, default 1000 */
            uint32_t size;        /* bytes of filler, default 56 */
        } ping;                   /* PING */
        struct {
            bool direct; /* until the path leads through no relay */
            bool online; /* until the peer, or this node, is online */
        } wait;          /* WAIT */
        struct {
            char name[PV_NAME_BUF];           /* RENAME, REPLACE; ADMIT, TAG, UNTAG: a tag */
            char address[PV_CTLAPI_WORD_BUF]; /* ADDRESS_SET */
            bool keep_invite; /* REMOVE, ADMIN_REVOKE, TAG: the invite that let it in stays */
            bool force;       /* REPLACE: although the old one is online, or its rights stay
                                 behind */
        } member;             /* REMOVE ADMIT ADMIN_REVOKE RENAME ADDRESS_SET REPLACE TAG UNTAG */
        struct {
            char verdict[PV_CTLAPI_WORD_BUF]; /* "allow", "deny" */
            char from[PV_CTLAPI_PEER_BUF];
            char to[PV_CTLAPI_PEER_BUF];
            char id[PV_CTLAPI_INVITE_BUF]; /* RULE_REMOVE: "": any */
            uint32_t number;               /* of a rule */
            bool keep_invite;              /* RULE_ADD: the invite that it is about stays */
        } rule;                            /* RULE_ADD RULE_REMOVE RULES_DEFAULT CAN */
        struct {
            char name[PV_NAME_BUF];
            char endpoint[PV_CTLAPI_COORDINATOR_BUF];
            bool everything; /* the phone sends all by its gateway */
        } phone;             /* EXPORT */
        struct {
            char prefix[PV_ADDR_TEXT]; /* also "default" */
            bool no_snat;              /* ROUTE_OFFER: hosts there see the members' own addresses */
            bool automatic;            /* ROUTE_OFFER: members use it unless they say otherwise */
            bool off;                  /* ROUTE_USE: not to use that member's, or that prefix */
            bool lan, block;           /* EXIT_USE */
        } route;                       /* ROUTE_* EXIT_USE */
        struct {
            char which[PV_CTLAPI_COORDINATOR_BUF]; /* key, address or host; "": the only one */
        } coordinator;                             /* COORDINATOR_REMOVE COORDINATOR_ADDRESS */
        struct {
            bool statics; /* although static peers know the present key */
        } rotate;         /* KEY_ROTATE */
        struct {
            char id[PV_CTLAPI_ID_BUF];     /* that the message shall have */
            char name[PV_NAME_BUF];        /* only while peer is called so; */
            char room[PV_CTLAPI_ROOM_BUF]; /* the same of a room */
            char unless[PV_NAME_BUF];
        } say; /* SEND */
        struct {
            bool peek;                      /* INBOX: leave them unread */
            char after[PV_CTLAPI_ID_BUF];   /* INBOX: only messages later than this one */
            char through[PV_CTLAPI_ID_BUF]; /* READ: the last message that the client has */
            char before[PV_CTLAPI_ID_BUF];  /* HISTORY: only messages older than this one */
            uint64_t upto;  /* INBOX with after, READ: of the list that ends there; 0: only the id
                               is known; HISTORY without peer: of the list that begins there, only
                               older ones; 0: all */
            uint32_t limit; /* HISTORY: 1..PV_CTLAPI_MAX_HISTORY, default 100 */
        } list;             /* INBOX READ HISTORY */
        struct {
            char what[PV_CTLAPI_WORD_BUF];
            bool seen;        /* messages told are read from then on */
            uint32_t figures; /* seconds between figures; 0: none */
            uint64_t seq;     /* the last event heard; 0: none */
            uint64_t since_s; /* Unix seconds; 0: not given */
        } watch;              /* WATCH */
        struct {
            char what[PV_CTLAPI_WORD_BUF];
            uint32_t port;               /* 1024.., of the client's socket */
            char to[PV_CTLAPI_PEER_BUF]; /* an address behind members; "": not given */
        } probe;                         /* PROBE */
        struct {
            char level[PV_CTLAPI_WORD_BUF];
        } log; /* LOG */
        struct {
            uint32_t number;                 /* "id" in the list of files */
            char transfer[PV_CTLAPI_ID_BUF]; /* FILE_SEND: the id that it shall have */
            char room[PV_CTLAPI_ROOM_BUF];   /* FILE_SEND */
        } file;                              /* FILE_* */
        struct {
            char name[PV_CTLAPI_ROOM_BUF];
        } room; /* ROOM_* */
    } u;
};

/* A request of this command with the defaults above, and no id yet. */
/* Returns true if p2pvpn-chatd serves the request, at a socket of its own. A `watch` for chat is
 * served by both programs: each tells what is its own. */
bool pv_ctlapi_request_is_chat(const struct pv_ctlapi_request *req);
struct pv_ctlapi_request pv_ctlapi_request_of(enum pv_ctlapi_cmd cmd);
/* Frees and wipes what it owns, zeroes the rest. */
void pv_ctlapi_request_done(struct pv_ctlapi_request *req);

/* Reads one line without its newline. Types, ranges and lengths are strict; unknown fields are
 * ignored.
 * *ret_req is set on success only. On failure *ret_id is the request's id when it could be read,
 * else UINT64_MAX, and why (PV_CTLAPI_ERROR_BUF bytes) says what is wrong, in words for the user.
 * PV_ERR_MALFORMED; PV_ERR_LIMIT (line too long); PV_ERR_UNSUPPORTED (unknown command);
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_request_parse(struct pv_view line, struct pv_ctlapi_request *ret_req,
                                          uint64_t *ret_id, char why[static PV_CTLAPI_ERROR_BUF]);
/* The request as one line with newline and NUL: free() it, after pv_wipe() when it has a secret.
 * NULL without memory or when a text in it is not UTF-8. */
char *pv_ctlapi_request_write(const struct pv_ctlapi_request *req);

const char *pv_ctlapi_cmd_name(enum pv_ctlapi_cmd cmd); /* "peers", "invite_list" */
/* Whether it changes this node or the network, so that only root may ask for it. */
bool pv_ctlapi_cmd_changes(enum pv_ctlapi_cmd cmd);

/* --- replies: parsing ---------------------------------------------------------------------- */

struct pv_ctlapi_reply {
    uint64_t id; /* UINT64_MAX when the daemon could not read the request's id */
    bool is_event;
    bool ok;                  /* answers: the command was done */
    enum pv_ctlapi_code code; /* why a failed answer failed; with ok 0 or PV_CTLAPI_UNREACHABLE */
    const char *event;        /* events: its name; borrowed from body */
    const char *error;        /* failed answers; borrowed from body */
    json_t *body;             /* the whole object; owned */
};
/* One line without its newline. Its strings are made harmless for a terminal (harmless.h), unless
 * exact: that is for a reader that is no terminal, as JSON in ASCII. PV_ERR_MALFORMED,
 * PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_reply_parse(struct pv_view line, bool exact,
                                        struct pv_ctlapi_reply *ret_reply);
void pv_ctlapi_reply_done(struct pv_ctlapi_reply *reply);
