/* SPDX-License-Identifier: MIT */
/* Presence and subscriptions against a model that is a matrix. */
#include "coordinator/core/broker.h"
#include "tests/unit/proto/roster/roster_fixture.h"

enum {
    NODES = 24, /* each has a connection, which comes and goes */
    STEPS = 20000,
};

struct model {
    struct pv_broker broker;
    struct pv_cnet net;
    struct pv_conn conns[NODES];
    bool online[NODES];
    bool wants[NODES][NODES], dirty[NODES][NODES]; /* of connection, node */
    uint64_t wall_us;
};

static struct model m;

static void change(size_t node)
{
    m.online[node] = !m.online[node];
    for (size_t i = 0; i < NODES; i++)
        m.dirty[i][node] = m.wants[i][node];
    if (m.online[node])
        return;
    memset(m.wants[node], 0, sizeof(m.wants[node]));
    memset(m.dirty[node], 0, sizeof(m.dirty[node]));
}

static void come_or_go(size_t i)
{
    struct pv_conn *old = NULL;
    m.wall_us++;
    if (m.online[i])
        pv_broker_leave(&m.broker, &m.conns[i], m.wall_us);
    else
        assert_ok(pv_broker_online(&m.broker, &m.conns[i], m.wall_us, &old));
    assert_null(old);
    change(i);
}

static void want(size_t i, size_t node, bool on)
{
    if (!m.online[i])
        return;
    if (on)
        assert_ok(pv_broker_subscribe(&m.broker, &m.conns[i], m.conns[node].node));
    else
        pv_broker_unsubscribe(&m.broker, &m.conns[i], m.conns[node].node);
    m.wants[i][node] = on;
    m.dirty[i][node] = m.dirty[i][node] && on;
}

static size_t index_of(const uint8_t *node)
{
    size_t i = 0;
    while (memcmp(m.conns[i].node, node, PV_SIGN_PK_LEN) != 0)
        assert_true(++i < NODES);
    return i;
}

static void expect_subscribers(size_t node)
{
    bool seen[NODES] = {false};
    const struct pv_conn *s;
    size_t iter = 0;
    while ((s = pv_broker_next_subscriber(&m.broker, &m.net, m.conns[node].node, &iter)) != NULL) {
        assert_false(seen[s - m.conns]);
        seen[s - m.conns] = true;
    }
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(seen[i], m.wants[i][node]);
}

static void take_news(size_t i, size_t max)
{
    struct pv_ctl_presence news[NODES];
    size_t n = pv_broker_take_news(&m.conns[i], news, max), left = 0;
    for (size_t k = 0; k < n; k++) {
        size_t node = index_of(news[k].node);
        assert_true(m.dirty[i][node]);
        assert_int_equal(news[k].online, m.online[node]);
        m.dirty[i][node] = false;
    }
    for (size_t k = 0; k < NODES; k++)
        left += m.dirty[i][k];
    assert_int_equal(m.conns[i].n_dirty, left);
    assert_true(n == max || left == 0);
}

PV_TEST(subscriptions_are_those_that_were_asked_for)
{
    struct world w = world_make(1);
    struct pv_rng rng = world_rng(&w);
    m = (struct model){.net = {.roster = roster_of(&w)}};
    pv_broker_init(&m.broker, 1000, &rng);
    for (size_t i = 0; i < NODES; i++) {
        m.conns[i].id = i + 1;
        m.conns[i].net = &m.net;
        pv_rng_fill(&rng, m.conns[i].node, sizeof(m.conns[i].node));
    }
    for (unsigned step = 0; step < STEPS; step++) {
        size_t i = pv_rng_below(&rng, NODES), k = pv_rng_below(&rng, NODES);
        switch (pv_rng_below(&rng, 8)) {
        case 0:
            come_or_go(i);
            break;
        case 1:
        case 2:
            want(i, k, false);
            break;
        case 3:
            take_news(i, pv_rng_below(&rng, NODES) + 1);
            break;
        case 4:
            expect_subscribers(k);
            break;
        default:
            want(i, k, true);
            break;
        }
    }
    for (size_t i = 0; i < NODES; i++)
        if (m.online[i])
            come_or_go(i);
    /* Nobody wants anything, so nothing is left. */
    assert_null(m.broker.nodes);
    assert_int_equal(m.broker.online, 0);
    assert_int_equal(m.net.n_presence, 0);
    pv_broker_done(&m.broker);
}
