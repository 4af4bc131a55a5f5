/* SPDX-License-Identifier: MIT */
/* boxes.c - boxes sealed and opened, and what the coordinator is asked about them. */
#include "daemon/core/member/boxes.h"

#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/coord/coordinator.h"
#include "daemon/core/member/sealkeys.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"

/* The purpose of a request: its tag. */
enum request {
    REQUEST_KEEP,
    REQUEST_COLLECT,
};

struct boxes {
    struct pv_node *node;
    const struct pv_boxes_user *functions; /* NULL: nobody is told */
    void *user;
};

void pv_boxes_use(struct pv_node *n, const struct pv_boxes_user *functions, void *user)
{
    struct boxes *b = pv_node_part(n, &pv_part_boxes);
    if (b == NULL)
        return;
    b->functions = functions;
    b->user = user;
}

/* --- seals ----------------------------------------------------------------------------------- */

int pv_boxes_seal(struct pv_node *n, const uint8_t to[static PV_SIGN_PK_LEN],
                  struct pv_view content, uint8_t ret_box[static PV_COPYBOX_MAX], size_t *ret_len)
{
    const struct pv_peer *p = pv_peers_by_pk(n->peers, to);
    if (n->roster == NULL)
        return PV_ERR_STATE;
    if (p == NULL)
        return PV_ERR_NOT_FOUND;
    struct pv_signal_route route =
        pv_signal_route_of(pv_roster_network_id(n->roster), n->identity->sign_pk, to);
    const struct pv_noise_static own = pv_ownkeys_current(n->identity);
    const struct pv_sealing_to *hybrid = pv_sealkeys_to(n, p);
    const struct pv_copybox_keys keys = {
        .local = &own, .remote = pv_peer_transport(p), .hybrid = hybrid};
    /* A user who wants no packet without wants no box without. */
    if (hybrid == NULL && n->given.pq == PV_PQ_REQUIRE)
        return PV_ERR_REFUSED;
    int r = pv_copybox_seal(&route, &keys, &n->rng, content, ret_box, ret_len);
    if (r == PV_OK)
        pv_sealkeys_count(n, PV_SEALKEYS_COPY, hybrid != NULL);
    return r;
}

/* A box waits for up to 14 days: it may be sealed to a key of before. */
int pv_boxes_open(const struct pv_node *n, const uint8_t from[static PV_SIGN_PK_LEN],
                  struct pv_view box, uint8_t ret_content[static PV_COPYBOX_CONTENT_MAX],
                  size_t *ret_len)
{
    struct pv_noise_static own;
    uint8_t psk[PV_NOISE_PSK_LEN];
    if (n->roster == NULL)
        return PV_ERR_STATE;
    struct pv_signal_route route =
        pv_signal_route_of(pv_roster_network_id(n->roster), from, n->identity->sign_pk);
    const bool hybrid = pv_sealkeys_secret(n, box, psk);
    int r = PV_ERR_AUTH;
    for (size_t iter = 0; r == PV_ERR_AUTH && pv_ownkeys_next(n->identity, &iter, &own);) {
        if (hybrid)
            r = pv_copybox_open_hybrid(&route, psk, &own, box, ret_content, ret_len);
        /* One that looks hybrid by chance is opened as what it is; one too long for that may be for
         * the next key. */
        if (r == PV_ERR_AUTH && box.len <= PV_COPYBOX_CLASSICAL_MAX)
            r = pv_copybox_open(&route, &own, box, ret_content, ret_len);
    }
    pv_wipe(psk, sizeof(psk));
    return r == PV_ERR_AUTH && pv_sealing_is(box) && n->given.kem == NULL ? PV_ERR_AGAIN : r;
}

/* --- the coordinator ------------------------------------------------------------------------- */

int pv_boxes_keep(struct pv_node *n, const uint8_t to[static PV_SIGN_PK_LEN], const uint8_t *key,
                  struct pv_view box)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_KEEP};
    memcpy(msg.u.keep.to, to, sizeof(msg.u.keep.to));
    memcpy(msg.u.keep.key, key, sizeof(msg.u.keep.key));
    msg.u.keep.box = box;
    return pv_coord_ask(n, &pv_part_boxes, &msg, REQUEST_KEEP);
}

int pv_boxes_collect(struct pv_node *n, uint64_t after, uint64_t taken)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_COLLECT};
    msg.u.collect = (struct pv_ctl_collect){.after = after, .taken = taken};
    return pv_coord_ask(n, &pv_part_boxes, &msg, REQUEST_COLLECT);
}

static void on_push(void *part, const struct pv_ctl_msg *msg, pv_ns now)
{
    const struct boxes *b = part;
    if (msg->type == PV_CTL_COPY && b->functions != NULL)
        b->functions->news(b->user, now);
}

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    const struct boxes *b = part;
    const bool failed = msg->type == PV_CTL_ERROR;
    const enum pv_ctl_error why = failed ? msg->u.failure.error : PV_CTL_E_NONE;
    if (b->functions == NULL)
        return;
    if (tag == REQUEST_KEEP)
        b->functions->kept(b->user, failed || msg->type == PV_CTL_DONE ? why : PV_CTL_E_BAD_REQUEST,
                           now);
    else
        b->functions->collected(b->user, msg->type == PV_CTL_COPY ? &msg->u.copy : NULL, why, now);
}

const struct pv_part pv_part_boxes = {
    .name = "boxes",
    .after = {"sealkeys"},
    .size = PV_PART_SIZE(struct boxes),
    .on_push = on_push,
    .on_answer = on_answer,
};
