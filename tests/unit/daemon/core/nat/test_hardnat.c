/* SPDX-License-Identifier: MIT */
#include "daemon/core/nat/hardnat.h"
#include "proto/stun/stun.h"
#include "tests/unit/test_util.h"

/* --- judging and planning -------------------------------------------------------------------- */

PV_TEST(samples_are_judged)
{
    static const struct {
        const char *why;
        struct pv_hardnat_samples s;
        struct pv_desc_nat want;
    } rows[] = {
        {"nothing answered", {{0}, {0}, 0, false}, {PV_DESC_MAPPING_UNKNOWN, 0, 0, 0, 0, 0, false}},
        {"no second server: unknown, not guessed",
         {{5000, 5001, 5002, 5003, 5004, 5005, 5006, 5007}, {0}, 0, false},
         {PV_DESC_MAPPING_UNKNOWN, 0, 0, 0, 0, 0, false}},
        {"a cone",
         {{5000, 6100, 7200, 8000}, {0}, 5000, false},
         {PV_DESC_MAPPING_SAME, 0, 0, 0, 0, 0, false}},
        {"too few samples for the ports",
         {{5000, 0, 5003, 0}, {0}, 5001, false},
         {PV_DESC_MAPPING_VARIES, PV_DESC_PORTS_UNKNOWN, 0, 0, 0, 0, false}},
        {"one after the other",
         {{5000, 5002, 5003, 5004, 5005, 5006, 5007, 5008}, {0}, 5001, false},
         {PV_DESC_MAPPING_VARIES, PV_DESC_PORTS_SEQUENTIAL, 1, 5008, 0, 0, false}},
        {"others between, two packets swapped",
         {{5000, 5005, 5002, 5006, 5008, 5009, 5010, 5011}, {0}, 5001, false},
         {PV_DESC_MAPPING_VARIES, PV_DESC_PORTS_SEQUENTIAL, 1, 5011, 0, 0, false}},
        {"downwards by two",
         {{5020, 5016, 5014, 5012, 5010, 5008, 5006, 5004}, {0}, 5018, false},
         {PV_DESC_MAPPING_VARIES, PV_DESC_PORTS_SEQUENTIAL, -2, 5004, 0, 0, false}},
        {"anywhere",
         {{5020, 60000, 33000, 1100, 20000, 45000, 8000, 52000}, {0}, 12000, false},
         {PV_DESC_MAPPING_VARIES, PV_DESC_PORTS_RANDOM, 0, 0, 0, 0, false}},
        {"a block, steps of 16 in no order",
         {{20000, 20120, 20016, 20104, 20030, 20088, 20046, 20076}, {0}, 20060, false},
         {PV_DESC_MAPPING_VARIES, PV_DESC_PORTS_BLOCK, 0, 0, 19997, 20123, false}},
        {"a block of 512",
         {{20010, 20400, 20250, 20100, 20330, 20490, 20180, 20060}, {0}, 20300, false},
         {PV_DESC_MAPPING_VARIES, PV_DESC_PORTS_BLOCK, 0, 0, 19995, 20505, false}},
        {"upwards in steps that differ",
         {{20000, 20090, 20110, 20180, 20260, 20270, 20330, 20420}, {0}, 20030, false},
         {PV_DESC_MAPPING_VARIES, PV_DESC_PORTS_BLOCK, 0, 0, 20420, 21260, false}},
        {"down in large steps, one astray, at the end",
         {{1500, 1440, 1380, 1320, 1260, 1290, 1200, 1140}, {0}, 1470, false},
         {PV_DESC_MAPPING_VARIES, PV_DESC_PORTS_BLOCK, 0, 0, 1024, 1140, false}},
        {"a cone: one port for one address",
         {{5000, 6100, 7200, 8000}, {5000, 6100, 7200, 8000}, 5000, true},
         {PV_DESC_MAPPING_SAME, 0, 0, 0, 0, 0, false}},
        {"a sequence: another address may continue it",
         {{5000, 5001, 5002, 5003, 5004, 5005, 5006, 5007}, {40000, 50000}, 5000, true},
         {PV_DESC_MAPPING_SAME, PV_DESC_PORTS_SEQUENTIAL, 1, 5007, 0, 0, false}},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_desc_nat got = pv_hardnat_judge(&rows[i].s);
        const struct pv_desc_nat *want = &rows[i].want;
        if (got.mapping != want->mapping || got.ports != want->ports || got.step != want->step ||
            got.last != want->last || got.lo != want->lo || got.hi != want->hi)
            fail_msg("%s: %d %d %d %u %u-%u", rows[i].why, got.mapping, got.ports, got.step,
                     got.last, got.lo, got.hi);
    }
}

static const struct pv_desc_nat unknown = {.mapping = PV_DESC_MAPPING_UNKNOWN};
static const struct pv_desc_nat cone = {.mapping = PV_DESC_MAPPING_SAME};
static const struct pv_desc_nat sequential = {
    .mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_SEQUENTIAL, .step = 1, .last = 40000};
static const struct pv_desc_nat block = {
    .mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_BLOCK, .lo = 2000, .hi = 2511};
static const struct pv_desc_nat randomly = {.mapping = PV_DESC_MAPPING_VARIES,
                                            .ports = PV_DESC_PORTS_RANDOM};

static const struct pv_desc_nat wide = {
    .mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_BLOCK, .lo = 2000, .hi = 9999};
static const struct pv_desc_nat narrow = {
    .mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_BLOCK, .lo = 2000, .hi = 2127};
static const struct pv_desc_nat perhaps = {.mapping = PV_DESC_MAPPING_SAME,
                                           .ports = PV_DESC_PORTS_RANDOM};

