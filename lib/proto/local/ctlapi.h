/* SPDX-License-Identifier: MIT */
/*
 * ctlapi.h - the language between p2pvpnctl and p2pvpnd: JSON lines on a unix socket
 * (docs/PROTOCOL-LOCAL.md "Control socket").
 *
 * Requests as typed structs with both directions; answers and events as builders of JSON objects
 * whose fields and order are stable ("version":1), and one parser for all of them. The codec only:
 * connections are daemon/core/node/ctlsrv.h. No state; thread-safe. Times are Unix milliseconds
 * here and seconds with decimals in JSON.
 *
 * Builders return a new reference or NULL without memory. A NULL where a text is needed is a
 * mistake of the caller and gives {"bug":"…"}.
 */
#ifndef PV_CTLAPI_H
#define PV_CTLAPI_H

#include <jansson.h>

#include "base/addr.h"
#include "base/pv.h"
#include "base/text.h"
#include "crypto/sign.h"
#include "proto/chat/chat.h"
#include "proto/chat/room.h"
#include "proto/ip/offload.h"

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

/* --- requests ------------------------------------------------------------------------------ */

/* One request. Fields not named by the command are zero; "" = not given. */
struct pv_ctlapi_request {
    uint64_t id; /* chosen by the client, repeated in every reply; <= 2^53 */
    enum pv_ctlapi_cmd cmd;
    char peer[PV_CTLAPI_PEER_BUF]; /* PING REMOVE SEND WHY TRACE MUTE UNMUTE; WAIT IP INBOX HISTORY
                                      HISTORY_CLEAR: may be "" */
    char network[PV_NAME_BUF];     /* CREATE, may be "" */
    char name[PV_NAME_BUF];        /* CREATE JOIN: of this node, may be ""; RENAME REPLACE; tag of
                                      TAG UNTAG */
    char from[PV_CTLAPI_PEER_BUF]; /* RULE_ADD, CAN: whom a rule means */
    char to[PV_CTLAPI_PEER_BUF];   /* the same */
    char cidr[PV_ADDR_TEXT];       /* CREATE, may be ""; ROUTE_*: a prefix, or "default" */
    char invite[PV_CTLAPI_INVITE_BUF];           /* INVITE_REVOKE */
    char room[PV_CTLAPI_ROOM_BUF];               /* ROOM_*, LIST excepted */
    char word[PV_CTLAPI_WORD_BUF];               /* LOG: level; WATCH: "chat"; ADDRESS_SET:
                                                    address */
    char coordinator[PV_CTLAPI_COORDINATOR_BUF]; /* COORDINATOR_REMOVE, _ADDRESS: key, address or
                                          host; may be "" where there is one only */
    char *secret;         /* CREATE, COORDINATOR_ADD: url, JOIN, COORDINATOR_TAKE:
                             token, ROOT_*: key; owned, wiped when freed */
    char *text;           /* ROOT_IMPORT: box; SEND: owned, valid for pv_chat_text_is_valid();
                             FILE_SEND: name of the file; COORDINATOR_ADDRESS:
                             addresses, commas between */
    uint32_t uses;        /* INVITE: 1.., default 1 */
    uint64_t expires_s;   /* INVITE: seconds from now, default 24 h */
    uint64_t lifetime_s;  /* INVITE: seconds that who joins stays unused, default 0: for ever */
    bool admin;           /* INVITE: who joins by it becomes an admin */
    bool approve;         /* INVITE: who joins by it waits until an admin admits it */
    bool forget;          /* LEAVE: delete this node's keys too */
    bool statics;         /* KEY_ROTATE: although static peers know the present one */
    bool insist;          /* CREATE JOIN: tries until timeout_ms, also where nobody answers */
    bool keep_invite;     /* REMOVE, RULE_ADD, ADMIN_REVOKE: the invite that let it in, or its own,
                             stays */
    bool last;            /* LEAVE: although nobody else is an admin */
    bool force;           /* REPLACE: although the old one is online, or its rights stay behind */
    bool delete_root;     /* LEAVE with forget: the root key, too */
    uint32_t count;       /* PING: 1.., default 4 */
    uint32_t interval_ms; /* PING: 10..3600000, default 1000 */
    uint32_t size;        /* PING: bytes of filler, default 56 */
    uint32_t timeout_ms;  /* CREATE JOIN: not done by then, it ends and says why;
                             0 (default): after 30 s */
    bool direct;          /* WAIT: until the path leads through no relay */
    bool online;          /* WAIT: until the peer, or this node, is online */
    bool peek;            /* INBOX: leave them unread */
    bool no_snat;         /* ROUTE_OFFER: hosts there see the members' own addresses */
    bool automatic;       /* ROUTE_OFFER: members use it unless they say otherwise */
    bool off;             /* ROUTE_USE: not to use that member's, or that prefix */
    bool lan, block;      /* EXIT_USE */
    bool seen;            /* WATCH: messages told are read from then on */
    uint32_t number;      /* FILE_ACCEPT STOP GET SAVED: "id" in the list; RULE_*: a rule's */
    char before[PV_CHAT_ID_TEXT_BUF];   /* HISTORY: id of a message, may be "" */
    char after[PV_CHAT_ID_TEXT_BUF];    /* INBOX: the same; only later ones */
    char through[PV_CHAT_ID_TEXT_BUF];  /* READ: the last message that the client has */
    uint64_t upto;                      /* INBOX with after, READ: of the list that ends there; 0:
                                           only the id is known */
    char message[PV_CHAT_ID_TEXT_BUF];  /* SEND: the id it shall have, may be "" */
    char transfer[PV_CHAT_ID_TEXT_BUF]; /* FILE_SEND: the id it shall have, may be "" */
    uint32_t limit;                     /* HISTORY: 1..PV_CTLAPI_MAX_HISTORY, default 100 */
};

