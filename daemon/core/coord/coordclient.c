/* SPDX-License-Identifier: MIT */
/* coordclient.c - finds an address of the coordinator that answers, says hello there, and keeps the
 * connection: hello, pings, requests in order, and a jittered wait before the next attempt. */
#include "daemon/core/coord/coordclient.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "crypto/sign.h"
#include "daemon/core/coord/coordpulse.h"
#include "daemon/core/coord/coordwait.h"
#include "proto/control/control.h"

/* A connection by which an address is tried, several at a time, each with a handshake of its own;
 * the one that wins is kept among them. */
struct attempt {
    uint32_t sid; /* 0 = slot unused */
    struct pv_coordclient_addr addr;
    struct pv_control *control;
    bool connected;
    bool heard;                     /* bytes came back */
    struct pv_connect_answer proxy; /* of the proxy on the way; NONE: it is not reached yet */
    struct pv_stream_turn turn;
};

/* A request that was not answered yet. */
struct pending {
    uint64_t id; /* 0: the place is free */
    enum pv_ctl_type type;
    uint64_t tag;
};

struct pv_coordclient {
    struct pv_coordclient_config cfg;
    struct pv_coordclient_target target;
    uint8_t dh_pk[PV_DH_LEN]; /* the coordinator's key in X25519 form */
    struct pv_coordclient_addr addrs[PV_COORDCLIENT_MAX_ADDRS];
    size_t n_addrs;
    struct pv_coorddetour detour; /* on the way to the home */

    enum pv_coordclient_state state;
    struct attempt attempts[PV_COORDCLIENT_MAX_ADDRS];
    uint32_t next_sid;
    size_t next_addr; /* of this round */
    enum pv_coordround round;
    struct pv_coordclient_proxy proxy; /* what proxies said in this round */
    pv_ns stagger_at;                  /* start the next address */
    /* One that has refused while others are silent, to be tried again; without a family: none. */
    struct pv_coordclient_addr again;
    struct attempt *used; /* HELLO, ONLINE */
    struct pv_coordclient_addr last_addr;
    pv_ns deadline;             /* CONNECTING, HELLO: give up; WAITING: try again */
    struct pv_coordpulse pulse; /* ONLINE */
    struct pv_coordwait wait;
    bool patient; /* WAITING for a reason that haste would make worse */
    bool to_rest; /* the next wait is a long one, for such a reason */
    uint64_t next_id;
    struct pending pending[PV_COORDCLIENT_MAX_PENDING];

    uint8_t text[PV_CTL_TEXT_MAX];
};

int pv_coordclient_new(struct pv_coordclient **ret_client, const struct pv_coordclient_config *cfg)
{
    struct pv_coordclient *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->cfg = *cfg;
    c->deadline = c->stagger_at = PV_NEVER;
    *ret_client = c;
    return PV_OK;
}

/* Forgets one, and has its stream closed; close = false: that has happened. */
static void drop_attempt(struct pv_coordclient *c, struct attempt *a, bool close)
{
    if (a->sid == 0)
        return;
    /* The shell owns the socket. Bytes that still come for this stream find no attempt and are
     * dropped. */
    if (close)
        pv_streams_close(c->cfg.streams, c->cfg.kind, a->sid);
    pv_streams_forget(c->cfg.streams, &a->turn);
    pv_control_free(a->control);
    *a = (struct attempt){0};
    if (c->used == a)
        c->used = NULL;
}

/* or NULL */
static struct attempt *find(struct pv_coordclient *c, uint32_t sid)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (sid != 0 && c->attempts[i].sid == sid)
            return &c->attempts[i];
    return NULL;
}

static bool any_runs(const struct pv_coordclient *c)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (c->attempts[i].sid != 0)
            return true;
    return false;
}

/* Bytes wait for it, as far as it is connected. */
static void wake(struct pv_coordclient *c, struct attempt *a)
{
    if (a->connected)
        pv_streams_wake(c->cfg.streams, &a->turn, c->cfg.kind, a->sid);
}

static bool is_nowhere(const struct pv_coordclient_addr *addr)
{
    return addr->addr.family == PV_AF_NONE && addr->name[0] == '\0';
}

/* --- proxies ---------------------------------------------------------------------------------- */

/* "HOST:PORT", as a proxy is asked for it. */
static const char *place_text(const struct pv_coordclient_addr *addr,
                              char buf[static PV_CONNECT_AT_BUF])
{
    char ip[PV_ADDR_TEXT];
    const char *host = addr->name[0] != '\0' ? addr->name : pv_addr_format_ip(&addr->addr, ip);
    return pv_proxyset_at(host, addr->addr.port, buf);
}

/* A way that is open leads to the coordinator, whatever other proxies say. Else the later state
 * says more (connect.h). A guessed port says the least, unless the answer is about who asks. */
static unsigned weight(enum pv_connect_state state, bool guess)
{
    if (state == PV_CONNECT_OPEN)
        return 3 * PV_CONNECT_LOGIN;
    return (guess && state < PV_CONNECT_SCHEME ? 0u : PV_CONNECT_LOGIN) + (unsigned)state;
}

