/* SPDX-License-Identifier: MIT */
/*
 * fuzz_turns.c - the TURN server as a sequence of messages, sockets and times. Records:
 *
 *   0 u16       so many seconds go by
 *   1 i, 2 i, 3 i   member i (of 4) comes online, goes offline, is revoked
 *   4 c n bytes     a datagram of client c
 *   5 c w m n bytes a request of client c with method m, these attributes, and the credentials of
 *                   w (members 0-3, else the static user), signed with the nonce it last got
 *   6 s p n bytes   a datagram of peer p on relay socket s
 *   7 e             relay sockets open from now on (0), are in use (1), or fail (2)
 *   8 c             client c speaks by a stream from now on, or by UDP again: its stream ends
 *
 * Any input: at most one output each; no unauthenticated answer above its bound; answers
 * decode; nothing goes to a peer that is forbidden, the coordinator itself among them, though what
 * is relayed there may be talked to; revoked members are sent nothing.
 */
#include <string.h>

#include "base/bytes.h"
#include "coordinator/core/turn/turnpeer.h"
#include "coordinator/core/turn/turns.h"
#include "proto/stun/turn.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/coordinator/core/turn/turn_counts.h"

enum {
    MEMBERS = 4,
    CLIENTS = 8,
};

struct world {
    uint64_t random;
    struct pv_rng rng;
    struct pv_stuns *stuns;
    struct pv_turns *turns;
    pv_ns now;
    int open_status;
    struct pv_turnauth_creds members[MEMBERS]; /* the nonce is the member's last */
    uint32_t serial;
    bool known[MEMBERS];
    bool by_stream[CLIENTS];
    char static_nonce[PV_TURNAUTH_NONCE_BUF];
    uint8_t buf[PV_TURNS_DATAGRAM_MAX + 64];
};

static const uint8_t NET[16] = {5};
/* The address of the coordinator and of all relay sockets. */
#define OWN pv_addr4(192, 0, 2, 1, 0)

static void node_of(size_t i, uint8_t pk[static 32])
{
    memset(pk, (int)(i + 1), 32);
}

static struct pv_addr client_addr(uint8_t c)
{
    return pv_addr4(198, 51, 100, (uint8_t)(c % CLIENTS), (uint16_t)(1000 + c % CLIENTS));
}

/* --- output -------------------------------------------------------------------------------- */

static char *nonce_of(struct world *w, uint8_t who)
{
    return who < MEMBERS ? w->members[who].nonce : w->static_nonce;
}

static void check_answer(struct world *w, const struct pv_turns_out *out, int who)
{
    struct pv_stun_msg msg;
    struct pv_view v;
    must(pv_stun_decode(out->data, &msg) == PV_OK);
    bool is_signed = pv_stun_has(&msg, PV_STUN_ATTR_MESSAGE_INTEGRITY) ||
                     pv_stun_has(&msg, PV_STUN_ATTR_MESSAGE_INTEGRITY_SHA256);
    if (msg.cls == PV_STUN_ERROR && !is_signed)
        must(out->data.len <= PV_TURNS_UNAUTH_MAX);
    if (msg.cls == PV_STUN_SUCCESS)
        must(is_signed);
    if (who >= 0 && pv_stun_find(&msg, PV_STUN_ATTR_NONCE, &v) == PV_OK) {
        char *nonce = nonce_of(w, (uint8_t)who);
        must(v.len < PV_TURNAUTH_NONCE_BUF);
        memcpy(nonce, v.ptr, v.len);
        nonce[v.len] = '\0';
    }
}

