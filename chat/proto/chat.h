/* SPDX-License-Identifier: MIT */
/*
 * chat.h - chat frames between two nodes (TCP 2047 on the overlay, docs/PROTOCOL-PEERS.md "Chat").
 *
 * One frame is one line: a message {"id","seq","time","text"}, an acknowledgement {"ack","state"},
 * {"noted"} for a read receipt or for a message that is left for later, or plain text (a line that
 * does not begin with '{', typed into nc). This is the codec only; who sends what when is
 * chat/core/talk/chatlink.h. No state; thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "base/text.h"

/* Whole numbers that every JSON reader keeps exactly, RFC 8259 s6. */
#define PV_CHAT_SEQ_MAX (UINT64_C(1) << 53)

enum {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    PV_CHAT_TEXT_MAX = 1024, /* rooms keep a frame of six times as much, twice */
#else
    PV_CHAT_TEXT_MAX = PV_TEXT_MAX, /* bytes of UTF-8 in one message, without the NUL */
#endif
    PV_CHAT_PORT = 2047,  /* TCP, on the overlay address, ours */
    PV_CHAT_ID_LEN = 16,  /* bytes, random, drawn by the sender */
    PV_CHAT_ID_TEXT = 22, /* characters: an id in base64url */
    PV_CHAT_ID_TEXT_BUF = PV_CHAT_ID_TEXT + 1,
    PV_CHAT_LINE_MAX = 6 * PV_CHAT_TEXT_MAX + 256, /* bytes with the newline: JSON writes a control
                                                      character of the text in 6 */
    PV_CHAT_LATER_MAX_S = 3600, /* the longest time that a receiver may ask a sender to wait */
    PV_CHAT_JSON_DEPTH = 4,     /* deeper objects are refused */
};

/* Life of a message. Outgoing: QUEUED, SENT, DELIVERED, READ in this order; incoming: UNREAD,
 * READ. */
enum pv_chat_state {
    PV_CHAT_QUEUED,    /* on this node's disk */
    PV_CHAT_SENT,      /* handed to the receiver's connection, or a copy of it is kept for it */
    PV_CHAT_DELIVERED, /* on the receiver's disk */
    PV_CHAT_READ,      /* shown to somebody */
    PV_CHAT_UNREAD,
};

/* Why a receiver takes no more messages for now; they stay queued at their sender. */
enum pv_chat_later {
    PV_CHAT_LATER_NO,
    PV_CHAT_LATER_FULL,  /* the sender has as much stored there as it may */
    PV_CHAT_LATER_DISK,  /* the receiver's disk is nearly full */
    PV_CHAT_LATER_RULES, /* rules, or its [firewall], deny the sender chat there */
    /* Never on the wire: the receiver is there, and no connection to its chat comes about. */
    PV_CHAT_LATER_SILENT,
};

enum pv_chat_frame_kind {
    PV_CHAT_MESSAGE,
    PV_CHAT_ACK,
    PV_CHAT_NOTED, /* a read receipt is on the sender's disk */
    PV_CHAT_LATER, /* the message, and those behind it, are not taken now. On the wire a NOTED with
                      two more fields, which a program that does not know them ignores */
    PV_CHAT_PLAIN, /* text only */
};

/* One decoded frame; large (it holds the text), so keep it off small stacks. */
struct pv_chat_frame {
    enum pv_chat_frame_kind kind;
    uint8_t id[PV_CHAT_ID_LEN];      /* MESSAGE, ACK, NOTED, LATER */
    enum pv_chat_later later;        /* LATER: why */
    uint32_t wait_s;                 /* LATER: 1..PV_CHAT_LATER_MAX_S */
    uint64_t seq;                    /* MESSAGE: 1, 2, 3, … per sender and conversation */
    uint64_t time_ms;                /* MESSAGE: sender's wall clock, Unix milliseconds; a claim */
    enum pv_chat_state state;        /* ACK: PV_CHAT_DELIVERED or PV_CHAT_READ */
    size_t text_len;                 /* MESSAGE, PLAIN: 1..PV_CHAT_TEXT_MAX bytes */
    char text[PV_CHAT_TEXT_MAX + 1]; /* valid UTF-8 without NUL inside, NUL-terminated */
};

/*
 * Decodes one line without its newline (a trailing '\r' is dropped). In plain text every byte
 * that is not UTF-8, and NUL, becomes U+FFFD, or "?" where the text would get longer than one may
 * be; in JSON it is an error. Unknown fields are ignored. PV_ERR_MALFORMED; PV_ERR_LIMIT when line
 * or text is too long; PV_ERR_NOT_FOUND for an empty line; PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_chat_frame_parse(struct pv_view line, struct pv_chat_frame *ret_frame);
/* The same of a line that is plain text whatever it begins with: the second part of a long one. */
PV_MUST_CHECK int pv_chat_plain_parse(struct pv_view line, struct pv_chat_frame *ret_frame);

/* A message or an acknowledgement as one line with its newline, into PV_CHAT_LINE_MAX bytes.
 * PV_ERR_MALFORMED when the text is empty, too long or not UTF-8, or a number out of range;
 * PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_chat_write_message(const uint8_t id[static PV_CHAT_ID_LEN], uint64_t seq,
                                        uint64_t time_ms, const char *text,
                                        char buf[static PV_CHAT_LINE_MAX], size_t *ret_len);
PV_MUST_CHECK int pv_chat_write_ack(const uint8_t id[static PV_CHAT_ID_LEN],
                                    enum pv_chat_state state, char buf[static PV_CHAT_LINE_MAX],
                                    size_t *ret_len);

/* The message is not taken now, nor those behind it: asks to wait 1..PV_CHAT_LATER_MAX_S seconds.
 * Errors as above. */
PV_MUST_CHECK int pv_chat_write_later(const uint8_t id[static PV_CHAT_ID_LEN],
                                      enum pv_chat_later why, uint32_t wait_s,
                                      char buf[static PV_CHAT_LINE_MAX], size_t *ret_len);
/* "full", "disk", "rules", "silent"; "" for PV_CHAT_LATER_NO. */
const char *pv_chat_later_name(enum pv_chat_later why);

/* The answer to a read receipt, so that its writer need not repeat it. Errors as above. */
PV_MUST_CHECK int pv_chat_write_noted(const uint8_t id[static PV_CHAT_ID_LEN],
                                      char buf[static PV_CHAT_LINE_MAX], size_t *ret_len);

const char *pv_chat_state_name(enum pv_chat_state state); /* "queued", "delivered", "read", … */
const char *pv_chat_id_format(const uint8_t id[static PV_CHAT_ID_LEN],
                              char buf[static PV_CHAT_ID_TEXT_BUF]);
#define PV_CHAT_ID_STR(id) pv_chat_id_format(id, (char[PV_CHAT_ID_TEXT_BUF]){0})
PV_MUST_CHECK int pv_chat_id_parse(const char *text, uint8_t ret_id[static PV_CHAT_ID_LEN]);
