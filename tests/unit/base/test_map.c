/* SPDX-License-Identifier: MIT */
#include "base/map.h"
#include "tests/unit/test_util.h"

struct entry {
    uint8_t key[6];
    int value;
    UT_hash_handle hh;
};

PV_TEST(hash_is_siphash_1_3)
{
    /* Key 00..0f, messages 00..(n-1): the vectors published with Rust's SipHasher13. */
    static const uint64_t want[] = {0xabac0158050fc4dcu, 0xc9f49bf37d57ca93u, 0x82cb9b024dc7d44du};
    struct pv_map map = {.k0 = 0x0706050403020100u, .k1 = 0x0f0e0d0c0b0a0908u, .limit = 1};
    uint8_t msg[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (size_t n = 0; n < PV_ARRAY_LEN(want); n++)
        assert_int_equal(pv_map_hash(&map, msg, n), (uint32_t)(want[n] ^ (want[n] >> 32)));
}

PV_TEST(entries_are_found_until_deleted)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 3);
    struct pv_map map = pv_map_make(&rng, 1000);
    struct entry *head = NULL, *e, *next;
    int status;
    for (int i = 0; i < 1000; i++) {
        e = test_alloc(sizeof(*e));
        e->value = i;
        memcpy(e->key, &i, sizeof(i));
        PV_MAP_ADD(&map, head, key, e, status);
        assert_ok(status);
    }
    struct entry extra = {.key = {0xff, 0xff, 0xff, 0xff}};
    PV_MAP_ADD(&map, head, key, &extra, status);
    assert_int_equal(status, PV_ERR_LIMIT);
    assert_int_equal(HASH_COUNT(head), 1000);
    for (int i = 0; i < 1000; i++) {
        uint8_t key[6] = {0};
        memcpy(key, &i, sizeof(i));
        PV_MAP_FIND(&map, head, key, sizeof(key), e);
        assert_non_null(e);
        assert_int_equal(e->value, i);
    }
    PV_MAP_FIND(&map, head, extra.key, sizeof(extra.key), e);
    assert_null(e);
    HASH_ITER(hh, head, e, next) {
        PV_MAP_DEL(head, e);
        free(e);
    }
    assert_null(head);
}

/* Also what has no table yet may be asked for: the first entry makes it. */
PV_TEST(entries_with_hashes_computed_before_are_the_same)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 5);
    struct pv_map map = pv_map_make(&rng, 2);
    struct entry all[3] = {{.key = {1}}, {.key = {2}}, {.key = {3}}}, *head = NULL, *e;
    for (size_t i = 0; i < PV_ARRAY_LEN(all); i++) {
        uint32_t hash = pv_map_hash(&map, all[i].key, sizeof(all[i].key));
        int status;
        PV_MAP_FETCH(head, hash);
        PV_MAP_FETCH_FIRST(head, hash);
        PV_MAP_FIND_HASHED(head, hash, all[i].key, sizeof(all[i].key), e);
        assert_null(e);
        PV_MAP_ADD_HASHED(&map, head, hash, all[i].key, sizeof(all[i].key), &all[i], status);
        assert_int_equal(status, i < 2 ? PV_OK : PV_ERR_LIMIT);
        PV_MAP_FIND_HASHED(head, hash, all[i].key, sizeof(all[i].key), e);
        assert_ptr_equal(e, i < 2 ? &all[i] : NULL);
        PV_MAP_FIND(&map, head, all[i].key, sizeof(all[i].key), e);
        assert_ptr_equal(e, i < 2 ? &all[i] : NULL);
    }
    PV_MAP_DEL(head, &all[0]);
    PV_MAP_DEL(head, &all[1]);
    assert_null(head);
}

PV_TEST(tables_hash_under_their_own_keys)
{
    struct test_rng seed;
    struct pv_rng rng = test_rng_make(&seed, 4);
    struct pv_map a = pv_map_make(&rng, 1), b = pv_map_make(&rng, 1);
    assert_int_not_equal(pv_map_hash(&a, "key", 3), pv_map_hash(&b, "key", 3));
}