static void note_proxy(struct pv_coordclient *c, const struct attempt *a)
{
    struct pv_coordclient_proxy *p = &c->proxy;
    if (a->addr.via.family == PV_AF_NONE || a->proxy.state == PV_CONNECT_NONE ||
        weight(a->proxy.state, a->addr.guess) <= weight(p->answer.state, p->guess))
        return;
    p->answer = a->proxy;
    p->guess = a->addr.guess;
    place_text(&a->addr, p->to);
}

/* An attempt ends before its proxy has opened the way. late: nobody waits for it any longer. */
static void give_up_proxy(struct pv_coordclient *c, struct attempt *a, bool late)
{
    if (a->proxy.state == PV_CONNECT_NONE)
        a->proxy.state = PV_CONNECT_DOWN;
    else if (a->proxy.state == PV_CONNECT_ASKED)
        a->proxy.state = late ? PV_CONNECT_SILENT : PV_CONNECT_CLOSED;
    note_proxy(c, a);
}

/* The round has ended for want of time. */
static void give_up_proxies(struct pv_coordclient *c)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (c->attempts[i].sid != 0)
            give_up_proxy(c, &c->attempts[i], true);
}

void pv_coordclient_proxied(void *client, uint32_t sid, const struct pv_connect_answer *answer,
                            pv_ns now)
{
    struct pv_coordclient *c = client;
    struct attempt *a = find(c, sid);
    if (a == NULL)
        return;
    a->proxy = *answer;
    note_proxy(c, a);
}

/* Drops all attempts except a; NULL: all. */
static void drop_others(struct pv_coordclient *c, const struct attempt *a)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (&c->attempts[i] != a)
            drop_attempt(c, &c->attempts[i], true);
}

static void drop_all(struct pv_coordclient *c)
{
    drop_others(c, NULL);
    /* No answer to these can come on another connection. */
    memset(c->pending, 0, sizeof(c->pending));
    c->pulse.pinged_at = 0;
    c->pulse.n_out = 0;
    c->pulse.kicked = false;
}

struct pv_coordclient *pv_coordclient_free(struct pv_coordclient *c)
{
    struct pv_coordclient_event ev;
    if (c == NULL)
        return NULL;
    drop_all(c);
    while (pv_fifo_take(c->cfg.events, &ev) == PV_OK)
        pv_ctl_msg_free(ev.msg);
    free(c);
    return NULL;
}

/* Takes ev.msg, also without memory: then the event is lost, and the connection is not to be
 * trusted to be complete. */
static int put_event(struct pv_coordclient *c, struct pv_coordclient_event ev)
{
    int r = pv_fifo_put(c->cfg.events, &ev, sizeof(ev));
    if (r != PV_OK)
        pv_ctl_msg_free(ev.msg);
    return r;
}

static struct pending *pending_place(struct pv_coordclient *c)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_PENDING; i++)
        if (c->pending[i].id == 0)
            return &c->pending[i];
    return NULL;
}

/* The request with this number, which is answered; id 0: there is none. */
static struct pending take_pending(struct pv_coordclient *c, uint64_t id)
{
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_PENDING; i++) {
        if (c->pending[i].id != id || id == 0)
            continue;
        struct pending p = c->pending[i];
        c->pending[i].id = 0;
        return p;
    }
    return (struct pending){0};
}

/* --- rounds of attempts ----------------------------------------------------------------------- */

static void begin_round(struct pv_coordclient *c, pv_ns now)
{
    /* Without an address the round stands still until the owner brings one, or says that there is
     * none. */
    c->state = PV_COORDCLIENT_CONNECTING;
    c->round = PV_COORDROUND_SILENT;
    c->proxy = (struct pv_coordclient_proxy){.guess = true};
    c->again = (struct pv_coordclient_addr){0};
    c->next_addr = 0;
    c->stagger_at = c->n_addrs > 0 ? now : PV_NEVER;
    c->deadline = c->n_addrs > 0 ? now + PV_COORDCLIENT_CONNECT : PV_NEVER;
}

static void wait_for_next(struct pv_coordclient *c, pv_ns now)
{
    drop_all(c);
    pv_coorddetour_end(&c->detour);
    c->state = PV_COORDCLIENT_WAITING;
    c->stagger_at = PV_NEVER;
    c->wait.failures++;
    c->deadline = now + (c->to_rest ? pv_coordwait_long(&c->cfg.rng)
                                    : pv_coordwait_pause(&c->wait, &c->cfg.rng, now));
    /* pv_coordclient_hurry must not shorten a wait that keeps two machines with one key apart, or
     * that spares a coordinator whose welcome leads to nothing. */
    c->patient = c->to_rest || pv_coordwait_is_dropped(&c->wait);
    c->to_rest = false;
}

/* --- the home is elsewhere -------------------------------------------------------------------- */

static void arrange(struct pv_coordclient *c)
{
    pv_coorddetour_arrange(&c->detour, c->addrs, &c->n_addrs, PV_COORDCLIENT_MAX_ADDRS,
                           c->next_addr);
}

/* Leaves the connection in use for the others. False: it has been sent around enough. */
static bool go_elsewhere(struct pv_coordclient *c, pv_ns now)
{
    if (!pv_coorddetour_leave(&c->detour, &c->used->addr))
        return false;
    drop_all(c);
    begin_round(c, now);
    arrange(c);
    return true;
}

