/* SPDX-License-Identifier: MIT */
/* serve.c - tells p2pvpn-chatd what happens, and does for it what it may ask for. It may have been
 * taken over, so what it has under way is counted. */
#include "bind/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/text.h"
#include "bind/overlay.h"
#include "chat/proto/chat.h"
#include "chat/proto/file.h"
#include "daemon/core/node/apphooks.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/rules/ports.h"

_Static_assert((int)PV_CHAT_PORT == (int)PV_PORTS_CHAT && (int)PV_FILE_PORT == (int)PV_PORTS_FILES,
               "rules and the packet threads know them by these names");

enum {
    CONNECTS_MAX = 256, /* ours: connections under way for chat */
    WORDS_MAX = 32,     /* ours: different words for what happened */
    COUNTS_MAX = 64,    /* ours: clients that wait for a count */
};
#define PATIENCE PV_S(1) /* ours: for an answer of chat */
#define GRACE    PV_S(5) /* ours: so long p2pvpn-chatd may be away before `status` says so */

/* Somebody waits for a count. */
struct counting {
    struct counting *prev, *next;
    uint64_t id;
    pv_app_counted *done;
    void *self;
    uint64_t tag;
    pv_ns until;
};

struct bind {
    struct pv_bind_overlay overlay; /* first: chat's requests come with a pointer to it */
    struct pv_node *node;
    struct pv_bind_served *served;
    struct pv_nodeserve *serve; /* owned */
    struct counting *countings; /* owned */
    size_t n_countings;
    uint64_t last_id;
    struct pv_overlay_page *page; /* the last answer; owned */
    bool hangs;                   /* the last question had no answer in time */
    pv_ns away_since;             /* while it is away */
    size_t n_connects;            /* under way */
};

struct slot {
    struct pv_node *node;
    struct bind *bind; /* owned */
};

static struct bind *bind_of(void *part)
{
    return ((struct slot *)part)->bind;
}

static void shut(void *owner, int fd)
{
    close(fd);
}

static bool is_there(const struct bind *b)
{
    return pv_nodeserve_state(b->serve) == PV_NODESERVE_THERE;
}

/* --- requests that are counted ---------------------------------------------------------------- */

static int connect_to(void *node, uint32_t stream, const struct pv_addr *to, pv_ns now)
{
    struct bind *b = node;
    if (b->n_connects >= CONNECTS_MAX)
        return PV_ERR_LIMIT;
    int r = pv_bind_connect(&b->overlay, stream, to, now);
    b->n_connects += r == PV_OK;
    return r;
}

/* Returns the word, kept as long as the process: events (events.h) are handed to the next engine
 * and only point to their words. NULL: it is none, or there are too many. */
static const char *keep_word(const char *word)
{
    static char words[WORDS_MAX][PV_OVERLAY_EVENT_BUF];
    if (word[0] == '\0' || word[strspn(word, "abcdefghijklmnopqrstuvwxyz-")] != '\0')
        return NULL;
    for (size_t i = 0; i < WORDS_MAX; i++) {
        if (words[i][0] == '\0')
            snprintf(words[i], sizeof(words[i]), "%s", word);
        if (strcmp(words[i], word) == 0)
            return words[i];
    }
    return NULL;
}

/* Chat tells of what is chat's, and of nothing else. */
static void tell(void *node, const struct pv_overlay_event *e, pv_ns now)
{
    static const char *const kinds[] = {"message", "state", "read", "room", "file"};
    struct bind *b = node;
    const char *kind = NULL, *what = keep_word(e->what);
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i], e->kind) == 0)
            kind = kinds[i];
    if (kind == NULL || what == NULL)
        return;
    json_t *body = e->body[0] == '\0' ? NULL : json_loads(e->body, JSON_REJECT_DUPLICATES, NULL);
    if (body != NULL && !json_is_object(body)) {
        json_decref(body);
        body = NULL;
    }
    const struct pv_event event = {
        .kind = kind, .what = what, .who = e->who[0] == '\0' ? NULL : e->who, .text = e->text};
    pv_node_tell(b->node, &event, body);
}

