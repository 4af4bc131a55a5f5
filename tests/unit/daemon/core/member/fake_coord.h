/* SPDX-License-Identifier: MIT */
/*
 * fake_coord.h - a coordinator for the unit test of one part: stands in for coordinator.c. It keeps
 * each request as the coordinator would read it, and the test says what the answer is.
 */
#pragma once

#include "daemon/core/coord/coordinator.h"
#include "tests/unit/daemon/core/fake_node.h"

enum {
    FAKE_COORD_MAX = 32, /* requests at a time */
};

static struct {
    int status; /* of the next requests: PV_OK, or why they are not sent */
    struct {
        const struct pv_part *owner;
        uint64_t tag;
        struct pv_ctl_msg *msg; /* owned */
    } asked[FAKE_COORD_MAX];
    size_t n;
    bool connected; /* pv_coord_connect() was called, and pv_coord_disconnect() not after it */
    bool as_member; /* by the last connect */
    uint8_t pk[PV_SIGN_PK_LEN]; /* of the first coordinator that was connected to last */
    unsigned n_follow;
    unsigned n_hurry, n_doubt;
    struct pv_ctl_cursor cursor;
    unsigned n_saved_cursor;
} fake_coord;

int pv_coord_ask(struct pv_node *n, const struct pv_part *owner, struct pv_ctl_msg *msg,
                 uint64_t tag)
{
    static char text[PV_CTL_TEXT_MAX];
    size_t len;
    if (fake_coord.status != PV_OK)
        return fake_coord.status;
    assert_true(fake_coord.n < FAKE_COORD_MAX);
    msg->kind = PV_CTL_REQUEST;
    msg->id = fake_coord.n + 1;
    assert_ok(pv_ctl_build(msg, (uint8_t *)text, sizeof(text), &len));
    assert_ok(pv_ctl_parse(pv_view(text, len), &fake_coord.asked[fake_coord.n].msg));
    fake_coord.asked[fake_coord.n].owner = owner;
    fake_coord.asked[fake_coord.n++].tag = tag;
    return PV_OK;
}

void pv_coord_connect(struct pv_node *n, struct pv_view list, enum pv_ctl_role role,
                      const uint8_t *network_id, pv_ns now)
{
    struct pv_coordinator first;
    if (pv_coordlist_next(&list, &first))
        memcpy(fake_coord.pk, first.pk, sizeof(fake_coord.pk));
    fake_coord.connected = true;
    fake_coord.as_member = n->coord_info.as_member = role == PV_CTL_MEMBER;
}

void pv_coord_follow(struct pv_node *n, struct pv_view list, pv_ns now)
{
    fake_coord.n_follow++;
}

bool pv_coord_must_hybrid(const struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN])
{
    return false;
}

void pv_coord_return(struct pv_node *n, const uint8_t pk[static PV_SIGN_PK_LEN], pv_ns now)
{
    memcpy(fake_coord.pk, pk, sizeof(fake_coord.pk));
}

void pv_coord_disconnect(struct pv_node *n)
{
    fake_coord.connected = false;
}

bool pv_coord_next(struct pv_node *n, pv_ns now)
{
    return false;
}

void pv_coord_turn(struct pv_node *n, pv_ns now)
{
}

int pv_coord_hash(const struct pv_node *n, uint8_t ret_hash[static PV_CTL_HASH_LEN])
{
    memset(ret_hash, 3, PV_CTL_HASH_LEN);
    return PV_OK;
}

void pv_coord_hurry(struct pv_node *n, pv_ns until, pv_ns now)
{
    fake_coord.n_hurry++;
}

void pv_coord_doubt(const struct pv_node *n)
{
    fake_coord.n_doubt++;
}

struct pv_ctl_cursor pv_coord_cursor(const struct pv_node *n)
{
    return fake_coord.cursor;
}

void pv_coord_set_cursor(struct pv_node *n, struct pv_ctl_cursor cursor)
{
    fake_coord.cursor = cursor;
}

void pv_coord_save_cursor(struct pv_node *n)
{
    fake_coord.n_saved_cursor++;
}

void pv_coord_forget_cursor(struct pv_node *n)
{
    fake_coord.cursor = (struct pv_ctl_cursor){0};
}

/* The oldest request, which the test owns then: pv_ctl_msg_free(). It must be of this type. */
static inline struct pv_ctl_msg *fake_coord_take(enum pv_ctl_type type, uint64_t *ret_tag)
{
    assert_true(fake_coord.n > 0);
    struct pv_ctl_msg *msg = fake_coord.asked[0].msg;
    assert_int_equal(msg->type, type);
    *ret_tag = fake_coord.asked[0].tag;
    memmove(&fake_coord.asked[0], &fake_coord.asked[1],
            --fake_coord.n * sizeof(fake_coord.asked[0]));
    return msg;
}

static inline void fake_coord_done(void *coord)
{
    for (size_t i = 0; i < fake_coord.n; i++)
        pv_ctl_msg_free(fake_coord.asked[i].msg);
    memset(&fake_coord, 0, sizeof(fake_coord));
}

/* For a setup: what is left when the test ends is forgotten. */
static inline void fake_coord_init(void)
{
    test_defer(fake_coord_done, &fake_coord);
}
