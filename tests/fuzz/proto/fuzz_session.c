/* SPDX-License-Identifier: MIT */
/*
 * fuzz_session.c - two sessions driven by a script of bytes: time, wishes, reach, traffic, and a
 * wire that delivers, drops, repeats and changes messages. Checked: an index is taken and freed
 * once, keys come only with taken indices, few are taken, both sides of a proven handshake hold the
 * same keys, and no deadline stays in the past.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/wireguard/session.h"
#include "tests/fuzz/fuzz_util.h"

enum {
    INDICES = 5, /* pending, current, previous, next, and one while they are exchanged */
    WIRE = 16,
    OPS_MAX = 400, /* a script longer than this is cut: each handshake costs a millisecond */
};

struct message {
    int to;
    enum pv_session_reach via;
    size_t len;
    uint8_t bytes[PV_WGMSG_INITIATION_LEN];
};

struct key {
    uint32_t index; /* 0 = free */
    bool keyed;
    struct pv_wg_keys keys;
};

struct node {
    struct pv_wg_device dev;
    struct pv_session *session;
    struct key taken[INDICES];
    uint32_t next_index;
    uint32_t use;
    struct pv_session_traffic seen;
};

struct run {
    uint64_t rng_state;
    struct pv_rng rng;
    pv_ns now;
    struct node n[2];
    struct message wire[WIRE]; /* a ring: the oldest is overwritten */
    unsigned first, count;
    struct pv_view script;
};

static uint8_t next_byte(struct run *r)
{
    if (r->script.len == 0)
        return 0;
    r->script.len--;
    return *r->script.ptr++;
}

static void require(bool ok)
{
    must(ok);
}

static struct key *find(struct node *n, uint32_t index)
{
    for (size_t i = 0; i < INDICES; i++) {
        if (n->taken[i].index == index)
            return &n->taken[i];
    }
    return NULL;
}

static void take_event(struct node *n, const struct pv_session_event *e)
{
    struct key *k = find(n, e->index);
    switch (e->type) {
    case PV_SESSION_KEYS:
        require(k != NULL && !k->keyed);
        k->keyed = true;
        k->keys = e->keys;
        break;
    case PV_SESSION_USE:
        require(k != NULL && k->keyed);
        n->use = e->index;
        break;
    case PV_SESSION_INDEX_GONE:
        require(k != NULL);
        *k = (struct key){.index = 0};
        if (n->use == e->index)
            n->use = 0;
        break;
    case PV_SESSION_DONE:
        require(k != NULL);
        break;
    case PV_SESSION_GIVE_UP:
    case PV_SESSION_SEND_KEEPALIVE:
        break;
    }
}

static void drain(struct run *r, int i)
{
    struct node *n = &r->n[i];
    struct pv_session_transmit tx;
    struct pv_session_event e;
    unsigned sent = 0;
    while (pv_session_poll_transmit(n->session, n->next_index, r->now / 1000, r->now, &tx) ==
           PV_OK) {
        require(++sent <= 2); /* an answer and a message 1 at most */
        if (tx.took_index) {
            struct key *k = find(n, 0);
            require(k != NULL && tx.index == n->next_index);
            k->index = n->next_index++;
        }
        while (pv_session_poll_event(n->session, &e) == PV_OK)
            take_event(n, &e);
        struct message *m = &r->wire[(r->first + r->count) % WIRE];
        if (r->count == WIRE)
            r->first = (r->first + 1) % WIRE;
        else
            r->count++;
        *m = (struct message){.to = 1 - i, .via = tx.via, .len = tx.len};
        memcpy(m->bytes, tx.msg, tx.len);
    }
    while (pv_session_poll_event(n->session, &e) == PV_OK)
        take_event(n, &e);
}

static void deliver(struct run *r, const struct message *m)
{
    struct node *n = &r->n[m->to];
    struct pv_view msg = pv_view(m->bytes, m->len);
    struct pv_wg_initiation in;
    uint8_t type = 0;
    if (pv_wgmsg_type(msg, &type) < 0)
        return;
    if (type <= PV_WGMSG_RESPONSE && !pv_wgmsg_mac1_ok(&n->dev, msg))
        return;
    if (type == PV_WGMSG_INITIATION) {
        if (pv_wgmsg_identify(&n->dev, msg, &in) == PV_OK)
            (void)!pv_session_handle_initiation(n->session, &in, m->via, r->now);
    } else if (type == PV_WGMSG_RESPONSE) {
        (void)!pv_session_handle_response(n->session, msg, r->now);
    } else if (type == PV_WGMSG_COOKIE) {
        (void)!pv_session_handle_cookie(n->session, msg, r->now);
    }
}

