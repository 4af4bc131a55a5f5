/* SPDX-License-Identifier: MIT */
/*
 * coordwait.h - how long a node waits before it tries its coordinator again: full jitter over a
 * window that doubles, so that thousands of nodes do not come back in one second (DESIGN 4).
 *
 * An address that refuses belongs to a machine that is up and a program that is not: a restart, and
 * no overload. For its first minute nobody waits long, else the slowest would be away for half a
 * minute after a restart of three seconds; nor does whoever is turned away in the crowd that comes
 * back then.
 *
 * A welcome ends all that, but not for ever: a coordinator, or a proxy before it, that lets a node
 * in and closes the connection, again and again, is asked less and less often until one connection
 * has lasted. Pure; zeroed = nothing has failed.
 */
#pragma once

#include <stdbool.h>

#include "base/pv.h"
#include "base/remedy.h"

/* --- the round of attempts ------------------------------------------------------------------- */

/* How a round of attempts to reach the coordinator ended, and what to tell people. */

/* The outcome that says most comes last. */
enum pv_coordround {
    PV_COORDROUND_SILENT,    /* no answer; so far */
    PV_COORDROUND_UNREACHED, /* the next router is silent, or one says that it leads nowhere */
    PV_COORDROUND_NO_WAY,
    PV_COORDROUND_REFUSED,
    PV_COORDROUND_CLOSED,   /* connected, and closed before a byte came back */
    PV_COORDROUND_STRANGER, /* connected, and what came back did not prove the key */
    PV_COORDROUND_MUTE,     /* still connected, and nothing came back */
};

/* After one more address of the round has failed: what says most of all so far. */
enum pv_coordround pv_coordround_worse(enum pv_coordround round, bool connected, bool heard,
                                       int status);

/* v6: the address that was tried last; other: an address of the other family is known too. */
struct pv_reason pv_coordround_text(enum pv_coordround round, bool v6, bool other);

/* --- the wait --------------------------------------------------------------------------------- */

#define PV_COORDWAIT_MIN    PV_MS(500) /* DESIGN 4 */
#define PV_COORDWAIT_MAX    PV_S(30)   /* DESIGN 4 */
#define PV_COORDWAIT_HURRY  PV_S(3)    /* ours: the same, while somebody waits for it */
#define PV_COORDWAIT_REFUSE PV_S(5)    /* ours: the same, while the address refuses */
#define PV_COORDWAIT_MINUTE PV_S(60)   /* ours: since its first refusal */
#define PV_COORDWAIT_OTHERS PV_S(2)    /* ours: for the other addresses once one has refused */
enum {
    PV_COORDWAIT_WELCOMES = 3, /* ours: so many restarts in a row are believed */
};

struct pv_coordwait {
    unsigned welcomes; /* since a connection lasted; counted a little beyond the limit */
    unsigned failures; /* since the last welcome that was believed */
    pv_ns hurry_until; /* packets may wait for the coordinator until then */
    pv_ns refused_at;  /* the first refusal since such a welcome; 0: none */
    bool refuses;      /* the last round ended so, or in the crowd after it */
};

/* A round of attempts has ended so. */
void pv_coordwait_note(struct pv_coordwait *w, enum pv_coordround round, pv_ns now);
/* The coordinator lets this node in. */
void pv_coordwait_welcome(struct pv_coordwait *w);
/* A connection has lasted, or there is reason to begin anew. */
void pv_coordwait_reset(struct pv_coordwait *w);
/* Returns true if so many connections in a row were welcome and none has lasted. Haste makes that
 * worse. */
bool pv_coordwait_is_dropped(const struct pv_coordwait *w);
/* The pause after the failures so far. */
pv_ns pv_coordwait_pause(const struct pv_coordwait *w, const struct pv_rng *rng, pv_ns now);
/* Returns the end of a round that lasts until deadline, after one of its addresses has failed. An
 * address that refuses answers at once. If a firewall swallows packets to the others, as in a
 * hotel, the round would use all its time although the coordinator is long back. So the others get
 * PV_COORDWAIT_OTHERS after the last one has begun, and twice that after each failure, for
 * coordinators that are far away. */
pv_ns pv_coordwait_others(const struct pv_coordwait *w, enum pv_coordround round, pv_ns deadline,
                          pv_ns last_begins);
/* Two machines with one key would push each other out for ever: take turns slowly. */
pv_ns pv_coordwait_long(const struct pv_rng *rng);
