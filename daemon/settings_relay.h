/* SPDX-License-Identifier: MIT */
/* settings_relay.h - servers beside the coordinator: the values of [relay] turn, a URI as in RFC
 * 7065, and of [traversal] stun. Thread-safe. */
#ifndef PV_SETTINGS_RELAY_H
#define PV_SETTINGS_RELAY_H

#include "daemon/core/engine.h"

/*
 * "turn:HOST[:PORT][?transport=udp|tcp]" (3478) or "turns:HOST[:PORT][?transport=tcp]" (5349, TLS).
 * Without transport turn: means UDP, and TCP where UDP is blocked. PV_ERR_MALFORMED: *ret_why is a
 * sentence.
 */
PV_MUST_CHECK int pv_settings_relay_parse(const char *text, struct pv_relayway_server *ret_server,
                                          const char **ret_why);

/* "HOST[:PORT]" (3478) of [traversal] stun. PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_settings_stun_parse(const char *text, struct pv_stun_server *ret_server);

#endif /* PV_SETTINGS_RELAY_H */
