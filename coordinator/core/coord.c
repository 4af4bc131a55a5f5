/* SPDX-License-Identifier: MIT */
/* coord.c - the control half of the coordinator. Each section calls those above it: statements
 * for members (whose turn it is, and the page that a member gets then, pages.h); connections, the
 * lists that they stand in and their end; members that come and are gone; the first request of a
 * connection; the other requests; bytes that come in; homes that come and go; and what the owner
 * calls: the coordinator's life, connections, store operations, time, counters, the operator's
 * questions, the link to the relay half. */
#include "coordinator/core/coord.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/vec.h"
#include "coordinator/core/broker.h"
#include "coordinator/core/conn.h"
#include "coordinator/core/copies.h"
#include "coordinator/core/homes.h"
#include "coordinator/core/logs.h"
#include "coordinator/core/member/askers.h"
#include "coordinator/core/member/registry.h"
#include "coordinator/core/pages.h"
#include "coordinator/core/places.h"
#include "coordinator/core/sniff.h"
#include "coordinator/core/turn/regulars.h"
#include "crypto/ct.h"

_Static_assert((int)PV_TURNAUTH_NET_LEN == (int)PV_NETWORK_ID_LEN, "the relay's network id");
_Static_assert((int)PV_TURNAUTH_NODE_LEN == (int)PV_SIGN_PK_LEN, "the relay's node is its key");

struct pv_coord {
    struct pv_rng rng;
    const struct pv_log *log;
    uint8_t *sk; /* guarded: Ed25519 secret key, its X25519 form, and what secret points to */
    uint8_t dh_pk[PV_DH_LEN]; /* of its X25519 form */
    uint8_t *secret;          /* PV_CTL_SECRET_LEN bytes that a create has to bring */
    struct pv_coord_policy policy;
    const struct pv_kem *kem; /* NULL: no hybrid keys */
    bool has_tls;
    struct pv_ctl_tls tls;
    struct pv_coord_limits limits;

    uint64_t
        common_us; /* by the clock that it shares with others, at common_at; 0: there is none */
    pv_ns common_at;
    uint64_t wall_us; /* wall clock at wall_at */
    pv_ns wall_at;
    bool started; /* the epoch is fixed */
    bool ending;  /* shut down: no new connections */

    struct pv_map map;
    struct pv_conn *conns;
    struct pv_places strangers;      /* places of connections that have not shown who they are */
    struct pv_places members_places; /* the same, from addresses of members */
    struct pv_regulars regulars;
    struct pv_heap timers;
    struct pv_conn *ready; /* by ready_next */
    struct pv_cnet *bulk;  /* networks with statements to send, by bulk.next */
    struct pv_pages pages; /* of them, as they are sent */

    struct pv_cnet *billed; /* whose request was worked on last; NULL: nobody's */
    struct pv_heap rests;   /* resting networks */
    struct pv_cnet *gone;   /* networks with members whose connections are still to end */

    struct pv_registry registry;
    struct pv_broker broker;
    struct pv_copies copies;
    struct pv_logs logs;
    struct pv_homes homes;
    uint64_t first_epoch;            /* of the receipts; 0: the clock says */
    pv_ns swept_at;                  /* networks that are not used were looked for */
    pv_ns drain_at;                  /* homes are not given away before */
    bool alone;                      /* no other coordinator takes homes */
    bool homes_came;                 /* a network, since the owner asked */
    pv_ns gave_at;                   /* the last network went to another; 0: none did */
    pv_ns balance_at;                /* the same, when others have fewer */
    struct pv_relaycore *relay;      /* may be another thread's: only its link is used here */
    struct pv_relaylink *link;       /* the relay's link, this end of it */
    struct pv_bucket_table *sources; /* connections */
    struct pv_bucket crowd;          /* connections beyond these, of members' addresses */
    struct pv_bucket_table *creates; /* networks, with --open */
    struct pv_coord_stats stats;     /* the counters of it */
    struct {
        struct pv_addr at;            /* of the first member; PV_AF_NONE: there was none */
        uint8_t node[PV_SIGN_PK_LEN]; /* that member */
        bool judged;
    } shared; /* the private address that all members have so far */
};

/* A limit has turned something away. */
static inline void count_limit(struct pv_coord *c, enum pv_coord_limit limit)
{
    c->stats.limits[limit]++;
}

/* --- statements for members ------------------------------------------------------------------ */

/* Statements are most of what a coordinator sends, and nobody waits for them as for an answer or a
 * signal: pages are made one by one when nothing else is to be done, and their owner may do
 * something else after each. */

/* Does a member wait for statements: the page that it asked for, or news? */
static bool bulk_is_behind(const struct pv_conn *s)
{
    return s->log.pull_id != 0 || (s->log.state == PV_CONN_LOG_LIVE && s->log.at < s->net->log_len);
}

/* --- whose turn it is ------------------------------------------------------------------------ */

static void list_net(struct pv_coord *c, struct pv_cnet *net)
{
    if (net->bulk.listed)
        return;
    net->bulk.listed = true;
    PV_LIST_ADD_BY(c->bulk, net, bulk.prev, bulk.next);
}

/* The log has grown: all members are told in a round. */
static void bulk_news(struct pv_coord *c, struct pv_cnet *net)
{
    net->bulk.has_news = true;
    list_net(c, net);
}

/* A member waits for statements by itself: it asked, or had no room in its turn. first: before the
 * others, as it had its turn and goes on: who came first has the whole log first, where turns for
 * each page would let all of them end together. */
static void bulk_want(struct pv_coord *c, struct pv_conn *s, bool first)
{
    struct pv_cnet *net = s->net;
    if (s->log.listed)
        return;
    s->log.listed = true;
    if (first)
        PV_LIST_ADD_FIRST_BY(net->bulk.head, s, log.prev, log.next);
    else
        PV_LIST_ADD_BY(net->bulk.head, s, log.prev, log.next);
    list_net(c, net);
}

/* A connection leaves its network. */
static void bulk_forget(struct pv_conn *s)
{
    struct pv_cnet *net = s->net;
    if (!s->log.listed)
        return;
    PV_LIST_DEL_BY(net->bulk.head, s, log.prev, log.next);
    s->log.listed = false;
}

/* The first connection of a member whose key is above this one. By key and not by place, as members
 * come and go between two turns. */
