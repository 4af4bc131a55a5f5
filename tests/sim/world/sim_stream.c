/* SPDX-License-Identifier: MIT */
/* The byte streams of sim_net.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/stun/nat64.h"
#include "sim_net.h"
#include "sim_net_i.h"

enum {
    CONNECT_TIMEOUT_S = 10, /* nobody answered */
    LATE_MS = 200,          /* a lost segment comes this much later */
    CHUNK = 16384,          /* bytes of one BYTES event at most */
};

/* The meaning of a chunk on the wire: the tag of the link. */
enum {
    TAG_DATA,
    TAG_OPEN,
    TAG_REFUSED,
    TAG_TIMEOUT,
    TAG_END,
    TAG_RESET,
    TAG_WRITABLE,
};

static struct sim_stream *stream_of(const struct sim_net *net, uint32_t id)
{
    assert(id / 2 < net->n_streams && net->streams[id / 2] != NULL);
    return net->streams[id / 2];
}

/* Puts something on the way to one end. */
static void put(struct sim_net *net, uint32_t to, struct pv_view data, uint64_t tag)
{
    struct sim_stream *s = stream_of(net, to);
    struct sim_end *end = &s->ends[to & 1];
    if (s->silent && tag != TAG_RESET && tag != TAG_TIMEOUT)
        return;
    pv_ns delay = end->in.config.delay;
    if (tag == TAG_TIMEOUT)
        end->in.config.delay = end->patience != 0 ? end->patience : PV_S(CONNECT_TIMEOUT_S);
    else if (pv_natrng_chance(&net->rng, s->loss))
        end->in.config.delay += PV_MS(LATE_MS);
    sim_link_send(&end->in, data, tag, net->now);
    end->in.config.delay = delay;
    sim_wake(net, &end->wake, pv_link_next(&end->in));
}

/* ---- who is reached, and by which way ---- */

struct way {
    unsigned host;
    bool found;
    pv_ns delay[2]; /* towards the listener, and back */
    double loss;
    struct pv_addr seen; /* the caller's address as the listener sees it */
    unsigned crossed[SIM_STREAM_DEPTH];
    unsigned n_crossed;
};

static bool find_host(const struct sim_net *net, const struct pv_addr *ip, unsigned zone,
                      bool overlay, struct way *way)
{
    for (unsigned i = 0; i < net->n_hosts; i++) {
        const struct sim_host *h = net->hosts[i];
        if ((overlay || h->zone == zone) && h->on && sim_host_has(h, ip, overlay)) {
            way->host = i;
            way->found = true;
            return true;
        }
    }
    return false;
}

static void add_line(struct way *way, const struct pv_link_config *there,
                     const struct pv_link_config *back)
{
    way->delay[0] += there->delay;
    way->delay[1] += back->delay;
    way->loss = 1 - (1 - way->loss) * (1 - there->loss) * (1 - back->loss);
}

static struct pv_addr own_address(const struct sim_net *net, unsigned host, uint16_t family,
                                  bool overlay)
{
    const struct sim_host *h = net->hosts[host];
    for (unsigned i = 0; i < h->n_addrs; i++) {
        if (h->addrs[i].family == family && h->overlay[i] == overlay)
            return h->addrs[i];
    }
    return (struct pv_addr){.family = PV_AF_NONE};
}

static bool passes(const struct sim_host *h, uint16_t port)
{
    return h->only_port == 0 || h->only_port == port;
}

/* Looks in the caller's zone, then in each zone above it. */
static struct way find_way(struct sim_net *net, unsigned host, const struct pv_addr *remote)
{
    struct way way = {.found = false};
    struct sim_host *h = net->hosts[host];
    struct pv_addr to = *remote; /* behind a NAT64 another one */
    bool outside = false;
    add_line(&way, &h->up.config, &h->down.config);
    if (find_host(net, remote, 0, true, &way)) {
        way.seen = own_address(net, host, remote->family, true);
    } else {
        unsigned zone = h->zone;
        outside = true;
        way.seen = own_address(net, host, remote->family, false);
        while (!find_host(net, &to, zone, false, &way) && zone != SIM_PUBLIC) {
            const struct pv_nat_config *c = pv_nat_config(net->zones[zone]->nat);
            assert(way.n_crossed < SIM_STREAM_DEPTH);
            way.crossed[way.n_crossed++] = zone;
            add_line(&way, &c->line_out, &c->line_in);
            const struct pv_prefix p = {.base = c->nat64, .bits = 96};
            to = pv_nat64_undo(&p, &to);
            if (to.family == PV_AF_INET && c->n_public > 0)
                way.seen = c->public_ip[0];
            zone = net->zones[zone]->outer;
        }
    }
    if (way.seen.family == PV_AF_NONE || h->no_streams ||
        (way.found && net->hosts[way.host]->side != h->side) ||
        (outside && !passes(h, remote->port)))
        way.found = false;
    if (way.found) {
        const struct sim_host *there = net->hosts[way.host];
        add_line(&way, &there->down.config, &there->up.config);
    }
    way.seen.port = (uint16_t)(32768 + pv_natrng_below(&net->rng, 28000));
    return way;
}