static const struct pv_desc_nat fresh = {.mapping = PV_DESC_MAPPING_SAME, .last = 41000};
static const struct pv_desc_nat taken = {.mapping = PV_DESC_MAPPING_SAME, .early = true};
static const struct pv_desc_nat taking = {
    .mapping = PV_DESC_MAPPING_SAME, .early = true, .last = 41000};

PV_TEST(both_sides_come_to_plans_that_match)
{
    static const struct {
        const struct pv_desc_nat *a, *b;
        bool loose;
        enum pv_hardnat_method method;
        unsigned a_opens, b_opens;
    } rows[] = {
        {&cone, &cone, false, PV_HARDNAT_NONE, 0, 0},
        {&cone, &cone, true, PV_HARDNAT_NONE, 0, 0},
        {&unknown, &cone, false, PV_HARDNAT_NONE, 0, 0},
        {&cone, &sequential, false, PV_HARDNAT_FAN, 0, 250},
        {&unknown, &sequential, false, PV_HARDNAT_FAN, 0, 250},
        {&cone, &block, false, PV_HARDNAT_BLOCK, 0, 250},
        {&cone, &narrow, false, PV_HARDNAT_BLOCK, 0, 96}, /* a quarter is left for others */
        {&cone, &randomly, false, PV_HARDNAT_BIRTHDAY, 0, 250},
        {&sequential, &sequential, false, PV_HARDNAT_RENDEZVOUS, 250, 250},
        {&sequential, &block, false, PV_HARDNAT_MEET, 25, 250},
        {&block, &block, false, PV_HARDNAT_MEET, 250, 250},
        {&narrow, &block, false, PV_HARDNAT_MEET, 96, 250},
        {&wide, &block, false, PV_HARDNAT_NONE, 0, 0},
        {&sequential, &wide, false, PV_HARDNAT_NONE, 0, 0},
        {&sequential, &randomly, false, PV_HARDNAT_NONE, 0, 0},
        {&randomly, &randomly, false, PV_HARDNAT_NONE, 0, 0},
        /* A kind that a server with one address could not see counts when nothing else is left. */
        {&cone, &perhaps, false, PV_HARDNAT_NONE, 0, 0},
        {&cone, &perhaps, true, PV_HARDNAT_BIRTHDAY, 0, 250},
        {&perhaps, &block, true, PV_HARDNAT_BLOCK, 0, 250},
        /* Where early packets take ports, those of fresh sockets are tried, whatever else may be;
         * where that could not be asked they are what is left. */
        {&fresh, &taking, false, PV_HARDNAT_FRESH, 1, 1},
        {&unknown, &taking, false, PV_HARDNAT_FRESH, 0, 1},
        {&perhaps, &taking, true, PV_HARDNAT_FRESH, 0, 1},
        {&taken, &cone, false, PV_HARDNAT_NONE, 0, 0}, /* and none is known */
        {&fresh, &cone, false, PV_HARDNAT_NONE, 0, 0},
        {&fresh, &cone, true, PV_HARDNAT_FRESH, 1, 0},
        {&fresh, &perhaps, true, PV_HARDNAT_BIRTHDAY, 0, 250},
        {&taking, &randomly, false, PV_HARDNAT_BIRTHDAY, 0, 250},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_hardnat_plan a = pv_hardnat_plan(rows[i].a, rows[i].b, rows[i].loose, 250);
        struct pv_hardnat_plan b = pv_hardnat_plan(rows[i].b, rows[i].a, rows[i].loose, 250);
        if (a.method != rows[i].method || a.sockets != rows[i].a_opens ||
            b.method != rows[i].method || b.sockets != rows[i].b_opens)
            fail_msg("row %zu: %d %u, %d %u", i, a.method, a.sockets, b.method, b.sockets);
    }
    assert_int_equal(pv_hardnat_plan(&randomly, &cone, false, 0).method, PV_HARDNAT_NONE);
}

/* --- the machine ----------------------------------------------------------------------------- */

static struct pv_fifo wanted; /* of the shell */

struct rig {
    struct test_rng seed;
    struct pv_rng rng;
    struct pv_hardnat *h;
    pv_ns now;
    unsigned open, most_open, adopted;
    bool keeps;           /* the NAT keeps the port of a socket for its first destination */
    bool silent;          /* the server answers no question during the attempt */
    unsigned limit, made; /* mappings that the NAT makes, 0 = any number; that it has made */
    bool mapped[0x10000]; /* socket ids with a packet to the peer */
    uint16_t last_adopted, some_sock;
    struct pv_hardnat_target target;
};

static const struct pv_addr none = {.family = PV_AF_NONE};

static void free_hardnat(void *ctx)
{
    pv_hardnat_free(ctx);
}

static void clear_wanted(void *unused)
{
    pv_fifo_clear(&wanted);
}

static void begin(struct rig *r, struct pv_hardnat_config cfg, const struct pv_desc_nat *theirs)
{
    memset(r, 0, sizeof(*r));
    pv_fifo_clear(&wanted);
    r->rng = test_rng_make(&r->seed, 5);
    r->now = PV_S(100);
    pv_ice_make_creds(&r->rng, &r->target.own);
    pv_ice_make_creds(&r->rng, &r->target.theirs);
    r->target.nat = *theirs;
    r->target.addr = pv_addr4(203, 0, 113, 9, 4000);
    assert_ok(pv_hardnat_new(&r->h, &r->rng, &cfg, &wanted));
    test_defer(clear_wanted, NULL);
    test_defer(free_hardnat, r->h);
}

static void ops(struct rig *r)
{
    struct pv_hardnat_op op;
    while (pv_fifo_take(&wanted, &op) == PV_OK) {
        assert_int_not_equal(op.sock, 0);
        if (op.type == PV_HARDNAT_OPEN) {
            r->open++;
            r->some_sock = op.sock;
            pv_hardnat_opened(r->h, op.sock, (uint16_t)(30000 + op.sock), r->now);
        } else if (op.type == PV_HARDNAT_CLOSE) {
            r->open--;
        } else {
            r->adopted++;
            r->last_adopted = op.sock;
        }
        r->most_open = r->open > r->most_open ? r->open : r->most_open;
    }
}

