/* SPDX-License-Identifier: MIT */
/*
 * test_closed.c - machines that join a network with rules. Nothing that these forbid enters before
 * they are known, whoever keeps them back and however slow the line is; and where nobody does, the
 * machine is open a moment after it joined.
 */
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2,
    FLOOD = 20, /* datagrams of mallory's in 100 ms */
};

static const struct pv_link_config line = {.delay = PV_MS(15), .jitter = PV_MS(3)};
static const struct pv_link_config slow = {.delay = PV_MS(100), .rate_bps = 256000};

/* A coordinator that hands out neither tags nor rules, nor its head, which would tell on it. */
struct liar {
    bool on;
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
};

static void hook(void *ctx, struct pv_ctl_msg *msg)
{
    struct liar *l = ctx;
    size_t n = 0;
    if (!l->on || msg->type != PV_CTL_STATEMENTS)
        return;
    for (size_t i = 0; i < msg->u.statements.n; i++) {
        const uint8_t type = msg->u.statements.items[i].statement.ptr[1];
        if (type != PV_ST_TAG && type != PV_ST_RULE)
            l->items[n++] = msg->u.statements.items[i];
    }
    msg->u.statements.items = l->items;
    msg->u.statements.n = n;
    msg->u.statements.has_head = false;
}

struct scene {
    struct liar liar;
    struct sim_node *alice, *harry, *mallory, *victor;
    const char *token;
    unsigned port;
    size_t of_harry, of_mallory; /* packets that entered */
};

/* Alice is the admin, harry and mallory are members; victor is not yet. */
static struct scene *begin(uint64_t seed)
{
    static struct scene the_scene;
    struct scene *s = &the_scene;
    memset(s, 0, sizeof(*s));
    sim_world_init(seed, &line);
    sim_coord_set_hook(sim.coord, hook, &s->liar);
    s->alice = sim_world_node(SIM_PUBLIC, "alice", false);
    s->harry = sim_world_node(SIM_PUBLIC, "harry", false);
    s->mallory = sim_world_node(SIM_PUBLIC, "mallory", false);
    assert_true(sim_world_join_all());
    s->victor = sim_world_node(SIM_PUBLIC, "victor", false);
    sim_world_run(PV_S(2));
    return s;
}

static bool deny_mallory(struct scene *s)
{
    return sim_world_tell(s->alice, PV_S(60),
                          "'cmd':'rule_add','verdict':'allow','from':'harry','to':'any',"
                          "'ports':'all','place':0") &&
           sim_world_tell(s->alice, PV_S(60), "'cmd':'rules_default','verdict':'deny'");
}

static bool invite_with(struct scene *s, const char *how)
{
    s->token = sim_world_invite(s->alice, how);
    return s->token != NULL;
}

static bool invite(struct scene *s)
{
    return invite_with(s, "'uses':1");
}

static bool join(struct scene *s)
{
    return sim_world_join(s->victor, s->token, "victor") != NULL;
}

static bool is_closed(struct scene *s)
{
    const char *answer = sim_world_ask(s->victor, PV_S(2), "'cmd':'status'");
    const char *problems = answer == NULL ? NULL : strstr(answer, "\"problems\"");
    snprintf(sim.why, sizeof(sim.why), "%.300s", problems == NULL ? "no answer" : problems);
    return problems == NULL || strstr(problems, "rules are not known yet") != NULL;
}

/* The first byte says which member sent it. */
static void send(struct scene *s, struct sim_node *from, const char *mark, unsigned n)
{
    const struct pv_addr to = sim_node_overlay(s->victor, PV_AF_INET);
    for (unsigned i = 0; i < n; i++)
        (void)sim_node_send_udp(from, &to, (uint16_t)(1024 + s->port++ % 60000), pv_view(mark, 1));
}

static void count_entered(struct scene *s)
{
    for (size_t i = 0; i < sim_node_n_sunk(s->victor); i++) {
        const bool harrys = sim_node_sunk(s->victor, i)->bytes[0] == 'h';
        s->of_harry += harrys ? 1 : 0;
        s->of_mallory += harrys ? 0 : 1;
    }
    sim_node_forget_sunk(s->victor);
}

/* Both send for so long, mallory all that it can. True: harry is heard, if that is waited for. */
static bool traffic(struct scene *s, pv_ns duration, bool until_harry)
{
    const size_t before = s->of_harry;
    for (pv_ns t = 0; t < duration; t += PV_MS(100)) {
        send(s, s->mallory, "m", FLOOD);
        send(s, s->harry, "h", 1);
        sim_world_run(PV_MS(100));
        count_entered(s);
        if (until_harry && s->of_harry > before)
            return true;
    }
    return !until_harry;
}

/* The coordinator keeps the rules back, mallory was never told of them, the admin is away, and the
 * line is slow: nothing enters as long as that lasts, also after a restart. Then the admin comes.
 */
PV_SIM(nothing_enters_while_the_rules_are_kept_back, SEEDS)
{
    struct scene *s = begin(seed);
    s->liar.on = true;
    sim_must(deny_mallory(s) && invite(s), "not begun:");
    sim_node_kill(s->alice);
    sim_net_set_line(sim.net, sim_node_host(s->victor), &slow);
    sim_must(join(s), "join:");
    traffic(s, PV_S(60), false);
    sim_must(s->of_harry + s->of_mallory == 0, "something entered:");
    sim_must(sim_node_drops(s->victor, PV_FP_DROP_RULES) >= 100, "nothing came:");
    sim_must(is_closed(s), "status does not say that it is closed:");
    const char *can = sim_world_ask(s->victor, PV_S(2),
                                    "'cmd':'can','from':'harry','to':'victor',"
                                    "'ports':'22'");
    sim_must(sim_answer_has(can, "closed: rules are not known yet"),
             can == NULL ? "can is not answered:" : can);
    sim_node_restart(s->victor);
    traffic(s, PV_S(30), false);
    sim_must(s->of_harry + s->of_mallory == 0 && is_closed(s), "open after a restart:");
    sim_node_start(s->alice);
    sim_must(traffic(s, PV_S(90), true) && s->of_mallory == 0,
             s->of_mallory > 0 ? "mallory entered:" : "never open:");
    sim_must(!is_closed(s), "status goes on to say that it is closed:");
}