static size_t first_behind(const struct pv_cnet *net, const uint8_t key[static PV_SIGN_PK_LEN])
{
    size_t low = 0, high = net->n_members;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (memcmp(net->members[mid]->node, key, PV_SIGN_PK_LEN) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The next member to be told of the round. A statement that comes during a round is told by it to
 * those who have not had their turn, and by the next one to the others: so the more there is to
 * tell, the more statements share a message. NULL: everybody knows everything. */
static struct pv_conn *next_told(struct pv_cnet *net)
{
    while (net->bulk.round != PV_ROUND_NONE || net->bulk.has_news) {
        if (net->bulk.round == PV_ROUND_NONE) {
            net->bulk.has_news = false;
            net->bulk.round = PV_ROUND_NEW;
        }
        size_t i = net->bulk.round == PV_ROUND_GOES_ON ? first_behind(net, net->bulk.told) : 0;
        for (; i < net->n_members; i++) {
            struct pv_conn *s = net->members[i];
            if (!bulk_is_behind(s))
                continue;
            memcpy(net->bulk.told, s->node, sizeof(net->bulk.told));
            net->bulk.round = PV_ROUND_GOES_ON;
            return s;
        }
        net->bulk.round = PV_ROUND_NONE;
    }
    return NULL;
}

/* Whose turn it is, once each; NULL: nobody waits. Those who ask take turns with the round, and
 * networks with each other. */
static struct pv_conn *bulk_next(struct pv_coord *c)
{
    while (c->bulk != NULL) {
        struct pv_cnet *net = c->bulk;
        PV_LIST_DEL_BY(c->bulk, net, bulk.prev, bulk.next);
        net->bulk.listed = false;
        struct pv_conn *s = net->bulk.ask_is_next ? NULL : next_told(net);
        if (s == NULL && net->bulk.head != NULL) {
            s = net->bulk.head;
            bulk_forget(s);
        } else if (s == NULL) {
            s = next_told(net);
        }
        net->bulk.ask_is_next = !net->bulk.ask_is_next;
        if (net->bulk.head != NULL || net->bulk.round != PV_ROUND_NONE || net->bulk.has_news)
            list_net(c, net);
        if (s != NULL)
            return s;
    }
    return NULL;
}

/* --- pages ----------------------------------------------------------------------------------- */

/* Sends a page of the log from s->log.at on, and moves it: as a push for id 0. */
static int send_page(struct pv_coord *c, struct pv_conn *s, uint64_t id, pv_ns now)
{
    struct pv_page *page = pv_pages_get(&c->pages, s->net, s->log.at, now);
    if (page == NULL)
        return PV_ERR_NOMEM;
    int r = pv_control_send(s->control, pv_pages_text(page, id));
    if (r == PV_OK) {
        s->log.at = page->next;
        s->log.state = id != 0 && page->more ? PV_CONN_LOG_PAGING : PV_CONN_LOG_LIVE;
    }
    return r;
}

/* Sends it one page of them, or notes that it is stalled. After the last page news are pushed. A
 * push with more behind it is followed by another one when there is room: nobody has to ask. */
static void bulk_send_page(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    uint64_t id = s->log.pull_id;
    bool room =
        id != 0 ? pv_control_room(s->control) >= PV_CONN_ROOM_MIN : pv_conn_has_push_room(s);
    s->log.stalled = bulk_is_behind(s) && !room;
    if (s->log.stalled || !bulk_is_behind(s))
        return;
    s->log.pull_id = 0;
    if (send_page(c, s, id, now) < 0)
        s->dead = true;
}

/* --- clocks ----------------------------------------------------------------------------------- */

/* Wall clock at now: microseconds and seconds since 1970. The wall clock is told once a turn;
 * within the turn it goes on by the monotonic clock, which never jumps back. */
static uint64_t wall_us_at(const struct pv_coord *c, pv_ns now)
{
    return c->wall_us + (now > c->wall_at ? (now - c->wall_at) / 1000u : 0);
}

static uint64_t wall_s_at(const struct pv_coord *c, pv_ns now)
{
    return wall_us_at(c, now) / 1000000u;
}

/* Between two looks at the common clock it goes on by the monotonic one, so a jump of the wall
 * clock is seen at once. */
int64_t pv_coord_ahead(const struct pv_coord *c, pv_ns now)
{
    if (c->common_us == 0)
        return 0;
    int64_t since = now >= c->common_at ? (int64_t)((now - c->common_at) / 1000u)
                                        : -(int64_t)((c->common_at - now) / 1000u);
    int64_t ahead = ((int64_t)wall_us_at(c, now) - (int64_t)c->common_us - since) / 1000000;
    return ahead > PV_COORD_CLOCK_S || ahead < -PV_COORD_CLOCK_S ? ahead : 0;
}

void pv_coord_set_common(struct pv_coord *c, uint64_t wall_us, pv_ns at)
{
    c->common_us = wall_us;
    c->common_at = at;
}

/* --- connections, and those that the owner is to look at -------------------------------------- */

/* NULL: no such connection. */
static struct pv_conn *find_conn(const struct pv_coord *c, uint64_t id)
{
    struct pv_conn *s = NULL;
    PV_MAP_FIND(&c->map, c->conns, &id, sizeof(id), s);
    return s;
}

/* Puts s on the list of poll_ready, and takes it off; harmless when it is there, or is not. The
 * list is in order of the first change, so nobody waits behind a connection that changes all the
 * time. */
static void mark_ready(struct pv_coord *c, struct pv_conn *s)
{
    if (s->is_ready)
        return;
    s->is_ready = true;
    PV_LIST_ADD_BY(c->ready, s, ready_prev, ready_next);
}

static void unmark_ready(struct pv_coord *c, struct pv_conn *s)
{
    if (!s->is_ready)
        return;
    PV_LIST_DEL_BY(c->ready, s, ready_prev, ready_next);
    s->is_ready = false;
}

/* --- the members of a network ----------------------------------------------------------------- */

/* Their subscriptions are marked by the broker; here they get their turn to be told. */
static void wake_subscribers(struct pv_coord *c, const struct pv_cnet *net, const uint8_t *node)
{
    size_t iter = 0;
    struct pv_conn *other;
    while ((other = pv_broker_next_subscriber(&c->broker, net, node, &iter)) != NULL)
        mark_ready(c, other);
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

/* --- the end of a connection ------------------------------------------------------------------ */

/* A connection of which nothing was read has cost nothing. When the coordinator was restarted, and
 * thousands of members behind one address come at once, many are not served in time and begin anew:
 * they must not keep the others out. Addresses of strangers pay for each, so that nobody can have
 * connections made and ended as fast as he likes. */
static void give_back_unheard(struct pv_coord *c, const struct pv_conn *s, pv_ns now)
{
    if (s->first_rx == 0 && !s->tls && pv_regulars_has(&c->regulars, &s->source, now))
        pv_bucket_table_give(c->sources, &s->source, 1);
}

/* The gateway s says whether this phone is online. */
static int set_phone(struct pv_coord *c, struct pv_conn *s, const uint8_t *phone, bool online,
                     pv_ns now)
{
    uint8_t node[PV_SIGN_PK_LEN]; /* phone may be of the entry that goes */
    bool changed;
    memcpy(node, phone, sizeof(node));
    int r = pv_broker_phone(&c->broker, s, node, online, wall_us_at(c, now), &changed);
    if (r == PV_OK && changed)
        wake_subscribers(c, s->net, node);
    return r;
}

/* When a gateway is gone, nobody reports its phones: they count as offline. */
static void end_phones(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    const struct pv_bnode *phone;
    while ((phone = pv_broker_phone_of(s)) != NULL)
        (void)!set_phone(c, s, phone->key.node, false, now); /* going offline cannot fail */
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
    pv_broker_leave(&c->broker, s, wall_us_at(c, now));
    end_phones(c, s, now);
    bulk_forget(s);
    if (spoke)
        pv_relaylink_offline(c->link, s->net->id, s->node);
    leave_net(s, wall_s_at(c, now));
    if (spoke)
        wake_subscribers(c, s->net, s->node);
}

/* Ends a connection with a last message; its node is offline at once. The heap has room for its
 * timer since it was accepted, so setting the time to write the last message cannot fail. */
static void end_with(struct pv_coord *c, struct pv_conn *s, const struct pv_ctl_failure *failure,
                     pv_ns now)
{
    retire(c, s, now);
    pv_conn_bye(s, failure, now);
    pv_heap_set(&c->timers, &s->timer, pv_conn_deadline(s));
    mark_ready(c, s);
}

static void end_conn(struct pv_coord *c, struct pv_conn *s, enum pv_ctl_error error,
                     const char *message, pv_ns now)
{
    end_with(c, s, &(struct pv_ctl_failure){.error = error, .message = message}, now);
}

/* The same, and answers with it the request that the connection holds. */
static void refuse_request(struct pv_coord *c, struct pv_conn *s, enum pv_ctl_error error,
                           const char *message, pv_ns now)
{
    if (s->held != NULL)
        pv_conn_error(s, s->held->id, error, message);
    end_conn(c, s, error, message, now);
}

/* Ends a connection without a word: its bytes were no control channel, or there is no memory.
 * Output that was not written is thrown away: the other side said something wrong, or there is
 * no memory to say anything. */
static void drop_conn(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    retire(c, s, now);
    s->state = PV_CONN_CLOSING;
    s->closing_since = now;
    s->dead = true;
    mark_ready(c, s);
}

/* The transport is gone, or everything has been written: out of all lists, and freed. The relay
 * is told of an end only for connections that spoke STUN; allocations of others go by node. */
static void forget_conn(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    retire(c, s, now);
    if (s->stun != NULL)
        pv_relaylink_closed(c->link, s->id);
    unmark_ready(c, s);
    pv_heap_set(&c->timers, &s->timer, PV_NEVER);
    PV_MAP_DEL(c->conns, s);
    pv_conn_free(s);
}

/* --- applicants ------------------------------------------------------------------------------- */

/* Gives s a place among the applicants, and ends the connection that loses its own for it.
 * PV_ERR_NOMEM. The one that is displaced is closed without a word: it has said nothing, or too
 * little for too long. */
static int seat_applicant(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    struct pv_places *places =
        pv_regulars_has(&c->regulars, &s->source, now) ? &c->members_places : &c->strangers;
    struct pv_place *evicted = NULL;
    int r = pv_places_enter(places, &s->place, &s->source, &evicted);
    if (r < 0)
        return r;
    s->hurried = pv_places_crowded(places);
    if (evicted != NULL) {
        count_limit(c, PV_COORD_LIMIT_APPLICANTS);
        drop_conn(c, PV_CONTAINER_OF(evicted, struct pv_conn, place), now);
    }
    return PV_OK;
}

/* --- new members ------------------------------------------------------------------------------ */

enum {
    OTHERS_PART = 4, /* ours: of so many connections one is for others than the largest network */
};

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

/* Members of a LAN have an address each. One for all of them is that of something in front, and
 * then none of them can be told its own address. */
static void look_for_shared_source(struct pv_coord *c, const struct pv_conn *s)
{
    if (c->shared.judged || pv_addr_is_loopback(&s->source))
        return;
    if (c->shared.at.family == PV_AF_NONE && pv_addr_is_private(&s->source)) {
        c->shared.at = s->source;
        memcpy(c->shared.node, s->node, sizeof(c->shared.node));
        return;
    }
    if (pv_addr_equal_ip(&c->shared.at, &s->source) &&
        memcmp(c->shared.node, s->node, sizeof(c->shared.node)) == 0)
        return;
    c->shared.judged = true;
    if (pv_addr_equal_ip(&c->shared.at, &s->source))
        pv_log(c->log, PV_LOG_WARN,
               "what=\"all members come from one private address, so this coordinator cannot tell "
               "them their own\" address=%s remedy=\"if something forwards to it, forward without "
               "masquerading, or run the container with the host's network\"",
               PV_IP_STR(&s->source));
}

/* S became a member: counts, presence of its node, the older connection of it ends.
 * PV_ERR_LIMIT, PV_ERR_NOMEM. The steps that can fail go first. The older connection of the node
 * ends last, when presence already belongs to the new one: subscribers see one change of
 * `since`, not offline and online. */
static int enter_member(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    struct pv_conn *old = NULL;
    if (!may_enter(c, s)) {
        count_limit(c, PV_COORD_LIMIT_CONNS);
        return PV_ERR_LIMIT;
    }
    int r = reserve_member(s->net);
    if (r == PV_OK)
        r = pv_broker_online(&c->broker, s, wall_us_at(c, now), &old);
    if (r < 0)
        return r;
    s->state = PV_CONN_MEMBER;
    pv_place_leave(&s->place);
    s->requests = (struct pv_bucket){0}; /* a member's, full; an applicant's was small */
    pv_regulars_note(&c->regulars, &s->source, now);
    if (old == NULL)
        give_back(c, s, now);
    pv_relaylink_seen(c->link, &s->source);
    look_for_shared_source(c, s);
    join_net(s, wall_s_at(c, now));
    wake_subscribers(c, s->net, s->node);
    if (old != NULL)
        end_conn(c, old, PV_CTL_E_REPLACED, "a newer connection of this node took over", now);
    return PV_OK;
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
    while (bulk_is_behind(s) && !s->log.stalled && !s->dead)
        bulk_send_page(c, s, now);
    if (m != NULL && m->state == PV_MEMBER_LEFT)
        end_conn(c, s, PV_CTL_E_LEFT, pv_answer_text(PV_CTL_E_LEFT), now);
    else
        end_conn(c, s, PV_CTL_E_REVOKED, "this node was removed from the network", now);
}

static void enter_gone(struct pv_coord *c, struct pv_cnet *net)
{
    if (net->is_going)
        return;
    net->is_going = true;
    PV_LIST_ADD_BY(c->gone, net, prev_going, next_going);
}

static void leave_gone(struct pv_coord *c, struct pv_cnet *net)
{
    if (!net->is_going)
        return;
    PV_LIST_DEL_BY(c->gone, net, prev_going, next_going);
    net->is_going = false;
}

/* Ends the connections of some of those in net->gone; of the others in later turns. First the
 * relay, so that nothing of theirs is relayed any more, then their connection. One that has
 * expired and is connected renews itself at once, and one may have come back before it was its
 * turn here: by a word about the removal that is dated before it. */
static void gone_drop(struct pv_coord *c, struct pv_cnet *net, pv_ns now)
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
    leave_gone(c, net);
    if (net->n_gone > 0)
        enter_gone(c, net);
}

/* Whose turn it would be. */
static struct pv_cnet *gone_next(const struct pv_coord *c)
{
    struct pv_cnet *net = c->gone;
    while (net != NULL && net->resting)
        net = net->next_going;
    return net;
}

/* The same for the network that waits longest; which one it was. NULL: none waits, or they rest. */
static struct pv_cnet *gone_handle_timeout(struct pv_coord *c, pv_ns now)
{
    struct pv_cnet *net = gone_next(c);
    if (net != NULL)
        gone_drop(c, net, now);
    return net;
}

/* --- hello: the first request of a connection ------------------------------------------------- */

/* Judges a hello; *ret_net is set for everybody but the creator of a network. The signature covers
 * the hash of this connection's handshake, so an attacker cannot use a hello from another
 * connection. */
static enum pv_ctl_error judge_hello(struct pv_coord *c, struct pv_conn *s,
                                     const struct pv_ctl_hello *h, pv_ns now,
                                     struct pv_cnet **ret_net)
{
    *ret_net = NULL;
    if (h->v > PV_CTL_VERSION)
        return PV_CTL_E_VERSION;
    if (h->v != PV_CTL_VERSION)
        return PV_CTL_E_BAD_REQUEST;
    if (pv_ctl_hello_verify(h, s->hash) != PV_OK)
        return PV_CTL_E_BAD_SIGNATURE;
    if (!h->has_network)
        return h->role == PV_CTL_APPLICANT ? PV_CTL_E_NONE : PV_CTL_E_BAD_REQUEST;
    struct pv_cnet *net = pv_registry_find(&c->registry, h->network);
    if (net == NULL || (c->homes.on && net->dropping))
        return PV_CTL_E_UNKNOWN_NETWORK;
    *ret_net = net;
    const struct pv_member *known = pv_roster_known(net->roster, h->node);
    /* The members are not decided yet, and a node would believe that it is none. */
    if (net->unsettled && (known != NULL || h->role == PV_CTL_MEMBER) &&
        pv_roster_enrolled(net->roster, h->node) == NULL)
        return PV_CTL_E_STORAGE;
    /* Removed nodes are told so even as applicants: with the same key they cannot come back. */
    if (known != NULL && known->state == PV_MEMBER_REVOKED)
        return PV_CTL_E_REVOKED;
    if (h->role == PV_CTL_APPLICANT)
        return PV_CTL_E_NONE;
    /* A member that has expired renews its membership by what it puts. */
    const struct pv_member *m = pv_roster_enrolled(net->roster, h->node);
    if (m == NULL)
        return known != NULL && known->state == PV_MEMBER_LEFT ? PV_CTL_E_LEFT
                                                               : PV_CTL_E_UNKNOWN_NODE;
    /* Whose it is, the identity says, which signed this handshake. The transport key that made it
     * may be one that nobody has heard of: a machine that lost its file of keys, or was set back to
     * an older one, has no other way to tell its next key (adr/0033). */
    if (m->state != PV_MEMBER_WAITING)
        return PV_CTL_E_NONE;
    /* It asks again from time to time: so it learns of its admission, and costs no place. */
    pv_askers_note(net, h->node, &s->source, wall_us_at(c, now));
    return PV_CTL_E_WAITING;
}

/* Some errors mean something more exact in an answer to hello. */
static const char *hello_error_text(enum pv_ctl_error error)
{
    switch (error) {
    case PV_CTL_E_UNKNOWN_NETWORK:
        return "this coordinator does not serve that network";
    case PV_CTL_E_UNKNOWN_NODE:
        /* Others tell a restored coordinator. The node knows how long that may take, and what then.
         */
        return "this coordinator knows no such member";
    case PV_CTL_E_WAITING:
        return "no admin has admitted this node yet";
    default:
        return pv_answer_text(error);
    }
}

/*
 * Goes over to hybrid keys with a node that offered them, so that the welcome is under these
 * already. Only a hello that was let in gets here: the work is once a connection, and a part of
 * what the handshake cost. A key that is none ends the connection; without memory or with a crypto
 * library that fails it stays as it is, which the node sees.
 */
static enum pv_ctl_error become_hybrid(struct pv_coord *c, struct pv_conn *s,
                                       const struct pv_ctl_hello *h)
{
    uint8_t ct[PV_KEM_CT_LEN];
    struct pv_control_keys keys;
    if (c->kem == NULL || h->mlkem768.len == 0)
        return PV_CTL_E_NONE;
    int r = pv_control_answer(s->control, c->kem, &c->rng, h->mlkem768, ct, &keys);
    if (r != PV_OK)
        return r == PV_ERR_MALFORMED ? PV_CTL_E_BAD_REQUEST : PV_CTL_E_NONE;
    struct pv_ctl_msg m = {.kind = PV_CTL_PUSH, .type = PV_CTL_HYBRID};
    m.u.hybrid.mlkem768 = pv_view(ct, sizeof(ct));
    pv_answer_send(s, &m);
    pv_control_rekey(s->control, &keys);
    return PV_CTL_E_NONE;
}

/* Several coordinators share the store, and the network is not here: the connection waits until it
 * is known whose it is. */
static void seek(struct pv_coord *c, struct pv_conn *s, struct pv_ctl_msg *msg, pv_ns now)
{
    s->held = msg;
    c->homes.full = pv_registry_is_full(&c->registry);
    const struct pv_ctl_hello *h = &msg->u.hello;
    const uint8_t *pleader = pv_homes_pleads(&c->homes, s->transport, now) ? h->node : NULL;
    if (pv_homes_seek(&c->homes, h->network, s->id, pleader, now) == PV_OK)
        s->state = PV_CONN_SEEKING;
    else
        refuse_request(c, s, PV_CTL_E_STORAGE, "too many networks are looked for; try again later",
                       now);
}

/* The answer to a node that is let in. The cursor in a member's hello says how far it has the log;
 * it pulls the rest, and pushes begin where that ends. */
static void welcome(struct pv_coord *c, struct pv_conn *s, const struct pv_ctl_msg *msg,
                    struct pv_cnet *net, pv_ns now)
{
    const struct pv_ctl_hello *h = &msg->u.hello;
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_WELCOME);
    struct pv_turnauth_creds creds;
    memcpy(s->node, h->node, sizeof(s->node));
    s->net = net;
    m.u.welcome = (struct pv_ctl_welcome){.time_us = wall_us_at(c, now),
                                          .n_stun = c->policy.n_stun,
                                          .stun = c->policy.stun,
                                          .has_tls = c->has_tls,
                                          .tls = c->tls};
    if (net != NULL)
        m.u.welcome.coordinators = pv_cnet_coordinators(net);
    if (h->role == PV_CTL_APPLICANT) {
        s->state = PV_CONN_APPLICANT;
        pv_answer_send(s, &m);
        return;
    }
    m.u.welcome.have = pv_cnet_end(net);
    s->log.at = pv_cnet_seek(net, &h->have);
    if (enter_member(c, s, now) < 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_FULL, NULL);
        end_conn(c, s, PV_CTL_E_FULL, pv_answer_text(PV_CTL_E_FULL), now);
        return;
    }
    /* Without a relay it is told so; everything else goes on. */
    if (pv_relaylink_online(c->link, net->id, s->node, now, &creds) == PV_OK) {
        m.u.welcome.has_turn = true;
        m.u.welcome.turn = (struct pv_ctl_turn){.user = creds.user,
                                                .password = creds.password,
                                                .realm = PV_TURNAUTH_REALM,
                                                .nonce = creds.nonce};
    }
    pv_answer_send(s, &m);
    pv_wipe(&creds, sizeof(creds));
}

