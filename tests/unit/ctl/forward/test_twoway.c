/* SPDX-License-Identifier: MIT */
/* Two ends and what is between them: socket pairs, and a thread behind each far end. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "ctl/forward/twoway.h"
#include "sys/net/stream.h"
#include "tests/unit/test_util.h"

enum {
    BUF = 65536,
    MANY = 200,
    BIG = 8 << 20, /* more than the kernel takes at once */
};

struct far {
    int fd, write_fd;
    size_t says, hears; /* bytes */
    bool listens_first; /* says nothing before it has heard the end */
    uint8_t wrong;      /* bytes that were not what they should be */
    pthread_t thread;
};

struct world {
    struct pv_loop *loop;
    struct pv_twoway *two[MANY];
    unsigned n, left;
    int at, status;
    uint8_t buf[BUF];
};

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8));
}

static void say(struct far *f)
{
    uint8_t buf[4096];
    for (size_t at = 0; at < f->says;) {
        size_t n = f->says - at < sizeof(buf) ? f->says - at : sizeof(buf);
        for (size_t i = 0; i < n; i++)
            buf[i] = byte_at(at + i);
        ssize_t w = write(f->write_fd, buf, n);
        if (w <= 0)
            return;
        at += (size_t)w;
    }
    if (f->write_fd == f->fd)
        shutdown(f->fd, SHUT_WR);
    else
        close(f->write_fd);
}

static void hear(struct far *f)
{
    uint8_t buf[4096];
    ssize_t n;
    while ((n = read(f->fd, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            f->wrong |= buf[i] != byte_at(f->hears + (size_t)i);
        f->hears += (size_t)n;
    }
}

static void *live(void *arg)
{
    struct far *f = arg;
    if (f->listens_first)
        hear(f);
    say(f);
    if (!f->listens_first)
        hear(f);
    return NULL;
}

static void done(void *ctx, int at, int status)
{
    struct world *w = ctx;
    w->at = at;
    if (status != PV_OK)
        w->status = status;
    if (--w->left == 0)
        pv_loop_stop(w->loop);
}

static pv_ns turn(void *ctx, pv_ns now)
{
    return PV_NEVER;
}

static void begin(struct world *w)
{
    *w = (struct world){.loop = NULL};
    signal(SIGPIPE, SIG_IGN);
    assert_ok(pv_loop_new(&w->loop));
}

static void add(struct world *w, struct pv_twoway_end a, struct pv_twoway_end b, const char *first)
{
    const struct pv_twoway_config cfg = {.loop = w->loop,
                                         .buf = w->buf,
                                         .cap = BUF,
                                         .end = {a, b},
                                         .first = pv_view(first, strlen(first)),
                                         .done = done,
                                         .ctx = w};
    assert_ok(pv_twoway_new(&w->two[w->n], &cfg));
    w->n++;
    w->left++;
}

static void run(struct world *w)
{
    pv_loop_run(w->loop, &(struct pv_loop_owner){.turn = turn, .ctx = w});
    for (unsigned i = 0; i < w->n; i++)
        pv_twoway_free(w->two[i]);
    pv_loop_free(w->loop);
}

/* The near end of a pair whose far end is f's. */
static struct pv_twoway_end pair_with(struct far *f)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    f->fd = f->write_fd = fd[1];
    return (struct pv_twoway_end){.in = fd[0], .out = fd[0], .is_waited = true};
}

static void go(struct far *f)
{
    assert_int_equal(pthread_create(&f->thread, NULL, live, f), 0);
}

static void join(struct far *f)
{
    assert_int_equal(pthread_join(f->thread, NULL), 0);
    close(f->fd);
    assert_int_equal(f->wrong, 0);
}

PV_TEST(bytes_and_ends_pass_in_both_directions)
{
    struct world w;
    struct far a = {.says = BIG}, b = {.says = BIG / 2, .listens_first = true};
    begin(&w);
    struct pv_twoway_end ends[] = {pair_with(&a), pair_with(&b)};
    add(&w, ends[0], ends[1], "");
    go(&a);
    go(&b);
    run(&w);
    join(&a);
    join(&b);
    assert_ok(w.status);
    assert_int_equal(b.hears, BIG); /* and only then said anything */
    assert_int_equal(a.hears, BIG / 2);
}

PV_TEST(an_end_that_is_two_pipes_gets_as_much_as_it_takes)
{
    struct world w;
    struct far a = {.says = BIG}, b = {.says = BIG, .listens_first = true};
    int in[2], out[2];
    begin(&w);
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0); /* blocking, as standard output is */
    a.fd = out[0];
    a.write_fd = in[1];
    const struct pv_twoway_end near = {
        .in = in[0], .out = out[1], .shared = true, .is_waited = true};
    add(&w, near, pair_with(&b), "");
    go(&a);
    go(&b);
    run(&w);
    join(&a);
    join(&b);
    assert_ok(w.status);
    assert_int_equal(a.hears, BIG);
    assert_int_equal(b.hears, BIG);
}

