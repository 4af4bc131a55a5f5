/* SPDX-License-Identifier: MIT */
/* lan.c - connects the querier and groupsync with peers and in-band messages, and makes the list of
 * who gets what for the packet threads. */
#include "daemon/core/lan/lan.h"

#include <stdlib.h>

#include "base/text.h"
#include "daemon/core/member/presence.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/group/querier.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/roster/pins.h"

#define META_PINS "lan-pins" /* the machines of [lan] peer in the store */

/* Somebody who gets what is sent to a group. */
struct pair {
    struct pv_group group;
    uint32_t id;
};

struct lan {
    struct pv_node *node;
    struct pv_lan_config cfg;
    struct pv_pins *chosen; /* owned; the names of cfg.peers */
    struct pv_querier querier;
    uint64_t seen; /* changes of the querier that the members were told */
    struct pv_groupsync *sync;
    size_t online;      /* members, this node with them; 0: more than anybody counts */
    bool discovers;     /* discovery is sent */
    size_t n_groups;    /* in the list */
    bool cut;           /* the list has not everybody */
    pv_ns list_at;      /* it is made anew; PV_NEVER: nothing has changed */
    pv_ns wake_at;      /* members are to be reached again; PV_NEVER */
    struct pair *pairs; /* while the list is made; owned */
    size_t n, room;
};

/* The querier starts with the interface. */
static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct lan *l = part;
    l->cfg = cfg->lan;
    l->list_at = l->wake_at = PV_NEVER;
    pv_querier_init(&l->querier);
    int r = pv_pins_new(&l->chosen, l->cfg.n_peers, "[lan] peer", l->node->log);
    if (r != PV_OK)
        return r;
    for (size_t i = 0; i < l->cfg.n_peers; i++)
        pv_pins_add(l->chosen, l->cfg.peers[i]);
    pv_pins_load(l->chosen, pv_saved_value(cfg->saved, META_PINS));
    return pv_groupsync_new(&l->sync, &l->node->rng);
}

static void free_lan(void *part)
{
    struct lan *l = part;
    pv_peers_drop_slots(l->node->peers, &pv_part_lan);
    pv_groupsync_free(l->sync);
    pv_pins_free(l->chosen);
    free(l->pairs);
}

/* --- what is kept of a peer ------------------------------------------------------------------ */

static void end_peer(void *slot)
{
    pv_groupsync_leave(slot);
}

/* The groups of p, also when nothing was known of it. NULL: no memory. */
static struct pv_groupsync_peer *groups_of(struct lan *l, struct pv_peer *p)
{
    struct pv_groupsync_peer *e = pv_peer_slot(p, &pv_part_lan);
    if (e == NULL || e->sync != NULL || pv_groupsync_join(l->sync, e, pv_peer_id(p)) == PV_OK)
        return e;
    pv_peer_drop_slot(p, &pv_part_lan);
    return NULL;
}

static struct pv_groupsync_known known(const struct pv_peer *p)
{
    return pv_groupsync_known(pv_peer_find_slot(p, &pv_part_lan));
}

/* --- with whom ------------------------------------------------------------------------------- */

/* Discovery is exchanged with this member, as far as this node is asked. Names are looked up first:
 * peers are asked about before the part hears of the roster. */
static bool is_chosen(const struct lan *l, const struct pv_peer *p)
{
    if (l->cfg.broadcast != PV_LAN_PEERS)
        return l->cfg.broadcast != PV_LAN_OFF;
    if (l->node->roster != NULL)
        pv_pins_look(l->chosen, l->node->roster);
    for (size_t i = 0; pv_pins_name(l->chosen, i) != NULL; i++) {
        if (pv_pins_is(l->chosen, i, pv_peer_pk(p)))
            return true;
    }
    return false;
}

static void save_pins(struct lan *l)
{
    size_t len;
    uint8_t *pins = pv_pins_save(l->chosen, &len);
    if (pins == NULL)
        pv_node_not_stored(l->node);
    else
        pv_node_put_meta(l->node, META_PINS, pv_view(pins, len));
    free(pins);
}

