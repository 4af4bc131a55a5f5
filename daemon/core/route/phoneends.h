/* SPDX-License-Identifier: MIT */
/*
 * phoneends.h - where the apps of this node's phones look for it: the endpoint in the file of each,
 * as far as this node named it, and whether that leads here still. For part "phones" alone.
 *
 * The files are kept nowhere. So this is what says which of them have to be changed, and whether a
 * phone port is needed. An app that was corrected shows so itself: it comes by another way, and is
 * taken to have that address from then on.
 */
#pragma once

#include "base/addr.h"
#include "crypto/sign.h"
#include "daemon/core/node/node.h"
#include "daemon/core/packets/fp_builder.h"

enum {
    PV_PHONEENDS_COME = 4, /* ours: of phones that come; the oldest gives way */
    PV_PHONEENDS_MAX = PV_FP_MAX_PHONES + PV_PHONEENDS_COME,
    /* Bytes in the store: of each the key, by a phone port or not, length and text of the
     * address. */
    PV_PHONEENDS_BYTES = PV_PHONEENDS_MAX * (PV_SIGN_PK_LEN + 2 + PV_ADDR_TEXT),
};
#define PV_PHONEENDS_COMING \
    PV_S(600)                      /* ours: for so long the phone port is open for one that comes */
#define PV_PHONEENDS_LOST PV_S(30) /* ours: a mapping that is renewed is no news */

struct pv_statuspage;

struct pv_phoneend {
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_addr at;
    bool by_phone_port;
    bool here;  /* this node carries it */
    bool found; /* it does not lead here, but the app came by a way that nobody here knows */
    /* Until then a phone port is open for it, and its place is its own; PV_NEVER: it is late. */
    pv_ns come_by;
    /* It does not lead here since then, and the app has not come by another way; PV_NEVER: it
     * does, or nobody knows. */
    pv_ns lost_at;
};

struct pv_phoneends {
    struct pv_phoneend list[PV_PHONEENDS_MAX];
    size_t n;
};

/* Restores what pv_phoneends_pack() made; of other bytes it takes nothing. */
void pv_phoneends_restore(struct pv_phoneends *e, struct pv_view kept, pv_ns now);
struct pv_view pv_phoneends_pack(const struct pv_phoneends *e,
                                 uint8_t buf[static PV_PHONEENDS_BYTES]);
/* The file of that phone, which comes, names this address. PV_ERR_EXISTS: so it did before, or the
 * phone is here: what its file names, nobody else can know. PV_ERR_LIMIT: others that come have all
 * places. That is for another admin's phone (own false) alone; for an own one another gives way. */
PV_MUST_CHECK int pv_phoneends_note(struct pv_phoneends *e, const uint8_t pk[static PV_SIGN_PK_LEN],
                                    const struct pv_addr *at, bool by_phone_port, bool own,
                                    pv_ns now);
/* Asks which phones are carried here (is_here), and forgets those that were and are no longer;
 * true: it forgot one. A phone whose statements have not come yet is kept while there is room. */
bool pv_phoneends_settle(struct pv_phoneends *e, bool (*is_here)(void *arg, const uint8_t *pk),
                         void *arg, pv_ns now);
/* Looks whether each still leads here, or its app came by another way. True: that one is another
 * address of this node. */
bool pv_phoneends_look(struct pv_phoneends *e, const struct pv_node *n, pv_ns now);
/* When the next one is late, or PV_NEVER. */
pv_ns pv_phoneends_next(const struct pv_phoneends *e);
/* Does a file name a phone port, or is there no better address for one that has to be changed? */
bool pv_phoneends_want_phone_port(const struct pv_phoneends *e, const struct pv_node *n);
/* Puts what is wrong on the page. */
void pv_phoneends_show(const struct pv_phoneends *e, const struct pv_node *n,
                       struct pv_statuspage *st, pv_ns now);
