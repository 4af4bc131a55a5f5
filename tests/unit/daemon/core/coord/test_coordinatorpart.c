/* SPDX-License-Identifier: MIT */
/* The coordinator's part: where it looks for the coordinator, and what it tells when that fails. */
#include <errno.h>

#include "crypto/sign.h"
#include "daemon/core/coord/coordclient.h"
#include "daemon/core/coord/coordinator.h"
#include "proto/control/control.h"
#include "tests/unit/daemon/core/fake_node.h"
#include "tests/unit/kem_double.h"

/* --- a node with this part ------------------------------------------------------------------- */

static struct fake_node node;
static uint8_t list[512];
static size_t list_len;
static const char *also; /* a host of the same record; NULL: there is none */

/* The coordinators record of this host, and of `also`, with and without TLS. */
static inline void at(const char *host)
{
    struct pv_hostport hp[3] = {{.port = 3478}, {.port = 3478}, {.port = 443, .tls = true}};
    struct pv_writer w = pv_writer(list, sizeof(list));
    snprintf(hp[0].host, sizeof(hp[0].host), "%s", host);
    for (int i = 1; i < 3 && also != NULL; i++)
        snprintf(hp[i].host, sizeof(hp[i].host), "%s", also);
    pv_coordlist_put(&w, node.world.coordinator.pk, hp, also == NULL ? 1 : 3);
    list_len = w.len;
}

static inline int coordpart_start(void **state)
{
    also = NULL;
    fake_node_init(&node, &pv_part_coordinator);
    fake_node_enter(&node);
    return 0;
}

static inline int coordpart_stop(void **state)
{
    fake_node_done(&node);
    return 0;
}

static inline void connect_as(enum pv_ctl_role role)
{
    pv_coord_connect(&node.node, pv_view(list, list_len), role, node.world.created.network_id,
                     node.now);
    fake_node_settle(&node);
}

/* A node that is to be connected to this host. */
static inline void start_at(const char *host, enum pv_ctl_role role)
{
    fake_node_start(&node);
    at(host);
    connect_as(role);
}

/* The next operation, with the client's own id of the stream. */
static inline int next_op(struct pv_stream_op *ret_op)
{
    int r = pv_streams_next_op(&node.node.streams, ret_op);
    if (r == PV_OK)
        ret_op->sid = pv_sid_local(ret_op->sid);
    return r;
}

/* The next address that is tried; false: none is. */
static inline bool next_open(struct pv_stream_op *ret_op)
{
    fake_node_wait(&node, PV_MS(1));
    if (next_op(ret_op) != PV_OK)
        return false;
    assert_int_equal(ret_op->kind, PV_STREAM_COORD);
    return ret_op->type == PV_STREAM_OPEN;
}

static inline struct pv_job *expect_resolve(const char *host)
{
    struct pv_job *job = fake_node_job(&node);
    assert_non_null(job);
    assert_int_equal(job->kind, PV_JOB_RESOLVE);
    assert_string_equal(job->u.resolve.host, host);
    return job;
}

/* The preferred one and a second one. */
static inline void at_two(const char *first, const char *second, const uint8_t *second_pk)
{
    struct pv_hostport hp = {.port = 3478};
    at(first);
    struct pv_writer w = pv_writer(list + list_len, sizeof(list) - list_len);
    snprintf(hp.host, sizeof(hp.host), "%s", second);
    pv_coordlist_put(&w, second_pk, &hp, 1);
    list_len += w.len;
}

/* The next address that is tried within the longest pause; streams that are closed are passed over.
 */
static inline void wait_open(struct pv_stream_op *ret_op)
{
    bool open = false;
    for (int i = 0; i < 620 && !open; i++) {
        fake_node_wait(&node, PV_MS(50));
        while (!open && next_op(ret_op) == PV_OK)
            open = ret_op->type == PV_STREAM_OPEN;
    }
    assert_true(open);
}

static int start(void **state)
{
    return coordpart_start(state);
}

static struct pv_stream_op op; /* the newest of the stream */

PV_TEST_IN(an_address_is_tried_at_once, start, coordpart_stop)
{
    start_at("192.0.2.9", PV_CTL_MEMBER);
    assert_true(next_open(&op));
    assert_int_equal(op.addr.port, 3478);
    assert_false(op.tls);
    assert_false(node.node.online);
    assert_memory_equal(node.node.coord_info.pk, node.world.coordinator.pk, PV_SIGN_PK_LEN);
}

PV_TEST_IN(a_connection_that_fails_is_told_and_made_again, start, coordpart_stop)
{
    start_at("192.0.2.9", PV_CTL_MEMBER);
    assert_true(next_open(&op));
    pv_part_coordinator.streams[0].closed(node.node.coord, op.sid, -111, node.now);
    fake_node_settle(&node);
    assert_string_not_equal(node.node.coord_info.error, "");
    assert_false(node.node.online);
    fake_node_wait(&node, PV_S(31));
    assert_true(next_open(&op));
}

static void count_line(void *ctx, enum pv_log_level level, const char *line)
{
    if (strncmp(line, "coordinator not reached: ", 25) == 0)
        ++*(unsigned *)ctx;
}

/* One attempt, which fails so. */
static void fail_with(int status)
{
    for (int i = 0; i < 100 && !next_open(&op); i++)
        fake_node_wait(&node, PV_S(1));
    pv_part_coordinator.streams[0].closed(node.node.coord, op.sid, status, node.now);
    fake_node_settle(&node);
}

