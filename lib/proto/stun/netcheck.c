/* SPDX-License-Identifier: MIT */
/*
 * netcheck.c - asks the questions of a NAT check: which socket sends what to whom, and when.
 * Conclusions are drawn in netcheck_judge.c. The order of the tests matters: the burst of fresh
 * sockets comes first and alone, because each new binding takes a port, and ports taken in between
 * would hide the NAT's rule.
 */
#include "proto/stun/netcheck.h"

#include <string.h>

#include "base/bytes.h"
#include "proto/stun/netcheck_int.h"

enum state {
    FINDING,
    MEASURING,
    LIVING,
    DONE,
};

enum {
    BURST_GAP_MS = 5, /* between fresh sockets, so that they keep their order on the way */
    BURST_MS = 100,   /* the other tests wait so long: they would take ports in between */
};

/* Silences tried, in seconds; the last must be the longest. */
static const uint16_t SILENCES[PV_NETCHECK_LIVES] = {0,  5,  10, 15, 20, 25,  30,
                                                     40, 50, 60, 75, 90, 120, 180};

/* When a request is sent again, in ms after the first time (ours). Finding a server allows for a
 * slow line; the tests that follow know the round trip and are quicker. A request that stays
 * unanswered has failed some time after its last transmission: see plan_resend(). */
static const uint16_t FIND_AT[] = {0, 100, 300, 700, 1500, 2300};
static const uint16_t TEST_AT[] = {0, 100, 250, 500, 900};

static pv_ns later_of(pv_ns a, pv_ns b)
{
    return a > b ? a : b;
}

/* --- probes -------------------------------------------------------------------------------- */

/* Every question is a transaction of its own with an unpredictable id, which is all that protects
 * the result from forged answers (RFC 8489 s5). */
static struct pv_netcheck_probe *add_probe(struct pv_netcheck *nc, uint8_t kind, unsigned sock,
                                           const struct pv_addr *dst, pv_ns at)
{
    struct pv_netcheck_probe *p = &nc->probes[nc->n_probes];
    if (nc->n_probes == PV_NETCHECK_PROBES)
        return &nc->probes[PV_NETCHECK_PROBES - 1]; /* cannot be: see the counts in netcheck.h */
    nc->n_probes++;
    *p = (struct pv_netcheck_probe){.kind = kind, .sock = (uint8_t)sock, .dst = *dst, .due = at};
    pv_rng_fill(&nc->rng, p->txid, sizeof(p->txid));
    return p;
}

static bool is_open(const struct pv_netcheck_probe *p)
{
    return p->state == PV_NC_WAITING || p->state == PV_NC_ASKED;
}

static bool has_probe(const struct pv_netcheck *nc, uint8_t kind, const struct pv_addr *dst)
{
    for (size_t i = 0; i < nc->n_probes; i++)
        if (nc->probes[i].kind == kind && pv_addr_equal(&nc->probes[i].dst, dst))
            return true;
    return false;
}

static struct pv_netcheck_probe *find_kind(struct pv_netcheck *nc, uint8_t kind, unsigned sock)
{
    for (size_t i = 0; i < nc->n_probes; i++)
        if (nc->probes[i].kind == kind && nc->probes[i].sock == sock)
            return &nc->probes[i];
    return NULL;
}

/* A request was handed out. Plans its repetition, or after the last one the moment at which silence
 * counts as the answer: the end of the search for servers, or twice the round trip, at least 400
 * ms. */
static void plan_resend(struct pv_netcheck *nc, struct pv_netcheck_probe *p)
{
    bool finding = nc->state == FINDING;
    const uint16_t *at = finding ? FIND_AT : TEST_AT;
    size_t n = finding ? PV_ARRAY_LEN(FIND_AT) : PV_ARRAY_LEN(TEST_AT);
    pv_ns rtt = nc->state == FINDING
                    ? 0
                    : pv_netcheck_server(nc)->answered - pv_netcheck_server(nc)->last_sent;
    p->state = PV_NC_ASKED;
    p->last_sent = nc->now;
    p->sends++;
    if (p->sends < n)
        p->due = nc->now + PV_MS(at[p->sends] - at[p->sends - 1]);
    else if (finding)
        p->due = nc->started + PV_MS(PV_NETCHECK_FIND_MS);
    else
        p->due = nc->now + later_of(PV_MS(400), 2 * rtt);
}

