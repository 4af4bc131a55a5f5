/* SPDX-License-Identifier: MIT */
/* Messages of STUN and TURN out of a byte stream, and into one. At most one message is held, and
 * output only while the kernel does not take it: thousands of connections wait here at little
 * cost. */
#include "coordinator/core/turn/stunconn.h"

#include <stdlib.h>
#include <string.h>

#include "proto/stun/turn.h"
#include "proto/stun/turnframe.h"

enum {
    OUT_FIRST = 512,      /* bytes of the first buffer: an answer to Allocate and what follows it */
    OUT_DATA = 16 * 1024, /* ours: of the first buffer for data, of which more comes at once */
};

/* Fills s->in up to `until` bytes, or with all there is; returns how many it took. */
static size_t take_until(struct pv_stunconn *s, struct pv_view data, size_t until)
{
    size_t n = until - s->in_len < data.len ? until - s->in_len : data.len;
    memcpy(s->in + s->in_len, data.ptr, n);
    s->in_len += n;
    return n;
}

/* The first 4 bytes say how long a message is; they are taken one by one until they do. A message
 * that is too long is not an error of the stream: its rest is counted in too_long and passed over,
 * and the next one is found. */
int pv_stunconn_handle_bytes(struct pv_stunconn *s, struct pv_view data, size_t *ret_used,
                             struct pv_view *ret_message)
{
    size_t used = s->too_long < data.len ? s->too_long : data.len;
    size_t len = 0, frame = 0;
    s->too_long -= used;
    int r = pv_turnframe_len(pv_view(s->in, s->in_len), &len, &frame);
    while (r == PV_ERR_AGAIN && used < data.len && s->in_len < PV_TURNFRAME_HEAD) {
        used += take_until(s, pv_view(data.ptr + used, data.len - used), s->in_len + 1);
        r = pv_turnframe_len(pv_view(s->in, s->in_len), &len, &frame);
    }
    if (r == PV_ERR_MALFORMED)
        return r;
    if (r == PV_OK && frame > sizeof(s->in)) {
        s->too_long = frame - s->in_len;
        s->in_len = 0;
        r = PV_ERR_LIMIT;
    }
    if (r == PV_OK)
        used += take_until(s, pv_view(data.ptr + used, data.len - used), frame);
    *ret_used = used;
    if (r == PV_ERR_LIMIT)
        return r;
    if (r != PV_OK || s->in_len < frame)
        return PV_ERR_AGAIN;
    *ret_message = pv_view(s->in, len);
    return PV_OK;
}

void pv_stunconn_next(struct pv_stunconn *s)
{
    s->in_len = 0;
}

/* Frees the buffer of output, also in between, when all is written. */
void pv_stunconn_done(struct pv_stunconn *s)
{
    free(s->out);
    s->out = NULL;
    s->out_at = s->out_len = s->out_cap = 0;
}

/* Makes room for n bytes more, in a buffer that begins with `first` bytes, unless more than `most`
 * would be unwritten. Written bytes are
 * dropped first, which costs less than growing. */
static int make_out_room(struct pv_stunconn *s, size_t n, size_t most, size_t first)
{
    if (s->out_len - s->out_at + n > most)
        return PV_ERR_LIMIT;
    if (s->out_at > 0) {
        memmove(s->out, s->out + s->out_at, s->out_len - s->out_at);
        s->out_len -= s->out_at;
        s->out_at = 0;
    }
    if (s->out_len + n <= s->out_cap)
        return PV_OK;
    size_t cap = s->out_cap == 0 ? first : s->out_cap;
    while (cap < s->out_len + n)
        cap *= 2;
    uint8_t *out = realloc(s->out, cap);
    if (out == NULL)
        return PV_ERR_NOMEM;
    s->out = out;
    s->out_cap = cap;
    return PV_OK;
}

/* Data of peers may wait for what the line takes in 50 ms only, or it would arrive late instead of
 * being lost, which a transport inside takes for a slow path. Answers may wait longer. */
int pv_stunconn_put(struct pv_stunconn *s, struct pv_view message)
{
    size_t padded = message.len + pv_turnframe_padding(message.len);
    if (message.len == 0)
        return PV_OK;
    bool data = pv_turn_is_data(message);
    size_t most = data ? pv_linewait_limit(&s->wait) : (size_t)PV_STUNCONN_OUT_MAX;
    int r = make_out_room(s, padded, most, data ? OUT_DATA : OUT_FIRST);
    if (r < 0)
        return r;
    memcpy(s->out + s->out_len, message.ptr, message.len);
    memset(s->out + s->out_len + message.len, 0, padded - message.len);
    s->out_len += padded;
    return PV_OK;
}

struct pv_view pv_stunconn_out(const struct pv_stunconn *s)
{
    return s->out_len == s->out_at ? pv_view(NULL, 0)
                                   : pv_view(s->out + s->out_at, s->out_len - s->out_at);
}

/* The buffer is given back as soon as it is empty, as it is most of the time. */
void pv_stunconn_wrote(struct pv_stunconn *s, size_t n, pv_ns now)
{
    s->out_at += n;
    pv_linewait_took(&s->wait, n, s->out_at < s->out_len, now);
    if (s->out_at == s->out_len)
        pv_stunconn_done(s);
}

bool pv_stunconn_is_slow(const struct pv_stunconn *s)
{
    return s->out_len - s->out_at > PV_STUNCONN_OUT_PAUSE;
}