PV_TEST_IN(attempts_without_end_fill_no_log, start, coordpart_stop)
{
    unsigned lines = 0;
    const struct pv_log log = {.level = PV_LOG_INFO, .sink = count_line, .ctx = &lines};
    node.node.log = &log;
    start_at("192.0.2.9", PV_CTL_MEMBER);
    for (int i = 0; i < 20; i++)
        fail_with(-ECONNREFUSED);
    assert_int_equal(lines, 1);
    fail_with(-ENETUNREACH); /* another reason is news */
    assert_int_equal(lines, 2);
    for (int i = 0; i < 10; i++)
        fail_with(i % 2 == 0 ? -ECONNREFUSED : -EHOSTUNREACH);
    assert_int_equal(lines, 4); /* but not for ever */
    fake_node_wait(&node, PV_S(3600));
    fail_with(-ECONNREFUSED);
    fail_with(-ECONNREFUSED);
    assert_int_equal(lines, 5);
}

static void refuse_connection(const struct pv_stream_op *opened)
{
    pv_part_coordinator.streams[0].closed(node.node.coord, opened->sid, -111, node.now);
    fake_node_settle(&node);
}

PV_TEST_IN(one_that_does_not_answer_makes_way_for_the_next_in_a_circle, start, coordpart_stop)
{
    static const uint8_t tried[] = {9, 7, 9, 7};
    const struct keys other = keys_of(77);
    fake_node_start(&node);
    at_two("192.0.2.9", "192.0.2.7", other.pk);
    connect_as(PV_CTL_MEMBER);
    for (size_t i = 0; i < PV_ARRAY_LEN(tried); i++) {
        wait_open(&op);
        assert_int_equal(op.addr.ip[3], tried[i]);
        assert_memory_equal(node.node.coord_info.pk,
                            tried[i] == 9 ? node.world.coordinator.pk : other.pk, PV_SIGN_PK_LEN);
        refuse_connection(&op);
        assert_false(next_open(&op)); /* not without a pause */
    }
}

PV_TEST_IN(a_record_that_names_another_is_followed_at_once, start, coordpart_stop)
{
    const struct keys other = keys_of(77);
    start_at("192.0.2.9", PV_CTL_MEMBER);
    assert_true(next_open(&op));
    pv_coord_follow(&node.node, pv_view(list, list_len), node.now); /* the same list */
    assert_false(next_open(&op));
    struct pv_hostport hp = {.host = "192.0.2.7", .port = 3478};
    struct pv_writer w = pv_writer(list, sizeof(list));
    pv_coordlist_put(&w, other.pk, &hp, 1);
    pv_coord_follow(&node.node, pv_view(list, w.len), node.now);
    wait_open(&op);
    assert_int_equal(op.addr.ip[3], 7);
    pv_coord_disconnect(&node.node);
    fake_node_settle(&node);
    pv_coord_follow(&node.node, pv_view(list, list_len), node.now);
    assert_false(next_open(&op)); /* down stays down */
}

PV_TEST_IN(only_members_are_looked_for_where_it_once_spoke_tls, start, coordpart_stop)
{
    static const char learnt[] = "tls:192.0.2.10:8443\n";
    const struct pv_saved_meta meta = {.name = "tls-hosts",
                                       .value = pv_view(learnt, strlen(learnt))};
    node.saved.meta = &meta;
    node.saved.n_meta = 1;
    start_at("192.0.2.9", PV_CTL_APPLICANT);
    assert_true(next_open(&op) && !op.tls);
    fake_node_wait(&node, PV_S(1));
    assert_true(next_open(&op) && op.tls); /* a guess: nothing else may be let out here */
    assert_int_equal(op.addr.port, 443);
    assert_false(next_open(&op));
    connect_as(PV_CTL_MEMBER);
    bool tls = false;
    for (int i = 0; i < 8 && !tls; i++) {
        fake_node_wait(&node, PV_MS(300));
        while (pv_streams_next_op(&node.node.streams, &op) == PV_OK)
            tls = tls || (op.tls && op.addr.port == 8443);
    }
    assert_true(tls);
}

/* Says where the coordinator once said that it speaks TLS: near this node, in the internet, and by
 * a name. */
static void begin_learnt(void)
{
    static const char learnt[] = "tls:127.0.0.1:22\ntls:192.168.7.1:443\n"
                                 "tls:192.0.2.10:8443\ntls:tls.example:443\n";
    static struct pv_saved_meta meta = {.name = "tls-hosts"};
    meta.value = pv_view(learnt, strlen(learnt));
    node.saved.meta = &meta;
    node.saved.n_meta = 1;
    fake_node_start(&node);
}

/* How many addresses are tried inside TLS; *ret_near: of them in 192.168.7. */
static size_t count_tls(size_t *ret_near)
{
    size_t n = 0;
    *ret_near = 0;
    for (int i = 0; i < 20; i++) {
        fake_node_wait(&node, PV_MS(250));
        while (pv_streams_next_op(&node.node.streams, &op) == PV_OK) {
            bool opens = op.type == PV_STREAM_OPEN && op.tls;
            n += opens ? 1 : 0;
            *ret_near += opens && pv_addr_is_private(&op.addr) ? 1 : 0;
            assert_false(opens && pv_addr_is_loopback(&op.addr));
        }
    }
    return n;
}

