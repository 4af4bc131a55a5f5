/* SPDX-License-Identifier: MIT */
/* Sets of ports, tables and policies, against what a reader of the rules would say. */
#include "proto/rules/policy.h"
#include "tests/unit/test_util.h"

static size_t below(struct test_rng *g, uint32_t n)
{
    struct pv_rng rng = {.fill = test_rng_fill, .ctx = g};
    return pv_rng_below(&rng, n);
}

/* --- ports -------------------------------------------------------------------------------- */

PV_TEST(texts_have_one_form)
{
    static const struct {
        const char *text, *form;
    } rows[] = {
        {"all", "all"},
        {"tcp/22,all", "all"},
        {"22", "22"},
        {"tcp/22,udp/22", "22"},
        {"ssh", "tcp/22"},
        {"chat,files,ping", "ping,chat,files"},
        {"2047-2048", "chat,files,udp/2047-2048"},
        {"tcp/2047-2049", "tcp/2047-2049"},
        {"chat", "chat"},
        {"files", "files"},
        {"ping", "ping"},
        {"icmp/8", "ping"},
        {"icmp", "icmp"},
        {"proto/58", "icmp"},
        {"proto/47", "proto/47"},
        {"tcp", "tcp"},
        {"tcp/0-65535", "tcp"},
        {"tcp,udp", "tcp,udp"},
        {"udp/9,udp/5-7,udp/8", "udp/5-9"},
        {"tcp/5-9,tcp/7-20", "tcp/5-20"},
        {"tcp/80,tcp/443", "tcp/80,tcp/443"},
        {"2047", "chat,udp/2047"},
        {"dns", "53"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_ports p;
        char buf[PV_PORTS_TEXT];
        assert_ok(pv_ports_parse(rows[i].text, &p));
        assert_string_equal(pv_ports_format(&p, buf), rows[i].form);
        struct pv_ports again;
        assert_ok(pv_ports_parse(buf, &again));
        assert_string_equal(PV_PORTS_STR(&again), buf);
    }
}

PV_TEST(bad_texts_are_refused)
{
    static const char *const bad[] = {
        "",
        ",",
        "tcp/",
        "tcp/65536",
        "tcp/-1",
        "tcp/9-5",
        "22,",
        "sctp/22",
        "proto/0",
        "proto/256",
        "proto/",
        "Tcp/22",
        "tcp/22 ",
        "web",
        "tcp/1-2-3",
        "-5",
        "tcp//22",
        "tcp/22/23",
        "22222222222222222222222222222222222",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        struct pv_ports p;
        assert_int_equal(pv_ports_parse(bad[i], &p), PV_ERR_MALFORMED);
    }
    struct pv_ports p;
    assert_ok(pv_ports_parse(test_given("tcp/1 tcp/3 tcp/5 tcp/7 tcp/9"), &p));
    assert_int_equal(pv_ports_parse("1,3,5,7,9,11,13,15,17", &p), PV_ERR_LIMIT);
}

PV_TEST(bytes_read_back_and_have_one_form)
{
    struct pv_ports p, got;
    uint8_t buf[PV_PORTS_BYTES];
    assert_ok(pv_ports_parse("ping,tcp/22,udp/5-9,proto/47", &p));
    size_t len = pv_ports_encode(&p, buf);
    assert_int_equal(len, 4 * PV_PORTS_ENTRY);
    assert_ok(pv_ports_decode(pv_view(buf, len), &got));
    assert_string_equal(PV_PORTS_STR(&got), "ping,tcp/22,udp/5-9,proto/47");
    for (size_t cut = 0; cut < len; cut++) {
        if (cut % PV_PORTS_ENTRY != 0 || cut == 0)
            assert_int_equal(pv_ports_decode(pv_view(buf, cut), &got), PV_ERR_MALFORMED);
    }
    static const uint8_t bad[][10] = {
        {6, 0, 9, 0, 5},                    /* backwards */
        {6, 0, 5, 0, 5, 6, 0, 6, 0, 6},     /* they touch */
        {17, 0, 5, 0, 5, 6, 0, 5, 0, 5},    /* not in order */
        {0, 0, 0, 255, 255, 6, 0, 5, 0, 5}, /* all, and more */
        {58, 0, 0, 255, 255},               /* ICMP is one protocol here */
        {47, 0, 0, 0, 9},                   /* it has no ports */
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        size_t n = bad[i][5] == 0 ? 5 : 10;
        assert_int_equal(pv_ports_decode(pv_view(bad[i], n), &got), PV_ERR_MALFORMED);
    }
}

/* --- tables ------------------------------------------------------------------------------- */

static const uint8_t protos[] = {PV_PORTS_TCP, PV_PORTS_UDP, PV_PORTS_ICMP, 47, 0};

static struct pv_ports random_ports(struct test_rng *g)
{
    struct pv_ports p;
    char text[64];
    uint32_t lo = (uint32_t)below(g, 40), hi = lo + (uint32_t)below(g, 40);
    if (below(g, 8) == 0)
        hi = 65535;
    switch (below(g, 6)) {
    case 0:
        snprintf(text, sizeof(text), "all");
        break;
    case 1:
        snprintf(text, sizeof(text), "%u-%u", lo, hi);
        break;
    case 2:
        snprintf(text, sizeof(text), "ping,tcp/%u", lo);
        break;
    case 3:
        snprintf(text, sizeof(text), "udp/%u-%u,proto/47", lo, hi);
        break;
    case 4:
        snprintf(text, sizeof(text), "icmp/%u-%u,tcp", lo, hi);
        break;
    default:
        snprintf(text, sizeof(text), "tcp/%u-%u,tcp/%u", lo, hi, 65535 - lo);
        break;
    }
    assert_ok(pv_ports_parse(text, &p));
    return p;
}

/* The verdict that a person finds who reads from the top. */
static struct pv_verdict by_reading(const struct pv_ruleline *lines, size_t n, bool allow_default,
                                    const struct pv_ports *local, uint8_t proto, uint16_t port)
{
    if (local != NULL && !pv_ports_has(local, proto, port))
        return (struct pv_verdict){.allow = false, .rule = PV_RULE_LOCAL};
    for (size_t i = 0; i < n; i++) {
        if (pv_ports_has(lines[i].ports, proto, port))
            return (struct pv_verdict){.allow = lines[i].allow, .rule = lines[i].rule};
    }
    return (struct pv_verdict){.allow = allow_default, .rule = PV_RULE_DEFAULT};
}

PV_TEST(a_table_says_what_its_rules_say)
{
    struct test_rng g = {.state = 7};
    for (size_t round = 0; round < 400; round++) {
        struct pv_ports ports[40], own = random_ports(&g);
        struct pv_ruleline lines[40];
        struct pv_ruletable *t;
        size_t n = below(&g, 40);
        bool allow = below(&g, 2) == 0;
        const struct pv_ports *local = below(&g, 3) == 0 ? &own : NULL;
        for (size_t i = 0; i < n; i++) {
            ports[i] = random_ports(&g);
            lines[i] = (struct pv_ruleline){
                .rule = (uint16_t)(3 * i + 1), .allow = below(&g, 2) == 0, .ports = &ports[i]};
        }
        assert_ok(pv_ruletable_new(lines, n, allow, local, &t));
        for (size_t i = 0; i < 600; i++) {
            uint8_t proto = protos[below(&g, PV_ARRAY_LEN(protos))];
            uint16_t port = (uint16_t)(i < 100 ? i : 65535 - below(&g, 90));
            struct pv_verdict got = pv_ruletable_look(t, proto, port);
            struct pv_verdict want = by_reading(lines, n, allow, local, proto, port);
            assert_int_equal(got.allow, want.allow);
            assert_int_equal(got.rule, want.rule);
        }
        assert_null(pv_ruletable_unref(t));
    }
}

PV_TEST(a_number_beyond_the_limit_is_refused)
{
    struct pv_ports all;
    struct pv_ruletable *t;
    assert_ok(pv_ports_parse("all", &all));
    struct pv_ruleline line = {.rule = 0, .allow = true, .ports = &all};
    assert_int_equal(pv_ruletable_new(&line, 1, true, NULL, &t), PV_ERR_LIMIT);
    line.rule = PV_RULES_MAX + 1;
    assert_int_equal(pv_ruletable_new(&line, 1, true, NULL, &t), PV_ERR_LIMIT);
    line.rule = PV_RULES_MAX;
    assert_ok(pv_ruletable_new(&line, 1, false, NULL, &t));
    assert_true(pv_ruletable_look(t, PV_PORTS_TCP, 65535).allow);
    assert_int_equal(pv_ruletable_look(t, PV_PORTS_TCP, 0).rule, PV_RULES_MAX);
    pv_ruletable_unref(t);
}

/* --- policies ----------------------------------------------------------------------------- */

enum {
    NODES = 6,
    TAGS = 3,
};

static const char *const tags[TAGS] = {"guest", "printer", "server"};

static void node_key(size_t i, uint8_t key[static PV_KEY_LEN])
{
    memset(key, (int)(i + 1), PV_KEY_LEN);
}

static struct pv_selector random_selector(struct test_rng *g)
{
    struct pv_selector s = {.kind = (uint8_t)below(g, 4)};
    size_t which = below(g, TAGS);
    if (s.kind == PV_SELECT_NODE) {
        s.len = PV_KEY_LEN;
        node_key(below(g, NODES), s.value);
    } else if (s.kind == PV_SELECT_TAG) {
        s.len = (uint8_t)strlen(tags[which]);
        memcpy(s.value, tags[which], s.len);
    } else if (s.kind == PV_SELECT_PREFIX) {
        const struct pv_prefix behind = test_prefix("10.9.0.0/16");
        s = pv_selector_of_prefix(&behind);
    }
    return s;
}

static bool is_meant(const struct pv_selector *s, size_t node, bool has[NODES][TAGS])
{
    uint8_t key[PV_KEY_LEN];
    node_key(node, key);
    if (s->kind == PV_SELECT_NODE)
        return memcmp(s->value, key, sizeof(key)) == 0;
    for (size_t i = 0; s->kind == PV_SELECT_TAG && i < TAGS; i++) {
        if (strcmp(tags[i], (const char *)s->value) == 0)
            return has[node][i];
    }
    return s->kind == PV_SELECT_ANY;
}

static void swap_rules(struct pv_policy_rule *a, struct pv_policy_rule *b)
{
    struct pv_policy_rule x = *a;
    *a = *b;
    *b = x;
}

/* The rules by place, then by id, by the plainest of all ways to sort. */
static void sort_rules(struct pv_policy_rule *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            if (r[k].place < r[i].place ||
                (r[k].place == r[i].place && memcmp(r[k].id, r[i].id, sizeof(r[i].id)) < 0))
                swap_rules(&r[i], &r[k]);
        }
    }
}

