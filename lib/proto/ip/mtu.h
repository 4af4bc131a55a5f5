/* SPDX-License-Identifier: MIT */
/*
 * mtu.h - how large a datagram one path carries, found by probing (RFC 8899, datagram packetization
 * layer path MTU discovery).
 *
 * A machine in caller's memory. It says which sizes to probe, is told which probes were answered,
 * and gives the largest size that arrives. It neither needs nor believes ICMP
 * errors: one of them only makes it probe sooner. It takes a path to carry what its owner says
 * until probes show that the path carries more or less: a small probe beside each large one tells a
 * narrow path from a silent one. The owner makes the probes (inband.h, types 7 and 8) and runs it
 * only for paths in use. Not thread-safe.
 *
 * State:
 *   OFF    --start-->                           ASK
 *   ASK    --the wanted size is answered-->     KNOWN
 *   ASK    --only the small one is-->           SEARCH
 *   SEARCH --some size is answered-->           KNOWN
 *   KNOWN  --2 s of use, longer if thin-->      CHECK (is the size still carried?)
 *   KNOWN  --large data without an answer, or that breaks off--> CHECK, in haste: less is believed
 *                                                      after one try
 *   KNOWN  --10 min, narrower than wanted-->    ASK (15 s, 1 min, 4 min first where it narrowed)
 *   CHECK  --answered--> KNOWN   --only the small one is--> SEARCH
 *   any of the three, nothing answered: WAIT, 2 s doubling to 60 s, then ASK; what was known stays
 *   OFF    --told a size, of a path whose end answers no probes--> TOLD --10 min--> OFF
 */
#pragma once

#include "base/pv.h"

enum {
    /* Ours: sizes that a search tries: the wanted one, 22 of links, the small one. */
    PV_MTU_SIZES = 24,
    PV_MTU_TRIES = 3,      /* MAX_PROBES, RFC 8899 s5.1.2 */
    PV_MTU_SMALLEST = 576, /* bytes of IP packet every path carries, RFC 791 s3.1 */
    PV_MTU_MUCH = 16384,   /* ours: bytes of data that are worth a check of 2,056 */
    PV_MTU_FLOW = 131072,  /* ours: the same, of a check in haste of up to 6,000 */
    PV_MTU_BURST = 4096,   /* ours: bytes at once, more than TCP repeats without an answer */
};
#define PV_MTU_CHECK_EVERY PV_S(2) /* ours: with 3 tries a narrowed path is found within 5 s */
#define PV_MTU_STALL \
    PV_MS(200) /* ours: TCP's first repetition comes no sooner, RFC 6298 in Linux */
#define PV_MTU_CHECK_MAX   PV_S(64)  /* ours: thin use of a size that has held; doubling up to it */
#define PV_MTU_RAISE_EVERY PV_S(600) /* PMTU_RAISE_TIMER, RFC 8899 s5.1.1 */
#define PV_MTU_WAIT_MAX    PV_S(60)  /* ours: between rounds on a path that answers nothing */

enum pv_mtu_state {
    PV_MTU_OFF,
    PV_MTU_ASK,
    PV_MTU_SEARCH,
    PV_MTU_CHECK,
    PV_MTU_KNOWN,
    PV_MTU_WAIT,
    PV_MTU_TOLD,
};

