/* SPDX-License-Identifier: MIT */
/*
 * turnframe.h - TURN by a stream: where one message ends and the next begins (RFC 8656 s12.5,
 * RFC 8489 s6.2.2).
 *
 * A stream carries STUN messages and ChannelData one after the other; ChannelData is padded to a
 * multiple of four, which its length field does not count. Client and server cut by the same rule.
 * No allocation; not thread-safe.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_TURNFRAME_MAX = 65552, /* bytes: the longest STUN message, RFC 8489 s5 */
    PV_TURNFRAME_HEAD = 20,   /* bytes that always suffice to tell a message's length */
};

/* The message that begins with bytes: its length, and with its padding. PV_ERR_AGAIN: more bytes
 * are needed to tell (PV_TURNFRAME_HEAD suffice). PV_ERR_MALFORMED: neither STUN with the cookie
 * nor ChannelData: the stream is lost. */
PV_MUST_CHECK int pv_turnframe_len(struct pv_view bytes, size_t *ret_message, size_t *ret_frame);

/* Bytes of padding behind a message of len bytes. */
static inline size_t pv_turnframe_padding(size_t len)
{
    return (4 - len % 4) % 4;
}

/* Cuts messages out of the bytes of one stream as they come; zeroed at first. */
struct pv_turnframe {
    size_t len; /* bytes in buf: a message that is not whole */
    uint8_t buf[PV_TURNFRAME_MAX];
};

/*
 * The next whole message without its padding, in *data or in f, valid until the next call. *data
 * (borrowed) moves on by what was used up. PV_ERR_AGAIN: no message is whole, all of *data was
 * taken. PV_ERR_MALFORMED: the stream is lost; call no more.
 */
PV_MUST_CHECK int pv_turnframe_next(struct pv_turnframe *f, struct pv_view *data,
                                    struct pv_view *ret_message);
