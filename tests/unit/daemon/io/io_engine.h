/* SPDX-License-Identifier: MIT */
/*
 * io_engine.h - a stand-in for the engine: it keeps what it is told and gives out what the test
 * prepared.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "daemon/io/io.h"
#include "sys/net/stream.h"
#include "tests/unit/test_util.h"

enum {
    MAX_SIDS = 8,
    OUT_MAX = 1 << 20,
};

struct fake_stream {
    bool open, connected, closed, writable, full;
    struct pv_connect_answer proxy;
    int status;
    enum pv_stream_kind kind;
    struct pv_stream_peer who;
    char in[256];
    size_t in_len;
    size_t out_len; /* bytes of 'x' still to give out */
};

struct pv_engine {
    struct pv_datapath_counts datapath;
    bool (*step)(struct pv_engine *e, pv_ns now); /* true: the test is over */
    pv_ns started, next;
    unsigned stage;
    bool leaves, has_left;
    uint64_t wall;
    unsigned shutdowns, links_calls, hostnet;
    bool routers_told; /* since the links were */
    struct pv_addr router_from;
    char router_got[64];
    size_t router_len;
    struct {
        struct pv_addr from;
        uint32_t ifindex;
        uint8_t hops;
        size_t len;
    } beacon; /* the newest that begins as this test's */
    uint8_t beacon_begins[8];
    size_t n_links;
    unsigned n_looks; /* at the interface, and jobs about it that ended */
    struct fake_stream streams[MAX_SIDS];
    uint32_t next_sid;
    struct pv_stream_op ops[8];
    size_t n_ops;
    struct pv_engine_transmit tx;
    bool has_tx;
    struct pv_relaystream_op relay_op;
    bool has_relay_op;
    uint16_t relay_stream, relay_closed;
    struct pv_job *job;
    struct pv_job_result result;
    unsigned results;
    char punt[64];
    size_t punt_len;
    struct pv_addr punt_from;
    uint16_t punt_sock;
    struct pv_hardnat_op sock_op;
    uint16_t app_port; /* where somebody connected to the program */
    bool has_sock_op;
    uint16_t opened_port;
    int client;          /* the test's own socket */
    char got[256];       /* what it received */
    size_t got_len;      /* may count more than got keeps */
    struct pv_addr addr; /* where the test listens */
    char iface_problem[240];
};

void pv_engine_set_wall(struct pv_engine *e, uint64_t wall_us, pv_ns now)
{
    e->wall = wall_us;
}

void pv_engine_set_iface_ip6(struct pv_engine *e, bool has, pv_ns now)
{
}

void pv_engine_set_iface_problem(struct pv_engine *e, const char *problem)
{
    e->n_looks++;
    snprintf(e->iface_problem, sizeof(e->iface_problem), "%s", problem);
}

void pv_engine_set_process(struct pv_engine *e, const struct pv_metrics_process *process)
{
}

void pv_engine_dns(struct pv_engine *e, const struct pv_addr *src, struct pv_view packet,
                   struct pv_dns_reply *ret_reply, pv_ns now)
{
    ret_reply->len = ret_reply->n_ask = 0; /* nobody asks the name server here */
}

int pv_engine_metrics(struct pv_engine *e, pv_ns now, char **ret_text, size_t *ret_len)
{
    return PV_ERR_NOMEM;
}

void pv_engine_set_datapath(struct pv_engine *e, const struct pv_datapath_counts *datapath)
{
    e->datapath = *datapath;
}

void pv_engine_handle_punt(struct pv_engine *e, const struct pv_fp_punt *punt, pv_ns now)
{
    e->punt_len = punt->bytes.len < sizeof(e->punt) ? punt->bytes.len : sizeof(e->punt);
    memcpy(e->punt, punt->bytes.ptr, e->punt_len);
    e->punt_from = punt->from.remote;
    e->punt_sock = punt->from.sock;
}

void pv_engine_sock_opened(struct pv_engine *e, uint16_t sock, uint16_t port, pv_ns now)
{
    assert_int_equal(sock, e->sock_op.sock);
    e->opened_port = port;
}

void pv_engine_set_stack(struct pv_engine *e, unsigned pid, unsigned restarts)
{
}

void pv_engine_sock_bounced(struct pv_engine *e, uint16_t sock, struct pv_view quoted, bool expired)
{
}

void pv_engine_report(struct pv_engine *e, const struct pv_part *part, const void *report,
                      pv_ns now)
{
    fail_msg("the program of these tests reports nothing");
}

void pv_engine_handle_hostnet(struct pv_engine *e, const struct pv_netplan_host *host, pv_ns now)
{
    e->hostnet++;
}

void pv_engine_handle_links(struct pv_engine *e, const struct pv_links *links, pv_ns now)
{
    assert_true(e->routers_told); /* before the links, each time */
    e->routers_told = false;
    e->links_calls++;
    e->n_links = links->n;
}

void pv_engine_handle_routers(struct pv_engine *e,
                              const struct pv_engine_router routers[static PV_NODE_ROUTERS],
                              pv_ns now)
{
    e->routers_told = true;
}

void pv_engine_handle_router_datagram(struct pv_engine *e, const struct pv_addr *src,
                                      struct pv_view datagram, pv_ns now)
{
    e->router_len = datagram.len < sizeof(e->router_got) ? datagram.len : sizeof(e->router_got);
    memcpy(e->router_got, datagram.ptr, e->router_len);
    e->router_from = *src;
}