/* Judges a hello and answers it. *msg NULL afterwards: it is kept, and answered later. A wrong
 * hello ends the connection, after the answer that says why. */
static void hello_handle(struct pv_coord *c, struct pv_conn *s, struct pv_ctl_msg **held, pv_ns now)
{
    struct pv_ctl_msg *msg = *held;
    struct pv_cnet *net = NULL;
    enum pv_ctl_error e = judge_hello(c, s, &msg->u.hello, now, &net);
    if (e == PV_CTL_E_UNKNOWN_NETWORK && c->homes.on) {
        *held = NULL; /* until the store says whose it is */
        seek(c, s, msg, now);
        return;
    }
    if (e == PV_CTL_E_NONE)
        e = become_hybrid(c, s, &msg->u.hello);
    if (e == PV_CTL_E_NONE) {
        welcome(c, s, msg, net, now);
        return;
    }
    pv_answer_refuse(s, msg, e, hello_error_text(e));
    c->stats.failed++;
    end_conn(c, s, e, hello_error_text(e), now);
}

/* --- requests -------------------------------------------------------------------------------- */

/* A row of the table at the end says for each request who may ask it and which function answers.
 * Every request gets exactly one answer, at once or when the store has answered. */

enum {
    APPLICANT_RATE =
        5, /* ours: requests a second of a connection that is no member's: a join is four */
    APPLICANT_BURST = 50, /* ours: of them at once */
};

/* One request on its way through its handler. */
struct request {
    struct pv_coord *c;
    struct pv_conn *s;
    struct pv_ctl_msg *msg; /* NULL: another one has taken it and answers later */
    pv_ns now;
};

static void handle_hello(struct request *q)
{
    hello_handle(q->c, q->s, &q->msg, q->now);
}

/* --- statements ------------------------------------------------------------------------------ */

/* The node says where it stands, and is believed: a lie only brings it statements that it has
 * already. The page is made in its turn. */
static void handle_pull(struct request *q)
{
    struct pv_conn *s = q->s;
    size_t at = pv_cnet_seek(s->net, &q->msg->u.pull);
    bool goes_on = s->log.state == PV_CONN_LOG_PAGING && at == s->log.at;
    s->log.at = at;
    s->log.pull_id = q->msg->id;
    bulk_want(q->c, s, goes_on);
}

/* Gives an applicant the chain from the network's root to its invite, which it checks before it
 * signs anything. */
static void handle_fetch(struct request *q)
{
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_STATEMENTS);
    size_t n = pv_cnet_chain(s->net, msg->u.fetch.invite, items);
    if (n == 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_UNKNOWN_INVITE, NULL);
        return;
    }
    m.u.statements = (struct pv_ctl_statements){.n = n, .items = items};
    pv_answer_send(s, &m);
}

/* --- what goes through the store ------------------------------------------------------------- */

/* A create with the secret of the URL is always allowed; with --open one without it is, within the
 * rate of its source. The comparison takes the same time for every wrong secret, or it could be
 * guessed byte by byte. */
static bool may_create(struct pv_coord *c, const struct pv_conn *s, const struct pv_ctl_put *put,
                       pv_ns now, enum pv_ctl_error *ret_error)
{
    *ret_error = PV_CTL_E_NOT_ALLOWED;
    if (put->has_secret && pv_ct_equal(put->secret, c->secret, PV_CTL_SECRET_LEN))
        return true;
    if (!c->policy.switches.open)
        return false;
    *ret_error = PV_CTL_E_LIMIT;
    if (pv_bucket_table_take(c->creates, &s->source, 1, now))
        return true;
    count_limit(c, PV_COORD_LIMIT_CREATES);
    return false;
}

/* All members of a network share one bucket, so that a network cannot get more by having many
 * members. */
static bool network_has_room(struct pv_coord *c, struct pv_cnet *net, uint32_t n, pv_ns now)
{
    if (pv_bucket_take(&net->work, c->limits.network_rate, c->limits.network_burst, n, now))
        return true;
    count_limit(c, PV_COORD_LIMIT_NETWORK);
    return false;
}

/* The answer to statements that a wrong clock would have dated. */
static const char clock_text[] = "the coordinator's clock differs from its database's: nothing is "
                                 "stored until the one that is wrong is set";

/* Hands the request to the registry, which answers through request_done(). */
static void handle_change(struct request *q)
{
    struct pv_coord *c = q->c;
    struct pv_conn *s = q->s;
    struct pv_ctl_msg *msg = q->msg;
    enum pv_ctl_error e = PV_CTL_E_NONE;
    if (pv_coord_ahead(c, q->now) != 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_STORAGE, clock_text);
        return;
    }
    if (msg->type == PV_CTL_CREATE && !may_create(c, s, &msg->u.put, q->now, &e)) {
        pv_answer_refuse(s, msg, e,
                         e == PV_CTL_E_LIMIT ? NULL
                                             : "creating a network needs this coordinator's URL");
        return;
    }
    /* A create has no network yet; its own bucket was looked at above. An applicant's comes after
     * its invite was looked at (cnet_judge.c). */
    if (s->state == PV_CONN_MEMBER &&
        !network_has_room(c, s->net, (uint32_t)msg->u.put.n, q->now)) {
        pv_answer_refuse(s, msg, PV_CTL_E_LIMIT, NULL);
        return;
    }
    struct pv_work *work = NULL;
    if (pv_work_new(msg, &work) < 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_STORAGE, NULL);
        return;
    }
    q->msg = NULL; /* the work's */
    work->conn = s->id;
    work->net = msg->type == PV_CTL_CREATE ? NULL : s->net;
    memcpy(work->joiner.node, s->node, sizeof(work->joiner.node));
    memcpy(work->joiner.transport, s->transport, sizeof(work->joiner.transport));
    s->working = true;
    pv_registry_submit(&c->registry, work, wall_s_at(c, q->now), q->now);
}

/* Is it an applicant's word about itself: that it joined at another coordinator of the network,
 * with that one's receipt, or that it leaves? */
static bool is_own_word(const struct pv_conn *s, const struct pv_ctl_item *item)
{
    struct pv_statement st;
    if (pv_statement_decode(item->statement, &st) != PV_OK)
        return false;
    return st.type == PV_ST_MEMBER
               ? item->receipt.len > 0 && memcmp(st.u.member.node, s->node, PV_SIGN_PK_LEN) == 0
               : st.type == PV_ST_LEAVE && memcmp(st.signer, s->node, PV_SIGN_PK_LEN) == 0;
}

/* Its word may rest on statements of another piece of the network: the invite, the record by which
 * the receipt counts, and the grants of the admins who made them. */
static bool is_proof(const struct pv_ctl_item *item)
{
    struct pv_statement st;
    return pv_statement_decode(item->statement, &st) == PV_OK &&
           (pv_st_does(&st, PV_DOES_GRANT) || pv_st_does(&st, PV_DOES_INVITE) ||
            pv_st_does(&st, PV_DOES_APPOINT));
}

/* An applicant that joined where the network was before is known to nobody here, and nobody else
 * brings its word. */
static bool may_put(const struct pv_conn *s, const struct pv_ctl_put *put)
{
    if (s->state != PV_CONN_APPLICANT)
        return true;
    if (put->n < 1 || put->n > PV_CTL_APPLICANT_ITEMS || !is_own_word(s, &put->items[put->n - 1]))
        return false;
    for (size_t i = 0; i + 1 < put->n; i++)
        if (!is_proof(&put->items[i]))
            return false;
    return true;
}

/* A member brings whatever it has. */
static void handle_put(struct request *q)
{
    struct pv_conn *s = q->s;
    const struct pv_ctl_put *put = &q->msg->u.put;
    if (!may_put(s, put)) {
        pv_answer_refuse(s, q->msg, PV_CTL_E_NOT_ALLOWED, "an applicant may only join or create");
        return;
    }
    if (s->state == PV_CONN_APPLICANT &&
        !pv_bucket_take(&s->net->strays, PV_CNET_STRAY_RATE, PV_CNET_STRAY_BURST, (uint32_t)put->n,
                        q->now)) {
        pv_answer_refuse(s, q->msg, PV_CTL_E_LIMIT, NULL);
        return;
    }
    handle_change(q);
}

/* The operator's log has names of networks and nodes, and nothing else of them. */
static void log_done(const struct pv_coord *c, const struct pv_work *work)
{
    struct pv_statement st;
    if (work->error != PV_CTL_E_NONE || work->net == NULL)
        return;
    const char *network = pv_roster_network(work->net->roster)->name;
    if (work->msg->type == PV_CTL_CREATE)
        pv_log(c->log, PV_LOG_INFO, "network created name=%s", network);
    else if (work->msg->type == PV_CTL_REGISTER &&
             pv_statement_decode(work->registered, &st) == PV_OK)
        pv_log(c->log, PV_LOG_INFO, "node joined network=%s name=%s node=%s", network,
               st.u.member.name, PV_KEY_STR(work->joiner.node));
}

/* Answers a finished work and takes it; s is NULL when its connection is gone. The connection
 * may be gone by now; the change is stored all the same, and the node that comes back finds it. */
static void request_done(struct pv_coord *c, struct pv_conn *s, struct pv_work *work, pv_ns now)
{
    log_done(c, work);
    if (work->error == PV_CTL_E_FULL || work->error == PV_CTL_E_LIMIT)
        count_limit(c, work->error == PV_CTL_E_FULL ? PV_COORD_LIMIT_FULL : PV_COORD_LIMIT_NETWORK);
    if (s == NULL || s->state == PV_CONN_CLOSING) {
        pv_work_free(work);
        return;
    }
    s->working = false;
    const struct pv_member *joined =
        work->net == NULL ? NULL : pv_roster_known(work->net->roster, s->node);
    if (joined != NULL && joined->state == PV_MEMBER_WAITING)
        pv_askers_note(work->net, s->node, &s->source, wall_us_at(c, now));
    if (work->error != PV_CTL_E_NONE) {
        pv_answer_refuse(s, work->msg, work->error, NULL);
    } else if (work->msg->type == PV_CTL_REGISTER) {
        struct pv_ctl_msg m = pv_answer_to(work->msg, PV_CTL_REGISTERED);
        m.u.registered.item =
            (struct pv_ctl_item){.statement = work->registered, .receipt = work->receipt};
        pv_answer_send(s, &m);
    } else {
        struct pv_ctl_msg m = pv_answer_to(work->msg, PV_CTL_RECEIPTS);
        m.u.receipts = (struct pv_ctl_receipts){.n = work->n_results, .results = work->results};
        pv_answer_send(s, &m);
    }
    pv_work_free(work);
}

/* --- joining --------------------------------------------------------------------------------- */

/* A join is signed with its invite's key, over the hash of this connection's handshake, so an
 * attacker cannot use one from another connection. It reserves a name and an address; nothing is
 * stored before the registration. */
static void handle_join(struct request *q)
{
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    const struct pv_ctl_join *j = &msg->u.join;
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_RESERVATION);
    enum pv_ctl_error e = PV_CTL_E_NONE;
    if (memcmp(j->node, s->node, sizeof(s->node)) != 0)
        e = PV_CTL_E_BAD_REQUEST;
    else if (pv_ctl_join_verify(j, s->hash) != PV_OK)
        e = PV_CTL_E_BAD_SIGNATURE;
    else if (pv_coord_ahead(q->c, q->now) != 0)
        e = PV_CTL_E_STORAGE;
    else
        e = pv_cnet_join(s->net, j, pv_registry_time(s->net, wall_s_at(q->c, q->now)), q->now,
                         &m.u.reservation);
    if (e == PV_CTL_E_FULL || e == PV_CTL_E_LIMIT)
        count_limit(q->c, e == PV_CTL_E_FULL ? PV_COORD_LIMIT_FULL : PV_COORD_LIMIT_NETWORK);
    if (e != PV_CTL_E_NONE)
        pv_answer_refuse(s, msg, e, NULL);
    else
        pv_answer_send(s, &m);
}

/* --- presence and signals -------------------------------------------------------------------- */

/* A node may also subscribe to one that is not known here (any more): after an old backup was
 * restored members know more than the coordinator, and bring it later. The limit ends the request
 * in the middle; its earlier subscriptions stay. */
