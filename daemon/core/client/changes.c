/* SPDX-License-Identifier: MIT */
/*
 * changes.c - the part that notices what has changed and tells clients that listen
 * (proto/local/events.h): the state of this node, its coordinator, problems, rules, who is online
 * and how each peer is reached. It compares what `status` and `why` would say now with what they
 * said before; other events are told by the parts that cause them.
 *
 * The page of `status` is looked at when a fact says that it may have changed, at most once a
 * second after ten times, and at least once a minute in which anything happens; it sets no timer
 * for that.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bucket.h"
#include "base/text.h"
#include "daemon/core/client/info.h"
#include "daemon/core/client/why.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/part.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peer_show.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi.h"
#include "proto/local/ctlapi_pack.h"

extern const struct pv_part pv_part_changes; /* at the end */

#define LOOK_LATER  PV_S(1)  /* ours: after more looks at the page of status than LOOKS */
#define LOOK_AGAIN  PV_S(60) /* ours: although no fact asked for it */
#define PEERS_LATER PV_S(5)  /* ours: changes of a peer that had too many are told then */

enum {
    LOOKS = 10, /* ours: at once, then one a second */
    /* Ours, of one peer: ten changes at once, then one in five seconds. */
    TOKENS_A_SECOND = 1,
    TOKENS_A_CHANGE = 5,
    TOKENS = 10 * TOKENS_A_CHANGE,
    LOOKS_AT = PV_FACT_ONLINE | PV_FACT_OFFLINE | PV_FACT_NETWORK | PV_FACT_UP | PV_FACT_INTERFACE |
               PV_FACT_STORE | PV_FACT_COORDINATOR | PV_FACT_RULES | PV_FACT_HOSTNET |
               PV_FACT_LINKS | PV_FACT_STATEMENTS | PV_FACT_UDP,
};

/* How a peer is reached, as clients were told. */
enum way {
    WAY_IDLE,
    WAY_LOST,
    WAY_DIRECT,
    WAY_RELAYED,
    WAY_STATIC,
    WAY_SILENT,
};

/* Kept of each peer that was ever reached. */
struct told {
    enum way way;
    bool online;
    struct pv_bucket tokens;
};

struct changes {
    struct pv_node *node;
    char state[16]; /* of status; "" = not told */
    bool connected;
    char *problems[PV_STATUSPAGE_MAX_PROBLEMS]; /* owned */
    size_t n_problems;
    uint64_t rules;   /* rules_now() */
    size_t n_reports; /* of the node, when the page was looked at */
    struct pv_bucket looks;
    pv_ns looked;   /* at the page of status */
    bool doubts;    /* a fact says that it may have changed */
    pv_ns peers_at; /* all peers are looked at again; PV_NEVER */
};

static void tell(struct pv_node *n, const char *kind, const char *what, const char *who,
                 const char *text)
{
    pv_node_tell(n, &(struct pv_event){.kind = kind, .what = what, .who = who, .text = text}, NULL);
}

/* --- this node -------------------------------------------------------------------------------- */

/* state_name()'s words are static. */
static void look_at_state(struct changes *c, const struct pv_statuspage *st)
{
    if (strcmp(c->state, st->s.state) == 0)
        return;
    snprintf(c->state, sizeof(c->state), "%s", st->s.state);
    tell(c->node, "node", st->s.state, c->node->node_name[0] == '\0' ? NULL : c->node->node_name,
         PV_STR("this node is %s",
                strcmp(st->s.state, "none") == 0 ? "in no network" : st->s.state));
}

static void look_at_coordinator(struct changes *c, const struct pv_statuspage *st)
{
    if (c->connected == st->s.connected)
        return;
    c->connected = st->s.connected;
    const char *text = PV_STR(
        c->connected ? "the coordinator is connected%s%s" : "cannot reach the coordinator%s%s",
        st->s.coordinator_error == NULL || c->connected ? "" : ": ",
        st->s.coordinator_error == NULL || c->connected ? "" : st->s.coordinator_error);
    tell(c->node, "coordinator", c->connected ? "connected" : "away", st->s.coordinator, text);
}

/* Behind an amount at `at`; `at` itself where none begins. Digits behind a letter or a hyphen
 * belong to a name. */
static const char *skip_amount(const char *text, const char *at)
{
    if (at > text && (isalnum((unsigned char)at[-1]) || at[-1] == '-'))
        return at;
    while (isdigit((unsigned char)*at))
        at++;
    return at;
}

/* Returns true if both name the same problem. Amounts in it may grow. */
static bool is_same(const char *a, const char *b)
{
    const char *x = a;
    const char *y = b;
    do {
        x = skip_amount(a, x);
        y = skip_amount(b, y);
        if (*x != *y)
            return false;
    } while (*x++ != '\0' && *y++ != '\0');
    return true;
}

static bool has(const char *const *list, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        if (is_same(list[i], text))
            return true;
    }
    return false;
}

