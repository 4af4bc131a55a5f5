/* SPDX-License-Identifier: MIT */
/*
 * apart.h - whether the network may be in two halves. Two admins who move it without knowing of
 * each other, or one whose word does not reach everybody before the former coordinator dies, leave
 * members at different coordinators, each content, and nobody can know of both. A node can see that
 * many members have not been there since the list of coordinators is another one. Whether they
 * could find it by themselves is for the owner to know (scout.h).
 *
 * In the owner's memory; zeroed = nothing is known. Not for networks that are too large for the
 * presence of all.
 */
#ifndef PV_APART_H
#define PV_APART_H

#include "daemon/core/node/node.h"

/* ours: members that are on follow within seconds */
#define PV_APART_AFTER PV_S(60)
#define PV_APART_META  "together" /* the list under which most members were seen, by its hash */

struct pv_apart {
    uint8_t record[PV_STATEMENT_HASH_LEN]; /* the list of coordinators that this is about */
    uint8_t together[PV_STATEMENT_HASH_LEN];
    pv_ns look_at; /* 0: not yet; PV_NEVER: there is nothing to find out */
    bool apart;
};

/* As it was kept; empty: nothing was. */
void pv_apart_restore(struct pv_apart *a, struct pv_view kept);
/* The list in force may be another one, or (anew) the connection came or went. */
void pv_apart_note(struct pv_apart *a, struct pv_node *n, bool anew, pv_ns now);
/* When the time is up: looks who was there. True: most were, and a->together is to be kept. */
bool pv_apart_handle_timeout(struct pv_apart *a, struct pv_node *n, pv_ns now);
/* How many of the other members have not been seen since; 0: too few to speak of, or unknown. */
size_t pv_apart_missing(const struct pv_apart *a, const struct pv_node *n, size_t *ret_others);

#endif /* PV_APART_H */
