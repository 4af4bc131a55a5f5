/* SPDX-License-Identifier: MIT */
/* Removals that the coordinator does not want, forgets or never answers: they take effect at once
 * among the members, the client hears who knows, `status` names the coordinator, and it is told
 * until it has them. And what becomes of the invite that let the removed node in. */

#include "coordinator/core/pages.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2,
};

static const struct pv_link_config line = {.delay = PV_MS(15), .jitter = PV_MS(3)};

/* A coordinator that says `limit` to every put, and hands no revocation out. */
struct veto {
    bool on;
    bool other_members; /* it says that it has other members */
    bool hush;          /* it gives receipts, and hands no revocation out all the same */
    unsigned garble;    /* signals that it damages, from now on */
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    struct pv_ctl_result results[PV_CTL_ITEMS_MAX];
};

static void hook(void *ctx, struct pv_ctl_msg *msg)
{
    struct veto *v = ctx;
    if (v->other_members && msg->type == PV_CTL_STATEMENTS)
        msg->u.statements.members[0] ^= 1;
    if (msg->type == PV_CTL_SIGNAL && v->garble > 0) {
        static const uint8_t nothing[200];
        v->garble--;
        msg->u.signal.box = pv_view(nothing, sizeof(nothing));
    }
    if (!v->on && !v->hush)
        return;
    if (msg->type == PV_CTL_RECEIPTS && !v->hush) {
        memset(v->results, 0, sizeof(v->results));
        for (size_t i = 0; i < msg->u.receipts.n; i++)
            v->results[i].error = PV_CTL_E_LIMIT;
        msg->u.receipts.results = v->results;
    }
    if (msg->type != PV_CTL_STATEMENTS)
        return;
    size_t n = 0;
    for (size_t i = 0; i < msg->u.statements.n; i++) {
        if (msg->u.statements.items[i].statement.ptr[1] != PV_ST_REVOCATION)
            v->items[n++] = msg->u.statements.items[i];
    }
    msg->u.statements.items = v->items;
    msg->u.statements.n = n;
    msg->u.statements.has_head = false;
}

struct scene {
    struct veto *veto;
    struct sim_node *alice, *bob, *carol;
};

static struct veto the_veto;

/* Alice, who may remove, and bob talk; carol is there too. */
static bool begin(struct scene *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    memset(&the_veto, 0, sizeof(the_veto));
    s->veto = &the_veto;
    sim_world_init(seed, &line);
    sim_coord_set_hook(sim.coord, hook, s->veto);
    s->alice = sim_world_node(SIM_PUBLIC, "alice", false);
    s->bob = sim_world_node(SIM_PUBLIC, "bob", false);
    s->carol = sim_world_node(SIM_PUBLIC, "carol", false);
    return sim_world_join_all() &&
           sim_world_reach(s->alice, s->bob, PV_MS(200), PV_S(10)) != PV_NEVER;
}

#define REMOVE "'cmd':'remove','peer':'carol'"

/* Does the answer to a request mention the text? */
static bool says(struct scene *s, struct sim_node *n, const char *request, const char *text)
{
    const char *answer = sim_world_ask(n, PV_S(2), "%s", request);
    if (answer == NULL)
        return false;
    const char *problems = strstr(answer, "\"problems\"");
    snprintf(sim.why, sizeof(sim.why), "%.300s", problems != NULL ? problems : answer);
    return sim_answer_has(answer, text);
}

static bool until_quiet(struct scene *s, pv_ns timeout)
{
    pv_ns until = sim_net_now(sim.net) + timeout;
    while (sim_net_now(sim.net) < until) {
        if (!says(s, s->alice, "'cmd':'status'", "has not stored"))
            return true;
        sim_world_run(PV_MS(500));
    }
    return false;
}

