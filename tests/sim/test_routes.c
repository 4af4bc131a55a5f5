/* SPDX-License-Identifier: MIT */
/*
 * test_routes.c - prefixes change hands under traffic: an admin allows and denies, gateways offer
 * and withdraw two prefixes of which one lies in the other, they are killed and come back, and one
 * of them speaks for addresses behind it all the time, whether it may or not. Nothing arrives by a
 * gateway that did not offer that prefix, or that no admin allowed it, now and a moment before; and
 * what somebody may carry arrives. The same with a coordinator that lies about routes: it makes up
 * permissions and offers, hands out old ones again, leaves out what is new, or brings those of
 * another network.
 */
#include "daemon/core/engine.h"
#include "daemon/core/node/node.h"
#include "proto/roster/roster_make.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 1, /* PV_SIM_SEEDS sets another number */
    ADMIN = 0,
    USER = 1,
    FIRST = 2, /* of the gateways */
    NODES = 5,
    PREFIXES = 2, /* the second one lies in the first */
    ROUNDS = 40,
    OUTSIDER = NODES - 1, /* a gateway that no admin allows anything while a coordinator lies */
    OLD_MAX = 24,         /* statements that a liar keeps to hand them out again */
};
#define SETTLED PV_S(8) /* by then every node that runs knows a change, and has a path again */

static const struct pv_link_config line = {.delay = PV_MS(10), .jitter = PV_MS(2)};
static const char *const prefixes[PREFIXES] = {"172.20.0.0/16", "172.20.5.0/24"};
static const char *const targets[PREFIXES] = {"172.20.1.1", "172.20.5.5"};

/* The coordinator's way with the statements about routes that it hands out. */
enum lie {
    HONEST,
    FORGE,  /* brings copies of which one byte is another, and permissions that a stranger signed */
    REPLAY, /* brings old ones again, after what is new */
    WITHHOLD, /* leaves out each second one, and its head, so as not to give itself away */
    FOREIGN,  /* brings permissions that another network's root signed */
    LIES,
};

struct bytes {
    uint8_t raw[PV_STATEMENT_MAX];
    size_t len;
};

struct liar {
    enum lie lie;
    struct test_rng rng;
    struct pv_made permissions[PREFIXES];                   /* for the outsider */
    struct bytes old[OLD_MAX][2], forged[PV_CTL_ITEMS_MAX]; /* old: statement, receipt */
    size_t n_old;
    struct pv_ctl_item items[PV_CTL_ITEMS_MAX];
    size_t n_told; /* lies */
};

struct scene {
    struct liar *liar; /* NULL: the coordinator is honest */
    struct test_rng rng;
    bool offered[NODES][PREFIXES], allowed[NODES][PREFIXES];
    bool may[NODES][PREFIXES];      /* the target of this prefix goes by this gateway, or may */
    pv_ns changed[NODES][PREFIXES]; /* since when that is so */
    bool used;                      /* by the user */
    pv_ns used_at;                  /* when that changed */
    pv_ns arrived[PREFIXES];        /* by any gateway */
    pv_ns stable[PREFIXES];         /* since when the same gateways may carry it */
    size_t n_arrived;
};

static unsigned below(struct scene *s, unsigned n)
{
    return (unsigned)(test_rng_next(&s->rng) % n);
}

static bool carries(const struct scene *s, unsigned g, unsigned p)
{
    return s->offered[g][p] && s->allowed[g][p];
}

/* Once anybody carries the longer prefix, the shorter one is not for what lies in both. */
static bool may_carry(const struct scene *s, unsigned g, unsigned p)
{
    bool somebody = false;
    for (unsigned k = FIRST; k < NODES; k++)
        somebody = somebody || carries(s, k, p);
    return carries(s, g, p == 1 && !somebody ? 0 : p);
}

/* --- a coordinator that lies ---------------------------------------------------------------- */

static bool is_about_routes(struct pv_view statement)
{
    return statement.len > 1 && (statement.ptr[1] == PV_ST_ROUTE || statement.ptr[1] == PV_ST_CARD);
}

static struct bytes copy(struct pv_view v)
{
    struct bytes b = {.len = v.len};
    assert_true(v.len <= sizeof(b.raw));
    if (v.len > 0)
        memcpy(b.raw, v.ptr, v.len);
    return b;
}

static struct pv_view view_of(const struct bytes *b)
{
    return pv_view(b->raw, b->len);
}

