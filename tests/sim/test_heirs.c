/* SPDX-License-Identifier: MIT */
/*
 * test_heirs.c - admins go, and what they did stays: whom they removed stays removed, whom they let
 * in stays in, the coordinator that they named lets newcomers in, and nobody comes back by what a
 * former admin has kept. With a living, a dead and a slow former coordinator, by root's key and by
 * another admin's.
 */
#include <stdio.h>

#include "daemon/core/engine.h"
#include "daemon/core/member/scout.h"
#include "daemon/core/node/node.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 1, /* PV_SIM_SEEDS sets another number */
    MEMBERS = 4,
};

/* a made the network and has its root key, b and c are admins, d is a member. */
enum who {
    A,
    B,
    C,
    D,
};

struct scene {
    struct sim_world w;
    uint64_t seed;
    struct sim_node *m[MEMBERS];
};

static const struct pv_link_config line = {.delay = PV_MS(10), .jitter = PV_MS(2)};

static int failed(struct scene *s, const char *what)
{
    printf("heirs, seed %llu at %.3f s: %s %s\n", (unsigned long long)s->seed,
           (double)(sim_net_now(s->w.net) - PV_S(3600)) / 1e9, what, s->w.why);
    sim_world_done(&s->w);
    return 1;
}

static int passed(struct scene *s)
{
    sim_world_done(&s->w);
    return 0;
}

static const char *ask(struct scene *s, struct sim_node *n, const char *fields)
{
    return sim_world_ask(&s->w, n, PV_S(40), fields);
}

/* A command about a member, by its name. */
static bool order(struct scene *s, enum who by, const char *cmd, const char *peer)
{
    char fields[256];
    snprintf(fields, sizeof(fields), "\"cmd\":\"%s\",\"peer\":\"%s\"", cmd, peer);
    bool ok = ask(s, s->m[by], fields) != NULL;
    sim_world_run(&s->w, PV_S(3));
    return ok;
}

static bool begin(struct scene *s, uint64_t seed)
{
    static const char *const names[MEMBERS] = {"a", "b", "c", "d"};
    memset(s, 0, sizeof(*s));
    s->seed = seed;
    sim_world_init(&s->w, seed, &line);
    for (unsigned i = 0; i < MEMBERS; i++)
        s->m[i] = sim_world_node(&s->w, SIM_PUBLIC, names[i], false);
    if (!sim_world_join_all(&s->w) || !order(s, A, "admin_grant", "b") ||
        !order(s, A, "admin_grant", "c"))
        return false;
    for (unsigned i = 0; i < MEMBERS; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (sim_world_reach(&s->w, s->m[i], s->m[k], PV_MS(200), PV_S(10)) == PV_NEVER)
                return false;
        }
    }
    return true;
}

static bool move_to(struct scene *s, enum who by, struct sim_coord *c)
{
    char fields[512];
    snprintf(fields, sizeof(fields), "\"cmd\":\"coordinator_add\",\"url\":\"%s\"",
             sim_coord_url(c));
    bool ok = ask(s, s->m[by], fields) != NULL;
    sim_world_run(&s->w, PV_S(20));
    return ok;
}

static const struct pv_roster *roster_of(const struct scene *s, enum who i)
{
    return pv_engine_node(s->m[i]->engine)->roster;
}

static const uint8_t *network_of(const struct scene *s)
{
    return pv_roster_network_id(roster_of(s, A));
}

/* Is x what it should be for that roster? */
static bool is(struct scene *s, const struct pv_roster *r, const char *where, struct sim_node *x,
               enum pv_member_state state)
{
    const struct pv_member *m = r == NULL ? NULL : pv_roster_known(r, sim_node_pk(x));
    snprintf(s->w.why, sizeof(s->w.why), "%s: %s is in state %d", where, sim_node_name(x),
             m == NULL ? -1 : (int)m->state);
    return m != NULL && m->state == state;
}

/* For all whose roster counts, and for the coordinator. */
static bool is_everywhere(struct scene *s, struct sim_coord *at, struct sim_node *x,
                          enum pv_member_state state)
{
    for (enum who i = A; i <= D; i++) {
        const struct pv_node *n = pv_engine_node(s->m[i]->engine);
        if (s->m[i] != x && pv_node_self(n) != NULL &&
            !is(s, n->roster, sim_node_name(s->m[i]), x, state))
            return false;
    }
    return is(s, sim_coord_roster(at, network_of(s)), "the coordinator", x, state);
}

