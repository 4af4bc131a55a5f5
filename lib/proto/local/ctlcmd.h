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
    PV_CTLAPI_ID_BUF = 23,           /* an id of a message or a file, and the NUL */
    PV_CTLAPI_WORD_BUF = 16,         /* a log level, or what to watch, and the NUL */
    PV_CTLAPI_ERROR_BUF = 512,       /* "what failed: why: what to do", and the NUL */
    PV_CTLAPI_MIN_MEMBER_S = 3600,   /* ours: a shorter lifetime is renewed all the time */
    PV_CTLAPI_MAX_MEMBER_S = 314496000,  /* ours: 520 weeks, ten years */
    PV_CTLAPI_MAX_EXPIRES_S = 315360000, /* ours: 3650 days, of an invite */
    PV_CTLAPI_MAX_USES = 1000000,        /* ours: nodes that one invite may admit */
    PV_CTLAPI_MAX_PINGS = 1000000,       /* ours: echoes of one `ping` */
    PV_CTLAPI_MAX_PING_SIZE = 1190,      /* bytes of filler that fit in one packet */
    PV_CTLAPI_MAX_HISTORY = 1000,        /* ours: messages in one answer */
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
    PV_CTLAPI_BUSY = 13, /* too many clients, or commands that last */
};

/*
 * Every request in one row: its name, its word, who may ask it (ANY: everybody whom the socket lets
 * in; ROOT: it changes this node or the network), the fields that it needs, and those it may have,
 * each followed by a blank (FIELDS of ctlapi_request.c). The codec is made from these rows.
 */
