/* SPDX-License-Identifier: MIT */
/* The thread of the streams to relays: frames and writes what senders put into rings, cuts what
 * comes in into messages. It alone touches the connections. */
#include "daemon/packets/relayio.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ring.h"
#include "crypto/ct.h"
#include "daemon/packets/viaproxy.h"
#include "proto/stun/linewait.h"
#include "proto/stun/turnframe.h"
#include "sys/net/stream.h"
#include "sys/net/streamtls.h"
#include "sys/net/tls.h"
#include "sys/proc/clock.h"
#include "sys/proc/event.h"

enum {
    /* Bytes of the rings; ours. The thread empties them at once: they bridge its sleep, no more. */
    TX_RING = 1 << 20,
    CONTROL_RING = 1 << 18,
    RX_RING = 1 << 20,
    EVENT_RING = 1 << 16,
    /* Bytes of CONTROL_RING that only a CLOSE may use: one of each stream has room there. A record
     * of the ring takes up to 15 bytes beside its own (base/ring.h), and as much at its end. */
    CLOSE_ROOM = PV_RELAYIO_STREAMS * 64,
    HOLD_UP_MS = 50,      /* between looks whether control has taken events; ours */
    RECORDS_A_TURN = 256, /* of one ring, before descriptors get their turn */
    READ_MAX = 65536,     /* bytes of a read; ours */
    READS_A_TURN = 4,     /* of one stream, before the others get their turn; ours */
};

/* The records in the rings of senders: commands are control's alone. */
enum record_kind {
    RECORD_MESSAGE,
    RECORD_OPEN,
    RECORD_CLOSE,
};
struct record {
    uint16_t kind;
    uint16_t stream;
};

/*
 *   TCP    --connected-->         PROXY, TLS or OPEN, whichever comes first
 *   PROXY  --it opens the way-->  TLS or OPEN
 *   TLS    --handshake done-->    OPEN, which control is told
 */
enum stage {
    STAGE_TCP,
    STAGE_PROXY,
    STAGE_TLS,
    STAGE_OPEN,
};

struct conn {
    uint16_t stream; /* 0 = free */
    int fd;
    enum stage stage;
    struct pv_viaproxy *via; /* NULL: no proxy is on the way, or it has opened that */
    struct pv_tls *tls;
    struct pv_turnframe *in; /* owned */
    uint8_t *out;            /* owned, PV_RELAYIO_UNSENT bytes: out_at..out_len wait */
    size_t out_at, out_len;
    struct pv_linewait wait;
};

struct pv_relayio {
    struct pv_ring *to[PV_RELAYIO_SENDERS]; /* NULL: no such lane */
    bool wake[PV_RELAYIO_SENDERS];          /* the sender's own: the ring was empty */
    struct pv_ring *rx, *events;
    int wake_fd, rx_fd, event_fd;
    pthread_t thread;
    bool running;
    _Atomic bool stopping;
    _Atomic uint64_t sent, received, dropped, overrun;

