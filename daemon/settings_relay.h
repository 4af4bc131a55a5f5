/* SPDX-License-Identifier: MIT */
/* settings_relay.h - the value of [relay] turn: a URI as in RFC 7065. Thread-safe. */
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

#endif /* PV_SETTINGS_RELAY_H */
