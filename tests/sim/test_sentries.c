/* SPDX-License-Identifier: MIT */
/*
 * test_sentries.c - three coordinators with one database, and idle nodes behind NATs. The machine
 * of a home is switched off: the others see that in the database, tell the nodes that they stand
 * sentry for, and these move. And the attacks on that: a sentry that lies for ever, tickets that
 * somebody overheard, forged alarms.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/engine.h"
#include "daemon/core/node/node.h"
#include "proto/stun/sentrymsg.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 6, /* per scenario; PV_SIM_SEEDS sets another number */
    COORDS = 3,
    NODES = 4,
};

/* After the last renewal: 1.5 s until the others say so and half a second until they look again, 1
 * s until the node knocks elsewhere, and there the lease's 3 s count; the rest is for round trips
 * and for asking again. Without an alarm it takes 11 s and more. */
#define MOVED_WITHIN PV_S(6)
/* Its pings alone. */
#define SLOWLY PV_S(15)

/* A word of a coordinator to a node, or of a node to a coordinator, as it was overheard. */
struct heard {
    bool is_there;
    struct pv_sentry_word word;
    struct pv_addr to;
    size_t len;
    uint8_t bytes[PV_SENTRY_REQUEST_LEN];
};

struct scene {
    struct sim_world w;
    struct sim_coord *c[COORDS];
    unsigned zone[NODES];
    uint64_t seed;
    const char *scenario;
    struct heard answer[COORDS][NODES]; /* the last that made a node known */
    struct heard request[NODES];        /* the last with a ticket */
    unsigned alarms;                    /* sent by coordinators: all, and to others than nodes */
    unsigned strangers;
};

static struct pv_addr outside(const struct scene *s, unsigned i)
{
    return s->zone[i] == SIM_PUBLIC ? pv_addr4(198, 51, 100, (uint8_t)(20 + i), 0)
                                    : pv_addr4(203, 0, 113, (uint8_t)s->zone[i], 0);
}

static void note(struct heard *h, const struct pv_sentry_word *word, const struct pv_addr *to,
                 struct pv_view payload)
{
    *h = (struct heard){.is_there = true, .word = *word, .to = *to, .len = payload.len};
    assert_true(payload.len <= sizeof(h->bytes));
    memcpy(h->bytes, payload.ptr, payload.len);
}

static bool is_nodes(const struct scene *s, const struct pv_addr *addr)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct pv_addr out = outside(s, i);
        if (pv_addr_equal_ip(&out, addr))
            return true;
    }
    return false;
}

/* Somebody who sees all datagrams. */
static bool overhear(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    struct scene *s = ctx;
    struct pv_stun_msg msg;
    struct pv_sentry_word word;
    if (pv_stun_decode(payload, &msg) != PV_OK || pv_sentry_get(&msg, &word) != PV_OK)
        return true;
    for (unsigned c = 0; c < COORDS; c++) {
        if (host != sim_coord_host(s->c[c]))
            continue;
        s->alarms += msg.cls == PV_STUN_INDICATION ? 1 : 0;
        if (msg.cls == PV_STUN_INDICATION && !is_nodes(s, dst))
            s->strangers++;
        for (unsigned i = 0; i < NODES; i++) {
            struct pv_addr out = outside(s, i);
            if (msg.cls == PV_STUN_SUCCESS && word.coordinator != 0 && pv_addr_equal_ip(dst, &out))
                note(&s->answer[c][i], &word, dst, payload);
        }
        return true;
    }
    for (unsigned i = 0; i < NODES; i++)
        if (host == sim_node_host(s->w.nodes[i]) && word.ticket != 0)
            note(&s->request[i], &word, dst, payload);
    return true;
}

static const struct pv_coord_info *info(const struct scene *s, unsigned i)
{
    return &pv_engine_node(s->w.nodes[i]->engine)->coord_info;
}

static bool is_online(const struct scene *s, unsigned i)
{
    return pv_engine_node(s->w.nodes[i]->engine)->online;
}

/* The coordinator at which all nodes are; COORDS: they are not at one. */
static unsigned home(const struct scene *s)
{
    unsigned c = 0;
    while (c < COORDS &&
           (sim_coord_core(s->c[c]) == NULL || sim_coord_number(s->c[c]) != info(s, 0)->number))
        c++;
    for (unsigned i = 0; i < NODES; i++)
        if (!is_online(s, i) || info(s, i)->number != info(s, 0)->number)
            return COORDS;
    return c;
}

static bool all_are_home(struct sim_world *w, void *ctx)
{
    (void)w;
    return home(ctx) < COORDS;
}

