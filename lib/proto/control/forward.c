/* SPDX-License-Identifier: MIT */
/*
 * forward.c - the body of in-band type 5: a sealed signal that a common peer passes on. The common
 * peer can read the route and not the box, which is sealed for the receiver (signal.h).
 */
#include "proto/control/forward.h"

#include <string.h>

#include "base/bytes.h"

int pv_forward_build(const struct pv_forward *f, void *buf, size_t cap, size_t *ret_len)
{
    if (f->box.len > PV_SIGNAL_BOX_MAX)
        return PV_ERR_LIMIT;
    struct pv_writer w = pv_writer(buf, cap);
    pv_put_bytes(&w, f->to, sizeof(f->to));
    pv_put_bytes(&w, f->from, sizeof(f->from));
    pv_put_bytes(&w, f->box.ptr, f->box.len);
    if (w.status == PV_OK)
        *ret_len = w.len;
    return w.status;
}

int pv_forward_parse(struct pv_view body, struct pv_forward *ret_forward)
{
    struct pv_forward f;
    struct pv_reader r = pv_reader(body);
    struct pv_view to = pv_get_bytes(&r, sizeof(f.to));
    struct pv_view from = pv_get_bytes(&r, sizeof(f.from));
    f.box = r.rest;
    if (r.status != PV_OK)
        return r.status;
    if (f.box.len < PV_NOISE_X_OVERHEAD)
        return PV_ERR_TRUNCATED;
    if (f.box.len > PV_SIGNAL_BOX_MAX)
        return PV_ERR_LIMIT;
    if (memcmp(to.ptr, from.ptr, sizeof(f.to)) == 0)
        return PV_ERR_MALFORMED;
    memcpy(f.to, to.ptr, sizeof(f.to));
    memcpy(f.from, from.ptr, sizeof(f.from));
    *ret_forward = f;
    return PV_OK;
}
