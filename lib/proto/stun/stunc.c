/* SPDX-License-Identifier: MIT */
/*
 * stunc.c - one Binding transaction with one server: sends, repeats, and reads the answer (RFC 8489
 * s6.2.1). The transaction id is the only thing that protects the answer from forgery by hosts off
 * the path, so every start draws a new one, and the source address is checked as well.
 */
#include "proto/stun/stunc.h"

#include <string.h>

static const pv_ns DEFAULT_RTO = PV_MS(500); /* RFC 8489 s6.2.1 */

static void draw_txid(struct pv_stunc *c)
{
    pv_rng_fill(&c->rng, c->txid, sizeof(c->txid));
}

void pv_stunc_start(struct pv_stunc *c, const struct pv_stunc_config *cfg, const struct pv_rng *rng,
                    pv_ns now)
{
    *c = (struct pv_stunc){.cfg = *cfg, .rng = *rng, .running = true, .send_due = true};
    if (c->cfg.rto == 0)
        c->cfg.rto = DEFAULT_RTO;
    if (c->cfg.max_sends == 0)
        c->cfg.max_sends = PV_STUNC_MAX_SENDS;
    if (c->cfg.padding > PV_STUNC_MAX_PADDING)
        c->cfg.padding = PV_STUNC_MAX_PADDING;
    c->now = now;
    c->deadline = now;
    c->wait = c->cfg.rto;
    draw_txid(c);
}

void pv_stunc_stop(struct pv_stunc *c)
{
    *c = (struct pv_stunc){.deadline = PV_NEVER};
}

bool pv_stunc_is_running(const struct pv_stunc *c)
{
    return c->running;
}

static void end_transaction(struct pv_stunc *c, struct pv_stunc_event event)
{
    c->running = false;
    c->send_due = false;
    c->deadline = PV_NEVER;
    c->event = event;
    c->event_due = true;
}

static void finish_failed(struct pv_stunc *c, int status, unsigned error)
{
    end_transaction(
        c, (struct pv_stunc_event){.type = PV_STUNC_FAILED, .status = status, .error = error});
}

/* A server may refuse PADDING as unknown (420). It is asked again without PADDING, as a new
 * transaction. Any other error ends the measurement, because the same request would bring the same
 * answer. */
static void retry_or_finish(struct pv_stunc *c, const struct pv_stun_msg *msg, pv_ns now)
{
    unsigned code;
    if (pv_stun_get_error(msg, &code) < 0) {
        finish_failed(c, PV_ERR_MALFORMED, 0);
        return;
    }
    if (code == PV_STUN_E_UNKNOWN_ATTRIBUTE && c->cfg.padding > 0) {
        struct pv_stunc_config cfg = c->cfg;
        struct pv_rng rng = c->rng;
        cfg.padding = 0;
        pv_stunc_start(c, &cfg, &rng, now);
        return;
    }
    struct pv_addr other = {.family = PV_AF_NONE};
    if (code == PV_STUN_E_TRY_ALTERNATE &&
        pv_stun_get_addr(msg, PV_STUN_ATTR_ALTERNATE_SERVER, &other) < 0)
        other.family = PV_AF_NONE;
    end_transaction(c, (struct pv_stunc_event){.type = PV_STUNC_FAILED,
                                               .status = PV_ERR_REFUSED,
                                               .error = code,
                                               .alternate = other});
}

/* Returns true if a success may come from this address. With CHANGE-REQUEST it must come from
 * another address or port (RFC 5780 s6.1): an answer from the usual one proves nothing. Errors come
 * from where the request went. */
static bool is_from(const struct pv_stunc *c, const struct pv_addr *src)
{
    const struct pv_addr *server = &c->cfg.server;
    return pv_addr_equal_ip(src, server) == ((c->cfg.change & PV_STUNC_CHANGE_IP) == 0) &&
           (src->port == server->port) == ((c->cfg.change & PV_STUNC_CHANGE_PORT) == 0);
}

/* The order of the tests is from cheap to dear, and nothing changes state before the id has
 * matched: datagrams of strangers must not be able to end a transaction. */