    /* the thread's */
    struct conn conns[PV_RELAYIO_STREAMS];
    bool held_up;                  /* the last drain left what control has ordered in its ring */
    struct pv_connect_login login; /* for proxies; wiped */
    char ca_why[PV_TLS_ERROR_MAX]; /* why the CA file cannot be used; "": it can */
    struct pv_tls_ctx *tls_ctx;    /* without a CA file: made with the first stream that needs it */
    uint8_t *read_buf;             /* READ_MAX */
    uint8_t *clear_buf;            /* READ_MAX: out of TLS */
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* --- events -------------------------------------------------------------------------------- */

/* Returns true if there is room for all events that may still come: for each open stream that it is
 * connected and that it has ended, for one stream that cannot be opened, and for what the end of
 * the ring leaves unused. */
static bool has_event_room(const struct pv_relayio *io)
{
    const size_t events = 2 * PV_RELAYIO_STREAMS + 1;
    return pv_ring_room(io->events) >= (events + 1) * (sizeof(struct pv_relayio_event) + 16);
}

/* There is room: drain() opens no stream without. */
static void tell_control(struct pv_relayio *io, uint16_t stream, bool connected, const char *why)
{
    struct pv_relayio_event ev = {.stream = stream, .connected = connected};
    snprintf(ev.why, sizeof(ev.why), "%s", why);
    (void)!pv_ring_push(io->events, pv_view(&ev, sizeof(ev)), pv_view(NULL, 0), NULL);
    pv_event_raise(io->event_fd);
}

static struct conn *find(struct pv_relayio *io, uint16_t stream)
{
    for (size_t i = 0; i < PV_RELAYIO_STREAMS; i++) {
        if (io->conns[i].stream == stream)
            return &io->conns[i];
    }
    return NULL;
}

static void forget(struct conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    pv_viaproxy_free(c->via);
    pv_tls_free(c->tls);
    free(c->in);
    free(c->out);
    *c = (struct conn){.fd = -1};
}

/* The reason of TLS says more than the reason of the socket under it. */
static void fail_conn(struct pv_relayio *io, struct conn *c, int status)
{
    const char *why = c->tls != NULL ? pv_tls_error(c->tls) : "";
    tell_control(io, c->stream, false, why[0] != '\0' ? why : pv_strstatus(status));
    forget(c);
}

/* --- out ----------------------------------------------------------------------------------- */

/* Takes what the kernel takes now. */
static int write_tls(struct conn *c)
{
    /* TLS may hold a record that the kernel did not take: it has to go before new ones. */
    int r = pv_streamtls_flush(c->tls, c->fd);
    while (r == PV_OK && c->out_at < c->out_len) {
        size_t n = 0;
        r = pv_streamtls_write(c->tls, c->fd, pv_view(c->out + c->out_at, c->out_len - c->out_at),
                               &n);
        c->out_at += n;
    }
    return r == PV_ERR_AGAIN ? PV_OK : r;
}

static int write_out(struct conn *c)
{
    int r = PV_OK;
    size_t before = c->out_at;
    if (c->tls != NULL)
        r = write_tls(c);
    else if (c->out_at < c->out_len) {
        size_t n = 0;
        r = pv_stream_write(c->fd, pv_view(c->out + c->out_at, c->out_len - c->out_at), &n);
        if (r == PV_OK)
            c->out_at += n;
        else if (r == PV_ERR_AGAIN)
            r = PV_OK;
    }
    /* The line's measure needs every write, also one of nothing: that is how a stalled line
     * shows. */
    pv_linewait_took(&c->wait, c->out_at - before, c->out_at < c->out_len, pv_clock_now());
    if (c->out_at == c->out_len)
        c->out_at = c->out_len = 0;
    return r;
}

static bool wants_to_write(const struct conn *c)
{
    return c->stage == STAGE_TCP || c->out_at < c->out_len ||
           (c->stage == STAGE_PROXY && pv_viaproxy_is_full(c->via)) ||
           (c->stage >= STAGE_TLS && c->tls != NULL && pv_tls_out(c->tls).len > 0);
}

/* Data finds as much room as the line is worth, control's messages find what is left: a request
 * that is lost counts as a dead stream. */
static void send_message(struct pv_relayio *io, enum pv_relayio_sender sender, uint16_t stream,
                         struct pv_view message)
{
    struct conn *c = find(io, stream);
    size_t padding = pv_turnframe_padding(message.len), whole = message.len + padding;
    /* Before control knows of the connection nobody may expect a message to arrive. */
    if (c == NULL || c->stage != STAGE_OPEN) {
        add(&io->dropped, 1);
        return;
    }
    size_t limit =
        sender == PV_RELAYIO_CONTROL ? (size_t)PV_RELAYIO_UNSENT : pv_linewait_limit(&c->wait);
    if (c->out_len - c->out_at + whole > limit) {
        add(&io->dropped, 1);
        return;
    }
    /* Bytes move only when the end is reached, not for every message. */
    if (c->out_len + whole > PV_RELAYIO_UNSENT) {
        memmove(c->out, c->out + c->out_at, c->out_len - c->out_at);
        c->out_len -= c->out_at;
        c->out_at = 0;
    }
    memcpy(c->out + c->out_len, message.ptr, message.len);
    /* RFC 8656, section 12.5: ChannelData over a stream is padded to a multiple of four bytes. */
    memset(c->out + c->out_len + message.len, 0, padding);
    c->out_len += whole;
    add(&io->sent, 1);
}

/* --- in ------------------------------------------------------------------------------------ */

/* A message that finds the ring full is lost, as a datagram would be; the stream stays in step. */
static int take_messages(struct pv_relayio *io, struct conn *c, struct pv_view data)
{
    struct pv_view message;
    const struct record head = {.kind = RECORD_MESSAGE, .stream = c->stream};
    int r;
    /* The stream is in step as long as every length is right; one wrong length ends it, for no
     * later boundary could be found. */
    while ((r = pv_turnframe_next(c->in, &data, &message)) == PV_OK) {
        if (pv_ring_push(io->rx, pv_view(&head, sizeof(head)), message, NULL) < 0)
            add(&io->overrun, 1);
        else
            add(&io->received, 1);
    }
    return r == PV_ERR_AGAIN ? PV_OK : r;
}

static int take_tls(struct pv_relayio *io, struct conn *c, struct pv_view data)
{
    size_t n = 0;
    int r = pv_tls_handle_bytes(c->tls, data);
    while (r == PV_OK && (r = pv_tls_read(c->tls, io->clear_buf, READ_MAX, &n)) == PV_OK)
        r = take_messages(io, c, pv_view(io->clear_buf, n));
    if (r == PV_ERR_AGAIN)
        r = PV_OK;
    /* The certificate is checked by now: before that no message may enter the stream. */
    if (r == PV_OK && c->stage == STAGE_TLS && pv_tls_is_ready(c->tls)) {
        c->stage = STAGE_OPEN;
        tell_control(io, c->stream, true, "");
    }
    return r;
}

/* The lane that receives is woken once, after all that could be read. */
static int read_in(struct pv_relayio *io, struct conn *c)
{
    int r = PV_OK;
    /* The limit keeps one fast relay from starving the others. */
    for (unsigned i = 0; i < READS_A_TURN && r == PV_OK; i++) {
        size_t n = 0;
        r = pv_stream_read(c->fd, io->read_buf, READ_MAX, &n);
        if (r != PV_OK)
            break;
        struct pv_view data = pv_view(io->read_buf, n);
        r = c->tls != NULL ? take_tls(io, c, data) : take_messages(io, c, data);
        /* A short read emptied the socket, so another one would only return EAGAIN. */
        if (n < READ_MAX)
            break;
    }
    pv_event_raise(io->rx_fd);
    return r == PV_ERR_AGAIN ? PV_OK : r;
}

/* --- opening and closing ------------------------------------------------------------------- */

/* Whom the relay's certificate must be from: a pin from the coordinator says exactly whom; a name
 * of the configuration wants an authority; without either, what goes through authenticates itself.
 */
static int make_tls(struct pv_relayio *io, struct conn *c, const struct pv_relaystream_to *to,
                    char why[static PV_TLS_ERROR_MAX])
{
    struct pv_tls_peer peer = {.trust = PV_TLS_TRUST_ANY};
    _Static_assert((int)PV_TLS_PIN_LEN == (int)PV_RELAYSTREAM_PIN_LEN, "both are SHA-256");
    _Static_assert((int)PV_TLS_ERROR_MAX <= (int)PV_RELAYIO_WHY_MAX, "a reason is not cut");
    /* The context reads the system's authorities from disk: only the streams that use TLS pay
     * for it. */
    if (io->tls_ctx == NULL) {
        int r = pv_tls_ctx_new_client(&io->tls_ctx, NULL, why);
        if (r != PV_OK)
            return r;
    }
    peer.host = to->host[0] == '\0' ? NULL : to->host;
    if (to->pinned) {
        peer.trust = PV_TLS_TRUST_PIN;
        memcpy(peer.pin, to->pin, sizeof(peer.pin));
    } else if (peer.host != NULL) {
        peer.trust = PV_TLS_TRUST_CA;
    }
    /* The system's authorities do not stand in for the one that the user chose. */
    if (peer.trust == PV_TLS_TRUST_CA && io->ca_why[0] != '\0') {
        snprintf(why, PV_TLS_ERROR_MAX, "%s", io->ca_why);
        return PV_ERR_REFUSED;
    }
    return pv_tls_new_client(&c->tls, io->tls_ctx, &peer);
}

static int begin(struct pv_relayio *io, struct conn *c, const struct pv_relaystream_to *to,
                 char why[static PV_TLS_ERROR_MAX])
{
    static const struct pv_stream_bind anywhere = {.ifname = NULL};
    c->in = calloc(1, sizeof(*c->in));
    c->out = malloc(PV_RELAYIO_UNSENT);
    if (c->in == NULL || c->out == NULL)
        return PV_ERR_NOMEM;
    if (to->tls) {
        int r = make_tls(io, c, to, why);
        if (r != PV_OK)
            return r;
    }
    int r = to->to[0] == '\0' ? PV_OK : pv_viaproxy_new(&c->via, to->to, &io->login);
    if (r == PV_OK)
        r = pv_stream_connect(to->to[0] == '\0' ? &to->addr : &to->via, &anywhere, &c->fd);
    if (r < 0)
        return r;
    /* Bytes that wait in the kernel can no longer be dropped, and they delay every packet behind
     * them. */
    pv_stream_set_shallow(c->fd);
    c->stage = STAGE_TCP;
    return PV_OK;
}

static void open_stream(struct pv_relayio *io, uint16_t stream, const struct pv_relaystream_to *to)
{
    char why[PV_TLS_ERROR_MAX] = "";
    /* Number 0 marks a free slot. */
    struct conn *c = find(io, 0);
    if (c == NULL || stream == 0) {
        tell_control(io, stream, false, "too many streams");
        return;
    }
    c->stream = stream;
    int r = begin(io, c, to, why);
    if (r == PV_OK)
        return;
    tell_control(io, stream, false, why[0] != '\0' ? why : pv_strstatus(r));
    forget(c);
}

/* Waiting bytes are written as far as it goes. */
static void close_stream(struct conn *c)
{
    if (c->stage >= STAGE_TLS)
        (void)!write_out(c);
    /* close_notify (RFC 8446, section 6.1) tells the relay that nobody has cut the stream short. */
    if (c->tls != NULL && c->stage >= STAGE_TLS) {
        pv_tls_close(c->tls);
        (void)!write_tls(c);
    }
    forget(c);
}

/* Nothing is left on the way to the relay but TLS. rest: what the relay has said already. */
static int begin_talk(struct pv_relayio *io, struct conn *c, struct pv_view rest)
{
    if (c->tls != NULL) {
        c->stage = STAGE_TLS;
        return rest.len > 0 ? take_tls(io, c, rest) : PV_OK;
    }
    c->stage = STAGE_OPEN;
    tell_control(io, c->stream, true, "");
    return take_messages(io, c, rest);
}

/* The reason of a proxy that opens no way: it names no proxy, since `status` names that beside. */
static void tell_refusal(struct pv_relayio *io, struct conn *c)
{
    const struct pv_connect_answer answer = pv_viaproxy_answer(c->via);
    const struct pv_connect_about about = {
        .proxy = "on the way", .to = "the relay", .has_login = io->login.user[0] != '\0'};
    char why[PV_CONNECT_WHY_MAX];
    tell_control(io, c->stream, false, pv_connect_why(&answer, &about, why));
    forget(c);
}

static void ask_proxy(struct pv_relayio *io, struct conn *c)
{
    struct pv_view rest = pv_view(NULL, 0);
    int r = pv_viaproxy_turn(c->via, c->fd, io->read_buf, READ_MAX, &rest);
    if (r == PV_ERR_AGAIN)
        return;
    if (r < 0) {
        tell_refusal(io, c);
        return;
    }
    c->via = pv_viaproxy_free(c->via); /* it holds the password */
    r = begin_talk(io, c, rest);
    pv_event_raise(io->rx_fd);
    if (r < 0)
        fail_conn(io, c, r);
}

static void connected(struct pv_relayio *io, struct conn *c)
{
    int r = pv_stream_connected(c->fd);
    if (r == PV_ERR_AGAIN)
        return;
    if (r < 0) {
        fail_conn(io, c, r);
        return;
    }
    if (c->via != NULL) {
        c->stage = STAGE_PROXY;
        ask_proxy(io, c);
        return;
    }
    (void)!begin_talk(io, c, pv_view(NULL, 0)); /* it fails by bytes alone, and there are none */
}

/* --- the thread ---------------------------------------------------------------------------- */

static void take_record(struct pv_relayio *io, enum pv_relayio_sender sender, struct pv_view record)
{
    struct record head;
    memcpy(&head, record.ptr, sizeof(head));
    struct pv_view body = pv_view(record.ptr + sizeof(head), record.len - sizeof(head));
    if (head.kind == RECORD_MESSAGE) {
        send_message(io, sender, head.stream, body);
    } else if (head.kind == RECORD_OPEN) {
        struct pv_relaystream_to to;
        memcpy(&to, body.ptr, sizeof(to));
        open_stream(io, head.stream, &to);
    } else {
        struct conn *c = head.stream == 0 ? NULL : find(io, head.stream);
        if (c != NULL)
            close_stream(c);
    }
}

/* Control has not taken its events for long. Its orders wait until it has, or an event of a stream
 * could find no room and control would keep a wrong picture for ever. At the end nobody asks for
 * events. */
static bool is_held_up(struct pv_relayio *io, size_t sender)
{
    bool held_up =
        sender == PV_RELAYIO_CONTROL && !has_event_room(io) && !atomic_load(&io->stopping);
    io->held_up = io->held_up || held_up;
    return held_up;
}

/* True when more may wait. */
static bool drain(struct pv_relayio *io)
{
    bool more = false;
    io->held_up = false;
    for (size_t s = 0; s < PV_RELAYIO_SENDERS; s++) {
        struct pv_view record;
        unsigned n = 0;
        /* A record stays in the ring until it is served: it is copied nowhere before. */
        while (io->to[s] != NULL && n < RECORDS_A_TURN && !is_held_up(io, s) &&
               pv_ring_peek(io->to[s], &record) == PV_OK) {
            take_record(io, (enum pv_relayio_sender)s, record);
            pv_ring_pop(io->to[s]);
            n++;
        }
        more = more || n == RECORDS_A_TURN;
    }
    return more;
}

static void serve(struct pv_relayio *io, struct conn *c, short ready)
{
    int r = PV_OK;
    if (c->stage == STAGE_TCP) {
        connected(io, c);
        return;
    }
    if (c->stage == STAGE_PROXY) {
        ask_proxy(io, c);
        return;
    }
    if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0)
        r = read_in(io, c);
    /* TLS may have something to say because of what it read: an alert, too. */
    if (((ready & POLLOUT) != 0 || (c->tls != NULL && pv_tls_out(c->tls).len > 0))) {
        int w = write_out(c);
        r = r == PV_OK ? w : r;
    }
    if (r != PV_OK)
        fail_conn(io, c, r);
}