void pv_coordclient_detour(struct pv_coordclient *c, const struct pv_addr *addr, pv_ns now)
{
    if (c->state != PV_COORDCLIENT_CONNECTING || !pv_coorddetour_add(&c->detour, addr))
        return;
    arrange(c);
    c->stagger_at = now;
}

static struct pv_reason just(const char *text)
{
    return (struct pv_reason){text, PV_DO_NOTHING};
}

/* Losing this event for want of memory only delays what the owner says of the state. */
static void tell_offline(struct pv_coordclient *c, int status, struct pv_reason why)
{
    struct pv_coordclient_event ev = {
        .type = PV_COORDCLIENT_EV_OFFLINE, .status = status, .why = why};
    if (put_event(c, ev) != PV_OK)
        pv_log(c->cfg.log, PV_LOG_ERROR, "what=\"coordinator event lost\" why=\"out of memory\"");
}

static void fail(struct pv_coordclient *c, int status, struct pv_reason why, pv_ns now)
{
    if (c->state == PV_COORDCLIENT_CONNECTING)
        pv_coordwait_note(&c->wait, c->round, now);
    wait_for_next(c, now);
    tell_offline(c, status, why);
}

/* Tries addr, from a free place. PV_ERR_NOMEM: not now. */
static int begin_attempt(struct pv_coordclient *c, struct attempt *a,
                         const struct pv_coordclient_addr *addr)
{
    int r = pv_control_new_client(&a->control, c->cfg.dh_sk, c->dh_pk, &c->cfg.rng);
    if (r != PV_OK)
        return r;
    /* Numbers of streams go round before one comes again: a late close of an old stream must not
     * end a new one. */
    c->next_sid = c->next_sid % PV_STREAM_LOCAL_MASK + 1;
    struct pv_stream_op op = {.type = PV_STREAM_OPEN,
                              .sid = c->next_sid,
                              .kind = c->cfg.kind,
                              .addr = addr->addr,
                              .tls = addr->tls};
    if (addr->via.family != PV_AF_NONE) {
        op.addr = addr->via;
        place_text(addr, op.to);
    }
    r = pv_streams_open(c->cfg.streams, &op);
    if (r != PV_OK) {
        a->control = pv_control_free(a->control);
        return r;
    }
    a->sid = c->next_sid;
    a->addr = *addr;
    return PV_OK;
}

/* One that refuses is tried again as after a round of its own: a program that starts anew is soon
 * there, and a firewall may swallow all that goes elsewhere. */
static void plan_next(struct pv_coordclient *c, pv_ns now)
{
    if (c->next_addr < c->n_addrs)
        c->stagger_at = now + PV_COORDCLIENT_STAGGER;
    else if (!is_nowhere(&c->again))
        c->stagger_at = now + pv_coordwait_pause(&c->wait, &c->cfg.rng, now);
    else
        c->stagger_at = PV_NEVER;
}

/* Addresses are started in turn, a little apart, and the first finished handshake wins (as in RFC
 * 8305): an address that does not answer costs the stagger and not a whole timeout. */
static void start_next(struct pv_coordclient *c, pv_ns now)
{
    size_t at = 0;
    while (at < PV_COORDCLIENT_MAX_ADDRS && c->attempts[at].sid != 0)
        at++;
    if (c->used != NULL)
        c->next_addr = pv_coorddetour_other(c->addrs, c->n_addrs, c->next_addr, &c->used->addr);
    c->stagger_at = PV_NEVER;
    if (at == PV_COORDCLIENT_MAX_ADDRS)
        return;
    struct pv_coordclient_addr addr = c->again;
    /* The list may have become shorter meanwhile. */
    if (c->next_addr < c->n_addrs)
        addr = c->addrs[c->next_addr++];
    else
        c->again = (struct pv_coordclient_addr){0};
    if (is_nowhere(&addr))
        return;
    plan_next(c, now);
    if (begin_attempt(c, &c->attempts[at], &addr) != PV_OK)
        return;
    if (c->used == NULL)
        c->last_addr = addr;
    pv_coorddetour_tried(&c->detour, &addr.addr);
}

/* Returns true if all running attempts, and all that follow, go to guessed addresses. */
static bool only_guesses(const struct pv_coordclient *c)
{
    for (size_t i = c->next_addr; i < c->n_addrs; i++)
        if (!c->addrs[i].guess)
            return false;
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (c->attempts[i].sid != 0 && !c->attempts[i].addr.guess)
            return false;
    return true;
}

static struct pv_reason round_text(const struct pv_coordclient *c)
{
    if (c->proxy.answer.state > PV_CONNECT_OPEN)
        return (struct pv_reason){"the HTTP proxy opens no way to the coordinator", PV_DO_NOTHING};
    bool v6 = c->last_addr.addr.family == PV_AF_INET6;
    for (size_t i = 0; i < PV_COORDCLIENT_MAX_ADDRS; i++)
        if (c->attempts[i].connected && !c->attempts[i].addr.guess)
            return pv_coordround_text(PV_COORDROUND_MUTE, v6, false);
    return pv_coordround_text(
        c->round, v6,
        pv_coorddetour_has_family(c->addrs, c->n_addrs, v6 ? PV_AF_INET : PV_AF_INET6));
}

