/* SPDX-License-Identifier: MIT */
/*
 * STUN and TURN through both halves of the coordinator: bytes of two connections cut anywhere,
 * datagrams, the relay's turn at any moment, time, connections closed, members that come and go.
 *
 * Input: records {op, arg}: 0 bytes (arg = length, then the bytes) of connection 0, 1 of connection
 * 1; 2 the relay's turn; 3 the control half's; 4 arg seconds pass; 5 connection arg is closed; 6 a
 * whole Allocate of the static user on connection arg, with the nonce that it was given last. With
 * the highest bit of op set: 0 member arg comes online; 1 goes offline; 2 is gone; 3 was seen at
 * address arg; 5 a datagram (arg = length, then the bytes) comes
 * from the first client; 6 a whole Allocate, with the credentials of the last welcome, on
 * connection arg; else the operator changes limits.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/coord.h"
#include "coordinator/core/turn/relaycore.h"
#include "coordinator/core/turn/stunconn.h"
#include "crypto/ct.h"
#include "proto/stun/stun.h"
#include "proto/stun/turn.h"
#include "tests/fuzz/coordinator/relay_turn.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/coordinator/core/turn/turn_counts.h"

enum {
    CONNS = 2,
    MEMBERS = 4,
    FIRST = 7, /* id of connection 0 */
};

struct world {
    uint64_t random;
    struct pv_rng rng;
    struct pv_coord *coord;
    struct pv_relaycore *relay;
    pv_ns now;
    bool open[CONNS];
    char nonce[PV_TURNAUTH_NONCE_BUF];
    struct pv_turnauth_creds creds; /* of the last welcome; user is "" before it */
};

/* The words that a client would have learnt from an answer. */
static void look_at(struct world *w, struct pv_view out)
{
    struct pv_stun_msg msg;
    struct pv_view nonce;
    size_t len = out.len >= 20 ? 20u + pv_load_be16(out.ptr + 2) : 0;
    if (len == 0 || len > out.len || pv_stun_decode(pv_view(out.ptr, len), &msg) < 0 ||
        pv_stun_find(&msg, PV_STUN_ATTR_NONCE, &nonce) < 0)
        return;
    must(nonce.len < sizeof(w->nonce));
    memset(w->nonce, 0, sizeof(w->nonce));
    memcpy(w->nonce, nonce.ptr, nonce.len);
}

static void control_turn(struct world *w)
{
    struct pv_coord_ready ready;
    struct pv_coord_stats stats;
    while (!pv_coord_handle_relay(w->coord, w->now))
        ;
    for (size_t i = 0; i < CONNS; i++) {
        struct pv_view out = pv_coord_out(w->coord, FIRST + i);
        must(out.len <= PV_STUNCONN_OUT_MAX || !w->open[i]);
        if (out.len == 0)
            continue;
        look_at(w, out);
        pv_coord_wrote(w->coord, FIRST + i, out.len, w->now);
    }
    while (pv_coord_poll_ready(w->coord, &ready, w->now) == PV_OK) {
        if (ready.kind == PV_COORD_READY_CLOSE)
            w->open[ready.id - FIRST] = false;
    }
    pv_coord_stats(w->coord, &stats);
    must(stats.conns == (size_t)w->open[0] + w->open[1]);
}

static void feed(struct world *w, size_t conn, struct pv_view bytes)
{
    struct pv_addr src = pv_addr4(192, 0, 2, (uint8_t)(1 + conn), 999);
    if (!w->open[conn])
        w->open[conn] = pv_coord_accept(w->coord, FIRST + conn, &src, w->now) == PV_OK;
    if (w->open[conn] && bytes.len > 0 && pv_coord_wants_bytes(w->coord, FIRST + conn))
        pv_coord_handle_bytes(w->coord, FIRST + conn, bytes, w->now);
}