PV_TEST(a_policy_says_what_its_rules_say)
{
    struct test_rng g = {.state = 11};
    for (size_t round = 0; round < 300; round++) {
        struct pv_policy *p;
        struct pv_policy_rule rules[20];
        bool has[NODES][TAGS] = {{false}};
        bool deny = below(&g, 2) == 0;
        size_t n = below(&g, 20);
        assert_ok(pv_policy_new(&p));
        for (size_t i = 0; i < n; i++) {
            rules[i] = (struct pv_policy_rule){.place = below(&g, 6),
                                               .allow = below(&g, 2) == 0,
                                               .from = random_selector(&g),
                                               .to = random_selector(&g),
                                               .ports = random_ports(&g)};
            memset(rules[i].id, (int)(i * 7 % 20 + 1), sizeof(rules[i].id));
            assert_ok(pv_policy_add(p, &rules[i]));
        }
        for (size_t i = 0; i < 10; i++) {
            size_t node = below(&g, NODES), tag = below(&g, TAGS);
            uint8_t key[PV_KEY_LEN];
            node_key(node, key);
            has[node][tag] = true;
            assert_ok(pv_policy_tag(p, key, tags[tag]));
        }
        if (deny)
            pv_policy_deny_by_default(p);
        pv_policy_finish(p);
        sort_rules(rules, n);
        assert_int_equal(pv_policy_count(p), n);
        for (size_t ask = 0; ask < 60; ask++) {
            size_t from = below(&g, NODES), to = below(&g, NODES), lines = 0;
            uint8_t f[PV_KEY_LEN], t[PV_KEY_LEN], proto = protos[below(&g, 4)];
            uint16_t port = (uint16_t)below(&g, 90);
            struct pv_verdict want = {.allow = !deny, .rule = PV_RULE_DEFAULT};
            struct pv_ruleline got_lines[20];
            struct pv_ruletable *table;
            node_key(from, f);
            node_key(to, t);
            for (size_t i = n; i-- > 0;) {
                bool about = is_meant(&rules[i].from, from, has) && is_meant(&rules[i].to, to, has);
                lines += about ? 1 : 0;
                if (about && pv_ports_has(&rules[i].ports, proto, port))
                    want = (struct pv_verdict){.allow = rules[i].allow, .rule = (uint16_t)(i + 1)};
            }
            struct pv_verdict got = pv_policy_decide(p, f, t, proto, port);
            assert_int_equal(got.allow, want.allow);
            assert_int_equal(got.rule, want.rule);
            assert_int_equal(pv_policy_lines(p, f, t, got_lines), lines);
            assert_ok(pv_ruletable_new(got_lines, lines, !deny, NULL, &table));
            got = pv_ruletable_look(table, proto, port);
            assert_int_equal(got.allow, want.allow);
            assert_int_equal(got.rule, want.rule);
            pv_ruletable_unref(table);
        }
        assert_null(pv_policy_free(p));
    }
}