/* Somebody took the connection there and closed it without a byte, as a box on the way does that
 * lets known protocols through only. The place is tried next inside TLS, which every coordinator
 * speaks on all its ports. */
static void try_inside_tls(struct pv_coordclient *c, const struct pv_coordclient_addr *place,
                           pv_ns now)
{
    struct pv_coordclient_addr addr = *place;
    if (addr.tls || c->n_addrs == PV_COORDCLIENT_MAX_ADDRS)
        return;
    addr.tls = true;
    for (size_t i = 0; i < c->n_addrs; i++)
        if (c->addrs[i].tls && pv_addr_equal(&c->addrs[i].addr, &addr.addr))
            return;
    /* The list may have become shorter meanwhile. */
    size_t at = c->next_addr < c->n_addrs ? c->next_addr : c->n_addrs;
    memmove(&c->addrs[at + 1], &c->addrs[at], (c->n_addrs - at) * sizeof(c->addrs[0]));
    c->addrs[at] = addr;
    c->n_addrs++;
    c->next_addr = at;
    c->stagger_at = now;
}

/* Only the loss of the connection in use goes to the owner at once. A lost attempt leaves the
 * others to run, and the last one ends the round. */
static void attempt_failed(struct pv_coordclient *c, struct attempt *a, int status, bool close,
                           pv_ns now)
{
    bool was_used = a == c->used;
    bool dropped = c->state == PV_COORDCLIENT_ONLINE && pv_coordwait_is_dropped(&c->wait);
    bool connected = a->connected, heard = a->heard, guess = a->addr.guess;
    struct pv_coordclient_addr place = a->addr;
    /* Behind a proxy the coordinator took the connection, whether TLS came about or not. */
    if (a->proxy.state == PV_CONNECT_OPEN)
        connected = true;
    else if (place.via.family != PV_AF_NONE)
        give_up_proxy(c, a, false);
    drop_attempt(c, a, close);
    if (was_used) {
        fail(c, status,
             dropped
                 ? (struct pv_reason){"the coordinator, or a proxy before it, lets this node in "
                                      "and closes the connection again and again",
                                      PV_DO(tell_operator)}
                 : just("the connection was closed"),
             now);
        return;
    }
    if (connected && !heard && !guess)
        try_inside_tls(c, &place, now);
    if (!guess)
        c->round = pv_coordround_worse(c->round, connected, heard, status);
    if (!guess && c->state == PV_COORDCLIENT_CONNECTING) {
        size_t left = c->next_addr < c->n_addrs ? c->n_addrs - c->next_addr : 0;
        c->deadline = pv_coordwait_others(&c->wait, c->round, c->deadline,
                                          now + left * PV_COORDCLIENT_STAGGER);
        /* Behind a proxy a guessed port is as good as any, and far away. */
        if (place.via.family == PV_AF_NONE && only_guesses(c))
            c->deadline = pv_min_ns(c->deadline, now + PV_COORDCLIENT_GUESS);
    }
    if (any_runs(c)) {
        if (status != -ECONNREFUSED || guess || c->state != PV_COORDCLIENT_CONNECTING)
            return;
        c->again = place;
        if (c->stagger_at == PV_NEVER)
            plan_next(c, now);
        return;
    }
    if (c->next_addr < c->n_addrs)
        c->stagger_at = now; /* do not wait for the stagger when nothing else runs */
    else
        fail(c, status, round_text(c), now);
}

int pv_coordclient_start(struct pv_coordclient *c, const struct pv_coordclient_target *target,
                         const struct pv_coordclient_addr *addrs, size_t n, pv_ns now)
{
    /* The key is checked before anything is dropped: an unusable target leaves the running
     * connection alone. */
    uint8_t dh_pk[PV_DH_LEN];
    int r = pv_sign_pk_to_dh(target->coordinator, dh_pk);
    if (r != PV_OK)
        return r;
    drop_all(c);
    c->target = *target;
    memcpy(c->dh_pk, dh_pk, sizeof(dh_pk));
    /* What the former coordinator said about a home, or about another machine, does not apply to
     * this coordinator. */
    pv_coorddetour_end(&c->detour);
    c->to_rest = false;
    pv_coordwait_reset(&c->wait);
    c->n_addrs = 0;
    c->state = PV_COORDCLIENT_CONNECTING;
    c->deadline = c->stagger_at = PV_NEVER;
    pv_coordclient_set_addrs(c, addrs, n, now);
    return PV_OK;
}

int pv_coordclient_turn(struct pv_coordclient *c, const struct pv_coordclient_target *target)
{
    uint8_t dh_pk[PV_DH_LEN];
    if (c->state != PV_COORDCLIENT_WAITING)
        return PV_ERR_STATE;
    int r = pv_sign_pk_to_dh(target->coordinator, dh_pk);
    if (r != PV_OK)
        return r;
    c->target = *target;
    memcpy(c->dh_pk, dh_pk, sizeof(dh_pk));
    c->n_addrs = 0;
    return PV_OK;
}

