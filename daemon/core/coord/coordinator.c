/* SPDX-License-Identifier: MIT */
/* coordinator.c - the connection to the coordinator: who asked for what, where it may be, and what
 * its welcome says of itself. */
#include "daemon/core/coord/coordinator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pv.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "crypto/sign.h"
#include "daemon/core/coord/coordaddrs.h"
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/coord/coordwait.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"

/* --- what people are told -------------------------------------------------------------------- */

static const char TWICE_META[] = "keys-twice"; /* this identity, when it is on two machines */
static const char TWICE[] = "another machine connects with this node's keys, as its state was "
                            "copied";

enum {
    CLOCK_OFF = 60, /* seconds; ours: rounding and a slow first answer stay far below */
};

/* How far this machine's clock is from the coordinator's: seconds, negative: behind it. 0: they
 * agree within a minute, or the coordinator's is not known. */
static int64_t clock_off(const struct pv_node *n, pv_ns now)
{
    uint64_t theirs = pv_coordclient_time_us(n->coord, now);
    if (theirs == 0)
        return 0;
    int64_t off = (int64_t)(pv_node_wall_us(n, now) - theirs) / 1000000;
    return off > CLOCK_OFF || off < -CLOCK_OFF ? off : 0;
}

/* Writes what to do about a coordinator that does not know this node. */
static struct pv_remedy unknown_todo(const struct pv_node *n, pv_ns now, char seconds[static 16])
{
    const unsigned left = pv_node_told_in(n->coord_info.unknown_since, now);
    snprintf(seconds, 16, "%u", left);
    return left > 0 ? PV_DO(wait_to_be_told, seconds) : PV_DO(join_anew);
}

static void show_unknown(const struct pv_node *n, struct pv_statuspage *st, pv_ns now)
{
    char seconds[16];
    const struct pv_remedy todo = unknown_todo(n, now, seconds);
    pv_statuspage_todo(st,
                       todo.id == PV_REMEDY_wait_to_be_told
                           ? "the coordinator does not know this machine: "
                           : "the coordinator does not know this machine, and no member has told "
                             "it: ",
                       todo);
}

/* `status`, and doctor by it. */
static void show_proxy(const struct pv_node *n, struct pv_statuspage *st)
{
    const struct pv_connect_about about = pv_node_about_proxy(n);
    const struct pv_connect_answer *a = &n->coord_info.proxy;
    const struct pv_remedy todo = pv_connect_todo(a, &about);
    if (n->coord_info.via.family == PV_AF_NONE && a->state == PV_CONNECT_NONE)
        return;
    st->s.proxy = n->coord_info.proxy_at;
    st->s.proxy_state = pv_connect_word(a->state);
    st->s.proxy_text = pv_connect_why(a, &about, st->proxy_text);
    if (todo.id != PV_REMEDY_NONE)
        st->s.proxy_remedy = pv_remedy_write(&todo, st->proxy_todo, sizeof(st->proxy_todo));
}

static void show_problems(const struct pv_node *n, bool has_kem, struct pv_statuspage *st,
                          pv_ns now)
{
    int64_t off = clock_off(n, now);
    const bool unknown = pv_node_is_unknown(n) && n->up && !pv_node_is_stranger(n);
    /* To be offline is a problem only where the user wants to be online. A node that is no
     * member has a line of its own. */
    if (n->roster != NULL && n->up && !n->removed && pv_node_denied(n) == NULL &&
        !pv_node_is_stranger(n) && !pv_node_was_left(n) && !n->online && !unknown &&
        n->coord_info.error[0] != '\0') {
        const enum pv_remedy_id todo = pv_node_unserved(n);
        struct pv_remedy proxy;
        if (pv_node_is_kept_by_proxy(n, &proxy))
            pv_statuspage_todo(
                st, PV_STR("cannot reach the coordinator: %s: ", n->coord_info.error), proxy);
        else if (todo != PV_REMEDY_NONE)
            pv_statuspage_todo(st, "the coordinator does not serve this network: ",
                               (struct pv_remedy){.id = todo});
        else
            pv_statuspage_problem(st, "cannot reach the coordinator: ", n->coord_info.error);
    }
    if (unknown)
        show_unknown(n, st, now);
    /* This machine's own want of a KEM is not the coordinator's doing. */
    if (n->online && n->coord_info.keys == PV_COORD_HYBRID_LOST && has_kem)
        pv_statuspage_todo(st, "the connection to the coordinator is no longer post-quantum: ",
                           PV_DO(hybrid_again));
    if (off == 0)
        return;
    pv_statuspage_todo(st,
                       PV_STR("this machine's clock is %s %s the coordinator's: ",
                              PV_DURATION_STR((double)(off < 0 ? -off : off)),
                              off < 0 ? "behind" : "ahead of"),
                       PV_DO(set_clock));
}

/* A name as it was given, of addresses the one in use: of several not all may be reached. */
static const char *host_text(const struct pv_node *n, const struct pv_hostport *host,
                             char buf[static PV_HOSTPORT_BUF])
{
    const struct pv_addr *used = pv_coordclient_addr(n->coord);
    struct pv_hostport hp = *host;
    struct pv_addr ip;
    if (used != NULL && n->online && !pv_coordclient_is_tls(n->coord) &&
        pv_addr_parse_ip(hp.host, &ip) == PV_OK) {
        hp = (struct pv_hostport){.port = used->port};
        pv_addr_format_ip(used, hp.host);
    }
    return pv_hostport_format(&hp, buf);
}

