/* SPDX-License-Identifier: MIT */
/* The NAT between a node and the world, in one word. */
#include "daemon/core/peer/pathstats.h"
#include "tests/unit/base/metrics_grammar.h"

#define HOST_PRIVATE                                             \
    {                                                            \
        .type = PV_ICE_HOST, .addr = pv_addr4(192, 168, 1, 2, 5) \
    }
#define HOST_PUBLIC                                              \
    {                                                            \
        .type = PV_ICE_HOST, .addr = pv_addr4(203, 0, 113, 7, 5) \
    }
#define SRFLX                                                     \
    {                                                             \
        .type = PV_ICE_SRFLX, .addr = pv_addr4(203, 0, 113, 8, 5) \
    }

PV_TEST(nats_have_their_class)
{
    static const uint8_t global6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    const struct {
        struct pv_desc_nat nat;
        struct pv_ice_cand cands[2];
        size_t n;
        enum pv_natclass want;
    } rows[] = {
        {{0}, {{0}}, 0, PV_NATCLASS_UNKNOWN},
        {{0}, {HOST_PRIVATE}, 1, PV_NATCLASS_UNKNOWN},
        {{0}, {{.type = PV_ICE_HOST, .addr = pv_addr6(global6, 5)}}, 1, PV_NATCLASS_UNKNOWN},
        {{0}, {HOST_PRIVATE, HOST_PUBLIC}, 2, PV_NATCLASS_OPEN},
        {{0}, {HOST_PRIVATE, SRFLX}, 2, PV_NATCLASS_SOME},
        {{.mapping = PV_DESC_MAPPING_SAME}, {HOST_PRIVATE, SRFLX}, 2, PV_NATCLASS_CONE},
        {{.mapping = PV_DESC_MAPPING_SAME}, {HOST_PUBLIC}, 1, PV_NATCLASS_OPEN},
        {{.mapping = PV_DESC_MAPPING_VARIES}, {SRFLX}, 1, PV_NATCLASS_SYMMETRIC},
        {{.mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_SEQUENTIAL},
         {SRFLX},
         1,
         PV_NATCLASS_SEQUENTIAL},
        {{.mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_BLOCK},
         {SRFLX},
         1,
         PV_NATCLASS_BLOCK},
        {{.mapping = PV_DESC_MAPPING_VARIES, .ports = PV_DESC_PORTS_RANDOM},
         {HOST_PUBLIC},
         1,
         PV_NATCLASS_RANDOM},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++)
        assert_int_equal(pv_natclass(&rows[i].nat, rows[i].cands, rows[i].n), rows[i].want);
    assert_int_equal(pv_natclass(NULL, rows[4].cands, 2), PV_NATCLASS_SOME);
}

/* The most there can be is well-formed too, and small enough for any scraper. */
PV_TEST(all_numbers_at_once_are_well_formed)
{
    static struct pv_pathstats s;
    struct pv_metrics m;
    char *text = NULL;
    size_t len = 0;
    pv_pathstats_init(&s);
    memset(s.attempts, 1, sizeof(s.attempts));
    memset(s.direct, 1, sizeof(s.direct));
    pv_metrics_init(&m);
    pv_pathstats_metrics(&s, &m);
    assert_ok(pv_metrics_take(&m, &text, &len));
    struct grammar *g = grammar_read(text);
    size_t attempts = PV_PATH_METHODS * PV_PATH_RESULTS * PV_NATCLASSES * PV_NATCLASSES;
    size_t ends = (size_t)PV_PATH_ENDS * PV_PATH_ENDS;
    /* and four counters, the buckets with the last, sum and count */
    assert_int_equal(g->n_series, attempts + ends + 4 + s.to_direct.n_bounds + 1 + 2);
    grammar_done(g);
    free(text);
}
