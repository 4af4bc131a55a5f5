/* SPDX-License-Identifier: MIT */
/* dnstcp.c - a table of connections, each in one state, with a resolver's connection beside it. */
#include "daemon/io/dnstcp.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "sys/net/stream.h"

enum {
    FRAME = 2, /* RFC 1035 s4.2.2: the length before each message */
    HEADER = 12,
    ACCEPT_AT_ONCE = 4, /* ours: others have their turn */
    REST_MS = 1000,     /* ours: without descriptors no connection is taken for so long */
};

enum state {
    HEARS,      /* the client's question */
    CONNECTING, /* to a resolver */
    ASKING,     /* the resolver: it has the question */
    SAYING,     /* the answer to the client */
};

struct conn {
    struct pv_dnstcp *all; /* NULL: the place is free */
    enum state state;
    pv_ns due; /* then it ends, or the next resolver is asked */
    struct pv_addr src;
    int fd, to; /* of the client, of the resolver; -1: none */
    struct pv_watch *watch, *to_watch;
    struct pv_dns_reply reply; /* its resolvers; number n_asked is the next one */
    size_t n_asked;
    uint16_t phone_id;
    size_t n_in, question; /* bytes of in; of them the first message, with its length */
    size_t n_out, said;    /* bytes of out: a resolver's answer, or what is said */
    uint8_t in[FRAME + PV_DNS_QUERY_MAX];
    uint8_t out[FRAME + UINT16_MAX];
};

struct pv_dnstcp {
    struct pv_dnstcp_config cfg;
    struct listener {
        struct pv_dnstcp *all;
        int fd;
        struct pv_watch *watch;
    } listeners[PV_DNSTCP_LISTENERS];
    size_t n_listeners;
    pv_ns resume_at; /* without descriptors; PV_NEVER: they are watched */
    struct conn *conns[PV_DNSTCP_MAX];
};

static void end(struct conn **place)
{
    struct conn *c = *place;
    pv_watch_free(c->watch);
    pv_watch_free(c->to_watch);
    if (c->to >= 0)
        close(c->to);
    close(c->fd);
    free(c);
    *place = NULL;
}

/* Each function below that ends a connection says so, and nobody uses it then. */
static void end_conn(struct conn *c)
{
    for (size_t i = 0; i < PV_DNSTCP_MAX; i++) {
        if (c->all->conns[i] == c) {
            end(&c->all->conns[i]);
            return;
        }
    }
}

/* --- to the client ------------------------------------------------------------------------- */

static void hear(struct conn *c, pv_ns now);

/* The next question may have come with the one that is answered. */
static void say(struct conn *c, pv_ns now)
{
    while (c->said < c->n_out) {
        size_t n = 0;
        int r = pv_stream_write(c->fd, pv_view(c->out + c->said, c->n_out - c->said), &n);
        if (r == PV_ERR_AGAIN)
            return;
        if (r < 0) {
            end_conn(c);
            return;
        }
        c->said += n;
    }
    c->n_in -= c->question;
    memmove(c->in, c->in + c->question, c->n_in);
    c->n_out = c->said = c->question = 0;
    c->state = HEARS;
    c->due = now + PV_DNSTCP_IDLE;
    pv_watch_set(c->watch, PV_LOOP_READ);
    hear(c, now);
}

static void begin_to_say(struct conn *c, size_t len, pv_ns now)
{
    c->n_out = len;
    c->said = 0;
    c->state = SAYING;
    c->due = now + PV_DNSTCP_IDLE;
    pv_watch_set(c->watch, PV_LOOP_WRITE);
}

/* --- to a resolver ------------------------------------------------------------------------- */

static void ask_next(struct conn *c, pv_ns now);

static void hang_up(struct conn *c)
{
    c->to_watch = pv_watch_free(c->to_watch);
    if (c->to >= 0)
        close(c->to);
    c->to = -1;
}

/* A connection that was just made takes a question whole. */
static void put_question(struct conn *c, pv_ns now)
{
    size_t n = 0;
    int r = pv_stream_connected(c->to);
    if (r == PV_ERR_AGAIN)
        return;
    if (r == PV_OK)
        r = pv_stream_write(c->to, pv_view(c->in, c->question), &n);
    if (r < 0 || n < c->question) {
        ask_next(c, now);
        return;
    }
    c->state = ASKING;
    c->n_out = 0;
    pv_watch_set(c->to_watch, PV_LOOP_READ);
}

