/* SPDX-License-Identifier: MIT */
/*
 * lwIP between a member that says anything and the programs that it reaches: the input is steps,
 * each a byte and what it needs. The member's packets follow lwIP's numbers more or less, so that
 * they get behind a handshake; lwIP's clock moves by steps only. lwIP ends the process where one of
 * its assertions fails.
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
    STEPS_MAX = 400,
    LINES = 3,    /* connections of the member's */
    PROGRAMS = 6, /* accepted */
    TICK = 250,   /* ms: of lwIP's TCP */
    UNIT = 64,    /* bytes: what programs write, read and members send are multiples of it */
    OPTIONS_MAX = 40,
};

enum step {
    SPEAK, /* a packet of TCP */
    PACKET,
    WRITE,
    READ,
    SHUT,
    CLOSE,
    WAIT,
    N_STEPS,
};

static struct {
    struct pv_loop *loop;
    struct pv_stack *stack;
    int queue, listener;
    int program[PROGRAMS];
    unsigned left; /* turns */
    struct line {
        uint32_t seq, ack; /* says next; waits for */
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

/* The member hears lwIP; a connection has port 10240 and its number. */
static void hear(void)
{
    uint8_t p[MTU];
    for (ssize_t n; (n = recv(w.queue, p, sizeof(p), MSG_DONTWAIT)) > 0;) {
        must(n <= MTU);
        if (n < 40 || p[0] != 0x45 || p[9] != 6 || get(p + 22, 2) - 10240 >= LINES)
            continue;
        struct line *l = &w.line[get(p + 22, 2) - 10240];
        const uint32_t bytes = (uint32_t)n - 20 - (p[32] >> 4) * 4u;
        l->ack = get(p + 24, 4) + bytes + ((p[33] & 3) != 0);
        if ((p[33] & 16) != 0)
            l->seq = get(p + 28, 4);
    }
}

static void speak(struct pv_view *in)
{
    static uint8_t p[20 + 20 + OPTIONS_MAX + 255 * UNIT];
    static const uint8_t begin[] = {0x45, [8] = 64, 6, [12] = 10, 66, 0, 2, 10, 66, 0, 1};
    const uint8_t which = fuzz_next(in), flags = fuzz_next(in), near = fuzz_next(in);
    const uint16_t window = next_16(in);
    const struct pv_view options = fuzz_take(in, (which >> 4) * 4u % (OPTIONS_MAX + 4));
    const size_t head = 20 + (options.len + 3) / 4 * 4, data = (size_t)(near >> 4) * UNIT;
    const struct line *l = &w.line[which % LINES];
    memset(p, 0, 20 + head + data);
    memcpy(p, begin, sizeof(begin));
    put(p + 2, 2, (uint32_t)(20 + head + data));
    put(p + 20, 2, 10240 + which % LINES);
    put(p + 22, 2, 80);
    put(p + 24, 4, l->seq + (near & 3u) * UNIT);
    put(p + 28, 4, l->ack - (near >> 2 & 3u) * UNIT);
    p[32] = (uint8_t)(head << 2);
    p[33] = flags;
    put(p + 34, 2, window);
    if (options.len > 0)
        memcpy(p + 40, options.ptr, options.len);
    pv_natpkt_mend(p, 20 + head + data);
    (void)!send(w.queue, p, 20 + head + data, MSG_DONTWAIT);
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

static void use_program(enum step step, uint8_t arg)
{
    static uint8_t buf[255 * UNIT];
    int *fd = &w.program[arg % PROGRAMS];
    const size_t n = arg / PROGRAMS * (size_t)UNIT;
    struct pv_inside_came came;
    if (*fd < 0 && pv_inside_accept(w.listener, fd, &came) != PV_OK)
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
    } else if (step == WAIT) {
        for (unsigned n = fuzz_next(in) % 64; n > 0; n--) {
            clock_ms += TICK;
            run(0);
        }
    } else {
        use_program(step, fuzz_next(in));
    }
    run(3);
    hear();
}

static void begin(void)
{
    const struct pv_prefix own = {.base = pv_addr4(10, 66, 0, 1, 0), .bits = 24};
    const struct pv_inside_want want = {.kind = PV_INSIDE_LISTEN,
                                        .local = pv_addr4(10, 66, 0, 1, 80)};
    struct pv_inside_got got;
    int fds[PV_STACK_QUEUES], pair[2];
    size_t n = 0;
    memset(&w, 0, sizeof(w));
    memset(w.program, 0xff, sizeof(w.program));
    must(pv_loop_new(&w.loop) == PV_OK && pv_stack_new(&w.stack, w.loop, 1) == PV_OK);
    must(pv_stack_up(w.stack, &own, 1, MTU, 1, fds) == PV_OK);
    w.queue = fds[0];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    must(pv_stack_serve(w.stack, pair[1], NULL) == PV_OK);
    must(send(pair[0], &want, sizeof(want), 0) == sizeof(want));
    run(3);
    must(pv_unix_read(pair[0], &got, sizeof(got), &n, &w.listener) == PV_OK && got.error == 0);
    close(pair[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_view in = pv_view(data, len);
    if (!pv_stack_is_built())
        return 0;
    begin();
    for (unsigned i = 0; i < STEPS_MAX && in.len > 0; i++)
        take_step(&in);
    w.stack = pv_stack_free(w.stack);
    w.loop = pv_loop_free(w.loop);
    for (size_t i = 0; i < PROGRAMS; i++)
        if (w.program[i] >= 0)
            close(w.program[i]);
    close(w.listener);
    return 0;
}
