/* SPDX-License-Identifier: MIT */
/* The program p2pvpn-coordinator and TLS: told apart on every port, its certificate, its limits. */
#include <sys/stat.h>

#include "coord_run.h"
#include "coordinator/cert.h"
#include "crypto/dh.h"
#include "proto/control/control.h"
#include "proto/control/ctlmsg.h"
#include "proto/roster/token.h"
#include "proto/stun/stun.h"
#include "sys/file/file.h"
#include "sys/net/stream.h"
#include "sys/net/tls.h"
#include "sys/net/tlscert.h"
#include "sys/proc/entropy.h"

/* --- a connection, plain or through TLS ---------------------------------------------------- */

struct wire {
    int fd;
    struct pv_tls_ctx *ctx;
    struct pv_tls *tls; /* NULL: plain */
};

static void flush(struct wire *w)
{
    while (w->tls != NULL && pv_tls_out(w->tls).len > 0) {
        size_t n = 0;
        wait_for(w->fd, POLLOUT);
        assert_ok(pv_stream_write(w->fd, pv_tls_out(w->tls), &n));
        pv_tls_wrote(w->tls, n);
    }
}

/* One reading of the wire; an end of the connection is PV_ERR_CLOSED in whatever form it comes. */
static int step(struct wire *w)
{
    uint8_t buf[4096];
    size_t n = 0;
    flush(w);
    wait_for(w->fd, POLLIN);
    int r = pv_stream_read(w->fd, buf, sizeof(buf), &n);
    if (r < 0)
        return r == -ECONNRESET ? PV_ERR_CLOSED : r;
    return pv_tls_handle_bytes(w->tls, pv_view(buf, n));
}

static int wire_read(struct wire *w, void *buf, size_t cap, size_t *ret_n)
{
    int r;
    if (w->tls == NULL) {
        wait_for(w->fd, POLLIN);
        r = pv_stream_read(w->fd, buf, cap, ret_n);
        return r == -ECONNRESET ? PV_ERR_CLOSED : r;
    }
    while ((r = pv_tls_read(w->tls, buf, cap, ret_n)) == PV_ERR_AGAIN) {
        r = step(w);
        if (r < 0)
            return r;
    }
    return r;
}

static void wire_write(struct wire *w, const void *data, size_t len)
{
    size_t n = 0;
    if (w->tls == NULL) {
        wait_for(w->fd, POLLOUT);
        assert_ok(pv_stream_write(w->fd, pv_view(data, len), &n));
    } else {
        assert_ok(pv_tls_write(w->tls, pv_view(data, len), &n));
        flush(w);
    }
    assert_int_equal(n, len);
}

static struct wire wire_open(const struct pv_addr *server)
{
    static const struct pv_stream_bind nowhere;
    struct wire w = {.fd = -1};
    assert_ok(pv_stream_connect(server, &nowhere, &w.fd));
    wait_for(w.fd, POLLOUT);
    assert_ok(pv_stream_connected(w.fd));
    return w;
}

/* pin NULL: anybody. */
static int start_tls(struct wire *w, const uint8_t *pin)
{
    char error[PV_TLS_ERROR_MAX];
    struct pv_tls_peer peer = {.trust = pin == NULL ? PV_TLS_TRUST_ANY : PV_TLS_TRUST_PIN};
    int r = PV_OK;
    if (pin != NULL)
        memcpy(peer.pin, pin, sizeof(peer.pin));
    assert_ok(pv_tls_ctx_new_client(&w->ctx, NULL, error));
    assert_ok(pv_tls_new_client(&w->tls, w->ctx, &peer));
    while (r == PV_OK && !pv_tls_is_ready(w->tls))
        r = step(w);
    flush(w);
    return r;
}

static void wire_close(struct wire *w)
{
    pv_tls_free(w->tls);
    pv_tls_ctx_free(w->ctx);
    close(w->fd);
}

/* --- what is said over it ------------------------------------------------------------------ */

