/* SPDX-License-Identifier: MIT */
/* One Binding request by TCP or TLS (RFC 8489 s6.2.2, s6.2.3). */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "ctl/probe/netprobe_int.h"
#include "proto/stun/stun.h"
#include "sys/net/stream.h"
#include "sys/net/tls.h"
#include "sys/proc/clock.h"
#include "sys/proc/entropy.h"

enum {
    ANSWER_MAX = 1024,
    CHUNK = 4096,
};

struct conn {
    int fd;
    struct pv_tls *tls; /* NULL: TCP alone */
    pv_ns until;
};

static int wait_for(const struct conn *c, short events)
{
    struct pollfd p = {.fd = c->fd, .events = events};
    /* The one deadline covers the connection, TLS and the answer: a server that gives a byte a
     * second cannot hold the command. */
    pv_ns now = pv_clock_now();
    if (now >= c->until)
        return PV_ERR_TIMEOUT;
    int n = poll(&p, 1, (int)((c->until - now) / PV_MS(1)) + 1);
    return n < 0 && errno != EINTR ? -errno : PV_OK;
}

static int write_wire(const struct conn *c, struct pv_view data, size_t *ret_n)
{
    int r = PV_ERR_AGAIN;
    while (r == PV_ERR_AGAIN) {
        r = pv_stream_write(c->fd, data, ret_n);
        int w = r == PV_ERR_AGAIN ? wait_for(c, POLLOUT) : PV_OK;
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
        int w = r == PV_ERR_AGAIN ? wait_for(c, POLLIN) : PV_OK;
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
        r = wait_for(c, POLLOUT);
        if (r == PV_OK)
            r = pv_stream_connected(c->fd);
    }
    return r;
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
        pv_netprobe_take_alternate(&msg, answer);
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

int pv_netprobe_ask_stream(const struct pv_addr *server, bool tls,
                           struct pv_netprobe_answer *answer)
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
