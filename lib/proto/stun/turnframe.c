/* SPDX-License-Identifier: MIT */
/*
 * turnframe.c - cuts STUN messages and ChannelData out of a stream (RFC 8656 s12.5, RFC 8489
 * s6.2.2). Whole messages are handed out where they lie; only one that is split between two reads
 * is copied.
 */
#include "proto/stun/turnframe.h"

#include <string.h>

#include "base/bytes.h"
#include "proto/stun/stun.h"
#include "proto/stun/turn.h"

/* Both kinds name their length in the first four bytes. A byte that begins neither (RFC 7983 s7)
 * means that both ends disagree about where messages begin, and nothing in a stream can mend
 * that. */
int pv_turnframe_len(struct pv_view bytes, size_t *ret_message, size_t *ret_frame)
{
    if (bytes.len == 0)
        return PV_ERR_AGAIN;
    bool channel = bytes.ptr[0] >= 0x40 && bytes.ptr[0] <= 0x7f;
    if (!channel && bytes.ptr[0] >= 0x04) /* RFC 7983 s7 */
        return PV_ERR_MALFORMED;
    if (bytes.len < (channel ? (size_t)PV_TURN_CHANNEL_HEADER : (size_t)PV_STUN_HEADER_LEN))
        return PV_ERR_AGAIN;
    size_t len = pv_load_be16(bytes.ptr + 2);
    if (channel) {
        *ret_message = PV_TURN_CHANNEL_HEADER + len;
        *ret_frame = *ret_message + pv_turnframe_padding(*ret_message);
        return PV_OK;
    }
    /* RFC 3489 knows streams for shared secrets only: the cookie has to be there. */
    if (pv_load_be32(bytes.ptr + 4) != PV_STUN_COOKIE || len % 4 != 0)
        return PV_ERR_MALFORMED;
    *ret_message = *ret_frame = PV_STUN_HEADER_LEN + len;
    return PV_OK;
}

/* Moves bytes from data until buf holds `until` of them; as many as there are. */
static void fill_buffer(struct pv_turnframe *f, struct pv_view *data, size_t until)
{
    size_t n = until - f->len < data->len ? until - f->len : data->len;
    if (n == 0)
        return;
    memcpy(f->buf + f->len, data->ptr, n);
    f->len += n;
    *data = pv_view(data->ptr + n, data->len - n);
}

/* Completes a message of which a part came before. The header is taken byte by byte, because its
 * length is not known until it is whole and what follows belongs to the next message. */
static int complete_message(struct pv_turnframe *f, struct pv_view *data,
                            struct pv_view *ret_message)
{
    size_t message, frame;
    int r = pv_turnframe_len(pv_view(f->buf, f->len), &message, &frame);
    while (r == PV_ERR_AGAIN && data->len > 0 && f->len < PV_TURNFRAME_HEAD) {
        fill_buffer(f, data, f->len + 1);
        r = pv_turnframe_len(pv_view(f->buf, f->len), &message, &frame);
    }
    if (r != PV_OK)
        return r;
    fill_buffer(f, data, frame);
    if (f->len < frame)
        return PV_ERR_AGAIN;
    f->len = 0;
    *ret_message = pv_view(f->buf, message);
    return PV_OK;
}

int pv_turnframe_next(struct pv_turnframe *f, struct pv_view *data, struct pv_view *ret_message)
{
    size_t message, frame;
    if (f->len > 0)
        return complete_message(f, data, ret_message);
    int r = pv_turnframe_len(*data, &message, &frame);
    if (r == PV_ERR_MALFORMED)
        return r;
    if (r == PV_ERR_AGAIN || frame > data->len) {
        fill_buffer(f, data, data->len);
        return PV_ERR_AGAIN;
    }
    *ret_message = pv_view(data->ptr, message);
    *data = pv_view(data->ptr + frame, data->len - frame);
    return PV_OK;
}