void pv_coordclient_set_addrs(struct pv_coordclient *c, const struct pv_coordclient_addr *addrs,
                              size_t n, pv_ns now)
{
    bool had = c->n_addrs > 0;
    c->n_addrs = n < PV_COORDCLIENT_MAX_ADDRS ? n : PV_COORDCLIENT_MAX_ADDRS;
    if (c->n_addrs > 0)
        memcpy(c->addrs, addrs, c->n_addrs * sizeof(*addrs));
    if (c->state == PV_COORDCLIENT_CONNECTING)
        arrange(c);
    /* Only a round that has nothing to try begins here; any other takes up the new list as it goes
     * on, with the attempts that run. */
    if (c->state == PV_COORDCLIENT_CONNECTING && !had && !any_runs(c))
        begin_round(c, now);
}

bool pv_coordclient_wants_addrs(const struct pv_coordclient *c)
{
    return c->state == PV_COORDCLIENT_CONNECTING && c->n_addrs == 0 && !any_runs(c);
}

void pv_coordclient_not_found(struct pv_coordclient *c, pv_ns now)
{
    if (pv_coordclient_wants_addrs(c))
        fail(c, PV_ERR_NOT_FOUND, just(NULL), now);
}

void pv_coordclient_set_have(struct pv_coordclient *c, struct pv_ctl_cursor have)
{
    c->target.have = have;
}

void pv_coordclient_set_must_hybrid(struct pv_coordclient *c, bool must)
{
    c->target.must_hybrid = must;
}

void pv_coordclient_stop(struct pv_coordclient *c)
{
    drop_all(c);
    c->state = PV_COORDCLIENT_STOPPED;
    c->deadline = c->stagger_at = PV_NEVER;
}

/* --- requests --------------------------------------------------------------------------------- */

static int send_msg(struct pv_coordclient *c, struct attempt *a, struct pv_ctl_msg *msg,
                    uint64_t tag)
{
    struct pending *slot = pending_place(c);
    if (slot == NULL)
        return PV_ERR_LIMIT;
    msg->kind = PV_CTL_REQUEST;
    /* Numbers go on over connections: no answer can be taken for one to an earlier request. */
    msg->id = ++c->next_id;
    size_t len;
    int r = pv_ctl_build(msg, c->text, sizeof(c->text), &len);
    if (r == PV_OK) {
        r = pv_control_send(a->control, pv_view(c->text, len));
        pv_wipe(c->text, len); /* the secret of the coordinator's URL may be in it */
    }
    if (r != PV_OK)
        return r;
    wake(c, a);
    /* The place is taken last, so that a request that could not leave keeps none. */
    *slot = (struct pending){.id = msg->id, .type = msg->type, .tag = tag};
    return PV_OK;
}

int pv_coordclient_request(struct pv_coordclient *c, struct pv_ctl_msg *msg, uint64_t tag)
{
    if (c->state != PV_COORDCLIENT_ONLINE)
        return PV_ERR_STATE;
    int r = send_msg(c, c->used, msg, tag);
    /* A part that asks once a connection, as for the statements, asks again on the next one. */
    if (r == PV_ERR_NOMEM)
        c->pulse.must_hear_by = 0;
    return r;
}

/* Returns true if an address could be tried beside the connection in use. */
static bool has_others(const struct pv_coordclient *c)
{
    return pv_coorddetour_other(c->addrs, c->n_addrs, 0, &c->used->addr) < c->n_addrs;
}

static void send_ping(struct pv_coordclient *c, pv_ns now)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_PING};
    pv_coordpulse_pinged(&c->pulse, send_msg(c, c->used, &msg, 0) == PV_OK, has_others(c), now);
}

static void say_hello(struct pv_coordclient *c, struct attempt *a, pv_ns now)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_HELLO};
    struct pv_ctl_hello *h = &msg.u.hello;
    uint8_t hash[PV_CTL_HASH_LEN], ek[PV_KEM_EK_LEN];
    h->v = PV_CTL_VERSION;
    h->has_network = c->target.has_network;
    memcpy(h->network, c->target.network, sizeof(h->network));
    memcpy(h->node, c->cfg.sign_pk, sizeof(h->node));
    h->role = c->target.role;
    h->have = c->target.have;
    /* Where the library fails it goes on without, and the coordinator's answer shows that. */
    if (c->cfg.kem != NULL && pv_control_offer(a->control, c->cfg.kem, &c->cfg.rng, ek) == PV_OK)
        h->mlkem768 = pv_view(ek, sizeof(ek));
    /* The signature covers the hash of this very handshake: nobody can replay it on another
     * connection. */
    int r = pv_control_handshake_hash(a->control, hash);
    if (r == PV_OK)
        r = pv_ctl_hello_sign(h->sig, hash, c->cfg.sign_sk);
    if (r == PV_OK)
        r = send_msg(c, a, &msg, 0);
    if (r != PV_OK)
        fail(c, r, just("hello could not be sent"), now);
}

/* This address won: its handshake is done. */
static void win(struct pv_coordclient *c, struct attempt *a, pv_ns now)
{
    if (c->state == PV_COORDCLIENT_ONLINE) {
        tell_offline(c, PV_ERR_TIMEOUT, just("the coordinator is silent, and another answers"));
        memset(c->pending, 0, sizeof(c->pending));
    }
    drop_others(c, a);
    c->used = a;
    c->last_addr = a->addr;
    c->state = PV_COORDCLIENT_HELLO;
    c->again = (struct pv_coordclient_addr){0};
    c->stagger_at = PV_NEVER;
    c->deadline = now + PV_COORDCLIENT_CONNECT;
    c->pulse.pinged_at = now; /* the hello is a ping too */
    say_hello(c, a, now);
}

