/* SPDX-License-Identifier: MIT */
/* The first routers on the way out, by UDP with a small TTL and the ICMP errors that come back. */
#include "ctl/probe/nettrace.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/stun/stun.h"
#include "sys/net/udp.h"
#include "sys/proc/entropy.h"

/* When the requests go: all at once first, so that the mappings they make on a NAT are made before
 * others that are measured. */
static const pv_ns send_at[PV_NETTRACE_SENDS] = {PV_MS(0), PV_MS(200), PV_MS(500)};

static void send_one(const struct pv_nettrace *t, size_t hop)
{
    struct pv_rng rng = pv_entropy();
    uint8_t txid[PV_STUN_TXID_LEN], buf[PV_STUN_HEADER_LEN];
    struct pv_stun_writer w;
    struct pv_udp_counts counts = {0};
    size_t len = 0;
    pv_rng_fill(&rng, txid, sizeof(txid));
    pv_stun_write_begin(&w, buf, sizeof(buf), PV_STUN_REQUEST, PV_STUN_BINDING, txid);
    if (pv_stun_write_end(&w, &len) < 0)
        return;
    /* The router that counts the TTL down to 0 names itself by ICMP (RFC 792). */
    const struct pv_udp_out out = {
        .dst = t->server, .data = pv_view(buf, len), .ttl = (uint8_t)(hop + 1)};
    pv_udp_send(t->fds[hop], &out, 1, &counts);
}

static bool is_over(const struct pv_nettrace *t)
{
    for (size_t i = 0; i < t->trace.n; i++)
        if (t->open[i])
            return false;
    return true;
}

void pv_nettrace_start(struct pv_nettrace *t, const struct pv_addr *server, pv_ns now)
{
    static const struct pv_udp_opts opts = {0};
    const struct pv_addr any = {.family = server->family};
    *t = (struct pv_nettrace){.server = *server, .due = now, .running = true};
    for (size_t i = 0; i < PV_ROUTERCHECK_HOPS; i++) {
        /* Each distance has a socket of its own: an ICMP error then belongs to one TTL without
         * looking into the packet that it quotes. */
        t->fds[i] = -1;
        t->open[i] = pv_udp_open(&any, &opts, &t->fds[i]) == PV_OK;
    }
    t->trace.n = PV_ROUTERCHECK_HOPS;
    pv_nettrace_handle_timeout(t, now);
}

void pv_nettrace_handle_timeout(struct pv_nettrace *t, pv_ns now)
{
    if (!t->running || now < t->due)
        return;
    if (t->sends == PV_NETTRACE_SENDS || is_over(t)) {
        t->running = false;
        return;
    }
    for (size_t i = 0; i < t->trace.n; i++)
        if (t->open[i])
            send_one(t, i);
    /* The times are counted from the first send, so that a late round does not push the next
     * one. */
    pv_ns sent = send_at[t->sends++];
    t->due =
        now - sent + (t->sends < PV_NETTRACE_SENDS ? send_at[t->sends] : PV_MS(PV_NETTRACE_MS));
}

pv_ns pv_nettrace_next_timeout(const struct pv_nettrace *t)
{
    return t->running ? t->due : PV_NEVER;
}

/* The server itself answered a request with this TTL: there is no further router. */
static void reached(struct pv_nettrace *t, size_t hop)
{
    t->open[hop] = false;
    t->trace.reached = true;
    /* A farther socket may have answered first; the nearest one counts. */
    if (hop < t->trace.n)
        t->trace.n = hop;
}

void pv_nettrace_handle_ready(struct pv_nettrace *t, size_t hop)
{
    struct pv_udp_error error;
    uint8_t buf[PV_STUN_HEADER_LEN];
    if (t->fds[hop] < 0)
        return;
    while (pv_udp_read_error(t->fds[hop], &error) == PV_OK) {
        if (error.time_exceeded && t->open[hop]) {
            t->trace.hops[hop] = error.offender;
            t->open[hop] = false;
            /* A closed port is a word of the server's machine, so its distance is known as well. */
        } else if (!error.local && error.err == ECONNREFUSED) {
            reached(t, hop);
        }
    }
    /* Any datagram serves: the socket is ours alone, and only its distance is of interest. */
    while (recv(t->fds[hop], buf, sizeof(buf), MSG_DONTWAIT) >= 0)
        reached(t, hop);
    if (is_over(t))
        t->running = false;
}

void pv_nettrace_done(struct pv_nettrace *t)
{
    for (size_t i = 0; i < PV_ROUTERCHECK_HOPS; i++) {
        if (t->fds[i] >= 0)
            close(t->fds[i]);
        t->fds[i] = -1;
    }
}
