/* SPDX-License-Identifier: MIT */
/*
 * tls_ctx.c - contexts: certificates, keys, and the rules that all connections share.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "sys/net/tls.h"
#include "sys/net/tls_int.h"

/* Forward secrecy and AEAD only; TLS 1.3 has nothing else. */
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
/* The groups that a client offers. A key of ML-KEM, which newer libraries send unasked, makes a
 * hello of two segments, and boxes on the way that read only the first one drop it. It is no loss:
 * what goes through a connection of ours is hybrid inside. A server takes whatever its library
 * knows. */
static char client_groups[] = "X25519:P-256"; /* OpenSSL's macro drops const */

static int explain(char error[static PV_TLS_ERROR_MAX], const char *file, const char *why)
{
    snprintf(error, PV_TLS_ERROR_MAX, "%s: %s", file, why);
    return PV_ERR_REFUSED;
}

/* OpenSSL keeps a queue of errors; the last one is the cause of the others. */
static int explain_library(char error[static PV_TLS_ERROR_MAX], const char *file, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        return PV_ERR_NOMEM;
    snprintf(error, PV_TLS_ERROR_MAX, "%s: %s (%s)", file, what,
             reason == NULL ? "no reason given" : reason);
    return PV_ERR_REFUSED;
}

/* A key with a passphrase must not make a server ask on its terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)arg = true;
    return -1;
}

/* No tickets and no cache: a ticket key would outlive the forward secrecy of connections that live
 * for days. */
static int new_ctx(struct pv_tls_ctx **ret_ctx, bool is_server)
{
    struct pv_tls_ctx *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->refs = 1;
    c->is_server = is_server;
    c->ssl = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    c->wire = pv_tls_wire_new();
    if (c->ssl == NULL || c->wire == NULL ||
        SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(c->ssl, TLS12_CIPHERS) != 1 ||
        (!is_server && SSL_CTX_set1_groups_list(c->ssl, client_groups) != 1)) {
        pv_tls_ctx_free(c);
        return PV_ERR_NOMEM;
    }
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(c->ssl, 0);
    /* An idle connection keeps no record buffers: 34 KiB less for each. */
    SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
    *ret_ctx = c;
    return PV_OK;
}

/* A time of a certificate in Unix seconds. */
static int64_t unix_time(const ASN1_TIME *at)
{
    struct tm tm;
    memset(&tm, 0, sizeof(tm));
    return ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* The pin is over the public key alone (RFC 7469 s2.4), so it survives a renewed certificate. */
bool pv_tls_pin(X509 *cert, uint8_t ret_pin[static PV_TLS_PIN_LEN])
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool ok = len > 0 && EVP_Digest(der, (size_t)len, ret_pin, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return ok;
}

/* access() does not count capabilities: only opening the file tells. errno says why not. */
static bool can_read(const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int load_cert(struct pv_tls_ctx *c, const char *file, char error[static PV_TLS_ERROR_MAX])
{
    if (!can_read(file))
        return explain(error, file, strerror(errno));
    if (SSL_CTX_use_certificate_chain_file(c->ssl, file) != 1)
        return explain_library(error, file, "no certificate that can be used: give a PEM file");
    X509 *cert = SSL_CTX_get0_certificate(c->ssl);
    if (!pv_tls_pin(cert, c->cert.pin))
        return PV_ERR_NOMEM;
    c->cert.not_before = unix_time(X509_get0_notBefore(cert));
    c->cert.not_after = unix_time(X509_get0_notAfter(cert));
    return PV_OK;
}

/* A wrong key is told apart from an unreadable one: the first is the usual mistake after a
 * renewal. */
static int load_key(struct pv_tls_ctx *c, const char *cert_file, const char *file,
                    char error[static PV_TLS_ERROR_MAX])
{
    bool locked = false;
    if (!can_read(file))
        return explain(error, file, strerror(errno));
    SSL_CTX_set_default_passwd_cb(c->ssl, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(c->ssl, &locked);
    int done = SSL_CTX_use_PrivateKey_file(c->ssl, file, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(c->ssl, NULL);
    SSL_CTX_set_default_passwd_cb(c->ssl, NULL);
    if (locked)
        return explain(error, file, "the key has a passphrase: give one without");
    if (done != 1 && ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509) {
        snprintf(error, PV_TLS_ERROR_MAX, "%s: not the key of the certificate %s", file, cert_file);
        return PV_ERR_REFUSED;
    }
    if (done != 1)
        return explain_library(error, file, "no key that can be used: give a PEM file");
    return PV_OK;
}

int pv_tls_ctx_new_server(struct pv_tls_ctx **ret_ctx, const char *cert_file, const char *key_file,
                          char ret_error[static PV_TLS_ERROR_MAX])
{
    struct pv_tls_ctx *c = NULL;
    ERR_clear_error();
    int r = new_ctx(&c, true);
    if (r == PV_OK)
        r = load_cert(c, cert_file, ret_error);
    if (r == PV_OK)
        r = load_key(c, cert_file, key_file, ret_error);
    ERR_clear_error();
    if (r < 0)
        pv_tls_ctx_free(c);
    else
        *ret_ctx = c;
    return r;
}

struct pv_tls_cert pv_tls_ctx_cert(const struct pv_tls_ctx *ctx)
{
    return ctx->cert;
}

/* Verification is always on; what it accepts is decided by pv_tls_verify() for each connection. */
int pv_tls_ctx_new_client(struct pv_tls_ctx **ret_ctx, const char *ca_file,
                          char ret_error[static PV_TLS_ERROR_MAX])
{
    struct pv_tls_ctx *c = NULL;
    ERR_clear_error();
    int r = new_ctx(&c, false);
    if (r < 0)
        return r;
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(c->ssl, pv_tls_verify, NULL);
    if (ca_file == NULL) {
        /* The directory and not the bundle: it is only read when somebody asks for an authority. */
        r = SSL_CTX_set_default_verify_dir(c->ssl) == 1 ? PV_OK : PV_ERR_NOMEM;
    } else if (!can_read(ca_file)) {
        r = explain(ret_error, ca_file, strerror(errno));
    } else if (SSL_CTX_load_verify_file(c->ssl, ca_file) != 1) {
        r = explain_library(ret_error, ca_file, "no certificate in it: give a PEM file");
    }
    ERR_clear_error();
    if (r < 0)
        pv_tls_ctx_free(c);
    else
        *ret_ctx = c;
    return r;
}

struct pv_tls_ctx *pv_tls_ctx_ref(struct pv_tls_ctx *ctx)
{
    ctx->refs++;
    return ctx;
}

struct pv_tls_ctx *pv_tls_ctx_free(struct pv_tls_ctx *ctx)
{
    if (ctx == NULL || --ctx->refs > 0)
        return NULL;
    SSL_CTX_free(ctx->ssl);
    BIO_meth_free(ctx->wire);
    free(ctx);
    return NULL;
}
