/* SPDX-License-Identifier: MIT */
/* Sockets around the machines that measure the way out: netcheck and routercheck in lib/proto/stun
 * decide what is sent, this file sends it and hands answers in; and one Binding request by TCP or
 * TLS (RFC 8489 s6.2.2, s6.2.3). */
#include "ctl/probe/netprobe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/text.h"
#include "proto/stun/routercheck.h"
#include "proto/stun/stun.h"
#include "proto/stun/stunc.h"
#include "sys/net/netroutes.h"
#include "sys/net/sockaddr.h"
#include "sys/net/stream.h"
#include "sys/net/tls.h"
#include "sys/net/udp.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"

/* --- routers at the beginning of the way ----------------------------------------------------- */

/* They show themselves without rights: by STUN requests with a small TTL, and the ICMP errors that
 * the kernel keeps for their sockets. The owner polls the descriptors and calls; it takes
 * NETTRACE_MS at most. IPv4. */

enum {
    NETTRACE_MS = 1000, /* then what did not answer is silent */
    NETTRACE_SENDS = 3, /* of every hop */
};

/* fds may be polled, -1 = none. */
struct nettrace {
    int fds[PV_ROUTERCHECK_HOPS]; /* one for each TTL, from 1 on */
    bool open[PV_ROUTERCHECK_HOPS];
    struct pv_addr server;
    pv_ns due;
    unsigned sends;
    bool running;
    struct pv_routercheck_trace trace;
};

/* When the requests go: all at once first, so that the mappings they make on a NAT are made before
 * others that are measured. */
static const pv_ns send_at[NETTRACE_SENDS] = {PV_MS(0), PV_MS(200), PV_MS(500)};

static void send_one(const struct nettrace *t, size_t hop)
{
    struct pv_rng rng = pv_entropy();
    uint8_t txid[PV_STUN_TXID_LEN], buf[PV_STUN_HEADER_LEN];
    struct pv_stun_writer w;
    struct pv_udp_counts counts = {0};
    size_t len = 0;
    pv_rng_fill(&rng, txid, sizeof(txid));
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, txid);
    if (pv_stun_write_end(&w, &len) < 0)
        return;
    /* The router that counts the TTL down to 0 names itself by ICMP (RFC 792). */
    const struct pv_udp_out out = {
        .dst = t->server, .data = pv_view(buf, len), .ttl = (uint8_t)(hop + 1)};
    pv_udp_send(t->fds[hop], &out, 1, &counts);
}

static bool is_over(const struct nettrace *t)
{
    for (size_t i = 0; i < t->trace.n; i++)
        if (t->open[i])
            return false;
    return true;
}

static void nettrace_handle_timeout(struct nettrace *t, pv_ns now)
{
    if (!t->running || now < t->due)
        return;
    if (t->sends == NETTRACE_SENDS || is_over(t)) {
        t->running = false;
        return;
    }
    for (size_t i = 0; i < t->trace.n; i++)
        if (t->open[i])
            send_one(t, i);
    /* The times are counted from the first send, so that a late round does not push the next
     * one. */
    pv_ns sent = send_at[t->sends++];
    t->due = now - sent + (t->sends < NETTRACE_SENDS ? send_at[t->sends] : PV_MS(NETTRACE_MS));
}

/* Opens the sockets and sends; without sockets it is over at once. */
static void nettrace_start(struct nettrace *t, const struct pv_addr *server, pv_ns now)
{
    static const struct pv_udp_opts opts = {0};
    const struct pv_addr any = {.family = server->family};
    *t = (struct nettrace){.server = *server, .due = now, .running = true};
    for (size_t i = 0; i < PV_ROUTERCHECK_HOPS; i++) {
        /* Each distance has a socket of its own: an ICMP error then belongs to one TTL without
         * looking into the packet that it quotes. */
        t->fds[i] = -1;
        t->open[i] = pv_udp_open(&any, &opts, &t->fds[i]) == PV_OK;
    }
    t->trace.n = PV_ROUTERCHECK_HOPS;
    nettrace_handle_timeout(t, now);
}

/* PV_NEVER when over */
static pv_ns nettrace_next_timeout(const struct nettrace *t)
{
    return t->running ? t->due : PV_NEVER;
}

/* The server itself answered a request with this TTL: there is no further router. */
static void reached(struct nettrace *t, size_t hop)
{
    t->open[hop] = false;
    t->trace.reached = true;
    /* A farther socket may have answered first; the nearest one counts. */
    if (hop < t->trace.n)
        t->trace.n = hop;
}

