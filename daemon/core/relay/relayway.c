/* SPDX-License-Identifier: MIT */
/* One TURN server and how it is reached: chooses between datagrams and a stream, moves the TURN
 * client from one to the other, and keeps the channels, the stream and the server before it. */
#include "daemon/core/relay/relayway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/packets/fp_builder.h"
#include "proto/stun/turnc.h"

/* --- channels at a stock TURN server --------------------------------------------------------- */

/* A peer has a channel there while something was sent to it of late. Its permission lets datagrams
 * from a peer's address in, so it lasts no longer than its use. At our coordinator's relay a
 * channel is asked for by the peer that has a path there. Zeroed: none. */
struct relayuses {
    struct {
        struct pv_addr peer;
        pv_ns used_at;
    } all[PV_RELAYUSES_MAX];
    size_t n;
};

/* The order does not matter, since the oldest is found by its time. */
static void give_up(struct relayuses *u, struct pv_turnc *turnc, size_t i, pv_ns now)
{
    pv_turnc_unbind(turnc, &u->all[i].peer, now);
    u->all[i] = u->all[--u->n];
}

/* Something is sent to this peer: a peer without a channel gets one.
 * A stock server relays only to peers with a permission (RFC 8656 s9), which binding a channel
 * gives them. */
static void relayuses_note(struct relayuses *u, struct pv_turnc *turnc, const struct pv_addr *peer,
                           pv_ns now)
{
    size_t oldest = 0;
    for (size_t i = 0; i < u->n; i++) {
        if (pv_addr_equal(&u->all[i].peer, peer)) {
            u->all[i].used_at = now;
            return;
        }
        if (u->all[i].used_at < u->all[oldest].used_at)
            oldest = i;
    }
    if (u->n == PV_RELAYUSES_MAX)
        give_up(u, turnc, oldest, now);
    if (pv_turnc_bind(turnc, peer, now) != PV_OK)
        return;
    u->all[u->n].peer = *peer;
    u->all[u->n++].used_at = now;
}

/* Gives up the channels that nothing was sent through for PV_RELAYUSES_UNUSED.
 * The server itself forgets a channel after ten minutes, but the client repeats each before that
 * for as long as it is wanted. */
static void relayuses_sweep(struct relayuses *u, struct pv_turnc *turnc, pv_ns now)
{
    for (size_t i = 0; i < u->n;) {
        if (u->all[i].used_at + PV_RELAYUSES_UNUSED <= now)
            give_up(u, turnc, i, now);
        else
            i++;
    }
}

/* Gives up all. */
static void relayuses_end(struct relayuses *u, struct pv_turnc *turnc, pv_ns now)
{
    while (u->n > 0)
        give_up(u, turnc, 0, now);
}

/* --- the stream: a TCP or TLS connection ----------------------------------------------------- */

/*
 * It has a number, so long to connect, a pause before the next one is opened, and what the shell
 * is to open and close.
 *
 *   CLOSED      --open-->                               CONNECTING
 *   CONNECTING  --connected-->                          OPEN
 *   any         --close, lost-->                        CLOSED; the next one after a pause, which
 *                                                       doubles from 0.2 to 30 s, with jitter
 *   OPEN        --leave, and nobody stays meanwhile-->  due to be closed a little later
 *
 * One stream at a time; of one that its owner gives away (struct relayhold) only the close is
 * left. It says nothing about what goes through it.
 */

enum {
    RELAYSTREAM_OPS_MAX = 8, /* closing two streams must find room */
};

enum relaystream_state {
    RELAYSTREAM_CLOSED,
    RELAYSTREAM_CONNECTING,
    RELAYSTREAM_OPEN,
};

struct relaystream {
    struct pv_rng rng;
    uint16_t via; /* the relay's number; sockets of its streams have it too */
    enum relaystream_state state;
    uint16_t number; /* 0 when CLOSED */
    struct pv_relaystream_to to;
    uint16_t n_numbers; /* ever, for the next number */
    pv_ns connect_by;   /* CONNECTING */
    bool hasty;         /* soon, for another address waits */
    pv_ns retry_at, retry;
    pv_ns linger_until; /* it was left; PV_NEVER: it is in use or wanted */
    struct pv_relaystream_op ops[RELAYSTREAM_OPS_MAX];
    size_t n_ops;
};

static bool push_op(struct relaystream *s, const struct pv_relaystream_op *op)
{
    if (s->n_ops == RELAYSTREAM_OPS_MAX)
        return false;
    s->ops[s->n_ops++] = *op;
    return true;
}

/* Opens the next one, where it is CLOSED, the pause is over and the shell has taken what it was to
 * do before; else nothing happens. hasty: another address waits for its turn.
 * A number is used again only after thousands of streams, so that a late message of a closed one is
 * never taken for the present one's. The relay's number is its remainder. */
