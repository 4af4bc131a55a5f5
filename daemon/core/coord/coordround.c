/* SPDX-License-Identifier: MIT */
/* Sentences about a coordinator that is not reached. */
#include "daemon/core/coord/coordround.h"

#include <errno.h>

/* A stranger who answers says more than a refused connection, and that says more than an address to
 * which there is no route. */
enum pv_coordround pv_coordround_worse(enum pv_coordround round, bool connected, bool heard,
                                       int status)
{
    enum pv_coordround f =
        heard                     ? PV_COORDROUND_STRANGER
        : connected               ? PV_COORDROUND_CLOSED
        : status == -ECONNREFUSED ? PV_COORDROUND_REFUSED
        : status == -ENETUNREACH || status == -ENETDOWN || status == -EADDRNOTAVAIL
            ? PV_COORDROUND_NO_WAY
            : PV_COORDROUND_SILENT;
    return f > round ? f : round;
}

/* Often this machine has the one kind of address and the coordinator the other. */
static const char *no_way(bool v6, bool other)
{
    if (v6)
        return other
                   ? "there is no route to the coordinator's IPv6 address: is this machine's "
                     "network up, and has it IPv6?"
                   : "there is no route to the coordinator's IPv6 address, and no IPv4 address of "
                     "it is known: is this machine's network up, and has it IPv6?";
    return other ? "there is no route to the coordinator's IPv4 address: is this machine's network "
                   "up, and has it IPv4?"
                 : "there is no route to the coordinator's IPv4 address, and no IPv6 address of it "
                   "is known: is this machine's network up, and has it IPv4?";
}

const char *pv_coordround_text(enum pv_coordround round, bool v6, bool other)
{
    switch (round) {
    case PV_COORDROUND_MUTE:
        return "the coordinator's address accepts the connection and says nothing: the program "
               "there hangs, or is no coordinator";
    case PV_COORDROUND_STRANGER:
        return "the server at the coordinator's address does not prove the coordinator's key: it "
               "has another key now, or is another program (a login page of this network?)";
    case PV_COORDROUND_CLOSED:
        /* A coordinator cannot say anything to a node that does not know its key, nor does one that
         * is flooded to those whose place it gives away. */
        return "the coordinator's address closes the connection without an answer: the program "
               "there has another key than the one looked for, has no place for newcomers at the "
               "moment, or is no coordinator (a login page of this network?); one that was set up "
               "anew needs the coordinator.key of before from its backup";
    case PV_COORDROUND_REFUSED:
        return "the coordinator's address refuses the connection: does p2pvpn-coordinator run "
               "there?";
    case PV_COORDROUND_NO_WAY:
        return no_way(v6, other);
    case PV_COORDROUND_SILENT:
        break;
    }
    return "no answer from the coordinator's address: it is off, or TCP to it is filtered";
}
