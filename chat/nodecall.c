/* SPDX-License-Identifier: MIT */
/* nodecall.c - chat's end of the socket to the node. What the node tells while an answer is waited
 * for stays in a queue until run(), so chat is never called while it calls. */
#include "chat/nodecall.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "crypto/ct.h"

enum {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    KNOWN_MAX = 8, /* soon full */
#else
    KNOWN_MAX = 16384, /* ours: answers that are remembered; more than members of a large network */
#endif
    QUERY_MAX = 2 + 2 + PV_CTLAPI_PEER_BUF, /* bytes of a query on the wire */
    NEWS_MAX = 4096,                        /* ours: frames that wait for run() */
};
/* Ours: so long an answer is taken for the present one although the node told of no change. */
#define VALID PV_MS(500)

/* What find() answered. The table is in the order in which answers came, the oldest first. */
struct known {
    UT_hash_handle hh;
    struct known *prev, *next;
    uint8_t query[QUERY_MAX]; /* as on the wire, zeros behind it */
    bool found;
    struct pv_overlay_member member;
    uint64_t age; /* c->age when it came; older: the node has told of a change since */
    pv_ns when;   /* it came */
};

/* A frame that waits for run(). */
struct waiting {
    struct waiting *prev, *next;
    struct pv_nodewire_frame frame; /* body is behind this struct */
    int fd;                         /* owned; -1: none */
    uint8_t body[];
};

struct pv_nodecall {
    struct pv_nodecall_config cfg;
    enum pv_nodecall_state state;
    struct pv_nodepipe pipe;
    struct pv_overlay_own own;

    struct pv_map map;
    struct known *by_query, *list;
    uint64_t age;

    /* The last answer to NEXT: `batch` follow the key that was asked for. */
    struct pv_overlay_member batch[PV_NODEWIRE_MEMBERS];
    size_t n_batch;
    uint64_t batch_age;

    struct waiting *news;
    size_t n_news;
    uint8_t frame[PV_NODEWIRE_HEAD + PV_NODEWIRE_MAX]; /* the one that is being written */
    uint8_t answer[PV_NODEWIRE_MAX];                   /* the one that was waited for */
};

static bool is_there(const struct pv_nodecall *c)
{
    return c->state == PV_NODECALL_THERE;
}

static void end(struct pv_nodecall *c, const char *why)
{
    pv_log(c->cfg.log, PV_LOG_WARN, "what=\"connection to p2pvpnd ended\" why=\"%s\"", why);
    c->state = PV_NODECALL_ENDED;
}

static struct pv_writer begin(struct pv_nodecall *c)
{
    return pv_nodewire_begin(c->frame);
}

/* A message or request that is not waited for. */
static int send(struct pv_nodecall *c, enum pv_nodewire_type type, struct pv_writer *w)
{
    if (!is_there(c))
        return PV_ERR_CLOSED;
    int r = pv_nodepipe_put(&c->pipe, type, w, -1);
    if (r != PV_OK)
        end(c, pv_strstatus(r));
    return r;
}

/* --- what waits for run() ------------------------------------------------------------------ */

static void drop_news(struct pv_nodecall *c, struct waiting *n)
{
    PV_LIST_DEL(c->news, n);
    c->n_news--;
    if (n->fd >= 0)
        c->cfg.shutter(c->cfg.owner, n->fd);
    pv_wipe(n->body, n->frame.body.len);
    free(n);
}

static int keep_news(struct pv_nodecall *c, const struct pv_nodewire_frame *frame, int fd)
{
    struct waiting *n = c->n_news < NEWS_MAX ? malloc(sizeof(*n) + frame->body.len) : NULL;
    if (n == NULL) {
        if (fd >= 0)
            c->cfg.shutter(c->cfg.owner, fd);
        return PV_ERR_NOMEM;
    }
    n->frame = *frame;
    n->fd = fd;
    if (frame->body.len > 0)
        memcpy(n->body, frame->body.ptr, frame->body.len);
    n->frame.body.ptr = n->body;
    PV_LIST_ADD(c->news, n);
    c->n_news++;
    return PV_OK;
}

/* --- asking -------------------------------------------------------------------------------- */

