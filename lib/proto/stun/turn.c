/* SPDX-License-Identifier: MIT */
/*
 * turn.c - what TURN's client, server and fast path share: the key, ChannelData, indications (RFC
 * 8656). It also makes the virtual relayed addresses of members: those are hashes of keys, so that
 * two nodes know each other's relayed address before either has allocated it (DESIGN 6).
 */
#include "proto/stun/turn.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"

enum {
    KEY_TEXT_MAX = 1024, /* bytes of user, realm and password together, ours */
    PREFIX_LEN = 8,      /* bytes: the /64 of one coordinator */
    IID_LEN = 8,         /* bytes: the rest */
};

int pv_turn_key(const char *user, const char *realm, const char *password,
                uint8_t ret_key[static PV_MD5_LEN])
{
    char text[KEY_TEXT_MAX + 1];
    int n = snprintf(text, sizeof(text), "%s:%s:%s", user, realm, password);
    if (n < 0 || (size_t)n >= sizeof(text)) {
        pv_wipe(text, sizeof(text));
        return PV_ERR_NO_SPACE;
    }
    int r = pv_md5(ret_key, pv_view(text, (size_t)n));
    pv_wipe(text, sizeof(text));
    return r;
}

/* --- answers to an Allocate ---------------------------------------------------------------- */

/* Only attributes under the integrity are looked at; coturn names an IPv4 address of zeros before
 * the real IPv6 one. */
int pv_turn_find_relayed(const struct pv_stun_msg *msg, struct pv_addr *ret_addr)
{
    size_t n = pv_stun_covered(msg);
    for (size_t i = 0; i < n; i++) {
        struct pv_addr a;
        if (msg->attrs[i].type != PV_TURN_ATTR_XOR_RELAYED_ADDRESS ||
            pv_stun_attr_xor_addr(msg, i, &a) != PV_OK || a.port == 0 || pv_addr_is_unspecified(&a))
            continue;
        *ret_addr = a;
        return PV_OK;
    }
    return PV_ERR_NOT_FOUND;
}

/* The server's word is bounded both ways: 10 s keep a broken answer from turning into a flood of
 * refreshes, an hour from an allocation that nobody refreshes for days. */
pv_ns pv_turn_find_lifetime(const struct pv_stun_msg *msg)
{
    uint32_t seconds;
    if (pv_stun_get_u32(msg, PV_TURN_ATTR_LIFETIME, &seconds) != PV_OK || seconds < 10)
        return PV_TURN_LIFETIME;
    return PV_S(seconds > 3600 ? 3600 : seconds);
}

/* --- virtual addresses --------------------------------------------------------------------- */

static void hash_key(const uint8_t *pk, uint8_t out[static PV_BLAKE2B_LEN])
{
    pv_blake2b(out, pv_view(pk, 32), pv_view(NULL, 0), pv_view(NULL, 0));
}

/* A unique local prefix (RFC 4193) never routes, so the address cannot be confused with a relayed
 * address of a stock server, and nobody can make us send to it outside a channel. */
struct pv_addr pv_turn_virtual_addr(const uint8_t coordinator_pk[static PV_SIGN_PK_LEN],
                                    const uint8_t node_pk[static PV_SIGN_PK_LEN])
{
    uint8_t hash[PV_BLAKE2B_LEN];
    uint8_t ip[16] = {0xfd};
    hash_key(coordinator_pk, hash);
    memcpy(ip + 1, hash, 5);
    hash_key(node_pk, hash);
    memcpy(ip + PREFIX_LEN, hash, IID_LEN);
    return pv_addr6(ip, PV_TURN_VIRTUAL_PORT);
}

bool pv_turn_same_relay(const struct pv_addr *a, const struct pv_addr *b)
{
    return a->family == PV_AF_INET6 && b->family == PV_AF_INET6 &&
           memcmp(a->ip, b->ip, PREFIX_LEN) == 0;
}

bool pv_turn_is_virtual(const struct pv_addr *addr)
{
    return addr->family == PV_AF_INET6 && addr->ip[0] == 0xfd && addr->port == PV_TURN_VIRTUAL_PORT;
}

bool pv_turn_is_virtual_of(const struct pv_addr *addr, const uint8_t node_pk[static PV_SIGN_PK_LEN])
{
    uint8_t hash[PV_BLAKE2B_LEN];
    hash_key(node_pk, hash);
    return pv_turn_is_virtual(addr) && memcmp(addr->ip + PREFIX_LEN, hash, IID_LEN) == 0;
}

/* --- framing ------------------------------------------------------------------------------- */

/* The length field rules, not the datagram's size: over UDP padding is allowed (RFC 8656 s12.5),
 * over a stream it is required. */
int pv_turn_channel_parse(struct pv_view datagram, uint16_t *ret_channel, struct pv_view *ret_data)
{
    if (datagram.len < PV_TURN_CHANNEL_HEADER)
        return PV_ERR_TRUNCATED;
    uint16_t channel = pv_load_be16(datagram.ptr);
    size_t len = pv_load_be16(datagram.ptr + 2);
    if (channel < PV_TURN_CHANNEL_MIN || channel > PV_TURN_CHANNEL_MAX)
        return PV_ERR_MALFORMED;
    if (datagram.len < PV_TURN_CHANNEL_HEADER + len)
        return PV_ERR_TRUNCATED;
    *ret_channel = channel;
    *ret_data = pv_view(datagram.ptr + PV_TURN_CHANNEL_HEADER, len);
    return PV_OK;
}

void pv_turn_channel_header(uint8_t dst[static PV_TURN_CHANNEL_HEADER], uint16_t channel,
                            uint16_t len)
{
    pv_store_be16(dst, channel);
    pv_store_be16(dst + 2, len);
}

int pv_turn_indication_parse(struct pv_view datagram, uint16_t method, struct pv_addr *ret_peer,
                             struct pv_view *ret_data)
{
    struct pv_stun_msg msg;
    struct pv_addr peer;
    struct pv_view data;
    int r = pv_stun_decode(datagram, &msg);
    if (r < 0)
        return r;
    if (msg.cls != PV_STUN_INDICATION || msg.method != method)
        return PV_ERR_NOT_FOUND;
    r = pv_stun_get_xor_addr(&msg, PV_TURN_ATTR_XOR_PEER_ADDRESS, &peer);
    if (r == PV_OK)
        r = pv_stun_find(&msg, PV_TURN_ATTR_DATA, &data);
    if (r < 0)
        return r;
    *ret_peer = peer;
    *ret_data = data;
    return PV_OK;
}

int pv_turn_indication_build(uint16_t method, const uint8_t *txid, const struct pv_addr *peer,
                             struct pv_view data, uint8_t *buf, size_t cap, size_t *ret_len)
{
    struct pv_stun_writer w;
    pv_stun_write_begin(&w, buf, cap, PV_STUN_INDICATION, method, txid);
    pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_PEER_ADDRESS, peer);
    pv_stun_put(&w, PV_TURN_ATTR_DATA, data);
    return pv_stun_write_end(&w, ret_len);
}