/* Sleeps unless rings have more, then serves what is ready. Nobody wakes this thread when control
 * has taken its events, so while they hold it up it looks by itself. */
static void turn(struct pv_relayio *io, bool more)
{
    struct pollfd fds[1 + PV_RELAYIO_STREAMS] = {{.fd = io->wake_fd, .events = POLLIN}};
    for (size_t i = 0; i < PV_RELAYIO_STREAMS; i++) {
        const struct conn *c = &io->conns[i];
        short events =
            (short)(c->stage == STAGE_TCP ? POLLOUT : POLLIN | (wants_to_write(c) ? POLLOUT : 0));
        fds[1 + i] = (struct pollfd){.fd = c->stream == 0 ? -1 : c->fd, .events = events};
    }
    int sleep_ms = more ? 0 : io->held_up ? HOLD_UP_MS : -1;
    if (poll(fds, PV_ARRAY_LEN(fds), sleep_ms) <= 0)
        return;
    if (fds[0].revents != 0)
        pv_event_clear(io->wake_fd); /* before the rings are looked at again */
    for (size_t i = 0; i < PV_RELAYIO_STREAMS; i++) {
        if (io->conns[i].stream != 0 && fds[1 + i].revents != 0)
            serve(io, &io->conns[i], fds[1 + i].revents);
    }
}