/* Takes frames until the answer is among them. PV_ERR_AGAIN: it is not. */
static int take_answer(struct pv_nodecall *c, struct pv_reader *ret_answer)
{
    struct pv_nodewire_frame frame;
    int fd, r;
    while ((r = pv_nodepipe_take(&c->pipe, &frame, &fd)) == PV_OK) {
        if (frame.type == PV_NODEWIRE_REPLY && fd < 0) {
            memcpy(c->answer, frame.body.ptr, frame.body.len);
            *ret_answer = pv_reader(pv_view(c->answer, frame.body.len));
            return PV_OK;
        }
        r = keep_news(c, &frame, fd);
        if (r != PV_OK)
            break;
    }
    return r;
}

/* Asks, and waits for the answer. False: there is none. */
static bool ask(struct pv_nodecall *c, enum pv_nodewire_type type, struct pv_writer *w,
                struct pv_reader *ret_answer)
{
    int r = send(c, type, w);
    if (r != PV_OK)
        return false;
    while ((r = take_answer(c, ret_answer)) == PV_ERR_AGAIN) {
        r = c->cfg.wait(c->cfg.owner);
        if (r != PV_OK)
            break;
    }
    if (r != PV_OK)
        end(c, r == PV_ERR_MALFORMED ? "it sent what no p2pvpnd sends" : pv_strstatus(r));
    return r == PV_OK;
}

/* Was the answer read as a whole? If not the other program is none of ours. */
static bool is_whole(struct pv_nodecall *c, const struct pv_reader *r)
{
    if (pv_reader_end(r) == PV_OK)
        return true;
    end(c, "it sent what no p2pvpnd sends");
    return false;
}

/* --- members ------------------------------------------------------------------------------- */

/* While the node is away nobody can be reached. */
static void show(const struct pv_nodecall *c, const struct pv_overlay_member *m,
                 struct pv_overlay_member *ret_member)
{
    *ret_member = *m;
    if (is_there(c))
        return;
    ret_member->is_there = false;
    ret_member->presence = PV_OVERLAY_UNKNOWN;
}

static void query_key(const struct pv_overlay_query *query, uint8_t ret_key[static QUERY_MAX])
{
    struct pv_writer w = pv_writer(ret_key, QUERY_MAX);
    memset(ret_key, 0, QUERY_MAX);
    pv_nodewire_put_query(&w, query);
}

static struct known *known_of(const struct pv_nodecall *c, const uint8_t key[static QUERY_MAX])
{
    struct known *k;
    PV_MAP_FIND(&c->map, c->by_query, key, QUERY_MAX, k);
    return k;
}

static void forget(struct pv_nodecall *c, struct known *k)
{
    PV_LIST_DEL(c->list, k);
    PV_MAP_DEL(c->by_query, k);
    free(k);
}

/* The answer that came longest ago gives way: people ask again for whom they talk to. Without
 * memory nothing is remembered. */
static void remember(struct pv_nodecall *c, const uint8_t key[static QUERY_MAX], bool found,
                     const struct pv_overlay_member *m)
{
    struct known *k = known_of(c, key);
    int r = PV_OK;
    if (k == NULL) {
        if (HASH_COUNT(c->by_query) >= KNOWN_MAX)
            forget(c, c->list);
        k = calloc(1, sizeof(*k));
        if (k == NULL)
            return;
        memcpy(k->query, key, QUERY_MAX);
        PV_MAP_ADD(&c->map, c->by_query, query, k, r);
        if (r != PV_OK) {
            free(k);
            return;
        }
    } else {
        PV_LIST_DEL(c->list, k);
    }
    PV_LIST_ADD(c->list, k);
    k->found = found;
    k->member = *m;
    k->age = c->age;
    k->when = c->cfg.now(c->cfg.owner);
}

static bool is_valid(const struct pv_nodecall *c, const struct known *k)
{
    return !is_there(c) || (k->age == c->age && c->cfg.now(c->cfg.owner) - k->when < VALID);
}

