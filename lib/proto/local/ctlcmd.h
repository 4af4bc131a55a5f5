/* SPDX-License-Identifier: MIT */
/*
 * ctlcmd.h - the words of the language between p2pvpnctl and p2pvpnd: its commands, exit codes and
 * limits, for those that need neither fields nor answers (ctlapi.h).
 */
#pragma once

enum {
    PV_CTLAPI_NETWORK_LEN = 16,      /* bytes of a network id, PV_NETWORK_ID_LEN */
    PV_CTLAPI_LINE_MAX = 65536,      /* bytes of a request line with its newline */
    PV_CTLAPI_REPLY_MAX = 16777216,  /* bytes of an answer or event line with its newline */
    PV_CTLAPI_DEPTH = 4,             /* ours: nesting of a request; ours need 1 */
    PV_CTLAPI_REPLY_DEPTH = 8,       /* ours: nesting of a reply; ours need 5 */
    PV_CTLAPI_PEER_BUF = 160,        /* "bob", "bob.home.p2p", an address or a key, and the NUL */
    PV_CTLAPI_COORDINATOR_BUF = 268, /* bytes of "tls:HOST:PORT" or a key, with the NUL */
    PV_CTLAPI_SECRET_MAX = 4096,     /* characters of a token or coordinator URL */
    PV_CTLAPI_INVITE_BUF = 64,       /* an invite's id in text, and the NUL */
    PV_CTLAPI_ROOM_BUF = 64,         /* "#name" or "#name~abcd", and the NUL */
    PV_CTLAPI_WORD_BUF = 16,         /* a log level, or what to watch, and the NUL */
    PV_CTLAPI_ERROR_BUF = 512,       /* "what failed: why: what to do", and the NUL */
    PV_CTLAPI_MIN_MEMBER_S = 3600,   /* ours: a shorter lifetime is renewed all the time */
    PV_CTLAPI_MAX_MEMBER_S = 314496000, /* ours: 520 weeks, ten years */
    PV_CTLAPI_MAX_USES = 1000000,       /* ours: nodes that one invite may admit */
    PV_CTLAPI_MAX_PINGS = 1000000,      /* ours: echoes of one `ping` */
    PV_CTLAPI_MAX_PING_SIZE = 1190,     /* bytes of filler that fit in one packet */
    PV_CTLAPI_MAX_HISTORY = 1000,       /* ours: messages in one answer */
};

/* Exit codes of p2pvpnctl, and "code" of a failed answer (DESIGN 9). */
enum pv_ctlapi_code {
    PV_CTLAPI_DONE = 0,
    PV_CTLAPI_FAILED = 1, /* an answer that is ok may carry it: done, but not on this disk */
    PV_CTLAPI_USAGE = 2,
    PV_CTLAPI_TIMEOUT = 3,
    PV_CTLAPI_NOT_JOINED = 4,
    PV_CTLAPI_PERMISSION = 5,
    PV_CTLAPI_UNKNOWN_PEER = 6,
    PV_CTLAPI_PEER_OFFLINE = 7,
    PV_CTLAPI_NOT_RUNNING = 8,
    PV_CTLAPI_UNREACHABLE = 9, /* coordinator; an answer that is ok may carry it: from cache */
    PV_CTLAPI_RELAYED = 10,
    PV_CTLAPI_REFUSED = 11,
    PV_CTLAPI_BAD_TOKEN = 12,
};

