/* SPDX-License-Identifier: MIT */
/* The part that has the router map our port: whom it asks, by what, and when it gives it back. */
#include "daemon/core/nat/gatherer.h"
#include "daemon/core/nat/mapper.h"
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/path/mapper_part.h"
#include "proto/stun/stun.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_stunroute route;

static int start(void **state)
{
    struct pv_gatherer_config gc = {.udp_port = 51820};
    fake_peers_init(&x, &pv_part_mapper);
    gc.rng = x.f.node.rng;
    assert_int_equal(pv_gatherer_new(&x.f.node.ways.gatherer, &gc), PV_OK);
    memset(&route, 0, sizeof(route));
    x.f.node.ways.stunroute = &route;
    x.f.node.coord_info.servers[0] = pv_addr4(203, 0, 113, 5, 3478);
    x.f.node.coord_info.n_servers = 1;
    x.f.node.host.links[0] = (struct pv_link_addr){
        .up = true, .ifindex = 3, .addr = {.base = pv_addr4(10, 9, 9, 9, 0), .bits = 24}};
    x.f.node.host.links[1] = (struct pv_link_addr){
        .up = true, .ifindex = 2, .addr = {.base = pv_addr4(172, 16, 0, 2, 0), .bits = 24}};
    x.f.node.host.links[2] = (struct pv_link_addr){
        .up = true, .ifindex = 2, .addr = {.base = pv_addr4(192, 168, 1, 20, 0), .bits = 24}};
    x.f.node.host.n_links = 3;
    x.f.node.host.routers[0] =
        (struct pv_engine_router){.addr = pv_addr4(192, 168, 1, 1, 0), .ifindex = 2};
    fake_node_enter(&x.f);
    fake_node_start(&x.f);
    x.f.node.parts[0] = (struct pv_part_slot){.part = &pv_part_mapper, .self = x.f.self};
    x.f.node.n_parts = 1;
    fake_node_raise(&x.f, PV_FACT_LINKS | PV_FACT_SERVERS);
    return 0;
}

static int stop(void **state)
{
    struct pv_gatherer *g = x.f.node.ways.gatherer;
    x.f.node.n_parts = 0;
    fake_node_done(&x.f);
    pv_gatherer_free(g);
    return 0;
}

PV_TEST_WORLD(start, stop);

static enum pv_mapper_state state4(void)
{
    return pv_mapper_view(pv_mapper_of(&x.f.node), PV_AF_INET).state;
}

/* Every datagram is lost for so many tenths of a second. */
static void pass(unsigned tenths)
{
    struct pv_engine_transmit tx;
    for (unsigned i = 0; i < tenths; i++) {
        while (x.f.part->poll_transmit(x.f.self, &tx))
            continue;
        x.f.now += PV_MS(100);
        x.f.part->handle_timeout(x.f.self, x.f.now);
        fake_node_settle(&x.f);
    }
}

/* The router speaks no PCP: until it is asked by a job. */
static struct pv_job *expect_job(void)
{
    struct pv_job *job = NULL;
    for (int i = 0; i < 60 && job == NULL; i++) {
        pass(10);
        job = fake_node_job(&x.f);
    }
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_PORTMAP);
    return job;
}

/* The router maps the port, as it says itself. */
static void map_it(void)
{
    struct pv_job_result result = {.status = PV_OK};
    struct pv_job *job = expect_job();
    assert_int_equal(job->u.portmap.protocol, PV_PORTMAPJOB_NATPMP);
    result.portmap = (struct pv_portmapjob_result){
        .external = pv_addr4(198, 51, 100, 7, 0), .external_port = 51820, .lifetime = 3600};
    fake_node_answer(&x.f, job, &result);
}

PV_TEST(the_router_is_asked_from_the_address_on_its_link)
{
    struct pv_engine_transmit tx;
    assert_true(x.f.part->poll_transmit(x.f.self, &tx));
    assert_true(tx.router);
    const struct pv_addr router = pv_addr4(192, 168, 1, 1, 5351),
                         own = pv_addr4(192, 168, 1, 20, 0);
    assert_true(pv_addr_equal(&tx.dst, &router)); /* PCP, RFC 6887 s19 */
    assert_true(pv_addr_equal_ip(&tx.local, &own));
    assert_int_equal(state4(), PV_MAPPER_ASKING);
}