static void handle_subscribe(struct request *q)
{
    struct pv_coord *c = q->c;
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    const struct pv_ctl_subscribe *sub = &msg->u.subscribe;
    struct pv_ctl_presence nodes[PV_CTL_NODES_MAX];
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_PRESENCE);
    for (size_t i = 0; i < sub->n; i++) {
        if (!sub->on) {
            pv_broker_unsubscribe(&c->broker, s, sub->nodes[i]);
        } else {
            int r = s->n_subs < c->limits.subscriptions
                        ? pv_broker_subscribe(&c->broker, s, sub->nodes[i])
                        : PV_ERR_LIMIT;
            if (r < 0) {
                count_limit(c, PV_COORD_LIMIT_SUBSCRIPTIONS);
                pv_answer_refuse(s, msg, PV_CTL_E_LIMIT,
                                 "too many subscriptions on this connection");
                return;
            }
        }
        nodes[i] = pv_broker_presence(&c->broker, s->net, sub->nodes[i]);
    }
    m.u.presence = (struct pv_ctl_presences){.n = sub->n, .nodes = nodes};
    pv_answer_send(s, &m);
}

/* Sets the presence of one phone. Only the phone's gateway may say that it is online. */
static enum pv_ctl_error take_phone(struct request *q, const struct pv_ctl_phone *x)
{
    struct pv_conn *s = q->s;
    const struct pv_member *m = pv_roster_by_node(s->net->roster, x->node);
    const struct pv_member *by = m == NULL ? NULL : pv_roster_gateway(s->net->roster, m);
    if (x->online && (by == NULL || memcmp(by->node, s->node, sizeof(by->node)) != 0))
        return PV_CTL_E_NOT_ALLOWED;
    if (set_phone(q->c, s, x->node, x->online, q->now) == PV_OK)
        return PV_CTL_E_NONE;
    count_limit(q->c, PV_COORD_LIMIT_SUBSCRIPTIONS);
    return PV_CTL_E_LIMIT;
}

/* Takes each word that counts; the answer is the last reason for which one does not. */
static void handle_phones(struct request *q)
{
    const struct pv_ctl_phones *list = &q->msg->u.phones;
    struct pv_ctl_msg m = pv_answer_to(q->msg, PV_CTL_DONE);
    enum pv_ctl_error error = PV_CTL_E_NONE;
    for (size_t i = 0; i < list->n; i++) {
        enum pv_ctl_error one = take_phone(q, &list->nodes[i]);
        error = one == PV_CTL_E_NONE ? error : one;
    }
    if (error == PV_CTL_E_NOT_ALLOWED)
        pv_answer_refuse(q->s, q->msg, error, "this node is not the gateway of that phone");
    else if (error != PV_CTL_E_NONE)
        pv_answer_refuse(q->s, q->msg, error, NULL);
    else
        pv_answer_send(q->s, &m);
}

/* The connection of the next member online at this place or behind; *i is its place. NULL: none. A
 * connection that was replaced does not count. */
static const struct pv_conn *next_online(const struct pv_cnet *net, size_t *i)
{
    while (*i < net->n_members && net->members[*i]->bnode == NULL)
        (*i)++;
    return *i < net->n_members ? net->members[*i] : NULL;
}

/* Answers with one page of the members that are online, phones among them, in ascending order;
 * `more` says that another page follows behind its last key. */
static void handle_list(struct request *q)
{
    const struct pv_cnet *net = q->s->net;
    struct pv_ctl_presence nodes[PV_CTL_NODES_MAX];
    struct pv_ctl_msg m = pv_answer_to(q->msg, PV_CTL_PRESENCE);
    const struct pv_ctl_list *list = &q->msg->u.list;
    const struct pv_bnode *phone = net->phones;
    size_t n = 0, i = list->has_after ? first_behind(net, list->after) : 0;
    while (list->has_after && phone != NULL &&
           memcmp(phone->key.node, list->after, sizeof(list->after)) <= 0)
        phone = phone->phone_next;
    const struct pv_conn *o = next_online(net, &i);
    for (; n < PV_CTL_NODES_MAX && (o != NULL || phone != NULL); n++) {
        int order = o == NULL       ? 1
                    : phone == NULL ? -1
                                    : memcmp(o->node, phone->key.node, PV_SIGN_PK_LEN);
        nodes[n] = pv_broker_presence(&q->c->broker, net, order <= 0 ? o->node : phone->key.node);
        i += order <= 0 ? 1 : 0;
        o = next_online(net, &i);
        phone = order >= 0 ? phone->phone_next : phone;
    }
    m.u.presence =
        (struct pv_ctl_presences){.n = n, .nodes = nodes, .more = o != NULL || phone != NULL};
    pv_answer_send(q->s, &m);
}

/* A signal is passed on at once or refused: it describes addresses of now, so nobody would want it
 * later. The coordinator names the sender, whose key it knows; the content is sealed to the
 * receiver. */
static void handle_signal(struct request *q)
{
    struct pv_coord *c = q->c;
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    const struct pv_ctl_signal *sig = &msg->u.signal;
    struct pv_ctl_msg m = pv_answer_to(msg, PV_CTL_DONE);
    struct pv_ctl_msg push = {.kind = PV_CTL_PUSH, .type = PV_CTL_SIGNAL, .u.signal = *sig};
    struct pv_conn *to = pv_broker_find(&c->broker, s->net, sig->node);
    if (!pv_bucket_take(&s->signals, c->limits.signal_rate, c->limits.signal_burst, 1, q->now)) {
        count_limit(c, PV_COORD_LIMIT_SIGNALS);
        pv_answer_refuse(s, msg, PV_CTL_E_LIMIT, NULL);
        return;
    }
    if (to == NULL) {
        if (pv_roster_by_node(s->net->roster, sig->node) == NULL)
            pv_answer_refuse(s, msg, PV_CTL_E_UNKNOWN_NODE, "no such member");
        else
            pv_answer_refuse(s, msg, PV_CTL_E_OFFLINE, "that node is not connected");
        return;
    }
    memcpy(push.u.signal.node, s->node, PV_SIGN_PK_LEN);
    if (!pv_conn_has_push_room(to) || pv_conn_send(to, &push) < 0) {
        pv_answer_refuse(s, msg, PV_CTL_E_BUSY, "that node reads too slowly; try again later");
        return;
    }
    c->stats.signals++;
    mark_ready(c, to);
    pv_answer_send(s, &m);
}

/* The store answers KEEP and COLLECT. They share the bucket of signals, as both are messages from
 * node to node. */
static void handle_copy(struct request *q)
{
    struct pv_conn *s = q->s;
    const struct pv_ctl_msg *msg = q->msg;
    enum pv_ctl_error error = PV_CTL_E_LIMIT;
    if (pv_bucket_take(&s->signals, q->c->limits.signal_rate, q->c->limits.signal_burst, 1, q->now))
        error = pv_copies_ask(&q->c->copies, s, msg, wall_s_at(q->c, q->now));
    if (error == PV_CTL_E_NONE)
        return;
    if (error == PV_CTL_E_LIMIT || error == PV_CTL_E_BUSY)
        count_limit(q->c, PV_COORD_LIMIT_SIGNALS);
    pv_answer_refuse(s, msg, error, NULL);
}

/* --- logs ------------------------------------------------------------------------------------ */

static void handle_submit(struct request *q)
{
    pv_logs_tick(&q->c->logs, wall_s_at(q->c, q->now), q->now);
    if (pv_coord_ahead(q->c, q->now) != 0)
        pv_answer_refuse(q->s, q->msg, PV_CTL_E_STORAGE, clock_text);
    else if (!network_has_room(q->c, q->s->net, (uint32_t)q->msg->u.submit.n, q->now))
        pv_answer_refuse(q->s, q->msg, PV_CTL_E_LIMIT, NULL);
    else
        pv_logs_submit(&q->c->logs, q->s, q->msg);
}

static void handle_log(struct request *q)
{
    pv_logs_tick(&q->c->logs, wall_s_at(q->c, q->now), q->now);
    pv_logs_log(&q->c->logs, q->s, q->msg);
}

static void handle_entries(struct request *q)
{
    pv_logs_tick(&q->c->logs, wall_s_at(q->c, q->now), q->now);
    pv_logs_entries(&q->c->logs, q->s, q->msg);
}

static struct pv_conn *find_for_logs(void *ctx, uint64_t conn)
{
    return find_conn(ctx, conn);
}

static void mark_for_logs(void *ctx, struct pv_conn *s)
{
    mark_ready(ctx, s);
}

static struct pv_logs_out logs_out(struct pv_coord *c)
{
    return (struct pv_logs_out){.ctx = c, .find = find_for_logs, .mark = mark_for_logs};
}

/* The list of nodes that wait to be admitted, and from where, is for those who can admit them. */
static void handle_askers(struct request *q)
{
    struct pv_conn *s = q->s;
    struct pv_ctl_asker askers[PV_CTL_ASKERS_MAX];
    struct pv_ctl_msg m = pv_answer_to(q->msg, PV_CTL_ASKED);
    if ((pv_roster_rights(s->net->roster, s->node) & PV_RIGHT_INVITE) == 0) {
        pv_answer_refuse(s, q->msg, PV_CTL_E_NOT_ALLOWED, "for admins only");
        return;
    }
    m.u.asked.n = pv_askers_list(s->net, askers);
    m.u.asked.askers = askers;
    pv_answer_send(s, &m);
}

/* The time in the answer tells a node how wrong its clock is. */
static void handle_ping(struct request *q)
{
    struct pv_ctl_msg m = pv_answer_to(q->msg, PV_CTL_PONG);
    m.u.pong.time_us = wall_us_at(q->c, q->now);
    pv_answer_send(q->s, &m);
}

/* --- the table ------------------------------------------------------------------------------- */

enum asker {
    NEWCOMER, /* no hello yet */
    ANYBODY,  /* after its hello */
    CREATOR,  /* an applicant that named no network */
    JOINER,   /* an applicant of a network */
    MEMBER,
    OF_NETWORK, /* a member, or an applicant */
};

/* One row for each request that lib/proto/control/ctlmsg.c can read (checked by test_coord). */
static const struct request_handler {
    enum asker asker;
    bool changes; /* goes through the store: a connection has one such request at a time */
    void (*handle)(struct request *q);
} handlers[PV_CTL_TYPE_COUNT] = {
    [PV_CTL_HELLO] = {NEWCOMER, false, handle_hello},
    [PV_CTL_PUT] = {OF_NETWORK, true, handle_put},
    [PV_CTL_PULL] = {MEMBER, false, handle_pull},
    [PV_CTL_SUBSCRIBE] = {MEMBER, false, handle_subscribe},
    [PV_CTL_LIST] = {MEMBER, false, handle_list},
    [PV_CTL_SIGNAL] = {MEMBER, false, handle_signal},
    [PV_CTL_PING] = {ANYBODY, false, handle_ping},
    [PV_CTL_FETCH] = {JOINER, false, handle_fetch},
    [PV_CTL_JOIN] = {JOINER, false, handle_join},
    [PV_CTL_REGISTER] = {JOINER, true, handle_change},
    [PV_CTL_KEEP] = {MEMBER, false, handle_copy},
    [PV_CTL_COLLECT] = {MEMBER, false, handle_copy},
    [PV_CTL_CREATE] = {CREATOR, true, handle_change},
    [PV_CTL_ASKERS] = {MEMBER, false, handle_askers},
    [PV_CTL_PHONES] = {MEMBER, false, handle_phones},
    [PV_CTL_SUBMIT] = {MEMBER, false, handle_submit},
    [PV_CTL_LOG] = {MEMBER, false, handle_log},
    [PV_CTL_ENTRIES] = {MEMBER, false, handle_entries},
};

bool pv_coord_serves(enum pv_ctl_type type)
{
    return handlers[type].handle != NULL;
}

/* Does this message have to wait for the request under way? */
static bool request_must_wait(const struct pv_conn *s, const struct pv_ctl_msg *msg)
{
    /* An applicant has one request at a time; a member's pings and signals pass a slow disk. Of
     * pages one is under way, as each says where the node stands. */
    if (s->state == PV_CONN_SEEKING || (msg->type == PV_CTL_PULL && s->log.pull_id != 0))
        return true;
    return s->working && (s->state == PV_CONN_APPLICANT || handlers[msg->type].changes);
}

/* The state of the connection says which kind of asker its node is; there is exactly one besides
 * ANYBODY. */
static bool is_allowed(const struct pv_conn *s, enum asker asker)
{
    switch (asker) {
    case NEWCOMER:
        return s->state == PV_CONN_HELLO;
    case ANYBODY:
        return true;
    case CREATOR:
        return s->state == PV_CONN_APPLICANT && s->net == NULL;
    case JOINER:
        return s->state == PV_CONN_APPLICANT && s->net != NULL;
    case MEMBER:
        return s->state == PV_CONN_MEMBER;
    case OF_NETWORK:
        return s->net != NULL;
    }
    return false;
}

/* Is the request within the connection's rate? A client that does not back off is ended. */
static bool has_rate(struct pv_coord *c, struct pv_conn *s, const struct pv_ctl_msg *msg, pv_ns now)
{
    bool known = s->state == PV_CONN_MEMBER;
    if (pv_bucket_take(&s->requests, known ? c->limits.request_rate : APPLICANT_RATE,
                       known ? c->limits.request_burst : APPLICANT_BURST, 1, now)) {
        c->stats.requests++;
        return true;
    }
    count_limit(c, PV_COORD_LIMIT_REQUESTS);
    pv_answer_refuse(s, msg, PV_CTL_E_LIMIT, NULL);
    if (++s->refusals > PV_CONN_REFUSALS_MAX)
        end_conn(c, s, PV_CTL_E_LIMIT, "too many requests for too long", now);
    return false;
}

