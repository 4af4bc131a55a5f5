/* SPDX-License-Identifier: MIT */
/* nodeserve.c - the node's end of the socket to chat. Every request has one function here, which
 * reads all of its fields before it does anything. */
#include "chat/nodeserve.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/control/copybox.h"
#include "proto/ip/inband.h"

struct pv_nodeserve {
    struct pv_nodeserve_config cfg;
    enum pv_nodeserve_state state;
    struct pv_nodepipe pipe;
    uint8_t frame[PV_NODEWIRE_HEAD + PV_NODEWIRE_MAX]; /* the one that is being written */
};

/* --- sending ------------------------------------------------------------------------------- */

static void put(struct pv_nodeserve *s, enum pv_nodewire_type type, struct pv_writer *w, int fd)
{
    int r = pv_nodepipe_put(&s->pipe, type, w, fd);
    if (r == PV_OK)
        return;
    pv_log(s->cfg.log, PV_LOG_WARN, "what=\"connection to chat ended\" why=\"%s\"",
           r == PV_ERR_LIMIT ? "it does not read what it is sent" : pv_strstatus(r));
    s->state = PV_NODESERVE_ENDED;
}

static struct pv_writer begin(struct pv_nodeserve *s)
{
    return pv_nodewire_begin(s->frame);
}

static bool is_there(const struct pv_nodeserve *s)
{
    return s->state == PV_NODESERVE_THERE;
}

static void send_own(struct pv_nodeserve *s, unsigned facts)
{
    struct pv_writer w = begin(s);
    pv_put_u32(&w, facts);
    pv_nodewire_put_own(&w, s->cfg.overlay.own(s->cfg.overlay.node));
    put(s, PV_NODEWIRE_OWN, &w, -1);
}

/* --- requests ------------------------------------------------------------------------------ */

/* Did the reader take all of a right body? Nothing is done otherwise. */
static bool is_whole(const struct pv_reader *r)
{
    return pv_reader_end(r) == PV_OK;
}

static bool do_find(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    struct pv_overlay_member m = {.kind = PV_OVERLAY_NONE};
    struct pv_nodewire_query q;
    pv_nodewire_get_query(r, &q);
    if (!is_whole(r))
        return false;
    bool found = o->find(o->node, &q.query, &m);
    struct pv_writer w = begin(s);
    pv_put_u8(&w, found);
    pv_nodewire_put_member(&w, &m);
    put(s, PV_NODEWIRE_REPLY, &w, -1);
    return true;
}

static bool do_next(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    uint8_t after[PV_SIGN_PK_LEN];
    bool first = !pv_nodewire_get_bool(r);
    pv_get_copy(r, after, sizeof(after));
    if (!is_whole(r))
        return false;
    struct pv_writer w = begin(s);
    struct pv_overlay_member m;
    for (size_t i = 0; i < PV_NODEWIRE_MEMBERS && o->next(o->node, first ? NULL : after, &m); i++) {
        pv_nodewire_put_member(&w, &m);
        memcpy(after, m.key, sizeof(after));
        first = false;
    }
    put(s, PV_NODEWIRE_REPLY, &w, -1);
    return true;
}

static bool do_may(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    uint8_t key[PV_SIGN_PK_LEN];
    char rule[PV_OVERLAY_RULE_BUF] = "";
    pv_get_copy(r, key, sizeof(key));
    unsigned service = pv_nodewire_get_enum(r, PV_OVERLAY_FILES + 1);
    bool to = pv_nodewire_get_bool(r);
    if (!is_whole(r))
        return false;
    enum pv_overlay_may may = o->may(o->node, key, (enum pv_overlay_service)service, to, rule);
    struct pv_writer w = begin(s);
    pv_put_u8(&w, (uint8_t)may);
    pv_nodewire_put_text(&w, rule);
    put(s, PV_NODEWIRE_REPLY, &w, -1);
    return true;
}

