/* SPDX-License-Identifier: MIT */
/*
 * natlife.c - measures how long the NAT keeps a silent binding, and whether a used one has an end.
 * One socket per silence is opened and left alone; the watch socket then makes the server answer to
 * the silent binding's port (RESPONSE-PORT, RFC 5780 s4.6). A question sent from the silent socket
 * itself would refresh the binding and prove nothing.
 */
#include "proto/stun/natlife.h"

#include <string.h>

#include "proto/stun/stun.h"

enum silence_state {
    OPENING, /* the first request, and the second after SECOND_AFTER */
    OPENED,
    SILENT,
    ASKING,
    ALIVE,
    DEAD,
    UNKNOWN,
};

enum {
    STUN_SENDS = 5,    /* ours: of a Binding request; 250 ms to 4 s apart */
    STUN_PADDING = 20, /* bytes: no answer is larger than its request, DESIGN 6 */
    /* Ours: questions to a silent binding; one lost datagram must not look like a dead binding. */
    ASK_SENDS = 3,
    /* Ours: when the watch's binding has ended this often, never twice at the same age, the NAT has
     * no absolute lifetime. */
    MAX_ENDS = 4,
};
#define STUN_RTO     PV_MS(250)
#define SECOND_AFTER PV_S(3)    /* Linux: a stream after 2 s of traffic both ways, TRAVERSAL 4 */
#define ASK_EVERY    PV_MS(700) /* ours: between the questions */
/* Ours: the longest silence, both openings and the questions with room to spare. */
#define GIVE_UP PV_S(480)
/* Ours: two ages this close are the same; two questions of the watch and their repetitions. */
#define AGE_MARGIN PV_S(8)

/* Silences tried, in seconds. Ours: steps of about half as much again, from the shortest that NATs
 * in the field have to the one that gives PV_NATLIFE_MOST. */
static const unsigned silences[PV_NATLIFE_SILENCES] = {14, 22, 32, 48, 72, 105, 138};

/* --- life ------------------------------------------------------------------------------------ */

static void ask_server(struct pv_natlife *l, struct pv_stunc *stunc)
{
    const struct pv_stunc_config cfg = {
        .server = l->server, .rto = STUN_RTO, .max_sends = STUN_SENDS, .padding = STUN_PADDING};
    pv_stunc_start(stunc, &cfg, &l->rng, l->now);
}

void pv_natlife_start(struct pv_natlife *l, const struct pv_addr *server, const struct pv_rng *rng,
                      pv_ns now)
{
    *l = (struct pv_natlife){
        .running = true, .server = *server, .rng = *rng, .started = now, .now = now};
    for (unsigned i = 0; i < PV_NATLIFE_SILENCES; i++) {
        l->silences[i].ask_at = PV_NEVER;
        ask_server(l, &l->silences[i].stunc);
    }
    ask_server(l, &l->watch);
    l->watch_at = PV_NEVER;
}

bool pv_natlife_is_running(const struct pv_natlife *l)
{
    return l->running;
}

const struct pv_natlife_result *pv_natlife_result(const struct pv_natlife *l)
{
    return &l->result;
}

pv_ns pv_natlife_interval(const struct pv_natlife_result *result, pv_ns otherwise)
{
    if (!result->known)
        return otherwise;
    pv_ns interval = result->idle_min / 5 * 4;
    if (interval < PV_NATLIFE_LEAST)
        return PV_NATLIFE_LEAST;
    return pv_min_ns(interval, PV_NATLIFE_MOST);
}

/* --- silent bindings ------------------------------------------------------------------------- */

/* The states are ordered: ALIVE and what follows are final. */
static bool is_judged(const struct pv_natlife_silence *s)
{
    return s->state >= ALIVE;
}

/* The result lies between the longest silence survived and the shortest that killed. After the
 * first death nothing longer counts: keepalives have to follow the shortest life seen. */
static void judge_silences(struct pv_natlife *l)
{
    struct pv_natlife_result *r = &l->result;
    bool all = true;
    r->idle_min = 0;
    r->idle_max = PV_NEVER;
    for (unsigned i = 0; i < PV_NATLIFE_SILENCES; i++) {
        const struct pv_natlife_silence *s = &l->silences[i];
        if (s->state == DEAD) {
            r->idle_max = PV_S(silences[i]);
            break;
        }
        if (s->state == ALIVE)
            r->idle_min = PV_S(silences[i]);
        all = all && is_judged(s);
    }
    r->known = all && (r->idle_min != 0 || r->idle_max != PV_NEVER);
}

/* A binding is opened by two exchanges SECOND_AFTER apart, because NATs give a binding that has
 * seen traffic both ways a longer life than one with a single request, and it is the longer life
 * that keepalives need. */