/* Makes a request of this command with the defaults above. */
void pv_ctlapi_request_init(struct pv_ctlapi_request *req, enum pv_ctlapi_cmd cmd, uint64_t id);
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

/* --- replies: building --------------------------------------------------------------------- */

/* {"id":…,"ok":true, fields of body…}; takes body (NULL: no fields). */
json_t *pv_ctlapi_answer(uint64_t id, json_t *body);
/* {"id":…,"ok":false,"code":…,"error":…}; id UINT64_MAX becomes null. */
json_t *pv_ctlapi_error(uint64_t id, enum pv_ctlapi_code code, const char *text);
/* {"id":…,"event":…, fields of body…}; takes body. */
json_t *pv_ctlapi_event(uint64_t id, const char *event, json_t *body);
/* One line with newline and NUL; *ret_len without the NUL. NULL without memory. free() it. */
char *pv_ctlapi_dump(const json_t *obj, size_t *ret_len);

/* How a peer is reached; PATH_STATIC: at the address of a static [peer]. */
enum pv_ctlapi_path_type {
    PV_CTLAPI_PATH_NONE,
    PV_CTLAPI_PATH_DIRECT,
    PV_CTLAPI_PATH_RELAY,
    PV_CTLAPI_PATH_STATIC,
};
struct pv_ctlapi_path {
    enum pv_ctlapi_path_type type;
    struct pv_addr local;  /* our end; PV_AF_NONE: null */
    struct pv_addr remote; /* the peer's end; PV_AF_NONE: null */
    const char *via;       /* the relay's address; NULL: null */
    double rtt_ms;         /* measured on this path; < 0: null */
    double loss;           /* share of packets lost, 0..1; < 0: null */
    unsigned mtu;          /* bytes of the largest inner packet; 0: null */
};
struct pv_ctlapi_peer {
    const char *name;
    struct pv_addr ip4, ip6; /* overlay; PV_AF_NONE: null */
    const uint8_t *key;      /* identity key; NULL (static peers): null */
    const uint8_t *wg_key;   /* transport key */
    const char *standing;    /* "member", also of static peers; "expired"; "waiting" */
    const char *asks_from;   /* who waits: an address, by the coordinator's word; NULL: null */
    uint64_t expires_s;      /* Unix seconds, when its membership ends or ended; 0: null, never */
    bool online;
    bool admin; /* it may invite and remove */
    struct pv_ctlapi_path path;
    uint64_t tx_bytes, rx_bytes; /* inner packets sent and received */
    uint64_t last_handshake_ms;  /* 0: null */
    uint64_t last_seen_ms;       /* online, or heard; 0: null, it is online or nobody knows */
    const uint8_t *former;    /* identity key of the machine that had the name before; NULL: null */
    uint64_t another_since_s; /* with former: Unix seconds since when it is another machine */
    const uint8_t *ip4_former; /* the same of its IPv4 address */
    uint64_t ip4_since_s;
    bool tells_groups;            /* groups are known; else "groups" is null */
    const struct pv_addr *groups; /* multicast groups that its programs want */
    size_t n_groups;
    const char *const *tags; /* that admins gave it */
    size_t n_tags;
    const char *session; /* "hybrid", "classical": the keys in use; NULL: null, none, or static */
    const char *proof;   /* "daemon": its connections are proven to be its daemon's; "none": its
                            program is older than that; NULL: null, not known yet, or a static peer */
};
/* A rule of the network, as its number says; where NULL is allowed it is null. */
struct pv_ctlapi_rule {
    unsigned number;
    bool allow;
    const char *from, *to; /* "any", a name, "tag:NAME" */
    const char *ports;     /* "tcp/22,ping" */
    const char *by;        /* who signed it; NULL: nobody who is known */
    uint64_t denied;       /* packets that this node dropped for it */
};
/* {"version":1,"rules":[{"number","verdict","from","to","ports","by","denied"}],
 *  "default":"allow" or "deny","default_denied","firewall","firewall_denied",
 *  "tags":[{"peer","tag"}]}; firewall NULL: this node lets in what the rules do */