PV_TEST(tags_are_listed_once_and_in_order)
{
    struct pv_policy *p;
    uint8_t key[PV_KEY_LEN], other[PV_KEY_LEN];
    node_key(0, key);
    node_key(1, other);
    assert_ok(pv_policy_new(&p));
    assert_ok(pv_policy_tag(p, key, "server"));
    assert_ok(pv_policy_tag(p, key, "guest"));
    assert_ok(pv_policy_tag(p, key, "server"));
    pv_policy_finish(p);
    assert_true(pv_policy_is_empty(p)); /* tags alone restrict nobody */
    assert_string_equal(pv_policy_tag_of(p, key, 0), "guest");
    assert_string_equal(pv_policy_tag_of(p, key, 1), "server");
    assert_null(pv_policy_tag_of(p, key, 2));
    assert_null(pv_policy_tag_of(p, other, 0));
    assert_true(pv_policy_has_tag(p, "guest"));
    assert_false(pv_policy_has_tag(p, "printer"));
    pv_policy_free(p);
}

PV_TEST(selectors_read_back_or_are_refused)
{
    struct test_rng g = {.state = 3};
    uint8_t buf[PV_SELECTOR_BYTES];
    for (size_t i = 0; i < 50; i++) {
        struct pv_selector s = random_selector(&g), got;
        size_t len = pv_selector_encode(&s, buf);
        assert_ok(pv_selector_decode(pv_view(buf, len), &got));
        assert_memory_equal(&got, &s, sizeof(s));
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(pv_selector_decode(pv_view(buf, cut), &got), PV_ERR_MALFORMED);
    }
    static const uint8_t bad[][6] = {{0, 0, 1, 'a'},      {1, 0, 2, 1, 1},   {2, 0, 0},
                                     {2, 0, 2, 'A', 'b'}, {2, 0, 2, 'a', 0}, {3, 0, 2, 4, 8},
                                     {3, 0, 0},           {4, 0, 0}};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++) {
        struct pv_selector got;
        assert_int_equal(pv_selector_decode(pv_view(bad[i], 3u + bad[i][2]), &got),
                         PV_ERR_MALFORMED);
    }
}

