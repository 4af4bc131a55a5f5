/* SPDX-License-Identifier: MIT */
/* The part that finds this node's own addresses and keeps the list of them: all kinds, whole each
 * time. */
#include "daemon/core/nat/stunroute.h"
#include "daemon/core/path/gatherer.h"
#include "proto/stun/stun.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers x;
static struct pv_stunroute route;
static bool has_news;

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_gatherer);
    memset(&route, 0, sizeof(route));
    has_news = false;
    x.f.node.ways.stunroute = &route;
    x.f.cfg.has_udp6 = true;
    fake_node_enter(&x.f);
    fake_node_start(&x.f);
}

void test_after_each(void)
{
    fake_node_done(&x.f);
}

/* --- the machine, its servers and its NAT ----------------------------------------------------- */

static struct pv_link_addr link_of(const char *ifname, const char *ip)
{
    struct pv_link_addr l = {.up = true, .ifindex = 2, .addr = {.bits = 24}};
    snprintf(l.ifname, sizeof(l.ifname), "%s", ifname);
    l.addr.base = test_ip(ip);
    return l;
}

static void note_news(void)
{
    has_news = has_news || (x.f.node.facts & PV_FACT_MOVED) != 0;
    x.f.node.facts &= ~(unsigned)PV_FACT_MOVED;
}

/* The fact would be gone with the next settling, so it is noted before and after. */
static void heed(void)
{
    note_news();
    fake_node_settle(&x.f);
    note_news();
}

static void have_links(const struct pv_link_addr *links, size_t n)
{
    memcpy(x.f.node.host.links, links, n * sizeof(*links));
    x.f.node.host.n_links = n;
    fake_node_raise(&x.f, PV_FACT_LINKS);
    heed();
}

/* This machine has these two addresses, of eth0 and eth1; NULL: none. */
static void set_links(const char *first, const char *second)
{
    struct pv_link_addr links[2];
    size_t n = 0;
    if (first != NULL)
        links[n++] = link_of("eth0", first);
    if (second != NULL)
        links[n++] = link_of("eth1", second);
    have_links(links, n);
}

/* Have the addresses of this machine, or what its NAT shows, become others since this was asked? */
static bool has_moved(void)
{
    heed();
    bool was = has_news;
    has_news = false;
    return was;
}

static const struct pv_ice_cand *at(size_t i)
{
    heed();
    assert_true(i < x.f.node.ways.n_locals);
    return &x.f.node.ways.locals[i];
}

static size_t count(void)
{
    heed();
    return x.f.node.ways.n_locals;
}

/* The candidate with this address and port; NULL: it is not in the list. */
static const struct pv_ice_cand *listed(const char *text)
{
    struct pv_addr want = test_addr(text);
    for (size_t i = 0; i < x.f.node.ways.n_locals; i++) {
        if (pv_addr_equal(&x.f.node.ways.locals[i].addr, &want))
            return &x.f.node.ways.locals[i];
    }
    return NULL;
}

static void name_stun_server(struct pv_stun_server server)
{
    pv_part_free(x.f.part, x.f.self);
    x.f.cfg.stun = server;
    fake_node_start(&x.f);
}

static void set_server(void)
{
    x.f.node.coord_info.servers[0] = pv_addr4(203, 0, 113, 5, 3478);
    x.f.node.coord_info.n_servers = 1;
    fake_node_raise(&x.f, PV_FACT_SERVERS);
    x.f.part->handle_timeout(x.f.self, x.f.now);
}

/* A machine with these addresses, which knows where it can ask for its public one. */
static void begin_at(const char *first, const char *second)
{
    set_links(first, second);
    set_server();
}

/* The answer to this request, from the server, which sees it come from mapped. */
static bool answer_to(const struct pv_engine_transmit *tx, const char *mapped,
                      enum pv_carrier_kind kind, bool of_ours)
{
    struct pv_stun_msg msg;
    struct pv_stun_writer w;
    uint8_t buf[128], txid[PV_STUN_TXID_LEN];
    size_t len;
    struct pv_addr addr = test_addr(mapped);
    const struct pv_carrier from = {.kind = kind, .remote = tx->dst};
    assert_ok(pv_stun_decode(pv_view(tx->buf, tx->len), &msg));
    memcpy(txid, msg.txid, sizeof(txid));
    txid[0] ^= of_ours ? 0 : 1;
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_SUCCESS, msg.method, txid);
    pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &addr);
    assert_ok(pv_stun_write_end(&w, &len));
    return x.f.part->handle_stun(x.f.self, &from, pv_view(buf, len), x.f.now);
}

