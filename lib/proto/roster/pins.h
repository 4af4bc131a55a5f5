/* SPDX-License-Identifier: MIT */
/*
 * pins.h - which machines the names in the configuration mean ([chat] auto-accept, [lan] peer).
 *
 * A name is pinned to one machine: the first member that was seen with it. Another one that has the
 * name later is none of whom the user meant, until the owner moves the pin. A machine that is
 * renamed keeps its pin. Pins belong to a network, for names do, and go with their names. Pure: the
 * owner asks only about members of the roster, and keeps the bytes of pv_pins_save(). Not
 * thread-safe.
 */
#pragma once

#include "base/log.h"
#include "base/pv.h"
#include "proto/roster/roster.h"

struct pv_pins; /* opaque */

/* Room for so many names. key: of the configuration, for the log; both are borrowed, log may be
 * NULL. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_pins_new(struct pv_pins **ret_pins, size_t room, const char *key,
                              const struct pv_log *log);
struct pv_pins *pv_pins_free(struct pv_pins *p); /* NULL is fine; returns NULL */
/* A valid name, which stands once however often it is added; returns its place. */
size_t pv_pins_add(struct pv_pins *p, const char *name);
/* saved: what pv_pins_save() gave, or empty; what cannot be read of it is left out, and said in the
 * log. Behind all names: pins of others end. */
void pv_pins_load(struct pv_pins *p, struct pv_view saved);

/* The network whose members are asked about from now on; pins of another one end.
 * PV_NETWORK_ID_LEN bytes. */
void pv_pins_enter(struct pv_pins *p, const uint8_t *network_id);
/* The names, each once; NULL behind the last. */
const char *pv_pins_name(const struct pv_pins *p, size_t i);
/* The place of a name; false: it is none of them. */
bool pv_pins_find(const struct pv_pins *p, const char *name, size_t *ret_i);
/* A member has the i-th name: it is pinned to that unless it is to another one. */
void pv_pins_see(struct pv_pins *p, size_t i, const uint8_t *pk);
/* The i-th name means this member from now on. */
void pv_pins_move(struct pv_pins *p, size_t i, const uint8_t *pk);
/* Does it mean this machine? */
bool pv_pins_is(const struct pv_pins *p, size_t i, const uint8_t *pk);
/* Does it mean one, and not this? */
bool pv_pins_is_another(const struct pv_pins *p, size_t i, const uint8_t *pk);

/* All names as the members have them today: enters the network, and sees who has them. */
void pv_pins_look(struct pv_pins *p, const struct pv_roster *roster);
/* Does the i-th name mean a machine that is enrolled, or will it once it was looked for? */
bool pv_pins_is_somebody(const struct pv_pins *p, size_t i, const struct pv_roster *roster);

/* True once after a pin changed: then save them. */
bool pv_pins_take_dirty(struct pv_pins *p);
/* All pins as bytes, which the caller frees; NULL without memory. */
uint8_t *pv_pins_save(const struct pv_pins *p, size_t *ret_len);