/* Rules about a prefix hold for what lies in it, those about anybody for all, and of those about
 * the gateway the ones that deny. */
PV_TEST(networks_behind_a_node_have_rules_of_their_own)
{
    static const uint8_t alice[PV_KEY_LEN] = {1}, nas[PV_KEY_LEN] = {2};
    struct pv_policy *p;
    struct pv_prefix lan, printer, other, got;
    struct pv_ruleline lines[8];
    const struct pv_port_range web = {PV_PORTS_TCP, 80, 80}, ssh = {PV_PORTS_TCP, 22, 22};
    lan = test_prefix("192.168.1.0/24");
    printer = test_prefix("192.168.1.7/32");
    other = test_prefix("192.168.2.0/24");
    assert_ok(pv_policy_new(&p));
    struct pv_policy_rule r = {.place = 1, .allow = true};
    assert_ok(pv_ports_parse("tcp/22", &r.ports));
    r.to = (struct pv_selector){.kind = PV_SELECT_NODE, .len = PV_KEY_LEN};
    memcpy(r.to.value, nas, PV_KEY_LEN);
    assert_ok(pv_policy_add(p, &r));
    r.place = 2;
    r.to = pv_selector_of_prefix(&lan);
    assert_true(pv_selector_prefix(&r.to, &got));
    assert_true(pv_addr_equal(&got.base, &lan.base) && got.bits == lan.bits);
    assert_ok(pv_ports_parse("tcp/80", &r.ports));
    assert_ok(pv_policy_add(p, &r));
    pv_policy_deny_by_default(p);
    pv_policy_finish(p);
    assert_true(pv_policy_decide(p, alice, nas, PV_PORTS_TCP, 22).allow);
    assert_false(pv_policy_decide(p, alice, nas, PV_PORTS_TCP, 80).allow);
    assert_false(pv_policy_decide_beyond(p, alice, nas, &printer, ssh).allow);
    assert_true(pv_policy_decide_beyond(p, alice, nas, &printer, web).allow);
    assert_int_equal(pv_policy_decide_beyond(p, alice, nas, &printer, web).rule, 2);
    assert_false(pv_policy_decide_beyond(p, alice, nas, &other, web).allow);
    assert_int_equal(pv_policy_lines_beyond(p, alice, nas, &lan, lines), 1);
    assert_int_equal(lines[0].rule, 2);
    pv_policy_free(p);

    assert_ok(pv_policy_new(&p));
    r.allow = false;
    r.to = (struct pv_selector){.kind = PV_SELECT_NODE, .len = PV_KEY_LEN};
    memcpy(r.to.value, nas, PV_KEY_LEN);
    assert_ok(pv_policy_add(p, &r));
    pv_policy_finish(p);
    assert_false(pv_policy_decide_beyond(p, alice, nas, &printer, web).allow);
    assert_true(pv_policy_decide_beyond(p, alice, alice, &printer, web).allow);
    pv_policy_free(p);

    struct pv_selector bad = pv_selector_of_prefix(&lan);
    bad.len--;
    assert_false(pv_selector_prefix(&bad, &got));
    bad.value[0] = 5;
    assert_false(pv_selector_prefix(&bad, &got));
}