PV_TEST(bytes_that_were_read_before_come_first)
{
    struct world w;
    const char first[] = {(char)byte_at(1), (char)byte_at(2), (char)byte_at(3), '\0'};
    struct far a = {.says = 0}, b = {.says = 0, .hears = 1};
    begin(&w);
    struct pv_twoway_end ends[] = {pair_with(&a), pair_with(&b)};
    add(&w, ends[0], ends[1], first);
    go(&a);
    go(&b);
    run(&w);
    join(&a);
    join(&b);
    assert_int_equal(b.hears, 4);
}

PV_TEST(an_end_that_nobody_waits_for_ends_with_the_other)
{
    struct world w;
    struct far a = {.says = 0}, b = {.says = 1000};
    begin(&w);
    struct pv_twoway_end ends[] = {pair_with(&a), pair_with(&b)};
    ends[0].is_waited = false;
    add(&w, ends[0], ends[1], "");
    go(&b);
    run(&w); /* a says nothing and does not end */
    hear(&a);
    close(a.fd);
    join(&b);
    assert_int_equal(a.hears, 1000);
}

/* A TCP connection: *ret_near does not block, the far end does. */
static void connect_tcp(int *ret_near, int *ret_far)
{
    const struct pv_addr any = pv_addr4(127, 0, 0, 1, 0);
    struct pv_addr at, from, to;
    int listener = -1;
    assert_ok(pv_stream_listen(&any, NULL, &listener));
    assert_ok(pv_stream_local(listener, &at));
    *ret_far = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(at.port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(*ret_far, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_ok(pv_stream_accept(listener, ret_near, &from, &to));
    close(listener);
}

PV_TEST(a_connection_that_breaks_off_breaks_off_the_other)
{
    struct world w;
    int near[2], far[2];
    char c;
    begin(&w);
    for (int i = 0; i < 2; i++)
        connect_tcp(&near[i], &far[i]);
    add(&w, (struct pv_twoway_end){.in = near[0], .out = near[0], .is_waited = true},
        (struct pv_twoway_end){.in = near[1], .out = near[1], .is_waited = true}, "");
    pv_twoway_break(far[1]);
    run(&w);
    assert_int_equal(w.at, 1);
    assert_int_equal(w.status, -ECONNRESET);
    assert_int_equal(read(far[0], &c, 1), -1); /* no end, as if all had been said */
    assert_int_equal(errno, ECONNRESET);
    close(far[0]);
}

PV_TEST(many_at_once_are_served)
{
    static struct world w;
    static struct far a[MANY], b[MANY];
    begin(&w);
    for (size_t i = 0; i < MANY; i++) {
        a[i] = (struct far){.says = 100000};
        b[i] = (struct far){.says = 10};
        struct pv_twoway_end ends[] = {pair_with(&a[i]), pair_with(&b[i])};
        add(&w, ends[0], ends[1], "");
    }
    for (size_t i = 0; i < MANY; i++) {
        go(&a[i]);
        go(&b[i]);
    }
    run(&w);
    for (size_t i = 0; i < MANY; i++) {
        join(&a[i]);
        join(&b[i]);
        assert_int_equal(a[i].hears, 10);
        assert_int_equal(b[i].hears, 100000);
    }
    assert_ok(w.status);
}