static void stun_is_answered(struct wire *w)
{
    uint8_t request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 7};
    uint8_t answer[256];
    size_t n = 0;
    wire_write(w, request, sizeof(request));
    assert_ok(wire_read(w, answer, sizeof(answer), &n));
    assert_true(n >= 32);
    assert_int_equal(answer[0], 1); /* success */
    assert_int_equal(answer[1], 1);
    assert_memory_equal(answer + 4, request + 4, 16);
    struct pv_stun_msg msg;
    assert_ok(pv_stun_decode(pv_view(answer, n), &msg));
    assert_true(pv_stun_has(&msg, PV_STUN_ATTR_RESPONSE_ORIGIN));
}

/* Says hello as an applicant who wants to create; the welcome. */
static struct pv_ctl_msg *welcome(struct wire *w, const uint8_t *pk)
{
    struct pv_rng rng = pv_entropy();
    struct pv_control *control = NULL;
    struct pv_ctl_msg hello = {.type = PV_CTL_HELLO, .id = 1};
    struct pv_ctl_msg *msg = NULL;
    uint8_t seed[32], id_sk[64], dh_sk[32], unused[32], server_dh[32], hash[32];
    char text[4096];
    bool said = false;
    pv_rng_fill(&rng, seed, sizeof(seed));
    pv_sign_keypair(seed, id_sk, hello.u.hello.node);
    pv_dh_keypair(&rng, dh_sk, unused);
    assert_ok(pv_sign_pk_to_dh(pk, server_dh));
    assert_ok(pv_control_new_client(&control, dh_sk, server_dh, &rng));
    while (msg == NULL) {
        struct pv_view view = pv_control_out(control);
        size_t n = 0;
        if (view.len > 0) {
            wire_write(w, view.ptr, view.len);
            pv_control_wrote(control, view.len);
            continue;
        }
        assert_ok(wire_read(w, text, sizeof(text), &n));
        assert_ok(pv_control_handle_bytes(control, pv_view(text, n), &n));
        if (pv_control_poll_message(control, &view) == PV_OK) {
            assert_ok(pv_ctl_parse(view, &msg));
        } else if (!said && pv_control_state(control) == PV_CONTROL_READY) {
            hello.u.hello.v = 1;
            hello.u.hello.role = PV_CTL_APPLICANT;
            assert_ok(pv_control_handshake_hash(control, hash));
            assert_ok(pv_ctl_hello_sign(hello.u.hello.sig, hash, id_sk));
            assert_ok(pv_ctl_build(&hello, text, sizeof(text), &n));
            assert_ok(pv_control_send(control, pv_view(text, n)));
            said = true;
        }
    }
    pv_control_free(control);
    assert_int_equal(msg->type, PV_CTL_WELCOME);
    assert_true(msg->u.welcome.has_tls);
    return msg;
}

/* --- the program --------------------------------------------------------------------------- */

static struct pv_url url;

static void read_url(void)
{
    struct program u = START("url", "--public", "vpn.example");
    assert_int_equal(finish(&u), 0);
    assert_ok(pv_url_parse(u.text, strcspn(u.text, "\n"), &url));
}

/* The pin that nodes are told, by the plain port. */
static void told_pin(const struct pv_addr *server, uint8_t pin[static PV_TLS_PIN_LEN])
{
    struct wire w = wire_open(server);
    struct pv_ctl_msg *m = welcome(&w, url.pk);
    memcpy(pin, m->u.welcome.tls.pin, PV_TLS_PIN_LEN);
    pv_ctl_msg_free(m);
    wire_close(&w);
}

static void path_of(const char *name, char path[static 96])
{
    snprintf(path, 96, "%s/%s", dir, name);
}

/* The address behind "tls:". */
static struct pv_addr tls_listening(struct program *p)
{
    const char *at = strstr(p->text, " tls:");
    assert_non_null(at);
    struct pv_addr addr = test_addr(PV_STR("%.*s", (int)strcspn(at + 5, " \n"), at + 5));
    return addr;
}

