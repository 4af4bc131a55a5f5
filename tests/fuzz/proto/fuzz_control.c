/* SPDX-License-Identifier: MIT */
/*
 * The control channel as a sequence. The input is a program of two-byte steps (what, how much):
 *   0 client bytes to the server     1 server bytes to the client
 *   2 client sends a message         3 server sends a message
 *   4 foreign bytes to the server    5 foreign bytes to the client   (taken from the input)
 *   6 one bit flipped on the way to the server
 *   254 both go over to hybrid keys   255 foreign halves of that, to both (taken from the input)
 * While nothing foreign or flipped was delivered, every message must arrive whole and in order.
 */
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/control/control.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/kem_double.h"

struct side {
    struct pv_control *control;
    uint32_t sent;
    uint32_t received;
    /* Client: it has offered, and the message with this number is the answer, with this in it. */
    int offered;
    uint32_t answer;
    uint8_t ct[PV_KEM_CT_LEN];
};

static void drain(struct side *to, const struct side *from, int honest)
{
    struct pv_view text;
    if (pv_control_poll_message(to->control, &text) != PV_OK)
        return;
    if (!honest)
        return;
    must(text.len >= 4 && text.ptr[0] == (uint8_t)to->received && from->sent > to->received);
    to->received++;
    if (to->offered && to->received == to->answer) {
        must(pv_control_accept(to->control, pv_view(to->ct, sizeof(to->ct))) == PV_OK &&
             pv_control_is_hybrid(to->control));
        to->offered = 0;
    }
}

static void deliver(struct side *from, struct side *to, size_t n, int flip, int honest)
{
    size_t used = 0;
    uint8_t copy[1024];
    struct pv_view out = pv_control_out(from->control);
    if (n > out.len)
        n = out.len;
    if (n > sizeof(copy))
        n = sizeof(copy);
    if (n == 0)
        return;
    memcpy(copy, out.ptr, n);
    if (flip)
        copy[n / 2] ^= 0x10;
    int r = pv_control_handle_bytes(to->control, pv_view(copy, n), &used);
    must(used <= n && (!honest || r >= 0));
    pv_control_wrote(from->control, used);
    drain(to, from, honest);
}

static void send_one(struct side *s, size_t n)
{
    uint8_t text[1024] = {0};
    size_t len = 4 + n * 4 < sizeof(text) ? 4 + n * 4 : sizeof(text);
    text[0] = (uint8_t)s->sent;
    if (pv_control_send(s->control, pv_view(text, len)) == PV_OK)
        s->sent++;
}

/* As the owners do it: the client says nothing between its offer and the answer. */
static void go_over(struct side *client, struct side *server, const struct pv_rng *rng)
{
    uint8_t ek[PV_KEM_EK_LEN];
    struct pv_control_keys keys;
    if (client->sent != server->received || client->offered ||
        pv_control_state(server->control) != PV_CONTROL_READY ||
        pv_control_offer(client->control, &kem_double, rng, ek) != PV_OK)
        return;
    must(pv_control_answer(server->control, &kem_double, rng, pv_view(ek, sizeof(ek)), client->ct,
                           &keys) == PV_OK);
    uint32_t before = server->sent;
    send_one(server, 1);
    must(server->sent != before); /* one message always fits here */
    client->offered = 1;
    client->answer = server->sent;
    pv_control_rekey(server->control, &keys);
}

/* Halves that somebody else made: refused, or taken for a key that nobody has. */
static void foreign_halves(struct side *client, struct side *server, struct pv_view bytes,
                           const struct pv_rng *rng)
{
    uint8_t ct[PV_KEM_CT_LEN], half[PV_KEM_EK_LEN] = {0};
    struct pv_control_keys keys;
    memcpy(half, bytes.ptr, bytes.len);
    if (pv_control_answer(server->control, &kem_double, rng, pv_view(half, sizeof(half)), ct,
                          &keys) == PV_OK)
        pv_control_rekey(server->control, &keys);
    (void)!pv_control_accept(client->control, pv_view(half, PV_KEM_CT_LEN - (bytes.len == 1)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t counter = 1;
    struct pv_rng rng = {.fill = fuzz_fill_count, .ctx = &counter};
    uint8_t client_sk[PV_DH_LEN];
    uint8_t server_sk[PV_DH_LEN];
    uint8_t pk[PV_DH_LEN];
    struct side client = {0};
    struct side server = {0};
    int honest = 1;
    must(pv_crypto_init() == PV_OK);
    pv_dh_keypair(&rng, client_sk, pk);
    pv_dh_keypair(&rng, server_sk, pk);
    must(pv_control_new_client(&client.control, client_sk, pk, &rng) == PV_OK &&
         pv_control_new_server(&server.control, server_sk, NULL, &rng) == PV_OK);

    while (len >= 2) {
        uint8_t op = data[0];
        size_t n = data[1];
        size_t used = 0;
        data += 2;
        len -= 2;
        size_t taken = n < len ? n : len;
        if (op == 254) {
            if (honest)
                go_over(&client, &server, &rng);
            continue;
        }
        if (op == 255) {
            honest = 0;
            foreign_halves(&client, &server, pv_view(data, taken), &rng);
            data += taken;
            len -= taken;
            continue;
        }
        switch (op % 7) {
        case 0:
            deliver(&client, &server, n, 0, honest);
            break;
        case 1:
            deliver(&server, &client, n, 0, honest);
            break;
        case 2:
            if (!client.offered)
                send_one(&client, n);
            break;
        case 3:
            send_one(&server, n);
            break;
        case 4:
        case 5:
            honest = 0;
            (void)!pv_control_handle_bytes(op % 7 == 4 ? server.control : client.control,
                                           pv_view(data, taken), &used);
            must(used <= taken);
            drain(op % 7 == 4 ? &server : &client, NULL, 0);
            data += taken;
            len -= taken;
            break;
        default:
            honest = 0;
            deliver(&client, &server, n, 1, 0);
            break;
        }
    }
    pv_control_free(client.control);
    pv_control_free(server.control);
    return 0;
}