static bool asks_for_change(const struct pv_hardnat_transmit *tx)
{
    struct pv_stun_msg msg;
    assert_ok(pv_stun_decode(pv_view(tx->buf, tx->len), &msg));
    return pv_stun_has(&msg, PV_STUN_ATTR_CHANGE_REQUEST);
}

/* Answers every question of a measurement as this NAT would. */
static void measure(struct rig *r, const uint16_t ports[9])
{
    const struct pv_addr servers[2] = {pv_addr4(192, 0, 2, 1, 3478), pv_addr4(192, 0, 2, 1, 3479)};
    struct pv_hardnat_transmit tx;
    uint16_t port;
    unsigned n = 0;
    assert_ok(pv_hardnat_begin(r->h, 3, servers, r->now));
    assert_int_equal(pv_hardnat_phase(r->h), PV_HARDNAT_MEASURING);
    ops(r);
    while (pv_hardnat_poll_transmit(r->h, &tx) == PV_OK) {
        struct pv_stun_writer w;
        uint8_t buf[128];
        size_t len;
        if (asks_for_change(&tx)) /* the NAT lets nothing in */
            continue;
        struct pv_addr mapped = pv_addr4(203, 0, 113, 1, ports[n++]);
        if (r->keeps && tx.dst.port == servers[0].port)
            mapped.port = (uint16_t)(30000 + tx.sock);
        pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_SUCCESS, PV_STUN_BINDING, tx.buf + 8);
        pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
        assert_ok(pv_stun_write_end(&w, &len));
        /* From elsewhere it does not count. */
        struct pv_addr elsewhere = pv_addr4(192, 0, 2, 2, 3478);
        assert_int_equal(
            pv_hardnat_handle_input(r->h, tx.sock, &elsewhere, pv_view(buf, len), r->now, &port),
            PV_ERR_NOT_FOUND);
        assert_int_equal(
            pv_hardnat_handle_input(r->h, tx.sock, &tx.dst, pv_view(buf, len), r->now, &port),
            PV_ERR_NOT_FOUND);
    }
    assert_int_equal(n, 9);
    assert_int_equal(pv_hardnat_phase(r->h), PV_HARDNAT_READY);
}

static const struct pv_addr server = {.family = PV_AF_INET, .ip = {192, 0, 2, 1}, .port = 3478};
static void answer_with(struct rig *r, const struct pv_hardnat_transmit *tx,
                        const struct pv_addr *from, uint16_t mapped_port);

static bool makes_mapping(struct rig *r)
{
    if (r->limit != 0 && r->made >= r->limit)
        return false;
    r->made++;
    return true;
}

/* Passes a packet through the NAT: each pair of a socket and a destination takes a mapping. */
static void pass_nat(struct rig *r, const struct pv_hardnat_transmit *tx)
{
    if (pv_addr_equal_ip(&tx->dst, &r->target.addr)) {
        if (tx->sock != 0 && !r->mapped[tx->sock])
            r->mapped[tx->sock] = makes_mapping(r);
        return;
    }
    assert_true(pv_addr_equal(&tx->dst, &server));
    if (makes_mapping(r) && !r->silent)
        answer_with(r, tx, &server, 4000);
}

struct tally {
    unsigned packets, most_in_a_second;
    pv_ns took;
};

/* Runs to the end without any answer of the peer. */
static struct tally run_out(struct rig *r)
{
    static pv_ns sent[PV_HARDNAT_MAX_PACKETS + 1];
    struct tally t = {0};
    struct pv_hardnat_transmit tx;
    pv_ns start = r->now;
    while (pv_hardnat_phase(r->h) == PV_HARDNAT_RUNNING) {
        r->now = pv_hardnat_next_timeout(r->h);
        assert_true(r->now != PV_NEVER && r->now - start < PV_S(30));
        pv_hardnat_handle_timeout(r->h, r->now);
        ops(r);
        while (pv_hardnat_poll_transmit(r->h, &tx) == PV_OK) {
            pass_nat(r, &tx);
            assert_true(t.packets < PV_HARDNAT_MAX_PACKETS);
            sent[t.packets++] = r->now;
        }
    }
    for (unsigned i = 0, k = 0; i < t.packets; i++) {
        while (sent[k] + PV_S(1) <= sent[i])
            k++;
        t.most_in_a_second = i - k + 1 > t.most_in_a_second ? i - k + 1 : t.most_in_a_second;
    }
    t.took = r->now - start;
    assert_int_equal(pv_hardnat_phase(r->h), PV_HARDNAT_OVER);
    return t;
}

static const uint16_t random_ports[9] = {5020,  12000, 60000, 33000, 1100,
                                         20000, 45000, 8000,  52000};
static const uint16_t sequence[9] = {5000, 5001, 5002, 5003, 5004, 5005, 5006, 5007, 5008};

PV_TEST(the_budget_holds_for_the_side_that_opens)
{
    static const struct {
        struct pv_hardnat_config cfg;
        unsigned mappings, pps;
    } rows[] = {
        {{.max_pps = 0}, 256, 200},
        {{.max_mappings = 64, .max_pps = 50}, 64, 50},
        {{.max_mappings = 100000, .max_pps = 100000}, 256, 200},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct rig r;
        begin(&r, rows[i].cfg, &cone);
        measure(&r, random_ports);
        assert_int_equal(pv_hardnat_nat(r.h)->ports, PV_DESC_PORTS_RANDOM);
        assert_true(pv_hardnat_run(r.h, &r.target, r.now, r.now));
        ops(&r);
        struct tally t = run_out(&r);
        /* Nine mappings were made by measuring; each socket makes one more, and so does each
         * question for room. */
        assert_in_range(r.made + 9, rows[i].mappings - 2, rows[i].mappings);
        assert_true(t.most_in_a_second <= rows[i].pps);
        pv_hardnat_end(r.h, 0);
        ops(&r);
        assert_int_equal(r.open, 0);
        test_end(r.h);
    }
}

