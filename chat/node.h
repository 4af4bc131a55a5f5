/* SPDX-License-Identifier: MIT */
/*
 * node.h - all that chat knows of the node: one struct of functions that chat calls (struct
 * pv_overlay), and one that chat is called by (struct pv_overlay_told).
 *
 * Chat binds to the node in one process, or over a socket (docs/adr/0124). Both ends of a socket
 * are bound alike: chat's end has a struct pv_overlay, the daemon's end a struct pv_overlay_told.
 * So each function is of one of three sorts:
 *
 *   SNAPSHOT  Answered at once, by the daemon's own tables. Over a socket chat's end asks
 *             and waits for the answer (nodecall.h); the daemon never waits for chat.
 *   MESSAGE   No answer. A message that cannot be sent is lost, and chat sends it again.
 *   REQUEST   Answered later by a function of struct pv_overlay_told, which may also be called
 *             before the request returns. A connection to the daemon that ends answers nothing:
 *             own() then says that this node is not online, and chat asks again.
 *
 * Order. The daemon tells what has changed before it tells what came after the change. So the
 * rules that a coordinator sends ahead of a stored copy are in the snapshot when the copy comes,
 * and chat never takes a line by rules that were older than the line.
 *
 * Nobody here is trusted with more than this: chat gets no identity key, transport key or session
 * key. Keys named `key` are PV_SIGN_PK_LEN bytes, the identity keys of members, which are public.
 * Not thread-safe; all functions are called on one thread.
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "base/text.h"
#include "crypto/sign.h"
#include "proto/control/appsigner.h"
#include "proto/control/ctlmsg.h"
#include "proto/control/proof.h"
#include "proto/local/ctlcmd.h"

enum {
    PV_OVERLAY_RULE_BUF = 40,   /* bytes of how a rule is called, with the NUL */
    PV_OVERLAY_WHY_BUF = 240,   /* bytes of a reason, with the NUL */
    PV_OVERLAY_NETWORK_LEN = 16 /* bytes of a network id */
};

/* --- members ------------------------------------------------------------------------------- */

/* The one state of a machine. */
enum pv_overlay_kind {
    PV_OVERLAY_NONE,    /* no claim of this key counts, or nothing is known of it */
    PV_OVERLAY_MEMBER,  /* a member that has a p2pvpnd; this node, too */
    PV_OVERLAY_PHONE,   /* a member that has none: no messages and no files */
    PV_OVERLAY_WAITING, /* joined, and no admin has admitted it */
    PV_OVERLAY_EXPIRED, /* its membership ended by time, and comes back when it is renewed */
    PV_OVERLAY_LEFT,    /* left by itself, and may come back */
    PV_OVERLAY_REMOVED, /* removed by an admin */
    PV_OVERLAY_STATIC,  /* a static [peer] of the configuration: has no identity key */
};

/* The coordinator's word on whether a machine is connected. */
enum pv_overlay_presence {
    PV_OVERLAY_UNKNOWN, /* the coordinator is not there, or has not said so */
    PV_OVERLAY_OFFLINE,
    PV_OVERLAY_ONLINE,
};

/* One machine that is or was in the network. */
struct pv_overlay_member {
    uint8_t key[PV_SIGN_PK_LEN]; /* STATIC: zeros */
    enum pv_overlay_kind kind;
    char name[PV_NAME_BUF];  /* the present one, or the last */
    struct pv_addr ip4, ip6; /* overlay addresses; port 0 */
    bool is_self;            /* this node */
    bool is_peer;            /* this node has a session, or may have one, with the machine */
    bool is_there;           /* the machine can be reached now, as `status` shows it */
    enum pv_overlay_presence presence;
    /* The past; with query.story, else zeros. */
    uint64_t joined;                /* Unix seconds, by the coordinator's receipt; 0: none */
    uint64_t gone;                  /* LEFT, REMOVED: Unix seconds; 0: not known */
    bool by_invite;                 /* it was let in by an invite, */
    uint8_t by[PV_SIGN_PK_LEN];     /* this one; else by this admin */
    uint64_t renamed_since;         /* Unix seconds: the name was another machine's until then; */
    uint8_t former[PV_SIGN_PK_LEN]; /* of that machine; renamed_since 0: it was nobody's */
};