static void take_answer(struct conn *c, pv_ns now)
{
    size_t n = 0, want = c->n_out < FRAME ? FRAME : FRAME + (size_t)pv_load_be16(c->out);
    int r = pv_stream_read(c->to, c->out + c->n_out, want - c->n_out, &n);
    if (r == PV_ERR_AGAIN)
        return;
    c->n_out += n;
    bool whole = c->n_out >= FRAME && c->n_out == FRAME + (size_t)pv_load_be16(c->out);
    if (r == PV_OK && !whole)
        return; /* the loop tells of what is there already */
    const struct pv_view answer = pv_view(c->out + FRAME, whole ? c->n_out - FRAME : 0);
    if (r < 0 || !pv_dns_is_answer(answer, pv_load_be16(c->in + FRAME), c->reply.question)) {
        ask_next(c, now);
        return;
    }
    hang_up(c);
    pv_store_be16(c->out + FRAME, c->phone_id);
    begin_to_say(c, c->n_out, now);
}

static void on_resolver(void *ctx, unsigned ready, pv_ns now)
{
    struct conn *c = ctx;
    if (c->state == CONNECTING)
        put_question(c, now);
    else
        take_answer(c, now);
}

/* Without another resolver the connection ends: its client asks again by another. */
static void ask_next(struct conn *c, pv_ns now)
{
    static const struct pv_stream_bind any = {.ifname = NULL};
    hang_up(c);
    c->state = CONNECTING;
    c->due = now + PV_DNSTCP_TRY;
    while (c->n_asked < c->reply.n_ask) {
        if (pv_stream_connect(&c->reply.ask[c->n_asked++], &any, &c->to) == PV_OK &&
            pv_watch_new(&c->to_watch, c->all->cfg.loop, c->to, PV_LOOP_WRITE, on_resolver, c) ==
                PV_OK)
            return;
        hang_up(c);
    }
    end_conn(c);
}

/* --- from the client ----------------------------------------------------------------------- */

static void serve(struct conn *c, pv_ns now)
{
    const struct pv_view query = pv_view(c->in + FRAME, c->question - FRAME);
    c->all->cfg.serve(c->all->cfg.ctx, &c->src, query, &c->reply, now);
    if (c->reply.len > 0) {
        pv_store_be16(c->out, (uint16_t)c->reply.len);
        memcpy(c->out + FRAME, c->reply.bytes, c->reply.len);
        begin_to_say(c, FRAME + c->reply.len, now);
    } else if (c->reply.n_ask > 0) {
        /* With an id of our own, as by UDP; the question is looked at where it lies. */
        c->phone_id = pv_load_be16(c->in + FRAME);
        pv_rng_fill(&c->all->cfg.rng, c->in + FRAME, sizeof(c->phone_id));
        c->n_asked = 0;
        pv_watch_set(c->watch, 0);
        ask_next(c, now);
    } else {
        end_conn(c);
    }
}

/* Serves the first message if it is whole. */
static void hear(struct conn *c, pv_ns now)
{
    if (c->n_in < FRAME)
        return;
    size_t len = FRAME + (size_t)pv_load_be16(c->in);
    if (len < FRAME + HEADER || len > sizeof(c->in)) {
        end_conn(c);
    } else if (c->n_in >= len) {
        c->question = len;
        serve(c, now);
    }
}

static void on_client(void *ctx, unsigned ready, pv_ns now)
{
    struct conn *c = ctx;
    size_t n = 0;
    if (c->state == SAYING) {
        say(c, now);
        return;
    }
    if (c->state != HEARS)
        return;
    int r = pv_stream_read(c->fd, c->in + c->n_in, sizeof(c->in) - c->n_in, &n);
    if (r == PV_ERR_AGAIN)
        return;
    if (r < 0) {
        end_conn(c);
        return;
    }
    c->n_in += n;
    hear(c, now);
}

/* --- connections --------------------------------------------------------------------------- */

/* Returns true if a gives way before b: a connection without a question does, then the one that
 * ends first. */
static bool is_before(const struct conn *a, const struct conn *b)
{
    const bool idle = a->state == HEARS;
    return b == NULL || (idle != (b->state == HEARS) ? idle : a->due < b->due);
}

