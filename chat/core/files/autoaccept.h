/* SPDX-License-Identifier: MIT */
/*
 * autoaccept.h - whose files are taken without asking, by the rules of the configuration
 * ([chat] auto-accept).
 *
 * A rule for everybody holds for everybody. A rule with a name holds for the machine that the name
 * is pinned to (proto/roster/pins.h). Another one that has the name later is none of whom the user
 * trusted; the rule holds for it only once its user accepts one of its files by hand, which moves
 * the pin. Pure: the owner asks only about members of the roster, and keeps the bytes of
 * pv_autoaccept_save(). Not thread-safe.
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "chat/core/base/chatpart.h"

struct pv_autoaccept; /* opaque */

/* Rules are copied. saved: what pv_autoaccept_save() gave, or empty; what cannot be read of it is
 * left out, and said in the log, which is borrowed and may be NULL. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_autoaccept_new(struct pv_autoaccept **ret_rules,
                                    const struct pv_auto_accept *rules, size_t n,
                                    struct pv_view saved, const struct pv_log *log);
struct pv_autoaccept *pv_autoaccept_free(struct pv_autoaccept *a); /* NULL is fine; returns NULL */

/* The network whose members are asked about from now on; pins of another one end.
 * PV_NETWORK_ID_LEN bytes. */
void pv_autoaccept_enter(struct pv_autoaccept *a, const uint8_t *network_id);
/* Files of up to how many bytes are taken unasked of this member, as the roster names it now? 0:
 * none. Pins a rule with its name that is not pinned yet. */
uint64_t pv_autoaccept_max(struct pv_autoaccept *a, const char *name, const uint8_t *pk);
/* The user accepted a file of this member by hand: a rule with its name holds for it. */
void pv_autoaccept_trust(struct pv_autoaccept *a, const char *name, const uint8_t *pk);
/* The names that rules have, each once; NULL behind the last. */
const char *pv_autoaccept_name(const struct pv_autoaccept *a, size_t i);
/* Do files of the member that has the i-th name wait only because the rule is another machine's? */
bool pv_autoaccept_keeps_out(const struct pv_autoaccept *a, size_t i, const uint8_t *pk);

/* True once after a pin changed: then save them. */
bool pv_autoaccept_take_dirty(struct pv_autoaccept *a);
/* All pins as bytes, which the caller frees; NULL without memory. */
uint8_t *pv_autoaccept_save(const struct pv_autoaccept *a, size_t *ret_len);