/* --- what comes in ---------------------------------------------------------------------------- */

/* The hello is a ping, too, so the round trip is known from the first answer. Whether a refusal is
 * the end is for the owner to decide, by its word. */
static int take_hello_answer(struct pv_coordclient *c, struct pv_ctl_msg *msg, pv_ns now)
{
    struct pv_coordclient_event ev = {.type = PV_COORDCLIENT_EV_ONLINE, .msg = msg};
    if (msg->type == PV_CTL_WELCOME && c->target.must_hybrid &&
        !pv_control_is_hybrid(c->used->control)) {
        pv_ctl_msg_free(msg);
        fail(c, PV_ERR_REFUSED,
             (struct pv_reason){"it was hybrid (post-quantum) before and is not now",
                                PV_DO(hybrid_or_off)},
             now);
        return PV_OK;
    }
    if (msg->type == PV_CTL_WELCOME) {
        c->state = PV_COORDCLIENT_ONLINE;
        c->deadline = PV_NEVER;
        pv_coordwait_welcome(&c->wait);
        pv_coorddetour_arrived(&c->detour, now);
        pv_coordpulse_begin(&c->pulse, has_others(c), now);
        pv_coordpulse_note_time(&c->pulse, msg->u.welcome.time_us, now);
        return put_event(c, ev);
    }
    ev.type = PV_COORDCLIENT_EV_REFUSED;
    if (msg->type == PV_CTL_ERROR && msg->u.failure.error == PV_CTL_E_MOVED && go_elsewhere(c, now))
        ev.type = PV_COORDCLIENT_EV_AWAY;
    else
        wait_for_next(c, now);
    return put_event(c, ev);
}

/* An answer to a request that nobody waits for is dropped. */
static int take_answer(struct pv_coordclient *c, struct pv_ctl_msg *msg, pv_ns now)
{
    struct pending p = take_pending(c, msg->id);
    if (p.id == 0) {
        pv_ctl_msg_free(msg);
        return PV_OK;
    }
    if (p.type == PV_CTL_HELLO)
        return take_hello_answer(c, msg, now);
    if (p.type == PV_CTL_PING) {
        pv_coordpulse_answered(&c->pulse, now);
        if (pv_coorddetour_has_lasted(&c->detour, now))
            pv_coordwait_reset(&c->wait);
        if (msg->type == PV_CTL_PONG)
            pv_coordpulse_note_time(&c->pulse, msg->u.pong.time_us, now);
        pv_ctl_msg_free(msg);
        return PV_OK;
    }
    return put_event(
        c, (struct pv_coordclient_event){
               .type = PV_COORDCLIENT_EV_ANSWER, .request = p.type, .tag = p.tag, .msg = msg});
}

/* The coordinator's half of the hybrid keys; it comes before the welcome, or not at all. */
static int take_hybrid(struct pv_coordclient *c, const struct pv_ctl_msg *msg)
{
    if (c->state != PV_COORDCLIENT_HELLO)
        return PV_ERR_MALFORMED;
    return pv_control_accept(c->used->control, msg->u.hybrid.mlkem768);
}

/* The home has moved under a connection, which ends: there is nothing to wait for, unless that goes
 * on and on. */
static int take_moved(struct pv_coordclient *c, struct pv_ctl_msg *msg, pv_ns now)
{
    c->to_rest = !pv_coorddetour_sent_on(&c->detour, now);
    tell_offline(c, PV_ERR_CLOSED,
                 c->to_rest ? (struct pv_reason){"coordinators send this node from one to the next",
                                                 PV_DO(tell_operator)}
                            : just("another coordinator is the home of this network now"));
    if (c->to_rest || !go_elsewhere(c, now))
        wait_for_next(c, now);
    return put_event(c, (struct pv_coordclient_event){.type = PV_COORDCLIENT_EV_AWAY, .msg = msg});
}

static int take_message(struct pv_coordclient *c, struct pv_view text, pv_ns now)
{
    struct pv_ctl_msg *msg;
    int r = pv_ctl_parse(text, &msg);
    if (r != PV_OK)
        return r;
    if (msg->kind == PV_CTL_ANSWER)
        return take_answer(c, msg, now);
    if (msg->type == PV_CTL_HYBRID) {
        r = take_hybrid(c, msg);
        pv_ctl_msg_free(msg);
        return r;
    }
    /* This is noted now because the connection closes next, and the wait after that close must be
     * long. */
    if (msg->kind == PV_CTL_PUSH && msg->type == PV_CTL_BYE &&
        msg->u.failure.error == PV_CTL_E_REPLACED)
        c->to_rest = true;
    if (msg->kind == PV_CTL_PUSH && msg->type == PV_CTL_BYE && c->state == PV_COORDCLIENT_ONLINE &&
        msg->u.failure.error == PV_CTL_E_MOVED)
        return take_moved(c, msg, now);
    if (msg->kind == PV_CTL_PUSH && msg->type != PV_CTL_UNKNOWN && msg->type != PV_CTL_INVALID)
        return put_event(c,
                         (struct pv_coordclient_event){.type = PV_COORDCLIENT_EV_PUSH, .msg = msg});
    pv_ctl_msg_free(msg); /* something newer than we are: ignored (DESIGN 4) */
    return PV_OK;
}