/* addrs: of the coordinator that is tried or used; has_kem: this node can make hybrid keys. */
static void coordshow_status(const struct pv_node *n, const struct pv_coordaddrs *addrs,
                             bool has_kem, struct pv_statuspage *st, pv_ns now)
{
    st->s.connected = n->online;
    st->s.connected_ms =
        n->online ? (double)(now - n->coord_info.connected_at) / (double)PV_MS(1) : -1;
    st->s.coordinator_error = n->coord_info.error[0] != '\0' ? n->coord_info.error : NULL;
    struct pv_remedy todo = {.id = pv_node_unserved(n)};
    char seconds[16];
    if (pv_node_is_unknown(n))
        todo = unknown_todo(n, now, seconds);
    if (todo.id != PV_REMEDY_NONE)
        st->s.coordinator_remedy =
            pv_remedy_write(&todo, st->coordinator_todo, sizeof(st->coordinator_todo));
    if (n->roster != NULL && addrs->n_hosts > 0)
        st->s.coordinator = host_text(n, &addrs->hosts[0], st->coordinator);
    if (pv_coordclient_rtt(n->coord) != 0)
        st->s.coordinator_rtt_ms = (double)pv_coordclient_rtt(n->coord) / 1e6;
    if (n->online)
        st->pq.coordinator = n->coord_info.keys == PV_COORD_HYBRID ? "hybrid" : "classical";
    show_proxy(n, st);
    show_problems(n, has_kem, st, now);
}

/* The round trip is left out while the connection is away: an old figure would look like a good
 * one. */
static void coordshow_metrics(const struct pv_node *n, struct pv_metrics *m)
{
    pv_metrics_one(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_connected",
                   "1: the control channel to the coordinator is up.", n->online);
    pv_metrics_one(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_hybrid",
                   "1: ML-KEM-768 takes part in the keys of the control channel.",
                   n->online && n->coord_info.keys == PV_COORD_HYBRID);
    pv_metrics_one(m, PV_METRICS_COUNTER, "p2pvpn_coordinator_connects_total",
                   "How often the control channel came up: the first time and after each loss.",
                   n->coord_info.connects);
    pv_metrics_family(m, PV_METRICS_GAUGE, "p2pvpn_coordinator_rtt_seconds",
                      "Round trip on the control channel.");
    if (n->online && pv_coordclient_rtt(n->coord) != 0)
        pv_metrics_real(m, (double)pv_coordclient_rtt(n->coord) / 1e9, NULL);
}

/* --- coordinators whose keys have been hybrid ------------------------------------------------ */

/* A coordinator whose control channel has been hybrid once (proto/control/control.h) is known by
 * its identity key: one that is hybrid no more has lost something that its operator should hear of,
 * and [security] pq = require does without it.
 *
 * Nobody on the way can take the offer or its answer out, as both are sealed by the handshake: what
 * is found out here is a coordinator that was set back, or whose keys somebody else has. */

enum {
    COORDPQ_MAX = 8, /* ours: more than a network names; the oldest makes way */
};

struct coordpq {
    uint8_t keys[COORDPQ_MAX][PV_SIGN_PK_LEN]; /* oldest first */
    size_t n;
};

/* The bytes that were stored in an earlier life. Something else is taken for nothing. */
static void coordpq_load(struct coordpq *x, struct pv_view stored)
{
    x->n = 0;
    if (stored.len == 0 || stored.len % PV_SIGN_PK_LEN != 0 || stored.len > sizeof(x->keys))
        return;
    memcpy(x->keys, stored.ptr, stored.len);
    x->n = stored.len / PV_SIGN_PK_LEN;
}

static bool coordpq_knows(const struct coordpq *x, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    for (size_t i = 0; i < x->n; i++)
        if (memcmp(x->keys[i], pk, PV_SIGN_PK_LEN) == 0)
            return true;
    return false;
}

/* Its channel is hybrid. True: that is new and is to be stored. */
static bool coordpq_note(struct coordpq *x, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    if (coordpq_knows(x, pk))
        return false;
    if (x->n == COORDPQ_MAX)
        memmove(x->keys[0], x->keys[1], --x->n * PV_SIGN_PK_LEN);
    memcpy(x->keys[x->n++], pk, PV_SIGN_PK_LEN);
    return true;
}

/* --- the connection -------------------------------------------------------------------------- */

enum {
    MAX_OWNERS = 64,  /* ours: more parts than there are */
    OWNER_SHIFT = 56, /* of the owner's number in the connection's tags */

    AWAY_REASONS = 4, /* ours: lines about a coordinator that is away before only each hour */
};
#define NOWHERE    SIZE_MAX
#define AWAY_AGAIN PV_S(3600) /* ours: from one line to the next about one that is away */
#define TAG_MASK   (((uint64_t)1 << OWNER_SHIFT) - 1)

struct pv_coord {
    struct pv_node *node;
    struct pv_fifo events;               /* of the connection */
    uint8_t list[PV_STATEMENT_LIST_MAX]; /* of coordinators, as the record or the token has it */
    size_t list_len;
    size_t at;                           /* place in it of the one that is tried or used */
    struct pv_coordclient_target target; /* that one */
    struct pv_coordaddrs addrs;          /* of that one */
    struct pv_ctl_cursor cursor;         /* in that coordinator's log */
    bool cursor_moved;                   /* the store has another one */
    struct coordpq were_hybrid;
    bool has_kem;
    bool require;                             /* [security] pq: those must be hybrid again */
    const struct pv_part *owners[MAX_OWNERS]; /* parts that ever asked */
    size_t n_owners;
    char unfound[PV_COORD_WHY_MAX + 1]; /* why no address of it is known */
    char said[PV_COORD_WHY_MAX + 1];    /* why it is away, as the log has it */
    unsigned n_said;                    /* times since it was there */
    pv_ns said_at;
    pv_ns twice_until; /* a second machine with our keys is a problem; 0: there is none */
};

