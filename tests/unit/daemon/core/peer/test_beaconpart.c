/* SPDX-License-Identifier: MIT */
/* Members of one LAN find each other without the coordinator: who is called, when and where; who is
 * answered, and what a hostile neighbour can bring about. */
#include "daemon/core/peer/beacon.h"
#include "proto/control/beacon.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

enum {
    MEMBERS_MAX = PV_BEACON_MATES + 60,
    LAN = 3, /* the interface of the first network */
};

static struct fake_peers x;
static struct pv_peer *member[MEMBERS_MAX];
static uint8_t secret[MEMBERS_MAX][PV_DH_LEN]; /* of the members' transport keys */
static unsigned n_members;

void test_before_each(void)
{
    fake_peers_init(&x, &pv_part_beacon);
    fake_node_enter(&x.f);
    x.f.cfg.has_udp6 = true;
    x.f.node.coord_info.as_member = x.f.node.online = true;
    x.f.node.host.n_links = 0;
    n_members = 0;
}

static void add_members(unsigned n)
{
    for (; n_members < n; n_members++) {
        struct pv_peer *p = fake_peers_member(&x, 1 + n_members, PV_STR("m%u", n_members),
                                              (uint16_t)(2 + n_members));
        uint8_t *sk = secret[n_members];
        memset(sk, 0, PV_DH_LEN);
        sk[1] = (uint8_t)n_members; /* some bits of the first byte do not count */
        sk[2] = (uint8_t)(n_members >> 8);
        sk[3] = 1;
        pv_dh_public(sk, p->transport);
        member[n_members] = p;
    }
}

static struct pv_link_addr *add_link(const char *ifname, uint32_t ifindex, const char *prefix)
{
    struct pv_link_addr *l = &x.f.node.host.links[x.f.node.host.n_links++];
    *l = (struct pv_link_addr){.ifindex = ifindex, .up = true};
    snprintf(l->ifname, sizeof(l->ifname), "%s", ifname);
    char ip[PV_ADDR_TEXT];
    size_t len = strcspn(prefix, "/");
    snprintf(ip, sizeof(ip), "%.*s", (int)len, prefix);
    assert_ok(pv_addr_parse_ip(ip, &l->addr.base));
    l->addr.bits = (uint8_t)strtoul(prefix + len + 1, NULL, 10);
    return l;
}

static void links_changed(void)
{
    pv_node_raise(&x.f.node, PV_FACT_LINKS);
    fake_peers_settle(&x);
}

/* In a LAN with n members, none of which is reached. */
static void begin(unsigned n)
{
    add_members(n);
    fake_node_start(&x.f);
    add_link("eth0", LAN, "192.168.1.2/24");
    links_changed();
    fake_peers_settle(&x);
}

static void coordinator(bool there)
{
    x.f.node.online = there;
    pv_node_raise(&x.f.node, there ? PV_FACT_ONLINE : PV_FACT_OFFLINE);
    fake_peers_settle(&x);
}

static void reach(unsigned i)
{
    const struct pv_addr at = pv_addr4(192, 168, 1, (uint8_t)(10 + i), 51820);
    fake_peers_path(&x, member[i], &at);
}

/* Runs to the next datagram until then; false: none leaves. */
static bool next_sent(pv_ns until, struct pv_engine_transmit *ret_tx)
{
    for (unsigned steps = 0; steps < 10000; steps++) {
        if (pv_part_beacon.poll_transmit(x.f.self, ret_tx))
            return true;
        pv_ns next = pv_part_beacon.next_timeout(x.f.self);
        if (next > until)
            return false;
        x.f.now = next > x.f.now ? next : x.f.now;
        fake_node_settle(&x.f);
    }
    fail_msg("the machine spins");
    return false;
}

static bool next_beacon(pv_ns until, struct pv_engine_transmit *ret_tx,
                        struct pv_beacon *ret_beacon)
{
    if (!next_sent(until, ret_tx))
        return false;
    assert_ok(pv_beacon_parse(pv_view(ret_tx->buf, ret_tx->len), ret_beacon));
    return true;
}

