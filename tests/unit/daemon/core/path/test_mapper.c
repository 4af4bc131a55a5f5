/* SPDX-License-Identifier: MIT */
/* The part that has the router map our port: a router and a STUN server, and what became of what
 * they were asked. */
#include "base/bytes.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/path/mapper.h"
#include "proto/stun/portmap.h"
#include "proto/stun/stun.h"
#include "proto/stun/stunc.h"
#include "tests/unit/daemon/core/fake_node.h"

static const struct pv_addr ROUTER = {.family = PV_AF_INET, .ip = {192, 168, 1, 1}};
static const struct pv_addr LOCAL = {.family = PV_AF_INET, .ip = {192, 168, 1, 30}};
static const struct pv_addr SERVER = {.family = PV_AF_INET, .port = 3478, .ip = {198, 51, 100, 2}};
static const struct pv_addr OUTER = {.family = PV_AF_INET, .ip = {203, 0, 113, 7}};
static const struct pv_addr NOBODY = {.family = PV_AF_NONE};

enum {
    PORT = 40015
};

/* A router and a STUN server, and what became of what they were asked. */
static struct fake_node f;
static struct pv_stunroute route;

static struct {
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
    /* this node */
    struct pv_addr offered;
    bool changed; /* an address began or ceased to be offered */
} w;

static void settle_node(void)
{
    fake_node_settle(&f);
    w.changed |= !pv_addr_equal(&w.offered, &f.node.ways.portmapped[0]);
    w.offered = f.node.ways.portmapped[0];
}

static bool take_changed(void)
{
    bool changed = w.changed;
    w.changed = false;
    return changed;
}

static void raise(unsigned facts)
{
    pv_node_raise(&f.node, facts);
    settle_node();
}

/* The router of the default route, and our address on its link, if there are such. */
static void set_router(const struct pv_addr *router, const struct pv_addr *local)
{
    bool v6 = router->family == PV_AF_INET6;
    f.node.host.routers[v6] = (struct pv_engine_router){.addr = *router, .ifindex = 2};
    f.node.host.links[0] = (struct pv_link_addr){
        .up = true, .ifindex = 2, .addr = {.base = *local, .bits = v6 ? 64 : 24}};
    f.node.host.n_links = local->family != PV_AF_NONE;
    raise(PV_FACT_LINKS);
}

static void set_server(const struct pv_addr *server)
{
    f.node.coord_info.servers[0] = *server;
    f.node.coord_info.n_servers = 1;
    raise(PV_FACT_SERVERS);
}

static void set_up(bool up)
{
    f.node.up = up;
    settle_node();
}

/* Ends the node that there was. */
static void begin_as(bool off)
{
    if (f.node.ways.gatherer != NULL)
        fake_node_end_gatherer(&f);
    memset(&w, 0, sizeof(w));
    memset(&route, 0, sizeof(route));
    w.pcp = w.forwards = true;
    w.claims = OUTER;
    w.born = PV_S(10);
    w.lifetime = 3600;
    fake_node_init(&f, &pv_part_mapper);
    f.node.given.udp_port = PORT;
    f.node.ways.stunroute = &route;
    f.cfg.portmap_off = off;
    fake_node_enter(&f);
    fake_node_gather(&f);
    fake_node_start(&f);
    set_server(&SERVER);
    set_router(&ROUTER, &LOCAL);
}

static void begin(void)
{
    begin_as(false);
}

void test_before_each(void)
{
    begin();
}

static struct pv_mapper_view view(void)
{
    return pv_mapper_view(&f.node, PV_AF_INET);
}

/* A datagram from the router, or who seems to be. */
static void from_router(const struct pv_addr *ip, uint16_t port, const uint8_t *d, size_t len)
{
    struct pv_addr from = *ip;
    from.port = port;
    pv_mapper_handle_router(&f.node, &from, pv_view(d, len), f.now);
    settle_node();
}

static bool from_server(const struct pv_addr *server, const uint8_t *d, size_t len)
{
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = *server};
    return f.part->handle_stun(f.self, &from, pv_view(d, len), f.now);
}