/* --- life ------------------------------------------------------------------------------------- */

static void free_coordinator(void *part)
{
    struct pv_coord *c = part;
    c->node->coord = pv_coordclient_free(c->node->coord);
}

static int start_part(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_coord *c = part;
    const struct pv_coordclient_config cc = {.rng = c->node->rng,
                                             .log = c->node->log,
                                             .sign_sk = c->node->identity->sign_sk,
                                             .sign_pk = c->node->identity->sign_pk,
                                             .dh_sk = c->node->identity->dh_sk,
                                             .kem =
                                                 cfg->given.pq == PV_PQ_OFF ? NULL : cfg->given.kem,
                                             .streams = &c->node->streams,
                                             .kind = PV_STREAM_COORD,
                                             .events = &c->events};
    c->has_kem = cc.kem != NULL;
    c->require = cfg->given.pq == PV_PQ_REQUIRE && c->has_kem;
    if (cfg->given.proxy.host[0] != '\0')
        pv_proxyset_at(cfg->given.proxy.host, cfg->given.proxy.port, c->node->coord_info.proxy_at);
    return pv_coordclient_new(&c->node->coord, &cc);
}

static int restore_coordinator(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_coord *c = part;
    c->cursor.epoch = pv_saved_u64(cfg->saved, "cursor-epoch");
    c->cursor.n = pv_saved_u64(cfg->saved, "cursor-n");
    pv_coordaddrs_load_learnt(&c->addrs, pv_saved_value(cfg->saved, "tls-hosts"));
    coordpq_load(&c->were_hybrid, pv_saved_value(cfg->saved, "hybrid-coordinators"));
    const struct pv_view twice = pv_saved_value(cfg->saved, TWICE_META);
    /* A later identity of this machine is nobody else's. */
    c->node->coord_info.keys_twice =
        twice.len == PV_SIGN_PK_LEN &&
        memcmp(twice.ptr, c->node->identity->sign_pk, PV_SIGN_PK_LEN) == 0;
    return PV_OK;
}

/* --- for other parts -------------------------------------------------------------------------- */

static struct pv_coord *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_coordinator);
}

/* A part keeps its number for good: answers find their owner by the number in the tag, whoever
 * asked since. */
int pv_coord_ask(struct pv_node *n, const struct pv_part *owner, struct pv_ctl_msg *msg,
                 uint64_t tag)
{
    struct pv_coord *c = of(n);
    size_t i = 0;
    while (i < c->n_owners && c->owners[i] != owner)
        i++;
    if (i == MAX_OWNERS)
        return PV_ERR_LIMIT;
    if (i == c->n_owners)
        c->owners[c->n_owners++] = owner;
    return pv_coordclient_request(n->coord, msg, (uint64_t)i << OWNER_SHIFT | (tag & TAG_MASK));
}

/* Parts hear of a change only: each fact makes them ask or give up things, which must happen once.
 */
static void set_online(struct pv_node *n, bool online)
{
    if (n->online == online)
        return;
    n->online = online;
    pv_node_raise(n, online ? PV_FACT_ONLINE : PV_FACT_OFFLINE);
}

static void set_error(struct pv_node *n, const char *why)
{
    snprintf(n->coord_info.error, sizeof(n->coord_info.error), "%s", why);
    n->coord_info.unknown = n->coord_info.unserved = false;
    pv_node_raise(n, PV_FACT_COORDINATOR);
}

static pv_job_done take_lookup;

/* An applicant knows nothing of where this network's coordinator once spoke TLS. */
static void find_addrs(struct pv_coord *c)
{
    pv_coordaddrs_find(&c->addrs, c->node, c->node->coord_info.as_member, take_lookup, c);
}

bool pv_coord_must_hybrid(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    const struct pv_coord *c = of(n);
    return c->require && coordpq_knows(&c->were_hybrid, pk);
}

/* The one at this place of the list; false: it has fewer. */
static bool named_at(const struct pv_coord *c, size_t at, struct pv_coordinator *ret_named)
{
    struct pv_view list = pv_view(c->list, c->list_len);
    for (size_t i = 0; pv_coordlist_next(&list, ret_named); i++)
        if (i == at)
            return true;
    return false;
}

/* Takes aim at one of the list. Logs and TLS ports are each coordinator's own. */
static bool aim(struct pv_coord *c, size_t at)
{
    struct pv_coordinator named;
    if (!named_at(c, at, &named))
        return false;
    if (memcmp(c->target.coordinator, named.pk, sizeof(c->target.coordinator)) != 0 &&
        !pv_ct_is_zero(c->target.coordinator, sizeof(c->target.coordinator))) {
        c->cursor = (struct pv_ctl_cursor){0};
        c->addrs.n_tls_hosts = 0;
    }
    c->at = at;
    pv_coordaddrs_set_hosts(&c->addrs, named.addrs);
    memcpy(c->target.coordinator, named.pk, sizeof(c->target.coordinator));
    memcpy(c->node->coord_info.pk, named.pk, sizeof(c->node->coord_info.pk));
    c->target.must_hybrid = pv_coord_must_hybrid(c->node, named.pk);
    if (c->target.role == PV_CTL_MEMBER)
        c->target.have = c->cursor;
    find_addrs(c);
    return true;
}

