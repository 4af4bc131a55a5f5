/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "base/names.h"
#include "tests/unit/test_util.h"

enum {
    N = 5,
    SIZE = PV_NAMES_SIZE(N),
};

static const char *const NAMES[N] = {"pi", "bob", "bob-2", "alice", "z"};

/* alice has no IPv4 address, z no IPv6 one. */
static void fill(struct pv_names_entry entries[N])
{
    memset(entries, 0, N * sizeof(entries[0]));
    for (unsigned i = 0; i < N; i++) {
        const uint8_t ip6[16] = {0xfd, 1, [15] = (uint8_t)(200 - i)};
        snprintf(entries[i].name, sizeof(entries[i].name), "%s", NAMES[i]);
        if (strcmp(NAMES[i], "alice") != 0)
            entries[i].ip4 = pv_addr4(10, 66, (uint8_t)(9 - i), 1, 0);
        if (strcmp(NAMES[i], "z") != 0)
            entries[i].ip6 = pv_addr6(ip6, 0);
    }
}

static struct pv_names build(uint8_t file[SIZE])
{
    struct pv_names_entry entries[N];
    struct pv_names names;
    fill(entries);
    assert_ok(pv_names_build("home", entries, N, file, SIZE));
    assert_ok(pv_names_open(pv_view(file, SIZE), &names));
    return names;
}

PV_TEST(everybody_is_found_by_name_and_by_both_addresses)
{
    uint8_t file[SIZE];
    struct pv_names names = build(file);
    struct pv_names_entry want[N], e;
    fill(want);
    assert_ok(pv_names_check(&names));
    assert_string_equal(names.network, "home");
    for (unsigned i = 0; i < N; i++) {
        assert_ok(pv_names_by_name(&names, want[i].name, &e));
        assert_string_equal(e.name, want[i].name);
        assert_true(pv_addr_equal(&e.ip4, &want[i].ip4));
        assert_true(pv_addr_equal(&e.ip6, &want[i].ip6));
        const struct pv_addr *addr[] = {&want[i].ip4, &want[i].ip6};
        for (unsigned k = 0; k < 2; k++) {
            int r = pv_names_by_ip(&names, addr[k], &e);
            assert_int_equal(r, addr[k]->family == PV_AF_NONE ? PV_ERR_NOT_FOUND : PV_OK);
            assert_string_equal(e.name, want[i].name);
        }
    }
}

PV_TEST(nobody_else_is_found)
{
    static const char *const rows[] = {"", "a", "bo", "bob-", "bob-20", "zz", "Bob", "home"};
    uint8_t file[SIZE];
    struct pv_names names = build(file);
    struct pv_names_entry e;
    char longest[80];
    for (unsigned i = 0; i < PV_ARRAY_LEN(rows); i++)
        assert_int_equal(pv_names_by_name(&names, rows[i], &e), PV_ERR_NOT_FOUND);
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(pv_names_by_name(&names, longest, &e), PV_ERR_NOT_FOUND);
    const struct pv_addr none = {0}, any4 = {.family = PV_AF_INET}, any6 = {.family = PV_AF_INET6};
    const struct pv_addr other = pv_addr4(10, 66, 0, 1, 0);
    assert_int_equal(pv_names_by_ip(&names, &none, &e), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_names_by_ip(&names, &any4, &e), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_names_by_ip(&names, &any6, &e), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_names_by_ip(&names, &other, &e), PV_ERR_NOT_FOUND);
}

PV_TEST(an_empty_file_knows_nobody)
{
    uint8_t file[PV_NAMES_SIZE(0)];
    struct pv_names names;
    struct pv_names_entry e;
    const struct pv_addr ip = pv_addr4(10, 66, 1, 1, 0);
    assert_ok(pv_names_build("home", NULL, 0, file, sizeof(file)));
    assert_ok(pv_names_open(pv_view(file, sizeof(file)), &names));
    assert_ok(pv_names_check(&names));
    assert_int_equal(pv_names_by_name(&names, "bob", &e), PV_ERR_NOT_FOUND);
    assert_int_equal(pv_names_by_ip(&names, &ip, &e), PV_ERR_NOT_FOUND);
}