static bool make_token(struct scene *s, enum who by, char *token, size_t cap)
{
    const char *answer = ask(s, s->m[by], "\"cmd\":\"invite\",\"uses\":5");
    return answer != NULL && sim_world_field(answer, "token", token, cap);
}

static bool join(struct scene *s, struct sim_node *n, const char *token, const char *name)
{
    char fields[6000];
    snprintf(fields, sizeof(fields), "\"cmd\":\"join\",\"token\":\"%s\",\"name\":\"%s\"", token,
             name);
    return ask(s, n, fields) != NULL;
}

static bool is_in(struct sim_world *w, void *ctx)
{
    const struct pv_node *n = pv_engine_node(((struct sim_node *)ctx)->engine);
    snprintf(w->why, sizeof(w->why), "%s", n->coord_info.error);
    return n->online && pv_node_self(n) != NULL;
}

/* A newcomer by a token of that admin, whom the coordinator takes for a member. */
static bool newcomer(struct scene *s, enum who by, const char *name)
{
    char token[4096];
    struct sim_node *n = sim_world_node(&s->w, SIM_PUBLIC, name, false);
    return make_token(s, by, token, sizeof(token)) && join(s, n, token, name) &&
           sim_world_until(&s->w, PV_S(60), is_in, n);
}

/* --- whom an admin removed ------------------------------------------------------------------- */

enum former {
    DEAD,
    ALIVE,
    KINDS_OF_FORMER,
};

struct removal {
    enum former former;
    enum who by;     /* who ends c */
    const char *cmd; /* and how */
    bool later;      /* b, who named the coordinator, goes too */
};

/* Does everybody whose roster counts have so many rules in force? */
static bool have_rules(struct scene *s, size_t n)
{
    for (enum who i = A; i <= D; i++) {
        size_t found = 0;
        if (!sim_node_runs(s->m[i]) || pv_node_self(pv_engine_node(s->m[i]->engine)) == NULL)
            continue;
        for (const struct pv_roster_entry *x = NULL;
             (x = pv_roster_next_rule(roster_of(s, i), x)) != NULL;)
            found++;
        snprintf(s->w.why, sizeof(s->w.why), "%s has %zu", sim_node_name(s->m[i]), found);
        if (found != n)
            return false;
    }
    return true;
}

/* b moves the network, c makes a rule and removes d, and c goes. */
static int stays_removed(uint64_t seed, void *ctx)
{
    const struct removal *k = ctx;
    struct scene s;
    if (!begin(&s, seed))
        return failed(&s, "not begun:");
    struct sim_coord *c2 = sim_world_coord(&s.w, 200, &line);
    if (k->former == DEAD)
        sim_coord_kill(s.w.coord);
    if (!move_to(&s, B, c2))
        return failed(&s, "not moved:");
    if (ask(&s, s.m[C],
            "\"cmd\":\"rule_add\",\"verdict\":\"deny\",\"from\":\"b\",\"to\":\"a\","
            "\"ports\":\"tcp/22\"") == NULL)
        return failed(&s, "no rule:");
    if (!order(&s, C, "remove", "d") || !is_everywhere(&s, c2, s.m[D], PV_MEMBER_REVOKED))
        return failed(&s, "d is not removed:");
    if (!order(&s, k->by, k->cmd, "c"))
        return failed(&s, "c is not ended:");
    sim_world_run(&s.w, PV_S(20));
    if (!is_everywhere(&s, c2, s.m[D], PV_MEMBER_REVOKED))
        return failed(&s, "d is back:");
    if (!have_rules(&s, 1))
        return failed(&s, "c's rule:");
    if (k->later && !order(&s, A, "remove", "b"))
        return failed(&s, "b is not removed:");
    sim_world_run(&s.w, PV_S(20));
    if (!is_everywhere(&s, c2, s.m[D], PV_MEMBER_REVOKED))
        return failed(&s, "d is back after b went:");
    if (!newcomer(&s, A, "e"))
        return failed(&s, "no newcomer:");
    return passed(&s);
}