static void relaystream_open(struct relaystream *s, const struct pv_relaystream_to *to, bool hasty,
                             pv_ns now)
{
    const uint16_t most = UINT16_MAX / PV_FP_MAX_RELAYS - 1;
    uint16_t number = (uint16_t)(s->n_numbers % most + 1);
    uint16_t stream = (uint16_t)(number * PV_FP_MAX_RELAYS + s->via);
    if (s->state != RELAYSTREAM_CLOSED || now < s->retry_at)
        return;
    /* There must be room for this stream's close and for the close of a stream given away: a stream
     * that nobody closes would stay open for ever. */
    if (s->n_ops + 2 >= RELAYSTREAM_OPS_MAX ||
        !push_op(s, &(struct pv_relaystream_op){.open = true, .stream = stream, .to = *to}))
        return;
    s->n_numbers = number;
    s->number = stream;
    s->to = *to;
    s->state = RELAYSTREAM_CONNECTING;
    s->hasty = hasty;
    s->connect_by = now + (hasty ? PV_RELAYSTREAM_HASTE : PV_RELAYSTREAM_CONNECT);
}

/* The stream is gone, or is its owner's to close. */
static void relaystream_lost(struct relaystream *s, pv_ns now)
{
    pv_ns wait = s->retry == 0 ? PV_RELAYSTREAM_RETRY_FIRST : s->retry;
    s->state = RELAYSTREAM_CLOSED;
    s->number = 0;
    s->connect_by = s->linger_until = PV_NEVER;
    /* Jitter: all nodes of a network lose their streams together when the coordinator restarts. */
    s->retry_at = now + wait / 2 + pv_rng_u64(&s->rng) % (wait / 2 + 1);
    s->retry = pv_min_ns(2 * wait, PV_RELAYSTREAM_RETRY_MAX);
}

/* Closes one that was given away.
 * There is room: relaystream_open() has seen to that. */
static void relaystream_close_number(struct relaystream *s, uint16_t number)
{
    (void)push_op(s, &(struct pv_relaystream_op){.stream = number});
}

/* The shell does not answer a close, so the stream is gone at once. */
static void relaystream_close(struct relaystream *s, pv_ns now)
{
    relaystream_close_number(s, s->number);
    relaystream_lost(s, now);
}

/* The server is there or is another one: the next one may be opened at once, and the pauses begin
 * anew. */
static void relaystream_again(struct relaystream *s, pv_ns now)
{
    s->retry = 0;
    s->retry_at = now;
}

/* When it must be connected or is to be closed; PV_NEVER: neither. */
static pv_ns relaystream_ends_at(const struct relaystream *s)
{
    return pv_min_ns(s->connect_by, s->linger_until);
}

/* --- a server that was left and still relays ------------------------------------------------- */

/*
 * The home of the network moved to another coordinator (adr/0038).
 *
 * Both ends of a relayed path are told to move at once, and arrive some milliseconds or, on slow
 * lines, a second apart. Each goes on sending through the old server until the other has most
 * likely arrived at the new one, and goes on receiving from it until the other has stopped.
 *
 *   nothing    --begin-->                        SENDING, for PV_RELAYHOLD_MOST
 *   SENDING    --the new server works-->         SENDING, for PV_RELAYHOLD_SEND at most
 *   SENDING    --time over, quit-->              RECEIVING, for PV_RELAYHOLD_RECEIVE
 *   RECEIVING  --time over-->                    over
 */
struct relayhold {
    struct pv_addr server; /* PV_AF_NONE: nothing is held */
    uint16_t stream;       /* it is reached by; 0: by datagrams */
    bool sends;
    pv_ns until; /* of SENDING or RECEIVING; PV_NEVER: nothing is held */
};

/* --- why there is no way --------------------------------------------------------------------- */

/* In words of what a user sees, for `status`; the number is told beside it. */
static const char *meaning(unsigned error)
{
    switch (error) {
    case PV_STUN_E_TRY_ALTERNATE:
        return "it sends us to another server, where we were already or cannot go";
    case PV_TURN_E_FORBIDDEN:
        return "it may not be used from here";
    case PV_TURN_E_FAMILY_NOT_SUPPORTED:
        return "it has no address of a family that is of use here";
    case PV_TURN_E_WRONG_CREDENTIALS:
        return "another user holds this one's place";
    case PV_TURN_E_TRANSPORT_NOT_SUPPORTED:
        return "it does not relay UDP";
    case PV_TURN_E_QUOTA_REACHED:
        return "the user has as many allocations as it may";
    case PV_TURN_E_NO_CAPACITY:
        return "it has no room";
    default:
        return "it says no more";
    }
}

/* The reason of a DOWN event, into text; nothing when it is this node that stopped. transport:
 * "UDP", "TCP" or "TLS", by which the server was asked. */
