/* SPDX-License-Identifier: MIT */
/* The relay's thread: batches of datagrams go from the sockets to the core and its output back to
 * the sockets. Each read is handled before the next, so that buffers may be used again. */
#include "coordinator/relay/relay.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "coordinator/relay/relayout.h"
#include "sys/net/udp.h"
#include "sys/proc/clock.h"
#include "sys/proc/event.h"
#include "sys/proc/poller.h"

enum {
    SOCKETS_MAX = 65536, /* relay socket numbers; the core's own limit is lower */
    CLIENT_CALLS = PV_TURNS_BATCH / PV_UDP_BATCH, /* receive calls for one socket of clients */
    PEER_READS = 8,   /* ours: datagrams, or merged ones, of one relay socket a turn */
    PEER_MAX = 65536, /* bytes of one */
    /* Bytes of a client's datagram that lie together. Not a power of two, or the beginnings of all
     * buffers would share a few lines of the processor's caches. */
    CLIENT_MAX = PV_TURNS_DATAGRAM_MAX + 128,
    CHUNK = 64,           /* ours: datagrams handed to the core at once, as many as a run has */
    READY_MAX = 256,      /* ours: descriptors a turn; others come in the next */
    WAKE_TAG = INT32_MAX, /* the eventfd; others are numbers of sockets */
};
/* A clock that stood still in suspend must not delay what is due for long. */
#define SLEEP_MAX PV_S(10)

/* One relay socket. */
struct relay_sock {
    uint16_t family;
    int fd;  /* owned */
    bool df; /* the DF bit as it is set now: changing it is a system call */
};

struct pv_relay {
    struct pv_relaycore *core;
    struct pv_turns *turns; /* of it */
    struct pv_stunudp *udp;
    struct pv_poller *poller;
    struct relay_sock **socks; /* by number - PV_TURNS_RELAY0 */
    size_t n_socks;
    struct pv_udp_receiver *clients, *peers;
    struct pv_udp_counts counts;
    struct pv_relayout out;
    int wake, news; /* eventfds: to the thread, and from it */
    _Atomic bool stopping;
    pv_ns count_at; /* when drops of the kernel are looked at again */
    bool started;
    pthread_t thread;
};

/* The buffers of clients are deep: a queue that has grown is emptied in one turn, and leaves in
 * long runs. */
int pv_relay_new(struct pv_relay **ret_relay, struct pv_relaycore *core, struct pv_stunudp *udp)
{
    struct pv_relay *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return PV_ERR_NOMEM;
    r->core = core;
    r->turns = pv_relaycore_turns(core);
    r->udp = udp;
    r->wake = r->news = -1;
    int e = pv_udp_receiver_new_deep(&r->clients, CLIENT_CALLS, CLIENT_MAX);
    if (e == PV_OK)
        e = pv_udp_receiver_new(&r->peers, PEER_READS, PEER_MAX);
    if (e == PV_OK)
        e = pv_poller_new(&r->poller);
    if (e == PV_OK)
        e = pv_event_open(&r->wake);
    if (e == PV_OK)
        e = pv_event_open(&r->news);
    if (e == PV_OK)
        e = pv_poller_add(r->poller, r->wake, WAKE_TAG);
    if (e < 0)
        pv_relay_free(r);
    else
        *ret_relay = r;
    return e;
}

static struct relay_sock *sock_of(struct pv_relay *r, uint32_t number)
{
    size_t i = number - PV_TURNS_RELAY0;
    return number >= PV_TURNS_RELAY0 && i < r->n_socks ? r->socks[i] : NULL;
}

static void close_sock(struct pv_relay *r, uint32_t number)
{
    struct relay_sock *s = sock_of(r, number);
    if (s == NULL)
        return; /* it could not be opened */
    r->socks[number - PV_TURNS_RELAY0] = NULL;
    pv_poller_del(r->poller, s->fd);
    close(s->fd);
    free(s);
}

/* The thread ends first; after that everything here has one owner again. */
struct pv_relay *pv_relay_free(struct pv_relay *relay)
{
    if (relay == NULL)
        return NULL;
    if (relay->started) {
        atomic_store(&relay->stopping, true);
        pv_event_raise(relay->wake);
        pthread_join(relay->thread, NULL);
    }
    for (size_t i = 0; i < relay->n_socks; i++)
        close_sock(relay, (uint32_t)(PV_TURNS_RELAY0 + i));
    free(relay->socks);
    pv_udp_receiver_free(relay->clients);
    pv_udp_receiver_free(relay->peers);
    pv_poller_free(relay->poller);
    if (relay->wake >= 0)
        close(relay->wake);
    if (relay->news >= 0)
        close(relay->news);
    free(relay);
    return NULL;
}

