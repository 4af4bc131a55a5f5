/* SPDX-License-Identifier: MIT */
/*
 * owed.h - the part that tells the coordinator of removals and leaves until its receipt says that
 * it has them.
 *
 * A removal takes effect at the node that makes it and goes to the members; the
 * coordinator is one more that is told, and can neither prevent nor forget it. It owes every
 * revocation and leave in the roster without a receipt, whoever made it; so nothing has to be kept
 * over a restart, and members bring the word of one that has left already.
 *
 *   IDLE     nothing is owed                --a statement without receipt-->  ASKING, when online
 *   ASKING   a put is under way             --receipts for all-->             IDLE
 *                                           --refused, or silent for long-->  WAITING
 *   WAITING  until the next attempt         --time, a new connection,
 *                                             a statement more-->             ASKING
 *
 * The waits double from 2 s to 256 s, but for a coordinator that cannot store now ("storage"):
 * PV_COORD_STORAGE_RETRY.
 *
 * A removal by this node's user, or his word about rules, it spreads to every member that is
 * online, whatever the coordinator makes of it. Members with a session hear of it in-band
 * (rostersync_part.h). To each of the others goes a signal with the statements, sealed like every
 * signal, so that the coordinator sees no more than that; a member answers with its head. To one
 * that has not named the head of this node by then, because the signal was dropped or its version
 * takes no statements of members that it knows, a path is woken, over which both compare all that
 * they have. That goes on while the coordinator owes a receipt, and for a minute at least: one that
 * gives it may keep the statement to itself.
 */
#pragma once

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_owed;

#define PV_SPREAD_SOON PV_MS(200) /* ours: changes that come together go together */
#define PV_SPREAD_TICK PV_MS(500)
#define PV_SPREAD_IDLE PV_S(2)  /* ours: until members that came meanwhile are looked for */
#define PV_SPREAD_WAKE PV_S(10) /* ours: an answer takes two ways through the coordinator */
#define PV_SPREAD_MIN  PV_S(60)
enum {
    PV_SPREAD_SIGNALS = 16, /* ours: in a tick; the coordinator takes 100 a second */
    PV_SPREAD_WOKEN = 16,   /* ours: paths that are wanted at once, of thousands of members */
};

/* The roster has a new removal or leave: the coordinator is told at once, and pv_owed_told() counts
 * it from here on, though the facts that say so are not delivered yet. */
void pv_owed_hurry(struct pv_node *n, pv_ns now);

/* The name and address that this node has asked for and has not got, as the coordinator is away,
 * silent, or cannot store now; NULL: none, or it said no. Valid until the roster changes. */
const struct pv_st_place *pv_owed_wish(const struct pv_node *n);

/* The members that know of all removals and leaves. */
struct pv_owed_told {
    size_t online; /* members that are there, by presence or path */
    size_t know;   /* online members that have told the same head */
    /* "stored", "away", "silent" or the coordinator's error word; static */
    const char *coordinator;
    bool done; /* nobody is left who may still answer */
};
void pv_owed_told(const struct pv_node *n, struct pv_owed_told *ret_told);