static bool do_link(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    uint8_t key[PV_SIGN_PK_LEN], pair[PV_PROOF_KEY_LEN] = {0};
    pv_get_copy(r, key, sizeof(key));
    if (!is_whole(r))
        return false;
    enum pv_overlay_link link = o->link(o->node, key, pair);
    struct pv_writer w = begin(s);
    pv_put_u8(&w, (uint8_t)link);
    pv_put_bytes(&w, pair, sizeof(pair));
    put(s, PV_NODEWIRE_REPLY, &w, -1);
    pv_wipe(pair, sizeof(pair));
    pv_wipe(s->frame, w.len);
    return true;
}

static bool do_sign(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    uint8_t sig[PV_SIGN_LEN] = {0};
    unsigned domain = pv_nodewire_get_enum(r, PV_APPSIGNER_ROOM + 1);
    struct pv_view head = pv_get_view16(r, PV_NODEWIRE_MAX);
    struct pv_view body = pv_get_view16(r, PV_NODEWIRE_MAX);
    if (!is_whole(r))
        return false;
    int status = o->sign(o->node, (enum pv_appsigner_domain)domain, head, body, sig);
    struct pv_writer w = begin(s);
    pv_nodewire_put_status(&w, status);
    pv_put_bytes(&w, sig, sizeof(sig));
    put(s, PV_NODEWIRE_REPLY, &w, -1);
    return true;
}

static bool do_explain(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    char what[PV_CTLAPI_PEER_BUF], word[PV_CTLAPI_PEER_BUF];
    uint64_t handle = pv_get_u64(r);
    unsigned needs = pv_nodewire_get_enum(r, PV_OVERLAY_NEEDS_NODE + 1);
    pv_nodewire_get_text(r, what, sizeof(what));
    pv_nodewire_get_text(r, word, sizeof(word));
    if (!is_whole(r))
        return false;
    o->explain(o->node, what, word, (enum pv_overlay_needs)needs, handle, now);
    return true;
}

/* The reasons are chat's own static texts; the log does not grow with them, as the node logs once a
 * peer. They are told as chat's. */
static bool do_want(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    uint8_t key[PV_SIGN_PK_LEN];
    pv_get_copy(r, key, sizeof(key));
    if (!is_whole(r))
        return false;
    o->want(o->node, key, "chat", now);
    return true;
}

static bool do_notice(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    uint8_t key[PV_SIGN_PK_LEN];
    pv_get_copy(r, key, sizeof(key));
    struct pv_view body = pv_get_view16(r, PV_INBAND_PART_MAX);
    if (!is_whole(r))
        return false;
    o->notice(o->node, key, body, now);
    return true;
}

static bool do_keep(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    uint8_t key[PV_SIGN_PK_LEN], id[PV_CTL_KEY_LEN];
    pv_get_copy(r, key, sizeof(key));
    pv_get_copy(r, id, sizeof(id));
    struct pv_view content = pv_get_view16(r, PV_COPYBOX_CONTENT_MAX);
    if (!is_whole(r))
        return false;
    o->keep(o->node, key, id, content, now);
    return true;
}

static bool do_collect(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    uint64_t after = pv_get_u64(r), taken = pv_get_u64(r);
    if (!is_whole(r))
        return false;
    o->collect(o->node, after, taken, now);
    return true;
}

static void send_connected(struct pv_nodeserve *s, uint32_t stream, int status, int fd)
{
    struct pv_writer w = begin(s);
    pv_put_u32(&w, stream);
    pv_nodewire_put_status(&w, status);
    put(s, PV_NODEWIRE_CONNECTED, &w, fd);
}

static bool do_connect(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    struct pv_addr to;
    uint32_t stream = pv_get_u32(r);
    pv_nodewire_get_addr(r, &to);
    if (!is_whole(r) || (to.port != s->cfg.ports[0] && to.port != s->cfg.ports[1]))
        return false;
    int status = o->connect(o->node, stream, &to, now);
    if (status != PV_OK)
        send_connected(s, stream, status, -1);
    return true;
}

/* Texts of the longest message, so not on the stack. */
struct notification {
    char from[PV_NAME_BUF], to[PV_NAME_BUF], room[PV_CTLAPI_ROOM_BUF], id[PV_CTLAPI_ID_BUF];
    char text[PV_TEXT_MAX + 1];
};

