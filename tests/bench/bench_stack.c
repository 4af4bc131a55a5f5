/* SPDX-License-Identifier: MIT */
/*
 * bench_stack: one TCP connection between two of lwIP's processes, over a line that delays packets
 * and lets some come late.
 *
 * usage: bench_stack [MILLISECONDS [REORDERED [SECONDS]]]    round trip (66), packets a million
 * (0), 10
 *
 * It prints the Mb/s that the reading program got from the second second on. Each process has a
 * stack; this one is the line: a packet waits for half of the round trip, and a reordered one 3 ms
 * more.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/net/inside.h"
#include "sys/net/unixsock.h"
#include "sys/proc/clock.h"
#include "sys/stack/stack.h"

enum {
    MTU = 1380,
    PORT = 80,
    LINE = 1 << 16, /* packets on their way in one direction */
    LATE_MS = 3,
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_stack: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

/* --- a stack and its program --------------------------------------------------------------- */

struct end {
    struct pv_loop *loop;
    struct pv_stack *stack;
    int asker, line, queue;
    bool sends, connected;
    int listener, fd;
    struct held {
        uint8_t bytes[MTU];
        size_t len;           /* 0: none */
    } out, in;                /* packets for the line and for the stack, which had no room */
    uint64_t got, got_before; /* bytes read; and at the end of the first second */
    pv_ns began, told, until;
};

static struct pv_addr address(bool sends, uint16_t port)
{
    return pv_addr4(10, 66, 0, sends ? 1 : 2, port);
}

/* Between the stack's queue and the line: both are sockets of packets. Nothing is lost here. */
static void relay(int from, int to, struct held *held)
{
    for (;;) {
        if (held->len == 0) {
            ssize_t n = recv(from, held->bytes, sizeof(held->bytes), MSG_DONTWAIT);
            if (n <= 0)
                return;
            held->len = (size_t)n;
        }
        if (send(to, held->bytes, held->len, MSG_DONTWAIT) < 0)
            return;
        held->len = 0;
    }
}

