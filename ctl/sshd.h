/* SPDX-License-Identifier: MIT */
/* sshd.h - the verbs of `p2pvpnctl ssh` that are about this machine's sshd (adr 0134). */
#pragma once

#include "ctl/lib/cli.h"

/* authorized-keys USER FINGERPRINT: for sshd. Always 0. */
int pv_sshd_authorized_keys(struct pv_cli *cli, struct pv_ctlapi_request *req);
/* enable USER... */
int pv_sshd_enable(struct pv_cli *cli, struct pv_ctlapi_request *req);
/* disable: of this network; all: of every network of this machine. */
int pv_sshd_disable(struct pv_cli *cli, bool all);