static void relaywhy(const struct pv_turnc_event *down, const char *transport, char *text,
                     size_t cap)
{
    if (down->status == PV_ERR_TIMEOUT)
        snprintf(text, cap, "no answer by %s", transport);
    else if (down->status == PV_ERR_AUTH)
        snprintf(text, cap, "it refuses user and password (error %u)", down->error);
    else if (down->status == PV_ERR_MALFORMED)
        snprintf(text, cap, "its answer has no relayed address");
    else if (down->status != PV_ERR_CLOSED)
        snprintf(text, cap, "it refuses an allocation: %s (error %u)", meaning(down->error),
                 down->error);
}

/* --- the ways -------------------------------------------------------------------------------- */

#define UDP_HOLD_MAX PV_S(1800)

struct pv_relayway {
    uint16_t via;
    struct pv_turnc *turnc;
    struct pv_relayway_config cfg; /* holds a secret: wiped; with the address that is asked */
    struct pv_relayaddrs addrs;
    bool on;
    bool running; /* the TURN client is: one that may use streams only waits for its stream */
    struct pv_addr relayed;
    enum pv_relayway_way way;
    bool by_stream;     /* what the TURN client says goes by the stream */
    uint16_t sock;      /* else from this socket; */
    uint16_t data_sock; /* data comes from this socket until the server follows */
    struct relayhold hold;

    bool blocked;
    pv_ns udp_hold_until, udp_hold;

    struct relaystream stream;
    pv_ns keep_at;
    struct relayuses uses; /* at a stock server */
    pv_ns now;             /* of the last call that had it */

    bool ev_way;

    char error[PV_RELAYWAY_ERROR_MAX]; /* why it is not reached */
    char told[PV_RELAYWAY_ERROR_MAX];  /* what the last event was about */
};

int pv_relayway_new(struct pv_relayway **ret_relay, uint16_t via, const struct pv_rng *rng)
{
    struct pv_relayway *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return PV_ERR_NOMEM;
    if (pv_turnc_new(&r->turnc, rng) != PV_OK) {
        free(r);
        return PV_ERR_NOMEM;
    }
    r->via = via;
    r->stream = (struct relaystream){
        .rng = *rng, .via = via, .connect_by = PV_NEVER, .linger_until = PV_NEVER};
    r->hold.until = r->keep_at = PV_NEVER;
    *ret_relay = r;
    return PV_OK;
}

struct pv_relayway *pv_relayway_free(struct pv_relayway *r)
{
    if (r == NULL)
        return NULL;
    pv_turnc_free(r->turnc);
    pv_wipe(r, sizeof(*r));
    free(r);
    return NULL;
}

/* --- the way ------------------------------------------------------------------------------- */

static bool has_stream(const struct pv_relayway *r)
{
    return r->cfg.to.addr.family != PV_AF_NONE || r->cfg.to.to[0] != '\0';
}

/* UDP is preferred wherever it gets through: in a stream one lost segment holds up all packets
 * behind it. */
static bool wants_stream(const struct pv_relayway *r, pv_ns now)
{
    return has_stream(r) && (!r->cfg.udp || r->blocked || now < r->udp_hold_until);
}

/* The event is due after any change, also when the way comes back before it was told: carriers
 * contain stream numbers that may be others. */
static void set_way(struct pv_relayway *r, enum pv_relayway_way way)
{
    if (r->way == way)
        return;
    r->way = way;
    r->ev_way = true;
}

static void set_error(struct pv_relayway *r, const char *why)
{
    snprintf(r->error, sizeof(r->error), "%s", why);
}

/* The stream is gone, whoever ended it. */
static void without_stream(struct pv_relayway *r)
{
    if (r->way == PV_RELAYWAY_STREAM)
        set_way(r, PV_RELAYWAY_NONE);
    if (!r->by_stream)
        return;
    r->by_stream = false;
    /* Our coordinator keeps a member's allocation for its next connection. A stock server forgets
     * the allocation with this connection. */
    if (r->cfg.turn.permissions || !r->cfg.udp) {
        pv_turnc_stop(r->turnc);
        r->running = false;
    }
}

static void close_stream(struct pv_relayway *r, pv_ns now)
{
    if (r->stream.state == RELAYSTREAM_CLOSED)
        return;
    relaystream_close(&r->stream, now);
    without_stream(r);
}

/* A client that runs is moved, with its channels; one that was stopped allocates anew. */
static void run_turn(struct pv_relayway *r, bool by_stream, pv_ns now)
{
    struct pv_turnc_config cfg = r->cfg.turn;
    r->by_stream = by_stream;
    cfg.stream = by_stream;
    if (r->running)
        pv_turnc_reroute(r->turnc, by_stream, now);
    else
        r->running = pv_turnc_start(r->turnc, &cfg, now) == PV_OK;
    pv_wipe(&cfg, sizeof(cfg));
}

