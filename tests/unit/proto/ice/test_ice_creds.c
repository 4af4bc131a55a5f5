/* SPDX-License-Identifier: MIT */
/* ICE: credentials and priorities. */
#include "ice_lone.h"
#include "proto/ice/ice.h"

PV_TEST(priorities_are_those_of_the_rfc)
{
    assert_int_equal(pv_ice_priority(PV_ICE_HOST, 65535), 0x7effffff);
    assert_int_equal(pv_ice_priority(PV_ICE_PRFLX, 1), 0x6e0001ff);
    assert_int_equal(pv_ice_priority(PV_ICE_RELAY, 0), 0x000000ff);
}

PV_TEST(credentials_outside_the_bounds_are_refused)
{
    struct test_rng seed;
    struct pv_ice_config cfg = {.rng = test_rng_make(&seed, 3)};
    struct pv_ice_agent *agent = NULL;
    pv_ice_make_creds(&cfg.rng, &cfg.local);
    assert_int_equal(strlen(cfg.local.ufrag), PV_ICE_UFRAG_LEN);
    assert_int_equal(strlen(cfg.local.pwd), PV_ICE_PWD_LEN);
    assert_int_equal(pv_ice_new(&agent, &cfg, 1), PV_OK);

    const struct {
        size_t ufrag, pwd;
        int status;
    } ROWS[] = {{4, 22, PV_OK},
                {3, 22, PV_ERR_MALFORMED},
                {4, 21, PV_ERR_MALFORMED},
                {PV_ICE_UFRAG_MAX, PV_ICE_PWD_MAX, PV_OK},
                {PV_ICE_UFRAG_MAX + 1, 22, PV_ERR_MALFORMED},
                {4, PV_ICE_PWD_MAX + 1, PV_ERR_MALFORMED}};
    for (size_t i = 0; i < PV_ARRAY_LEN(ROWS); i++) {
        struct pv_ice_creds c;
        memset(&c, 0, sizeof(c));
        memset(c.ufrag, 'a', ROWS[i].ufrag); /* one over leaves no NUL */
        memset(c.pwd, 'b', ROWS[i].pwd);
        assert_int_equal(pv_ice_restart(agent, &c, 1), ROWS[i].status);
        assert_int_equal(pv_ice_set_remote(agent, &c, NULL, 0, 1), ROWS[i].status);
    }
    struct pv_ice_creds colon = cfg.local;
    colon.ufrag[2] = ':';
    assert_int_equal(pv_ice_restart(agent, &colon, 1), PV_ERR_MALFORMED);
    pv_ice_free(agent);
    assert_null(pv_ice_free(NULL));
}
