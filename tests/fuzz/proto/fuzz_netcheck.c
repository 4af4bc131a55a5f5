/* SPDX-License-Identifier: MIT */
/*
 * fuzz_netcheck.c - the measuring machine fed with any datagrams at any times: it ends, in time,
 * sends a bounded number of requests, and never outside of its sockets.
 *
 * Input: commands. u8 op: bit 7 set = that many times 20 ms pass; else u8 socket, u8 length, and
 * that many bytes of a message that gets the id of the last request when bit 0 of op is set; bit 1:
 * from the server, else from where the last request went.
 */
#include <string.h>

#include "proto/stun/netcheck.h"
#include "tests/fuzz/fuzz_util.h"

struct run {
    struct pv_netcheck nc;
    pv_ns now;
    uint8_t last[PV_NETCHECK_MTU];
    struct pv_addr last_dst;
    size_t sent;
    bool done;
};

static void pump(struct run *r)
{
    struct pv_netcheck_send s;
    struct pv_netcheck_result res;
    uint8_t buf[PV_NETCHECK_MTU];
    while (pv_netcheck_poll_transmit(&r->nc, buf, &s) == PV_OK) {
        must(s.sock < PV_NETCHECK_SOCKETS && s.len >= PV_STUN_HEADER_LEN && s.len <= sizeof(buf));
        must(pv_addr_is_usable_remote(&s.dst));
        memcpy(r->last, buf, s.len);
        r->last_dst = s.dst;
        r->sent++;
    }
    if (pv_netcheck_poll_event(&r->nc, &res) == PV_OK) {
        must(!r->done);
        r->done = true;
        must(pv_netcheck_verdict(&res) != NULL && res.n_publics <= PV_NETCHECK_PUBLICS);
    }
}

static size_t command(struct run *r, const struct pv_addr *server, const uint8_t *d, size_t len)
{
    uint8_t msg[256] = {0};
    if (d[0] & 0x80) {
        r->now += PV_MS(20) * (d[0] & 0x7f);
        pv_netcheck_handle_timeout(&r->nc, r->now);
        return 1;
    }
    if (len < 3 || len < 3 + (size_t)d[2])
        return len;
    memcpy(msg, d + 3, d[2]);
    if ((d[0] & 1) && d[2] >= PV_STUN_HEADER_LEN)
        memcpy(msg + 4, r->last + 4, PV_STUN_CLASSIC_ID_LEN);
    int ignored =
        pv_netcheck_handle_input(&r->nc, d[1] % PV_NETCHECK_SOCKETS,
                                 d[0] & 2 ? server : &r->last_dst, pv_view(msg, d[2]), r->now);
    (void)ignored;
    return 3 + (size_t)d[2];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t random = 0;
    const struct pv_rng rng = {.fill = fuzz_fill_mix, .ctx = &random};
    struct pv_netcheck_config cfg = {.n_servers = 2, .lifetime = len > 0 && data[0] % 2 == 1};
    struct run r = {.now = PV_S(1)};
    if (len == 0)
        return 0;
    cfg.servers[0] = pv_addr4(192, 0, 2, 1, 3478);
    cfg.servers[1] = pv_addr4(198, 51, 100, 1, 3478);
    pv_netcheck_start(&r.nc, &cfg, &rng, r.now);
    pump(&r);
    for (size_t i = 1; i < len;) {
        i += command(&r, &cfg.servers[0], data + i, len - i);
        pump(&r);
    }
    for (int i = 0; i < 2000 && !r.done; i++) {
        pv_ns next = pv_netcheck_next_timeout(&r.nc);
        must(next != PV_NEVER);
        r.now = next > r.now ? next : r.now;
        pv_netcheck_handle_timeout(&r.nc, r.now);
        pump(&r);
    }
    must(r.done && pv_netcheck_next_timeout(&r.nc) == PV_NEVER);
    must(r.sent <= 6 * (size_t)PV_NETCHECK_PROBES * 2);
    return 0;
}