PV_TEST(nothing_is_asked_without_a_network_that_is_up)
{
    struct pv_engine_transmit tx;
    x.f.node.up = false;
    fake_node_settle(&x.f);
    pass(1000);
    assert_false(x.f.part->poll_transmit(x.f.self, &tx));
    assert_null(fake_node_job(&x.f));
    assert_int_equal(state4(), PV_MAPPER_OFF);
}

PV_TEST(a_router_that_speaks_no_pcp_is_asked_by_jobs_and_why_it_fails_is_shown)
{
    struct pv_job *job = expect_job();
    assert_int_equal(job->u.portmap.protocol, PV_PORTMAPJOB_NATPMP);
    assert_false(job->u.portmap.release);
    assert_int_equal(job->u.portmap.local.port, 51820);
    fake_node_answer(&x.f, job,
                     &(struct pv_job_result){.status = PV_ERR_REFUSED, .error = "no helper"});
    job = expect_job();
    assert_int_equal(job->u.portmap.protocol, PV_PORTMAPJOB_UPNP);
    fake_node_answer(&x.f, job,
                     &(struct pv_job_result){.status = PV_ERR_REFUSED, .error = "no helper"});
    assert_int_equal(state4(), PV_MAPPER_WAITING);
    const enum pv_statuspage_field field = PV_STATUS_PORT_MAPPINGS;
    assert_string_equal(fake_node_shown(&x.f, field, 0, "family"), "ipv4");
    assert_string_equal(fake_node_shown(&x.f, field, 0, "state"), "waiting");
    assert_non_null(strstr(fake_node_shown(&x.f, field, 0, "why"), "no helper"));
    assert_string_equal(fake_node_shown(&x.f, field, 1, "family"), "ipv6");
    assert_true(fake_node_has_metric(&x.f, "p2pvpn_port_mapped{family=\"ipv4\"} 0"));
}

/* Another network may have the same addresses, and the last one made it wait for up to an hour. */
PV_TEST(a_machine_that_wakes_asks_the_router_at_once)
{
    for (int i = 0; i < 2; i++)
        fake_node_answer(&x.f, expect_job(),
                         &(struct pv_job_result){.status = PV_ERR_REFUSED, .error = "no helper"});
    fake_node_raise(&x.f, PV_FACT_NAT_DOUBT);
    assert_int_equal(state4(), PV_MAPPER_WAITING);
    fake_node_raise(&x.f, PV_FACT_RESUMED);
    assert_int_equal(state4(), PV_MAPPER_ASKING);
}

/* A router's word counts only once the server got in through it. */
PV_TEST(a_mapping_is_proven_through_the_server)
{
    struct pv_engine_transmit tx;
    map_it();
    assert_int_equal(state4(), PV_MAPPER_CHECKING);
    assert_int_equal(x.f.node.ways.portmapped[0].family, PV_AF_NONE);
    x.f.part->handle_timeout(x.f.self, x.f.now);
    assert_true(x.f.part->poll_transmit(x.f.self, &tx));
    assert_false(tx.router);
    assert_true(pv_addr_equal(&tx.dst, &x.f.node.coord_info.servers[0]));
    assert_int_equal(pv_stunroute_owner(&route, tx.buf + PV_STUN_TXID_AT), PV_STUN_OWNER_MAPPER);
}

PV_TEST(stun_of_others_is_left_to_them)
{
    uint8_t msg[PV_STUN_HEADER_LEN] = {1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 9};
    const struct pv_carrier from = {.kind = PV_CARRIER_UDP,
                                    .remote = x.f.node.coord_info.servers[0]};
    assert_false(x.f.part->handle_stun(x.f.self, &from, pv_view(msg, sizeof(msg)), x.f.now));
    assert_false(x.f.part->handle_stun(x.f.self, &from, pv_view(msg, 8), x.f.now));
}

PV_TEST(a_mapped_port_is_given_back_at_the_end)
{
    map_it();
    x.f.part->on_stop(x.f.self, x.f.now);
    struct pv_job *job = fake_node_job(&x.f);
    assert_non_null(job);
    bool release = job->u.portmap.release;
    pv_job_free(job);
    assert_true(release);
}