PV_TEST_IN(every_port_tells_tls_stun_and_control_apart, setup, teardown)
{
    uint8_t pin[PV_TLS_PIN_LEN];
    read_url();
    struct program p =
        START("--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--public", "vpn.example");
    struct pv_addr ports[2];
    ports[0] = listening(&p);
    ports[1] = tls_listening(&p);
    assert_int_not_equal(ports[0].port, ports[1].port);
    told_pin(&ports[0], pin);
    for (size_t i = 0; i < 8; i++) {
        struct wire w = wire_open(&ports[i & 1]);
        if ((i & 2) != 0)
            assert_ok(start_tls(&w, pin));
        if ((i & 4) != 0)
            stun_is_answered(&w);
        else
            pv_ctl_msg_free(welcome(&w, url.pk));
        wire_close(&w);
    }
    assert_int_equal(stop(&p), 0);
}

PV_TEST_IN(a_connection_that_speaks_neither_is_closed, setup, teardown)
{
    struct program p = START("--listen", "127.0.0.1:0");
    struct pv_addr server = listening(&p);
    static const struct {
        const char *bytes;
        size_t len;
        bool in_tls;
        const char *why;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, false, "a browser"},
        {"\x40\x01\x00\x04\x00\x00\x00\x00", 8, false, "ChannelData before an allocation"},
        {"P2PVPM", 6, false, "another preamble"},
        {"\x16\x03\x01\x40\x00\x02\x00\x00\x00", 9, false, "TLS that begins in the middle"},
        {"\x16GET / HTTP/1.1\r\n", 17, false, "TLS that is none"},
        {"SSH-2.0-x\r\n", 11, true, "something else in TLS"},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, true, "TLS in TLS"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct wire w = wire_open(&server);
        uint8_t buf[512];
        size_t n = 0;
        int r = PV_OK;
        if (rows[i].in_tls)
            assert_ok(start_tls(&w, NULL));
        wire_write(&w, rows[i].bytes, rows[i].len);
        for (int k = 0; k < 4 && r == PV_OK; k++) /* an alert may come first */
            r = wire_read(&w, buf, sizeof(buf), &n);
        if (r != PV_ERR_CLOSED)
            fail_msg("%s: %d", rows[i].why, r);
        wire_close(&w);
    }
    assert_int_equal(stop(&p), 0);
}

/* --- the certificate ----------------------------------------------------------------------- */

PV_TEST_IN(its_own_certificate_stays_over_restarts, setup, teardown)
{
    uint8_t first[PV_TLS_PIN_LEN], again[PV_TLS_PIN_LEN];
    char path[96];
    struct stat st;
    read_url();
    path_of("s/tls.pem", path);
    for (int i = 0; i < 2; i++) {
        struct program p = START("--listen", "127.0.0.1:0", "--public", "vpn.example");
        struct pv_addr server = listening(&p);
        told_pin(&server, i == 0 ? first : again);
        struct wire w = wire_open(&server);
        assert_ok(start_tls(&w, first));
        wire_close(&w);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(stop(&p), 0);
    }
    assert_memory_equal(first, again, sizeof(first));
    /* A broken one is named and left alone; without it there is a new one.
     * remedy: restore_or_delete */
    assert_ok(pv_file_write(path, pv_view("junk", 4), 0600));
    struct program p = START("--listen", "127.0.0.1:0");
    assert_int_equal(finish(&p), 1);
    assert_has(p.text, "tls.pem");
    assert_has(p.text, "delete it and a new one is made");
    assert_int_equal(unlink(path), 0);
    p = START("--listen", "127.0.0.1:0");
    struct pv_addr server = listening(&p);
    told_pin(&server, again);
    assert_memory_not_equal(first, again, sizeof(first));
    assert_int_equal(stop(&p), 0);
}