json_t *pv_ctlapi_rules_new(bool allow_default, uint64_t default_denied, const char *firewall,
                            uint64_t firewall_denied);
PV_MUST_CHECK int pv_ctlapi_rules_add(json_t *rules, const struct pv_ctlapi_rule *rule);
PV_MUST_CHECK int pv_ctlapi_rules_add_tag(json_t *rules, const char *peer, const char *tag);
/* {"allowed","rule","from","to","port","why"}; rule 0: null */
json_t *pv_ctlapi_can_json(bool allowed, unsigned rule, const char *from, const char *to,
                           const char *port, const char *why);

/* {"version":1,"peers":[…]}; add fails with PV_ERR_NOMEM only. */
json_t *pv_ctlapi_peers_new(void);
PV_MUST_CHECK int pv_ctlapi_peers_add(json_t *peers, const struct pv_ctlapi_peer *peer);
/* {"type","local","remote","via","rtt_ms","loss","mtu"} */
json_t *pv_ctlapi_path_json(const struct pv_ctlapi_path *path);

struct pv_ctlapi_message {
    const uint8_t *id; /* PV_CHAT_ID_LEN bytes */
    const char *from;  /* node names */
    bool unproven; /* somebody on the machine of from typed it: its daemon does not vouch for it */
    enum pv_chat_typist typist; /* unproven: who, by that daemon's word */
    const char *to;             /* in a room: the room */
    const char *room;           /* "#name"; NULL: null */
    /* Key of the machine that had the name of from, or of to, then; NULL: it still has it. */
    const uint8_t *from_former, *to_former;
    /* Of news only: since when (Unix seconds) the name of the other side is another machine's, and
     * the key that had it before; 0: nobody else had it. */
    uint64_t another_since_s;
    uint8_t former[PV_SIGN_PK_LEN];
    const char *text;
    uint64_t time_ms;
    enum pv_chat_state state;
    enum pv_chat_later held; /* it stays queued because the other machine takes no more for now */
};
/* {"id","from","to","room","text","time","state"}, and "typist": "root" or "group" of unproven
 * text, and "held": "full" or "disk", and "from_former" or "to_former": a key, and "former" (a
 * key) with "another_since" */
json_t *pv_ctlapi_message_json(const struct pv_ctlapi_message *msg);
/* {"version":1,"messages":[…]}, with "more":true when the list was cut (ask again), and "upto" when
 * it is not 0. */
json_t *pv_ctlapi_messages_new(bool more, uint64_t upto);
PV_MUST_CHECK int pv_ctlapi_messages_add(json_t *messages, const struct pv_ctlapi_message *msg);

