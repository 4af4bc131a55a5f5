/* SPDX-License-Identifier: MIT */
/*
 * ending.h - takes away what a key may: its membership, its rights, an invite. It holds at this
 * node at once, whatever the coordinator does, and goes to members from here.
 *
 * An admin's word stands on its rights unless a coordinator that root named has put it in order
 * (adr 0047). So before an admin loses its rights this node says in its own name what would fall
 * with them: removals, ends, routes, tags, rules, and the list of coordinators. Members that the
 * admin let in are named in the removal or the end itself.
 */
#pragma once

#include "crypto/sign.h"
#include "daemon/core/node/node.h"

struct pv_ctlapi_told;

/* Revokes a node or an invite, signed by this key. PV_ERR_NOT_FOUND: there is no such key;
 * PV_ERR_REFUSED: this node's roster does not take it; PV_ERR_NOMEM, PV_ERR_LIMIT. */
PV_MUST_CHECK int pv_ending_revoke(struct pv_node *n, struct pv_signer by,
                                   enum pv_st_revoked_kind kind,
                                   const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now);
/* Removes a node for good: an admin by root's key where that is here, else by this node's. Errors
 * as above. */
PV_MUST_CHECK int pv_ending_remove(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                                   pv_ns now);
/* Ends all rights of a key, signed by this key. Errors as above. */
PV_MUST_CHECK int pv_ending_rights(struct pv_node *n, struct pv_signer by,
                                   const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now);
/* Revokes the open invites of an admin, who has their tokens, and those that make admins: root
 * signs them, so nobody can say which of them it made, or has. keep: only counts them.
 * told->invites and told->invites_kept say what was done. Errors as above. */
PV_MUST_CHECK int pv_ending_invites(struct pv_node *n, struct pv_signer by,
                                    const uint8_t pk[static PV_SIGN_PK_LEN], bool keep,
                                    struct pv_ctlapi_told *told, pv_ns now);

/* Revokes the invites that ever let m in, those that let in more: by their tokens m could come back
 * as another machine. keep: only names them. told->invite and uses_left say what was done,
 * invite_id the one by which it came last, if that is among them; nothing is said where there is
 * none. Errors as above. */
PV_MUST_CHECK int pv_ending_invite_of(struct pv_node *n, const struct pv_member *m, bool keep,
                                      struct pv_ctlapi_told *told, pv_ns now);

/* Names in told->phones the phones of m, of which some fall when m is no member. */
void pv_ending_phones(const struct pv_node *n, const struct pv_member *m,
                      struct pv_ctlapi_told *told);

/* This node revokes its own open invites (as above), and gives up its rights if nothing that it
 * said would fall with them. */
void pv_ending_resign(struct pv_node *n, struct pv_ctlapi_told *told, pv_ns now);
