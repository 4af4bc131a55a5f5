/* SPDX-License-Identifier: MIT */
/*
 * admin.h - the part that makes statements at the user's wish: `invite`, `invite list`, `invite
 * revoke`, `remove`, `leave`. A statement goes to the coordinator; its receipt answers the user.
 * Revocations take effect without the coordinator too, because who is removed must not stay.
 */
#ifndef PV_ADMIN_H
#define PV_ADMIN_H

#include "crypto/sign.h"
#include "daemon/core/node/part.h"

struct pv_ctlapi_told;

extern const struct pv_part pv_part_admin;

/* May this node sign what needs all of these rights now? Else handle is answered, and what: the
 * command's name. */
PV_MUST_CHECK bool pv_admin_may_sign(struct pv_node *n, const char *what, uint8_t rights,
                                     uint64_t handle);
/* A statement was made: handle is answered when those who are there know it, or after 3 s, with how
 * many do. */
void pv_admin_answer_when_told(struct pv_node *n, uint64_t handle, pv_ns now);
/* The same, with what told says of invites. */
void pv_admin_answer_with(struct pv_node *n, uint64_t handle, const struct pv_ctlapi_told *told,
                          pv_ns now);

#endif /* PV_ADMIN_H */