/* The request that waits is answered so. */
static bool answer(const char *mapped, enum pv_carrier_kind kind, bool of_ours)
{
    struct pv_engine_transmit tx;
    assert_true(x.f.part->poll_transmit(x.f.self, &tx));
    return answer_to(&tx, mapped, kind, of_ours);
}

/* All requests that are due now are answered so; how many there were. */
static unsigned answer_all(const char *mapped)
{
    struct pv_engine_transmit tx;
    unsigned n = 0;
    x.f.part->handle_timeout(x.f.self, x.f.now);
    for (; x.f.part->poll_transmit(x.f.self, &tx); n++)
        assert_true(answer_to(&tx, mapped, PV_CARRIER_UDP, true));
    return n;
}

static pv_ns unanswered(uint16_t family)
{
    return pv_gatherer_unanswered(x.f.node.ways.gatherer, family);
}

/* --- own addresses ---------------------------------------------------------------------------- */

PV_TEST(addresses_of_the_machine_are_listed_and_told)
{
    x.f.node.host.n_links = 1;
    x.f.node.host.links[0] = (struct pv_link_addr){
        .up = true, .ifindex = 2, .addr = {.base = pv_addr4(192, 168, 1, 20, 0), .bits = 24}};
    x.f.part->on_facts(x.f.self, PV_FACT_LINKS, x.f.now);
    x.f.part->run(x.f.self, x.f.now);
    assert_true((x.f.node.facts & PV_FACT_CANDIDATES) != 0);
    assert_true((x.f.node.facts & PV_FACT_MOVED) != 0);
    assert_non_null(listed("192.168.1.20:51820"));
    x.f.node.facts = 0;
    x.f.part->on_facts(x.f.self, PV_FACT_LINKS, x.f.now); /* the same again */
    x.f.part->run(x.f.self, x.f.now);
    assert_int_equal(x.f.node.facts, 0);
    x.f.node.host.links[0].addr.base = pv_addr4(192, 168, 1, 21, 0);
    x.f.part->on_facts(x.f.self, PV_FACT_LINKS, x.f.now);
    assert_true((x.f.node.facts & PV_FACT_ADDRESS_GONE) != 0);
}

PV_TEST(addresses_of_the_overlay_are_no_candidates)
{
    set_links("192.168.1.20", "10.66.5.1"); /* the network has 10.66.0.0/16 */
    assert_non_null(listed("192.168.1.20:51820"));
    assert_null(listed("10.66.5.1:51820"));
    struct pv_roster *roster = x.f.node.roster;
    x.f.node.roster = NULL;
    fake_node_raise(&x.f, PV_FACT_NETWORK); /* it was left: the address is as any other */
    x.f.node.roster = roster;
    assert_non_null(listed("10.66.5.1:51820"));
}

PV_TEST(hosts_are_offered_and_what_the_server_sees_of_them)
{
    set_links("192.168.1.20", "2001:db8::7");
    assert_true(has_moved());
    set_server();
    assert_int_equal(answer_all("198.51.100.7:40015"), 1); /* no IPv6 server: one request */
    assert_true(has_moved());
    assert_false(has_moved());
    assert_int_equal(count(), 4); /* the last: the kept port, a guess */
    assert_int_equal(at(0)->type, PV_ICE_HOST);
    assert_int_equal(at(0)->addr.family, PV_AF_INET6); /* public before private */
    assert_int_equal(at(1)->addr.port, 51820);
    assert_int_equal(at(2)->type, PV_ICE_SRFLX);
    assert_int_equal(at(2)->base, 1);
    assert_int_equal(at(2)->addr.port, 40015);
    assert_true(at(0)->priority > at(1)->priority && at(1)->priority > at(2)->priority);
}