/* Brings the present state towards the wanted one. Called after every change, it compares the wish
 * with the present state. So no event needs to know in which of the many combinations it comes. */
static void steer(struct pv_relayway *r, pv_ns now)
{
    if (!r->on)
        return;
    if (wants_stream(r, now)) {
        r->stream.linger_until = PV_NEVER;
        relaystream_open(&r->stream, &r->cfg.to, pv_relayaddrs_is_hasty(&r->addrs), now);
        if (r->stream.state == RELAYSTREAM_OPEN && !r->by_stream)
            run_turn(r, true, now);
        return;
    }
    if (r->by_stream)
        run_turn(r, false, now);
    if (r->stream.state == RELAYSTREAM_CONNECTING)
        close_stream(r, now);
    else if (r->stream.state == RELAYSTREAM_OPEN && r->way == PV_RELAYWAY_UDP &&
             r->stream.linger_until == PV_NEVER)
        r->stream.linger_until = now + PV_RELAYSTREAM_LINGER; /* messages may be on their way */
}

/* --- addresses ------------------------------------------------------------------------------ */

/* Our coordinator's has one for datagrams and one for streams, and no others. A hasty Allocate
 * gives up early, since another address waits for its turn. */
static void use_address(struct pv_relayway *r, pv_ns now)
{
    r->cfg.turn.server = *pv_relayaddrs_now(&r->addrs);
    r->cfg.turn.sends = pv_relayaddrs_is_hasty(&r->addrs) ? PV_RELAYWAY_HASTE_SENDS : 0;
    if (has_stream(r) && r->cfg.to.to[0] == '\0')
        r->cfg.to.addr = r->cfg.turn.server;
    pv_turnc_reach(r->turnc, &r->cfg.turn.server, r->cfg.turn.sends, now);
}

/* Nobody answers here. True: at another address we ask at once. */
static bool try_next(struct pv_relayway *r, pv_ns now)
{
    bool at_once = pv_relayaddrs_next(&r->addrs);
    if (!pv_addr_equal(pv_relayaddrs_now(&r->addrs), &r->cfg.turn.server))
        use_address(r, now);
    return at_once;
}

/* The stream failed before it was of use. With an address left to try there is no waiting time,
 * which is for servers that were all asked in vain. */
static void stream_failed(struct pv_relayway *r, pv_ns now)
{
    if (try_next(r, now))
        relaystream_again(&r->stream, now);
}

/* The server sends us to another one. */
static bool follow_alternate(struct pv_relayway *r, const struct pv_addr *to, pv_ns now)
{
    if (!r->cfg.turn.permissions || !pv_relayaddrs_redirect(&r->addrs, to, now))
        return false;
    if (r->by_stream)
        close_stream(r, now);
    use_address(r, now);
    pv_turnc_kick(r->turnc, now);
    relaystream_again(&r->stream, now);
    return true;
}

/* --- facts --------------------------------------------------------------------------------- */

/* Data goes to the present server from now on, as the old one is silent or knows our address no
 * more; peers' paths are told by the event. */
static void quit_hold(struct pv_relayway *r, pv_ns now)
{
    if (!r->hold.sends)
        return;
    r->hold.sends = false;
    r->hold.until = now + PV_RELAYHOLD_RECEIVE;
    r->ev_way = true;
}

static void end_hold(struct pv_relayway *r)
{
    if (r->hold.stream != 0)
        relaystream_close_number(&r->stream, r->hold.stream);
    r->ev_way |= r->hold.sends;
    r->hold = (struct relayhold){.until = PV_NEVER};
}

bool pv_relayway_can_hold(const struct pv_relayway *r)
{
    return r->on && (r->by_stream ? r->way == PV_RELAYWAY_STREAM : r->way == PV_RELAYWAY_UDP);
}

/* Before a start at another server. A stream leads to the former one: it is held with it, or
 * closed, and steer() opens another. */
static void leave_server(struct pv_relayway *r, const struct pv_relayway_config *to, pv_ns now)
{
    if (!r->on || pv_addr_equal(&to->turn.server, &r->cfg.turn.server))
        return;
    bool held = to->held && pv_relayway_can_hold(r);
    bool elsewhere = r->stream.state != RELAYSTREAM_CLOSED &&
                     (!pv_addr_equal(&to->to.addr, &r->stream.to.addr) ||
                      strcmp(to->to.to, r->stream.to.to) != 0);
    uint16_t stream = held && r->by_stream ? r->stream.number : 0;
    end_hold(r);
    if (held)
        r->hold = (struct relayhold){.server = r->cfg.turn.server,
                                     .stream = stream,
                                     .sends = true,
                                     .until = now + PV_RELAYHOLD_MOST};
    if (stream != 0) {
        relaystream_lost(&r->stream, now);
        without_stream(r);
    } else if (elsewhere) {
        close_stream(r, now);
    }
}

