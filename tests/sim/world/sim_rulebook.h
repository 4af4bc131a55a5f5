/* SPDX-License-Identifier: MIT */
/*
 * sim_rulebook.h - who is a member, who is an admin, which rules and which list of coordinators are
 * in force, as docs/PROTOCOL-NETWORK.md says it ("Receipts", "Rights and revocations", "Which
 * claims count" of "Roster"): sentence by sentence, over all statements that anybody holds, each
 * time from the beginning. Independent of lib/proto/roster but for the codec and the walk over what
 * a roster holds. Of what the simulator's users do not ask for nothing is here: conditions of
 * invites, other names, contests for a name.
 */
#pragma once

#include "proto/roster/roster.h"

enum {
    RULEBOOK_WORDS = 1024,
    RULEBOOK_RECEIPTS = 16, /* different ones for one statement */
};

struct rulebook_word {
    const struct pv_statement *st; /* the roster's, until that changes */
    struct pv_receipt receipts[RULEBOOK_RECEIPTS];
    size_t n_receipts;
    const struct pv_receipt *receipt;     /* the one that is kept; NULL: none */
    bool ordered;                         /* it is by a coordinator that root names */
    const struct rulebook_word *ended_by; /* of a grant */
    bool in_force;                        /* of types 6, 8, 9 and 18 */
};

struct rulebook {
    uint8_t root[PV_SIGN_PK_LEN];
    struct rulebook_word words[RULEBOOK_WORDS];
    size_t n;
};

void rulebook_clear(struct rulebook *b);
/* All that this roster holds, and its receipts. */
void rulebook_add(struct rulebook *b, const struct pv_roster *r);
/* Decides all that follows; nothing is added after it. */
void rulebook_judge(struct rulebook *b);

bool rulebook_is_member(const struct rulebook *b, const uint8_t *pk);
bool rulebook_is_removed(const struct rulebook *b, const uint8_t *pk);
uint8_t rulebook_rights(const struct rulebook *b, const uint8_t *pk); /* enum pv_st_right */
size_t rulebook_count_rules(const struct rulebook *b);
/* Those that are about different ports. An admin that ends another says its rules again, and both
 * are in force where the first one came to a coordinator before the end did. */
size_t rulebook_count_wishes(const struct rulebook *b);
/* The coordinators record in force; NULL: there is none. */
const struct pv_statement *rulebook_record(const struct rulebook *b);
