/* SPDX-License-Identifier: MIT */
/*
 * test_heirs.c - admins go, and what they did stays: whom they removed stays removed, whom they let
 * in stays in, and nobody comes back by what a
 * former admin has kept. With a living, a dead and a slow former coordinator, by root's key and by
 * another admin's.
 */
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
    uint64_t seed;
    struct sim_node *m[MEMBERS];
};

static const struct pv_link_config line = {.delay = PV_MS(10), .jitter = PV_MS(2)};

/* A command about a member, by its name. */
static bool order(struct scene *s, enum who by, const char *cmd, const char *peer)
{
    bool ok = sim_world_tell(s->m[by], PV_S(40), "'cmd':'%s','peer':'%s'", cmd, peer);
    sim_world_run(PV_S(3));
    return ok;
}

static bool begin(struct scene *s, uint64_t seed)
{
    static const char *const names[MEMBERS] = {"a", "b", "c", "d"};
    memset(s, 0, sizeof(*s));
    s->seed = seed;
    sim_world_init(seed, &line);
    for (unsigned i = 0; i < MEMBERS; i++)
        s->m[i] = sim_world_node(SIM_PUBLIC, names[i], false);
    if (!sim_world_join_all() || !order(s, A, "admin_grant", "b") ||
        !order(s, A, "admin_grant", "c"))
        return false;
    for (unsigned i = 0; i < MEMBERS; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (sim_world_reach(s->m[i], s->m[k], PV_MS(200), PV_S(10)) == PV_NEVER)
                return false;
        }
    }
    return true;
}

