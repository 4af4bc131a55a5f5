/* SPDX-License-Identifier: MIT */
/*
 * test_trust.c - who is in and who is out, as the nodes see it: a token for one, taken by two at
 * the same instant; a member that is removed while everybody talks to it; two admins who end each
 * other's rights while the coordinator is away.
 */
#include <jansson.h>

#include "base/jsonread.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 6, /* per scenario; PV_SIM_SEEDS sets another number */
    MESH = 5,
};

static struct pv_link_config draw_line(void)
{
    struct pv_natrng *rng = sim_net_rng(sim.net);
    return (struct pv_link_config){.delay = PV_MS(1 + pv_natrng_below(rng, 40)),
                                   .jitter = PV_MS(pv_natrng_below(rng, 10)),
                                   .loss = pv_natrng_below(rng, 2) == 0 ? 0.05 : 0};
}

static bool create(void)
{
    size_t n = sim.n_nodes;
    sim.n_nodes = 1;
    bool ok = sim_world_join_all();
    sim.n_nodes = n;
    return ok;
}

/* --- one token, two joiners ------------------------------------------------------------------ */

struct race {
    struct sim_node *n[2];
    unsigned ask[2];
};

static bool both_answered(void *ctx)
{
    const struct race *r = ctx;
    return sim_node_answer(r->n[0], r->ask[0]) != NULL &&
           sim_node_answer(r->n[1], r->ask[1]) != NULL;
}

static int ask_to_join(struct sim_node *n, const char *token)
{
    return (int)sim_node_ask(n, "'cmd':'join','token':'%s'", token);
}

PV_SIM(of_two_joins_with_one_use_exactly_one_wins, 2 * SEEDS)
{
    struct race r;
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    sim_world_init(seed, &good);
    sim_coord_set_store_delay(sim.coord, PV_MS(200));
    sim_world_node(SIM_PUBLIC, "a", false);
    for (int i = 0; i < 2; i++) {
        struct pv_link_config line = draw_line();
        unsigned zone = sim_world_nat(SIM_PUBLIC, "port-restricted", &line);
        r.n[i] = sim_world_node(zone, "twin", false); /* the name is fought for as well */
    }
    sim_must(create(), "create:");
    const char *token = sim_world_invite(sim.nodes[0], "'uses':1");
    sim_must(token != NULL, "no invite:");
    for (int i = 0; i < 2; i++) {
        r.ask[i] = (unsigned)ask_to_join(r.n[i], token);
        if (seed % 3 != 0)
            sim_world_run(PV_MS(sim_draw(60)));
    }
    if (seed % 4 == 3) { /* the coordinator fails in the middle of it */
        sim_world_run(PV_MS(sim_draw(600)));
        sim_coord_kill(sim.coord);
        sim_world_run(PV_S(1));
        sim_coord_start(sim.coord);
    }
    sim_must(sim_world_until(PV_S(60), both_answered, &r), "a join has no answer after 60 s");
    /* A node that was told of a failure on the way asks again; the same node gets the same
     * place. */
    for (int i = 0; i < 2; i++) {
        const char *answer = sim_node_answer(r.n[i], r.ask[i]);
        if (!sim_answer_has(answer, "'ok':true") && !sim_answer_has(answer, "'code':12")) {
            r.ask[i] = (unsigned)ask_to_join(r.n[i], token);
            sim_must(sim_world_until(PV_S(60), both_answered, &r),
                     "a second join has no answer after 60 s");
        }
    }
    int won = 0;
    for (int i = 0; i < 2; i++) {
        const char *answer = sim_node_answer(r.n[i], r.ask[i]);
        won += sim_answer_has(answer, "'ok':true") ? 1 : 0;
        snprintf(sim.why, sizeof(sim.why), "%.300s", answer);
        sim_must(sim_answer_has(answer, "'ok':true") || sim_answer_has(answer, "'code':12"),
                 "the loser does not say \"token used up\":");
    }
    sim_must(won == 1, won == 0 ? "nobody got in" : "both got in");
    sim_world_run(PV_S(2));
    sim_must(sim_world_says(sim.nodes[0], "'cmd':'status'", "'members':2"),
             "there are not two members");
}

/* --- removed ------------------------------------------------------------------------------- */

static void ping_all(void)
{
    for (size_t i = 0; i < sim.n_nodes; i++) {
        for (size_t k = 0; k < sim.n_nodes; k++) {
            struct pv_addr to = sim_node_overlay(sim.nodes[k], PV_AF_INET);
            if (i != k && to.family != PV_AF_NONE && sim_node_runs(sim.nodes[i]))
                sim_node_ping(sim.nodes[i], &to, 32);
        }
    }
}