/* Something came on fds[hop]. */
static void nettrace_handle_ready(struct nettrace *t, size_t hop)
{
    struct pv_udp_error error;
    uint8_t buf[PV_STUN_HEADER_LEN];
    if (t->fds[hop] < 0)
        return;
    while (pv_udp_read_error(t->fds[hop], &error) == PV_OK) {
        if (error.time_exceeded && t->open[hop]) {
            t->trace.hops[hop] = error.offender;
            t->open[hop] = false;
            /* A closed port is a word of the server's machine, so its distance is known as well. */
        } else if (!error.local && error.err == ECONNREFUSED) {
            reached(t, hop);
        }
    }
    /* Any datagram serves: the socket is ours alone, and only its distance is of interest. */
    while (recv(t->fds[hop], buf, sizeof(buf), MSG_DONTWAIT) >= 0)
        reached(t, hop);
    if (is_over(t))
        t->running = false;
}

/* closes; twice does no harm */
static void nettrace_done(struct nettrace *t)
{
    for (size_t i = 0; i < PV_ROUTERCHECK_HOPS; i++) {
        if (t->fds[i] >= 0)
            close(t->fds[i]);
        t->fds[i] = -1;
    }
}

/* --- one question, to any server ------------------------------------------------------------- */

enum {
    ANSWER_MAX = 1024,
    CHUNK = 4096,
};

/* PV_ERR_AGAIN: the time is over, or a signal came. */
static int wait_for(int fd, short events, pv_ns until)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n = poll(&p, 1, pv_poll_ms(until, pv_clock_now()));
    return n > 0 ? PV_OK : n < 0 && errno != EINTR ? -errno : PV_ERR_AGAIN;
}

/* --- one question by TCP or TLS ------------------------------------------------------------- */

struct conn {
    int fd;
    struct pv_tls *tls; /* NULL: TCP alone */
    pv_ns until;
};

/* The one deadline covers the connection, TLS and the answer: a server that gives a byte a second
 * cannot hold the command. */
static int wait_stream(const struct conn *c, short events)
{
    int r = wait_for(c->fd, events, c->until);
    if (r != PV_ERR_AGAIN)
        return r;
    return pv_clock_now() < c->until ? PV_OK : PV_ERR_TIMEOUT;
}

static int write_wire(const struct conn *c, struct pv_view data, size_t *ret_n)
{
    int r = PV_ERR_AGAIN;
    while (r == PV_ERR_AGAIN) {
        r = pv_stream_write(c->fd, data, ret_n);
        int w = r == PV_ERR_AGAIN ? wait_stream(c, POLLOUT) : PV_OK;
        if (w < 0)
            return w;
    }
    return r;
}

static int read_wire(const struct conn *c, void *buf, size_t cap, size_t *ret_n)
{
    int r = PV_ERR_AGAIN;
    while (r == PV_ERR_AGAIN) {
        r = pv_stream_read(c->fd, buf, cap, ret_n);
        int w = r == PV_ERR_AGAIN ? wait_stream(c, POLLIN) : PV_OK;
        if (w < 0)
            return w;
    }
    return r;
}

static int flush_tls(struct conn *c)
{
    int r = PV_OK;
    /* A write may take only a part of what TLS has made. */
    while (r == PV_OK && pv_tls_out(c->tls).len > 0) {
        size_t n = 0;
        r = write_wire(c, pv_tls_out(c->tls), &n);
        if (r == PV_OK)
            pv_tls_wrote(c->tls, n);
    }
    return r;
}

/* Something from the wire into the TLS machine, after what it has for the wire. */
static int feed_tls(struct conn *c)
{
    uint8_t buf[CHUNK];
    size_t n = 0;
    int r = flush_tls(c);
    if (r == PV_OK)
        r = read_wire(c, buf, sizeof(buf), &n);
    if (r == PV_OK)
        r = pv_tls_handle_bytes(c->tls, pv_view(buf, n));
    /* The alert tells the server the reason; that it may be lost as well does not matter. */
    if (r < 0 && c->tls != NULL)
        (void)!flush_tls(c); /* the alert */
    return r;
}

