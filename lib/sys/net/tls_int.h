/* SPDX-License-Identifier: MIT */
/* tls_int.h - what tls.c and tls_ctx.c share; nobody else includes it. */
#ifndef PV_TLS_INT_H
#define PV_TLS_INT_H

#include <openssl/ssl.h>

#include "sys/net/tls.h"

struct pv_tls_ctx {
    unsigned refs; /* the owner's and one a connection */
    bool is_server;
    SSL_CTX *ssl;
    BIO_METHOD *wire; /* tls.c: the two buffers of a connection as a BIO */
    struct pv_tls_cert cert;
};

struct pv_tls_ctx *pv_tls_ctx_ref(struct pv_tls_ctx *ctx);
/* The wire of tls.c; NULL without memory. */
BIO_METHOD *pv_tls_wire_new(void);
/* The decision about a server's certificate; SSL_CTX_set_cert_verify_callback(3). */
int pv_tls_verify(X509_STORE_CTX *store, void *arg);
/* The pin of a certificate. False without memory. */
bool pv_tls_pin(X509 *cert, uint8_t ret_pin[static PV_TLS_PIN_LEN]);

#endif /* PV_TLS_INT_H */
