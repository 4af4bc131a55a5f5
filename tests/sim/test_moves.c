/* SPDX-License-Identifier: MIT */
/*
 * test_moves.c - coordinators that were away while the network moved, that come back, or that come
 * and go; and two machines with the root key that moved the network without knowing of each other.
 * Members that do not reach each other find the one list by themselves, or by one token. The place
 * where newcomers find their invite.
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

/* Behind two NATs of the hardest kind, two in each: nobody reaches those of the other one. */
struct scene {
    uint64_t seed;
    struct sim_node *m[MEMBERS]; /* a and c, b and d live together */
    struct sim_coord *at;        /* where all should be; NULL: anywhere, but together */
};

static const struct pv_link_config line = {.delay = PV_MS(10), .jitter = PV_MS(2)};

static bool begin(struct scene *s, uint64_t seed)
{
    static const char *const names[MEMBERS] = {"a", "b", "c", "d"};
    unsigned zones[2];
    memset(s, 0, sizeof(*s));
    s->seed = seed;
    sim_world_init(seed, &line);
    for (unsigned i = 0; i < 2; i++) {
        zones[i] = sim_world_nat(SIM_PUBLIC, "symmetric", &line);
        pv_nat_config(sim_net_nat(sim.net, zones[i]))->ports = PV_NAT_RANDOM;
    }
    for (unsigned i = 0; i < MEMBERS; i++)
        s->m[i] = sim_world_node(zones[i % 2], names[i], false);
    return sim_world_join_all() &&
           sim_world_reach(s->m[0], s->m[2], PV_MS(200), PV_S(10)) != PV_NEVER &&
           sim_world_reach(s->m[1], s->m[3], PV_MS(200), PV_S(10)) != PV_NEVER;
}

static bool move_to(struct scene *s, unsigned by, struct sim_coord *c)
{
    return sim_world_tell(s->m[by], PV_S(40), "'cmd':'coordinator_add','url':'%s'",
                          sim_coord_url(c));
}

static const struct pv_node *node_of(const struct scene *s, unsigned i)
{
    return pv_engine_node(s->m[i]->engine);
}

/* Everybody who runs is connected to the same coordinator: to s->at, if that is given. */
static bool all_there(void *ctx)
{
    struct scene *s = ctx;
    const uint8_t *pk = s->at == NULL ? NULL : sim_coord_pk(s->at);
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (!sim_node_runs(s->m[i]))
            continue;
        const struct pv_node *n = node_of(s, i);
        pk = pk == NULL ? n->coord_info.pk : pk;
        snprintf(sim.why, sizeof(sim.why), "%s is elsewhere", sim_node_name(s->m[i]));
        if (!n->online || memcmp(n->coord_info.pk, pk, PV_SIGN_PK_LEN) != 0)
            return false;
    }
    return true;
}

static uint64_t connects(const struct scene *s)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < MEMBERS; i++)
        sum += sim_node_runs(s->m[i]) ? node_of(s, i)->coord_info.connects : 0;
    return sum;
}

/* A network that a moves to another coordinator, which is preferred from then on; NULL: it failed.
 */
static struct sim_coord *begin_moved(struct scene *s, uint64_t seed)
{
    if (!begin(s, seed))
        return NULL;
    struct sim_coord *first = sim_world_coord(20, &line);
    return move_to(s, 0, first) ? first : NULL;
}

/* Does this one's status say that members may be elsewhere? */
static bool says_apart(struct scene *s, unsigned i)
{
    const char *answer = sim_world_ask(s->m[i], PV_S(40), "'cmd':'status'");
    snprintf(sim.why, sizeof(sim.why), "%s", sim_node_name(s->m[i]));
    return answer != NULL &&
           strstr(answer, "2 of 3 other members have not been seen since the network moved") !=
               NULL &&
           strstr(answer, "network coordinators token") != NULL;
}

static bool any_says_apart(struct scene *s)
{
    bool any = false;
    for (unsigned i = 0; i < MEMBERS; i++)
        any = any || says_apart(s, i);
    return any;
}

/* b and d are off and the coordinator is away while a moves the network. Then all are back, and b
 * and d know of the former coordinator alone. */