/* Its word about itself must not have this node connect to its own machine or network, now or after
 * years; nor may a name that it said. */
PV_TEST_IN(where_it_said_that_it_speaks_tls_is_not_near_this_node, start, coordpart_stop)
{
    struct pv_job_result found = {.n_addrs = 3};
    size_t near;
    begin_learnt();
    at("192.0.2.9");
    connect_as(PV_CTL_MEMBER);
    found.addrs[0] = pv_addr4(127, 0, 0, 1, 443);
    found.addrs[1] = pv_addr4(192, 168, 7, 2, 443);
    found.addrs[2] = pv_addr4(192, 0, 2, 11, 443);
    fake_node_answer(&node, expect_resolve("tls.example"), &found);
    assert_int_equal(count_tls(&near), 2);
    assert_int_equal(near, 0);
}

PV_TEST_IN(a_coordinator_of_the_own_network_may_speak_tls_there, start, coordpart_stop)
{
    struct pv_job_result found = {.n_addrs = 1};
    size_t near;
    begin_learnt();
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    found.addrs[0] = pv_addr4(192, 168, 7, 3, 3478);
    fake_node_answer(&node, expect_resolve("coord.example"), &found);
    found.addrs[0] = pv_addr4(192, 168, 7, 2, 443);
    fake_node_answer(&node, expect_resolve("tls.example"), &found);
    assert_int_equal(count_tls(&near), 3);
    assert_int_equal(near, 2);
}

/* The learnt address is all there is where its own name cannot be looked up. */
PV_TEST_IN(without_names_it_is_looked_for_where_it_spoke_tls, start, coordpart_stop)
{
    size_t near;
    begin_learnt();
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    fake_node_answer(&node, expect_resolve("coord.example"),
                     &(struct pv_job_result){.status = PV_ERR_NOT_FOUND, .error = "unknown"});
    assert_int_equal(count_tls(&near), 1);
    assert_int_equal(near, 0);
}

PV_TEST_IN(nobody_can_ask_without_a_connection, start, coordpart_stop)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_PULL};
    uint8_t hash[PV_CTL_HASH_LEN];
    fake_node_start(&node);
    assert_int_equal(pv_coord_ask(&node.node, &pv_part_coordinator, &msg, 1), PV_ERR_STATE);
    assert_int_equal(pv_coord_hash(&node.node, hash), PV_ERR_STATE);
}

PV_TEST_IN(the_cursor_is_kept_over_restarts, start, coordpart_stop)
{
    fake_node_start(&node);
    pv_coord_set_cursor(&node.node, (struct pv_ctl_cursor){.epoch = 5, .n = 9});
    assert_null(fake_node_job(&node)); /* what it stands for is stored first */
    pv_coord_save_cursor(&node.node);
    for (int i = 0; i < 2; i++) {
        struct pv_job *job = fake_node_job(&node);
        assert_non_null(job);
        assert_int_equal(job->kind, PV_JOB_SET_META);
        fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
    }
    pv_coord_save_cursor(&node.node);
    assert_null(fake_node_job(&node)); /* it has not moved since */
    assert_int_equal(pv_coord_cursor(&node.node).n, 9);
    pv_coord_forget_cursor(&node.node);
    assert_int_equal(pv_coord_cursor(&node.node).n, 0);
}

PV_TEST_IN(a_disconnected_node_tries_nothing, start, coordpart_stop)
{
    start_at("192.0.2.9", PV_CTL_MEMBER);
    pv_coord_disconnect(&node.node);
    fake_node_wait(&node, PV_S(120));
    assert_false(next_open(&op));
}

PV_TEST_IN(a_list_of_none_ends_what_was_tried, start, coordpart_stop)
{
    start_at("192.0.2.9", PV_CTL_MEMBER);
    assert_true(next_open(&op));
    list_len = 0;
    connect_as(PV_CTL_MEMBER);
    assert_int_equal(pv_coordclient_state(node.node.coord), PV_COORDCLIENT_STOPPED);
    assert_ok(pv_streams_next_op(&node.node.streams, &op));
    assert_int_equal(op.type, PV_STREAM_CLOSE);
}

PV_TEST_IN(status_says_where_it_is_and_why_it_is_not_reached, start, coordpart_stop)
{
    fake_node_start(&node);
    assert_null(fake_node_status(&node)->s.coordinator);
    at("192.0.2.9");
    connect_as(PV_CTL_MEMBER);
    assert_string_equal(fake_node_status(&node)->s.coordinator, "192.0.2.9:3478");
    assert_int_equal(fake_node_status(&node)->n_problems, 0);
    assert_true(fake_node_has_metric(&node, "p2pvpn_coordinator_connected 0"));
    assert_true(fake_node_has_metric(&node, "p2pvpn_coordinator_connects_total 0"));
    assert_true(next_open(&op));
    pv_part_coordinator.streams[0].closed(node.node.coord, op.sid, -111, node.now);
    fake_node_settle(&node);
    assert_true(fake_node_has_problem(&node, "cannot reach the coordinator: "));
    node.node.coord_info.standing = PV_COORD_DENIED; /* which has a line of its own */
    assert_false(fake_node_has_problem(&node, "cannot reach the coordinator: "));
    node.node.coord_info.standing = PV_COORD_NO_COMPLAINT;
    node.node.up = false; /* who wants to be offline has no problem */
    assert_int_equal(fake_node_status(&node)->n_problems, 0);
}