/* Fields belong to mtu.c; a zeroed struct is OFF. */
struct pv_mtu {
    struct pv_rng rng;
    enum pv_mtu_state state;
    uint16_t wanted;  /* bytes of UDP payload */
    uint16_t current; /* the same; 0 = all that is wanted, as far as is known */
    bool changed;
    bool doubted;     /* the size in use may be too large: a smaller result is believed */
    bool hasty;       /* this check is of a stall */
    pv_ns stalled_at; /* the last data received before the last stall that was looked into */
    uint16_t header;  /* bytes of the headers before it */
    pv_ns rtt;        /* of the last answer; 0 = unknown */
    pv_ns used_at;    /* when data was last sent over the path */
    pv_ns large_at;   /* when data was that may not have been small */
    pv_ns refused_at; /* when a packet was too large to be sent */
    pv_ns burst_at;   /* when PV_MTU_BURST of it was sent at once */
    size_t sent_data; /* bytes since the size was last found to hold, up to PV_MTU_MUCH */
    size_t flow_data; /* bytes since the last check in haste, up to PV_MTU_FLOW */
    pv_ns known_at;   /* when it was */
    pv_ns every;      /* the wait until the next check in thin use, doubling while it holds */
    pv_ns deadline;   /* of this try, of the next check, or of the wait */
    pv_ns raise_at;   /* when a narrow path is asked again for more */
    pv_ns raise_wait; /* the wait before the time after that */
    pv_ns wait;       /* the wait after a round without any answer, doubling */
    unsigned tries;   /* tries of this round so far */
    uint16_t sizes[PV_MTU_SIZES]; /* of this round, largest first; the last is the small one */
    bool answered[PV_MTU_SIZES];
    size_t n, sent; /* sizes in this round; of this try handed out so far */
    uint32_t base;  /* tokens: base + try * PV_MTU_SIZES + size */
    pv_ns sent_at;
};

/* A new path. header: bytes of IP and UDP header (28 or 48), and of a channel's. wanted: the
 * largest datagram there will be, bytes of UDP payload. taken: the size that is used until the
 * first round ends; 0 = all that is wanted. */
void pv_mtu_start(struct pv_mtu *m, const struct pv_rng *rng, size_t header, uint16_t wanted,
                  uint16_t taken, pv_ns now);
void pv_mtu_stop(struct pv_mtu *m);
/* Of a path that is not probed somebody says that it carries datagrams of `size` bytes: believed
 * when that is less than known, for 10 min (RFC 8201 s4). wanted: as pv_mtu_start(). */
void pv_mtu_tell(struct pv_mtu *m, uint16_t size, uint16_t wanted, pv_ns now);
/* Somebody says that something was too big: looked into at once, not in up to 2 s. */
void pv_mtu_doubt(struct pv_mtu *m, pv_ns now);
/* The far end sent a probe with so many bytes inside. When it looks for less than is used here, the
 * size is looked into as by pv_mtu_doubt(), at most every PV_MTU_STALL. */
void pv_mtu_note_probed(struct pv_mtu *m, size_t bytes, pv_ns now);
/* Data was last received then (0 = never). Where large data was sent since and nothing came for
 * PV_MTU_STALL, or two round trips, it is looked into at once, each time once: small packets may
 * still pass where large ones do not. So it is when a flow of large data breaks off for as long
 * while answers to small packets come, after each PV_MTU_FLOW: TCP whose packets are lost does. */
void pv_mtu_note_received(struct pv_mtu *m, pv_ns received_at, pv_ns now);
/* Much data is sent over the path, last at used_at. */
void pv_mtu_note_use(struct pv_mtu *m, pv_ns used_at);
/* A packet was too large and not sent: whoever wants the path to carry more is there. */
void pv_mtu_note_refused(struct pv_mtu *m, pv_ns refused_at);
/* So many bytes were sent over the path since the last call, the last of them at used_at. While
 * they can only be small packets nothing is checked, and while they are few ever more rarely. */
void pv_mtu_note_sent(struct pv_mtu *m, size_t bytes, pv_ns used_at);
/* A probe was answered. Tokens of earlier rounds and paths are ignored. */
void pv_mtu_handle_answer(struct pv_mtu *m, uint32_t token, pv_ns now);
void pv_mtu_handle_timeout(struct pv_mtu *m, pv_ns now);
pv_ns pv_mtu_next_timeout(const struct pv_mtu *m); /* PV_NEVER: none */

/* The next probe to send: bytes of UDP payload and its token. PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_mtu_poll_probe(struct pv_mtu *m, uint16_t *ret_size, uint32_t *ret_token);
/* True once after the size changed: *ret_size is the largest UDP payload, 0 = all that is wanted.
 */
bool pv_mtu_take_change(struct pv_mtu *m, uint16_t *ret_size);
