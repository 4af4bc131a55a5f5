/* SPDX-License-Identifier: MIT */
/*
 * node_pair.h - both ends of the socket between chat and the node, joined in memory: a node whose
 * answers follow from a seed, and a chat that notes what it is told, as text. Bytes cross in pieces
 * of random length, descriptors as numbers.
 */
#pragma once

#include "chat/nodecall.h"
#include "chat/nodeserve.h"
#include "tests/unit/test_util.h"

enum {
    NP_MEMBERS = 100,
    NP_PORT = 2047,
};

struct node_pair {
    struct test_rng rand;
    pv_ns now;
    struct pv_nodeserve *serve;
    struct pv_nodecall *call;
    struct pv_overlay there; /* the node's, */
    struct pv_overlay here;  /* and chat's way to it */

    /* the node */
    struct pv_overlay_own own;
    struct pv_overlay_member members[NP_MEMBERS];
    size_t n_members;
    int answers; /* status of sign() and connect() */
    bool hangs;  /* it does not run */
    unsigned n_asked;

    char did[256];  /* by the node, the last of it */
    char told[256]; /* to chat, the last of it */
    unsigned n_told;
    int open[64]; /* descriptors that are open, as numbers */
    size_t n_open;
};

static inline unsigned np_below(struct node_pair *p, unsigned n)
{
    return (unsigned)(test_rng_next(&p->rand) >> 33) % n;
}

static inline int np_fd(struct node_pair *p)
{
    int fd = 100 + (int)p->n_open;
    p->open[p->n_open++] = fd;
    return fd;
}

static inline bool np_is_open(const struct node_pair *p, int fd)
{
    for (size_t i = 0; i < p->n_open; i++)
        if (p->open[i] == fd)
            return true;
    return false;
}

static inline void np_shut(void *owner, int fd)
{
    struct node_pair *p = owner;
    size_t i = 0;
    while (i < p->n_open && p->open[i] != fd)
        i++;
    assert_true(i < p->n_open);
    p->open[i] = p->open[--p->n_open];
}

/* --- the node ------------------------------------------------------------------------------ */

static inline struct node_pair *np_of(const void *node)
{
    struct node_pair *p = (struct node_pair *)(uintptr_t)node;
    p->n_asked++;
    return p;
}

static inline const struct pv_overlay_own *np_own(const void *node)
{
    return &np_of(node)->own;
}

static inline bool np_find(const void *node, const struct pv_overlay_query *q,
                           struct pv_overlay_member *ret_member)
{
    struct node_pair *p = np_of(node);
    for (size_t i = 0; i < p->n_members; i++) {
        const struct pv_overlay_member *m = &p->members[i];
        bool is = q->how == PV_OVERLAY_BY_KEY ? memcmp(q->key, m->key, PV_SIGN_PK_LEN) == 0
                  : q->how == PV_OVERLAY_BY_ADDR
                      ? memcmp(q->addr->ip, m->ip4.ip, 4) == 0 && q->addr->family == PV_AF_INET
                      : strcmp(q->word, m->name) == 0 && q->how != PV_OVERLAY_BY_FORMER;
        if (is) {
            *ret_member = *m;
            return true;
        }
    }
    *ret_member = (struct pv_overlay_member){0};
    return false;
}

static inline bool np_next(const void *node, const uint8_t *after,
                           struct pv_overlay_member *ret_member)
{
    struct node_pair *p = np_of(node);
    size_t i = 0;
    while (after != NULL && i < p->n_members &&
           memcmp(p->members[i].key, after, PV_SIGN_PK_LEN) != 0)
        i++;
    i += after != NULL;
    if (i >= p->n_members)
        return false;
    *ret_member = p->members[i];
    return true;
}

static inline enum pv_overlay_may np_may(const void *node, const uint8_t *key,
                                         enum pv_overlay_service service, bool to, char *rule)
{
    (void)np_of(node);
    snprintf(rule, PV_OVERLAY_RULE_BUF, "rule %d%d", (int)service, to);
    return (enum pv_overlay_may)((key[0] + (unsigned)service + to) % 3);
}