/* How a member is looked for. */
enum pv_overlay_how {
    PV_OVERLAY_BY_KEY,  /* whatever became of it */
    PV_OVERLAY_BY_ADDR, /* who has this overlay address now; STATIC: an address of such a peer */
    PV_OVERLAY_BY_NAME, /* who has this name now */
    PV_OVERLAY_BY_LAST, /* who had this name last, if nobody has it now */
    /* The meaning of a word that a user wrote: NAME, NAME.NETWORK, NAME.NETWORK.p2p, an overlay
     * address, a key or its short form. */
    PV_OVERLAY_BY_WORD,    /* a member or a static peer */
    PV_OVERLAY_BY_FORMER,  /* a machine that left or was removed */
    PV_OVERLAY_BY_RENAMED, /* the member, this node or another, that had this name before it was
                              renamed, and had it last */
};
struct pv_overlay_query {
    enum pv_overlay_how how;
    const uint8_t *key;         /* BY_KEY */
    const struct pv_addr *addr; /* BY_ADDR; its port does not count */
    const char *word;           /* all others */
    bool story; /* the fields of the past are wanted, too: in one process this walks over all
                   statements */
};

/* --- this node ----------------------------------------------------------------------------- */

/* The state of this node in its network. */
enum pv_overlay_standing {
    PV_OVERLAY_NO_NETWORK, /* in none: nothing below but key and host name is set */
    PV_OVERLAY_ENTERED,    /* there is a network, and this node can do nothing in it: it waits for
                              an admin, has expired, or has left; explain() says which */
    PV_OVERLAY_IN,         /* a member */
    PV_OVERLAY_OUT,        /* an admin removed this node */
};

struct pv_overlay_own {
    uint8_t key[PV_SIGN_PK_LEN];
    enum pv_overlay_standing standing;
    uint8_t network[PV_OVERLAY_NETWORK_LEN]; /* its id; zeros in no network */
    char name[PV_NAME_BUF];                  /* in the network; else that of the host */
    struct pv_addr ip4, ip6;                 /* IN: overlay addresses; port 0 */
    bool up;                                 /* the user wants the network up */
    bool on_overlay;  /* the interface is up: connections can be made and taken */
    bool online;      /* the coordinator hears this node: keep() and collect() are answered */
    bool rules_known; /* the rules in force are known: before that nobody's words are taken */
};

/* Changes: a set of these bits. */
enum pv_overlay_fact {
    PV_OVERLAY_NETWORK = 1u << 0,  /* this node entered a network, or left one */
    PV_OVERLAY_OVERLAY = 1u << 1,  /* up or on_overlay */
    PV_OVERLAY_WENT_ON = 1u << 2,  /* the coordinator hears this node, on a new connection */
    PV_OVERLAY_WENT_OFF = 1u << 3, /* it does so no longer: requests on that connection have no
                                      answer any more */
    PV_OVERLAY_RULES = 1u << 4,    /* answers of may() may be others */
    PV_OVERLAY_RESUMED = 1u << 5,  /* the machine woke up: timers of others may be over */
    PV_OVERLAY_NAMES = 1u << 6,    /* names or addresses of members are others, this node's too */
};

/* Changes of a member: a set of these bits. */
enum pv_overlay_news {
    PV_OVERLAY_NEWS_MEMBER = 1u << 0,   /* it became a member, or name or addresses are others */
    PV_OVERLAY_NEWS_PATH = 1u << 1,     /* is_there */
    PV_OVERLAY_NEWS_PRESENCE = 1u << 2, /* presence */
    PV_OVERLAY_NEWS_AWAY = 1u << 3,     /* a signal did not reach it: it is away */
    PV_OVERLAY_NEWS_LINK = 1u << 4,     /* the answer of link() */
};