PV_TEST(the_budget_holds_for_the_side_that_probes)
{
    static const struct pv_desc_nat *const nats[] = {&randomly, &block, &sequential};
    static const unsigned least[] = {2048, 2048, 1500};
    for (size_t i = 0; i < PV_ARRAY_LEN(nats); i++) {
        struct rig r;
        const struct pv_addr servers[2] = {none, none};
        begin(&r, (struct pv_hardnat_config){.max_pps = 0}, nats[i]);
        assert_ok(pv_hardnat_begin(r.h, 3, servers, r.now));
        assert_true(pv_hardnat_run(r.h, &r.target, r.now + PV_MS(70), r.now));
        assert_int_equal(pv_hardnat_next_timeout(r.h), r.now + PV_MS(70));
        struct tally t = run_out(&r);
        assert_in_range(t.packets, least[i], 2048);
        assert_true(t.most_in_a_second <= 200);
        assert_int_equal(r.most_open, 0);
        test_end(r.h);
    }
}

/* One that allows a host 200 mappings: an attempt stops there, and the next one leaves half. */
PV_TEST(stops_where_nat_is_full)
{
    static const uint16_t *const own[] = {random_ports, sequence};
    static const struct pv_desc_nat *const theirs[] = {&cone, &sequential};
    static const unsigned limits[] = {200, 60};
    const struct pv_addr servers[2] = {server, none};
    for (size_t i = 0; i < PV_ARRAY_LEN(own); i++) {
        struct rig r;
        begin(&r, (struct pv_hardnat_config){.max_pps = 0}, theirs[i]);
        r.limit = limits[i];
        r.made = 9;
        measure(&r, own[i]);
        assert_true(pv_hardnat_run(r.h, &r.target, r.now, r.now));
        ops(&r);
        (void)run_out(&r);
        unsigned allowed = pv_hardnat_counts(r.h).max_mappings;
        assert_in_range(allowed, limits[i] / 2, limits[i] / 2 + 24);
        pv_hardnat_end(r.h, 0);
        ops(&r);
        r.limit = r.made = r.most_open = 0;
        memset(r.mapped, 0, sizeof(r.mapped));
        if (i == 0) /* it is known */
            assert_ok(pv_hardnat_begin(r.h, 3, servers, r.now));
        else
            measure(&r, own[i]);
        assert_true(pv_hardnat_run(r.h, &r.target, r.now, r.now));
        ops(&r);
        (void)run_out(&r);
        assert_in_range(r.made, 10, allowed);
        pv_hardnat_forget(r.h);
        assert_int_equal(pv_hardnat_counts(r.h).max_mappings, 256);
        test_end(r.h);
    }
}

/* A server that answers nothing at all is away: that says nothing about the NAT. */
PV_TEST(goes_on_without_answers_where_none_was_heard)
{
    struct rig r;
    const struct pv_addr servers[2] = {server, none};
    begin(&r, (struct pv_hardnat_config){.max_pps = 0}, &cone);
    measure(&r, random_ports);
    pv_hardnat_end(r.h, 0);
    ops(&r);
    r.silent = true;
    assert_ok(pv_hardnat_begin(r.h, 3, servers, r.now)); /* the NAT is known */
    assert_true(pv_hardnat_run(r.h, &r.target, r.now, r.now));
    ops(&r);
    (void)run_out(&r);
    assert_true(r.made > 200);
    assert_int_equal(pv_hardnat_counts(r.h).max_mappings, 256);
    test_end(r.h);
}

static const uint16_t block_ports[9] = {20010, 20300, 20400, 20250, 20100,
                                        20330, 20490, 20180, 20060};

PV_TEST(the_budget_holds_for_every_method)
{
    static const struct {
        const uint16_t *own;
        const struct pv_desc_nat *theirs;
        enum pv_hardnat_method method;
        unsigned least; /* packets */
    } rows[] = {
        {sequence, &cone, PV_HARDNAT_FAN, 48 + 192 + 700},
        {sequence, &sequential, PV_HARDNAT_RENDEZVOUS, 150 + 144 + 192},
        {sequence, &block, PV_HARDNAT_MEET, 250},
        {block_ports, &cone, PV_HARDNAT_BLOCK, 192 + 700},
        {block_ports, &sequential, PV_HARDNAT_MEET, 700},
        {block_ports, &block, PV_HARDNAT_MEET, 700},
        {random_ports, &cone, PV_HARDNAT_BIRTHDAY, 700},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct rig r;
        begin(&r, (struct pv_hardnat_config){.max_pps = 0}, rows[i].theirs);
        measure(&r, rows[i].own);
        assert_true(pv_hardnat_run(r.h, &r.target, r.now, r.now));
        assert_int_equal(pv_hardnat_counts(r.h).plan.method, rows[i].method);
        ops(&r);
        struct tally t = run_out(&r);
        if (t.packets < rows[i].least || t.most_in_a_second > 200 || r.most_open + 9 > 256 ||
            t.took > PV_S(13))
            fail_msg("row %zu: %u, %u in 1 s, %u open, %llu ms", i, t.packets, t.most_in_a_second,
                     r.most_open, (unsigned long long)(t.took / PV_MS(1)));
        test_end(r.h);
    }
}