static unsigned count_until(pv_ns until)
{
    struct pv_engine_transmit tx;
    unsigned n = 0;
    while (next_sent(until, &tx))
        n++;
    x.f.now = until;
    return n;
}

/* The tag that this secret key of a member makes for our key, or our tag for it. */
static uint64_t tag_of(const uint8_t *sk, const uint8_t *our_pk, bool to_it, const uint8_t *nonce,
                       const struct pv_addr *src)
{
    uint8_t pk[PV_DH_LEN], ss[PV_DH_LEN], out[PV_BEACON_KEY_LEN], in[PV_BEACON_KEY_LEN];
    pv_dh_public(sk, pk);
    assert_ok(pv_dh(ss, sk, our_pk));
    pv_beacon_keys(ss, pk, our_pk, out, in);
    return pv_beacon_tag(to_it ? in : out, nonce, src);
}

static bool calls(const struct pv_beacon *b, const struct pv_engine_transmit *tx, unsigned i)
{
    return pv_beacon_has(b, tag_of(secret[i], x.device.keys.pk, true, b->nonce, &tx->local));
}

static struct pv_addr neighbour(uint8_t last)
{
    return pv_addr4(192, 168, 1, last, 51820);
}

/* A datagram of a member with this secret, that leaves from src, for our key. */
static void call(uint8_t nonce, const uint8_t *sk, const uint8_t *our_pk, const struct pv_addr *src,
                 uint8_t ret_datagram[static PV_BEACON_LEN])
{
    struct pv_beacon b = {.nonce = {nonce}};
    for (size_t i = 0; i < PV_BEACON_TAGS; i++)
        b.tags[i] = 0x1000 + i;
    b.tags[nonce % PV_BEACON_TAGS] = tag_of(sk, our_pk, false, b.nonce, src);
    pv_beacon_write(&b, ret_datagram);
}

static void hear(const struct pv_addr *src, uint32_t ifindex, uint8_t hops, const uint8_t *datagram)
{
    pv_beacon_hear(&x.f.node, src, ifindex, hops, pv_view(datagram, PV_BEACON_LEN), x.f.now);
    fake_peers_settle(&x);
}

/* Where the handshake that leaves now goes; PV_AF_NONE: none does. */
static struct pv_addr handshake(void)
{
    struct pv_engine_transmit tx;
    if (!pv_part_beacon.poll_transmit(x.f.self, &tx) || tx.len != PV_WGMSG_INITIATION_LEN)
        return (struct pv_addr){.family = PV_AF_NONE};
    assert_int_equal(tx.ifindex, 0);
    return tx.dst;
}

static bool answers(const struct pv_addr *src, uint8_t nonce, const uint8_t *sk)
{
    uint8_t datagram[PV_BEACON_LEN];
    call(nonce, sk, x.device.keys.pk, src, datagram);
    hear(src, LAN, PV_BEACON_HOPS, datagram);
    const struct pv_addr to = handshake();
    return pv_addr_equal(&to, src);
}

/* --- when ------------------------------------------------------------------------------------ */

PV_TEST(rounds_follow_at_0_1_3_seconds_and_then_at_doubling_intervals)
{
    static const unsigned at[] = {0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111};
    struct pv_engine_transmit tx;
    begin(1);
    const pv_ns t0 = x.f.now + PV_BEACON_GRACE;
    coordinator(false);
    for (size_t i = 0; i < PV_ARRAY_LEN(at); i++) {
        assert_true(next_sent(t0 + PV_S(5000), &tx));
        assert_int_equal(x.f.now, t0 + PV_S(at[i]));
    }
}

PV_TEST(nothing_is_sent_while_all_is_well)
{
    begin(2);
    assert_int_equal(count_until(x.f.now + PV_S(3600)), 0);
    coordinator(false);
    x.f.now += PV_BEACON_GRACE / 2;
    coordinator(true); /* it was back in time */
    assert_int_equal(count_until(x.f.now + PV_S(3600)), 0);
    assert_int_equal(pv_beacon_state(&x.f.node), PV_BEACON_QUIET);
    reach(0);
    reach(1);
    coordinator(false);
    assert_int_equal(count_until(x.f.now + PV_S(3600)), 0);
    assert_int_equal(pv_beacon_state(&x.f.node), PV_BEACON_CONTENT);
    assert_int_equal(pv_part_beacon.next_timeout(x.f.self), PV_NEVER);
}