/* The listing comes late, as on a line that mallory's packets fill, and nobody else tells. */
PV_SIM(nothing_enters_before_the_listing_is_whole, SEEDS)
{
    struct scene *s = begin(seed);
    sim_must(deny_mallory(s) && invite(s), "not begun:");
    sim_node_kill(s->alice);
    s->liar.on = true;
    sim_net_set_line(sim.net, sim_node_host(s->victor), &slow);
    sim_must(join(s), "join:");
    traffic(s, PV_S(20), false);
    sim_must(s->of_harry + s->of_mallory == 0, "something entered:");
    s->liar.on = false;
    sim_coord_kill(sim.coord);
    sim_coord_start(sim.coord);
    const bool opened = traffic(s, PV_S(60), true);
    traffic(s, PV_S(5), false);
    sim_must(s->of_mallory == 0, "mallory entered:");
    sim_must(opened, "never open:");
}

/* Where nobody lies: harry is let in as soon as there is a path. */
static void opens(uint64_t seed, void *ctx)
{
    const bool rules = *(const bool *)ctx;
    struct scene *s = begin(seed);
    sim_must((!rules || deny_mallory(s)) && invite(s), "not begun:");
    sim_node_kill(s->alice); /* nobody needs her */
    sim_must(join(s), "join:");
    sim_must(traffic(s, PV_S(1), true), "harry is not let in within a second:");
    sim_must(!is_closed(s), "closed:");
    traffic(s, PV_S(5), false);
    sim_must((s->of_mallory > 0) != rules, rules ? "mallory entered:" : "mallory is kept out:");
}

PV_TEST(an_honest_network_is_open_within_a_second)
{
    static bool rules[] = {false, true};
    sim_seeds(SEEDS, opens, &rules[0]);
    sim_seeds(SEEDS, opens, &rules[1]);
}

/* The machine has the tag of its invite at members that it meets first, and its token vouches for
 * the rules all the same. */
PV_SIM(the_tag_of_an_invite_holds_from_the_first_moment, SEEDS)
{
    struct scene *s = begin(seed);
    sim_must(sim_world_tell(s->alice, PV_S(60),
                            "'cmd':'rule_add','verdict':'deny','from':'tag:guest','to':'any',"
                            "'ports':'all','place':0") &&
                 invite_with(s, "'uses':1,'tag':'guest'"),
             "not begun:");
    sim_node_kill(s->alice);
    sim_must(join(s), "join:");
    sim_must(traffic(s, PV_S(1), true) && !is_closed(s), "it is closed:");
    const char *answer =
        sim_world_ask(s->harry, PV_S(2), "'cmd':'can','from':'victor','to':'harry','ports':'22'");
    sim_must(sim_answer_has(answer, "'allowed':false"),
             answer == NULL ? "can is not answered:" : answer);
}

/* The token was made before the rules of now. */
static void old_token(uint64_t seed, void *ctx)
{
    const bool away = *(const bool *)ctx;
    struct scene *s = begin(seed);
    sim_must(invite(s) && deny_mallory(s), "not begun:");
    if (away)
        sim_node_kill(s->alice);
    sim_must(join(s), "join:");
    const bool opened = traffic(s, PV_S(30), true);
    sim_must(s->of_mallory == 0, "mallory entered:");
    sim_must(opened != away && is_closed(s) == away,
             away ? "open without an admin:" : "never open:");
}

PV_TEST(by_an_old_token_it_opens_when_an_admin_is_there)
{
    static bool away[] = {false, true};
    sim_seeds(SEEDS, old_token, &away[0]);
    sim_seeds(1, old_token, &away[1]);
}

/* She joins by a token of before the rules, which the coordinator keeps from her, and becomes an
 * admin while she is away, as mallory is; then alice, who knows the rules, goes. */
static bool invite_heidi(struct scene *s, struct sim_node *heidi, const char *token)
{
    sim_node_kill(s->alice);
    s->liar.on = true;
    if (sim_world_join(heidi, token, "heidi") == NULL)
        return false;
    sim_node_kill(heidi);
    sim_node_kill(s->mallory);
    sim_node_start(s->alice);
    sim_world_run(PV_S(3));
    if (!sim_world_tell(s->alice, PV_S(60), "'cmd':'admin_grant','peer':'heidi'") ||
        !deny_mallory(s) || !invite(s))
        return false;
    sim_world_run(PV_S(3));
    sim_node_kill(s->alice);
    sim_node_start(heidi);
    sim_node_start(s->mallory);
    sim_world_run(PV_S(3));
    return true;
}

/* An admin that is closed itself lacks what victor lacks: that they have the same says nothing. */
PV_SIM(an_admin_that_is_closed_vouches_for_nothing, SEEDS)
{
    struct scene *s = begin(seed);
    struct sim_node *heidi = sim_world_node(SIM_PUBLIC, "heidi", false);
    sim_world_run(PV_S(2));
    sim_must(invite(s), "not begun:");
    sim_node_kill(s->harry);
    sim_must(invite_heidi(s, heidi, s->token), "heidi:");
    sim_must(join(s), "join:");
    traffic(s, PV_S(60), false);
    sim_must(s->of_mallory == 0, "mallory entered:");
    sim_must(is_closed(s), "open by the word of one that is closed:");
}
