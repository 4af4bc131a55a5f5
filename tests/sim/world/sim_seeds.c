/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_net.h"

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 10);
}

bool sim_is_long(void)
{
    const char *value = getenv("PV_SIM_LONG");
    return value != NULL && strcmp(value, "1") == 0;
}

unsigned sim_seeds(const char *scenario, uint64_t n, int (*run)(uint64_t seed, void *ctx),
                   void *ctx)
{
    uint64_t one = from_environment("SEED", 0);
    uint64_t first = one != 0 ? one : 1;
    uint64_t last = one != 0 ? one : from_environment("PV_SIM_SEEDS", n);
    unsigned failed = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        if (run(seed, ctx) == 0)
            continue;
        failed++;
        printf("SEED=%llu scripts/test sim/%s\n", (unsigned long long)seed, scenario);
    }
    return failed;
}
