/* SPDX-License-Identifier: MIT */
/*
 * turnc.c - TURN client (RFC 8656): the allocation, its transactions, what leaves and what arrives;
 * channels, their numbers, and single datagrams through them (s12). There is one main transaction
 * (allocate, refresh or release, never two at once) and up to two for each channel. Every call that
 * moves a deadline ends in touch(), which keeps the earliest of all in c->next, so that an idle
 * client with a thousand channels costs one comparison. A channel is wanted by a peer's address and
 * keeps its number over new allocations: the fast path of this node has the number in its snapshot,
 * and packets must not meet another peer's channel there.
 */
#include "proto/stun/turnc.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/vec.h"
#include "crypto/ct.h"

enum {
    MAX_CHALLENGES = 3, /* new nonces followed in one transaction; more is a server in a loop */
};

enum state {
    OFF,
    ALLOCATING,
    READY,
    WAITING,
};

enum kind {
    ALLOCATE,
    REFRESH,
    RELEASE, /* a refresh with lifetime 0, of what a former life of ours left here */
    BIND,
    PERMIT,
};

/* One request and its repetitions. */
struct txn {
    bool running;                 /* an answer is awaited */
    bool due;                     /* to be sent at the next poll */
    uint8_t id[PV_STUN_TXID_LEN]; /* tells its answer */
    unsigned sends;               /* transmissions so far */
    unsigned challenges;          /* times it was begun again with a new nonce or otherwise */
    pv_ns sent_at;                /* when it was last sent */
    pv_ns wait;                   /* interval before the next repetition, doubling */
    pv_ns next;                   /* when it is repeated, or given up */
};

/* The channel to one peer. It keeps its number over all allocations. */
struct chan {
    struct pv_addr peer;
    uint16_t number;
    bool bound;        /* data may go through it */
    bool before;       /* it was bound at the previous server */
    bool tell;         /* an event about it is due */
    pv_ns bound_at;    /* when a binding was last answered */
    pv_ns lasted;      /* how long it was bound when it became suspect; 0 = it did not */
    pv_ns again_at;    /* when it is bound again; PV_NEVER while that runs */
    struct txn bind;   /* its ChannelBind */
    struct txn permit; /* its CreatePermission, at servers that want one */
};

struct pv_turnc {
    struct pv_rng rng;
    struct pv_turnc_config cfg;
    uint8_t key[PV_MD5_LEN]; /* for MESSAGE-INTEGRITY, from user, realm and password */
    enum state state;
    bool up;       /* there is an allocation, as far as we know */
    bool bind_all; /* with the next allocation also channels that seem to be bound */
    struct pv_addr relayed, mapped;
    struct txn main;                        /* an allocate, refresh or release: one at a time */
    enum kind main_kind;                    /* which of them main is */
    pv_ns refresh_at;                       /* READY: next refresh; WAITING: next attempt */
    pv_ns retry;                            /* wait after the next failure, doubling */
    pv_ns rebind;                           /* how often channels are bound again at this server */
    pv_ns rtt;                              /* of the last request; 0 = not known */
    struct chan *channels;                  /* owned */
    size_t n_channels, cap_channels;        /* channels, and their room */
    uint16_t next_number;                   /* where the search for a free number begins */
    struct pv_turnc_past past;              /* numbers given up */
    bool wants_phone_port, asks_phone_port; /* it is wanted; main asks for it */
    struct pv_turnc_phone_port phone_port;
    pv_ns phone_port_wait;    /* until it is asked again whether it is open */
    bool ev_up, ev_down;      /* these events are due */
    int down_status;          /* status of the DOWN event */
    unsigned down_error;      /* its error code */
    struct pv_addr alternate; /* its alternate server */
    size_t n_tell;            /* channels about which an event is due */
    pv_ns next;               /* deadline over all; kept by touch() */
    pv_ns now;                /* of the last call that had it */
};

/* --- transactions -------------------------------------------------------------------------- */

static void txn_start(struct pv_turnc *c, struct txn *t, pv_ns now)
{
    pv_ns wait = c->cfg.stream ? PV_TURNC_STREAM_WAIT : PV_TURNC_RTO;
    *t = (struct txn){.running = true, .due = true, .wait = wait, .next = now};
    pv_rng_fill(&c->rng, t->id, sizeof(t->id));
}

/* The same request with another nonce is another transaction (RFC 8489 s9.2.5). */
static void txn_again(struct pv_turnc *c, struct txn *t, pv_ns now)
{
    unsigned challenges = t->challenges + 1;
    txn_start(c, t, now);
    t->challenges = challenges;
}

static void txn_stop(struct txn *t)
{
    *t = (struct txn){.next = PV_NEVER};
}

static pv_ns txn_next(const struct txn *t)
{
    return !t->running ? PV_NEVER : t->due ? 0 : t->next;
}

/* True when the transaction has ended without an answer. Over a stream a request is sent once; the
 * stream repeats it. Where another address of the server waits for its turn (cfg.sends), an
 * Allocate gives up sooner. */
