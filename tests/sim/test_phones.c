/* SPDX-License-Identifier: MIT */
/*
 * test_phones.c - a phone with a stock app, which knows a key and one address, and its gateway,
 * through years in minutes: NATs that forget, restarts of everybody, rules that come and go, a
 * coordinator that is away. Whenever all are well again phone and members reach each other within
 * bounds, and what a rule forbids does not pass; in the end the phone is removed, and out within
 * two seconds.
 */
#include "base/text.h"
#include "crypto/dh.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

enum {
    SEEDS = 2, /* PV_SIM_SEEDS sets another number */
    ROUNDS = 30,
};
/* The app's keepalive of 25 s begins a handshake where its session is unknown; it is silent for 15
 * s before that (whitepaper 6.5). */
#define BACK PV_S(45)

static const struct pv_link_config line = {.delay = PV_MS(15), .jitter = PV_MS(3)};

struct scene {
    struct test_rng rng;
    struct sim_node *nas, *alice, *phone;
    unsigned phone_zone, alice_zone;
    struct pv_static_peer file; /* as the app reads it */
    bool denied;                /* alice and the phone, by a rule */
};

static const char *ask(struct scene *s, const char *fields)
{
    return sim_world_ask(s->nas, PV_S(30), "%s", fields);
}

/* The file of the phone makes the phone. */
static const char *let_in(struct scene *s)
{
    struct pv_prefix own = {.bits = 32};
    struct pv_hostport at;
    char text[PV_HOSTPORT_BUF];
    uint8_t sk[PV_DH_LEN];
    const char *said = ask(s, "'cmd':'export','name':'phone'");
    if (said == NULL)
        return "export failed:";
    memset(&s->file, 0, sizeof(s->file));
    snprintf(s->file.name, sizeof(s->file.name), "nas");
    if (!sim_world_field(said, "private_key", text, sizeof(text)) || pv_wgkey_parse(text, sk) < 0 ||
        !sim_world_field(said, "public_key", text, sizeof(text)) ||
        pv_wgkey_parse(text, s->file.public_key) < 0 ||
        !sim_world_field(said, "address4", text, sizeof(text)) ||
        pv_addr_parse_ip(text, &own.base) < 0 ||
        !sim_world_field(said, "allowed4", text, sizeof(text)) ||
        pv_prefix_parse(text, &s->file.allowed[0]) < 0 ||
        !sim_world_field(said, "endpoint", text, sizeof(text)) ||
        pv_hostport_parse(text, strlen(text), &at) < 0)
        return "export said something odd:";
    s->file.n_allowed = 1;
    s->file.persistent_keepalive = 25;
    s->file.endpoint_port = at.port;
    snprintf(s->file.endpoint_host, sizeof(s->file.endpoint_host), "%s", at.host);
    s->phone = sim_world_node(s->phone_zone, "phone", false);
    sim_node_kill(s->phone);
    sim_node_set_key(s->phone, sk);
    sim_node_configure(s->phone, &own, &s->file, 1);
    sim_node_start(s->phone);
    return NULL;
}

static bool reach(struct scene *s, struct sim_node *a, struct sim_node *b, pv_ns within)
{
    return sim_world_reach(a, b, PV_MS(250), within) != PV_NEVER;
}

/* The phone first: nobody knows where it is before it speaks. */
static const char *all_reach(struct scene *s)
{
    if (!reach(s, s->phone, s->nas, BACK) || !reach(s, s->nas, s->phone, PV_S(2)))
        return "phone and nas do not reach each other";
    if (!reach(s, s->nas, s->alice, PV_S(15)))
        return "nas does not reach alice";
    bool there = reach(s, s->phone, s->alice, s->denied ? PV_S(1) : PV_S(5));
    bool back = reach(s, s->alice, s->phone, s->denied ? PV_S(1) : PV_S(5));
    if (s->denied && (there || back))
        return "a rule denies it, and it passes";
    if (!s->denied && (!there || !back))
        return there ? "alice does not reach the phone" : "the phone does not reach alice";
    if (sim_node_pings(s->phone).strangers + sim_node_pings(s->alice).strangers > 0)
        return "somebody got what is another's";
    return NULL;
}

static void restart(struct scene *s, struct sim_node *n)
{
    sim_node_kill(n);
    sim_world_run(PV_S(1 + test_rng_next(&s->rng) % 20));
    sim_node_start(n);
}

