/* SPDX-License-Identifier: MIT */
/* closed.c - what a node that joined has to hear before it lets anything in. */
#include "daemon/core/member/closed.h"

#include <string.h>

#include "daemon/core/peer/peers.h"

enum {
    TELLS = 0, /* in-band type 13: then the head and the rules' digest, or nothing while closed */
    ASKS = 1,
    TOLD_LEN = 1 + 2 * PV_STATEMENT_HASH_LEN,
    WAKE_MAX = 4, /* ours: admins at once; a network has few, and one that is there is enough */
};

static void begin(struct pv_closed *c, struct pv_view mark, pv_ns now)
{
    *c = (struct pv_closed){.is = true, .wake_at = now + PV_CLOSED_LOOK, .look_at = now};
    memcpy(c->mark, mark.ptr, sizeof(c->mark));
}

void pv_closed_begin(struct pv_closed *c, const struct pv_node *n,
                     const uint8_t mark[static PV_TOKEN_RULES_LEN], pv_ns now)
{
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;)
        pv_peer_notes(p)->rules = (struct pv_peer_rules){.is_named = false};
    begin(c, pv_view(mark, PV_TOKEN_RULES_LEN), now);
}

void pv_closed_restore(struct pv_closed *c, struct pv_view kept, pv_ns now)
{
    if (kept.len == sizeof(c->mark))
        begin(c, kept, now);
}

static bool is_admin(const struct pv_node *n, const struct pv_peer *p)
{
    return pv_roster_rights(n->roster, pv_peer_pk(p)) != 0;
}

static bool is_same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, PV_STATEMENT_HASH_LEN) == 0;
}

static void look_soon(struct pv_closed *c, pv_ns now)
{
    c->look_at = pv_min_ns(c->look_at, now + PV_CLOSED_LOOK);
}

/* Each has its own time, from the first other rules that it names on: nobody uses up, or ends, that
 * of another. */
static void note_other(struct pv_closed *c, struct pv_peer_rules *r, const uint8_t *own,
                       const uint8_t *named, pv_ns now)
{
    if (is_same(own, named) || r->ask_until != 0)
        return;
    r->ask_until = now + PV_CLOSED_ASK;
    look_soon(c, now);
}

void pv_closed_named(struct pv_closed *c, const struct pv_node *n, struct pv_peer *p,
                     const uint8_t rules[static PV_STATEMENT_HASH_LEN], pv_ns now)
{
    struct pv_peer_rules *r = &pv_peer_notes(p)->rules;
    uint8_t own[PV_STATEMENT_HASH_LEN];
    if (!c->is || n->roster == NULL)
        return;
    pv_roster_rules(n->roster, own);
    r->is_named = true;
    memcpy(r->named, rules, sizeof(r->named));
    note_other(c, r, own, rules, now);
}

static void ask(const struct pv_node *n, struct pv_peer *p)
{
    static const uint8_t asks = ASKS;
    pv_peers_send(n->peers, p, PV_INBAND_RULES, pv_view(&asks, 1));
    pv_peer_notes(p)->rules.is_asked = true;
}

/* Only admins are worth a look each second: other members have ask_until. */
void pv_closed_meets(struct pv_closed *c, const struct pv_node *n, struct pv_peer *p, pv_ns now)
{
    if (!c->is || n->roster == NULL || !is_admin(n, p) || !pv_peer_can_talk(p, now))
        return;
    if (!pv_peer_notes(p)->rules.is_asked)
        ask(n, p);
    look_soon(c, now);
}

static void tell(const struct pv_closed *c, const struct pv_node *n, struct pv_peer *p)
{
    uint8_t body[TOLD_LEN] = {TELLS};
    pv_roster_head(n->roster, body + 1);
    pv_roster_rules(n->roster, body + 1 + PV_STATEMENT_HASH_LEN);
    pv_peers_send(n->peers, p, PV_INBAND_RULES, pv_view(body, c->is ? 1 : sizeof(body)));
}

/* The coordinator may hold back what an admin has: the whole of it is what that one has. */
static void take_word(struct pv_closed *c, const struct pv_node *n, struct pv_peer *p,
                      const uint8_t *head, const uint8_t *rules, pv_ns now)
{
    struct pv_peer_rules *r = &pv_peer_notes(p)->rules;
    uint8_t own[PV_STATEMENT_HASH_LEN];
    r->is_word = true;
    memcpy(r->word, rules, sizeof(r->word));
    pv_roster_head(n->roster, own);
    c->listed = c->listed || (is_admin(n, p) && is_same(own, head));
    pv_roster_rules(n->roster, own);
    note_other(c, r, own, rules, now);
}

void pv_closed_take(struct pv_closed *c, const struct pv_node *n, struct pv_peer *p,
                    struct pv_view body, pv_ns now)
{
    struct pv_peer_rules *r = &pv_peer_notes(p)->rules;
    if (n->roster == NULL || body.len < 1)
        return;
    if (body.ptr[0] == ASKS) {
        tell(c, n, p);
        return;
    }
    if (!c->is || body.ptr[0] != TELLS)
        return;
    r->is_word = false;
    if (body.len == TOLD_LEN)
        take_word(c, n, p, body.ptr + 1, body.ptr + 1 + PV_STATEMENT_HASH_LEN, now);
}

