/* SPDX-License-Identifier: MIT */
/*
 * inband.h - control messages between members inside the session (DESIGN 7): framing in parts,
 * reassembly with limits, the echo of `ping`, and the probes of path MTU.
 *
 *   byte 0     1     2..3         4..7  8     9      10..
 *        0xC1  type  body length  id    part  parts  body
 *
 * Body length counts this part's body; bytes behind it are the session's padding: zeros, fewer
 * than 16. The bodies of types 3, 7 and 8 are read and built here, the others by the parts that
 * they are for. Not thread-safe.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_INBAND_FIRST = 0xC1,         /* first byte: no IP version, DESIGN 7 */
    PV_INBAND_HEADER = 10,          /* bytes: the table above, DESIGN 7 */
    PV_INBAND_PART_MAX = 1200,      /* bytes of body in one part, DESIGN 7 */
    PV_INBAND_WHOLE_MAX = 16 << 10, /* bytes of body in all, DESIGN 7 */
    PV_INBAND_MAX_PARTS = 32,       /* ours: twice what full parts need */
    PV_INBAND_UNFINISHED = 4,       /* messages of one peer that are not whole, DESIGN 7 */
    PV_INBAND_PACKET_MAX = PV_INBAND_HEADER + PV_INBAND_PART_MAX,
    /* Ours: bytes of a probe, header included; no link is expected to carry more. */
    PV_INBAND_PROBE_MAX = 9000,
    PV_INBAND_PADDING = 16, /* bytes: less than this many zeros may follow the body */
};
#define PV_INBAND_TIME PV_S(2) /* from first part to last, DESIGN 7 */

/*
 * Every type in one row: name, number on the wire, bytes of body that one part may have, may it
 * come in several parts. Enumerators and parser are made from these rows; a type without a row
 * does not exist, and one with a row is accepted.
 *
 *   DESCRIPTION  how the sender can be reached (descx)
 *   STATEMENTS   what one roster has and the other lacks (rostersync)
 *   ECHO         question and answer of `ping`, below
 *   GOODBYE      the sender is about to stop
 *   SIGNAL       forwarded for another member (signal.h)
 *   PACKET       an inner packet in parts (parts.h)
 *   PROBE        as large as the datagram that is tried (mtu.h)
 *   PROBED       a probe arrived
 *   FILE         a notice about a file (file.h)
 *   LINK         the secret by which daemons know each other on connections (proof.h)
 *   OWNER        whose a connection is on the other machine (owner.h)
 *   GROUPS       which groups the sender's programs want (group/grouptell.h)
 *   RULES        which rules are in force at the sender (member/closed.h)
 *   GATEWAY      where strangers reach a phone's gateway (gatewayat.h)
 *   SEEN         when a phone agreed keys last (phoneseen.h)
 *   PORTTEST     a wish for a handshake to the sender's phone port (porttest.h)
 */
#define PV_INBAND_TYPES(X)                                     \
    X(DESCRIPTION, 1, PV_INBAND_PART_MAX, true)                \
    X(STATEMENTS, 2, PV_INBAND_PART_MAX, true)                 \
    X(ECHO, 3, PV_INBAND_PART_MAX, true)                       \
    X(GOODBYE, 4, PV_INBAND_PART_MAX, true)                    \
    X(SIGNAL, 5, PV_INBAND_PART_MAX, true)                     \
    X(PACKET, 6, PV_INBAND_PART_MAX, true)                     \
    X(PROBE, 7, PV_INBAND_PROBE_MAX - PV_INBAND_HEADER, false) \
    X(PROBED, 8, PV_INBAND_PART_MAX, true)                     \
    X(FILE, 9, PV_INBAND_PART_MAX, true)                       \
    X(LINK, 10, PV_INBAND_PART_MAX, true)                      \
    X(GROUPS, 12, PV_INBAND_PART_MAX, true)                    \
    X(RULES, 13, PV_INBAND_PART_MAX, true)                     \
    X(GATEWAY, 14, PV_INBAND_PART_MAX, true)                   \
    X(SEEN, 15, PV_INBAND_PART_MAX, true)                      \
    X(PORTTEST, 16, PV_INBAND_PART_MAX, true)

#define PV_INBAND_ENUMERATOR(name, number, part_max, in_parts) PV_INBAND_##name = (number),
enum pv_inband_type {
    PV_INBAND_TYPES(PV_INBAND_ENUMERATOR)
};

/* --- building ------------------------------------------------------------------------------ */

/* How many parts a body of len bytes takes: at least 1. PV_ERR_LIMIT above PV_INBAND_WHOLE_MAX. */
PV_MUST_CHECK int pv_inband_parts(size_t len, uint8_t *ret_parts);
/* Part number part (from 0) of a message as one inner packet. id: new for each message to that
 * peer. PV_ERR_LIMIT (body too long, no such part). */
