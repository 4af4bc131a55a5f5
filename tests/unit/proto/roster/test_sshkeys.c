/* SPDX-License-Identifier: MIT */
/* Public keys of OpenSSH: which lines are taken, and in what form a list keeps them. */
#include "proto/roster/sshkeys.h"
#include "tests/unit/test_util.h"

/* Made by ssh-keygen of OpenSSH 9.2. */
#define ED25519 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIYvH9vbTs6dZ14MLFQ2kTZWdI57QZJFOQPaIiiOVdZG"
#define P256                                                                           \
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPumZg+V" \
    "U8sxmnqVNOp3ogj3CW5gH7n5EmBm+mMiRVsf/VQ7uFigZcvn4LSuxp5j8DqGMfirjKzbPx1a94LPmrg="
#define P384                                                                           \
    "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBCWLtvrM" \
    "MKUqQoHsT0KHJ03O1qLgT+95tO++Iz8JPQVUiNf24/7HlLqBkJET+hE18QZkp17/+P/Tf1CIHDjnw5nh" \
    "wIZlIyrcv5HDOpvRxxQ8WGBVfgNbCIjC9mGJYOr7lg=="
#define P521                                                                           \
    "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAGLNXON" \
    "WW3UZ0Kph8MjQA/7KR6arNregFhsDM5PpqhtaQq5HyM3mjW5iAFKbfbejThb3WqnZx8xYWc5VKnqHb3l" \
    "9gDEeaV9BdNGsIiw3cjHV8dSnffvWDVFbRNKYLKDYbOeeZrmjyRMeWIpKu+8ZJzcroHA33qc/PQUh+G/" \
    "/Fg0LL4jDg=="
#define RSA                                                                            \
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCvwavaTwuyqdbqesV6sYfvrN6HweoPr432Sm85vQaz" \
    "MWyZTECh6tDCFAFgaW0dbSoQUX9yIJrZK3KFjxPq3waKzHn3eo8W8ExN4WMYkc7KEPfqtmTF3bPL/E1H" \
    "T6nxI+Olq0y4wd2uuyIeM4DNhaIj8yutjDFifLHd9+xsw4iI5axUgbchTf4+63KjwUpgJ4S7iqYN1/0B" \
    "z+GDJnx+7obQjaDjh6zlMOvgqLbkO+HoRbjQ3Js3aWwU7eR7bXuPvLiuBCKwGR5m5iOa5rDwTnvZX7FP" \
    "k8XzWXkyscIgftbIrattmB4szif4QSzcofQb3k565nZoDY7Jnf6WKSkoq3OH"
#define ED2 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx5F0vUl91DoFWX70GpFUMWjZUhF+I+eMlQq+vP3Umr"

static struct pv_sshkeys keys;

void test_before_each(void)
{
    keys = (struct pv_sshkeys){.len = 0};
}

static size_t take(const char *text)
{
    return pv_sshkeys_read(&keys, pv_view(text, strlen(text)));
}

static const char *listed(void)
{
    static char buf[8192];
    struct pv_text t = pv_text_in(buf, sizeof(buf));
    struct pv_view list = pv_sshkeys_view(&keys), key;
    assert_ok(pv_sshkeys_check(list, keys.use));
    while (pv_sshkeys_next(&list, &key))
        pv_text_add(&t, "%s\n", PV_SSHKEY_STR(key));
    return buf;
}

PV_TEST(each_kind_comes_back_as_the_line_it_was)
{
    assert_int_equal(
        take(RSA " root@pi\n" P521 "\n" P384 " x\n# a comment\n\n" P256 "\r\n" ED25519), 0);
    assert_string_equal(listed(), ED25519 "\n" P256 "\n" P384 "\n" P521 "\n" RSA "\n");
}

PV_TEST(of_two_keys_of_a_kind_the_first_stays)
{
    assert_int_equal(take(ED25519 "\n" ED2 "\n"), 0);
    assert_string_equal(listed(), ED25519 "\n");
}