static bool txn_timeout(const struct pv_turnc *c, struct txn *t, pv_ns now)
{
    if (!t->running || t->due || now < t->next)
        return false;
    bool hasty = c->cfg.sends > 0 && t == &c->main && c->main_kind == ALLOCATE;
    if (t->sends >= (hasty ? c->cfg.sends : PV_TURNC_MAX_SENDS) || c->cfg.stream)
        return true;
    t->due = true;
    return false;
}

/* Sets the deadline over all; at the end of every call that may have moved one. Deadlines of
 * channels count only while READY: without an allocation there is nothing to bind to. */
static void touch(struct pv_turnc *c)
{
    pv_ns next = txn_next(&c->main);
    if (!c->main.running && (c->state == READY || c->state == WAITING))
        next = pv_min_ns(next, c->refresh_at);
    for (size_t i = 0; i < c->n_channels && c->state == READY; i++) {
        const struct chan *ch = &c->channels[i];
        next = pv_min_ns(next, pv_min_ns(txn_next(&ch->bind), txn_next(&ch->permit)));
        next = pv_min_ns(next, ch->again_at);
    }
    c->next = next;
}

/* --- channel numbers of before --------------------------------------------------------------- */

/* Numbers that were given up are remembered while the server may still know them, in a ring of
 * fixed size: a peer that comes back after PV_TURNC_PAST_MAX others gets a new number, which the
 * server refuses (400) for at most ten minutes. */

void pv_turnc_past_add(struct pv_turnc_past *past, const struct pv_addr *peer, uint16_t number,
                       pv_ns now)
{
    size_t i = past->next++ % PV_TURNC_PAST_MAX;
    past->list[i].peer = *peer;
    past->list[i].number = number;
    past->list[i].until = now + PV_TURNC_PAST_FOR;
}

uint16_t pv_turnc_past_take(struct pv_turnc_past *past, const struct pv_addr *peer, pv_ns now)
{
    for (size_t i = 0; i < PV_TURNC_PAST_MAX; i++) {
        if (past->list[i].number == 0 || !pv_addr_equal(&past->list[i].peer, peer))
            continue;
        uint16_t number = now < past->list[i].until ? past->list[i].number : 0;
        past->list[i].number = 0;
        return number;
    }
    return 0;
}

bool pv_turnc_past_has(const struct pv_turnc_past *past, uint16_t number, pv_ns now)
{
    for (size_t i = 0; i < PV_TURNC_PAST_MAX; i++) {
        if (past->list[i].number == number && now < past->list[i].until)
            return true;
    }
    return false;
}

/* --- channels ------------------------------------------------------------------------------ */

static struct chan *find_channel(const struct pv_turnc *c, const struct pv_addr *peer)
{
    for (size_t i = 0; i < c->n_channels; i++) {
        if (pv_addr_equal(&c->channels[i].peer, peer))
            return &c->channels[i];
    }
    return NULL;
}

static void queue_channel_event(struct pv_turnc *c, struct chan *ch)
{
    c->n_tell += ch->tell ? 0 : 1;
    ch->tell = true;
}

static void set_bound(struct pv_turnc *c, struct chan *ch, bool bound)
{
    if (ch->bound == bound)
        return;
    ch->bound = bound;
    queue_channel_event(c, ch);
}

/* Stock servers want a permission before they accept Send indications, which carry the data until
 * the channel is bound; a ChannelBind would install it too, but one loss later. */
static void bind_now(struct pv_turnc *c, struct chan *ch, pv_ns now)
{
    ch->again_at = PV_NEVER;
    txn_start(c, &ch->bind, now);
    if (c->cfg.permissions && !ch->bound)
        txn_start(c, &ch->permit, now);
}

/* Marks all channels as unbound. Each is asked for again with the next allocation. */
static void unbind_all(struct pv_turnc *c, pv_ns now)
{
    for (size_t i = 0; i < c->n_channels; i++) {
        struct chan *ch = &c->channels[i];
        txn_stop(&ch->bind);
        txn_stop(&ch->permit);
        ch->again_at = now;
        ch->lasted = 0;
        set_bound(c, ch, false);
    }
}

static bool number_is_free(const struct pv_turnc *c, uint16_t number)
{
    if (pv_turnc_past_has(&c->past, number, c->now))
        return false;
    for (size_t i = 0; i < c->n_channels; i++) {
        if (c->channels[i].number == number)
            return false;
    }
    return true;
}

/* The one the peer had, if the server may still know it; else in turn, so that a number comes back
 * as late as possible. */
static uint16_t draw_number(struct pv_turnc *c, const struct pv_addr *peer)
{
    uint16_t number = pv_turnc_past_take(&c->past, peer, c->now);
    if (number != 0)
        return number;
    do {
        number = c->next_number;
        c->next_number =
            number == PV_TURN_CHANNEL_MAX ? (uint16_t)PV_TURN_CHANNEL_MIN : (uint16_t)(number + 1);
    } while (!number_is_free(c, number));
    return number;
}

int pv_turnc_bind(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now)
{
    c->now = now;
    if (find_channel(c, peer) != NULL)
        return PV_OK;
    if (c->n_channels == PV_TURNC_MAX_CHANNELS)
        return PV_ERR_LIMIT;
    void *grown =
        pv_vec_room(c->channels, c->n_channels, &c->cap_channels, 8, sizeof(c->channels[0]));
    if (grown == NULL)
        return PV_ERR_NOMEM;
    c->channels = grown;
    struct chan *ch = &c->channels[c->n_channels];
    *ch = (struct chan){.peer = *peer, .again_at = now};
    txn_stop(&ch->bind);
    txn_stop(&ch->permit);
    ch->number = draw_number(c, peer);
    c->n_channels++;
    if (c->state == READY)
        bind_now(c, ch, now);
    touch(c);
    return PV_OK;
}

