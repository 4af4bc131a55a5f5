/* SPDX-License-Identifier: MIT */
/* overlay.c - looks machines up in roster and peers, and carries chat's requests on. */
#include "bind/overlay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "crypto/ct.h"
#include "daemon/core/member/boxes.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/peer/linkkeys.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "proto/ip/inband.h"

enum {
    NOTIFIES_MAX = 256, /* ours: runs of the user's program that wait */
};

_Static_assert((int)PV_OVERLAY_RULE_BUF == (int)PV_RULE_TEXT, "a rule is not cut");
_Static_assert((int)PV_OVERLAY_NETWORK_LEN == (int)PV_NETWORK_ID_LEN, "one id");
_Static_assert((int)PV_OVERLAY_LINK_HEARD == (int)PV_LINKKEYS_HEARD &&
                   (int)PV_OVERLAY_LINK_CONFIRMED == (int)PV_LINKKEYS_CONFIRMED &&
                   (int)PV_OVERLAY_LINK_NONE == (int)PV_LINKKEYS_NONE,
               "the states are the same");

/* --- this node ----------------------------------------------------------------------------- */

static enum pv_overlay_standing standing_of(const struct pv_node *n)
{
    return n->roster == NULL  ? PV_OVERLAY_NO_NETWORK
           : n->removed       ? PV_OVERLAY_OUT
           : pv_node_is_in(n) ? PV_OVERLAY_IN
                              : PV_OVERLAY_ENTERED;
}

static const struct pv_overlay_own *own(const void *node)
{
    /* The answer is kept in the struct that chat's pointer leads to. */
    struct pv_bind_overlay *b = (struct pv_bind_overlay *)(uintptr_t)node;
    const struct pv_node *n = b->node;
    const struct pv_member *self = pv_node_self(n);
    struct pv_overlay_own *o = &b->own;
    *o = (struct pv_overlay_own){.standing = standing_of(n),
                                 .up = n->up,
                                 .on_overlay = pv_node_is_on_overlay(n),
                                 .online = n->online,
                                 .rules_known = pv_rules_are_known(n)};
    memcpy(o->key, n->identity->sign_pk, sizeof(o->key));
    if (n->roster != NULL)
        memcpy(o->network, pv_roster_network_id(n->roster), sizeof(o->network));
    /* A machine that is no member, for its identity.key is another than the one that joined, has
     * the name of its host. */
    snprintf(o->name, sizeof(o->name), "%s",
             n->node_name[0] != '\0' ? n->node_name : n->given.hostname);
    if (self != NULL) {
        o->ip4 = self->ip4;
        o->ip6 = self->ip6;
    }
    return o;
}

/* --- members ------------------------------------------------------------------------------- */

static enum pv_overlay_kind kind_of(const struct pv_member *m, const struct pv_peer *p)
{
    switch (m->state) {
    case PV_MEMBER_ACTIVE:
        return p != NULL && !pv_peer_is_node(p) ? PV_OVERLAY_PHONE : PV_OVERLAY_MEMBER;
    case PV_MEMBER_LEFT:
        return PV_OVERLAY_LEFT;
    case PV_MEMBER_REVOKED:
        return PV_OVERLAY_REMOVED;
    case PV_MEMBER_WAITING:
        return PV_OVERLAY_WAITING;
    case PV_MEMBER_EXPIRED:
        return PV_OVERLAY_EXPIRED;
    case PV_MEMBER_NONE:
        break;
    }
    return PV_OVERLAY_NONE;
}

static void fill_peer(const struct pv_peer *p, struct pv_overlay_member *m)
{
    const enum pv_presence presence = pv_peer_presence(p);
    m->is_peer = true;
    m->is_there = pv_peer_reach(p) != PV_REACH_NO;
    m->presence = presence == PV_PRESENCE_ONLINE    ? PV_OVERLAY_ONLINE
                  : presence == PV_PRESENCE_OFFLINE ? PV_OVERLAY_OFFLINE
                                                    : PV_OVERLAY_UNKNOWN;
}

static void fill_story(const struct pv_node *n, const struct pv_member *m,
                       struct pv_overlay_member *ret)
{
    struct pv_roster_invite invite;
    struct pv_roster_former former;
    ret->joined = m->joined;
    ret->gone = pv_roster_gone(n->roster, m->node);
    ret->by_invite = pv_roster_invite(n->roster, m->admitted_by, &invite) == PV_OK;
    memcpy(ret->by, m->admitted_by, sizeof(ret->by));
    if (pv_roster_former(n->roster, m, &former) != PV_OK)
        return;
    ret->renamed_since = former.since;
    memcpy(ret->former, former.node, sizeof(ret->former));
}