/* --- the tests ----------------------------------------------------------------------------- */

void pv_netcheck_start(struct pv_netcheck *nc, const struct pv_netcheck_config *cfg,
                       const struct pv_rng *rng, pv_ns now)
{
    memset(nc, 0, sizeof(*nc));
    nc->cfg = *cfg;
    nc->rng = *rng;
    nc->started = now;
    nc->now = now;
    nc->settle = PV_NEVER;
    nc->state = FINDING;
    if (nc->cfg.n_servers > PV_NETCHECK_SERVERS)
        nc->cfg.n_servers = PV_NETCHECK_SERVERS;
    for (size_t i = 0; i < nc->cfg.n_servers; i++)
        add_probe(nc, PV_NC_MAPPING, PV_NETCHECK_MAIN, &nc->cfg.servers[i], now);
}

static void end_with_result(struct pv_netcheck *nc)
{
    pv_netcheck_judge(nc);
    nc->state = DONE;
    nc->event_due = true;
}

/* Chooses the server for everything that follows; false while there is none. One with a second
 * address (RFC 5780 s7.4) can tell more and is preferred to the first that answered. */
static bool choose_server(struct pv_netcheck *nc)
{
    bool found = false;
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->state != PV_NC_ANSWERED)
            continue;
        if (!found ||
            (pv_netcheck_server(nc)->other.family == PV_AF_NONE && p->other.family != PV_AF_NONE))
            nc->server = i;
        found = true;
    }
    return found;
}

/* OTHER-ADDRESS and similar come unauthenticated. Without this test a server could send our probes
 * to multicast, to this machine or to a link-local address; loopback stays allowed between loopback
 * addresses, for tests. */
static bool may_be_asked(const struct pv_addr *a, const struct pv_addr *server)
{
    return pv_addr_is_usable_remote(a) ||
           (a->port != 0 && pv_addr_is_loopback(a) && pv_addr_is_loopback(server));
}

static void add_mapping(struct pv_netcheck *nc, const struct pv_addr *dst, pv_ns at)
{
    if (may_be_asked(dst, &pv_netcheck_server(nc)->dst) && !has_probe(nc, PV_NC_MAPPING, dst))
        add_probe(nc, PV_NC_MAPPING, PV_NETCHECK_MAIN, dst, at);
}

/* The main socket asks every other address of the server; without a second address, the port
 * after its own, which is where RFC 5780 servers have their second one. */
static void add_mappings(struct pv_netcheck *nc, pv_ns at)
{
    const struct pv_netcheck_probe s = *pv_netcheck_server(nc);
    struct pv_addr a = s.dst;
    if (s.other.family != s.dst.family) {
        a.port = (uint16_t)(s.dst.port + 1);
        add_mapping(nc, &a, at);
        return;
    }
    a.port = s.other.port;
    add_mapping(nc, &a, at);
    add_mapping(nc, &s.other, at);
    a = s.other;
    a.port = s.dst.port;
    add_mapping(nc, &a, at);
}

static void start_measuring(struct pv_netcheck *nc)
{
    const struct pv_addr dst = pv_netcheck_server(nc)->dst;
    nc->state = MEASURING;
    nc->measure = nc->now;
    for (unsigned i = 0; i < PV_NETCHECK_FRESH; i++)
        add_probe(nc, PV_NC_FRESH, PV_NETCHECK_FIRST_FRESH + i, &dst,
                  nc->now + PV_MS(i * BURST_GAP_MS));
    add_mappings(nc, nc->now + PV_MS(BURST_MS));
    add_probe(nc, PV_NC_FILTER_OPEN, PV_NETCHECK_FILTER, &dst, nc->now + PV_MS(BURST_MS));
}

/* The filter socket has opened a binding to the server's first address. Now the server is asked to
 * answer from another address and from another port (RFC 5780 s4.4); what arrives shows what the
 * filter lets through. The socket must never have sent to those places itself. */
static void start_filter(struct pv_netcheck *nc)
{
    const struct pv_addr dst = pv_netcheck_server(nc)->dst;
    add_probe(nc, PV_NC_FILTER, PV_NETCHECK_FILTER, &dst, nc->now)->flags =
        PV_NC_CHANGE_IP | PV_NC_CHANGE_PORT;
    add_probe(nc, PV_NC_FILTER, PV_NETCHECK_FILTER, &dst, nc->now)->flags = PV_NC_CHANGE_PORT;
}

