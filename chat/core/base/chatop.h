/* SPDX-License-Identifier: MIT */
/*
 * chatop.h - what chat asks of the store: a short list of typed operations, each atomic.
 *
 * Served by chat/store/store_chat.c, at once (chatstore.h). Every operation may be repeated after
 * its result was lost: the second time changes nothing and answers the same.
 */
#pragma once

#include "base/pv.h"
#include "base/text.h"
#include "chat/proto/chat.h"
#include "chat/proto/room.h"
#include "crypto/sign.h"

struct pv_roomop; /* roomop.h */
struct pv_roomop_result;

enum {
    PV_CHATOP_MAX_LIST = 1000,     /* messages of one answer */
    PV_CHATOP_MAX_BATCH = 4096,    /* messages of one COMMIT, ids of one operation */
    PV_CHATOP_MAX_QUEUED = 10000,  /* undelivered messages to one peer; more is PV_ERR_LIMIT */
    PV_CHATOP_MAX_PEERS = 16384,   /* peers listed by COUNTS */
    PV_CHATOP_MAX_BYTES = 1048576, /* of text in one answer; a list ends there, more = true. JSON
                                       writes some characters in 6 bytes: see PV_CTLSRV_MAX_OUT */

    /* The room for messages of others. A text counts with PV_CHATOP_ROW_BYTES more: its row, index
     * entries and names cost about that, and short texts shall not be free. */
    PV_CHATOP_ROW_BYTES = 512,
    PV_CHATOP_MAX_UNREAD = 10000,          /* of one sender in one conversation: all that one
                                               PV_CHATOP_MAX_QUEUED can bring */
    PV_CHATOP_MAX_UNREAD_BYTES = 16 << 20, /* the same, more than a person reads */
    PV_CHATOP_MAX_DAY_BYTES = 32 << 20,    /* of one sender in all conversations, a day (UTC) */
    PV_CHATOP_SENDER_SHARE = 4, /* one sender has at most this part of max_bytes, so that no one
                                    member can use up what is there for all */
    PV_CHATOP_GONE_DAYS = 30,   /* so long a deleted message is known, should it come again; copies
                                    of it are kept for 14 days at most */
    PV_CHATOP_VALUE_NAME = 32,  /* bytes of a value's name, with the NUL */
    PV_CHATOP_MAX_VALUE = 16 << 20, /* bytes of a value */
    PV_CHATOP_MAX_PURGE = 1000, /* messages deleted by one operation: others wait for the store */
};
#define PV_CHATOP_MAX_TOTAL (UINT64_C(1) << 30) /* bytes of all messages, when nothing is set */

/* Under which circumstances an operation is done: written by whoever serves it. */
struct pv_chatop_terms {
    uint64_t now_s;     /* by the clock that what is stored grows old by, Unix seconds */
    uint64_t max_bytes; /* of all messages; 0: PV_CHATOP_MAX_TOTAL */
    bool low_disk;      /* the disk is nearly full: nothing of others is taken */
};

/* One stored message. */
struct pv_chat_record {
    uint8_t id[PV_CHAT_ID_LEN];
    uint8_t peer[PV_SIGN_PK_LEN];   /* the other node */
    char peer_name[PV_NAME_BUF];    /* its name when the message was stored */
    bool outgoing;                  /* this node is the sender */
    bool in_room;                   /* peer is pv_room_key(), peer_name the author's name */
    uint8_t author[PV_SIGN_PK_LEN]; /* in_room */
    enum pv_chat_state state;
    uint64_t seq;     /* the sender's; 0 = plain text */
    uint64_t time_ms; /* the sender's clock, Unix milliseconds; plain text: the receiver's */
    char *text;       /* owned; NUL-terminated, 1..PV_CHAT_TEXT_MAX bytes of UTF-8 */
};