static void start(struct pv_coord *c, pv_ns now)
{
    struct pv_node *n = c->node;
    int r = pv_coordclient_start(n->coord, &c->target, c->addrs.addrs, c->addrs.n_addrs, now);
    if (r != PV_OK)
        snprintf(n->coord_info.error, sizeof(n->coord_info.error),
                 "the coordinator's key is unusable: %s", pv_strstatus(r));
}

void pv_coord_connect(struct pv_node *n, struct pv_view list, enum pv_ctl_role role,
                      const uint8_t *network_id, pv_ns now)
{
    struct pv_coord *c = of(n);
    n->coord_info.as_member = role == PV_CTL_MEMBER;
    /* Parts stop relying on the old connection before the new one begins. */
    set_online(n, false);
    c->list_len = list.len <= sizeof(c->list) ? list.len : 0;
    if (c->list_len > 0)
        memcpy(c->list, list.ptr, c->list_len);
    c->target.role = role;
    c->target.has_network = network_id != NULL;
    if (network_id != NULL)
        memcpy(c->target.network, network_id, sizeof(c->target.network));
    c->target.have = (struct pv_ctl_cursor){0};
    if (aim(c, 0)) {
        start(c, now);
    } else {
        pv_coordaddrs_set_hosts(&c->addrs, pv_view(NULL, 0));
        pv_coordclient_stop(n->coord);
    }
}

/* Where in the list this coordinator stands; NOWHERE: it does not. */
static size_t place_of(struct pv_view list, const uint8_t *pk)
{
    struct pv_coordinator named;
    for (size_t at = 0; pv_coordlist_next(&list, &named); at++)
        if (memcmp(named.pk, pk, PV_SIGN_PK_LEN) == 0)
            return at;
    return NOWHERE;
}

/* Returns true if the new list puts no coordinator before the one in use that the old list did not.
 * Those of the old list were away when this one was taken. */
static bool keeps_place(const struct pv_coord *c, struct pv_view list, size_t *ret_at)
{
    struct pv_coordinator named;
    struct pv_view rest = list;
    *ret_at = place_of(list, c->target.coordinator);
    if (*ret_at == NOWHERE)
        return false;
    for (size_t i = 0; i < *ret_at && pv_coordlist_next(&rest, &named); i++)
        if (place_of(pv_view(c->list, c->list_len), named.pk) >= c->at)
            return false;
    return true;
}

void pv_coord_follow(struct pv_node *n, struct pv_view list, pv_ns now)
{
    struct pv_coord *c = of(n);
    if (!n->coord_info.as_member || list.len == 0 ||
        pv_coordclient_state(n->coord) == PV_COORDCLIENT_STOPPED ||
        (list.len == c->list_len && memcmp(list.ptr, c->list, list.len) == 0))
        return;
    size_t at;
    if (!n->online || list.len > sizeof(c->list) || !keeps_place(c, list, &at)) {
        pv_coord_connect(n, list, PV_CTL_MEMBER, c->target.network, now);
        return;
    }
    memcpy(c->list, list.ptr, list.len);
    c->list_len = list.len;
    if (aim(c, at))
        pv_coordclient_set_addrs(n->coord, c->addrs.addrs, c->addrs.n_addrs, now);
}

/* Members that use different coordinators do not see each other come and go, so one that stands
 * further in front is worth a new connection. */
void pv_coord_return(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    struct pv_coord *c = of(n);
    size_t at = place_of(pv_view(c->list, c->list_len), pk);
    if (!n->online || at >= c->at)
        return;
    set_online(n, false);
    if (aim(c, at))
        start(c, now);
}

/* This one does not let us in: the next attempt is another's, where there is one. */
static void turn_to_next(struct pv_coord *c, pv_ns now)
{
    struct pv_coordinator other;
    struct pv_node *n = c->node;
    if (!named_at(c, 1, &other) || pv_coordclient_state(n->coord) != PV_COORDCLIENT_WAITING ||
        !aim(c, named_at(c, c->at + 1, &other) ? c->at + 1 : 0))
        return;
    if (pv_coordclient_turn(n->coord, &c->target) == PV_OK)
        pv_coordclient_set_addrs(n->coord, c->addrs.addrs, c->addrs.n_addrs, now);
}

void pv_coord_turn(struct pv_node *n, pv_ns now)
{
    turn_to_next(of(n), now);
}

bool pv_coord_next(struct pv_node *n, pv_ns now)
{
    struct pv_coord *c = of(n);
    if (!aim(c, c->at + 1))
        return false;
    set_online(n, false);
    start(c, now);
    return true;
}

void pv_coord_disconnect(struct pv_node *n)
{
    set_online(n, false);
    n->coord_info.as_member = false;
    pv_coordclient_stop(n->coord);
}

int pv_coord_hash(const struct pv_node *n, uint8_t ret_hash[static PV_CTL_HASH_LEN])
{
    return pv_coordclient_handshake_hash(n->coord, ret_hash);
}

void pv_coord_hurry(struct pv_node *n, pv_ns until, pv_ns now)
{
    pv_coordclient_hurry(n->coord, until, now);
}

void pv_coord_doubt(const struct pv_node *n)
{
    pv_coordclient_doubt(n->coord, pv_coordclient_heard_at(n->coord) + PV_STREAM_UNACKED);
}