enum pv_ctlapi_cmd {
    PV_CTLAPI_VERSION,
    PV_CTLAPI_CREATE,
    PV_CTLAPI_INVITE,
    PV_CTLAPI_INVITE_LIST,
    PV_CTLAPI_INVITE_REVOKE,
    PV_CTLAPI_JOIN,
    PV_CTLAPI_UP,
    PV_CTLAPI_DOWN,
    PV_CTLAPI_LEAVE,
    PV_CTLAPI_STATUS,
    PV_CTLAPI_PEERS,
    PV_CTLAPI_METRICS,
    PV_CTLAPI_PING,
    PV_CTLAPI_WAIT,
    PV_CTLAPI_IP,
    PV_CTLAPI_REMOVE,
    PV_CTLAPI_ADMIT,
    PV_CTLAPI_DENY,
    PV_CTLAPI_ADMIN_GRANT,
    PV_CTLAPI_ADMIN_REVOKE,
    PV_CTLAPI_RENAME,          /* peer, or without one this node */
    PV_CTLAPI_ADDRESS_SET,     /* the same */
    PV_CTLAPI_REPLACE,         /* peer by the member called name */
    PV_CTLAPI_RULES,           /* list */
    PV_CTLAPI_RULE_ADD,        /* word: "allow" or "deny"; number: in the place of that rule,
                                * 0: as the last one */
    PV_CTLAPI_RULE_REMOVE,     /* the rule of this number */
    PV_CTLAPI_RULES_DEFAULT,   /* word: "allow" or "deny" */
    PV_CTLAPI_CAN,             /* what the rules say */
    PV_CTLAPI_TAG,             /* peer gets the tag name; keep_invite */
    PV_CTLAPI_UNTAG,           /* and loses it */
    PV_CTLAPI_EXPORT,          /* name: a guest that peer carries, or without one this node;
                                * coordinator: its endpoint, may be "" */
    PV_CTLAPI_ROUTES,          /* list */
    PV_CTLAPI_ROUTE_OFFER,     /* this node carries the prefix cidr */
    PV_CTLAPI_ROUTE_WITHDRAW,  /* and no longer */
    PV_CTLAPI_ROUTE_ALLOW,     /* peer may carry the prefix cidr */
    PV_CTLAPI_ROUTE_DENY,      /* and may not any more */
    PV_CTLAPI_ROUTE_USE,       /* peer: "all", "auto", "off", a member or a prefix */
    PV_CTLAPI_EXIT_USE,        /* everything goes out by peer */
    PV_CTLAPI_EXIT_OFF,        /* and no longer */
    PV_CTLAPI_COORDINATORS,    /* list */
    PV_CTLAPI_COORDINATOR_ADD, /* url: it becomes the preferred one */
    PV_CTLAPI_COORDINATOR_REMOVE,
    PV_CTLAPI_COORDINATOR_ADDRESS, /* it is at these addresses, and no other */
    PV_CTLAPI_COORDINATOR_TOKEN,   /* for members who hear of a change by nobody else */
    PV_CTLAPI_COORDINATOR_TAKE,    /* such a token */
    PV_CTLAPI_KEY_ROTATE,          /* another transport key of this node */
    PV_CTLAPI_ROOT_EXPORT,         /* where the root key is */
    PV_CTLAPI_ROOT_IMPORT,
    PV_CTLAPI_SEND,
    PV_CTLAPI_INBOX,
    PV_CTLAPI_READ,
    PV_CTLAPI_HISTORY,
    PV_CTLAPI_HISTORY_CLEAR, /* of peer, or without one of all */
    PV_CTLAPI_MUTE,
    PV_CTLAPI_UNMUTE,
    PV_CTLAPI_MUTED, /* list */
    PV_CTLAPI_WATCH,
    PV_CTLAPI_STATS,
    PV_CTLAPI_WHY,
    PV_CTLAPI_TRACE,
    PV_CTLAPI_LOG,
    PV_CTLAPI_RELOAD,
    PV_CTLAPI_FILE_SEND,   /* with a descriptor of the file (SCM_RIGHTS) */
    PV_CTLAPI_FILES,       /* list */
    PV_CTLAPI_FILE_ACCEPT, /* an incoming one */
    PV_CTLAPI_FILE_STOP,   /* refuse an incoming one, withdraw an outgoing one */
    PV_CTLAPI_FILE_GET,    /* a descriptor of a received one comes with the answer */
    PV_CTLAPI_FILE_SAVED,  /* the daemon's copy may go */
    PV_CTLAPI_ROOM_CREATE,
    PV_CTLAPI_ROOM_INVITE,
    PV_CTLAPI_ROOM_ACCEPT,
    PV_CTLAPI_ROOM_LEAVE,
    PV_CTLAPI_ROOM_LIST,
    PV_CTLAPI_ROOM_MEMBERS,
    PV_CTLAPI_N_CMDS,
};
