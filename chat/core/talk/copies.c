/* SPDX-License-Identifier: MIT */
/*
 * copies.c - copies at the coordinator. Sending: peers that are away wait in a list; of the first,
 * one message after another is sealed and stored. Collecting: one copy at a time is asked for; the
 * request for the next says that the last is on disk here, and may be forgotten.
 */
#include "chat/core/talk/copies.h"

#include <stdlib.h>
#include <string.h>

#include "chat/core/base/chat.h"
#include "chat/core/talk/chat_part.h"
#include "chat/core/talk/chatlink.h"
#include "chat/core/talk/tell.h"
#include "chat/proto/parcel.h"
#include "crypto/ct.h"

enum {
    AT_ONCE = 16,        /* ours: messages taken out of the store at a time */
    MAX_WAITING = 16384, /* peers; PV_CHATLINK_MAX_PEERS */
};
#define SEND_RETRY    PV_S(60)  /* ours: after an answer that may change by itself */
#define SEND_LEAST    PV_S(1)   /* ours: the same while many wait, each for its turn */
#define LEFT_RETRY    PV_S(600) /* ours: what there was no room for */
#define STORAGE_RETRY PV_S(1)   /* ours: the coordinator's database is away, and may be back soon */
#define COLLECT_RETRY PV_S(60)  /* ours: an answer or a commit that did not come */

/* Ours: a copy may have given way to those of others, or its time is over, and the coordinator does
 * not say so. So all that waits is stored anew: an hour after the start, for machines that are
 * switched off at night, and each day. */
#define RECOPY_FIRST PV_S(3600)
#define RECOPY_EVERY PV_S(86400)

struct copies {
    struct pv_chat *chat;
    bool enabled;    /* [chat] store = coordinator: own messages may wait there */
    bool refused;    /* this coordinator does not store, until the next connection */
    uint64_t forged; /* copies that do not come from their author, or are not for us */
    /* One message on its way there. */
    uint8_t (*waiting)[PV_SIGN_PK_LEN]; /* owned: peers that are away, for whom some may wait */
    size_t n_waiting, cap;
    bool sending;                 /* copies of peer's messages are made */
    uint8_t peer[PV_SIGN_PK_LEN]; /* receiver of these copies */
    struct pv_chatop_result list; /* owned: its messages */
    size_t at;                    /* in list: the one under way */
    pv_ns send_at;                /* not before */
    pv_ns recopy_at;              /* what waits is stored there anew */
    /* One copy on its way from there. */
    bool collecting;  /* a request or a commit is under way */
    bool again;       /* news came meanwhile */
    bool left;        /* one was passed over for want of room */
    pv_ns collect_at; /* try (again) then; PV_NEVER */
};

static bool is_away(const struct pv_overlay_member *m)
{
    return m->is_peer && m->presence == PV_OVERLAY_OFFLINE && !m->is_there;
}

static void send_later(struct copies *c, enum pv_ctl_error why, pv_ns now);

static bool is_online(const struct copies *c)
{
    return pv_chat_own(c->chat)->online;
}

/* --- seals ----------------------------------------------------------------------------------- */

/* The receiver would not take it: it waits until a rule goes. */
static bool may_send(const struct copies *c, const struct pv_overlay_member *to)
{
    return pv_chat_admits(c->chat, to->key, PV_OVERLAY_CHAT, true);
}

/* The parcel is for to, or (from) of from. */
static struct pv_signal_route route_of(const struct pv_chat *n, const uint8_t *from,
                                       const uint8_t *to)
{
    const struct pv_overlay_own *own = pv_chat_own(n);
    return pv_signal_route_of(own->network, from == NULL ? own->key : from,
                              to == NULL ? own->key : to);
}

static int build_parcel(const struct pv_chat *n, const struct pv_chat_record *m,
                        uint8_t *ret_content, size_t *ret_len)
{
    struct pv_signal_route route = route_of(n, NULL, m->peer);
    struct pv_parcel parcel = {
        .seq = m->seq, .time_ms = m->time_ms, .text = pv_view(m->text, strlen(m->text))};
    const struct pv_appsigner signer = pv_chat_signer(n);
    memcpy(parcel.id, m->id, sizeof(parcel.id));
    return pv_parcel_build(&route, &signer, &parcel, ret_content, ret_len);
}

