/* SPDX-License-Identifier: MIT */
/* engine_stream.c - hands what happens to a stream to the machine whose kind it is. */
#include <string.h>

#include "daemon/core/engine_int.h"

/* Whose address it is: identity is what cryptokey routing proved (DESIGN 8). */
static struct pv_chatlink_source source_of(struct pv_engine *e, const struct pv_addr *remote)
{
    struct pv_chatlink_source s = {.who = PV_CHATLINK_STRANGER};
    struct pv_addr ip = *remote;
    ip.port = 0;
    const struct pv_member *m =
        e->node.roster == NULL ? NULL : pv_roster_by_ip(e->node.roster, &ip);
    if (m != NULL) {
        bool self = memcmp(m->node, e->node.identity->sign_pk, sizeof(m->node)) == 0;
        s.who = self ? PV_CHATLINK_SELF : PV_CHATLINK_MEMBER;
        memcpy(s.pk, m->node, sizeof(s.pk));
        memcpy(s.name, m->name, sizeof(s.name));
        return s;
    }
    size_t n;
    const struct pv_prefix *routes = pv_peers_static_routes(e->node.peers, &n);
    for (size_t i = 0; i < n; i++) {
        if (pv_prefix_contains(&routes[i], &ip))
            s.who = PV_CHATLINK_STATIC;
    }
    return s;
}

int pv_engine_stream_accepted(struct pv_engine *e, enum pv_stream_kind kind,
                              const struct pv_stream_peer *who, pv_ns now, uint32_t *ret_sid)
{
    uint32_t local;
    int r = PV_ERR_REFUSED;
    if (kind == PV_STREAM_CTL) {
        r = pv_ctlsrv_accepted(e->node.ctl, who->may_change, &local);
    } else if (kind == PV_STREAM_CHAT) {
        const struct pv_chatlink_source source = source_of(e, &who->remote);
        r = pv_chatlink_accepted(e->chat, &source, now, &local);
    } else if (kind == PV_STREAM_FILE) {
        const struct pv_chatlink_source source = source_of(e, &who->remote);
        if (source.who == PV_CHATLINK_MEMBER)
            r = pv_filelink_accepted(e->files, source.pk, now, &local);
    }
    if (r == PV_OK)
        *ret_sid = pv_sid(kind, local);
    return r;
}

/* What streams brought is acted on at once. */
static void pump(struct pv_engine *e, pv_ns now)
{
    pv_engine_coord_pump(e, now);
    pv_engine_ctl_pump(e, now);
    pv_engine_settle(e, now);
}

void pv_engine_stream_connected(struct pv_engine *e, uint32_t sid, pv_ns now)
{
    if (pv_sid_kind(sid) == PV_STREAM_COORD)
        pv_coordclient_connected(e->node.coord, pv_sid_local(sid), now);
    else if (pv_sid_kind(sid) == PV_STREAM_CHAT)
        pv_chatlink_connected(e->chat, pv_sid_local(sid), now);
    pump(e, now);
}

void pv_engine_stream_bytes(struct pv_engine *e, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    uint32_t local = pv_sid_local(sid);
    switch (pv_sid_kind(sid)) {
    case PV_STREAM_COORD:
        pv_coordclient_handle_bytes(e->node.coord, local, bytes, now);
        break;
    case PV_STREAM_CHAT:
        pv_chatlink_handle_bytes(e->chat, local, bytes, pv_engine_wall_ms(e, now), now);
        break;
    case PV_STREAM_CTL:
        pv_ctlsrv_handle_bytes(e->node.ctl, local, bytes);
        break;
    case PV_STREAM_FILE:
        pv_filelink_handle_bytes(e->files, local, bytes, now);
        break;
    case PV_STREAM_KINDS:
        break;
    }
    pump(e, now);
}