/* --- a coordinator that answers --------------------------------------------------------------- */

static struct pv_control *server;
static bool server_is_able;              /* to give the connection hybrid keys */
static enum pv_ctl_error server_refuses; /* what it says in place of a welcome; NONE: it lets in */

static void say(struct pv_ctl_msg msg)
{
    static uint8_t text[PV_CTL_TEXT_MAX];
    size_t len;
    assert_ok(pv_ctl_build(&msg, text, sizeof(text), &len));
    assert_ok(pv_control_send(server, pv_view(text, len)));
}

static void become_hybrid(struct pv_view ek)
{
    uint8_t ct[PV_KEM_CT_LEN];
    struct pv_control_keys keys;
    assert_ok(pv_control_answer(server, &kem_double, &node.node.rng, ek, ct, &keys));
    say((struct pv_ctl_msg){.kind = PV_CTL_PUSH,
                            .type = PV_CTL_HYBRID,
                            .u.hybrid = {.mlkem768 = pv_view(ct, sizeof(ct))}});
    pv_control_rekey(server, &keys);
}

/* The bytes of both go across, once; what the node says is answered by this welcome. */
static void exchange(uint32_t sid, const struct pv_ctl_welcome *welcome)
{
    const struct pv_stream_handler *stream = &pv_part_coordinator.streams[0];
    void *client = stream->machine(node.self);
    struct pv_view out = stream->out(client, sid), text;
    uint8_t copy[4096];
    size_t n;
    if (out.len > 0) {
        assert_ok(pv_control_handle_bytes(server, out, &n));
        stream->wrote(client, sid, n, node.now);
    }
    while (pv_control_poll_message(server, &text) == PV_OK) {
        struct pv_ctl_msg *req;
        assert_ok(pv_ctl_parse(text, &req));
        struct pv_ctl_msg m = {.kind = PV_CTL_ANSWER, .type = PV_CTL_WELCOME, .id = req->id};
        if (server_is_able && req->u.hello.mlkem768.len > 0)
            become_hybrid(req->u.hello.mlkem768);
        pv_ctl_msg_free(req);
        m.u.welcome = *welcome;
        if (server_refuses != PV_CTL_E_NONE) {
            m.type = PV_CTL_ERROR;
            m.u.failure = (struct pv_ctl_failure){.error = server_refuses, .message = "no"};
        }
        say(m);
    }
    out = pv_control_out(server);
    assert_true(out.len <= sizeof(copy));
    if (out.len > 0)
        memcpy(copy, out.ptr, out.len);
    n = out.len;
    pv_control_wrote(server, n);
    stream->bytes(client, sid, pv_view(copy, n), node.now);
    fake_node_settle(&node);
}

/* The connection that was opened is the coordinator's, which has this welcome. */
static void let_in(uint32_t sid, const struct pv_ctl_welcome *welcome)
{
    uint8_t dh[32];
    pv_sign_sk_to_dh(node.world.coordinator.sk, dh);
    assert_ok(pv_control_new_server(&server, dh, NULL, &node.node.rng));
    pv_part_coordinator.streams[0].connected(node.node.coord, sid, node.now);
    for (int i = 0; i < 4; i++)
        exchange(sid, welcome);
}

/* Connects to the coordinator at host, whose welcome names these servers; returns the connection.
 */
static uint32_t meet(const char *host, const char *const *stun, size_t n_stun)
{
    const struct pv_ctl_welcome welcome = {
        .time_us = (uint64_t)T0 * 1000000, .n_stun = n_stun, .stun = stun};
    at(host);
    connect_as(PV_CTL_MEMBER);
    assert_true(next_open(&op));
    let_in(op.sid, &welcome);
    return op.sid;
}

static uint32_t go_online(const char *host, const char *const *stun, size_t n_stun)
{
    uint32_t sid = meet(host, stun, n_stun);
    assert_true(node.node.online);
    return sid;
}

static int stop_server(void **state)
{
    server = pv_control_free(server);
    return coordpart_stop(state);
}

static bool has_server(const char *text)
{
    struct pv_addr want;
    assert_ok(pv_addr_parse(text, &want));
    for (size_t i = 0; i < node.node.coord_info.n_servers; i++) {
        if (pv_addr_equal(&node.node.coord_info.servers[i], &want))
            return true;
    }
    return false;
}

/* One that was put back with its key alone answers, and would never serve the network by itself. */
PV_TEST_IN(a_coordinator_that_has_lost_the_network_names_the_way_back, start, stop_server)
{
    fake_node_start(&node);
    server_refuses = PV_CTL_E_UNKNOWN_NETWORK;
    uint32_t sid = meet("192.0.2.9", NULL, 0);
    server_refuses = PV_CTL_E_NONE;
    assert_false(node.node.online);
    fake_node_show_problems(&node);
    assert_false(fake_node_has_problem(&node, "cannot reach the coordinator"));
    assert_non_null(fake_node_status(&node)->s.coordinator_remedy);
    /* The next attempt finds nobody at all. */
    pv_part_coordinator.streams[0].closed(node.node.coord, sid, 0, node.now);
    wait_open(&op);
    pv_part_coordinator.streams[0].closed(node.node.coord, op.sid, -ECONNREFUSED, node.now);
    fake_node_settle(&node);
    assert_null(fake_node_status(&node)->s.coordinator_remedy);
    assert_true(fake_node_has_problem(&node, "cannot reach the coordinator: "));
}

