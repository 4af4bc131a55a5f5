/* SPDX-License-Identifier: MIT */
/* One question, one answer, the end: over loopback, with the loop's time in the test's hands. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "sys/net/oneshot.h"
#include "sys/net/stream.h"
#include "sys/proc/procinfo.h"
#include "tests/unit/test_util.h"

enum {
    BIG = 8 << 20, /* more than the kernel takes at once */
};

struct world {
    struct pv_loop *loop;
    struct pv_oneshot *oneshot;
    struct pv_addr addr;
    size_t answer_len;
    unsigned asked;
    bool (*is_true)(struct world *w);
    int fd; /* a client */
    size_t got;
    bool ended;
};

/* A question ends with a full stop; who says "!" gets no answer. */
static int answer(void *ctx, struct pv_view asked, pv_ns now, char **ret_text, size_t *ret_len)
{
    struct world *w = ctx;
    w->asked++;
    if (memchr(asked.ptr, '!', asked.len) != NULL)
        return PV_ERR_REFUSED;
    if (memchr(asked.ptr, '.', asked.len) == NULL)
        return PV_ERR_AGAIN;
    *ret_text = malloc(w->answer_len);
    assert_non_null(*ret_text);
    memset(*ret_text, 'a', w->answer_len);
    *ret_len = w->answer_len;
    return PV_OK;
}

static void done(void *ctx)
{
    struct world *w = ctx;
    if (w->fd >= 0)
        close(w->fd);
    pv_oneshot_free(w->oneshot);
    pv_loop_free(w->loop);
}

static void begin(struct world *w, size_t answer_len)
{
    struct pv_oneshot_config cfg = {.answer = answer, .ctx = w};
    const struct pv_addr any = pv_addr4(127, 0, 0, 1, 0);
    *w = (struct world){.answer_len = answer_len, .fd = -1};
    test_defer(done, w);
    assert_ok(pv_loop_new(&w->loop));
    assert_ok(pv_stream_listen(&any, NULL, &cfg.fd));
    assert_ok(pv_stream_local(cfg.fd, &w->addr));
    assert_ok(pv_oneshot_new(&w->oneshot, w->loop, &cfg));
}

static int client(struct world *w)
{
    const struct pv_stream_bind nowhere = {.ifname = NULL};
    int fd = -1;
    assert_ok(pv_stream_connect(&w->addr, &nowhere, &fd));
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_ok(pv_stream_connected(fd));
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads what is there on w->fd. */
static void read_some(struct world *w)
{
    static uint8_t buf[65536];
    size_t n = 0;
    int r = PV_OK;
    while (w->fd >= 0 && !w->ended && (r = pv_stream_read(w->fd, buf, sizeof(buf), &n)) == PV_OK)
        w->got += n;
    w->ended = w->ended || (w->fd >= 0 && r != PV_ERR_AGAIN);
}

static pv_ns turn(void *ctx, pv_ns now)
{
    struct world *w = ctx;
    read_some(w);
    if (w->is_true(w)) {
        pv_loop_stop(w->loop);
        return PV_NEVER;
    }
    pv_oneshot_handle_timeout(w->oneshot, now);
    return pv_min_ns(pv_oneshot_next_timeout(w->oneshot), now + PV_MS(5));
}

static void run_until(struct world *w, bool (*is_true)(struct world *w))
{
    const struct pv_loop_owner owner = {.turn = turn, .ctx = w};
    w->is_true = is_true;
    pv_loop_run(w->loop, &owner);
}

static bool has_ended(struct world *w)
{
    return w->ended;
}

static bool was_asked(struct world *w)
{
    return w->asked > 0;
}

PV_TEST(a_question_in_parts_is_answered_once_and_the_connection_ends)
{
    static struct world w;
    begin(&w, 5);
    w.fd = client(&w);
    say(w.fd, "how are");
    run_until(&w, was_asked);
    assert_int_equal(w.got, 0);
    say(w.fd, " you.");
    run_until(&w, has_ended);
    assert_int_equal(w.got, 5);
}

PV_TEST(a_long_answer_comes_whole_though_more_was_said_meanwhile)
{
    static struct world w;
    begin(&w, BIG);
    w.fd = client(&w);
    say(w.fd, "tell me all.");
    say(w.fd, test_given("this nobody reads close then"));
    run_until(&w, has_ended);
    assert_int_equal(w.got, BIG);
}

PV_TEST(a_client_that_is_refused_or_says_too_much_is_cut_off)
{
    static char much[PV_ONESHOT_ASK_MAX + 1];
    memset(much, 'x', PV_ONESHOT_ASK_MAX);
    const char *const said[] = {"no!", much};
    for (size_t i = 0; i < PV_ARRAY_LEN(said); i++) {
        static struct world w;
        begin(&w, 5);
        w.fd = client(&w);
        say(w.fd, said[i]);
        run_until(&w, has_ended);
        assert_int_equal(w.got, 0);
        test_end(&w);
    }
}

PV_TEST(silent_clients_hold_their_places_for_two_seconds_and_no_longer)
{
    static struct world w;
    int idle[PV_ONESHOT_CONNS];
    begin(&w, 5);
    for (size_t i = 0; i < PV_ONESHOT_CONNS; i++) {
        idle[i] = client(&w);
        say(idle[i], "i");
        w.asked = 0;
        run_until(&w, was_asked);
    }
    /* One more waits in the kernel; time, which only the loop reads, is given from here. */
    w.fd = client(&w);
    say(w.fd, "me.");
    pv_ns first = pv_oneshot_next_timeout(w.oneshot);
    assert_true(first != PV_NEVER);
    pv_oneshot_handle_timeout(w.oneshot, first + PV_ONESHOT_ASK_TIME);
    run_until(&w, has_ended);
    assert_int_equal(w.got, 5);
    for (size_t i = 0; i < PV_ONESHOT_CONNS; i++)
        close(idle[i]);
}

PV_TEST(freeing_it_ends_open_connections)
{
    static struct world w;
    begin(&w, BIG);
    w.fd = client(&w);
    say(w.fd, "wait");
    run_until(&w, was_asked);
    w.oneshot = pv_oneshot_free(w.oneshot);
    struct pollfd p = {.fd = w.fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    read_some(&w);
    assert_true(w.ended);
}

PV_TEST(the_process_knows_itself)
{
    struct pv_metrics_process p, q;
    pv_procinfo_read(&p);
    assert_true(p.start_s > 1.6e9);
    assert_true(p.resident > 100000);
    assert_true(p.fds >= 3 && p.fds <= p.max_fds);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    pv_procinfo_read(&q);
    assert_int_equal(q.fds, p.fds + 1);
    assert_true(q.cpu_s >= p.cpu_s);
    assert_true(q.start_s - p.start_s < 1 && p.start_s - q.start_s < 1);
    close(fd);
}