PV_TEST(build_refuses_what_no_file_can_hold)
{
    struct pv_names_entry entries[N];
    uint8_t file[SIZE];
    fill(entries);
    assert_int_equal(pv_names_build("home", entries, N, file, SIZE - 1), PV_ERR_NO_SPACE);
    assert_int_equal(pv_names_build("Home", entries, N, file, SIZE), PV_ERR_MALFORMED);
    assert_int_equal(pv_names_build("home", entries, PV_NAMES_MAX + 1, file, SIZE), PV_ERR_LIMIT);
    snprintf(entries[1].name, sizeof(entries[1].name), "bob_2");
    assert_int_equal(pv_names_build("home", entries, N, file, SIZE), PV_ERR_MALFORMED);
    fill(entries);
    snprintf(entries[0].name, sizeof(entries[0].name), "bob");
    assert_int_equal(pv_names_build("home", entries, N, file, SIZE), PV_ERR_EXISTS);
}

PV_TEST(open_rejects_every_truncation_and_one_byte_more)
{
    uint8_t file[SIZE + 1] = {0};
    struct pv_names names;
    (void)build(file);
    for (size_t len = 0; len < SIZE; len++) {
        uint8_t *exact = malloc(len + 1);
        memcpy(exact, file, len);
        assert_int_equal(pv_names_open(pv_view(exact, len), &names), PV_ERR_TRUNCATED);
        free(exact);
    }
    assert_int_equal(pv_names_open(pv_view(file, SIZE + 1), &names), PV_ERR_MALFORMED);
}

PV_TEST(open_rejects_a_frame_that_is_not_ours)
{
    static const struct {
        size_t at;
        uint8_t value;
        int status;
        const char *why;
    } rows[] = {
        {0, 'P', PV_ERR_UNSUPPORTED, "magic"},
        {13, '2', PV_ERR_UNSUPPORTED, "another version"},
        {15, 1, PV_ERR_UNSUPPORTED, "magic's NUL"},
        {16, 1, PV_ERR_MALFORMED, "count far above the limit"},
        {19, N + 1, PV_ERR_TRUNCATED, "one record more than there is"},
        {19, N - 1, PV_ERR_MALFORMED, "one record less"},
        {23, 1, PV_ERR_MALFORMED, "zero that is not"},
        {24, 'H', PV_ERR_MALFORMED, "network in capitals"},
        {24, 0, PV_ERR_MALFORMED, "no network"},
        {87, 'x', PV_ERR_MALFORMED, "bytes behind the network's NUL"},
        {95, 1, PV_ERR_MALFORMED, "the other zero"},
    };
    for (unsigned i = 0; i < PV_ARRAY_LEN(rows); i++) {
        uint8_t file[SIZE];
        struct pv_names names;
        (void)build(file);
        file[rows[i].at] = rows[i].value;
        if (pv_names_open(pv_view(file, SIZE), &names) != rows[i].status)
            fail_msg("%s", rows[i].why);
    }
    /* Exactly one over the limit, with all the bytes it promises. */
    size_t len = PV_NAMES_SIZE(PV_NAMES_MAX + 1);
    uint8_t *big = calloc(1, len), small[SIZE];
    struct pv_names names;
    (void)build(small);
    memcpy(big, small, PV_NAMES_HEAD);
    pv_store_be32(big + 16, PV_NAMES_MAX + 1);
    assert_int_equal(pv_names_open(pv_view(big, len), &names), PV_ERR_MALFORMED);
    free(big);
}

PV_TEST(a_damaged_record_is_not_given_out)
{
    uint8_t file[SIZE];
    struct pv_names names = build(file);
    struct pv_names_entry e;
    const struct pv_addr alice6 = pv_addr6((const uint8_t[16]){0xfd, 1, [15] = 197}, 0);
    file[PV_NAMES_HEAD + 10] = 'x'; /* behind alice's NUL */
    assert_int_equal(pv_names_check(&names), PV_ERR_MALFORMED);
    assert_int_equal(pv_names_by_ip(&names, &alice6, &e), PV_ERR_MALFORMED);
    assert_int_equal(pv_names_by_name(&names, "alice", &e), PV_ERR_NOT_FOUND);
    assert_ok(pv_names_by_name(&names, "bob", &e));
    names = build(file);
    pv_store_be32(file + PV_NAMES_HEAD + N * PV_NAMES_RECORD + 8, N); /* a number of no record */
    const struct pv_addr ip = pv_addr4(10, 66, 8, 1, 0);
    assert_int_equal(pv_names_check(&names), PV_ERR_MALFORMED);
    assert_int_equal(pv_names_by_ip(&names, &ip, &e), PV_ERR_MALFORMED);
    names = build(file);
    memcpy(file + PV_NAMES_HEAD, "zzzzz", 5); /* out of order */
    assert_int_equal(pv_names_check(&names), PV_ERR_MALFORMED);
}