struct pv_ctl_cursor pv_coord_cursor(const struct pv_node *n)
{
    return of(n)->cursor;
}

void pv_coord_set_cursor(struct pv_node *n, struct pv_ctl_cursor cursor)
{
    of(n)->cursor = cursor;
    of(n)->cursor_moved = true;
    pv_coordclient_set_have(n->coord, cursor);
}

/* The cursor is stored, so that a node that starts again asks for what came since, and not for the
 * whole log of its network. */
void pv_coord_save_cursor(struct pv_node *n)
{
    const struct pv_ctl_cursor cursor = of(n)->cursor;
    uint8_t epoch[8], number[8];
    if (!of(n)->cursor_moved)
        return;
    of(n)->cursor_moved = false;
    pv_store_be64(epoch, cursor.epoch);
    pv_store_be64(number, cursor.n);
    pv_node_put_meta(n, "cursor-epoch", pv_view(epoch, sizeof(epoch)));
    pv_node_put_meta(n, "cursor-n", pv_view(number, sizeof(number)));
}

/* The store forgets it with the network. */
void pv_coord_forget_cursor(struct pv_node *n)
{
    of(n)->cursor = (struct pv_ctl_cursor){0};
    of(n)->cursor_moved = false;
}

/* --- what welcome says ------------------------------------------------------------------------ */

/* A name may lead anywhere, and this node would send to every address it got: so only those are
 * used that can belong to the coordinator (pv_coordaddrs_is_believed()). The one by which it is
 * reached goes first: the others are only told, and a network may lead to none of them. */
static void add_server(struct pv_node *n, const struct pv_addr *addr)
{
    if (!pv_coordaddrs_is_believed(&n->coord_info.addr, addr)) {
        pv_log(n->log, PV_LOG_INFO, "what=\"server not used\" address=%s why=\"%s\"",
               PV_ADDR_STR(addr), "the coordinator is not reached in such a network");
        return;
    }
    for (size_t i = 0; i < n->coord_info.n_servers; i++) {
        if (pv_addr_equal(&n->coord_info.servers[i], addr))
            return;
    }
    struct pv_addr *list = n->coord_info.servers;
    if (n->coord_info.n_servers == PV_ARRAY_LEN(n->coord_info.servers))
        return;
    list[n->coord_info.n_servers++] = *addr;
    /* A part that asks one of a family asks the first of it. */
    if (pv_addr_equal_ip(addr, &n->coord_info.addr)) {
        memmove(list + 1, list, (n->coord_info.n_servers - 1) * sizeof(*list));
        list[0] = *addr;
    }
}

static void take_stun(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_coord *c = wait->self;
    for (size_t i = 0; i < result->n_addrs; i++)
        add_server(c->node, &result->addrs[i]);
    if (c->node->coord_info.n_asking > 0)
        c->node->coord_info.n_asking--;
    pv_node_raise(c->node, PV_FACT_SERVERS);
}

/* The list replaces the former list: a server that the coordinator no longer names is not used. */
static void take_servers(struct pv_coord *c, const struct pv_ctl_welcome *w)
{
    struct pv_node *n = c->node;
    n->coord_info.n_servers = n->coord_info.n_asking = 0;
    for (size_t i = 0; i < w->n_stun; i++) {
        struct pv_addr addr;
        struct pv_hostport hp;
        if (pv_addr_parse(w->stun[i], &addr) == PV_OK)
            add_server(n, &addr);
        else if (pv_hostport_parse(w->stun[i], strlen(w->stun[i]), &hp) == PV_OK)
            n->coord_info.n_asking +=
                pv_jobqueue_resolve(&c->node->jobs, hp.host, hp.port, take_stun, c, 0);
    }
    /* The address that works for TCP is the best guess when it names none. */
    if (w->n_stun == 0 && n->coord_info.addr.family != PV_AF_NONE)
        add_server(n, &n->coord_info.addr);
    pv_node_raise(c->node, PV_FACT_SERVERS);
}

static void save_tls_hosts(const struct pv_coord *c)
{
    char text[PV_COORDADDRS_TEXT];
    size_t len = pv_coordaddrs_write_learnt(&c->addrs, text);
    pv_node_put_meta(c->node, "tls-hosts", pv_view(text, len));
}

static void save_hybrids(const struct pv_coord *c)
{
    pv_node_put_meta(c->node, "hybrid-coordinators",
                     pv_view(c->were_hybrid.keys, c->were_hybrid.n * PV_SIGN_PK_LEN));
}

static void take_tls(struct pv_coord *c, const struct pv_ctl_welcome *w)
{
    struct pv_coord_info *info = &c->node->coord_info;
    info->has_pin = w->has_tls;
    memcpy(info->pin, w->tls.pin, sizeof(info->pin));
    if (pv_coordaddrs_learn(&c->addrs, w))
        save_tls_hosts(c);
}

/* The knowledge about this coordinator is not lost silently. */
static void note_hybrid(struct pv_coord *c, bool hybrid)
{
    struct pv_node *n = c->node;
    struct pv_coord_info *info = &n->coord_info;
    bool before = coordpq_knows(&c->were_hybrid, info->pk);
    info->keys = hybrid ? PV_COORD_HYBRID : before ? PV_COORD_HYBRID_LOST : PV_COORD_CLASSICAL;
    if (info->keys == PV_COORD_HYBRID_LOST)
        pv_log(n->log, PV_LOG_WARN,
               "what=\"the connection to the coordinator is not hybrid (post-quantum); it was "
               "before\"");
    if (!hybrid || !coordpq_note(&c->were_hybrid, info->pk))
        return;
    c->target.must_hybrid = c->require;
    pv_coordclient_set_must_hybrid(n->coord, c->require);
    save_hybrids(c);
}

