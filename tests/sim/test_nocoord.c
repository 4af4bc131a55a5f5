/* SPDX-License-Identifier: MIT */
/*
 * test_nocoord.c - the coordinator is gone for good. Nodes that restart, and one that moved, find
 * each other at the addresses they had; strangers meet through a common peer; who is removed stays
 * out; and when the coordinator is back nothing is disturbed.
 */
#include "daemon/core/engine.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peer_int.h" /* the number of the last signal is nobody else's business */
#include "daemon/core/peer/peers.h"
#include "proto/control/signal.h"
#include "tests/sim/world/sim_net_i.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/heap_use.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 1, /* per scenario; PV_SIM_SEEDS sets another number */
    MOST = 8,
    HOURS_HEAP = 192 << 10, /* bytes more after six hours than after three: one attempt's buffers */
    HOURS_DATAGRAMS = 16000, /* of two nodes in three hours: three in four seconds each */
};

/* From the moment the last node is started: trials leave after 0.5, 1.5, 3.5 and 5.5 s. Where one
 * packet in twenty is lost each way the last of them counts too. */
#define BACK (s.seed % 4 == 0 ? PV_S(8) : PV_S(5))

struct scene {
    struct sim_node *n[MOST];
    unsigned zone[MOST];
    unsigned count;
    uint64_t seed;
};

static pv_ns draw(struct scene *s, pv_ns lo, pv_ns hi)
{
    return lo + PV_MS(sim_draw((uint32_t)((hi - lo) / PV_MS(1) + 1)));
}

/* A quarter of the seeds has lines that lose one packet in twenty. */
static struct pv_link_config line(struct scene *s)
{
    return (struct pv_link_config){.delay = draw(s, PV_MS(5), PV_MS(50)),
                                   .jitter = draw(s, 0, PV_MS(6)),
                                   .loss = s->seed % 4 == 0 ? 0.05 : 0};
}

/* kind: NULL = on the public network, else the profile of a NAT of its own. */
static void add(struct scene *s, const char *name, const char *kind)
{
    struct pv_link_config config = line(s);
    unsigned zone = kind == NULL ? SIM_PUBLIC : sim_world_nat(SIM_PUBLIC, kind, &config);
    s->zone[s->count] = zone;
    s->n[s->count++] = sim_world_node(zone, name, false);
}

static void begin(struct scene *s, uint64_t seed)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    memset(s, 0, sizeof(*s));
    s->seed = seed;
    sim_world_init(seed, &good);
}

static const char *any_cone(struct scene *s)
{
    static const char *const kinds[] = {"full-cone", "address-restricted", "port-restricted"};
    return kinds[sim_draw(3)];
}

static bool reaches(struct scene *s, unsigned a, unsigned b, pv_ns within)
{
    pv_ns t = sim_world_reach(s->n[a], s->n[b], PV_MS(100), within + PV_S(20));
    if (t <= within)
        return true;
    snprintf(sim.why, sizeof(sim.why), "%s to %s took %.3f s instead of %.3f s",
             sim_node_name(s->n[a]), sim_node_name(s->n[b]), t == PV_NEVER ? -1.0 : (double)t / 1e9,
             (double)within / 1e9);
    return false;
}

/* Everybody with everybody but for the pair x, y (equal: no exception). */
static bool all_met(struct scene *s, unsigned x, unsigned y)
{
    if (!sim_world_join_all())
        return false;
    sim_world_run(PV_S(2));
    for (unsigned i = 0; i < s->count; i++) {
        for (unsigned k = i + 1; k < s->count; k++) {
            if (!(i == x && k == y) && !reaches(s, i, k, PV_S(20)))
                return false;
        }
    }
    sim_world_run(PV_S(3)); /* direct by then */
    return true;
}

static void power_off(struct scene *s)
{
    for (unsigned i = 0; i < s->count; i++)
        sim_node_kill(s->n[i]);
}

/* One after the other, within a second. */
static void power_on(struct scene *s)
{
    unsigned first = sim_draw(s->count);
    for (unsigned i = 0; i < s->count; i++) {
        sim_node_start(s->n[(first + i) % s->count]);
        sim_world_run(draw(s, 0, PV_S(1) / s->count));
    }
}