static bool do_notify(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    struct notification *n = malloc(sizeof(*n));
    if (n == NULL)
        return false;
    uint64_t tag = pv_get_u64(r), time_ms = pv_get_u64(r);
    pv_nodewire_get_text(r, n->from, sizeof(n->from));
    pv_nodewire_get_text(r, n->to, sizeof(n->to));
    pv_nodewire_get_text(r, n->room, sizeof(n->room));
    pv_nodewire_get_text(r, n->id, sizeof(n->id));
    pv_nodewire_get_text(r, n->text, sizeof(n->text));
    bool whole = is_whole(r);
    const struct pv_overlay_notification of = {.from = n->from,
                                               .to = n->to,
                                               .room = n->room,
                                               .id = n->id,
                                               .text = n->text,
                                               .time_ms = time_ms};
    if (whole && !o->notify(o->node, &of, tag, now)) {
        struct pv_writer w = begin(s);
        pv_put_u64(&w, tag);
        pv_nodewire_put_status(&w, PV_ERR_REFUSED);
        pv_nodewire_put_text(&w, "");
        put(s, PV_NODEWIRE_NOTIFIED, &w, -1);
    }
    pv_wipe(n, sizeof(*n));
    free(n);
    return whole;
}

/* As notification, an event may be the longest message. */
struct event {
    char kind[PV_OVERLAY_EVENT_BUF], what[PV_OVERLAY_EVENT_BUF];
    char who[PV_CTLAPI_PEER_BUF], text[PV_CTLAPI_ERROR_BUF + 128];
    char body[PV_OVERLAY_BODY_MAX + 1];
};

static bool do_tell(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    struct event *e = malloc(sizeof(*e));
    if (e == NULL)
        return false;
    pv_nodewire_get_text(r, e->kind, sizeof(e->kind));
    pv_nodewire_get_text(r, e->what, sizeof(e->what));
    pv_nodewire_get_text(r, e->who, sizeof(e->who));
    pv_nodewire_get_text(r, e->text, sizeof(e->text));
    pv_nodewire_get_text(r, e->body, sizeof(e->body));
    bool whole = is_whole(r) && o->tell != NULL;
    if (whole)
        o->tell(
            o->node,
            &(struct pv_overlay_event){
                .kind = e->kind, .what = e->what, .who = e->who, .text = e->text, .body = e->body},
            now);
    pv_wipe(e, sizeof(*e));
    free(e);
    return whole;
}

static bool do_report(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now)
{
    const struct pv_overlay *o = &s->cfg.overlay;
    struct pv_overlay_page *page = calloc(1, sizeof(*page));
    if (page == NULL)
        return false;
    uint64_t tag = pv_get_u64(r);
    page->counted = pv_nodewire_get_bool(r);
    page->unread = pv_get_u64(r);
    page->queued = pv_get_u64(r);
    page->n = pv_nodewire_get_enum(r, PV_OVERLAY_LINES + 1);
    for (size_t i = 0; i < page->n && r->status == PV_OK; i++) {
        page->lines[i].kind = pv_nodewire_get_enum(r, PV_OVERLAY_LINE_DROP + 1);
        pv_nodewire_get_text(r, page->lines[i].text, sizeof(page->lines[i].text));
        page->lines[i].count = pv_get_u64(r);
    }
    bool whole = is_whole(r) && o->report != NULL;
    if (whole)
        o->report(o->node, tag, page, now);
    free(page);
    return whole;
}

static bool (*const REQUESTS[])(struct pv_nodeserve *s, struct pv_reader *r, pv_ns now) = {
    [PV_NODEWIRE_FIND] = do_find,       [PV_NODEWIRE_NEXT] = do_next,
    [PV_NODEWIRE_MAY] = do_may,         [PV_NODEWIRE_LINK] = do_link,
    [PV_NODEWIRE_SIGN] = do_sign,       [PV_NODEWIRE_EXPLAIN] = do_explain,
    [PV_NODEWIRE_WANT] = do_want,       [PV_NODEWIRE_NOTICE] = do_notice,
    [PV_NODEWIRE_KEEP] = do_keep,       [PV_NODEWIRE_COLLECT] = do_collect,
    [PV_NODEWIRE_CONNECT] = do_connect, [PV_NODEWIRE_NOTIFY] = do_notify,
    [PV_NODEWIRE_TELL] = do_tell,       [PV_NODEWIRE_REPORT] = do_report,
};

