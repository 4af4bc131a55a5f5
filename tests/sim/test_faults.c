/* SPDX-License-Identifier: MIT */
/*
 * test_faults.c - a short life of a network, again and again: the n-th allocation, datagram,
 * operation of a store or write to a stream fails, for each n. Nobody crashes, and afterwards the
 * network is what its users were told: what was said to be done is, all that was taken arrives
 * once, and everything works.
 */
#include <jansson.h>

#include "base/jsonread.h"
#include "tests/sim/world/sim_faults.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    MOVED = 12,
    SAMPLE = 2,     /* places of a fault, of each kind and length */
    MAX_LINES = 99, /* of chat */
    TRIES = 40,     /* a user's patience: twenty minutes, with faults that end */
};

struct line {
    unsigned from, to; /* nodes; to = ROOM: all of the room */
    unsigned ask;
};

enum {
    ALICE,
    BOB,
    CAROL,
    NODES,
    ROOM = NODES,
};

static const char *const names[] = {"alice", "bob", "carol", "#crew"};

struct scene {
    struct sim_node *node[NODES];
    struct line lines[MAX_LINES];
    unsigned n_lines;
    const char *failure;
};

/* --- users ------------------------------------------------------------------------------- */

/* Says it again until it is done, or until another request shows that it is (has: with the text in
 * its answer, else without): the answer may have been lost. */
struct proof {
    const char *request;
    bool has;
    const char *text;
};

static bool is_shown(struct scene *s, unsigned who, const struct proof *proof)
{
    const char *answer = sim_world_ask(s->node[who], PV_S(20), "%s", proof->request);
    return answer != NULL && sim_answer_has(answer, proof->text) == proof->has;
}

static bool insist(struct scene *s, unsigned who, const char *fields, const struct proof *proof)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (sim_world_tell(s->node[who], PV_S(20), "%s", fields) || is_shown(s, who, proof))
            return true;
        sim_world_run(PV_S(30));
    }
    return false;
}

static const struct proof is_member = {"'cmd':'status'", true, "'network':{"};
static const struct proof has_room = {"'cmd':'room_list'", true, "crew"};
static const struct proof bob_has_room = {"'cmd':'room_members','room':'#crew'", true, "'bob'"};
static const struct proof bob_is_in = {"'cmd':'room_list'", true, "'invited':false"};
static const struct proof is_removed = {"'cmd':'peers'", false, "'carol'"};

static bool create(struct scene *s)
{
    return insist(s, ALICE,
                  PV_STR("'cmd':'create','url':'%s','name':'alice'", sim_coord_url(sim.coord)),
                  &is_member);
}

/* With an invite of its own for each try, as one asks for a new one when joining went wrong. */
static bool join(struct scene *s, unsigned who)
{
    for (unsigned i = 0; i < TRIES; i++) {
        const char *token = sim_world_invite(s->node[ALICE], "'uses':1");
        if (token != NULL && (sim_world_join(s->node[who], token, names[who]) != NULL ||
                              is_shown(s, who, &is_member)))
            return true;
        sim_world_run(PV_S(2));
    }
    return false;
}

/* A line until one is taken. */
static bool say(struct scene *s, unsigned from, unsigned to)
{
    for (unsigned i = 0; i < TRIES && s->n_lines < MAX_LINES; i++) {
        struct line *l = &s->lines[s->n_lines];
        *l = (struct line){.from = from, .to = to};
        l->ask =
            sim_world_tell(s->node[from], PV_S(20), "'cmd':'send','peer':'%s','text':'line %u'",
                           names[to], s->n_lines++);
        if (l->ask)
            return true;
        sim_world_run(PV_S(5));
    }
    return false;
}

static bool have_addresses(void *ctx)
{
    struct sim_node *const *two = ctx;
    return sim_node_overlay(two[0], PV_AF_INET).family != PV_AF_NONE &&
           sim_node_overlay(two[1], PV_AF_INET).family != PV_AF_NONE;
}

static bool reach(struct scene *s, unsigned from, unsigned to)
{
    struct sim_node *two[2] = {s->node[from], s->node[to]};
    return sim_world_until(PV_S(60), have_addresses, two) &&
           sim_world_reach(two[0], two[1], PV_MS(200), PV_S(180)) != PV_NEVER;
}

static bool make_room(struct scene *s)
{
    static const char invite[] = "'cmd':'room_invite','room':'#crew','peer':'bob'";
    return insist(s, ALICE, "'cmd':'room_create','room':'crew'", &has_room) &&
           insist(s, ALICE, invite, &bob_has_room) &&
           insist(s, BOB, "'cmd':'room_accept','room':'#crew'", &bob_is_in);
}

