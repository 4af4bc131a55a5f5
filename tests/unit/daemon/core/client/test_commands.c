/* SPDX-License-Identifier: MIT */
/* The control socket: what must be so before a command runs, and who is told that a client went. */
#include "daemon/core/parts.h"
#include "tests/unit/daemon/core/peer/fake_peers.h"

static struct fake_peers peers;
static struct fake_node *const node = &peers.f;
static struct pv_peer *bob;
static uint32_t client;

/* --- a part with one command of each kind ----------------------------------------------------- */

static unsigned n_runs, n_cancels;
static struct pv_peer *given;
static uint64_t waiting, cancelled;

static void run_it(void *part, struct pv_ctlapi_request *req, struct pv_peer *peer, uint64_t handle,
                   pv_ns now)
{
    n_runs++;
    given = peer;
    waiting = handle;
}

static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    n_cancels++;
    cancelled = handle;
}

static const struct pv_command_handler table[] = {
    {PV_CTLAPI_VERSION, PV_NEEDS_NOTHING, run_it},
    {PV_CTLAPI_UP, PV_NEEDS_NETWORK, run_it},
    {PV_CTLAPI_WHY, PV_NEEDS_PEER, run_it},
    {PV_CTLAPI_REMOVE, PV_NEEDS_MEMBER, run_it},
};
static const struct pv_part other = {
    .name = "other", .commands = table, .n_commands = PV_ARRAY_LEN(table), .on_cancel = on_cancel};

static const struct pv_stream_handler *stream(void)
{
    return &pv_part_commands.streams[0];
}

static uint32_t connect_client(bool may_change)
{
    const struct pv_stream_peer who = {.may_change = may_change};
    uint32_t sid;
    assert_ok(stream()->accepted(node->self, &who, &sid, node->now));
    return sid;
}

void test_before_each(void)
{
    fake_peers_init(&peers, &pv_part_commands);
    fake_node_enter(node);
    bob = fake_peers_member(&peers, 7, "bob", 7);
    fake_node_start(node);
    node->node.parts[1] = (struct pv_part_slot){.part = &other};
    node->node.n_parts = 2;
    n_runs = n_cancels = 0;
    given = NULL;
    client = connect_client(true);
}

/* Sends one line and lets the part run. The bytes that the client reads then are in reply. */
static const char *ask(uint32_t sid, const char *line)
{
    static char reply[4096];
    struct pv_view out;
    stream()->bytes(node->self, sid, pv_view(line, strlen(line)), node->now);
    stream()->bytes(node->self, sid, pv_view("\n", 1), node->now);
    fake_node_settle(node);
    out = stream()->out(node->self, sid);
    assert_true(out.len < sizeof(reply));
    if (out.len > 0)
        memcpy(reply, out.ptr, out.len);
    reply[out.len] = '\0';
    stream()->wrote(node->self, sid, out.len, node->now);
    return reply;
}

PV_TEST(a_command_runs_where_its_needs_are_met)
{
    assert_string_equal(ask(client, "{\"id\":1,\"cmd\":\"version\"}"), ""); /* the part answers */
    assert_string_equal(ask(client, "{\"id\":2,\"cmd\":\"up\"}"), "");
    assert_null(given);
    assert_string_equal(ask(client, "{\"id\":3,\"cmd\":\"why\",\"peer\":\"bob\"}"), "");
    assert_ptr_equal(given, bob);
    assert_string_equal(ask(client, test_given("remove peer bob")), "");
    assert_ptr_equal(given, bob);
    assert_int_equal(n_runs, 4);
}

PV_TEST(without_a_network_it_is_said_what_to_do)
{
    struct pv_roster *roster = node->node.roster;
    node->node.roster = NULL;
    const char *reply = ask(client, "{\"id\":2,\"cmd\":\"up\"}");
    node->node.roster = roster;
    assert_has(reply, "in no network");
    assert_int_equal(n_runs, 0);
    assert_string_equal(ask(client, "{\"id\":1,\"cmd\":\"version\"}"), "");
    assert_int_equal(n_runs, 1);
}

PV_TEST(a_peer_that_is_not_there_is_named)
{
    assert_has(ask(client, "{\"id\":3,\"cmd\":\"why\",\"peer\":\"eve\"}"), "eve");
    assert_has(ask(client, test_given("remove peer eve")), "eve");
    assert_int_equal(n_runs, 0);
}

PV_TEST(a_command_that_no_part_has_is_answered)
{
    assert_has(ask(client, "{\"id\":5,\"cmd\":\"peers\"}"), "no such command");
    assert_int_equal(n_runs, 0);
}

PV_TEST(a_user_who_may_only_read_changes_nothing)
{
    uint32_t guest = connect_client(false);
    assert_has(ask(guest, "{\"id\":2,\"cmd\":\"up\"}"), "'ok':false");
    assert_int_equal(n_runs, 0);
    assert_string_equal(ask(guest, "{\"id\":3,\"cmd\":\"why\",\"peer\":\"bob\"}"), "");
    assert_int_equal(n_runs, 1);
}

PV_TEST(parts_are_told_that_a_client_went)
{
    assert_string_equal(ask(client, "{\"id\":1,\"cmd\":\"version\"}"), "");
    stream()->closed(node->self, client, 0, node->now);
    fake_node_settle(node);
    assert_int_equal(n_cancels, 1);
    assert_int_equal(cancelled, waiting);
}