PV_MUST_CHECK int pv_inband_build(enum pv_inband_type type, uint32_t id, uint8_t part,
                                  struct pv_view body, uint8_t buf[static PV_INBAND_PACKET_MAX],
                                  size_t *ret_len);

/* --- parsing ------------------------------------------------------------------------------- */

struct pv_inband_part {
    uint8_t type;
    uint8_t part;  /* < parts */
    uint8_t parts; /* 1..PV_INBAND_MAX_PARTS */
    uint32_t id;
    struct pv_view body;
};
/* PV_ERR_TRUNCATED, PV_ERR_MALFORMED (first byte, part numbers, padding), PV_ERR_LIMIT (body or
 * number of parts), PV_ERR_UNSUPPORTED (a type not known: ignore it). */
PV_MUST_CHECK int pv_inband_parse(struct pv_view packet, struct pv_inband_part *ret_part);

struct pv_inband_message {
    enum pv_inband_type type;
    struct pv_view body; /* valid until the next call with this receiver, or while the packet is */
};

/* The parts that have arrived of one message. */
struct pv_inband_unfinished {
    uint8_t *parts[PV_INBAND_MAX_PARTS]; /* owned; NULL = missing */
    uint16_t lens[PV_INBAND_MAX_PARTS];
    size_t total;   /* bytes of body so far */
    pv_ns deadline; /* 0 = the entry is free */
    uint32_t id;
    uint8_t type;
    uint8_t n_parts;
    uint8_t n_have;
};

/* One peer's receiver. Zeroed = nothing received. */
struct pv_inband_receiver {
    /* Owned: PV_INBAND_UNFINISHED of them; NULL = no message in parts came yet. */
    struct pv_inband_unfinished *unfinished;
    uint8_t *whole; /* owned; the last message that was joined from parts */
};

/*
 * One in-band packet of this peer. PV_OK: a message is complete. PV_ERR_AGAIN: wait for more parts
 * (also for a part that came before). Else dropped: as pv_inband_parse(); PV_ERR_MALFORMED also
 * when it contradicts earlier parts; PV_ERR_LIMIT also when the whole gets too long (all of it is
 * dropped then); PV_ERR_NOMEM. A fifth unfinished message drops the oldest.
 */
PV_MUST_CHECK int pv_inband_receive(struct pv_inband_receiver *rx, struct pv_view packet, pv_ns now,
                                    struct pv_inband_message *ret_message);
/* Drops what has waited longer than PV_INBAND_TIME, and the last whole message. */
void pv_inband_expire(struct pv_inband_receiver *rx, pv_ns now);
void pv_inband_receiver_done(struct pv_inband_receiver *rx);

/* --- type 3: echo -------------------------------------------------------------------------- */

enum {
    PV_INBAND_ECHO_HEADER = 10, /* bytes before the filler: reply, token, path */
    PV_INBAND_ECHO_MAX = PV_INBAND_PART_MAX - PV_INBAND_ECHO_HEADER, /* bytes of filler: one part */
};

/* The kind of path that the sender uses towards the receiver; 0 is not said. */
enum pv_inband_path {
    PV_INBAND_PATH_DIRECT = 1,
    PV_INBAND_PATH_RELAY = 2,
};

struct pv_inband_echo {
    bool reply;
    uint8_t path;   /* enum pv_inband_path, 0, or a later one */
    uint64_t token; /* chosen by the side that asks, repeated in the reply */
    struct pv_view filler;
};
/* The body. PV_ERR_LIMIT (filler), PV_ERR_NO_SPACE. */
PV_MUST_CHECK int pv_inband_echo_build(const struct pv_inband_echo *echo, uint8_t *buf, size_t cap,
                                       size_t *ret_len);
/* PV_ERR_TRUNCATED, PV_ERR_MALFORMED (reply neither 0 nor 1). */
PV_MUST_CHECK int pv_inband_echo_parse(struct pv_view body, struct pv_inband_echo *ret_echo);

/* --- types 7 and 8: how much the path carries ---------------------------------------------- */

enum {
    PV_INBAND_PROBE_MIN = PV_INBAND_HEADER + 4, /* bytes */
};

/* A probe of len bytes, header included: body {u32 token, zeros}. PV_ERR_LIMIT: shorter than
 * PV_INBAND_PROBE_MIN or longer than PV_INBAND_PROBE_MAX. */
PV_MUST_CHECK int pv_inband_probe_build(uint32_t token, size_t len,
                                        uint8_t buf[static PV_INBAND_PROBE_MAX]);
static inline bool pv_inband_is_probe(struct pv_view packet)
{
    return packet.len >= PV_INBAND_PROBE_MIN && packet.ptr[0] == PV_INBAND_FIRST &&
           packet.ptr[1] == PV_INBAND_PROBE;
}

/* The token of a probe's or an answer's body. PV_ERR_TRUNCATED. */
PV_MUST_CHECK int pv_inband_probe_parse(struct pv_view body, uint32_t *ret_token);
