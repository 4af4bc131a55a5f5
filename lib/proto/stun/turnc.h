/* SPDX-License-Identifier: MIT */
/*
 * turnc.h - TURN client: one allocation at one server, with its channels (RFC 8656).
 *
 * A machine of five calls: it allocates, refreshes, binds channels, creates permissions where the
 * server wants them, follows stale nonces, and begins anew when the server forgot it. It owns no
 * socket. With the user, password, realm and nonce of a coordinator's `welcome` an allocation takes
 * one round trip (DESIGN 6); without realm and nonce they are asked for first. Payload does not
 * pass through it in bulk: that is the fast path's, which gets the channel numbers and takes apart
 * what comes back; wrap() is for single datagrams. Over a stream (cfg.stream) every request is sent
 * once, for the stream repeats it; which stream, and cutting messages out of it, is the owner's.
 * Not thread-safe.
 *
 *   OFF        --start-->                    ALLOCATING
 *   ALLOCATING --success-->                  READY     (event UP)
 *   ALLOCATING --refused, no answer-->       WAITING   (event DOWN), 1 to 60 s
 *   WAITING    --time over-->                ALLOCATING
 *   READY      --moved, start, reroute-->    ALLOCATING, still up: the address stays what it was
 *   READY      --the server forgot us-->     ALLOCATING; channels are bound again
 *   READY      --no answer to a refresh-->   ALLOCATING; by a stream WAITING (event DOWN)
 *   WAITING    --reach-->                    WAITING, for another address; from others ALLOCATING
 *   any        --stop-->                     OFF       (event DOWN if it was up)
 */
#pragma once

#include "base/addr.h"
#include "base/pv.h"
#include "proto/stun/turn.h"

enum {
    /* Ours: characters of user, password and realm; RFC 8489 s14.9 allows 127 for the realm. */
    PV_TURNC_TEXT_MAX = 128,
    PV_TURNC_NONCE_MAX = 763,     /* bytes, RFC 8489 s14.10 */
    PV_TURNC_MAX_CHANNELS = 1024, /* ours: peers with a channel at once */
    PV_TURNC_MTU = 1400,          /* bytes of the longest request */
    PV_TURNC_MAX_SENDS = 6,       /* transmissions of one request, at 250, 500 ... ms */
};
/* First wait for an answer: ours, as the gatherer's; RFC 8489 s6.2.1 has 500 ms. */
#define PV_TURNC_RTO PV_MS(250)
/* Ours: wait for an answer by a stream, which repeats by itself. */
#define PV_TURNC_STREAM_WAIT PV_S(3)
/* Ours: first wait for a phone port that is being opened, doubling. */
#define PV_TURNC_PHONE_PORT_WAIT PV_MS(250)
/* Ours: wait after a failed allocation; it doubles up to the greatest one. */
#define PV_TURNC_RETRY_FIRST PV_S(1)
#define PV_TURNC_RETRY_MAX   PV_S(60)
/* Channels are bound again this often: below the 5 min of a permission (RFC 8656 s9). */
#define PV_TURNC_REBIND PV_S(240)
/* Ours: the shortest such interval, at a server that forgets early. */
#define PV_TURNC_REBIND_MIN PV_S(15)
/* Ours: between two bindings of a channel whose path is suspect. */
#define PV_TURNC_SUSPECT PV_S(5)
/* Ours: a path that lives this soon after a binding lives because of it; checks of a suspect path
 * are at most 250 ms apart. */
#define PV_TURNC_HEALED PV_MS(500)

struct pv_turnc_config {
    struct pv_addr server;
    char user[PV_TURNC_TEXT_MAX + 1];
    char password[PV_TURNC_TEXT_MAX + 1]; /* a secret: wipe */
    char realm[PV_TURNC_TEXT_MAX + 1];    /* "" = not known */
    char nonce[PV_TURNC_NONCE_MAX + 1];   /* "" = not known */
    bool ipv6;        /* ask for an IPv6 relayed address; a stock server that has none is then
                         asked for one of the other family */
    bool permissions; /* the server wants permissions before Send indications (stock servers) */
    bool stream;      /* requests go by a stream and are sent once */
    unsigned sends;   /* transmissions of an Allocate, 0 = PV_TURNC_MAX_SENDS: fewer where another
                         address of the server's waits for its turn */
};