/* Adds "changed":{"since","key"} to the list of one peer: since then its name is this machine's,
 * and before it was that of another key. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_messages_changed(json_t *messages, uint64_t since_s,
                                             const uint8_t *former);

/* HISTORY_CLEAR: {"deleted"}: messages */
json_t *pv_ctlapi_cleared_json(uint64_t deleted);
/* MUTE, UNMUTE: {"changed"}: it was not so before */
json_t *pv_ctlapi_muted_json(bool changed);
/* MUTED: {"version":1,"muted":[names of peers and rooms]} */
json_t *pv_ctlapi_mutes_new(void);
PV_MUST_CHECK int pv_ctlapi_mutes_add(json_t *mutes, const char *name);

struct pv_ctlapi_status {
    const char *state;   /* "none" (not joined), "static", "removed", "expired", "waiting", "down",
                            "connecting",   "up" */
    uint64_t uptime_s;   /* of the daemon */
    const char *network; /* NULL: "network" is null */
    const uint8_t *network_id; /* PV_CTLAPI_NETWORK_LEN bytes */
    struct pv_prefix cidr, ula;
    const char *name; /* of this node; NULL: "self" is null */
    struct pv_addr ip4, ip6;
    const uint8_t *key, *wg_key;
    uint64_t wg_key_since_s; /* Unix seconds; 0: null */
    uint64_t wg_key_until_s; /* about then it is replaced by itself; 0: null, it is not */
    uint64_t expires_s;      /* Unix seconds, when its membership ends; 0: null, never */
    bool admin;
    bool root_key;         /* the root key of this network is here */
    const char *interface; /* NULL: "interface" is null */
    unsigned mtu;
    unsigned udp_port;
    const char *confined;    /* what rights the daemon has; NULL: not told */
    const char *coordinator; /* address as in the record; NULL: "coordinator" is null */
    bool connected;
    double coordinator_rtt_ms;               /* < 0: null */
    const char *coordinator_error;           /* NULL: null */
    uint64_t away_since_s;                   /* not connected since then; 0: null */
    unsigned reached_without;                /* peers with a path meanwhile */
    const char *relay;                       /* its address; NULL: "relay" is null */
    uint64_t relay_tx_bytes, relay_rx_bytes; /* inner packets that went through all relays */
    const struct pv_addr *public_addrs;      /* as seen from outside */
    size_t n_public;
    const uint8_t *head; /* 32 bytes; NULL: "roster" is null */
    unsigned members, online;
    unsigned rules;              /* of the network, in force */
    bool deny_default;           /* what no rule allows is denied */
    uint64_t unread, queued;     /* chat */
    const char *const *problems; /* sentences */
    size_t n_problems;
    const char *const *drop_names; /* packets thrown away, by reason */
    const uint64_t *drop_counts;
    size_t n_drops;
};
/* {"version":1,"daemon","state","uptime","network":{"name","id","cidr","ip6"},
 *  "self":{"name","ip4","ip6","key","wg_key","wg_key_since","wg_key_until","admin",
 *  "root_key"},"interface":{"name","mtu","port"},
 *  "coordinator":{"address","connected","rtt_ms","error","away_since","reached_without"},
 *  "relay":{"address","tx_bytes","rx_bytes"},"relayed":{"tx_bytes","rx_bytes"},"public":[…],
 *  "roster":{"head","members","online"},"rules":{"count","default"},"chat":{"unread","queued"},"problems":[…],"drops":{…},"confined"}
 */
json_t *pv_ctlapi_status_json(const struct pv_ctlapi_status *status);