/* Two fresh sockets write to each other's public address. Both write, because a NAT that filters by
 * address lets in only what its own side has written to first. */
static void start_hairpin(struct pv_netcheck *nc)
{
    const struct pv_netcheck_probe *a = find_kind(nc, PV_NC_FRESH, PV_NETCHECK_FIRST_FRESH);
    const struct pv_netcheck_probe *b = find_kind(nc, PV_NC_FRESH, PV_NETCHECK_FIRST_FRESH + 1);
    pv_ns at = later_of(nc->now, nc->measure + PV_MS(BURST_MS));
    if (a == NULL || b == NULL || a->state != PV_NC_ANSWERED || b->state != PV_NC_ANSWERED ||
        find_kind(nc, PV_NC_HAIRPIN, a->sock) != NULL ||
        pv_addr_equal_ip(&a->mapped, &nc->cfg.local[a->sock]))
        return;
    add_probe(nc, PV_NC_HAIRPIN, a->sock, &b->mapped, at);
    add_probe(nc, PV_NC_HAIRPIN, b->sock, &a->mapped, at);
}

static bool all_done(const struct pv_netcheck *nc)
{
    for (size_t i = 0; i < nc->n_probes; i++)
        if (is_open(&nc->probes[i]))
            return false;
    return true;
}

/* --- the lifetime of bindings ---------------------------------------------------------------- */

/* Bindings are left alone, each for another time, and then the server is asked to answer to their
 * port. All of them run at once, so that the test takes as long as the longest silence. */
static void start_living(struct pv_netcheck *nc)
{
    const struct pv_addr dst = pv_netcheck_server(nc)->dst;
    nc->state = LIVING;
    nc->n_probes = nc->server + 1; /* the others have been judged: room for new ones */
    for (unsigned i = 0; i < PV_NETCHECK_LIVES; i++)
        add_probe(nc, PV_NC_LIFE_OPEN, PV_NETCHECK_FIRST_LIFE + i, &dst, nc->now);
}

static void ask_binding(struct pv_netcheck *nc, const struct pv_netcheck_probe *opened, pv_ns at)
{
    uint16_t port = opened->mapped.port;
    unsigned sock = opened->sock;
    struct pv_netcheck_probe *p = add_probe(nc, PV_NC_LIFE, sock, &pv_netcheck_server(nc)->dst, at);
    p->response_port = port;
}

/* A binding was opened: the question to it is asked when its silence is over. The first silence is
 * zero, which shows whether the server answers to another port at all. */
static void plan_question(struct pv_netcheck *nc, const struct pv_netcheck_probe *p)
{
    unsigned i = p->sock - PV_NETCHECK_FIRST_LIFE;
    const struct pv_netcheck_probe opened = *p;
    ask_binding(nc, &opened, nc->now + PV_S(SILENCES[i]));
}

/* Bindings of higher number are left alone for longer, so the first one found dead (or refused)
 * settles the result, and nobody waits for the rest. */
static bool life_decided(const struct pv_netcheck *nc)
{
    const struct pv_netcheck_probe *p;
    bool waiting = false;
    for (size_t i = 0; i < nc->n_probes; i++) {
        p = &nc->probes[i];
        if (p->kind == PV_NC_LIFE && (p->state == PV_NC_SILENT || p->state == PV_NC_REFUSED))
            return true;
        waiting = waiting || is_open(p);
    }
    return !waiting;
}

/* A lifetime counts only when the fresh binding (silence 0) was reached; otherwise the server or a
 * filter stands in the way and every longer silence would look like a dead binding. */
static void judge_life(struct pv_netcheck *nc)
{
    struct pv_netcheck_result *res = &nc->result;
    res->life_max = PV_NEVER;
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        unsigned n = p->sock - PV_NETCHECK_FIRST_LIFE;
        if (p->kind != PV_NC_LIFE)
            continue;
        pv_ns silence = PV_S(SILENCES[n]);
        if (p->state == PV_NC_ANSWERED) {
            res->life_known = true;
            res->life_min = later_of(res->life_min, silence);
        } else if (p->state == PV_NC_SILENT) {
            res->life_max = pv_min_ns(res->life_max, silence);
        }
    }
    /* Not even a fresh binding was reached: the server does not do it. */
    res->life_known = res->life_known && res->life_max > 0;
}

/* --- what moves it --------------------------------------------------------------------------- */