/* sshd reads options before the type, and a comment to the end of the line. */
PV_TEST(no_word_of_a_line_is_kept_but_type_and_key)
{
    static const char *const bad[] = {
        "command=\"sh\" " ED25519,
        "@cert-authority * " ED25519,
        "ssh-dss AAAAB3NzaC1kc3M=",
        "ssh-rsa "
        "AAAA",
        "ssh-ed25519",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-ed25519 \"" ED25519,
        "ssh-ed25519-cert-v01@openssh.com AAAA",
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        if (take(bad[i]) != 1 || keys.len != 0)
            fail_msg("%s", bad[i]);
    assert_int_equal(take(ED25519 " a comment,with=\"options\" \t* and @more\n"), 0);
    assert_string_equal(listed(), ED25519 "\n");
    /* A newline ends the comment: what follows is a line of its own, and no key. */
    assert_int_equal(take(ED2 " x\n* ssh-ed25519 AAAA\n"), 1);
    assert_string_equal(listed(), ED25519 "\n");
}

PV_TEST(a_line_of_one_type_does_not_bring_a_key_of_another)
{
    assert_int_equal(take(PV_STR("ssh-rsa %s", strchr(ED25519, ' ') + 1)), 1);
    assert_int_equal(keys.len, 0);
}

/* Bytes that OpenSSH does not write are no key, nor is a part of one. */
PV_TEST(a_key_has_one_form)
{
    uint8_t bytes[PV_SSHKEY_MAX + 1], copy[PV_SSHKEY_MAX + 1];
    static const char *const lines[] = {ED25519, P256, P384, P521, RSA};
    for (size_t i = 0; i < PV_ARRAY_LEN(lines); i++) {
        const char *text = strchr(lines[i], ' ') + 1;
        size_t len = 0;
        assert_ok(pv_b64_decode(text, strlen(text), bytes, sizeof(bytes), &len));
        assert_int_equal(pv_sshkey_kind_of(pv_view(bytes, len)), PV_SSHKEY_ED25519 + i);
        for (size_t n = 0; n < len; n++)
            assert_int_equal(pv_sshkey_kind_of(pv_view(bytes, n)), PV_SSHKEY_NONE);
        bytes[len] = 0;
        assert_int_equal(pv_sshkey_kind_of(pv_view(bytes, len + 1)), PV_SSHKEY_NONE);
        /* The type, and the length of what follows it. */
        for (size_t n = 0; n < 15; n++) {
            memcpy(copy, bytes, len);
            copy[n] ^= 1;
            assert_int_equal(pv_sshkey_kind_of(pv_view(copy, len)), PV_SSHKEY_NONE);
        }
    }
    /* A compressed point, and an even modulus. */
    size_t len = 0;
    assert_ok(pv_b64_decode(strchr(P256, ' ') + 1, strlen(strchr(P256, ' ') + 1), bytes,
                            sizeof(bytes), &len));
    bytes[len - 65] = 2;
    assert_int_equal(pv_sshkey_kind_of(pv_view(bytes, len)), PV_SSHKEY_NONE);
    assert_ok(pv_b64_decode(strchr(RSA, ' ') + 1, strlen(strchr(RSA, ' ') + 1), bytes,
                            sizeof(bytes), &len));
    bytes[len - 1] &= 0xfe;
    assert_int_equal(pv_sshkey_kind_of(pv_view(bytes, len)), PV_SSHKEY_NONE);
}

/* A modulus of so many bytes, and an exponent of so many. */
static struct pv_view rsa_of(uint8_t *buf, size_t cap, size_t modulus, size_t exponent)
{
    struct pv_writer w = pv_writer(buf, cap);
    pv_put_u32(&w, 7);
    pv_put_bytes(&w, "ssh-rsa", 7);
    pv_put_u32(&w, (uint32_t)exponent);
    for (size_t i = 0; i < exponent; i++)
        pv_put_u8(&w, 1);
    pv_put_u32(&w, (uint32_t)modulus + 1);
    pv_put_u8(&w, 0);
    for (size_t i = 0; i < modulus; i++)
        pv_put_u8(&w, 0xff);
    assert_ok(w.status);
    return pv_written(&w);
}

PV_TEST(rsa_has_2048_to_4096_bits)
{
    uint8_t buf[1200];
    static const struct {
        size_t modulus, exponent;
        bool good;
    } rows[] = {
        {255, 3, false}, {256, 3, true},   {256, 1, true},  {384, 3, true},  {512, 3, true},
        {513, 3, false}, {1024, 3, false}, {256, 4, false}, {256, 0, false},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        const struct pv_view key = rsa_of(buf, sizeof(buf), rows[i].modulus, rows[i].exponent);
        const enum pv_sshkey_kind want = rows[i].good ? PV_SSHKEY_RSA : PV_SSHKEY_NONE;
        if (pv_sshkey_kind_of(key) != want)
            fail_msg("%zu, %zu", rows[i].modulus, rows[i].exponent);
    }
}

/* The longest key of each kind: a list of them is as long as any. */
PV_TEST(the_longest_list_fits)
{
    uint8_t buf[1200];
    const struct pv_view key = rsa_of(buf, sizeof(buf), 512, 3);
    assert_int_equal(key.len, PV_SSHKEY_MAX);
    const char *line = PV_SSHKEY_STR(key);
    assert_int_equal(take(line), 0);
    assert_int_equal(take(P521 "\n" P256 "\n" P384 "\n" ED25519 "\n"), 0);
    assert_ok(pv_sshkeys_check(pv_sshkeys_view(&keys), PV_SSHKEYS_HOST));
    assert_true(keys.len <= PV_SSHKEYS_MAX);
    assert_true(strlen(line) < PV_SSHKEY_LINE_BUF);
}

PV_TEST(a_list_ascends_by_kind)
{
    uint8_t list[PV_SSHKEYS_MAX];
    assert_int_equal(take(ED25519 "\n" P256), 0);
    const size_t first = 2 + 51;
    memcpy(list, keys.list + first, keys.len - first);
    memcpy(list + keys.len - first, keys.list, first);
    assert_int_equal(pv_sshkeys_check(pv_view(list, keys.len), PV_SSHKEYS_HOST), PV_ERR_MALFORMED);
    memcpy(list, keys.list, first);
    memcpy(list + first, keys.list, first);
    assert_int_equal(pv_sshkeys_check(pv_view(list, 2 * first), PV_SSHKEYS_HOST), PV_ERR_MALFORMED);
    for (size_t n = 1; n < keys.len; n++)
        if (n != first)
            assert_int_equal(pv_sshkeys_check(pv_view(keys.list, n), PV_SSHKEYS_HOST),
                             PV_ERR_MALFORMED);
    assert_ok(pv_sshkeys_check(pv_view(NULL, 0), PV_SSHKEYS_HOST));
}

/* --- the keys of users ------------------------------------------------------------------------ */

#define SK                                                                                     \
    "sk-ssh-ed25519@openssh.com "                                                              \
    "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIIYvH9vbTs6dZ14MLFQ2kTZWdI57QZJFOQPaIiiOVdZG" \
    "AAAABHNzaDo="

PV_TEST(a_user_has_several_keys_of_a_kind_and_of_security_keys)
{
    assert_int_equal(take(SK), 1); /* no host has one */
    keys.use = PV_SSHKEYS_LOGIN;
    assert_int_equal(take(ED2 "\n" SK " x\n" RSA "\n" ED25519 "\n" ED2), 0);
    assert_string_equal(listed(), ED25519 "\n" ED2 "\n" RSA "\n" SK "\n");
    assert_int_equal(pv_sshkeys_check(pv_sshkeys_view(&keys), PV_SSHKEYS_HOST), PV_ERR_MALFORMED);
    assert_int_equal(take("no-pty " ED25519), 1);
}

PV_TEST(a_list_of_users_keys_has_one_order)
{
    uint8_t list[PV_SSHKEYS_MAX];
    const size_t one = 2 + 51;
    keys.use = PV_SSHKEYS_LOGIN;
    assert_int_equal(take(ED25519 "\n" ED2), 0);
    memcpy(list, keys.list + one, one);
    memcpy(list + one, keys.list, one);
    assert_int_equal(pv_sshkeys_check(pv_view(list, 2 * one), PV_SSHKEYS_LOGIN), PV_ERR_MALFORMED);
    memcpy(list, keys.list + one, one);
    memcpy(list + one, keys.list + one, one);
    assert_int_equal(pv_sshkeys_check(pv_view(list, 2 * one), PV_SSHKEYS_LOGIN), PV_ERR_MALFORMED);
}

PV_TEST(a_key_that_has_no_room_is_left_out)
{
    uint8_t buf[1200];
    const struct pv_view key = rsa_of(buf, sizeof(buf), 512, 3);
    keys.use = PV_SSHKEYS_LOGIN;
    assert_int_equal(take(PV_SSHKEY_STR(key)), 0);
    buf[key.len - 3] ^= 1;
    assert_false(keys.full);
    assert_int_equal(take(PV_SSHKEY_STR(key)), 1);
    assert_true(keys.full);
    assert_int_equal(keys.len, 2 + key.len);
    assert_ok(pv_sshkeys_check(pv_sshkeys_view(&keys), PV_SSHKEYS_LOGIN));
}

PV_TEST(a_key_is_taken_out_of_its_list)
{
    struct pv_sshkeys other = {.use = PV_SSHKEYS_LOGIN};
    struct pv_view list, key;
    keys.use = PV_SSHKEYS_LOGIN;
    assert_int_equal(take(ED2 "\n" RSA "\n" ED25519), 0);
    assert_int_equal(pv_sshkeys_read(&other, pv_view(ED2, strlen(ED2))), 0);
    list = pv_sshkeys_view(&other);
    assert_true(pv_sshkeys_next(&list, &key));
    assert_true(pv_sshkeys_remove(&keys, key));
    assert_false(pv_sshkeys_remove(&keys, key));
    assert_string_equal(listed(), ED25519 "\n" RSA "\n");
}

/* By ssh-keygen -l of OpenSSH 9.2. */
PV_TEST(a_fingerprint_is_sshds)
{
    struct pv_view list, key;
    assert_int_equal(take(ED25519), 0);
    list = pv_sshkeys_view(&keys);
    assert_true(pv_sshkeys_next(&list, &key));
    assert_true(pv_sshkey_has_print(key, "SHA256:w++F5IQZP2pOeYA+mzshdvSPdRElauLv7B2o3g6+d84"));
    assert_false(pv_sshkey_has_print(key, "SHA256:w++F5IQZP2pOeYA+mzshdvSPdRElauLv7B2o3g6+d84="));
    assert_false(pv_sshkey_has_print(
        key, strchr("SHA256:w++F5IQZP2pOeYA+mzshdvSPdRElauLv7B2o3g6+d84", ':')));
    assert_false(pv_sshkey_has_print(key, "SHA256:"));
    assert_false(pv_sshkey_has_print(key, ""));
}