/* One that cannot be remembered is told again with the next look. */
static void look_at_problems(struct changes *c, const struct pv_statuspage *st)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n_problems; i++) {
        if (has(st->problems, st->n_problems, c->problems[i])) {
            c->problems[kept++] = c->problems[i];
            continue;
        }
        tell(c->node, "problem", "gone", NULL, c->problems[i]);
        free(c->problems[i]);
    }
    c->n_problems = kept;
    for (size_t i = 0; i < st->n_problems; i++) {
        const char *const *known = (const char *const *)c->problems;
        if (has(known, c->n_problems, st->problems[i]))
            continue;
        tell(c->node, "problem", "came", NULL, st->problems[i]);
        char *copy = c->n_problems == PV_ARRAY_LEN(c->problems) ? NULL : strdup(st->problems[i]);
        if (copy != NULL)
            c->problems[c->n_problems++] = copy;
    }
}

static void look_at_page(struct changes *c, pv_ns now)
{
    struct pv_statuspage *st = pv_info_page(c->node, now);
    c->looked = now;
    c->doubts = false;
    c->n_reports = c->node->reports.n;
    if (st == NULL)
        return;
    look_at_state(c, st);
    look_at_coordinator(c, st);
    look_at_problems(c, st);
    pv_statuspage_free(st);
}

/* FNV-1a: nobody gains by two sets of rules that look the same here. */
static void fold(uint64_t *hash, const void *bytes, size_t n)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i < n; i++)
        *hash = (*hash ^ b[i]) * UINT64_C(0x100000001b3);
}

/* The rules and tags in force, as a number. */
static uint64_t rules_now(const struct pv_node *n)
{
    const struct pv_policy *p = n->roster == NULL ? NULL : pv_rules_policy(n);
    uint64_t hash = 0;
    const char *tag;
    for (size_t i = 1; p != NULL && i <= pv_policy_count(p); i++)
        fold(&hash, pv_policy_at(p, i)->id, PV_POLICY_ID_LEN);
    for (const struct pv_member *m = p == NULL ? NULL : pv_roster_next(n->roster, NULL); m != NULL;
         m = pv_roster_next(n->roster, m)) {
        for (size_t i = 0; (tag = pv_policy_tag_of(p, m->node, i)) != NULL; i++) {
            fold(&hash, m->node, sizeof(m->node));
            fold(&hash, tag, strlen(tag));
        }
    }
    return hash + (p != NULL && pv_policy_denies_by_default(p) ? 1 : 0);
}

static void look_at_rules(struct changes *c)
{
    const struct pv_policy *p = pv_rules_policy(c->node);
    uint64_t rules = rules_now(c->node);
    if (rules == c->rules)
        return;
    c->rules = rules;
    tell(c->node, "rules", "changed", NULL,
         PV_STR("rules: %zu, default %s", p == NULL ? 0 : pv_policy_count(p),
                p != NULL && pv_policy_denies_by_default(p) ? "deny" : "allow"));
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct changes *c = part;
    c->doubts = c->doubts || (facts & (unsigned)LOOKS_AT) != 0;
    /* Between two looks a network may come and go again: then the state is told, although the last
     * look saw the same, because clients may have asked in between. */
    if ((facts & PV_FACT_NETWORK) != 0)
        c->state[0] = '\0';
    if ((facts & PV_FACT_RULES) != 0)
        look_at_rules(c);
}

/* --- peers ------------------------------------------------------------------------------------ */

static const char *word_of(enum way way)
{
    static const char *const words[] = {"idle", "lost", "direct", "relayed", "static", "silent"};
    return words[way];
}

/* A path goes with `down`, and with the last wish for it, which is no loss. */
static enum way way_of(const struct pv_peer *p)
{
    const struct pv_node *n = pv_peer_node(p);
    bool is_static = pv_peer_is_static(p);
    if (pv_peer_path(p) == NULL || (!n->up && !is_static))
        return is_static || !n->up || pv_peer_state(p) == PV_PEER_IDLE ? WAY_IDLE : WAY_LOST;
    if (is_static)
        return WAY_STATIC;
    if (pv_peer_path_state(p) == PV_PATH_STATE_SUSPECT)
        return WAY_SILENT;
    return pv_peer_is_relayed(p) ? WAY_RELAYED : WAY_DIRECT;
}

static void tell_way(struct pv_node *n, struct pv_peer *p, enum way way, pv_ns now)
{
    char text[PV_CTLAPI_ERROR_BUF];
    struct pv_ctlapi_path path;
    struct pv_cause cause;
    pv_why_reached(p, text, now);
    pv_why_cause(p, &cause, now);
    pv_peer_show_path(p, &path);
    const struct pv_event event = {
        .kind = "path", .what = word_of(way), .who = pv_peer_name(p), .text = text};
    pv_node_tell(n, &event,
                 pv_ctlapi_pack("{s:o, s:s, s:s?}", "path", pv_ctlapi_path_json(&path),
                                "cause_code", cause.code, "todo",
                                cause.todo[0] == '\0' ? NULL : cause.todo));
}