/* --- accounts --------------------------------------------------------------------------------- */

static const char *logins_of(const char *text)
{
    static char buf[PV_LOGINS_TEXT];
    struct pv_logins l;
    struct pv_ports ports;
    if (pv_logins_parse(text, &ports, &l) != PV_OK)
        return NULL;
    assert_true(pv_logins_fit(&l, &ports));
    return pv_logins_format(&l, &ports, buf);
}

PV_TEST(accounts_have_one_form)
{
    static const char *const bad[] = {
        "ssh:",         "ssh:,",       "ssh:ada,",   "ssh:*",
        "ssh:ad?",      "ssh:!ada",    "ssh:a da",   "ssh:ada\n",
        "ssh:-ada",     "ssh:1ada",    "ssh/:ada",   "ssh/0:ada",
        "ssh/x:ada",    "ssh/65536:a", "ssh/22",     "ssh/22:",
        "ssh:a\"b",     "ssh:a#b",     "ssh:%u",     "ssh:a@b",
        "ssh:\303\244", "ssh2222:ada", "tcp/22:ada", "ssh:abcdefghijabcdefghijabcdefghij123",
    };
    assert_string_equal(logins_of("ssh:ada"), "ssh:ada");
    assert_string_equal(logins_of("ssh:bob,ada,bob,_x.y-1"), "ssh:_x.y-1,ada,bob");
    assert_string_equal(logins_of("ssh/22:ada"), "ssh:ada");
    assert_string_equal(logins_of("ssh/2222:Ada"), "ssh/2222:Ada");
    assert_string_equal(logins_of("ssh:a,ab,aa"), "ssh:a,aa,ab");
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        if (logins_of(bad[i]) != NULL)
            fail_msg("%s", bad[i]);
}