static bool move_to(struct scene *s, enum who by, struct sim_coord *c)
{
    bool ok =
        sim_world_tell(s->m[by], PV_S(40), "'cmd':'coordinator_add','url':'%s'", sim_coord_url(c));
    sim_world_run(PV_S(20));
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
    snprintf(sim.why, sizeof(sim.why), "%s: %s is in state %d", where, sim_node_name(x),
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

static bool is_in(void *ctx)
{
    const struct pv_node *n = pv_engine_node(((struct sim_node *)ctx)->engine);
    snprintf(sim.why, sizeof(sim.why), "%s", n->coord_info.error);
    return n->online && pv_node_self(n) != NULL;
}

/* A newcomer by a token of that admin, whom the coordinator takes for a member. */
static bool newcomer(struct scene *s, enum who by, const char *name)
{
    struct sim_node *n = sim_world_node(SIM_PUBLIC, name, false);
    const char *token = sim_world_invite(s->m[by], "'uses':5");
    return token != NULL && sim_world_join(n, token, name) != NULL &&
           sim_world_until(PV_S(60), is_in, n);
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
        snprintf(sim.why, sizeof(sim.why), "%s has %zu", sim_node_name(s->m[i]), found);
        if (found != n)
            return false;
    }
    return true;
}

/* Adds a rule that denies it: is it done? */
static bool deny(struct sim_node *by, const char *from, const char *to, const char *ports)
{
    return sim_world_tell(by, PV_S(40),
                          "'cmd':'rule_add','verdict':'deny','from':'%s','to':'%s','ports':'%s'",
                          from, to, ports);
}

/* The network moves, c makes a rule and removes d, and c goes. */
static void stays_removed(uint64_t seed, void *ctx)
{
    const struct removal *k = ctx;
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    struct sim_coord *c2 = sim_world_coord(200, &line);
    if (k->former == DEAD)
        sim_coord_kill(sim.coord);
    sim_must(move_to(&s, A, c2), "not moved:");
    sim_must(deny(s.m[C], "b", "a", "tcp/22"), "no rule:");
    sim_must(order(&s, C, "remove", "d") && is_everywhere(&s, c2, s.m[D], PV_MEMBER_REVOKED),
             "d is not removed:");
    sim_must(order(&s, k->by, k->cmd, "c"), "c is not ended:");
    sim_world_run(PV_S(20));
    sim_must(is_everywhere(&s, c2, s.m[D], PV_MEMBER_REVOKED), "d is back:");
    sim_must(have_rules(&s, 1), "c's rule:");
    sim_must(!k->later || order(&s, A, "remove", "b"), "b is not removed:");
    sim_world_run(PV_S(20));
    sim_must(is_everywhere(&s, c2, s.m[D], PV_MEMBER_REVOKED), "d is back after b went:");
    sim_must(newcomer(&s, A, "e"), "no newcomer:");
}

PV_TEST(whom_a_former_admin_removed_stays_removed)
{
    static struct removal kinds[] = {
        {DEAD, A, "remove", false}, {DEAD, A, "admin_revoke", true},   {DEAD, B, "remove", true},
        {ALIVE, A, "remove", true}, {ALIVE, B, "admin_revoke", false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(kinds); i++)
        sim_seeds(SEEDS, stays_removed, &kinds[i]);
}

/* --- who left --------------------------------------------------------------------------------- */

/* b, an admin with a token of its own, leaves and would come back. */
PV_SIM(an_admin_who_left_is_none_any_more, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    const char *token = sim_world_invite(s.m[B], "'uses':5");
    sim_must(token != NULL, "no token:");
    sim_must(sim_world_tell(s.m[B], PV_S(40), "'cmd':'leave'"), "not left:");
    sim_world_run(PV_S(5));
    sim_must(sim_world_join(s.m[B], token, "b2") == NULL, "its own token lets it in");
    sim_must(pv_roster_rights(roster_of(&s, A), sim_node_pk(s.m[B])) == 0, "it has its rights");
    token = sim_world_invite(s.m[A], "'uses':5");
    sim_must(token != NULL && sim_world_join(s.m[B], token, "b2") != NULL, "it cannot come back:");
    sim_world_run(PV_S(5));
    sim_must(!sim_world_tell(s.m[B], PV_S(40), "'cmd':'remove','peer':'c'"), "it removes members");
}

/* By its name, and by its key. */
PV_SIM(a_member_that_left_can_be_removed, SEEDS)
{
    struct scene s;
    char key[PV_KEY_TEXT_BUF];
    sim_must(begin(&s, seed), "not begun:");
    const char *token = sim_world_invite(s.m[A], "'uses':5");
    sim_must(token != NULL, "no token:");
    pv_key_format(sim_node_pk(s.m[D]), key);
    sim_must(sim_world_tell(s.m[B], PV_S(40), "'cmd':'leave'") &&
                 sim_world_tell(s.m[D], PV_S(40), "'cmd':'leave'"),
             "not left:");
    sim_world_run(PV_S(5));
    sim_must(order(&s, A, "remove", "b") && order(&s, C, "remove", key), "not removed:");
    sim_must(sim_world_join(s.m[B], token, "b") == NULL &&
                 sim_world_join(s.m[D], token, "d") == NULL,
             "who was removed comes back");
}

/* --- a machine in the place of another ------------------------------------------------------- */

/* d has a tag, is named by a rule and may carry a prefix; it is reinstalled, and e takes its place.
 */
PV_SIM(a_machine_that_takes_a_place_has_what_was_said_of_the_other, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    const char *token = sim_world_invite(s.m[A], "'uses':5");
    sim_must(token != NULL, "no token:");
    sim_must(sim_world_tell(s.m[B], PV_S(40), "'cmd':'tag','peer':'d','tag':'guest'") &&
                 deny(s.m[A], "d", "a", "tcp/22") &&
                 sim_world_tell(s.m[B], PV_S(40),
                                "'cmd':'route_allow','peer':'d','prefix':'192.168.7.0/24'"),
             "nothing is said of d:");
    struct sim_node *e = sim_world_node(SIM_PUBLIC, "e", false);
    sim_must(sim_world_join(e, token, "e") != NULL, "not joined:");
    sim_world_run(PV_S(5));
    sim_must(!sim_world_tell(s.m[A], PV_S(40), "'cmd':'replace','peer':'d','name':'e'") &&
                 strstr(sim.why, "is online") != NULL && strstr(sim.why, "replace e d") == NULL,
             "a machine that is online is removed");
    sim_node_stop(s.m[D]);
    sim_world_run(PV_S(5));
    sim_must(sim_world_tell(s.m[A], PV_S(40), "'cmd':'rename','peer':'e','name':'e2'") &&
                 !sim_world_tell(s.m[A], PV_S(40), "'cmd':'replace','peer':'d','name':'e'") &&
                 strstr(sim.why, "replace: e is called e2 now") != NULL,
             "a former name is not told:");
    sim_must(sim_world_tell(s.m[A], PV_S(40), "'cmd':'replace','peer':'d','name':'e2'"),
             "not replaced:");
    sim_world_run(PV_S(5));
    const char *rules = sim_world_ask(s.m[C], PV_S(40), "'cmd':'rules'");
    sim_must(sim_answer_has(rules, "'from':'d'") && strstr(rules, "former") == NULL &&
                 have_rules(&s, 2),
             rules == NULL ? "no rules:" : rules);
    const struct pv_roster_entry *route = pv_roster_next_route(roster_of(&s, C), NULL);
    sim_must(route != NULL && memcmp(route->st.u.route.node, sim_node_pk(e), PV_SIGN_PK_LEN) == 0 &&
                 pv_roster_next_route(roster_of(&s, C), route) == NULL,
             "the permission is not its");
    const struct pv_member *m = pv_roster_by_name(roster_of(&s, C), "d");
    sim_must(m != NULL && memcmp(m->node, sim_node_pk(e), PV_SIGN_PK_LEN) == 0,
             "the name is not its");
}

/* The permission to be the phone's gateway's address would let its carrier take what is sent to the
 * new one. */
PV_SIM(a_phone_that_is_replaced_has_no_gateway, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    const char *token = sim_world_invite(s.m[A], "'uses':5");
    struct sim_node *e = sim_world_node(SIM_PUBLIC, "e", false);
    sim_must(token != NULL && sim_world_join(e, token, "e") != NULL, "not joined:");
    sim_must(sim_world_tell(s.m[A], PV_S(40), "'cmd':'export','name':'phone','endpoint':'%s'",
                            "192.0.2.1:5000"),
             "no phone:");
    sim_world_run(PV_S(5));
    sim_must(pv_roster_next_route(roster_of(&s, C), NULL) != NULL, "nobody carries it");
    /* A phone takes nobody's place, and nobody is removed before that is said. */
    sim_must(!sim_world_tell(s.m[B], PV_S(40),
                             "'cmd':'replace','peer':'e','name':'phone','force':true") &&
                 pv_roster_by_name(roster_of(&s, C), "e") != NULL,
             "a phone took its place:");
    /* Another admin than the one that let it in. */
    sim_must(sim_world_tell(s.m[B], PV_S(40), "'cmd':'replace','peer':'phone','name':'e'"),
             "not replaced:");
    sim_world_run(PV_S(5));
    const struct pv_member *m = pv_roster_by_name(roster_of(&s, C), "phone");
    sim_must(m != NULL && memcmp(m->node, sim_node_pk(e), PV_SIGN_PK_LEN) == 0,
             "the name is not its");
    sim_must(pv_roster_next_route(roster_of(&s, C), NULL) == NULL, "it may be carried still");
}

/* Like one that is removed: it could come back by the token that let it in. A machine that
 * came by the same one before stays. */
PV_SIM(the_invite_of_a_machine_that_is_replaced_ends, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    const char *token = sim_world_invite(s.m[A], "'uses':5");
    const char *other = sim_world_invite(s.m[A], "'uses':5");
    sim_must(token != NULL && other != NULL, "no token:");
    struct sim_node *old = sim_world_node(SIM_PUBLIC, "old", false),
                    *new = sim_world_node(SIM_PUBLIC, "new", false),
                    *late = sim_world_node(SIM_PUBLIC, "late", false);
    sim_must(sim_world_join(old, token, "old") != NULL &&
                 sim_world_join(new, seed % 2 == 0 ? token : other, "new") != NULL,
             "not joined:");
    sim_node_stop(old);
    sim_world_run(PV_S(5));
    sim_must(sim_world_tell(s.m[A], PV_S(40), "'cmd':'replace','peer':'old','name':'new'"),
             "not replaced:");
    sim_world_run(PV_S(5));
    const struct pv_member *m = pv_roster_by_name(roster_of(&s, C), "old");
    sim_must(m != NULL && memcmp(m->node, sim_node_pk(new), PV_SIGN_PK_LEN) == 0,
             "the new one is not in its place");
    sim_must(sim_world_join(late, token, "late") == NULL, "the token lets in again");
}

/* A rule about c, who leaves; another machine comes by its name. */
PV_SIM(rules_tell_a_former_member_from_its_namesake, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    const char *token = sim_world_invite(s.m[A], "'uses':5");
    sim_must(token != NULL && deny(s.m[A], "d", "any", "all") &&
                 sim_world_tell(s.m[D], PV_S(40), "'cmd':'leave'"),
             "not begun:");
    struct sim_node *e = sim_world_node(SIM_PUBLIC, "e", false);
    sim_world_run(PV_S(5));
    sim_must(sim_world_join(e, token, "d") != NULL, "not joined:");
    const char *rules = sim_world_ask(s.m[A], PV_S(40), "'cmd':'rules'");
    sim_must(sim_answer_has(rules, "d (former, key:"), rules == NULL ? "no rules:" : rules);
}

/* --- who comes by the word of before -----------------------------------------------------------
 */

static bool sees_nobody_wait(void *ctx)
{
    const struct scene *s = ctx;
    return pv_roster_next_aside(roster_of(s, A), NULL) == NULL;
}

static bool sees_one_wait(void *ctx)
{
    return !sees_nobody_wait(ctx);
}

/* e asks to be admitted, and thinks better of it. */
PV_SIM(a_node_that_leaves_while_it_waits_takes_its_wish_back, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    struct sim_node *e = sim_world_node(SIM_PUBLIC, "e", false);
    const char *token = sim_world_invite(s.m[A], "'approve':true");
    sim_must(token != NULL && sim_world_join(e, token, "e") != NULL &&
                 sim_world_until(PV_S(10), sees_one_wait, &s),
             "it does not wait:");
    const char *answer = sim_world_ask(e, PV_S(40), "'cmd':'leave'");
    sim_must(sim_answer_has(answer, "'coordinator':'stored'"),
             answer == NULL ? "not left:" : answer);
    sim_must(sim_world_until(PV_S(10), sees_nobody_wait, &s), "it is still seen to wait");
    sim_must(!order(&s, A, "admit", "e"), "somebody who is gone is admitted");
}

/* The network moves, and e comes by a token that names the former coordinator, which lives on. It
 * is heard of at its first visit to the new one, or a moment after that. */
static void comes_late(uint64_t seed, void *ctx)
{
    const bool *approve = ctx;
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    const char *token = sim_world_invite(s.m[A], *approve ? "'approve':true,'uses':2" : "'uses':2");
    struct sim_coord *c2 = sim_world_coord(200, &line);
    sim_must(token != NULL && move_to(&s, A, c2), "not moved:");
    struct sim_node *e = sim_world_node(SIM_PUBLIC, "e", false);
    sim_must(sim_world_join(e, token, "e") != NULL, "not joined:");
    sim_must(!*approve ||
                 (sim_world_until(PV_S(30), sees_one_wait, &s) && order(&s, A, "admit", "e")),
             "nobody sees it ask:");
    sim_must(sim_world_until(PV_S(300), is_in, e), "it is not in:");
    sim_must(sim_world_reach(e, s.m[B], PV_MS(500), PV_SCOUT_HOME + PV_S(10)) != PV_NEVER,
             "it is alone:");
}

PV_TEST(a_node_that_comes_by_a_token_of_before_is_heard_of)
{
    static bool approve[] = {false, true};
    sim_seeds(SEEDS, comes_late, &approve[0]);
    sim_seeds(SEEDS, comes_late, &approve[1]);
}
