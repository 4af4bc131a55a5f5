/* SPDX-License-Identifier: MIT */
/* nodewire.c - frames between chat and the node. Each field is written and read in one place, so
 * that both ends agree; a reader believes nothing of the other program, which may have been taken
 * over. */
#include "chat/nodewire.h"

#include <string.h>

struct pv_writer pv_nodewire_begin(uint8_t buf[static PV_NODEWIRE_HEAD + PV_NODEWIRE_MAX])
{
    struct pv_writer w = pv_writer(buf, PV_NODEWIRE_HEAD + PV_NODEWIRE_MAX);
    w.len = PV_NODEWIRE_HEAD;
    return w;
}

int pv_nodewire_end(struct pv_writer *w, enum pv_nodewire_type type, bool has_fd,
                    struct pv_view *ret_frame)
{
    w->buf[0] = (uint8_t)type;
    w->buf[1] = has_fd;
    pv_store_be32(w->buf + 2, (uint32_t)(w->len - PV_NODEWIRE_HEAD));
    *ret_frame = pv_written(w);
    return w->status;
}

int pv_nodewire_next(struct pv_view bytes, struct pv_nodewire_frame *ret_frame)
{
    struct pv_reader r = pv_reader(bytes);
    *ret_frame = (struct pv_nodewire_frame){.type = pv_get_u8(&r)};
    unsigned has_fd = pv_get_u8(&r);
    size_t len = pv_get_u32(&r);
    if (r.status != PV_OK)
        return PV_ERR_AGAIN;
    if (has_fd > 1 || len > PV_NODEWIRE_MAX)
        return PV_ERR_MALFORMED;
    ret_frame->has_fd = has_fd == 1;
    ret_frame->body = pv_get_bytes(&r, len);
    return r.status == PV_OK ? PV_OK : PV_ERR_AGAIN;
}

/* --- fields -------------------------------------------------------------------------------- */

void pv_nodewire_put_text(struct pv_writer *w, const char *text)
{
    pv_put_view16(w, pv_view(text, strlen(text)));
}

void pv_nodewire_get_text(struct pv_reader *r, char *ret_text, size_t cap)
{
    struct pv_view v = pv_get_view16(r, cap - 1);
    if (!pv_utf8_is_valid(v)) { /* it refuses NUL, too */
        pv_reader_fail(r, PV_ERR_MALFORMED);
        v.len = 0;
    }
    if (v.len > 0)
        memcpy(ret_text, v.ptr, v.len);
    ret_text[v.len] = '\0';
}

unsigned pv_nodewire_get_enum(struct pv_reader *r, unsigned n)
{
    unsigned v = pv_get_u8(r);
    if (v < n)
        return v;
    pv_reader_fail(r, PV_ERR_MALFORMED);
    return 0;
}

bool pv_nodewire_get_bool(struct pv_reader *r)
{
    return pv_nodewire_get_enum(r, 2) == 1;
}

void pv_nodewire_put_status(struct pv_writer *w, int status)
{
    pv_put_u32(w, (uint32_t)-status);
}

int pv_nodewire_get_status(struct pv_reader *r)
{
    uint32_t v = pv_get_u32(r);
    if (v > 9999) { /* pv.h: no status is beyond */
        pv_reader_fail(r, PV_ERR_MALFORMED);
        v = 0;
    }
    return -(int)v;
}

void pv_nodewire_put_addr(struct pv_writer *w, const struct pv_addr *a)
{
    pv_put_u8(w, (uint8_t)pv_addr_ip_len(a));
    pv_put_bytes(w, a->ip, pv_addr_ip_len(a));
    pv_put_u16(w, a->port);
}

void pv_nodewire_get_addr(struct pv_reader *r, struct pv_addr *ret_addr)
{
    size_t len = pv_get_u8(r);
    *ret_addr = (struct pv_addr){.family = len == 4    ? PV_AF_INET
                                           : len == 16 ? PV_AF_INET6
                                                       : PV_AF_NONE};
    if (len != 0 && len != 4 && len != 16)
        pv_reader_fail(r, PV_ERR_MALFORMED);
    else if (len > 0)
        pv_get_copy(r, ret_addr->ip, len);
    ret_addr->port = pv_get_u16(r);
}

void pv_nodewire_put_own(struct pv_writer *w, const struct pv_overlay_own *own)
{
    pv_put_bytes(w, own->key, sizeof(own->key));
    pv_put_u8(w, (uint8_t)own->standing);
    pv_put_bytes(w, own->network, sizeof(own->network));
    pv_nodewire_put_text(w, own->name);
    pv_nodewire_put_addr(w, &own->ip4);
    pv_nodewire_put_addr(w, &own->ip6);
    pv_put_u8(w, own->up);
    pv_put_u8(w, own->on_overlay);
    pv_put_u8(w, own->online);
    pv_put_u8(w, own->rules_known);
}

