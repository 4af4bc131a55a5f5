/* SPDX-License-Identifier: MIT */
/* The sockets of the operator while strangers have all descriptors. */
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "coordinator/ctlsock.h"
#include "sys/net/unixsock.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

enum {
    FILES = 64, /* descriptors that this process may have */
};

struct world {
    char dir[64];
    struct pv_loop *loop;
    struct pv_spare spare;
    struct pv_ctlsock status, ctl;
    int strangers[FILES];
    size_t n_strangers;
    int client, other; /* of the status socket, of the control socket */
    unsigned asked;    /* of either socket */
    unsigned turns;
    pv_ns now, next;
};

static void request(void *ctx, uint64_t id, const json_t *request, pv_ns now)
{
    struct world *w = ctx;
    w->asked++;
    pv_ctlsock_answer(request == NULL ? &w->status : &w->ctl, id, json_pack("{s:i}", "version", 1));
}

static void done(void *ctx)
{
    struct world *w = ctx;
    while (w->n_strangers > 0)
        close(w->strangers[--w->n_strangers]);
    close(w->client);
    close(w->other);
    pv_ctlsock_done(&w->status);
    pv_ctlsock_done(&w->ctl);
    pv_spare_done(&w->spare);
    pv_loop_free(w->loop);
    (void)test_dir_remove(w->dir);
}

static void begin(struct world *w)
{
    *w = (struct world){.dir = "/tmp/pvctlsock.XXXXXX", .client = -1, .other = -1};
    assert_non_null(mkdtemp(w->dir));
    assert_ok(pv_loop_new(&w->loop));
    test_defer(done, w);
    w->status.greets = true;
    w->status.request = w->ctl.request = request;
    w->status.ctx = w->ctl.ctx = w;
    w->status.spare = w->ctl.spare = &w->spare;
    assert_ok(pv_ctlsock_open(&w->status, w->loop, w->dir));
    assert_ok(pv_ctlsock_open(&w->ctl, w->loop, w->dir));
    assert_ok(pv_unix_connect(w->status.path, &w->client));
    assert_ok(pv_unix_connect(w->ctl.path, &w->other));
}

static void fill_with_strangers(struct world *w)
{
    while (w->n_strangers < FILES && (w->strangers[w->n_strangers] = dup(STDOUT_FILENO)) >= 0)
        w->n_strangers++;
    assert_true(w->n_strangers > 0 && w->n_strangers < FILES);
}

/* A loop that spins has more turns than events. */
static pv_ns turn(void *ctx, pv_ns now)
{
    struct world *w = ctx;
    w->now = now;
    w->next = pv_min_ns(pv_ctlsock_handle_timeout(&w->status, now),
                        pv_ctlsock_handle_timeout(&w->ctl, now));
    if (++w->turns > 1)
        pv_loop_stop(w->loop);
    return PV_NEVER;
}

/* One sleep of the loop, which has something to wake up for. */
static void run_once(struct world *w)
{
    const struct pv_loop_owner owner = {.turn = turn, .ctx = w};
    w->turns = 0;
    pv_loop_run(w->loop, &owner);
}

static bool is_ended(int fd)
{
    char text[64];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && read(fd, text, sizeof(text)) >= 0;
}

PV_TEST(the_operator_is_let_in_by_the_reserve)
{
    static struct world w;
    begin(&w);
    pv_spare_open(&w.spare, w.status.fd);
    fill_with_strangers(&w);
    while (w.asked == 0)
        run_once(&w);
    assert_true(is_ended(w.client));
    assert_int_equal(w.status.rest_until, 0);
    assert_int_equal(write(w.other, "{}\n", 3), 3);
    while (w.asked < 2)
        run_once(&w);
    assert_true(is_ended(w.other));
    assert_int_equal(w.ctl.rest_until, 0);
    /* It is kept again for the next one. */
    assert_int_equal(w.spare.n, PV_SPARE_FDS);
}

PV_TEST(without_a_reserve_the_sockets_rest)
{
    static struct world w;
    begin(&w);
    pv_spare_open(&w.spare, -1); /* there were none to keep */
    assert_int_equal(w.spare.n, 0);
    fill_with_strangers(&w);
    while (w.status.rest_until == 0 || w.ctl.rest_until == 0)
        run_once(&w);
    assert_int_equal(w.asked, 0);
    assert_true(w.status.rest_until > w.now && w.status.rest_until <= w.now + PV_S(1));
    assert_true(w.ctl.rest_until > w.now && w.ctl.rest_until <= w.now + PV_S(1));
    pv_ns wake = pv_min_ns(w.status.rest_until, w.ctl.rest_until);
    assert_int_equal(pv_min_ns(pv_ctlsock_handle_timeout(&w.status, w.now),
                               pv_ctlsock_handle_timeout(&w.ctl, w.now)),
                     wake);
    /* Somebody went: there is a descriptor for either. */
    close(w.strangers[--w.n_strangers]);
    close(w.strangers[--w.n_strangers]);
    assert_int_equal(pv_ctlsock_handle_timeout(&w.status, w.now + PV_S(1)), PV_NEVER);
    assert_int_equal(pv_ctlsock_handle_timeout(&w.ctl, w.now + PV_S(1)), PV_NEVER);
    while (w.asked == 0)
        run_once(&w);
    assert_true(is_ended(w.client));
}

void test_begin(void)
{
    const struct rlimit files = {FILES, FILES};
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        exit(1);
}