static int write_all(struct conn *c, struct pv_view data)
{
    while (data.len > 0) {
        size_t n = 0;
        int r = c->tls == NULL ? write_wire(c, data, &n) : pv_tls_write(c->tls, data, &n);
        if (r == PV_ERR_AGAIN)
            r = feed_tls(c);
        if (r < 0)
            return r;
        data = pv_view(data.ptr + n, data.len - n);
    }
    /* Without the flush a request shorter than a record would never leave. */
    return c->tls == NULL ? PV_OK : flush_tls(c);
}

static int read_all(struct conn *c, uint8_t *buf, size_t len)
{
    for (size_t got = 0; got < len;) {
        size_t n = 0;
        int r = c->tls == NULL ? read_wire(c, buf + got, len - got, &n)
                               : pv_tls_read(c->tls, buf + got, len - got, &n);
        if (r == PV_ERR_AGAIN)
            r = feed_tls(c);
        if (r < 0)
            return r;
        got += n;
    }
    return PV_OK;
}

static int await_connection(const struct conn *c)
{
    int r = pv_stream_connected(c->fd);
    while (r == PV_ERR_AGAIN) {
        r = wait_stream(c, POLLOUT);
        if (r == PV_OK)
            r = pv_stream_connected(c->fd);
    }
    return r;
}

/* Where an error answer sends the client (300 Try Alternate, RFC 8489 s10), into answer->mapped. */
static void take_alternate(const struct pv_stun_msg *msg, struct pv_netprobe_answer *answer)
{
    unsigned code = 0;
    struct pv_addr a;
    if (pv_stun_get_error(msg, &code) == PV_OK && code == PV_STUN_E_TRY_ALTERNATE &&
        pv_stun_get_addr(msg, PV_STUN_ATTR_ALTERNATE_SERVER, &a) == PV_OK)
        answer->mapped = a;
}

static int read_answer(struct conn *c, const uint8_t *txid, struct pv_netprobe_answer *answer)
{
    uint8_t buf[ANSWER_MAX];
    struct pv_stun_msg msg;
    /* Over a stream the header tells the length of the message (RFC 8489, section 6.2.2). */
    int r = read_all(c, buf, PV_STUN_HEADER_LEN);
    if (r < 0)
        return r;
    size_t len = pv_load_be16(buf + 2);
    /* The length is the server's word. */
    if (len > sizeof(buf) - PV_STUN_HEADER_LEN)
        return PV_ERR_MALFORMED;
    r = read_all(c, buf + PV_STUN_HEADER_LEN, len);
    if (r == PV_OK)
        r = pv_stun_decode(pv_view(buf, PV_STUN_HEADER_LEN + len), &msg);
    /* One request is under way on this connection, so another transaction is no answer of a STUN
     * server. */
    if (r == PV_OK && memcmp(msg.txid, txid, PV_STUN_TXID_LEN) != 0)
        r = PV_ERR_MALFORMED;
    if (r < 0)
        return r;
    if (msg.cls != PV_STUN_SUCCESS) {
        take_alternate(&msg, answer);
        return PV_ERR_REFUSED;
    }
    return pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &answer->mapped);
}

static int ask_over(struct conn *c, struct pv_netprobe_answer *answer)
{
    struct pv_rng rng = pv_entropy();
    uint8_t txid[PV_STUN_TXID_LEN], request[PV_STUN_HEADER_LEN];
    struct pv_stun_writer w;
    size_t len = 0;
    int r = await_connection(c);
    while (r == PV_OK && c->tls != NULL && !pv_tls_is_ready(c->tls))
        r = feed_tls(c);
    if (r < 0)
        return r;
    pv_rng_fill(&rng, txid, sizeof(txid));
    pv_stun_write_begin(&w, request, sizeof(request), PV_STUN_REQUEST, PV_STUN_BINDING, txid);
    r = pv_stun_write_end(&w, &len);
    /* The connection and TLS are not counted: the round trip is to compare with that by UDP. */
    pv_ns sent = pv_clock_now();
    if (r == PV_OK)
        r = write_all(c, pv_view(request, len));
    if (r == PV_OK)
        r = read_answer(c, txid, answer);
    answer->rtt = pv_clock_now() - sent;
    return r;
}

/* With the certificate of anybody: what the answer says is no secret, and worth as much as by UDP.
 */
static int new_tls(struct pv_tls **ret_tls)
{
    static const struct pv_tls_peer peer = {.trust = PV_TLS_TRUST_ANY};
    char error[PV_TLS_ERROR_MAX];
    struct pv_tls_ctx *ctx = NULL;
    int r = pv_tls_ctx_new_client(&ctx, NULL, error);
    if (r == PV_OK)
        r = pv_tls_new_client(ret_tls, ctx, &peer);
    pv_tls_ctx_free(ctx);
    return r;
}