/* The facts known about the own NAT, and the budget of attempts to cross hard ones. */
struct pv_ctlapi_hard {
    const char *mapping, *ports;            /* words */
    bool predict, birthday;                 /* what is switched on */
    bool running;                           /* an attempt is under way */
    unsigned attempts;                      /* since the daemon started */
    unsigned sockets, max_mappings;         /* sockets open for attempts, and their limit */
    unsigned packets, max_packets, max_pps; /* packets: of the present or last attempt */
    unsigned kept;                          /* sockets that carry a path */
};
/* Adds "hard_nat":{"mapping","ports","on","predict","birthday","running","attempts","sockets",
 * "max_mappings","packets","max_packets","max_pps","kept"} to a status. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_hard(json_t *status, const struct pv_ctlapi_hard *hard);

/* Sessions with members that no quantum computer opens later. */
struct pv_ctlapi_pq {
    const char *state;          /* "on", "require", "off", "unable"; NULL: nobody told */
    const char *why;            /* "unable": why; NULL: null */
    unsigned hybrid, classical; /* sessions with keys */
    unsigned waiting;           /* of the classical ones: no packet passes */
    unsigned sealing_keys;      /* members whose signals and copies are hybrid boxes */
    const char *coordinator; /* its control channel: "hybrid", "classical"; NULL: there is none */
};
/* Adds "post_quantum":{"state","why","hybrid","classical","waiting","coordinator",
 * "sealing_keys"} to a status. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_pq(json_t *status, const struct pv_ctlapi_pq *pq);

/* The measured life of the own NAT's bindings, in seconds. */
struct pv_ctlapi_binding {
    bool measuring; /* a measurement is under way */
    double idle_s;  /* a silent binding lives at least this long; < 0: null, not known */
    /* A silent binding is dead after this; < 0: null, not known or longer than was tried. */
    double idle_max_s;
    double absolute_s; /* a binding in use is ended at this age; < 0: null, no such end was seen */
    double refresh_s;  /* interval at which it is refreshed */
};
/* Adds "nat_binding":{"measuring","idle_s","idle_max_s","absolute_s","refresh_s"} to a status.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_binding(json_t *status, const struct pv_ctlapi_binding *b);

/* The threads that carry packets. */
struct pv_ctlapi_datapath {
    unsigned workers, threads;
    const char *aead; /* the library that seals and opens */
    bool tcp_offload, udp_offload;
    const struct pv_offload_off *off; /* what is not used, and why */
    size_t n_off;
};
/* Adds "datapath":{"workers","threads","aead","tcp_offload","udp_offload","off":[{"what","why"}]}
 * to a status. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_datapath(json_t *status, const struct pv_ctlapi_datapath *d);

/* Broadcast and multicast. */
struct pv_ctlapi_lan {
    const char *broadcast; /* "auto", "on", "off", "peers": as configured; NULL: nothing is known */
    bool sent;             /* broadcasts and discovery are copied now */
    bool wake;             /* to members that are not in use, too */
    uint64_t online;       /* members that count, this node with them; 0: null */
    const struct pv_addr *groups; /* that programs here want */
    size_t n_groups;
    uint64_t wanted; /* groups that something is copied to */
};
/* Adds "lan":{"broadcast","sent","wake","online","groups":[…],"wanted"} to a status.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_lan(json_t *status, const struct pv_ctlapi_lan *lan);

/* A TURN server this node uses. */
struct pv_ctlapi_relay {
    const char *name;            /* "coordinator", or as in the configuration */
    const char *address;         /* NULL: null, not known */
    const char *transport;       /* "udp", "tcp", "tls": in use, or being tried */
    const char *state;           /* "up", "connecting" */
    struct pv_addr relayed;      /* our address there; PV_AF_NONE: null */
    double rtt_ms;               /* < 0: null */
    const char *error;           /* why it is not reached; NULL: null */
    uint64_t tx_bytes, rx_bytes; /* inner packets that went through it */
};
/* Adds "udp": "open", "blocked" or (nobody to ask) "unknown", and "relays":[{"name","address",
 * "transport","state","relayed","rtt_ms","error","tx_bytes","rx_bytes"}] to a status.
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_relays(json_t *status, const char *udp,
                                              const struct pv_ctlapi_relay *relays, size_t n);

/* A port mapped by the router of one family. Addresses without family: null. */
struct pv_ctlapi_portmap {
    const char *family;   /* "ipv4", "ipv6" */
    const char *state;    /* "off", "asking", "checking", "working", "releasing", "waiting" */
    const char *protocol; /* "PCP", "NAT-PMP", "UPnP"; NULL: none */
    struct pv_addr router, claimed, external;
    double lifetime_s; /* negative: null */
    const char *why;   /* why nothing is offered; NULL: it is */
};
/* Adds to "port_mappings":[{"family","state","protocol","router","claimed","external","lifetime",
 * "verified","why"}] of a status. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_ctlapi_status_add_portmap(json_t *status, const struct pv_ctlapi_portmap *map);

/* {"version":1,"text"}: what Prometheus reads (base/metrics.h). */
json_t *pv_ctlapi_metrics_json(const char *text);
json_t *pv_ctlapi_version_json(void);
/* RELOAD: {"version":1,"file","changed":[KEY…],"restart":[KEY…]}; the lists come as "KEY, KEY". */
json_t *pv_ctlapi_reloaded_json(const char *file, const char *changed, const char *waiting);
/* CREATE, JOIN: {"network","name","ip4","ip6"} and "token" unless NULL. */
json_t *pv_ctlapi_joined_json(const char *network, const char *name, const struct pv_addr *ip4,
                              const struct pv_addr *ip6, const char *token, bool waiting);
