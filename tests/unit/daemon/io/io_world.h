/* SPDX-License-Identifier: MIT */
/*
 * io_world.h - what is around the engine's stand-in (io_engine.h): store, helper, sockets; and the
 * control thread run with it. The test's steps run in the loop, one every millisecond. Included
 * once by a test program.
 */
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "crypto/ct.h"
#include "daemon/io/resolver.h"
#include "io_engine.h"
#include "sys/helper/source.h"
#include "sys/net/udp.h"
#include "sys/net/unixsock.h"
#include "sys/proc/loop.h"
#include "sys/proc/sandbox.h"
#include "tests/unit/helper_ready.h"

struct world {
    char dir[32], socket[64];
    struct pv_store *store;
    struct pv_helper *helper;
    struct pv_usher *usher;
    int udp, signals;
    struct pv_addr udp_addr;
    struct pv_engine engine;
    bool readable; /* the settings, when they are read again */
    unsigned reloads;
    bool breaks; /* they are broken when they are read a second time */
    bool again;  /* pv_io_run() said that there is to be another life */
};

static struct world *world;

enum { /* what the task does, told by the job's outer port */
    TASK_SAYS_WHO_IT_IS = 1,
    TASK_HANGS,
    TASK_SAYS_TOO_LITTLE,
};

static void task(struct pv_view args, int out)
{
    struct pv_portmapjob job;
    struct pv_portmapjob_result r;
    if (args.len == PV_JOB_HOST_MAX) {
        pv_resolver_run(args, out);
        return;
    }
    memset(&r, 0, sizeof(r));
    memcpy(&job, args.ptr, sizeof(job));
    r.external_port = getuid() >= PV_SANDBOX_SPARE_FIRST && getuid() <= PV_SANDBOX_SPARE_LAST &&
                              geteuid() == getuid() && getgid() == getuid()
                          ? 7
                          : 8;
    if (setresuid(0, 0, 0) == 0 || fcntl(3, F_GETFD) >= 0 || args.len != sizeof(job))
        r.external_port = 9;
    if (job.external_port == TASK_HANGS)
        (void)poll(NULL, 0, -1);
    size_t len = job.external_port == TASK_SAYS_TOO_LITTLE ? sizeof(r) - 1 : sizeof(r);
    if (write(out, &r, len) < 0)
        _exit(1);
}

static int setup(void **state)
{
    static const int signals[] = {SIGTERM, SIGHUP};
    const struct pv_udp_opts opts = {.df = true};
    struct pv_addr loopback = pv_addr4(127, 0, 0, 1, 0);
    char error[PV_JOB_ERROR_MAX];
    world = calloc(1, sizeof(*world));
    snprintf(world->dir, sizeof(world->dir), "/tmp/pvio.XXXXXX");
    if (mkdtemp(world->dir) == NULL)
        return -1;
    snprintf(world->socket, sizeof(world->socket), "%s/s", world->dir);
    world->engine.client = -1;
    int ctl = -1;
    return pv_usher_start(&world->usher, "") | pv_helper_start(&world->helper, task) |
           helper_ready(world->helper, "pvt0") | pv_store_open(&world->store, world->dir, error) |
           pv_udp_open(&loopback, &opts, &world->udp) | pv_udp_local(world->udp, &world->udp_addr) |
           pv_unix_listen(world->socket, "p2pvpn", &ctl) | pv_usher_open(world->usher, ctl) |
           pv_signals_open(signals, 2, &world->signals);
}

static int teardown(void **state)
{
    static const char *const names[] = {
        "s",       "p2pvpnd.db",  "p2pvpnd.db-wal", "p2pvpnd.db-shm",
        "chat.db", "chat.db-wal", "chat.db-shm"};
    pv_store_close(world->store);
    pv_helper_stop(world->helper);
    close(world->udp);
    pv_usher_stop(world->usher);
    close(world->signals);
    if (world->engine.client >= 0)
        close(world->engine.client);
    for (size_t i = 0; i < PV_ARRAY_LEN(names); i++) {
        unlink(PV_STR("%s/%s", world->dir, names[i]));
    }
    int r = rmdir(world->dir);
    free(world);
    return r;
}

static bool reload(void *ctx, struct pv_engine_reloaded *ret_done)
{
    bool right = (world->reloads++ == 0 || !world->breaks) && world->readable;
    *ret_done = (struct pv_engine_reloaded){.error = right ? NULL : "line 1"};
    if (right && world->breaks)
        raise(SIGHUP);
    return right;
}

/* The shell of a program over the overlay that wants nothing. */
static int app_start(void *ctx, struct pv_io *io)
{
    return PV_OK;
}
static void app_accepted(void *ctx, uint16_t port, const struct pv_addr *remote, int fd, pv_ns now)
{
    world->engine.app_port = port;
    close(fd);
}
static void app_connected(void *ctx, uint32_t sid, int status, int fd, pv_ns now)
{
    assert_int_equal(fd, -1); /* no test connects */
}
static pv_ns app_timeout(void *ctx, pv_ns now)
{
    return PV_NEVER;
}
static void app_end(void *ctx)
{
}
static const struct pv_part app_part = {.name = "app"};
static const struct pv_io_app no_app = {.part = &app_part,
                                        .ports = {2047, 2048},
                                        .names = {"chat", "file"},
                                        .start = app_start,
                                        .accepted = app_accepted,
                                        .connected = app_connected,
                                        .timeout = app_timeout,
                                        .end = app_end};

static int run(bool (*step)(struct pv_engine *e, pv_ns now))
{
    struct pv_io *io = NULL;
    struct pv_io_config cfg = {.engine = &world->engine,
                               .store = world->store,
                               .app = no_app,
                               .helper = world->helper,
                               .udp = {.n = 1, .fd4 = {world->udp}, .fd6 = {-1}},
                               .usher = world->usher,
                               .signals_fd = world->signals,
                               .notify_fd = -1,
                               .metrics_fd = -1,
                               .beacon = true,
                               .tun_name = "pvt0",
                               .reload = reload};
    world->engine.step = step;
    assert_ok(pv_io_new(&io, &cfg));
    int r = pv_io_run(io, &world->again);
    pv_io_free(io);
    assert_int_equal(world->engine.shutdowns, 1);
    assert_true(world->engine.links_calls >= 1);
    assert_true(world->engine.wall > 1600000000000000u);
    return r;
}