/* One server by TCP or TLS. Statuses as pv_netprobe_ask(); with PV_ERR_REFUSED answer->mapped may
 * be the server that it names instead. */
static int ask_stream(const struct pv_addr *server, bool tls, struct pv_netprobe_answer *answer)
{
    const struct pv_stream_bind anywhere = {.ifname = NULL};
    struct conn c = {.fd = -1, .until = pv_clock_now() + PV_MS(PV_NETPROBE_TCP_MS)};
    int r = pv_stream_connect(server, &anywhere, &c.fd);
    if (r == PV_OK && tls)
        r = new_tls(&c.tls);
    /* The socket belongs to c also when TLS could not be made: both are freed below. */
    if (r == PV_OK)
        r = ask_over(&c, answer);
    pv_tls_free(c.tls);
    if (c.fd >= 0)
        close(c.fd);
    /* Nobody listens there, which is an answer of the machine, unlike silence. */
    return r == -ECONNREFUSED ? PV_ERR_REFUSED : r;
}

enum {
    DATAGRAMS = 16,
    DATAGRAM_MAX = 2048,
    NAME_MAX_LEN = 255,
};

static size_t family_of(const struct pv_addr *a)
{
    return a->family == PV_AF_INET6 ? 1 : 0;
}

/* --- names --------------------------------------------------------------------------------- */

static void add_server(struct pv_netprobe_servers *s, const struct pv_addr *a)
{
    size_t f = family_of(a);
    if (s->n[f] < PV_NETCHECK_SERVERS)
        s->addr[f][s->n[f]++] = *a;
}

static int resolve_name(const char *host, uint16_t port, struct pv_netprobe_servers *s,
                        char error[static PV_NETPROBE_ERROR])
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *list = NULL;
    bool have[PV_NETPROBE_FAMILIES] = {false};
    int e = getaddrinfo(host, NULL, &hints, &list);
    if (e != 0) {
        /* The resolver's own reason is kept: "name not known" and "no network" ask for different
         * things. */
        snprintf(error, PV_NETPROBE_ERROR, "%.100s: %s: is the name right?", host, gai_strerror(e));
        return PV_ERR_NOT_FOUND;
    }
    for (const struct addrinfo *i = list; i != NULL; i = i->ai_next) {
        struct sockaddr_storage ss = {0};
        memcpy(&ss, i->ai_addr, i->ai_addrlen);
        /* A resolver may give IPv4 addresses mapped into IPv6: they belong to the other family. */
        struct pv_addr a = pv_addr_unmap(pv_sockaddr_to(&ss));
        a.port = port;
        /* One of each family: a second address of one server is not another server's. */
        if (a.family != PV_AF_NONE && !have[family_of(&a)])
            add_server(s, &a);
        if (a.family != PV_AF_NONE)
            have[family_of(&a)] = true;
    }
    freeaddrinfo(list);
    return PV_OK;
}

/* An address, also an IPv6 one in brackets without a port, as URLs have it. */
static int parse_ip(const char *text, struct pv_addr *ret_addr)
{
    char inner[PV_ADDR_TEXT];
    size_t len = strlen(text);
    if (text[0] != '[' || len < 2 || text[len - 1] != ']' || len - 2 >= sizeof(inner))
        return pv_addr_parse_ip(text, ret_addr);
    memcpy(inner, text + 1, len - 2);
    inner[len - 2] = '\0';
    int r = pv_addr_parse_ip(inner, ret_addr);
    return r == PV_OK && ret_addr->family != PV_AF_INET6 ? PV_ERR_MALFORMED : r;
}

/* Addresses are tried before names, so that "::1:80" is never taken for a host with a port; a name
 * is checked before the resolver sees it. */