/* Of the event "waiting": {"name","key","asks_from"}: somebody asks to be admitted; from: an
 * address, NULL: null. */
json_t *pv_ctlapi_waiting_json(const char *name, const uint8_t key[static PV_SIGN_PK_LEN],
                               const char *from);
/* INVITE: {"token","invite"} */
json_t *pv_ctlapi_invite_json(const char *token, const uint8_t invite[static PV_SIGN_PK_LEN]);

/* ROOT_EXPORT: {"network","file","key"}: where the key is, and its public half; network: null when
 * this node is in none that the key is for. */
json_t *pv_ctlapi_root_json(const char *network, const char *file, const uint8_t *pk);
/* ROOT_IMPORT: {"network","granted"}: this node became an admin by it. */
json_t *pv_ctlapi_imported_json(const char *network, bool granted);

/* The action of REMOVE on the invite that let the node in. */
enum pv_ctlapi_invite_end {
    PV_CTLAPI_INVITE_NONE,  /* it admits nobody any more, or there is none */
    PV_CTLAPI_INVITE_KEPT,  /* it still admits others */
    PV_CTLAPI_INVITE_ENDED, /* it was revoked as well */
};
/* The count of members that know of a removal, the end of an invite or of rights, or this node's
 * leaving. */
struct pv_ctlapi_told {
    size_t online;           /* members that are there */
    size_t know;             /* online members that have said that they know */
    const char *coordinator; /* "stored", "away", "silent" or its error word */
    const char *disk;        /* of this machine: "stored", or why not */
    enum pv_ctlapi_invite_end invite;
    uint32_t uses_left;                /* of the invite, before */
    uint8_t invite_id[PV_SIGN_PK_LEN]; /* unless INVITE_NONE */
    uint32_t invites;                  /* ADMIN_REVOKE: open ones that the former admin had made */
    bool invites_kept;                 /* these still let in */
};
/* {"online","know","coordinator","disk","invite":null or
 * {"id","uses_left","revoked"},"invites":null or {"open","revoked"}}, with code 1 unless this disk
 * has stored it, else 9 unless the coordinator has; NULL without memory. */
json_t *pv_ctlapi_told_json(const struct pv_ctlapi_told *told);
/* LEAVE with nobody to tell: {"removed"}: had the network removed this node? NULL without memory.
 */
json_t *pv_ctlapi_left_json(bool removed);
struct pv_ctlapi_invite {
    uint8_t id[PV_SIGN_PK_LEN];
    uint32_t uses, used;
    uint64_t not_before_s, not_after_s; /* Unix seconds; not_after 0: null */
    bool revoked;
    bool admin;          /* who joins by it becomes an admin */
    bool approve;        /* who joins by it waits until an admin admits it */
    uint32_t lifetime_s; /* seconds that who joins stays unused; 0: null, for ever */
};
/* {"version":1,"invites":[{"id","uses","used","not_before","not_after","revoked","admin",
 * "member_for","approve"}]} */
json_t *pv_ctlapi_invites_new(void);
PV_MUST_CHECK int pv_ctlapi_invites_add(json_t *invites, const struct pv_ctlapi_invite *invite);
/* {"version":1,"coordinators":[{"key","addresses":[…],"used"}]}, the preferred one first; key:
 * PV_SIGN_PK_LEN bytes. */
