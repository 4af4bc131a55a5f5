/* SPDX-License-Identifier: MIT */
/*
 * handshakes.c - WireGuard handshake messages from the network, before a peer sees them. A stranger
 * who can send to us can make us spend a DH, so a message is checked for a MAC that needs our
 * public key, and in a second with very many of them for a cookie that only the address it came
 * from can have (whitepaper s5.3).
 */
#include "daemon/core/peer/handshakes.h"

#include <string.h>

#include "daemon/core/peer/peer_int.h"
#include "daemon/core/peer/peers.h"
#include "proto/wireguard/cookie.h"

enum {
    MAX_ANSWERS = 64, /* cookie replies waiting to be sent; more are dropped: ours */
    LOAD = 200,       /* handshakes a second above which cookies are asked for: ours */
};

struct pv_handshakes {
    struct pv_node *node;
    struct pv_cookie_checker *cookies;
    pv_ns load_since; /* handshakes are counted a second long */
    unsigned load_count;
    bool under_load;
    struct pv_engine_transmit answers[MAX_ANSWERS];
    size_t n_answers;
    struct pv_handshakes_stranger stranger;
};

/* The last full second decides together with the present one, so that load neither begins late nor
 * ends between two bursts. */
static bool count_load(struct pv_handshakes *h, pv_ns now)
{
    if (now - h->load_since >= PV_S(1)) {
        h->under_load = h->load_count > LOAD;
        h->load_since = now;
        h->load_count = 0;
    }
    h->load_count++;
    return h->under_load || h->load_count > LOAD;
}

/* Smaller than what it answers (64 of 92 or 148 bytes): nobody can use us to amplify a flood. */
static void answer_with_cookie(struct pv_handshakes *h, const struct pv_wg_device *device,
                               const struct pv_carrier *from, struct pv_view msg, pv_ns now)
{
    if (h->n_answers == MAX_ANSWERS)
        return;
    struct pv_engine_transmit *tx = &h->answers[h->n_answers];
    uint8_t reply[PV_WGMSG_COOKIE_LEN];
    bool sent;
    pv_cookie_reply(h->cookies, device, msg, &from->remote, now, reply);
    if (pv_carrier_is_relayed(from)) {
        sent = pv_peers_wrap(h->node->peers, from->via, &from->remote,
                             pv_view(reply, sizeof(reply)), tx);
    } else {
        sent = pv_transmit_to(tx, &from->remote, reply, sizeof(reply));
        tx->sock = from->sock;
        tx->local = from->local;
    }
    h->n_answers += sent ? 1 : 0;
}

/* Only the last one is kept, for `why`: a member whose key changed shows up here. A list would be
 * memory that strangers can fill. */
static void note_stranger(struct pv_handshakes *h, const struct pv_carrier *from,
                          const uint8_t *key)
{
    h->stranger.from = from->remote;
    memcpy(h->stranger.key, key, sizeof(h->stranger.key));
}

/* A message 1 names its sender by its static key, which it proves. The Diffie-Hellman that
 * identifies the sender is done once; the peer continues with its result. */
static void take_initiation(struct pv_handshakes *h, const struct pv_wg_device *device,
                            const struct pv_carrier *from, struct pv_view msg, pv_ns now)
{
    struct pv_wg_initiation in;
    struct pv_peer *p = NULL;
    if (pv_wgmsg_identify(device, msg, &in) == PV_OK) {
        p = pv_peers_by_transport(h->node->peers, in.static_pk, now);
        if (p == NULL)
            note_stranger(h, from, in.static_pk);
    }
    /* A node that is down, or no member, would be sent packets that find no interface. */
    if (p != NULL && (p->is_static || pv_node_takes_part(h->node))) {
        int r = pv_peer_handle_initiation(p, &in, from, now);
        if (r != PV_OK)
            pv_log(h->node->log, PV_LOG_DEBUG, "peer=%s what=\"initiation refused\" why=\"%s\"",
                   p->name, pv_strstatus(r));
        pv_peers_touch(h->node->peers, p, now);
    }
    pv_wg_initiation_wipe(&in);
}

/* A message 2 or a cookie names the handshake of ours that it answers by its index. */
static void take_reply(struct pv_handshakes *h, uint8_t type, const struct pv_carrier *from,
                       struct pv_view msg, pv_ns now)
{
    struct pv_peer *p = pv_peer_by_index(h->node, pv_wgmsg_receiver(msg));
    if (p == NULL)
        return;
    int r = pv_peer_handle_reply(p, type, msg, from, now);
    if (r != PV_OK)
        pv_log(h->node->log, PV_LOG_DEBUG, "peer=%s what=\"handshake refused\" why=\"%s\"", p->name,
               pv_strstatus(r));
    pv_peers_touch(h->node->peers, p, now);
}

/* The cheap checks come first. Only behind them a message costs a Diffie-Hellman. */
void pv_handshakes_take(struct pv_handshakes *h, const struct pv_carrier *from, struct pv_view msg,
                        pv_ns now)
{
    const struct pv_wg_device *device = NULL;
    uint8_t type;
    if (pv_wgmsg_type(msg, &type) != PV_OK || type == PV_WGMSG_DATA)
        return;
    if (type != PV_WGMSG_COOKIE) {
        bool under_load = count_load(h, now);
        device = pv_peer_key_addressed(h->node, msg);
        if (device == NULL)
            return;
        enum pv_cookie_verdict v =
            pv_cookie_check(h->cookies, device, msg, &from->remote, under_load, now);
        if (v == PV_COOKIE_REPLY)
            answer_with_cookie(h, device, from, msg, now);
        if (v != PV_COOKIE_ACCEPT)
            return;
    }
    if (type == PV_WGMSG_INITIATION)
        take_initiation(h, device, from, msg, now);
    else
        take_reply(h, type, from, msg, now);
}

const struct pv_handshakes_stranger *pv_handshakes_stranger(const struct pv_handshakes *h)
{
    return &h->stranger;
}

/* --- as a part ------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_handshakes *h = part;
    return pv_cookie_checker_new(&h->cookies, &h->node->rng);
}

static void free_handshakes(void *part)
{
    struct pv_handshakes *h = part;
    pv_cookie_checker_free(h->cookies);
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct pv_handshakes *h = part;
    if (h->n_answers == 0)
        return false;
    *ret_tx = h->answers[--h->n_answers];
    return true;
}

const struct pv_part pv_part_handshakes = {
    .name = "handshakes",
    .size = PV_PART_SIZE(struct pv_handshakes),
    .start = start,
    .free = free_handshakes,
    .poll_transmit = poll_transmit,
};