/* --- events ----------------------------------------------------------------------------------- */

/* A push has no owner: any part may want what the coordinator tells of its own accord. */
static void push_to_all(struct pv_coord *c, const struct pv_ctl_msg *msg, pv_ns now)
{
    PV_EACH_PART(c->node, slot) {
        if (slot->part->on_push != NULL)
            slot->part->on_push(slot->self, msg, now);
    }
}

/* While another round of attempts runs, the last one's result is what is known. */
static void show_way(const struct pv_coord *c)
{
    struct pv_coord_info *info = &c->node->coord_info;
    const struct pv_coordclient_proxy *said = pv_coordclient_proxy(c->node->coord);
    info->via = *pv_coordclient_via(c->node->coord);
    if (c->addrs.proxy_unfound && c->addrs.n_addrs == 0) {
        info->proxy = (struct pv_connect_answer){.state = PV_CONNECT_UNFOUND};
    } else if (info->via.family == PV_AF_NONE) {
        info->proxy = (struct pv_connect_answer){.state = PV_CONNECT_NONE};
    } else if (said->answer.state == PV_CONNECT_OPEN) {
        info->proxy = said->answer;
        pv_coordclient_place(c->node->coord, info->proxy_to);
    } else if (said->answer.state > PV_CONNECT_ASKED || info->proxy.state <= PV_CONNECT_ASKED) {
        info->proxy = said->answer;
        memcpy(info->proxy_to, said->to, sizeof(info->proxy_to));
    }
}

/* The facts about the connection that others may know without its client: kept in step after every
 * call. */
static void show_connection(struct pv_coord *c, pv_ns now)
{
    struct pv_coord_info *info = &c->node->coord_info;
    const struct pv_addr *used = pv_coordclient_addr(c->node->coord);
    info->addr = used != NULL ? *used : (struct pv_addr){.family = PV_AF_NONE};
    info->tls = pv_coordclient_is_tls(c->node->coord);
    show_way(c);
    c->node->coord_info.heard_at = pv_coordclient_heard_at(c->node->coord);
    c->node->coord_info.rtt = pv_coordclient_rtt(c->node->coord);
    c->node->coord_info.clock =
        (struct pv_wall){.us = pv_coordclient_time_us(c->node->coord, now), .at = now};
}

static void go_online(struct pv_coord *c, const struct pv_ctl_msg *welcome, pv_ns now)
{
    struct pv_node *n = c->node;
    n->coord_info.error[0] = '\0';
    n->coord_info.standing = PV_COORD_NO_COMPLAINT;
    n->coord_info.unknown_since = 0;
    n->coord_info.unknown = n->coord_info.unserved = false;
    show_connection(c, now);
    /* The network was left while this welcome waited to be taken. */
    if (n->coord_info.as_member && n->roster == NULL)
        return;
    /* An applicant only enrols. It stays offline, so that no other part mistakes its connection for
     * the network's. */
    note_hybrid(c, pv_coordclient_is_hybrid(n->coord));
    if (n->coord_info.as_member) {
        pv_log(n->log, PV_LOG_INFO, "what=\"coordinator connected\" hybrid=%s",
               n->coord_info.keys == PV_COORD_HYBRID ? "yes" : "no");
        n->coord_info.connects++;
        n->coord_info.connected_at = now;
        /* A second machine that runs replaces this connection within its next wait. */
        if (c->twice_until != 0)
            c->twice_until = now + PV_COORDWAIT_MAX + PV_S(10);
        set_online(n, true);
        take_servers(c, &welcome->u.welcome);
        take_tls(c, &welcome->u.welcome);
    }
    push_to_all(c, welcome, now);
}

/* Attempts go on every few seconds, for days if need be: the log has the loss, the first reasons
 * that differ, and a line an hour. status always knows the last reason. */
static void log_away(struct pv_coord *c, const char *why, pv_ns now)
{
    struct pv_node *n = c->node;
    bool again = c->n_said > 0 && strcmp(c->said, why) == 0;
    if (n->online)
        c->n_said = 0;
    else if ((again || c->n_said >= AWAY_REASONS) && now - c->said_at < AWAY_AGAIN)
        return;
    snprintf(c->said, sizeof(c->said), "%s", why);
    c->n_said++;
    c->said_at = now;
    pv_log(n->log, PV_LOG_INFO, "what=\"%s\" why=\"%s\"",
           n->online ? "coordinator lost" : "coordinator not reached", why);
}

/* An applicant's loss is told by its error alone: enrolment decides whether to go on. */
static void go_offline(struct pv_coord *c, const char *why, pv_ns now)
{
    struct pv_node *n = c->node;
    bool was_online = n->online;
    set_error(n, why);
    if (!n->coord_info.as_member)
        return;
    log_away(c, why, now);
    n->coord_info.handed_over &= !was_online;
    set_online(n, false);
    /* One that is lost is most likely back in a moment, so it is asked once more, unless that was
     * so again and again. */
    if (!was_online || pv_coordclient_is_dropped(n->coord))
        turn_to_next(c, now);
    find_addrs(c); /* names may point elsewhere by now */
    if (c->addrs.n_addrs > 0)
        pv_coordclient_set_addrs(n->coord, c->addrs.addrs, c->addrs.n_addrs, now);
}