PV_TEST(an_address_that_cannot_be_reached_is_never_offered)
{
    struct pv_link_addr links[] = {
        link_of("lo", "127.0.0.1"),      link_of("eth0", "169.254.3.4"),
        link_of("eth0", "fe80::1"),      link_of("pv0", "10.77.0.1"),
        link_of("other", "10.66.9.9"),   link_of("eth1", "192.168.7.7"),
        link_of("eth0", "192.168.1.20"),
    };
    links[0].loopback = true;
    links[5].up = false;
    have_links(links, PV_ARRAY_LEN(links));
    assert_int_equal(count(), 1);
    assert_non_null(listed("192.168.1.20:51820"));
}

/* In a LAN with the network's range the way to the internet leads by its router all the same. */
PV_TEST(the_source_on_the_way_out_is_a_base_in_the_overlays_range_too)
{
    struct pv_link_addr link = link_of("eth0", "10.66.0.55");
    have_links(&link, 1);
    assert_int_equal(count(), 0);
    link.way_out = link.source = true;
    have_links(&link, 1);
    assert_non_null(listed("10.66.0.55:51820"));
}

/* The first has IPv4 behind a NAT and nine global addresses of IPv6. */
PV_TEST(a_family_is_offered_however_many_addresses_the_other_has)
{
    struct pv_link_addr links[10];
    for (unsigned i = 0; i < 10; i++) {
        links[i] = link_of("eth0", PV_STR("2001:db8::%x", i + 1));
        links[i].addr.bits = 64;
    }
    links[9] = link_of("eth0", "10.0.0.5");
    links[9].way_out = links[9].source = true;
    have_links(links, PV_ARRAY_LEN(links));
    assert_non_null(listed("10.0.0.5:51820"));
    assert_non_null(listed("[2001:db8::1]:51820"));
    assert_int_equal(count(), PV_GATHERER_MAX_BASES);
    struct pv_statuspage st = {0};
    x.f.part->status(x.f.self, &st, x.f.now);
    assert_int_equal(st.s.left_out, 2);
}

/* A hypervisor with ten VLANs, whose uplink was made last: the server sees that one alone. */
PV_TEST(the_address_on_the_way_out_is_offered_and_asked_for_first)
{
    struct pv_link_addr links[12];
    for (unsigned i = 0; i < 10; i++) {
        links[i] = link_of(PV_STR("vlan%u", i), PV_STR("172.16.%u.1", i));
        links[i].ifindex = 10 + i;
    }
    links[10] = link_of("up0", "192.168.9.9");
    links[11] = link_of("up0", "192.168.9.10");
    links[11].way_out = links[10].way_out = true;
    links[11].source = true;
    have_links(links, PV_ARRAY_LEN(links));
    assert_true(at(0)->addr.ip[3] == 10);
    assert_non_null(listed("172.16.0.1:51820"));
}

PV_TEST(another_tunnel_is_offered_only_when_nothing_else_is_there)
{
    struct pv_link_addr links[] = {link_of("wg0", "10.9.0.1"), link_of("eth0", "192.168.1.20")};
    links[0].tunnel = true;
    have_links(links, 2);
    assert_int_equal(count(), 1);
    assert_int_equal(at(0)->addr.ip[0], 192);
    have_links(links, 1);
    assert_int_equal(count(), 1);
    assert_int_equal(at(0)->addr.ip[0], 10);
}

/* A VPN that takes everything: what leaves from the other address gets no answer any more, and what
 * the server saw of that is gone at once. */
PV_TEST(a_tunnel_that_leads_out_is_offered_and_ends_what_was_seen_elsewhere)
{
    struct pv_link_addr links[] = {link_of("wg0", "10.9.0.1"), link_of("eth0", "192.168.1.20")};
    struct pv_engine_transmit tx;
    links[0].tunnel = links[1].way_out = true;
    have_links(links, 2);
    set_server();
    assert_int_equal(answer_all("198.51.100.7:40015"), 1);
    assert_int_equal(count(), 3);
    assert_true(has_moved());

    links[0].way_out = true;
    links[1].way_out = false;
    have_links(links, 2);
    assert_true(has_moved());
    assert_int_equal(count(), 2);
    assert_int_equal(at(0)->addr.ip[0], 192); /* for the LAN */
    assert_int_equal(at(1)->addr.ip[0], 10);
    x.f.part->handle_timeout(x.f.self, x.f.now);
    assert_true(x.f.part->poll_transmit(x.f.self, &tx)); /* lost */
    assert_int_equal(tx.local.ip[0], 192);
    assert_int_equal(answer_all("198.51.100.99:51820"), 1);
    assert_int_equal(unanswered(PV_AF_INET), PV_NEVER); /* UDP gets through */
    assert_int_equal(count(), 3);
    assert_int_equal(at(2)->addr.ip[3], 99);

    have_links(links + 1, 1); /* the VPN ends */
    assert_int_equal(answer_all("198.51.100.7:40015"), 1);
    assert_int_equal(count(), 3);
}

