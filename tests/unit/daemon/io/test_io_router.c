/* SPDX-License-Identifier: MIT */
/* Requests to routers: tasks as nobody, and the sockets of their own: see io_world.h. */
#include <sys/socket.h>

#include "io_world.h"

/* --- routers ------------------------------------------------------------------------------- */

static struct pv_job *portmap_job(uint16_t what)
{
    struct pv_job *job = test_alloc(sizeof(*job));
    job->kind = PV_JOB_PORTMAP;
    job->u.portmap.external_port = what;
    return job;
}

static bool task_step(struct pv_engine *e, pv_ns now)
{
    if (e->stage == 0) {
        e->job = portmap_job(TASK_SAYS_WHO_IT_IS);
        e->stage++;
    } else if (e->stage == 1 && e->results == 1) {
        assert_ok(e->result.portmap.status);
        assert_int_equal(e->result.portmap.external_port, 7); /* nobody, with nothing open */
        e->job = portmap_job(TASK_SAYS_TOO_LITTLE);
        e->stage++;
    }
    return e->results == 2;
}

PV_TEST_WORLD(setup, teardown);

PV_TEST(a_request_to_a_router_runs_as_nobody)
{
    if (geteuid() != 0)
        skip();
    assert_ok(run(task_step));
    assert_true(world->engine.result.portmap.status < 0);
    assert_true(strlen(world->engine.result.portmap.error) > 0);
}

static bool hang_step(struct pv_engine *e, pv_ns now)
{
    if (e->stage++ == 0)
        e->job = portmap_job(TASK_HANGS);
    return now - e->started > PV_MS(200);
}

PV_TEST(a_router_that_hangs_does_not_keep_the_daemon)
{
    if (geteuid() != 0)
        skip();
    assert_ok(run(hang_step));
    assert_int_equal(world->engine.results, 0);
}

/* The engine's request to a router arrives, and so does the answer. */
static bool router_step(struct pv_engine *e, pv_ns now)
{
    static const struct pv_udp_opts opts = {.df = false};
    const struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    char buf[16];
    switch (e->stage) {
    case 0:
        assert_ok(pv_udp_open(&loopback, &opts, &e->client));
        assert_ok(pv_udp_local(e->client, &e->addr));
        e->tx = (struct pv_engine_transmit){
            .router = true, .local = loopback, .dst = e->addr, .len = 4};
        memcpy(e->tx.buf, "ask!", 4);
        e->has_tx = true;
        e->stage++;
        return false;
    case 1:
        if (recvfrom(e->client, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len) != 4)
            return false;
        assert_memory_equal(buf, "ask!", 4);
        assert_int_equal(sendto(e->client, "granted", 7, 0, (struct sockaddr *)&from, len), 7);
        e->stage++;
        return false;
    default:
        return e->router_len == 7;
    }
}

PV_TEST(routers_are_asked_from_a_socket_of_their_own)
{
    assert_ok(run(router_step));
    assert_memory_equal(world->engine.router_got, "granted", 7);
    assert_true(pv_addr_equal(&world->engine.router_from, &world->engine.addr));
}