enum pv_turnc_event_type {
    PV_TURNC_UP,   /* allocated; sets relayed, mapped. Again after each new allocation */
    PV_TURNC_DOWN, /* the allocation has ended, or none could be had; sets status, error, alternate
                    */
    PV_TURNC_CHANNEL, /* peer's channel is usable from now on; channel 0: no longer */
};
struct pv_turnc_event {
    enum pv_turnc_event_type type;
    struct pv_addr relayed; /* UP: the address at which the server receives for us */
    struct pv_addr mapped;  /* UP: our address as the server sees it */
    struct pv_addr peer;    /* CHANNEL: whom it leads to */
    uint16_t channel;       /* CHANNEL: its number, 0 = it is no longer bound */
    int status; /* DOWN: PV_ERR_TIMEOUT, PV_ERR_REFUSED, PV_ERR_AUTH, PV_ERR_MALFORMED (no relayed
                   address), PV_ERR_CLOSED (stop) */
    unsigned error;           /* DOWN: code of the server's answer, 0 = none */
    struct pv_addr alternate; /* DOWN with 300 (RFC 8489 s10): where it sends us, family NONE:
                                 nowhere that we could follow */
};

/* A phone port: a UDP port of the server's by which strangers that speak WireGuard reach us
 * (PROTOCOL-COORDINATOR "Phone ports"). */
enum pv_turnc_phone_port_state {
    PV_TURNC_PHONE_PORT_UNKNOWN, /* not asked for, or not answered yet, or being opened */
    PV_TURNC_PHONE_PORT_OPEN,
    PV_TURNC_PHONE_PORT_REFUSED,     /* sets error */
    PV_TURNC_PHONE_PORT_UNSUPPORTED, /* a stock server, which knows no phone ports */
};
struct pv_turnc_phone_port {
    enum pv_turnc_phone_port_state state;
    struct pv_addr addr; /* OPEN: as the server says; it was opened for us alone */
    /* OPEN: first and last port of which the server takes it; both its own port if the server did
     * not say a range that has it. */
    uint16_t port_lo, port_hi;
    unsigned error; /* REFUSED: 403 there are none, 486 our network has all it may, 508 full */
};

struct pv_turnc; /* opaque */

PV_MUST_CHECK int pv_turnc_new(struct pv_turnc **ret_turnc, const struct pv_rng *rng);
struct pv_turnc *pv_turnc_free(struct pv_turnc *c); /* wipes; NULL is fine; returns NULL */

/* --- facts in ------------------------------------------------------------------------------ */

/* Allocates (again) with these credentials. Channels keep peer and number and are bound again; at
 * another server too. At the same one they count as bound meanwhile. PV_ERR_CRYPTO, PV_ERR_NO_SPACE
 * (key): nothing changed. */
PV_MUST_CHECK int pv_turnc_start(struct pv_turnc *c, const struct pv_turnc_config *cfg, pv_ns now);
void pv_turnc_stop(struct pv_turnc *c);
/* Our address has changed, as far as the server is concerned: allocates from the new one. Members'
 * relays move the allocation with its channels. Harmless while nothing is allocated. */
void pv_turnc_moved(struct pv_turnc *c, pv_ns now);
/* The network is another, or there again: what waits to be tried again is tried at once. */
void pv_turnc_kick(struct pv_turnc *c, pv_ns now);
/* From now on requests go by a stream, or by datagrams, or by another stream than before: allocates
 * anew over it. A member's allocation moves with its channels; at a stock server the one of the
 * former way is lost to us. Harmless while OFF. */
void pv_turnc_reroute(struct pv_turnc *c, bool stream, pv_ns now);
/* The server is to be found at another address: the next of its name, or where it has sent us.
 * sends is as in the config. In WAITING the wait goes on (pv_turnc_kick() ends it); else the new
 * address is asked at once. Harmless while OFF. */
void pv_turnc_reach(struct pv_turnc *c, const struct pv_addr *server, unsigned sends, pv_ns now);
/* Refreshes the allocation now, which shows whether it is still there, how far away the server is,
 * and keeps the binding towards it alive. Nothing happens unless READY. */
void pv_turnc_refresh(struct pv_turnc *c, pv_ns now);
/* Wants a phone port from now on, or no more. It stays wanted over new allocations and other
 * servers. */
void pv_turnc_want_phone_port(struct pv_turnc *c, bool wanted, pv_ns now);
/* Wants a channel to this peer, now and whenever there is an allocation. Repeating is harmless.
 * PV_ERR_LIMIT, PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_turnc_bind(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now);
/*
 * Tells that the path through this peer's channel is suspect, or lives again. A stock server may
 * keep permissions for less time than RFC 8656 says. So while the path is suspect the channel is
 * bound again, at most every PV_TURNC_SUSPECT. If that is answered at once and the path lives right
 * after, the binding had expired: from now on all channels are bound again in half of this
 * binding's age.
 */
