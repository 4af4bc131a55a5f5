/* SPDX-License-Identifier: MIT */
/*
 * The control thread's binding around a stand-in for the engine (io_world.h). The test's steps run
 * in the loop, one every millisecond.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/io/io_jobs.h"
#include "io_world.h"
#include "sys/net/ipcmd.h"
#include "sys/net/stream.h"
#include "sys/net/udp.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "sys/proc/loop.h"

static void push_op(struct pv_engine *e, struct pv_stream_op op)
{
    e->ops[e->n_ops++] = op;
}

/* Reads what has come; PV_ERR_CLOSED at the end. */
static int client_read(struct pv_engine *e)
{
    char buf[4096];
    size_t n = 0;
    int r;
    while ((r = pv_stream_read(e->client, buf, sizeof(buf), &n)) == PV_OK) {
        if (e->got_len + n < sizeof(e->got))
            memcpy(e->got + e->got_len, buf, n);
        e->got_len += n;
    }
    return r;
}

/* The step is done; the loop goes on. */
static bool next_stage(struct pv_engine *e)
{
    e->stage++;
    return false;
}

/* --- control clients ----------------------------------------------------------------------- */

static bool ctl_step(struct pv_engine *e, pv_ns now)
{
    struct fake_stream *s = &e->streams[0];
    size_t n = 0, m = 0;
    int pair[2];
    switch (e->stage) {
    case 0: { /* descriptors that go along are closed */
        FILE *file = tmpfile();
        assert_non_null(file);
        assert_int_equal(pipe(pair), 0);
        assert_ok(pv_unix_connect(world->socket, &e->client));
        assert_ok(pv_unix_write(e->client, pv_view("hel", 3), fileno(file), &n));
        assert_ok(pv_unix_write(e->client, pv_view("lo\n", 3), pair[0], &m));
        assert_int_equal(n + m, 6);
        fclose(file);
        close(pair[0]);
        close(pair[1]);
        return next_stage(e);
    }
    case 1: /* it arrives, with who sent it; answer more than the kernel takes at once */
        if (s->in_len < 6)
            return false;
        assert_memory_equal(s->in, "hello\n", 6);
        assert_int_equal(s->kind, PV_STREAM_CTL);
        assert_int_equal(e->datapath.workers, 1); /* told before the client's words */
        assert_true(e->datapath.threads >= 1);
        assert_int_equal(s->who.uid, getuid());
        assert_int_equal(s->who.may_change, getuid() == 0);
        s->out_len = OUT_MAX;
        s->writable = true;
        return next_stage(e);
    case 2: /* half of it was read: now the engine closes; the rest must still arrive */
        (void)client_read(e);
        if (e->got_len < OUT_MAX / 2)
            return false;
        s->out_len += 5;
        push_op(e, (struct pv_stream_op){.type = PV_STREAM_CLOSE, .sid = 0});
        return next_stage(e);
    default:
        if (client_read(e) != PV_ERR_CLOSED)
            return false;
        assert_int_equal(e->got_len, OUT_MAX + 5);
        assert_false(s->closed); /* the engine closed it: no need to tell */
        return true;
    }
}

PV_TEST_IN(a_control_client_gets_every_byte_also_after_close, setup, teardown)
{
    assert_ok(run(ctl_step));
}

static bool leave_step(struct pv_engine *e, pv_ns now)
{
    if (e->stage == 0) {
        assert_ok(pv_unix_connect(world->socket, &e->client));
        e->stage++;
    } else if (e->stage == 1 && e->streams[0].open) {
        close(e->client);
        e->client = -1;
        e->stage++;
    }
    return e->streams[0].closed;
}

PV_TEST_IN(a_client_that_leaves_is_told_to_the_engine_once, setup, teardown)
{
    assert_ok(run(leave_step));
    assert_int_equal(world->engine.streams[0].status, PV_ERR_CLOSED);
}

/* --- connections out ----------------------------------------------------------------------- */