static bool find(const void *node, const struct pv_overlay_query *query,
                 struct pv_overlay_member *ret_member)
{
    struct pv_nodecall *c = (struct pv_nodecall *)(uintptr_t)node;
    uint8_t key[QUERY_MAX];
    struct pv_reader r;
    *ret_member = (struct pv_overlay_member){.kind = PV_OVERLAY_NONE};
    query_key(query, key);
    const struct known *k = known_of(c, key);
    if (k == NULL || !is_valid(c, k)) {
        struct pv_writer w = begin(c);
        struct pv_overlay_member m;
        pv_nodewire_put_query(&w, query);
        if (ask(c, PV_NODEWIRE_FIND, &w, &r)) {
            bool found = pv_nodewire_get_bool(&r);
            pv_nodewire_get_member(&r, &m);
            if (is_whole(c, &r))
                remember(c, key, found, &m);
        }
        k = known_of(c, key);
    }
    if (k == NULL || !k->found)
        return false;
    show(c, &k->member, ret_member);
    return true;
}

/* Members as find() knows them, so that they can be listed while the node is away. */
static bool is_listed(const struct known *k)
{
    return k->query[0] == PV_OVERLAY_BY_KEY && k->query[1] == 0 && k->found &&
           (k->member.kind == PV_OVERLAY_MEMBER || k->member.kind == PV_OVERLAY_PHONE);
}

static bool next_known(const struct pv_nodecall *c, const uint8_t *after,
                       struct pv_overlay_member *ret_member)
{
    const struct known *k = c->list;
    if (after != NULL) {
        uint8_t key[QUERY_MAX];
        query_key(&(struct pv_overlay_query){.how = PV_OVERLAY_BY_KEY, .key = after}, key);
        k = known_of(c, key);
        k = k == NULL ? NULL : k->next;
    }
    while (k != NULL && !is_listed(k))
        k = k->next;
    if (k != NULL)
        show(c, &k->member, ret_member);
    return k != NULL;
}

static void fetch_batch(struct pv_nodecall *c, const uint8_t *after)
{
    static const uint8_t none[PV_SIGN_PK_LEN];
    struct pv_writer w = begin(c);
    struct pv_reader r;
    c->n_batch = 0;
    c->batch_age = c->age;
    pv_put_u8(&w, after != NULL);
    pv_put_bytes(&w, after != NULL ? after : none, PV_SIGN_PK_LEN);
    if (!ask(c, PV_NODEWIRE_NEXT, &w, &r))
        return;
    size_t n = 0;
    while (r.status == PV_OK && r.rest.len > 0 && n < PV_NODEWIRE_MEMBERS)
        pv_nodewire_get_member(&r, &c->batch[n++]);
    if (!is_whole(c, &r))
        return;
    c->n_batch = n;
    for (size_t i = 0; i < n; i++) {
        uint8_t key[QUERY_MAX];
        query_key(&(struct pv_overlay_query){.how = PV_OVERLAY_BY_KEY, .key = c->batch[i].key},
                  key);
        remember(c, key, true, &c->batch[i]);
    }
}

static bool next(const void *node, const uint8_t *after, struct pv_overlay_member *ret_member)
{
    struct pv_nodecall *c = (struct pv_nodecall *)(uintptr_t)node;
    uint8_t key[PV_SIGN_PK_LEN];
    size_t i = 0;
    if (after != NULL) /* which is often ret_member->key */
        after = memcpy(key, after, sizeof(key));
    *ret_member = (struct pv_overlay_member){.kind = PV_OVERLAY_NONE};
    if (!is_there(c))
        return next_known(c, after, ret_member);
    if (after != NULL && c->batch_age == c->age)
        while (i < c->n_batch && memcmp(c->batch[i].key, after, PV_SIGN_PK_LEN) != 0)
            i++;
    else
        i = c->n_batch;
    if (i + 1 < c->n_batch) {
        *ret_member = c->batch[i + 1];
        return true;
    }
    fetch_batch(c, after);
    if (c->n_batch == 0)
        return false;
    *ret_member = c->batch[0];
    return true;
}

/* --- the other questions ------------------------------------------------------------------- */

static const struct pv_overlay_own *own(const void *node)
{
    const struct pv_nodecall *c = node;
    return &c->own;
}