/* Other tests may send some meanwhile. */
void pv_engine_handle_beacon(struct pv_engine *e, const struct pv_addr *src, uint32_t ifindex,
                             uint8_t hops, struct pv_view datagram, pv_ns now)
{
    if (datagram.len < sizeof(e->beacon_begins) ||
        memcmp(datagram.ptr, e->beacon_begins, sizeof(e->beacon_begins)) != 0)
        return;
    e->beacon.from = *src;
    e->beacon.ifindex = ifindex;
    e->beacon.hops = hops;
    e->beacon.len = datagram.len;
}

void pv_engine_handle_resume(struct pv_engine *e, pv_ns now)
{
}

void pv_engine_handle_job(struct pv_engine *e, struct pv_job_result *result, pv_ns now)
{
    e->result = *result;
    e->results++;
}

void pv_engine_handle_timeout(struct pv_engine *e, pv_ns now)
{
    if (e->started == 0)
        e->started = now;
    if (now - e->started >= PV_S(20))
        fail_msg("stage %u: in %zu, out %zu, %d; %zu", e->stage, e->streams[0].in_len,
                 e->streams[0].out_len, e->streams[0].closed, e->got_len);
    if (e->step(e, now)) {
        e->next = PV_NEVER;
        raise(SIGTERM);
    } else {
        e->next = now + PV_MS(1);
    }
}

pv_ns pv_engine_next_timeout(const struct pv_engine *e)
{
    return e->next;
}

bool pv_engine_wants_restart(const struct pv_engine *e)
{
    return false;
}

bool pv_engine_leave(struct pv_engine *e, pv_ns now)
{
    return e->leaves; /* as an ephemeral member */
}

bool pv_engine_has_left(const struct pv_engine *e)
{
    return e->leaves && e->has_left;
}

void pv_engine_shutdown(struct pv_engine *e, pv_ns now)
{
    e->shutdowns++;
}

int pv_engine_stream_accepted(struct pv_engine *e, enum pv_stream_kind kind,
                              const struct pv_stream_peer *who, pv_ns now, uint32_t *ret_sid)
{
    if (e->next_sid == MAX_SIDS)
        return PV_ERR_LIMIT;
    *ret_sid = e->next_sid++;
    e->streams[*ret_sid] = (struct fake_stream){.open = true, .kind = kind, .who = *who};
    return PV_OK;
}

void pv_engine_stream_proxied(struct pv_engine *e, uint32_t sid,
                              const struct pv_connect_answer *answer, pv_ns now)
{
    e->streams[sid].proxy = *answer;
}

void pv_engine_stream_connected(struct pv_engine *e, uint32_t sid, pv_ns now)
{
    e->streams[sid].connected = true;
}

void pv_engine_stream_bytes(struct pv_engine *e, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    struct fake_stream *s = &e->streams[sid];
    assert_true(s->in_len + bytes.len < sizeof(s->in));
    memcpy(s->in + s->in_len, bytes.ptr, bytes.len);
    s->in_len += bytes.len;
}

void pv_engine_stream_closed(struct pv_engine *e, uint32_t sid, int status, pv_ns now)
{
    assert_false(e->streams[sid].closed);
    e->streams[sid].closed = true;
    e->streams[sid].status = status;
}

struct pv_view pv_engine_stream_out(struct pv_engine *e, uint32_t sid)
{
    static char data[4096];
    size_t len = e->streams[sid].out_len;
    memset(data, 'x', sizeof(data));
    return pv_view(data, len < sizeof(data) ? len : sizeof(data));
}

bool pv_engine_stream_is_full(struct pv_engine *e, uint32_t sid)
{
    return e->streams[sid].full;
}

void pv_engine_stream_wrote(struct pv_engine *e, uint32_t sid, size_t n, pv_ns now)
{
    e->streams[sid].out_len -= n;
}

void pv_engine_reloaded(struct pv_engine *e, const struct pv_engine_reloaded *done)
{
}

void pv_engine_relay_connected(struct pv_engine *e, uint16_t stream, pv_ns now)
{
    e->relay_stream = stream;
}

void pv_engine_relay_closed(struct pv_engine *e, uint16_t stream, const char *why, pv_ns now)
{
    e->relay_stream = 0;
    e->relay_closed = stream;
}

static bool take_look(struct pv_engine *e, uint32_t *ret_sid)
{
    for (uint32_t sid = 0; sid < MAX_SIDS; sid++) {
        if (e->streams[sid].writable) {
            e->streams[sid].writable = false;
            *ret_sid = sid;
            return true;
        }
    }
    return false;
}

int pv_engine_poll(struct pv_engine *e, struct pv_engine_order *ret_order)
{
    if (e->has_sock_op) {
        e->has_sock_op = false;
        *ret_order = (struct pv_engine_order){.type = PV_ORDER_SOCK, .u.sock = e->sock_op};
    } else if (e->has_relay_op) {
        e->has_relay_op = false;
        *ret_order = (struct pv_engine_order){.type = PV_ORDER_RELAY, .u.relay = e->relay_op};
    } else if (e->has_tx) {
        e->has_tx = false;
        *ret_order = (struct pv_engine_order){.type = PV_ORDER_DATAGRAM, .u.datagram = e->tx};
    } else if (e->n_ops > 0) {
        *ret_order = (struct pv_engine_order){.type = PV_ORDER_STREAM, .u.stream = e->ops[0]};
        memmove(e->ops, e->ops + 1, --e->n_ops * sizeof(e->ops[0]));
    } else if (take_look(e, &ret_order->u.look)) {
        ret_order->type = PV_ORDER_LOOK;
    } else if (e->job != NULL) {
        *ret_order = (struct pv_engine_order){.type = PV_ORDER_JOB, .u.job = e->job};
        e->job = NULL;
    } else {
        return PV_ERR_AGAIN;
    }
    return PV_OK;
}