static size_t bring(struct liar *l, size_t n, struct pv_view statement, struct pv_view receipt)
{
    if (n == PV_CTL_ITEMS_MAX)
        return n;
    l->items[n] = (struct pv_ctl_item){.statement = statement, .receipt = receipt};
    l->n_told++;
    return n + 1;
}

static size_t forge(struct liar *l, size_t n, const struct pv_ctl_item *item)
{
    struct bytes *b = &l->forged[n % PV_CTL_ITEMS_MAX];
    *b = copy(item->statement);
    b->raw[2 + test_rng_next(&l->rng) % (b->len - 2)] ^= 1;
    return bring(l, n, view_of(b), item->receipt);
}

static void keep_old(struct liar *l, const struct pv_ctl_item *item)
{
    if (l->n_old == OLD_MAX)
        return;
    l->old[l->n_old][0] = copy(item->statement);
    l->old[l->n_old++][1] = copy(item->receipt);
}

static size_t rewrite(struct liar *l, const struct pv_ctl_statements *st)
{
    size_t n = 0, n_old = l->n_old;
    for (size_t i = 0; i < st->n && n < PV_CTL_ITEMS_MAX; i++) {
        const struct pv_ctl_item *item = &st->items[i];
        bool routes = is_about_routes(item->statement);
        if (routes && l->lie == WITHHOLD && test_rng_next(&l->rng) % 2 == 0) {
            l->n_told++;
            continue;
        }
        l->items[n++] = *item;
        if (routes && l->lie == FORGE)
            n = forge(l, n, item);
        if (routes && l->lie == REPLAY)
            keep_old(l, item);
    }
    for (size_t i = 0; i < n_old; i++)
        n = bring(l, n, view_of(&l->old[i][0]), view_of(&l->old[i][1]));
    for (size_t i = 0; i < PREFIXES && (l->lie == FORGE || l->lie == FOREIGN); i++)
        n = bring(l, n, pv_made_view(&l->permissions[i]), pv_view(NULL, 0));
    return n;
}

static void hook(void *ctx, struct pv_ctl_msg *msg)
{
    struct liar *l = ctx;
    if (msg->type != PV_CTL_STATEMENTS)
        return;
    msg->u.statements.n = rewrite(l, &msg->u.statements);
    msg->u.statements.items = l->items;
    if (l->lie == WITHHOLD)
        msg->u.statements.has_head = false;
}

/* Everybody is in the network. A permission for the outsider, by who may give none here: of this
 * network, signed by a stranger, or of another one, signed by the root of that. */
static void begin_lies(struct scene *s)
{
    struct liar *l = s->liar;
    const struct pv_roster *r = pv_engine_node(sim.nodes[ADMIN]->engine)->roster;
    uint8_t seed[PV_SIGN_SEED_LEN] = {7}, sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    uint8_t network[PV_NETWORK_ID_LEN];
    pv_sign_keypair(seed, sk, pk);
    memcpy(network, pv_roster_network_id(r), sizeof(network));
    if (l->lie == FOREIGN)
        network[0] ^= 1;
    for (unsigned p = 0; p < PREFIXES; p++) {
        struct pv_st_route st = {.slot = {.number = (uint16_t)p, .seq = 1}, .kind = PV_ROUTE_ALLOW};
        memcpy(st.node, sim_node_pk(sim.nodes[OUTSIDER]), sizeof(st.node));
        st.prefix = test_prefix(prefixes[p]);
        assert_ok(pv_make_route(network, sk, &st, &l->permissions[p]));
    }
    sim_coord_set_hook(sim.coord, hook, l);
}

/* --- what changes --------------------------------------------------------------------------- */

/* It holds from when it is asked for, at the earliest. */
static void judge_all(struct scene *s)
{
    pv_ns now = sim_net_now(sim.net);
    for (unsigned g = FIRST; g < NODES; g++) {
        for (unsigned p = 0; p < PREFIXES; p++) {
            bool may = may_carry(s, g, p);
            if (may != s->may[g][p])
                s->changed[g][p] = s->stable[p] = now;
            s->may[g][p] = may;
        }
    }
}

static bool turn_allowed(struct scene *s, unsigned g, unsigned p)
{
    s->allowed[g][p] = !s->allowed[g][p];
    judge_all(s);
    return sim_world_tell(sim.nodes[ADMIN], PV_S(8), "'cmd':'route_%s','peer':'n%u','prefix':'%s'",
                          s->allowed[g][p] ? "allow" : "deny", g, prefixes[p]);
}