/* --- questions ----------------------------------------------------------------------------- */

enum pv_overlay_service {
    PV_OVERLAY_CHAT,
    PV_OVERLAY_FILES,
};

enum pv_overlay_may {
    PV_OVERLAY_DENIED, /* also of a key that is no member's */
    PV_OVERLAY_ALLOWED,
    PV_OVERLAY_NOT_KNOWN, /* the rules are not known yet: taken as denied, for now */
};

/* How far the daemons of this node and of a member know each other (proto/control/proof.h). */
enum pv_overlay_link {
    PV_OVERLAY_LINK_UNKNOWN,   /* no proof can be checked */
    PV_OVERLAY_LINK_HEARD,     /* proofs of the member can be checked */
    PV_OVERLAY_LINK_CONFIRMED, /* and the member can check this node's */
    PV_OVERLAY_LINK_NONE,      /* no daemon proves anything: connections are taken as they are */
};

/* The machine that a command needs. */
enum pv_overlay_needs {
    PV_OVERLAY_NEEDS_NETWORK, /* no machine, but that this node is a member */
    PV_OVERLAY_NEEDS_MEMBER,  /* a member other than this node, or a phone */
    PV_OVERLAY_NEEDS_NODE,    /* a member that has a p2pvpnd */
};

/* A message that came in, as it is told to the user's program ([chat] notify). Borrowed. */
struct pv_overlay_notification {
    const char *from, *to; /* of nodes */
    const char *room;      /* "": none */
    const char *id, *text;
    uint64_t time_ms;
};

enum {
    PV_OVERLAY_EVENT_BUF = 16,   /* bytes of an event's kind, and of what happened, with the NUL */
    PV_OVERLAY_LINE_BUF = 640,   /* bytes of a line for `status`, with the NUL */
    PV_OVERLAY_LINES = 24,       /* ours: chat's lines in one answer */
    PV_OVERLAY_BODY_MAX = 24576, /* ours: bytes of an event's fields as JSON, without the NUL */
};

/* Something that happened, for clients of the node that follow all events (`p2pvpnctl events`).
 * Borrowed. */
struct pv_overlay_event {
    const char *kind, *what; /* one of the node's kinds, and a word */
    const char *who, *text;  /* who "": nobody; text: a sentence */
    const char *body; /* an object in JSON: fields that followers are told beside; "": none */
};

/* Chat's share of `status`. */
struct pv_overlay_page {
    bool counted; /* false: the store failed or is slow */
    uint64_t unread, queued;
    size_t n;
    struct {
        enum {
            PV_OVERLAY_LINE_MINOR, /* a problem that keeps no packet back */
            PV_OVERLAY_LINE_PROBLEM,
            PV_OVERLAY_LINE_DROP, /* text: why things were thrown away; count: so many */
        } kind;
        char text[PV_OVERLAY_LINE_BUF];
        uint64_t count;
    } lines[PV_OVERLAY_LINES];
};

/* --- what chat calls ----------------------------------------------------------------------- */

struct pv_overlay {
    void *node; /* borrowed; the first argument of all functions */