static void move(struct scene *s, unsigned i, unsigned zone)
{
    unsigned host = sim_node_host(s->n[i]);
    struct pv_addr old[SIM_HOST_ADDRS];
    size_t n_old = sim_net_addrs(sim.net, host, old);
    for (size_t k = 0; k < n_old; k++)
        sim_net_del_addr(sim.net, host, &old[k]);
    struct pv_addr ip = zone == SIM_PUBLIC ? pv_addr4(198, 51, 100, (uint8_t)(100 + host), 0)
                                           : pv_addr4(192, 168, (uint8_t)zone, 77, 0);
    sim_net_add_addr(sim.net, host, &ip);
    sim_net_move(sim.net, host, zone);
}

/* --- restarts ------------------------------------------------------------------------------ */

PV_SIM(two_that_restart_are_back_within_five_seconds, SEEDS)
{
    struct scene s;
    begin(&s, seed);
    add(&s, "a", any_cone(&s));
    add(&s, "b", any_cone(&s));
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_coord_kill(sim.coord);
    sim_world_run(draw(&s, PV_MS(100), PV_S(20)));
    power_off(&s);
    sim_world_run(draw(&s, PV_MS(100), PV_S(20)));
    power_on(&s);
    sim_must(reaches(&s, (unsigned)seed % 2, 1 - (unsigned)seed % 2, BACK), "");
    sim_world_run(PV_S(2));
    sim_must(sim_world_says(s.n[0], "'cmd':'why','peer':'b'", "has been reached directly") &&
                 sim_world_says(s.n[0], "'cmd':'why','peer':'b'", "cached address 203.0.113.2:") &&
                 sim_world_says(s.n[0], "'cmd':'status'", "'reached_without':1") &&
                 sim_world_says(s.n[0], "'cmd':'peers'", "'code':9") &&
                 sim_world_says(s.n[0], "'cmd':'peers'", "'online':true"),
             "");
    /* They stay together, through rekeys. */
    for (int i = 0; i < 40; i++) {
        sim_world_run(PV_S(5));
        sim_must(reaches(&s, i % 2 == 0, i % 2 != 0, PV_MS(600)), "later");
    }
}

/* The other one comes back minutes later. */
PV_SIM(one_that_comes_back_later_finds_the_other, SEEDS)
{
    struct scene s;
    begin(&s, seed);
    add(&s, "a", "full-cone");
    add(&s, "b", seed % 2 == 0 ? NULL : any_cone(&s));
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_coord_kill(sim.coord);
    power_off(&s);
    sim_node_start(s.n[1]);
    sim_world_run(draw(&s, PV_S(1), PV_S(300)));
    sim_node_start(s.n[0]);
    /* Nobody asks for it: recent peers are looked for by themselves. */
    sim_world_run(BACK);
    sim_must(reaches(&s, 0, 1, PV_MS(600)), "");
}

/* a stays, or has a public address; c has moved; b is only to be had through a. */
PV_SIM(one_that_moved_is_found_through_a_common_peer, SEEDS)
{
    struct scene s;
    begin(&s, seed);
    add(&s, "a", seed % 2 == 0 ? NULL : "full-cone");
    add(&s, "b", "port-restricted");
    add(&s, "c", "port-restricted");
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_coord_kill(sim.coord);
    power_off(&s);
    struct pv_link_config config = line(&s);
    move(&s, 2, sim_world_nat(SIM_PUBLIC, "port-restricted", &config));
    sim_world_run(draw(&s, PV_MS(100), PV_S(10)));
    power_on(&s);
    sim_must(reaches(&s, 2, 0, BACK), "to the common peer:");
    sim_must(reaches(&s, seed % 3 == 0 ? 1 : 2, seed % 3 == 0 ? 2 : 1, BACK),
             "through the common peer:");
}

/* One moves while the others run on and do not know yet. */
PV_SIM(one_that_moves_alone_is_back_within_five_seconds, SEEDS)
{
    struct scene s;
    begin(&s, seed);
    add(&s, "a", seed % 2 == 0 ? NULL : "full-cone");
    add(&s, "b", "port-restricted");
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_coord_kill(sim.coord);
    sim_world_run(PV_S(1));
    if (seed % 3 == 0)
        sim_node_kill(s.n[1]);
    struct pv_link_config config = line(&s);
    move(&s, 1, sim_world_nat(SIM_PUBLIC, "port-restricted", &config));
    if (seed % 3 == 0)
        sim_node_start(s.n[1]);
    else
        sim_node_links_changed(s.n[1]);
    sim_must(reaches(&s, 1, 0, BACK), "");
    sim_must(reaches(&s, 0, 1, PV_S(1)), "and back");
}

