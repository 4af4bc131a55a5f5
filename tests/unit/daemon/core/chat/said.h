/* SPDX-License-Identifier: MIT */
/* said.h - what linkkeys sent, in its order, until a test takes it. */
#pragma once

#include "daemon/core/chat/linkkeys.h"
#include "tests/unit/test_util.h"

struct said_one {
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t body[PV_PROOF_BODY_LEN];
};
struct said {
    struct said_one all[64];
    size_t n;
};

/* A pv_linkkeys_sender; owner: a struct said. */
static void said_put(void *owner, const uint8_t *pk, struct pv_view body)
{
    struct said *s = owner;
    assert_true(s->n < PV_ARRAY_LEN(s->all));
    struct said_one *one = &s->all[s->n++];
    memcpy(one->pk, pk, sizeof(one->pk));
    assert_int_equal(body.len, sizeof(one->body));
    memcpy(one->body, body.ptr, body.len);
}

static bool said_take(struct said *s, struct said_one *ret_one)
{
    if (s->n == 0)
        return false;
    *ret_one = s->all[0];
    memmove(&s->all[0], &s->all[1], --s->n * sizeof(s->all[0]));
    return true;
}