    /* SNAPSHOT. This node. Valid until the next call of any function of this struct. */
    const struct pv_overlay_own *(*own)(const void *node);
    /* SNAPSHOT. The machine that the query means. Returns false if there is none; *ret_member is
     * then zeroed. In no network only STATIC is found. */
    bool (*find)(const void *node, const struct pv_overlay_query *query,
                 struct pv_overlay_member *ret_member);
    /* SNAPSHOT. The member behind the one with the key `after`, this node included; NULL: the
     * first. It may lie in *ret_member. In no order that means something. Returns false behind the
     * last. */
    bool (*next)(const void *node, const uint8_t *after, struct pv_overlay_member *ret_member);
    /* SNAPSHOT. Whether this node may use the service towards the member (to), or the member
     * towards this node, by the rules of the network and this node's [firewall]. rule, which may
     * be NULL, is how the rule is called that says so. Asked for each line, copy, record and file
     * at the moment it passes, of its author and not of the member that brings it. */
    enum pv_overlay_may (*may)(const void *node, const uint8_t *key,
                               enum pv_overlay_service service, bool to, char *rule);
    /* SNAPSHOT. The key of the pair, from HEARD on; ret_key may be NULL. The caller wipes it. */
    enum pv_overlay_link (*link)(const void *node, const uint8_t *key, uint8_t *ret_key);

    /* REQUEST. A sentence for a user about why the command `what` cannot be done: this node is in
     * no network, or `word` names no machine of the kind that the command needs. Answered by
     * explained(), which passes on handle. */
    void (*explain)(void *node, const char *what, const char *word, enum pv_overlay_needs needs,
                    uint64_t handle, pv_ns now);

    /* MESSAGE. A path to the member is wanted; why is for the log, a static text. */
    void (*want)(void *node, const uint8_t *key, const char *why, pv_ns now);
    /* MESSAGE. Sends body, at most PV_INBAND_PART_MAX (1200) bytes, to the member's chat inside the
     * session. Without a session that protects it as the user wants, a path is wanted instead. */
    void (*notice)(void *node, const uint8_t *key, struct pv_view body, pv_ns now);

    /* REQUEST that is answered before it returns, since a room's next line needs the signature of
     * the one before (docs/adr/0124). Signs as this node, under the domains of appsigner.h alone.
     * Errors: those of pv_sign(); PV_ERR_CLOSED: the daemon is not there. */
    int (*sign)(const void *node, enum pv_appsigner_domain domain, struct pv_view head,
                struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN]);
    /* REQUEST. Seals content, at most PV_COPYBOX_CONTENT_MAX bytes, for the member, and has the
     * coordinator keep the box. id: of PV_CTL_KEY_LEN bytes; a box with the same id is the same
     * box. Answered by kept(). One at a time. */
    void (*keep)(void *node, const uint8_t *key, const uint8_t *id, struct pv_view content,
                 pv_ns now);
    /* REQUEST. Asks for the box that is kept for this node behind the number `after`, and opens
     * it. The coordinator may forget the box with the number `taken`; 0: none. Answered by
     * collected(). One at a time. */
    void (*collect)(void *node, uint64_t after, uint64_t taken, pv_ns now);

    /* REQUEST. Connects by TCP from this node's overlay address to a member's, and gives chat the
     * connection. stream is chat's number for it, which connected() passes on.
     * PV_ERR_NOT_FOUND (no member has the address), PV_ERR_NOMEM: nothing follows. */
    int (*connect)(void *node, uint32_t stream, const struct pv_addr *to, pv_ns now);
    /* REQUEST. Runs the user's program for one message. Answered by notified(), which passes on
     * tag. Returns false if nothing follows. */
    bool (*notify)(void *node, const struct pv_overlay_notification *of, uint64_t tag, pv_ns now);

    /* The last two are NULL in one process, where chat has the node's list of events, and the node
     * asks chat itself (chat/core/engine.h). */

    /* MESSAGE. Something happened here. */
    void (*tell)(void *node, const struct pv_overlay_event *event, pv_ns now);
    /* MESSAGE. The answer to asked(), which gave the tag. */
    void (*report)(void *node, uint64_t tag, const struct pv_overlay_page *page, pv_ns now);
};

/* --- what chat is told --------------------------------------------------------------------- */