void pv_relay_wake(struct pv_relay *relay)
{
    pv_event_raise(relay->wake);
}

int pv_relay_news_fd(const struct pv_relay *relay)
{
    return relay->news;
}

/* --- sending --------------------------------------------------------------------------------- */

/* Returns the descriptor for one output, its DF bit as wanted; -1: the socket is gone. */
static int fd_for(struct pv_relay *r, uint32_t number, bool df)
{
    if (number < pv_stunudp_count(r->udp))
        return pv_stunudp_fd(r->udp, number);
    struct relay_sock *s = sock_of(r, number);
    if (s == NULL)
        return -1;
    if (s->df != df && pv_udp_set_df(s->fd, s->family, df) == PV_OK)
        s->df = df;
    return s->fd;
}

/* Sends in runs (relayout.h); messages in a row for one socket are one system call. Datagrams that
 * the system does not take are counted and lost, as by any router. */
static void send_datagrams(struct pv_relay *r, const struct pv_turns_out *out, size_t n)
{
    struct pv_relayout *ro = &r->out;
    pv_relayout_make(ro, out, n);
    for (size_t i = 0, k; i < ro->n; i = k) {
        for (k = i + 1; k < ro->n && ro->socks[k] == ro->socks[i] && ro->df[k] == ro->df[i];)
            k++;
        int fd = fd_for(r, ro->socks[i], ro->df[i]);
        if (fd >= 0)
            pv_udp_send(fd, &ro->msgs[i], k - i, &r->counts);
    }
    pv_relaystat_set(pv_turns_counters(r->turns), PV_RELAYSTAT_DROP_SEND,
                     r->counts.full + r->counts.too_big + r->counts.failed);
}

/* Output for connections goes to the control thread by the link, all other to the sockets. Then the
 * core may use its buffers again. */
static void send_output(struct pv_relay *r)
{
    size_t n = 0;
    const struct pv_turns_out *out = pv_turns_out(r->turns, &n);
    for (size_t i = 0; i < n; i++) {
        if (out[i].stream != 0)
            pv_relaycore_to_stream(r->core, &out[i]);
    }
    if (n > 0)
        send_datagrams(r, out, n);
    pv_turns_sent(r->turns);
}

/* --- relay sockets --------------------------------------------------------------------------- */

/* Makes room for the slot of that number. The table doubles and never shrinks, as numbers are used
 * again late. */
static int make_slot(struct pv_relay *r, size_t i)
{
    if (i < r->n_socks)
        return PV_OK;
    size_t n = r->n_socks == 0 ? 64 : r->n_socks * 2;
    if (i >= SOCKETS_MAX)
        return PV_ERR_LIMIT;
    while (n <= i)
        n *= 2;
    struct relay_sock **socks = realloc(r->socks, n * sizeof(struct relay_sock *));
    if (socks == NULL)
        return PV_ERR_NOMEM;
    for (size_t k = r->n_socks; k < n; k++)
        socks[k] = NULL;
    r->socks = socks;
    r->n_socks = n;
    return PV_OK;
}

/* The core hears an error and tries another port. A relayed packet is fragmented unless its sender
 * asked for DF (RFC 8656 s14). */
static int open_sock(struct pv_relay *r, const struct pv_turns_socket *op)
{
    static const struct pv_udp_opts opts = {.gro = true};
    size_t i = op->sock - PV_TURNS_RELAY0;
    int e = make_slot(r, i);
    struct relay_sock *s = e < 0 ? NULL : calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    *s = (struct relay_sock){.family = op->addr.family, .fd = -1};
    e = pv_udp_open(&op->addr, &opts, &s->fd);
    if (e == PV_OK)
        e = pv_udp_set_df(s->fd, s->family, false);
    if (e == PV_OK)
        e = pv_poller_add(r->poller, s->fd, op->sock);
    if (e < 0) {
        if (s->fd >= 0)
            close(s->fd);
        free(s);
        return e;
    }
    r->socks[i] = s;
    return PV_OK;
}

/* Opening a socket answers an Allocate, which is output again. */
static void send_and_open(struct pv_relay *r, pv_ns now)
{
    struct pv_turns_socket op;
    send_output(r);
    while (pv_turns_poll_socket(r->turns, &op) == PV_OK) {
        if (!op.open) {
            close_sock(r, op.sock);
            continue;
        }
        pv_turns_opened(r->turns, op.sock, open_sock(r, &op), now);
        send_output(r);
    }
}