PV_TEST(another_socket_takes_the_place_of_the_main_one_for_ipv4)
{
    struct pv_engine_transmit tx;
    begin_at("192.168.1.20", "2001:db8::7");
    assert_int_equal(answer_all("198.51.100.7:40015"), 1);
    assert_true(has_moved());
    pv_gatherer_set_socket(x.f.node.ways.gatherer, 9, 50000, x.f.now);
    assert_true(has_moved());
    assert_int_equal(count(), 2); /* what was seen was the other socket's */
    assert_int_equal(at(0)->addr.family, PV_AF_INET6);
    assert_int_equal(at(0)->carrier.sock, 0);
    assert_int_equal(at(1)->addr.port, 50000);
    assert_int_equal(at(1)->carrier.sock, 9);
    x.f.part->handle_timeout(x.f.self, x.f.now);
    assert_true(x.f.part->poll_transmit(x.f.self, &tx));
    assert_int_equal(tx.sock, 9);
}

PV_TEST(an_address_that_a_router_maps_is_offered_before_what_the_server_sees)
{
    struct pv_gatherer *g = x.f.node.ways.gatherer;
    struct pv_addr mapped = test_addr("198.51.100.7:41641"), local = test_ip("192.168.1.20");
    const struct pv_addr none = {.family = PV_AF_NONE}, elsewhere = test_ip("192.168.1.99");
    begin_at("192.168.1.20", NULL);
    (void)answer_all("198.51.100.7:1111");
    assert_true(has_moved());
    pv_gatherer_set_mapped(g, &local, &mapped);
    assert_true(has_moved());
    assert_int_equal(count(), 4);
    assert_int_equal(at(1)->type, PV_ICE_SRFLX);
    assert_int_equal(at(1)->base, 0);
    assert_true(pv_addr_equal(&at(1)->addr, &mapped));
    assert_true(pv_addr_equal_ip(&at(1)->carrier.local, &local));
    assert_true(at(0)->priority > at(1)->priority && at(1)->priority > at(2)->priority);
    pv_gatherer_set_mapped(g, &local, &mapped);
    assert_false(has_moved()); /* no news */
    mapped.port = 1111;        /* the NAT shows the server the same: once is enough */
    pv_gatherer_set_mapped(g, &local, &mapped);
    assert_int_equal(count(), 3);
    pv_gatherer_set_mapped(g, &elsewhere, &mapped); /* for an address that is gone */
    assert_int_equal(count(), 3);
    (void)has_moved();
    pv_gatherer_set_mapped(g, &local, &none);
    assert_true(has_moved());
    assert_int_equal(count(), 3);
}

/* --- what servers see ------------------------------------------------------------------------- */

/* A cable that leads nowhere says nothing of the server that answers through the other. */
PV_TEST(a_server_owes_an_answer_when_no_address_gets_one)
{
    struct pv_engine_transmit tx;
    set_links("192.168.1.20", "192.168.2.7");
    assert_true(unanswered(PV_AF_INET) == PV_NEVER);
    set_server();
    const pv_ns begun = x.f.now;
    assert_true(unanswered(PV_AF_INET) == begun);
    assert_true(unanswered(PV_AF_INET6) == PV_NEVER);
    assert_true(x.f.part->poll_transmit(x.f.self, &tx)); /* lost */
    assert_int_equal(answer_all("198.51.100.1:41000"), 1);
    fake_node_wait(&x.f, PV_S(14));
    assert_true(unanswered(PV_AF_INET) == PV_NEVER);
    fake_node_wait(&x.f, PV_S(13));
    assert_true(unanswered(PV_AF_INET) == begun + PV_GATHERER_REFRESH);
}

PV_TEST(a_public_address_has_no_reflexive_twin)
{
    begin_at("198.51.100.7", NULL);
    assert_int_equal(answer_all("198.51.100.7:51820"), 1);
    assert_int_equal(count(), 1);
}