void pv_turnc_suspect(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now);
void pv_turnc_healed(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now);
/* No longer needed: the server forgets it in its time; no event follows. */
void pv_turnc_unbind(struct pv_turnc *c, const struct pv_addr *peer, pv_ns now);

/* An answer from the server. 0 when it was ours; PV_ERR_NOT_FOUND (other source, other
 * transaction, no answer), PV_ERR_AUTH (integrity wrong), or a decoder's status. */
PV_MUST_CHECK int pv_turnc_handle_input(struct pv_turnc *c, const struct pv_addr *src,
                                        struct pv_view datagram, pv_ns now);
void pv_turnc_handle_timeout(struct pv_turnc *c, pv_ns now);
pv_ns pv_turnc_next_timeout(const struct pv_turnc *c); /* PV_NEVER if idle */

/* --- decisions out ------------------------------------------------------------------------- */

/* The next datagram for the server, or PV_ERR_AGAIN. cap >= PV_TURNC_MTU. The transaction id is at
 * buf + PV_STUN_TXID_AT. */
PV_MUST_CHECK int pv_turnc_poll_transmit(struct pv_turnc *c, uint8_t *buf, size_t cap,
                                         size_t *ret_len);
/* The next event, or PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_turnc_poll_event(struct pv_turnc *c, struct pv_turnc_event *ret_event);

/* --- datagrams through it ------------------------------------------------------------------ */

/* Data to a peer as one datagram for the server: ChannelData where a channel is bound, else a Send
 * indication. PV_ERR_STATE: nothing is allocated. PV_ERR_NO_SPACE. */
PV_MUST_CHECK int pv_turnc_wrap(struct pv_turnc *c, const struct pv_addr *peer, struct pv_view data,
                                uint8_t *buf, size_t cap, size_t *ret_len);

/* --- questions ----------------------------------------------------------------------------- */

/* The wish for a phone port, and what became of it; valid until the next call that is not a
 * question. */
const struct pv_turnc_phone_port *pv_turnc_phone_port(const struct pv_turnc *c);
pv_ns pv_turnc_rtt(const struct pv_turnc *c); /* of the last request; 0 = not known */
/* True when an Allocate with credentials is on its way: what leaves now for the server arrives
 * behind it and finds the allocation. */
bool pv_turnc_is_arriving(const struct pv_turnc *c);
/* The bound channel of a peer; 0 = none. */
uint16_t pv_turnc_channel(const struct pv_turnc *c, const struct pv_addr *peer);
/* Returns the peer's channel at the previous server, if it was bound when pv_turnc_start() left for
 * the present one; 0 = none. */
uint16_t pv_turnc_channel_before(const struct pv_turnc *c, const struct pv_addr *peer);
/* The number that the peer's channel has, or will have once it is bound; 0 = no channel is
 * wanted. */
uint16_t pv_turnc_number(const struct pv_turnc *c, const struct pv_addr *peer);

/* --- channel numbers of before --------------------------------------------------------------- */

/*
 * The channel numbers of peers that a TURN client no longer needs. The server remembers them for a
 * while, and meanwhile gives neither the peer another number nor the number to another peer (RFC
 * 8656 s12): a peer that comes back gets its former number. In the caller's memory; zeroed is
 * empty.
 */

enum {
    PV_TURNC_PAST_MAX = 64, /* ours: the oldest is forgotten */
};
#define PV_TURNC_PAST_FOR PV_S(900) /* a channel's 10 min and 5 more, RFC 8656 s12 */

struct pv_turnc_past {
    struct {
        struct pv_addr peer;
        uint16_t number; /* 0 = unused */
        pv_ns until;     /* from then on the server has forgotten it */
    } list[PV_TURNC_PAST_MAX];
    size_t next;
};

/* peer's channel is given up. */
void pv_turnc_past_add(struct pv_turnc_past *past, const struct pv_addr *peer, uint16_t number,
                       pv_ns now);
/* The number that peer had, which is forgotten here; 0 = none. */
uint16_t pv_turnc_past_take(struct pv_turnc_past *past, const struct pv_addr *peer, pv_ns now);
/* Returns true if the server may still remember the number. */
bool pv_turnc_past_has(const struct pv_turnc_past *past, uint16_t number, pv_ns now);