/* How often the text of a line is in the history of a node; -1: it does not say. */
static int count(struct scene *s, unsigned who, unsigned line)
{
    int n = 0;
    const char *answer = sim_world_ask(s->node[who], PV_S(20), "'cmd':'history','limit':1000");
    if (answer == NULL)
        return -1;
    const char *text = PV_STR("line %u", line);
    json_t *root = json_loads(answer, 0, NULL);
    PV_EACH_JSON(json_object_get(root, "messages"), m) {
        const char *x = pv_json_text(m, "text", NULL);
        n += x != NULL && strcmp(x, text) == 0;
    }
    json_decref(root);
    return n;
}

/* A line that was taken is with its receivers once; one that was not, at most once. */
static bool is_delivered(struct scene *s)
{
    for (unsigned i = 0; i < s->n_lines; i++) {
        const struct line *l = &s->lines[i];
        for (unsigned who = ALICE; who < CAROL; who++) {
            if (l->to != who && l->to != ROOM && l->from != who)
                continue;
            int n = count(s, who, i);
            if (n > 1)
                s->failure = "a line is there twice";
            if (n > 1 || n < (l->ask != 0))
                return false;
        }
    }
    return true;
}

/* --- the scenario ------------------------------------------------------------------------ */

static const struct pv_link_config line = {.delay = PV_MS(15), .jitter = PV_MS(5)};

static void begin(struct scene *s)
{
    memset(s, 0, sizeof(*s));
    sim_world_init(1, &line);
    sim_coord_offer_tls(sim.coord, 443); /* told from its next start on */
    sim_coord_stop(sim.coord);
    sim_coord_start(sim.coord);
    unsigned zone = sim_world_nat(SIM_PUBLIC, "port-restricted", &line);
    s->node[ALICE] = sim_world_node(SIM_PUBLIC, "alice", false);
    s->node[BOB] = sim_world_node(zone, "bob", false);
    s->node[CAROL] = sim_world_node(SIM_PUBLIC, "carol", false);
}

/* Nothing of bob's passes but streams to port 443, where the coordinator takes TLS: the relay by a
 * stream. */
static bool reach_by_443(struct scene *s)
{
    const unsigned host = sim_node_host(s->node[BOB]);
    sim_net_block_datagrams(sim.net, host, true);
    sim_net_only_port(sim.net, host, 443);
    bool reached = reach(s, BOB, ALICE) && say(s, BOB, ALICE);
    sim_net_block_datagrams(sim.net, host, false);
    sim_net_only_port(sim.net, host, 0);
    return reached;
}

/* Restarts in between read back what was stored. */
static const char *live(struct scene *s)
{
    if (!create(s))
        return "create";
    if (!join(s, BOB) || !join(s, CAROL))
        return "join";
    if (!reach(s, BOB, ALICE))
        return "meet";
    if (!say(s, ALICE, BOB) || !say(s, BOB, ALICE))
        return "send";
    if (!make_room(s))
        return "room";
    if (!say(s, BOB, ROOM))
        return "send to the room";
    sim_node_kill(s->node[BOB]);
    if (!say(s, ALICE, BOB))
        return "send to a node that is off";
    sim_node_start(s->node[BOB]);
    sim_coord_kill(sim.coord);
    sim_coord_start(sim.coord);
    if (!reach(s, ALICE, BOB))
        return "meet again";
    if (!reach_by_443(s))
        return "meet without UDP";
    if (!insist(s, ALICE, "'cmd':'remove','peer':'carol'", &is_removed))
        return "remove";
    return NULL;
}

/* No more faults. */
static const char *heal(struct scene *s)
{
    sim_node_restart(s->node[ALICE]);
    if (!reach(s, ALICE, BOB) || !say(s, BOB, ALICE))
        return "a restart";
    for (unsigned waited = 0; !is_delivered(s); waited++) {
        if (s->failure != NULL || waited == 60)
            return s->failure != NULL ? s->failure : "a line that was taken is lost";
        sim_world_run(PV_S(2));
    }
    for (unsigned waited = 0; !is_shown(s, BOB, &is_removed); waited++) {
        if (waited == 60)
            return "carol is a member still";
        sim_world_run(PV_S(2));
    }
    return NULL;
}

/* One life as it was planned; says what went wrong. */
static const char *run(void)
{
    struct scene *s = test_alloc(sizeof(*s));
    begin(s);
    const char *why = live(s);
    sim_faults_stop();
    if (why == NULL)
        why = heal(s);
    if (why != NULL)
        printf("%s: %s\n", why, sim.why);
    sim_world_done();
    free(s);
    sim_faults_end(why == NULL);
    return why;
}

static const char *run_with(enum sim_fault kind, uint64_t first, uint64_t n)
{
    sim_faults_plan(kind, first, n);
    return run();
}

