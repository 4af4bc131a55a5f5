/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "daemon/core/nat/mapper.h"
#include "tests/unit/test_util.h"

static const struct pv_addr ROUTER = {.family = PV_AF_INET, .ip = {192, 168, 1, 1}};
static const struct pv_addr LOCAL = {.family = PV_AF_INET, .ip = {192, 168, 1, 30}};
static const struct pv_addr SERVER = {.family = PV_AF_INET, .port = 3478, .ip = {198, 51, 100, 2}};
static const struct pv_addr OUTER = {.family = PV_AF_INET, .ip = {203, 0, 113, 7}};
static const struct pv_addr NOBODY = {.family = PV_AF_NONE};

enum {
    PORT = 40015
};

/* A router and a STUN server, and what became of what they were asked. */
struct world {
    struct test_rng seed;
    struct pv_jobqueue *queue;
    struct pv_mapper *m;
    pv_ns now;
    /* the router */
    bool pcp, natpmp, upnp; /* spoken */
    bool forwards;          /* what is mapped lets strangers in */
    bool forwards_other;    /* but not on the port first asked for */
    uint8_t refuses;        /* PCP: with that code */
    struct pv_addr claims;
    pv_ns born;
    uint16_t mapped; /* 0 = nothing */
    unsigned asked, released, jobs;
    int job_status;
    unsigned conflicts; /* so many ports are taken */
    uint32_t lifetime;
    /* the server */
    bool server_away, no_second;
    unsigned probes;
    uint8_t last_nonce[12];
};

static void free_mapper(void *ctx)
{
    pv_mapper_free(ctx);
}

static void end_queue(void *ctx)
{
    pv_jobqueue_done(ctx);
    free(ctx);
}

static void begin(struct world *w)
{
    *w = (struct world){.now = PV_S(1000),
                        .pcp = true,
                        .forwards = true,
                        .claims = OUTER,
                        .born = PV_S(10),
                        .lifetime = 3600};
    w->queue = calloc(1, sizeof(*w->queue));
    assert_non_null(w->queue);
    struct pv_mapper_config cfg = {
        .rng = test_rng_make(&w->seed, 3), .jobs = w->queue, .udp_port = PORT};
    pv_jobqueue_init(w->queue, &cfg.rng, NULL);
    test_defer(end_queue, w->queue);
    memset(cfg.secret, 7, sizeof(cfg.secret));
    assert_int_equal(pv_mapper_new(&w->m, &cfg), PV_OK);
    test_defer(free_mapper, w->m);
    pv_mapper_set_servers(w->m, &SERVER, 1, w->now);
    pv_mapper_set_router(w->m, PV_AF_INET, &ROUTER, &LOCAL, w->now);
    pv_mapper_want(w->m, true, w->now);
}

static struct pv_mapper_view view(const struct world *w)
{
    return pv_mapper_view(w->m, PV_AF_INET);
}

static void router_answers(struct world *w, const struct pv_mapper_transmit *tx)
{
    uint8_t a[60];
    struct pv_addr from = ROUTER;
    bool release = pv_load_be32(tx->buf + 4) == 0;
    assert_int_equal(tx->len, 60);
    assert_true(pv_addr_equal_ip(&tx->local, &LOCAL));
    from.port = 5351;
    memcpy(w->last_nonce, tx->buf + 24, 12);
    w->asked += release ? 0 : 1;
    w->released += release ? 1 : 0;
    if (!w->pcp)
        return;
    memcpy(a, tx->buf, 60);
    a[1] |= 0x80;
    a[3] = w->refuses;
    pv_store_be32(a + 4, release ? 0 : w->lifetime);
    pv_store_be32(a + 8, (uint32_t)((w->now - w->born) / PV_S(1)));
    memset(a + 12, 0, 12);
    if (w->refuses == 0)
        w->mapped = release ? 0 : pv_load_be16(a + 42);
    memcpy(a + 56, w->claims.ip, 4);
    pv_mapper_handle_router(w->m, &from, pv_view(a, 60), w->now);
}