/* Only c has lost the coordinator, which tells the others that c is offline. */
PV_SIM(one_that_alone_lost_the_coordinator_comes_back, SEEDS)
{
    struct scene s;
    begin(&s, seed);
    add(&s, "a", seed % 2 == 0 ? NULL : "full-cone");
    add(&s, "b", "port-restricted");
    add(&s, "c", "port-restricted");
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_node_kill(s.n[2]);
    sim_net_block_streams(sim.net, sim_node_host(s.n[2]), true);
    struct pv_link_config config = line(&s);
    move(&s, 2, sim_world_nat(SIM_PUBLIC, "port-restricted", &config));
    sim_world_run(draw(&s, PV_MS(100), PV_S(60)));
    sim_node_start(s.n[2]);
    sim_must(reaches(&s, 2, 0, BACK) && reaches(&s, 0, 2, PV_S(1)), "to the common peer:");
    sim_must(reaches(&s, 2, 1, BACK) && reaches(&s, 1, 2, PV_S(1)), "through the common peer:");
}

/* Two who never talked, both behind port-restricted NATs, and one whom both know. */
PV_SIM(strangers_meet_through_a_common_peer, SEEDS)
{
    struct scene s;
    begin(&s, seed);
    add(&s, "a", "port-restricted");
    add(&s, "b", seed % 2 == 0 ? NULL : any_cone(&s));
    add(&s, "c", "port-restricted");
    sim_must(all_met(&s, 0, 2), "not met:");
    sim_coord_kill(sim.coord);
    sim_world_run(PV_S(1));
    if (seed % 4 != 3) {
        power_off(&s);
        sim_world_run(draw(&s, PV_MS(100), PV_S(10)));
        power_on(&s);
    }
    sim_must(reaches(&s, 0, 2, BACK), "");
    sim_must(sim_world_says(s.n[0], "'cmd':'why','peer':'c'", "through b"), "");
}

/* Eight nodes of which one is public: all pairs. */
PV_SIM_WHOLE(eight_nodes_are_all_back, 1)
{
    static const char *const names[MOST] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct scene s;
    begin(&s, seed);
    for (unsigned i = 0; i < MOST; i++)
        add(&s, names[i], i == 0 ? NULL : any_cone(&s));
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_coord_kill(sim.coord);
    power_off(&s);
    struct pv_link_config config = line(&s);
    move(&s, 5, sim_world_nat(SIM_PUBLIC, "port-restricted", &config));
    power_on(&s);
    pv_ns from = sim_net_now(sim.net);
    for (unsigned i = 0; i < MOST; i++) {
        for (unsigned k = 0; k < MOST; k++)
            sim_must(i == k || reaches(&s, i, k, BACK), "");
    }
    sim_must(sim_net_now(sim.net) <= from + PV_S(20), "all pairs together took too long");
}

/* --- the coordinator comes back -------------------------------------------------------------- */

PV_SIM(a_coordinator_that_comes_back_disturbs_nothing, SEEDS)
{
    struct scene s;
    begin(&s, seed);
    add(&s, "a", any_cone(&s));
    add(&s, "b", any_cone(&s));
    add(&s, "c", NULL);
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_coord_kill(sim.coord);
    power_off(&s);
    power_on(&s);
    for (unsigned i = 0; i < 3; i++)
        sim_must(reaches(&s, i, (i + 1) % 3, BACK), "without it:");
    sim_coord_start(sim.coord);
    /* Reconnected within 30 s; nothing is lost meanwhile beyond what the lines lose. */
    for (int i = 0; i < 300; i++) {
        sim_must(reaches(&s, (unsigned)i % 3, (unsigned)(i + 1) % 3,
                         s.seed % 4 == 0 ? PV_S(1) : PV_MS(300)),
                 "while it comes back:");
        sim_world_run(PV_MS(100));
    }
    sim_world_run(PV_S(15));
    for (unsigned i = 0; i < 3; i++)
        sim_must(sim_world_says(s.n[i], "'cmd':'status'", "'connected':true"), "");
}

