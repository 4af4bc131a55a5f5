/* SPDX-License-Identifier: MIT */
/*
 * test_room_life.c - three nodes and a coordinator that are killed, stopped, cut off and brought
 * together again at any moment, a thousand times, while everybody writes to everybody and into a
 * room: what `send` has taken is at its receiver, or at all members of the room, once and in order.
 * Then the same while members clear the room, and one keeps a day only: what is deleted does not
 * come back, and everything else is at everybody.
 */
#include <jansson.h>

#include "base/jsonread.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 1,      /* PV_SIM_SEEDS sets another number */
    EVENTS = 500,   /* kills, cuts and reunions */
    DELETING = 250, /* the same, where lines are deleted */
    MAX_DAYS = 12,  /* that pass meanwhile; after 14 nobody is waited for */
    NODES = 3,
    KEEPS = NODES - 1, /* who keeps a day */
    TO_ROOM = NODES,   /* a receiver */
    MAX_LINES = 330, /* of one sender to one receiver; three times that is one answer of history */
};

static const char *const NAMES[NODES] = {"a", "b", "c"};

struct side {
    struct sim_node *node;
    unsigned zone;
    bool full; /* its disk */
    unsigned ask[NODES + 1][MAX_LINES];
    unsigned n[NODES + 1];
    unsigned since[NODES]; /* lines of the room from here on were not deleted, by sender, */
    bool deleted[NODES][MAX_LINES]; /* and these certainly were */
};

struct talk {
    struct side side[NODES];
    uint64_t seed;
    bool deletes; /* lines of the room */
    unsigned days;
    char missing[96]; /* a line that is not there yet */
};

static bool begin(struct talk *t, uint64_t seed, bool deletes)
{
    static const struct pv_link_config good = {.delay = PV_MS(15), .jitter = PV_MS(5)};
    static const char *const nats[NODES] = {"port-restricted", "address-restricted", "full-cone"};
    memset(t, 0, sizeof(*t));
    t->seed = seed;
    t->deletes = deletes;
    sim_world_init(seed, &good);
    for (int i = 0; i < NODES; i++) {
        t->side[i].zone = sim_world_nat(SIM_PUBLIC, nats[i], &good);
        t->side[i].node = sim_world_node(t->side[i].zone, NAMES[i], false);
        sim_node_set_job_delay(t->side[i].node, PV_MS(10));
        if (t->deletes && i == KEEPS)
            sim_node_set_chat_keep(t->side[i].node, 86400);
    }
    return sim_world_join_all();
}

/* The others are in the room that the first makes. */
static bool meet(struct talk *t)
{
    sim_world_run(PV_S(3));
    return sim_world_tell(t->side[0].node, PV_S(5), "'cmd':'room_create','room':'dev'") &&
           sim_world_tell(t->side[0].node, PV_S(5),
                          "'cmd':'room_invite','room':'#dev','peer':'b'") &&
           sim_world_tell(t->side[0].node, PV_S(5),
                          "'cmd':'room_invite','room':'#dev','peer':'c'") &&
           sim_world_enter(t->side[1].node, "#dev") && sim_world_enter(t->side[2].node, "#dev");
}

static void say(struct talk *t)
{
    uint32_t from = sim_draw(NODES);
    uint32_t to = t->deletes || sim_draw(2) == 0 ? TO_ROOM : sim_draw(NODES);
    struct side *s = &t->side[from];
    if (!sim_node_runs(s->node) || to == from || s->n[to] == MAX_LINES)
        return;
    s->ask[to][s->n[to]] = sim_node_ask(s->node, "'cmd':'send','peer':'%s','text':'line %u'",
                                        to == TO_ROOM ? "#dev" : NAMES[to], s->n[to]);
    s->n[to]++;
}

/* --- deleting ------------------------------------------------------------------------------ */

/* Which lines of the room does the node show? */
static bool list_shown(struct talk *t, int at, bool ret_shown[NODES][MAX_LINES])
{
    const char *answer =
        sim_world_ask(t->side[at].node, PV_S(5), "'cmd':'history','limit':1000,'peer':'#dev'");
    json_t *root = answer == NULL ? NULL : json_loads(answer, 0, NULL);
    memset(ret_shown, 0, NODES * sizeof(ret_shown[0]));
    PV_EACH_JSON(json_object_get(root, "messages"), m) {
        const char *text = pv_json_text(m, "text", NULL);
        const char *from = pv_json_text(m, "from", NULL);
        unsigned line = 0;
        for (int k = 0; k < NODES; k++) {
            if (strcmp(from, NAMES[k]) == 0 && sscanf(text, "line %u", &line) == 1 &&
                line < MAX_LINES)
                ret_shown[k][line] = true;
        }
    }
    json_decref(root);
    return root != NULL;
}

