/* SPDX-License-Identifier: MIT */
/*
 * lwIP between a member that says anything and the programs that it reaches: the input is steps,
 * each a byte and what it needs. The member's packets follow lwIP's numbers more or less, so that
 * they get behind a handshake; lwIP's clock moves by steps only. lwIP ends the process where one of
 * its assertions fails.
 *
 * One stack serves all inputs, because its sockets are most of what a run costs. Each input ends
 * with the interface down, which resets all connections.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "sys/net/inside.h"
#include "sys/net/unixsock.h"
#include "sys/stack/stack.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/natcore/natcore_pkt.h"

enum {
    MTU = 1380,
    STEPS_MAX = 200,
    LINES = 4,    /* connections: of the member's two, one of them by IPv6, and two of programs */
    CALLED = 2,   /* the first that a program begins */
    PROGRAMS = 6, /* ends: accepted, or asked for */
    TICK = 100,   /* ms: of lwIP's TCP */
    UNIT = 64,    /* bytes: what programs write, read and members send are multiples of it */
    OPTIONS_MAX = 40,
    MEMBER = 10240, /* the member's first port */
};

enum step {
    SPEAK, /* a packet of TCP */
    PACKET,
    WRITE,
    READ,
    SHUT,
    CLOSE,
    WAIT,
    CALL, /* a program begins a connection, or sends datagrams */
    DATAGRAM,
    HAVE, /* a selective acknowledgement */
    N_STEPS,
};

static struct {
    struct pv_loop *loop;
    struct pv_stack *stack;
    int queue, asker, listener, listener6;
    int program[PROGRAMS];
    unsigned left; /* turns */
    struct line {
        uint32_t seq, ack;   /* says next; waits for */
        uint16_t port, from; /* of lwIP's side, and the member's */
    } line[LINES];
} w;

static uint32_t clock_ms;

/* Is found before lwIP's own. */
uint32_t sys_now(void);
uint32_t sys_now(void)
{
    return clock_ms;
}

static pv_ns turn(void *ctx, pv_ns now)
{
    (void)pv_stack_turn(w.stack, now);
    if (w.left-- == 0)
        pv_loop_stop(w.loop);
    return now;
}

static void run(unsigned turns)
{
    w.left = turns;
    pv_loop_run(w.loop, &(struct pv_loop_owner){.turn = turn});
}

static void put(uint8_t *to, size_t n, uint32_t value)
{
    while (n-- > 0) {
        to[n] = (uint8_t)value;
        value >>= 8;
    }
}

static uint32_t get(const uint8_t *from, size_t n)
{
    uint32_t value = 0;
    while (n-- > 0)
        value = value << 8 | *from++;
    return value;
}

static uint16_t next_16(struct pv_view *in)
{
    uint16_t high = fuzz_next(in);
    return (uint16_t)(high << 8 | fuzz_next(in));
}

static bool is_v6(unsigned line)
{
    return line % 2 == 1;
}

/* The member hears lwIP. A SYN of lwIP's tells the port of a connection that a program began. */
static void hear(void)
{
    uint8_t p[MTU];
    for (ssize_t n; (n = recv(w.queue, p, sizeof(p), MSG_DONTWAIT)) > 0;) {
        must(n <= MTU);
        const size_t at = p[0] >> 4 == 6 ? 40 : 20;
        if ((size_t)n < at + 20 || p[at == 40 ? 6 : 9] != 6 || get(p + at + 2, 2) - MEMBER >= LINES)
            continue;
        struct line *l = &w.line[get(p + at + 2, 2) - MEMBER];
        const uint8_t *t = p + at;
        const uint32_t bytes = (uint32_t)((size_t)n - at) - (t[12] >> 4) * 4u;
        l->ack = get(t + 4, 4) + bytes + ((t[13] & 3) != 0);
        if ((t[13] & 16) != 0)
            l->seq = get(t + 8, 4);
        l->from = (uint16_t)get(t, 2);
    }
}

/* Begins a packet to lwIP; returns where what it carries begins. */
static size_t begin_packet(uint8_t *p, bool v6, uint8_t protocol, size_t len)
{
    static const uint8_t begin4[] = {0x45, [8] = 64, 0, [12] = 10, 66, 0, 2, 10, 66, 0, 1};
    const size_t at = v6 ? 40 : 20;
    memset(p, 0, at + len);
    if (v6) {
        p[0] = 0x60;
        put(p + 4, 2, (uint32_t)len);
        p[6] = protocol;
        p[7] = 64;
        p[8] = p[24] = 0xfd;
        p[9] = p[25] = 0x66;
        p[23] = 2;
        p[39] = 1;
    } else {
        memcpy(p, begin4, sizeof(begin4));
        p[9] = protocol;
        put(p + 2, 2, (uint32_t)(20 + len));
    }
    return at;
}

