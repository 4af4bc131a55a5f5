/* SPDX-License-Identifier: MIT */
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "sys/file/file.h"
#include "sys/net/tls.h"
#include "sys/net/tlscert.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

/* A directory with a certificate for turn.example and 192.0.2.1, and a server's context. */
struct world {
    char dir[32], cert[64], key[64];
    struct pv_tls_ctx *server, *client;
    char error[PV_TLS_ERROR_MAX];
};

static struct world *w; /* of the test that runs */

static const char *const names[] = {"turn.example", "192.0.2.1", "2001:db8::1"};

static void put(const char *path, const char *text)
{
    assert_ok(pv_file_write(path, pv_view(text, strlen(text)), 0600));
}

static int make_world(void **state)
{
    w = calloc(1, sizeof(*w));
    struct pv_tlscert made;
    assert_non_null(w);
    snprintf(w->dir, sizeof(w->dir), "/tmp/pvtls.XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->cert, sizeof(w->cert), "%s/cert.pem", w->dir);
    snprintf(w->key, sizeof(w->key), "%s/key.pem", w->dir);
    assert_ok(pv_tlscert_make(&made, names, PV_ARRAY_LEN(names)));
    put(w->cert, made.cert);
    put(w->key, made.key);
    assert_ok(pv_tls_ctx_new_server(&w->server, w->cert, w->key, w->error));
    assert_ok(pv_tls_ctx_new_client(&w->client, NULL, w->error));
    return 0;
}

static int end_world(void **state)
{
    pv_tls_ctx_free(w->server);
    pv_tls_ctx_free(w->client);
    int r = test_dir_remove(w->dir);
    free(w);
    return r;
}

/* Moves up to chunk bytes at a time from one to the other; what `to` says to them. */
static int carry(struct pv_tls *from, struct pv_tls *to, size_t chunk, size_t *moved)
{
    int r = PV_OK;
    while (r == PV_OK && pv_tls_out(from).len > 0) {
        struct pv_view out = pv_tls_out(from);
        size_t n = out.len < chunk ? out.len : chunk;
        r = pv_tls_handle_bytes(to, pv_view(out.ptr, n));
        if (r != PV_ERR_LIMIT) {
            pv_tls_wrote(from, n);
            *moved += n;
        }
    }
    return r;
}

/* Until both are silent; the first thing that went wrong on either side. */
static int shake(struct pv_tls *a, struct pv_tls *b, size_t chunk)
{
    int first = PV_OK;
    size_t moved = 1;
    while (moved > 0) {
        moved = 0;
        int r = carry(a, b, chunk, &moved);
        int q = carry(b, a, chunk, &moved);
        if (first == PV_OK)
            first = r < 0 ? r : q;
        if (r == PV_ERR_LIMIT || q == PV_ERR_LIMIT)
            break;
    }
    return first;
}

static const struct pv_tls_peer anybody = {.trust = PV_TLS_TRUST_ANY};

static void pair(const struct pv_tls_peer *peer, struct pv_tls **ret_client,
                 struct pv_tls **ret_server)
{
    assert_ok(pv_tls_new_client(ret_client, w->client, peer));
    assert_ok(pv_tls_new_server(ret_server, w->server));
}

static void say(struct pv_tls *from, struct pv_tls *to, const char *text)
{
    char buf[64];
    size_t n = 0, moved = 0;
    assert_ok(pv_tls_write(from, pv_view(text, strlen(text)), &n));
    assert_int_equal(n, strlen(text));
    assert_ok(carry(from, to, SIZE_MAX, &moved));
    assert_ok(pv_tls_read(to, buf, sizeof(buf), &n));
    assert_int_equal(n, strlen(text));
    assert_memory_equal(buf, text, n);
    assert_int_equal(pv_tls_read(to, buf, sizeof(buf), &n), PV_ERR_AGAIN);
}

PV_TEST_IN(both_sides_talk_in_pieces_of_any_size, make_world, end_world)
{
    static const size_t chunks[] = {1, 7, 1200, SIZE_MAX};
    for (size_t i = 0; i < PV_ARRAY_LEN(chunks); i++) {
        struct pv_tls *c = NULL, *s = NULL;
        size_t n = 0;
        pair(&anybody, &c, &s);
        assert_true(pv_tls_out(c).len > 0);
        assert_int_equal(pv_tls_write(c, pv_view("x", 1), &n), PV_ERR_AGAIN);
        assert_int_equal(pv_tls_read(c, &n, sizeof(n), &n), PV_ERR_AGAIN);
        assert_ok(shake(c, s, chunks[i]));
        assert_true(pv_tls_is_ready(c));
        assert_true(pv_tls_is_ready(s));
        say(c, s, "hello");
        say(s, c, "and hello");
        assert_string_equal(pv_tls_error(c), "");
        pv_tls_free(c);
        pv_tls_free(s);
    }
}

PV_TEST_IN(a_pin_lets_its_server_through_and_no_other, make_world, end_world)
{
    for (int wrong = 0; wrong < 2; wrong++) {
        struct pv_tls *c = NULL, *s = NULL;
        struct pv_tls_peer peer = {.trust = PV_TLS_TRUST_PIN, .host = "whatever.example"};
        memcpy(peer.pin, pv_tls_ctx_cert(w->server).pin, sizeof(peer.pin));
        peer.pin[31] ^= (uint8_t)wrong;
        pair(&peer, &c, &s);
        assert_int_equal(shake(c, s, SIZE_MAX), wrong ? PV_ERR_AUTH : PV_OK);
        assert_int_equal(pv_tls_is_ready(c), !wrong);
        if (wrong) {
            size_t n = 0;
            assert_has(pv_tls_error(c), "key it is known by");
            /* It stays ended, and the server was told by an alert. */
            assert_int_equal(pv_tls_write(c, pv_view("x", 1), &n), PV_ERR_AUTH);
            assert_int_equal(pv_tls_read(c, &n, 1, &n), PV_ERR_AUTH);
            assert_int_equal(pv_tls_read(s, &n, 1, &n), PV_ERR_REFUSED);
        }
        pv_tls_free(c);
        pv_tls_free(s);
    }
}

PV_TEST_IN(an_authority_vouches_for_names_and_addresses, make_world, end_world)
{
    struct pv_tls_ctx *trusting = NULL;
    const struct {
        const char *host;
        bool system, good;
        const char *why;
    } rows[] = {
        {"turn.example", false, true, ""},
        {"192.0.2.1", false, true, ""},
        {"2001:db8::1", false, true, ""},
        {"other.example", false, false, "is for another name"},
        {"192.0.2.2", false, false, "is for another name"},
        {"turn.example", true, false, "authority that is not trusted"}, /* not among the system's */
    };
    assert_ok(pv_tls_ctx_new_client(&trusting, w->cert, w->error));
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_tls *c = NULL, *s = NULL;
        struct pv_tls_peer peer = {.trust = PV_TLS_TRUST_CA, .host = rows[i].host};
        assert_ok(pv_tls_new_client(&c, rows[i].system ? w->client : trusting, &peer));
        assert_ok(pv_tls_new_server(&s, w->server));
        assert_int_equal(shake(c, s, SIZE_MAX), rows[i].good ? PV_OK : PV_ERR_AUTH);
        assert_int_equal(pv_tls_is_ready(c), rows[i].good);
        assert_has(pv_tls_error(c), rows[i].why);
        pv_tls_free(c);
        pv_tls_free(s);
    }
    struct pv_tls *c = NULL;
    struct pv_tls_peer nameless = {.trust = PV_TLS_TRUST_CA};
    assert_int_equal(pv_tls_new_client(&c, trusting, &nameless), PV_ERR_MALFORMED);
    pv_tls_ctx_free(trusting);
}