static void *thread_main(void *arg)
{
    struct pv_relayio *io = arg;
    pthread_setname_np(pthread_self(), "pv-relay");
    while (!atomic_load(&io->stopping))
        turn(io, drain(io));
    while (drain(io)) { /* goodbyes */
    }
    for (size_t i = 0; i < PV_RELAYIO_STREAMS; i++) {
        if (io->conns[i].stream != 0)
            close_stream(&io->conns[i]);
    }
    return NULL;
}

/* --- life ---------------------------------------------------------------------------------- */

static int start_thread(struct pv_relayio *io)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the control thread's */
    int e = pthread_create(&io->thread, NULL, thread_main, io);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e != 0)
        return -e;
    io->running = true;
    return PV_OK;
}

int pv_relayio_new(struct pv_relayio **ret_io, unsigned tx_lanes, const char *ca_file,
                   const struct pv_connect_login *login)
{
    struct pv_relayio *io = calloc(1, sizeof(*io));
    if (io == NULL)
        return PV_ERR_NOMEM;
    io->wake_fd = io->rx_fd = io->event_fd = -1;
    if (login != NULL)
        io->login = *login;
    for (size_t i = 0; i < PV_RELAYIO_STREAMS; i++)
        io->conns[i].fd = -1;
    io->read_buf = malloc(READ_MAX);
    io->clear_buf = malloc(READ_MAX);
    int r = io->read_buf == NULL || io->clear_buf == NULL ? PV_ERR_NOMEM : PV_OK;
    if (r >= 0 && ca_file != NULL) /* now, and not when the rights to read it may be gone */
        r = pv_tls_ctx_new_client(&io->tls_ctx, ca_file, io->ca_why);
    if (r == PV_ERR_REFUSED)
        r = PV_OK;
    if (r >= 0)
        r = pv_ring_new(&io->to[PV_RELAYIO_CONTROL], CONTROL_RING);
    for (unsigned i = 0; r >= 0 && i < tx_lanes; i++)
        r = pv_ring_new(&io->to[PV_RELAYIO_TX + i], TX_RING);
    if (r >= 0)
        r = pv_ring_new(&io->rx, RX_RING);
    if (r >= 0)
        r = pv_ring_new(&io->events, EVENT_RING);
    if (r >= 0)
        r = pv_event_open(&io->wake_fd);
    if (r >= 0)
        r = pv_event_open(&io->rx_fd);
    if (r >= 0)
        r = pv_event_open(&io->event_fd);
    if (r >= 0)
        r = start_thread(io);
    if (r < 0)
        pv_relayio_free(io);
    else
        *ret_io = io;
    return r;
}