static void server_answers(struct world *w, const struct pv_mapper_transmit *tx)
{
    struct pv_stun_msg msg;
    struct pv_stun_writer out;
    struct pv_addr seen = OUTER, from = SERVER;
    uint8_t buf[128];
    uint32_t change = 0, port = 0;
    size_t len;
    assert_int_equal(pv_stun_decode(pv_view(tx->buf, tx->len), &msg), PV_OK);
    bool probe = pv_stun_get_u32(&msg, PV_STUN_ATTR_CHANGE_REQUEST, &change) == PV_OK;
    seen.port = 1234;
    if (w->server_away)
        return;
    bool refused = probe && (w->no_second || (change & PV_STUNC_CHANGE_IP) != 0);
    pv_stun_write_answer(&out, buf, sizeof(buf), refused ? PV_STUN_ERROR : PV_STUN_SUCCESS, &msg);
    if (refused)
        pv_stun_put_error(&out, PV_STUN_E_UNKNOWN_ATTRIBUTE, "");
    else
        pv_stun_put_xor_addr(&out, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &seen);
    assert_int_equal(pv_stun_write_end(&out, &len), PV_OK);
    if (probe && !refused) {
        w->probes++;
        assert_int_equal(pv_stun_get_u32(&msg, PV_STUN_ATTR_RESPONSE_PORT, &port), PV_OK);
        from.port++;
        if (!w->forwards || port >> 16 != w->mapped || (w->forwards_other && w->mapped == PORT))
            return;
    }
    if (pv_mapper_handle_stun(w->m, &from, pv_view(buf, len), w->now) != PV_OK)
        assert_true(probe); /* the verdict may have been given already */
}

/* The job ends like this; it is freed. */
static void answer(struct world *w, struct pv_job *job, const struct pv_portmapjob_result *r)
{
    struct pv_job_result result = {.id = job->id, .kind = job->kind, .portmap = *r};
    pv_job_free(job);
    assert_true(pv_jobqueue_handle(w->queue, &result, w->now));
}

static void job_runs(struct world *w, struct pv_job *asked)
{
    const struct pv_portmapjob *job = &asked->u.portmap;
    struct pv_portmapjob_result r = {.status = PV_OK, .external = w->claims};
    bool upnp = job->protocol == PV_PORTMAPJOB_UPNP;
    w->jobs++;
    assert_true(pv_addr_equal_ip(&job->router, &ROUTER));
    assert_int_equal(job->local.port, PORT);
    if (upnp ? !w->upnp : !w->natpmp)
        r.status = PV_ERR_TIMEOUT;
    else if (w->job_status != PV_OK)
        r.status = w->job_status;
    else if (job->release)
        w->mapped = 0, w->released++;
    else if (w->conflicts > 0 && w->conflicts--)
        r.status = PV_ERR_EXISTS;
    else
        w->mapped = r.external_port = job->external_port;
    r.lifetime = w->lifetime;
    r.epoch = (uint32_t)((w->now - w->born) / PV_S(1));
    if (upnp)
        memcpy(r.url, "http://192.168.1.1:5000/d.xml", 30);
    answer(w, asked, &r);
}

static void drain(struct world *w)
{
    for (bool any = true; any;) {
        struct pv_mapper_transmit tx;
        struct pv_job *job;
        any = false;
        while (pv_mapper_poll_transmit(w->m, &tx) == PV_OK) {
            any = true;
            if (tx.router)
                router_answers(w, &tx);
            else
                server_answers(w, &tx);
        }
        while (pv_jobqueue_poll(w->queue, &job) == PV_OK) {
            any = true;
            job_runs(w, job);
        }
    }
}

/* Lets that much time pass. */
static void run(struct world *w, pv_ns duration)
{
    pv_ns until = w->now + duration;
    drain(w);
    while (pv_mapper_next_timeout(w->m) <= until) {
        w->now = pv_mapper_next_timeout(w->m) > w->now ? pv_mapper_next_timeout(w->m) : w->now;
        pv_mapper_handle_timeout(w->m, w->now);
        drain(w);
    }
    w->now = until;
}