PV_TEST(nothing_is_sent_or_heard_where_it_is_off_or_the_network_is_down)
{
    const struct pv_addr src = neighbour(9);
    x.f.cfg.lan.beacon_off = true;
    begin(1);
    coordinator(false);
    assert_int_equal(count_until(x.f.now + PV_S(900)), 0);
    assert_false(answers(&src, 1, secret[0]));
}

PV_TEST(nothing_is_sent_or_heard_while_the_network_is_down)
{
    const struct pv_addr src = neighbour(9);
    begin(1);
    x.f.node.up = false;
    coordinator(false);
    assert_int_equal(count_until(x.f.now + PV_S(900)), 0);
    assert_false(answers(&src, 1, secret[0]));
    x.f.node.up = true;
    assert_true(answers(&src, 2, secret[0]));
}

PV_TEST(another_address_begins_anew_and_the_same_ones_do_not)
{
    struct pv_engine_transmit tx;
    begin(1);
    coordinator(false);
    (void)count_until(x.f.now + PV_S(400));
    links_changed();
    assert_int_equal(count_until(x.f.now + PV_S(10)), 0);
    const pv_ns t0 = x.f.now;
    x.f.node.host.links[0].addr.base.ip[3]++;
    links_changed();
    assert_true(next_sent(t0 + PV_S(5), &tx));
    assert_int_equal(x.f.now, t0);
    assert_int_equal(tx.local.ip[3], 3);
    assert_int_equal(count_until(t0 + PV_S(5)), 2); /* at 1 and 3 s */
}

PV_TEST(a_lost_path_begins_anew_and_a_new_member_too)
{
    struct pv_engine_transmit tx;
    begin(2);
    reach(0);
    reach(1);
    coordinator(false);
    assert_int_equal(count_until(x.f.now + PV_S(900)), 0);
    pv_ns t0 = x.f.now;
    fake_peers_path(&x, member[1], NULL);
    assert_true(next_sent(t0 + PV_S(5), &tx));
    assert_int_equal(x.f.now, t0);
    reach(1);
    assert_int_equal(count_until(t0 + PV_S(900)), 0);
    t0 = x.f.now;
    add_members(3);
    pv_peers_raise(x.f.node.peers, member[2], PV_PEER_FACT_MEMBER);
    fake_peers_settle(&x);
    assert_true(next_sent(t0 + PV_S(5), &tx));
    assert_int_equal(x.f.now, t0);
}

/* A path that comes and goes each second for an hour. */
PV_TEST(a_path_that_flaps_does_not_make_it_call_without_end)
{
    unsigned n = 0;
    begin(2);
    coordinator(false);
    (void)count_until(x.f.now + PV_S(600));
    for (unsigned i = 0; i < 3600; i++) {
        reach(0);
        fake_peers_path(&x, member[0], NULL);
        n += count_until(x.f.now + PV_S(1));
    }
    assert_in_range(n, 3600 / 30, 3600 / 30 * 6);
}

/* --- whom and where -------------------------------------------------------------------------- */

PV_TEST(members_without_a_direct_path_are_called_and_nobody_else)
{
    struct pv_engine_transmit tx;
    struct pv_beacon b;
    begin(4);
    reach(1);
    fake_peers_leaves(&x, member[3]); /* its secret is known to it still */
    coordinator(false);
    assert_true(next_beacon(x.f.now + PV_S(5), &tx, &b));
    assert_true(calls(&b, &tx, 0) && calls(&b, &tx, 2));
    assert_false(calls(&b, &tx, 1));
    assert_false(calls(&b, &tx, 3));
    /* A tag for us is another number. */
    assert_false(pv_beacon_has(&b, tag_of(secret[0], x.device.keys.pk, false, b.nonce, &tx.local)));
}