/* --- questions of the daemon ------------------------------------------------------------------ */

static bool say_held(const struct pv_node *n, const struct pv_peer *p,
                     char ret_why[static PV_CTLAPI_ERROR_BUF])
{
    return false;
}

static bool is_room(const struct pv_node *n, const char *text)
{
    return false;
}

static void end_counting(struct bind *b, struct counting *c, const struct pv_app_counts *counts,
                         pv_ns now)
{
    const struct counting was = *c;
    PV_LIST_DEL(b->countings, c);
    b->n_countings--;
    free(c);
    was.done(was.self, was.tag, counts, now);
}

static bool count(struct pv_node *n, pv_app_counted *done, void *self, uint64_t tag, pv_ns now)
{
    struct bind *b = bind_of(pv_node_part(n, &pv_bind_serve));
    struct counting *c = is_there(b) && b->n_countings < COUNTS_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL) {
        done(self, tag, NULL, now);
        return true;
    }
    *c = (struct counting){
        .id = ++b->last_id, .done = done, .self = self, .tag = tag, .until = now + PATIENCE};
    PV_LIST_ADD(b->countings, c);
    b->n_countings++;
    const struct pv_overlay_told told = pv_nodeserve_told(b->serve);
    told.asked(told.chat, c->id, now);
    return true;
}

static const struct pv_app_hooks hooks = {say_held, is_room, count};