static bool has_text(struct pv_view bytes, const char *text)
{
    return memmem(bytes.ptr, bytes.len, text, strlen(text)) != NULL;
}

PV_TEST_IN(names_are_sent_as_sni_and_addresses_are_not, make_world, end_world)
{
    const char *const hosts[] = {"turn.example", "192.0.2.1", "2001:db8::1"};
    for (size_t i = 0; i < PV_ARRAY_LEN(hosts); i++) {
        struct pv_tls *c = NULL;
        struct pv_tls_peer peer = {.trust = PV_TLS_TRUST_ANY, .host = hosts[i]};
        assert_ok(pv_tls_new_client(&c, w->client, &peer));
        assert_int_equal(has_text(pv_tls_out(c), hosts[i]), i == 0);
        pv_tls_free(c);
    }
}

PV_TEST_IN(everything_arrives_and_nothing_waits_beyond_the_limits, make_world, end_world)
{
    enum {
        TOTAL = 3 * 1024 * 1024
    };
    static uint8_t chunk[50000], got[4096];
    struct pv_tls *c = NULL, *s = NULL;
    struct test_rng tx, rx;
    size_t sent = 0, received = 0, n = 0, moved = 0;
    tx.state = rx.state = 1;
    pair(&anybody, &c, &s);
    assert_ok(shake(c, s, SIZE_MAX));
    bool was_full = false, had_limit = false;
    test_rng_fill(&tx, chunk, sizeof(chunk));
    size_t at = 0;
    while (received < TOTAL) {
        /* The program writes as much as is taken, ... */
        int r = PV_OK;
        while (sent < TOTAL &&
               (r = pv_tls_write(c, pv_view(chunk + at, sizeof(chunk) - at), &n)) == PV_OK) {
            sent += n;
            at += n;
            if (at == sizeof(chunk)) {
                test_rng_fill(&tx, chunk, sizeof(chunk));
                at = 0;
            }
        }
        was_full = was_full || r == PV_ERR_AGAIN;
        assert_true(r == PV_OK || r == PV_ERR_AGAIN);
        assert_true(pv_tls_out(c).len <= PV_TLS_OUT_MAX);
        /* ... the wire carries as much as is taken, ... */
        r = carry(c, s, 60000, &moved);
        had_limit = had_limit || r == PV_ERR_LIMIT;
        assert_true(r == PV_OK || r == PV_ERR_LIMIT);
        /* ... and the other program reads it in small pieces. */
        while ((r = pv_tls_read(s, got, sizeof(got), &n)) == PV_OK) {
            for (size_t i = 0; i < n; i++) {
                uint8_t want;
                test_rng_fill(&rx, &want, 1);
                assert_int_equal(got[i], want);
            }
            received += n;
        }
        assert_int_equal(r, PV_ERR_AGAIN);
    }
    assert_true(was_full);
    assert_false(had_limit); /* out holds no more than in does */
    pv_tls_free(c);
    pv_tls_free(s);
}

