/* SPDX-License-Identifier: MIT */
/*
 * hostctl.h - the few switches below /proc/sys/net that routes and exits need, and what they were
 * before. For the helper only.
 *
 * The former values are kept in a file too, so that a helper that was killed is cleaned up after by
 * the next one.
 */
#pragma once

#include "base/netplan.h"
#include "base/pv.h"

enum {
    PV_HOSTCTL_KEPT = 256,     /* switches that were changed: some, and two for each interface */
    PV_HOSTCTL_KEY_MAX = 64,   /* bytes of "ipv6/conf/IFNAME/accept_ra", with the NUL */
    PV_HOSTCTL_PATH_MAX = 272, /* bytes of the file's path, with the NUL */
    PV_HOSTCTL_ERROR_MAX = 200,
};

struct pv_hostctl {
    char path[PV_HOSTCTL_PATH_MAX]; /* of the file; "": none is kept */
    struct pv_hostctl_kept {
        char key[PV_HOSTCTL_KEY_MAX]; /* below /proc/sys/net */
        int before;
    } kept[PV_HOSTCTL_KEPT];
    size_t n;
    /* The interface whose name our table in the kernel has; and the one that it had in an earlier
     * life, while a table of that name may be left. "": not known; there is none. */
    char ifname[PV_NETPLAN_IFNAME], former[PV_NETPLAN_IFNAME];
    unsigned slot; /* networds.h: of this network of the machine alone, */
    bool has_slot; /* it has one, */
    bool has_said; /* and the file says so to the others */
    bool has_exit; /* rules and routes of an exit in the kernel are this network's */
};

/* The number in a file below /proc; -1: there is none, or no such file. */
int64_t pv_switch_read(const char *path);
PV_MUST_CHECK int pv_switch_write(const char *path, const char *text); /* -errno */

/* How the switches shall be. */
struct pv_hostctl_wants {
    bool forward4, forward6;
    /* Of IPv4, beside our own, which interfaces forward what comes in: IPv6 has one switch for all.
     */
    char (*from4)[PV_NETPLAN_IFNAME];
    size_t n_from4;
    bool no_redirects;  /* the kernel sends no ICMP redirects to our interface */
    bool valid_mark;    /* the check of a source's way back looks at marks */
    const char *ifname; /* ours: nothing of IPv6 is set on it */
};

/* Takes over what a helper before has left in the file; false: there is no file, so nothing was
 * left. */
bool pv_hostctl_load(struct pv_hostctl *ctl);
/* Takes the slot that the file has, the wanted one or the next (of count) that no other network's
 * file has; these are in the same directory and end as this one does. Kept until the file goes. */
void pv_hostctl_take_slot(struct pv_hostctl *ctl, unsigned wanted, unsigned count);
/* Has another network an exit in the kernel, be its p2pvpnd there or not? */
bool pv_hostctl_has_other_exit(const struct pv_hostctl *ctl);
/* Is another network's interface called so? */
bool pv_hostctl_is_anothers(const struct pv_hostctl *ctl, const char *ifname);
/* The file exists from now on, even when it is empty: something of ours is in the kernel. */
void pv_hostctl_mark(const struct pv_hostctl *ctl);
/* Forwarding that somebody else has switched on since is theirs: what we have done is forgotten. */
void pv_hostctl_release(struct pv_hostctl *ctl);
/* Does this interface forward IPv4 because of this machine's networks alone? wanted: this one wants
 * it to, or else it is another's doing. */
bool pv_hostctl_alone4(const struct pv_hostctl *ctl, const char *ifname, bool wanted);
/* The same of IPv6 and the whole host. */
bool pv_hostctl_alone6(const struct pv_hostctl *ctl, bool wanted);
/* Switches on what is wanted and back what is not any more; may be repeated. ret_error: "" or what
 * failed, why, and what to do. */
void pv_hostctl_apply(struct pv_hostctl *ctl, const struct pv_hostctl_wants *wants,
                      char ret_error[static PV_HOSTCTL_ERROR_MAX]);
/* The file goes. */
void pv_hostctl_forget(struct pv_hostctl *ctl);
