/* SPDX-License-Identifier: MIT */
/*
 * admin.h - the part that makes statements at the user's wish: `invite`, `invite list`, `invite
 * revoke`, `remove`, `leave`. A statement goes to the coordinator; its receipt answers the user.
 * Revocations take effect without the coordinator too, because who is removed must not stay.
 */
#ifndef PV_ADMIN_H
#define PV_ADMIN_H

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_admin;

#endif /* PV_ADMIN_H */