PV_TEST_IN(an_unread_connection_takes_no_more_than_its_limit, make_world, end_world)
{
    static uint8_t chunk[65536];
    struct pv_tls *c = NULL, *s = NULL;
    size_t n = 0, moved = 0;
    int r = PV_OK;
    pair(&anybody, &c, &s);
    assert_ok(shake(c, s, SIZE_MAX));
    for (int i = 0; i < 8 && r != PV_ERR_LIMIT; i++) {
        r = pv_tls_write(c, pv_view(chunk, sizeof(chunk)), &n);
        assert_true(r == PV_OK || r == PV_ERR_AGAIN);
        r = carry(c, s, 1000, &moved);
    }
    assert_int_equal(r, PV_ERR_LIMIT);
    assert_true(moved <= PV_TLS_IN_MAX + 2048); /* the handshake was more than nothing */
    /* Reading makes room. */
    while (pv_tls_read(s, chunk, sizeof(chunk), &n) == PV_OK)
        continue;
    assert_ok(carry(c, s, 1000, &moved));
    pv_tls_free(c);
    pv_tls_free(s);
}

PV_TEST_IN(an_orderly_end_is_told_apart, make_world, end_world)
{
    struct pv_tls *c = NULL, *s = NULL;
    char buf[8];
    size_t n = 0;
    pair(&anybody, &c, &s);
    assert_ok(shake(c, s, SIZE_MAX));
    assert_ok(pv_tls_write(c, pv_view("bye", 3), &n));
    pv_tls_close(c);
    assert_int_equal(pv_tls_write(c, pv_view("x", 1), &n), PV_ERR_STATE);
    assert_ok(shake(c, s, SIZE_MAX));
    assert_ok(pv_tls_read(s, buf, sizeof(buf), &n));
    assert_int_equal(n, 3);
    assert_int_equal(pv_tls_read(s, buf, sizeof(buf), &n), PV_ERR_CLOSED);
    say(s, c, "half open");
    pv_tls_free(c);
    pv_tls_free(s);
}