PV_SIM(a_coordinator_that_was_away_during_a_move_is_told, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    sim_node_stop(s.m[1]);
    sim_node_kill(s.m[3]);
    sim_coord_kill(sim.coord);
    s.at = sim_world_coord(20, &line);
    sim_must(move_to(&s, 0, s.at), "not moved:");
    sim_world_run(PV_S(sim_draw(60)));
    sim_coord_start(sim.coord);
    sim_node_start(s.m[1]);
    sim_node_start(s.m[3]);
    sim_must(sim_world_until(PV_S(150), all_there, &s), "not told:");
    sim_must(!any_says_apart(&s), "all are there, but for one's status:");
}

/* The preferred coordinator is away for ten minutes: that costs nobody the connection to the second
 * one, and when it is there again all are back within a minute. */
PV_SIM(a_member_that_fell_back_returns_within_a_minute_and_only_then, SEEDS)
{
    struct scene s;
    struct sim_coord *first = begin_moved(&s, seed);
    sim_must(first != NULL, "not begun, or not moved:");
    s.at = first;
    sim_must(sim_world_until(PV_S(30), all_there, &s), "not followed:");
    sim_coord_kill(first);
    s.at = sim.coord;
    sim_must(sim_world_until(PV_S(90), all_there, &s), "not fallen back:");
    uint64_t before = connects(&s);
    sim_world_run(PV_S(600));
    sim_must(all_there(&s) && connects(&s) == before, "not calm:");
    sim_coord_start(first);
    s.at = first;
    sim_must(sim_world_until(PV_SCOUT_HOME + PV_SCOUT_LIMIT, all_there, &s), "not back:");
    sim_must(connects(&s) == before + MEMBERS, "more than one new connection each:");
}

/* A coordinator that lets nobody in. */
static void knows_nobody(void *ctx, struct pv_ctl_msg *msg)
{
    if (msg->type != PV_CTL_WELCOME)
        return;
    msg->type = PV_CTL_ERROR;
    msg->u.failure =
        (struct pv_ctl_failure){.error = PV_CTL_E_UNKNOWN_NODE, .message = "no such member"};
}

static bool has_remedy(void *ctx)
{
    const struct scene *s = ctx;
    return sim_world_says(s->m[1], "'cmd':'status'", "'prefer_another'");
}

/* The preferred coordinator was set back and learns of nobody: members are told to wait, then what
 * to do, and that helps. */
PV_SIM(a_preferred_coordinator_that_stays_without_members_makes_way, 2)
{
    struct scene s;
    struct sim_coord *first = begin_moved(&s, seed);
    sim_must(first != NULL, "not begun, or not moved:");
    sim_world_run(PV_S(20));
    sim_coord_kill(first);
    s.at = sim.coord;
    sim_must(sim_world_until(PV_S(90), all_there, &s), "not fallen back:");
    sim_coord_set_hook(first, knows_nobody, NULL);
    sim_coord_start(first);
    sim_world_run(PV_S(90));
    sim_must(sim_world_says(s.m[1], "'cmd':'status'", "'wait_to_be_told'"), "no word of a wait:");
    sim_must(sim_world_until(PV_COORD_TOLD_BY + PV_S(60), has_remedy, &s), "the wait has no end:");
    sim_must(move_to(&s, 0, sim.coord), "another one is not named:"); /* remedy: prefer_another */
    sim_world_run(PV_S(30));
    sim_must(all_there(&s) && !sim_world_says(s.m[1], "'cmd':'status'", "does not know this"),
             "it is named still:");
}

/* A coordinator that is there for a minute and a half and away as long, again and again. */
PV_SIM_WHOLE(one_that_comes_and_goes_is_left_alone_for_longer, SEEDS)
{
    struct scene s;
    struct sim_coord *first = begin_moved(&s, seed);
    sim_must(first != NULL, "not begun, or not moved:");
    sim_world_run(PV_S(20));
    uint64_t before = connects(&s);
    for (unsigned i = 0; i < 20; i++) {
        sim_coord_kill(first);
        sim_world_run(PV_S(90));
        sim_coord_start(first);
        sim_world_run(PV_S(90));
    }
    /* Each stay costs two connections: there and back. The waits are 1, 2, 4, 8 and 15 minutes at
     * most, and half of that at least. */
    snprintf(sim.why, sizeof(sim.why), "%llu", (unsigned long long)(connects(&s) - before));
    sim_must(connects(&s) - before <= (size_t)2 * 12 * MEMBERS, "too many connections:");
    s.at = first;
    sim_must(sim_world_until(PV_SCOUT_HOME_MAX + PV_S(60), all_there, &s),
             "not back when it stays:");
}