/* A coordinator that does not know this node, or knows it as revoked, will not change its mind by
 * itself: `unknown` keeps that apart from one that is away. */
static void take_refusal(struct pv_coord *c, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_node *n = c->node;
    bool is_error = msg->type == PV_CTL_ERROR;
    if (n->coord_info.as_member) {
        enum pv_ctl_error error = is_error ? msg->u.failure.error : PV_CTL_E_NONE;
        n->coord_info.standing = error == PV_CTL_E_REVOKED        ? PV_COORD_DENIED
                                 : error == PV_CTL_E_UNKNOWN_NODE ? PV_COORD_UNKNOWN
                                 : error == PV_CTL_E_LEFT         ? PV_COORD_RESIGNED
                                                                  : PV_COORD_NO_COMPLAINT;
        if (error == PV_CTL_E_UNKNOWN_NODE && n->coord_info.unknown_since == 0)
            n->coord_info.unknown_since = now;
    }
    go_offline(c, is_error ? msg->u.failure.message : "the coordinator refused us", now);
    n->coord_info.unknown =
        n->coord_info.as_member && is_error && msg->u.failure.error == PV_CTL_E_UNKNOWN_NODE;
    n->coord_info.unserved =
        n->coord_info.as_member && is_error && msg->u.failure.error == PV_CTL_E_UNKNOWN_NETWORK;
    /* It is reached: who waits for an admin has a line of its own in `status`. */
    if (n->coord_info.as_member && is_error && msg->u.failure.error == PV_CTL_E_WAITING)
        n->coord_info.error[0] = '\0';
    push_to_all(c, msg, now);
}

/* The connection's handshake proves who is there. */
static void add_home(struct pv_coord *c, const struct pv_addr *addr, pv_ns now)
{
    if (pv_coordaddrs_is_believed(&c->node->coord_info.addr, addr))
        pv_coordclient_detour(c->node->coord, addr, now);
}

static void take_home(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    for (size_t i = 0; i < result->n_addrs; i++)
        add_home(wait->self, &result->addrs[i], now);
}

/* This coordinator is not the home of the network, or no more. Without a word of where that is the
 * others of the list are tried. */
static void follow_home(struct pv_coord *c, const struct pv_ctl_failure *moved, pv_ns now)
{
    for (size_t i = 0; i < moved->n_to; i++) {
        struct pv_addr addr;
        struct pv_hostport hp;
        if (pv_addr_parse(moved->to[i], &addr) == PV_OK)
            add_home(c, &addr, now);
        else if (pv_hostport_parse(moved->to[i], strlen(moved->to[i]), &hp) == PV_OK && !hp.tls)
            (void)pv_jobqueue_resolve(&c->node->jobs, hp.host, hp.port, take_home, c, 0);
    }
}

static void take_answer(struct pv_coord *c, const struct pv_coordclient_event *ev, pv_ns now)
{
    uint64_t number = ev->tag >> OWNER_SHIFT;
    if (number >= c->n_owners)
        return;
    const struct pv_part *owner = c->owners[number];
    void *self = pv_node_part(c->node, owner);
    if (self != NULL && owner->on_answer != NULL)
        owner->on_answer(self, ev->tag & TAG_MASK, ev->msg, now);
}

/* Both machines are told in turn, by every connection of the other. The mark is kept for good: a
 * leave of either would take the other's place away. */
static void note_twice(struct pv_coord *c, pv_ns now)
{
    struct pv_node *n = c->node;
    c->twice_until = PV_NEVER;
    (void)pv_node_log_report(n, PV_FROM_COORDINATOR, PV_STR("%s: %s", TWICE, PV_DO_STR(keys_twice)),
                             now);
    if (n->coord_info.keys_twice)
        return;
    n->coord_info.keys_twice = true;
    pv_node_put_meta(n, TWICE_META, pv_view(n->identity->sign_pk, PV_SIGN_PK_LEN));
}

/* Before a roster is there no part could tell whom a push is about. */
static void take_push(struct pv_coord *c, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_node *n = c->node;
    if (!n->coord_info.as_member || n->roster == NULL)
        return;
    push_to_all(c, msg, now);
    if (msg->type != PV_CTL_BYE)
        return;
    pv_log(n->log, PV_LOG_INFO, "what=\"coordinator says bye\" why=%s",
           pv_ctl_error_word(msg->u.failure.error));
    if (msg->u.failure.error == PV_CTL_E_REPLACED)
        note_twice(c, now);
}

/* A name that is not found is the error that users see, where it leaves nothing to try: the next
 * attempt comes as after any other failure, with a lookup of its own. */
static void nothing_found(struct pv_coord *c, const char *why, pv_ns now)
{
    snprintf(c->unfound, sizeof(c->unfound), "%.*s", (int)sizeof(c->unfound) - 1, why);
    pv_coordclient_not_found(c->node->coord, now);
}

/* A name that was not found before, as on a machine that starts before its network is there, may be
 * found by now. */
static void look_again(struct pv_coord *c, pv_ns now)
{
    if (!pv_coordclient_wants_addrs(c->node->coord) || c->addrs.n_asking > 0)
        return;
    find_addrs(c);
    if (c->addrs.n_addrs > 0)
        pv_coordclient_set_addrs(c->node->coord, c->addrs.addrs, c->addrs.n_addrs, now);
    else if (pv_coordaddrs_are_unknown(&c->addrs))
        nothing_found(c, "the coordinator's name could not be looked up", now);
}