static void fill(const struct pv_node *n, const struct pv_member *m, bool story,
                 struct pv_overlay_member *ret)
{
    const struct pv_peer *p =
        m->state == PV_MEMBER_ACTIVE ? pv_peers_by_pk(n->peers, m->node) : NULL;
    *ret = (struct pv_overlay_member){.kind = kind_of(m, p), .ip4 = m->ip4, .ip6 = m->ip6};
    memcpy(ret->key, m->node, sizeof(ret->key));
    memcpy(ret->name, m->name, sizeof(ret->name));
    ret->is_self = memcmp(m->node, n->identity->sign_pk, sizeof(m->node)) == 0;
    if (p != NULL)
        fill_peer(p, ret);
    if (story)
        fill_story(n, m, ret);
}

static void fill_static(const struct pv_peer *p, struct pv_overlay_member *ret)
{
    *ret = (struct pv_overlay_member){.kind = PV_OVERLAY_STATIC};
    if (p == NULL)
        return;
    snprintf(ret->name, sizeof(ret->name), "%s", pv_peer_name(p));
    ret->is_there = pv_peer_reach(p) != PV_REACH_NO;
}

static bool is_static_addr(const struct pv_node *n, const struct pv_addr *ip)
{
    size_t n_routes;
    const struct pv_prefix *routes = pv_peers_static_routes(n->peers, &n_routes);
    for (size_t i = 0; i < n_routes; i++) {
        if (pv_prefix_contains(&routes[i], ip))
            return true;
    }
    return false;
}

static const struct pv_member *find_in_roster(const struct pv_node *n,
                                              const struct pv_overlay_query *q)
{
    struct pv_addr ip;
    switch (q->how) {
    case PV_OVERLAY_BY_KEY:
        return pv_roster_known(n->roster, q->key);
    case PV_OVERLAY_BY_ADDR:
        ip = *q->addr;
        ip.port = 0;
        return pv_roster_by_ip(n->roster, &ip);
    case PV_OVERLAY_BY_NAME:
        return pv_roster_by_name(n->roster, q->word);
    case PV_OVERLAY_BY_LAST:
        return pv_roster_last_holder(n->roster, q->word);
    case PV_OVERLAY_BY_WORD:
        return pv_node_member(n, q->word);
    case PV_OVERLAY_BY_FORMER:
        return pv_node_former_member(n, q->word);
    case PV_OVERLAY_BY_RENAMED:
        return pv_node_renamed(n, q->word);
    }
    return NULL;
}

static bool find(const void *node, const struct pv_overlay_query *q,
                 struct pv_overlay_member *ret_member)
{
    const struct pv_bind_overlay *b = node;
    const struct pv_node *n = b->node;
    const struct pv_member *m = n->roster == NULL ? NULL : find_in_roster(n, q);
    *ret_member = (struct pv_overlay_member){.kind = PV_OVERLAY_NONE};
    if (m != NULL) {
        fill(n, m, q->story, ret_member);
        /* A phone that has lost its gateway still has no p2pvpnd. Only a user's word is checked
         * for it, because the check walks over all routes. */
        if (q->how == PV_OVERLAY_BY_WORD && ret_member->is_peer &&
            pv_roster_lost_gateway(n->roster, m) != NULL)
            ret_member->kind = PV_OVERLAY_PHONE;
        return true;
    }
    if (q->how == PV_OVERLAY_BY_ADDR) {
        struct pv_addr ip = *q->addr;
        ip.port = 0;
        if (!is_static_addr(n, &ip))
            return false;
        fill_static(NULL, ret_member);
        return true;
    }
    const struct pv_peer *p =
        q->how == PV_OVERLAY_BY_WORD ? pv_peers_find(n->peers, q->word) : NULL;
    if (p != NULL)
        fill_static(p, ret_member);
    return p != NULL;
}