static void check_out(struct world *w, size_t max, int who)
{
    const struct pv_addr own = OWN;
    const struct pv_turnpeer_rules rules = {.own = &own, .n_own = 1};
    size_t n = 0;
    const struct pv_turns_out *out = pv_turns_out(w->turns, &n);
    must(n <= max);
    for (size_t i = 0; i < n; i++) {
        must(out[i].data.len <= PV_TURNS_DATAGRAM_MAX + 64);
        if (out[i].sock >= PV_TURNS_RELAY0)
            must(pv_turnpeer_is_allowed(&out[i].dst, &rules));
        else if (out[i].data.len >= PV_STUN_HEADER_LEN && out[i].data.ptr[0] < 4)
            check_answer(w, &out[i], who);
        else
            must(out[i].data.len >= 4 && out[i].data.ptr[0] >= 0x40);
        must(out[i].stream <= CLIENTS);
        if (out[i].stream != 0)
            must(pv_turns_stream_holder(w->turns, out[i].stream) != PV_TURNS_NOBODY ||
                 out[i].data.ptr[0] < 4);
    }
}

static void do_sockets(struct world *w)
{
    struct pv_turns_socket op;
    while (pv_turns_poll_socket(w->turns, &op) == PV_OK) {
        if (!op.open)
            continue;
        must(op.addr.port >= 50000 && op.addr.port <= 50007);
        pv_turns_opened(w->turns, op.sock, w->open_status, w->now);
        check_out(w, 1, -1);
    }
}

/* --- records ------------------------------------------------------------------------------- */

static void input(struct world *w, uint32_t sock, const struct pv_addr *src, size_t len, int who)
{
    size_t client = src->ip[3] % CLIENTS;
    bool stream_client = sock < PV_TURNS_RELAY0 && w->by_stream[client];
    uint64_t stream = stream_client ? client + 1 : 0;
    struct pv_turns_in in = {
        .src = *src, .local = OWN, .sock = sock, .stream = stream, .ptr = w->buf, .len = len};
    must(pv_turns_batch(w->turns, &in, 1, w->now) == 1);
    check_out(w, 1, who);
    do_sockets(w);
}

static void signed_request(struct world *w, uint8_t client, uint8_t who, uint8_t method,
                           struct pv_view attrs)
{
    struct pv_addr src = client_addr(client);
    const char *user = who < MEMBERS ? w->members[who].user : "alice";
    const char *password = who < MEMBERS ? w->members[who].password : "secret";
    uint8_t txid[PV_STUN_TXID_LEN] = {method, client, who};
    struct pv_turnauth_key key;
    struct pv_stun_writer sw;
    size_t len = 0;
    if (attrs.len % 4 != 0 || pv_turnauth_key(user, password, &key) < 0)
        return;
    pv_stun_write_begin(&sw, w->buf, sizeof(w->buf), PV_STUN_REQUEST, method & 0x0f, txid);
    memcpy(w->buf + sw.len, attrs.ptr, attrs.len); /* as raw as they come */
    sw.len += attrs.len;
    pv_stun_put(&sw, PV_STUN_ATTR_USERNAME, pv_view(user, strlen(user)));
    pv_stun_put(&sw, PV_STUN_ATTR_REALM, pv_view(PV_TURNAUTH_REALM, strlen(PV_TURNAUTH_REALM)));
    pv_stun_put(&sw, PV_STUN_ATTR_NONCE, pv_view(nonce_of(w, who), strlen(nonce_of(w, who))));
    pv_stun_put_integrity(&sw, pv_view(key.md5, sizeof(key.md5)));
    if (pv_stun_write_end(&sw, &len) == PV_OK)
        input(w, 0, &src, len, who);
}

static void member_record(struct world *w, uint8_t what, uint8_t i)
{
    uint8_t pk[32];
    i %= MEMBERS;
    node_of(i, pk);
    if (what == 1) {
        uint8_t who[48];
        memcpy(who, NET, 16);
        memcpy(who + 16, pk, 32);
        w->known[i] = pv_turns_online(w->turns, NET, pk, ++w->serial) == PV_OK;
        pv_turnauth_welcome(pv_turns_auth(w->turns), pv_view(who, sizeof(who)), w->serial, w->now,
                            &w->members[i]);
    } else if (what == 2) {
        pv_turns_offline(w->turns, NET, pk, w->now);
    } else {
        pv_turns_gone(w->turns, NET, pk);
        w->known[i] = false;
    }
}

