/* SPDX-License-Identifier: MIT */
/*
 * relayio.h - the thread of the streams to relays (DESIGN 7): connects by TCP or TLS, frames and
 * writes what the tx lane and control send, cuts messages out of what comes in and hands them to
 * the rx lane.
 *
 * Nothing blocks anybody else: senders put messages on bounded rings; what does not fit, or finds
 * too much unwritten for the line's speed (base/linewait.h; requests: PV_RELAYIO_UNSENT
 * bytes), is dropped and counted, as on any full line. Which streams there are is decided by the
 * engine (daemon/core/relay/relayway.h). Each function says whose it is; each ring has one writer
 * and one reader.
 */
#pragma once

#include "base/pv.h"
#include "daemon/core/packets/fastpath.h"
#include "daemon/core/relay/relayway.h"
#include "proto/local/connect.h"

enum {
    PV_RELAYIO_STREAMS = 16,        /* open at once; the engine has one or two a relay */
    PV_RELAYIO_UNSENT = 128 * 1024, /* bytes, DESIGN 7 */
    PV_RELAYIO_MESSAGE_MAX = 16384, /* ours: bytes of one message that is sent */
    PV_RELAYIO_WHY_MAX = 256,       /* bytes of a sentence, NUL included */
};

struct pv_relayio; /* opaque */

/* Starts the thread. tx_lanes: 1..PV_FP_MAX_WORKERS lanes send. ca_file: PEM certificates of the
 * authorities that are trusted, where a name is what a server is known by; NULL: the system's.
 * If the file cannot be used, each stream that needs it is closed with the reason. login: for HTTP
 * proxies, copied; NULL: none. PV_ERR_NOMEM, -errno. */
PV_MUST_CHECK int pv_relayio_new(struct pv_relayio **ret_io, unsigned tx_lanes, const char *ca_file,
                                 const struct pv_connect_login *login);
/* Writes what is there as far as the kernel takes it, closes all streams, ends the thread. NULL is
 * fine; returns NULL. */
struct pv_relayio *pv_relayio_free(struct pv_relayio *io);

/* --- control thread ------------------------------------------------------------------------ */

/* Opens (an event answers) or closes (none does) a stream. PV_ERR_NO_SPACE: it is not opened, for
 * too much waits. A close always finds room, and no event is ever lost, while at most
 * PV_RELAYIO_STREAMS streams were opened that are neither closed nor said to have ended. */
PV_MUST_CHECK int pv_relayio_do(struct pv_relayio *io, const struct pv_relaystream_op *op);

struct pv_relayio_event {
    uint16_t stream;
    bool connected;               /* else it could not be opened, or is no longer */
    char why[PV_RELAYIO_WHY_MAX]; /* not connected */
};
/* Readable while events wait. */
int pv_relayio_event_fd(const struct pv_relayio *io);
PV_MUST_CHECK int pv_relayio_poll_event(struct pv_relayio *io, struct pv_relayio_event *ret_event);

/* --- senders: each its own ring ------------------------------------------------------------- */

enum pv_relayio_sender {
    PV_RELAYIO_CONTROL,
    PV_RELAYIO_TX, /* the first lane that sends, the others behind it */
    PV_RELAYIO_SENDERS = PV_RELAYIO_TX + PV_FP_MAX_WORKERS,
};
/* One message for a stream, copied; padding is added. PV_ERR_NO_SPACE: dropped; PV_ERR_LIMIT: it is
 * too long. */
PV_MUST_CHECK int pv_relayio_send(struct pv_relayio *io, enum pv_relayio_sender sender,
                                  uint16_t stream, struct pv_view message);
/* After the last of a batch: wakes the thread if need be. */
void pv_relayio_flush(struct pv_relayio *io, enum pv_relayio_sender sender);

/* --- the lane that receives ----------------------------------------------------------------- */

/* Readable when messages have come; clear it (pv_event_clear) before taking them. */
int pv_relayio_rx_fd(const struct pv_relayio *io);
/* The oldest message, valid until pv_relayio_pop(). PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_relayio_peek(struct pv_relayio *io, uint16_t *ret_stream,
                                  struct pv_view *ret_message);
void pv_relayio_pop(struct pv_relayio *io);

/* --- any thread ------------------------------------------------------------------------------ */

struct pv_relayio_counts {
    uint64_t sent, received; /* messages */
    uint64_t dropped;        /* to be sent: no such stream, or too much unwritten */
    uint64_t overrun;        /* received: the lane was too slow */
};
struct pv_relayio_counts pv_relayio_counts(const struct pv_relayio *io);