/* Opens the copy. PV_ERR_AGAIN: it stays where it is; PV_ERR_LIMIT: likewise, for a rule;
 * PV_ERR_NOMEM; all else: it is forged. */
static int open_copy(const struct copies *c, const struct pv_overlay_copy *copy,
                     struct pv_overlay_member *ret_from, struct pv_parcel *ret_parcel)
{
    const struct pv_chat *n = c->chat;
    struct pv_signal_route route = route_of(n, copy->from, NULL);
    /* An author who is not in the member list yet may come with the next one. */
    if (!pv_chat_known(n, copy->from, ret_from))
        return PV_ERR_AGAIN;
    if (ret_from->is_self || ret_from->kind == PV_OVERLAY_REMOVED)
        return PV_ERR_REFUSED;
    if (!pv_chat_may(n, copy->from))
        return PV_ERR_LIMIT; /* a rule may go */
    return copy->status != PV_OK ? copy->status
                                 : pv_parcel_parse(&route, copy->content, ret_parcel);
}

/* --- sending --------------------------------------------------------------------------------- */

static void note_away(struct copies *c, const struct pv_overlay_member *p)
{
    /* The coordinator that refused is not asked again on this connection. */
    if (!c->enabled || c->refused || !is_away(p) || !may_send(c, p))
        return;
    for (size_t i = 0; i < c->n_waiting; i++) {
        if (memcmp(c->waiting[i], p->key, sizeof(c->waiting[i])) == 0)
            return;
    }
    if (c->n_waiting == c->cap) {
        size_t cap = c->cap == 0 ? 16 : 2 * c->cap;
        uint8_t(*grown)[PV_SIGN_PK_LEN] =
            cap > MAX_WAITING ? NULL : realloc(c->waiting, cap * sizeof(*grown));
        if (grown == NULL)
            return; /* it is told again when it goes away the next time */
        c->waiting = grown;
        c->cap = cap;
    }
    memcpy(c->waiting[c->n_waiting++], p->key, sizeof(c->waiting[0]));
}

static void stop_sending(struct copies *c)
{
    c->sending = false;
    pv_chatop_result_done(&c->list);
    c->at = 0;
}

/* Once more, but not at once. */
static void send_later(struct copies *c, enum pv_ctl_error why, pv_ns now)
{
    struct pv_overlay_member p;
    const bool is_peer = pv_chat_peer(c->chat, c->peer, &p);
    stop_sending(c);
    /* One whose room there is full, as of a member that is away for months, holds up the others for
     * its part of that time and not for all of it. */
    pv_ns pause = SEND_RETRY / (c->n_waiting + 1);
    pause = pause > SEND_LEAST ? pause : SEND_LEAST;
    c->send_at = now + (why == PV_CTL_E_STORAGE ? STORAGE_RETRY : pause);
    if (is_peer)
        note_away(c, &p);
}

/* The message under way could not be sealed or sent. PV_ERR_REFUSED: it waits for the meeting. */
static void fail_one(struct copies *c, int status, pv_ns now)
{
    if (status == PV_ERR_REFUSED) {
        stop_sending(c);
        return;
    }
    pv_log(c->chat->log, PV_LOG_WARN, "peer=%s what=\"copy not stored\" why=\"%s\"",
           PV_CHAT_WHO_STR(c->chat, c->peer), pv_strstatus(status));
    send_later(c, PV_CTL_E_NONE, now);
}

static void go_on(struct copies *c, pv_ns now);

