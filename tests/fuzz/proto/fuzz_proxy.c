/* SPDX-License-Identifier: MIT */
/*
 * fuzz_proxy - what a program says to `p2pvpnctl socks`: the same in pieces as at once, and a
 * target that is known can be named. The first byte says how long a piece is; 0: a datagram
 * follows.
 */
#include "proto/local/proxy.h"
#include "tests/fuzz/fuzz_util.h"

struct talk {
    struct pv_proxy p;
    struct pv_proxy_target target;
    int status;
    size_t used, said;
    uint8_t all[4 * PV_PROXY_SAY_MAX]; /* said in all */
};

static void must_be_named(const struct pv_proxy_target *t)
{
    size_t len = strlen(t->host);
    must(len > 0 && len < sizeof(t->host));
    for (size_t i = 0; i < len; i++)
        must(t->host[i] > ' ' && t->host[i] <= '~');
}

/* Shows what has come, until nothing more is used up. */
static void hear(struct talk *t, struct pv_view heard)
{
    size_t used = 0;
    do {
        uint8_t say[PV_PROXY_SAY_MAX];
        size_t said = 0;
        struct pv_view rest = pv_view(heard.ptr + t->used, heard.len - t->used);
        t->status = pv_proxy_hear(&t->p, rest, &used, &t->target, say, &said);
        must(used <= rest.len && said <= sizeof(say) && t->said + said <= sizeof(t->all));
        memcpy(t->all + t->said, say, said);
        t->said += said;
        t->used += used;
    } while (t->status == PV_ERR_AGAIN && used > 0);
}

static void try_datagram(struct pv_view in)
{
    struct pv_proxy_target target;
    struct pv_view data;
    uint8_t head[PV_PROXY_UDP_MAX];
    struct pv_addr addr;
    if (pv_proxy_udp_parse(in, &target, &data) < 0)
        return;
    must_be_named(&target);
    must(target.port != 0 && data.len < in.len && data.ptr + data.len == in.ptr + in.len);
    if (pv_addr_parse_ip(target.host, &addr) < 0)
        return;
    /* The head of an answer from there is read as that of a question. */
    addr.port = target.port;
    struct pv_proxy_target back;
    size_t n = pv_proxy_udp_head(&addr, head);
    must(n <= sizeof(head) && pv_proxy_udp_parse(pv_view(head, n), &back, &data) == PV_OK);
    must(data.len == 0 && back.port == target.port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_view in = pv_view(data, len < PV_PROXY_HEAR_MAX ? len : PV_PROXY_HEAR_MAX);
    size_t piece = fuzz_next(&in);
    struct talk whole = {.used = 0}, cut = {.used = 0};
    if (piece == 0) {
        try_datagram(in);
        return 0;
    }
    hear(&whole, in);
    for (size_t n = 0; n < in.len && (n == 0 || cut.status == PV_ERR_AGAIN);) {
        n += in.len - n < piece ? in.len - n : piece;
        hear(&cut, pv_view(in.ptr, n));
    }
    if (in.len == 0)
        return 0;
    must(whole.status == cut.status && whole.said == cut.said);
    must(memcmp(whole.all, cut.all, whole.said) == 0);
    if (whole.status != PV_OK)
        return 0;
    must(whole.used == cut.used && strcmp(whole.target.host, cut.target.host) == 0);
    must(whole.target.port == cut.target.port && whole.target.want == cut.target.want);
    must_be_named(&whole.target);
    must(whole.target.want == PV_PROXY_UDP || whole.target.port != 0);
    return 0;
}
