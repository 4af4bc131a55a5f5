/* SPDX-License-Identifier: MIT */
/*
 * aead_choose.c - names the libraries that work on batches, measures which is the fastest for each
 * suite here, and makes engines of those. Apart from aead.c, so that the benchmark's build without
 * encryption (tests/bench/aead_none.c) can stand in its place; nothing that is shipped contains
 * that one.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#else
#include <sys/auxv.h>
#endif

#include "base/text.h"
#include "crypto/aead.h"
#include "crypto/provider.h"

enum {
    LARGE = 1420,        /* bytes: a full packet of the tunnel; */
    SMALL = 100,         /* ours: an acknowledgement or a key press with its padding */
    ROUND = 5,           /* ours: a measurement is the best of so many: others may run meanwhile */
    PROCESSOR_MAX = 128, /* ours: bytes of its text, with the NUL */
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

/* By pv_aead_choose() or pv_aead_choice_take(); NULL: nothing was measured. */
static const struct pv_aead_provider *chosen[PV_SUITES];
static uint32_t cost[PV_SUITES]; /* ns that a packet of each size takes together; 0: as above */

const char *pv_aead_library(size_t index)
{
    return index < PV_ARRAY_LEN(pv_aead_providers) - 1 ? pv_aead_providers[index]->name : NULL;
}

static const struct pv_aead_provider *find_provider(const char *name)
{
    size_t i = 0;
    while (pv_aead_providers[i] != NULL && strcmp(pv_aead_providers[i]->name, name) != 0)
        i++;
    return pv_aead_providers[i];
}

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

/* ns that a packet of each size takes together: they count the same, as one comes for two of the
 * other in TCP. 0: this processor does not run it. */
static int measure_cost(const struct pv_aead_provider *provider, enum pv_suite suite,
                        pv_ns (*clock)(void), uint32_t *ret_cost)
{
    double large, small;
    *ret_cost = 0;
    int r = measure(provider, suite, LARGE, clock, &large);
    if (r == PV_OK)
        r = measure(provider, suite, SMALL, clock, &small);
    if (r != PV_OK || large <= 0 || small <= 0)
        return r;
    double ns = 1e9 / large + 1e9 / small;
    *ret_cost = ns < 1 ? 1 : ns > PV_AEAD_COST_MAX ? PV_AEAD_COST_MAX : (uint32_t)ns;
    return PV_OK;
}

static int choose_for(enum pv_suite suite, const struct pv_aead_provider *only,
                      pv_ns (*clock)(void))
{
    for (size_t i = 0; pv_aead_providers[i] != NULL; i++) {
        uint32_t took;
        if (only != NULL && only != pv_aead_providers[i])
            continue;
        int r = measure_cost(pv_aead_providers[i], suite, clock, &took);
        if (r != PV_OK)
            return r;
        if (took == 0 || (cost[suite] > 0 && took >= cost[suite]))
            continue;
        cost[suite] = took;
        chosen[suite] = pv_aead_providers[i];
    }
    return PV_OK;
}

int pv_aead_choose(const char *only, pv_ns (*clock)(void))
{
    const struct pv_aead_provider *one = find_provider(only);
    for (int suite = 0; suite < PV_SUITES; suite++) {
        cost[suite] = 0;
        chosen[suite] = NULL;
        int r = choose_for((enum pv_suite)suite, one, clock);
        if (r == PV_OK && cost[suite] == 0 && one != NULL)
            r = choose_for((enum pv_suite)suite, NULL, clock);
        if (r != PV_OK)
            return r;
    }
    return PV_OK;
}

uint32_t pv_aead_cost(enum pv_suite suite)
{
    return cost[suite];
}

/* --- a choice that is kept ------------------------------------------------------------------- */

/* The processor's own name, and its features but for those that a hypervisor hides. */
static const char *processor(char ret_text[static PROCESSOR_MAX])
{
#if defined(__x86_64__)
    unsigned name[12] = {0}, f[4] = {0}, g[4] = {0};
    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &name[4 * i], &name[4 * i + 1], &name[4 * i + 2],
                    &name[4 * i + 3]);
    __get_cpuid(1, &f[0], &f[1], &f[2], &f[3]);
    __get_cpuid_count(7, 0, &g[0], &g[1], &g[2], &g[3]);
    snprintf(ret_text, PROCESSOR_MAX, "%.48s %x %x %x %x", (const char *)name, f[0], f[2], g[1],
             g[2]);
    /* The name is the processor's own, or whatever a hypervisor says. */
    for (char *p = ret_text; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
#else
    snprintf(ret_text, PROCESSOR_MAX, "%lx %lx", getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
#endif
    return ret_text;
}

/* The lines that a choice depends on; those by suite follow. */
static struct pv_text format_head(const char *only, char ret_text[static PV_AEAD_CHOICE_MAX])
{
    char cpu[PROCESSOR_MAX];
    struct pv_text t = pv_text_in(ret_text, PV_AEAD_CHOICE_MAX);
    pv_text_add(&t, "provider %s\nprocessor %s\nlibraries", only, processor(cpu));
    for (size_t i = 0; pv_aead_providers[i] != NULL; i++)
        pv_text_add(&t, " %s %s", pv_aead_providers[i]->name, pv_aead_providers[i]->version());
    pv_text_add(&t, "\n");
    return t;
}

const char *pv_aead_choice_format(const char *only, char ret_text[static PV_AEAD_CHOICE_MAX])
{
    struct pv_text t = format_head(only, ret_text);
    for (int suite = 0; suite < PV_SUITES; suite++) {
        if (chosen[suite] != NULL)
            pv_text_add(&t, "%s %s %u\n", pv_suite_name((enum pv_suite)suite), chosen[suite]->name,
                        cost[suite]);
    }
    return ret_text;
}

/* "openssl 650\n" behind the suite's name; *text moves behind it. */
static bool take_line(const char **text, enum pv_suite suite,
                      const struct pv_aead_provider **ret_provider, uint32_t *ret_cost)
{
    char line[64];
    size_t len = strcspn(*text, "\n"), suite_len = strlen(pv_suite_name(suite));
    uint64_t ns;
    if ((*text)[len] != '\n' || len >= sizeof(line) || len <= suite_len ||
        memcmp(*text, pv_suite_name(suite), suite_len) != 0 || (*text)[suite_len] != ' ')
        return false;
    memcpy(line, *text + suite_len + 1, len - suite_len - 1);
    line[len - suite_len - 1] = '\0';
    char *space = strchr(line, ' ');
    if (space == NULL || pv_u64_parse(space + 1, 1, PV_AEAD_COST_MAX, &ns) != PV_OK)
        return false;
    *space = '\0';
    *text += len + 1;
    *ret_cost = (uint32_t)ns;
    *ret_provider = find_provider(line);
    return *ret_provider != NULL;
}

int pv_aead_choice_take(const char *only, const char *text)
{
    char head[PV_AEAD_CHOICE_MAX];
    const struct pv_aead_provider *providers[PV_SUITES];
    uint32_t costs[PV_SUITES];
    format_head(only, head);
    if (strncmp(text, head, strlen(head)) != 0)
        return PV_ERR_NOT_FOUND;
    text += strlen(head);
    for (int suite = 0; suite < PV_SUITES; suite++)
        if (!take_line(&text, (enum pv_suite)suite, &providers[suite], &costs[suite]))
            return PV_ERR_NOT_FOUND;
    if (*text != '\0')
        return PV_ERR_NOT_FOUND;
    memcpy(chosen, providers, sizeof(chosen));
    memcpy(cost, costs, sizeof(cost));
    return PV_OK;
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
