/* SPDX-License-Identifier: MIT */
/*
 * rules.h - part "rules": who may reach what. It keeps the rules and tags that are in force by the
 * roster, hands each peer's part of them to the packet threads, which keep everything else out, and
 * answers questions about them.
 *
 * Writes: the guard and the rules of all peers in node.fp. Signs nothing (rulesedit.h).
 */
#pragma once

#include "crypto/sign.h"
#include "daemon/core/node/node.h"
#include "proto/roster/roster_make.h"
#include "proto/roster/token.h"
#include "proto/rules/policy.h"

enum {
    PV_RULES_WHO = PV_NODE_WHO, /* bytes of whom a rule means: "tag:NAME", a machine, and the NUL */
};

extern const struct pv_part pv_part_rules;

/* The rules in force; valid until the roster's statements change. NULL: this node is in no network,
 * or has no memory. */
const struct pv_policy *pv_rules_policy(const struct pv_node *n);
/* The invite by which a machine came, whose tags it has, too. NULL: an admin let it in otherwise,
 * or it is none of this network's. */
const uint8_t *pv_rules_came_by(const struct pv_node *n, const uint8_t node[static PV_SIGN_PK_LEN]);
/* May a user give this valid name as a tag? Else the request is answered. */
bool pv_rules_may_be_tag(struct pv_node *n, const char *what, const char *tag, uint64_t handle);
/* This node as an admin says that a machine, or all that come by an invite, have a valid tag; the
 * statement is the caller's to publish. PV_ERR_LIMIT: it has said PV_RULE_SLOTS of them. */
PV_MUST_CHECK int pv_rules_make_tag(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                                    const char *tag, pv_ns now, struct pv_made *ret_made);
/* The verdict of the network's rules on this way, and, where it ends at this node, of its own
 * [firewall]. Without rules everything is allowed. */
struct pv_verdict pv_rules_decide(const struct pv_node *n,
                                  const uint8_t from[static PV_SIGN_PK_LEN],
                                  const uint8_t to[static PV_SIGN_PK_LEN], uint8_t proto,
                                  uint16_t port);
/* The services of daemons for their users, by the member that they come from: a file is sent,
 * although the receiver fetches it. */
enum pv_service {
    PV_SERVICE_PING,
    PV_SERVICE_CHAT,
    PV_SERVICE_FILES,
    PV_SERVICES,
};
const char *pv_service_name(enum pv_service service); /* as in rules: "ping", "chat", "files" */
const char *pv_service_is(enum pv_service service);   /* "is", "are" */
/* The same question of a service: may this node use it towards the member (to), or the member
 * towards this node? All who receive ask this, whatever way something came. */
struct pv_verdict pv_rules_serve(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN],
                                 enum pv_service service, bool to);
/* Is this node's user kept from it? Then the request is answered with the rule. */
bool pv_rules_refuse(const struct pv_node *n, const struct pv_peer *p, enum pv_service service,
                     const char *cmd, uint64_t handle);
/* The same of what `gateway` carries: the rules are kept there. */
struct pv_verdict pv_rules_decide_beyond(const struct pv_node *n,
                                         const uint8_t from[static PV_SIGN_PK_LEN],
                                         const uint8_t gateway[static PV_SIGN_PK_LEN],
                                         const struct pv_prefix *prefix, struct pv_port_range port);
/* This node carries these prefixes for members: rules about them hold from now on. Said before the
 * first packet may go there. PV_ERR_NOMEM: it is tried again. */
PV_MUST_CHECK int pv_rules_set_carried(struct pv_node *n, const struct pv_prefix *prefixes,
                                       size_t count, pv_ns now);
/* A phone of this node (adr 0090). Zeroed before it is filled: they are compared as
 * bytes. */
struct pv_rules_phone {
    uint8_t pk[PV_SIGN_PK_LEN];
    struct pv_addr ip4, ip6;
};
/* The same of phones, PV_FP_MAX_PHONES at most. */
PV_MUST_CHECK int pv_rules_set_phones(struct pv_node *n, const struct pv_rules_phone *phones,
                                      size_t count, pv_ns now);
/* This node is about to join by a token with this mark: until it knows the rules that this vouches
 * for it lets in answers only (closed.h). The caller has the store keep the mark. */
void pv_rules_close(struct pv_node *n, const uint8_t mark[static PV_TOKEN_RULES_LEN], pv_ns now);
/* Is that over, or was it never so? */
bool pv_rules_are_known(const struct pv_node *n);
/* The roster has new statements: rules among them hold for what comes behind them in the same read,
 * such as a copy that the coordinator kept, before any fact is told. */
void pv_rules_look(struct pv_node *n, pv_ns now);
/* The coordinator has listed all statements that it has. */
void pv_rules_listed(struct pv_node *n, pv_ns now);
/* Has it, or an admin, since this node entered the network? */
bool pv_rules_are_listed(const struct pv_node *n);
/* A description of a member named the digest of its rules (pv_roster_rules()). */
void pv_rules_named(struct pv_node *n, struct pv_peer *p,
                    const uint8_t rules[static PV_STATEMENT_HASH_LEN], pv_ns now);
/* Whom a selector means, as users write it; names are those of today. Returns buf. */
const char *pv_rules_who(const struct pv_node *n, const struct pv_selector *s,
                         char buf[static PV_RULES_WHO]);
