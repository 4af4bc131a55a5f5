/* SPDX-License-Identifier: MIT */
#include "daemon/core/nat/gatherer.h"
#include "proto/stun/stun.h"
#include "tests/unit/test_util.h"

static struct test_rng seed;

static void free_gatherer(void *ctx)
{
    pv_gatherer_free(ctx);
}

static struct pv_gatherer *make(void)
{
    struct pv_gatherer *g;
    struct pv_gatherer_config cfg = {
        .rng = test_rng_make(&seed, 7), .udp_port = 40000, .has_udp6 = true, .own_tun = "p2p0"};
    assert_int_equal(pv_gatherer_new(&g, &cfg), PV_OK);
    test_defer(free_gatherer, g);
    return g;
}

static struct pv_link_addr link_of(const char *ifname, const char *prefix)
{
    struct pv_link_addr l = {.up = true, .ifindex = 2};
    strncpy(l.ifname, ifname, sizeof(l.ifname) - 1);
    char ip[PV_ADDR_TEXT];
    strncpy(ip, prefix, sizeof(ip) - 1);
    ip[sizeof(ip) - 1] = '\0';
    l.addr.base = test_ip(ip);
    l.addr.bits = 24;
    return l;
}

static struct pv_addr endpoint(const char *text)
{
    struct pv_addr a = test_addr(text);
    return a;
}

/* Answers every request that is due as a NAT that shows public_ip, from the server. */
static unsigned answer_all(struct pv_gatherer *g, const char *mapped, pv_ns now)
{
    struct pv_gatherer_transmit tx;
    unsigned n = 0;
    while (pv_gatherer_poll_transmit(g, &tx) == PV_OK) {
        struct pv_stun_msg msg;
        assert_int_equal(pv_stun_decode(pv_view(tx.buf, tx.len), &msg), PV_OK);
        uint8_t buf[128];
        size_t len;
        struct pv_stun_writer w;
        struct pv_addr m = endpoint(mapped);
        pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_SUCCESS, msg.method, msg.txid);
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &m);
        assert_int_equal(pv_stun_write_end(&w, &len), PV_OK);
        assert_int_equal(pv_gatherer_handle_input(g, &tx.dst, pv_view(buf, len), now), PV_OK);
        n++;
    }
    return n;
}

/* A cable that leads nowhere says nothing of the server that answers through the other. */
PV_TEST(a_server_owes_an_answer_when_no_address_gets_one)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    struct pv_gatherer_transmit tx;
    pv_gatherer_set_servers(g, &server, 1, 1);
    struct pv_link_addr links[] = {link_of("eth0", "192.168.1.20"), link_of("eth1", "192.168.2.7")};
    (void)pv_gatherer_set_links(g, links, 2, 1);
    assert_true(pv_gatherer_unanswered(g, PV_AF_INET) == PV_NEVER);
    pv_gatherer_handle_timeout(g, PV_S(1));
    assert_true(pv_gatherer_unanswered(g, PV_AF_INET) == PV_S(1));
    assert_true(pv_gatherer_unanswered(g, PV_AF_INET6) == PV_NEVER);
    assert_int_equal(pv_gatherer_poll_transmit(g, &tx), PV_OK); /* lost */
    assert_int_equal(answer_all(g, "198.51.100.1:41000", PV_S(1)), 1);
    pv_gatherer_handle_timeout(g, PV_S(15));
    assert_true(pv_gatherer_unanswered(g, PV_AF_INET) == PV_NEVER);
    pv_gatherer_handle_timeout(g, PV_S(26));
    pv_gatherer_handle_timeout(g, PV_S(28));
    assert_true(pv_gatherer_unanswered(g, PV_AF_INET) == PV_S(26));
}

PV_TEST(offers_hosts_and_what_the_server_sees)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    pv_gatherer_set_servers(g, &server, 1, 1);
    struct pv_link_addr links[] = {link_of("eth0", "192.168.1.20"), link_of("eth0", "2001:db8::7")};
    (void)pv_gatherer_set_links(g, links, 2, 1);
    assert_true(pv_gatherer_take_changed(g));
    pv_gatherer_handle_timeout(g, 1);
    assert_int_equal(answer_all(g, "198.51.100.7:40015", 2), 1); /* no IPv6 server: one request */
    assert_true(pv_gatherer_take_changed(g));
    assert_false(pv_gatherer_take_changed(g));

    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    assert_int_equal(pv_gatherer_candidates(g, c), 4); /* the last: the kept port, a guess */
    assert_int_equal(c[0].type, PV_ICE_HOST);
    assert_int_equal(c[0].addr.family, PV_AF_INET6); /* public before private */
    assert_int_equal(c[1].addr.port, 40000);
    assert_int_equal(c[2].type, PV_ICE_SRFLX);
    assert_int_equal(c[2].base, 1);
    assert_int_equal(c[2].addr.port, 40015);
    assert_true(c[0].priority > c[1].priority && c[1].priority > c[2].priority);
}