static bool lists(struct sim_node *n, const char *name)
{
    return sim_world_says(n, "'cmd':'peers'", PV_STR("'name':'%s'", name));
}

PV_SIM(a_removed_member_is_out_everywhere_within_2_s, SEEDS / 2)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    sim_world_init(seed, &good);
    static const char *const names[MESH] = {"a", "b", "c", "d", "e"};
    for (int i = 0; i < MESH; i++) {
        struct pv_link_config line = draw_line();
        line.loss = 0;
        sim_world_node(sim_world_nat(SIM_PUBLIC, "port-restricted", &line), names[i], false);
    }
    sim_must(sim_world_join_all(), "joining:");
    sim_world_run(PV_S(2));
    for (int i = 0; i < 20; i++) {
        ping_all();
        sim_world_run(PV_MS(100));
    }
    sim_world_run(PV_S(1));
    for (int i = 0; i < MESH; i++) {
        sim_must(sim_node_pings(sim.nodes[i]).answered == 20 * (MESH - 1), "the mesh is not whole");
    }
    struct sim_node *e = sim.nodes[MESH - 1];
    struct pv_addr ip = sim_node_overlay(e, PV_AF_INET);
    sim_must(sim_world_tell(sim.nodes[0], PV_S(5), "'cmd':'remove','peer':'e'"), "remove:");
    sim_world_run(PV_S(2));
    unsigned answered = sim_node_pings(e).answered;
    unsigned received[MESH];
    for (int i = 0; i < MESH; i++)
        received[i] = sim_node_pings(sim.nodes[i]).received;
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < MESH - 1; k++)
            sim_node_ping(sim.nodes[k], &ip, 32);
        for (int k = 0; k < MESH - 1; k++) {
            struct pv_addr to = sim_node_overlay(sim.nodes[k], PV_AF_INET);
            sim_node_ping(e, &to, 32);
        }
        sim_world_run(PV_MS(100));
    }
    sim_must(sim_node_pings(e).answered == answered, "somebody still answers the removed node");
    for (int i = 0; i < MESH - 1; i++) {
        sim_must(sim_node_pings(sim.nodes[i]).received - sim_node_pings(sim.nodes[i]).unreachable <=
                     received[i],
                 "a packet of the removed node came through");
        sim_must(!lists(sim.nodes[i], "e"), "somebody still lists the removed node");
    }
    sim_must(sim_world_says(e, "'cmd':'status'", "remove"), "the removed node does not say so");
    /* Neither a restart nor another token brings its key back. */
    sim_node_restart(e);
    sim_world_run(PV_S(5));
    const char *token = sim_world_invite(sim.nodes[0], "'uses':1");
    sim_must(token != NULL, "no invite:");
    struct race again = {.n = {e, e}};
    sim_must(sim_world_tell(e, PV_S(10), "'cmd':'leave'"), "leave:");
    again.ask[0] = again.ask[1] = (unsigned)ask_to_join(e, token);
    sim_must(sim_world_until(PV_S(60), both_answered, &again), "joining again has no answer");
    snprintf(sim.why, sizeof(sim.why), "%.300s", sim_node_answer(e, again.ask[0]));
    sim_must(sim_answer_has(sim.why, "'code':11"), "a removed node is not refused:");
    for (int i = 0; i < MESH - 1; i++)
        sim_must(!lists(sim.nodes[i], "e"), "somebody lists the removed node again");
}

/* --- admins ---------------------------------------------------------------------------------- */

/* The names of those that n takes for admins, "b c ". */
static bool list_admins(struct sim_node *n, char *out, size_t cap)
{
    const char *answer = sim_world_ask(n, PV_S(2), "'cmd':'peers'");
    json_t *root = answer == NULL ? NULL : json_loads(answer, 0, NULL);
    size_t len = 0;
    out[0] = '\0';
    PV_EACH_JSON(json_object_get(root, "peers"), peer) {
        if (pv_json_bool(peer, "admin") && len < cap)
            len += (size_t)snprintf(out + len, cap - len, "%s ", pv_json_text(peer, "name", "?"));
    }
    json_decref(root);
    return answer != NULL;
}

/* a has made admins of b and c; everybody has met everybody. */
static bool make_admins(void)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        struct pv_link_config line = draw_line();
        line.loss = 0;
        sim_world_node(sim_world_nat(SIM_PUBLIC, "port-restricted", &line), names[i], false);
    }
    if (!sim_world_join_all())
        return false;
    for (size_t i = 1; i < 3; i++) {
        if (!sim_world_tell(sim.nodes[0], PV_S(10), "'cmd':'admin_grant','peer':'%s'", names[i]))
            return false;
    }
    for (int i = 0; i < 20; i++) {
        ping_all();
        sim_world_run(PV_MS(100));
    }
    return true;
}