/* Handles the commands of the control thread, before any datagram that came after them. */
static void handle_commands(struct pv_relay *r, pv_ns now)
{
    if (!pv_relaycore_has_commands(r->core))
        return;
    send_output(r);
    while (pv_relaycore_step(r->core, now))
        send_and_open(r, now);
    send_and_open(r, now); /* allocations that ended */
}

/* --- datagrams ------------------------------------------------------------------------------- */

/* Datagrams on their way to the core, of one read. */
struct read_batch {
    struct pv_relay *relay;
    uint32_t sock;
    pv_ns now;
    struct pv_turns_in in[CHUNK];
    size_t n;
    struct pv_stuns_reply replies[CHUNK];
    struct pv_udp_out out[CHUNK];
    size_t n_out;
};

/* The other fields are written before they are read; clearing them would cost more than many a
 * batch. */
static void begin_batch(struct read_batch *b, struct pv_relay *r, uint32_t sock, pv_ns now)
{
    b->relay = r;
    b->sock = sock;
    b->now = now;
    b->n = b->n_out = 0;
}

/* The core takes as much as its output has room for; then that is sent, and it takes the rest. */
static void pass_to_core(struct read_batch *b)
{
    struct pv_relay *r = b->relay;
    size_t done = pv_turns_add(r->turns, b->in, b->n, b->now);
    while (done < b->n) {
        send_and_open(r, b->now);
        done += pv_turns_add(r->turns, b->in + done, b->n - done, b->now);
    }
    b->n = 0;
}

/* Sends the STUN server's answers to one read by one system call. */
static void send_replies(struct read_batch *b)
{
    struct pv_relay *r = b->relay;
    pv_udp_send(pv_stunudp_fd(r->udp, b->sock), b->out, b->n_out, &r->counts);
    b->n_out = 0;
}

/* Answers a datagram that is not TURN. The answer leaves from the socket and address that the
 * request asked for: a NAT or firewall tells senders apart by them. */
static void answer_stun(struct read_batch *b, const struct pv_turns_in *in)
{
    struct pv_relay *r = b->relay;
    struct pv_stuns_reply *reply = &b->replies[b->n_out];
    struct pv_udp_out *out = &b->out[b->n_out];
    struct pv_stuns_place place = pv_stunudp_place(r->udp, b->sock, &in->local);
    size_t from = 0;
    if (pv_relaycore_answer(r->core, &in->src, &place, pv_view(in->ptr, in->len), b->now, reply) <
            0 ||
        pv_stunudp_at(r->udp, &reply->from, &from) < 0)
        return;
    *out = (struct pv_udp_out){
        .dst = reply->to, .local = reply->from, .data = pv_view(reply->buf, reply->len)};
    if (from != b->sock) {
        pv_udp_send(pv_stunudp_fd(r->udp, from), out, 1, &r->counts);
        return;
    }
    b->n_out++;
    if (b->n_out == PV_ARRAY_LEN(b->out))
        send_replies(b);
}

/* On relay sockets everything is data of a peer, also what looks like STUN. */
static void take_one(struct read_batch *b, const struct pv_turns_in *in)
{
    if (b->sock < PV_TURNS_RELAY0 && !pv_turns_is_turn(pv_view(in->ptr, in->len))) {
        answer_stun(b, in);
        return;
    }
    b->in[b->n++] = *in;
    if (b->n == PV_ARRAY_LEN(b->in))
        pass_to_core(b);
}

/* A read is one datagram, or many of one sender and size. Returns how many. */
static size_t take_read(struct read_batch *b, const struct pv_udp_in *in)
{
    size_t step = in->segment == 0 ? in->len : in->segment;
    size_t at = 0;
    size_t n = 0;
    do {
        struct pv_turns_in one = {.src = in->src,
                                  .local = in->local,
                                  .sock = b->sock,
                                  .ptr = in->ptr + at,
                                  .len = in->len - at < step ? in->len - at : step};
        take_one(b, &one);
        at += step;
        n++;
    } while (at < in->len);
    return n;
}

/* Takes everything that one call has received. Returns the number of datagrams. */
static size_t take_reads(struct read_batch *b, const struct pv_udp_in *in, size_t n)
{
    size_t datagrams = 0;
    handle_commands(b->relay, b->now);
    for (size_t i = 0; i < n; i++) {
        if (!in[i].cut)
            datagrams += take_read(b, &in[i]);
    }
    pass_to_core(b);
    if (b->n_out > 0)
        send_replies(b);
    return datagrams;
}

/*
 * Takes the datagrams that wait in a socket of clients, up to a batch of the core's: the deeper the
 * queue, the more datagrams of one way are found in it and leave as a run. Nothing is waited for.
 */