/* Carries out one frame. A frame of chat brings no descriptor. */
static bool obey(struct pv_nodeserve *s, const struct pv_nodewire_frame *frame, pv_ns now)
{
    struct pv_reader r = pv_reader(frame->body);
    return !frame->has_fd && frame->type < PV_NODEWIRE_N_REQUESTS &&
           REQUESTS[frame->type](s, &r, now);
}

void pv_nodeserve_run(struct pv_nodeserve *s, pv_ns now)
{
    struct pv_nodewire_frame frame;
    int r = PV_OK, fd;
    while (is_there(s) && (r = pv_nodepipe_take(&s->pipe, &frame, &fd)) == PV_OK) {
        if (fd >= 0)
            s->cfg.shutter(s->cfg.owner, fd);
        if (!obey(s, &frame, now)) {
            r = PV_ERR_MALFORMED;
            break;
        }
    }
    if (r != PV_ERR_MALFORMED)
        return;
    pv_log(s->cfg.log, PV_LOG_WARN,
           "what=\"connection to chat ended\" why=\"it sent what no chat sends\" type=%u",
           frame.type);
    s->state = PV_NODESERVE_ENDED;
}

/* --- what the node tells ------------------------------------------------------------------- */

static void tell_own(void *chat, unsigned facts, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (is_there(s))
        send_own(s, facts);
}

static void tell_member(void *chat, const uint8_t *key, unsigned news, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (!is_there(s))
        return;
    struct pv_writer w = begin(s);
    pv_put_bytes(&w, key, PV_SIGN_PK_LEN);
    pv_put_u32(&w, news);
    put(s, PV_NODEWIRE_MEMBER, &w, -1);
}

static void tell_gone(void *chat, const uint8_t *key, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (!is_there(s))
        return;
    struct pv_writer w = begin(s);
    pv_put_bytes(&w, key, PV_SIGN_PK_LEN);
    put(s, PV_NODEWIRE_GONE, &w, -1);
}

static void tell_notice(void *chat, const uint8_t *key, struct pv_view body, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (!is_there(s))
        return;
    struct pv_writer w = begin(s);
    pv_put_bytes(&w, key, PV_SIGN_PK_LEN);
    pv_put_view16(&w, body);
    put(s, PV_NODEWIRE_HEARD, &w, -1);
}

static void tell_explained(void *chat, uint64_t handle, enum pv_ctlapi_code code, const char *text,
                           pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (!is_there(s))
        return;
    struct pv_writer w = begin(s);
    pv_put_u64(&w, handle);
    pv_put_u8(&w, (uint8_t)code);
    pv_nodewire_put_text(&w, text);
    put(s, PV_NODEWIRE_EXPLAINED, &w, -1);
}

static void tell_kept(void *chat, int status, enum pv_ctl_error error, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (!is_there(s))
        return;
    struct pv_writer w = begin(s);
    pv_nodewire_put_status(&w, status);
    pv_put_u8(&w, (uint8_t)error);
    put(s, PV_NODEWIRE_KEPT, &w, -1);
}

static void tell_collected(void *chat, const struct pv_overlay_copy *copy, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (!is_there(s))
        return;
    static const uint8_t nobody[PV_SIGN_PK_LEN];
    struct pv_writer w = begin(s);
    pv_put_u8(&w, (uint8_t)copy->error);
    pv_put_u64(&w, copy->number);
    pv_put_bytes(&w, copy->from != NULL ? copy->from : nobody, PV_SIGN_PK_LEN);
    pv_nodewire_put_status(&w, copy->status);
    pv_put_view16(&w, copy->content);
    put(s, PV_NODEWIRE_COLLECTED, &w, -1);
    pv_wipe(s->frame, w.len);
}