/* A client may know that it is connected before the listener does; false: not yet. */
static bool accepted(int listener, int *ret_fd)
{
    struct pv_addr remote, local;
    int r = pv_stream_accept(listener, ret_fd, &remote, &local);
    assert_true(r == PV_OK || r == PV_ERR_AGAIN);
    return r == PV_OK;
}

static bool connect_step(struct pv_engine *e, pv_ns now)
{
    struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    size_t n = 0;
    int fd = -1;
    switch (e->stage) {
    case 0:
        assert_ok(pv_stream_listen(&loopback, NULL, &e->client));
        assert_ok(pv_stream_local(e->client, &e->addr));
        push_op(e, (struct pv_stream_op){.type = PV_STREAM_OPEN, .sid = 3, .addr = e->addr});
        return next_stage(e);
    case 1:
        if (!e->streams[3].connected || !accepted(e->client, &fd))
            return false;
        close(e->client); /* nobody listens there from now on */
        e->client = fd;
        assert_ok(pv_stream_write(fd, pv_view("hi", 2), &n));
        push_op(e, (struct pv_stream_op){.type = PV_STREAM_OPEN, .sid = 4, .addr = e->addr});
        return next_stage(e);
    default:
        return e->streams[3].in_len == 2 && e->streams[4].closed;
    }
}

PV_TEST_IN(connections_are_made_and_refusals_reported, setup, teardown)
{
    assert_ok(run(connect_step));
    assert_memory_equal(world->engine.streams[3].in, "hi", 2);
    assert_int_equal(world->engine.streams[4].status, -ECONNREFUSED);
}

/* The engine takes no more of a stream for a while: what comes stays in the kernel. */
static bool full_step(struct pv_engine *e, pv_ns now)
{
    static pv_ns look_at;
    struct fake_stream *s = &e->streams[0];
    size_t n = 0;
    switch (e->stage) {
    case 0:
        assert_ok(pv_unix_connect(world->socket, &e->client));
        assert_ok(pv_unix_write(e->client, pv_view("a", 1), -1, &n));
        return next_stage(e);
    case 1:
        if (s->in_len < 1)
            return false;
        s->full = s->writable = true;
        look_at = now + PV_MS(200);
        return next_stage(e);
    case 2: /* it is told in between; output goes on */
        if (s->writable)
            return false;
        assert_ok(pv_unix_write(e->client, pv_view("b", 1), -1, &n));
        s->out_len = 3;
        s->writable = true;
        return next_stage(e);
    case 3:
        (void)client_read(e);
        assert_int_equal(s->in_len, 1);
        if (now < look_at || e->got_len < 3)
            return false;
        s->full = false;
        s->writable = true;
        return next_stage(e);
    default:
        return s->in_len == 2;
    }
}

PV_TEST_IN(a_stream_that_the_engine_cannot_take_is_not_read, setup, teardown)
{
    assert_ok(run(full_step));
    assert_memory_equal(world->engine.streams[0].in, "ab", 2);
}

/* --- datagrams ----------------------------------------------------------------------------- */

static bool datagram_step(struct pv_engine *e, pv_ns now)
{
    const struct pv_udp_opts opts = {0};
    struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    struct pv_udp_counts counts = {0};
    uint8_t message[148] = {1}, buf[64];
    switch (e->stage) {
    case 0:
        assert_ok(pv_udp_open(&loopback, &opts, &e->client));
        assert_ok(pv_udp_local(e->client, &e->addr));
        struct pv_udp_out out = {.dst = world->udp_addr, .data = {message, sizeof(message)}};
        pv_udp_send(e->client, &out, 1, &counts);
        return next_stage(e);
    case 1: /* a handshake is punted; answer to where it came from */
        if (e->punt_len == 0)
            return false;
        assert_true(pv_addr_equal(&e->punt_from, &e->addr));
        e->tx = (struct pv_engine_transmit){.dst = e->punt_from, .len = 3, .buf = "abc"};
        e->has_tx = true;
        return next_stage(e);
    default:
        if (recv(e->client, buf, sizeof(buf), MSG_DONTWAIT) != 3)
            return false;
        assert_memory_equal(buf, "abc", 3);
        return true;
    }
}

