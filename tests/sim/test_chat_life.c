/* SPDX-License-Identifier: MIT */
/*
 * test_chat_life.c - chat lines between two nodes that are killed, stopped and cut off at any
 * moment: what `send` has taken arrives exactly once and in order, and what it has not taken at
 * most once.
 */
#include <assert.h>

#include <jansson.h>

#include "base/jsonread.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

/* --- the way of a line (scripts/chat-way) ---------------------------------------------------- */

/* In a build with -finstrument-functions the functions that control passes while a test says so are
 * written down. Without that option, or without PV_SIM_WAY=FILE, nothing is. */

#define PLAIN __attribute__((no_instrument_function))

static FILE *file; /* NULL: nothing is written */

void __cyg_profile_func_enter(void *function, void *caller) PLAIN;
void __cyg_profile_func_exit(void *function, void *caller) PLAIN;

/* From here on it is about this: a line "= what" in the file, and one for each function that is
 * entered ("E" and its distance from this one) or left ("X"). NULL: no more. */
PLAIN static void sim_way(const char *what)
{
    const char *path = getenv("PV_SIM_WAY");
    if (file != NULL)
        (void)fclose(file);
    file = what == NULL || path == NULL ? NULL : fopen(path, "ae");
    assert(file != NULL || what == NULL || path == NULL);
    if (file != NULL)
        fprintf(file, "= %s\n", what);
}

/* The program may lie anywhere: a function is named by its distance from a known one. */
PLAIN static void write_down(char what, const void *function)
{
    if (file != NULL)
        fprintf(file, "%c %td\n", what, (intptr_t)function - (intptr_t)sim_way);
}

void __cyg_profile_func_enter(void *function, void *caller)
{
    write_down('E', function);
}

void __cyg_profile_func_exit(void *function, void *caller)
{
    write_down('X', function);
}

enum {
    SEEDS = 3,       /* per scenario; PV_SIM_SEEDS sets another number */
    MAX_LINES = 400, /* of one sender */
};

/* One node and the lines it has sent, by number. */
struct side {
    struct sim_node *node;
    const char *peer;
    unsigned zone;
    unsigned ask[MAX_LINES]; /* 0 = not asked for */
    unsigned n;
};

struct talk {
    struct side side[2];
    uint64_t seed;
};

static bool begin(struct talk *t, uint64_t seed)
{
    static const struct pv_link_config good = {.delay = PV_MS(15), .jitter = PV_MS(5)};
    memset(t, 0, sizeof(*t));
    t->seed = seed;
    sim_world_init(seed, &good);
    t->side[0].zone = sim_world_nat(SIM_PUBLIC, "port-restricted", &good);
    t->side[1].zone = sim_world_nat(SIM_PUBLIC, "address-restricted", &good);
    t->side[0].node = sim_world_node(t->side[0].zone, "a", false);
    t->side[1].node = sim_world_node(t->side[1].zone, "b", false);
    t->side[0].peer = "b";
    t->side[1].peer = "a";
    for (int i = 0; i < 2; i++)
        sim_node_set_job_delay(t->side[i].node, PV_MS(20));
    return sim_world_join_all();
}

static void say(struct side *s)
{
    if (!sim_node_runs(s->node) || s->n == MAX_LINES)
        return;
    s->ask[s->n] =
        sim_node_ask(s->node, "'cmd':'send','peer':'%s','text':'line %u'", s->peer, s->n);
    s->n++;
}

static bool was_taken(const struct side *s, unsigned line)
{
    const char *answer = sim_node_answer(s->node, s->ask[line]);
    return sim_answer_has(answer, "'ok':true");
}

/* The accidents now and then. */
static void trouble(struct talk *t)
{
    struct side *s = &t->side[sim_draw(2)];
    switch (sim_draw(9)) {
    case 0:
    case 1:
        if (sim_node_runs(s->node))
            sim_node_kill(s->node);
        break;
    case 2:
        if (sim_node_runs(s->node))
            sim_node_stop(s->node);
        break;
    case 3:
    case 4:
    case 5:
        if (!sim_node_runs(s->node))
            sim_node_start(s->node);
        break;
    case 6:
        sim_net_reboot_nat(sim.net, s->zone);
        break;
    case 7:
        if (sim_coord_core(sim.coord) != NULL)
            sim_coord_kill(sim.coord);
        else
            sim_coord_start(sim.coord);
        break;
    default:
        sim_node_set_disk_full(s->node, sim_draw(2) == 0);
        break;
    }
}

static void repair(struct talk *t)
{
    if (sim_coord_core(sim.coord) == NULL)
        sim_coord_start(sim.coord);
    for (int i = 0; i < 2; i++) {
        sim_node_set_disk_full(t->side[i].node, false);
        if (!sim_node_runs(t->side[i].node))
            sim_node_start(t->side[i].node);
    }
}

/* Looks through what `to` has got from `from`. NULL when it is as it should be; *ret_missing says
 * whether something may still be under way. */