static enum pv_overlay_may may(const void *node, const uint8_t *key,
                               enum pv_overlay_service service, bool to, char *rule)
{
    struct pv_nodecall *c = (struct pv_nodecall *)(uintptr_t)node;
    char text[PV_OVERLAY_RULE_BUF] = "";
    unsigned verdict = PV_OVERLAY_NOT_KNOWN;
    struct pv_writer w = begin(c);
    struct pv_reader r;
    pv_put_bytes(&w, key, PV_SIGN_PK_LEN);
    pv_put_u8(&w, (uint8_t)service);
    pv_put_u8(&w, to);
    if (ask(c, PV_NODEWIRE_MAY, &w, &r)) {
        verdict = pv_nodewire_get_enum(&r, PV_OVERLAY_NOT_KNOWN + 1);
        pv_nodewire_get_text(&r, text, sizeof(text));
        if (!is_whole(c, &r))
            verdict = PV_OVERLAY_NOT_KNOWN;
    }
    if (rule != NULL)
        memcpy(rule, text, sizeof(text));
    return (enum pv_overlay_may)verdict;
}

static enum pv_overlay_link link(const void *node, const uint8_t *key, uint8_t *ret_key)
{
    struct pv_nodecall *c = (struct pv_nodecall *)(uintptr_t)node;
    uint8_t pair[PV_PROOF_KEY_LEN] = {0};
    unsigned state = PV_OVERLAY_LINK_UNKNOWN;
    struct pv_writer w = begin(c);
    struct pv_reader r;
    pv_put_bytes(&w, key, PV_SIGN_PK_LEN);
    if (ask(c, PV_NODEWIRE_LINK, &w, &r)) {
        state = pv_nodewire_get_enum(&r, PV_OVERLAY_LINK_NONE + 1);
        pv_get_copy(&r, pair, sizeof(pair));
        if (!is_whole(c, &r))
            state = PV_OVERLAY_LINK_UNKNOWN;
        pv_wipe(c->answer, sizeof(pair) + 1);
    }
    if (ret_key != NULL)
        memcpy(ret_key, pair, sizeof(pair));
    pv_wipe(pair, sizeof(pair));
    return (enum pv_overlay_link)state;
}

static int sign(const void *node, enum pv_appsigner_domain domain, struct pv_view head,
                struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    struct pv_nodecall *c = (struct pv_nodecall *)(uintptr_t)node;
    struct pv_writer w = begin(c);
    struct pv_reader r;
    memset(ret_sig, 0, PV_SIGN_LEN);
    pv_put_u8(&w, (uint8_t)domain);
    pv_put_view16(&w, head);
    pv_put_view16(&w, body);
    if (w.status != PV_OK)
        return w.status;
    if (!ask(c, PV_NODEWIRE_SIGN, &w, &r))
        return PV_ERR_CLOSED;
    int status = pv_nodewire_get_status(&r);
    pv_get_copy(&r, ret_sig, PV_SIGN_LEN);
    return is_whole(c, &r) ? status : PV_ERR_CLOSED;
}

/* --- messages and requests ----------------------------------------------------------------- */

/* Chat waits for the answer, so there is one while the node is away, too: in run(). */
static void explain_away(struct pv_nodecall *c, const char *what, uint64_t handle)
{
    struct pv_writer w = begin(c);
    struct pv_view frame;
    struct pv_nodewire_frame f = {.type = PV_NODEWIRE_EXPLAINED};
    pv_put_u64(&w, handle);
    pv_put_u8(&w, PV_CTLAPI_NOT_RUNNING);
    pv_nodewire_put_text(&w, PV_STR("%s: %s", what, c->cfg.away));
    if (pv_nodewire_end(&w, PV_NODEWIRE_EXPLAINED, false, &frame) != PV_OK ||
        pv_nodewire_next(frame, &f) != PV_OK || keep_news(c, &f, -1) != PV_OK)
        pv_log(c->cfg.log, PV_LOG_WARN, "what=\"a client has no answer\" why=\"no memory\"");
}

static void explain(void *node, const char *what, const char *word, enum pv_overlay_needs needs,
                    uint64_t handle, pv_ns now)
{
    struct pv_nodecall *c = node;
    struct pv_writer w = begin(c);
    pv_put_u64(&w, handle);
    pv_put_u8(&w, (uint8_t)needs);
    pv_nodewire_put_text(&w, what);
    pv_nodewire_put_text(&w, word != NULL ? word : "");
    if (send(c, PV_NODEWIRE_EXPLAIN, &w) != PV_OK)
        explain_away(c, what, handle);
}

