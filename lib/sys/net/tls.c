/* SPDX-License-Identifier: MIT */
/*
 * tls.c - TLS 1.2 and 1.3 on bytes alone, by OpenSSL: contexts (certificates, keys and the rules
 * that all connections share) and connections. OpenSSL sees two memory buffers instead of a socket,
 * so the owner decides when to read and write, and a connection can be tested without a network.
 * All buffers have limits: the other side can be slow, greedy or hostile before it has proven
 * anything.
 */
#include "sys/net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

struct pv_tls_ctx {
    unsigned refs; /* the owner's and one a connection */
    bool is_server;
    SSL_CTX *ssl;
    BIO_METHOD *wire; /* tls.c: the two buffers of a connection as a BIO */
    uint8_t *spare;   /* SPARE bytes that a connection gave back; NULL: none */
    struct pv_tls_cert cert;
};

/* The wire of tls.c; NULL without memory. */
static BIO_METHOD *wire_new(void);
/* The decision about a server's certificate; SSL_CTX_set_cert_verify_callback(3). */
static int verify(X509_STORE_CTX *store, void *arg);

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
    c->wire = wire_new();
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
static bool tls_pin(X509 *cert, uint8_t ret_pin[static PV_TLS_PIN_LEN])
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    bool ok = len > 0 && EVP_Digest(der, (size_t)len, ret_pin, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return ok;
}

/* access() does not count capabilities: only opening the file tells. OpenSSL would say of a
 * directory that there is no certificate in it. errno says why not. */
static bool can_read(const char *file)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_dir = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    close(fd);
    errno = is_dir ? EISDIR : 0;
    return !is_dir;
}