static void tell_copies(void *chat, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (!is_there(s))
        return;
    struct pv_writer w = begin(s);
    put(s, PV_NODEWIRE_COPIES, &w, -1);
}

static void tell_connected(void *chat, uint32_t stream, int status, int socket, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (is_there(s))
        send_connected(s, stream, status, socket);
    else if (socket >= 0)
        s->cfg.shutter(s->cfg.owner, socket);
}

static int tell_accepted(void *chat, uint16_t port, const struct pv_addr *remote, int socket,
                         uint32_t *ret_stream, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    *ret_stream = 0;
    if (!is_there(s))
        return PV_ERR_CLOSED;
    /* Connections of members must not end the one to a chat that reads slowly: the rest of the
     * places is for those that chat asked for. */
    if (s->pipe.out_fds.n >= PV_NODEPIPE_FDS_MAX / 2)
        return PV_ERR_LIMIT;
    struct pv_writer w = begin(s);
    pv_put_u16(&w, port);
    pv_nodewire_put_addr(&w, remote);
    put(s, PV_NODEWIRE_ACCEPTED, &w, socket);
    return PV_OK;
}

static void tell_notified(void *chat, uint64_t tag, int status, const char *why, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (!is_there(s))
        return;
    struct pv_writer w = begin(s);
    pv_put_u64(&w, tag);
    pv_nodewire_put_status(&w, status);
    pv_nodewire_put_text(&w, why);
    put(s, PV_NODEWIRE_NOTIFIED, &w, -1);
}

static void tell_asked(void *chat, uint64_t tag, pv_ns now)
{
    struct pv_nodeserve *s = chat;
    if (!is_there(s))
        return;
    struct pv_writer w = begin(s);
    pv_put_u64(&w, tag);
    put(s, PV_NODEWIRE_ASKED, &w, -1);
}

struct pv_overlay_told pv_nodeserve_told(struct pv_nodeserve *s)
{
    return (struct pv_overlay_told){
        .chat = s,
        .own = tell_own,
        .member = tell_member,
        .gone = tell_gone,
        .notice = tell_notice,
        .explained = tell_explained,
        .kept = tell_kept,
        .collected = tell_collected,
        .copies = tell_copies,
        .connected = tell_connected,
        .accepted = tell_accepted,
        .notified = tell_notified,
        .asked = tell_asked,
    };
}

/* --- its life ------------------------------------------------------------------------------ */

int pv_nodeserve_new(struct pv_nodeserve **ret_serve, const struct pv_nodeserve_config *cfg)
{
    struct pv_nodeserve *s = calloc(1, sizeof(*s));
    *ret_serve = s;
    if (s == NULL)
        return PV_ERR_NOMEM;
    s->cfg = *cfg;
    s->pipe = (struct pv_nodepipe){.shutter = cfg->shutter, .owner = cfg->owner};
    return PV_OK;
}

struct pv_nodeserve *pv_nodeserve_free(struct pv_nodeserve *s)
{
    if (s == NULL)
        return NULL;
    pv_nodeserve_down(s);
    pv_wipe(s->frame, sizeof(s->frame));
    free(s);
    return NULL;
}

void pv_nodeserve_up(struct pv_nodeserve *s)
{
    pv_nodepipe_done(&s->pipe);
    s->state = PV_NODESERVE_THERE;
    const struct pv_overlay_own *own = s->cfg.overlay.own(s->cfg.overlay.node);
    send_own(s, PV_OVERLAY_NETWORK | PV_OVERLAY_OVERLAY | PV_OVERLAY_RULES |
                    (own->online ? PV_OVERLAY_WENT_ON : PV_OVERLAY_WENT_OFF));
}

void pv_nodeserve_down(struct pv_nodeserve *s)
{
    pv_nodepipe_done(&s->pipe);
    s->state = PV_NODESERVE_AWAY;
}

enum pv_nodeserve_state pv_nodeserve_state(const struct pv_nodeserve *s)
{
    return s->state;
}

struct pv_nodepipe *pv_nodeserve_pipe(struct pv_nodeserve *s)
{
    return is_there(s) ? &s->pipe : NULL;
}