PV_TEST(accounts_in_bytes_have_one_form)
{
    static const char *const bad[] = {"ada,ada", "bob,ada", ",ada", "ada,", "*", "a b", "ada\n"};
    struct pv_logins l;
    assert_ok(pv_logins_decode(pv_view("ada,bob", 7), &l));
    assert_true(pv_logins_have(&l, "ada") && pv_logins_have(&l, "bob"));
    assert_false(pv_logins_have(&l, "ad") || pv_logins_have(&l, "ada,bob") ||
                 pv_logins_have(&l, "") || pv_logins_have(&l, "adabob"));
    assert_ok(pv_logins_decode(pv_view(NULL, 0), &l));
    assert_true(pv_logins_are_none(&l));
    assert_false(pv_logins_have(&l, ""));
    assert_int_equal(pv_logins_decode(pv_view("ada\0bob", 7), &l), PV_ERR_MALFORMED);
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_int_equal(pv_logins_decode(pv_view(bad[i], strlen(bad[i])), &l), PV_ERR_MALFORMED);
}

static void add_logins(struct pv_policy *p, bool allow, const char *text)
{
    struct pv_policy_rule r = {.place = pv_policy_count(p) + 1, .allow = allow};
    if (pv_logins_are_meant(text))
        assert_ok(pv_logins_parse(text, &r.ports, &r.logins));
    else
        assert_ok(pv_ports_parse(text, &r.ports));
    assert_ok(pv_policy_add(p, &r));
}

/* A login is allowed by a rule that names the account, whatever else opens the port. */
PV_TEST(a_rule_opens_the_accounts_that_it_names)
{
    static const uint8_t alice[PV_KEY_LEN] = {1}, pi[PV_KEY_LEN] = {2};
    struct pv_policy *p;
    assert_ok(pv_policy_new(&p));
    add_logins(p, true, "all");
    add_logins(p, true, "ssh:ada");
    add_logins(p, false, "tcp/2222");
    add_logins(p, true, "ssh/2222:bob");
    add_logins(p, false, "ssh");
    add_logins(p, true, "ssh:eve");
    add_logins(p, true, "ssh/2223:bob");
    pv_policy_finish(p);
    assert_true(pv_policy_login(p, alice, pi, "ada").allow);
    assert_int_equal(pv_policy_login(p, alice, pi, "ada").rule, 2);
    assert_int_equal(pv_policy_login(p, alice, pi, "bob").rule, 7);
    assert_false(pv_policy_login(p, alice, pi, "eve").allow);
    assert_int_equal(pv_policy_login(p, alice, pi, "eve").rule, 5);
    assert_false(pv_policy_login(p, alice, pi, "root").allow);
    assert_int_equal(pv_policy_login(p, alice, pi, "root").rule, PV_RULE_DEFAULT);
    pv_policy_free(p);
}
