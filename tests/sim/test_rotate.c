/* SPDX-License-Identifier: MIT */
/*
 * test_rotate.c - transport keys that change under traffic: on one side or both at once, with the
 * coordinator and without, with loss, with a crash at any step; by themselves when they are old; on
 * a machine that was set back to an older state; and with static peers. Not one packet is lost that
 * the network did not lose.
 */
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"
#include "tests/sim/world/pair.h"
#include "tests/sim/world/sim_node_i.h"

enum {
    SEEDS = 1,     /* per scenario; PV_SIM_SEEDS sets another number */
    FLOW_LEN = 96, /* bytes of a datagram with a packet of a flow in it */
    KEY_BUF = 64,
};

/* Longer than two pairs of keys live: both sides have to make new ones with their new keys. */
#define THROUGH PV_S(300)

/* --- asking ---------------------------------------------------------------------------------- */

static bool rotate(struct pair *p, struct sim_node *n)
{
    return sim_world_tell(n, PV_S(15), "'cmd':'key_rotate'");
}

static bool key_of(struct pair *p, struct sim_node *n, char key[static KEY_BUF])
{
    const char *answer = sim_world_ask(n, PV_S(5), "'cmd':'ip'");
    return answer != NULL && sim_world_field(answer, "wg_key", key, KEY_BUF);
}

/* Do the two name the same keys? */
static bool know_keys(struct pair *p)
{
    char own[KEY_BUF], told[KEY_BUF];
    struct sim_node *n[2] = {p->a, p->b};
    for (int i = 0; i < 2; i++) {
        const char *answer = sim_world_ask(n[1 - i], PV_S(5), "'cmd':'peers'");
        if (answer == NULL || !sim_world_field(answer, "wg_key", told, sizeof(told)) ||
            !key_of(p, n[i], own))
            return false;
        if (strcmp(own, told) != 0) {
            snprintf(sim.why, sizeof(sim.why), "%s is thought to have the key %s and has %s",
                     sim_node_name(n[i]), told, own);
            return false;
        }
    }
    return true;
}

/* Was the session in force made with the key that the node uses now? */
static bool made_with_newest(const struct sim_node *n)
{
    const struct pv_node *node = pv_engine_node(n->engine);
    const struct pv_peer *peer = pv_peers_next_member(node->peers, NULL);
    return peer->session != NULL && pv_session_device(peer->session) == peer->node->keys.device;
}

static bool is_connected(struct pair *p, struct sim_node *n)
{
    return sim_world_says(n, "'cmd':'status'", "'connected':true");
}

/* With nothing under way. */
static void begin_flows(struct pair *p)
{
    sim_world_run(SECOND);
    sim_node_flow_begin(p->a);
    sim_node_flow_begin(p->b);
}

static pv_ns moment(struct pair *p, pv_ns within)
{
    return PV_MS(sim_draw((uint32_t)(within / PV_MS(1))));
}

/* --- under traffic --------------------------------------------------------------------------- */

static const struct kind {
    const char *name, *profile, *path;
    bool both;  /* else one of them */
    bool alone; /* without the coordinator */
    unsigned times;
} KINDS[] = {
    {"one side, direct", "port-restricted", "direct", false, false, 1},
    {"both sides at once, direct", "port-restricted", "direct", true, false, 1},
    {"both sides, relay", "symmetric", "relay", true, false, 1},
    {"one side, without the coordinator", "port-restricted", "direct", false, true, 1},
    {"both sides, without the coordinator", "port-restricted", "direct", true, true, 1},
    {"both sides, five times", "full-cone", "direct", true, false, 5},
};

static void ask_both(struct pair *p, const struct kind *k, const char *fields)
{
    if (k->both || p->seed % 2 == 0)
        (void)sim_node_ask(p->a, "%s", fields);
    if (k->both || p->seed % 2 == 1)
        (void)sim_node_ask(p->b, "%s", fields);
}

