/* SPDX-License-Identifier: MIT */
/*
 * tls.h - TLS 1.2 and 1.3 (OpenSSL) between a stream of the wire and a stream of the program, on
 * bytes alone: it has no descriptor, sets no time limit and never blocks.
 *
 *   wire  -> pv_tls_handle_bytes()  ... pv_tls_read()  -> program
 *   program -> pv_tls_write()  ...  pv_tls_out(), pv_tls_wrote() -> wire
 *
 * The smallest owner, for both sides, whenever its descriptor is ready:
 *
 *   r = pv_stream_read(fd, buf, sizeof(buf), &n);
 *   if (r == PV_OK)
 *       r = pv_tls_handle_bytes(t, pv_view(buf, n));
 *   while (r == PV_OK && (r = pv_tls_read(t, buf, sizeof(buf), &n)) == PV_OK)
 *       use(buf, n);
 *   while (pv_tls_out(t).len > 0 && pv_stream_write(fd, pv_tls_out(t), &n) == PV_OK)
 *       pv_tls_wrote(t, n);   // also after an error: the alert tells the other side why
 *
 * ours: no ALPN (stock TURN clients send none, servers that read it differ), no tickets and no
 * session cache (connections live for days, a ticket key would outlive their forward secrecy), no
 * early data, no compression, no renegotiation, no client certificates. A client offers X25519 and
 * P-256, so that its hello is in the first segment of a connection. A sender that fills
 * records with single datagrams would wear a TLS 1.3 key out (RFC 8446 s5.5): it is updated.
 *
 * A context and its connections belong to one thread.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_TLS_PIN_LEN = 32,         /* bytes of SHA-256 */
    PV_TLS_ERROR_MAX = 256,      /* bytes of a sentence for people, NUL included */
    PV_TLS_IN_MAX = 128 * 1024,  /* bytes from the wire that have not been read yet */
    PV_TLS_OUT_MAX = 128 * 1024, /* bytes for the wire above which no more is written, DESIGN 7 */
    PV_TLS_HELLO_MAX = 16384,    /* ours: bytes of a ClientHello; post-quantum ones have 2,000 */
};

/* --- contexts: what many connections share --------------------------------------------------- */

struct pv_tls_ctx; /* opaque; connections keep theirs alive */

/* The facts about the certificate that a server shows. */
struct pv_tls_cert {
    /* SHA-256 of its SubjectPublicKeyInfo (DER), as in RFC 7469 s2.4: a renewed certificate with
     * the same key keeps the pin, so peers need not learn a new one. */
    uint8_t pin[PV_TLS_PIN_LEN];
    int64_t not_before, not_after; /* Unix seconds */
};

/*
 * A server's context from PEM files: the certificate with the chain behind it, and its key.
 * PV_ERR_REFUSED: a file is missing, is no certificate or key, is locked by a passphrase, or they
 * do not belong together; ret_error says which and what to do. PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_tls_ctx_new_server(struct pv_tls_ctx **ret_ctx, const char *cert_file,
                                        const char *key_file,
                                        char ret_error[static PV_TLS_ERROR_MAX]);
/* The facts about the own certificate of a server's context. */
struct pv_tls_cert pv_tls_ctx_cert(const struct pv_tls_ctx *ctx);

/*
 * A client's context. ca_file: PEM certificates to trust with PV_TLS_TRUST_CA, NULL: the system's.
 * PV_ERR_REFUSED with ret_error, PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_tls_ctx_new_client(struct pv_tls_ctx **ret_ctx, const char *ca_file,
                                        char ret_error[static PV_TLS_ERROR_MAX]);
/* Connections made from the context go on. NULL is fine; returns NULL. */
struct pv_tls_ctx *pv_tls_ctx_free(struct pv_tls_ctx *ctx);

/* --- connections ----------------------------------------------------------------------------- */

struct pv_tls; /* opaque; one end of one connection */

enum pv_tls_trust {
    /* Anybody: TLS as a disguise, for what authenticates itself inside (control channel: Noise). */
    PV_TLS_TRUST_ANY,
    PV_TLS_TRUST_PIN, /* whoever holds the key with this pin; names, dates and chain do not count */
    PV_TLS_TRUST_CA,  /* a certificate for the host by an authority, valid today */
};

/* The server a client expects. */
struct pv_tls_peer {
    enum pv_tls_trust trust;     /* what the server must prove */
    const char *host;            /* name (sent as SNI) or address; NULL only without TRUST_CA */
    uint8_t pin[PV_TLS_PIN_LEN]; /* TRUST_PIN: the key it must hold */
};

/* PV_ERR_NOMEM. Free with pv_tls_free(). */
PV_MUST_CHECK int pv_tls_new_server(struct pv_tls **ret_tls, struct pv_tls_ctx *ctx);
/* Its first bytes are in pv_tls_out() at once; peer is copied. PV_ERR_MALFORMED: the host is
 * missing where it is needed, or is neither a name nor an address. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_tls_new_client(struct pv_tls **ret_tls, struct pv_tls_ctx *ctx,
                                    const struct pv_tls_peer *peer);
struct pv_tls *pv_tls_free(struct pv_tls *tls); /* NULL is fine; returns NULL */

/*
 * Bytes that came by the wire, all of them; then read until PV_ERR_AGAIN and write what is in
 * pv_tls_out(). PV_ERR_LIMIT: nothing was taken, for more than PV_TLS_IN_MAX would wait: read
 * first. The rest end the connection, are repeated by every call after it, and pv_tls_error() has
 * the words: PV_ERR_MALFORMED (not TLS, or no version and cipher in common), PV_ERR_AUTH (the
 * server is not the one expected), PV_ERR_REFUSED (an alert of the other side), PV_ERR_NOMEM.
 */
PV_MUST_CHECK int pv_tls_handle_bytes(struct pv_tls *tls, struct pv_view data);
/* At least one byte for the program. PV_ERR_AGAIN: none (yet). PV_ERR_CLOSED: the other side has
 * ended its stream in order. Or as pv_tls_handle_bytes(). */
PV_MUST_CHECK int pv_tls_read(struct pv_tls *tls, void *buf, size_t cap, size_t *ret_n);
/* Takes as much as there is room for, at least one byte; data.len > 0. PV_ERR_AGAIN: the handshake
 * is not done, or PV_TLS_OUT_MAX waits for the wire. PV_ERR_STATE: after pv_tls_close(). Or as
 * pv_tls_handle_bytes(). */
PV_MUST_CHECK int pv_tls_write(struct pv_tls *tls, struct pv_view data, size_t *ret_n);
/* Ends our stream in order: the last bytes are in pv_tls_out(). Nothing more can be written. */
void pv_tls_close(struct pv_tls *tls);

/* Bytes that wait for the wire; valid until the next call that changes tls. */
struct pv_view pv_tls_out(const struct pv_tls *tls);
void pv_tls_wrote(struct pv_tls *tls, size_t n); /* n bytes of pv_tls_out() are on the wire */

/* Is the handshake done (a client: with the server that was expected)? */
bool pv_tls_is_ready(const struct pv_tls *tls);
/* Why it ended, for people; "" while it has not. Valid as long as tls. */
const char *pv_tls_error(const struct pv_tls *tls);
