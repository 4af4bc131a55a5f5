/* SPDX-License-Identifier: MIT */
/*
 * aead_choose.c - names the libraries that work on batches, measures which is the fastest for each
 * suite here, and makes engines of those. Apart from aead.c, so that the benchmark's build without
 * encryption (tests/bench/aead_none.c) can stand in its place; nothing that is shipped contains
 * that one.
 */
#include <stdlib.h>

#include "crypto/aead.h"
#include "crypto/provider.h"

enum {
    LARGE = 1420, /* bytes: a full packet of the tunnel; */
    SMALL = 100,  /* ours: an acknowledgement or a key press with its padding */
    ROUND = 3,    /* ours: a measurement is the best of so many: others may run meanwhile */
};
#define ROUND_TIME PV_MS(1) /* ours: at least, of one */

const struct pv_aead_provider *const pv_aead_providers[] = {
#ifdef PV_HAVE_IPSEC_MB
    &pv_aead_ipsec_mb,
#endif
    &pv_aead_openssl,
    &pv_aead_libsodium,
    NULL,
};

/* By pv_aead_choose(); NULL: nothing was measured. */
static const struct pv_aead_provider *chosen[PV_SUITES];
static double cost[PV_SUITES]; /* seconds that a packet of each size takes together; 0: as above */

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

/* Packets a second of one size; 0: this processor does not run it. */
static int measure(const struct pv_aead_provider *provider, enum pv_suite suite, size_t packet,
                   pv_ns (*clock)(void), double *ret_rate)
{
    static const uint8_t secret[PV_AEAD_KEY_LEN] = {1};
    struct pv_aead *key = NULL;
    struct pv_aead_engine *e = calloc(1, sizeof(*e));
    uint8_t *data = calloc(PV_AEAD_BATCH_MAX, packet + PV_AEAD_TAG_LEN);
    int r = e == NULL || data == NULL ? PV_ERR_NOMEM : pv_aead_new(&key, suite, secret);
    if (r == PV_OK)
        r = pv_aead_engine_take(e, suite, provider);
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

/* A full packet and a small one count the same, as one comes for two of the other in TCP. */
int pv_aead_choose(pv_ns (*clock)(void))
{
    for (int suite = 0; suite < PV_SUITES; suite++) {
        double least = 0;
        for (size_t i = 0; pv_aead_providers[i] != NULL; i++) {
            double large, small;
            int r = measure(pv_aead_providers[i], (enum pv_suite)suite, LARGE, clock, &large);
            if (r == PV_OK)
                r = measure(pv_aead_providers[i], (enum pv_suite)suite, SMALL, clock, &small);
            if (r != PV_OK)
                return r;
            if (large <= 0 || small <= 0)
                continue;
            double took = 1 / large + 1 / small;
            if (least > 0 && took >= least)
                continue;
            least = cost[suite] = took;
            chosen[suite] = pv_aead_providers[i];
        }
    }
    return PV_OK;
}

bool pv_aead_prefers_aes(void)
{
    return cost[PV_SUITE_AES] <= cost[PV_SUITE_CHACHA];
}

/* A provider that this processor cannot run, or that fails its trial, is skipped; OpenSSL runs
 * everywhere. */
static int take_one(struct pv_aead_engine *e, enum pv_suite suite)
{
    int r = chosen[suite] == NULL ? PV_ERR_CRYPTO : pv_aead_engine_take(e, suite, chosen[suite]);
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
        r = take_one(e, (enum pv_suite)suite);
    if (r == PV_OK)
        *ret_engine = e;
    else
        pv_aead_engine_free(e);
    return r;
}