/* A packet from node i under the keys in use; it arrives at once when the other has its keys. */
static void send_data(struct run *r, int i)
{
    struct node *n = &r->n[i], *peer = &r->n[1 - i];
    struct key *k = n->use == 0 ? NULL : find(n, n->use);
    if (k == NULL)
        return;
    n->seen.any_sent = n->seen.data_sent = r->now;
    n->seen.sent++;
    pv_session_note_traffic(n->session, &n->seen, r->now);
    struct key *theirs = k->keys.remote_index == 0 ? NULL : find(peer, k->keys.remote_index);
    if (theirs == NULL || !theirs->keyed)
        return;
    require(memcmp(theirs->keys.recv, k->keys.send, 32) == 0);
    peer->seen.any_received = peer->seen.data_received = r->now;
    pv_session_confirm(peer->session, theirs->index, r->now);
    pv_session_note_traffic(peer->session, &peer->seen, r->now);
}

static void take_wire(struct run *r, uint8_t op)
{
    if (r->count == 0)
        return;
    struct message m = r->wire[r->first];
    if (op != 6) { /* 6: it stays and will come again */
        r->first = (r->first + 1) % WIRE;
        r->count--;
    }
    if (op == 5)
        return;
    if (op == 7)
        m.bytes[next_byte(r) % m.len] ^= (uint8_t)(next_byte(r) | 1);
    deliver(r, &m);
}

static void raw_message(struct run *r, int to)
{
    struct message m = {.to = to, .via = PV_SESSION_BY_UDP, .len = next_byte(r)};
    if (m.len > sizeof(m.bytes))
        m.len = sizeof(m.bytes);
    for (size_t i = 0; i < m.len; i++)
        m.bytes[i] = next_byte(r);
    deliver(r, &m);
}

static void step(struct run *r)
{
    uint8_t op = next_byte(r);
    int i = op >> 7;
    struct pv_session *s = r->n[i].session;
    switch (op & 15) {
    case 0:
        r->now += PV_MS(10) * next_byte(r);
        break;
    case 1:
        r->now += PV_S(1) * next_byte(r);
        break;
    case 2:
        pv_session_want(s, r->now);
        break;
    case 3:
        pv_session_set_reach(s, (enum pv_session_reach)(next_byte(r) % 3), r->now);
        break;
    case 8:
        send_data(r, i);
        break;
    case 9:
        pv_session_peer_new_gen(s);
        break;
    case 10:
        raw_message(r, i);
        break;
    case 11:
        pv_session_confirm(s, 0x1000u * (unsigned)(i + 1) + next_byte(r) % 8, r->now);
        break;
    default:
        take_wire(r, op & 15);
        break;
    }
    for (int j = 0; j < 2; j++) {
        pv_session_handle_timeout(r->n[j].session, r->now);
        drain(r, j);
        require(pv_session_next_timeout(r->n[j].session) > r->now); /* else its owner would spin */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t secrets[2] = {1, 2};
    if (pv_crypto_init() < 0 || len < 2)
        return 0;
    struct run *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return 0;
    r->rng = (struct pv_rng){fuzz_fill_mix, &r->rng_state};
    r->now = PV_S(1000);
    r->script = pv_view(data + 1, len - 1);
    for (int i = 0; i < 2; i++) {
        uint8_t sk[32];
        memset(sk, secrets[i], sizeof(sk));
        pv_wg_device_init(&r->n[i].dev, fuzz_keep_key(sk));
        r->n[i].next_index = 0x1000u * (unsigned)(i + 1);
    }
    for (int i = 0; i < 2; i++) {
        struct pv_session_config cfg = {
            .device = &r->n[i].dev,
            .member = (data[0] & 1) != 0,
            .lower_identity = i == 0,
            .persistent_keepalive = (data[0] & 2) != 0 ? 25 : 0,
            .rng = r->rng,
        };
        memcpy(cfg.remote_pk, r->n[1 - i].dev.keys.pk, 32);
        require(pv_session_new(&r->n[i].session, &cfg) == PV_OK);
        pv_session_set_reach(r->n[i].session, PV_SESSION_BY_UDP, r->now);
    }
    for (unsigned op = 0; op < OPS_MAX && r->script.len > 0; op++)
        step(r);
    for (int i = 0; i < 2; i++)
        pv_session_free(r->n[i].session);
    free(r);
    return 0;
}