PV_TEST(a_method_switched_off_is_not_used)
{
    static const struct {
        const uint16_t *own;
        const struct pv_desc_nat *theirs;
        bool predict, birthday; /* does it run with only that switched on? */
    } rows[] = {
        {sequence, &cone, true, false},     {sequence, &sequential, true, false},
        {sequence, &block, false, false},   {block_ports, &cone, false, true},
        {block_ports, &block, false, true}, {random_ports, &cone, false, true},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        for (unsigned k = 0; k < 2; k++) {
            struct rig r;
            const struct pv_hardnat_config cfg = {.predict_off = k == 1, .birthday_off = k == 0};
            begin(&r, cfg, rows[i].theirs);
            measure(&r, rows[i].own);
            if (pv_hardnat_run(r.h, &r.target, r.now, r.now) !=
                (k == 0 ? rows[i].predict : rows[i].birthday))
                fail_msg("row %zu, only %s is on", i, k == 0 ? "predict" : "birthday");
            ops(&r);
            if (pv_hardnat_phase(r.h) == PV_HARDNAT_RUNNING)
                (void)run_out(&r);
            assert_true(r.most_open <= (k == 0 ? 64 + 48 + 25 : 256));
            test_end(r.h);
        }
    }
}

/* A NAT that keeps the port of the first destination: the sockets get ports that were announced. */
PV_TEST(sockets_are_opened_on_announced_ports_where_the_nat_keeps_them)
{
    struct rig r;
    struct pv_hardnat_op op;
    unsigned n = 0;
    begin(&r, (struct pv_hardnat_config){.max_pps = 0}, &cone);
    r.keeps = true;
    measure(&r, random_ports);
    const struct pv_desc_nat nat = *pv_hardnat_nat(r.h);
    assert_int_equal(nat.ports, PV_DESC_PORTS_BLOCK);
    assert_int_equal(nat.hi - nat.lo + 1, PV_HARDNAT_OWN_RANGE);
    assert_true(pv_hardnat_run(r.h, &r.target, r.now, r.now));
    while (pv_fifo_take(&wanted, &op) == PV_OK) {
        assert_int_equal(op.type, PV_HARDNAT_OPEN);
        assert_int_equal(op.port, nat.lo + n);
        n++;
    }
    assert_true(n >= PV_HARDNAT_OWN_RANGE / 2 && n <= PV_HARDNAT_OWN_RANGE);
}

static void answer_with(struct rig *r, const struct pv_hardnat_transmit *tx,
                        const struct pv_addr *from, uint16_t mapped_port)
{
    struct pv_stun_writer w;
    struct pv_addr mapped = pv_addr4(203, 0, 113, 1, mapped_port);
    uint8_t buf[128];
    size_t len;
    uint16_t port;
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_SUCCESS, PV_STUN_BINDING, tx->buf + 8);
    pv_stun_put_xor_addr(&w, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    assert_ok(pv_stun_write_end(&w, &len));
    assert_int_equal(
        pv_hardnat_handle_input(r->h, tx->sock, from, pv_view(buf, len), r->now, &port),
        PV_ERR_NOT_FOUND);
}

/* A cone, which keeps ports: what it does with packets that come in early is found. */
PV_TEST(a_router_on_which_early_packets_take_the_port_is_found)
{
    enum {
        KEEPS, /* the port towards the one it came from is the same */
        TAKES,
        LETS_IN,
        SILENT,
        KINDS,
    };
    for (int kind = KEEPS; kind < KINDS; kind++) {
        struct rig r;
        struct pv_hardnat_transmit tx, change;
        struct pv_addr servers[2] = {server, server};
        unsigned asked = 0;
        servers[1].port++;
        begin(&r, (struct pv_hardnat_config){.max_pps = 0}, &cone);
        assert_ok(pv_hardnat_begin(r.h, 3, servers, r.now));
        ops(&r);
        memset(&change, 0, sizeof(change));
        while (pv_hardnat_poll_transmit(r.h, &tx) == PV_OK) {
            if (asks_for_change(&tx))
                change = tx;
            else
                answer_with(&r, &tx, &tx.dst, (uint16_t)(30000 + tx.sock));
        }
        assert_true(pv_addr_equal(&change.dst, &servers[0]));
        assert_int_equal(pv_hardnat_phase(r.h), PV_HARDNAT_MEASURING);
        if (kind == LETS_IN)
            answer_with(&r, &change, &servers[1], (uint16_t)(30000 + change.sock));
        pv_ns began = r.now;
        while (pv_hardnat_phase(r.h) == PV_HARDNAT_MEASURING) {
            r.now = pv_hardnat_next_timeout(r.h);
            pv_hardnat_handle_timeout(r.h, r.now);
            while (pv_hardnat_poll_transmit(r.h, &tx) == PV_OK) {
                if (kind == TAKES && tx.sock != change.sock)
                    continue; /* it looks for the way out */
                asked++;
                assert_int_equal(tx.sock, change.sock);
                assert_true(pv_addr_equal(&tx.dst, &servers[1]));
                if (kind != SILENT)
                    answer_with(&r, &tx, &tx.dst,
                                (uint16_t)(kind == KEEPS ? 30000 + tx.sock : 999));
            }
        }
        assert_int_equal(asked, kind == LETS_IN ? 0 : 1);
        assert_true(r.now - began <= PV_MS(330));
        assert_int_equal(pv_hardnat_nat(r.h)->mapping, PV_DESC_MAPPING_SAME);
        assert_int_equal(pv_hardnat_nat(r.h)->early, kind == TAKES);
        test_end(r.h);
    }
}

/* Measures a router on which early packets take the port. A packet with a TTL above depth opens it,
 * one with IP's option only if that passes, and then the answer comes so late. */
