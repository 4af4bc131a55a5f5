/* SPDX-License-Identifier: MIT */
/*
 * session.h - the WireGuard session with one peer: handshakes, key slots and timers (whitepaper
 * s5, s6), as a pure machine.
 *
 * It makes and reads handshake messages and says which keys to receive and to send with; it never
 * sees a packet (that is the fast path) and knows no addresses: the owner decides where a message
 * goes (the selected path, an address it tries, a signal) and, for static peers, follows
 * WireGuard's roaming rule whenever a _handle_ function returns PV_OK. Responders' work before the
 * peer is known (mac1, cookie, pv_wgmsg_identify()) is the owner's too.
 *
 * The owner feeds facts, then drains pv_session_poll_transmit() and pv_session_poll_event() until
 * PV_ERR_AGAIN, then sleeps until pv_session_next_timeout(). While more than 22 events wait nothing
 * is accepted or made. One thread at a time. Heap memory of its own, left out of core dumps.
 *
 * The suite (DESIGN 7) is the initiator's choice, among those that the responder takes; there is no
 * fallback. A side that is told to use another suite while keys are in use makes new keys (of two
 * members: the one with the lower identity).
 *
 * Two members may agree on preshared keys while the session lives (pv_session_add_psk()). Message 1
 * names the newest one that both are known to have, in the timestamp; the answer is made with it,
 * or without any where the responder has lost it, and the initiator tries those it has. Where keys
 * in use are of another than the newest, new ones are made: by the member with the higher identity
 * at once, by the other one when that did not happen.
 *
 * Key slots (as in Linux): CURRENT is sent with; PREVIOUS is still received with; NEXT was made as
 * responder and becomes CURRENT with the first packet under it. No keys outlive 180 s.
 *
 * State of the handshake as initiator:
 *   IDLE    --pv_session_want(), rekey or nothing heard-->            WANTED
 *   IDLE    --the same, and NEXT may be proven any moment-->          WAITING (ours: 1 s)
 *   WANTED  --reachable, 5 s since the last message 1-->              SENT    (message 1 out)
 *   SENT    --message 2-->                                            IDLE    (KEYS, USE, DONE)
 *   SENT    --5 s + jitter-->                                         WANTED
 *   SENT    --message 1 of the peer accepted-->                       WAITING (ours gives way)
 *   WANTED  --message 1 of the peer accepted-->                       WAITING (5 s + jitter)
 *   WAITING --first packet under the keys that made-->                IDLE    (USE, DONE)
 *   WAITING --that time over, and a path; or NEXT expired-->          WANTED
 *   any     --90 s after the first message, or the last wish-->       IDLE    (GIVE_UP)
 *
 * Keys that the peer has proven end an attempt of ours (SENT -> IDLE, too). The answer to its last
 * message 1 is still taken until the next one would have been due: a peer that has answered waits
 * for those keys.
 */
#pragma once

#include "proto/wireguard/wgmsg.h"

/* Timers and limits of the whitepaper, s6.1 to s6.5, unless said. */
#define PV_SESSION_REKEY_AFTER   PV_S(120) /* the initiator makes new keys */
#define PV_SESSION_REJECT_AFTER  PV_S(180) /* keys this old are void */
#define PV_SESSION_REKEY_TIMEOUT PV_S(5)   /* between two messages 1 */
/* Ours: keys older than this are not sent with. The responder made them first, up to a handshake's
 * time before the initiator, and what is under way then must still find them. */
#define PV_SESSION_SEND_FOR      (PV_SESSION_REJECT_AFTER - PV_SESSION_REKEY_TIMEOUT)
#define PV_SESSION_JITTER        PV_MS(333) /* upper bound, added to each retry */
#define PV_SESSION_GIVE_UP_AFTER PV_S(90)   /* an attempt to get keys ends */
#define PV_SESSION_KEEPALIVE     PV_S(10)   /* data received and nothing sent: an empty packet */
/* For so long our own message 1 stands against the peer's (DESIGN 7). */
#define PV_SESSION_CROSSING PV_S(5)
/* Packets under one pair of keys; AES-GCM has a limit of its own (DESIGN 7). */
#define PV_SESSION_REKEY_MESSAGES     ((uint64_t)1 << 60)
#define PV_SESSION_REKEY_MESSAGES_AES ((uint64_t)1 << 26)
/* Ours: message 1 may come by signal this often from one peer; the peer sends them 5 s apart, the
 * second between is for the jitter of the way. */
