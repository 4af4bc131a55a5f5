/* SPDX-License-Identifier: MIT */
/* The frame of the fast path: a worker's life, its results and counters, carriers, and the few
 * questions that both directions ask. The packets themselves are handled in fp_tx.c and fp_rx.c. */
#include "daemon/core/packets/fastpath.h"

#include <stdlib.h>

#include "daemon/core/packets/fp_worker.h"

bool pv_carrier_same(const struct pv_carrier *a, const struct pv_carrier *b)
{
    /* The channel follows from the remote, and an indication is the same way. */
    if (pv_carrier_is_relayed(a) && pv_carrier_is_relayed(b))
        return a->via == b->via && pv_addr_equal(&a->remote, &b->remote);
    if (a->kind != b->kind || a->sock != b->sock || !pv_addr_equal(&a->remote, &b->remote))
        return false;
    return a->local.family == PV_AF_NONE || b->local.family == PV_AF_NONE ||
           pv_addr_equal_ip(&a->local, &b->local);
}

const char *pv_fp_drop_name(enum pv_fp_drop reason)
{
    static const char *const names[PV_FP_DROP_REASONS] = {
        [PV_FP_DROP_JUNK] = "junk",
        [PV_FP_DROP_INDEX] = "index",
        [PV_FP_DROP_EXPIRED_KEYS] = "expired-keys",
        [PV_FP_DROP_REPLAY] = "replay",
        [PV_FP_DROP_AUTH] = "auth",
        [PV_FP_DROP_INNER] = "inner",
        [PV_FP_DROP_SOURCE] = "source",
        [PV_FP_DROP_DESTINATION] = "destination",
        [PV_FP_DROP_INBAND] = "inband",
        [PV_FP_DROP_INBAND_RATE] = "inband-rate",
        [PV_FP_DROP_RULES] = "rules",
        [PV_FP_DROP_NO_PEER] = "no-peer",
        [PV_FP_DROP_OFFLINE] = "offline",
        [PV_FP_DROP_TOO_BIG] = "too-big",
        [PV_FP_DROP_QUEUE_FULL] = "queue-full",
        [PV_FP_DROP_QUEUE_OLD] = "queue-old",
        [PV_FP_DROP_RATE] = "rate",
        [PV_FP_DROP_QUIET] = "quiet",
        [PV_FP_DROP_CONGESTION] = "congestion",
        [PV_FP_DROP_CRYPTO] = "crypto",
        [PV_FP_DROP_STREAM] = "stream",
        [PV_FP_DROP_PARTS] = "parts",
        [PV_FP_DROP_HANDOVER] = "handover",
        [PV_FP_DROP_CLASSICAL] = "classical",
        [PV_FP_DROP_LOOP] = "loop",
        [PV_FP_DROP_IDLE] = "idle",
        [PV_FP_DROP_UNWANTED] = "unwanted",
    };
    return (size_t)reason < PV_FP_DROP_REASONS ? names[reason] : "?";
}

/* A worker hands up each wish once, or a flow of packets would flood control with the same one.
 * Control clears the flag when it has acted on the wish or given it up; a flag that nobody clears
 * would silence the peer for good. */
void pv_fp_live_rearm_path(struct pv_fp_live *live)
{
    atomic_store_explicit(&live->asked_path, false, memory_order_relaxed);
}

void pv_fp_live_rearm_keys(struct pv_fp_live *live)
{
    atomic_store_explicit(&live->asked_keys, false, memory_order_relaxed);
}

void pv_fp_live_rearm_active(struct pv_fp_live *live)
{
    atomic_store_explicit(&live->told_active, false, memory_order_relaxed);
}

/* The arena is a block of its own and not cleared: it is 1 MiB that most calls touch at the
 * beginning only. */
int pv_fp_worker_new(struct pv_fp_worker **ret_worker)
{
    struct pv_fp_worker *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return PV_ERR_NOMEM;
    w->arena = malloc(PV_FP_ARENA);
    if (w->arena == NULL || pv_aead_engine_new(&w->aead) < 0 || pv_fp_queue_new(&w->queue) < 0) {
        pv_fp_worker_free(w);
        return PV_ERR_NOMEM;
    }
    pv_fp_worker_share(w, 0, 1);
    *ret_worker = w;
    return PV_OK;
}

