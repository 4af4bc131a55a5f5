/* SPDX-License-Identifier: MIT */
/* What a client of TURN gets through TLS: a record for each message, unless it reads records as one
 * stream. */
#include <sys/socket.h>
#include <unistd.h>

#include "coordinator/peerio.h"
#include "sys/file/file.h"
#include "sys/net/stream.h"
#include "sys/net/tlscert.h"
#include "tests/unit/test_dir.h"
#include "tests/unit/test_util.h"

enum {
    MESSAGE = 1204, /* bytes of ChannelData with its head */
    N = 10,
    APPLICATION_DATA = 23, /* RFC 8446 s5.1 */
};

struct end {
    int fd;
    struct pv_tls *tls;
    uint8_t wire[65536]; /* that came since */
    size_t n_wire;
};

static void contexts(struct pv_tls_ctx **ret_server, struct pv_tls_ctx **ret_client)
{
    struct pv_tlscert made;
    char dir[64], cert[80], key[80], error[PV_TLS_ERROR_MAX];
    assert_non_null(test_dir_make(dir, sizeof(dir)));
    snprintf(cert, sizeof(cert), "%s/cert", dir);
    snprintf(key, sizeof(key), "%s/key", dir);
    assert_int_equal(pv_tlscert_make(&made, NULL, 0), PV_OK);
    assert_int_equal(pv_file_write(cert, pv_view(made.cert, strlen(made.cert)), 0600), PV_OK);
    assert_int_equal(pv_file_write(key, pv_view(made.key, strlen(made.key)), 0600), PV_OK);
    assert_int_equal(pv_tls_ctx_new_server(ret_server, cert, key, error), PV_OK);
    assert_int_equal(pv_tls_ctx_new_client(ret_client, NULL, error), PV_OK);
    assert_int_equal(test_dir_remove(dir), 0);
}

static void client_turn(struct end *c)
{
    uint8_t buf[65536];
    size_t n = 0;
    while (pv_stream_read(c->fd, buf, sizeof(buf), &n) == PV_OK) {
        memcpy(c->wire + c->n_wire, buf, n);
        c->n_wire += n;
        assert_int_equal(pv_tls_handle_bytes(c->tls, pv_view(buf, n)), PV_OK);
    }
    while (pv_tls_out(c->tls).len > 0) {
        assert_int_equal(pv_stream_write(c->fd, pv_tls_out(c->tls), &n), PV_OK);
        pv_tls_wrote(c->tls, n);
    }
}

/* Has the server write N messages, and returns in how many records the client gets them. */
static size_t count_records(bool joined)
{
    static uint8_t messages[N][MESSAGE], got[N * MESSAGE], buf[PV_PEERIO_READ_MAX];
    struct pv_tls_ctx *server, *client;
    struct pv_tlsgate gate;
    struct test_rng rand;
    const struct pv_rng rng = test_rng_make(&rand, 1);
    struct end c = {.n_wire = 0};
    int fds[2];
    size_t n = 0, records = 0, done = 0;
    contexts(&server, &client);
    assert_int_equal(pv_tlsgate_init(&gate, &rng), PV_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct pv_peerio io = {.fd = fds[0], .gate = &gate, .source = pv_addr4(192, 0, 2, 1, 1)};
    c.fd = fds[1];
    assert_int_equal(
        pv_tls_new_client(&c.tls, client, &(struct pv_tls_peer){.trust = PV_TLS_TRUST_ANY}), PV_OK);
    for (int i = 0; i < 4; i++) { /* the handshake */
        client_turn(&c);
        int r = pv_peerio_read(&io, server, buf, sizeof(buf), &n, PV_S(1));
        assert_true(r == PV_OK || r == PV_ERR_AGAIN);
        assert_int_equal(pv_peerio_flush(&io), PV_OK);
    }
    /* The first bytes of the client are STUN's. */
    static const uint8_t binding[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    assert_int_equal(pv_tls_write(c.tls, pv_view(binding, sizeof(binding)), &n), PV_OK);
    client_turn(&c);
    assert_int_equal(pv_peerio_read(&io, server, buf, sizeof(buf), &n, PV_S(1)), PV_OK);
    for (size_t i = 0; i < N; i++) {
        static const uint8_t head[4] = {0x40, 0, (MESSAGE - 4) >> 8, (MESSAGE - 4) & 0xff};
        memset(messages[i], (int)i, MESSAGE);
        memcpy(messages[i], head, sizeof(head));
    }
    c.n_wire = 0;
    while (done < sizeof(messages)) {
        assert_int_equal(pv_peerio_write(&io,
                                         pv_view(&messages[0][0] + done, sizeof(messages) - done),
                                         joined, &n),
                         PV_OK);
        done += n;
    }
    assert_int_equal(pv_peerio_flush(&io), PV_OK);
    client_turn(&c);
    for (size_t at = 0; at < c.n_wire; at += 5u + c.wire[at + 3] * 256u + c.wire[at + 4])
        records += c.wire[at] == APPLICATION_DATA;
    for (done = 0; done < sizeof(got); done += n)
        assert_int_equal(pv_tls_read(c.tls, got + done, sizeof(got) - done, &n), PV_OK);
    assert_memory_equal(got, messages, sizeof(got));
    pv_peerio_done(&io);
    pv_tls_free(c.tls);
    close(c.fd);
    pv_tlsgate_done(&gate);
    pv_tls_ctx_free(server);
    pv_tls_ctx_free(client);
    return records;
}

PV_TEST(a_turn_client_gets_each_message_in_a_record_of_its_own)
{
    assert_int_equal(count_records(false), N);
}

PV_TEST(a_client_that_reads_a_stream_gets_full_records)
{
    assert_int_equal(count_records(true), 1);
}
