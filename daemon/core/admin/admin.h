/* SPDX-License-Identifier: MIT */
/*
 * admin.h - the part that makes statements at the user's wish: `invite`, `invite list`, `invite
 * revoke`, `remove`, `leave`. A statement goes to the coordinator; its receipt answers the user.
 * Revocations take effect without the coordinator too, because who is removed must not stay.
 */
#pragma once

#include "crypto/sign.h"
#include "daemon/core/node/part.h"

struct pv_ctlapi_told;

extern const struct pv_part pv_part_admin;

/* May this node sign what needs all of these rights now? Else handle is answered, and what: the
 * command's name. */
PV_MUST_CHECK bool pv_admin_may_sign(struct pv_node *n, const char *what, uint8_t rights,
                                     uint64_t handle);
/* p2pvpnd is to end: where this node is an ephemeral member (roster.h) it leaves as by the command.
 * False: it is none, or nobody can be told. */
PV_MUST_CHECK bool pv_admin_leave_at_end(struct pv_node *n, pv_ns now);
/* It has left its network, and its disk knows that. */
bool pv_admin_has_left(const struct pv_node *n);
/* A statement was made: handle is answered when those who are there know it, or after 3 s, with how
 * many do. */
void pv_admin_answer_when_told(struct pv_node *n, uint64_t handle, pv_ns now);
/* The same, with what told says of invites. */
void pv_admin_answer_with(struct pv_node *n, uint64_t handle, const struct pv_ctlapi_told *told,
                          pv_ns now);