PV_TEST(never_offers_what_cannot_be_reached)
{
    struct pv_gatherer *g = make();
    struct pv_prefix overlay = test_prefix("10.66.0.0/16");
    pv_gatherer_set_exclude(g, &overlay, 1, 1);
    struct pv_link_addr links[] = {
        link_of("lo", "127.0.0.1"),      link_of("eth0", "169.254.3.4"),
        link_of("eth0", "fe80::1"),      link_of("p2p0", "10.77.0.1"),
        link_of("other", "10.66.9.9"),   link_of("eth1", "192.168.7.7"),
        link_of("eth0", "192.168.1.20"),
    };
    links[0].loopback = true;
    links[5].up = false;
    (void)pv_gatherer_set_links(g, links, PV_ARRAY_LEN(links), 1);
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    assert_int_equal(pv_gatherer_candidates(g, c), 1);
    struct pv_addr want = endpoint("192.168.1.20:40000");
    assert_true(pv_addr_equal(&c[0].addr, &want));
}

PV_TEST(other_tunnels_only_when_nothing_else_is_there)
{
    struct pv_gatherer *g = make();
    struct pv_link_addr links[] = {link_of("wg0", "10.9.0.1"), link_of("eth0", "192.168.1.20")};
    links[0].tunnel = true;
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    (void)pv_gatherer_set_links(g, links, 2, 1);
    assert_int_equal(pv_gatherer_candidates(g, c), 1);
    assert_int_equal(c[0].addr.ip[0], 192);
    (void)pv_gatherer_set_links(g, links, 1, 2);
    assert_int_equal(pv_gatherer_candidates(g, c), 1);
    assert_int_equal(c[0].addr.ip[0], 10);
}

/* A VPN that takes everything: what leaves from the other address gets no answer any more, and what
 * the server saw of that is gone at once. */
PV_TEST(a_tunnel_that_leads_out_is_offered_and_ends_what_was_seen_elsewhere)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    struct pv_link_addr links[] = {link_of("wg0", "10.9.0.1"), link_of("eth0", "192.168.1.20")};
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    links[0].tunnel = links[1].way_out = true;
    (void)pv_gatherer_set_links(g, links, 2, 1);
    pv_gatherer_set_servers(g, &server, 1, 1);
    pv_gatherer_handle_timeout(g, 1);
    assert_int_equal(answer_all(g, "198.51.100.7:40015", 2), 1);
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
    assert_true(pv_gatherer_take_changed(g));

    links[0].way_out = true;
    links[1].way_out = false;
    assert_false(pv_gatherer_set_links(g, links, 2, 3));
    assert_true(pv_gatherer_take_changed(g));
    assert_int_equal(pv_gatherer_candidates(g, c), 2);
    assert_int_equal(c[0].addr.ip[0], 192); /* for the LAN */
    assert_int_equal(c[1].addr.ip[0], 10);
    pv_gatherer_handle_timeout(g, 3);
    struct pv_gatherer_transmit tx;
    assert_int_equal(pv_gatherer_poll_transmit(g, &tx), PV_OK); /* lost */
    assert_int_equal(tx.local.ip[0], 192);
    assert_int_equal(answer_all(g, "198.51.100.99:40000", 4), 1);
    assert_int_equal(pv_gatherer_unanswered(g, PV_AF_INET), PV_NEVER); /* UDP gets through */
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
    assert_int_equal(c[2].addr.ip[3], 99);

    (void)pv_gatherer_set_links(g, links + 1, 1, 5); /* the VPN ends */
    pv_gatherer_handle_timeout(g, 5);
    assert_int_equal(answer_all(g, "198.51.100.7:40015", 6), 1);
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
}

PV_TEST(a_public_address_has_no_reflexive_twin)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    struct pv_link_addr l = link_of("eth0", "198.51.100.7");
    (void)pv_gatherer_set_links(g, &l, 1, 1);
    pv_gatherer_set_servers(g, &server, 1, 1);
    pv_gatherer_handle_timeout(g, 1);
    assert_int_equal(answer_all(g, "198.51.100.7:40000", 2), 1);
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    assert_int_equal(pv_gatherer_candidates(g, c), 1);
}