/* Most members of a large network are never reached: nothing is kept of them. */
static void look_at_peer(struct changes *c, struct pv_peer *p, pv_ns now)
{
    struct told *t = pv_peer_find_slot(p, &pv_part_changes);
    enum way way = way_of(p);
    bool online = pv_peer_is_member(p) && c->node->up && pv_peer_reach(p) != PV_REACH_NO;
    if (t == NULL && way <= WAY_LOST && !online)
        return;
    if (t == NULL)
        t = pv_peer_slot(p, &pv_part_changes);
    /* A search for a path that never was there is no loss. */
    if (t == NULL || (online == t->online && (way == t->way || way + t->way <= WAY_LOST)))
        return;
    if (!pv_bucket_take(&t->tokens, TOKENS_A_SECOND, TOKENS, TOKENS_A_CHANGE, now)) {
        c->peers_at = pv_min_ns(c->peers_at, now + PEERS_LATER);
        return;
    }
    if (online != t->online) {
        tell(c->node, "member", online ? "online" : "offline", pv_peer_name(p),
             PV_STR("%s is %s", pv_peer_name(p), online ? "online" : "offline"));
    }
    if (way != t->way && way + t->way > WAY_LOST)
        tell_way(c->node, p, way, now);
    t->online = online;
    t->way = way;
}

static void look_at_all(struct changes *c, pv_ns now)
{
    struct pv_peer *p;
    c->peers_at = PV_NEVER;
    for (p = NULL; (p = pv_peers_next(c->node->peers, p)) != NULL;)
        look_at_peer(c, p, now);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct changes *c = part;
    look_at_peer(c, p, now);
    /* Its path may show whether UDP is blocked everywhere, or at the coordinator alone. */
    c->doubts = c->doubts || ((facts & PV_PEER_FACT_PATH) != 0 && c->node->ways.udp_blocked);
}

/* --- amounts ---------------------------------------------------------------------------------- */

/* Of peers with a path: nothing is told of the others. NULL: no memory. */
static json_t *figures(const struct pv_node *n, pv_ns now)
{
    struct pv_ctlapi_peer shown;
    json_t *list = json_array();
    for (struct pv_peer *p = NULL; (p = pv_peers_next(n->peers, p)) != NULL;) {
        pv_peer_show(p, &shown, now);
        if (shown.path.type != PV_CTLAPI_PATH_NONE)
            (void)json_array_append_new(
                list, pv_ctlapi_pack("{s:s, s:o, s:o, s:o, s:o}", "name", shown.name, "tx_bytes",
                                     pv_ctlapi_u64(shown.tx_bytes), "rx_bytes",
                                     pv_ctlapi_u64(shown.rx_bytes), "rtt_ms",
                                     pv_ctlapi_real(shown.path.rtt_ms), "loss",
                                     pv_ctlapi_real(shown.path.loss)));
    }
    return list == NULL ? NULL : pv_ctlapi_pack("{s:o}", "peers", list);
}

/* --- life ------------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct changes *c = part;
    c->peers_at = PV_NEVER;
    return PV_OK;
}

/* Nothing that was so before this start is an event. */
static int restore(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct changes *c = part;
    if (cfg->events != NULL)
        pv_events_hand_on(cfg->events, &c->node->events);
    pv_events_begin(&c->node->events, cfg->wall_us);
    c->rules = rules_now(c->node);
    return PV_OK;
}

static void unmake(void *part)
{
    struct changes *c = part;
    for (size_t i = 0; i < c->n_problems; i++)
        free(c->problems[i]);
    pv_peers_drop_slots(c->node->peers, &pv_part_changes);
}

static pv_ns next_timeout(const void *part)
{
    const struct changes *c = part;
    return pv_min_ns(pv_min_ns(c->peers_at, pv_events_figures_at(&c->node->events)),
                     c->doubts ? c->looks.last + LOOK_LATER : PV_NEVER);
}

/* This part runs last, so followers also hear of what the other parts did. */
static void run(void *part, pv_ns now)
{
    struct changes *c = part;
    c->doubts = c->doubts || c->n_reports != c->node->reports.n || now - c->looked >= LOOK_AGAIN;
    if (c->doubts && pv_bucket_take(&c->looks, 1, LOOKS, 1, now))
        look_at_page(c, now);
    if (now >= c->peers_at)
        look_at_all(c, now);
    pv_events_run(&c->node->events, c->node->ctl);
    if (now >= pv_events_figures_at(&c->node->events))
        pv_events_tell_figures(&c->node->events, c->node->ctl, figures(c->node, now), now);
}

const struct pv_part pv_part_changes = {
    .name = "changes",
    .after = {"info", "why", "waits"},
    .peer_size = sizeof(struct told),
    .size = PV_PART_SIZE(struct changes),
    .start = start,
    .restore = restore,
    .free = unmake,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .next_timeout = next_timeout,
    .run = run,
};