/* clang-format off */
#define PV_CTLAPI_REQUESTS(X) \
    X(VERSION, "version", ANY, "", "") \
    X(CREATE, "create", ROOT, "url ", "network name cidr timeout_ms insist ") \
    X(INVITE, "invite", ROOT, "", "uses expires admin member_for ephemeral approve tag ") \
    X(INVITE_LIST, "invite_list", ANY, "", "") \
    X(INVITE_REVOKE, "invite_revoke", ROOT, "invite ", "") \
    X(JOIN, "join", ROOT, "token ", "name network timeout_ms insist ") \
    X(UP, "up", ROOT, "", "") \
    X(DOWN, "down", ROOT, "", "") \
    X(LEAVE, "leave", ROOT, "", "forget copy last delete_root ") \
    X(STATUS, "status", ANY, "", "") \
    X(PEERS, "peers", ANY, "", "") \
    X(METRICS, "metrics", ANY, "", "") \
    X(PING, "ping", ANY, "peer ", "count interval_ms size ") \
    X(WAIT, "wait", ANY, "", "peer direct online ") \
    X(IP, "ip", ANY, "", "peer ") \
    X(REMOVE, "remove", ROOT, "peer ", "keep_invite ") \
    X(ADMIT, "admit", ROOT, "peer ", "tag ") \
    X(DENY, "deny", ROOT, "peer ", "") \
    X(ADMIN_GRANT, "admin_grant", ROOT, "peer ", "") \
    X(ADMIN_REVOKE, "admin_revoke", ROOT, "peer ", "keep_invite ") \
    X(RENAME, "rename", ROOT, "name ", "peer ") /* peer, or without one this node */ \
    X(ADDRESS_SET, "address_set", ROOT, "address ", "peer ") /* the same */ \
    X(REPLACE, "replace", ROOT, "peer name ", "force ") /* peer by the member called name */ \
    X(RULES, "rules", ANY, "", "") /* list */ \
    /* number: in the place of that rule, 0: as the last one */ \
    X(RULE_ADD, "rule_add", ROOT, "verdict from to ports ", "place keep_invite ") \
    /* the rule of this number; rule: only while it is that one */ \
    X(RULE_REMOVE, "rule_remove", ROOT, "number ", "rule ") \
    X(RULES_DEFAULT, "rules_default", ROOT, "verdict ", "") \
    X(CAN, "can", ANY, "from to ports ", "") /* what the rules say */ \
    X(TAG, "tag", ROOT, "peer tag ", "keep_invite ") /* peer gets the tag name */ \
    X(UNTAG, "untag", ROOT, "peer tag ", "") /* and loses it */ \
    /* a phone of peer, or without one this node */ \
    X(EXPORT, "export", ROOT, "name ", "peer endpoint everything ") \
    X(ROUTES, "routes", ANY, "", "") /* list */ \
    /* this node carries the prefix */ \
    X(ROUTE_OFFER, "route_offer", ROOT, "prefix ", "no_snat auto ") \
    X(ROUTE_WITHDRAW, "route_withdraw", ROOT, "prefix ", "") /* and no longer */ \
    X(ROUTE_ALLOW, "route_allow", ROOT, "peer prefix ", "") /* peer may carry the prefix */ \
    X(ROUTE_DENY, "route_deny", ROOT, "peer prefix ", "") /* and may not any more */ \
    /* peer: "all", "auto", "off", a member or a prefix */ \
    X(ROUTE_USE, "route_use", ROOT, "peer ", "off ") \
    X(EXIT_USE, "exit_use", ROOT, "peer ", "lan block ") /* everything goes out by peer */ \
    X(EXIT_OFF, "exit_off", ROOT, "", "") /* and no longer */ \
    X(COORDINATORS, "coordinators", ANY, "", "") /* list */ \
    /* url: it becomes the preferred one */ \
    X(COORDINATOR_ADD, "coordinator_add", ROOT, "url ", "") \
    X(COORDINATOR_REMOVE, "coordinator_remove", ROOT, "coordinator ", "") \
    /* it is at these addresses, and no other */ \
    X(COORDINATOR_ADDRESS, "coordinator_address", ROOT, "addresses ", "coordinator ") \
    /* for members who hear of a change by nobody else */ \
    X(COORDINATOR_TOKEN, "coordinator_token", ANY, "", "") \
    X(COORDINATOR_TAKE, "coordinator_take", ROOT, "token ", "") /* such a token */ \
    /* another transport key of this node */ \
    X(KEY_ROTATE, "key_rotate", ROOT, "", "statics ") \
    X(ROOT_EXPORT, "root_export", ROOT, "", "") /* where the root key is */ \
    X(ROOT_IMPORT, "root_import", ROOT, "key box ", "") \
    /* name, room: only while peer, a key or a room's address, is called so */ \
    X(SEND, "send", ANY, "peer text ", "message name room unless ") \
    X(INBOX, "inbox", ANY, "", "peer peek after upto ") \
    X(READ, "read", ANY, "through ", "peer upto ") \
    X(HISTORY, "history", ANY, "", "peer before upto limit ") \
    X(HISTORY_CLEAR, "history_clear", ANY, "", "peer ") /* of peer, or without one of all */ \
    X(MUTE, "mute", ANY, "peer ", "") \
    X(UNMUTE, "unmute", ANY, "peer ", "") \
    X(MUTED, "muted", ANY, "", "") /* list */ \
    X(WATCH, "watch", ANY, "what ", "seen since seq figures ") \
    X(STATS, "stats", ANY, "", "peer ") \
    X(WHY, "why", ANY, "peer ", "") \
    /* a packet of peer, or without one of any member, is tried on this host; or one to an address */ \
    X(PROBE, "probe", ANY, "what port ", "peer to ") \
    X(TRACE, "trace", ANY, "peer ", "") \
    /* of a member, by a name or address that it has now */ \
    X(SSH_KNOWN_HOSTS, "ssh_known_hosts", ANY, "peer ", "") \
    /* keys: lines of OpenSSH, or "none"; without: those that this machine's sshd has */ \
    X(SSH_ANNOUNCE, "ssh_announce", ROOT, "", "keys ") \
    X(SSH_KEYS, "ssh_keys", ANY, "", "") /* what this machine's users log in elsewhere with */ \
    X(SSH_KEYS_ADD, "ssh_keys_add", ROOT, "keys ", "") /* lines of OpenSSH */ \
    X(SSH_KEYS_REMOVE, "ssh_keys_remove", ROOT, "keys ", "") /* likewise, or "all" */ \
    /* print: of the key that somebody wants to log in to the account with */ \
    X(SSH_AUTHORIZED_KEYS, "ssh_authorized_keys", ANY, "account print ", "") \
    X(LOG, "log", ROOT, "level ", "") \
    X(RELOAD, "reload", ROOT, "", "") \
    /* with a descriptor of the file (SCM_RIGHTS) */ \
    X(FILE_SEND, "file_send", ANY, "peer file ", "transfer room ") \
    X(FILES, "files", ANY, "", "") /* list */ \
    X(FILE_ACCEPT, "file_accept", ANY, "number ", "") /* an incoming one */ \
    /* refuse an incoming one, withdraw an outgoing one */ \
    X(FILE_STOP, "file_stop", ANY, "number ", "") \
    /* a descriptor of a received one comes with the answer */ \
    X(FILE_GET, "file_get", ANY, "number ", "") \
    X(FILE_SAVED, "file_saved", ANY, "number ", "") /* the daemon's copy may go */ \
    X(ROOM_CREATE, "room_create", ANY, "room ", "") \
    X(ROOM_INVITE, "room_invite", ANY, "room peer ", "") \
    X(ROOM_ACCEPT, "room_accept", ANY, "room ", "") \
    X(ROOM_LEAVE, "room_leave", ANY, "room ", "") \
    X(ROOM_LIST, "room_list", ANY, "", "") \
    X(ROOM_MEMBERS, "room_members", ANY, "room ", "")
/* clang-format on */

/* The only line that a client gets when it is sent away because there are too many. It has no id,
 * and is not about the request, which nobody has read. */
#define PV_CTLAPI_BUSY_LINE                                                                      \
    "{\"id\":null,\"ok\":false,\"code\":13,\"error\":\"p2pvpnd has too many clients: end some, " \
    "such as "                                                                                   \
    "events and chat, or try again\"}\n"

#define PV_CTLAPI_ENUMERATOR(name, word, who, needs, may) PV_CTLAPI_##name,
enum pv_ctlapi_cmd {
    PV_CTLAPI_REQUESTS(PV_CTLAPI_ENUMERATOR) PV_CTLAPI_N_CMDS,
};
#undef PV_CTLAPI_ENUMERATOR
