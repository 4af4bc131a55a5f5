/* SPDX-License-Identifier: MIT */
/* dnsask.c - questions of phones at this host's resolvers, each with a socket of its own. */
#include "daemon/io/dnsask.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

/* A question that is under way. */
struct question {
    struct pv_dnsask *ask; /* NULL: the place is free */
    int to;                /* socket towards the resolver; -1: none */
    struct pv_watch *watch;
    pv_ns due;            /* then the next one is asked */
    int fd;               /* the phone's socket, borrowed */
    struct pv_addr src;   /* the phone */
    struct pv_addr local; /* the address that it asked */
    uint16_t id;          /* towards the resolver; in bytes, too */
    uint16_t phone_id;
    struct pv_dns_reply reply; /* its resolvers; number n_asked is the next one */
    size_t n_asked;
    uint64_t number; /* in the order in which they came */
    size_t len;
    uint8_t bytes[PV_DNS_MAX];
};

struct pv_dnsask {
    struct pv_dnsask_config cfg;
    struct question list[PV_DNSASK_MAX];
    uint64_t n; /* that came */
};

int pv_dnsask_new(struct pv_dnsask **ret_ask, const struct pv_dnsask_config *cfg)
{
    struct pv_dnsask *ask = calloc(1, sizeof(*ask));
    if (ask == NULL)
        return PV_ERR_NOMEM;
    ask->cfg = *cfg;
    *ret_ask = ask;
    return PV_OK;
}

static void hang_up(struct question *q)
{
    q->watch = pv_watch_free(q->watch);
    if (q->to >= 0)
        close(q->to);
    q->to = -1;
}

static void end(struct question *q)
{
    hang_up(q);
    q->ask = NULL;
}

/* The phone gets it as it came, but with the id that it chose; or hears that it did not fit here.
 */
static void pass_on(struct question *q, const struct pv_udp_in *in)
{
    size_t len = in->cut ? pv_dns_shorten(in->ptr, q->reply.question) : in->len;
    const struct pv_udp_out out = {.dst = q->src, .local = q->local, .data = pv_view(in->ptr, len)};
    pv_store_be16(in->ptr, q->phone_id);
    pv_udp_send(q->fd, &out, 1, q->ask->cfg.counts);
}

static bool ask_next(struct question *q, pv_ns now);

/* An error says that no resolver listens there: the next one is asked at once. A datagram of
 * somebody else may have come before the socket was connected to the resolver, so each sender is
 * looked at. */
static void on_answer(void *ctx, unsigned ready, pv_ns now)
{
    struct pv_udp_error error;
    struct question *q = ctx;
    struct pv_udp_in *in = NULL;
    size_t n = 0;
    if (pv_udp_read_error(q->to, &error) == PV_OK) {
        if (!ask_next(q, now))
            end(q);
        return;
    }
    if (pv_udp_recv(q->ask->cfg.rx, q->to, &in, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        if (!pv_addr_equal(&in[i].src, &q->reply.ask[q->n_asked - 1]) ||
            !pv_dns_is_answer(pv_view(in[i].ptr, in[i].len), q->id, q->reply.question))
            continue;
        pass_on(q, &in[i]);
        end(q);
        return;
    }
}

/* From another port, with the same id; at once where no way leads to one. False: there is no
 * resolver left. */
static bool ask_next(struct question *q, pv_ns now)
{
    const struct pv_udp_opts opts = {.df = false};
    struct pv_dnsask *ask = q->ask;
    hang_up(q);
    while (q->n_asked < q->reply.n_ask) {
        const struct pv_addr *to = &q->reply.ask[q->n_asked++];
        const struct pv_addr any = {.family = to->family};
        const struct pv_udp_out out = {.dst = *to, .data = pv_view(q->bytes, q->len)};
        if (pv_udp_open(&any, &opts, &q->to) == PV_OK && pv_udp_connect(q->to, to) == PV_OK &&
            pv_watch_new(&q->watch, ask->cfg.loop, q->to, PV_LOOP_READ, on_answer, q) == PV_OK) {
            q->due = now + PV_DNSASK_TRY;
            pv_udp_send(q->to, &out, 1, ask->cfg.counts);
            return true;
        }
        hang_up(q);
    }
    return false;
}

static size_t count_of(const struct pv_dnsask *ask, uint32_t phone)
{
    size_t n = 0;
    for (size_t i = 0; i < PV_DNSASK_MAX; i++)
        n += ask->list[i].ask != NULL && ask->list[i].reply.of == phone ? 1 : 0;
    return n;
}

/* When all places are taken, who has most gives its oldest: a few phones cannot keep the others
 * out. */
static struct question *find_place(struct pv_dnsask *ask)
{
    struct question *victim = NULL;
    size_t most = 0;
    for (size_t i = 0; i < PV_DNSASK_MAX; i++) {
        struct question *q = &ask->list[i];
        if (q->ask == NULL)
            return q;
        size_t n = count_of(ask, q->reply.of);
        if (n > most || (n == most && q->number < victim->number)) {
            most = n;
            victim = q;
        }
    }
    end(victim);
    return victim;
}

void pv_dnsask_put(struct pv_dnsask *ask, int fd, const struct pv_udp_in *in,
                   const struct pv_dns_reply *reply, pv_ns now)
{
    uint8_t id[2];
    if (in->len > PV_DNS_MAX)
        return;
    struct question *q = find_place(ask);
    pv_rng_fill(&ask->cfg.rng, id, sizeof(id));
    *q = (struct question){.ask = ask,
                           .to = -1,
                           .fd = fd,
                           .src = in->src,
                           .local = in->local,
                           .id = pv_load_be16(id),
                           .phone_id = pv_load_be16(in->ptr),
                           .reply = *reply,
                           .number = ask->n++,
                           .len = in->len};
    memcpy(q->bytes, in->ptr, in->len);
    memcpy(q->bytes, id, sizeof(id));
    q->reply.question = pv_view(q->bytes + (reply->question.ptr - in->ptr), reply->question.len);
    if (!ask_next(q, now))
        end(q);
}

void pv_dnsask_forget(struct pv_dnsask *ask)
{
    for (size_t i = 0; i < PV_DNSASK_MAX; i++) {
        if (ask->list[i].ask != NULL)
            end(&ask->list[i]);
    }
}

pv_ns pv_dnsask_timeout(struct pv_dnsask *ask, pv_ns now)
{
    pv_ns next = PV_NEVER;
    for (size_t i = 0; i < PV_DNSASK_MAX; i++) {
        struct question *q = &ask->list[i];
        if (q->ask != NULL && now >= q->due && !ask_next(q, now))
            end(q);
        if (q->ask != NULL)
            next = pv_min_ns(next, q->due);
    }
    return next;
}

struct pv_dnsask *pv_dnsask_free(struct pv_dnsask *ask)
{
    if (ask != NULL)
        pv_dnsask_forget(ask);
    free(ask);
    return NULL;
}