static void speak(struct pv_view *in)
{
    static uint8_t p[40 + 20 + OPTIONS_MAX + 255 * UNIT];
    const uint8_t which = fuzz_next(in), flags = fuzz_next(in), near = fuzz_next(in);
    const uint8_t far = (flags & 0xc0) != 0 ? fuzz_next(in) : 0;
    const uint16_t window = next_16(in);
    const struct pv_view options = fuzz_take(in, (which >> 4) * 4u % (OPTIONS_MAX + 4));
    const size_t head = 20 + (options.len + 3) / 4 * 4, data = (size_t)(near >> 4) * UNIT;
    const struct line *l = &w.line[which % LINES];
    const size_t at = begin_packet(p, is_v6(which % LINES), 6, head + data);
    uint8_t *t = p + at;
    put(t, 2, MEMBER + which % LINES);
    put(t + 2, 2, l->from != 0 ? l->from : 80);
    put(t + 4, 4, l->seq + (near & 3u) * UNIT + far * 256u);
    put(t + 8, 4, l->ack - (near >> 2 & 3u) * UNIT);
    t[12] = (uint8_t)(head << 2);
    t[13] = flags & 0x3f;
    put(t + 14, 2, window);
    if (options.len > 0)
        memcpy(t + 20, options.ptr, options.len);
    pv_natpkt_mend(p, at + head + data);
    (void)!send(w.queue, p, at + head + data, MSG_DONTWAIT);
}

/* Of bytes before the last that lwIP sent, with times, which may be those of lwIP's clock. */
static void tell_ranges(struct pv_view *in)
{
    uint8_t p[40 + 20 + 12 + 4 + 24];
    const uint8_t which = fuzz_next(in), back = fuzz_next(in), ago = fuzz_next(in);
    const unsigned ranges = 1 + (which >> 4) % 3;
    const size_t head = 20 + 12 + 4 + ranges * 8;
    const struct line *l = &w.line[which % LINES];
    const size_t at = begin_packet(p, is_v6(which % LINES), 6, head);
    uint8_t *t = p + at;
    put(t, 2, MEMBER + which % LINES);
    put(t + 2, 2, l->from != 0 ? l->from : 80);
    put(t + 4, 4, l->seq);
    put(t + 8, 4, l->ack - (uint32_t)back * UNIT);
    t[12] = (uint8_t)(head << 2);
    t[13] = 16;
    put(t + 14, 2, UINT16_MAX);
    memcpy(t + 20, (const uint8_t[]){1, 1, 8, 10}, 4);
    put(t + 28, 4, clock_ms - ago); /* the time that lwIP said */
    memcpy(t + 32, (const uint8_t[]){1, 1, 5, (uint8_t)(2 + ranges * 8)}, 4);
    for (unsigned i = 0; i < ranges; i++) {
        const uint32_t from = l->ack - (uint32_t)fuzz_next(in) * UNIT;
        put(t + 36 + i * 8, 4, from);
        put(t + 40 + i * 8, 4, from + (uint32_t)fuzz_next(in) * UNIT);
    }
    pv_natpkt_mend(p, at + head);
    (void)!send(w.queue, p, at + head, MSG_DONTWAIT);
}

static void send_packet(struct pv_view *in)
{
    uint8_t p[256];
    const struct pv_view bytes = fuzz_take(in, fuzz_next(in));
    if (bytes.len == 0)
        return;
    memcpy(p, bytes.ptr, bytes.len);
    pv_natpkt_mend(p, bytes.len);
    (void)!send(w.queue, p, bytes.len, MSG_DONTWAIT);
}

/* To a program's datagram socket, or to nobody. */
static void send_datagram(struct pv_view *in)
{
    static uint8_t p[40 + 8 + 255];
    const uint8_t which = fuzz_next(in);
    const struct pv_view bytes = fuzz_take(in, which >> 2);
    const size_t at = begin_packet(p, (which & 1) != 0, 17, 8 + bytes.len);
    put(p + at, 2, 6000);
    put(p + at + 2, 2, (which & 2) != 0 ? 5000 : 5001);
    put(p + at + 4, 2, (uint32_t)(8 + bytes.len));
    if (bytes.len > 0)
        memcpy(p + at + 8, bytes.ptr, bytes.len);
    pv_natpkt_mend(p, at + 8 + bytes.len);
    (void)!send(w.queue, p, at + 8 + bytes.len, MSG_DONTWAIT);
}