/* Of more than PV_PRESENCE_ALL members nobody knows who is online, and so many are too many. */
static size_t count_online(const struct pv_node *n)
{
    size_t online = 1;
    if (pv_peers_count_members(n->peers) >= PV_PRESENCE_ALL)
        return 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_node(n->peers, p)) != NULL;)
        online += pv_peer_reach(p) != PV_REACH_NO ? 1 : 0;
    return online;
}

/* Not known is not few: who counts nobody would copy to thousands. */
static bool are_few(const struct lan *l)
{
    return l->online > 0 && l->online <= PV_LAN_ONLINE;
}

/* --- the list -------------------------------------------------------------------------------- */

/* A pair without a place is left out and said in `status`, rather than that nobody gets
 * anything. */
static void add_pair(struct lan *l, const struct pv_group *g, uint32_t id)
{
    if (l->n == l->room) {
        size_t room = l->room == 0 ? 64 : 2 * l->room;
        struct pair *pairs =
            l->n == PV_LAN_PAIRS ? NULL : reallocarray(l->pairs, room, sizeof(*pairs));
        if (pairs == NULL) {
            l->cut = true;
            return;
        }
        l->pairs = pairs;
        l->room = room;
    }
    l->pairs[l->n++] = (struct pair){.group = *g, .id = id};
}

/* A member that has not told its groups gets everything by which programs find each other, as
 * before there were messages about it. Of many members most are never used, and would take the
 * places of others. */
static void add_discovery(struct lan *l, const struct pv_peer *p, bool heard)
{
    struct pv_group g;
    if (!are_few(l) && !l->cfg.wake && !pv_peer_is_used(p))
        return;
    for (size_t i = 0; (g = pv_group_discovery(i)).version != 0; i++) {
        if (!heard || pv_group_is_everybodys(&g))
            add_pair(l, &g, pv_peer_id(p));
    }
}

/* Both sides must want discovery; what programs joined needs only their wish. */
static void add_member(struct lan *l, const struct pv_peer *p)
{
    const struct pv_groupsync_known k = known(p);
    bool discovers = l->discovers && is_chosen(l, p) && k.takes_discovery;
    if (discovers)
        add_discovery(l, p, k.heard);
    for (size_t i = 0; i < k.n; i++) {
        if (discovers || pv_group_kind(&k.groups[i]) == PV_GROUP_JOINED)
            add_pair(l, &k.groups[i], pv_peer_id(p));
    }
}

/* By group, then by peer: the list has a form of its own, and is published only when it changed. */
static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = pv_group_compare(&x->group, &y->group);
    return order != 0 ? order : x->id < y->id ? -1 : x->id > y->id;
}

/* The sorted pairs as the packet threads want them: without memory the old list stays. */
static int publish(struct lan *l)
{
    struct pv_fp_group *groups = calloc(l->n + 1, sizeof(*groups));
    uint32_t *ids = calloc(l->n + 1, sizeof(*ids));
    size_t n = 0;
    int r = groups == NULL || ids == NULL ? PV_ERR_NOMEM : PV_OK;
    for (size_t i = 0; r == PV_OK && i < l->n; i++) {
        const struct pair *p = &l->pairs[i];
        ids[i] = p->id;
        if (i == 0 || !pv_group_equal(&p->group, &groups[n - 1].group)) {
            bool quiet = pv_group_kind(&p->group) == PV_GROUP_DISCOVERY;
            groups[n++] =
                (struct pv_fp_group){.group = p->group, .wakes = quiet && l->cfg.wake, .first = i};
        }
        if (groups[n - 1].n < PV_FP_MAX_COPIES)
            groups[n - 1].n++;
        else
            l->cut = true;
    }
    if (r == PV_OK)
        r = pv_fp_builder_set_groups(l->node->fp, groups, n, ids, l->n);
    free(groups);
    free(ids);
    l->n_groups = n;
    return r;
}