static void router_answers(const struct pv_engine_transmit *tx)
{
    uint8_t a[60];
    bool release = pv_load_be32(tx->buf + 4) == 0;
    assert_int_equal(tx->len, 60);
    assert_true(pv_addr_equal_ip(&tx->local, &LOCAL));
    memcpy(w.last_nonce, tx->buf + 24, 12);
    w.asked += release ? 0 : 1;
    w.released += release ? 1 : 0;
    if (!w.pcp)
        return;
    memcpy(a, tx->buf, 60);
    a[1] |= 0x80;
    a[3] = w.refuses;
    pv_store_be32(a + 4, release ? 0 : w.lifetime);
    pv_store_be32(a + 8, (uint32_t)((f.now - w.born) / PV_S(1)));
    memset(a + 12, 0, 12);
    if (w.refuses == 0)
        w.mapped = release ? 0 : pv_load_be16(a + 42);
    memcpy(a + 56, w.claims.ip, 4);
    from_router(&ROUTER, 5351, a, 60);
}

static void server_answers(const struct pv_engine_transmit *tx)
{
    struct pv_stun_msg msg;
    struct pv_stun_writer out;
    struct pv_addr seen = OUTER, from = SERVER;
    uint8_t buf[128];
    uint32_t change = 0, port = 0;
    size_t len;
    assert_ok(pv_stun_decode(pv_view(tx->buf, tx->len), &msg));
    bool probe = pv_stun_get_u32(&msg, PV_STUN_ATTR_CHANGE_REQUEST, &change) == PV_OK;
    seen.port = 1234;
    if (w.server_away)
        return;
    bool refused = probe && (w.no_second || (change & PV_STUNC_CHANGE_IP) != 0);
    pv_stun_write_answer(&out, buf, sizeof(buf), refused ? PV_STUN_ERROR : PV_STUN_SUCCESS, &msg);
    if (refused)
        pv_stun_put_error(&out, PV_STUN_E_UNKNOWN_ATTRIBUTE, "");
    else
        pv_stun_put_xor_addr(&out, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &seen);
    assert_ok(pv_stun_write_end(&out, &len));
    if (probe && !refused) {
        w.probes++;
        assert_ok(pv_stun_get_u32(&msg, PV_STUN_ATTR_RESPONSE_PORT, &port));
        from.port++;
        if (!w.forwards || port >> 16 != w.mapped || (w.forwards_other && w.mapped == PORT))
            return;
    }
    assert_true(from_server(&from, buf, len));
}

/* The job ends like this; it is freed. */
static void answer(struct pv_job *job, const struct pv_portmapjob_result *r)
{
    struct pv_job_result result = {.portmap = *r};
    fake_node_answer(&f, job, &result);
    settle_node();
}

static void job_runs(struct pv_job *asked)
{
    const struct pv_portmapjob *job = &asked->u.portmap;
    struct pv_portmapjob_result r = {.status = PV_OK, .external = w.claims};
    bool upnp = job->protocol == PV_PORTMAPJOB_UPNP;
    w.jobs++;
    assert_true(pv_addr_equal_ip(&job->router, &ROUTER));
    assert_int_equal(job->local.port, PORT);
    if (upnp ? !w.upnp : !w.natpmp)
        r.status = PV_ERR_TIMEOUT;
    else if (w.job_status != PV_OK)
        r.status = w.job_status;
    else if (job->release)
        w.mapped = 0, w.released++;
    else if (w.conflicts > 0 && w.conflicts--)
        r.status = PV_ERR_EXISTS;
    else
        w.mapped = r.external_port = job->external_port;
    r.lifetime = w.lifetime;
    r.epoch = (uint32_t)((f.now - w.born) / PV_S(1));
    if (upnp)
        memcpy(r.url, "http://192.168.1.1:5000/d.xml", 30);
    answer(asked, &r);
}

static void drain(void)
{
    for (bool any = true; any;) {
        struct pv_engine_transmit tx;
        struct pv_job *job;
        any = false;
        settle_node();
        while (f.part->poll_transmit(f.self, &tx)) {
            any = true;
            if (tx.router)
                router_answers(&tx);
            else
                server_answers(&tx);
        }
        while ((job = fake_node_job(&f)) != NULL) {
            any = true;
            job_runs(job);
        }
    }
}

/* Lets that much time pass. */
static void run(pv_ns duration)
{
    pv_ns until = f.now + duration;
    drain();
    while (f.part->next_timeout(f.self) <= until) {
        f.now = f.part->next_timeout(f.self) > f.now ? f.part->next_timeout(f.self) : f.now;
        f.part->handle_timeout(f.self, f.now);
        drain();
    }
    f.now = until;
}