/* A message on the connection in use ends a look elsewhere. */
static void note_heard(struct pv_coordclient *c, const struct attempt *a, pv_ns now)
{
    if (a != c->used)
        return;
    pv_coordpulse_heard(&c->pulse, now);
    drop_others(c, a);
    c->stagger_at = PV_NEVER;
}

void pv_coordclient_connected(void *client, uint32_t sid, pv_ns now)
{
    struct pv_coordclient *c = client;
    struct attempt *a = find(c, sid);
    if (a == NULL)
        return;
    a->connected = true;
    wake(c, a);
}

void pv_coordclient_handle_bytes(void *client, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    struct pv_coordclient *c = client;
    struct attempt *a = find(c, sid);
    while (a != NULL && bytes.len > 0) {
        size_t used;
        a->heard = true;
        int r = pv_control_handle_bytes(a->control, bytes, &used);
        if (r != PV_OK) {
            attempt_failed(c, a, r, true, now);
            return;
        }
        bytes = pv_view(bytes.ptr + used, bytes.len - used);
        wake(c, a);
        if (a != c->used && pv_control_state(a->control) == PV_CONTROL_READY)
            win(c, a, now);
        note_heard(c, a, now);
        struct pv_view text;
        /* A message may end this attempt, so each turn finds it again by its number. */
        while (a == find(c, sid) && pv_control_poll_message(a->control, &text) == PV_OK) {
            r = take_message(c, text, now);
            if (r != PV_OK && a->sid == sid) {
                attempt_failed(c, a, r, true, now);
                return;
            }
        }
        a = find(c, sid); /* a refusal closes it */
    }
}

void pv_coordclient_closed(void *client, uint32_t sid, int status, pv_ns now)
{
    struct pv_coordclient *c = client;
    struct attempt *a = find(c, sid);
    if (a != NULL)
        attempt_failed(c, a, status, false, now);
}

/* --- streams out ------------------------------------------------------------------------------ */

struct pv_view pv_coordclient_out(void *client, uint32_t sid)
{
    struct attempt *a = find(client, sid);
    return a == NULL ? pv_view(NULL, 0) : pv_control_out(a->control);
}

void pv_coordclient_wrote(void *client, uint32_t sid, size_t n, pv_ns now)
{
    struct attempt *a = find(client, sid);
    if (a != NULL)
        pv_control_wrote(a->control, n);
}

/* --- time ------------------------------------------------------------------------------------- */

void pv_coordclient_kick(struct pv_coordclient *c, pv_ns now)
{
    if (c->state == PV_COORDCLIENT_WAITING) {
        pv_coordwait_reset(&c->wait);
        begin_round(c, now);
    } else if (c->state == PV_COORDCLIENT_ONLINE && !c->pulse.kicked) {
        /* A connection over a link that went looks alive. The ping finds out in a few round trips,
         * and several links that change at once cost one ping. */
        send_ping(c, now);
        pv_coordpulse_kick(&c->pulse, now);
    }
}

void pv_coordclient_remapped(struct pv_coordclient *c, pv_ns now)
{
    if (c->state != PV_COORDCLIENT_WAITING)
        pv_coordclient_kick(c, now);
    else if (!c->patient)
        begin_round(c, now);
}

void pv_coordclient_doubt(struct pv_coordclient *c, pv_ns at)
{
    if (c->state == PV_COORDCLIENT_ONLINE && c->pulse.pinged_at == 0)
        pv_coordpulse_hasten(&c->pulse, at);
}

pv_ns pv_coordclient_heard_at(const struct pv_coordclient *c)
{
    return c->state == PV_COORDCLIENT_ONLINE ? c->pulse.heard_at : 0;
}

void pv_coordclient_hurry(struct pv_coordclient *c, pv_ns until, pv_ns now)
{
    if (until > c->wait.hurry_until)
        c->wait.hurry_until = until;
    /* The new wait keeps its jitter: every node that lost the same coordinator hurries now. */
    if (c->state == PV_COORDCLIENT_WAITING && !c->patient && c->deadline > now + PV_COORDWAIT_HURRY)
        c->deadline = now + pv_coordwait_pause(&c->wait, &c->cfg.rng, now);
}

void pv_coordclient_moved(struct pv_coordclient *c, pv_ns now)
{
    if (c->state == PV_COORDCLIENT_STOPPED)
        return;
    bool was_online = c->state == PV_COORDCLIENT_ONLINE;
    if (was_online)
        fail(c, PV_ERR_CLOSED, just("this node's address changed"), now);
    else
        drop_all(c);
    pv_coordwait_reset(&c->wait);
    begin_round(c, now);
}

/* A machine that was to connect, or to answer a hello, had no time in which it could. */
void pv_coordclient_woke(struct pv_coordclient *c, pv_ns now)
{
    if (c->state == PV_COORDCLIENT_CONNECTING || c->state == PV_COORDCLIENT_HELLO)
        pv_coordclient_moved(c, now);
    else
        pv_coordclient_kick(c, now);
}