/* Has the message under way sealed and kept; on_kept() follows. */
static void send_one(struct copies *c, pv_ns now)
{
    const struct pv_chat_record *m = &c->list.msgs[c->at];
    const struct pv_overlay *o = c->chat->overlay;
    size_t len = 0;
    uint8_t *content = malloc(PV_PARCEL_CONTENT_MAX);
    int r = content == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r == PV_OK)
        r = build_parcel(c->chat, m, content, &len);
    if (r == PV_OK)
        o->keep(o->node, m->peer, m->id, pv_view(content, len), now);
    else
        fail_one(c, r, now);
    /* The text was in the clear here: it must not stay in freed memory. */
    if (content != NULL)
        pv_wipe(content, PV_PARCEL_CONTENT_MAX);
    free(content);
}

/* The next message of the list, the next list, or the next peer. */
static void go_on(struct copies *c, pv_ns now)
{
    struct pv_overlay_member p;
    if (!pv_chat_peer(c->chat, c->peer, &p) || !is_away(&p)) {
        stop_sending(c); /* it is back: what waits goes there directly */
        return;
    }
    if (c->at < c->list.n_msgs) {
        send_one(c, now);
        return;
    }
    /* The flag is read first: stop_sending() frees the list. */
    bool more = c->list.more;
    stop_sending(c);
    if (more)
        note_away(c, &p);
}

/* Begins with the messages for c->peer of which there is no copy. */
static void begin_sending(struct copies *c, pv_ns now)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_UNCOPIED, .peer = c->peer, .limit = AT_ONCE};
    c->sending = true;
    c->at = 0;
    if (pv_chat_do(c->chat, &op, &c->list) == PV_OK)
        go_on(c, now);
    else
        send_later(c, PV_CTL_E_NONE, now);
}

static void copy_anew(struct copies *c)
{
    const struct pv_chatop op = {.kind = PV_CHATOP_RECOPY};
    struct pv_chatop_result counts;
    (void)pv_chat_do(c->chat, &op, &counts);
    for (size_t i = 0; i < counts.n_backlog; i++) {
        const struct pv_chat_backlog *b = &counts.backlog[i];
        struct pv_overlay_member p;
        if (b->queued > 0 && pv_chat_peer(c->chat, b->peer, &p))
            note_away(c, &p);
    }
    pv_chatop_result_done(&counts);
}

/* A copy is there: the message is SENT. After a failure it is stored once more: the same key, no
 * harm. */
static void note_stored(struct copies *c, const struct pv_chat_record *m, pv_ns now)
{
    const struct pv_chatop op = {
        .kind = PV_CHATOP_COPIED, .peer = m->peer, .ids = &m->id, .n_ids = 1};
    struct pv_chatop_result changed;
    if (pv_chat_do(c->chat, &op, &changed) == PV_OK)
        pv_tell_states(c->chat, &changed, now);
    pv_chatop_result_done(&changed);
}

static void on_kept(void *part, int status, enum pv_ctl_error error, pv_ns now)
{
    struct copies *c = part;
    /* An answer may come after its task ended: it must not count for another message. */
    if (!c->sending || c->at >= c->list.n_msgs)
        return;
    if (status != PV_OK) {
        fail_one(c, status, now);
        return;
    }
    if (error == PV_CTL_E_NONE) {
        note_stored(c, &c->list.msgs[c->at++], now);
        go_on(c, now);
        return;
    }
    char more[PV_CHAT_MORE];
    if (pv_chat_may_log(c->chat, PV_CHAT_FROM_COPIES, pv_ctl_error_word(error), now, more))
        pv_log(c->chat->log, PV_LOG_INFO, "what=\"copy not stored\" why=%s%s",
               pv_ctl_error_word(error), more);
    /* A coordinator that holds no copies will not change its mind on this connection. */
    if (error == PV_CTL_E_NOT_ALLOWED) {
        c->refused = true;
        stop_sending(c);
    } else if (error == PV_CTL_E_UNKNOWN_NODE || error == PV_CTL_E_BAD_REQUEST) {
        stop_sending(c);
    } else {
        send_later(c, error, now); /* the messages behind it wait too: order is kept */
    }
}

/* --- collecting ------------------------------------------------------------------------------ */