static void under_traffic(uint64_t seed, void *ctx)
{
    const struct kind *k = ctx;
    struct pair p = {.ipv6 = false};
    char before[KEY_BUF], after[KEY_BUF];
    sim_case("rotate: %s", k->name);
    sim_must(met(&p, seed, k->profile, k->path), "not met");
    load(&p, A_TO_B | B_TO_A, PV_MS(50), PV_S(40)); /* both ways are settled */
    struct sim_node *n = k->both || seed % 2 == 0 ? p.a : p.b;
    sim_must(key_of(&p, n, before), "its key is not told:");
    if (k->alone)
        sim_coord_kill(sim.coord);
    load(&p, A_TO_B | B_TO_A, PV_MS(50), PV_S(1) + moment(&p, PV_S(100)));
    begin_flows(&p);
    for (unsigned i = 0; i < k->times; i++) {
        ask_both(&p, k, "'cmd':'key_rotate'");
        load(&p, A_TO_B | B_TO_A, PV_MS(20), PV_S(1) + moment(&p, PV_S(60)));
    }
    load(&p, A_TO_B | B_TO_A, PV_MS(50), THROUGH);
    sim_must(all_arrived(&p), "not all arrived");
    sim_must(key_of(&p, n, after) && strcmp(before, after) != 0, "it has no other key");
    sim_must(know_keys(&p), "not the same keys:");
    sim_must(made_with_newest(p.a) && made_with_newest(p.b),
             "the session is still made with a former key");
    if (k->alone) {
        sim_coord_start(sim.coord);
        load(&p, A_TO_B | B_TO_A, PV_MS(50), PV_S(90));
        sim_must(is_connected(&p, p.a) && is_connected(&p, p.b),
                 "the coordinator does not take them back");
        sim_must(all_arrived(&p), "messages are missing after its return");
    }
}

PV_TEST(no_packet_is_lost_when_keys_change)
{
    for (size_t i = 0; i < PV_ARRAY_LEN(KINDS); i++) {
        struct kind k = KINDS[i];
        sim_seeds(SEEDS, under_traffic, &k);
    }
}

/* --- with loss ------------------------------------------------------------------------------- */

struct lossy {
    struct pv_natrng *rng;
    uint64_t packets; /* of flows that were lost */
};

/* A tenth of everything between all machines, handshakes among them; and a fifth of these. */
static bool loses(void *ctx, unsigned host, const struct pv_addr *dst, struct pv_view payload)
{
    struct lossy *l = ctx;
    bool handshake = payload.len > 0 && payload.ptr[0] >= 1 && payload.ptr[0] <= 3;
    if (pv_natrng_below(l->rng, 100) >= (handshake ? 20 : 10))
        return true;
    bool direct = payload.len == FLOW_LEN && payload.ptr[0] == 4;
    bool relayed = payload.len == FLOW_LEN + 4 && payload.ptr[0] >> 6 == 1; /* ChannelData */
    l->packets += direct || relayed ? 1 : 0;
    return false;
}

PV_SIM(only_the_network_loses_packets, SEEDS)
{
    struct pair p = {.ipv6 = false};
    sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
    load(&p, A_TO_B | B_TO_A, PV_MS(50), PV_S(40));
    struct lossy l = {.rng = sim_net_rng(sim.net)};
    for (int i = 0; i < 2; i++) {
        struct pv_nat_config *c = pv_nat_config(sim_net_nat(sim.net, i == 0 ? p.za : p.zb));
        c->line_out.jitter = PV_MS(40); /* twice the time between two packets */
    }
    begin_flows(&p);
    sim_net_set_tap(sim.net, loses, &l);
    (void)sim_node_ask(p.a, "'cmd':'key_rotate'");
    load(&p, A_TO_B | B_TO_A, PV_MS(20), moment(&p, PV_S(10)));
    (void)sim_node_ask(p.b, "'cmd':'key_rotate'");
    load(&p, A_TO_B | B_TO_A, PV_MS(20), THROUGH);
    sim_net_set_tap(sim.net, NULL, NULL);
    sim_world_run(SECOND);
    struct sim_flow a = sim_node_flow_seen(p.a), b = sim_node_flow_seen(p.b);
    uint64_t lost = a.sent + b.sent - a.received - b.received;
    snprintf(sim.why, sizeof(sim.why), "%llu of %llu, and the network lost %llu",
             (unsigned long long)lost, (unsigned long long)(a.sent + b.sent),
             (unsigned long long)l.packets);
    sim_must(lost <= l.packets && l.packets != 0, "more was lost than the network lost:");
    load(&p, A_TO_B | B_TO_A, PV_MS(50), PV_S(20));
    sim_must(know_keys(&p), "not the same keys:");
}

/* --- a crash at any step -----------------------------------------------------------------------
 */