static const char *check(struct talk *t, const struct side *from, const struct side *to,
                         bool *ret_missing)
{
    bool got[MAX_LINES] = {false};
    unsigned last = 0;
    bool any = false;
    const char *answer = sim_world_ask(to->node, PV_S(5), "'cmd':'history','limit':1000");
    if (answer == NULL)
        return "history:";
    json_t *root = json_loads(answer, 0, NULL);
    const char *why = NULL;
    PV_EACH_JSON(json_object_get(root, "messages"), m) {
        unsigned line = 0;
        const char *text = pv_json_text(m, "text", NULL);
        if (strcmp(pv_json_text(m, "from", "?"), sim_node_name(from->node)) != 0)
            continue;
        if (text == NULL || sscanf(text, "line %u", &line) != 1 || line >= from->n)
            why = "a line that nobody said";
        else if (got[line])
            why = "a line came twice";
        else if (any && line < last)
            why = "a line came too late";
        if (why != NULL)
            break;
        got[line] = any = true;
        last = line;
    }
    json_decref(root);
    for (unsigned line = 0; line < from->n; line++)
        *ret_missing = *ret_missing || (was_taken(from, line) && !got[line]);
    return why;
}

PV_SIM(a_sent_message_arrives_once_and_in_order, SEEDS)
{
    struct talk t;
    sim_must(begin(&t, seed), "joining:");
    unsigned steps = 60 + sim_draw(60);
    for (unsigned i = 0; i < steps; i++) {
        uint32_t what = sim_draw(10);
        if (what < 6)
            say(&t.side[sim_draw(2)]);
        else if (what < 8)
            trouble(&t);
        /* Bursts, and long silences. */
        sim_world_run(sim_draw(3) == 0 ? PV_MS(sim_draw(30000)) : PV_MS(sim_draw(60)));
    }
    repair(&t);
    bool missing = true;
    for (unsigned waited = 0; missing; waited++) {
        missing = false;
        const char *why = check(&t, &t.side[0], &t.side[1], &missing);
        if (why == NULL)
            why = check(&t, &t.side[1], &t.side[0], &missing);
        sim_must(why == NULL, why);
        sim_must(!missing || waited != 60, "a line is missing after 120 quiet seconds");
        sim_world_run(PV_S(2));
    }
}

/* A line to a peer that is there takes hardly longer than the way, stored on both sides. */
PV_SIM(a_line_to_a_peer_that_is_there_arrives_at_once, SEEDS)
{
    struct talk t;
    sim_must(begin(&t, seed), "joining:");
    sim_world_run(PV_S(2));
    say(&t.side[0]);
    sim_world_run(PV_S(3));
    for (int i = 0; i < 20; i++) {
        struct side *from = &t.side[i % 2], *to = &t.side[1 - i % 2];
        bool missing = false;
        sim_way(i == 0 ? "line" : NULL);
        say(from);
        sim_world_run(PV_MS(200)); /* three times the way, and two disks */
        sim_way(NULL);
        const char *why = check(&t, from, to, &missing);
        sim_must(why == NULL && !missing, why != NULL ? why : "a line took longer than 200 ms");
    }
    sim_way("idle");
    sim_world_run(PV_S(2));
    sim_way(NULL);
}

/* Only one of the two is ever there, the coordinator now and then not. */
PV_SIM(two_who_are_never_there_together_write_to_each_other, SEEDS)
{
    struct talk t;
    sim_must(begin(&t, seed), "joining:");
    sim_node_stop(t.side[1].node);
    for (unsigned turn = 0; turn < 8; turn++) {
        struct side *here = &t.side[turn % 2], *away = &t.side[1 - turn % 2];
        bool missing = false;
        sim_world_run(PV_S(2));
        if (sim_draw(3) == 0) {
            sim_coord_kill(sim.coord);
            sim_world_run(PV_MS(sim_draw(3000)));
            sim_coord_start(sim.coord);
        }
        for (unsigned n = sim_draw(30); n > 0; n--) {
            say(here);
            sim_world_run(PV_MS(sim_draw(200)));
        }
        sim_world_run(PV_S(75)); /* also when an answer was lost */
        const char *why = check(&t, away, here, &missing);
        sim_must(why == NULL && !missing, why != NULL ? why : "a copy was not delivered");
        if (sim_draw(2) == 0)
            sim_node_kill(here->node);
        else
            sim_node_stop(here->node);
        sim_node_start(away->node);
    }
    repair(&t);
    sim_world_run(PV_S(60)); /* now they meet: what went both ways is there once */
    for (int i = 0; i < 2; i++) {
        bool missing = false;
        const char *why = check(&t, &t.side[i], &t.side[1 - i], &missing);
        sim_must(why == NULL && !missing, why != NULL ? why : "a line is lost");
    }
}

/* Presence is known before the own interface is up: what waits goes out as soon as it is. */
PV_SIM(a_message_that_waits_goes_out_when_the_interface_is_up, 4)
{
    struct talk t;
    sim_must(begin(&t, seed), "joining:");
    sim_node_stop(t.side[1].node);
    sim_world_run(PV_S(2));
    say(&t.side[0]);
    sim_world_run(PV_S(2));
    sim_node_kill(t.side[0].node);
    sim_node_start(t.side[1].node);
    sim_world_run(PV_S(10));
    sim_node_set_iface(t.side[0].node, false, PV_S(3));
    sim_node_start(t.side[0].node);
    sim_world_run(PV_S(3) + PV_S(5));
    const char *answer = sim_world_ask(t.side[0].node, PV_S(5), "'cmd':'history'");
    sim_must(sim_answer_has(answer, "'state':'delivered'"), "\"up\" did not send the message");
}