static void expect(enum pv_mapper_state state, const char *why)
{
    struct pv_mapper_view v = view();
    if (v.state != state || (why != NULL && strstr(v.why, why) == NULL))
        fail_msg("%d, \"%s\"; not %d, \"%s\"", v.state, v.why, state, why == NULL ? "" : why);
    assert_int_equal(v.external.family == PV_AF_NONE, state != PV_MAPPER_WORKING);
}

/* That much later. */
static void after(pv_ns duration, enum pv_mapper_state state, const char *why)
{
    run(duration);
    expect(state, why);
}

/* --- what is asked, and in which order ------------------------------------------------------- */

PV_TEST(pcp_is_asked_first_and_its_mapping_is_proven)
{
    expect(PV_MAPPER_ASKING, "PCP");
    after(PV_MS(10), PV_MAPPER_WORKING, "");
    struct pv_addr want = OUTER;
    want.port = PORT;
    struct pv_mapper_view v = view();
    assert_true(pv_addr_equal(&v.external, &want));
    assert_int_equal(v.protocol, PV_MAPPER_PCP);
    assert_true(v.expires == f.now - PV_MS(10) + PV_S(3600));
    assert_true(take_changed());
    assert_false(take_changed());
    assert_int_equal(w.jobs, 0);
    run(PV_S(20000)); /* it stays so, renewed and proven again and again */
    expect(PV_MAPPER_WORKING, "");
    assert_false(take_changed());
    assert_int_equal(w.released, 0);
    assert_true(w.asked >= 8 && w.asked <= 14);
    assert_true(w.probes > 200);
}

PV_TEST(natpmp_and_upnp_have_their_turn)
{
    for (int i = 0; i < 2; i++) {
        begin();
        w.pcp = false;
        w.natpmp = i == 0;
        w.upnp = i == 1;
        after(PV_S(6), PV_MAPPER_WORKING, "");
        assert_int_equal(view().protocol, i == 0 ? PV_MAPPER_NATPMP : PV_MAPPER_UPNP);
        assert_int_equal(w.jobs, (unsigned)(1 + i));
        run(PV_S(10000)); /* renewed at half life */
        expect(PV_MAPPER_WORKING, "");
        assert_true(w.jobs >= 5 + (unsigned)i && w.jobs <= 8);
    }
}

PV_TEST(a_router_that_opens_nothing_is_asked_less_and_less)
{
    w.pcp = false;
    after(PV_S(10), PV_MAPPER_WAITING, "PCP: no answer; NAT-PMP: no answer; UPnP: no answer");
    run(PV_S(100));
    unsigned early = w.jobs;
    assert_true(early >= 4 && early <= 10);
    run(PV_S(24 * 3600));
    unsigned before = w.jobs;
    run(PV_S(24 * 3600));
    assert_true(w.jobs - before <= 50);
    w.upnp = true; /* the network changed: at once, not in an hour */
    set_router(&ROUTER, &LOCAL);
    after(PV_S(6), PV_MAPPER_WORKING, "");
}

PV_TEST(a_refusal_is_respected_for_its_lifetime)
{
    w.refuses = PV_PORTMAP_NOT_AUTHORIZED;
    w.lifetime = 600;
    after(PV_S(500), PV_MAPPER_WAITING, "PCP: it does not allow it");
    assert_int_equal(w.asked, 1); /* RFC 6887 s8.3 */
    run(PV_S(120));
    assert_int_equal(w.asked, 2);
}

PV_TEST(the_router_is_asked_from_the_address_on_its_link)
{
    struct pv_engine_transmit tx;
    f.node.host.links[0] = (struct pv_link_addr){
        .up = true, .ifindex = 3, .addr = {.base = pv_addr4(10, 9, 9, 9, 0), .bits = 24}};
    f.node.host.links[1] = (struct pv_link_addr){
        .up = true, .ifindex = 2, .addr = {.base = pv_addr4(172, 16, 0, 2, 0), .bits = 24}};
    f.node.host.links[2] = (struct pv_link_addr){
        .up = true, .ifindex = 2, .addr = {.base = pv_addr4(192, 168, 1, 20, 0), .bits = 24}};
    f.node.host.n_links = 3;
    raise(PV_FACT_LINKS);
    assert_true(f.part->poll_transmit(f.self, &tx));
    const struct pv_addr router = pv_addr4(192, 168, 1, 1, 5351),
                         own = pv_addr4(192, 168, 1, 20, 0);
    assert_true(tx.router && pv_addr_equal(&tx.dst, &router)); /* PCP, RFC 6887 s19 */
    assert_true(pv_addr_equal_ip(&tx.local, &own));
}

