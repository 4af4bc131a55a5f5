/* SPDX-License-Identifier: MIT */
/*
 * streamtls.h - a TCP connection read and written through TLS: the calls of sys/net/stream.h, with
 * the bytes of sys/net/tls.h in between.
 *
 * The owner watches the descriptor for reading, and for writing while pv_streamtls_is_full().
 * Descriptor and TLS end are the owner's. Not thread-safe.
 */
#pragma once

#include "base/pv.h"
#include "sys/net/tls.h"

/* Bytes for the program. Call it until PV_ERR_AGAIN, because more may wait than the descriptor
 * shows. PV_ERR_CLOSED, -errno, and the errors of pv_tls_read(). */
PV_MUST_CHECK int pv_streamtls_read(struct pv_tls *tls, int fd, void *buf, size_t cap,
                                    size_t *ret_n);
/* Takes at least one byte of data. PV_ERR_AGAIN: the wire is full or the handshake is not done. */
PV_MUST_CHECK int pv_streamtls_write(struct pv_tls *tls, int fd, struct pv_view data,
                                     size_t *ret_n);
/* Writes what TLS has to say. PV_OK: nothing is left; PV_ERR_AGAIN: the kernel takes no more now;
 * -errno. */
PV_MUST_CHECK int pv_streamtls_flush(struct pv_tls *tls, int fd);
/* Returns true if TLS has bytes that are not written yet. */
bool pv_streamtls_is_full(const struct pv_tls *tls);