PV_TEST_IN(a_member_is_told_which_machine_gives_the_network_back, start, stop_server)
{
    fake_node_start(&node);
    node.node.coord_info.unserved = true;
    assert_int_equal(pv_node_unserved(&node.node), PV_REMEDY_ask_to_serve_again);
    fake_node_give_root(&node, true); /* that of another network */
    assert_int_equal(pv_node_unserved(&node.node), PV_REMEDY_ask_to_serve_again);
    fake_node_give_root(&node, false);
    assert_int_equal(pv_node_unserved(&node.node), PV_REMEDY_serve_again);
}

static const char *const named[] = {"127.0.0.1:22",      "192.168.7.1:3478", "169.254.169.254:80",
                                    "224.0.0.1:3478",    "0.0.0.0:3478",     "[::1]:3478",
                                    "[fd00::7]:3478",    "[fe80::1]:3478",   "203.0.113.5:3478",
                                    "[2001:db8::5]:3478"};

/* A coordinator in the internet cannot have this node speak to what is near it. */
PV_TEST_IN(servers_near_this_node_are_not_believed, start, stop_server)
{
    fake_node_start(&node);
    go_online("192.0.2.9", named, 8);
    assert_int_equal(node.node.coord_info.n_servers, 0);
}

PV_TEST_IN(servers_in_the_internet_are_believed, start, stop_server)
{
    fake_node_start(&node);
    go_online("192.0.2.9", named + 2, 8);
    assert_int_equal(node.node.coord_info.n_servers, 2);
    assert_true(has_server("203.0.113.5:3478"));
    assert_true(has_server("[2001:db8::5]:3478"));
}

/* Where it is a machine of this network, its STUN server may be one as well. */
PV_TEST_IN(a_coordinator_of_the_own_network_may_name_servers_there, start, stop_server)
{
    fake_node_start(&node);
    go_online("192.168.7.2", named, 8);
    assert_true(has_server("192.168.7.1:3478"));
    assert_true(has_server("[fd00::7]:3478"));
    assert_false(has_server("127.0.0.1:22"));
    assert_false(has_server("[::1]:3478"));
    assert_false(has_server("224.0.0.1:3478"));
}

/* Of its addresses the one by which it is reached is asked: to the others nothing may lead. */
PV_TEST_IN(the_server_by_which_the_coordinator_is_reached_goes_first, start, stop_server)
{
    static const char *const both[] = {"203.0.113.5:3478", "[2001:db8::5]:3478",
                                       "203.0.113.7:3478"};
    fake_node_start(&node);
    go_online("203.0.113.7", both, 3);
    assert_int_equal(node.node.coord_info.n_servers, 3);
    const struct pv_addr reached = pv_addr4(203, 0, 113, 7, 3478);
    assert_true(pv_addr_equal(&node.node.coord_info.servers[0], &reached));
    assert_true(has_server("203.0.113.5:3478"));
    assert_true(has_server("[2001:db8::5]:3478"));
}

PV_TEST_IN(a_coordinator_on_this_machine_may_name_it, start, stop_server)
{
    static const char *const own[] = {"127.0.0.1:3478", "[::1]:3478", "0.0.0.0:3478"};
    fake_node_start(&node);
    go_online("127.0.0.1", own, 3);
    assert_true(has_server("127.0.0.1:3478"));
    assert_true(has_server("[::1]:3478"));
    assert_int_equal(node.node.coord_info.n_servers, 2);
}

PV_TEST_IN(without_any_server_the_coordinators_own_address_is_one, start, stop_server)
{
    fake_node_start(&node);
    go_online("192.168.7.2", NULL, 0);
    assert_true(has_server("192.168.7.2:3478"));
    assert_true(fake_node_has_metric(&node, "p2pvpn_coordinator_connected 1"));
    assert_true(fake_node_has_metric(&node, "p2pvpn_coordinator_connects_total 1"));
}

/* As one that was set back to before this node joined. Members tell it, and the wait has an end. */
PV_TEST_IN(a_coordinator_that_does_not_know_this_node_is_given_time, start, stop_server)
{
    fake_node_start(&node);
    server_refuses = PV_CTL_E_UNKNOWN_NODE;
    uint32_t sid = meet("192.0.2.9", NULL, 0);
    assert_false(node.node.online);
    fake_node_show_problems(&node);
    assert_shows("remedy", fake_node_status(&node)->s.coordinator_remedy);
    node.now += PV_COORD_TOLD_BY;
    fake_node_show_problems(&node);
    assert_shows("remedy at last", fake_node_status(&node)->s.coordinator_remedy);
    /* A coordinator that is away says nothing of members. */
    pv_part_coordinator.streams[0].closed(node.node.coord, sid, 0, node.now);
    wait_open(&op);
    pv_part_coordinator.streams[0].closed(node.node.coord, op.sid, -ECONNREFUSED, node.now);
    fake_node_settle(&node);
    assert_true(fake_node_has_problem(&node, "cannot reach the coordinator"));
    server_refuses = PV_CTL_E_NONE;
    wait_open(&op);
    server = pv_control_free(server);
    let_in(op.sid, &(const struct pv_ctl_welcome){.time_us = (uint64_t)T0 * 1000000});
    assert_true(node.node.online); /* remedy: wait_to_be_told */
    assert_false(fake_node_has_problem(&node, "does not know this machine"));
}