static struct pv_addr address(bool v6, uint8_t host, uint16_t port)
{
    struct pv_addr a = {.family = PV_AF_INET6, .port = port, .ip = {0xfd, 0x66}};
    a.ip[15] = host;
    return v6 ? a : pv_addr4(10, 66, 0, host, port);
}

/* -1: refused. */
static int ask(struct pv_inside_want want)
{
    struct pv_inside_got got;
    size_t n = 0;
    int fd = -1;
    must(send(w.asker, &want, sizeof(want), 0) == sizeof(want));
    run(1);
    must(pv_unix_read(w.asker, &got, sizeof(got), &n, &fd) == PV_OK && n == sizeof(got));
    must((got.error == 0) == (fd >= 0));
    return fd;
}

static void call(uint8_t arg)
{
    int *fd = &w.program[arg % PROGRAMS];
    const bool v6 = (arg & 0x40) != 0;
    if (*fd >= 0)
        return;
    if ((arg & 0x80) != 0)
        *fd = ask((struct pv_inside_want){.kind = PV_INSIDE_PLACE,
                                          .local = address(v6, 1, 5000),
                                          .remote = address(v6, 2, 6000)});
    else
        *fd = ask((struct pv_inside_want){
            .kind = PV_INSIDE_CONNECT,
            .local = address(v6, 1, 0),
            .remote = address(v6, 2, (uint16_t)(MEMBER + CALLED + v6)),
            .strict = (arg & 0x20) != 0,
        });
}

static void use_program(enum step step, uint8_t arg)
{
    static uint8_t buf[255 * UNIT];
    int *fd = &w.program[arg % PROGRAMS];
    const size_t n = arg / PROGRAMS * (size_t)UNIT;
    struct pv_inside_came came;
    if (*fd < 0 && pv_inside_accept(w.listener, fd, &came) != PV_OK &&
        pv_inside_accept(w.listener6, fd, &came) != PV_OK)
        return;
    if (step == WRITE)
        (void)!send(*fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    else if (step == READ)
        (void)!recv(*fd, buf, n, MSG_DONTWAIT);
    else if (step == SHUT)
        (void)shutdown(*fd, SHUT_WR);
    else
        close(*fd);
    if (step == CLOSE)
        *fd = -1;
}

static void take_step(struct pv_view *in)
{
    const enum step step = fuzz_next(in) % N_STEPS;
    if (step == SPEAK) {
        speak(in);
    } else if (step == PACKET) {
        send_packet(in);
    } else if (step == DATAGRAM) {
        send_datagram(in);
    } else if (step == HAVE) {
        tell_ranges(in);
    } else if (step == CALL) {
        call(fuzz_next(in));
    } else if (step == WAIT) {
        const uint8_t much = fuzz_next(in);
        for (unsigned n = much % 64; n > 0; n--) {
            clock_ms += (much & 0x80) != 0 ? 1 : TICK;
            run(0);
        }
    } else {
        use_program(step, fuzz_next(in));
    }
    run(1);
    hear();
}

static int listen_at(struct pv_addr addr)
{
    int fd = ask((struct pv_inside_want){.kind = PV_INSIDE_LISTEN, .local = addr});
    must(fd >= 0);
    return fd;
}

static void begin(void)
{
    const struct pv_prefix own[] = {{.base = address(false, 1, 0), .bits = 24},
                                    {.base = address(true, 1, 0), .bits = 64}};
    int fds[PV_STACK_QUEUES], pair[2];
    if (w.loop == NULL) {
        must(pv_loop_new(&w.loop) == PV_OK && pv_stack_new(&w.stack, w.loop, 1) == PV_OK);
        must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
        must(pv_stack_serve(w.stack, pair[1], NULL) == PV_OK);
        w.asker = pair[0];
    }
    must(pv_stack_up(w.stack, own, PV_ARRAY_LEN(own), MTU, 1, fds) == PV_OK);
    w.queue = fds[0];
    w.listener = listen_at(address(false, 1, 80));
    w.listener6 = listen_at(address(true, 1, 80));
    memset(w.program, 0xff, sizeof(w.program));
    memset(w.line, 0, sizeof(w.line));
}

static void end(void)
{
    for (size_t i = 0; i < PROGRAMS; i++)
        if (w.program[i] >= 0)
            close(w.program[i]);
    close(w.listener);
    close(w.listener6);
    pv_stack_down(w.stack);
    run(1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_view in = pv_view(data, len);
    if (!pv_stack_is_built())
        return 0;
    begin();
    for (unsigned i = 0; i < STEPS_MAX && in.len > 0; i++)
        take_step(&in);
    end();
    return 0;
}