static inline enum pv_overlay_link np_link(const void *node, const uint8_t *key, uint8_t *ret_key)
{
    (void)np_of(node);
    memset(ret_key, key[1], PV_PROOF_KEY_LEN);
    return (enum pv_overlay_link)(key[0] % 4);
}

static inline int np_sign(const void *node, enum pv_appsigner_domain domain, struct pv_view head,
                          struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    const struct node_pair *p = np_of(node);
    memset(ret_sig, (int)domain + (int)head.len, PV_SIGN_LEN);
    ret_sig[0] = body.len > 0 ? body.ptr[body.len - 1] : 0;
    return p->answers;
}

static inline void np_explain(void *node, const char *what, const char *word,
                              enum pv_overlay_needs needs, uint64_t handle, pv_ns now)
{
    struct node_pair *p = np_of(node);
    struct pv_overlay_told told = pv_nodeserve_told(p->serve);
    told.explained(told.chat, handle, PV_CTLAPI_UNKNOWN_PEER,
                   PV_STR("%s: no %s (%d)", what, word, (int)needs), now);
}

static inline void np_want(void *node, const uint8_t *key, const char *why, pv_ns now)
{
    struct node_pair *p = np_of(node);
    snprintf(p->did, sizeof(p->did), "want %02x %s", key[0], why);
}

static inline void np_notice(void *node, const uint8_t *key, struct pv_view body, pv_ns now)
{
    struct node_pair *p = np_of(node);
    snprintf(p->did, sizeof(p->did), "notice %02x %zu", key[0], body.len);
}

static inline void np_keep(void *node, const uint8_t *key, const uint8_t *id,
                           struct pv_view content, pv_ns now)
{
    struct node_pair *p = np_of(node);
    snprintf(p->did, sizeof(p->did), "keep %02x %02x %zu", key[0], id[0], content.len);
}

static inline void np_collect(void *node, uint64_t after, uint64_t taken, pv_ns now)
{
    struct node_pair *p = np_of(node);
    snprintf(p->did, sizeof(p->did), "collect %d %d", (int)after, (int)taken);
}

static inline int np_connect(void *node, uint32_t stream, const struct pv_addr *to, pv_ns now)
{
    struct node_pair *p = np_of(node);
    snprintf(p->did, sizeof(p->did), "connect %u %s", stream, PV_ADDR_STR(to));
    return p->answers;
}

static inline bool np_notify(void *node, const struct pv_overlay_notification *of, uint64_t tag,
                             pv_ns now)
{
    struct node_pair *p = np_of(node);
    snprintf(p->did, sizeof(p->did), "notify %s %s %s %s %s %d %d", of->from, of->to, of->room,
             of->id, of->text, (int)of->time_ms, (int)tag);
    return p->answers == PV_OK;
}

static inline void np_tell(void *node, const struct pv_overlay_event *e, pv_ns now)
{
    struct node_pair *p = np_of(node);
    snprintf(p->did, sizeof(p->did), "tell %s %s %s %s %s", e->kind, e->what, e->who, e->text,
             e->body);
}

static inline void np_report(void *node, uint64_t tag, const struct pv_overlay_page *page,
                             pv_ns now)
{
    struct node_pair *p = np_of(node);
    const size_t last = page->n - 1;
    snprintf(p->did, sizeof(p->did), "report %d %d %d %d %zu %d %.40s %d", (int)tag, page->counted,
             (int)page->unread, (int)page->queued, page->n, (int)page->lines[last].kind,
             page->lines[last].text, (int)page->lines[last].count);
}

/* --- chat ---------------------------------------------------------------------------------- */

#define NP_TOLD(p, ...) ((p)->n_told++, snprintf((p)->told, sizeof((p)->told), __VA_ARGS__))

