/* SPDX-License-Identifier: MIT */
/*
 * routeuse.h - what the user of this node said of routes that others offer: which are used, and
 * whether all else goes out by an exit. Kept in the store under one name.
 *
 * Of two things said the more precise counts: about a prefix, about a member, about all. Pure.
 */
#pragma once

#include "base/bytes.h"
#include "crypto/sign.h"
#include "proto/roster/statement.h"

enum {
    PV_ROUTEUSE_MAX = 64,     /* ours: prefixes and members that something was said of */
    PV_ROUTEUSE_BYTES = 2400, /* of all that is stored */
};

enum pv_routeuse_mode {
    PV_ROUTEUSE_AUTO, /* what is offered with --auto */
    PV_ROUTEUSE_ALL,
    PV_ROUTEUSE_OFF,
};

/* One prefix, or all that one member offers. */
struct pv_routeuse_entry {
    bool on, is_prefix;
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_prefix prefix;
};

struct pv_routeuse {
    enum pv_routeuse_mode mode;
    struct pv_routeuse_entry entries[PV_ROUTEUSE_MAX];
    size_t n;
    bool exit; /* the member exit_pk is used as an exit */
    bool exit_lan, exit_block;
    uint8_t exit_pk[PV_SIGN_PK_LEN];
};

/* All that was said before is forgotten, but for the exit. */
void pv_routeuse_set_mode(struct pv_routeuse *u, enum pv_routeuse_mode mode);
/* In place of what was said of the same prefix, or member. PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_routeuse_set(struct pv_routeuse *u, const struct pv_routeuse_entry *entry);
/* Is this prefix, offered by that member, used? Default routes are asked for by exit alone. */
bool pv_routeuse_wants(const struct pv_routeuse *u, const uint8_t pk[static PV_SIGN_PK_LEN],
                       const struct pv_offer *offer);

/* Returns how many bytes it wrote. */
size_t pv_routeuse_encode(const struct pv_routeuse *u, uint8_t buf[static PV_ROUTEUSE_BYTES]);
/* PV_ERR_TRUNCATED, PV_ERR_MALFORMED, PV_ERR_UNSUPPORTED: of a newer version. */
PV_MUST_CHECK int pv_routeuse_decode(struct pv_view bytes, struct pv_routeuse *ret_use);