static void measure_taking(struct rig *r, unsigned depth, bool passes, pv_ns late)
{
    enum {
        OPENERS = 5 /* the sockets from that on: behind the fresh one, the early one, three plain */
    };
    const struct pv_addr servers[2] = {server, pv_addr4(192, 0, 2, 1, 3479)};
    bool open[PV_HARDNAT_SAMPLES + 1] = {false};
    struct pv_hardnat_transmit tx, held[PV_HARDNAT_SAMPLES];
    size_t n_held = 0;
    pv_ns held_until = PV_NEVER;
    assert_ok(pv_hardnat_begin(r->h, 3, servers, r->now));
    ops(r);
    const uint16_t first = (uint16_t)(r->some_sock - PV_HARDNAT_SAMPLES + 1);
    pv_ns began = r->now;
    for (;;) {
        while (pv_hardnat_poll_transmit(r->h, &tx) == PV_OK) {
            const unsigned i = (unsigned)(tx.sock - first);
            if (tx.ttl != 0) {
                assert_true(pv_addr_equal(&tx.dst, &servers[1]) && i > 1);
                open[i] = tx.ttl > depth && (passes || !tx.opener);
            } else if (!asks_for_change(&tx)) {
                bool early = i == 1 && pv_addr_equal(&tx.dst, &servers[1]);
                answer_with(r, &tx, &tx.dst, (uint16_t)(early ? 999 : 30000 + tx.sock));
            } else if (open[i] && i >= OPENERS && late > 0) {
                held[n_held++] = tx;
                held_until = r->now + late;
            } else if (open[i]) {
                answer_with(r, &tx, &servers[1], (uint16_t)(30000 + tx.sock));
            }
        }
        if (pv_hardnat_phase(r->h) != PV_HARDNAT_MEASURING)
            break;
        r->now = pv_min_ns(pv_hardnat_next_timeout(r->h), held_until);
        for (; r->now >= held_until && n_held > 0; n_held--)
            answer_with(r, &held[n_held - 1], &servers[1],
                        (uint16_t)(30000 + held[n_held - 1].sock));
        held_until = n_held > 0 ? held_until : PV_NEVER;
        assert_true(r->now - began <= PV_MS(330));
        pv_hardnat_handle_timeout(r->h, r->now);
    }
    assert_true(pv_hardnat_nat(r->h)->early);
}

/* Both sides open their NATs before either's packets come to the other, and aim at ports that
 * nothing has come to. */
PV_TEST(where_ports_are_taken_fresh_ones_meet)
{
    static const struct {
        unsigned depth; /* NATs of ours */
        bool passes;    /* IP's option */
        uint8_t ttl;
        bool opener;
        pv_ns late; /* answers to openers, on a busy machine */
    } rows[] = {
        {1, true, 2, true, 0},         {2, true, 3, true, 0},
        {3, true, 4, true, 0},         {1, false, 2, false, 0},
        {2, false, 3, false, 0},       {9, true, 2, true, 0}, /* not known */
        {1, true, 2, true, PV_MS(60)},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct rig r;
        struct pv_hardnat_transmit tx;
        unsigned near = 0, far = 0;
        begin(&r, (struct pv_hardnat_config){.max_pps = 0}, &taking);
        measure_taking(&r, rows[i].depth, rows[i].passes, rows[i].late);
        const uint16_t port = pv_hardnat_nat(r.h)->last;
        assert_int_not_equal(port, 0);
        assert_true(pv_hardnat_run(r.h, &r.target, r.now + PV_MS(70), r.now));
        assert_int_equal(pv_hardnat_counts(r.h).plan.method, PV_HARDNAT_FRESH);
        assert_int_equal(pv_hardnat_poll_transmit(r.h, &tx), PV_ERR_AGAIN);
        const pv_ns start = r.now + PV_MS(70);
        while (pv_hardnat_phase(r.h) == PV_HARDNAT_RUNNING) {
            r.now = pv_hardnat_next_timeout(r.h);
            pv_hardnat_handle_timeout(r.h, r.now);
            while (pv_hardnat_poll_transmit(r.h, &tx) == PV_OK) {
                assert_int_equal(30000 + tx.sock, port);
                assert_true(pv_addr_equal_ip(&tx.dst, &r.target.addr));
                assert_int_equal(tx.dst.port, taking.last);
                assert_true(tx.ttl == 0 || far == 0);
                near += tx.ttl == rows[i].ttl && tx.opener == rows[i].opener;
                far += tx.ttl == 0 && !tx.opener && r.now >= start + PV_MS(100);
            }
        }
        if (near != 3 || far != 5)
            fail_msg("row %zu: %u openings, %u checks", i, near, far);
        assert_true(r.now - start <= PV_S(4));
        pv_hardnat_end(r.h, 0);
        assert_int_equal(pv_hardnat_nat(r.h)->last, 0);
        ops(&r);
        assert_int_equal(r.open, 0);
        test_end(r.h);
    }
}

/* From behind random ports, towards a NAT that takes the port of what comes early. */
static void run_towards_one_that_takes(struct rig *r)
{
    static const struct pv_desc_nat takes = {.mapping = PV_DESC_MAPPING_SAME, .early = true};
    begin(r, (struct pv_hardnat_config){.max_pps = 0}, &takes);
    measure(r, random_ports);
    assert_true(pv_hardnat_run(r->h, &r->target, r->now + PV_MS(100), r->now));
    ops(r);
}

/* Each socket sends once at the beginning, once after 5 s, and once at the end, when what comes in
 * early does no more harm. Only a packet with TTL 2 is an opener. */
