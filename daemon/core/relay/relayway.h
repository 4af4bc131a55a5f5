/* SPDX-License-Identifier: MIT */
/*
 * relayway.h - one TURN server and the way to it: datagrams, or a TCP or TLS connection where UDP
 * does not get through (DESIGN 4, 6, 7).
 *
 * A machine around one TURN client (proto/stun/turnc.h). It chooses the way, connects and
 * reconnects, notices when a way is dead, and changes from one to the other without a gap where the
 * server allows it: our coordinator moves an allocation with its channels, so the old way carries
 * until the new one does. It owns no socket: connections are the shell's, by number. Not
 * thread-safe.
 *
 *   way      NONE --allocated--> UDP or STREAM
 *   UDP      --set_blocked, no answer by UDP, and a stream is allowed--> connects; then STREAM
 *   STREAM   --UDP gets through again--> UDP; the stream closes a little later
 *   STREAM   --closed, silent--> NONE; connects again
 *
 * UDP that lets STUN through and TURN not is left alone for a minute, doubling to half an hour. A
 * server with several addresses is asked at one after the other, by the way it is on, before it
 * counts as not reached by that way.
 */
#pragma once

#include "daemon/core/packets/fp_builder.h"
#include "daemon/core/relay/relayaddrs.h"
#include "proto/stun/turnc.h"

#define PV_RELAYSTREAM_RETRY_FIRST PV_MS(200) /* ours */
#define PV_RELAYSTREAM_RETRY_MAX   PV_S(30)   /* DESIGN 4 */
#define PV_RELAYSTREAM_CONNECT     PV_S(10)   /* ours: for connecting, TLS included */
#define PV_RELAYSTREAM_HASTE       PV_S(3)    /* ours: the same, while another address waits */
#define PV_RELAYSTREAM_LINGER      PV_S(3)    /* ours: one no longer used stays open so long */
/* Ours: the peer is told at the same time, and has as long to reach the new server. */
#define PV_RELAYHOLD_SEND PV_S(2)
/* Ours: the peer may be at the new server so much later, and what it sent is on its way. */
#define PV_RELAYHOLD_RECEIVE PV_S(3)
/* Ours: without a word of the new server; well below the coordinator's 30 s of grace. */
#define PV_RELAYHOLD_MOST       PV_S(10)
#define PV_RELAYUSES_UNUSED     PV_S(330) /* ours: then a peer's channel is given up */
#define PV_RELAYWAY_KEEP_STREAM PV_S(10)  /* DESIGN 4: as the control channel */
#define PV_RELAYWAY_KEEP_UDP    PV_S(25)  /* DESIGN 6: as the mapping to the coordinator */
#define PV_RELAYWAY_UDP_HOLD    PV_S(60)  /* ours: after UDP carried STUN but not TURN, doubling */

enum pv_relayway_way {
    PV_RELAYWAY_NONE, /* nothing gets through now */
    PV_RELAYWAY_UDP,
    PV_RELAYWAY_STREAM,
};

enum {
    PV_RELAYWAY_ERROR_MAX = 256,   /* bytes of a sentence for people, NUL included */
    PV_RELAYSTREAM_PIN_LEN = 32,   /* bytes of SHA-256 */
    PV_RELAYSTREAM_HOST_MAX = 256, /* bytes, NUL included */
    PV_RELAYSTREAM_TO_BUF = 264,   /* bytes, as PV_CONNECT_AT_BUF of proto/local/connect.h */
    PV_RELAYUSES_MAX = 256,        /* peers at a stock server at once, ours; the oldest gives way */
    PV_RELAYWAY_HASTE_SENDS = 3,   /* of an Allocate, 1.75 s, while another address waits; ours */
};

/* Where a connection goes. */
struct pv_relaystream_to {
    struct pv_addr addr; /* PV_AF_NONE: there is none, or only a proxy's */
    /* Through an HTTP proxy at the address via, which is asked for to, "HOST:PORT". "": directly.
     */
    struct pv_addr via;
    char to[PV_RELAYSTREAM_TO_BUF];
    bool tls;
    bool pinned; /* TLS: the server must have the key with the hash pin */
    uint8_t pin[PV_RELAYSTREAM_PIN_LEN];
    /* TLS, not pinned: the name that its certificate must have. "": any certificate will do, since
     * what goes through is sealed and the relay proves itself by the password. */
    char host[PV_RELAYSTREAM_HOST_MAX];
};