/* A copy that was kept for this node, or why there is none. */
struct pv_overlay_copy {
    enum pv_ctl_error error; /* not NONE: the coordinator gave nothing, and why */
    uint64_t number;         /* 0: no box is left behind the number that was asked for */
    const uint8_t *from;     /* number is not 0: who is said to have sealed it */
    /* Of the opening. PV_ERR_AGAIN: another start of the daemon may open it. PV_ERR_AUTH: from did
     * not seal it, or not for this node. */
    int status;
    struct pv_view content; /* status is PV_OK; the receiver wipes copies of it */
};

/* All are called by the node, each from its turn of the loop. Pointers are borrowed
 * for the call. */
struct pv_overlay_told {
    void *chat; /* borrowed; the first argument of all functions */

    /* enum pv_overlay_fact bits: own() has changed, or the rules. */
    void (*own)(void *chat, unsigned facts, pv_ns now);
    /* enum pv_overlay_news bits: find() says something else of this peer. */
    void (*member)(void *chat, const uint8_t *key, unsigned news, pv_ns now);
    /* The member left or was removed, for good: its name and addresses are its no longer. */
    void (*gone)(void *chat, const uint8_t *key, pv_ns now);
    /* The member's chat sent this inside the session. */
    void (*notice)(void *chat, const uint8_t *key, struct pv_view body, pv_ns now);
    /* The answer to explain(). PV_CTLAPI_DONE: nothing keeps the command back by now. */
    void (*explained)(void *chat, uint64_t handle, enum pv_ctlapi_code code, const char *text,
                      pv_ns now);
    /* The answer to keep(). status PV_OK: the coordinator has it, if error is NONE; else why not.
     * PV_ERR_REFUSED: the user allows hybrid boxes alone, and this would be none; others: it could
     * not be sealed or sent. */
    void (*kept)(void *chat, int status, enum pv_ctl_error error, pv_ns now);
    /* The answer to collect(). */
    void (*collected)(void *chat, const struct pv_overlay_copy *copy, pv_ns now);
    /* A box for this node came to the coordinator just now. */
    void (*copies)(void *chat, pv_ns now);
    /* The answer to connect(). status PV_OK: there is the connection; else why not, as in errno.
     * socket: over a socket a descriptor, which is chat's; -1 in one process, where the bytes go
     * by chat/core/chat.h. */
    void (*connected)(void *chat, uint32_t stream, int status, int socket, pv_ns now);
    /* Somebody connected to this port of this node's overlay address. socket as above.
     * *ret_stream is chat's number for it. PV_ERR_REFUSED, PV_ERR_LIMIT: close it. Over a socket
     * the result stays with chat's end, which closes it. */
    int (*accepted)(void *chat, uint16_t port, const struct pv_addr *remote, int socket,
                    uint32_t *ret_stream, pv_ns now);
    /* The answer to notify(). status PV_OK, or a sentence in why. */
    void (*notified)(void *chat, uint64_t tag, int status, const char *why, pv_ns now);
    /* Chat's share of `status` is wanted: report() answers. */
    void (*asked)(void *chat, uint64_t tag, pv_ns now);
};

/* --- shorter ways to ask ------------------------------------------------------------------- */

/* The machine with this key, whatever became of it. Returns false if nothing is known of it. */
bool pv_overlay_by_key(const struct pv_overlay *o, const uint8_t *key,
                       struct pv_overlay_member *ret_member);
/* A machine by a word, by one of the hows that have one. */
bool pv_overlay_by_word(const struct pv_overlay *o, enum pv_overlay_how how, const char *word,
                        struct pv_overlay_member *ret_member);
/* Returns true if the machine is a member that its name and addresses belong to. */
bool pv_overlay_is_in(const struct pv_overlay_member *m);
/* Returns true if the machine left or was removed. */
bool pv_overlay_is_former(const struct pv_overlay_member *m);
/* Returns true if link() that answers so has written the key. */
static inline bool pv_overlay_has_key(enum pv_overlay_link link)
{
    return link == PV_OVERLAY_LINK_HEARD || link == PV_OVERLAY_LINK_CONFIRMED;
}