PV_TEST(a_server_is_asked_every_25_s_and_a_changed_mapping_told)
{
    begin_at("192.168.1.20", NULL);
    (void)answer_all("198.51.100.7:1111");
    assert_true(has_moved());
    assert_int_equal(x.f.part->next_timeout(x.f.self), x.f.now + PV_GATHERER_REFRESH);
    x.f.now += PV_GATHERER_REFRESH;
    assert_int_equal(answer_all("198.51.100.7:1111"), 1);
    assert_false(has_moved());
    x.f.now += PV_GATHERER_REFRESH;
    assert_int_equal(answer_all("198.51.100.7:2222"), 1);
    assert_true(has_moved());
}

PV_TEST(a_silent_server_keeps_the_old_mapping_and_is_asked_again)
{
    struct pv_engine_transmit tx;
    unsigned sent = 0;
    begin_at("192.168.1.20", NULL);
    (void)answer_all("198.51.100.7:1111");
    assert_true(has_moved());
    for (const pv_ns end = x.f.now + PV_S(120);
         x.f.part->next_timeout(x.f.self) <= end && sent < 100;) {
        x.f.now = x.f.part->next_timeout(x.f.self);
        x.f.part->handle_timeout(x.f.self, x.f.now);
        while (x.f.part->poll_transmit(x.f.self, &tx))
            sent++;
    }
    assert_in_range(sent, 10, 25); /* three to five rounds of five, then a minute between rounds */
    assert_int_equal(count(), 3);
    assert_false(has_moved());
}

PV_TEST(each_address_asks_for_itself_and_a_vanished_one_is_forgotten)
{
    begin_at("192.168.1.20", "10.0.0.5");
    assert_int_equal(answer_all("198.51.100.7:1111"), 2);
    assert_int_equal(count(), 4); /* one mapping seen twice is one candidate */
    assert_true(has_moved());
    set_links("192.168.1.20", NULL);
    assert_true(has_moved());
    assert_int_equal(count(), 3);
    set_links("192.168.1.20", NULL);
    assert_false(has_moved());
}

PV_TEST(a_changed_port_is_offered_together_with_the_kept_one)
{
    const struct pv_addr kept = test_addr("198.51.100.7:51820");
    begin_at("192.168.1.20", NULL);
    (void)answer_all("198.51.100.7:1111");
    assert_int_equal(count(), 3);
    assert_int_equal(at(1)->addr.port, 1111);
    assert_true(pv_addr_equal(&at(2)->addr, &kept));
    assert_true(at(1)->priority > at(2)->priority);
    x.f.now += PV_S(2);
    pv_gatherer_refresh(x.f.node.ways.gatherer, x.f.now);
    (void)answer_all("198.51.100.7:51820"); /* it keeps the port: nothing to guess */
    assert_int_equal(count(), 2);
}

PV_TEST(another_service_at_the_server_tells_the_address_as_well)
{
    struct pv_gatherer *g = x.f.node.ways.gatherer;
    const struct pv_addr elsewhere = test_addr("203.0.113.6:3478");
    const struct pv_addr mapped = test_addr("198.51.100.7:40015");
    const struct pv_addr other = test_addr("198.51.100.7:9");
    assert_false(x.f.node.ways.gathering);
    begin_at("192.168.1.20", "192.168.2.20");
    const struct pv_addr server = x.f.node.coord_info.servers[0];
    pv_gatherer_note_mapped(g, &server, &mapped); /* which of the two addresses? */
    assert_int_equal(count(), 2);
    assert_true(x.f.node.ways.gathering);
    set_links("192.168.1.20", NULL);
    assert_true(has_moved());
    pv_gatherer_note_mapped(g, &elsewhere, &mapped);
    assert_false(has_moved());
    pv_gatherer_note_mapped(g, &server, &mapped);
    assert_true(has_moved());
    assert_int_equal(count(), 3);
    assert_false(x.f.node.ways.gathering);
    assert_true(pv_addr_equal(&at(1)->addr, &mapped));
    pv_gatherer_note_mapped(g, &server, &other); /* what is known is the server's own word */
    assert_false(has_moved());
}