static void want(void *node, const uint8_t *key, const char *why, pv_ns now)
{
    struct pv_nodecall *c = node;
    struct pv_writer w = begin(c);
    pv_put_bytes(&w, key, PV_SIGN_PK_LEN);
    (void)send(c, PV_NODEWIRE_WANT, &w);
}

static void notice(void *node, const uint8_t *key, struct pv_view body, pv_ns now)
{
    struct pv_nodecall *c = node;
    struct pv_writer w = begin(c);
    pv_put_bytes(&w, key, PV_SIGN_PK_LEN);
    pv_put_view16(&w, body);
    (void)send(c, PV_NODEWIRE_NOTICE, &w);
}

static void keep(void *node, const uint8_t *key, const uint8_t *id, struct pv_view content,
                 pv_ns now)
{
    struct pv_nodecall *c = node;
    struct pv_writer w = begin(c);
    pv_put_bytes(&w, key, PV_SIGN_PK_LEN);
    pv_put_bytes(&w, id, PV_CTL_KEY_LEN);
    pv_put_view16(&w, content);
    (void)send(c, PV_NODEWIRE_KEEP, &w);
}

static void collect(void *node, uint64_t after, uint64_t taken, pv_ns now)
{
    struct pv_nodecall *c = node;
    struct pv_writer w = begin(c);
    pv_put_u64(&w, after);
    pv_put_u64(&w, taken);
    (void)send(c, PV_NODEWIRE_COLLECT, &w);
}

static int connect(void *node, uint32_t stream, const struct pv_addr *to, pv_ns now)
{
    struct pv_nodecall *c = node;
    struct pv_writer w = begin(c);
    pv_put_u32(&w, stream);
    pv_nodewire_put_addr(&w, to);
    return send(c, PV_NODEWIRE_CONNECT, &w);
}

static bool notify(void *node, const struct pv_overlay_notification *of, uint64_t tag, pv_ns now)
{
    struct pv_nodecall *c = node;
    struct pv_writer w = begin(c);
    pv_put_u64(&w, tag);
    pv_put_u64(&w, of->time_ms);
    pv_nodewire_put_text(&w, of->from);
    pv_nodewire_put_text(&w, of->to);
    pv_nodewire_put_text(&w, of->room);
    pv_nodewire_put_text(&w, of->id);
    pv_nodewire_put_text(&w, of->text);
    return send(c, PV_NODEWIRE_NOTIFY, &w) == PV_OK;
}

/* A text that the node takes, which is cut. */
static void put_cut(struct pv_writer *w, const char *text, size_t cap)
{
    char cut[PV_OVERLAY_LINE_BUF];
    snprintf(cut, cap < sizeof(cut) ? cap : sizeof(cut), "%s", text);
    for (size_t len = strlen(cut); len > 0 && !pv_utf8_is_valid(pv_view(cut, len));)
        cut[--len] = '\0';
    pv_nodewire_put_text(w, cut);
}

static void tell(void *node, const struct pv_overlay_event *e, pv_ns now)
{
    struct pv_nodecall *c = node;
    struct pv_writer w = begin(c);
    put_cut(&w, e->kind, PV_OVERLAY_EVENT_BUF);
    put_cut(&w, e->what, PV_OVERLAY_EVENT_BUF);
    put_cut(&w, e->who, PV_CTLAPI_PEER_BUF);
    put_cut(&w, e->text, PV_OVERLAY_LINE_BUF);
    pv_nodewire_put_text(&w, e->body);
    (void)send(c, PV_NODEWIRE_TELL, &w);
}

static void report(void *node, uint64_t tag, const struct pv_overlay_page *page, pv_ns now)
{
    struct pv_nodecall *c = node;
    struct pv_writer w = begin(c);
    pv_put_u64(&w, tag);
    pv_put_u8(&w, page->counted);
    pv_put_u64(&w, page->unread);
    pv_put_u64(&w, page->queued);
    pv_put_u8(&w, (uint8_t)page->n);
    for (size_t i = 0; i < page->n; i++) {
        pv_put_u8(&w, (uint8_t)page->lines[i].kind);
        pv_nodewire_put_text(&w, page->lines[i].text);
        pv_put_u64(&w, page->lines[i].count);
    }
    (void)send(c, PV_NODEWIRE_REPORT, &w);
}