/* Answers of the two others that made each node known, while `at` is the home. */
static bool all_are_known(struct scene *s, unsigned at)
{
    for (unsigned i = 0; i < NODES; i++)
        for (unsigned c = 0; c < COORDS; c++)
            if (c != at && (!s->answer[c][i].is_there ||
                            s->answer[c][i].word.coordinator != sim_coord_number(s->c[at])))
                return false;
    return true;
}

static pv_ns draw(struct scene *s, pv_ns lo, pv_ns hi)
{
    return lo + PV_MS(pv_natrng_below(sim_net_rng(s->w.net), (uint32_t)((hi - lo) / PV_MS(1) + 1)));
}

static int failed(struct scene *s, const char *what)
{
    printf("%s, seed %llu at %.3f s: %s %s\n", s->scenario, (unsigned long long)s->seed,
           (double)(sim_net_now(s->w.net) - PV_S(3600)) / 1e9, what, s->w.why);
    for (unsigned i = 0; i < NODES; i++)
        printf("  node %u: online %d, at %llu, connected %u times: %s\n", i, is_online(s, i),
               (unsigned long long)info(s, i)->number, (unsigned)info(s, i)->connects,
               info(s, i)->error);
    sim_net_set_tap(s->w.net, NULL, NULL);
    sim_world_done(&s->w);
    return 1;
}

static int passed(struct scene *s)
{
    sim_net_set_tap(s->w.net, NULL, NULL);
    sim_world_done(&s->w);
    return 0;
}

/* Nodes behind NATs of all kinds are in one network, idle, and each is known to two sentries. The
 * home has a line of that delay; 0: as the others. */
static bool begin_slowly(struct scene *s, const char *scenario, uint64_t seed, pv_ns delay)
{
    static const char *const kinds[NODES] = {NULL, "port-restricted", "symmetric", "full-cone"};
    memset(s, 0, sizeof(*s));
    s->scenario = scenario;
    s->seed = seed;
    const struct pv_link_config near = {.delay = PV_MS(5 + seed * 7 % 50),
                                        .jitter = PV_MS(seed % 7)};
    struct pv_link_config line = near;
    sim_world_init(&s->w, seed, &near);
    s->c[0] = s->w.coord;
    for (uint8_t i = 1; i < COORDS; i++) {
        s->c[i] = sim_world_coord(&s->w, (uint8_t)(10 + i), &near);
        sim_coord_share(s->c[i], s->c[0]);
    }
    line.delay = delay != 0 ? delay : line.delay;
    sim_net_set_line(s->w.net, sim_coord_host(s->c[0]), &line);
    for (unsigned i = 0; i < NODES; i++) {
        char name[] = {(char)('a' + i), '\0'};
        s->zone[i] =
            kinds[i] == NULL ? SIM_PUBLIC : sim_world_nat(&s->w, SIM_PUBLIC, kinds[i], &near);
        sim_world_node(&s->w, s->zone[i], name, false);
    }
    sim_net_set_tap(s->w.net, overhear, s);
    for (unsigned i = 1; i < COORDS && delay != 0; i++) /* a nearer one would be the home */
        sim_coord_kill(s->c[i]);
    bool joined = sim_world_join_all(&s->w);
    for (unsigned i = 1; i < COORDS && delay != 0; i++)
        sim_coord_start(s->c[i]);
    if (!joined)
        return false;
    sim_world_run(&s->w, draw(s, PV_S(35), PV_S(90)));
    snprintf(s->w.why, sizeof(s->w.why), "%s", "");
    return home(s) < COORDS && all_are_known(s, home(s));
}

static bool begin(struct scene *s, const char *scenario, uint64_t seed)
{
    return begin_slowly(s, scenario, seed, 0);
}

/* --- the chain ------------------------------------------------------------------------------- */

/* One home after the other loses its power; the first one comes back in between. */
static int homes_die(uint64_t seed, void *ctx)
{
    struct scene s;
    (void)ctx;
    if (!begin(&s, "homes die", seed))
        return failed(&s, "not begun:");
    for (unsigned round = 0; round < 3; round++) {
        unsigned at = home(&s);
        unsigned before = s.alarms;
        sim_coord_kill(s.c[at]);
        pv_ns died = sim_net_now(s.w.net);
        sim_world_run(&s.w, PV_MS(900)); /* nobody may know yet */
        if (s.alarms != before)
            return failed(&s, "an alarm before its time");
        if (!sim_world_until(&s.w, MOVED_WITHIN - PV_MS(900), all_are_home, &s))
            return failed(&s, "not moved:");
        if (s.alarms < before + NODES || s.alarms > before + 2 * NODES)
            return failed(&s, "each silence is told once by two sentries");
        if (getenv("PV_SIM_LOG") != NULL)
            printf("moved after %.3f s\n", (double)(sim_net_now(s.w.net) - died) / 1e9);
        sim_world_run(&s.w, draw(&s, PV_S(5), PV_S(20)));
        sim_coord_start(s.c[at]);
        /* It is asked again before a NAT's binding ends, the longest after 110 s. */
        sim_world_run(&s.w, draw(&s, PV_S(115), PV_S(130)));
        if (home(&s) == COORDS || !all_are_known(&s, home(&s)))
            return failed(&s, "not known anew:");
    }
    return passed(&s);
}

