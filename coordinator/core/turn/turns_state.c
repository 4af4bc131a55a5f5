/* SPDX-License-Identifier: MIT */
/* The TURN server's state as all its other files see it: the output of a call, room for timers, and
 * members by their virtual address. Nothing here calls up. */
#include <string.h>

#include "coordinator/core/turn/turns_int.h"

/* --- output ---------------------------------------------------------------------------------- */

/* Each output has its own scratch, because several of one batch are sent together, after the last
 * of them was written. */
struct pv_turns_out *pv_tout_new(struct pv_turns *t, uint8_t **ret_scratch)
{
    if (t->n_out == PV_TURNS_BATCH)
        return NULL;
    if (ret_scratch != NULL)
        *ret_scratch = t->scratch[t->n_out];
    return &t->out[t->n_out++];
}

struct pv_turns_out *pv_tout_to(struct pv_turns *t, const struct pv_tway *way,
                                uint8_t **ret_scratch)
{
    struct pv_turns_out *out = pv_tout_new(t, ret_scratch);
    if (out != NULL)
        *out = (struct pv_turns_out){
            .dst = way->src, .local = way->local, .sock = way->sock, .stream = way->stream};
    return out;
}

/* A message that did not fit, or whose attribute was too long, is taken back: it must be the last
 * output, which holds as nothing else is begun in between. */
void pv_tout_end(struct pv_turns *t, struct pv_turns_out *out, struct pv_stun_writer *w)
{
    size_t len = 0;
    if (pv_stun_write_end(w, &len) == PV_OK)
        out->data = pv_view(w->buf, len);
    else
        t->n_out--; /* it was the last one */
}

const struct pv_turns_out *pv_turns_out(const struct pv_turns *t, size_t *ret_n)
{
    *ret_n = t->n_out;
    return t->out;
}

void pv_turns_sent(struct pv_turns *t)
{
    t->n_out = 0;
}

/* --- timers ---------------------------------------------------------------------------------- */

/* The room is made before anything is added, so setting a timer cannot fail in the middle of a
 * change. */
int pv_tturns_reserve(struct pv_turns *t)
{
    return pv_heap_reserve(&t->timers, t->members.n + t->n_allocs + t->n_relays + 1);
}

/* --- members by address ---------------------------------------------------------------------- */

bool pv_tmember_is_virtual(const struct pv_turns *t, const struct pv_addr *addr)
{
    return addr->family == PV_AF_INET6 && memcmp(addr->ip, t->prefix, sizeof(t->prefix)) == 0;
}

/* The network is in the key: the same node has an allocation in each of its networks, and nobody
 * reaches the other network's by its address. */
void pv_tmember_id(const uint8_t *net, const struct pv_addr *addr,
                   uint8_t id[static PV_TMEMBER_KEY])
{
    memcpy(id, net, PV_TURNAUTH_NET_LEN);
    memcpy(id + PV_TURNAUTH_NET_LEN, addr->ip + 8, 8); /* the other half is the same for all */
}

/* Any other port is not a member: members have one relayed address, at a fixed port. */
struct pv_tmember *pv_tmember_at(const struct pv_turns *t, const uint8_t *net,
                                 const struct pv_addr *addr)
{
    uint8_t id[PV_TMEMBER_KEY];
    if (!pv_tmember_is_virtual(t, addr) || addr->port != PV_TURN_VIRTUAL_PORT)
        return NULL;
    pv_tmember_id(net, addr, id);
    return pv_turntab_find(&t->members, id);
}

/* A member that is online has no deadline: it may allocate at any time. Offline, it is remembered
 * as long as its allocation lives, and at least for the grace that a reconnect takes. */
void pv_tmember_rearm(struct pv_turns *t, struct pv_tmember *m)
{
    pv_ns until = PV_NEVER;
    if (!m->online) {
        until = m->offline_at + PV_S(PV_TURNS_GRACE_S);
        if (m->alloc != NULL && m->alloc->until > until)
            until = m->alloc->until;
    }
    pv_heap_set(&t->timers, &m->timer.node, until);
}