PV_SIM(of_two_admins_who_end_each_other_the_coordinator_keeps_one, SEEDS / 3)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    char seen[2][128];
    sim_world_init(seed, &good);
    sim_must(make_admins(), "beginning:");
    sim_coord_kill(sim.coord);
    sim_world_run(PV_MS(sim_draw(3000)));
    (void)sim_node_ask(sim.nodes[1], "'cmd':'admin_revoke','peer':'c'");
    sim_world_run(PV_MS(sim_draw(10)));
    (void)sim_node_ask(sim.nodes[2], "'cmd':'admin_revoke','peer':'b'");
    sim_world_run(PV_S(5));
    sim_must(list_admins(sim.nodes[3], seen[0], sizeof(seen[0])), "peers:");
    snprintf(sim.why, sizeof(sim.why), "d sees %s", seen[0]);
    sim_must(strcmp(seen[0], "a ") == 0, "without an order both are out:");
    sim_coord_start(sim.coord);
    sim_world_run(PV_S(30)); /* who lost the connection comes back within 15 s */
    sim_must(list_admins(sim.nodes[0], seen[0], sizeof(seen[0])) &&
                 list_admins(sim.nodes[3], seen[1], sizeof(seen[1])),
             "peers:");
    snprintf(sim.why, sizeof(sim.why), "a sees %s, d sees %s", seen[0], seen[1]);
    bool b = strcmp(seen[0], "b ") == 0, c = strcmp(seen[0], "c ") == 0;
    sim_must((b || c) && strstr(seen[1], seen[0]) != NULL && strlen(seen[1]) == strlen("a b "),
             "not one of them is left to everybody:");
    for (size_t i = 0; i < sim.n_nodes; i++) {
        const char *status = sim_world_ask(sim.nodes[i], PV_S(2), "'cmd':'status'");
        const char *problems = status == NULL ? NULL : strstr(status, "\"problems\":");
        snprintf(sim.why, sizeof(sim.why), "%.300s", problems == NULL ? "no status" : problems);
        sim_must(problems != NULL && strstr(problems, "has not stored") == NULL,
                 "somebody still waits for the coordinator:");
    }
}

/* --- a coordinator whose clock was wrong ------------------------------------------------------ */

/* Something is stored while the clock is wrong; then it is put right. */
PV_SIM(a_coordinator_whose_clock_was_put_right_lets_nodes_in, 12)
{
    static const int64_t days[] = {1, 5, 3650, -1};
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    const int64_t jump = days[seed % 4] * INT64_C(86400000000);
    sim_world_init(seed, &good);
    for (int i = 0; i < 4; i++)
        sim_world_node(SIM_PUBLIC, (const char *const[]){"a", "b", "c", "d"}[i], false);
    struct sim_node *a = sim.nodes[0];
    sim_must(create(), "create:");
    const char *early = sim_world_invite(a, "'uses':9");
    sim_must(early != NULL, "no invite:");
    sim_coord_jump_wall(sim.coord, jump);
    if (seed % 3 == 0) { /* the node hears of it */
        sim_coord_kill(sim.coord);
        sim_coord_start(sim.coord);
        sim_world_run(PV_S(20));
    }
    for (int i = 1; i < 3; i++) {
        const char *token = sim_world_invite(a, "'uses':1");
        sim_must(token != NULL, "no invite:");
        struct race r = {.n = {sim.nodes[i], sim.nodes[i]}};
        r.ask[0] = r.ask[1] = (unsigned)ask_to_join(sim.nodes[i], token);
        sim_must(sim_world_until(PV_S(60), both_answered, &r), "a join has no answer");
        /* With a new clock the token may be of another time, which is said; the next one is not. */
        const char *answer = sim_node_answer(sim.nodes[i], r.ask[0]);
        snprintf(sim.why, sizeof(sim.why), "%.300s", answer);
        sim_must(sim_answer_has(answer, "'ok':true") ||
                     (i == 1 && seed % 3 != 0 && strstr(answer, "expired") != NULL),
                 "not let in:");
        if (i == 1)
            sim_coord_jump_wall(sim.coord, -jump);
    }
    struct race old = {.n = {sim.nodes[3], sim.nodes[3]}};
    old.ask[0] = old.ask[1] = (unsigned)ask_to_join(sim.nodes[3], early);
    sim_must(sim_world_until(PV_S(60), both_answered, &old),
             "a join with the first token has no answer");
    const char *answer = sim_node_answer(sim.nodes[3], old.ask[0]);
    snprintf(sim.why, sizeof(sim.why), "%.300s", answer);
    sim_must(sim_answer_has(answer, "'ok':true") || strstr(answer, "expired") != NULL,
             "neither joined nor told of the expiry:");
}