PV_TEST(no_two_datagrams_have_a_number_in_common)
{
    static uint64_t all[8 * (PV_BEACON_TAGS + 2)];
    struct pv_engine_transmit tx;
    struct pv_beacon b;
    size_t n = 0;
    begin(3);
    coordinator(false);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(next_beacon(x.f.now + PV_S(500), &tx, &b));
        assert_int_equal(tx.len, PV_BEACON_LEN);
        memcpy(&all[n], b.nonce, sizeof(b.nonce));
        memcpy(&all[n + 2], b.tags, sizeof(b.tags));
        n += PV_BEACON_TAGS + 2;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            assert_true(all[i] != all[k]);
    }
}

PV_TEST(each_network_of_a_lan_gets_one_and_other_interfaces_none)
{
    struct pv_engine_transmit tx;
    snprintf(x.f.cfg.lan.excluded[0], PV_JOB_IFNAME, "wlan0");
    x.f.cfg.lan.n_excluded = 1;
    begin(1);
    add_link("eth0", LAN, "192.168.1.7/24"); /* the same network */
    add_link("eth0", LAN, "fd00:7::2/64");
    add_link("eth1", 4, "10.1.1.2/16")->way_out = true;
    add_link("wlan0", 5, "192.168.2.2/24");
    add_link("wg0", 6, "10.9.0.2/24")->tunnel = true;
    add_link("docker0", 7, "172.17.0.1/16")->container = true;
    add_link("eth2", 8, "10.66.0.9/16"); /* the overlay's range */
    add_link("eth3", 9, "169.254.3.4/16");
    add_link("eth4", 10, "192.168.9.9/24")->up = false;
    add_link("pv0", 11, "192.168.8.9/24"); /* our own interface */
    links_changed();
    coordinator(false);
    assert_true(next_sent(x.f.now + PV_S(5), &tx));
    assert_string_equal(PV_ADDR_STR(&tx.dst), "224.0.0.1:51819");
    assert_string_equal(PV_ADDR_STR(&tx.local), "10.1.1.2:51820");
    assert_true(tx.ifindex == 4 && tx.ttl == PV_BEACON_HOPS && tx.sock == 0);
    assert_true(next_sent(x.f.now, &tx));
    assert_string_equal(PV_ADDR_STR(&tx.local), "192.168.1.2:51820");
    assert_true(next_sent(x.f.now, &tx));
    assert_string_equal(PV_ADDR_STR(&tx.dst), "[ff02::1]:51819");
    assert_string_equal(PV_ADDR_STR(&tx.local), "[fd00:7::2]:51820");
    assert_true(tx.ifindex == LAN && tx.ttl == PV_BEACON_HOPS);
    assert_false(next_sent(x.f.now, &tx));
}

/* More members than fit take turns, and the first of them are those that are wanted. */
PV_TEST(members_without_a_place_in_one_round_are_called_in_the_next)
{
    enum {
        MANY = PV_BEACON_TAGS + 20
    };
    struct pv_engine_transmit tx;
    struct pv_beacon b[2];
    begin(MANY);
    member[MANY - 1]->wanted_at = x.f.now;
    coordinator(false);
    assert_true(next_beacon(x.f.now + PV_S(5), &tx, &b[0]));
    assert_true(calls(&b[0], &tx, MANY - 1));
    const struct pv_engine_transmit first = tx;
    assert_true(next_beacon(x.f.now + PV_S(5), &tx, &b[1]));
    unsigned n[2] = {0, 0};
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(calls(&b[0], &first, i) != calls(&b[1], &tx, i));
        n[0] += calls(&b[0], &first, i);
        n[1] += calls(&b[1], &tx, i);
    }
    assert_true(n[0] == PV_BEACON_TAGS && n[1] == MANY - PV_BEACON_TAGS);
}