static void online_timeout(struct pv_coordclient *c, pv_ns now)
{
    if (pv_coordpulse_is_dead(&c->pulse, now)) {
        bool kicked = c->pulse.kicked;
        fail(c, PV_ERR_TIMEOUT, just("the coordinator is silent"), now);
        /* It is our way that changed: no herd comes with us. */
        if (kicked && !pv_coordwait_is_dropped(&c->wait))
            begin_round(c, now);
        return;
    }
    if (pv_coordpulse_is_due(&c->pulse, now))
        send_ping(c, now);
    /* The connection in use stays while others are tried: what it waits for may come, and an answer
     * elsewhere is what tells a coordinator that is gone from a network that is. */
    if (pv_coordpulse_take_look(&c->pulse, now)) {
        c->next_addr = 0;
        c->stagger_at = now;
    }
    if (now >= c->stagger_at)
        start_next(c, now);
}

void pv_coordclient_handle_timeout(struct pv_coordclient *c, pv_ns now)
{
    if (c->state == PV_COORDCLIENT_ONLINE) {
        online_timeout(c, now);
        return;
    }
    if (c->stagger_at != PV_NEVER && now >= c->stagger_at)
        start_next(c, now);
    if (c->deadline == PV_NEVER || now < c->deadline)
        return;
    if (c->state == PV_COORDCLIENT_WAITING)
        begin_round(c, now);
    else if (c->state != PV_COORDCLIENT_STOPPED) {
        if (c->state == PV_COORDCLIENT_CONNECTING)
            give_up_proxies(c);
        fail(c, PV_ERR_TIMEOUT,
             c->state == PV_COORDCLIENT_HELLO ? just("the coordinator does not answer")
                                              : round_text(c),
             now);
    }
}

pv_ns pv_coordclient_next_timeout(const struct pv_coordclient *c)
{
    if (c->state != PV_COORDCLIENT_ONLINE)
        return pv_min_ns(c->deadline, c->stagger_at);
    return pv_min_ns(pv_coordpulse_next(&c->pulse), c->stagger_at);
}

/* --- questions -------------------------------------------------------------------------------- */

enum pv_coordclient_state pv_coordclient_state(const struct pv_coordclient *c)
{
    return c->state;
}

const struct pv_addr *pv_coordclient_addr(const struct pv_coordclient *c)
{
    return c->last_addr.addr.family == PV_AF_NONE ? NULL : &c->last_addr.addr;
}

const struct pv_addr *pv_coordclient_via(const struct pv_coordclient *c)
{
    return &c->last_addr.via;
}

const char *pv_coordclient_place(const struct pv_coordclient *c, char buf[static PV_CONNECT_AT_BUF])
{
    buf[0] = '\0';
    return is_nowhere(&c->last_addr) ? buf : place_text(&c->last_addr, buf);
}

const struct pv_coordclient_proxy *pv_coordclient_proxy(const struct pv_coordclient *c)
{
    return &c->proxy;
}

/* Guesses were not given by anybody, and TLS goes to the same machine. A private address may be one
 * of another LAN, and mean nothing here. */
const char *pv_coordclient_tried(const struct pv_coordclient *c,
                                 char buf[static PV_COORDCLIENT_TRIED_BUF])
{
    const struct pv_coordclient_addr *named = NULL;
    char place[PV_CONNECT_AT_BUF];
    size_t n = 0;
    buf[0] = '\0';
    for (size_t i = 0; c != NULL && i < c->n_addrs; i++) {
        const struct pv_coordclient_addr *a = &c->addrs[i];
        if (a->guess || (a->tls && n > 0))
            continue;
        n++;
        if (named == NULL || (pv_addr_is_private(&named->addr) && !pv_addr_is_private(&a->addr)))
            named = a;
    }
    if (named != NULL)
        snprintf(buf, PV_COORDCLIENT_TRIED_BUF, " (tried %s)", place_text(named, place));
    if (n > 1) {
        size_t len = strlen(buf) - 1;
        snprintf(buf + len, PV_COORDCLIENT_TRIED_BUF - len, " and %zu more)", n - 1);
    }
    return buf;
}

bool pv_coordclient_is_dropped(const struct pv_coordclient *c)
{
    return pv_coordwait_is_dropped(&c->wait);
}

bool pv_coordclient_is_tls(const struct pv_coordclient *c)
{
    return c->last_addr.tls;
}

bool pv_coordclient_is_hybrid(const struct pv_coordclient *c)
{
    return c->state == PV_COORDCLIENT_ONLINE && pv_control_is_hybrid(c->used->control);
}

uint64_t pv_coordclient_time_us(const struct pv_coordclient *c, pv_ns now)
{
    return pv_coordpulse_time_us(&c->pulse, now);
}

pv_ns pv_coordclient_rtt(const struct pv_coordclient *c)
{
    return c->pulse.rtt;
}

int pv_coordclient_handshake_hash(const struct pv_coordclient *c,
                                  uint8_t ret_hash[static PV_CTL_HASH_LEN])
{
    if (c->state != PV_COORDCLIENT_ONLINE)
        return PV_ERR_STATE;
    return pv_control_handshake_hash(c->used->control, ret_hash);
}