PV_TEST(a_private_answer_of_a_public_server_shows_that_something_hides_addresses)
{
    x.f.node.online = true;
    x.f.node.coord_info.addr = test_addr("203.0.113.5:3478");
    begin_at("192.168.1.20", NULL);
    (void)answer_all("192.168.1.1:4000"); /* in this LAN, behind the router's own forward */
    assert_null(pv_candidates_hidden_as(&x.f.node));
    x.f.now += PV_S(2);
    pv_gatherer_refresh(x.f.node.ways.gatherer, x.f.now);
    (void)answer_all("172.17.0.1:4000");
    assert_non_null(pv_candidates_hidden_as(&x.f.node));
    x.f.now += PV_S(2);
    pv_gatherer_refresh(x.f.node.ways.gatherer, x.f.now);
    (void)answer_all("198.51.100.7:4000");
    assert_null(pv_candidates_hidden_as(&x.f.node));
}

PV_TEST(a_question_too_soon_is_asked_a_little_later)
{
    begin_at("192.168.1.20", NULL);
    assert_int_equal(answer_all("198.51.100.7:40015"), 1);
    const pv_ns asked = x.f.now;
    x.f.now += PV_MS(100);
    pv_gatherer_refresh(x.f.node.ways.gatherer, x.f.now);
    assert_int_equal(answer_all("198.51.100.7:40015"), 0);
    assert_int_equal(x.f.part->next_timeout(x.f.self), asked + PV_MS(500));
    x.f.now = asked + PV_MS(500);
    assert_int_equal(answer_all("198.51.100.7:40015"), 1);
}

PV_TEST(an_address_that_a_server_sees_is_a_candidate)
{
    begin_at("192.168.1.20", NULL);
    heed();
    assert_true(x.f.node.ways.gathering);
    assert_true(answer("198.51.100.7:40000", PV_CARRIER_UDP, true));
    assert_true((x.f.node.facts & PV_FACT_HEARD) != 0);
    heed();
    const struct pv_ice_cand *c = listed("198.51.100.7:40000");
    assert_non_null(c);
    assert_int_equal(c->type, PV_ICE_SRFLX);
    assert_int_equal(fake_node_status(&x.f)->s.n_public,
                     2); /* that, and the guess of a kept port */
}

/* A coordinator at home sees no public address. Silence of the server that the user named leaves no
 * address at all, so the coordinator is asked then. */
PV_TEST(a_stun_server_that_the_user_names_is_asked_before_the_coordinator)
{
    const struct pv_addr at = pv_addr4(198, 51, 100, 9, 3478);
    struct pv_engine_transmit tx;
    name_stun_server((struct pv_stun_server){.host = "stun.example", .port = 3478});
    begin_at("192.168.1.20", NULL);
    assert_true(x.f.part->poll_transmit(x.f.self, &tx));
    assert_true(pv_addr_equal(&tx.dst, &x.f.node.coord_info.servers[0]));
    x.f.node.online = true;
    x.f.node.coord_info.addr = pv_addr4(192, 168, 1, 3, 3478);
    assert_true(pv_candidates_are_unseen(&x.f.node));
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    struct pv_job *job = fake_node_job(&x.f);
    assert_int_equal(job->kind, PV_JOB_RESOLVE);
    assert_string_equal(job->u.resolve.host, "stun.example");
    fake_node_answer(&x.f, job, &(struct pv_job_result){.addrs = {at}, .n_addrs = 1});
    x.f.part->handle_timeout(x.f.self, x.f.now);
    assert_true(x.f.part->poll_transmit(x.f.self, &tx));
    assert_true(pv_addr_equal(&tx.dst, &at));
    while (x.f.part->poll_transmit(x.f.self, &tx))
        continue;
    fake_node_wait(&x.f, PV_S(6));
    assert_true(x.f.part->poll_transmit(x.f.self, &tx));
    assert_true(pv_addr_equal(&tx.dst, &x.f.node.coord_info.servers[0]));
    fake_node_show_problems(&x.f);
    fake_node_wait(&x.f, PV_S(601)); /* it may be back */
    job = fake_node_job(&x.f);
    assert_non_null(job);
    fake_node_answer(&x.f, job, &(struct pv_job_result){.status = PV_ERR_NOT_FOUND});
    assert_true(fake_node_has_problem(&x.f, "is not found: correct the name"));
}

