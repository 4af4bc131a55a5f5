/* SPDX-License-Identifier: MIT */
/* coordinator.c - owns the connection to the coordinator and knows which part asked for what. */
#include "daemon/core/member/coordinator.h"

#include <stdlib.h>

#include "daemon/core/member/coordclient.h"
#include "daemon/core/node/node.h"

enum {
    MAX_OWNERS = 64,   /* ours: more parts than there are */
    OWNER_SHIFT = 56,  /* of the owner's number in the connection's tags */
    FIRST_OWNER = 128, /* lower ones: requests that are not asked through here yet */
};
#define TAG_MASK (((uint64_t)1 << OWNER_SHIFT) - 1)

struct pv_coord {
    struct pv_node *node;
    const struct pv_part *owners[MAX_OWNERS]; /* parts that ever asked */
    size_t n_owners;
};

static void free_coordinator(void *part)
{
    struct pv_coord *c = part;
    c->node->coord = pv_coordclient_free(c->node->coord);
    c->node->coordinator = NULL;
    free(c);
}

static int make_coordinator(struct pv_node *node, const struct pv_engine_config *cfg, pv_ns now,
                            void **ret_part)
{
    struct pv_coord *c = calloc(1, sizeof(*c));
    const struct pv_coordclient_config cc = {.rng = node->rng,
                                             .log = node->log,
                                             .sign_sk = node->identity->sign_sk,
                                             .sign_pk = node->identity->sign_pk,
                                             .dh_sk = node->identity->dh_sk};
    (void)cfg;
    (void)now;
    if (c == NULL)
        return PV_ERR_NOMEM;
    c->node = node;
    int r = pv_coordclient_new(&node->coord, &cc);
    if (r != PV_OK) {
        free(c);
        return r;
    }
    node->coordinator = c;
    *ret_part = c;
    return PV_OK;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct pv_coord *c = part;
    pv_coordclient_handle_timeout(c->node->coord, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct pv_coord *c = part;
    return pv_coordclient_next_timeout(c->node->coord);
}

int pv_coord_ask(struct pv_node *n, const struct pv_part *owner, struct pv_ctl_msg *msg,
                 uint64_t tag)
{
    struct pv_coord *c = n->coordinator;
    size_t i = 0;
    while (i < c->n_owners && c->owners[i] != owner)
        i++;
    if (i == MAX_OWNERS)
        return PV_ERR_LIMIT;
    if (i == c->n_owners)
        c->owners[c->n_owners++] = owner;
    return pv_coordclient_request(n->coord, msg,
                                  (uint64_t)(FIRST_OWNER + i) << OWNER_SHIFT | (tag & TAG_MASK));
}

bool pv_coord_owner(const struct pv_coord *c, uint64_t wire_tag, const struct pv_part **ret_owner,
                    uint64_t *ret_tag)
{
    uint64_t number = wire_tag >> OWNER_SHIFT;
    if (number < FIRST_OWNER || number - FIRST_OWNER >= c->n_owners)
        return false;
    *ret_owner = c->owners[number - FIRST_OWNER];
    *ret_tag = wire_tag & TAG_MASK;
    return true;
}

const struct pv_part pv_part_coordinator = {
    .name = "coordinator",
    .make = make_coordinator,
    .free = free_coordinator,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
};