PV_SIM(a_coordinator_that_refuses_prevents_no_removal, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    s.veto->on = true;
    const char *answer = sim_world_ask(s.alice, PV_S(4), REMOVE);
    sim_must(sim_answer_has(answer, "'coordinator':'limit'") && !sim_answer_has(answer, "'know':0"),
             answer == NULL ? "no answer:" : answer);
    sim_must(!says(&s, s.bob, "'cmd':'peers'", "'carol'"), "bob still has carol:");
    sim_must(says(&s, s.alice, "'cmd':'status'", "has not stored that carol was removed"),
             "status does not name it:");
    /* A restart forgets nothing of it. */
    sim_node_restart(s.alice);
    sim_world_run(PV_S(20));
    sim_must(says(&s, s.alice, "'cmd':'status'", "has not stored that carol was removed"),
             "forgotten by a restart:");
    s.veto->on = false;
    sim_must(until_quiet(&s, PV_S(300)), "never stored:");
}

/* Alice and bob have never met; bob and carol have. However the coordinator keeps the removal back,
 * bob hears of it, and alice of that. */
static void unmet(uint64_t seed, const struct veto *how, pv_ns within)
{
    struct scene s;
    memset(&s, 0, sizeof(s));
    memset(&the_veto, 0, sizeof(the_veto));
    s.veto = &the_veto;
    sim_world_init(seed, &line);
    sim_coord_set_hook(sim.coord, hook, s.veto);
    s.alice = sim_world_node(SIM_PUBLIC, "alice", false);
    s.bob = sim_world_node(SIM_PUBLIC, "bob", false);
    s.carol = sim_world_node(SIM_PUBLIC, "carol", false);
    sim_must(sim_world_join_all() &&
                 sim_world_reach(s.bob, s.carol, PV_MS(200), PV_S(10)) != PV_NEVER,
             "not begun:");
    sim_world_run(PV_S(2));
    sim_must(strcmp(sim_node_path(s.alice, "bob"), "none") == 0, "alice and bob have met:");
    *s.veto = *how;
    sim_must(sim_world_tell(s.alice, PV_S(4), REMOVE), "no answer:");
    const pv_ns from = sim_net_now(sim.net);
    while (says(&s, s.bob, "'cmd':'peers'", "'carol'")) {
        sim_must(sim_net_now(sim.net) <= from + within, "bob still has carol:");
        sim_world_run(PV_MS(200));
    }
    sim_world_run(PV_S(1));
    sim_must(!s.veto->on || says(&s, s.alice, "'cmd':'status'", "0 of 1 members online lack it"),
             "status does not say that bob knows:");
}

static void unmet_vetoed(uint64_t seed, void *ctx)
{
    unmet(seed, &(struct veto){.on = true}, PV_S(2));
}

static void unmet_hushed(uint64_t seed, void *ctx)
{
    unmet(seed, &(struct veto){.hush = true}, PV_S(2));
}

/* The first signals about it do not arrive: a path is woken. */
static void unmet_garbled(uint64_t seed, void *ctx)
{
    unmet(seed, &(struct veto){.on = true, .garble = 2}, PV_S(30));
}

PV_TEST(members_without_a_path_hear_of_a_removal_all_the_same)
{
    sim_seeds(SEEDS, unmet_vetoed, NULL);
    sim_seeds(SEEDS, unmet_hushed, NULL);
    sim_seeds(SEEDS, unmet_garbled, NULL);
}

PV_SIM(a_coordinator_that_never_answers_holds_nobody_up, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    sim_coord_set_store_delay(sim.coord, PV_S(100000)); /* it never stores, and never answers */
    const char *answer = sim_world_ask(s.alice, PV_S(4), REMOVE);
    sim_must(sim_answer_has(answer, "'coordinator':'silent'"),
             answer == NULL ? "no answer:" : answer);
    sim_must(!says(&s, s.bob, "'cmd':'peers'", "'carol'"), "bob still has carol:");
    sim_world_run(PV_S(10));
    sim_must(says(&s, s.alice, "'cmd':'status'", "does not answer"), "status does not name it:");
}