/* --- hybrid keys ------------------------------------------------------------------------------ */

#define HYBRIDS "hybrid-coordinators"
static const char LOST[] = "the connection to the coordinator is no longer post-quantum: ";

/* The coordinator's end of the last connection goes, and the next one is made. */
static void meet_again(bool able)
{
    pv_coord_disconnect(&node.node);
    fake_node_settle(&node);
    while (pv_streams_next_op(&node.node.streams, &op) == PV_OK)
        assert_int_equal(op.type, PV_STREAM_CLOSE);
    server = pv_control_free(server);
    server_is_able = able;
    meet("192.0.2.9", NULL, 0);
}

static void start_with(enum pv_pq_policy policy)
{
    node.cfg.given.kem = &kem_double;
    node.cfg.given.pq = policy;
    fake_node_start(&node);
}

static bool is_shown_as(const char *kind)
{
    const char *shown = fake_node_status(&node)->pq.coordinator;
    return kind == NULL ? shown == NULL : shown != NULL && strcmp(shown, kind) == 0;
}

/* An ability that a coordinator once had and has no more is told, and not done without under
 * `require`. */
PV_TEST_IN(a_coordinator_that_stops_being_hybrid_is_named, start, stop_server)
{
    const enum pv_pq_policy policies[] = {PV_PQ_ON, PV_PQ_REQUIRE};
    for (size_t i = 0; i < PV_ARRAY_LEN(policies); i++) {
        if (i > 0)
            assert_int_equal(stop_server(state) | start(state), 0);
        start_with(policies[i]);
        assert_true(is_shown_as(NULL));
        meet_again(false); /* an old one, in both policies */
        assert_true(node.node.online && is_shown_as("classical"));
        assert_false(fake_node_has_problem(&node, LOST));
        assert_true(fake_node_has_metric(&node, "p2pvpn_coordinator_hybrid 0"));
        meet_again(true);
        assert_true(node.node.online && is_shown_as("hybrid"));
        assert_true(fake_node_has_metric(&node, "p2pvpn_coordinator_hybrid 1"));
        meet_again(false);
        if (policies[i] == PV_PQ_ON) {
            assert_true(node.node.online && is_shown_as("classical"));
            assert_true(fake_node_has_problem(&node, LOST));
        } else {
            assert_false(node.node.online);
            assert_has(node.node.coord_info.error, "it was hybrid");
        }
        meet_again(true); /* remedy: hybrid_again */
        assert_true(node.node.online && is_shown_as("hybrid"));
        assert_false(fake_node_has_problem(&node, LOST));
    }
}

/* The learnt names are stored; the job ends so. */
static void expect_hybrids_stored(int status)
{
    struct pv_job *job;
    while ((job = fake_node_job(&node)) != NULL &&
           (job->kind != PV_JOB_SET_META || strcmp(job->u.set_meta.name, HYBRIDS) != 0))
        fake_node_answer(&node, job, &(struct pv_job_result){.status = PV_OK});
    assert_non_null(job);
    assert_int_equal(job->u.set_meta.len, PV_SIGN_PK_LEN);
    assert_memory_equal(job->u.set_meta.value, node.world.coordinator.pk, PV_SIGN_PK_LEN);
    fake_node_answer(&node, job, &(struct pv_job_result){.status = status, .error = "no room"});
}

/* It is stored again after a failure, and counts after a restart. */
PV_TEST_IN(a_hybrid_coordinator_is_remembered_over_restarts, start, stop_server)
{
    start_with(PV_PQ_ON);
    meet_again(true);
    expect_hybrids_stored(PV_ERR_NO_SPACE);
    assert_true(node.node.store.failed);
    fake_node_raise(&node, PV_FACT_STORE);
    expect_hybrids_stored(PV_OK);

    assert_int_equal(stop_server(state) | start(state), 0);
    const struct pv_saved_meta meta = {.name = HYBRIDS,
                                       .value = pv_view(node.world.coordinator.pk, PV_SIGN_PK_LEN)};
    node.saved.meta = &meta;
    node.saved.n_meta = 1;
    start_with(PV_PQ_REQUIRE);
    meet_again(false);
    assert_false(node.node.online);
}

/* [security] pq = off offers nothing, and has nothing to miss. */
PV_TEST_IN(a_user_who_switched_it_off_offers_nothing, start, stop_server)
{
    start_with(PV_PQ_OFF);
    meet_again(true);
    assert_true(node.node.online && is_shown_as("classical"));
    assert_int_equal(node.node.coord_info.keys, PV_COORD_CLASSICAL);
}

/* It would wait for its timeout otherwise. */
PV_TEST_IN(a_connection_from_an_address_that_is_gone_ends, start, stop_server)
{
    start_with(PV_PQ_ON);
    meet_again(false);
    assert_true(node.node.online);
    assert_int_not_equal(node.node.coord_info.heard_at, 0);
    fake_node_raise(&node, PV_FACT_MOVED);
    assert_true(node.node.online); /* another mapping is no reason: it is only asked */
    fake_node_raise(&node, PV_FACT_ADDRESS_GONE);
    assert_false(node.node.online);
    assert_int_equal(node.node.coord_info.heard_at, 0);
}