PV_TEST(whom_a_former_admin_removed_stays_removed)
{
    static struct removal kinds[] = {
        {DEAD, A, "remove", false}, {DEAD, A, "admin_revoke", true},   {DEAD, B, "remove", true},
        {ALIVE, A, "remove", true}, {ALIVE, B, "admin_revoke", false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++)
        assert_int_equal(sim_seeds("heirs", SEEDS, stays_removed, &kinds[i]), 0);
}

/* --- where an admin moved the network --------------------------------------------------------- */

struct handover {
    enum former former;
    enum who by;
    const char *cmd;
};

/* b moves the network and goes: newcomers get in where it is now. */
static int lets_in(uint64_t seed, void *ctx)
{
    const struct handover *k = ctx;
    struct scene s;
    if (!begin(&s, seed))
        return failed(&s, "not begun:");
    struct sim_coord *c2 = sim_world_coord(&s.w, 200, &line);
    if (k->former == DEAD)
        sim_coord_kill(s.w.coord);
    if (!move_to(&s, B, c2) || !order(&s, k->by, k->cmd, "b"))
        return failed(&s, "not handed over:");
    if (!newcomer(&s, A, "e"))
        return failed(&s, "no newcomer:");
    if (!order(&s, A, "admin_revoke", "c") || !newcomer(&s, A, "f"))
        return failed(&s, "no newcomer after c went:");
    return passed(&s);
}

PV_TEST(newcomers_get_in_where_a_former_admin_moved_the_network)
{
    static struct handover kinds[] = {
        {ALIVE, C, "remove"}, {ALIVE, C, "admin_revoke"}, {ALIVE, A, "remove"},
        {DEAD, C, "remove"},  {DEAD, A, "admin_revoke"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++)
        assert_int_equal(sim_seeds("heirs", SEEDS, lets_in, &kinds[i]), 0);
}

/* --- who left --------------------------------------------------------------------------------- */

/* b, an admin with a token of its own, leaves and would come back. */
static int comes_back(uint64_t seed, void *ctx)
{
    struct scene s;
    char token[4096];
    if (!begin(&s, seed) || !make_token(&s, B, token, sizeof(token)))
        return failed(&s, "not begun:");
    if (ask(&s, s.m[B], "\"cmd\":\"leave\"") == NULL)
        return failed(&s, "not left:");
    sim_world_run(&s.w, PV_S(5));
    if (join(&s, s.m[B], token, "b2"))
        return failed(&s, "its own token lets it in");
    if (pv_roster_rights(roster_of(&s, A), sim_node_pk(s.m[B])) != 0)
        return failed(&s, "it has its rights");
    if (!make_token(&s, A, token, sizeof(token)) || !join(&s, s.m[B], token, "b2"))
        return failed(&s, "it cannot come back:");
    sim_world_run(&s.w, PV_S(5));
    if (ask(&s, s.m[B], "\"cmd\":\"remove\",\"peer\":\"c\"") != NULL)
        return failed(&s, "it removes members");
    return passed(&s);
}

PV_TEST(an_admin_who_left_is_none_any_more)
{
    assert_int_equal(sim_seeds("heirs", SEEDS, comes_back, NULL), 0);
}

/* By its name, and by its key. */
static int is_removed(uint64_t seed, void *ctx)
{
    struct scene s;
    char token[4096], key[PV_KEY_TEXT_BUF];
    if (!begin(&s, seed) || !make_token(&s, A, token, sizeof(token)))
        return failed(&s, "not begun:");
    pv_key_format(sim_node_pk(s.m[D]), key);
    if (ask(&s, s.m[B], "\"cmd\":\"leave\"") == NULL ||
        ask(&s, s.m[D], "\"cmd\":\"leave\"") == NULL)
        return failed(&s, "not left:");
    sim_world_run(&s.w, PV_S(5));
    if (!order(&s, A, "remove", "b") || !order(&s, C, "remove", key))
        return failed(&s, "not removed:");
    if (join(&s, s.m[B], token, "b") || join(&s, s.m[D], token, "d"))
        return failed(&s, "who was removed comes back");
    return passed(&s);
}

PV_TEST(a_member_that_left_can_be_removed)
{
    assert_int_equal(sim_seeds("heirs", SEEDS, is_removed, NULL), 0);
}

/* --- a machine in the place of another ------------------------------------------------------- */

/* d has a tag, is named by a rule and may carry a prefix; it is reinstalled, and e takes its place.
 */
static int is_replaced(uint64_t seed, void *ctx)
{
    struct scene s;
    char token[4096];
    if (!begin(&s, seed) || !make_token(&s, A, token, sizeof(token)))
        return failed(&s, "not begun:");
    if (ask(&s, s.m[B], "\"cmd\":\"tag\",\"peer\":\"d\",\"tag\":\"guest\"") == NULL ||
        ask(&s, s.m[A],
            "\"cmd\":\"rule_add\",\"verdict\":\"deny\",\"from\":\"d\",\"to\":\"a\","
            "\"ports\":\"tcp/22\"") == NULL ||
        ask(&s, s.m[B], "\"cmd\":\"route_allow\",\"peer\":\"d\",\"prefix\":\"192.168.7.0/24\"") ==
            NULL)
        return failed(&s, "nothing is said of d:");
    struct sim_node *e = sim_world_node(&s.w, SIM_PUBLIC, "e", false);
    if (!join(&s, e, token, "e"))
        return failed(&s, "not joined:");
    sim_world_run(&s.w, PV_S(5));
    static const char request[] = "\"cmd\":\"replace\",\"peer\":\"d\",\"name\":\"e\"";
    if (ask(&s, s.m[A], request) != NULL || strstr(s.w.why, "replace e d") == NULL)
        return failed(&s, "a machine that is online is removed");
    sim_node_stop(s.m[D]);
    sim_world_run(&s.w, PV_S(5));
    if (ask(&s, s.m[A], request) == NULL)
        return failed(&s, "not replaced:");
    sim_world_run(&s.w, PV_S(5));
    const char *rules = ask(&s, s.m[C], "\"cmd\":\"rules\"");
    if (rules == NULL || strstr(rules, "\"from\":\"d\"") == NULL ||
        strstr(rules, "former") != NULL || !have_rules(&s, 2))
        return failed(&s, rules == NULL ? "no rules:" : rules);
    const struct pv_roster_entry *route = pv_roster_next_route(roster_of(&s, C), NULL);
    if (route == NULL || memcmp(route->st.u.route.node, sim_node_pk(e), PV_SIGN_PK_LEN) != 0 ||
        pv_roster_next_route(roster_of(&s, C), route) != NULL)
        return failed(&s, "the permission is not its");
    const struct pv_member *m = pv_roster_by_name(roster_of(&s, C), "d");
    if (m == NULL || memcmp(m->node, sim_node_pk(e), PV_SIGN_PK_LEN) != 0)
        return failed(&s, "the name is not its");
    return passed(&s);
}

PV_TEST(a_machine_that_takes_a_place_has_what_was_said_of_the_other)
{
    assert_int_equal(sim_seeds("heirs", SEEDS, is_replaced, NULL), 0);
}

/* Like one that is removed: it could come back by the token that let it in. A machine that
 * came by the same one before stays. */
static int comes_no_more(uint64_t seed, void *ctx)
{
    struct scene s;
    char token[4096], other[4096];
    if (!begin(&s, seed) || !make_token(&s, A, token, sizeof(token)) ||
        !make_token(&s, A, other, sizeof(other)))
        return failed(&s, "not begun:");
    struct sim_node *old = sim_world_node(&s.w, SIM_PUBLIC, "old", false),
                    *new = sim_world_node(&s.w, SIM_PUBLIC, "new", false),
                    *late = sim_world_node(&s.w, SIM_PUBLIC, "late", false);
    if (!join(&s, old, token, "old") || !join(&s, new, seed % 2 == 0 ? token : other, "new"))
        return failed(&s, "not joined:");
    sim_node_stop(old);
    sim_world_run(&s.w, PV_S(5));
    if (ask(&s, s.m[A], "\"cmd\":\"replace\",\"peer\":\"old\",\"name\":\"new\"") == NULL)
        return failed(&s, "not replaced:");
    sim_world_run(&s.w, PV_S(5));
    const struct pv_member *m = pv_roster_by_name(roster_of(&s, C), "old");
    if (m == NULL || memcmp(m->node, sim_node_pk(new), PV_SIGN_PK_LEN) != 0)
        return failed(&s, "the new one is not in its place");
    if (join(&s, late, token, "late"))
        return failed(&s, "the token lets in again");
    return passed(&s);
}

PV_TEST(the_invite_of_a_machine_that_is_replaced_ends)
{
    assert_int_equal(sim_seeds("heirs", SEEDS, comes_no_more, NULL), 0);
}

/* A rule about c, who leaves; another machine comes by its name. */
static int has_a_namesake(uint64_t seed, void *ctx)
{
    struct scene s;
    char token[4096];
    if (!begin(&s, seed) || !make_token(&s, A, token, sizeof(token)) ||
        ask(&s, s.m[A],
            "\"cmd\":\"rule_add\",\"verdict\":\"deny\",\"from\":\"d\",\"to\":\"any\","
            "\"ports\":\"all\"") == NULL ||
        ask(&s, s.m[D], "\"cmd\":\"leave\"") == NULL)
        return failed(&s, "not begun:");
    struct sim_node *e = sim_world_node(&s.w, SIM_PUBLIC, "e", false);
    sim_world_run(&s.w, PV_S(5));
    if (!join(&s, e, token, "d"))
        return failed(&s, "not joined:");
    const char *rules = ask(&s, s.m[A], "\"cmd\":\"rules\"");
    if (rules == NULL || strstr(rules, "d (former, key:") == NULL)
        return failed(&s, rules == NULL ? "no rules:" : rules);
    return passed(&s);
}

PV_TEST(rules_tell_a_former_member_from_its_namesake)
{
    assert_int_equal(sim_seeds("heirs", SEEDS, has_a_namesake, NULL), 0);
}

/* --- who comes by the word of before -----------------------------------------------------------
 */

static bool sees_nobody_wait(struct sim_world *w, void *ctx)
{
    const struct scene *s = ctx;
    return pv_roster_next_aside(roster_of(s, A), NULL) == NULL;
}

static bool sees_one_wait(struct sim_world *w, void *ctx)
{
    return !sees_nobody_wait(w, ctx);
}

/* e asks to be admitted, and thinks better of it. */
static int takes_it_back(uint64_t seed, void *ctx)
{
    struct scene s;
    char token[4096];
    if (!begin(&s, seed))
        return failed(&s, "not begun:");
    struct sim_node *e = sim_world_node(&s.w, SIM_PUBLIC, "e", false);
    const char *answer = ask(&s, s.m[A], "\"cmd\":\"invite\",\"approve\":true");
    if (answer == NULL || !sim_world_field(answer, "token", token, sizeof(token)) ||
        !join(&s, e, token, "e") || !sim_world_until(&s.w, PV_S(10), sees_one_wait, &s))
        return failed(&s, "it does not wait:");
    answer = ask(&s, e, "\"cmd\":\"leave\"");
    if (answer == NULL || strstr(answer, "\"coordinator\":\"stored\"") == NULL)
        return failed(&s, answer == NULL ? "not left:" : answer);
    if (!sim_world_until(&s.w, PV_S(10), sees_nobody_wait, &s))
        return failed(&s, "it is still seen to wait");
    if (order(&s, A, "admit", "e"))
        return failed(&s, "somebody who is gone is admitted");
    return passed(&s);
}

PV_TEST(a_node_that_leaves_while_it_waits_takes_its_wish_back)
{
    assert_int_equal(sim_seeds("heirs", SEEDS, takes_it_back, NULL), 0);
}

/* The network moves, and e comes by a token that names the former coordinator, which lives on. It
 * is heard of at its first visit to the new one, or a moment after that. */
static int comes_late(uint64_t seed, void *ctx)
{
    const bool *approve = ctx;
    struct scene s;
    char token[4096];
    if (!begin(&s, seed))
        return failed(&s, "not begun:");
    const char *answer = ask(&s, s.m[A],
                             *approve ? "\"cmd\":\"invite\",\"approve\":true,\"uses\":2"
                                      : "\"cmd\":\"invite\",\"uses\":2");
    struct sim_coord *c2 = sim_world_coord(&s.w, 200, &line);
    if (answer == NULL || !sim_world_field(answer, "token", token, sizeof(token)) ||
        !move_to(&s, A, c2))
        return failed(&s, "not moved:");
    struct sim_node *e = sim_world_node(&s.w, SIM_PUBLIC, "e", false);
    if (!join(&s, e, token, "e"))
        return failed(&s, "not joined:");
    if (*approve &&
        (!sim_world_until(&s.w, PV_S(30), sees_one_wait, &s) || !order(&s, A, "admit", "e")))
        return failed(&s, "nobody sees it ask:");
    if (!sim_world_until(&s.w, PV_S(300), is_in, e))
        return failed(&s, "it is not in:");
    if (sim_world_reach(&s.w, e, s.m[B], PV_MS(500), PV_SCOUT_HOME + PV_S(10)) == PV_NEVER)
        return failed(&s, "it is alone:");
    return passed(&s);
}

PV_TEST(a_node_that_comes_by_a_token_of_before_is_heard_of)
{
    static bool approve[] = {false, true};
    assert_int_equal(sim_seeds("heirs", SEEDS, comes_late, &approve[0]), 0);
    assert_int_equal(sim_seeds("heirs", SEEDS, comes_late, &approve[1]), 0);
}