PV_TEST(why_no_port_is_mapped_is_shown)
{
    const enum pv_statuspage_field field = PV_STATUS_PORT_MAPPINGS;
    w.pcp = false;
    run(PV_S(10));
    assert_string_equal(fake_node_shown(&f, field, 0, "family"), "ipv4");
    assert_string_equal(fake_node_shown(&f, field, 0, "state"), "waiting");
    assert_has(fake_node_shown(&f, field, 0, "why"), "UPnP: no answer");
    assert_string_equal(fake_node_shown(&f, field, 1, "family"), "ipv6");
    assert_true(fake_node_has_metric(&f, "p2pvpn_port_mapped{family=\"ipv4\"} 0"));
    /* Another network may have the same addresses, and the last one made it wait. */
    raise(PV_FACT_NAT_DOUBT);
    expect(PV_MAPPER_WAITING, NULL);
    raise(PV_FACT_RESUMED);
    expect(PV_MAPPER_ASKING, NULL);
}

PV_TEST(it_is_asked_only_where_it_helps)
{
    struct pv_addr public_local = OUTER;
    run(PV_S(1));
    set_router(&ROUTER, &public_local);
    expect(PV_MAPPER_OFF, "not needed: our address is public");
    set_router(&NOBODY, &LOCAL);
    expect(PV_MAPPER_OFF, "no default route");
    set_router(&ROUTER, &NOBODY);
    expect(PV_MAPPER_OFF, "no address of ours");
    set_up(false);
    expect(PV_MAPPER_OFF, "not in a network");
    assert_true(f.part->next_timeout(f.self) == PV_NEVER);
    begin_as(true);
    expect(PV_MAPPER_OFF, "switched off");
}

PV_TEST(ipv6_gets_a_pinhole_by_pcp_alone)
{
    static const uint8_t router6[16] = {0xfe, 0x80, [15] = 1};
    static const uint8_t local6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
    static const uint8_t ula[16] = {0xfd, 1, [15] = 5};
    static const uint8_t server6[16] = {0x20, 0x01, 0x0d, 0xb8, 1, [15] = 2};
    struct pv_addr r = pv_addr6(router6, 0), l = pv_addr6(local6, 0), s = pv_addr6(server6, 3478);
    struct pv_addr u = pv_addr6(ula, 0);
    struct pv_engine_transmit tx;
    set_router(&NOBODY, &NOBODY);
    set_server(&s);
    set_router(&r, &u);
    assert_int_equal(pv_mapper_view(&f.node, PV_AF_INET6).state, PV_MAPPER_OFF);
    set_router(&r, &l);
    assert_true(f.part->poll_transmit(f.self, &tx));
    assert_true(tx.router && pv_addr_equal_ip(&tx.dst, &r) && pv_addr_equal_ip(&tx.local, &l));
    assert_memory_equal(tx.buf + 8, local6, 16);
    while (pv_mapper_view(&f.node, PV_AF_INET6).state == PV_MAPPER_ASKING) { /* nobody answers */
        f.part->handle_timeout(f.self, f.part->next_timeout(f.self));
        while (f.part->poll_transmit(f.self, &tx))
            continue;
    }
    assert_int_equal(pv_mapper_view(&f.node, PV_AF_INET6).state, PV_MAPPER_WAITING);
    assert_null(fake_node_job(&f));
}

/* --- the router's word is a claim ------------------------------------------------------------ */

PV_TEST(a_mapping_that_does_not_work_is_made_anew_then_elsewhere_then_given_up)
{
    w.forwards = false;
    after(PV_S(60), PV_MAPPER_WAITING, "nothing comes in through it");
    assert_false(take_changed()); /* it never was a candidate */
    assert_int_equal(w.asked, 3);
    assert_true(w.released >= 3);
    unsigned asked = w.asked;
    run(PV_S(1700));
    assert_int_equal(w.asked, asked); /* half an hour of peace */
    w.forwards = true;
    after(PV_S(300), PV_MAPPER_WORKING, "");
}