PV_TEST(refreshes_every_25_s_and_tells_a_changed_mapping)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    struct pv_link_addr l = link_of("eth0", "192.168.1.20");
    (void)pv_gatherer_set_links(g, &l, 1, 1);
    pv_gatherer_set_servers(g, &server, 1, 1);
    pv_gatherer_handle_timeout(g, 1);
    answer_all(g, "198.51.100.7:1111", 2);
    assert_true(pv_gatherer_take_changed(g));
    assert_int_equal(pv_gatherer_next_timeout(g), 2 + PV_GATHERER_REFRESH);
    pv_ns now = 2 + PV_GATHERER_REFRESH;
    pv_gatherer_handle_timeout(g, now);
    assert_int_equal(answer_all(g, "198.51.100.7:1111", now), 1);
    assert_false(pv_gatherer_take_changed(g));
    now += PV_GATHERER_REFRESH;
    pv_gatherer_handle_timeout(g, now);
    assert_int_equal(answer_all(g, "198.51.100.7:2222", now), 1);
    assert_true(pv_gatherer_take_changed(g));
}

PV_TEST(a_silent_server_keeps_the_old_mapping_and_is_asked_again)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    struct pv_link_addr l = link_of("eth0", "192.168.1.20");
    (void)pv_gatherer_set_links(g, &l, 1, 1);
    pv_gatherer_set_servers(g, &server, 1, 1);
    pv_gatherer_handle_timeout(g, 1);
    answer_all(g, "198.51.100.7:1111", 2);
    assert_true(pv_gatherer_take_changed(g));
    unsigned sent = 0;
    for (unsigned i = 0; i < 100; i++) {
        pv_ns now = pv_gatherer_next_timeout(g);
        if (now > PV_S(120))
            break;
        pv_gatherer_handle_timeout(g, now);
        struct pv_gatherer_transmit tx;
        while (pv_gatherer_poll_transmit(g, &tx) == PV_OK)
            sent++;
    }
    assert_in_range(sent, 10, 25); /* three to five rounds of five, then a minute between rounds */
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
    assert_false(pv_gatherer_take_changed(g));
}

PV_TEST(each_address_asks_for_itself_and_a_vanished_one_is_forgotten)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    pv_gatherer_set_servers(g, &server, 1, 1);
    struct pv_link_addr links[] = {link_of("eth0", "192.168.1.20"), link_of("wlan0", "10.0.0.5")};
    (void)pv_gatherer_set_links(g, links, 2, 1);
    pv_gatherer_handle_timeout(g, 1);
    assert_int_equal(answer_all(g, "198.51.100.7:1111", 2), 2);
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    assert_int_equal(pv_gatherer_candidates(g, c), 4); /* one mapping seen twice is one candidate */
    assert_true(pv_gatherer_take_changed(g));
    (void)pv_gatherer_set_links(g, links, 1, 3);
    assert_true(pv_gatherer_take_changed(g));
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
    (void)pv_gatherer_set_links(g, links, 1, 4);
    assert_false(pv_gatherer_take_changed(g));
}

PV_TEST(a_changed_port_is_offered_together_with_the_kept_one)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    struct pv_link_addr l = link_of("eth0", "192.168.1.20");
    struct pv_addr kept = endpoint("198.51.100.7:40000");
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    pv_gatherer_set_links(g, &l, 1, 1);
    pv_gatherer_set_servers(g, &server, 1, 1);
    pv_gatherer_handle_timeout(g, 1);
    answer_all(g, "198.51.100.7:1111", 2);
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
    assert_int_equal(c[1].addr.port, 1111);
    assert_true(pv_addr_equal(&c[2].addr, &kept));
    assert_true(c[1].priority > c[2].priority);
    pv_gatherer_refresh(g, PV_S(2));
    pv_gatherer_handle_timeout(g, PV_S(2));
    answer_all(g, "198.51.100.7:40000", PV_S(2)); /* it keeps the port: nothing to guess */
    assert_int_equal(pv_gatherer_candidates(g, c), 2);
}

PV_TEST(another_service_at_the_server_tells_the_address_as_well)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478"), elsewhere = endpoint("203.0.113.6:3478");
    struct pv_addr mapped = endpoint("198.51.100.7:40015"), other = endpoint("198.51.100.7:9");
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    assert_false(pv_gatherer_is_asking(g));
    pv_gatherer_set_servers(g, &server, 1, 1);
    struct pv_link_addr links[] = {link_of("eth0", "192.168.1.20"),
                                   link_of("eth1", "192.168.2.20")};
    (void)pv_gatherer_set_links(g, links, 2, 1);
    assert_true(pv_gatherer_is_asking(g));
    pv_gatherer_note_mapped(g, &server, &mapped); /* which of the two addresses? */
    assert_int_equal(pv_gatherer_candidates(g, c), 2);
    (void)pv_gatherer_set_links(g, links, 1, 1);
    assert_true(pv_gatherer_take_changed(g));
    pv_gatherer_note_mapped(g, &elsewhere, &mapped);
    assert_false(pv_gatherer_take_changed(g));
    pv_gatherer_note_mapped(g, &server, &mapped);
    assert_true(pv_gatherer_take_changed(g));
    assert_false(pv_gatherer_is_asking(g));
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
    assert_true(pv_addr_equal(&c[1].addr, &mapped));
    pv_gatherer_note_mapped(g, &server, &other); /* what is known is the server's own word */
    assert_false(pv_gatherer_take_changed(g));
}