/* Nothing is sent: TURN has no unbind, the server forgets the channel after ten minutes (RFC 8656
 * s12). Until then its number stays with this peer, see below. */
void pv_turnc_unbind(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now)
{
    struct chan *ch = find_channel(c, peer);
    c->now = now;
    if (ch == NULL)
        return;
    pv_turnc_past_add(&c->past, &ch->peer, ch->number, now);
    c->n_tell -= ch->tell ? 1 : 0;
    *ch = c->channels[--c->n_channels];
    touch(c);
}

/* Remembers how long the channel had been bound, for pv_turnc_healed() to learn from. */
void pv_turnc_suspect(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now)
{
    struct chan *ch = find_channel(c, peer);
    c->now = now;
    if (!c->cfg.permissions || c->state != READY || ch == NULL || !ch->bound || ch->bind.running ||
        now - ch->bound_at < PV_TURNC_SUSPECT)
        return;
    ch->lasted = now - ch->bound_at;
    bind_now(c, ch, now);
    touch(c);
}

/* Binding again has brought the path back, so the server forgot the permission early: from now on
 * all channels at it are bound again in half that time. Only an answer right before the recovery
 * counts; otherwise something else mended the path. */
void pv_turnc_healed(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now)
{
    struct chan *ch = find_channel(c, peer);
    if (ch == NULL || ch->lasted == 0)
        return;
    pv_ns half = ch->lasted / 2 > PV_TURNC_REBIND_MIN ? ch->lasted / 2 : PV_TURNC_REBIND_MIN;
    bool by_binding = !ch->bind.running && ch->bound && now - ch->bound_at <= PV_TURNC_HEALED;
    ch->lasted = 0;
    if (!by_binding || half >= c->rebind)
        return;
    c->rebind = half;
    for (size_t i = 0; i < c->n_channels; i++) {
        struct chan *each = &c->channels[i];
        if (each->bound && each->again_at != PV_NEVER)
            each->again_at = pv_min_ns(each->again_at, each->bound_at + half);
    }
    touch(c);
}

uint16_t pv_turnc_channel(const struct pv_turnc *c, const struct pv_addr *peer)
{
    const struct chan *ch = find_channel(c, peer);
    return ch == NULL || !ch->bound ? 0 : ch->number;
}

uint16_t pv_turnc_channel_before(const struct pv_turnc *c, const struct pv_addr *peer)
{
    const struct chan *ch = find_channel(c, peer);
    return ch == NULL || !ch->before ? 0 : ch->number;
}

uint16_t pv_turnc_number(const struct pv_turnc *c, const struct pv_addr *peer)
{
    const struct chan *ch = find_channel(c, peer);
    return ch == NULL ? 0 : ch->number;
}

/* --- datagrams ----------------------------------------------------------------------------- */

/* Without a channel a Send indication carries the data: more bytes around it, but it works at
 * once. */
int pv_turnc_wrap(struct pv_turnc *c, const struct pv_addr *peer, struct pv_view data, uint8_t *buf,
                  size_t cap, size_t *ret_len)
{
    if (!c->up)
        return PV_ERR_STATE;
    uint16_t channel = pv_turnc_channel(c, peer);
    if (channel == 0) {
        uint8_t id[PV_STUN_TXID_LEN];
        pv_rng_fill(&c->rng, id, sizeof(id));
        return pv_turn_indication_build(PV_TURN_SEND, id, peer, data, buf, cap, ret_len);
    }
    if (data.len > UINT16_MAX || cap < PV_TURN_CHANNEL_HEADER + data.len)
        return PV_ERR_NO_SPACE;
    pv_turn_channel_header(buf, channel, (uint16_t)data.len);
    if (data.len > 0)
        memcpy(buf + PV_TURN_CHANNEL_HEADER, data.ptr, data.len);
    *ret_len = PV_TURN_CHANNEL_HEADER + data.len;
    return PV_OK;
}

/* --- the allocation ------------------------------------------------------------------------ */

static void begin_request(struct pv_turnc *c, enum kind kind, pv_ns now)
{
    c->main_kind = kind;
    c->asks_phone_port = c->wants_phone_port;
    txn_start(c, &c->main, now);
}

static void start_allocate(struct pv_turnc *c, pv_ns now)
{
    c->state = ALLOCATING;
    begin_request(c, ALLOCATE, now);
}

static void go_down(struct pv_turnc *c, int status, unsigned error)
{
    c->up = false;
    c->phone_port = (struct pv_turnc_phone_port){.state = PV_TURNC_PHONE_PORT_UNKNOWN};
    c->alternate = (struct pv_addr){.family = PV_AF_NONE};
    c->ev_up = false;
    c->ev_down = true;
    c->down_status = status;
    c->down_error = error;
}

/* Attempts back off to a minute, with a jitter of half the wait: a server that comes back must not
 * meet all its clients in one second. */