struct pv_overlay pv_nodecall_overlay(struct pv_nodecall *c)
{
    return (struct pv_overlay){
        .node = c,
        .own = own,
        .find = find,
        .next = next,
        .may = may,
        .link = link,
        .explain = explain,
        .want = want,
        .notice = notice,
        .sign = sign,
        .keep = keep,
        .collect = collect,
        .connect = connect,
        .notify = notify,
        .tell = tell,
        .report = report,
    };
}

/* --- what the node tells ------------------------------------------------------------------- */

/* Each reads its whole frame before chat hears of it. False: the frame is wrong. */

static bool took_own(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    struct pv_overlay_own o;
    unsigned facts = pv_get_u32(r);
    pv_nodewire_get_own(r, &o);
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->own = o;
    c->cfg.told.own(c->cfg.told.chat, facts, now);
    return true;
}

static bool took_member(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    uint8_t key[PV_SIGN_PK_LEN];
    pv_get_copy(r, key, sizeof(key));
    unsigned news = pv_get_u32(r);
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->cfg.told.member(c->cfg.told.chat, key, news, now);
    return true;
}

static bool took_gone(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    uint8_t key[PV_SIGN_PK_LEN];
    pv_get_copy(r, key, sizeof(key));
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->cfg.told.gone(c->cfg.told.chat, key, now);
    return true;
}

static bool took_heard(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    uint8_t key[PV_SIGN_PK_LEN];
    pv_get_copy(r, key, sizeof(key));
    struct pv_view body = pv_get_view16(r, PV_NODEWIRE_MAX);
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->cfg.told.notice(c->cfg.told.chat, key, body, now);
    return true;
}

static bool took_explained(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    char text[PV_CTLAPI_ERROR_BUF];
    uint64_t handle = pv_get_u64(r);
    unsigned code = pv_nodewire_get_enum(r, PV_CTLAPI_BUSY + 1);
    pv_nodewire_get_text(r, text, sizeof(text));
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->cfg.told.explained(c->cfg.told.chat, handle, (enum pv_ctlapi_code)code, text, now);
    return true;
}

static bool took_kept(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    int status = pv_nodewire_get_status(r);
    unsigned error = pv_get_u8(r);
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->cfg.told.kept(c->cfg.told.chat, status, (enum pv_ctl_error)error, now);
    return true;
}

static bool took_collected(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    uint8_t from[PV_SIGN_PK_LEN];
    struct pv_overlay_copy copy = {.error = (enum pv_ctl_error)pv_get_u8(r)};
    copy.number = pv_get_u64(r);
    pv_get_copy(r, from, sizeof(from));
    copy.from = copy.number != 0 ? from : NULL;
    copy.status = pv_nodewire_get_status(r);
    copy.content = pv_get_view16(r, PV_NODEWIRE_MAX);
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->cfg.told.collected(c->cfg.told.chat, &copy, now);
    return true;
}

static bool took_copies(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->cfg.told.copies(c->cfg.told.chat, now);
    return true;
}

static bool took_connected(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    uint32_t stream = pv_get_u32(r);
    int status = pv_nodewire_get_status(r), socket = *fd;
    if (pv_reader_end(r) != PV_OK || (status == PV_OK) != (socket >= 0))
        return false;
    *fd = -1;
    c->cfg.told.connected(c->cfg.told.chat, stream, status, socket, now);
    return true;
}

static bool took_accepted(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    struct pv_addr remote;
    uint32_t stream;
    uint16_t port = pv_get_u16(r);
    pv_nodewire_get_addr(r, &remote);
    if (pv_reader_end(r) != PV_OK || *fd < 0)
        return false;
    if (c->cfg.told.accepted(c->cfg.told.chat, port, &remote, *fd, &stream, now) == PV_OK)
        *fd = -1;
    return true;
}

static bool took_notified(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    char why[PV_OVERLAY_WHY_BUF];
    uint64_t tag = pv_get_u64(r);
    int status = pv_nodewire_get_status(r);
    pv_nodewire_get_text(r, why, sizeof(why));
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->cfg.told.notified(c->cfg.told.chat, tag, status, why, now);
    return true;
}

static bool took_asked(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now)
{
    uint64_t tag = pv_get_u64(r);
    if (pv_reader_end(r) != PV_OK)
        return false;
    c->cfg.told.asked(c->cfg.told.chat, tag, now);
    return true;
}

