/* SPDX-License-Identifier: MIT */
/*
 * askers.h - from where nodes that wait to be admitted (adr 0022) were seen to ask last. Admins of
 * the network are told it as a hint: the node's key is proven, its address is what this coordinator
 * saw. In memory only, a few of each network: of more the one that asked longest ago is forgotten.
 */
#pragma once

#include "coordinator/core/member/cnet.h"

/* The node asked, from this address. Without memory nothing is noted. */
void pv_askers_note(struct pv_cnet *net, const uint8_t node[static PV_SIGN_PK_LEN],
                    const struct pv_addr *from, uint64_t time_us);
/* Those who still wait, in no order; returns how many. */
size_t pv_askers_list(const struct pv_cnet *net,
                      struct pv_ctl_asker ret_askers[static PV_CTL_ASKERS_MAX]);
struct pv_askers *pv_askers_free(struct pv_askers *a); /* NULL is fine; returns NULL */
