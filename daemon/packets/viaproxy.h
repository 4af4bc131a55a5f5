/* SPDX-License-Identifier: MIT */
/*
 * viaproxy.h - a TCP connection to an HTTP proxy on its way to the coordinator: asks by CONNECT and
 * reads the answer (proto/local/connect.h), before TLS begins. For streams of control and of
 * relays.
 *
 * The descriptor is the owner's, who watches it for reading, and for writing while
 * pv_viaproxy_is_full(). Not thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "proto/local/connect.h"

struct pv_viaproxy; /* opaque */

/* to: "HOST:PORT" of the coordinator; login: NULL sends none; both are copied. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_viaproxy_new(struct pv_viaproxy **ret_via, const char *to,
                                  const struct pv_connect_login *login);
struct pv_viaproxy *pv_viaproxy_free(struct pv_viaproxy *v); /* wipes; NULL is fine; returns NULL */

/* Once TCP is up, and then whenever the descriptor is ready: writes the request and reads into buf.
 * PV_OK: the way is open, and *ret_rest is what came behind the answer, in buf. PV_ERR_AGAIN.
 * PV_ERR_REFUSED: it is not, and the answer says why. */
PV_MUST_CHECK int pv_viaproxy_turn(struct pv_viaproxy *v, int fd, uint8_t *buf, size_t cap,
                                   struct pv_view *ret_rest);
/* Returns true if a part of the request is not written yet. */
bool pv_viaproxy_is_full(const struct pv_viaproxy *v);
struct pv_connect_answer pv_viaproxy_answer(const struct pv_viaproxy *v);
