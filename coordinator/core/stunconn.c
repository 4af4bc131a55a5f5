/* SPDX-License-Identifier: MIT */
#include "coordinator/core/stunconn.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "proto/stun.h"

bool pv_stunconn_begins(uint8_t first)
{
    return first < 4; /* RFC 7983 s7 */
}

static size_t take(struct pv_stunconn *s, struct pv_view data, size_t until)
{
    size_t n = until - s->in_len < data.len ? until - s->in_len : data.len;
    memcpy(s->in + s->in_len, data.ptr, n);
    s->in_len += n;
    return n;
}

/* Bytes of the message that begins with s->in, padding included; 0: none does. */
static size_t frame_len(const struct pv_stunconn *s, size_t *ret_message)
{
    size_t len = pv_load_be16(s->in + 2);
    if (s->in[0] >= 0x40) {
        *ret_message = 4 + len;
        return (4 + len + 3) & ~(size_t)3;
    }
    /* RFC 3489 knows streams for shared secrets only: the cookie has to be there. */
    if (s->in_len < PV_STUN_HEADER_LEN || pv_load_be32(s->in + 4) != PV_STUN_COOKIE)
        return 0;
    *ret_message = PV_STUN_HEADER_LEN + len;
    return *ret_message;
}

int pv_stunconn_handle_bytes(struct pv_stunconn *s, struct pv_view data, size_t *ret_used,
                             struct pv_view *ret_message)
{
    size_t used = 0;
    size_t len = 0;
    if (s->in_len == 0 && data.len > 0)
        used = take(s, data, 1);
    if (s->in_len == 0) {
        *ret_used = 0;
        return PV_ERR_AGAIN;
    }
    bool channel = s->in[0] >= 0x40 && s->in[0] <= 0x7f;
    if (!channel && !pv_stunconn_begins(s->in[0]))
        return PV_ERR_MALFORMED;
    size_t head = channel ? 4 : PV_STUN_HEADER_LEN;
    if (s->in_len < head)
        used += take(s, pv_view(data.ptr + used, data.len - used), head);
    if (s->in_len < head) {
        *ret_used = used;
        return PV_ERR_AGAIN;
    }
    size_t frame = frame_len(s, &len);
    if (frame == 0 || frame > sizeof(s->in))
        return PV_ERR_MALFORMED;
    used += take(s, pv_view(data.ptr + used, data.len - used), frame);
    *ret_used = used;
    if (s->in_len < frame)
        return PV_ERR_AGAIN;
    *ret_message = pv_view(s->in, len);
    return PV_OK;
}

void pv_stunconn_next(struct pv_stunconn *s)
{
    s->in_len = 0;
}

void pv_stunconn_done(struct pv_stunconn *s)
{
    free(s->out);
    s->out = NULL;
    s->out_at = s->out_len = s->out_cap = 0;
}

static int make_room(struct pv_stunconn *s, size_t n)
{
    if (s->out_at > 0) {
        memmove(s->out, s->out + s->out_at, s->out_len - s->out_at);
        s->out_len -= s->out_at;
        s->out_at = 0;
    }
    if (s->out_len + n > PV_STUNCONN_OUT_MAX)
        return PV_ERR_LIMIT;
    if (s->out_len + n <= s->out_cap)
        return PV_OK;
    size_t cap = s->out_cap == 0 ? 512 : s->out_cap;
    while (cap < s->out_len + n)
        cap *= 2;
    uint8_t *out = realloc(s->out, cap);
    if (out == NULL)
        return PV_ERR_NOMEM;
    s->out = out;
    s->out_cap = cap;
    return PV_OK;
}

int pv_stunconn_put(struct pv_stunconn *s, struct pv_view message)
{
    size_t padded = (message.len + 3) & ~(size_t)3;
    if (message.len == 0)
        return PV_OK;
    int r = make_room(s, padded);
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

void pv_stunconn_wrote(struct pv_stunconn *s, size_t n)
{
    s->out_at += n;
    if (s->out_at == s->out_len)
        pv_stunconn_done(s); /* most of the time there is nothing to write */
}

bool pv_stunconn_is_slow(const struct pv_stunconn *s)
{
    return s->out_len - s->out_at > PV_STUNCONN_OUT_PAUSE;
}