static void silence_opened(struct pv_natlife *l, struct pv_natlife_silence *s,
                           const struct pv_stunc_event *ev, unsigned i)
{
    if (ev->type != PV_STUNC_MAPPED) {
        s->state = UNKNOWN;
        judge_silences(l);
        return;
    }
    s->port = ev->mapped.port;
    s->state = s->state == OPENING ? OPENED : SILENT;
    s->ask_at = l->now + (s->state == OPENED ? SECOND_AFTER : PV_S(silences[i]));
}

/* The next step of one silence. No answer means a dead binding only when the server has answered
 * the watch meanwhile; otherwise the server or the line was away and the result stays unknown. */
static void silence_due(struct pv_natlife *l, struct pv_natlife_silence *s)
{
    if (s->state == OPENED) {
        s->ask_at = PV_NEVER;
        ask_server(l, &s->stunc);
    } else if (s->state == SILENT) {
        s->state = ASKING;
        s->asks = 0;
        s->asked_from = l->now;
        s->ask_at = l->now;
        pv_rng_fill(&l->rng, s->txid, sizeof(s->txid));
        l->watch_at = pv_min_ns(l->watch_at, l->now);
    } else if (s->state == ASKING && s->asks == ASK_SENDS) {
        s->state = l->answered >= s->asked_from ? DEAD : UNKNOWN;
        s->ask_at = PV_NEVER;
        judge_silences(l);
    }
}

/* --- the watch ------------------------------------------------------------------------------- */

static bool same_age(pv_ns a, pv_ns b)
{
    return a < b + AGE_MARGIN && b < a + AGE_MARGIN;
}

/* The watch keeps its own binding busy. Another public address means that the NAT ended the binding
 * although it was used; one such end may be a router's restart, so only two ends at the same age
 * make an absolute lifetime. The age is counted to the last answer that still named the old
 * address. */
static void watch_answered(struct pv_natlife *l, const struct pv_addr *mapped)
{
    l->answered = l->now;
    if (l->mapped.family == PV_AF_NONE) {
        l->mapped = *mapped;
        l->since = l->now;
    } else if (!pv_addr_equal(&l->mapped, mapped)) {
        /* Up to the last moment at which the old binding is known to have lived. */
        pv_ns age = l->confirmed - l->since;
        if (l->last_age >= 2 * PV_NATLIFE_EVERY && same_age(l->last_age, age))
            l->result.absolute = pv_min_ns(l->last_age, age);
        l->looked |= l->result.absolute != 0 || ++l->ends == MAX_ENDS;
        l->last_age = age;
        l->mapped = *mapped;
        l->since = l->now;
    } else if (l->now - l->since >= PV_NATLIFE_LOOK) {
        l->looked = true;
    }
    l->confirmed = l->now;
}

/* --- what moves it --------------------------------------------------------------------------- */

static void finish_if_done(struct pv_natlife *l)
{
    bool all = true;
    for (unsigned i = 0; i < PV_NATLIFE_SILENCES; i++)
        all = all && is_judged(&l->silences[i]);
    if (all && l->looked)
        l->running = false;
}

static void take_events(struct pv_natlife *l)
{
    struct pv_stunc_event ev;
    for (unsigned i = 0; i < PV_NATLIFE_SILENCES; i++) {
        if (pv_stunc_poll_event(&l->silences[i].stunc, &ev) == PV_OK)
            silence_opened(l, &l->silences[i], &ev, i);
    }
    if (pv_stunc_poll_event(&l->watch, &ev) == PV_OK) {
        if (ev.type == PV_STUNC_MAPPED)
            watch_answered(l, &ev.mapped);
        l->watch_at = l->now + PV_NATLIFE_EVERY;
    }
    finish_if_done(l);
}

/* An answer on a silent socket to a question that the watch asked: the datagram crossed the NAT by
 * the silent binding, so that binding is alive. Source and transaction id are checked, or anybody
 * could keep the measured lifetime too long and later starve the paths of keepalives. */
static int take_proof(struct pv_natlife *l, struct pv_natlife_silence *s, const struct pv_addr *src,
                      struct pv_view datagram)
{
    struct pv_stun_msg msg;
    int r = pv_stun_decode(datagram, &msg);
    if (r < 0)
        return r;
    if (s->state != ASKING || s->asks == 0 || !pv_addr_equal(src, &l->server) ||
        msg.cls != PV_STUN_SUCCESS || memcmp(msg.txid, s->txid, sizeof(s->txid)) != 0)
        return PV_ERR_NOT_FOUND;
    s->state = ALIVE;
    s->ask_at = PV_NEVER;
    judge_silences(l);
    return PV_OK;
}

/* A server that does not send answers to another port (RFC 5780 s7.5) says so in an error to the
 * watch. Then silence proves nothing, and this silence stays unknown. */