/* A connection to be opened or closed; closing is not answered. */
struct pv_relaystream_op {
    bool open;
    uint16_t stream;
    struct pv_relaystream_to to;
};

struct pv_relayway_config {
    struct pv_turnc_config turn; /* server: the address for UDP; names the server in any case */
    /* Other addresses of the server, for when addr does not answer. */
    struct pv_addr others[PV_RELAYADDRS_MAX - 1];
    size_t n_others;
    bool udp;                    /* datagrams may be used */
    bool keep;                   /* also keep a NAT's mapping open: nobody else does */
    struct pv_relaystream_to to; /* a stream may be used */
    bool held; /* the server before this one goes on relaying: see pv_relayway_can_hold() */
};

enum pv_relayway_event_type {
    PV_RELAYWAY_EV_TURN,  /* turn: what the TURN client says */
    PV_RELAYWAY_EV_WAY,   /* data goes another way from now on */
    PV_RELAYWAY_EV_ERROR, /* it is not reached, for a reason not told before: _error() */
};
struct pv_relayway_event {
    enum pv_relayway_event_type type;
    struct pv_turnc_event turn;
};

struct pv_relayway; /* opaque */

/* via: its number, below PV_FP_MAX_RELAYS; numbers of its streams carry it. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_relayway_new(struct pv_relayway **ret_relay, uint16_t via,
                                  const struct pv_rng *rng);
struct pv_relayway *pv_relayway_free(struct pv_relayway *r); /* wipes; NULL is fine; returns NULL */

/* Whose stream is it? */
static inline uint16_t pv_relayway_of_stream(uint16_t stream)
{
    return stream % PV_FP_MAX_RELAYS;
}

/* --- facts in ------------------------------------------------------------------------------ */

/* Allocates (again) with these credentials and addresses; a stream that is open stays in use.
 * Statuses as pv_turnc_start(). */
PV_MUST_CHECK int pv_relayway_start(struct pv_relayway *r, const struct pv_relayway_config *cfg,
                                    pv_ns now);
/* May cfg.held be set now? Channels keep their numbers at another server then, and the one before
 * goes on relaying for a while (relayway.c). */
bool pv_relayway_can_hold(const struct pv_relayway *r);
void pv_relayway_stop(struct pv_relayway *r, pv_ns now);
/* The server's name has these addresses now (n > 0). One that is used and not among them stays
 * until it is silent. */
void pv_relayway_set_addrs(struct pv_relayway *r, const struct pv_addr *list, size_t n, pv_ns now);
/* Tells whether UDP is blocked here. */
void pv_relayway_set_blocked(struct pv_relayway *r, bool blocked, pv_ns now);
/* Datagrams leave from that socket (id; 0 = the main one) from now on: the allocation is moved
 * there, and data follows behind the request that moves it, so that nothing of it comes to the
 * server by a way that it does not know. */
void pv_relayway_set_socket(struct pv_relayway *r, uint16_t sock, pv_ns now);
/* Our address has changed: what failed may work now. */
void pv_relayway_moved(struct pv_relayway *r, pv_ns now);
/* The network is another, or a path through it is suspect: is the relay still there? A waiting
 * attempt is made at once. */
void pv_relayway_kick(struct pv_relayway *r, pv_ns now);
/* The path to this peer through it is suspect, or lives again: as pv_turnc_suspect(), _healed(). */
void pv_relayway_suspect(struct pv_relayway *r, const struct pv_addr *peer, pv_ns now);
void pv_relayway_healed(struct pv_relayway *r, const struct pv_addr *peer, pv_ns now);
/* As pv_turnc_want_phone_port() and pv_turnc_phone_port(). */
void pv_relayway_want_phone_port(struct pv_relayway *r, bool wanted, pv_ns now);
const struct pv_turnc_phone_port *pv_relayway_phone_port(const struct pv_relayway *r);
/* As pv_turnc_bind() and pv_turnc_unbind(). */
PV_MUST_CHECK int pv_relayway_bind(struct pv_relayway *r, const struct pv_addr *peer, pv_ns now);
void pv_relayway_unbind(struct pv_relayway *r, const struct pv_addr *peer, pv_ns now);