/* Does PV_FAULT=KIND:FIRST:N or KIND:FIRST-LAST:N ask for faults of this kind and length? */
static bool is_wanted(const char *wanted, enum sim_fault kind, uint64_t n, struct sim_places *ret)
{
    char word[16] = "", places[48] = "";
    unsigned long long first = 0, last = 0, length = 0;
    if (sscanf(wanted, "%15[a-z]:%47[0-9-]:%llu", word, places, &length) != 3)
        fail_msg("PV_FAULT: KIND:FIRST:N or KIND:FIRST-LAST:N");
    if (sscanf(places, "%llu-%llu", &first, &last) != 2)
        last = first;
    *ret = (struct sim_places){.first = first, .last = last, .step = 1};
    return strcmp(word, sim_fault_name(kind)) == 0 && length == n;
}

/* The places of a sample lie equally far apart; SEED=N moves them by N, PV_SIM_LONG=1 takes every
 * place there is. */
static struct sim_places choose(enum sim_fault kind, uint64_t n)
{
    const char *seed = getenv("SEED");
    assert_null(run_with(kind, 0, 0));
    uint64_t calls = sim_faults_calls(kind);
    assert_true(calls > 0);
    uint64_t step = sim_is_long() || calls < SAMPLE ? 1 : calls / SAMPLE;
    printf("%s: %llu calls, %llu fail, 1 in %llu tried\n", sim_fault_name(kind),
           (unsigned long long)calls, (unsigned long long)n, (unsigned long long)step);
    return (struct sim_places){.first = 1 + (seed == NULL ? 0 : strtoull(seed, NULL, 10) % step),
                               .last = calls,
                               .step = step};
}

/* One place is looked at in this process, for a debugger. */
static void fail_at_each(enum sim_fault kind, uint64_t n)
{
    struct sim_places places;
    const char *wanted = getenv("PV_FAULT");
    if (wanted == NULL)
        places = choose(kind, n);
    else if (!is_wanted(wanted, kind, n, &places))
        return;
    if (places.first == places.last) {
        assert_null(run_with(kind, places.first, n));
        if (sim_faults_failed() == 0)
            printf("no call failed: there are %llu\n", (unsigned long long)sim_faults_calls(kind));
        return;
    }
    sim_faults_sweep(kind, &places, n);
    assert_null(run());
    assert_int_equal(sim_faults_bad(), 0);
}

PV_TEST(the_network_outlives_an_allocation_that_fails)
{
    fail_at_each(SIM_FAULT_ALLOC, 1);
}

/* Around the places where it once did not: the coordinator's admins and its list of removals,
 * statements of a node that joins, the job that raises its interface, a peer that packets wait for,
 * the proof and the records of a room, the relay's members, a node's relay; and, for a while, an
 * invitation and a removal. They move a little with the code; one in MOVED, and each with
 * PV_SIM_LONG. */
PV_TEST_WHOLE(the_network_outlives_what_it_once_did_not)
{
    static const struct {
        struct sim_places at;
        uint64_t n;
    } places[] = {{{426, 450, 1}, 1},   {{488, 516, 1}, 1},   {{852, 862, 1}, 1},
                  {{876, 886, 1}, 1},   {{1464, 1486, 2}, 1}, {{1700, 1720, 2}, 1},
                  {{1820, 1834, 1}, 1}, {{2605, 2618, 1}, 1}, {{2382, 2386, 1}, 30},
                  {{4817, 4821, 1}, 30}};
    for (size_t i = 0; i < PV_ARRAY_LEN(places) && getenv("PV_FAULT") == NULL; i++) {
        struct sim_places some = places[i].at;
        some.step *= sim_is_long() ? 1 : MOVED;
        sim_faults_sweep(SIM_FAULT_ALLOC, &some, places[i].n);
        assert_null(run());
        assert_int_equal(sim_faults_bad(), 0);
    }
}

PV_TEST(the_network_outlives_a_while_without_memory)
{
    fail_at_each(SIM_FAULT_ALLOC, 30);
}

PV_TEST(the_network_outlives_datagrams_that_are_not_sent)
{
    if (test_takes_all())
        fail_at_each(SIM_FAULT_SEND, 1);
    fail_at_each(SIM_FAULT_SEND, 20);
}

PV_TEST(the_network_outlives_a_store_that_fails)
{
    if (test_takes_all())
        fail_at_each(SIM_FAULT_STORE, 1);
    fail_at_each(SIM_FAULT_STORE, 5);
}

PV_TEST(the_network_outlives_streams_that_are_reset)
{
    if (test_takes_all())
        fail_at_each(SIM_FAULT_STREAM, 1);
    fail_at_each(SIM_FAULT_STREAM, 3);
}

PV_TEST_WHOLE(the_network_outlives_streams_that_take_little)
{
    fail_at_each(SIM_FAULT_SHORT, 1);
    fail_at_each(SIM_FAULT_SHORT, 20);
}