PV_SIM(a_crash_at_any_step_leaves_a_node_that_works, SEEDS)
{
    struct pair p = {.ipv6 = false};
    bool alone = seed % 3 == 0;
    sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
    if (alone)
        sim_coord_kill(sim.coord);
    for (int i = 0; i < 6; i++) {
        /* Each write takes as long as a slow disk's, so that the crash falls between any two. */
        sim_node_set_job_delay(p.a, PV_MS(300));
        (void)sim_node_ask(p.a, "'cmd':'key_rotate'");
        load(&p, A_TO_B | B_TO_A, PV_MS(10), moment(&p, PV_MS(1200)));
        sim_node_kill(p.a);
        sim_world_run(moment(&p, PV_S(i % 2 == 0 ? 2 : 400)));
        sim_node_start(p.a);
        sim_must(sim_world_reach(p.a, p.b, PV_MS(200), PV_S(40)) != PV_NEVER,
                 "not reached after the crash");
        load(&p, A_TO_B | B_TO_A, PV_MS(50), PV_S(20));
        sim_must(know_keys(&p), "not the same keys:");
    }
    sim_node_set_job_delay(p.a, PV_MS(2));
    begin_flows(&p);
    load(&p, A_TO_B | B_TO_A, PV_MS(50), THROUGH);
    sim_must(all_arrived(&p), "not all arrived");
    sim_must(alone || is_connected(&p, p.a), "the coordinator does not take it");
}

/* --- by itself ------------------------------------------------------------------------------- */

/* Three hours and a day of life: the key is replaced about every six hours, whoever is there. */
PV_SIM_WHOLE(an_old_key_is_replaced_by_itself_also_at_the_next_start, 1)
{
    struct pair p = {.ipv6 = false};
    char key[4][KEY_BUF];
    sim_must(met(&p, seed, "port-restricted", "direct"), "not met");
    struct sim_node *n[2] = {p.a, p.b};
    for (int i = 0; i < 2; i++) {
        sim_node_kill(n[i]);
        n[i]->rotate_s = 6 * 3600;
        sim_node_start(n[i]);
    }
    sim_must(sim_world_reach(p.a, p.b, PV_MS(200), PV_S(20)) != PV_NEVER && key_of(&p, p.a, key[0]),
             "not reached");
    sim_world_run(PV_S(5 * 3600));
    sim_must(key_of(&p, p.a, key[1]) && strcmp(key[0], key[1]) == 0, "replaced before it was old");
    sim_world_run(PV_S(7000));
    sim_must(key_of(&p, p.a, key[1]) && strcmp(key[0], key[1]) != 0,
             "not replaced when it was old");
    sim_must(know_keys(&p), "not the same keys:");

    sim_node_stop(p.a); /* it is off when it is due */
    sim_world_run(PV_S(8 * 3600));
    sim_node_start(p.a);
    sim_must(sim_world_reach(p.a, p.b, PV_MS(200), PV_S(20)) != PV_NEVER && key_of(&p, p.a, key[2]),
             "not reached after it was off");
    sim_must(strcmp(key[1], key[2]) == 0, "replaced with the first packet");
    begin_flows(&p);
    load(&p, A_TO_B | B_TO_A, PV_MS(200), PV_S(1300));
    sim_must(key_of(&p, p.a, key[3]) && strcmp(key[2], key[3]) != 0,
             "not replaced after its next start");
    sim_must(all_arrived(&p) && know_keys(&p), "not all arrived, or not the same keys");
}

/* --- set back -------------------------------------------------------------------------------- */

/* The key that members know is gone with a disk; the one of before was kept. */
PV_SIM(a_machine_without_the_key_that_members_know_gets_another, SEEDS)
{
    struct pair p = {.ipv6 = false};
    char key[2][KEY_BUF];
    sim_must(met(&p, seed, "port-restricted", "direct") && key_of(&p, p.a, key[0]), "not met");
    sim_must(rotate(&p, p.a), "not replaced:");
    load(&p, A_TO_B | B_TO_A, PV_MS(50), PV_S(5));
    sim_node_stop(p.a);
    sim_store_forget_keys(p.a->store);
    sim_node_start(p.a);
    sim_must(sim_world_reach(p.a, p.b, PV_MS(200), PV_S(30)) != PV_NEVER, "not reached");
    load(&p, A_TO_B | B_TO_A, PV_MS(50), PV_S(10));
    sim_must(key_of(&p, p.a, key[1]) && strcmp(key[0], key[1]) != 0,
             "it has no key that members can know");
    begin_flows(&p);
    load(&p, A_TO_B | B_TO_A, PV_MS(50), THROUGH);
    sim_must(all_arrived(&p) && know_keys(&p) && is_connected(&p, p.a), "not all is well:");
}