PV_TEST(a_member_that_knows_only_the_former_key_finds_itself_and_is_answered)
{
    static uint8_t sk[PV_DH_LEN] = {0, 77, 9};
    const struct pv_addr src = neighbour(9);
    struct pv_wg_device former;
    struct pv_engine_transmit tx;
    struct pv_beacon b;
    uint8_t datagram[PV_BEACON_LEN];
    pv_wg_device_init(&former, sk);
    begin(1);
    x.f.node.keys.former[0] = &former;
    x.f.node.keys.n_former = 1;
    coordinator(false);
    assert_true(next_beacon(x.f.now + PV_S(5), &tx, &b));
    assert_true(calls(&b, &tx, 0));
    assert_true(pv_beacon_has(&b, tag_of(secret[0], former.keys.pk, true, b.nonce, &tx.local)));
    call(1, secret[0], former.keys.pk, &src, datagram);
    hear(&src, LAN, PV_BEACON_HOPS, datagram);
    const struct pv_addr to = handshake();
    assert_true(pv_addr_equal(&to, &src));
    /* It has another key now: what was computed with the one before is of no use. */
    secret[0][4] ^= 1;
    pv_dh_public(secret[0], member[0]->transport);
    assert_true(answers(&src, 2, secret[0]));
    x.f.node.keys.n_former = 0;
}

/* --- who is answered ------------------------------------------------------------------------- */

PV_TEST(a_member_that_calls_is_answered_by_a_handshake_also_while_the_coordinator_is_there)
{
    const struct pv_addr src = neighbour(9);
    begin(3);
    assert_true(answers(&src, 1, secret[2]));
    assert_true(pv_trace_len(&member[2]->trace) > 0);
    coordinator(false);
    assert_true(answers(&src, 2, secret[1]));
}

PV_TEST(a_removed_member_and_a_stranger_are_not_answered)
{
    static const uint8_t stranger[PV_DH_LEN] = {0, 99, 9};
    const struct pv_addr src = neighbour(9);
    begin(2);
    assert_true(answers(&src, 1, secret[1]));
    fake_peers_leaves(&x, member[1]);
    assert_false(answers(&src, 2, secret[1]));
    assert_false(answers(&src, 3, stranger));
    assert_true(answers(&src, 4, secret[0]));
}

PV_TEST(a_datagram_from_elsewhere_is_not_answered)
{
    const struct pv_addr src = neighbour(9), spoofed = neighbour(10);
    const struct pv_addr far = pv_addr4(192, 168, 2, 9, 51820), own = neighbour(2);
    uint8_t datagram[PV_BEACON_LEN];
    begin(1);
    add_link("eth1", 4, "192.168.7.2/24");
    links_changed();
    call(1, secret[0], x.device.keys.pk, &src, datagram);
    hear(&src, LAN, 254, datagram); /* a router passed it on */
    hear(&src, 4, PV_BEACON_HOPS, datagram);
    hear(&src, 5, PV_BEACON_HOPS, datagram);
    hear(&spoofed, LAN, PV_BEACON_HOPS, datagram); /* a replay by a neighbour */
    call(2, secret[0], x.device.keys.pk, &far, datagram);
    hear(&far, LAN, PV_BEACON_HOPS, datagram);
    call(3, secret[0], x.device.keys.pk, &own, datagram);
    hear(&own, LAN, PV_BEACON_HOPS, datagram);
    pv_beacon_hear(&x.f.node, &src, LAN, PV_BEACON_HOPS, pv_view(datagram, PV_BEACON_LEN - 1),
                   x.f.now);
    assert_int_equal(handshake().family, PV_AF_NONE);
}

PV_TEST(our_own_datagram_means_nothing_to_us_from_whomever_it_comes)
{
    const struct pv_addr src = neighbour(9);
    struct pv_engine_transmit tx;
    struct pv_beacon b;
    begin(1);
    coordinator(false);
    assert_true(next_beacon(x.f.now + PV_S(5), &tx, &b));
    hear(&tx.local, LAN, PV_BEACON_HOPS, tx.buf);
    hear(&src, LAN, PV_BEACON_HOPS, tx.buf);
    assert_int_equal(handshake().family, PV_AF_NONE);
}