static inline void np_told_own(void *chat, unsigned facts, pv_ns now)
{
    struct node_pair *p = chat;
    NP_TOLD(p, "own %x %s", facts, p->here.own(p->here.node)->name);
}

static inline void np_told_member(void *chat, const uint8_t *key, unsigned news, pv_ns now)
{
    NP_TOLD((struct node_pair *)chat, "member %02x %x", key[0], news);
}

static inline void np_told_gone(void *chat, const uint8_t *key, pv_ns now)
{
    NP_TOLD((struct node_pair *)chat, "gone %02x", key[0]);
}

static inline void np_told_notice(void *chat, const uint8_t *key, struct pv_view body, pv_ns now)
{
    NP_TOLD((struct node_pair *)chat, "heard %02x %zu", key[0], body.len);
}

static inline void np_told_explained(void *chat, uint64_t handle, enum pv_ctlapi_code code,
                                     const char *text, pv_ns now)
{
    NP_TOLD((struct node_pair *)chat, "explained %d %d %s", (int)handle, (int)code, text);
}

static inline void np_told_kept(void *chat, int status, enum pv_ctl_error error, pv_ns now)
{
    NP_TOLD((struct node_pair *)chat, "kept %d %d", status, (int)error);
}

static inline void np_told_collected(void *chat, const struct pv_overlay_copy *copy, pv_ns now)
{
    NP_TOLD((struct node_pair *)chat, "collected %d %d %s %d %zu", (int)copy->error,
            (int)copy->number, copy->from == NULL ? "nobody" : "somebody", copy->status,
            copy->content.len);
}

static inline void np_told_copies(void *chat, pv_ns now)
{
    NP_TOLD((struct node_pair *)chat, "copies");
}

static inline void np_told_connected(void *chat, uint32_t stream, int status, int socket, pv_ns now)
{
    struct node_pair *p = chat;
    NP_TOLD(p, "connected %u %d %d", stream, status, socket);
    if (socket >= 0)
        assert_true(np_is_open(p, socket));
}

static inline int np_told_accepted(void *chat, uint16_t port, const struct pv_addr *remote,
                                   int socket, uint32_t *ret_stream, pv_ns now)
{
    struct node_pair *p = chat;
    NP_TOLD(p, "accepted %u %s %d", port, PV_ADDR_STR(remote), socket);
    *ret_stream = 0;
    return p->answers;
}

static inline void np_told_notified(void *chat, uint64_t tag, int status, const char *why,
                                    pv_ns now)
{
    NP_TOLD((struct node_pair *)chat, "notified %d %d %s", (int)tag, status, why);
}

static inline void np_told_asked(void *chat, uint64_t tag, pv_ns now)
{
    NP_TOLD((struct node_pair *)chat, "asked %d", (int)tag);
}

/* --- between them -------------------------------------------------------------------------- */

/* Moves a piece from one pipe to the other. False: nothing waits. */
static inline bool np_move(struct node_pair *p, struct pv_nodepipe *from, struct pv_nodepipe *to)
{
    int fd;
    struct pv_view v = from == NULL ? pv_view(NULL, 0) : pv_nodepipe_out(from, &fd);
    if (v.len == 0 || to == NULL)
        return false;
    size_t n = 1 + np_below(p, v.len < 400 ? (unsigned)v.len : 400);
    if (fd >= 0)
        fd = np_fd(p); /* as SCM_RIGHTS: the reader has its own */
    assert_int_equal(pv_nodepipe_came(to, pv_view(v.ptr, n), fd), PV_OK);
    pv_nodepipe_wrote(from, n);
    return true;
}

static inline int np_wait(void *owner)
{
    struct node_pair *p = owner;
    struct pv_nodepipe *call = pv_nodecall_pipe(p->call), *serve = pv_nodeserve_pipe(p->serve);
    if (p->hangs || serve == NULL)
        return PV_ERR_CLOSED;
    (void)np_move(p, call, serve);
    pv_nodeserve_run(p->serve, p->now);
    (void)np_move(p, serve, call);
    return PV_OK;
}

