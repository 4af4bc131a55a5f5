/* SPDX-License-Identifier: MIT */
/*
 * test_ice_victim.c - a member that names somebody else's address as its own (RFC 8445 s19.5.1):
 * what goes there is paced, bounded, small, and ends when nobody answers. And an address known only
 * from where data came.
 */
#include "ice_lone.h"

static struct pv_addr victim(uint16_t port)
{
    return pv_addr4(198, 51, 100, 66, port);
}

/* All the candidates a description may have, all of them the victim's. */
static void name_victim(struct lone *l, uint16_t first_port)
{
    struct pv_ice_cand cands[PV_ICE_MAX_REMOTE];
    memset(cands, 0, sizeof(cands));
    for (uint8_t i = 0; i < PV_ICE_MAX_REMOTE; i++)
        cands[i] = (struct pv_ice_cand){.type = PV_ICE_SRFLX,
                                        .addr = victim((uint16_t)(first_port + i)),
                                        .priority = pv_ice_priority(PV_ICE_SRFLX, 60000),
                                        .foundation = i,
                                        .base = i};
    assert_int_equal(pv_ice_set_remote(l->agent, &l->theirs, cands, PV_ARRAY_LEN(cands), l->now),
                     PV_OK);
}

/* Until then: packets sent to the victim. Each is a small check. */
static unsigned run_until(struct lone *l, pv_ns end)
{
    unsigned n = 0;
    for (;;) {
        struct pv_ice_transmit tx;
        while (pv_ice_poll_transmit(l->agent, &tx) == PV_OK) {
            struct pv_addr v = victim(0);
            assert_true(pv_addr_equal_ip(&tx.dst, &v));
            assert_true(tx.len <= 128);
            n++;
        }
        pv_ns next = pv_ice_next_timeout(l->agent);
        if (next > end)
            break;
        l->now = next > l->now ? next : l->now;
        pv_ice_handle_timeout(l->agent, l->now);
    }
    l->now = end;
    return n;
}

PV_TEST(a_victim_gets_a_few_checks_and_then_silence)
{
    struct lone l;
    lone_begin(&l, true, false, false);
    name_victim(&l, 5000);
    pv_ice_set_known(l.agent, true, l.now);
    unsigned in_10s = run_until(&l, l.now + PV_S(15));
    assert_in_range(in_10s, PV_ICE_MAX_REMOTE, 10 * PV_ICE_MAX_REMOTE);
    assert_int_equal(run_until(&l, l.now + PV_S(600)), 0);
    assert_int_equal(pv_ice_state(l.agent), PV_ICE_FAILED);
}

/* New candidates all the time: a pair's first check every 20 ms (Ta), each repeated four times
 * before the next description, whatever is asked for. */
PV_TEST(naming_ever_new_ports_of_a_victim_is_paced)
{
    struct lone l;
    unsigned n = 0;
    lone_begin(&l, true, false, false);
    for (uint16_t round = 0; round < 300; round++) {
        name_victim(&l, (uint16_t)(5000 + 40 * round));
        pv_ice_set_known(l.agent, true, l.now);
        n += run_until(&l, l.now + PV_MS(200));
    }
    assert_true(n <= 60 * 250); /* one minute; the descriptions weigh about as much */
    assert_in_range(run_until(&l, l.now + PV_S(15)), 0, 10 * PV_ICE_MAX_REMOTE);
    assert_int_equal(run_until(&l, l.now + PV_S(600)), 0);
}

PV_TEST(an_address_known_from_data_gets_three_times_what_came)
{
    struct lone l;
    struct pv_ice_transmit tx;
    struct pv_stun_msg msg;
    struct pv_addr stray = pv_addr4(192, 0, 2, 99, 99);
    struct pv_ice_carrier c = {0};
    lone_begin(&l, true, false, true);
    pv_ice_handle_timeout(l.agent, l.now);
    assert_int_equal(next_msg(&l, &tx, &msg), PV_OK);
    assert_int_equal(answer(&l, &tx, &l.remote, l.local, l.theirs.pwd), PV_OK);
    (void)drain(&l);

    size_t got = 0;
    pv_ns begin = l.now;
    pv_ice_note_stray(l.agent, &c, &stray, 32, l.now);
    while (l.now < begin + PV_S(8)) {
        pv_ice_handle_timeout(l.agent, l.now);
        while (next_msg(&l, &tx, &msg) == PV_OK)
            if (pv_addr_equal(&tx.dst, &stray))
                got += tx.len + 28;
        l.now += PV_MS(10);
    }
    assert_in_range(got, 1, 3 * (32 + 28));

    /* It answers the next time, and is known then. */
    pv_ice_note_stray(l.agent, &c, &stray, 100, l.now);
    bool asked = false;
    while (next_msg(&l, &tx, &msg) == PV_OK) {
        if (pv_addr_equal(&tx.dst, &stray)) {
            assert_int_equal(answer(&l, &tx, &stray, l.local, l.theirs.pwd), PV_OK);
            asked = true;
        }
    }
    assert_true(asked);
    assert_true(is_proven(&l, &stray));
}