static void serve_clients(struct pv_relay *r, uint32_t sock, pv_ns now)
{
    int fd = pv_stunudp_fd(r->udp, sock);
    struct read_batch b;
    size_t n = PV_UDP_BATCH;
    size_t datagrams = 0;
    begin_batch(&b, r, sock, now);
    send_output(r); /* it may lie in what is read into now */
    for (size_t i = 0; i < CLIENT_CALLS && n == PV_UDP_BATCH && datagrams < PV_TURNS_BATCH; i++) {
        struct pv_udp_in *in = NULL;
        bool is_long = false;
        if (pv_udp_recv_row(r->clients, fd, i, &in, &n, &is_long) < 0)
            return;
        pv_relaystat_add(pv_turns_counters(r->turns), PV_RELAYSTAT_UDP_RECEIVED, n);
        datagrams += take_reads(&b, in, n);
        if (is_long)
            send_and_open(r, now); /* the next call writes there */
    }
}

/* Takes the datagrams of a relay socket. They are copied, so their output may wait for the output
 * of others. */
static void serve_peers(struct pv_relay *r, uint32_t sock, pv_ns now)
{
    const struct relay_sock *s = sock_of(r, sock);
    struct pv_udp_in *in = NULL;
    struct read_batch b;
    size_t n = 0;
    if (s == NULL || pv_udp_recv(r->peers, s->fd, &in, &n) < 0) /* NULL: closed meanwhile */
        return;
    begin_batch(&b, r, sock, now);
    (void)take_reads(&b, in, n);
}

/* --- the thread ------------------------------------------------------------------------------ */

/* Each ready descriptor has one batch, so nobody starves, however busy one socket is. */
static void serve_ready(struct pv_relay *r, uint32_t tag, pv_ns now)
{
    if (tag == WAKE_TAG) {
        pv_event_clear(r->wake);
        handle_commands(r, now);
    } else if (tag < PV_TURNS_RELAY0) {
        serve_clients(r, tag, now);
    } else {
        serve_peers(r, tag, now);
    }
}

/* The sleep ends with the next timer, and is never long: the clock may have stood still
 * meanwhile. */
static pv_ns time_to_sleep(const struct pv_relay *r, pv_ns now)
{
    pv_ns next = pv_turns_next_timeout(r->turns);
    return next <= now ? 0 : pv_min_ns(next - now, SLEEP_MAX);
}

/* One signal stands for all messages of this round: the control thread reads the link to its
 * end. */
static void raise_news(struct pv_relay *r)
{
    if (pv_relaylink_take_wake_control(pv_relaycore_link(r->core)))
        pv_event_raise(r->news);
}

/* Counts datagrams that the kernel dropped because nobody read them in time: the relay has more
 * than it can carry. */
static void count_unread(struct pv_relay *r, pv_ns now)
{
    uint64_t n = 0;
    if (now < r->count_at)
        return;
    r->count_at = now + PV_S(1);
    for (size_t i = 0; i < pv_stunudp_count(r->udp); i++)
        n += pv_udp_not_received(pv_stunudp_fd(r->udp, i));
    pv_relaystat_set(pv_turns_counters(r->turns), PV_RELAYSTAT_DROP_NOT_RECEIVED, n);
}

/* The clock is read once a turn. Output of one socket's batch may wait for the next socket's, which
 * makes runs longer; all of it is sent before the thread sleeps. */
static void *relay_main(void *arg)
{
    struct pv_relay *r = arg;
    uint32_t tags[READY_MAX];
    pv_ns now = pv_clock_now();
    while (!atomic_load(&r->stopping)) {
        size_t n = pv_poller_wait(r->poller, time_to_sleep(r, now), tags, READY_MAX);
        now = pv_clock_now();
        for (size_t i = 0; i < n; i++) {
            serve_ready(r, tags[i], now);
            raise_news(r);
        }
        send_and_open(r, now);
        if (pv_turns_next_timeout(r->turns) <= now) {
            pv_turns_handle_timeout(r->turns, now);
            send_and_open(r, now);
        }
        raise_news(r);
        count_unread(r, now);
    }
    return NULL;
}

/* Signals belong to the control thread's signalfd, so all of them are blocked while the thread is
 * made: it inherits the mask. */
int pv_relay_start(struct pv_relay *relay)
{
    sigset_t all;
    sigset_t old;
    for (size_t i = 0; i < pv_stunudp_count(relay->udp); i++) {
        int e = pv_poller_add(relay->poller, pv_stunudp_fd(relay->udp, i), (uint32_t)i);
        if (e < 0)
            return e;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = pthread_create(&relay->thread, NULL, relay_main, relay);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e != 0)
        return -e;
    pthread_setname_np(relay->thread, "relay");
    relay->started = true;
    return PV_OK;
}