static bool relay_step(struct pv_engine *e, pv_ns now)
{
    uint8_t buf[64];
    struct pv_addr any = pv_addr4(127, 0, 0, 1, 0);
    static int listener = -1;
    switch (e->stage) {
    case 0:
        assert_ok(pv_stream_listen(&any, NULL, &listener));
        assert_ok(pv_stream_local(listener, &e->addr));
        e->relay_op =
            (struct pv_relaystream_op){.open = true, .stream = 8, .to = {.addr = e->addr}};
        e->has_relay_op = true;
        break;
    case 1:
        if (e->relay_stream == 0 || !accepted(listener, &e->client))
            return false;
        assert_int_equal(e->relay_stream, 8);
        e->tx = (struct pv_engine_transmit){.stream = 8, .len = 5, .buf = "@\0\0\1x"};
        e->has_tx = true;
        break;
    case 2: /* padded to four */
        if (recv(e->client, buf, sizeof(buf), MSG_DONTWAIT) != 8)
            return false;
        assert_memory_equal(buf, "@\0\0\1x\0\0\0", 8);
        assert_int_equal(send(e->client, "\0\1\0\0\x21\x12\xa4\x42............", 20, 0), 20);
        break;
    case 3: /* through the receiving lane, as a punt */
        if (e->punt_len == 0)
            return false;
        assert_int_equal(e->punt_len, 20);
        assert_int_equal(e->punt_sock, 8);
        close(e->client);
        close(listener);
        e->client = -1;
        break;
    default:
        return e->relay_closed == 8;
    }
    return next_stage(e);
}

PV_TEST_IN(streams_to_relays_open_carry_and_end, setup, teardown)
{
    assert_ok(run(relay_step));
}

static void sock_op(struct pv_engine *e, enum pv_hardnat_op_type type)
{
    e->sock_op = (struct pv_hardnat_op){.type = type, .sock = 7};
    e->has_sock_op = true;
}

static void send_to_sock(struct pv_engine *e)
{
    struct pv_udp_counts counts = {0};
    uint8_t message[148] = {1};
    struct pv_udp_out out = {.dst = pv_addr4(127, 0, 0, 1, e->opened_port),
                             .data = {message, sizeof(message)}};
    e->punt_len = 0;
    pv_udp_send(e->client, &out, 1, &counts);
}

/* Before it is adopted the control thread reads the socket, afterwards the datapath. */
static bool sock_step(struct pv_engine *e, pv_ns now)
{
    const struct pv_udp_opts opts = {0};
    struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    uint8_t buf[64];
    if (e->stage == 0) {
        assert_ok(pv_udp_open(&loopback, &opts, &e->client));
        assert_ok(pv_udp_local(e->client, &e->addr));
        sock_op(e, PV_HARDNAT_OPEN);
    } else if (e->stage == 1) {
        assert_int_not_equal(e->opened_port, 0);
        send_to_sock(e);
    } else if (e->stage == 2 || e->stage == 3) {
        if (e->punt_len == 0)
            return false;
        assert_int_equal(e->punt_sock, 7);
        assert_true(pv_addr_equal(&e->punt_from, &e->addr));
        if (e->stage == 2) {
            sock_op(e, PV_HARDNAT_ADOPT);
            send_to_sock(e);
        } else {
            e->tx =
                (struct pv_engine_transmit){.sock = 7, .dst = e->punt_from, .len = 3, .buf = "abc"};
            e->has_tx = true;
        }
    } else if (e->stage == 4) {
        if (recv(e->client, buf, sizeof(buf), MSG_DONTWAIT) != 3)
            return false;
        sock_op(e, PV_HARDNAT_CLOSE);
    } else {
        e->tx = (struct pv_engine_transmit){.sock = 7, .dst = e->addr, .len = 3, .buf = "abc"};
        return true; /* to a socket that is gone: dropped */
    }
    return next_stage(e);
}

