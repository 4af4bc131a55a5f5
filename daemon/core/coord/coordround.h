/* SPDX-License-Identifier: MIT */
/*
 * coordround.h - how a round of attempts to reach the coordinator ended, and what to tell people.
 */
#ifndef PV_COORDROUND_H
#define PV_COORDROUND_H

#include <stdbool.h>

/* The outcome that says most comes last. */
enum pv_coordround {
    PV_COORDROUND_SILENT, /* no answer; so far */
    PV_COORDROUND_NO_WAY,
    PV_COORDROUND_REFUSED,
    PV_COORDROUND_CLOSED,   /* connected, and closed before a byte came back */
    PV_COORDROUND_STRANGER, /* connected, and what came back did not prove the key */
    PV_COORDROUND_MUTE,     /* still connected, and nothing came back */
};

/* After one more address of the round has failed: what says most of all so far. */
enum pv_coordround pv_coordround_worse(enum pv_coordround round, bool connected, bool heard,
                                       int status);

/* v6: the address that was tried last; other: an address of the other family is known too. Static.
 */
const char *pv_coordround_text(enum pv_coordround round, bool v6, bool other);

#endif /* PV_COORDROUND_H */