/* Writes a certificate and its key as dir/c.pem and dir/k.pem, and a configuration that has them.
 */
static void give_cert(bool foreign_key)
{
    static const char *const names[] = {"vpn.example"};
    struct pv_tlscert made, other;
    char path[96], text[512];
    assert_ok(pv_tlscert_make(&made, names, 1));
    assert_ok(pv_tlscert_make(&other, names, 1));
    const char *key = foreign_key ? other.key : made.key;
    path_of("k.pem", path);
    assert_ok(pv_file_write(path, pv_view(key, strlen(key)), 0600));
    path_of("c.pem", path);
    assert_ok(pv_file_write(path, pv_view(made.cert, strlen(made.cert)), 0600));
    int n = snprintf(text, sizeof(text), "[coordinator]\ntls-cert = %s/c.pem\ntls-key = %s/k.pem\n",
                     dir, dir);
    path_of("conf", path);
    assert_ok(pv_file_write(path, pv_view(text, (size_t)n), 0600));
}

PV_TEST_IN(a_given_certificate_is_read_again_when_it_is_told_so, setup, teardown)
{
    uint8_t first[PV_TLS_PIN_LEN], second[PV_TLS_PIN_LEN], kept[PV_TLS_PIN_LEN];
    char conf[96];
    read_url();
    path_of("conf", conf);
    give_cert(false);
    struct program p = START("--listen", "127.0.0.1:0", "--config", conf);
    struct pv_addr server = listening(&p);
    told_pin(&server, first);
    struct wire open = wire_open(&server);
    assert_ok(start_tls(&open, first));

    give_cert(false);
    p.len = 0;
    p.text[0] = '\0';
    kill(p.pid, SIGHUP);
    read_until(&p, "pin=");
    told_pin(&server, second);
    assert_memory_not_equal(first, second, sizeof(first));
    struct wire w = wire_open(&server);
    assert_int_equal(start_tls(&w, first), PV_ERR_AUTH);
    wire_close(&w);
    w = wire_open(&server);
    assert_ok(start_tls(&w, second));
    wire_close(&w);
    stun_is_answered(&open); /* what is open goes on */
    wire_close(&open);

    /* A pair that does not fit changes nothing. */
    give_cert(true);
    kill(p.pid, SIGHUP);
    read_until(&p, "not the key of the certificate");
    told_pin(&server, kept);
    assert_memory_equal(second, kept, sizeof(second));
    assert_int_equal(stop(&p), 0);

    p = START("--listen", "127.0.0.1:0", "--config", conf);
    assert_int_equal(finish(&p), 1);
    assert_has(p.text, "k.pem: not the key of the certificate");
    p = START("--config", conf, "--check");
    assert_int_equal(finish(&p), 2);
    assert_ptr_equal(strchr(p.text, '\n'), p.text + p.len - 1);
}

PV_TEST(people_are_told_of_a_certificates_dates)
{
    const int64_t day = 86400, now = 20000 * day;
    const struct {
        int64_t not_before, not_after;
        const char *part; /* NULL: nothing */
    } rows[] = {
        {0, INT64_MAX, NULL},
        {0, now + PV_COORDCERT_SOON_S + 1, NULL},
        {0, now + PV_COORDCERT_SOON_S, "it expires on 2024-10-18"},
        {0, now + 1, "it expires on 2024-10-04"},
        {0, now, "it has expired on 2024-10-04"},
        {now + day, now + 365 * day, "it is not valid before 2024-10-05"},
    };
    for (size_t i = 0; i < PV_ARRAY_LEN(rows); i++) {
        struct pv_coordcert cert = {
            .cert_file = "/c.pem",
            .is = {.not_before = rows[i].not_before, .not_after = rows[i].not_after}};
        char text[PV_COORDCERT_ERROR_MAX];
        const char *got = pv_coordcert_warning(&cert, now, text);
        if (rows[i].part == NULL)
            assert_null(got);
        else
            assert_has(got, rows[i].part);
    }
}
