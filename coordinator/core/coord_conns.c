/* SPDX-License-Identifier: MIT */
/* The connections of the coordinator and the lists they stand in: which there are, which changed,
 * which is a member of what; and how each of them ends. Nothing here calls up. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "coordinator/core/coord_int.h"

enum {
    OTHERS_PART = 4, /* ours: of so many connections one is for others than the largest network */
};

/* The wall clock is told once a turn; within the turn it goes on by the monotonic clock, which
 * never jumps back. */
uint64_t pv_coord_wall_us(const struct pv_coord *c, pv_ns now)
{
    return c->wall_us + (now > c->wall_at ? (now - c->wall_at) / 1000u : 0);
}

uint64_t pv_coord_wall(const struct pv_coord *c, pv_ns now)
{
    return pv_coord_wall_us(c, now) / 1000000u;
}

/* Between two looks at the common clock it goes on by the monotonic one, so a jump of the wall
 * clock is seen at once. */
int64_t pv_coord_ahead(const struct pv_coord *c, pv_ns now)
{
    if (c->common_us == 0)
        return 0;
    int64_t since = now >= c->common_at ? (int64_t)((now - c->common_at) / 1000u)
                                        : -(int64_t)((c->common_at - now) / 1000u);
    int64_t ahead = ((int64_t)pv_coord_wall_us(c, now) - (int64_t)c->common_us - since) / 1000000;
    return ahead > PV_COORD_CLOCK_S || ahead < -PV_COORD_CLOCK_S ? ahead : 0;
}

void pv_coord_set_common(struct pv_coord *c, uint64_t wall_us, pv_ns at)
{
    c->common_us = wall_us;
    c->common_at = at;
}

/* --- finding, and the list of poll_ready ----------------------------------------------------- */

struct pv_conn *pv_coord_find(const struct pv_coord *c, uint64_t id)
{
    struct pv_conn *s = NULL;
    PV_MAP_FIND(&c->map, c->conns, &id, sizeof(id), s);
    return s;
}

/* The list is in order of the first change, so nobody waits behind a connection that changes all
 * the time. */
void pv_coord_mark_ready(struct pv_coord *c, struct pv_conn *s)
{
    if (s->is_ready)
        return;
    s->is_ready = true;
    s->ready_next = NULL;
    s->ready_prev = c->ready_tail;
    if (c->ready_tail == NULL)
        c->ready_head = s;
    else
        c->ready_tail->ready_next = s;
    c->ready_tail = s;
}

void pv_coord_unmark_ready(struct pv_coord *c, struct pv_conn *s)
{
    if (!s->is_ready)
        return;
    if (s->ready_prev == NULL)
        c->ready_head = s->ready_next;
    else
        s->ready_prev->ready_next = s->ready_next;
    if (s->ready_next == NULL)
        c->ready_tail = s->ready_prev;
    else
        s->ready_next->ready_prev = s->ready_prev;
    s->is_ready = false;
}

/* --- guests ---------------------------------------------------------------------------------- */

/* The one that is displaced is closed without a word: it has said nothing, or too little for too
 * long. */
int pv_coord_seat(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    struct pv_places *places =
        pv_regulars_has(&c->regulars, &s->source, now) ? &c->members_places : &c->strangers;
    struct pv_place *evicted = NULL;
    int r = pv_places_enter(places, &s->place, &s->source, &evicted);
    if (r < 0)
        return r;
    s->hurried = pv_places_crowded(places);
    if (evicted != NULL) {
        pv_coord_count(c, PV_COORD_LIMIT_GUESTS);
        pv_coord_drop(c, PV_CONTAINER_OF(evicted, struct pv_conn, place), now);
    }
    return PV_OK;
}

/* --- members --------------------------------------------------------------------------------- */

/* Their subscriptions are marked by the broker; here they get their turn to be told. */
static void wake_subscribers(struct pv_coord *c, const struct pv_conn *s)
{
    size_t iter = 0;
    struct pv_conn *other;
    while ((other = pv_broker_next_subscriber(&c->broker, s->net, s->node, &iter)) != NULL)
        pv_coord_mark_ready(c, other);
}

/* The place of a connection in its network's array, or where it belongs: the first that is not
 * before it. Two connections of one node are in order of their age. */