/* From nothing each time: what was told, presence and configuration are all it depends on. Its
 * memory is freed at once, as changes are rare. */
static void make_list(struct lan *l, pv_ns now)
{
    struct pv_node *n = l->node;
    l->list_at = PV_NEVER;
    l->online = count_online(n);
    l->discovers = l->cfg.broadcast == PV_LAN_AUTO ? are_few(l) : l->cfg.broadcast != PV_LAN_OFF;
    l->n = 0;
    l->cut = false;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;)
        add_member(l, p);
    if (l->n > 0)
        qsort(l->pairs, l->n, sizeof(l->pairs[0]), compare_pairs);
    if (publish(l) != PV_OK)
        l->list_at = now + PV_S(1);
    free(l->pairs);
    l->pairs = NULL;
    l->n = l->room = 0;
    l->wake_at = now;
}

/* Members that come, go and tell at the same time make one list. */
static void changed(struct lan *l, pv_ns now)
{
    if (l->list_at == PV_NEVER)
        l->list_at = now + PV_LAN_SETTLE;
}

/* --- telling --------------------------------------------------------------------------------- */

/* Discovery is joined by some program on nearly every machine, and wakes nobody. */
static bool has_joined(const struct pv_querier *q)
{
    for (size_t i = 0; i < q->n; i++) {
        if (pv_group_kind(&q->groups[i].group) == PV_GROUP_JOINED)
            return true;
    }
    return false;
}

/* A member that might send to a group that programs joined here must know of it before, and a
 * sender knows nobody to ask: so members that are online are reached for that, once. */
static void wake_members(struct lan *l, pv_ns now)
{
    struct pv_node *n = l->node;
    l->wake_at = PV_NEVER;
    if (!are_few(l) || !has_joined(&l->querier))
        return;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;) {
        pv_ns again;
        struct pv_groupsync_peer *e =
            pv_peer_presence(p) == PV_PRESENCE_ONLINE ? groups_of(l, p) : NULL;
        if (e == NULL)
            continue;
        if (pv_groupsync_wake(e, now, &again)) {
            pv_peer_want(p, "it is to know what programs here joined", now);
            pv_peers_touch(n->peers, p, now);
        }
        l->wake_at = pv_min_ns(l->wake_at, again);
    }
}

/* The members hear of another set at once; those who were told of nothing that wakes are not
 * reached for it. */
static void tell_changes(struct lan *l, pv_ns now)
{
    struct pv_group groups[PV_QUERIER_MAX];
    const struct pv_querier *q = &l->querier;
    if (l->seen == q->changes)
        return;
    l->seen = q->changes;
    for (size_t i = 0; i < q->n; i++)
        groups[i] = q->groups[i].group;
    pv_groupsync_set_own(l->sync, groups, q->n, now);
    l->wake_at = now;
}
_Static_assert((int)PV_QUERIER_MAX <= (int)PV_GROUPTELL_MAX, "all that is wanted can be told");

/* Without a path it is repeated. */
static void send_groups(void *lan, uint32_t id, struct pv_view body)
{
    const struct lan *l = lan;
    struct pv_peer *p = pv_peers_by_id(l->node->peers, id);
    if (p != NULL)
        pv_peers_send(l->node->peers, p, PV_INBAND_GROUPS, body);
}

/* Queries stay on this machine; only sets of groups go to members. */
static void send_out(struct lan *l)
{
    uint8_t query[PV_GROUPMSG_QUERY_MAX];
    size_t len;
    while (pv_querier_poll(&l->querier, query, &len))
        pv_peers_inject_tun(l->node->peers, pv_view(query, len));
    pv_groupsync_send(l->sync, send_groups, l);
}

/* In this order: what is wanted here may need members, and who is online comes with the list. */
static void run(void *part, pv_ns now)
{
    struct lan *l = part;
    tell_changes(l, now);
    if (l->list_at <= now)
        make_list(l, now);
    if (l->wake_at <= now)
        wake_members(l, now);
    send_out(l);
    if (pv_pins_take_dirty(l->chosen))
        save_pins(l);
}