/* --- removal --------------------------------------------------------------------------------- */

static bool is_member(struct scene *s, unsigned i, const char *name)
{
    return sim_answer_has(sim_world_ask(s->n[i], PV_S(2), "'cmd':'peers'"),
                          PV_STR("'name':'%s'", name));
}

PV_SIM(a_removal_spreads_without_the_coordinator, SEEDS)
{
    struct scene s;
    begin(&s, seed);
    add(&s, "a", NULL);
    add(&s, "b", any_cone(&s));
    add(&s, "c", "full-cone");
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_coord_kill(sim.coord);
    sim_world_run(PV_S(30));     /* it died without a word */
    bool asleep = seed % 2 == 0; /* b was off, and learns it when it is back */
    if (asleep)
        sim_node_kill(s.n[1]);
    unsigned id = sim_node_ask(s.n[0], "'cmd':'remove','peer':'c'");
    sim_world_run(PV_MS(100));
    sim_must(!is_member(&s, 0, "c"), "not removed at once:");
    sim_world_run(PV_S(3)); /* the answer says who knows */
    const char *answer = sim_node_answer(s.n[0], id);
    snprintf(sim.why, sizeof(sim.why), "%.300s", answer == NULL ? "no answer" : answer);
    sim_must(sim_answer_has(answer, "'code':9"), "not removed where it was asked for:");
    sim_must(!is_member(&s, 0, "c"), "still there where it was asked for:");
    if (asleep)
        sim_node_start(s.n[1]);
    sim_world_run(asleep ? BACK : PV_S(2));
    sim_must(!is_member(&s, 1, "c"), "b still has the removed member:");
    /* c is alive, knows where they are, and is not let in: neither directly nor through the other.
     */
    sim_node_restart(s.n[2]);
    unsigned before[2] = {sim_node_pings(s.n[0]).received, sim_node_pings(s.n[1]).received};
    for (unsigned i = 0; i < 2; i++) {
        sim_must(sim_world_reach(s.n[2], s.n[i], PV_MS(200), PV_S(4)) == PV_NEVER,
                 "the removed member is answered:");
    }
    sim_must(sim_node_pings(s.n[0]).received == before[0] &&
                 sim_node_pings(s.n[1]).received == before[1],
             "a packet of the removed member came in");
    /* The coordinator hears of it when it is back. */
    sim_coord_start(sim.coord);
    sim_world_run(PV_S(45));
    sim_must(sim_world_says(s.n[2], "'cmd':'status'", "removed"), "");
}

/* --- who is there ----------------------------------------------------------------------------- */

/* The presence that a hears of b, who has a path, and of c, who is switched off. */
static bool agree(struct scene *s)
{
    static const char there[] = "\"online\":true", away[] = "\"online\":false";
    const char *answer = sim_world_ask(s->n[0], PV_S(2), "'cmd':'peers'");
    const char *b = answer == NULL ? NULL : strstr(answer, "\"name\":\"b\"");
    const char *c = answer == NULL ? NULL : strstr(answer, "\"name\":\"c\"");
    bool right = b != NULL && c != NULL && strstr(b, there) != NULL && strstr(c, away) != NULL &&
                 strstr(b, there) < strstr(b, "\"wg_key\"") + 200 &&
                 strstr(c, away) < strstr(c, "\"wg_key\"") + 200;
    if (!right) {
        snprintf(sim.why, sizeof(sim.why), "peers: %.400s", answer == NULL ? "" : answer);
        return false;
    }
    return sim_world_says(s->n[0], "'cmd':'status'", "'online':2");
}

static bool room_agrees(struct scene *s)
{
    const char *answer = sim_world_ask(s->n[0], PV_S(2), "'cmd':'room_members','room':'#dev'");
    unsigned there = 0;
    for (const char *x = answer; x != NULL && (x = strstr(x, "\"online\":true")) != NULL; x++)
        there++;
    if (there == 2 && sim_answer_has(answer, "'online':false"))
        return true;
    snprintf(sim.why, sizeof(sim.why), "room: %.400s", answer == NULL ? "" : answer);
    return false;
}