static void allocation_failed(struct pv_turnc *c, int status, unsigned error, pv_ns now)
{
    txn_stop(&c->main);
    go_down(c, status, error);
    unbind_all(c, now);
    c->state = WAITING;
    c->refresh_at = now + c->retry / 2 + pv_rng_u64(&c->rng) % (c->retry / 2 + 1);
    c->retry = pv_min_ns(2 * c->retry, PV_TURNC_RETRY_MAX);
}

int pv_turnc_new(struct pv_turnc **ret_turnc, const struct pv_rng *rng)
{
    struct pv_turnc *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->rng = *rng;
    c->next_number = PV_TURN_CHANNEL_MIN;
    c->rebind = PV_TURNC_REBIND;
    c->next = PV_NEVER;
    txn_stop(&c->main);
    *ret_turnc = c;
    return PV_OK;
}

struct pv_turnc *pv_turnc_free(struct pv_turnc *c)
{
    if (c == NULL)
        return NULL;
    free(c->channels);
    pv_wipe(c, sizeof(*c));
    free(c);
    return NULL;
}

/* New credentials for the server we are at do not disturb its channels: the allocation is the same
 * one as long as our address is. Another server knows nothing of them. */
int pv_turnc_start(struct pv_turnc *c, const struct pv_turnc_config *cfg, pv_ns now)
{
    uint8_t key[PV_MD5_LEN];
    int r = pv_turn_key(cfg->user, cfg->realm, cfg->password, key);
    if (r < 0)
        return r;
    memcpy(c->key, key, sizeof(key));
    pv_wipe(key, sizeof(key));
    bool elsewhere = !pv_addr_equal(&cfg->server, &c->cfg.server);
    for (size_t i = 0; i < c->n_channels && elsewhere; i++)
        c->channels[i].before = c->channels[i].bound;
    /* A server that only lost a connection still knows the channels: they stay in use. */
    if (!c->up || cfg->permissions || elsewhere)
        unbind_all(c, now);
    if (elsewhere) {
        c->rebind = PV_TURNC_REBIND;
        c->phone_port = (struct pv_turnc_phone_port){.state = PV_TURNC_PHONE_PORT_UNKNOWN};
    }
    c->cfg = *cfg;
    c->now = now;
    c->retry = PV_TURNC_RETRY_FIRST;
    c->bind_all = true;
    start_allocate(c, now);
    touch(c);
    return PV_OK;
}

void pv_turnc_stop(struct pv_turnc *c)
{
    if (c->state == OFF)
        return;
    txn_stop(&c->main);
    unbind_all(c, 0);
    if (c->up)
        go_down(c, PV_ERR_CLOSED, 0);
    c->state = OFF;
    pv_wipe(&c->cfg, sizeof(c->cfg));
    touch(c);
}

/* Allocates anew because the way to the server has changed. A request that has just left says the
 * same from whatever address, so it is not repeated unless `anew` says that it left by a way that
 * is given up. */
static void ask_again(struct pv_turnc *c, bool anew, pv_ns now)
{
    c->now = now;
    if (c->state == OFF)
        return;
    c->retry = PV_TURNC_RETRY_FIRST;
    if (c->cfg.permissions) /* a stock server knows nothing of the new address's past */
        unbind_all(c, now);
    if (anew || c->state != ALLOCATING || c->main_kind != ALLOCATE || c->main.sends > 2)
        start_allocate(c, now);
    touch(c);
}

void pv_turnc_moved(struct pv_turnc *c, pv_ns now)
{
    ask_again(c, false, now);
}

void pv_turnc_kick(struct pv_turnc *c, pv_ns now)
{
    c->now = now;
    if (c->state != WAITING && (c->state != ALLOCATING || c->main.sends < 2))
        return;
    c->retry = PV_TURNC_RETRY_FIRST;
    start_allocate(c, now);
    touch(c);
}

void pv_turnc_reach(struct pv_turnc *c, const struct pv_addr *server, unsigned sends, pv_ns now)
{
    c->now = now;
    if (c->state == OFF)
        return;
    if (!pv_addr_equal(server, &c->cfg.server)) {
        unbind_all(c, now);
        c->rebind = PV_TURNC_REBIND;
    }
    c->cfg.server = *server;
    c->cfg.sends = sends;
    if (c->state != WAITING)
        start_allocate(c, now);
    touch(c);
}

void pv_turnc_refresh(struct pv_turnc *c, pv_ns now)
{
    c->now = now;
    if (c->state != READY || c->main.running)
        return;
    begin_request(c, REFRESH, now);
    touch(c);
}

/* A request under way asks, or does not; its answer shows that the next has to follow. */
void pv_turnc_want_phone_port(struct pv_turnc *c, bool wanted, pv_ns now)
{
    c->now = now;
    if (c->wants_phone_port == wanted)
        return;
    c->wants_phone_port = wanted;
    c->phone_port_wait = PV_TURNC_PHONE_PORT_WAIT;
    if (!wanted)
        c->phone_port = (struct pv_turnc_phone_port){.state = PV_TURNC_PHONE_PORT_UNKNOWN};
    pv_turnc_refresh(c, now);
}