/* --- static peers ----------------------------------------------------------------------------- */

/* hub is in a network of its own, and leaf is stock WireGuard, as far as it goes: its user wrote
 * hub's key into a file. */
struct trunk {
    struct pair p; /* a: hub, b: leaf */
    struct pv_static_peer of_hub, of_leaf;
    struct pv_addr overlay; /* of hub */
};

static void configure(struct trunk *t, bool hub)
{
    struct sim_node *n = hub ? t->p.a : t->p.b, *other = hub ? t->p.b : t->p.a;
    struct pv_static_peer *entry = hub ? &t->of_hub : &t->of_leaf;
    struct pv_prefix own = {.base = pv_addr4(10, 9, 0, 2, 0), .bits = 24};
    struct pv_addr addrs[SIM_HOST_ADDRS];
    memset(entry, 0, sizeof(*entry));
    snprintf(entry->name, sizeof(entry->name), "%s", hub ? "leaf" : "hub");
    memcpy(entry->public_key, sim_node_wg_key(other), sizeof(entry->public_key));
    entry->allowed[0] = (struct pv_prefix){.base = hub ? own.base : t->overlay, .bits = 32};
    entry->n_allowed = 1;
    if (!hub && sim_net_addrs(sim.net, sim_node_host(other), addrs) > 0) {
        pv_addr_format_ip(&addrs[0], entry->endpoint_host);
        entry->endpoint_port = sim_node_port(other);
    }
    if (hub)
        own.base.family = PV_AF_NONE;
    sim_node_kill(n);
    sim_node_configure(n, &own, entry, 1);
    sim_node_start(n);
}

/* Pings from leaf all the while. */
static bool all_answered(struct trunk *t, pv_ns duration)
{
    struct sim_pings before = sim_node_pings(t->p.b), after;
    pv_ns end = sim_net_now(sim.net) + duration;
    while (sim_net_now(sim.net) < end) {
        sim_node_ping(t->p.b, &t->overlay, 32);
        sim_world_run(PV_MS(200));
    }
    sim_world_run(SECOND);
    after = sim_node_pings(t->p.b);
    snprintf(sim.why, sizeof(sim.why), "%u of %u pings answered", after.answered - before.answered,
             after.sent - before.sent);
    return after.answered - before.answered == after.sent - before.sent;
}

static bool begin_trunk(struct trunk *t, uint64_t seed)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    t->p.seed = seed;
    sim_case("rotate: static peers");
    sim_world_init(seed, &good);
    t->p.zb = nat(&t->p, "port-restricted");
    t->p.a = sim_world_node(SIM_PUBLIC, "hub", false);
    t->p.b = sim_world_node(t->p.zb, "leaf", false);
    if (!sim_world_tell(t->p.a, PV_S(20), "'cmd':'create','url':'%s','name':'hub'",
                        sim_coord_url(sim.coord)))
        return false;
    sim_world_run(PV_S(2));
    t->overlay = sim_node_overlay(t->p.a, PV_AF_INET);
    configure(t, true);
    configure(t, false);
    sim_world_run(PV_S(2));
    sim_node_ping(t->p.b, &t->overlay, 32);
    sim_world_run(PV_S(2));
    return all_answered(t, PV_S(5));
}

PV_SIM(static_peers_go_on_with_the_former_key_and_then_with_the_new_one, 2)
{
    struct trunk t = {.p = {.ipv6 = false}};
    sim_must(begin_trunk(&t, seed), "leaf does not reach hub:");
    sim_must(!rotate(&t.p, t.p.a) && strstr(sim.why, "static peer leaf knows") != NULL,
             "it is not asked about leaf:");
    sim_must(sim_world_tell(t.p.a, PV_S(15), "'cmd':'key_rotate','statics':true"), "not replaced:");
    /* leaf still has the former key, and so makes new keys */
    sim_must(all_answered(&t, PV_S(400)), "the former key is not answered:");
    configure(&t, false); /* and now it has the new one */
    sim_node_ping(t.p.b, &t.overlay, 32);
    sim_world_run(PV_S(2));
    sim_must(all_answered(&t, PV_S(400)), "the new key is not answered:");
}