/* NULL: that address has enough. A full table loses the one that is_before() all others. */
static struct conn **find_place(struct pv_dnstcp *dns, const struct pv_addr *src)
{
    struct conn **found = NULL, **first = NULL;
    size_t own = 0;
    for (size_t i = 0; i < PV_DNSTCP_MAX; i++) {
        struct conn **p = &dns->conns[i];
        if (*p == NULL) {
            found = found == NULL ? p : found;
            continue;
        }
        own += pv_addr_equal_ip(&(*p)->src, src);
        if (is_before(*p, first == NULL ? NULL : *first))
            first = p;
    }
    if (own >= PV_DNSTCP_OF_ONE)
        return NULL;
    if (found == NULL)
        end(found = first);
    return found;
}

static void add_conn(struct pv_dnstcp *dns, int fd, const struct pv_addr *src, pv_ns now)
{
    struct conn **place = find_place(dns, src);
    struct conn *c = place == NULL ? NULL : calloc(1, sizeof(*c));
    if (c == NULL) {
        close(fd);
        return;
    }
    *place = c;
    c->all = dns;
    c->src = *src;
    c->fd = fd;
    c->to = -1;
    c->state = HEARS;
    c->due = now + PV_DNSTCP_IDLE;
    if (pv_watch_new(&c->watch, dns->cfg.loop, fd, PV_LOOP_READ, on_client, c) < 0)
        end(place);
}

static void watch_listeners(struct pv_dnstcp *dns, unsigned events, pv_ns resume_at)
{
    dns->resume_at = resume_at;
    for (size_t i = 0; i < dns->n_listeners; i++)
        pv_watch_set(dns->listeners[i].watch, events);
}

static void on_listener(void *ctx, unsigned ready, pv_ns now)
{
    struct listener *l = ctx;
    struct pv_addr src, local;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        int fd = -1, r = pv_stream_accept(l->fd, &fd, &src, &local);
        if (r == PV_ERR_LIMIT)
            watch_listeners(l->all, 0, now + PV_MS(REST_MS));
        if (r < 0)
            return;
        add_conn(l->all, fd, &src, now);
    }
}

/* --- life ---------------------------------------------------------------------------------- */

int pv_dnstcp_new(struct pv_dnstcp **ret_dns, const struct pv_dnstcp_config *cfg)
{
    struct pv_dnstcp *dns = calloc(1, sizeof(*dns));
    if (dns == NULL)
        return PV_ERR_NOMEM;
    dns->cfg = *cfg;
    dns->resume_at = PV_NEVER;
    *ret_dns = dns;
    return PV_OK;
}

int pv_dnstcp_listen(struct pv_dnstcp *dns, int fd)
{
    int r = dns->n_listeners == PV_DNSTCP_LISTENERS ? PV_ERR_LIMIT : PV_OK;
    struct listener *l = r < 0 ? NULL : &dns->listeners[dns->n_listeners];
    if (r == PV_OK) {
        *l = (struct listener){.all = dns, .fd = fd};
        r = pv_watch_new(&l->watch, dns->cfg.loop, fd, PV_LOOP_READ, on_listener, l);
    }
    if (r < 0)
        close(fd);
    else
        dns->n_listeners++;
    return r;
}

void pv_dnstcp_forget(struct pv_dnstcp *dns)
{
    while (dns->n_listeners > 0) {
        struct listener *l = &dns->listeners[--dns->n_listeners];
        pv_watch_free(l->watch);
        close(l->fd);
    }
    for (size_t i = 0; i < PV_DNSTCP_MAX; i++) {
        if (dns->conns[i] != NULL)
            end(&dns->conns[i]);
    }
}

pv_ns pv_dnstcp_timeout(struct pv_dnstcp *dns, pv_ns now)
{
    if (now >= dns->resume_at)
        watch_listeners(dns, PV_LOOP_READ, PV_NEVER);
    pv_ns next = dns->resume_at;
    for (size_t i = 0; i < PV_DNSTCP_MAX; i++) {
        struct conn **place = &dns->conns[i];
        bool over = *place != NULL && now >= (*place)->due;
        if (over && ((*place)->state == CONNECTING || (*place)->state == ASKING))
            ask_next(*place, now);
        else if (over)
            end(place);
        if (*place != NULL)
            next = pv_min_ns(next, (*place)->due);
    }
    return next;
}

struct pv_dnstcp *pv_dnstcp_free(struct pv_dnstcp *dns)
{
    if (dns != NULL)
        pv_dnstcp_forget(dns);
    free(dns);
    return NULL;
}