/* The coordinator dies. a moves the network to one new coordinator and b, which has the root key
 * too, to another; nobody of the two halves reaches the other. One token, either way, brings them
 * together. */
PV_SIM(one_token_brings_two_halves_together, SEEDS)
{
    struct scene s;
    unsigned from = seed % 2;
    sim_must(begin(&s, seed) && sim_world_tell(s.m[0], PV_S(40), "'cmd':'admin_grant','peer':'b'"),
             "not begun:");
    sim_world_run(PV_S(5));
    sim_node_share_root(s.m[1], s.m[0]);
    sim_coord_kill(sim.coord);
    sim_must(move_to(&s, 0, sim_world_coord(20, &line)) &&
                 move_to(&s, 1, sim_world_coord(21, &line)),
             "not moved:");
    sim_world_run(PV_S(90));
    sim_must(!all_there(&s), "they are not apart");
    for (unsigned i = 0; i < MEMBERS; i++)
        sim_must(says_apart(&s, i), "no word of it in the status of");
    sim_node_restart(s.m[2]);
    sim_world_run(PV_S(90));
    sim_must(says_apart(&s, 2), "no word of it after the restart of");
    sim_must(sim_world_pass_token(s.m[from], s.m[1 - from]), "the token is not taken:");
    sim_must(sim_world_until(PV_S(60), all_there, &s), "still apart:");
    sim_world_run(PV_S(90));
    sim_must(!any_says_apart(&s), "it still says so:");
    /* A member that was there and goes is just off, also for one that has started anew. */
    sim_node_stop(s.m[1]);
    sim_node_stop(s.m[3]);
    sim_node_restart(s.m[0]);
    sim_world_run(PV_S(90));
    sim_must(!says_apart(&s, 0), "it misses machines that were there:");
}

struct newcomer {
    const struct scene *s;
    struct sim_node *n;
};

/* Connected, and a member for a. */
static bool is_taken_in(void *ctx)
{
    const struct newcomer *e = ctx;
    const struct pv_node *a = node_of(e->s, 0), *n = pv_engine_node(e->n->engine);
    snprintf(sim.why, sizeof(sim.why), "e: %s", n->coord_info.error);
    return n->online && memcmp(n->coord_info.pk, a->coord_info.pk, PV_SIGN_PK_LEN) == 0 &&
           pv_roster_by_node(a->roster, sim_node_pk(e->n)) != NULL;
}

/* Of two halves one is b, who lets e in and leaves: the coordinator of the other half knows of e as
 * little as of the invite, and of the coordinator that gave e its receipt. One token, either way,
 * and e is a member there. */
PV_SIM(one_token_brings_in_whom_an_admin_of_the_other_half_let_in, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed) && sim_world_tell(s.m[0], PV_S(40), "'cmd':'admin_grant','peer':'b'"),
             "not begun:");
    sim_world_run(PV_S(5));
    sim_node_share_root(s.m[1], s.m[0]);
    sim_node_kill(s.m[3]);
    sim_coord_kill(sim.coord);
    sim_must(move_to(&s, 0, sim_world_coord(20, &line)) &&
                 move_to(&s, 1, sim_world_coord(21, &line)),
             "not moved:");
    struct newcomer e = {&s, sim_world_node(SIM_PUBLIC, "e", false)};
    const char *token = sim_world_invite(s.m[1], "'uses':1");
    sim_must(token != NULL && sim_world_join(e.n, token, "e") != NULL, "not joined:");
    sim_world_run(PV_S(5));
    sim_must(sim_world_tell(s.m[1], PV_S(40), "'cmd':'leave','last':true"), "not left:");
    sim_world_run(PV_S(30));
    struct sim_node *from = seed % 2 == 0 ? e.n : s.m[0], *to = seed % 2 == 0 ? s.m[0] : e.n;
    sim_must(sim_world_pass_token(from, to), "the token is not taken:");
    sim_must(sim_world_until(PV_S(180), is_taken_in, &e), "not taken in:");
}