PV_TEST(idle_nodes_leave_a_home_that_dies)
{
    assert_int_equal(sim_seeds("sentries", SEEDS, homes_die, NULL), 0);
}

/* --- attacks --------------------------------------------------------------------------------- */

/* Alarms that a node has listened to, ever. */
static unsigned taken(const struct scene *s, unsigned i)
{
    static const char NAME[] = "\np2pvpn_alarms_total ";
    char *text = NULL;
    size_t len;
    assert_int_equal(pv_engine_metrics(s->w.nodes[i]->engine, sim_net_now(s->w.net), &text, &len),
                     PV_OK);
    const char *at = strstr(text, NAME);
    assert_non_null(at);
    unsigned n = (unsigned)strtoul(at + strlen(NAME), NULL, 10);
    free(text);
    return n;
}

static struct pv_addr place_of(const struct scene *s, unsigned c)
{
    struct pv_addr addrs[SIM_HOST_ADDRS];
    assert_true(sim_net_addrs(s->w.net, sim_coord_host(s->c[c]), addrs) > 0);
    addrs[0].port = SIM_COORD_PORT;
    return addrs[0];
}

/* An alarm with that word leaves a host for where a node was seen. */
static void forge(struct scene *s, unsigned host, const struct pv_addr *from,
                  const struct pv_sentry_word *word, const struct pv_addr *to)
{
    uint8_t alarm[PV_SENTRY_ALARM_LEN], txid[PV_STUN_TXID_LEN] = {9};
    pv_sentry_write_alarm(alarm, word, txid);
    (void)sim_net_send(s->w.net, host, from, to, 0, pv_view(alarm, sizeof(alarm)));
}

/* For that long a coordinator tells all nodes ten times a second that their home is silent. */
static void lie(struct scene *s, unsigned liar, pv_ns duration)
{
    struct pv_addr from = place_of(s, liar);
    for (pv_ns end = sim_net_now(s->w.net) + duration; sim_net_now(s->w.net) < end;) {
        for (unsigned i = 0; i < NODES; i++) {
            const struct heard *h = &s->answer[liar][i];
            struct pv_sentry_word word = {.coordinator = info(s, i)->number,
                                          .ticket = h->word.ticket};
            if (h->is_there)
                forge(s, sim_coord_host(s->c[liar]), &from, &word, &h->to);
        }
        sim_world_run(&s->w, PV_MS(100));
    }
}

struct calm {
    unsigned connects[NODES], taken[NODES];
    uint64_t sent[NODES], requests;
};

static struct calm look(const struct scene *s, unsigned at)
{
    struct calm c;
    struct pv_coord_stats stats;
    pv_coord_stats(sim_coord_core(s->c[at]), &stats);
    c.requests = stats.requests;
    for (unsigned i = 0; i < NODES; i++) {
        c.connects[i] = (unsigned)info(s, i)->connects;
        c.taken[i] = taken(s, i);
        c.sent[i] = sim_node_sent(s->w.nodes[i]);
    }
    return c;
}

/* One sentry lies for minutes, before, while and after the home dies in earnest. Each lie costs a
 * ping, once in 10 s, and no datagram, and nobody leaves a home that answers. */
static int one_lies(uint64_t seed, void *ctx)
{
    struct scene s;
    (void)ctx;
    if (!begin(&s, "a sentry lies", seed))
        return failed(&s, "not begun:");
    unsigned at = home(&s), liar = (at + 1 + (unsigned)seed % 2) % COORDS;
    struct calm before = look(&s, at);
    sim_world_run(&s.w, PV_S(60));
    struct calm calm = look(&s, at);
    lie(&s, liar, PV_S(60));
    struct calm after = look(&s, at);
    for (unsigned i = 0; i < NODES; i++) {
        unsigned heard = after.taken[i] - calm.taken[i];
        if (heard < 5 || heard > 7)
            return failed(&s, "each lie counts, or none");
        if (after.connects[i] != calm.connects[i])
            return failed(&s, "somebody left");
        if (after.sent[i] - calm.sent[i] > calm.sent[i] - before.sent[i] + 8)
            return failed(&s, "lies are answered by datagrams");
    }
    if (after.requests - calm.requests > calm.requests - before.requests + 8 * NODES)
        return failed(&s, "a lie costs more than a ping");
    sim_coord_kill(s.c[at]);
    lie(&s, liar, MOVED_WITHIN);
    if (home(&s) == COORDS)
        return failed(&s, "not moved:");
    at = home(&s);
    calm = look(&s, at);
    lie(&s, liar, PV_S(60));
    after = look(&s, at);
    for (unsigned i = 0; i < NODES; i++)
        if (after.connects[i] != calm.connects[i])
            return failed(&s, "somebody left the new home");
    return passed(&s);
}