static void assert_passes(struct rig *r, uint8_t first, uint8_t second)
{
    enum {
        SOCKETS = 233
    }; /* 256, less 9 of the measurement and 14 that ask whether the NAT has room */
    const pv_ns start = r->now, ends[] = {PV_MS(1500), PV_MS(6500), PV_MS(10400)};
    const uint8_t ttl[] = {first, second, 0};
    struct pv_hardnat_transmit tx;
    unsigned n = 0;
    while (pv_hardnat_phase(r->h) == PV_HARDNAT_RUNNING) {
        r->now = pv_hardnat_next_timeout(r->h);
        pv_hardnat_handle_timeout(r->h, r->now);
        while (pv_hardnat_poll_transmit(r->h, &tx) == PV_OK) {
            if (!pv_addr_equal_ip(&tx.dst, &r->target.addr)) {
                pass_nat(r, &tx);
                continue;
            }
            const unsigned pass = n++ / SOCKETS;
            assert_true(pass < PV_ARRAY_LEN(ttl));
            assert_int_equal(tx.ttl, ttl[pass]);
            assert_int_equal(tx.opener, tx.ttl == 2);
            assert_true(r->now - start <= ends[pass]);
            assert_true(pass == 0 || r->now - start >= PV_S(pass == 1 ? 5 : 9));
        }
    }
    assert_int_equal(n, SOCKETS * PV_ARRAY_LEN(ttl));
}

/* Then our first packets leave our NAT and die before theirs. */
PV_TEST(no_packet_comes_in_early_where_that_takes_the_port)
{
    struct rig r;
    struct pv_hardnat_transmit tx;
    run_towards_one_that_takes(&r);
    uint16_t looker = 0;
    uint8_t looks[7][PV_STUN_HEADER_LEN];
    size_t n = 0;
    for (; pv_hardnat_poll_transmit(r.h, &tx) == PV_OK; n++) {
        assert_true(n < PV_ARRAY_LEN(looks));
        assert_int_equal(tx.ttl, n + 2);
        assert_true(looker == 0 || tx.sock == looker);
        assert_true(pv_addr_equal_ip(&tx.dst, &r.target.addr));
        assert_int_not_equal(tx.dst.port, r.target.addr.port);
        looker = tx.sock;
        memcpy(looks[n], tx.buf, sizeof(looks[n]));
    }
    assert_int_equal(n, PV_ARRAY_LEN(looks));
    /* TTL 2 and 3 are used up on the way, 5 and more reach them; nothing else counts. */
    const struct pv_view short_quote = pv_view(looks[4], PV_STUN_HEADER_LEN - 1);
    pv_hardnat_bounced(r.h, looker, pv_view(looks[1], sizeof(looks[1])), true);
    pv_hardnat_bounced(r.h, looker, pv_view(looks[0], sizeof(looks[0])), true);
    pv_hardnat_bounced(r.h, looker, pv_view(looks[6], sizeof(looks[6])), false);
    pv_hardnat_bounced(r.h, looker, pv_view(looks[3], sizeof(looks[3])), false);
    pv_hardnat_bounced(r.h, (uint16_t)(looker + 1), pv_view(looks[0], sizeof(looks[0])), false);
    pv_hardnat_bounced(r.h, looker, short_quote, true);
    assert_passes(&r, 4, 4);
}

/* No router told: two packets that may be wrong, the first of which cannot come in. */
PV_TEST(a_packet_that_reaches_nobody_goes_first_where_no_router_tells)
{
    struct rig r;
    struct pv_hardnat_transmit tx;
    run_towards_one_that_takes(&r);
    while (pv_hardnat_poll_transmit(r.h, &tx) == PV_OK)
        assert_true(tx.ttl >= 2); /* looks */
    assert_passes(&r, 2, 5);
}

/* Of two neighbours the other one takes in what has any TTL, unless it is an opener. */
PV_TEST(no_packet_comes_in_early_at_a_neighbour)
{
    struct rig r;
    struct pv_hardnat_transmit tx;
    run_towards_one_that_takes(&r);
    while (pv_hardnat_poll_transmit(r.h, &tx) == PV_OK) {
        assert_true(tx.ttl >= 2 && !tx.opener); /* looks, all of which reach them */
        pv_hardnat_bounced(r.h, tx.sock, pv_view(tx.buf, PV_STUN_HEADER_LEN), false);
    }
    assert_passes(&r, 2, 2);
}

PV_TEST(predictions_keep_a_low_rate_too)
{
    struct rig r;
    begin(&r, (struct pv_hardnat_config){.max_pps = 40}, &sequential);
    measure(&r, sequence);
    assert_true(pv_hardnat_run(r.h, &r.target, r.now, r.now));
    ops(&r);
    struct tally t = run_out(&r);
    assert_true(t.packets > 0);
    assert_true(t.most_in_a_second <= 40);
}

static size_t check_of(const struct rig *r, const char *pwd, uint8_t *buf, size_t cap)
{
    struct pv_stun_writer w;
    uint8_t txid[PV_STUN_TXID_LEN] = {1};
    size_t len;
    const char *username = PV_STR("%s:%s", r->target.own.ufrag, r->target.theirs.ufrag);
    pv_stun_write_begin(&w, buf, cap, PV_STUN_REQUEST, PV_STUN_BINDING, txid);
    pv_stun_put(&w, PV_STUN_ATTR_USERNAME, pv_view(username, strlen(username)));
    pv_stun_put_integrity(&w, pv_view(pwd, strlen(pwd)));
    assert_ok(pv_stun_write_end(&w, &len));
    return len;
}

PV_TEST(only_an_authentic_check_wins_and_the_losers_are_closed)
{
    struct rig r;
    uint8_t buf[256];
    uint16_t port = 0;
    begin(&r, (struct pv_hardnat_config){.max_pps = 0}, &cone);
    measure(&r, random_ports);
    assert_true(pv_hardnat_run(r.h, &r.target, r.now, r.now));
    ops(&r);
    size_t len = check_of(&r, r.target.theirs.pwd, buf, sizeof(buf));
    assert_int_equal(
        pv_hardnat_handle_input(r.h, r.some_sock, &r.target.addr, pv_view(buf, len), r.now, &port),
        PV_ERR_NOT_FOUND);
    len = check_of(&r, r.target.own.pwd, buf, sizeof(buf));
    for (size_t n = 0; n < len; n++)
        assert_int_equal(pv_hardnat_handle_input(r.h, r.some_sock, &r.target.addr, pv_view(buf, n),
                                                 r.now, &port),
                         PV_ERR_NOT_FOUND);
    assert_int_equal(
        pv_hardnat_handle_input(r.h, 60000, &r.target.addr, pv_view(buf, len), r.now, &port),
        PV_ERR_NOT_FOUND);
    assert_ok(
        pv_hardnat_handle_input(r.h, r.some_sock, &r.target.addr, pv_view(buf, len), r.now, &port));
    assert_int_equal(port, 30000 + r.some_sock);
    pv_hardnat_end(r.h, r.some_sock);
    ops(&r);
    assert_int_equal(r.open, 1);
    assert_int_equal(r.last_adopted, r.some_sock);
    pv_hardnat_release(r.h, r.some_sock);
    ops(&r);
    assert_int_equal(r.open, 0);
}