/* Works on one message and takes it. Never while s->working and the message changes something:
 * see request_must_wait(). The checks go from those that every request has to pass to those
 * of this one. The rate counts refused requests too: refusing costs as well. */
static void request_handle(struct pv_coord *c, struct pv_conn *s, struct pv_ctl_msg *msg, pv_ns now)
{
    struct request q = {.c = c, .s = s, .msg = msg, .now = now};
    const struct request_handler *h = &handlers[msg->type];
    if (msg->kind != PV_CTL_REQUEST)
        end_conn(c, s, PV_CTL_E_BAD_REQUEST, "only requests come from nodes", now);
    else if (!has_rate(c, s, msg, now))
        ; /* answered */
    else if (msg->type == PV_CTL_INVALID)
        pv_answer_refuse(s, msg, PV_CTL_E_BAD_REQUEST, msg->u.invalid);
    else if (h->handle == NULL)
        pv_answer_refuse(s, msg, PV_CTL_E_UNKNOWN_REQUEST,
                         "this coordinator does not know that request");
    else if ((h->asker == NEWCOMER) != (s->state == PV_CONN_HELLO))
        pv_answer_refuse(s, msg, PV_CTL_E_STATE, "hello comes first, once");
    else if (!is_allowed(s, h->asker))
        pv_answer_refuse(s, msg, PV_CTL_E_NOT_ALLOWED,
                         s->state == PV_CONN_APPLICANT ? "an applicant may only join or create"
                                                       : "for applicants only");
    else
        h->handle(&q);
    pv_ctl_msg_free(q.msg);
}

/* Sends the presence that a member waits for, as far as there is room. Pushes leave room for two
 * answers of any size, so they never block requests. */
static void request_push(struct pv_conn *s)
{
    struct pv_ctl_presence nodes[PV_CTL_NODES_MAX];
    while (s->n_dirty > 0 && pv_conn_has_push_room(s)) {
        struct pv_ctl_msg m = {.kind = PV_CTL_PUSH, .type = PV_CTL_PRESENCE};
        m.u.presence.n = pv_broker_take_news(s, nodes, PV_CTL_NODES_MAX);
        m.u.presence.nodes = nodes;
        if (pv_conn_send(s, &m) < 0) {
            s->dead = true;
            return;
        }
    }
}

/* --- bytes that come in, and works that let them wait ----------------------------------------- */

/* Nothing more is worked on while a request waits for the one before it, or while the longest
 * answer might not fit: the bytes stay in the socket, and TCP slows the sender down. */
static bool is_blocked(const struct pv_conn *s)
{
    if (s->state == PV_CONN_CLOSING || s->dead || s->held != NULL)
        return true;
    if (s->state == PV_CONN_MEMBER && s->net->resting)
        return true;
    return s->stun != NULL ? pv_stunconn_is_slow(s->stun)
                           : pv_control_room(s->control) < PV_CONN_ROOM_MIN;
}

/* Keeps bytes that were read but cannot be worked on now. The owner reads no more while there are
 * any, so there is one such buffer, of at most one read. */
static void stash(struct pv_coord *c, struct pv_conn *s, struct pv_view rest, pv_ns now)
{
    if (s->state == PV_CONN_CLOSING || s->dead)
        return;
    uint8_t *in = rest.len > PV_CONN_IN_MAX ? NULL : malloc(rest.len);
    if (in == NULL) {
        drop_conn(c, s, now);
        return;
    }
    memcpy(in, rest.ptr, rest.len);
    s->in = in;
    s->in_len = rest.len;
}

/* A message that is no JSON of this protocol ends the connection: two programs that misunderstand
 * each other once would do so again. */
static void handle_text(struct pv_coord *c, struct pv_conn *s, struct pv_view text, pv_ns now)
{
    struct pv_ctl_msg *msg = NULL;
    int r = pv_ctl_parse(text, &msg);
    if (r < 0) {
        c->stats.failed++;
        end_conn(c, s, PV_CTL_E_BAD_REQUEST, "not a message of this protocol", now);
    } else if (request_must_wait(s, msg)) {
        s->held = msg;
    } else {
        request_handle(c, s, msg, now);
    }
}

/* The handshake is done. Hello signs its hash, which binds the identity to this very connection. */
static void note_handshake(struct pv_conn *s)
{
    if (s->state != PV_CONN_OPENING || pv_control_state(s->control) != PV_CONTROL_READY)
        return;
    pv_place_begin(&s->place);
    if (pv_control_handshake_hash(s->control, s->hash) == PV_OK &&
        pv_control_remote_static(s->control, s->transport) == PV_OK)
        s->state = PV_CONN_HELLO;
}

/* Passes messages of a stream that speaks STUN or TURN to the relay, which answers as by UDP, out
 * of the same buckets. A message that is too long is passed over for a client that relays, as UDP
 * would lose it; for a stranger it ends the connection. */
static void feed_stun(struct pv_coord *c, struct pv_conn *s, struct pv_view data, pv_ns now)
{
    while (data.len > 0 && !is_blocked(s)) {
        size_t used = 0;
        struct pv_view message;
        int r = pv_stunconn_handle_bytes(s->stun, data, &used, &message);
        if (r == PV_ERR_AGAIN)
            return;
        if (r == PV_ERR_MALFORMED || (r == PV_ERR_LIMIT && s->state != PV_CONN_RELAYING)) {
            c->stats.failed++;
            drop_conn(c, s, now);
            return;
        }
        data = pv_view(data.ptr + used, data.len - used);
        if (r == PV_ERR_LIMIT) {
            pv_relaylink_dropped(c->link);
            continue;
        }
        pv_relaylink_message(c->link, s->id, &s->source, &s->local, message);
        pv_stunconn_next(s->stun);
    }
    if (data.len > 0)
        stash(c, s, data, now);
}

/* The first byte of a connection tells its protocol (sniff.h). TLS is the owner's and does not get
 * here; inside it the same is asked again. */
static void begin_protocol(struct pv_coord *c, struct pv_conn *s, uint8_t first, pv_ns now)
{
    enum pv_sniff kind = pv_sniff(first);
    if (kind == PV_SNIFF_CONTROL)
        s->state = PV_CONN_OPENING;
    if (kind == PV_SNIFF_CONTROL || (kind == PV_SNIFF_STUN && pv_conn_become_stun(s) == PV_OK))
        return;
    c->stats.failed++;
    drop_conn(c, s, now);
}

/* Works on messages one by one, and asks after each whether the connection may go on: an answer may
 * have filled its output or ended it. */
static void feed_bytes(struct pv_coord *c, struct pv_conn *s, struct pv_view data, pv_ns now)
{
    if (s->state == PV_CONN_NEW && data.len > 0)
        begin_protocol(c, s, data.ptr[0], now);
    if (s->dead)
        return;
    if (s->stun != NULL) {
        feed_stun(c, s, data, now);
        return;
    }
    while (data.len > 0 && !is_blocked(s)) {
        size_t used = 0;
        struct pv_view text;
        int r = pv_control_handle_bytes(s->control, data, &used);
        data = pv_view(data.ptr + used, data.len - used);
        if (r < 0) {
            c->stats.failed++;
            drop_conn(c, s, now);
            return;
        }
        note_handshake(s);
        if (pv_control_poll_message(s->control, &text) == PV_OK)
            handle_text(c, s, text, now);
    }
    if (data.len > 0)
        stash(c, s, data, now);
}

/* Goes on with what waited, as far as it may now, at its network's cost. The held request first: it
 * came before the bytes. */
static void resume_conn(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    bool waited = s->held != NULL || s->in_len > 0;
    if (s->state == PV_CONN_MEMBER && s->net->resting)
        return;
    if (s->held != NULL && !request_must_wait(s, s->held)) {
        struct pv_ctl_msg *msg = s->held;
        s->held = NULL;
        request_handle(c, s, msg, now);
    }
    if (s->in_len > 0 && !is_blocked(s)) {
        uint8_t *in = s->in;
        size_t len = s->in_len;
        s->in = NULL;
        s->in_len = 0;
        feed_bytes(c, s, pv_view(in, len), now);
        free(in);
    }
    if (waited && s->state == PV_CONN_MEMBER)
        c->billed = s->net;
}

/* Statements that replace others leave empty places behind, without end: these go when they are
 * most of the log. A member's part of the log ends at the same statement as before. Without memory
 * the places stay until the next change. */
static void compact_log(struct pv_cnet *net)
{
    if (!pv_cnet_is_sparse(net))
        return;
    struct pv_ctl_cursor *sent = calloc(net->n_members + 1, sizeof(*sent));
    if (sent == NULL)
        return;
    for (size_t i = 0; i < net->n_members; i++)
        sent[i] = pv_cnet_before(net, net->members[i]->log.at);
    pv_cnet_compact(net);
    for (size_t i = 0; i < net->n_members; i++)
        net->members[i]->log.at = pv_cnet_seek(net, &sent[i]);
    free(sent);
}

/* Answers finished works of the registry, and wakes the members of changed networks. It follows
 * everything that may have reached the registry, so that no answer waits for another event. */
static void settle_works(struct pv_coord *c, pv_ns now)
{
    struct pv_work *work;
    struct pv_cnet *net;
    while ((work = pv_registry_poll_done(&c->registry)) != NULL) {
        struct pv_conn *s = find_conn(c, work->conn);
        request_done(c, s, work, now);
        if (s == NULL)
            continue;
        resume_conn(c, s, now);
        mark_ready(c, s);
    }
    while ((net = pv_registry_poll_changed(&c->registry)) != NULL) {
        gone_drop(c, net, now);
        compact_log(net);
        bulk_news(c, net);
    }
}

void pv_coord_handle_bytes(struct pv_coord *c, uint64_t id, struct pv_view data, pv_ns now)
{
    struct pv_conn *s = find_conn(c, id);
    c->billed = NULL;
    if (s == NULL || s->state == PV_CONN_CLOSING)
        return;
    s->last_rx = now;
    if (s->first_rx == 0)
        s->first_rx = now;
    if (s->in_len > 0)
        /* Bytes came though wants_bytes() is false: a fault of the owner. Nothing may be reordered,
         * so the connection ends. */
        drop_conn(c, s, now);
    else
        feed_bytes(c, s, data, now);
    c->billed = s->state == PV_CONN_MEMBER ? s->net : NULL;
    mark_ready(c, s);
    settle_works(c, now);
}

/* A connection that is held off is looked at again when its network has rested. */
bool pv_coord_wants_bytes(struct pv_coord *c, uint64_t id)
{
    struct pv_conn *s = find_conn(c, id);
    if (s == NULL)
        return false;
    s->held_off = s->in_len > 0 || is_blocked(s);
    return !s->held_off;
}

bool pv_coord_reads_stream(const struct pv_coord *c, uint64_t id)
{
    const struct pv_conn *s = find_conn(c, id);
    return s != NULL && (s->stun == NULL || s->reads_stream);
}

/* --- homes ----------------------------------------------------------------------------------- */

/* Networks come from other coordinators and go to them. A node that knocks for one that is not here
 * waits until the store has said whose it is, and a network that is another coordinator's is let go
 * with its members. */

enum {
    SWEEP_S = 5,       /* ours: between two looks at what is not used */
    IDLE_S = 600,      /* ours: after which a network without members is nobody's */
    BALANCE_S = 3,     /* ours: between two times that some are given to a coordinator with fewer */
    BALANCE_PART = 64, /* ours: one, and one in so many of those that are too many; at most: */
    BALANCE_MAX = 64,
    LEAVE_MAX = 256, /* ours: given away at once, some transactions of the store */
};

static const char moved_text[] = "another coordinator is the home of this network";

/* Ends a connection, and says where to go. A node that comes back is known again. */
static void send_away(struct pv_coord *c, struct pv_conn *s, const struct pv_home_answer *to,
                      pv_ns now)
{
    const char *texts[PV_HOME_ADDRS_MAX];
    struct pv_ctl_failure f = {.error = PV_CTL_E_MOVED, .message = moved_text, .to = texts};
    for (; to != NULL && f.n_to < to->n_to; f.n_to++)
        texts[f.n_to] = to->to[f.n_to];
    pv_homes_tell(&c->homes, s->transport, now);
    c->stats.moved++;
    if (s->held != NULL)
        pv_conn_fail(s, s->held->id, &f);
    end_with(c, s, &f, now);
}

/* --- letting go ------------------------------------------------------------------------------ */

/* A network is not this coordinator's any more. Its connections are ending; what the store is doing
 * for it ends by itself, and where homes come and go its memory is freed when nothing refers to it.
 */
static void forget_net(struct pv_coord *c, struct pv_cnet *net)
{
    if (net->resting)
        pv_heap_set(&c->rests, &net->rest, PV_NEVER);
    net->resting = false;
    c->billed = NULL;
    pv_pages_forget(&c->pages, net);
    pv_logs_forget(&c->logs, net);
    pv_registry_drop(&c->registry, net);
}