static void expect(const struct world *w, enum pv_mapper_state state, const char *why)
{
    struct pv_mapper_view v = view(w);
    if (v.state != state || (why != NULL && strstr(v.why, why) == NULL))
        fail_msg("%s, \"%s\"; not %s, \"%s\"", pv_mapper_state_name(v.state), v.why,
                 pv_mapper_state_name(state), why == NULL ? "" : why);
    assert_int_equal(v.external.family == PV_AF_NONE, state != PV_MAPPER_WORKING);
}

/* --- what is asked, and in which order ------------------------------------------------------- */

PV_TEST(pcp_is_asked_first_and_its_mapping_is_proven)
{
    struct world w;
    begin(&w);
    expect(&w, PV_MAPPER_ASKING, "PCP");
    run(&w, PV_MS(10));
    expect(&w, PV_MAPPER_WORKING, "");
    struct pv_addr want = OUTER;
    want.port = PORT;
    struct pv_mapper_view v = view(&w);
    assert_true(pv_addr_equal(&v.external, &want));
    assert_int_equal(v.protocol, PV_MAPPER_PCP);
    assert_true(v.expires == w.now - PV_MS(10) + PV_S(3600));
    assert_true(pv_mapper_take_changed(w.m));
    assert_false(pv_mapper_take_changed(w.m));
    assert_int_equal(w.jobs, 0);
    run(&w, PV_S(20000)); /* it stays so, renewed and proven again and again */
    expect(&w, PV_MAPPER_WORKING, "");
    assert_false(pv_mapper_take_changed(w.m));
    assert_int_equal(w.released, 0);
    assert_true(w.asked >= 8 && w.asked <= 14);
    assert_true(w.probes > 200);
}

PV_TEST(natpmp_and_upnp_have_their_turn)
{
    for (int i = 0; i < 2; i++) {
        struct world w;
        begin(&w);
        w.pcp = false;
        w.natpmp = i == 0;
        w.upnp = i == 1;
        run(&w, PV_S(6));
        expect(&w, PV_MAPPER_WORKING, "");
        assert_int_equal(view(&w).protocol, i == 0 ? PV_MAPPER_NATPMP : PV_MAPPER_UPNP);
        assert_int_equal(w.jobs, (unsigned)(1 + i));
        run(&w, PV_S(10000)); /* renewed at half life */
        expect(&w, PV_MAPPER_WORKING, "");
        assert_true(w.jobs >= 5 + (unsigned)i && w.jobs <= 8);
        test_end(w.m);
    }
}

PV_TEST(a_router_that_opens_nothing_is_asked_less_and_less)
{
    struct world w;
    begin(&w);
    w.pcp = false;
    run(&w, PV_S(10));
    expect(&w, PV_MAPPER_WAITING, "PCP: no answer; NAT-PMP: no answer; UPnP: no answer");
    run(&w, PV_S(100));
    unsigned early = w.jobs;
    assert_true(early >= 4 && early <= 10);
    run(&w, PV_S(24 * 3600));
    unsigned before = w.jobs;
    run(&w, PV_S(24 * 3600));
    assert_true(w.jobs - before <= 50);
    w.upnp = true; /* the network changed: at once, not in an hour */
    pv_mapper_set_router(w.m, PV_AF_INET, &ROUTER, &LOCAL, w.now);
    run(&w, PV_S(6));
    expect(&w, PV_MAPPER_WORKING, "");
}

PV_TEST(a_refusal_is_respected_for_its_lifetime)
{
    struct world w;
    begin(&w);
    w.refuses = PV_PORTMAP_NOT_AUTHORIZED;
    w.lifetime = 600;
    run(&w, PV_S(500));
    expect(&w, PV_MAPPER_WAITING, "PCP: it does not allow it");
    assert_int_equal(w.asked, 1); /* RFC 6887 s8.3 */
    run(&w, PV_S(120));
    assert_int_equal(w.asked, 2);
}

