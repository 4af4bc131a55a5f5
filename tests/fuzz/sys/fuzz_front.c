/* SPDX-License-Identifier: MIT */
/*
 * The front of the coordinator's TCP ports: a connection of which nobody knows yet what it speaks.
 * Byte 0 of the input: odd = our client speaks TLS around it. Then pieces {length, bytes}, each
 * written at once. The front gives what was put in, whether plain or inside TLS; nothing comes out
 * when plain bytes begin like TLS; no handshake stays counted behind the end.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coordinator/core/sniff.h"
#include "coordinator/peerio.h"
#include "sys/file/file.h"
#include "sys/net/stream.h"
#include "sys/net/tlscert.h"
#include "tests/fuzz/fuzz_util.h"

enum {
    INPUT_MAX = 4096,
};

struct world {
    struct pv_tls_ctx *server, *client;
    struct pv_tlsgate gate;
};

/* Made once; the fuzzer's process ends without taking it down. */
static struct world *world(void)
{
    static struct world w;
    uint8_t same = 1;
    const struct pv_rng rng = {.fill = fuzz_fill_same, .ctx = &same};
    struct pv_tlscert made;
    char dir[] = "/tmp/pvfuzz.XXXXXX", cert[64], key[64], error[PV_TLS_ERROR_MAX];
    if (w.server != NULL)
        return &w;
    must(mkdtemp(dir) != NULL && pv_tlscert_make(&made, NULL, 0) >= 0);
    snprintf(cert, sizeof(cert), "%s/c", dir);
    snprintf(key, sizeof(key), "%s/k", dir);
    must(pv_file_write(cert, pv_view(made.cert, strlen(made.cert)), 0600) >= 0 &&
         pv_file_write(key, pv_view(made.key, strlen(made.key)), 0600) >= 0 &&
         pv_tls_ctx_new_server(&w.server, cert, key, error) >= 0 &&
         pv_tls_ctx_new_client(&w.client, NULL, error) >= 0 && pv_tlsgate_init(&w.gate, &rng) >= 0);
    unlink(cert);
    unlink(key);
    rmdir(dir);
    return &w;
}

struct run {
    struct pv_peerio io;
    int fd;
    struct pv_tls *tls; /* the client's */
    uint8_t got[2 * INPUT_MAX];
    size_t n_got;
    int end; /* what the front said at last */
    pv_ns now;
};

/* The client's side of TLS: what waits goes out, what came goes in. */
static void client_turn(struct run *run)
{
    uint8_t buf[16384];
    size_t n = 0;
    if (run->tls == NULL)
        return;
    while (pv_stream_read(run->fd, buf, sizeof(buf), &n) == PV_OK)
        (void)!pv_tls_handle_bytes(run->tls, pv_view(buf, n));
    while (pv_tls_out(run->tls).len > 0 &&
           pv_stream_write(run->fd, pv_tls_out(run->tls), &n) == PV_OK)
        pv_tls_wrote(run->tls, n);
}

static void server_turn(struct run *run)
{
    static uint8_t buf[PV_PEERIO_READ_MAX];
    size_t n = 0;
    while (run->end == PV_OK) {
        int r = pv_peerio_read(&run->io, world()->server, buf, sizeof(buf), &n, run->now);
        if (r == PV_OK) {
            must(n <= sizeof(run->got) - run->n_got);
            memcpy(run->got + run->n_got, buf, n);
            run->n_got += n;
        } else if (r == PV_ERR_AGAIN) {
            (void)!pv_peerio_flush(&run->io);
            return;
        } else {
            run->end = r;
        }
    }
}

static void put(struct run *run, struct pv_view piece)
{
    size_t n = 0;
    if (piece.len == 0)
        return;
    if (run->tls == NULL)
        (void)!pv_stream_write(run->fd, piece, &n); /* after the end it fails */
    else if (pv_tls_write(run->tls, piece, &n) < 0)
        abort();
    client_turn(run);
    server_turn(run);
    client_turn(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static pv_ns now;
    static struct run run;
    const struct pv_tls_peer anybody = {.trust = PV_TLS_TRUST_ANY};
    struct world *w = world();
    uint8_t sent[INPUT_MAX];
    size_t n_sent = 0;
    int pair[2];
    if (len == 0 || len > INPUT_MAX)
        return 0;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) >= 0);
    now += PV_S(1); /* the gate lets one a second through for ever */
    run = (struct run){.fd = pair[1], .now = now};
    run.io = (struct pv_peerio){.fd = pair[0], .gate = &w->gate, .source = pv_addr4(9, 9, 9, 9, 9)};
    must((data[0] & 1) == 0 || pv_tls_new_client(&run.tls, w->client, &anybody) >= 0);
    for (int i = 0; i < 3; i++) { /* the handshake */
        client_turn(&run);
        server_turn(&run);
    }
    for (size_t i = 1; i < len;) {
        size_t n = data[i] < len - i - 1 ? data[i] : len - i - 1;
        put(&run, pv_view(data + i + 1, n));
        memcpy(sent + n_sent, data + i + 1, n);
        n_sent += n;
        i += n + 1;
    }
    bool like_tls = run.tls == NULL && n_sent > 0 && pv_sniff(sent[0]) == PV_SNIFF_TLS;
    must(like_tls ? run.n_got == 0 : run.n_got == n_sent && memcmp(run.got, sent, n_sent) == 0);
    must(like_tls || run.end == PV_OK);
    pv_peerio_done(&run.io);
    must(w->gate.n == 0);
    pv_tls_free(run.tls);
    close(run.fd);
    return 0;
}
