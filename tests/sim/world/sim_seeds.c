/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_net.h"

struct range {
    uint64_t first, last;
};

/* SEED=N: this one; PV_SIM_SEEDS=LAST or FIRST-LAST. */
static struct range range_of(uint64_t n)
{
    const char *one = getenv("SEED"), *many = getenv("PV_SIM_SEEDS");
    struct range r = {1, n};
    char *end = NULL;
    if (one != NULL && strtoull(one, NULL, 10) != 0) {
        r.first = r.last = strtoull(one, NULL, 10);
    } else if (many != NULL && many[0] != '\0') {
        r.last = strtoull(many, &end, 10);
        if (*end == '-') {
            r.first = r.last;
            r.last = strtoull(end + 1, NULL, 10);
        }
    }
    return r;
}

bool sim_is_long(void)
{
    const char *value = getenv("PV_SIM_LONG");
    return value != NULL && strcmp(value, "1") == 0;
}

unsigned sim_seeds(const char *scenario, uint64_t n, int (*run)(uint64_t seed, void *ctx),
                   void *ctx)
{
    struct range seeds = range_of(n);
    unsigned failed = 0;
    for (uint64_t seed = seeds.first; seed <= seeds.last; seed++) {
        if (run(seed, ctx) == 0)
            continue;
        failed++;
        printf("SEED=%llu scripts/test sim/%s\n", (unsigned long long)seed, scenario);
    }
    return failed;
}