/* A further attempt sends from the main socket what such a one can. */
PV_TEST(eight_sockets_are_kept_and_no_ninth)
{
    struct rig r;
    struct pv_hardnat_transmit tx;
    const struct pv_addr servers[2] = {none, none};
    begin(&r, (struct pv_hardnat_config){.max_pps = 0}, &cone);
    for (unsigned i = 0; i < PV_HARDNAT_KEPT; i++) {
        pv_hardnat_forget(r.h);
        measure(&r, random_ports);
        pv_hardnat_end(r.h, r.some_sock);
        ops(&r);
    }
    assert_int_equal(r.adopted, PV_HARDNAT_KEPT);
    pv_hardnat_forget(r.h);
    measure(&r, random_ports);
    assert_false(pv_hardnat_run(r.h, &r.target, r.now, r.now));
    pv_hardnat_end(r.h, 0);
    ops(&r);
    pv_hardnat_forget(r.h);
    measure_taking(&r, 1, true, 0);
    assert_int_equal(pv_hardnat_nat(r.h)->last, 0);
    r.target.nat = taking;
    assert_true(pv_hardnat_run(r.h, &r.target, r.now, r.now));
    pv_hardnat_handle_timeout(r.h, r.now);
    assert_ok(pv_hardnat_poll_transmit(r.h, &tx));
    assert_int_equal(tx.sock, 0);
    assert_int_equal(tx.dst.port, taking.last);
    pv_hardnat_end(r.h, 0);
    ops(&r);
    assert_int_equal(r.open, PV_HARDNAT_KEPT);
    pv_hardnat_forget(r.h);
    measure_taking(&r, 1, true, 0);
    pv_hardnat_end(r.h, 0);
    pv_hardnat_release(r.h, r.last_adopted);
    measure_taking(&r, 1, true, 0);
    assert_int_not_equal(pv_hardnat_nat(r.h)->last, 0);
    assert_int_equal(pv_hardnat_begin(r.h, 4, servers, r.now), PV_ERR_STATE); /* one at a time */
}

/* Two addresses of one server, of which this node reaches the first alone: its other port has to
 * do, and tells the kind of the NAT and whether it lets early packets take ports. */
PV_TEST(a_second_server_out_of_reach_is_replaced)
{
    struct rig r;
    struct pv_hardnat_transmit tx;
    const struct pv_addr servers[2] = {server, pv_addr4(192, 0, 2, 7, 3478)};
    bool change = false;
    begin(&r, (struct pv_hardnat_config){.max_pps = 0}, &cone);
    assert_ok(pv_hardnat_begin(r.h, 3, servers, r.now));
    ops(&r);
    const pv_ns began = r.now;
    for (;;) {
        while (pv_hardnat_poll_transmit(r.h, &tx) == PV_OK) {
            change = change || asks_for_change(&tx);
            if (pv_addr_equal_ip(&tx.dst, &servers[0]) && !asks_for_change(&tx))
                answer_with(&r, &tx, &tx.dst, (uint16_t)(30000 + tx.sock));
        }
        if (pv_hardnat_phase(r.h) != PV_HARDNAT_MEASURING)
            break;
        r.now = pv_hardnat_next_timeout(r.h);
        pv_hardnat_handle_timeout(r.h, r.now);
    }
    assert_true(change && r.now - began <= PV_MS(600));
    assert_int_equal(pv_hardnat_nat(r.h)->mapping, PV_DESC_MAPPING_SAME);
}

PV_TEST(switched_off_nothing_begins)
{
    struct rig r;
    const struct pv_addr servers[2] = {none, none};
    begin(&r, (struct pv_hardnat_config){.predict_off = true, .birthday_off = true}, &cone);
    assert_int_equal(pv_hardnat_begin(r.h, 3, servers, r.now), PV_ERR_STATE);
}

PV_TEST(a_server_that_is_silent_leaves_the_nat_unknown)
{
    struct rig r;
    const struct pv_addr servers[2] = {pv_addr4(192, 0, 2, 1, 3478), none};
    struct pv_hardnat_transmit tx;
    unsigned n = 0;
    begin(&r, (struct pv_hardnat_config){.max_pps = 0}, &cone);
    assert_ok(pv_hardnat_begin(r.h, 3, servers, r.now));
    ops(&r);
    while (pv_hardnat_phase(r.h) == PV_HARDNAT_MEASURING) {
        while (pv_hardnat_poll_transmit(r.h, &tx) == PV_OK)
            n++;
        r.now = pv_hardnat_next_timeout(r.h);
        pv_hardnat_handle_timeout(r.h, r.now);
    }
    assert_int_equal(n, 3 * PV_HARDNAT_SAMPLES);
    assert_int_equal(pv_hardnat_nat(r.h)->mapping, PV_DESC_MAPPING_UNKNOWN);
    assert_false(pv_hardnat_run(r.h, &r.target, r.now, r.now));
    assert_int_equal(pv_hardnat_phase(r.h), PV_HARDNAT_OVER);
}
