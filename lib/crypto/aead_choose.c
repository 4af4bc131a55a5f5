/* SPDX-License-Identifier: MIT */
/*
 * aead_choose.c - names the libraries that work on batches, makes engines of the first that can,
 * and measures what a packet costs. Apart from aead_engine.c, so that the benchmark's build without
 * encryption can replace this file by tests/bench/aead_none.c. No shipped program contains
 * aead_none.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "crypto/aead.h"
#include "crypto/provider.h"

enum {
    LARGE = 1420, /* bytes: a full packet of the tunnel */
    SMALL = 100,  /* ours: an acknowledgement or a key press with its padding */
    ROUND = 5,    /* ours: a measurement is the best of so many: others may run meanwhile */
};
#define ROUND_TIME PV_US(500) /* ours: at least, of one */

const struct pv_aead_provider *const pv_aead_providers[] = {
#ifdef PV_HAVE_IPSEC_MB
    &pv_aead_ipsec_mb,
#endif
#ifdef PV_HAVE_BORINGSSL
    &pv_aead_boringssl,
#endif
    &pv_aead_openssl,
    NULL,
};

static uint32_t cost[PV_SUITES]; /* pv_aead_cost() */

const char *pv_aead_libraries(char ret_text[static PV_AEAD_LIBRARIES_MAX])
{
    struct pv_text t = pv_text_in(ret_text, PV_AEAD_LIBRARIES_MAX);
    for (size_t i = 0; pv_aead_providers[i] != NULL; i++)
        pv_text_add(&t, "%s%s %s", i == 0 ? "" : ", ", pv_aead_providers[i]->name,
                    pv_aead_providers[i]->version());
    return ret_text;
}

/* A provider that this processor cannot run, or that fails its trial, is skipped; OpenSSL runs
 * everywhere. */
static int take_first(struct pv_aead_engine *e, enum pv_suite suite)
{
    int r = PV_ERR_CRYPTO;
    for (size_t i = 0; r == PV_ERR_CRYPTO && pv_aead_providers[i] != NULL; i++)
        r = pv_aead_engine_take(e, suite, pv_aead_providers[i]);
    return r;
}

int pv_aead_engine_new(struct pv_aead_engine **ret_engine)
{
    struct pv_aead_engine *e = calloc(1, sizeof(*e));
    int r = PV_OK;
    if (e == NULL)
        return PV_ERR_NOMEM;
    for (int suite = 0; r == PV_OK && suite < PV_SUITES; suite++)
        r = take_first(e, (enum pv_suite)suite);
    if (r == PV_OK)
        *ret_engine = e;
    else
        pv_aead_engine_free(e);
    return r;
}

/* --- costs ---------------------------------------------------------------------------------- */

/* Seals and opens a batch for a while: packets a second, the best of some rounds; 0: it failed. */
static double run_rounds(struct pv_aead_engine *e, struct pv_aead *key, uint8_t *data,
                         size_t packet, pv_ns (*clock)(void))
{
    struct pv_aead_op ops[PV_AEAD_BATCH_MAX];
    double best = 0;
    uint64_t counter = 0;
    for (int round = 0; round < ROUND; round++) {
        pv_ns begin = clock(), took = 0;
        uint64_t packets = 0;
        for (; took < ROUND_TIME; took = clock() - begin) {
            for (size_t i = 0; i < PV_AEAD_BATCH_MAX; i++)
                ops[i] = (struct pv_aead_op){.aead = key,
                                             .counter = counter++,
                                             .data = data + i * (packet + PV_AEAD_TAG_LEN),
                                             .len = packet};
            pv_aead_seal_batch(e, ops, PV_AEAD_BATCH_MAX);
            for (size_t i = 0; i < PV_AEAD_BATCH_MAX; i++)
                ops[i].len += PV_AEAD_TAG_LEN;
            pv_aead_open_batch(e, ops, PV_AEAD_BATCH_MAX);
            if (ops[0].status != PV_OK)
                return 0;
            packets += 2 * (uint64_t)PV_AEAD_BATCH_MAX;
        }
        double rate = (double)packets * 1e9 / (double)took;
        best = rate > best ? rate : best;
    }
    return best;
}

/* Packets a second of one size by this provider, or by the first that can if it is NULL; 0: it
 * cannot here. */
static int measure(const struct pv_aead_provider *provider, enum pv_suite suite, size_t packet,
                   pv_ns (*clock)(void), double *ret_rate)
{
    static const uint8_t secret[PV_AEAD_KEY_LEN] = {1};
    struct pv_aead *key = NULL;
    struct pv_aead_engine *e = calloc(1, sizeof(*e));
    uint8_t *data = calloc(PV_AEAD_BATCH_MAX, packet + PV_AEAD_TAG_LEN);
    int r = e == NULL || data == NULL ? PV_ERR_NOMEM : pv_aead_new(&key, suite, secret);
    if (r == PV_OK)
        r = provider == NULL ? take_first(e, suite) : pv_aead_engine_take(e, suite, provider);
    *ret_rate = r == PV_OK ? run_rounds(e, key, data, packet, clock) : 0;
    pv_aead_free(key);
    pv_aead_engine_free(e);
    free(data);
    return r == PV_ERR_CRYPTO ? PV_OK : r;
}

int pv_aead_measure(size_t index, enum pv_suite suite, size_t packet, pv_ns (*clock)(void),
                    const char **ret_name, double *ret_rate)
{
    if (index >= PV_ARRAY_LEN(pv_aead_providers) - 1)
        return PV_ERR_NOT_FOUND;
    *ret_name = pv_aead_providers[index]->name;
    int r = measure(pv_aead_providers[index], suite, packet, clock, ret_rate);
    *ret_rate *= (double)packet;
    return r;
}

int pv_aead_measure_cost(pv_ns (*clock)(void))
{
    for (int suite = 0; suite < PV_SUITES; suite++) {
        double large, small;
        int r = measure(NULL, (enum pv_suite)suite, LARGE, clock, &large);
        if (r == PV_OK)
            r = measure(NULL, (enum pv_suite)suite, SMALL, clock, &small);
        if (r != PV_OK)
            return r;
        /* They count the same, as one comes for two of the other in TCP. */
        double ns = large > 0 && small > 0 ? 1e9 / large + 1e9 / small : 0;
        cost[suite] = ns > PV_AEAD_COST_MAX ? PV_AEAD_COST_MAX : (uint32_t)ns;
    }
    return PV_OK;
}

uint32_t pv_aead_cost(enum pv_suite suite)
{
    return cost[suite];
}