/* ---- calls ---- */

void sim_net_listen(struct sim_net *net, unsigned host, uint16_t port)
{
    struct sim_host *h = net->hosts[host];
    assert(h->n_listens < SIM_HOST_LISTENS);
    h->listens[h->n_listens++] = port;
}

static bool listens(const struct sim_host *h, uint16_t port)
{
    for (unsigned i = 0; i < h->n_listens; i++) {
        if (h->listens[i] == port)
            return true;
    }
    return false;
}

static uint32_t new_stream(struct sim_net *net)
{
    if (net->n_streams == net->cap_streams) {
        net->cap_streams = net->cap_streams == 0 ? 64 : net->cap_streams * 2;
        net->streams = sim_realloc(net->streams, net->cap_streams * sizeof(struct sim_stream *));
    }
    struct sim_stream *s = sim_calloc(1, sizeof(*s));
    uint32_t id = net->n_streams * 2;
    net->streams[net->n_streams++] = s;
    for (unsigned i = 0; i < 2; i++) {
        pv_link_init(&s->ends[i].in, 0);
        s->ends[i].wake = (struct sim_wake){.kind = SIM_WAKE_STREAM, .index = id + i};
    }
    return id;
}

bool sim_net_is_open(const struct sim_net *net, uint32_t stream)
{
    return net->streams[stream / 2] != NULL && net->streams[stream / 2]->ends[stream & 1].open;
}

uint32_t sim_net_connect(struct sim_net *net, unsigned host, const struct pv_addr *remote)
{
    struct way way = find_way(net, host, remote);
    uint32_t id = new_stream(net);
    struct sim_stream *s = stream_of(net, id);
    s->ends[0].host = host;
    s->ends[0].open = true;
    s->local[0] = way.seen;
    s->remote[0] = *remote;
    if (!way.found) {
        put(net, id, pv_view(NULL, 0), TAG_TIMEOUT);
        return id;
    }
    s->ends[1].host = way.host;
    s->local[1] = *remote;
    s->remote[1] = way.seen;
    s->loss = way.loss;
    s->n_crossed = way.n_crossed;
    memcpy(s->crossed, way.crossed, sizeof(s->crossed));
    if (!listens(net->hosts[way.host], remote->port)) {
        s->ends[0].in.config.delay = way.delay[0] + way.delay[1];
        put(net, id, pv_view(NULL, 0), TAG_REFUSED);
        return id;
    }
    s->ends[0].in.config.delay = way.delay[1];
    s->ends[1].in.config.delay = way.delay[0];
    s->ends[1].open = true;
    put(net, id + 1, pv_view(NULL, 0), TAG_OPEN);
    return id;
}

/* The part of data that a stream takes, which the plan of sim_faults.h may have reset or filled. */
static size_t take(struct sim_net *net, uint32_t id, size_t len)
{
    struct sim_end *end = &stream_of(net, id)->ends[id & 1];
    if (end->full)
        return 0;
    if (sim_fault(SIM_FAULT_STREAM)) {
        sim_net_cut(net, id);
        return len;
    }
    if (!sim_fault(SIM_FAULT_SHORT))
        return len;
    end->full = true;
    put(net, id, pv_view(NULL, 0), TAG_WRITABLE);
    return len / 2;
}

size_t sim_net_write(struct sim_net *net, uint32_t id, struct pv_view data)
{
    struct sim_stream *s = stream_of(net, id);
    if (!net->hosts[s->ends[id & 1].host]->on || data.len == 0)
        return data.len;
    /* The other host came back without its memory: it answers with a reset. */
    if (s->dead[1 - (id & 1)] && net->hosts[s->ends[1 - (id & 1)].host]->on) {
        put(net, id, pv_view(NULL, 0), TAG_RESET);
        return data.len;
    }
    struct sim_end *end = &s->ends[id & 1];
    if (s->silent && end->patience != 0 && !end->impatient) {
        end->impatient = true;
        put(net, id, pv_view(NULL, 0), TAG_TIMEOUT);
    }
    size_t taken = data.len = take(net, id, data.len);
    while (data.len > 0) {
        size_t n = data.len < CHUNK ? data.len : CHUNK;
        put(net, id ^ 1, pv_view(data.ptr, n), TAG_DATA);
        data = pv_view(data.ptr + n, data.len - n);
    }
    return taken;
}

void sim_net_close(struct sim_net *net, uint32_t id)
{
    struct sim_stream *s = stream_of(net, id);
    if (!s->ends[id & 1].open)
        return;
    s->ends[id & 1].open = false;
    pv_link_clear(&s->ends[id & 1].in);
    if (s->ends[1 - (id & 1)].open)
        put(net, id ^ 1, pv_view(NULL, 0), TAG_END);
}

void sim_net_cut(struct sim_net *net, uint32_t id)
{
    struct sim_stream *s = stream_of(net, id);
    s->silent = true;
    for (unsigned i = 0; i < 2; i++) {
        struct sim_end *end = &s->ends[i];
        if (!end->open)
            continue;
        pv_link_clear(&end->in);
        end->in.config.delay = 0;
        put(net, (id & ~1u) | i, pv_view(NULL, 0), TAG_RESET);
    }
}

