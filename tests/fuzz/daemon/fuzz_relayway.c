/* SPDX-License-Identifier: MIT */
/*
 * fuzz_relayway.c - the way to a TURN server as a sequence of calls, times, connections and
 * messages: it stays within its bounds, its timers move on, its streams are opened and closed in
 * pairs, what it sends decodes, and data goes by a stream that is open or to a server it has.
 *
 * Input: one byte of settings, then records of what, and two bytes of argument. With setting 32 the
 * way moves to other servers, and may hold the one before (relayway.c).
 */
#include <string.h>

#include "daemon/core/relay/relayway.h"
#include "tests/fuzz/fuzz_util.h"

struct world {
    struct pv_relayway *r;
    struct pv_relayway_config cfg;
    uint8_t key[PV_MD5_LEN];
    uint8_t req[PV_TURNC_MTU];
    size_t req_len;
    uint16_t req_stream, open; /* open: the stream that is, 0 = none */
    uint16_t former;           /* and the one before, which is held */
    unsigned kinds;            /* of records */
    pv_ns now;
};

/* A way that opens a stream while it has one holds that one. */
static void take_op(struct world *w, const struct pv_relaystream_op *op)
{
    must(op->stream != 0 && pv_relayway_of_stream(op->stream) == 1);
    if (op->open) {
        must(w->open == 0 || w->former == 0);
        w->former = w->open != 0 ? w->open : w->former;
        w->open = op->stream;
    } else if (op->stream == w->former) {
        w->former = 0;
    } else {
        must(op->stream == w->open);
        w->open = 0;
    }
}

static void look(const struct world *w)
{
    struct pv_fp_relay_way fp = pv_relayway_fp_way(w->r);
    must(fp.stream == 0 || fp.stream == w->open);
    must(fp.former_stream == 0 || fp.former_stream == w->former || fp.former_stream == w->open);
    must(fp.former_stream == 0 || fp.former.family != PV_AF_NONE);
}

static void count_event(void *n, uint16_t via, const struct pv_relayway_event *ev)
{
    must(++*(unsigned *)n < 2000);
}

static void drain(struct world *w)
{
    uint8_t buf[PV_TURNC_MTU];
    struct pv_relayway_message m = {.buf = buf, .cap = sizeof(buf)};
    struct pv_relaystream_op op;
    struct pv_stun_msg msg;
    unsigned n = 0;
    (void)pv_relayway_speak(w->r, count_event, &n, w->now);
    while (pv_relayway_poll_op(w->r, &op) == PV_OK)
        take_op(w, &op);
    look(w);
    while (pv_relayway_poll_transmit(w->r, &m) == PV_OK) {
        must(pv_stun_decode(pv_view(buf, m.len), &msg) == PV_OK && msg.cls == PV_STUN_REQUEST);
        must(m.stream == 0 ? w->cfg.udp : m.stream == w->open);
        memcpy(w->req, buf, m.len);
        w->req_len = m.len;
        w->req_stream = m.stream;
        must(++n < 4000);
    }
}

static void answer(struct world *w, uint8_t how, uint8_t arg)
{
    static const unsigned ERRORS[] = {400, 401, 403, 437, 438, 441, 486, 508, 300};
    const struct pv_addr alternate = pv_addr4(198, 51, 100, arg, 3478);
    struct pv_carrier from = {.kind = PV_CARRIER_UDP, .remote = *pv_relayway_server(w->r)};
    struct pv_addr relayed = pv_addr4(192, 0, 2, 1, (uint16_t)(49152 + arg));
    struct pv_stun_msg msg;
    struct pv_stun_writer out;
    uint8_t buf[512];
    size_t len;
    if (w->req_len == 0 || pv_stun_decode(pv_view(w->req, w->req_len), &msg) != PV_OK)
        return;
    if (w->req_stream != 0)
        from = (struct pv_carrier){.kind = PV_CARRIER_STREAM, .sock = w->req_stream};
    bool ok = (how & 1) != 0;
    pv_stun_write_answer(&out, buf, sizeof(buf), ok ? PV_STUN_SUCCESS : PV_STUN_ERROR, &msg);
    if (!ok)
        pv_stun_put_error(&out, ERRORS[arg % 9], "");
    if ((how & 16) != 0)
        pv_stun_put_addr(&out, PV_STUN_ATTR_ALTERNATE_SERVER, &alternate);
    if ((how & 2) != 0)
        pv_stun_put_xor_addr(&out, PV_TURN_ATTR_XOR_RELAYED_ADDRESS, &relayed);
    if ((how & 4) != 0) {
        pv_stun_put(&out, PV_STUN_ATTR_REALM, pv_view("r", 1));
        pv_stun_put(&out, PV_STUN_ATTR_NONCE, pv_view(&arg, 1));
    }
    if ((how & 8) == 0)
        pv_stun_put_integrity(&out, pv_view(w->key, sizeof(w->key)));
    if (pv_stun_write_end(&out, &len) == PV_OK)
        (void)!pv_relayway_handle_input(w->r, &from, pv_view(buf, len), w->now);
}