PV_TEST(it_is_asked_only_where_it_helps)
{
    struct world w;
    struct pv_addr public_local = OUTER;
    begin(&w);
    run(&w, PV_S(1));
    pv_mapper_set_router(w.m, PV_AF_INET, &ROUTER, &public_local, w.now);
    expect(&w, PV_MAPPER_OFF, "not needed: our address is public");
    pv_mapper_set_router(w.m, PV_AF_INET, &NOBODY, &LOCAL, w.now);
    expect(&w, PV_MAPPER_OFF, "no default route");
    pv_mapper_set_router(w.m, PV_AF_INET, &ROUTER, &NOBODY, w.now);
    expect(&w, PV_MAPPER_OFF, "no address of ours");
    pv_mapper_want(w.m, false, w.now);
    expect(&w, PV_MAPPER_OFF, "not in a network");
    assert_true(pv_mapper_next_timeout(w.m) == PV_NEVER);
    test_end(w.m);
    struct pv_mapper_config cfg = {
        .rng = test_rng_make(&w.seed, 3), .jobs = w.queue, .off = true, .udp_port = PORT};
    assert_int_equal(pv_mapper_new(&w.m, &cfg), PV_OK);
    test_defer(free_mapper, w.m);
    pv_mapper_set_servers(w.m, &SERVER, 1, w.now);
    pv_mapper_set_router(w.m, PV_AF_INET, &ROUTER, &LOCAL, w.now);
    pv_mapper_want(w.m, true, w.now);
    expect(&w, PV_MAPPER_OFF, "switched off");
}

PV_TEST(ipv6_gets_a_pinhole_by_pcp_alone)
{
    static const uint8_t router6[16] = {0xfe, 0x80, [15] = 1};
    static const uint8_t local6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
    static const uint8_t ula[16] = {0xfd, 1, [15] = 5};
    static const uint8_t server6[16] = {0x20, 0x01, 0x0d, 0xb8, 1, [15] = 2};
    struct world w;
    struct pv_addr r = pv_addr6(router6, 0), l = pv_addr6(local6, 0), s = pv_addr6(server6, 3478);
    struct pv_addr u = pv_addr6(ula, 0);
    struct pv_mapper_transmit tx;
    struct pv_job *job;
    begin(&w);
    pv_mapper_set_router(w.m, PV_AF_INET, &NOBODY, &NOBODY, w.now);
    pv_mapper_set_servers(w.m, &s, 1, w.now);
    pv_mapper_set_router(w.m, PV_AF_INET6, &r, &u, w.now);
    assert_int_equal(pv_mapper_view(w.m, PV_AF_INET6).state, PV_MAPPER_OFF);
    pv_mapper_set_router(w.m, PV_AF_INET6, &r, &l, w.now);
    assert_int_equal(pv_mapper_poll_transmit(w.m, &tx), PV_OK);
    assert_true(tx.router && pv_addr_equal_ip(&tx.dst, &r) && pv_addr_equal_ip(&tx.local, &l));
    assert_memory_equal(tx.buf + 8, local6, 16);
    while (pv_mapper_view(w.m, PV_AF_INET6).state == PV_MAPPER_ASKING) { /* nobody answers */
        pv_mapper_handle_timeout(w.m, pv_mapper_next_timeout(w.m));
        while (pv_mapper_poll_transmit(w.m, &tx) == PV_OK)
            continue;
    }
    assert_int_equal(pv_mapper_view(w.m, PV_AF_INET6).state, PV_MAPPER_WAITING);
    assert_int_equal(pv_jobqueue_poll(w.queue, &job), PV_ERR_AGAIN);
}

/* --- the router's word is a claim ------------------------------------------------------------ */