PV_TEST(a_replay_is_not_answered_again)
{
    const struct pv_addr src = neighbour(9);
    begin(1);
    assert_true(answers(&src, 1, secret[0]));
    for (unsigned i = 0; i < 100; i++) {
        x.f.now += PV_S(10);
        assert_false(answers(&src, 1, secret[0]));
    }
    assert_true(answers(&src, 2, secret[0]));
}

/* Only with the member's own key can that many genuine ones be made. */
PV_TEST(one_member_gets_few_handshakes)
{
    const struct pv_addr src = neighbour(9);
    unsigned n = 0;
    begin(2);
    for (unsigned i = 0; i < 200; i++) {
        x.f.now += PV_MS(50);
        n += answers(&src, (uint8_t)i, secret[0]);
    }
    assert_in_range(n, 5, 14);
    assert_true(answers(&src, 250, secret[1]));
}

PV_TEST(a_member_with_that_path_needs_no_handshake)
{
    const struct pv_addr src = neighbour(10), moved = neighbour(77);
    begin(1);
    reach(0); /* at src */
    assert_false(answers(&src, 1, secret[0]));
    assert_true(answers(&moved, 2, secret[0])); /* it has lost its end of the path */
}

/* --- floods ---------------------------------------------------------------------------------- */

static uint64_t metric(const char *what)
{
    struct pv_metrics m;
    char *text = NULL;
    size_t len = 0;
    pv_metrics_init(&m);
    pv_part_beacon.metrics(x.f.self, &m, x.f.now);
    assert_ok(pv_metrics_take(&m, &text, &len));
    const char *line = strstr(text, PV_STR("{what=\"%s\"} ", what));
    assert_non_null(line);
    const uint64_t n = strtoull(strchr(line, ' '), NULL, 10);
    free(text);
    return n;
}

PV_TEST(a_flood_costs_bounded_work_and_leaves_the_other_interface_its_share)
{
    enum {
        SENT = 40000
    };
    static const uint8_t stranger[PV_DH_LEN] = {0, 99, 9};
    const struct pv_addr src = neighbour(9), there = pv_addr4(192, 168, 7, 9, 51820);
    uint8_t datagram[PV_BEACON_LEN];
    begin(10);
    add_link("eth1", 4, "192.168.7.2/24");
    links_changed();
    call(1, stranger, x.device.keys.pk, &src, datagram);
    for (unsigned i = 0; i < SENT; i++) {
        x.f.now += PV_S(4) / SENT;
        pv_beacon_hear(&x.f.node, &src, LAN, PV_BEACON_HOPS, pv_view(datagram, sizeof(datagram)),
                       x.f.now);
    }
    /* A burst of a second and four more, two hashes at most for each member and datagram. */
    const uint64_t done = metric("heard") - metric("over-budget");
    assert_int_equal(metric("heard"), SENT);
    assert_in_range(done * 21, PV_BEACON_HASHES / 2 * 4, PV_BEACON_HASHES / 2 * 5 + 21);
    call(2, secret[0], x.device.keys.pk, &there, datagram);
    hear(&there, 4, PV_BEACON_HOPS, datagram);
    assert_int_equal(handshake().family, PV_AF_INET);
}

PV_TEST(in_a_large_network_some_are_left_out_and_those_that_are_wanted_are_not)
{
    const struct pv_addr src = neighbour(9);
    struct pv_engine_transmit tx;
    struct pv_beacon b;
    unsigned n = 0;
    begin(MEMBERS_MAX);
    member[MEMBERS_MAX - 1]->wanted_at = x.f.now;
    coordinator(false);
    assert_true(next_beacon(x.f.now + PV_S(5), &tx, &b));
    assert_true(calls(&b, &tx, MEMBERS_MAX - 1));
    assert_true(answers(&src, 1, secret[MEMBERS_MAX - 1]));
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        n += pv_peer_find_slot(member[i], &pv_part_beacon) != NULL;
    assert_int_equal(n, PV_BEACON_MATES);
    (void)count_until(x.f.now + PV_S(600)); /* all places had their turn */
}
