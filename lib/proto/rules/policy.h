/* SPDX-License-Identifier: MIT */
/*
 * policy.h - all rules of a network in order, and the tags of its nodes: who may reach what.
 *
 * The first rule that is about both nodes and the port decides; where none is, the default. Rules
 * have numbers from 1 on, which are their places in this order. The order follows from the rules
 * alone: by place, then by id. Nodes are identity keys; names are the caller's business.
 *
 * Filled once, then asked. No I/O. One thread. Fuzz target: fuzz_rules.
 */
#pragma once

#include "base/addr.h"
#include "base/text.h"
#include "proto/rules/logins.h"
#include "proto/rules/ruletable.h"

enum {
    PV_SELECTOR_MAX = 63,       /* ours: bytes of a selector's value; a tag, or a key */
    PV_SELECTOR_BYTES = 66,     /* kind u8, u16 length, value */
    PV_POLICY_ID_LEN = 32,      /* bytes: the hash of the statement that says it */
    PV_POLICY_MAX_TAGS = 65535, /* ours: pairs of node and tag */
};

/* Whom a rule means. */
enum pv_selector_kind {
    PV_SELECT_ANY = 0,
    PV_SELECT_NODE = 1, /* value: identity key */
    PV_SELECT_TAG = 2,  /* value: the tag, a valid name */
    /* The addresses behind nodes, only in `to`. Value: family u8 (4 or 6), bits u8, address. */
    PV_SELECT_PREFIX = 3,
};

struct pv_selector {
    uint8_t kind; /* enum pv_selector_kind */
    uint8_t len;
    uint8_t value[PV_SELECTOR_MAX + 1]; /* zeros behind len */
};

/* Reads all of bytes. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_selector_decode(struct pv_view bytes, struct pv_selector *ret_selector);
/* Returns how many bytes it wrote. */
size_t pv_selector_encode(const struct pv_selector *s, uint8_t buf[static PV_SELECTOR_BYTES]);

/* The prefix that a selector of that kind is about. False: it is of another kind. */
bool pv_selector_prefix(const struct pv_selector *s, struct pv_prefix *ret_prefix);
struct pv_selector pv_selector_of_prefix(const struct pv_prefix *prefix);

struct pv_policy_rule {
    uint8_t id[PV_POLICY_ID_LEN];
    uint64_t place; /* lower ones come first */
    bool allow;
    struct pv_selector from, to;
    struct pv_ports ports;
    struct pv_logins logins; /* of a rule that allows: accounts that it opens besides */
};

struct pv_policy; /* opaque */

PV_MUST_CHECK int pv_policy_new(struct pv_policy **ret_policy); /* PV_ERR_NOMEM */
struct pv_policy *pv_policy_free(struct pv_policy *p);          /* NULL is fine; returns NULL */
/* Before pv_policy_finish(). PV_ERR_LIMIT (PV_RULES_MAX, PV_POLICY_MAX_TAGS), PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_policy_add(struct pv_policy *p, const struct pv_policy_rule *rule);
PV_MUST_CHECK int pv_policy_tag(struct pv_policy *p, const uint8_t node[static PV_KEY_LEN],
                                const char *tag);
void pv_policy_deny_by_default(struct pv_policy *p);
/* The key whose tags a node has, too: the invite that it came by. NULL: none. ctx lives as long as
 * the policy. */
typedef const uint8_t *pv_policy_came_by(const void *ctx, const uint8_t node[static PV_KEY_LEN]);
void pv_policy_set_came_by(struct pv_policy *p, pv_policy_came_by *came_by, const void *ctx);
/* Puts rules and tags in order; questions come afterwards. */
void pv_policy_finish(struct pv_policy *p);

size_t pv_policy_count(const struct pv_policy *p);
/* The rule of this number, 1..pv_policy_count(). */
const struct pv_policy_rule *pv_policy_at(const struct pv_policy *p, size_t number);
bool pv_policy_denies_by_default(const struct pv_policy *p);
/* Does it restrict nobody: no rule, and the default allows? */
bool pv_policy_is_empty(const struct pv_policy *p);
/* The tags of a node: its own in ascending order, then those of what it came by; i from 0; NULL
 * after the last. */
const char *pv_policy_tag_of(const struct pv_policy *p, const uint8_t node[static PV_KEY_LEN],
                             size_t i);
bool pv_policy_has_tag(const struct pv_policy *p, const char *tag); /* any node has it */

/* The rules that are about this way from one node to another, in order, into lines, which has room
 * for pv_policy_count(). Their pointers are good as long as the policy. Returns how many. */
size_t pv_policy_lines(const struct pv_policy *p, const uint8_t from[static PV_KEY_LEN],
                       const uint8_t to[static PV_KEY_LEN], struct pv_ruleline *lines);
/* The verdict that a table of these lines would give. */
struct pv_verdict pv_policy_decide(const struct pv_policy *p, const uint8_t from[static PV_KEY_LEN],
                                   const uint8_t to[static PV_KEY_LEN], uint8_t proto,
                                   uint16_t port);
/* May `from` log in to this account of `to`? Only a rule that names the account says so, and none
 * by default. A rule that denies sshd's port and comes before it takes that back. The rule of a
 * verdict that does not allow it is that one; PV_RULE_DEFAULT: no rule names the account. */
struct pv_verdict pv_policy_login(const struct pv_policy *p, const uint8_t from[static PV_KEY_LEN],
                                  const uint8_t to[static PV_KEY_LEN], const char *account);

/* pv_policy_lines() of the way through the node `gateway` to a prefix that it carries. There rules
 * about anybody and about a prefix around it count, and those that deny the gateway: what a rule
 * allows of a node is that node alone. */
size_t pv_policy_lines_beyond(const struct pv_policy *p, const uint8_t from[static PV_KEY_LEN],
                              const uint8_t gateway[static PV_KEY_LEN],
                              const struct pv_prefix *prefix, struct pv_ruleline *lines);
struct pv_verdict pv_policy_decide_beyond(const struct pv_policy *p,
                                          const uint8_t from[static PV_KEY_LEN],
                                          const uint8_t gateway[static PV_KEY_LEN],
                                          const struct pv_prefix *prefix,
                                          struct pv_port_range port);
