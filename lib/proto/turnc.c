/* SPDX-License-Identifier: MIT */
#include "proto/turnc.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "proto/turnc_past.h"

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
    RELEASE, /* a refresh with lifetime 0: what a former life of ours left on this 5-tuple */
    BIND,
    PERMIT,
};

struct txn {
    bool running;
    bool due; /* to be sent now */
    uint8_t id[PV_STUN_TXID_LEN];
    unsigned sends;
    unsigned challenges;
    pv_ns sent_at; /* last */
    pv_ns wait;
    pv_ns next; /* repetition, or the end */
};

struct channel {
    struct pv_addr peer;
    uint16_t number;
    bool bound;
    bool tell;      /* an event is due */
    pv_ns again_at; /* when it is bound again; PV_NEVER while that runs */
    struct txn bind;
    struct txn permit;
};

struct pv_turnc {
    struct pv_rng rng;
    struct pv_turnc_config cfg;
    uint8_t key[PV_MD5_LEN];
    enum state state;
    bool up;       /* there is an allocation, as far as we know */
    bool bind_all; /* with the next allocation also channels that seem to be bound */
    struct pv_addr relayed, mapped;
    struct txn main; /* allocate, refresh or release */
    enum kind main_kind;
    pv_ns refresh_at; /* READY; WAITING: of the next attempt */
    pv_ns retry;
    pv_ns rtt;                /* 0 = not known */
    struct channel *channels; /* owned */
    size_t n_channels, cap_channels;
    uint16_t next_number;
    struct pv_turnc_past past; /* numbers given up */
    bool ev_up, ev_down;
    int down_status;
    unsigned down_error;
    size_t n_tell; /* channels with an event */
    pv_ns next;    /* deadline over all; kept by touch() */
    pv_ns now;     /* of the last call that had it */
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

/* True when it has come to its end without answer. */
static bool txn_timeout(const struct pv_turnc *c, struct txn *t, pv_ns now)
{
    if (!t->running || t->due || now < t->next)
        return false;
    if (t->sends >= PV_TURNC_MAX_SENDS || c->cfg.stream)
        return true;
    t->due = true;
    return false;
}

static void touch(struct pv_turnc *c)
{
    pv_ns next = txn_next(&c->main);
    if (!c->main.running && (c->state == READY || c->state == WAITING))
        next = pv_min_ns(next, c->refresh_at);
    for (size_t i = 0; i < c->n_channels && c->state == READY; i++) {
        const struct channel *ch = &c->channels[i];
        next = pv_min_ns(next, pv_min_ns(txn_next(&ch->bind), txn_next(&ch->permit)));
        next = pv_min_ns(next, ch->again_at);
    }
    c->next = next;
}

/* --- channels ------------------------------------------------------------------------------ */

static struct channel *find_channel(const struct pv_turnc *c, const struct pv_addr *peer)
{
    for (size_t i = 0; i < c->n_channels; i++) {
        if (pv_addr_equal(&c->channels[i].peer, peer))
            return &c->channels[i];
    }
    return NULL;
}

static void tell(struct pv_turnc *c, struct channel *ch)
{
    c->n_tell += ch->tell ? 0 : 1;
    ch->tell = true;
}

static void set_bound(struct pv_turnc *c, struct channel *ch, bool bound)
{
    if (ch->bound == bound)
        return;
    ch->bound = bound;
    tell(c, ch);
}

static void bind_now(struct pv_turnc *c, struct channel *ch, pv_ns now)
{
    ch->again_at = PV_NEVER;
    txn_start(c, &ch->bind, now);
    if (c->cfg.permissions && !ch->bound)
        txn_start(c, &ch->permit, now);
}

static void unbind_all(struct pv_turnc *c, pv_ns now)
{
    for (size_t i = 0; i < c->n_channels; i++) {
        struct channel *ch = &c->channels[i];
        txn_stop(&ch->bind);
        txn_stop(&ch->permit);
        ch->again_at = now;
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
    if (c->n_channels == c->cap_channels) {
        size_t cap = c->cap_channels == 0 ? 8 : 2 * c->cap_channels;
        struct channel *grown = reallocarray(c->channels, cap, sizeof(*grown));
        if (grown == NULL)
            return PV_ERR_NOMEM;
        c->channels = grown;
        c->cap_channels = cap;
    }
    struct channel *ch = &c->channels[c->n_channels];
    *ch = (struct channel){.peer = *peer, .again_at = now};
    txn_stop(&ch->bind);
    txn_stop(&ch->permit);
    ch->number = draw_number(c, peer);
    c->n_channels++;
    if (c->state == READY)
        bind_now(c, ch, now);
    touch(c);
    return PV_OK;
}

void pv_turnc_unbind(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now)
{
    struct channel *ch = find_channel(c, peer);
    c->now = now;
    if (ch == NULL)
        return;
    pv_turnc_past_add(&c->past, &ch->peer, ch->number, now);
    c->n_tell -= ch->tell ? 1 : 0;
    *ch = c->channels[--c->n_channels];
    touch(c);
}

/* --- the allocation ------------------------------------------------------------------------ */

static void begin(struct pv_turnc *c, enum kind kind, pv_ns now)
{
    c->main_kind = kind;
    txn_start(c, &c->main, now);
}

static void allocate(struct pv_turnc *c, pv_ns now)
{
    c->state = ALLOCATING;
    begin(c, ALLOCATE, now);
}

static void go_down(struct pv_turnc *c, int status, unsigned error)
{
    c->up = false;
    c->ev_up = false;
    c->ev_down = true;
    c->down_status = status;
    c->down_error = error;
}

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

int pv_turnc_start(struct pv_turnc *c, const struct pv_turnc_config *cfg, pv_ns now)
{
    uint8_t key[PV_MD5_LEN];
    int r = pv_turn_key(cfg->user, cfg->realm, cfg->password, key);
    if (r < 0)
        return r;
    memcpy(c->key, key, sizeof(key));
    pv_wipe(key, sizeof(key));
    /* A server that only lost a connection still knows the channels: they stay in use. */
    if (!c->up || cfg->permissions || !pv_addr_equal(&cfg->server, &c->cfg.server))
        unbind_all(c, now);
    c->cfg = *cfg;
    c->now = now;
    c->retry = PV_TURNC_RETRY_FIRST;
    c->bind_all = true;
    allocate(c, now);
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

/* anew: whatever has been asked. */
static void ask_again(struct pv_turnc *c, bool anew, pv_ns now)
{
    c->now = now;
    if (c->state == OFF)
        return;
    c->retry = PV_TURNC_RETRY_FIRST;
    if (c->cfg.permissions) /* a stock server knows nothing of the new address's past */
        unbind_all(c, now);
    /* A question that has just left says the same, whatever address it left from. */
    if (anew || c->state != ALLOCATING || c->main_kind != ALLOCATE || c->main.sends > 2)
        allocate(c, now);
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
    allocate(c, now);
    touch(c);
}

void pv_turnc_refresh(struct pv_turnc *c, pv_ns now)
{
    c->now = now;
    if (c->state != READY || c->main.running)
        return;
    begin(c, REFRESH, now);
    touch(c);
}

void pv_turnc_reroute(struct pv_turnc *c, bool stream, pv_ns now)
{
    c->cfg.stream = stream;
    c->bind_all = true;
    ask_again(c, true, now); /* what has just left went the other way */
}

/* --- what leaves --------------------------------------------------------------------------- */

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

static int build(const struct pv_turnc *c, enum kind kind, const struct txn *t,
                 const struct channel *ch, uint8_t *buf, size_t cap, size_t *ret_len)
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
    if (kind == BIND || kind == PERMIT)
        pv_stun_put_xor_addr(&w, PV_TURN_ATTR_XOR_PEER_ADDRESS, &ch->peer);
    put_credentials(c, &w);
    return pv_stun_write_end(&w, ret_len);
}

/* Must it be sent now? Then it counts as sent. */
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

/* What does not fit times out. */
int pv_turnc_poll_transmit(struct pv_turnc *c, uint8_t *buf, size_t cap, size_t *ret_len)
{
    pv_ns now = c->now;
    if (c->next > now)
        return PV_ERR_AGAIN; /* nothing is due; scanning the channels is for when something is */
    bool sent = take_due(&c->main, now) &&
                build(c, c->main_kind, &c->main, NULL, buf, cap, ret_len) == PV_OK;
    for (size_t i = 0; i < c->n_channels && !sent && c->state == READY; i++) {
        struct channel *ch = &c->channels[i];
        sent =
            (take_due(&ch->permit, now) &&
             build(c, PERMIT, &ch->permit, ch, buf, cap, ret_len) == PV_OK) ||
            (take_due(&ch->bind, now) && build(c, BIND, &ch->bind, ch, buf, cap, ret_len) == PV_OK);
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

/* 401 and 438 bring a new nonce, the first also the realm (RFC 8489 s9.2.5). False: nothing new. */
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

static void allocated(struct pv_turnc *c, const struct pv_stun_msg *msg, pv_ns now)
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
    c->refresh_at = now + pv_turn_find_lifetime(msg) / 2;
    for (size_t i = 0; i < c->n_channels; i++) {
        if (!c->channels[i].bound || c->bind_all)
            bind_now(c, &c->channels[i], now);
    }
    c->bind_all = false;
}

static void main_succeeded(struct pv_turnc *c, const struct pv_stun_msg *msg, pv_ns now)
{
    enum kind kind = c->main_kind;
    unsigned challenges = c->main.challenges;
    txn_stop(&c->main);
    if (kind == ALLOCATE) {
        allocated(c, msg, now);
    } else if (kind == REFRESH) {
        c->refresh_at = now + pv_turn_find_lifetime(msg) / 2;
    } else {
        allocate(c, now);
        c->main.challenges = challenges + 1; /* no circle of 437 and release */
    }
}

/* The server does not know our allocation (any more). */
static void forgotten(struct pv_turnc *c, pv_ns now)
{
    unbind_all(c, now);
    allocate(c, now);
}

static void main_failed(struct pv_turnc *c, unsigned error, pv_ns now)
{
    unsigned challenges = c->main.challenges;
    if (c->main_kind == ALLOCATE) {
        if (error == PV_TURN_E_ALLOCATION_MISMATCH && challenges < MAX_CHALLENGES) {
            begin(c, RELEASE, now);
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
        forgotten(c, now);
        c->main.challenges = challenges;
    }
}

static void channel_answered(struct pv_turnc *c, struct channel *ch, struct txn *t, unsigned error,
                             pv_ns now)
{
    bool is_bind = t == &ch->bind;
    txn_stop(t);
    if (error == PV_TURN_E_ALLOCATION_MISMATCH) {
        forgotten(c, now);
    } else if (is_bind) {
        set_bound(c, ch, error == 0);
        ch->again_at = now + (error == 0 ? PV_TURNC_REBIND : PV_TURNC_RETRY_MAX / 6);
    }
}

static struct txn *find_txn(struct pv_turnc *c, const uint8_t *id, struct channel **ret_channel)
{
    *ret_channel = NULL;
    if (c->main.running && c->main.sends > 0 && memcmp(c->main.id, id, PV_STUN_TXID_LEN) == 0)
        return &c->main;
    for (size_t i = 0; i < c->n_channels; i++) {
        struct channel *ch = &c->channels[i];
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

/* Success must be authentic; an error may come without integrity, for the server may not know our
 * key (RFC 8489 s9.2.5), but not with a wrong one. */
static int check(const struct pv_turnc *c, const struct pv_stun_msg *msg)
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

int pv_turnc_handle_input(struct pv_turnc *c, const struct pv_addr *src, struct pv_view datagram,
                          pv_ns now)
{
    struct pv_stun_msg msg;
    struct channel *ch;
    unsigned error = 0;
    c->now = now;
    if (c->state == OFF || !pv_addr_equal(src, &c->cfg.server))
        return PV_ERR_NOT_FOUND;
    int r = pv_stun_decode(datagram, &msg);
    if (r < 0)
        return r;
    struct txn *t = find_txn(c, msg.txid, &ch);
    if (t == NULL || (msg.cls != PV_STUN_SUCCESS && msg.cls != PV_STUN_ERROR))
        return PV_ERR_NOT_FOUND;
    enum kind kind = ch == NULL ? c->main_kind : t == &ch->bind ? BIND : PERMIT;
    if (msg.method != method_of(kind))
        return PV_ERR_NOT_FOUND;
    bool stale = msg.cls == PV_STUN_ERROR && pv_stun_get_error(&msg, &error) == PV_OK &&
                 is_challenge(error) && t->challenges < MAX_CHALLENGES && take_challenge(c, &msg);
    if (!stale) {
        r = msg.cls == PV_STUN_ERROR && error == 0 ? PV_ERR_MALFORMED : check(c, &msg);
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
    } else {
        (void)take_challenge(c, &msg); /* ours: an answer may bring the nonce for what follows */
        main_succeeded(c, &msg, now);
    }
    touch(c);
    return PV_OK;
}

/* --- time ---------------------------------------------------------------------------------- */

static void main_timeout(struct pv_turnc *c, pv_ns now)
{
    if (txn_timeout(c, &c->main, now)) {
        if (c->main_kind == ALLOCATE || c->cfg.stream)
            allocation_failed(c, PV_ERR_TIMEOUT, 0, now);
        else
            forgotten(c, now);
    } else if (!c->main.running && now >= c->refresh_at) {
        if (c->state == WAITING)
            allocate(c, now);
        else if (c->state == READY)
            begin(c, REFRESH, now);
    }
}

void pv_turnc_handle_timeout(struct pv_turnc *c, pv_ns now)
{
    c->now = now;
    if (now < c->next)
        return;
    main_timeout(c, now);
    for (size_t i = 0; i < c->n_channels && c->state == READY; i++) {
        struct channel *ch = &c->channels[i];
        if (txn_timeout(c, &ch->permit, now))
            txn_stop(&ch->permit); /* the bind says whether the server is there */
        if (txn_timeout(c, &ch->bind, now)) {
            txn_stop(&ch->bind);
            forgotten(c, now); /* is the server still there? */
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

int pv_turnc_poll_event(struct pv_turnc *c, struct pv_turnc_event *ret_event)
{
    struct pv_turnc_event ev = {.relayed = c->relayed, .mapped = c->mapped};
    if (c->ev_down) {
        c->ev_down = false;
        ev.type = PV_TURNC_DOWN;
        ev.status = c->down_status;
        ev.error = c->down_error;
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
        struct channel *ch = &c->channels[i];
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

pv_ns pv_turnc_rtt(const struct pv_turnc *c)
{
    return c->rtt;
}

bool pv_turnc_is_arriving(const struct pv_turnc *c)
{
    return c->main.running && c->main_kind == ALLOCATE && c->main.challenges > 0 &&
           c->main.sends > 0;
}

uint16_t pv_turnc_channel(const struct pv_turnc *c, const struct pv_addr *peer)
{
    const struct channel *ch = find_channel(c, peer);
    return ch == NULL || !ch->bound ? 0 : ch->number;
}

uint16_t pv_turnc_number(const struct pv_turnc *c, const struct pv_addr *peer)
{
    const struct channel *ch = find_channel(c, peer);
    return ch == NULL ? 0 : ch->number;
}

/* --- datagrams ----------------------------------------------------------------------------- */

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