/* `peers`, `status` and `room members` say the same of who is there, whether the coordinator can be
 * asked or not. */
PV_SIM(all_commands_agree_on_who_is_there, SEEDS)
{
    struct scene s;
    begin(&s, seed);
    add(&s, "a", NULL);
    add(&s, "b", any_cone(&s));
    add(&s, "c", any_cone(&s));
    sim_must(all_met(&s, 0, 0) &&
                 sim_world_says(s.n[0], "'cmd':'room_create','room':'dev'", "dev") &&
                 sim_world_tell(s.n[0], PV_S(2), "'cmd':'room_invite','room':'#dev','peer':'b'") &&
                 sim_world_tell(s.n[0], PV_S(2), "'cmd':'room_invite','room':'#dev','peer':'c'"),
             "not met:");
    sim_world_run(PV_S(5));
    sim_node_kill(s.n[2]);
    sim_world_run(PV_S(90)); /* its path is given up by then */
    sim_must(agree(&s) && room_agrees(&s), "with the coordinator:");
    sim_coord_kill(sim.coord);
    sim_world_run(PV_S(60)); /* it died without a word */
    sim_must(agree(&s) && room_agrees(&s), "without the coordinator:");
}

/* --- hostile peers --------------------------------------------------------------------------- */

static struct pv_peer *peer_of(struct scene *s, unsigned i, unsigned k)
{
    struct pv_peer *p =
        pv_peers_by_pk(pv_engine_node(s->n[i]->engine)->peers, sim_node_pk(s->n[k]));
    if (p == NULL)
        abort();
    return p;
}

/* The member evil (2) hands node a (0) a signal over their session, n times. */
static void hand(struct scene *s, const uint8_t *to, const uint8_t *from, struct pv_view box,
                 unsigned n)
{
    struct pv_forward f = {.box = box};
    static uint8_t body[PV_FORWARD_MAX];
    size_t len = 0;
    memcpy(f.to, to, sizeof(f.to));
    memcpy(f.from, from, sizeof(f.from));
    assert_ok(pv_forward_build(&f, body, sizeof(body), &len));
    sim_node_begin(s->n[2]);
    while (n-- > 0)
        pv_peers_send(pv_engine_node(s->n[2]->engine)->peers, peer_of(s, 2, 0), PV_INBAND_SIGNAL,
                      pv_view(body, len));
    sim_node_end(s->n[2]);
}

/* A member sends type 5 for others, for nobody, in other names, too many and too large: nothing
 * that it did not seal itself is passed on, floods are cut, members go on talking. */
PV_SIM(a_member_that_abuses_type_5_gets_nowhere, SEEDS)
{
    static uint8_t box[PV_SIGNAL_BOX_MAX];
    struct scene s;
    begin(&s, seed);
    add(&s, "a", NULL);
    add(&s, "b", any_cone(&s));
    add(&s, "evil", any_cone(&s));
    add(&s, "d", any_cone(&s));
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_coord_kill(sim.coord);
    sim_world_run(PV_S(30));
    for (size_t i = 0; i < sizeof(box); i++)
        box[i] = (uint8_t)sim_draw(256);
    const uint8_t *a = sim_node_pk(s.n[0]), *b = sim_node_pk(s.n[1]), *evil = sim_node_pk(s.n[2]);
    uint8_t nobody[32] = {1};
    uint64_t before = sim_node_sent(s.n[0]);
    /* Not its own, to nobody, from nobody: a passes none of it on. */
    hand(&s, b, sim_node_pk(s.n[3]), pv_view(box, 200), 20);
    hand(&s, nobody, evil, pv_view(box, 200), 20);
    hand(&s, b, nobody, pv_view(box, 200), 20);
    sim_world_run(PV_MS(300));
    sim_must(
        sim_node_sent(s.n[0]) - before <= 20,
        "passed on what it should not:"); /* keepalives and checks; forwards would be 40 more */
    /* In the name of another, with a box that does not open: nobody believes it. */
    uint64_t seen = peer_of(&s, 0, 1)->signal_seq_seen;
    hand(&s, a, b, pv_view(box, 3000), 10);
    sim_world_run(PV_MS(300));
    sim_must(peer_of(&s, 0, 1)->signal_seq_seen == seen &&
                 pv_peer_notes_of(peer_of(&s, 0, 1))->passed_by != peer_of(&s, 0, 2)->id,
             "believed a forged box:");
    /* A flood of its own signals: no more than the rate comes out. */
    before = sim_node_sent(s.n[0]);
    for (int i = 0; i < 50; i++) {
        hand(&s, b, evil, pv_view(box, 200), 10);
        sim_world_run(PV_MS(20));
    }
    sim_must(sim_node_sent(s.n[0]) - before <= 100, "a flood was passed on:");
    sim_must(reaches(&s, 0, 1, PV_S(1)) && reaches(&s, 3, 0, PV_S(1)) && reaches(&s, 1, 3, PV_S(1)),
             "the others suffer:");
}