/* The words of admins about the rules that are here. */
struct words {
    bool agree, differ; /* some do */
    bool asking;        /* somebody names others, and is asked */
};

static void add_words(const struct pv_node *n, const struct pv_peer *p, const uint8_t *own,
                      struct words *w, pv_ns now)
{
    const struct pv_peer_rules *r = &pv_peer_notes_of(p)->rules;
    if (!r->is_word && !r->is_named)
        return;
    const bool admin = is_admin(n, p), word = admin && r->is_word;
    const bool other = !is_same(own, r->is_word ? r->word : r->named);
    w->agree = w->agree || (word && !other);
    w->differ = w->differ || (word && other);
    w->asking = w->asking || (other && (now < r->ask_until || (admin && pv_peer_can_talk(p, now))));
}

static struct words hear_all(const struct pv_node *n, const uint8_t *own, pv_ns now)
{
    struct words w = {.agree = false};
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;)
        add_words(n, p, own, &w, now);
    return w;
}

static bool is_mark_of(const struct pv_closed *c, const struct pv_node *n, const uint8_t *rules)
{
    uint8_t mark[PV_TOKEN_RULES_LEN];
    pv_token_rules(pv_roster_network_id(n->roster), rules, mark);
    return memcmp(mark, c->mark, sizeof(mark)) == 0;
}

/* The mark is a part of the invite's key, so tags of the invite are no part of the mark. */
static bool is_marked(const struct pv_closed *c, const struct pv_node *n, const uint8_t *own)
{
    const struct pv_member *self = pv_node_self(n);
    uint8_t rules[PV_STATEMENT_HASH_LEN];
    if (is_mark_of(c, n, own))
        return true;
    if (self == NULL)
        return false;
    pv_roster_rules_but(n->roster, self->admitted_by, rules);
    return is_mark_of(c, n, rules);
}

bool pv_closed_opens(struct pv_closed *c, const struct pv_node *n, pv_ns now)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    if (!c->is || !c->listed)
        return false;
    pv_roster_rules(n->roster, own);
    const struct words w = hear_all(n, own, now);
    if (w.asking || !(w.agree || (is_marked(c, n, own) && !w.differ)))
        return false;
    c->is = false;
    return true;
}

/* Those that were wanted lately are tried without this: so all of many take their turns. */
static void wake_admins(const struct pv_node *n, pv_ns now)
{
    size_t woken = 0;
    for (struct pv_peer *p = NULL;
         woken < WAKE_MAX && (p = pv_peers_next_member(n->peers, p)) != NULL;) {
        if (!is_admin(n, p) || pv_peer_presence(p) == PV_PRESENCE_OFFLINE ||
            pv_peer_is_wanted(p, now))
            continue;
        pv_peer_want(p, "the rules of the network are asked for", now);
        pv_peers_touch(n->peers, p, now);
        woken++;
    }
}

/* Asked again each time: its rules may be others by now, as it may hear of more itself. Returns
 * true if somebody is being asked, so that the next look is worth it. */
static bool ask_admins(const struct pv_node *n, pv_ns now)
{
    bool asking = false;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;) {
        const bool admin = pv_peer_can_talk(p, now) && is_admin(n, p);
        if (admin)
            ask(n, p);
        asking = asking || admin || now < pv_peer_notes_of(p)->rules.ask_until;
    }
    return asking;
}

void pv_closed_handle_timeout(struct pv_closed *c, const struct pv_node *n, pv_ns now)
{
    if (!c->is || now < c->look_at)
        return;
    const bool asking = n->roster != NULL && ask_admins(n, now);
    if (now >= c->wake_at) {
        c->wake_at = now + PV_CLOSED_WAKE;
        if (n->roster != NULL && n->up)
            wake_admins(n, now);
    }
    c->look_at = asking ? now + PV_CLOSED_LOOK : c->wake_at;
}

pv_ns pv_closed_next_timeout(const struct pv_closed *c)
{
    return c->is ? c->look_at : PV_NEVER;
}

struct pv_reason pv_closed_why(const struct pv_closed *c, const struct pv_node *n, pv_ns now)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    pv_roster_rules(n->roster, own);
    const struct words w = hear_all(n, own, now);
    if (w.differ && !w.agree)
        return (struct pv_reason){"an admin names others", PV_DO(keep_that_admin_online)};
    if (!w.agree && !is_marked(c, n, own))
        return (struct pv_reason){"they are not those of the token", PV_DO(admin_online)};
    if (!c->listed)
        return (struct pv_reason){"the coordinator has not listed all", PV_DO(admin_online_later)};
    return (struct pv_reason){"a member that names others is asked first", PV_DO_NOTHING};
}