/* Are both of these servers asked now? All requests that wait go nowhere. */
static bool asks_both(const struct pv_addr *first, const struct pv_addr *second)
{
    struct pv_engine_transmit tx;
    bool found[2] = {false, false};
    x.f.part->handle_timeout(x.f.self, x.f.now);
    while (x.f.part->poll_transmit(x.f.self, &tx)) {
        found[0] = found[0] || pv_addr_equal(&tx.dst, first);
        found[1] = found[1] || pv_addr_equal(&tx.dst, second);
    }
    return found[0] && found[1];
}

static bool asks(const struct pv_addr *server)
{
    return asks_both(server, server);
}

/* The user named a server, which has these addresses. */
static void find_server(const struct pv_addr *addrs, size_t n)
{
    struct pv_job_result found = {.n_addrs = n};
    struct pv_job *job = fake_node_job(&x.f);
    assert_non_null(job);
    memcpy(found.addrs, addrs, n * sizeof(*addrs));
    fake_node_answer(&x.f, job, &found);
    x.f.part->handle_timeout(x.f.self, x.f.now);
}

static const char silence[] = "the STUN server stun.example of [traversal] stun does not answer";

PV_TEST(a_stun_server_that_dies_later_is_replaced_and_looked_up_again)
{
    const struct pv_addr at = pv_addr4(198, 51, 100, 9, 3478), moved = pv_addr4(192, 0, 2, 9, 3478);
    const struct pv_addr *coord = &x.f.node.coord_info.servers[0];
    name_stun_server((struct pv_stun_server){.host = "stun.example", .port = 3478});
    begin_at("192.168.1.20", NULL);
    assert_true(asks(coord));
    x.f.node.online = true;
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_node_wait(&x.f, PV_S(1));
    find_server(&at, 1);
    assert_true(answer("198.51.100.7:40000", PV_CARRIER_UDP, true));
    fake_node_wait(&x.f, PV_GATHERER_REFRESH - PV_S(1));
    assert_false(asks(coord));
    fake_node_wait(&x.f, PV_S(2));
    assert_true(answer("198.51.100.7:40000", PV_CARRIER_UDP, true)); /* it lives */
    fake_node_wait(&x.f, PV_GATHERER_REFRESH + PV_S(4));
    assert_true(asks(&at));
    assert_false(fake_node_has_problem(&x.f, silence));
    fake_node_wait(&x.f, PV_S(2));
    assert_true(asks(coord));
    assert_true(fake_node_has_problem(&x.f, silence));
    fake_node_wait(&x.f, PV_S(31));
    find_server(&moved, 1);
    assert_true(asks(&moved));
    assert_false(fake_node_has_problem(&x.f, silence));
}

PV_TEST(a_stun_server_that_answers_in_one_family_may_be_silent_in_the_other)
{
    const struct pv_addr at[] = {pv_addr4(198, 51, 100, 9, 3478),
                                 {.family = PV_AF_INET6, .ip = {0x20, 1, 0xd, 0xb8}, .port = 3478}};
    name_stun_server((struct pv_stun_server){.host = "stun.example", .port = 3478});
    begin_at("2001:db8::20", "192.168.1.20");
    (void)asks(&at[0]);
    x.f.node.online = true;
    fake_node_raise(&x.f, PV_FACT_ONLINE);
    fake_node_wait(&x.f, PV_S(1));
    find_server(at, 2);
    assert_true(answer("[2001:db8::20]:51820", PV_CARRIER_UDP, true)); /* the first address asks */
    fake_node_wait(&x.f, PV_S(6));
    assert_true(asks_both(&x.f.node.coord_info.servers[0], &at[1]));
    assert_true(fake_node_has_problem(&x.f, silence));
}

/* DNS64 shows the prefix (RFC 7050); servers with IPv4 are asked by it, since what they see is what
 * peers with IPv4 have to know. */