/* Its members and applicants are sent to its new home. */
static void let_go(struct pv_coord *c, struct pv_cnet *net, const struct pv_home_answer *to,
                   const char *why, pv_ns now)
{
    pv_log(c->log, PV_LOG_INFO, "home left network=%s why=\"%s\" to=%s",
           pv_roster_network(net->roster)->name, why, to != NULL && to->n_to > 0 ? to->to[0] : "-");
    net->dropping = true;
    for (struct pv_conn *s = c->conns; s != NULL; s = s->hh.next) {
        if (s->net == net && s->state != PV_CONN_CLOSING)
            send_away(c, s, to, now);
    }
    forget_net(c, net);
}

static int by_network(const void *a, const void *b)
{
    return memcmp(((const struct pv_coord_home *)a)->network,
                  ((const struct pv_coord_home *)b)->network, PV_NETWORK_ID_LEN);
}

bool pv_coord_homes_are(struct pv_coord *c, struct pv_coord_home *list, size_t n, pv_ns asked_at,
                        pv_ns now)
{
    struct pv_cnet *net;
    struct pv_cnet *next;
    bool all = true;
    qsort(list, n, sizeof(*list), by_network);
    HASH_ITER(hh, c->registry.nets, net, next) {
        struct pv_coord_home key = {.fence = 0};
        memcpy(key.network, net->id, sizeof(key.network));
        const struct pv_coord_home *h = bsearch(&key, list, n, sizeof(*list), by_network);
        /* One that came since is not in the list yet, and one that goes is told by its own answer.
         */
        if (net->leaving || (h != NULL && h->fence == net->fence))
            continue;
        all &= net->home_at < asked_at;
        if (net->home_at >= asked_at)
            continue;
        c->stats.homes_lost++;
        let_go(c, net, NULL, "another coordinator has taken it", now);
    }
    return all;
}

/* --- seeking --------------------------------------------------------------------------------- */

/* A connection that waited is answered as if it had said hello now. */
static void go_on(struct pv_coord *c, const struct pv_homes_ask *ask, enum pv_home_verdict verdict,
                  const struct pv_home_answer *to, pv_ns now)
{
    for (size_t i = 0; i < ask->n_conns; i++) {
        struct pv_conn *s = find_conn(c, ask->conns[i]);
        if (s == NULL || s->state != PV_CONN_SEEKING)
            continue;
        s->state = PV_CONN_HELLO;
        if (verdict == PV_HOME_TAKE)
            resume_conn(c, s, now);
        else if (verdict == PV_HOME_THERE)
            send_away(c, s, to, now);
        else if (verdict == PV_HOME_NONE)
            refuse_request(c, s, PV_CTL_E_UNKNOWN_NETWORK,
                           "no coordinator here serves that network", now);
        else if (to != NULL && to->verdict == PV_HOME_TAKE) /* its rows were not taken in */
            refuse_request(c, s, PV_CTL_E_FULL, "this coordinator has no room for more networks",
                           now);
        else
            refuse_request(c, s, PV_CTL_E_STORAGE,
                           "the network's home cannot be found out now; try again later", now);
        mark_ready(c, s);
    }
}

/* All rows of a network that became this coordinator's. A row that is damaged is left out; without
 * memory for all of them it has none: what is missing could be a removal. */
static struct pv_cnet *take_in(struct pv_coord *c, const struct pv_homes_ask *ask,
                               const struct pv_home_answer *h, pv_ns now)
{
    int r = PV_OK;
    for (size_t i = 0; r == PV_OK && h->rows != NULL && i < h->rows->n_rows; i++) {
        struct pv_storerow row = h->rows->rows[i];
        r = pv_registry_load(&c->registry, &row);
    }
    for (size_t i = 0; r == PV_OK && h->entries != NULL && i < h->entries->n_rows; i++)
        r = pv_registry_load_entry(&c->registry, &h->entries->rows[i]);
    struct pv_cnet *net = pv_registry_find(&c->registry, ask->network);
    if (r < 0 && net != NULL) {
        let_go(c, net, NULL, "there is no memory for it", now);
        return NULL;
    }
    if (net == NULL)
        return NULL;
    net->fence = h->fence;
    net->home_at = now;
    net->seen_s = wall_s_at(c, now);
    net->pinned = ask->pleads;
    pv_registry_came(&c->registry, net, h->epoch, now);
    c->stats.homes_taken++;
    c->homes_came = true;
    pv_log(c->log, PV_LOG_INFO, "home taken network=%s members=%llu before=%s why=\"%s\"",
           pv_roster_network(net->roster)->name, (unsigned long long)pv_roster_count(net->roster),
           h->was_elsewhere ? "another coordinator" : "nobody", h->why == NULL ? "-" : h->why);
    return net;
}

/* A copy from before is stale: another coordinator may have stored since. One for which there is no
 * room came here because nobody else lives; the status counts these. */
static enum pv_home_verdict take_home(struct pv_coord *c, const struct pv_homes_ask *ask,
                                      const struct pv_home_answer *h, pv_ns now)
{
    struct pv_cnet *stale = pv_registry_find(&c->registry, ask->network);
    if (stale != NULL)
        let_go(c, stale, NULL, "it is read again", now);
    if (pv_registry_is_full(&c->registry)) {
        count_limit(c, PV_COORD_LIMIT_FULL);
        return PV_HOME_WAIT;
    }
    return take_in(c, ask, h, now) != NULL ? PV_HOME_TAKE : PV_HOME_WAIT;
}

/* --- answers --------------------------------------------------------------------------------- */

/* A network that could not be given away goes on here, and is tried again. */
static void left(struct pv_coord *c, const struct pv_homes_ask *ask,
                 const struct pv_storeop_result *result, pv_ns now)
{
    struct pv_cnet *net = pv_registry_find(&c->registry, ask->network);
    if (net == NULL || !net->leaving)
        return;
    if (result->status != PV_OK || result->home == NULL || result->home->verdict == PV_HOME_WAIT) {
        net->leaving = net->dropping = false;
        c->drain_at = now + PV_HOMES_AGAIN;
        return;
    }
    c->stats.homes_given++;
    c->gave_at = now;
    let_go(c, net, result->home,
           ask->why == PV_HOMES_IDLE       ? "nobody uses it"
           : ask->why == PV_HOMES_BALANCED ? "another coordinator has fewer"
                                           : "drained",
           now);
}

/* The store has answered an operation with PV_HOMES_OP. */
static void home_answered(struct pv_coord *c, const struct pv_storeop_result *result, pv_ns now)
{
    struct pv_homes_ask *ask = pv_homes_take(&c->homes, result->id);
    if (ask == NULL)
        return;
    if (ask->leave) {
        left(c, ask, result, now);
        pv_homes_ask_free(ask);
        return;
    }
    bool failed = result->status != PV_OK || result->home == NULL;
    enum pv_home_verdict verdict = failed ? PV_HOME_WAIT : result->home->verdict;
    if (verdict == PV_HOME_TAKE)
        verdict = take_home(c, ask, result->home, now);
    else if (verdict == PV_HOME_WAIT && pv_homes_again(&c->homes, ask, now))
        return;
    go_on(c, ask, verdict, result->home, now);
    pv_homes_ask_free(ask);
}

/* --- time ------------------------------------------------------------------------------------ */

static void leave(struct pv_coord *c, struct pv_cnet *net, enum pv_homes_why why, pv_ns now)
{
    if (net->leaving || net->dropping || pv_homes_leave(&c->homes, net->id, why, now) < 0)
        return;
    net->leaving = net->dropping = true;
}

/* Does anything refer to a network that was let go? */
static bool is_used(void *ctx, const struct pv_cnet *net)
{
    const struct pv_coord *c = ctx;
    if (net->n_presence > 0 || net->bulk.listed || net->is_going || net->n_members > 0)
        return true;
    for (const struct pv_conn *s = c->conns; s != NULL; s = s->hh.next)
        if (s->net == net)
            return true;
    for (const struct pv_copies_wait *w = c->copies.waits; w != NULL; w = w->next)
        if (w->net == net)
            return true;
    return false;
}

static void sweep(struct pv_coord *c, pv_ns now)
{
    uint64_t wall = wall_s_at(c, now);
    pv_registry_sweep(&c->registry, is_used, c);
    for (struct pv_cnet *net = c->registry.nets; net != NULL; net = net->hh.next) {
        if (net->n_members == 0 && net->home_at + PV_S(IDLE_S) < now && net->seen_s + IDLE_S < wall)
            leave(c, net, PV_HOMES_IDLE, now);
    }
}

static void homes_timeout(struct pv_coord *c, pv_ns now)
{
    if (!c->homes.on)
        return;
    pv_homes_handle_timeout(&c->homes, now);
    if (now >= c->swept_at + PV_S(SWEEP_S)) {
        c->swept_at = now;
        sweep(c, now);
    }
    bool drains = c->homes.draining && !c->alone && now >= c->drain_at;
    struct pv_cnet *net = drains ? c->registry.nets : NULL;
    for (size_t i = 0; net != NULL && i < LEAVE_MAX; i++, net = net->hh.next)
        leave(c, net, PV_HOMES_DRAINED, now);
}

/* Finds up to k networks with the fewest members of those that may go; in one look at all of them,
 * as there may be thousands. */
static size_t find_smallest(const struct pv_coord *c, struct pv_cnet **ret_nets, size_t k)
{
    size_t n = 0;
    for (struct pv_cnet *net = c->registry.nets; net != NULL; net = net->hh.next) {
        if (net->pinned || net->leaving || net->dropping ||
            (n == k && net->n_members >= ret_nets[n - 1]->n_members))
            continue;
        size_t at = n < k ? n++ : n - 1;
        for (; at > 0 && ret_nets[at - 1]->n_members > net->n_members; at--)
            ret_nets[at] = ret_nets[at - 1];
        ret_nets[at] = net;
    }
    return n;
}

/* A few at a time: a coordinator that comes back to its place gets its share in minutes, however
 * many networks that are, and nobody notices more than a change of connection. */
void pv_coord_balance(struct pv_coord *c, uint64_t few, pv_ns now)
{
    struct pv_cnet *nets[BALANCE_MAX];
    uint64_t n = pv_coord_n_homes(c), most = few + 1 + few / 8;
    c->alone = few == UINT64_MAX;
    if (c->alone || n <= most || c->homes.draining || now < c->balance_at)
        return;
    c->balance_at = now + PV_S(BALANCE_S);
    uint64_t give = 1 + (n - most) / BALANCE_PART;
    size_t found = find_smallest(c, nets, give < BALANCE_MAX ? (size_t)give : BALANCE_MAX);
    for (size_t i = 0; i < found; i++)
        leave(c, nets[i], PV_HOMES_BALANCED, now);
}

static pv_ns homes_next(const struct pv_coord *c)
{
    if (!c->homes.on)
        return PV_NEVER;
    pv_ns next = pv_min_ns(pv_homes_next_timeout(&c->homes), c->swept_at + PV_S(SWEEP_S));
    if (!c->homes.draining || c->alone || c->registry.nets == NULL)
        return next;
    return pv_min_ns(next, c->drain_at > c->wall_at ? c->drain_at : c->wall_at + PV_HOMES_AGAIN);
}

void pv_coord_drain(struct pv_coord *c, bool on)
{
    c->homes.draining = on;
    c->drain_at = 0;
}

bool pv_coord_homes_came(struct pv_coord *c)
{
    bool came = c->homes_came;
    c->homes_came = false;
    return came;
}

size_t pv_coord_n_homes(const struct pv_coord *c)
{
    return HASH_CNT(hh, c->registry.nets);
}

void pv_coord_set_epoch(struct pv_coord *c, uint64_t epoch)
{
    c->first_epoch = epoch;
}

pv_ns pv_coord_left_at(const struct pv_coord *c)
{
    return c->gave_at == 0 ? 0 : c->gave_at + PV_COORD_LEFT;
}

bool pv_coord_is_draining(const struct pv_coord *c)
{
    return c->homes.draining;
}

/* --- the coordinator's life ------------------------------------------------------------------- */

enum {
    SOURCE_SLOTS = 4096, /* ours: source networks remembered for rates; older ones give way */
    NODES_MAX = 1 << 20, /* ours: nodes online or asked for; 1024 for each of 1000 connections */
    TIMERS_A_TURN = 256, /* ours: connections that the clock ends before others are served */
    /* Ours: for how many of them a member counts. Others may be subscribed to it by thousands. */
    TIMERS_MEMBER = 32,
    SK_LEN = PV_SIGN_SK_LEN + PV_DH_LEN, /* signing key, then the same key for handshakes */
    GUARDED_LEN = SK_LEN + PV_CTL_SECRET_LEN,
};

/* The relay half is made even when relaying is off: it answers Binding requests all the same. */
static int new_relay(struct pv_coord *c, const struct pv_coord_config *cfg)
{
    static const uint8_t phone_ports[] = "p2pvpn relay phone ports";
    struct pv_turns_config relay = {0};
    if (cfg->relay != NULL)
        relay = *cfg->relay;
    relay.coordinator_pk = cfg->sk + PV_SIGN_SEED_LEN;
    pv_blake2b(relay.phone_port_key, pv_view(phone_ports, sizeof(phone_ports)),
               pv_view(cfg->sk, PV_SIGN_SEED_LEN), pv_view(NULL, 0));
    int r = pv_relaycore_new(&c->relay, &relay, &c->rng);
    pv_wipe(relay.phone_port_key, sizeof(relay.phone_port_key));
    if (r == PV_OK)
        c->link = pv_relaycore_link(c->relay);
    return r;
}

static struct pv_coord_limits fill_limits(const struct pv_coord_limits *given)
{
#define FILLED(name, standard) .name = given->name == 0 ? (standard) : given->name,
    return (struct pv_coord_limits){PV_COORD_LIMITS(FILLED)};
#undef FILLED
}