/* Moves to the next state when the present one has nothing open. The first answer starts a short
 * grace (250 ms) in which a server with a second address may still overtake it. */
static void advance(struct pv_netcheck *nc)
{
    if (nc->state == FINDING) {
        bool found = choose_server(nc);
        if (found && nc->settle == PV_NEVER)
            nc->settle = nc->now + PV_MS(all_done(nc) ? 0 : 250);
        if (found && (all_done(nc) || nc->now >= nc->settle))
            start_measuring(nc);
        else if (!found && all_done(nc))
            end_with_result(nc);
    } else if (nc->state == MEASURING) {
        start_hairpin(nc);
        if (!all_done(nc) && nc->now < nc->started + PV_MS(PV_NETCHECK_MAX_MS))
            return;
        pv_netcheck_judge(nc);
        if (nc->cfg.lifetime)
            start_living(nc);
        else
            end_with_result(nc);
    } else if (nc->state == LIVING && life_decided(nc)) {
        judge_life(nc);
        nc->state = DONE;
        nc->event_due = true;
    }
}

/* A Binding request arrived: when it is one of ours, the NAT has turned it round (hairpinning, RFC
 * 4787 s6). One of the two is enough, so the other one stops. */
static int take_own_request(struct pv_netcheck *nc, const struct pv_stun_msg *msg, pv_ns now)
{
    for (size_t i = 0; i < nc->n_probes; i++) {
        struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->kind != PV_NC_HAIRPIN || memcmp(p->txid, msg->txid, sizeof(p->txid)) != 0)
            continue;
        nc->now = now;
        nc->hairpinned = true;
        for (size_t k = 0; k < nc->n_probes; k++)
            if (nc->probes[k].kind == PV_NC_HAIRPIN && is_open(&nc->probes[k]))
                nc->probes[k].state = PV_NC_ANSWERED;
        advance(nc);
        return PV_OK;
    }
    return PV_ERR_NOT_FOUND;
}

/* An answer counts only with the id, on the socket and from the address that its question implies:
 * only FILTER expects another source, and only the refusal of a LIFE question arrives on the main
 * socket, which asked it. */
static bool may_answer(const struct pv_netcheck_probe *p, const struct pv_stun_msg *msg,
                       unsigned sock, const struct pv_addr *src)
{
    if (p->state != PV_NC_ASKED || p->kind == PV_NC_HAIRPIN ||
        memcmp(p->txid, msg->txid, sizeof(p->txid)) != 0)
        return false;
    if (p->kind == PV_NC_LIFE && msg->cls == PV_STUN_ERROR)
        return sock == PV_NETCHECK_MAIN;
    return sock == p->sock && (p->kind == PV_NC_FILTER || pv_addr_equal(src, &p->dst));
}

/* Second addresses are believed only when they differ in both address and port (RFC 5780 s3) and
 * may be asked; RFC 3489 servers name theirs CHANGED-ADDRESS and know MAPPED-ADDRESS only. */