static bool turn_offered(struct scene *s, unsigned g, unsigned p)
{
    s->offered[g][p] = !s->offered[g][p];
    judge_all(s);
    return sim_world_tell(sim.nodes[g], PV_S(8), "'cmd':'route_%s','prefix':'%s'%s",
                          s->offered[g][p] ? "offer" : "withdraw", prefixes[p],
                          s->offered[g][p] ? ",'auto':true" : "");
}

static bool turn_used(struct scene *s)
{
    s->used = !s->used;
    s->used_at = sim_net_now(sim.net);
    return sim_world_tell(sim.nodes[USER], PV_S(8),
                          s->used ? "'cmd':'route_use','peer':'auto'"
                                  : "'cmd':'route_use','peer':'off'");
}

static bool change_something(struct scene *s)
{
    unsigned what = below(s, 10), g = FIRST + below(s, NODES - FIRST), p = below(s, PREFIXES);
    struct sim_node *node = sim.nodes[g];
    if (what < 4 && !(s->liar != NULL && g == OUTSIDER))
        return turn_allowed(s, g, p);
    if (what < 7 && sim_node_runs(node))
        return turn_offered(s, g, p);
    if (what >= 9)
        return turn_used(s);
    if (sim_node_runs(node))
        sim_node_kill(node);
    else
        sim_node_start(node);
    s->stable[0] = s->stable[1] = sim_net_now(sim.net);
    return true;
}

/* --- traffic -------------------------------------------------------------------------------- */

/* The user sends to both prefixes; all gateways send to the user from both, and say who they are.
 */
static void send_all(void *ctx)
{
    struct scene *s = ctx;
    struct pv_addr user = sim_node_overlay(sim.nodes[USER], PV_AF_INET);
    for (unsigned p = 0; p < PREFIXES; p++) {
        struct pv_addr to = test_ip(targets[p]);
        (void)sim_node_send_udp(sim.nodes[USER], &to, (uint16_t)(40000 + below(s, 4)),
                                pv_view("u", 1));
        for (uint8_t g = FIRST; g < NODES; g++) {
            if (sim_node_runs(sim.nodes[g]))
                (void)sim_node_send_from(sim.nodes[g], &to, &user, pv_view(&g, 1));
        }
    }
}

static bool was_forbidden(const struct scene *s, unsigned g, unsigned p, pv_ns at)
{
    return !s->may[g][p] && at > s->changed[g][p] + SETTLED;
}

static const char *judge(struct scene *s, unsigned g, unsigned p, pv_ns at)
{
    snprintf(sim.why, sizeof(sim.why), "n%u and %s", g, prefixes[p]);
    if (was_forbidden(s, g, p, at))
        return "a packet passed that was forbidden for long:";
    if (!s->used && at > s->used_at + SETTLED)
        return "a packet passed without a wanted route:";
    return NULL;
}

static unsigned prefix_of(const struct pv_addr *ip)
{
    return ip->ip[2] == 5 ? 1 : 0;
}

/* The packets that came to a gateway's network, and those that the user got from one. */
static const char *look(struct scene *s)
{
    const char *failure = NULL;
    for (unsigned g = FIRST; g < NODES && failure == NULL; g++) {
        for (size_t i = 0; i < sim_node_n_sunk(sim.nodes[g]) && failure == NULL; i++) {
            const struct sim_sunk *x = sim_node_sunk(sim.nodes[g], i);
            unsigned p = prefix_of(&x->dst);
            failure = judge(s, g, p, x->at);
            s->arrived[p] = x->at;
            s->n_arrived++;
        }
        sim_node_forget_sunk(sim.nodes[g]);
    }
    for (size_t i = 0; i < sim_node_n_sunk(sim.nodes[USER]) && failure == NULL; i++) {
        const struct sim_sunk *x = sim_node_sunk(sim.nodes[USER], i);
        failure = judge(s, x->bytes[0], prefix_of(&x->src), x->at);
    }
    sim_node_forget_sunk(sim.nodes[USER]);
    return failure;
}

/* A packet that somebody that runs has been allowed to carry for long arrives. */
static const char *miss(struct scene *s)
{
    pv_ns now = sim_net_now(sim.net);
    for (unsigned p = 0; p < PREFIXES; p++) {
        bool somebody = false;
        for (unsigned g = FIRST; g < NODES; g++)
            somebody = somebody || (s->may[g][p] && sim_node_runs(sim.nodes[g]));
        if (!somebody || !s->used || now < s->used_at + 3 * SETTLED ||
            now < s->stable[p] + 3 * SETTLED || s->arrived[p] + SETTLED > now)
            continue;
        snprintf(sim.why, sizeof(sim.why), "to %s", targets[p]);
        return "nothing passed that was allowed for long:";
    }
    return NULL;
}