/* text: NULL when no address was found. Where it was looked for is news only before it was found.
 */
static void not_reached(struct pv_coord *c, struct pv_reason why, pv_ns now)
{
    char tried[PV_COORDCLIENT_TRIED_BUF], said[PV_CONNECT_WHY_MAX];
    struct pv_remedy todo;
    show_way(c);
    const struct pv_connect_about about = pv_node_about_proxy(c->node);
    if (pv_node_is_kept_by_proxy(c->node, &todo)) {
        go_offline(c, pv_connect_why(&c->node->coord_info.proxy, &about, said), now);
        return;
    }
    if (why.text == NULL) {
        go_offline(c, c->unfound, now);
        return;
    }
    const char *text = c->node->online
                           ? why.text
                           : PV_STR("%s%s", why.text, pv_coordclient_tried(c->node->coord, tried));
    go_offline(c, PV_REASON_STR(((struct pv_reason){text, why.todo})), now);
}

/* Takes all events, in their order: each may be about what the one before it has changed. */
static void run_coordinator(void *part, pv_ns now)
{
    struct pv_coord *c = part;
    struct pv_coordclient_event ev;
    look_again(c, now);
    while (pv_fifo_take(&c->events, &ev) == PV_OK) {
        switch (ev.type) {
        case PV_COORDCLIENT_EV_ONLINE:
            go_online(c, ev.msg, now);
            break;
        case PV_COORDCLIENT_EV_REFUSED:
            take_refusal(c, ev.msg, now);
            break;
        case PV_COORDCLIENT_EV_AWAY:
            c->node->coord_info.handed_over |= ev.msg->type == PV_CTL_BYE;
            follow_home(c, &ev.msg->u.failure, now);
            break;
        case PV_COORDCLIENT_EV_OFFLINE:
            not_reached(c, ev.why, now);
            break;
        case PV_COORDCLIENT_EV_ANSWER:
            take_answer(c, &ev, now);
            break;
        case PV_COORDCLIENT_EV_PUSH:
            take_push(c, ev.msg, now);
            break;
        }
        pv_ctl_msg_free(ev.msg);
    }
    show_connection(c, now);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct pv_coord *c = part;
    struct pv_coordclient *coord = c->node->coord;
    /* Without this the connection would wait for its timeout. */
    if ((facts & PV_FACT_ADDRESS_GONE) != 0)
        pv_coordclient_moved(coord, now);
    /* A NAT that forgot us forgot the coordinator, too. */
    if ((facts & PV_FACT_MOVED) != 0)
        pv_coordclient_remapped(coord, now);
    /* A relay may be silent because the coordinator's machine is. */
    if ((facts & (PV_FACT_NAT_DOUBT | PV_FACT_UDP_DOUBT)) != 0)
        pv_coordclient_doubt(coord, now);
    /* Not how far the log was read: that follows what membership stores, and comes with it. */
    if ((facts & PV_FACT_STORE) != 0) {
        save_tls_hosts(c);
        save_hybrids(c);
    }
}

/* --- names, time ------------------------------------------------------------------------------ */

/* Names resolve one by one: each brings its addresses, and attempts need not wait for the slowest.
 */
static void take_lookup(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct pv_coord *c = wait->self;
    if (!pv_coordaddrs_take(&c->addrs, c->node, wait, result))
        return;
    if (pv_coordaddrs_are_unknown(&c->addrs))
        nothing_found(
            c, result->status != PV_OK ? result->error : "the coordinator's name has no address",
            now);
    else if (c->addrs.n_addrs > 0)
        pv_coordclient_set_addrs(c->node->coord, c->addrs.addrs, c->addrs.n_addrs, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct pv_coord *c = part;
    pv_coordclient_handle_timeout(c->node->coord, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct pv_coord *c = part;
    return pv_coordclient_next_timeout(c->node->coord);
}

/* --- its streams ------------------------------------------------------------------------------ */

static void *client_of(void *part)
{
    const struct pv_coord *c = part;
    return c->node->coord;
}

static const struct pv_stream_handler streams[] = {{
    .kind = PV_STREAM_COORD,
    .machine = client_of,
    .proxied = pv_coordclient_proxied,
    .connected = pv_coordclient_connected,
    .bytes = pv_coordclient_handle_bytes,
    .closed = pv_coordclient_closed,
    .out = pv_coordclient_out,
    .wrote = pv_coordclient_wrote,
}};

/* --- what it says of itself ------------------------------------------------------------------- */

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct pv_coord *c = part;
    coordshow_status(c->node, &c->addrs, c->has_kem, st, now);
    if (c->node->roster != NULL && now < c->twice_until)
        pv_statuspage_todo(st, PV_STR("%s: ", TWICE), PV_DO(keys_twice));
}

static void put_metrics(void *part, struct pv_metrics *m, pv_ns now)
{
    const struct pv_coord *c = part;
    coordshow_metrics(c->node, m);
}

const struct pv_part pv_part_coordinator = {
    .name = "coordinator",
    .size = PV_PART_SIZE(struct pv_coord),
    .start = start_part,
    .free = free_coordinator,
    .restore = restore_coordinator,
    .on_facts = on_facts,
    .run = run_coordinator,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .streams = streams,
    .n_streams = PV_ARRAY_LEN(streams),
    .status = show,
    .metrics = put_metrics,
};