/* A message that may be an answer of the server's: as pv_turnc_handle_input(). */
PV_MUST_CHECK int pv_relayway_handle_input(struct pv_relayway *r, const struct pv_carrier *from,
                                           struct pv_view message, pv_ns now);
/* The stream is connected, or it could not be or is no longer, and why. Others than the present one
 * are ignored. */
void pv_relayway_connected(struct pv_relayway *r, uint16_t stream, pv_ns now);
void pv_relayway_closed(struct pv_relayway *r, uint16_t stream, const char *why, pv_ns now);
/* The server cannot be tried, because its name is not found: why. */
void pv_relayway_failed(struct pv_relayway *r, const char *why);
void pv_relayway_handle_timeout(struct pv_relayway *r, pv_ns now);
pv_ns pv_relayway_next_timeout(const struct pv_relayway *r); /* PV_NEVER if idle */

/* --- decisions out ------------------------------------------------------------------------- */

/* A message for the server. */
struct pv_relayway_message {
    uint8_t *buf; /* the caller's */
    size_t cap;   /* its size in bytes */
    size_t len;
    uint16_t stream; /* 0: it goes as a datagram to the server's address */
    uint16_t sock;   /* stream 0: the socket that sends it */
};
/* The next one, or PV_ERR_AGAIN. cap >= PV_TURNC_MTU. */
PV_MUST_CHECK int pv_relayway_poll_transmit(struct pv_relayway *r, struct pv_relayway_message *m);
PV_MUST_CHECK int pv_relayway_poll_op(struct pv_relayway *r, struct pv_relaystream_op *ret_op);
/* Is told of what has happened, of the way that has the number via. It calls nothing here but
 * questions. */
typedef void pv_relayway_told(void *owner, uint16_t via, const struct pv_relayway_event *event);
/* Tells all there is; false: there was nothing. */
bool pv_relayway_speak(struct pv_relayway *r, pv_relayway_told *told, void *owner, pv_ns now);

/* Data to a peer as one message for the server, by the way data goes. At a stock server this also
 * asks for permission and channel, which are kept while they are used. PV_ERR_STATE: it goes none
 * now; else as pv_turnc_wrap(). */
PV_MUST_CHECK int pv_relayway_wrap(struct pv_relayway *r, const struct pv_addr *peer,
                                   struct pv_view data, struct pv_relayway_message *m);

/* --- questions ----------------------------------------------------------------------------- */

bool pv_relayway_is_on(const struct pv_relayway *r); /* started and not stopped */
/* No address of the server answers. Its name may lead to other addresses by now. */
bool pv_relayway_is_lost(const struct pv_relayway *r);
/* Data goes through it, as far as is known: with UDP blocked and no stream to be had it does not,
 * though the allocation by UDP lives on. */
bool pv_relayway_is_reached(const struct pv_relayway *r);
enum pv_relayway_way pv_relayway_way(const struct pv_relayway *r);
/* "udp", "tcp", "tls": the way data goes, or, while it goes none, what is being tried. */
const char *pv_relayway_transport(const struct pv_relayway *r);
/* Where its stream leads, or would. */
const struct pv_relaystream_to *pv_relayway_stream_to(const struct pv_relayway *r);
const struct pv_addr *
pv_relayway_server(const struct pv_relayway *r); /* PV_AF_NONE when it is off */
/* Our relayed address at the server; PV_AF_NONE = no allocation. */
const struct pv_addr *pv_relayway_relayed(const struct pv_relayway *r);
pv_ns pv_relayway_rtt(const struct pv_relayway *r); /* 0 = not known */
/* Why it is not reached, as last seen, for people; "" when it is, or nothing is known yet. Valid
 * until the next call that is not a question. */
const char *pv_relayway_error(const struct pv_relayway *r);
/* The number that the peer's channel has or will have; 0 = nobody asked for a channel. */
uint16_t pv_relayway_number(const struct pv_relayway *r, const struct pv_addr *peer);
/* How the fast path reaches this peer. False: it cannot now (no way, no channel yet). */
bool pv_relayway_carrier(const struct pv_relayway *r, const struct pv_addr *peer,
                         struct pv_carrier *ret_carrier);
/* How its messages reach the fast path. */
struct pv_fp_relay_way pv_relayway_fp_way(const struct pv_relayway *r);