void pv_nodewire_get_own(struct pv_reader *r, struct pv_overlay_own *ret_own)
{
    *ret_own = (struct pv_overlay_own){0};
    pv_get_copy(r, ret_own->key, sizeof(ret_own->key));
    ret_own->standing = (enum pv_overlay_standing)pv_nodewire_get_enum(r, PV_OVERLAY_OUT + 1);
    pv_get_copy(r, ret_own->network, sizeof(ret_own->network));
    pv_nodewire_get_text(r, ret_own->name, sizeof(ret_own->name));
    pv_nodewire_get_addr(r, &ret_own->ip4);
    pv_nodewire_get_addr(r, &ret_own->ip6);
    ret_own->up = pv_nodewire_get_bool(r);
    ret_own->on_overlay = pv_nodewire_get_bool(r);
    ret_own->online = pv_nodewire_get_bool(r);
    ret_own->rules_known = pv_nodewire_get_bool(r);
}

void pv_nodewire_put_member(struct pv_writer *w, const struct pv_overlay_member *m)
{
    pv_put_bytes(w, m->key, sizeof(m->key));
    pv_put_u8(w, (uint8_t)m->kind);
    pv_nodewire_put_text(w, m->name);
    pv_nodewire_put_addr(w, &m->ip4);
    pv_nodewire_put_addr(w, &m->ip6);
    pv_put_u8(w, m->is_self);
    pv_put_u8(w, m->is_peer);
    pv_put_u8(w, m->is_there);
    pv_put_u8(w, (uint8_t)m->presence);
    pv_put_u64(w, m->joined);
    pv_put_u64(w, m->gone);
    pv_put_u8(w, m->by_invite);
    pv_put_bytes(w, m->by, sizeof(m->by));
    pv_put_u64(w, m->renamed_since);
    pv_put_bytes(w, m->former, sizeof(m->former));
}

void pv_nodewire_get_member(struct pv_reader *r, struct pv_overlay_member *ret_member)
{
    struct pv_overlay_member *m = ret_member;
    *m = (struct pv_overlay_member){0};
    pv_get_copy(r, m->key, sizeof(m->key));
    m->kind = (enum pv_overlay_kind)pv_nodewire_get_enum(r, PV_OVERLAY_STATIC + 1);
    pv_nodewire_get_text(r, m->name, sizeof(m->name));
    pv_nodewire_get_addr(r, &m->ip4);
    pv_nodewire_get_addr(r, &m->ip6);
    m->is_self = pv_nodewire_get_bool(r);
    m->is_peer = pv_nodewire_get_bool(r);
    m->is_there = pv_nodewire_get_bool(r);
    m->presence = (enum pv_overlay_presence)pv_nodewire_get_enum(r, PV_OVERLAY_ONLINE + 1);
    m->joined = pv_get_u64(r);
    m->gone = pv_get_u64(r);
    m->by_invite = pv_nodewire_get_bool(r);
    pv_get_copy(r, m->by, sizeof(m->by));
    m->renamed_since = pv_get_u64(r);
    pv_get_copy(r, m->former, sizeof(m->former));
}

void pv_nodewire_put_query(struct pv_writer *w, const struct pv_overlay_query *query)
{
    pv_put_u8(w, (uint8_t)query->how);
    pv_put_u8(w, query->story);
    if (query->how == PV_OVERLAY_BY_KEY) {
        pv_put_bytes(w, query->key, PV_SIGN_PK_LEN);
    } else if (query->how == PV_OVERLAY_BY_ADDR) {
        pv_nodewire_put_addr(w, query->addr);
    } else {
        size_t len = strlen(query->word);
        pv_put_view16(w, pv_view(query->word, len < PV_CTLAPI_PEER_BUF ? len : 0));
    }
}

void pv_nodewire_get_query(struct pv_reader *r, struct pv_nodewire_query *ret_query)
{
    struct pv_nodewire_query *q = ret_query;
    *q = (struct pv_nodewire_query){0};
    q->query.how = (enum pv_overlay_how)pv_nodewire_get_enum(r, PV_OVERLAY_BY_RENAMED + 1);
    q->query.story = pv_nodewire_get_bool(r);
    if (q->query.how == PV_OVERLAY_BY_KEY)
        pv_get_copy(r, q->key, sizeof(q->key));
    else if (q->query.how == PV_OVERLAY_BY_ADDR)
        pv_nodewire_get_addr(r, &q->addr);
    else
        pv_nodewire_get_text(r, q->word, sizeof(q->word));
    q->query.key = q->key;
    q->query.addr = &q->addr;
    q->query.word = q->word;
}
