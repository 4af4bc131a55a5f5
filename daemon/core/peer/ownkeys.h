/* SPDX-License-Identifier: MIT */
/*
 * ownkeys.h - the transport keys of this node, for who opens what others sealed: they may not have
 * heard yet that it uses another one.
 */
#pragma once

#include "daemon/core/node/config.h"
#include "proto/wireguard/noise.h"

/* The key in use: what this node seals is sealed with it. Borrows the secret half. */
struct pv_noise_static pv_ownkeys_current(const struct pv_identity *id);
/* All that are answered, the one in use first; *iter = 0 before the first. False: no more. */
PV_MUST_CHECK bool pv_ownkeys_next(const struct pv_identity *id, size_t *iter,
                                   struct pv_noise_static *ret_key);
