/* SPDX-License-Identifier: MIT */
/*
 * guestends.h - where the apps of this node's guests look for it: the endpoint in the file of each,
 * as far as this node named it, and whether that leads here still. For part "guests" alone.
 *
 * The files are kept nowhere. So this is what says which of them have to be changed, and whether a
 * door is needed. An app that was corrected shows so itself: it comes by another way, and is taken
 * to have that address from then on.
 */
#pragma once

#include "base/addr.h"
#include "crypto/sign.h"
#include "daemon/core/node/node.h"
#include "daemon/core/packets/fp_builder.h"

enum {
    PV_GUESTENDS_COME = 4, /* ours: of guests that come; the oldest gives way */
    PV_GUESTENDS_MAX = PV_FP_MAX_GUESTS + PV_GUESTENDS_COME,
    /* Bytes in the store: of each the key, by a door or not, length and text of the address. */
    PV_GUESTENDS_BYTES = PV_GUESTENDS_MAX * (PV_SIGN_PK_LEN + 2 + PV_ADDR_TEXT),
};
#define PV_GUESTENDS_COMING PV_S(600) /* ours: for so long the door is open for one that comes */
#define PV_GUESTENDS_LOST   PV_S(30)  /* ours: a mapping that is renewed is no news */

struct pv_statuspage;

struct pv_guestend {
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_addr at;
    bool by_door;
    bool here;  /* this node carries it */
    bool found; /* it does not lead here, but the app came by a way that nobody here knows */
    /* Until then a door is open for it, and its place is its own; PV_NEVER: it is late. */
    pv_ns come_by;
    /* It does not lead here since then, and the app has not come by another way; PV_NEVER: it
     * does, or nobody knows. */
    pv_ns lost_at;
};

struct pv_guestends {
    struct pv_guestend list[PV_GUESTENDS_MAX];
    size_t n;
};

/* Restores what pv_guestends_pack() made; of other bytes it takes nothing. */
void pv_guestends_restore(struct pv_guestends *e, struct pv_view kept, pv_ns now);
struct pv_view pv_guestends_pack(const struct pv_guestends *e,
                                 uint8_t buf[static PV_GUESTENDS_BYTES]);
/* The file of that guest, which comes, names this address. PV_ERR_EXISTS: so it did before, or the
 * guest is here: what its file names, nobody else can know. PV_ERR_LIMIT: others that come have all
 * places. That is for another admin's guest (own false) alone; for an own one another gives way. */
PV_MUST_CHECK int pv_guestends_note(struct pv_guestends *e, const uint8_t pk[static PV_SIGN_PK_LEN],
                                    const struct pv_addr *at, bool by_door, bool own, pv_ns now);
/* Asks which guests are carried here (is_here), and forgets those that were and are no longer;
 * true: it forgot one. A guest whose statements have not come yet is kept while there is room. */
bool pv_guestends_settle(struct pv_guestends *e, bool (*is_here)(void *arg, const uint8_t *pk),
                         void *arg, pv_ns now);
/* Looks whether each still leads here, or its app came by another way. True: that one is another
 * address of this node. */
bool pv_guestends_look(struct pv_guestends *e, const struct pv_node *n, pv_ns now);
/* When the next one is late, or PV_NEVER. */
pv_ns pv_guestends_next(const struct pv_guestends *e);
/* Does a file name a door, or is there no better address for one that has to be changed? */
bool pv_guestends_want_door(const struct pv_guestends *e, const struct pv_node *n);
/* Puts what is wrong on the page. */
void pv_guestends_show(const struct pv_guestends *e, const struct pv_node *n,
                       struct pv_statuspage *st, pv_ns now);