void pv_engine_stream_closed(struct pv_engine *e, uint32_t sid, int status, pv_ns now)
{
    uint32_t local = pv_sid_local(sid);
    switch (pv_sid_kind(sid)) {
    case PV_STREAM_COORD:
        pv_coordclient_closed(e->node.coord, local, status, now);
        break;
    case PV_STREAM_CHAT:
        pv_chatlink_closed(e->chat, local, now);
        break;
    case PV_STREAM_CTL:
        pv_ctlsrv_closed(e->node.ctl, local);
        pv_engine_files_client_gone(e, sid);
        break;
    case PV_STREAM_FILE:
        pv_filelink_closed(e->files, local);
        break;
    case PV_STREAM_KINDS:
        break;
    }
    pump(e, now);
}

int pv_engine_poll_stream_op(struct pv_engine *e, struct pv_stream_op *ret_op)
{
    struct pv_coordclient_stream_op co;
    struct pv_chatlink_stream_op ch;
    uint32_t local;
    if (pv_coordclient_poll_stream_op(e->node.coord, &co) == PV_OK) {
        *ret_op = (struct pv_stream_op){.type = co.open ? PV_STREAM_OPEN : PV_STREAM_CLOSE,
                                        .sid = pv_sid(PV_STREAM_COORD, co.sid),
                                        .kind = PV_STREAM_COORD,
                                        .addr = co.to.addr,
                                        .tls = co.to.tls};
        return PV_OK;
    }
    if (pv_chatlink_poll_stream_op(e->chat, &ch) == PV_OK) {
        const struct pv_member *self = pv_node_self(&e->node);
        *ret_op = (struct pv_stream_op){.type = ch.open ? PV_STREAM_OPEN : PV_STREAM_CLOSE,
                                        .sid = pv_sid(PV_STREAM_CHAT, ch.sid),
                                        .kind = PV_STREAM_CHAT,
                                        .addr = ch.addr};
        if (ch.open && self != NULL)
            ret_op->local = ch.addr.family == PV_AF_INET6 ? self->ip6 : self->ip4;
        return PV_OK;
    }
    if (pv_ctlsrv_poll_close(e->node.ctl, &local) != PV_OK)
        return PV_ERR_AGAIN;
    *ret_op = (struct pv_stream_op){
        .type = PV_STREAM_CLOSE, .sid = pv_sid(PV_STREAM_CTL, local), .kind = PV_STREAM_CTL};
    return PV_OK;
}

int pv_engine_poll_writable(struct pv_engine *e, uint32_t *ret_sid)
{
    uint32_t local;
    enum pv_stream_kind kind = PV_STREAM_COORD;
    int r = pv_coordclient_poll_writable(e->node.coord, &local);
    if (r != PV_OK) {
        kind = PV_STREAM_CHAT;
        r = pv_chatlink_poll_writable(e->chat, &local);
    }
    if (r != PV_OK) {
        kind = PV_STREAM_CTL;
        r = pv_ctlsrv_poll_writable(e->node.ctl, &local);
    }
    if (r == PV_OK)
        *ret_sid = pv_sid(kind, local);
    return r;
}

struct pv_view pv_engine_stream_out(struct pv_engine *e, uint32_t sid)
{
    uint32_t local = pv_sid_local(sid);
    switch (pv_sid_kind(sid)) {
    case PV_STREAM_COORD:
        return pv_coordclient_out(e->node.coord, local);
    case PV_STREAM_CHAT:
        return pv_chatlink_out(e->chat, local);
    case PV_STREAM_CTL:
        return pv_ctlsrv_out(e->node.ctl, local);
    case PV_STREAM_FILE:
    case PV_STREAM_KINDS:
        break; /* whoever takes the connection over writes */
    }
    return pv_view(NULL, 0);
}

void pv_engine_stream_wrote(struct pv_engine *e, uint32_t sid, size_t n, pv_ns now)
{
    uint32_t local = pv_sid_local(sid);
    switch (pv_sid_kind(sid)) {
    case PV_STREAM_COORD:
        pv_coordclient_wrote(e->node.coord, local, n);
        break;
    case PV_STREAM_CHAT:
        pv_chatlink_wrote(e->chat, local, n, now);
        pv_engine_chat_pump(e, now);
        break;
    case PV_STREAM_CTL:
        pv_ctlsrv_wrote(e->node.ctl, local, n);
        break;
    case PV_STREAM_FILE:
    case PV_STREAM_KINDS:
        break;
    }
}