PV_TEST(host_names_come_apart)
{
    static const struct {
        const char *text, *name, *network;
    } rows[] = {
        {"bob", "bob", ""},
        {"BOB", "bob", ""},
        {"bob.home.p2p", "bob", "home"},
        {"Bob.Home.P2P.", "bob", "home"},
        {"", NULL, NULL},
        {".", NULL, NULL},
        {"bob.", NULL, NULL},
        {"bob.home", NULL, NULL},
        {"bob.p2p", NULL, NULL},
        {"bob..p2p", NULL, NULL},
        {".home.p2p", NULL, NULL},
        {"bob.home.p2p..", NULL, NULL},
        {"bob.home.p2px", NULL, NULL},
        {"bob.home.p2p.org", NULL, NULL},
        {"x.bob.home.p2p", NULL, NULL},
        {"localhost", NULL, NULL},
        {"b_b", NULL, NULL},
        {"10.66.1.2", NULL, NULL},
        {"fd00::1", NULL, NULL},
    };
    char name[PV_NAME_BUF], network[PV_NAME_BUF], full[PV_NAMES_FULL_BUF], text[400];
    for (unsigned i = 0; i < PV_ARRAY_LEN(rows); i++) {
        int r = pv_names_split(rows[i].text, name, network);
        assert_int_equal(r, rows[i].name == NULL ? PV_ERR_NOT_FOUND : PV_OK);
        if (r != PV_OK)
            continue;
        assert_string_equal(name, rows[i].name);
        assert_string_equal(network, rows[i].network);
    }
    memset(text, 'a', sizeof(text));
    text[PV_NAME_MAX] = '\0';
    assert_ok(pv_names_split(text, name, network));
    assert_ok(pv_names_split(pv_names_full(name, name, full), name, network));
    assert_string_equal(network, text);
    text[PV_NAME_MAX] = 'a';
    text[PV_NAME_MAX + 1] = '\0';
    assert_int_equal(pv_names_split(text, name, network), PV_ERR_NOT_FOUND);
    text[PV_NAME_MAX + 1] = 'a';
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(pv_names_split(text, name, network), PV_ERR_NOT_FOUND);
    assert_string_equal(pv_names_full("bob", "home", full), "bob.home.p2p");
}

PV_TEST(an_address_is_told_from_the_words_of_a_sentence)
{
    static const struct {
        const char *word;
        bool is_address;
        const char *name;
    } rows[] = {
        {"bob", false, "bob"},
        {"Bob.home", false, "bob"},
        {"BOB.home.p2p.", false, "bob"},
        {"bob,", false, ""},
        {"", false, ""},
        {".bob", false, ""},
        {"3.5", false, "3"},
        {"10.66.1.2", true, "10"},
        {"10.66.1", false, "10"},
        {"FD00::0001", true, ""},
        {"key:AbCd", true, ""},
        {"key", false, "key"},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", true,
         "aaecawqfbgcicqolda0odxarehmufryxgbkagxwdhh8"},
    };
    char name[PV_NAME_BUF];
    for (unsigned i = 0; i < PV_ARRAY_LEN(rows); i++) {
        char line[128];
        assert_int_equal(pv_names_is_address(rows[i].word, name), rows[i].is_address);
        assert_string_equal(name, rows[i].name);
        snprintf(line, sizeof(line), "%*ssend  %s a text", (int)(i % 3), "", rows[i].word);
        if (rows[i].word[0] != '\0') {
            assert_int_equal(pv_names_in_send(line, name), rows[i].is_address);
            assert_string_equal(name, rows[i].name);
        }
    }
    assert_false(pv_names_in_send("to send bob", name));
    assert_string_equal(name, "");
    assert_false(pv_names_in_send("send bob  ", name));
    assert_string_equal(name, "");
}
