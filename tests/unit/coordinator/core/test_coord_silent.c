/* SPDX-License-Identifier: MIT */
/* One of several coordinators: its number, and what it makes of others that fall silent. */
#include "tests/unit/coordinator/core/coord_world.h"

static const struct pv_coord_silent A = {.number = 8, .name = "a"}, B = {.number = 9, .name = "b"};
static const struct pv_addr NODE = {.family = PV_AF_INET, .port = 40000, .ip = {203, 0, 113, 9}};
static const struct pv_stuns_place PLACE = {
    .local = {.family = PV_AF_INET, .port = 3478, .ip = {198, 51, 100, 10}}};

/* A world with one coordinator of the number 7. */
static struct cw *joined(void)
{
    struct cw *w = cw_new(41);
    cw_start(w);
    assert_int_equal(pv_coord_join(w->coord, 7), PV_OK);
    return w;
}

/* The node's word to the sentry; its answer. */
static struct pv_sentry_word say(struct cw *w, struct pv_sentry_word said)
{
    static const uint8_t txid[PV_STUN_TXID_LEN] = {1};
    uint8_t req[PV_SENTRY_REQUEST_LEN];
    struct pv_stuns_reply reply;
    struct pv_stun_msg msg;
    struct pv_stun_writer sw;
    size_t len;
    pv_stun_write_begin(&sw, req, sizeof(req), PV_STUN_REQUEST, PV_STUN_BINDING, txid);
    pv_sentry_put(&sw, &said);
    assert_int_equal(pv_stun_write_end(&sw, &len), PV_OK);
    assert_int_equal(pv_relaycore_answer(pv_coord_relay(w->coord), &NODE, &PLACE, pv_view(req, len),
                                         w->now, &reply),
                     PV_OK);
    assert_int_equal(pv_stun_decode(pv_view(reply.buf, reply.len), &msg), PV_OK);
    return pv_sentry_get(&msg, &said) == PV_OK ? said : (struct pv_sentry_word){0};
}

/* Alarms that leave within a second. */
static unsigned alarms(struct cw *w)
{
    struct pv_relaycore *relay = pv_coord_relay(w->coord);
    struct pv_wards_alarm alarm;
    unsigned n = 0;
    (void)cw_relay(w);
    for (int i = 0; i < 100; i++) {
        w->now += PV_MS(10);
        pv_relaycore_handle_timeout(relay, w->now);
        for (; pv_relaycore_poll_alarm(relay, &alarm) == PV_OK; n++)
            assert_true(pv_addr_equal(&alarm.to, &NODE));
    }
    return n;
}

PV_TEST(the_welcome_has_its_number)
{
    for (unsigned several = 0; several < 2; several++) {
        struct cw *w = cw_new(42);
        cw_start(w);
        if (several == 1)
            assert_int_equal(pv_coord_join(w->coord, 7), PV_OK);
        cw_create(w);
        struct cw_client *c = cw_connect(w, &w->alice);
        struct pv_ctl_msg *m = cw_ask(
            w, c, cw_hello(c, &w->alice, w->created.network_id, PV_CTL_MEMBER), PV_CTL_WELCOME);
        assert_true(m->u.welcome.number == (several == 1 ? 7 : 0));
        pv_ctl_msg_free(m);
    }
}

PV_TEST(each_silence_is_told_once)
{
    struct cw *w = joined();
    const struct pv_relaystats *stats = pv_coord_relay_stats(w->coord);
    struct pv_sentry_word got = say(w, (struct pv_sentry_word){.coordinator = A.number});
    got = say(w, (struct pv_sentry_word){.coordinator = A.number, .ticket = got.ticket});
    assert_true(got.coordinator == A.number);
    assert_int_equal(alarms(w), 0);
    assert_int_equal(pv_relaystat_get(stats, PV_RELAYSTAT_WARDS), 1);

    pv_coord_silent_are(w->coord, &B, 1);
    assert_int_equal(alarms(w), 0);
    pv_coord_silent_are(w->coord, (struct pv_coord_silent[]){A, B}, 2);
    assert_int_equal(alarms(w), 1);
    pv_coord_silent_are(w->coord, (struct pv_coord_silent[]){A, B}, 2);
    pv_coord_silent_are(w->coord, &A, 1);
    assert_int_equal(alarms(w), 0);
    pv_coord_silent_are(w->coord, NULL, 0); /* it is back */
    pv_coord_silent_are(w->coord, &A, 1);
    assert_int_equal(alarms(w), 1);
    assert_int_equal(pv_relaystat_get(stats, PV_RELAYSTAT_ALARMS), 2);
}

PV_TEST(more_than_it_looks_at_harm_nothing)
{
    struct cw *w = joined();
    struct pv_coord_silent many[2 * PV_COORD_SILENT];
    for (uint64_t i = 0; i < PV_ARRAY_LEN(many); i++)
        many[i] = (struct pv_coord_silent){.number = 100 + i, .name = "one of many"};
    pv_coord_silent_are(w->coord, many, PV_ARRAY_LEN(many));
    assert_int_equal(alarms(w), 0);
}

/* One that is alone stands sentry for nobody. */
PV_TEST(alone_it_gives_no_tickets)
{
    struct cw *w = cw_new(43);
    cw_start(w);
    assert_true(say(w, (struct pv_sentry_word){.coordinator = A.number}).ticket == 0);
    pv_coord_silent_are(w->coord, &A, 1);
    assert_int_equal(alarms(w), 0);
    assert_true(pv_relaycore_next_timeout(pv_coord_relay(w->coord)) == PV_NEVER);
}