PV_TEST(another_port_may_work)
{
    w.forwards_other = true;
    after(PV_S(60), PV_MAPPER_WORKING, "");
    assert_true(view().external.port != PORT && view().external.port >= 20000);
}

PV_TEST(behind_another_nat_it_is_given_up_at_once)
{
    w.claims = pv_addr4(100, 64, 3, 9, 0);
    w.forwards = false;
    after(PV_S(20), PV_MAPPER_WAITING, "another NAT stands behind the router");
    assert_int_equal(w.asked, 1);
    assert_int_equal(w.mapped, 0); /* and given back */
}

PV_TEST(a_private_claim_that_works_is_offered_as_the_world_sees_it)
{
    w.claims = pv_addr4(100, 64, 3, 9, 0); /* the outer NAT lets everything in */
    after(PV_S(2), PV_MAPPER_WORKING, "");
    assert_memory_equal(view().external.ip, OUTER.ip, 4);
}

PV_TEST(a_mapping_that_is_forgotten_is_healed)
{
    for (int upnp = 0; upnp < 2; upnp++) {
        begin();
        w.pcp = !upnp;
        w.upnp = upnp;
        after(PV_S(8), PV_MAPPER_WORKING, "");
        assert_true(take_changed());
        w.mapped = 0; /* without a word */
        after(PV_S(110), PV_MAPPER_WORKING, "");
        assert_true(take_changed());
        assert_int_equal(w.mapped, PORT);
    }
}

PV_TEST(a_failure_of_a_path_makes_it_look_at_once)
{
    run(PV_S(10));
    w.mapped = 0;
    raise(PV_FACT_NAT_DOUBT);
    run(PV_S(10));
    assert_int_equal(w.mapped, PORT);
    unsigned probes = w.probes;
    for (int i = 0; i < 100; i++) /* not more often than every 5 s */
        raise(PV_FACT_NAT_DOUBT);
    run(PV_MS(100));
    assert_true(w.probes <= probes + 1);
}

PV_TEST(a_server_that_is_away_proves_nothing)
{
    run(PV_S(2));
    assert_true(take_changed());
    w.server_away = true;
    after(PV_S(3600), PV_MAPPER_WORKING, ""); /* what worked is still offered */
    assert_false(take_changed());
    w.server_away = false;
    w.mapped = 0;
    w.pcp = false;
    run(PV_S(120));
    assert_true(view().state != PV_MAPPER_WORKING);
    begin();
    w.server_away = true;
    after(PV_S(20), PV_MAPPER_CHECKING, "does not answer");
    w.server_away = false;
    after(PV_S(60), PV_MAPPER_WORKING, "");
    begin();
    w.no_second = true;
    after(PV_S(20), PV_MAPPER_CHECKING, "no second port");
}

/* --- changes --------------------------------------------------------------------------------- */

PV_TEST(a_restarted_router_gets_it_again)
{
    uint8_t announce[24] = {2, 128};
    begin();
    run(PV_S(30));
    w.mapped = 0;
    w.born = f.now;
    from_router(&ROUTER, 5351, announce, 24);
    run(PV_S(6)); /* RFC 6887 s14.1.3: within 5 s */
    assert_int_equal(w.mapped, PORT);
    expect(PV_MAPPER_WORKING, "");
}

PV_TEST(a_natpmp_router_that_restarts_gets_it_again)
{
    uint8_t announce[12] = {0, 128, [8] = 203, 0, 113, 7};
    begin();
    w.pcp = false;
    w.natpmp = true;
    after(PV_S(30), PV_MAPPER_WORKING, "");
    w.mapped = 0;
    w.born = f.now;
    from_router(&ROUTER, 5351, announce, 12);
    run(PV_S(1));
    assert_int_equal(w.mapped, PORT);
}

PV_TEST(another_network_begins_anew)
{
    struct pv_addr other = ROUTER;
    uint8_t nonce[12];
    begin();
    run(PV_S(2));
    assert_true(take_changed());
    memcpy(nonce, w.last_nonce, 12);
    other.ip[3] = 254;
    set_router(&other, &LOCAL);
    expect(PV_MAPPER_ASKING, NULL);
    assert_true(take_changed());
    struct pv_engine_transmit tx;
    assert_true(f.part->poll_transmit(f.self, &tx));
    assert_true(pv_addr_equal_ip(&tx.dst, &other));
    assert_memory_not_equal(tx.buf + 24, nonce, 12); /* RFC 6887 s11.2: another for each server */
}