/* Somebody who is no member sends handshakes and what it recorded to a node that has restarted:
 * it answers less than it gets, and finds its peer all the same. */
PV_SIM(strangers_who_try_change_nothing, SEEDS)
{
    static const struct pv_link_config good = {.delay = PV_MS(3)};
    struct scene s;
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
    begin(&s, seed);
    add(&s, "a", NULL);
    add(&s, "b", any_cone(&s));
    sim_must(all_met(&s, 0, 0), "not met:");
    sim_coord_kill(sim.coord);
    power_off(&s);
    unsigned host = sim_net_add_host(sim.net, SIM_PUBLIC, &good);
    struct pv_addr src = pv_addr4(198, 51, 100, 200, 0), dst = pv_addr4(198, 51, 100, 20, 0);
    sim_net_add_addr(sim.net, host, &src);
    src.port = 5555;
    dst.port = sim_node_port(s.n[0]);
    power_on(&s);
    pv_ns began = sim_net_now(sim.net);
    uint64_t sent = 0, before = sim_node_sent(s.n[0]);
    while (sim_net_now(sim.net) < began + PV_S(2)) {
        for (int i = 0; i < 5; i++) {
            pv_rng_fill(&s.n[0]->rng, msg, sizeof(msg));
            memcpy(msg, "\1\0\0\0", 4);
            sim_net_send(sim.net, host, &src, &dst, 0, pv_view(msg, sizeof(msg)));
            sent++;
        }
        sim_world_run(PV_MS(10));
    }
    sim_must(sim_node_sent(s.n[0]) - before <= sent / 4, "it answers strangers:");
    sim_must(reaches(&s, 1, 0, BACK), "");
}

/* With what the allocator keeps beside it. */
static size_t held(void *p)
{
    return p != NULL ? malloc_usable_size(p) + sizeof(size_t) : 0;
}

/* Without what the simulated network keeps for ever: streams that have ended, and their timers'
 * places. */
static size_t heap_of_machines(const struct sim_net *net)
{
    size_t use = heap_use() - held(net->streams) - held(net->heap.nodes);
    for (uint32_t i = 0; i < net->n_streams; i++) {
        struct sim_stream *s = net->streams[i];
        use -= held(s) + held(s->ends[0].in.items) + held(s->ends[1].in.items);
    }
    return use;
}

/* At the coordinator's address nothing answers, or everything refuses. */
PV_SIM_WHOLE(hours_without_it_cost_no_memory, 2)
{
    struct scene s;
    size_t heap[2];
    uint64_t sent[2];
    begin(&s, seed);
    add(&s, "a", NULL);
    add(&s, "b", any_cone(&s));
    sim_must(all_met(&s, 0, 0), "");
    if (seed % 2 == 0)
        sim_coord_kill(sim.coord);
    else
        sim_coord_stop(sim.coord);
    for (int i = 0; i < 2; i++) {
        sim_world_run(PV_S(3 * 3600));
        heap[i] = heap_of_machines(sim.net);
        sent[i] = sim_node_sent(s.n[0]) + sim_node_sent(s.n[1]);
    }
    snprintf(sim.why, sizeof(sim.why), "bytes %zu, %zu; datagrams %llu, %llu", heap[0], heap[1],
             (unsigned long long)sent[0], (unsigned long long)(sent[1] - sent[0]));
    sim_must(heap[1] <= heap[0] + HOURS_HEAP && sent[1] - sent[0] <= HOURS_DATAGRAMS,
             "hours without the coordinator cost too much:");
}