PV_SIM(the_client_hears_who_knows, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    const char *answer = sim_world_ask(s.alice, PV_S(4), REMOVE);
    sim_must(sim_answer_has(answer, "'coordinator':'stored'") &&
                 sim_answer_has(answer, "'online':1,'know':1") && !sim_answer_has(answer, "'code'"),
             answer == NULL ? "no answer:" : answer);
    /* The same of a leave: alice hears of it from bob, though the coordinator is silent. */
    sim_coord_set_store_delay(sim.coord, PV_S(100000));
    answer = sim_world_ask(s.bob, PV_S(5), "'cmd':'leave'");
    sim_must(sim_answer_has(answer, "'online':1,'know':1"), answer == NULL ? "leave:" : answer);
    sim_must(!says(&s, s.alice, "'cmd':'peers'", "'bob'"), "alice still has bob:");
}

/* Alice forgets bob at once, and says before that she knows. */
PV_SIM(a_leave_counts_who_knows_though_the_coordinator_is_away, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    sim_coord_stop(sim.coord);
    sim_world_run(PV_S(5));
    const char *answer = sim_world_ask(s.bob, PV_S(5), "'cmd':'leave'");
    sim_must(sim_answer_has(answer, "'online':1,'know':1,'coordinator':'away'"),
             answer == NULL ? "leave:" : answer);
    sim_must(!says(&s, s.alice, "'cmd':'peers'", "'bob'"), "alice still has bob:");
}

/* --- a full disk ------------------------------------------------------------------------------ */

PV_SIM(a_disk_that_lacks_a_removal_is_told_and_gets_it_later, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "joining:");
    sim_node_set_disk_full(s.alice, true);
    const char *answer = sim_world_ask(s.alice, PV_S(5), REMOVE);
    sim_must(answer != NULL, "not removed:");
    sim_must(sim_answer_has(answer, "'disk':'store: disk full") &&
                 sim_answer_has(answer, "'code':1"),
             "the answer does not name the full disk");
    sim_node_set_disk_full(s.alice, false);
    sim_world_run(PV_S(40));
    /* Nobody is there to hear it from again. */
    sim_coord_kill(sim.coord);
    sim_node_kill(s.bob);
    sim_node_restart(s.alice);
    sim_must(says(&s, s.alice, "'cmd':'peers'", "'bob'") &&
                 !says(&s, s.alice, "'cmd':'peers'", "'carol'"),
             "the removal was never written");
}

/* Is the peer out of that node's list within so long? */
static bool until_gone(struct scene *s, struct sim_node *n, const char *peer, pv_ns timeout)
{
    pv_ns until = sim_net_now(sim.net) + timeout;
    while (says(s, n, "'cmd':'peers'", peer)) {
        if (sim_net_now(sim.net) >= until)
            return false;
        sim_world_run(PV_MS(200));
    }
    return true;
}

/* Nobody ever wanted a path to carol, so the coordinator alone can be told that she leaves. */
PV_SIM(a_member_without_a_path_leaves_by_the_coordinator_or_not_at_all, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    sim_world_run(PV_S(2)); /* she has just joined: now she knows the others */
    sim_must(strcmp(sim_node_path(s.carol, "alice"), "none") == 0 &&
                 strcmp(sim_node_path(s.carol, "bob"), "none") == 0,
             "carol has a path:");
    sim_coord_stop(sim.coord);
    sim_world_run(PV_S(5));
    sim_must(!sim_world_tell(s.carol, PV_S(4), "'cmd':'leave'") &&
                 strstr(sim.why, "neither the coordinator nor a member can be told") != NULL,
             "left without a word to anybody:");
    sim_must(says(&s, s.carol, "'cmd':'peers'", "'alice'"), "carol forgot the network:");
    sim_coord_start(sim.coord);
    sim_world_run(PV_S(40));
    const char *answer = sim_world_ask(s.carol, PV_S(4), "'cmd':'leave'");
    sim_must(sim_answer_has(answer, "'coordinator':'stored'") && sim_answer_has(answer, "'know':0"),
             answer == NULL ? "no answer:" : answer);
    sim_must(until_gone(&s, s.alice, "'carol'", PV_S(2)) &&
                 until_gone(&s, s.bob, "'carol'", PV_S(2)),
             "they still have carol:");
}