static int resolve_one(const char *text, uint16_t port, struct pv_netprobe_servers *s,
                       char error[static PV_NETPROBE_ERROR])
{
    struct pv_addr a;
    char host[NAME_MAX_LEN + 1];
    uint64_t given = port;
    const char *colon = strrchr(text, ':');
    /* A server without a port gets the default one below. */
    if (pv_addr_parse(text, &a) == PV_OK && a.port != 0) {
        add_server(s, &a);
        return PV_OK;
    }
    if (parse_ip(text, &a) == PV_OK) {
        a.port = port;
        add_server(s, &a);
        return PV_OK;
    }
    size_t len = colon == NULL ? strlen(text) : (size_t)(colon - text);
    bool good = len > 0 && len <= NAME_MAX_LEN &&
                (colon == NULL || pv_u64_parse(colon + 1, 1, UINT16_MAX, &given) == PV_OK);
    /* These are the characters of host names, and "_" as many networks use it. Others would only
     * reach the resolver by mistake. */
    for (size_t i = 0; good && i < len; i++)
        good = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._",
                      text[i]) != NULL;
    if (!good) {
        snprintf(error, PV_NETPROBE_ERROR,
                 "\"%.100s\" is not a server: give HOST, HOST:PORT, ADDRESS:PORT or [IPV6]:PORT",
                 text);
        return PV_ERR_MALFORMED;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    return resolve_name(host, (uint16_t)given, s, error);
}

int pv_netprobe_resolve(const char *text, uint16_t port, struct pv_netprobe_servers *ret_servers,
                        char ret_error[static PV_NETPROBE_ERROR])
{
    char copy[PV_NETPROBE_TEXT_MAX];
    char *rest = NULL;
    struct pv_netprobe_servers s = {0};
    int r = PV_ERR_MALFORMED;
    snprintf(ret_error, PV_NETPROBE_ERROR, "the server's name is empty or too long");
    if (strlen(text) >= sizeof(copy))
        return PV_ERR_MALFORMED;
    memcpy(copy, text, strlen(text) + 1);
    /* strtok_r() writes into the text, so it gets a copy. */
    for (char *p = strtok_r(copy, ",", &rest); p != NULL; p = strtok_r(NULL, ",", &rest)) {
        r = resolve_one(p, port, &s, ret_error);
        if (r < 0)
            return r;
    }
    if (r == PV_OK)
        *ret_servers = s;
    return r;
}

/* --- one question by UDP --------------------------------------------------------------------- */

static int open_udp(uint16_t family, int *ret_fd)
{
    /* The port is the system's choice: a fresh mapping is measured, not one that other traffic
     * keeps. */
    static const struct pv_udp_opts opts = {0};
    const struct pv_addr any = {.family = family};
    return pv_udp_open(&any, &opts, ret_fd);
}

static void send_udp(int fd, const struct pv_addr *dst, struct pv_view data)
{
    struct pv_udp_counts counts = {0};
    const struct pv_udp_out out = {.dst = *dst, .data = data};
    pv_udp_send(fd, &out, 1, &counts);
}

/* Drives one STUN client by hand until it knows or time is up. Strangers' datagrams are dropped by
 * the client itself. */
static int run_stunc(struct pv_stunc *c, int fd, struct pv_udp_receiver *rx, pv_ns until,
                     struct pv_stunc_event *ret_event)
{
    while (pv_clock_now() < until) {
        uint8_t buf[PV_STUNC_MTU];
        size_t len = 0;
        struct pv_udp_in *in = NULL;
        size_t n = 0;
        pv_stunc_handle_timeout(c, pv_clock_now());
        while (pv_stunc_poll_transmit(c, buf, sizeof(buf), &len) == PV_OK)
            send_udp(fd, &c->cfg.server, pv_view(buf, len));
        if (pv_stunc_poll_event(c, ret_event) == PV_OK)
            return PV_OK;
        int r = wait_for(fd, POLLIN, pv_min_ns(until, pv_stunc_next_timeout(c)));
        if (r < 0 && r != PV_ERR_AGAIN)
            return r;
        if (r < 0 || pv_udp_recv(rx, fd, &in, &n) < 0)
            continue;
        pv_ns now = pv_clock_now();
        for (size_t i = 0; i < n; i++)
            if (!in[i].cut &&
                pv_stunc_handle_input(c, &in[i].src, pv_view(in[i].ptr, in[i].len), now) == PV_OK)
                break;
        if (pv_stunc_poll_event(c, ret_event) == PV_OK)
            return PV_OK;
    }
    return PV_ERR_TIMEOUT;
}