static void use_connection(struct end *e, pv_ns now)
{
    static uint8_t buf[1 << 16];
    struct pv_inside_came came;
    if (e->fd < 0 && pv_inside_accept(e->listener, &e->fd, &came) != PV_OK)
        return;
    if (e->sends && !e->connected)
        e->connected = pv_inside_connected(e->fd) == PV_OK;
    if (e->sends && !e->connected)
        return;
    if (e->sends) {
        while (send(e->fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            ;
        return;
    }
    for (ssize_t n; (n = recv(e->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0;)
        e->got += (uint64_t)n;
    if (e->got > 0 && e->began == 0)
        e->began = now;
    if (e->told == 0 && e->began != 0 && now > e->began + PV_S(1)) {
        e->told = now;
        e->got_before = e->got;
    }
}

static pv_ns on_turn(void *ctx, pv_ns now)
{
    struct end *e = ctx;
    relay(e->line, e->queue, &e->in);
    const pv_ns next = pv_stack_turn(e->stack, now);
    relay(e->queue, e->line, &e->out);
    if (e->listener >= 0 || e->fd >= 0)
        use_connection(e, now);
    if (now > e->until)
        pv_loop_stop(e->loop);
    return pv_min_ns(next, now + PV_MS(1) / 4);
}

static int ask(struct end *e, struct pv_inside_want want)
{
    struct pv_inside_got got = {.error = -1};
    size_t n = 0;
    int fd = -1;
    must(send(e->asker, &want, sizeof(want), 0) == sizeof(want), "ask");
    while (pv_unix_read(e->asker, &got, sizeof(got), &n, &fd) == PV_ERR_AGAIN) {
        e->until = pv_clock_now() + PV_MS(5);
        pv_loop_run(e->loop, &(struct pv_loop_owner){.turn = on_turn, .ctx = e});
    }
    must(got.error == 0, "no connection");
    return fd;
}

static void be_end(int line, bool sends, pv_ns seconds, int result)
{
    struct end e = {.line = line, .sends = sends, .listener = -1, .fd = -1};
    const struct pv_prefix own = {.base = address(sends, 0), .bits = 24};
    int fds[PV_STACK_QUEUES], pair[2];
    must(pv_loop_new(&e.loop) == PV_OK && pv_stack_new(&e.stack, e.loop, 1) == PV_OK &&
             pv_stack_up(e.stack, &own, 1, MTU, 1, fds) == PV_OK &&
             socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0 &&
             pv_stack_serve(e.stack, pair[1], NULL) == PV_OK,
         "no stack");
    e.queue = fds[0];
    e.asker = pair[0];
    if (sends)
        e.fd = ask(&e, (struct pv_inside_want){.kind = PV_INSIDE_CONNECT,
                                               .local = address(true, 0),
                                               .remote = address(false, PORT)});
    else
        e.listener = ask(
            &e, (struct pv_inside_want){.kind = PV_INSIDE_LISTEN, .local = address(false, PORT)});
    e.until = pv_clock_now() + seconds;
    pv_loop_run(e.loop, &(struct pv_loop_owner){.turn = on_turn, .ctx = &e});
    if (!sends && e.told != 0)
        dprintf(result, "%.0f",
                (double)(e.got - e.got_before) * 8 / 1e6 /
                    ((double)(pv_clock_now() - e.told) / 1e9));
    _exit(0);
}

/* --- the line ------------------------------------------------------------------------------ */

struct way {
    int from, to;
    struct packet {
        pv_ns due;
        uint16_t len;
        uint8_t bytes[MTU];
    } * packets; /* a ring, and the one that is late */
    unsigned first, n;
    struct packet late;
};

static void take(struct way *w, pv_ns delay, unsigned reordered)
{
    for (;;) {
        struct packet *p = &w->packets[(w->first + w->n) % LINE];
        ssize_t n = w->n == LINE ? 0 : recv(w->from, p->bytes, MTU, MSG_DONTWAIT);
        if (n <= 0)
            return;
        p->len = (uint16_t)n;
        p->due = pv_clock_now() + delay;
        if (w->late.len == 0 && n > 1000 && (unsigned)(random() % 1000000) < reordered) {
            w->late = *p;
            w->late.due += PV_MS(LATE_MS);
        } else {
            w->n++;
        }
    }
}

static void give(struct way *w)
{
    const pv_ns now = pv_clock_now();
    for (struct packet *p; w->n > 0; w->n--) {
        p = &w->packets[w->first];
        if (p->due > now || (send(w->to, p->bytes, p->len, MSG_DONTWAIT) < 0 && errno == EAGAIN))
            break;
        w->first = (w->first + 1) % LINE;
    }
    if (w->late.len > 0 && w->late.due <= now) {
        (void)!send(w->to, w->late.bytes, w->late.len, MSG_DONTWAIT);
        w->late.len = 0;
    }
}

static pid_t start_end(const int line[static 2], bool sends, pv_ns seconds, int result)
{
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        close(line[0]);
        be_end(line[1], sends, seconds, result);
    }
    close(line[1]);
    return pid;
}

int main(int argc, char **argv)
{
    const pv_ns delay = PV_MS(1) * (argc > 1 ? strtoul(argv[1], NULL, 10) : 66) / 2;
    const unsigned reordered = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    const pv_ns seconds = PV_S(1) * (argc > 3 ? strtoul(argv[3], NULL, 10) : 10);
    int sender[2], reader[2], result[2];
    char text[64] = "";
    must(pv_stack_is_built(), "this build has no lwIP");
    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sender) == 0 &&
             socketpair(AF_UNIX, SOCK_SEQPACKET, 0, reader) == 0 && pipe(result) == 0,
         "sockets");
    struct way out = {
        .from = sender[0], .to = reader[0], .packets = calloc(LINE, sizeof(*out.packets))};
    struct way back = {
        .from = reader[0], .to = sender[0], .packets = calloc(LINE, sizeof(*out.packets))};
    must(out.packets != NULL && back.packets != NULL, "memory");
    const pid_t reads = start_end(reader, false, seconds, result[1]);
    const pid_t sends = start_end(sender, true, seconds, result[1]);
    while (waitpid(reads, NULL, WNOHANG) == 0) {
        struct pollfd p[] = {{.fd = sender[0], .events = POLLIN},
                             {.fd = reader[0], .events = POLLIN}};
        (void)poll(p, 2, out.n + back.n > 0 ? 1 : 10);
        take(&out, delay, reordered);
        take(&back, delay, 0);
        give(&out);
        give(&back);
    }
    (void)kill(sends, SIGKILL);
    (void)waitpid(sends, NULL, 0);
    must(read(result[0], text, sizeof(text) - 1) > 0, "nothing arrived");
    printf("%s Mb/s\n", text);
    free(out.packets);
    free(back.packets);
    return 0;
}