void sim_net_silence(struct sim_net *net, uint32_t id)
{
    struct sim_stream *s = stream_of(net, id);
    if (s->silent)
        return; /* what is under way is the end's own timeout */
    s->silent = true;
    for (unsigned i = 0; i < 2; i++) {
        pv_link_clear(&s->ends[i].in);
        s->ends[i].impatient = false;
    }
}

void sim_net_set_patience(struct sim_net *net, uint32_t id, pv_ns patience)
{
    stream_of(net, id)->ends[id & 1].patience = patience;
}

/* ---- run by sim_net.c ---- */

bool sim_streams_run(struct sim_net *net, struct sim_wake *wake, struct sim_event *event)
{
    uint32_t id = wake->index;
    struct sim_stream *s = stream_of(net, id);
    struct sim_end *end = &s->ends[id & 1];
    uint8_t *data = NULL;
    size_t len = 0;
    uint64_t tag = 0;
    int r = pv_link_receive(&end->in, net->now, &data, &len, &tag);
    sim_wake(net, wake, pv_link_next(&end->in));
    if (r < 0)
        return false;
    sim_hold(net, data);
    if (!end->open || !net->hosts[end->host]->on)
        return false;
    *event = (struct sim_event){
        .kind = SIM_CLOSED,
        .now = net->now,
        .host = end->host,
        .stream = id,
        .status = PV_ERR_CLOSED,
        .local = s->local[id & 1],
        .remote = s->remote[id & 1],
    };
    switch (tag) {
    case TAG_DATA:
        event->kind = SIM_BYTES;
        event->data = pv_view(data, len);
        return true;
    case TAG_OPEN:
        end->started = true;
        event->kind = (id & 1) == 1 ? SIM_ACCEPTED : SIM_CONNECTED;
        if ((id & 1) == 1 && s->ends[0].open)
            put(net, id ^ 1, pv_view(NULL, 0), TAG_OPEN);
        return true;
    case TAG_WRITABLE:
        end->full = false;
        event->kind = SIM_WRITABLE;
        return true;
    case TAG_REFUSED:
        event->status = PV_ERR_REFUSED;
        break;
    case TAG_TIMEOUT:
        event->status = PV_ERR_TIMEOUT;
        break;
    default:
        break;
    }
    end->open = false;
    return true;
}

static void silence(struct sim_net *net, uint32_t i)
{
    if (net->streams[i] != NULL)
        sim_net_silence(net, i * 2);
}

void sim_streams_silence_zone(struct sim_net *net, unsigned zone)
{
    for (uint32_t i = 0; i < net->n_streams; i++) {
        const struct sim_stream *s = net->streams[i];
        for (unsigned k = 0; s != NULL && k < s->n_crossed; k++) {
            if (s->crossed[k] == zone)
                silence(net, i);
        }
    }
}

void sim_streams_silence_host(struct sim_net *net, unsigned host, bool forget)
{
    for (uint32_t i = 0; i < net->n_streams; i++) {
        struct sim_stream *s = net->streams[i];
        for (unsigned k = 0; s != NULL && k < 2; k++) {
            if (s->ends[k].host != host || !s->ends[k].open)
                continue;
            silence(net, i);
            s->dead[k] = forget;
            s->ends[k].open = !forget;
        }
    }
}

void sim_net_block_streams(struct sim_net *net, unsigned host, bool blocked)
{
    net->hosts[host]->no_streams = blocked;
    if (blocked)
        sim_streams_silence_host(net, host, false);
}

void sim_net_block_datagrams(struct sim_net *net, unsigned host, bool blocked)
{
    net->hosts[host]->no_datagrams = blocked;
}

void sim_net_set_side(struct sim_net *net, unsigned host, unsigned side)
{
    net->hosts[host]->side = side;
    net->in_pieces = net->in_pieces || side != 0;
    for (uint32_t i = 0; i < net->n_streams; i++) {
        const struct sim_stream *s = net->streams[i];
        if (s != NULL && s->ends[1].open && (s->ends[0].host == host || s->ends[1].host == host) &&
            net->hosts[s->ends[0].host]->side != net->hosts[s->ends[1].host]->side)
            silence(net, i);
    }
}

void sim_net_only_port(struct sim_net *net, unsigned host, uint16_t port)
{
    net->hosts[host]->only_port = port;
    for (uint32_t i = 0; i < net->n_streams && port != 0; i++) {
        const struct sim_stream *s = net->streams[i];
        if (s != NULL && s->ends[0].host == host && s->remote[0].port != port &&
            !sim_host_has(net->hosts[s->ends[1].host], &s->remote[0], true))
            sim_net_silence(net, i * 2);
    }
}

void sim_streams_done(struct sim_net *net)
{
    for (uint32_t i = 0; i < net->n_streams; i++) {
        struct sim_stream *s = net->streams[i];
        for (unsigned k = 0; s != NULL && k < 2; k++)
            pv_link_done(&s->ends[k].in);
        free(s);
    }
    free(net->streams);
}