PV_TEST_IN(bytes_that_are_not_tls_end_it_at_once, make_world, end_world)
{
    static const uint8_t long_hello[] = {22, 3, 1, 2, 0, 1, 0, 0x40, 1};
    static const uint8_t longest_hello[] = {22, 3, 1, 2, 0, 1, 0, 0x40, 0};
    static const uint8_t not_hello[] = {22, 3, 1, 2, 0, 2, 0, 0, 90};
    const struct {
        const void *bytes;
        size_t len;
        int status;
        const char *why;
    } rows[] = {
        {"P\1\0\x60noise", 9, PV_ERR_MALFORMED, "a control channel"},
        {"GET / HTTP/1.1\r\n\r\n", 18, PV_ERR_MALFORMED, "a browser without s"},
        {long_hello, sizeof(long_hello), PV_ERR_MALFORMED, "16385 bytes announced"},
        {longest_hello, sizeof(longest_hello), PV_OK, "16384 bytes announced, more to come"},
        {not_hello, sizeof(not_hello), PV_ERR_MALFORMED, "another message first"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_tls *s = NULL;
        const uint8_t *p = rows[i].bytes;
        assert_ok(pv_tls_new_server(&s, w->server));
        for (size_t k = 0; k + 1 < rows[i].len && k < 8; k++)
            assert_ok(pv_tls_handle_bytes(s, pv_view(p + k, 1)));
        assert_int_equal(pv_tls_handle_bytes(s, pv_view(p + 8, rows[i].len - 8)), rows[i].status);
        assert_int_equal(pv_tls_handle_bytes(s, pv_view("x", 1)), rows[i].status);
        pv_tls_free(s);
    }
    struct pv_tls *c = NULL;
    assert_ok(pv_tls_new_client(&c, w->client, &anybody));
    assert_int_equal(pv_tls_handle_bytes(c, pv_view("HTTP/1.1 400 Bad Request\r\n", 26)),
                     PV_ERR_MALFORMED);
    assert_has(pv_tls_error(c), "does not speak TLS");
    pv_tls_free(c);
}

/* Every truncation and every changed byte of a client's first flight: an answer, never a crash. */
PV_TEST_IN(a_damaged_hello_never_makes_a_connection, make_world, end_world)
{
    struct pv_tls *c = NULL;
    assert_ok(pv_tls_new_client(&c, w->client, &anybody));
    struct pv_view hello = pv_tls_out(c);
    for (size_t len = 0; len < hello.len; len++) {
        struct pv_tls *s = NULL;
        assert_ok(pv_tls_new_server(&s, w->server));
        assert_ok(pv_tls_handle_bytes(s, pv_view(hello.ptr, len)));
        assert_false(pv_tls_is_ready(s));
        assert_int_equal(pv_tls_out(s).len, 0);
        pv_tls_free(s);
    }
    for (size_t i = 0; i < hello.len; i++) {
        uint8_t bytes[2048];
        struct pv_tls *s = NULL;
        assert_true(hello.len <= sizeof(bytes));
        memcpy(bytes, hello.ptr, hello.len);
        bytes[i] ^= 0xff;
        assert_ok(pv_tls_new_server(&s, w->server));
        (void)!pv_tls_handle_bytes(s, pv_view(bytes, hello.len));
        assert_false(pv_tls_is_ready(s));
        pv_tls_free(s);
    }
    pv_tls_free(c);
}

/* --- stock OpenSSL as the other side --------------------------------------------------------- */

struct stock {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
};

static void stock_client(struct stock *k, int version)
{
    k->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(k->ctx, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(k->ctx, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(k->ctx, version), 1);
    k->ssl = SSL_new(k->ctx);
    k->in = BIO_new(BIO_s_mem());
    k->out = BIO_new(BIO_s_mem());
    SSL_set_bio(k->ssl, k->in, k->out);
    SSL_set_connect_state(k->ssl);
}

static int stock_turn(struct stock *k, struct pv_tls *s)
{
    uint8_t buf[16384];
    int r = PV_OK;
    for (int i = 0; i < 6; i++) {
        (void)SSL_do_handshake(k->ssl);
        int n = BIO_read(k->out, buf, sizeof(buf));
        if (n > 0 && r == PV_OK)
            r = pv_tls_handle_bytes(s, pv_view(buf, (size_t)n));
        struct pv_view out = pv_tls_out(s);
        if (out.len > 0) {
            BIO_write(k->in, out.ptr, (int)out.len);
            pv_tls_wrote(s, out.len);
        }
    }
    return r;
}

static void stock_done(struct stock *k)
{
    SSL_free(k->ssl);
    SSL_CTX_free(k->ctx);
}

/* 1,220 bytes: what a segment takes at the smallest MTU of IPv6 (RFC 8200 s5, RFC 9293 s3.7.1). */
PV_TEST_IN(a_clients_hello_fits_one_segment_whatever_the_library_would_send, make_world, end_world)
{
    struct pv_tls_peer named = {.trust = PV_TLS_TRUST_CA};
    char host[254];
    memset(host, 'a', sizeof(host) - 1);
    host[63] = host[127] = host[191] = '.';
    host[253] = '\0';
    named.host = host; /* the longest name there is */
    struct pv_tls *c = NULL, *s = NULL;
    pair(&named, &c, &s);
    struct pv_view hello = pv_tls_out(c);
    assert_in_range(hello.len, 100, 1220);
    assert_int_equal(hello.ptr[0], 22);
    assert_int_equal(hello.ptr[3] << 8 | hello.ptr[4], hello.len - 5); /* one record, whole */
    pv_tls_free(c);
    pv_tls_free(s);
}

/* Others may offer what they like; a server answers by the first that both know. */
PV_TEST_IN(a_hello_of_several_segments_is_answered, make_world, end_world)
{
    struct stock k;
    struct pv_tls *s = NULL;
    static uint8_t protos[200 * 10];
    for (size_t i = 0; i < sizeof(protos); i++)
        protos[i] = i % 10 == 0 ? 9 : 'x';
    stock_client(&k, TLS1_3_VERSION);
    assert_int_equal(SSL_set_alpn_protos(k.ssl, protos, sizeof(protos)), 0);
    assert_ok(pv_tls_new_server(&s, w->server));
    assert_ok(stock_turn(&k, s));
    assert_true(pv_tls_is_ready(s));
    pv_tls_free(s);
    stock_done(&k);
}

PV_TEST_IN(old_versions_are_refused_and_both_new_ones_work, make_world, end_world)
{
    const struct {
        int version;
        bool good;
    } rows[] = {{TLS1_VERSION, false},
                {TLS1_1_VERSION, false},
                {TLS1_2_VERSION, true},
                {TLS1_3_VERSION, true}};
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct stock k;
        struct pv_tls *s = NULL;
        stock_client(&k, rows[i].version);
        assert_ok(pv_tls_new_server(&s, w->server));
        assert_int_equal(stock_turn(&k, s), rows[i].good ? PV_OK : PV_ERR_MALFORMED);
        assert_int_equal(pv_tls_is_ready(s), rows[i].good);
        assert_int_equal(SSL_is_init_finished(k.ssl), rows[i].good);
        pv_tls_free(s);
        stock_done(&k);
    }
}

PV_TEST_IN(renegotiation_is_refused, make_world, end_world)
{
    struct stock k;
    struct pv_tls *s = NULL;
    char buf[16];
    size_t n = 0;
    stock_client(&k, TLS1_2_VERSION);
    assert_ok(pv_tls_new_server(&s, w->server));
    assert_ok(stock_turn(&k, s));
    assert_int_equal(SSL_renegotiate(k.ssl), 1);
    (void)stock_turn(&k, s);
    (void)!pv_tls_read(s, buf, sizeof(buf), &n);
    (void)stock_turn(&k, s);
    assert_int_equal(SSL_num_renegotiations(k.ssl), 1); /* asked for, */
    assert_false(SSL_is_init_finished(k.ssl));          /* and never done */
    pv_tls_free(s);
    stock_done(&k);
}

/* --- files ----------------------------------------------------------------------------------- */

static void refused(const char *cert, const char *key, const char *why)
{
    struct pv_tls_ctx *ctx = NULL;
    w->error[0] = '\0';
    assert_int_equal(pv_tls_ctx_new_server(&ctx, cert, key, w->error), PV_ERR_REFUSED);
    assert_has(w->error, why);
    assert_null(ctx);
}

static void a_locked_key(const char *from, const char *to)
{
    FILE *f = fopen(from, "r");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    f = fopen(to, "w");
    char secret[] = "secret";
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, EVP_aes_128_cbc(), secret, 6, NULL, NULL),
                     1);
    fclose(f);
    EVP_PKEY_free(key);
}