/* --- hearing --------------------------------------------------------------------------------- */

/* A packet of a program that makes IGMP by itself counts as well: it is of this machine. */
void pv_lan_report(struct pv_node *n, struct pv_view packet, pv_ns now)
{
    struct lan *l = pv_node_part(n, &pv_part_lan);
    if (l != NULL)
        (void)!pv_querier_hear(&l->querier, packet, now); /* a query of others says nothing */
}

/* Its groups stay known while it is away: its programs mostly run on. */
struct pv_groupsync_known pv_lan_known(const struct pv_node *n, const struct pv_peer *p)
{
    return pv_node_part(n, &pv_part_lan) == NULL ? (struct pv_groupsync_known){.n = 0} : known(p);
}

/* A member speaks of itself only: the session says who it is. */
static void take_groups(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct lan *l = part;
    struct pv_groupsync_peer *e = groups_of(l, from);
    if (e != NULL && pv_groupsync_take(e, body, now))
        changed(l, now);
}

/* The kernel forgets what was joined with the interface, and so does the querier. */
static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct lan *l = part;
    if ((facts & (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_ONLINE | PV_FACT_OFFLINE)) != 0)
        changed(l, now);
    if ((facts & PV_FACT_STORE) != 0)
        save_pins(l);
    if ((facts & PV_FACT_INTERFACE) == 0)
        return;
    bool up = l->node->roster != NULL && l->node->iface.state == PV_IFACE_UP;
    if (up && l->querier.ask_at == PV_NEVER)
        pv_querier_start(&l->querier, now);
    else if (!up)
        pv_querier_stop(&l->querier);
}

/* A static peer knows no in-band messages; what it gets its allowed-ips say. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct lan *l = part;
    if (pv_peer_is_static(p))
        return;
    const struct pv_groupsync_seen seen = {
        .there = pv_peer_can_talk(p, now),
        .takes_discovery = is_chosen(l, p),
    };
    /* Of most members of a large network nothing is ever known. */
    struct pv_groupsync_peer *e = seen.there ? groups_of(l, p) : pv_peer_find_slot(p, &pv_part_lan);
    if (e != NULL)
        pv_groupsync_look(e, &seen, now);
    if (e != NULL && !seen.there && pv_peer_presence(p) != PV_PRESENCE_ONLINE)
        pv_groupsync_away(e);
    if ((facts & PV_PEER_FACT_PRESENCE) != 0)
        l->wake_at = now;
    if (pv_fp_builder_take_discovery(l->node->fp, pv_peer_id(p), seen.takes_discovery) != PV_OK)
        return; /* without memory: at the next occasion */
    if ((facts & (PV_PEER_FACT_PATH | PV_PEER_FACT_PRESENCE | PV_PEER_FACT_MEMBER)) != 0)
        changed(l, now);
}

