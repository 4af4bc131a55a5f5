/* SPDX-License-Identifier: MIT */
#include "coordinator/core/stunconn.h"

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

int pv_stunconn_handle_bytes(struct pv_stunconn *s, struct pv_view data, size_t *ret_used,
                             struct pv_view *ret_request)
{
    size_t used = 0;
    if (s->in_len < PV_STUN_HEADER_LEN)
        used = take(s, data, PV_STUN_HEADER_LEN);
    if (s->in_len > 0 && !pv_stunconn_begins(s->in[0]))
        return PV_ERR_MALFORMED;
    if (s->in_len < PV_STUN_HEADER_LEN) {
        *ret_used = used;
        return PV_ERR_AGAIN;
    }
    size_t len = PV_STUN_HEADER_LEN + (size_t)pv_load_be16(s->in + 2);
    if (len > sizeof(s->in) || pv_load_be32(s->in + 4) != PV_STUN_COOKIE)
        return PV_ERR_MALFORMED; /* RFC 3489 knows streams for shared secrets only */
    used += take(s, pv_view(data.ptr + used, data.len - used), len);
    *ret_used = used;
    if (s->in_len < len)
        return PV_ERR_AGAIN;
    *ret_request = pv_view(s->in, len);
    return PV_OK;
}

void pv_stunconn_next(struct pv_stunconn *s)
{
    s->in_len = 0;
    s->written = 0;
}

struct pv_view pv_stunconn_out(const struct pv_stunconn *s)
{
    return pv_view(s->reply.buf + s->written, s->reply.len - s->written);
}

void pv_stunconn_wrote(struct pv_stunconn *s, size_t n)
{
    s->written += n;
    if (s->written < s->reply.len)
        return;
    s->written = 0;
    s->reply.len = 0;
}