/* Its last word is known until the next connection has ended. */
PV_TEST_IN(whether_it_gave_the_network_away_is_known, start, stop_server)
{
    const struct pv_coord_info *info = &node.node.coord_info;
    const struct pv_ctl_msg away = {.kind = PV_CTL_PUSH,
                                    .type = PV_CTL_BYE,
                                    .u.failure = {.error = PV_CTL_E_MOVED, .message = "x"}};
    fake_node_start(&node);
    uint32_t sid = go_online("203.0.113.9", NULL, 0);
    assert_false(info->handed_over);
    say(away);
    exchange(sid, NULL);
    assert_true(info->handed_over);
    assert_false(node.node.online);
    server = pv_control_free(server);
    while (pv_streams_next_op(&node.node.streams, &op) == PV_OK)
        assert_int_equal(op.type, PV_STREAM_CLOSE);
    sid = go_online("203.0.113.9", NULL, 0);
    assert_true(info->handed_over);
    pv_part_coordinator.streams[0].closed(node.node.coord, sid, -ECONNRESET, node.now);
    fake_node_settle(&node);
    assert_false(node.node.online || info->handed_over);
}

/* It lets this node in and closes the connection: the next attempt is another's after a few of
 * these. */
PV_TEST_IN(one_that_drops_this_node_again_and_again_makes_way_for_the_next, start, stop_server)
{
    const struct keys other = keys_of(77);
    struct pv_stream_op opened = {0};
    size_t n = 0;
    fake_node_start(&node);
    at_two("192.0.2.9", "192.0.2.7", other.pk);
    connect_as(PV_CTL_MEMBER);
    for (wait_open(&opened); opened.addr.ip[3] == 9 && n < 100; n++) {
        let_in(opened.sid, &(struct pv_ctl_welcome){.time_us = (uint64_t)T0 * 1000000});
        assert_true(node.node.online);
        pv_part_coordinator.streams[0].closed(node.node.coord, opened.sid, PV_ERR_CLOSED, node.now);
        fake_node_settle(&node);
        server = pv_control_free(server);
        wait_open(&opened);
    }
    assert_int_equal(n, 4);
    assert_memory_equal(node.node.coord_info.pk, other.pk, PV_SIGN_PK_LEN);
}

/* --- coordinators that have names ------------------------------------------------------------ */

static struct pv_job_result found_at(uint8_t last)
{
    return (struct pv_job_result){
        .status = PV_OK, .addrs = {pv_addr4(192, 0, 2, last, 3478)}, .n_addrs = 1};
}

static struct pv_job_result not_found(const char *why)
{
    struct pv_job_result r = {.status = PV_ERR_NOT_FOUND};
    snprintf(r.error, sizeof(r.error), "%s", why);
    return r;
}

static void answer(struct pv_job *job, struct pv_job_result result)
{
    fake_node_answer(&node, job, &result);
}

PV_TEST_IN(a_name_is_looked_up_and_its_failure_told, coordpart_start, coordpart_stop)
{
    start_at("coord.example", PV_CTL_MEMBER);
    assert_false(next_open(&op));
    fake_node_answer(
        &node, expect_resolve("coord.example"),
        &(struct pv_job_result){.status = PV_ERR_NOT_FOUND, .error = "coord.example: unknown"});
    assert_string_equal(node.node.coord_info.error, "coord.example: unknown");
    assert_false(next_open(&op));
}

PV_TEST_IN(addresses_of_a_name_are_tried_when_they_come, coordpart_start, coordpart_stop)
{
    struct pv_job_result found = {.status = PV_OK, .n_addrs = 1};
    start_at("coord.example", PV_CTL_MEMBER);
    found.addrs[0] = pv_addr4(192, 0, 2, 5, 3478);
    fake_node_answer(&node, expect_resolve("coord.example"), &found);
    assert_true(next_open(&op));
    assert_true(pv_addr_equal(&op.addr, &found.addrs[0]));
}

/* As on a machine that starts before its network is there. */
PV_TEST_IN(a_name_that_is_not_found_is_looked_up_again, coordpart_start, coordpart_stop)
{
    struct pv_job *job;
    unsigned lookups = 0;
    start_at("coord.example", PV_CTL_MEMBER);
    for (const pv_ns end = node.now + PV_S(300); node.now < end; fake_node_wait(&node, PV_S(1))) {
        while ((job = fake_node_job(&node)) != NULL) {
            answer(job, not_found("coord.example: unknown"));
            assert_true(++lookups <= 100); /* not all the time */
        }
        assert_string_equal(node.node.coord_info.error, "coord.example: unknown");
    }
    assert_true(lookups >= 8);
    for (int i = 0; i < 60 && (job = fake_node_job(&node)) == NULL; i++)
        fake_node_wait(&node, PV_S(1));
    assert_non_null(job);
    answer(job, found_at(5));
    wait_open(&op);
    assert_int_equal(op.addr.ip[3], 5);
}

/* Its network has come. */
PV_TEST_IN(a_kick_has_names_looked_up_at_once, coordpart_start, coordpart_stop)
{
    struct pv_job *job;
    start_at("coord.example", PV_CTL_MEMBER);
    for (int i = 0; i < 100; i++, fake_node_wait(&node, PV_S(1)))
        while ((job = fake_node_job(&node)) != NULL)
            answer(job, not_found("coord.example: unknown"));
    assert_int_equal(pv_coordclient_state(node.node.coord), PV_COORDCLIENT_WAITING);
    pv_coordclient_kick(node.node.coord, node.now);
    fake_node_settle(&node);
    answer(expect_resolve("coord.example"), found_at(5));
    assert_true(next_open(&op));
}