static int load_cert(struct pv_tls_ctx *c, const char *file, char error[static PV_TLS_ERROR_MAX])
{
    if (!can_read(file))
        return explain(error, file, strerror(errno));
    if (SSL_CTX_use_certificate_chain_file(c->ssl, file) != 1)
        return explain_library(error, file, "no certificate that can be used: give a PEM file");
    X509 *cert = SSL_CTX_get0_certificate(c->ssl);
    if (!tls_pin(cert, c->cert.pin))
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

/* Verification is always on; what it accepts is decided by verify() for each connection. */
int pv_tls_ctx_new_client(struct pv_tls_ctx **ret_ctx, const char *ca_file,
                          char ret_error[static PV_TLS_ERROR_MAX])
{
    struct pv_tls_ctx *c = NULL;
    ERR_clear_error();
    int r = new_ctx(&c, false);
    if (r < 0)
        return r;
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(c->ssl, verify, NULL);
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

static struct pv_tls_ctx *ctx_ref(struct pv_tls_ctx *ctx)
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
    free(ctx->spare);
    free(ctx);
    return NULL;
}

enum {
    RECORD_MAX = 16384,     /* bytes of the program in a record, RFC 8446 s5.1 */
    RECORD_OVERHEAD = 256,  /* bytes at most around them, RFC 8446 s5.2 */
    FLIGHT_MAX = 32 * 1024, /* bytes of handshake and alerts that fit beside PV_TLS_OUT_MAX */
    HELLO_HEAD = 9,         /* bytes that tell how long a ClientHello is: record and message head */
    /* RFC 8446 s5.5: 2^24.5 records under one AES-GCM key; ours: a new one well before. */
    RECORDS_A_KEY = 1 << 22,
    BUF_FIRST = 2048, /* ours: bytes of the first allocation */
    SPARE = 65536,    /* ours: bytes of a buffer that is kept for the next connection */
};

/* Bytes at..len of ptr wait; nothing is kept while none do. */
struct tls_buf {
    uint8_t *ptr;
    size_t at, len, cap;
};

struct pv_tls {
    struct pv_tls_ctx *ctx;
    SSL *ssl;
    struct tls_buf in;       /* from the wire, not seen by OpenSSL yet */
    struct tls_buf out;      /* for the wire */
    struct pv_tls_peer peer; /* client; host is not kept */
    bool greeted;            /* server: the length of the ClientHello has been judged */
    bool ready;
    bool out_of_memory;
    int status; /* PV_OK, or why it has ended */
    unsigned records;
    char error[PV_TLS_ERROR_MAX];
};

/* --- buffers ------------------------------------------------------------------------------- */

static size_t buf_waits(const struct tls_buf *b)
{
    return b->len - b->at;
}

/* A connection that carries data fills a buffer and empties it in the same turn, thousands of times
 * a second: growing one from BUF_FIRST each time costs more than what is written. It holds
 * ciphertext alone, so it is not wiped. */
static void buf_done(struct pv_tls_ctx *ctx, struct tls_buf *b)
{
    if (b->cap == SPARE && ctx->spare == NULL)
        ctx->spare = b->ptr;
    else
        free(b->ptr);
    *b = (struct tls_buf){0};
}

static void buf_take(struct pv_tls_ctx *ctx, struct tls_buf *b, size_t n)
{
    b->at += n;
    if (b->at == b->len)
        buf_done(ctx, b); /* most of the time a connection has nothing to say */
}

/* Moved to the front before it grows: most buffers are emptied before they need to. */
static int buf_put(struct pv_tls_ctx *ctx, struct tls_buf *b, const void *data, size_t n)
{
    if (n == 0)
        return PV_OK;
    if (b->at > 0) {
        memmove(b->ptr, b->ptr + b->at, buf_waits(b));
        b->len -= b->at;
        b->at = 0;
    }
    if (b->cap == 0 && n > BUF_FIRST && ctx->spare != NULL) {
        *b = (struct tls_buf){.ptr = ctx->spare, .cap = SPARE};
        ctx->spare = NULL;
    }
    if (b->len + n > b->cap) {
        size_t cap = b->cap == 0 ? BUF_FIRST : b->cap;
        while (cap < b->len + n)
            cap *= 2;
        uint8_t *ptr = realloc(b->ptr, cap);
        if (ptr == NULL)
            return PV_ERR_NOMEM;
        b->ptr = ptr;
        b->cap = cap;
    }
    memcpy(b->ptr + b->len, data, n);
    b->len += n;
    return PV_OK;
}

/* --- the wire as OpenSSL sees it ------------------------------------------------------------- */

/* Nothing there is "ask again later" for OpenSSL, never the end of the stream: only the owner knows
 * the end. */
static int wire_read(BIO *bio, char *dst, size_t cap, size_t *ret_n)
{
    struct pv_tls *t = BIO_get_data(bio);
    size_t n = buf_waits(&t->in) < cap ? buf_waits(&t->in) : cap;
    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(dst, t->in.ptr + t->in.at, n);
    buf_take(t->ctx, &t->in, n);
    *ret_n = n;
    return 1;
}

/* Alerts and handshakes may use FLIGHT_MAX beyond the program's limit, or a full wire would
 * deadlock the handshake. */
static int wire_write(BIO *bio, const char *src, size_t n, size_t *ret_n)
{
    struct pv_tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (buf_waits(&t->out) + n > PV_TLS_OUT_MAX + FLIGHT_MAX) {
        BIO_set_retry_write(bio); /* somebody asks for answers and does not read them */
        return 0;
    }
    if (buf_put(t->ctx, &t->out, src, n) < 0) {
        t->out_of_memory = true;
        return 0;
    }
    *ret_n = n;
    return 1;
}

static long wire_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int wire_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *wire_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "p2pvpn wire");
    if (m == NULL || BIO_meth_set_read_ex(m, wire_read) != 1 ||
        BIO_meth_set_write_ex(m, wire_write) != 1 || BIO_meth_set_ctrl(m, wire_ctrl) != 1 ||
        BIO_meth_set_create(m, wire_create) != 1) {
        BIO_meth_free(m);
        return NULL;
    }
    return m;
}

/* --- who the server is ----------------------------------------------------------------------- */

/* Three ways to trust: anybody (something inside authenticates), the holder of one key, or a
 * certificate by an authority. A pin is compared with the key and not the certificate, so that
 * renewing one changes nothing. */