static inline pv_ns np_now(void *owner)
{
    return ((struct node_pair *)owner)->now;
}

/* Moves all that waits, and has both carry it out. */
static inline void np_settle(struct node_pair *p)
{
    for (bool moved = true; moved;) {
        moved = np_move(p, pv_nodecall_pipe(p->call), pv_nodeserve_pipe(p->serve));
        pv_nodeserve_run(p->serve, p->now);
        moved = np_move(p, pv_nodeserve_pipe(p->serve), pv_nodecall_pipe(p->call)) || moved;
        pv_nodecall_run(p->call, p->now);
    }
}

static inline void np_connect_both(struct node_pair *p)
{
    pv_nodeserve_up(p->serve);
    pv_nodecall_up(p->call);
    np_settle(p);
}

static inline void np_member(struct node_pair *p, size_t i)
{
    struct pv_overlay_member *m = &p->members[i];
    *m = (struct pv_overlay_member){.kind = PV_OVERLAY_MEMBER,
                                    .is_peer = true,
                                    .is_there = true,
                                    .presence = PV_OVERLAY_ONLINE,
                                    .joined = i,
                                    .by_invite = i % 2 == 0,
                                    .renamed_since = i * 3};
    test_rng_fill(&p->rand, m->key, sizeof(m->key));
    m->key[0] = (uint8_t)i;
    snprintf(m->name, sizeof(m->name), "m%zu", i);
    m->ip4 = pv_addr4(10, 0, 0, (uint8_t)i, 0);
    if (p->n_members <= i)
        p->n_members = i + 1;
}

static inline struct node_pair *np_new(uint64_t seed)
{
    struct node_pair *p = test_alloc(sizeof(*p));
    struct pv_rng rng = test_rng_make(&p->rand, seed);
    p->now = PV_S(1);
    p->there = (struct pv_overlay){.node = p,
                                   .own = np_own,
                                   .find = np_find,
                                   .next = np_next,
                                   .may = np_may,
                                   .link = np_link,
                                   .explain = np_explain,
                                   .want = np_want,
                                   .notice = np_notice,
                                   .sign = np_sign,
                                   .keep = np_keep,
                                   .collect = np_collect,
                                   .connect = np_connect,
                                   .notify = np_notify,
                                   .tell = np_tell,
                                   .report = np_report};
    const struct pv_nodeserve_config sc = {
        .overlay = p->there, .ports = {NP_PORT, 2048}, .shutter = np_shut, .owner = p};
    const struct pv_nodecall_config cc = {.rng = rng,
                                          .told = {.chat = p,
                                                   .own = np_told_own,
                                                   .member = np_told_member,
                                                   .gone = np_told_gone,
                                                   .notice = np_told_notice,
                                                   .explained = np_told_explained,
                                                   .kept = np_told_kept,
                                                   .collected = np_told_collected,
                                                   .copies = np_told_copies,
                                                   .connected = np_told_connected,
                                                   .accepted = np_told_accepted,
                                                   .notified = np_told_notified,
                                                   .asked = np_told_asked},
                                          .away = "p2pvpnd is away",
                                          .wait = np_wait,
                                          .now = np_now,
                                          .shutter = np_shut,
                                          .owner = p};
    p->own = (struct pv_overlay_own){.standing = PV_OVERLAY_IN,
                                     .name = "me",
                                     .up = true,
                                     .on_overlay = true,
                                     .online = true,
                                     .rules_known = true};
    assert_int_equal(pv_nodeserve_new(&p->serve, &sc), PV_OK);
    assert_int_equal(pv_nodecall_new(&p->call, &cc), PV_OK);
    p->here = pv_nodecall_overlay(p->call);
    for (size_t i = 0; i < NP_MEMBERS - 10; i++)
        np_member(p, i);
    return p;
}

static inline void np_free(struct node_pair *p)
{
    pv_nodecall_free(p->call);
    pv_nodeserve_free(p->serve);
    free(p);
}
