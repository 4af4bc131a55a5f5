/* SPDX-License-Identifier: MIT */
/*
 * boxes.h - the part that seals bytes for members that are away, has the coordinator keep the boxes
 * for them, and collects the boxes that are kept for this node (docs/PROTOCOL-PEERS.md "Stored
 * copies"). It keeps nothing itself, and looks at no content: it has one user, which asks and is
 * told the answers.
 */
#pragma once

#include "daemon/core/node/part.h"
#include "proto/control/copybox.h"
#include "proto/control/ctlmsg.h"

extern const struct pv_part pv_part_boxes;

/* The functions of the user. Each may call all functions below. */
struct pv_boxes_user {
    /* The answer to pv_boxes_keep(). PV_CTL_E_NONE: the coordinator has the box. */
    void (*kept)(void *user, enum pv_ctl_error why, pv_ns now);
    /* The answer to pv_boxes_collect(). copy: its n is 0 if there is none. NULL: the coordinator
     * did not say, and why is its reason. Borrowed. */
    void (*collected)(void *user, const struct pv_ctl_copy *copy, enum pv_ctl_error why, pv_ns now);
    /* A box for this node came to the coordinator just now. */
    void (*news)(void *user, pv_ns now);
};
/* Says who is told, and how; borrowed. functions NULL: nobody. Without the part, does nothing. */
void pv_boxes_use(struct pv_node *n, const struct pv_boxes_user *functions, void *user);

/* Seals content, at most PV_COPYBOX_CONTENT_MAX bytes, for the member to: as a hybrid box if both
 * can. The seal covers network, sender and receiver, so that a box is of no use anywhere else.
 * PV_ERR_NOT_FOUND (no such peer), PV_ERR_REFUSED (the user wants hybrid boxes alone, and this is
 * none), PV_ERR_STATE (in no network), or an error of pv_copybox_seal(). */
PV_MUST_CHECK int pv_boxes_seal(struct pv_node *n, const uint8_t to[static PV_SIGN_PK_LEN],
                                struct pv_view content, uint8_t ret_box[static PV_COPYBOX_MAX],
                                size_t *ret_len);
/* Opens a box that from is said to have sealed for this node, with the transport key in use or a
 * former one. PV_ERR_AGAIN: another start of this program may open it, with a library that has
 * ML-KEM. PV_ERR_STATE (in no network), or an error of pv_copybox_open(). */
PV_MUST_CHECK int pv_boxes_open(const struct pv_node *n, const uint8_t from[static PV_SIGN_PK_LEN],
                                struct pv_view box,
                                uint8_t ret_content[static PV_COPYBOX_CONTENT_MAX],
                                size_t *ret_len);

/* Has the coordinator keep a box for the member to. key: of PV_CTL_KEY_LEN bytes; a box with the
 * same key is the same box. kept() follows, or the connection ends. Errors: pv_coord_ask()'s. */
PV_MUST_CHECK int pv_boxes_keep(struct pv_node *n, const uint8_t to[static PV_SIGN_PK_LEN],
                                const uint8_t *key, struct pv_view box);
/* Asks for this node's box behind the number `after`; the coordinator may forget the box with the
 * number `taken` (0: none). collected() follows, or the connection ends. Errors: pv_coord_ask()'s.
 */
PV_MUST_CHECK int pv_boxes_collect(struct pv_node *n, uint64_t after, uint64_t taken);