/* While the coordinator lies what is new comes from members alone, whenever they meet. */
static const char *wrong(void *ctx)
{
    const struct scene *s = ctx;
    const char *failure = look(ctx);
    return failure != NULL || s->liar != NULL ? failure : miss(ctx);
}

static const char *traffic(struct scene *s, pv_ns duration)
{
    return sim_world_traffic(duration, PV_MS(500), send_all, wrong, s);
}

static const char *walk(struct scene *s)
{
    if (!sim_world_join_all())
        return "no network:";
    s->used = true;
    s->used_at = sim_net_now(sim.net);
    if (s->liar != NULL)
        begin_lies(s);
    const char *failure = traffic(s, PV_S(5));
    /* Each lie has a walk of its own. */
    const unsigned rounds = s->liar == NULL || test_takes_all() ? ROUNDS : ROUNDS / 2;
    for (unsigned i = 0; failure == NULL && i < rounds; i++) {
        if (!change_something(s))
            return "a request failed:";
        failure = traffic(s, below(s, 5) == 0 ? PV_S(40) : PV_MS(500 + below(s, 4000)));
    }
    return failure;
}

static void begin(struct scene *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    s->rng.state = seed;
    sim_world_init(seed, &line);
    for (unsigned i = 0; i < NODES; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%u", i);
        unsigned zone = i == USER ? sim_world_nat(0, "full-cone", &line) : SIM_PUBLIC;
        (void)sim_world_node(zone, name, false);
    }
}

PV_SIM(nothing_passes_that_nobody_allowed, SEEDS)
{
    static struct scene s;
    begin(&s, seed);
    const char *failure = walk(&s);
    if (failure == NULL && s.n_arrived == 0)
        failure = "nothing ever arrived";
    sim_must(failure == NULL, failure);
}

/* Does a hold a statement about routes that b does not? */
static bool holds_more(const struct scene *s, unsigned a, unsigned b)
{
    const struct pv_roster *of_a = pv_engine_node(sim.nodes[a]->engine)->roster;
    const struct pv_roster *of_b = pv_engine_node(sim.nodes[b]->engine)->roster;
    const struct pv_roster_entry *e = NULL;
    while ((e = pv_roster_next_entry(of_a, e)) != NULL) {
        if (is_about_routes(e->st.raw) && pv_roster_find(of_b, e->st.hash) == NULL)
            return true;
    }
    return false;
}

/* Nobody kept what was made up, and what was left out is there: all hold the same again, and what
 * is allowed arrives. */
static const char *heal(struct scene *s)
{
    sim_coord_set_hook(sim.coord, NULL, NULL);
    for (unsigned i = 0; i < NODES; i++) {
        if (!sim_node_runs(sim.nodes[i]))
            sim_node_start(sim.nodes[i]);
    }
    s->stable[0] = s->stable[1] = sim_net_now(sim.net);
    sim_world_run(PV_S(10));
    if ((!s->used && !turn_used(s)) || (!s->offered[FIRST][0] && !turn_offered(s, FIRST, 0)) ||
        (!s->allowed[FIRST][0] && !turn_allowed(s, FIRST, 0)))
        return "a request failed:";
    const char *failure = traffic(s, PV_S(60));
    s->liar = NULL; /* what may arrive must, from now on */
    if (failure == NULL)
        failure = traffic(s, PV_S(5));
    for (unsigned i = 1; i < NODES && failure == NULL; i++) {
        snprintf(sim.why, sizeof(sim.why), "n%u", i);
        if (holds_more(s, i, ADMIN) || holds_more(s, ADMIN, i))
            failure = "route statements differ after the lies:";
    }
    return failure;
}

static void lied_to(uint64_t seed, void *ctx)
{
    static struct scene s;
    static struct liar liar;
    const enum lie *lie = ctx;
    begin(&s, seed);
    memset(&liar, 0, sizeof(liar));
    liar.lie = *lie;
    liar.rng.state = seed + 1;
    s.liar = &liar;
    const char *failure = walk(&s);
    if (failure == NULL)
        failure = heal(&s);
    if (failure == NULL && liar.n_told == 0)
        failure = "no lie was told";
    if (failure == NULL && s.n_arrived == 0)
        failure = "nothing ever arrived";
    sim_must(failure == NULL, failure);
}

PV_TEST(lies_about_routes_let_nothing_pass)
{
    for (enum lie lie = HONEST + 1; lie < LIES; lie++)
        sim_seeds(1, lied_to, &lie);
}
