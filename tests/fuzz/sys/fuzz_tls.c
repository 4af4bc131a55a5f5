/* SPDX-License-Identifier: MIT */
/*
 * A TLS connection of our client with our server as a sequence. The input is a program of two-byte
 * steps (what, how much):
 *   0 client bytes to the server      1 server bytes to the client
 *   2 the client writes               3 the server writes
 *   4 foreign bytes to the server     5 foreign bytes to the client   (taken from the input)
 *   6 a byte changed on the way to the server
 *   7 the client ends its stream
 * Buffers stay below their limits, and while nothing foreign or changed was delivered, nothing
 * fails and what was written is what is read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/file/file.h"
#include "sys/net/tls.h"
#include "sys/net/tlscert.h"
#include "tests/fuzz/fuzz_util.h"

enum {
    OUT_MAX = PV_TLS_OUT_MAX + 64 * 1024,
    SCALE = 64, /* bytes that one unit of "how much" stands for */
};

struct side {
    struct pv_tls *tls;
    size_t sent, received; /* bytes; the n-th byte is n */
    bool ended;            /* by the other side, in order */
};

struct contexts {
    struct pv_tls_ctx *server, *client;
};

/* Made once; the fuzzer's process ends without taking it down. */
static const struct contexts *contexts(void)
{
    static struct contexts c;
    struct pv_tlscert made;
    char dir[] = "/tmp/pvfuzz.XXXXXX", cert[64], key[64], error[PV_TLS_ERROR_MAX];
    if (c.server != NULL)
        return &c;
    must(mkdtemp(dir) != NULL && pv_tlscert_make(&made, NULL, 0) >= 0);
    snprintf(cert, sizeof(cert), "%s/c", dir);
    snprintf(key, sizeof(key), "%s/k", dir);
    must(pv_file_write(cert, pv_view(made.cert, strlen(made.cert)), 0600) >= 0 &&
         pv_file_write(key, pv_view(made.key, strlen(made.key)), 0600) >= 0 &&
         pv_tls_ctx_new_server(&c.server, cert, key, error) >= 0 &&
         pv_tls_ctx_new_client(&c.client, NULL, error) >= 0);
    unlink(cert);
    unlink(key);
    rmdir(dir);
    return &c;
}

static void check(int r, bool honest)
{
    must(!honest || r >= 0 || r == PV_ERR_AGAIN || r == PV_ERR_LIMIT || r == PV_ERR_CLOSED ||
         r == PV_ERR_STATE);
}

static void drain(struct side *to, const struct side *from, bool honest)
{
    uint8_t buf[4096];
    size_t n = 0;
    int r = PV_OK;
    while ((r = pv_tls_read(to->tls, buf, sizeof(buf), &n)) == PV_OK) {
        for (size_t i = 0; honest && i < n; i++)
            must(buf[i] == (uint8_t)(to->received + i));
        to->received += n;
        must(!honest || to->received <= from->sent);
    }
    to->ended = to->ended || r == PV_ERR_CLOSED;
    check(r, honest);
}

static void deliver(struct side *from, struct side *to, size_t n, bool change, bool honest)
{
    static uint8_t copy[255 * SCALE];
    struct pv_view out = pv_tls_out(from->tls);
    n = n < out.len ? n : out.len;
    if (n == 0)
        return;
    memcpy(copy, out.ptr, n);
    if (change)
        copy[n / 2] ^= 0x10;
    int r = pv_tls_handle_bytes(to->tls, pv_view(copy, n));
    if (r != PV_ERR_LIMIT)
        pv_tls_wrote(from->tls, n);
    check(r, honest);
    drain(to, from, honest);
}

static void produce(struct side *from, size_t n, bool honest)
{
    static uint8_t text[255 * SCALE];
    size_t done = 0;
    for (size_t i = 0; i < n; i++)
        text[i] = (uint8_t)(from->sent + i);
    if (n == 0)
        return;
    int r = pv_tls_write(from->tls, pv_view(text, n), &done);
    if (r == PV_OK)
        from->sent += done;
    check(r, honest);
}

static bool step(struct side *client, struct side *server, uint8_t what, struct pv_view foreign,
                 size_t n, bool honest)
{
    switch (what % 8) {
    case 0:
        deliver(client, server, n * SCALE, false, honest);
        return honest;
    case 1:
        deliver(server, client, n * SCALE, false, honest);
        return honest;
    case 2:
        produce(client, n * SCALE, honest);
        return honest;
    case 3:
        produce(server, n * SCALE, honest);
        return honest;
    case 4:
        (void)!pv_tls_handle_bytes(server->tls, foreign);
        drain(server, client, false);
        return false;
    case 5:
        (void)!pv_tls_handle_bytes(client->tls, foreign);
        drain(client, server, false);
        return false;
    case 6:
        deliver(client, server, n * SCALE, true, false);
        return false;
    default:
        pv_tls_close(client->tls);
        return honest;
    }
}

/* Everything that is under way arrives. */
static void settle(struct side *client, struct side *server)
{
    for (int i = 0; i < 64; i++) {
        deliver(client, server, 255 * SCALE, false, true);
        deliver(server, client, 255 * SCALE, false, true);
    }
    must(client->sent == server->received && server->sent == client->received);
    must(pv_tls_is_ready(client->tls) && pv_tls_is_ready(server->tls));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct contexts *c = contexts();
    struct pv_tls_peer peer = {.trust = PV_TLS_TRUST_PIN, .host = "fuzz.example"};
    struct side client = {0}, server = {0};
    bool honest = true;
    memcpy(peer.pin, pv_tls_ctx_cert(c->server).pin, sizeof(peer.pin));
    must(pv_tls_new_client(&client.tls, c->client, &peer) >= 0 &&
         pv_tls_new_server(&server.tls, c->server) >= 0);
    for (size_t i = 0; i + 2 <= len;) {
        uint8_t what = data[i], n = data[i + 1];
        i += 2;
        bool takes = what % 8 == 4 || what % 8 == 5;
        size_t of_input = takes ? (n < len - i ? n : len - i) : 0;
        honest = step(&client, &server, what, pv_view(data + i, of_input), n, honest);
        i += of_input;
        must(pv_tls_out(client.tls).len <= OUT_MAX && pv_tls_out(server.tls).len <= OUT_MAX);
    }
    if (honest)
        settle(&client, &server);
    pv_tls_free(client.tls);
    pv_tls_free(server.tls);
    return 0;
}
