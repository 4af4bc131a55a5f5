/* SPDX-License-Identifier: MIT */
/*
 * enter.h - into the inside (GLOSSARY): how a process of this user gets to the network of
 * `p2pvpnd --user`. Nobody comes back from there, so a child goes.
 */
#pragma once

#include "base/pv.h"

/* The descriptor of the network of the process that p2pvpnd names in its status ("inside"); -1:
 * this process is there already, as one that run has started. PV_ERR_NOT_FOUND: the number is
 * another process' by now. -errno. */
PV_MUST_CHECK int pv_enter_open(int pid, int *ret_net);
/* The calling process, of one thread, goes there, with all rights of that network. -EPERM:
 * it is another user's. -errno. */
PV_MUST_CHECK int pv_enter(int net);
/* It gives back the rights that this gave it. -errno. */
PV_MUST_CHECK int pv_enter_drop_rights(void);

/* Forks a process that goes there and makes sockets for this one, which is what sys/net/inside.h
 * wants. It ends with this process. -errno. */
PV_MUST_CHECK int pv_enter_giver(int net, int *ret_giver);