#define PV_SESSION_SIGNAL_GAP PV_S(4)
/* Ours: where config.repeat says so, the same message 1 is handed out again over the path after
 * that long and 2, 4 and 8 times that long, and new keys are proven by up to three more empty
 * packets until the peer uses them: one lost datagram must not cost 5 or 15 s. To a static peer
 * only the first message 1 of an attempt is: one that runs other software answers it if the first
 * was lost, and drops it as a replay if not; one that is away is not asked more often for long. */
#define PV_SESSION_REPEAT PV_MS(500)
/* Messages 1 of one peer are accepted 50 times a second at most, as in Linux. */
#define PV_SESSION_FLOOD_GAP PV_MS(20)
/* Ours: so soon after a message 1 another one may go for a new preshared key, once. */
#define PV_SESSION_PSK_GAP (2 * PV_SESSION_FLOOD_GAP)
/* Ours: for so long the member with the lower identity leaves it to the other one to use a new
 * preshared key. */
#define PV_SESSION_PSK_PATIENCE PV_S(2)

enum {
    PV_SESSION_PSKS = 3, /* ours: agreed preshared keys kept; the oldest gives way */
};

/* How a message can travel now, or has come. */
enum pv_session_reach {
    PV_SESSION_NOWHERE,   /* nothing can be sent; a wanted handshake waits */
    PV_SESSION_BY_SIGNAL, /* inside a signal: at most one message 1 in 5 s, mac2 zero */
    PV_SESSION_BY_BOTH,   /* messages 1 as BY_SIGNAL, for the path may be dead; all else over it */
    PV_SESSION_BY_UDP,    /* over the path, or to addresses that the owner tries */
};

struct pv_session_config {
    const struct pv_wg_device *device; /* borrowed until pv_session_forget_device() names it */
    uint8_t remote_pk[PV_DH_LEN];      /* the peer's static (transport) key */
    uint8_t psk[PV_NOISE_PSK_LEN];     /* zero between members */
    bool member;                       /* DESIGN 7's crossing rule; false: a static [peer] */
    bool lower_identity;               /* member: our identity key is lower than the peer's */
    bool repeat;                       /* messages 1 and 2 soon, see PV_SESSION_REPEAT */
    uint16_t persistent_keepalive;     /* seconds, 0 = off; static peers only */
    enum pv_suite suite;               /* the cipher of the messages 1 that we send */
    bool takes[PV_SUITES];             /* the ciphers of the messages 1 that we answer */
    struct pv_rng rng;
};

struct pv_session; /* opaque */

/* PV_ERR_AUTH: remote_pk is of small order. PV_ERR_NOMEM. */
PV_MUST_CHECK int pv_session_new(struct pv_session **ret_session,
                                 const struct pv_session_config *cfg);
struct pv_session *pv_session_free(struct pv_session *s); /* wipes; NULL is fine; returns NULL */

/* --- facts in ------------------------------------------------------------------------------- */

/* How the peer can be reached. BY_UDP and BY_BOTH count as having a path: without one the timers
 * "sent but nothing received" and passive keepalive stand still. When the way changes while a
 * message 1 is unanswered, the same message is handed out once more for the new one. */
void pv_session_set_reach(struct pv_session *s, enum pv_session_reach reach, pv_ns now);

/* The suite for our messages 1 from now on. */
void pv_session_set_suite(struct pv_session *s, enum pv_suite suite, pv_ns now);

/* A preshared key that was agreed on, id 1 to 2^24 - 1. proven: the peer is known to have it;
 * else it is named in no message 1, and only in a signal answered with. Members only. */
void pv_session_add_psk(struct pv_session *s, uint32_t id,
                        const uint8_t psk[static PV_NOISE_PSK_LEN], bool proven, pv_ns now);