enum pv_chatop_kind {
    /* Store an outgoing message and give it the next seq of its conversation, in one transaction.
     * In: msgs[0] without seq and state. Out: msgs[0] as stored. Status PV_ERR_LIMIT;
     * PV_ERR_EXISTS (another text to this peer has its id). */
    PV_CHATOP_ENQUEUE,
    /* Store incoming messages of one peer, each exactly once by (peer, id), until one is beyond
     * what its sender may have stored: that one and those behind it are not taken, so that their
     * order is kept. Of a muted peer they are READ and nobody waits for a receipt.
     * In: msgs without state. Out: msgs = those that were new, in the order given; n_taken of
     * those given are on disk now, and later says why not all. */
    PV_CHATOP_COMMIT,
    /* Outgoing messages to peer got that far. In: peer, ids, state (SENT, DELIVERED or READ).
     * Out: msgs without text = those that had not yet; unknown ones and those to somebody else are
     * skipped. */
    PV_CHATOP_MARK,
    /* Undelivered messages to peer with seq > after_seq, ascending. In: peer, after_seq, limit.
     * Out: msgs, more. */
    PV_CHATOP_OUTBOX,
    /* Unread messages of all peers or of one, oldest first; with mark_read they are READ
     * afterwards, and the read receipts are owed, in the same transaction. after: only those that
     * came later than the message id; through: only up to it (none when it is not unread). A sender
     * may give the same id in two conversations, so whoever lists all of them goes by upto instead.
     * In: peer or NULL, mark_read, limit, after or through and id or upto. Out: msgs (state
     * UNREAD, as found), more, upto. */
    PV_CHATOP_INBOX,
    /* One incoming message was shown (chat): READ, receipt owed. In: peer, id. Out: changed. */
    PV_CHATOP_SEEN,
    /* Read messages of peer whose read receipt is still owed. In: peer, limit. Out: msgs without
     * text (NULL), more. */
    PV_CHATOP_OWED,
    /* The read receipts of these messages went out. In: peer, ids. */
    PV_CHATOP_TOLD,
    /* The newest messages of the conversation with peer, or of all (all_peers), oldest first; with
     * before those older than its message id (all of them when it is not known); of all, with upto
     * those older than the oldest of an earlier result.
     * In: peer, before and id, or all_peers and upto; limit. Out: msgs; more when there are older
     * ones; upto (all_peers). */
    PV_CHATOP_HISTORY,
    /* Undelivered messages to peer of which no copy is kept elsewhere, ascending by seq. In: peer,
     * limit. Out: msgs, more. */
    PV_CHATOP_UNCOPIED,
    /* A copy of an outgoing message is kept: it is SENT. In: peer, ids. Out: as MARK. */
    PV_CHATOP_COPIED,
    /* Copies at the coordinator count for nothing any more: UNCOPIED lists all that waits, and
     * states stay as they are. Out: as COUNTS. */
    PV_CHATOP_RECOPY,
    /* Out: unread, backlog. */
    PV_CHATOP_COUNTS,
    /* Is a conversation silent from now on? Its messages are stored as read. In: peer, peer_name,
     * mute. Out: changed. */
    PV_CHATOP_MUTE,
    /* Out: backlog = the muted conversations, without numbers. */
    PV_CHATOP_MUTED,
    /* Delete what was said with peer, or (all_peers) with everybody, but for what still has to be
     * delivered (gone: that, too); at most PV_CHATOP_MAX_PURGE at once. Texts of rooms of this
     * network are hidden: PV_ROOMOP_DROP deletes them. In: peer or all_peers; gone; network. Out:
     * n_deleted, more. */
    PV_CHATOP_CLEAR,
    /* Delete what is older than keep_s and was read or delivered (0: nothing is too old), and, when
     * all messages are more than max_bytes, the oldest that were read, then the oldest unread ones;
     * at most PV_CHATOP_MAX_PURGE at once. In: keep_s. Out: n_deleted, more. */
    PV_CHATOP_PURGE,
    /* Keep a named value of a part of chat, in place of the one that is there. In: value_name,
     * value. */
    PV_CHATOP_PUT,
    /* The named values. Out: values. */
    PV_CHATOP_VALUES,
    /* See roomop.h. In: room. Out: room (may be NULL), and msgs where it says messages. */
    PV_CHATOP_ROOM,
    PV_CHATOP_KINDS, /* no kind: how many there are */
};