/* Asks for the copy behind number `after`; `taken` may be forgotten, 0: none. */
static void collect(struct copies *c, uint64_t after, uint64_t taken, pv_ns now)
{
    c->collecting = true;
    /* The time is set before the request: a request that could not be sent is then repeated as one
     * without an answer. */
    c->collect_at = now + COLLECT_RETRY;
    c->chat->overlay->collect(c->chat->overlay->node, after, taken, now);
}

/* As long as the rules are not known nobody may say anything here: a copy would be left there, and
 * come behind those after it. The rules tell when they are. */
static void take_news(struct copies *c, pv_ns now)
{
    const struct pv_overlay_own *own = pv_chat_own(c->chat);
    if (!c->enabled || c->refused || own->standing == PV_OVERLAY_NO_NETWORK || !own->rules_known)
        return;
    if (c->collecting)
        c->again = true;
    else
        collect(c, 0, 0, now);
}

/* Its sender has no room here for now: it stays there, and those of others are collected. */
static void leave_there(struct copies *c, uint64_t number, pv_ns now)
{
    c->left = true;
    collect(c, number, 0, now);
}

/* Only a copy on our disk may be forgotten there. After a failure collect_at asks for the same copy
 * again. */
static void store_copy(struct copies *c, const struct pv_overlay_copy *in,
                       const struct pv_overlay_member *from, const struct pv_parcel *parcel,
                       pv_ns now)
{
    const struct pv_chatlink_copy copy = {.pk = in->from,
                                          .name = from->name,
                                          .id = parcel->id,
                                          .seq = parcel->seq,
                                          .time_ms = parcel->time_ms,
                                          .text = parcel->text};
    int r = pv_chatlink_take_copy(c->chat->link, &copy, now);
    if (r == PV_OK && pv_chat_settle(c->chat))
        collect(c, in->number, in->number, now);
    else if (r == PV_ERR_LIMIT)
        leave_there(c, in->number, now);
}

/* A forged copy is deleted at the coordinator. A copy of an author who may become known is passed
 * over. */
static void pass_over(struct copies *c, uint64_t number, int why, pv_ns now)
{
    char more[PV_CHAT_MORE];
    c->forged += why != PV_ERR_AGAIN;
    if (pv_chat_may_log(c->chat, PV_CHAT_FROM_COPIES, pv_strstatus(why), now, more))
        pv_log(c->chat->log, PV_LOG_WARN, "what=\"stored copy refused\" why=\"%s\"%s",
               pv_strstatus(why), more);
    collect(c, number, why == PV_ERR_AGAIN ? 0 : number, now);
}

static void on_collected(void *part, const struct pv_overlay_copy *in, pv_ns now)
{
    struct copies *c = part;
    const enum pv_ctl_error error = in->error;
    if (!c->collecting || !pv_chat_has_network(c->chat))
        return;
    if (error != PV_CTL_E_NONE) {
        bool never = error == PV_CTL_E_NOT_ALLOWED;
        c->refused = c->refused || never;
        c->collect_at = never                       ? PV_NEVER
                        : error == PV_CTL_E_STORAGE ? now + STORAGE_RETRY
                                                    : now + COLLECT_RETRY;
        return;
    }
    if (in->number == 0) {
        /* A copy may have been stored behind our back after the last request: its news came while
         * we collected. */
        bool again = c->again;
        c->again = c->collecting = false;
        c->collect_at = c->left ? now + LEFT_RETRY : PV_NEVER;
        c->left = false;
        if (again)
            collect(c, 0, 0, now);
        return;
    }
    struct pv_overlay_member from;
    struct pv_parcel parcel;
    int r = open_copy(c, in, &from, &parcel);
    if (r == PV_OK)
        store_copy(c, in, &from, &parcel, now);
    else if (r == PV_ERR_LIMIT)
        leave_there(c, in->number, now);
    else if (r != PV_ERR_NOMEM) /* which passes: collect_at asks for the same copy again */
        pass_over(c, in->number, r, now);
}

/* --- the connection -------------------------------------------------------------------------- */

static void go_online(struct copies *c, pv_ns now)
{
    c->refused = c->collecting = c->again = false;
    c->send_at = now;
    take_news(c, now);
}