/* Forgets the preshared keys that are not proven. Messages that would have brought them to the peer
 * are not sent again. */
void pv_session_drop_unproven(struct pv_session *s);
/* Marks the preshared key as known to the peer. Harmless for any id. */
void pv_session_prove_psk(struct pv_session *s, uint32_t id, pv_ns now);
/* Makes further messages 1 with this key of ours, which is borrowed. Keys in use, and a message 1
 * on its way, stay as they are. */
void pv_session_set_device(struct pv_session *s, const struct pv_wg_device *device);
/* That key of ours is about to be wiped: what was begun with it ends, and is begun anew. The owner
 * sets another one before. */
void pv_session_forget_device(struct pv_session *s, const struct pv_wg_device *device);
/* The peer has another transport key: our messages 1 are for that from now on. Keys in use, and a
 * message 1 on its way, stay as they are. PV_ERR_AUTH: a key of small order; nothing changes. */
PV_MUST_CHECK int pv_session_set_remote(struct pv_session *s,
                                        const uint8_t remote_pk[static PV_DH_LEN]);

/* A handshake is needed (NEED_KEYS, a packet waits, the peer restarted). Joins an attempt that is
 * under way and lengthens it to 90 s from now. */
void pv_session_want(struct pv_session *s, pv_ns now);
/* The keys are no longer wanted: an attempt under way ends without a word. */
void pv_session_cancel(struct pv_session *s);

/* The peer has a new generation: it restarted or changed networks. Lifts once the limits on
 * messages by signal and the 5 s between messages 1. Starts nothing. */
void pv_session_peer_new_gen(struct pv_session *s);

/* The fast path's sightings, sampled as often as the owner likes (100 ms is fine). Times are 0 =
 * never, and never fall. */
struct pv_session_traffic {
    pv_ns data_sent;     /* last inner packet sent */
    pv_ns any_sent;      /* that or a keepalive */
    pv_ns data_received; /* last authenticated packet with content */
    pv_ns any_received;  /* last authenticated packet */
    uint64_t sent;       /* packets sent to the peer so far, under any keys */
};
void pv_session_note_traffic(struct pv_session *s, const struct pv_session_traffic *seen,
                             pv_ns now);

/* The first authenticated packet under the keys of local_index came. Harmless for any index. */
void pv_session_confirm(struct pv_session *s, uint32_t local_index, pv_ns now);

/* Handles a message 1 from this peer. in was filled by pv_wgmsg_identify(), and its static_pk
 * belongs to this peer: the configured key, or an older one that the owner still accepts. in is
 * used up and wiped. On PV_OK the next poll_transmit hands out the answer. PV_ERR_UNSUPPORTED: a
 * suite that this session does not take. PV_ERR_AUTH. PV_ERR_REPLAY: timestamp not above the
 * greatest accepted (a member that repeats the last one before its keys are proven gets the same
 * answer again, sent to where the first came from). PV_ERR_LIMIT: too many. PV_ERR_REFUSED:
 * authentic, but our own message 1 stands (DESIGN 7); with a path that message is handed out once
 * more, for the address that this message 1 came from. */
PV_MUST_CHECK int pv_session_handle_initiation(struct pv_session *s, struct pv_wg_initiation *in,
                                               enum pv_session_reach via, pv_ns now);
/* A message 2 whose receiver index is ours (mac1 already checked). PV_ERR_AUTH, PV_ERR_STATE: no
 * message 1 of that index waits. */
PV_MUST_CHECK int pv_session_handle_response(struct pv_session *s, struct pv_view msg, pv_ns now);
/* A message 3 whose receiver index is ours. The cookie goes into our next message.
 * PV_ERR_AUTH, PV_ERR_STATE, PV_ERR_MALFORMED. */
PV_MUST_CHECK int pv_session_handle_cookie(struct pv_session *s, struct pv_view msg, pv_ns now);

/* Calling early or late is harmless. */
void pv_session_handle_timeout(struct pv_session *s, pv_ns now);
pv_ns pv_session_next_timeout(const struct pv_session *s); /* PV_NEVER if idle */

