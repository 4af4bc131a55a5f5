/* SPDX-License-Identifier: MIT */
/* The TURN servers of the configuration: names looked up, again after a failure, ways begun. */
#include "daemon/core/path/turnservers.h"
#include "tests/unit/daemon/core/fake_node.h"

static const struct pv_part none_made = {.name = "none"};

static struct fake_node node;
static struct pv_relayway *relays[PV_FP_MAX_RELAYS];
static struct pv_turnservers servers;

void test_before_each(void)
{
    fake_node_init(&node, &none_made);
    fake_node_enter(&node);
    memcpy(node.cfg.relays[0].host, "turn.example", 13);
    node.cfg.relays[0].port = 3478;
    node.cfg.relays[0].udp = true;
    memcpy(node.cfg.relays[1].host, "2001:db8::1", 12);
    node.cfg.relays[1].port = 5349;
    node.cfg.relays[1].stream = node.cfg.relays[1].tls = true;
    node.cfg.n_relays = 2;
    assert_ok(pv_turnservers_init(&servers, &node.node, &node.cfg, relays));
}

void test_after_each(void)
{
    for (size_t i = 0; i < PV_FP_MAX_RELAYS; i++)
        relays[i] = pv_relayway_free(relays[i]);
}

/* The next job looks up that host; answered with one address, or none and this status. */
static void expect_lookup(const char *host, int status)
{
    struct pv_job *job = fake_node_job(&node);
    struct pv_job_result result = {.status = status, .error = "no such host"};
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_RESOLVE);
    assert_string_equal(job->u.resolve.host, host);
    if (status == PV_OK) {
        result.addrs[0] = pv_addr4(192, 0, 2, 9, job->u.resolve.port);
        result.n_addrs = 1;
    }
    fake_node_answer(&node, job, &result);
}

PV_TEST(each_server_is_looked_up_once)
{
    pv_turnservers_start(&servers, node.now);
    pv_turnservers_start(&servers, node.now); /* while the first answers are missing */
    expect_lookup("turn.example", PV_OK);
    expect_lookup("2001:db8::1", PV_OK);
    assert_null(fake_node_job(&node));
    assert_true(pv_relayway_is_on(relays[1]));
    assert_true(pv_relayway_is_on(relays[2]));
    pv_turnservers_start(&servers, node.now); /* they are in use */
    assert_null(fake_node_job(&node));
}

PV_TEST(a_name_that_is_not_found_is_asked_for_again_after_a_while)
{
    pv_turnservers_start(&servers, node.now);
    expect_lookup("turn.example", PV_ERR_NOT_FOUND);
    expect_lookup("2001:db8::1", PV_OK);
    assert_has(pv_relayway_error(relays[1]), "no such host");
    assert_int_equal(pv_turnservers_next_timeout(&servers), node.now + PV_S(30));
    node.now += PV_S(29);
    pv_turnservers_handle_timeout(&servers, node.now);
    assert_null(fake_node_job(&node));
    node.now += PV_S(1);
    pv_turnservers_handle_timeout(&servers, node.now);
    expect_lookup("turn.example", PV_OK);
    assert_true(pv_relayway_is_on(relays[1]));
}

static void pass_over(void *owner, uint16_t via, const struct pv_relayway_event *ev)
{
}

/* A relay that nobody answers at, whose server is back before its name is due. */
PV_TEST(a_name_is_not_asked_for_when_its_server_is_back)
{
    const struct pv_addr back = pv_addr4(192, 0, 2, 10, 3478);
    pv_turnservers_start(&servers, node.now);
    expect_lookup("turn.example", PV_OK);
    expect_lookup("2001:db8::1", PV_OK);
    for (unsigned i = 0; i < 1000 && !pv_relayway_is_lost(relays[1]); i++) {
        uint8_t buf[PV_TURNC_MTU];
        struct pv_relayway_message m = {.buf = buf, .cap = sizeof(buf)};
        pv_relayway_handle_timeout(relays[1], node.now);
        while (pv_relayway_poll_transmit(relays[1], &m) == PV_OK)
            continue;
        (void)pv_relayway_speak(relays[1], pass_over, NULL, node.now);
        node.now += PV_MS(500);
    }
    assert_true(pv_relayway_is_lost(relays[1]));
    pv_turnservers_handle_timeout(&servers, node.now);
    assert_int_equal(pv_turnservers_next_timeout(&servers), node.now + PV_S(30));
    pv_relayway_set_addrs(relays[1], &back, 1, node.now);
    assert_false(pv_relayway_is_lost(relays[1]));
    node.now += PV_S(30);
    pv_turnservers_handle_timeout(&servers, node.now);
    assert_null(fake_node_job(&node));
    assert_int_equal(pv_turnservers_next_timeout(&servers), PV_NEVER);
}

PV_TEST(an_answer_after_the_network_went_down_begins_nothing)
{
    pv_turnservers_start(&servers, node.now);
    node.node.up = false;
    expect_lookup("turn.example", PV_OK);
    expect_lookup("2001:db8::1", PV_OK);
    assert_false(pv_relayway_is_on(relays[1]));
    assert_false(pv_relayway_is_on(relays[2]));
}

PV_TEST(servers_are_left_when_they_are_stopped)
{
    pv_turnservers_start(&servers, node.now);
    expect_lookup("turn.example", PV_OK);
    expect_lookup("2001:db8::1", PV_ERR_NOT_FOUND);
    pv_turnservers_stop(&servers, node.now);
    assert_false(pv_relayway_is_on(relays[1]));
    assert_int_equal(pv_turnservers_next_timeout(&servers), PV_NEVER);
}

PV_TEST(relays_are_called_as_they_are_written)
{
    char name[PV_TURNSERVERS_NAME];
    assert_string_equal(pv_turnservers_name(&servers, 0, name), "coordinator");
    assert_string_equal(pv_turnservers_name(&servers, 1, name), "turn:turn.example:3478");
    assert_string_equal(pv_turnservers_name(&servers, 2, name), "turns:[2001:db8::1]:5349");
}

PV_TEST(without_servers_everything_is_a_no_op)
{
    struct pv_turnservers none;
    char name[PV_TURNSERVERS_NAME];
    node.cfg.n_relays = 0;
    assert_ok(pv_turnservers_init(&none, &node.node, &node.cfg, relays));
    pv_turnservers_start(&none, node.now);
    pv_turnservers_stop(&none, node.now);
    pv_turnservers_handle_timeout(&none, node.now);
    assert_int_equal(pv_turnservers_next_timeout(&none), PV_NEVER);
    assert_string_equal(pv_turnservers_name(&none, 0, name), "coordinator");
    assert_null(fake_node_job(&node));
}