static void report(void *node, uint64_t tag, const struct pv_overlay_page *page, pv_ns now)
{
    struct bind *b = node;
    struct counting *c = b->countings;
    while (c != NULL && c->id != tag)
        c = c->next;
    *b->page = *page;
    b->hangs = false;
    if (c == NULL)
        return;
    const struct pv_app_counts counts = {.unread = page->unread, .queued = page->queued};
    end_counting(b, c, page->counted ? &counts : NULL, now);
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct bind *b = bind_of(part);
    if (!is_there(b)) {
        if (b->served != NULL && b->served->expected && now - b->away_since > GRACE)
            pv_statuspage_minor_todo(
                st,
                PV_STR("messages, rooms and files do not work: p2pvpn-chatd has not been running "
                       "for %llu s: ",
                       (unsigned long long)((now - b->away_since) / PV_S(1))),
                PV_DO(start_chat));
        return;
    }
    if (b->hangs) {
        pv_statuspage_minor_todo(
            st, "messages, rooms and files do not work: p2pvpn-chatd does not answer: ",
            PV_DO(restart_chat));
        return;
    }
    for (size_t i = 0; i < b->page->n; i++) {
        switch (b->page->lines[i].kind) {
        case PV_OVERLAY_LINE_MINOR:
            pv_statuspage_minor(st, b->page->lines[i].text, "");
            break;
        case PV_OVERLAY_LINE_PROBLEM:
            pv_statuspage_problem(st, b->page->lines[i].text, "");
            break;
        case PV_OVERLAY_LINE_DROP:
            pv_statuspage_drop(st, b->page->lines[i].text, b->page->lines[i].count);
            break;
        }
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    const struct pv_bind_serve_config *own = cfg->app_config;
    struct slot *s = part;
    struct bind *b = calloc(1, sizeof(*b));
    s->bind = b;
    if (b == NULL || (b->page = calloc(1, sizeof(*b->page))) == NULL)
        return PV_ERR_NOMEM;
    b->node = s->node;
    b->away_since = now;
    pv_bind_overlay_init(&b->overlay, b->node);
    struct pv_nodeserve_config sc = {.overlay = b->overlay.overlay,
                                     .log = b->node->log,
                                     .ports = {PV_CHAT_PORT, PV_FILE_PORT},
                                     .shutter = shut,
                                     .owner = b};
    sc.overlay.connect = connect_to;
    sc.overlay.tell = tell;
    sc.overlay.report = report;
    int r = pv_nodeserve_new(&b->serve, &sc);
    if (r != PV_OK)
        return r;
    b->overlay.told = pv_nodeserve_told(b->serve);
    pv_bind_overlay_collect(&b->overlay, true);
    b->node->app_hooks = &hooks;
    b->served = own == NULL ? NULL : own->served;
    if (b->served != NULL)
        b->served->serve = b->serve;
    return PV_OK;
}

static void free_bind(void *part)
{
    struct bind *b = bind_of(part);
    if (b == NULL)
        return;
    if (b->served != NULL)
        b->served->serve = NULL;
    if (b->node != NULL) {
        pv_bind_overlay_collect(&b->overlay, false);
        pv_jobqueue_forget(&b->node->jobs, &b->overlay, NULL);
        b->node->app_hooks = NULL;
    }
    while (b->countings != NULL) {
        struct counting *c = b->countings;
        PV_LIST_DEL(b->countings, c);
        free(c);
    }
    pv_nodeserve_free(b->serve);
    free(b->page);
    free(b);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    pv_bind_tell_facts(&bind_of(part)->overlay, facts, now);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    pv_bind_tell_peer(&bind_of(part)->overlay, p, facts, now);
}

static void on_member_gone(void *part, const uint8_t *pk, pv_ns now)
{
    const struct pv_overlay_told *told = &bind_of(part)->overlay.told;
    told->gone(told->chat, pk, now);
}

static void take_notice(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    const struct pv_overlay_told *told = &bind_of(part)->overlay.told;
    told->notice(told->chat, pv_peer_pk(from), body, now);
}

/* Clients need not wait for an answer that does not come. */
static void handle_timeout(void *part, pv_ns now)
{
    struct bind *b = bind_of(part);
    while (b->countings != NULL && b->countings->until <= now) {
        b->hangs = true;
        end_counting(b, b->countings, NULL, now);
    }
}

static pv_ns next_timeout(const void *part)
{
    const struct bind *b = ((const struct slot *)part)->bind;
    return b->countings == NULL ? PV_NEVER : b->countings->until;
}

static void go_down(struct bind *b, pv_ns now)
{
    pv_nodeserve_down(b->serve);
    b->away_since = now;
    b->page->n = 0;
    while (b->countings != NULL)
        end_counting(b, b->countings, NULL, now);
}

static void on_report(void *part, const void *of, pv_ns now)
{
    struct bind *b = bind_of(part);
    const struct pv_overlay_told *told = &b->overlay.told;
    const struct pv_bind_news *news = of;
    uint32_t stream;
    switch (news->what) {
    case PV_BIND_UP:
        if (b->served != NULL)
            b->served->expected = true;
        b->hangs = false;
        pv_nodeserve_up(b->serve);
        break;
    case PV_BIND_DOWN:
        go_down(b, now);
        break;
    case PV_BIND_CAME:
        pv_nodeserve_run(b->serve, now);
        break;
    case PV_BIND_CONNECTED:
        b->n_connects -= b->n_connects > 0;
        told->connected(told->chat, pv_bind_stream(pv_sid_kind(news->sid), pv_sid_local(news->sid)),
                        news->status, news->fd, now);
        break;
    case PV_BIND_ACCEPTED:
        if (told->accepted(told->chat, news->port, news->remote, news->fd, &stream, now) != PV_OK)
            news->shutter(news->fd);
        break;
    }
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_FILE, take_notice}};

const struct pv_part pv_bind_serve = {
    .name = "app",
    .after = {"linkkeys", "boxes"},
    .size = PV_PART_SIZE(struct slot),
    .start = start,
    .free = free_bind,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_member_gone = on_member_gone,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .on_report = on_report,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
    .status = show,
};
