/* SPDX-License-Identifier: MIT */
/*
 * ruletable.h - the rules between two nodes, made ready for packets: which protocols and ports one
 * peer may reach here, and which rule says so.
 *
 * Made once by the control thread, read by any thread, never changed. A question costs a search in
 * the sorted bounds that the rules have among 256 ports. Counted references, control thread only.
 */
#pragma once

#include "proto/rules/ports.h"

enum {
    PV_RULE_DEFAULT = 0,     /* no rule is about it: what the network says by default */
    PV_RULE_LOCAL = 0x7fff,  /* [firewall] of this node */
    PV_RULE_UNSEEN = 0x7ffe, /* none: the ports of a packet are not to be seen */
    PV_RULE_CLOSED = 0x7ffd, /* none: the rules of the network are not known yet */
    PV_RULES_MAX = 0x7ffc,   /* rules with a number */
    PV_RULE_TEXT = 40,       /* bytes of how a rule is called, with the NUL */
};

/* One rule that is about these two nodes; the first one that has a port decides. */
struct pv_ruleline {
    uint16_t rule; /* its number, 1..PV_RULES_MAX */
    bool allow;
    const struct pv_ports *ports;
};

struct pv_verdict {
    bool allow;
    uint16_t rule; /* a number, or one of PV_RULE_DEFAULT, _LOCAL, _UNSEEN and _CLOSED */
};

struct pv_ruletable; /* opaque */

/* lines and what they point to are borrowed for the call. local: what this node itself lets in,
 * whatever the rules allow; NULL: all. PV_ERR_NOMEM, PV_ERR_LIMIT (a rule's number). */
PV_MUST_CHECK int pv_ruletable_new(const struct pv_ruleline *lines, size_t n, bool allow_default,
                                   const struct pv_ports *local, struct pv_ruletable **ret_table);
struct pv_ruletable *pv_ruletable_ref(struct pv_ruletable *t);   /* returns t */
struct pv_ruletable *pv_ruletable_unref(struct pv_ruletable *t); /* NULL is fine; returns NULL */

/* May the peer send this here? proto and port as in sets of ports. */
struct pv_verdict pv_ruletable_look(const struct pv_ruletable *t, uint8_t proto, uint16_t port);

/* For people: "rule 3", "default", "[firewall] of this node". Returns buf. */
const char *pv_rule_format(uint16_t rule, char buf[static PV_RULE_TEXT]);
#define PV_RULE_STR(rule) pv_rule_format(rule, (char[PV_RULE_TEXT]){0})