PV_TEST(a_mapping_that_does_not_work_is_made_anew_then_elsewhere_then_given_up)
{
    struct world w;
    begin(&w);
    w.forwards = false;
    run(&w, PV_S(60));
    expect(&w, PV_MAPPER_WAITING, "nothing comes in through it");
    assert_false(pv_mapper_take_changed(w.m)); /* it never was a candidate */
    assert_int_equal(w.asked, 3);
    assert_true(w.released >= 3);
    unsigned asked = w.asked;
    run(&w, PV_S(1700));
    assert_int_equal(w.asked, asked); /* half an hour of peace */
    w.forwards = true;
    run(&w, PV_S(300));
    expect(&w, PV_MAPPER_WORKING, "");
}

PV_TEST(another_port_may_work)
{
    struct world w;
    begin(&w);
    w.forwards_other = true;
    run(&w, PV_S(60));
    expect(&w, PV_MAPPER_WORKING, "");
    assert_true(view(&w).external.port != PORT && view(&w).external.port >= 20000);
}

PV_TEST(behind_another_nat_it_is_given_up_at_once)
{
    struct world w;
    begin(&w);
    w.claims = pv_addr4(100, 64, 3, 9, 0);
    w.forwards = false;
    run(&w, PV_S(20));
    expect(&w, PV_MAPPER_WAITING, "another NAT stands behind the router");
    assert_int_equal(w.asked, 1);
    assert_int_equal(w.mapped, 0); /* and given back */
}

PV_TEST(a_private_claim_that_works_is_offered_as_the_world_sees_it)
{
    struct world w;
    begin(&w);
    w.claims = pv_addr4(100, 64, 3, 9, 0); /* the outer NAT lets everything in */
    run(&w, PV_S(2));
    expect(&w, PV_MAPPER_WORKING, "");
    assert_memory_equal(view(&w).external.ip, OUTER.ip, 4);
}

PV_TEST(a_mapping_that_is_forgotten_is_healed)
{
    for (int upnp = 0; upnp < 2; upnp++) {
        struct world w;
        begin(&w);
        w.pcp = !upnp;
        w.upnp = upnp;
        run(&w, PV_S(8));
        expect(&w, PV_MAPPER_WORKING, "");
        assert_true(pv_mapper_take_changed(w.m));
        w.mapped = 0; /* without a word */
        run(&w, PV_S(110));
        expect(&w, PV_MAPPER_WORKING, "");
        assert_true(pv_mapper_take_changed(w.m));
        assert_int_equal(w.mapped, PORT);
        test_end(w.m);
    }
}

PV_TEST(a_failure_of_a_path_makes_it_look_at_once)
{
    struct world w;
    begin(&w);
    run(&w, PV_S(10));
    w.mapped = 0;
    pv_mapper_refresh(w.m, w.now);
    run(&w, PV_S(10));
    assert_int_equal(w.mapped, PORT);
    unsigned probes = w.probes;
    for (int i = 0; i < 100; i++) /* not more often than every 5 s */
        pv_mapper_refresh(w.m, w.now);
    run(&w, PV_MS(100));
    assert_true(w.probes <= probes + 1);
}

PV_TEST(a_server_that_is_away_proves_nothing)
{
    struct world w;
    begin(&w);
    run(&w, PV_S(2));
    assert_true(pv_mapper_take_changed(w.m));
    w.server_away = true;
    run(&w, PV_S(3600));
    expect(&w, PV_MAPPER_WORKING, ""); /* what worked is still offered */
    assert_false(pv_mapper_take_changed(w.m));
    w.server_away = false;
    w.mapped = 0;
    w.pcp = false;
    run(&w, PV_S(120));
    assert_true(view(&w).state != PV_MAPPER_WORKING);
    test_end(w.m);
    begin(&w);
    w.server_away = true;
    run(&w, PV_S(20));
    expect(&w, PV_MAPPER_CHECKING, "does not answer");
    w.server_away = false;
    run(&w, PV_S(60));
    expect(&w, PV_MAPPER_WORKING, "");
    test_end(w.m);
    begin(&w);
    w.no_second = true;
    run(&w, PV_S(20));
    expect(&w, PV_MAPPER_CHECKING, "no second port");
}