static int take_refusal(struct pv_natlife *l, const struct pv_addr *src, struct pv_view datagram)
{
    struct pv_stun_msg msg;
    if (pv_stun_decode(datagram, &msg) < 0 || msg.cls != PV_STUN_ERROR ||
        !pv_addr_equal(src, &l->server))
        return PV_ERR_NOT_FOUND;
    for (unsigned i = 0; i < PV_NATLIFE_SILENCES; i++) {
        struct pv_natlife_silence *s = &l->silences[i];
        if (s->state != ASKING || memcmp(msg.txid, s->txid, sizeof(s->txid)) != 0)
            continue;
        s->state = UNKNOWN;
        s->ask_at = PV_NEVER;
        judge_silences(l);
        return PV_OK;
    }
    return PV_ERR_NOT_FOUND;
}

int pv_natlife_handle_input(struct pv_natlife *l, unsigned sock, const struct pv_addr *src,
                            struct pv_view datagram, pv_ns now)
{
    if (!l->running || sock >= PV_NATLIFE_SOCKETS)
        return PV_ERR_NOT_FOUND;
    l->now = now;
    int r = pv_stunc_handle_input(sock == PV_NATLIFE_WATCH ? &l->watch : &l->silences[sock].stunc,
                                  src, datagram, now);
    if (r == PV_ERR_NOT_FOUND)
        r = sock == PV_NATLIFE_WATCH ? take_refusal(l, src, datagram)
                                     : take_proof(l, &l->silences[sock], src, datagram);
    take_events(l);
    return r;
}

void pv_natlife_handle_timeout(struct pv_natlife *l, pv_ns now)
{
    l->now = now;
    if (!l->running)
        return;
    if (now >= l->started + GIVE_UP)
        l->running = false; /* the server is away: what is not known by now stays unknown */
    for (unsigned i = 0; i < PV_NATLIFE_SILENCES; i++) {
        struct pv_natlife_silence *s = &l->silences[i];
        pv_stunc_handle_timeout(&s->stunc, now);
        if (now >= s->ask_at)
            silence_due(l, s);
    }
    pv_stunc_handle_timeout(&l->watch, now);
    if (now >= l->watch_at && !pv_stunc_is_running(&l->watch)) {
        l->watch_at = PV_NEVER;
        ask_server(l, &l->watch);
    }
    take_events(l);
}

pv_ns pv_natlife_next_timeout(const struct pv_natlife *l)
{
    if (!l->running)
        return PV_NEVER;
    pv_ns next = pv_stunc_is_running(&l->watch) ? pv_stunc_next_timeout(&l->watch) : l->watch_at;
    for (unsigned i = 0; i < PV_NATLIFE_SILENCES; i++) {
        const struct pv_natlife_silence *s = &l->silences[i];
        next = pv_min_ns(next, s->ask_at);
        if (pv_stunc_is_running(&s->stunc))
            next = pv_min_ns(next, pv_stunc_next_timeout(&s->stunc));
    }
    return next;
}

/* --- what leaves ----------------------------------------------------------------------------- */

/* RFC 5780 s4.6: the answer goes to the silent binding's port. PADDING is not allowed with it. */
static int write_question(struct pv_natlife_silence *s, uint8_t *buf, size_t *ret_len)
{
    struct pv_stun_writer w;
    pv_stun_write_begin(&w, buf, PV_STUNC_MTU, PV_STUN_REQUEST, PV_STUN_BINDING, s->txid);
    pv_stun_put_u32(&w, PV_STUN_ATTR_RESPONSE_PORT, (uint32_t)s->port << 16);
    return pv_stun_write_end(&w, ret_len);
}

/* Questions leave from the watch's socket, everything else from the socket whose binding is
 * opened. */
int pv_natlife_poll_transmit(struct pv_natlife *l, uint8_t buf[static PV_STUNC_MTU],
                             size_t *ret_len, unsigned *ret_sock)
{
    if (!l->running)
        return PV_ERR_AGAIN;
    *ret_sock = PV_NATLIFE_WATCH;
    if (pv_stunc_poll_transmit(&l->watch, buf, PV_STUNC_MTU, ret_len) == PV_OK)
        return PV_OK;
    for (unsigned i = 0; i < PV_NATLIFE_SILENCES; i++) {
        struct pv_natlife_silence *s = &l->silences[i];
        if (s->state == ASKING && s->asks < ASK_SENDS && l->now >= s->ask_at) {
            s->asks++;
            s->ask_at = l->now + (s->asks == ASK_SENDS ? 2 * ASK_EVERY : ASK_EVERY);
            return write_question(s, buf, ret_len);
        }
        *ret_sock = i;
        if (pv_stunc_poll_transmit(&s->stunc, buf, PV_STUNC_MTU, ret_len) == PV_OK)
            return PV_OK;
        *ret_sock = PV_NATLIFE_WATCH;
    }
    return PV_ERR_AGAIN;
}