int pv_stunc_handle_input(struct pv_stunc *c, const struct pv_addr *src, struct pv_view datagram,
                          pv_ns now)
{
    bool from_server = pv_addr_equal(src, &c->cfg.server);
    if (!c->running || c->sends == 0 || (!from_server && !is_from(c, src)))
        return PV_ERR_NOT_FOUND;
    struct pv_stun_msg msg;
    int r = pv_stun_decode(datagram, &msg);
    if (r < 0)
        return r;
    if (msg.method != PV_STUN_BINDING || memcmp(msg.txid, c->txid, sizeof(c->txid)) != 0)
        return PV_ERR_NOT_FOUND;
    if (pv_stun_has(&msg, PV_STUN_ATTR_FINGERPRINT) && pv_stun_check_fingerprint(&msg) < 0)
        return PV_ERR_MALFORMED;

    if (msg.cls == PV_STUN_ERROR && from_server) {
        retry_or_finish(c, &msg, now);
        return PV_OK;
    }
    if (msg.cls != PV_STUN_SUCCESS)
        return PV_ERR_NOT_FOUND;
    if (!is_from(c, src)) { /* it ignored what it does not know */
        finish_failed(c, PV_ERR_UNSUPPORTED, 0);
        return PV_OK;
    }

    struct pv_addr mapped;
    r = pv_stun_get_xor_addr(&msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    if (r == PV_ERR_NOT_FOUND) /* servers of RFC 3489 know MAPPED-ADDRESS alone */
        r = pv_stun_get_addr(&msg, PV_STUN_ATTR_MAPPED_ADDRESS, &mapped);
    if (r < 0) {
        finish_failed(c, PV_ERR_MALFORMED, 0);
        return PV_OK;
    }
    end_transaction(c, (struct pv_stunc_event){
                           .type = PV_STUNC_MAPPED, .mapped = mapped, .rtt = now - c->last_sent});
    return PV_OK;
}

void pv_stunc_handle_timeout(struct pv_stunc *c, pv_ns now)
{
    c->now = now;
    if (!c->running || c->send_due || now < c->deadline)
        return;
    if (c->sends >= c->cfg.max_sends)
        finish_failed(c, PV_ERR_TIMEOUT, 0);
    else
        c->send_due = true;
}

pv_ns pv_stunc_next_timeout(const struct pv_stunc *c)
{
    return c->running ? c->deadline : PV_NEVER;
}

/* RFC 8489 s6.2.1: waits double from RTO, and after the last request Rm times RTO remain for an
 * answer. The wait starts when the datagram is handed out, not when it fell due, so a delayed loop
 * does not shorten it. */
int pv_stunc_poll_transmit(struct pv_stunc *c, uint8_t *buf, size_t cap, size_t *ret_len)
{
    if (!c->running || !c->send_due)
        return PV_ERR_AGAIN;
    struct pv_stun_writer w;
    pv_stun_write_begin(&w, buf, cap, PV_STUN_REQUEST, PV_STUN_BINDING, c->txid);
    if (c->cfg.padding > 0)
        pv_stun_put_padding(&w, c->cfg.padding);
    if (c->cfg.change != 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_CHANGE_REQUEST, c->cfg.change);
    if (c->cfg.response_port != 0) /* and two bytes of padding inside, RFC 5780 s7.5 */
        pv_stun_put_u32(&w, PV_STUN_ATTR_RESPONSE_PORT, (uint32_t)c->cfg.response_port << 16);
    pv_stun_put_fingerprint(&w);
    int r = pv_stun_write_end(&w, ret_len);
    if (r < 0)
        return r;

    c->send_due = false;
    c->last_sent = c->now;
    c->sends++;
    if (c->sends >= c->cfg.max_sends) {
        c->deadline = c->now + c->cfg.rto * PV_STUNC_LAST_WAIT;
    } else {
        c->deadline = c->now + c->wait;
        c->wait *= 2;
    }
    return PV_OK;
}

int pv_stunc_poll_event(struct pv_stunc *c, struct pv_stunc_event *ret_event)
{
    if (!c->event_due)
        return PV_ERR_AGAIN;
    c->event_due = false;
    *ret_event = c->event;
    return PV_OK;
}