PV_TEST(a_host_with_ipv6_alone_finds_the_way_to_ipv4)
{
    const struct pv_addr plain = pv_addr4(192, 0, 0, 170, 0), made = test_ip("64:ff9b::c000:aa");
    const struct pv_addr server = test_addr("[64:ff9b::cb00:7105]:3478");
    x.f.cfg.has_udp6 = true;
    name_stun_server((struct pv_stun_server){.host = ""});
    set_links("2001:db8::20", NULL);
    struct pv_job *job = fake_node_job(&x.f);
    assert_string_equal(job->u.resolve.host, "ipv4only.arpa");
    set_links("2001:db8::21", NULL); /* another network: what is under way is of the former one */
    fake_node_answer(&x.f, job, &(struct pv_job_result){.addrs = {made}, .n_addrs = 1});
    assert_int_equal(x.f.node.ways.nat64.base.family, PV_AF_NONE);
    job = fake_node_job(&x.f); /* an answer that would lead to this machine or its link is none */
    fake_node_answer(&x.f, job,
                     &(struct pv_job_result){.addrs = {test_ip("::ffff:c000:aa"),
                                                       test_ip("fe80::c000:aa"), plain, made},
                                             .n_addrs = 4});
    assert_int_equal(x.f.node.ways.nat64.bits, 96);
    set_server();
    assert_true(asks(&server));
    fake_node_wait(&x.f, PV_MS(100)); /* it is asked again */
    assert_true(answer("198.51.100.7:40000", PV_CARRIER_UDP, true));
    heed();
    const struct pv_ice_cand *c = listed("198.51.100.7:40000");
    assert_non_null(c);
    assert_int_equal(c->carrier.local.family, PV_AF_INET6);
    fake_node_raise(&x.f, PV_FACT_RESUMED);
    job = fake_node_job(&x.f); /* no DNS64 any more */
    fake_node_answer(&x.f, job, &(struct pv_job_result){.addrs = {plain}, .n_addrs = 1});
    assert_int_equal(x.f.node.ways.nat64.base.family, PV_AF_NONE);
    set_links("2001:db8::21", "192.168.1.20");
    assert_null(fake_node_job(&x.f)); /* who has IPv4 asks nobody */
}

PV_TEST(answers_of_others_are_left_to_them)
{
    begin_at("192.168.1.20", NULL);
    assert_false(answer("198.51.100.7:40000", PV_CARRIER_UDP, false));
    heed();
    assert_null(listed("198.51.100.7:40000"));
}

PV_TEST(an_answer_through_a_relay_says_nothing_of_our_nat)
{
    begin_at("192.168.1.20", NULL);
    assert_true(answer("198.51.100.7:40000", PV_CARRIER_CHANNEL, true));
    heed();
    assert_null(listed("198.51.100.7:40000"));
}

PV_TEST(an_address_that_peers_see_stands_in_below_everything_else)
{
    set_links("192.168.1.20", NULL);
    x.f.node.ways.told[0] = (struct pv_told){.peer = 1,
                                             .local = pv_addr4(192, 168, 1, 20, 0),
                                             .mapped = pv_addr4(198, 51, 100, 7, 40000)};
    x.f.node.ways.told[1] =
        (struct pv_told){.peer = 2, /* of an address that is not here any more */
                         .local = pv_addr4(192, 168, 9, 9, 0),
                         .mapped = pv_addr4(198, 51, 100, 8, 40000)};
    fake_node_raise(&x.f, PV_FACT_TOLD);
    const struct pv_ice_cand *c = listed("198.51.100.7:40000");
    assert_non_null(c);
    assert_int_equal(c->type, PV_ICE_SRFLX);
    assert_true(c->priority < listed("192.168.1.20:51820")->priority);
    assert_null(listed("198.51.100.8:40000"));
    size_t n = x.f.node.ways.n_locals;
    x.f.node.ways.told[1] = x.f.node.ways.told[0];
    x.f.node.ways.told[1].peer = 2; /* two peers see the same: it is listed once */
    fake_node_raise(&x.f, PV_FACT_TOLD);
    assert_int_equal(x.f.node.ways.n_locals, n);
}

PV_TEST(a_machine_without_addresses_is_told_so)
{
    /* Nobody has looked yet. */
    x.f.node.host.is_known = false;
    assert_int_equal(fake_node_status(&x.f)->n_problems, 0);
    x.f.node.host.is_known = true;
    assert_true(fake_node_has_problem(&x.f, "this machine has no network"));
    set_links("192.168.1.20", NULL);
    assert_int_equal(fake_node_status(&x.f)->n_problems, 0);
    set_links(NULL, NULL);
    assert_int_equal(x.f.node.ways.n_locals, 0);
    assert_true(fake_node_has_problem(&x.f, "this machine has no network"));
    x.f.node.up = false;
    assert_int_equal(fake_node_status(&x.f)->n_problems, 0);
}
