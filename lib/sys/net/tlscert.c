/* SPDX-License-Identifier: MIT */
/*
 * tlscert.c - makes a self-signed certificate for a server that was given none. Its holder is known
 * by the pin of its key, so names and dates only have to be acceptable to stock clients.
 */
#include "sys/net/tlscert.h"

#include <arpa/inet.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

enum {
    SERIAL_LEN = 16,     /* bytes, RFC 5280 s4.1.2.2 asks for at most 20 */
    COMMON_NAME_MAX = 64 /* characters, RFC 5280 appendix A.1 ub-common-name */
};
#define NO_NAME    "localhost"
#define NOT_BEFORE "20200101000000Z"
#define NOT_AFTER  "99991231235959Z"

/* OpenSSL's textual form is the shortest that its API allows for these. */
static bool add_text_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/* Addresses and names are different types in a certificate (RFC 5280 s4.2.1.6); a name that is an
 * address would never match. */
static GENERAL_NAME *general_name(const char *name)
{
    uint8_t ip[16];
    int len = inet_pton(AF_INET, name, ip) == 1 ? 4 : inet_pton(AF_INET6, name, ip) == 1 ? 16 : 0;
    GENERAL_NAME *g = GENERAL_NAME_new();
    ASN1_STRING *s = len > 0 ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    const void *data = len > 0 ? (const void *)ip : name;
    if (g == NULL || s == NULL ||
        ASN1_STRING_set(s, data, len > 0 ? len : (int)strlen(name)) != 1) {
        GENERAL_NAME_free(g);
        ASN1_STRING_free(s);
        return NULL;
    }
    GENERAL_NAME_set0_value(g, len > 0 ? GEN_IPADD : GEN_DNS, s);
    return g;
}

static bool add_names(X509 *cert, const char *const *names, size_t n)
{
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        GENERAL_NAME *g = general_name(names[i]);
        ok = g != NULL && sk_GENERAL_NAME_push(list, g) > 0;
        if (!ok)
            GENERAL_NAME_free(g);
    }
    ok = ok && (n == 0 || X509_add1_ext_i2d(cert, NID_subject_alt_name, list, 0, 0) == 1);
    GENERAL_NAMES_free(list);
    return ok;
}

static bool set_subject(X509 *cert, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    /* Longer ones are in the alternative names, where everybody looks first. */
    const char *common = strlen(name) <= COMMON_NAME_MAX ? name : NO_NAME;
    return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)common, -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1;
}

static bool set_serial(X509 *cert)
{
    uint8_t serial[SERIAL_LEN];
    if (RAND_bytes(serial, sizeof(serial)) != 1)
        return false;
    serial[0] &= 0x7f; /* positive */
    BIGNUM *n = BN_bin2bn(serial, sizeof(serial), NULL);
    bool ok = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
    BN_free(n);
    return ok;
}

static bool fill_certificate(X509 *cert, EVP_PKEY *key, const char *const *names, size_t n)
{
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           set_subject(cert, n > 0 ? names[0] : NO_NAME) &&
           ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), NOT_BEFORE) == 1 &&
           ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), NOT_AFTER) == 1 &&
           X509_set_pubkey(cert, key) == 1 && add_names(cert, names, n) &&
           add_text_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_text_extension(cert, NID_key_usage, "critical,digitalSignature") &&
           add_text_extension(cert, NID_ext_key_usage, "serverAuth") &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

/* The text that was written to bio. */
static bool take_text(BIO *bio, char text[static PV_TLSCERT_PEM_MAX])
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    if (len <= 0 || len >= PV_TLSCERT_PEM_MAX)
        return false;
    memcpy(text, data, (size_t)len);
    text[len] = '\0';
    return true;
}

/* The key goes through secure memory of OpenSSL; the caller wipes the text. */
static bool write_pem(X509 *cert, EVP_PKEY *key, struct pv_tlscert *out)
{
    BIO *cert_bio = BIO_new(BIO_s_mem());
    BIO *key_bio = BIO_new(BIO_s_secmem());
    bool ok = cert_bio != NULL && key_bio != NULL && PEM_write_bio_X509(cert_bio, cert) == 1 &&
              PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1 &&
              take_text(cert_bio, out->cert) && take_text(key_bio, out->key);
    BIO_free(cert_bio);
    BIO_free(key_bio);
    return ok;
}

int pv_tlscert_make(struct pv_tlscert *ret_cert, const char *const *names, size_t n)
{
    struct pv_tlscert out;
    if (n > PV_TLSCERT_NAMES_MAX)
        return PV_ERR_LIMIT;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    bool ok = key != NULL && cert != NULL && fill_certificate(cert, key, names, n) &&
              write_pem(cert, key, &out);
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (ok)
        *ret_cert = out;
    OPENSSL_cleanse(&out, sizeof(out));
    return ok ? PV_OK : PV_ERR_CRYPTO;
}