static size_t member_index(const struct pv_cnet *net, const struct pv_conn *s)
{
    size_t low = 0, high = net->n_members;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct pv_conn *m = net->members[mid];
        int order = memcmp(m->node, s->node, PV_SIGN_PK_LEN);
        if (order < 0 || (order == 0 && m->id < s->id))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The array is kept in order here, when somebody comes or goes, so that `list` need not sort. */
static void join_net(struct pv_conn *s, uint64_t wall_s)
{
    struct pv_cnet *net = s->net;
    size_t at = member_index(net, s);
    memmove(net->members + at + 1, net->members + at,
            (net->n_members - at) * sizeof(*net->members));
    net->members[at] = s;
    net->n_members++;
    net->seen_s = wall_s;
}

static void leave_net(struct pv_conn *s, uint64_t wall_s)
{
    struct pv_cnet *net = s->net;
    size_t at = member_index(net, s);
    net->n_members--;
    net->seen_s = wall_s;
    memmove(net->members + at, net->members + at + 1,
            (net->n_members - at) * sizeof(*net->members));
}

/* Makes room for one more connection of a member, so that join_net() cannot fail. */
static int reserve_member(struct pv_cnet *net)
{
    void *grown =
        pv_vec_room(net->members, net->n_members, &net->members_cap, 8, sizeof(net->members[0]));
    if (grown == NULL)
        return PV_ERR_NOMEM;
    net->members = grown;
    return PV_OK;
}

/* A source that turned out to be a member gets back what its connection took of the source's rate:
 * a restart of the coordinator brings back all members behind one address at once, and strangers
 * must be held off meanwhile. A network has a bound for that, which no member wears out alone. */
static void give_back(struct pv_coord *c, const struct pv_conn *s, pv_ns now)
{
    uint32_t n = (uint32_t)pv_roster_count(s->net->roster);
    n = n < PV_CNET_RETURN_MIN ? PV_CNET_RETURN_MIN : n;
    uint32_t rate = (n + PV_CNET_RETURN_S - 1) / PV_CNET_RETURN_S;
    if (pv_bucket_take(&s->net->returns, rate, n, 1, now))
        pv_bucket_table_give(c->sources, &s->source, 1);
}

/* A network's admin may bring it as many members as there are connections. Where it is the only one
 * there is nobody to leave some for; who takes the place of its own connection takes none. */
static bool may_enter(const struct pv_coord *c, const struct pv_conn *s)
{
    return s->net->n_members < c->limits.conns - c->limits.conns / OTHERS_PART ||
           HASH_CNT(hh, c->registry.nets) < 2 ||
           pv_broker_find(&c->broker, s->net, s->node) != NULL;
}

/* The steps that can fail go first. The older connection of the node ends last, when presence
 * already belongs to the new one: subscribers see one change of `since`, not offline and online. */
int pv_coord_enter(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    struct pv_conn *old = NULL;
    if (!may_enter(c, s)) {
        pv_coord_count(c, PV_COORD_LIMIT_CONNS);
        return PV_ERR_LIMIT;
    }
    int r = reserve_member(s->net);
    if (r == PV_OK)
        r = pv_broker_online(&c->broker, s, pv_coord_wall_us(c, now), &old);
    if (r < 0)
        return r;
    s->state = PV_CONN_MEMBER;
    pv_place_leave(&s->place);
    s->requests = (struct pv_bucket){0}; /* a member's, full; a guest's was small */
    pv_regulars_note(&c->regulars, &s->source, now);
    if (old == NULL)
        give_back(c, s, now);
    pv_relaylink_seen(c->link, &s->source);
    join_net(s, pv_coord_wall(c, now));
    wake_subscribers(c, s);
    if (old != NULL)
        pv_coord_end(c, old, PV_CTL_E_REPLACED, "a newer connection of this node took over", now);
    return PV_OK;
}

/* A connection of which nothing was read has cost nothing. When the coordinator was restarted, and
 * thousands of members behind one address come at once, many are not served in time and begin anew:
 * they must not keep the others out. Addresses of strangers pay for each, so that nobody can have
 * connections made and ended as fast as he likes. */
static void give_back_unheard(struct pv_coord *c, const struct pv_conn *s, pv_ns now)
{
    if (s->first_rx == 0 && !s->tls && pv_regulars_has(&c->regulars, &s->source, now))
        pv_bucket_table_give(c->sources, &s->source, 1);
}

/* Takes a connection out of presence, network and counts. Each way in which one ends comes here,
 * and the second time nothing happens. For a connection that was replaced the relay is told
 * nothing, as its node is online. */
static void retire(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    if (s->state == PV_CONN_CLOSING)
        return;
    if (s->state != PV_CONN_MEMBER) {
        give_back_unheard(c, s, now);
        pv_place_leave(&s->place);
        return;
    }
    bool spoke = s->bnode != NULL;
    pv_broker_leave(&c->broker, s, pv_coord_wall_us(c, now));
    pv_bulk_forget(s);
    if (spoke)
        pv_relaylink_offline(c->link, s->net->id, s->node);
    leave_net(s, pv_coord_wall(c, now));
    if (spoke)
        wake_subscribers(c, s);
}

/* The heap has room for its timer since it was accepted, so setting the time to write the last
 * message cannot fail. */
void pv_coord_end(struct pv_coord *c, struct pv_conn *s, enum pv_ctl_error error,
                  const char *message, pv_ns now)
{
    pv_coord_end_with(c, s, &(struct pv_ctl_failure){.error = error, .message = message}, now);
}

void pv_coord_refuse(struct pv_coord *c, struct pv_conn *s, enum pv_ctl_error error,
                     const char *message, pv_ns now)
{
    if (s->held != NULL)
        pv_conn_error(s, s->held->id, error, message);
    pv_coord_end(c, s, error, message, now);
}

void pv_coord_end_with(struct pv_coord *c, struct pv_conn *s, const struct pv_ctl_failure *failure,
                       pv_ns now)
{
    retire(c, s, now);
    pv_conn_bye(s, failure, now);
    pv_heap_set(&c->timers, &s->timer, pv_conn_deadline(s));
    pv_coord_mark_ready(c, s);
}

/* Output that was not written is thrown away: the other side said something wrong, or there is no
 * memory to say anything. */
void pv_coord_drop(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    retire(c, s, now);
    s->state = PV_CONN_CLOSING;
    s->closing_since = now;
    s->dead = true;
    pv_coord_mark_ready(c, s);
}

/* The relay is told of an end only for connections that spoke STUN; allocations of others go by
 * node. */
void pv_coord_forget(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    retire(c, s, now);
    if (s->stun != NULL)
        pv_relaylink_closed(c->link, s->id);
    pv_coord_unmark_ready(c, s);
    pv_heap_set(&c->timers, &s->timer, PV_NEVER);
    PV_MAP_DEL(c->conns, s);
    pv_conn_free(s);
}

/* --- members that are gone ------------------------------------------------------------------- */

/* Members that were removed or left lose their connections here, a few in each turn: a removal can
 * concern thousands, each with news to be told and thousands who want to know that it is offline.
 */

enum {
    GONE_A_TURN = 8, /* ours: connections that end before others are served */
};

/* The statement that ends the membership goes out before the end: it is the node's proof, and it
 * need not believe a coordinator that just hangs up. */
static void drop(struct pv_coord *c, struct pv_conn *s, const struct pv_member *m, pv_ns now)
{
    while (pv_bulk_is_behind(s) && !s->log.stalled && !s->dead)
        pv_bulk_send_page(c, s, now);
    if (m != NULL && m->state == PV_MEMBER_LEFT)
        pv_coord_end(c, s, PV_CTL_E_UNKNOWN_NODE, "this node left the network", now);
    else
        pv_coord_end(c, s, PV_CTL_E_REVOKED, "this node was removed from the network", now);
}

static void list_net(struct pv_coord *c, struct pv_cnet *net)
{
    struct pv_cnet **at = &c->gone;
    if (net->is_going)
        return;
    net->is_going = true;
    net->next_going = NULL;
    while (*at != NULL)
        at = &(*at)->next_going;
    *at = net;
}

static void unlist_net(struct pv_coord *c, struct pv_cnet *net)
{
    struct pv_cnet **at = &c->gone;
    if (!net->is_going)
        return;
    while (*at != net)
        at = &(*at)->next_going;
    *at = net->next_going;
    net->is_going = false;
}

/* First the relay, so that nothing of theirs is relayed any more, then their connection. One that
 * has expired and is connected renews itself at once, and one may have come back before it
 * was its turn here: by a word about the removal that is dated before it. */
void pv_gone_drop(struct pv_coord *c, struct pv_cnet *net, pv_ns now)
{
    for (int n = 0; net->n_gone > 0 && n < GONE_A_TURN;) {
        const uint8_t *node = net->gone[--net->n_gone];
        struct pv_conn *s = pv_broker_find(&c->broker, net, node);
        const struct pv_member *m = pv_roster_known(net->roster, node);
        if (m != NULL &&
            (m->state == PV_MEMBER_ACTIVE || (s != NULL && m->state == PV_MEMBER_EXPIRED)))
            continue;
        pv_relaylink_gone(c->link, net->id, node);
        if (s == NULL)
            continue;
        drop(c, s, m, now);
        n++;
    }
    unlist_net(c, net);
    if (net->n_gone > 0)
        list_net(c, net);
}

struct pv_cnet *pv_gone_next(const struct pv_coord *c)
{
    struct pv_cnet *net = c->gone;
    while (net != NULL && net->resting)
        net = net->next_going;
    return net;
}

struct pv_cnet *pv_gone_handle_timeout(struct pv_coord *c, pv_ns now)
{
    struct pv_cnet *net = pv_gone_next(c);
    if (net != NULL)
        pv_gone_drop(c, net, now);
    return net;
}