static void feed_allocate(struct world *w, size_t conn, const char *user, const char *password,
                          const char *nonce)
{
    uint8_t buf[512];
    uint8_t txid[PV_STUN_TXID_LEN];
    struct pv_stun_writer sw;
    struct pv_turnauth_key key;
    size_t len = 0;
    fuzz_fill_mix(&w->random, txid, sizeof(txid));
    must(pv_turnauth_key(user, password, &key) == PV_OK);
    pv_stun_write_begin(&sw, buf, sizeof(buf), PV_STUN_REQUEST, PV_TURN_ALLOCATE, txid);
    pv_stun_put_u32(&sw, PV_TURN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
    pv_stun_put(&sw, PV_STUN_ATTR_USERNAME, pv_view(user, strlen(user)));
    pv_stun_put(&sw, PV_STUN_ATTR_REALM, pv_view(PV_TURNAUTH_REALM, strlen(PV_TURNAUTH_REALM)));
    pv_stun_put(&sw, PV_STUN_ATTR_NONCE, pv_view(nonce, strlen(nonce)));
    pv_stun_put_integrity(&sw, pv_view(key.md5, sizeof(key.md5)));
    must(pv_stun_write_end(&sw, &len) == PV_OK);
    feed(w, conn, pv_view(buf, len));
}

static void come_online(struct world *w, const uint8_t *net, const uint8_t *node)
{
    struct pv_turnauth_creds creds;
    if (pv_relaylink_online(pv_relaycore_link(w->relay), net, node, w->now, &creds) == PV_OK)
        w->creds = creds;
}

static void take_datagram(struct world *w, struct pv_view bytes)
{
    const struct pv_stuns_place place = {.local = pv_addr4(192, 0, 2, 9, 3478),
                                         .other = pv_addr4(192, 0, 2, 10, 3479)};
    const struct pv_addr src = pv_addr4(192, 0, 2, 1, 999);
    struct pv_stuns_reply reply;
    if (pv_relaycore_answer(w->relay, &src, &place, bytes, w->now, &reply) == PV_OK)
        must(reply.len <= PV_STUNS_GAIN * bytes.len);
}

static void change_policy(struct world *w, uint8_t arg)
{
    struct pv_turns_policy *policy = calloc(1, sizeof(*policy));
    must(policy != NULL);
    policy->per_user = arg;
    policy->bandwidth = (uint32_t)(arg & 3) * 1000;
    policy->phone_ports = arg & 1;
    pv_relaylink_set_policy(pv_relaycore_link(w->relay), policy);
}

/* The words that the control half hears of members and its operator. */
static void do_word(struct world *w, uint8_t op, uint8_t arg, struct pv_reader *r)
{
    const uint8_t net[PV_TURNAUTH_NET_LEN] = {1}, node[PV_TURNAUTH_NODE_LEN] = {arg % MEMBERS};
    const struct pv_addr seen = pv_addr4(192, 0, 2, arg, 1);
    struct pv_relaylink *link = pv_relaycore_link(w->relay);
    switch (op % 8) {
    case 0:
        come_online(w, net, node);
        break;
    case 1:
        pv_relaylink_offline(link, net, node);
        break;
    case 2:
        pv_relaylink_gone(link, net, node);
        break;
    case 3:
        pv_relaylink_seen(link, &seen);
        break;
    case 5:
        take_datagram(w, pv_get_bytes(r, arg < r->rest.len ? arg : r->rest.len));
        break;
    case 6:
        if (w->creds.user[0] != '\0')
            feed_allocate(w, arg % CONNS, w->creds.user, w->creds.password, w->creds.nonce);
        break;
    default:
        change_policy(w, arg);
        break;
    }
}

static void do_record(struct world *w, uint8_t op, uint8_t arg, struct pv_reader *r)
{
    if ((op & 0x80) != 0) {
        do_word(w, op & 0x7f, arg, r);
        return;
    }
    switch (op % 7) {
    case 0:
    case 1:
        feed(w, op % 7, pv_get_bytes(r, arg < r->rest.len ? arg : r->rest.len));
        break;
    case 2:
        relay_turn(w->relay, w->now);
        break;
    case 3:
        control_turn(w);
        break;
    case 4:
        w->now += PV_S(arg);
        pv_coord_handle_timeout(w->coord, w->now);
        break;
    case 5:
        if (w->open[arg % CONNS])
            pv_coord_closed(w->coord, FIRST + arg % CONNS, w->now);
        w->open[arg % CONNS] = false;
        break;
    default:
        feed_allocate(w, arg % CONNS, "alice", "secret", w->nonce);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pv_turns_user users[] = {{"alice", "secret"}};
    static const uint8_t secret[PV_CTL_SECRET_LEN] = {9};
    static uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    const uint8_t seed[PV_SIGN_SEED_LEN] = {1};
    struct world w = {.now = PV_S(100)};
    struct pv_reader r = pv_reader(pv_view(data, size));
    const struct pv_turns_config relay = {
        .enabled = true,
        .users = users,
        .n_users = 1,
        .relay_bind = {pv_addr4(192, 0, 2, 9, 0)},
    };
    must(pv_crypto_init() == PV_OK);
    pv_sign_keypair(seed, sk, pk);
    w.rng = (struct pv_rng){.fill = fuzz_fill_mix, .ctx = &w.random};
    const struct pv_coord_config cfg = {.sk = sk, .secret = secret, .relay = &relay};
    must(pv_coord_new(&w.coord, &cfg, &w.rng, NULL) == PV_OK);
    w.relay = pv_coord_relay(w.coord);
    pv_coord_set_wall(w.coord, 1, w.now);
    while (r.rest.len >= 2) {
        uint8_t op = pv_get_u8(&r);
        do_record(&w, op, pv_get_u8(&r), &r);
    }
    /* When the streams are gone and the time is over, nothing stays. */
    for (uint8_t i = 0; i < CONNS; i++)
        do_record(&w, 5, i, &r);
    relay_turn(w.relay, w.now);
    control_turn(&w);
    w.now += PV_S(PV_TURNS_LIFETIME_MAX_S);
    relay_turn(w.relay, w.now);
    must(tc_allocations(pv_relaycore_turns(w.relay)) == 0 &&
         tc_sockets(pv_relaycore_turns(w.relay)) == 0);
    pv_coord_free(w.coord);
    return 0;
}