PV_TEST(the_same_addresses_may_be_another_network)
{
    run(PV_S(10));
    w.mapped = 0;
    set_router(&ROUTER, &LOCAL);
    run(PV_MS(100));
    assert_int_equal(w.mapped, PORT);
    expect(PV_MAPPER_WORKING, "");
}

PV_TEST(the_nonce_outlives_the_daemon)
{
    uint8_t nonce[12];
    begin();
    run(PV_S(1));
    memcpy(nonce, w.last_nonce, 12);
    begin();
    run(PV_S(1));
    assert_memory_equal(w.last_nonce, nonce, 12);
}

PV_TEST(the_mapping_is_given_back_at_the_end)
{
    for (int i = 0; i < 4; i++) {
        begin();
        w.pcp = i % 2 == 0;
        w.upnp = i % 2 == 1;
        run(PV_S(8));
        assert_int_equal(w.mapped, PORT);
        if (i < 2)
            set_up(false);
        else
            f.part->on_stop(f.self, f.now);
        drain(); /* once, no time passes */
        assert_int_equal(w.mapped, 0);
        expect(PV_MAPPER_OFF, NULL);
    }
}

PV_TEST(down_and_up_at_once_gives_back_by_the_old_protocol)
{
    struct pv_job *job;
    w.pcp = false;
    w.upnp = true;
    run(PV_S(8));
    set_up(false);
    set_up(true); /* PCP is asked again meanwhile */
    job = fake_node_job(&f);
    assert_non_null(job);
    assert_true(job->u.portmap.release && job->u.portmap.protocol == PV_PORTMAPJOB_UPNP);
    job_runs(job);
    after(PV_S(8), PV_MAPPER_WORKING, "");
}

PV_TEST(a_port_that_is_taken_makes_it_ask_for_another)
{
    w.pcp = false;
    w.upnp = true;
    w.conflicts = 2;
    after(PV_S(10), PV_MAPPER_WORKING, "");
    assert_true(view().external.port != PORT);
    begin();
    w.pcp = false;
    w.upnp = true;
    w.conflicts = 100;
    after(PV_S(10), PV_MAPPER_WAITING, NULL);
}

PV_TEST(a_renewal_without_answer_is_tried_again_until_it_ends)
{
    w.pcp = false;
    w.natpmp = true;
    w.lifetime = 600;
    run(PV_S(10));
    w.natpmp = false;
    after(PV_S(400), PV_MAPPER_WORKING, "");
    w.natpmp = true; /* back in time */
    after(PV_S(250), PV_MAPPER_WORKING, "");
    w.natpmp = false;
    w.mapped = 0;
    after(PV_S(700), PV_MAPPER_WAITING, "NAT-PMP: no answer");
}

PV_TEST(a_result_that_comes_behind_another_router_changes_nothing)
{
    static const struct pv_addr other = {.family = PV_AF_INET, .ip = {192, 168, 1, 2}};
    const struct pv_portmapjob_result r = {.status = PV_OK, .external_port = 9, .lifetime = 100};
    struct pv_engine_transmit tx;
    struct pv_job *job = NULL;
    while ((job = fake_node_job(&f)) == NULL) { /* no PCP */
        f.now = f.part->next_timeout(f.self);
        f.part->handle_timeout(f.self, f.now);
        while (f.part->poll_transmit(f.self, &tx))
            continue;
    }
    set_router(&other, &LOCAL);
    answer(job, &r);
    expect(PV_MAPPER_ASKING, "PCP");
    assert_int_equal(view().claimed.family, PV_AF_NONE);
}

PV_TEST(strangers_change_nothing)
{
    uint8_t junk[60] = {2, 129}, restarted[24] = {2, 128};
    begin();
    run(PV_S(30));
    unsigned asked = w.asked;
    from_router(&LOCAL, 5351, restarted, 24);
    run(PV_S(6));
    assert_int_equal(w.asked, asked); /* the router's own word makes it ask */
    from_router(&LOCAL, 5351, junk, 60);
    from_router(&ROUTER, 1900, junk, 60);
    for (size_t n = 0; n <= 60; n++)
        from_router(&ROUTER, 5351, junk, n);
    assert_false(from_server(&SERVER, junk, 60)); /* STUN of others is left to them */
    assert_false(from_server(&SERVER, junk, 8));
    expect(PV_MAPPER_WORKING, "");
}