/* Up to 255 bytes behind a length byte. */
static struct pv_view get_blob(struct pv_reader *r)
{
    uint8_t n = pv_get_u8(r);
    return pv_get_bytes(r, n < r->rest.len ? n : r->rest.len);
}

static void record(struct world *w, struct pv_reader *r)
{
    uint8_t what = pv_get_u8(r);
    uint8_t a = pv_get_u8(r);
    struct pv_addr src = client_addr(a);
    if (what == 0) {
        w->now += PV_S((uint64_t)a << 8 | pv_get_u8(r));
        pv_turns_handle_timeout(w->turns, w->now);
        do_sockets(w);
        must(pv_turns_next_timeout(w->turns) > w->now);
    } else if (what <= 3) {
        member_record(w, what, a);
    } else if (what == 4) {
        struct pv_view v = get_blob(r);
        memcpy(w->buf, v.ptr, v.len);
        input(w, 0, &src, v.len, -1);
    } else if (what == 5) {
        uint8_t who = pv_get_u8(r);
        uint8_t method = pv_get_u8(r);
        signed_request(w, a, who, method, get_blob(r));
    } else if (what == 8) {
        if (w->by_stream[a % CLIENTS])
            pv_turns_stream_closed(w->turns, (uint64_t)(a % CLIENTS) + 1);
        w->by_stream[a % CLIENTS] = !w->by_stream[a % CLIENTS];
        must(pv_turns_stream_holder(w->turns, (uint64_t)(a % CLIENTS) + 1) == PV_TURNS_NOBODY);
        do_sockets(w);
    } else if (what == 6) {
        uint8_t p = pv_get_u8(r);
        struct pv_view v = get_blob(r);
        struct pv_addr peer = pv_addr4(203, 0, 113, p, 7000);
        memcpy(w->buf, v.ptr, v.len);
        input(w, (uint32_t)(PV_TURNS_RELAY0 + a % 8), &peer, v.len, -1);
    } else {
        w->open_status = a % 3 == 0 ? PV_OK : a % 3 == 1 ? PV_ERR_EXISTS : -24;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct pv_turns_user users[] = {{"alice", "secret"}};
    static const uint8_t pk[32] = {1};
    const struct pv_addr own = OWN;
    struct pv_turns_config cfg = {
        .enabled = true,
        .coordinator_pk = pk,
        .users = users,
        .n_users = 1,
        .own = &own,
        .n_own = 1,
        .limits = {.relays = 6, .permissions = 4, .channels = 4},
        .policy = {.per_user = 4,
                   .port_lo = 50000,
                   .port_hi = 50007,
                   .phone_ports = 3,
                   .phone_ports_per_net = 2},
    };
    struct world w = {.now = PV_S(100)};
    w.rng = (struct pv_rng){.fill = fuzz_fill_mix, .ctx = &w.random};
    must(pv_stuns_new(&w.stuns, &w.rng) == PV_OK);
    must(pv_turns_new(&w.turns, &cfg, w.stuns, &w.rng) == PV_OK);
    struct pv_reader r = pv_reader(pv_view(data, len < 4096 ? len : 4096));
    while (r.rest.len >= 2 && r.status == PV_OK)
        record(&w, &r);
    for (uint8_t i = 0; i < MEMBERS; i++)
        member_record(&w, 2, i);
    w.now += PV_S(10000); /* everything ends */
    pv_turns_handle_timeout(w.turns, w.now);
    do_sockets(&w);
    must(tc_members(w.turns) == 0 && tc_allocations(w.turns) == 0 && tc_sockets(w.turns) == 0);
    pv_turns_free(w.turns);
    pv_stuns_free(w.stuns);
    return 0;
}