static bool next(const void *node, const uint8_t *after, struct pv_overlay_member *ret_member)
{
    const struct pv_bind_overlay *b = node;
    const struct pv_node *n = b->node;
    const struct pv_member *m =
        n->roster == NULL || after == NULL ? NULL : pv_roster_by_node(n->roster, after);
    if (n->roster == NULL || (after != NULL && m == NULL))
        return false;
    m = pv_roster_next(n->roster, m);
    if (m != NULL)
        fill(n, m, false, ret_member);
    return m != NULL;
}

void pv_bind_member_of(const struct pv_bind_overlay *b, const struct pv_peer *p,
                       struct pv_overlay_member *ret_member)
{
    const struct pv_overlay_query q = {.how = PV_OVERLAY_BY_KEY, .key = pv_peer_pk(p)};
    if (pv_peer_is_static(p))
        fill_static(p, ret_member);
    else
        (void)find(b, &q, ret_member);
}

/* --- questions ----------------------------------------------------------------------------- */

static enum pv_overlay_may may(const void *node, const uint8_t *key,
                               enum pv_overlay_service service, bool to, char *rule)
{
    const struct pv_bind_overlay *b = node;
    const struct pv_verdict v = pv_rules_serve(
        b->node, key, service == PV_OVERLAY_FILES ? PV_SERVICE_FILES : PV_SERVICE_CHAT, to);
    if (rule != NULL)
        (void)pv_rule_format(v.rule, rule);
    return v.allow                    ? PV_OVERLAY_ALLOWED
           : v.rule == PV_RULE_CLOSED ? PV_OVERLAY_NOT_KNOWN
                                      : PV_OVERLAY_DENIED;
}

static enum pv_overlay_link link_of(const void *node, const uint8_t *key, uint8_t *ret_key)
{
    const struct pv_bind_overlay *b = node;
    const enum pv_linkkeys_state state = pv_linkkeys_state(b->node->linkkeys, key);
    if (ret_key != NULL && (state == PV_LINKKEYS_HEARD || state == PV_LINKKEYS_CONFIRMED))
        (void)pv_linkkeys_key(b->node->linkkeys, key, ret_key);
    return (enum pv_overlay_link)state;
}

/* The sentence about a command that cannot be done. */
struct reason {
    enum pv_ctlapi_code code; /* DONE: it can */
    char text[PV_CTLAPI_ERROR_BUF];
};

static void take_reason(void *arg, enum pv_ctlapi_code code, const char *text)
{
    struct reason *r = arg;
    r->code = code;
    snprintf(r->text, sizeof(r->text), "%s", text);
}

static void explain(void *node, const char *what, const char *word, enum pv_overlay_needs needs,
                    uint64_t handle, pv_ns now)
{
    const struct pv_bind_overlay *b = node;
    struct pv_node *n = b->node;
    struct reason r = {.code = PV_CTLAPI_DONE};
    pv_ctlsrv_divert(n->ctl, take_reason, &r);
    if (needs == PV_OVERLAY_NEEDS_NETWORK)
        (void)pv_node_need_network(n, what, PV_CTLSRV_ELSEWHERE);
    else
        (void)pv_peer_need(n, word, what,
                           needs == PV_OVERLAY_NEEDS_NODE ? PV_NEEDS_NODE : PV_NEEDS_MEMBER,
                           PV_CTLSRV_ELSEWHERE);
    pv_ctlsrv_divert(n->ctl, NULL, NULL);
    b->told.explained(b->told.chat, handle, r.code, r.text, now);
}

/* --- requests ------------------------------------------------------------------------------ */

static void want(void *node, const uint8_t *key, const char *why, pv_ns now)
{
    const struct pv_bind_overlay *b = node;
    struct pv_peer *p = pv_peers_by_pk(b->node->peers, key);
    if (p == NULL)
        return;
    pv_peer_want(p, why, now);
    pv_peers_touch(b->node->peers, p, now);
}

/* A notice has the file's name: like the file it waits for hybrid keys where they are to come. */
static void notice(void *node, const uint8_t *key, struct pv_view body, pv_ns now)
{
    const struct pv_bind_overlay *b = node;
    struct pv_peer *p = pv_peers_by_pk(b->node->peers, key);
    if (p == NULL)
        return;
    const enum pv_peer_pq_state pq = pv_peer_pq(p, now).state;
    if (pv_peer_can_talk(p, now) && (pq == PV_PEER_PQ_HYBRID || pq == PV_PEER_PQ_UNABLE))
        pv_peers_send(b->node->peers, p, PV_INBAND_FILE, body);
    else
        want(node, key, "a file waits", now);
}