/* --- changes --------------------------------------------------------------------------------- */

PV_TEST(a_restarted_router_gets_it_again)
{
    struct world w;
    uint8_t announce[24] = {2, 128};
    struct pv_addr from = ROUTER;
    begin(&w);
    run(&w, PV_S(30));
    w.mapped = 0;
    w.born = w.now;
    from.port = 5351;
    pv_mapper_handle_router(w.m, &from, pv_view(announce, 24), w.now);
    run(&w, PV_S(6)); /* RFC 6887 s14.1.3: within 5 s */
    assert_int_equal(w.mapped, PORT);
    expect(&w, PV_MAPPER_WORKING, "");
}

PV_TEST(a_natpmp_router_that_restarts_gets_it_again)
{
    struct world w;
    uint8_t announce[12] = {0, 128, [8] = 203, 0, 113, 7};
    struct pv_addr from = ROUTER;
    begin(&w);
    w.pcp = false;
    w.natpmp = true;
    run(&w, PV_S(30));
    expect(&w, PV_MAPPER_WORKING, "");
    w.mapped = 0;
    w.born = w.now;
    from.port = 5351;
    pv_mapper_handle_router(w.m, &from, pv_view(announce, 12), w.now);
    run(&w, PV_S(1));
    assert_int_equal(w.mapped, PORT);
}

PV_TEST(another_network_begins_anew)
{
    struct world w;
    struct pv_addr other = ROUTER;
    uint8_t nonce[12];
    begin(&w);
    run(&w, PV_S(2));
    assert_true(pv_mapper_take_changed(w.m));
    memcpy(nonce, w.last_nonce, 12);
    other.ip[3] = 254;
    pv_mapper_set_router(w.m, PV_AF_INET, &other, &LOCAL, w.now);
    expect(&w, PV_MAPPER_ASKING, NULL);
    assert_true(pv_mapper_take_changed(w.m));
    struct pv_mapper_transmit tx;
    assert_int_equal(pv_mapper_poll_transmit(w.m, &tx), PV_OK);
    assert_true(pv_addr_equal_ip(&tx.dst, &other));
    assert_memory_not_equal(tx.buf + 24, nonce, 12); /* RFC 6887 s11.2: another for each server */
}

PV_TEST(the_same_addresses_may_be_another_network)
{
    struct world w;
    begin(&w);
    run(&w, PV_S(10));
    w.mapped = 0;
    pv_mapper_set_router(w.m, PV_AF_INET, &ROUTER, &LOCAL, w.now);
    run(&w, PV_MS(100));
    assert_int_equal(w.mapped, PORT);
    expect(&w, PV_MAPPER_WORKING, "");
}

PV_TEST(the_nonce_outlives_the_daemon)
{
    struct world w;
    uint8_t nonce[12];
    begin(&w);
    run(&w, PV_S(1));
    memcpy(nonce, w.last_nonce, 12);
    test_end(w.m);
    begin(&w);
    run(&w, PV_S(1));
    assert_memory_equal(w.last_nonce, nonce, 12);
}

PV_TEST(the_mapping_is_given_back_at_the_end)
{
    for (int upnp = 0; upnp < 2; upnp++) {
        struct world w;
        begin(&w);
        w.pcp = !upnp;
        w.upnp = upnp;
        run(&w, PV_S(8));
        assert_int_equal(w.mapped, PORT);
        pv_mapper_want(w.m, false, w.now);
        drain(&w); /* once, no time passes */
        assert_int_equal(w.mapped, 0);
        expect(&w, PV_MAPPER_OFF, NULL);
        test_end(w.m);
    }
}