/* Everything that was said until now may be deleted at this node. */
static void begin_anew(struct talk *t, struct side *s)
{
    for (int from = 0; from < NODES; from++)
        s->since[from] = t->side[from].n[TO_ROOM];
}

/* Clears the room at a node, and notes which lines that deleted. */
static void clear_room(struct talk *t, int at)
{
    static bool before[NODES][MAX_LINES], after[NODES][MAX_LINES];
    struct side *s = &t->side[at];
    if (!sim_node_runs(s->node) || s->full || !list_shown(t, at, before))
        return;
    const char *answer =
        sim_world_ask(t->side[at].node, PV_S(5), "'cmd':'history_clear','peer':'#dev'");
    begin_anew(t, s);
    if (!sim_answer_has(answer, "'ok':true") || !list_shown(t, at, after))
        return;
    for (int from = 0; from < NODES; from++) {
        for (unsigned line = 0; line < MAX_LINES; line++)
            s->deleted[from][line] |= before[from][line] && !after[from][line];
    }
}

/* A day passes, for everybody's clock; who keeps no more than that may delete all it has. */
static void pass_day(struct talk *t)
{
    if (t->days == MAX_DAYS)
        return;
    t->days++;
    for (int i = 0; i < NODES; i++)
        sim_node_jump_wall(t->side[i].node, INT64_C(86400) * 1000000);
    if (sim_node_runs(t->side[KEEPS].node))
        (void)sim_world_ask(t->side[KEEPS].node, PV_S(5), "'cmd':'inbox','mark_read':true");
    if (sim_node_runs(t->side[KEEPS].node))
        sim_node_stop(t->side[KEEPS].node);
    sim_node_start(t->side[KEEPS].node); /* then old lines are looked for */
    sim_world_run(PV_S(10));
    begin_anew(t, &t->side[KEEPS]);
}

static void delete_some(struct talk *t)
{
    if (sim_draw(16) == 0)
        pass_day(t);
    else if (sim_draw(4) == 0)
        clear_room(t, (int)sim_draw(NODES));
}

/* --- trouble ------------------------------------------------------------------------------- */

/* One kill, cut or reunion. (A node whose disk is full is not killed: the marks of the numbers that
 * must grow for ever are on that disk.) */
static void trouble(struct talk *t)
{
    struct side *s = &t->side[sim_draw(NODES)];
    switch (sim_draw(s->full ? 1 : 10)) {
    case 0:
        s->full = !s->full && sim_draw(3) == 0;
        sim_node_set_disk_full(s->node, s->full);
        break;
    case 1:
    case 9:
        if (sim_node_runs(s->node))
            sim_node_kill(s->node);
        else
            sim_node_start(s->node);
        break;
    case 2:
        if (sim_node_runs(s->node))
            sim_node_stop(s->node);
        else
            sim_node_start(s->node);
        break;
    case 3:
    case 4:
    case 5:
        for (int i = 0; i < NODES; i++) {
            if (!sim_node_runs(t->side[i].node))
                sim_node_start(t->side[i].node);
        }
        break;
    case 6:
        sim_net_reboot_nat(sim.net, s->zone);
        break;
    case 7:
    case 8:
        if (sim_coord_core(sim.coord) != NULL)
            sim_coord_kill(sim.coord);
        else
            sim_coord_start(sim.coord);
        break;
    }
}

static void repair(struct talk *t)
{
    if (sim_coord_core(sim.coord) == NULL)
        sim_coord_start(sim.coord);
    for (int i = 0; i < NODES; i++) {
        sim_node_set_disk_full(t->side[i].node, false);
        if (!sim_node_runs(t->side[i].node))
            sim_node_start(t->side[i].node);
    }
}

static bool was_taken(const struct side *s, unsigned to, unsigned line)
{
    const char *answer = sim_node_answer(s->node, s->ask[to][line]);
    return sim_answer_has(answer, "'ok':true");
}

/* The lines from `from` to `to` that node at has, in one list of its history. NULL when it is as it
 * should be; *ret_missing: a line is not there yet. */
static const char *check_list(struct talk *t, const json_t *list, const struct side *at,
                              unsigned from, unsigned to, bool *ret_missing)
{
    const struct side *s = &t->side[from];
    bool got[MAX_LINES] = {false}, any = false;
    unsigned last = 0;
    PV_EACH_JSON(list, m) {
        unsigned line = 0;
        const char *text = pv_json_text(m, "text", NULL);
        if (strcmp(pv_json_text(m, "from", "?"), NAMES[from]) != 0)
            continue;
        if (text == NULL || sscanf(text, "line %u", &line) != 1 || line >= s->n[to])
            return "a line that nobody said";
        if (got[line])
            return "a line came twice";
        if (to == TO_ROOM && at->deleted[from][line])
            return "a deleted line came back";
        if (any && line < last)
            return "a line came too late";
        got[line] = any = true;
        last = line;
    }
    for (unsigned line = 0; line < s->n[to]; line++) {
        if (!was_taken(s, to, line) || got[line] || (to == TO_ROOM && line < at->since[from]))
            continue;
        *ret_missing = true;
        snprintf(t->missing, sizeof(t->missing), "line %u of %s to %s, last was %u", line,
                 NAMES[from], to == TO_ROOM ? "#dev" : NAMES[to], last);
    }
    return NULL;
}

