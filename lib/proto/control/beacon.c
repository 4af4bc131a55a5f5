/* SPDX-License-Identifier: MIT */
/* beacon.c - makes and reads the datagram by which members find each other in a LAN. */
#include "proto/control/beacon.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "crypto/hash.h"

/* No MAC of another protocol under the shared secret of two transport keys is made over bytes that
 * begin so: WireGuard's begin with a chaining key. */
static const char LABEL[] = "p2pvpn beacon v1";

/* The sender's key comes first, so a tag that is sent back to its sender means nothing. */
static void key_of(const uint8_t *ss, const uint8_t *from_pk, const uint8_t *to_pk,
                   uint8_t *ret_key)
{
    struct pv_blake2s h;
    pv_blake2s_init(&h, pv_view(ss, PV_DH_LEN), PV_BEACON_KEY_LEN);
    pv_blake2s_update(&h, LABEL, sizeof(LABEL));
    pv_blake2s_update(&h, from_pk, PV_DH_LEN);
    pv_blake2s_update(&h, to_pk, PV_DH_LEN);
    pv_blake2s_final(&h, ret_key);
}

void pv_beacon_keys(const uint8_t ss[static PV_DH_LEN], const uint8_t own_pk[static PV_DH_LEN],
                    const uint8_t peer_pk[static PV_DH_LEN],
                    uint8_t ret_out[static PV_BEACON_KEY_LEN],
                    uint8_t ret_in[static PV_BEACON_KEY_LEN])
{
    key_of(ss, own_pk, peer_pk, ret_out);
    key_of(ss, peer_pk, own_pk, ret_in);
}

/* Nonce, address and port together are one block of BLAKE2s. */
uint64_t pv_beacon_tag(const uint8_t key[static PV_BEACON_KEY_LEN],
                       const uint8_t nonce[static PV_BEACON_NONCE_LEN], const struct pv_addr *src)
{
    uint8_t said[PV_BEACON_NONCE_LEN + 1 + PV_IP6_LEN + 2], mac[PV_MAC_LEN];
    uint8_t *p = said;
    memcpy(p, nonce, PV_BEACON_NONCE_LEN);
    p += PV_BEACON_NONCE_LEN;
    *p++ = src->family == PV_AF_INET6 ? 6 : 4;
    memcpy(p, src->ip, PV_IP6_LEN);
    pv_store_be16(p + PV_IP6_LEN, src->port);
    pv_blake2s_mac(mac, pv_view(key, PV_BEACON_KEY_LEN), pv_view(said, sizeof(said)));
    return pv_load_be64(mac);
}

/* The highest bit of d | -d is set unless d is 0. */
bool pv_beacon_has(const struct pv_beacon *b, uint64_t tag)
{
    uint64_t hits = 0;
    for (size_t i = 0; i < PV_BEACON_TAGS; i++) {
        const uint64_t d = b->tags[i] ^ tag;
        hits += 1 - ((d | (UINT64_C(0) - d)) >> 63);
    }
    return hits != 0;
}

void pv_beacon_write(const struct pv_beacon *b, uint8_t buf[static PV_BEACON_LEN])
{
    memcpy(buf, b->nonce, PV_BEACON_NONCE_LEN);
    for (size_t i = 0; i < PV_BEACON_TAGS; i++)
        pv_store_be64(buf + PV_BEACON_NONCE_LEN + i * PV_BEACON_TAG_LEN, b->tags[i]);
}

int pv_beacon_parse(struct pv_view datagram, struct pv_beacon *ret_beacon)
{
    if (datagram.len != PV_BEACON_LEN)
        return PV_ERR_MALFORMED;
    memcpy(ret_beacon->nonce, datagram.ptr, PV_BEACON_NONCE_LEN);
    for (size_t i = 0; i < PV_BEACON_TAGS; i++)
        ret_beacon->tags[i] =
            pv_load_be64(datagram.ptr + PV_BEACON_NONCE_LEN + i * PV_BEACON_TAG_LEN);
    return PV_OK;
}

/* Every host is in these groups, so nobody has to join one, and a switch that watches who joins
 * passes them on everywhere. */
struct pv_addr pv_beacon_group(uint16_t family)
{
    static const uint8_t all_nodes[PV_IP6_LEN] = {[0] = 0xff, [1] = 0x02, [15] = 0x01};
    return family == PV_AF_INET6 ? pv_addr6(all_nodes, PV_BEACON_PORT)
                                 : pv_addr4(224, 0, 0, 1, PV_BEACON_PORT);
}