PV_TEST_IN(another_socket_is_watched_then_carried_then_closed, setup, teardown)
{
    assert_ok(run(sock_step));
}

PV_TEST_IN(datagrams_reach_the_engine_and_leave_it, setup, teardown)
{
    assert_ok(run(datagram_step));
}

/* --- jobs ---------------------------------------------------------------------------------- */

static bool job_step(struct pv_engine *e, pv_ns now)
{
    struct pv_job *job;
    if (e->results < e->stage)
        return false;
    switch (e->stage++) {
    case 0:
        job = calloc(1, sizeof(*job));
        job->id = 7;
        job->kind = PV_JOB_SET_META;
        snprintf(job->u.set_meta.name, sizeof(job->u.set_meta.name), "seq");
        job->u.set_meta.value = (uint8_t *)strdup("41");
        job->u.set_meta.len = 2;
        e->job = job;
        return false;
    case 1:
        assert_int_equal(e->result.id, 7);
        assert_ok(e->result.status);
        job = calloc(1, sizeof(*job));
        job->id = 8;
        job->kind = PV_JOB_RESOLVE;
        snprintf(job->u.resolve.host, sizeof(job->u.resolve.host), "192.0.2.7");
        job->u.resolve.port = 3478;
        e->job = job;
        return false;
    case 2:
        assert_int_equal(e->result.id, 8);
        assert_ok(e->result.status);
        assert_int_equal(e->result.n_addrs, 1);
        struct pv_addr want = pv_addr4(192, 0, 2, 7, 3478);
        assert_true(pv_addr_equal(&e->result.addrs[0], &want));
        job = calloc(1, sizeof(*job));
        job->id = 9;
        job->kind = PV_JOB_RESOLVE;
        snprintf(job->u.resolve.host, sizeof(job->u.resolve.host), "not a host name");
        e->job = job;
        return false;
    case 3:
        assert_int_equal(e->result.id, 9);
        assert_int_equal(e->result.status, PV_ERR_NOT_FOUND);
        assert_has(e->result.error, "resolve not a host name");
        job = calloc(1, sizeof(*job));
        job->id = 10;
        job->kind = PV_JOB_RESOLVE;
        snprintf(job->u.resolve.host, sizeof(job->u.resolve.host), "localhost");
        job->u.resolve.port = 7;
        e->job = job;
        return false;
    default: /* by a task: what no address says needs nsswitch.conf */
        assert_int_equal(e->result.id, 10);
        assert_string_equal(e->result.error, "");
        assert_true(e->result.n_addrs >= 1);
        assert_true(pv_addr_is_loopback(&e->result.addrs[0]));
        assert_int_equal(e->result.addrs[0].port, 7);
        return true;
    }
}

PV_TEST_IN(jobs_run_elsewhere_and_their_results_return, setup, teardown)
{
    struct pv_store_saved saved;
    char error[PV_JOB_ERROR_MAX];
    assert_ok(run(job_step));
    assert_ok(pv_store_load(world->store, &saved, error));
    assert_int_equal(saved.saved.n_meta, 1);
    pv_store_saved_done(&saved);
}

/* --- the interface ------------------------------------------------------------------------- */

static struct pv_job *iface_job(enum pv_job_kind kind)
{
    struct pv_job *job = calloc(1, sizeof(*job));
    job->kind = kind;
    if (kind == PV_JOB_IFACE_UP) {
        job->u.iface = calloc(1, sizeof(*job->u.iface));
        snprintf(job->u.iface->name, sizeof(job->u.iface->name), "pvt0");
        job->u.iface->mtu = 1420;
        job->u.iface->n_addrs = 1;
        job->u.iface->addrs[0] = (struct pv_prefix){.base = pv_addr4(10, 66, 1, 2, 0), .bits = 16};
    }
    return job;
}

