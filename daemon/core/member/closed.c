/* SPDX-License-Identifier: MIT */
/* closed.c - what a node that joined has to hear before it lets anything in. */
#include "daemon/core/member/closed.h"

#include <string.h>

#include "daemon/core/peer/peers.h"

enum {
    WAKE_MAX = 4, /* ours: admins at once; a network has few, and one that is there is enough */
};

static void begin(struct pv_closed *c, struct pv_view mark, pv_ns now)
{
    *c = (struct pv_closed){.is = true, .wake_at = now + PV_CLOSED_LOOK, .look_at = now};
    memcpy(c->mark, mark.ptr, sizeof(c->mark));
}

void pv_closed_begin(struct pv_closed *c, const uint8_t mark[static PV_TOKEN_RULES_LEN], pv_ns now)
{
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

void pv_closed_heard(struct pv_closed *c, const struct pv_node *n, const struct pv_peer *p,
                     const uint8_t *rules, pv_ns now)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    if (!c->is || n->roster == NULL)
        return;
    pv_roster_rules(n->roster, own);
    const uint8_t *named = rules != NULL ? rules : own;
    if (is_admin(n, p)) {
        c->has_word = true;
        memcpy(c->word, named, sizeof(c->word));
    }
    /* The coordinator may hold back what an admin has: the whole of it is what that one has. */
    c->listed = c->listed || (rules == NULL && is_admin(n, p));
    if (memcmp(own, named, sizeof(own)) == 0) {
        c->asked = c->asked == pv_peer_id(p) ? 0 : c->asked;
        return;
    }
    c->asked = pv_peer_id(p);
    memcpy(c->other, named, sizeof(c->other));
    if (c->ask_until == 0)
        c->ask_until = now + PV_CLOSED_ASK;
}

/* Is there somebody who names other rules, and is to be asked before anything enters? */
static bool is_asking(const struct pv_closed *c, const struct pv_node *n, const uint8_t *own,
                      pv_ns now)
{
    const struct pv_peer *p = c->asked == 0 ? NULL : pv_peers_by_id(n->peers, c->asked);
    if (p == NULL || memcmp(own, c->other, sizeof(c->other)) == 0)
        return false;
    return now < c->ask_until || (is_admin(n, p) && pv_peer_can_talk(p, now));
}

static bool is_vouched(const struct pv_closed *c, const struct pv_node *n, const uint8_t *own)
{
    uint8_t mark[PV_TOKEN_RULES_LEN];
    pv_token_rules(pv_roster_network_id(n->roster), own, mark);
    return memcmp(mark, c->mark, sizeof(mark)) == 0 ||
           (c->has_word && memcmp(c->word, own, sizeof(c->word)) == 0);
}

bool pv_closed_opens(struct pv_closed *c, const struct pv_node *n, pv_ns now)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    if (!c->is)
        return false;
    pv_roster_rules(n->roster, own);
    if (!c->listed || !is_vouched(c, n, own) || is_asking(c, n, own, now))
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

void pv_closed_handle_timeout(struct pv_closed *c, const struct pv_node *n, pv_ns now)
{
    if (!c->is || now < c->look_at)
        return;
    c->look_at = now + PV_CLOSED_LOOK;
    if (now < c->wake_at)
        return;
    c->wake_at = now + PV_CLOSED_WAKE;
    if (n->roster != NULL && n->up)
        wake_admins(n, now);
}

pv_ns pv_closed_next_timeout(const struct pv_closed *c)
{
    return c->is ? c->look_at : PV_NEVER;
}

const char *pv_closed_why(const struct pv_closed *c, const struct pv_node *n)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    pv_roster_rules(n->roster, own);
    if (!is_vouched(c, n, own))
        return "they are not those of the token: an admin has to be online once, or join again "
               "with a new token";
    if (!c->listed)
        return "the coordinator has not listed all: if that lasts, an admin has to be online once";
    return "a member that names others is asked first";
}