void pv_turnc_reroute(struct pv_turnc *c, bool stream, pv_ns now)
{
    c->cfg.stream = stream;
    c->bind_all = true;
    ask_again(c, true, now); /* what has just left went the other way */
}

/* --- what leaves --------------------------------------------------------------------------- */

/* The long-term mechanism (RFC 8489 s9.2.3): without a nonce the request goes out bare, and the
 * answer's challenge brings realm and nonce. */
static void put_credentials(const struct pv_turnc *c, struct pv_stun_writer *w)
{
    if (c->cfg.nonce[0] != '\0') {
        pv_stun_put(w, PV_STUN_ATTR_USERNAME, pv_view(c->cfg.user, strlen(c->cfg.user)));
        pv_stun_put(w, PV_STUN_ATTR_REALM, pv_view(c->cfg.realm, strlen(c->cfg.realm)));
        pv_stun_put(w, PV_STUN_ATTR_NONCE, pv_view(c->cfg.nonce, strlen(c->cfg.nonce)));
        pv_stun_put_integrity(w, pv_view(c->key, sizeof(c->key)));
    }
    pv_stun_put_fingerprint(w);
}

static uint16_t method_of(enum kind kind)
{
    switch (kind) {
    case ALLOCATE:
        return PV_TURN_ALLOCATE;
    case REFRESH:
    case RELEASE:
        return PV_TURN_REFRESH;
    case BIND:
        return PV_TURN_CHANNEL_BIND;
    case PERMIT:
        break;
    }
    return PV_TURN_CREATE_PERMISSION;
}

/* One builder for all five kinds keeps the order of the attributes in one place; MESSAGE-INTEGRITY
 * and FINGERPRINT have to come last. */
static int compose(const struct pv_turnc *c, enum kind kind, const struct txn *t,
                   const struct chan *ch, uint8_t *buf, size_t cap, size_t *ret_len)
{
    struct pv_stun_writer w;
    pv_stun_write_begin(&w, buf, cap, PV_STUN_REQUEST, method_of(kind), t->id);
    if (kind == ALLOCATE) {
        pv_stun_put_u32(&w, PV_TURN_ATTR_REQUESTED_TRANSPORT,
                        (uint32_t)PV_TURN_TRANSPORT_UDP << 24);
        if (c->cfg.ipv6)
            pv_stun_put_u32(&w, PV_TURN_ATTR_REQUESTED_ADDRESS_FAMILY,
                            (uint32_t)PV_TURN_FAMILY_IPV6 << 24);
    } else if (kind == RELEASE) {
        pv_stun_put_u32(&w, PV_TURN_ATTR_LIFETIME, 0);
    } else if (kind == BIND) {
        pv_stun_put_u32(&w, PV_TURN_ATTR_CHANNEL_NUMBER, (uint32_t)ch->number << 16);
    }
    if ((kind == ALLOCATE || kind == REFRESH) && c->asks_phone_port)
        pv_stun_put(&w, PV_TURN_ATTR_PHONE_PORT, pv_view(NULL, 0));
    if (kind == BIND || kind == PERMIT)
        pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_PEER_ADDRESS, &ch->peer);
    put_credentials(c, &w);
    return pv_stun_write_end(&w, ret_len);
}

/* Returns true if the transaction must be sent now. It then counts as sent, and its next wait
 * doubles. */
static bool take_due(struct txn *t, pv_ns now)
{
    if (!t->running || !t->due)
        return false;
    t->due = false;
    t->sends++;
    t->sent_at = now;
    t->next = now + t->wait;
    t->wait *= 2;
    return true;
}

/* A request that does not fit the caller's buffer counts as sent and times out: it would not fit
 * the next time either, and must not block the others. */
int pv_turnc_poll_transmit(struct pv_turnc *c, uint8_t *buf, size_t cap, size_t *ret_len)
{
    pv_ns now = c->now;
    if (c->next > now)
        return PV_ERR_AGAIN; /* nothing is due; scanning the channels is for when something is */
    bool sent = take_due(&c->main, now) &&
                compose(c, c->main_kind, &c->main, NULL, buf, cap, ret_len) == PV_OK;
    for (size_t i = 0; i < c->n_channels && !sent && c->state == READY; i++) {
        struct chan *ch = &c->channels[i];
        sent = (take_due(&ch->permit, now) &&
                compose(c, PERMIT, &ch->permit, ch, buf, cap, ret_len) == PV_OK) ||
               (take_due(&ch->bind, now) &&
                compose(c, BIND, &ch->bind, ch, buf, cap, ret_len) == PV_OK);
    }
    touch(c);
    return sent ? PV_OK : PV_ERR_AGAIN;
}

/* --- what arrives -------------------------------------------------------------------------- */

static bool copy_text(const struct pv_stun_msg *msg, uint16_t type, char *dst, size_t max)
{
    struct pv_view v;
    if (pv_stun_find(msg, type, &v) != PV_OK || v.len == 0 || v.len > max ||
        memchr(v.ptr, 0, v.len) != NULL)
        return false;
    memcpy(dst, v.ptr, v.len);
    dst[v.len] = '\0';
    return true;
}