/* The conversation of node at with peer, or with the room. */
static const char *check(struct talk *t, unsigned at, unsigned with, bool *ret_missing)
{
    const char *why = NULL;
    const char *answer =
        sim_world_ask(t->side[at].node, PV_S(5), "'cmd':'history','limit':1000,'peer':'%s'",
                      with == TO_ROOM ? "#dev" : NAMES[with]);
    if (answer == NULL)
        return "history:";
    json_t *root = json_loads(answer, 0, NULL);
    const json_t *list = json_object_get(root, "messages");
    for (unsigned from = 0; why == NULL && from < NODES; from++) {
        if (with == TO_ROOM)
            why = check_list(t, list, &t->side[at], from, TO_ROOM, ret_missing);
        else if (from == with)
            why = check_list(t, list, &t->side[at], from, at, ret_missing);
    }
    json_decref(root);
    return why;
}

/* Does every member know all that was said in the room, also what it has deleted? */
static const char *check_logs(struct talk *t, bool *ret_missing)
{
    json_int_t first[NODES] = {0};
    for (int at = 0; at < NODES; at++) {
        const char *answer =
            sim_world_ask(t->side[at].node, PV_S(5), "'cmd':'room_members','room':'#dev'");
        json_t *root = answer == NULL ? NULL : json_loads(answer, 0, NULL);
        const json_t *members = json_object_get(root, "members");
        size_t n = json_array_size(members);
        for (size_t i = 0; i < n; i++) {
            const json_t *m = json_array_get(members, i);
            unsigned from = 0, taken = 0;
            while (from < NODES && strcmp(pv_json_text(m, "name", "?"), NAMES[from]) != 0)
                from++;
            if (from == NODES)
                continue;
            for (unsigned line = 0; line < t->side[from].n[TO_ROOM]; line++)
                taken += was_taken(&t->side[from], TO_ROOM, line);
            json_int_t texts = pv_json_int(m, "texts");
            first[from] = at == 0 ? texts : first[from];
            if (texts >= taken && texts == first[from])
                continue;
            *ret_missing = true;
            snprintf(t->missing, sizeof(t->missing), "%s knows %lld lines of %s, %u were taken",
                     NAMES[at], (long long)texts, NAMES[from], taken);
        }
        json_decref(root);
        if (n != NODES)
            return "room members:";
    }
    return NULL;
}

static const char *check_all(struct talk *t, bool *ret_missing)
{
    const char *why = check_logs(t, ret_missing);
    for (unsigned at = 0; why == NULL && at < NODES; at++) {
        for (unsigned with = 0; why == NULL && with <= TO_ROOM; with++) {
            if (with != at)
                why = check(t, at, with, ret_missing);
        }
    }
    return why;
}

static void converse(uint64_t seed, void *ctx)
{
    static struct talk the_talk;
    struct talk *t = &the_talk;
    const bool *deletes = ctx;
    const unsigned all = *deletes ? DELETING : EVENTS, events = test_takes_all() ? all : all / 2;
    unsigned said = 0;
    sim_must(begin(t, seed, *deletes) && meet(t), "beginning:");
    for (unsigned i = 0; i < events; i++) {
        for (uint32_t n = sim_draw(6); n > 0; n--) {
            say(t);
            sim_world_run(PV_MS(sim_draw(40)));
        }
        trouble(t);
        if (t->deletes)
            delete_some(t);
        sim_world_run(PV_MS(sim_draw(sim_draw(8) == 0 ? 20000 : 800)));
    }
    repair(t);
    sim_world_run(PV_S(10));
    bool missing = true;
    for (unsigned waited = 0; missing; waited++) {
        missing = false;
        const char *why = check_all(t, &missing);
        sim_must(why == NULL, why);
        if (missing)
            snprintf(sim.why, sizeof(sim.why), "%s", t->missing);
        sim_must(!missing || waited < 60, "a line is missing after 120 quiet seconds:");
        sim_world_run(PV_S(2));
    }
    for (int i = 0; i < NODES; i++) {
        for (unsigned to = 0; to <= TO_ROOM; to++)
            said += t->side[i].n[to];
    }
    sim_must(said >= events, "too little was said");
}

PV_TEST_WHOLE(a_thousand_kills_cuts_and_reunions_lose_nothing)
{
    bool deletes = false;
    sim_seeds(SEEDS, converse, &deletes);
}

PV_TEST(a_deleted_text_stays_away_and_nothing_else_is_lost)
{
    bool deletes = true;
    sim_seeds(SEEDS, converse, &deletes);
}