json_t *pv_ctlapi_coordinators_new(void);
PV_MUST_CHECK int pv_ctlapi_coordinators_add(json_t *coordinators, const uint8_t *key,
                                             const char *const *addrs, size_t n_addrs, bool used);
/* COORDINATOR_ADD, _REMOVE, _ADDRESS: {"online","know","former"}: members that are there, and those
 * of them that have the new list; whether the former coordinator has it. */
json_t *pv_ctlapi_moved_json(size_t online, size_t know, bool former);
/* COORDINATOR_TOKEN: {"token"} */
json_t *pv_ctlapi_token_json(const char *token);
/* IP: {"ip4","ip6","wg_key"} */
json_t *pv_ctlapi_ip_json(const struct pv_addr *ip4, const struct pv_addr *ip6,
                          const uint8_t wg_key[static PV_DH_LEN]);
/* READ: {"read"}: how many messages are read by that. */
json_t *pv_ctlapi_read_json(size_t n);
/* SEND: {"message":{…},"online","down"}: whether the other, and not even this machine is there */
json_t *pv_ctlapi_sent_json(const struct pv_ctlapi_message *msg, bool online, bool down);
/* PING: event "pong" {"seq","rtt_ms","path"}, event "timeout" {"seq"}, answer {"sent","received"}
 */
json_t *pv_ctlapi_pong_json(uint32_t seq, double rtt_ms, const struct pv_ctlapi_path *path);
json_t *pv_ctlapi_lost_json(uint32_t seq);
json_t *pv_ctlapi_pinged_json(uint32_t sent, uint32_t received);
/* WATCH: event "message" {"message":{…}}, event "state" {"msg_id","peer","state"},
 * event "presence" {"peer","online"} */
json_t *pv_ctlapi_watch_message_json(const struct pv_ctlapi_message *msg);
json_t *pv_ctlapi_watch_state_json(const uint8_t id[static PV_CHAT_ID_LEN], const char *peer,
                                   enum pv_chat_state state);
json_t *pv_ctlapi_watch_presence_json(const char *peer, bool online);
/* WATCH: event "room" {"room","what":"invited"|"left","peer","by"}: by invited peer, or peer left
 */
json_t *pv_ctlapi_watch_room_json(const char *room, bool invited, const char *peer, const char *by,
                                  bool self);
/* ROOM_CREATE: {"room","id"} */
json_t *pv_ctlapi_room_json(const char *room, const uint8_t id[static PV_ROOM_ID_LEN]);
struct pv_ctlapi_room {
    const char *room;
    const uint8_t *id;   /* 16 bytes */
    const char *creator; /* a node's name */
    unsigned members;    /* at present */
    bool left;
    bool invited; /* and not accepted yet */
};
/* ROOM_LIST: {"version":1,"rooms":[{"room","id","creator","members","left","invited"}]} */
json_t *pv_ctlapi_rooms_new(void);
PV_MUST_CHECK int pv_ctlapi_rooms_add(json_t *rooms, const struct pv_ctlapi_room *room);
struct pv_ctlapi_room_member {
    const char *name;
    const uint8_t *key;
    bool online, creator;
    uint64_t texts; /* known here */
};
/* ROOM_MEMBERS: {"version":1,"room","members":[{"name","key","online","creator","texts"}]} */
json_t *pv_ctlapi_room_members_new(const char *room);
PV_MUST_CHECK int pv_ctlapi_room_members_add(json_t *members,
                                             const struct pv_ctlapi_room_member *member);
/* WHY: {"version":1,"lines":[…]}; TRACE: {"version":1,"events":[{"t","text"}]}, t = seconds ago */
json_t *pv_ctlapi_lines_new(void);
PV_MUST_CHECK int pv_ctlapi_lines_add(json_t *lines, const char *line);
json_t *pv_ctlapi_events_new(void);
PV_MUST_CHECK int pv_ctlapi_events_add(json_t *events, double seconds_ago, const char *text);

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

#endif /* PV_CTLAPI_H */
