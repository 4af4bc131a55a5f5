/* SPDX-License-Identifier: MIT */
/*
 * relaystream.h - the TCP or TLS connection of a way to a relay: its number, how long it may take
 * to connect, when the next one may be opened, and what the shell is to open and close.
 *
 *   CLOSED      --open-->                               CONNECTING
 *   CONNECTING  --connected-->                          OPEN
 *   any         --close, lost-->                        CLOSED; the next one after a pause, which
 *                                                       doubles from 0.2 to 30 s, with jitter
 *   OPEN        --leave, and nobody stays meanwhile-->  due to be closed a little later
 *
 * One stream at a time; of one that its owner gives away (relayhold.h) only the close is left. It
 * says nothing about what goes through it. In the owner's memory. Not thread-safe.
 */
#ifndef PV_RELAYSTREAM_H
#define PV_RELAYSTREAM_H

#include "base/addr.h"
#include "base/pv.h"

#define PV_RELAYSTREAM_RETRY_FIRST PV_MS(200) /* ours */
#define PV_RELAYSTREAM_RETRY_MAX   PV_S(30)   /* DESIGN 4 */
#define PV_RELAYSTREAM_CONNECT     PV_S(10)   /* ours: for connecting, TLS included */
#define PV_RELAYSTREAM_HASTE       PV_S(3)    /* ours: the same, while another address waits */
#define PV_RELAYSTREAM_LINGER      PV_S(3)    /* ours: one no longer used stays open so long */

enum {
    PV_RELAYSTREAM_PIN_LEN = 32,   /* bytes of SHA-256 */
    PV_RELAYSTREAM_HOST_MAX = 256, /* bytes, NUL included */
    PV_RELAYSTREAM_OPS_MAX = 8,    /* closing two streams must find room */
};

/* Where a connection goes. */
struct pv_relaystream_to {
    struct pv_addr addr; /* PV_AF_NONE: there is none */
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

enum pv_relaystream_state {
    PV_RELAYSTREAM_CLOSED,
    PV_RELAYSTREAM_CONNECTING,
    PV_RELAYSTREAM_OPEN,
};

struct pv_relaystream {
    struct pv_rng rng;
    uint16_t via;
    enum pv_relaystream_state state;
    uint16_t number; /* 0 when CLOSED */
    struct pv_relaystream_to to;
    uint16_t n_numbers; /* ever, for the next number */
    pv_ns connect_by;   /* CONNECTING */
    bool hasty;         /* soon, for another address waits */
    pv_ns retry_at, retry;
    pv_ns linger_until; /* it was left; PV_NEVER: it is in use or wanted */
    struct pv_relaystream_op ops[PV_RELAYSTREAM_OPS_MAX];
    size_t n_ops;
};

/* via: the relay's number, below PV_FP_MAX_RELAYS; numbers of its streams carry it. */
void pv_relaystream_init(struct pv_relaystream *s, uint16_t via, const struct pv_rng *rng);

/* Opens the next one, where it is CLOSED, the pause is over and the shell has taken what it was to
 * do before; else nothing happens. hasty: another address waits for its turn. */
void pv_relaystream_open(struct pv_relaystream *s, const struct pv_relaystream_to *to, bool hasty,
                         pv_ns now);
/* The shell has connected the stream with this number. False: it is not the one that connects. */
PV_MUST_CHECK bool pv_relaystream_connected(struct pv_relaystream *s, uint16_t number);
/* The stream is gone, or is its owner's to close. */
void pv_relaystream_lost(struct pv_relaystream *s, pv_ns now);
/* The shell does not answer a close, so the stream is gone at once. */
void pv_relaystream_close(struct pv_relaystream *s, pv_ns now);
/* Closes one that was given away. */
void pv_relaystream_close_number(struct pv_relaystream *s, uint16_t number);

/* It is not used any more: closed in PV_RELAYSTREAM_LINGER, for messages of the relay may still be
 * on their way in it. */
void pv_relaystream_leave(struct pv_relaystream *s, pv_ns now);
/* It is wanted (again). */
void pv_relaystream_stay(struct pv_relaystream *s);

/* The next one may be opened at once, */
void pv_relaystream_hurry(struct pv_relaystream *s, pv_ns now);
/* and, as the server is there or is another one, the pauses begin anew. */
void pv_relaystream_again(struct pv_relaystream *s, pv_ns now);
/* The way works: the next pause is a short one. */
void pv_relaystream_works(struct pv_relaystream *s);

/* When it must be connected or is to be closed; PV_NEVER: neither. */
pv_ns pv_relaystream_ends_at(const struct pv_relaystream *s);
/* PV_ERR_AGAIN: there is nothing to do. */
PV_MUST_CHECK int pv_relaystream_poll_op(struct pv_relaystream *s,
                                         struct pv_relaystream_op *ret_op);

#endif /* PV_RELAYSTREAM_H */