/* Everything that can fail comes before the keys are copied, so a half-made machine holds none. */
int pv_coord_new(struct pv_coord **ret_coord, const struct pv_coord_config *cfg,
                 const struct pv_rng *rng, const struct pv_log *log)
{
    struct pv_coord *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->rng = *rng;
    c->log = log;
    c->logs.log = log;
    c->limits = fill_limits(&cfg->limits);
    c->policy = cfg->policy;
    c->kem = cfg->kem;
    c->map = pv_map_make(rng, c->limits.conns);
    pv_heap_init(&c->timers);
    pv_heap_init(&c->rests);
    pv_broker_init(&c->broker, NODES_MAX, rng);
    /* One network may take half, so that the other half is for all others also in quiet times. */
    pv_places_init(&c->strangers, c->limits.applicants, (c->limits.applicants + 1) / 2, rng);
    pv_places_init(&c->members_places, c->limits.regulars, c->limits.regulars, rng);
    c->sk = pv_secret_alloc(GUARDED_LEN);
    int r = c->sk == NULL ? PV_ERR_NOMEM : pv_regulars_init(&c->regulars, rng);
    if (r == PV_OK)
        r = pv_bucket_table_new(&c->sources, SOURCE_SLOTS, c->limits.source_rate,
                                c->limits.source_burst, rng);
    if (r == PV_OK)
        r = pv_bucket_table_new(&c->creates, SOURCE_SLOTS, c->limits.open_rate,
                                c->limits.open_burst, rng);
    if (r == PV_OK)
        r = new_relay(c, cfg);
    if (r == PV_OK)
        r = pv_homes_init(&c->homes, cfg->homes);
    if (r < 0) {
        pv_coord_free(c);
        return r;
    }
    memcpy(c->sk, cfg->sk, PV_SIGN_SK_LEN);
    pv_sign_sk_to_dh(c->sk, c->sk + PV_SIGN_SK_LEN);
    pv_dh_public(c->sk + PV_SIGN_SK_LEN, c->dh_pk);
    c->secret = c->sk + SK_LEN;
    memcpy(c->secret, cfg->secret, PV_CTL_SECRET_LEN);
    pv_registry_init(&c->registry, c->sk, c->limits.networks, rng, log);
    c->registry.limits = cfg->policy.net_limits;
    c->registry.steps = c->limits.steps;
    *ret_coord = c;
    return PV_OK;
}

/* Connections go first: they stand in the lists of everything else. The relay's thread has ended by
 * now (coord.h). */
struct pv_coord *pv_coord_free(struct pv_coord *c)
{
    struct pv_conn *s;
    struct pv_conn *next;
    if (c == NULL)
        return NULL;
    HASH_ITER(hh, c->conns, s, next) {
        forget_conn(c, s, c->wall_at);
    }
    pv_broker_done(&c->broker);
    pv_copies_done(&c->copies);
    pv_logs_done(&c->logs);
    pv_homes_done(&c->homes);
    pv_pages_done(&c->pages);
    pv_registry_done(&c->registry);
    pv_places_done(&c->strangers);
    pv_places_done(&c->members_places);
    pv_regulars_done(&c->regulars);
    pv_bucket_table_free(c->sources);
    pv_bucket_table_free(c->creates);
    pv_relaycore_free(c->relay);
    pv_heap_done(&c->timers);
    pv_heap_done(&c->rests);
    pv_secret_free(c->sk);
    free(c);
    return NULL;
}

int pv_coord_load(struct pv_coord *c, struct pv_storerow *row)
{
    return pv_registry_load(&c->registry, row);
}

int pv_coord_load_entry(struct pv_coord *c, const struct pv_storerow *row)
{
    return pv_registry_load_entry(&c->registry, row);
}

/* The first call fixes the epoch of the receipts, so it comes after everything was loaded: an epoch
 * has to be above every one in the store. */
void pv_coord_set_wall(struct pv_coord *c, uint64_t wall_us, pv_ns now)
{
    c->wall_us = wall_us;
    c->wall_at = now;
    if (!c->started)
        pv_registry_start(&c->registry, wall_us / 1000000u);
    if (!c->started && c->first_epoch != 0)
        c->registry.epoch = c->first_epoch;
    c->started = true;
}

void pv_coord_set_tls(struct pv_coord *c, const struct pv_ctl_tls *tls)
{
    c->has_tls = tls != NULL;
    if (tls != NULL)
        c->tls = *tls;
}

/* --- connections that come, are written to and close ------------------------------------------ */

/* Thousands of members behind one address come back at once when the coordinator was restarted:
 * more than one source may bring. Those of addresses where members came from lately may share so
 * much beyond that; each gives it back to its source when it turns out to be a member. */
static bool take_of_crowd(struct pv_coord *c, const struct pv_addr *source, pv_ns now)
{
    uint32_t burst = c->limits.conns / 2;
    return pv_regulars_has(&c->regulars, source, now) &&
           pv_bucket_take(&c->crowd, burst / PV_CNET_RETURN_S, burst, 1, now);
}

/* May one more connection come in beside n? The source's bucket is asked last, so a coordinator
 * that is full does not use it up. */
static bool may_accept(struct pv_coord *c, size_t n, const struct pv_addr *source, pv_ns now)
{
    if (n >= c->limits.conns)
        count_limit(c, PV_COORD_LIMIT_CONNS);
    else if (!pv_bucket_table_take(c->sources, source, 1, now) && !take_of_crowd(c, source, now))
        count_limit(c, PV_COORD_LIMIT_SOURCE);
    else
        return !c->ending;
    return false;
}

/* Room in the heap of timers is made here, once, so setting a timer cannot fail later. */
int pv_coord_accept(struct pv_coord *c, uint64_t id, const struct pv_addr *source, pv_ns now)
{
    struct pv_conn *s = NULL;
    const struct pv_conn_keys keys = {.sk = c->sk + PV_SIGN_SK_LEN, .pk = c->dh_pk};
    size_t n = HASH_CNT(hh, c->conns);
    if (!may_accept(c, n, source, now))
        return PV_ERR_LIMIT;
    int r = pv_heap_reserve(&c->timers, n + 1);
    if (r == PV_OK)
        r = pv_conn_new(&s, id, source, &keys, &c->rng, now);
    if (r < 0)
        return r;
    PV_MAP_ADD(&c->map, c->conns, id, s, r);
    if (r < 0) {
        pv_conn_free(s);
        return r;
    }
    if (seat_applicant(c, s, now) < 0) {
        PV_MAP_DEL(c->conns, s);
        pv_conn_free(s);
        return PV_ERR_NOMEM;
    }
    c->stats.accepted++;
    pv_heap_set(&c->timers, &s->timer, pv_conn_deadline(s));
    return PV_OK;
}

void pv_coord_speaks_tls(struct pv_coord *c, uint64_t id)
{
    struct pv_conn *s = find_conn(c, id);
    if (s != NULL)
        s->tls = true;
}

void pv_coord_came_to(struct pv_coord *c, uint64_t id, const struct pv_addr *local)
{
    struct pv_conn *s = find_conn(c, id);
    if (s != NULL)
        s->local = pv_addr_unmap(*local);
}

bool pv_coord_is_regular(const struct pv_coord *c, const struct pv_addr *source, pv_ns now)
{
    return pv_regulars_has(&c->regulars, source, now);
}

/* Charges the network that was served with the time it took. Its debt shrinks with time, so that
 * every network always has its share. Without memory for the debt the network goes on. */
void pv_coord_bill(struct pv_coord *c, pv_ns spent, pv_ns now)
{
    struct pv_cnet *net = c->billed;
    c->billed = NULL;
    if (net == NULL || net->resting)
        return;
    pv_ns paid = (now - net->debt_at) / PV_COORD_SHARE;
    net->debt = (net->debt > paid ? net->debt - paid : 0) + spent;
    net->debt_at = now;
    if (net->debt < PV_COORD_DEBT || pv_heap_reserve(&c->rests, c->rests.len + 1) < 0)
        return;
    net->resting = true;
    pv_heap_set(&c->rests, &net->rest, now + (PV_COORD_SHARE - 1) * net->debt);
    net->debt = 0;
}

/* Its members go on as each has its turn in poll_ready: the array must not change in this loop. */
static void end_rest(struct pv_coord *c, struct pv_cnet *net, pv_ns now)
{
    net->resting = false;
    pv_registry_rested(&c->registry, now);
    for (size_t i = 0; i < net->n_members; i++) {
        struct pv_conn *s = net->members[i];
        if (!s->held_off && s->held == NULL && s->in_len == 0)
            continue;
        s->woken = true;
        mark_ready(c, s);
    }
}

bool pv_coord_rests(const struct pv_coord *c)
{
    return pv_heap_next(&c->rests) != PV_NEVER;
}

void pv_coord_idle(struct pv_coord *c, pv_ns now)
{
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&c->rests, PV_NEVER - 1)) != NULL)
        end_rest(c, PV_CONTAINER_OF(node, struct pv_cnet, rest), now);
}

bool pv_coord_is_member(const struct pv_coord *c, uint64_t id)
{
    const struct pv_conn *s = find_conn(c, id);
    return s != NULL && s->state == PV_CONN_MEMBER;
}

struct pv_view pv_coord_out(struct pv_coord *c, uint64_t id)
{
    struct pv_conn *s = find_conn(c, id);
    return s == NULL || s->dead ? pv_view(NULL, 0) : pv_conn_out(s);
}

void pv_coord_wrote(struct pv_coord *c, uint64_t id, size_t n, pv_ns now)
{
    struct pv_conn *s = find_conn(c, id);
    if (s == NULL)
        return;
    bool waited = s->state != PV_CONN_MEMBER || s->n_dirty > 0 || s->held_off;
    pv_conn_wrote(s, n, now);
    if (s->log.stalled && s->state == PV_CONN_MEMBER) {
        s->log.stalled = false;
        bulk_want(c, s, false);
    }
    resume_conn(c, s, now);
    if (waited) /* there may be more to say, or it may be closed or read now */
        mark_ready(c, s);
    settle_works(c, now);
}

void pv_coord_closed(struct pv_coord *c, uint64_t id, pv_ns now)
{
    struct pv_conn *s = find_conn(c, id);
    if (s != NULL)
        forget_conn(c, s, now);
}

bool pv_coord_is_urgent(const struct pv_coord *c)
{
    return c->ready != NULL;
}

bool pv_coord_has_bulk(const struct pv_coord *c)
{
    return c->bulk != NULL;
}

size_t pv_coord_strangers(const struct pv_coord *c)
{
    return c->strangers.n + c->members_places.n;
}

/* A page for whoever has its turn, and what its next request for one waited for. NULL: nobody
 * waits for statements. */
static struct pv_conn *send_bulk(struct pv_coord *c, pv_ns now)
{
    struct pv_conn *s = bulk_next(c);
    if (s == NULL)
        return NULL;
    bulk_send_page(c, s, now);
    mark_ready(c, s); /* what it does now may mark it, too */
    resume_conn(c, s, now);
    if (bulk_is_behind(s) && !s->log.stalled && !s->dead && s->state == PV_CONN_MEMBER)
        bulk_want(c, s, false);
    settle_works(c, now);
    return s;
}

/* Pushes are made here, when the owner is about to write anyway: several changes in a turn are sent
 * as one, as far as there is room. Statements come when nothing else is to be sent. */
int pv_coord_poll_ready(struct pv_coord *c, struct pv_coord_ready *ret_ready, pv_ns now)
{
    struct pv_conn *s = c->ready;
    ret_ready->bulk = s == NULL;
    if (s == NULL)
        s = send_bulk(c, now);
    if (s == NULL)
        return PV_ERR_AGAIN;
    if (s->woken) { /* still in the list: what it does may mark it again */
        s->woken = false;
        resume_conn(c, s, now);
        settle_works(c, now);
    }
    unmark_ready(c, s);
    if (s->state == PV_CONN_MEMBER)
        request_push(s);
    if (s->state != PV_CONN_CLOSING && s->dead)
        drop_conn(c, s, now);
    ret_ready->id = s->id;
    ret_ready->kind = PV_COORD_READY_IO;
    if (s->state == PV_CONN_CLOSING && (s->dead || pv_conn_out(s).len == 0)) {
        ret_ready->kind = PV_COORD_READY_CLOSE;
        forget_conn(c, s, now);
    }
    return PV_OK;
}

/* --- store operations ------------------------------------------------------------------------ */

/* The registry's operations, and those of logs, come before copies, as members wait for them. */
int pv_coord_poll_job(struct pv_coord *c, struct pv_storeop **ret_op)
{
    int r = pv_registry_poll_job(&c->registry, ret_op);
    if (r < 0)
        r = pv_logs_poll_job(&c->logs, ret_op);
    if (r < 0)
        r = pv_copies_poll_job(&c->copies, ret_op);
    return r == PV_OK ? r : pv_homes_poll_job(&c->homes, ret_op);
}

/* Answers the request for a copy, and tells a receiver who came online meanwhile, or the copy would
 * lie there until the next visit. */
