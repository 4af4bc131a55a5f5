/* SPDX-License-Identifier: MIT */
/*
 * scout.h - the part that visits the coordinators which this node is not connected to: those of the
 * list in force that stand before the one in use, and those that any other list names. While none
 * of the list in force lets this node in, all are asked whether they know another list.
 *
 * A preferred coordinator that lets this node in is there again, and the node goes back to it. A
 * coordinator that does not know the record in force gets it from this node, and hands it to the
 * members that are connected to nobody else; if its own record is the better one, this node takes
 * that. So it is enough that one member knows of both coordinators.
 *
 * A visit is a second connection beside the one in use, as a member, or as an applicant where no
 * member is let in, for as long as one question takes. Members visit at random times, and in a
 * larger network each of them less often, so that a coordinator that comes back is not run down.
 *
 *   IDLE  --a place's time-->                    VISIT  connects
 *   VISIT --welcome, with another record-->      TELL   puts the record in force, and removals
 *   VISIT --welcome, TELL --answer-->            IDLE   back to it, if it is preferred
 *   any   --refused, lost, silent-->             IDLE   tried again later
 *   any   --the one in use comes or goes-->      IDLE   planned anew
 */
#pragma once

#include "daemon/core/node/part.h"

/* ours: a preferred coordinator is visited this often while another one is in use, at random within
 * the second half; in networks above 12,000 members less often, 5 ms a member */
#define PV_SCOUT_HOME PV_S(60)
/* ours: who had to leave it again within PV_SCOUT_STEADY waits twice as long, up to this */
#define PV_SCOUT_HOME_MAX PV_S(900)
#define PV_SCOUT_STEADY   PV_S(600)
/* ours: the first visit to one that is to be told is within so much for each member, so that all of
 * them together make one in about four seconds; at most PV_SCOUT_TELL_MAX */
#define PV_SCOUT_TELL     PV_S(5)
#define PV_SCOUT_TELL_MAX PV_S(600)
/* ours: the wait doubles with each failure, up to this */
#define PV_SCOUT_TELL_LAST PV_S(3600)
#define PV_SCOUT_LIMIT     PV_S(5) /* ours: of one visit; one that is there needs a few round trips */

extern const struct pv_part pv_part_scout;