static void go_offline(struct copies *c)
{
    struct pv_overlay_member p;
    const bool was_sending = c->sending && pv_chat_peer(c->chat, c->peer, &p);
    stop_sending(c);
    c->collecting = c->again = false;
    c->collect_at = PV_NEVER;
    if (was_sending)
        note_away(c, &p);
}

static void go_on_there(struct copies *c, pv_ns now)
{
    if (!is_online(c) || !pv_chat_has_network(c->chat))
        return; /* online without a roster: a join is being stored */
    if (c->enabled && now >= c->collect_at) {
        c->collecting = false;
        c->collect_at = PV_NEVER;
        take_news(c, now);
    }
    if (c->enabled && now >= c->recopy_at) {
        c->recopy_at = now + RECOPY_EVERY;
        copy_anew(c);
    }
    while (!c->sending && c->n_waiting > 0 && now >= c->send_at) {
        memcpy(c->peer, c->waiting[0], sizeof(c->peer));
        memmove(c->waiting, c->waiting + 1, --c->n_waiting * sizeof(c->waiting[0]));
        struct pv_overlay_member p;
        /* The peer may be back or gone since it was put on the list: then the next one is tried at
         * once. */
        if (pv_chat_peer(c->chat, c->peer, &p) && is_away(&p))
            begin_sending(c, now);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct copies *c = part;
    if (!c->enabled || !is_online(c) || !pv_chat_has_network(c->chat))
        return PV_NEVER;
    pv_ns next = pv_min_ns(c->refused ? PV_NEVER : c->collect_at, c->recopy_at);
    return pv_min_ns(next, c->n_waiting > 0 && !c->sending ? c->send_at : PV_NEVER);
}

/* --- what the part is told ------------------------------------------------------------------- */

static void on_copies(void *part, pv_ns now)
{
    take_news(part, now);
}

static int start(void *part, const struct pv_chatpart_config *cfg, pv_ns now)
{
    struct copies *c = part;
    c->enabled = c->chat->given.store;
    c->collect_at = PV_NEVER;
    c->recopy_at = now + RECOPY_FIRST;
    return PV_OK;
}

static void free_copies(void *part)
{
    struct copies *c = part;
    stop_sending(c);
    free(c->waiting);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct copies *c = part;
    /* The connection may have been lost and made again since facts were last delivered: what was
     * asked on the old one has no answer any more. */
    if ((facts & PV_OVERLAY_WENT_OFF) != 0)
        go_offline(c);
    if ((facts & PV_OVERLAY_WENT_ON) != 0 && is_online(c))
        go_online(c, now);
    else if ((facts & PV_OVERLAY_RULES) != 0 && is_online(c))
        take_news(c, now); /* of what was left there some may come now */
}

static void on_member(void *part, const struct pv_overlay_member *m, unsigned news, pv_ns now)
{
    struct copies *c = part;
    if ((news & (PV_OVERLAY_NEWS_PATH | PV_OVERLAY_NEWS_PRESENCE | PV_OVERLAY_NEWS_MEMBER |
                 PV_OVERLAY_NEWS_AWAY)) != 0)
        note_away(c, m);
}

void pv_copies_queued(struct pv_chat *n, const uint8_t *pk)
{
    struct copies *c = pv_chat_part(n, &pv_chatpart_copies);
    struct pv_overlay_member p;
    if (c != NULL && pv_chat_peer(n, pk, &p))
        note_away(c, &p);
}

static void run(void *part, pv_ns now)
{
    go_on_there(part, now);
}

static void show(void *part, const struct pv_chat_page *st, pv_ns now)
{
    const struct copies *c = part;
    st->drop(st->page, "copy-forged", c->forged);
}

const struct pv_chatpart pv_chatpart_copies = {
    .name = "copies",
    .size = PV_CHATPART_SIZE(struct copies),
    .start = start,
    .free = free_copies,
    .on_facts = on_facts,
    .on_member = on_member,
    .on_kept = on_kept,
    .on_collected = on_collected,
    .on_copies = on_copies,
    .run = run,
    .next_timeout = next_timeout,
    .status = show,
};