static int take_answer(struct pv_netcheck *nc, struct pv_netcheck_probe *p,
                       const struct pv_stun_msg *msg, const struct pv_addr *src)
{
    struct pv_addr mapped;
    p->answered = nc->now;
    p->from = *src;
    if (msg->cls == PV_STUN_ERROR) {
        p->state = PV_NC_REFUSED;
        return PV_OK;
    }
    int r = pv_stun_get_xor_addr(msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    if (r == PV_ERR_NOT_FOUND)
        r = pv_stun_get_addr(msg, PV_STUN_ATTR_MAPPED_ADDRESS, &mapped);
    if (r < 0 || mapped.port == 0)
        return PV_ERR_MALFORMED;
    p->mapped = mapped;
    p->state = PV_NC_ANSWERED;
    struct pv_addr other;
    if ((pv_stun_get_addr(msg, PV_STUN_ATTR_OTHER_ADDRESS, &other) == PV_OK ||
         pv_stun_get_addr(msg, PV_STUN_ATTR_CHANGED_ADDRESS, &other) == PV_OK) &&
        other.family == p->dst.family && !pv_addr_equal_ip(&other, &p->dst) &&
        other.port != p->dst.port && may_be_asked(&other, &p->dst))
        p->other = other;
    return PV_OK;
}

int pv_netcheck_handle_input(struct pv_netcheck *nc, unsigned sock, const struct pv_addr *src,
                             struct pv_view datagram, pv_ns now)
{
    struct pv_stun_msg msg;
    int r = pv_stun_decode(datagram, &msg);
    if (r < 0)
        return r;
    if (msg.method != PV_STUN_BINDING || nc->state == DONE)
        return PV_ERR_NOT_FOUND;
    if (msg.cls == PV_STUN_REQUEST)
        return take_own_request(nc, &msg, now);
    if (msg.cls != PV_STUN_SUCCESS && msg.cls != PV_STUN_ERROR)
        return PV_ERR_NOT_FOUND;
    for (size_t i = 0; i < nc->n_probes; i++) {
        struct pv_netcheck_probe *p = &nc->probes[i];
        if (!may_answer(p, &msg, sock, src))
            continue;
        nc->now = now;
        r = take_answer(nc, p, &msg, src);
        if (r < 0)
            return r;
        if (p->kind == PV_NC_FILTER_OPEN && p->state == PV_NC_ANSWERED)
            start_filter(nc);
        if (p->kind == PV_NC_LIFE_OPEN && p->state == PV_NC_ANSWERED)
            plan_question(nc, p);
        advance(nc);
        return PV_OK;
    }
    return PV_ERR_NOT_FOUND;
}

void pv_netcheck_handle_timeout(struct pv_netcheck *nc, pv_ns now)
{
    nc->now = now;
    if (nc->state == DONE)
        return;
    for (size_t i = 0; i < nc->n_probes; i++) {
        struct pv_netcheck_probe *p = &nc->probes[i];
        size_t n = nc->state == FINDING ? PV_ARRAY_LEN(FIND_AT) : PV_ARRAY_LEN(TEST_AT);
        if (p->state == PV_NC_ASKED && now >= p->due && p->sends >= n)
            p->state = PV_NC_SILENT;
    }
    advance(nc);
}

pv_ns pv_netcheck_next_timeout(const struct pv_netcheck *nc)
{
    pv_ns next = PV_NEVER;
    if (nc->state == DONE)
        return PV_NEVER;
    if (nc->state == FINDING)
        next = nc->settle;
    if (nc->state == MEASURING)
        next = nc->started + PV_MS(PV_NETCHECK_MAX_MS);
    for (size_t i = 0; i < nc->n_probes; i++)
        if (is_open(&nc->probes[i]))
            next = pv_min_ns(next, nc->probes[i].due);
    return next;
}

/* By IPv6 a second address makes an answer so long that a server may leave it out for a request
 * without any attribute, whose source may be forged (ours does: stuns.h PV_STUNS_GAIN). */
static int write_probe(const struct pv_netcheck_probe *p, uint8_t *buf, size_t *ret_len)
{
    struct pv_stun_writer w;
    pv_stun_write_begin(&w, buf, PV_NETCHECK_MTU, PV_STUN_REQUEST, PV_STUN_BINDING, p->txid);
    if (p->flags != 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_CHANGE_REQUEST, p->flags);
    if (p->response_port != 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_RESPONSE_PORT, (uint32_t)p->response_port << 16);
    if (p->dst.family == PV_AF_INET6)
        pv_stun_put_fingerprint(&w);
    return pv_stun_write_end(&w, ret_len);
}

int pv_netcheck_poll_transmit(struct pv_netcheck *nc, uint8_t buf[static PV_NETCHECK_MTU],
                              struct pv_netcheck_send *ret_send)
{
    if (nc->state == DONE)
        return PV_ERR_AGAIN;
    for (size_t i = 0; i < nc->n_probes; i++) {
        struct pv_netcheck_probe *p = &nc->probes[i];
        size_t n = nc->state == FINDING ? PV_ARRAY_LEN(FIND_AT) : PV_ARRAY_LEN(TEST_AT);
        if (!is_open(p) || p->due > nc->now || p->sends >= n)
            continue;
        size_t len = 0;
        int r = write_probe(p, buf, &len);
        if (r < 0)
            return r;
        plan_resend(nc, p);
        ret_send->sock = p->kind == PV_NC_LIFE ? PV_NETCHECK_MAIN : p->sock;
        ret_send->dst = p->dst;
        ret_send->len = len;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

int pv_netcheck_poll_event(struct pv_netcheck *nc, struct pv_netcheck_result *ret_result)
{
    if (!nc->event_due)
        return PV_ERR_AGAIN;
    nc->event_due = false;
    *ret_result = nc->result;
    return PV_OK;
}