static int sign(const void *node, enum pv_appsigner_domain domain, struct pv_view head,
                struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    const struct pv_bind_overlay *b = node;
    const struct pv_appsigner signer = pv_node_appsigner(b->node);
    return signer.sign(signer.keeper, domain, head, body, ret_sig);
}

static void keep(void *node, const uint8_t *key, const uint8_t *id, struct pv_view content,
                 pv_ns now)
{
    const struct pv_bind_overlay *b = node;
    uint8_t *box = malloc(PV_COPYBOX_MAX);
    size_t len = 0;
    int r = box == NULL ? PV_ERR_NOMEM : pv_boxes_seal(b->node, key, content, box, &len);
    if (r == PV_OK)
        r = pv_boxes_keep(b->node, key, id, pv_view(box, len));
    free(box);
    if (r != PV_OK)
        b->told.kept(b->told.chat, r, PV_CTL_E_NONE, now);
}

static void collect(void *node, uint64_t after, uint64_t taken, pv_ns now)
{
    const struct pv_bind_overlay *b = node;
    int r = pv_boxes_collect(b->node, after, taken);
    if (r != PV_OK)
        pv_log(b->node->log, PV_LOG_DEBUG, "what=\"copies not asked for\" why=\"%s\"",
               pv_strstatus(r));
}

static void on_kept(void *user, enum pv_ctl_error why, pv_ns now)
{
    const struct pv_bind_overlay *b = user;
    b->told.kept(b->told.chat, PV_OK, why, now);
}

static void on_collected(void *user, const struct pv_ctl_copy *in, enum pv_ctl_error why, pv_ns now)
{
    const struct pv_bind_overlay *b = user;
    struct pv_overlay_copy copy = {
        .error = in == NULL && why == PV_CTL_E_NONE ? PV_CTL_E_BAD_REQUEST : why};
    uint8_t *content = NULL;
    size_t len = 0;
    if (in != NULL && in->n != 0) {
        content = malloc(PV_COPYBOX_CONTENT_MAX);
        copy.number = in->n;
        copy.from = in->from;
        copy.status = content == NULL ? PV_ERR_NOMEM
                                      : pv_boxes_open(b->node, in->from, in->box, content, &len);
        copy.content = pv_view(content, len);
    }
    b->told.collected(b->told.chat, &copy, now);
    /* The text was in the clear here: it must not stay in freed memory. */
    if (content != NULL)
        pv_wipe(content, PV_COPYBOX_CONTENT_MAX);
    free(content);
}

static void on_news(void *user, pv_ns now)
{
    const struct pv_bind_overlay *b = user;
    b->told.copies(b->told.chat, now);
}

void pv_bind_overlay_collect(struct pv_bind_overlay *b, bool on)
{
    static const struct pv_boxes_user functions = {
        .kept = on_kept, .collected = on_collected, .news = on_news};
    pv_boxes_use(b->node, on ? &functions : NULL, on ? b : NULL);
}

/* The daemon has no other kinds of chat's streams. */
static bool kind_of_stream(uint32_t stream, enum pv_stream_kind *ret_kind)
{
    *ret_kind = pv_sid_kind(stream) == PV_BIND_TALK ? PV_STREAM_APP1 : PV_STREAM_APP2;
    return pv_sid_kind(stream) == PV_BIND_TALK || pv_sid_kind(stream) == PV_BIND_FETCH;
}

uint32_t pv_bind_stream(enum pv_stream_kind kind, uint32_t local)
{
    return pv_sid(kind == PV_STREAM_APP1 ? PV_BIND_TALK : PV_BIND_FETCH, local);
}

int pv_bind_connect(void *node, uint32_t stream, const struct pv_addr *to, pv_ns now)
{
    const struct pv_bind_overlay *b = node;
    enum pv_stream_kind kind;
    const struct pv_member *self = pv_node_self(b->node);
    const struct pv_overlay_query query = {.how = PV_OVERLAY_BY_ADDR, .addr = to};
    struct pv_overlay_member m;
    /* A chat that is captured must not reach whatever lies behind the interface. */
    if (!kind_of_stream(stream, &kind) || !find(node, &query, &m) || !m.is_peer)
        return PV_ERR_NOT_FOUND;
    struct pv_stream_op op = {
        .type = PV_STREAM_OPEN, .sid = pv_sid_local(stream), .kind = kind, .addr = *to};
    /* The other side knows us by our address. */
    if (self != NULL)
        op.local = to->family == PV_AF_INET6 ? self->ip6 : self->ip4;
    return pv_streams_open(&b->node->streams, &op);
}

