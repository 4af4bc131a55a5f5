/* SPDX-License-Identifier: MIT */
#include "proto/wireguard/cryptokey.h"
#include "tests/unit/test_util.h"

static struct pv_cryptokey *table(uint64_t seed_value)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, seed_value);
    struct pv_cryptokey *t;
    assert_ok(pv_cryptokey_new(&t, &rng));
    return t;
}

static int add(struct pv_cryptokey *t, const char *prefix, uint32_t peer)
{
    struct pv_prefix p = test_prefix(prefix);
    return pv_cryptokey_add(t, &p, peer);
}

static void take(struct pv_cryptokey *t, const char *prefix, uint32_t peer)
{
    struct pv_prefix p = test_prefix(prefix);
    pv_cryptokey_remove(t, &p, peer);
}

static uint32_t find(const struct pv_cryptokey *t, const char *ip)
{
    struct pv_addr a = test_ip(ip);
    return a.family == PV_AF_INET ? pv_cryptokey_find4(t, a.ip) : pv_cryptokey_find6(t, a.ip);
}

PV_TEST(the_longest_prefix_wins)
{
    struct pv_cryptokey *t = table(1);
    assert_int_equal(find(t, "10.0.0.1"), 0);
    assert_ok(add(t, "0.0.0.0/0", 1));
    assert_ok(add(t, "10.0.0.0/8", 2));
    assert_ok(add(t, "10.66.0.0/16", PV_CRYPTOKEY_NOBODY));
    assert_ok(add(t, "10.66.0.7", 3));
    assert_ok(add(t, "::/0", 4));
    assert_ok(add(t, "fd00::7", 5));
    assert_int_equal(find(t, "192.0.2.1"), 1);
    assert_int_equal(find(t, "10.67.0.1"), 2);
    assert_int_equal(find(t, "10.66.0.8"), PV_CRYPTOKEY_NOBODY); /* not peer 2's */
    assert_int_equal(find(t, "10.66.0.7"), 3);
    assert_int_equal(find(t, "fd00::8"), 4);
    assert_int_equal(find(t, "fd00::7"), 5);
    assert_int_equal(find(t, "::"), 4);
    assert_int_equal(find(t, "0.0.0.0"), 1);
    pv_cryptokey_free(t);
}

PV_TEST(a_prefix_belongs_to_one_peer)
{
    struct pv_cryptokey *t = table(2);
    struct pv_prefix bad = {.base = {.family = PV_AF_NONE}};
    assert_ok(add(t, "10.66.0.7", 3));
    assert_ok(add(t, "10.66.0.7", 3));
    assert_int_equal(add(t, "10.66.0.7", 4), PV_ERR_EXISTS);
    take(t, "10.66.0.7", 4);
    assert_int_equal(find(t, "10.66.0.7"), 3);
    take(t, "10.66.0.7", 3);
    take(t, "10.66.0.7", 3);
    assert_int_equal(find(t, "10.66.0.7"), 0);
    assert_ok(add(t, "10.66.0.7", 4));
    assert_int_equal(pv_cryptokey_add(t, &bad, 1), PV_ERR_MALFORMED);
    bad = (struct pv_prefix){.base = {.family = PV_AF_INET}, .bits = 33};
    assert_int_equal(pv_cryptokey_add(t, &bad, 1), PV_ERR_MALFORMED);
    pv_cryptokey_free(t);
}

PV_TEST(a_copy_lives_on_its_own)
{
    struct pv_cryptokey *t = table(3), *copy;
    assert_ok(add(t, "10.66.0.0/24", 1));
    assert_ok(pv_cryptokey_copy(t, &copy));
    take(t, "10.66.0.0/24", 1);
    assert_int_equal(find(t, "10.66.0.9"), 0);
    assert_int_equal(find(copy, "10.66.0.9"), 1);
    assert_ok(add(copy, "10.66.1.0/24", 2));
    assert_int_equal(find(t, "10.66.1.1"), 0);
    pv_cryptokey_free(t);
    pv_cryptokey_free(copy);
}

enum {
    N_PREFIXES = 300
};

/* The reference: look at every prefix. */
static uint32_t naive(const struct pv_prefix *p, const uint32_t *owner, const struct pv_addr *a)
{
    int best = -1;
    for (int i = 0; i < N_PREFIXES; i++) {
        if (owner[i] != 0 && pv_prefix_contains(&p[i], a) && (best < 0 || p[i].bits > p[best].bits))
            best = i;
    }
    return best < 0 ? 0 : owner[best];
}

static struct pv_prefix random_prefix(const struct pv_rng *rng)
{
    struct pv_prefix p = {.base.family = pv_rng_below(rng, 2) == 0 ? PV_AF_INET : PV_AF_INET6};
    unsigned all = (unsigned)pv_addr_ip_len(&p.base) * 8;
    p.bits = (uint8_t)pv_rng_below(rng, all + 1);
    for (unsigned i = 0; i < p.bits; i++) {
        if (pv_rng_below(rng, 8) == 0) /* mostly zeros, so that prefixes nest */
            p.base.ip[i / 8] |= (uint8_t)(0x80 >> (i % 8));
    }
    return p;
}

PV_TEST(random_changes_agree_with_a_naive_reference)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 77);
    struct pv_cryptokey *t = table(4);
    static struct pv_prefix p[N_PREFIXES];
    static uint32_t owner[N_PREFIXES];
    memset(owner, 0, sizeof(owner));
    for (int i = 0; i < N_PREFIXES; i++) {
        p[i] = random_prefix(&rng);
        for (int k = 0; k < i; k++) {
            if (p[k].bits == p[i].bits && pv_addr_equal_ip(&p[k].base, &p[i].base)) {
                p[i] = random_prefix(&rng);
                k = -1;
            }
        }
    }
    for (int step = 0; step < 20000; step++) {
        uint32_t i = pv_rng_below(&rng, N_PREFIXES);
        if (owner[i] == 0) {
            owner[i] = 1 + pv_rng_below(&rng, 1000);
            assert_ok(pv_cryptokey_add(t, &p[i], owner[i]));
        } else {
            pv_cryptokey_remove(t, &p[i], owner[i]);
            owner[i] = 0;
        }
        struct pv_addr a = random_prefix(&rng).base;
        if (step % 2 == 0)
            a = p[pv_rng_below(&rng, N_PREFIXES)].base;
        a.ip[pv_addr_ip_len(&a) - 1] ^= (uint8_t)pv_rng_below(&rng, 4);
        uint32_t got =
            a.family == PV_AF_INET ? pv_cryptokey_find4(t, a.ip) : pv_cryptokey_find6(t, a.ip);
        assert_int_equal(got, naive(p, owner, &a));
    }
    pv_cryptokey_free(t);
}
