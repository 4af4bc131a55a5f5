/* SPDX-License-Identifier: MIT */
/*
 * linkkeys.h - the key of each pair of daemons, by which they know each other on the connections of
 * chat and files (proto/control/proof.h).
 *
 * A pure machine over the members. This node has one secret for each peer, new in every life of the
 * daemon, and tells it in-band; the peer tells its own. The key of the pair follows from both. A
 * message of the peer that names our secret confirms that the peer has it: until then ours is
 * repeated, after 1, 2, 4, ... 60 s, while there is a path, and asks for an answer each time. The
 * answer itself asks for none, so that two who know each other's are silent. Messages may be lost,
 * come twice and overtake each other.
 *
 * States of a peer, in the order in which they are reached; CONFIRMED and HEARD change places when
 * the peer's daemon starts anew:
 *   UNKNOWN    it has told no secret yet
 *   HEARD      we have its secret, so its proofs can be checked
 *   CONFIRMED  it has ours, too, so that a connection can be opened
 *
 * Nothing is taken for a peer that does not prove itself. Not thread-safe.
 *
 * The part tells the machine which peers can be reached, sends its messages in-band, and raises
 * PV_PEER_FACT_LINK when another state of a peer may let connections be made or end. Stands before
 * chat and files, which ask node.linkkeys.
 */
#pragma once

#include "base/bucket.h"
#include "base/heap.h"
#include "base/pv.h"
#include "daemon/core/node/part.h"
#include "proto/control/proof.h"

enum {
    PV_LINKKEYS_RETRY_MIN_S = 1, /* between repetitions, doubling */
    PV_LINKKEYS_RETRY_MAX_S = 60,
    PV_LINKKEYS_ANSWER_RATE = 1,   /* answers a second to one peer, which repeats what got none */
    PV_LINKKEYS_ANSWER_BURST = 10, /* answers at once to one peer */
};

enum pv_linkkeys_state {
    PV_LINKKEYS_UNKNOWN,
    PV_LINKKEYS_HEARD,
    PV_LINKKEYS_CONFIRMED,
    PV_LINKKEYS_NONE, /* without a machine nobody proves anything, and all is taken */
};

struct pv_linkkeys; /* opaque */

extern const struct pv_part pv_part_linkkeys;

/* All that is known of a peer; the owner keeps it. */
struct pv_linkkeys_peer {
    struct pv_linkkeys *keys; /* NULL: nothing is known yet */
    uint8_t pk[PV_SIGN_PK_LEN];
    bool has_theirs;
    bool confirmed;
    bool there;
    uint8_t theirs[PV_PROOF_SECRET_LEN];
    unsigned retry_s;
    struct pv_bucket answers;
    struct pv_heap_node timer;
};

/* The owner's functions, which look(), take() and handle_timeout() call; they call none of these.
 */
struct pv_linkkeys_hands {
    /* The struct of the peer pk, at the same place until pv_linkkeys_gone(); make: zeroed when it
     * is asked for first. NULL: there is no such peer, nothing is kept of it, or no memory. */
    struct pv_linkkeys_peer *(*kept)(void *owner, const uint8_t *pk, bool make);
    /* Sends body to the peer pk in-band; one that cannot be sent is lost, as on the way. */
    void (*send)(void *owner, const uint8_t *pk, struct pv_view body);
    void *owner; /* borrowed */
};

/* PV_ERR_NOMEM: *ret_keys is as it was. */
PV_MUST_CHECK int pv_linkkeys_new(struct pv_linkkeys **ret_keys, const struct pv_rng *rng,
                                  const uint8_t own_pk[static PV_SIGN_PK_LEN],
                                  const struct pv_linkkeys_hands *hands);
/* All peers are gone by now. Wipes; NULL is fine; returns NULL. */
struct pv_linkkeys *pv_linkkeys_free(struct pv_linkkeys *keys);

/* there: in-band messages reach the peer now. Cheap when nothing has changed. */
void pv_linkkeys_look(struct pv_linkkeys *keys, const uint8_t *pk, bool there, pv_ns now);
/* The owner is about to free or to zero what it keeps: wipes what is secret. */
void pv_linkkeys_gone(struct pv_linkkeys_peer *e);

/* An in-band message of the peer. True when its state or its key is another now. */
bool pv_linkkeys_take(struct pv_linkkeys *keys, const uint8_t *pk, struct pv_view body, pv_ns now);

/* keys NULL: PV_LINKKEYS_NONE. */
enum pv_linkkeys_state pv_linkkeys_state(const struct pv_linkkeys *keys, const uint8_t *pk);
/* False before HEARD. The caller wipes the key. */
bool pv_linkkeys_key(const struct pv_linkkeys *keys, const uint8_t *pk,
                     uint8_t ret_key[static PV_PROOF_KEY_LEN]);

void pv_linkkeys_handle_timeout(struct pv_linkkeys *keys, pv_ns now);
pv_ns pv_linkkeys_next_timeout(const struct pv_linkkeys *keys);