static void look_at_carrier(const struct world *w, const struct pv_addr *peer)
{
    struct pv_fp_relay_way fp = pv_relayway_fp_way(w->r);
    struct pv_carrier c;
    if (!pv_relayway_carrier(w->r, peer, &c))
        return;
    bool to_former = pv_addr_equal(&c.relay, &fp.former);
    must(to_former || pv_addr_equal(&c.relay, &fp.server));
    if (c.kind == PV_CARRIER_STREAM)
        must(c.sock != 0 && (c.sock == fp.stream || (to_former && c.sock == fp.former_stream)));
    else
        must(c.sock == 0);
}

/* The home of the network is elsewhere now, and the relay before may go on for a while. */
static void move(struct world *w, uint8_t a, uint8_t b)
{
    w->cfg.turn.server = pv_addr4(192, 0, 2, b % 4, 3478);
    if (w->cfg.to.addr.family != PV_AF_NONE)
        w->cfg.to.addr = w->cfg.turn.server;
    w->cfg.held = a % 4 != 0 && pv_relayway_can_hold(w->r);
    must(pv_relayway_start(w->r, &w->cfg, w->now) == PV_OK);
}

static void step(struct world *w, uint8_t what, uint8_t a, uint8_t b)
{
    uint8_t buf[256];
    struct pv_relayway_message m = {.buf = buf, .cap = sizeof(buf)};
    struct pv_addr peer = pv_addr4(203, 0, 113, a, b);
    const struct pv_addr addrs[3] = {pv_addr4(192, 0, 2, b % 4, 3478), pv_addr4(192, 0, 2, 8, 3478),
                                     pv_addr4(192, 0, 2, 9, 3478)};
    switch (what % w->kinds) {
    case 0:
        must(pv_relayway_start(w->r, &w->cfg, w->now) == PV_OK);
        break;
    case 1:
        answer(w, a, b);
        break;
    case 2:
        w->now += PV_MS(1) * a * (b + 1u);
        break;
    case 3:
        if (pv_relayway_wrap(w->r, &peer, pv_view(&a, 1), &m) == PV_OK)
            must(m.stream == 0 || m.stream == w->open);
        look_at_carrier(w, &peer);
        break;
    case 4:
        pv_relayway_connected(w->r, w->open, w->now);
        break;
    case 5: {
        uint16_t *ended = w->former != 0 && a % 2 != 0 ? &w->former : &w->open;
        pv_relayway_closed(w->r, *ended, "closed", w->now);
        *ended = 0;
        break;
    }
    case 6:
        pv_relayway_set_blocked(w->r, a % 2 != 0, w->now);
        break;
    case 7:
        pv_relayway_moved(w->r, w->now);
        break;
    case 8:
        if (a % 8 == 0)
            pv_relayway_stop(w->r, w->now);
        else
            pv_relayway_kick(w->r, w->now);
        break;
    case 10:
        pv_relayway_set_addrs(w->r, addrs, a % 3u + 1, w->now);
        break;
    case 11:
        if (a % 2 != 0)
            pv_relayway_suspect(w->r, &peer, w->now);
        else
            pv_relayway_healed(w->r, &peer, w->now);
        break;
    case 12:
        move(w, a, b);
        break;
    case 13:
        if (a % 8 == 7)
            pv_relayway_unbind(w->r, &peer, w->now);
        else if (!w->cfg.turn.permissions)
            (void)!pv_relayway_bind(w->r, &peer, w->now);
        break;
    default:
        if (pv_relayway_next_timeout(w->r) != PV_NEVER && pv_relayway_next_timeout(w->r) > w->now)
            w->now = pv_relayway_next_timeout(w->r);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t counter = 1, how = len > 0 ? data[0] : 0;
    struct pv_rng rng = {.fill = fuzz_fill_count, .ctx = &counter};
    struct world w = {
        .cfg = {.turn = {.server = pv_addr4(192, 0, 2, 1, 3478),
                         .user = "u",
                         .password = "p",
                         .realm = "r",
                         .permissions = (how & 1) != 0},
                .udp = (how & 2) == 0,
                .keep = (how & 4) != 0},
        .kinds = (how & 32) != 0 ? 14 : 12,
        .now = PV_S(1),
    };
    if ((how & 8) == 0 || !w.cfg.udp)
        w.cfg.to.addr = w.cfg.turn.server;
    if ((how & 16) != 0 && w.cfg.turn.permissions) {
        w.cfg.n_others = 2;
        w.cfg.others[0] = pv_addr4(192, 0, 2, 2, 3478);
        w.cfg.others[1] = pv_addr4(192, 0, 2, 3, 3478);
    }
    must(pv_relayway_new(&w.r, 1, &rng) == PV_OK && pv_turn_key("u", "r", "p", w.key) == PV_OK);
    for (size_t i = 1; i + 2 < len; i += 3) {
        step(&w, data[i], data[i + 1], data[i + 2]);
        drain(&w);
        pv_relayway_handle_timeout(w.r, w.now);
        drain(&w);
        must(pv_relayway_next_timeout(w.r) > w.now);
    }
    pv_relayway_free(w.r);
    return 0;
}