PV_TEST(a_sentry_that_lies_for_ever_moves_nobody)
{
    assert_int_equal(sim_seeds("sentries", SEEDS, one_lies, NULL), 0);
}

/* The home is behind a line on which a ping takes longer than a node waits after an alarm. */
static int one_lies_about_a_slow_home(uint64_t seed, void *ctx)
{
    struct scene s;
    (void)ctx;
    if (!begin_slowly(&s, "a slow home", seed, PV_MS(550 + 100 * (seed % 6))) || home(&s) != 0)
        return failed(&s, "not begun:");
    struct calm calm = look(&s, 0);
    lie(&s, 1 + (unsigned)seed % 2, PV_S(60));
    struct calm after = look(&s, 0);
    for (unsigned i = 0; i < NODES; i++) {
        if (after.taken[i] - calm.taken[i] < 5)
            return failed(&s, "no lie counts");
        if (after.connects[i] != calm.connects[i])
            return failed(&s, "somebody left");
    }
    return passed(&s);
}

PV_TEST(nobody_leaves_a_home_that_is_only_slow)
{
    assert_int_equal(sim_seeds("sentries", SEEDS, one_lies_about_a_slow_home, NULL), 0);
}

/* Somebody who overheard everything an hour ago, or just now, and has an address of his own. */
static int somebody_overheard(uint64_t seed, void *ctx)
{
    struct scene s;
    struct heard old[COORDS][NODES];
    (void)ctx;
    if (!begin(&s, "overheard", seed))
        return failed(&s, "not begun:");
    unsigned at = home(&s), host = sim_net_add_host(s.w.net, SIM_PUBLIC, NULL);
    struct pv_addr own = pv_addr4(198, 51, 100, 200, 0), from = pv_addr4(198, 51, 100, 200, 5555);
    sim_net_add_addr(s.w.net, host, &own);
    memcpy(old, s.answer, sizeof(old));
    sim_world_run(&s.w, PV_S(300)); /* tickets are good for 256 s at most */
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < NODES; i++) {
            for (unsigned c = 0; c < COORDS; c++) {
                struct pv_addr place = place_of(&s, c);
                if (c == at)
                    continue;
                /* The right word from elsewhere, an old one from the right place, and the node's
                 * own request. */
                forge(&s, host, &from, &s.answer[c][i].word, &s.answer[c][i].to);
                old[c][i].word.coordinator = info(&s, i)->number;
                forge(&s, sim_coord_host(s.c[c]), &place, &old[c][i].word, &s.answer[c][i].to);
                (void)sim_net_send(s.w.net, host, &from, &place, 0,
                                   pv_view(s.request[i].bytes, s.request[i].len));
            }
        }
        sim_world_run(&s.w, PV_S(1));
    }
    for (unsigned i = 0; i < NODES; i++)
        if (taken(&s, i) != 0)
            return failed(&s, "an alarm counted that was forged");
    unsigned before = s.alarms;
    sim_coord_kill(s.c[at]);
    if (!sim_world_until(&s.w, MOVED_WITHIN, all_are_home, &s))
        return failed(&s, "not moved:");
    if (s.alarms > before + 2 * NODES || s.strangers > 0)
        return failed(&s, "somebody else is told");
    return passed(&s);
}

PV_TEST(an_attacker_who_overheard_tickets_gains_nothing)
{
    assert_int_equal(sim_seeds("sentries", SEEDS, somebody_overheard, NULL), 0);
}

/* Alarms get lost, all of them: the pings find it out. */
static bool lose_alarms(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    struct pv_sentry_word word;
    return overhear(ctx, host, dst, payload) && pv_sentry_read_alarm(payload, &word) != PV_OK;
}

static int alarms_are_lost(uint64_t seed, void *ctx)
{
    struct scene s;
    (void)ctx;
    if (!begin(&s, "alarms are lost", seed))
        return failed(&s, "not begun:");
    sim_net_set_tap(s.w.net, lose_alarms, &s);
    sim_coord_kill(s.c[home(&s)]);
    if (!sim_world_until(&s.w, SLOWLY, all_are_home, &s))
        return failed(&s, "not moved:");
    return passed(&s);
}

PV_TEST(an_attacker_who_keeps_alarms_back_wins_seconds)
{
    assert_int_equal(sim_seeds("sentries", SEEDS, alarms_are_lost, NULL), 0);
}
