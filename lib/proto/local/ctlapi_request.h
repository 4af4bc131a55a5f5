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

/* One request. The rows of ctlcmd.h say which command has which fields; the others are zero.
 * "" = not given. */
struct pv_ctlapi_request {
    uint64_t id; /* chosen by the client, repeated in every reply; <= 2^53 */
    enum pv_ctlapi_cmd cmd;
    char peer[PV_CTLAPI_PEER_BUF];
    char network[PV_NAME_BUF];
    char unless[PV_NAME_BUF];          /* SEND */
    char name[PV_NAME_BUF];            /* of a node, or a tag; SEND: what peer is called */
    char from[PV_CTLAPI_PEER_BUF];     /* whom a rule means */
    char to[PV_CTLAPI_PEER_BUF];       /* the same */
    char cidr[PV_ADDR_TEXT];           /* a prefix; of routes also "default" */
    char invite[PV_CTLAPI_INVITE_BUF]; /* its id; RULE_REMOVE: the rule's, "": any */
    char room[PV_CTLAPI_ROOM_BUF];
    char word[PV_CTLAPI_WORD_BUF];               /* a level, an address, or what is watched */
    char coordinator[PV_CTLAPI_COORDINATOR_BUF]; /* key, address or host; "": the only one */
    char *secret; /* CREATE, COORDINATOR_ADD: url, JOIN, COORDINATOR_TAKE:
                     token, ROOT_*: key; owned, wiped when freed */
    char *text;   /* ROOT_IMPORT: box; SEND: owned, valid for pv_text_is_valid();
                     FILE_SEND: name of the file; COORDINATOR_ADDRESS:
                     addresses, commas between */
    struct {
        uint32_t uses;       /* 1.., default 1 */
        uint64_t expires_s;  /* seconds from now, default 24 h */
        uint64_t lifetime_s; /* seconds that a member by it stays unused, default 0: for ever */
        bool admin;          /* a member by it becomes an admin */
        bool approve;        /* a member by it waits until an admin admits it */
        bool ephemeral;      /* a member by it leaves at its end, in place of lifetime_s */
    } terms;                 /* INVITE */
    struct {
        bool forget;      /* delete this node's keys too */
        bool copy;        /* with forget: tell nobody, as another machine has these keys */
        bool last;        /* although nobody else is an admin */
        bool delete_root; /* with forget: the root key, too */
    } leave;              /* LEAVE */
    bool statics;         /* KEY_ROTATE: although static peers know the present one */
    bool insist;          /* CREATE JOIN: tries until timeout_ms, also where nobody answers */
    bool keep_invite;     /* REMOVE, RULE_ADD, ADMIN_REVOKE: the invite that let it in, or its own,
                             stays */
    bool force;           /* REPLACE: although the old one is online, or its rights stay behind */
    uint32_t count;       /* PING: 1.., default 4 */
    uint32_t interval_ms; /* PING: 10..3600000, default 1000 */
    uint32_t size;        /* PING: bytes of filler, default 56 */
    uint32_t timeout_ms;  /* CREATE JOIN: not done by then, it ends and says why;
                             0 (default): after 30 s */
    struct {
        bool direct; /* until the path leads through no relay */
        bool online; /* until the peer, or this node, is online */
    } wait;          /* WAIT */
    bool peek;       /* INBOX: leave them unread */
    struct {
        bool no_snat;    /* ROUTE_OFFER: hosts there see the members' own addresses */
        bool automatic;  /* ROUTE_OFFER: members use it unless they say otherwise */
        bool off;        /* ROUTE_USE: not to use that member's, or that prefix */
        bool lan, block; /* EXIT_USE */
    } route;
    bool everything; /* EXPORT: the phone sends all by its gateway */
    bool seen;       /* WATCH: messages told are read from then on */
    uint32_t number; /* FILE_ACCEPT STOP GET SAVED: "id" in the list; RULE_*: a rule's */
    char before[PV_CTLAPI_ID_BUF];   /* HISTORY: id of a message, may be "" */
    char after[PV_CTLAPI_ID_BUF];    /* INBOX: the same; only later ones */
    char through[PV_CTLAPI_ID_BUF];  /* READ: the last message that the client has */
    uint64_t upto;                   /* INBOX with after, READ: of the list that ends there; 0:
                                        only the id is known; HISTORY without peer: of the list
                                        that begins there, only older ones; 0: all; WATCH: "seq",
                                        the last one heard; 0: none */
    uint64_t since_s;                /* WATCH: Unix seconds; 0: not given */
    char message[PV_CTLAPI_ID_BUF];  /* SEND: the id it shall have, may be "" */
    char transfer[PV_CTLAPI_ID_BUF]; /* FILE_SEND: the id it shall have, may be "" */
    uint32_t limit;                  /* HISTORY: 1..PV_CTLAPI_MAX_HISTORY, default 100 */
};

/* A request of this command with the defaults above, and no id yet. */
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