int pv_relayway_start(struct pv_relayway *r, const struct pv_relayway_config *cfg, pv_ns now)
{
    struct pv_turnc_config turn = cfg->turn;
    struct pv_relayaddrs addrs = {.n = 1 + cfg->n_others, .list = {cfg->turn.server}};
    memcpy(addrs.list + 1, cfg->others, cfg->n_others * sizeof(cfg->others[0]));
    leave_server(r, cfg, now);
    turn.sends = pv_relayaddrs_is_hasty(&addrs) ? PV_RELAYWAY_HASTE_SENDS : 0;
    turn.stream = r->by_stream;
    /* A server that is reached by streams only has no client yet: steer() starts it when the stream
     * is open. */
    if (cfg->udp || r->by_stream) {
        int s = pv_turnc_start(r->turnc, &turn, now);
        pv_wipe(&turn, sizeof(turn));
        if (s != PV_OK)
            return s;
        r->running = true;
    }
    pv_wipe(&turn, sizeof(turn));
    r->cfg = *cfg;
    r->cfg.turn.sends = addrs.n > 1 ? PV_RELAYWAY_HASTE_SENDS : 0;
    r->addrs = addrs;
    if (r->stream.state == RELAYSTREAM_CLOSED) /* whoever gave these credentials is there */
        relaystream_again(&r->stream, now);
    r->on = true;
    steer(r, now);
    return PV_OK;
}

void pv_relayway_stop(struct pv_relayway *r, pv_ns now)
{
    if (!r->on)
        return;
    close_stream(r, now);
    relayuses_end(&r->uses, r->turnc, now);
    pv_turnc_stop(r->turnc);
    set_way(r, PV_RELAYWAY_NONE);
    end_hold(r);
    r->error[0] = r->told[0] = '\0';
    r->on = r->running = r->by_stream = false;
    r->keep_at = PV_NEVER;
    r->relayed = (struct pv_addr){.family = PV_AF_NONE};
    /* It holds the password of a static user, or the password of the last welcome. */
    pv_wipe(&r->cfg, sizeof(r->cfg));
}

void pv_relayway_set_addrs(struct pv_relayway *r, const struct pv_addr *list, size_t n, pv_ns now)
{
    if (!r->on || n == 0 || !pv_relayaddrs_set(&r->addrs, list, n) || r->way != PV_RELAYWAY_NONE)
        return;
    use_address(r, now);
    pv_relayway_kick(r, now);
}

void pv_relayway_set_blocked(struct pv_relayway *r, bool blocked, pv_ns now)
{
    if (r->blocked == blocked)
        return;
    r->blocked = blocked;
    if (blocked && r->hold.stream == 0)
        quit_hold(r, now);
    pv_relayaddrs_begin(&r->addrs);
    if (blocked)
        r->stream.retry_at = now;
    else if (r->way == PV_RELAYWAY_UDP)
        set_error(r, ""); /* the stream was needed no longer than it failed */
    steer(r, now);
}

void pv_relayway_set_socket(struct pv_relayway *r, uint16_t sock, pv_ns now)
{
    r->sock = sock;
    if (r->way != PV_RELAYWAY_UDP)
        r->data_sock = sock;
    if (r->on && r->running && !r->by_stream)
        pv_turnc_moved(r->turnc, now);
}

void pv_relayway_moved(struct pv_relayway *r, pv_ns now)
{
    /* This network's treatment of UDP says nothing about the next one. */
    r->udp_hold_until = r->udp_hold = 0;
    if (r->on && r->running && !r->by_stream)
        pv_turnc_moved(r->turnc, now);
    pv_relayway_kick(r, now); /* a connection may live on from another address, or not */
}

void pv_relayway_kick(struct pv_relayway *r, pv_ns now)
{
    relaystream_again(&r->stream, now);
    if (r->on && r->running) {
        pv_turnc_kick(r->turnc, now);
        if (r->by_stream || r->cfg.keep)
            pv_turnc_refresh(r->turnc, now);
    }
    steer(r, now);
}

void pv_relayway_suspect(struct pv_relayway *r, const struct pv_addr *peer, pv_ns now)
{
    pv_relayway_kick(r, now);
    quit_hold(r, now);
    if (r->running)
        pv_turnc_suspect(r->turnc, peer, now);
}

void pv_relayway_healed(struct pv_relayway *r, const struct pv_addr *peer, pv_ns now)
{
    if (r->running)
        pv_turnc_healed(r->turnc, peer, now);
}

void pv_relayway_want_phone_port(struct pv_relayway *r, bool wanted, pv_ns now)
{
    pv_turnc_want_phone_port(r->turnc, wanted, now);
}