PV_TEST(down_and_up_at_once_gives_back_by_the_old_protocol)
{
    struct world w;
    struct pv_job *job;
    begin(&w);
    w.pcp = false;
    w.upnp = true;
    run(&w, PV_S(8));
    pv_mapper_want(w.m, false, w.now);
    pv_mapper_want(w.m, true, w.now); /* PCP is asked again meanwhile */
    assert_int_equal(pv_jobqueue_poll(w.queue, &job), PV_OK);
    assert_true(job->u.portmap.release && job->u.portmap.protocol == PV_PORTMAPJOB_UPNP);
    job_runs(&w, job);
    run(&w, PV_S(8));
    expect(&w, PV_MAPPER_WORKING, "");
}

PV_TEST(a_port_that_is_taken_makes_it_ask_for_another)
{
    struct world w;
    begin(&w);
    w.pcp = false;
    w.upnp = true;
    w.conflicts = 2;
    run(&w, PV_S(10));
    expect(&w, PV_MAPPER_WORKING, "");
    assert_true(view(&w).external.port != PORT);
    test_end(w.m);
    begin(&w);
    w.pcp = false;
    w.upnp = true;
    w.conflicts = 100;
    run(&w, PV_S(10));
    expect(&w, PV_MAPPER_WAITING, NULL);
}

PV_TEST(a_renewal_without_answer_is_tried_again_until_it_ends)
{
    struct world w;
    begin(&w);
    w.pcp = false;
    w.natpmp = true;
    w.lifetime = 600;
    run(&w, PV_S(10));
    w.natpmp = false;
    run(&w, PV_S(400));
    expect(&w, PV_MAPPER_WORKING, "");
    w.natpmp = true; /* back in time */
    run(&w, PV_S(250));
    expect(&w, PV_MAPPER_WORKING, "");
    w.natpmp = false;
    w.mapped = 0;
    run(&w, PV_S(700));
    expect(&w, PV_MAPPER_WAITING, "NAT-PMP: no answer");
}

PV_TEST(a_result_that_comes_behind_another_router_changes_nothing)
{
    static const struct pv_addr other = {.family = PV_AF_INET, .ip = {192, 168, 1, 2}};
    const struct pv_portmapjob_result r = {.status = PV_OK, .external_port = 9, .lifetime = 100};
    struct world w;
    struct pv_mapper_transmit tx;
    struct pv_job *job = NULL;
    begin(&w);
    while (pv_jobqueue_poll(w.queue, &job) != PV_OK) { /* no PCP */
        w.now = pv_mapper_next_timeout(w.m);
        pv_mapper_handle_timeout(w.m, w.now);
        while (pv_mapper_poll_transmit(w.m, &tx) == PV_OK)
            continue;
    }
    pv_mapper_set_router(w.m, PV_AF_INET, &other, &LOCAL, w.now);
    answer(&w, job, &r);
    expect(&w, PV_MAPPER_ASKING, "PCP");
    assert_int_equal(view(&w).claimed.family, PV_AF_NONE);
}

PV_TEST(strangers_change_nothing)
{
    struct world w;
    uint8_t junk[60] = {2, 129}, restarted[24] = {2, 128};
    struct pv_addr from = LOCAL;
    begin(&w);
    run(&w, PV_S(30));
    unsigned asked = w.asked;
    from.port = 5351;
    pv_mapper_handle_router(w.m, &from, pv_view(restarted, 24), w.now);
    run(&w, PV_S(6));
    assert_int_equal(w.asked, asked); /* the router's own word makes it ask */
    from.port = 5351;
    pv_mapper_handle_router(w.m, &from, pv_view(junk, 60), w.now);
    from = ROUTER;
    from.port = 1900;
    pv_mapper_handle_router(w.m, &from, pv_view(junk, 60), w.now);
    for (size_t n = 0; n <= 60; n++) {
        from.port = 5351;
        pv_mapper_handle_router(w.m, &from, pv_view(junk, n), w.now);
    }
    assert_true(pv_mapper_handle_stun(w.m, &SERVER, pv_view(junk, 60), w.now) < 0);
    expect(&w, PV_MAPPER_WORKING, "");
}