/* Between alice and the phone, both ways. */
static const char *turn_rules(struct scene *s)
{
    static const char *const deny[] = {"'cmd':'rule_add','verdict':'deny','from':"
                                       "'phone','to':'alice','ports':'all'",
                                       "'cmd':'rule_add','verdict':'deny','from':"
                                       "'alice','to':'phone','ports':'all'"};
    for (size_t i = 0; i < PV_ARRAY_LEN(deny); i++) {
        if (ask(s, s->denied ? "'cmd':'rule_remove','number':1" : deny[i]) == NULL)
            return "a request about rules failed:";
    }
    s->denied = !s->denied;
    sim_world_run(PV_S(5)); /* alice hears of it */
    return NULL;
}

/* One thing that happens to such people. */
static const char *happen(struct scene *s, char what[static 32])
{
    switch (test_rng_next(&s->rng) % 8) {
    case 0:
        snprintf(what, 32, "the phone roams");
        sim_net_reboot_nat(sim.net, s->phone_zone);
        break;
    case 1:
        snprintf(what, 32, "alice's NAT forgets");
        sim_net_reboot_nat(sim.net, s->alice_zone);
        break;
    case 2:
        snprintf(what, 32, "nas restarts");
        restart(s, s->nas);
        break;
    case 3:
        snprintf(what, 32, "alice restarts");
        restart(s, s->alice);
        break;
    case 4:
        snprintf(what, 32, "the phone restarts");
        restart(s, s->phone);
        break;
    case 5:
        snprintf(what, 32, "the coordinator restarts");
        sim_coord_kill(sim.coord);
        sim_world_run(PV_S(1 + test_rng_next(&s->rng) % 20));
        sim_coord_start(sim.coord);
        break;
    case 6:
        snprintf(what, 32, "silence");
        sim_world_run(PV_S(200));
        break;
    default:
        snprintf(what, 32, "a rule");
        return turn_rules(s);
    }
    return NULL;
}

/* By a port of its own, or one that the router maps. */
static bool begin(struct scene *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    s->rng.state = seed;
    sim_world_init(seed, &line);
    unsigned home = seed % 2 == 0 ? SIM_PUBLIC : sim_world_nat(SIM_PUBLIC, "symmetric", &line);
    if (home != SIM_PUBLIC)
        (void)sim_world_router(home);
    s->alice_zone = sim_world_nat(SIM_PUBLIC, "port-restricted", &line);
    s->phone_zone = sim_world_nat(SIM_PUBLIC, "symmetric", &line);
    s->nas = sim_world_node(home, "nas", false);
    s->alice = sim_world_node(s->alice_zone, "alice", false);
    bool joined = sim_world_join_all();
    sim_world_run(PV_S(20)); /* the router maps, and servers say so */
    return joined;
}

/* The phone is out within two seconds, and stays out: its file is worth nothing. */
static const char *remove_it(struct scene *s)
{
    if (s->denied && turn_rules(s) != NULL)
        return "the rules stay:";
    const char *failure = all_reach(s);
    if (failure != NULL)
        return failure;
    if (ask(s, "'cmd':'remove','peer':'phone'") == NULL)
        return "remove failed:";
    sim_world_run(PV_S(2));
    if (reach(s, s->phone, s->nas, PV_S(60)) || reach(s, s->phone, s->alice, PV_S(5)) ||
        reach(s, s->alice, s->phone, PV_S(5)))
        return "the phone is still in";
    restart(s, s->nas);
    return reach(s, s->phone, s->nas, PV_S(60)) ? "the phone is in again" : NULL;
}

PV_SIM(a_phone_lives_through_what_happens, SEEDS)
{
    static struct scene s;
    char what[32] = "the beginning";
    const char *failure = begin(&s, seed) ? let_in(&s) : "they do not join:";
    if (failure == NULL)
        failure = all_reach(&s);
    for (unsigned i = 0; i < ROUNDS && failure == NULL; i++) {
        failure = happen(&s, what);
        if (failure == NULL)
            failure = all_reach(&s);
    }
    if (failure == NULL) {
        snprintf(what, sizeof(what), "its removal");
        failure = remove_it(&s);
    }
    sim_case("after %s", what);
    sim_must(failure == NULL, failure);
}
