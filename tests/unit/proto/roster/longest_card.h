/* SPDX-License-Identifier: MIT */
/*
 * longest_card.h - a card with as many offers, and as long keys, as a card may have: for the tests
 * of everything that it travels through.
 */
#pragma once

#include "proto/roster/sshkeys.h"
#include "proto/roster/statement.h"
#include "tests/unit/test_util.h"

/* A string of RFC 4251: `first`, then zeros, the last byte odd. */
static inline void put_string(struct pv_writer *w, const char *first, size_t first_len, size_t len)
{
    pv_put_u32(w, (uint32_t)len);
    pv_put_bytes(w, first, first_len);
    for (size_t i = first_len; i < len; i++)
        pv_put_u8(w, i + 1 == len);
}

static inline void put_ecdsa(struct pv_writer *w, const char *curve, size_t point)
{
    const char *type = PV_STR("ecdsa-sha2-%s", curve);
    pv_put_u16(w, (uint16_t)(12 + strlen(type) + strlen(curve) + point));
    put_string(w, type, strlen(type), strlen(type));
    put_string(w, curve, strlen(curve), strlen(curve));
    put_string(w, "\4", 1, point);
}

/* The longest key of each kind. */
static inline struct pv_view longest_hostkeys(void)
{
    static uint8_t bytes[PV_SSHKEYS_MAX];
    struct pv_writer w = pv_writer(bytes, sizeof(bytes));
    pv_put_u16(&w, 51);
    put_string(&w, "ssh-ed25519", 11, 11);
    put_string(&w, "", 0, 32);
    put_ecdsa(&w, "nistp256", 65);
    put_ecdsa(&w, "nistp384", 97);
    put_ecdsa(&w, "nistp521", 133);
    pv_put_u16(&w, PV_SSHKEY_MAX);
    put_string(&w, "ssh-rsa", 7, 7);
    put_string(&w, "\1", 1, 3);
    put_string(&w, "\0\377", 2, 513);
    assert_ok(w.status);
    return pv_view(bytes, w.len);
}

/* The bound is filled but for a few bytes. */
static inline struct pv_view longest_loginkeys(void)
{
    static uint8_t bytes[PV_SSHKEYS_MAX];
    struct pv_writer w = pv_writer(bytes, sizeof(bytes));
    for (uint8_t i = 0; i < PV_SSHKEYS_MAX / 53; i++) {
        pv_put_u16(&w, 51);
        put_string(&w, "ssh-ed25519", 11, 11);
        put_string(&w, (const char[]){(char)i}, 1, 32);
    }
    assert_ok(w.status);
    return pv_view(bytes, w.len);
}

static inline struct pv_view longest_offers(void)
{
    static uint8_t bytes[PV_OFFERS_MAX * PV_OFFER_BYTES];
    struct pv_offer offers[PV_OFFERS_MAX];
    struct pv_writer w = pv_writer(bytes, sizeof(bytes));
    for (size_t i = 0; i < PV_OFFERS_MAX; i++) {
        offers[i] = (struct pv_offer){.prefix = test_prefix("2001:db8::/128")};
        offers[i].prefix.base.ip[15] = (uint8_t)i;
    }
    pv_offerlist_put(&w, offers, PV_OFFERS_MAX);
    assert_int_equal(w.len, sizeof(bytes));
    return pv_view(bytes, w.len);
}

/* Its lists last until the next call. */
static inline struct pv_st_card longest_card(void)
{
    static const uint8_t kem[PV_KEM_EK_LEN] = {9};
    return (struct pv_st_card){.serial = 5,
                               .abilities = PV_ABLE_PQ | PV_ABLE_NO_IP6,
                               .offers = longest_offers(),
                               .kem = pv_view(kem, sizeof(kem)),
                               .hostkeys = longest_hostkeys(),
                               .loginkeys = longest_loginkeys()};
}