PV_TEST_IN(wrong_files_are_named_with_a_reason, make_world, end_world)
{
    struct pv_tlscert other;
    struct pv_tls_ctx *ctx = NULL;
    const char *other_key = PV_STR("%s/other.pem", w->dir);
    const char *junk = PV_STR("%s/junk.pem", w->dir);
    const char *locked = PV_STR("%s/locked.pem", w->dir);
    assert_ok(pv_tlscert_make(&other, NULL, 0));
    put(other_key, other.key);
    put(junk, test_given("a certificate that is none"));
    a_locked_key(w->key, locked);
    refused("/nonexistent/c.pem", w->key, test_given("no c.pem"));
    refused(w->cert, "/nonexistent/k.pem", test_given("no k.pem"));
    refused(junk, w->key, "junk.pem: no certificate that can be used");
    refused(w->cert, junk, "junk.pem: no key that can be used");
    refused(w->cert, other_key, "other.pem: not the key of the certificate");
    refused(w->cert, locked, "locked.pem: the key has a passphrase");
    refused(w->dir, w->key, PV_STR("%s: Is a directory", w->dir));
    refused(w->cert, w->dir, PV_STR("%s: Is a directory", w->dir));
    assert_int_equal(pv_tls_ctx_new_client(&ctx, "/nonexistent/ca", w->error), PV_ERR_REFUSED);
    assert_int_equal(pv_tls_ctx_new_client(&ctx, w->key, w->error), PV_ERR_REFUSED);
}