struct pv_fp_worker *pv_fp_worker_free(struct pv_fp_worker *w)
{
    if (w != NULL) {
        pv_fp_queue_free(w->queue);
        pv_parts_free(w->parts);
        pv_aead_engine_free(w->aead);
        free(w->arena);
        free(w);
    }
    return NULL;
}

void pv_fp_worker_share(struct pv_fp_worker *w, unsigned number, unsigned of)
{
    w->number = number;
    w->of = of;
    pv_fp_queue_share(w->queue, of);
}

const char *pv_fp_worker_aead_why(const struct pv_fp_worker *w)
{
    return pv_aead_engine_why_slow(w->aead);
}

const char *pv_fp_worker_aead(const struct pv_fp_worker *w)
{
    return pv_aead_engine_name(w->aead);
}

struct pv_fp_results pv_fp_results(const struct pv_fp_worker *w)
{
    return (struct pv_fp_results){
        .sends = w->sends,
        .n_sends = w->n_sends,
        .writes = w->writes.outs,
        .n_writes = w->writes.n_outs,
        .punts = w->punts,
        .n_punts = w->n_punts,
        .handed = w->handed,
        .n_handed = w->n_handed,
    };
}

uint64_t pv_fp_drops(const struct pv_fp_worker *w, enum pv_fp_drop reason)
{
    return atomic_load_explicit(&w->drops[reason], memory_order_relaxed);
}

void pv_fp_worker_reset(struct pv_fp_worker *w)
{
    pv_joiner_reset(&w->writes);
    w->n_sends = w->n_punts = 0;
    w->n_ops = 0;
    w->n_relayed = 0;
    w->n_handed = 0;
    /* The cached owner points into the last call's snapshot, which may be freed by now. */
    w->ends.version = 0;
    w->run_let_in = 0;
    for (size_t i = 0; i < PV_ARRAY_LEN(w->ahead); i++)
        w->ahead[i].spot.mark = 0; /* what was said of it may be another snapshot's word */
    w->arena_used = 0;
}

/* A drop is counted twice on purpose: the worker's sum is there for metrics also when the datagram
 * could be assigned to nobody or the peer has been removed. */
void pv_fp_worker_drops(struct pv_fp_worker *w, const struct pv_fp_peer *peer,
                        enum pv_fp_drop reason, size_t n)
{
    pv_fp_add(&w->drops[reason], n);
    if (peer != NULL && peer->live != NULL)
        pv_fp_add(&peer->live->live.drops[reason], n);
}

void pv_fp_worker_drop(struct pv_fp_worker *w, const struct pv_fp_peer *peer,
                       enum pv_fp_drop reason)
{
    pv_fp_worker_drops(w, peer, reason, 1);
}

void pv_fp_send_lost(struct pv_fp_worker *w, const struct pv_fp_send *send)
{
    pv_fp_worker_drop(w, NULL, PV_FP_DROP_STREAM);
    pv_fp_add(&send->live->drops[PV_FP_DROP_STREAM], 1);
}

void pv_fp_handed_lost(struct pv_fp_worker *w, const struct pv_fp_handed *handed)
{
    (void)handed; /* whose it is only its worker knows */
    pv_fp_worker_drop(w, NULL, PV_FP_DROP_HANDOVER);
}

void pv_fp_punt_lost(const struct pv_fp_punt *punt)
{
    if (punt->told != NULL)
        atomic_store_explicit(punt->told, false, memory_order_relaxed);
}

void pv_fp_worker_join(struct pv_fp_worker *w, bool tcp, bool udp)
{
    w->writes.tcp = tcp;
    w->writes.udp = udp;
}

struct pv_fp_punt *pv_fp_worker_punt(struct pv_fp_worker *w, enum pv_fp_punt_kind kind,
                                     uint32_t peer)
{
    struct pv_fp_punt *p = &w->punts[w->n_punts++];
    *p = (struct pv_fp_punt){.kind = kind, .peer = peer};
    return p;
}

void pv_fp_worker_punt_once(struct pv_fp_worker *w, enum pv_fp_punt_kind kind, uint32_t peer,
                            _Atomic bool *flag)
{
    /* The plain load keeps the usual case free of a locked instruction; the exchange decides
     * between two workers. Control may re-arm at any moment, so room is not taken for granted. */
    if (w->n_punts < PV_FP_MAX_PUNTS && !atomic_load_explicit(flag, memory_order_relaxed) &&
        !atomic_exchange_explicit(flag, true, memory_order_relaxed))
        pv_fp_worker_punt(w, kind, peer)->told = flag;
}
