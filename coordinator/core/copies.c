/* SPDX-License-Identifier: MIT */
/* Stored copies: checks whether a node may ask, hands the request to the store, and remembers
 * whose it is until the store has answered. */
#include "coordinator/core/copies.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"

static void wait_free(struct pv_copies_wait *w)
{
    pv_storeop_free(w->job);
    free(w);
}

void pv_copies_done(struct pv_copies *copies)
{
    while (copies->waits != NULL) {
        struct pv_copies_wait *w = copies->waits;
        PV_LIST_DEL(copies->waits, w);
        wait_free(w);
    }
}

/* The list is short most of the time, and never longer than PV_COPIES_PENDING. */
static size_t pending_of(const struct pv_copies *copies, uint64_t conn)
{
    size_t n = 0;
    for (const struct pv_copies_wait *w = copies->waits; w != NULL; w = w->next)
        n += w->conn == conn;
    return n;
}

/* The sender of a copy is the connection's node, never one that the message names: nobody can leave
 * a copy in somebody else's name, or collect another's. */
static struct pv_storeop_copy copy_of(const struct pv_conn *s, const struct pv_ctl_msg *msg,
                                      uint64_t wall_s)
{
    struct pv_storeop_copy m = {.wall_s = wall_s, .room = s->net->limits.stored};
    _Static_assert((int)PV_STOREOP_KEY_LEN == (int)PV_CTL_KEY_LEN, "a copy's name");
    memcpy(m.network, pv_roster_network_id(s->net->roster), sizeof(m.network));
    if (msg->type == PV_CTL_KEEP) {
        memcpy(m.from, s->node, sizeof(m.from));
        memcpy(m.to, msg->u.keep.to, sizeof(m.to));
        memcpy(m.key, msg->u.keep.key, sizeof(m.key));
    } else {
        memcpy(m.to, s->node, sizeof(m.to));
        m.n = msg->u.collect.taken;
        m.after = msg->u.collect.after;
    }
    return m;
}

/* Limits are checked before memory is taken. */
enum pv_ctl_error pv_copies_ask(struct pv_copies *copies, const struct pv_conn *s,
                                const struct pv_ctl_msg *msg, uint64_t wall_s)
{
    bool keep = msg->type == PV_CTL_KEEP;
    struct pv_storeop_copy copy = copy_of(s, msg, wall_s);
    /* A copy for oneself would be storage for anything, without anybody who collects it. */
    if (keep && memcmp(copy.to, s->node, sizeof(copy.to)) == 0)
        return PV_CTL_E_NOT_ALLOWED;
    if (keep && pv_roster_by_node(s->net->roster, copy.to) == NULL)
        return PV_CTL_E_UNKNOWN_NODE;
    if (copies->n >= PV_COPIES_PENDING || s->net->dropping)
        return PV_CTL_E_BUSY;
    if (pending_of(copies, s->id) >= PV_COPIES_PENDING_CONN)
        return PV_CTL_E_LIMIT;
    struct pv_copies_wait *w = calloc(1, sizeof(*w));
    if (w == NULL ||
        pv_storeop_new_copy(keep ? PV_STOREOP_KEEP : PV_STOREOP_COLLECT, &copy,
                            keep ? msg->u.keep.box : pv_view(NULL, 0), &w->job) != PV_OK) {
        free(w);
        return PV_CTL_E_BUSY;
    }
    w->op = w->job->id = PV_COPIES_OP | ++copies->last_op;
    w->conn = s->id;
    w->request = msg->id;
    w->keep = keep;
    w->net = s->net;
    memcpy(w->to, copy.to, sizeof(w->to));
    PV_LIST_ADD(copies->waits, w);
    copies->n++;
    return PV_CTL_E_NONE;
}

/* Operations leave in order, so the store keeps copies in the order in which they came. */
int pv_copies_poll_job(struct pv_copies *copies, struct pv_storeop **ret_op)
{
    for (struct pv_copies_wait *w = copies->waits; w != NULL; w = w->next) {
        if (w->job == NULL)
            continue;
        *ret_op = w->job;
        w->job = NULL;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

/* The store answers in order, so the first entry is the one most of the time. */
struct pv_copies_wait *pv_copies_take(struct pv_copies *copies, uint64_t op)
{
    for (struct pv_copies_wait *w = copies->waits; w != NULL; w = w->next) {
        if (w->op != op)
            continue;
        PV_LIST_DEL(copies->waits, w);
        copies->n--;
        return w;
    }
    return NULL;
}

/* full and storage mean different things to the sender: the first passes when the receiver has
 * collected, the second is for the operator to mend. COLLECT without a copy is answered by an empty
 * one: there is nothing more. */
struct pv_ctl_msg pv_copies_answer(const struct pv_copies_wait *wait,
                                   const struct pv_storeop_result *result)
{
    struct pv_ctl_msg m = {
        .kind = PV_CTL_ANSWER, .type = wait->keep ? PV_CTL_DONE : PV_CTL_COPY, .id = wait->request};
    if (result->status != PV_OK) {
        m.type = PV_CTL_ERROR;
        m.u.failure.error = result->status == PV_ERR_REFUSED ? PV_CTL_E_FULL : PV_CTL_E_STORAGE;
        m.u.failure.message = result->status == PV_ERR_REFUSED
                                  ? "too many copies wait already"
                                  : "the coordinator cannot store now; try again later";
    } else if (!wait->keep && result->collected != NULL) {
        m.u.copy.n = result->collected->n;
        memcpy(m.u.copy.from, result->collected->from, sizeof(m.u.copy.from));
        m.u.copy.box = pv_view(result->collected->box, result->collected->len);
    }
    return m;
}