static int ask_udp(const struct pv_addr *server, struct pv_netprobe_answer *answer)
{
    struct pv_rng rng = pv_entropy();
    /* A person waits for this: the defaults of RFC 8489, section 6.2.1, would take 39.5 s. */
    const struct pv_stunc_config cfg = {.server = *server, .rto = PV_MS(200), .max_sends = 5};
    struct pv_udp_receiver *rx = NULL;
    struct pv_stunc_event event = {.status = PV_OK};
    struct pv_stunc c;
    int fd = -1;
    int r = pv_udp_receiver_new(&rx, DATAGRAMS, DATAGRAM_MAX);
    if (r == PV_OK)
        r = open_udp(server->family, &fd);
    if (r == PV_OK) {
        pv_ns now = pv_clock_now();
        pv_stunc_start(&c, &cfg, &rng, now);
        r = run_stunc(&c, fd, rx, now + PV_MS(PV_NETPROBE_STUN_MS), &event);
        close(fd);
    }
    pv_udp_receiver_free(rx);
    if (r == PV_OK && event.type == PV_STUNC_FAILED)
        r = event.status;
    /* An error may carry an alternate server, which may_follow() judges. */
    answer->mapped = r == PV_OK ? event.mapped : event.alternate;
    answer->rtt = event.rtt;
    return r;
}

/* May the next request go there? A server's word sends us to the same family, to no address that
 * is no server's, and nowhere twice (RFC 8489 s10). */
static bool may_follow(const struct pv_addr *to, const struct pv_addr *asked, size_t n)
{
    bool here = pv_addr_is_loopback(to) && pv_addr_is_loopback(&asked[0]) && to->port != 0;
    if (to->family != asked[0].family || !(here || pv_addr_is_usable_remote(to)))
        return false;
    for (size_t i = 0; i < n; i++)
        if (pv_addr_equal(to, &asked[i]))
            return false;
    return true;
}

int pv_netprobe_ask(const struct pv_addr *server, enum pv_netprobe_way way,
                    struct pv_netprobe_answer *ret_answer)
{
    struct pv_addr asked[PV_NETPROBE_ALTERNATES + 1];
    struct pv_addr next = *server;
    for (size_t n = 0; n < PV_ARRAY_LEN(asked); n++) {
        struct pv_netprobe_answer answer = {.server = next};
        asked[n] = next;
        int r = way == PV_NETPROBE_UDP ? ask_udp(&next, &answer)
                                       : ask_stream(&next, way == PV_NETPROBE_TLS, &answer);
        if (r == PV_OK)
            *ret_answer = answer;
        /* Only 300 (Try Alternate) leads on; any other answer is the result. */
        if (r != PV_ERR_REFUSED || !may_follow(&answer.mapped, asked, n + 1))
            return r;
        next = answer.mapped;
    }
    return PV_ERR_REFUSED;
}

/* --- measuring ----------------------------------------------------------------------------- */

struct measure {
    struct pv_netcheck nc;
    int fds[PV_NETCHECK_SOCKETS];
    size_t n_fds;
    bool running;
};

static void close_all(struct measure *m)
{
    for (size_t i = 0; i < m->n_fds; i++)
        close(m->fds[i]);
    m->n_fds = 0;
}

/* The address this machine uses towards the server. */
static int local_towards(const struct pv_addr *server, struct pv_addr *ret_local)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(server, &ss);
    /* connect() of a UDP socket sends nothing: it only makes the kernel choose a route and an
     * address. */
    int fd = socket(server->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = connect(fd, (const struct sockaddr *)&ss, len) < 0 ? -errno : PV_OK;
    if (r == PV_OK)
        r = pv_udp_local(fd, ret_local);
    close(fd);
    return r;
}

static int open_sockets(struct measure *m, struct pv_netcheck_config *cfg,
                        const struct pv_addr *local)
{
    /* Fewer sockets without the lifetime: each one costs a mapping in the NAT. */
    size_t n = cfg->lifetime ? PV_NETCHECK_SOCKETS : PV_NETCHECK_SOCKETS_SHORT;
    for (size_t i = 0; i < n; i++) {
        struct pv_addr bound;
        int r = open_udp(local->family, &m->fds[i]);
        if (r < 0)
            return r;
        m->n_fds++;
        r = pv_udp_local(m->fds[i], &bound);
        if (r < 0)
            return r;
        cfg->local[i] = *local;
        cfg->local[i].port = bound.port;
    }
    return PV_OK;
}

static void pump(struct measure *m, struct pv_netcheck_result *result)
{
    uint8_t buf[PV_NETCHECK_MTU];
    struct pv_netcheck_send s;
    while (pv_netcheck_poll_transmit(&m->nc, buf, &s) == PV_OK)
        if (s.sock < m->n_fds)
            send_udp(m->fds[s.sock], &s.dst, pv_view(buf, s.len));
    if (pv_netcheck_poll_event(&m->nc, result) == PV_OK)
        m->running = false;
}