/* 401 and 438 bring a new nonce, the first also the realm (RFC 8489 s9.2.5). False when there is
 * nothing new: repeating the request with the same nonce would be a loop. A challenge is not
 * authenticated; a forged one costs one more round trip and no secret, since the password leaves
 * only as a key over the whole message. */
static bool take_challenge(struct pv_turnc *c, const struct pv_stun_msg *msg)
{
    char nonce[PV_TURNC_NONCE_MAX + 1];
    char realm[PV_TURNC_TEXT_MAX + 1];
    if (!copy_text(msg, PV_STUN_ATTR_NONCE, nonce, PV_TURNC_NONCE_MAX) ||
        strcmp(nonce, c->cfg.nonce) == 0)
        return false;
    if (copy_text(msg, PV_STUN_ATTR_REALM, realm, PV_TURNC_TEXT_MAX) &&
        strcmp(realm, c->cfg.realm) != 0) {
        uint8_t key[PV_MD5_LEN];
        if (pv_turn_key(c->cfg.user, realm, c->cfg.password, key) != PV_OK)
            return false;
        memcpy(c->key, key, sizeof(key));
        memcpy(c->cfg.realm, realm, sizeof(realm));
        pv_wipe(key, sizeof(key));
    }
    memcpy(c->cfg.nonce, nonce, sizeof(nonce));
    return true;
}

/* Reads the server's range of ports. A range without the phone port itself is of no use. */
static void take_range(struct pv_turnc_phone_port *phone_port, const struct pv_stun_msg *msg)
{
    struct pv_view v;
    phone_port->port_lo = phone_port->port_hi = phone_port->addr.port;
    if (pv_stun_find(msg, PV_TURN_ATTR_PORT_RANGE, &v) != PV_OK || v.len != 4)
        return;
    uint16_t lo = pv_load_be16(v.ptr), hi = pv_load_be16(v.ptr + 2);
    if (lo > phone_port->addr.port || hi < phone_port->addr.port)
        return;
    phone_port->port_lo = lo;
    phone_port->port_hi = hi;
}

/* The answer to an Allocate or Refresh speaks of the phone port. While it is being opened, and when
 * the wish has changed meanwhile, the server is asked again soon. A server that has none need not
 * be asked before the next refresh. */
static void take_phone_port(struct pv_turnc *c, const struct pv_stun_msg *msg, pv_ns now)
{
    struct pv_turnc_phone_port phone_port = {.state = PV_TURNC_PHONE_PORT_UNKNOWN};
    struct pv_view v;
    if (c->asks_phone_port != c->wants_phone_port) {
        c->refresh_at = now;
        return;
    }
    if (!c->wants_phone_port)
        return;
    if (pv_stun_find(msg, PV_TURN_ATTR_PHONE_PORT, &v) != PV_OK) {
        phone_port.state = PV_TURNC_PHONE_PORT_UNSUPPORTED;
    } else if (pv_stun_get_xor_addr(msg, PV_TURN_ATTR_PHONE_PORT, &phone_port.addr) == PV_OK &&
               pv_addr_is_usable_remote(&phone_port.addr)) {
        phone_port.state = PV_TURNC_PHONE_PORT_OPEN;
        take_range(&phone_port, msg);
        c->phone_port_wait = PV_TURNC_PHONE_PORT_WAIT;
    } else if (v.len == 4 && v.ptr[2] != 0) {
        phone_port.state = PV_TURNC_PHONE_PORT_REFUSED;
        phone_port.error = v.ptr[2] * 100u + v.ptr[3];
    } else {
        c->refresh_at = pv_min_ns(c->refresh_at, now + c->phone_port_wait);
        c->phone_port_wait = pv_min_ns(2 * c->phone_port_wait, PV_TURNC_RETRY_MAX);
    }
    c->phone_port = phone_port;
}

/* After a restart of the way (bind_all) even channels that seem bound are bound again, since the
 * server may have lost them; otherwise only the unbound ones. MAPPED is welcome and not
 * required. */