static void copy_stored(struct pv_coord *c, const struct pv_storeop_result *result)
{
    struct pv_copies_wait *wait = pv_copies_take(&c->copies, result->id);
    if (wait == NULL)
        return;
    struct pv_ctl_msg m = pv_copies_answer(wait, result);
    const struct pv_ctl_msg news = {.kind = PV_CTL_PUSH, .type = PV_CTL_COPY};
    struct pv_conn *s = find_conn(c, wait->conn);
    struct pv_conn *to =
        m.type == PV_CTL_DONE ? pv_broker_find(&c->broker, wait->net, wait->to) : NULL;
    if (m.type == PV_CTL_ERROR && m.u.failure.error == PV_CTL_E_FULL)
        count_limit(c, PV_COORD_LIMIT_COPIES);
    if (s != NULL && s->state == PV_CONN_MEMBER) {
        if (pv_conn_send(s, &m) < 0)
            s->dead = true;
        mark_ready(c, s);
    }
    if (to != NULL && pv_conn_has_push_room(to) && pv_conn_send(to, &news) == PV_OK)
        mark_ready(c, to);
    free(wait);
}

/* The number says to whom an answer belongs (PV_COPIES_OP). */
void pv_coord_handle_job(struct pv_coord *c, const struct pv_storeop_result *result, pv_ns now)
{
    if ((result->id & PV_LOGS_OP) == PV_LOGS_OP) {
        const struct pv_logs_out out = logs_out(c);
        pv_logs_tick(&c->logs, wall_s_at(c, now), now);
        pv_logs_handle_job(&c->logs, result, &out);
        return;
    }
    if ((result->id & PV_HOMES_OP) != 0) {
        home_answered(c, result, now);
        settle_works(c, now);
        return;
    }
    if ((result->id & PV_COPIES_OP) != 0) {
        copy_stored(c, result);
        return;
    }
    c->billed = pv_registry_handle_job(&c->registry, result, wall_s_at(c, now), now);
    settle_works(c, now);
}

/* --- time and end ---------------------------------------------------------------------------- */

/* A member's timer is not moved for each byte, so it is looked at here whether any came. The relay
 * is asked about a connection that relays; the connection ends when its allocation has. */
static void conn_due(struct pv_coord *c, struct pv_conn *s, pv_ns now)
{
    pv_ns deadline = pv_conn_deadline(s);
    if (deadline > now) { /* bytes came since the timer was set */
        pv_heap_set(&c->timers, &s->timer, deadline);
        return;
    }
    switch (s->state) {
    case PV_CONN_RELAYING:
        pv_relaylink_ask(c->link, s->id);
        pv_heap_set(&c->timers, &s->timer, now + PV_S(PV_COORD_HELLO_S));
        break;
    case PV_CONN_NEW:
    case PV_CONN_STUN:
    case PV_CONN_OPENING:
    case PV_CONN_HELLO:
    case PV_CONN_SEEKING:
        end_conn(c, s, PV_CTL_E_TIMEOUT, "no hello came in time", now);
        break;
    case PV_CONN_APPLICANT:
        end_conn(c, s, PV_CTL_E_TIMEOUT, "an applicant has 30 seconds", now);
        break;
    case PV_CONN_MEMBER:
        end_conn(c, s, PV_CTL_E_TIMEOUT, "nothing was heard for 25 seconds", now);
        break;
    case PV_CONN_CLOSING:
        s->dead = true;
        mark_ready(c, s);
        break;
    }
}

void pv_coord_handle_timeout(struct pv_coord *c, pv_ns now)
{
    struct pv_heap_node *node;
    while ((node = pv_heap_pop_due(&c->rests, now)) != NULL)
        end_rest(c, PV_CONTAINER_OF(node, struct pv_cnet, rest), now);
    c->billed = NULL;
    if (c->registry.retry_at <= now) {
        c->billed = pv_registry_retry(&c->registry, wall_s_at(c, now), now);
        settle_works(c, now);
    }
    if (c->billed == NULL)
        c->billed = gone_handle_timeout(c, now);
    pv_pages_handle_timeout(&c->pages, now);
    const struct pv_logs_out out = logs_out(c);
    pv_logs_tick(&c->logs, wall_s_at(c, now), now);
    pv_logs_handle_timeout(&c->logs, &out);
    homes_timeout(c, now);
    for (int i = 0; i < TIMERS_A_TURN && (node = pv_heap_pop_due(&c->timers, now)) != NULL; i++) {
        struct pv_conn *s = PV_CONTAINER_OF(node, struct pv_conn, timer);
        i += s->state == PV_CONN_MEMBER ? TIMERS_MEMBER - 1 : 0;
        conn_due(c, s, now);
    }
}

pv_ns pv_coord_next_timeout(const struct pv_coord *c)
{
    pv_ns next = pv_min_ns(c->registry.retry_at, homes_next(c));
    next = pv_min_ns(next, pv_logs_next_timeout(&c->logs));
    if (gone_next(c) != NULL)
        return 0;
    return pv_min_ns(pv_min_ns(next, pv_pages_next_timeout(&c->pages)),
                     pv_min_ns(pv_heap_next(&c->timers), pv_heap_next(&c->rests)));
}

/* Each connection gets its bye; poll_ready closes them as they are written out, or their time to
 * linger ends. */
void pv_coord_shutdown(struct pv_coord *c, pv_ns now)
{
    c->ending = true;
    for (struct pv_conn *s = c->conns; s != NULL; s = s->hh.next)
        end_conn(c, s, PV_CTL_E_SHUTDOWN, "the coordinator is going down; reconnect", now);
}

/* --- counters, and the names of limits -------------------------------------------------------- */

const char *pv_coord_limit_name(enum pv_coord_limit limit)
{
    static const char *const names[PV_COORD_LIMITS] = {
        [PV_COORD_LIMIT_CONNS] = "connections",
        [PV_COORD_LIMIT_APPLICANTS] = "applicants",
        [PV_COORD_LIMIT_SOURCE] = "connections_of_a_source",
        [PV_COORD_LIMIT_REQUESTS] = "requests",
        [PV_COORD_LIMIT_NETWORK] = "changes_of_a_network",
        [PV_COORD_LIMIT_SIGNALS] = "signals",
        [PV_COORD_LIMIT_COPIES] = "stored_copies",
        [PV_COORD_LIMIT_CREATES] = "new_networks",
        [PV_COORD_LIMIT_SUBSCRIPTIONS] = "subscriptions",
        [PV_COORD_LIMIT_FULL] = "networks_or_members",
    };
    return names[limit];
}

/* Numbers that follow from what is held (connections, nodes, operations) are counted here; the
 * others are kept as things happen. */
void pv_coord_stats(const struct pv_coord *c, struct pv_coord_stats *ret_stats)
{
    *ret_stats = c->stats;
    for (size_t i = 0; i < PV_COORD_LIMITS; i++)
        ret_stats->refused += c->stats.limits[i];
    ret_stats->conns = HASH_CNT(hh, c->conns);
    ret_stats->online = c->broker.online;
    ret_stats->networks = HASH_CNT(hh, c->registry.nets);
    ret_stats->jobs = c->registry.n_ops + c->copies.n;
    ret_stats->statements = 0;
    for (const struct pv_cnet *n = c->registry.nets; n != NULL; n = n->hh.next)
        ret_stats->statements += n->log_len - n->n_empty;
}

/* Every connection is in exactly one kind, so they add up to `open`; `hybrid` is a part of two. */
void pv_coord_kinds(const struct pv_coord *c, struct pv_coord_kinds *ret_kinds)
{
    struct pv_coord_kinds k = {.members = 0};
    for (const struct pv_conn *s = c->conns; s != NULL; s = s->hh.next) {
        if (s->state == PV_CONN_APPLICANT || s->state == PV_CONN_MEMBER)
            k.hybrid += pv_control_is_hybrid(s->control) ? 1 : 0;
        switch (s->state) {
        case PV_CONN_NEW:
        case PV_CONN_OPENING:
        case PV_CONN_HELLO:
        case PV_CONN_SEEKING:
            k.opening++;
            break;
        case PV_CONN_STUN:
            k.stun++;
            break;
        case PV_CONN_RELAYING:
            k.turn++;
            break;
        case PV_CONN_APPLICANT:
            k.applicants++;
            break;
        case PV_CONN_MEMBER:
            k.members++;
            break;
        case PV_CONN_CLOSING:
            k.closing++;
            break;
        }
    }
    *ret_kinds = k;
}

/* --- what the operator asks ------------------------------------------------------------------- */

void pv_coord_networks(const struct pv_coord *c, pv_ns now,
                       void (*each)(void *ctx, const struct pv_coord_network *net), void *ctx)
{
    for (const struct pv_cnet *n = c->registry.nets; n != NULL; n = n->hh.next) {
        struct pv_coord_network out = {.id = n->id,
                                       .name = pv_roster_network(n->roster)->name,
                                       .members = pv_roster_count(n->roster),
                                       .online = n->n_members,
                                       .statements = n->log_len - n->n_empty,
                                       .seen_s = n->n_members > 0 ? wall_s_at(c, now) : n->seen_s};
        for (size_t i = 0; i < n->log_len; i++)
            out.bytes += n->log[i].entry == NULL ? 0 : n->log[i].entry->st.raw.len;
        each(ctx, &out);
    }
}

void pv_coord_set_secret(struct pv_coord *c, const uint8_t secret[static PV_CTL_SECRET_LEN])
{
    memcpy(c->secret, secret, PV_CTL_SECRET_LEN);
}

void pv_coord_set_policy(struct pv_coord *c, const struct pv_coord_policy *policy,
                         struct pv_turns_policy *relay)
{
    c->policy = *policy;
    pv_registry_set_limits(&c->registry, policy->net_limits);
    pv_relaylink_set_policy(c->link, relay);
}

int pv_coord_drop_begin(struct pv_coord *c, const uint8_t id[static PV_NETWORK_ID_LEN])
{
    struct pv_cnet *net = pv_registry_find(&c->registry, id);
    if (net == NULL)
        return PV_ERR_NOT_FOUND;
    if (net->dropping)
        return PV_ERR_EXISTS;
    net->dropping = true;
    return PV_OK;
}

/* Applicants who join it are sent away too. */
void pv_coord_drop_end(struct pv_coord *c, const uint8_t id[static PV_NETWORK_ID_LEN], bool done,
                       pv_ns now)
{
    struct pv_cnet *net = pv_registry_find(&c->registry, id);
    if (net == NULL)
        return;
    if (!done) {
        net->dropping = false;
        return;
    }
    for (struct pv_conn *s = c->conns; s != NULL; s = s->hh.next) {
        if (s->net == net && s->state != PV_CONN_CLOSING)
            end_conn(c, s, PV_CTL_E_UNKNOWN_NETWORK,
                     "this coordinator does not serve that network any more", now);
    }
    forget_net(c, net);
}

/* --- connections that speak STUN or TURN: the link to the relay half -------------------------- */

enum {
    NEWS_A_TURN = 256, /* ours: messages for streams, then connections have their turn */
};

struct pv_relaycore *pv_coord_relay(struct pv_coord *c)
{
    return c->relay;
}

/* Counters only: any thread may read them, while everything else of the relay is its thread's. */
const struct pv_relaystats *pv_coord_relay_stats(const struct pv_coord *c)
{
    return pv_turns_counters(pv_relaycore_turns(c->relay));
}

bool pv_coord_wakes_relay(struct pv_coord *c)
{
    return pv_relaylink_take_wake_relay(c->link);
}

/* A client with an allocation has shown who it is: it is no applicant, and its connection lives as
 * long as the allocation. One that lost it gets as long as a new connection to begin anew. */
static void note_holder(struct pv_coord *c, struct pv_conn *s, enum pv_turns_holder holder,
                        pv_ns now)
{
    bool holds = holder != PV_TURNS_NOBODY;
    s->reads_stream = holder == PV_TURNS_MEMBER;
    if (holds == (s->state == PV_CONN_RELAYING))
        return;
    s->state = holds ? PV_CONN_RELAYING : PV_CONN_STUN;
    if (holds) {
        pv_place_leave(&s->place);
        return;
    }
    if (seat_applicant(c, s, now) < 0)
        drop_conn(c, s, now);
    pv_heap_set(&c->timers, &s->timer, now + PV_S(PV_COORD_HELLO_S));
}

/* One message of the relay about a connection: an answer or data to write, an order to end it, or
 * just whether it still holds an allocation. */
static void handle_news(struct pv_coord *c, struct pv_conn *s, const struct pv_relaynews *news,
                        pv_ns now)
{
    if (news->broken) {
        c->stats.failed++;
        drop_conn(c, s, now);
        return;
    }
    note_holder(c, s, news->holder, now);
    if (s->dead)
        return;
    /* A message that does not fit is dropped, as on any full line. */
    if (pv_stunconn_put(s->stun, news->data) < 0)
        pv_relaylink_dropped(c->link);
    mark_ready(c, s);
}

/* Each message is taken out of the ring only when it has been copied to its connection, which may
 * be gone by now. */
bool pv_coord_handle_relay(struct pv_coord *c, pv_ns now)
{
    struct pv_relaynews news;
    for (int i = 0; i < NEWS_A_TURN; i++) {
        if (pv_relaylink_poll(c->link, &news) < 0)
            return true;
        struct pv_conn *s = find_conn(c, news.stream);
        if (s != NULL && s->stun != NULL && !s->dead && s->state != PV_CONN_CLOSING)
            handle_news(c, s, &news, now);
        pv_relaylink_polled(c->link);
    }
    return false;
}

/* --- for tests ------------------------------------------------------------------------------- */

const struct pv_pages *pv_coord_pages(const struct pv_coord *c)
{
    return &c->pages;
}

const struct pv_cnet *pv_coord_network(const struct pv_coord *c, const uint8_t *id)
{
    return pv_registry_find(&c->registry, id);
}