const struct pv_turnc_phone_port *pv_relayway_phone_port(const struct pv_relayway *r)
{
    return pv_turnc_phone_port(r->turnc);
}

int pv_relayway_bind(struct pv_relayway *r, const struct pv_addr *peer, pv_ns now)
{
    return pv_turnc_bind(r->turnc, peer, now);
}

void pv_relayway_unbind(struct pv_relayway *r, const struct pv_addr *peer, pv_ns now)
{
    pv_turnc_unbind(r->turnc, peer, now);
}

int pv_relayway_handle_input(struct pv_relayway *r, const struct pv_carrier *from,
                             struct pv_view message, pv_ns now)
{
    /* A stream proves its sender by its number, a datagram by its address only; the TURN client
     * then checks the message's integrity. */
    bool mine = from->kind == PV_CARRIER_STREAM
                    ? r->stream.state == RELAYSTREAM_OPEN && from->sock == r->stream.number
                    : from->kind == PV_CARRIER_UDP && r->cfg.udp &&
                          pv_addr_equal(&from->remote, &r->cfg.turn.server);
    if (!r->on || !r->running || !mine)
        return PV_ERR_NOT_FOUND;
    r->now = now;
    return pv_turnc_handle_input(r->turnc, &r->cfg.turn.server, message, now);
}

void pv_relayway_connected(struct pv_relayway *r, uint16_t stream, pv_ns now)
{
    if (r->stream.state != RELAYSTREAM_CONNECTING || stream != r->stream.number)
        return;
    r->stream.state = RELAYSTREAM_OPEN;
    r->stream.connect_by = PV_NEVER;
    steer(r, now);
}

void pv_relayway_closed(struct pv_relayway *r, uint16_t stream, const char *why, pv_ns now)
{
    if (stream != 0 && stream == r->hold.stream) {
        r->hold.stream = 0;
        end_hold(r);
    }
    if (r->stream.state == RELAYSTREAM_CLOSED || stream != r->stream.number)
        return;
    bool failed = wants_stream(r, now); /* else it was left, and is not missed */
    bool was_used = r->way == PV_RELAYWAY_STREAM;
    if (failed)
        set_error(r, why);
    relaystream_lost(&r->stream, now);
    without_stream(r);
    if (failed && !was_used)
        stream_failed(r, now);
    steer(r, now);
}

void pv_relayway_failed(struct pv_relayway *r, const char *why)
{
    set_error(r, why);
}

/* --- time ---------------------------------------------------------------------------------- */

static pv_ns keep_interval(const struct pv_relayway *r)
{
    if (r->way == PV_RELAYWAY_STREAM)
        return PV_RELAYWAY_KEEP_STREAM;
    return r->way == PV_RELAYWAY_UDP && r->cfg.keep ? PV_RELAYWAY_KEEP_UDP : PV_NEVER;
}

/* A stream is kept as often as the control channel, so that a dead one shows soon; UDP only where
 * nobody else keeps the NAT's binding open. */
static void plan_keep(struct pv_relayway *r, pv_ns now)
{
    pv_ns every = keep_interval(r);
    r->keep_at = every == PV_NEVER ? PV_NEVER : now + every;
}

/* It was not connected in time, or has been left long enough. One that worked may be had again at
 * once. */
static void end_stream(struct pv_relayway *r, pv_ns now)
{
    bool left = r->stream.state == RELAYSTREAM_OPEN;
    close_stream(r, now);
    if (left) {
        relaystream_again(&r->stream, now);
        return;
    }
    snprintf(
        r->error, sizeof(r->error), "no %s connection within %u s",
        r->stream.to.tls ? "TLS" : "TCP",
        (unsigned)((r->stream.hasty ? PV_RELAYSTREAM_HASTE : PV_RELAYSTREAM_CONNECT) / PV_S(1)));
    stream_failed(r, now);
}

void pv_relayway_handle_timeout(struct pv_relayway *r, pv_ns now)
{
    r->now = now;
    if (!r->on)
        return;
    if (now >= r->hold.until && r->hold.sends)
        quit_hold(r, now);
    else if (now >= r->hold.until)
        end_hold(r); /* there is nothing left to receive */
    if (r->running)
        pv_turnc_handle_timeout(r->turnc, now);
    if (now >= r->udp_hold_until)
        r->udp_hold_until = 0;
    if (now >= relaystream_ends_at(&r->stream))
        end_stream(r, now);
    /* A Refresh keeps the NAT's binding and shows that the server is there, which a Binding
     * indication does not. */
    if (now >= r->keep_at) {
        pv_turnc_refresh(r->turnc, now);
        relayuses_sweep(&r->uses, r->turnc, now);
        plan_keep(r, now);
    }
    steer(r, now);
}

/* Data moves to the new socket only behind the request that moves the allocation: what overtakes it
 * would come from an address unknown to the server. */
