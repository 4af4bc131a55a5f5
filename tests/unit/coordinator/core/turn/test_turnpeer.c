/* SPDX-License-Identifier: MIT */
#include "coordinator/core/turn/turnpeer.h"
#include "tests/unit/test_util.h"

static struct pv_addr ip(const char *text)
{
    struct pv_addr a;
    if (pv_addr_parse_ip(text, &a) < 0)
        fail_msg("%s is no address", text);
    a.port = 443;
    return a;
}

static bool allowed(const char *text, const struct pv_turnpeer_rules *rules)
{
    struct pv_addr a = ip(text);
    return pv_turnpeer_is_allowed(&a, rules);
}

PV_TEST(every_encoding_leads_to_its_ipv4_address)
{
    static const char *const rows[][2] = {
        {"::ffff:127.0.0.1", "127.0.0.1"},
        {"::ffff:0:10.1.2.3", "10.1.2.3"},
        {"::192.168.1.1", "192.168.1.1"},
        {"64:ff9b::169.254.169.254", "169.254.169.254"},
        {"2002:7f00:1::1", "127.0.0.1"},
        {"2002:c0a8:101:5::9", "192.168.1.1"},
        {"2001:0:102:304::80ff:fffe", "127.0.0.1"},
        {"2001:db8::5efe:10.0.0.1", "10.0.0.1"},
        {"2001:db8::200:5efe:10.0.0.1", "10.0.0.1"},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:db8::1", "2001:db8::1"},
        {"198.51.100.1", "198.51.100.1"},
        {"2003::1", "2003::1"},
        {"2001:1::1", "2001:1::1"},
        {"::2", "0.0.0.2"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_addr got = pv_turnpeer_canonical(ip(rows[i][0]));
        struct pv_addr want = ip(rows[i][1]);
        if (!pv_addr_equal(&got, &want))
            fail_msg("%s", rows[i][0]);
    }
}

PV_TEST(forbidden_peers_are_refused_in_every_encoding)
{
    static const char *const forms[] = {
        "%s",
        "::ffff:%s",
        "::ffff:0:%s",
        "::%s",
        "64:ff9b::%s",
        "2001:db8:1:2::5efe:%s",
        "2001:db8:1:2:0200:5efe:%s",
        "64:ff9b:1::%s",
    };
    static const char *const inside[] = {
        "0.0.0.0",         "0.1.2.3",         "10.0.0.0",        "10.255.255.255",
        "100.64.0.0",      "100.127.255.255", "127.0.0.1",       "127.255.255.255",
        "169.254.0.1",     "169.254.169.254", "172.16.0.0",      "172.31.255.255",
        "192.0.0.1",       "192.168.0.1",     "192.168.255.255", "224.0.0.1",
        "239.255.255.255", "240.0.0.1",       "255.255.255.255", "203.0.113.5",
    };
    struct pv_addr own[] = {ip("203.0.113.5"), ip("2001:db8:77::5")};
    const struct pv_turnpeer_rules rules = {.own = own, .n_own = 2};
    for (size_t i = 0; i < PV_ARRAY_LEN(inside); i++) {
        struct pv_addr v4 = ip(inside[i]);
        for (size_t k = 0; k < PV_ARRAY_LEN(forms); k++) {
            char text[80];
            int n = 0;
            for (const char *p = forms[k]; *p != '\0' && n < 70; p++) {
                if (p[0] == '%') {
                    n += snprintf(text + n, sizeof(text) - (size_t)n, "%s", inside[i]);
                    p++;
                } else {
                    text[n++] = *p;
                }
            }
            text[n] = '\0';
            if (allowed(text, &rules))
                fail_msg("%s is allowed", text);
        }
        /* 6to4, and Teredo with it as client and as server */
        uint8_t six[16] = {0x20, 0x02, v4.ip[0], v4.ip[1], v4.ip[2], v4.ip[3], [15] = 1};
        uint8_t client[16] = {0x20, 0x01, 0, 0, 8, 8, 8, 8};
        uint8_t server[16] = {0x20, 0x01, 0, 0, v4.ip[0], v4.ip[1], v4.ip[2], v4.ip[3]};
        for (size_t b = 0; b < 4; b++) {
            client[12 + b] = v4.ip[b] ^ 0xff;
            server[12 + b] = 8 ^ 0xff;
        }
        struct pv_addr a = pv_addr6(six, 80);
        assert_false(pv_turnpeer_is_allowed(&a, &rules));
        a = pv_addr6(client, 80);
        assert_false(pv_turnpeer_is_allowed(&a, &rules));
        a = pv_addr6(server, 80);
        assert_false(pv_turnpeer_is_allowed(&a, &rules));
    }
    static const char *const six[] = {
        "::",
        "::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "feff::1",
        "fc00::1",
        "fdff::1",
        "ff02::1",
        "ff0e::1",
        "2001:db8:77::5",
        "64:ff9b:1::8.8.8.8",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(six); i++) {
        if (allowed(six[i], &rules))
            fail_msg("%s is allowed", six[i]);
    }
}

PV_TEST(the_internet_is_allowed)
{
    static const char *const rows[] = {
        "8.8.8.8",
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.0.0.1",
        "128.0.0.1",
        "169.253.0.1",
        "169.255.0.1",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.0.1",
        "192.169.0.1",
        "223.255.255.255",
        "2001:4860::8888",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2001:db8::1",
        "fb00::1",
        "fe00::1",
        "2001:0:808:808::f7f7:f7f7",
    };
    const struct pv_turnpeer_rules rules = {0};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        if (!allowed(rows[i], &rules))
            fail_msg("%s is refused", rows[i]);
    }
}

PV_TEST(the_configuration_allows_a_range_and_no_more)
{
    struct pv_prefix allow[3];
    struct pv_addr own[] = {ip("127.0.0.1")};
    allow[0] = test_prefix("127.0.0.1/32");
    allow[1] = test_prefix("10.1.0.0/16");
    allow[2] = test_prefix("0.0.0.0/0");
    struct pv_turnpeer_rules rules = {.allow = allow, .n_allow = 2, .own = own, .n_own = 1};
    assert_true(allowed("127.0.0.1", &rules)); /* its own, too */
    assert_false(allowed("127.0.0.2", &rules));
    assert_true(allowed("10.1.255.255", &rules));
    assert_false(allowed("10.2.0.0", &rules));
    assert_false(allowed("::ffff:127.0.0.1", &rules)); /* no socket sends there */
    rules.n_allow = 3;
    assert_true(allowed("192.168.1.1", &rules));
    assert_false(allowed("255.255.255.255", &rules)); /* never */
    assert_false(allowed("224.0.0.1", &rules));
    assert_false(allowed("0.0.0.0", &rules));
    assert_false(allowed("::1", &rules));
    struct pv_addr none = {0};
    assert_false(pv_turnpeer_is_allowed(&none, &rules));
}
