/* SPDX-License-Identifier: MIT */
/* said.h - the owner of linkkeys in a test: what it sent, in its order, until the test takes it,
 * and what it keeps of peers. */
#pragma once

#include "daemon/core/peer/linkkeys.h"
#include "tests/unit/slots.h"
#include "tests/unit/test_util.h"

struct said_one {
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t body[PV_PROOF_BODY_LEN];
};
struct said {
    struct said_one all[64];
    size_t n;
    struct slots peers; /* of struct pv_linkkeys_peer */
};

static void said_put(void *owner, const uint8_t *pk, struct pv_view body)
{
    struct said *s = owner;
    assert_true(s->n < PV_ARRAY_LEN(s->all));
    struct said_one *one = &s->all[s->n++];
    memcpy(one->pk, pk, sizeof(one->pk));
    assert_int_equal(body.len, sizeof(one->body));
    memcpy(one->body, body.ptr, body.len);
}

static struct pv_linkkeys_peer *said_kept(void *owner, const uint8_t *pk, bool make)
{
    struct said *s = owner;
    return slots_of(&s->peers, pk, sizeof(struct pv_linkkeys_peer), make);
}

static void said_end_peer(void *kept)
{
    pv_linkkeys_gone(kept);
}

/* A machine that s owns. */
static struct pv_linkkeys *said_new(struct said *s, const struct pv_rng *rng, const uint8_t *own_pk)
{
    const struct pv_linkkeys_hands hands = {.kept = said_kept, .send = said_put, .owner = s};
    struct pv_linkkeys *keys = NULL;
    assert_ok(pv_linkkeys_new(&keys, rng, own_pk, &hands));
    return keys;
}

/* Returns NULL. */
static struct pv_linkkeys *said_free(struct said *s, struct pv_linkkeys *keys)
{
    slots_clear(&s->peers, said_end_peer);
    return pv_linkkeys_free(keys);
}

static bool said_take(struct said *s, struct said_one *ret_one)
{
    if (s->n == 0)
        return false;
    *ret_one = s->all[0];
    memmove(&s->all[0], &s->all[1], --s->n * sizeof(s->all[0]));
    return true;
}
