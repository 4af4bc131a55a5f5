/* SPDX-License-Identifier: MIT */
/*
 * rulesedit.h - part "rulesedit": what an admin says of rules and tags. It signs the statements,
 * and answers when those who are there know them; what is in force is rules.h's. Keeps nothing.
 */
#ifndef PV_RULESEDIT_H
#define PV_RULESEDIT_H

#include "daemon/core/node/part.h"

extern const struct pv_part pv_part_rulesedit;

#endif /* PV_RULESEDIT_H */