/* The coordinator's key is lost with its disk: another one, of a new key, is at its address. A
 * member that has the relay only reaches the others through it again. */
PV_SIM(a_new_key_at_the_old_address_relays_within_seconds, SEEDS)
{
    const struct pv_addr elsewhere = pv_addr4(198, 51, 100, 99, 0);
    const struct pv_addr there = pv_addr4(198, 51, 100, 10, 0);
    struct scene s;
    sim_must(begin(&s, seed) && sim_world_reach(s.m[0], s.m[1], PV_MS(200), PV_S(10)) != PV_NEVER,
             "not begun:");
    sim_must(strcmp(sim_node_path(s.m[0], "b"), "relay") == 0, "not relayed");
    sim_coord_move(sim.coord, &elsewhere);
    sim_coord_kill(sim.coord);
    s.at = sim_world_coord(20, &line);
    sim_coord_move(s.at, &there);
    sim_must(move_to(&s, 0, s.at), "not moved:");
    sim_must(sim_world_pass_token(s.m[0], s.m[1]), "the token is not taken:");
    for (unsigned i = 0; i < 2; i++) {
        sim_must(sim_world_reach(s.m[i], s.m[1 - i], PV_MS(200), PV_S(5)) != PV_NEVER,
                 "no ping through the new relay");
    }
    sim_must(sim_world_until(PV_S(60), all_there, &s), "not followed:");
}

/* Is d removed, for the former coordinator, which is in the list and used by nobody? */
static bool knows_of_removal(void *ctx)
{
    const struct scene *s = ctx;
    const struct pv_roster *r =
        sim_coord_roster(sim.coord, pv_roster_network_id(node_of(s, 0)->roster));
    const struct pv_member *d = r == NULL ? NULL : pv_roster_known(r, sim_node_pk(s->m[3]));
    return d != NULL && d->state == PV_MEMBER_REVOKED;
}

/* All are at the first of the list, and an admin removes another one: for the second coordinator
 * that one would be an admin for ever, and what it says there would have a receipt. */
PV_SIM(a_removal_reaches_coordinators_that_nobody_uses, SEEDS)
{
    struct scene s;
    struct sim_coord *first = begin_moved(&s, seed);
    s.at = first;
    sim_must(first != NULL && sim_world_until(PV_S(30), all_there, &s) &&
                 sim_world_tell(s.m[0], PV_S(40), "'cmd':'admin_grant','peer':'d'") &&
                 sim_world_tell(s.m[0], PV_S(40), "'cmd':'admin_grant','peer':'b'"),
             "not begun:");
    sim_world_run(PV_S(40));
    sim_node_kill(s.m[3]); /* or it would tell that itself, if it is honest */
    sim_must(sim_world_tell(s.m[1], PV_S(40), "'cmd':'remove','peer':'d'"), "not removed:");
    sim_must(sim_world_until(PV_S(60), knows_of_removal, &s), "the second coordinator is not told");
    uint64_t before = connects(&s);
    sim_world_run(PV_S(600));
    sim_must(connects(&s) == before, "not calm:");
}

static bool joins(struct scene *s, const char *name, const char *token)
{
    struct sim_node *n = sim_world_node(SIM_PUBLIC, name, false);
    return token != NULL && sim_world_join(n, token, name) != NULL;
}

/* The first of the list is away while an invite is made at the second one. A node that joins by it
 * finds that one, while the first is away and when it is back and knows nothing of the invite. */
PV_SIM(a_node_that_joins_finds_the_coordinator_that_knows_the_invite, SEEDS)
{
    struct scene s;
    struct sim_coord *first = begin_moved(&s, seed);
    sim_must(first != NULL, "not begun, or not moved:");
    sim_world_run(PV_S(20));
    sim_coord_kill(first);
    s.at = sim.coord;
    sim_must(sim_world_until(PV_S(90), all_there, &s), "not at the second one:");
    const char *token = sim_world_invite(s.m[0], "'uses':5");
    sim_must(joins(&s, "e", token), "not joined while the first is away:");
    sim_coord_start(first);
    sim_world_run(PV_S(2));
    sim_must(joins(&s, "f", token), "not joined when the first is back:");
}