static int connect_chat(int *ret_fd)
{
    const struct pv_stream_bind nowhere = {0};
    struct pv_addr chat = pv_addr4(10, 66, 1, 2, 2047);
    return pv_stream_connect(&chat, &nowhere, ret_fd);
}

static struct rlimit files_before;

/* From now on nothing can be opened, until give_descriptors(). */
static void take_descriptors(void)
{
    int lowest = dup(STDOUT_FILENO);
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files_before), 0);
    const struct rlimit files = {(rlim_t)lowest, files_before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static void give_descriptors(void)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files_before), 0);
}

static bool iface_step(struct pv_engine *e, pv_ns now)
{
    static pv_ns give_at;
    static unsigned looks;
    char complaint[PV_IPCMD_ERROR_MAX];
    switch (e->stage) {
    case 0:
        e->job = iface_job(PV_JOB_IFACE_UP);
        return next_stage(e);
    case 1:
        if (e->results < 1)
            return false;
        assert_string_equal(e->result.error, "");
        assert_ok(e->result.status);
        assert_ok(connect_chat(&e->client));
        take_descriptors();
        give_at = now + PV_MS(200);
        return next_stage(e);
    case 2: /* the connection waits, and comes when there is a descriptor, although none of ours
               ended */
        assert_int_equal(e->app_port, 0);
        if (now < give_at)
            return false;
        give_descriptors();
        return next_stage(e);
    case 3: /* the chat listener is there; then somebody deletes the interface */
        if (e->app_port == 0)
            return false;
        assert_int_equal(e->app_port, 2047);
        close(e->client);
        e->client = -1;
        assert_ok(pv_ipcmd_run("link del dev pvt0\n", complaint));
        looks = e->n_looks;
        return next_stage(e);
    case 4: /* it comes back by itself, and is looked at: what was there then is missed later */
        if (e->n_looks < looks + 2 ||
            pv_ipcmd_run("addr show dev pvt0 to 10.66.1.2\n", complaint) < 0 ||
            complaint[0] == '\0')
            return false;
        return next_stage(e);
    case 5: /* and so does a route that is taken from it alone; 3 s later, not to fight a manager */
        if (pv_ipcmd_run("route del 10.66.0.0/16 dev pvt0\n", complaint) < 0)
            return false; /* it is still being set up */
        looks = e->n_looks;
        return next_stage(e);
    case 6:
        if (e->n_looks < looks + 2 ||
            pv_ipcmd_run("route show 10.66.0.0/16 dev pvt0\n", complaint) < 0 ||
            complaint[0] == '\0')
            return false;
        assert_ok(
            pv_ipcmd_run("link set dev pvt0 down\n", complaint)); /* old kernels rename no other */
        assert_ok(pv_ipcmd_run("link set dev pvt0 name pvt9\n", complaint));
        return next_stage(e);
    case 7: /* under a name of somebody else's nothing is set, but it is said */
        if (strstr(e->iface_problem, "pvt0 was renamed to pvt9") == NULL)
            return false;
        assert_ok(pv_ipcmd_run("link set dev pvt9 name pvt0\n", complaint));
        assert_ok(pv_ipcmd_run("link set dev pvt0 up\n", complaint));
        return next_stage(e);
    case 8:
        if (e->iface_problem[0] != '\0' ||
            pv_ipcmd_run("route show 10.66.0.0/16 dev pvt0\n", complaint) < 0 ||
            complaint[0] == '\0')
            return false;
        e->job = iface_job(PV_JOB_IFACE_DOWN);
        return next_stage(e);
    default:
        return e->results == 2 && pv_ipcmd_run("link show dev pvt0\n", complaint) < 0;
    }
}

PV_TEST_IN(the_interface_comes_up_heals_and_goes_down, setup, teardown)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
        printf("skipped: needs root and /dev/net/tun\n");
        skip();
    }
    assert_ok(pv_ipcmd_run("link set dev lo up\n", complaint));
    assert_ok(run(iface_step));
}