static bool must_follow(const struct pv_relayway *r)
{
    return r->data_sock != r->sock && !r->by_stream && pv_turnc_is_arriving(r->turnc);
}

pv_ns pv_relayway_next_timeout(const struct pv_relayway *r)
{
    if (!r->on)
        return PV_NEVER;
    if (must_follow(r))
        return 0;
    pv_ns next = r->running ? pv_turnc_next_timeout(r->turnc) : PV_NEVER;
    next = pv_min_ns(next, relaystream_ends_at(&r->stream));
    next = pv_min_ns(next, pv_min_ns(r->keep_at, r->hold.until));
    if (has_stream(r) && r->stream.state == RELAYSTREAM_CLOSED &&
        (!r->cfg.udp || r->blocked || r->udp_hold_until > 0))
        next = pv_min_ns(next, r->stream.retry_at);
    if (r->udp_hold_until > 0)
        next = pv_min_ns(next, r->udp_hold_until);
    return next;
}

/* --- out ----------------------------------------------------------------------------------- */

int pv_relayway_poll_transmit(struct pv_relayway *r, struct pv_relayway_message *m)
{
    while (pv_turnc_poll_transmit(r->turnc, m->buf, m->cap, &m->len) == PV_OK) {
        m->stream = r->by_stream ? r->stream.number : 0;
        m->sock = r->by_stream ? 0 : r->sock;
        if (r->by_stream || r->cfg.udp)
            return PV_OK; /* else there is no way for it: lost, as on the network */
    }
    return PV_ERR_AGAIN;
}

int pv_relayway_poll_op(struct pv_relayway *r, struct pv_relaystream_op *ret_op)
{
    struct relaystream *s = &r->stream;
    if (s->n_ops == 0)
        return PV_ERR_AGAIN;
    *ret_op = s->ops[0];
    memmove(&s->ops[0], &s->ops[1], --s->n_ops * sizeof(s->ops[0]));
    return PV_OK;
}

/* The server does not answer by the way that is being tried. First the other addresses by the same
 * way, then the other way: a server may have an address that is not routed from here. */
static void no_answer(struct pv_relayway *r, pv_ns now)
{
    if (r->by_stream) {
        close_stream(r, now);
        stream_failed(r, now);
    } else if (try_next(r, now)) {
        pv_turnc_kick(r->turnc, now);
    } else if (has_stream(r) && !r->blocked) {
        r->udp_hold =
            r->udp_hold == 0 ? PV_RELAYWAY_UDP_HOLD : pv_min_ns(2 * r->udp_hold, UDP_HOLD_MAX);
        r->udp_hold_until = now + r->udp_hold;
        pv_relayaddrs_begin(&r->addrs);
    }
}

/* The server knows the new socket, or will before data from there comes to it. */
static void follow(struct pv_relayway *r, pv_ns now)
{
    if (r->data_sock != r->sock)
        quit_hold(r, now);
    r->ev_way |= r->data_sock != r->sock;
    r->data_sock = r->sock;
}

/* An allocation is the proof of a way: it clears the error, the retry time and the round of
 * addresses. A lost one may be a redirection, which is no failure. */
static void note_turn(struct pv_relayway *r, const struct pv_turnc_event *ev, pv_ns now)
{
    switch (ev->type) {
    case PV_TURNC_UP:
        r->relayed = ev->relayed;
        r->error[0] = r->told[0] = '\0';
        r->stream.retry = 0; /* the next pause is a short one */
        r->cfg.turn.sends = 0;
        pv_relayaddrs_begin(&r->addrs);
        if (!r->by_stream)
            r->udp_hold = 0;
        if (r->hold.sends)
            r->hold.until = pv_min_ns(r->hold.until, now + PV_RELAYHOLD_SEND);
        follow(r, now);
        set_way(r, r->by_stream ? PV_RELAYWAY_STREAM : PV_RELAYWAY_UDP);
        plan_keep(r, now);
        break;
    case PV_TURNC_DOWN:
        r->relayed = (struct pv_addr){.family = PV_AF_NONE};
        set_way(r, PV_RELAYWAY_NONE);
        if (ev->error == PV_STUN_E_TRY_ALTERNATE && follow_alternate(r, &ev->alternate, now))
            break;
        relaywhy(ev,
                 !r->by_stream      ? "UDP"
                 : r->stream.to.tls ? "TLS"
                                    : "TCP",
                 r->error, sizeof(r->error));
        if (ev->status == PV_ERR_TIMEOUT)
            no_answer(r, now);
        break;
    case PV_TURNC_CHANNEL:
        return;
    }
    steer(r, now);
}

