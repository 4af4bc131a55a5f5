/* SPDX-License-Identifier: MIT */
/*
 * tlscert.h - makes a self-signed certificate and its key, for a server nobody gave one to.
 *
 * It writes no file. Nodes know the certificate by its pin (tls.h), or authenticate inside TLS, so
 * that it needs nobody else's signature; browsers refuse it. Any thread.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_TLSCERT_PEM_MAX = 4096, /* bytes of the certificate or the key as PEM, NUL included */
    PV_TLSCERT_NAMES_MAX = 8,  /* names in one certificate */
};

struct pv_tlscert {
    char cert[PV_TLSCERT_PEM_MAX]; /* PEM text, NUL-terminated */
    char key[PV_TLSCERT_PEM_MAX];  /* PEM (PKCS#8), secret: wipe the struct after use */
};

/*
 * A new P-256 key (stock clients do not take Ed25519) and a version 3 certificate that it signs for
 * server use. names: host names or addresses without port, n of them, at most
 * PV_TLSCERT_NAMES_MAX; each becomes a subjectAltName, the first also the common name, unless it is
 * too long; without one that is "localhost", as anybody's certificate may have it: TLS 1.2 sends it
 * in clear. Valid from 2020 and without an end (RFC 5280 s4.1.2.5), whatever the clocks
 * say: trust ends when the key is replaced. PV_ERR_LIMIT, PV_ERR_CRYPTO.
 */
PV_MUST_CHECK int pv_tlscert_make(struct pv_tlscert *ret_cert, const char *const *names, size_t n);