/* --- decisions out -------------------------------------------------------------------------- */

struct pv_session_transmit {
    uint8_t type; /* PV_WGMSG_INITIATION or PV_WGMSG_RESPONSE */
    /* BY_UDP or BY_SIGNAL. A message 2 goes the way its message 1 came, to its source. */
    enum pv_session_reach via;
    uint32_t index;  /* the local index in it: messages and packets for it belong to this session */
    bool took_index; /* index is the one passed: it is taken until INDEX_GONE */
    bool again;      /* message 2 that was given before: not for the source of the repetition, which
                        anybody could have made */
    size_t len;
    uint8_t msg[PV_WGMSG_INITIATION_LEN];
};
/* Makes the next message to be sent now (the owner may send it to several addresses, and again), or
 * PV_ERR_AGAIN (handle_timeout need not be called first). fresh_index: an unused receiver index.
 * stamp_us: Unix time in µs that never falls, also across restarts
 * (daemon/core/peer/highwater.h); the message carries that, or more than its last.
 */
PV_MUST_CHECK int pv_session_poll_transmit(struct pv_session *s, uint32_t fresh_index,
                                           uint64_t stamp_us, pv_ns now,
                                           struct pv_session_transmit *ret_tx);

/*
 * Without a path: a message 1 for addresses at which the peer once was. The owner says when (it is
 * not repeated by the session itself) and sends it to all of them. The one that is unanswered and
 * younger than 5 s is given again, with the newest cookie, else a new one is made. Counts as a
 * wish. PV_ERR_AGAIN: none may be made now, or the peer's own stands: then poll_transmit gives the
 * answer to it once more.
 */
PV_MUST_CHECK int pv_session_trial(struct pv_session *s, uint32_t fresh_index, uint64_t stamp_us,
                                   pv_ns now, struct pv_session_transmit *ret_tx);

enum pv_session_event_type {
    PV_SESSION_KEYS,           /* receive with these keys from now on: index, keys, born */
    PV_SESSION_USE,            /* send with the keys of index from now on */
    PV_SESSION_INDEX_GONE,     /* index is free; keys under it are void */
    PV_SESSION_DONE,           /* a handshake is complete and proven by both sides: index */
    PV_SESSION_GIVE_UP,        /* 90 s without an answer: drop what waits for keys */
    PV_SESSION_SEND_KEEPALIVE, /* send an empty packet now (after what waits: that will do too) */
};
struct pv_session_event {
    enum pv_session_event_type type;
    uint32_t index;                    /* the local index of the keys it is about */
    bool initiator;                    /* KEYS, DONE: we sent message 1 */
    const struct pv_wg_device *device; /* DONE: the key of ours that the handshake was made with */
    uint32_t psk;                      /* KEYS, DONE: the agreed preshared key in them; 0 = none */
    struct pv_wg_keys keys;            /* KEYS: wipe after use */
    pv_ns born;                        /* KEYS: when they were made; void 180 s later */
};
/* Oldest first; PV_ERR_AGAIN. */
PV_MUST_CHECK int pv_session_poll_event(struct pv_session *s, struct pv_session_event *ret_event);

/* --- questions ------------------------------------------------------------------------------ */

/* Returns true if there are keys to send with (younger than PV_SESSION_SEND_FOR). */
bool pv_session_has_keys(const struct pv_session *s, pv_ns now);
/* The suite of the keys we send with; of our next message 1 while there are none. */
enum pv_suite pv_session_suite(const struct pv_session *s);
/* The agreed preshared key in the keys that we send with; 0 = none, or no keys. */
uint32_t pv_session_psk(const struct pv_session *s);
/* The key of ours that they were made with; NULL: there are none. */
const struct pv_wg_device *pv_session_device(const struct pv_session *s);
/* Messages 1 that were made in the attempt under way; 0: there is none. */
unsigned pv_session_tries(const struct pv_session *s);
/* Returns true if an attempt to get keys is under way. */
bool pv_session_is_trying(const struct pv_session *s);