PV_TEST_IN(connections_outlive_their_context, make_world, end_world)
{
    struct pv_tls *c = NULL, *s = NULL;
    struct pv_tls_ctx *server = NULL;
    assert_ok(pv_tls_ctx_new_server(&server, w->cert, w->key, w->error));
    assert_ok(pv_tls_new_server(&s, server));
    pv_tls_ctx_free(server);
    assert_ok(pv_tls_new_client(&c, w->client, &anybody));
    assert_ok(shake(c, s, SIZE_MAX));
    say(c, s, "still here");
    pv_tls_free(c);
    pv_tls_free(s);
}

/* --- certificates ---------------------------------------------------------------------------- */

PV_TEST(the_certificate_says_what_it_is_for)
{
    struct pv_tlscert a, b;
    assert_ok(pv_tlscert_make(&a, names, PV_ARRAY_LEN(names)));
    assert_ok(pv_tlscert_make(&b, names, PV_ARRAY_LEN(names)));
    assert_string_not_equal(a.key, b.key);
    BIO *bio = BIO_new_mem_buf(a.cert, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_non_null(cert);
    assert_int_equal(X509_check_host(cert, "turn.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "192.0.2.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "2001:db8::1", 0), 1);
    assert_int_equal(X509_check_host(cert, "example", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ca(cert), 0);
    assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0), 1);
    assert_int_equal(X509_cmp_current_time(X509_get0_notBefore(cert)), -1);
    assert_int_equal(X509_cmp_current_time(X509_get0_notAfter(cert)), 1);
    assert_int_equal(X509_verify(cert, X509_get0_pubkey(cert)), 1);
    X509_free(cert);
    BIO_free(bio);
}

PV_TEST(a_certificate_takes_no_name_and_long_names_and_not_too_many)
{
    struct pv_tlscert made;
    char label[200];
    memset(label, 'a', sizeof(label) - 1);
    label[63] = label[127] = '.';
    label[199] = '\0';
    const char *many[PV_TLSCERT_NAMES_MAX + 1];
    for (size_t i = 0; i < PV_ARRAY_LEN(many); i++)
        many[i] = label;
    assert_ok(pv_tlscert_make(&made, NULL, 0));
    assert_ok(pv_tlscert_make(&made, many, PV_TLSCERT_NAMES_MAX));
    assert_int_equal(pv_tlscert_make(&made, many, PV_TLSCERT_NAMES_MAX + 1), PV_ERR_LIMIT);
}

static X509 *cert_of(const struct pv_tlscert *made)
{
    BIO *bio = BIO_new_mem_buf(made->cert, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_non_null(cert);
    BIO_free(bio);
    return cert;
}

PV_TEST(the_name_of_the_program_is_in_no_certificate)
{
    struct pv_tlscert made;
    char label[200], common[64];
    memset(label, 'a', sizeof(label) - 1);
    label[63] = label[127] = '.';
    label[199] = '\0';
    const char *const long_one = label;
    for (size_t n = 0; n < 2; n++) {
        assert_ok(pv_tlscert_make(&made, &long_one, n));
        X509 *cert = cert_of(&made);
        assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, common,
                                              sizeof(common)) > 0);
        assert_string_equal(common, "localhost");
        X509_free(cert);
    }
}