static void take_allocation(struct pv_turnc *c, const struct pv_stun_msg *msg, pv_ns now)
{
    struct pv_addr relayed;
    struct pv_addr mapped = {.family = PV_AF_NONE};
    if (pv_turn_find_relayed(msg, &relayed) != PV_OK) {
        allocation_failed(c, PV_ERR_MALFORMED, 0, now);
        return;
    }
    (void)!pv_stun_get_xor_addr(msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    c->relayed = relayed;
    c->mapped = mapped;
    c->up = true;
    c->ev_up = true;
    c->ev_down = false;
    c->state = READY;
    c->retry = PV_TURNC_RETRY_FIRST;
    c->cfg.sends = 0; /* it is there: no haste to leave it */
    c->refresh_at = now + pv_turn_find_lifetime(msg) / 2;
    for (size_t i = 0; i < c->n_channels; i++) {
        if (!c->channels[i].bound || c->bind_all)
            bind_now(c, &c->channels[i], now);
    }
    c->bind_all = false;
    take_phone_port(c, msg, now);
}

/* A release (lifetime 0) clears what a former life of ours left at the server; then comes the
 * Allocate that was refused with 437. The count of challenges goes on, or a server that answers 437
 * for ever would keep us in a circle. */
static void main_succeeded(struct pv_turnc *c, const struct pv_stun_msg *msg, pv_ns now)
{
    enum kind kind = c->main_kind;
    unsigned challenges = c->main.challenges;
    txn_stop(&c->main);
    if (kind == ALLOCATE) {
        take_allocation(c, msg, now);
    } else if (kind == REFRESH) {
        c->refresh_at = now + pv_turn_find_lifetime(msg) / 2;
        take_phone_port(c, msg, now);
    } else {
        start_allocate(c, now);
        c->main.challenges = challenges + 1;
    }
}

/* The server does not know our allocation, or has forgotten it: all channels are gone with it. */
static void start_anew(struct pv_turnc *c, pv_ns now)
{
    unbind_all(c, now);
    start_allocate(c, now);
}

/* Where a 300 sends us (RFC 8489 s10), of the family of the first server. The message may be
 * forged, so addresses where no server on the network can be are refused: loopback, multicast,
 * broadcast. */
static void take_alternate(struct pv_turnc *c, const struct pv_stun_msg *msg)
{
    struct pv_addr to;
    if (pv_stun_get_addr(msg, PV_STUN_ATTR_ALTERNATE_SERVER, &to) != PV_OK ||
        to.family != c->cfg.server.family || to.port == 0 || pv_addr_is_unspecified(&to) ||
        pv_addr_is_multicast(&to) || pv_addr_is_broadcast(&to) || pv_addr_is_loopback(&to))
        return;
    c->alternate = to;
}

/* Three errors are mended here: 437 by releasing the old allocation, 440 by asking for the other
 * family, and any failure of a refresh by allocating anew. The rest goes to the owner. */
static void main_failed(struct pv_turnc *c, unsigned error, pv_ns now)
{
    unsigned challenges = c->main.challenges;
    if (c->main_kind == ALLOCATE) {
        if (error == PV_TURN_E_ALLOCATION_MISMATCH && challenges < MAX_CHALLENGES) {
            begin_request(c, RELEASE, now);
            c->main.challenges = challenges + 1;
        } else if (error == PV_TURN_E_FAMILY_NOT_SUPPORTED && c->cfg.permissions &&
                   challenges < MAX_CHALLENGES) {
            c->cfg.ipv6 = !c->cfg.ipv6; /* a server with addresses of the other family only */
            txn_again(c, &c->main, now);
        } else {
            allocation_failed(c, error == PV_STUN_E_UNAUTHENTICATED ? PV_ERR_AUTH : PV_ERR_REFUSED,
                              error, now);
        }
    } else {
        start_anew(c, now);
        c->main.challenges = challenges;
    }
}

/* A ChannelBind also renews the permission (RFC 8656 s12). Its failure is not the allocation's,
 * unless the server says 437; the channel is then tried again after a while and Send indications
 * serve meanwhile. */
static void channel_answered(struct pv_turnc *c, struct chan *ch, struct txn *t, unsigned error,
                             pv_ns now)
{
    bool is_bind = t == &ch->bind;
    if (is_bind && (error != 0 || t->sends > 1))
        ch->lasted = 0; /* more than the permission was amiss */
    txn_stop(t);
    if (error == PV_TURN_E_ALLOCATION_MISMATCH) {
        start_anew(c, now);
    } else if (is_bind) {
        set_bound(c, ch, error == 0);
        ch->bound_at = now;
        ch->again_at = now + (error == 0 ? c->rebind : PV_TURNC_RETRY_MAX / 6);
    }
}

/* A transaction that was never sent has no answer, whatever id somebody guesses. */
static struct txn *find_request(struct pv_turnc *c, const uint8_t *id, struct chan **ret_channel)
{
    *ret_channel = NULL;
    if (c->main.running && c->main.sends > 0 && memcmp(c->main.id, id, PV_STUN_TXID_LEN) == 0)
        return &c->main;
    for (size_t i = 0; i < c->n_channels; i++) {
        struct chan *ch = &c->channels[i];
        struct txn *both[2] = {&ch->bind, &ch->permit};
        for (size_t k = 0; k < 2; k++) {
            if (both[k]->running && both[k]->sends > 0 &&
                memcmp(both[k]->id, id, PV_STUN_TXID_LEN) == 0) {
                *ret_channel = ch;
                return both[k];
            }
        }
    }
    return NULL;
}

/* A success must be authentic. An error may come without integrity, because the server may not know
 * our key (RFC 8489 s9.2.5), but never with a wrong one. */
static int check_authentic(const struct pv_turnc *c, const struct pv_stun_msg *msg)
{
    int r = pv_stun_check_integrity(msg, pv_view(c->key, sizeof(c->key)));
    if (r == PV_OK || (r == PV_ERR_NOT_FOUND && msg->cls == PV_STUN_ERROR))
        return PV_OK;
    return r == PV_ERR_NOT_FOUND ? PV_ERR_AUTH : r;
}

static bool is_challenge(unsigned error)
{
    return error == PV_STUN_E_UNAUTHENTICATED || error == PV_TURN_E_STALE_NONCE;
}

/* The challenge comes before the integrity check, because a 401 or 438 usually has no integrity
 * that we could check; everything else must pass the check before it changes state. */
int pv_turnc_handle_input(struct pv_turnc *c, const struct pv_addr *src, struct pv_view datagram,
                          pv_ns now)
{
    struct pv_stun_msg msg;
    struct chan *ch;
    unsigned error = 0;
    c->now = now;
    if (c->state == OFF || !pv_addr_equal(src, &c->cfg.server))
        return PV_ERR_NOT_FOUND;
    int r = pv_stun_decode(datagram, &msg);
    if (r < 0)
        return r;
    struct txn *t = find_request(c, msg.txid, &ch);
    if (t == NULL || (msg.cls != PV_STUN_SUCCESS && msg.cls != PV_STUN_ERROR))
        return PV_ERR_NOT_FOUND;
    enum kind kind = ch == NULL ? c->main_kind : t == &ch->bind ? BIND : PERMIT;
    if (msg.method != method_of(kind))
        return PV_ERR_NOT_FOUND;
    bool stale = msg.cls == PV_STUN_ERROR && pv_stun_get_error(&msg, &error) == PV_OK &&
                 is_challenge(error) && t->challenges < MAX_CHALLENGES && take_challenge(c, &msg);
    if (!stale) {
        r = msg.cls == PV_STUN_ERROR && error == 0 ? PV_ERR_MALFORMED : check_authentic(c, &msg);
        if (r < 0)
            return r;
    }
    if (t->sends == 1) /* else which of them was answered is not known */
        c->rtt = now - t->sent_at;
    if (stale) {
        txn_again(c, t, now);
    } else if (ch != NULL) {
        channel_answered(c, ch, t, error, now);
    } else if (error != 0) {
        main_failed(c, error, now);
        if (error == PV_STUN_E_TRY_ALTERNATE && c->state == WAITING)
            take_alternate(c, &msg);
    } else {
        (void)take_challenge(c, &msg); /* ours: an answer may bring the nonce for what follows */
        main_succeeded(c, &msg, now);
    }
    touch(c);
    return PV_OK;
}

/* --- time ---------------------------------------------------------------------------------- */

/* An unanswered Allocate is a failure. An unanswered refresh may be a server that restarted, which
 * a new Allocate tells apart from one that is gone; by a stream the stream itself is broken. */
static void main_timeout(struct pv_turnc *c, pv_ns now)
{
    if (txn_timeout(c, &c->main, now)) {
        if (c->main_kind == ALLOCATE || c->cfg.stream)
            allocation_failed(c, PV_ERR_TIMEOUT, 0, now);
        else
            start_anew(c, now);
    } else if (!c->main.running && now >= c->refresh_at) {
        if (c->state == WAITING)
            start_allocate(c, now);
        else if (c->state == READY)
            begin_request(c, REFRESH, now);
    }
}

/* An unanswered CreatePermission is dropped: the ChannelBind beside it says whether the server is
 * there. An unanswered ChannelBind puts the whole allocation in question. */
void pv_turnc_handle_timeout(struct pv_turnc *c, pv_ns now)
{
    c->now = now;
    if (now < c->next)
        return;
    main_timeout(c, now);
    for (size_t i = 0; i < c->n_channels && c->state == READY; i++) {
        struct chan *ch = &c->channels[i];
        if (txn_timeout(c, &ch->permit, now))
            txn_stop(&ch->permit);
        if (txn_timeout(c, &ch->bind, now)) {
            txn_stop(&ch->bind);
            start_anew(c, now); /* is the server still there? */
        } else if (now >= ch->again_at) {
            bind_now(c, ch, now);
        }
    }
    touch(c);
}

pv_ns pv_turnc_next_timeout(const struct pv_turnc *c)
{
    return c->next;
}

/* --- events and questions ------------------------------------------------------------------ */

/* DOWN goes before UP: a stop and a start between two polls must be seen in this order. Channels
 * come last, as they mean something only while UP. */
int pv_turnc_poll_event(struct pv_turnc *c, struct pv_turnc_event *ret_event)
{
    struct pv_turnc_event ev = {.relayed = c->relayed, .mapped = c->mapped};
    if (c->ev_down) {
        c->ev_down = false;
        ev.type = PV_TURNC_DOWN;
        ev.status = c->down_status;
        ev.error = c->down_error;
        ev.alternate = c->alternate;
        *ret_event = ev;
        return PV_OK;
    }
    if (c->ev_up) {
        c->ev_up = false;
        ev.type = PV_TURNC_UP;
        *ret_event = ev;
        return PV_OK;
    }
    for (size_t i = 0; i < c->n_channels && c->n_tell > 0; i++) {
        struct chan *ch = &c->channels[i];
        if (!ch->tell)
            continue;
        ch->tell = false;
        c->n_tell--;
        ev.type = PV_TURNC_CHANNEL;
        ev.peer = ch->peer;
        ev.channel = ch->bound ? ch->number : 0;
        *ret_event = ev;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

const struct pv_turnc_phone_port *pv_turnc_phone_port(const struct pv_turnc *c)
{
    return &c->phone_port;
}

pv_ns pv_turnc_rtt(const struct pv_turnc *c)
{
    return c->rtt;
}

bool pv_turnc_is_arriving(const struct pv_turnc *c)
{
    return c->main.running && c->main_kind == ALLOCATE && c->main.challenges > 0 &&
           c->main.sends > 0;
}
