/* SPDX-License-Identifier: MIT */
/* Lists of questions to the store, and a table of nodes that were sent away. */
#include "coordinator/core/homes.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/list.h"
#include "base/vec.h"

int pv_homes_init(struct pv_homes *h, bool on)
{
    *h = (struct pv_homes){.on = on};
    if (on)
        h->told = calloc(PV_HOMES_TOLD, sizeof(*h->told));
    return on && h->told == NULL ? PV_ERR_NOMEM : PV_OK;
}

void pv_homes_ask_free(struct pv_homes_ask *ask)
{
    if (ask == NULL)
        return;
    pv_storeop_free(ask->job);
    free(ask->conns);
    free(ask);
}

void pv_homes_done(struct pv_homes *h)
{
    while (h->asks != NULL) {
        struct pv_homes_ask *ask = h->asks;
        PV_LIST_DEL(h->asks, ask);
        pv_homes_ask_free(ask);
    }
    free(h->told);
    h->told = NULL;
}

/* --- questions ------------------------------------------------------------------------------- */

static struct pv_homes_ask *find_ask(const struct pv_homes *h, const uint8_t *network)
{
    struct pv_homes_ask *ask = h->asks;
    while (ask != NULL && (ask->leave || memcmp(ask->network, network, sizeof(ask->network)) != 0))
        ask = ask->next;
    return ask;
}

/* Without memory for the operation it is tried again in a moment. */
static void make_job(struct pv_homes *h, struct pv_homes_ask *ask, pv_ns now)
{
    struct pv_storeop_copy what = {.wall_s = 0};
    memcpy(what.network, ask->network, sizeof(what.network));
    ask->again_at = now + PV_HOMES_AGAIN;
    if (pv_storeop_new_copy(ask->leave ? PV_STOREOP_LEAVE : PV_STOREOP_HOME, &what,
                            pv_view(NULL, 0), &ask->job) < 0)
        return;
    ask->op = PV_HOMES_OP | ++h->last_op;
    ask->job->id = ask->op;
    ask->job->pleads = ask->pleads;
    memcpy(ask->job->node, ask->pleader, sizeof(ask->job->node));
    ask->job->draining = h->draining || h->full;
    ask->job->idle = ask->leave && ask->why == PV_HOMES_IDLE;
    ask->job->balance = ask->leave && ask->why == PV_HOMES_BALANCED;
    ask->again_at = PV_NEVER;
}

static int new_ask(struct pv_homes *h, const uint8_t *network, pv_ns now,
                   struct pv_homes_ask **ret_ask)
{
    struct pv_homes_ask *ask = h->n < PV_HOMES_ASKS ? calloc(1, sizeof(*ask)) : NULL;
    if (ask == NULL)
        return h->n < PV_HOMES_ASKS ? PV_ERR_NOMEM : PV_ERR_LIMIT;
    memcpy(ask->network, network, sizeof(ask->network));
    ask->until = now + PV_HOMES_GIVE_UP;
    PV_LIST_ADD(h->asks, ask);
    h->n++;
    *ret_ask = ask;
    return PV_OK;
}

static int add_conn(struct pv_homes_ask *ask, uint64_t conn)
{
    void *conns = pv_vec_room(ask->conns, ask->n_conns, &ask->cap, 4, sizeof(ask->conns[0]));
    if (conns == NULL)
        return PV_ERR_NOMEM;
    ask->conns = conns;
    ask->conns[ask->n_conns++] = conn;
    return PV_OK;
}

int pv_homes_seek(struct pv_homes *h, const uint8_t network[static PV_NETWORK_ID_LEN],
                  uint64_t conn, const uint8_t *pleader, pv_ns now)
{
    struct pv_homes_ask *ask = find_ask(h, network);
    int r = ask == NULL ? new_ask(h, network, now, &ask) : PV_OK;
    if (r == PV_OK)
        r = add_conn(ask, conn);
    if (r < 0)
        return r;
    if (pleader != NULL) {
        ask->pleads = true;
        memcpy(ask->pleader, pleader, sizeof(ask->pleader));
    }
    if (ask->op == 0 && ask->again_at == 0)
        make_job(h, ask, now);
    return PV_OK;
}

int pv_homes_leave(struct pv_homes *h, const uint8_t network[static PV_NETWORK_ID_LEN],
                   enum pv_homes_why why, pv_ns now)
{
    struct pv_homes_ask *ask = NULL;
    int r = new_ask(h, network, now, &ask);
    if (r < 0)
        return r;
    ask->leave = true;
    ask->why = why;
    make_job(h, ask, now);
    return PV_OK;
}

int pv_homes_poll_job(struct pv_homes *h, struct pv_storeop **ret_op)
{
    for (struct pv_homes_ask *ask = h->asks; ask != NULL; ask = ask->next) {
        if (ask->job == NULL)
            continue;
        *ret_op = ask->job;
        ask->job = NULL;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

struct pv_homes_ask *pv_homes_take(struct pv_homes *h, uint64_t op)
{
    struct pv_homes_ask *ask = h->asks;
    while (ask != NULL && (ask->op != op || ask->job != NULL))
        ask = ask->next;
    if (ask == NULL)
        return NULL;
    PV_LIST_DEL(h->asks, ask);
    ask->op = 0;
    h->n--;
    return ask;
}

bool pv_homes_again(struct pv_homes *h, struct pv_homes_ask *ask, pv_ns now)
{
    if (now + PV_HOMES_AGAIN > ask->until)
        return false;
    ask->again_at = now + PV_HOMES_AGAIN;
    PV_LIST_ADD_FIRST(h->asks, ask);
    h->n++;
    return true;
}

void pv_homes_handle_timeout(struct pv_homes *h, pv_ns now)
{
    for (struct pv_homes_ask *ask = h->asks; ask != NULL; ask = ask->next)
        if (ask->op == 0 && ask->again_at <= now)
            make_job(h, ask, now);
}

pv_ns pv_homes_next_timeout(const struct pv_homes *h)
{
    pv_ns next = PV_NEVER;
    for (const struct pv_homes_ask *ask = h->asks; ask != NULL; ask = ask->next)
        if (ask->op == 0)
            next = pv_min_ns(next, ask->again_at);
    return next;
}

/* --- who was told ---------------------------------------------------------------------------- */

/* Keys are random, so their bytes are a hash; of two that fall on one place the later one counts.
 */
static struct pv_homes_told *told_at(const struct pv_homes *h, const uint8_t *transport)
{
    _Static_assert((PV_HOMES_TOLD & (PV_HOMES_TOLD - 1)) == 0, "a power of two");
    return &h->told[pv_load_be64(transport + 8) & (PV_HOMES_TOLD - 1)];
}

static bool is_told(const struct pv_homes_told *t, const uint8_t *transport, pv_ns now)
{
    return t->told > 0 && t->tag == pv_load_be64(transport) && now < t->until;
}

void pv_homes_tell(struct pv_homes *h, const uint8_t transport[static PV_DH_LEN], pv_ns now)
{
    struct pv_homes_told *t = told_at(h, transport);
    if (!is_told(t, transport, now))
        *t = (struct pv_homes_told){.tag = pv_load_be64(transport)};
    t->until = now + PV_S(PV_HOMES_TOLD_S);
    if (t->told < UINT8_MAX)
        t->told++;
}

bool pv_homes_pleads(const struct pv_homes *h, const uint8_t transport[static PV_DH_LEN], pv_ns now)
{
    const struct pv_homes_told *t = told_at(h, transport);
    return is_told(t, transport, now) && t->told >= 2;
}