static bool address_step(struct pv_engine *e, pv_ns now)
{
    static pv_ns give_at;
    static size_t before;
    char complaint[PV_IPCMD_ERROR_MAX];
    switch (e->stage) {
    case 0:
        before = e->n_links;
        assert_ok(pv_ipcmd_run("link add pvlan type veth peer name pvfar\n"
                               "link set pvfar up\n"
                               "link set pvlan up\n"
                               "addr add 10.9.9.9/32 dev pvlan\n",
                               complaint));
        take_descriptors();
        give_at = now + PV_MS(700); /* the look is after 250 */
        return next_stage(e);
    case 1:
        if (now < give_at)
            return false;
        give_descriptors();
        assert_int_equal(e->n_links, before);
        return next_stage(e);
    default: /* although nothing changes any more */
        return e->n_links == before + 1;
    }
}

PV_TEST_IN(an_address_that_could_not_be_read_is_read_later, setup, teardown)
{
    char complaint[PV_IPCMD_ERROR_MAX];
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        skip();
    }
    assert_ok(run(address_step));
    assert_ok(pv_ipcmd_run("link del dev pvlan\n", complaint));
}

/* --- ends ---------------------------------------------------------------------------------- */

static bool hup_step(struct pv_engine *e, pv_ns now)
{
    if (e->stage++ == 0)
        raise(SIGHUP);
    return e->stage == 5; /* still running some turns later */
}

PV_TEST_IN(settings_that_cannot_be_read_end_nothing, setup, teardown)
{
    assert_ok(run(hup_step));
    assert_int_equal(world->reloads, 1);
    assert_int_equal(world->engine.stage, 5);
}

static bool hup_once_step(struct pv_engine *e, pv_ns now)
{
    if (e->stage++ == 0)
        raise(SIGHUP);
    return false;
}

PV_TEST_IN(sighup_begins_another_life, setup, teardown)
{
    world->readable = true;
    assert_ok(run(hup_once_step));
    assert_true(world->again);
}

/* The second SIGHUP comes while the settings are read for the first, and finds them broken. */
PV_TEST_IN(a_second_sighup_that_fails_does_not_end_the_daemon, setup, teardown)
{
    world->readable = world->breaks = true;
    assert_ok(run(hup_once_step));
    assert_int_equal(world->reloads, 2);
    assert_true(world->again);
}

static bool term_beside_hup_step(struct pv_engine *e, pv_ns now)
{
    if (e->stage++ == 0) {
        raise(SIGTERM);
        raise(SIGHUP);
    }
    return false;
}

PV_TEST_IN(no_life_begins_after_sigterm_whatever_comes_besides, setup, teardown)
{
    world->readable = true;
    assert_ok(run(term_beside_hup_step));
    assert_false(world->again);
}

static bool term_leaves_step(struct pv_engine *e, pv_ns now)
{
    e->has_left = e->stage == 4;
    return term_beside_hup_step(e, now);
}

PV_TEST_IN(an_ephemeral_member_leaves_also_when_a_reload_comes_besides, setup, teardown)
{
    world->readable = world->engine.leaves = true;
    assert_ok(run(term_leaves_step));
    assert_true(world->engine.has_left);
    assert_false(world->again);
}

PV_TEST(every_kind_of_job_is_served)
{
    for (int kind = 0; kind < PV_JOB_KINDS; kind++) {
        if (!pv_io_jobs_serve((enum pv_job_kind)kind))
            fail_msg("io_jobs.c or store.c lacks job kind %d", kind);
    }
}

void test_begin(void)
{
    if (geteuid() == 0 && unshare(CLONE_NEWNET) == 0) {
        char complaint[PV_IPCMD_ERROR_MAX];
        (void)!pv_ipcmd_run("link set dev lo up\n", complaint);
    }
}
