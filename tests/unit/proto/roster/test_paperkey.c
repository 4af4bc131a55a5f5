/* SPDX-License-Identifier: MIT */
#include <ctype.h>

#include "crypto/ct.h"
#include "proto/roster/paperkey.h"
#include "tests/unit/test_util.h"

static const uint8_t SEED[PV_SIGN_SEED_LEN] = {1, 2, 3, 4, 5};

/* Cheap: the cost is written down with the key. */
static struct pv_paperkey sample(uint8_t ret_key[static PV_PWHASH_KEY_LEN])
{
    struct pv_paperkey p = {.cost = {.passes = 1, .memory = PV_PWHASH_MEMORY_MIN}};
    memset(p.salt, 0x5a, sizeof(p.salt));
    assert_ok(pv_pwhash(ret_key, pv_view("open sesame", 11), p.salt, p.cost));
    pv_paperkey_seal(p.box, ret_key, SEED);
    return p;
}

static int parse(const char *text, unsigned *ret_line)
{
    struct pv_paperkey p;
    return pv_paperkey_parse(text, strlen(text), &p, ret_line);
}

PV_TEST(a_key_comes_back_by_its_passphrase_only)
{
    uint8_t key[PV_PWHASH_KEY_LEN], seed[PV_SIGN_SEED_LEN];
    char text[PV_PAPERKEY_TEXT_BUF];
    struct pv_paperkey p = sample(key), back;
    unsigned line;

    pv_paperkey_format(&p, text);
    assert_ok(pv_paperkey_parse(text, strlen(text), &back, &line));
    assert_memory_equal(&back, &p, sizeof(p));
    assert_ok(pv_paperkey_open(seed, key, back.box));
    assert_memory_equal(seed, SEED, sizeof(seed));
    assert_ok(pv_pwhash(key, pv_view("open sesame!", 12), back.salt, back.cost));
    assert_int_equal(pv_paperkey_open(seed, key, back.box), PV_ERR_AUTH);
    assert_true(pv_ct_is_zero(seed, sizeof(seed)));
}

/* The form is final: papers outlive programs. */
PV_TEST(the_text_does_not_change)
{
    uint8_t key[PV_PWHASH_KEY_LEN];
    char text[PV_PAPERKEY_TEXT_BUF];
    struct pv_paperkey p = sample(key);
    pv_paperkey_format(&p, text);
    assert_string_equal(text, "040GT PJTB9 D5MPJ TB9D5 MPJT8\n"
                              "B9D5M PJRC8 R464C TAM2M 4EAB0\n"
                              "7G2QF 6Y3HC FPZVV HFBP8 5BX5R\n"
                              "WSXB4 DNXPN YNYE5 MKFDP ERE4N\n"
                              "R9GT5 50WDG 49RNT 854Z\n");
}

PV_TEST(it_is_read_as_people_type_it)
{
    uint8_t key[PV_PWHASH_KEY_LEN];
    char text[PV_PAPERKEY_TEXT_BUF], code[PV_PAPERKEY_CHARS + 1], typed[1024];
    struct pv_paperkey p = sample(key);
    unsigned line;
    size_t n = 0;

    pv_paperkey_format(&p, text);
    n = (size_t)snprintf(typed, sizeof(typed), "# root key of home\r\n  # import it\n\n");
    for (const char *c = text; *c != '\0'; c++) {
        char x = (char)tolower(*c);
        x = *c == '0' ? 'o' : *c == '1' ? (n % 2 == 0 ? 'I' : 'l') : x == '\n' ? ' ' : x;
        typed[n++] = x;
        if (n % 7 == 0)
            typed[n++] = '-';
        if (n % 11 == 0)
            typed[n++] = '\t';
    }
    typed[n] = '\0';
    assert_ok(parse(typed, &line));
    pv_paperkey_format_code(&p, code);
    assert_int_equal(strlen(code), PV_PAPERKEY_CHARS);
    assert_ok(parse(code, &line));
}

/* Every wrong letter is found, and the line named; also letters that were swapped or left out. */
PV_TEST(a_slip_is_told_with_its_line)
{
    uint8_t key[PV_PWHASH_KEY_LEN];
    char code[PV_PAPERKEY_CHARS + 2];
    struct pv_paperkey p = sample(key);
    unsigned line;

    pv_paperkey_format_code(&p, code);
    for (size_t i = 0; i < PV_PAPERKEY_CHARS; i++) {
        char was = code[i];
        for (const char *c = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; *c != '\0'; c++) {
            if (*c == was)
                continue;
            code[i] = *c;
            assert_int_equal(parse(code, &line), PV_ERR_MALFORMED);
            assert_int_equal(line, i / 25 + 1);
        }
        code[i] = 'U'; /* no letter of ours */
        assert_int_equal(parse(code, &line), PV_ERR_MALFORMED);
        assert_int_equal(line, i / 25 + 1);
        code[i] = was;
    }
    for (size_t i = 0; i + 1 < PV_PAPERKEY_CHARS; i++) {
        char was = code[i];
        code[i] = code[i + 1];
        code[i + 1] = was;
        assert_int_equal(parse(code, &line), code[i] == was ? PV_OK : PV_ERR_MALFORMED);
        code[i + 1] = code[i];
        code[i] = was;
    }
    memmove(code + 30, code + 31, PV_PAPERKEY_CHARS - 30);
    assert_int_equal(parse(code, &line), PV_ERR_MALFORMED);
    assert_int_equal(line, 2);
}

PV_TEST(letters_missing_or_too_many_are_told)
{
    uint8_t key[PV_PWHASH_KEY_LEN];
    char code[PV_PAPERKEY_CHARS + 2];
    struct pv_paperkey p = sample(key);
    unsigned line;

    pv_paperkey_format_code(&p, code);
    code[PV_PAPERKEY_CHARS] = '7';
    code[PV_PAPERKEY_CHARS + 1] = '\0';
    assert_int_equal(parse(code, &line), PV_ERR_MALFORMED);
    for (size_t n = PV_PAPERKEY_CHARS; n-- > 0;) {
        code[n] = '\0';
        assert_int_equal(parse(code, &line), PV_ERR_TRUNCATED);
        assert_int_equal(line, n / 25);
    }
}

/* A text from elsewhere cannot make this machine do more than it should. */
PV_TEST(costs_have_bounds)
{
    static const struct pv_pwhash_cost bad[] = {{0, 20}, {17, 20}, {1, 12}, {1, 31}, {255, 255}};
    uint8_t key[PV_PWHASH_KEY_LEN], salt[PV_PWHASH_SALT_LEN] = {0};
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_int_equal(pv_pwhash(key, pv_view("x", 1), salt, bad[i]), PV_ERR_LIMIT);
}