PV_TEST(a_question_too_soon_is_asked_a_little_later)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    pv_ns now = PV_S(9);
    pv_gatherer_set_servers(g, &server, 1, now);
    struct pv_link_addr link = link_of("eth0", "192.168.1.20");
    (void)pv_gatherer_set_links(g, &link, 1, now);
    pv_gatherer_handle_timeout(g, now);
    assert_int_equal(answer_all(g, "198.51.100.7:40015", now), 1);
    pv_gatherer_refresh(g, now + PV_MS(100));
    pv_gatherer_handle_timeout(g, now + PV_MS(100));
    assert_int_equal(answer_all(g, "198.51.100.7:40015", now + PV_MS(100)), 0);
    assert_int_equal(pv_gatherer_next_timeout(g), now + PV_MS(500));
    pv_gatherer_handle_timeout(g, now + PV_MS(500));
    assert_int_equal(answer_all(g, "198.51.100.7:40015", now + PV_MS(500)), 1);
}

PV_TEST(an_address_that_a_router_maps_is_offered_before_what_the_server_sees)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    struct pv_link_addr l = link_of("eth0", "192.168.1.20");
    struct pv_addr mapped = endpoint("198.51.100.7:41641"), local = l.addr.base;
    struct pv_addr none = {.family = PV_AF_NONE}, elsewhere = endpoint("192.168.1.99:0");
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    pv_gatherer_set_links(g, &l, 1, 1);
    pv_gatherer_set_servers(g, &server, 1, 1);
    pv_gatherer_handle_timeout(g, 1);
    answer_all(g, "198.51.100.7:1111", 2);
    assert_true(pv_gatherer_take_changed(g));
    pv_gatherer_set_mapped(g, &local, &mapped);
    assert_true(pv_gatherer_take_changed(g));
    assert_int_equal(pv_gatherer_candidates(g, c), 4);
    assert_int_equal(c[1].type, PV_ICE_SRFLX);
    assert_int_equal(c[1].base, 0);
    assert_true(pv_addr_equal(&c[1].addr, &mapped));
    assert_true(pv_addr_equal_ip(&c[1].carrier.local, &local));
    assert_true(c[0].priority > c[1].priority && c[1].priority > c[2].priority);
    pv_gatherer_set_mapped(g, &local, &mapped);
    assert_false(pv_gatherer_take_changed(g)); /* no news */
    mapped.port = 1111; /* the NAT shows the server the same: once is enough */
    pv_gatherer_set_mapped(g, &local, &mapped);
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
    pv_gatherer_set_mapped(g, &elsewhere, &mapped); /* for an address that is gone */
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
    pv_gatherer_set_mapped(g, &local, &none);
    assert_true(pv_gatherer_take_changed(g));
    assert_int_equal(pv_gatherer_candidates(g, c), 3);
}

PV_TEST(another_socket_takes_the_place_of_the_main_one_for_ipv4)
{
    struct pv_gatherer *g = make();
    struct pv_addr server = endpoint("203.0.113.5:3478");
    struct pv_gatherer_transmit tx;
    struct pv_ice_cand c[PV_ICE_MAX_LOCAL];
    pv_gatherer_set_servers(g, &server, 1, 1);
    struct pv_link_addr links[] = {link_of("eth0", "192.168.1.20"), link_of("eth0", "2001:db8::7")};
    (void)pv_gatherer_set_links(g, links, 2, 1);
    pv_gatherer_handle_timeout(g, 1);
    assert_int_equal(answer_all(g, "198.51.100.7:40015", 2), 1);
    assert_true(pv_gatherer_take_changed(g));
    pv_gatherer_set_socket(g, 9, 50000, 3);
    assert_true(pv_gatherer_take_changed(g));
    assert_int_equal(pv_gatherer_candidates(g, c), 2); /* what was seen was the other socket's */
    assert_int_equal(c[0].addr.family, PV_AF_INET6);
    assert_int_equal(c[0].carrier.sock, 0);
    assert_int_equal(c[1].addr.port, 50000);
    assert_int_equal(c[1].carrier.sock, 9);
    pv_gatherer_handle_timeout(g, 3);
    assert_int_equal(pv_gatherer_poll_transmit(g, &tx), PV_OK);
    assert_int_equal(tx.sock, 9);
}