/* Its id stays in the packet threads' list until the next one, and finds nobody there. */
static void on_peer_gone(void *part, struct pv_peer *p, pv_ns now)
{
    changed(part, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct lan *l = part;
    pv_querier_handle_timeout(&l->querier, now);
    pv_groupsync_handle_timeout(l->sync, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct lan *l = part;
    pv_ns next = pv_min_ns(l->list_at, l->wake_at);
    next = pv_min_ns(next, pv_querier_next_timeout(&l->querier));
    return pv_min_ns(next, pv_groupsync_next_timeout(l->sync));
}

/* --- what is shown --------------------------------------------------------------------------- */

/* Returns true if the i-th name now belongs to another machine than the one it means. */
static bool is_anothers(const struct lan *l, size_t i)
{
    const struct pv_member *m = pv_roster_by_name(l->node->roster, pv_pins_name(l->chosen, i));
    return m != NULL && pv_pins_is_another(l->chosen, i, m->node);
}

static bool is_nobodys(const struct lan *l, size_t i)
{
    return !is_anothers(l, i) && !pv_pins_is_somebody(l->chosen, i, l->node->roster);
}

#define NAMED 8 /* ours: names in a problem; the rest is a number */

/* One line for all names of which that is so. */
static void show_names(const struct lan *l, struct pv_statuspage *st,
                       bool (*is_so)(const struct lan *l, size_t i), const char *what,
                       struct pv_remedy todo)
{
    char text[NAMED * (PV_NAME_BUF + 1) + 32];
    struct pv_text names = pv_text_in(text, sizeof(text));
    const char *name;
    size_t n = 0;
    for (size_t i = 0; (name = pv_pins_name(l->chosen, i)) != NULL; i++) {
        if (!is_so(l, i) || n++ >= NAMED)
            continue;
        pv_text_part(&names, ", ");
        pv_text_add(&names, "%s", name);
    }
    if (n > NAMED)
        pv_text_add(&names, " and %zu more", n - NAMED);
    if (n > 0)
        pv_statuspage_todo(st, PV_STR("%s%s: ", what, text), todo);
}

static void show_chosen(const struct lan *l, struct pv_statuspage *st)
{
    show_names(l, st, is_nobodys, "[lan] peer: no member is called ", PV_DO(name_members));
    show_names(l, st, is_anothers, "[lan] peer: another machine than before is called ",
               PV_DO(mean_another));
}

/* In no network there is no LAN, and nothing to say of it. */
static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    static const char *const words[] = {
        [PV_LAN_AUTO] = "auto", [PV_LAN_ON] = "on", [PV_LAN_OFF] = "off", [PV_LAN_PEERS] = "peers"};
    const struct lan *l = part;
    const struct pv_querier *q = &l->querier;
    if (l->node->roster == NULL)
        return;
    json_t *groups = json_array();
    for (size_t i = 0; i < q->n; i++) {
        const struct pv_addr addr = pv_group_addr(&q->groups[i].group);
        pv_ctlapi_put(&groups, NULL, pv_ctlapi_ip(&addr));
    }
    pv_statuspage_put(st, PV_STATUS_LAN,
                      pv_ctlapi_pack("{s:s, s:b, s:b, s:o, s:o, s:o}", "broadcast",
                                     words[l->cfg.broadcast], "sent", l->discovers, "wake",
                                     l->cfg.wake, "online",
                                     l->online == 0 ? json_null() : pv_ctlapi_u64(l->online),
                                     "groups", groups, "wanted", pv_ctlapi_u64(l->n_groups)));
    if (l->cfg.broadcast == PV_LAN_PEERS && pv_node_self(l->node) != NULL)
        show_chosen(l, st);
    if (q->refused > 0)
        pv_statuspage_todo(
            st, "programs here joined more than 128 multicast groups: ", PV_DO(end_groups));
    if (l->cut)
        pv_statuspage_problem(st, "more members want a group than this node can copy to: ",
                              "some get no broadcasts or multicast of it");
}

/* Copies are not counted: what each peer got is in its own numbers. */
static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct lan *l = part;
    pv_metrics_family(
        m, PV_METRICS_GAUGE, "p2pvpn_lan_groups",
        "Multicast groups that programs here joined, and that anything is copied to.");
    pv_metrics_count(m, l->querier.n, "of", "here", NULL);
    pv_metrics_count(m, l->n_groups, "of", "members", NULL);
    pv_metrics_one(m, PV_METRICS_GAUGE, "p2pvpn_lan_broadcast",
                   "1: broadcasts, mDNS and the like are copied to members.", l->discovers);
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_GROUPS, take_groups}};

const struct pv_part pv_part_lan = {
    .name = "lan",
    .peer_size = sizeof(struct pv_groupsync_peer),
    .end_peer = end_peer,
    .size = PV_PART_SIZE(struct lan),
    .start = start,
    .free = free_lan,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_peer_gone = on_peer_gone,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
    .status = show,
    .metrics = put_metrics,
};