/* --- notifications ------------------------------------------------------------------------- */

static void on_run(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_bind_overlay *b = wait->self;
    b->n_notifies--;
    b->told.notified(b->told.chat, wait->tag, result->status, result->error, now);
}

static bool notify(void *node, const struct pv_overlay_notification *of, uint64_t tag, pv_ns now)
{
    struct pv_bind_overlay *b = node;
    struct pv_job *job = b->n_notifies < NOTIFIES_MAX ? pv_job_new(PV_JOB_NOTIFY) : NULL;
    if (job == NULL)
        return false;
    job->u.notify = calloc(1, sizeof(*job->u.notify));
    if (job->u.notify != NULL)
        job->u.notify->text = strdup(of->text);
    if (job->u.notify == NULL || job->u.notify->text == NULL) {
        pv_job_free(job);
        return false;
    }
    struct pv_job_notify *n = job->u.notify;
    snprintf(n->from, sizeof(n->from), "%s", of->from);
    snprintf(n->to, sizeof(n->to), "%s", of->to);
    snprintf(n->room, sizeof(n->room), "%s", of->room);
    snprintf(n->id, sizeof(n->id), "%s", of->id);
    n->time_ms = of->time_ms;
    if (!pv_jobqueue_submit(&b->node->jobs, job, on_run, b, tag))
        return false;
    b->n_notifies++;
    return true;
}

/* --- news ---------------------------------------------------------------------------------- */

void pv_bind_tell_facts(const struct pv_bind_overlay *b, unsigned facts, pv_ns now)
{
    unsigned own_facts = 0;
    if ((facts & PV_FACT_NETWORK) != 0)
        own_facts |= PV_OVERLAY_NETWORK;
    if ((facts & (PV_FACT_INTERFACE | PV_FACT_TEARDOWN | PV_FACT_UP)) != 0)
        own_facts |= PV_OVERLAY_OVERLAY;
    if ((facts & PV_FACT_ONLINE) != 0)
        own_facts |= PV_OVERLAY_WENT_ON;
    if ((facts & PV_FACT_OFFLINE) != 0)
        own_facts |= PV_OVERLAY_WENT_OFF;
    if ((facts & PV_FACT_RULES) != 0)
        own_facts |= PV_OVERLAY_RULES;
    if ((facts & PV_FACT_RESUMED) != 0)
        own_facts |= PV_OVERLAY_RESUMED;
    if ((facts & PV_FACT_ROSTER) != 0)
        own_facts |= PV_OVERLAY_NAMES;
    if (own_facts != 0)
        b->told.own(b->told.chat, own_facts, now);
}

void pv_bind_tell_peer(const struct pv_bind_overlay *b, const struct pv_peer *p, unsigned facts,
                       pv_ns now)
{
    unsigned news = 0;
    if ((facts & PV_PEER_FACT_MEMBER) != 0)
        news |= PV_OVERLAY_NEWS_MEMBER;
    if ((facts & PV_PEER_FACT_PATH) != 0)
        news |= PV_OVERLAY_NEWS_PATH;
    if ((facts & PV_PEER_FACT_PRESENCE) != 0)
        news |= PV_OVERLAY_NEWS_PRESENCE;
    if ((facts & PV_PEER_FACT_AWAY) != 0)
        news |= PV_OVERLAY_NEWS_AWAY;
    if ((facts & PV_PEER_FACT_LINK) != 0)
        news |= PV_OVERLAY_NEWS_LINK;
    if (news != 0 && pv_peer_is_member(p))
        b->told.member(b->told.chat, pv_peer_pk(p), news, now);
}

void pv_bind_overlay_init(struct pv_bind_overlay *b, struct pv_node *node)
{
    *b = (struct pv_bind_overlay){.node = node,
                                  .overlay = {.node = b,
                                              .own = own,
                                              .find = find,
                                              .next = next,
                                              .may = may,
                                              .link = link_of,
                                              .explain = explain,
                                              .want = want,
                                              .notice = notice,
                                              .sign = sign,
                                              .keep = keep,
                                              .collect = collect,
                                              .connect = pv_bind_connect,
                                              .notify = notify}};
}