/* Messages in the rings still go out: goodbyes to relays give their allocations back. */
struct pv_relayio *pv_relayio_free(struct pv_relayio *io)
{
    if (io == NULL)
        return NULL;
    if (io->running) {
        atomic_store(&io->stopping, true);
        pv_event_raise(io->wake_fd);
        pthread_join(io->thread, NULL);
    }
    pv_tls_ctx_free(io->tls_ctx);
    for (size_t s = 0; s < PV_RELAYIO_SENDERS; s++)
        pv_ring_free(io->to[s]);
    pv_ring_free(io->rx);
    pv_ring_free(io->events);
    const int fds[] = {io->wake_fd, io->rx_fd, io->event_fd};
    for (size_t i = 0; i < PV_ARRAY_LEN(fds); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    free(io->read_buf);
    free(io->clear_buf);
    pv_wipe(&io->login, sizeof(io->login));
    free(io);
    return NULL;
}

/* --- control and senders ------------------------------------------------------------------- */

static int push(struct pv_relayio *io, enum pv_relayio_sender sender, struct record head,
                struct pv_view body)
{
    bool was_empty = false;
    int r = pv_ring_push(io->to[sender], pv_view(&head, sizeof(head)), body, &was_empty);
    io->wake[sender] = io->wake[sender] || (r == PV_OK && was_empty);
    return r;
}

/* Returns true if a CLOSE of every stream still fits behind a record of so many bytes. The record
 * may also leave as many bytes unused at the end of the ring. */
static bool leaves_close_room(const struct pv_relayio *io, size_t bytes)
{
    return pv_ring_room(io->to[PV_RELAYIO_CONTROL]) >=
           CLOSE_ROOM + 2 * (sizeof(struct record) + bytes + 16);
}

/* A stream that nobody closes would keep its place for ever, so a CLOSE takes as little room as can
 * be, and all else leaves that room. */
int pv_relayio_do(struct pv_relayio *io, const struct pv_relaystream_op *op)
{
    const struct record head = {.kind = op->open ? RECORD_OPEN : RECORD_CLOSE,
                                .stream = op->stream};
    struct pv_view to = op->open ? pv_view(&op->to, sizeof(op->to)) : pv_view(NULL, 0);
    if (op->open && !leaves_close_room(io, to.len))
        return PV_ERR_NO_SPACE;
    int r = push(io, PV_RELAYIO_CONTROL, head, to);
    pv_relayio_flush(io, PV_RELAYIO_CONTROL);
    return r;
}

int pv_relayio_send(struct pv_relayio *io, enum pv_relayio_sender sender, uint16_t stream,
                    struct pv_view message)
{
    const struct record head = {.kind = RECORD_MESSAGE, .stream = stream};
    if (message.len > PV_RELAYIO_MESSAGE_MAX)
        return PV_ERR_LIMIT;
    if (sender == PV_RELAYIO_CONTROL && !leaves_close_room(io, message.len))
        return PV_ERR_NO_SPACE;
    return push(io, sender, head, message);
}

void pv_relayio_flush(struct pv_relayio *io, enum pv_relayio_sender sender)
{
    if (io->wake[sender])
        pv_event_raise(io->wake_fd);
    io->wake[sender] = false;
}

int pv_relayio_event_fd(const struct pv_relayio *io)
{
    return io->event_fd;
}

int pv_relayio_poll_event(struct pv_relayio *io, struct pv_relayio_event *ret_event)
{
    struct pv_view record;
    int r = pv_ring_peek(io->events, &record);
    if (r < 0) {
        /* Cleared first, then looked at once more: an event between the two is not slept over. */
        pv_event_clear(io->event_fd);
        r = pv_ring_peek(io->events, &record);
    }
    if (r < 0)
        return r;
    memcpy(ret_event, record.ptr, sizeof(*ret_event));
    pv_ring_pop(io->events);
    return PV_OK;
}

/* --- the lane that receives ---------------------------------------------------------------- */

int pv_relayio_rx_fd(const struct pv_relayio *io)
{
    return io->rx_fd;
}

int pv_relayio_peek(struct pv_relayio *io, uint16_t *ret_stream, struct pv_view *ret_message)
{
    struct pv_view record;
    struct record head;
    int r = pv_ring_peek(io->rx, &record);
    if (r < 0)
        return r;
    memcpy(&head, record.ptr, sizeof(head));
    *ret_stream = head.stream;
    *ret_message = pv_view(record.ptr + sizeof(head), record.len - sizeof(head));
    return PV_OK;
}

void pv_relayio_pop(struct pv_relayio *io)
{
    pv_ring_pop(io->rx);
}

struct pv_relayio_counts pv_relayio_counts(const struct pv_relayio *io)
{
    return (struct pv_relayio_counts){
        .sent = atomic_load_explicit(&io->sent, memory_order_relaxed),
        .received = atomic_load_explicit(&io->received, memory_order_relaxed),
        .dropped = atomic_load_explicit(&io->dropped, memory_order_relaxed),
        .overrun = atomic_load_explicit(&io->overrun, memory_order_relaxed),
    };
}
