/* SPDX-License-Identifier: MIT */
/* Streams to relays of a simulated node: what daemon/packets/relayio.c is for the real one. */
#include <stdlib.h>
#include <string.h>

#include "sim_node_i.h"

enum {
    MESSAGE_MAX = 2048,
};

static struct sim_relay_link *link_of(struct sim_node *n, uint16_t number)
{
    for (size_t i = 0; i < SIM_MAX_RELAY_LINKS; i++) {
        if (n->relay_links[i].number == number)
            return &n->relay_links[i];
    }
    return NULL;
}

static void drop(struct sim_relay_link *l)
{
    free(l->in);
    free(l->out);
    *l = (struct sim_relay_link){0};
}

void sim_node_relay_op(struct sim_node *n, const struct pv_relaystream_op *op)
{
    struct sim_relay_link *l = link_of(n, op->open ? 0 : op->stream);
    if (!op->open) {
        if (l != NULL) {
            sim_net_close(n->net, l->stream);
            drop(l);
        }
        return;
    }
    if (l == NULL)
        abort();
    l->in = sim_calloc(1, sizeof(*l->in));
    l->out = sim_calloc(1, SIM_RELAY_OUT);
    l->number = op->stream;
    l->stream = sim_net_connect(n->net, n->host, &op->to.addr);
    n->relay_opened++;
}

static void write_out(struct sim_node *n, struct sim_relay_link *l)
{
    size_t taken = sim_net_write(n->net, l->stream, pv_view(l->out, l->n_out));
    memmove(l->out, l->out + taken, l->n_out -= taken);
}

/* A message that finds no room is lost, as on any path. */
void sim_node_relay_send(struct sim_node *n, uint16_t number, struct pv_view message)
{
    struct sim_relay_link *l = link_of(n, number);
    size_t padding = pv_turnframe_padding(message.len);
    if (l == NULL || !l->open || message.len > MESSAGE_MAX ||
        message.len + padding > SIM_RELAY_OUT - l->n_out)
        return;
    memcpy(l->out + l->n_out, message.ptr, message.len);
    memset(l->out + l->n_out + message.len, 0, padding);
    l->n_out += message.len + padding;
    write_out(n, l);
}

static void take_bytes(struct sim_node *n, struct sim_relay_link *l, struct pv_view data)
{
    const struct pv_carrier from = {.kind = PV_CARRIER_STREAM, .sock = l->number};
    struct pv_view message;
    int r = PV_ERR_AGAIN;
    /* The effects of a message may close the stream. */
    while (l->number == from.sock && (r = pv_turnframe_next(l->in, &data, &message)) == PV_OK)
        sim_node_rx(n, &from, message);
    if (l->number != from.sock || r == PV_ERR_AGAIN)
        return;
    sim_net_close(n->net, l->stream);
    drop(l);
    pv_engine_relay_closed(n->engine, from.sock, "not STUN", sim_node_now(n));
}

bool sim_node_relay_event(struct sim_node *n, const struct sim_event *ev)
{
    for (size_t i = 0; i < SIM_MAX_RELAY_LINKS; i++) {
        struct sim_relay_link *l = &n->relay_links[i];
        uint16_t number = l->number;
        if (number == 0 || l->stream != ev->stream || ev->kind == SIM_ACCEPTED)
            continue;
        if (ev->kind == SIM_CONNECTED) {
            l->open = true;
            pv_engine_relay_connected(n->engine, number, ev->now);
        } else if (ev->kind == SIM_BYTES) {
            take_bytes(n, l, ev->data);
        } else if (ev->kind == SIM_WRITABLE) {
            write_out(n, l);
        } else {
            drop(l);
            pv_engine_relay_closed(n->engine, number, "closed", ev->now);
        }
        return true;
    }
    return false;
}

void sim_node_relay_drop(struct sim_node *n, bool abrupt)
{
    for (size_t i = 0; i < SIM_MAX_RELAY_LINKS; i++) {
        if (n->relay_links[i].number != 0 && !abrupt)
            sim_net_close(n->net, n->relay_links[i].stream);
        drop(&n->relay_links[i]);
    }
}

uint64_t sim_node_relay_streams(const struct sim_node *n, unsigned *ret_open)
{
    *ret_open = 0;
    for (size_t i = 0; i < SIM_MAX_RELAY_LINKS; i++)
        *ret_open += n->relay_links[i].number != 0 && n->relay_links[i].open ? 1 : 0;
    return n->relay_opened;
}
