/* SPDX-License-Identifier: MIT */
/*
 * rulesedit.h - part "rulesedit": what an admin says of rules and tags. It signs the statements,
 * and answers when those who are there know them; what is in force is rules.h's. Keeps nothing.
 */
#pragma once

#include "daemon/core/node/part.h"
#include "proto/roster/roster_make.h"

extern const struct pv_part pv_part_rulesedit;

/* For other parts that make statements of the same kind, in slots (routes). */

/* The identity key of the member that text names, this node included; NULL: there is none, and the
 * client of the command (what) is told so. */
const uint8_t *pv_rulesedit_need_node(struct pv_node *n, const char *what, const char *text,
                                      uint64_t handle);
/* The same of a machine that is to lose something: also of one that waits, whose membership has
 * expired, or that left or was removed: what it was given stays, and may count again. */
const uint8_t *pv_rulesedit_need_known(struct pv_node *n, const char *what, const char *text,
                                       uint64_t handle);
/* Gives the machine the tag, as `tag` does, unless it has it. False: the client of the command
 * (what) is told why not. */
bool pv_rulesedit_give_tag(struct pv_node *n, const char *what,
                           const uint8_t node[static PV_SIGN_PK_LEN], const char *name,
                           uint64_t handle, pv_ns now);
/* Takes back a route, tag or rule in force, of whatever signer. */
PV_MUST_CHECK int pv_rulesedit_take_back(struct pv_node *n, const struct pv_statement *st,
                                         pv_ns now);
/* Takes back who may be the phone's gateway that has this address alone, as far as this node said
 * so, or (all) whoever did. PV_ERR_REFUSED, PV_ERR_LIMIT, PV_ERR_NOMEM: the rest stays. */
PV_MUST_CHECK int pv_rulesedit_drop_gateway(struct pv_node *n, const struct pv_addr *ip4, bool all,
                                            pv_ns now);
/* Says all tags, rules and routes in force that name the machine `from` of `to` instead, and takes
 * the former ones back. PV_ERR_LIMIT: there is no slot left; PV_ERR_REFUSED, PV_ERR_NOMEM.
 * Statements made before an error stay. */
PV_MUST_CHECK int pv_rulesedit_carry(struct pv_node *n, const uint8_t from[static PV_SIGN_PK_LEN],
                                     const uint8_t to[static PV_SIGN_PK_LEN], pv_ns now);