/* The next event; false: there is none. */
static bool next_event(struct pv_relayway *r, struct pv_relayway_event *ret_event, pv_ns now)
{
    if (must_follow(r))
        follow(r, now);
    *ret_event = (struct pv_relayway_event){.type = PV_RELAYWAY_EV_TURN};
    if (pv_turnc_poll_event(r->turnc, &ret_event->turn) == PV_OK) {
        note_turn(r, &ret_event->turn, now);
        return true;
    }
    /* A reason is told once: retries with the same result would fill the log. */
    if (strcmp(r->error, r->told) != 0) {
        memcpy(r->told, r->error, sizeof(r->told));
        ret_event->type = PV_RELAYWAY_EV_ERROR;
        return true;
    }
    if (!r->ev_way)
        return false;
    r->ev_way = false;
    ret_event->type = PV_RELAYWAY_EV_WAY;
    return true;
}

bool pv_relayway_speak(struct pv_relayway *r, pv_relayway_told *told, void *owner, pv_ns now)
{
    struct pv_relayway_event ev;
    bool any = false;
    for (; next_event(r, &ev, now); any = true)
        told(owner, r->via, &ev);
    return any;
}

int pv_relayway_wrap(struct pv_relayway *r, const struct pv_addr *peer, struct pv_view data,
                     struct pv_relayway_message *m)
{
    if (r->way == PV_RELAYWAY_NONE)
        return PV_ERR_STATE;
    if (r->cfg.turn.permissions)
        relayuses_note(&r->uses, r->turnc, peer, r->now);
    m->stream = r->way == PV_RELAYWAY_STREAM ? r->stream.number : 0;
    m->sock = r->way == PV_RELAYWAY_STREAM ? 0 : r->data_sock;
    return pv_turnc_wrap(r->turnc, peer, data, m->buf, m->cap, &m->len);
}

/* --- questions ----------------------------------------------------------------------------- */

bool pv_relayway_is_on(const struct pv_relayway *r)
{
    return r->on;
}

bool pv_relayway_is_lost(const struct pv_relayway *r)
{
    return r->on && r->way == PV_RELAYWAY_NONE && pv_relayaddrs_are_silent(&r->addrs);
}

bool pv_relayway_is_reached(const struct pv_relayway *r)
{
    return r->way != PV_RELAYWAY_NONE && r->error[0] == '\0';
}

enum pv_relayway_way pv_relayway_way(const struct pv_relayway *r)
{
    return r->way;
}

const char *pv_relayway_transport(const struct pv_relayway *r)
{
    bool stream = r->way == PV_RELAYWAY_NONE ? r->stream.state != RELAYSTREAM_CLOSED || !r->cfg.udp
                                             : r->way == PV_RELAYWAY_STREAM;
    return !stream ? "udp" : pv_relayway_stream_to(r)->tls ? "tls" : "tcp";
}

const struct pv_relaystream_to *pv_relayway_stream_to(const struct pv_relayway *r)
{
    return r->stream.state == RELAYSTREAM_CLOSED ? &r->cfg.to : &r->stream.to;
}

const struct pv_addr *pv_relayway_server(const struct pv_relayway *r)
{
    return &r->cfg.turn.server;
}

const struct pv_addr *pv_relayway_relayed(const struct pv_relayway *r)
{
    return &r->relayed;
}

pv_ns pv_relayway_rtt(const struct pv_relayway *r)
{
    return pv_turnc_rtt(r->turnc);
}

const char *pv_relayway_error(const struct pv_relayway *r)
{
    return r->error;
}

uint16_t pv_relayway_number(const struct pv_relayway *r, const struct pv_addr *peer)
{
    return pv_turnc_number(r->turnc, peer);
}

bool pv_relayway_carrier(const struct pv_relayway *r, const struct pv_addr *peer,
                         struct pv_carrier *ret_carrier)
{
    uint16_t before = r->hold.sends ? pv_turnc_channel_before(r->turnc, peer) : 0;
    uint16_t channel = before != 0 ? before : pv_turnc_channel(r->turnc, peer);
    if ((r->way == PV_RELAYWAY_NONE && before == 0) || channel == 0)
        return false;
    uint16_t stream = before != 0                    ? r->hold.stream
                      : r->way == PV_RELAYWAY_STREAM ? r->stream.number
                                                     : 0;
    *ret_carrier = (struct pv_carrier){
        .kind = stream != 0 ? PV_CARRIER_STREAM : PV_CARRIER_CHANNEL,
        .sock = stream != 0 ? stream : r->data_sock,
        .channel = channel,
        .via = r->via,
        .remote = *peer,
        .relay = before != 0 ? r->hold.server : r->cfg.turn.server,
    };
    return true;
}

struct pv_fp_relay_way pv_relayway_fp_way(const struct pv_relayway *r)
{
    return (struct pv_fp_relay_way){.server = r->cfg.turn.server,
                                    .udp = r->cfg.udp,
                                    .stream = r->stream.number,
                                    .former = r->hold.server,
                                    .former_stream = r->hold.stream};
}