PV_TEST_IN(a_coordinator_without_an_address_makes_way_for_the_next, coordpart_start, coordpart_stop)
{
    const struct keys other = keys_of(77);
    struct pv_job *job;
    fake_node_start(&node);
    at_two("coord.example", "192.0.2.7", other.pk);
    connect_as(PV_CTL_MEMBER);
    answer(expect_resolve("coord.example"), not_found("coord.example: unknown"));
    wait_open(&op);
    assert_int_equal(op.addr.ip[3], 7);
    assert_memory_equal(node.node.coord_info.pk, other.pk, PV_SIGN_PK_LEN);
    while ((job = fake_node_job(&node)) != NULL)
        answer(job, not_found("coord.example: unknown"));
}

/* An answer about a former coordinator is not where the present one is. */
PV_TEST_IN(a_late_answer_about_another_coordinator_is_not_taken, coordpart_start, coordpart_stop)
{
    start_at("old.example", PV_CTL_MEMBER);
    struct pv_job *late = expect_resolve("old.example");
    at("new.example");
    connect_as(PV_CTL_MEMBER);
    struct pv_job *job = expect_resolve("new.example");
    answer(late, found_at(5));
    assert_false(next_open(&op));
    answer(job, found_at(6));
    assert_true(next_open(&op));
    assert_int_equal(op.addr.ip[3], 6);
    assert_false(next_open(&op));
}

PV_TEST_IN(a_name_that_is_not_found_is_no_error_beside_an_address, coordpart_start, coordpart_stop)
{
    fake_node_start(&node);
    also = "192.0.2.9";
    at("coord.example");
    connect_as(PV_CTL_APPLICANT);
    assert_true(next_open(&op));
    answer(expect_resolve("coord.example"), not_found("coord.example: unknown"));
    assert_string_equal(node.node.coord_info.error, "");
}

/* A name server that does not answer for long is not asked the same again and again. */
PV_TEST_IN(a_name_being_looked_up_is_not_asked_again, coordpart_start, coordpart_stop)
{
    fake_node_start(&node);
    also = "192.0.2.9";
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    struct pv_job *job = expect_resolve("coord.example");
    for (int i = 0; i < 20; i++) {
        wait_open(&op);
        pv_part_coordinator.streams[0].closed(node.node.coord, op.sid, -111, node.now);
        fake_node_settle(&node);
        assert_null(fake_node_job(&node));
    }
    pv_job_free(job);
}

/* --- an HTTP proxy ------------------------------------------------------------------------------
 */

static void use_proxy(const char *except)
{
    struct pv_proxyset *proxy = &node.node.given.proxy;
    *proxy = (struct pv_proxyset){.host = "proxy.example", .port = 3128};
    snprintf(proxy->except, sizeof(proxy->except), "%s", except);
}

/* The proxy looks the coordinator's name up, and may connect to port 443 alone. */
PV_TEST_IN(through_a_proxy_only_the_proxys_name_is_looked_up, coordpart_start, coordpart_stop)
{
    struct pv_job_result found = {
        .addrs = {pv_addr4(192, 0, 2, 50, 3128), pv_addr4(192, 0, 2, 51, 3128)}, .n_addrs = 2};
    fake_node_start(&node);
    use_proxy("");
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    assert_false(next_open(&op));
    fake_node_answer(&node, expect_resolve("proxy.example"), &found);
    assert_true(next_open(&op));
    assert_string_equal(PV_ADDR_STR(&op.addr), "192.0.2.50:3128");
    assert_string_equal(op.to, "coord.example:3478");
    assert_true(op.tls);
    fake_node_wait(&node, PV_COORDCLIENT_STAGGER);
    assert_true(next_open(&op));
    assert_string_equal(op.to, "coord.example:443");
    assert_string_equal(PV_ADDR_STR(&op.addr), "192.0.2.50:3128");
}

PV_TEST_IN(a_host_of_no_proxy_is_reached_directly, coordpart_start, coordpart_stop)
{
    struct pv_job_result found = {.addrs = {pv_addr4(192, 0, 2, 9, 3478)}, .n_addrs = 1};
    fake_node_start(&node);
    use_proxy("localhost,.example");
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    fake_node_answer(&node, expect_resolve("coord.example"), &found);
    assert_true(next_open(&op));
    assert_string_equal(op.to, "");
    assert_false(op.tls);
}

PV_TEST_IN(a_proxy_that_is_not_found_is_told, coordpart_start, coordpart_stop)
{
    struct pv_remedy todo;
    fake_node_start(&node);
    use_proxy("");
    pv_proxyset_at("proxy.example", 3128, node.node.coord_info.proxy_at);
    at("coord.example");
    connect_as(PV_CTL_MEMBER);
    fake_node_answer(&node, expect_resolve("proxy.example"),
                     &(struct pv_job_result){.status = PV_ERR_NOT_FOUND, .error = "no such name"});
    assert_string_equal(node.node.coord_info.error, "the HTTP proxy proxy.example:3128 is not "
                                                    "found: its name has no address");
    assert_true(pv_node_is_kept_by_proxy(&node.node, &todo));
    assert_int_equal(todo.id, PV_REMEDY_proxy_correct);
}