static int verify(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct pv_tls *t = SSL_get_app_data(ssl);
    uint8_t pin[PV_TLS_PIN_LEN];
    X509 *cert = X509_STORE_CTX_get0_cert(store);
    bool ok = false;
    switch (t->peer.trust) {
    case PV_TLS_TRUST_ANY:
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    case PV_TLS_TRUST_PIN:
        ok = cert != NULL && tls_pin(cert, pin) && memcmp(pin, t->peer.pin, sizeof(pin)) == 0;
        X509_STORE_CTX_set_error(store, ok ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
        return ok;
    case PV_TLS_TRUST_CA:
        break;
    }
    return X509_verify_cert(store) == 1;
}

/* --- how it ends ----------------------------------------------------------------------------- */

static int end_tls(struct pv_tls *t, int status, const char *why)
{
    t->status = status;
    snprintf(t->error, sizeof(t->error), "%s", why);
    return status;
}

/* Why a certificate was not believed. */
static const char *why_distrusted(long verdict)
{
    switch (verdict) {
    case X509_V_ERR_APPLICATION_VERIFICATION:
        return "the server does not hold the key it is known by";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "the server's certificate is for another name";
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "the server's certificate, or one it rests on, has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "the server's certificate is not valid yet: is the clock here right?";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "the server's certificate is from an authority that is not trusted here";
    default:
        return X509_verify_cert_error_string(verdict);
    }
}

/* OpenSSL's reasons become words that say who is at fault: the certificate, the other side, or no
 * TLS at all. */
static int end_by_library(struct pv_tls *t)
{
    unsigned long code = ERR_peek_last_error();
    long verdict = SSL_get_verify_result(t->ssl);
    const char *reason = ERR_reason_error_string(code);
    if (t->out_of_memory || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        return end_tls(t, PV_ERR_NOMEM, "out of memory");
    if (!t->ctx->is_server && verdict != X509_V_OK)
        return end_tls(t, PV_ERR_AUTH, why_distrusted(verdict));
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET)
        return end_tls(t, PV_ERR_REFUSED, reason == NULL ? "alert" : reason);
    /* A version nobody has: what plain text looks like when it is read as a record. */
    if (reason == NULL || (!t->ready && ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER))
        reason = "the other side does not speak TLS";
    return end_tls(t, PV_ERR_MALFORMED, reason);
}

/* The status of a call of OpenSSL that did not succeed. */
static int status_of_call(struct pv_tls *t, int ret)
{
    switch (SSL_get_error(t->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return PV_ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return PV_ERR_CLOSED;
    default:
        return end_by_library(t);
    }
}

static int continue_handshake(struct pv_tls *t)
{
    ERR_clear_error();
    int ret = SSL_do_handshake(t->ssl);
    int r = ret == 1 ? PV_OK : status_of_call(t, ret);
    if (r == PV_ERR_CLOSED)
        r = end_tls(t, PV_ERR_REFUSED, "closed during the handshake");
    t->ready = r == PV_OK;
    return r == PV_ERR_AGAIN ? PV_OK : r;
}

/* --- the two sides --------------------------------------------------------------------------- */

/* The context is counted, so that renewing a certificate does not break living connections. */
static int new_connection(struct pv_tls **ret_tls, struct pv_tls_ctx *ctx)
{
    struct pv_tls *t = calloc(1, sizeof(*t));
    BIO *bio = NULL;
    if (t == NULL)
        return PV_ERR_NOMEM;
    ERR_clear_error();
    t->ctx = ctx_ref(ctx);
    t->ssl = SSL_new(ctx->ssl);
    bio = BIO_new(ctx->wire);
    if (t->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        pv_tls_free(t);
        return PV_ERR_NOMEM;
    }
    BIO_set_data(bio, t);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    *ret_tls = t;
    return PV_OK;
}

int pv_tls_new_server(struct pv_tls **ret_tls, struct pv_tls_ctx *ctx)
{
    struct pv_tls *t = NULL;
    int r = new_connection(&t, ctx);
    if (r < 0)
        return r;
    SSL_set_accept_state(t->ssl);
    *ret_tls = t;
    return PV_OK;
}

/* The name asked for (SNI: names only, RFC 6066 s3), against which the certificate is held. */
static int set_host(struct pv_tls *t, const struct pv_tls_peer *peer)
{
    uint8_t ip[16];
    char name[TLSEXT_MAXLEN_host_name + 1]; /* of the call's own: OpenSSL's macro drops const */
    if (peer->host == NULL || peer->host[0] == '\0')
        return peer->trust == PV_TLS_TRUST_CA ? PV_ERR_MALFORMED : PV_OK;
    bool is_address =
        inet_pton(AF_INET, peer->host, ip) == 1 || inet_pton(AF_INET6, peer->host, ip) == 1;
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    int done = 1;
    if (snprintf(name, sizeof(name), "%s", peer->host) >= (int)sizeof(name))
        return PV_ERR_MALFORMED;
    if (!is_address)
        done = SSL_set_tlsext_host_name(t->ssl, name) == 1;
    if (done == 1 && peer->trust == PV_TLS_TRUST_CA)
        done = is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, peer->host)
                          : X509_VERIFY_PARAM_set1_host(param, peer->host, 0);
    return done == 1 ? PV_OK : PV_ERR_MALFORMED;
}

int pv_tls_new_client(struct pv_tls **ret_tls, struct pv_tls_ctx *ctx,
                      const struct pv_tls_peer *peer)
{
    struct pv_tls *t = NULL;
    int r = new_connection(&t, ctx);
    if (r < 0)
        return r;
    t->peer = *peer;
    t->peer.host = NULL;
    SSL_set_connect_state(t->ssl);
    r = set_host(t, peer);
    if (r == PV_OK)
        r = continue_handshake(t);
    if (r < 0)
        pv_tls_free(t);
    else
        *ret_tls = t;
    return r;
}

struct pv_tls *pv_tls_free(struct pv_tls *tls)
{
    if (tls == NULL)
        return NULL;
    SSL_free(tls->ssl);
    buf_done(tls->ctx, &tls->in);
    buf_done(tls->ctx, &tls->out);
    pv_tls_ctx_free(tls->ctx);
    free(tls);
    return NULL;
}

/*
 * OpenSSL makes room for a handshake message as soon as its head says how long it will be, up to
 * 128 KiB for nine bytes. PV_ERR_AGAIN: the head is not whole. RFC 8446 s4 and s5.1.
 */
static int judge_hello(struct pv_tls *t)
{
    const uint8_t *p = t->in.ptr + t->in.at;
    if (t->in.len - t->in.at < HELLO_HEAD)
        return PV_ERR_AGAIN;
    size_t len = ((size_t)p[6] << 16) | ((size_t)p[7] << 8) | p[8];
    if (p[0] != 22 || p[1] != 3 || p[5] != 1)
        return end_tls(t, PV_ERR_MALFORMED, "not a TLS ClientHello");
    if (len > PV_TLS_HELLO_MAX)
        return end_tls(t, PV_ERR_MALFORMED, "the ClientHello is too long");
    t->greeted = true;
    return PV_OK;
}

/* The length of the ClientHello is judged before OpenSSL sees it, see judge_hello(). */
int pv_tls_handle_bytes(struct pv_tls *tls, struct pv_view data)
{
    if (tls->status < 0)
        return tls->status;
    if (buf_waits(&tls->in) + data.len > PV_TLS_IN_MAX)
        return PV_ERR_LIMIT;
    if (buf_put(tls->ctx, &tls->in, data.ptr, data.len) < 0)
        return end_tls(tls, PV_ERR_NOMEM, "out of memory");
    if (tls->ready || buf_waits(&tls->in) == 0)
        return PV_OK;
    if (tls->ctx->is_server && !tls->greeted) {
        int r = judge_hello(tls);
        if (r < 0)
            return r == PV_ERR_AGAIN ? PV_OK : r;
    }
    return continue_handshake(tls);
}

int pv_tls_read(struct pv_tls *tls, void *buf, size_t cap, size_t *ret_n)
{
    size_t n = 0;
    if (tls->status < 0)
        return tls->status;
    if (!tls->ready || cap == 0)
        return PV_ERR_AGAIN;
    ERR_clear_error();
    int ret = SSL_read_ex(tls->ssl, buf, cap, &n);
    if (ret != 1)
        return status_of_call(tls, ret);
    *ret_n = n;
    return PV_OK;
}

/* The key is updated long before AES-GCM's limit (RFC 8446 s5.5): a relay connection seals millions
 * of small records. */
static int write_record(struct pv_tls *t, struct pv_view data)
{
    size_t n = 0;
    ERR_clear_error();
    if (++t->records % RECORDS_A_KEY == 0 && SSL_version(t->ssl) == TLS1_3_VERSION &&
        SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
        return end_by_library(t);
    int ret = SSL_write_ex(t->ssl, data.ptr, data.len, &n);
    return ret == 1 ? PV_OK : status_of_call(t, ret);
}

/* Takes whole records while they fit, so that the caller's stream is never cut in the middle of
 * what was counted. */
int pv_tls_write(struct pv_tls *tls, struct pv_view data, size_t *ret_n)
{
    size_t done = 0;
    int r = tls->status;
    if (r < 0)
        return r;
    if ((SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) != 0)
        return PV_ERR_STATE;
    while (tls->ready && done < data.len && r == PV_OK) {
        size_t n = data.len - done < RECORD_MAX ? data.len - done : RECORD_MAX;
        if (buf_waits(&tls->out) + n + RECORD_OVERHEAD > PV_TLS_OUT_MAX)
            break;
        r = write_record(tls, pv_view(data.ptr + done, n));
        if (r == PV_OK)
            done += n;
    }
    if (r < 0)
        return r;
    if (done == 0)
        return PV_ERR_AGAIN;
    *ret_n = done;
    return PV_OK;
}

void pv_tls_close(struct pv_tls *tls)
{
    if (tls->status < 0 || !tls->ready)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(tls->ssl); /* 0: the other side has not ended its stream yet, as expected */
}

struct pv_view pv_tls_out(const struct pv_tls *tls)
{
    return buf_waits(&tls->out) == 0 ? pv_view(NULL, 0)
                                     : pv_view(tls->out.ptr + tls->out.at, buf_waits(&tls->out));
}

void pv_tls_wrote(struct pv_tls *tls, size_t n)
{
    buf_take(tls->ctx, &tls->out, n);
}

bool pv_tls_is_ready(const struct pv_tls *tls)
{
    return tls->ready && tls->status == PV_OK;
}

const char *pv_tls_error(const struct pv_tls *tls)
{
    return tls->error;
}