static void receive(struct measure *m, unsigned sock, struct pv_udp_receiver *rx)
{
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    if (pv_udp_recv(rx, m->fds[sock], &in, &n) < 0)
        return;
    pv_ns now = pv_clock_now();
    for (size_t i = 0; i < n; i++) {
        if (!in[i].cut) /* answers to repeated requests are refused, and what is not ours */
            (void)!pv_netcheck_handle_input(&m->nc, sock, &in[i].src, pv_view(in[i].ptr, in[i].len),
                                            now);
    }
}

/* The router is asked from a socket of its own. */
struct router {
    struct pv_routercheck rc;
    int fd;
    bool running;
};

static void start_router(struct router *r, const struct pv_addr *local)
{
    const struct pv_net_sender us = {.uid = PV_NET_SELF};
    const struct pv_addr far = pv_net_far(PV_AF_INET);
    struct pv_net_way way;
    r->fd = -1;
    /* Without a router the machine still runs, and reports that nothing was found. */
    if (pv_net_way(&far, &us, &way) < 0 || open_udp(PV_AF_INET, &r->fd) < 0)
        way.router.family = PV_AF_NONE;
    r->running = true;
    pv_routercheck_start(&r->rc, &way.router, local, pv_clock_now());
}

static void pump_router(struct router *r, struct pv_routercheck_result *result)
{
    uint8_t buf[PV_ROUTERCHECK_MTU];
    struct pv_addr dst;
    size_t len = 0;
    if (!r->running)
        return;
    pv_routercheck_handle_timeout(&r->rc, pv_clock_now());
    while (pv_routercheck_poll_transmit(&r->rc, buf, &dst, &len) == PV_OK)
        send_udp(r->fd, &dst, pv_view(buf, len));
    if (pv_routercheck_poll_event(&r->rc, result) == PV_OK)
        r->running = false;
}