static bool (*const NEWS[])(struct pv_nodecall *c, struct pv_reader *r, int *fd, pv_ns now) = {
    [PV_NODEWIRE_OWN] = took_own,
    [PV_NODEWIRE_MEMBER] = took_member,
    [PV_NODEWIRE_GONE] = took_gone,
    [PV_NODEWIRE_HEARD] = took_heard,
    [PV_NODEWIRE_EXPLAINED] = took_explained,
    [PV_NODEWIRE_KEPT] = took_kept,
    [PV_NODEWIRE_COLLECTED] = took_collected,
    [PV_NODEWIRE_COPIES] = took_copies,
    [PV_NODEWIRE_CONNECTED] = took_connected,
    [PV_NODEWIRE_ACCEPTED] = took_accepted,
    [PV_NODEWIRE_NOTIFIED] = took_notified,
    [PV_NODEWIRE_ASKED] = took_asked,
};

/* Members and rules may be others after any of these. */
static bool is_change(unsigned type)
{
    return type == PV_NODEWIRE_OWN || type == PV_NODEWIRE_MEMBER || type == PV_NODEWIRE_GONE;
}

void pv_nodecall_run(struct pv_nodecall *c, pv_ns now)
{
    struct pv_nodewire_frame frame;
    int fd, r = PV_OK;
    while (is_there(c) && (r = pv_nodepipe_take(&c->pipe, &frame, &fd)) == PV_OK)
        if (keep_news(c, &frame, fd) != PV_OK)
            end(c, "too much waits for chat");
    if (r == PV_ERR_MALFORMED)
        end(c, "it sent what no p2pvpnd sends");
    while (c->news != NULL) {
        struct waiting *n = c->news;
        struct pv_reader body = pv_reader(n->frame.body);
        bool known = n->frame.type < PV_NODEWIRE_AFTER_NEWS && n->frame.type > PV_NODEWIRE_REPLY;
        c->age += is_change(n->frame.type);
        if (!known || !NEWS[n->frame.type](c, &body, &n->fd, now))
            end(c, "it sent what no p2pvpnd sends");
        drop_news(c, n);
    }
}

/* --- its life ------------------------------------------------------------------------------ */

int pv_nodecall_new(struct pv_nodecall **ret_call, const struct pv_nodecall_config *cfg)
{
    struct pv_nodecall *c = calloc(1, sizeof(*c));
    *ret_call = c;
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->cfg = *cfg;
    c->pipe = (struct pv_nodepipe){.shutter = cfg->shutter, .owner = cfg->owner};
    c->map = pv_map_make(&cfg->rng, KNOWN_MAX);
    return PV_OK;
}

struct pv_nodecall *pv_nodecall_free(struct pv_nodecall *c)
{
    if (c == NULL)
        return NULL;
    while (c->news != NULL)
        drop_news(c, c->news);
    while (c->list != NULL)
        forget(c, c->list);
    pv_nodepipe_done(&c->pipe);
    pv_wipe(c->frame, sizeof(c->frame));
    pv_wipe(c->answer, sizeof(c->answer));
    free(c);
    return NULL;
}

void pv_nodecall_up(struct pv_nodecall *c)
{
    pv_nodepipe_done(&c->pipe);
    c->state = PV_NODECALL_THERE;
    c->age++;
}

/* What was told before the end still counts. */
void pv_nodecall_down(struct pv_nodecall *c, pv_ns now)
{
    unsigned facts = PV_OVERLAY_OVERLAY | PV_OVERLAY_RULES;
    pv_nodepipe_done(&c->pipe);
    c->state = PV_NODECALL_AWAY;
    pv_nodecall_run(c, now);
    if (c->own.online)
        facts |= PV_OVERLAY_WENT_OFF;
    c->own.on_overlay = c->own.online = c->own.rules_known = false;
    c->state = PV_NODECALL_AWAY;
    c->cfg.told.own(c->cfg.told.chat, facts, now);
}

enum pv_nodecall_state pv_nodecall_state(const struct pv_nodecall *c)
{
    return c->state;
}

struct pv_nodepipe *pv_nodecall_pipe(struct pv_nodecall *c)
{
    return is_there(c) ? &c->pipe : NULL;
}