/* All that it points to is the caller's. */
struct pv_chatop {
    enum pv_chatop_kind kind;
    const uint8_t *peer; /* PV_SIGN_PK_LEN bytes: all of one peer; INBOX: of all when NULL */
    /* The conversation is not known, as one of a network that was left, and is looked for by a
     * name at its lines, by a key or the beginning of one ("key:AbCd"), or of a room's id
     * ("#~AbCd"); NULL: it is peer's. Of several it is the one with the newest line. */
    const char *word;
    bool all_peers;         /* HISTORY, CLEAR */
    bool before;            /* HISTORY */
    bool mark_read;         /* INBOX */
    bool mute;              /* MUTE */
    bool gone;              /* CLEAR: the member is gone, so nothing can be delivered to it */
    const char *peer_name;  /* MUTE: as it is shown in the list */
    uint64_t keep_s;        /* PURGE */
    const uint8_t *network; /* CLEAR: the present one, PV_ROOM_NETWORK_LEN bytes; zeros: none */
    struct pv_chatop_terms terms;
    bool after, through;      /* INBOX, one of them at most */
    uint64_t upto;            /* INBOX with after, through: of an earlier result; 0: go by id.
                                 HISTORY with all_peers: the same; 0: from the newest on */
    enum pv_chat_state state; /* MARK */
    const uint8_t *id;        /* SEEN, HISTORY with before, INBOX with after, through */
    uint64_t after_seq;       /* OUTBOX; 0 = from the beginning */
    uint32_t limit;           /* 1..PV_CHATOP_MAX_LIST; 0 = PV_CHATOP_MAX_LIST */
    const struct pv_chat_record *msgs; /* ENQUEUE, COMMIT */
    size_t n_msgs;
    const uint8_t (*ids)[PV_CHAT_ID_LEN]; /* TOLD, MARK, COPIED */
    size_t n_ids;
    const struct pv_roomop *room; /* ROOM */
    const char *value_name;       /* PUT */
    struct pv_view value;         /* PUT */
};

/* A named value of a part. */
struct pv_chatop_value {
    char name[PV_CHATOP_VALUE_NAME];
    uint8_t *bytes; /* owned */
    size_t len;
};

/* The messages that one peer still has to get from this node. */
struct pv_chat_backlog {
    uint8_t peer[PV_SIGN_PK_LEN];
    char peer_name[PV_NAME_BUF]; /* of the newest message exchanged with it */
    uint64_t queued;             /* outgoing messages not delivered */
    uint64_t owed;               /* read receipts not sent */
};

struct pv_chatop_result {
    uint8_t peer[PV_SIGN_PK_LEN]; /* the operation's, or whose the conversation of its word is */
    bool has_none;                /* there is no conversation of its word */
    bool changed;
    bool more;                   /* the list was cut by limit or PV_CHATOP_MAX_BYTES */
    uint64_t upto;               /* INBOX: the place of the last of msgs, in order of arrival.
                                    HISTORY with all_peers: that of the first */
    struct pv_chat_record *msgs; /* owned, with their texts */
    size_t n_msgs;
    size_t n_taken;                  /* COMMIT */
    enum pv_chat_later later;        /* COMMIT */
    size_t n_deleted;                /* CLEAR, PURGE, DROP and FORGET of rooms */
    uint64_t unread;                 /* COUNTS */
    struct pv_chat_backlog *backlog; /* COUNTS: owned; peers with queued or owed > 0 */
    size_t n_backlog;
    struct pv_roomop_result *room;  /* ROOM: owned */
    struct pv_chatop_value *values; /* VALUES: owned */
    size_t n_values;
};

/* Frees what a result owns, and zeroes it. */
void pv_chatop_result_done(struct pv_chatop_result *result);

/* --- messages ------------------------------------------------------------------------------ */

/* A deep copy into *dst, which owned nothing. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chat_record_copy(struct pv_chat_record *dst, const struct pv_chat_record *src);
/* Frees the text, zeroes the rest. */
void pv_chat_record_done(struct pv_chat_record *rec);