static void receive_router(struct router *r, struct pv_udp_receiver *rx)
{
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    if (pv_udp_recv(rx, r->fd, &in, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        if (!in[i].cut) /* other devices answer searches too, and are refused */
            (void)!pv_routercheck_handle_input(&r->rc, &in[i].src, pv_view(in[i].ptr, in[i].len),
                                               pv_clock_now());
    }
}

/* Sleeps until something is due or arrives, and hands it in. */
static void step(struct measure *m, size_t n, struct router *r, struct nettrace *t,
                 struct pv_udp_receiver *rx)
{
    struct pollfd polls[PV_NETPROBE_FAMILIES * PV_NETCHECK_SOCKETS + 1 + PV_ROUTERCHECK_HOPS];
    nfds_t n_polls = 0;
    pv_ns next = r->running ? pv_routercheck_next_timeout(&r->rc) : PV_NEVER;
    next = pv_min_ns(next, nettrace_next_timeout(t));
    /* The order of the descriptors is the order in which they are looked at below. */
    polls[n_polls++] = (struct pollfd){.fd = r->running ? r->fd : -1, .events = POLLIN};
    for (size_t i = 0; i < PV_ROUTERCHECK_HOPS; i++)
        polls[n_polls++] = (struct pollfd){.fd = t->running ? t->fds[i] : -1, .events = POLLIN};
    for (size_t f = 0; f < n; f++) {
        for (size_t i = 0; m[f].running && i < m[f].n_fds; i++)
            polls[n_polls++] = (struct pollfd){.fd = m[f].fds[i], .events = POLLIN};
        if (m[f].running)
            next = pv_min_ns(next, pv_netcheck_next_timeout(&m[f].nc));
    }
    pv_ns now = pv_clock_now();
    /* ppoll(), because poll()'s milliseconds are too coarse for a round trip in a local network. */
    const struct timespec wait = {
        .tv_sec = next > now ? (time_t)((next - now) / PV_S(1)) : 0,
        .tv_nsec = next > now ? (long)((next - now) % PV_S(1)) : 0,
    };
    if (ppoll(polls, n_polls, &wait, NULL) < 0)
        return;
    size_t at = 1;
    if (polls[0].revents != 0)
        receive_router(r, rx);
    for (size_t i = 0; i < PV_ROUTERCHECK_HOPS; i++)
        if (polls[at++].revents != 0)
            nettrace_handle_ready(t, i);
    for (size_t f = 0; f < n; f++)
        for (unsigned i = 0; m[f].running && i < m[f].n_fds; i++)
            if (polls[at++].revents != 0)
                receive(&m[f], i, rx);
}

static int start(struct measure *m, const struct pv_netprobe_servers *servers, size_t f,
                 bool lifetime, struct pv_netprobe_report *report)
{
    struct pv_netcheck_config cfg = {.n_servers = servers->n[f], .lifetime = lifetime};
    struct pv_rng rng = pv_entropy();
    memcpy(cfg.servers, servers->addr[f], sizeof(cfg.servers));
    /* A family without a route is not measured; that is no error. */
    if (cfg.n_servers == 0 || local_towards(&cfg.servers[0], &report->local[f]) < 0)
        return PV_OK; /* no such family here */
    report->local[f].port = 0;
    int r = open_sockets(m, &cfg, &report->local[f]);
    if (r < 0)
        return r;
    report->tried[f] = true;
    m->running = true;
    pv_netcheck_start(&m->nc, &cfg, &rng, pv_clock_now());
    return PV_OK;
}

int pv_netprobe_run(const struct pv_netprobe_servers *servers, bool lifetime,
                    struct pv_netprobe_report *ret_report)
{
    struct measure m[PV_NETPROBE_FAMILIES] = {0};
    struct pv_netprobe_report report = {0};
    struct router router = {.fd = -1};
    struct nettrace trace = {.running = false};
    struct pv_udp_receiver *rx = NULL;
    int r = pv_udp_receiver_new(&rx, DATAGRAMS, DATAGRAM_MAX);
    for (size_t f = 0; r == PV_OK && f < PV_NETPROBE_FAMILIES; f++)
        r = start(&m[f], servers, f, lifetime, &report);
    /* Routers map ports, and networks nest, for IPv4 alone. */
    if (r == PV_OK && report.tried[0]) {
        start_router(&router, &report.local[0]);
        nettrace_start(&trace, &servers->addr[0][0], pv_clock_now());
    }
    while (r == PV_OK && (m[0].running || m[1].running || router.running || trace.running)) {
        for (size_t f = 0; f < PV_NETPROBE_FAMILIES; f++) {
            if (!m[f].running)
                continue;
            pv_netcheck_handle_timeout(&m[f].nc, pv_clock_now());
            pump(&m[f], &report.result[f]);
        }
        pump_router(&router, &report.router);
        nettrace_handle_timeout(&trace, pv_clock_now());
        /* A check that ended in this round needs no sleep. */
        if (m[0].running || m[1].running || router.running || trace.running)
            step(m, PV_NETPROBE_FAMILIES, &router, &trace, rx);
    }
    report.trace = trace.trace;
    /* The trace was started only in this case. */
    if (report.tried[0])
        nettrace_done(&trace);
    if (router.fd >= 0)
        close(router.fd);
    for (size_t f = 0; f < PV_NETPROBE_FAMILIES; f++)
        close_all(&m[f]);
    pv_udp_receiver_free(rx);
    if (r == PV_OK)
        *ret_report = report;
    return r;
}

/* --- does a machine answer? ----------------------------------------------------------------- */

/* The address of this machine is named, for without it the packet might leave by another way. */
static int begin_try(int fd, const struct pv_addr *from, const struct pv_addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len = pv_sockaddr_from(from, &ss);
    if (bind(fd, (struct sockaddr *)&ss, len) != 0)
        return errno;
    len = pv_sockaddr_from(to, &ss);
    return connect(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : errno;
}

/* RFC 1812 s5.2.7.1, RFC 4443 s3.1: what the kernel makes of ICMP's "administratively prohibited".
 */
static bool is_prohibited(int error)
{
    return error == EHOSTUNREACH || error == ENETUNREACH || error == EACCES;
}

enum pv_tcptry pv_tcptry(const struct pv_addr *from, const struct pv_addr *to, int timeout_ms)
{
    const int domain = to->family == PV_AF_INET6 ? AF_INET6 : AF_INET;
    int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return PV_TCPTRY_UNKNOWN;
    int error = begin_try(fd, from, to);
    bool began = error == EINPROGRESS;
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof(error);
    if (began && poll(&pfd, 1, timeout_ms) == 0)
        error = ETIMEDOUT;
    else if (began && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    close(fd);
    return error == 0 || error == ECONNREFUSED ? PV_TCPTRY_ANSWERS
           : error == ETIMEDOUT                ? PV_TCPTRY_SILENT
           : began && is_prohibited(error)     ? PV_TCPTRY_KEPT_OUT
                                               : PV_TCPTRY_UNKNOWN;
}