/* Carol and dave have one token for three. Removing carol ends it, or not. */
static void with_invite(uint64_t seed, void *ctx)
{
    const bool keep = *(const bool *)ctx;
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    struct sim_node *erin = sim_world_node(SIM_PUBLIC, "erin", false);
    struct sim_node *again = sim_world_node(SIM_PUBLIC, "again", false);
    const char *token = sim_world_invite(s.alice, "'uses':3");
    sim_must(token != NULL && sim_world_join(erin, token, NULL) != NULL, "join:");
    sim_world_run(PV_S(2));
    const char *answer = sim_world_ask(s.alice, PV_S(4), "'cmd':'remove','peer':'erin'%s",
                                       keep ? ",'keep_invite':true" : "");
    sim_must(sim_answer_has(answer, keep ? "'uses_left':2,'revoked':false"
                                         : "'uses_left':2,'revoked':true"),
             answer == NULL ? "no answer:" : answer);
    /* The machine has a new key now, and the same token. */
    sim_must((sim_world_join(again, token, NULL) != NULL) == keep, "the same token:");
}

PV_TEST(the_token_that_let_a_removed_node_in_ends_with_it)
{
    static bool keep[] = {false, true};
    sim_seeds(SEEDS, with_invite, &keep[0]);
    sim_seeds(1, with_invite, &keep[1]);
}

static void other_members(uint64_t seed, void *ctx)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    sim_must(!says(&s, s.bob, "'cmd':'status'", "other members"), "named without need:");
    sim_world_run(PV_PAGES_KEPT + PV_S(1)); /* pages that are kept do not pass the hook */
    s.veto->other_members = true;
    sim_node_restart(s.bob);
    sim_world_run(PV_S(40));
    sim_must(says(&s, s.bob, "'cmd':'status'", "other members"), "not named:");
}

PV_TEST(a_coordinator_with_other_members_is_named)
{
    sim_seeds(1, other_members, NULL);
}

/* --- ephemeral members ----------------------------------------------------------------------- */

static bool knows(struct scene *s, struct sim_node *n, const char *name)
{
    return says(s, n, "'cmd':'peers'", PV_STR("'name':'%s'", name));
}

/* One loses its power, one stays, and one ends in order. */
PV_SIM(ephemeral_members_go_when_they_end_or_are_silent, SEEDS)
{
    struct scene s;
    sim_must(begin(&s, seed), "not begun:");
    struct sim_node *dave = sim_world_node(SIM_PUBLIC, "dave", false);
    struct sim_node *erin = sim_world_node(SIM_PUBLIC, "erin", false);
    struct sim_node *again = sim_world_node(SIM_PUBLIC, "again", false);
    const char *token = sim_world_invite(s.alice, "'ephemeral':true,'uses':3");
    sim_must(token != NULL && sim_world_join(dave, token, "runner") != NULL &&
                 sim_world_join(erin, token, "stays") != NULL,
             "join:");
    sim_world_run(PV_S(20));
    sim_node_kill(dave);
    sim_world_run(PV_S(9 * 60));
    sim_must(knows(&s, s.alice, "runner") && knows(&s, s.bob, "runner"),
             "removed before its time:");
    sim_world_run(PV_S(3 * 60));
    sim_must(!knows(&s, s.alice, "runner") && !knows(&s, s.bob, "runner"),
             "silent, and there all the same:");
    sim_must(sim_world_join(again, token, "runner") != NULL, "its name is not free:");
    sim_world_run(PV_S(70 * 60));
    sim_must(knows(&s, s.alice, "runner") && knows(&s, s.bob, "stays"),
             "removed although it is there:");
    sim_must(!sim_node_leave(s.bob), "one that is not ephemeral leaves:");
    sim_must(sim_node_leave(again), "does not leave:");
    sim_world_run(PV_S(4));
    sim_must(sim_node_has_left(again) && !knows(&s, s.bob, "runner") && !knows(&s, erin, "runner"),
             "has not left:");
}