/* The invite is made at the last of four, two of which are off when somebody joins by it. */
PV_SIM(a_node_that_joins_asks_each_coordinator_of_its_token, SEEDS)
{
    enum {
        MORE = 2
    };
    struct scene s;
    struct sim_coord *all[1 + MORE] = {begin_moved(&s, seed)};
    sim_must(all[0] != NULL, "not begun, or not moved:");
    for (unsigned i = 1; i <= MORE; i++) {
        all[i] = sim_world_coord((uint8_t)(20 + i), &line);
        sim_world_run(PV_S(10));
        sim_must(move_to(&s, 0, all[i]), "not moved:");
    }
    sim_world_run(PV_S(20));
    for (unsigned i = 0; i <= MORE; i++)
        sim_coord_kill(all[i]);
    s.at = sim.coord;
    sim_must(sim_world_until(PV_S(180), all_there, &s), "not at the last one:");
    const char *token = sim_world_invite(s.m[0], "'uses':5");
    sim_coord_start(all[MORE]);
    sim_world_run(PV_S(2));
    sim_must(joins(&s, "e", token), "not joined:");
}

/* Nobody of the list knows the token: then the user is told that, and soon. */
PV_SIM(a_token_that_no_coordinator_of_it_knows_is_refused_soon, SEEDS)
{
    struct scene s;
    struct sim_coord *first = begin_moved(&s, seed);
    sim_must(first != NULL, "not begun, or not moved:");
    sim_world_run(PV_S(20));
    size_t before = sim_coord_n_rows(first);
    const char *token = sim_world_invite(s.m[0], "'uses':5");
    sim_must(token != NULL && sim_world_invite(s.m[0], "'uses':5") != NULL, "no token:");
    /* A backup of before is restored there. */
    sim_coord_kill(first);
    sim_coord_truncate(first, before);
    for (unsigned i = 0; i < MEMBERS; i++)
        sim_node_kill(s.m[i]);
    sim_coord_start(first);
    if (sim_draw(2) == 0)
        sim_coord_kill(sim.coord);
    pv_ns began = sim_net_now(sim.net);
    sim_must(!joins(&s, "e", token) && strstr(sim.why, "does not know this token") != NULL,
             "not told that nobody knows it:");
    sim_must(sim_net_now(sim.net) - began <= PV_S(20), "told late:");
}

static bool is_in(void *ctx)
{
    struct sim_node *e = ctx;
    return pv_engine_node(e->engine)->online;
}

/* e waits for an admin's word at a coordinator that is away while the network moves. No member
 * talks to it, and it still finds the one where it is admitted. */
PV_SIM(a_node_that_waits_to_be_admitted_follows_too, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    struct sim_node *e = sim_world_node(SIM_PUBLIC, "e", false);
    const char *token = sim_world_invite(s.m[0], "'uses':1,'approve':true");
    sim_must(token != NULL && sim_answer_has(sim_world_join(e, token, "e"), "'waiting':true"),
             "it does not wait:");
    struct pv_coord_stats before, after;
    pv_coord_stats(sim_coord_core(sim.coord), &before);
    sim_world_run(PV_S(300));
    pv_coord_stats(sim_coord_core(sim.coord), &after);
    sim_must(after.requests - before.requests <= 300, "it asks too often");
    sim_coord_kill(sim.coord);
    s.at = sim_world_coord(20, &line);
    sim_must(move_to(&s, 0, s.at), "not moved:");
    sim_coord_start(sim.coord);
    sim_must(sim_world_until(PV_S(150), all_there, &s), "members have not followed:");
    sim_must(
        sim_world_tell(s.m[0], PV_S(40), "'cmd':'admit','peer':'%s'", PV_KEY_STR(sim_node_pk(e))),
        "not admitted:");
    sim_must(sim_world_until(PV_S(700), is_in, e),
             "it hears nothing:"); /* the longer it waits the rarer it asks */
}
